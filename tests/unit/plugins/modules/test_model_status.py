# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The door of model_status: what is asked, and in which order. Directories stand for every store and source."""

from __future__ import annotations

import contextlib
import json
import os
import shutil

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.modelops.serving.plugins.module_utils._kube import auth
from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Ref
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import ApiError, KubeError
from ansible_collections.modelops.serving.plugins.module_utils._sync_job.spec import job_name
from ansible_collections.modelops.serving.plugins.modules import model_status, model_sync

NAME = job_name("a/b")


@pytest.fixture
def run(capsys):
    """Run a module with options; its result."""

    def call(options, module=model_status):
        with patch_module_args(options), contextlib.suppress(SystemExit):
            module.main()
        return json.loads(capsys.readouterr().out)

    return call


@pytest.fixture
def options(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "config.json").write_text("{}")
    (tmp_path / "models").mkdir()
    return {
        "name": "a/b",
        "source": {"type": "local", "paths": [f"{source}/"]},
        "destinations": [{"type": "local", "path": str(tmp_path / "models")}],
    }


@pytest.fixture
def synced(run, options):
    assert run(options, model_sync)["changed"]
    return options


@pytest.fixture
def clock(monkeypatch):
    """Time passes only in pauses, and ``clock.events`` has what happens at which of its seconds."""

    class Clock:
        def __init__(self):
            self.now, self.pauses, self.events = 1000.0, [], {}

        def monotonic(self):
            return self.now

        def sleep(self, seconds):
            self.pauses.append(seconds)
            self.now += seconds
            for moment in [moment for moment in self.events if moment <= self.now - 1000]:
                self.events.pop(moment)()

    clock = Clock()
    monkeypatch.setattr(model_status, "time", clock)
    return clock


def states(result):
    return [(step["step"], step["state"]) for step in result["steps"]]


# Sources and destinations --------------------------------------------------------------------------------------------


def test_nothing_is_there(run, options):
    result = run(options)
    assert states(result) == [("source", "done"), ("copy", "missing")]
    assert (result["ready"], result["next_action"]) == (False, "Run modelops.serving.model_sync.")
    assert not result.get("changed")
    assert not result.get("failed")
    assert result["revision"] in result["steps"][0]["message"]


def test_ready_and_outdated(run, synced, tmp_path):
    ready = run(synced)
    assert states(ready) == [("source", "done"), ("copy", "done")]
    assert (ready["ready"], ready["next_action"]) == (True, "")
    (tmp_path / "source" / "more.json").write_text("{}")
    outdated = run(synced)
    assert states(outdated) == [("source", "done"), ("copy", "outdated")]
    assert ready["revision"] in outdated["steps"][1]["message"]
    assert outdated["revision"] in outdated["steps"][1]["message"]
    without_source = run({key: value for key, value in synced.items() if key != "source"})
    assert (without_source["ready"], without_source["revision"]) == (True, ready["revision"])
    assert run({**synced, "source": {"type": "in_place"}})["ready"]


def test_each_destination_for_itself(run, synced, tmp_path):
    (tmp_path / "other").mkdir()
    broken = {"type": "local", "path": str(tmp_path / "models" / "a" / "b" / "config.json")}
    empty = {"type": "local", "path": str(tmp_path / "other")}
    result = run({**synced, "destinations": [broken, *synced["destinations"], empty]})
    assert states(result)[1:] == [("copy", "failed"), ("copy", "done"), ("copy", "missing")]


def test_verification_reads_the_copies(run, synced, tmp_path):
    copy = tmp_path / "models" / "a" / "b" / "config.json"
    there = copy.stat()
    copy.write_text("[]")
    os.utime(copy, ns=(there.st_atime_ns, there.st_mtime_ns))
    result = run({**synced, "verify": True})
    assert states(result) == [("source", "done"), ("copy", "failed")]
    assert "config.json" in result["steps"][1]["message"]


def test_source_that_cannot_be_read(run, synced, tmp_path):
    shutil.rmtree(tmp_path / "source")
    result = run(synced)
    assert states(result) == [("source", "failed"), ("copy", "done")]
    assert (result["ready"], bool(result["next_action"])) == (False, True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"destinations": None, "source": None}, "one of the following is required"),
        ({"job_name": "x"}, "namespace"),
        ({"name": "../x"}, "../x"),
        ({"wait": True, "destinations": []}, "nothing to wait for"),
        ({"source": {"type": "s3"}}, "bucket"),
    ],
)
def test_bad_input(run, options, changes, message):
    given = {key: value for key, value in {**options, **changes}.items() if value is not None}
    result = run(given)
    assert result["failed"]
    assert message in result["msg"]


