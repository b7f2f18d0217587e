# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with a wish for TPUs, and what to ask for instead."""

from __future__ import annotations


class TpuError(Exception):
    """A slice, a capacity or a model that cannot be had as asked for.

    ``message`` names the object and the cause, with numbers where there are any; ``hint`` is the next step.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message
