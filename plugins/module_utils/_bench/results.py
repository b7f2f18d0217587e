# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The folder of a run: what an engine has left there, and what is made of it.

``<folder>/<run_id>/`` holds of an engine ``requests.jsonl``, ``stages.json``, ``workload.json`` and
``environment.json``; ``server.jsonl`` may stand beside them, with samples of the server's metrics as
``{"t": seconds, "running": requests, "waiting": requests, "kv_used": share}``. From these come ``summary.json``,
``report.json`` (one Benchmark Report of llm-d per stage), ``junit.xml`` and ``index.html``.
"""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

from . import benchmark_report, compare, junit, records, report_data, stages, stats
from . import workload as workloads
from .errors import InputError
from .html.page import render
from .records import storage_error, write_text
from .report_data import About


def report(
    place: Path,
    *,
    about: About | None = None,
    earlier: t.Sequence[compare.Run] = (),
    baseline: str = "",
    warn: t.Callable[[str], None] | None = None,
) -> dict[str, t.Any]:
    """Makes the reports of the run in ``place`` and returns its summary, as ``summary.json`` has it.

    ``about`` adds to what ``environment.json`` tells, and ``earlier`` are summaries of other runs (summaries()). What
    a killed run has left is reported as far as it goes. Raises InputError when the folder holds no run or the runs
    cannot be compared, StorageError when files cannot be read or written.
    """
    workload = workloads.read(place / "workload.json")
    told = _about(_read_object(place / "environment.json")) | (about or {})
    limits = stats.limits_of_requests(workload.objectives)
    collected = stats.collect(records.read(place / records.FILE, warn=warn), limits)
    results = stats.summarise(collected, stages.read(place / stages.FILE), workload)
    if not results:
        raise InputError(
            f"The run in {place} has no requests: it ended before the first one.", hint="Run the benchmark again."
        )
    whole = t.cast("About", told)
    judged = report_data.judge(results, workload, whole)
    summary = report_data.summary_data(place.name, judged, workload, whole)
    page = report_data.page_data(
        summary, judged, workload, whole, earlier=earlier, baseline=baseline, server=_samples(place / "server.jsonl")
    )
    decisive = report_data.deciding(judged, workload)
    verdicts = [verdict for stage in decisive for verdict in stage.slo]
    invalid = {stage.result.summary.stage: stage.reasons for stage in decisive}
    write_text(place / "summary.json", _json(summary))
    write_text(
        place / "report.json",
        _json([benchmark_report.report(place.name, stage, workload, whole) for stage in judged]),
    )
    write_text(place / "junit.xml", junit.render(place.name, invalid, verdicts))
    write_text(place / "index.html", render(page))
    return summary


def summaries(folder: Path) -> list[dict[str, t.Any]]:
    """The summaries of all runs in a folder that have one. Raises StorageError, InputError."""
    try:
        paths = sorted(folder.glob("*/summary.json"))
    except OSError as error:
        raise storage_error(folder, error) from error
    return [_read_object(path) for path in paths]


def _about(environment: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What ``environment.json`` tells, under the names of About."""
    clock = environment.get("clock") or {}
    told = {
        "started_at": environment.get("started_at"),
        "generator": environment.get("engine"),
        "generator_host": _of_shards(environment, "client_pod", "host"),
        "generator_node": _of_shards(environment, "client_node"),
        "generator_image": environment.get("client_image"),
        "generator_cores": environment.get("cores"),
        "cluster": environment.get("cluster"),
        "namespace": environment.get("namespace"),
        "round_trip_ms": environment.get("round_trip_ms"),
        "clock": " ".join(text for text in (clock.get("name"), clock.get("implementation")) if text) or None,
    }
    return {name: value for name, value in told.items() if value is not None}


def _of_shards(environment: t.Mapping[str, t.Any], *names: str) -> str | None:
    """What the Pods that sent the load say under the first of these names that they have, each thing once."""
    told = environment.get("shards") or [environment]
    said = [next((one[name] for name in names if one.get(name)), None) for one in told]
    return ", ".join(dict.fromkeys(one for one in said if one)) or None


def _samples(path: Path) -> list[dict[str, t.Any]]:
    """The server's metrics, where somebody asked for them; a last line that is not whole is left out."""
    try:
        lines = path.read_text("utf-8").split("\n")[:-1]
        return [json.loads(line) for line in lines]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise storage_error(path, error) from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON by lines: {error}.", hint="Remove it to report without it.") from error


def _read_object(path: Path) -> dict[str, t.Any]:
    """A JSON object from a file; an empty one when there is no file."""
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise storage_error(path, error) from error
    except ValueError as error:
        raise InputError(f"{path} is no JSON: {error}.", hint="Take the file as the run has written it.") from error
    if not isinstance(data, dict):
        raise InputError(f"{path} is no JSON object.", hint="Take the file as the run has written it.")
    return data


def _json(data: t.Any) -> str:
    return json.dumps(data, indent=1) + "\n"