# The cluster ---------------------------------------------------------------------------------------------------------


class Cluster:
    """Answers from objects given to it, as the client does."""

    def __init__(self):
        self.objects, self.refused, self.log = {}, set(), ""

    def add(self, obj):
        self.objects[Ref.of(obj)] = obj

    def get(self, ref):
        if ref.kind in self.refused:
            raise ApiError(f"GET of {ref} is forbidden.", hint="Give a Role.", status=403)
        return self.objects.get(ref)

    def list(self, api_version, kind, namespace=None, *, labels="", fields=""):
        return [obj for ref, obj in self.objects.items() if (ref.api_version, ref.kind) == (api_version, kind)]

    def serves(self, api_version, kind):
        return True

    def logs(self, namespace, pod, container, *, tail=None, **_options):
        assert (namespace, container) == ("demo", "sync")
        return self.log


@pytest.fixture
def cluster(monkeypatch):
    found = Cluster()
    monkeypatch.setattr(auth, "connect", lambda module: found)
    return found


def metadata(name, uid, **more):
    return {"name": name, "namespace": "demo", "uid": uid, "creationTimestamp": "2026-11-21T09:30:00Z", **more}


TEMPLATE = {
    "spec": {
        "containers": [{"name": "sync", "volumeMounts": [{"name": "token", "mountPath": "/token"}]}],
        "volumes": [{"name": "token", "secret": {"secretName": "hf", "items": [{"key": "token", "path": "token"}]}}],
    }
}
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata("hf", "s"), "data": {"token": "Y2FuYXJ5"}}


def job(name=NAME, *, uid="j", owner=None, **status):
    owners = {"ownerReferences": [{"uid": owner}]} if owner else {}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(name, uid, **owners),
        "spec": {"selector": {"matchLabels": {"job-name": name}}, "template": TEMPLATE},
        "status": status,
    }


def pod(phase):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata("p", "p", ownerReferences=[{"uid": "j"}]),
        "spec": TEMPLATE["spec"],
        "status": {"phase": phase, "conditions": [{"type": "Ready", "status": "True"}]},
    }


COMPLETE = {"conditions": [{"type": "Complete", "status": "True"}], "succeeded": 1}
FAILED = {"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}], "failed": 4}


def test_job_and_its_secret(run, options, cluster):
    given = {**options, "namespace": "demo"}
    nothing = run(given)
    assert states(nothing) == [("source", "done"), ("job", "missing"), ("copy", "missing")]
    assert nothing["next_action"] == "Run modelops.serving.model_sync_job."

    cluster.add(job(active=1))
    missing = run(given)
    assert states(missing) == [("source", "done"), ("secret", "missing"), ("job", "waiting"), ("copy", "waiting")]
    assert "kubectl create secret generic hf --namespace demo" in missing["next_action"]

    cluster.add(SECRET)
    cluster.add(pod("Running"))
    cluster.log = json.dumps({"phase": "move", "bytes_done": 1, "bytes_total": 4}) + "\n"
    runs = run(given)
    assert states(runs) == [("source", "done"), ("secret", "done"), ("job", "running"), ("copy", "waiting")]
    assert runs["steps"][2]["subject"] == f"Job demo/{NAME}"
    assert runs["steps"][2]["message"] == "Move, 25 %."
    assert "Y2FuYXJ5" not in json.dumps(runs)

    cluster.add(job(**FAILED))
    assert states(run(given))[2:] == [("job", "failed"), ("copy", "missing")]
    cluster.add(job(**COMPLETE))
    ended = run(given)
    assert states(ended)[2:] == [("job", "done"), ("copy", "missing")]
    assert "run: always" in ended["next_action"]


def test_job_by_another_name(run, synced, cluster):
    cluster.add(job("mine", **COMPLETE))
    cluster.add(SECRET)
    result = run({**synced, "namespace": "demo", "job_name": "mine"})
    assert result["ready"]
    assert result["steps"][2]["subject"] == "Job demo/mine"
    assert run({**synced, "namespace": "demo"})["ready"]  # a Job that is gone is missed by nobody


def test_cron_job_with_its_newest_job(run, options, cluster):
    ref = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata(NAME, "c")}
    cluster.add({**ref, "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": TEMPLATE}}}})
    given = {**options, "namespace": "demo"}
    assert states(run(given)) == [("source", "done"), ("secret", "missing"), ("job", "waiting"), ("copy", "missing")]
    older = job("older", uid="1", owner="c", **FAILED)
    older["metadata"]["creationTimestamp"] = "2026-11-20T03:00:00Z"
    foreign = job("foreign", uid="3", owner="x", **FAILED)
    foreign["metadata"]["creationTimestamp"] = "2026-11-22T03:00:00Z"
    for one in (older, job("newest", uid="2", owner="c", **COMPLETE), foreign):
        cluster.add(one)
    result = run(given)
    assert states(result)[2] == ("job", "done")
    assert result["steps"][2]["subject"] == f"CronJob demo/{NAME}"
    assert "Job newest:" in result["steps"][2]["message"]


