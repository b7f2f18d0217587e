# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster of kind (https://kind.sigs.k8s.io), where its command and a container engine are there."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
from pathlib import Path

from . import image
from .common import ClusterError, cache_directory, digest, progress, run
from .state import State

NODE_IMAGE = "kindest/node:v1.36.1"
_SECONDS = 10


def engine() -> str:
    """The container engine that answers, "docker" or "podman", or nothing."""
    for name in ("docker", "podman"):
        if shutil.which(name):
            with contextlib.suppress(ClusterError):
                run([name, "info"], timeout=_SECONDS)
                return name
    return ""


def usable() -> str:
    """The container engine that kind can use here, or nothing."""
    return engine() if shutil.which("kind") else ""


class Kind:
    """The cluster of kind that belongs to ``directory``."""

    def __init__(self, directory: Path, container_engine: str) -> None:
        self.directory = directory
        self.name = f"modelops-{digest(str(directory))[:8]}"
        self.kubeconfig = directory / "kubeconfig"
        self._engine = container_engine

    def _kind(self, *arguments: str | Path) -> str:
        return run(["kind", *arguments], env={"KIND_EXPERIMENTAL_PROVIDER": self._engine})

    def create(self) -> State:
        """:raises ClusterError: with what kind said."""
        self.delete()  # what a killed run left
        self.directory.mkdir(mode=0o700, parents=True)
        node_image = os.environ.get("TEST_CLUSTER_KIND_IMAGE") or NODE_IMAGE
        progress(f"kind create cluster ({node_image}, {self._engine})")
        self._kind(
            *("create", "cluster", "--name", self.name, "--image", node_image),
            *("--kubeconfig", self.kubeconfig, "--wait", "180s"),
        )
        self.kubeconfig.chmod(0o600)
        version = node_image.partition("@")[0].rpartition(":")[2]
        return State("kind", str(self.kubeconfig), version, True, "", self._gateway())

    def up(self) -> bool:
        return self.name in self._kind("get", "clusters").split()

    def delete(self) -> None:
        self._kind("delete", "cluster", "--name", self.name, "--kubeconfig", self.kubeconfig)
        shutil.rmtree(self.directory, ignore_errors=True)

    def logs(self) -> str:
        with tempfile.TemporaryDirectory() as folder:
            self._kind("export", "logs", "--name", self.name, folder)
            return "\n".join(path.read_text(errors="replace")[-4000:] for path in Path(folder).rglob("kubelet.log"))

    def load_image(self, name: str) -> None:
        """Build the engine's image with the container engine and give it to the nodes."""
        archive = cache_directory() / f"{name.replace('/', '_').replace(':', '_')}.{self._engine}.tar"
        archive.parent.mkdir(parents=True, exist_ok=True)
        if not archive.is_file():
            progress("building the image of the engine")
            with tempfile.TemporaryDirectory() as folder:
                image.install_packages(Path(folder, "packages"))
                packages = f"/usr/local/lib/python{image.PYTHON}/site-packages"
                commands = [
                    f"RUN ln -s {packages}/{place} /usr/local/bin/{it}\n" for it, place in image.COMMANDS.items()
                ]
                Path(folder, "Dockerfile").write_text(
                    f"FROM {image.BASE}\nCOPY packages {packages}\n{''.join(commands)}"
                )
                run([self._engine, "build", "--quiet", "--tag", name, folder])
            temporary = archive.with_suffix(".new")
            temporary.unlink(missing_ok=True)
            run([self._engine, "save", "--output", temporary, name])
            temporary.rename(archive)
        self._kind("load", "image-archive", archive, "--name", self.name)

    def _gateway(self) -> str:
        """This machine, as seen from the network that kind's nodes are in."""
        found = json.loads(run([self._engine, "network", "inspect", "kind"]))
        addresses = re.findall(r'"[Gg]ateway": "(\d+\.\d+\.\d+\.\d+)"', json.dumps(found))
        if not addresses:
            raise ClusterError(f"{self._engine} network inspect kind: no IPv4 gateway in it")
        return str(addresses[0])
