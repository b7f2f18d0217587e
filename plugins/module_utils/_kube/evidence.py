# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can be found out about an object that does not become ready: the objects around it and their Events.

Everything is bounded, and what may not be read is noted instead of failing.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from . import podspec
from .client import Client, Object, Ref
from .conditions import conditions
from .errors import ApiError, InputError

#: At most so many: Pods looked at, Pods whose Events are read, Events per object, Secrets and ConfigMaps looked up.
MAX_PODS, MAX_EVENTFUL_PODS, MAX_EVENTS, MAX_LOOKUPS = 20, 5, 20, 20

_POD_CONTROLLERS: t.Final = ("ReplicaSet", "StatefulSet", "DaemonSet", "Job")
# Kinds whose Pods belong to controllers of their own, found by a label: (apiVersion, kind) -> label.
_BY_LABEL: t.Final = {
    "InferenceService": ("serving.kserve.io/inferenceservice", (("apps/v1", "Deployment"),)),
    "LeaderWorkerSet": ("leaderworkerset.sigs.k8s.io/name", (("apps/v1", "StatefulSet"),)),
    "JobSet": ("jobset.sigs.k8s.io/jobset-name", (("batch/v1", "Job"),)),
}
# kro labels what it creates with the instance's uid, and sets no ownerReferences. The label is about to move.
_KRO_LABELS: t.Final = ("kro.run/instance-id", "internal.kro.run/instance-id")
_KRO_KINDS: t.Final = (("apps/v1", "Deployment"), ("apps/v1", "StatefulSet"), ("batch/v1", "Job"))


@dataclass(frozen=True)
class Finding:
    """One thing that keeps an object from becoming ready.

    :param reason: Kubernetes' own word: CreateContainerConfigError, ErrImagePull, FailedScheduling, ...
    :param ref: the object at which it shows, often a Pod.
    :param message: what is wrong; :param hint: the next step.
    :param fatal: it does not heal without somebody changing something.
    :param container: the container of the Pod ``ref`` whose log tells more; ``previous`` for its run before this one.
    :param log: the end of that log, once it was read.
    """

    reason: str
    ref: Ref
    message: str
    hint: str = ""
    fatal: bool = False
    container: str = ""
    previous: bool = False
    log: str = ""


@dataclass(frozen=True)
class Evidence:
    """What was found around an object.

    :param obj: the object itself, None if it does not exist.
    :param owners: it and the controllers below it, down to those that create Pods.
    :param pods: newest first. :param claims: PersistentVolumeClaims of Pods that do not run.
    :param nodes: only when a Pod could not be scheduled.
    :param events: of all of them, oldest first.
    :param stored: keys of the Secrets and ConfigMaps that stuck Pods need; None for those that do not exist.
    :param denied: what may not be read, as ``list pods in namespace demo``.
    """

    ref: Ref
    obj: Object | None = None
    owners: list[Object] = field(default_factory=list)
    pods: list[Object] = field(default_factory=list)
    claims: list[Object] = field(default_factory=list)
    nodes: list[Object] = field(default_factory=list)
    events: list[Object] = field(default_factory=list)
    stored: dict[Ref, frozenset[str] | None] = field(default_factory=dict)
    denied: list[str] = field(default_factory=list)

    def events_of(self, obj: Object) -> list[Object]:
        """Events about exactly this object (not one of the same name before it), oldest first."""
        uid = obj["metadata"].get("uid")
        return [event for event in self.events if involved(event).get("uid") == uid]


def collect(client: Client, ref: Ref, obj: Object | None = None) -> Evidence:
    """Look around one object.

    :param obj: the object, if it was read just now.
    :raises UnavailableError: the API server does not answer.
    """
    return _Collector(client, Evidence(ref)).run(obj or client.get(ref))


def involved(event: Object) -> Object:
    """The object that an Event is about."""
    return event.get("involvedObject") or {}


def seen_at(event: Object) -> str:
    """When the Event was seen last, RFC 3339. Newer components fill eventTime and series, older ones lastTimestamp."""
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return str(next(filter(None, times), event["metadata"].get("creationTimestamp") or ""))


def times_seen(event: Object) -> int:
    """How often it was seen."""
    return int((event.get("series") or {}).get("count") or event.get("count") or 1)


def ready(pod: Object) -> bool:
    """Whether a Pod serves or has done its work."""
    status = pod.get("status") or {}
    return status.get("phase") == "Succeeded" or conditions(pod).get("Ready", {}).get("status") == "True"


def statuses(pod: Object) -> list[Object]:
    """Status of each container in the order in which they start."""
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def waiting_reason(status: Object) -> str:
    """Why a container waits, empty if it does not."""
    return str(((status.get("state") or {}).get("waiting") or {}).get("reason") or "")


def unschedulable(pod: Object) -> Object | None:
    """The condition that says that no node was found for the Pod."""
    found = conditions(pod).get("PodScheduled", {})
    return found if found.get("status") == "False" and found.get("reason") == "Unschedulable" else None


