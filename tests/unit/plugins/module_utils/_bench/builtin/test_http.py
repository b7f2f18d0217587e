# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._bench.builtin import http
from ansible_collections.modelops.serving.plugins.module_utils._bench.builtin.http import (
    Address,
    Connection,
    Exchange,
    Heads,
)
from ansible_collections.modelops.serving.plugins.module_utils._bench.builtin.protocols import Events, Whole
from ansible_collections.modelops.serving.plugins.module_utils._bench.errors import InputError

EVENT = b'data: {"model":"m","choices":[{"text":"a","finish_reason":null}]}\n\n'
OBJECT = b'{"response": "two words"}'


class Transport:
    def __init__(self) -> None:
        self.written, self.aborted = b"", False

    def write(self, data):
        self.written += data

    def abort(self):
        self.aborted = True


class Line:
    """One connection on which one request was sent."""

    def __init__(self, reader=None) -> None:
        self.free, self.stale, self.ended = [], [], []
        self.transport = Transport()
        self.connection = Connection(self.free.append, self.stale.append)
        self.connection.connection_made(self.transport)
        self.ask(reader)

    def ask(self, reader=None):
        self.exchange = Exchange(b"POST /", b"{}", reader or Whole("jetstream"), self.ended.append)
        self.connection.start(self.exchange)

    def receive(self, data, size=None):
        size = size or len(data) or 1
        for at in range(0, len(data), size):
            self.connection.data_received(data[at : at + size])

    @property
    def result(self):
        assert self.ended == [self.exchange]
        return self.exchange.error, self.exchange.status, self.exchange.answer.tokens


def head(status="200 OK", **fields):
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode()


def chunked(*parts, end=b"0\r\n\r\n"):
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + end


def test_bodies_of_every_framing_may_be_torn_anywhere():
    plain = head(Content_Length=len(OBJECT)) + OBJECT
    in_chunks = head(Transfer_Encoding="chunked") + chunked(OBJECT[:5], OBJECT[5:])
    noted = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + plain
    trailers = head(Transfer_Encoding="Chunked") + chunked(OBJECT, end=b"0\r\nDigest: x\r\n\r\n")
    extended = head(Transfer_Encoding="chunked") + b"%x;name=value\r\n%b\r\n0\r\n\r\n" % (len(OBJECT), OBJECT)
    for data in (plain, in_chunks, noted, trailers, extended):
        for size in range(1, len(data) + 1):
            line = Line()
            line.receive(data, size)
            assert line.result == ("", 200, 2), (data, size)
            assert line.free == [line.connection]
            assert not line.transport.aborted


def test_a_token_has_the_time_of_the_bytes_that_made_it_whole(monkeypatch):
    now = iter(range(1, 100))
    monkeypatch.setattr(http, "clock", lambda: float(next(now)))
    line = Line(Events(chat=False, keep_text=False))
    line.receive(head(Transfer_Encoding="chunked"))  # 1
    line.receive(chunked(EVENT, end=b""))  # 2
    line.receive(chunked(EVENT, EVENT, end=b""))  # 3
    torn = chunked(EVENT, end=b"")
    line.receive(torn[:30])  # 4
    line.receive(torn[30:])  # 5
    line.receive(chunked(EVENT, end=b""))  # 6
    line.receive(chunked(b"data: [DONE]\n\n"))  # 7
    assert line.exchange.answer.times == [2.0, 3.0, 3.0, 5.0, 6.0]
    assert (line.result, line.exchange.ended) == (("", 200, 5), 7.0)


def test_an_answer_without_length_ends_with_its_connection():
    line = Line()
    line.receive(head() + OBJECT)
    assert not line.ended
    line.connection.connection_lost(None)
    assert line.result == ("", 200, 2)
    assert not line.free


def test_a_connection_is_used_again_unless_the_server_says_no():
    line = Line()
    line.receive(head(Content_Length=len(OBJECT), Connection="close") + OBJECT)
    assert line.result[0] == ""
    assert (line.free, line.transport.aborted) == ([], True)


def test_a_kept_connection_that_was_closed_is_no_failure():
    line = Line()
    answer = head(Content_Length=len(OBJECT)) + OBJECT
    line.receive(answer)
    line.ended.clear()
    line.ask()
    line.connection.connection_lost(ConnectionResetError())
    assert (line.stale, line.ended) == ([line.exchange], [])
    line = Line()
    line.receive(answer)
    line.ended.clear()
    line.ask()
    line.receive(answer[:20])
    line.connection.connection_lost(None)
    assert (line.stale, line.result[0]) == ([], "reset")


@pytest.mark.parametrize("received", [b"", head(Content_Length=30)[:-1], head(Content_Length=30) + OBJECT[:5]])
def test_a_new_connection_that_was_closed_is_a_reset(received):
    line = Line()
    line.receive(received)
    line.connection.connection_lost(None)
    assert line.result[0] == "reset"


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 ok\r\n\r\n",
        head(Content_Length="-5"),
        head(Content_Length="many"),
        head(Transfer_Encoding="chunked") + b"zz\r\n",
        head(Transfer_Encoding="chunked") + b"-5\r\n",
        head(Content_Length=6) + b"<html>",
        b"x" * (1 << 17),
    ],
)
def test_what_is_no_answer_is_malformed(data):
    line = Line()
    line.receive(data)
    assert line.result[0] == "malformed"
    assert line.exchange.message


def test_a_refusal_tells_its_message_and_keeps_the_connection():
    line = Line()
    body = b'{"error": {"message": "Slow down."}}'
    line.receive(head("429 Too Many Requests", Content_Length=len(body), Retry_After=3) + body)
    assert line.result[:2] == ("http", 429)
    assert (line.exchange.message, line.exchange.retry_after) == ("Slow down.", 3.0)
    assert line.free == [line.connection]


def test_a_refusal_without_message_does_not_repeat_what_it_says():
    line = Line()
    body = b"<html>the prompt</html>"
    line.receive(head("502 Bad Gateway", Content_Length=len(body)) + body)
    assert line.result[:2] == ("http", 502)
    assert line.exchange.message == "the server answers with status 502"


def test_success_without_tokens_is_an_error_of_its_own():
    line = Line()
    line.receive(head(Content_Length=16) + b'{"response": ""}')
    assert line.result == ("no_tokens", 200, 0)


def test_bytes_that_nobody_asked_for_close_the_connection():
    line = Line()
    line.receive(head(Content_Length=len(OBJECT)) + OBJECT)
    line.receive(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    assert line.transport.aborted


def test_addresses():
    assert Address.of("https://host/base/") == ("host", 443, True, "/base")
    assert Address.of("http://[::1]:8000").authority == "[::1]:8000"
    assert Address.of("https://host").authority == "host"


def test_heads():
    heads = Heads(Address.of("http://host:8000/base"), {"X-Team": "a"}, "key")
    text = heads.post("/generate", 7, "run-0-0-1").decode()
    assert text.startswith("POST /base/generate HTTP/1.1\r\nHost: host:8000\r\n")
    for line in ("X-Team: a", "Authorization: Bearer key", "Content-Length: 7", "X-Request-Id: run-0-0-1"):
        assert f"\r\n{line}\r\n" in text
    assert text.endswith("\r\n\r\n")
    assert heads.hide("wrong: key") == "wrong: ***"
    assert Heads(Address.of("http://host"), {}, None).hide("wrong: key") == "wrong: key"
    with pytest.raises(InputError) as caught:
        Heads(Address.of("http://host"), {}, "key\nX: y")
    assert "key\n" not in str(caught.value)
