# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The door of model_sync_job: options in, results out, against an API server in memory in which nothing ever runs."""

from __future__ import annotations

import base64
import contextlib
import json
import types

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.modelops.serving.plugins.module_utils._kube.apply import MANAGER
from ansible_collections.modelops.serving.plugins.module_utils._sync_job import door, passcode, pin
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import AccessError, TransientError
from ansible_collections.modelops.serving.plugins.module_utils._transfer.ibm import Tokens
from ansible_collections.modelops.serving.plugins.modules import model_sync_job
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._kube.fakes import Answer, FakeApi, refuse

KEYS = {"access_key": "minio", "secret_key": "canary-secret"}
HUB = {"repo": "a/b"}
PLAIN = {"namespace": "ns", "source": HUB, "destinations": [{"bucket": "models", **KEYS}], "wait": False}
CRN = "crn:v1:bluemix:public:cloud-object-storage:global:a/abc:def::"


@pytest.fixture
def api(monkeypatch):
    fake = FakeApi()
    fake.kinds["batch/v1"]["cronjobs"] = ("CronJob", True)
    fake.immutable.append(("spec", "template"))
    fake.rules.append(lambda asked: Answer(200, {"major": "1", "minor": "30"}) if asked.path == "/version" else None)
    monkeypatch.setattr(door, "connect", lambda _module: fake.client())

    class Unreachable:
        def snapshot(self):
            raise TransientError("no answer.")

    monkeypatch.setattr(pin, "build_source", lambda *_args: (Unreachable(), []))
    return fake


@pytest.fixture
def run(api, capsys):
    def call(options, *, check=False, diff=False):
        given = {**options, "_ansible_check_mode": check, "_ansible_diff": diff}
        api.asked.clear()
        with patch_module_args(given), contextlib.suppress(SystemExit):
            model_sync_job.main()
        return json.loads(capsys.readouterr().out)

    return call


def secret(api, name, data):
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "ns"}}
    data = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    api.client().apply({**body, "data": data}, manager="somebody")


def ends(api, condition="Complete"):
    (job,) = (obj for path, obj in api.objects.items() if "/jobs/" in path)
    job["status"] = {"conditions": [{"type": condition, "status": "True"}]}


def test_twelve_steps(run, api):
    changed = {**PLAIN, "source": {**HUB, "revision": "v2"}}
    absent = {"namespace": "ns", "name": "a/b", "state": "absent", "wait": False}
    results = []
    for number, options in enumerate(options for options in (PLAIN, changed, absent) for _time in range(4)):
        results.append(run(options, check=number % 2 == 0))
        assert bool(api.writes) == (number in (1, 5, 9)), (number, api.writes)
        if number in (1, 5):
            ends(api)
    assert [result["changed"] for result in results] == [True, True, False, False] * 3
    for predicted, actual in zip(results[::2], results[1::2], strict=True):
        assert predicted["objects"] == actual["objects"]
    assert api.objects == {}
    assert {item["action"] for item in results[5]["objects"]} == {"none", "create", "replace", "delete"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"namespace": "ns", "destinations": [{"bucket": "b"}]}, "name, source, job_name"),
        ({"namespace": "ns", "name": "n"}, "state is present but any of the following are missing: source"),
        ({"namespace": "ns", "name": "n", "source": None}, "There is no source. Give source or source_secret."),
        ({**PLAIN, "source_secret": "s"}, "mutually exclusive: source|source_secret"),
        ({**PLAIN, "data_connection": "c"}, "mutually exclusive: destinations|data_connection"),
        ({**PLAIN, "storage_config": "c"}, "data_connection"),
        ({**PLAIN, "argo": True}, "argo is True but all of the following are missing: render_to"),
        ({**PLAIN, "token_secret": {"name": "t", "mount": "custom"}}, "path"),
        (
            {**PLAIN, "token_secret": {"name": "t"}, "token_secret_provider_class": {"provider": "gke"}},
            "mutually exclusive: token_secret|token_secret_provider_class",
        ),
        ({**PLAIN, "token_secret_provider_class": {"provider": "aws", "mount": "custom"}}, "path"),
        ({**PLAIN, "part_size": "many"}, "part_size 'many' is not a size"),
        ({**PLAIN, "notify": [{"type": "slack"}]}, "url"),
    ],
)
def test_options_that_do_not_fit_together(run, api, options, message):
    result = run(options)
    assert result["failed"] and message in result["msg"]
    assert not api.writes


def test_a_role_may_pass_what_is_off(run):
    off = {"argo": False, "storage_config": None, "render_to": None, "token_secret": None, "schedule": None}
    assert not run({**PLAIN, **off}, check=True).get("failed")


def test_the_warning_of_a_hub_that_is_not_reached(run):
    (warning,) = run(PLAIN, check=True)["warnings"]
    assert "The commit was not looked up" in str(warning)


