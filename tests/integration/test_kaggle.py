# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sources of type kaggle: a Kaggle on this machine, a real S3 store and directories, real playbooks."""

from __future__ import annotations

import json
import random

import pytest
from kaggle import Fault, kaggle

from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    AccessError,
    IntegrityError,
    NotFoundError,
    StoreError,
    TransientError,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.run import run_inspect, run_sync

__all__ = ["kaggle"]

MODULE, MIB = "modelops.serving.model_sync", 1024**2
MODEL, HANDLE = "google/gemma", "google/gemma/maxtext/7b-it"
WEIGHTS = random.Random(1).randbytes(12 * MIB + 7)
FIRST = {"config.json": b"{}", "checkpoints/0/ö &?#.zarray": b"odd", "empty.txt": b"", "weights.bin": WEIGHTS[:70_000]}
SECOND = {**FIRST, "config.json": b'{"v": 2}', "weights.bin": WEIGHTS}


@pytest.fixture
def gemma(kaggle):
    kaggle.page = 3  # so that a list of files has two pages
    return kaggle.add(HANDLE, FIRST, SECOND, gated=True)


@pytest.fixture
def copy(kaggle, gemma, tmp_path):
    """A copy in a directory of its own, made by the engine as a module has it do it."""
    return Copy(kaggle, tmp_path / "models", kaggle.user("ada", accepts=MODEL)[2])


class Copy:
    def __init__(self, kaggle, path, token):
        self.kaggle, self.path, self.token = kaggle, path, token
        path.mkdir()

    def request(self, **source):
        given = {
            "type": "kaggle",
            "repo": f"{HANDLE}/2",
            "endpoint": self.kaggle.endpoint,
            "token": self.token,
            **source,
        }
        return {
            "source": given,
            "destinations": [{"type": "local", "path": str(self.path)}],
            "options": {"part_size": 5 * MIB, "workers": 1, "attempts": 3},
        }

    def run(self, **source):
        return run_sync(self.request(**source))

    def found(self):
        """The files of the copy, and what its manifest makes of it."""
        root = self.path / HANDLE
        files = {str(path.relative_to(root)): path for path in root.rglob("*") if path.is_file()}
        content = {name: path.read_bytes() for name, path in files.items() if not name.startswith(".model-sync/")}
        (state,) = run_inspect({**self.request(), "name": HANDLE}, verify=True)
        return content, state["status"]

    def manifest(self):
        return json.loads((self.path / HANDLE / ".model-sync" / "manifest.json").read_bytes())


def assert_no_canary(*texts):
    assert "canary" not in "\n".join(map(str, texts)), "a credential or a signature is shown"


# -- playbooks -------------------------------------------------------------------------------------------------


def test_a_model_comes_into_a_bucket_once_and_then_at_its_next_version(kaggle, gemma, seaweedfs, playbooks):
    name, key, _token = kaggle.user(accepts=MODEL)
    config = playbooks.directory / "kaggle.json"
    config.write_text(json.dumps({"username": name, "key": key}))
    bucket = {
        "bucket": "faults",
        "prefix": "kaggle",
        "endpoint_url": seaweedfs.endpoint_url,
        "access_key": seaweedfs.access_key,
        "secret_key": seaweedfs.secret_key,
    }

    def task(version="", *, check=False, **credentials):
        source = {"type": "kaggle", "repo": HANDLE + version, "endpoint": kaggle.endpoint, **credentials}
        return {MODULE: {"source": source, "destinations": [bucket]}, "check_mode": check}

    run = playbooks.tasks(
        [
            task("/1", username=name, key=key),
            task("/1", username=name, key=key),
            task(check=True, kaggle_config=str(config)),
            task(kaggle_config=str(config)),
            task(kaggle_config=str(config)),
        ],
        "-vvv",
        "--diff",
    ).ok()
    assert [(result["changed"], result["revision"]) for result in run.results] == [
        (True, "1"), (False, "1"), (True, "2"), (True, "2"), (False, "2"),
    ]  # fmt: skip
    assert all(result["name"] == HANDLE for result in run.results)
    client = seaweedfs.client()
    for path, content in SECOND.items():
        stored = client.get_object(Bucket="faults", Key=f"kaggle/{HANDLE}/{path}")["Body"].read()
        assert stored == content, path
    raw = client.get_object(Bucket="faults", Key=f"kaggle/{HANDLE}/.model-sync/manifest.json")["Body"].read()
    manifest = json.loads(raw)
    assert (manifest["revision"], manifest["source"]["type"], manifest["source"]["repo"]) == ("2", "kaggle", HANDLE)
    assert all(len(file["sha256"]) == 64 for file in manifest["files"])
    # What has the same MD5 in both versions was not copied again.
    assert run.results[3]["destinations"][0]["bytes_sent"] == sum(
        len(SECOND[path]) for path in ("config.json", "weights.bin")
    )
    # The storage is another host: it never sees the credentials.
    assert {request.authorization for request in kaggle.asked("storage")} == {None}
    assert None not in {request.authorization for request in kaggle.asked("api")}
    assert {request.query.get("page_token") for request in kaggle.asked("api", "/files$")} == {None, "3"}
    assert_no_canary(run.output, json.dumps(run.results), raw)


