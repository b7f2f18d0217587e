# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From plain data to sources and stores."""

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError
from ansible_collections.modelops.serving.plugins.module_utils._transfer.hub import HubOptions, HubSource, find_token
from ansible_collections.modelops.serving.plugins.module_utils._transfer.request import (
    DESTINATIONS,
    SOURCES,
    Options,
    build_in_place,
    build_source,
    build_store,
    default_name,
    read_files,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.stores.gcs import GcsOptions
from ansible_collections.modelops.serving.plugins.module_utils._transfer.stores.local import LocalSource, LocalStore
from ansible_collections.modelops.serving.plugins.module_utils._transfer.stores.s3 import S3Options
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._transfer.fakes import (
    FakeControl,
    MemoryStore,
)

SECRET = "s3cr3t-t0ken"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch, tmp_path):
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf-home"))


def source_of(**data):
    return build_source(data, FakeControl())


def store_of(*, name="org/Model", **data):
    return build_store(data, FakeControl(), name=name)


# -- options ---------------------------------------------------------------------------------------------------


def test_options_are_taken_once_and_none_is_no_option():
    options = Options({"type": "x", "a": "1", "b": None, "c": "3"}, "Source x")
    assert options.take("a") == "1"
    assert options.take("a", "default") == "default"
    assert options.take("b", "default") == "default"
    assert options.need("c") == "3"
    options.done()


def test_what_nobody_took_is_refused_by_name():
    options = Options({"bucket": "b", "buckt": "x", "endpiont": "y"}, "Destination s3")
    options.take("bucket")
    with pytest.raises(InputError, match=r"Destination s3 does not know buckt, endpiont\."):
        options.done()


@pytest.mark.parametrize("data", [{}, {"repo": None}, {"repo": ""}])
def test_what_is_needed_must_be_there(data):
    with pytest.raises(InputError, match=r"Source huggingface needs repo\."):
        Options(data, "Source huggingface").need("repo")


@pytest.mark.parametrize("data", [None, "text", ["list"], 5])
def test_options_are_a_mapping(data):
    with pytest.raises(InputError, match="is not a mapping"):
        Options(data, "Source s3")


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("allow_patterns", "*.json", "a list of strings"),
        ("ignore_patterns", [1], "a list of strings"),
        ("paths", "/model", "a list of strings"),
        ("validate_certs", "yes", "true or false"),
        ("anonymous", 1, "true or false"),
        ("repo", 5, "a string"),
        ("prefix", ["a"], "a string"),
        ("service_account_contents", 5, "JSON"),
    ],
)
def test_options_of_a_wrong_type_are_refused(key, value, wanted):
    with pytest.raises(InputError, match=f"{key} of source x must be {wanted}"):
        Options({key: value}, "Source x")


# -- sources and stores ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ftp", "S3", "hub"])
def test_unknown_types_are_refused_with_those_there_are(kind):
    with pytest.raises(InputError, match=f"no source type '{kind}'") as caught:
        source_of(type=kind)
    assert all(name in caught.value.hint for name in SOURCES)
    with pytest.raises(InputError, match=f"no destination type '{kind}'") as caught:
        store_of(type=kind)
    assert all(name in caught.value.hint for name in DESTINATIONS)


@pytest.mark.parametrize("kind", [5, ["s3"], {"s3": 1}])
def test_a_type_that_is_no_name_is_refused(kind):
    with pytest.raises(InputError):
        source_of(type=kind)
    with pytest.raises(InputError):
        store_of(type=kind)


def test_there_is_one_list_of_what_there_is():
    assert {"huggingface", "local", "in_place", "s3", "gcs"} <= set(SOURCES)
    assert {"local", "s3", "gcs"} <= set(DESTINATIONS) < set(SOURCES)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "Source huggingface needs repo"),
        ({"type": "huggingface"}, "Source huggingface needs repo"),
        ({"type": "local"}, "Source local needs paths"),
        ({"type": "local", "paths": []}, "Source local needs paths"),
        ({"type": "s3", "prefix": "a"}, "Source s3 needs bucket"),
        ({"type": "gcs", "prefix": "a"}, "Source gcs needs bucket"),
        ({"repo": "org/model", "bucket": "b"}, "Source huggingface does not know bucket"),
        ({"type": "local", "paths": ["/a"], "repo": "b", "token": SECRET}, "Source local does not know repo, token"),
        ({"type": "s3", "bucket": "b", "access_key": "a"}, "access_key and secret_key together"),
        ({"type": "s3", "bucket": "b", "secret_key": SECRET}, "access_key and secret_key together"),
    ],
    ids=repr,
)
def test_a_source_that_is_not_right_is_refused_without_its_secrets(data, message):
    with pytest.raises(InputError, match=message) as caught:
        source_of(**data)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "Destination s3 needs bucket"),
        ({"type": "s3"}, "Destination s3 needs bucket"),
        ({"type": "gcs"}, "Destination gcs needs bucket"),
        ({"type": "local"}, "Destination local needs path"),
        ({"type": "local", "path": "relative"}, "'relative' is not absolute"),
        ({"type": "local", "path": "/a", "secret_key": SECRET}, "Destination local does not know secret_key"),
        ({"type": "local", "path": "/a", "prefix": "../b"}, "not a path inside the destination"),
        ({"type": "s3", "bucket": "b", "secret_key": SECRET}, "access_key and secret_key together"),
    ],
    ids=repr,
)
def test_a_destination_that_is_not_right_is_refused_without_its_secrets(data, message):
    with pytest.raises(InputError, match=message) as caught:
        store_of(**data)
    assert SECRET not in str(caught.value)


