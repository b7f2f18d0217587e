# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server of tokens that come when a script says, and that logs its own truth: when a request arrived, when it wrote.

It is a process of its own, so that the lateness of a client is not its lateness. All times are those of the monotonic
clock, which processes of one machine share. It speaks OpenAI's completions and chat completions, jetstream-http's
``/generate`` (a stream of concatenated JSON objects) and the HTTP proxy of Saxml.
"""

from __future__ import annotations

import array
import asyncio
import dataclasses
import heapq
import itertools
import json
import socket
import ssl
import struct
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

clock = time.monotonic

MODEL = "local/paced-llama"
FAULTS = ("slow", "stall", "reset", "401", "429", "500", "malformed", "no_usage", "no_tokens", "error")
_AT_ONCE = 256
_BEFORE_FAULT = 3  # tokens that are written before a stream goes wrong


@dataclasses.dataclass
class Script:
    """How requests are answered. Seconds. Request number n gets fault n modulo their number; None is no fault.

    One that comes when ``seats`` others are under way gets the fault slow.
    """

    ttft: float = 0.02
    itl: float = 0.002
    slow: float = 0.3
    retry_after: int = 1
    text: str = " token"
    model: str = MODEL
    faults: tuple[str | None, ...] = (None,)
    seats: int | None = None


class Entry:
    """What the log has of one request."""

    def __init__(self, number: int, arrived: float, name: str, fault: str | None) -> None:
        self.number, self.arrived, self.name, self.fault = number, arrived, name, fault
        self.written = array.array("d")
        self.ended: float | None = None

    def as_data(self) -> dict:
        return {
            "number": self.number,
            "arrived": self.arrived,
            "id": self.name,
            "fault": self.fault,
            "written": self.written.tolist(),
            "ended": self.ended,
        }


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(said: dict) -> bytes:
    """As vLLM writes it: compact."""
    return chunk(b"data: " + json.dumps(said, separators=(",", ":")).encode() + b"\n\n")


def answer(status: str, said: dict, headers: str = "") -> bytes:
    return whole(status, "application/json", json.dumps(said).encode(), headers)


def whole(status: str, media: str, body: bytes, headers: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {media}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


class Format:
    """The bytes of answers in one protocol, made once."""

    def __init__(self, kind: str, script: Script) -> None:
        self.kind, self.script = kind, script
        media = "application/json" if kind == "jetstream" else "text/event-stream"
        self.head = f"HTTP/1.1 200 OK\r\nContent-Type: {media}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        self.token = self._token(None)
        self.last = self._token("length")

    def _token(self, finish: str | None) -> bytes:
        text = self.script.text
        if self.kind == "jetstream":
            said = {"id": "generate-0", "time_created": 0.5, "text": text}
            return chunk(json.dumps(said, indent=4).encode())
        return event(self._completion([self._choice(text, finish)]))

    def _choice(self, text: str, finish: str | None) -> dict:
        said = {"delta": {"content": text}} if self.kind == "chat" else {"text": text}
        return {"index": 0, **said, "logprobs": None, "finish_reason": finish}

    def _completion(self, choices: list[dict], kind: str = "chat.completion.chunk", **more: object) -> dict:
        name = kind if self.kind == "chat" else "text_completion"
        return {"id": "cmpl-0", "object": name, "created": 1, "model": self.script.model, "choices": choices, **more}

    def begin(self) -> bytes:
        """What comes with the first token, or before it."""
        return self.head + (event(self._completion([self._choice("", None)])) if self.kind == "chat" else b"")

    def end(self, prompt_tokens: int, tokens: int, *, usage: bool) -> bytes:
        if self.kind == "jetstream":
            return b"0\r\n\r\n"
        counted = {"prompt_tokens": prompt_tokens, "completion_tokens": tokens, "total_tokens": prompt_tokens + tokens}
        last = event(self._completion([], usage=counted)) if usage else b""
        return last + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"

    def whole(self, prompt_tokens: int, tokens: int, *, usage: bool) -> bytes:
        """An answer that is not streamed."""
        text = self.script.text * tokens
        if self.kind == "jetstream":
            return answer("200 OK", {"response": text})
        if self.kind == "saxml":
            return answer("200 OK", {"completions": [[text, -0.5]], "performance_metrics": {"response_time": 0.1}})
        said = {"message": {"content": text}} if self.kind == "chat" else {"text": text}
        counted = {"prompt_tokens": prompt_tokens, "completion_tokens": tokens} if usage else None
        finish = "length" if tokens else "stop"
        choices = [{"index": 0, **said, "finish_reason": finish}]
        return answer("200 OK", self._completion(choices, "chat.completion", usage=counted))


class Stream:
    """One answer on its way."""

    def __init__(self, connection: Connection, form: Format, entry: Entry, asked: dict, prompt_tokens: int) -> None:
        self.connection, self.form, self.entry = connection, form, entry
        self.total = 0 if entry.fault == "no_tokens" else int(asked["tokens"])
        self.streamed, self.prompt_tokens = asked["stream"], prompt_tokens
        self.usage = asked["usage"] and entry.fault != "no_usage"
        self.count = 0

    def first_due(self) -> float:
        script, fault = self.form.script, self.entry.fault
        due = self.entry.arrived + (script.slow if fault == "slow" else script.ttft)
        return due if self.streamed else due + max(0, self.total - 1) * script.itl

    def write(self) -> float | None:
        """The next token. Returns how long after it the one after that is due, None when it was the last."""
        connection, entry = self.connection, self.entry
        transport = connection.transport
        if transport.is_closing():
            return None
        if not self.streamed:
            entry.written.extend([clock()] * self.total)
            transport.write(self.form.whole(self.prompt_tokens, self.total, usage=self.usage))
            return self._done()
        if self.count >= _BEFORE_FAULT and entry.fault in {"stall", "reset", "malformed", "error"}:
            return self._go_wrong()
        if not self.count:
            transport.write(self.form.begin())
        if self.total:
            self.count += 1
            entry.written.append(clock())
            transport.write(self.form.token if self.count < self.total else self.form.last)
        if self.count < self.total:
            return self.form.script.itl
        transport.write(self.form.end(self.prompt_tokens, self.count, usage=self.usage))
        return self._done()

    def _go_wrong(self) -> None:
        transport, fault = self.connection.transport, self.entry.fault
        if fault == "reset":
            linger = struct.pack("ii", 1, 0)  # so that closing sends a reset
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            transport.abort()
        elif fault == "malformed":
            transport.write(chunk(b'data: {"choices": [{"te\n\n') + b"0\r\n\r\n")
            self._done()
        elif fault == "error":
            said = {"error": {"message": "The engine has died.", "code": 500}}
            transport.write(event(said) + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
            self._done()

    def _done(self) -> None:
        self.entry.ended = clock()
        self.connection.busy = False


class Pump:
    """Writes tokens when they are due: one timer for all streams."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Stream]] = []
        self._numbers = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, due: float, stream: Stream) -> None:
        heapq.heappush(self._heap, (due, next(self._numbers), stream))
        if self._timer is None or due < self._timer.when():
            self._set(due)

    def _set(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(due, self._run)

    def _run(self) -> None:
        self._timer = None
        heap, now = self._heap, clock()
        for _number in range(_AT_ONCE):
            if not heap or heap[0][0] > now:
                break
            due, number, stream = heap[0]
            pause = stream.write()
            if pause is None:
                heapq.heappop(heap)
            else:
                # After the script, not after the last token: one that is late does not delay all that follow.
                heapq.heapreplace(heap, (due + pause, number, stream))
        if heap:
            self._set(heap[0][0])


class Server:
    """What all connections share."""

    def __init__(self) -> None:
        self.pump = Pump()
        self.log: list[Entry] = []
        self.play(Script())

    def play(self, script: Script) -> None:
        """Begin a new log."""
        self.script = script
        self.formats = {kind: Format(kind, script) for kind in ("completions", "chat", "jetstream", "saxml")}
        self.log = []


class Connection(asyncio.Protocol):
    """Requests that come one after the other."""

    transport: asyncio.Transport

    def __init__(self, server: Server) -> None:
        self.server = server
        self.busy = False
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        now = clock()
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lines = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _colon, value in (line.partition(":") for line in lines[1:])}
        length = int(fields.get("content-length", 0))
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        method, path, _version = lines[0].split(" ")
        self._answer(method, path.partition("?")[0], fields, rest[:length], now)

    def _answer(self, method: str, path: str, fields: dict[str, str], body: bytes, now: float) -> None:
        if method == "POST" and path in {"/v1/completions", "/v1/chat/completions", "/generate"}:
            self._generate(path, fields, json.loads(body), now)
        elif path == "/log":
            self.transport.write(answer("200 OK", {"requests": [entry.as_data() for entry in self.server.log]}))
        elif path == "/script":
            given = json.loads(body)
            given["faults"] = tuple(given.get("faults") or (None,))
            self.server.play(Script(**given))
            self.transport.write(answer("200 OK", {}))
        elif path == "/v1/models":
            self.transport.write(answer("200 OK", {"object": "list", "data": [{"id": self.server.script.model}]}))
        elif path == "/metrics":
            running = sum(entry.ended is None for entry in self.server.log)
            text = f'vllm:num_requests_running{{engine="0"}} {running}\nvllm:num_requests_waiting{{engine="0"}} 0\n'
            self.transport.write(whole("200 OK", "text/plain; version=0.0.4", text.encode()))
        elif path in {"/", "/healthcheck", "/listcell"}:
            self.transport.write(answer("200 OK", {"response": {"is_live": True}}))
        else:
            self.transport.write(answer("404 Not Found", {"detail": "Not Found"}))

    def _generate(self, path: str, fields: dict[str, str], asked: dict, now: float) -> None:
        server = self.server
        kind = path.split("/")[-2] if path.endswith("chat/completions") else path.rpartition("/")[2]
        if kind == "generate":
            kind = "saxml" if "model_id" in asked else "jetstream"
        fault = server.script.faults[len(server.log) % len(server.script.faults)]
        if server.script.seats is not None and sum(one.ended is None for one in server.log) >= server.script.seats:
            fault = "slow"
        entry = Entry(len(server.log), now, fields.get("x-request-id", ""), fault)
        server.log.append(entry)
        model = asked.get("model", asked.get("model_id", server.script.model))
        if model != server.script.model:
            said = {"message": f"The model `{model}` does not exist.", "type": "NotFoundError", "code": 404}
            self.transport.write(answer("404 Not Found", {"error": said}))
        elif fault == "401":
            said = {"message": f"Not known: {fields.get('authorization')}."}
            self.transport.write(answer("401 Unauthorized", {"error": said}))
        elif fault == "429":
            header = f"Retry-After: {server.script.retry_after}\r\n"
            self.transport.write(answer("429 Too Many Requests", {"error": {"message": "Slow down."}}, header))
        elif fault == "500":
            self.transport.write(answer("500 Internal Server Error", {"error": {"message": "Out of memory."}}))
        else:
            options = asked.get("model_options") or {}
            wanted = {
                "tokens": asked.get("max_tokens")
                or asked.get("max_completion_tokens")
                or options.get("per_example_max_decode_steps")
                or 16,
                "stream": bool(asked.get("stream")),
                "usage": not asked.get("stream") or bool((asked.get("stream_options") or {}).get("include_usage")),
            }
            prompt = asked.get("prompt") or " ".join(
                part["content"] if isinstance(part["content"], str) else "" for part in asked.get("messages", ())
            )
            self.busy = True
            stream = Stream(self, server.formats[kind], entry, wanted, len(str(prompt).split()))
            server.pump.add(stream.first_due(), stream)


