# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which instances there are, found by their labels, and how they are."""

from __future__ import annotations

import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._endpoint import kserve
from ansible_collections.modelops.serving.plugins.module_utils._endpoint.rollout import (
    PART_OF,
    WORKLOADS,
    replicas,
    targets,
)
from ansible_collections.modelops.serving.plugins.module_utils._kube import diagnose
from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Client, Object, Ref
from ansible_collections.modelops.serving.plugins.module_utils._kube.objects import (
    INSTANCE_LABEL,
    MANAGED_BY,
    MANAGED_BY_LABEL,
    PART_OF_LABEL,
)
from ansible_collections.modelops.serving.plugins.module_utils._kube.wait import judge
from ansible_collections.modelops.serving.plugins.module_utils._serving.engine import COMPONENT_LABEL, NAME_LABEL
from ansible_collections.modelops.serving.plugins.module_utils._serving.kserve import SERVICE_API

# Components whose Pods hold the model; an engine may have helpers beside them.
_SERVERS = ("server", "model")


def look(client: Client, namespace: str | None = None, name: str | None = None) -> list[Object]:
    """Describe the instances of a namespace, or of all, or the one of that name in each.

    :returns: ``name``, ``namespace``, ``engine``, ``image``, ``endpoint``, ``replicas``, ``ready_replicas``, ``ready``,
        ``status`` and ``problems``, by namespace and name.
    :raises KubeError: the API server refuses or does not answer.
    """
    labels = f"{MANAGED_BY_LABEL}={MANAGED_BY},{PART_OF_LABEL}={PART_OF}"
    if name:
        labels += f",{INSTANCE_LABEL}={name}"
    workloads: dict[tuple[str, str], list[Object]] = {}
    for api_version, kind in WORKLOADS:
        if client.serves(api_version, kind):
            for obj in client.list(api_version, kind, namespace, labels=labels):
                metadata = obj["metadata"]
                workloads.setdefault((metadata["namespace"], metadata["labels"][INSTANCE_LABEL]), []).append(obj)
    endpoints = _endpoints(client, namespace, labels, workloads)
    return [_describe(client, key, workloads[key], endpoints.get(key)) for key in sorted(workloads)]


def _endpoints(
    client: Client, namespace: str | None, labels: str, workloads: t.Mapping[tuple[str, str], list[Object]]
) -> dict[tuple[str, str], str | None]:
    """By namespace and name. That of an instance of KServe is none until KServe has told it."""
    found: dict[tuple[str, str], str | None] = {}
    for obj in client.list("v1", "Service", namespace, labels=labels) if workloads else ():
        place, name = obj["metadata"]["namespace"], obj["metadata"]["name"]
        found[place, name] = f"http://{name}.{place}.svc:{obj['spec']['ports'][0]['port']}"
    owners = (
        owner for key in workloads for obj in workloads[key] for owner in obj["metadata"].get("ownerReferences") or ()
    )
    if any(owner["kind"] == "InferenceService" for owner in owners):
        for obj in client.list(SERVICE_API, "InferenceService", namespace, labels=labels):
            found[obj["metadata"]["namespace"], obj["metadata"]["name"]] = kserve.url(obj) or None
    return found


def _describe(client: Client, key: tuple[str, str], workloads: list[Object], endpoint: str | None) -> Object:
    namespace, name = key
    server = next((obj for obj in workloads if _labels(obj).get(COMPONENT_LABEL) in _SERVERS), workloads[0])
    verdicts = [(target, judge(target, obj)) for target, obj in zip(targets(workloads), workloads, strict=True)]
    troubled = [(target.ref, verdict) for target, verdict in verdicts if verdict.state != "ready"]
    wanted, ready = replicas(server)
    return {
        "name": name,
        "namespace": namespace,
        "engine": _labels(server).get(NAME_LABEL),
        "image": _template(server)["spec"]["containers"][0]["image"],
        "endpoint": endpoint,
        "replicas": wanted,
        "ready_replicas": ready,
        "ready": not troubled,
        "status": "; ".join(f"{ref}: {verdict.message}" for ref, verdict in troubled),
        "problems": [problem for ref, _verdict in troubled for problem in _problems(client, ref)],
    }


def _problems(client: Client, ref: Ref) -> list[Object]:
    return [
        {
            "reason": finding.reason,
            "object": str(finding.ref),
            "message": finding.message,
            "hint": finding.hint,
            "fatal": finding.fatal,
            "log": finding.log,
        }
        for finding in diagnose.explain(client, ref)
    ]


def _template(obj: Object) -> Object:
    """Of the Pods that serve."""
    spec: t.Any = obj["spec"]
    if obj["kind"] == "JobSet":
        return t.cast("Object", spec["replicatedJobs"][0]["template"]["spec"]["template"])
    if obj["kind"] == "LeaderWorkerSet":
        group = spec["leaderWorkerTemplate"]
        return t.cast("Object", group.get("leaderTemplate") or group["workerTemplate"])
    return t.cast("Object", spec["template"])


def _labels(obj: Object) -> t.Mapping[str, str]:
    return t.cast("Object", _template(obj).get("metadata") or {}).get("labels") or {}
