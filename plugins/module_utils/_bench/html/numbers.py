# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Numbers as people read them. An en dash stands for what is not known."""

from __future__ import annotations

import math

NONE = "\u2013"


def number(value: float | None, digits: int = 3) -> str:
    """At least ``digits`` significant digits, thousands grouped: 0.0123, 1.23, 1,235."""
    if value is None:
        return NONE
    if value == 0:
        return "0"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def short(value: float) -> str:
    """For the ticks of an axis: 2,000, 20k, 2M."""
    if abs(value) >= 1e6:
        return f"{number(value / 1e6)}M"
    return f"{number(value / 1e3)}k" if abs(value) >= 1e4 else number(value)


def percent(share: float | None, digits: int = 3) -> str:
    """A share of 1 as per cent. What is not quite all is never rounded to 100 %."""
    if share is None:
        return NONE
    if 0.9995 < share < 1:
        share, digits = math.floor(share * 1e5) / 1e5, 5
    return f"{number(100 * share, digits)} %"


def change(share: float | None) -> str:
    """A relative difference with its sign."""
    if share is None:
        return NONE
    return "\u00b10 %" if round(share, 4) == 0 else f"{100 * share:+.1f} %".replace("-", "\u2212")


def milliseconds(value: float | None) -> tuple[str, str]:
    """The number, and the unit that suits it."""
    if value is not None and value >= 10_000:
        return number(value / 1000), "s"
    return number(value), "ms"


def seconds(value: float) -> str:
    """A duration in words: 45 s, 12 min 5 s, 2 h 10 min."""
    if value < 60:
        return f"{number(value)} s"
    whole = round(value)
    if whole < 3600:
        return _two(whole, 60, "min", "s")
    return _two(whole // 60, 60, "h", "min")


def _two(value: int, base: int, large: str, small: str) -> str:
    high, low = divmod(value, base)
    return f"{high} {large} {low} {small}" if low else f"{high} {large}"