def test_refusals_say_what_to_do_and_show_no_credentials(kaggle, gemma, playbooks, tmp_path):
    name, key, token = kaggle.user("ada")
    kaggle.add("google/open/jax/1b", FIRST)
    (playbooks.home / ".kaggle").mkdir()
    (playbooks.home / ".kaggle" / "access_token").write_text("canary-of-the-home\n")

    def task(repo=HANDLE, **credentials):
        source = {"type": "kaggle", "repo": repo, "endpoint": kaggle.endpoint, **credentials}
        destination = {"type": "local", "path": str(tmp_path)}
        return {MODULE: {"source": source, "destinations": [destination]}, "ignore_errors": True}

    home = {"environment": {"HOME": str(playbooks.home)}}
    tasks = [
        task(username=name, key=key),
        task(token=f" {token}\n"),
        task("google/none/jax/1b", token=token),
        {**task(), **home},
    ]
    run = playbooks.tasks([*tasks, task(token=token, key=key, username=name)], "-vvv")
    for result in run.results[:2]:
        assert "the terms of the model have not been accepted: User has not consented to terms of use." in result["msg"]
        assert f"Visit {kaggle.endpoint}/models/{HANDLE}" in result["msg"]
    assert "accept them as ada" in run.results[0]["msg"]
    assert "does not exist, or the account that the token belongs to may not read it" in run.results[2]["msg"]
    assert (
        "refuses the credentials" in run.results[3]["msg"]
        and "https://www.kaggle.com/settings" in run.results[3]["msg"]
    )
    assert "mutually exclusive" in run.results[4]["msg"]
    assert not list(tmp_path.glob("google"))  # nothing was begun
    assert_no_canary(run.output, json.dumps(run.results))

    kaggle.consents.add((name, MODEL))
    kaggle.revoke(name)
    with pytest.raises(AccessError, match="They are wrong, expired or revoked"):
        Copy(kaggle, tmp_path / "models", token).run()


# -- the way of the bytes --------------------------------------------------------------------------------------


def test_a_cut_body_goes_on_where_it_ended(copy):
    copy.kaggle.faults = [Fault("storage .*weights.bin bytes=0-[1-9]", cut=3 * MIB, times=1)]
    copy.run()
    assert copy.found() == (SECOND, "complete")
    ranges = [request.range for request in copy.kaggle.asked("storage", "weights")]
    assert f"bytes={3 * MIB}-{5 * MIB - 1}" in ranges


def test_a_body_that_stalls_is_given_up(copy):
    copy.kaggle.faults = [Fault("storage .*weights.bin bytes=0-[1-9]", delay=4, times=1)]
    request = copy.request()
    request["options"]["stall_timeout"] = 1
    assert run_sync(request)["stalls"] == 1
    assert copy.found() == (SECOND, "complete")


def test_a_run_that_ended_early_is_resumed_and_its_md5_with_it(copy):
    lost = Fault(f"storage .*weights.bin bytes={10 * MIB}-", status=503)
    copy.kaggle.faults = [lost]
    with pytest.raises(TransientError):
        copy.run()
    assert copy.found()[1] == "partial"
    copy.kaggle.faults.clear()
    copy.kaggle.requests.clear()
    result = copy.run()
    assert result["destinations"][0]["bytes_resumed"] == 10 * MIB
    asked = {request.range for request in copy.kaggle.asked("storage", "weights")}
    # The state of the hashes may be that of one part earlier, which is read again then; the first part never is.
    assert asked - {f"bytes={5 * MIB}-{10 * MIB - 1}"} == {"bytes=0-0", f"bytes={10 * MIB}-{len(WEIGHTS) - 1}"}
    assert copy.found() == (SECOND, "complete")


@pytest.mark.parametrize("hashes", [("crc32c", "md5"), ("crc32c",)])
@pytest.mark.parametrize("where", ["weights.bin bytes=5242880-", "config.json $"])
def test_wrong_bytes_are_refused(copy, hashes, where):
    copy.kaggle.hashes = hashes
    copy.kaggle.faults = [Fault(f"storage .*{where}", damage=lambda body: b"X" + body[1:])]
    name = "MD5" if "md5" in hashes else "CRC32C"
    with pytest.raises(IntegrityError, match=f"{name} is .*, the source promised"):
        copy.run()
    assert copy.found()[1] == "partial"
    copy.kaggle.faults.clear()
    copy.run()
    assert copy.found() == (SECOND, "complete")


