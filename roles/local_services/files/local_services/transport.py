# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP for the local hub: a threaded server that sends files without copying them and can misbehave on request."""

from __future__ import annotations

import abc
import fcntl
import gzip
import json
import os
import re
import socket
import struct
import sys
import termios
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from .faults import Fault, Faults, Role
from .process import LOOPBACK

_SENDFILE_BLOCK = 8 << 20
_LOG_LENGTH = 100_000
_NO_LINGER = struct.pack("ii", 1, 0)


@dataclass
class Request:
    """What the log keeps of one request. `bytes_sent` counts body bytes, `authorized` is about the header alone."""

    role: Role
    method: str
    path: str
    kind: str = "other"
    range: str | None = None
    authorized: bool = False
    accept_encoding: str | None = None
    user_agent: str | None = None
    status: int = 0
    bytes_sent: int = 0
    seconds: float = 0.0


class RequestLog:
    """The last requests and a count of all of them."""

    def __init__(self) -> None:
        self._requests: deque[Request] = deque(maxlen=_LOG_LENGTH)
        self._open = 0
        self._counters: Counter[str] = Counter()
        self._changed = threading.Condition()

    def begin(self, request: Request) -> None:
        with self._changed:
            self._open += 1
            self._requests.append(request)

    def end(self, request: Request) -> None:
        with self._changed:
            self._open -= 1
            self._counters[f"{request.kind} {request.method} {request.status}"] += 1
            self._changed.notify_all()

    def _settle(self) -> None:
        # A client can have its whole answer a moment before the handler has noted that.
        self._changed.wait_for(lambda: self._open == 0, timeout=0.2)

    def requests(self) -> list[Request]:
        with self._changed:
            self._settle()
            return list(self._requests)

    def counters(self) -> dict[str, int]:
        """Number of finished requests by "kind METHOD status"."""
        with self._changed:
            self._settle()
            return dict(self._counters)

    def clear(self) -> None:
        with self._changed:
            self._settle()
            self._requests.clear()
            self._counters.clear()

    def as_dict(self) -> dict[str, Any]:
        return {"counters": self.counters(), "requests": [asdict(request) for request in self.requests()]}


