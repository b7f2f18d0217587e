# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state of every step on the way of a model, and what to do next. Pure: facts in, steps out."""

from __future__ import annotations

import dataclasses
import json
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Object, Ref
from ansible_collections.modelops.serving.plugins.module_utils._kube.diagnose import Finding
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import KubeError
from ansible_collections.modelops.serving.plugins.module_utils._kube.pods import create_hint
from ansible_collections.modelops.serving.plugins.module_utils._kube.podspec import Need
from ansible_collections.modelops.serving.plugins.module_utils._kube.wait import assess
from ansible_collections.modelops.serving.plugins.module_utils._sync_job.run import errors_of, result_of
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    DeadlineError,
    TransferError,
    TransientError,
)

State: t.TypeAlias = t.Literal["done", "running", "waiting", "failed", "missing", "outdated", "unknown"]

#: Seconds that a wait gives to what somebody may just be about to repair.
GRACE = 10.0
#: What to look at first when several steps are not done; within one line the order of the steps decides.
_URGENCY: tuple[tuple[State, ...], ...] = (("failed", "missing", "outdated"), ("unknown",), ("running", "waiting"))
_SYNC = "Run modelops.serving.model_sync."
_SYNC_JOB = "Run modelops.serving.model_sync_job."
_WAIT = "Wait until the Job has ended."


@dataclasses.dataclass(frozen=True)
class Step:
    """One step.

    :param step: source, secret, job or copy.
    :param next: what to do about it, empty when there is nothing to do.
    :param patience: seconds that a wait bears with this state; None for as long as the wait lasts.
    """

    step: str
    subject: str
    state: State
    message: str
    next: str = ""
    patience: float | None = None

    def data(self) -> dict[str, str]:
        """As it stands in the result."""
        return {key: getattr(self, key) for key in ("step", "subject", "state", "message", "next")}


@dataclasses.dataclass(frozen=True)
class JobFacts:
    """What the cluster says of a sync.

    :param ref: the Job or CronJob that was asked for.
    :param job: that Job, or the newest one of the CronJob; None when there is none.
    :param cron: the CronJob, if it is one.
    :param pods: of the Job, newest first.
    :param logs: last lines of the Pods that run.
    """

    ref: Ref
    job: Object | None = None
    cron: Object | None = None
    findings: t.Sequence[Finding] = ()
    pods: t.Sequence[Object] = ()
    logs: t.Sequence[str] = ()

    @property
    def at_work(self) -> bool:
        """Whether a Job is there that is neither complete nor failed."""
        return self.job is not None and (_is_deleted(self.job) or assess(self.job).state == "waiting")

    @property
    def run(self) -> str:
        """How to start a run, as a sentence."""
        if self.cron is not None:
            name, namespace = self.ref.name, self.ref.namespace
            return f"Start a run now: kubectl create job --namespace {namespace} --from=cronjob/{name} {name}-now"
        if self.job is not None and assess(self.job).state == "ready":
            return f"{_SYNC_JOB[:-1]} with run: always."
        return _SYNC_JOB


# -- steps ---------------------------------------------------------------------------------------------------------


def source_step(subject: str, found: str | TransferError) -> Step:
    """The source, by the revision that it is at and whose bytes may be read, or by what went wrong."""
    if isinstance(found, TransferError):
        return _trouble("source", subject, found)
    return Step("source", subject, "done", f"It can be read and is at revision {found}.")


def secret_step(need: Need, found: t.Collection[str] | KubeError | None) -> Step:
    """A Secret that the Pods need, by the keys it has; None when it does not exist."""
    subject = str(need.ref)
    if isinstance(found, KubeError):
        return unknown("secret", subject, found)
    users = ", ".join(need.users)
    if found is None:
        message = f"It does not exist; needed by {users}."
        return Step("secret", subject, "missing", message, create_hint(need, []), GRACE)
    absent = [key for key in need.keys if key not in found]
    if absent:
        message = f"It has no key {', '.join(absent)}; needed by {users}."
        return Step("secret", subject, "missing", message, create_hint(need, absent), GRACE)
    return Step("secret", subject, "done", "It exists and has every key that is named.")


