# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``vllm bench serve``, which is in every image of vLLM: vllm/benchmarks/serve.py and lib/endpoint_request_func.py.

What it does differently: with random prompts it has the server ignore the end of an answer, so that each is as long as
asked for. When it is at its limit it reports its own queue as the latency of the server, and says nothing of it
but in ``queue_times``, which the schedule delay is made of here.
"""

from __future__ import annotations

import http
import json
import math
import typing as t
from pathlib import Path

from ..workload import Dataset, Workload
from .engine import PROMPTS, Command, Engine, Job, Sent, is_fixed, kind_of, lines, load, requests_of, strange

_RESULT = "result.json"
_BACKENDS = {
    "openai_completions": ("openai", "/v1/completions"),
    "openai_chat": ("openai-chat", "/v1/chat/completions"),
}
_COLUMNS = ("start_times", "latencies", "queue_times", "ttfts", "itls", "input_lens", "output_lens", "errors")
#: It knows an answer that is no success by the phrase of its status.
_STATUSES = {status.phrase: status.value for status in http.HTTPStatus}


class VllmBench(Engine):
    name = "vllm_bench"
    image = "vllm/vllm-openai:v0.33.0"
    clock = "monotonic"
    one_process = True
    private: t.ClassVar[t.Mapping[str, tuple[str, ...]]] = {_RESULT: ("generated_texts",)}

    def refusals(self, workload: Workload) -> list[str]:
        if workload.protocol not in _BACKENDS:
            return [f"does not speak {workload.protocol}"]
        found = []
        if not workload.stream:
            found.append("always streams")
        if any(stage.kind == "concurrency" and stage.requests is None for stage in workload.stages):
            found.append("ends a stage with a concurrency by its requests, not by a duration")
        lengths = (workload.data.input_tokens, workload.data.output_tokens)
        if not all(is_fixed(length) for length in lengths if length):
            found.append("has no normal distribution of lengths")
        return found

    def prompts(self, dataset: Dataset, workload: Workload) -> str:
        return lines({"prompt": prompt} for prompt in dataset.prompts)

    def step(self, workload: Workload, command: Command, job: Job) -> tuple[dict[str, str], list[str]]:
        backend, path = _BACKENDS[workload.protocol]
        options: dict[str, t.Any] = {
            "backend": backend,
            "base-url": workload.endpoint,
            "endpoint": path,
            "model": workload.model,
            "tokenizer": job.tokenizer or workload.model,
            **_data(workload, job),
            **_load(workload, command),
            "seed": command.seed,
            # It would send a request before the first one, and wait for ten minutes.
            "ready-check-timeout-sec": 0,
            "percentile-metrics": "ttft,tpot,itl,e2el",
            "result-dir": f"{job.results}/{command.name}",
            "result-filename": _RESULT,
        }
        argv = ["vllm", "bench", "serve", "--save-result", "--save-detailed", "--disable-tqdm"]
        if workload.data.input_tokens is None:
            argv += ["--disable-shuffle", "--skip-chat-template"]
        argv += [text for name, value in options.items() for text in (f"--{name}", str(value))]
        if workload.extra_body:
            # The last word on the payload: _update_payload_common() in lib/endpoint_request_func.py.
            argv += ["--extra-body", json.dumps(dict(workload.extra_body))]
        if workload.headers:
            argv += ["--header", *(f"{name}={value}" for name, value in workload.headers.items())]
        return {}, argv

    def read(self, place: Path) -> t.Iterator[Sent]:
        path = place / _RESULT
        result = load(path, self.name)
        try:
            for row in zip(*(result[name] for name in _COLUMNS), strict=True):
                yield _sent(dict(zip(_COLUMNS, row, strict=True)))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise strange(path, self.name, error) from error


def _data(workload: Workload, job: Job) -> dict[str, t.Any]:
    output = round(workload.data.output_tokens.mean)
    if workload.data.input_tokens is None:
        return {"dataset-name": "custom", "dataset-path": f"{job.files}/{PROMPTS}", "custom-output-len": output}
    return {
        "dataset-name": "random",
        "random-input-len": round(workload.data.input_tokens.mean),
        "random-output-len": output,
        "random-range-ratio": 0,
    }


def _load(workload: Workload, command: Command) -> dict[str, t.Any]:
    stage = command.stage
    if stage.kind == "concurrency":
        return {"request-rate": "inf", "max-concurrency": stage.concurrency, "num-prompts": stage.requests}
    return {
        "request-rate": stage.rate,
        # Of the gamma distribution of the gaps: 1 makes a Poisson process.
        "burstiness": 1 if workload.arrival == "poisson" else math.inf,
        "max-concurrency": workload.max_in_flight,
        "num-prompts": requests_of(stage),
    }


def _sent(row: t.Mapping[str, t.Any]) -> Sent:
    """Of the columns of one request."""
    start = row["start_times"]
    times = []
    if row["ttfts"]:
        times.append(start + row["ttfts"])
        for gap in row["itls"]:
            times.append(times[-1] + gap)
    status, error, message = _outcome(row["errors"])
    return Sent(
        scheduled=start - row["queue_times"],
        start=start,
        end=start + row["latencies"],
        times=times,
        isl=row["input_lens"],
        # The server's, if it tells; the tool does not say which.
        osl=row["output_lens"],
        status=status,
        error=error,
        message=message,
    )


def _outcome(failure: str) -> tuple[int | None, str, str]:
    """HTTP status, kind of the error and message."""
    if not failure:
        return 200, "", ""
    if failure in _STATUSES:
        return _STATUSES[failure], "http", failure
    # Else it is a traceback, whose last line names the exception.
    name = failure.strip().rpartition("\n")[2].partition(":")[0].rpartition(".")[2]
    return None, kind_of(name), name[:100]
