# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What lies under a prefix, and taking it away again."""

from __future__ import annotations

import dataclasses
import typing as t

from .control import Control
from .errors import InputError, LockedError, SourceChangedError, TransferError
from .model import Manifest
from .mover import drop_ledgers
from .paths import MANIFEST
from .prefix import LEASE, PENDING, SHARDS, UPLOADS, Lease, Pending, State, holder_of, read_state
from .shards import Member
from .stores.base import Store
from .sync import CURRENT, TargetResult, hash_stored, pointed_revision

REVISIONS = "revisions/"


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What one prefix is. ``problems`` has a line per damaged file, ``unmanaged`` counts files of others.

    ``files_present`` and ``bytes_present`` count what is there of the files that belong to the model. ``shards`` are,
    of a run that several processes share and that has not published, how many of them are done and how many there are.
    ``started`` is when the run began that made the copy or has not published, ``holder`` has the lease of the latter.
    """

    url: str
    status: str
    revision: str | None
    manifest: Manifest | None
    problems: tuple[str, ...]
    files_expected: int
    files_present: int
    bytes_present: int
    unmanaged: int
    verified: bool
    current_revision: str | None = None
    revisions: tuple[str, ...] = ()
    shards: tuple[int, int] | None = None
    started: str | None = None
    holder: str | None = None


def inspect(store: Store, control: Control, *, verify: bool = False, side_by_side: bool = False) -> Inspection:
    """Look at a prefix, or with ``side_by_side`` at the revision its pointer names; writes nothing.

    :param verify: read every file back and compare its SHA-256 with the manifest.
    :raises TransferError: the store cannot be read.
    """
    current: str | None = None
    revisions: tuple[str, ...] = ()
    if side_by_side:
        found = control.retry(store.get, CURRENT)
        current = pointed_revision(found[0]) if found else None
        revisions = _revisions(control.retry(store.list))
        if current is not None:
            store = store.at(f"{store.prefix}{REVISIONS}{current}/")
    state = read_state(store, control)
    problems = ([state.manifest_error] if state.manifest_error else []) + state.damage()
    verified = False
    if verify and state.manifest is not None and not problems:
        problems = list(_rehash(store, state.manifest, control))
        verified = True
    expected = _expected(state)
    present = [path for path in expected if path in state.listing]
    run = state.manifest or state.pending
    return Inspection(
        url=store.url,
        status="corrupt" if problems else state.status,
        revision=run.revision if run else None,
        manifest=state.manifest,
        problems=tuple(problems),
        files_expected=len(expected),
        files_present=len(present),
        bytes_present=sum(state.listing[path].size for path in present),
        unmanaged=len(state.listing.keys() - state.managed),
        verified=verified,
        current_revision=current,
        revisions=revisions,
        shards=_shards(store, control, state),
        started=run.started if run else None,
        holder=_holder(store, control, state),
    )


def _holder(store: Store, control: Control, state: State) -> str | None:
    if state.manifest or LEASE not in state.control:
        return None
    found = control.retry(store.get, LEASE)
    return holder_of(found[0]) if found else None


def _shards(store: Store, control: Control, state: State) -> tuple[int, int] | None:
    pending = state.pending
    if pending is None or not pending.group:
        return None
    member = Member(pending.group, 0, pending.shards)
    return len(member.records(store, control, state.control, pending.revision)), pending.shards


def _expected(state: State) -> t.Sequence[str]:
    if state.manifest:
        return [file.path for file in state.manifest.files]
    return state.pending.paths if state.pending else ()


def _rehash(store: Store, manifest: Manifest, control: Control) -> t.Iterator[str]:
    for file in manifest.files:
        try:
            actual = hash_stored(store, file, control)
        except SourceChangedError as error:
            yield f"{file.path}: {error}"
            continue
        if file.sha256 is not None and actual != file.sha256:
            yield f"{file.path}: SHA-256 is {actual} instead of {file.sha256}"


def _revisions(paths: t.Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({path.split("/", 2)[1] for path in paths if path.startswith(REVISIONS)}))


def remove(
    store: Store, control: Control, *, check: bool = False, side_by_side: bool = False, lease_seconds: float = 45.0
) -> TargetResult:
    """Take a model away: first what says it is complete, then its files, then what this engine kept beside them.

    Files that this engine did not write stay, and are named in ``stale`` of the result.

    :raises LockedError: a run is at work there. :raises InputError: a damaged manifest hides what belongs to it.
    """
    if not side_by_side:
        return _remove(store, control, check=check, lease_seconds=lease_seconds)
    total = TargetResult(store.url)
    revisions = _revisions(control.retry(store.list))
    if control.retry(store.get, CURRENT) is not None:
        total.changed = True
        if not check:
            control.retry(store.delete, CURRENT)
    for revision in revisions:
        part = _remove(
            store.at(f"{store.prefix}{REVISIONS}{revision}/"), control, check=check, lease_seconds=lease_seconds
        )
        total.changed |= part.changed
        total.removed += [f"{REVISIONS}{revision}/{path}" for path in part.removed]
        total.stale += [f"{REVISIONS}{revision}/{path}" for path in part.stale]
    if not check and total.changed:
        store.forget()
    return total


def _remove(store: Store, control: Control, *, check: bool, lease_seconds: float) -> TargetResult:
    result = TargetResult(store.url)
    state = read_state(store, control)
    if state.manifest_error and state.pending is None:
        raise InputError(
            f"{store.url}: {state.manifest_error} It cannot be told which files belong to the model.",
            hint="Sync it again, which repairs the manifest, or remove the prefix with the store's own tools.",
        )
    _fill(result, state)
    if check or not result.changed:
        return result
    failures: list[TransferError] = []
    lease = Lease(store, control, lost=failures.append, seconds=lease_seconds)
    lease.acquire()
    try:
        state = read_state(store, control)
        _fill(result, state)
        pending = Pending(
            revision=result.previous_revision or "",
            source=state.manifest.source if state.manifest else {},
            paths=(),
            managed=tuple(sorted(state.managed)),
            previous=None,
            started="",
        )
        control.retry(store.put, PENDING, pending.to_json())
        control.retry(store.delete, MANIFEST)
        drop_ledgers(store, control, [path for path in state.control if path.startswith(UPLOADS)])
        for path in state.control:
            if path.startswith(SHARDS):
                control.retry(store.delete, path)
        for path in result.removed:
            if failures:
                raise LockedError(str(failures[0]))
            control.retry(store.delete, path)
        control.retry(store.delete, PENDING)
        store.settle()
    finally:
        lease.release()
    store.forget()
    return result


def _fill(result: TargetResult, state: State) -> None:
    result.removed = sorted(state.managed & state.listing.keys())
    result.stale = sorted(state.listing.keys() - state.managed)
    result.previous_revision = state.manifest.revision if state.manifest else None
    ours = [path for path in state.control if path in (MANIFEST, PENDING) or path.startswith((UPLOADS, SHARDS))]
    result.changed = bool(result.removed or ours)
