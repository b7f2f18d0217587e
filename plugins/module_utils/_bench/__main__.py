# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine ``builtin`` as a program: ``python -m modelops_bench run workload.json --out FOLDER``.

``preflight WORKLOAD`` only asks whether there is anything to measure. ``run WORKLOAD`` does so first, unless told not
to, sends the load and writes the reports. ``report FOLDER`` writes the reports of a run again, also of one that was
killed.

The workload is JSON, from a file or standard input, without credentials: an API key comes from ``--api-key-file`` or
the environment (``OPENAI_API_KEY``). Progress is one JSON object per line on standard error; at the end comes one line
``{"result": {...}}`` on standard output, which can be told from progress also where both streams end in one log.

Exit status: 0 done and no objective missed, 1 failed, 2 bad input, 4 the endpoint is missing, refuses, or answers
without tokens, 5 an objective was missed or a search found no load, 6 it cannot be told whether one was missed, 143 stopped by SIGTERM or SIGINT,
with what was measured kept. After 2 another try changes nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import signal
import sys
import threading
import typing as t
import uuid
from pathlib import Path

from . import results
from . import workload as workloads
from .builtin import run as builtin
from .builtin.preflight import preflight
from .errors import BenchError, InputError, StoppedError
from .workload import Workload

_VERDICTS = {"failed": 5, "inconclusive": 6}


def _arguments(argv: t.Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="modelops_bench", description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("action", choices=("run", "preflight", "report"))
    parser.add_argument("subject", help="file with the JSON workload, - for standard input; report: folder of the run")
    parser.add_argument(
        "--out", type=Path, default=Path("results"), metavar="FOLDER", help="run: folder of all results"
    )
    parser.add_argument("--run-id", metavar="ID", help="run: name of its folder (made up)")
    parser.add_argument(
        "--no-preflight", action="store_true", help="run: do not ask first whether the endpoint answers"
    )
    parser.add_argument("--about", type=Path, metavar="FILE", help="JSON object that tells the reports of the server")
    parser.add_argument("--api-key-file", type=Path, metavar="FILE", help="file that holds the API key")
    parser.add_argument("--ca-bundle", metavar="FILE", help="PEM file of the authorities to trust")
    parser.add_argument("--insecure", action="store_true", help="do not verify the certificate of the endpoint")
    return parser.parse_args(argv)


def _read(path: str) -> Workload:
    if path != "-":
        return workloads.read(Path(path))
    try:
        return workloads.parse(json.load(sys.stdin))
    except ValueError as error:
        raise InputError(f"The workload cannot be read: {error}.", hint="Give JSON.") from error


def _api_key(path: Path | None) -> str | None:
    if path is None:
        return os.environ.get("OPENAI_API_KEY") or None
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError) as error:
        cause = getattr(error, "strerror", None) or "it is no text"
        raise InputError(f"The API key cannot be read from {path}: {cause}.", hint="Check the file.") from error


def _about(path: Path | None) -> dict[str, t.Any]:
    if path is None:
        return {}
    try:
        about = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"What is said about the server cannot be read: {error}.", hint="Give JSON.") from error
    if not isinstance(about, dict):
        raise InputError(f"{path} is no JSON object.", hint="Give names and values.")
    return about


def _report(place: Path, about: t.Any) -> dict[str, t.Any]:
    """Writes the reports. Returns the summary without what only the files need."""
    summary = results.report(place, about=about, warn=_warn)
    for stage in summary["stages"]:
        del stage["repeats"]
    return {"run_id": place.name, "folder": str(place), "summary": summary}


def _warn(message: str) -> None:
    sys.stderr.write(json.dumps({"warning": message}) + "\n")


def _run(arguments: argparse.Namespace, stop: threading.Event) -> dict[str, t.Any]:
    about = _about(arguments.about)
    if arguments.action == "report":
        return _report(Path(arguments.subject), about)
    workload = _read(arguments.subject)
    access = {
        "api_key": _api_key(arguments.api_key_file),
        "ca_bundle": arguments.ca_bundle,
        "verify": not arguments.insecure,
    }
    asked: dict[str, t.Any] = {}
    if arguments.action == "preflight" or not arguments.no_preflight:
        asked = dataclasses.asdict(preflight(workload, **access))
        about.setdefault("round_trip_ms", asked["round_trip_ms"])
    if arguments.action == "preflight":
        return {"preflight": asked}
    run_id = arguments.run_id or uuid.uuid4().hex

    def report(progress: builtin.Progress) -> None:
        sys.stderr.write(json.dumps(dataclasses.asdict(progress)) + "\n")

    try:
        builtin.run(workload, arguments.out / run_id, run_id=run_id, stop=stop, report=report, **access)
    except StoppedError:
        with contextlib.suppress(InputError):  # stopped before anything had ended
            _report(arguments.out / run_id, about)
        raise
    return {"preflight": asked or None, **_report(arguments.out / run_id, about)}


def main(argv: t.Sequence[str] | None = None) -> int:
    """Run one workload and return the exit status."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_args: stop.set())
    status = 0
    try:
        result = _run(_arguments(argv), stop)
        status = _VERDICTS.get(result.get("summary", {}).get("verdict"), 0)
    except BenchError as error:
        status = error.status
        result = {"failed": True, "error": error.as_data()}
    sys.stdout.write(json.dumps({"result": result}) + "\n")
    return status


if __name__ == "__main__":
    raise SystemExit(main())
