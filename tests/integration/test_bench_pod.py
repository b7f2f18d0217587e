# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Pod of a benchmark runs: the zip of the package and a Python that has nothing else, told what to do by files."""

from __future__ import annotations

import datetime
import json
import sys
import time
import uuid

import pytest
from bench_pods import Pod
from bench_runs import _token_server, bench

from ansible_collections.modelops.serving.plugins.module_utils._bench import bundle, records, results, shards, stages
from ansible_collections.modelops.serving.plugins.module_utils._bench.workload import parse

__all__ = ["_token_server", "bench"]


@pytest.fixture
def pods(bench, tmp_path):
    """Starts one Pod per part of a workload."""
    (tmp_path / "modelops_bench.zip").write_bytes(bundle.build())
    started = []

    def start(count=1, *, metrics=(), engine_plan=None, start_timeout=60, variables=None, **changes):
        for number, part in enumerate(shards.split(parse(bench.workload(**changes)), count)):
            plan = {
                "engine": engine_plan["engine"] if engine_plan else "builtin",
                "workload": part.as_data(),
                "engine_plan": engine_plan,
                "server_metrics": [] if number else list(metrics),
                "collect_timeout": 60,
                "start_timeout": start_timeout,
                "preflight": True,
                "image": "python@sha256:0",
            }
            started.append(Pod(tmp_path, f"pod-{len(started)}", plan, **(variables or {})))
        return started[-count:]

    yield start
    for pod in started:
        pod.close()


def merged(bench, pods, target, **changes):
    whole = parse(bench.workload(**changes))
    shards.merge([pod.here for pod in pods], target, whole, target.name)
    return list(records.read(target / records.FILE)), stages.read(target / stages.FILE)


def test_two_pods_send_one_load_and_leave_one_run(bench, pods, tmp_path):
    bench.server.play(ttft=0.2)
    load = {
        "stages": [{"rate": 50, "requests": 25}, {"concurrency": 5, "duration": 1.5}],
        "warmup": {"requests": 3},
        "extra_body": {"ignore_eos": True},
    }
    both = pods(2, metrics=[f"{bench.server.url}/metrics"], **load)
    for pod in both:
        assert pod.until("ready")["preflight"]["tokens"] > 0
    begin = time.time() + 0.2
    # Nodes whose clocks differ look like a Pod that begins late.
    for pod, late in zip(both, (0.0, 0.7), strict=True):
        pod.ask("signal", "go", str(begin + late))
    running = both[0].until("progress", stage=1)
    assert {"repeat", "elapsed", "remaining", "requests_s", "sent", "completed", "errors"} <= running.keys()
    assert running["server_running"] is not None
    for pod in both:
        told, status, err = pod.ended()
        assert (told, status, err) == ({"event": "ended", "status": 0}, 0, "")

    found, facts = merged(bench, both, tmp_path / "run", **load)
    log = {entry["id"]: entry for entry in bench.server.log()}
    told = json.loads((tmp_path / "run" / "environment.json").read_text())
    shift = time.time() - time.monotonic() - datetime.datetime.fromisoformat(told["started_at"]).timestamp()
    for record in found:
        entry = log.pop(f"pod-{record.seq % 2}-{record.stage}-{record.repeat}-{record.seq // 2}")
        assert record.ok and record.osl == len(entry["written"])
        # On one clock: half of what one of them was late is more than any machine adds.
        assert abs(record.t_start - entry["arrived"] - shift) < 0.35
    # Nothing else was asked but by the preflight and the warm-up.
    assert set(log) == {"preflight", "pod-0--1-0-0", "pod-0--1-0-1", "pod-1--1-0-0"}
    assert [fact.sent for fact in facts] == [25, len(found) - 25]
    assert [fact.asked for fact in facts] == [50, 5]
    assert facts[1].in_flight_max == 5

    summary = results.report(tmp_path / "run")
    assert not summary["stopped"]
    # They were told to begin at different times, so that the rate was never the one that was asked for.
    assert "less than 95% of the 50 asked for" in summary["stages"][0]["reasons"][0]
    samples = [json.loads(line) for line in (tmp_path / "run" / "server.jsonl").read_text().splitlines()]
    assert any(sample["running"] > 0 for sample in samples)
    html = (tmp_path / "run" / "index.html").read_text()
    assert "pod-0, pod-1" in html and "python@sha256:0" in html and "node-a" in html


