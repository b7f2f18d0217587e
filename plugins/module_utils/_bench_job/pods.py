# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Pods of a benchmark: what they say in their logs, what they are told, and what they hand over."""

from __future__ import annotations

import dataclasses
import json
import typing as t
from pathlib import Path

from ansible_collections.modelops.serving.plugins.module_utils._bench.engines.engine import PACKAGE, RESULTS
from ansible_collections.modelops.serving.plugins.module_utils._bench.errors import (
    BenchError,
    EndpointError,
    InputError,
    StartError,
    StoppedError,
    ToolError,
)
from ansible_collections.modelops.serving.plugins.module_utils._bench.pod import collect
from ansible_collections.modelops.serving.plugins.module_utils._bench_job.build import CONTAINER
from ansible_collections.modelops.serving.plugins.module_utils._bench_job.spec import BenchSpec, Object
from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Client
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import KubeError

#: What a Pod says in its turn. "failed" takes the place of all.
READY, PROGRESS, ENDED, FAILED = "ready", "progress", "ended", "failed"
#: In the folder of a run, what each Pod has handed over.
SHARDS = "shards"
_ORDER = (READY, PROGRESS, ENDED)
#: Lines of a log that are read at a look: the end of a tool's own log may come with the last event.
_TAIL = 100
#: Seconds for a small command in a Pod, and for one that hands over results.
_SOON, _LONG = 60.0, 600.0
#: That of a full disk is left out: here it means the disk of this host.
_KINDS: dict[str, type[BenchError]] = {
    kind.__name__: kind for kind in (EndpointError, InputError, StartError, StoppedError, ToolError)
}


class LostError(BenchError):
    """A Pod ended before its part of the run did."""


@dataclasses.dataclass
class Member:
    """One Pod, and what is known of it.

    :param place: folder here, for what it has handed over.
    :param said: its last event of each kind.
    :param live: the Pod as it was seen last.
    """

    number: int
    job: str
    place: Path
    live: Object | None = None
    said: dict[str, dict[str, t.Any]] = dataclasses.field(default_factory=dict)

    @property
    def pod(self) -> str:
        """Name of the Pod; an empty text before there is one."""
        return str(self.live["metadata"]["name"]) if self.live else ""

    @property
    def ended(self) -> bool:
        """Whether it has said its last."""
        return ENDED in self.said or FAILED in self.said

    def has(self, event: str) -> bool:
        """Whether it has come to an event, or further."""
        return any(name in self.said for name in _ORDER[_ORDER.index(event) :])


class Crew:
    """All Pods of a benchmark.

    :param place: folder of the run. What each Pod hands over goes to a folder in it.
    """

    def __init__(self, client: Client, spec: BenchSpec, place: Path) -> None:
        self.place = place
        self._client = client
        self._namespace = spec.namespace
        self.members = [Member(number, job, place / SHARDS / str(number)) for number, job in enumerate(spec.jobs)]

    def of(self, job: Object) -> Member:
        """The Pod of a Job."""
        return next(member for member in self.members if member.job == job["metadata"]["name"])

    def look(self, job: Object) -> None:
        """Hear what the Pod of a Job has said.

        :raises BenchError: it has found out that it cannot do the run, or is gone.
        """
        member = self.of(job)
        pods = self._client.list("v1", "Pod", self._namespace, labels=f"job-name={member.job}")
        first = member.live is None
        if member.live is None:
            if not pods:
                return
            member.live = max(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))
        uid = member.live["metadata"]["uid"]
        # A Job may have made another one meanwhile, which knows nothing of this run.
        member.live = next((pod for pod in pods if pod["metadata"]["uid"] == uid), None) or self._lost(member)
        tail = None if first else _TAIL
        for line in self._client.logs(self._namespace, member.pod, CONTAINER, tail=tail).splitlines():
            event = _event(line)
            if event:
                member.said[event["event"]] = event
        for said in (FAILED, ENDED):
            if said in member.said and member.said[said].get("status") != 0:
                raise self._error(member, said)

    def _lost(self, member: Member) -> t.NoReturn:
        raise LostError(
            f"Pod {self._namespace}/{member.pod} is gone: it was deleted, or its node was.",
            hint="Run again. Keep the Pods off nodes that are drained, by node_selector.",
        )

    def _error(self, member: Member, event: str) -> BenchError:
        """What a Pod says has gone wrong, as the error that it was there."""
        told = member.said[event].get("error") or {}
        kind = _KINDS.get(str(told.get("kind")), BenchError)
        message = told.get("message") or f"It ended with status {member.said[event].get('status')}."
        why = [f"Pod {self._namespace}/{member.pod}: {message}", *_ends(member.live or {})]
        return kind(" ".join(why), hint=str(told.get("hint") or ""))

    def clock(self) -> float:
        """The time of day where the Pods are, in seconds. Nodes agree on it; this host may have another."""
        member = self.members[0]
        return float(self._execute(member, ["-c", "import time; print(time.time())"], _SOON))

    def tell(self, member: Member, name: str, text: str = "") -> None:
        """Give a Pod a signal.

        :raises KubeError: it cannot be reached.
        """
        self._execute(member, ["-m", f"{PACKAGE}.pod.signal", RESULTS, name, text], _SOON)

    def collect(self, member: Member) -> None:
        """Bring here what a Pod has measured since the last time.

        :raises KubeError: it cannot be reached.
        :raises StorageError: it cannot be written.
        """
        more = True
        while more:
            known = json.dumps(collect.offsets(member.place))
            packed = self._execute(member, ["-m", f"{PACKAGE}.pod.collect", RESULTS, known], _LONG)
            more = collect.unpack(packed, member.place)

    def _execute(self, member: Member, arguments: t.Sequence[str], timeout: float) -> str:
        command = ["python3", *arguments]
        done = self._client.execute(self._namespace, member.pod, CONTAINER, command, timeout=timeout)
        if done.status:
            raise KubeError(
                f"{' '.join(arguments[:2])} in Pod {self._namespace}/{member.pod} ended with status {done.status}: "
                f"{done.stderr.strip()[-500:]}"
            )
        return done.stdout


def _ends(pod: Object) -> t.Iterator[str]:
    """Why somebody else ends a Pod, a sentence each."""
    status = pod.get("status") or {}
    if status.get("reason"):
        yield f"{status['reason']}: {status.get('message') or 'no message'}"
    for condition in status.get("conditions") or ():
        if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True":
            yield f"{condition.get('reason')}: {condition.get('message')}"
    if pod.get("metadata", {}).get("deletionTimestamp"):
        yield "It was deleted, by somebody or with its node."


def _event(line: str) -> dict[str, t.Any] | None:
    """An event of the program; tools write other lines."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("event"), str) else None


@dataclasses.dataclass(frozen=True)
class Said:
    """What is waited for of a Job: that its Pod has come to an event."""

    crew: Crew
    event: str

    def __str__(self) -> str:
        return f"Pod {self.event}"

    def met(self, obj: Object) -> bool:
        """Whether it has."""
        return self.crew.of(obj).has(self.event)
