# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way of a model: plan, move, verify, publish; and the way back, remove."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import datetime
import functools
import json
import typing as t

from .control import Control
from .errors import (
    ConflictError,
    InputError,
    IntegrityError,
    StoppedError,
    TransferError,
)
from .hashing import sha256_hasher
from .meter import Meter, ProgressCallback
from .model import FileEntry, Listed, Manifest, ManifestFile, Plan, Snapshot, make_plan, parse_json
from .mover import SMALL, Mover, Target, drop_ledgers
from .paths import CONTROL, MANIFEST, check_collisions, check_file_path
from .prefix import PENDING, SHARDS, UPLOADS, Lease, Pending, State, read_state
from .safetensors import check_config, check_header, check_index, indexes
from .shards import Member, Record
from .stores.base import Source, Store
from .stores.source import InPlaceSource, StoreSource
from .web import fill

CURRENT = CONTROL + "current.json"
_IDENTIFY_THREADS = 8


@dataclasses.dataclass(frozen=True)
class SyncOptions:
    """How a model is synced. Sizes in bytes, times in seconds.

    ``side_by_side`` gives each revision a prefix of its own below ``revisions/`` and switches a small pointer
    object, so that the old revision serves until the new one is whole.

    With ``group`` the run is one of ``shards`` processes that share one sync: number ``shard``, from 0. All of them are
    given the same group, which is used for nothing else, and otherwise the same options. Pin the revision: members that
    find a branch moved are refused, or would find nothing to do where an old copy is complete.
    """

    prune: bool = False
    prune_max: int = 100
    require_config: bool = True
    side_by_side: bool = False
    server_side_copy: bool = True
    workers: int = 4
    part_size: int = 16 * 1024**2
    interval: float = 10.0
    lease_seconds: float = 45.0
    shards: int = 1
    shard: int = 0
    group: str = ""


@dataclasses.dataclass
class ShardResult:
    """One of ``count`` processes that share a run: how many are ``done`` as it saw it, and whether it published."""

    index: int
    count: int
    done: int = 0
    published: bool = False


@dataclasses.dataclass
class TargetResult:
    """What happened, or in check mode would happen, at one destination. ``error`` is None unless it failed.

    Of a run that several processes share (``shard`` is not None) it tells what this one did, and its status is
    ``partial`` until the last of them has published.
    """

    url: str
    changed: bool = False
    status: str = "absent"
    revision: str | None = None
    previous_revision: str | None = None
    added: list[str] = dataclasses.field(default_factory=list)
    updated: list[str] = dataclasses.field(default_factory=list)
    removed: list[str] = dataclasses.field(default_factory=list)
    stale: list[str] = dataclasses.field(default_factory=list)
    files: int = 0
    bytes: int = 0
    bytes_to_send: int = 0
    bytes_sent: int = 0
    bytes_resumed: int = 0
    bytes_copied: int = 0
    warnings: list[str] = dataclasses.field(default_factory=list)
    error: TransferError | None = None
    shard: ShardResult | None = None

    def set_complete(self, *, published: bool) -> None:
        """The manifest is there; ``published`` by this process, or by another one of its group."""
        self.status = "complete"
        if self.shard is not None:
            self.shard.done, self.shard.published = self.shard.count, published


@dataclasses.dataclass
class SyncResult:
    """Results of all destinations, in the order given."""

    targets: list[TargetResult]
    revision: str | None
    bytes_read: int = 0
    retries: int = 0
    stalls: int = 0
    seconds: float = 0.0

    @property
    def changed(self) -> bool:
        """Whether anything was (or would be) written anywhere."""
        return any(target.changed for target in self.targets)

    @property
    def failed(self) -> list[TargetResult]:
        """Destinations that are not what was asked for."""
        return [target for target in self.targets if target.error is not None]


@dataclasses.dataclass
class _Work:
    """One destination on its way through the phases."""

    root: Store
    store: Store
    result: TargetResult
    target: Target
    state: State | None = None
    plan: Plan | None = None
    lease: Lease | None = None
    started: str = ""
    recorded: Record | None = None

    @property
    def alive(self) -> bool:
        return self.target.error is None

    @contextlib.contextmanager
    def blame(self, control: Control) -> t.Iterator[None]:
        """What goes wrong in here is this destination's own, unless the whole run has to end."""
        try:
            yield
        except StoppedError:
            raise
        except TransferError as error:
            control.check()
            self.target.fail(error)


