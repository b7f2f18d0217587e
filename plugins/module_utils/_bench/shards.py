# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A workload that several Pods share, and one run of what they have measured. Pure, but for the files of results."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import heapq
import json
import typing as t
from pathlib import Path

from . import engines, records, server_metrics, stages
from . import workload as workloads
from .engines.engine import requests_of
from .errors import InputError
from .pod import STEPS
from .records import Record, Writer, storage_error, write_text
from .stages import Histogram, StageFacts
from .workload import Stage, Workload

#: What environment.json tells of each Pod.
_TOLD = ("client_pod", "client_node", "host", "cores", "started_at")


def split(workload: Workload, count: int) -> list[Workload]:
    """The parts of a workload, each for one Pod. Together they send as much as the whole, and nothing twice.

    :raises InputError: a stage has less than one request for each of them, or which are run is only known on the way.
    """
    if count == 1:
        return [workload]
    if workload.search:
        raise InputError(
            f"A search cannot be shared by {count} Pods: which stage is next depends on what all have measured.",
            hint="Set parallelism to 1 with more cpu, or run the stages without search.",
        )
    if workload.max_in_flight < count:
        raise InputError(
            f"max_in_flight is {workload.max_in_flight}, less than one for each of {count} Pods.",
            hint="Set parallelism lower.",
        )
    parts = [_stages(workload, count, index) for index in range(count)]
    return [
        dataclasses.replace(
            workload,
            stages=parts[index],
            seed=_seed(workload.seed, count, index),
            warmup_requests=_part(workload.warmup_requests, count, index),
            max_in_flight=_part(workload.max_in_flight, count, index),
        )
        for index in range(count)
    ]


def _part(whole: int, count: int, index: int) -> int:
    """Parts that differ by one at most, the larger ones first."""
    return whole // count + (index < whole % count)


def _seed(seed: int, count: int, index: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{index} of {count}".encode()).digest()[:4], "big") >> 1


def _stages(workload: Workload, count: int, index: int) -> tuple[Stage, ...]:
    for number, stage in enumerate(workload.stages):
        slots = [stage.concurrency, requests_of(stage) if stage.kind == "rate" else stage.requests]
        least = min(amount for amount in slots if amount is not None)
        if least < count:
            raise InputError(
                f"Stage {number} is too small for {count} Pods: there are {least} requests to share.",
                hint="Set parallelism lower.",
            )
    return tuple(_stage(stage, count, index) for stage in workload.stages)


def _stage(stage: Stage, count: int, index: int) -> Stage:
    requests = None if stage.requests is None else _part(stage.requests, count, index)
    if stage.rate is None:
        return dataclasses.replace(stage, concurrency=_part(stage.concurrency or 0, count, index), requests=requests)
    # By its part of the requests, not by that of the Pods: then all of them end at the same time. They take turns.
    whole = requests_of(stage)
    rate = stage.rate * _part(whole, count, index) / whole
    return dataclasses.replace(stage, rate=rate, requests=requests, phase=index / count or None)


class _Shard:
    """What one Pod has left.

    :raises InputError: it is not what an engine leaves behind.
    :raises StorageError: it cannot be read.
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        self.environment = _read(place / "environment.json")
        self.told = {name: self.environment[name] for name in _TOLD if name in self.environment}
        #: Seconds since 1970; None of a Pod that has not begun.
        self.started: float | None = None
        self.records: t.Iterable[Record] = ()
        self.facts: list[StageFacts] = []
        if not self.environment:
            return
        try:
            self.started = datetime.datetime.fromisoformat(self.environment["started_at"]).timestamp()
            engine = self.environment["engine"]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{place} does not tell when its run began: {error!r}.", hint="Take the folder as the Pod has left it."
            ) from error
        if engine == engines.BUILTIN:
            self.records = records.read(place / records.FILE)
            self.facts = stages.read(place / stages.FILE)
        elif (place / STEPS).exists():  # else not one command has ended
            workload = workloads.read(place / "workload.json")
            self.records, self.facts = engines.normalise(engine, place, workload, run_id=place.name)

    def samples(self) -> list[dict[str, t.Any]]:
        """Of the server's metrics; a last line that is not whole is left out."""
        path = self._place / server_metrics.FILE
        try:
            return [json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1]]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise storage_error(path, error) from error


