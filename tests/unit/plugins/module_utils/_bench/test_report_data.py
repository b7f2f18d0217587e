# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the HTML report is given."""

from __future__ import annotations

import json
import math
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.modelops.serving.plugins.module_utils._bench import report_data
from ansible_collections.modelops.serving.plugins.module_utils._bench.html import data as page
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._bench.runs import (
    a_judged_run,
    a_record,
    a_workload,
    properties,
    results,
    some_facts,
)

ABOUT: report_data.About = {"chips": 4, "usd_per_hour": 8.0, "server": "vllm 0.33.0", "clock": "time.monotonic"}


def a_page(**more):
    summary, judged, load = a_judged_run(about=ABOUT)
    return report_data.page_data(summary, judged, load, ABOUT, **more)


def check(value, kind):
    """Fails unless the value has exactly the keys that its TypedDict names, all the way down."""
    if t.is_typeddict(kind):
        hints = t.get_type_hints(kind)
        assert set(value) == set(hints)
        for name, hint in hints.items():
            check(value[name], hint)
    elif t.get_origin(kind) is list:
        for item in value:
            check(item, t.get_args(kind)[0])
    elif type(None) in t.get_args(kind) and value is not None:
        check(value, t.get_args(kind)[0])


def test_the_page_is_given_exactly_what_it_names():
    earlier = [a_judged_run("before", about=ABOUT)[0]]
    samples = [{"t": 1.0, "running": 2, "waiting": 0}]
    given = a_page(earlier=earlier, server=samples)
    check(given, page.Run)
    assert given["timeline"] and given["heat"] and given["comparison"] and given["scatter"]
    json.dumps(given, allow_nan=False)


@pytest.mark.parametrize(
    ("count", "ttft", "facts", "good"),
    [
        (100, 100.0, {}, True),
        (100, 900.0, {}, False),
        # Too few to tell, and a generator that could not keep up: nobody knows whether the load is good.
        (3, 100.0, {"t_end": 0.3}, False),
        (100, 100.0, {"generator_cpu": 0.99}, False),
    ],
)
def test_a_stage_is_good_when_it_is_known_to_be(count, ttft, facts, good):
    load = a_workload(slo={"ttft_p50_ms": 150}, stages=[{"rate": 10, "requests": 100}, {"rate": 20, "requests": 100}])
    other = [a_record(seq, stage=1, ttft_ms=500.0 if good else 1.0, t_start=50 + seq / 20) for seq in range(100)]
    records = [a_record(seq, ttft_ms=ttft) for seq in range(count)] + other
    told = [some_facts(**facts), some_facts(stage=1, asked=20.0, t_begin=50.0, t_end=55.0)]
    assert report_data.is_good(0, records, told, load) == good
    assert report_data.is_good(1, records, told, load) == (not good)


def test_what_a_stage_did_is_told_per_chip_and_per_dollar():
    (stage,) = a_page()["stages"]
    assert stage["output_tok_s_chip"] == stage["output_tok_s"] / 4
    assert stage["usd_per_mtok"] == pytest.approx(8.0 / 3600 / stage["output_tok_s"] * 1e6)
    assert (stage["sent"], stage["completed"], stage["repeats"]) == (300, 299, 3)
    assert stage["itl_ms"]["p50"] == 10.0
    assert stage["ttft_cdf"][-1] == (102.0, 1.0)
    assert len(stage["ttft_cdf"]) == page.CDF_POINTS
    assert [value for value, _share in stage["e2e_cdf"]] == sorted(value for value, _share in stage["e2e_cdf"])


def test_the_facts_name_what_was_measured():
    facts = a_page()["facts"]
    assert facts["input_tokens"] == "100"
    assert facts["tokens_counted_by"] == "the server"
    assert (facts["dataset"], facts["generator"]) == ("synthetic", "not known")
    assert (
        report_data.in_words(
            a_workload(
                data={
                    "type": "synthetic",
                    "input_tokens": {"mean": 9.5, "stddev": 2, "min": 3},
                    "output_tokens": 1,
                }
            ).data.input_tokens
        )
        == "normal, mean 9.5, standard deviation 2, from 3 to 16"
    )


@pytest.mark.parametrize(
    ("counted", "words"),
    [([None, None], "chunks with text"), ([5, None], "the server for 1 of 2 requests, else by chunks with text")],
)
def test_who_counted_the_tokens_is_stated(counted, words):
    load = a_workload()
    found = results([a_record(seq, osl_server=told) for seq, told in enumerate(counted)], [some_facts()], load)
    judged = report_data.judge(found, load, {})
    summary = report_data.summary_data("run", judged, load, {})
    assert report_data.page_data(summary, judged, load, {})["facts"]["tokens_counted_by"] == words


