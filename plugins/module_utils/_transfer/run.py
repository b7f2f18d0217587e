# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine's front: plain data in, plain data out. Shared by the Ansible modules and the command line.

A request is a mapping::

    name: google/gemma-3-1b-it          # default: the source's own name
    source: {type: huggingface, repo: google/gemma-3-1b-it, revision: main}   # or kaggle, s3, gcs, local, in_place
    destinations: [{type: s3, bucket: models, prefix: models}]
    options: {prune: false, timeout: 3600, ...}   # fields of SyncOptions and of Control
    notify: [{type: webhook, url: ...}]           # hooks, see notify.py; used by run_job only

Any string option of the source, of a destination or of a hook may be given as ``{from_file: /path}``.

Results hold counts and the first names of files, never whole listings, and never a secret.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
import typing as t

from .control import Control
from .errors import InputError, StoppedError, TransferError, describe_error
from .inspection import Inspection, inspect, remove
from .meter import ProgressCallback
from .mover import SMALL_THREADS
from .notify import check_hooks, notify
from .request import IN_PLACE, Data, build_in_place, build_source, build_store, default_name, read_files
from .sync import SyncOptions, SyncResult, TargetResult, sync

FIRST_NAMES = 10
MAX_PROBLEMS = 20
_CONTROL = ("timeout", "stall_timeout", "attempts")


