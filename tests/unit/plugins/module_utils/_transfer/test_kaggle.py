# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Handles and credentials of Kaggle Models, and what answers mean. The protocol itself is in the functional tests."""

from __future__ import annotations

import json

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._transfer import kaggle
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    AccessError,
    InputError,
    NotFoundError,
    StoreError,
    TransientError,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.kaggle import (
    KaggleCredentials,
    KaggleOptions,
    KaggleSource,
    find_credentials,
    split_handle,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.request import build_source, default_name
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._transfer.fakes import FakeControl

CANARY = "canary-7c1e"
HANDLE = "google/gemma/maxtext/7b-it"


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    for name in ("API_TOKEN", "USERNAME", "KEY", "CONFIG_DIR", "API_ENDPOINT"):
        monkeypatch.delenv(f"KAGGLE_{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".kaggle"
    folder.mkdir()
    return folder


def source_of(**data):
    source, _warnings = build_source({"type": "kaggle", "repo": HANDLE, **data}, FakeControl())
    return source


# -- handles ---------------------------------------------------------------------------------------------------


def test_a_handle_has_a_version_or_none():
    assert split_handle(HANDLE) == (HANDLE, None)
    assert split_handle(f"{HANDLE}/12") == (HANDLE, "12")
    assert split_handle("keras/gemma/keras/gemma_1.1-2b/3") == ("keras/gemma/keras/gemma_1.1-2b", "3")


@pytest.mark.parametrize(
    "handle",
    ["google/gemma", "a/b/c", f"{HANDLE}/", f"{HANDLE}/0", f"{HANDLE}/latest", f"{HANDLE}/2/3", "a/../c/d", "a/b//d",
     "a/b/c/d?x", "https://www.kaggle.com/models/a"],
)  # fmt: skip
def test_other_handles_are_refused_with_one_that_would_do(handle):
    with pytest.raises(InputError) as caught:
        source_of(repo=handle)
    assert HANDLE in caught.value.hint


def test_a_model_is_named_and_described_without_its_version():
    assert default_name({"type": "kaggle", "repo": f"{HANDLE}/2"}) == HANDLE
    assert default_name({"type": "kaggle", "repo": HANDLE}) == HANDLE
    pinned, newest = source_of(repo=f"{HANDLE}/2"), source_of(token=CANARY)
    assert (pinned.describe()["repo"], pinned.describe()["revision"]) == (HANDLE, "2")
    assert (newest.describe()["repo"], newest.describe()["revision"]) == (HANDLE, "latest")
    assert pinned.where == f"{HANDLE}/2 on https://www.kaggle.com"
    assert pinned.page == f"https://www.kaggle.com/models/{HANDLE}/2"
    assert CANARY not in repr(newest.describe()) + newest.where


def test_a_version_never_changes():
    assert source_of(repo=f"{HANDLE}/2").is_current("2")
    assert not source_of(repo=f"{HANDLE}/2").is_current("1")


def test_the_endpoint_is_the_option_or_the_environment(monkeypatch):
    monkeypatch.setenv("KAGGLE_API_ENDPOINT", "https://mirror.example.com/")
    assert source_of().describe()["endpoint"] == "https://mirror.example.com"
    assert source_of(endpoint="https://other.example.com").describe()["endpoint"] == "https://other.example.com"


# -- credentials -----------------------------------------------------------------------------------------------


def test_credentials_become_the_header_and_are_not_shown():
    token, pair = KaggleCredentials(token=CANARY), KaggleCredentials(username="ada", key=CANARY)
    assert token.authorization == f"Bearer {CANARY}"
    assert pair.authorization == "Basic YWRhOmNhbmFyeS03YzFl"
    assert KaggleCredentials().authorization is None
    for options in (KaggleOptions(HANDLE, credentials=token), KaggleOptions(HANDLE, credentials=pair)):
        assert CANARY not in repr(options)


@pytest.mark.parametrize(
    "given",
    [
        {"key": CANARY},
        {"username": "ada"},
        {"token": CANARY, "username": "ada", "key": CANARY},
        {"token": CANARY, "token_file": "/x"},
        {"token": CANARY, "config": "/x"},
        {"token": f"{CANARY}\nX-Evil: 1"},
        {"token": "  "},
        {"username": "ada", "key": f"{CANARY} {CANARY}"},
        {"token_file": "/does/not/exist"},
        {"config": "/does/not/exist"},
    ],
    ids=repr,
)
def test_credentials_that_are_not_right_are_refused_without_being_shown(given):
    with pytest.raises(InputError) as caught:
        find_credentials(**given)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    "content", ["", CANARY, f'["{CANARY}"]', f'{{"key": "{CANARY}"}}', '{"username": 1, "key": "x"}']
)
def test_a_file_that_is_no_kaggle_json_is_named_without_what_is_in_it(home, content):
    path = home / "mine.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"mine\.json' is not a kaggle\.json") as caught:
        find_credentials(config=str(path))
    assert CANARY not in str(caught.value)


def test_they_are_looked_for_in_the_order_of_kaggles_own_clients(home, monkeypatch, tmp_path):
    pair = {"username": "ada", "key": "of-kaggle-json"}
    assert find_credentials() == KaggleCredentials()
    (home / "kaggle.json").write_text(json.dumps(pair))
    assert find_credentials() == KaggleCredentials(**pair)
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    assert find_credentials() == KaggleCredentials()
    (tmp_path / "kaggle.json").write_text(json.dumps(pair | {"key": "elsewhere"}))
    assert find_credentials().key == "elsewhere"
    monkeypatch.setenv("KAGGLE_USERNAME", "eve")
    assert find_credentials().key == "elsewhere"
    monkeypatch.setenv("KAGGLE_KEY", " of-the-environment\n")
    assert find_credentials() == KaggleCredentials(username="eve", key="of-the-environment")
    (home / "access_token").write_text("of-the-file\n")
    assert find_credentials() == KaggleCredentials(token="of-the-file")
    monkeypatch.setenv("KAGGLE_API_TOKEN", "of-a-variable")
    assert find_credentials().token == "of-a-variable"
    (tmp_path / "token").write_text("of-its-file\n")
    monkeypatch.setenv("KAGGLE_API_TOKEN", str(tmp_path / "token"))
    assert find_credentials().token == "of-its-file"
    assert find_credentials(token=" given\n").token == "given"
    assert find_credentials(config=str(home / "kaggle.json")) == KaggleCredentials(**pair)


# -- what answers mean -----------------------------------------------------------------------------------------


class Answers(KaggleSource):
    """A Kaggle that says the same to everything."""

    def __init__(self, status, body, *, repo=HANDLE, headers=None, **credentials):
        super().__init__(KaggleOptions(repo, credentials=KaggleCredentials(**credentials)), FakeControl(attempts=1))
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self._web.fetch = lambda *_args, **_fields: (status, headers or {}, data)


@pytest.mark.parametrize(
    ("status", "message", "error", "said"),
    [
        (401, "Unauthenticated", AccessError, "refuses the credentials: Unauthenticated"),
        (403, "User has not consented to terms of use.", AccessError, "terms of the model have not been accepted"),
        (403, "Permission 'models.get' was denied", AccessError, "does not exist, or ada may not read it"),
        (404, "Not found", NotFoundError, "does not exist: Not found"),
        (429, f"{CANARY} asks too often", TransientError, r"\*\*\* asks too often"),
        (500, None, TransientError, "HTTP 500"),
        (418, None, StoreError, "HTTP 418"),
    ],
)
def test_refusals_by_what_the_caller_can_do(status, message, error, said):
    for code in (status, 200):  # Kaggle may put the status into the body alone
        answers = Answers(code, {"code": status, "message": message}, username="ada", key=CANARY)
        with pytest.raises(error, match=said) as caught:
            answers.snapshot()
        assert CANARY not in str(caught.value)


def test_without_credentials_a_refusal_says_how_to_get_some():
    with pytest.raises(AccessError, match="none were given") as caught:
        Answers(401, {}).snapshot()
    assert "https://www.kaggle.com/settings" in caught.value.hint


@pytest.mark.parametrize("body", [b"<html>", [], {}, {"versionNumber": 0}, {"versionNumber": "x"}])
def test_an_answer_without_a_version_is_not_trusted(body):
    with pytest.raises(StoreError, match=r"names no version|without an answer in JSON"):
        Answers(200, body).snapshot()


@pytest.mark.parametrize(
    "body",
    [{"files": "x"}, {"files": ["x"]}, {"files": [{"size": 1}]}, {"files": [{"name": "a"}], "nextPageToken": "x"}],
)
def test_a_list_of_files_that_makes_no_sense_is_not_trusted(body):
    with pytest.raises(StoreError, match=r"lists its files|to the end of its files"):
        list(Answers(200, body)._list("1"))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("crc32c=n03x6A==,md5=Ojk9c3dhfxgoKVVHYwFbHQ==", ("3a393d7377617f182829554763015b1d", "9f4df1e8")),
        ("crc32c=n03x6A==, md5=Ojk9c3dhfxgoKVVHYwFbHQ==", ("3a393d7377617f182829554763015b1d", "9f4df1e8")),
        ("crc32c=n03x6A==", (None, "9f4df1e8")),
        ("md5=short", (None, None)),
        ("notmd5=Ojk9c3dhfxgoKVVHYwFbHQ==", (None, None)),
        ("", (None, None)),
    ],
)
def test_hashes_of_the_storage(header, expected):
    fields = {"x-goog-hash": header}
    assert (kaggle._hash(fields, "md5", 16), kaggle._hash(fields, "crc32c", 4)) == expected
