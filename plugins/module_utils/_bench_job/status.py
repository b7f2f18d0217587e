# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How far the Pods of a benchmark are, as if they were one."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._bench.builtin.run import Progress
from ansible_collections.modelops.serving.plugins.module_utils._bench.workload import Workload
from ansible_collections.modelops.serving.plugins.module_utils._measure import status

_FIELDS = frozenset(field.name for field in dataclasses.fields(Progress))
_SUMS = ("asked", "sent", "completed", "errors", "in_flight", "requests_s", "tokens_s")


class Status:
    """Shows lines of text: what it is given, and how far the run is.

    :param workload: of all Pods together.
    """

    def __init__(self, workload: Workload, show: t.Callable[[str], None], interval: float) -> None:
        self.show = show
        self._line = status.Status(workload, show, interval)

    def __call__(self, told: t.Sequence[t.Mapping[str, t.Any]]) -> None:
        """Show where the Pods are by the last progress of each, if it is time to."""
        self._line(total(told))


def total(told: t.Sequence[t.Mapping[str, t.Any]]) -> Progress:
    """Progress of all: where the one is that is furthest behind. Those elsewhere send nothing that counts there."""
    each = [Progress(**{name: value for name, value in one.items() if name in _FIELDS}) for one in told]
    first = min(each, key=lambda one: (_place(one), one.state == "draining"))
    here = [one for one in each if _place(one) == _place(first)]
    left = [one.remaining for one in here if one.remaining is not None]
    sums: dict[str, t.Any] = {name: _sum(getattr(one, name) for one in here) for name in _SUMS}
    server = {name: _known(getattr(one, name) for one in each) for name in ("server_running", "server_waiting")}
    return dataclasses.replace(first, **sums, **server, remaining=max(left) if len(left) == len(here) else None)


def _place(one: Progress) -> tuple[int, int]:
    return one.repeat, one.stage


def _sum(values: t.Iterable[t.Any]) -> t.Any:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _known(values: t.Iterable[t.Any]) -> t.Any:
    """Only one of the Pods asks the server."""
    return next((value for value in values if value is not None), None)
