# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Daemons that outlive the command which starts them, found again without pid files.

Each daemon carries a mark in its environment. So a stale file can never kill a stranger, a reboot leaves nothing to
clean up, and a command that was killed right after starting a daemon has still left it where it will be found.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from .common import ClusterError, tail, wait_until

_MARK = "TEST_CLUSTER_PROCESS"


class Processes:
    """The daemons of the cluster in ``directory``; their output goes to ``directory/logs/NAME.log``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def log(self, name: str) -> Path:
        return self.directory / "logs" / f"{name}.log"

    def start(self, name: str, command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> int:
        """Start a daemon and return its pid.

        :param env: added to the environment of this process.
        """
        log = self.log(name)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(
                [str(word) for word in command],
                env={**os.environ, **(env or {}), _MARK: f"{name}@{self.directory}"},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        # For a moment the new program has no environment yet, and would count as dead.
        while process.poll() is None and self._name(process.pid) != name:
            time.sleep(0.001)
        return process.pid

    def running(self) -> dict[str, list[int]]:
        """The pids of each daemon, its children among them. Empty: nothing of this cluster runs."""
        found: dict[str, list[int]] = {}
        for pid in sorted(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
            if name := self._name(pid):
                found.setdefault(name, []).append(pid)
        return found

    def _name(self, pid: int) -> str:
        """The daemon that this process belongs to; empty when it is a stranger or no more."""
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            return ""
        for variable in environment.split(b"\0"):
            name, _equals, value = variable.partition(b"=")
            if name == _MARK.encode():
                daemon, _at, directory = os.fsdecode(value).partition("@")
                return daemon if directory == str(self.directory) else ""
        return ""

    def assert_running(self, names: Sequence[str]) -> None:
        """:raises ClusterError: one of them died; with the tail of its log."""
        running = self.running()
        for name in names:
            if name not in running:
                raise ClusterError(f"{name} died. The end of {self.log(name)}:\n{tail(self.log(name))}")

    def stop(self, name: str, seconds: float = 10) -> None:
        """Ask a daemon to stop, and kill what is left after so many seconds."""
        self._signal(name, signal.SIGTERM)
        with contextlib.suppress(ClusterError):
            wait_until(lambda: not self._alive(name), name, seconds, interval=0.05)
            return
        self._signal(name, signal.SIGKILL)
        wait_until(lambda: not self._alive(name), f"the end of {name} after SIGKILL", seconds, interval=0.05)

    def _alive(self, name: str) -> bool:
        return name in self.running()  # the environment of a zombie is empty, so it counts as gone

    def _signal(self, name: str, number: signal.Signals) -> None:
        for pid in self.running().get(name, ()):
            with _handle(pid) as handle:
                # The pid may have gone to another process since; the handle cannot.
                if handle is not None and self._name(pid) == name:
                    with contextlib.suppress(ProcessLookupError):
                        signal.pidfd_send_signal(handle, number)


@contextlib.contextmanager
def _handle(pid: int) -> Iterator[int | None]:
    """A pidfd; None when there is no such process any more."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield handle
    finally:
        os.close(handle)
