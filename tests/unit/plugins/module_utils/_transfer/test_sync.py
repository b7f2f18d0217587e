# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way of a model: plan, move, verify, publish; what is written when, and what is not."""

from __future__ import annotations

import json

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._transfer.control import Control
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    AccessError,
    ConflictError,
    DeadlineError,
    InputError,
    IntegrityError,
    LockedError,
    NotFoundError,
    SourceChangedError,
    StoppedError,
    StoreError,
    TransientError,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.hashing import can_resume
from ansible_collections.modelops.serving.plugins.module_utils._transfer.model import Manifest, ManifestFile
from ansible_collections.modelops.serving.plugins.module_utils._transfer.paths import CONTROL, MANIFEST
from ansible_collections.modelops.serving.plugins.module_utils._transfer.prefix import LEASE, PENDING
from ansible_collections.modelops.serving.plugins.module_utils._transfer.stores.source import (
    InPlaceSource,
    StoreSource,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.sync import (
    CURRENT,
    hash_stored,
    pointed_revision,
    put_manifest,
    sync,
)
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._transfer.fakes import (
    MODEL,
    CopyingStore,
    FakeControl,
    MemorySource,
    MemoryStore,
    proof,
    run,
    safetensors,
    sha256,
    some_bytes,
    wait_for,
    works_for,
)

SIZE = sum(len(data) for data in MODEL.values())
CHANGED = {**MODEL, "tokenizer.json": b'{"new": true}', "README.md": b"# Model"}


def model(revision="r1", files=MODEL, **options):
    return MemorySource(files, revision=revision, **options)


def synced(revision="r1", files=MODEL, *, promise="sha256"):
    """A store that holds a complete model, with an empty log."""
    store = MemoryStore()
    assert not run(model(revision, files, promise=promise), store).failed
    store.log.clear()
    return store


# -- the first time --------------------------------------------------------------------------------------------


def test_a_first_sync_makes_a_complete_verified_copy():
    store, source = MemoryStore(), model()
    result = run(source, store)
    (target,) = result.targets
    assert store.files == MODEL
    assert store.control_objects == [MANIFEST]
    assert (result.changed, result.failed, result.revision) == (True, [], "r1")
    assert (target.status, target.revision, target.previous_revision) == ("complete", "r1", None)
    assert (target.added, target.updated, target.removed, target.stale) == (sorted(MODEL), [], [], [])
    assert target.files == 3
    assert target.bytes == target.bytes_sent == target.bytes_to_send == result.bytes_read == source.snapshot().size


def test_the_manifest_says_what_is_there():
    store, source = synced(), model()
    manifest = store.manifest
    assert (manifest.revision, manifest.source, manifest.stale) == ("r1", source.describe(), ())
    assert [file.path for file in manifest.files] == sorted(MODEL)
    listing = store.list()
    for file, item in zip(manifest.files, source.snapshot().files, strict=True):
        assert (file.id, file.size, file.sha256) == (item.id, len(MODEL[file.path]), sha256(MODEL[file.path]))
        assert file.etag == listing[file.path].etag
    assert manifest.started <= manifest.finished
    assert manifest.finished.endswith("Z")


def test_the_largest_file_proves_that_reading_is_allowed():
    source = model()
    run(source, MemoryStore())
    assert source.preflights == ["model.safetensors"]


# -- again -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prune", [True, False])
def test_a_sync_with_nothing_to_do_is_one_listing_and_one_get(prune):
    store, source = synced(), model()
    result = run(source, store, prune=prune)
    assert store.log == [("list", ""), ("get", MANIFEST)]
    assert source.opened == source.preflights == []
    assert (result.changed, result.failed, result.bytes_read, result.revision) == (False, [], 0, "r1")
    (target,) = result.targets
    assert (target.status, target.revision, target.files, target.bytes) == ("complete", "r1", 3, SIZE)


def test_a_new_revision_moves_only_what_changed():
    store = synced()
    source = model("r2", CHANGED)
    (target,) = run(source, store).targets
    assert store.files == CHANGED
    assert (target.added, target.updated) == (["README.md"], ["tokenizer.json"])
    assert (target.revision, target.previous_revision) == ("r2", "r1")
    assert target.bytes_sent == len(CHANGED["README.md"]) + len(CHANGED["tokenizer.json"])
    assert {path for path, _start, _end in source.opened} == {"README.md", "tokenizer.json"}
    assert run(model("r2", CHANGED), store).changed is False


def test_a_new_revision_of_the_same_files_writes_no_file():
    store = synced()
    source = model("r2")
    (target,) = run(source, store).targets
    assert target.changed
    assert source.opened == []
    assert store.manifest.revision == "r2"
    assert {path for _operation, path in store.writes if not path.startswith(CONTROL)} <= {""}


@pytest.mark.parametrize("harm", ["missing", "overwritten", "truncated"])
def test_damage_is_repaired(harm):
    store = synced()
    if harm == "missing":
        store.delete("config.json")
    else:
        store.put("config.json", b"other" if harm == "overwritten" else MODEL["config.json"][:-1])
    (target,) = run(model(), store).targets
    assert store.files == MODEL
    assert target.added + target.updated == ["config.json"]
    assert target.status == "complete"


def test_a_damaged_manifest_is_replaced():
    store = synced()
    store.put(MANIFEST, b"half a manif")
    assert not run(model(), store).failed
    assert store.manifest.revision == "r1"
    assert store.files == MODEL


def test_files_that_the_source_only_touched_are_not_sent_again():
    class Touched(MemorySource):
        def _take(self):
            found = super()._take()
            files = tuple(type(item)(item.path, item.size, item.id + "-touched", sha256=None) for item in found.files)
            return type(found)("r2", files)

        def sha256(self, entry):
            return sha256(self.files[entry.path])

    store = synced()
    source = Touched({**MODEL, "tokenizer.json": b"[]"})
    (target,) = run(source, store).targets
    assert store.files == source.files
    assert target.updated == ["tokenizer.json"]
    assert run(Touched(source.files), store).changed is False


# -- order of writes -------------------------------------------------------------------------------------------


def test_nothing_is_written_before_the_lease_and_nothing_after_it():
    store = synced()
    run(model("r2", CHANGED), store)
    assert store.writes[0] == ("put", LEASE)
    assert store.writes[-1] == ("delete", LEASE)


def test_the_manifest_goes_first_and_comes_last():
    store = synced(files={**MODEL, "old.bin": b"old"})
    run(model("r2", CHANGED), store, prune=True)
    files = [at for at, (_operation, path) in enumerate(store.log) if path in CHANGED]
    pending = store.log.index(("put", PENDING))
    gone = store.log.index(("delete", MANIFEST))
    back = store.log.index(("put", MANIFEST))
    pruned = store.log.index(("delete", "old.bin"))
    assert pending < gone < min(files)
    assert max(files) < back < pruned
    verified = max(at for at, item in enumerate(store.log[:back]) if item == ("list", ""))
    assert verified > max(files)
    assert store.log.index(("delete", PENDING)) > back


@pytest.mark.parametrize("when", ["before", "after"])
def test_wherever_a_run_ends_the_prefix_never_claims_to_be_what_it_is_not(when):
    """Every write in turn is the first one that fails, before or after it took effect."""
    new = {**CHANGED, "model.safetensors": safetensors(some_bytes(3500, 7))}
    revisions = {"r1": {**MODEL, "old.bin": b"old"}, "r2": new}
    for steps in range(100):
        store = synced(files=revisions["r1"])
        step = works_for(steps)
        faults = getattr(store.bucket, when)
        faults.update(dict.fromkeys(("put", "put_part", "complete", "begin", "delete", "prepare"), step))
        failed = run(model("r2", new), store, prune=True, workers=1).failed
        faults.clear()
        store.delete(LEASE)  # the process has died

        manifest = store.manifest
        if manifest is not None:
            promised = revisions[manifest.revision]
            assert {file.path for file in manifest.files} == promised.keys()
            assert promised.items() <= store.files.items()
        assert not run(model("r2", new), store, prune=True).failed
        assert store.files == new
        assert store.control_objects == [MANIFEST]
        assert store.bucket.open_uploads == {}
        if not failed:
            break
    assert 15 < steps < 99


# -- check mode ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "options"),
    [
        ({}, {}),
        (MODEL, {}),
        ({**MODEL, "old.bin": b"old"}, {}),
        ({**MODEL, "old.bin": b"old"}, {"prune": True}),
        (CHANGED, {}),
        (MODEL, {"side_by_side": True}),
    ],
    ids=["empty", "older", "older with stale file", "prune", "same files", "side by side"],
)
def test_check_mode_writes_nothing_and_predicts_what_happens(before, options):
    store = MemoryStore()
    if before:
        run(model("r1", before), store, **options)
    store.log.clear()
    objects = dict(store.bucket.objects)
    source = model("r2", CHANGED)
    predicted = run(source, store, check=True, **options)
    assert store.writes == []
    assert store.bucket.objects == objects
    happened = run(model("r2", CHANGED), store, **options)
    fields = ("changed", "added", "updated", "removed", "stale", "revision", "previous_revision", "files", "bytes")
    for field in (*fields, "bytes_to_send", "url"):
        assert getattr(predicted.targets[0], field) == getattr(happened.targets[0], field), field
    assert predicted.changed is True
    assert predicted.targets[0].bytes_sent == 0


