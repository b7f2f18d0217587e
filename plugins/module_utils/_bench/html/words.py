# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stages, metrics and facts are called in the report, and what they mean."""

from __future__ import annotations

from .data import Stage
from .numbers import number

#: Metrics that are no times with a statistic: name, unit.
_PLAIN = {
    "error_rate": ("Error rate", "share"),
    "goodput": ("Goodput", "share"),
    "goodput_min": ("Goodput", "share"),
    "output_tok_s": ("Output", "tok/s"),
    "output_tok_s_min": ("Output", "tok/s"),
    "requests_s": ("Requests", "req/s"),
    "requests_s_min": ("Requests", "req/s"),
    "total_tok_s": ("Input and output", "tok/s"),
    "total_tok_s_min": ("Input and output", "tok/s"),
    "usd_per_mtok": ("Cost", "USD per million output tokens"),
    "usd_per_mtok_max": ("Cost", "USD per million output tokens"),
}
_TIMES = {
    "ttft": "TTFT",
    "itl": "ITL",
    "tpot": "TPOT",
    "ntpot": "NTPOT",
    "e2e": "E2E",
    "schedule_delay": "Schedule delay",
}

DEFINITIONS = (
    ("TTFT", "Time to first token: from sending the request to its first token that is not empty."),
    ("ITL", "Inter-token latency: the gap between one token and the next. Its percentiles are over all gaps."),
    ("TPOT", "Time per output token: (E2E \u2212 TTFT) / (output tokens \u2212 1), one value for each request."),
    ("NTPOT", "Normalised time per output token: E2E / output tokens."),
    ("E2E", "End-to-end latency: from sending the request to the end of its answer."),
    ("Schedule delay", "How much later than scheduled the generator sent a request. It is no part of any latency."),
    ("Throughput", "Tokens or completed requests per second of the stage's wall time."),
    ("Interactivity", "Tokens per second that one user sees: 1000 / median TPOT in ms."),
    ("Goodput", "Requests that met every SLO of a request, as a share of those sent or per second."),
    ("Attainment", "Share of requests within the limit of an SLO, with its 95 % Wilson interval."),
    (
        "SLO verdict",
        (
            "Passed or failed when the whole interval lies on one side of what the SLO wants (for a p99, 99 %); "
            "else inconclusive: there were too few requests to tell."
        ),
    ),
    (
        "Valid",
        (
            "The stage ran to its end and the generator did what was asked of it: it kept at least 95 % of the rate, "
            "with a median schedule delay of at most 10 ms, at most 80 % of a core, and without its cap on requests in "
            "flight. What is measured in another stage is not the server alone, and no SLO passes there."
        ),
    ),
    (
        "Knee",
        (
            "The stage with the greatest ratio of throughput to median E2E latency (Kleinrock's power), if stages on "
            "both sides of it have less. Beyond it, more load costs more latency than it gives throughput."
        ),
    ),
    (
        "Noise band",
        "How much repeats of the same stage differ among themselves. A change within it is called the same.",
    ),
)


def stage_name(stage: Stage) -> str:
    """What was asked: ``4 req/s`` or ``32 in flight``."""
    unit = "req/s" if stage["kind"] == "rate" else "in flight"
    return f"{number(stage['asked'])} {unit}"


def metric_name(metric: str) -> tuple[str, str]:
    """Name and unit of a metric or SLO: ``ttft_p99_ms`` is TTFT p99 in ms. An unknown one keeps its name."""
    if metric in _PLAIN:
        return _PLAIN[metric]
    for time, name in _TIMES.items():
        if metric.startswith(f"{time}_") and metric.endswith("_ms"):
            statistic = metric.removeprefix(f"{time}_").removesuffix("_ms").replace("_", ".")
            return f"{name} {statistic}", "ms"
    return metric, ""
