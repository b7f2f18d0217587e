# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cell of an instance that tpu_serving has made, asked with saxutil in the Pod that its setting util makes.

Not with the HTTP server: that one knows no overrides.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._endpoint.rollout import PART_OF, WORKLOADS
from ansible_collections.modelops.serving.plugins.module_utils._kube import diagnose
from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Client, Object, Ref
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import InputError, KubeError
from ansible_collections.modelops.serving.plugins.module_utils._kube.evidence import ready
from ansible_collections.modelops.serving.plugins.module_utils._kube.objects import selector
from ansible_collections.modelops.serving.plugins.module_utils._sax import saxutil
from ansible_collections.modelops.serving.plugins.module_utils._sax.model import Model
from ansible_collections.modelops.serving.plugins.module_utils._serving.engine import COMPONENT_LABEL, NAME_LABEL

_T = t.TypeVar("_T")
# What the admin server says of a model that is not published. Other things that are missing are told in other words.
_NOT_FOUND = "code = NotFound"
# Seconds beyond those that saxutil gives itself.
_SPARE = 20


class NoInstanceError(InputError):
    """There is no instance of this name."""


class SaxError(KubeError):
    """saxutil failed, or printed what it never does."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell, and the Pod with saxutil.

    :param name: ``/sax/<cell>``.
    :param workloads: component -> workload of the instance.
    """

    client: Client
    namespace: str
    instance: str
    name: str
    pod: str
    container: str
    workloads: t.Mapping[str, Object]

    @classmethod
    def find(cls, client: Client, namespace: str, instance: str) -> Cell:
        """The cell of an instance.

        :raises NoInstanceError: there is no such instance.
        :raises InputError: it is none of Saxml, or has no Pod with saxutil.
        :raises KubeError: its Pod with saxutil is not ready.
        """
        workloads = _workloads(client, namespace, instance)
        util = workloads.get("util")
        if util is None:
            raise InputError(
                f"The instance {namespace}/{instance} has no Pod with saxutil.",
                hint="Set util: true in settings of its task of modelops.serving.tpu_serving.",
            )
        container = util["spec"]["template"]["spec"]["containers"][0]
        name = next((item.get("value") for item in container.get("env") or () if item["name"] == "SAX_CELL"), None)
        if not name:
            raise InputError(f"{Ref.of(util)} does not say which cell is the instance's: it has no SAX_CELL.")
        pod = _ready_pod(client, util)
        return cls(client, namespace, instance, str(name), pod, container["name"], workloads)

    def names(self) -> list[str]:
        """The ids of all published models.

        :raises KubeError: saxutil failed, or cannot be run.
        """
        found = self._read(saxutil.list_models(self.name), lambda out, _log: saxutil.names(out))
        return [f"{self.name}/{name}" for name in found]

    def get(self, model: str) -> Model | None:
        """The model as it is published, None if it is not.

        :raises KubeError: saxutil failed, or cannot be run.
        """
        try:
            return self._read(saxutil.describe(model), lambda _out, log: saxutil.definition(log))
        except SaxError as error:
            if _NOT_FOUND in error.message:
                return None
            raise

    def assigned(self, model: str) -> tuple[int, str]:
        """How many model servers have got a published model, loaded or not, and the address of one of them.

        :raises KubeError: saxutil failed, or cannot be run.
        """
        return self._read(saxutil.show(model), lambda out, _log: saxutil.assigned(out))

    def publish(self, model: Model) -> None:
        """Publish a model that is not published.

        :raises KubeError: saxutil failed, or cannot be run.
        """
        self._run(saxutil.publish(model))

    def update(self, model: Model) -> None:
        """Change the number of replicas of a published model.

        :raises KubeError: saxutil failed, or cannot be run.
        """
        self._run(saxutil.update(model))

    def unpublish(self, model: str) -> None:
        """Take a model out of the cell.

        :raises KubeError: saxutil failed, or cannot be run.
        """
        self._run(saxutil.unpublish(model))

    def _read(self, command: tuple[str, ...], parse: t.Callable[[str, str], _T]) -> _T:
        out, log = self._run(command)
        try:
            return parse(out, log)
        except ValueError as error:
            told = " ".join(f"{out} {log}".split())[:300] or "nothing"
            raise SaxError(
                f"`{' '.join(command)}` in Pod {self.namespace}/{self.pod} printed something unknown ({error}): {told}",
                hint="The image of saxutil has to be one of release 1.1.0 or later: see the setting util_image.",
            ) from error

    def _run(self, command: tuple[str, ...]) -> tuple[str, str]:
        """What saxutil printed and what it logged."""
        done = self.client.execute(self.namespace, self.pod, self.container, command, timeout=saxutil.TIMEOUT + _SPARE)
        if done.status == 0:
            return done.stdout, done.stderr
        why = saxutil.reason(done.stderr or done.stdout)
        raise SaxError(
            f"`{' '.join(command)}` in Pod {self.namespace}/{self.pod} failed ({done.status}): {why}.",
            hint=self._hint(why),
        )

    def _hint(self, why: str) -> str:
        if "is not a directory" in why or "doesn't exist" in why or "no such file" in why:
            return f"There is no cell {self.name} yet: the admin server makes it when it starts. {self._admin()}"
        if any(sign in why for sign in ("deadline exceeded", "Unavailable", "no admin server", "empty location")):
            return f"The admin server of the cell does not answer. {self._admin()}"
        return ""

    def _admin(self) -> str:
        """What keeps the admin server from being ready, or where to look."""
        admin = self.workloads.get("admin")
        found = diagnose.findings(diagnose.collect(self.client, Ref.of(admin))) if admin else []
        told = [f"{finding.reason}: {finding.ref}: {finding.message} {finding.hint}".strip() for finding in found]
        where = f"kubectl logs --namespace {self.namespace} deployment/{self.instance}-admin"
        return " ".join(told) or f"See its log: {where}"


