# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which combination of a sweep is worth its chips: Pareto fronts over the stages of its runs. Pure.

A run has the name of its combination. A point is one stage of one of them that is valid and has missed no objective. It
is dominated by another point that is at least as good in all three of throughput, TTFT p99 and tokens per second of one
user, and better in one. Throughput is per dollar where every point has a price, else per chip where
all chips are known, else that of the whole server: only what all points have compares them.
"""

from __future__ import annotations

import typing as t

from . import compare
from .errors import InputError

Run: t.TypeAlias = compare.Run
Data: t.TypeAlias = "dict[str, t.Any]"

#: Throughput, what compares servers of different sizes best first.
THROUGHPUT = ("tokens_usd", "output_tok_s_chip", "output_tok_s")
#: What one user sees.
LATENCY = ("tok_s_user", "ttft_p99_ms", "tpot_p99_ms")

_LOWER_IS_BETTER = ("ttft_p99_ms", "tpot_p50_ms", "tpot_p99_ms", "usd_per_mtok")
_BEST = {
    "highest_throughput": "output_tok_s",
    "highest_throughput_per_chip": "output_tok_s_chip",
    "cheapest": "usd_per_mtok",
    "fastest_first_token": "ttft_p99_ms",
    "fastest_for_one_user": "tok_s_user",
}


def runs_of(runs: t.Iterable[Run], names: t.Iterable[str]) -> list[Run]:
    """The newest run of each combination that was measured to its end, in the order of ``names``.

    A run that nobody answered measured nothing.
    """
    newest: dict[str, Run] = {}
    for run in sorted(runs, key=lambda one: str(one["started_at"])):
        whole = not run["stopped"] and any(stage["completed"] for stage in run["stages"])
        if whole:
            newest[run["name"]] = run
    return [newest[name] for name in dict.fromkeys(names) if name in newest]


def table(runs: t.Sequence[Run]) -> Data:
    """What the runs of a sweep (runs_of) come to, as plain data.

    ``combinations`` has one entry per run, ``points`` one per stage that counts, ``left_out`` the other stages with the
    reason; ``fronts`` are indices into ``points`` for each pair of throughput and latency, and ``best`` is the index of
    the best point for each purpose. Raises InputError when the runs are not of the same model and workload.
    """
    _check_alike(runs)
    points: list[Data] = []
    left_out: list[Data] = []
    for run in runs:
        for stage in run["stages"]:
            reason = _why_not(run, stage)
            if reason:
                left_out.append({"combination": run["name"], "stage": stage["stage"], "reason": reason})
            else:
                points.append(_point(run, stage))
    throughput = next((name for name in THROUGHPUT if all(point[name] is not None for point in points)), THROUGHPUT[-1])
    objectives = (throughput, "ttft_p99_ms", "tok_s_user")
    for point in points:
        point["dominated_by"] = sorted({other["combination"] for other in points if _beats(other, point, objectives)})
    return {
        "model": runs[0]["key"]["model"] if runs else None,
        "workload": runs[0]["key"]["workload"] if runs else None,
        "objectives": list(objectives),
        "combinations": [_whole(run, points) for run in runs],
        "points": points,
        "fronts": list(_fronts(points)),
        "best": {purpose: _best(points, name) for purpose, name in _BEST.items()},
        "left_out": left_out,
    }


def _check_alike(runs: t.Sequence[Run]) -> None:
    for name in ("model", "workload"):
        found = {str(run["key"][name]): run["run_id"] for run in runs}
        if len(found) > 1:
            said = " and ".join(f"{run_id} ({value[:12]})" for value, run_id in sorted(found.items()))
            raise InputError(
                f"The runs are not of one {name}: {said}.",
                hint="Measure another model or workload into another folder of results, or remove the older runs.",
            )


def _why_not(run: Run, stage: t.Mapping[str, t.Any]) -> str:
    """Why a stage does not count; nothing when it does."""
    if not stage["completed"]:
        return "No request was answered."
    if stage["reasons"]:
        return " ".join(stage["reasons"])
    missed = [slo for slo in run["slo"] if slo["stage"] == stage["stage"] and slo["verdict"] == "failed"]
    if not missed:
        return ""
    return "SLO missed: " + ", ".join(f"{slo['name']} {_short(slo['observed'])} ({slo['limit']:g})" for slo in missed)


def _short(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.4g}"


def _point(run: Run, stage: t.Mapping[str, t.Any]) -> Data:
    chips, price = run.get("chips"), stage["usd_per_mtok"]
    latency = {
        name: compare.value_of(stage, name) for name in ("ttft_p50_ms", "ttft_p99_ms", "tpot_p50_ms", "tpot_p99_ms")
    }
    tpot = latency["tpot_p50_ms"]
    return {
        "combination": run["name"],
        "run_id": run["run_id"],
        **{name: stage[name] for name in ("stage", "kind", "asked", "requests_s", "output_tok_s", "error_rate")},
        "output_tok_s_chip": stage["output_tok_s"] / chips if chips else None,
        "usd_per_mtok": price,
        "tokens_usd": 1e6 / price if price else None,
        "tok_s_user": 1000 / tpot if tpot else None,
        **latency,
    }


def _rank(point: Data, name: str) -> float:
    """Higher is better. What was not measured is worse than anything that was."""
    value = point[name]
    if value is None:
        return float("-inf")
    return -float(value) if name in _LOWER_IS_BETTER else float(value)


def _beats(one: Data, other: Data, objectives: t.Sequence[str]) -> bool:
    ranks = [(_rank(one, name), _rank(other, name)) for name in objectives]
    return all(mine >= its for mine, its in ranks) and any(mine > its for mine, its in ranks)


def _fronts(points: t.Sequence[Data]) -> t.Iterator[Data]:
    """For each pair that anybody has, the points that no other one dominates in it, by falling throughput."""
    for throughput in THROUGHPUT:
        for latency in LATENCY:
            pair = (throughput, latency)
            known = [index for index, point in enumerate(points) if all(point[name] is not None for name in pair)]
            front = [index for index in known if not any(_beats(points[it], points[index], pair) for it in known)]
            if front:
                falling = sorted(((points[index][throughput], index) for index in front), key=lambda pair: -pair[0])
                yield {"throughput": throughput, "latency": latency, "points": [index for _value, index in falling]}


def _whole(run: Run, points: t.Sequence[Data]) -> Data:
    """One combination. It is on the front when one of its points is; else all that dominate its points do it."""
    mine = [point for point in points if point["run_id"] == run["run_id"]]
    on_front = any(not point["dominated_by"] for point in mine)
    dominators = {name for point in mine for name in point["dominated_by"]} - {run["name"]}
    return {
        "name": run["name"],
        "run_id": run["run_id"],
        "started_at": run["started_at"],
        "verdict": run["verdict"] or "none",
        **{name: run["key"][name] for name in ("server", "accelerator", "topology")},
        **{name: run.get(name) for name in ("chips", "tensor_parallel", "usd_per_hour")},
        "on_front": on_front,
        "dominated_by": [] if on_front else sorted(dominators),
    }


def _best(points: t.Sequence[Data], name: str) -> int | None:
    known = [index for index, point in enumerate(points) if point[name] is not None]
    return max(known, key=lambda index: _rank(points[index], name), default=None)
