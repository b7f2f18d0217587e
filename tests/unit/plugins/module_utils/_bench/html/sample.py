# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that never was, for tests and pictures: a simulated server with a queue and batches, under six rates.

``python -m ansible_collections.modelops.serving.tests.unit.plugins.module_utils._bench.html.sample FILE`` writes it.
"""

from __future__ import annotations

import dataclasses
import math
import random
import statistics
import sys
from pathlib import Path

from ansible_collections.modelops.serving.plugins.module_utils._bench.html import data
from ansible_collections.modelops.serving.plugins.module_utils._bench.html.page import render

RATES = (1, 2, 4, 6, 8, 10)
_SEATS = 64  # sequences that the server runs at once
_CHIPS = 8
_USD_PER_HOUR = 21.6
_TTFT_LIMIT, _TPOT_LIMIT = 500.0, 40.0
_PAUSE = 6.0  # seconds between stages


@dataclasses.dataclass
class Request:
    t_start: float
    isl: int
    osl: int
    t_first: float = 0.0
    t_end: float = 0.0
    received: int = 0
    status: int | None = None

    @property
    def ttft(self):
        return 1000 * (self.t_first - self.t_start)

    @property
    def e2e(self):
        return 1000 * (self.t_end - self.t_start)

    @property
    def tpot(self):
        return (self.e2e - self.ttft) / (self.osl - 1)


def simulate(rates, seconds, queue, *, seed):
    """Per rate its requests, and samples (t, running, waiting, tokens) once per step of the server."""
    rng = random.Random(seed)
    stages, samples, now = [], [], 0.0
    for rate in rates:
        begin, at, arriving = now, now, []
        while (at := at + rng.expovariate(rate)) < begin + seconds:
            isl, osl = (
                int(min(hi, max(lo, rng.gauss(mean, dev))))
                for lo, hi, mean, dev in ((64, 3000, 1024, 400), (32, 600, 256, 90))
            )
            arriving.append(Request(at, isl, osl))
        stage, running, waiting = list(arriving), [], []
        while arriving or running or waiting:
            if not running and not waiting:
                now = max(now, arriving[0].t_start)
            while arriving and arriving[0].t_start <= now:
                late = arriving.pop(0)
                if len(waiting) >= queue:
                    late.status, late.t_end = 503, now + 0.004
                else:
                    waiting.append(late)
            step = (0.011 + 0.00022 * len(running)) * rng.uniform(0.95, 1.1)
            while waiting and len(running) < _SEATS and step < 0.12:
                entered = waiting.pop(0)
                step += 0.000045 * entered.isl
                running.append(entered)
            now += step
            for request in running:
                request.received += 1
                if request.received == 1:
                    request.t_first = now
                request.t_end = now
            samples.append((now, len(running), len(waiting), len(running)))
            running = [request for request in running if request.received < request.osl]
        stages.append((rate, begin, stage))
        now += _PAUSE
    return stages, samples


def statistic(values):
    ordered = sorted(values)
    if not ordered:
        return None
    at = {name: ordered[math.ceil(share * len(ordered)) - 1] for name, share in _SHARES.items()}
    return {
        "mean": statistics.fmean(ordered),
        "stddev": statistics.pstdev(ordered),
        "min": ordered[0],
        "max": ordered[-1],
        **at,
    }


_SHARES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99_9": 0.999}


def cdf(values):
    ordered = sorted(values)
    places = sorted({round(index * (len(ordered) - 1) / (data.CDF_POINTS - 1)) for index in range(data.CDF_POINTS)})
    return [(ordered[place], (place + 1) / len(ordered)) for place in places] if ordered else []


def stage(index, rate, seconds, requests, rng):
    done = [request for request in requests if request.status is None]
    wall = max(request.t_end for request in requests) - requests[0].t_start
    wall = max(wall, seconds)
    good = [request for request in done if request.ttft <= _TTFT_LIMIT and request.tpot <= _TPOT_LIMIT]
    output = sum(request.osl for request in done) / wall
    last = index == len(RATES) - 1
    gaps = [request.tpot * rng.lognormvariate(0, 0.12) for request in done]
    return {
        "stage": index,
        "kind": "rate",
        "asked": float(rate),
        "arrival": "poisson",
        "repeats": 3,
        "duration_s": wall,
        "sent": len(requests),
        "completed": len(done),
        "error_rate": 1 - len(done) / len(requests),
        "sent_s": len(requests) / seconds * (0.93 if last else 1.0),
        "request_s": len(done) / wall,
        "output_tok_s": output,
        "total_tok_s": output + sum(request.isl for request in done) / wall,
        "goodput": len(good) / len(requests),
        "goodput_s": len(good) / wall,
        "output_tok_s_chip": output / _CHIPS,
        "usd_per_mtok": _USD_PER_HOUR / 3600 / output * 1e6,
        "in_flight_max": 40 * rate,
        "generator_cpu": 0.06 * rate,
        "ttft_ms": statistic([request.ttft for request in done]),
        "itl_ms": statistic(gaps),
        "tpot_ms": statistic([request.tpot for request in done]),
        "ntpot_ms": statistic([request.e2e / request.osl for request in done]),
        "e2e_ms": statistic([request.e2e for request in done]),
        "schedule_delay_ms": statistic([rng.expovariate(0.05 if last else 2) for _request in requests]),
        "ttft_cdf": cdf([request.ttft for request in done]),
        "e2e_cdf": cdf([request.e2e for request in done]),
        "valid": not last,
        "reasons": [
            "The median schedule delay was 13.9 ms, more than 10 ms.",
            "93 % of the asked rate were sent, less than 95 %.",
        ]
        if last
        else [],
    }


def wilson(share, count):
    z = 1.96
    middle = share + z * z / (2 * count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return (middle - half) / (1 + z * z / count), (middle + half) / (1 + z * z / count)


def slo(name, limit, target, found, values):
    share = sum(value <= limit for value in values) / len(values)
    low, high = wilson(share, len(values))
    verdict = "passed" if low >= target else "failed" if high < target else "inconclusive"
    if not found["valid"]:
        verdict = "failed"
    metric, statistic_name, _unit = name.split("_")
    observed = found[f"{metric}_ms"][statistic_name]
    return {
        "name": name,
        "stage": found["stage"],
        "limit": limit,
        "observed": observed,
        "attainment": share,
        "low": low,
        "high": high,
        "verdict": verdict,
    }


def timeline(simulated, samples, seconds):
    end = samples[-1][0]
    width = end / 240
    size = math.ceil(end / width)
    running, waiting, tokens, errors = ([0.0] * size for _list in range(4))
    for t, now_running, now_waiting, count in samples:
        place = min(size - 1, int(t / width))
        running[place], waiting[place] = max(running[place], now_running), max(waiting[place], now_waiting)
        tokens[place] += count
    for _rate, _begin, requests in simulated:
        for request in requests:
            errors[int(request.t_start / width)] += request.status is not None
    return {
        "bucket_s": width,
        "t": [index * width for index in range(size)],
        "in_flight": [a + b for a, b in zip(running, waiting, strict=True)],
        "output_tok_s": [count / width for count in tokens],
        "errors": errors,
        "server_running": running,
        "server_waiting": waiting,
        "server_kv_used": [min(1.0, 0.03 + value / 70) for value in running],
        "bands": [
            {"stage": index, "repeat": 0, "t_begin": begin, "t_end": begin + seconds}
            for index, (_rate, begin, _requests) in enumerate(simulated)
        ],
    }


def heat(requests, end):
    low, high = min(request.e2e for request in requests), max(request.e2e for request in requests) * 1.001
    ratio = (high / low) ** (1 / data.HEAT_ROWS)
    edges = [low * ratio**row for row in range(data.HEAT_ROWS + 1)]
    times = [end * column / data.HEAT_COLUMNS for column in range(data.HEAT_COLUMNS + 1)]
    counts = [[0] * data.HEAT_COLUMNS for _row in range(data.HEAT_ROWS)]
    for request in requests:
        row = min(data.HEAT_ROWS - 1, int(math.log(request.e2e / low) / math.log(ratio)))
        counts[row][min(data.HEAT_COLUMNS - 1, int(request.t_start / end * data.HEAT_COLUMNS))] += 1
    return {"t_edges": times, "e2e_ms_edges": edges, "counts": counts}


def earlier(run_id, name, stages, slower, rng):
    uneven = [slower * rng.uniform(0.93, 1.07) for _stage in stages]
    return {
        "run_id": run_id,
        "name": name,
        "started_at": f"{run_id[:4]}-{run_id[4:6]}-{run_id[6:8]}T09:00:00Z",
        "stages": [
            {
                "stage": found["stage"],
                "asked": found["asked"],
                "request_s": found["request_s"] / min(slower, 1.02),
                "output_tok_s": found["output_tok_s"] / (factor if found["stage"] > 3 else 1.01),
                "ttft_p50_ms": found["ttft_ms"]["p50"] * factor**2,
                "ttft_p99_ms": found["ttft_ms"]["p99"] * factor**3,
                "tpot_p50_ms": found["tpot_ms"]["p50"] * factor,
                "valid": found["valid"],
            }
            for found, factor in zip(stages, uneven, strict=True)
        ],
    }


def deltas(stages, base):
    rows = []
    for found, old in zip(stages, base["stages"], strict=True):
        pairs = (
            ("ttft_p99_ms", old["ttft_p99_ms"], found["ttft_ms"]["p99"], 0.06, -1),
            ("tpot_p50_ms", old["tpot_p50_ms"], found["tpot_ms"]["p50"], 0.02, -1),
            ("output_tok_s", old["output_tok_s"], found["output_tok_s"], 0.03, 1),
        )
        for metric, was, now, band, sign in pairs:
            moved = (now - was) / was
            verdict = "same" if abs(moved) <= band else "better" if moved * sign > 0 else "worse"
            rows.append(
                {
                    "stage": found["stage"],
                    "metric": metric,
                    "baseline": was,
                    "value": now,
                    "change": moved,
                    "band": band,
                    "verdict": verdict,
                }
            )
    return rows


def sample(seconds, queue=150):
    """The run, deterministic. Few seconds a stage make it small; ``queue`` is what the server lets wait."""
    rng = random.Random(7)
    simulated, samples = simulate(RATES, seconds, queue, seed=11)
    stages = [stage(index, rate, seconds, requests, rng) for index, (rate, _begin, requests) in enumerate(simulated)]
    done = [[request for request in requests if request.status is None] for _rate, _begin, requests in simulated]
    results = [
        result
        for found, requests in zip(stages, done, strict=True)
        for result in (
            slo("ttft_p99_ms", _TTFT_LIMIT, 0.99, found, [request.ttft for request in requests]),
            slo("tpot_p99_ms", _TPOT_LIMIT, 0.99, found, [request.tpot for request in requests]),
        )
    ]
    points = [
        {"stage": index, "isl": request.isl, "osl": request.osl, "ttft_ms": request.ttft}
        for index, requests in enumerate(done)
        for request in rng.sample(requests, min(len(requests), data.SCATTER_POINTS // len(stages)))
    ]
    runs = [
        earlier("20261114-090000-5b1d", "0.9 release", stages, 1.05, rng),
        earlier("20261101-090000-77c2", None, stages, 1.2, rng),
    ]
    refused = [
        {
            "stage": found["stage"],
            "error": "http",
            "status": 503,
            "count": found["sent"] - found["completed"],
            "message": "queue is full",
        }
        for found in stages
        if found["sent"] > found["completed"]
    ]
    return {
        "run_id": "20261121-141503-a91e",
        "started_at": "2026-11-21T14:15:03Z",
        "stopped": False,
        "facts": {
            "model": "meta-llama/Llama-3.3-70B-Instruct",
            "revision": "6f6073b423013f6a7d4d9f39144961bfbfbc386b",
            "protocol": "openai_completions",
            "endpoint": "http://llama-70b.serving.svc:8000",
            "server": "vLLM 0.33.0 (TPU)",
            "image": "vllm/vllm-tpu@sha256:" + 4 * "0d1c2b3a49586776",
            "args": ["--tensor-parallel-size=8", "--max-model-len=4096", "--max-num-seqs=64"],
            "accelerator": "v6e",
            "topology": "2x4",
            "chips": _CHIPS,
            "tensor_parallel": 8,
            "usd_per_hour": _USD_PER_HOUR,
            "kubernetes": "v1.34.1-gke.1829001",
            "zone": "us-east5-b",
            "generator": "builtin 0.4.0",
            "generator_host": "llama-70b-bench-0-x2x9k",
            "generator_cores": 2.0,
            "generator_node": "gke-bench-cpu-4f2a-k8vd",
            "generator_image": "python:3.13.9-slim-bookworm",
            "cluster": "serving-east",
            "namespace": "bench",
            "round_trip_ms": 0.41,
            "dataset": "synthetic",
            "dataset_sha256": None,
            "input_tokens": "normal, mean 1024, standard deviation 400, 64 to 3000",
            "output_tokens": "normal, mean 256, standard deviation 90, 32 to 600",
            "tokens_counted_by": "the server (usage)",
            "stream": True,
            "seed": 11,
            "warmup_requests": 20,
            "duration_s": samples[-1][0],
            "repeats": 3,
            "clock": "time.perf_counter, 1 ns",
            "workload_digest": 8 * "9f3ac04e",
        },
        "verdict": "failed",
        "search": None,
        "stages": stages,
        "slo": results,
        "errors": refused,
        "timeline": timeline(simulated, samples, seconds),
        "scatter": points,
        "heat": heat([request for requests in done for request in requests], samples[-1][0]),
        "comparison": {"baseline": runs[0]["run_id"], "runs": runs, "deltas": deltas(stages, runs[0])},
    }


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render(sample(600.0)), encoding="utf-8")
