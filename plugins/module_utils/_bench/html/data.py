# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the HTML report is made from: plain data that JSON can hold.

Every key is there; what is not known is None or an empty list. Times ``t`` are seconds since the run began, ``*_ms``
milliseconds, shares 0 to 1. Points are thinned before they come here, so that the size of the report does not depend on
the number of requests; the limits are below.
"""

from __future__ import annotations

import typing as t

from ..search import Found

#: points of one line of a CDF, buckets of the timeline, points of the scatter plot, columns and rows of the heat map
CDF_POINTS = 200
TIMELINE_BUCKETS = 300
SCATTER_POINTS = 500
HEAT_COLUMNS = 60
HEAT_ROWS = 24

Kind: t.TypeAlias = t.Literal["rate", "concurrency"]
Verdict: t.TypeAlias = t.Literal["passed", "failed", "inconclusive"]
Change: t.TypeAlias = t.Literal["better", "worse", "same", "unknown"]
#: (value in ms, share of requests at or below it), rising
Cdf: t.TypeAlias = "list[tuple[float, float]]"


class Statistic(t.TypedDict):
    """One metric over the requests of a stage, in ms."""

    mean: float
    stddev: float
    min: float
    p50: float
    p90: float
    p95: float
    p99: float
    p99_9: float
    max: float


class Stage(t.TypedDict):
    """A stage with its repeats taken together."""

    stage: int
    kind: Kind
    asked: float  # requests per second, or requests in flight
    arrival: str
    repeats: int
    duration_s: float  # wall time of all repeats, over which throughput is taken
    sent: int
    completed: int  # well: with tokens and without an error
    error_rate: float
    sent_s: float  # requests sent per second: what is held against the asked rate
    request_s: float  # requests completed per second
    output_tok_s: float
    total_tok_s: float
    goodput: float | None  # share of requests sent that met every SLO of a request; None without such SLOs
    goodput_s: float | None  # these requests per second
    output_tok_s_chip: float | None  # None where chips are not known
    usd_per_mtok: float | None  # US dollars for 1,000,000 output tokens; None without a price or without tokens
    in_flight_max: int
    generator_cpu: float | None  # share of one core
    ttft_ms: Statistic | None  # None where no request gave the metric
    itl_ms: Statistic | None
    tpot_ms: Statistic | None
    ntpot_ms: Statistic | None
    e2e_ms: Statistic | None
    schedule_delay_ms: Statistic | None
    ttft_cdf: Cdf
    e2e_cdf: Cdf
    valid: bool  # the honesty verdict
    reasons: list[str]  # why not, a sentence each


class SloResult(t.TypedDict):
    """One SLO at one stage."""

    name: str  # as in the workload, for example ttft_p99_ms
    stage: int
    limit: float
    observed: float | None
    attainment: float | None  # share of requests within the limit; None for SLOs that are not about a percentile
    low: float | None  # Wilson interval of the attainment, 95 %
    high: float | None
    verdict: Verdict


class Failure(t.TypedDict):
    """Requests of one stage that failed alike."""

    stage: int
    error: str  # Record.error
    status: int | None
    count: int
    message: str  # of the first one


class Band(t.TypedDict):
    """When a stage was sending."""

    stage: int
    repeat: int
    t_begin: float
    t_end: float


class Timeline(t.TypedDict):
    """Buckets of equal width; all lists are as long as ``t``, which holds their beginnings."""

    bucket_s: float
    t: list[float]
    in_flight: list[float]
    output_tok_s: list[float]
    errors: list[int]
    server_running: list[float | None] | None  # requests, as the server's metrics say; None where nobody asked it
    server_waiting: list[float | None] | None
    server_kv_used: list[float | None] | None  # share of the KV cache
    bands: list[Band]


class ScatterPoint(t.TypedDict):
    """One completed request of a sample over the whole run."""

    stage: int
    isl: int
    osl: int
    ttft_ms: float


class Heat(t.TypedDict):
    """How many requests began in a slice of time and ended with a latency: ``counts[row][column]``."""

    t_edges: list[float]  # columns + 1
    e2e_ms_edges: list[float]  # rows + 1, rising, by equal ratios
    counts: list[list[int]]


class EarlierStage(t.TypedDict):
    """A stage of an earlier run, as much as the first figure needs."""

    stage: int
    asked: float
    request_s: float
    output_tok_s: float
    ttft_p50_ms: float | None
    ttft_p99_ms: float | None
    tpot_p50_ms: float | None
    valid: bool


class EarlierRun(t.TypedDict):
    """A run of the same model, engine, accelerator, topology and workload."""

    run_id: str
    name: str | None
    started_at: str
    stages: list[EarlierStage]


class Delta(t.TypedDict):
    """One metric of one stage, against the baseline."""

    stage: int
    metric: str  # named as SLOs are: ttft_p99_ms, output_tok_s, error_rate
    baseline: float
    value: float
    change: float | None  # (value - baseline) / baseline; None where the baseline is 0
    band: float | None  # half width of the noise band, relative as well; None with fewer than three repeats
    verdict: Change


class Comparison(t.TypedDict):
    """Against earlier runs."""

    baseline: str  # run_id of one of ``runs``
    runs: list[EarlierRun]  # the newest first
    deltas: list[Delta]


class Facts(t.TypedDict):
    """What has to be known to believe a number or to measure it again; None where nobody said."""

    model: str
    revision: str | None
    protocol: str
    endpoint: str  # without credentials
    server: str | None  # the engine that serves, and its version
    image: str | None  # with its digest
    args: list[str]
    accelerator: str | None  # for example v6e
    topology: str | None
    chips: int | None
    tensor_parallel: int | None
    usd_per_hour: float | None  # of all chips together
    kubernetes: str | None
    zone: str | None
    generator: str  # the engine that loads, and its version
    generator_host: str | None  # Pod or host
    generator_cores: float | None
    generator_node: str | None  # these four only of Pods
    generator_image: str | None
    cluster: str | None
    namespace: str | None
    round_trip_ms: float | None
    dataset: str
    dataset_sha256: str | None
    input_tokens: str  # the distribution in words
    output_tokens: str
    tokens_counted_by: str
    stream: bool
    seed: int | None
    warmup_requests: int
    duration_s: float
    repeats: int
    clock: str
    workload_digest: str


class Run(t.TypedDict):
    """Everything that ``render`` shows. Every stage that is named anywhere is in ``stages``."""

    run_id: str
    started_at: str  # RFC 3339, UTC
    stopped: bool  # the run was ended before its workload was through
    facts: Facts
    verdict: Verdict | None  # over all SLOs; None where none was set
    search: Found | None  # None where nothing was searched
    stages: list[Stage]  # in order
    slo: list[SloResult]
    errors: list[Failure]
    timeline: Timeline | None
    scatter: list[ScatterPoint]
    heat: Heat | None
    comparison: Comparison | None
