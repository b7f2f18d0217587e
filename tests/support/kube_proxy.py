# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An API server's door that passes everything on, writes down what passed, and goes wrong on demand."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import http.server
import json
import re
import socket
import ssl
import struct
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest


@dataclasses.dataclass
class Passed:
    """One request as it came: ``path`` is decoded, ``query`` as sent. ``status`` is the answer's, 0 before."""

    method: str
    path: str
    query: str
    content_type: str
    status: int = 0

    @property
    def writes(self) -> bool:
        """Whether it asks the server to change something. Access reviews, and what servers are asked, are questions."""
        if self.method in ("GET", "HEAD", "OPTIONS"):
            return False
        dry = "All" in urllib.parse.parse_qs(self.query).get("dryRun", ())
        question = r"/selfsubject(access|rules)?reviews$|/(services|pods)/[^/]+/proxy/"
        return not dry and not re.search(question, self.path)


def parted(requests: list[Passed]) -> list[list[Passed]]:
    """What passed the proxy, part by part: before each stands a request to ``/mark/``, which no API server has."""
    found: list[list[Passed]] = []
    for passed in requests:
        if passed.path.startswith("/mark/"):
            found.append([])
        elif found:
            found[-1].append(passed)
    return found


@dataclasses.dataclass
class Rule:
    """Strikes ``times`` requests (None: all) of ``method`` whose ``path?query`` matches, after sparing ``after``.

    ``status``: answer with this code and a Status object of ``reason`` and ``message``. ``reset``: reset the connection
    after so many bytes of the answer; 0 asks the server nothing. ``stall``: hold the request back for so many seconds,
    then drop it. ``lose_answer``: pass the request on and drop the answer.
    """

    match: str
    method: str = ""
    times: int | None = None
    after: int = 0
    status: int = 0
    reason: str = "InternalError"
    message: str = "asked for by a test"
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    reset: int | None = None
    stall: float = 0.0
    lose_answer: bool = False
    struck: int = 0


