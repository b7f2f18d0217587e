# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A stage as the Benchmark Report 0.2.1 of llm-d, which the tools of llm-d read.

Fields, units and requirements are those of its JSON Schema: github.com/llm-d/llm-d-benchmark, package
llmd-benchmark-report 0.2.1, br_v0_2_json_schema.json. It knows no field for a verdict, so that stands in the keywords.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import typing as t
import uuid

from .report_data import About, Judged
from .stats import Distribution
from .workload import Length, Workload

VERSION = "0.2.1"

#: Ours and theirs.
_PERCENTILES = {
    "p0_1": "p0p1",
    "p1": "p1",
    "p5": "p5",
    "p10": "p10",
    "p25": "p25",
    "p50": "p50",
    "p75": "p75",
    "p90": "p90",
    "p95": "p95",
    "p99": "p99",
    "p99_9": "p99p9",
}

_Data: t.TypeAlias = "dict[str, t.Any]"


def report(run_id: str, judged: Judged, workload: Workload, about: About) -> _Data:
    """The report of one stage, all its repeats together, as plain data."""
    summary = judged.result.summary
    return {
        "version": VERSION,
        "run": _run(run_id, judged, workload, about),
        "scenario": _known({"stack": _stack(workload, about), "load": _load(judged, workload, about)}),
        "results": {
            "request_performance": {
                "aggregate": {
                    "requests": _known(
                        {
                            "total": summary.sent,
                            "failures": summary.failed,
                            "incomplete": summary.cancelled,
                            "input_length": _statistics(summary.isl, "count"),
                            "output_length": _statistics(summary.osl, "count"),
                        }
                    ),
                    "latency": _known(
                        {
                            "time_to_first_token": _statistics(summary.latency["ttft"], "ms"),
                            "normalized_time_per_output_token": _statistics(summary.latency["ntpot"], "ms/token"),
                            "time_per_output_token": _statistics(summary.latency["tpot"], "ms/token"),
                            "inter_token_latency": _statistics(summary.latency["itl"], "ms/token"),
                            "request_latency": _statistics(summary.latency["e2e"], "ms"),
                        }
                    ),
                    "throughput": {
                        "input_token_rate": {"units": "tokens/s", "mean": summary.input_tok_s},
                        "output_token_rate": {"units": "tokens/s", "mean": summary.output_tok_s},
                        "total_token_rate": {"units": "tokens/s", "mean": summary.total_tok_s},
                        "request_rate": {"units": "queries/s", "mean": summary.requests_s},
                    },
                }
            }
        },
    }


def _run(run_id: str, judged: Judged, workload: Workload, about: About) -> _Data:
    summary = judged.result.summary
    experiment = uuid.uuid5(uuid.NAMESPACE_OID, run_id)
    return _known(
        {
            "uid": str(uuid.uuid5(experiment, f"stage {summary.stage}")),
            "eid": str(experiment),
            "pid": about.get("generator_host"),
            "time": _time(judged, about.get("started_at", "")),
            # Readers take it for the label of the run.
            "description": f"{workload.model} [{about.get('name') or run_id}]",
            "keywords": ["invalid", *judged.reasons] if judged.reasons else ["valid"],
        }
    )


def _time(judged: Judged, started_at: str) -> _Data | None:
    """When the stage was, from its first repeat to the end of its last; None when the run's start is not known."""
    try:
        origin = datetime.datetime.fromisoformat(started_at.replace("Z", "+00:00"))
    except ValueError:
        return None
    begin = min(fact.t_begin for fact in judged.result.facts)
    end = max([fact.t_end for fact in judged.result.facts] + [max(judged.result.columns.t_end, default=begin)])
    return {
        "start": (origin + datetime.timedelta(seconds=begin)).isoformat(),
        "end": (origin + datetime.timedelta(seconds=end)).isoformat(),
        "duration": f"PT{end - begin:.3f}S",
    }


def _stack(workload: Workload, about: About) -> list[_Data] | None:
    """The server; None when nothing is known of it."""
    server = about.get("server")
    if not server:
        return None
    tool, _separator, version = server.partition(" ")
    native = {"config": {key: about[key] for key in ("image", "args", "revision", "topology", "zone") if key in about}}
    standardized: _Data = {"kind": "generic", "tool": tool, "tool_version": version or "not known"}
    accelerator, chips = about.get("accelerator"), about.get("chips")
    if accelerator and chips:
        standardized |= {
            "kind": "inference_engine",
            "role": "replica",
            "replicas": 1,
            "model": {"name": workload.model},
            "accelerator": {
                "model": accelerator,
                "count": chips,
                "parallelism": {"tp": about.get("tensor_parallel", chips)},
            },
        }
    return [
        {
            "metadata": {"label": "server", "cfg_id": _digest([standardized, native])},
            "standardized": standardized,
            "native": native,
        }
    ]


def _load(judged: Judged, workload: Workload, about: About) -> _Data:
    summary, data = judged.result.summary, workload.data
    tool, _separator, version = about.get("generator", "not-known").partition(" ")
    measured = summary.isl["mean"] if summary.isl else 0
    length = _length(data.input_tokens) if data.input_tokens else {"distribution": "other", "value": measured}
    config = workload.as_data()
    # Where a server is found is nobody's business who reads about its speed.
    del config["endpoint"], config["headers"]
    return {
        "metadata": {"cfg_id": workload.digest},
        "standardized": _known(
            {
                "tool": tool,
                "tool_version": version or "not known",
                "source": "random" if data.type == "synthetic" else "sampled",
                "stage": summary.stage,
                "input_seq_len": length,
                "output_seq_len": _length(data.output_tokens),
                "rate_qps": summary.asked if summary.kind == "rate" else None,
                "concurrency": int(summary.asked) if summary.kind == "concurrency" else None,
            }
        ),
        "native": {"config": config},
    }


def _length(length: Length) -> _Data:
    if not length.stddev and length.min == length.max:
        return {"distribution": "fixed", "value": length.mean}
    return {
        "distribution": "gaussian",
        "value": length.mean,
        "std_dev": length.stddev,
        "min": length.min,
        "max": length.max,
    }


def _statistics(figures: Distribution | None, units: str) -> _Data | None:
    if figures is None:
        return None
    percentiles = {theirs: figures[ours] for ours, theirs in _PERCENTILES.items()}
    return {"units": units} | {name: figures[name] for name in ("mean", "stddev", "min", "max")} | percentiles


def _known(data: _Data) -> _Data:
    return {name: value for name, value in data.items() if value is not None}


def _digest(data: t.Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
