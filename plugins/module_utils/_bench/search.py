# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The highest load that meets the objectives: a binary search over the stages of a workload, which rise in load. Pure.

A stage is good when its figures are valid and its verdict is passed. One that is inconclusive is not: there is no load
to rely on that nobody knows to be good.
"""

from __future__ import annotations

import typing as t
from collections.abc import Callable

if t.TYPE_CHECKING:
    from .workload import Workload


class Probe(t.TypedDict):
    """A stage that was tried."""

    stage: int
    asked: float  # requests per second, or requests in flight
    verdict: str  # passed, failed, inconclusive, or invalid


class Found(t.TypedDict):
    """What a search has found."""

    highest: int | None  # the stage; None when no load was good
    asked: float | None  # its load
    kind: str  # rate or concurrency
    candidates: int
    probes: list[Probe]  # in the order in which they were tried


def next_stage(good: t.Mapping[int, bool], count: int) -> int | None:
    """The stage to try next, of ``count``, by what is known of others; None when the highest good one is known.

    At most ceil(log2(count + 1)) stages have to be tried. If a higher load is good where a lower one is not, the found
    stage is good and the one above it is not, but it need not be the highest good one.
    """
    low = max((stage for stage, is_good in good.items() if is_good), default=-1)
    high = min((stage for stage, is_good in good.items() if not is_good), default=count)
    return (low + high) // 2 if high - low > 1 else None


def turns(workload: Workload, is_good: Callable[[int], bool] | None = None) -> t.Iterator[tuple[int, int]]:
    """Stage and repeat of all that is run, in its order.

    :param is_good: whether a stage is that has just been run, with all its repeats. Without it, a search has all stages.
    """
    count, repeats = len(workload.stages), range(workload.repeats)
    if not workload.search or is_good is None:
        yield from ((stage, repeat) for repeat in repeats for stage in range(count))
        return
    good: dict[int, bool] = {}
    while (stage := next_stage(good, count)) is not None:
        yield from ((stage, repeat) for repeat in repeats)
        good[stage] = is_good(stage)


def found(probes: t.Sequence[Probe], workload: Workload) -> Found:
    """The result of a search, of which there may be no more than the beginning."""
    highest = max((probe["stage"] for probe in probes if probe["verdict"] == "passed"), default=None)
    return {
        "highest": highest,
        "asked": None if highest is None else workload.stages[highest].asked,
        "kind": workload.stages[0].kind,
        "candidates": len(workload.stages),
        "probes": list(probes),
    }


def is_over(result: Found) -> bool:
    """Whether the search came to its end."""
    good = {probe["stage"]: probe["verdict"] == "passed" for probe in result["probes"]}
    return next_stage(good, result["candidates"]) is None


def deciding(result: Found) -> int:
    """The stage that the verdict of a search that is over is about: the one that was found, or the lowest when none was.

    What loads above it miss is no fault.
    """
    highest = result["highest"]
    return min(probe["stage"] for probe in result["probes"]) if highest is None else highest
