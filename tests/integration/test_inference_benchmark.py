# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module inference_benchmark against the server of tokens: in plays, and called directly where that is enough."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import secrets
import signal
import sqlite3
import threading
import time
from xml.etree import ElementTree

import pytest
from ansible.module_utils.testing import patch_module_args
from bench_runs import _token_server, bench
from token_server import MODEL

from ansible_collections.modelops.serving.plugins.modules import inference_benchmark

__all__ = ["_token_server", "bench"]

LENGTHS = {"input_tokens": {"mean": 12}, "output_tokens": {"mean": 8}}
SHORT = [{"concurrency": 4, "requests": 24}]
EASY = {"ttft_p50_ms": 10_000, "error_rate": 0.5}


@pytest.fixture
def options(bench):
    def make(**changes):
        return {
            "endpoint": bench.server.url,
            "model": MODEL,
            "data": LENGTHS,
            "stages": SHORT,
            "results": str(bench.folder / "results"),
            **changes,
        }

    return make


@pytest.fixture
def run(options, capsys):
    """Calls the module with options, and returns its result."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}

    def call(check=False, **changes):
        given = {**options(**changes), "_ansible_check_mode": check}
        with patch_module_args(given), contextlib.suppress(SystemExit):
            inference_benchmark.main()
        return json.loads(capsys.readouterr().out)

    yield call
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_plays(playbooks, bench, options):
    key, folder = secrets.token_hex(16), bench.folder / "results"
    module = "modelops.serving.inference_benchmark"
    common = {"api_key": key, "warmup": {"requests": 2}, "keep_text": True}
    metrics = [f"{bench.server.url}/metrics"]
    common |= {"extra_body": {"temperature": 0, "stop": None}, "server_metrics": metrics}
    staged = options(**common, stages=[{"rate": 30, "requests": 30}, *SHORT], slo=EASY, run_id="good", name="nightly")
    too_slow = options(**common, slo={"ttft_p50_ms": 1}, run_id="slow")
    run = playbooks.tasks(
        [
            {module: staged, "check_mode": True},
            {"ansible.builtin.stat": {"path": str(folder)}},
            {module: staged},
            {module: too_slow, "ignore_errors": True},
            {module: {**too_slow, "run_id": "told", "fail_on": []}},
        ],
        "-vvvv",
    ).ok()
    checked, place, good, slow, told = run.results

    assert (checked["changed"], checked["preflight"]["models"], checked["preflight"]["tokens"]) == (True, [MODEL], None)
    assert not place["stat"]["exists"]
    # Nothing but one completion, the warm-up and the stages.
    assert len(bench.server.log()) == (1 + 2 + 30 + 24) + 2 * (1 + 2 + 24)

    assert (good["changed"], good["verdict"], good["canary_verdict"]) == (True, "passed", "promote")
    assert [(stage["sent"], stage["completed"]) for stage in good["stages"]] == [(30, 30), (24, 24)]
    assert good["stages"][0]["latency"]["ttft"]["p50"] >= 20
    assert good["run_id"] == "good" and good["preflight"]["tokens"] == 4
    for file, start in (("report", "<!DOCTYPE html>"), ("junit", "<?xml")):
        with open(good[file], encoding="utf-8") as stream:
            assert stream.read().lower().startswith(start.lower())
    assert f"inference_benchmark [localhost] nightly: {bench.server.url} answers, round trip" in run.output
    for line in ("stage 1 of 2, 30 of 30 requests answered, 0 errors", "warm-up, 2 of 2 requests answered, 0 errors"):
        assert f"inference_benchmark [localhost] nightly: {line}\n" in run.output

    assert (slow["failed"], slow["error"]["kind"], slow["canary_verdict"]) == (True, "GateError", "roll_back")
    assert "Stage 0 missed ttft_p50_ms: " in slow["msg"] and slow["report"] in slow["msg"]
    failures = ElementTree.parse(slow["junit"]).findall(".//failure")
    assert len(failures) == 1
    assert (told.get("failed", False), told["verdict"], told["canary_verdict"]) == (False, "failed", "roll_back")

    # Prompts were to be kept, the key was not.
    files = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert len(files) == 3 * 9 + 1 and b'"prompt":"' in b"".join(files)
    assert json.loads((folder / "good" / "workload.json").read_text())["extra_body"] == common["extra_body"]
    samples = [json.loads(line) for line in (folder / "good" / "server.jsonl").read_text().splitlines()]
    assert [sample for sample in samples if sample["t"] >= 0 and sample["running"] >= 0] == samples != []
    assert key not in run.output and not any(key.encode() in content for content in files)
    with contextlib.closing(sqlite3.connect(folder / "index.sqlite")) as index:
        found = index.execute("SELECT run_id, verdict FROM runs ORDER BY verdict, run_id").fetchall()
    assert found == [(slow["run_id"], "failed"), ("told", "failed"), ("good", "passed")]
    assert not playbooks.leftovers()


def test_a_search_finds_the_highest_load_that_meets_the_objectives(bench, run):
    bench.server.play(seats=4, slow=0.6)
    candidates = [{"concurrency": many, "requests": 24} for many in (1, 2, 3, 4, 8, 16)]
    found = run(stages=candidates, slo={"ttft_p50_ms": 300}, search=True, warmup={"requests": 2})
    assert (found["search"]["highest"], found["search"]["asked"], found["search"]["kind"]) == (3, 4.0, "concurrency")
    tried = [(probe["asked"], probe["verdict"]) for probe in found["search"]["probes"]]
    assert tried == [(3.0, "passed"), (8.0, "failed"), (4.0, "passed")]
    assert (found["verdict"], found["canary_verdict"], found["stopped"]) == ("passed", "promote", False)
    # Nothing was sent of the other stages.
    assert len(bench.server.log()) == 1 + 2 + 3 * 24
    cases = ElementTree.parse(found["junit"]).findall(".//testcase")
    assert {case.get("classname") for case in cases} == {"stage 3"} and not any(map(len, cases))


def test_a_run_is_held_against_the_last_good_one(bench, run):
    thrice = {"repeats": 3, "baseline": "last_good", "fail_on": ["slo", "regression"], "slo": EASY}
    first = run(**thrice, run_id="first")
    assert (first["verdict"], "comparison" in first) == ("passed", False)
    assert "there is no last good one" in json.dumps(first["warnings"])
    # Of another kind, and failed: neither is the last good one.
    assert run(slo=EASY, seed=1, run_id="other")["verdict"] == "passed"
    assert run(slo={"ttft_p50_ms": 1}, run_id="failed")["failed"]
    bench.server.play(ttft=0.06)
    slower = run(**thrice, run_id="slower")
    assert (slower["failed"], slower["verdict"], slower["canary_verdict"]) == (True, "failed", "roll_back")
    assert "Stage 0 is worse than run first in ttft_p50_ms: " in slower["msg"]
    assert slower["comparison"]["baseline"] == "first"
    # Told, and tolerated.
    assert run(**{**thrice, "fail_on": ["slo"]}, run_id="told")["verdict"] == "passed"
    unlike = run(baseline="other")
    assert "cannot be compared: workload is" in unlike["msg"]
    assert run(baseline="none")["error"]["kind"] == "InputError"


def test_bad_input_sends_no_load(bench, run, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", secrets.token_hex(16))
    empty, file = tmp_path / "empty.jsonl", tmp_path / "file"
    empty.touch()
    file.touch()
    (tmp_path / "results" / "there").mkdir(parents=True)
    password = secrets.token_hex(8)
    data = {"type": "jsonl", "output_tokens": {"mean": 8}}
    cases = [
        ("InputError", "endpoint must be a URL", {"endpoint": "server:8000"}),
        ("InputError", "must not hold a user or password", {"endpoint": f"http://me:{password}@server"}),
        ("InputError", "headers must not hold Authorization", {"headers": {"Authorization": f"Bearer {password}"}}),
        ("InputError", "extra_body must not hold model", {"extra_body": {"model": "other"}}),
        ("InputError", "One of server_metrics is no URL", {"server_metrics": ["server:8000"]}),
        ("EndpointError", "has no metric of vLLM", {"server_metrics": [f"{bench.server.url}/v1/models"]}),
        ("EndpointError", "Nothing can be reached at http://127.0.0.1:9", {"endpoint": "http://127.0.0.1:9"}),
        ("EndpointError", f"does not serve the model 'none'. It serves: {MODEL}.", {"model": "none"}),
        ("InputError", "SLO 'ttft_p98_ms' is not known; did you mean", {"slo": {"ttft_p98_ms": 200}}),
        ("InputError", "SLO 'ttft_p99_s' is not known; did you mean ttft_p99_ms?", {"slo": {"ttft_p99_s": 2}}),
        ("InputError", "stages[0].rate must be a number above 0", {"stages": [{"rate": 0, "duration": 1}]}),
        ("InputError", "No such file", {"data": {**data, "path": str(tmp_path / "none")}}),
        ("InputError", "is empty", {"data": {**data, "path": str(empty)}}),
        ("InputError", "Set repeats to 3", {"fail_on": ["regression"], "baseline": "last_good"}),
        ("StorageError", "Not a directory", {"results": str(file)}),
        ("StorageError", "choose another run_id", {"run_id": "there"}),
    ]
    for check in (True, False):
        for kind, told, changes in cases:
            result = run(check, **changes)
            assert (result["failed"], result["changed"], result["error"]["kind"]) == (True, False, kind), result
            assert told in result["msg"] and result["error"]["hint"], result
            assert password not in json.dumps(result) and os.environ["OPENAI_API_KEY"] not in json.dumps(result)
    assert not bench.server.log()
    # A folder that only the attempt to write shows to be none.
    assert run(results="/proc/none")["error"]["kind"] == "StorageError"
    bench.server.play(faults=["no_tokens"])
    silent = run()
    assert "without tokens" in silent["msg"]
    assert (len(bench.server.log()), silent["changed"]) == (3, False)
    # A model that has ended its answer at once by chance can be measured.
    bench.server.play(faults=["no_tokens", *30 * [None]])
    assert run()["preflight"]["tokens"] == 4
    assert not list((tmp_path / "results" / "there").iterdir())


def test_a_server_that_dies_is_no_success(bench, run):
    bench.server.play(faults=[None] + 60 * ["500"])
    dead = run(fail_on=[], repeats=2)
    assert (dead["error"]["kind"], dead["verdict"]) == ("EndpointError", "none")
    assert "None of 48 requests was answered (http 500)." in dead["msg"]
    with open(dead["report"], encoding="utf-8") as stream:
        assert "500" in stream.read()


def test_a_full_disk(bench, run):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))
    try:
        full = run(run_id="full", stages=[{"concurrency": 4, "requests": 500}])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (full["error"]["kind"], full["changed"]) == ("StorageError", True)
    assert "requests.jsonl in the results folder" in full["msg"]
    assert 0 < len((bench.folder / "results" / "full" / "requests.jsonl").read_bytes()) <= 8192
    assert len(bench.server.log()) < 100


def test_what_was_measured_survives_an_interrupt(bench, run):
    def interrupt():
        while len(bench.server.log()) < 20:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=interrupt)
    thread.start()
    stopped = run(stages=[{"rate": 40, "duration": 60}], slo=EASY)
    thread.join()
    assert (stopped["error"]["kind"], stopped["stopped"], "verdict" in stopped) == ("StoppedError", True, False)
    assert 10 < stopped["stages"][0]["completed"] < 1000
    with open(stopped["report"], encoding="utf-8") as stream:
        assert "cut off" in stream.read()
