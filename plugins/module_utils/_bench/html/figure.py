# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The frame of a figure: heading, what it shows in one sentence, plots, the same numbers as a table."""

from __future__ import annotations

import typing as t

from .data import Stage
from .markup import Markup, element, joined
from .numbers import percent
from .plot import Plot
from .words import stage_name


def figure(
    name: str,
    title: str,
    sentence: str,
    plots: t.Sequence[Plot],
    *,
    table: Markup | None = None,
    notes: t.Sequence[str] = (),
) -> Markup:
    """``name`` is its anchor. Two plots stand beside each other above the table, others beside it."""
    drawn = [element("figure", plot.html()) for plot in plots]
    if len(plots) == 2:
        body = joined(element("div", *drawn, class_="pair"), table)
    else:
        body = element("div", element("div", *drawn) if drawn else None, table, class_="pair")
    remarks = [element("p", note, class_="muted") for note in notes]
    return _section(name, title, joined(element("p", sentence, class_="takeaway"), body, *remarks))


def without(name: str, title: str, sentence: str) -> Markup:
    """In the place of a figure that there are no data for."""
    return _section(name, title, element("p", sentence, class_="muted"))


def _section(name: str, title: str, body: Markup) -> Markup:
    return element("section", element("h3", title, id=name), body, class_="figure", aria_labelledby=name)


def stage_style(index: int) -> str:
    """The colour class of the stage at this place of the list."""
    return f"g{index}"


def row_head(stage: Stage) -> Markup:
    """The first cell of a stage's row."""
    mark = None if stage["valid"] else element("span", "not valid", class_="tag bad")
    return joined(stage_name(stage), " ", mark)


def share_axis(value: float) -> str:
    """Ticks of an axis that holds shares."""
    return percent(value)
