# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The figures that have a point for every stage: what happens as the load grows."""

from __future__ import annotations

import dataclasses
import typing as t

from . import scale
from .data import Run, Stage
from .figure import figure, row_head, without
from .knee import knee
from .markup import Markup
from .numbers import milliseconds, number, percent
from .plot import Axis, Plot, Point
from .table import table
from .words import stage_name

#: Earlier runs in the first figure, the baseline among them. More lines than that cannot be told apart.
_EARLIER = 3
_ONE_STAGE = "it needs at least two stages, and this run has {}."


@dataclasses.dataclass(frozen=True)
class _Dot:
    """A stage in a plot."""

    stage: Stage
    at: Point


def _dots(stages: t.Iterable[Stage], place: t.Callable[[Stage], Point | None]) -> list[_Dot]:
    """The stages that have both numbers."""
    return [_Dot(stage, at) for stage in stages if (at := place(stage)) is not None]


def _draw(
    plot: Plot, dots: t.Sequence[_Dot], style: str, name: str, *, labels: bool = False, dashed: bool = False
) -> None:
    plot.key(name, style, "dashed" if dashed else "line")
    plot.line([dot.at for dot in dots], style, tip=name, dashed=dashed)
    for dot in dots:
        tip = f"{stage_name(dot.stage)}: {name} {number(dot.at[1])} at {number(dot.at[0])}"
        label = number(dot.stage["asked"]) if labels else ""
        plot.dot(dot.at, style, tip=tip, hollow=not dot.stage["valid"], label=label)


def _count(stages: int) -> str:
    return {0: "none", 1: "one"}.get(stages, str(stages))


# 1


def latency(run: Run) -> Markup:
    """TTFT and TPOT against output tokens per second, with the knee and earlier runs."""
    name, title = "latency", "1. Latency against throughput"
    stages = [stage for stage in run["stages"] if stage["e2e_ms"] is not None]
    if len(stages) < 2:
        return without(
            name, title, f"No curve: it needs two stages with answers, and this run has {_count(len(stages))}."
        )
    best = knee(stages)
    plots = [
        plot
        for plot in (
            _latency_plot(run, stages, "ttft", "TTFT", best),
            _latency_plot(run, stages, "tpot", "TPOT", best),
        )
        if plot is not None
    ]
    notes = [] if plots else ["No plot: tokens were not timed one by one, so there is neither TTFT nor TPOT."]
    if any(not stage["valid"] for stage in stages):
        notes.append("Hollow points: the stage is not valid, and what it shows is not the server alone.")
    rows = [
        (
            row_head(stage),
            number(stage["output_tok_s"]),
            _statistic(stage, "ttft", "p50"),
            _statistic(stage, "ttft", "p99"),
            _statistic(stage, "tpot", "p50"),
            _statistic(stage, "tpot", "p99"),
            _statistic(stage, "e2e", "p50"),
        )
        for stage in stages
    ]
    heads = ("Asked", "Output tok/s", "TTFT p50, ms", "TTFT p99, ms", "TPOT p50, ms", "TPOT p99, ms", "E2E p50, ms")
    numbers = table("Latency and throughput by stage", heads, rows)
    return figure(name, title, _knee_sentence(best), plots, table=numbers, notes=notes)


def _knee_sentence(best: Stage | None) -> str:
    if best is None:
        return "No knee between the first and the last valid stage: the load that serves best may lie outside of them."
    ttft = best["ttft_ms"]
    waits = "" if ttft is None else ", TTFT p99 {} {}".format(*milliseconds(ttft["p99"]))
    return f"The knee is at {stage_name(best)}: {number(best['output_tok_s'])} output tok/s{waits}."


def _latency_plot(
    run: Run, stages: t.Sequence[Stage], metric: t.Literal["ttft", "tpot"], name: str, best: Stage | None
) -> Plot | None:
    median = _dots(stages, lambda stage: _place(stage, metric, "p50"))
    late = _dots(stages, lambda stage: _place(stage, metric, "p99"))
    if len(median) < 2:
        return None
    earlier = _earlier_lines(run, metric)
    every = [dot.at for dot in (*median, *late)] + [point for _name, line in earlier for point in line]
    limits = {result["limit"]: result["name"] for result in run["slo"] if result["name"] == f"{metric}_p99_ms"}
    plot = Plot(
        f"plot-{metric}",
        f"{name} against output tokens per second",
        f"{name} p99 goes from {number(late[0].at[1])} ms at {number(late[0].at[0])} tok/s "
        f"to {number(late[-1].at[1])} ms at {number(late[-1].at[0])} tok/s.",
        Axis("Output tok/s", scale.linear(max(x for x, _y in every))),
        Axis(f"{name}, ms", scale.fitting([y for _x, y in every] + list(limits))),
    )
    plot.area([dot.at for dot in median], [dot.at for dot in late], "c0")
    for index, (run_name, line) in enumerate(earlier, start=1):
        plot.key(run_name, f"c{index}", "dashed")
        plot.line(line, f"c{index}", tip=run_name, dashed=True)
    for limit in limits:
        plot.level(limit, f"SLO {number(limit)} ms")
    if best is not None:
        plot.upright(best["output_tok_s"], f"knee: {stage_name(best)}")
    _draw(plot, late, "c0", f"{name} p99 (numbers: {_asked_unit(stages)})", labels=True)
    _draw(plot, median, "c0", f"{name} p50", dashed=True)
    return plot


