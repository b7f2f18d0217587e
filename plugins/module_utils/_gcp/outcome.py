# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a module tells of one resource. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

Data: t.TypeAlias = "dict[str, t.Any]"


@dataclasses.dataclass
class Outcome:
    """What was done, or in check mode would be.

    :param live: the resource as it is now, None where there is none.
    :param shown: the fields that were given, before and after, for a diff.
    :param steps: what was sent, in words.
    :param header: which resource it is.
    """

    changed: bool
    live: Data | None
    shown: tuple[Data, Data]
    steps: list[str]
    header: str
    warnings: list[str] = dataclasses.field(default_factory=list)

    def result(self) -> Data:
        """What all modules return of it."""
        before, after = self.shown
        headers = {"before_header": self.header, "after_header": self.header}
        return {"changed": self.changed, "steps": self.steps, "diff": {**headers, "before": before, "after": after}}
