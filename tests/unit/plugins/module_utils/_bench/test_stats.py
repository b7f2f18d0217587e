# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The figures of stages are those of their records."""

from __future__ import annotations

import dataclasses
import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.modelops.serving.plugins.module_utils._bench import slo, stages, stats
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._bench.runs import (
    a_failure,
    a_record,
    a_workload,
    properties,
    results,
    some_facts,
)

VALUES = st.lists(st.floats(min_value=0.0, max_value=1e6), min_size=1)


@properties
@given(VALUES, st.floats(min_value=0.001, max_value=1.0))
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(values, share):
    ordered = sorted(values)
    found = stats.percentile(ordered, share)
    assert sum(value <= found for value in ordered) >= share * len(ordered) - 1e-6
    assert sum(value < found for value in ordered) < share * len(ordered)


def test_percentiles_of_known_values():
    figures = stats.distribution([float(value) for value in range(1, 101)])
    assert (figures["p50"], figures["p90"], figures["p99"], figures["p99_9"]) == (50.0, 90.0, 99.0, 100.0)
    assert (figures["count"], figures["min"], figures["max"], figures["mean"]) == (100, 1.0, 100.0, 50.5)
    assert stats.distribution([]) is None


@properties
@given(VALUES)
def test_the_statistics_of_a_distribution_are_in_order(values):
    figures = stats.distribution(sorted(values))
    rising = [figures[name] for name in ("min", *stats.PERCENTILES, "max")]
    assert rising == sorted(rising)
    assert figures["min"] <= figures["mean"] <= figures["max"]
    assert figures["stddev"] == pytest.approx(statistics.pstdev(values), rel=1e-6, abs=1e-6)


def a_mixture(count: int, seed: int) -> list:
    """Requests of two repeats of two stages, of all kinds."""
    chance = random.Random(seed)
    kinds = [a_record, a_failure, lambda seq, **place: a_failure(seq, "cancelled", None, **place)]
    return [chance.choice(kinds)(seq, stage=chance.randrange(2), repeat=chance.randrange(2)) for seq in range(count)]


@properties
@given(st.integers(1, 60), st.integers())
def test_repeats_add_up_to_their_stage_and_stages_to_the_run(count, seed):
    records = a_mixture(count, seed)
    found = results(records, [], a_workload(slo={"ttft_p99_ms": 100}))
    assert sum(result.summary.sent for result in found) == count
    for result in found:
        summary = result.summary
        assert summary.sent == summary.completed + summary.failed + summary.cancelled
        assert summary.failed == sum(failure.count for failure in summary.failures)
        assert summary.completed == summary.good == (summary.latency["ttft"] or {"count": 0})["count"]
        for name in ("sent", "completed", "failed", "cancelled", "good"):
            assert getattr(summary, name) == sum(getattr(repeat, name) for repeat in result.repeats)
        for name in ("window_s", "wall_s"):
            assert getattr(summary, name) == pytest.approx(sum(getattr(repeat, name) for repeat in result.repeats))
        mine = [record for record in records if record.stage == summary.stage and record.ok]
        assert list(result.columns.ordered("e2e")) == sorted(record.e2e_ms for record in mine)


def test_rates_are_over_the_wall_time_and_the_window_of_sending():
    (result,) = results([a_record(seq) for seq in range(100)], [some_facts()])
    summary = result.summary
    assert (summary.window_s, summary.wall_s) == (10.0, pytest.approx(10.09))
    assert summary.sent_s == 10.0
    assert summary.requests_s == pytest.approx(100 / 10.09)
    assert summary.output_tok_s == pytest.approx(1000 / 10.09)
    assert summary.input_tok_s == pytest.approx(10_000 / 10.09)
    assert summary.total_tok_s == pytest.approx(11_000 / 10.09)
    assert summary.latency["ntpot"]["p50"] == 19.0
    assert (summary.isl["p50"], summary.osl["p50"]) == (100.0, 10.0)
    assert (summary.repeat, result.repeats[0].repeat) == (None, 0)


