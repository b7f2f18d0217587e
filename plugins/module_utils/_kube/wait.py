# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting with two ends: for success and for failure at once, until a deadline, and never without saying why."""

from __future__ import annotations

import random
import time
import typing as t
from dataclasses import dataclass, field, replace

from .client import Client, Object, Ref
from .conditions import Condition, Expectation, JsonPath, conditions, unseen
from .errors import ApiError, InputError, UnavailableError, WaitError
from .kinds import Verdict, assess, deletion

if t.TYPE_CHECKING:
    from .diagnose import Evidence, Finding

__all__ = ["Condition", "JsonPath", "Target", "Verdict", "Waiter", "assess", "judge"]

#: Seconds: no faster than this is polled.
_MIN_INTERVAL = 0.5
#: Seconds: when it is first asked what is wrong, and how often then: more often while most troubles show up.
_FIRST_LOOK, _LOOK_SOON, _SOON, _LOOK_EVERY = 2.0, 3.0, 30.0, 10.0
_MAX_LINE: t.Final = 600
# A claim in this state waits for a Pod, and so must not be waited for.
_UNBOUND_BY_DESIGN: t.Final = ("WaitForFirstConsumer", "WaitForPodScheduled")


@dataclass(frozen=True)
class Target:
    """One object to wait for, with what counts as success or failure instead of, or beside, its kind's own signs."""

    ref: Ref
    success: Expectation | None = None
    failure: tuple[Expectation, ...] = ()

    def __str__(self) -> str:
        return f"{self.ref}" + (f" ({self.success})" if self.success else "")


def judge(target: Target, obj: Object) -> Verdict:
    """Judge an object by what the caller asks for, then by its kind's own signs of failure."""
    if unseen(obj):
        return assess(obj)
    if target.success and target.success.met(obj):
        return Verdict("ready", str(target.success))
    for failure in target.failure:
        if failure.met(obj):
            told = conditions(obj).get(getattr(failure, "type", ""), {}).get("message", "")
            return Verdict("failed", f"{failure}: {told}" if told else str(failure))
    verdict = assess(obj)
    if target.success and verdict.state == "ready":
        return Verdict("waiting", f"not yet {target.success} ({verdict.message})")
    return verdict


@dataclass
class _Watched:
    """What is known of one target while it is waited for. Times are those of the waiter's clock."""

    target: Target
    last: Object | None = None
    seen: bool = False
    done: bool = False
    verdict: Verdict = field(default_factory=lambda: Verdict("waiting", "does not exist yet"))
    #: ``since`` of a failure that was there at the first look, and so is older than this wait.
    stale: str = ""
    #: When a failure that may be taken back was first seen.
    failing_since: float | None = None
    evidence: Evidence | None = None
    findings: list[Finding] = field(default_factory=list)
    #: When something fatal was first seen that has been there, in one form or another, ever since.
    fatal_since: float | None = None


@dataclass(frozen=True, kw_only=True)
class Waiter:
    """Polls objects until all are ready, one has failed for good, or the time is over.

    :param timeout: seconds for one call of :meth:`wait` or :meth:`wait_gone`.
    :param interval: seconds between two looks, give or take a fifth; one GET per object and look.
    :param patience: seconds for which something fatal (a missing Secret) may go on before it ends the wait.
    :param on_tick: gets every object as it was read.
    :param on_progress: gets one line whenever the state of an object has changed.
    :param redact: makes Events and log lines fit to be shown.
    """

    client: Client = field(kw_only=False)
    timeout: float
    interval: float = 2.0
    patience: float = 5.0
    on_tick: t.Callable[[Object], None] | None = None
    on_progress: t.Callable[[str], None] | None = None
    redact: t.Callable[[str], str] = str
    sleep: t.Callable[[float], None] = time.sleep
    monotonic: t.Callable[[], float] = time.monotonic

    def wait(self, refs: t.Sequence[Ref | Target]) -> dict[Ref, Object]:
        """Wait until each object has been ready once; Pods that were started meanwhile at two looks in a row.

        :returns: the objects as they were when they became ready.
        :raises WaitError: one has failed for good or was deleted, something fatal stands in its way, or the time is
            over; the message tells what was waited for, how long, the last state, causes with next steps, Events, logs.
        :raises ApiError: the API server refuses to show an object (401, 403).
        """
        watched = [_Watched(item if isinstance(item, Target) else Target(item)) for item in refs]
        run = _Run(self, watched)
        while True:
            run.look()
            if all(one.done for one in watched):
                return {one.target.ref: one.last or {} for one in watched}
            run.pause()

    def wait_gone(self, refs: t.Sequence[Ref]) -> None:
        """Wait until none of the objects exists any more; another one of the same name does not count.

        :raises WaitError: the time is over; names finalizers and what else holds an object up.
        """
        run = _Run(self, [_Watched(Target(ref)) for ref in refs])
        while run.look_gone():
            run.pause()


