# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Any object store as a source: the digest over its listing is the revision."""

from __future__ import annotations

import dataclasses
import typing as t

from ..control import Control
from ..errors import SourceChangedError, TransferError
from ..model import FileEntry, Manifest, Snapshot, digest_revision
from ..paths import MANIFEST, select
from .base import Bytes, Source, Store


class StoreSource(Source):
    """Files below a store's prefix. Where that prefix is a copy made by this engine, its hashes are held against it."""

    def __init__(
        self, store: Store, control: Control, *, kind: str, allow: t.Sequence[str], ignore: t.Sequence[str]
    ) -> None:
        self.store = store
        self._control = control
        self._kind = kind
        self._allow = allow
        self._ignore = ignore
        self._snapshot: Snapshot | None = None

    @property
    def where(self) -> str:
        return self.store.url

    def describe(self) -> dict[str, t.Any]:
        return {
            "type": self._kind,
            "url": self.store.url,
            "allow_patterns": list(self._allow),
            "ignore_patterns": list(self._ignore),
        }

    def is_current(self, revision: str) -> bool:
        return digest_revision(self._entries()) == revision

    def snapshot(self) -> Snapshot:
        if self._snapshot is None:
            entries = self._entries()
            hashes = self._known_hashes()
            files = tuple(
                dataclasses.replace(entry, sha256=hashes.get((entry.path, entry.size, entry.version)))
                for entry in entries
            )
            self._snapshot = Snapshot(digest_revision(entries), files)
        return self._snapshot

    def _entries(self) -> tuple[FileEntry, ...]:
        listing = self._control.retry(self.store.list)
        # Keys that end in "/" are the folder markers of consoles, not files.
        entries = (
            FileEntry(path=path, size=there.size, id=there.etag, version=there.etag)
            for path, there in listing.items()
            if not path.endswith("/")
        )
        return select(entries, allow=self._allow, ignore=self._ignore, where=self.where)

    def _known_hashes(self) -> dict[tuple[str, int, str], str]:
        try:
            found = self._control.retry(self.store.get, MANIFEST)
            manifest = Manifest.from_json(found[0]) if found else None
        except TransferError:
            return {}  # a foreign or damaged manifest proves nothing; the copy is then hashed without a promise
        files = manifest.files if manifest else ()
        return {(file.path, file.size, file.etag): file.sha256 for file in files if file.sha256}

    def open(self, entry: FileEntry, start: int, end: int) -> Bytes:
        return self.store.open(entry.path, start, end, size=entry.size, etag=entry.version)

    def overlaps(self, store: Store) -> bool:
        return store.place.startswith(self.store.place) or self.store.place.startswith(store.place)

    def check_unchanged(self) -> None:
        then = {entry.path: entry for entry in self.snapshot().files}
        now = {entry.path: entry for entry in self._entries()}
        for path in sorted(then.keys() | now.keys()):
            before, after = then.get(path), now.get(path)
            if before is None or after is None or (before.size, before.id) != (after.size, after.id):
                raise SourceChangedError(
                    f"{path!r} of {self.where} changed while it was copied.", hint="Run again when it is at rest."
                )


class InPlaceSource(StoreSource):
    """What somebody put into a destination by hand: nothing moves, it is hashed, checked and given a manifest."""

    def __init__(self, store: Store, control: Control, *, allow: t.Sequence[str], ignore: t.Sequence[str]) -> None:
        super().__init__(store, control, kind="in_place", allow=allow, ignore=ignore)

    def overlaps(self, store: Store) -> bool:
        return False
