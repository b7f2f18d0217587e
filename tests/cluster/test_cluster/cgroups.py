# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cgroup below which all pods of one cluster live, so that two kubelets on a machine leave each other alone."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path


def hierarchies(mounts: Path = Path("/proc/mounts")) -> list[Path]:
    """Where the cgroup hierarchies are: one for version 2, one per controller for version 1, or both."""
    fields = [line.split() for line in mounts.read_text(encoding="utf-8").splitlines()]
    return [Path(where) for _device, where, kind, *_options in fields if kind in ("cgroup", "cgroup2")]


def make(name: str) -> None:
    """:raises OSError: this machine does not let us."""
    for hierarchy in hierarchies():
        controllers = hierarchy / "cgroup.controllers"
        if controllers.exists() and (wanted := controllers.read_text().split()):  # version 2
            (hierarchy / "cgroup.subtree_control").write_text(" ".join(f"+{one}" for one in wanted))
        (hierarchy / name).mkdir(exist_ok=True)


def remove(name: str, seconds: float = 10) -> None:
    """Remove it with all below it. The kernel takes a moment to forget the processes that were killed in it.

    :raises OSError: some process is still in it after so many seconds.
    """
    deadline = time.monotonic() + seconds
    for hierarchy in hierarchies():
        while (hierarchy / name).is_dir():
            try:
                for folder in _innermost_first(hierarchy / name):
                    folder.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)


def _innermost_first(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(FileNotFoundError):
        for entry in folder.iterdir():
            if entry.is_dir():
                yield from _innermost_first(entry)
        yield folder
