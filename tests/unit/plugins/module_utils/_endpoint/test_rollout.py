# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._endpoint import rollout
from ansible_collections.modelops.serving.plugins.module_utils._kube.apply import MANAGER, Change, apply
from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Ref
from ansible_collections.modelops.serving.plugins.module_utils._kube.objects import prepare
from ansible_collections.modelops.serving.plugins.module_utils._kube.wait import Waiter, judge
from ansible_collections.modelops.serving.plugins.module_utils._serving.build import Features
from ansible_collections.modelops.serving.plugins.module_utils._serving.extras import Autoscaling, Extras, Ladder
from ansible_collections.modelops.serving.plugins.module_utils._tpu.capacity import Capacity
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._kube.fakes import (
    FakeApi,
    server_side_apply,
)
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._serving.instances import cpu, instance, tpu

OWN = {
    "app.kubernetes.io/managed-by": "modelops.serving",
    "app.kubernetes.io/instance": "gemma",
    "app.kubernetes.io/part-of": "serving",
}


def test_objects_carry_the_labels_by_which_they_are_found():
    objects = rollout.definitions(cpu(), Extras(), Features())
    assert all(OWN.items() <= obj["metadata"]["labels"].items() for obj in objects)
    ours = rollout.everything("gemma", "serving", Features())
    assert dict(pair.split("=") for pair in ours.selector.split(",")) == OWN
    assert {(obj["apiVersion"], obj["kind"]) for obj in objects} <= set(ours.kinds)


def test_what_the_whole_cluster_shares_belongs_to_no_instance():
    made = instance(hardware=tpu(capacity=Capacity("compute_class", compute_class="ladder")))
    objects = rollout.definitions(made, Extras(ladder=Ladder("ladder", (Capacity(),))), Features())
    (shared,) = (obj for obj in objects if obj["kind"] == "ComputeClass")
    assert shared["metadata"]["labels"] == {**OWN, "app.kubernetes.io/instance": "ladder"}
    assert "namespace" not in shared["metadata"]
    assert "ComputeClass" not in dict(map(reversed, rollout.everything("gemma", "serving", Features()).kinds))


def test_old_clusters_have_old_versions():
    features = Features.of((1, 20))
    objects = rollout.definitions(cpu(), Extras(Autoscaling(2)), features)
    versions = {obj["kind"]: obj["apiVersion"] for obj in objects}
    assert versions["PodDisruptionBudget"] == "policy/v1beta1"
    assert versions["HorizontalPodAutoscaler"] == "autoscaling/v2beta2"
    assert set(map(tuple, map(reversed, versions.items()))) <= set(rollout.everything("g", "s", features).kinds)
    assert Features.of((1, 22)).versions == {"HorizontalPodAutoscaler": "autoscaling/v2beta2"}
    assert Features.of((1, 23)) == Features()


def test_a_job_set_of_servers_is_ready_when_its_jobs_are():
    jobs = [{"name": "a", "replicas": 2}, {"name": "b"}]
    obj = {"apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet", "metadata": {"name": "s"}}
    obj["spec"] = {"replicatedJobs": jobs}
    (target,) = rollout.targets([obj])
    assert judge(target, obj).state == "waiting"
    assert rollout.replicas(obj) == (3, 0)
    obj["status"] = {"replicatedJobsStatus": [{"name": "a", "ready": 2}, {"name": "b", "ready": 0}]}
    assert judge(target, obj).state == "waiting"
    obj["status"]["replicatedJobsStatus"][1]["ready"] = 1
    assert judge(target, obj).state == "ready"
    assert rollout.replicas(obj) == (3, 3)


def test_replicas():
    workload = {"kind": "Deployment", "spec": {"replicas": 2}, "status": {"readyReplicas": 1}}
    assert rollout.replicas(workload) == (2, 1)
    assert rollout.replicas({"kind": "Deployment", "spec": {"replicas": 0}}) == (0, 0)


def test_what_was_applied_is_found_again_beside_what_others_added():
    (wanted,) = (obj for obj in rollout.definitions(cpu(), Extras(), Features()) if obj["kind"] == "Deployment")
    live = server_side_apply(None, wanted, MANAGER)
    added = {**wanted, "metadata": {**wanted["metadata"], "labels": {"theirs": "x"}}}
    containers = [{"name": "server", "tty": True}, {"name": "mesh", "image": "mesh"}]
    added["spec"] = {"minReadySeconds": 3, "template": {"spec": {"containers": containers}}}
    live = server_side_apply(live, added, "somebody")
    live["status"] = {"replicas": 1}
    assert {"mesh", "server"} == {item["name"] for item in live["spec"]["template"]["spec"]["containers"]}
    assert rollout.applied(live) == wanted


@pytest.mark.parametrize("others", [[], [{"manager": "somebody", "operation": "Update", "fieldsV1": {"f:data": {}}}]])
def test_of_what_is_not_ours_nothing_was_applied(others):
    live = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "managedFields": others}, "data": {}}
    assert rollout.applied(live) == {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}


def test_sets_are_taken_apart_by_their_values():
    fields = {"f:metadata": {"f:finalizers": {".": {}, 'v:"ours"': {}}}}
    live = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "finalizers": ["ours", "theirs"]}}
    live["metadata"]["managedFields"] = [{"manager": MANAGER, "operation": "Apply", "fieldsV1": fields}]
    assert rollout.applied(live)["metadata"]["finalizers"] == ["ours"]


def config_map(name, **data):
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "ns"}, "data": data}
    return prepare([body])[0]


def test_going_back_undoes_each_change():
    api = FakeApi()
    client = api.client()
    apply(client, [config_map("changed", a="1", b="2"), config_map("deleted", a="1")])
    before = {path: {**obj["data"]} for path, obj in api.objects.items()}
    changes = apply(client, [config_map("changed", a="2", c="3"), config_map("created", a="1")])
    deleted = Ref("v1", "ConfigMap", "deleted", "ns")
    changes.append(Change(deleted, "delete", client.get(deleted), None))
    client.delete(deleted)
    waited = []

    class Watch(Waiter):
        def wait_gone(self, refs):
            waited.extend(refs)

    rollout.go_back(client, changes, Watch(client, timeout=5))
    assert waited == [Ref("v1", "ConfigMap", "created", "ns")]
    assert {path: obj["data"] for path, obj in api.objects.items()} == before


def test_a_restart_of_ours_is_remembered_and_one_of_others_left_to_them():
    api = FakeApi()
    api.kinds["policy/v1"] = {"poddisruptionbudgets": ("PodDisruptionBudget", True)}
    client = api.client()
    objects = rollout.definitions(cpu(), Extras(), Features())
    assert rollout.restarted_at(client, objects) is None
    apply(client, objects)
    (deployment,) = (obj for obj in objects if obj["kind"] == "Deployment")
    theirs = {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "theirs"}}}
    client.apply({**deployment, "spec": {"template": theirs}}, manager="kubectl-rollout")
    assert rollout.restarted_at(client, objects) is None
    api.objects.clear()
    apply(client, rollout.definitions(cpu(restarted_at="ours"), Extras(), Features()))
    assert rollout.restarted_at(client, objects) == "ours"
