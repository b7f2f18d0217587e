# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""AIPerf, of NVIDIA's Dynamo: https://github.com/ai-dynamo/aiperf, its docs/cli-options.md and config schema 2.0.

JetStream's ``/generate`` and the HTTP proxy of Saxml are asked by its template endpoint, which waits for whole answers:
JetStream streams JSON objects and no server-sent events, which it does not read. It takes a stream that breaks off with
an error of the server or a chunk of nonsense for a success, and the time at which it passes a request on to a worker for
the one it was due.
"""

from __future__ import annotations

import typing as t
from pathlib import Path

from ..workload import Dataset, Length, Stage, Workload
from .engine import (
    API_KEY,
    PROMPTS,
    Command,
    Engine,
    Job,
    Sent,
    encode,
    kind_of,
    lines,
    load_lines,
    requests_of,
    server_message,
)

_RECORDS = "profile_export.jsonl"
_ENDPOINTS = {"openai_completions": "completions", "openai_chat": "chat"}
#: What is asked, as Jinja templates of JSON, and where the text of an answer is, as JMESPath.
_SAXML = (
    '{"prompt": {{ text|tojson }}, "model_id": {{ model|tojson }}, '
    '"model_options": {"per_example_max_decode_steps": {{ max_tokens }}}}'
)
_JETSTREAM = '{"prompt": {{ text|tojson }}, "max_tokens": {{ max_tokens }}, "stream": false}'
_TEMPLATES = {"jetstream": (_JETSTREAM, "response"), "saxml": (_SAXML, "completions[0][0]")}
#: Prompts that are made before a stage whose number of requests the server decides.
_MOST_PROMPTS = 10_000
_NS = 1e-9


class AIPerf(Engine):
    name = "aiperf"
    image = "nvcr.io/nvidia/aiperf:0.13.0"
    clock = "time"
    # It writes down what it is going to ask.
    private: t.ClassVar[t.Mapping[str, tuple[str, ...]]] = {"inputs.json": ()}
    environment: t.ClassVar[t.Mapping[str, str]] = {"TOKENIZERS_PARALLELISM": "false"}

    def refusals(self, workload: Workload) -> list[str]:
        if workload.protocol in _TEMPLATES and workload.stream:
            return [f"does not read the stream of {workload.protocol}"]
        return []

    def prompts(self, dataset: Dataset, workload: Workload) -> str:
        return lines({"text": prompt} for prompt in dataset.prompts)

    def step(self, workload: Workload, command: Command, job: Job) -> tuple[dict[str, str], list[str]]:
        stage, file = command.stage, f"{command.name}.yaml"
        config = {
            "schemaVersion": "2.0",
            "randomSeed": command.seed,
            "benchmark": {
                # JetStream has one model and does not name it.
                "model": workload.model or workload.protocol,
                "endpoint": _endpoint(workload, job),
                "tokenizer": {"name": job.tokenizer or workload.model},
                "dataset": _dataset(workload, stage, job),
                "profiling": _profiling(workload, stage),
                "artifacts": {"dir": f"{job.results}/{command.name}", "records": ["jsonl"]},
                "runtime": {"ui": "none", "workers": job.cores},
                # What the server tells of itself is collected elsewhere.
                "serverMetrics": {"enabled": False},
                "gpuTelemetry": {"enabled": False},
            },
        }
        return {file: encode(config)}, ["aiperf", "profile", "--config", f"{job.files}/{file}"]

    def read(self, place: Path) -> t.Iterator[Sent]:
        return load_lines(place / _RECORDS, self.name, _sent)


def _endpoint(workload: Workload, job: Job) -> dict[str, t.Any]:
    endpoint: dict[str, t.Any] = {"urls": [workload.endpoint], "streaming": workload.stream}
    if workload.protocol in _TEMPLATES:
        body, field = _TEMPLATES[workload.protocol]
        endpoint |= {"type": "template", "path": "/generate", "template": {"body": body, "responseField": field}}
    else:
        endpoint |= {
            "type": _ENDPOINTS[workload.protocol],
            "useServerTokenCount": True,
            "useLegacyMaxTokens": True,
        }
    endpoint["timeout"] = workload.request_timeout
    if job.api_key:
        endpoint["apiKey"] = f"${{{API_KEY}}}"
    if workload.headers:
        endpoint["headers"] = dict(workload.headers)
    if workload.extra_body:
        # Every type of endpoint merges it into the payload: aiperf/endpoints, format_payload().
        endpoint["extra"] = dict(workload.extra_body)
    return endpoint


def _dataset(workload: Workload, stage: Stage, job: Job) -> dict[str, t.Any]:
    output = _length(workload.data.output_tokens)
    if workload.data.input_tokens is None:
        return {
            "type": "file",
            "path": f"{job.files}/{PROMPTS}",
            "format": "single_turn",
            "sampling": "sequential",
            "osl": output,
        }
    count = requests_of(stage) if stage.kind == "rate" else stage.requests or _MOST_PROMPTS
    return {
        "type": "synthetic",
        "entries": min(count, _MOST_PROMPTS),
        "isl": _length(workload.data.input_tokens),
        "osl": output,
    }


def _length(length: Length) -> dict[str, t.Any]:
    return {"mean": length.mean, "stddev": length.stddev, "min": length.min, "max": length.max}


def _profiling(workload: Workload, stage: Stage) -> dict[str, t.Any]:
    if stage.kind == "rate":
        phase = {"type": workload.arrival, "rate": stage.rate, "requests": requests_of(stage)}
        return phase | {"concurrency": workload.max_in_flight}
    end = {"requests": stage.requests} if stage.requests else {"duration": stage.duration}
    return {"type": "concurrency", "concurrency": stage.concurrency, **end}


def _sent(record: t.Mapping[str, t.Any]) -> Sent:
    """Raises KeyError, TypeError or AttributeError when it is no record of a request."""
    about, metrics = record["metadata"], record["metrics"]
    start = about["request_start_ns"] * _NS
    first = _value(metrics, "time_to_first_token")
    times = []
    if first is not None:
        times.append(start + first / 1000)
        for gap in _value(metrics, "inter_chunk_latency") or ():
            times.append(times[-1] + gap / 1000)
    status, error, message = _outcome(record.get("error"), cancelled=about.get("was_cancelled", False))
    return Sent(
        scheduled=(about.get("credit_issued_ns") or about["request_start_ns"]) * _NS,
        start=start,
        end=about["request_end_ns"] * _NS,
        times=times,
        isl=_value(metrics, "input_sequence_length"),
        osl_server=_value(metrics, "usage_completion_tokens"),
        osl=_value(metrics, "output_sequence_length"),
        status=status,
        error=error,
        message=message,
    )


def _value(metrics: t.Mapping[str, t.Any], name: str) -> t.Any:
    """In milliseconds or tokens; None when the tool has no such figure of the request."""
    return metrics[name]["value"] if name in metrics else None


def _outcome(error: t.Mapping[str, t.Any] | None, *, cancelled: bool) -> tuple[int | None, str, str]:
    """HTTP status, kind of the error and message."""
    if cancelled:
        return None, "cancelled", ""
    if not error:
        return 200, "", ""
    code, kind = error.get("code"), error.get("type") or ""
    # Exceptions have a code, too, where the server tells of an error within a stream. "Internal Server Error" is none.
    if code and code >= 400 and not (kind.isidentifier() and kind.endswith("Error")):
        return code, "http", server_message(error.get("message") or "") or kind
    if kind == "InvalidInferenceResultError":
        return 200, "no_tokens", ""
    return None, kind_of(kind), kind
