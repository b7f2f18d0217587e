# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The objects of an instance in a cluster: which are its own, when they are ready, and how to go back."""

from __future__ import annotations

import dataclasses
import json
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._kube.apply import (
    MANAGER,
    ApplyOptions,
    Change,
    Prune,
    apply,
    remove,
)
from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Client, Object, Ref
from ansible_collections.modelops.serving.plugins.module_utils._kube.objects import prepare, selector
from ansible_collections.modelops.serving.plugins.module_utils._kube.wait import Target, Waiter
from ansible_collections.modelops.serving.plugins.module_utils._serving import build
from ansible_collections.modelops.serving.plugins.module_utils._serving.build import Features
from ansible_collections.modelops.serving.plugins.module_utils._serving.extras import Extras
from ansible_collections.modelops.serving.plugins.module_utils._serving.instance import Instance

#: Label of all objects of instances, which keeps them apart from those of a sync of the same name.
PART_OF = "serving"
#: What makes Pods.
WORKLOADS = (
    ("apps/v1", "Deployment"),
    ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet"),
    ("jobset.x-k8s.io/v1alpha2", "JobSet"),
)
_KINDS = (
    *WORKLOADS,
    ("v1", "ServiceAccount"),
    ("v1", "Service"),
    ("policy/v1", "PodDisruptionBudget"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("keda.sh/v1alpha1", "ScaledObject"),
    ("monitoring.googleapis.com/v1", "PodMonitoring"),
    ("monitoring.coreos.com/v1", "PodMonitor"),
    ("inference.networking.k8s.io/v1", "InferencePool"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
)
# The size of a group and what a JobSet runs cannot be changed in place.
_REPLACED = frozenset({"LeaderWorkerSet", "JobSet"})
_RESTARTED = "kubectl.kubernetes.io/restartedAt"


def definitions(instance: Instance, extras: Extras, features: Features) -> list[Object]:
    """All objects of an instance that has been checked, with labels of ownership; of workloads the one that is asked comes first.

    A ComputeClass belongs to the whole cluster, and so not to one of the instances that share it.

    :raises InputError: something cannot be mounted.
    """
    made = build.objects(instance, extras, features)
    own = [obj for obj in made if "namespace" in obj["metadata"]]
    prepared = prepare(own, instance=instance.name, part_of=PART_OF, namespaced=lambda *_kind: True)
    for obj in made:
        if "namespace" not in obj["metadata"]:
            shared = obj["metadata"]["name"]
            prepared += prepare([obj], instance=shared, part_of=PART_OF, namespaced=lambda *_kind: False)
    return prepared


def everything(name: str, namespace: str, features: Features, more: t.Iterable[tuple[str, str]] = ()) -> Prune:
    """What belongs to an instance, by its labels.

    :param more: kinds beside those of which every instance may have objects.
    """
    kinds = tuple((features.versions.get(kind, api_version), kind) for api_version, kind in (*_KINDS, *more))
    return Prune(kinds, namespace, selector(name, PART_OF))


def options(*, check: bool, force: bool, prune: Prune | None = None) -> ApplyOptions:
    """How objects of instances are applied."""
    return ApplyOptions(check=check, force_conflicts=force, prune=prune, replace=_REPLACED)


def restarted_at(client: Client, objects: t.Iterable[Object]) -> str | None:
    """When the instance was restarted by this collection, so that applying it again does not undo that."""
    live = client.get(targets(objects)[0].ref)
    return _find(applied(live), _RESTARTED) if live else None


def _find(value: t.Any, key: str) -> str | None:
    """The first value of a key, however deep."""
    if isinstance(value, dict) and key in value:
        return str(value[key])
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((found for item in inner if (found := _find(item, key))), None)


# -- ready -------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class JobsReady:
    """All Jobs of a JobSet run: those of a server never complete."""

    def __str__(self) -> str:
        return "all of its Jobs ready"

    def met(self, obj: Object) -> bool:
        """Whether the object meets it."""
        ready = {
            item.get("name"): item.get("ready") or 0
            for item in (obj.get("status") or {}).get("replicatedJobsStatus") or ()
        }
        return all(ready.get(job["name"], 0) >= job.get("replicas", 1) for job in obj["spec"]["replicatedJobs"])


def targets(objects: t.Iterable[Object]) -> list[Target]:
    """What has to become ready."""
    kinds = {"InferenceService", *(kind for _version, kind in WORKLOADS)}
    return [
        Target(Ref.of(obj), JobsReady() if obj["kind"] == "JobSet" else None) for obj in objects if obj["kind"] in kinds
    ]


def replicas(obj: Object) -> tuple[int, int]:
    """How many servers a workload is to have, and how many are ready."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    if obj["kind"] == "JobSet":
        ready = sum(item.get("ready") or 0 for item in status.get("replicatedJobsStatus") or ())
        return sum(job.get("replicas", 1) for job in spec["replicatedJobs"]), ready
    if obj["kind"] == "InferenceService":
        copies = (status.get("modelStatus") or {}).get("copies") or {}
        return spec["predictor"].get("minReplicas", 1), copies.get("totalCopies") or 0
    return spec.get("replicas", 1), status.get("readyReplicas") or 0


# -- back --------------------------------------------------------------------------------------------------------------


def go_back(client: Client, changes: t.Iterable[Change], waiter: Waiter) -> None:
    """Make objects as they were before the changes, remove those that the changes created, and wait for both.

    :raises KubeError: the API server refused, or what was there before does not become ready again.
    """
    done = [change for change in changes if change.action != "none"]
    removed = remove(client, [change.ref for change in done if change.before is None])
    before = [applied(change.before) for change in done if change.before is not None]
    # What was taken over from another manager meanwhile is ours now.
    apply(client, before, options(check=False, force=True))
    waiter.wait(targets(before))
    waiter.wait_gone([change.ref for change in removed])


def applied(live: Object) -> Object:
    """What this collection had applied of a live object, by its ``managedFields``; what others added stays theirs."""
    fields = next(
        (
            entry.get("fieldsV1") or {}
            for entry in live["metadata"].get("managedFields") or ()
            if entry.get("manager") == MANAGER and entry.get("operation") == "Apply"
        ),
        {},
    )
    metadata = {key: live["metadata"][key] for key in ("name", "namespace") if key in live["metadata"]}
    found = _part(live, fields) if fields else {}
    return {
        "apiVersion": live["apiVersion"],
        "kind": live["kind"],
        **found,
        "metadata": {**metadata, **found.get("metadata", {})},
    }


def _part(value: t.Any, fields: Object) -> t.Any:
    """The part of a value that a set of fields names; one without names is the whole value."""
    named = {name: below for name, below in fields.items() if name != "."}
    if isinstance(value, dict) and (named or "." in fields):
        return {name[2:]: _part(value[name[2:]], below) for name, below in named.items() if name[2:] in value}
    if isinstance(value, list) and named:
        return [
            _part(item, below) if name.startswith("k:") else item
            for item in value
            for name, below in named.items()
            if _is(item, name)
        ]
    return value


def _is(item: t.Any, name: str) -> bool:
    """Whether an item of a merged list has this name in ``fieldsV1``: ``k:{"name":"server"}`` or ``v:"value"``."""
    what, _colon, text = name.partition(":")
    key = json.loads(text)
    return bool(key.items() <= item.items()) if what == "k" else item == key
