# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances of KServe: objects that its API knows, and runs of ansible-playbook with this test as the controller."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import secrets
import threading
from collections.abc import Iterator

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from kubernetes.client import CustomObjectsApi
from runner import ROOT
from schemas import check

from ansible_collections.modelops.serving.plugins.module_utils._endpoint import options
from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Client, Ref
from ansible_collections.modelops.serving.plugins.module_utils._kube.kinds import assess
from ansible_collections.modelops.serving.plugins.module_utils._serving import build
from ansible_collections.modelops.serving.plugins.module_utils._serving.instance import (
    Bucket,
    Claim,
    Connection,
    Device,
    Instance,
    KServe,
    Model,
    Tpu,
)
from ansible_collections.modelops.serving.plugins.module_utils._tpu.slice import make_slice
from ansible_collections.modelops.serving.plugins.modules import model_sync_job, tpu_serving

MODULE = "modelops.serving.tpu_serving"
KIND = ("serving.kserve.io", "v1beta1")
WEIGHTS = b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}'
# What the storage initializer of KServe would have left.
FETCH = f"""
import pathlib
folder = pathlib.Path("/mnt/models")
header = {WEIGHTS!r}
(folder / "config.json").write_text("{{}}")
(folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"abcd")
"""

HARDWARE = {
    "gpu": (Device("gpu", 1, {"pool": "l4"}, ({"key": "nvidia.com/gpu", "operator": "Exists"},)), Claim("disk", "m")),
    "tpu": (Tpu(make_slice("v6e", topology="2x4")), Bucket("models", "models/m", warm_up=True)),
    "cpu": (Device(), Connection("demo-models", "models/m")),
}


@pytest.mark.parametrize("hardware", HARDWARE)
def test_objects_are_what_kserve_and_authorino_know(hardware):
    on, weights = HARDWARE[hardware]
    asked = KServe("authorino", exposed=True, token=True)
    made = Instance(
        *("granite", "demo", "vllm", Model("ibm/granite", weights), on),
        cpu="4",
        memory="16Gi",
        kserve=asked,
        image_pull_secrets=("registry",),
        annotations={"a": "b"},
    )
    build.check(made)
    found = build.objects(made)
    for obj in found:
        check(obj)
    assert {"ServingRuntime", "InferenceService", "AuthConfig", "RoleBinding"} < {obj["kind"] for obj in found}


def test_the_example_of_the_page_is_one():
    (text,) = re.findall(r"```yaml\n(- hosts:.+?)```", (ROOT / "docs" / "serving.md").read_text(), re.DOTALL)
    ((copy, serve),) = (play["tasks"] for play in yaml.safe_load(text))
    given = []
    for task, spec in ((copy, model_sync_job.argument_spec()), (serve, tpu_serving.argument_spec())):
        result = ArgumentSpecValidator(spec).validate(next(value for key, value in task.items() if key != "name"))
        assert not result.error_messages
        given.append(result.validated_parameters)
    synced, params = given
    connection = params["model"]["connection"]
    assert connection["secret"] == synced["data_connection"]
    assert connection["path"] == f"{synced['data_connection_prefix']}/{params['model']['name']}"
    made = options.instance_of(params)
    build.check(made)
    for obj in build.objects(made):
        check(obj)


class Controller:
    """What KServe does with InferenceServices of a namespace, in short: a Deployment of each, and its status."""

    def __init__(self, cluster, namespace: str) -> None:
        self.client, self.namespace = Client(cluster.client()), namespace
        self._api = CustomObjectsApi(cluster.client())
        self._over = threading.Event()
        #: What was last seen: the Secret for workbenches, and the arguments of the Pod that asks would reach.
        self.told: dict[str, str] = {}
        self.args: list[str] = []

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.3):
            for service in self.client.list("serving.kserve.io/v1beta1", "InferenceService", self.namespace):
                if "deletionTimestamp" not in service["metadata"]:
                    self._reconcile(service)

    def _reconcile(self, service: dict) -> None:
        name = service["metadata"]["name"]
        if name == "broken":
            told = {"reason": "RuntimeNotRecognized", "message": "Waiting for the runtime"}
            status = {"modelStatus": {"transitionStatus": "InvalidSpec", "lastFailureInfo": told}}
        else:
            ref = Ref("apps/v1", "Deployment", f"{name}-predictor", self.namespace)
            self.client.apply(self._deployment(service), manager="kserve")
            ready = assess(self.client.get(ref) or {}).state == "ready"
            self._look(name)
            host = f"{name}-predictor.{self.namespace}.svc.cluster.local"
            status = (
                {
                    # The Deployment's, and so behind that of the InferenceService.
                    "observedGeneration": 1,
                    "url": f"https://{name}.apps.test",
                    "address": {"url": f"https://{host}:8443"},
                    # An update does not take this back.
                    "conditions": [{"type": "Ready", "status": "True"}],
                    "modelStatus": {"transitionStatus": "UpToDate", "copies": {"totalCopies": 1}},
                }
                if ready or service.get("status")
                else {"conditions": [{"type": "Ready", "status": "Unknown"}]}
            )
        self._api.patch_namespaced_custom_object_status(
            *KIND, self.namespace, "inferenceservices", name, {"status": status}
        )

    def _look(self, name: str) -> None:
        secret = self.client.get(Ref("v1", "Secret", f"{name}-endpoint", self.namespace)) or {}
        self.told = {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}
        labels = f"serving.kserve.io/inferenceservice={name}"
        pods = self.client.list("v1", "Pod", self.namespace, labels=labels)
        for pod in sorted(pods, key=lambda pod: pod["metadata"]["creationTimestamp"]):
            self.args = pod["spec"]["containers"][0]["args"]

    def _deployment(self, service: dict) -> dict:
        metadata, predictor = service["metadata"], service["spec"]["predictor"]
        name = metadata["name"]
        runtime = self.client.get(
            Ref("serving.kserve.io/v1alpha1", "ServingRuntime", predictor["model"]["runtime"], self.namespace)
        )
        spec = runtime["spec"]
        (container,) = spec["containers"]
        mount = {"name": "model", "mountPath": "/mnt/models"}
        fetch = {"name": "storage-initializer", "image": container["image"], "command": ["python3", "-c", FETCH]}
        labels = {**metadata["labels"], "serving.kserve.io/inferenceservice": name, "app": f"isvc.{name}"}
        owner = {key: metadata[key] for key in ("name", "uid")}
        of = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", **owner, "controller": True}
        template = {
            "metadata": {"labels": {**labels, **predictor["labels"]}, "annotations": predictor["annotations"]},
            "spec": {
                "containers": [
                    {
                        **container,
                        # The usual 10 seconds would be most of this test.
                        "startupProbe": {**container["startupProbe"], "periodSeconds": 1},
                        "resources": predictor["model"]["resources"],
                        "volumeMounts": [*container["volumeMounts"], mount],
                    }
                ],
                "initContainers": [{**fetch, "volumeMounts": [mount]}],
                "volumes": [*spec["volumes"], {"name": "model", "emptyDir": {}}],
                "serviceAccountName": predictor["serviceAccountName"],
                "terminationGracePeriodSeconds": 0,
            },
        }
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {
                "name": f"{name}-predictor",
                "namespace": self.namespace,
                "labels": labels,
                "ownerReferences": [of],
            },
            "spec": {"selector": {"matchLabels": {"app": f"isvc.{name}"}}, "template": template},
        }