def sync(
    source: Source,
    destinations: t.Sequence[Store],
    control: Control,
    options: SyncOptions | None = None,
    *,
    check: bool = False,
    on_progress: ProgressCallback | None = None,
) -> SyncResult:
    """Make every destination a verified, complete copy of the source.

    :param destinations: each below the model's own prefix.
    :param check: only predict; nothing is written, no lease is taken.
    :raises TransferError: bad input, or the source failed, or the deadline passed. What went wrong at a single
        destination is in its result.
    """
    return _Sync(source, destinations, control, options or SyncOptions(), check=check, on_progress=on_progress).run()


class _Sync:
    def __init__(
        self,
        source: Source,
        destinations: t.Sequence[Store],
        control: Control,
        options: SyncOptions,
        *,
        check: bool,
        on_progress: ProgressCallback | None,
    ) -> None:
        if not destinations:
            raise InputError("No destination was given.")
        places = [store.place for store in destinations]
        for store in destinations:
            if places.count(store.place) > 1:
                raise InputError(f"Destination {store.url} was given twice.")
            if source.overlaps(store):
                raise InputError(
                    f"Source {source.where} and destination {store.url} are the same place, or one lies in the other.",
                    hint="Copy to another bucket or prefix.",
                )
        self.member = Member(options.group, options.shard, options.shards) if options.group else None
        if self.member is not None and isinstance(source, InPlaceSource):
            raise InputError(
                "Source in_place cannot be shared by several processes.", hint="Leave out shards and group."
            )
        self.source = source
        self.control = control
        self.options = options
        self.check = check
        self.meter = Meter(control, on_progress, interval=options.interval)
        self.started = _now()
        self.works = [_Work(store, store, TargetResult(store.url), Target(store)) for store in destinations]
        if self.member is not None:
            for work in self.works:
                work.result.shard = ShardResult(self.member.index, self.member.count)
        self.snapshot: Snapshot | None = None
        self.share: frozenset[str] | None = None  # None is all files
        self._current: dict[str, bool] = {}

    def run(self) -> SyncResult:
        begun = datetime.datetime.now(datetime.timezone.utc)
        try:
            self._run()
        finally:
            for work in self.works:
                if work.lease is not None:
                    work.lease.release(keep=self.member is not None and self.member.count > 1)
        for work in self.works:
            work.result.error = work.target.error
            if work.result.error is not None and self._is_published(work):
                work.result.error = None
                work.result.set_complete(published=False)
            work.result.bytes_sent = work.target.bytes_sent
            work.result.bytes_resumed = work.target.bytes_resumed
            work.result.bytes_copied = work.target.bytes_copied
        results = [work.result for work in self.works]
        return SyncResult(
            targets=results,
            revision=next((target.revision for target in results if target.error is None), None),
            bytes_read=self.meter.bytes_read,
            retries=self.control.retries,
            stalls=self.control.stalls,
            seconds=(datetime.datetime.now(datetime.timezone.utc) - begun).total_seconds(),
        )

    def _run(self) -> None:
        self.meter.enter("plan")
        for work in self.living():
            with work.blame(self.control):
                self._look(work)
        busy = [work for work in self.living() if not self._is_done(work)]
        if not busy:
            return
        self.snapshot = self.source.snapshot()
        self._check_source(self.snapshot, busy)
        self.share = self.member.share(self.snapshot) if self.member is not None else None
        for work in busy:
            with work.blame(self.control):
                self._plan(work)
        busy = [work for work in busy if work.alive and self._needs_work(work)]
        moving = {entry for work in busy for entry in self._todo(work)}
        if moving:
            self.source.preflight(max(moving, key=lambda entry: entry.size))
        if busy:
            self._check_indexes(self.snapshot)
        if self.check or not busy:
            return
        for work in busy:
            with work.blame(self.control):
                self._claim(work)
        busy = [work for work in busy if work.alive and work.lease is not None]
        if busy:
            self._move(busy)

    def living(self) -> list[_Work]:
        return [work for work in self.works if work.alive]

    # -- plan --------------------------------------------------------------------------------------------------

    def _look(self, work: _Work) -> None:
        if self.options.side_by_side:
            revision = self.source.snapshot().revision
            work.store = work.root.at(f"{work.root.prefix}revisions/{revision}/")
            work.target.store = work.store
            work.result.url = work.store.url
        work.state = read_state(work.store, self.control)
        work.result.status = work.state.status
        if work.state.manifest is not None:
            work.result.previous_revision = work.state.manifest.revision

    def _is_done(self, work: _Work) -> bool:
        """The cheap proof: one manifest, one listing, and the source still at that revision."""
        state = work.state
        if state is None or state.manifest is None or state.damage():
            return False
        if _selection(state.manifest.source) != _selection(self.source.describe()):
            return False
        if self.options.prune and any(path in state.listing for path in state.manifest.stale):
            return False
        if self.options.side_by_side and not self._points_here(work):
            return False
        if not self._is_current(state.manifest.revision):
            return False
        self._fill_result(work, state.manifest)
        work.result.set_complete(published=False)
        return True

    def _is_current(self, revision: str) -> bool:
        if revision not in self._current:
            self._current[revision] = self.source.is_current(revision)
        return self._current[revision]

    def _check_source(self, snapshot: Snapshot, works: t.Sequence[_Work]) -> None:
        files = any(work.store.is_files for work in works)
        check_collisions((entry.path for entry in snapshot.files), files=files)
        if files:
            for entry in snapshot.files:
                check_file_path(entry.path)
        if self.options.require_config:
            check_config(snapshot)

    def _check_indexes(self, snapshot: Snapshot) -> None:
        for entry in indexes(snapshot):
            content = memoryview(bytearray(entry.size))
            fill(
                content,
                0,
                self.control,
                functools.partial(self.source.open, entry),
                self.meter.read,
            )
            check_index(entry, bytes(content), snapshot)

    def _plan(self, work: _Work) -> None:
        snapshot, state = self.snapshot, work.state
        if snapshot is None or state is None:
            return
        known = {file.path: file for file in (state.manifest.files if state.manifest else ())}
        if state.pending is not None:
            previous = state.pending.previous
            known = {file.path: file for file in (previous.files if previous else ())}
        if self.member is not None:
            record = self.member.own_record(work.store, self.control, state.control, snapshot.revision)
            known |= {file.path: file for file in (record.files if record else ())}
            work.recorded = record
        plan = make_plan(snapshot, state.listing, known, state.managed, prune=self.options.prune)
        proofs = self._identify(work, state, plan)
        if proofs:
            plan = make_plan(snapshot, state.listing, known | proofs, state.managed, prune=self.options.prune)
        if len(plan.remove) > self.options.prune_max:
            raise InputError(
                f"{work.result.url}: pruning would remove {len(plan.remove)} files, more than prune_max "
                f"{self.options.prune_max} allows, first {plan.remove[0]!r}.",
                hint="Look at the list in check mode; raise prune_max if it is right.",
            )
        work.plan = plan
        result = work.result
        result.added = [entry.path for entry in self._mine(plan.add)]
        result.updated = [entry.path for entry in self._mine(plan.change)]
        result.removed = list(plan.remove)
        result.stale = list(plan.stale)
        result.revision = snapshot.revision
        result.files = len(snapshot.files)
        result.bytes = snapshot.size
        result.bytes_to_send = sum(entry.size for entry in self._todo(work))
        result.changed = self._needs_work(work)

    def _identify(self, work: _Work, state: State, plan: Plan) -> dict[str, ManifestFile]:
        """Files that are there already although the last manifest does not say so, one question each."""
        known = {file.path: file for file in (state.manifest.files if state.manifest else ())}
        resuming = state.manifest is None and state.pending is not None

        def ask(entry: FileEntry) -> ManifestFile | None:
            there = state.listing[entry.path]
            if there.size != entry.size:
                return None
            if isinstance(self.source, InPlaceSource):
                self._check_head(entry)
                sha256 = self._read_back(work.store, entry, there.etag)
                return ManifestFile(entry.path, entry.size, entry.id, there.etag, sha256)
            proof = known.get(entry.path)
            if proof is not None and proof.etag == there.etag and proof.sha256:
                # Touched at the source, or the source has other ids than last time: does the content differ?
                actual = entry.sha256 or self.source.sha256(entry)
                return dataclasses.replace(proof, id=entry.id) if actual == proof.sha256 else None
            if resuming:
                stored = self.control.retry(work.store.identify, entry.path)
                if stored is not None and stored.id == entry.id:
                    sha256 = stored.sha256 or entry.sha256 or self._read_back(work.store, entry, there.etag)
                    return ManifestFile(entry.path, entry.size, entry.id, there.etag, sha256)
            return None

        with concurrent.futures.ThreadPoolExecutor(_IDENTIFY_THREADS) as pool:
            found = pool.map(ask, self._mine(plan.change))
            return {file.path: file for file in found if file is not None}

    def _check_head(self, entry: FileEntry) -> None:
        head = memoryview(bytearray(min(SMALL, entry.size)))
        fill(head, 0, self.control, functools.partial(self.source.open, entry), self.meter.read)
        check_header(entry, head)

    def _read_back(self, store: Store, entry: FileEntry, etag: str) -> str:
        return hash_stored(store, ManifestFile(entry.path, entry.size, entry.id, etag, None), self.control)

    def _mine(self, entries: tuple[FileEntry, ...]) -> tuple[FileEntry, ...]:
        """Those that this process moves."""
        return entries if self.share is None else tuple(entry for entry in entries if entry.path in self.share)

    def _todo(self, work: _Work) -> tuple[FileEntry, ...]:
        return self._mine(work.plan.transfer) if work.plan else ()

    def _is_whole(self, work: _Work) -> bool:
        """Whether the manifest that is there is what this run would write."""
        plan, state, snapshot = work.plan, work.state, self.snapshot
        if plan is None or state is None or snapshot is None or state.manifest is None or plan.transfer:
            return False
        return state.manifest.revision == snapshot.revision and {file.path for file in state.manifest.files} == {
            entry.path for entry in snapshot.files
        }

    def _needs_work(self, work: _Work) -> bool:
        return work.plan is not None and (
            bool(work.plan.remove)
            or not self._is_whole(work)
            or (self.options.side_by_side and not self._points_here(work))
        )

    # -- move, verify, publish ---------------------------------------------------------------------------------

    def _claim(self, work: _Work) -> None:
        """Take the lease, look again, and from here on the prefix is not complete any more."""
        work.lease = Lease(
            work.store,
            self.control,
            lost=work.target.fail,
            seconds=self.options.lease_seconds,
            group=self.options.group,
        )
        try:
            work.lease.acquire()
        except TransferError:
            work.lease = None
            raise
        if work.lease.taken_over:
            work.result.warnings.append(f"Went on with the unfinished run of {work.lease.taken_over}.")
        before = work.state
        work.state = read_state(work.store, self.control)
        if before is None or before.listing != work.state.listing or before.manifest != work.state.manifest:
            self._plan(work)
        plan, state, snapshot = work.plan, work.state, self.snapshot
        if plan is None or snapshot is None:
            return
        if self.member is not None and self._is_whole(work):
            # Published meanwhile, or only not pruned yet; whoever published may not have come to its end.
            self._conclude(work, snapshot.revision)
            return
        work.target.todo = self._todo(work)
        work.target.resuming = PENDING in state.control
        work.target.ledgers = [path for path in state.control if path.startswith(UPLOADS)]
        self.control.retry(work.store.prepare, sum(entry.size for entry in work.target.todo))
        pending = Pending(
            revision=snapshot.revision,
            source=self.source.describe(),
            paths=tuple(entry.path for entry in snapshot.files),
            managed=tuple(sorted(state.managed)),
            previous=state.manifest or (state.pending.previous if state.pending else None),
            started=self.started,
            group=self.options.group,
            shards=self.options.shards,
        )
        if self.member is None:
            self.control.retry(work.store.put, PENDING, pending.to_json())
        else:
            siblings = work.root if self.options.side_by_side else None
            pending = self.member.join(work.store, self.control, pending, siblings=siblings)
        work.started = pending.started
        if work.recorded is None:  # with a record of this process the others may publish at any time
            self.control.retry(work.store.delete, MANIFEST)
        work.result.status = "partial"

    def _is_published(self, work: _Work) -> bool:
        """Whether another process of the group has published meanwhile: then what went wrong here is of no account.

        It may have lost the race to publish, or its lease at the end; or it was believed dead and was started again.
        """
        shard, snapshot = work.result.shard, self.snapshot
        if shard is None or shard.published or snapshot is None or not work.started:
            return False
        try:
            found = self.control.retry(work.store.get, MANIFEST)
            return found is not None and Manifest.from_json(found[0]).revision == snapshot.revision
        except TransferError:
            return False

    def _move(self, works: list[_Work]) -> None:
        if self.options.server_side_copy and isinstance(self.source, StoreSource):
            for work in works:
                with work.blame(self.control):
                    self._copy(work, self.source)
        mover = Mover(
            self.source,
            [work.target for work in works if work.alive],
            self.control,
            self.meter,
            workers=self.options.workers,
            part_size=self.options.part_size,
        )
        self.meter.enter("move")
        mover.run()
        self.meter.enter("verify")
        self.source.check_unchanged()
        for work in works:
            if work.alive:
                with work.blame(self.control):
                    self._finish(work)

    def _finish(self, work: _Work) -> None:
        plan, snapshot = work.plan, self.snapshot
        if plan is None or snapshot is None:
            raise InputError("Nothing was planned.")
        files = {file.path: file for file in plan.keep} | work.target.files
        listing: t.Mapping[str, Listed] = self.control.retry(work.store.list)
        self._verify(work, self._mine(snapshot.files), files, listing)
        if self.member is None:
            self._publish(work, files)
            return
        files, listing = self._record(work, self.member, files)
        if work.result.shard and work.result.shard.done == self.member.count:
            self._verify(work, snapshot.files, files, listing)
            self._publish(work, files)

    def _record(
        self, work: _Work, member: Member, files: t.Mapping[str, ManifestFile]
    ) -> tuple[dict[str, ManifestFile], t.Mapping[str, Listed]]:
        """Write what this process has done and look who else is done: their files, and what lies there now."""
        snapshot, lease, shard = self.snapshot, work.lease, work.result.shard
        if snapshot is None or lease is None or shard is None:
            raise InputError("Nothing was planned.")
        mine = tuple(files[entry.path] for entry in self._mine(snapshot.files))
        record = Record(member.group, snapshot.revision, mine)
        if work.recorded != record:
            lease.check()
            self.control.retry(work.store.put, member.path, record.to_json())
        listing = self.control.retry(work.store.list)
        if MANIFEST in listing:
            raise ConflictError(f"{work.result.url} has a manifest that this run did not write.", hint="Run again.")
        records = member.records(work.store, self.control, listing, snapshot.revision)
        shard.done = len(records)
        return {file.path: file for record in records.values() for file in record.files}, listing

    def _copy(self, work: _Work, source: StoreSource) -> None:
        """Server-side copy where both ends are one store; what it cannot do is left to the mover."""

        def copy(entry: FileEntry) -> FileEntry | None:
            self.control.check()
            if not work.alive:
                return entry
            etag = self.control.retry(work.store.copy, source.store, entry)
            if etag is None:
                return entry
            work.target.finished(entry, etag, entry.sha256)
            return None

        todo = work.target.todo
        left = [copy(todo[0])] if todo else []
        if left and left[0] is not None:
            return
        with concurrent.futures.ThreadPoolExecutor(self.options.workers) as pool:
            left += pool.map(copy, todo[1:])
        work.target.todo = tuple(entry for entry in left if entry is not None)
        work.target.bytes_copied = sum(entry.size for entry in todo) - sum(entry.size for entry in work.target.todo)

    def _verify(
        self,
        work: _Work,
        entries: t.Iterable[FileEntry],
        files: t.Mapping[str, ManifestFile],
        listing: t.Mapping[str, Listed],
    ) -> None:
        """What the store says when asked again: every file there, with the size and ETag it was given."""
        for entry in entries:
            file, there = files.get(entry.path), listing.get(entry.path)
            if file is None or there is None or (there.size, there.etag) != (entry.size, file.etag):
                raise IntegrityError(
                    f"{work.result.url}{entry.path} is {there or 'missing'} after the move, "
                    f"expected {entry.size} bytes with ETag {file.etag if file else 'unknown'}.",
                    hint="Somebody else writes below this prefix, or the store lost data. Nothing was published.",
                )

    def _publish(self, work: _Work, files: t.Mapping[str, ManifestFile]) -> None:
        plan, snapshot, lease = work.plan, self.snapshot, work.lease
        if plan is None or snapshot is None or lease is None:
            raise InputError("Nothing was planned.")
        self.meter.enter("publish")
        manifest = Manifest(
            source=self.source.describe(),
            revision=snapshot.revision,
            files=tuple(files[entry.path] for entry in snapshot.files),
            stale=plan.remove + plan.stale,
            started=work.started,
            finished=_now(),
        )
        lease.check()
        put_manifest(work.store, manifest, self.control)
        self._conclude(work, manifest.revision)

    def _conclude(self, work: _Work, revision: str) -> None:
        """What is left to do when the manifest is there."""
        work.result.set_complete(published=True)
        if self.options.side_by_side:
            self._point(work, revision)
        self.control.retry(work.store.delete, PENDING)
        left = self.control.retry(work.store.list)
        drop_ledgers(work.store, self.control, [path for path in left if path.startswith(UPLOADS)])
        for path in left:
            if path.startswith(SHARDS):
                self.control.retry(work.store.delete, path)
        for path in work.plan.remove if work.plan else ():
            self.control.retry(work.store.delete, path)
        work.store.settle()
        if work.lease is not None:
            work.lease.release()
            work.lease = None

    # -- side by side ------------------------------------------------------------------------------------------

    def _point(self, work: _Work, revision: str) -> None:
        body = json.dumps({"revision": revision, "prefix": work.store.url, "switched": _now()}).encode()
        self.control.retry(work.root.put, CURRENT, body)

    def _points_here(self, work: _Work) -> bool:
        found = self.control.retry(work.root.get, CURRENT)
        return found is not None and pointed_revision(found[0]) == self.source.snapshot().revision

    def _fill_result(self, work: _Work, manifest: Manifest) -> None:
        work.result.revision = manifest.revision
        work.result.files = len(manifest.files)
        work.result.bytes = manifest.size
        work.result.stale = [path for path in manifest.stale if work.state and path in work.state.listing]


