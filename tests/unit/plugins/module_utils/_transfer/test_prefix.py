# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import json
import threading

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._transfer import prefix as prefix_module
from ansible_collections.modelops.serving.plugins.module_utils._transfer.control import Control
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    AccessError,
    ConflictError,
    DeadlineError,
    LockedError,
    NotFoundError,
    StoreError,
    TransientError,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.model import Listed, Manifest
from ansible_collections.modelops.serving.plugins.module_utils._transfer.paths import MANIFEST
from ansible_collections.modelops.serving.plugins.module_utils._transfer.prefix import (
    LEASE,
    PENDING,
    UPLOADS,
    Lease,
    Pending,
    State,
    read_state,
)
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._transfer.fakes import (
    FakeControl,
    MemoryStore,
    proof,
    wait_for,
)

WHOLE = Manifest({"type": "memory"}, "r1", (proof("a", 1, etag="ea"), proof("b", 2, etag="eb")), stale=("old",))
LISTING = {"a": Listed(1, "ea"), "b": Listed(2, "eb")}
PENDED = Pending("r2", {"type": "memory"}, ("a", "new"), ("b", "older"), WHOLE, "2026-01-01T00:00:00Z")


def state(**fields):
    defaults = {"listing": LISTING, "control": {}, "manifest": None, "manifest_error": None, "pending": None}
    return State(**{**defaults, **fields})


# -- what a prefix is ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"listing": {}}, "absent"),
        ({}, "absent"),
        ({"pending": PENDED}, "partial"),
        ({"control": {PENDING: Listed(5, "e")}}, "partial"),
        ({"control": {LEASE: Listed(5, "e")}}, "absent"),
        ({"manifest": WHOLE}, "complete"),
        ({"manifest": WHOLE, "control": {PENDING: Listed(5, "e")}}, "complete"),
        ({"manifest": WHOLE, "listing": {**LISTING, "foreign": Listed(9, "x")}}, "complete"),
        ({"manifest": WHOLE, "listing": {"a": Listed(1, "ea")}}, "corrupt"),
        ({"manifest": WHOLE, "listing": {**LISTING, "b": Listed(3, "eb")}}, "corrupt"),
        ({"manifest": WHOLE, "listing": {**LISTING, "b": Listed(2, "other")}}, "corrupt"),
        ({"manifest_error": "Not a manifest."}, "corrupt"),
        ({"manifest_error": "Not a manifest.", "pending": PENDED}, "corrupt"),
    ],
    ids=[
        "nothing there",
        "files of others",
        "begun",
        "begun, note damaged",
        "only a lease",
        "whole",
        "published, note left over",
        "whole beside files of others",
        "a file is missing",
        "a file has another size",
        "a file was overwritten",
        "manifest damaged",
        "manifest damaged, begun again",
    ],
)
def test_the_status_of_a_prefix(fields, status):
    assert state(**fields).status == status


def test_damage_is_one_line_per_file():
    manifest = dataclasses.replace(WHOLE, files=(*WHOLE.files, proof("c", 3, etag="ec"), proof("d", 4, etag="ed")))
    listing = {"b": Listed(7, "eb"), "c": Listed(3, "other"), "d": Listed(4, "ed")}
    assert state(manifest=manifest, listing=listing).damage() == [
        "a: missing",
        "b: 7 bytes instead of 2",
        "c: overwritten (ETag other instead of ec)",
    ]


@pytest.mark.parametrize(
    ("fields", "managed"),
    [
        ({}, set()),
        ({"manifest": WHOLE}, {"a", "b", "old"}),
        ({"pending": PENDED}, {"a", "b", "old", "new", "older"}),
        ({"pending": dataclasses.replace(PENDED, previous=None)}, {"a", "new", "b", "older"}),
        ({"manifest": WHOLE, "listing": {}}, {"a", "b", "old"}),
    ],
)
def test_every_path_that_was_ever_written_here_is_managed(fields, managed):
    assert state(**fields).managed == managed


# -- the note of a run at work ---------------------------------------------------------------------------------