def test_a_destination_lies_below_prefix_and_name():
    store = store_of(type="local", path="/models", prefix="team/")
    assert isinstance(store, LocalStore)
    assert (store.prefix, store.url) == ("team/org/Model/", "file:///models/team/org/Model/")


def test_a_local_source_takes_paths_and_patterns():
    source, warnings = source_of(type="local", paths=["/models/a/"], allow_patterns=["*.json"], ignore_patterns=["x"])
    assert isinstance(source, LocalSource)
    assert warnings == []
    described = source.describe()
    assert (described["paths"], described["allow_patterns"]) == (["/models/a/"], ["*.json"])
    assert {"x", ".git/", ".cache/huggingface/"} <= set(described["ignore_patterns"])


def test_the_hub_is_the_default_source():
    source, warnings = source_of(repo="org/Model")
    assert isinstance(source, HubSource)
    assert warnings == []
    assert source.describe() == {
        "type": "huggingface",
        "repo": "org/Model",
        "endpoint": "https://huggingface.co",
        "revision": "main",
        "allow_patterns": [],
        "ignore_patterns": [],
    }


@pytest.mark.parametrize(
    ("option", "environment", "expected"),
    [
        (None, None, "https://huggingface.co"),
        (None, "https://mirror.example/", "https://mirror.example"),
        ("https://other.example", "https://mirror.example", "https://other.example"),
        (None, "", "https://huggingface.co"),
    ],
)
def test_the_endpoint_is_the_option_or_the_environment(monkeypatch, option, environment, expected):
    if environment is not None:
        monkeypatch.setenv("HF_ENDPOINT", environment)
    source, _warnings = source_of(repo="org/Model", endpoint=option)
    assert source.where == f"org/Model on {expected}"


def test_service_account_contents_may_be_an_object_or_its_text():
    for contents in ({"type": "service_account"}, '{"type": "service_account"}'):
        assert (
            Options({"service_account_contents": contents}, "Source gcs").take("service_account_contents") == contents
        )


def test_in_place_a_destination_is_its_own_source():
    store = MemoryStore()
    store.put("a.json", b"{}")
    store.put("b.bin", b"x")
    source = build_in_place({"type": "in_place", "allow_patterns": ["*.json"]}, [store], FakeControl())
    assert [item.path for item in source.snapshot().files] == ["a.json"]


@pytest.mark.parametrize("count", [0, 2])
def test_in_place_there_is_exactly_one_destination(count):
    with pytest.raises(InputError, match=f"exactly one destination, {count} were given"):
        build_in_place({"type": "in_place"}, [MemoryStore()] * count, FakeControl())


def test_in_place_there_is_nothing_to_say_but_patterns():
    with pytest.raises(InputError, match="does not know bucket"):
        build_in_place({"type": "in_place", "bucket": "b"}, [MemoryStore()], FakeControl())


# -- names -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ({"repo": "google/gemma-3-1b-it"}, "google/gemma-3-1b-it"),
        ({"type": "huggingface", "repo": "gpt2"}, "gpt2"),
        ({"type": "local", "paths": ["/data/models/Gemma"]}, "Gemma"),
        ({"type": "local", "paths": ["/data/models/Gemma/"]}, "Gemma"),
        ({"type": "local", "paths": ["model.gguf"]}, "model.gguf"),
        ({"type": "s3", "bucket": "b", "prefix": "models/Gemma/"}, "Gemma"),
        ({"type": "gcs", "bucket": "b", "prefix": "/Gemma"}, "Gemma"),
    ],
    ids=repr,
)
def test_a_model_is_named_after_its_source(data, name):
    assert default_name(data) == name


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"repo": ""},
        {"type": "in_place"},
        {"type": "local"},
        {"type": "local", "paths": []},
        {"type": "local", "paths": ["/"]},
        {"type": "local", "paths": ["/a", "/b"]},
        {"type": "s3", "bucket": "b"},
        {"type": "s3", "bucket": "b", "prefix": "/"},
    ],
    ids=repr,
)
def test_a_source_without_a_name_needs_one(data):
    with pytest.raises(InputError, match="needs a name") as caught:
        default_name(data)
    assert caught.value.hint == "Give name."


