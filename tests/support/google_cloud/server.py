# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP/1.1 on one port of this machine: requests to Google's APIs, and the proxy that leads them there."""

from __future__ import annotations

import dataclasses
import http.server
import json
import socket
import ssl
import struct
import threading
import traceback
import urllib.parse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import email.message
    from collections.abc import Callable

    from .tls import Authority


@dataclasses.dataclass
class Message:
    """A request as it came. ``path`` is percent-encoded; ``stopped`` is set when the server ends."""

    method: str
    api: str
    path: str
    query: dict[str, list[str]]
    headers: email.message.Message
    content: bytes
    stopped: threading.Event


@dataclasses.dataclass
class Answer:
    """``hang_up``: close the connection in place of an answer; ``reset``: with a TCP reset."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    hang_up: bool = False
    reset: bool = False


class Server:
    """Passes messages to ``answer``, which threads call at the same time.

    An API is reached as ``https://<api>.googleapis.com/...`` through the proxy, which knows no other hosts, and as
    ``<url>/<api>/...``.
    """

    def __init__(self, answer: Callable[[Message], Answer], authority: Authority) -> None:
        self.stopped = threading.Event()
        server = self

        class Handler(_Handler):
            def setup(self) -> None:
                super().setup()
                self.owner = server
                self.carry_out = answer
                self.authority = authority

        class Listener(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

        self._listener = Listener(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._listener.server_address[1]}"

    def start(self) -> None:
        threading.Thread(target=self._listener.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self.stopped.set()
        self._listener.shutdown()
        self._listener.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    owner: Server
    carry_out: Callable[[Message], Answer]
    authority: Authority
    #: Of a connection that came through CONNECT.
    host = ""

    def log_message(self, *args: object) -> None:
        pass

    def finish(self) -> None:
        try:
            super().finish()
        except OSError:
            pass  # the client has gone
        if self.host:
            self.connection.close()  # the server knows only the socket below TLS

    def do_CONNECT(self) -> None:
        host = self.path.rpartition(":")[0]
        if not host.endswith(".googleapis.com"):
            self.send_error(403, f"There is no way from here to {host}")
            return
        self.send_response(200, "Connection established")
        self.end_headers()
        try:
            self.connection = self.authority.context(host).wrap_socket(self.connection, server_side=True)
        except (OSError, ssl.SSLError):  # the client does not trust the CA
            self.close_connection = True
            return
        self.host = host
        self.close_connection = False  # HTTP/1.0 is what http.client speaks to proxies
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb")

    def _do(self) -> None:
        content = self._content()
        parts = urllib.parse.urlsplit(self.path)
        if not self.host and parts.netloc and parts.netloc != self.owner.url.partition("//")[2]:
            self.send_error(403, f"There is no way from here to {parts.netloc}")
            return
        api, path = self._target(parts.path)
        query = urllib.parse.parse_qs(parts.query, keep_blank_values=True)
        message = Message(self.command, api, path, query, self.headers, content, self.owner.stopped)
        try:
            answer = self.carry_out(message)
        except Exception:  # noqa: BLE001 - the stand-in is at fault: say so here, since a client may hide the answer
            traceback.print_exc()
            answer = Answer(500, {"error": {"code": 500, "message": traceback.format_exc(limit=-3)}})
        self._send(answer)

    def _content(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        content = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers
            pass
        return content

    def _target(self, path: str) -> tuple[str, str]:
        """Name of the API that is meant, and the path there."""
        first, _slash, rest = path.lstrip("/").partition("/")
        if self.host == "www.googleapis.com":
            return first, path
        if self.host:
            return self.host.partition(".")[0], path
        return first, f"/{rest}"

    def _send(self, answer: Answer) -> None:
        if answer.hang_up:
            self.close_connection = True
            if answer.reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
            return
        data = b"" if answer.body is None else json.dumps(answer.body, indent=2).encode()
        self.send_response(answer.status)
        if data:
            self.send_header("Content-Type", "application/json; charset=UTF-8")
        if answer.status != 204:
            self.send_header("Content-Length", str(len(data)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _do
