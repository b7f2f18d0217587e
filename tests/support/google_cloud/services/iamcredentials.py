# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Service Account Credentials v1: tokens for a service account, and what google-auth asks for beside each token."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..errors import ApiError, invalid
from . import carries_out

if TYPE_CHECKING:
    from ..state import Call, Resource


@carries_out("iamcredentials.projects.serviceAccounts.getAllowedLocations")
def get_allowed_locations(call: Call) -> Resource:
    """Everywhere: https://google.aip.dev/auth/4118"""
    return {"locations": [], "encodedLocations": "0x0"}


@carries_out("iamcredentials.projects.serviceAccounts.generateAccessToken")
def generate_access_token(call: Call) -> Resource:
    """The service account need not exist. Who may not have a token of it: see ``deny``."""
    accounts = [*call.body.get("delegates", ()), call.parameters["name"]]
    for name in accounts:
        if not re.fullmatch(r"projects/-/serviceAccounts/[^/]+", name):
            raise invalid(f"Invalid name '{name}': use the form projects/-/serviceAccounts/EMAIL.", "name")
    if not call.body.get("scope"):
        raise invalid("Scope required.", "scope")
    if "iam.serviceAccounts.getAccessToken" in call.state.denied:
        raise ApiError(403, "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).")
    token, expiry = call.state.tokens.issue(accounts[-1].rpartition("/")[2])
    return {"accessToken": token, "expireTime": expiry}