# -- the token, before there is a Job --------------------------------------------------------------------------


@pytest.fixture
def checked(monkeypatch):
    """Tokens that were checked; what is in ``errors`` is raised next."""
    found, errors = [], []

    class Reachable:
        def snapshot(self):
            return types.SimpleNamespace(revision="0123")

    def check(assembled):
        found.append(assembled.hub["token"])
        if errors:
            raise errors.pop()
        return "Not checked."

    monkeypatch.setattr(pin, "build_source", lambda *_args: (Reachable(), []))
    monkeypatch.setattr(door, "check_token", check)
    return types.SimpleNamespace(tokens=found, errors=errors)


WITH_TOKEN = {**PLAIN, "source": {**HUB, "token": "canary-token"}}


def test_a_token_is_checked_before_a_job_is_made_or_replaced(run, api, checked):
    for check in (True, False):
        assert "Not checked." in str(run(WITH_TOKEN, check=check)["warnings"])
    assert checked.tokens == ["canary-token"] * 2
    assert not run(WITH_TOKEN)["changed"]  # attached to
    ends(api)
    assert not run(WITH_TOKEN)["changed"]
    assert len(checked.tokens) == 2
    run({**WITH_TOKEN, "run": "always"})
    assert len(checked.tokens) == 3


def test_a_token_that_is_refused_leaves_everything_as_it_is(run, api, checked):
    for check in (True, False):
        checked.errors.append(AccessError("a/b is gated.", hint="Ask for access."))
        result = run(WITH_TOKEN, check=check)
        assert (result["msg"], result["error"]["kind"]) == ("a/b is gated. Ask for access.", "AccessError")
        assert api.writes == [] and "canary" not in json.dumps(result)
    assert not any(request.method == "PATCH" for request in api.asked)  # not even a dry run


@pytest.mark.parametrize("off", [{"check_token": False}, {"schedule": "@daily"}])
def test_a_token_that_nobody_wants_checked(run, checked, off):
    assert run({**WITH_TOKEN, **off})["changed"]
    assert checked.tokens == []


def test_for_files_no_token_is_checked(run, checked, tmp_path):
    options = {"namespace": "ns", "source": HUB, "token_secret": {"name": "hub"}, "destinations": [{"bucket": "b"}]}
    assert run({**options, "render_to": str(tmp_path / "gitops")})["changed"]
    assert checked.tokens == []


# -- secrets ---------------------------------------------------------------------------------------------------


def test_no_secret_is_shown(run, api):
    result = run(PLAIN, diff=True)
    assert (
        "canary-secret"
        in base64.b64decode(
            next(obj for path, obj in api.objects.items() if "secrets" in path)["data"]["destination-1-secret_key"]
        ).decode()
    )
    shown = json.dumps(result)
    assert "canary" not in shown and base64.b64encode(b"canary-secret").decode() not in shown
    assert "****** (" in shown


def test_values_of_secrets_that_are_read_are_hidden_and_places_are_not(run, api):
    connection = {
        "AWS_S3_BUCKET": "bucket-to-see",
        "AWS_S3_ENDPOINT": "https://endpoint-to-see.test",
        "AWS_ACCESS_KEY_ID": "id-to-see",
        "AWS_SECRET_ACCESS_KEY": "canary-secret",
    }
    secret(api, "connection", connection)
    secret(api, "hub", {"hf": "canary-token\n"})
    api.rules.append(
        lambda asked: (
            refuse(403, "bucket-to-see canary-secret canary-token endpoint-to-see.test id-to-see")
            if asked.method == "PATCH"
            else None
        )
    )
    options = {"namespace": "ns", "source": HUB, "data_connection": "connection"}
    result = run({**options, "token_secret": {"name": "hub", "key": "hf"}})
    assert result["failed"]
    assert all(f"{name}-to-see" in result["msg"] for name in ("bucket", "endpoint", "id"))
    assert "canary" not in json.dumps(result)


def test_files_take_no_credentials(run, api, tmp_path):
    folder = tmp_path / "gitops"
    result = run({**PLAIN, "render_to": str(folder)})
    assert "no place for credentials" in result["msg"]
    assert not folder.exists() and not api.asked


def test_files_need_no_cluster(run, api, tmp_path):
    options = {
        "namespace": "ns",
        "source": HUB,
        "token_secret": {"name": "hub"},
        "destinations": [{"bucket": "b", "credentials_secret": "keys"}],
        "render_to": str(tmp_path / "gitops"),
        "argo": True,
    }
    predicted, result = run(options, check=True), run(options)
    assert predicted["objects"] == result["objects"]
    assert {item["action"] for item in result["objects"]} == {"create"}
    assert [item["kind"] for item in result["objects"]] == ["ServiceAccount", "ConfigMap", "Job"]
    assert not api.asked
    assert not run(options)["changed"]
    assert all("sync-wave" in path.read_text() for path in (tmp_path / "gitops").iterdir())


