# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Axes: from values to 0..1, with ticks at numbers that are easy to read. Pure."""

from __future__ import annotations

import dataclasses
import math
import typing as t

#: Where values span more than this ratio, a linear axis would press most of them into a corner.
LOG_RATIO = 20.0


@dataclasses.dataclass(frozen=True)
class Scale:
    """``low`` < ``high``; both are in the plot."""

    low: float
    high: float
    ticks: tuple[float, ...]
    log: bool = False

    def at(self, value: float) -> float:
        """0 at ``low``, 1 at ``high``; what lies outside is put on the edge."""
        value = min(max(value, self.low), self.high)
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def linear(high: float, low: float = 0.0, count: int = 5) -> Scale:
    """From ``low`` to the first tick at or above ``high``, in steps of 1, 2 or 5 times a power of ten."""
    if high <= low:
        high = low + 1
    step = _step((high - low) / count)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(round(index * step, 12) for index in range(first, last + 1))
    return Scale(ticks[0], ticks[-1], ticks)


def exact(low: float, high: float, count: int = 6) -> Scale:
    """Exactly from ``low`` to ``high``, as a time axis wants it; ticks where numbers are round."""
    wide = linear(high, low, count)
    high = max(high, low + 1e-9)
    return Scale(low, high, tuple(tick for tick in wide.ticks if low <= tick <= high))


def logarithmic(low: float, high: float) -> Scale:
    """From the tick below ``low`` > 0 to the one above ``high``."""
    if high <= low:
        low, high = low / 2, low * 2
    decades = math.log10(high / low)
    mantissas = (1, 2, 5) if decades <= 2.5 else (1,)
    stride = max(1, round(decades / 6))
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    grid = [mantissa * 10.0**power for power in range(first, last + stride + 1, stride) for mantissa in mantissas]
    start = max(tick for tick in grid if tick <= low * (1 + 1e-9))
    end = min(tick for tick in grid if tick >= high * (1 - 1e-9))
    return Scale(start, end, tuple(tick for tick in grid if start <= tick <= end), log=True)


def fitting(values: t.Iterable[float]) -> Scale:
    """Linear from 0, or logarithmic where the values span too much for that."""
    values = list(values)
    low, high = min(values), max(values)
    return logarithmic(low, high) if low > 0 and high / low > LOG_RATIO else linear(high)


def _step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if rough <= factor * power * (1 + 1e-9))
