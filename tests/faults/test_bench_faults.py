# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that go wrong under load, and a generator that is killed or cannot write."""

from __future__ import annotations

import collections
import os
import resource
import time

import pytest
from bench_runs import _token_server, bench

from ansible_collections.modelops.serving.plugins.module_utils._bench import records

__all__ = ["_token_server", "bench"]

#: What the client must call each fault: kind, status, whether tokens had come.
KINDS = {
    None: ("", 200, True),
    "slow": ("", 200, True),
    "no_usage": ("", 200, True),
    "stall": ("stalled", 200, True),
    "reset": ("reset", 200, True),
    "malformed": ("malformed", 200, True),
    "error": ("http", 200, True),
    "429": ("http", 429, False),
    "500": ("http", 500, False),
    "no_tokens": ("no_tokens", 200, False),
}


@pytest.mark.parametrize("protocol", ["openai_completions", "openai_chat"])
def test_every_fault_has_its_kind_and_none_is_lost(bench, protocol):
    bench.server.play(faults=list(KINDS), slow=0.2)
    done = bench.run(
        protocol=protocol, stages=[{"rate": 60, "requests": 3 * len(KINDS)}], stall_timeout=0.6, keep_text=False
    )
    assert set(done.records) == set(done.log)
    seen = collections.Counter()
    for record, entry in done.pairs():
        kind, status, tokens = KINDS[entry["fault"]]
        assert (record.error, record.status, record.osl > 0) == (kind, status, tokens), (record, entry)
        assert record.ok == (not kind) == (not record.message)
        # Tokens that came before it went wrong are counted, and no others.
        assert record.osl == len(entry["written"])
        assert (record.osl_server is None) == ((bool(kind) and kind != "no_tokens") or entry["fault"] == "no_usage")
        seen[entry["fault"]] += 1
    assert seen == dict.fromkeys(KINDS, 3)
    messages = {entry["fault"]: record.message for record, entry in done.pairs()}
    assert (messages["429"], messages["500"]) == ("Slow down.", "Out of memory.")
    assert messages["error"] == "The engine has died."
    (facts,) = done.facts
    assert (facts.sent, facts.completed) == (30, 9)


def test_answers_that_take_too_long_end_at_their_limit(bench):
    bench.server.play(ttft=30)
    done = bench.run(stages=[{"concurrency": 3, "requests": 3}], request_timeout=0.4)
    assert [(record.error, record.status) for record in done.records.values()] == [("timeout", None)] * 3
    assert all(record.e2e_ms >= 400 for record in done.records.values())
    # A first token may take longer than two tokens may be apart.
    bench.server.play(ttft=0.6)
    done = bench.run(stages=[{"concurrency": 2, "requests": 2}], stall_timeout=0.2)
    assert all(record.ok for record in done.records.values())


def test_a_server_that_refuses_is_not_asked_without_end(bench):
    bench.server.play(faults=["429"], retry_after=30)
    done = bench.run(stages=[{"concurrency": 3, "duration": 0.5}])
    assert [record.status for record in done.records.values()] == [429] * 3
    done = bench.run(endpoint="http://127.0.0.1:9", stages=[{"concurrency": 2, "duration": 0.5}])
    assert {record.error for record in done.records.values()} == {"connect"}
    assert 2 <= len(done.records) <= 2 * 6
    assert not any(name.startswith(done.place.name) for name in done.log)


def test_a_run_that_is_killed_loses_nothing_that_had_ended(bench):
    process = bench.start("--run-id", "one", "--no-preflight", stages=[{"rate": 40, "duration": 60}])
    while sum(entry["ended"] is not None for entry in bench.server.log()) < 60:
        assert process.poll() is None
        time.sleep(0.1)
    killed = time.monotonic()
    process.kill()
    process.communicate()
    done = bench.done("one")
    old = {name for name, entry in done.log.items() if entry["ended"] and entry["ended"] < killed - 1}
    assert len(old) >= 10
    assert old <= {name for name, record in done.records.items() if record.ok}
    assert set(done.records) <= set(done.log)
    # What is left can be reported.
    assert bench.report(done.place)["stopped"]


def test_a_full_disk_ends_the_run_and_keeps_what_is_written(bench):
    limit = ("prlimit", f"--fsize={24 * 1024}")
    process = bench.start(
        "--run-id", "one", "--no-preflight", prefix=limit, stages=[{"concurrency": 4, "requests": 500}]
    )
    status, result = bench.result(process)
    assert (status, result["error"]["kind"]) == (1, "StorageError")
    assert "requests.jsonl" in result["error"]["message"]
    found = list(records.read(bench.folder / "one" / records.FILE))
    assert 10 < len(found) < 500
    assert len(bench.server.log()) <= len(found) + 8


def test_more_connections_than_files_are_failures_of_the_client(bench):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/proc/self/fd"))
    bench.server.play(ttft=0.5)
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 20, hard))
    try:
        # What the system allows is used.
        done = bench.run(stages=[{"concurrency": 60, "requests": 60}])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert all(record.ok for record in done.records.values())
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)
