# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors, progress and the folders that everything else uses."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]


class ClusterError(Exception):
    """Something that should have worked did not; the message says what, why and where to look."""


class NoCluster(Exception):
    """This machine cannot have a cluster; the message is one line that says why."""


def progress(text: str) -> None:
    """One line per stage, on standard error: standard output is the result."""
    print(f"test cluster: {text}", file=sys.stderr, flush=True)


def state_directory() -> Path:
    """Where the cluster of this checkout keeps its state; TEST_CLUSTER_DIR says otherwise."""
    return Path(os.environ.get("TEST_CLUSTER_DIR") or CHECKOUT / ".local" / "cluster").resolve()


def cache_directory() -> Path:
    """Where builds are kept. Outside the checkout, so that a fresh clone does not build again."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).resolve() / "modelops-serving" / "test-cluster"


def digest(*parts: str | bytes) -> str:
    """Twelve hexadecimal digits that change with any of the parts."""
    found = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        found.update(b"%d:" % len(data) + data)
    return found.hexdigest()[:12]


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    timeout: float | None = None,
    log: Path | None = None,
) -> str:
    """Run a command to its end and return its standard output.

    :param env: added to the environment of this process.
    :param log: standard output and error go to this file instead, and its tail into the error.
    :raises ClusterError: it failed, was not there, or took longer than ``timeout`` seconds.
    """
    line = " ".join(map(str, command))
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("ab")) if log else subprocess.PIPE
        try:
            done = subprocess.run(
                [str(word) for word in command],
                cwd=cwd,
                env={**os.environ, **(env or {})},
                input=stdin.encode() if stdin is not None else None,
                stdin=subprocess.DEVNULL if stdin is None else None,
                stdout=output,
                stderr=output if log else subprocess.PIPE,
                timeout=timeout,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ClusterError(f"{line}: {error}") from error
    if done.returncode:
        said = tail(log) if log else (done.stderr or done.stdout or b"").decode(errors="replace")[-3000:]
        raise ClusterError(f"{line}: exit status {done.returncode}\n{said.rstrip()}")
    return (done.stdout or b"").decode(errors="replace")


def tail(path: Path, lines: int = 20) -> str:
    """The last lines of a log, or nothing."""
    if not path.is_file():
        return ""
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def wait_until(done: Callable[[], bool], what: str, seconds: float, *, interval: float = 0.25) -> None:
    """Ask until the answer is yes.

    :raises ClusterError: it was not after so many seconds; whatever ``done`` raises ends the wait at once.
    """
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise ClusterError(f"{what}: not after {seconds:.0f} seconds")
        time.sleep(interval)


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Only one process at a time holds the lock of a folder; it goes with the process, however that ends."""
    directory.mkdir(parents=True, exist_ok=True)
    lock = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def kept(name: str, make: Callable[[Path], Path]) -> Path:
    """The folder of this name in the cache, made now if it is not there.

    :param make: gets a folder to work in, which is removed, and returns one in it, which is kept.
    """
    cache = cache_directory()
    finished = cache / name
    if finished.is_dir():
        return finished
    with locked(cache):
        if not finished.is_dir():
            work = cache / f"{name}.building"
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(exist_ok=True)  # a child of what was killed may still write there
            started = time.monotonic()
            make(work).rename(finished)  # what was killed never looks finished
            shutil.rmtree(work)
            progress(f"made in {time.monotonic() - started:.0f} s, kept in {finished}")
    return finished


def write_private(path: Path, text: str) -> Path:
    """Write a file that only its owner can read; readers find the old content or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)
    temporary.replace(path)
    return path