def test_check_mode_finds_what_would_make_the_run_fail():
    with pytest.raises(IntegrityError, match=r"no config\.json"):
        run(MemorySource({"model.safetensors": safetensors()}), MemoryStore(), check=True)


# -- what must not begin ---------------------------------------------------------------------------------------

SHARDS = {
    "config.json": b"{}",
    "model.safetensors.index.json": json.dumps(
        {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    ).encode(),
    "one.safetensors": safetensors(b"1"),
    "two.safetensors": safetensors(b"2"),
}


def without(files, *paths):
    return {path: data for path, data in files.items() if path not in paths}


def test_a_sharded_model_is_copied_whole():
    store = MemoryStore()
    run(MemorySource(SHARDS), store)
    assert store.files == SHARDS


@pytest.mark.parametrize(
    ("files", "kind", "message"),
    [
        (without(SHARDS, "two.safetensors"), IntegrityError, "'two.safetensors'"),
        ({**SHARDS, "model.safetensors.index.json": b"{"}, IntegrityError, "not a safetensors index"),
        (without(SHARDS, "config.json"), IntegrityError, "no config.json"),
        ({"gemma/config.json": b"{}"}, IntegrityError, "one directory"),
    ],
    ids=["missing shard", "damaged index", "missing config", "one directory too deep"],
)
def test_a_source_that_is_not_whole_changes_nothing(files, kind, message):
    store = synced()
    with pytest.raises(kind, match=message):
        run(MemorySource(files), store)
    assert store.writes == []
    assert store.manifest.revision == "r1"


def test_a_model_without_config_may_be_asked_for():
    store = MemoryStore()
    run(MemorySource({"model.safetensors": safetensors()}), store, require_config=False)
    assert store.manifest is not None


def test_a_gated_source_changes_nothing():
    store, source = synced(), model("r2", CHANGED)

    def refuse(entry):
        raise AccessError("gated")

    source.preflight = refuse
    with pytest.raises(AccessError):
        run(source, store)
    assert store.writes == []


@pytest.mark.parametrize(
    "files",
    [{"a": b"1", "a/b": b"2"}, {"a//b": b"1"}, {"x" * 256: b"1"}],
    ids=["file and directory", "empty part", "long name"],
)
def test_what_a_directory_cannot_hold_changes_nothing_in_one(files):
    store = MemoryStore(is_files=True)
    with pytest.raises(InputError):
        run(MemorySource(files), store)
    assert store.writes == []
    objects = MemoryStore()
    run(MemorySource(files), objects)
    assert objects.files == files


@pytest.mark.parametrize("stores", [[], [MemoryStore(), MemoryStore()]], ids=["none", "twice the same"])
def test_destinations_must_be_given_once_each(stores):
    with pytest.raises(InputError, match=r"No destination|given twice"):
        run(model(), *stores)


# -- stale files and pruning -----------------------------------------------------------------------------------


def test_files_of_earlier_revisions_stay_and_are_named_stale():
    store = synced(files={**MODEL, "old.bin": b"old"})
    (target,) = run(model("r2", CHANGED), store).targets
    assert target.stale == ["old.bin"]
    assert target.removed == []
    assert store.manifest.stale == ("old.bin",)
    assert store.files == {**CHANGED, "old.bin": b"old"}
    (target,) = run(model("r2", CHANGED), store).targets
    assert (target.changed, target.stale) == (False, ["old.bin"])


def test_pruning_removes_them_also_later():
    store = synced(files={**MODEL, "old.bin": b"old"})
    run(model("r2", CHANGED), store)
    (target,) = run(model("r2", CHANGED), store, prune=True).targets
    assert target.removed == ["old.bin"]
    assert target.changed
    assert store.files == CHANGED
    store.log.clear()
    assert run(model("r2", CHANGED), store, prune=True).changed is False
    assert store.writes == []


def test_files_of_others_are_never_touched():
    store = MemoryStore()
    store.put("notes.txt", b"mine")
    store.put("old.bin", b"mine too")
    run(model(), store, prune=True)
    (target,) = run(model("r2", CHANGED), store, prune=True).targets
    assert target.removed == target.stale == []
    assert store.files == {**CHANGED, "notes.txt": b"mine", "old.bin": b"mine too"}


def test_files_beside_the_prefix_are_never_touched():
    store = synced(files={**MODEL, "old.bin": b"old"})
    neighbour = store.at("m2/")
    neighbour.put("old.bin", b"mine")
    run(model("r2", CHANGED), store, prune=True)
    assert neighbour.files == {"old.bin": b"mine"}


@pytest.mark.parametrize(("limit", "fails"), [(1, True), (2, False)])
@pytest.mark.parametrize("check", [True, False])
def test_pruning_more_than_prune_max_is_refused_before_anything_changes(limit, fails, check):
    store = synced(files={**MODEL, "old1": b"1", "old2": b"2"})
    other = MemoryStore(name="other")
    result = run(model("r2", CHANGED), store, other, prune=True, prune_max=limit, check=check)
    target = result.targets[0]
    if not fails:
        assert target.error is None
        return
    assert isinstance(target.error, InputError)
    assert "would remove 2 files, more than prune_max 1 allows, first 'old1'" in str(target.error)
    assert store.writes == []
    assert result.targets[1].error is None
    assert (other.manifest is None) is check


def test_a_file_that_an_unfinished_run_wrote_is_pruned():
    store = synced()

    def fail_late(path):
        if path == "tokenizer.json":
            wait_for(lambda: "gone.bin" in store.files)
            raise StoreError("The disk is full.")

    store.bucket.before["put"] = fail_late
    assert run(model("r2", {**CHANGED, "gone.bin": b"x"}), store).failed
    store.bucket.before.clear()
    (target,) = run(model("r3", CHANGED), store, prune=True).targets
    assert target.removed == ["gone.bin"]
    assert store.files == CHANGED


def test_what_several_unfinished_runs_wrote_is_pruned():
    store = synced()
    for revision, path in (("r2", "gone1.bin"), ("r3", "gone2.bin")):
        store.broken("put", StoreError("The disk is full."), path=MANIFEST)
        assert run(model(revision, {**CHANGED, path: b"x"}), store).failed
        store.bucket.before.clear()
    assert {"gone1.bin", "gone2.bin"} <= store.files.keys()
    store.log.clear()
    (target,) = run(model("r4", CHANGED), store, prune=True).targets
    assert target.removed == ["gone1.bin", "gone2.bin"]
    assert store.files == CHANGED
    # What the last manifest proves needs no question, although that manifest is gone for two runs.
    assert set(store.written("identify")) == {"tokenizer.json", "README.md"}
    assert target.bytes_sent == 0


@pytest.mark.parametrize("promise", ["sha256", None])
def test_a_file_of_the_right_size_but_of_an_earlier_revision_is_sent_after_an_unfinished_run(promise):
    store = synced(files={**MODEL, "a": b"1", "b": b"2"}, promise=promise)
    new = {**MODEL, "a": b"2", "b": b"1"}
    store.broken("put", StoreError("The disk is full."), path="a")
    assert run(model("r2", new, promise=promise), store).failed
    store.bucket.before.clear()
    run(model("r2", new, promise=promise), store)
    assert store.files == new


# -- verify ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("operation", "path"), [("put", "tokenizer.json"), ("complete", "model.safetensors")])
@pytest.mark.parametrize("loss", ["lost", "replaced", "truncated"])
def test_what_the_store_lost_is_noticed_before_publishing(operation, path, loss):
    good, bad = MemoryStore(name="good"), MemoryStore(name="bad")

    def lose(where):
        if where == path:
            item = bad.bucket.objects["m/" + path]
            if loss == "lost":
                del bad.bucket.objects["m/" + path]
            elif loss == "replaced":
                item.etag = "other"
            else:
                item.data = item.data[:-1]

    bad.bucket.after[operation] = lose
    result = run(model(), good, bad)
    assert good.manifest is not None
    assert bad.manifest is None
    (target,) = result.failed
    assert target.url == "bad://m/"
    assert isinstance(target.error, IntegrityError)
    assert f"bad://m/{path} is " in str(target.error)
    bad.bucket.after.clear()
    assert not run(model(), bad).failed
    assert bad.files == MODEL


def test_a_file_that_was_kept_and_vanishes_meanwhile_is_noticed():
    store = synced()
    store.bucket.after["put"] = lambda path: (
        store.bucket.objects.pop("m/config.json", None) if path == "README.md" else None
    )
    (target,) = run(model("r2", CHANGED), store).failed
    assert "config.json is missing after the move" in str(target.error)
    assert store.manifest is None


def test_a_source_that_changes_meanwhile_publishes_nothing():
    store, source = MemoryStore(), model()
    source.before_open = lambda entry, start, end: source.files.update({"more.txt": b"x"})
    with pytest.raises(SourceChangedError):
        run(source, store)
    assert store.manifest is None


def test_a_failed_update_is_reported_as_a_partial_copy():
    store = synced()
    store.broken("put", StoreError("The disk is full."), path="README.md")
    (target,) = run(model("r2", CHANGED), store).failed
    assert store.manifest is None
    assert target.status == "partial"


# -- leases ----------------------------------------------------------------------------------------------------


def test_a_prefix_that_another_run_holds_is_left_alone():
    holder, other = MemoryStore(name="held"), MemoryStore(name="free")
    seen = []

    def second_run(entry, start, end):
        if not seen:
            seen.append(True)
            seen.append(run(model("r2", CHANGED), holder, other))

    source = model()
    source.before_open = second_run
    assert not run(source, holder).failed
    held, free = seen[1].targets
    assert isinstance(held.error, LockedError)
    assert free.error is None
    assert holder.files == MODEL
    assert other.files == CHANGED


def test_a_run_that_loses_its_lease_publishes_nothing():
    store, source = synced(), model("r2", CHANGED)

    def take_over(path):
        if path == "README.md":
            store.bucket.objects["m/" + LEASE].data = b'{"id": "somebody else"}'

    store.bucket.after["put"] = take_over
    (target,) = run(source, store).failed
    assert isinstance(target.error, LockedError)
    assert store.manifest is None
    assert LEASE in store.control_objects


@pytest.mark.parametrize("kind", [AccessError, StoreError, KeyboardInterrupt])
def test_the_lease_is_let_go_however_the_run_ends(kind):
    store, source = MemoryStore(), model()

    def fail(entry, start, end):
        raise kind("no")

    source.before_open = fail
    with pytest.raises(kind):
        run(source, store)
    assert LEASE not in store.control_objects


def test_between_plan_and_lease_somebody_else_may_have_finished():
    store, source = MemoryStore(), model()
    seen = []

    def other_run(path):
        if path == LEASE and not seen:
            seen.append(True)
            run(model(), store)

    store.bucket.before["put"] = other_run
    (target,) = run(source, store).targets
    assert target.error is None
    assert {path for path, _start, _end in source.opened} == set()
    assert store.files == MODEL
    assert store.manifest.revision == "r1"


def test_an_unfinished_run_of_a_dead_process_is_continued_with_a_warning():
    store = MemoryStore()
    from ansible_collections.modelops.serving.plugins.module_utils._transfer import prefix

    holder = {**prefix._this_process(), "id": "dead", "seconds": 45.0, "pid": 2**22 + 1}
    if not holder["boot"]:
        pytest.skip("this machine does not tell its boots apart")
    store.put(LEASE, json.dumps(holder).encode())
    (target,) = run(model(), store).targets
    assert target.error is None
    assert target.warnings == [f"Went on with the unfinished run of process {2**22 + 1} on {holder['host']}."]


# -- deadline and stop -----------------------------------------------------------------------------------------


def test_the_deadline_ends_the_run_without_a_manifest():
    store, source = synced(), model("r2", CHANGED)
    control = Control(timeout=3600)

    def expire(entry, start, end):
        control._ends = 0

    source.before_open = expire
    with pytest.raises(DeadlineError):
        run(source, store, control=control)
    assert store.manifest is None
    assert LEASE not in store.control_objects
    assert not run(source, store).failed


def test_a_stop_ends_the_run_so_that_it_can_be_resumed():
    store, source, control = MemoryStore(), model(), FakeControl()
    source.before_open = lambda entry, start, end: control.stop(StoppedError("asked to stop"))
    with pytest.raises(StoppedError, match="asked to stop"):
        run(source, store, control=control)
    assert store.manifest is None
    assert PENDING in store.control_objects
    assert not run(model(), store).failed
    assert store.files == MODEL


# -- publishing ------------------------------------------------------------------------------------------------

WHOLE = Manifest({}, "r1", (proof(),))


def test_a_lost_answer_to_the_manifest_is_a_success():
    store = MemoryStore()
    store.fail("put", TransientError("reset"), when="after")
    put_manifest(store, WHOLE, FakeControl())
    assert store.manifest == WHOLE


def test_a_manifest_of_somebody_else_is_not_overwritten():
    store = MemoryStore()
    other = Manifest({}, "r2", (proof(),))
    store.put(MANIFEST, other.to_json())
    with pytest.raises(ConflictError):
        put_manifest(store, WHOLE, FakeControl())
    assert store.manifest == other


# -- side by side ----------------------------------------------------------------------------------------------


def current(store):
    data = store.everything.get(CURRENT)
    return None if data is None else pointed_revision(data)


def test_revisions_side_by_side_have_prefixes_of_their_own():
    store = MemoryStore()
    (target,) = run(model(), store, side_by_side=True).targets
    assert target.url == "memory://m/revisions/r1/"
    assert store.at("m/revisions/r1/").files == MODEL
    assert current(store) == "r1"


def test_the_old_revision_serves_until_the_new_one_is_whole():
    store = MemoryStore()
    run(model(), store, side_by_side=True)
    old, new = store.at("m/revisions/r1/"), store.at("m/revisions/r2/")
    seen = []

    def look(path):
        if path == CURRENT:
            assert new.manifest.revision == "r2"
            assert new.files == CHANGED
        else:
            assert current(store) == "r1"
        assert old.manifest.revision == "r1"
        assert old.files == MODEL
        seen.append(path)

    store.bucket.before.update(dict.fromkeys(("put", "put_part", "complete"), look))
    run(model("r2", CHANGED), store, side_by_side=True)
    assert seen.count(CURRENT) == 1
    assert current(store) == "r2"
    assert old.files == MODEL


def test_nothing_to_do_side_by_side_only_reads():
    store = MemoryStore()
    run(model(), store, side_by_side=True)
    store.log.clear()
    assert run(model(), store, side_by_side=True).changed is False
    assert store.log == [("list", ""), ("get", MANIFEST), ("get", CURRENT)]


def test_going_back_only_switches_the_pointer():
    store = MemoryStore()
    run(model(), store, side_by_side=True)
    run(model("r2", CHANGED), store, side_by_side=True)
    source = model()
    (target,) = run(source, store, side_by_side=True).targets
    assert target.changed
    assert target.bytes_sent == 0
    assert source.opened == []
    assert current(store) == "r1"


def test_a_failed_revision_leaves_the_pointer_alone():
    store, source = MemoryStore(), model("r2", CHANGED)
    run(model(), store, side_by_side=True)
    source.serve = lambda path, data: b"\0" * len(data)
    with pytest.raises(IntegrityError):
        run(source, store, side_by_side=True)
    assert current(store) == "r1"
    assert store.at("m/revisions/r1/").manifest is not None
    assert store.at("m/revisions/r2/").manifest is None


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"{}"])
def test_a_damaged_pointer_points_nowhere_and_is_replaced(data):
    assert pointed_revision(data) is None
    store = MemoryStore()
    run(model(), store, side_by_side=True)
    store.put(CURRENT, data)
    assert run(model(), store, side_by_side=True).changed
    assert current(store) == "r1"


