# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How far a run is, as lines for people."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._bench.builtin.run import Progress
from ansible_collections.modelops.serving.plugins.module_utils._bench.workload import Stage, Workload


class Status:
    """Shows a line when a stage or its state changes, and one per ``interval`` seconds in between."""

    def __init__(self, workload: Workload, show: t.Callable[[str], None], interval: float) -> None:
        self._workload = workload
        self._show = show
        self._interval = interval
        self._seen: tuple[int, int, str] | None = None
        self._due = 0.0

    def __call__(self, progress: Progress) -> None:
        here, now = (progress.repeat, progress.stage, progress.state), time.monotonic()
        if here != self._seen or now >= self._due:
            self._seen, self._due = here, now + self._interval
            self._show(line(progress, self._workload))


def line(progress: Progress, workload: Workload) -> str:
    """Where the run is, what was asked and what is achieved, how it goes in the server, and how long it takes from here."""
    told = progress.errors is not None
    errors = f"{progress.errors} error{'' if progress.errors == 1 else 's'}"
    if progress.state == "warmup":
        answered = f"{progress.completed} of {workload.warmup_requests} requests answered, {errors}"
        return f"warm-up, {answered if told else f'{workload.warmup_requests} requests'}"
    repeat = f", repeat {progress.repeat + 1} of {progress.repeats}" if progress.repeats > 1 else ""
    where = f"{'search, ' if workload.search else ''}stage {progress.stage + 1} of {progress.stages}{repeat}"
    if progress.state == "draining":
        waiting = f", waiting for {progress.in_flight} more" if progress.in_flight else ""
        return f"{where}, {progress.completed} of {progress.sent} requests answered{waiting}, {errors}"
    asked = f"{progress.asked:g} requests/s" if progress.kind == "rate" else f"{progress.asked:g} in flight"
    parts = [f"{where}, {asked} asked"]
    if told:
        parts += [f"{progress.requests_s:g} answered/s", f"{progress.tokens_s:g} tokens/s"]
        parts += [f"{progress.in_flight} in flight", errors]
    parts += _server(progress)
    left = remaining(progress, workload)
    of_stage = " of this stage" if workload.search else ""
    return ", ".join([*parts, *([] if left is None else [_left(left) + of_stage])])


def _server(progress: Progress) -> list[str]:
    said = {"running": progress.server_running, "waiting": progress.server_waiting}
    found = [f"{value:g} {word}" for word, value in said.items() if value is not None]
    return [f"server {' and '.join(found)}"] if found else []


def remaining(progress: Progress, workload: Workload) -> float | None:
    """Seconds until everything is sent, or of a search the stage; None where the server decides how long that takes."""
    spans = [_span(stage) for stage in workload.stages]
    again = progress.repeats - progress.repeat - 1
    after = [spans[progress.stage]] * again if workload.search else spans[progress.stage + 1 :] + spans * again
    known = [span for span in (progress.remaining, *after) if span is not None]
    return sum(known) if len(known) == len(after) + 1 else None


def _span(stage: Stage) -> float | None:
    if stage.duration is not None:
        return stage.duration
    return stage.requests / stage.rate if stage.rate and stage.requests else None


def _left(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole} s left" if whole < 120 else f"{whole // 60} min {whole % 60} s left"