def test_the_timeline_holds_every_token_every_failure_and_the_time_of_every_request():
    timeline = a_page(server=[{"t": 10.0, "running": 2}, {"t": 10.01, "running": 4}, {"t": 999.0, "running": 9}])[
        "timeline"
    ]
    width = timeline["bucket_s"]
    assert len(timeline["t"]) == page.TIMELINE_BUCKETS
    assert sum(timeline["output_tok_s"]) * width == pytest.approx(2990)
    assert sum(timeline["in_flight"]) * width == pytest.approx(300 * 0.19)
    assert sum(timeline["errors"]) == 1
    assert [value for value in timeline["server_running"] if value is not None] == [3.0]
    assert timeline["server_waiting"] is None
    assert [band["repeat"] for band in timeline["bands"]] == [0, 1, 2]


@properties
@given(st.lists(st.tuples(st.floats(0, 50), st.floats(0, 30), st.floats(0, 1000)), min_size=1, max_size=20))
def test_what_is_spread_over_slices_is_not_lost(intervals):
    buckets = report_data._Buckets(0.0, 80 / 7, 7)
    amounts = buckets.spread((begin, begin + length, amount) for begin, length, amount in intervals)
    assert sum(amounts) == pytest.approx(sum(amount for _b, _l, amount in intervals), abs=1e-6)


def test_the_heat_map_counts_every_completed_request():
    heat = a_page()["heat"]
    assert sum(map(sum, heat["counts"])) == 299
    assert (len(heat["counts"]), len(heat["counts"][0])) == (page.HEAT_ROWS, page.HEAT_COLUMNS)


def test_the_scatter_is_a_sample_of_the_whole_run():
    load = a_workload()
    found = results([a_record(seq, ttft_ms=float(seq)) for seq in range(1200)], [some_facts()], load)
    judged = report_data.judge(found, load, {})
    points = report_data.page_data(report_data.summary_data("run", judged, load, {}), judged, load, {})["scatter"]
    assert len(points) == 400
    assert {point["ttft_ms"] for point in points} == {float(seq) for seq in range(0, 1200, 3)}


def test_a_run_without_answers_has_no_curves():
    load = a_workload()
    judged = report_data.judge(results([], [some_facts(sent=0)], load), load, {})
    given = report_data.page_data(report_data.summary_data("run", judged, load, {}), judged, load, {})
    check(given, page.Run)
    assert (given["heat"], given["scatter"], given["stages"][0]["ttft_ms"]) == (None, [], None)
    assert given["stages"][0]["reasons"] == ["No request was sent."]


def test_a_run_is_stopped_when_stages_are_missing_or_were_cut_off():
    _summary, judged, load = a_judged_run(repeats=3)
    assert not report_data.is_stopped(judged, load)
    assert report_data.is_stopped(judged, a_workload(repeats=4))
    assert report_data.is_stopped(report_data.judge(results([a_record()], []), a_workload(), {}), a_workload())


def test_the_newest_run_of_the_same_kind_is_the_baseline_unless_another_is_named():
    earlier = [
        a_judged_run("older", about=ABOUT | {"started_at": "2026-01-01"})[0],
        a_judged_run("newer", about=ABOUT | {"started_at": "2026-01-02"})[0],
        a_judged_run("unlike", about=ABOUT | {"started_at": "2026-01-03", "server": "jetstream 1"})[0],
        a_judged_run("a-run", about=ABOUT | {"started_at": "2026-01-04"})[0],
    ]
    found = a_page(earlier=earlier)["comparison"]
    assert (found["baseline"], [run["run_id"] for run in found["runs"]]) == ("newer", ["newer", "older"])
    assert a_page(earlier=earlier, baseline="older")["comparison"]["baseline"] == "older"
    assert a_page()["comparison"] is None


def test_the_summary_is_plain_data_without_a_hole():
    summary, _judged, load = a_judged_run(about=ABOUT)
    json.dumps(summary, allow_nan=False)
    assert summary["key"]["workload"] == load.digest
    assert [one["usd_per_mtok"] is not None for one in summary["stages"][0]["repeats"]] == [True] * 3
    assert not any(math.isnan(one["observed"]) for one in summary["slo"])
