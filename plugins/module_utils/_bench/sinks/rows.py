# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The folder of a run, whole or as a kill has left it, as rows of the tables of :mod:`schema`."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import json
import typing as t
from pathlib import Path

from .. import compare, records
from .. import workload as workloads
from ..errors import InputError
from ..records import Record, storage_error
from ..stats import keeps, limits_of_requests
from ..workload import Workload
from .schema import FIGURES, MESSAGE, REQUESTS

#: By column, its value or None.
Row: t.TypeAlias = "dict[str, t.Any]"
Warn: t.TypeAlias = "t.Callable[[str], None]"

_PATHS = {"openai_completions": "/v1/completions", "openai_chat": "/v1/chat/completions"}
_KEY = ("model", "server", "accelerator", "topology", "workload")
_STAGE = ("stage", "kind", "asked", "arrival", "sent", "completed", "failed", "cancelled")
_JSON = frozenset(column.name for column in MESSAGE if column.type == "JSON")


@dataclasses.dataclass(frozen=True)
class Run:
    """A run with all that its folder tells, but for its records."""

    place: Path
    workload: Workload
    started_at: datetime.datetime
    environment: t.Mapping[str, t.Any]
    #: Empty, as are the reports, where no report was made of the run.
    summary: t.Mapping[str, t.Any]
    reports: t.Sequence[t.Mapping[str, t.Any]]

    @property
    def run_id(self) -> str:
        return self.place.name

    @property
    def clients(self) -> list[str | None]:
        """Pods or hosts that sent the load; which one a request, the number of it tells (shards.merge())."""
        told = self.environment.get("shards") or [self.environment]
        return [one.get("client_pod") or one.get("host") for one in told]

    @property
    def chips(self) -> int | None:
        """Of the server, where the run's report tells."""
        for stack in (self.reports[0]["scenario"].get("stack") or ()) if self.reports else ():
            if "accelerator" in stack["standardized"]:
                return int(stack["standardized"]["accelerator"]["count"])
        return None


