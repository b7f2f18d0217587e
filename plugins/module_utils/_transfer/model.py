# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The data that travels through a transfer: snapshot, manifest, plan. Pure, no I/O."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing as t

from .errors import InputError

TOOL = "modelops.serving/0.5.0"
MANIFEST_SCHEMA = 1


def parse_json(data: bytes | str) -> t.Any:
    """What a store or server says in JSON, which may be anything.

    :raises ValueError: not JSON, or nested deeper than Python can follow.
    """
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


@dataclasses.dataclass(frozen=True)
class FileEntry:
    """One file at the source.

    ``id`` identifies the content as the source knows it (LFS SHA-256, git blob SHA-1, ETag, ...).
    ``sha256``, ``git_sha1``, ``md5`` and ``crc32c`` are what the content must hash to, where the source says so.
    ``version`` pins the bytes while they are read (ETag or generation; empty when the id does).
    """

    path: str
    size: int
    id: str
    sha256: str | None = None
    git_sha1: str | None = None
    version: str = ""
    md5: str | None = None
    crc32c: str | None = None


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """All selected files of a source at one revision; ``revision`` is a commit or a digest over all ids."""

    revision: str
    files: tuple[FileEntry, ...]

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(entry.size for entry in self.files)


def digest_revision(files: t.Iterable[FileEntry]) -> str:
    """Revision of a source that has no commits: SHA-1 over path, size and id of every file, sorted by path."""
    digest = hashlib.sha1(usedforsecurity=False)
    for entry in sorted(files, key=lambda item: item.path):
        digest.update(json.dumps([entry.path, entry.size, entry.id]).encode())
    return digest.hexdigest()


@dataclasses.dataclass(frozen=True)
class Listed:
    """One object as a store lists it. ``etag`` changes whenever the bytes may have changed."""

    size: int
    etag: str


@dataclasses.dataclass(frozen=True)
class ManifestFile:
    """One file in the completion manifest. ``sha256`` is None only after a server-side copy of unhashed content."""

    path: str
    size: int
    id: str
    etag: str
    sha256: str | None


@dataclasses.dataclass(frozen=True)
class Manifest:
    """Proof that a prefix is complete: written last, removed first.

    ``stale`` names files of earlier revisions that still lie under the prefix and may be pruned.
    """

    source: t.Mapping[str, t.Any]
    revision: str
    files: tuple[ManifestFile, ...]
    stale: tuple[str, ...] = ()
    started: str = ""
    finished: str = ""
    tool: str = TOOL

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(entry.size for entry in self.files)

    def to_json(self) -> bytes:
        """The object as stored, one file per line so that people can read and diff it."""
        head = {
            "schema": MANIFEST_SCHEMA,
            "tool": self.tool,
            "source": dict(self.source),
            "revision": self.revision,
            "bytes": self.size,
            "started": self.started,
            "finished": self.finished,
            "stale": list(self.stale),
        }
        lines = ",\n".join(json.dumps(dataclasses.asdict(entry)) for entry in self.files)
        return (json.dumps(head)[:-1] + ', "files": [\n' + lines + "\n]}\n").encode()

    @classmethod
    def from_json(cls, data: bytes) -> Manifest:
        """Read a stored manifest.

        :raises InputError: not a manifest, or of a newer schema.
        """
        try:
            raw = parse_json(data)
            if raw["schema"] != MANIFEST_SCHEMA:
                raise InputError(
                    f"The manifest has schema {raw['schema']}, this version reads {MANIFEST_SCHEMA}.",
                    hint="Use the version of modelops.serving that wrote it, or a newer one.",
                )
            files = tuple(ManifestFile(**entry) for entry in raw["files"])
            if not isinstance(raw["source"], dict):
                raise InputError("The manifest names no source.")
            if sum(entry.size for entry in files) != raw["bytes"]:
                raise InputError("The manifest does not add up: its byte count differs from its files.")
            return cls(
                source=raw["source"],
                revision=raw["revision"],
                files=files,
                stale=tuple(raw["stale"]),
                started=raw["started"],
                finished=raw["finished"],
                tool=raw["tool"],
            )
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"Not a manifest: {error!r}.") from error


@dataclasses.dataclass(frozen=True)
class Plan:
    """What one destination needs to hold a snapshot. ``keep`` is there already, proven by an earlier manifest."""

    add: tuple[FileEntry, ...]
    change: tuple[FileEntry, ...]
    keep: tuple[ManifestFile, ...]
    remove: tuple[str, ...]
    stale: tuple[str, ...]

    @property
    def transfer(self) -> tuple[FileEntry, ...]:
        """Files that have to move."""
        return self.add + self.change


def make_plan(
    snapshot: Snapshot,
    listing: t.Mapping[str, Listed],
    known: t.Mapping[str, ManifestFile],
    managed: t.Iterable[str],
    *,
    prune: bool,
) -> Plan:
    """Compare a snapshot with a destination.

    :param listing: what lies under the prefix now, by path.
    :param known: files whose content is proven, by path (from a manifest, or identified one by one).
    :param managed: paths that earlier runs wrote; only these are ever removed or called stale.
    """
    add, change, keep = [], [], []
    for entry in snapshot.files:
        there, proof = listing.get(entry.path), known.get(entry.path)
        if there is None:
            add.append(entry)
        elif (
            proof is not None
            and proof.id == entry.id
            and entry.size == proof.size == there.size
            and there.etag == proof.etag
            and (entry.sha256 is None or entry.sha256 == proof.sha256)
        ):
            keep.append(proof)
        else:
            change.append(entry)
    wanted = {entry.path for entry in snapshot.files}
    left = tuple(sorted(path for path in set(managed) - wanted if path in listing))
    return Plan(tuple(add), tuple(change), tuple(keep), left if prune else (), () if prune else left)
