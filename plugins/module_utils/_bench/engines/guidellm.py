# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""GuideLLM, of the vLLM project: https://github.com/vllm-project/guidellm, 0.8.1, whose options are others than 0.6's.

What it does differently: it has the server ignore the end of an answer, so that each is as long as asked for. It keeps
the times of the first and the last token of a request alone: there is no ITL. It sends prompts of a file once.
"""

from __future__ import annotations

import itertools
import re
import typing as t
from pathlib import Path

from ..workload import Dataset, Length, Stage, Workload
from .engine import PROMPTS, Command, Engine, Job, Sent, encode, is_fixed, kind_of, lines, load, requests_of, strange

_REPORT = "benchmarks.json"
_ROUTES = {"openai_completions": "/v1/completions", "openai_chat": "/v1/chat/completions"}
_STATUS = re.compile(r"\b([45]\d\d)\b")


class GuideLLM(Engine):
    name = "guidellm"
    image = "ghcr.io/vllm-project/guidellm:v0.8.1"
    clock = "time"
    key = "GUIDELLM__SPEC__BACKEND__API_KEY"
    private: t.ClassVar[t.Mapping[str, tuple[str, ...]]] = {
        _REPORT: ("request_args", "output", "reasoning_output", "tool_calls", "traceback")
    }

    def refusals(self, workload: Workload) -> list[str]:
        if workload.protocol not in _ROUTES:
            return [f"does not speak {workload.protocol}"]
        found = []
        if workload.data.type != "synthetic":
            if not is_fixed(workload.data.output_tokens):
                found.append("has one length for the answers to prompts of a file")
            if any(_count(stage) is None for stage in workload.stages):
                found.append("sends prompts of a file once, and how many a duration takes is not known")
        return found

    def prompts(self, dataset: Dataset, workload: Workload) -> str:
        most = max(_count(stage) or 0 for stage in workload.stages)
        count = round(workload.data.output_tokens.mean)
        enough = itertools.islice(itertools.cycle(dataset.prompts), max(most, workload.warmup_requests))
        return lines({"prompt": prompt, "output_tokens_count": count} for prompt in enough)

    def step(self, workload: Workload, command: Command, job: Job) -> tuple[dict[str, str], list[str]]:
        file = f"{command.name}.json"
        extras = _extras(workload)
        config = {
            "spec": {
                "backend": {
                    "kind": "openai_http",
                    "target": workload.endpoint,
                    "model": workload.model,
                    "request_format": _ROUTES[workload.protocol],
                    "stream": workload.stream,
                    "timeout": workload.request_timeout,
                    "timeout_connect": workload.connect_timeout,
                    "verify": True,
                    "http2": False,
                    # Whether the endpoint answers is asked before.
                    "validate_backend": False,
                    **({"extras": extras} if extras else {}),
                },
                "profile": _profile(workload, command.stage),
                "constraints": [_end(command.stage)],
                "tokenizer": {"kind": "huggingface_auto", "model": job.tokenizer or workload.model},
                **_data(workload, job),
                "seed": {"kind": "static", "value": command.seed},
                "outputs": [{"kind": "json", "path": f"{job.results}/{command.name}/{_REPORT}"}],
            }
        }
        return {file: encode(config)}, ["guidellm", "run", "--config", f"{job.files}/{file}", "--disable-console"]

    def read(self, place: Path) -> t.Iterator[Sent]:
        path = place / _REPORT
        report = load(path, self.name)
        try:
            for benchmark in report["benchmarks"]:
                for kind, requests in benchmark["requests"].items():
                    for request in requests or ():
                        yield _sent(request, kind)
        except (KeyError, TypeError, AttributeError) as error:
            raise strange(path, self.name, error) from error


def _extras(workload: Workload) -> dict[str, t.Any]:
    """What is added to each request: GenerationRequestArguments in guidellm/schemas/request.py."""
    extras = {"headers": dict(workload.headers), "body": dict(workload.extra_body)}
    return {name: value for name, value in extras.items() if value}


def _count(stage: Stage) -> int | None:
    """How many requests a stage sends; None when the server decides."""
    return requests_of(stage) if stage.kind == "rate" else stage.requests


def _profile(workload: Workload, stage: Stage) -> dict[str, t.Any]:
    if stage.kind == "concurrency":
        return {"kind": "concurrent", "streams": [stage.concurrency]}
    return {"kind": workload.arrival, "rate": [stage.rate], "max_concurrency": workload.max_in_flight}


def _end(stage: Stage) -> dict[str, t.Any]:
    count = _count(stage)
    return (
        {"kind": "max_duration", "seconds": stage.duration}
        if count is None
        else {"kind": "max_requests", "count": count}
    )


def _data(workload: Workload, job: Job) -> dict[str, t.Any]:
    data = workload.data
    if data.input_tokens is not None:
        lengths = {**_length("prompt_tokens", data.input_tokens), **_length("output_tokens", data.output_tokens)}
        return {"data": [{"kind": "synthetic_text", **lengths}]}
    columns = {"text_column": "prompt", "output_tokens_count_column": "output_tokens_count"}
    return {
        "data": [{"kind": "json_file", "path": f"{job.files}/{PROMPTS}"}],
        "data_column_mapper": {"kind": "generative_column_mapper", "column_mappings": columns},
    }


def _length(name: str, length: Length) -> dict[str, int]:
    if is_fixed(length):
        return {name: round(length.mean)}
    return {
        name: round(length.mean),
        f"{name}_stdev": round(length.stddev),
        f"{name}_min": length.min,
        f"{name}_max": length.max,
    }


def _sent(request: t.Mapping[str, t.Any], kind: str) -> Sent:
    """Raises KeyError, TypeError or AttributeError when it is no request of the report."""
    info = request["info"]
    timings = info["timings"]
    start = timings["request_start"] or timings["resolve_start"]
    first = timings["first_token_iteration"]
    status, error, message = _outcome(kind, info["error"] or "")
    return Sent(
        scheduled=timings["targeted_start"],
        start=start,
        end=timings["request_end"] or timings["resolve_end"],
        times=() if first is None else (first,),
        isl=request["input_metrics"]["text_tokens"],
        # The server's, if it tells; the tool does not say which.
        osl=request["output_metrics"]["text_tokens"] or timings["token_iterations"],
        status=status,
        error=error,
        message=message,
    )


def _outcome(kind: str, failure: str) -> tuple[int | None, str, str]:
    """HTTP status, kind of the error and message."""
    if kind == "successful":
        return 200, "", ""
    if kind == "incomplete":
        return None, "cancelled", ""
    if found := _STATUS.search(failure):
        return int(found[1]), "http", ""
    return None, kind_of(failure), ""
