# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why an object does not become ready: collect evidence, read it, and say cause and next step in Kubernetes' words."""

from __future__ import annotations

import dataclasses

from . import pods, refusals
from .client import Client, Object, Ref
from .conditions import conditions
from .errors import ApiError
from .evidence import Evidence, Finding, collect, involved, seen_at, times_seen
from .kinds import deletion

__all__ = ["Evidence", "Finding", "collect", "explain", "findings", "warning_events", "with_logs"]

#: The end of a log that is shown.
LOG_LINES, LOG_CHARACTERS, MAX_LOGS = 20, 2000, 2
MAX_SHOWN_EVENTS = 8

_STORAGE_EVENTS = ("ProvisioningFailed", "FailedBinding", "WaitForFirstConsumer", "WaitForPodScheduled",
                   "ExternalProvisioning", "Provisioning", "ProvisioningSucceeded")  # fmt: skip


def explain(client: Client, ref: Ref) -> list[Finding]:
    """All that keeps one object from becoming ready, fatal findings first, with the logs that tell more.

    :raises UnavailableError: the API server does not answer.
    """
    return with_logs(client, findings(collect(client, ref)))


def findings(evidence: Evidence) -> list[Finding]:
    """Read the evidence. Fatal findings come first, what may not be read comes last."""
    found = [
        *_terminating(evidence),
        *_refused(evidence),
        *(finding for pod in evidence.pods for finding in pods.findings(pod, evidence)),
        *_claims(evidence),
        *_job(evidence),
    ]
    found += _other_events(evidence, found)
    once: dict[tuple[str, str, str], Finding] = {}
    for finding in found:  # the Pods of one workload mostly suffer from the same
        once.setdefault((finding.reason, finding.message, finding.hint), finding)
    denied = [
        Finding("Forbidden", evidence.ref, f"More could be said with the permission to {what}.")
        for what in evidence.denied
    ]
    return [*sorted(once.values(), key=lambda finding: not finding.fatal), *denied]


def with_logs(client: Client, found: list[Finding]) -> list[Finding]:
    """Read the ends of the logs that tell more; at most a few, and not those that may not be read."""
    result, read = [], 0
    for finding in found:
        log = ""
        if finding.container and read < MAX_LOGS:
            read += 1
            log = _tail(client, finding)
        result.append(dataclasses.replace(finding, log=log))
    return result


def _tail(client: Client, finding: Finding) -> str:
    """The end of a container's log, of its last run where the one before that is gone."""
    where = (finding.ref.namespace or "", finding.ref.name, finding.container)
    for previous in dict.fromkeys((finding.previous, False)):
        try:
            text = client.logs(*where, tail=LOG_LINES, previous=previous).strip()
        except ApiError as error:
            return f"(cannot be read: {error.message})"
        if text:
            return text[-LOG_CHARACTERS:]
    return ""


def warning_events(evidence: Evidence) -> list[str]:
    """The newest Warning Events, one line each, newest last."""
    lines: dict[tuple[str, str, str], str] = {}
    for event in evidence.events:
        if event.get("type") == "Warning":
            about = involved(event)
            count = times_seen(event)
            text = " ".join(str(event.get("message") or "").split())[:400]
            line = f"{seen_at(event)} {about.get('kind')} {about.get('name')}: {event.get('reason')}: {text}"
            key = (str(about.get("name")), str(event.get("reason")), text)
            lines.pop(key, None)
            lines[key] = line + (f" (x{count})" if count > 1 else "")
    return list(lines.values())[-MAX_SHOWN_EVENTS:]


def _terminating(evidence: Evidence) -> list[Finding]:
    """The object is on its way out, and what holds it up."""
    obj = evidence.obj
    if obj is None or not obj["metadata"].get("deletionTimestamp"):
        return []
    name, namespace = evidence.ref.name, evidence.ref.namespace
    where = f" --namespace {namespace}" if namespace else ""
    hint = f"See what holds it: kubectl get {obj['kind'].lower()} {name}{where} --output yaml"
    reason = "Terminating"
    if obj["kind"] == "Namespace":
        held = [kind for kind, item in conditions(obj).items() if item.get("status") == "True"]
        reason = next((kind for kind in held if kind == "NamespaceFinalizersRemaining"), next(iter(held), reason))
        hint = (
            f"See what is left: kubectl api-resources --verbs=list --namespaced --output name | xargs -n 1 kubectl get "
            f"--namespace {name} --ignore-not-found --show-kind"
        )
    return [Finding(reason, evidence.ref, deletion(obj), hint, fatal=True)]


def _refused(evidence: Evidence) -> list[Finding]:
    """Controllers that may not create their Pods now."""
    found = []
    for owner in evidence.owners:
        text = _refusal_text(owner, evidence)
        if text:
            ref = Ref.of(owner)
            refusal = refusals.read(text, ref.namespace or "")
            found.append(Finding("FailedCreate", ref, refusal.message, refusal.hint, fatal=refusal.fatal))
    return found


