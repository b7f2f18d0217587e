# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Any object store as a source."""

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    NotFoundError,
    SourceChangedError,
    TransientError,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.paths import MANIFEST
from ansible_collections.modelops.serving.plugins.module_utils._transfer.stores.source import StoreSource
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._transfer.fakes import (
    MODEL,
    FakeControl,
    MemorySource,
    MemoryStore,
    run,
    sha256,
)


def filled(files=MODEL):
    store = MemoryStore()
    for path, data in files.items():
        store.put(path, data)
    store.log.clear()
    return store


def source_of(store, *, allow=(), ignore=()):
    return StoreSource(store, FakeControl(), kind="s3", allow=allow, ignore=ignore)


def test_the_listing_is_the_snapshot():
    store = filled()
    snapshot = source_of(store).snapshot()
    listing = store.list()
    assert [(item.path, item.size, item.id) for item in snapshot.files] == [
        (path, len(MODEL[path]), listing[path].etag) for path in sorted(MODEL)
    ]
    assert {item.sha256 for item in snapshot.files} == {None}


def test_the_snapshot_is_taken_once():
    store = filled()
    source = source_of(store)
    first = source.snapshot()
    store.put("more", b"x")
    assert source.snapshot() is first


def test_folder_markers_and_control_objects_are_no_files():
    store = filled({**MODEL, "folder/": b"", ".model-sync/uploads/x.json": b"{}"})
    assert [item.path for item in source_of(store).snapshot().files] == sorted(MODEL)


def test_patterns_select():
    snapshot = source_of(filled(), allow=["*.json"], ignore=["config*"]).snapshot()
    assert [item.path for item in snapshot.files] == ["tokenizer.json"]


def test_an_empty_prefix_is_an_error():
    with pytest.raises(NotFoundError, match="memory://m/ holds no files"):
        source_of(MemoryStore()).snapshot()


def test_the_revision_follows_the_content():
    store = filled()
    revision = source_of(store).snapshot().revision
    assert source_of(store).is_current(revision)
    store.put("config.json", b"other")
    assert not source_of(store).is_current(revision)
    store.put("config.json", MODEL["config.json"])
    assert source_of(store).is_current(revision)


def test_hashes_are_known_where_this_engine_made_the_copy():
    store = MemoryStore()
    run(MemorySource(MODEL), store)
    assert {item.path: item.sha256 for item in source_of(store).snapshot().files} == {
        path: sha256(data) for path, data in MODEL.items()
    }
    store.put("config.json", b"other")
    hashes = {item.path: item.sha256 for item in source_of(store).snapshot().files}
    assert hashes["config.json"] is None
    assert hashes["tokenizer.json"] == sha256(MODEL["tokenizer.json"])


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"schema": 99}'])
def test_a_foreign_or_damaged_manifest_proves_nothing(content):
    store = filled()
    store.put(MANIFEST, content)
    assert {item.sha256 for item in source_of(store).snapshot().files} == {None}


def test_bytes_are_read_under_the_listed_etag():
    store = filled()
    source = source_of(store)
    (item,) = [item for item in source.snapshot().files if item.path == "config.json"]
    with source.open(item, 2, 9) as chunks:
        assert b"".join(chunks) == MODEL["config.json"][2:9]
    store.put("config.json", b"x" * item.size)
    with pytest.raises(SourceChangedError), source.open(item, 2, 9):
        pass


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda store: store.put("config.json", b"other"), "config.json"),
        (lambda store: store.delete("tokenizer.json"), "tokenizer.json"),
        (lambda store: store.put("a-new-one", b"x"), "a-new-one"),
    ],
    ids=["changed", "removed", "added"],
)
def test_a_change_meanwhile_is_named(change, named):
    store = filled()
    source = source_of(store)
    source.snapshot()
    source.check_unchanged()
    change(store)
    with pytest.raises(SourceChangedError, match=repr(named)):
        source.check_unchanged()


def test_transient_errors_are_got_over():
    store = filled()
    store.fail("list", TransientError("503"))
    store.fail("get", TransientError("503"))
    assert len(source_of(store).snapshot().files) == len(MODEL)


def test_what_identifies_the_selection():
    assert source_of(filled(), allow=["*.json"], ignore=["x"]).describe() == {
        "type": "s3",
        "url": "memory://m/",
        "allow_patterns": ["*.json"],
        "ignore_patterns": ["x"],
    }
