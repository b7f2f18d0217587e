# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine as a program: ``python -m modelops_transfer sync request.json``.

The request is JSON, from a file or standard input, and may leave credentials to the environment. The result is
one JSON object on standard output; progress is one JSON object per line on standard error.

Exit status: 0 done, 1 failed, 2 bad input, 3 somebody else is at work there, 143 stopped by SIGTERM.
"""

from __future__ import annotations

import argparse
import gc
import json
import signal
import sys
import threading
import typing as t

from .errors import InputError, LockedError, StoppedError, TransferError
from .run import describe_error, progress_data, run_inspect, run_remove, run_sync


def _arguments(argv: t.Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="modelops_transfer", description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("action", choices=("sync", "inspect", "remove"))
    parser.add_argument("request", help="file with the JSON request, - for standard input")
    parser.add_argument("--check", action="store_true", help="only predict what would change")
    parser.add_argument("--verify", action="store_true", help="inspect: read everything back and compare hashes")
    return parser.parse_args(argv)


def _run(arguments: argparse.Namespace, stop: threading.Event) -> dict[str, t.Any]:
    try:
        if arguments.request == "-":
            request = json.load(sys.stdin)
        else:
            with open(arguments.request, encoding="utf-8") as stream:
                request = json.load(stream)
        if not isinstance(request, dict):
            raise InputError("The request is not a JSON object.")
    except (OSError, ValueError) as error:
        raise InputError(f"The request cannot be read: {error}.") from error
    if arguments.action == "inspect":
        return {"models": run_inspect(request, verify=arguments.verify)}
    if arguments.action == "remove":
        return run_remove(request, check=arguments.check)

    def report(progress: object) -> None:
        sys.stderr.write(json.dumps(progress_data(progress)) + "\n")

    return run_sync(request, check=arguments.check, on_progress=report, stop=stop)


def main(argv: t.Sequence[str] | None = None) -> int:
    """Run one request and return the exit status."""
    # A run makes hardly any cycles; the usual threshold would look for them hundreds of times.
    gc.set_threshold(50_000)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_args: stop.set())
    try:
        result = _run(_arguments(argv), stop)
        status = 1 if result.get("failed") else 0
        kinds = [target["error"]["kind"] for target in result.get("destinations", ()) if target["error"]]
        if kinds and set(kinds) == {LockedError.__name__}:
            status = 3
    except TransferError as error:
        result = {"failed": True, "error": describe_error(error)}
        statuses: dict[type[TransferError], int] = {InputError: 2, LockedError: 3, StoppedError: 143}
        status = statuses.get(type(error), 1)
    sys.stdout.write(json.dumps(result, indent=1) + "\n")
    return status


if __name__ == "__main__":
    raise SystemExit(main())
