# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether an object is ready, has failed, or is on its way: success and failure read together, kind by kind."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .client import Object
from .conditions import conditions, outdated, unseen


@dataclass(frozen=True)
class Verdict:
    """What an object's status says of it, in words that end no sentence.

    :param lasting: False for what may be over in a moment: a failure of a controller that tries again by itself, and
        Pods that run, which without a readinessProbe are ready before they crash.
    :param since: when the controller said so, for a failure that stays in the status although things may have become
        better: a Deployment keeps ProgressDeadlineExceeded until a new Pod is ready. Empty for all others.
    """

    state: t.Literal["ready", "failed", "waiting"]
    message: str
    lasting: bool = True
    since: str = ""


def assess(obj: Object) -> Verdict:
    """Judge one object as the API server returned it. Kinds without a status worth reading are ready."""
    if (obj.get("metadata") or {}).get("deletionTimestamp"):
        return Verdict("failed", deletion(obj))
    if unseen(obj):
        return Verdict("waiting", "its controller has not yet seen the newest change")
    group, _slash, _version = str(obj.get("apiVersion", "")).rpartition("/")
    kind = str(obj.get("kind", ""))
    if group == "kro.run" and kind != "ResourceGraphDefinition":
        return _kro_instance(obj)
    return _KINDS.get((group, kind), _by_conditions)(obj)


def deletion(obj: Object) -> str:
    """What holds up the deletion of an object that has a deletionTimestamp."""
    metadata = obj["metadata"]
    text = f"being deleted since {metadata['deletionTimestamp']}"
    finalizers = [*metadata.get("finalizers", ()), *(obj.get("spec") or {}).get("finalizers", ())]
    if finalizers:
        text += f", held by the finalizers {', '.join(map(str, finalizers))}"
    remaining = [item.get("message", "") for item in conditions(obj).values() if item.get("status") == "True"]
    if obj.get("kind") == "Namespace" and remaining:
        text += f": {' '.join(remaining)}"
    return text


def _ready(message: str, *, lasting: bool = True) -> Verdict:
    return Verdict("ready", message, lasting=lasting)


def _waiting(message: str) -> Verdict:
    return Verdict("waiting", message)


def _status(obj: Object) -> Object:
    return obj.get("status") or {}


def _spec(obj: Object) -> Object:
    return obj.get("spec") or {}


def _desired(obj: Object) -> int:
    """``spec.replicas``, which defaults to 1."""
    replicas = _spec(obj).get("replicas")
    return 1 if replicas is None else int(replicas)


def _count(obj: Object, name: str) -> int:
    """A number of the status; the API server leaves out zeros."""
    return int(_status(obj).get(name) or 0)


def _told(condition: Object) -> str:
    """A condition's reason and message."""
    return ": ".join(str(condition[name]) for name in ("reason", "message") if condition.get(name))


def _is(obj: Object, name: str, status: str = "True") -> Object | None:
    """The condition of that type if it has that status for the newest generation."""
    found = conditions(obj).get(name)
    return found if found and found.get("status") == status and not outdated(obj, found) else None


def _new(obj: Object) -> bool:
    """Whether a controller that always sets observedGeneration has not yet looked at the object at all."""
    return "observedGeneration" not in _status(obj)


def _deployment(obj: Object) -> Verdict:
    desired = _desired(obj)
    updated, available = _count(obj, "updatedReplicas"), _count(obj, "availableReplicas")
    text = f"{available}/{desired} replicas available, {updated} updated"
    old = _count(obj, "replicas") - updated
    if not _new(obj) and updated >= desired and available >= desired and old <= 0:
        return _ready(text, lasting=False)
    if old > 0:
        text += f", {old} of the old ones left"
    progressing = _is(obj, "Progressing", "False")
    # https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#failed-deployment
    # KServe gives each of its Deployments 600 seconds, in which a large model is not even copied.
    impatient = any(one.get("kind") == "InferenceService" for one in obj["metadata"].get("ownerReferences") or ())
    if progressing and progressing.get("reason") == "ProgressDeadlineExceeded" and not impatient:
        since = str(progressing.get("lastUpdateTime") or progressing.get("lastTransitionTime") or "")
        return Verdict("failed", f"{_told(progressing)} ({text})", since=since)
    failure = _is(obj, "ReplicaFailure") or progressing
    if failure:
        text += f"; {_told(failure)}"
    if _spec(obj).get("paused"):
        text += "; the rollout is paused (spec.paused)"
    return _waiting(text)


