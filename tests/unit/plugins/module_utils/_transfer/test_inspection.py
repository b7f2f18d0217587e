# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What lies under a prefix, and taking it away again."""

from __future__ import annotations

import json

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    InputError,
    LockedError,
    StoreError,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.inspection import inspect, remove
from ansible_collections.modelops.serving.plugins.module_utils._transfer.paths import MANIFEST
from ansible_collections.modelops.serving.plugins.module_utils._transfer.prefix import LEASE, PENDING, Pending
from ansible_collections.modelops.serving.plugins.module_utils._transfer.sync import CURRENT
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._transfer.fakes import (
    MODEL,
    FakeControl,
    MemorySource,
    MemoryStore,
    run,
    works_for,
)

SIZE = sum(len(data) for data in MODEL.values())


def synced(**options):
    store = MemoryStore()
    run(MemorySource(MODEL, revision="r1"), store, **options)
    store.log.clear()
    return store


def unfinished(files=MODEL):
    """A prefix where a run failed in the middle of a large file."""
    store = MemoryStore()
    store.broken("complete", StoreError("The disk is full."))
    run(MemorySource(files, revision="r1"), store, workers=1)
    store.bucket.before.clear()
    store.log.clear()
    assert store.bucket.open_uploads
    return store


def look(store, **options):
    return inspect(store, FakeControl(), **options)


# -- inspect ---------------------------------------------------------------------------------------------------


def test_an_empty_prefix_is_absent():
    found = look(MemoryStore())
    assert (found.status, found.revision, found.manifest, found.problems) == ("absent", None, None, ())
    assert (found.files_expected, found.files_present, found.bytes_present, found.unmanaged) == (0, 0, 0, 0)


def test_a_complete_prefix_is_described_by_its_manifest():
    store = synced()
    store.put("notes.txt", b"mine")
    found = look(store)
    assert (found.status, found.revision, found.problems, found.verified) == ("complete", "r1", (), False)
    assert (found.files_expected, found.files_present, found.bytes_present, found.unmanaged) == (3, 3, SIZE, 1)


def test_an_unfinished_prefix_is_partial():
    store = MemoryStore()
    store.put("config.json", b"12345")
    store.put("notes.txt", b"mine")
    store.put(PENDING, Pending("r1", {}, tuple(sorted(MODEL)), (), None, "").to_json())
    found = look(store)
    assert (found.status, found.revision, found.manifest) == ("partial", "r1", None)
    assert (found.files_expected, found.files_present, found.bytes_present, found.unmanaged) == (3, 1, 5, 1)


def test_damage_is_named():
    store = synced()
    store.delete("config.json")
    store.put("tokenizer.json", b"[]")
    found = look(store)
    assert found.status == "corrupt"
    assert [line.partition(":")[0] for line in found.problems] == ["config.json", "tokenizer.json"]
    assert found.files_present == 2


def test_a_damaged_manifest_is_a_problem():
    store = synced()
    store.put(MANIFEST, b"{")
    found = look(store)
    assert found.status == "corrupt"
    assert found.problems[0].startswith("Not a manifest")


def test_verifying_reads_everything_back():
    store = synced()
    found = look(store, verify=True)
    assert (found.status, found.verified, found.problems) == ("complete", True, ())
    assert sorted(store.written("open")) == sorted(MODEL)


def test_verifying_finds_what_no_listing_shows():
    store = synced()
    item = store.bucket.objects["m/model.safetensors"]
    item.data = item.data[:-1] + b"\0"
    assert look(store).status == "complete"
    found = look(store, verify=True)
    assert found.status == "corrupt"
    assert found.verified
    (line,) = found.problems
    assert line.startswith("model.safetensors: SHA-256 is ")


def test_an_object_that_changes_while_it_is_verified_is_a_problem():
    store = synced()
    store.bucket.before["open"] = lambda path: (
        setattr(store.bucket.objects["m/" + path], "etag", "other") if path == "config.json" else None
    )
    found = look(store, verify=True)
    assert found.status == "corrupt"
    assert found.problems[0].startswith("config.json: ")


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("make", [MemoryStore, synced, unfinished])
def test_looking_writes_nothing(make, verify):
    store = make()
    look(store, verify=verify)
    assert store.writes == []