def job_step(facts: JobFacts) -> Step:
    """A Job, or a CronJob with its newest Job."""
    if facts.cron is None:
        if facts.job is None:
            message = "There is no Job and no CronJob of this name. One that has ended may have been removed."
            return Step("job", str(facts.ref), "missing", message, facts.run)
        return _one_job(facts, facts.job)
    schedule = f"Scheduled for {facts.cron['spec'].get('schedule')!r}"
    if facts.cron["spec"].get("suspend"):
        schedule += ", suspended"
    if facts.job is None:
        return Step("job", str(facts.ref), "waiting", f"{schedule}. It has not run yet.", facts.run)
    # A failure is none for good: the next run comes by itself.
    last = dataclasses.replace(_one_job(facts, facts.job), patience=None)
    return dataclasses.replace(last, message=f"{schedule}. Job {facts.job['metadata']['name']}: {last.message}")


def _one_job(facts: JobFacts, job: Object) -> Step:
    subject, verdict = str(facts.ref), assess(job)
    if _is_deleted(job):
        return Step("job", subject, "waiting", _sentence(verdict.message), "Wait until it is gone.")
    if verdict.state == "ready":
        return Step("job", subject, "done", _sentence(verdict.message))
    fatal = next((finding for finding in facts.findings if finding.fatal), None)
    if verdict.state == "failed":
        message, hint = _engine_error(facts.pods) or (
            (fatal.message, fatal.hint) if fatal else (_sentence(verdict.message), "")
        )
        return Step("job", subject, "failed", message, hint or f"Remove the cause. {facts.run}", 0)
    if fatal is not None:
        return Step("job", subject, "failed", fatal.message, fatal.hint or f"Remove the cause. {facts.run}", GRACE)
    if job["spec"].get("suspend"):
        patch = 'kubectl patch job {0.name} --namespace {0.namespace} --patch \'{{"spec": {{"suspend": false}}}}\''
        return Step("job", subject, "waiting", _sentence(verdict.message), f"Let it run: {patch.format(Ref.of(job))}")
    if any((pod.get("status") or {}).get("phase") == "Running" for pod in facts.pods):
        return Step("job", subject, "running", progress(facts.logs) or _sentence(verdict.message), _WAIT)
    told = facts.findings[0] if facts.findings else None
    if told is not None:
        return Step("job", subject, "waiting", told.message, told.hint or _WAIT)
    return Step("job", subject, "waiting", _sentence(verdict.message), _WAIT)


def copy_step(
    subject: str, found: t.Mapping[str, t.Any] | TransferError, *, revision: str | None, job: JobFacts | None
) -> Step:
    """One destination.

    :param found: what :func:`run_inspect` says of it.
    :param revision: the one that the source is at; None when that is not known.
    :param job: the Job that brings copies, if the cluster was asked.
    """
    if isinstance(found, TransferError):
        return _trouble("copy", subject, found)
    step = _copy(subject, found, revision, run=_SYNC if job is None else job.run)
    if step.state == "done" or job is None:
        return step
    if job.at_work:
        return dataclasses.replace(step, state="waiting", next=_WAIT, patience=None)
    # The next run of a CronJob comes by itself.
    return step if job.cron is None else dataclasses.replace(step, patience=None)


def _copy(subject: str, found: t.Mapping[str, t.Any], revision: str | None, *, run: str) -> Step:
    status, there = found["status"], found["revision"]
    if status == "complete" and revision in (None, there):
        return Step("copy", subject, "done", f"Complete at revision {there}, {found['files']} files.")
    if status == "complete":
        return Step("copy", subject, "outdated", f"Complete at revision {there}; the source is at {revision}.", run)
    if status == "corrupt":
        problems = found["problems"]
        more = f" (and {problems['count'] - 1} more)" if problems["count"] > 1 else ""
        message = f"Corrupt: {problems['first'][0].removesuffix('.')}{more}."
        return Step("copy", subject, "failed", message, f"{run} What is damaged is sent again.", GRACE)
    if status == "partial":
        return _partial(subject, found, run)
    return Step("copy", subject, "missing", "There is no copy.", run)


def _partial(subject: str, found: t.Mapping[str, t.Any], run: str) -> Step:
    goal = f" for revision {found['revision']}" if found["revision"] else ""
    began = f" that began at {found['started']}" if found["started"] else ""
    share = f"{found['files_present']} of {found['files']} files are there"
    if found.get("shards"):
        share += f", {found['shards']['done']} of {found['shards']['count']} processes are done"
    if found["holder"]:
        message = f"A run{goal}{began} has not finished: {share}. {found['holder'].capitalize()} holds the lease."
        return Step("copy", subject, "running", message, f"Wait for it. If that process is gone: {run}")
    message = f"A run{goal}{began} has stopped: {share}."
    return Step("copy", subject, "failed", message, f"{run} It goes on from there.", GRACE)


