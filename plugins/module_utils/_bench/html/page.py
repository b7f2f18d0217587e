# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole page."""

from __future__ import annotations

import base64
import hashlib

from . import load, outcome, spread, style, verdict
from .data import Run
from .markup import Markup, element, joined
from .timeline import timeline

_FIGURES = (
    load.latency,
    load.achieved,
    spread.distributions,
    load.efficiency,
    timeline,
    load.goodput,
    spread.lengths,
    spread.heat,
    outcome.errors,
)


def render(run: Run) -> str:
    """One HTML file that needs nothing else: no script, no network, which its content security policy makes sure of.

    Its size depends on the number of stages and on the limits in ``data.py``, not on the number of requests.
    """
    parts = [
        ("slos", "SLOs by stage", verdict.slos(run)),
        ("figures", "Figures", joined(*(draw(run) for draw in _FIGURES))),
        ("comparison", "Comparison with earlier runs", outcome.comparison(run)),
        ("numbers", "All numbers", joined(spread.totals(run["stages"]), spread.statistics(run["stages"]))),
        ("facts", "What was measured", outcome.facts(run)),
        ("definitions", "Definitions", outcome.definitions()),
    ]
    sections = [
        element("section", element("h2", title, id=name), body, aria_labelledby=name) for name, title, body in parts
    ]
    links = [element("li", element("a", title, href=f"#{name}")) for name, title, _body in parts]
    page = element(
        "html",
        head(f"{run['facts']['model']}: performance, {run['run_id']}", len(run["stages"])),
        element(
            "body",
            element(
                "header",
                element("h1", f"Performance of {run['facts']['model']}"),
                element("p", _subtitle(run), class_="muted"),
                element("nav", element("ul", *links), aria_label="Parts of the report"),
            ),
            element("main", verdict.verdict(run), verdict.cards(run), *sections),
        ),
        lang="en",
    )
    return f"<!DOCTYPE html>\n{page}\n"


def head(title: str, colours: int) -> Markup:
    """What stands before the body of any page, with so many colours ``g0``, ``g1``, ..."""
    sheet = style.sheet(colours)
    digest = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        # Without one, a browser asks the server of the page for an icon.
        element("link", rel="icon", href="data:,"),
        element("title", title),
        # Text of a style element is not unescaped by browsers; the sheet holds nothing that was measured.
        element("style", Markup(sheet)),
    )


def _subtitle(run: Run) -> str:
    known = run["facts"]
    chips = None if known["chips"] is None else f"{known['chips']} chips"
    hardware = " ".join(word for word in (known["accelerator"], known["topology"]) if word) or None
    said = (hardware, chips, known["server"], run["started_at"], f"run {run['run_id']}")
    return " \u00b7 ".join(word for word in said if word)
