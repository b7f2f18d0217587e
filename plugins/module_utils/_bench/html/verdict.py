# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The top of the page: ship or not, why, and the numbers that go with it."""

from __future__ import annotations

import typing as t

from ..search import Found
from .data import Run, SloResult, Stage
from .markup import Markup, element, joined
from .numbers import milliseconds, number, percent
from .table import table
from .words import metric_name, stage_name

_SIGNS = {"passed": "\u2713", "failed": "\u2717", "inconclusive": "?", "none": "\u2013"}
_HEADS = {
    "passed": "SLOs passed",
    "failed": "SLOs failed",
    "inconclusive": "SLOs inconclusive",
    "none": "No SLO was set",
}


class Card(t.NamedTuple):
    """One number, large."""

    label: str
    value: str
    unit: str
    below: str = ""


def verdict(run: Run) -> Markup:
    """The verdict over the SLOs, whether the measurement can be believed, and what earlier runs say."""
    kind = run["verdict"] or "none"
    lines = [element("li", sentence) for sentence in _sentences(run)]
    return element(
        "section",
        element("span", _SIGNS[kind], class_="sign", aria_hidden="true"),
        element("div", element("h2", _HEADS[kind], id="verdict"), element("ul", *lines)),
        class_=f"verdict {kind}",
        aria_labelledby="verdict",
    )


def _sentences(run: Run) -> list[str]:
    said = []
    if run["stopped"]:
        said.append("The run was stopped before its workload was through: it shows what was measured until then.")
    if not run["stages"]:
        return [*said, "No stage came to its end, so there is nothing to judge."]
    if not any(stage["completed"] for stage in run["stages"]):
        why = " The errors below say why." if run["errors"] else ""
        said.append(f"No request was completed.{why}")
    if run["slo"]:
        said.append(_slo_sentence(run))
    said.append(_honesty(run["stages"]))
    said += [
        f"{stage_name(stage)} is not valid: {' '.join(stage['reasons'])}"
        for stage in run["stages"]
        if not stage["valid"]
    ]
    if run["comparison"] is not None:
        said.append(_compared(run))
    return said


def _slo_sentence(run: Run) -> str:
    if run["search"] is not None:
        return _search_sentence(run, run["search"])
    good = _passing(run)
    if not good:
        return "No valid stage met every SLO."
    best = max(good, key=lambda stage: stage["request_s"])
    return (
        f"The highest load that met every SLO is {stage_name(best)}, with {number(best['output_tok_s'])} output tok/s."
    )


def _search_sentence(run: Run, found: Found) -> str:
    names = {stage["stage"]: stage_name(stage) for stage in run["stages"]}
    tried = ", ".join(f"{names[probe['stage']]} {probe['verdict']}" for probe in found["probes"]) or "none to its end"
    best = found["highest"]
    said = "None met every SLO" if best is None else f"The highest that met every SLO is {names[best]}"
    return f"{found['candidates']} loads were searched through. {said}. Tried: {tried}."


def _honesty(stages: t.Sequence[Stage]) -> str:
    valid = sum(stage["valid"] for stage in stages)
    if valid == len(stages):
        return "The measurement is valid: in every stage the generator did what was asked of it."
    return f"{valid} of {len(stages)} stages are valid. What the others show is not the server alone."


def _compared(run: Run) -> str:
    comparison = run["comparison"]
    deltas = comparison["deltas"] if comparison else []
    worse = [delta for delta in deltas if delta["verdict"] == "worse"]
    better = [delta for delta in deltas if delta["verdict"] == "better"]
    name = baseline_name(run)
    if not worse and not better:
        return f"Against {name}: no metric is known to have changed beyond the noise."
    return f"Against {name}, of {len(deltas)} metrics {len(worse)} are worse and {len(better)} better beyond the noise."


def baseline_name(run: Run) -> str:
    """The name of the run compared with, else its id."""
    comparison = run["comparison"]
    if comparison is None:
        return ""
    for earlier in comparison["runs"]:
        if earlier["run_id"] == comparison["baseline"]:
            return earlier["name"] or earlier["run_id"]
    return comparison["baseline"]


def _passing(run: Run) -> list[Stage]:
    if run["search"] is not None:
        return [stage for stage in run["stages"] if stage["stage"] == run["search"]["highest"]]
    failed = {result["stage"] for result in run["slo"] if result["verdict"] != "passed"}
    return [stage for stage in run["stages"] if stage["valid"] and stage["completed"] and stage["stage"] not in failed]