def test_failures_are_told_apart_and_cancelled_requests_are_none():
    records = [a_record(0), a_failure(1), a_failure(2), a_failure(3, "timeout", None), a_failure(4, "cancelled", None)]
    summary = results(records, [some_facts()])[0].summary
    assert summary.failures == [stats.Failure("http", 503, 2, "refused"), stats.Failure("timeout", None, 1, "refused")]
    assert (summary.failed, summary.cancelled, summary.error_rate) == (3, 1, 0.75)


def test_one_token_has_no_gap_and_whoever_does_not_stream_no_first_token():
    records = [a_record(0, tpot_ms=None, osl=1), a_record(1, ttft_ms=None, tpot_ms=None, t_first=None, osl=0)]
    latency = results(records, [some_facts()])[0].summary.latency
    assert latency["tpot"] is None
    assert (latency["ttft"]["count"], latency["ntpot"]["count"], latency["e2e"]["count"]) == (1, 1, 2)
    assert latency["itl"] is None


def test_gaps_come_from_the_generator_or_else_from_records_that_kept_them():
    told = stages.Histogram()
    told.add(7.0)
    records = [a_record(0, itl_ms=[1.0, 3.0])]
    assert results(records, [some_facts(itl=told)])[0].summary.latency["itl"]["mean"] == 7.0
    assert results(records, [some_facts()])[0].summary.latency["itl"]["mean"] == 2.0


@pytest.mark.parametrize(
    ("change", "good"),
    [
        ({}, True),
        ({"ttft_ms": 100.1}, False),
        ({"tpot_ms": 10.1}, False),
        ({"itl_p99_ms": 20.1}, False),
        ({"itl_p99_ms": None, "tpot_ms": None}, True),
        ({"e2e_ms": 190.1}, False),
        ({"osl": 9}, False),
        ({"ok": False, "error": "stalled"}, False),
        ({"schedule_delay_ms": 99.0}, True),
    ],
)
def test_a_good_request_keeps_every_limit(change, good):
    limits = {"ttft": 100.0, "tpot": 10.0, "itl": 20.0, "e2e": 190.0, "ntpot": 19.0}
    assert stats.collect([a_record(**change)], limits)[0, 0].good == good


def test_the_widest_of_several_limits_counts_for_a_request():
    objectives = slo.parse(
        {"ttft_p50_ms": 50, "ttft_p99_ms": 200, "ttft_mean_ms": 900, "schedule_delay_p50_ms": 1, "error_rate": 0.1}
    )
    assert stats.limits_of_requests(objectives) == {"ttft": 200.0}
    assert results([a_record()], [some_facts()])[0].summary.goodput is None


def test_a_stage_that_was_cut_off_is_told_from_its_records():
    load = a_workload(stages=[{"rate": 10, "duration": 10}, {"concurrency": 4, "requests": 50}])
    records = [a_record(0), *(a_record(seq, stage=1, t_start=20.0 + seq) for seq in range(3))]
    first, second = results(records, [some_facts()], load)
    assert first.summary.finished
    assert not second.summary.finished
    assert (second.summary.kind, second.summary.asked, second.summary.arrival) == ("concurrency", 4.0, "closed")
    assert (second.summary.window_s, second.summary.wall_s, second.summary.in_flight_max) == (
        2.0,
        pytest.approx(2.19),
        1,
    )


def test_a_stage_without_requests_has_no_figures():
    summary = results([], [some_facts(sent=0, completed=0)])[0].summary
    assert (summary.sent, summary.error_rate, summary.requests_s, summary.isl) == (0, 0.0, 0.0, None)
    assert set(summary.latency.values()) == {None}


def test_the_data_of_a_summary_are_plain():
    data = results([a_record(), a_failure(1)], [some_facts()])[0].summary.as_data()
    assert data["failures"] == [dataclasses.asdict(stats.Failure("http", 503, 1, "refused"))]
    assert not any(isinstance(value, float) and math.isnan(value) for value in data.values())