def test_side_by_side_the_pointer_decides():
    store = synced(side_by_side=True)
    run(MemorySource({**MODEL, "a": b"x"}, revision="r2"), store, side_by_side=True)
    found = look(store, side_by_side=True)
    assert (found.status, found.revision, found.current_revision) == ("complete", "r2", "r2")
    assert found.revisions == ("r1", "r2")
    assert found.url == "memory://m/revisions/r2/"
    store.put(CURRENT, json.dumps({"revision": "r1"}).encode())
    assert look(store, side_by_side=True).revision == "r1"


# -- remove ----------------------------------------------------------------------------------------------------


def take_away(store, **options):
    return remove(store, FakeControl(), **options)


def test_a_model_is_removed_and_files_of_others_stay():
    store = synced()
    store.put("notes.txt", b"mine")
    result = take_away(store)
    assert store.everything == {"notes.txt": b"mine"}
    assert (result.changed, result.removed, result.stale) == (True, sorted(MODEL), ["notes.txt"])
    assert result.previous_revision == "r1"


def test_the_manifest_goes_before_the_files():
    store = synced()
    take_away(store)
    deleted = store.written("delete")
    assert deleted.index(MANIFEST) < min(deleted.index(path) for path in MODEL)
    assert store.log.index(("put", PENDING)) < store.log.index(("delete", MANIFEST))
    assert deleted[-2:] == [PENDING, LEASE]


def test_removing_an_unfinished_model_aborts_its_uploads():
    store = unfinished()
    result = take_away(store)
    assert result.changed
    assert store.everything == {}
    assert store.bucket.open_uploads == {}


@pytest.mark.parametrize("content", [{}, {"notes.txt": b"mine"}], ids=["empty", "files of others"])
def test_removing_nothing_changes_nothing(content):
    store = MemoryStore()
    for path, data in content.items():
        store.put(path, data)
    store.log.clear()
    assert take_away(store).changed is False
    assert store.writes == []


def test_removing_again_changes_nothing():
    store = synced()
    take_away(store)
    store.log.clear()
    assert take_away(store).changed is False
    assert store.writes == []


@pytest.mark.parametrize("options", [{}, {"side_by_side": True}])
def test_check_mode_predicts_and_writes_nothing(options):
    store = synced(**options)
    predicted = take_away(store, check=True, **options)
    assert store.writes == []
    happened = take_away(store, **options)
    assert predicted == happened
    assert predicted.changed


@pytest.mark.parametrize("steps", range(9))
def test_an_interrupted_removal_can_be_finished_and_never_looks_complete(steps):
    store = synced()
    step = works_for(steps)
    store.bucket.before.update(put=step, delete=step)
    try:
        take_away(store)
    except StoreError:
        pass
    store.bucket.before.clear()
    store.delete(LEASE)  # the process has died
    if store.manifest is not None:
        assert store.files == MODEL
    take_away(store)
    assert store.everything == {}


def test_a_model_that_is_being_changed_is_not_removed():
    store = synced()
    seen = []

    def remove_meanwhile(entry, start, end):
        if not seen:
            with pytest.raises(LockedError):
                take_away(store)
            seen.append(True)

    source = MemorySource({**MODEL, "a": b"x"}, revision="r2")
    source.before_open = remove_meanwhile
    assert not run(source, store).failed
    assert seen
    assert store.files == source.files


def test_a_damaged_manifest_hides_what_belongs_to_the_model():
    store = synced()
    store.put(MANIFEST, b"{")
    store.log.clear()
    with pytest.raises(InputError, match="cannot be told which files belong") as caught:
        take_away(store)
    assert "Sync it again" in caught.value.hint
    assert store.writes == []


def test_side_by_side_all_revisions_and_the_pointer_go():
    store = synced(side_by_side=True)
    run(MemorySource({**MODEL, "a": b"x"}, revision="r2"), store, side_by_side=True)
    store.put("revisions/r1/notes.txt", b"mine")
    store.log.clear()
    result = take_away(store, side_by_side=True)
    assert store.everything == {"revisions/r1/notes.txt": b"mine"}
    assert store.written("delete")[0] == CURRENT
    assert result.changed
    assert "revisions/r2/a" in result.removed
    assert result.stale == ["revisions/r1/notes.txt"]
    assert take_away(store, side_by_side=True).changed is False
