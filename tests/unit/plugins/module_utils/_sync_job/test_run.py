# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is there anything to run, what is replaced, how it ended; and what lies beside it: passcode, storage-config, commit."""

from __future__ import annotations

import base64
import dataclasses
import json

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Ref
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import ApiError, ConflictError, InputError
from ansible_collections.modelops.serving.plugins.module_utils._sync_job import passcode, pin, run, storage_config
from ansible_collections.modelops.serving.plugins.module_utils._sync_job.assemble import Passcode
from ansible_collections.modelops.serving.plugins.module_utils._sync_job.spec import Features
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import AccessError, TransientError
from ansible_collections.modelops.serving.plugins.module_utils._transfer.ibm import Tokens
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._kube.fakes import FakeApi, refuse
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._sync_job import options

NEW = Features()
COMPLETE = [{"type": "Complete", "status": "True"}]
FAILED = [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]


@pytest.fixture
def api():
    fake = FakeApi()
    fake.kinds["batch/v1"]["cronjobs"] = ("CronJob", True)
    # A Job's template is for ever.
    fake.immutable.append(("spec", "template"))
    return fake


@pytest.fixture
def spec():
    keys = {"access_key": "id", "secret_key": "secret"}
    return options.assembled(destinations=[{"bucket": "b", **keys}]).spec


def start(api, spec, *, check=False, features=NEW, always=False):
    client = api.client()
    decision = run.decide(client, spec, always=always)
    if decision.action in ("attach", "none"):
        return decision.action, []
    return decision.action, run.start(client, spec, features, decision, check=check, force=False)


def job_of(api, spec):
    return api.objects[f"/apis/batch/v1/namespaces/ns/jobs/{spec.name}"]


def ends(api, spec, conditions):
    job_of(api, spec)["status"] = {"conditions": conditions}


def actions(changes):
    return {change.ref.kind: change.action for change in changes}


# -- decide and start ------------------------------------------------------------------------------------------


def test_the_first_run_creates_everything(api, spec):
    action, changes = start(api, spec)
    assert action == "create"
    assert actions(changes) == dict.fromkeys(("ConfigMap", "Secret", "ServiceAccount", "Job"), "create")
    assert len(api.objects) == 4


def test_check_mode_writes_nothing(api, spec):
    action, changes = start(api, spec, check=True)
    assert (action, api.objects, api.writes) == ("create", {}, [])
    assert set(actions(changes).values()) == {"create"}


@pytest.mark.parametrize(
    ("conditions", "always", "action"),
    [
        ([], False, "attach"),
        ([], True, "attach"),
        (COMPLETE, False, "none"),
        (COMPLETE, True, "replace"),
        (FAILED, False, "replace"),
    ],
)
def test_what_a_job_that_is_there_means(api, spec, conditions, always, action):
    start(api, spec)
    ends(api, spec, conditions)
    before = len(api.asked)
    assert run.decide(api.client(), spec, always=always).action == action
    reads = [asked for asked in api.asked[before:] if "jobs" in asked.path]
    assert len(reads) == 1


@pytest.mark.parametrize("conditions", [[], COMPLETE, FAILED])
@pytest.mark.parametrize("check", [False, True])
def test_another_sync_replaces_the_job(api, spec, conditions, check):
    start(api, spec)
    ends(api, spec, conditions)
    other = dataclasses.replace(spec, request={**spec.request, "name": "other"})
    uid = job_of(api, spec)["metadata"]["uid"]
    action, changes = start(api, other, check=check)
    assert action == "replace"
    assert {change.action for change in changes if change.ref.kind == "ConfigMap"} == {"create", "delete"}
    assert actions(changes)["Job"] == "replace"
    assert (job_of(api, spec)["metadata"]["uid"] == uid) is check
    assert len([path for path in api.objects if "configmaps" in path]) == 1


