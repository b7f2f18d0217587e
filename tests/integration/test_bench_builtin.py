# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine ``builtin`` against a server that logs when requests arrived and when it wrote each token."""

from __future__ import annotations

import itertools
import json
import signal
import socket
import ssl
import statistics
import time

import pytest
from bench_runs import Bench, _token_server, bench
from google_cloud.tls import Authority
from token_server import MODEL, TokenServer

from ansible_collections.modelops.serving.plugins.module_utils._bench.builtin.preflight import preflight
from ansible_collections.modelops.serving.plugins.module_utils._bench.errors import (
    EndpointError,
    InputError,
    StorageError,
)
from ansible_collections.modelops.serving.plugins.module_utils._bench.workload import parse

__all__ = ["_token_server", "bench"]

TOKENS = 16
TEXT = {"type": "synthetic", "input_tokens": 12, "output_tokens": TOKENS}


def tolerance(done) -> float:
    """Milliseconds by which a client may be late on this machine: it reads as late as it is seen to send."""
    late = sorted(record.schedule_delay_ms for record in done.records.values())
    return 5 + late[int(0.99 * (len(late) - 1))]


def test_what_is_measured_is_what_the_server_did(bench):
    bench.server.play(ttft=0.03, itl=0.004, faults=[None, None, "slow"], slow=0.25)
    done = bench.run(
        data=TEXT, stages=[{"rate": 60, "requests": 60}], arrival="poisson", warmup={"requests": 5}, keep_itl=True
    )
    assert len(done.records) == 60
    assert set(done.log) - set(done.records) == {f"{done.place.name}--1-0-{seq}" for seq in range(5)}
    late, spans = [], []
    for record, entry in done.pairs():
        assert record.ok, record
        # Nothing is seen before it happens: true on any machine, at any load.
        read = [done.origin + at for at in itertools.accumulate([record.t_first, *(ms / 1000 for ms in record.itl_ms)])]
        assert record.t_scheduled <= record.t_start
        assert done.origin + record.t_start <= entry["arrived"] + 1e-5
        assert all(written <= seen + 1e-4 for written, seen in zip(entry["written"], read, strict=True))
        assert (record.osl, record.osl_server, record.isl) == (TOKENS, TOKENS, 12)
        assert record.finish_reason == "length"
        assert record.tpot_ms == pytest.approx((record.e2e_ms - record.ttft_ms) / (TOKENS - 1), abs=0.01)
        late.append(record.ttft_ms - (entry["written"][0] - entry["arrived"]) * 1000)
        spans.append(sum(record.itl_ms) - (entry["written"][-1] - entry["written"][0]) * 1000)
    assert statistics.median(late) <= tolerance(done)
    assert abs(statistics.median(spans)) <= tolerance(done)
    # A server that is slow now and then is seen to be.
    slow = [record.ttft_ms for record, entry in done.pairs() if entry["fault"] == "slow"]
    assert len(slow) == pytest.approx(20, abs=2)
    assert min(slow) >= 250
    (facts,) = done.facts
    assert facts.itl.count == 60 * (TOKENS - 1)
    assert (facts.sent, facts.completed, facts.held_back, facts.cancelled) == (60, 60, 0, 0)
    assert 0 < facts.generator_cpu < 2


def test_an_open_loop_does_not_wait_for_a_slow_server(bench):
    bench.server.play(ttft=2.0)
    done = bench.run(stages=[{"rate": 60, "duration": 0.5}])
    (facts,) = done.facts
    assert (facts.sent, facts.in_flight_max) == (30, 30)
    assert max(entry["arrived"] for entry in done.log.values()) < min(entry["ended"] for entry in done.log.values())
    begun = [record.t_scheduled for record in sorted(done.records.values(), key=lambda record: record.seq)]
    assert [round((at - begun[0]) * 60, 3) for at in begun] == list(range(30))


def test_a_cap_on_requests_in_flight_is_kept_and_told(bench):
    bench.server.play(ttft=0.2)
    done = bench.run(stages=[{"rate": 60, "requests": 12}], max_in_flight=4)
    (facts,) = done.facts
    assert (facts.sent, facts.completed, facts.in_flight_max) == (12, 12, 4)
    assert facts.held_back
    last = max(done.records.values(), key=lambda record: record.seq)
    # The third four can only begin when the second four have ended.
    assert last.schedule_delay_ms > 2 * 200 - 12 / 60 * 1000