def _replica_set(obj: Object) -> Verdict:
    desired, available = _desired(obj), _count(obj, "availableReplicas")
    text = f"{available}/{desired} replicas available"
    failure = _is(obj, "ReplicaFailure")
    if not _new(obj) and available >= desired:
        return _ready(text, lasting=False)
    return _waiting(f"{text}; {_told(failure)}" if failure else text)


def _stateful_set(obj: Object) -> Verdict:
    desired = _desired(obj)
    # Without minReadySeconds both are the same, but availableReplicas is younger (1.22) than readyReplicas.
    ready = _count(obj, "availableReplicas" if _spec(obj).get("minReadySeconds") else "readyReplicas")
    strategy = _spec(obj).get("updateStrategy") or {}
    text = f"{ready}/{desired} replicas ready"
    if strategy.get("type") == "OnDelete":
        updated = to_update = 0
    else:
        to_update = max(0, desired - int((strategy.get("rollingUpdate") or {}).get("partition") or 0))
        # updatedReplicas is left out of the status once the update is complete and currentRevision is the new one.
        same = _status(obj).get("currentRevision") == _status(obj).get("updateRevision")
        updated = to_update if same else _count(obj, "updatedReplicas")
        text += f", {min(updated, to_update)}/{to_update} updated"
    done = not _new(obj) and ready >= desired and updated >= to_update
    return _ready(text, lasting=False) if done else _waiting(text)


def _daemon_set(obj: Object) -> Verdict:
    desired, available = _count(obj, "desiredNumberScheduled"), _count(obj, "numberAvailable")
    text = f"{available}/{desired} Pods available"
    on_delete = (_spec(obj).get("updateStrategy") or {}).get("type") == "OnDelete"
    updated = desired if on_delete else _count(obj, "updatedNumberScheduled")
    if not on_delete:
        text += f", {updated} updated"
    done = not _new(obj) and available >= desired and updated >= desired
    return _ready(text, lasting=False) if done else _waiting(text)


def _job(obj: Object) -> Verdict:
    if _is(obj, "Complete"):
        return _ready(f"complete, {_count(obj, 'succeeded')} succeeded")
    # FailureTarget (1.31): it has failed and only waits for its last Pods to end.
    failed = _is(obj, "Failed") or _is(obj, "FailureTarget")
    spec = _spec(obj)
    text = f"{_count(obj, 'active')} active, {_count(obj, 'succeeded')}/{spec.get('completions') or 1} succeeded"
    if _count(obj, "failed"):
        text += f", {_count(obj, 'failed')} failed (backoffLimit {spec.get('backoffLimit', 6)})"
    if _status(obj).get("failedIndexes"):
        text += f", failed indexes {_status(obj)['failedIndexes']}"
    if failed:
        return Verdict("failed", f"{_told(failed)} ({text})")
    if _is(obj, "Suspended") or spec.get("suspend"):
        text += "; suspended (spec.suspend)"
    return _waiting(text)


