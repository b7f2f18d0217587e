# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The programs that are compared: how each is installed, started, and what it reports."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from measure import BenchmarkError, Command

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
OURS = "builtin"
#: Pinned: options and files of results change from one version to the next.
VERSIONS = {"aiperf": "0.13.0", "inference-perf": "0.7.0", "locust": "2.47.0"}
_LEAST_PYTHON = {"aiperf": (3, 11), "inference-perf": (3, 12), "locust": (3, 11)}
_MOST_PYTHON = {"aiperf": (3, 13)}
# Nobody else collects these, and one that has nothing to ask ends the run on a busy machine.
_AIPERF_LEAVES_OUT = ("--no-server-metrics", "--no-gpu-telemetry")
_PACKAGE = "ansible_collections.modelops.serving.plugins.module_utils._bench"


@dataclasses.dataclass(frozen=True)
class Load:
    """Requests per second, for so many seconds, each for a stream of so many tokens."""

    url: str
    model: str
    rate: float
    duration: float
    tokens: int = 64
    prompt: int = 32

    @property
    def requests(self) -> int:
        return round(self.rate * self.duration)


@dataclasses.dataclass(frozen=True)
class Reported:
    """What a program says: milliseconds, and requests that ended well."""

    ttft_p50: float
    ttft_p99: float
    completed: int