def _refusal_text(owner: Object, evidence: Evidence) -> str:
    """The newest refusal if it still counts: the controller lacks Pods, and none was created since."""
    if not _lacks_pods(owner):
        return ""
    failed = created = ""
    text = ""
    for event in evidence.events_of(owner):
        if event.get("reason") == "FailedCreate":
            failed, text = seen_at(event), str(event.get("message") or "")
        elif event.get("reason") == "SuccessfulCreate":
            created = seen_at(event)
    if text and failed >= created:
        return text
    condition = conditions(owner).get("ReplicaFailure", {})
    refused = condition.get("status") == "True" and condition.get("reason") == "FailedCreate"
    # Without Events (they may not be listed, or are gone after an hour) the ReplicaSet itself still knows.
    return str(condition.get("message") or "") if refused and not created and owner["kind"] == "ReplicaSet" else ""


def _lacks_pods(owner: Object) -> bool:
    """Whether a controller has fewer Pods than it wants."""
    spec, status = owner.get("spec") or {}, owner.get("status") or {}

    def count(name: str) -> int:
        return int(status.get(name) or 0)

    if owner["kind"] in ("ReplicaSet", "StatefulSet"):
        replicas = spec.get("replicas")
        return count("replicas") < (1 if replicas is None else int(replicas))
    if owner["kind"] == "DaemonSet":
        return count("currentNumberScheduled") < count("desiredNumberScheduled")
    if owner["kind"] == "Job":
        completions = spec.get("completions")
        left = 1 if completions is None else int(completions) - count("succeeded")
        parallelism = spec.get("parallelism")
        return count("active") < min(1 if parallelism is None else int(parallelism), left)
    return False


def _claims(evidence: Evidence) -> list[Finding]:
    """PersistentVolumeClaims that are not bound, by the newest thing that was said of them."""
    found = []
    for claim in evidence.claims:
        if ((claim.get("status") or {}).get("phase") or "Pending") != "Pending":
            continue
        ref = Ref.of(claim)
        about = [event for event in evidence.events_of(claim) if event.get("reason") in _STORAGE_EVENTS]
        newest = about[-1] if about else {}
        spec = claim.get("spec") or {}
        storage_class, volume = spec.get("storageClassName"), spec.get("volumeName")
        reason, text = str(newest.get("reason") or "Pending"), str(newest.get("message") or "")
        if volume:
            text = f"It waits for PersistentVolume {volume}."
        elif not newest:
            text = f"It is not bound (StorageClass {storage_class})" if storage_class else "It has no StorageClass."
        fatal, hint = False, ""
        if volume:
            hint = f"See whether it is Available: kubectl get pv {volume}"
        elif reason == "FailedBinding":
            # Said by the controller once it has looked at all volumes; before that one may fit.
            fatal = not storage_class
            hint = "Name a storageClassName, or mark a StorageClass as the default: kubectl get storageclass"
        elif reason == "ProvisioningFailed":
            fatal = "storageclass" in text and "not found" in text
            hint = "Name one of the StorageClasses that exist: kubectl get storageclass" if fatal else ""
            hint = hint or f"See what the provisioner of StorageClass {storage_class} writes in its log."
        elif reason == "ExternalProvisioning":
            hint = f"See whether the provisioner of StorageClass {storage_class} runs."
        elif reason in ("WaitForFirstConsumer", "WaitForPodScheduled"):
            hint = "It is bound as soon as a Pod that uses it is scheduled."
        found.append(Finding(reason, ref, text, hint, fatal=fatal))
    return found


def _job(evidence: Evidence) -> list[Finding]:
    """Jobs that have failed, with what their reason means."""
    found = []
    for job in evidence.owners:
        failed = conditions(job).get("Failed", {})
        if job["kind"] != "Job" or failed.get("status") != "True":
            continue
        ref, spec = Ref.of(job), job["spec"]
        restart = ((spec.get("template") or {}).get("spec") or {}).get("restartPolicy")
        hint = "A failed Job does not start again: remove the cause, delete it and create it anew."
        mine = job["metadata"].get("uid")
        left = any(
            owner.get("uid") == mine for pod in evidence.pods for owner in pod["metadata"].get("ownerReferences") or ()
        )
        if not left and restart == "OnFailure":
            hint += " Its Pods and their logs are gone; restartPolicy: Never keeps them."
        reason = str(failed.get("reason") or "Failed")
        limit = {
            "BackoffLimitExceeded": f" (backoffLimit {spec.get('backoffLimit', 6)})",
            "DeadlineExceeded": f" (activeDeadlineSeconds {spec.get('activeDeadlineSeconds')})",
        }.get(reason, "")
        found.append(Finding(reason, ref, f"{failed.get('message') or 'The Job has failed'}{limit}.", hint, fatal=True))
    return found


def _other_events(evidence: Evidence, found: list[Finding]) -> list[Finding]:
    """Warnings about objects of which nothing better is known, in their own words; the newest of each kind."""
    told = pods.TOLD_BY_STATUS | {"FailedCreate", *_STORAGE_EVENTS}
    explained = {finding.ref.name for finding in found}
    newest: dict[tuple[str, str], Finding] = {}
    for event in evidence.events:
        about, reason = involved(event), str(event.get("reason") or "")
        if event.get("type") != "Warning" or reason in told or about.get("name") in explained:
            continue
        ref = Ref(
            str(about.get("apiVersion") or "v1"), str(about.get("kind")), str(about.get("name")), about.get("namespace")
        )
        newest[reason, ref.kind] = Finding(reason, ref, str(event.get("message") or "").strip())
    return list(newest.values())
