# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The figures of a run as plain data: for the HTML report, and for ``summary.json``, which runs are compared by."""

from __future__ import annotations

import dataclasses
import itertools
import math
import typing as t

from . import compare, honesty, search, slo
from .cost import usd_per_mtok
from .html import data as page
from .records import Record
from .stages import StageFacts
from .stats import Distribution, StageResult, collect, limits_of_requests, percentile, summarise
from .workload import Length, Workload

#: What the timeline is not finer than, in seconds.
_FINEST = 0.1


class About(t.TypedDict, total=False):
    """What neither the workload nor the records tell of a run. Everything may be missing."""

    #: What people call the run; a baseline can be asked for by it.
    name: str
    #: RFC 3339, UTC.
    started_at: str
    revision: str
    #: The engine that serves, and its version; its image with the digest, and its arguments.
    server: str
    image: str
    args: list[str]
    accelerator: str
    topology: str
    chips: int
    tensor_parallel: int
    #: Of all chips together.
    usd_per_hour: float
    kubernetes: str
    zone: str
    #: The engine that loads, and its version; where it ran, on how many cores.
    generator: str
    generator_host: str
    generator_cores: float
    #: Where it ran in a cluster: the node, the image of its container, and the cluster and the namespace.
    generator_node: str
    generator_image: str
    cluster: str
    namespace: str
    round_trip_ms: float
    clock: str


@dataclasses.dataclass(frozen=True)
class Judged:
    """A stage with its verdicts."""

    result: StageResult
    #: Why the figures are invalid; nothing when they are valid.
    reasons: list[str]
    usd_per_mtok: float | None
    slo: list[slo.Result]


def judge(results: t.Iterable[StageResult], workload: Workload, about: About) -> list[Judged]:
    """Every stage held against honesty first and the objectives then."""
    objectives = workload.objectives
    judged = []
    for result in results:
        reasons = honesty.reasons(result)
        price = usd_per_mtok(about.get("usd_per_hour"), result.summary.output_tok_s)
        verdicts = [slo.judge(objective, result, valid=not reasons, usd_per_mtok=price) for objective in objectives]
        judged.append(Judged(result, reasons, price, verdicts))
    return judged


def is_good(stage: int, records: t.Iterable[Record], facts: t.Iterable[StageFacts], workload: Workload) -> bool:
    """Whether a stage that was run is valid and has met all objectives, by all that was measured so far."""
    collected = collect(
        (record for record in records if record.stage == stage), limits_of_requests(workload.objectives)
    )
    results = summarise(collected, (fact for fact in facts if fact.stage == stage), workload)
    return [_probe(one)["verdict"] for one in judge(results, workload, {})] == ["passed"]


def _probe(stage: Judged) -> search.Probe:
    summary = stage.result.summary
    verdict = "invalid" if stage.reasons else slo.overall(stage.slo) or "inconclusive"
    return {"stage": summary.stage, "asked": summary.asked, "verdict": verdict}


def search_data(judged: t.Iterable[Judged], workload: Workload) -> search.Found | None:
    """What a search has found so far; None where nothing was searched."""
    if not workload.search:
        return None
    tried = [stage for stage in judged if _is_whole(stage, workload)]
    tried.sort(key=lambda stage: stage.result.facts[0].t_begin)
    return search.found([_probe(stage) for stage in tried], workload)


def _is_whole(stage: Judged, workload: Workload) -> bool:
    return sum(summary.finished for summary in stage.result.repeats) == workload.repeats


def deciding(judged: t.Sequence[Judged], workload: Workload) -> list[Judged]:
    """The stages that the verdict is about: all of them, but of a search search.deciding().

    A search that was cut off has none but the one that was cut off.
    """
    found = search_data(judged, workload)
    if found is None:
        return list(judged)
    if not search.is_over(found):
        return [stage for stage in judged if not _is_whole(stage, workload)]
    return [stage for stage in judged if stage.result.summary.stage == search.deciding(found)]


def is_stopped(judged: t.Sequence[Judged], workload: Workload) -> bool:
    """Whether the run ended before its workload was through."""
    if (found := search_data(judged, workload)) is not None:
        return not search.is_over(found)
    finished = sum(summary.finished for stage in judged for summary in stage.result.repeats)
    return finished < len(workload.stages) * workload.repeats


def key_of(workload: Workload, about: About) -> dict[str, t.Any]:
    """What a run is comparable by, under the names of compare.KEY."""
    return {
        "model": workload.model,
        "server": about.get("server"),
        "accelerator": about.get("accelerator"),
        "topology": about.get("topology"),
        "workload": workload.digest,
    }


