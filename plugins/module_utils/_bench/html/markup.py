# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTML and SVG from nested calls. Text is escaped unless it was made here."""

from __future__ import annotations

import html
import typing as t


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


Child: t.TypeAlias = "str | int | None"
Attribute: t.TypeAlias = "str | float | None"
_VOID = frozenset({"br", "link", "meta"})


def element(tag: str, *children: Child, **attributes: Attribute) -> Markup:
    """An element; ``class_`` becomes ``class`` and ``aria_label`` ``aria-label``. None is left out."""
    start = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{html.escape(_text(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in _VOID:
        return Markup(f"<{tag}{start}>")
    return Markup(f"<{tag}{start}>{joined(*children)}</{tag}>")


def joined(*children: Child) -> Markup:
    """The children one after the other."""
    return Markup("".join(_escaped(child) for child in children if child is not None))


def _escaped(child: str | int) -> str:
    return child if isinstance(child, Markup) else html.escape(str(child))


def _text(value: str | float) -> str:
    """Coordinates need no more than a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