def _pod(obj: Object) -> Verdict:
    status = _status(obj)
    phase = str(status.get("phase") or "Pending")
    if phase == "Succeeded":
        return _ready("Succeeded")
    told = _told(status)
    if phase == "Failed":
        ends = [
            f"container {item['name']} exited with {end.get('exitCode')} ({end.get('reason', 'Error')})"
            for item in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ()))
            if (end := (item.get("state") or {}).get("terminated")) and end.get("exitCode")
        ]
        return Verdict("failed", "; ".join(["Failed", *filter(None, [told]), *ends]))
    if phase == "Running" and _is(obj, "Ready"):
        return _ready("Running, Ready", lasting=False)
    if phase == "Running":
        return _waiting(f"Running, not Ready: {told or _told(conditions(obj).get('Ready', {}))}".removesuffix(": "))
    blocked = _is(obj, "PodScheduled", "False")
    waits = [
        f"container {item['name']}: {waiting['reason']}"
        for item in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ()))
        if (waiting := (item.get("state") or {}).get("waiting")) and waiting.get("reason")
    ]
    return _waiting("; ".join([phase, *filter(None, [told, _told(blocked or {})]), *waits]))


def _claim(obj: Object) -> Verdict:
    phase = str(_status(obj).get("phase") or "Pending")
    if phase == "Bound":
        return _ready("Bound")
    if phase == "Lost":
        return Verdict("failed", f"Lost: its PersistentVolume {_spec(obj).get('volumeName', '')} is gone")
    return _waiting(phase)


def _service(obj: Object) -> Verdict:
    if _spec(obj).get("type") != "LoadBalancer":
        return _ready("exists")
    ingress = (_status(obj).get("loadBalancer") or {}).get("ingress") or []
    addresses = [str(item.get("ip") or item.get("hostname")) for item in ingress]
    return _ready(f"load balancer at {', '.join(addresses)}") if addresses else _waiting("has no load balancer yet")


def _namespace(obj: Object) -> Verdict:
    phase = str(_status(obj).get("phase") or "")
    if phase == "Terminating":
        return Verdict("failed", "Terminating")
    return _ready("Active") if phase == "Active" else _waiting(phase or "new")


def _crd(obj: Object) -> Verdict:
    if _is(obj, "Established"):
        return _ready("Established")
    refused = _is(obj, "NamesAccepted", "False")
    if refused:
        return Verdict("failed", f"its names are taken: {_told(refused)}", lasting=False)
    return _waiting("not Established")


def _leader_worker_set(obj: Object) -> Verdict:
    """leaderworkerset.x-k8s.io/v1: Available, Progressing and UpdateInProgress take turns."""
    desired, ready = _desired(obj), _count(obj, "readyReplicas")
    text = f"{ready}/{desired} groups ready, {_count(obj, 'updatedReplicas')} updated"
    if _is(obj, "Available") and not _is(obj, "UpdateInProgress") and ready >= desired:
        return _ready(text, lasting=False)
    return _waiting(text)


def _job_set(obj: Object) -> Verdict:
    if _is(obj, "Completed"):
        return _ready("Completed")
    failed = _is(obj, "Failed")
    if failed:
        return Verdict("failed", _told(failed))
    jobs = [
        f"{item.get('name')}: {item.get('ready', 0)} ready, {item.get('succeeded', 0)} succeeded, "
        f"{item.get('failed', 0)} failed"
        for item in _status(obj).get("replicatedJobsStatus", ())
    ]
    return _waiting("; ".join(["suspended" if _spec(obj).get("suspend") else "not Completed", *jobs]))


def _kro_instance(obj: Object) -> Verdict:
    """kro writes ``status.state`` and conditions, and tries again after an error by itself."""
    state = str(_status(obj).get("state") or "")
    wrong = [_told(item) for item in conditions(obj).values() if item.get("status") == "False" and _told(item)]
    text = "; ".join([state or "not seen by kro yet", *wrong])
    if state == "ACTIVE" and not _is(obj, "Ready", "False"):
        return _ready(state)
    return Verdict("failed", text, lasting=False) if state in ("ERROR", "FAILED") else _waiting(text)


def _gateway(obj: Object) -> Verdict:
    refused = _is(obj, "Accepted", "False")
    if refused and refused.get("reason") != "Pending":
        return Verdict("failed", f"not Accepted: {_told(refused)}", lasting=False)
    if _is(obj, "Accepted") and _is(obj, "Programmed"):
        return _ready("Accepted, Programmed")
    return _waiting(_told(conditions(obj).get("Programmed", {})) or "not Programmed")