class Contenders:
    """Makes commands. Environments of the peers are kept in ``cache``, what they leave behind goes to ``directory``."""

    def __init__(self, directory: Path, cache: Path, pythons: list[str]) -> None:
        self._directory = directory
        self._cache = cache
        self._pythons = pythons
        self._tokenizer = cache / "tokenizer"
        self._home = directory / "home"
        self._home.mkdir()
        #: Why a peer takes no part.
        self.missing: dict[str, str] = {}
        self.names = [OURS]

    def install(self, names: list[str]) -> None:
        """An environment for each peer, where there is a Python for it.

        :raises BenchmarkError: one could not be installed.
        """
        for name in names:
            python = self._python(name)
            if python is None:
                least = ".".join(map(str, _LEAST_PYTHON[name]))
                self.missing[name] = f"needs Python {least} or a little newer, which was not found (--python)"
                continue
            place = self._cache / f"{name}-{VERSIONS[name]}"
            if not (place / "installed").exists():
                _call(python, "-m", "venv", "--clear", str(place))
                _call(str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", f"{name}=={VERSIONS[name]}")
                (place / "installed").touch()
            self.names.append(name)
        makers = [name for name in self.names if name in {"aiperf", "inference-perf"}]
        if makers and not (self._tokenizer / "tokenizer.json").exists():
            _call(self._program(makers[0], "python"), str(HERE / "make_tokenizer.py"), str(self._tokenizer))

    def _python(self, name: str) -> str | None:
        """The first one whose version the peer takes."""
        usual = [f"python3.{minor}" for minor in (12, 13, 11)]
        for python in [*self._pythons, sys.executable, *filter(None, map(shutil.which, usual))]:
            asked = subprocess.run(
                [python, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True, check=False
            )
            if asked.returncode:
                continue  # a shim of a version that is not installed
            version = tuple(map(int, asked.stdout.split()))
            if _LEAST_PYTHON[name] <= version <= _MOST_PYTHON.get(name, (3, 99)):
                return python
        return None

    def _program(self, name: str, program: str) -> str:
        return str(self._cache / f"{name}-{VERSIONS[name]}" / "bin" / program)

    def command(self, name: str, load: Load, place: Path) -> Command:
        """Send the load, and leave the results in ``place``, which is there and empty."""
        arguments, more = {
            OURS: self._ours,
            "aiperf": self._aiperf,
            "inference-perf": self._inference_perf,
            "locust": self._locust,
        }[name](load, place)
        environment = {"PATH": os.environ["PATH"], "HOME": str(self._home), "TMPDIR": str(self._directory)}
        return Command(arguments, environment | {"TOKENIZERS_PARALLELISM": "false"} | more)

    def _ours(self, load: Load, place: Path) -> tuple[list[str], Mapping[str, str]]:
        workload = {
            "endpoint": load.url,
            "protocol": "openai_completions",
            "model": load.model,
            "data": {"type": "synthetic", "input_tokens": load.prompt, "output_tokens": load.tokens},
            "stages": [{"rate": load.rate, "duration": load.duration}],
            "warmup": {"requests": 16},
        }
        path = place / "workload.json"
        path.write_text(json.dumps(workload), encoding="utf-8")
        arguments = ["-m", _PACKAGE, "run", str(path), "--out", str(place), "--run-id", "run"]
        return [sys.executable, *arguments], {"PYTHONPATH": os.pathsep.join(sys.path)}

    def _aiperf(self, load: Load, place: Path) -> tuple[list[str], Mapping[str, str]]:
        options = {
            "--model": load.model,
            "--url": load.url,
            "--endpoint-type": "completions",
            "--request-rate": load.rate,
            "--arrival-pattern": "constant",
            "--request-count": load.requests,
            "--isl": load.prompt,
            "--osl": load.tokens,
            "--warmup-request-count": 16,
            "--workers-max": len(os.sched_getaffinity(0)),
            "--tokenizer": self._tokenizer,
            "--random-seed": 1,
            "--ui": "none",
            "--artifact-dir": place,
        }
        given = [str(part) for pair in options.items() for part in pair]
        return [self._program("aiperf", "aiperf"), "profile", "--streaming", *_AIPERF_LEAVES_OUT, *given], {}

    def _inference_perf(self, load: Load, place: Path) -> tuple[list[str], Mapping[str, str]]:
        def fixed(tokens: int) -> dict[str, int]:
            return {"min": tokens, "max": tokens, "mean": tokens, "std_dev": 0, "total_count": load.requests}

        config = {
            "load": {
                "type": "constant",
                "stages": [{"rate": load.rate, "duration": round(load.duration)}],
                "num_workers": len(os.sched_getaffinity(0)),
            },
            "api": {"type": "completion", "streaming": True},
            "server": {"type": "vllm", "model_name": load.model, "base_url": load.url, "ignore_eos": True},
            "tokenizer": {"pretrained_model_name_or_path": str(self._tokenizer)},
            "data": {
                "type": "random",
                "input_distribution": fixed(load.prompt),
                "output_distribution": fixed(load.tokens),
            },
            "report": {"request_lifecycle": {"summary": True, "per_stage": True, "per_request": False}},
            "storage": {"local_storage": {"path": str(place / "reports")}},
        }
        path = place / "config.yml"
        path.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
        return [self._program("inference-perf", "inference-perf"), "--config_file", str(path)], {}

    def _locust(self, load: Load, place: Path) -> tuple[list[str], Mapping[str, str]]:
        users = max(1, round(load.rate))
        arguments = [
            *("-f", str(HERE / "locustfile.py"), "--headless", "--only-summary", "--host", load.url),
            *("--users", str(users), "--spawn-rate", str(users), "--run-time", f"{load.duration:g}s"),
            *("--stop-timeout", "10", "--csv", str(place / "locust")),
        ]
        more = {
            "BENCH_MODEL": load.model,
            "BENCH_TOKENS": str(load.tokens),
            "BENCH_RATE_PER_USER": str(load.rate / users),
        }
        return [self._program("locust", "locust"), *arguments], more

    def reported(self, name: str, place: Path) -> Reported:
        """:raises BenchmarkError: the program has left no results."""
        try:
            return {OURS: _ours, "aiperf": _aiperf, "inference-perf": _inference_perf, "locust": _locust}[name](place)
        except (OSError, KeyError, ValueError, StopIteration) as error:
            raise BenchmarkError(f"{name} has left no results that can be read in {place}: {error!r}") from error


def _ours(place: Path) -> Reported:
    (stage,) = json.loads((place / "run" / "summary.json").read_bytes())["stages"]
    ttft = stage["latency"]["ttft"]
    return Reported(ttft["p50"], ttft["p99"], stage["completed"])


def _aiperf(place: Path) -> Reported:
    said = json.loads((place / "profile_export_aiperf.json").read_bytes())
    ttft = said["time_to_first_token"]
    return Reported(ttft["p50"], ttft["p99"], int(said["request_count"]["avg"]))


def _inference_perf(place: Path) -> Reported:
    said = json.loads((place / "reports" / "stage_0_lifecycle_metrics.json").read_bytes())["successes"]
    ttft = said["latency"]["time_to_first_token"]
    return Reported(ttft["median"] * 1000, ttft["p99"] * 1000, said["count"])


def _locust(place: Path) -> Reported:
    with (place / "locust_stats.csv").open(encoding="utf-8", newline="") as stream:
        row = next(row for row in csv.DictReader(stream) if row["Name"] == "ttft")
    return Reported(float(row["50%"]), float(row["99%"]), int(row["Request Count"]))


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"{' '.join(command)} ended with status {done.returncode}:\n{done.stderr[-2000:]}")