# -- from a store ----------------------------------------------------------------------------------------------


def copied_from(store, **options):
    return StoreSource(store, FakeControl(), kind="memory", allow=(), ignore=(), **options)


def test_a_copy_of_a_copy_is_held_against_the_hashes_of_the_first():
    origin = synced()
    assert all(item.sha256 for item in copied_from(origin).snapshot().files)
    copy = MemoryStore(name="copy")
    run(copied_from(origin), copy)
    assert copy.files == MODEL
    store = MemoryStore(name="second")
    # Other bytes under the same size and ETag: what only a hash finds.
    origin.bucket.objects["m/tokenizer.json"].data = b"[]"
    with pytest.raises(IntegrityError, match=r"tokenizer\.json"):
        run(copied_from(origin), store)


def test_inside_one_store_no_byte_is_moved():
    origin = CopyingStore(prefix="origin/")
    run(model(), origin)
    origin.log.clear()
    copy = origin.at("copy/")
    source = copied_from(origin)
    (target,) = run(source, copy).targets
    assert copy.files == MODEL
    assert (target.bytes_sent, target.bytes_copied) == (0, source.snapshot().size)
    assert all(file.sha256 == sha256(MODEL[file.path]) for file in copy.manifest.files)
    assert origin.written("put_part") == []
    assert run(copied_from(origin), copy).changed is False


