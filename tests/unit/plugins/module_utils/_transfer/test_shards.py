# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several processes share one sync: who moves what, who publishes, and what is left when one of them dies."""

from __future__ import annotations

import dataclasses
import itertools
import json
import threading
from unittest import mock

import hypothesis
import pytest
from hypothesis import strategies

from ansible_collections.modelops.serving.plugins.module_utils._transfer import mover
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    InputError,
    IntegrityError,
    LockedError,
    StoreError,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.inspection import inspect
from ansible_collections.modelops.serving.plugins.module_utils._transfer.paths import CONTROL, MANIFEST
from ansible_collections.modelops.serving.plugins.module_utils._transfer.prefix import LEASE, PENDING, SHARDS, Pending
from ansible_collections.modelops.serving.plugins.module_utils._transfer.shards import Member, Record, split
from ansible_collections.modelops.serving.plugins.module_utils._transfer.stores.source import (
    InPlaceSource,
    StoreSource,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.sync import CURRENT, SyncOptions, sync
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._transfer.fakes import (
    MODEL,
    READS,
    CopyingStore,
    FakeControl,
    MemorySource,
    MemoryStore,
    entry,
    proof,
    properties,
    run,
    safetensors,
    some_bytes,
    wait_for,
)

COUNT = 3
BIG = {
    **MODEL,
    "model-2.safetensors": safetensors(some_bytes(2900, 2)),
    "model-3.safetensors": safetensors(some_bytes(2500, 3)),
}
NEWER = {**BIG, "model-2.safetensors": safetensors(some_bytes(2950, 4)), "README.md": b"# Model"}


def model(files=BIG, revision="r1"):
    return MemorySource(files, revision=revision)


def member(index, *stores, source=None, group="g", count=COUNT, **options):
    """One process from its start to its end; its result."""
    return run(source or model(), *stores, group=group, shard=index, shards=count, **options)


def shares(files=BIG, count=COUNT):
    """Paths by member."""
    return [{item.path for item in share} for share in split(model(files).snapshot().files, count)]


def let_time_pass(store):
    """The lease of a dead group runs out."""
    store.bucket.objects.pop(store.prefix + LEASE, None)


def manifests_written(store):
    """A list that grows with each manifest that gets written."""
    written = []
    store.bucket.after["put"] = lambda path: written.append(path) if path.endswith(MANIFEST) else None
    return written


def assert_complete(store, files=BIG, revision="r1"):
    assert store.files == files
    assert store.control_objects == [MANIFEST]
    assert store.manifest.revision == revision
    assert store.bucket.open_uploads == {}
    found = inspect(store, FakeControl(), verify=True)
    assert (found.status, found.shards) == ("complete", None)


# -- the split -------------------------------------------------------------------------------------------------

FILES = strategies.lists(strategies.integers(0, 1000), max_size=30).map(
    lambda sizes: [entry(f"f{number}", size) for number, size in enumerate(sizes)]
)


@properties
@hypothesis.given(FILES, strategies.integers(1, 7), strategies.randoms(use_true_random=False))
def test_a_split_is_the_same_for_all_members_and_even(files, count, dice):
    found = split(files, count)
    assert sorted(item.path for share in found for item in share) == sorted(item.path for item in files)
    assert len(found) == count
    shuffled = list(files)
    dice.shuffle(shuffled)
    assert split(shuffled, count) == found
    loads = [sum(item.size for item in share) for share in found]
    assert max(loads) - min(loads) <= max((item.size for item in files), default=0)


def test_the_largest_file_goes_to_the_least_loaded_and_ties_by_path():
    files = [entry("b", 5), entry("a", 5), entry("c", 9), entry("d", 1)]
    assert [[item.path for item in share] for share in split(files, 2)] == [["c", "d"], ["a", "b"]]


# -- records ---------------------------------------------------------------------------------------------------


def test_a_record_survives_being_stored():
    record = Record("g", "r1", (proof("a", 3, sha256="s"), proof("b")))
    assert Record.from_json(record.to_json()) == record


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b'{"group": "g"}', b'{"group":"g","revision":"r","files":[1]}']
)
def test_a_damaged_record_is_none(data):
    assert Record.from_json(data) is None


