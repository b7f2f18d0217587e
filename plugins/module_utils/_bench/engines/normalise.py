# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all tools tell of their requests, as records and facts of stages. Pure, but for the files that are read."""

from __future__ import annotations

import itertools
import math
import typing as t
from pathlib import Path

from ..errors import InputError
from ..pod import STEPS
from ..records import Record
from ..stages import Histogram, StageFacts
from ..workload import Stage, Workload
from .engine import WARMUP_INDEX, Engine, Sent, load, plan, requests_of, strange


def normalise(
    engine: Engine, folder: Path, workload: Workload, *, run_id: str
) -> tuple[list[Record], list[StageFacts]]:
    """The records of a run, and the facts of its stages, as far as it got.

    :param folder: the results of the container, with a folder per command.
    :raises InputError: what is there is not what this version of the tool leaves behind.
    """
    path = folder / STEPS
    told = load(path, engine.name)
    records: list[Record] = []
    facts: list[StageFacts] = []
    try:
        origin = told["origin"]
        cores = 1 if engine.one_process else told["cores"]
        statuses = {step["name"]: step["status"] for step in told["steps"]}
        cpu = {step["name"]: step["cpu"] for step in told["steps"] if not step["status"]}
    except (KeyError, TypeError) as error:
        raise strange(path, engine.name, error) from error
    for command in plan(workload):
        name, stage = command.name, command.stage
        if command.index == WARMUP_INDEX or name not in cpu:
            continue
        sent = sorted(engine.read(folder / name), key=lambda request: request.start)
        if stage.kind == "concurrency":
            # A closed loop has no schedule, even if the tool fills a queue at the beginning.
            for request in sent:
                request.scheduled = None
        if not sent:
            raise InputError(
                f"{engine.name} has sent nothing in {name}.", hint="Look at its log, and at the endpoint's."
            )
        itl = Histogram()
        made = [
            _record(
                request, workload, origin[engine.clock], itl, run_id=run_id, place=(command.index, command.repeat, seq)
            )
            for seq, request in enumerate(sent)
        ]
        found = _facts(made, itl, stage, engine.arrival(workload), (command.index, command.repeat))
        # Processes are watched by the monotonic clock.
        begin, end = (time + origin["monotonic"] for time in (found.t_begin, found.t_end))
        found.generator_cpu = _cpu(cpu[name], begin, end, cores)
        records += made
        facts.append(found)
    if not facts:
        name, status = next(reversed(statuses.items()), ("its first command", None))
        raise InputError(
            f"{engine.name} has measured nothing: "
            + (f"{name} ended with status {status}." if status else f"it was stopped after {name}."),
            hint="Look at its log.",
        )
    return records, facts


def _record(
    sent: Sent, workload: Workload, origin: float, itl: Histogram, *, run_id: str, place: tuple[int, int, int]
) -> Record:
    stage, repeat, seq = place
    gaps = sorted((after - before) * 1000 for before, after in itertools.pairwise(sent.times))
    for gap in gaps:
        itl.add(gap)
    scheduled = sent.start if sent.scheduled is None else sent.scheduled
    first = sent.times[0] if sent.times and workload.stream else None
    e2e = sent.end - sent.start
    ttft = first - sent.start if first is not None else None
    osl = next((count for count in (sent.osl_server, sent.osl) if count is not None), len(sent.times))
    error = sent.error or ("" if osl else "no_tokens")
    return Record(
        run_id=run_id,
        stage=stage,
        repeat=repeat,
        seq=seq,
        t_scheduled=round(scheduled - origin, 6),
        t_start=round(sent.start - origin, 6),
        t_end=round(sent.end - origin, 6),
        t_first=None if first is None else round(first - origin, 6),
        isl=sent.isl,
        osl=osl,
        osl_server=sent.osl_server,
        ttft_ms=None if ttft is None else _ms(ttft),
        tpot_ms=_ms((e2e - ttft) / (osl - 1)) if ttft is not None and osl > 1 else None,
        itl_mean_ms=round(sum(gaps) / len(gaps), 3) if gaps else None,
        itl_p50_ms=_rank(gaps, 0.5),
        itl_p99_ms=_rank(gaps, 0.99),
        itl_max_ms=_rank(gaps, 1.0),
        itl_ms=[_ms(after - before) for before, after in itertools.pairwise(sent.times)] if workload.keep_itl else None,
        e2e_ms=_ms(e2e),
        ok=not error,
        status=sent.status,
        error=error,
        message=sent.message,
        model=workload.model,
        finish_reason=sent.finish_reason,
        # A tool may send a moment before its time.
        schedule_delay_ms=max(0.0, _ms(sent.start - scheduled)),
    )


def _facts(
    records: t.Sequence[Record], itl: Histogram, stage: Stage, arrival: str, place: tuple[int, int]
) -> StageFacts:
    """``records`` are those of one command, by their time."""
    begin, last = records[0].t_scheduled, records[-1].t_start
    window = requests_of(stage) / stage.asked if stage.kind == "rate" else stage.duration or 0.0
    delays = Histogram()
    for record in records:
        delays.add(record.schedule_delay_ms)
    index, repeat = place
    return StageFacts(
        stage=index,
        repeat=repeat,
        kind=stage.kind,
        asked=stage.asked,
        arrival=arrival if stage.kind == "rate" else "closed",
        t_begin=begin,
        t_end=max(last, round(begin + window, 6)),
        sent=len(records),
        completed=sum(record.ok for record in records),
        in_flight_max=_in_flight(records),
        cancelled=sum(record.error == "cancelled" for record in records),
        schedule_delay_p50_ms=delays.percentile(0.5),
        schedule_delay_p99_ms=delays.percentile(0.99),
        itl=itl,
    )


def _in_flight(records: t.Sequence[Record]) -> int:
    """The most requests that were under way at a time."""
    # Of two at the same time, the end counts first.
    changes = sorted([(record.t_start, 1) for record in records] + [(record.t_end, -1) for record in records])
    return max(itertools.accumulate(change for _time, change in changes))


def _cpu(samples: t.Sequence[t.Sequence[float]], begin: float, end: float, cores: float) -> float | None:
    """CPU used per second between two times, of what there was; None when the stage was shorter than two samples."""
    inside = [(time, used) for time, used in samples if begin <= time <= end]
    if len(inside) < 2:
        return None
    (first, before), (last, after) = inside[0], inside[-1]
    return round((after - before) / (last - first) / cores, 4)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _rank(ordered: t.Sequence[float], share: float) -> float | None:
    """The smallest value that so many of the sorted ones do not exceed."""
    return round(ordered[max(1, math.ceil(share * len(ordered) - 1e-9)) - 1], 3) if ordered else None
