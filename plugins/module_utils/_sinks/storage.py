# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The folder of a run in a bucket or a directory: ``<prefix>/<run id>/``. With ``summary.json`` there, it is whole."""

from __future__ import annotations

import hashlib
import mmap
import os
import typing as t
from pathlib import Path

from ansible_collections.modelops.serving.plugins.module_utils._bench.records import storage_error
from ansible_collections.modelops.serving.plugins.module_utils._bench.sinks.rows import Run, Warn
from ansible_collections.modelops.serving.plugins.module_utils._sinks import ledger as ledgers
from ansible_collections.modelops.serving.plugins.module_utils._sinks.ledger import Ledger
from ansible_collections.modelops.serving.plugins.module_utils._sinks.sink import Counts, Sink
from ansible_collections.modelops.serving.plugins.module_utils._transfer.control import Control
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError
from ansible_collections.modelops.serving.plugins.module_utils._transfer.paths import model_prefix
from ansible_collections.modelops.serving.plugins.module_utils._transfer.request import build_store
from ansible_collections.modelops.serving.plugins.module_utils._transfer.stores.base import Store

_LAST = "summary.json"


class Storage(Sink):
    """:param destination: as :func:`build_store` takes it."""

    def __init__(self, destination: t.Mapping[str, t.Any], control: Control) -> None:
        self._control = control
        self._prefix = str(destination.get("prefix") or "")
        # Made once: its client is costly, and what it does not know is refused before anything is sent.
        self._base = build_store(destination, control, name="run", pool_size=2)

    def _store(self, run: Run) -> Store:
        return self._base.at(model_prefix(self._prefix, run.run_id))

    def where(self, run: Run) -> str:
        return self._store(run).url

    def send(self, run: Run, ledger: Ledger, *, check: bool, warn: Warn) -> Counts:
        del warn
        store, retry = self._store(run), self._control.retry
        if os.path.realpath(store.url.removeprefix("file://")) == os.path.realpath(run.place):
            raise InputError(f"The run in {run.place} cannot be copied onto itself.", hint="Choose another path.")
        noted = ledger.sent(store.place).get("files", {})
        listed = retry(store.list)
        files = {name: _mapped(run.place / name) for name in _names(run.place)}
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        # Compared by what was written when, since what a store tells of content differs from store to store.
        missing = [
            name
            for name, digest in digests.items()
            if name not in listed or noted.get(name) != [digest, listed[name].etag]
        ]
        if missing and _LAST in listed:
            # It says that the rest is whole, so it goes first and comes back last.
            missing = sorted({*missing, _LAST} & digests.keys(), key=_order)
        if missing and not check:
            kept = {name: note for name, note in noted.items() if name in digests and name not in missing}
            ledger.note(store.place, {"files": kept})
            retry(store.prepare, sum(len(files[name]) for name in missing))
            if _LAST in listed:
                retry(store.delete, _LAST)
            for name in missing:
                kept[name] = [digests[name], retry(store.put, name, files[name])]
                ledger.note(store.place, {"files": kept})
            store.settle()
        return {"files": len(missing)}


def _names(place: Path) -> list[str]:
    """The files of a run, its summary last; not what is ours or half written."""
    try:
        found = [entry.name for entry in os.scandir(place) if entry.is_file()]
    except OSError as error:
        raise storage_error(place, error) from error
    return sorted((name for name in found if name != ledgers.FILE and not name.startswith(".")), key=_order)


def _order(name: str) -> tuple[bool, str]:
    return name == _LAST, name


def _mapped(path: Path) -> memoryview:
    """The bytes of a file without reading them into memory, as many as there are now."""
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            return memoryview(mmap.mmap(stream.fileno(), size, access=mmap.ACCESS_READ) if size else b"")
    except OSError as error:
        raise storage_error(path, error) from error
