# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Service level objectives: what they are called, and whether a stage met them."""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import typing as t
from bisect import bisect_right

from .errors import InputError

if t.TYPE_CHECKING:
    from .stats import StageResult

Verdict: t.TypeAlias = t.Literal["passed", "failed", "inconclusive"]

#: The metrics of one request that have a distribution, all in milliseconds.
METRICS = ("ttft", "itl", "tpot", "ntpot", "e2e", "schedule_delay")
#: What is known of each distribution, and the share of requests that a percentile is about.
PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99_9": 0.999}
STATISTICS = (*PERCENTILES, "mean", "max")

_SHARES = ("error_rate", "goodput_min")
#: Of these, more load makes more of what is asked, as long as a server keeps up. Of all others it makes less.
GROWING = ("requests_s_min", "output_tok_s_min", "total_tok_s_min", "usd_per_mtok_max")
NAMES = (*(f"{metric}_{statistic}_ms" for metric in METRICS for statistic in STATISTICS), *_SHARES, *GROWING)

_LATENCY = re.compile(rf"({'|'.join(METRICS)})_({'|'.join(STATISTICS)})_ms")


@dataclasses.dataclass(frozen=True)
class Objective:
    """One objective. Latencies, error_rate and names with ``_max`` are upper limits, names with ``_min`` lower ones."""

    name: str
    limit: float
    #: Of a latency: one of METRICS and one of STATISTICS; else empty.
    metric: str = ""
    statistic: str = ""


def parse(objectives: t.Mapping[str, t.Any]) -> tuple[Objective, ...]:
    """The objectives of a mapping such as ``{ttft_p99_ms: 200, error_rate: 0.01}``, in its order.

    Raises InputError that names every mistake at once.
    """
    found, mistakes = [], []
    for name, limit in objectives.items():
        if name not in NAMES:
            mistakes.append(f"SLO {name!r} is not known{_nearest(str(name))}")
        elif isinstance(limit, bool) or not isinstance(limit, (int, float)) or not 0 <= limit < float("inf"):
            mistakes.append(f"SLO {name} must be a number that is not negative, not {limit!r}")
        elif name in _SHARES and limit > 1:
            mistakes.append(f"SLO {name} is a share from 0 to 1, not {limit!r}")
        else:
            latency = _LATENCY.fullmatch(name)
            found.append(Objective(name, float(limit), *(latency.groups() if latency else ())))
    if "goodput_min" in objectives and not any(objective.metric for objective in found):
        mistakes.append("SLO goodput_min needs an SLO for a latency beside it, which requests can keep or miss")
    if mistakes:
        raise InputError(
            "; ".join(mistakes) + ".",
            hint="Latencies are called <metric>_<statistic>_ms, in milliseconds, with one of the metrics "
            f"{', '.join(METRICS)} and one of the statistics {', '.join(STATISTICS)}. "
            f"The others are {', '.join((*_SHARES, *GROWING))}.",
        )
    return tuple(found)


@dataclasses.dataclass(frozen=True)
class Result:
    """How one stage did against one objective."""

    name: str
    stage: int
    limit: float
    #: What was measured; None when nothing was.
    observed: float | None
    #: Of a percentile, the share of requests within the limit.
    attainment: float | None
    #: The Wilson interval of a share: of the attainment, the error rate or the goodput.
    low: float | None
    high: float | None
    verdict: Verdict


def wilson(part: float, whole: float) -> tuple[float, float]:
    """The 95 % interval of a share that was seen as ``part`` of ``whole`` trials; 0 to 1 without trials.

    Wilson, E. B. (1927), Probable inference, the law of succession, and statistical inference, JASA 22, 209-212.
    """
    if whole <= 0:
        return 0.0, 1.0
    z = 1.959963984540054
    share = part / whole
    middle = share + z * z / (2 * whole)
    width = z * math.sqrt(share * (1 - share) / whole + z * z / (4 * whole * whole))
    scale = 1 + z * z / whole
    return max(0.0, (middle - width) / scale), min(1.0, (middle + width) / scale)