class _Collector:
    """Fills one Evidence, and remembers what it may not read."""

    def __init__(self, client: Client, evidence: Evidence) -> None:
        self._client = client
        self._found = evidence

    def run(self, obj: Object | None) -> Evidence:
        found, ref = self._found, self._found.ref
        if obj is None:
            return found
        found = self._found = Evidence(ref, {"apiVersion": ref.api_version, "kind": ref.kind, **obj})
        self._descend(found.obj or {})
        found.pods.sort(key=lambda pod: str(pod["metadata"].get("creationTimestamp") or ""), reverse=True)
        del found.pods[MAX_PODS:]
        self._claims()
        if any(map(unschedulable, found.pods)):
            found.nodes.extend(self._list("v1", "Node"))
        self._events()
        self._stored()
        return found

    def _descend(self, obj: Object) -> None:
        """Go from an object to the Pods that are there because of it."""
        kind, metadata = obj["kind"], obj["metadata"]
        self._found.owners.append(obj)
        if kind == "Pod":
            self._found.pods.append(obj)
        elif kind == "Deployment":
            for replica_set in self._newest_replica_set(obj):
                self._descend(replica_set)
        elif kind in _POD_CONTROLLERS:
            self._found.pods.extend(self._owned("v1", "Pod", obj))
        elif kind in _BY_LABEL:
            label, kinds = _BY_LABEL[kind]
            self._descend_to(kinds, f"{label}={metadata['name']}", metadata.get("namespace"))
        elif str(obj["apiVersion"]).startswith("kro.run/"):
            for label in _KRO_LABELS:
                self._descend_to(_KRO_KINDS, f"{label}={metadata.get('uid')}", metadata.get("namespace"))

    def _descend_to(self, kinds: t.Iterable[tuple[str, str]], labels: str, namespace: str | None) -> None:
        for api_version, kind in kinds:
            for child in self._list(api_version, kind, namespace, labels=labels)[:MAX_PODS]:
                self._descend(child)

    def _newest_replica_set(self, deployment: Object) -> list[Object]:
        """The ReplicaSet of the newest rollout: what an old one did does not matter any more."""
        mark = "deployment.kubernetes.io/revision"

        def revision(item: Object) -> int:
            text = str((item["metadata"].get("annotations") or {}).get(mark, ""))
            return int(text) if text.isdigit() else 0

        return sorted(self._owned("apps/v1", "ReplicaSet", deployment), key=revision)[-1:]

    def _owned(self, api_version: str, kind: str, owner: Object) -> list[Object]:
        labels = _selector((owner.get("spec") or {}).get("selector") or {})
        if not labels:
            return []
        uid = owner["metadata"].get("uid")
        return [
            item
            for item in self._list(api_version, kind, owner["metadata"].get("namespace"), labels=labels)
            if any(entry.get("uid") == uid for entry in item["metadata"].get("ownerReferences") or ())
        ]

    def _claims(self) -> None:
        found = self._found
        if found.ref.kind == "PersistentVolumeClaim" and found.obj:
            found.claims.append(found.obj)
            return
        pending = [pod for pod in found.pods if (pod.get("status") or {}).get("phase") == "Pending"]
        names = {(pod["metadata"].get("namespace"), name): None for pod in pending for name in podspec.claims(pod)}
        for namespace, name in list(names)[:MAX_EVENTFUL_PODS]:
            claim = self._get(Ref("v1", "PersistentVolumeClaim", name, namespace))
            if claim:
                found.claims.append({"apiVersion": "v1", "kind": "PersistentVolumeClaim", **claim})

    def _events(self) -> None:
        found = self._found
        eventful = [pod for pod in found.pods if not ready(pod)][:MAX_EVENTFUL_PODS]
        objects = {item["metadata"].get("uid"): item for item in (*found.owners, *eventful, *found.claims)}
        for uid, item in objects.items():
            namespace = item["metadata"].get("namespace") or "default"  # where those of cluster-wide objects lie
            events = self._list("v1", "Event", namespace, fields=f"involvedObject.uid={uid}") if uid else []
            found.events.extend(sorted(events, key=seen_at)[-MAX_EVENTS:])
        found.events.sort(key=seen_at)

    def _stored(self) -> None:
        """Look up what containers that cannot be created need, so that all that is missing is named at once."""
        stuck = ("CreateContainerConfigError", "ContainerCreating", "PodInitializing")
        for pod in self._found.pods:
            if (pod.get("spec") or {}).get("nodeName") and any(waiting_reason(one) in stuck for one in statuses(pod)):
                for need in podspec.needs(pod):
                    if need.ref not in self._found.stored and len(self._found.stored) < MAX_LOOKUPS:
                        self._look_up(need.ref)

    def _look_up(self, ref: Ref) -> None:
        found = self._get(ref)
        if found is not None:
            self._found.stored[ref] = frozenset({**(found.get("data") or {}), **(found.get("binaryData") or {})})
        elif f"get {_plural(ref)}" not in self._found.denied:
            self._found.stored[ref] = None

    def _get(self, ref: Ref) -> Object | None:
        if f"get {_plural(ref)}" in self._found.denied:
            return None
        try:
            return self._client.get(ref)
        except ApiError as error:
            self._deny(error, f"get {_plural(ref)}")
            return None

    def _list(
        self, api_version: str, kind: str, namespace: str | None = None, *, labels: str = "", fields: str = ""
    ) -> list[Object]:
        what = f"list {_plural(Ref(api_version, kind, '', namespace))}"
        if what in self._found.denied:
            return []
        try:
            return self._client.list(api_version, kind, namespace, labels=labels, fields=fields)
        except InputError:  # a kind that the cluster does not serve
            return []
        except ApiError as error:
            self._deny(error, what)
            return []

    def _deny(self, error: ApiError, what: str) -> None:
        if error.status != 403:
            raise error
        self._found.denied.append(what)


def _plural(ref: Ref) -> str:
    """``pods in namespace demo``, as RBAC rules name resources."""
    name = f"{ref.kind.lower()}s"
    return f"{name} in namespace {ref.namespace}" if ref.namespace else name


def _selector(selector: Object) -> str:
    """A LabelSelector as the text that list requests take."""
    parts = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or ():
        key, values = expression["key"], ",".join(expression.get("values") or ())
        words = {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "DoesNotExist": f"!{key}"}
        parts.append(words.get(expression["operator"], key))
    return ",".join(parts)
