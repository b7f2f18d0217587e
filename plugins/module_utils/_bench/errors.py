# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can go wrong in a benchmark, by what the caller can do about it."""

from __future__ import annotations

import typing as t


class BenchError(Exception):
    """Base of all errors a benchmark raises on purpose.

    ``message`` names the object and the cause, ``hint`` the next step. Neither ever holds a secret.
    """

    #: The exit status of a program that ends with it.
    status: t.ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message

    def as_data(self) -> dict[str, str]:
        return {"kind": type(self).__name__, "message": self.message, "hint": self.hint}


class InputError(BenchError):
    """What was asked for is wrong; nothing was done."""

    status = 2


class EndpointError(BenchError):
    """The endpoint is missing, refuses, or answers without tokens."""

    status = 4


class StorageError(BenchError):
    """The folder of the results cannot be written or read."""


class StoppedError(BenchError):
    """The run was asked to stop."""

    status = 143


class StartError(BenchError):
    """Nobody said when the load was to begin; nothing was sent."""


class ToolError(BenchError):
    """The load tool of somebody else has failed."""
