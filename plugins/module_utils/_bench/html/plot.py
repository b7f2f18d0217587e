# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One plot as inline SVG: axes with ticks, lines, steps, areas, bands, dots, cells, marks.

Colours are classes of the page's style sheet, so that one drawing serves light and dark. The SVG scales by its viewBox.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .markup import Markup, element, joined
from .numbers import short
from .scale import Scale

WIDTH = 560
HEIGHT = 320
#: Room for numbers at the left, for the name of the y axis above, for numbers and the name of the x axis below.
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 20, 36, 52

Point: t.TypeAlias = "tuple[float, float]"
Shape: t.TypeAlias = t.Literal["line", "dashed", "dot"]


@dataclasses.dataclass(frozen=True)
class Axis:
    """A scale, what it measures, with the unit, and how its numbers are written."""

    label: str
    scale: Scale
    text: t.Callable[[float], str] = short


@dataclasses.dataclass(frozen=True)
class Key:
    """An entry of the legend."""

    text: str
    style: str
    shape: Shape = "line"


class Plot:
    """Things are drawn in the order of the calls, above the grid; words above all of them.

    ``name`` is unique in the page; ``title`` and ``description`` are what a reader hears who does not see the plot.
    """

    def __init__(self, name: str, title: str, description: str, x: Axis, y: Axis, *, height: int = HEIGHT) -> None:
        self.x, self.y = x, y
        self._name, self._title, self._description = name, title, description
        self._height = height
        self._drawn: list[Markup] = []
        self._words: list[Markup] = []
        self._labels: list[Point] = []
        self._keys: list[Key] = []

    def key(self, text: str, style: str, shape: Shape = "line") -> None:
        """Explain a style below the plot."""
        self._keys.append(Key(text, style, shape))

    def line(self, points: t.Sequence[Point], style: str, *, tip: str, dashed: bool = False) -> None:
        """Straight lines between the points."""
        path = "M" + "L".join(f"{self._x(x):.1f} {self._y(y):.1f}" for x, y in points)
        # A single point is a dot, by the round end of a line without length.
        self._path(path if len(points) > 1 else f"{path}h0", style, tip, dashed)

    def steps(self, points: t.Sequence[Point], style: str, *, tip: str) -> None:
        """A function that is constant up to the next point and jumps there, as an empirical distribution does."""
        (x, y), *rest = points
        path = f"M{self._x(x):.1f} {self._y(0):.1f}V{self._y(y):.1f}"
        path += "".join(f"H{self._x(x):.1f}V{self._y(y):.1f}" for x, y in rest)
        self._path(path, style, tip, dashed=False)

    def _path(self, path: str, style: str, tip: str, dashed: bool) -> None:
        css = f"line {style} dashed" if dashed else f"line {style}"
        self._drawn.append(element("path", element("title", tip), class_=css, d=path))

    def area(self, lower: t.Sequence[Point], upper: t.Sequence[Point], style: str) -> None:
        """What lies between two lines."""
        outline = [*upper, *reversed(lower)]
        path = "M" + "L".join(f"{self._x(x):.1f} {self._y(y):.1f}" for x, y in outline) + "Z"
        self._drawn.append(element("path", class_=f"area {style}", d=path))

    def dot(
        self, point: Point, style: str, *, tip: str, hollow: bool = False, label: str = "", small: bool = False
    ) -> None:
        """A point; ``label`` stands above it, or below where another label is in the way."""
        x, y = self._x(point[0]), self._y(point[1])
        css = f"dot {style} hollow" if hollow else f"dot {style}"
        self._drawn.append(element("circle", element("title", tip), class_=css, cx=x, cy=y, r=2.5 if small else 4.5))
        if label:
            taken = any(abs(x - other) < 18 and abs(y - height) < 14 for other, height in self._labels)
            self._labels.append((x, y))
            self._word(label, "label", x, y + 20 if taken else y - 9, "middle")

    def band(self, low: float, high: float, label: str, *, shaded: bool) -> None:
        """A span of the x axis, over the full height."""
        left, right = self._x(low), self._x(high)
        if shaded:
            top = float(_TOP)
            box = element("rect", class_="band", x=left, y=top, width=right - left, height=self._floor - top)
            self._drawn.append(box)
        if right - left > 8 * len(label):
            self._word(label, "label", (left + right) / 2, _TOP + 12, "middle")

    def cell(self, x: tuple[float, float], y: tuple[float, float], strength: float, tip: str) -> None:
        """A filled box of a heat map; ``strength`` 0 to 1."""
        left, right, top, bottom = self._x(x[0]), self._x(x[1]), self._y(y[1]), self._y(y[0])
        box = {"x": left, "y": top, "width": right - left, "height": bottom - top}
        css = {"class_": "cell", "fill_opacity": f"{strength:.2f}"}
        self._drawn.append(element("rect", element("title", tip), **css, **box))

    def upright(self, x: float, label: str) -> None:
        """A vertical mark."""
        at = self._x(x)
        self._drawn.append(element("line", class_="mark", x1=at, x2=at, y1=_TOP, y2=self._floor))
        if at > WIDTH * 0.6:
            self._word(label, "marked", at - 6, _TOP + 13, "end")
        else:
            self._word(label, "marked", at + 6, _TOP + 13, "start")

    def level(self, y: float, label: str) -> None:
        """A horizontal mark; none where ``y`` is not in the plot."""
        if not self.y.scale.low <= y <= self.y.scale.high:
            return
        at = self._y(y)
        self._drawn.append(element("line", class_="limit", x1=_LEFT, x2=WIDTH - _RIGHT, y1=at, y2=at))
        self._word(label, "limited", _LEFT + 6, at - 5, "start")

    def _word(self, text: str, css: str, x: float, y: float, anchor: str) -> None:
        self._words.append(element("text", text, class_=css, x=x, y=y, text_anchor=anchor))

    def html(self) -> Markup:
        """The SVG and its legend."""
        ids = {"title": f"{self._name}-title", "desc": f"{self._name}-desc"}
        drawing = element(
            "svg",
            element("title", self._title, id=ids["title"]),
            element("desc", self._description, id=ids["desc"]),
            self._axes(),
            *self._drawn,
            *self._words,
            viewBox=f"0 0 {WIDTH} {self._height}",
            role="img",
            aria_labelledby=" ".join(ids.values()),
        )
        legend = [element("li", _swatch(key), key.text) for key in self._keys]
        return joined(drawing, element("ul", *legend, class_="legend") if legend else None)

    def _axes(self) -> Markup:
        parts = []
        for tick in self.y.scale.ticks:
            at = self._y(tick)
            parts.append(element("line", class_="grid", x1=_LEFT, x2=WIDTH - _RIGHT, y1=at, y2=at))
            parts.append(element("text", self.y.text(tick), x=_LEFT - 7, y=at + 4, text_anchor="end"))
        for tick in self.x.scale.ticks:
            at = self._x(tick)
            parts.append(element("line", class_="axis", x1=at, x2=at, y1=self._floor, y2=self._floor + 5))
            text = self.x.text(tick)
            # Half of a long number would be outside at the right end.
            anchor = "end" if len(text) > 4 and at > WIDTH - 2 * _RIGHT else "middle"
            place = WIDTH if anchor == "end" else at
            parts.append(element("text", text, x=place, y=self._floor + 20, text_anchor=anchor))
        parts.append(element("line", class_="axis", x1=_LEFT, x2=WIDTH - _RIGHT, y1=self._floor, y2=self._floor))
        middle = (_LEFT + WIDTH - _RIGHT) / 2
        bottom = self._height - 6
        parts.append(element("text", _named(self.x), class_="name", x=middle, y=bottom, text_anchor="middle"))
        parts.append(element("text", _named(self.y), class_="name", x=4, y=15))
        return joined(*parts)

    @property
    def _floor(self) -> float:
        return float(self._height - _BOTTOM)

    def _x(self, value: float) -> float:
        return _LEFT + self.x.scale.at(value) * (WIDTH - _LEFT - _RIGHT)

    def _y(self, value: float) -> float:
        return self._floor - self.y.scale.at(value) * (self._floor - _TOP)


def _named(axis: Axis) -> str:
    return f"{axis.label} (log)" if axis.scale.log else axis.label


def _swatch(key: Key) -> Markup:
    if key.shape == "dot":
        mark = element("circle", class_=f"dot {key.style}", cx=11, cy=6, r=5)
    else:
        css = f"line {key.style} dashed" if key.shape == "dashed" else f"line {key.style}"
        mark = element("path", class_=css, d="M0 6H22")
    return element("svg", mark, class_="swatch", viewBox="0 0 22 12", aria_hidden="true")