# -- how it ends -----------------------------------------------------------------------------------------------


@pytest.fixture
def told(api, monkeypatch):
    """Jobs fail as soon as they are there; who is told of it."""
    found = []
    monkeypatch.setattr(door, "notify", lambda hooks, outcome: found.append((hooks, outcome)) or ["Nobody listens."])
    api.kinds["v1"]["events"] = ("Event", True)
    condition = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "Too often."}

    def fail(asked):
        job = api.objects.get(asked.path) if asked.method == "GET" and "/jobs/" in asked.path else None
        return Answer(200, {**job, "status": {"conditions": [condition]}}) if job else None

    api.rules.append(fail)
    return found


WAITING = {**PLAIN, "wait": True, "notify": [{"type": "webhook", "url": "https://x.test/canary"}]}


def test_when_no_pod_ever_ran_the_hooks_are_told_from_here(run, api, told):
    result = run(WAITING)
    assert result["failed"] and result["changed"]
    assert "BackoffLimitExceeded" in result["msg"] and len(result["objects"]) == 4
    assert result["result"] is None and "Nobody listens." in json.dumps(result["warnings"])
    (((hook,), outcome),) = told
    assert (hook["url"], hook["on"]) == ("https://x.test/canary", ["success", "failure"])
    assert outcome["failed"] and outcome["name"] == "a/b" and "BackoffLimitExceeded" in outcome["error"]["message"]
    assert "canary" not in json.dumps(result)


def test_the_engines_own_words_come_first(run, api, told):
    error = {"kind": "StoreError", "message": "The bucket is full.", "hint": "Make room."}
    ended = {"terminated": {"exitCode": 1, "message": json.dumps({"failed": True, "revision": "r", "error": error})}}
    run({**PLAIN, "wait": False})
    (job,) = (obj for path, obj in api.objects.items() if "/jobs/" in path)
    name = job["metadata"]["name"]
    api.objects["/api/v1/namespaces/ns/pods/p"] = {
        "metadata": {"name": "p", "namespace": "ns", "labels": {"job-name": name}},
        "spec": {"containers": [{"name": "sync"}]},
        "status": {"phase": "Failed", "containerStatuses": [{"name": "sync", "state": ended}]},
    }
    result = run(WAITING)
    assert result["msg"].startswith(f"Job ns/{name} failed: The bucket is full. Make room.\n")
    assert "BackoffLimitExceeded" in result["msg"]
    assert result["error"]["hint"] == "Make room."
    assert (result["revision"], result["result"]["error"]) == ("r", error)
    assert told == []  # the engine did that


# -- a passcode ------------------------------------------------------------------------------------------------


@pytest.fixture
def with_passcode(api, monkeypatch):
    exchanged = []

    def exchange(value, *_args, **_kwargs):
        exchanged.append(value)
        return Tokens("access", "canary-refresh", 0.0)

    monkeypatch.setattr(passcode, "exchange_passcode", exchange)
    place = {
        "S3_SYNC_COS_BUCKET": "origin",
        "S3_SYNC_COS_MODEL_PREFIX": "granite/",
        "S3_SYNC_COS_INSTANCE_REGION": "us-geo",
        "S3_SYNC_COS_INSTANCE_CRN": CRN,
        "S3_SYNC_COS_TEMPORARY_PASSCODE": "canary-passcode",
    }
    secret(api, "model-source", place)
    return exchanged


PASSCODE = {
    "namespace": "ns",
    "name": "granite",
    "source_secret": "model-source",
    "destinations": [{"bucket": "b"}],
    "wait": False,
}


def test_a_passcode_is_used_once_and_not_in_check_mode(run, api, with_passcode):
    assert run(PASSCODE, check=True)["changed"]
    assert with_passcode == []
    first = run(PASSCODE, diff=True)
    assert first["changed"] and "canary" not in json.dumps(first)
    ends(api, "Failed")
    assert run(PASSCODE)["changed"]
    ends(api)
    assert not run(PASSCODE)["changed"]
    assert with_passcode == ["canary-passcode"]


def test_a_passcode_is_not_wasted_on_what_is_refused(run, api, with_passcode):
    api.rules.append(lambda asked: refuse(403, "no") if asked.method == "PATCH" and "/jobs/" in asked.path else None)
    assert "refused the apply of Job" in run(PASSCODE)["msg"]
    assert with_passcode == []


def test_everything_is_managed_by_us(run, api):
    run(PLAIN)
    assert {entry["manager"] for obj in api.objects.values() for entry in obj["metadata"]["managedFields"]} == {MANAGER}
