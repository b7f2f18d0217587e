# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The door of checkpoint_conversion: options in, results out, against an API server in memory."""

from __future__ import annotations

import base64
import contextlib
import json

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

from ansible_collections.modelops.serving.plugins.module_utils import _cluster_door
from ansible_collections.modelops.serving.plugins.modules import checkpoint_conversion
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._kube.fakes import Answer, FakeApi, refuse

LOADER = {
    "model": "google/gemma/maxtext/7b-it/2",
    "bucket": "models",
    "secret": "kaggle",
    "accelerator": {"generation": "v5e", "topology": "2x4", "machine_type": "ct5lp-hightpu-8t"},
}
LLAMA = {"size": "7b", "source": "gs://models/llama", "destination": "gs://models/pax", "image": "converter:1"}
NAMES = {"name": "convert", "namespace": "ns"}
JETSTREAM = {**NAMES, "jetstream": LOADER}
SAXML = {**NAMES, "saxml": LLAMA}
JOB = "/apis/batch/v1/namespaces/ns/jobs/convert"
SECRET = "/api/v1/namespaces/ns/secrets/kaggle"


class Cluster(FakeApi):
    """A Job ends at its first look with ``end``, a condition; its template cannot be changed."""

    def __init__(self):
        super().__init__()
        self.kinds["v1"].update(nodes=("Node", False), events=("Event", True))
        self.version, self.end = "30", "Complete"
        self.rules.append(self._rule)

    def _rule(self, asked):
        if asked.path == "/version":
            return Answer(200, {"major": "1", "minor": self.version})
        job = self.objects.get(JOB) if asked.path == JOB else None
        if job and asked.method == "PATCH" and asked.body["spec"]["template"] != job["spec"]["template"]:
            return refuse(422, "spec.template: Invalid value: field is immutable", "Invalid")
        if job and asked.method == "GET" and self.end:
            job["status"] = {"conditions": [{"type": self.end, "status": "True", "reason": "Told"}]}
        return None

    def node(self, labels, **allocatable):
        status = {"conditions": [{"type": "Ready", "status": "True"}], "allocatable": allocatable}
        self.objects["/api/v1/nodes/n"] = {"metadata": {"name": "n", "labels": labels}, "status": status}

    def secret(self, **values):
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        self.objects[SECRET] = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "kaggle"}, "data": data}

    @property
    def job(self):
        return self.objects[JOB]["spec"]


@pytest.fixture
def api(monkeypatch):
    fake = Cluster()
    fake.node(
        {
            "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
            "cloud.google.com/gke-tpu-topology": "2x4",
        },
        **{"google.com/tpu": "8", "memory": "100G"},
    )
    fake.secret(username="alice", key="k-value-1")
    monkeypatch.setattr(_cluster_door, "connect", lambda _module: fake.client())
    return fake


@pytest.fixture
def run(api, capsys):
    def call(options, *, check=False, diff=False):
        given = {**options, "_ansible_check_mode": check, "_ansible_diff": diff}
        api.asked.clear()
        with patch_module_args(given), contextlib.suppress(SystemExit):
            checkpoint_conversion.main()
        return json.loads(capsys.readouterr().out)

    return call


def actions(result):
    return {item["kind"]: item["action"] for item in result["objects"]}


@pytest.mark.parametrize(
    ("options", "change"), [(JETSTREAM, {"jetstream": {**LOADER, "bucket": "others"}}), (SAXML, {"deadline": 9})]
)
def test_twelve_steps(run, api, options, change):
    results = []
    absent = {**NAMES, "state": "absent"}
    for number, given in enumerate(given for given in (options, {**options, **change}, absent) for _time in range(4)):
        results.append(run(given, check=number % 2 == 0, diff=True))
        assert bool(api.writes) == (number in (1, 5, 9)), (number, results[-1], api.writes)
    assert [result["changed"] for result in results] == [True, True, False, False] * 3
    for predicted, actual in zip(results[::2], results[1::2], strict=True):
        assert predicted["objects"] == actual["objects"] and len(predicted["diff"]) == len(actual["diff"])
    assert actions(results[5]) == {"ServiceAccount": "none", "Job": "replace" if options is JETSTREAM else "update"}
    complete = [result.get("complete") for result in results[:8]]
    assert complete == [False, True, True, True, options is SAXML, True, True, True]
    assert "/jobs/" not in str(api.objects.keys()) and SECRET in api.objects


def test_a_job_that_failed_is_replaced_once(run, api):
    api.end = "Failed"
    failed = run(JETSTREAM)
    assert failed["failed"] and "Job ns/convert failed" in failed["msg"] and "run this again" in failed["error"]["hint"]
    assert actions(failed) == {"ServiceAccount": "create", "Job": "create"} and not failed["complete"]
    first = api.objects[JOB]["metadata"]["uid"]
    assert actions(run(JETSTREAM, check=True))["Job"] == "replace" and not api.writes
    api.end = None
    assert actions(run({**JETSTREAM, "wait": False}))["Job"] == "replace"
    assert api.objects[JOB]["metadata"]["uid"] != first
    api.end = "Complete"
    again = run(JETSTREAM)
    assert again["complete"] and not again["changed"] and not api.writes


def test_a_job_that_runs_is_waited_for(run, api):
    api.end = None
    assert not run({**JETSTREAM, "wait": False})["complete"]
    late = run({**JETSTREAM, "wait_timeout": 0})
    assert "is not ready after" in late["msg"] and "The Job goes on" in late["error"]["hint"]
    api.end = "Complete"
    assert run(JETSTREAM)["complete"] and not api.writes


def test_older_clusters_get_no_policy_that_they_would_drop(run, api):
    run(JETSTREAM)
    assert "podFailurePolicy" in api.job
    del api.objects[JOB]
    api.version = "25"
    run(JETSTREAM)
    assert "podFailurePolicy" not in api.job


