# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The figures that have a point for every request or every bucket of them: how latencies are distributed."""

from __future__ import annotations

import math
import typing as t

from . import scale
from .data import Cdf, Heat, Run, Stage
from .figure import figure, row_head, share_axis, stage_style, without
from .markup import Markup
from .numbers import number, percent
from .plot import Axis, Plot
from .table import table
from .words import stage_name

_COLUMNS: tuple[t.Literal["p50", "p90", "p95", "p99", "p99_9"], ...] = ("p50", "p90", "p95", "p99", "p99_9")

# 3


def distributions(run: Run) -> Markup:
    """CDFs of TTFT and E2E, a line for every stage."""
    name, title = "distributions", "3. Distribution of TTFT and E2E latency"
    plots, rows, notes = [], [], []
    for label, lines in (
        ("TTFT", [(index, stage["ttft_cdf"]) for index, stage in enumerate(run["stages"]) if stage["ttft_cdf"]]),
        ("E2E", [(index, stage["e2e_cdf"]) for index, stage in enumerate(run["stages"]) if stage["e2e_cdf"]]),
    ):
        if not lines:
            notes.append(f"{label} is left out: no request gave it.")
            continue
        plots.append(_cdf_plot(run, label, lines))
        for index, _line in lines:
            stage = run["stages"][index]
            found = stage["ttft_ms"] if label == "TTFT" else stage["e2e_ms"]
            if found is not None:
                rows.append((label, row_head(stage), *(number(found[column]) for column in _COLUMNS)))
    if not plots:
        return without(name, title, "No request was answered, so there is no latency to show.")
    heads = ("Metric", "Asked", "p50, ms", "p90, ms", "p95, ms", "p99, ms", "p99.9, ms")
    sentence = (
        "Share of requests at or below a latency. Steep and far left is good; a long tail to the right is waiting."
    )
    numbers = table("Percentiles by stage", heads, rows, words={1})
    return figure(name, title, sentence, plots, table=numbers, notes=notes)


def _cdf_plot(run: Run, label: str, lines: t.Sequence[tuple[int, Cdf]]) -> Plot:
    medians = "; ".join(f"{stage_name(run['stages'][index])} {number(_median(line))} ms" for index, line in lines)
    values = [value for _index, line in lines for value, _share in line]
    plot = Plot(
        f"plot-cdf-{label.lower()}",
        f"Cumulative distribution of {label} by stage",
        f"Medians: {medians}.",
        Axis(f"{label}, ms", scale.fitting(values)),
        Axis("Requests", scale.linear(1), share_axis),
    )
    for index, line in lines:
        stage = run["stages"][index]
        plot.key(stage_name(stage), stage_style(index))
        plot.steps(line, stage_style(index), tip=stage_name(stage))
    return plot


def _median(line: Cdf) -> float:
    return next((value for value, share in line if share >= 0.5), line[-1][0])


# 7


def lengths(run: Run) -> Markup:
    """TTFT against the lengths of prompt and answer."""
    name, title = "lengths", "7. TTFT against length of prompt and answer"
    if not run["scatter"]:
        return without(name, title, "No request gave both a TTFT and its lengths, so there is nothing to show.")
    places = {stage["stage"]: index for index, stage in enumerate(run["stages"])}
    slow = scale.fitting([point["ttft_ms"] for point in run["scatter"]])
    plots = []
    for label, key in (("Input tokens", "isl"), ("Output tokens", "osl")):
        values = [point["isl"] if key == "isl" else point["osl"] for point in run["scatter"]]
        plot = Plot(
            f"plot-{key}",
            f"TTFT against {label.lower()}",
            f"{len(values)} requests with {number(min(values))} to {number(max(values))} {label.lower()}.",
            Axis(label, scale.linear(max(values), min(values) if min(values) > max(values) / 2 else 0)),
            Axis("TTFT, ms", slow),
        )
        for value, point in zip(values, run["scatter"], strict=True):
            index = places[point["stage"]]
            tip = f"{stage_name(run['stages'][index])}: {value} tokens, {number(point['ttft_ms'])} ms"
            plot.dot((value, point["ttft_ms"]), stage_style(index), tip=tip, small=True)
        for stage, index in places.items():
            if any(point["stage"] == stage for point in run["scatter"]):
                plot.key(stage_name(run["stages"][index]), stage_style(index), "dot")
        plots.append(plot)
    sentence = (
        f"A sample of {len(run['scatter'])} completed requests. "
        "Where the load decides, colours lie apart; where the length does, points rise."
    )
    return figure(name, title, sentence, plots)


