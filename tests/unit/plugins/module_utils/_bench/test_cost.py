# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Price per token."""

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._bench.cost import usd_per_mtok


def test_a_million_tokens_cost_what_the_accelerators_cost_meanwhile():
    # A million tokens take an hour.
    assert usd_per_mtok(7.5, 1_000_000 / 3600) == pytest.approx(7.5)


def test_no_price_and_no_tokens_make_no_cost():
    assert usd_per_mtok(None, 100.0) is None
    assert usd_per_mtok(1.0, 0.0) is None
