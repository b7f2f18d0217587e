# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of objectives, the Wilson interval, and the verdicts that follow from it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.modelops.serving.plugins.module_utils._bench import slo, stages
from ansible_collections.modelops.serving.plugins.module_utils._bench.errors import InputError
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._bench.runs import (
    a_failure,
    a_record,
    a_workload,
    properties,
    results,
    some_facts,
)


def verdict(name, limit, records, *, valid=True, usd_per_mtok=None, itl=None, **more):
    load = a_workload(slo={name: limit} | more)
    (result,) = results(records, [some_facts(itl=itl)], load)
    return slo.judge(load.objectives[0], result, valid=valid, usd_per_mtok=usd_per_mtok)


def requests(good, slow=0, failed=0):
    records = [a_record(seq) for seq in range(good)]
    records += [a_record(good + seq, ttft_ms=500.0) for seq in range(slow)]
    return records + [a_failure(good + slow + seq) for seq in range(failed)]


def test_objectives_are_read_in_their_order():
    assert slo.parse({"ttft_p99_9_ms": 200, "itl_mean_ms": 1.5, "error_rate": 0}) == (
        slo.Objective("ttft_p99_9_ms", 200.0, "ttft", "p99_9"),
        slo.Objective("itl_mean_ms", 1.5, "itl", "mean"),
        slo.Objective("error_rate", 0.0),
    )


@pytest.mark.parametrize(
    ("objectives", "told"),
    [
        ({"ttft_p99_s": 1}, "did you mean ttft_p99_ms?"),
        ({"ttft_p99": 1}, "did you mean ttft_p99_ms?"),
        ({"tttf_p99_ms": 1}, "did you mean ttft_p99_ms?"),
        ({"e2e_p98_ms": 1}, "did you mean e2e_p9"),
        ({"output_tok_s": 1}, "did you mean output_tok_s_min?"),
        ({"goodput": 1}, "did you mean goodput_min?"),
        ({"colour": 1}, "SLO 'colour' is not known."),
        ({"ttft_p99_ms": "200ms"}, "must be a number that is not negative, not '200ms'"),
        ({"ttft_p99_ms": True}, "must be a number"),
        ({"ttft_p99_ms": -1}, "must be a number that is not negative"),
        ({"ttft_p99_ms": float("nan")}, "must be a number that is not negative"),
        ({"error_rate": 1.5}, "is a share from 0 to 1"),
        ({"goodput_min": 95}, "is a share from 0 to 1"),
        ({"goodput_min": 0.9}, "needs an SLO for a latency"),
    ],
)
def test_wrong_objectives_are_named_with_what_may_have_been_meant(objectives, told):
    with pytest.raises(InputError) as caught:
        slo.parse(objectives)
    assert told in caught.value.message
    assert "<metric>_<statistic>_ms" in caught.value.hint


