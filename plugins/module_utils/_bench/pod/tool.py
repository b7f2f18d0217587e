# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the commands of a load tool one after the other, each in a folder of its own, and notes what the tool cost.

``steps.json`` in the folder of the results tells of every command that has ended: when it ran, and what its processes
had used of the CPU by when. Whatever the tool prints goes to a log, without the values of secrets.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import typing as t
from collections.abc import Callable
from pathlib import Path

from .. import engines, report_data
from ..builtin.run import Progress, environment
from ..engines.engine import WARMUP_INDEX, Command, plan, requests_of
from ..errors import StoppedError, ToolError
from ..records import write_text
from ..workload import Workload
from . import STEPS

_SAMPLE = 0.5
#: Seconds that a tool has to end when it is asked to.
_GRACE = 10.0
#: How much of the log of a tool that fails is shown, in bytes.
_SHOWN = 1 << 16
_LINE = 1 << 16


class Tool:
    """A load tool with its commands.

    :param plan: ``{engine, cores, private, secrets, steps: [{name, argv}]}``, as engines.render() makes it.
    :param origin: the reading of the monotonic clock at which the run begins.
    :param about: more of the environment of the run.
    """

    def __init__(
        self,
        plan: t.Mapping[str, t.Any],
        workload: Workload,
        results: Path,
        *,
        origin: float,
        stop: threading.Event,
        report: Callable[[Progress], None],
        about: t.Mapping[str, t.Any],
    ) -> None:
        self._plan = plan
        self._workload = workload
        self._results = results
        self._origin = origin
        self._stop = stop
        self._report = report
        self._about = about
        self._log = results / f"{plan['engine']}.log"
        # Longer ones first, as one may be a part of another.
        known = {os.environ.get(name, "").encode() for name in plan["secrets"]} - {b""}
        self._secrets = sorted(known, key=len, reverse=True)

    def run(self) -> None:
        """All commands, or of a search those that it needs, until one fails.

        :raises InputError: of a search, what the tool has left cannot be read.
        :raises ToolError: one has failed; those after it did not run.
        :raises StoppedError: ``stop`` was set; what had ended until then is there.
        :raises StorageError: the results cannot be written.
        """
        engine = self._plan["engine"]
        write_text(self._results / "workload.json", json.dumps(self._workload.as_data(), indent=1) + "\n")
        about = {**environment(engine, self._origin), **self._about}
        write_text(self._results / "environment.json", json.dumps(about, indent=1) + "\n")
        told: dict[str, t.Any] = {
            "engine": engine,
            "cores": self._plan["cores"],
            "origin": {"monotonic": self._origin, "time": time.time() - (time.monotonic() - self._origin)},
            "steps": [],
        }
        steps = {step["name"]: step["argv"] for step in self._plan["steps"]}
        for command in plan(self._workload, self._is_good):
            place = self._results / command.name
            place.mkdir(parents=True)
            status, cpu = self._run(steps[command.name], place, command)
            for file, names in self._plan["private"].items():
                _strip(place / file, names)
            self._hide(place)
            stopped = self._stop.is_set()
            # Some tools end well when they are stopped, but the stage has not.
            told["steps"].append(
                {"name": command.name, "status": StoppedError.status if stopped else status, "cpu": cpu}
            )
            write_text(self._results / STEPS, json.dumps(told) + "\n")
            if stopped:
                raise StoppedError("The run was stopped.", hint="What had ended until then is kept.")
            if status:
                self._show_log()
                raise ToolError(
                    f"{engine} ended with status {status} in {command.name}.", hint=f"Look at {self._log.name}."
                )

    def _is_good(self, stage: int) -> bool:
        found = engines.normalise(self._plan["engine"], self._results, self._workload, run_id="")
        return report_data.is_good(stage, *found, self._workload)

    def _run(self, argv: t.Sequence[str], place: Path, command: Command) -> tuple[int, list[tuple[float, float]]]:
        """Status, and pairs of a monotonic time and the seconds of CPU used until then."""
        try:
            # A session of its own tells its processes from all others, also those that it leaves to themselves.
            process = subprocess.Popen(
                argv,
                cwd=place,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise ToolError(
                f"{argv[0]} cannot be run: {error.strerror}.", hint="Take the image that the engine has by default."
            ) from error
        logger = threading.Thread(target=self._keep_log, args=(process.stdout,), daemon=True)
        logger.start()
        begun = time.monotonic()
        kill_at: float | None = None
        cpu: list[tuple[float, float]] = []
        while True:
            now = time.monotonic()
            cpu.append((round(now, 3), _used(process.pid)))
            self._report(self._progress(command, now - begun))
            if self._stop.is_set() and kill_at is None:
                process.terminate()
                kill_at = now + _GRACE
            if kill_at is not None and now >= kill_at:
                _kill(process.pid)
            with contextlib.suppress(subprocess.TimeoutExpired):
                status = process.wait(_SAMPLE)
                break
        # One that has left others behind would go on to load the endpoint.
        _kill(process.pid)
        logger.join(_GRACE)
        return status, cpu

    def _keep_log(self, stream: t.IO[bytes]) -> None:
        with self._log.open("ab", buffering=0) as log:
            while line := stream.readline(_LINE):
                log.write(self._hidden(line))

    def _hidden(self, said: bytes) -> bytes:
        for secret in self._secrets:
            said = said.replace(secret, b"***")
        return said

    def _hide(self, place: Path) -> None:
        """Servers repeat a key that they refuse, and tools keep what servers say."""
        for path in place.rglob("*"):
            if path.is_file():
                data = path.read_bytes()
                if (hidden := self._hidden(data)) != data:
                    path.write_bytes(hidden)

    def _show_log(self) -> None:
        """On standard error, which the log of the Pod has as well."""
        with self._log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _SHOWN))
            sys.stderr.write(log.read().decode(errors="replace"))

    def _progress(self, command: Command, spent: float) -> Progress:
        """Tools tell nothing until they have ended."""
        stage, workload = command.stage, self._workload
        span = requests_of(stage) / stage.asked if stage.kind == "rate" else stage.duration
        return Progress(
            run_id="",
            repeat=command.repeat,
            repeats=workload.repeats,
            stage=command.index,
            stages=len(workload.stages),
            state="warmup" if command.index == WARMUP_INDEX else "sending",
            kind=stage.kind,
            asked=stage.asked,
            elapsed=round(time.monotonic() - self._origin, 3),
            remaining=None if span is None else round(max(0.0, span - spent), 1),
        )


def _kill(session: int) -> None:
    with contextlib.suppress(OSError):  # nobody is left
        os.killpg(session, signal.SIGKILL)


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