def test_only_records_of_this_group_revision_and_count_count():
    store, mine = MemoryStore(), Record("g", "r1", (proof(),))
    store.put(SHARDS + "0-of-3.json", mine.to_json())
    store.put(SHARDS + "1-of-3.json", dataclasses.replace(mine, group="other").to_json())
    store.put(SHARDS + "2-of-3.json", dataclasses.replace(mine, revision="r0").to_json())
    store.put(SHARDS + "1-of-2.json", mine.to_json())
    store.put(SHARDS + "7-of-3.json", mine.to_json())
    store.put(SHARDS + "x-of-3.json", mine.to_json())
    assert Member("g", 1, 3).records(store, FakeControl(), store.list(), "r1") == {0: mine}


# -- one after the other ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", list(itertools.permutations(range(COUNT))), ids=str)
def test_each_member_moves_its_share_and_the_last_publishes(order):
    store, written = MemoryStore(), []
    for done, index in enumerate(order, 1):
        source = model()
        before = manifests_written(store)
        result = member(index, store, source=source)
        written += before
        (target,) = result.targets
        assert (result.failed, result.revision, target.changed) == ([], "r1", True)
        assert {path for path, _start, _end in source.opened} == shares()[index]
        assert target.bytes_sent == target.bytes_to_send == sum(len(BIG[path]) for path in shares()[index])
        assert set(target.added) == shares()[index]
        last = done == COUNT
        assert dataclasses.astuple(target.shard) == (index, COUNT, done, last)
        assert target.status == ("complete" if last else "partial")
        if not last:
            assert written == []
            assert store.control_objects == sorted(
                [LEASE, PENDING, *(f"{SHARDS}{number}-of-3.json" for number in order[:done])]
            )
            found = inspect(store, FakeControl())
            assert (found.status, found.shards, found.revision) == ("partial", (done, COUNT), "r1")
    assert_complete(store)
    assert written == [MANIFEST]


def test_each_file_is_written_once():
    store = MemoryStore()
    for index in range(COUNT):
        member(index, store)
    files = [path for operation, path in store.log if operation in ("put", "complete") and not path.startswith(CONTROL)]
    assert sorted(files) == sorted(BIG)
    assert store.written("identify") == []  # what the others have moved is none of a member's business


def test_the_manifest_is_that_of_one_run():
    store, alone = MemoryStore(), MemoryStore()
    with mock.patch("ansible_collections.modelops.serving.plugins.module_utils._transfer.sync._now", return_value="T0"):
        member(0, store)
    member(1, store)
    member(2, store)
    run(model(), alone)
    assert dataclasses.replace(store.manifest, started="", finished="") == dataclasses.replace(
        alone.manifest, started="", finished=""
    )
    assert store.manifest.started == "T0"


@pytest.mark.parametrize("count", [1, 2, 9])
def test_there_may_be_more_members_than_files(count):
    store = MemoryStore()
    for index in reversed(range(count)):
        (target,) = member(index, store, count=count).targets
        assert target.error is None
    assert target.status == "complete"
    assert_complete(store)


def test_a_member_that_comes_when_all_is_done_changes_nothing():
    store = MemoryStore()
    for index in range(COUNT):
        member(index, store)
    store.log.clear()
    result = member(1, store)
    (target,) = result.targets
    assert (result.changed, target.status) == (False, "complete")
    assert dataclasses.astuple(target.shard) == (1, COUNT, COUNT, False)
    assert store.writes == []


def test_check_mode_writes_nothing_and_predicts_the_share():
    store = MemoryStore()
    (target,) = member(1, store, check=True).targets
    assert store.writes == []
    assert target.changed
    assert set(target.added) == shares()[1]


