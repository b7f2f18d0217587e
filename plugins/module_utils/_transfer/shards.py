# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One sync shared by several processes, a group: who moves which files, and who publishes.

Every member takes the same snapshot and splits it in the same way, whatever lies at the destination already. They hold
one lease together. A member that has moved and verified its share writes a record of it and lists; the one that then
sees the records of all members publishes. Records and pending note name their group, so that what a dead group left
behind is never taken for work of this one.
"""

from __future__ import annotations

import dataclasses
import heapq
import json
import re
import typing as t

from .control import Control
from .errors import InputError
from .model import FileEntry, ManifestFile, Snapshot, parse_json
from .prefix import PENDING, SHARDS, Pending, put_if
from .stores.base import Store

_NAME = re.compile(re.escape(SHARDS) + r"(\d+)-of-(\d+)\.json")


def split(files: t.Iterable[FileEntry], count: int) -> list[tuple[FileEntry, ...]]:
    """Files in ``count`` shares of about the same size: the largest first, each to the least loaded share."""
    shares: list[list[FileEntry]] = [[] for _number in range(count)]
    loads = [(0, index) for index in range(count)]
    for entry in sorted(files, key=lambda entry: (-entry.size, entry.path)):
        load, index = heapq.heappop(loads)
        shares[index].append(entry)
        heapq.heappush(loads, (load + entry.size, index))
    return [tuple(share) for share in shares]


@dataclasses.dataclass(frozen=True)
class Record:
    """What one member has moved and verified."""

    group: str
    revision: str
    files: tuple[ManifestFile, ...]

    def to_json(self) -> bytes:
        """The object as stored."""
        return json.dumps(dataclasses.asdict(self)).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Record | None:
        """Read it back; None when it is damaged, as if it were not there."""
        try:
            raw = parse_json(data)
            return cls(raw["group"], raw["revision"], tuple(ManifestFile(**file) for file in raw["files"]))
        except (ValueError, KeyError, TypeError):
            return None


@dataclasses.dataclass(frozen=True)
class Member:
    """One process of a group: number ``index`` of ``count``, from 0. ``group`` is the same for all and never reused."""

    group: str
    index: int
    count: int

    @property
    def path(self) -> str:
        """Where this member's record lies."""
        return f"{SHARDS}{self.index}-of-{self.count}.json"

    def share(self, snapshot: Snapshot) -> frozenset[str]:
        """Paths of the files that this member moves."""
        return frozenset(entry.path for entry in split(snapshot.files, self.count)[self.index])

    def records(self, store: Store, control: Control, paths: t.Iterable[str], revision: str) -> dict[int, Record]:
        """The records of this group at this revision, by the index of their members.

        :param paths: what lies under the prefix, our control objects included.
        """
        found = {}
        for path in sorted(paths):
            name = _NAME.fullmatch(path)
            if name is None or int(name[2]) != self.count or int(name[1]) >= self.count:
                continue
            data = control.retry(store.get, path)
            record = Record.from_json(data[0]) if data else None
            if record is not None and (record.group, record.revision) == (self.group, revision):
                found[int(name[1])] = record
        return found

    def own_record(self, store: Store, control: Control, paths: t.Collection[str], revision: str) -> Record | None:
        """What this member wrote before it was started again."""
        mine = [self.path] if self.path in paths else []
        return self.records(store, control, mine, revision).get(self.index)

    def join(self, store: Store, control: Control, pending: Pending, *, siblings: Store | None = None) -> Pending:
        """The group's pending note: this member's where it is the first, else the one that is there.

        :param siblings: where each revision has a prefix of its own, the one above them.
        :raises InputError: the others move another revision, or were given other options.
        """
        while True:
            found = control.retry(store.get, PENDING)
            there = Pending.from_json(found[0]) if found else None
            if there is not None and there.group == self.group:
                self._check(store, pending, there)
                return there
            if put_if(store, control, PENDING, pending.to_json(), found[1] if found else None):
                if siblings is not None:
                    self._check_siblings(store, siblings, control, pending)
                return pending

    def _check(self, store: Store, mine: Pending, there: Pending) -> None:
        if there.revision != mine.revision:
            raise self._moved(store, mine, there)
        if (there.shards, there.paths) != (mine.shards, mine.paths):
            raise InputError(
                f"Group {self.group!r} at {store.url} moves {len(there.paths)} files in {there.shards} shards, shard "
                f"{self.index} was told to move {len(mine.paths)} in {mine.shards}.",
                hint="Start all members with the same options, and give each run a group of its own.",
            )

    def _moved(self, store: Store, mine: Pending, there: Pending) -> InputError:
        return InputError(
            f"Shard {self.index} found the source at revision {mine.revision}, the others of group {self.group!r} "
            f"move {there.revision} to {store.url}.",
            hint="Give a commit as revision instead of a branch, keep other sources at rest, and run again.",
        )

    def _check_siblings(self, store: Store, root: Store, control: Control, mine: Pending) -> None:
        for path in control.retry(root.list):
            revision, _slash, rest = path.removeprefix("revisions/").partition("/")
            if path.startswith("revisions/") and rest == PENDING and revision != mine.revision:
                found = control.retry(root.get, path)
                there = Pending.from_json(found[0]) if found else None
                if there is not None and there.group == self.group:
                    control.retry(store.delete, PENDING)  # or the others would find it in turn
                    raise self._moved(root, mine, there)