class Server(ThreadingHTTPServer):
    """One origin - host and port - on the loopback address."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, role: Role, port: int, handler: type[Handler], faults: Faults, log: RequestLog) -> None:
        self.role = role
        self.faults = faults
        self.log = log
        self.closing = threading.Event()
        self._connections: set[socket.socket] = set()
        self._connections_lock = threading.Lock()
        super().__init__((LOOPBACK, port), handler)

    @property
    def origin(self) -> str:
        return f"http://{LOOPBACK}:{self.server_address[1]}"

    def start(self) -> None:
        """Serve in the background until `close`."""
        threading.Thread(target=self.serve_forever, args=(0.05,), name=f"local-{self.role}", daemon=True).start()

    def close(self) -> None:
        """Stop listening and drop the open connections."""
        self.closing.set()
        self.shutdown()
        self.server_close()
        with self._connections_lock:
            for connection in self._connections:
                with suppress(OSError):  # closed by the other side already
                    connection.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._connections_lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._connections_lock:
            self._connections.discard(request)
        if request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(_NO_LINGER)) == _NO_LINGER:
            self.close_request(request)  # a FIN before the close would make it look orderly
        else:
            super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class HTTPError(Exception):
    """Raised by a route to answer with an error, in the way of a hub."""

    def __init__(
        self, status: int, message: str, code: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = headers or {}


class Handler(BaseHTTPRequestHandler, abc.ABC):
    """Reads requests, sends answers and applies faults. Subclasses implement `respond`."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    disable_nagle_algorithm = True
    server: Server
    record: Request
    segments: list[str]
    query: dict[str, list[str]]
    raw_path: str
    raw_query: str
    body: bytes
    faults: list[Fault]

    @abc.abstractmethod
    def respond(self) -> None:
        """Answer one request; may raise HTTPError."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - a name of the base class
        """Requests are kept in the log of the server, not written out."""

    def _serve(self) -> None:
        address = urlsplit(self.path)
        self.raw_path, self.raw_query = address.path, address.query
        # Split first: a slash inside a segment, as in a branch name, arrives encoded.
        self.segments = [unquote(segment) for segment in address.path.split("/")[1:]]
        self.query = parse_qs(address.query)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.segments[0] == "_control" and self.server.role == "hub":
            self.record, self.faults = Request(self.server.role, self.command, self.path), []
            self._guarded(self.respond)
            return
        self.record = Request(
            self.server.role,
            self.command,
            unquote(address.path),
            range=self.headers.get("Range"),
            authorized="Authorization" in self.headers,
            accept_encoding=self.headers.get("Accept-Encoding"),
            user_agent=self.headers.get("User-Agent"),
        )
        started = time.monotonic()
        self.server.log.begin(self.record)
        try:
            self.faults = self.server.faults.for_request(self.server.role, self.command, self.record.path)
            self._guarded(self._respond_or_fail)
        finally:
            self.record.seconds = round(time.monotonic() - started, 6)
            self.server.log.end(self.record)

    do_GET = do_HEAD = do_POST = do_DELETE = _serve

    def _guarded(self, respond: Any) -> None:
        try:
            try:
                respond()
            except HTTPError as error:
                self.send_error_answer(error)
            self.wfile.flush()
        except ConnectionError:
            self.close_connection = True

    def _respond_or_fail(self) -> None:
        for fault in self.faults:
            if fault.action == "status":
                raise HTTPError(fault.code, fault.message, headers=_fault_headers(fault))
            if fault.action == "empty_body":
                self.send_head(200, {"Content-Length": "0"})
                return
        self.respond()

    def fault(self, action: str) -> Fault | None:
        """The fault of this kind that strikes the present request, if any."""
        return next((fault for fault in self.faults if fault.action == action), None)

    # Answers -----------------------------------------------------------------------------------------------------

    def send_head(self, status: int, headers: Mapping[str, str]) -> None:
        """Status line and headers; ETags are replaced when a fault says so."""
        self.record.status = status
        wrong = self.fault("wrong_etag")
        self.send_response(status)
        for name, value in headers.items():
            replaced = wrong is not None and name.lower() in ("etag", "x-linked-etag")
            self.send_header(name, f'"{wrong.etag}"' if wrong is not None and replaced else value)
        self.end_headers()

    def send_json(self, answer: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        content = json.dumps(answer).encode()
        self.send_content(content, len(content), {"Content-Type": "application/json", **(headers or {})}, status)

    def send_error_answer(self, error: HTTPError) -> None:
        headers = {"X-Request-Id": f"Root=1-{uuid.uuid4()}", "X-Error-Message": error.message, **error.headers}
        if error.code:
            headers["X-Error-Code"] = error.code
        self.send_json({"error": error.message}, error.status, headers)

    def send_redirect(self, status: int, location: str, headers: Mapping[str, str]) -> None:
        self.send_head(status, {**headers, "Location": location, "Content-Length": "0"})

    def send_file(self, source: Path, size: int, etag: str, headers: Mapping[str, str] | None = None) -> None:
        """The file, or the range of it that was asked for."""
        described = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes", "ETag": f'"{etag}"'}
        self.send_content(source, size, {**described, **(headers or {})})

    def send_content(self, source: Path | bytes, size: int, headers: Mapping[str, str], status: int = 200) -> None:
        """A body of `size` bytes; a Range header is honoured for files only."""
        head = dict(headers)
        window, ranged = range(size), False
        if isinstance(source, Path) and self.command == "GET":
            asked = _asked_range(self.headers.get("Range"), size)
            if asked is not None:
                window, ranged = asked, True
            if ranged and not window:
                self.send_head(416, {"Content-Range": f"bytes */{size}", "Content-Length": "0"})
                return
        if self.command == "HEAD":
            self.send_head(status, {**head, "Content-Length": str(size)})
            return
        faults = self.server.faults.for_body(self.server.role, self.command, self.record.path, window, ranged)
        if self.segments[0] == "_control":
            faults = []
        by_action = {fault.action: fault for fault in faults}
        if "ignore_range" in by_action:
            window, ranged = range(size), False
        if ranged:
            status = 206
            head["Content-Range"] = f"bytes {window.start}-{window.stop - 1}/{size}"
        if "short" in by_action:
            window = window[: max(0, len(window) - by_action["short"].missing_bytes)]
        compress = by_action.get("gzip")
        if compress is not None and (compress.force or "gzip" in (self.headers.get("Accept-Encoding") or "")):
            self._send_compressed(source, window, head, status)
            return
        self.send_head(status, {**head, "Content-Length": str(len(window))})
        self.wfile.flush()
        self._send_body(source, window, faults)

    def _send_compressed(self, source: Path | bytes, window: range, head: dict[str, str], status: int) -> None:
        """As a proxy on the way does it: no length, because that was not known when the answer began."""
        packed = gzip.compress(_read(source, window), mtime=0)
        self.send_head(status, {**head, "Content-Encoding": "gzip", "Transfer-Encoding": "chunked"})
        self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(packed), packed))
        self.record.bytes_sent += len(packed)

    def _send_body(self, source: Path | bytes, window: range, faults: Sequence[Fault]) -> None:
        """Send the bytes `window` of the source, with what the faults do to them on the way."""
        events: list[tuple[int, Fault]] = []
        rate = 0.0
        for fault in faults:
            if fault.action == "throttle":
                rate = fault.bytes_per_second
            elif fault.action == "flip" and fault.offset in window:
                events.append((fault.offset, fault))
            elif fault.action in ("stall", "cut", "reset"):
                events.append((min(window.start + fault.after_bytes, window.stop), fault))
        position = window.start
        sender = _Sender(self.connection, source, rate)
        try:
            for offset, fault in sorted(events, key=lambda event: event[0]):
                if offset > position:
                    self._count(sender.send(range(position, offset)))
                    position = offset
                if fault.action == "flip":
                    self.connection.sendall(bytes([_read(source, range(offset, offset + 1))[0] ^ 0xFF]))
                    self._count([1])
                    position += 1
                elif fault.action == "stall":
                    self.server.closing.wait(fault.seconds)
                else:
                    self._end_connection(fault.action == "reset")
                    return
            self._count(sender.send(range(position, window.stop)))
        finally:
            sender.close()

    def _count(self, sent: Iterable[int]) -> None:
        for count in sent:
            self.record.bytes_sent += count

    def _end_connection(self, reset: bool) -> None:
        self.close_connection = True
        if reset:
            # A reset throws away what still waits to be sent: let the promised bytes out first.
            deadline = time.monotonic() + 2
            while _unsent(self.connection) and time.monotonic() < deadline:
                time.sleep(0.005)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)


class _Sender:
    """Sends parts of one file or buffer over one connection, at most `rate` bytes per second if that is not 0."""

    def __init__(self, connection: socket.socket, source: Path | bytes, rate: float) -> None:
        self._connection = connection
        self._source = source
        self._file = os.open(source, os.O_RDONLY) if isinstance(source, Path) else -1
        self._rate = rate
        self._block = max(1, min(_SENDFILE_BLOCK, int(rate / 20))) if rate else _SENDFILE_BLOCK
        self._started = time.monotonic()
        self._sent = 0

    def send(self, window: range) -> Iterable[int]:
        """Send the window; yields the size of each block sent. Raises ConnectionError when the peer is gone."""
        position = window.start
        while position < window.stop:
            size = min(self._block, window.stop - position)
            if isinstance(self._source, Path):
                count = os.sendfile(self._connection.fileno(), self._file, position, size)
                if count == 0:
                    raise ConnectionAbortedError(f"{self._source} became shorter while it was sent")
            else:
                self._connection.sendall(memoryview(self._source)[position : position + size])
                count = size
            position += count
            self._sent += count
            yield count
            if self._rate:
                time.sleep(max(0.0, self._sent / self._rate - (time.monotonic() - self._started)))

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)


def _read(source: Path | bytes, window: range) -> bytes:
    if isinstance(source, bytes):
        return source[window.start : window.stop]
    with source.open("rb") as stream:
        stream.seek(window.start)
        return stream.read(len(window))


def _unsent(connection: socket.socket) -> int:
    """Bytes in the send buffer that the peer has not acknowledged."""
    answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0" * 4)
    return int(struct.unpack("i", answer)[0])


def _asked_range(header: str | None, size: int) -> range | None:
    """The bytes asked for: None for all (no, or no single, range), empty when there are no such bytes."""
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", header or "")
    if found is None or found.group(0) == "bytes=-":
        return None
    first, last = found.groups()
    if not first:
        return range(max(0, size - int(last)), size)
    return range(int(first), min(int(last) + 1, size) if last else size)


def _fault_headers(fault: Fault) -> dict[str, str]:
    headers = dict(fault.headers or {})
    if fault.retry_after is not None:
        headers["Retry-After"] = f"{fault.retry_after:g}"
    if fault.ratelimit is not None:
        limit = {"resource": "resolvers", "r": 0, "t": 1, "q": 3000, "w": 300, **fault.ratelimit}
        headers["RateLimit"] = f'"{limit["resource"]}";r={limit["r"]};t={limit["t"]}'
        headers["RateLimit-Policy"] = f'"fixed window";"{limit["resource"]}";q={limit["q"]};w={limit["w"]}'
    return headers
