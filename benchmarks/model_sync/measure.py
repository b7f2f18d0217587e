# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a program and says what it cost: time, CPU, memory and disk of the whole process tree."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_INTERVAL = 0.05
_TICK = os.sysconf("SC_CLK_TCK")
_BLOCK = 512  # getrusage counts disk output in these, https://man7.org/linux/man-pages/man2/getrusage.2.html
_TAIL = 3000


class BenchmarkError(Exception):
    """The benchmark cannot go on. The text is meant for the user."""


@dataclasses.dataclass(frozen=True)
class Command:
    """What to run. `environment` is all of it, nothing is inherited."""

    arguments: Sequence[str]
    environment: Mapping[str, str]
    request: Path | None = None  # becomes standard input


@dataclasses.dataclass(frozen=True)
class Usage:
    """Seconds and bytes. `servers` is the CPU of the servers meanwhile, `foreign` that of everything else."""

    wall: float
    user: float
    system: float
    peak_memory: int
    written: int
    servers: Mapping[str, float]
    foreign: float

    @property
    def cpu(self) -> float:
        return self.user + self.system


def run(command: Command, directory: Path, *, servers: Mapping[str, int], timeout: float) -> Usage:
    """Run a program to its end. `servers` are pids by name.

    Its output goes to memory: it must not count as bytes written to disk. Raises BenchmarkError when it fails.
    """
    output = os.memfd_create("output")
    with open(output, "r+b") as log, (command.request or Path(os.devnull)).open("rb") as request:
        servers_before = {name: cpu_of(pid) for name, pid in servers.items()}
        own_before, busy_before, started = time.process_time(), _busy(), time.monotonic()
        process = subprocess.Popen(
            list(command.arguments),
            stdin=request,
            stdout=log,
            stderr=log,
            cwd=directory,
            env=dict(command.environment),
            start_new_session=True,
        )
        with _Watcher(process.pid, timeout) as watcher:
            _pid, status, usage = os.wait4(process.pid, 0)
            wall = time.monotonic() - started
        busy, own = _busy() - busy_before, time.process_time() - own_before
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            log.seek(0)
            said = log.read().decode(errors="replace")[-_TAIL:]
            what = f"ran longer than {timeout:g} s" if watcher.expired else f"ended with status {process.returncode}"
            raise BenchmarkError(f"{' '.join(command.arguments)} {what}. It said:\n{said}")
    server_cpu = {name: cpu_of(pid) - servers_before[name] for name, pid in servers.items()}
    client = usage.ru_utime + usage.ru_stime
    return Usage(
        wall=wall,
        user=usage.ru_utime,
        system=usage.ru_stime,
        peak_memory=watcher.peak,
        written=usage.ru_oublock * _BLOCK,
        servers=server_cpu,
        # The kernel counts this in ticks and the others exactly, so the rest may come out a little below zero.
        foreign=max(0.0, busy - client - own - sum(server_cpu.values())),
    )


class _Watcher:
    """Follows the memory of a process tree from a thread, and ends it when its time is over.

    The peak is the largest sum of the proportional set sizes (PSS) of all processes at one moment, or the kernel's
    high-water mark of the largest process where that is higher: a short peak falls between two looks.
    """

    def __init__(self, pid: int, timeout: float) -> None:
        self.peak = 0
        self.expired = False
        self._pid = pid
        self._deadline = time.monotonic() + timeout
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _Watcher:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_exception: object) -> None:
        self._done.set()
        self._thread.join()
        if kind is not None:  # interrupted, so the program still runs
            self._kill()
            with suppress(ChildProcessError):
                os.waitpid(self._pid, 0)

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)

    def _watch(self) -> None:
        while True:
            pids = list(_tree(self._pid))
            together = sum(_memory(pid, "smaps_rollup", "Pss:") for pid in pids)
            largest = max((peak_memory_of(pid) for pid in pids), default=0)
            self.peak = max(self.peak, together, largest)
            if time.monotonic() > self._deadline and not self.expired:
                self.expired = True
                self._kill()
            if self._done.wait(_INTERVAL):
                return


def _tree(pid: int) -> Iterator[int]:
    """A process and its descendants."""
    yield pid
    try:
        children = [text for task in Path(f"/proc/{pid}/task").iterdir() for text in _children(task)]
    except OSError:
        return
    for child in children:
        yield from _tree(int(child))


def _children(task: Path) -> list[str]:
    with suppress(OSError):
        return (task / "children").read_text(encoding="ascii").split()
    return []


def _memory(pid: int, file: str, field: str) -> int:
    with suppress(OSError), open(f"/proc/{pid}/{file}", encoding="ascii", errors="replace") as stream:
        for line in stream:
            if line.startswith(field):
                return int(line.split()[1]) * 1024
    return 0


def peak_memory_of(pid: int) -> int:
    """The most bytes a running process ever held resident; 0 when it is gone."""
    return _memory(pid, "status", "VmHWM:")


def cpu_of(pid: int) -> float:
    """CPU seconds that a running process has used so far."""
    # The command name is in parentheses and may itself hold spaces and parentheses.
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def _busy() -> float:
    """CPU seconds that all processors together have not been idle, including what the host took away."""
    with open("/proc/stat", encoding="ascii") as stream:
        user, nice, system, _idle, _wait, irq, softirq, steal = (int(text) for text in stream.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / _TICK


def disk_is_counted(directory: Path) -> bool:
    """Whether the kernel counts what is written to the file system of `directory`; it does not for tmpfs."""
    path, size = directory / "probe", 4 << 20
    command = Command(["dd", "if=/dev/zero", f"of={path}", f"bs={size}", "count=1"], dict(os.environ))
    try:
        return run(command, directory, servers={}, timeout=60).written >= size
    finally:
        path.unlink(missing_ok=True)