def test_a_closed_loop_keeps_so_many_in_flight_again_and_again(bench):
    done = bench.run(stages=[{"concurrency": 4, "requests": 22}, {"concurrency": 2, "duration": 0.3}], repeats=2)
    assert [(facts.stage, facts.repeat, facts.kind) for facts in done.facts] == [
        (stage, repeat, "concurrency") for repeat in (0, 1) for stage in (0, 1)
    ]
    for facts in done.facts:
        entries = [entry for name, entry in done.log.items() if f"-{facts.stage}-{facts.repeat}-" in name]
        changes = sorted(change for entry in entries for change in ((entry["arrived"], 1), (entry["written"][-1], -1)))
        most = max(itertools.accumulate(change for _at, change in changes))
        assert most <= facts.asked == facts.in_flight_max
        assert facts.sent == facts.completed == len(entries)
    assert done.facts[0].sent == done.facts[2].sent == 22
    assert set(done.log) == set(done.records)
    begins = [facts.t_begin for facts in done.facts]
    assert begins == sorted(begins)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("protocol", ["openai_completions", "openai_chat", "jetstream", "saxml"])
def test_protocols(bench, protocol, stream):
    changes = {"protocol": protocol, "stream": stream, "keep_text": True}
    looked = preflight(parse(bench.workload(**changes)))
    assert looked.tokens == 4
    assert looked.models == ((MODEL,) if protocol.startswith("openai") else None)
    assert looked.round_trip_ms < looked.completion_ms
    streamed = stream and protocol != "saxml"
    for record, entry in bench.run(**changes).pairs():
        assert (record.ok, record.status, record.osl) == (True, 200, 8)
        assert record.answer == " token" * 8
        assert len(record.prompt.split()) == record.isl == 12
        assert (record.ttft_ms is not None) == (record.tpot_ms is not None) == streamed
        assert record.e2e_ms >= (entry["written"][-1] - entry["arrived"]) * 1000 - 0.1
        assert record.osl_server == (8 if protocol.startswith("openai") else None)


def test_files_of_a_run_hold_no_text_and_no_key(bench):
    key = f"key-{time.monotonic_ns()}"
    process = bench.start("--run-id", "one", slo={"ttft_p50_ms": 60000}, headers={"X-Team": "a"})
    status, result = bench.result(process)
    assert (status, result["summary"]["verdict"]) == (0, "passed")
    bench.server.play(faults=["401", None])
    done = bench.run(keywords={"api_key": key})
    assert "Not known: Bearer ***." in {record.message for record in done.records.values()}
    for place in (bench.folder / "one", done.place):
        assert all(path.stat().st_mode & 0o077 == 0 for path in place.iterdir())
        assert not any(key in path.read_text() for path in place.iterdir())
        assert {record.prompt for record in bench.done(place.name).records.values()} == {None}
        assert parse(json.loads((place / "workload.json").read_text())).model == MODEL
    assert {path.name for path in (bench.folder / "one").iterdir()} == {
        *("requests.jsonl", "stages.json", "workload.json", "environment.json"),
        *("summary.json", "report.json", "junit.xml", "index.html"),
    }


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_in_order(bench, number):
    bench.server.play(ttft=0.3)
    process = bench.start("--run-id", "one", "--no-preflight", stages=[{"rate": 50, "duration": 60}])
    while sum(entry["ended"] is not None for entry in bench.server.log()) < 20:
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(number)
    status, result = bench.result(process)
    assert (status, result["error"]["kind"]) == (143, "StoppedError")
    done = bench.done("one")
    summary = json.loads((done.place / "summary.json").read_text())
    (stage,) = summary["stages"]
    kinds = [record.error for record in done.records.values()]
    assert set(kinds) == {"", "cancelled"}
    assert kinds.count("") >= 20
    assert (stage["sent"], stage["cancelled"], summary["stopped"]) == (len(kinds), kinds.count("cancelled"), True)
    # What was under way when it ended is in the records too, and the server has seen nothing else.
    assert set(done.log) <= set(done.records)


