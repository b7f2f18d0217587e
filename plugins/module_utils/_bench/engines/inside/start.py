# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the commands of a plan one after the other, each in a folder of its own, and notes what the tool cost.

``python3 -m modelops_bench.engines.inside.start plan.json RESULTS``. The exit status is that of the first command that
fails; those after it do not run. ``steps.json`` in the folder of the results tells of every command that has ended:
when it ran, and what its processes had used of the CPU by when.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import typing as t
from pathlib import Path

from ..engine import STEPS

_SAMPLE = 0.5


def run(plan: t.Mapping[str, t.Any], results: Path) -> int:
    """``plan`` is {engine, cores, private, steps: [{name, argv}]}. Returns the exit status."""
    begun = {"monotonic": time.monotonic(), "time": time.time()}
    told: dict[str, t.Any] = {"engine": plan["engine"], "cores": plan["cores"], "origin": begun, "steps": []}
    status = 0
    for step in plan["steps"]:
        place = results / step["name"]
        place.mkdir(parents=True)
        status, cpu = _run(step["argv"], place)
        for file, names in plan["private"].items():
            _strip(place / file, names)
        told["steps"].append({"name": step["name"], "status": status, "cpu": cpu})
        (results / STEPS).write_text(json.dumps(told) + "\n", encoding="utf-8")
        if status:
            break
    return status


def _run(argv: t.Sequence[str], place: Path) -> tuple[int, list[tuple[float, float]]]:
    """Status, and pairs of a monotonic time and the seconds of CPU used until then."""
    # A session of its own tells its processes from all others, also those that it leaves to themselves.
    process = subprocess.Popen(argv, cwd=place, start_new_session=True)
    cpu: list[tuple[float, float]] = []
    previous = signal.signal(signal.SIGTERM, lambda number, _frame: process.send_signal(number))
    try:
        while True:
            cpu.append((round(time.monotonic(), 3), _used(process.pid)))
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(_SAMPLE), cpu
    finally:
        signal.signal(signal.SIGTERM, previous)


def _strip(path: Path, names: t.Sequence[str]) -> None:
    """Take what is private out of a file of JSON, or remove it."""
    if not path.exists():
        return
    try:
        data = json.loads(path.read_bytes()) if names else None
    except ValueError:  # it was not written to its end, and nobody can read it
        data = None
    if data is None:
        path.unlink()
    else:
        path.write_text(json.dumps(_without(data, set(names))), encoding="utf-8")


def _without(data: t.Any, names: t.AbstractSet[str]) -> t.Any:
    """JSON without the values of these names, however deep."""
    if isinstance(data, dict):
        return {name: _without(value, names) for name, value in data.items() if name not in names}
    return [_without(item, names) for item in data] if isinstance(data, list) else data


def _used(session: int) -> float:
    """Seconds of CPU that the processes of a session have used, with their children that have ended. See proc(5)."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # has just ended
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                ticks += sum(map(int, fields[11:15]))
    return round(ticks / os.sysconf("SC_CLK_TCK"), 2)


def main() -> int:
    """Run the plan that the arguments name."""
    plan, results = sys.argv[1:]
    return run(json.loads(Path(plan).read_bytes()), Path(results))


if __name__ == "__main__":
    raise SystemExit(main())