def test_server_side_copy_can_be_turned_off():
    origin = CopyingStore(prefix="origin/")
    run(model(), origin)
    copy = origin.at("copy/")
    (target,) = run(copied_from(origin), copy, server_side_copy=False).targets
    assert target.bytes_copied == 0
    assert origin.written("copy") == []
    assert copy.files == MODEL


def test_what_cannot_be_copied_inside_the_store_is_moved():
    origin, copy = MemoryStore(), MemoryStore(name="other")
    run(model(), origin)
    (target,) = run(copied_from(origin), copy).targets
    assert target.bytes_copied == 0
    assert copy.files == MODEL


@pytest.mark.parametrize("prefix", ["m/", "m/sub/", ""])
def test_a_destination_in_its_source_or_around_it_is_refused(prefix):
    origin = synced()
    objects = dict(origin.bucket.objects)
    with pytest.raises(InputError, match="the same place, or one lies in the other"):
        run(copied_from(origin), origin.at(prefix))
    assert origin.bucket.objects == objects


def test_a_destination_beside_its_source_is_fine():
    origin = synced()
    beside = origin.at("m2/")
    assert not run(copied_from(origin), beside).failed
    assert beside.files == MODEL


def test_two_names_of_one_place_are_one_destination():
    class Alias(MemoryStore):
        place = "the same bucket"

    with pytest.raises(InputError, match="given twice"):
        run(model(), Alias(name="one"), Alias(name="two"))


