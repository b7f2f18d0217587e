# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Load tools of others, as they are: what a Pod makes them send, against a server that logs what it saw and wrote.

``make functional`` installs locust, ``make engines`` the others. What is not there is skipped.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import uuid
from pathlib import Path

import pytest
from bench_pods import Pod
from bench_runs import _token_server, bench

from ansible_collections.modelops.serving.plugins.module_utils._bench import bundle, engines, records, results, shards
from ansible_collections.modelops.serving.plugins.module_utils._bench.engines.engine import Job
from ansible_collections.modelops.serving.plugins.module_utils._bench.workload import parse

__all__ = ["_token_server", "bench"]

CHECKOUT = Path(__file__).parents[2]
INSTALLED = CHECKOUT / ".venv-engines"
TOKENIZER = CHECKOUT / "benchmarks" / "load_generator" / "make_tokenizer.py"
TOKENS, GAP = 6, 0.05
RATE, AT_ONCE = 30, 4
LOAD = {
    "data": {"type": "synthetic", "input_tokens": 12, "output_tokens": TOKENS},
    "stages": [{"rate": RATE, "requests": RATE}, {"concurrency": AT_ONCE, "requests": 16}],
    "warmup": {"requests": 3},
    "extra_body": {"ignore_eos": True},
}
#: The preflight and the warm-up come before the first two.
FAULTS = [None] * 6 + ["500", "reset"]


@pytest.fixture(params=["locust", "aiperf", "inference_perf"])
def engine(request):
    """The name of a load tool that is installed."""
    if not (INSTALLED / request.param / ".installed").exists():
        pytest.skip(f"{request.param} is not installed; `make engines` does it, where this Python can run it")
    return request.param


@pytest.fixture
def tokenizer(engine, tmp_path):
    """A folder with one, for tools that count tokens."""
    place = tmp_path / "tokenizer"
    if engines.find(engine).tokenizes:
        subprocess.run([INSTALLED / engine / "bin" / "python", TOKENIZER, place], check=True, capture_output=True)
    return str(place)


@pytest.fixture
def run(bench, engine, tokenizer, tmp_path):
    """Sends the load by the tool in a Pod: its records, the times at which theirs begin, and the Pod."""
    (tmp_path / "modelops_bench.zip").write_bytes(bundle.build())
    workload = parse(bench.workload(**LOAD))
    job = Job(tokenizer, files=str(tmp_path / "pod"), results=str(tmp_path / "pod-results"), api_key=True)
    rendered = engines.render(engine, workload, job=job)
    plan = {
        "engine": engine,
        "workload": workload.as_data(),
        "engine_plan": rendered.plan,
        "server_metrics": [f"{bench.server.url}/metrics"],
        "collect_timeout": 60,
        "start_timeout": 60,
        "preflight": True,
    }
    programs = INSTALLED / engine / "bin"
    variables = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "OPENAI_API_KEY": uuid.uuid4().hex,
        **rendered.environment,
    }
    pod = Pod(tmp_path, "pod", plan, files=rendered.files, python=[str(programs / "python")], **variables)
    try:
        pod.until("ready")
        pod.ask("signal", "go", "0")
        told, status, err = pod.ended()
    finally:
        pod.close()
    assert (told, status) == ({"event": "ended", "status": 0}, 0), err
    written = [path.read_bytes() for path in pod.here.rglob("*") if path.is_file()]
    assert not any(variables["OPENAI_API_KEY"].encode() in content for content in written)
    shards.merge([pod.here], tmp_path / "run", workload, "run")
    origin = json.loads((pod.here / "steps.json").read_text())["origin"]["monotonic"]
    return tmp_path / "run", list(records.read(tmp_path / "run" / records.FILE)), origin


@pytest.fixture
def script(bench):
    """How the server answers, before anything asks it."""
    bench.server.play(ttft=0.1, itl=GAP, faults=FAULTS)


def test_a_tool_sends_what_is_asked_for_and_is_read_as_it_is(script, bench, run):
    place, found, origin = run
    asked = LOAD["stages"][0]["requests"] + LOAD["stages"][1]["requests"]
    # Nothing else was asked but by the preflight and the warm-up.
    log = bench.server.log()[-asked:]
    assert len(found) == asked == len(bench.server.log()) - 1 - LOAD["warmup"]["requests"]

    # Each fault is an error of the request that met it.
    seen = {"500": ("http", 500), "reset": ("reset", None)}
    expected = sorted(str(seen[entry["fault"]]) for entry in log if entry["fault"])
    kinds = [(record.error, record.status if record.error == "http" else None) for record in found if record.error]
    assert sorted(map(str, kinds)) == expected
    assert all(record.ok != bool(record.error) for record in found)

    # Nothing is seen before it happens. Both sides are sorted: no tool tells which entry of the log is whose.
    good = [record for record in found if record.ok]
    fine = [entry for entry in log if not entry["fault"]]
    assert len(good) == len(fine)
    assert {(record.osl, record.osl_server) for record in good} == {(TOKENS, TOKENS)}
    starts, arrivals = sorted(origin + record.t_start for record in found), sorted(entry["arrived"] for entry in log)
    assert all(start <= arrived + 1e-3 for start, arrived in zip(starts, arrivals, strict=True))
    for seen_at, written_at in (
        ([origin + record.t_first for record in good], [entry["written"][0] for entry in fine]),
        ([origin + record.t_end for record in good], [entry["written"][-1] for entry in fine]),
    ):
        late = [seen - wrote for seen, wrote in zip(sorted(seen_at), sorted(written_at), strict=True)]
        assert min(late) > -1e-3
        # Whoever reads a stream in blocks sees the first token when the last one has come.
        assert statistics.median(late) < GAP / 2
    ttft = statistics.median(entry["written"][0] - entry["arrived"] for entry in fine)
    assert abs(statistics.median(record.ttft_ms for record in good) - ttft * 1000) < GAP / 2 * 1000
    tpot = statistics.median((entry["written"][-1] - entry["written"][0]) / (TOKENS - 1) for entry in fine)
    assert abs(statistics.median(record.tpot_ms for record in good) - tpot * 1000) < GAP / 4 * 1000

    # The stages are what the server saw of them.
    summary = results.report(place)
    assert not summary["stopped"]
    paced, closed = summary["stages"]
    assert [(stage["sent"], stage["completed"]) for stage in (paced, closed)] == [
        (sum(record.stage == number for record in found), sum(record.stage == number for record in good))
        for number in (0, 1)
    ]
    assert (paced["sent"], closed["sent"], closed["asked"]) == (RATE, 16, AT_ONCE)
    # An open loop does not wait: far more were under way than one would have been with so many users.
    assert closed["in_flight_max"] <= AT_ONCE < paced["in_flight_max"]
    span = arrivals[RATE - 1] - arrivals[0]
    told = max(r.t_start for r in found if r.stage == 0) - min(r.t_start for r in found if r.stage == 0)
    # Without its schedule it would send all of them at once.
    assert told == pytest.approx(span, abs=0.25) and span > 0.5
    # A stage that is hardly longer than two samples may have none.
    assert (paced["generator_cpu"] or closed["generator_cpu"]) > 0
    assert any(json.loads(line)["running"] for line in (place / "server.jsonl").read_text().splitlines())
