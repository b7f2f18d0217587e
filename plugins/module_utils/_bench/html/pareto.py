# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The page of a sweep: its Pareto fronts as plots, and every combination in a table."""

from __future__ import annotations

import typing as t

from . import scale
from .figure import figure, stage_style, without
from .markup import Markup, element, joined
from .numbers import NONE, number
from .page import head
from .plot import Axis, Plot
from .table import table

Data: t.TypeAlias = t.Mapping[str, t.Any]

_AXES = {
    "output_tok_s": "Output tok/s",
    "output_tok_s_chip": "Output tok/s per chip",
    "tokens_usd": "Output tokens per USD",
    "tok_s_user": "Tok/s of one user (1000 / TPOT p50)",
    "ttft_p99_ms": "TTFT p99, ms",
    "tpot_p99_ms": "TPOT p99, ms",
}
_PURPOSES = {
    "highest_throughput": "Highest throughput",
    "highest_throughput_per_chip": "Highest throughput per chip",
    "cheapest": "Cheapest tokens",
    "fastest_first_token": "Fastest first token (TTFT p99)",
    "fastest_for_one_user": "Fastest for one user (TPOT p50)",
}


def render(found: Data, others: t.Sequence[Data] = ()) -> str:
    """One HTML file that needs nothing else, as the report of a run is.

    ``found`` is what ``_bench.pareto.table`` returns, ``others`` are combinations without figures: ``{name, outcome,
    reason}``.
    """
    colours = {one["name"]: stage_style(index) for index, one in enumerate(found["combinations"])}
    parts = [
        ("best", "Best for each purpose", _best(found)),
        ("fronts", "Pareto fronts", joined(*_figures(found, colours))),
        ("combinations", "Combinations", joined(_combinations(found), _without_figures(others))),
        ("points", "All points", joined(_points(found), _left_out(found))),
        ("definitions", "Definitions", _definitions(found)),
    ]
    sections = [
        element("section", element("h2", title, id=name), body, aria_labelledby=name) for name, title, body in parts
    ]
    links = [element("li", element("a", title, href=f"#{name}")) for name, title, _body in parts]
    page = element(
        "html",
        head(_title(found), len(colours)),
        element(
            "body",
            element(
                "header",
                element("h1", _title(found)),
                element("p", _subtitle(found, others), class_="muted"),
                element("nav", element("ul", *links), aria_label="Parts of the page"),
            ),
            element("main", *sections),
        ),
        lang="en",
    )
    return f"<!DOCTYPE html>\n{page}\n"


def _title(found: Data) -> str:
    return f"Sweep of {found['model']}" if found["model"] else "Sweep"


def _subtitle(found: Data, others: t.Sequence[Data]) -> str:
    said = [f"{len(found['combinations'])} combinations measured", f"{len(others)} not measured"]
    dates = [one["started_at"] for one in found["combinations"]]
    return " \u00b7 ".join(said + ([f"newest run of {max(dates)}"] if dates else []))


def _at(point: Data) -> str:
    """The load of a point."""
    unit = "req/s" if point["kind"] == "rate" else "in flight"
    return f"{number(point['asked'])} {unit}"


def _best(found: Data) -> Markup:
    rows = []
    for purpose, name in _PURPOSES.items():
        index = found["best"][purpose]
        if index is not None:
            point = found["points"][index]
            rows.append((name, point["combination"], _at(point), *_figures_of(point)))
    if not rows:
        return element("p", "No stage is valid and within its objectives, so nothing is best.", class_="takeaway")
    heads = ("For", "Combination", "Load", *_HEADS)
    return table("Of all points that are valid and have missed no objective", heads, rows, words={1, 2})


_HEADS = ("Output tok/s", "per chip", "USD per million tokens", "TTFT p99, ms", "TPOT p50, ms", "TPOT p99, ms")
_NAMES = ("output_tok_s", "output_tok_s_chip", "usd_per_mtok", "ttft_p99_ms", "tpot_p50_ms", "tpot_p99_ms")


def _figures_of(point: Data) -> list[str]:
    return [number(point[name]) for name in _NAMES]