# -- in place --------------------------------------------------------------------------------------------------


def put_by_hand(files=MODEL):
    store = MemoryStore()
    for path, data in files.items():
        store.put(path, data)
    store.log.clear()
    return store


def in_place(store, **options):
    return run(InPlaceSource(store, FakeControl(), allow=(), ignore=()), store, **options)


def test_what_was_put_there_by_hand_is_hashed_and_given_a_manifest():
    store = put_by_hand()
    (target,) = in_place(store).targets
    assert (target.changed, target.error, target.status, target.bytes_sent) == (True, None, "complete", 0)
    assert {file.path: file.sha256 for file in store.manifest.files} == {
        path: sha256(data) for path, data in MODEL.items()
    }
    assert {path for _operation, path in store.writes if not path.startswith(CONTROL)} <= {""}
    assert store.files == MODEL
    store.log.clear()
    assert in_place(store).changed is False
    assert store.writes == []


def test_check_mode_in_place_writes_nothing():
    store = put_by_hand()
    assert in_place(store, check=True).changed
    assert store.writes == []


@pytest.mark.parametrize(
    "files",
    [
        without(MODEL, "config.json"),
        without(SHARDS, "two.safetensors"),
        {**MODEL, "model.safetensors": MODEL["model.safetensors"][:-1]},
    ],
    ids=["missing config", "missing shard", "truncated weights"],
)
def test_what_is_not_whole_is_not_given_a_manifest(files):
    store = put_by_hand(files)
    try:
        result = in_place(store)
    except IntegrityError:
        pass
    else:
        assert isinstance(result.targets[0].error, IntegrityError)
    assert store.manifest is None
    assert store.files == files