# 8


def heat(run: Run) -> Markup:
    """How many requests had which E2E latency, over time."""
    name, title = "heat", "8. E2E latency over time"
    found = run["heat"]
    if found is None or not any(map(any, found["counts"])):
        return without(name, title, "No request was answered, so there is no latency to show.")
    rows = [
        (
            row_head(stage),
            number(stage["e2e_ms"]["p50"]),
            number(stage["e2e_ms"]["p99"]),
            number(stage["e2e_ms"]["max"]),
        )
        for stage in run["stages"]
        if stage["e2e_ms"] is not None
    ]
    numbers = table("E2E latency by stage, ms", ("Asked", "p50", "p99", "max"), rows)
    sentence = (
        "Each column is a slice of time in which requests were sent. "
        "The stronger the colour of a cell, the more of them had that latency."
    )
    return figure(name, title, sentence, [_heat_plot(found)], table=numbers)


def _heat_plot(found: Heat) -> Plot:
    times, edges, counts = found["t_edges"], found["e2e_ms_edges"], found["counts"]
    most = max(map(max, counts))
    span = scale.logarithmic(edges[0], edges[-1])
    plot = Plot(
        "plot-heat",
        "Requests by time sent and E2E latency",
        f"{sum(map(sum, counts))} requests; the fullest cell holds {most}.",
        Axis("Seconds since the run began", scale.exact(times[0], times[-1])),
        # Exactly the edges: empty rows above and below say nothing.
        Axis(
            "E2E, ms",
            scale.Scale(edges[0], edges[-1], tuple(x for x in span.ticks if edges[0] <= x <= edges[-1]), log=True),
        ),
    )
    for row, line in enumerate(counts):
        for column, count in enumerate(line):
            if count:
                across, up = (times[column], times[column + 1]), (edges[row], edges[row + 1])
                tip = f"{number(across[0])} s, {number(up[0])} to {number(up[1])} ms: {count} requests"
                # The root lets single requests be seen beside cells with thousands.
                plot.cell(across, up, max(0.12, math.sqrt(count / most)), tip)
    return plot


# all of them


def statistics(stages: t.Sequence[Stage]) -> Markup:
    """Every statistic of every metric."""
    columns: tuple[t.Any, ...] = ("mean", "stddev", "min", *_COLUMNS, "max")
    rows = []
    for label, key in (
        ("TTFT", "ttft_ms"),
        ("ITL", "itl_ms"),
        ("TPOT", "tpot_ms"),
        ("NTPOT", "ntpot_ms"),
        ("E2E", "e2e_ms"),
        ("Schedule delay", "schedule_delay_ms"),
    ):
        for stage in stages:
            found: t.Any = stage[key]  # type: ignore[literal-required]  # keys come from a table of names
            if found is not None:
                rows.append((label, row_head(stage), *(number(found[column]) for column in columns)))
    heads = ("Metric", "Asked", *(column.replace("_", ".") for column in columns))
    return table("Latencies in ms", heads, rows, words={1})


def totals(stages: t.Sequence[Stage]) -> Markup:
    """What was sent in every stage, and what came of it."""
    rows = [
        (
            row_head(stage),
            stage["arrival"],
            number(stage["duration_s"]),
            str(stage["repeats"]),
            f"{stage['sent']:,}",
            f"{stage['completed']:,}",
            percent(stage["error_rate"]),
            number(stage["request_s"]),
            number(stage["output_tok_s"]),
            number(stage["total_tok_s"]),
            f"{stage['in_flight_max']:,}",
        )
        for stage in stages
    ]
    heads = (
        "Asked",
        "Arrival",
        "Seconds",
        "Repeats",
        "Sent",
        "Completed",
        "Errors",
        "Req/s",
        "Output tok/s",
        "All tok/s",
        "Most in flight",
    )
    return table("Requests and throughput", heads, rows, words={1})