def judge(
    objective: Objective, result: StageResult, *, valid: bool = True, usd_per_mtok: float | None = None
) -> Result:
    """Whether a stage met an objective.

    A percentile is judged by the share of requests within the limit, of which those that failed are none: it passed
    when the whole interval of that share is at or above what the percentile asks for, failed when it is below, and is
    inconclusive in between. Gaps between tokens come in streams and are not independent, so their share is weighed as
    that of so many requests. A stage whose figures are not valid is inconclusive whatever they say.
    """
    if objective.statistic in PERCENTILES:
        found = _percentile(objective, result)
    elif objective.name in _SHARES:
        found = _share(objective, result)
    else:
        found = _plain(objective, result, usd_per_mtok)
    return found if valid else dataclasses.replace(found, verdict="inconclusive")


def overall(results: t.Iterable[Result]) -> Verdict | None:
    """The verdict over all objectives of all stages; None without any."""
    verdicts = {result.verdict for result in results}
    if "failed" in verdicts:
        return "failed"
    if "inconclusive" in verdicts:
        return "inconclusive"
    return "passed" if verdicts else None


def _percentile(objective: Objective, result: StageResult) -> Result:
    summary = result.summary
    observed = summary.latency[objective.metric]
    if objective.metric == "itl":
        whole: float = summary.answered
        within = (result.itl.share_within(objective.limit) or 0.0) * summary.completed
    else:
        values = result.columns.ordered(objective.metric)
        # Requests that failed were sent like the others, so that their delay is known already.
        whole = len(values) + (0 if objective.metric == "schedule_delay" else summary.failed)
        within = bisect_right(values, objective.limit)
    if not observed and not summary.failed:
        # Nothing was measured: one token has no gap, and whoever did not stream has no first token.
        return Result(objective.name, summary.stage, objective.limit, None, None, None, None, "inconclusive")
    low, high = wilson(within, whole)
    asked = PERCENTILES[objective.statistic]
    return Result(
        name=objective.name,
        stage=summary.stage,
        limit=objective.limit,
        observed=observed[objective.statistic] if observed else None,
        attainment=within / whole,
        low=low,
        high=high,
        verdict="passed" if low >= asked else "failed" if high < asked else "inconclusive",
    )


def _share(objective: Objective, result: StageResult) -> Result:
    summary, limit = result.summary, objective.limit
    upper = objective.name == "error_rate"
    part = summary.failed if upper else summary.good or 0
    if not summary.answered:
        return Result(objective.name, summary.stage, limit, None, None, None, None, "inconclusive")
    observed = part / summary.answered
    low, high = wilson(part, summary.answered)
    if limit in {0.0, 1.0}:
        # No interval of a sample is ever wholly on the good side of these: what was seen has to do.
        low_seen = high_seen = observed
    else:
        low_seen, high_seen = low, high
    good = high_seen <= limit if upper else low_seen >= limit
    bad = low_seen > limit if upper else high_seen < limit
    verdict: Verdict = "passed" if good else "failed" if bad else "inconclusive"
    return Result(objective.name, summary.stage, limit, observed, None, low, high, verdict)


def _plain(objective: Objective, result: StageResult, usd_per_mtok: float | None) -> Result:
    """A mean, a maximum, a throughput or a price: one figure against the limit."""
    summary = result.summary
    observed: float | None
    if objective.metric:
        figures = summary.latency[objective.metric]
        observed = figures[objective.statistic] if figures else None
    elif objective.name == "usd_per_mtok_max":
        observed = usd_per_mtok
    else:
        observed = getattr(summary, objective.name.removesuffix("_min"))
    verdict: Verdict = "inconclusive"
    if observed is not None:
        good = observed >= objective.limit if objective.name.endswith("_min") else observed <= objective.limit
        verdict = "passed" if good else "failed"
    return Result(objective.name, summary.stage, objective.limit, observed, None, None, None, verdict)


def _nearest(name: str) -> str:
    """What may have been meant: the same latency in the unit it has here comes first."""
    unit = re.sub(r"_(s|sec|seconds|us|ns|msec)$", "_ms", name)
    near = [unit] if unit in NAMES else difflib.get_close_matches(name, NAMES, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""