@pytest.mark.parametrize(
    ("values", "message"),
    [({"username": "alice"}, "neither the key kaggle.json nor key"), (None, "Secret ns/kaggle is not there")],
)
def test_credentials_of_kaggle_are_looked_at_first(run, api, values, message):
    del api.objects[SECRET]
    if values:
        api.secret(**values)
    for check in (True, False):
        refused = run(JETSTREAM, check=check)
        assert refused["failed"] and message in refused["msg"] and "kaggle.json" in refused["error"]["hint"]
        assert not api.writes


def test_who_may_not_read_the_secret_is_warned(run, api):
    api.rules.append(lambda asked: refuse(403, "no", "Forbidden") if asked.path == SECRET else None)
    result = run(JETSTREAM)
    assert result["complete"] and any("was not checked" in str(warning) for warning in result["warnings"])


@pytest.mark.parametrize("values", [{"username": "alice", "key": "k-value-1"}, {"kaggle.json": '{"key": "k-value-1"}'}])
def test_keys_of_kaggle_are_in_no_message(run, api, values):
    api.secret(**values)
    api.end = "Failed"
    told = {"type": "Warning", "reason": "Odd", "message": "said k-value-1", "lastTimestamp": "2026-01-01T00:00:00Z"}
    involved = {"apiVersion": "batch/v1", "kind": "Job", "name": "convert", "namespace": "ns"}
    event = {"metadata": {"name": "e", "namespace": "ns"}, "involvedObject": involved, **told}
    api.objects["/api/v1/namespaces/ns/events/e"] = event
    failed = run(JETSTREAM)
    assert "said ****" in failed["msg"] and "k-value-1" not in json.dumps(failed)


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"size": "13b"}, "Pods with 120G of memory each; .* The largest of these nodes has 100.0G", "n2-highmem-32"),
        ({"memory": 101}, "Pods with 101G of memory each", "n2-highmem-16"),
        ({"node_selector": {"pool": 1}}, "each, pool=1; there is room for 0.* No ready node has these labels", "n2"),
        ({"size": "70b", "node_memory": 256}, "takes about 600 GB of memory.* the nodes have 256 GB", "n2-highmem-96"),
        ({"memory": 50}, "takes about 60 GB of memory, and the limit is 50 GB", "raise it"),
    ],
)
def test_too_little_memory_is_refused_with_numbers(run, api, options, message, hint):
    refused = run({**NAMES, "saxml": {**LLAMA, **options}})
    assert refused["failed"] and hint in refused["error"]["hint"] and not api.writes
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(refused["error"]["message"])


def test_nodes_that_come_later(run, api):
    large = {**NAMES, "saxml": {**LLAMA, "size": "70b"}}
    assert run({**large, "check_nodes": False}, check=True)["changed"]
    assert run({**NAMES, "saxml": {**large["saxml"], "node_memory": 768}}, check=True)["changed"]
    path = "/api/v1/namespaces/kube-system/configmaps/cluster-autoscaler-status"
    api.objects[path] = {"metadata": {"name": "cluster-autoscaler-status"}}
    result = run(large, check=True)
    assert any("autoscaler has to make the others" in str(warning) for warning in result["warnings"])


def test_a_conversion_that_has_ended_needs_nothing_any_more(run, api):
    run(JETSTREAM)
    del api.objects[SECRET], api.objects["/api/v1/nodes/n"]
    changed = run({**JETSTREAM, "service_account_annotations": {"a": 1}})
    assert actions(changed) == {"ServiceAccount": "update", "Job": "none"} and changed["complete"]


def test_another_account_takes_the_old_one_along(run, api):
    run(JETSTREAM)
    changed = run({**JETSTREAM, "service_account": "robot"})
    assert actions(changed) == {"ServiceAccount": "delete", "Job": "replace"}


def test_a_slice_without_nodes(run, api):
    refused = run({**NAMES, "jetstream": {**LOADER, "accelerator": {"generation": "v6e", "topology": "2x2"}}})
    assert "4 of google.com/tpu each" in refused["msg"] and "1 tpu-v5-lite-podslice 2x4" in refused["msg"]


def test_files_for_gitops(run, api, tmp_path):
    given = {**JETSTREAM, "render_to": str(tmp_path), "argo": True}
    assert [run(given)["changed"], run(given)["changed"]] == [True, False]
    assert not api.asked
    (job,) = (found for path in tmp_path.iterdir() if (found := yaml.safe_load(path.read_text()))["kind"] == "Job")
    assert job["metadata"]["annotations"]["argocd.argoproj.io/hook"] == "Sync"
    assert "podFailurePolicy" in job["spec"]
    assert run({**NAMES, "state": "absent", "render_to": str(tmp_path)})["changed"] and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (NAMES, "state is present but any of the following are missing: jetstream, saxml"),
        ({**JETSTREAM, "saxml": LLAMA}, "mutually exclusive: jetstream|saxml"),
        ({**JETSTREAM, "argo": True}, "render_to"),
        ({**NAMES, "jetstream": {**LOADER, "bucket": "gs://models"}}, "is not the name of a bucket"),
        ({**NAMES, "jetstream": {**LOADER, "accelerator": {"generation": "v5e", "topology": "4x4"}}}, "one host"),
        ({**NAMES, "saxml": {**LLAMA, "size": "8b"}}, "value of size must be one of: 7b, 13b, 70b"),
        ({**SAXML, "deadline": 0}, "Give seconds, at least 1"),
    ],
)
def test_options_that_cannot_be(run, api, options, message):
    refused = run(options)
    assert refused["failed"] and message in refused["msg"]
    assert not api.writes
