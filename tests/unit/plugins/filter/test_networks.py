# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ranges of addresses that do not lie beside each other."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.modelops.serving.plugins.filter.networks import range_conflicts


def test_ranges_that_overlap_and_that_are_none_are_named():
    found = range_conflicts(
        {"a": "10.0.0.0/20", "b": "10.0.8.0/21", "c": "10.1.0.0/33", "d": "fd00::/64", "e": "10.2.0.0/16"}
    )
    assert found[1:] == ["a (10.0.0.0/20) and b (10.0.8.0/21) overlap."] and found[0].startswith("c is no range")
    assert range_conflicts({"a": "10.0.0.0/20", "b": "10.0.16.0/20"}) == []
    with pytest.raises(AnsibleFilterError, match="dictionary"):
        range_conflicts(["10.0.0.0/20"])
