# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a module and prints its progress while it works, which a module cannot do by itself.

The module appends its progress to a file. With a local connection a thread reads that file while the module runs. With
``async`` and ``poll`` the file is read over the connection until the job has ended; the task executor then collects the
result as usual. Without the plugin the module does the same, in silence.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import tempfile
import threading
import time
import typing as t

from ansible import constants as C  # noqa: N812 - its name everywhere
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

display = Display()

_TAIL_SECONDS = 0.25
_UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B"))


def _unit(count: float) -> tuple[float, str]:
    return next((unit for unit in _UNITS if count >= unit[0]), _UNITS[-1])


def _scaled(count: float, unit: float, *, fine: bool) -> str:
    return f"{count / unit:.{1 if fine else 0}f}"


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def format_progress(data: t.Mapping[str, t.Any]) -> str | None:
    """One report of the module as a line for people; None where there is nothing to tell yet."""
    if "text" in data:
        return str(data["text"])
    phase, total, done = data["phase"], data["bytes_total"], data["bytes_done"]
    # Looking is not moving, and verifying is one request.
    if phase not in ("move", "publish") or not data["files_total"]:
        return None
    unit, name = _unit(total)
    fine = total < 10 * unit and unit > 1
    percent = 100 * done // total if total else 100
    parts = [
        f"{phase} {_scaled(done, unit, fine=fine)}/{_scaled(total, unit, fine=fine)} {name} ({percent} %)",
        f"{data['files_done']}/{data['files_total']} files",
    ]
    if phase == "move" and percent and data["rate"]:  # before that a rate tells of the first requests only
        unit, name = _unit(data["rate"])
        parts.append(f"{_scaled(data['rate'], unit, fine=data['rate'] < 10 * unit)} {name}/s")
        if data["remaining"] is not None:
            parts.append(f"{_duration(data['remaining'])} left")
    if data["retries"]:
        parts.append(f"{data['retries']} retries")
    return ", ".join(parts)