def _workloads(client: Client, namespace: str, instance: str) -> dict[str, Object]:
    """The workloads of an instance by their component.

    :raises InputError: there is no instance, or it is none of Saxml.
    """
    labels = selector(instance, PART_OF)
    found = [
        obj
        for api_version, kind in WORKLOADS
        if client.serves(api_version, kind)
        for obj in client.list(api_version, kind, namespace, labels=labels)
    ]
    if not found:
        raise NoInstanceError(
            f"There is no instance {instance} in namespace {namespace}.",
            hint="Make it with modelops.serving.tpu_serving, or look with modelops.serving.tpu_serving_info.",
        )
    engine = _pod_labels(found[0]).get(NAME_LABEL)
    if engine != "saxml":
        raise InputError(
            f"The engine of the instance {namespace}/{instance} is {engine}, not saxml.",
            hint="Only a cell of Saxml has models that are published to it.",
        )
    return {_pod_labels(obj)[COMPONENT_LABEL]: obj for obj in found}


def _pod_labels(workload: Object) -> t.Mapping[str, str]:
    """Labels of the Pods of a workload. Of those that there are, Saxml has Deployments and JobSets."""
    spec: t.Any = workload["spec"]
    if workload["kind"] == "JobSet":
        spec = spec["replicatedJobs"][0]["template"]["spec"]
    elif workload["kind"] == "LeaderWorkerSet":
        spec = {"template": spec["leaderWorkerTemplate"]["workerTemplate"]}
    return t.cast("t.Mapping[str, str]", spec["template"]["metadata"]["labels"])


def _ready_pod(client: Client, workload: Object) -> str:
    """:raises KubeError: none of its Pods is ready."""
    labels = workload["spec"]["selector"]["matchLabels"]
    namespace = workload["metadata"]["namespace"]
    pods = client.list("v1", "Pod", namespace, labels=",".join(f"{key}={value}" for key, value in labels.items()))
    for pod in pods:
        if ready(pod) and not pod["metadata"].get("deletionTimestamp"):
            return str(pod["metadata"]["name"])
    found = diagnose.findings(diagnose.collect(client, Ref.of(workload)))
    told = "; ".join(f"{finding.reason}: {finding.ref}: {finding.message}" for finding in found)
    raise KubeError(
        f"The Pod with saxutil of {Ref.of(workload)} is not ready: {told or 'it has none yet'}.",
        hint=next((finding.hint for finding in found if finding.hint), "Wait for it, with wait: true in tpu_serving."),
    )
