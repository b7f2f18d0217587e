# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the engine asks of a source and of a store. To add one, implement the class and name it in ``request.py``."""

from __future__ import annotations

import abc
import dataclasses
import typing as t

from ..model import FileEntry, Listed, Snapshot

Bytes: t.TypeAlias = "t.ContextManager[t.Iterator[bytes]]"


class Source(abc.ABC):
    """Where a model comes from."""

    @property
    @abc.abstractmethod
    def where(self) -> str:
        """The source in messages, like ``org/model on https://huggingface.co``; no secrets."""

    @abc.abstractmethod
    def describe(self) -> dict[str, t.Any]:
        """What identifies the selection in a manifest (type, location, patterns); no secrets."""

    @abc.abstractmethod
    def snapshot(self) -> Snapshot:
        """All selected files at one revision, pinned by the first call.

        :raises NotFoundError: no such source, or nothing selected. :raises AccessError: not allowed to see it.
        """

    def is_current(self, revision: str) -> bool:
        """Whether ``revision`` is what :meth:`snapshot` would return; sources override it with a cheaper question."""
        return self.snapshot().revision == revision

    def preflight(self, entry: FileEntry) -> None:  # noqa: B027 - listing proves access for most sources
        """Prove that bytes may be read, before anything is changed.

        :raises AccessError: listing is allowed, reading is not (a gated repository).
        """

    @abc.abstractmethod
    def open(self, entry: FileEntry, start: int, end: int) -> Bytes:
        """Bytes ``start`` to ``end`` (exclusive) of a file, exactly as listed.

        :raises TransientError: try again. :raises SourceChangedError: other content than listed.
        """

    def sha256(self, entry: FileEntry) -> str | None:
        """The SHA-256 of a file, where finding out costs no network; else None."""
        return None

    def overlaps(self, store: Store) -> bool:
        """Whether writing to ``store`` would change this source."""
        return False

    def check_unchanged(self) -> None:  # noqa: B027 - a commit cannot change
        """After everything was read: still what was listed?

        :raises SourceChangedError: names the first file that differs.
        """


@dataclasses.dataclass(frozen=True)
class Part:
    """One uploaded part; ``etag`` proves its content to the store, ``size`` in bytes."""

    etag: str
    size: int


@dataclasses.dataclass(frozen=True)
class Stored:
    """Content identity that a store keeps with an object that this engine wrote."""

    id: str
    sha256: str | None


class Store(abc.ABC):
    """A place below one prefix that can be listed, read and written. All paths are relative to the prefix.

    Methods raise :class:`~..errors.TransferError` only; callers retry what is transient.
    """

    #: A file system, where ``a`` and ``a/b`` exclude each other.
    is_files: t.ClassVar[bool] = False
    #: Parts between two checkpoints of a large file.
    checkpoint_every: t.ClassVar[int] = 8
    #: Largest number of parts of one object.
    max_parts: t.ClassVar[int] = 10_000

    @property
    @abc.abstractmethod
    def url(self) -> str:
        """The prefix in messages and results, like ``s3://bucket/models/org/model/``; no secrets."""

    @property
    def place(self) -> str:
        """As :attr:`url`, and unique among all stores there are."""
        return self.url

    @property
    @abc.abstractmethod
    def prefix(self) -> str:
        """Empty, or the path that all others are relative to, ending with ``/``."""

    @abc.abstractmethod
    def at(self, prefix: str) -> Store:
        """The same store, below another prefix (which ends with ``/``)."""

    @abc.abstractmethod
    def list(self) -> dict[str, Listed]:
        """Every object below the prefix, our control objects included. Empty when there is none.

        :raises NotFoundError: the bucket does not exist.
        """

    @abc.abstractmethod
    def get(self, path: str) -> tuple[bytes, str] | None:
        """A small object and its ETag; None when it does not exist."""

    @abc.abstractmethod
    def put(
        self,
        path: str,
        data: memoryview | bytes,
        *,
        stored: Stored | None = None,
        if_absent: bool = False,
        if_match: str | None = None,
    ) -> str:
        """Write an object at once, checked on arrival, and return its ETag.

        :raises ConflictError: the condition does not hold.
        """

    @abc.abstractmethod
    def delete(self, path: str) -> None:
        """Delete an object; a missing one is fine."""

    @abc.abstractmethod
    def open(self, path: str, start: int, end: int, *, size: int, etag: str) -> Bytes:
        """Bytes ``start`` to ``end`` (exclusive) of the object with this size and ETag.

        :raises SourceChangedError: it is another object by now.
        """

    @abc.abstractmethod
    def identify(self, path: str) -> Stored | None:
        """Content identity of an object that an earlier run of this engine finished; None if it did not."""

    @abc.abstractmethod
    def prepare(self, need: int) -> None:
        """Prove that writing works and choose how bytes are checked on arrival; the first write of a run.

        :param need: bytes that are about to be written.
        :raises AccessError: not writable. :raises StoreError: no room for ``need`` bytes.
        """

    @abc.abstractmethod
    def begin(self, entry: FileEntry) -> str:
        """Start a large object and return the id of the upload; nothing is visible until :meth:`complete`."""

    @abc.abstractmethod
    def put_part(self, path: str, upload: str, index: int, offset: int, data: memoryview) -> Part:
        """Write part ``index`` (from 0) that starts at ``offset``, checked on arrival."""

    @abc.abstractmethod
    def parts(self, path: str, upload: str) -> dict[int, Part] | None:
        """The parts that have arrived, by index; None when the upload is gone."""

    @abc.abstractmethod
    def part_matches(self, part: Part, data: memoryview) -> bool:
        """Whether an arrived part holds these bytes."""

    @abc.abstractmethod
    def complete(self, entry: FileEntry, upload: str, parts: t.Mapping[int, Part], stored: Stored) -> str:
        """Make the object visible, whole and at once, and return its ETag. Safe to repeat."""

    def uploads(self, path: str) -> t.Sequence[str]:
        """Ids of unfinished uploads of exactly this object, where a run can die without having noted one."""
        del path
        return ()

    @abc.abstractmethod
    def abort(self, path: str, upload: str) -> None:
        """Drop an upload and its parts. Never harms a finished object."""

    def copy(self, source: Store, entry: FileEntry) -> str | None:
        """Copy inside the store without moving bytes through here; the new ETag, or None where that cannot be done."""
        return None

    def settle(self) -> None:  # noqa: B027 - object stores have nothing left over
        """At the end of a run, under its lease: remove what only a resume needs."""

    def forget(self) -> None:  # noqa: B027 - object stores have no directories
        """After the last object is gone: remove empty directories."""
