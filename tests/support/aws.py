# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AWS as moto plays it, behind a door that writes down what passed and goes wrong on demand."""

from __future__ import annotations

import dataclasses
import http.client
import http.server
import json
import logging
import re
import secrets
import socket
import struct
import threading
import time
import urllib.parse
from collections.abc import Callable

import pytest

_READS = ("Get", "Describe", "List", "BatchGet", "Head", "Validate")
_HOP = {"content-length", "transfer-encoding", "connection", "keep-alive"}


@dataclasses.dataclass
class Request:
    """One request as it came. ``operation`` is AWS' name for it, such as PutSecretValue, or method and path where the
    protocol has none. ``body`` is parsed when it is JSON or a form. ``status`` is the answer's, 0 before."""

    service: str
    operation: str
    body: object
    status: int = 0

    @property
    def writes(self) -> bool:
        return not self.operation.startswith((*_READS, "GET ", "HEAD "))

    def __str__(self) -> str:
        return f"{self.service}.{self.operation} {json.dumps(self.body)}"


@dataclasses.dataclass
class Fault:
    """Strikes ``times`` requests (None: all) whose ``service.Operation {"the": "body"}`` matches, after sparing ``after``.

    ``status``: answer with this code, ``reason`` as AWS' code of the error, and ``message``. ``lose_answer``: carry the
    request out and drop the answer. ``reset``: reset the connection and carry nothing out. ``stall``: hold the request
    back for so many seconds, then drop it. ``before``: called before the request is carried out.
    """

    match: str
    times: int | None = None
    after: int = 0
    status: int = 0
    reason: str = "InternalServiceError"
    message: str = "asked for by a test"
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    lose_answer: bool = False
    reset: bool = False
    stall: float = 0.0
    before: Callable[[], object] | None = None
    struck: int = 0


class Aws:
    """``with Aws() as aws:`` listens at ``aws.url``. ``aws.requests`` is what passed."""

    region = "eu-central-1"
    access_key = f"test{secrets.token_hex(8)}"
    secret_key = secrets.token_hex(20)
    account = "123456789012"

    def __init__(self) -> None:
        from moto.server import ThreadedMotoServer

        logging.getLogger("werkzeug").setLevel(logging.WARNING)  # it prints every request
        self.requests: list[Request] = []
        self.lock = threading.Lock()
        self._faults: list[Fault] = []
        self._moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        aws = self

        class Handler(_Handler):
            owner = aws

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Aws:
        self._moto.start()
        host, port = self._moto.get_host_and_port()
        self.upstream = f"{host}:{port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._moto.stop()

    @property
    def environment(self) -> dict[str, str]:
        """What the AWS SDK needs to come here."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1,localhost",
        }

    def client(self, service: str):
        """A client of boto3 that goes past the door."""
        import boto3

        environment = self.environment
        return boto3.client(
            service,
            endpoint_url=f"http://{self.upstream}",
            region_name=self.region,
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        )

    def fail(self, match: str, **options: object) -> Fault:
        """Add a :class:`Fault`."""
        fault = Fault(match, **options)
        self._faults.append(fault)
        return fault

    def clear_requests(self) -> None:
        self.requests.clear()

    def writes(self) -> list[str]:
        """The operations that were to change something."""
        return [request.operation for request in self.requests if request.writes]

    def reset(self) -> None:
        """Forget everything: faults, requests, and what AWS holds."""
        self._faults.clear()
        self.requests.clear()
        connection = http.client.HTTPConnection(self.upstream, timeout=60)
        connection.request("POST", "/moto-api/reset")
        assert connection.getresponse().status == 200
        connection.close()

    def fault_for(self, request: Request) -> Fault | None:
        with self.lock:
            self.requests.append(request)
            for fault in self._faults:
                if re.search(fault.match, str(request)):
                    if fault.after > 0:
                        fault.after -= 1
                    elif fault.times is None or fault.struck < fault.times:
                        fault.struck += 1
                        return fault
        return None


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: Aws
    disable_nagle_algorithm = True
    wbufsize = 65536

    def log_message(self, *args: object) -> None:
        pass

    def _do(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = self._request(body)
        fault = self.owner.fault_for(request) or Fault("")
        if fault.before:
            fault.before()
        if fault.stall:
            time.sleep(fault.stall)
            self.close_connection = True
        elif fault.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
        elif fault.status:
            request.status = fault.status
            told = json.dumps({"__type": fault.reason, "message": fault.message}).encode()
            self._answer(fault.status, {"Content-Type": "application/x-amz-json-1.1", **fault.headers}, told)
        else:
            self._pass(request, body, lose=fault.lose_answer)

    def _request(self, body: bytes) -> Request:
        """What is asked for. https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html"""
        scope = re.search(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/", self.headers.get("Authorization", ""))
        text = body.decode(errors="replace")
        target = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
        form = dict(urllib.parse.parse_qsl(text)) if "x-www-form-urlencoded" in str(self.headers) else {}
        try:
            content = json.loads(text)
        except ValueError:
            content = form or text
        operation = target or form.get("Action") or f"{self.command} {urllib.parse.unquote(self.path)}"
        return Request(scope[1] if scope else "", operation, content)

    def _pass(self, request: Request, body: bytes, *, lose: bool) -> None:
        upstream = http.client.HTTPConnection(self.owner.upstream, timeout=60)
        try:
            upstream.request(self.command, self.path, body=body or None, headers=dict(self.headers.items()))
            answer = upstream.getresponse()
            data = answer.read()
        finally:
            upstream.close()
        request.status = answer.status
        if lose:
            self.close_connection = True
            return
        fields = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP}
        self._answer(answer.status, fields, data)

    def _answer(self, status: int, headers: dict[str, str], data: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _do


@pytest.fixture(scope="session")
def _aws():
    with Aws() as service:
        yield service


@pytest.fixture
def aws(_aws):
    _aws.reset()
    return _aws
