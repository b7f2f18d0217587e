# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What keeps one Pod from running: its configuration, its images, its containers, its node. Pure."""

from __future__ import annotations

import re
import typing as t

from . import images, podspec, scheduling
from .client import Object, Ref
from .evidence import (
    Evidence,
    Finding,
    ready,
    seen_at,
    statuses,
    times_seen,
    unschedulable,
    waiting_reason,
)

#: Restarts after which a crash is taken to be one for good; with the kubelet's pauses of 10, 20, 40, ... seconds
#: between them that is some two and a half minutes. What lacks memory lacks it the next time, too.
CRASHES, OOM_KILLS = 4, 2
#: Failed pulls after which a registry that cannot be reached is taken to be a wrong address: some five minutes.
PULLS = 5

#: Warning Events that are told in better words from the Pod's own status.
TOLD_BY_STATUS: t.Final = frozenset(
    {"BackOff", "Failed", "FailedMount", "FailedScheduling", "InspectFailed", "Unhealthy", "Evicted", "OOMKilling"}
)

_EXIT_CODES: t.Final = {
    126: "the command cannot be executed (permissions, or the wrong architecture)",
    127: "the command does not exist in the image",
    128: "the container could not be started",
    132: "SIGILL: the program uses instructions that this CPU lacks",
    134: "SIGABRT: the program gave up on itself",
    137: "SIGKILL: killed, for lack of memory, by a failing liveness probe, or after its grace period",
    139: "SIGSEGV: a crash inside the program",
    143: "SIGTERM: it was asked to stop, by a failing liveness probe or by the deletion of its Pod",
}
_NOT_STARTED = re.compile(
    r"executable file not found|no such file or directory|permission denied|exec format", re.IGNORECASE
)
_FROM_KUBELET = re.compile(r"^spec\.(init|ephemeral)?[cC]ontainers\{[^}]*\}: ")
_RPC = re.compile(r'Failed to pull image "[^"]*": |rpc error: code = \w+ desc = ')
_SECRET_OR_CONFIGMAP = re.compile(
    r'non-existent (secret|config) key|(secret|configmap) "[^"]*" not found', re.IGNORECASE
)
_SECRET_PROVIDER_CLASS = re.compile(r"secretproviderclass (?P<ref>[^\s,]+),? error:.*not found", re.IGNORECASE)


def findings(pod: Object, evidence: Evidence) -> list[Finding]:
    """All that keeps the Pod from being ready, worst first within each container."""
    if ready(pod) or pod["metadata"].get("deletionTimestamp"):
        return []
    look = _Look(pod, evidence)
    return [
        *look.ended(),
        *look.not_scheduled(),
        *look.configuration(),
        *look.mounts(),
        *(finding for status in statuses(pod) for finding in look.container(status)),
    ]


def exit_code(code: int) -> str:
    """What an exit code says, after a comma, or nothing."""
    known = _EXIT_CODES.get(code) or (f"ended by signal {code - 128}" if 128 < code < 160 else "")
    return f" ({known})" if known else ""


