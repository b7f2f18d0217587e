# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine as a program: ``python -m modelops_transfer sync request.json``.

The request is JSON, from a file or standard input, and may leave credentials to the environment or to files. Progress
is one JSON object per line on standard error; at the end comes one line ``{"result": {...}}`` on standard output, which
can be told from progress also where both streams end in one log. ``--termination-log`` names a file that is given the
result in at most 4096 bytes, as Kubernetes reads it from a container that has ended.

Processes that share a sync can use one request: ``--shard`` and ``--group`` take the place of the options in it.

Exit status: 0 done, 1 failed, 2 bad input, 3 somebody else is at work there, 4 refused or not found, 143 stopped by
SIGTERM. After 2 and 4 another try changes nothing.
"""

from __future__ import annotations

import argparse
import gc
import json
import signal
import sys
import threading
import typing as t

from .errors import AccessError, InputError, LockedError, NotFoundError, StoppedError, TransferError, describe_error
from .outcome import termination_message
from .run import progress_data, run_inspect, run_job, run_remove

_STATUSES = {
    InputError.__name__: 2,
    LockedError.__name__: 3,
    AccessError.__name__: 4,
    NotFoundError.__name__: 4,
    StoppedError.__name__: 143,
}


def _arguments(argv: t.Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="modelops_transfer", description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("action", choices=("sync", "inspect", "remove"))
    parser.add_argument("request", help="file with the JSON request, - for standard input")
    parser.add_argument("--check", action="store_true", help="only predict what would change")
    parser.add_argument("--shard", type=int, metavar="INDEX", help="sync: which of the processes this one is, from 0")
    parser.add_argument("--group", metavar="ID", help="sync: what the processes of this run have in common")
    parser.add_argument("--termination-log", metavar="FILE", help="write the result in short to this file at the end")
    parser.add_argument("--verify", action="store_true", help="inspect: read everything back and compare hashes")
    return parser.parse_args(argv)


def _read(arguments: argparse.Namespace) -> dict[str, t.Any]:
    try:
        if arguments.request == "-":
            request = json.load(sys.stdin)
        else:
            with open(arguments.request, encoding="utf-8") as stream:
                request = json.load(stream)
    except (OSError, ValueError) as error:
        raise InputError(f"The request cannot be read: {error}.") from error
    if not isinstance(request, dict):
        raise InputError("The request is not a JSON object.")
    given = {key: value for key in ("shard", "group") if (value := getattr(arguments, key)) is not None}
    if given:
        options = request.get("options") or {}
        if not isinstance(options, dict):
            raise InputError("The options are not a mapping.")
        request["options"] = options | given
    return request


def _run(arguments: argparse.Namespace, stop: threading.Event) -> dict[str, t.Any]:
    request = _read(arguments)
    if arguments.action == "inspect":
        return {"models": run_inspect(request, verify=arguments.verify)}
    if arguments.action == "remove":
        return run_remove(request, check=arguments.check)

    def report(progress: object) -> None:
        sys.stderr.write(json.dumps(progress_data(progress)) + "\n")

    return run_job(request, check=arguments.check, on_progress=report, stop=stop)


def _status(result: dict[str, t.Any]) -> int:
    if not result.get("failed"):
        return 0
    if result.get("error"):
        return _STATUSES.get(result["error"]["kind"], 1)
    statuses = {_STATUSES.get(target["error"]["kind"], 1) for target in result["destinations"] if target["error"]}
    return statuses.pop() if len(statuses) == 1 else 1


def _write_termination_log(path: str, result: dict[str, t.Any]) -> None:
    try:
        with open(path, "wb") as stream:
            stream.write(termination_message(result))
    except OSError as error:
        sys.stderr.write(json.dumps({"warning": f"{path} cannot be written: {error.strerror}."}) + "\n")


def main(argv: t.Sequence[str] | None = None) -> int:
    """Run one request and return the exit status."""
    # A run makes hardly any cycles; the usual threshold would look for them hundreds of times.
    gc.set_threshold(50_000)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_args: stop.set())
    arguments = _arguments(argv)
    try:
        result = _run(arguments, stop)
    except TransferError as error:
        result = {"failed": True, "error": describe_error(error)}
    if arguments.termination_log:
        _write_termination_log(arguments.termination_log, result)
    sys.stdout.write(json.dumps({"result": result}) + "\n")
    return _status(result)


if __name__ == "__main__":
    raise SystemExit(main())