@pytest.fixture
def controller(cluster, requires_nodes, custom_kinds, namespace):
    if not cluster.image.startswith("modelops.serving/"):
        pytest.skip(f"{cluster.image} has no server")
    return Controller(cluster, namespace)


def _connection(client: Client, namespace: str, **labels) -> None:
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_S3_BUCKET", "AWS_S3_ENDPOINT")
    data = {key: base64.b64encode(secrets.token_hex(8).encode()).decode() for key in keys}
    metadata = {"name": "demo-models", "namespace": namespace, "labels": labels}
    client.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}, manager="test")


def test_an_instance_of_kserve(controller, cluster, namespace, playbooks):
    def task(name="granite", *, kserve=None, **more):
        keywords = {key: more.pop(key) for key in ("check_mode", "ignore_errors") if key in more}
        options = {
            "name": name,
            "namespace": namespace,
            "image": cluster.image,
            "accelerator": {"type": "cpu"},
            "model": {"name": "ibm/granite", "connection": {"secret": "demo-models", "path": "models/ibm/granite"}},
            "cpu": "500m",
            "memory": "64Mi",
            "wait_timeout": 60,
            "kserve": kserve or {"exposed": True, "token": True, "endpoint_secret": "granite-endpoint"},
        }
        return {MODULE: {**options, **more}, **keywords}

    def absent(**keywords):
        return {MODULE: {"name": "granite", "namespace": namespace, "state": "absent"}, **keywords}

    client = controller.client
    _connection(client, namespace, **{"opendatahub.io/managed": "true", "opendatahub.io/dashboard": "true"})
    tasks = [
        *(task(check_mode=mode) for mode in (True, False, False)),
        task(settings={"max_model_len": 2048}),
        task("broken", kserve={"auth": "authorino"}, ignore_errors=True),
        absent(check_mode=True),
        absent(),
    ]
    with controller.at_work():
        run = playbooks.tasks(tasks, "--diff", env=cluster.environment).ok()
    predicted, created, again, updated, broken, gone, really = run.results

    assert [step["changed"] for step in (predicted, created, again, updated)] == [True, True, False, True]
    assert predicted["objects"] == created["objects"]
    made = {
        "ServingRuntime",
        "InferenceService",
        "ServiceAccount",
        "Role",
        "RoleBinding",
        "Secret",
        "PodDisruptionBudget",
    }
    assert {item["kind"] for item in created["objects"]} == made
    for step in (created, again, updated):
        assert (step["endpoint"], step["replicas"], step["ready_replicas"]) == ("https://granite.apps.test", 1, 1)
        assert step["models"] == ["ibm/granite"] and step["completion"]
    # The InferenceService was Ready all the time, with the Pod of before.
    assert "--max-model-len=2048" in controller.args

    secret = controller.told
    assert secret["OPENAI_BASE_URL"] == secret["GENERIC_OPEN_AI_BASE_PATH"] == "https://granite.apps.test/v1"
    assert secret["OPENAI_MODEL"] == "ibm/granite" and secret["OPENAI_API_KEY"].count(".") == 2
    assert secret["OPENAI_API_KEY"] not in run.output + json.dumps(run.results)

    assert "InvalidSpec: RuntimeNotRecognized: Waiting for the runtime" in broken["error"]["message"]

    assert [step["changed"] for step in (gone, really)] == [True, True]
    assert gone["objects"] == really["objects"]
    assert {item["kind"] for item in really["objects"]} == made
    assert client.get(Ref("v1", "Secret", "demo-models", namespace))