def _earlier_lines(run: Run, metric: str) -> list[tuple[str, list[Point]]]:
    """TTFT p99 of earlier runs, TPOT p50 of them: what the data hold."""
    if run["comparison"] is None:
        return []
    statistic = "p99" if metric == "ttft" else "p50"
    lines = []
    baseline = run["comparison"]["baseline"]
    runs = sorted(run["comparison"]["runs"], key=lambda earlier: earlier["run_id"] != baseline)
    for earlier in runs[:_EARLIER]:
        values = [
            (stage["output_tok_s"], stage["ttft_p99_ms"] if metric == "ttft" else stage["tpot_p50_ms"])
            for stage in earlier["stages"]
        ]
        points = [(x, y) for x, y in values if y is not None]
        if len(points) > 1:
            lines.append((f"{earlier['name'] or earlier['run_id']}, {statistic}", points))
    return lines


def _place(stage: Stage, metric: t.Literal["ttft", "tpot"], statistic: t.Literal["p50", "p99"]) -> Point | None:
    found = stage["ttft_ms"] if metric == "ttft" else stage["tpot_ms"]
    return None if found is None else (stage["output_tok_s"], found[statistic])


def _statistic(stage: Stage, metric: t.Literal["ttft", "tpot", "e2e"], statistic: t.Literal["p50", "p99"]) -> str:
    found = {"ttft": stage["ttft_ms"], "tpot": stage["tpot_ms"], "e2e": stage["e2e_ms"]}[metric]
    return number(None if found is None else found[statistic])


def _asked_unit(stages: t.Iterable[Stage]) -> str:
    kinds = {stage["kind"] for stage in stages}
    if len(kinds) > 1:
        return "req/s or in flight"
    return "req/s asked" if kinds == {"rate"} else "in flight"


# 2


def achieved(run: Run) -> Markup:
    """Requests per second asked, sent and completed."""
    name, title = "achieved", "2. Asked against achieved rate"
    stages = [stage for stage in run["stages"] if stage["kind"] == "rate"]
    if not stages:
        return without(name, title, "No stage asked for a rate: each kept a number of requests in flight.")
    rows = [
        (
            row_head(stage),
            number(stage["sent_s"]),
            number(stage["request_s"]),
            percent(stage["sent_s"] / stage["asked"]),
            number(None if stage["schedule_delay_ms"] is None else stage["schedule_delay_ms"]["p50"]),
            percent(stage["generator_cpu"]),
        )
        for stage in stages
    ]
    heads = ("Asked", "Sent req/s", "Completed req/s", "Of asked", "Schedule delay p50, ms", "Generator CPU")
    numbers = table("Rates by stage", heads, rows)
    if len(stages) < 2:
        return figure(name, title, f"No curve: {_ONE_STAGE.format('one')}", [], table=numbers)
    top = scale.linear(max(max(stage["asked"], stage["sent_s"]) for stage in stages))
    plot = Plot(
        "plot-achieved",
        "Requests per second achieved against those asked",
        "; ".join(f"asked {number(stage['asked'])}, completed {number(stage['request_s'])}" for stage in stages) + ".",
        Axis("Asked req/s", top),
        Axis("Achieved req/s", top),
    )
    plot.key("as asked", "ideal", "dashed")
    plot.line([(0, 0), (top.high, top.high)], "ideal", tip="as asked", dashed=True)
    _draw(plot, _dots(stages, lambda stage: (stage["asked"], stage["sent_s"])), "c1", "sent")
    _draw(plot, _dots(stages, lambda stage: (stage["asked"], stage["request_s"])), "c0", "completed")
    return figure(name, title, _rates_sentence(stages), [plot], table=numbers)


def _rates_sentence(stages: t.Sequence[Stage]) -> str:
    behind = [stage for stage in stages if stage["sent_s"] < 0.95 * stage["asked"]]
    slow = [stage for stage in stages if stage["request_s"] < 0.95 * stage["asked"] and stage not in behind]
    if behind:
        return f"The generator fell behind at {_names(behind)}: what is measured there is in part the generator."
    if slow:
        return f"Every rate was sent as asked; at {_names(slow)} the server did not complete as much."
    return "Every rate was sent as asked and completed."


def _names(stages: t.Iterable[Stage]) -> str:
    return ", ".join(stage_name(stage) for stage in stages)


# 4


