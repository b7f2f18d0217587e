# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Moves files from one source to one or more stores: ranges in, parts out, hashes on the way.

One pool of buffers bounds the memory. A thread takes a buffer *before* it takes the next part, and parts are
handed out in order, so the part that a hash waits for always has a buffer already: no deadlock, whatever the
number of threads. Small files need no buffer of the pool; threads turn to them when no buffer is free.
"""

from __future__ import annotations

import base64
import collections
import contextlib
import functools
import hashlib
import json
import math
import queue
import threading
import time
import typing as t

from .control import Control
from .errors import IntegrityError, NotFoundError, StoppedError, StoreError, TransferError
from .hashing import HashLane, can_resume, hashed_bytes
from .meter import Meter
from .model import FileEntry, ManifestFile, parse_json
from .prefix import UPLOADS
from .safetensors import check_header
from .stores.base import Part, Source, Store, Stored
from .web import fill

_MIB = 1024**2
SMALL = _MIB  # files up to this size are read into memory of their own
SMALL_THREADS = 16


class Target:
    """One destination while files move to it. ``error`` is set once, by the first thing that went wrong."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.todo: tuple[FileEntry, ...] = ()
        self.ledgers: t.Collection[str] = ()
        self.resuming = False
        self.files: dict[str, ManifestFile] = {}
        self.error: TransferError | None = None
        self.bytes_sent = 0
        self.bytes_resumed = 0
        self.bytes_copied = 0
        self._lock = threading.Lock()

    def fail(self, error: TransferError) -> None:
        """Note why this destination cannot be finished; the others go on."""
        with self._lock:
            self.error = self.error or error

    def sent(self, count: int) -> None:
        """Bytes that were uploaded."""
        with self._lock:
            self.bytes_sent += count

    def finished(self, entry: FileEntry, etag: str, sha256: str | None) -> None:
        """A file is whole at this destination."""
        with self._lock:
            self.files[entry.path] = ManifestFile(entry.path, entry.size, entry.id, etag, sha256)