def _route(obj: Object) -> Verdict:
    """HTTPRoute and its kin have their conditions per parent Gateway."""
    parents = _status(obj).get("parents") or []
    if not parents:
        return _waiting("not seen by any Gateway yet")
    text, accepted = [], 0
    for parent in parents:
        name = (parent.get("parentRef") or {}).get("name", "")
        one: Object = {"metadata": obj.get("metadata"), "status": parent}
        for kind in ("Accepted", "ResolvedRefs"):
            refused = _is(one, kind, "False")
            if refused and refused.get("reason") != "Pending":
                return Verdict("failed", f"Gateway {name}: {kind} is False: {_told(refused)}", lasting=False)
        accepted += bool(_is(one, "Accepted"))
        text.append(str(name))
    state = f"accepted by {accepted} of {len(parents)} Gateways ({', '.join(text)})"
    return _ready(state) if accepted == len(parents) else _waiting(state)


def _inference_service(obj: Object) -> Verdict:
    """serving.kserve.io/v1beta1, beside its conditions ``status.modelStatus``.

    A model that failed to load is tried again: whether that is for good, its Pods say.
    https://github.com/kserve/kserve/blob/master/pkg/apis/serving/v1beta1/inference_service_status.go
    """
    model = _status(obj).get("modelStatus") or {}
    state, info = model.get("transitionStatus"), model.get("lastFailureInfo") or {}
    if state == "InvalidSpec":
        return Verdict("failed", f"InvalidSpec: {_told(info)}", lasting=False)
    ready = _is(obj, "Ready")
    if ready and state in (None, "", "UpToDate"):
        return _ready("Ready", lasting=False)
    wrong = [
        f"{name} is {item.get('status')}: {_told(item)}".removesuffix(": ")
        for name, item in conditions(obj).items()
        if name != "Stopped" and item.get("status") != "True"
    ]
    if _is(obj, "Stopped"):
        wrong.append("Stopped (annotation serving.kserve.io/stop)")
    failed = [f"{state}: {_told(info)}".removesuffix(": ")] if state == "BlockedByFailedLoad" else []
    return _waiting("; ".join([*failed, *wrong]) or str(state or "not seen by KServe yet"))


def _by_conditions(obj: Object) -> Verdict:
    """Any other kind: Stalled and Failed say it has failed, the first that it has of Ready and its like how far it is.

    https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md
    """
    for name in ("Stalled", "Failed"):
        wrong = _is(obj, name)
        if wrong:
            return Verdict("failed", f"{name}: {_told(wrong)}", lasting=False)
    known = conditions(obj)
    for name in ("Ready", "Available", "Complete", "Completed", "Succeeded", "Established", "Healthy"):
        if _is(obj, name):
            return _ready(name)
        if name in known:
            return _waiting(f"{name} is {known[name].get('status')}: {_told(known[name])}".removesuffix(": "))
    return _ready("exists")


_KINDS: t.Final[dict[tuple[str, str], t.Callable[[Object], Verdict]]] = {
    ("", "Namespace"): _namespace,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "Pod"): _pod,
    ("", "Service"): _service,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _crd,
    ("apps", "DaemonSet"): _daemon_set,
    ("apps", "Deployment"): _deployment,
    ("apps", "ReplicaSet"): _replica_set,
    ("apps", "StatefulSet"): _stateful_set,
    ("batch", "CronJob"): lambda _cron_job: _ready("exists"),
    ("batch", "Job"): _job,
    ("gateway.networking.k8s.io", "GRPCRoute"): _route,
    ("gateway.networking.k8s.io", "Gateway"): _gateway,
    ("gateway.networking.k8s.io", "HTTPRoute"): _route,
    ("jobset.x-k8s.io", "JobSet"): _job_set,
    ("leaderworkerset.x-k8s.io", "LeaderWorkerSet"): _leader_worker_set,
    ("serving.kserve.io", "InferenceService"): _inference_service,
}
