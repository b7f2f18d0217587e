# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTTP/1.1 for one purpose: to know when the bytes of an answer arrive.

A token's time is taken in ``data_received``, before anything is done with it. Connections are kept and used again.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import socket
import ssl
import time
import typing as t
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from ..errors import EndpointError, InputError
from .protocols import Answer, MalformedError, Reader, RefusedError, message_of

clock = time.monotonic

_LARGEST_HEAD = 1 << 16
_LARGEST_REFUSAL = 1 << 14
_UNTIL_CLOSED = -1


class Address(t.NamedTuple):
    """Where an endpoint is, and the part of its URL that comes before the path of the protocol."""

    host: str
    port: int
    tls: bool
    prefix: str

    @classmethod
    def of(cls, url: str) -> Address:
        """From a URL that the workload has checked."""
        parts = urlsplit(url)
        tls = parts.scheme == "https"
        return cls(parts.hostname or "", parts.port or (443 if tls else 80), tls, parts.path.rstrip("/"))

    @property
    def authority(self) -> str:
        """The value of the header Host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


def tls_context(address: Address, ca_bundle: str | None, *, verify: bool) -> ssl.SSLContext | None:
    """How to speak TLS with the endpoint; None where it is not asked for.

    :raises InputError: the bundle cannot be read.
    """
    if not address.tls:
        return None
    try:
        context = ssl.create_default_context(cafile=ca_bundle)
    except OSError as error:
        raise InputError(f"The CA bundle {ca_bundle} cannot be read: {error}.", hint="Give a PEM file.") from error
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class Exchange:
    """One request and what came of it. Times are of the monotonic clock."""

    __slots__ = (
        "begun",
        "body",
        "connection",
        "ended",
        "error",
        "head",
        "last",
        "message",
        "on_end",
        "reader",
        "retry_after",
        "scheduled",
        "status",
    )

    def __init__(
        self, head: bytes, body: bytes, reader: Reader, on_end: Callable[[Exchange], None], scheduled: float = 0.0
    ) -> None:
        self.head = head
        self.body = body
        self.reader = reader
        self.on_end = on_end
        self.scheduled = scheduled
        #: When it was begun, which includes making a connection where there is none; when its last byte came.
        self.begun = 0.0
        self.last = 0.0
        self.ended = 0.0
        self.connection: Connection | None = None
        self.status: int | None = None
        #: A kind of `records.ERRORS`, and the cause in short.
        self.error = ""
        self.message = ""
        #: Seconds that the server asks to wait.
        self.retry_after: float | None = None

    @property
    def answer(self) -> Answer:
        return self.reader.answer


@dataclasses.dataclass
class _Refusal:
    """Reads the body of an answer whose status is no success."""

    answer: Answer
    data: bytes = b""

    def feed(self, data: bytes, now: float) -> None:
        self.data = (self.data + data)[:_LARGEST_REFUSAL]

    def finish(self) -> None:
        """There is nothing to check: anything may stand there."""

    def message(self) -> str:
        """What the server says is the cause, if it says so in a message; other text may repeat the prompt."""
        try:
            return message_of(json.loads(self.data))
        except ValueError:
            return ""


class Connection(asyncio.Protocol):
    """One connection, which carries one exchange at a time."""

    def __init__(self, on_free: Callable[[Connection], None], on_stale: Callable[[Exchange], None]) -> None:
        self._on_free = on_free
        self._on_stale = on_stale
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._reader: Reader | None = None  # set while a body is read
        self._buffer = b""
        self._chunked = False
        self._keep = False
        self._missing = 0  # bytes until the end of the body, or of a chunk
        self._used = False
        self.closed = False

    # -- what asyncio calls ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = t.cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        now = clock()
        exchange, reader = self._exchange, self._reader
        if exchange is None:  # nobody has asked for anything
            self.close()
            return
        exchange.last = now
        try:
            if reader is not None and self._chunked and not self._buffer and not self._missing:
                # The usual case, once per token: exactly one chunk, none of it before or after.
                end = data.find(b"\r\n")
                size = _size(data[:end]) if end > 0 else 0
                if size and len(data) == end + size + 4:
                    reader.feed(data[end + 2 : -2], now)
                    return
            self._buffer += data
            self._read(now)
        except MalformedError as error:
            self._end("malformed", str(error), now)
        except RefusedError as error:
            self._end("http", str(error), now)
        except ValueError:
            self._end("malformed", "the answer is no HTTP/1.1", now)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        exchange = self._exchange
        if exchange is None:
            return
        if self._used and exchange.status is None and not self._buffer:
            # The server has closed a connection that it had kept, which it may do at any time.
            self._exchange = exchange.connection = None
            self._on_stale(exchange)
        elif self._reader is not None and not self._chunked and self._missing == _UNTIL_CLOSED and exc is None:
            self._finish(clock())
        else:
            self._end("reset", "the connection was closed before the answer had ended", clock())

    # -- what the client calls ---------------------------------------------------------------------------------

    def start(self, exchange: Exchange) -> None:
        """Send a request on a connection that has nothing to do."""
        self._exchange = exchange
        exchange.connection = self
        t.cast("asyncio.Transport", self._transport).write(exchange.head + exchange.body)

    def give_up(self, kind: str, message: str) -> None:
        """End the exchange without its answer."""
        self._end(kind, message, clock())

    def close(self) -> None:
        """Drop the connection without a word."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    # -- reading an answer -------------------------------------------------------------------------------------

    def _read(self, now: float) -> None:
        """Take from the buffer what is whole."""
        while self._exchange is not None and self._buffer:
            before = len(self._buffer)
            if self._reader is None:
                self._read_head(now)
            elif self._chunked:
                self._read_chunk(now)
            else:
                self._read_plain(now)
            if len(self._buffer) == before:
                return

    def _read_head(self, now: float) -> None:
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            if len(head) > _LARGEST_HEAD:
                raise MalformedError("the head of the answer has no end")
            return
        exchange = t.cast("Exchange", self._exchange)
        lines = head.decode("latin-1").split("\r\n")
        version, status = lines[0].split(" ", 2)[:2]
        if not version.startswith("HTTP/1."):
            raise MalformedError("the answer is no HTTP/1.1")
        self._buffer = rest
        if status.startswith("1"):  # only a note; the answer follows
            return
        exchange.status = int(status)
        fields = {
            name.strip().lower(): value.strip() for name, _colon, value in (ln.partition(":") for ln in lines[1:])
        }
        self._keep = version != "HTTP/1.0" and fields.get("connection", "").lower() != "close"
        self._chunked = fields.get("transfer-encoding", "").lower() == "chunked"
        length = fields.get("content-length")
        if length is not None and not length.isdigit():
            raise MalformedError("the answer has no valid Content-Length")
        self._missing = 0 if self._chunked else int(length or _UNTIL_CLOSED)
        exchange.retry_after = _seconds(fields.get("retry-after"))
        success = 200 <= exchange.status < 300
        self._reader = exchange.reader if success else _Refusal(exchange.answer)
        if not self._chunked and not self._missing:
            self._finish(now)

    def _read_chunk(self, now: float) -> None:
        """One chunk, or the end. Where a chunk is not whole, what is there counts already."""
        reader = t.cast("Reader", self._reader)
        if self._missing > 2:
            part = self._buffer[: self._missing - 2]
            self._buffer = self._buffer[len(part) :]
            self._missing -= len(part)
            reader.feed(part, now)
            return
        if self._missing:  # the end of line after a chunk
            skipped = self._buffer[: self._missing]
            self._buffer = self._buffer[len(skipped) :]
            self._missing -= len(skipped)
            return
        line, found, rest = self._buffer.partition(b"\r\n")
        if not found:
            if len(line) > _LARGEST_HEAD:
                raise MalformedError("a chunk has no size")
            return
        if size := _size(line):
            self._buffer, self._missing = rest, size + 2
        elif rest.startswith(b"\r\n") or b"\r\n\r\n" in rest:
            self._finish(now)

    def _read_plain(self, now: float) -> None:
        reader = t.cast("Reader", self._reader)
        data, self._buffer = self._buffer, b""
        if self._missing != _UNTIL_CLOSED:
            data = data[: self._missing]
            self._missing -= len(data)
        reader.feed(data, now)
        if not self._missing:
            self._finish(now)

    def _finish(self, now: float) -> None:
        """The answer is whole."""
        exchange, reader = t.cast("Exchange", self._exchange), t.cast("Reader", self._reader)
        if isinstance(reader, _Refusal):
            message = reader.message() or f"the server answers with status {exchange.status}"
            self._end("http", message, now, reusable=True)
            return
        try:
            reader.finish()
        except MalformedError as error:
            self._end("malformed", str(error), now)
        except RefusedError as error:
            self._end("http", str(error), now, reusable=True)
        else:
            found = "" if exchange.answer.tokens else "no_tokens"
            self._end(found, found and "the answer has no tokens", now, reusable=True)

    def _end(self, error: str, message: str, now: float, *, reusable: bool = False) -> None:
        exchange = self._exchange
        if exchange is None:
            return
        self._exchange = self._reader = exchange.connection = None
        self._buffer, self._missing = b"", 0
        exchange.error, exchange.message, exchange.ended = error, message, now
        if reusable and self._keep and not self.closed:
            self._used = True
            self._on_free(self)
        else:
            self.close()
        exchange.on_end(exchange)