def test_a_member_that_is_started_again_moves_nothing_twice():
    store = MemoryStore()
    member(0, store)
    member(1, store)
    store.log.clear()
    source = model()
    (target,) = member(1, store, source=source).targets
    assert (target.error, target.status, target.shard.done) == (None, "partial", 2)
    assert source.opened == store.written("identify") == []
    assert {path for _operation, path in store.writes} == {"", LEASE}
    member(2, store)
    assert_complete(store)


def test_what_was_harmed_since_its_record_is_moved_again():
    store = MemoryStore()
    member(0, store)
    (harmed, *_rest) = sorted(shares()[0])
    store.put(harmed, b"other")
    member(0, store)
    member(1, store)
    member(2, store)
    assert_complete(store)


def test_what_was_harmed_behind_the_back_of_its_member_is_not_published():
    store = MemoryStore()
    member(0, store)
    member(1, store)
    store.put(min(shares()[0]), b"other")
    (target,) = member(2, store).targets
    assert isinstance(target.error, IntegrityError)
    assert store.manifest is None
    let_time_pass(store)
    run(model(), store)
    assert_complete(store)


def test_what_a_member_did_not_find_as_it_left_it_is_not_recorded():
    store = MemoryStore()
    mine = min(shares()[0])

    def harm(path):
        if path == mine:
            store.bucket.objects[store.prefix + path].etag = "other"

    store.bucket.after.update(put=harm, complete=harm)
    (target,) = member(0, store).targets
    assert isinstance(target.error, IntegrityError)
    assert not [path for path in store.control_objects if path.startswith(SHARDS)]


def test_who_has_lost_the_lease_writes_no_record():
    store, source = MemoryStore(), model()
    source.before_open = lambda entry, start, end: store.put(LEASE, json.dumps({"id": "thief"}).encode())
    (target,) = member(0, store, source=source).targets
    assert isinstance(target.error, LockedError)
    assert not [path for path in store.control_objects if path.startswith(SHARDS)]


def test_who_published_and_could_not_clean_up_says_so():
    store = MemoryStore()
    member(0, store)
    member(1, store)
    store.broken("delete", StoreError("The store is away."), path=PENDING)
    (target,) = member(2, store).targets
    assert isinstance(target.error, StoreError)
    assert target.shard.published
    assert inspect(store, FakeControl(), verify=True).status == "complete"


def test_one_that_is_started_again_while_the_others_publish_ends_well():
    store = MemoryStore()
    member(0, store)
    member(1, store)

    def publish(path):
        del store.bucket.before["prepare"]
        assert member(2, store).targets[0].status == "complete"

    store.bucket.before["prepare"] = publish
    (target,) = member(1, store).targets
    assert (target.error, target.status) == (None, "complete")
    assert dataclasses.astuple(target.shard) == (1, COUNT, COUNT, False)
    assert store.files == BIG
    assert inspect(store, FakeControl(), verify=True).status == "complete"


def test_several_destinations_are_published_each_for_itself():
    one, two = MemoryStore(name="one"), MemoryStore(name="two")
    member(0, one, two)
    member(1, one)
    member(2, one, two)
    assert_complete(one)
    assert two.manifest is None
    result = member(1, one, two)
    assert [target.changed for target in result.targets] == [False, True]
    assert_complete(two)


def test_side_by_side_switches_the_pointer_once_all_are_done():
    store = MemoryStore()
    for index in range(COUNT):
        assert CURRENT not in store.everything
        member(index, store, side_by_side=True)
    assert json.loads(store.everything[CURRENT])["revision"] == "r1"
    assert_complete(store.at("m/revisions/r1/"))


def test_copies_inside_a_store_are_shared_too():
    origin = CopyingStore(prefix="from/")
    for path, data in BIG.items():
        origin.put(path, data)
    store = origin.at("m/")
    for index in range(COUNT):
        origin.log.clear()
        source = StoreSource(origin, FakeControl(), kind="s3", allow=(), ignore=())
        (target,) = member(index, store, source=source).targets
        assert target.bytes_copied == sum(len(BIG[path]) for path in shares()[index])
        assert set(origin.written("copy")) == shares()[index]
    assert_complete(store, revision=source.snapshot().revision)


