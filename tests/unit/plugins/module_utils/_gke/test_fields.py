# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._gke.fields import (
    Difference,
    differences,
    merged,
    picked,
    pruned,
    put,
    same,
    touches,
    value_at,
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (False, None),
        ("", None),
        (0, "0"),
        (100, "100"),
        ([], None),
        ("UNSPECIFIED", None),
        (["b", "a"], ["a", "b"]),
        ([{"key": "a", "value": "", "effect": "X"}], [{"effect": "X", "key": "a"}]),
        ([{"resourceType": "cpu", "minimum": "0", "maximum": "64"}], [{"maximum": "64", "resourceType": "cpu"}]),
    ],
)
def test_the_same(one, other):
    assert same(one, other) and same(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [(True, None), (True, "x"), ("a", "b"), (1, 2), (["a"], ["a", "b"]), ([], ["a"]), (["a", "a"], ["a"]), (True, 1)],
)
def test_not_the_same(one, other):
    assert not same(one, other) and not same(other, one)


def test_only_what_is_wanted_counts():
    live = {"a": {"b": 1, "c": 2}, "d": ["x"], "e": "kept"}
    assert differences({"a": {"b": 1}, "d": ["x"]}, live) == []
    wanted = {"a": {"b": 3, "n": True}, "d": [], "f": {"g": "h"}, "off": {"enabled": False}}
    assert differences(wanted, live) == [
        Difference("a.b", 1, 3),
        Difference("a.n", None, True),
        Difference("d", ["x"], []),
        Difference("f.g", None, "h"),
    ]
    after = merged(live, wanted)
    assert differences(wanted, after) == [] and after["e"] == "kept" and after["a"]["c"] == 2
    assert live == {"a": {"b": 1, "c": 2}, "d": ["x"], "e": "kept"}


def test_what_is_none_is_taken_away():
    assert merged({"labels": {"a": "1", "b": "2"}}, {"labels": {"a": None}}) == {"labels": {"b": "2"}}
    assert differences({"labels": {"a": None}}, {"labels": {"a": "1"}}) == [Difference("labels.a", "1", None)]
    assert differences({"labels": {"a": None}}, {}) == []


def test_a_diff_speaks_as_the_options_do():
    wanted = {"zones": ["b", "a"], "size": 100, "on": False, "type": "x"}
    assert picked(wanted, {"zones": ["a", "b"], "size": "100", "type": "y", "more": 1}) == {**wanted, "type": "y"}


def test_paths():
    data = {}
    put(data, "a.b.c", 1)
    put(data, "a.d", None)
    put(data, "a.e", False)
    assert data == {"a": {"b": {"c": 1}, "e": False}}
    assert (value_at(data, "a.b.c"), value_at(data, "a.x.y"), value_at({"a": None}, "a.b")) == (1, None, None)
    assert touches("a.b", "a.b") and touches("a.b.c", "a.b") and not touches("a.bc", "a.b")


def test_a_new_resource_has_no_empty_fields():
    assert pruned({"a": "", "b": {"c": None}, "d": False, "e": 0, "f": [{"g": ""}]}) == {"d": False, "e": 0, "f": [{}]}
