# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounts without a volume are found in every kind that holds Pods."""

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import InputError
from ansible_collections.modelops.serving.plugins.module_utils._kube.objects import prepare


def nested(path, pod):
    for key in reversed(path.split(".")):
        pod = [pod] if key == "[]" else {key: pod}
    return pod


KINDS = {
    ("v1", "Pod"): "spec",
    ("v1", "PodTemplate"): "template.spec",
    ("v1", "ReplicationController"): "spec.template.spec",
    ("apps/v1", "Deployment"): "spec.template.spec",
    ("apps/v1", "StatefulSet"): "spec.template.spec",
    ("apps/v1", "DaemonSet"): "spec.template.spec",
    ("apps/v1", "ReplicaSet"): "spec.template.spec",
    ("batch/v1", "Job"): "spec.template.spec",
    ("batch/v1", "CronJob"): "spec.jobTemplate.spec.template.spec",
    ("batch/v1beta1", "CronJob"): "spec.jobTemplate.spec.template.spec",
    ("jobset.x-k8s.io/v1alpha2", "JobSet"): "spec.replicatedJobs.[].template.spec.template.spec",
    ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet"): "spec.leaderWorkerTemplate.workerTemplate.spec",
}


def definition(kind, pod, path=None):
    api_version, name = kind
    metadata = {"name": "server", "namespace": "demo"}
    return {"apiVersion": api_version, "kind": name, "metadata": metadata, **nested(path or KINDS[kind], pod)}


def pod(*mounts, volumes=("model",), container="containers"):
    mounts = [{"name": name, "mountPath": path} for name, path in mounts]
    return {
        "containers": [{"name": "main"}],
        container: [{"name": "vllm", "volumeMounts": mounts}],
        "volumes": [{"name": name, "emptyDir": {}} for name in volumes],
    }


GOOD = pod(("model", "/models"), ("token", "/run/token"), volumes=("token", "model"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("container", ["initContainers", "containers", "ephemeralContainers"])
def test_a_mount_needs_a_volume(kind, container):
    assert prepare([definition(kind, GOOD)])
    wrong = pod(("token-read", "/run/token"), volumes=("token", "model"), container=container)
    with pytest.raises(InputError) as raised:
        prepare([definition(kind, wrong)])
    said = f"{kind[1]} demo/server: container vllm mounts the volume token-read at /run/token, and there is none"
    assert said in raised.value.message
    assert raised.value.hint == "The volumes of its Pod are: model, token."


def test_a_path_is_mounted_once():
    wrong = pod(("model", "/models"), ("token", "/models/"), volumes=("token", "model"))
    with pytest.raises(InputError, match=r"container vllm mounts two volumes at /models/: model and token\."):
        prepare([definition(("apps/v1", "Deployment"), wrong)])


def test_each_container_has_paths_of_its_own():
    spec = pod(("model", "/models"))
    spec["initContainers"] = spec["containers"]
    assert prepare([definition(("v1", "Pod"), spec)])


def test_claims_of_a_stateful_set_are_volumes():
    obj = definition(("apps/v1", "StatefulSet"), pod(("cache", "/cache"), volumes=()))
    with pytest.raises(InputError, match=r"The volumes of its Pod are: none\."):
        prepare([obj])
    obj["spec"]["volumeClaimTemplates"] = [{"metadata": {"name": "cache"}}]
    assert prepare([obj])


def test_every_template_of_a_set_is_looked_at():
    kind = ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet")
    obj = definition(kind, GOOD)
    templates = obj["spec"]["leaderWorkerTemplate"]
    assert prepare([obj])
    templates["leaderTemplate"] = {"spec": pod(("shm", "/dev/shm"))}
    with pytest.raises(InputError, match="mounts the volume shm"):
        prepare([obj])


def test_kinds_whose_pods_others_complete_are_left_alone():
    wrong = pod(("config", "/etc/config"), volumes=())
    assert prepare([definition(("monitoring.coreos.com/v1", "Prometheus"), wrong, "spec")])


@pytest.mark.parametrize(
    "broken", [{"volumes": "x"}, {"containers": [1]}, {"containers": [{"volumeMounts": {"a": 1}}]}]
)
def test_what_is_no_pod_at_all_is_for_the_api_server(broken):
    assert prepare([definition(("v1", "Pod"), {**pod(volumes=()), **broken})])