def run_sync(
    request: Data,
    *,
    check: bool = False,
    on_progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> dict[str, t.Any]:
    """Sync a model to its destinations.

    :param stop: when set, the run ends at the next opportunity and can be resumed.
    :returns: ``changed``, ``failed``, ``revision``, ``destinations`` and totals.
    :raises TransferError: bad input, a failed source or a passed deadline.
    """
    request = _read(request)
    options, control = _options(request)
    _watch(stop, control)
    pool = max(SMALL_THREADS, options.workers + 2)
    name = _name(request)
    described = _need(request, "source")
    in_place = isinstance(described, t.Mapping) and described.get("type") == IN_PLACE
    source, warnings = (None, []) if in_place else build_source(described, control, pool_size=pool)
    stores = [build_store(data, control, name=name, pool_size=pool) for data in _destinations(request)]
    if source is None:
        if options.side_by_side:
            raise InputError("Source in_place cannot be used with side_by_side: what lies there has one place.")
        source = build_in_place(described, stores, control)
    result = sync(source, stores, control, options, check=check, on_progress=on_progress)
    return {
        "changed": result.changed,
        "failed": bool(result.failed),
        "name": name,
        "revision": result.revision,
        "destinations": [_describe(target) for target in result.targets],
        **_totals(result),
        "warnings": warnings + [line for target in result.targets for line in target.warnings],
    }


def run_job(
    request: Data,
    *,
    check: bool = False,
    on_progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> dict[str, t.Any]:
    """As :func:`run_sync`, but what ends the run is in the result (``error``), and the hooks in ``notify`` are told."""
    hooks = request.get("notify") or []
    result: dict[str, t.Any] = {"changed": False, "failed": True, "revision": None, "destinations": [], "warnings": []}
    try:
        check_hooks(hooks)
    except InputError as error:
        return {**result, "error": describe_error(error)}
    try:
        result = run_sync(request, check=check, on_progress=on_progress, stop=stop)
    except TransferError as error:
        with contextlib.suppress(TransferError):
            result["name"] = _name(_read(request))
        result["error"] = describe_error(error)
    if not check:
        result["warnings"] = result["warnings"] + notify(hooks, result)
    return result


def run_remove(request: Data, *, check: bool = False) -> dict[str, t.Any]:
    """Remove a model from its destinations; what of it is there already decides ``changed``.

    :raises TransferError: bad input. A destination that fails is reported in its result.
    """
    request = _read(request)
    options, control = _options(request)
    name = _name(request)
    results = []
    for data in _destinations(request):
        store = build_store(data, control, name=name)
        try:
            results.append(
                remove(
                    store,
                    control,
                    check=check,
                    side_by_side=options.side_by_side,
                    lease_seconds=options.lease_seconds,
                )
            )
        except TransferError as error:
            results.append(TargetResult(store.url, error=error))
    return {
        "changed": any(result.changed for result in results),
        "failed": any(result.error for result in results),
        "name": name,
        "revision": None,
        "destinations": [_describe(result) for result in results],
        "warnings": [],
    }


def run_inspect(request: Data, *, verify: bool = False) -> list[dict[str, t.Any]]:
    """What lies at each destination: one mapping each, in order.

    :raises TransferError: bad input, or a destination that cannot be read.
    """
    request = _read(request)
    options, control = _options(request)
    name = _name(request)
    found = []
    for data in _destinations(request):
        store = build_store(data, control, name=name)
        found.append(_inspected(name, inspect(store, control, verify=verify, side_by_side=options.side_by_side)))
    return found


def _read(request: Data) -> Data:
    """The request with the contents of files where it names them.

    :raises InputError: a file cannot be read or is empty.
    """
    source, destinations = request.get("source"), request.get("destinations")
    read = dict(request)
    if isinstance(source, t.Mapping):
        read["source"] = read_files(source, "the source")
    if isinstance(destinations, (list, tuple)):
        read["destinations"] = [
            read_files(data, f"destination {number}") if isinstance(data, t.Mapping) else data
            for number, data in enumerate(destinations, 1)
        ]
    return read


def _need(request: Data, key: str) -> t.Any:
    value = request.get(key)
    if not value:
        raise InputError(f"The request needs {key}.")
    return value


def _name(request: Data) -> str:
    name = request.get("name") or default_name(_need(request, "source"))
    if not isinstance(name, str):
        raise InputError("The name must be a string.")
    return name


def _destinations(request: Data) -> t.Sequence[Data]:
    destinations = _need(request, "destinations")
    if not isinstance(destinations, (list, tuple)):
        raise InputError("The destinations must be a list.")
    return destinations


_KINDS: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a positive number",
    str: "a string",
}


def _fits(value: t.Any, kind: type) -> bool:
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    if kind is str:
        return isinstance(value, str)
    return isinstance(value, (int, float)) and value > 0 if kind is float else isinstance(value, int)


def _options(request: Data) -> tuple[SyncOptions, Control]:
    raw = request.get("options") or {}
    if not isinstance(raw, t.Mapping):
        raise InputError("The options are not a mapping.")
    given = {key: value for key, value in raw.items() if value is not None}
    known = {field.name: type(field.default) for field in dataclasses.fields(SyncOptions)}
    kinds = {**known, "timeout": float, "stall_timeout": float, "attempts": int}
    for key, value in given.items():
        if key not in kinds:
            raise InputError(f"There is no option {key!r}.", hint=f"Options are {', '.join(sorted(kinds))}.")
        if not _fits(value, kinds[key]):
            raise InputError(f"Option {key} must be {_KINDS[kinds[key]]}.")
    options = SyncOptions(**{key: value for key, value in given.items() if key in known})
    if options.workers < 1 or options.part_size < 5 * 1024**2:
        raise InputError(
            f"workers is {options.workers} and part_size {options.part_size}.",
            hint="Give at least 1 worker and parts of at least 5 MiB, the smallest that S3 takes.",
        )
    if options.shards < 1 or not 0 <= options.shard < options.shards or (options.shards > 1 and not options.group):
        raise InputError(
            f"shards is {options.shards}, shard {options.shard} and group {options.group!r}.",
            hint="Give each process its own shard from 0 to shards - 1, and all of them one group.",
        )
    return options, Control(**{key: given[key] for key in _CONTROL if key in given})


def _watch(stop: threading.Event | None, control: Control) -> None:
    if stop is None:
        return

    def wait() -> None:
        stop.wait()
        control.stop(StoppedError("The run was asked to stop.", hint="Run it again to go on where it ended."))

    threading.Thread(target=wait, name="stop", daemon=True).start()


def _names(paths: t.Sequence[str]) -> dict[str, t.Any]:
    return {"count": len(paths), "first": list(paths[:FIRST_NAMES])}


def _describe(target: TargetResult) -> dict[str, t.Any]:
    shard = {"shard": dataclasses.asdict(target.shard)} if target.shard else {}
    return {
        "url": target.url,
        "changed": target.changed,
        "status": target.status,
        "revision": target.revision,
        "previous_revision": target.previous_revision,
        "files": target.files,
        "bytes": target.bytes,
        "added": _names(target.added),
        "updated": _names(target.updated),
        "removed": _names(target.removed),
        "stale": _names(target.stale),
        "bytes_to_send": target.bytes_to_send,
        "bytes_sent": target.bytes_sent,
        "bytes_resumed": target.bytes_resumed,
        "bytes_copied": target.bytes_copied,
        "error": describe_error(target.error) if target.error else None,
        **shard,
    }


def _totals(result: SyncResult) -> dict[str, t.Any]:
    return {
        "bytes_read": result.bytes_read,
        "retries": result.retries,
        "stalls": result.stalls,
        "seconds": round(result.seconds, 3),
    }


def _inspected(name: str, found: Inspection) -> dict[str, t.Any]:
    manifest = found.manifest
    return {
        "name": name,
        "url": found.url,
        "status": found.status,
        "revision": found.revision,
        "current_revision": found.current_revision,
        "revisions": list(found.revisions),
        "source": dict(manifest.source) if manifest else None,
        "started": found.started,
        "finished": manifest.finished if manifest else None,
        "tool": manifest.tool if manifest else None,
        "files": found.files_expected,
        "files_present": found.files_present,
        "bytes": manifest.size if manifest else None,
        "bytes_present": found.bytes_present,
        "unmanaged": found.unmanaged,
        "verified": found.verified,
        "holder": found.holder,
        "shards": {"done": found.shards[0], "count": found.shards[1]} if found.shards else None,
        "problems": {"count": len(found.problems), "first": list(found.problems[:MAX_PROBLEMS])},
    }


def progress_data(progress: t.Any) -> dict[str, t.Any]:
    """A progress report as plain data, with the time it was made."""
    return {"time": round(time.time(), 3), **dataclasses.asdict(progress)}