def _size(line: bytes) -> int:
    """Of a chunk, from its first line."""
    try:
        size = int(line.partition(b";")[0], 16)
    except ValueError:
        size = -1
    if size < 0:
        raise MalformedError("a chunk has no size")
    return size


def _seconds(text: str | None) -> float | None:
    """A Retry-After in seconds; the form with a date is not used by servers of models."""
    try:
        return max(0.0, float(text)) if text else None
    except ValueError:
        return None


class Client:
    """Sends exchanges over as many connections as are needed, and sees to their time limits.

    Whatever happens to an exchange, its ``on_end`` is called once, never from within send().
    """

    def __init__(
        self,
        address: Address,
        *,
        context: ssl.SSLContext | None,
        connect_timeout: float,
        request_timeout: float,
        stall_timeout: float,
    ) -> None:
        self._address = address
        self._context = context
        self._connect_timeout = connect_timeout
        self._request_timeout = request_timeout
        self._stall_timeout = stall_timeout
        self._idle: list[Connection] = []
        self._connecting: dict[Exchange, asyncio.Task[None]] = {}
        self._peers: list[str] = []
        self._turn = 0
        #: Everything that has been sent and has not ended, the oldest first.
        self.active: dict[Exchange, None] = {}

    async def resolve(self) -> None:
        """Look the host up, once: to ask anew for every connection would cost time that is not the server's.

        :raises EndpointError: it has no address.
        """
        host, port = self._address.host, self._address.port
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise EndpointError(
                f"The host {host} of the endpoint has no address: {error.strerror}.",
                hint="Check its name, and that it can be resolved from where the load is made.",
            ) from error
        self._peers = list(dict.fromkeys(str(sockaddr[0]) for *_kind, sockaddr in found))

    def send(self, exchange: Exchange) -> None:
        """Begin an exchange now."""
        exchange.begun = exchange.last = clock()
        exchange.on_end = self._watched(exchange.on_end)
        self.active[exchange] = None
        self._dispatch(exchange)

    def _watched(self, on_end: Callable[[Exchange], None]) -> Callable[[Exchange], None]:
        def ended(exchange: Exchange) -> None:
            del self.active[exchange]
            on_end(exchange)

        return ended

    def _dispatch(self, exchange: Exchange) -> None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                connection.start(exchange)
                return
        self._connecting[exchange] = asyncio.get_running_loop().create_task(self._connect(exchange))

    async def _connect(self, exchange: Exchange) -> None:
        try:
            connection = await asyncio.wait_for(self._open(), self._connect_timeout)
        except (OSError, asyncio.TimeoutError) as error:
            cause = str(error) or f"no connection within {self._connect_timeout:g} s"
            self._fail(exchange, "connect", cause)
        else:
            if self._connecting.pop(exchange, None) is None:  # given up meanwhile
                connection.close()
                return
            connection.start(exchange)

    async def _open(self) -> Connection:
        """A new connection. Where the host has several addresses they take turns, and stand in for each other.

        :raises OSError: of the last one that was tried.
        """
        self._turn += 1
        at = self._turn % len(self._peers)
        *others, last = self._peers[at:] + self._peers[:at]
        for peer in others:
            try:
                return await self._open_to(peer)
            except OSError:
                continue  # such as IPv6 on a host that has only IPv4
        return await self._open_to(last)

    async def _open_to(self, peer: str) -> Connection:
        _transport, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(self._idle.append, self._dispatch),
            peer,
            self._address.port,
            ssl=self._context,
            server_hostname=self._address.host if self._context else None,
        )
        return connection

    def _fail(self, exchange: Exchange, kind: str, message: str) -> None:
        self._connecting.pop(exchange, None)
        exchange.error, exchange.message, exchange.ended = kind, message, clock()
        exchange.on_end(exchange)

    def check_limits(self) -> None:
        """Give up what takes too long. A timer per request, set anew with every token, would cost more than the tokens."""
        now = clock()
        for exchange in list(self.active):
            if now - exchange.begun > self._request_timeout:
                self._give_up(exchange, "timeout", f"no whole answer within {self._request_timeout:g} s")
            elif exchange.answer.times and now - exchange.last > self._stall_timeout:
                self._give_up(exchange, "stalled", f"nothing came for {self._stall_timeout:g} s")

    def cancel_all(self, message: str) -> None:
        """Give up everything that is under way."""
        for exchange in list(self.active):
            self._give_up(exchange, "cancelled", message)

    def _give_up(self, exchange: Exchange, kind: str, message: str) -> None:
        if exchange.connection is not None:
            exchange.connection.give_up(kind, message)
        elif (task := self._connecting.pop(exchange, None)) is not None:
            task.cancel()
            self._fail(exchange, kind, message)

    def close(self) -> None:
        """Drop all connections."""
        self.cancel_all("the run has ended")
        for connection in self._idle:
            connection.close()
        self._idle.clear()


