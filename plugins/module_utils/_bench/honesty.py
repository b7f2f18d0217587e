# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the figures of a stage say something about the server, or about the generator of its load.

A generator that falls behind reports its own queue as the latency of the server, or sends less than it was asked to.
The limit of the schedule delay is that of inference-perf (docs/loadgen.md); that of the rate leaves room for the ends
of a short stage; that of the CPU is where a single thread begins to queue.
"""

from __future__ import annotations

import math

from .stats import StageResult, StageSummary

LEAST_OF_RATE = 0.95
MOST_SCHEDULE_DELAY_MS = 10.0
MOST_CPU = 0.8


def reasons(result: StageResult) -> list[str]:
    """Why a stage is invalid, a sentence each; nothing when it is valid.

    Each repeat is judged on its own: one that fell behind is not made good by two that did not.
    """
    found = []
    for summary in result.repeats:
        prefix = f"Repeat {summary.repeat}: " if len(result.repeats) > 1 else ""
        found += [prefix + reason for reason in _reasons(summary)]
    return found


def _reasons(summary: StageSummary) -> list[str]:
    if not summary.finished:
        return ["The stage was cut off before its end."]
    if not summary.sent:
        return ["No request was sent."]
    found = []
    if summary.kind == "rate" and summary.sent < _least_sent(summary):
        found.append(
            f"Sent {summary.sent_s:.1f} requests per second, less than {LEAST_OF_RATE:.0%} of the "
            f"{summary.asked:g} asked for."
        )
    reachable = min(summary.asked, summary.sent)
    if summary.kind == "concurrency" and summary.in_flight_max < LEAST_OF_RATE * reachable:
        found.append(
            f"Had {summary.in_flight_max} requests in flight at most, less than {LEAST_OF_RATE:.0%} of the "
            f"{reachable:g} asked for."
        )
    delay = summary.latency["schedule_delay"]
    if summary.kind == "rate" and delay and delay["p50"] > MOST_SCHEDULE_DELAY_MS:
        found.append(
            f"Half of the requests were sent {delay['p50']:.1f} ms or more after their time; "
            f"{MOST_SCHEDULE_DELAY_MS:g} ms are allowed."
        )
    if summary.generator_cpu is not None and summary.generator_cpu > MOST_CPU:
        found.append(
            f"The generator used {summary.generator_cpu:.0%} of its core; {MOST_CPU:.0%} are allowed. "
            "Let more Pods share the load."
        )
    if summary.held_back:
        found.append(
            f"{summary.held_back} requests were held back because max_in_flight was reached "
            f"({summary.in_flight_max} in flight)."
        )
    return found


def _least_sent(summary: StageSummary) -> float:
    """The least number of requests that is as good as the asked rate over the window of sending."""
    expected = summary.asked * summary.window_s
    # The number of Poisson arrivals in a window scatters by its square root of its own accord. The first and the last
    # of constant arrivals are one interval closer than their number says, which no stage must fail for.
    slack = 2 * math.sqrt(expected) if summary.arrival == "poisson" else 1.0
    return LEAST_OF_RATE * expected - slack
