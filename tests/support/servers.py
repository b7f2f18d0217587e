# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tpu_serving against the test cluster: its Pods run the stand-in for vLLM with models of the local S3 store."""

from __future__ import annotations

import base64
import contextlib
import datetime
import hashlib
import json
import threading
import time
import urllib.parse
from collections.abc import Iterator

import pytest
from test_cluster.common import cache_directory, locked

from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Client, Ref

MODULE = "modelops.serving.tpu_serving"
INFO = "modelops.serving.tpu_serving_info"
OURS = "app.kubernetes.io/managed-by=modelops.serving"
CHIPS = "google.com/tpu"
LABELS = ("cloud.google.com/gke-tpu-accelerator", "cloud.google.com/gke-tpu-topology")
TAINT = {"key": CHIPS, "value": "present", "effect": "NoSchedule"}
KINDS = {
    "Deployment": "apps/v1",
    "Service": "v1",
    "ServiceAccount": "v1",
    "PodDisruptionBudget": "policy/v1",
}


class Servers:
    """One namespace, and the copy of a model that ``sync`` makes."""

    def __init__(self, cluster, namespace, sync) -> None:
        self.cluster, self.namespace, self.sync = cluster, namespace, sync
        self.client = Client(cluster.client())
        budgets = "policy/v1" if self.client.serves("policy/v1", "PodDisruptionBudget") else "policy/v1beta1"
        self.kinds = {**KINDS, "PodDisruptionBudget": budgets}

    # -- options -----------------------------------------------------------------------------------------------

    @property
    def store(self) -> str:
        """The S3 store as pods reach it."""
        return self.cluster.expose(int(urllib.parse.urlsplit(self.sync.proxy.url).port or 0))

    def options(self, **changes) -> dict:
        """Options of the module; None removes one. A model given as a change is merged into the usual one."""
        stream = {
            "url": f"s3://{self.sync.bucket}/{self.sync.key('')}".rstrip("/"),
            "endpoint_url": self.store,
            "region": "us-east-1",
            "credentials_secret": "store",
        }
        given = {
            "namespace": self.namespace,
            "name": "llama",
            "model": {"name": self.sync.repo, "stream": stream, **changes.pop("model", {})},
            "accelerator": {"type": "cpu"},
            "image": self.cluster.image,
            "termination_grace_period": 0,
            "wait_timeout": 90,
            **changes,
        }
        return {key: value for key, value in given.items() if value is not None}

    def task(self, *, keywords=None, **changes) -> dict:
        return {MODULE: self.options(**changes), **(keywords or {})}

    def absent(self, name="llama", **changes) -> dict:
        return {MODULE: {"namespace": self.namespace, "name": name, "state": "absent", **changes}}

    def info(self, **changes) -> dict:
        return {INFO: {"namespace": self.namespace, **changes}}

    def credentials(self) -> None:
        """The Secret with the keys of the store."""
        place = self.sync.destination
        keys = {"AWS_ACCESS_KEY_ID": place["access_key"], "AWS_SECRET_ACCESS_KEY": place["secret_key"]}
        data = {key: base64.b64encode(value.encode()).decode() for key, value in keys.items()}
        metadata = {"name": "store", "namespace": self.namespace}
        self.client.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}, manager="test")

    # -- the cluster -------------------------------------------------------------------------------------------

    def get(self, kind: str, name: str) -> dict | None:
        return self.client.get(Ref(self.kinds[kind], kind, name, self.namespace))

    def pods(self, name: str) -> list[dict]:
        """Pods of an instance that are not on their way out, the oldest first."""
        found = self.client.list("v1", "Pod", self.namespace, labels=f"app.kubernetes.io/instance={name}")
        found = [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]
        return sorted(found, key=lambda pod: pod["metadata"]["creationTimestamp"])

    def ready_pod(self, name: str) -> dict | None:
        """The Pod of an instance, if it has one and no other."""
        found = self.pods(name)
        ready = {"type": "Ready", "status": "True"}.items()
        if len(found) == 1 and any(ready <= item.items() for item in found[0]["status"].get("conditions", ())):
            return found[0]
        return None

    def container(self, name: str) -> dict:
        """Of the server, in the Deployment."""
        found = self.get("Deployment", name)
        assert found, name
        return found["spec"]["template"]["spec"]["containers"][0]

    def ours(self) -> list[str]:
        """All that carries our labels."""
        return sorted(
            f"{kind} {item['metadata']['name']}"
            for kind, version in self.kinds.items()
            for item in self.client.list(version, kind, self.namespace, labels=OURS)
        )

    def completion(self, name: str) -> str:
        """The text with which the server of an instance answers, through the proxy of the API server."""
        question = {"model": self.sync.repo, "prompt": "a", "max_tokens": 1}
        answer = self.client.ask(self.namespace, name, 8000, "/v1/completions", question)
        return json.loads(answer)["choices"][0]["text"]

    def weights(self) -> str:
        """The SHA-256 of all weights of the model as the Hub has it, which is what a completion says."""
        files = self.sync.expected()
        return hashlib.sha256(
            b"".join(files[path] for path in sorted(files) if path.endswith(".safetensors"))
        ).hexdigest()

    def wait_for(self, what, *, seconds: float = 60):
        """The first true value of ``what()``."""
        deadline = time.monotonic() + seconds
        while not (found := what()):
            assert time.monotonic() < deadline, self.cluster.kubectl("-n", self.namespace, "get", "pods", "-o", "wide")
            time.sleep(0.2)
        return found

    # -- nodes -------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def tpu_node(self, accelerator: str, topology: str, chips: int) -> Iterator[str]:
        """Chips on a node that is there, until the end. Without the taint of such nodes: others' Pods live there too.

        One at a time: another worker's test would take them away again.
        """
        with locked(cache_directory() / "tpu-node"):
            yield from self._tpu_node(accelerator, topology, chips)

    def _tpu_node(self, accelerator: str, topology: str, chips: int) -> Iterator[str]:
        nodes = self.client.list("v1", "Node")
        name, *_others = (
            node["metadata"]["name"]
            for node in nodes
            if any(item["type"] == "Ready" and item["status"] == "True" for item in node["status"]["conditions"])
            and not node["spec"].get("taints")
        )
        labels = dict(zip(LABELS, (accelerator, topology), strict=True))
        amount = {CHIPS: str(chips)}
        try:
            self._patch(f"nodes/{name}", {"metadata": {"labels": labels}})
            self._patch(f"nodes/{name}/status", {"status": {"capacity": amount, "allocatable": amount}})
            yield name
        finally:
            self._patch(f"nodes/{name}", {"metadata": {"labels": dict.fromkeys(LABELS)}})
            nothing = {CHIPS: None}
            self._patch(f"nodes/{name}/status", {"status": {"capacity": nothing, "allocatable": nothing}})

    @contextlib.contextmanager
    def node_without_kubelet(self, accelerator: str, topology: str, chips: int) -> Iterator[str]:
        """A node as GKE makes them, taint included. The scheduler takes it for real; nothing ever starts there.

        It tells that it is well as a kubelet does, for else it would be so for a minute only.
        """
        name = f"tpu-{self.namespace}"
        labels = {**dict(zip(LABELS, (accelerator, topology), strict=True)), "kubernetes.io/os": "linux"}
        amounts = {"cpu": "24", "memory": "48Gi", "pods": "10", CHIPS: str(chips)}
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": ""}
        over = threading.Event()
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": labels},
            "spec": {"taints": [TAINT]},
        }

        def beat() -> None:
            now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
            conditions = [{**ready, "lastHeartbeatTime": now}]
            status = {"capacity": amounts, "allocatable": amounts, "conditions": conditions}
            self._patch(f"nodes/{name}/status", {"status": status})

        def live() -> None:
            while not over.wait(10):
                beat()

        thread = threading.Thread(target=live)
        try:
            self.client.apply(node, manager="test")
            beat()
            thread.start()
            yield name
        finally:
            over.set()
            if thread.ident:
                thread.join()
            self.client.delete(Ref("v1", "Node", name))

    def _patch(self, path: str, change: dict) -> None:
        api = self.cluster.client()
        token = api.configuration.get_api_key_with_prefix("authorization")
        kind = "application/strategic-merge-patch+json"
        answer = api.rest_client.pool_manager.request(
            "PATCH",
            f"{api.configuration.host}/api/v1/{path}",
            body=json.dumps(change),
            headers={"Content-Type": kind, **({"authorization": token} if token else {})},
        )
        assert answer.status == 200, answer.data


@pytest.fixture
def servers(cluster, requires_nodes, namespace, sync):
    if not cluster.image.startswith("modelops.serving/"):
        # An image of somebody's own cluster lacks the stand-in for vLLM, and a real server needs more than it may have.
        pytest.skip(f"{cluster.image} has no server")
    found = Servers(cluster, namespace, sync)
    found.credentials()
    return found


def at_once(tasks: list[dict]) -> list[dict]:
    """The tasks, all started before the first is waited for; the results of the second half are theirs."""
    waits = [
        {
            "ansible.builtin.async_status": {"jid": f"{{{{ started_{number}.ansible_job_id }}}}"},
            "register": f"ended_{number}",
            "until": f"ended_{number} is finished",
            "retries": 75,
            "delay": 4,  # each look is a process, which takes its time from those that are looked at
            "ignore_errors": True,
        }
        for number in range(len(tasks))
    ]
    started = [{**task, "async": 300, "poll": 0, "register": f"started_{number}"} for number, task in enumerate(tasks)]
    return [*started, *waits]
