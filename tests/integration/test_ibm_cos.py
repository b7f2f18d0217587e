# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sources and destinations of type ibm_cos: IAM tokens of every origin, a real S3 store behind, real playbooks."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import itertools
import random
import socket

import pytest
from ibm import cos, iam

from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    AccessError,
    InputError,
    NotFoundError,
    TransientError,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.ibm import exchange_passcode
from ansible_collections.modelops.serving.plugins.module_utils._transfer.run import run_sync

__all__ = ["cos", "iam"]

MODULE = "modelops.serving.model_sync"
BUCKET_CRN_END = "bucket:faults"
ODD_KEYS = ["a b.txt", "a+b.txt", "100%.txt", "50%25.txt", "quote'\".txt", "ünï/çødé-🙂.txt", "&=;,~.txt", "q?#y.txt"]
_numbers = itertools.count()


@dataclasses.dataclass
class Model:
    """A model in Object Storage, below a folder of its own."""

    folder: str
    files: dict[str, bytes]


@pytest.fixture
def stored(cos):
    """Puts files below a folder of their own, and says where they are."""

    def put(files: dict[str, bytes], folder: str = "") -> Model:
        folder = folder or f"cos-source-{next(_numbers)}"
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda path: cos.put("faults", f"{folder}/{path}", files[path]), files))
        return Model(folder, files)

    return put


@pytest.fixture
def model(stored):
    return stored({"config.json": b"{}", "weights.bin": random.Random(1).randbytes(11 * 1024**2), "sub/a.txt": b"a"})


@pytest.fixture
def source(cos, iam):
    """Options of a source of type ibm_cos; credentials are added by the test."""

    def options(folder: str, **credentials) -> dict:
        return {
            "type": "ibm_cos",
            "bucket": "faults",
            "prefix": folder,
            "endpoint_url": cos.url,
            "iam_endpoint": iam.url,
            **credentials,
        }

    return options


def assert_copied(sync, model):
    assert sync.paths() == {*model.files, ".model-sync/manifest.json"}
    for path, content in model.files.items():
        assert sync.read(path) == content, path
    assert sync.inspect(verify=True)["status"] == "complete"


# -- credentials -----------------------------------------------------------------------------------------------


def test_an_api_key_reads_a_source(sync, source, iam, cos, model):
    key = iam.api_key()
    crn = cos.instance.removesuffix(":") + BUCKET_CRN_END
    sync.run(source=source(model.folder, api_key=key, instance_crn=crn))
    assert_copied(sync, model)
    assert iam.grants == ["apikey"]
    assert cos.refused == 0
    assert not sync.run(source=source(model.folder, api_key=key))["changed"]


def test_an_api_key_of_the_environment_writes_a_destination(sync, source, iam, cos, model, monkeypatch):
    monkeypatch.setenv("IBMCLOUD_API_KEY", iam.api_key())
    monkeypatch.setenv("IBMCLOUD_IAM_API_ENDPOINT", iam.url)
    s3 = sync.destination | {"type": "s3", "prefix": model.folder}
    destination = source(sync.prefix) | {"iam_endpoint": None}
    result = sync.run(source=s3, destinations=[destination])
    assert result["changed"] and not result["failed"]
    assert_copied(sync, model)
    # Conditional writes, multipart uploads and the store's own checksums: all as with signatures.
    assert any("partNumber=2" in request.query for request in cos.passed)
    assert any(request.path.endswith("/probe") and request.status == 400 for request in cos.passed)


def test_hmac_keys_need_no_iam(sync, source, iam, cos, seaweedfs, model):
    keys = {"access_key": seaweedfs.access_key, "secret_key": seaweedfs.secret_key}
    sync.run(source=source(model.folder, **keys))
    assert_copied(sync, model)
    assert cos.passed and iam.grants == []


def test_a_session_token_goes_with_signatures(sync, cos, seaweedfs, model):
    keys = {"access_key": seaweedfs.access_key, "secret_key": seaweedfs.secret_key}
    source = {"type": "s3", "bucket": "faults", "prefix": model.folder, "endpoint_url": cos.url, **keys}
    with pytest.raises(AccessError, match="list objects"):  # this store knows no such tokens
        sync.run(source={**source, "session_token": "canary-session"})
    assert cos.session_tokens == {"canary-session"}


def test_a_passcode_gives_tokens_of_the_account_that_copy_a_model(sync, source, iam, cos, model):
    tokens = exchange_passcode(iam.passcode(), iam.url, crn=cos.instance)
    assert iam.grants == ["passcode", "refresh_token"]
    assert iam.tokens[tokens.access_token] == "0123abc"
    given = {"iam_token": tokens.access_token, "iam_refresh_token": tokens.refresh_token}
    sync.run(source=source(model.folder, **given))
    assert_copied(sync, model)
    assert len(iam.grants) == 2  # the token was good; nothing had to be renewed


