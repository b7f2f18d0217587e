# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The users of locust 2.47: they ask as the engine ``builtin`` does, and read the answers as they arrive.

locust's own clients return a stream in blocks of a kilobyte, so that the first token seems to come when a kilobyte is
full. Here a connection is read with whatever it has at a time. Users take what is due from one schedule, in its order;
one that is late because all users were busy tells so by its schedule delay.
"""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import socket
import ssl
import time
import typing as t
from pathlib import Path
from urllib.parse import urlsplit

from ...builtin.plan import Plan, Question
from ...builtin.protocols import MalformedError, Protocol, Reader, RefusedError
from ...workload import Stage, Workload, parse, read_dataset
from ..engine import API_KEY, Sent, server_message

FILE = "sent.jsonl"
_BLOCK = 1 << 16
#: A user waits so long after an error, so that an endpoint that refuses at once is not asked without end.
_PAUSE = 0.1
#: Seconds for all users to come before the first request is due.
_LEAD = 0.5


class Desk:
    """What all users share: what is to be asked next and when, connections that are free, and the file of results."""

    def __init__(self, workload: Workload, stage: Stage, index: int, repeat: int, path: Path) -> None:
        dataset = read_dataset(workload.data) if workload.data.type == "jsonl" else None
        self.workload = workload
        self.protocol = Protocol(workload)
        self._plan = Plan(workload, dataset, index, repeat)
        self._stage = stage
        arrivals = self._plan.arrivals(stage, workload.arrival) if stage.kind == "rate" else None
        self._arrivals = iter(arrivals) if arrivals is not None else None
        self._begun: float | None = None
        self._left = stage.requests
        self._url = urlsplit(workload.endpoint)
        self._tls = ssl.create_default_context() if self._url.scheme == "https" else None
        self._free: list[http.client.HTTPConnection] = []
        self.users = 0
        self._results = path.open("x", encoding="utf-8", buffering=1)
        self.path = self._url.path + self.protocol.path
        self.headers = {"Content-Type": "application/json", **workload.headers}
        if key := os.environ.get(API_KEY):
            self.headers["Authorization"] = f"Bearer {key}"

    def next(self) -> tuple[Question, float | None] | None:
        """What to ask, and when on the monotonic clock; None when the stage is over."""
        now = time.monotonic()
        if self._begun is None:
            self._begun = now if self._arrivals is None else now + _LEAD
        if self._arrivals is not None:
            arrival = next(self._arrivals, None)
            return None if arrival is None else (self._plan.question(), self._begun + arrival)
        if self._left is not None:
            self._left -= 1
            return (self._plan.question(), None) if self._left >= 0 else None
        over = now >= self._begun + (self._stage.duration or 0)
        return None if over else (self._plan.question(), None)

    def connection(self) -> http.client.HTTPConnection:
        """The one that was used last, or a new one."""
        if self._free:
            return self._free.pop()
        host, port, timeout = self._url.hostname or "", self._url.port, self.workload.connect_timeout
        if self._tls:
            return http.client.HTTPSConnection(host, port, timeout=timeout, context=self._tls)
        return http.client.HTTPConnection(host, port, timeout=timeout)

    def give_back(self, connection: http.client.HTTPConnection) -> None:
        self._free.append(connection)

    def keep(self, sent: Sent) -> None:
        self._results.write(json.dumps(dataclasses.asdict(sent)) + "\n")


class _NoConnectionError(Exception):
    """The endpoint takes no connection."""


def ask(desk: Desk, question: Question, scheduled: float | None) -> Sent:
    """One request and its answer, read as it arrives."""
    body = desk.protocol.body(question.prompt, question.output_tokens)
    reader = desk.protocol.reader()
    connection = desk.connection()
    begun = time.monotonic()
    limits = _Limits(begun + desk.workload.request_timeout, desk.workload.stall_timeout)
    sent = Sent(start=begun, end=begun, scheduled=scheduled)
    try:
        response, sock = _response(desk, connection, body)
        _read(response, sock, reader, sent, limits)
    except _NoConnectionError as error:
        sent.error, sent.message = "connect", str(error)
    except TimeoutError:
        sent.error = "timeout" if time.monotonic() >= limits.deadline else "stalled"
    except MalformedError as error:
        sent.error, sent.message = "malformed", str(error)
    except RefusedError as error:
        sent.error, sent.message = "http", str(error)
    except (OSError, http.client.HTTPException) as error:
        sent.error, sent.message = "reset", type(error).__name__
    sent.end = time.monotonic()
    if sent.error:
        connection.close()
    desk.give_back(connection)
    answer = reader.answer
    sent.times = answer.times
    sent.isl = question.input_tokens if answer.prompt_tokens is None else answer.prompt_tokens
    sent.osl_server, sent.osl, sent.finish_reason = answer.completion_tokens, answer.tokens, answer.finish_reason
    return sent


class _Limits(t.NamedTuple):
    #: On the monotonic clock.
    deadline: float
    #: Seconds without a byte.
    stall: float


def _response(
    desk: Desk, connection: http.client.HTTPConnection, body: bytes
) -> tuple[http.client.HTTPResponse, socket.socket]:
    """The head of an answer, and where the rest comes from: the connection forgets it when the server is to close it."""
    used = connection.sock is not None
    if not used:
        try:
            connection.connect()
        except OSError as error:
            raise _NoConnectionError(error.strerror or type(error).__name__) from error
    sock = connection.sock
    sock.settimeout(min(desk.workload.stall_timeout, desk.workload.request_timeout))
    try:
        connection.request("POST", desk.path, body, desk.headers)
        return connection.getresponse(), sock
    except ConnectionError:
        if not used:
            raise
        # Servers close what nobody has used for a while.
        connection.close()
        return _response(desk, connection, body)


def _read(response: http.client.HTTPResponse, sock: socket.socket, reader: Reader, sent: Sent, limits: _Limits) -> None:
    sent.status = response.status
    if response.status != 200:
        sent.error = "http"
        sent.message = server_message(response.read().decode(errors="replace")) or response.reason
        return
    # read1() returns what has arrived; read() would wait for a block.
    while data := response.read1(_BLOCK):
        now = time.monotonic()
        reader.feed(data, now)
        if now >= limits.deadline:
            raise TimeoutError
        sock.settimeout(min(limits.stall, limits.deadline - now))
    reader.finish()


def users(path: str, stage: t.Mapping[str, t.Any], index: int, repeat: int) -> type:
    """The class of users that a file of locust needs, for one stage of the workload in a file.

    The results go to the folder in which locust was started.
    """
    import gevent  # type: ignore[import-untyped]  # only the container has it
    from locust import User, task  # type: ignore[import-not-found]  # likewise
    from locust.exception import StopUser  # type: ignore[import-not-found]  # likewise

    desk = Desk(parse(json.loads(Path(path).read_bytes())), Stage(**stage), index, repeat, Path(FILE))

    class Asker(User):
        """One of many."""

        @task
        def ask(self) -> None:
            turn = desk.next()
            if turn is None:
                raise StopUser
            question, due = turn
            if due is not None:
                gevent.sleep(max(0.0, due - time.monotonic()))
            sent = ask(desk, question, due)
            desk.keep(sent)
            self.environment.events.request.fire(
                request_type="POST",
                name=desk.path,
                response_time=(sent.end - sent.start) * 1000,
                response_length=0,
                exception=RuntimeError(sent.error) if sent.error else None,
                context={},
            )
            if sent.error:
                gevent.sleep(_PAUSE)

        def on_start(self) -> None:
            desk.users += 1

        def on_stop(self) -> None:
            """The last one to leave ends the run."""
            desk.users -= 1
            if not desk.users:
                self.environment.runner.quit()

    return Asker