def test_what_changed_since_is_hashed_again():
    store = put_by_hand()
    in_place(store)
    store.put("tokenizer.json", b"[]")
    assert in_place(store).changed
    assert {file.path: file.sha256 for file in store.manifest.files}["tokenizer.json"] == sha256(b"[]")


# -- what is told ----------------------------------------------------------------------------------------------


def test_progress_goes_through_the_phases_and_ends_complete():
    reports = []
    run(model(), MemoryStore(), on_progress=reports.append)
    phases = [report.phase for report in reports]
    assert sorted(set(phases), key=phases.index) == ["plan", "move", "verify", "publish"]
    last = reports[-1]
    assert last.bytes_done == last.bytes_total == last.bytes_read == SIZE
    assert last.files_done == last.files_total == 3


def test_progress_of_a_resumed_run_counts_what_is_there():
    if not can_resume():
        pytest.skip("no libcrypto with SHA256_Init")
    store, source, reports = MemoryStore(), model(), []
    store.broken("put_part", StoreError("The disk is full."))
    run(source, store)
    store.bucket.before.clear()
    run(source, store, on_progress=reports.append)
    assert reports[-1].bytes_done == reports[-1].bytes_total


# -- reading back ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 1000])
def test_an_object_is_hashed_as_it_is(size):
    store, data = MemoryStore(), some_bytes(size)
    etag = store.put("a.bin", data)
    assert hash_stored(store, ManifestFile("a.bin", size, "id", etag, None), FakeControl()) == sha256(data)


def test_an_object_that_was_replaced_is_not_hashed():
    store = MemoryStore()
    store.put("a.bin", b"abc")
    with pytest.raises(SourceChangedError):
        hash_stored(store, ManifestFile("a.bin", 3, "id", "other", None), FakeControl())
    with pytest.raises(NotFoundError):
        hash_stored(store, ManifestFile("b.bin", 3, "id", "other", None), FakeControl())


def test_default_options_are_used_without_any():
    store = MemoryStore()
    assert not sync(model(), [store], FakeControl()).failed
    assert store.files == MODEL