def efficiency(run: Run) -> Markup:
    """Tokens per second per chip, and tokens per dollar, against what one user sees."""
    name, title = "efficiency", "4. Throughput against interactivity, per chip and per dollar"
    stages = [stage for stage in run["stages"] if stage["tpot_ms"] is not None and stage["tpot_ms"]["p50"] > 0]
    if not stages:
        return without(name, title, "No request had two tokens that were timed, so there is no interactivity to show.")
    chips = _dots(stages, _per_chip)
    dollars = _dots(stages, _per_dollar)
    notes = []
    if not chips:
        notes.append("Throughput per chip is left out: the number of chips is not known.")
    if not dollars:
        notes.append("Tokens per dollar are left out: no price was given.")
    if not chips and not dollars:
        return without(name, title, " ".join(notes))
    plots = [
        _user_plot(label, dots)
        for label, dots in (("Output tok/s per chip", chips), ("Million output tokens per USD", dollars))
        if len(dots) > 1
    ]
    rows = [
        (
            row_head(stage),
            number(_interactivity(stage)),
            number(stage["output_tok_s_chip"]),
            number(None if stage["usd_per_mtok"] is None else 1 / stage["usd_per_mtok"]),
            number(stage["usd_per_mtok"]),
        )
        for stage in stages
    ]
    heads = ("Asked", "Tok/s for one user", "Tok/s per chip", "Million tokens per USD", "USD per million tokens")
    best = max(stages, key=lambda stage: (stage["valid"], stage["output_tok_s"]))
    sentence = (
        f"At most {number(best['output_tok_s'])} output tok/s, at {stage_name(best)}, where one user sees "
        f"{number(_interactivity(best))} tok/s. Up and to the right is better."
        if plots
        else f"No curve: {_ONE_STAGE.format(_count(len(stages)))}"
    )
    return figure(name, title, sentence, plots, table=table("Efficiency by stage", heads, rows), notes=notes)


def _interactivity(stage: Stage) -> float:
    """Tokens per second that one user sees; only of stages with a TPOT."""
    tpot = stage["tpot_ms"]
    return 1000 / tpot["p50"] if tpot else 0.0


def _per_chip(stage: Stage) -> Point | None:
    chip = stage["output_tok_s_chip"]
    return None if chip is None else (_interactivity(stage), chip)


def _per_dollar(stage: Stage) -> Point | None:
    cost = stage["usd_per_mtok"]
    return (_interactivity(stage), 1 / cost) if cost else None


def _user_plot(label: str, dots: t.Sequence[_Dot]) -> Plot:
    plot = Plot(
        "plot-" + label.split(maxsplit=1)[0].lower(),
        f"{label} against tokens per second for one user",
        "; ".join(f"{number(dot.at[1])} at {number(dot.at[0])} tok/s for one user" for dot in dots) + ".",
        Axis("Output tok/s for one user", scale.linear(max(dot.at[0] for dot in dots))),
        Axis(label, scale.linear(max(dot.at[1] for dot in dots))),
    )
    _draw(plot, dots, "c0", f"{label} (numbers: {_asked_unit(dot.stage for dot in dots)})", labels=True)
    return plot


# 6


def goodput(run: Run) -> Markup:
    """Requests per second that met every SLO, against those sent."""
    name, title = "goodput", "6. Goodput against rate"
    dots = _dots(run["stages"], _good)
    if not dots:
        return without(name, title, "No SLO was set that a single request can meet, so there is no goodput.")
    rows = [(row_head(dot.stage), number(dot.at[0]), number(dot.at[1]), percent(dot.stage["goodput"])) for dot in dots]
    numbers = table("Goodput by stage", ("Asked", "Sent req/s", "Goodput req/s", "Goodput of sent"), rows)
    if len(dots) < 2:
        return figure(name, title, f"No curve: {_ONE_STAGE.format('one')}", [], table=numbers)
    top = scale.linear(max(max(dot.at) for dot in dots))
    plot = Plot(
        "plot-goodput",
        "Goodput against requests sent per second",
        "; ".join(f"{number(dot.at[1])} of {number(dot.at[0])} req/s" for dot in dots) + ".",
        Axis("Sent req/s", top),
        Axis("Goodput req/s", top),
    )
    plot.key("all requests", "ideal", "dashed")
    plot.line([(0, 0), (top.high, top.high)], "ideal", tip="all requests", dashed=True)
    _draw(plot, dots, "c0", "met every SLO")
    best = max(dots, key=lambda dot: dot.at[1])
    sentence = (
        f"Most goodput at {stage_name(best.stage)}: {number(best.at[1])} req/s met every SLO of a request, "
        f"{percent(best.stage['goodput'])} of those sent."
    )
    return figure(name, title, sentence, [plot], table=numbers)


def _good(stage: Stage) -> Point | None:
    good = stage["goodput_s"]
    return None if good is None else (stage["sent_s"], good)
