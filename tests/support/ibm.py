# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IBM Cloud on this machine: an IAM that gives tokens, and Object Storage that takes them, a real S3 store behind it.

What cannot be shown here is the real service: its error codes for passcodes, and whether it knows conditional writes.
"""

from __future__ import annotations

import base64
import dataclasses
import http.client
import http.server
import json
import re
import secrets
import threading
import time
import urllib.parse

import pytest
import urllib3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from s3_proxy import S3Proxy, _Handler

_CLIENT = "Basic " + base64.b64encode(b"bx:bx").decode()
_GRANT = "urn:ibm:params:oauth:grant-type:"


@dataclasses.dataclass
class Passcode:
    """``expires`` is a time as of :func:`time.monotonic`."""

    expires: float
    used: bool = False


class Iam:
    """``with Iam() as iam:`` gives tokens at ``iam.url`` for its API keys, passcodes and refresh tokens.

    ``life`` is what new tokens say of themselves in seconds. ``grants`` are the kinds of the requests so far,
    ``failures`` the statuses that the next ones get, ``lose_answers`` how many are granted and never answered.
    """

    def __init__(self) -> None:
        self.api_keys: set[str] = set()
        self.passcodes: dict[str, Passcode] = {}
        self.refresh_tokens: dict[str, str | None] = {}  # and the account they were refreshed for
        self.tokens: dict[str, str | None] = {}  # those that are good, and their account
        self.issued: list[str] = []
        self.life = 3600.0
        self.grants: list[str] = []
        self.failures: list[int] = []
        self.lose_answers = 0
        self.lock = threading.Lock()
        iam = self

        class Handler(_IamHandler):
            owner = iam

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Iam:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def api_key(self) -> str:
        key = f"canary-api-key-{secrets.token_hex(8)}"
        self.api_keys.add(key)
        return key

    def passcode(self, life: float = 300) -> str:
        code = f"canary{secrets.token_hex(8)}"
        self.passcodes[code] = Passcode(time.monotonic() + life)
        return code

    def answer(self, form: dict[str, str], client: str) -> tuple[int, dict]:
        """Status and body for the fields of one request."""
        kind = form.get("grant_type", "").removeprefix(_GRANT)
        with self.lock:
            self.grants.append(kind)
            if self.failures:
                return self.failures.pop(0), {"errorCode": "BXNIM0000E", "errorMessage": "asked for by a test"}
            account = form.get("bss_account")
            if kind == "apikey":
                if form.get("apikey") not in self.api_keys:
                    return 400, {"errorCode": "BXNIM0415E", "errorMessage": "Provided API key could not be found."}
            elif client != _CLIENT:
                return 401, {"errorCode": "BXNIM0103E", "errorMessage": "Provided client is not known."}
            elif kind == "refresh_token":
                token = form.get("refresh_token", "")
                if token not in self.refresh_tokens:
                    text = f"Provided refresh token {token} is expired."  # a server may be that careless
                    return 400, {"errorCode": "BXNIM0408E", "errorMessage": text}
                account = account or self.refresh_tokens[token]
            elif kind == "passcode":
                code = self.passcodes.get(form.get("passcode", ""))
                if code is None or code.used or time.monotonic() > code.expires:
                    why = "wrong" if code is None else "already used" if code.used else "expired"
                    text = f"The provided passcode {form.get('passcode')} is {why}."
                    return 400, {"errorCode": "BXNIM0407E", "errorMessage": text}
                code.used = True
            else:
                return 400, {"errorCode": "BXNIM0109E", "errorMessage": "Property 'grant_type' is not valid."}
            return 200, self._issue(account)

    def _issue(self, account: str | None) -> dict:
        token, refresh = (f"canary-{kind}-{secrets.token_hex(16)}" for kind in ("token", "refresh"))
        self.tokens[token] = account
        self.refresh_tokens[refresh] = account
        self.issued += [token, refresh]
        return {
            "access_token": token,
            "refresh_token": refresh,
            "token_type": "Bearer",
            "expires_in": self.life,
            "expiration": int(time.time() + self.life),
            "scope": "ibm openid",
        }


class _IamHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: Iam

    def log_message(self, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        fields = urllib.parse.parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode())
        status, body = self.owner.answer(dict(fields), self.headers.get("Authorization", ""))
        if self.path != "/identity/token":
            status, body = 404, {}
        if self.owner.lose_answers:
            self.owner.lose_answers -= 1
            self.close_connection = True
            return
        data = json.dumps(body).encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class Cos(S3Proxy):
    """Object Storage in front of a store of S3: takes IAM tokens, and signs for the store; passes HMAC signatures on.

    ``instance`` is what ``ibm-service-instance-id`` has to be where it is sent. ``uses`` is how many requests a token is
    good for, ``delay`` the seconds every request takes. Each of ``revoke`` is met once, by ``METHOD path?query``, and ends
    the token that comes with it. ``refused`` counts; ``session_tokens`` came with signatures.
    """

    def __init__(self, iam: Iam, upstream: str, access_key: str, secret_key: str, instance: str) -> None:
        super().__init__(upstream)
        self.iam, self.instance = iam, instance
        self.uses: int | None = None
        self.delay = 0.0
        self.revoke: list[str] = []
        self.refused = 0
        self.session_tokens: set[str | None] = set()
        self._pool = urllib3.PoolManager(maxsize=16)
        self._used: dict[str, int] = {}
        self._signer = _Unsigned(Credentials(access_key, secret_key), "s3", "us-east-1")
        self._server.RequestHandlerClass = type("Handler", (_CosHandler,), {"owner": self})

    def allows(self, target: str, authorization: str, instance: str | None) -> bool:
        token = authorization.removeprefix("Bearer ")
        with self.lock, self.iam.lock:
            for pattern in [pattern for pattern in self.revoke if re.search(pattern, target)]:
                self.revoke.remove(pattern)
                self.iam.tokens.pop(token, None)
            used = self._used[token] = self._used.get(token, 0) + 1
            allowed = (
                token in self.iam.tokens
                and instance in (None, self.instance)
                and (self.uses is None or used <= self.uses)
            )
            self.refused += not allowed
            return allowed

    def signed(self, method: str, path: str, headers: dict[str, str]) -> dict[str, str]:
        request = AWSRequest(method, f"http://{self.upstream}{path}", headers=headers)
        self._signer.add_auth(request)
        return dict(request.headers.items())

    def put(self, bucket: str, key: str, data: bytes) -> None:
        """Store an object without a detour; several times as fast as botocore."""
        path = f"/{bucket}/{urllib.parse.quote(key, safe='/~')}"
        url = f"http://{self.upstream}{path}"
        answer = self._pool.request("PUT", url, body=data, headers=self.signed("PUT", path, {}))
        assert answer.status == 200, answer.data


class _Unsigned(S3SigV4Auth):
    def payload(self, request: AWSRequest) -> str:
        return "UNSIGNED-PAYLOAD"


class _CosHandler(_Handler):
    owner: Cos

    def _pass(self, body: bytes, *, lose: bool) -> None:
        time.sleep(self.owner.delay)
        authorization = self.headers.get("Authorization", "")
        if authorization.startswith("AWS4-HMAC-SHA256 "):
            self.owner.session_tokens.add(self.headers.get("x-amz-security-token"))
            super()._pass(body, lose=lose)
            return
        target = f"{self.command} {urllib.parse.unquote(self.path)}"
        if not self.owner.allows(target, authorization, self.headers.get("ibm-service-instance-id")):
            self._answer(403, {"Content-Type": "application/xml"}, b"<Error><Code>AccessDenied</Code></Error>")
            return
        drop = {"expect", "host", "authorization", "ibm-service-instance-id", "connection", "content-length"}
        headers = {name: value for name, value in self.headers.items() if name.lower() not in drop}
        upstream = http.client.HTTPConnection(self.owner.upstream, timeout=60)
        try:
            signed = self.owner.signed(self.command, self.path, headers)
            upstream.request(self.command, self.path, body=body or None, headers=signed)
            answer = upstream.getresponse()
            data = answer.read()
            self._passed.status = answer.status
            skip = {"content-length", "transfer-encoding", "connection", "keep-alive"}
            fields = {name: value for name, value in answer.getheaders() if name.lower() not in skip}
            self._answer(answer.status, fields, data, length=answer.getheader("Content-Length"))
        finally:
            upstream.close()


@pytest.fixture
def iam():
    with Iam() as service:
        yield service


@pytest.fixture
def cos(iam, seaweedfs):
    instance = "crn:v1:bluemix:public:cloud-object-storage:global:a/0123abc:11112222-3333-4444-5555-666677778888::"
    keys = (seaweedfs.access_key, seaweedfs.secret_key)
    with Cos(iam, seaweedfs.endpoint_url, *keys, instance) as service:
        yield service
