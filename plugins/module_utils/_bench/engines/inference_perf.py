# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""inference-perf, of Kubernetes' SIGs: https://github.com/kubernetes-sigs/inference-perf, its docs/config.md.

What it does differently: its constant arrivals have random gaps that add up to the duration (ConstantLoadTimer in
loadgen/load_timer.py), which is what others call Poisson arrivals of a known number. A closed loop fills up over a
second (main_cli() in main.py), so that one of few requests may never be full. It makes prompts for completions alone
(get_supported_apis() of its generators), and takes a stream that breaks off with an error of the server or a chunk of
nonsense for a success.
"""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

from ..workload import Length, Stage, Workload
from .engine import PACKAGE, Command, Engine, Job, Sent, encode, kind_of, load, requests_of, server_message, strange

_REPORT = "per_request_lifecycle_metrics.json"
_HTTP = re.compile(r"HTTP Error (\d{3})")


class InferencePerf(Engine):
    name = "inference_perf"
    image = "quay.io/inference-perf/inference-perf:v0.7.0"
    clock = "monotonic"

    def refusals(self, workload: Workload) -> list[str]:
        if workload.protocol not in {"openai_completions", "openai_chat"}:
            return [f"does not speak {workload.protocol}"]
        found = []
        if workload.protocol == "openai_chat":
            found.append("makes no random prompts for chat completions")
        if workload.data.type != "synthetic":
            found.append("reads no file of prompts")
        if any(stage.kind == "concurrency" and stage.requests is None for stage in workload.stages):
            found.append("ends a stage with a concurrency by its requests, not by a duration")
        # to_request_body() in its apis/completion.py has no place for anything else.
        if workload.extra_body.keys() - {"ignore_eos"}:
            found.append("adds nothing but ignore_eos to a request")
        rates = [stage for stage in workload.stages if stage.kind == "rate"]
        if any(not (requests_of(stage) / stage.asked).is_integer() for stage in rates):
            found.append("sends at a rate for whole seconds only")
        return found

    def arrival(self, workload: Workload) -> str:
        return "poisson"

    def step(self, workload: Workload, command: Command, job: Job) -> tuple[dict[str, str], list[str]]:
        stage, file = command.stage, f"{command.name}.yaml"
        config = {
            "load": self._load(workload, stage, command.seed, job.cores),
            "api": {
                "type": "completion",
                "streaming": workload.stream,
                **({"headers": dict(workload.headers)} if workload.headers else {}),
            },
            "server": {
                "type": "vllm",
                "model_name": workload.model,
                "base_url": workload.endpoint,
                "ignore_eos": bool(workload.extra_body.get("ignore_eos", False)),
            },
            "tokenizer": {"pretrained_model_name_or_path": job.tokenizer or workload.model},
            "data": {
                "type": "random",
                "input_distribution": _distribution(t.cast("Length", workload.data.input_tokens)),
                "output_distribution": _distribution(workload.data.output_tokens),
            },
            "report": {
                "request_lifecycle": {
                    "summary": False,
                    "per_stage": True,
                    "per_request": True,
                    # Prompts and answers are never written down.
                    "per_request_fields": {"request": False, "response": False, "response_chunks": False},
                },
            },
            "storage": {"local_storage": {"path": f"{job.results}/{command.name}"}},
        }
        argv = ["python3", "-m", f"{PACKAGE}.engines.inside.inference_perf", "--config_file", f"{job.files}/{file}"]
        return {file: encode(config)}, argv

    def _load(self, workload: Workload, stage: Stage, seed: int, cores: int) -> dict[str, t.Any]:
        common = {
            "num_workers": cores,
            "worker_max_tcp_connections": workload.max_in_flight,
            "request_timeout": workload.request_timeout,
            "base_seed": seed,
        }
        if stage.kind == "concurrency":
            stages = [{"concurrency_level": stage.concurrency, "num_requests": stage.requests}]
            return {"type": "concurrent", "stages": stages, **common}
        paced = {"rate": stage.asked, "duration": round(requests_of(stage) / stage.asked)}
        at_once = -(-workload.max_in_flight // cores)
        return {"type": workload.arrival, "stages": [paced], "worker_max_concurrency": at_once, **common}

    def read(self, place: Path) -> t.Iterator[Sent]:
        path = place / _REPORT
        entries = load(path, self.name)
        try:
            for entry in entries:
                yield _sent(entry)
        except (KeyError, TypeError, AttributeError) as error:
            raise strange(path, self.name, error) from error


def _distribution(length: Length) -> dict[str, t.Any]:
    return {"mean": length.mean, "std_dev": length.stddev, "min": length.min, "max": length.max}


def _sent(entry: t.Mapping[str, t.Any]) -> Sent:
    """Raises KeyError, TypeError or AttributeError when it is no entry of the report."""
    info = entry["info"]
    metrics = info["response_metrics"] or {}
    usage = metrics.get("server_usage") or {}
    status, error, message = _outcome(entry["error"])
    return Sent(
        scheduled=entry["scheduled_time"],
        start=entry["start_time"],
        end=entry["end_time"],
        # Not output_token_times: those are made up from the tokens of its own count.
        times=metrics.get("chunk_times") or (),
        isl=usage.get("prompt_tokens", info["input_tokens"] or None),
        osl_server=usage.get("completion_tokens"),
        osl=None if "chunk_times" in metrics else metrics.get("output_tokens"),
        status=status,
        error=error,
        message=message,
    )


def _outcome(error: t.Mapping[str, str] | None) -> tuple[int | None, str, str]:
    """HTTP status, kind of the error and message."""
    if not error:
        return 200, "", ""
    kind, message = error["error_type"], error["error_msg"]
    if found := _HTTP.fullmatch(kind):
        return int(found[1]), "http", server_message(message)
    return None, kind_of(kind), kind