def test_what_lies_in_place_cannot_be_shared():
    store = MemoryStore()
    source = InPlaceSource(store, FakeControl(), allow=(), ignore=())
    with pytest.raises(InputError, match="in_place"):
        member(0, store, source=source)


# -- an earlier revision is there ------------------------------------------------------------------------------


def older(files=BIG):
    store = MemoryStore()
    run(model(files, "r0"), store)
    store.log.clear()
    return store


def test_the_old_manifest_goes_before_anything_changes():
    store = older()
    for index in range(COUNT):
        member(index, store, source=model(NEWER))
    first = min(at for at, (operation, path) in enumerate(store.log) if operation not in READS and path in NEWER)
    assert store.log.index(("put", PENDING)) < store.log.index(("delete", MANIFEST)) < first
    assert_complete(store, NEWER)
    written = {path for operation, path in store.writes if operation in ("put", "complete")} - {""}
    assert {path for path in written if not path.startswith(CONTROL)} == {"README.md", "model-2.safetensors"}


def test_the_one_that_publishes_prunes():
    store = older({**BIG, "old.bin": b"old"})
    for index in range(COUNT):
        assert "old.bin" in store.files
        member(index, store, source=model(NEWER), prune=True)
    assert_complete(store, NEWER)


def test_a_repair_is_shared_although_only_one_share_is_harmed():
    store = MemoryStore()
    run(model(), store)
    store.delete(min(shares()[2]))
    for index in range(COUNT):
        (target,) = member(index, store).targets
        assert target.changed
    assert_complete(store)


@pytest.mark.parametrize("index", range(COUNT))
def test_where_only_pruning_is_left_one_does_it_and_the_manifest_stays(index):
    store = MemoryStore()
    run(model({**BIG, "old.bin": b"old"}, "r0"), store)
    run(model(), store)
    store.log.clear()
    (target,) = member(index, store, prune=True).targets
    assert (target.changed, target.status, target.removed) == (True, "complete", ["old.bin"])
    assert ("delete", MANIFEST) not in store.log
    assert_complete(store)
    assert member((index + 1) % COUNT, store, prune=True).changed is False


# -- members that do not fit together ----------------------------------------------------------------------


@pytest.mark.parametrize("side_by_side", [True, False])
def test_a_branch_that_moved_between_members_is_refused(side_by_side):
    store = older()
    member(0, store, side_by_side=side_by_side)
    before = store.everything
    (target,) = member(1, store, source=model(NEWER, "r2"), side_by_side=side_by_side).targets
    assert isinstance(target.error, InputError)
    assert "at revision r2, the others of group 'g' move r1" in str(target.error)
    assert "Give a commit" in str(target.error)
    assert store.manifest is None or side_by_side
    changed = {path for path, data in store.everything.items() if before.get(path) != data}
    assert {path.rpartition(CONTROL)[2] for path in changed} <= {"lease.json"}
    member(1, store, side_by_side=side_by_side)
    (target,) = member(2, store, side_by_side=side_by_side).targets
    assert (target.error, target.status) == (None, "complete")


@pytest.mark.parametrize(
    "other", [{"count": 4}, {"source": model({"config.json": b"{}", "a.bin": b"1"})}], ids=["count", "source"]
)
def test_members_with_other_options_are_refused(other):
    store = MemoryStore()
    member(0, store)
    (target,) = member(1, store, **other).targets
    assert isinstance(target.error, InputError)
    assert "a group of its own" in target.error.hint
    assert set(store.files) == shares()[0]


def test_of_two_members_that_join_at_once_one_writes_the_note():
    store, group = MemoryStore(), Member("g", 0, 2)
    mine, theirs = (Pending("r1", {}, ("a",), (), None, started, "g", 2) for started in ("mine", "theirs"))

    def overtake(path):
        del store.bucket.before["put"]
        store.put(PENDING, theirs.to_json())

    store.bucket.before["put"] = overtake
    assert group.join(store, FakeControl(), mine) == theirs
    assert Pending.from_json(store.everything[PENDING]) == theirs


