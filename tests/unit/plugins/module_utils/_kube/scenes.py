# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects as API servers show them, and a client that reads them from memory."""

from __future__ import annotations

import itertools

from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Ref
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import ApiError

_uids = (f"uid-{number}" for number in itertools.count())


def make(api_version, kind, name, *, owner=None, labels=None, generation=1, **fields):
    metadata = {
        "name": name,
        "namespace": "demo",
        "uid": next(_uids),
        "generation": generation,
        "labels": labels or {},
        "creationTimestamp": "2026-11-21T10:00:00Z",
    }
    if owner:
        metadata["ownerReferences"] = [{"kind": owner["kind"], "name": owner["metadata"]["name"], "uid": uid(owner)}]
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}


def uid(obj):
    return obj["metadata"]["uid"]


def workload(kind, name="server", *, spec=None, status=None, **options):
    """A controller with a selector; ``status`` has seen the newest generation."""
    selector = {"matchLabels": {"app": name}}
    status = {"observedGeneration": options.get("generation", 1), **(status or {})}
    group = "batch/v1" if kind == "Job" else "apps/v1"
    return make(group, kind, name, spec={"replicas": 1, "selector": selector, **(spec or {})}, status=status, **options)


def job(name="sync", *, spec=None, status=None, **options):
    found = workload("Job", name, spec={"backoffLimit": 6, **(spec or {})}, status=status, **options)
    del found["spec"]["replicas"], found["status"]["observedGeneration"]
    return found


def condition(kind, status="True", reason="", message="", **more):
    return {"type": kind, "status": status, "reason": reason, "message": message, **more}


def pod(name="server-abc", *, container=None, spec=None, status=None, state=None, owner=None, **more):
    """A Pod with the container ``main``; ``state`` is its state, ``more`` what else its status says."""
    labels = {"app": owner["metadata"]["name"]} if owner else {}
    one = {"name": "main", "image": "registry.example/server:1", **(container or {})}
    statuses = []
    if state is not None:
        statuses = [{"name": "main", "image": one["image"], "ready": False, "restartCount": 0, "state": state, **more}]
    return make(
        "v1",
        "Pod",
        name,
        owner=owner,
        labels=labels,
        spec={"containers": [one], "nodeName": "node-1", **(spec or {})},
        status={"phase": "Pending", "containerStatuses": statuses, **(status or {})},
    )


def waiting(reason, message=""):
    return {"waiting": {"reason": reason, "message": message}}


def ended(code, reason="Error", **more):
    return {"terminated": {"exitCode": code, "reason": reason, **more}}


def event(obj, reason, message, *, kind="Warning", at="2026-11-21T10:00:05Z", count=1, field="", **more):
    about = {"kind": obj["kind"], "name": obj["metadata"]["name"], "namespace": "demo", "uid": uid(obj)}
    about |= {"apiVersion": obj["apiVersion"], "fieldPath": field}
    said = {"reason": reason, "message": message, "type": kind, "lastTimestamp": at, "count": count}
    return make("v1", "Event", f"event-{next(_uids)}", involvedObject=about, **{**said, **more})


def node(name, *, labels=None, allocatable=None, taints=()):
    spec = {"taints": list(taints)} if taints else {}
    return make("v1", "Node", name, labels=labels, spec=spec, status={"allocatable": allocatable or {}})


class FakeClient:
    """Reads from ``objects``. ``forbidden`` holds kinds, ``log`` what every container wrote; ``hooks`` run first."""

    def __init__(self, *objects):
        self.objects = list(objects)
        self.forbidden = set()
        self.log = {}
        self.gets = []
        self.read_logs = []
        self.hook = lambda: None

    def _may(self, kind):
        if kind in self.forbidden:
            raise ApiError(f"no {kind} for you", status=403, reason="Forbidden")

    def get(self, ref):
        self.hook()
        self._may(ref.kind)
        self.gets.append(ref)
        return next(
            (obj for obj in self.objects if (obj["kind"], obj["metadata"]["name"]) == (ref.kind, ref.name)), None
        )

    def list(self, api_version, kind, namespace=None, *, labels="", fields=""):
        self._may(kind)
        wanted = dict(part.split("=", 1) for part in labels.split(",") if part)
        found = [obj for obj in self.objects if obj["kind"] == kind]
        found = [obj for obj in found if wanted.items() <= obj["metadata"]["labels"].items()]
        if fields:
            found = [obj for obj in found if f"involvedObject.uid={obj['involvedObject']['uid']}" == fields]
        return found

    def logs(self, namespace, pod, container, *, tail=None, previous=False, since_time=None):
        self._may("log")
        self.read_logs.append((pod, container, previous))
        return self.log.get((container, previous), "")


def ref(obj):
    return Ref.of(obj)