def summary_data(run_id: str, judged: t.Sequence[Judged], workload: Workload, about: About) -> dict[str, t.Any]:
    """What ``summary.json`` holds: figures and verdicts by stage and repeat, and what the run is comparable by."""
    return {
        "run_id": run_id,
        "name": about.get("name"),
        "started_at": about.get("started_at", ""),
        "stopped": is_stopped(judged, workload),
        "key": key_of(workload, about),
        **{name: about.get(name) for name in ("chips", "tensor_parallel", "usd_per_hour")},
        "verdict": slo.overall(verdict for stage in deciding(judged, workload) for verdict in stage.slo),
        "search": search_data(judged, workload),
        "slo": [dataclasses.asdict(verdict) for stage in judged for verdict in stage.slo],
        "stages": [
            stage.result.summary.as_data()
            | {
                "reasons": stage.reasons,
                "usd_per_mtok": stage.usd_per_mtok,
                "repeats": [
                    summary.as_data() | {"usd_per_mtok": usd_per_mtok(about.get("usd_per_hour"), summary.output_tok_s)}
                    for summary in stage.result.repeats
                ],
            }
            for stage in judged
        ],
    }


def page_data(
    summary: t.Mapping[str, t.Any],
    judged: t.Sequence[Judged],
    workload: Workload,
    about: About,
    *,
    earlier: t.Sequence[compare.Run] = (),
    baseline: str = "",
    server: t.Sequence[t.Mapping[str, t.Any]] = (),
) -> page.Run:
    """What the HTML report shows.

    ``summary`` is the run's own summary_data(), ``earlier`` those of other runs, of which ``baseline`` is one by name
    or id, the newest that is comparable when it is empty. ``server`` are samples of the server's metrics:
    ``{t, running, waiting, kv_used}``, with None or nothing for what is not known.
    """
    return {
        "run_id": summary["run_id"],
        "started_at": summary["started_at"],
        "stopped": summary["stopped"],
        "facts": _facts(judged, workload, about),
        "verdict": summary["verdict"],
        "search": summary["search"],
        "stages": [_stage(stage, about.get("chips")) for stage in judged],
        "slo": [t.cast("page.SloResult", dataclasses.asdict(verdict)) for stage in judged for verdict in stage.slo],
        "errors": [
            t.cast("page.Failure", {"stage": stage.result.summary.stage} | dataclasses.asdict(failure))
            for stage in judged
            for failure in stage.result.summary.failures
        ],
        "timeline": _timeline(judged, server),
        "scatter": _scatter(judged),
        "heat": _heat(judged),
        "comparison": _comparison(summary, earlier, baseline),
    }


def _facts(judged: t.Sequence[Judged], workload: Workload, about: About) -> page.Facts:
    data = workload.data
    return {
        "model": workload.model,
        "revision": about.get("revision"),
        "protocol": workload.protocol,
        "endpoint": workload.endpoint,
        "server": about.get("server"),
        "image": about.get("image"),
        "args": about.get("args", []),
        "accelerator": about.get("accelerator"),
        "topology": about.get("topology"),
        "chips": about.get("chips"),
        "tensor_parallel": about.get("tensor_parallel"),
        "usd_per_hour": about.get("usd_per_hour"),
        "kubernetes": about.get("kubernetes"),
        "zone": about.get("zone"),
        "generator": about.get("generator", "not known"),
        "generator_host": about.get("generator_host"),
        "generator_cores": about.get("generator_cores"),
        "generator_node": about.get("generator_node"),
        "generator_image": about.get("generator_image"),
        "cluster": about.get("cluster"),
        "namespace": about.get("namespace"),
        "round_trip_ms": about.get("round_trip_ms"),
        "dataset": data.path.rpartition("/")[2] or "synthetic",
        "dataset_sha256": data.sha256 or None,
        "input_tokens": in_words(data.input_tokens) if data.input_tokens else "as in the dataset",
        "output_tokens": in_words(data.output_tokens),
        "tokens_counted_by": _counted_by(judged),
        "stream": workload.stream,
        "seed": workload.seed,
        "warmup_requests": workload.warmup_requests,
        "duration_s": sum(stage.result.summary.wall_s for stage in judged),
        "repeats": workload.repeats,
        "clock": about.get("clock", "not known"),
        "workload_digest": workload.digest,
    }


def in_words(length: Length) -> str:
    if not length.stddev and length.min == length.max:
        return f"{length.mean:g}"
    return f"normal, mean {length.mean:g}, standard deviation {length.stddev:g}, from {length.min} to {length.max}"


def _counted_by(judged: t.Sequence[Judged]) -> str:
    requests = sum(len(stage.result.columns) for stage in judged)
    counted = sum(stage.result.columns.counted for stage in judged)
    completed = sum(stage.result.summary.completed for stage in judged)
    if counted and counted >= completed:
        return "the server"
    return (
        f"the server for {counted} of {requests} requests, else by chunks with text" if counted else "chunks with text"
    )