@pytest.mark.parametrize("pending", [PENDED, dataclasses.replace(PENDED, previous=None, paths=(), managed=())])
def test_a_pending_note_survives_being_stored(pending):
    assert Pending.from_json(pending.to_json()) == pending


def altered(**changes):
    raw = {**json.loads(PENDED.to_json()), **changes}
    return json.dumps({key: value for key, value in raw.items() if value != "left out"}).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"null",
        b"{}",
        b"[" * 100_000,
        PENDED.to_json()[:-5],
        altered(paths="left out"),
        altered(paths=None),
        altered(paths="abc"),
        altered(managed="abc"),
        altered(previous="{}"),
        altered(previous=1),
        altered(previous=WHOLE.to_json().decode().replace('"schema": 1', '"schema": 99')),
    ],
    ids=lambda data: repr(data[:20]),
)
def test_a_damaged_pending_note_is_no_note(data):
    assert Pending.from_json(data) is None


# -- reading ---------------------------------------------------------------------------------------------------


def test_reading_an_empty_prefix_is_one_listing():
    store = MemoryStore()
    assert read_state(store, FakeControl()).status == "absent"
    assert store.log == [("list", "")]


def test_reading_a_complete_prefix_is_one_listing_and_one_get():
    store = MemoryStore()
    etag = store.put("a", b"x")
    manifest = Manifest({}, "r1", (proof("a", 1, etag=etag),))
    store.put(MANIFEST, manifest.to_json())
    store.put(PENDING, PENDED.to_json())
    store.log.clear()
    found = read_state(store, FakeControl())
    assert (found.status, found.manifest, found.pending) == ("complete", manifest, None)
    assert store.log == [("list", ""), ("get", MANIFEST)]


def test_files_and_control_objects_are_told_apart():
    store = MemoryStore()
    for path in ("a", ".model-sync.txt", LEASE, UPLOADS + "x.json"):
        store.put(path, b"x")
    found = read_state(store, FakeControl())
    assert set(found.listing) == {"a", ".model-sync.txt"}
    assert set(found.control) == {LEASE, UPLOADS + "x.json"}


def test_a_damaged_manifest_is_noted_and_the_pending_note_read():
    store = MemoryStore()
    store.put(MANIFEST, b"half a manif")
    store.put(PENDING, PENDED.to_json())
    found = read_state(store, FakeControl())
    assert (found.status, found.manifest, found.pending) == ("corrupt", None, PENDED)
    assert found.manifest_error.startswith("Not a manifest")


def test_reading_survives_transient_errors():
    store, control = MemoryStore(), FakeControl()
    store.put(PENDING, PENDED.to_json())
    store.fail("list", TransientError("503"))
    store.fail("get", TransientError("503"), TransientError("503"))
    assert read_state(store, control).pending == PENDED
    assert control.retries == 3


# -- leases ----------------------------------------------------------------------------------------------------