# -- at the same time ------------------------------------------------------------------------------------------


def at_once(*runs):
    """Results of functions that run in threads of their own."""
    results = [None] * len(runs)

    def call(number, function):
        results[number] = function()

    with mock.patch.object(mover, "_MIB", 1):
        threads = [threading.Thread(target=call, args=item, daemon=True) for item in enumerate(runs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert None not in results
    return results


def ready(index, store, group="g", source=None, count=COUNT, **options):
    """A member that does not start yet."""
    options = SyncOptions(part_size=1000, interval=0.0, group=group, shard=index, shards=count, **options)
    return lambda: sync(source or model(), [store], FakeControl(), options)


def test_members_at_once_publish_exactly_once():
    for _round in range(15):
        store = older()
        written = manifests_written(store)
        results = at_once(*(ready(index, store, source=model(NEWER)) for index in range(COUNT)))
        targets = [result.targets[0] for result in results]
        assert [target.error for target in targets] == [None] * COUNT
        assert sum(target.shard.published for target in targets) == 1
        assert written == [MANIFEST]
        assert_complete(store, NEWER)


def test_two_that_finish_in_the_same_instant_both_end_well():
    store = MemoryStore()
    member(0, store)
    written = manifests_written(store)
    both = threading.Barrier(2)
    count = store.bucket.after["put"]

    def meet(path):
        count(path)
        if path.startswith(SHARDS):
            both.wait(10)

    store.bucket.after["put"] = meet
    # Both see all records. Neither may begin to clean up before the other has seen them.
    seen = threading.Barrier(2)
    store.bucket.before["put"] = lambda path: seen.wait(10) if path == MANIFEST else None
    results = at_once(ready(1, store), ready(2, store))
    targets = [result.targets[0] for result in results]
    assert [(target.error, target.status, target.shard.done) for target in targets] == [(None, "complete", COUNT)] * 2
    assert sorted(target.shard.published for target in targets) == [False, True]
    assert written == [MANIFEST]
    assert_complete(store)


def test_a_process_that_was_replaced_ends_well_when_the_others_have_published():
    """Kubernetes may run a member twice for a while: the first one hangs, and goes on when all is done."""
    store, source = MemoryStore(), model()
    going, hanging = threading.Event(), threading.Event()

    def hang(entry, start, end):
        hanging.set()
        going.wait(10)

    source.before_open = hang
    results = []
    thread = threading.Thread(
        target=lambda: results.extend(at_once(ready(1, store, source=source, lease_seconds=0.5))), daemon=True
    )
    thread.start()
    wait_for(hanging.is_set)
    for index in range(COUNT):
        assert member(index, store).targets[0].error is None
    manifest = store.everything[MANIFEST]
    going.set()
    thread.join(20)
    (target,) = results[0].targets
    assert (target.error, target.status, target.shard.published) == (None, "complete", False)
    assert store.everything[MANIFEST] == manifest
    assert inspect(store, FakeControl(), verify=True).status == "complete"


def test_another_group_is_kept_out_while_one_is_at_work():
    store, source = MemoryStore(), model()
    going, hanging = threading.Event(), threading.Event()

    def hang(entry, start, end):
        hanging.set()
        going.wait(10)

    source.before_open = hang
    results = []
    thread = threading.Thread(
        target=lambda: results.extend(at_once(ready(0, store, source=source, lease_seconds=1.0))), daemon=True
    )
    thread.start()
    wait_for(hanging.is_set)
    (target,) = member(0, store, group="other").targets
    assert isinstance(target.error, LockedError)
    assert json.loads(store.everything[LEASE])["id"] == "g"
    going.set()
    thread.join(20)
    assert results[0].targets[0].error is None


# -- a death at each write -------------------------------------------------------------------------------------


class Died(StoreError):
    """The process is gone: nothing it does has any effect."""


def die_after(store, writes):
    """From the write after these on, nothing works any more; whether it came to that."""
    left, died = itertools.count(writes, -1), []
    lock = threading.Lock()

    def fault(path):
        with lock:
            if died or next(left) <= 0:
                died.append(path)
                raise Died("gone")

    def read_fault(path):
        if died:
            raise Died("gone")

    for operation in ("put", "put_part", "begin", "complete", "delete", "abort", "prepare"):
        store.bucket.before[operation] = fault
    for operation in READS:
        store.bucket.before[operation] = read_fault
    return died


def revive(store):
    store.bucket.before.clear()


def crash_everywhere(index, *, prepare, files, prune=False):
    """A member that dies after each number of writes; yields the store each time."""
    for writes in itertools.count():
        store = prepare()
        died = die_after(store, writes)
        result = member(index, store, source=model(files), prune=prune)
        revive(store)
        if not died:
            assert result.targets[0].error is None
            assert writes >= 5
            return
        manifest = store.manifest
        if manifest is not None and manifest.revision == "r1":
            assert inspect(store, FakeControl(), verify=True).status == "complete"
        yield store


def two_done(files=NEWER):
    store = older({**BIG, "old.bin": b"old"})
    member(0, store, source=model(files), prune=True)
    member(1, store, source=model(files), prune=True)
    return store


def test_a_member_that_dies_anywhere_is_started_again():
    for store in crash_everywhere(2, prepare=two_done, files=NEWER, prune=True):
        (target,) = member(2, store, source=model(NEWER), prune=True).targets
        assert (target.error, target.status) == (None, "complete")
        assert store.files == NEWER
        assert inspect(store, FakeControl(), verify=True).status == "complete"
        assert store.bucket.open_uploads == {}


def test_the_first_member_that_dies_anywhere_is_started_again():
    for store in crash_everywhere(0, prepare=older, files=NEWER):
        for index in (1, 0, 2):
            (target,) = member(index, store, source=model(NEWER)).targets
            assert target.error is None
        assert_complete(store, NEWER)


@pytest.mark.parametrize("index", [0, 2])
def test_after_a_death_anywhere_a_run_that_is_not_shared_goes_on(index):
    prepare = older if index == 0 else two_done
    for store in crash_everywhere(index, prepare=prepare, files=NEWER, prune=True):
        let_time_pass(store)
        (target,) = run(model(NEWER), store, prune=True).targets
        assert (target.error, target.status) == (None, "complete")
        assert store.files == NEWER
        assert store.bucket.open_uploads == {}
    assert inspect(store, FakeControl(), verify=True).status == "complete"


def test_after_a_death_anywhere_another_group_goes_on():
    for store in crash_everywhere(2, prepare=two_done, files=NEWER, prune=True):
        let_time_pass(store)
        for index in range(2):
            (target,) = member(index, store, source=model(NEWER), group="second", count=2, prune=True).targets
            assert target.error is None
        assert store.files == NEWER
        assert target.status == "complete"
        assert inspect(store, FakeControl(), verify=True).status == "complete"


# -- what a dead group left behind ---------------------------------------------------------------------------


def test_files_of_a_dead_group_are_not_sent_again_but_its_records_are_not_believed():
    store = MemoryStore()
    member(0, store)
    member(1, store)
    let_time_pass(store)
    moved = sorted(shares()[0] | shares()[1])
    store.put(moved[0], BIG[moved[0]][::-1])  # as long as before, and nothing that an engine wrote
    sources = [model() for _number in range(COUNT)]
    for index, source in enumerate(sources):
        (target,) = member(index, store, source=source, group="second").targets
        assert target.shard.done == index + 1
    opened = {path for source in sources for path, _start, _end in source.opened}
    assert opened == shares()[2] | {moved[0]}
    assert_complete(store)


def test_removing_takes_records_along():
    from ansible_collections.modelops.serving.plugins.module_utils._transfer.inspection import remove

    store = MemoryStore()
    member(0, store)
    let_time_pass(store)
    assert remove(store, FakeControl()).changed
    assert store.everything == {}
