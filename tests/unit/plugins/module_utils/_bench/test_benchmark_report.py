# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reports of stages that the package which defines the Benchmark Report takes, strictly."""

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._bench import benchmark_report, report_data
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._bench.runs import (
    a_failure,
    a_judged_run,
    a_record,
    a_workload,
    results,
    some_facts,
)

FULL: report_data.About = {
    "name": "release",
    "server": "vllm 0.33.0",
    "image": "vllm/vllm-tpu@sha256:0",
    "args": ["--max-model-len=4096"],
    "accelerator": "tpu-v6e-slice",
    "chips": 8,
    "generator": "builtin 0.4.0",
    "generator_host": "pod-1",
}
FROM_FILE = {"type": "jsonl", "path": "/data/prompts.jsonl", "output_tokens": {"mean": 50, "stddev": 5}}


def some_reports():
    _summary, judged, load = a_judged_run(about=FULL)
    yield benchmark_report.report("a-run", judged[0], load, FULL | {"started_at": "2026-11-21T10:00:00.000+00:00"})
    loads = [
        (a_workload(), {}, [a_record()]),
        (a_workload(stages=[{"concurrency": 3, "requests": 9}], data=FROM_FILE), {"server": "jetstream"}, [a_record()]),
        (a_workload(), {"started_at": "unknown"}, [a_failure()]),
        (a_workload(protocol="jetstream", model=""), {}, []),
    ]
    for load, about, records in loads:
        facts = some_facts(kind=load.stages[0].kind, asked=load.stages[0].asked)
        (judged,) = report_data.judge(results(records, [facts], load), load, about)
        yield benchmark_report.report("a-run", judged, load, about)


def test_every_report_keeps_to_the_schema():
    # Needs Python 3.11, and the collection runs on older ones.
    schema = pytest.importorskip("llmd_benchmark_report.schema_v0_2", reason="the package needs Python 3.11")
    for report in some_reports():
        model = schema.BenchmarkReportV02.model_validate(report, strict=False, extra="forbid")
        assert model.version == schema.VERSION == benchmark_report.VERSION
        kept = model.model_dump(mode="json", exclude_unset=True)
        assert kept["results"] == report["results"]
        assert kept["scenario"] == report["scenario"]


def test_figures_and_verdict_are_those_of_the_stage():
    report = next(some_reports())
    aggregate = report["results"]["request_performance"]["aggregate"]
    assert aggregate["requests"]["total"] == 300
    assert aggregate["requests"]["failures"] == 1
    assert aggregate["latency"]["time_to_first_token"]["units"] == "ms"
    assert aggregate["latency"]["time_to_first_token"]["p50"] == 101.0
    assert aggregate["latency"]["time_to_first_token"]["p99p9"] == 102.0
    assert aggregate["latency"]["time_per_output_token"]["units"] == "ms/token"
    assert report["run"]["keywords"] == ["valid"]
    assert report["run"]["description"] == "org/model [release]"
    assert report["run"]["time"]["start"] == "2026-11-21T10:00:00+00:00"
    assert report["run"]["time"]["duration"] == "PT50.090S"
    assert report["scenario"]["stack"][0]["standardized"]["accelerator"]["parallelism"] == {"tp": 8}
    assert report["scenario"]["load"]["standardized"]["rate_qps"] == 10.0


def test_where_the_server_is_stays_out():
    for report in some_reports():
        assert "server:8000" not in str(report)


def test_stages_of_a_run_have_ids_of_their_own_and_its_id_in_common():
    first, second = list(some_reports())[:2]
    assert first["run"]["eid"] == second["run"]["eid"]
    _summary, judged, load = a_judged_run()
    judged[0].result.summary.stage = 1
    assert benchmark_report.report("a-run", judged[0], load, {})["run"]["uid"] != first["run"]["uid"]