class _Tail:
    """Reads a file as it grows, in a thread, and shows each line; a context manager."""

    def __init__(self, path: str, show: t.Callable[[str], None]) -> None:
        self._path = path
        self._show = show
        self._rest = b""
        self._position = 0
        with contextlib.suppress(OSError):  # what is in it already is from earlier runs
            self._position = os.path.getsize(path)
        self._handlers: dict[int, t.Any] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="progress", daemon=True)

    def __enter__(self) -> _Tail:
        # A signal that this thread took would not wake the worker's main thread, which waits for the module, and the
        # worker would outlive an interrupted play. A thread begins with the mask of the one that starts it.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._thread.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._handlers[number] = signal.signal(number, self._interrupted)
        return self

    def __exit__(self, *_exception: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._done.set()
        self._thread.join()

    def _interrupted(self, number: int, _frame: object) -> None:
        """A worker that dies while this thread holds the queue of the display leaves ansible-playbook waiting for it."""
        self._done.set()
        self._thread.join(_TAIL_SECONDS)
        signal.signal(number, self._handlers[number])
        os.kill(os.getpid(), number)

    def _follow(self) -> None:
        while not self._done.wait(_TAIL_SECONDS):
            self._read()
        self._read()

    def _read(self) -> None:
        with contextlib.suppress(OSError), open(self._path, "rb") as stream:
            stream.seek(self._position)
            data = stream.read()
            self._position += len(data)
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                self._show(line.decode("utf-8", "replace"))


class ProgressAction(ActionBase):
    """For modules with the option ``progress_file``; of ``state``, ``name``, ``source`` and ``interval`` what they have."""

    _supports_check_mode = True
    _supports_async = True
    _prefix = ""
    _shown = ""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Run the module."""
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        wrap_async = bool(self._task.async_val) and not self._connection.has_native_async
        args = self._task.args
        if self._task.check_mode or self._task.no_log or args.get("state") == "absent":
            return self._module(args, task_vars, wrap_async=wrap_async)
        self._prefix = self._label(task_vars)
        if wrap_async:
            if self._task.poll > 0 and not self._is_become_unprivileged():
                return self._run_async(task_vars)
        elif self._connection.transport == "local" and not self._is_become_unprivileged():
            return self._run_local(task_vars)
        elif self._connection.transport != "local":
            display.display(
                f"{self._prefix}: progress is shown with a local connection, or with async and poll; "
                f"this is a {self._connection.transport} connection"
            )
        return self._module(args, task_vars, wrap_async=wrap_async)

    def _module(self, args: dict[str, t.Any], task_vars: dict[str, t.Any], *, wrap_async: bool) -> dict[str, t.Any]:
        return dict(self._execute_module(module_args=args, task_vars=task_vars, wrap_async=wrap_async))

    def _label(self, task_vars: t.Mapping[str, t.Any]) -> str:
        source = self._task.args.get("source")
        name = self._task.args.get("name") or (source.get("repo") if isinstance(source, dict) else None)
        return f"{self._task.action.rpartition('.')[2]} [{task_vars.get('inventory_hostname')}]" + (
            f" {name}" if name else ""
        )

    def _show(self, line: str) -> None:
        try:
            text = format_progress(json.loads(line))
        except (ValueError, KeyError, TypeError):
            return  # half a line, or a file that somebody else writes to as well
        if text is not None and text != self._shown:
            self._shown = text
            display.display(f"{self._prefix}: {text}")

    # -- local connections -------------------------------------------------------------------------------------

    def _run_local(self, task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        with self._local_file() as path, _Tail(path, self._show):
            return self._module({**self._task.args, "progress_file": path}, task_vars, wrap_async=False)

    @contextlib.contextmanager
    def _local_file(self) -> t.Iterator[str]:
        given = self._task.args.get("progress_file")
        if given:
            yield os.path.expanduser(os.path.expandvars(given))
            return
        # Should this process be killed, Ansible removes the directory at its end. (Constants are made at run time,
        # where mypy does not see them.)
        descriptor, path = tempfile.mkstemp(prefix="progress_", dir=C.DEFAULT_LOCAL_TMP)  # type: ignore[attr-defined]
        os.close(descriptor)
        try:
            yield path
        finally:
            os.unlink(path)

    # -- async -------------------------------------------------------------------------------------------------

    def _run_async(self, task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        shell = self._connection._shell
        path, last = self._task.args.get("progress_file"), ""
        if path:
            path = self._remote_expand_user(path)
            last = self._tail(path)
        try:
            if not path:
                if shell.tmpdir is None:
                    self._make_tmp_path()
                # Removed by Ansible's async wrapper when the job has ended, also when nobody is there any more.
                path = shell.join_path(shell.tmpdir, "progress")
            launched = self._module({**self._task.args, "progress_file": path}, task_vars, wrap_async=True)
        except BaseException:
            self.cleanup(force=True)
            raise
        if "ansible_job_id" in launched and not launched.get("failed"):
            self._watch(path, last, launched["results_file"])
        return launched

    def _watch(self, path: str, last: str, results_file: str) -> None:
        """Show progress until the job has ended or has used up its time."""
        deadline = time.monotonic() + self._task.async_val
        pause = max(1.0, min(float(self._task.poll), float(self._task.args.get("interval") or 10)))
        while time.monotonic() < deadline:
            time.sleep(pause)
            try:
                line = self._tail(path)
                ended = self._has_ended(results_file)
            except AnsibleConnectionFailure:
                continue  # a job that outlives its connection is what async is for
            if line != last:
                last = line
                self._show(line)
            if ended:
                return

    def _tail(self, path: str) -> str:
        answer = self._low_level_execute_command(f"tail -n 1 {shlex.quote(path)} 2>/dev/null || true")
        return str(answer["stdout"]).strip()

    def _has_ended(self, results_file: str) -> bool:
        # The wrapper's own note says "started"; the result of the module, which takes its place, does not. What is
        # wrong with a file that is neither is for the task executor to tell.
        answer = self._low_level_execute_command(f"cat {shlex.quote(results_file)}")
        try:
            return "started" not in json.loads(answer["stdout"])
        except ValueError:
            return True