def _statistic(figures: Distribution | None) -> page.Statistic | None:
    if figures is None:
        return None
    return t.cast("page.Statistic", {name: figures[name] for name in page.Statistic.__annotations__})


def _stage(judged: Judged, chips: int | None) -> page.Stage:
    summary, columns = judged.result.summary, judged.result.columns
    return {
        "stage": summary.stage,
        "kind": t.cast("page.Kind", summary.kind),
        "asked": summary.asked,
        "arrival": summary.arrival,
        "repeats": len(judged.result.repeats),
        "duration_s": summary.wall_s,
        "sent": summary.sent,
        "completed": summary.completed,
        "error_rate": summary.error_rate,
        "sent_s": summary.sent_s,
        "request_s": summary.requests_s,
        "output_tok_s": summary.output_tok_s,
        "total_tok_s": summary.total_tok_s,
        "goodput": summary.goodput,
        "goodput_s": summary.goodput_s,
        "output_tok_s_chip": summary.output_tok_s / chips if chips else None,
        "usd_per_mtok": judged.usd_per_mtok,
        "in_flight_max": summary.in_flight_max,
        "generator_cpu": summary.generator_cpu,
        "ttft_ms": _statistic(summary.latency["ttft"]),
        "itl_ms": _statistic(summary.latency["itl"]),
        "tpot_ms": _statistic(summary.latency["tpot"]),
        "ntpot_ms": _statistic(summary.latency["ntpot"]),
        "e2e_ms": _statistic(summary.latency["e2e"]),
        "schedule_delay_ms": _statistic(summary.latency["schedule_delay"]),
        "ttft_cdf": _cdf(columns.ordered("ttft")),
        "e2e_cdf": _cdf(columns.ordered("e2e")),
        "valid": not judged.reasons,
        "reasons": judged.reasons,
    }


def _cdf(ordered: t.Sequence[float]) -> page.Cdf:
    points = min(len(ordered), page.CDF_POINTS)
    shares = ((index + 1) / points for index in range(points))
    return [(percentile(ordered, share), share) for share in shares]


def _timeline(judged: t.Sequence[Judged], server: t.Sequence[t.Mapping[str, t.Any]]) -> page.Timeline | None:
    facts = [fact for stage in judged for fact in stage.result.facts]
    tables = [stage.result.columns for stage in judged if len(stage.result.columns)]
    if not facts:
        return None
    begin = min(fact.t_begin for fact in facts)
    end = max([fact.t_end for fact in facts] + [max(columns.t_end) for columns in tables])
    count = max(1, min(page.TIMELINE_BUCKETS, int((end - begin) / _FINEST)))
    width = max(end - begin, _FINEST) / count
    buckets = _Buckets(begin, width, count)
    in_flight = buckets.spread(
        (start, last, last - start)
        for columns in tables
        for start, last in zip(columns.t_start, columns.t_end, strict=True)
    )
    tokens = buckets.spread(
        # Without streaming all tokens come with the end of the answer.
        (last if math.isnan(first) else first, last, osl)
        for columns in tables
        for first, last, osl in zip(columns.t_first, columns.t_end, columns.osl, strict=True)
    )
    errors = [0] * count
    for columns in tables:
        for at in columns.failed_at:
            errors[buckets.index(at)] += 1
    return {
        "bucket_s": width,
        "t": [begin + index * width for index in range(count)],
        "in_flight": [amount / width for amount in in_flight],
        "output_tok_s": [amount / width for amount in tokens],
        "errors": errors,
        "server_running": buckets.means(server, "running"),
        "server_waiting": buckets.means(server, "waiting"),
        "server_kv_used": buckets.means(server, "kv_used"),
        "bands": [
            {"stage": fact.stage, "repeat": fact.repeat, "t_begin": fact.t_begin, "t_end": fact.t_end} for fact in facts
        ],
    }