class ApiProxy:
    """``with ApiProxy(kubeconfig, folder) as proxy:`` listens at ``proxy.url``, with the rights of the kubeconfig.

    ``proxy.kubeconfig`` leads there. Connections that change protocol (exec, attach, port-forward) are not passed on.
    """

    def __init__(self, kubeconfig: str | Path, folder: Path) -> None:
        from kubernetes import config

        settings = config.new_client_from_config(str(kubeconfig)).configuration
        self.rules: list[Rule] = []
        self.passed: list[Passed] = []
        self.lock = threading.Lock()
        self.connections: set[socket.socket] = set()
        self._upstream = urllib.parse.urlsplit(settings.host)
        self._context = ssl.create_default_context(cafile=settings.ssl_ca_cert)
        if not settings.verify_ssl:
            self._context.check_hostname = False
            self._context.verify_mode = ssl.CERT_NONE
        if settings.cert_file:
            self._context.load_cert_chain(settings.cert_file, settings.key_file)
        self._settings = settings
        self._server = self._listen(0)
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.kubeconfig = folder / "proxy.kubeconfig"
        self.kubeconfig.write_text(json.dumps(_kubeconfig(self.url)))  # JSON is YAML

    @property
    def environment(self) -> dict[str, str]:
        """What kubernetes.core's modules need to go through the proxy."""
        return {"K8S_AUTH_KUBECONFIG": str(self.kubeconfig)}

    def __enter__(self) -> ApiProxy:
        self._serve()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def add(self, match: str, **options: object) -> Rule:
        rule = Rule(match, **options)
        self.rules.append(rule)
        return rule

    def clear(self) -> None:
        self.rules.clear()
        self.passed.clear()

    def writes(self) -> list[Passed]:
        return [request for request in self.passed if request.writes]

    def stop(self) -> None:
        """Stop listening and break what is connected, as an API server does that ends."""
        self._server.shutdown()
        self._server.server_close()
        with self.lock:
            connections, self.connections = self.connections, set()
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def start(self) -> None:
        """Listen again at the same port."""
        self._server = self._listen(self.port)
        self._serve()

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """The API server restarts: nobody listens inside the block."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    # -- for the handler ---------------------------------------------------------------------------------------

    def connect(self) -> http.client.HTTPConnection:
        host = self._upstream.netloc
        if self._upstream.scheme == "http":
            return http.client.HTTPConnection(host)
        return http.client.HTTPSConnection(host, context=self._context)

    def credentials(self) -> dict[str, str]:
        token = self._settings.get_api_key_with_prefix("authorization")
        return {"Authorization": token} if token else {}

    def rule_for(self, method: str, target: str) -> Rule | None:
        with self.lock:
            for rule in self.rules:
                if rule.method in ("", method) and re.search(rule.match, target):
                    if rule.after > 0:
                        rule.after -= 1
                    elif rule.times is None or rule.struck < rule.times:
                        rule.struck += 1
                        return rule
        return None

    def _listen(self, port: int) -> http.server.ThreadingHTTPServer:
        proxy = self

        class Handler(_Handler):
            owner = proxy

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 128

            def handle_error(self, request, client_address) -> None:
                if not isinstance(sys.exc_info()[1], ConnectionError):  # clients may go when they like
                    super().handle_error(request, client_address)

        return Server(("127.0.0.1", port), Handler)

    def _serve(self) -> None:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: ApiProxy
    disable_nagle_algorithm = True
    wbufsize = 65536

    def setup(self) -> None:
        super().setup()
        with self.owner.lock:
            self.owner.connections.add(self.connection)

    def finish(self) -> None:
        with self.owner.lock:
            self.owner.connections.discard(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, *args: object) -> None:
        pass

    def _do(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urllib.parse.urlsplit(self.path)
        path = urllib.parse.unquote(parts.path)
        self._passed = Passed(self.command, path, parts.query, self.headers.get("Content-Type", ""))
        with self.owner.lock:
            self.owner.passed.append(self._passed)
        rule = self.owner.rule_for(self.command, urllib.parse.unquote(self.path)) or Rule("")
        if rule.stall:
            time.sleep(rule.stall)
            self.close_connection = True
        elif rule.status:
            self._refuse(rule)
        elif rule.reset == 0:
            self._reset()
        else:
            self._pass(body, rule)

    def _refuse(self, rule: Rule) -> None:
        status = {
            "apiVersion": "v1",
            "kind": "Status",
            "metadata": {},
            "status": "Failure",
            "message": rule.message,
            "reason": rule.reason,
            "code": rule.status,
        }
        data = json.dumps(status).encode()
        self._passed.status = rule.status
        self._start(rule.status, {"Content-Type": "application/json", **rule.headers, "Content-Length": str(len(data))})
        self.wfile.write(data)

    def _pass(self, body: bytes, rule: Rule) -> None:
        dropped = {"host", "authorization", "connection", "accept-encoding", "content-length"}
        headers = {name: value for name, value in self.headers.items() if name.lower() not in dropped}
        with contextlib.closing(self.owner.connect()) as upstream:
            try:
                # Without compression each event of a watch comes as it happens, and so in both directions.
                headers |= self.owner.credentials()
                upstream.request(self.command, self.path, body=body or None, headers=headers)
                answer = upstream.getresponse()
                self._passed.status = answer.status
                if rule.lose_answer:
                    answer.read()
                    self._reset()
                    return
                self._answer(answer, rule.reset)
            except (OSError, http.client.HTTPException):
                # One of the two sides is gone; the other one sees the connection break.
                self.close_connection = True

    def _answer(self, answer: http.client.HTTPResponse, limit: int | None) -> None:
        headers = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP}
        length = answer.getheader("Content-Length")
        chunked = length is None and self.command != "HEAD" and answer.status not in (204, 304)
        headers |= {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": length or "0"}
        self._start(answer.status, headers)
        sent = 0
        while data := answer.read1(65536):
            data = data[: None if limit is None else limit - sent]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data) if chunked else data)
            self.wfile.flush()
            sent += len(data)
            if sent == limit:
                self._reset()
                return
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _start(self, status: int, headers: dict[str, str]) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    do_GET = do_HEAD = do_OPTIONS = do_PUT = do_POST = do_PATCH = do_DELETE = _do


_HOP = {"content-length", "transfer-encoding", "connection", "keep-alive"}


def _kubeconfig(server: str) -> dict:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "proxy", "cluster": {"server": server}}],
        "users": [{"name": "proxy", "user": {}}],
        "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
        "current-context": "proxy",
    }


@pytest.fixture
def api_proxy(cluster, tmp_path):
    """A proxy of its own for each test, in front of the test cluster."""
    with ApiProxy(cluster.kubeconfig, tmp_path) as service:
        yield service
