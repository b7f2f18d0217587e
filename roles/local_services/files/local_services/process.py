# SPDX-License-Identifier: GPL-3.0-or-later
"""Start a process detached, wait until it serves, and stop it by its pid - never by its name."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

LOOPBACK = "127.0.0.1"
_POLL_SECONDS = 0.05
_LOG_TAIL_BYTES = 4096


class ServiceError(Exception):
    """A service could not be started, stopped or reached. The text is meant for the user."""


def private_directory(path: Path) -> Path:
    """Create `path` with mode 0700 unless it is there already, and return it."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def write_private(path: Path, text: str) -> None:
    """Replace `path` atomically with `text`, never readable by others, not even for a moment."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
    temporary.replace(path)


def port_is_free(port: int) -> bool:
    """Whether `port` can be bound on the loopback address right now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """`count` different ports that are free on the loopback address; all are held until all are found."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _number in range(count)]
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return [probe.getsockname()[1] for probe in probes]


def choose_port(wanted: int, previous: int | None = None) -> int:
    """The port to listen on: `wanted` if not 0, else the `previous` one if still free, else any free one.

    Raises ServiceError when a wanted port is taken.
    """
    if wanted:
        if not port_is_free(wanted):
            raise ServiceError(f"Port {wanted} on {LOOPBACK} is already in use; choose another one, or 0 for any.")
        return wanted
    if previous and port_is_free(previous):
        return previous
    return free_ports(1)[0]


def _start_mark(pid: int) -> str | None:
    """A text that differs for every process that ever had `pid`, or None when it does not run.

    A process that has ended but was not yet collected by its parent counts as not running.
    """
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self/stat").exists():
            return None
        return _start_mark_from_ps(pid)
    # The command name is in parentheses and may itself hold spaces and parentheses.
    fields = status.rpartition(")")[2].split()
    state, started = fields[0], fields[19]
    return None if state in ("Z", "X") and not _has_threads(pid) else f"{boot}:{started}"


def _has_threads(pid: int) -> bool:
    """Whether threads of a process outlive its first one: until they too have ended its ports are not free."""
    try:
        return len(os.listdir(f"/proc/{pid}/task")) > 1
    except FileNotFoundError:
        return False


def _start_mark_from_ps(pid: int) -> str | None:
    """The same for systems without /proc, such as macOS."""
    shown = subprocess.run(
        ["ps", "-o", "stat=", "-o", "lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C", "TZ": "UTC"},
    ).stdout.strip()
    if not shown:
        return None
    state, _mark, started = shown.partition(" ")
    return None if state.startswith("Z") else started.strip()


@dataclass(frozen=True)
class Daemon:
    """One background process, known by the files in its own directory.

    `<directory>/<name>.pid` holds the pid together with the start time of the process, so that a pid that was
    given to another process since is recognised and left alone. `<directory>/<name>.log` holds its output.
    """

    name: str
    directory: Path

    @property
    def pid_file(self) -> Path:
        return self.directory / f"{self.name}.pid"

    @property
    def log_file(self) -> Path:
        return self.directory / f"{self.name}.log"

    def pid(self) -> int | None:
        """The pid if the process that was started still runs, else None."""
        try:
            record = json.loads(self.pid_file.read_text(encoding="utf-8"))
            pid, started = int(record["pid"]), str(record["started"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        self._collect(pid)
        return pid if _start_mark(pid) == started else None

    def start(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
        """Start `command` in the directory, in a session of its own, and return its pid.

        `environment` is added to the current environment; secrets belong there or in files, not in `command`.
        Raises ServiceError when it runs already or cannot be executed.
        """
        running = self.pid()
        if running is not None:
            raise ServiceError(f"{self.name} already runs with pid {running}.")
        private_directory(self.directory)
        self.pid_file.unlink(missing_ok=True)
        log = os.open(self.log_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.fchmod(log, 0o600)
        try:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
                umask=0o077,
            )
        except OSError as error:
            raise ServiceError(f"Cannot run {command[0]}: {error.strerror}.") from error
        finally:
            os.close(log)
        # From here on the process is found by its pid file; it is meant to outlive this object.
        process.returncode = 0
        mark = _start_mark(process.pid)
        if mark is not None:
            write_private(self.pid_file, json.dumps({"pid": process.pid, "started": mark}))
        return process.pid

    def wait_ready(self, probe: Callable[[], str | None], timeout: float) -> None:
        """Wait until `probe` returns None; any text it returns says what is still missing.

        Raises ServiceError, with the end of the log, when the process exits or `timeout` seconds have passed;
        in the latter case the process is stopped first.
        """
        deadline = time.monotonic() + timeout
        while True:
            if self.pid() is None:
                self.pid_file.unlink(missing_ok=True)
                raise ServiceError(f"{self.name} exited before it was ready.{self._log_tail()}")
            missing = probe()
            if missing is None:
                return
            if time.monotonic() >= deadline:
                self.stop()
                raise ServiceError(f"{self.name} was not ready after {timeout:g} s: {missing}.{self._log_tail()}")
            time.sleep(_POLL_SECONDS)

    def stop(self, grace: float = 30.0) -> bool:
        """Stop the process: SIGTERM, up to `grace` seconds to end, then SIGKILL. True if it was running.

        A stale pid file is removed. Raises ServiceError when the process survives SIGKILL for 10 seconds.
        """
        pid = self.pid()
        if pid is not None:
            self._signal(pid, signal.SIGTERM)
            if not self._wait_gone(grace):
                self._signal(pid, signal.SIGKILL)
                if not self._wait_gone(10.0):
                    raise ServiceError(f"{self.name} (pid {pid}) does not end, not even after SIGKILL.")
        self.pid_file.unlink(missing_ok=True)
        return pid is not None

    def _wait_gone(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.pid() is not None:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True

    @staticmethod
    def _signal(pid: int, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):  # it ended by itself in between
            os.kill(pid, number)

    @staticmethod
    def _collect(pid: int) -> None:
        """Take the exit status if the process is a child of this one, so that it does not stay a zombie."""
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)

    def _log_tail(self) -> str:
        try:
            with self.log_file.open("rb") as stream:
                stream.seek(0, os.SEEK_END)
                stream.seek(max(0, stream.tell() - _LOG_TAIL_BYTES))
                tail = stream.read().decode("utf-8", errors="replace").strip()
        except FileNotFoundError:
            return ""
        return f" The end of {self.log_file}:\n{tail}" if tail else f" {self.log_file} is empty."
