# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import http.server
import json
import threading
import time
from pathlib import Path

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._bench.errors import (
    EndpointError,
    InputError,
    StorageError,
)
from ansible_collections.modelops.serving.plugins.module_utils._bench.server_metrics import (
    Sample,
    Sampler,
    Servers,
    parse,
)

VLLM = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="org/a \\"b\\" }x"} 3.0
vllm:num_requests_running{engine="1",model_name="org/m"} 4.0 1732230000000
vllm:num_requests_waiting{engine="0",model_name="org/m"} 1.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 9.0
vllm:kv_cache_usage_perc{engine="0",model_name="org/m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="org/m"} 0.75
vllm:gpu_cache_usage_perc{engine="0",model_name="org/m"} 0.9
"""
JETSTREAM = """\
jetstream_prefill_backlog_size{id="host-1"} 5.0
jetstream_slots_used_percentage{id="host-1",idx="0"} 0.5
"""
LLAMA = "llamacpp:requests_processing 2\nllamacpp:requests_deferred 7\n"


@pytest.mark.parametrize(
    ("texts", "sample"),
    [
        ([VLLM], Sample(running=7, waiting=1, kv_used=0.5)),
        (["vllm:gpu_cache_usage_perc 0.125\n"], Sample(kv_used=0.125)),
        ([JETSTREAM], Sample(waiting=5, kv_used=0.5)),
        ([LLAMA], Sample(running=2, waiting=7)),
        ([VLLM, LLAMA], Sample(running=9, waiting=8, kv_used=0.5)),
        (["vllm:num_requests_running NaN\nvllm:num_requests_waiting x\nnonsense\n{}\n"], Sample()),
        ([], Sample()),
    ],
)
def test_what_servers_say(texts, sample):
    assert parse(*texts) == sample


@pytest.fixture
def server():
    """Answers with the texts in its list, the last one for ever; None is an error of the server."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            text = self.server.texts[0] if len(self.server.texts) == 1 else self.server.texts.pop(0)
            self.send_response(500 if text is None else 200)
            self.end_headers()
            self.wfile.write((text or "").encode())

        def log_message(self, *_args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.texts = [LLAMA]
        server.url = f"http://127.0.0.1:{server.server_port}/metrics"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def test_samples_are_kept_but_for_times_without_an_answer(server, tmp_path):
    server.texts = [LLAMA, None, LLAMA.replace("7", "8"), LLAMA]
    path = tmp_path / "run" / "server.jsonl"
    with Sampler(Servers([server.url]), path, time.monotonic() - 100, interval=0.01) as sampler:
        while not path.exists() or path.read_text().count("\n") < 4:
            time.sleep(0.005)
        assert sampler.last == Sample(running=2, waiting=7)
    samples = [json.loads(line) for line in path.read_text().splitlines()]
    assert [sample["waiting"] for sample in samples[:3]] == [7, 8, 7]
    assert 100 <= samples[0]["t"] < samples[-1]["t"] < 160


def test_a_server_that_tells_nothing_is_named(server):
    server.texts = ["other_metric 1\n"]
    with pytest.raises(EndpointError, match=f"{server.url} has no metric of vLLM"):
        Servers([server.url]).look()
    server.texts = [None]
    with pytest.raises(EndpointError, match="answered with status 500"):
        Servers([server.url]).look()
    server.texts = [LLAMA]
    assert Servers([server.url, server.url]).look() == Sample(running=4, waiting=14)
    with pytest.raises(EndpointError, match=r"http://127\.0\.0\.1:9/ cannot be read"):
        Servers([server.url, "http://127.0.0.1:9/"]).look()


@pytest.mark.parametrize("url", ["server:8000/metrics", "ftp://server/", "http://user@server/", "http://server:x/", ""])
def test_what_is_no_url_is_refused(url):
    with pytest.raises(InputError, match="server_metrics is no URL"):
        Servers([url])


def test_without_servers_nothing_is_asked_or_written(tmp_path):
    assert Servers([]).look() == Sample()
    with Sampler(Servers([]), tmp_path / "server.jsonl", 0.0) as sampler:
        assert sampler.last == Sample()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named():
    with pytest.raises(StorageError, match=r"server\.jsonl"):
        Sampler(Servers(["http://127.0.0.1:9/"]), Path("/proc/none/server.jsonl"), 0.0)