def headline(run: Run) -> tuple[Stage, str] | None:
    """The stage whose numbers stand on top, and why it is that one; None where no request was completed."""
    answered = [stage for stage in run["stages"] if stage["completed"]]
    if not answered:
        return None
    good = _passing(run) if run["slo"] else []
    if good:
        return max(good, key=_load), "the highest load that met every SLO"
    valid = [stage for stage in answered if stage["valid"]]
    if run["slo"]:
        return min(valid or answered, key=lambda stage: stage["asked"]), "the lowest load; no valid stage met every SLO"
    if valid:
        return max(valid, key=_load), "the highest throughput of a valid stage"
    return max(answered, key=_load), "the highest throughput; no stage is valid"


def _load(stage: Stage) -> float:
    return stage["request_s"]


def cards(run: Run) -> Markup:
    """The numbers of the headline stage."""
    found = headline(run)
    if found is None:
        return Markup()
    stage, why = found
    limits = {result["name"]: result for result in run["slo"] if result["stage"] == stage["stage"]}
    boxes = [
        element(
            "div",
            element("dt", card.label),
            element("dd", element("strong", card.value), " ", element("span", card.unit, class_="unit")),
            element("dd", card.below, class_="muted") if card.below else None,
            class_="card",
        )
        for card in _cards(stage, limits)
    ]
    return element(
        "section",
        element("h2", f"At {stage_name(stage)}", id="headline"),
        element("p", f"{why[0].upper()}{why[1:]}.", class_="muted"),
        element("dl", *boxes, class_="cards"),
        aria_labelledby="headline",
    )


def _cards(stage: Stage, limits: t.Mapping[str, SloResult]) -> t.Iterator[Card]:
    yield Card("Output", number(stage["output_tok_s"]), "tok/s", f"{number(stage['request_s'])} req/s completed")
    for label, key, metric in (
        ("TTFT p99", "ttft_ms", "ttft"),
        ("TPOT p99", "tpot_ms", "tpot"),
        ("E2E p95", "e2e_ms", "e2e"),
    ):
        found: t.Any = stage[key]  # type: ignore[literal-required]  # keys come from a table of names
        if found is not None:
            statistic = label.split()[1]
            limit = limits.get(f"{metric}_{statistic}_ms")
            below = f"p50 {' '.join(milliseconds(found['p50']))}"
            if limit is not None:
                below += f" \u00b7 SLO {' '.join(milliseconds(limit['limit']))}"
            yield Card(label, *milliseconds(found[statistic]), below)
    if stage["goodput"] is not None:
        yield Card("Goodput", percent(stage["goodput"]).removesuffix(" %"), "%", f"{number(stage['goodput_s'])} req/s")
    failed = stage["sent"] - stage["completed"]
    yield Card(
        "Errors", percent(stage["error_rate"]).removesuffix(" %"), "%", f"{failed:,} of {stage['sent']:,} requests"
    )
    if stage["output_tok_s_chip"] is not None:
        yield Card("Per chip", number(stage["output_tok_s_chip"]), "output tok/s")
    if stage["usd_per_mtok"] is not None:
        yield Card("Cost", number(stage["usd_per_mtok"]), "USD", "per million output tokens")


def slos(run: Run) -> Markup:
    """A row for every SLO, a column for every stage."""
    if not run["slo"]:
        return element("p", "No SLO was set, so there is no verdict on one.", class_="muted")
    names = list(dict.fromkeys(result["name"] for result in run["slo"]))
    found = {(result["name"], result["stage"]): result for result in run["slo"]}
    best = None if run["search"] is None else run["search"]["highest"]
    heads = [stage_name(stage) + (" (highest good)" if stage["stage"] == best else "") for stage in run["stages"]]
    rows = [
        (_limit(name, run["slo"]), *(_cell(found.get((name, stage["stage"]))) for stage in run["stages"]))
        for name in names
    ]
    caption = "Observed, and the share of requests within the limit with its 95 % interval"
    return table(caption, ("SLO", *heads), rows)


def _limit(name: str, results: t.Sequence[SloResult]) -> Markup:
    limit = next(result["limit"] for result in results if result["name"] == name)
    label, unit = metric_name(name)
    sign = "\u2265" if name.endswith("_min") else "\u2264"
    return joined(f"{label} {sign} {_amount(limit, unit)}", element("br"), element("code", name))


def _cell(result: SloResult | None) -> Markup:
    if result is None:
        return joined("\u2013")
    _label, unit = metric_name(result["name"])
    mark = element("span", f"{_SIGNS[result['verdict']]} {result['verdict']}", class_=f"tag {result['verdict']}")
    parts: list[Markup | str] = [mark, element("br"), _amount(result["observed"], unit)]
    if result["attainment"] is not None:
        low, high = (f"{number(None if share is None else 100 * share)}" for share in (result["low"], result["high"]))
        parts += [element("br"), element("small", f"{percent(result['attainment'])} ({low} to {high})")]
    return joined(*parts)


def _amount(value: float | None, unit: str) -> str:
    return percent(value) if unit == "share" else f"{number(value)} {unit}".strip()
