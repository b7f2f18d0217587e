# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The figure over time: requests in flight, the server's queue, tokens, errors."""

from __future__ import annotations

import typing as t

from . import scale
from .data import Run, Timeline
from .figure import figure, share_axis, without
from .markup import Markup
from .numbers import number, seconds, short
from .plot import Axis, Plot, Point
from .table import table
from .words import stage_name

_HEIGHT = 220

Values: t.TypeAlias = "t.Sequence[float | None]"


class _Line(t.NamedTuple):
    name: str
    style: str
    values: Values


# 5


def timeline(run: Run) -> Markup:
    """Panels with the same time axis, with the stages as bands."""
    name, title = "timeline", "5. Timeline"
    found = run["timeline"]
    if found is None or len(found["t"]) < 2:
        return without(name, title, "The run was too short for a timeline.")
    plots = [_panel(run, found, "requests", "Requests", _requests(found))]
    notes = []
    if any(found["output_tok_s"]):
        plots.append(_panel(run, found, "tokens", "Output tok/s", [_Line("output tok/s", "c0", found["output_tok_s"])]))
    else:
        notes.append("Tokens are left out: none was received.")
    if any(found["errors"]):
        rates: Values = [count / found["bucket_s"] for count in found["errors"]]
        plots.append(_panel(run, found, "errors", "Errors per second", [_Line("errors per second", "c1", rates)]))
    else:
        notes.append("Errors are left out: no request failed.")
    if found["server_kv_used"] is not None and _known(found["server_kv_used"]):
        plots.append(_panel(run, found, "kv", "KV cache in use", [_Line("KV cache", "c2", found["server_kv_used"])]))
    if found["server_waiting"] is None or not _known(found["server_waiting"]):
        notes.append("The server's queue is left out: its metrics were not read.")
    sentence = f"Buckets of {seconds(found['bucket_s'])}; the bands are the stages while they were sending."
    return figure(name, title, sentence, plots, table=_bands(run, found), notes=notes)


def _requests(found: Timeline) -> list[_Line]:
    lines = [_Line("in flight", "c0", found["in_flight"])]
    if found["server_running"] is not None:
        lines.append(_Line("running in the server", "c2", found["server_running"]))
    if found["server_waiting"] is not None:
        lines.append(_Line("waiting in the server", "c1", found["server_waiting"]))
    return [line for line in lines if _known(line.values)]


def _panel(run: Run, found: Timeline, name: str, label: str, lines: t.Sequence[_Line]) -> Plot:
    high = max(max(_known(line.values)) for line in lines)
    is_share = name == "kv"
    plot = Plot(
        f"plot-time-{name}",
        f"{label} over time",
        "; ".join(f"{line.name}: at most {number(max(_known(line.values)))}" for line in lines) + ".",
        Axis("Seconds since the run began", scale.exact(found["t"][0], found["t"][-1] + found["bucket_s"])),
        Axis(label, scale.linear(1 if is_share else high, count=4), share_axis if is_share else short),
        height=_HEIGHT,
    )
    stages = {stage["stage"]: stage for stage in run["stages"]}
    for index, band in enumerate(sorted(found["bands"], key=lambda band: band["t_begin"])):
        plot.band(band["t_begin"], band["t_end"], stage_name(stages[band["stage"]]), shaded=index % 2 == 0)
    for line in lines:
        for part in _parts(found, line.values):
            plot.line(part, line.style, tip=line.name)
        if len(lines) > 1:
            plot.key(line.name, line.style)
    return plot


def _parts(found: Timeline, values: Values) -> list[list[Point]]:
    """A line for every run of buckets that are known, at the buckets' middles."""
    parts: list[list[Point]] = [[]]
    for begin, value in zip(found["t"], values, strict=True):
        if value is None:
            parts.append([])
        else:
            parts[-1].append((begin + found["bucket_s"] / 2, value))
    return [part for part in parts if part]


def _known(values: Values) -> list[float]:
    return [value for value in values if value is not None]


def _bands(run: Run, found: Timeline) -> Markup:
    stages = {stage["stage"]: stage for stage in run["stages"]}
    rows = []
    for band in found["bands"]:
        stage = stages[band["stage"]]
        inside = [
            index
            for index, begin in enumerate(found["t"])
            if band["t_begin"] <= begin + found["bucket_s"] / 2 < band["t_end"]
        ]
        waiting = found["server_waiting"]
        rows.append(
            (
                stage_name(stage),
                str(band["repeat"] + 1),
                number(band["t_begin"]),
                number(band["t_end"]),
                number(_most(found["in_flight"], inside)),
                number(None if waiting is None else _most(waiting, inside)),
                number(_most(found["output_tok_s"], inside)),
            )
        )
    heads = ("Asked", "Repeat", "From, s", "To, s", "Most in flight", "Most waiting", "Most tok/s")
    return table("Stages in time", heads, rows)


def _most(values: Values, places: t.Sequence[int]) -> float | None:
    return max((value for index in places if (value := values[index]) is not None), default=None)