def read(place: Path) -> Run:
    """The run in a folder. Raises InputError when it holds none, StorageError when it cannot be read."""
    environment = _read_json(place / "environment.json", {})
    try:
        started_at = datetime.datetime.fromisoformat(environment["started_at"].replace("Z", "+00:00"))
        return Run(
            place,
            workloads.read(place / "workload.json"),
            started_at.astimezone(datetime.timezone.utc),
            environment,
            _read_json(place / "summary.json", {}),
            _read_json(place / "report.json", []),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(
            f"{place} does not tell when its run began: {error!r}.", hint="Take the folder as the run has written it."
        ) from error


def of_requests(run: Run, *, skip: int = 0, text: bool = False, warn: Warn | None = None) -> t.Iterator[Row]:
    """One row per request, without the first ``skip``; prompts and answers only with ``text``.

    The attributes name the row for good: whoever gets one twice can tell. Raises as records.read().
    """
    limits = limits_of_requests(run.workload.objectives)
    shared = _shared(run)
    found = records.read(run.place / records.FILE, warn=warn)
    for number, record in enumerate(itertools.islice(found, skip, None), start=skip):
        yield shared | _of_stage(run, record) | _measured(run, record, limits, number) | (_text(record) if text else {})


def count(run: Run, *, skip: int = 0, warn: Warn | None = None) -> int:
    """How many rows of_requests() gives."""
    return sum(1 for _record in itertools.islice(records.read(run.place / records.FILE, warn=warn), skip, None))


def _shared(run: Run) -> Row:
    """What all rows of a run have in common, and every other column as None."""
    key = run.summary.get("key") or {}
    return dict.fromkeys((column.name for column in REQUESTS), None) | {
        "test_id": run.run_id,
        "run_id": run.run_id,
        "request_type": "POST",
        "request_name": _PATHS.get(run.workload.protocol, "/generate"),
        "model_method": run.workload.protocol,
        "engine": run.environment.get("engine"),
        "cluster": run.environment.get("cluster"),
        "namespace": run.environment.get("namespace"),
        "accelerator": key.get("accelerator"),
        "topology": key.get("topology"),
        "chips": run.chips,
    }


def _of_stage(run: Run, record: Record) -> Row:
    stage = run.workload.stages[record.stage]
    by_rate = stage.kind == "rate"
    return {
        "stage": record.stage,
        "requested_rate": stage.asked if by_rate else None,
        "concurrency": None if by_rate else int(stage.asked),
    }


def _measured(run: Run, record: Record, limits: t.Mapping[str, float], number: int) -> Row:
    start = run.started_at + datetime.timedelta(seconds=record.t_start)
    counts = bool(limits) and record.error != "cancelled"
    return {
        "attributes": {"run_id": run.run_id, "row": str(number)},
        "client_pod": run.clients[record.seq % len(run.clients)],
        "response_time": record.e2e_ms,
        "start_time": start.strftime("%Y-%m-%d %H:%M:%S"),
        "exception": "" if record.ok else record.message or record.error,
        "response_length": None if record.answer is None else len(record.answer.encode()),
        "model_name": record.model or run.workload.model or None,
        "num_output_tokens": record.osl if record.osl_server is None else record.osl_server,
        "num_input_tokens": record.isl,
        "schedule_delay_ms": record.schedule_delay_ms,
        "ttft_ms": record.ttft_ms,
        "tpot_ms": record.tpot_ms,
        "itl_p50_ms": record.itl_p50_ms,
        "itl_p99_ms": record.itl_p99_ms,
        "e2e_ms": record.e2e_ms,
        "http_status": record.status,
        "error_kind": record.error or None,
        "finish_reason": record.finish_reason,
        "slo_met": record.ok and keeps(record, limits) if counts else None,
    }


def _text(record: Record) -> Row:
    return {
        "request": None if record.prompt is None else {"prompt": record.prompt},
        "response": None if record.answer is None else {"text": record.answer},
    }


def of_stages(run: Run) -> list[Row]:
    """One row per stage with its report; nothing where no report was made of the run.

    Raises InputError when the reports are not those of one run.
    """
    if not run.summary:
        return []
    if len(run.reports) != len(run.summary["stages"]):
        raise InputError(
            f"report.json and summary.json in {run.place} do not tell the same stages.", hint="Report the run again."
        )
    shared: Row = {name: run.summary[name] for name in ("run_id", "name", "stopped", "verdict")}
    shared |= {name: run.summary["key"].get(name) for name in _KEY}
    shared |= {"started_at": run.started_at.isoformat(timespec="milliseconds"), "chips": run.chips}
    return [
        shared
        | {name: stage[name] for name in _STAGE}
        | {"repeats": len(stage["repeats"]), "valid": not stage["reasons"], "report": report}
        | {name: compare.value_of(stage, name) for name in FIGURES}
        for stage, report in zip(run.summary["stages"], run.reports, strict=False)
    ]


def message(row: Row, fields: t.Container[str] | None = None) -> str:
    """A row of requests as a message of :func:`schema.proto` in JSON.

    ``fields`` are those that the schema of the topic knows, when it is an older one. What is None is left out.
    """
    told = {
        column.name: json.dumps(row[column.name]) if column.name in _JSON else row[column.name]
        for column in MESSAGE
        if row[column.name] is not None and (fields is None or column.name in fields)
    }
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))


def line(row: Row) -> str:
    """A row of either table as a line of JSON that a load job takes. What is None is left out."""
    told = {name: value for name, value in row.items() if value is not None}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")) + "\n"


def _read_json(path: Path, missing: t.Any) -> t.Any:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return missing
    except OSError as error:
        raise storage_error(path, error) from error
    except ValueError as error:
        raise InputError(f"{path} is no JSON: {error}.", hint="Take the file as the run has written it.") from error
