# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can go wrong in a transfer, by what the caller can do about it."""

from __future__ import annotations


class TransferError(Exception):
    """Base of all errors the engine raises on purpose.

    ``message`` names the object and the cause, ``hint`` the next step. Neither ever holds a secret.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message


class InputError(TransferError):
    """The request itself is wrong; nothing was changed."""


class NotFoundError(TransferError):
    """A repository, revision, bucket, key or path does not exist."""


class AccessError(TransferError):
    """Credentials are missing, expired, wrong or not sufficient. Never retried."""


class IntegrityError(TransferError):
    """Bytes are not what their source says they are."""


class SourceChangedError(IntegrityError):
    """The source changed while it was being read."""


class LockedError(TransferError):
    """Another run holds the destination prefix, or took it over."""


class ConflictError(TransferError):
    """A conditional write met another state than the one asked for."""


class StoreError(TransferError):
    """The destination or source refused an operation for a reason of its own (disk full, bad request)."""


class UnsupportedError(StoreError):
    """The store does not know the operation or one of its conditions at all."""


class DeadlineError(TransferError):
    """The overall deadline of the run has passed."""


class StoppedError(TransferError):
    """The run was asked to stop (signal, or another thread failed)."""


class TransientError(TransferError):
    """Worth another try. ``retry_after`` is the pause in seconds that the server asked for, if it did."""

    def __init__(
        self, message: str, *, hint: str = "", retry_after: float | None = None, stalled: bool = False
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after
        self.stalled = stalled


def describe_error(error: TransferError) -> dict[str, str]:
    """An error as plain data: its class, what happened, what to do next."""
    return {"kind": type(error).__name__, "message": error.message, "hint": error.hint}
