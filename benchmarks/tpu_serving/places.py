# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Namespaces for a benchmark, with a model in a claim; nothing of them is left at the end."""

from __future__ import annotations

import contextlib
import secrets
import time
import typing as t

from kubernetes import client, config

#: Of the node that runs the Pods. The volumes of all namespaces are the same folder.
_FOLDER = "/tmp"  # noqa: S108 - a folder of its own is made in it
CLAIM = "model"
# The smallest model there can be: no tensors.
_WRITE = """
import pathlib
folder = pathlib.Path("/node/{name}")
folder.mkdir()
(folder / "config.json").write_text("{{}}")
(folder / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{{}}")
"""
_REMOVE = "import shutil; shutil.rmtree('/node/{name}')"
_SECONDS = 60


class Places:
    """A context manager.

    :param image: with Python, for the Pods that write the model and remove it; without it there is no model.
    """

    def __init__(self, kubeconfig: str, image: str) -> None:
        api = config.new_client_from_config(kubeconfig)
        self.core = client.CoreV1Api(api)
        version = client.VersionApi(api).get_code()
        self.version = (int(version.major), int(version.minor.rstrip("+")))
        self.image = image
        self._name = f"bench-{secrets.token_hex(3)}"
        self._closing = contextlib.ExitStack()

    def __enter__(self) -> Places:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._closing.close()

    def namespace(self, name: str) -> str:
        """A new namespace."""
        made = f"{self._name}-{name}"
        self.core.create_namespace({"metadata": {"name": made}})
        self._closing.callback(self.core.delete_namespace, made)
        return made

    def write_model(self) -> None:
        """Write a model on the node, for the claims that are made afterwards."""
        namespace = self.namespace("model")
        self._run(namespace, "write", _WRITE.format(name=self._name))
        self._closing.callback(self._run, namespace, "remove", _REMOVE.format(name=self._name))

    def claim_model(self, namespace: str) -> None:
        """A claim with the model."""
        capacity = {"storage": "1Mi"}
        modes = ["ReadWriteOnce"]
        volume = {
            "capacity": capacity,
            "accessModes": modes,
            "storageClassName": "",
            "hostPath": {"path": f"{_FOLDER}/{self._name}"},
            "claimRef": {"name": CLAIM, "namespace": namespace},
        }
        claim = {
            "accessModes": modes,
            "storageClassName": "",
            "volumeName": namespace,
            "resources": {"requests": capacity},
        }
        self.core.create_persistent_volume({"metadata": {"name": namespace}, "spec": volume})
        self._closing.callback(self.core.delete_persistent_volume, namespace)
        self.core.create_namespaced_persistent_volume_claim(namespace, {"metadata": {"name": CLAIM}, "spec": claim})

    def _run(self, namespace: str, name: str, code: str) -> None:
        """Run Python in a Pod that sees the folder of the node."""
        container = {
            "name": "python",
            "image": self.image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["python3", "-c", code],
            "volumeMounts": [{"name": "node", "mountPath": "/node"}],
        }
        volumes: list[dict[str, t.Any]] = [{"name": "node", "hostPath": {"path": _FOLDER}}]
        spec = {"restartPolicy": "Never", "containers": [container], "volumes": volumes}
        self.core.create_namespaced_pod(namespace, {"metadata": {"name": name}, "spec": spec})
        deadline = time.monotonic() + _SECONDS
        while (phase := self.core.read_namespaced_pod(name, namespace).status.phase) != "Succeeded":
            if phase == "Failed" or time.monotonic() > deadline:
                raise SystemExit(f"Pod {namespace}/{name} is {phase} and not Succeeded.")
            time.sleep(0.5)