def test_cluster_that_refuses_or_is_not_there(run, synced, cluster, monkeypatch):
    given = {**synced, "namespace": "demo"}
    cluster.add(job(**COMPLETE))
    cluster.refused = {"Secret"}
    secret = run(given)
    assert states(secret)[1:3] == [("secret", "unknown"), ("job", "done")]
    assert (secret["steps"][1]["next"], secret["ready"]) == ("Give a Role.", True)
    cluster.refused = {"Job"}
    assert states(run(given))[1:] == [("job", "unknown"), ("copy", "done")]

    def connect(module):
        raise KubeError("The kubeconfig names no server.", hint="Give one.")

    monkeypatch.setattr(auth, "connect", connect)
    result = run(given)
    assert states(result)[1:] == [("job", "unknown"), ("copy", "done")]
    assert result["steps"][1]["message"] == "The kubeconfig names no server."
    assert not result.get("failed")


def test_kubeconfig_is_hidden_without_a_cluster_too(run, options):
    users = [{"name": "me", "user": {"token": "canary-of-a-test"}}]
    assert "canary-of-a-test" not in json.dumps(run({**options, "kubeconfig": {"users": users}}))


# Waiting -------------------------------------------------------------------------------------------------------------


def test_wait_until_ready(run, options, clock, capsys):
    def sync():
        with patch_module_args(options), contextlib.suppress(SystemExit):
            model_sync.main()
        capsys.readouterr()

    clock.events[30] = sync
    result = run({**options, "wait": True, "wait_timeout": 600, "verify": True})
    assert (result.get("failed", False), result["ready"]) == (False, True)
    assert 30 <= sum(clock.pauses) < 40
    assert clock.pauses[:4] == [2.0, 3.0, 4.5, 6.75]
    assert max(clock.pauses) == 10.0


def test_wait_ends_at_its_deadline(run, options, clock):
    result = run({**options, "wait": True, "wait_timeout": 25})
    assert result["failed"]
    assert sum(clock.pauses) == 25
    assert result["msg"].startswith("a/b is not ready after 25 seconds. ")
    assert result["msg"].endswith("/a/b/ is missing: There is no copy. Run modelops.serving.model_sync.")
    assert states(result) == [("source", "done"), ("copy", "missing")]


def test_wait_ends_with_a_failed_job_and_bears_with_a_missing_secret(run, options, cluster, clock):
    given = {**options, "namespace": "demo", "wait": True, "wait_timeout": 600}
    cluster.add(job(active=1))
    clock.events[5] = lambda: cluster.add(SECRET)
    clock.events[60] = lambda: cluster.add(job(**FAILED))
    result = run(given)
    assert result["failed"]
    assert 60 <= sum(clock.pauses) < 75
    assert "will not become ready by itself" in result["msg"]
    assert f"Job demo/{NAME} is failed: " in result["msg"]


def test_wait_ends_with_a_secret_that_does_not_come(run, options, cluster, clock):
    cluster.add(job(active=1))
    result = run({**options, "namespace": "demo", "wait": True, "wait_timeout": 600})
    assert result["failed"]
    assert 10 <= sum(clock.pauses) < 20
    assert "kubectl create secret generic hf" in result["msg"]
