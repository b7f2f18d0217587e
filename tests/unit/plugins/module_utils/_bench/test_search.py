# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which stages a search tries, and what it says of them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.modelops.serving.plugins.module_utils._bench import search
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._bench.runs import a_workload, properties


def a_search(count, **changes):
    stages = [{"concurrency": 2 * (stage + 1), "requests": 10} for stage in range(count)]
    return a_workload(stages=stages, slo={"ttft_p50_ms": 150}, search=True, **changes)


def run(good, **changes):
    """The result over stages that are good or not, after as many turns as a search takes."""
    load, tried = a_search(len(good), **changes), []

    def is_good(stage):
        tried.append({"stage": stage, "asked": 2.0 * (stage + 1), "verdict": "passed" if good[stage] else "failed"})
        return good[stage]

    turns = list(search.turns(load, is_good))
    repeats = range(load.repeats)
    assert turns == [(probe["stage"], repeat) for probe in tried for repeat in repeats]
    found = search.found(tried, load)
    assert search.is_over(found)
    assert not any(search.is_over(search.found(tried[:end], load)) for end in range(len(tried)))
    assert len(tried) <= math.ceil(math.log2(len(good) + 1))
    assert (found["kind"], found["candidates"], found["probes"]) == ("concurrency", len(good), tried)
    return found


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 20])
def test_the_highest_good_load_is_found(count):
    for many in range(1, count + 1):
        found = run([True] * many + [False] * (count - many))
        assert (found["highest"], found["asked"], search.deciding(found)) == (many - 1, 2.0 * many, many - 1)
    nothing = run([False] * count)
    assert (nothing["highest"], nothing["asked"], search.deciding(nothing)) == (None, None, 0)


@properties
@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(min_value=1, max_value=3))
def test_a_load_that_is_found_is_good_and_the_next_one_is_not(good, repeats):
    found = run(good, repeats=repeats)
    tried = {probe["stage"] for probe in found["probes"]}
    best = -1 if found["highest"] is None else found["highest"]
    assert best == -1 or good[best]
    assert best == len(good) - 1 or (best + 1 in tried and not good[best + 1])


def test_whoever_cannot_tell_gets_all_stages():
    every = [(stage, repeat) for repeat in (0, 1) for stage in (0, 1, 2)]
    assert list(search.turns(a_search(3, repeats=2))) == every
    plain = a_workload(stages=[{"rate": 1, "duration": 1}] * 3, repeats=2)
    assert list(search.turns(plain, lambda _stage: False)) == every