class _Run:
    """One call of the waiter."""

    def __init__(self, waiter: Waiter, watched: list[_Watched]) -> None:
        self._waiter = waiter
        self._watched = watched
        self._began = self._now()
        self._next_look = self._began + _FIRST_LOOK
        self._first = True
        self._lines: dict[str, str] = {}
        self._unavailable: UnavailableError | None = None

    def look(self) -> None:
        """Read every object that is not ready yet, and raise if one never will be."""
        self._unavailable = None
        try:
            for one in self._pending():
                self._read(one)
            if self._now() >= self._next_look:
                self._explain()
        except UnavailableError as error:
            # It restarts, or is away for a while. What was seen last still holds.
            self._unavailable = error
            self._say("API server", f"the API server does not answer: {error.message}")
        self._first = False
        for one in self._pending():
            self._progress(one)
        if self._over():
            for one in self._pending():
                one.done = one.verdict.state == "ready"
            if self._pending():
                self._timed_out()

    def look_gone(self) -> bool:
        """Look which objects are still there, True if any is."""
        self._unavailable = None
        try:
            for one in self._pending():
                obj = self._waiter.client.get(one.target.ref)
                before = one.last
                if obj is None or (before and before["metadata"].get("uid") != obj["metadata"].get("uid")):
                    one.done = True
                    continue
                one.last, one.seen = obj, True
                waits = deletion(obj) if obj["metadata"].get("deletionTimestamp") else "nobody has asked to delete it"
                one.verdict = Verdict("waiting", waits)
                self._progress(one)
        except UnavailableError as error:
            self._unavailable = error
        if self._pending() and self._over():
            self._timed_out(gone=True)
        return bool(self._pending())

    def pause(self) -> None:
        """Sleep until the next look, or until the deadline if that is nearer."""
        left = self._waiter.timeout - (self._now() - self._began)
        jitter = max(_MIN_INTERVAL, self._waiter.interval) * random.uniform(0.8, 1.2)  # noqa: S311 - jitter, not cryptography
        self._waiter.sleep(max(0.0, min(jitter, left)))

    def _now(self) -> float:
        return self._waiter.monotonic()

    def _over(self) -> bool:
        return self._now() - self._began >= self._waiter.timeout

    def _pending(self) -> list[_Watched]:
        return [one for one in self._watched if not one.done]

    def _read(self, one: _Watched) -> None:
        obj = self._waiter.client.get(one.target.ref)
        if obj is None:
            if one.seen:
                one.verdict = Verdict("failed", "it was deleted while it was waited for")
                hint = "If nobody deleted it, its ttlSecondsAfterFinished may be too short for its end to be seen."
                raise self._error(one, hint=hint if one.target.ref.kind in ("Job", "JobSet") else "")
            return
        obj = {"apiVersion": one.target.ref.api_version, "kind": one.target.ref.kind, **obj}
        if self._waiter.on_tick:
            self._waiter.on_tick(obj)
        new, before = not one.seen, one.verdict
        one.last, one.seen, one.verdict = obj, True, judge(one.target, obj)
        if one.verdict.state == "ready":
            # What became ready just now must be so at the next look, too, where it may be over in a moment.
            one.done = self._first or one.verdict.lasting or before.state == "ready"
        elif one.verdict.state == "failed":
            if new:
                one.stale = one.verdict.since
            self._failed(one)
        else:
            one.failing_since = None

    def _failed(self, one: _Watched) -> None:
        """End the wait, unless the failure is older than the wait or may be taken back within the patience."""
        verdict = one.verdict
        if verdict.since and verdict.since == one.stale:
            return
        if one.failing_since is None:
            one.failing_since = self._now()
        if verdict.lasting or self._now() - one.failing_since >= self._waiter.patience:
            raise self._error(one)

    def _explain(self) -> None:
        """Look for what stands in the way, and end the wait if something fatal did for longer than the patience."""
        now = self._now()
        self._next_look = now + (_LOOK_SOON if now - self._began < _SOON else _LOOK_EVERY)
        for one in self._pending():
            self._look_around(one)
            if any(finding.reason in _UNBOUND_BY_DESIGN and finding.ref == one.target.ref for finding in one.findings):
                one.done = one.target.success is None
            if not any(finding.fatal for finding in one.findings):
                one.fatal_since = None
            elif one.fatal_since is None:
                one.fatal_since = self._now()
        for one in self._pending():
            if one.fatal_since is not None:
                ends = one.fatal_since + self._waiter.patience
                if self._now() >= ends:
                    raise self._error(one)
                self._next_look = min(self._next_look, ends)

    def _look_around(self, one: _Watched) -> None:
        """Find out what is wrong. A failed Job takes Pods and logs with it, so that those seen before are kept."""
        # Compiled on each run, so only where something is to be explained; with what it needs it is half of this package.
        from . import diagnose

        before = [finding for finding in one.findings if finding.log]
        try:
            one.evidence = diagnose.collect(self._waiter.client, one.target.ref, one.last)
            one.findings = diagnose.with_logs(self._waiter.client, diagnose.findings(one.evidence))
        except (ApiError, InputError):
            return  # to explain is an extra: what was found before has to do, and whether to go on is decided elsewhere
        if not one.evidence.pods:
            one.findings += before

    def _progress(self, one: _Watched) -> None:
        text = one.verdict.message
        if one.findings:
            first = one.findings[0]
            text += f"; {first.ref}: {first.reason}: {first.message}"
        self._say(str(one.target.ref), f"waiting for {one.target}: {text}")

    def _say(self, key: str, line: str) -> None:
        line = " ".join(self._waiter.redact(line).split())[:_MAX_LINE]
        if self._waiter.on_progress and self._lines.get(key) != line:
            self._lines[key] = line
            self._waiter.on_progress(line)

    def _timed_out(self, *, gone: bool = False) -> t.NoReturn:
        pending = self._pending()
        raise self._error(pending[0], timed_out=True, gone=gone, others=pending[1:])

    def _error(
        self,
        one: _Watched,
        *,
        timed_out: bool = False,
        gone: bool = False,
        hint: str = "",
        others: t.Sequence[_Watched] = (),
    ) -> WaitError:
        """The end of the story: what, how long, the last state, why, what to do, Events, logs."""
        if self._unavailable is None:
            try:
                for item in (one, *others[:2]):
                    self._look_around(item)
            except UnavailableError as error:
                self._unavailable = error
        took = f"{self._now() - self._began:.0f} seconds"
        if gone:
            head = f"{one.target.ref} is still there after {took}: {one.verdict.message}."
        elif not one.seen and self._unavailable is None:
            head = f"{one.target.ref} never appeared in {took}."
            hint = hint or "Check its name and namespace, and what should have created it."
        elif timed_out:
            head = f"{one.target} is not ready after {took}: {one.verdict.message}."
        elif one.verdict.state == "failed":
            head = f"{one.target} failed after {took}: {one.verdict.message}."
        else:
            head = f"{one.target} does not become ready by itself, given up after {took}: {one.verdict.message}."
        parts = [head]
        if self._unavailable is not None:
            parts.append(f"The API server did not answer at the end: {self._unavailable.message}")
        parts += [f"Also not ready: {item.target}: {item.verdict.message}." for item in others]
        redact = self._waiter.redact
        found = [
            replace(finding, message=redact(finding.message), log=redact(finding.log))
            for item in (one, *others)
            for finding in item.findings
        ]
        parts += _story(found, [item.evidence for item in (one, *others) if item.evidence])
        if not found and not hint:
            hint = "Wait longer, or look at it: " + _describe(one.target.ref)
        message = redact("\n".join(parts))
        return WaitError(message, hint=hint, findings=found, last=one.last, timed_out=timed_out)


def _story(found: list[Finding], evidence: list[Evidence]) -> list[str]:
    """Causes with next steps, Events, ends of logs, line by line."""
    from . import diagnose  # as above

    lines = []
    for finding in found:
        lines.append(f"{finding.reason}: {finding.ref}: {finding.message}")
        if finding.hint:
            lines.append(f"  {finding.hint}")
    events = [f"  {line}" for item in evidence for line in diagnose.warning_events(item)]
    if events:
        lines += ["Recent Warning Events:", *events]
    for finding in found:
        if finding.log:
            lines.append(f"End of the log of container {finding.container} of {finding.ref}:")
            lines += [f"  {line}" for line in finding.log.splitlines()]
    return lines


def _describe(ref: Ref) -> str:
    namespace = f" --namespace {ref.namespace}" if ref.namespace else ""
    group = ref.api_version.rpartition("/")[0]
    return f"kubectl describe {ref.kind.lower()}{f'.{group}' if group else ''} {ref.name}{namespace}"