def _figures(found: Data, colours: t.Mapping[str, str]) -> t.Iterator[Markup]:
    """For each latency a figure: throughput of the best measure that all have, and that of the whole server."""
    points = found["points"]
    measures = list(dict.fromkeys((found["objectives"][0], "output_tok_s")))
    for latency in ("tok_s_user", "ttft_p99_ms", "tpot_p99_ms"):
        name, title = f"front-{latency.replace('_', '-')}", f"Throughput against {_AXES[latency]}"
        fronts = [one for one in found["fronts"] if one["latency"] == latency and one["throughput"] in measures]
        if not fronts:
            yield without(name, title, "No point has both, so there is nothing to show.")
            continue
        fronts.sort(key=lambda one: measures.index(one["throughput"]))
        better = "right" if latency == "tok_s_user" else "left"
        sentence = f"Up and to the {better} is better. The line joins what no other point beats in both."
        yield figure(name, title, sentence, [_plot(one, points, colours) for one in fronts])


def _plot(front: Data, points: t.Sequence[Data], colours: t.Mapping[str, str]) -> Plot:
    up, across = front["throughput"], front["latency"]
    known = [point for point in points if point[up] is not None and point[across] is not None]
    best = [points[index] for index in front["points"]]
    plot = Plot(
        f"plot-{up}-{across}".replace("_", "-"),
        f"{_AXES[up]} against {_AXES[across]}",
        "On the front: " + "; ".join(f"{point['combination']} at {_at(point)}" for point in best) + ".",
        Axis(_AXES[across], scale.fitting([point[across] for point in known])),
        Axis(_AXES[up], scale.fitting([point[up] for point in known])),
    )
    plot.key("Pareto front", "ideal")
    plot.line(sorted((point[across], point[up]) for point in best), "ideal", tip="Pareto front")
    for name, colour in colours.items():
        mine = [point for point in known if point["combination"] == name]
        for point in mine:
            tip = f"{name}, {_at(point)}: {number(point[up])} {_AXES[up]}, {number(point[across])} {_AXES[across]}"
            plot.dot((point[across], point[up]), colour, tip=tip, hollow=point not in best)
        if mine:
            plot.key(name, colour, "dot")
    return plot


def _combinations(found: Data) -> Markup | None:
    rows = [
        (
            one["name"],
            _front(one),
            one["verdict"],
            " ".join(word for word in (one["accelerator"], one["topology"]) if word) or NONE,
            number(one["chips"]),
            number(one["tensor_parallel"]),
            number(one["usd_per_hour"]),
            element("code", one["run_id"]),
        )
        for one in found["combinations"]
    ]
    heads = ("Combination", "Pareto front", "SLOs", "Slice", "Chips", "Tensor parallel", "USD per hour", "Run")
    return table("Measured combinations", heads, rows, words={1, 2, 3, 7}) if rows else None


def _front(one: Data) -> Markup | str:
    if one["on_front"]:
        return element("span", "on it", class_="tag passed")
    return f"dominated by {', '.join(one['dominated_by'])}" if one["dominated_by"] else "no point that counts"


def _without_figures(others: t.Sequence[Data]) -> Markup | None:
    rows = [(one["name"], one["outcome"], one["reason"]) for one in others]
    heads = ("Combination", "What became of it", "Why")
    return table("Combinations without figures", heads, rows, words={1, 2}) if rows else None


def _points(found: Data) -> Markup | None:
    rows = [
        (
            point["combination"],
            _at(point),
            *_figures_of(point),
            ", ".join(point["dominated_by"]) or element("span", "nobody", class_="tag passed"),
        )
        for point in found["points"]
    ]
    heads = ("Combination", "Load", *_HEADS, "Dominated by")
    return table("Stages that are valid and have missed no objective", heads, rows, words={8}) if rows else None


def _left_out(found: Data) -> Markup | None:
    rows = [(one["combination"], str(one["stage"]), one["reason"]) for one in found["left_out"]]
    return table("Stages that do not count", ("Combination", "Stage", "Why"), rows, words={2}) if rows else None


def _definitions(found: Data) -> Markup:
    objectives = ", ".join(_AXES[name] for name in found["objectives"])
    said = (
        ("Point", "One stage of the newest run of a combination, if it is valid and has missed no objective."),
        ("Dominated", f"Another point is at least as good in all of {objectives}, and better in one."),
        ("Pareto front of a plot", "Points that no other one is at least as good as in both, and better in one."),
        ("Combination on the front", "One of its points is dominated by nobody."),
        ("Workload", f"SHA-256 {found['workload'] or NONE}, the same for all combinations."),
    )
    return element(
        "dl", *(joined(element("dt", name), element("dd", text)) for name, text in said), class_="definitions"
    )
