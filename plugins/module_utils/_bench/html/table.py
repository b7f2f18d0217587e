# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tables that scroll inside their box, with headers that a screen reader can name."""

from __future__ import annotations

import typing as t

from .markup import Child, Markup, element


def table(
    caption: str, heads: t.Sequence[str], rows: t.Iterable[t.Sequence[Child]], *, words: t.Container[int] = ()
) -> Markup:
    """The first cell of a row is its header. Columns in ``words`` hold text, the others numbers (set at the right)."""
    top = [element("th", head, scope="col", class_=_css(index, words)) for index, head in enumerate(heads)]
    body = [
        element(
            "tr",
            *(
                element("td" if index else "th", cell, scope=None if index else "row", class_=_css(index, words))
                for index, cell in enumerate(row)
            ),
        )
        for row in rows
    ]
    whole = element(
        "table",
        element("caption", element("span", caption)),
        element("thead", element("tr", *top)),
        element("tbody", *body),
    )
    # A box that scrolls has to be reached by keyboard, https://www.w3.org/TR/WCAG22/#keyboard, and so needs a name.
    return element("div", whole, class_="scroll", tabindex="0", role="region", aria_label=caption)


def _css(index: int, words: t.Container[int]) -> str | None:
    return "words" if index in words else None