@pytest.mark.parametrize("check", [False, True])
def test_a_job_that_failed_is_replaced_by_the_same(api, spec, check):
    start(api, spec)
    ends(api, spec, FAILED)
    uid = job_of(api, spec)["metadata"]["uid"]
    _action, changes = start(api, spec, check=check)
    assert actions(changes) == {"ConfigMap": "none", "Secret": "none", "ServiceAccount": "none", "Job": "replace"}
    assert (job_of(api, spec)["metadata"]["uid"] == uid) is check
    if not check:
        ends(api, spec, FAILED)  # and once more
        assert actions(start(api, spec)[1])["Job"] == "replace"
        ends(api, spec, COMPLETE)
        assert start(api, spec) == ("none", [])


def test_the_old_job_stays_when_something_is_refused(api, spec):
    start(api, spec)
    ends(api, spec, FAILED)
    api.objects = {path: obj for path, obj in api.objects.items() if "secrets" not in path}

    def no_secrets(asked):
        return refuse(403, "no", "Forbidden") if asked.method == "PATCH" and "secrets" in asked.path else None

    api.rules.append(no_secrets)
    with pytest.raises(ApiError, match="refused the apply of Secret"):
        start(api, spec)
    assert job_of(api, spec)["status"]


def test_a_schedule_takes_the_place_of_the_job(api, spec):
    start(api, spec)
    cron = dataclasses.replace(spec, schedule="@daily")
    changes = run.start(api.client(), cron, NEW, run.Decision("create", None), check=False, force=False)
    found = {(change.ref.kind, change.action) for change in changes}
    assert {("CronJob", "create"), ("Job", "delete")} <= found
    again = run.start(api.client(), cron, NEW, run.Decision("create", None), check=False, force=False)
    assert {change.action for change in again} == {"none"}


def test_a_secret_that_is_not_needed_any_more_goes(api, spec):
    start(api, spec)
    assert any("credentials" in path for path in api.objects)
    start(api, dataclasses.replace(spec, credentials={}, service_account="robot"))
    assert {path.split("/")[-2] for path in api.objects} == {"configmaps", "jobs"}


def test_shards_need_indexed_jobs(spec):
    with pytest.raises(InputError, match="parallelism is 2, and the cluster has no Indexed Jobs"):
        run.objects_of(dataclasses.replace(spec, parallelism=2), Features.of((1, 20)))


# -- results ---------------------------------------------------------------------------------------------------


def pod(message, *, name="sync", state="terminated", number=0):
    said = message if isinstance(message, str) else json.dumps(message)
    return {
        "metadata": {"name": f"p{number}", "creationTimestamp": f"2026-01-01T00:00:0{number}Z"},
        "status": {"containerStatuses": [{"name": name, "state": {state: {"message": said}}}]},
    }


DONE = {"failed": False, "destinations": [{"status": "complete"}], "revision": "1"}
SHARD = {"failed": False, "destinations": [{"status": "partial"}]}
BAD = {"failed": True, "destinations": [{"status": "partial", "error": {"message": "full", "hint": "Make room."}}]}
BROKEN = {"failed": True, "error": {"message": "gated", "hint": "Ask."}}


@pytest.mark.parametrize(
    ("said", "result"),
    [
        ([DONE], DONE),
        ([BAD, DONE], DONE),
        ([BROKEN, BAD], BAD),
        ([SHARD, DONE, SHARD], DONE),
        ([SHARD, BROKEN], BROKEN),
        ([SHARD], SHARD),
        (["Traceback ...", BROKEN], BROKEN),
        (["Traceback ..."], None),
        (["[1]"], None),
        ([], None),
    ],
)
def test_what_the_engine_said_last(said, result):
    assert run.result_of([pod(message, number=number) for number, message in enumerate(said)]) == result


def test_what_others_said_does_not_count():
    assert run.result_of([pod(DONE, name="requirements")]) is None
    assert run.result_of([pod(DONE, state="running")]) is None
    assert run.result_of([{"metadata": {}}]) is None