async def serve(certificate: str | None) -> None:
    """Print the port as one line of JSON, and serve until killed."""
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    server = Server()
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: Connection(server), "127.0.0.1", 0, backlog=4096, ssl=context)
    print(json.dumps({"port": listener.sockets[0].getsockname()[1]}), flush=True)
    await listener.serve_forever()


class TokenServer:
    """The server as a process, for tests and benchmarks. With a certificate (PEM, with its key) it speaks TLS."""

    def __init__(self, certificate: Path | None = None) -> None:
        command = [sys.executable, __file__, *([str(certificate)] if certificate else [])]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        self.pid = self._process.pid
        port = json.loads(self._process.stdout.readline())["port"]
        self.url = f"https://localhost:{port}" if certificate else f"http://127.0.0.1:{port}"

    def __enter__(self) -> TokenServer:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.communicate()

    def play(self, **script: object) -> None:
        """Answer so from now on, and begin a new log. See Script."""
        self._ask("/script", json.dumps(script).encode())

    def log(self) -> list[dict]:
        """Every request since then: number, arrived, id, fault, written (a time per token), ended."""
        return self._ask("/log")["requests"]

    def _ask(self, path: str, data: bytes | None = None) -> dict:
        # Whom it asks it has started itself.
        context = ssl._create_unverified_context() if self.url.startswith("https") else None
        with urllib.request.urlopen(self.url + path, data=data, timeout=60, context=context) as said:
            return json.load(said)


if __name__ == "__main__":
    import gc
    import resource

    gc.set_threshold(50_000, 50, 1000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    asyncio.run(serve(*(sys.argv[1:] or [None])))
