# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Counts while bytes move, and what a caller is told about them."""

from __future__ import annotations

import collections
import dataclasses
import threading
import time
import typing as t

from .control import Control

_WINDOW = 15.0  # seconds over which the rate is taken


@dataclasses.dataclass(frozen=True)
class Progress:
    """One report. Bytes, files, bytes per second, seconds.

    ``bytes_done`` counts content that is safe at every destination, ``bytes_read`` what came over the wire for
    it (more than ``bytes_done`` after retries). ``remaining`` is None until a rate is known.
    """

    phase: str
    bytes_done: int
    bytes_total: int
    files_done: int
    files_total: int
    bytes_read: int
    rate: float
    remaining: float | None
    elapsed: float
    retries: int
    stalls: int


ProgressCallback: t.TypeAlias = t.Callable[[Progress], None]


class Meter:
    """Thread-safe counters; :meth:`report` calls back at most once per ``interval`` seconds."""

    def __init__(self, control: Control, callback: ProgressCallback | None, *, interval: float) -> None:
        self._control = control
        self._callback = callback
        self._interval = interval
        self._lock = threading.Lock()
        self._begun = time.monotonic()
        self._reported = self._begun
        self._marks: collections.deque[tuple[float, int]] = collections.deque([(self._begun, 0)])
        self.phase = "plan"
        self.bytes_done = self.bytes_total = self.files_done = self.files_total = self.bytes_read = 0

    def read(self, count: int) -> None:
        """Bytes that arrived from the source."""
        with self._lock:
            self.bytes_read += count

    def done(self, *, count: int = 0, files: int = 0) -> None:
        """Bytes and files that are where they belong."""
        with self._lock:
            self.bytes_done += count
            self.files_done += files

    def enter(self, phase: str) -> None:
        """Begin a phase (plan, move, verify, publish) and report it at once."""
        self.phase = phase
        self.report(force=True)

    def report(self, *, force: bool = False) -> None:
        """Tell the callback, if it is time."""
        now = time.monotonic()
        if self._callback is None or (not force and now - self._reported < self._interval):
            return
        self._reported = now
        with self._lock:
            self._marks.append((now, self.bytes_read))
            while len(self._marks) > 2 and now - self._marks[0][0] > _WINDOW:
                self._marks.popleft()
            seconds, count = now - self._marks[0][0], self.bytes_read - self._marks[0][1]
            rate = count / seconds if seconds > 0 else 0.0
            left = self.bytes_total - self.bytes_done
            progress = Progress(
                phase=self.phase,
                bytes_done=self.bytes_done,
                bytes_total=self.bytes_total,
                files_done=self.files_done,
                files_total=self.files_total,
                bytes_read=self.bytes_read,
                rate=rate,
                remaining=left / rate if rate > 0 else None,
                elapsed=now - self._begun,
                retries=self._control.retries,
                stalls=self._control.stalls,
            )
        self._callback(progress)