@pytest.mark.parametrize(
    ("result", "messages"), [(None, []), (DONE, []), (BAD, ["full"]), (BROKEN, ["gated"]), (SHARD, [])]
)
def test_what_went_wrong(result, messages):
    assert [error["message"] for error in run.errors_of(result)] == messages


# -- progress --------------------------------------------------------------------------------------------------


def report(phase="move", done=1, total=10, remaining=5.0):
    counts = dict.fromkeys(("files_done", "files_total", "bytes_read", "retries", "stalls"), 1)
    return {"phase": phase, "bytes_done": done, "bytes_total": total, "rate": 2.0, "remaining": remaining, **counts}


def test_reports_of_several_pods_are_one():
    one, other = report(done=3, remaining=9.0), report(phase="publish", done=10, remaining=1.0)
    assert run.total([one]) == one
    both = run.total([other, one])
    assert (both["phase"], both["bytes_done"], both["bytes_total"]) == ("move", 13, 20)
    assert (both["rate"], both["remaining"], both["files_total"]) == (4.0, 9.0, 2)
    assert run.total([one, report(remaining=None)])["remaining"] is None


class Pods:
    """A client that has Pods with logs."""

    def __init__(self):
        self.phases, self.last = {}, {}

    def list(self, *_args, **_kwargs):
        return [{"metadata": {"name": name}, "status": {"phase": phase}} for name, phase in self.phases.items()]

    def logs(self, _namespace, name, _container, *, tail):
        assert tail == 1
        return self.last[name]


def test_progress_is_followed(spec):
    client, seen = Pods(), []
    watch = run.Watch(client, spec, seen.append)
    client.phases = {"a": "Pending"}
    watch({})
    client.phases, client.last = {"a": "Running"}, {"a": ""}
    watch({})
    client.last["a"] = "Traceback"
    watch({})
    assert seen == []
    client.last["a"] = json.dumps(report(done=4))
    watch({})
    watch({})
    assert [item["bytes_done"] for item in seen] == [4]
    # Its successor goes on where it ended.
    client.phases, client.last["b"] = {"a": "Failed", "b": "Running"}, json.dumps(report(done=5))
    watch({})
    client.phases["b"] = "Succeeded"
    watch({})
    assert [item["bytes_done"] for item in seen] == [4, 5]


# -- a passcode ------------------------------------------------------------------------------------------------


@pytest.fixture
def exchanged(monkeypatch):
    seen = []

    def exchange(value, endpoint, *, crn, validate_certs):
        assert validate_certs
        seen.append((value, endpoint, crn))
        return Tokens(access_token="access", refresh_token=f"refresh-{len(seen)}", expires=0.0)

    monkeypatch.setattr(passcode, "exchange_passcode", exchange)
    return seen


def test_a_passcode_is_exchanged_once(api, spec, exchanged):
    code = Passcode("one", "crn", "https://iam.test")
    first = passcode.redeem(api.client(), spec, code)
    assert first.credentials["source-iam_refresh_token"] == "refresh-1"
    assert "one" not in json.dumps(first.credentials)
    start(api, first)
    again = passcode.redeem(api.client(), spec, code)
    assert again.credentials == first.credentials
    assert exchanged == [("one", "https://iam.test", "crn")]
    other = passcode.redeem(api.client(), spec, Passcode("two", None, None))
    assert other.credentials["source-iam_refresh_token"] == "refresh-2"


def test_a_passcode_for_nothing(api, spec, monkeypatch):
    monkeypatch.setattr(passcode, "exchange_passcode", lambda *_args, **_kwargs: Tokens("access", "", 0.0))
    with pytest.raises(AccessError, match="no refresh token"):
        passcode.redeem(api.client(), spec, Passcode("one", None, None))


# -- storage-config --------------------------------------------------------------------------------------------


def entries(api):
    data = api.objects["/api/v1/namespaces/ns/secrets/storage-config"]["data"]
    return {key: json.loads(base64.b64decode(value)) for key, value in data.items()}


