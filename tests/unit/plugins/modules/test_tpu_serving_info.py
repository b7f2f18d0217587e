# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tpu_serving_info against an API server in memory, with the objects that our own builder makes."""

from __future__ import annotations

import contextlib
import json

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.modelops.serving.plugins.module_utils._endpoint.rollout import PART_OF
from ansible_collections.modelops.serving.plugins.module_utils._kube import auth
from ansible_collections.modelops.serving.plugins.module_utils._kube.objects import prepare
from ansible_collections.modelops.serving.plugins.module_utils._serving import build
from ansible_collections.modelops.serving.plugins.modules import tpu_serving_info
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._kube.fakes import FakeApi, refuse
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._serving import instances

GROUPS = {"leaderworkerset.x-k8s.io/v1": "LeaderWorkerSet", "jobset.x-k8s.io/v1alpha2": "JobSet"}
READY = {"observedGeneration": 0, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1, "readyReplicas": 1}
SAXML = {"engine": "saxml", "settings": {"bucket": "cells"}, "hardware": instances.tpu("v5e", "4x4")}


@pytest.fixture
def api(monkeypatch):
    fake = FakeApi()
    fake.kinds["policy/v1"] = {"poddisruptionbudgets": ("PodDisruptionBudget", True)}
    fake.kinds["v1"]["events"] = ("Event", True)
    monkeypatch.setattr(auth, "connect", lambda _module: fake.client())
    return fake


@pytest.fixture
def has(api):
    """Makes an instance with the labels of its owner, and gives its workload the status."""

    def make(status, kind="Deployment", workload=None, **given):
        made = instances.instance(**given)
        for group, other in GROUPS.items():
            api.kinds[group] = {f"{other.lower()}s": (other, True)}
        for obj in prepare(build.objects(made), instance=made.name, part_of=PART_OF):
            api.client().apply(obj, manager="m")
        end = f"/{kind.lower()}s/{workload or made.name}"
        (found,) = (obj for path, obj in api.objects.items() if path.endswith(end))
        found["status"] = status

    return make


@pytest.fixture
def run(api, capsys):
    def call(**options):
        api.asked.clear()
        with patch_module_args(options), contextlib.suppress(SystemExit):
            tpu_serving_info.main()
        assert not api.writes
        return json.loads(capsys.readouterr().out)

    return call


def test_one_that_serves_and_one_that_does_not(run, has, api):
    has(READY, name="good", hardware=instances.tpu(topology="2x2"), image="server:1")
    has({"observedGeneration": 0, "replicas": 1, "updatedReplicas": 1}, name="bad", hardware=instances.tpu())
    waiting = {"reason": "ErrImagePull", "message": "not found"}
    selector = {"app.kubernetes.io/instance": "bad", "app.kubernetes.io/component": "server"}
    (bad,) = (obj for path, obj in api.objects.items() if path.endswith("/deployments/bad"))
    replica_set = owned("apps/v1", "ReplicaSet", "bad-1", bad, selector, spec={"selector": {"matchLabels": selector}})
    api.objects["/apis/apps/v1/namespaces/serving/replicasets/bad-1"] = replica_set
    pod = owned("v1", "Pod", "bad-1-x", replica_set, selector, spec={"containers": [{"name": "server"}]})
    pod["status"] = {"phase": "Pending", "containerStatuses": [{"name": "server", "state": {"waiting": waiting}}]}
    api.objects["/api/v1/namespaces/serving/pods/bad-1-x"] = pod

    found = run(namespace="serving")["instances"]
    assert [item["name"] for item in found] == ["bad", "good"]
    assert found[1] == {
        "name": "good",
        "namespace": "serving",
        "engine": "vllm",
        "image": "server:1",
        "endpoint": "http://good.serving.svc:8000",
        "replicas": 1,
        "ready_replicas": 1,
        "ready": True,
        "status": "",
        "problems": [],
    }
    assert (found[0]["ready"], found[0]["ready_replicas"]) == (False, 0)
    (problem,) = found[0]["problems"]
    assert (problem["reason"], problem["object"]) == ("ErrImagePull", "Pod serving/bad-1-x")
    assert "not found" in problem["message"]

    assert run(namespace="serving", name="good")["instances"] == [found[1]]
    assert run(namespace="other")["instances"] == run(namespace="serving", name="none")["instances"] == []


def owned(api_version, kind, name, owner, labels, **content):
    reference = {"kind": owner["kind"], "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}
    metadata = {"name": name, "namespace": "serving", "uid": name, "labels": labels, "ownerReferences": [reference]}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **content}


def test_a_group_counts_groups(run, has):
    status = {"readyReplicas": 1, "conditions": [{"type": "Available", "status": "False"}]}
    has(status, "LeaderWorkerSet", hardware=instances.tpu(topology="4x4"), replicas=2)
    (found,) = run(namespace="serving")["instances"]
    assert (found["replicas"], found["ready_replicas"], found["ready"]) == (2, 1, False)
    assert found["status"].startswith("LeaderWorkerSet serving/gemma: 1/2 groups ready")
    assert (found["engine"], found["image"].partition(":")[0]) == ("vllm", "docker.io/vllm/vllm-tpu")


def test_a_server_with_helpers_counts_its_jobs(run, has, api):
    has({"replicatedJobsStatus": [{"name": "model", "ready": 1}]}, "JobSet", workload="gemma-model", **SAXML)
    (found,) = run(namespace="serving")["instances"]
    assert (found["engine"], found["replicas"], found["ready_replicas"], found["ready"]) == ("saxml", 1, 1, False)
    assert found["endpoint"] == "http://gemma.serving.svc:8888"
    helpers = "Deployment serving/gemma: 0/1 replicas available, 0 updated; Deployment serving/gemma-admin: 0/1"
    assert found["status"].startswith(helpers)
    for obj in api.objects.values():
        if obj["kind"] == "Deployment":
            obj["status"] = READY
    (found,) = run(namespace="serving")["instances"]
    assert found["ready"] and found["status"] == ""


def test_kserve_says_where_its_instances_are(run, has, api):
    has(READY)
    (deployment,) = (obj for path, obj in api.objects.items() if path.endswith("/deployments/gemma"))
    deployment["metadata"]["ownerReferences"] = [{"kind": "InferenceService", "name": "gemma", "uid": "1"}]
    api.kinds["serving.kserve.io/v1beta1"] = {"inferenceservices": ("InferenceService", True)}
    made = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": deployment["metadata"]}
    path = "/apis/serving.kserve.io/v1beta1/namespaces/serving/inferenceservices/gemma"
    api.objects[path] = made
    assert run(namespace="serving")["instances"][0]["endpoint"] is None
    made["status"] = {"address": {"url": "https://gemma-predictor.serving.svc.cluster.local:8443"}}
    assert run(namespace="serving")["instances"][0]["endpoint"] == made["status"]["address"]["url"]


def test_what_is_not_of_an_instance_is_none_of_its_business(run, has, api):
    has(READY)
    for obj in api.objects.values():
        obj["metadata"]["labels"]["app.kubernetes.io/part-of"] = "another"
    assert run(namespace="serving")["instances"] == []


def test_a_refusal(run, api):
    api.rules.append(lambda asked: refuse(403, "no", "Forbidden") if asked.path.endswith("/deployments") else None)
    result = run(namespace="serving")
    assert result["failed"] and result["error"]["kind"] == "ApiError"
