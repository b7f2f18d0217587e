# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.modelops.serving.plugins.module_utils._kube.objects import prepare
from ansible_collections.modelops.serving.plugins.module_utils._serving import build
from ansible_collections.modelops.serving.plugins.module_utils._serving.engine import DRAIN
from ansible_collections.modelops.serving.plugins.module_utils._serving.instance import (
    Bucket,
    Claim,
    Device,
    Hub,
    Stream,
)
from ansible_collections.modelops.serving.plugins.module_utils._tpu.capacity import Capacity
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._serving.instances import (
    Several,
    cpu,
    instance,
    of_kind,
    pod,
    tpu,
)


def kinds(made):
    return [obj["kind"] for obj in build.objects(made)]


def template(made):
    return of_kind("Deployment", made)["spec"]["template"]


def test_one_host_is_a_deployment_and_several_are_a_group():
    assert kinds(instance()) == ["ServiceAccount", "Deployment", "Service", "PodDisruptionBudget"]
    assert kinds(instance(hardware=tpu("v6e", "4x4")))[1] == "LeaderWorkerSet"


def test_pods_have_an_account_of_their_own():
    made = cpu(service_account_annotations={"eks.amazonaws.com/role-arn": "arn"})
    assert of_kind("ServiceAccount", made)["metadata"]["annotations"] == {"eks.amazonaws.com/role-arn": "arn"}
    assert pod(made)["serviceAccountName"] == "gemma"
    theirs = cpu(service_account="robot")
    assert "ServiceAccount" not in kinds(theirs)
    assert pod(theirs)["serviceAccountName"] == "robot"


def matches(labels, wanted):
    return wanted.items() <= labels.items()


def test_selectors_find_the_pods_and_outlive_a_change_of_options():
    for made in (instance(), instance(hardware=tpu("v6e", "4x4"))):
        main = build.objects(made)[1]["spec"]
        group = main.get("leaderWorkerTemplate")
        labels = (group["workerTemplate"] if group else main["template"])["metadata"]["labels"]
        assert matches(labels, of_kind("PodDisruptionBudget", made)["spec"]["selector"]["matchLabels"])
        wanted = of_kind("Service", made)["spec"]["selector"]
        if group:
            assert wanted.pop("leaderworkerset.sigs.k8s.io/worker-index") == "0"
        assert matches(labels, wanted)
    before = of_kind("Deployment", instance())["spec"]["selector"]
    assert before == of_kind("Deployment", cpu(labels={"a": "b"}, image="a:1"))["spec"]["selector"]
    assert before != of_kind("Deployment", instance(name="other"))["spec"]["selector"]


def test_labels_and_annotations_of_pods():
    made = instance(
        labels={"team": "ml", "app.kubernetes.io/instance": "theirs"},
        annotations={"note": "a"},
        model_weights=Bucket("models", "m"),
        restarted_at="2026-11-21T18:00:00Z",
    )
    metadata = template(made)["metadata"]
    assert metadata["labels"]["team"] == "ml"
    assert metadata["labels"]["app.kubernetes.io/instance"] == "gemma"
    assert metadata["annotations"]["note"] == "a"
    assert metadata["annotations"]["gke-gcsfuse/volumes"] == "true"
    assert metadata["annotations"]["kubectl.kubernetes.io/restartedAt"] == "2026-11-21T18:00:00Z"
    assert "annotations" not in template(cpu())["metadata"]


@pytest.mark.parametrize("hardware", [tpu(), tpu("v6e", "4x4")])
@pytest.mark.parametrize(
    ("surge", "pace"), [(0, {"maxSurge": 0, "maxUnavailable": 1}), (2, {"maxSurge": 2, "maxUnavailable": 0})]
)
def test_an_update_takes_a_spare_slice_on_request_only(hardware, surge, pace):
    spec = build.objects(instance(hardware=hardware, max_surge=surge))[1]["spec"]
    found = spec.get("strategy", {}).get("rollingUpdate") or spec["rolloutStrategy"]["rollingUpdateConfiguration"]
    assert found == pace


def test_times_follow_from_those_that_are_given():
    made = instance(startup_timeout=7200, termination_grace_period=300)
    assert of_kind("Deployment", made)["spec"]["progressDeadlineSeconds"] > 7200
    assert pod(made)["terminationGracePeriodSeconds"] == 300 + DRAIN


def test_where_pods_go():
    spot = pod(instance(hardware=tpu(capacity=Capacity("spot"))))
    assert spot["nodeSelector"]["cloud.google.com/gke-spot"] == "true"
    assert {item["key"] for item in spot["tolerations"]} == {"google.com/tpu", "cloud.google.com/gke-spot"}
    assert not {"nodeSelector", "tolerations"} & set(pod(cpu()))
    own = Device("gpu", 1, {"pool": "l4"}, ({"key": "nvidia.com/gpu", "operator": "Exists"},))
    found = of_kind("Deployment", instance(hardware=own))["spec"]["template"]["spec"]
    assert (found["nodeSelector"], found["tolerations"]) == ({"pool": "l4"}, [*own.tolerations])


def test_images_that_need_a_secret():
    assert pod(cpu(image_pull_secrets=("registry",)))["imagePullSecrets"] == [{"name": "registry"}]


@pytest.fixture
def several(monkeypatch):
    monkeypatch.setitem(build.ENGINES, "several", Several())
    return instance(engine="several", hardware=tpu("v5e", "4x4"))


def test_an_engine_may_have_pods_of_several_kinds(several):
    found = build.objects(several)
    assert [(obj["kind"], obj["metadata"]["name"]) for obj in found] == [
        ("ServiceAccount", "gemma"),
        ("Deployment", "gemma"),
        ("Service", "gemma"),
        ("PodDisruptionBudget", "gemma"),
        ("JobSet", "gemma-model"),
    ]
    (group,) = found[-1]["spec"]["replicatedJobs"]
    job = group["template"]["spec"]
    assert (group["replicas"], job["completions"], job["parallelism"], job["completionMode"]) == (2, 4, 4, "Indexed")
    assert job["template"]["spec"]["restartPolicy"] == "Never"
    assert "nodeSelector" in job["template"]["spec"]
    assert "nodeSelector" not in found[1]["spec"]["template"]["spec"]


HARDWARE = st.sampled_from([tpu(), tpu("v5e", "4x4"), tpu("tpu7x", "1x1x1"), Device(), Device("gpu", 2)])
WEIGHTS = st.sampled_from([Hub(), Bucket("models", "m", True), Stream("gs://models/m"), Claim("disk", "m")])


@settings(max_examples=50, deadline=None)
@given(hardware=HARDWARE, weights=WEIGHTS, replicas=st.integers(0, 3), own=st.booleans())
def test_whatever_is_asked_for_is_whole_and_the_same_again(hardware, weights, replicas, own):
    made = instance(
        hardware=hardware,
        model_weights=weights,
        replicas=replicas,
        compile_cache=Claim("cache") if own else None,
        env={"A": "1"} if own else {},
    )
    build.check(made)
    found = build.objects(made)
    assert json.dumps(found) == json.dumps(build.objects(made))
    prepare(found, instance="gemma")  # names, and that what is mounted is there
    assert found[1]["spec"]["replicas"] == replicas


def test_versions_of_kinds_are_those_of_the_cluster():
    def version(*cluster):
        (found,) = (obj for obj in build.objects(cpu(), None, build.Features.of(cluster)) if "Budget" in obj["kind"])
        return found["apiVersion"]

    assert (version(1, 20), version(1, 21)) == ("policy/v1beta1", "policy/v1")
    assert build.objects(cpu(), None, build.Features()) == build.objects(cpu())