class _Look:
    """One Pod, with what is needed to judge its parts."""

    def __init__(self, pod: Object, evidence: Evidence) -> None:
        self._pod = pod
        self._evidence = evidence
        self._ref = Ref("v1", "Pod", pod["metadata"]["name"], pod["metadata"].get("namespace"))
        self._status: Object = pod.get("status") or {}
        self._events = evidence.events_of(pod)
        owners = pod["metadata"].get("ownerReferences") or ()
        # A Job counts failures itself, and gives up at its backoffLimit.
        self._counted = any(owner.get("kind") == "Job" for owner in owners)
        self._missing = self._needs()

    def ended(self) -> list[Finding]:
        """A Pod that failed as a whole: evicted, lost with its node, past its deadline."""
        reason = str(self._status.get("reason") or "")
        if not reason or self._status.get("phase") not in ("Failed", "Unknown", "Running"):
            return []
        hints = {
            "DeadlineExceeded": "Raise activeDeadlineSeconds, or make the work shorter.",
            "NodeLost": "Its node does not answer: kubectl describe node " + self._node(),
            "NodeAffinity": "The node's labels do not match the Pod any more.",
            "UnexpectedAdmissionError": "The kubelet could not give it a device: kubectl describe node " + self._node(),
            "Evicted": self._evicted(),
        }
        message = str(self._status.get("message") or f"The Pod ended: {reason}.")
        return [Finding(reason, self._ref, message, hints.get(reason, ""))]

    def _evicted(self) -> str:
        message = str(self._status.get("message") or "")
        if "ephemeral" in message or "EmptyDir" in message:
            return (
                "Raise the limit that it names (ephemeral-storage, or sizeLimit of the emptyDir), use nodes with larger "
                "disks, or let it write to a PersistentVolumeClaim."
            )
        if "memory" in message:
            return "The node ran out of memory: request as much memory as the containers use."
        return f"The node ran out of a resource: kubectl describe node {self._node()}"

    def not_scheduled(self) -> list[Finding]:
        """No node was found. That may heal, as cluster autoscalers act on exactly this; a claim does not make itself."""
        condition = unschedulable(self._pod)
        if condition is None:
            gated = (self._pod.get("spec") or {}).get("schedulingGates")
            if gated and self._status.get("phase") == "Pending":
                names = ", ".join(str(gate.get("name")) for gate in gated)
                return [Finding("SchedulingGated", self._ref, f"held back by scheduling gates: {names}")]
            return []
        text = str(condition.get("message") or "")
        message, hints = scheduling.explain(self._pod, text, self._evidence.nodes)
        lacking = re.search(r'persistentvolumeclaim "[^"]+" not found', text)
        return [Finding("FailedScheduling", self._ref, message, " ".join(hints), fatal=bool(lacking))]

    def configuration(self) -> list[Finding]:
        """Secrets and ConfigMaps that are missing, or lack a key."""
        return [finding for finding, _need in self._missing]

    def _needs(self) -> list[tuple[Finding, podspec.Need]]:
        found = []
        if not any(waiting_reason(one) for one in statuses(self._pod)):
            return []
        for need in podspec.needs(self._pod):
            if need.ref not in self._evidence.stored:
                continue
            keys = self._evidence.stored[need.ref]
            absent = [key for key in need.keys if keys is not None and key not in keys]
            if keys is not None and not absent:
                continue
            reason = "FailedMount" if need.mounted else "CreateContainerConfigError"
            users = ", ".join(need.users)
            if keys is None:
                message = f"{need.ref} does not exist; needed by {users}."
            else:
                message = f"{need.ref} has no key {', '.join(absent)}; needed by {users}."
            found.append((Finding(reason, self._ref, message, create_hint(need, absent), fatal=True), need))
        return found

    def mounts(self) -> list[Finding]:
        """The newest volume trouble of a Pod whose containers are not created yet."""
        if not any(waiting_reason(one) in ("ContainerCreating", "PodInitializing") for one in statuses(self._pod)):
            return []
        went_on = max(
            [seen_at(event) for event in self._events if event.get("reason") in ("Pulling", "Pulled")] or [""]
        )
        events = [event for event in self._events if event.get("reason") == "FailedMount" and seen_at(event) > went_on]
        # The summary ("timed out waiting for the condition") says less than what it sums up.
        texts = [self._text(event) for event in events]
        telling = [text for text in texts if not text.startswith("Unable to attach or mount")] or texts
        if not telling or (self._missing and _SECRET_OR_CONFIGMAP.search(telling[-1])):
            return []
        text = telling[-1]
        unread = [need for need in podspec.needs(self._pod) if need.mounted and f'"{need.ref.name}" not found' in text]
        if unread:
            known = unread[0].ref in self._evidence.stored  # it is there by now
            hint = "It exists by now, the kubelet tries again." if known else create_hint(unread[0], [])
            return [Finding("FailedMount", self._ref, text, hint, fatal=not known)]
        provider = _SECRET_PROVIDER_CLASS.search(text)
        if provider:
            namespace, _slash, name = provider["ref"].rpartition("/")
            hint = f"Create the SecretProviderClass {name} in namespace {namespace or self._ref.namespace}."
            return [Finding("FailedMount", self._ref, text, hint, fatal=True)]
        hint = ""
        if "PermissionDenied" in text or "AccessDenied" in text:
            hint = f"Give the Pod's service account ({self._account()}) access to what the volume reads."
        elif "not found in the list of registered CSI drivers" in text:
            hint = "Install the CSI driver on the nodes: kubectl get csidrivers; kubectl get csinodes"
        return [Finding("FailedMount", self._ref, text, hint)]

    def container(self, status: Object) -> list[Finding]:
        """What one container's status says."""
        reason = waiting_reason(status)
        state = status.get("state") or {}
        if reason in images.REASONS:
            return [self._image(status, reason)]
        if reason == "CrashLoopBackOff":
            return [self._crash(status, reason, (status.get("lastState") or {}).get("terminated") or {})]
        if reason in ("CreateContainerConfigError", "CreateContainerError", "RunContainerError"):
            return self._not_created(status, reason)
        if reason and reason not in ("ContainerCreating", "PodInitializing"):
            return [Finding(reason, self._ref, self._named(status, str(state["waiting"].get("message") or reason)))]
        ended = state.get("terminated") or {}
        if ended.get("exitCode"):
            return [self._crash(status, str(ended.get("reason") or "Error"), ended)]
        if "running" in state and not status.get("ready") and not self._is_init(status):
            return [self._not_ready(status)]
        return []

    def _not_created(self, status: Object, reason: str) -> list[Finding]:
        text = str((status["state"]["waiting"]).get("message") or reason)
        if reason == "CreateContainerConfigError":
            if self._missing:
                return []  # told with all that is missing
            for need in podspec.needs(self._pod):
                named = f'"{need.ref.name}" not found' in text or f" {need.ref.namespace}/{need.ref.name}" in text
                if not need.mounted and named and need.ref in self._evidence.stored:
                    return [Finding(reason, self._ref, self._named(status, text), "The kubelet tries again by itself.")]
                if not need.mounted and named:
                    hint = create_hint(need, need.keys if "find key" in text else [])
                    return [Finding(reason, self._ref, self._named(status, text), hint, fatal=True)]
            if "runAsNonRoot" in text:
                hint = "Set securityContext.runAsUser to a number other than 0, or use an image that sets one."
                return [Finding(reason, self._ref, self._named(status, text), hint, fatal=True)]
            return [Finding(reason, self._ref, self._named(status, text))]
        hint = "Correct command, args or the image." if _NOT_STARTED.search(text) else ""
        return [Finding(reason, self._ref, self._named(status, text), hint, fatal=bool(hint))]

    def _image(self, status: Object, reason: str) -> Finding:
        image = str(status.get("image") or "")
        text = str(status["state"]["waiting"].get("message") or "")
        pulls = [event for event in self._events if event.get("reason") == "Failed" and image in self._text(event)]
        pulls = [event for event in pulls if "ailed to pull image" in self._text(event)]
        if pulls and "Back-off pulling image" in text and "ErrImagePull:" not in text:
            # Before 1.32 only the Event told what went wrong.
            text = self._text(pulls[-1])
        spec = next((item for item in podspec.containers(self._pod) if item.get("name") == status.get("name")), {})
        image = str(spec.get("image") or image)
        if reason == "InvalidImageName":
            return self._finding(status, reason, f"Image {image}: {text}", "Correct the image's name.", fatal=True)
        if reason == "ErrImageNeverPull":
            hint = "Load the image onto the node, or set another imagePullPolicy."
            return self._finding(status, reason, f"Image {image}: {text}", hint, fatal=True)
        text = _RPC.sub("", text)
        tries = sum(map(times_seen, pulls))
        pull = images.read(text)
        told = " ".join(filter(None, [f"Image {image}:", pull.meaning, text]))
        hint = pull.hint.format(namespace=self._ref.namespace)
        return self._finding(status, reason, told, hint, fatal=pull.fatal or tries >= PULLS)

    def _crash(self, status: Object, reason: str, ended: Object) -> Finding:
        """A container that ended with an error, with what its exit code and restarts say."""
        code, why = int(ended.get("exitCode") or 0), str(ended.get("reason") or "")
        restarts = int(status.get("restartCount") or 0)
        text = f"ended with exit code {code}{exit_code(code)}"
        if why not in ("", "Error", "Completed"):
            text += f", {why}"
        if ended.get("message"):
            text += f": {str(ended['message']).strip()[-500:]}"
        if restarts:
            text += f"; {restarts} restarts"
        memory = why == "OOMKilled"
        hint, fatal = "", restarts >= CRASHES
        if memory:
            reason, (hint, fatal) = "OOMKilled", (self._more_memory(status), restarts >= OOM_KILLS)
        elif code in (126, 127) or why in ("StartError", "ContainerCannotRun"):
            hint, fatal = "Correct command, args or the image.", True
        elif code == 0:
            hint = "It ended without an error although it should go on: check command and args, or run it as a Job."
        return self._finding(
            status,
            reason,
            text,
            hint or "See the end of its log.",
            fatal=fatal and not self._counted,
            # While it waits for its next start, the run that failed is the previous one.
            log=True,
            previous=bool((status.get("state") or {}).get("waiting")),
        )

    def _more_memory(self, status: Object) -> str:
        spec = next((item for item in podspec.containers(self._pod) if item.get("name") == status.get("name")), {})
        limit = ((spec.get("resources") or {}).get("limits") or {}).get("memory")
        if limit is None:
            return "The container has no memory limit, so the node itself ran out: set requests.memory to what it uses."
        return f"Raise resources.limits.memory of the container above {limit}, for example to {podspec.double(limit)}."

    def _not_ready(self, status: Object) -> Finding:
        """A running container that is not ready: what the probe last said, else what the kubelet says."""
        name = str(status["name"])
        mine = f"{{{name}}}"
        probes = [
            self._text(event)
            for event in self._events
            if event.get("reason") == "Unhealthy" and mine in str((event.get("involvedObject") or {}).get("fieldPath"))
        ]
        last = (status.get("lastState") or {}).get("terminated") or {}
        if last.get("exitCode") and int(status.get("restartCount") or 0):
            crash = self._crash(status, str(last.get("reason") or "Error"), last)
            if not probes or crash.fatal:
                return crash
        if not probes:
            text = "runs, but is not ready yet"
            return self._finding(status, "ContainersNotReady", text, "See the end of its log.", log=True)
        hint = "See the end of its log. If it only needs longer to start, give it a startupProbe with time enough."
        return self._finding(status, "Unhealthy", probes[-1].strip(), hint, log=True)

    def _finding(
        self,
        status: Object,
        reason: str,
        text: str,
        hint: str,
        *,
        fatal: bool = False,
        log: bool = False,
        previous: bool = False,
    ) -> Finding:
        container = str(status["name"]) if log else ""
        message = self._named(status, text)
        return Finding(reason, self._ref, message, hint, fatal=fatal, container=container, previous=previous)

    def _named(self, status: Object, text: str) -> str:
        kind = "init container" if self._is_init(status) else "container"
        return f"{kind} {status.get('name')}: {text}"

    def _is_init(self, status: Object) -> bool:
        return any(one is status for one in self._status.get("initContainerStatuses") or ())

    def _text(self, event: Object) -> str:
        """An Event's message; the newest kubelets put the container in front."""
        return _FROM_KUBELET.sub("", str(event.get("message") or ""))

    def _node(self) -> str:
        return str((self._pod.get("spec") or {}).get("nodeName") or "NODE")

    def _account(self) -> str:
        return str((self._pod.get("spec") or {}).get("serviceAccountName") or "default")


def create_hint(need: podspec.Need, absent: list[str]) -> str:
    """The command that brings a missing Secret or ConfigMap, or a missing key of one."""
    name, namespace = need.ref.name, need.ref.namespace
    secret = need.ref.kind == "Secret"
    if absent:
        field = "stringData" if secret else "data"
        values = ", ".join(f'"{key}": "..."' for key in absent)
        patch = f"kubectl patch {need.ref.kind.lower()} {name} --namespace {namespace} --type merge"
        return f"Add what is missing: {patch} --patch '{{\"{field}\": {{{values}}}}}'"
    literals = " ".join(f"--from-literal={key}=..." for key in need.keys or ["KEY"])
    command = f"kubectl create {'secret generic' if secret else 'configmap'} {name} --namespace {namespace} {literals}"
    becomes = "a file" if need.mounted else "an environment variable"
    return f"Create it: {command}" + (f" (every key becomes {becomes})" if need.whole else "")
