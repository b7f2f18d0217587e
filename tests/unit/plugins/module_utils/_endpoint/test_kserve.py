# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import json

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._endpoint import kserve, rollout
from ansible_collections.modelops.serving.plugins.module_utils._endpoint.smoke import EndpointError
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import InputError
from ansible_collections.modelops.serving.plugins.module_utils._kube.kinds import assess
from ansible_collections.modelops.serving.plugins.module_utils._kube.wait import judge
from ansible_collections.modelops.serving.plugins.module_utils._serving import build
from ansible_collections.modelops.serving.plugins.module_utils._serving.instance import Connection, KServe
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._kube.fakes import FakeApi, refuse
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._serving.instances import cpu

SECRETS = "/api/v1/namespaces/serving/secrets"
SERVICE = "/apis/serving.kserve.io/v1beta1/namespaces/serving/inferenceservices/gemma"
LABELS = {"opendatahub.io/managed": "true", "opendatahub.io/dashboard": "true"}
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_S3_BUCKET", "AWS_S3_ENDPOINT")
MADE = cpu(cpu="1", memory="1Gi", kserve=KServe(), model_weights=Connection("demo-models", "m"))


@pytest.fixture
def api():
    fake = FakeApi()
    fake.kinds.setdefault("v1", {})["secrets"] = ("Secret", True)
    fake.kinds["serving.kserve.io/v1beta1"] = {"inferenceservices": ("InferenceService", True)}
    return fake


def secret(api, name, values, labels=None):
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    api.objects[f"{SECRETS}/{name}"] = {"metadata": {"name": name, "labels": labels or {}}, "data": data}


def service(status, **labels):
    metadata = {"name": "gemma", "namespace": "serving", "generation": 3, "labels": labels}
    spec = {"predictor": {"minReplicas": 2}}
    kind = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService"}
    return {**kind, "metadata": metadata, "spec": spec, "status": status}


# -- data connections --------------------------------------------------------------------------------------------------


def test_a_connection_that_kserve_knows_or_openshift_ai_will_tell_it(api):
    secret(api, "storage-config", {"demo-models": json.dumps({"type": "s3", "bucket": "b"})})
    kserve.check_connection(api.client(), MADE)
    del api.objects[f"{SECRETS}/storage-config"]
    secret(api, "demo-models", dict.fromkeys(KEYS, "x"), LABELS)
    kserve.check_connection(api.client(), MADE)


@pytest.mark.parametrize(
    ("name", "values", "labels", "told"),
    [
        ("other", {}, {}, "no data connection"),
        ("demo-models", dict.fromkeys(KEYS[:2], "x"), LABELS, "lacks AWS_S3_BUCKET, AWS_S3_ENDPOINT"),
        ("demo-models", dict.fromkeys(KEYS, "x"), {}, "storage-config has no such key"),
        ("storage-config", {"demo-models": json.dumps({"type": "s3", "bucket": ""})}, {}, "does not name a bucket"),
        ("storage-config", {"demo-models": "?"}, {}, "does not name a bucket"),
    ],
)
def test_a_connection_that_kserve_would_not_find(api, name, values, labels, told):
    secret(api, name, values, labels)
    with pytest.raises(InputError, match=told):
        kserve.check_connection(api.client(), MADE)


# -- ready -------------------------------------------------------------------------------------------------------------

READY = {"conditions": [{"type": "Ready", "status": "True"}]}


@pytest.mark.parametrize(
    ("status", "state", "told"),
    [
        ({}, "waiting", "not seen by KServe yet"),
        ({**READY, "modelStatus": {"transitionStatus": "UpToDate"}, "observedGeneration": 1}, "ready", "Ready"),
        ({**READY, "modelStatus": {"transitionStatus": "InProgress"}}, "waiting", "InProgress"),
        (
            {"modelStatus": {"transitionStatus": "InvalidSpec", "lastFailureInfo": {"reason": "NoSupportingRuntime"}}},
            "failed",
            "InvalidSpec: NoSupportingRuntime",
        ),
        (
            {
                "conditions": [{"type": "PredictorReady", "status": "False", "reason": "MinimumReplicasUnavailable"}],
                "modelStatus": {
                    "transitionStatus": "BlockedByFailedLoad",
                    "lastFailureInfo": {"reason": "ModelLoadFailed", "message": "no such key"},
                },
            },
            "waiting",
            "BlockedByFailedLoad: ModelLoadFailed: no such key; PredictorReady is False: MinimumReplicasUnavailable",
        ),
        ({"conditions": [{"type": "Stopped", "status": "True"}]}, "waiting", "Stopped"),
    ],
)
def test_what_an_inference_service_says_of_itself(status, state, told):
    verdict = assess(service(status))
    assert verdict.state == state and told in verdict.message