@pytest.mark.parametrize(
    ("part", "whole", "low", "high"),
    [
        # Newcombe (1998), Two-sided confidence intervals for the single proportion, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_wilson_interval_of_known_cases(part, whole, low, high):
    assert slo.wilson(part, whole) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@properties
@given(st.integers(1, 10**6), st.floats(0, 1))
def test_the_wilson_interval_holds_the_share_and_mirrors(whole, share):
    low, high = slo.wilson(share * whole, whole)
    assert 0.0 <= low <= share + 1e-12
    assert share - 1e-12 <= high <= 1.0
    mirrored = slo.wilson((1 - share) * whole, whole)
    assert mirrored == (pytest.approx(1 - high, abs=1e-9), pytest.approx(1 - low, abs=1e-9))
    assert slo.wilson(10 * share * whole, 10 * whole)[1] - slo.wilson(10 * share * whole, 10 * whole)[0] < high - low


@pytest.mark.parametrize(
    ("good", "slow", "failed", "expected"),
    [
        (400, 0, 0, "passed"),
        # Too few to know that 99 % keep the limit.
        (100, 0, 0, "inconclusive"),
        (396, 4, 0, "inconclusive"),
        (400, 40, 0, "failed"),
        # Whoever got no answer did not get it in time.
        (400, 0, 40, "failed"),
        (0, 0, 40, "failed"),
        (0, 0, 0, "inconclusive"),
    ],
)
def test_a_percentile_is_judged_by_the_interval_of_its_attainment(good, slow, failed, expected):
    assert verdict("ttft_p99_ms", 200, requests(good, slow, failed)).verdict == expected


def test_what_was_measured_stands_beside_the_verdict():
    found = verdict("ttft_p50_ms", 200, requests(90, 10))
    assert (found.name, found.stage, found.limit, found.observed, found.attainment) == ("ttft_p50_ms", 0, 200, 100, 0.9)
    assert (found.low, found.high) == slo.wilson(90, 100)


def test_an_invalid_stage_passes_nothing():
    assert verdict("ttft_p99_ms", 200, requests(400), valid=False).verdict == "inconclusive"
    assert verdict("output_tok_s_min", 1, requests(400), valid=False).verdict == "inconclusive"
    assert verdict("ttft_p99_ms", 50, requests(400), valid=False).verdict == "inconclusive"


def test_gaps_weigh_as_much_as_their_requests():
    gaps = stages.Histogram()
    for gap in [10.0] * 9_990 + [100.0] * 10:
        gaps.add(gap)
    assert verdict("itl_p99_ms", 50, requests(1000), itl=gaps).verdict == "passed"
    few = verdict("itl_p99_ms", 50, requests(100), itl=gaps)
    assert (few.verdict, few.attainment) == ("inconclusive", pytest.approx(0.999))
    assert verdict("itl_p99_ms", 5, requests(100), itl=gaps).verdict == "failed"
    assert verdict("itl_p99_ms", 50, requests(1000)).verdict == "inconclusive"


@pytest.mark.parametrize(
    ("name", "limit", "good", "slow", "failed", "expected"),
    [
        ("error_rate", 0.05, 200, 0, 0, "passed"),
        ("error_rate", 0.05, 20, 0, 0, "inconclusive"),
        ("error_rate", 0.05, 100, 0, 20, "failed"),
        ("error_rate", 0.0, 20, 0, 0, "passed"),
        ("error_rate", 0.0, 20, 0, 1, "failed"),
        ("error_rate", 0.1, 0, 0, 0, "inconclusive"),
        ("goodput_min", 0.9, 200, 0, 0, "passed"),
        ("goodput_min", 0.9, 20, 0, 0, "inconclusive"),
        ("goodput_min", 0.9, 100, 10, 20, "failed"),
        ("goodput_min", 1.0, 20, 0, 0, "passed"),
        ("ttft_mean_ms", 300, 10, 10, 0, "passed"),
        ("ttft_mean_ms", 299, 10, 10, 0, "failed"),
        ("ttft_max_ms", 499, 10, 1, 0, "failed"),
        ("tpot_mean_ms", 10, 0, 0, 5, "inconclusive"),
        ("requests_s_min", 9, 100, 0, 0, "passed"),
        ("output_tok_s_min", 101, 100, 0, 0, "failed"),
        ("total_tok_s_min", 1000, 100, 0, 0, "passed"),
    ],
)
def test_shares_are_judged_by_their_interval_and_figures_as_they_are(name, limit, good, slow, failed, expected):
    beside = {"ttft_p99_ms": 200} if name == "goodput_min" else {}
    assert verdict(name, limit, requests(good, slow, failed), **beside).verdict == expected


@pytest.mark.parametrize(("price", "expected"), [(1.9, "passed"), (2.1, "failed"), (None, "inconclusive")])
def test_a_price_that_is_not_known_is_no_verdict(price, expected):
    assert verdict("usd_per_mtok_max", 2.0, requests(10), usd_per_mtok=price).verdict == expected


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (["passed", "passed"], "passed"),
        (["passed", "inconclusive"], "inconclusive"),
        (["inconclusive", "failed"], "failed"),
        ([], None),
    ],
)
def test_the_worst_verdict_is_that_of_the_run(verdicts, expected):
    assert slo.overall(slo.Result("x", 0, 1.0, None, None, None, None, one) for one in verdicts) == expected
