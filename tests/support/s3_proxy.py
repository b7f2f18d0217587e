# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An S3 endpoint that passes everything on, writes down what passed, and goes wrong on demand."""

from __future__ import annotations

import dataclasses
import http.client
import http.server
import re
import socket
import ssl
import struct
import threading
import time
import urllib.parse
from pathlib import Path


@dataclasses.dataclass
class Passed:
    """One request as it came: ``path`` is decoded, ``query`` as sent, ``length`` the bytes of its body.

    ``payload`` is the hash of the body that the signature covers, if it does. ``status`` is the answer's, 0 before.
    """

    method: str
    path: str
    query: str
    length: int
    payload: str = ""
    status: int = 0

    @property
    def writes(self) -> bool:
        return self.method not in ("GET", "HEAD")


@dataclasses.dataclass
class Rule:
    """Strikes ``times`` requests (None: all) of ``method`` whose ``path?query`` matches, after sparing ``after``.

    ``status``: answer with this code and ``error`` as S3 error code. ``reset``: reset the connection after so many
    bytes of the request body. ``stall``: hold the request back for so many seconds, then drop it. ``lose_answer``:
    pass the request on and drop the answer. ``flip``: invert the byte at this offset of the request body.
    """

    match: str
    method: str = ""
    times: int | None = None
    after: int = 0
    status: int = 0
    error: str = "InternalError"
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    reset: int | None = None
    stall: float = 0.0
    lose_answer: bool = False
    flip: int | None = None
    struck: int = 0


class S3Proxy:
    """``with S3Proxy(upstream) as proxy:`` listens at ``proxy.url``; ``proxy.rules`` and ``proxy.passed`` are shared.

    :param certificate: PEM file with certificate and key, to speak TLS.
    """

    def __init__(self, upstream: str, *, certificate: Path | None = None) -> None:
        self.upstream = urllib.parse.urlsplit(upstream).netloc
        self.rules: list[Rule] = []
        self.passed: list[Passed] = []
        self.lock = threading.Lock()
        #: Answer 501 to writes that carry a header of this prefix, as stores do that do not know it.
        self.refuse_header: str | None = None
        #: Take probes with a wrong checksum, as stores do that look at none.
        self.accept_probes = False
        proxy = self

        class Handler(_Handler):
            owner = proxy

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        self._server = Server(("127.0.0.1", 0), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> S3Proxy:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add(self, match: str, **options: object) -> Rule:
        rule = Rule(match, **options)
        self.rules.append(rule)
        return rule

    def reset(self) -> None:
        self.rules.clear()
        self.passed.clear()
        self.refuse_header = None
        self.accept_probes = False

    def rule_for(self, method: str, target: str) -> Rule | None:
        with self.lock:
            for rule in self.rules:
                if rule.method in ("", method) and re.search(rule.match, target):
                    if rule.after > 0:
                        rule.after -= 1
                        continue
                    if rule.times is None or rule.struck < rule.times:
                        rule.struck += 1
                        return rule
        return None

    def writes(self) -> list[Passed]:
        return [request for request in self.passed if request.writes]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: S3Proxy
    disable_nagle_algorithm = True
    wbufsize = 65536

    def log_message(self, *args: object) -> None:
        pass

    def handle_expect_100(self) -> bool:
        # Answer at once, so that the body comes; the upstream never sees the header.
        self.send_response_only(100)
        self.end_headers()
        self.wfile.flush()
        return True

    def _do(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        parts = urllib.parse.urlsplit(self.path)
        target = urllib.parse.unquote(self.path)
        with self.owner.lock:
            payload = self.headers.get("x-amz-content-sha256", "")
            self._passed = Passed(self.command, urllib.parse.unquote(parts.path), parts.query, length, payload)
            self.owner.passed.append(self._passed)
        rule = self.owner.rule_for(self.command, target)
        if rule and rule.reset is not None:
            self.rfile.read(min(length, rule.reset))
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
            return
        body = bytearray(self.rfile.read(length)) if length else bytearray()
        refused = self.owner.refuse_header
        if refused and self._passed.writes and any(name.lower().startswith(refused) for name in self.headers):
            self._answer(501, {"Content-Type": "application/xml"}, b"<Error><Code>NotImplemented</Code></Error>")
            return
        checked = any(name.lower().startswith(("x-amz-checksum-", "content-md5")) for name in self.headers)
        if self.owner.accept_probes and parts.path.endswith("/probe") and checked:
            self._answer(200, {"ETag": '"0"'}, b"")
            return
        if rule and rule.stall:
            time.sleep(rule.stall)
            self.close_connection = True
            return
        if rule and rule.status:
            text = f"<Error><Code>{rule.error}</Code><Message>asked for by a test</Message></Error>".encode()
            self._answer(rule.status, {"Content-Type": "application/xml", **rule.headers}, text)
            return
        if rule and rule.flip is not None:
            body[rule.flip] ^= 0xFF
        self._pass(bytes(body), lose=bool(rule and rule.lose_answer))

    def _pass(self, body: bytes, *, lose: bool) -> None:
        upstream = http.client.HTTPConnection(self.owner.upstream, timeout=60)
        try:
            # The signature covers the Host header, so it goes on as the client sent it.
            headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
            upstream.request(self.command, self.path, body=body or None, headers=headers)
            answer = upstream.getresponse()
            data = answer.read()
            self._passed.status = answer.status
            if lose:
                self.close_connection = True
                return
            fields = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP}
            self._answer(answer.status, fields, data, length=answer.getheader("Content-Length"))
        finally:
            upstream.close()

    def _answer(self, status: int, headers: dict[str, str], data: bytes, *, length: str | None = None) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", length if self.command == "HEAD" and length else str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _do


_HOP = {"content-length", "transfer-encoding", "connection", "keep-alive"}