def test_tls(bench, tmp_path):
    authority = Authority(tmp_path)
    assert isinstance(authority.context("localhost"), ssl.SSLContext)
    with TokenServer(tmp_path / "localhost.pem") as server:
        secure = Bench(server, tmp_path)
        for trust in ({"ca_bundle": str(authority.file)}, {"verify": False}):
            done = secure.run(keywords=trust)
            assert all(record.ok for record in done.records.values())
        with pytest.raises(EndpointError, match="certificate verify failed"):
            preflight(parse(secure.workload()))
        with pytest.raises(InputError, match="CA bundle"):
            preflight(parse(secure.workload()), ca_bundle=str(tmp_path / "none.pem"))


# -- what is refused before anything is measured -----------------------------------------------------------------


def test_endpoints_that_cannot_be_measured(bench):
    def refused(**changes):
        with pytest.raises(EndpointError) as caught:
            preflight(parse(bench.workload(**changes)))
        assert caught.value.hint
        return str(caught.value)

    assert "Nothing can be reached at http://127.0.0.1:9:" in refused(endpoint="http://127.0.0.1:9")
    assert "has no address" in refused(endpoint="http://nowhere.invalid")
    assert f"does not serve the model 'none'. It serves: {MODEL}." in refused(model="none")
    assert "The model `none` does not exist." in refused(model="none", protocol="saxml")
    bench.server.play(faults=["no_tokens"])
    for changes in ({}, {"stream": False}, {"protocol": "openai_chat"}, {"protocol": "jetstream"}):
        assert "answers with status 200, but without tokens" in refused(**changes)
    bench.server.play(faults=["500"])
    assert "answers with status 500: Out of memory." in refused()
    bench.server.play(faults=["malformed"])
    assert "does not answer as it should" in refused()
    status, result = bench.result(bench.start(model="none"))
    assert (status, result["error"]["kind"]) == (4, "EndpointError")
    assert not any(bench.folder.iterdir())


def test_bad_input_sends_nothing(bench, tmp_path):
    (tmp_path / "empty.jsonl").write_text("\n")
    (tmp_path / "file").write_text("")
    prompts = {"type": "jsonl", "output_tokens": 4}
    for name in ("missing.jsonl", "empty.jsonl"):
        with pytest.raises(InputError, match=name):
            bench.run(data={**prompts, "path": str(tmp_path / name)})
    with pytest.raises(InputError, match="run_id"):
        bench.run_as("../away")
    with pytest.raises(StorageError, match="file"):
        Bench(bench.server, tmp_path / "file").run()
    bench.run_as("twice")
    sent = len(bench.server.log())
    with pytest.raises(StorageError, match="another run_id"):
        bench.run_as("twice")
    assert len(bench.server.log()) == sent
    status, result = bench.result(bench.start(stages=[{"rate": 0, "duration": 1}]))
    assert (status, result["error"]["kind"]) == (2, "InputError")


def test_prompts_of_a_file(bench, tmp_path):
    lines = [json.dumps({"question": f"prompt {number}"}) for number in range(5)]
    (tmp_path / "prompts.jsonl").write_text("\n".join(lines))
    data = {"type": "jsonl", "path": str(tmp_path / "prompts.jsonl"), "field": "question", "output_tokens": 4}
    done = bench.run(data=data, stages=[{"concurrency": 1, "requests": 10}], keep_text=True)
    prompts = [record.prompt for record in done.records.values()]
    assert sorted(prompts) == sorted(2 * [f"prompt {number}" for number in range(5)])
    assert json.loads((done.place / "workload.json").read_text())["data"]["sha256"]
    assert {record.isl for record in done.records.values()} == {2}


def test_addresses_of_a_host_stand_in_for_each_other(bench, monkeypatch):
    def addresses(host, port, *_arguments, **_more):
        """Nobody listens at the first and the last."""
        kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [(*kind, (address, port)) for address in ("127.0.0.8", "127.0.0.1", "127.0.0.9")]

    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", addresses)
        done = bench.run(endpoint=bench.server.url.replace("127.0.0.1", "many.invalid"))
    assert {record.error for record in done.records.values()} == {""}
    assert set(done.records) <= set(done.log)
