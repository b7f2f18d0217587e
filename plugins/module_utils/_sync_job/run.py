# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A sync in the cluster: is there anything to run, start it, watch it, tell how it ended."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._kube.apply import ApplyOptions, Change, Prune, apply
from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Client, Ref
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import InputError, KubeError
from ansible_collections.modelops.serving.plugins.module_utils._kube.kinds import assess
from ansible_collections.modelops.serving.plugins.module_utils._kube.objects import prepare, selector
from ansible_collections.modelops.serving.plugins.module_utils._sync_job.build import CONTAINER, IDENTITY, build
from ansible_collections.modelops.serving.plugins.module_utils._sync_job.spec import Features, JobSpec, Object
from ansible_collections.modelops.serving.plugins.module_utils._transfer import bundle
from ansible_collections.modelops.serving.plugins.module_utils._transfer.pins import REQUIREMENTS

PART_OF = "model-sync"
_REPLACES = "modelops.serving/replaces"
# Of the engine's reports.
_PHASES = ("plan", "move", "verify", "publish")
_SUMS = ("bytes_done", "bytes_total", "files_done", "files_total", "bytes_read", "rate", "retries", "stalls")
#: What belongs to a sync. The ConfigMap has another name each time its content changes.
_KINDS = (
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    ("v1", "ServiceAccount"),
    ("batch/v1", "Job"),
)


class Decision(t.NamedTuple):
    """What a Job of that name, if there is one, means for a run.

    ``action``: ``create``, ``replace``, ``attach`` to one that runs, or ``none`` when it has ended well.
    """

    action: str
    job: Object | None


def decide(client: Client, spec: JobSpec, *, always: bool) -> Decision:
    """Whether there is anything to run. One request."""
    live = client.get(job_ref(spec))
    if live is None:
        return Decision("create", None)
    same = (live["metadata"].get("annotations") or {}).get(IDENTITY) == spec.identity
    state = assess(live).state
    if same and state == "waiting":
        return Decision("attach", live)
    if same and state == "ready" and not always:
        return Decision("none", live)
    return Decision("replace", live)


def job_ref(spec: JobSpec) -> Ref:
    """The Job of a sync without schedule."""
    return Ref("batch/v1", "Job", spec.name, spec.namespace)


def objects_of(spec: JobSpec, features: Features) -> list[Object]:
    """All objects of a sync, as they are applied and as they are rendered.

    :raises InputError: the cluster is too old for what is asked.
    """
    if spec.parallelism > 1 and not features.indexed_jobs:
        raise InputError(
            f"parallelism is {spec.parallelism}, and the cluster has no Indexed Jobs.",
            hint="They came with Kubernetes 1.22. Use parallelism 1 here.",
        )
    return prepare(build(spec, bundle.build(), REQUIREMENTS, features), instance=spec.name, part_of=PART_OF)


def start(
    client: Client, spec: JobSpec, features: Features, decision: Decision, *, check: bool, force: bool
) -> list[Change]:
    """Apply the objects, in place of a Job that is there, and prune what an earlier version of the sync left.

    :raises KubeError: the API server refused something. The message says what, and what to do.
    """
    objects = objects_of(spec, features)
    if decision.job is not None:
        # A Job that has ended does not run again, also when nothing about it differs. Its template cannot be changed,
        # so that a difference there lets it be replaced, once all else is known to be accepted.
        metadata = objects[-1]["spec"]["template"]["metadata"]
        metadata.setdefault("annotations", {})[_REPLACES] = decision.job["metadata"]["uid"]
    replace = frozenset({job_ref(spec)})
    prune = everything(spec, features)
    return apply(client, objects, ApplyOptions(force_conflicts=force, check=check, prune=prune, replace=replace))


def everything(spec: JobSpec, features: Features) -> Prune:
    """What is removed with the sync, or when it is not part of it any more."""
    return Prune((*_KINDS, (features.cron_api, "CronJob")), spec.namespace, selector(spec.name, PART_OF))


# -- what the Pods say ---------------------------------------------------------------------------------------------


def pods_of(client: Client, spec: JobSpec) -> list[Object]:
    """Pods of the Job, the oldest first."""
    pods = client.list("v1", "Pod", spec.namespace, labels=f"job-name={spec.name}")
    return sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))


def result_of(pods: t.Iterable[Object]) -> dict[str, t.Any] | None:
    """What the engine said last: of the Pod that published, else of one that failed, else of any."""
    said = [found for found in map(_said, pods) if found is not None]
    for wanted in (_published, _failed):
        fitting = [found for found in said if wanted(found)]
        if fitting:
            return fitting[-1]
    return said[-1] if said else None


def _published(found: t.Mapping[str, t.Any]) -> bool:
    places = found.get("destinations") or ()
    return bool(places) and all(place.get("status") == "complete" for place in places)


def _failed(found: t.Mapping[str, t.Any]) -> bool:
    return bool(found.get("failed"))


def _said(pod: Object) -> dict[str, t.Any] | None:
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        ended = (status.get("state") or {}).get("terminated")
        if status.get("name") == CONTAINER and ended:
            try:
                found: t.Any = json.loads(ended.get("message") or "")
            except ValueError:
                return None
            return found if isinstance(found, dict) else None
    return None


class Watch:
    """Follows the Pods' progress while a Job runs; called on every look at it.

    :param report: takes one report of progress as the engine writes it, of all Pods together.
    """

    def __init__(self, client: Client, spec: JobSpec, report: t.Callable[[t.Mapping[str, t.Any]], None]) -> None:
        self._client = client
        self._spec = spec
        self._report = report
        self._last: dict[str, dict[str, t.Any]] = {}

    def __call__(self, job: Object) -> None:
        """Report what is new since the last look. Trouble with logs is none of the sync's."""
        before = dict(self._last)
        try:
            for pod in pods_of(self._client, self._spec):
                self._follow(pod["metadata"]["name"], pod.get("status", {}).get("phase"))
        except KubeError:
            return
        if self._last and self._last != before:
            self._report(total(list(self._last.values())))

    def _follow(self, pod: str, phase: str | None) -> None:
        if phase == "Failed":  # another one takes over its work
            self._last.pop(pod, None)
        if phase != "Running":
            return
        try:
            found = json.loads(self._client.logs(self._spec.namespace, pod, CONTAINER, tail=1))
        except ValueError:  # nothing yet
            return
        if isinstance(found, dict) and found.get("phase") in _PHASES:
            self._last[pod] = found


def total(reports: t.Sequence[t.Mapping[str, t.Any]]) -> dict[str, t.Any]:
    """What several Pods report, as one: the phase of the one that is furthest behind, the longest time that is left."""
    first = min(reports, key=lambda report: _PHASES.index(report["phase"]))
    if len(reports) == 1:
        return dict(first)
    left = [report["remaining"] for report in reports if report["remaining"] is not None]
    return {
        **first,
        **{key: sum(report[key] for report in reports) for key in _SUMS},
        "remaining": max(left) if len(left) == len(reports) else None,
    }


def errors_of(result: t.Mapping[str, t.Any] | None) -> list[dict[str, t.Any]]:
    """What went wrong in the engine's own words: of the whole run, then of its destinations."""
    if result is None:
        return []
    found = [result.get("error"), *(place.get("error") for place in result.get("destinations") or ())]
    return [error for error in found if error]