class Heads:
    """The heads of requests to one address."""

    def __init__(self, address: Address, headers: Mapping[str, str], api_key: str | None) -> None:
        """:raises InputError: the key cannot stand in a header."""
        fields = {"Host": address.authority, "User-Agent": "modelops-bench", "Accept": "*/*", **headers}
        if api_key:
            if not (api_key.isascii() and api_key.isprintable()):
                raise InputError("The API key has characters that no header can carry.", hint="Check how it was read.")
            fields["Authorization"] = f"Bearer {api_key}"
        self._api_key = api_key
        self._prefix = address.prefix
        self._fields = "".join(f"{name}: {value}\r\n" for name, value in fields.items())

    def hide(self, said: str) -> str:
        """What the server says, without the key, which some repeat when they refuse it."""
        return said.replace(self._api_key, "***") if self._api_key else said

    def get(self, path: str) -> bytes:
        return f"GET {self._prefix}{path} HTTP/1.1\r\n{self._fields}\r\n".encode("latin-1", errors="replace")

    def post(self, path: str, length: int, name: str) -> bytes:
        """``name`` goes along as X-Request-Id, so that the server's log can be compared."""
        return (
            f"POST {self._prefix}{path} HTTP/1.1\r\n{self._fields}Content-Type: application/json\r\n"
            f"X-Request-Id: {name}\r\nContent-Length: {length}\r\n\r\n"
        ).encode("latin-1", errors="replace")
