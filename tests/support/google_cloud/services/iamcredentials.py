# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Service Account Credentials v1: only what google-auth asks for beside each token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import carries_out

if TYPE_CHECKING:
    from ..state import Call, Resource


@carries_out("iamcredentials.projects.serviceAccounts.getAllowedLocations")
def get_allowed_locations(call: Call) -> Resource:
    """Everywhere: https://google.aip.dev/auth/4118"""
    return {"locations": [], "encodedLocations": "0x0"}