def test_a_refresh_token_is_enough(sync, source, iam, model):
    refresh = exchange_passcode(iam.passcode(), iam.url).refresh_token
    sync.run(source=source(model.folder, iam_refresh_token=refresh))
    assert_copied(sync, model)
    assert iam.grants == ["passcode", "refresh_token"]


# -- tokens that end -------------------------------------------------------------------------------------------


def test_tokens_are_renewed_before_they_end(sync, source, iam, cos, stored):
    model = stored({"config.json": b"{}"} | {f"{number}.txt": b"x" for number in range(20)})
    iam.life, cos.delay = 0.5, 0.1
    sync.options["workers"] = 1
    sync.run(source=source(model.folder, api_key=iam.api_key()))
    assert_copied(sync, model)
    assert len(iam.grants) > 1
    assert cos.refused == 0  # they are good for longer than they say here


def test_a_token_that_is_refused_is_renewed_in_the_middle_of_a_transfer(sync, source, iam, cos, model):
    """Wherever it happens: while reading, listing, and sending bytes, which then are sent again from their start."""
    cos.revoke = [
        "GET /faults/cos-source-.*/weights.bin",
        "PUT .*/weights.bin.*partNumber=2",
        "POST .*/weights.bin.*uploadId=",
        "PUT .*/sub/a.txt",
        "PUT .*/manifest.json",
    ]
    key = iam.api_key()
    destination = source(sync.prefix, api_key=key)
    sync.options["server_side_copy"] = False
    result = sync.run(source=source(model.folder, api_key=key), destinations=[destination])
    assert_copied(sync, model)
    assert cos.revoke == [] and result["retries"] == 0
    assert cos.refused >= 5
    assert len(iam.grants) == 2 + 5  # one for each side, and one for each token that was lost


def test_a_token_that_cannot_be_renewed_ends_the_run(sync, source, iam, cos, model):
    cos.uses = 2
    token = exchange_passcode(iam.passcode(), iam.url).access_token
    with pytest.raises(AccessError, match="give a new one, or api_key") as caught:
        sync.run(source=source(model.folder, iam_token=token))
    assert token not in str(caught.value)
    sync.assert_not_complete()


def test_a_key_without_a_role_is_asked_for_one_more_token_and_no_more(sync, source, iam, cos, model):
    cos.uses = 0
    with pytest.raises(AccessError, match="grant an IAM role"):
        sync.run(source=source(model.folder, api_key=iam.api_key()))
    assert iam.grants == ["apikey", "apikey"]
    assert cos.refused == 2