def test_a_storage_without_hashes_still_gives_sizes(copy):
    copy.kaggle.hashes = ()
    copy.kaggle.faults = [Fault("storage .*config.json ", cut=1)]
    with pytest.raises(TransientError, match="IncompleteRead"):
        copy.run()
    copy.kaggle.faults.clear()
    copy.run()
    assert copy.found() == (SECOND, "complete")


def test_signed_urls_that_expire_are_asked_for_anew(copy):
    copy.kaggle.uses = 2
    copy.run()
    assert copy.found() == (SECOND, "complete")
    assert len(copy.kaggle.asked("api", "download/weights.bin")) > 1


def test_a_server_that_asks_for_patience_gets_it(copy):
    copy.kaggle.faults = [
        Fault("api .*/files", status=429, retry_after=0, times=1),
        Fault("api .*/download/config.json", status=429, retry_after=0, times=2),
        Fault("storage .*weights", status=503, times=1),
    ]
    assert copy.run()["retries"] == 4
    assert copy.found() == (SECOND, "complete")
    copy.kaggle.faults = [Fault("api ", status=429, retry_after=0)]
    with pytest.raises(TransientError, match="Asked for by a test"):
        copy.run(repo=HANDLE)


def test_a_version_in_the_manifest_costs_no_request_when_it_is_there(copy):
    copy.run(repo=HANDLE)
    assert (copy.manifest()["revision"], copy.manifest()["source"]["revision"]) == ("2", "latest")
    copy.kaggle.requests.clear()
    assert not copy.run()["changed"]
    assert copy.kaggle.requests == []
    assert not copy.run(repo=HANDLE)["changed"]
    assert [request.path.rpartition("/")[2] for request in copy.kaggle.requests] == ["get"]


def test_patterns_choose_the_files_that_are_asked_for(copy):
    copy.run(allow_patterns=["*.json", "checkpoints/"])
    assert set(copy.found()[0]) == {"config.json", "checkpoints/0/ö &?#.zarray"}
    assert not copy.kaggle.asked("api", "weights")


def test_files_that_are_only_in_the_bundle_are_named(copy):
    copy.kaggle.bundled.add("weights.bin")
    with pytest.raises(StoreError, match=r"weights.bin of .* is listed, but not offered as a file of its own"):
        copy.run()
    assert copy.found()[1] == "absent"
    copy.run(ignore_patterns=["weights.bin"])
    assert copy.found()[1] == "complete"


def test_a_version_that_does_not_exist(copy):
    with pytest.raises(NotFoundError, match=r"gemma/maxtext/7b-it/9 on .* does not exist"):
        copy.run(repo=f"{HANDLE}/9")


def test_a_public_model_needs_no_credentials_and_a_gated_one_says_that_it_does(copy, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    copy.kaggle.gated.clear()
    copy.run(token=None)
    assert copy.found() == (SECOND, "complete")
    copy.kaggle.gated.add(MODEL)
    with pytest.raises(AccessError, match=r"terms of the model have not been accepted.* as a Kaggle account"):
        copy.run(token=None, repo=f"{HANDLE}/1")


@pytest.mark.parametrize(
    "way", ["KAGGLE_API_TOKEN", "a file in KAGGLE_API_TOKEN", "access_token", "pair", "kaggle.json"]
)
def test_credentials_are_found_where_kaggle_looks(copy, monkeypatch, tmp_path, way):
    name, key, token = copy.kaggle.user("eve", accepts=MODEL)
    home = tmp_path / ".kaggle"
    home.mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    if way == "KAGGLE_API_TOKEN":
        monkeypatch.setenv(way, token)
    elif way == "pair":
        monkeypatch.setenv("KAGGLE_USERNAME", name)
        monkeypatch.setenv("KAGGLE_KEY", key)
    elif way == "kaggle.json":
        monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
        (tmp_path / way).write_text(json.dumps({"username": name, "key": key}))
    else:
        (home / "access_token").write_text(f"{token}\n")
        if "KAGGLE_API_TOKEN" in way:
            monkeypatch.setenv("KAGGLE_API_TOKEN", str((home / "access_token").rename(tmp_path / "token")))
    assert copy.run(token=None, repo=f"{HANDLE}/1", allow_patterns=["config.json"])["changed"]
    assert {copy.kaggle.who(request.authorization) for request in copy.kaggle.asked("api")} == {"eve"}
