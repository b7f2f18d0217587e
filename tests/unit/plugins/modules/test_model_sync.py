# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The doors of the engine: options in, results out. Directories stand for every store; nothing asks the network."""

from __future__ import annotations

import contextlib
import json
import signal
import stat
import time

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.modelops.serving.plugins.module_utils import _doors
from ansible_collections.modelops.serving.plugins.module_utils._transfer import run as engine
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError
from ansible_collections.modelops.serving.plugins.modules import model_sync, model_sync_info

HUB = {"repo": "a/b"}
S3 = {"bucket": "models"}
GCS = {"type": "gcs", "bucket": "models"}
KEYS = {"access_key": "AKIA", "secret_key": "secret-of-a-test"}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    for name in ("AWS_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "no-token-here"))
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.fixture
def run(capsys):
    """Run a module with options; its result."""

    def call(options, *, module=model_sync, check=False, diff=False):
        given = {**options, "_ansible_check_mode": check, "_ansible_diff": diff}
        with patch_module_args(given), contextlib.suppress(SystemExit):
            module.main()
        return json.loads(capsys.readouterr().out)

    return call


@pytest.fixture
def model(tmp_path):
    """Options that copy a directory of two files to another directory."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "config.json").write_text("{}")
    (source / "weights.bin").write_bytes(bytes(range(256)) * 40)
    return {
        "name": "a/b",
        "source": {"type": "local", "paths": [f"{source}/"]},
        "destinations": [{"type": "local", "path": str(tmp_path / "copies")}],
    }


def snapshot(path):
    return {item: item.stat().st_mtime_ns for item in path.rglob("*")}


def test_twelve_steps(run, model, tmp_path):
    first, copies = model["source"]["paths"][0], tmp_path / "copies"
    results = []
    for number in range(12):
        if number == 4:
            (tmp_path / "source" / "added.txt").write_text("added")
        state = "absent" if number >= 8 else "present"
        before = snapshot(copies)
        results.append(run({**model, "state": state}, check=number % 2 == 0))
        if number not in (1, 5, 9):
            assert snapshot(copies) == before, number
    assert [result["changed"] for result in results] == [True, True, False, False] * 3
    for predicted, actual in zip(results[::2], results[1::2], strict=True):
        for key in ("added", "updated", "removed", "revision", "previous_revision"):
            assert predicted["destinations"][0][key] == actual["destinations"][0][key], key
    assert results[5]["destinations"][0]["added"] == {"count": 1, "first": ["added.txt"]}
    assert results[9]["destinations"][0]["removed"]["count"] == 3
    assert first.endswith("/")


def test_diff_only_when_asked_for(run, model):
    assert "diff" not in run(model, check=True)
    (shown,) = run(model, check=True, diff=True)["diff"]
    assert shown["before"] == "revision: none\n"
    assert shown["after"].splitlines()[1:] == ["added: 2", "  config.json", "  weights.bin"]
    run(model)
    assert "diff" not in run(model, diff=True)


def test_info(run, model, tmp_path):
    look = {"names": ["a/b", "c"], "destinations": model["destinations"], "timeout": 60}
    run(model)
    result = run(look, module=model_sync_info)
    assert [item["status"] for item in result["models"]] == ["complete", "absent"]
    assert result["tally"] == {"complete": 1, "partial": 0, "absent": 1, "corrupt": 0}
    (tmp_path / "copies" / "a" / "b" / "config.json").write_text("[]!")
    result = run({**look, "names": "a/b", "verify": True}, module=model_sync_info)
    assert result["models"][0]["status"] == "corrupt"


def test_one_timeout_for_all_models(run, model, monkeypatch):
    left = []

    def run_inspect(request, **_more):
        left.append(request["options"]["timeout"])
        time.sleep(0.02)
        return []

    monkeypatch.setattr(model_sync_info, "run_inspect", run_inspect)
    look = {"names": ["a", "b"], "destinations": model["destinations"], "timeout": 5}
    run(look, module=model_sync_info)
    assert 5 >= left[0] >= left[1] + 0.02


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"source": None}, "state is present but all of the following are missing: source"),
        ({"source": None, "name": None, "state": "absent"}, "one of the following is required: name, source"),
        ({"source": {}}, "type is huggingface but all of the following are missing: repo"),
        ({"source": {"type": "s3"}}, "type is s3 but all of the following are missing: bucket"),
        ({"source": {"type": "gcs"}}, "type is gcs but all of the following are missing: bucket"),
        ({"source": {"type": "local"}}, "type is local but all of the following are missing: paths"),
        ({"source": {**HUB, "token": "hf_made_up", "token_file": "f"}}, "mutually exclusive: token|token_file"),
        ({"source": {**HUB, "token": " "}}, "The token is empty"),
        ({"source": {**HUB, "token": "in side"}}, "illegal characters inside"),
        ({"source": {**HUB, "token_file": "/nowhere/x"}}, "'/nowhere/x' cannot be read"),
        ({"source": {**HUB, "bucket": "b"}}, "Source huggingface does not know bucket"),
        ({"destinations": None}, "missing required arguments: destinations"),
        ({"destinations": []}, "needs destinations"),
        ({"destinations": [{}]}, "type is s3 but all of the following are missing: bucket"),
        ({"destinations": [{"type": "gcs"}]}, "type is gcs but all of the following are missing: bucket"),
        ({"destinations": [{"type": "local"}]}, "type is local but all of the following are missing: path"),
        ({"destinations": [{"type": "local", "path": "copies"}]}, "'copies' is not absolute"),
        ({"destinations": [{**S3, "path": "/srv"}]}, "Destination s3 does not know path"),
        ({"destinations": [{**GCS, "region": "here"}]}, "Destination gcs does not know region"),
        ({"destinations": [{**S3, "access_key": "AKIA"}]}, "parameters are required together: access_key, secret_key"),
        ({"destinations": [{**S3, **KEYS, "profile": "p"}]}, "mutually exclusive: profile|access_key|anonymous"),
        ({"destinations": [{**S3, "session_token": "temporary"}]}, "required by 'session_token': access_key"),
        (
            {"destinations": [{**GCS, "access_token": "ya29.made-up", "service_account_file": "f"}]},
            "mutually exclusive: service_account_file|service_account_contents|access_token",
        ),
        ({"name": "../b"}, "not a path inside the destination"),
        ({"part_size": "many"}, "part_size 'many' is not a size"),
        ({"part_size": "1MiB"}, "at least 5 MiB"),
        ({"workers": 0}, "at least 1 worker"),
        ({"state": "gone"}, "value of state must be one of"),
        ({"timeout": 0.0001}, "deadline of 0.0001 seconds"),
    ],
)
def test_bad_input(run, model, tmp_path, changes, expected):
    result = run({key: value for key, value in {**model, **changes}.items() if value is not None})
    assert result["failed"]
    assert expected in result["msg"]
    assert not (tmp_path / "copies").exists()


def test_twice_the_same_destination(run, model):
    result = run({**model, "destinations": model["destinations"] * 2})
    assert "given twice" in result["msg"]
    assert result["error"]["kind"] == "InputError"


def test_failed_destinations_are_told_one_by_one(run, model, tmp_path):
    (tmp_path / "file").write_text("")
    bad = {"type": "local", "path": str(tmp_path / "file")}
    result = run({**model, "destinations": [bad, *model["destinations"]]})
    assert result["failed"]
    assert result["msg"].startswith("1 of 2 destinations failed.")
    assert result["destinations"][0]["error"]["message"] in result["msg"]
    assert result["destinations"][1]["status"] == "complete"
    result = run({**model, "destinations": [bad]})
    assert result["msg"].startswith(result["destinations"][0]["error"]["message"])


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("16MiB", 16 << 20),
        ("16M", 16 << 20),
        ("16MB", 16 << 20),
        (" 1GiB ", 1 << 30),
        ("512KiB", 512 << 10),
        ("42", 42),
    ],
)
def test_sizes(text, size):
    assert _doors.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "iB", "1 2", "16MiBi", "-1"])
def test_no_sizes(text):
    with pytest.raises(InputError):
        _doors.parse_size(text)


# Progress ------------------------------------------------------------------------------------------------------------


def test_progress_file_is_private_and_appended(run, model, tmp_path):
    file = tmp_path / "progress.jsonl"
    run({**model, "progress_file": str(file)}, check=True)
    assert not file.exists()
    run({**model, "progress_file": str(file)})
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    phases = [json.loads(line)["phase"] for line in file.read_text().splitlines()]
    assert (phases[0], phases[-1]) == ("plan", "publish")
    run({**model, "progress_file": str(file)})
    assert len(file.read_text().splitlines()) == len(phases) + 1


def test_unwritable_progress_file_is_a_warning(run, model):
    result = run({**model, "progress_file": "/nowhere/progress"})
    assert result["changed"]
    assert "Progress cannot be written to /nowhere/progress" in json.dumps(result["warnings"])


# What reaches the engine ----------------------------------------------------------------------------------------------


@pytest.fixture
def request_of(run, monkeypatch):
    """The request that options lead to, without what is None."""

    def call(source, destination, **options):
        seen = {}

        def run_job(request, **_more):
            seen.update(request)
            raise InputError("That is all.")

        monkeypatch.setattr(model_sync, "run_job", run_job)
        seen["result"] = run({"source": source, "destinations": [destination], **options})
        seen["destinations"] = [{k: v for k, v in item.items() if v is not None} for item in seen["destinations"]]
        seen["source"] = {key: value for key, value in seen["source"].items() if value is not None}
        return seen

    return call


def test_aliases_are_those_of_amazon_aws(request_of):
    given = {
        "aws_access_key_id": "AKIA",
        "aws_secret_access_key": "secret-of-a-test",
        "aws_session_token": "session-of-a-test",
        "aws_endpoint_url": "http://s3",
        "aws_region": "r",
        "aws_ca_bundle": "/ca",
    }
    found = request_of(HUB, {**S3, **given})
    assert found["destinations"] == [
        {
            "type": "s3",
            "bucket": "models",
            **KEYS,
            "session_token": "session-of-a-test",
            "endpoint_url": "http://s3",
            "region": "r",
            "ca_bundle": "/ca",
        }
    ]
    assert "of-a-test" not in json.dumps(found["result"])


def test_environment_counts_for_its_own_type_only(request_of, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://last")
    monkeypatch.setenv("AWS_URL", "http://first")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "here")
    assert request_of(HUB, S3)["destinations"] == [
        {"type": "s3", "bucket": "models", "endpoint_url": "http://first", "region": "here"}
    ]
    assert request_of(HUB, {**S3, "endpoint_url": "http://own"})["destinations"][0]["endpoint_url"] == "http://own"
    found = request_of(HUB, GCS)
    assert found["destinations"] == [GCS]
    assert found["source"] == {"type": "huggingface", **HUB}


def test_options_reach_the_engine(request_of):
    given = {
        "prune": True,
        "prune_max": 7,
        "require_config": False,
        "side_by_side": True,
        "server_side_copy": False,
        "workers": 9,
        "interval": 2.5,
        "timeout": 60,
        "stall_timeout": 5,
        "attempts": 2,
    }
    found = request_of(HUB, S3, part_size="8MiB", **given)
    assert found["options"] == {**given, "part_size": 8 << 20}


def test_service_account_as_a_dictionary(request_of):
    key = {"private_key": "private-part-of-a-key", "client_email": "a@b"}
    found = request_of(HUB, {**GCS, "service_account_contents": key})
    assert json.loads(found["destinations"][0]["service_account_contents"]) == key
    assert "private-part" not in json.dumps(found["result"])


@pytest.mark.parametrize("how", ["token", "file", "environment"])
def test_tokens_are_stripped_and_hidden(request_of, monkeypatch, tmp_path, how):
    token = "hf_" + "canary" * 5
    source = dict(HUB)
    if how == "token":
        source["token"] = f" {token}\n"
    elif how == "file":
        (tmp_path / "token").write_text(f"{token}\n")
        source["token_file"] = str(tmp_path / "token")
    else:
        monkeypatch.setenv("HF_TOKEN", f"{token}\n")
    shown = {}

    def explain(module, error):
        shown["censored"] = token in module.no_log_values
        module.fail_json(msg=f"The Hub said: {token}")

    monkeypatch.setattr(model_sync, "fail", explain)
    found = request_of(source, S3)
    assert found["source"] == {"type": "huggingface", "repo": "a/b", "token": token}
    assert shown["censored"]
    assert "white space" in json.dumps(found["result"]["warnings"])
    assert token not in json.dumps(found["result"])


@pytest.mark.parametrize("how", ["token", "token_file", "pair", "kaggle_config", "environment"])
def test_credentials_of_kaggle_are_stripped_and_hidden(request_of, monkeypatch, tmp_path, how):
    secret, pair = "canary" * 5, {"username": "ada", "key": "canary" * 5}
    path = tmp_path / "file"
    path.write_text(json.dumps(pair) if how == "kaggle_config" else f"{secret}\n")
    given = {
        "token": {"token": f" {secret}\n"},
        "pair": {**pair, "key": f"{secret}\n"},
        "token_file": {"token_file": str(path)},
        "kaggle_config": {"kaggle_config": str(path)},
        "environment": {},
    }
    monkeypatch.setenv("HF_TOKEN", "of-the-hub")
    monkeypatch.setenv("KAGGLE_API_TOKEN", secret if how == "environment" else "not-this-one")
    shown = {}

    def explain(module, error):
        shown["censored"] = secret in module.no_log_values
        module.fail_json(msg=f"Kaggle said: {secret}")

    monkeypatch.setattr(model_sync, "fail", explain)
    source = {"type": "kaggle", "repo": "a/b/c/d/1"}
    found = request_of({**source, **given[how]}, S3)
    assert found["source"] == {**source, **(pair if how in ("pair", "kaggle_config") else {"token": secret})}
    assert shown["censored"]
    assert secret not in json.dumps(found["result"])


def test_pasted_keys_are_stripped(request_of):
    found = request_of(HUB, {**S3, "access_key": "AKIA\n", "secret_key": " secret-of-a-test\n"})
    assert {key: found["destinations"][0][key] for key in KEYS} == KEYS
    warnings = json.dumps(found["result"]["warnings"])
    assert "access_key had white space" in warnings
    assert "secret_key had white space" in warnings
    assert "secret-of-a-test" not in json.dumps(found["result"])


@pytest.mark.parametrize(
    ("missing", "source", "destination", "expected"),
    [
        ("huggingface_hub", HUB, S3, "huggingface_hub >= 1.0"),
        ("botocore", HUB, S3, "boto3"),
        ("google.auth", HUB, GCS, "google-auth"),
        ("urllib3", {"type": "local", "paths": ["/x"]}, {"type": "local", "path": "/y"}, "urllib3"),
    ],
)
def test_missing_libraries_are_named(run, monkeypatch, missing, source, destination, expected):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else find(name))
    result = run({"name": "a", "source": source, "destinations": [destination]})
    assert "Failed to import the required Python library" in result["msg"]
    assert expected in result["msg"]


def test_signals_ask_the_run_to_stop(run, model, monkeypatch):
    def run_job(request, *, stop, **_more):
        assert not stop.is_set()
        signal.raise_signal(signal.SIGTERM)
        assert stop.is_set()
        raise InputError("Stopped.")

    monkeypatch.setattr(model_sync, "run_job", run_job)
    assert run(model)["msg"] == "Stopped."


# Telling others -------------------------------------------------------------------------------------------------------


@pytest.fixture
def told(monkeypatch):
    """The events that hooks are called with, in place of calling them."""
    events = []

    def notify(hooks, outcome):
        events.extend((hook["url"], bool(outcome["failed"])) for hook in hooks)
        return ["The hook did not answer."]

    monkeypatch.setattr(engine, "notify", notify)
    return events


def test_hooks_are_told_of_success_and_failure(run, model, told, tmp_path):
    hooks = [{"type": "webhook", "url": "https://hooks.test/secret-path"}]
    assert run({**model, "notify": hooks}, check=True)["changed"]
    assert told == []
    result = run({**model, "notify": hooks})
    assert result["changed"]
    assert "The hook did not answer." in json.dumps(result["warnings"])
    assert "secret-path" not in json.dumps(result["warnings"])
    nothing = {"type": "local", "paths": [str(tmp_path / "nothing")]}
    assert run({**model, "source": nothing, "notify": hooks})["failed"]
    assert told == [("https://hooks.test/secret-path", False), ("https://hooks.test/secret-path", True)]
