# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import http.server
import json
import threading

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._bench.engines.inside.locust import Desk, ask
from ansible_collections.modelops.serving.plugins.module_utils._bench.workload import Stage, parse

WAIT = 10


class Handler(http.server.BaseHTTPRequestHandler):
    """Writes the first token, and all others only when the first one was seen."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        server = self.server
        server.asked.append(
            (self.path, dict(self.headers), json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        )
        if server.status != 200:
            self._answer(server.status, b'{"error": {"message": "Not now."}}')
            return
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._event({"model": "m", "choices": [{"text": " a", "finish_reason": None}]})
        server.early.append(server.seen.wait(WAIT))
        self._event({"choices": [{"text": " b", "finish_reason": "length"}]})
        self._event({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}})
        self.wfile.write(b"0\r\n\r\n")
        # Without having said so, as servers do with connections that nobody uses.
        self.close_connection = True

    def _event(self, said):
        data = b"data: " + json.dumps(said).encode() + b"\n\n"
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.status, server.asked, server.early, server.seen = 200, [], [], threading.Event()
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def desk(server, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "key-of-the-test")
    desk = make_desk(server.server_port, tmp_path / "sent.jsonl", {"rate": 10.0, "requests": 3})
    make = desk.protocol.reader

    def reader():
        made = make()
        feed = made.feed

        def fed(data, now):
            feed(data, now)
            server.seen.set()

        made.feed = fed
        return made

    desk.protocol.reader = reader
    return desk


def make_desk(port, path, stage):
    workload = parse(
        {
            "endpoint": f"http://127.0.0.1:{port}/base",
            "protocol": "openai_completions",
            "model": "m",
            "data": {"type": "synthetic", "input_tokens": 8, "output_tokens": 2},
            "stages": [stage],
            "headers": {"X-Team": "a"},
        }
    )
    return Desk(workload, Stage(**stage), 0, 0, path)


def test_tokens_are_read_as_they_arrive(server, desk):
    question, due = desk.next()
    sent = ask(desk, question, due)
    assert server.early == [True]
    assert (sent.status, sent.error, len(sent.times)) == (200, "", 2)
    assert sent.start < sent.times[0] < sent.times[1] <= sent.end
    assert (sent.scheduled, sent.isl, sent.osl_server, sent.finish_reason) == (due, 7, 2, "length")
    path, headers, body = server.asked[0]
    assert (path, headers["X-Team"], headers["Authorization"]) == (
        "/base/v1/completions",
        "a",
        "Bearer key-of-the-test",
    )
    assert (body["max_tokens"], body["stream"], len(body["prompt"].split())) == (2, True, 8)


def test_a_connection_that_the_server_has_closed_meanwhile_is_made_again(server, desk):
    for _number in range(2):
        question, due = desk.next()
        assert ask(desk, question, due).error == ""
    assert len(server.asked) == 2


def test_a_refusal_has_the_status_and_the_message_of_the_server(server, desk):
    server.status = 503
    sent = ask(desk, *desk.next())
    assert (sent.status, sent.error, sent.message, list(sent.times)) == (503, "http", "Not now.", [])


def test_an_endpoint_that_is_not_there(tmp_path):
    desk = make_desk(1, tmp_path / "sent.jsonl", {"concurrency": 1, "requests": 1})
    sent = ask(desk, *desk.next())
    assert (sent.status, sent.error) == (None, "connect")
    assert sent.message


def test_what_is_due_comes_in_the_order_of_the_schedule_until_it_is_over(tmp_path):
    desk = make_desk(1, tmp_path / "paced", {"rate": 10.0, "requests": 3})
    due = [desk.next()[1] for _number in range(3)]
    assert [round(time - due[0], 6) for time in due] == [0.0, 0.1, 0.2]
    assert desk.next() is None
    closed = make_desk(1, tmp_path / "closed", {"concurrency": 2, "requests": 2})
    assert [closed.next()[1] for _number in range(2)] == [None, None]
    assert closed.next() is None