def deployment(mark, *, available=1, deadline=False):
    conditions = [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}] if deadline else []
    counts = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas"), available)
    owner = {"kind": "InferenceService", "name": "gemma", "controller": True}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "gemma-predictor", "generation": 1, "ownerReferences": [owner]},
        "spec": {"template": {"metadata": {"annotations": {"modelops.serving/definition": mark}}}},
        "status": {"observedGeneration": 1, **counts, "conditions": conditions},
    }


def test_a_rollout_is_over_when_all_pods_are_of_the_newest_definition():
    target = kserve.rolled_out(build.objects(MADE))
    assert str(target.ref).endswith("serving/gemma-predictor")
    mark = target.success.definition
    assert judge(target, deployment(mark)).state == "ready"
    assert judge(target, deployment("before")).state == "waiting"
    # 600 seconds are not enough for a large model, and KServe has no other.
    assert judge(target, deployment(mark, available=0, deadline=True)).state == "waiting"


def test_replicas_are_copies_of_the_model():
    assert rollout.replicas(service({"modelStatus": {"copies": {"totalCopies": 1}}})) == (2, 1)
    assert rollout.replicas(service({})) == (2, 0)


# -- asked -------------------------------------------------------------------------------------------------------------


def test_where_clients_ask():
    status = {"url": "https://gemma.apps.test", "address": {"url": "https://gemma-predictor.serving.svc:8443"}}
    assert kserve.url(service(status)) == "https://gemma-predictor.serving.svc:8443"
    assert kserve.url(service(status, **{"networking.kserve.io/visibility": "exposed"})) == "https://gemma.apps.test"
    assert kserve.url(service({"url": "http://gemma"})) == "http://gemma"
    assert kserve.url(service({})) == ""


def test_one_that_is_not_guarded_is_not_asked(api):
    api.kinds["v1"]["pods"] = ("Pod", True)
    status = {"conditions": [{"type": "Ready", "status": "True"}]}
    for number, more in enumerate(({}, {"deletionTimestamp": "now"})):
        labels = {"serving.kserve.io/inferenceservice": "gemma"}
        metadata = {"name": f"gemma-{number}", "creationTimestamp": str(number), "labels": labels, **more}
        api.objects[f"/api/v1/namespaces/serving/pods/gemma-{number}"] = {"metadata": metadata, "status": status}
    api.objects[SERVICE] = service({"address": {"url": "http://gemma-predictor.serving.svc"}})
    with pytest.raises(EndpointError, match="nothing in front of it asks for a token"):
        kserve.endpoint(api.client(), MADE)
    api.objects[SERVICE] = service({"address": {"url": "https://gemma-predictor.serving.svc:8443"}})
    assert kserve.endpoint(api.client(), MADE).pod == "gemma-0"
    del api.objects["/api/v1/namespaces/serving/pods/gemma-0"]
    with pytest.raises(EndpointError, match="No Pod"):
        kserve.endpoint(api.client(), MADE)


def test_only_instances_of_ours_are_found(api):
    assert not kserve.is_there(api.client(), "gemma", "serving")
    for labels, ours in (({}, False), ({"app.kubernetes.io/instance": "gemma"}, True)):
        api.objects[SERVICE] = service({}, **labels)
        assert kserve.is_there(api.client(), "gemma", "serving") is ours
    api.rules.append(lambda asked: refuse(403, "no", "Forbidden") if asked.path == SERVICE else None)
    assert not kserve.is_there(api.client(), "gemma", "serving")