class Clock:
    """Moves when the control sleeps, or when told to."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now

    def time(self):
        return self.now


class ClockControl(Control):
    """Sleeping moves the clock; ``each_sleep`` is what happens elsewhere meanwhile."""

    def __init__(self, clock):
        super().__init__()
        self.clock = clock
        self.each_sleep = lambda: None

    def sleep(self, seconds):
        self.clock.now += seconds
        self.each_sleep()
        self.check()


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(prefix_module, "time", clock)
    return clock


@pytest.fixture
def lease_of():
    """Makes leases and lets go of them in the end."""
    made = []

    def make(store, control=None, *, lost=None, seconds=45.0, group=""):
        lease = Lease(store, control or FakeControl(), lost=lost or pytest.fail, seconds=seconds, group=group)
        made.append(lease)
        return lease

    yield make
    for lease in made:
        lease.release()


def held(store):
    data = store.everything.get(LEASE)
    return None if data is None else json.loads(data)


def put_holder(store, **changes):
    """A lease of somebody else, by default of another machine."""
    holder = {**prefix_module._this_process(), "id": "other", "seconds": 45.0, "host": "elsewhere", "boot": "b"}
    return store.put(LEASE, json.dumps({**holder, **changes}).encode())


here = pytest.mark.skipif(
    not prefix_module._this_process()["boot"], reason="this machine does not tell its boots apart"
)


def test_a_lease_is_taken_and_let_go(lease_of):
    store = MemoryStore()
    lease = lease_of(store)
    lease.acquire()
    assert held(store)["seconds"] == 45.0
    assert lease.taken_over == ""
    lease.check()
    lease.release()
    assert store.control_objects == []
    with pytest.raises(LockedError):
        lease.check()


def compete(store, barrier, outcomes):
    lease = Lease(store, FakeControl(), lost=pytest.fail)
    barrier.wait()
    try:
        lease.acquire()
        outcomes.append(lease)
    except LockedError as error:
        outcomes.append(error)


def test_of_several_runs_that_race_exactly_one_wins():
    for _round in range(20):
        store, outcomes = MemoryStore(), []
        arguments = (store, threading.Barrier(4), outcomes)
        threads = [threading.Thread(target=compete, args=arguments, daemon=True) for _number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        winners = [outcome for outcome in outcomes if isinstance(outcome, Lease)]
        assert len(outcomes) == 4
        assert len(winners) == 1
        assert held(store)["id"] == winners[0]._id
        winners[0].release()


@here
def test_a_living_holder_on_this_machine_is_respected_at_once(lease_of):
    store = MemoryStore()
    lease_of(store).acquire()
    second = FakeControl()
    with pytest.raises(LockedError, match=r"memory://m/ is being changed by process \d+ on ") as caught:
        lease_of(store, second).acquire()
    assert second.slept == []
    assert "Wait" in caught.value.hint


@here
@pytest.mark.parametrize(
    "dead", [{"pid": 2**22 + 1}, {"started": "1"}], ids=["no such process", "its number was given to another process"]
)
def test_a_dead_holder_on_this_machine_is_followed_at_once(lease_of, dead):
    store, control = MemoryStore(), FakeControl()
    put_holder(store, **{**prefix_module._this_process(), **dead})
    lease = lease_of(store, control)
    lease.acquire()
    assert control.slept == []
    assert held(store)["id"] == lease._id
    assert lease.taken_over.startswith("process ")


@pytest.mark.parametrize(
    "elsewhere",
    [{"host": "elsewhere"}, {"boot": "earlier"}, {"namespace": "pid:[another container]"}],
    ids=["another machine", "before a reboot", "another container"],
)
def test_a_silent_holder_elsewhere_is_followed_only_after_its_life_time(clock, lease_of, elsewhere):
    store, control = MemoryStore(), ClockControl(clock)
    put_holder(store, **{**prefix_module._this_process(), **elsewhere}, seconds=20.0)
    begun = clock.now
    lease = lease_of(store, control)
    lease.acquire()
    assert 20 < clock.now - begun < 25
    assert held(store)["id"] == lease._id


def test_a_holder_elsewhere_that_renews_is_respected(clock, lease_of):
    store, control = MemoryStore(), ClockControl(clock)
    put_holder(store, seconds=20.0)
    begun = clock.now

    def renew():
        if clock.now - begun > 9:
            put_holder(store, seconds=20.0, renewed=clock.now)

    control.each_sleep = renew
    with pytest.raises(LockedError, match="on elsewhere"):
        lease_of(store, control).acquire()
    assert clock.now - begun < 15
    assert held(store)["id"] == "other"


def test_a_holder_that_lets_go_is_followed(clock, lease_of):
    store, control = MemoryStore(), ClockControl(clock)
    put_holder(store)
    control.each_sleep = lambda: store.delete(LEASE)
    lease = lease_of(store, control)
    lease.acquire()
    assert held(store)["id"] == lease._id
    assert lease.taken_over == ""


def test_of_two_that_follow_a_silent_holder_the_slower_one_loses(clock, lease_of):
    store, control = MemoryStore(), ClockControl(clock)
    put_holder(store, seconds=20.0)
    begun = clock.now

    def overtake(path):
        # The first put is the one that takes over, and just before it somebody else does.
        del store.bucket.before["put"]
        assert clock.now - begun > 20
        put_holder(store, id="faster", seconds=20.0)

    store.bucket.before["put"] = overtake
    with pytest.raises(LockedError):
        lease_of(store, control).acquire()
    assert held(store)["id"] == "faster"


def test_a_store_that_ignores_conditions_still_has_one_holder(lease_of):
    class Careless(MemoryStore):
        def put(self, path, data, **conditions):
            return super().put(path, data, stored=conditions.get("stored"))

    store, control = Careless(), FakeControl()
    first = lease_of(store, control)
    first.acquire()
    with pytest.raises(LockedError):
        lease_of(store, control).acquire()
    assert held(store)["id"] == first._id


def test_a_damaged_lease_is_waited_for_and_then_followed(clock, lease_of):
    store, control = MemoryStore(), ClockControl(clock)
    store.put(LEASE, b"{ not a lease")
    begun = clock.now
    lease_of(store, control).acquire()
    assert 45 < clock.now - begun < 50


def test_the_deadline_ends_the_wait_for_a_holder():
    store = MemoryStore()
    put_holder(store)
    with pytest.raises(DeadlineError):
        Lease(store, Control(timeout=0.01), lost=pytest.fail).acquire()
    assert held(store)["id"] == "other"


def test_a_lost_answer_to_our_own_write_is_a_success(lease_of):
    store = MemoryStore()
    store.fail("put", TransientError("reset"), when="after")
    lease = lease_of(store)
    lease.acquire()
    lease.check()
    assert held(store)["id"] == lease._id


def test_a_prefix_that_may_not_be_written_is_no_lock(lease_of):
    store = MemoryStore()
    store.broken("put", AccessError("denied"))
    with pytest.raises(AccessError):
        lease_of(store).acquire()


def test_a_lease_is_renewed(lease_of):
    store = MemoryStore()
    lease = lease_of(store, seconds=0.1)
    lease.acquire()
    first = held(store)
    wait_for(lambda: len(store.written("put")) >= 3)
    assert held(store)["id"] == first["id"]
    assert held(store)["renewed"] > first["renewed"]
    lease.release()
    assert store.control_objects == []


def test_a_lease_that_was_taken_over_is_lost(lease_of):
    store, lost = MemoryStore(), []
    lease = lease_of(store, lost=lost.append, seconds=0.1)
    lease.acquire()
    put_holder(store)
    wait_for(lambda: lost)
    assert isinstance(lost[0], LockedError)
    assert "taken over by another run" in str(lost[0])
    with pytest.raises(LockedError, match="taken over"):
        lease.check()
    lease.release()
    assert held(store)["id"] == "other"


def test_a_lease_that_was_removed_is_lost(lease_of):
    store, lost = MemoryStore(), []
    lease_of(store, lost=lost.append, seconds=0.1).acquire()
    store.delete(LEASE)
    wait_for(lambda: lost)
    assert isinstance(lost[0], LockedError)


def test_a_lost_answer_to_a_renewal_is_no_loss(clock, lease_of):
    store, lost = MemoryStore(), []

    def tick(path):
        clock.now += 0.001  # each renewal is another object

    store.bucket.before["put"] = tick
    lease = lease_of(store, lost=lost.append, seconds=0.1)
    lease.acquire()
    store.fail("put", TransientError("reset"), when="after")
    wait_for(lambda: len(store.written("put")) >= 4)
    assert lost == []
    lease.check()


def test_a_lease_that_cannot_be_renewed_is_lost_before_others_may_follow(clock, lease_of):
    store, lost, failures = MemoryStore(), [], []
    lease = lease_of(store, lost=lost.append, seconds=0.05)
    lease.acquire()

    def fail(path):
        failures.append(path)
        raise TransientError("the store is away")

    def let_it_fail(times):
        failures.clear()
        store.bucket.before["put"] = fail
        wait_for(lambda: len(failures) >= times)

    # Failures that end within four fifths of the life time are none.
    for _round in range(2):
        let_it_fail(1)
        clock.now += 0.039
        let_it_fail(3)
        before = len(store.written("put"))
        del store.bucket.before["put"]
        wait_for(lambda before=before: len(store.written("put")) >= before + 2)
    assert lost == []

    let_it_fail(1)
    clock.now += 0.041
    wait_for(lambda: lost)
    assert isinstance(lost[0], LockedError)
    assert "could not be renewed: the store is away" in str(lost[0])


def test_letting_go_raises_nothing(lease_of):
    store = MemoryStore()
    lease = lease_of(store)
    lease.acquire()
    store.broken("get", StoreError("away"))
    lease.release()
    assert held(store)["id"] == lease._id


# -- a lease of several processes ------------------------------------------------------------------------------


def test_a_group_holds_one_lease(lease_of):
    store, lost = MemoryStore(), []
    first, second = (lease_of(store, lost=lost.append, group="g") for _number in range(2))
    first.acquire()
    second.acquire()
    assert held(store)["id"] == "g"
    assert first.taken_over == second.taken_over == ""
    first.check()
    first.release(keep=True)
    second.check()
    second.release()
    assert store.control_objects == []
    assert lost == []


def test_who_joins_renews_at_once_for_others_may_be_watching(clock, lease_of):
    store = MemoryStore()
    lease_of(store, group="g").acquire()
    before = held(store)["renewed"]
    clock.now += 40
    lease_of(store, group="g").acquire()
    assert held(store)["renewed"] == before + 40


@pytest.mark.parametrize("error", [ConflictError("other"), NotFoundError("gone")])
def test_who_joins_while_the_lease_is_renewed_or_removed_looks_again(lease_of, error):
    store = MemoryStore()
    lease_of(store, group="g").acquire()
    store.fail("put", error)
    lease = lease_of(store, group="g")
    lease.acquire()
    lease.check()


def test_a_group_that_renews_is_respected_by_another(clock, lease_of):
    store, control = MemoryStore(), ClockControl(clock)
    group = lease_of(store, group="g", seconds=20.0)
    group.acquire()

    def renew():
        if clock.now > 4:
            store.put(LEASE, group._body())

    clock.now = 0.0
    control.each_sleep = renew
    with pytest.raises(LockedError, match="is being changed by process"):
        lease_of(store, control, group="other").acquire()
    assert held(store)["id"] == "g"


@here
def test_one_dead_process_on_this_machine_is_not_a_dead_group(clock, lease_of):
    store, control = MemoryStore(), ClockControl(clock)
    group = lease_of(store, group="g", seconds=20.0)
    group.acquire()
    holder = held(store)
    store.put(LEASE, json.dumps({**holder, "pid": 2**22 + 1}).encode())
    begun = clock.now
    lease = lease_of(store, control)
    lease.acquire()
    assert 20 < clock.now - begun < 25
    assert lease.taken_over


def test_what_another_of_the_group_has_renewed_is_not_renewed_again(lease_of):
    store = MemoryStore()
    lease = lease_of(store, group="g", seconds=0.25)
    lease.acquire()
    done = threading.Event()

    def another(path):
        # Before each look of the first: the second has just renewed it.
        if path == LEASE and not done.is_set():
            store.bucket.objects["m/" + LEASE].etag = f"renewed-{len(store.log)}"

    store.bucket.before["get"] = another
    looks = len(store.written("get"))
    wait_for(lambda: len(store.written("get")) >= looks + 4)
    assert len(store.written("put")) == 1
    done.set()
    wait_for(lambda: len(store.written("put")) >= 3)


def test_a_pending_note_of_before_there_were_groups_is_read():
    raw = json.loads(PENDED.to_json())
    del raw["group"], raw["shards"]
    assert Pending.from_json(json.dumps(raw).encode()) == PENDED
    shared = dataclasses.replace(PENDED, group="g", shards=3)
    assert Pending.from_json(shared.to_json()) == shared