def write(api, key, content, *, check=False):
    return storage_config.write(api.client(), "ns", "storage-config", (key, content), check=check, force=False)


def test_entries_stand_beside_each_other(api):
    other = base64.b64encode(b'{"theirs": "x"}').decode()
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "storage-config", "namespace": "ns"}}
    api.client().apply({**body, "data": {"theirs": other}}, manager="somebody")
    assert actions(write(api, "a", {"bucket": "a"}, check=True)) == {"Secret": "update"}
    assert entries(api).keys() == {"theirs"}
    write(api, "a", {"bucket": "a"})
    write(api, "b", {"bucket": "b"})
    assert entries(api) == {"theirs": {"theirs": "x"}, "a": {"bucket": "a"}, "b": {"bucket": "b"}}
    assert actions(write(api, "a", {"bucket": "a"})) == {"Secret": "none"}
    write(api, "a", {"bucket": "new"})
    assert entries(api)["a"] == {"bucket": "new"}
    with pytest.raises(ConflictError, match="'somebody'"):
        write(api, "theirs", {"bucket": "ours"})


def test_a_new_secret_is_made(api):
    assert actions(write(api, "a", {"bucket": "a"})) == {"Secret": "create"}
    assert api.client().get(Ref("v1", "Secret", "storage-config", "ns"))["type"] == "Opaque"


# -- the commit ------------------------------------------------------------------------------------------------


class Hub:
    def __init__(self, error=None):
        self.error, self.asked = error, []

    def __call__(self, data, _control):
        self.asked.append(data)
        return self, []

    def snapshot(self):
        if self.error:
            raise self.error
        return type("Snapshot", (), {"revision": "abc123"})


def test_a_branch_becomes_a_commit(monkeypatch):
    hub = Hub()
    monkeypatch.setattr(pin, "build_source", hub)
    found = options.assembled(source={**options.HUB, "token": "t"})
    pinned, warning = pin.pin(found)
    assert pinned.spec.request["source"]["revision"] == "abc123"
    assert pinned.spec.identity != found.spec.identity
    assert (warning, hub.asked) == (None, [{"type": "huggingface", **options.HUB, "token": "t"}])


def test_a_hub_that_is_only_reached_from_the_cluster(monkeypatch):
    monkeypatch.setattr(pin, "build_source", Hub(TransientError("no answer.")))
    found = options.assembled()
    same, warning = pin.pin(found)
    assert same is found
    assert warning == "The commit was not looked up, the Job does that: no answer."


def test_a_refusal_of_the_hub_counts(monkeypatch):
    monkeypatch.setattr(pin, "build_source", Hub(AccessError("gated")))
    with pytest.raises(AccessError):
        pin.pin(options.assembled())


def test_other_sources_are_not_asked(monkeypatch):
    monkeypatch.setattr(pin, "build_source", Hub(AssertionError()))
    found = options.assembled(source={"type": "s3", "bucket": "b", "prefix": "p"})
    assert pin.pin(found) == (found, None)


def test_a_schedule_follows_its_branch(monkeypatch):
    monkeypatch.setattr(pin, "build_source", Hub(AssertionError()))
    found = options.assembled(schedule="17 3 * * *")
    assert pin.pin(found) == (found, None)


def test_each_run_of_a_schedule_copies_what_is_newest_then(monkeypatch):
    monkeypatch.setattr(pin, "build_source", Hub(AssertionError()))
    found = options.assembled(schedule="@daily")
    assert pin.pin(found) == (found, None)


def test_the_hub_is_really_asked_and_not_for_long(unused_port):
    source = {**options.HUB, "endpoint": f"http://127.0.0.1:{unused_port}", "token": "hf_canary"}
    found = options.assembled(source=source)
    same, warning = pin.pin(found)
    assert same is found
    assert f"127.0.0.1:{unused_port}" in warning and "hf_canary" not in warning


@pytest.fixture
def unused_port():
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # bound, and nobody listens
        yield listener.getsockname()[1]
