# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every place that runs are sent to can do, and what a refusal of Google means for it."""

from __future__ import annotations

import abc
import contextlib
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._bench.sinks.rows import Run, Warn
from ansible_collections.modelops.serving.plugins.module_utils._sinks.ledger import Ledger
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import AccessError

#: What was sent, by kind: ``files``, ``rows``, ``stages``.
Counts: t.TypeAlias = "dict[str, int]"


class Sink(abc.ABC):
    """One place."""

    @abc.abstractmethod
    def where(self, run: Run) -> str:
        """Where the run goes, for people and for the ledger; no secrets."""

    @abc.abstractmethod
    def send(self, run: Run, ledger: Ledger, *, check: bool, warn: Warn) -> Counts:
        """Send what is not there yet, and say how much that was; with ``check`` only say it, and write nothing.

        :raises TransferError: the place refuses. :raises BenchError: the run or its ledger cannot be used. What was
            sent before is in the ledger.
        """


@contextlib.contextmanager
def needs(permission: str, role: str, resource: str) -> t.Iterator[None]:
    """Names the permission that is missing, since not every refusal of Google does."""
    try:
        yield
    except AccessError as error:
        if "Enable the API" in error.hint or " (UNAUTHENTICATED)" in error.message:
            raise
        raise AccessError(
            error.message, hint=f"Give the account the role {role}, which has {permission}, on {resource}."
        ) from error