class _Buckets:
    """Slices of time of equal width."""

    def __init__(self, begin: float, width: float, count: int) -> None:
        self._begin = begin
        self._width = width
        self._count = count

    def index(self, at: float) -> int:
        return min(max(int((at - self._begin) / self._width), 0), self._count - 1)

    def spread(self, intervals: t.Iterable[tuple[float, float, float]]) -> list[float]:
        """How much falls into each slice of amounts that came evenly between two times: (begin, end, amount).

        A long interval costs no more than a short one: of the slices that it fills, only the first and the one after
        the last are told.
        """
        origin, width, final = self._begin, self._width, self._count - 1
        alone = [0.0] * self._count
        change = [0.0] * (self._count + 1)
        for begin, end, amount in intervals:
            # No record is before the first slice; the last slice ends where the last record does.
            first = int((begin - origin) / width)
            last = min(int((end - origin) / width), final)
            if first >= last:
                alone[last] += amount
                continue
            density = amount / (end - begin)
            alone[first] += density * (origin + (first + 1) * width - begin)
            alone[last] += density * (end - origin - last * width)
            change[first + 1] += density * width
            change[last] -= density * width
        # Sums of differences leave dust behind.
        return [
            max(0.0, round(here + level, 9)) for here, level in zip(alone, itertools.accumulate(change), strict=False)
        ]

    def means(self, samples: t.Sequence[t.Mapping[str, t.Any]], name: str) -> list[float | None] | None:
        """The mean of the samples in each slice; None when no sample has it."""
        sums = [0.0] * self._count
        counts = [0] * self._count
        for sample in samples:
            value = sample.get(name)
            if value is not None and 0 <= sample["t"] - self._begin <= self._width * self._count:
                sums[self.index(sample["t"])] += value
                counts[self.index(sample["t"])] += 1
        if not any(counts):
            return None
        return [total / count if count else None for total, count in zip(sums, counts, strict=True)]


def _scatter(judged: t.Sequence[Judged]) -> list[page.ScatterPoint]:
    """Every so-manieth request over the whole run."""
    step = math.ceil(sum(stage.result.summary.completed for stage in judged) / page.SCATTER_POINTS) or 1
    found: list[page.ScatterPoint] = []
    number = 0
    for stage in judged:
        columns = stage.result.columns
        for isl, osl, ttft in zip(columns.isl, columns.osl, columns.ttft, strict=True):
            if not math.isnan(ttft):
                if number % step == 0:
                    found.append(
                        {"stage": stage.result.summary.stage, "isl": int(isl), "osl": int(osl), "ttft_ms": ttft}
                    )
                number += 1
    return found


def _heat(judged: t.Sequence[Judged]) -> page.Heat | None:
    spans = [stage.result.summary.latency["e2e"] for stage in judged]
    known = [figures for figures in spans if figures]
    if not known:
        return None
    tables = [stage.result.columns for stage in judged if len(stage.result.columns)]
    # A latency of zero has no logarithm; nothing that was measured is below a microsecond.
    low = max(min(figures["min"] for figures in known), 0.001)
    high = max(low * 1.01, *(figures["max"] for figures in known))
    begin = min(min(columns.t_start) for columns in tables)
    end = max(max(columns.t_start) for columns in tables)
    width = max(end - begin, _FINEST) / page.HEAT_COLUMNS
    height = math.log(high / low) / page.HEAT_ROWS
    counts = [[0] * page.HEAT_COLUMNS for row in range(page.HEAT_ROWS)]
    for columns in tables:
        for start, e2e in zip(columns.t_start, columns.e2e, strict=True):
            if not math.isnan(e2e):
                row = min(int(math.log(max(e2e, low) / low) / height), page.HEAT_ROWS - 1)
                counts[row][min(int((start - begin) / width), page.HEAT_COLUMNS - 1)] += 1
    return {
        "t_edges": [begin + index * width for index in range(page.HEAT_COLUMNS + 1)],
        "e2e_ms_edges": [low * math.exp(index * height) for index in range(page.HEAT_ROWS + 1)],
        "counts": counts,
    }


def _comparison(
    summary: t.Mapping[str, t.Any], earlier: t.Sequence[compare.Run], baseline: str
) -> page.Comparison | None:
    others = [run for run in earlier if run["run_id"] != summary["run_id"]]
    alike = [run for run in others if not compare.differences(run, summary)]
    alike.sort(key=lambda run: str(run["started_at"]), reverse=True)
    if baseline:
        against = compare.find(others, baseline)
    elif alike:
        against = alike[0]
    else:
        return None
    deltas = compare.compare(summary, against)
    return {
        "baseline": against["run_id"],
        "runs": [_earlier(run) for run in alike],
        "deltas": [t.cast("page.Delta", delta) for delta in deltas],
    }


def _earlier(run: compare.Run) -> page.EarlierRun:
    return {
        "run_id": run["run_id"],
        "name": run["name"],
        "started_at": run["started_at"],
        "stages": [
            {
                "stage": stage["stage"],
                "asked": stage["asked"],
                "request_s": stage["requests_s"],
                "output_tok_s": stage["output_tok_s"],
                "ttft_p50_ms": compare.value_of(stage, "ttft_p50_ms"),
                "ttft_p99_ms": compare.value_of(stage, "ttft_p99_ms"),
                "tpot_p50_ms": compare.value_of(stage, "tpot_p50_ms"),
                "valid": not stage["reasons"],
            }
            for stage in run["stages"]
        ],
    }
