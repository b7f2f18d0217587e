# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Kubernetes cluster (tests/cluster). Tests do not know which one it is, and are skipped where there is none."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemas
from test_cluster.__main__ import NO_CLUSTER
from test_cluster.forward import Forwarder

ROOT = Path(__file__).resolve().parents[2]
_SKIPPED = "no test cluster: "
_SECONDS = 60
_OF_TESTS = "modelops.serving/tests"


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m test_cluster``."""
    return subprocess.run(
        [sys.executable, "-m", "test_cluster", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests" / "cluster"), **environment},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )


def _state(*arguments: str) -> dict:
    """The state of the cluster after a command; no cluster skips the test, everything else fails it."""
    done = command(*arguments)
    if done.returncode == NO_CLUSTER:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Cluster:
    """The cluster, and how this machine's services are reached from its pods.

    ``kubeconfig`` is the path of a file with all rights, ``environment`` what kubernetes.core's modules need.
    """

    def __init__(self, state: dict) -> None:
        self.kubeconfig: str = state["kubeconfig"]
        self.version: str = state["version"]
        self.has_nodes: bool = state["nodes"]
        self.nodes_reason: str = state["nodes_reason"]
        self.host_address: str = state["host_address"]
        self.environment = {"K8S_AUTH_KUBECONFIG": self.kubeconfig}
        self._state = state
        self._forwarders: dict[int, Forwarder] = {}
        self._closing = contextlib.ExitStack()
        self._cache = self._closing.enter_context(tempfile.TemporaryDirectory())

    @functools.cached_property
    def _with_image(self) -> dict:
        return _state("image")  # asked even if there is an image: the requirements may have changed since

    @property
    def image(self) -> str:
        """An image with Python that pods can use, built at its first use where the cluster is not the user's own."""
        return self._with_image["image"]

    @property
    def image_has_requirements(self) -> bool:
        """Whether the engine finds what it imports in the image."""
        return self._with_image["image_has_requirements"]

    def expose(self, port: int) -> str:
        """The address at which pods reach what listens on this port of 127.0.0.1."""
        if port not in self._forwarders:
            self._forwarders[port] = self._closing.enter_context(Forwarder(self.host_address, port))
        return f"http://{self.host_address}:{self._forwarders[port].port}"

    @functools.cached_property
    def package_index(self) -> str:
        """An index of this machine with what the engine imports, for pods whose image lacks it."""
        from wheels import Index

        from ansible_collections.modelops.serving.plugins.module_utils._transfer.pins import REQUIREMENTS

        folder = Path(self._cache) / "wheels"
        folder.mkdir()
        names = [requirement.partition("=")[0] for requirement in REQUIREMENTS]
        return f"{self.expose(self._closing.enter_context(Index(folder, names)).port)}/simple"

    def close(self) -> None:
        self._closing.close()

    def client(self):
        """An ApiClient of the package kubernetes."""
        from kubernetes import config

        return config.new_client_from_config(self.kubeconfig)

    def kubectl(self, *arguments: str, input: str | None = None) -> str:  # noqa: A002, as subprocess calls it
        """Run kubectl, which must succeed, and return what it printed; without the command the test is skipped."""
        if not shutil.which(self._state["kubectl"]):
            pytest.skip("kubectl is not installed")
        done = subprocess.run(
            [
                self._state["kubectl"],
                f"--kubeconfig={self.kubeconfig}",
                f"--cache-dir={self._cache}",  # the one in the user's home would outlive the cluster
                *arguments,
            ],
            input=input,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    @contextlib.contextmanager
    def namespace(self) -> Iterator[str]:
        """A fresh namespace in which pods can start; its removal is not waited for."""
        from kubernetes.client import ApiException, CoreV1Api

        api = CoreV1Api(self.client())
        name = f"test-{secrets.token_hex(4)}"
        api.create_namespace({"metadata": {"name": name, "labels": {"app.kubernetes.io/part-of": "modelops-serving"}}})
        try:
            deadline = time.monotonic() + _SECONDS
            while True:  # pods are refused until the controllers have made these two
                try:
                    api.read_namespaced_service_account("default", name)
                    api.read_namespaced_config_map("kube-root-ca.crt", name)
                    break
                except ApiException as error:
                    if error.status != 404 or time.monotonic() > deadline:
                        raise
                time.sleep(0.05)
            yield name
        finally:
            api.delete_namespace(name)


@pytest.fixture(scope="session")
def cluster():
    """The cluster that is up, or one for this session; TEST_CLUSTER_KEEP leaves it for the next one."""
    found = command("status")
    state = json.loads(found.stdout) if found.returncode == 0 else _state("create")
    service = Cluster(state)
    yield service
    service.close()
    if found.returncode and not os.environ.get("TEST_CLUSTER_KEEP"):
        done = command("delete")
        assert done.returncode == 0, done.stderr


@pytest.fixture
def namespace(cluster):
    with cluster.namespace() as name:
        yield name


@pytest.fixture
def requires_nodes(cluster):
    """For tests whose pods must run: ``@pytest.mark.usefixtures("requires_nodes")``."""
    if not cluster.has_nodes:
        pytest.skip(f"{_SKIPPED}it runs no pods: {cluster.nodes_reason}")


@pytest.fixture(scope="session")
def custom_kinds(cluster):
    """Our own schemas of custom resources, for those that the cluster does not serve; the others stay as they are.

    Other workers may use them too: they go when all tests have ended.
    """
    from kubernetes.client import ApiException, ApiextensionsV1Api

    api = ApiextensionsV1Api(cluster.client())
    added = []
    for definition in schemas.definitions():
        definition["metadata"]["labels"] = {_OF_TESTS: "true"}
        try:
            api.create_custom_resource_definition(definition)
            added.append(definition["metadata"]["name"])
        except ApiException as error:
            if error.status != 409:  # the cluster has its own
                raise
    deadline = time.monotonic() + _SECONDS
    for name in added:
        while not _established(api.read_custom_resource_definition(name)):
            assert time.monotonic() < deadline, f"{name} is not established"
            time.sleep(0.1)
    return sorted(added)


def _established(definition) -> bool:
    return any(item.type == "Established" and item.status == "True" for item in definition.status.conditions or ())


def pytest_sessionfinish(session) -> None:
    """Remove :func:`custom_kinds` from a cluster that goes on, once no worker needs them any more."""
    if hasattr(session.config, "workerinput"):
        return
    done = command("status")
    if done.returncode == 0:
        from kubernetes import config
        from kubernetes.client import ApiextensionsV1Api

        api = ApiextensionsV1Api(config.new_client_from_config(json.loads(done.stdout)["kubeconfig"]))
        api.delete_collection_custom_resource_definition(label_selector=_OF_TESTS)


def pytest_terminal_summary(terminalreporter) -> None:
    """One closing line on tests that were skipped for want of a cluster."""
    if getattr(terminalreporter, "cluster_summary", False):  # several conftest files register this
        return
    terminalreporter.cluster_summary = True
    reasons = [
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", ())
        if isinstance(report.longrepr, tuple)
    ]
    reasons = [reason.removeprefix(_SKIPPED) for reason in reasons if reason.startswith(_SKIPPED)]
    for reason in dict.fromkeys(reasons):
        number = reasons.count(reason)
        terminalreporter.write_line(f"{number} cluster test{'s' if number > 1 else ''} skipped: {reason}")
