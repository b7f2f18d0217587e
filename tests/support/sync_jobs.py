# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""model_sync_job against the test cluster: its Pods copy from the local Hub to the local S3 store."""

from __future__ import annotations

import json
import time
import urllib.parse

import pytest

MODULE = "modelops.serving.model_sync_job"
OURS = "app.kubernetes.io/managed-by=modelops.serving"
KINDS = {
    "Pod": "api/v1/{}/pods",
    "Secret": "api/v1/{}/secrets",
    "ConfigMap": "api/v1/{}/configmaps",
    "ServiceAccount": "api/v1/{}/serviceaccounts",
    "ResourceQuota": "api/v1/{}/resourcequotas",
    "Event": "api/v1/{}/events",
    "Job": "apis/batch/v1/{}/jobs",
    "CronJob": "apis/batch/{cron}/{}/cronjobs",
}


def port(url: str) -> int:
    return int(urllib.parse.urlsplit(url).port or 0)


class SyncJobs:
    """One model, one prefix of the store (``sync``) and one namespace."""

    def __init__(self, cluster, namespace, sync) -> None:
        self.cluster, self.namespace, self.sync = cluster, namespace, sync
        self._api = cluster.client()
        major, minor = cluster.version.lstrip("v").split(".")[:2]
        self.version = int(major), int("".join(filter(str.isdigit, minor)))
        self.cron_version = "v1" if self.version >= (1, 21) else "v1beta1"

    # -- options -----------------------------------------------------------------------------------------------

    @property
    def store(self) -> str:
        """The S3 proxy as pods reach it."""
        return self.cluster.expose(port(self.sync.proxy.url))

    @property
    def hub(self) -> str:
        return self.cluster.expose(port(self.sync.hub.endpoint))

    @property
    def keys(self) -> dict[str, str]:
        return {key: self.sync.destination[key] for key in ("access_key", "secret_key")}

    def destination(self, **changes) -> dict:
        place = {
            "bucket": self.sync.bucket,
            "prefix": self.sync.prefix,
            "endpoint_url": self.store,
            "region": "us-east-1",
        }
        return {**place, **changes}

    def options(self, **changes) -> dict:
        """Options of the module; None removes one. A source given as a change is merged into the usual one."""
        source = changes.pop("source", {})
        given = {
            "namespace": self.namespace,
            "name": self.sync.name,
            "source": None if source is None else {"repo": self.sync.repo, "endpoint": self.hub, **source},
            "destinations": [self.destination(**self.keys)],
            "image": self.cluster.image,
            **self._installation(),
            "interval": 0.5,
            "backoff_limit": 0,
            "wait_timeout": 120,
            **changes,
        }
        return {key: value for key, value in given.items() if value is not None}

    def _installation(self) -> dict:
        if self.cluster.image_has_requirements:
            return {"install_requirements": False}
        index = self.cluster.package_index
        return {"index_url": index, "trusted_host": urllib.parse.urlsplit(index).hostname}

    def task(self, *, keywords=None, **changes) -> dict:
        return {MODULE: self.options(**changes), **(keywords or {})}

    def absent(self, **changes) -> dict:
        return {MODULE: {"namespace": self.namespace, "name": self.sync.name, "state": "absent", **changes}}

    # -- the cluster -------------------------------------------------------------------------------------------

    def path(self, kind: str, name: str = "") -> str:
        path = KINDS[kind].format(f"namespaces/{self.namespace}", cron=self.cron_version)
        return f"{path}/{name}" if name else path

    def list(self, kind: str, labels: str = "") -> list[dict]:
        answer = self.request("GET", self.path(kind), labelSelector=labels)
        return answer["items"]

    def request(self, method: str, path: str, body=None, **query) -> dict:
        answer = self._api.rest_client.pool_manager.request(
            method,
            f"{self._api.configuration.host}/{path}?{urllib.parse.urlencode(query)}",
            body=None if body is None else json.dumps(body),
            headers={"Content-Type": "application/json", **self._authorization()},
        )
        assert answer.status < 300, answer.data[:2000]
        return json.loads(answer.data)

    def _authorization(self) -> dict[str, str]:
        token = self._api.configuration.get_api_key_with_prefix("authorization")
        return {"authorization": token} if token else {}

    def create(self, kind: str, name: str, **content) -> dict:
        return self.request("POST", self.path(kind), {"metadata": {"name": name}, **content})

    def delete(self, kind: str, name: str, **options) -> None:
        self.request("DELETE", self.path(kind, name), options)

    def secret(self, name: str, data: dict[str, str]) -> None:
        self.create("Secret", name, stringData=data)

    def pod(self, name: str) -> dict:
        return self.request("GET", self.path("Pod", name))

    def pods(self) -> list[dict]:
        """Pods of syncs, the oldest first."""
        pods = self.list("Pod", "app.kubernetes.io/name=model-sync")
        return sorted(pods, key=lambda pod: pod["metadata"]["creationTimestamp"])

    def logs(self, pod: dict, container: str = "sync") -> str:
        path = f"{self.path('Pod', pod['metadata']['name'])}/log?container={container}"
        answer = self._api.rest_client.pool_manager.request(
            "GET", f"{self._api.configuration.host}/{path}", headers=self._authorization()
        )
        return answer.data.decode()

    def wait_for(self, what, *, seconds: float = 60):
        """The first true value of ``what()``."""
        deadline = time.monotonic() + seconds
        while not (found := what()):
            assert time.monotonic() < deadline, [pod.get("status") for pod in self.pods()]
            time.sleep(0.2)
        return found

    def ours(self) -> list[str]:
        """All that carries our labels."""
        return sorted(
            f"{kind} {item['metadata']['name']}"
            for kind in KINDS
            if kind != "Event"
            for item in self.list(kind, OURS) + (self.pods() if kind == "Pod" else [])
        )


@pytest.fixture
def jobs(cluster, requires_nodes, namespace, sync, monkeypatch):
    # The Hub redirects to its CDN, which pods reach at another address as well.
    cdn = cluster.expose(port(sync.hub.cdn))
    monkeypatch.setattr(type(sync.hub), "cdn", property(lambda hub: cdn))
    return SyncJobs(cluster, namespace, sync)
