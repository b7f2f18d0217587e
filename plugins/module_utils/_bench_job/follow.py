# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run in the cluster, from the start of its Pods until they have handed over what they have measured."""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._bench.pod.signal import COLLECTED, GO
from ansible_collections.modelops.serving.plugins.module_utils._bench_job.pods import (
    ENDED,
    PROGRESS,
    READY,
    Crew,
    Member,
    Said,
)
from ansible_collections.modelops.serving.plugins.module_utils._bench_job.spec import Object
from ansible_collections.modelops.serving.plugins.module_utils._bench_job.status import Status
from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Ref
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import KubeError
from ansible_collections.modelops.serving.plugins.module_utils._kube.wait import Target, Waiter

#: Seconds between two looks at the Pods.
_INTERVAL = 1.0
#: Seconds between the order to begin and the beginning: as many as the orders take, one after the other.
_LEAD, _LEAD_EACH = 1.0, 0.5


def gather(crew: Crew, refs: t.Sequence[Ref], waiter: Waiter, status: Status) -> dict[str, t.Any]:
    """Wait until all Pods are ready. Returns what the one has found out that is furthest from the endpoint.

    :param waiter: for the Jobs.
    :raises BenchError: a Pod says that it cannot do the run, or is gone.
    :raises KubeError: a Pod does not start or has failed, or the time is over.
    """
    waiter = dataclasses.replace(waiter, interval=_INTERVAL, on_tick=crew.look)
    waiter.wait([Target(ref, Said(crew, READY)) for ref in refs])
    found = [member.said[READY]["preflight"] for member in crew.members]
    looked = dict(max(found, key=lambda one: one["round_trip_ms"]))
    status.show(f"{_pods(crew)} ready, round trip {looked['round_trip_ms']:.1f} ms")
    return looked


def load(crew: Crew, refs: t.Sequence[Ref], waiter: Waiter, status: Status) -> None:
    """Let the Pods begin together, and bring their results here until they have ended.

    :raises BenchError: a Pod has ended before its time, or is gone.
    :raises KubeError: a Pod was killed, or the time is over.
    :raises StorageError: the results cannot be written here.
    """
    _begin(crew)
    watch = _Watch(crew, status)
    waiter = dataclasses.replace(waiter, interval=_INTERVAL, on_tick=watch, on_progress=None)
    waiter.wait([Target(ref, Said(crew, ENDED)) for ref in refs])
    for member in crew.members:
        crew.collect(member)


def release(crew: Crew) -> None:
    """Let the Pods end, once all that they hold is safe here. They would do so by themselves, but later."""
    for member in crew.members:
        with contextlib.suppress(KubeError):
            crew.tell(member, COLLECTED)


def salvage(crew: Crew) -> list[str]:
    """Bring here what can still be had of a run that is cut off. Returns where nothing can, as warnings."""
    warnings = []
    for member in crew.members:
        if member.has(PROGRESS):
            try:
                crew.collect(member)
                if member.ended:
                    crew.tell(member, COLLECTED)
            except KubeError as error:
                warnings.append(f"Of Pod {member.pod} there is only what came before: {error.message}")
    return warnings


def _pods(crew: Crew) -> str:
    count = len(crew.members)
    return "1 Pod is" if count == 1 else f"{count} Pods are"


def _begin(crew: Crew) -> None:
    """Tell all Pods that have not begun when to begin."""
    waiting = [member for member in crew.members if not member.has(PROGRESS)]
    if waiting:
        begin = crew.clock() + _LEAD + _LEAD_EACH * len(waiting)
        for member in waiting:
            crew.tell(member, GO, f"{begin:.3f}")


class _Watch:
    """Shows how far the Pods are, and brings here what they have measured whenever one has come to another stage."""

    def __init__(self, crew: Crew, status: Status) -> None:
        self._crew = crew
        self._status = status
        self._stages: dict[int, tuple[int, int]] = {}

    def __call__(self, job: Object) -> None:
        self._crew.look(job)
        member = self._crew.of(job)
        if PROGRESS in member.said and not member.has(ENDED):
            self._status([other.said[PROGRESS] for other in self._crew.members if PROGRESS in other.said])
            self._collect(member)

    def _collect(self, member: Member) -> None:
        told = member.said[PROGRESS]
        stage = told["repeat"], told["stage"]
        # Of a run that was gone on with, stages may have ended before. A search also goes to lower ones.
        if stage != self._stages.get(member.number, (0, 0)):
            try:
                self._crew.collect(member)
            except KubeError:
                return  # the next look tries again
            self._stages[member.number] = stage
