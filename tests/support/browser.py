# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real browser for tests that look at pages, which are skipped where there can be none."""

from __future__ import annotations

import pytest
from test_cluster.browser import Browser
from test_cluster.browser import chromium as find
from test_cluster.common import ClusterError


@pytest.fixture(scope="session")
def chromium() -> Browser:
    try:
        return find()
    except ClusterError as error:
        pytest.skip(f"no Chromium: {str(error).splitlines()[-1]}")
