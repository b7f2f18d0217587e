# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs against each other, from the plain data of their ``summary.json``.

A difference counts only when it is larger than the noise between repeats: the band is half the 95 % interval of the
difference of two means (Welch), with at least three repeats on either side. Without them the verdict is unknown.
"""

from __future__ import annotations

import math
import statistics
import typing as t

from .errors import InputError

#: What has to be equal for two runs to be comparable.
KEY = ("model", "server", "accelerator", "topology", "workload")

_LOWER_IS_BETTER = (
    "ttft_p50_ms",
    "ttft_p99_ms",
    "itl_p50_ms",
    "itl_p99_ms",
    "tpot_p50_ms",
    "tpot_p99_ms",
    "e2e_p50_ms",
    "e2e_p99_ms",
    "error_rate",
    "usd_per_mtok",
)
_HIGHER_IS_BETTER = ("requests_s", "output_tok_s", "total_tok_s", "goodput")
METRICS = (*_LOWER_IS_BETTER, *_HIGHER_IS_BETTER)

LEAST_REPEATS = 3

#: Student's t, two-sided 95 %, for 1 to 10 degrees of freedom. Beyond, the normal distribution with a first correction
#: is right to about 1 %.
_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)

Run: t.TypeAlias = t.Mapping[str, t.Any]


def find(runs: t.Sequence[Run], baseline: str) -> Run:
    """The run with that id, else the newest with that name; ``last_good`` is the newest that met its objectives.

    Raises InputError when there is none.
    """
    newest = sorted(runs, key=lambda run: str(run["started_at"]), reverse=True)
    for run in newest:
        if run["run_id"] == baseline:
            return run
    for run in newest:
        if (run["verdict"] == "passed") if baseline == "last_good" else (run["name"] == baseline):
            return run
    known = ", ".join(f"{run['run_id']} ({run['name']})" if run["name"] else run["run_id"] for run in newest[:10])
    raise InputError(f"There is no run {baseline!r} to compare with.", hint=f"Runs that are known: {known or 'none'}.")


def differences(one: Run, other: Run) -> list[str]:
    """Why two runs cannot be compared; nothing when they can."""
    return [
        f"{name} is {one['key'].get(name) or 'not known'} and {other['key'].get(name) or 'not known'}"
        for name in KEY
        if one["key"].get(name) != other["key"].get(name)
    ]


def compare(run: Run, baseline: Run) -> list[dict[str, t.Any]]:
    """Per stage and metric: ``{stage, metric, baseline, value, change, band, verdict}``.

    ``change`` and ``band`` are relative to the baseline, None where that is 0 or nothing is known. The verdict is
    better, worse, same or unknown. Raises InputError when the runs are not of the same kind.
    """
    unlike = differences(baseline, run)
    if unlike:
        raise InputError(
            f"The runs {baseline['run_id']} and {run['run_id']} cannot be compared: {'; '.join(unlike)}.",
            hint="Compare runs of the same model, server, accelerator, topology and workload.",
        )
    before = {stage["stage"]: stage for stage in baseline["stages"]}
    found = []
    for stage in run["stages"]:
        if stage["stage"] in before:
            deltas = (_delta(metric, stage, before[stage["stage"]]) for metric in METRICS)
            found += [delta for delta in deltas if delta]
    return found


def value_of(stage: t.Mapping[str, t.Any], metric: str) -> float | None:
    """A metric of METRICS out of the data of a stage or of one of its repeats."""
    if not metric.endswith("_ms"):
        return t.cast("float | None", stage.get(metric))
    name, statistic = metric.removesuffix("_ms").split("_")
    latency = stage["latency"].get(name)
    return latency[statistic] if latency else None


def _delta(metric: str, stage: t.Mapping[str, t.Any], before: t.Mapping[str, t.Any]) -> dict[str, t.Any] | None:
    value, baseline = value_of(stage, metric), value_of(before, metric)
    if value is None or baseline is None:
        return None
    difference = value - baseline
    band = _band(_repeats(stage, metric), _repeats(before, metric))
    verdict = "unknown"
    if band is not None and not stage["reasons"] and not before["reasons"]:
        good = difference < 0 if metric in _LOWER_IS_BETTER else difference > 0
        verdict = "same" if abs(difference) <= band else "better" if good else "worse"
    return {
        "stage": stage["stage"],
        "metric": metric,
        "baseline": baseline,
        "value": value,
        "change": difference / baseline if baseline else None,
        "band": band / abs(baseline) if band is not None and baseline else None,
        "verdict": verdict,
    }


def _repeats(stage: t.Mapping[str, t.Any], metric: str) -> list[float]:
    values = (value_of(repeat, metric) for repeat in stage["repeats"])
    return [value for value in values if value is not None]


def _band(values: t.Sequence[float], before: t.Sequence[float]) -> float | None:
    """Half the interval of the difference between the means of two groups of repeats."""
    if min(len(values), len(before)) < LEAST_REPEATS:
        return None
    squares = [statistics.variance(group) / len(group) for group in (values, before)]
    total = sum(squares)
    if not total:
        return 0.0
    # Welch-Satterthwaite: between the smaller number of repeats less one and the sum of both less two.
    freedom = total**2 / sum(
        square**2 / (len(group) - 1) for square, group in zip(squares, (values, before), strict=True)
    )
    return _student(freedom) * math.sqrt(total)


def _student(freedom: float) -> float:
    """Student's t for so many degrees of freedom; those between two entries count as the lower."""
    if freedom < len(_T) + 1:
        return _T[max(1, int(freedom)) - 1]
    z = 1.959964
    return z + (z**3 + z) / (4 * freedom)