def put_manifest(store: Store, manifest: Manifest, control: Control) -> None:
    """Write the manifest where none is; the only thing that marks completion.

    :raises ConflictError: somebody else published meanwhile.
    """
    body, retries = manifest.to_json(), control.retries
    try:
        control.retry(store.put, MANIFEST, body, if_absent=True)
    except ConflictError:
        # Our own write may have won although its answer was lost.
        found = control.retry(store.get, MANIFEST) if control.retries > retries else None
        if found is None or found[0] != body:
            raise


def hash_stored(store: Store, file: ManifestFile, control: Control) -> str:
    """SHA-256 of an object, read back in bounded memory.

    :raises SourceChangedError: it is another object by now. :raises NotFoundError: it is gone.
    """
    hasher, step = sha256_hasher(), 16 * 1024**2
    buffer = memoryview(bytearray(min(step, max(1, file.size))))
    read = functools.partial(store.open, file.path, size=file.size, etag=file.etag)
    for start in range(0, file.size, step):
        view = buffer[: min(step, file.size - start)]
        fill(view, start, control, read, lambda _count: None)
        hasher.update(view)
    return hasher.hexdigest()


def _selection(described: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    # The same commit is the same content under any name for it and from any mirror.
    return {key: value for key, value in described.items() if key not in ("revision", "endpoint")}


def pointed_revision(data: bytes) -> str | None:
    """The revision that a pointer object names; None when it is damaged."""
    try:
        return str(parse_json(data)["revision"])
    except (ValueError, KeyError, TypeError):
        return None


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