def ledger_path(path: str) -> str:
    """Where the progress of one large file is kept."""
    name = hashlib.sha1(path.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()
    return f"{UPLOADS}{name}.json"


class _Upload:
    """One large file on its way to one target."""

    def __init__(self, target: Target, upload: str, parts: dict[int, Part]) -> None:
        self.target = target
        self.id = upload
        self.earlier = parts
        self.parts: dict[int, Part] = {}
        self.checkpointed = 0


class _File:
    """One file on its way to all targets that need it."""

    def __init__(self, entry: FileEntry, targets: list[Target], part_size: int) -> None:
        self.entry = entry
        self.targets = targets
        self.part_size = part_size
        self.count = max(1, math.ceil(entry.size / part_size))
        self.start = 0
        self.lane: HashLane | None = None
        self.uploads: list[_Upload] = []
        self.left = 0
        self.lock = threading.Lock()

    @property
    def wanted(self) -> bool:
        """Whether any of its targets can still be finished."""
        return any(target.error is None for target in self.targets)

    def bounds(self, index: int) -> tuple[int, int]:
        """First byte and end (exclusive) of a part."""
        return index * self.part_size, min((index + 1) * self.part_size, self.entry.size)

    def size(self, index: int) -> int:
        """Bytes of a part."""
        start, end = self.bounds(index)
        return end - start


class Mover:
    """Runs the threads of one transfer.

    :param workers: parts in flight at most. :param part_size: bytes, raised for files of too many parts.
    """

    def __init__(
        self,
        source: Source,
        targets: t.Sequence[Target],
        control: Control,
        meter: Meter,
        *,
        workers: int,
        part_size: int,
    ) -> None:
        self._source = source
        self._targets = targets
        self._control = control
        self._meter = meter
        wanted: dict[FileEntry, list[Target]] = {}
        for target in targets:
            for entry in target.todo:
                wanted.setdefault(entry, []).append(target)
        max_parts = min((target.store.max_parts for target in targets), default=1)
        files = [
            _File(entry, needing, max(part_size, math.ceil(entry.size / max_parts / _MIB) * _MIB))
            for entry, needing in sorted(wanted.items(), key=lambda item: (-item[0].size, item[0].path))
        ]
        self._small = collections.deque(file for file in files if file.entry.size <= min(SMALL, part_size))
        self._large = collections.deque(file for file in files if file.entry.size > min(SMALL, part_size))
        self._current: tuple[_File, int] | None = None
        self._ticket_lock = threading.Lock()
        buffer_size = max((file.part_size for file in self._large), default=part_size)
        # Two buffers more than workers let reading go on while others are being sent; a larger part means fewer.
        buffers = max(2, (workers + 2) * part_size // buffer_size)
        self._buffers: queue.SimpleQueue[bytearray | None] = queue.SimpleQueue()
        for _number in range(min(buffers, sum(file.count for file in self._large))):
            self._buffers.put(None)
        self._buffer_size = buffer_size
        self._threads = min(
            max(buffers, SMALL_THREADS if len(self._small) > 1 else 0),
            len(self._small) + sum(file.count for file in self._large),
        )
        self._crash: BaseException | None = None
        can_resume()  # found out once, before the threads ask all at the same time
        meter.bytes_total = sum(file.entry.size for file in files)
        meter.files_total = len(files)

    def run(self) -> None:
        """Move everything. Failures of single targets are left in their ``error``.

        :raises TransferError: the source failed or the deadline passed.
        """
        threads = [
            threading.Thread(target=self._work, name=f"transfer-{number}", daemon=True)
            for number in range(self._threads)
        ]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads) and self._control.cause is None:
            threads[0].join(0.05)
            threads.sort(key=lambda thread: not thread.is_alive())
            self._meter.report()
        # After a stop, threads that are blocked in the network may start nothing new and end with the process.
        grace = time.monotonic() + 5
        for thread in threads:
            thread.join(max(0.0, grace - time.monotonic()))
        if self._crash is not None:
            raise self._crash
        if self._control.cause is not None:
            raise self._control.cause

    # -- what a thread does ------------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            while True:
                self._control.check()
                if not self._step():
                    return
        except StoppedError:
            return
        except TransferError as error:
            self._control.stop(error)
        except BaseException as error:  # noqa: BLE001 - a bug or no memory: end the run, raise it where it is seen
            self._crash = error
            self._control.stop(StoreError(f"Unexpected {type(error).__name__}: {error}"))

    def _step(self) -> bool:
        """Do one part or one small file; False when there is nothing left to hand out."""
        buffer: bytearray | None
        try:
            buffer = self._buffers.get(block=False)
        except queue.Empty:
            small = self._next_small()
            if small is not None:
                self._move_small(small)
                return True
            with self._ticket_lock:
                if not self._large and self._current is None:
                    return False
            try:
                buffer = self._buffers.get(timeout=0.5)
            except queue.Empty:
                return True
        try:
            ticket = self._next_part()
            if ticket is None:
                small = self._next_small()
                if small is not None:
                    self._move_small(small)
                return small is not None
            file, index = ticket
            start, end = file.bounds(index)
            buffer = buffer if buffer is not None else bytearray(self._buffer_size)
            self._move_part(file, index, memoryview(buffer)[: end - start])
            return True
        finally:
            self._buffers.put(buffer)

    def _next_small(self) -> _File | None:
        with contextlib.suppress(IndexError):
            return self._small.popleft()
        return None

    def _next_part(self) -> tuple[_File, int] | None:
        with self._ticket_lock:
            while True:
                if self._current is None:
                    if not self._large:
                        return None
                    file = self._large.popleft()
                    self._begin(file)
                    self._current = (file, file.start)
                file, index = self._current
                if not file.wanted:
                    self._current = None
                    continue
                self._current = (file, index + 1) if index + 1 < file.count else None
                return file, index

    @contextlib.contextmanager
    def _blame(self, target: Target) -> t.Iterator[None]:
        """Errors in here are this target's own; only a stop or a broken promise of the source ends the run."""
        try:
            yield
        except (StoppedError, IntegrityError):
            raise
        except TransferError as error:
            self._control.check()
            target.fail(error)

    def _fill(self, file: _File, start: int, view: memoryview) -> None:
        fill(view, start, self._control, functools.partial(self._source.open, file.entry), self._meter.read)
        if start == 0:
            check_header(file.entry, view)

    def _move_small(self, file: _File) -> None:
        if not file.wanted:
            return
        view = memoryview(bytearray(file.entry.size))
        self._fill(file, 0, view)
        self._finish_whole(file, view)

    def _finish_whole(self, file: _File, view: memoryview) -> None:
        lane = HashLane(file.entry, self._control, start=0, state=None, snapshot_every=1)
        lane.add(0, view)
        sha256 = lane.finish()
        for target in file.targets:
            if target.error is None:
                with self._blame(target):
                    put, stored = target.store.put, Stored(file.entry.id, sha256)
                    etag = self._control.retry(put, file.entry.path, view, stored=stored)
                    target.sent(len(view))
                    target.finished(file.entry, etag, sha256)
        self._meter.done(count=file.entry.size, files=1)

    # -- large files -------------------------------------------------------------------------------------------

    def _begin(self, file: _File) -> None:
        """Start the uploads of a file, or take up those of an earlier run."""
        if file.count == 1:
            return
        states: list[tuple[int, bytes]] = []
        for target in file.targets:
            if target.error is None:
                with self._blame(target):
                    upload, state = self._take_up(file, target)
                    file.uploads.append(upload)
                    if state is not None:
                        states.append(state)
        missing = min((_first_missing(upload.earlier) for upload in file.uploads), default=0)
        usable = [state for state in states if state[0] <= min(missing, file.count - 1)]
        file.start, state_bytes = max(usable, default=(0, None))
        every = min((upload.target.store.checkpoint_every for upload in file.uploads), default=1)
        file.lane = HashLane(file.entry, self._control, start=file.start, state=state_bytes, snapshot_every=every)
        file.left = file.count - file.start
        for upload in file.uploads:
            upload.parts = {index: part for index, part in upload.earlier.items() if index < file.start}
            upload.checkpointed = file.start
            upload.target.bytes_resumed += sum(part.size for part in upload.parts.values())
        self._meter.done(count=file.start * file.part_size)

    def _take_up(self, file: _File, target: Target) -> tuple[_Upload, tuple[int, bytes] | None]:
        path, store = file.entry.path, target.store
        ledger = ledger_path(path)
        if ledger in target.ledgers:
            note = self._control.retry(store.get, ledger)
            known = _read_ledger(note[0] if note else b"")
            if known is not None:
                if known["id"] == file.entry.id and known["part_size"] == file.part_size:
                    parts = self._control.retry(store.parts, path, known["upload"])
                    if parts is not None:
                        whole = {i: part for i, part in parts.items() if i < file.count and part.size == file.size(i)}
                        return _Upload(target, known["upload"], whole), _state(known, file)
                self._control.retry(store.abort, path, known["upload"])
        if target.resuming:
            # The run before may have died between starting an upload and noting it.
            self._abort_others(store, path, "")
        upload = self._control.retry(store.begin, file.entry)
        self._write_ledger(file, _Upload(target, upload, {}), 0, None)
        return _Upload(target, upload, {}), None

    def _abort_others(self, store: Store, path: str, mine: str) -> None:
        for upload in self._control.retry(store.uploads, path):
            if upload != mine:
                self._control.retry(store.abort, path, upload)

    def _write_ledger(self, file: _File, upload: _Upload, hashed: int, state: bytes | None) -> None:
        body = json.dumps(
            {
                "path": file.entry.path,
                "id": file.entry.id,
                "upload": upload.id,
                "part_size": file.part_size,
                "hashed": hashed,
                "state": base64.b64encode(state).decode() if state else None,
            }
        ).encode()
        self._control.retry(upload.target.store.put, ledger_path(file.entry.path), body)

    def _move_part(self, file: _File, index: int, view: memoryview) -> None:
        start, _end = file.bounds(index)
        self._fill(file, start, view)
        lane = file.lane
        if lane is None:
            self._finish_whole(file, view)
            return
        lane.add(index, view)
        for upload in file.uploads:
            if upload.target.error is None:
                with self._blame(upload.target):
                    self._send_part(file, upload, index, view, lane)
        self._meter.done(count=len(view))
        with file.lock:
            file.left -= 1
            last = file.left == 0
        if last:
            self._complete(file, lane)

    def _send_part(self, file: _File, upload: _Upload, index: int, view: memoryview, lane: HashLane) -> None:
        store, path = upload.target.store, file.entry.path
        part = upload.earlier.get(index)
        if part is not None and store.part_matches(part, view):
            upload.target.bytes_resumed += len(view)
        else:
            part = self._control.retry(store.put_part, path, upload.id, index, file.bounds(index)[0], view)
            upload.target.sent(len(view))
        with file.lock:
            upload.parts[index] = part
            arrived = _first_missing(upload.parts)
            due = [(n, state) for n, state in lane.snapshots().items() if upload.checkpointed < n <= arrived]
            hashed, state = max(due, default=(0, b""))
            if due:
                upload.checkpointed = hashed
        if due and hashed < file.count:
            self._write_ledger(file, upload, hashed, state)

    def _complete(self, file: _File, lane: HashLane) -> None:
        entry = file.entry
        try:
            sha256 = lane.finish()
        except IntegrityError:
            for upload in file.uploads:
                with contextlib.suppress(TransferError):
                    self._drop(upload.target.store, entry.path, upload.id)
            raise
        for upload in file.uploads:
            if upload.target.error is None:
                with self._blame(upload.target):
                    store, stored = upload.target.store, Stored(entry.id, sha256)
                    if self._control.retries:
                        # The answer to starting an upload may have been lost, and it was started again.
                        self._abort_others(store, entry.path, upload.id)
                    etag = self._control.retry(store.complete, entry, upload.id, upload.parts, stored)
                    upload.target.finished(entry, etag, sha256)
                    self._control.retry(store.delete, ledger_path(entry.path))
        self._meter.done(files=1)

    def _drop(self, store: Store, path: str, upload: str) -> None:
        with contextlib.suppress(NotFoundError):
            store.abort(path, upload)
        store.delete(ledger_path(path))


def drop_ledgers(store: Store, control: Control, ledgers: t.Iterable[str]) -> None:
    """Abort the uploads that ledgers name and delete the ledgers; what no run will take up again."""
    for ledger in ledgers:
        note = control.retry(store.get, ledger)
        known = _read_ledger(note[0] if note else b"")
        if known is not None:
            control.retry(store.abort, known["path"], known["upload"])
        control.retry(store.delete, ledger)


def _first_missing(parts: t.Mapping[int, Part]) -> int:
    index = 0
    while index in parts:
        index += 1
    return index


def _read_ledger(data: bytes) -> dict[str, t.Any] | None:
    try:
        raw = parse_json(data)
        return {key: raw[key] for key in ("path", "id", "upload", "part_size", "hashed", "state")}
    except (ValueError, KeyError, TypeError):
        return None


def _state(known: t.Mapping[str, t.Any], file: _File) -> tuple[int, bytes] | None:
    """The hash as an earlier run left it, if it can be continued here."""
    if not known["state"]:
        return None
    try:
        state = base64.b64decode(known["state"], validate=True)
        if hashed_bytes(file.entry, state) == known["hashed"] * file.part_size:
            return int(known["hashed"]), state
    except (ValueError, TypeError):
        pass
    return None
