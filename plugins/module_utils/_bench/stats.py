# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the records of requests to the figures of stages.

Latencies are those of requests that ended well; the schedule delay, and the gaps that a generator has counted, are of
all. A percentile is the smallest value that so many requests do not exceed (nearest rank), so that it is one that was
measured, and a limit is kept by 99 % of the requests exactly when p99 keeps it. Throughput is over the wall time, from
the first request to the end of the last answer; the rate that was sent is over the window of sending.
"""

from __future__ import annotations

import dataclasses
import math
import operator
import typing as t
from array import array

from .records import Record
from .slo import METRICS, Objective
from .stages import Histogram, StageFacts
from .workload import Workload

#: Statistics of a distribution, with the share of its values for percentiles.
PERCENTILES = {
    "p0_1": 0.001,
    "p1": 0.01,
    "p5": 0.05,
    "p10": 0.1,
    "p25": 0.25,
    "p50": 0.5,
    "p75": 0.75,
    "p90": 0.9,
    "p95": 0.95,
    "p99": 0.99,
    "p99_9": 0.999,
}

#: ``count``, ``mean``, ``stddev`` (of the values themselves), ``min``, ``max`` and one value for each of PERCENTILES.
Distribution: t.TypeAlias = "dict[str, float]"

_NOTHING = math.nan


@dataclasses.dataclass
class Failure:
    """Requests that failed alike."""

    error: str
    status: int | None
    count: int
    #: That of the first one.
    message: str


class Columns:
    """The records of one stage by columns, as a million of them would not fit otherwise.

    Arrays have one value per record; what a request did not give is NaN.
    """

    def __init__(self) -> None:
        #: Seconds since the run began.
        self.t_start, self.t_first, self.t_end = array("d"), array("d"), array("d")
        #: The ends of those that failed, which are not in line with the other columns.
        self.failed_at = array("d")
        #: Milliseconds, of requests that ended well.
        self.ttft, self.tpot, self.e2e = array("d"), array("d"), array("d")
        #: Milliseconds, of all.
        self.schedule_delay = array("d")
        #: Tokens, of all.
        self.isl, self.osl = array("d"), array("d")
        #: Gaps between tokens, where the records kept them.
        self.itl = Histogram()
        self.completed = 0
        self.cancelled = 0
        #: Requests whose tokens the server has counted.
        self.counted = 0
        #: Requests that kept all limits of collect().
        self.good = 0
        self.failures: dict[tuple[str, int | None], Failure] = {}
        self._parts: list[Columns] = []
        self._ordered: dict[str, array[float]] = {}

    def __len__(self) -> int:
        return len(self.t_start)

    def add(self, record: Record, limits: t.Mapping[str, float]) -> None:
        self.t_start.append(record.t_start)
        self.t_first.append(_NOTHING if record.t_first is None else record.t_first)
        self.t_end.append(record.t_end)
        self.schedule_delay.append(record.schedule_delay_ms)
        self.isl.append(record.isl or 0)
        self.osl.append(record.osl)
        if record.osl_server is not None:
            self.counted += 1
        if record.ok:
            self.completed += 1
            self.ttft.append(_NOTHING if record.ttft_ms is None else record.ttft_ms)
            self.tpot.append(_NOTHING if record.tpot_ms is None else record.tpot_ms)
            self.e2e.append(record.e2e_ms)
            if limits and keeps(record, limits):
                self.good += 1
        else:
            self.ttft.append(_NOTHING)
            self.tpot.append(_NOTHING)
            self.e2e.append(_NOTHING)
            if record.error == "cancelled":
                self.cancelled += 1
            else:
                self._failed(record)
        if record.itl_ms:
            for gap in record.itl_ms:
                self.itl.add(gap)

    def _failed(self, record: Record) -> None:
        key = (record.error, record.status)
        failure = self.failures.get(key)
        if failure is None:
            failure = self.failures[key] = Failure(record.error, record.status, 0, record.message)
        failure.count += 1
        self.failed_at.append(record.t_end)

    def extend(self, other: Columns) -> None:
        """Takes over the records of another repeat, to which nothing is added any more."""
        self._parts.append(other)
        for name in ("t_start", "t_first", "t_end", "ttft", "tpot", "e2e", "schedule_delay", "isl", "osl", "failed_at"):
            getattr(self, name).extend(getattr(other, name))
        self.itl.merge(other.itl)
        self.completed += other.completed
        self.cancelled += other.cancelled
        self.counted += other.counted
        self.good += other.good
        for key, failure in other.failures.items():
            known = self.failures.setdefault(key, dataclasses.replace(failure, count=0))
            known.count += failure.count

    def ordered(self, metric: str) -> array[float]:
        """What requests gave of a metric other than ITL (milliseconds), or their isl or osl (tokens), sorted.

        Only to be asked for when all records are there.
        """
        known = self._ordered.get(metric)
        if known is None:
            if self._parts:
                # Sorting what is sorted in pieces costs next to nothing.
                values = [value for part in self._parts for value in part.ordered(metric)]
            else:
                values = self._values(metric)
            values.sort()
            known = self._ordered[metric] = array("d", values)
        return known

    def _values(self, metric: str) -> list[float]:
        if metric == "ntpot":
            return [e2e / osl for e2e, osl in zip(self.e2e, self.osl, strict=True) if osl and not math.isnan(e2e)]
        if metric == "osl":
            return [osl for e2e, osl in zip(self.e2e, self.osl, strict=True) if not math.isnan(e2e)]
        return [value for value in getattr(self, metric) if not math.isnan(value)]


def limits_of_requests(objectives: t.Iterable[Objective]) -> dict[str, float]:
    """By metric, the limit that every single request is held against for goodput.

    Of several objectives for one metric the widest counts. The schedule delay is no property of the server and left
    out, as are objectives for a mean, which no single request can keep or miss.
    """
    limits: dict[str, float] = {}
    for objective in objectives:
        if objective.metric and objective.metric != "schedule_delay" and objective.statistic != "mean":
            limits[objective.metric] = max(objective.limit, limits.get(objective.metric, 0.0))
    return limits


def keeps(record: Record, limits: t.Mapping[str, float]) -> bool:
    """Whether a request that ended well kept every limit. Of its gaps between tokens, 99 % have to."""
    for metric, limit in limits.items():
        if metric == "ttft":
            value = record.ttft_ms
        elif metric == "tpot":
            value = record.tpot_ms
        elif metric == "itl":
            value = record.itl_p99_ms
        elif metric == "e2e":
            value = record.e2e_ms
        else:
            value = record.e2e_ms / record.osl if record.osl else None
        if value is not None and value > limit:
            return False
    return True


def collect(records: t.Iterable[Record], limits: t.Mapping[str, float]) -> dict[tuple[int, int], Columns]:
    """The records of a run by stage and repeat, in one pass."""
    found: dict[tuple[int, int], Columns] = {}
    for record in records:
        key = (record.stage, record.repeat)
        columns = found.get(key)
        if columns is None:
            columns = found[key] = Columns()
        columns.add(record, limits)
    return found


def distribution(ordered: t.Sequence[float]) -> Distribution | None:
    """The statistics of sorted values; None where there are none."""
    count = len(ordered)
    if not count:
        return None
    # Rounding must not put the mean of equal values beside them.
    mean = min(max(math.fsum(ordered) / count, ordered[0]), ordered[-1])
    deviations = [value - mean for value in ordered]
    return {
        "count": count,
        "mean": mean,
        "stddev": math.sqrt(sum(map(operator.mul, deviations, deviations)) / count),
        "min": ordered[0],
        **{name: percentile(ordered, share) for name, share in PERCENTILES.items()},
        "max": ordered[-1],
    }


def percentile(ordered: t.Sequence[float], share: float) -> float:
    """The smallest of the sorted values that ``share`` (0 to 1) of them do not exceed."""
    # 0.99 * 100 is a little more than 99 in binary.
    return ordered[max(1, math.ceil(share * len(ordered) - 1e-9)) - 1]


def _distribution_of(histogram: Histogram) -> Distribution | None:
    if not histogram.count:
        return None
    figures = {"count": histogram.count, "mean": histogram.mean, "stddev": histogram.stddev, "min": histogram.minimum}
    figures |= {name: histogram.percentile(share) for name, share in PERCENTILES.items()}
    return t.cast("Distribution", figures | {"max": histogram.maximum})


@dataclasses.dataclass
class StageSummary:
    """The figures of one repeat of a stage, or of all its repeats together."""

    stage: int
    #: None for all together.
    repeat: int | None
    kind: str
    asked: float
    arrival: str
    #: Whether the generator came to the end of the stage.
    finished: bool
    #: Seconds: of sending, and until the last answer.
    window_s: float
    wall_s: float
    #: sent = completed + failed + cancelled
    sent: int
    completed: int
    failed: int
    cancelled: int
    #: Of the requests that were not cancelled, the share that failed.
    error_rate: float
    sent_s: float
    requests_s: float
    input_tok_s: float
    output_tok_s: float
    total_tok_s: float
    #: Requests that kept every limit, and their share of those that were not cancelled; None without limits.
    good: int | None
    goodput: float | None
    goodput_s: float | None
    in_flight_max: int
    held_back: int
    generator_cpu: float | None
    #: By metric of slo.METRICS, in milliseconds; None where no request gave it.
    latency: dict[str, Distribution | None]
    isl: Distribution | None
    osl: Distribution | None
    failures: list[Failure]

    @property
    def answered(self) -> int:
        """Requests that were not cancelled: what rates of errors and of goodput are shares of."""
        return self.completed + self.failed

    def as_data(self) -> dict[str, t.Any]:
        return dataclasses.asdict(self)


@dataclasses.dataclass
class StageResult:
    """A stage with all that is known of it."""

    summary: StageSummary
    repeats: list[StageSummary]
    columns: Columns
    itl: Histogram
    #: Of each repeat, as the generator told or as the records let it be known.
    facts: list[StageFacts]


def summarise(
    collected: t.Mapping[tuple[int, int], Columns], facts: t.Iterable[StageFacts], workload: Workload
) -> list[StageResult]:
    """The stages of a run in their order. A stage that was cut off is told from its records."""
    told = {(stage.stage, stage.repeat): stage for stage in facts}
    limited = bool(limits_of_requests(workload.objectives))
    repeats: dict[int, list[_Part]] = {}
    for stage, repeat in sorted(collected.keys() | told.keys()):
        columns = collected.get((stage, repeat)) or Columns()
        fact = told.get((stage, repeat))
        part = _Part(columns, fact or _guess(stage, repeat, columns, workload), fact is not None)
        repeats.setdefault(stage, []).append(part)
    return [_result(parts, limited=limited) for parts in repeats.values()]


@dataclasses.dataclass
class _Part:
    """One repeat of a stage."""

    columns: Columns
    facts: StageFacts
    finished: bool

    @property
    def itl(self) -> Histogram:
        return self.facts.itl or self.columns.itl

    @property
    def wall_s(self) -> float:
        last = max(self.columns.t_end, default=0.0)
        return max(self.facts.t_end, last) - self.facts.t_begin


def _guess(stage: int, repeat: int, columns: Columns, workload: Workload) -> StageFacts:
    """What the records say of a stage whose generator was killed."""
    asked = workload.stages[stage] if stage < len(workload.stages) else None
    rate = asked is not None and asked.kind == "rate"
    return StageFacts(
        stage=stage,
        repeat=repeat,
        kind=asked.kind if asked else "concurrency",
        asked=asked.asked if asked else 0.0,
        arrival=workload.arrival if rate else "closed",
        t_begin=min(columns.t_start),
        t_end=max(columns.t_start),
        sent=len(columns),
        completed=columns.completed,
        in_flight_max=_in_flight_max(columns),
    )


def _in_flight_max(columns: Columns) -> int:
    changes = sorted([*((at, 1) for at in columns.t_start), *((at, -1) for at in columns.t_end)])
    now = most = 0
    for change in changes:
        now += change[1]
        most = max(most, now)
    return most


def _result(parts: t.Sequence[_Part], *, limited: bool) -> StageResult:
    repeats = [_summary([part], part.columns, part.itl, part.facts.repeat, limited=limited) for part in parts]
    if len(parts) == 1:
        summary, columns, itl = dataclasses.replace(repeats[0], repeat=None), parts[0].columns, parts[0].itl
    else:
        columns, itl = Columns(), Histogram()
        for part in parts:
            columns.extend(part.columns)
            itl.merge(part.itl)
        summary = _summary(parts, columns, itl, None, limited=limited)
    return StageResult(summary, repeats, columns, itl, [part.facts for part in parts])


def _summary(
    parts: t.Sequence[_Part], columns: Columns, itl: Histogram, repeat: int | None, *, limited: bool
) -> StageSummary:
    first = parts[0].facts
    window = sum(part.facts.t_end - part.facts.t_begin for part in parts)
    wall = sum(part.wall_s for part in parts)
    sent, completed = len(columns), columns.completed
    failed = sent - completed - columns.cancelled
    tokens_in, tokens_out = sum(columns.isl), sum(columns.osl)
    cpus = [part.facts.generator_cpu for part in parts if part.facts.generator_cpu is not None]
    answered = completed + failed
    return StageSummary(
        stage=first.stage,
        repeat=repeat,
        kind=first.kind,
        asked=first.asked,
        arrival=first.arrival,
        finished=all(part.finished for part in parts),
        window_s=window,
        wall_s=wall,
        sent=sent,
        completed=completed,
        failed=failed,
        cancelled=columns.cancelled,
        error_rate=_ratio(failed, answered),
        sent_s=_ratio(sent, window),
        requests_s=_ratio(completed, wall),
        input_tok_s=_ratio(tokens_in, wall),
        output_tok_s=_ratio(tokens_out, wall),
        total_tok_s=_ratio(tokens_in + tokens_out, wall),
        good=columns.good if limited else None,
        goodput=_ratio(columns.good, answered) if limited else None,
        goodput_s=_ratio(columns.good, wall) if limited else None,
        in_flight_max=max(part.facts.in_flight_max for part in parts),
        held_back=sum(part.facts.held_back for part in parts),
        generator_cpu=max(cpus) if cpus else None,
        latency={
            metric: _distribution_of(itl) if metric == "itl" else distribution(columns.ordered(metric))
            for metric in METRICS
        },
        isl=distribution(columns.ordered("isl")),
        osl=distribution(columns.ordered("osl")),
        failures=sorted(columns.failures.values(), key=lambda failure: -failure.count),
    )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