def test_iam_may_stumble(sync, source, iam, model):
    iam.failures = [500]
    sync.run(source=source(model.folder, api_key=iam.api_key()))
    assert iam.grants == ["apikey"] * 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"api_key": "canary-wrong"},
            r"does not accept the API key: BXNIM0415E \(Provided API key could not be found\)",
        ),
        ({"iam_refresh_token": "canary-wrong"}, r"does not accept the refresh token: BXNIM0408E"),
        ({"iam_token": "canary-wrong"}, "if iam_token has expired"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_wrong_credentials_are_never_tried_again_nor_shown(sync, source, iam, model, given, said):
    with pytest.raises(AccessError, match=said) as caught:
        sync.run(source=source(model.folder, **given))
    assert "canary" not in str(caught.value)
    assert len(iam.grants) <= 1


# -- passcodes -------------------------------------------------------------------------------------------------


def test_a_passcode_is_good_once(iam):
    code = iam.passcode()
    exchange_passcode(code, iam.url)
    with pytest.raises(AccessError, match=r"already used.*identity/passcode") as caught:
        exchange_passcode(code, iam.url)
    assert code not in str(caught.value)


@pytest.mark.parametrize(("code", "why"), [("expired", "is expired"), ("unknown", "is wrong")])
def test_a_passcode_that_is_late_or_wrong(iam, code, why):
    code = iam.passcode(life=-1) if code == "expired" else "canary-unknown"
    with pytest.raises(AccessError, match=why) as caught:
        exchange_passcode(code, iam.url)
    assert "good for five minutes" in str(caught.value)
    assert code not in str(caught.value)
    assert iam.grants == ["passcode"]


@pytest.mark.parametrize("trouble", ["lost", 500, 429])
def test_a_passcode_is_never_sent_twice(iam, trouble):
    if trouble == "lost":
        iam.lose_answers = 1
    else:
        iam.failures = [trouble]
    with pytest.raises(AccessError, match="may have used up the passcode") as caught:
        exchange_passcode(iam.passcode(), iam.url)
    assert iam.grants == ["passcode"]
    assert "Get a new passcode" in caught.value.hint


def test_a_passcode_that_reached_nobody_is_still_good(iam):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    code = iam.passcode()
    with pytest.raises(TransientError, match="was not used"):
        exchange_passcode(code, url)
    assert exchange_passcode(code, iam.url).access_token in iam.tokens


# -- what lies there -------------------------------------------------------------------------------------------


def test_more_keys_than_a_page_has(sync, source, iam, cos, stored):
    model = stored({"config.json": b"{}"} | {f"part/{number:04}.txt": b"%d" % number for number in range(2499)})
    key = iam.api_key()
    planned = run_sync(sync.request(source=source(model.folder, api_key=key)), check=True)
    assert planned["destinations"][0]["files"] == 2500
    assert len([request for request in cos.passed if "list-type=2" in request.query]) >= 3
    # The last page's keys are as good as those of the first.
    result = sync.run(source=source(model.folder, api_key=key, allow_patterns=["config.json", "part/249*"]))
    assert result["destinations"][0]["files"] == 10
    assert sync.read("part/2498.txt") == b"2498"


@pytest.mark.parametrize("prefix", ["folder", "/folder/"])
def test_a_folder_is_not_the_one_whose_name_goes_on(sync, source, iam, stored, prefix):
    root = f"cos-beside-{next(_numbers)}"
    model = stored({"config.json": b"{}", "a.txt": b"a"}, f"{root}/folder")
    stored({"b.txt": b"b"}, f"{root}/folder2")
    given = f"/{root}{prefix}" if prefix.startswith("/") else f"{root}/{prefix}"
    sync.run(source=source(given, api_key=iam.api_key()))
    assert_copied(sync, model)


@pytest.mark.parametrize("copy", [True, False])
def test_odd_characters_in_keys(sync, source, iam, cos, stored, copy):
    sync.options["server_side_copy"] = copy
    model = stored({"config.json": b"{}"} | {name: name.encode() for name in ODD_KEYS})
    key = iam.api_key()
    sync.run(source=source(model.folder, api_key=key), destinations=[source(sync.prefix, api_key=key)])
    assert_copied(sync, model)
    read = [request for request in cos.passed if f"{model.folder}/{ODD_KEYS[0]}" in request.path]
    assert bool(read) is not copy


def test_an_empty_prefix_is_an_error(sync, source, iam):
    with pytest.raises(NotFoundError, match="holds no files"):
        sync.run(source=source("nothing-is-here", api_key=iam.api_key()))
    assert sync.paths() == set()


def test_tokens_do_not_go_to_other_machines_without_tls(sync, source, iam):
    with pytest.raises(InputError, match="without TLS"):
        sync.run(source=source("x", api_key=iam.api_key()) | {"endpoint_url": "http://cos.example.com"})
    with pytest.raises(InputError, match="without TLS"):
        sync.run(source=source("x", api_key=iam.api_key()) | {"iam_endpoint": "http://iam.example.com"})
    assert iam.grants == []


# -- through Ansible -------------------------------------------------------------------------------------------


def test_playbooks_copy_and_keep_their_secrets(sync, source, iam, cos, stored, playbooks):
    model = stored({"config.json": b"{}", "a.txt": b"a"})
    key, surrounding = iam.api_key(), iam.api_key()
    tokens = exchange_passcode(iam.passcode(), iam.url)
    login = {"iam_token": tokens.access_token, "iam_refresh_token": tokens.refresh_token}
    wrong = f"canary-{random.getrandbits(64):x}"
    common = {"name": sync.name, "destinations": [sync.destination]}
    copy = source(model.folder, api_key=f" {key}\n")
    tasks = [
        {MODULE: {**common, "source": copy}},
        {MODULE: {**common, "source": source(model.folder, **login)}},
        {MODULE: {**common, "name": "other", "source": source(model.folder), "destinations": [source("cos-out")]}},
        {MODULE: {**common, "name": "third", "source": source(model.folder, api_key=wrong)}, "ignore_errors": True},
        {MODULE: {**common, "source": source(model.folder, api_key=key, iam_token=wrong)}, "ignore_errors": True},
    ]
    run = playbooks.tasks(tasks, "-vvvv", "--diff", env={"IBMCLOUD_API_KEY": surrounding}).ok()
    first, again, environment, refused, both = run.results
    assert first["changed"] and not again["changed"] and environment["changed"]
    assert_copied(sync, model)
    assert refused["failed"] and refused["error"]["kind"] == "AccessError" and "BXNIM0415E" in refused["msg"]
    assert both["failed"] and "mutually exclusive" in both["msg"]
    for secret in (key, surrounding, wrong, *iam.issued):
        assert secret not in run.output
        assert secret not in str(run.results)
    kept = b"".join(path.read_bytes() for path in playbooks.leftovers(patience=5))
    assert b"canary" not in kept
