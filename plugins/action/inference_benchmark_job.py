# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the module inference_benchmark_job and prints its progress."""

from __future__ import annotations

from ansible_collections.modelops.serving.plugins.plugin_utils._progress import ProgressAction


class ActionModule(ProgressAction):
    """See the module's documentation."""
