# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Workloads and records that tests make runs from."""

from __future__ import annotations

import copy
import typing as t

import hypothesis

from ansible_collections.modelops.serving.plugins.module_utils._bench import report_data, stages, stats, workload
from ansible_collections.modelops.serving.plugins.module_utils._bench.records import Record

#: Property tests: the same examples on every machine, nothing kept on disk, no blame for a slow machine.
properties = hypothesis.settings(deadline=None, derandomize=True, database=None, max_examples=100)

WORKLOAD: dict[str, t.Any] = {
    "endpoint": "http://server:8000",
    "protocol": "openai_chat",
    "model": "org/model",
    "data": {"type": "synthetic", "input_tokens": 100, "output_tokens": 10},
    "stages": [{"rate": 10, "duration": 10}],
}


def a_workload(**changes: t.Any) -> workload.Workload:
    return workload.parse(copy.deepcopy(WORKLOAD) | changes)


def a_record(seq: int = 0, **changes: t.Any) -> Record:
    """A request that ended well: sent at seq / 10 s, first token after 100 ms, nine more each 10 ms."""
    start = changes.pop("t_start", seq / 10)
    fields: dict[str, t.Any] = {
        "run_id": "a-run",
        "stage": 0,
        "repeat": 0,
        "seq": seq,
        "t_scheduled": start,
        "t_start": start,
        "t_first": start + 0.1,
        "t_end": start + 0.19,
        "isl": 100,
        "osl": 10,
        "osl_server": 10,
        "ttft_ms": 100.0,
        "tpot_ms": 10.0,
        "itl_mean_ms": 10.0,
        "itl_p50_ms": 10.0,
        "itl_p99_ms": 10.0,
        "itl_max_ms": 10.0,
        "e2e_ms": 190.0,
        "ok": True,
        "status": 200,
        "model": "org/model",
        "finish_reason": "length",
    }
    return Record(**fields | changes)


def a_failure(seq: int = 0, error: str = "http", status: int | None = 503, **changes: t.Any) -> Record:
    nothing = dict.fromkeys(
        ("t_first", "ttft_ms", "tpot_ms", "itl_mean_ms", "itl_p50_ms", "itl_p99_ms", "itl_max_ms", "osl_server")
    )
    return a_record(seq, ok=False, error=error, status=status, message="refused", osl=0, **nothing, **changes)


def some_facts(**changes: t.Any) -> stages.StageFacts:
    """Of a stage that sent 10 requests per second for 10 seconds."""
    fields: dict[str, t.Any] = {
        "stage": 0,
        "repeat": 0,
        "kind": "rate",
        "asked": 10.0,
        "arrival": "constant",
        "t_begin": 0.0,
        "t_end": 10.0,
        "sent": 100,
        "completed": 100,
        "in_flight_max": 2,
        "generator_cpu": 0.1,
    }
    return stages.StageFacts(**fields | changes)


def results(
    records: t.Iterable[Record], facts: t.Iterable[stages.StageFacts], load: workload.Workload | None = None
) -> list[stats.StageResult]:
    load = load or a_workload()
    return stats.summarise(stats.collect(records, stats.limits_of_requests(load.objectives)), facts, load)


def a_judged_run(
    run_id: str = "a-run", *, slower: float = 0.0, repeats: int = 3, about: report_data.About | None = None
) -> tuple[dict[str, t.Any], list[report_data.Judged], workload.Workload]:
    """The summary, the stages and the workload of a run. Its TTFT is 100, 101, ... ms by repeat, plus ``slower``."""
    load = a_workload(repeats=repeats, slo={"ttft_p50_ms": 150, "error_rate": 0.5})
    records = [
        a_record(seq, repeat=repeat, t_start=repeat * 20 + seq / 10, ttft_ms=100.0 + repeat + slower)
        for repeat in range(repeats)
        for seq in range(100)
    ]
    records[-1] = a_failure(99, repeat=repeats - 1, t_start=records[-1].t_start)
    facts = [
        some_facts(repeat=repeat, t_begin=repeat * 20.0, t_end=repeat * 20.0 + 10, itl=a_histogram(10.0))
        for repeat in range(repeats)
    ]
    told: report_data.About = {"started_at": "2026-11-21T10:00:00.000+00:00", **(about or {})}
    judged = report_data.judge(results(records, facts, load), load, told)
    return report_data.summary_data(run_id, judged, load, told), judged, load


def a_histogram(*values: float) -> stages.Histogram:
    histogram = stages.Histogram()
    for value in values:
        histogram.add(value)
    return histogram