# -- tokens ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "token", "warned"),
    [(SECRET, SECRET, False), (f" {SECRET}\n", SECRET, True), (f"{SECRET}\r\n", SECRET, True)],
)
@pytest.mark.parametrize("way", ["value", "file", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HOME"])
def test_a_token_is_found_and_white_space_is_warned_of(monkeypatch, tmp_path, way, given, token, warned):
    file = tmp_path / "token"
    if way in ("file", "HF_TOKEN_PATH", "HF_HOME"):
        file.write_text(given, newline="")
    if way in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.setenv(way, given)
    elif way == "HF_TOKEN_PATH":
        monkeypatch.setenv(way, str(file))
    elif way == "HF_HOME":
        monkeypatch.setenv(way, str(tmp_path))
    found, warning = find_token(given if way == "value" else None, str(file) if way == "file" else None)
    assert found == token
    assert (warning is not None) is warned
    assert SECRET not in str(warning)


def test_without_a_token_there_is_none():
    assert find_token(None, None) == (None, None)


def test_what_is_given_wins_over_the_environment(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "from-the-environment")
    assert find_token(SECRET, None)[0] == SECRET


@pytest.mark.parametrize("value", ["", "  ", "\n"])
def test_an_empty_token_is_refused_where_it_was_given(monkeypatch, value):
    with pytest.raises(InputError, match="is empty"):
        find_token(value, None)
    monkeypatch.setenv("HF_TOKEN", value)
    assert find_token(None, None) == (None, None)


@pytest.mark.parametrize("value", [f"Bearer {SECRET}", f"{SECRET}\nX-Evil: 1", f"{SECRET}é", f"a\0{SECRET}"])
def test_what_is_no_token_is_refused_without_being_shown(value):
    with pytest.raises(InputError, match="illegal characters") as caught:
        find_token(value, None)
    assert SECRET not in str(caught.value)


def test_a_token_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InputError, match=r"missing.*cannot be read"):
        find_token(None, str(tmp_path / "missing"))


# -- secrets ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        S3Options("b", access_key=SECRET, secret_key=SECRET, session_token=SECRET),
        GcsOptions("b", access_token=SECRET, service_account_contents=SECRET),
        GcsOptions("b", service_account_contents={"private_key": SECRET}),
        HubOptions("org/model", token=SECRET),
    ],
    ids=lambda options: type(options).__name__,
)
def test_options_do_not_show_their_secrets(options):
    for text in (repr(options), str(options), f"{options}"):
        assert SECRET not in text


def test_a_source_does_not_show_its_token():
    source, warnings = source_of(repo="org/Model", token=f" {SECRET}")
    assert len(warnings) == 1
    for text in (repr(source), source.where, source.page, str(source.describe()), *warnings):
        assert SECRET not in text


@pytest.mark.parametrize(
    "build",
    [
        lambda url: source_of(repo="org/Model", endpoint=url),
        lambda url: source_of(type="s3", bucket="b", endpoint_url=url),
        lambda url: store_of(type="gcs", bucket="b", endpoint_url=url),
    ],
)
def test_an_endpoint_with_credentials_is_refused_without_showing_them(build):
    with pytest.raises(InputError, match="holds a user name or password") as caught:
        build(f"https://me:{SECRET}@hub.example.com")
    assert SECRET not in str(caught.value)
    with pytest.raises(InputError, match="is not a URL"):
        build("http://[half")


def test_an_endpoint_of_the_environment_is_checked_too(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", f"https://me:{SECRET}@hub.example.com")
    with pytest.raises(InputError, match="HF_ENDPOINT holds a user name or password"):
        source_of(repo="org/Model")


# -- options from files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"value", "value"),
        (b"value\n", "value"),
        (b"value\r\n", "value"),
        (b"two\nlines\n\n", "two\nlines\n"),
        (b" value ", " value "),
        ("wört\n".encode(), "wört"),
    ],
)
def test_an_option_may_lie_in_a_file_and_loses_its_last_line_break(tmp_path, content, expected):
    (tmp_path / "file").write_bytes(content)
    data = {"token": {"from_file": str(tmp_path / "file")}, "repo": "a/b", "paths": ["x"], "anonymous": True}
    assert read_files(data, "the source") == {**data, "token": expected}


def test_also_inside_of_mappings(tmp_path):
    (tmp_path / "file").write_text(SECRET)
    data = {"headers": {"Authorization": {"from_file": str(tmp_path / "file")}, "X": "y"}}
    assert read_files(data, "hook") == {"headers": {"Authorization": SECRET, "X": "y"}}


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "is empty"), (b"\n", "is empty"), (None, "No such file"), (SECRET.encode() + b"\xff", "not text in UTF-8")],
)
def test_a_file_that_is_no_value_is_named_and_what_is_in_it_is_not(tmp_path, content, said):
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="secret_key of destination 2") as caught:
        read_files({"secret_key": {"from_file": str(path)}}, "destination 2")
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None or SECRET not in repr(caught.value.__cause__)


@pytest.mark.parametrize("value", [{"from_file": 5}, {"from_file": None}, {"from_file": "/x", "or": "y"}])
def test_from_file_is_a_path_and_nothing_else(value):
    with pytest.raises(InputError, match="token of the source must have from_file with a path"):
        read_files({"token": value}, "the source")
