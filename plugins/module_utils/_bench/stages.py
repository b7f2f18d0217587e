# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the generator of the load knows about a stage and no single record tells.

An engine writes it to ``stages.json`` at the end of each stage.
"""

from __future__ import annotations

import dataclasses
import json
import math
import typing as t
from pathlib import Path

from .errors import InputError
from .records import storage_error, write_text

FILE = "stages.json"

#: A bucket is 2 % wide, so that its middle is within 1 % of every value in it.
_GROWTH = math.log(1.02)
#: Values below, in milliseconds, share the first bucket.
_LOWEST = 0.001


class Histogram:
    """Counts of times in milliseconds by logarithmic buckets. Percentiles are right to 1 %, the other figures exact."""

    __slots__ = ("_counts", "count", "maximum", "minimum", "squares", "total")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.count = 0
        self.total = 0.0
        self.squares = 0.0
        self.minimum = math.inf
        self.maximum = 0.0

    def add(self, value: float) -> None:
        index = int(math.log(value / _LOWEST) / _GROWTH) + 1 if value > _LOWEST else 0
        self._counts[index] = self._counts.get(index, 0) + 1
        self.count += 1
        self.total += value
        self.squares += value * value
        self.minimum = min(self.minimum, value)
        self.maximum = max(self.maximum, value)

    def merge(self, other: Histogram) -> None:
        for index, count in other._counts.items():
            self._counts[index] = self._counts.get(index, 0) + count
        self.count += other.count
        self.total += other.total
        self.squares += other.squares
        self.minimum = min(self.minimum, other.minimum)
        self.maximum = max(self.maximum, other.maximum)

    @property
    def mean(self) -> float | None:
        return self.total / self.count if self.count else None

    @property
    def stddev(self) -> float | None:
        """Of the values themselves, not an estimate from a sample."""
        if not self.count:
            return None
        mean = self.total / self.count
        return math.sqrt(max(0.0, self.squares / self.count - mean * mean))

    def percentile(self, share: float) -> float | None:
        """The smallest value that ``share`` (0 to 1) of all values do not exceed; None without values."""
        rank = max(1, math.ceil(share * self.count - 1e-9))
        for index in sorted(self._counts):
            rank -= self._counts[index]
            if rank <= 0:
                return self._value(index)
        return None

    def share_within(self, limit: float) -> float | None:
        """The share of values that do not exceed the limit; None without values."""
        if not self.count:
            return None
        return sum(count for index, count in self._counts.items() if self._value(index) <= limit) / self.count

    def _value(self, index: int) -> float:
        """What stands for all values of a bucket: its geometric middle, if that is between the extremes."""
        middle = math.sqrt(_edge(index) * _edge(index + 1))
        return min(max(middle, self.minimum), self.maximum)

    def as_data(self) -> dict[str, t.Any]:
        """``{edges_ms, counts, count, total, squares, minimum, maximum}``; one edge more than counts."""
        first = min(self._counts, default=0)
        last = max(self._counts, default=-1)
        return {
            "edges_ms": [round(_edge(index), 6) for index in range(first, last + 2)] if self.count else [],
            "counts": [self._counts.get(index, 0) for index in range(first, last + 1)],
            "count": self.count,
            "total": self.total,
            "squares": self.squares,
            "minimum": self.minimum if self.count else None,
            "maximum": self.maximum if self.count else None,
        }

    @classmethod
    def from_data(cls, data: t.Mapping[str, t.Any]) -> Histogram:
        """Raises KeyError or TypeError when the data are not those of as_data()."""
        histogram = cls()
        for low, high, count in zip(data["edges_ms"], data["edges_ms"][1:], data["counts"], strict=False):
            if count:
                # Found again by its middle, which rounding does not move out of the bucket.
                middle = math.sqrt(low * high)
                histogram._counts[int(math.log(middle / _LOWEST) / _GROWTH) + 1 if low else 0] = count
        histogram.count = data["count"]
        histogram.total = data["total"]
        histogram.squares = data["squares"]
        histogram.minimum = math.inf if data["minimum"] is None else data["minimum"]
        histogram.maximum = data["maximum"] or 0.0
        return histogram


def _edge(index: int) -> float:
    """The lower edge of a bucket in milliseconds."""
    return _LOWEST * math.exp((index - 1) * _GROWTH) if index else 0.0


@dataclasses.dataclass(slots=True)
class StageFacts:
    """One repeat of a stage, as its generator has seen it."""

    stage: int
    repeat: int
    #: "rate": requests are sent by the clock (open loop); "concurrency": so many are in flight at once (closed loop).
    kind: str
    #: Requests per second, or requests in flight.
    asked: float
    #: "constant", "poisson" or "closed".
    arrival: str
    #: The window in which requests were sent, in seconds since the run began.
    t_begin: float
    t_end: float
    sent: int
    completed: int
    in_flight_max: int
    #: Requests that had to wait because ``max_in_flight`` of the workload was reached.
    held_back: int = 0
    #: Requests that were given up when the stage or the run came to its end.
    cancelled: int = 0
    #: CPU time of the generator per second, 1.0 for one whole core; None when the engine does not tell.
    generator_cpu: float | None = None
    schedule_delay_p50_ms: float | None = None
    schedule_delay_p99_ms: float | None = None
    #: The gaps between all tokens of the stage.
    itl: Histogram | None = None

    def as_data(self) -> dict[str, t.Any]:
        data = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        data["itl"] = self.itl.as_data() if self.itl else None
        return data

    @classmethod
    def from_data(cls, data: t.Mapping[str, t.Any]) -> StageFacts:
        """Raises KeyError or TypeError when the data are not those of as_data()."""
        known = {field.name for field in dataclasses.fields(cls)}
        fields = {name: value for name, value in data.items() if name in known}
        histogram = fields.pop("itl", None)
        return cls(**fields, itl=Histogram.from_data(histogram) if histogram else None)


def write(path: Path, stages: t.Iterable[StageFacts]) -> None:
    """Replaces the file as a whole. Raises StorageError."""
    write_text(path, json.dumps({"stages": [stage.as_data() for stage in stages]}) + "\n")


def read(path: Path) -> list[StageFacts]:
    """What the file of a run tells; nothing when the run was killed before its first stage had ended.

    Raises InputError when it is no such file, StorageError when it cannot be read.
    """
    try:
        data = json.loads(path.read_bytes())
        return [StageFacts.from_data(stage) for stage in data["stages"]]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise storage_error(path, error) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} does not hold the stages of a run: {error}.", hint="Take the file as the run has written it."
        ) from error
