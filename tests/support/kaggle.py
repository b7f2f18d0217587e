# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kaggle Models on this machine: the API with its accounts and terms, and the storage that its signed URLs point to.

What cannot be shown here is the real service: its exact words, how long its URLs last, and what it does under load.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import http.server
import json
import re
import secrets
import threading
import time
import urllib.parse
from collections.abc import Callable

import google_crc32c
import pytest


@dataclasses.dataclass
class Fault:
    """What goes wrong with requests whose ``<api or storage> <path> <range>`` is found by ``match``, so many times.

    ``status`` answers at once, with ``retry_after`` in seconds; ``damage`` alters the body; ``cut`` ends it, and the
    connection, after so many bytes; ``delay`` waits so many seconds before the body.
    """

    match: str
    status: int | None = None
    retry_after: int | None = None
    damage: Callable[[bytes], bytes] = bytes
    cut: int | None = None
    delay: float = 0
    times: int = 1_000_000


@dataclasses.dataclass(frozen=True)
class Request:
    """One request; ``path`` is without query, ``range`` the header as it came."""

    role: str
    path: str
    query: dict[str, str]
    range: str
    authorization: str | None


class Kaggle:
    """``with Kaggle() as kaggle:`` serves its models at ``kaggle.endpoint``.

    ``uses`` is how many requests a signed URL is good for. ``page`` is the size of a page of files, whatever is asked
    for. ``hashes`` are those that the storage gives. ``bundled`` are files that are listed and not given one by one.
    """

    def __init__(self) -> None:
        self.models: dict[str, dict[int, dict[str, bytes]]] = {}
        self.gated: set[str] = set()  # models by owner/model
        self.consents: set[tuple[str, str]] = set()  # of users to models
        self.keys: dict[str, str] = {}
        self.tokens: dict[str, str] = {}
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.signed: dict[str, tuple[bytes, int]] = {}
        self.issued: list[str] = []
        self.bundled: set[str] = set()
        self.hashes = ("crc32c", "md5")
        self.uses = 1_000_000
        self.page = 1000
        self.lock = threading.Lock()
        self._servers = [self._server("api", _Api), self._server("storage", _Storage)]
        self.endpoint, self.storage = (f"http://127.0.0.1:{server.server_address[1]}" for server in self._servers)

    def _server(self, role: str, handler: type[_Handler]) -> http.server.ThreadingHTTPServer:
        kind = type("Handler", (handler,), {"owner": self, "role": role})
        return http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)

    def __enter__(self) -> Kaggle:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def add(self, handle: str, *versions: dict[str, bytes], gated: bool = False) -> str:
        """A variation with its versions, from 1 on; ``handle`` again."""
        self.models[handle] = dict(enumerate(versions, 1))
        if gated:
            self.gated.add(handle.rpartition("/")[0].rpartition("/")[0])
        return handle

    def user(self, name: str = "", *, accepts: str | None = None) -> tuple[str, str, str]:
        """An account: its name, key and token. ``accepts``: the model, as owner/model, whose terms it accepts."""
        name = name or f"user-{secrets.token_hex(3)}"
        key, token = f"canary-key-{secrets.token_hex(8)}", f"canary-token-{secrets.token_hex(8)}"
        self.keys[name], self.tokens[token] = key, name
        if accepts:
            self.consents.add((name, accepts))
        return name, key, token

    def revoke(self, name: str) -> None:
        """Key and tokens of an account are no longer good."""
        self.keys.pop(name, None)
        self.tokens = {token: user for token, user in self.tokens.items() if user != name}

    def asked(self, role: str, match: str = "") -> list[Request]:
        """The requests so far."""
        return [request for request in self.requests if request.role == role and re.search(match, request.path)]

    def who(self, authorization: str | None) -> str | None:
        """The account, empty for nobody in particular, None for credentials that are not good."""
        if authorization is None:
            return ""
        scheme, _space, value = authorization.partition(" ")
        if scheme == "Bearer":
            return self.tokens.get(value)
        name, _colon, key = base64.b64decode(value).decode().partition(":")
        return name if self.keys.get(name) == key else None

    def sign(self, content: bytes, path: str) -> str:
        signature = f"canary{secrets.token_hex(16)}"
        self.signed[signature] = (content, self.uses)
        self.issued.append(signature)
        return f"{self.storage}/kaggle-models-data/{urllib.parse.quote(path)}?X-Goog-Signature={signature}"

    def strike(self, target: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times and re.search(fault.match, target):
                    fault.times -= 1
                    return fault
        return None


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: Kaggle
    role: str

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        parts = urllib.parse.urlsplit(self.path)
        path, query = urllib.parse.unquote(parts.path), dict(urllib.parse.parse_qsl(parts.query))
        wanted, authorization = self.headers.get("Range", ""), self.headers.get("Authorization")
        with self.owner.lock:
            self.owner.requests.append(Request(self.role, path, query, wanted, authorization))
        fault = self.owner.strike(f"{self.role} {path} {wanted}")
        if fault and fault.status:
            after = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
            self._json(fault.status, {"code": fault.status, "message": "Asked for by a test"}, after)
            return
        self.answer(path, query, fault or Fault(""))

    def answer(self, path: str, query: dict[str, str], fault: Fault) -> None:
        raise NotImplementedError  # the API and the storage answer each in their own way

    def _json(self, status: int, body: dict, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self._send(status, {"Content-Type": "application/json", **(headers or {})}, data, Fault(""))

    def _send(self, status: int, headers: dict[str, str], body: bytes, fault: Fault) -> None:
        self.send_response_only(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        time.sleep(fault.delay)
        self.wfile.write(fault.damage(body)[: fault.cut])
        if fault.cut is not None:
            self.close_connection = True


class _Api(_Handler):
    def answer(self, path: str, query: dict[str, str], fault: Fault) -> None:
        del fault
        owner = self.owner
        who = owner.who(self.headers.get("Authorization"))
        if who is None:
            self._json(401, {"code": 401, "message": f"Unauthenticated: {self.headers['Authorization']}"})
            return
        found = re.fullmatch(
            r"/api/v1/models/([^/]+/[^/]+)/([^/]+/[^/]+)/(?:(\d+)/)?(get|files|download)(?:/(.+))?", path
        )
        versions = owner.models.get(f"{found[1]}/{found[2]}") if found else None
        if found is None or versions is None:
            self._json(403, {"code": 403, "message": "Permission 'models.get' was denied"})
            return
        if found[4] == "get":
            self._json(200, {"slug": found[2], "versionNumber": max(versions)})
            return
        files = versions.get(int(found[3] or 0))
        if files is None:
            self._json(404, {"code": 404, "message": "Not found"})
        elif found[4] == "files":
            start = int(query.get("page_token") or 0)
            names = sorted(files)[start : start + min(owner.page, int(query["page_size"]))]
            more = start + len(names) < len(files)
            listed = [
                {"name": name, "size": len(files[name]), "creationDate": "2024-04-01T12:00:00Z"} for name in names
            ]
            self._json(200, {"files": listed, "nextPageToken": str(start + len(names)) if more else ""})
        elif found[1] in owner.gated and (who, found[1]) not in owner.consents:
            self._json(403, {"code": 403, "message": "User has not consented to terms of use."})
        elif found[5] not in files or found[5] in owner.bundled:
            self._json(404, {"code": 404, "message": "Not found"})
        else:
            url = owner.sign(files[found[5]], f"{found[1]}/{found[2]}/{found[3]}/{found[5]}")
            self._send(302, {"Location": url}, b"", Fault(""))


class _Storage(_Handler):
    def answer(self, path: str, query: dict[str, str], fault: Fault) -> None:
        del path
        owner, signature = self.owner, query.get("X-Goog-Signature", "")
        with owner.lock:
            content, uses = owner.signed.get(signature, (b"", 0))
            owner.signed[signature] = (content, uses - 1)
        if uses <= 0:
            self._send(400, {}, b"<Error><Code>ExpiredToken</Code></Error>", Fault(""))
            return
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        digests = {
            "crc32c": google_crc32c.value(content).to_bytes(4, "big"),
            "md5": hashlib.md5(content, usedforsecurity=False).digest(),
        }
        headers = {"Accept-Ranges": "bytes", "x-goog-stored-content-encoding": "identity"}
        if owner.hashes:
            headers["x-goog-hash"] = ",".join(
                f"{name}={base64.b64encode(digests[name]).decode()}" for name in owner.hashes
            )
        if wanted is None:
            self._send(200, headers, content, fault)
        elif int(wanted[1]) >= len(content):
            self._send(416, {"Content-Range": f"bytes */{len(content)}"}, b"", fault)
        else:
            start, end = int(wanted[1]), min(int(wanted[2]) + 1, len(content))
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(content)}"
            self._send(206, headers, content[start:end], fault)


@pytest.fixture
def kaggle():
    with Kaggle() as service:
        yield service
