# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Does a run pass? Pure: the summary of a run and its comparison in, a verdict and reasons out."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._bench import search
from ansible_collections.modelops.serving.plugins.module_utils._bench.errors import BenchError

Data: t.TypeAlias = "t.Mapping[str, t.Any]"

#: The words of the role serving for what becomes of a canary.
CANARY = {"passed": "promote", "failed": "roll_back"}

#: A regression is one of these. Tails and rates that the workload asks for are left to objectives: with every metric
#: of every stage looked at, one of them would be worse by chance in most runs.
REGRESSIONS = ("ttft_p50_ms", "tpot_p50_ms", "e2e_p50_ms", "output_tok_s", "error_rate")

_SHOWN = 10


class GateError(BenchError):
    """The benchmark ran, and what it found must not go on."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a run means."""

    #: passed, failed, inconclusive, or none when nothing was asked of it.
    verdict: str
    #: Why the module fails, a sentence each; nothing when it does not.
    reasons: list[str]

    @property
    def canary(self) -> str:
        """``promote``, ``roll_back``, or ``none`` when neither is known to be right."""
        return CANARY.get(self.verdict, "none")


def judge(summary: Data, comparison: Data | None, fail_on: t.Collection[str], tolerance: float) -> Outcome:
    """The verdict, and which of the gates ``fail_on`` hold.

    ``comparison`` is ``{baseline, deltas}``. It counts for the verdict when ``regression`` is among the gates; a change
    counts when it is more than noise and more than ``tolerance``, a share of the baseline's value. Of a search, nothing
    counts but the stage that search.deciding() names.
    """
    if summary.get("search"):
        summary, comparison = _decisive(summary, comparison)
    worse = _worse(comparison, tolerance)
    verdict = summary["verdict"]
    if comparison and "regression" in fail_on:
        verdict = _worst(verdict, _of_comparison(comparison, worse))
    verdict = verdict or "none"
    found = {
        "slo": [_missed(result) for result in summary["slo"] if result["verdict"] == "failed"],
        "invalid": [f"Stage {stage['stage']} is invalid. {' '.join(stage['reasons'])}" for stage in _invalid(summary)],
        "regression": [_told(delta, comparison["baseline"]) for delta in worse] if comparison else [],
        "inconclusive": _open(summary) if verdict == "inconclusive" else [],
    }
    return Outcome(verdict, [reason for gate, reasons in found.items() if gate in fail_on for reason in reasons])


def in_short(reasons: t.Sequence[str]) -> str:
    """The first reasons as one text."""
    more = len(reasons) - _SHOWN
    return " ".join(reasons[:_SHOWN]) + (f" And {more} more." if more > 0 else "")


def failures(summary: Data) -> str:
    """Why nothing was answered; an empty text when something was."""
    stages = summary["stages"]
    if any(stage["completed"] for stage in stages):
        return ""
    seen = [failure for stage in stages for failure in stage["failures"]]
    sent = sum(stage["sent"] for stage in stages)
    kinds = sorted({f"{failure['error']} {failure['status'] or ''}".strip() for failure in seen})
    return f"None of {sent} requests was answered ({', '.join(kinds) or 'all were cancelled'})."


def _decisive(summary: Data, comparison: Data | None) -> tuple[Data, Data | None]:
    stage = search.deciding(summary["search"])

    def only(data: Data, *names: str) -> Data:
        return {**data, **{name: [one for one in data[name] if one["stage"] == stage] for name in names}}

    return only(summary, "slo", "stages"), comparison and only(comparison, "deltas")


def _of_comparison(comparison: Data, worse: t.Sequence[Data]) -> str:
    known = [delta["verdict"] != "unknown" for delta in comparison["deltas"] if delta["metric"] in REGRESSIONS]
    if worse:
        return "failed"
    return "passed" if known and all(known) else "inconclusive"


def _worst(*verdicts: str | None) -> str | None:
    return next((verdict for verdict in ("failed", "inconclusive", "passed") if verdict in verdicts), None)


def _worse(comparison: Data | None, tolerance: float) -> list[Data]:
    return [
        delta
        for delta in (comparison["deltas"] if comparison else ())
        if delta["verdict"] == "worse"
        and delta["metric"] in REGRESSIONS
        # Of what was 0 there is no share.
        and (delta["change"] is None or abs(delta["change"]) > tolerance)
    ]


def _invalid(summary: Data) -> list[Data]:
    return [stage for stage in summary["stages"] if stage["reasons"]]


def _missed(result: Data) -> str:
    seen = "nothing" if result["observed"] is None else f"{result['observed']:.6g}"
    return f"Stage {result['stage']} missed {result['name']}: {seen}, limit {result['limit']:.6g}."


def _open(summary: Data) -> list[str]:
    found = [result for result in summary["slo"] if result["verdict"] == "inconclusive"]
    if not found:
        return ["The comparison with the baseline cannot tell differences from noise."]
    return [f"Stage {result['stage']} leaves {result['name']} open, limit {result['limit']:.6g}." for result in found]


def _told(delta: Data, baseline: str) -> str:
    change = "" if delta["change"] is None else f" ({delta['change']:+.1%})"
    return (
        f"Stage {delta['stage']} is worse than run {baseline} in {delta['metric']}: "
        f"{delta['value']:.6g} instead of {delta['baseline']:.6g}{change}."
    )