def merge(
    places: t.Sequence[Path],
    target: Path,
    workload: Workload,
    run_id: str,
    about: t.Mapping[str, t.Any] | None = None,
) -> None:
    """One run of what the Pods have left, in the folder ``target``, which has no records yet.

    :param places: the results of each Pod, in the order of split(), as far as there are any.
    :param workload: the whole of what was split.
    :param about: more of the environment of the run.
    :raises InputError: no Pod has begun, or what one has left is not what its engine leaves behind.
    :raises StorageError: files cannot be read or written.
    """
    shards = [_Shard(place) for place in places]
    begun = [shard for shard in shards if shard.started is not None]
    if not begun:
        raise InputError("No Pod has measured anything.", hint="Look at the logs of the Pods.")
    first = min(begun, key=lambda shard: shard.started or 0.0)
    # The clocks of nodes agree to milliseconds, which is as good as this gets.
    delays = [(shard.started or 0.0) - (first.started or 0.0) for shard in shards]
    streams = [
        _records(shard.records, run_id, delay, len(shards), index)
        for index, (shard, delay) in enumerate(zip(shards, delays, strict=True))
    ]
    with Writer(target / records.FILE) as writer:
        for record in heapq.merge(*streams, key=lambda record: record.t_end):
            writer.write(record)
    facts = [[_later(fact, delay) for fact in shard.facts] for shard, delay in zip(shards, delays, strict=True)]
    stages.write(target / stages.FILE, together(facts, workload))
    samples = [
        sample | {"t": round(sample["t"] + delay, 3)}
        for shard, delay in zip(shards, delays, strict=True)
        for sample in shard.samples()
    ]
    if samples:
        samples.sort(key=lambda sample: float(sample["t"]))
        write_text(target / server_metrics.FILE, "".join(json.dumps(sample) + "\n" for sample in samples))
    told = {**first.environment, "shards": [shard.told for shard in shards], **(about or {})}
    told["cores"] = sum(shard.environment.get("cores") or 0 for shard in begun) or None
    write_text(target / "environment.json", json.dumps(told, indent=1) + "\n")
    write_text(target / "workload.json", json.dumps(workload.as_data(), indent=1) + "\n")


def _records(found: t.Iterable[Record], run_id: str, delay: float, count: int, index: int) -> t.Iterator[Record]:
    """Records of one Pod as those of the whole: ``seq`` modulo the number of Pods tells which one."""
    for record in found:
        record.run_id = run_id
        record.seq = record.seq * count + index
        record.t_scheduled = round(record.t_scheduled + delay, 6)
        record.t_start = round(record.t_start + delay, 6)
        record.t_end = round(record.t_end + delay, 6)
        if record.t_first is not None:
            record.t_first = round(record.t_first + delay, 6)
        yield record


def _later(fact: StageFacts, delay: float) -> StageFacts:
    return dataclasses.replace(fact, t_begin=round(fact.t_begin + delay, 6), t_end=round(fact.t_end + delay, 6))


def together(shards: t.Sequence[t.Sequence[StageFacts]], workload: Workload) -> list[StageFacts]:
    """The facts of all Pods as those of one generator. A stage that one of them did not end has none."""
    named: dict[tuple[int, int], list[StageFacts]] = {}
    for facts in shards:
        for fact in facts:
            named.setdefault((fact.repeat, fact.stage), []).append(fact)
    return [_one(named[name], workload) for name in sorted(named) if len(named[name]) == len(shards)]


def _one(facts: t.Sequence[StageFacts], workload: Workload) -> StageFacts:
    """What one Pod is unfit for makes the stage unfit: of what tells so, the worst of all counts."""
    gaps = [fact.itl for fact in facts if fact.itl is not None]
    itl = Histogram() if gaps else None
    for gap in gaps:
        t.cast("Histogram", itl).merge(gap)
    return dataclasses.replace(
        facts[0],
        asked=workload.stages[facts[0].stage].asked,
        t_begin=min(fact.t_begin for fact in facts),
        t_end=max(fact.t_end for fact in facts),
        sent=sum(fact.sent for fact in facts),
        completed=sum(fact.completed for fact in facts),
        # At most: the Pods need not have had theirs at the same time.
        in_flight_max=sum(fact.in_flight_max for fact in facts),
        held_back=sum(fact.held_back for fact in facts),
        cancelled=sum(fact.cancelled for fact in facts),
        generator_cpu=_highest(fact.generator_cpu for fact in facts),
        schedule_delay_p50_ms=_highest(fact.schedule_delay_p50_ms for fact in facts),
        schedule_delay_p99_ms=_highest(fact.schedule_delay_p99_ms for fact in facts),
        itl=itl,
    )


def _highest(values: t.Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _read(path: Path) -> dict[str, t.Any]:
    """A JSON object; an empty one where there is no file."""
    try:
        return dict(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise storage_error(path, error) from error
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} is no JSON object.", hint="Take the file as the Pod has left it.") from error
