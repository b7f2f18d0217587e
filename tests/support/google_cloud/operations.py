# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work that takes time: when an operation is done, and whether it fails. The form of operations is that of each API.

An operation takes so many looks at it, so many seconds, or both; what it does is there when it is done.
"""

from __future__ import annotations

import dataclasses
import re
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Failure:
    """Why an operation fails. ``code`` is a google.rpc.Code, or for Compute Engine one of its own."""

    code: str
    message: str
    #: Further reason that GKE gives, such as GCE_STOCKOUT.
    reason: str = ""


@dataclasses.dataclass
class Rule:
    """How operations go whose ``TYPE path`` of what they work on matches. ``struck``: how many did."""

    match: str
    times: int | None
    looks: int | None
    seconds: float
    failure: Failure | None
    struck: int = 0

    def strikes(self, target: str) -> bool:
        """Whether it goes for this operation; counts."""
        if (self.times is not None and self.struck >= self.times) or not re.search(self.match, target):
            return False
        self.struck += 1
        return True


@dataclasses.dataclass
class _Work:
    looks: int
    ends: float
    failure: Failure | None
    done: Callable[[Failure | None], None]


class Operations:
    """All that is under way."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._works: dict[str, _Work] = {}

    def add(self, rule: Rule) -> Rule:
        """Of several rules the one that was added first goes, until it is used up."""
        self._rules.append(rule)
        return rule

    def start(
        self, name: str, target: str, done: Callable[[Failure | None], None], *, looks: int, failure: Failure | None
    ) -> None:
        """Begin an operation.

        :param name: path of the operation. :param target: ``TYPE path``, which rules match.
        :param done: called when it is done, with the reason where it failed.
        :param looks: how many it takes where no rule says so. :param failure: how it ends where no rule says so.
        """
        rule = next((rule for rule in self._rules if rule.strikes(target)), None)
        seconds = rule.seconds if rule else 0.0
        if rule and rule.looks is not None:
            looks = rule.looks
        work = _Work(looks, time.monotonic() + seconds, (rule and rule.failure) or failure, done)
        self._works[name] = work
        self._end_if_due(name, work)

    def look(self, name: str) -> None:
        """Somebody looks at an operation."""
        work = self._works.get(name)
        if work:
            work.looks -= 1
            self._end_if_due(name, work)

    def settle(self) -> None:
        """End what is due by now."""
        for name, work in list(self._works.items()):
            self._end_if_due(name, work)

    def finish(self, match: str) -> None:
        """End those whose path matches, at once."""
        for name in [name for name in self._works if re.search(match, name)]:
            work = self._works.pop(name)
            work.done(work.failure)

    def cancel(self, name: str, failure: Failure) -> bool:
        """End one as failed. Whether it was under way."""
        work = self._works.pop(name, None)
        if work:
            work.done(failure)
        return work is not None

    def _end_if_due(self, name: str, work: _Work) -> None:
        if work.looks <= 0 and time.monotonic() >= work.ends:
            del self._works[name]
            work.done(work.failure)
