# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run's clock and brake: deadline, stop request, retries and their counts.

Every loop that may take long asks :meth:`Control.check`; every pause goes through
:meth:`Control.sleep`, so that a deadline or a failure elsewhere ends it at once.
"""

from __future__ import annotations

import random
import threading
import time
import typing as t

from .errors import DeadlineError, StoppedError, TransferError, TransientError

_P = t.ParamSpec("_P")
_T = t.TypeVar("_T")


class Control:
    """Shared by all threads of one run.

    :param timeout: seconds the whole run may take, None for no limit.
    :param stall_timeout: seconds without a single byte after which a connection is given up.
    :param attempts: tries per operation; the count starts anew whenever real progress was made.
    """

    def __init__(self, *, timeout: float | None = None, stall_timeout: float = 30.0, attempts: int = 6) -> None:
        self.stall_timeout = stall_timeout
        self.attempts = attempts
        self._timeout = timeout
        self._ends = None if timeout is None else time.monotonic() + timeout
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._cause: TransferError | None = None
        self.retries = 0
        self.stalls = 0

    def stop(self, cause: TransferError) -> None:
        """Ask every thread to end. The first cause wins and is what :meth:`check` raises."""
        with self._lock:
            if self._cause is None:
                self._cause = cause
        self._stop.set()

    @property
    def cause(self) -> TransferError | None:
        """Why the run was stopped, None while it runs."""
        return self._cause

    def check(self) -> None:
        """Raise if the run has to end: StoppedError after :meth:`stop`, DeadlineError past the deadline."""
        if self._stop.is_set():
            raise StoppedError(f"Stopped: {self._cause}")
        if self._ends is not None and time.monotonic() > self._ends:
            raise DeadlineError(
                f"The run did not finish within its deadline of {self._timeout:g} seconds.",
                hint="Run it again: what was done is kept and not done again. Raise the timeout for slow links.",
            )

    def sleep(self, seconds: float) -> None:
        """Pause, but end early (raising as :meth:`check` does) on a stop or at the deadline."""
        if self._ends is not None:
            seconds = min(seconds, max(0.0, self._ends - time.monotonic()) + 0.001)
        self._stop.wait(seconds)
        self.check()

    def note_retry(self, error: TransientError) -> None:
        """Count a retry, and a stall if it was one."""
        with self._lock:
            self.retries += 1
            self.stalls += error.stalled

    def pause(self, attempt: int, error: TransientError) -> None:
        """Wait before try number ``attempt`` + 1: what the server asked for, else full jitter up to 30 seconds.

        :raises TransientError: the given error, when ``attempt`` was the last one.
        """
        if attempt >= self.attempts:
            raise error
        self.note_retry(error)
        delay = random.uniform(0.1, min(30.0, 0.5 * 2**attempt))  # noqa: S311 - jitter, not cryptography
        if error.retry_after is not None:
            delay = error.retry_after + random.uniform(0, 0.5)  # noqa: S311 - jitter, not cryptography
        self.sleep(delay)

    def retry(self, operation: t.Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call ``operation`` with the arguments given until it stops raising TransientError, at most ``attempts`` times."""
        attempt = 0
        while True:
            self.check()
            try:
                return operation(*args, **kwargs)
            except TransientError as error:
                attempt += 1
                self.pause(attempt, error)
