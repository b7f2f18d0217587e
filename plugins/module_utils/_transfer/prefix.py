# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How one destination prefix says what it is: complete, partial, absent or corrupt; and who may change it.

::

    <prefix>/.model-sync/manifest.json    complete: written last, removed before anything changes
    <prefix>/.model-sync/pending.json     a run is or was at work: what it writes, what was there before
    <prefix>/.model-sync/lease.json       who is at work now
    <prefix>/.model-sync/uploads/*.json   how far each large file has come
    <prefix>/.model-sync/shards/*.json    which processes that share one run are done with their share
"""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import threading
import time
import typing as t
import uuid

from .control import Control
from .errors import ConflictError, InputError, LockedError, NotFoundError, TransferError
from .model import Listed, Manifest, parse_json
from .paths import CONTROL, MANIFEST
from .stores.base import Store

PENDING = CONTROL + "pending.json"
LEASE = CONTROL + "lease.json"
UPLOADS = CONTROL + "uploads/"
SHARDS = CONTROL + "shards/"


@dataclasses.dataclass(frozen=True)
class Pending:
    """What a run that has begun and not published set out to do; ``group`` is empty unless several share it."""

    revision: str
    source: t.Mapping[str, t.Any]
    paths: tuple[str, ...]
    managed: tuple[str, ...]
    previous: Manifest | None
    started: str
    group: str = ""
    shards: int = 1

    def to_json(self) -> bytes:
        """The object as stored."""
        return json.dumps(
            {
                "revision": self.revision,
                "source": dict(self.source),
                "paths": self.paths,
                "managed": self.managed,
                "previous": self.previous.to_json().decode() if self.previous else None,
                "started": self.started,
                "group": self.group,
                "shards": self.shards,
            }
        ).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Pending | None:
        """Read it back; None when it is damaged, which only costs the knowledge of what is there already."""
        try:
            raw = parse_json(data)
            previous = Manifest.from_json(raw["previous"].encode()) if raw["previous"] else None
            if not isinstance(raw["paths"], list) or not isinstance(raw["managed"], list):
                return None
            return cls(
                revision=raw["revision"],
                source=raw["source"],
                paths=tuple(raw["paths"]),
                managed=tuple(raw["managed"]),
                previous=previous,
                started=raw["started"],
                group=str(raw.get("group", "")),
                shards=int(raw.get("shards", 1)),
            )
        except (ValueError, KeyError, TypeError, AttributeError, InputError):
            return None


@dataclasses.dataclass(frozen=True)
class State:
    """A prefix as it was found. ``listing`` holds the model's files only, ``control`` our own objects."""

    listing: t.Mapping[str, Listed]
    control: t.Mapping[str, Listed]
    manifest: Manifest | None
    manifest_error: str | None
    pending: Pending | None

    def damage(self) -> list[str]:
        """What the manifest promises and the listing does not hold: one line per file, empty when whole."""
        lines = []
        for file in self.manifest.files if self.manifest else ():
            there = self.listing.get(file.path)
            if there is None:
                lines.append(f"{file.path}: missing")
            elif there.size != file.size:
                lines.append(f"{file.path}: {there.size} bytes instead of {file.size}")
            elif there.etag != file.etag:
                lines.append(f"{file.path}: overwritten (ETag {there.etag} instead of {file.etag})")
        return lines

    @property
    def status(self) -> str:
        """``complete``, ``partial``, ``absent`` or ``corrupt``."""
        if self.manifest_error or (self.manifest and self.damage()):
            return "corrupt"
        if self.manifest:
            return "complete"
        return "partial" if self.pending or PENDING in self.control else "absent"

    @property
    def managed(self) -> set[str]:
        """Every path that this engine wrote or began to write here."""
        paths: set[str] = set()
        for manifest in (self.manifest, self.pending.previous if self.pending else None):
            if manifest:
                paths.update(manifest.stale, (file.path for file in manifest.files))
        if self.pending:
            paths.update(self.pending.paths, self.pending.managed)
        return paths


def read_state(store: Store, control: Control) -> State:
    """Look at a prefix: one listing, and the manifest if there is one.

    :raises TransferError: the store cannot be read.
    """
    everything = control.retry(store.list)
    listing = {path: there for path, there in everything.items() if not path.startswith(CONTROL)}
    ours = {path: there for path, there in everything.items() if path.startswith(CONTROL)}
    manifest, problem = None, None
    found = control.retry(store.get, MANIFEST) if MANIFEST in ours else None
    if found is not None:
        try:
            manifest = Manifest.from_json(found[0])
        except InputError as error:
            problem = str(error)
    pending = None
    if manifest is None and PENDING in ours:
        note = control.retry(store.get, PENDING)
        pending = Pending.from_json(note[0]) if note else None
    return State(listing=listing, control=ours, manifest=manifest, manifest_error=problem, pending=pending)


def put_if(store: Store, control: Control, path: str, body: bytes, etag: str | None) -> str | None:
    """Write an object where there is none (``etag`` None) or in the place of exactly this one.

    :returns: the new ETag, or None when that is not what is there (any more).
    """
    try:
        if etag is None:
            return control.retry(store.put, path, body, if_absent=True)
        return control.retry(store.put, path, body, if_match=etag)
    except ConflictError:
        return None
    except NotFoundError:
        if etag is None:
            raise
        return None


def _this_process() -> dict[str, t.Any]:
    """Enough to tell later, on the same machine, whether this very process still lives."""

    def read(path: str) -> str:
        try:
            with open(path, encoding="ascii", errors="replace") as stream:
                return stream.read()
        except OSError:
            return ""

    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return {
        "host": socket.gethostname(),
        "boot": read("/proc/sys/kernel/random/boot_id").strip(),
        "namespace": namespace,
        "pid": os.getpid(),
        "started": _start_time(os.getpid()),
    }


def _start_time(pid: int) -> str:
    """Clock ticks after boot at which a process began; empty when it is gone or cannot be asked."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stream:
            return stream.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _liveness(holder: t.Mapping[str, t.Any]) -> bool | None:
    """Whether the process behind a lease lives: True, False, or None where that cannot be known from here."""
    me = _this_process()
    if not me["boot"] or any(holder.get(key) != me[key] for key in ("host", "boot", "namespace")):
        return None
    return bool(_start_time(int(holder["pid"])) == holder["started"])


def _taken_over(store: Store) -> LockedError:
    return LockedError(f"{store.url} was taken over by another run.", hint="Run again later.")


class Lease:
    """The right to change a prefix, held by one run and renewed until :meth:`release`.

    A group of processes that share one run holds one lease: each of them renews it.

    No clocks are compared: a lease counts as abandoned when it was *watched* unchanged for its whole life time,
    or when its process ran on this machine and is gone.

    :param lost: told when the lease could not be kept; the run must not touch the prefix from then on.
    :param seconds: life time without renewal.
    :param group: id of the group, the same for all of its members.
    """

    def __init__(
        self,
        store: Store,
        control: Control,
        *,
        lost: t.Callable[[TransferError], None],
        seconds: float = 45.0,
        group: str = "",
    ) -> None:
        self._store = store
        self._control = control
        self._lost = lost
        self._seconds = seconds
        self._id = group or uuid.uuid4().hex
        self._process = _this_process() | ({"boot": ""} if group else {})  # one dead process is not a dead group
        self._etag = ""
        self._done = threading.Event()
        self._thread: threading.Thread | None = None
        self.taken_over = ""

    def _body(self) -> bytes:
        # The time makes every renewal another object, also for stores whose ETag is a hash of the content.
        return json.dumps({"id": self._id, "seconds": self._seconds, "renewed": time.time(), **self._process}).encode()

    def acquire(self) -> None:
        """Take the lease, waiting only as long as it takes to see whether its holder lives.

        :raises LockedError: another run is at work; names it.
        """
        watched: tuple[str, float] | None = None
        while True:
            # Looked at before it is written, for stores that ignore conditions.
            found = self._control.retry(self._store.get, LEASE)
            if found is None:
                if self._write(None):
                    break
                continue
            data, etag = found
            holder = self._parse(data)
            if holder["id"] == self._id:
                # The group's, or the answer to our own write was lost. Renewed at once: others may be watching it.
                if self._write(etag):
                    break
                continue
            alive = _liveness(holder)
            if alive or (watched and watched[0] != etag):
                raise LockedError(
                    f"{self._store.url} is being changed by process {holder['pid']} on {holder['host']}.",
                    hint="Wait for it, then run again.",
                )
            if watched is None:
                watched = (etag, time.monotonic())
            if alive is False or time.monotonic() - watched[1] > holder["seconds"]:
                if self._write(etag):
                    self.taken_over = f"process {holder['pid']} on {holder['host']}"
                    break
                continue
            self._control.sleep(min(2.0, holder["seconds"] / 6))
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()

    def _write(self, etag: str | None) -> bool:
        written = put_if(self._store, self._control, LEASE, self._body(), etag)
        self._etag = written or self._etag
        return written is not None

    @staticmethod
    def _parse(data: bytes) -> dict[str, t.Any]:
        try:
            raw = parse_json(data)
            holder = {key: raw[key] for key in ("id", "host", "boot", "namespace", "started")}
            return {**holder, "seconds": float(raw["seconds"]), "pid": int(raw["pid"])}
        except (ValueError, KeyError, TypeError):
            # Whoever wrote this holds it for the usual time.
            return {"id": "", "seconds": 45.0, "host": "unknown", "boot": "", "namespace": "", "pid": 0, "started": ""}

    def _renew(self) -> None:
        renewed = looked = time.monotonic()
        while not self._done.wait(self._seconds / 5):
            try:
                etag, before, looked = self._etag, looked, time.monotonic()
                if not self._is_still_mine():
                    self._lost(_taken_over(self._store))
                    return
                if self._etag != etag:
                    renewed = before  # by another of the group since then, or by us and the answer was lost
                    continue
                self._etag = self._store.put(LEASE, self._body(), if_match=etag)
                renewed = time.monotonic()
            except ConflictError:
                continue  # taken over, or the answer to the last renewal was lost: the next look tells
            except TransferError as error:
                if time.monotonic() - renewed > self._seconds * 0.8:
                    # Others may take the prefix over from now on: stop before they do.
                    self._lost(LockedError(f"The lease of {self._store.url} could not be renewed: {error}"))
                    return

    def _is_still_mine(self) -> bool:
        found = self._store.get(LEASE)
        if found is None or self._parse(found[0])["id"] != self._id:
            return False
        self._etag = found[1]
        return True

    def check(self) -> None:
        """Just before publishing: still ours?

        :raises LockedError: no.
        """
        self._control.check()
        if not self._control.retry(self._is_still_mine):
            raise _taken_over(self._store)

    def release(self, *, keep: bool = False) -> None:
        """Let go. Failing to do so only makes the next run wait, so errors are not raised.

        :param keep: only renew it no longer; others of the group are at work.
        """
        self._done.set()
        if self._thread is not None:
            self._thread.join(5)
        try:
            if not keep and self._is_still_mine():
                self._store.delete(LEASE)
        except TransferError:
            return


def holder_of(lease: bytes) -> str:
    """Who wrote a lease, for people."""
    holder = Lease._parse(lease)
    return f"process {holder['pid']} on {holder['host']}"


__all__ = ["LEASE", "PENDING", "SHARDS", "UPLOADS", "Lease", "Pending", "State", "holder_of", "put_if", "read_state"]