def test_a_pod_that_is_ended_keeps_what_was_measured(bench, pods, tmp_path):
    load = {"stages": [{"concurrency": 2, "requests": 6}, {"rate": 40, "duration": 60}]}
    (pod,) = pods(**load)
    pod.until("ready")
    pod.ask("signal", "go", "0")
    pod.until("progress", stage=1)
    pod.collect()
    early = (pod.here / records.FILE).read_bytes()
    assert [fact.stage for fact in stages.read(pod.here / stages.FILE)] == [0]
    pod.end()
    told, status, _err = pod.ended()
    assert (told["status"], told["error"]["kind"], status) == (143, "StoppedError", 143)
    late = (pod.here / records.FILE).read_bytes()
    assert late.startswith(early) and len(late) > len(early) > 0
    found, facts = merged(bench, [pod], tmp_path / "run", **load)
    assert [(fact.stage, fact.sent) for fact in facts] == [(0, 6)]
    assert len(found) == len(bench.server.log()) - 1  # that of the preflight
    assert results.report(tmp_path / "run")["stopped"]


def test_a_pod_that_cannot_begin_says_why(bench, pods):
    waits, nobody, blind, unknown = (
        *pods(),
        *pods(start_timeout=0.1),
        *pods(metrics=[f"{bench.server.url}/v1/models"]),
        *pods(model="other"),
    )
    waits.until("ready")
    waits.end()
    nobody.until("ready")
    for pod, kind, cause, status in (
        (waits, "StoppedError", "before its first request", 143),
        (nobody, "StartError", "Nobody said within 0.1 s", 1),
        (blind, "EndpointError", "has no metric of vLLM", 4),
        (unknown, "EndpointError", "does not serve the model 'other'", 4),
    ):
        error = pod.until("failed")["error"]
        assert (error["kind"], pod.wait()) == (kind, status)
        assert cause in error["message"]


SENT = """
import json, time
with open("sent.jsonl", "w") as results:
    for number in range(4):
        start = time.monotonic()
        sent = {"start": start, "end": start + 0.02, "scheduled": start, "times": [start + 0.01], "osl": 1, "status": 200}
        results.write(json.dumps(sent) + "\\n")
"""
FAIL = "import os; print('cannot go on with', os.environ['OPENAI_API_KEY']); raise SystemExit(5)"


def test_a_tool_that_fails_leaves_what_it_has_measured_before(bench, pods, tmp_path):
    key = uuid.uuid4().hex
    steps = [
        {"name": f"stage-0-repeat-{repeat}", "argv": [sys.executable, "-c", code]}
        for repeat, code in enumerate((SENT, FAIL))
    ]
    plan = {"engine": "locust", "cores": 1, "private": {}, "secrets": ["OPENAI_API_KEY"], "steps": steps}
    load = {"stages": [{"rate": 200, "requests": 4}], "repeats": 2}
    (pod,) = pods(engine_plan=plan, variables={"OPENAI_API_KEY": key}, **load)
    pod.until("ready")
    pod.ask("signal", "go", "0")
    assert pod.until("progress", repeat=1)["sent"] is None
    told, status, err = pod.ended()
    assert (told["status"], told["error"]["kind"], status) == (1, "ToolError", 1)
    assert "locust ended with status 5 in stage-0-repeat-1" in told["error"]["message"]
    assert (pod.here / "locust.log").read_text() == err == "cannot go on with ***\n"
    found, facts = merged(bench, [pod], tmp_path / "run", **load)
    assert [(fact.repeat, fact.sent, fact.completed) for fact in facts] == [(0, 4, 4)]
    assert {(record.run_id, record.repeat) for record in found} == {("run", 0)}
    assert results.report(tmp_path / "run")["stopped"]