def unknown(step: str, subject: str, error: KubeError) -> Step:
    """What the cluster could not be asked."""
    return Step(step, subject, "unknown", error.message, error.hint or "Look again later.")


def _trouble(step: str, subject: str, error: TransferError) -> Step:
    if isinstance(error, (TransientError, DeadlineError)):
        return Step(step, subject, "unknown", error.message, error.hint or "Look again later.")
    return Step(step, subject, "failed", error.message, error.hint or "Remove the cause and look again.", 0)


def _is_deleted(obj: Object) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}".removesuffix(".") + "."


def _engine_error(pods: t.Sequence[Object]) -> tuple[str, str] | None:
    """What the engine said at its end, which is closer to the cause than Kubernetes can be."""
    found = errors_of(result_of(reversed(pods)))
    if not found:
        return None
    return " ".join(str(error.get("message", "")) for error in found), str(found[0].get("hint", ""))


def progress(logs: t.Iterable[str]) -> str:
    """The engine's reports of progress, one of each Pod, as one sentence; empty when there is none."""
    reports = []
    for line in logs:
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and "phase" in found:
            reports.append(found)
    if not reports:
        return ""
    done, total = (sum(report.get(key, 0) for report in reports) for key in ("bytes_done", "bytes_total"))
    if not total:
        return "It compares the source with the destinations."
    return f"{reports[0]['phase'].capitalize()}, {100 * done // total} %."


# -- the whole -----------------------------------------------------------------------------------------------------


def is_ready(steps: t.Sequence[Step]) -> bool:
    """Whether every copy is complete and, if it was asked, the source could be compared.

    Where no copy was asked for, as of a destination that only the cluster reaches, the Job has the last word.
    """
    last = "copy" if any(step.step == "copy" for step in steps) else "job"
    deciding = [step for step in steps if step.step in ("source", last)]
    return any(step.step == last for step in deciding) and all(step.state == "done" for step in deciding)


def conclude(name: str, steps: t.Sequence[Step], revision: str | None) -> dict[str, t.Any]:
    """The result of the module."""
    ready = is_ready(steps)
    if ready:
        # A Job that is gone has left what it was for.
        steps = [dataclasses.replace(step, next="") if step.state == "missing" else step for step in steps]
        copies = sum(step.step == "copy" for step in steps)
        next_action = ""
        told = f"{copies} complete {'copy' if copies == 1 else 'copies'}" if copies else "its Job has ended well"
        summary = f"{name} is ready: {told}{f' at revision {revision}' if revision else ''}."
    elif (first := most_urgent(steps)) is None:
        next_action = "Give destinations, to know whether there are copies."
        summary = f"{name}: no destination was asked for. Everything else is done."
    else:
        next_action = first.next
        summary = f"{name} is not ready. {first.subject} is {first.state}: {first.message}"
    return {
        "ready": ready,
        "steps": [step.data() for step in steps],
        "next_action": next_action,
        "revision": revision,
        "summary": summary,
    }


def most_urgent(steps: t.Sequence[Step]) -> Step | None:
    """The step to do something about first; None when all are done."""
    for states in _URGENCY:
        for step in steps:
            if step.state in states:
                return step
    return None


def unfinished(steps: t.Iterable[Step]) -> str:
    """All steps that are not done, with what to do, as the message of a wait that has failed."""
    told = (f"{step.subject} is {step.state}: {step.message} {step.next}" for step in steps if step.state != "done")
    return " ".join(line.rstrip() for line in told)


class Patience:
    """Remembers since when steps are in a state that does not heal by itself."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, str], float] = {}

    def is_over(self, steps: t.Iterable[Step], now: float) -> bool:
        """Whether one of them has been so for longer than a wait bears with it.

        :param now: seconds on any clock that never goes back.
        """
        bad = {(step.step, step.subject): step.patience for step in steps if step.patience is not None}
        self._since = {key: self._since.get(key, now) for key in bad}
        return any(now - self._since[key] >= patience for key, patience in bad.items())
