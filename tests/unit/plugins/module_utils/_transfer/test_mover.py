# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How files move: parts, threads, memory, integrity, and going on where an earlier run ended."""

from __future__ import annotations

import base64
import json
import struct
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    AccessError,
    IntegrityError,
    NotFoundError,
    SourceChangedError,
    StoreError,
    TransientError,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.hashing import can_resume
from ansible_collections.modelops.serving.plugins.module_utils._transfer.mover import Target, drop_ledgers, ledger_path
from ansible_collections.modelops.serving.plugins.module_utils._transfer.paths import MANIFEST
from ansible_collections.modelops.serving.plugins.module_utils._transfer.prefix import PENDING, UPLOADS
from ansible_collections.modelops.serving.plugins.module_utils._transfer.stores.base import Stored
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._transfer.fakes import (
    FakeControl,
    MemorySource,
    MemoryStore,
    entry,
    few_properties,
    run,
    safetensors,
    sha256,
    some_bytes,
    wait_for,
)

BIG = some_bytes(10_500)  # eleven parts
LEDGER = ledger_path("big.bin")


def source_of(promise="sha256", **files):
    return MemorySource({"big.bin": BIG, **files}, promise=promise)


# -- whole transfers -------------------------------------------------------------------------------------------


@few_properties
@given(
    st.dictionaries(
        st.sampled_from(["a", "b/c", "b/d", "e.txt", "ü 1+2%"]),
        st.sampled_from([0, 1, 2, 99, 100, 101, 500, 3000]) | st.integers(0, 3000),
        min_size=1,
    ),
    st.sampled_from([1000, 100]) | st.integers(50, 4000),
    st.integers(1, 6),
    st.sampled_from(["sha256", "git_sha1", None]),
)
def test_any_files_arrive_in_any_parts_with_any_workers(sizes, part_size, workers, promise):
    files = {path: some_bytes(size, seed) for seed, (path, size) in enumerate(sizes.items())}
    one, two = MemoryStore(name="one"), MemoryStore(name="two")
    result = run(MemorySource(files, promise=promise, chunk=33), one, two, part_size=part_size, workers=workers)
    assert not result.failed
    for store, target in zip((one, two), result.targets, strict=True):
        assert store.files == files
        assert {file.path: file.sha256 for file in store.manifest.files} == {
            path: sha256(data) for path, data in files.items()
        }
        assert store.control_objects == [MANIFEST]
        assert store.bucket.open_uploads == {}
        assert target.bytes_sent == sum(sizes.values())
    assert result.bytes_read == sum(sizes.values())


@pytest.mark.parametrize("part_size", [1, 10_499, 10_500, 10_501, 10**6])
def test_parts_of_one_byte_and_parts_larger_than_the_file(part_size):
    store, source = MemoryStore(), MemorySource({"big.bin": BIG[:300] if part_size == 1 else BIG})
    run(source, store, part_size=part_size, workers=3)
    assert store.files == source.files


def test_a_file_is_read_once_for_all_destinations():
    stores = [MemoryStore(name=name) for name in ("one", "two", "three")]
    source = source_of(small=b"x")
    result = run(source, *stores)
    assert result.bytes_read == len(BIG) + 1
    assert sorted(source.opened) == sorted(
        [("big.bin", at, min(at + 1000, len(BIG))) for at in range(0, len(BIG), 1000)] + [("small", 0, 1)]
    )


def test_a_destination_that_has_a_file_does_not_get_it_again():
    source = source_of(small=b"x")
    full, half = MemoryStore(name="full"), MemoryStore(name="half")
    run(source, full)
    full.log.clear()
    run(source, full, half)
    assert full.writes == []
    assert half.files == source.files


def test_large_files_come_first_and_small_ones_are_not_split():
    source = MemorySource({"a": b"1" * 1000, "b": BIG, "c": BIG[:5000]})
    store = MemoryStore()
    run(source, store, workers=1)
    assert store.written("begin") == ["b", "c"]
    assert ("a", 0, 1000) in source.opened


def test_content_identity_is_kept_with_each_object():
    store, source = MemoryStore(), source_of(small=b"x")
    run(source, store)
    for item in source.snapshot().files:
        assert store.identify(item.path) == Stored(item.id, item.sha256)


def test_transient_failures_everywhere_are_got_over():
    store, source, control = MemoryStore(), source_of(small=b"x"), FakeControl()
    for operation in ("list", "get", "put", "prepare", "begin", "put_part", "complete", "delete"):
        store.fail(operation, TransientError("503"), TransientError("503"))
    run(source, store, control=control)
    assert store.files == source.files
    assert control.retries == 16


@pytest.mark.parametrize("operation", ["put", "put_part", "complete", "delete"])
def test_lost_answers_are_got_over(operation):
    store, source = MemoryStore(), source_of(small=b"x")
    store.fail(operation, TransientError("reset"), when="after")
    assert not run(source, store).failed
    assert store.files == source.files
    assert store.control_objects == [MANIFEST]


def test_a_source_that_breaks_in_the_middle_of_a_part_goes_on_inside_it():
    store, source, control = MemoryStore(), source_of(), FakeControl()
    source.cuts = {2000: 2300, 2300: 2950}
    result = run(source, store, control=control, workers=1)
    assert store.files == source.files
    assert [found for found in source.opened if 2000 <= found[1] < 3000] == [
        ("big.bin", 2000, 3000),
        ("big.bin", 2300, 3000),
        ("big.bin", 2950, 3000),
    ]
    assert control.retries == 2
    assert result.bytes_read == len(BIG)


# -- memory ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_no_more_buffers_than_workers_and_two_are_ever_handed_out(workers):
    store, source = MemoryStore(), MemorySource({"big.bin": some_bytes(100_000), "b.bin": some_bytes(50_000)})
    store.bucket.before["put_part"] = lambda path: time.sleep(0.0005)
    run(source, store, workers=workers)
    assert 1 <= len(store.bucket.buffers) <= workers + 2
    assert {len(buffer) for buffer in store.bucket.buffers} == {1000}


def test_more_threads_than_parts_need_no_buffers():
    store = MemoryStore()
    run(MemorySource({"big.bin": BIG[:1500]}), store, workers=16)
    assert len(store.bucket.buffers) <= 2


@pytest.mark.parametrize(("max_parts", "buffers"), [(4, 2), (8, 3)])
def test_a_file_of_too_many_parts_gets_larger_parts_and_fewer_buffers(max_parts, buffers):
    store, source = MemoryStore(), source_of(more=some_bytes(10_400, 2))
    store.max_parts = max_parts
    store.bucket.before["put_part"] = lambda path: time.sleep(0.0005)
    run(source, store, workers=3)
    assert store.files == source.files
    assert store.written("put_part").count("big.bin") <= max_parts
    assert len(store.bucket.buffers) <= buffers


def test_small_files_move_while_large_ones_do():
    # One worker: all buffers are held by parts that wait for the small file to arrive.
    arrived = threading.Event()
    store, source = MemoryStore(), source_of(s1=b"1", s2=b"2")

    def wait(path):
        assert arrived.wait(5)

    store.bucket.before["put_part"] = wait
    store.bucket.after["put"] = lambda path: arrived.set() if path == "s1" else None
    run(source, store, workers=1)
    assert store.files == source.files


# -- integrity -------------------------------------------------------------------------------------------------


def damaged(path, data):
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize("promise", ["sha256", "git_sha1", "md5"])
@pytest.mark.parametrize("size", [10_500, 1500, 1000, 1], ids=["many parts", "two parts", "one part", "one byte"])
def test_other_bytes_than_promised_are_never_published(promise, size):
    stores = [MemoryStore(name="one"), MemoryStore(name="two")]
    source = MemorySource({"big.bin": BIG[:size]}, promise=promise)
    source.serve = damaged
    with pytest.raises(IntegrityError, match=r"big\.bin: .* is .*, the source promised"):
        run(source, *stores)
    for store in stores:
        assert store.files == {}
        assert store.bucket.open_uploads == {}
        assert MANIFEST not in store.everything
        assert not [path for path in store.control_objects if path.startswith(UPLOADS)]


def test_after_damage_a_run_against_a_healthy_source_succeeds():
    store, source = MemoryStore(), source_of()
    source.serve = damaged
    with pytest.raises(IntegrityError):
        run(source, store)
    run(source_of(), store)
    assert store.files == {"big.bin": BIG}


def test_a_damaged_resume_is_found_too():
    store = MemoryStore()
    interrupted(store, source_of())
    upload = next(iter(store.bucket.open_uploads.values()))
    for index, (offset, data) in upload.parts.items():
        if index == 0:
            upload.parts[0] = (offset, b"\0" * len(data))
    source = source_of()
    source.serve = damaged
    with pytest.raises(IntegrityError):
        run(source, store)
    assert store.files == {}


def test_a_truncated_safetensors_file_is_refused_although_nobody_promised_a_hash():
    whole = safetensors(some_bytes(3000))
    store = MemoryStore()
    for content in (whole[:-1], whole[:900] + whole[901:]):
        with pytest.raises(IntegrityError, match="not a whole safetensors file"):
            run(MemorySource({"config.json": b"{}", "model.safetensors": content}, promise=None), store)
    assert "model.safetensors" not in store.files


@pytest.mark.parametrize("error", [SourceChangedError("It changed."), NotFoundError("It is gone."), AccessError("No.")])
def test_a_source_that_fails_ends_the_run_for_all_destinations(error):
    stores = [MemoryStore(name="one"), MemoryStore(name="two")]
    source = source_of()

    def refuse(item, start, end):
        if start >= 5000:
            raise error

    source.before_open = refuse
    with pytest.raises(type(error)) as caught:
        run(source, *stores)
    assert caught.value is error
    for store in stores:
        assert store.files == {}
        assert MANIFEST not in store.everything


def test_a_bug_surfaces_as_it_is():
    store, source = MemoryStore(), source_of()

    def bug(item, start, end):
        raise ZeroDivisionError("a bug")

    source.before_open = bug
    with pytest.raises(ZeroDivisionError):
        run(source, store)
    assert MANIFEST not in store.everything


# -- one destination of several fails --------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["prepare", "put", "begin", "put_part", "complete"])
@pytest.mark.parametrize("order", ["first", "last"])
def test_one_failing_destination_does_not_keep_others_from_finishing(operation, order):
    good, bad = MemoryStore(name="good"), MemoryStore(name="bad")
    error = StoreError("The disk is full.")
    bad.broken(operation, error)
    source = source_of(small=b"x")
    result = run(source, *((bad, good) if order == "first" else (good, bad)))
    results = {target.url.partition(":")[0]: target for target in result.targets}
    assert good.files == source.files
    assert good.manifest is not None
    assert results["good"].error is None
    assert results["bad"].error is error
    assert MANIFEST not in bad.everything
    assert [target.url for target in result.failed] == ["bad://m/"]


def test_the_first_error_of_a_destination_is_the_one_to_tell():
    target = Target(MemoryStore())
    first = StoreError("The disk is full.")
    target.fail(first)
    target.fail(StoreError("The directory is gone."))
    assert target.error is first


def test_a_destination_that_has_failed_is_sent_nothing_more():
    bad, good, tries = MemoryStore(name="bad"), MemoryStore(name="good"), []

    def fail(path):
        if path.startswith("small"):
            tries.append(path)
            raise StoreError("The disk is full.")

    bad.bucket.before["put"] = fail
    source = MemorySource({f"small-{number}": b"x" for number in range(100)})
    run(source, bad, good)
    assert good.files == source.files
    assert 1 <= len(tries) < 60


def test_a_destination_that_stays_away_fails_after_its_tries():
    store, control = MemoryStore(), FakeControl(attempts=3)
    store.broken("put_part", TransientError("503"))
    (target,) = run(source_of(), store, control=control, workers=1).targets
    assert isinstance(target.error, TransientError)
    assert MANIFEST not in store.everything


def test_when_all_destinations_have_failed_reading_ends():
    store, source = MemoryStore(), source_of(more=some_bytes(200_000, 2))
    store.broken("put_part", StoreError("The disk is full."))
    run(source, store, workers=2)
    assert len(source.opened) < 30


# -- resume ----------------------------------------------------------------------------------------------------


def interrupted(store, source, *, after=7000, until=None, **options):
    """A run whose source refuses ``big.bin`` from a byte on, once everything before has arrived and been noted."""

    def all_before_is_there():
        uploads = store.bucket.open_uploads.values()
        count = sum(len(upload.parts) for upload in uploads)
        noted = json.loads(store.everything[LEDGER])["hashed"]
        resumable = can_resume() and source.promise != "git_sha1"
        return count == after // 1000 and noted == (count // 2 * 2 if resumable else 0)

    def refuse(item, start, end):
        if item.path == "big.bin" and start >= after:
            wait_for(until or all_before_is_there)
            raise AccessError("The token expired.")

    source.before_open = refuse
    with pytest.raises(AccessError):
        run(source, store, workers=1, **options)
    source.before_open = lambda item, start, end: None
    assert len(store.bucket.open_uploads) == 1
    return source


def finish(store, source, **options):
    store.log.clear()
    source.opened.clear()
    result = run(source, store, **options)
    assert store.files == source.files
    assert store.control_objects == [MANIFEST]
    assert all(file.sha256 == sha256(source.files[file.path]) for file in store.manifest.files)
    return result.targets[0]


@pytest.mark.skipif(not can_resume(), reason="no libcrypto with SHA256_Init")
@pytest.mark.parametrize("promise", ["sha256", "md5", None])
@pytest.mark.parametrize("workers", [1, 4])
def test_a_resumed_file_is_neither_read_nor_sent_again(promise, workers):
    store = MemoryStore()
    interrupted(store, source_of(promise))
    target = finish(store, source_of(promise), workers=workers)
    # The last checkpoint was after six parts; the seventh had arrived, so it is read for the hash but not sent.
    assert target.bytes_resumed == 7000
    assert target.bytes_sent == len(BIG) - 7000


@pytest.mark.skipif(not can_resume(), reason="no libcrypto with SHA256_Init")
def test_a_resumed_file_is_read_from_the_last_checkpoint_on():
    store = MemoryStore()
    interrupted(store, source_of())
    source = source_of()
    finish(store, source)
    assert min(start for _path, start, _end in source.opened) == 6000


def test_a_file_named_by_git_is_read_again_but_not_sent_again():
    store = MemoryStore()
    interrupted(store, source_of("git_sha1"))
    source = source_of("git_sha1")
    target = finish(store, source)
    assert min(start for _path, start, _end in source.opened) == 0
    assert target.bytes_resumed == 7000
    assert target.bytes_sent == len(BIG) - 7000


def test_a_part_that_arrived_damaged_is_sent_again():
    store = MemoryStore()
    interrupted(store, source_of("git_sha1"))
    upload = next(iter(store.bucket.open_uploads.values()))
    upload.parts[3] = (3000, b"\0" * 1000)
    target = finish(store, source_of("git_sha1"))
    assert target.bytes_sent == len(BIG) - 6000


def test_a_run_may_be_interrupted_again_and_again():
    store = MemoryStore()
    for after in (2000, 4000, 6000, 8000, 10_000):
        interrupted(store, source_of(), after=after)
    assert len(store.bucket.open_uploads) == 1
    assert finish(store, source_of()).bytes_resumed == 10_000


def test_files_that_were_finished_before_the_interruption_are_not_sent_again():
    files = {"first.bin": some_bytes(20_000, 3)}
    store = MemoryStore()
    interrupted(store, source_of(**files), after=0, until=lambda: "first.bin" in store.files)
    source = source_of(**files)
    finish(store, source)
    assert {path for path, _start, _end in source.opened} == set(store.written("put_part")) == {"big.bin"}


def rewritten(**changes):
    def rewrite(store, ledger):
        return json.dumps({**ledger, **changes}).encode()

    return rewrite


def state_with(change):
    def rewrite(store, ledger):
        state = change(base64.b64decode(ledger["state"]))
        return json.dumps({**ledger, "state": base64.b64encode(state).decode()}).encode()

    return rewrite


def abort(store, ledger):
    store.bucket.open_uploads.clear()
    return json.dumps(ledger).encode()


needs_state = pytest.mark.skipif(not can_resume(), reason="no libcrypto with SHA256_Init")


@pytest.mark.parametrize(
    "damage",
    [
        lambda store, ledger: b"",
        lambda store, ledger: b"{",
        lambda store, ledger: b"[]",
        lambda store, ledger: b"[" * 100_000,
        lambda store, ledger: b'{"upload": "x"}',
        rewritten(id="another"),
        rewritten(part_size=500),
        rewritten(upload="upload-99"),
        rewritten(hashed=4),
        rewritten(hashed=None),
        rewritten(hashed="6"),
        rewritten(hashed=10**9),
        rewritten(state=None),
        rewritten(state=""),
        rewritten(state="no base64!"),
        rewritten(state=5),
        rewritten(state=["list"]),
        rewritten(state=base64.b64encode(b"abc").decode()),
        pytest.param(state_with(lambda state: state[:-1]), marks=needs_state),
        pytest.param(state_with(lambda state: state + b"\0"), marks=needs_state),
        pytest.param(state_with(lambda state: state[:-8] + struct.pack("=II", 2**31, 32)), marks=needs_state),
        abort,
    ],
    ids=[
        "empty",
        "not JSON",
        "a list",
        "deeply nested",
        "incomplete",
        "another id",
        "another part size",
        "another upload",
        "another count",
        "no count",
        "count as text",
        "a huge count",
        "no state",
        "empty state",
        "state is not base64",
        "state is a number",
        "state is a list",
        "state is short",
        "state lost a byte",
        "state has one byte more",
        "state points outside of itself",
        "the upload is gone",
    ],
)
def test_a_damaged_ledger_costs_time_but_never_content(damage):
    store = MemoryStore()
    interrupted(store, source_of())
    store.put(LEDGER, damage(store, json.loads(store.everything[LEDGER])))
    target = finish(store, source_of())
    assert target.error is None
    assert target.bytes_sent + target.bytes_resumed == len(BIG)


@pytest.mark.parametrize("ledger", [b"", json.dumps({"upload": "upload-99"}).encode()])
def test_an_upload_that_no_ledger_names_any_more_is_aborted(ledger):
    store = MemoryStore()
    interrupted(store, source_of())
    store.put(LEDGER, ledger)
    finish(store, source_of())
    assert store.bucket.open_uploads == {}


@pytest.mark.parametrize("promise", ["sha256", "git_sha1", None])
def test_nothing_is_left_over_after_a_resume(promise):
    store = MemoryStore()
    interrupted(store, source_of(promise))
    finish(store, source_of(promise))
    assert store.bucket.open_uploads == {}


@needs_state
def test_a_state_of_other_content_is_found_by_the_promised_hash():
    store = MemoryStore()
    interrupted(store, source_of())
    ledger = json.loads(store.everything[LEDGER])
    state = bytearray(base64.b64decode(ledger["state"]))
    state[0] ^= 1
    store.put(LEDGER, json.dumps({**ledger, "state": base64.b64encode(state).decode()}).encode())
    with pytest.raises(IntegrityError):
        run(source_of(), store)
    assert store.files == {}
    finish(store, source_of())


@pytest.mark.parametrize("promise", ["sha256", "git_sha1", "md5"])
def test_a_part_of_another_size_does_not_count_as_arrived(promise):
    store = MemoryStore()
    interrupted(store, source_of(promise))
    upload = next(iter(store.bucket.open_uploads.values()))
    upload.parts[3] = (3000, BIG[3000:3999])
    assert finish(store, source_of(promise)).bytes_sent == len(BIG) - 6000


def test_a_source_that_promises_another_hash_than_before_is_hashed_from_the_start():
    store = MemoryStore()
    interrupted(store, source_of("sha256"))
    assert finish(store, source_of("git_sha1")).bytes_resumed == 7000


def test_an_upload_of_content_that_changed_meanwhile_is_aborted():
    store = MemoryStore()
    interrupted(store, source_of())
    (old,) = store.bucket.open_uploads
    source = MemorySource({"big.bin": some_bytes(10_500, 9)})
    target = finish(store, source)
    assert target.bytes_resumed == 0
    assert store.written("abort") == ["big.bin"]
    assert old not in store.bucket.open_uploads


def test_an_upload_of_a_file_that_is_gone_is_aborted():
    store = MemoryStore()
    interrupted(store, source_of())
    finish(store, MemorySource({"other.bin": b"x"}))
    assert store.written("abort") == ["big.bin"]


def test_an_upload_that_was_begun_but_never_noted_is_aborted():
    store = MemoryStore()
    store.broken("put", StoreError("The disk is full."), path=LEDGER)
    (target,) = run(source_of(), store).targets
    assert target.error is not None
    assert len(store.bucket.open_uploads) == 1
    store.bucket.before.clear()
    finish(store, source_of())
    assert store.written("uploads") == store.written("abort") == ["big.bin"]


def test_a_first_run_does_not_look_for_uploads_of_others():
    store = MemoryStore()
    foreign = store.begin(entry("big.bin", len(BIG)))
    run(source_of(), store)
    assert store.written("uploads") == []
    assert list(store.bucket.open_uploads) == [foreign]


def test_two_destinations_resume_from_where_each_of_them_is():
    far, near = MemoryStore(name="far"), MemoryStore(name="near")
    interrupted(far, source_of(), after=9000)
    interrupted(near, source_of(), after=3000)
    result = run(source_of(), far, near)
    assert far.files == near.files == {"big.bin": BIG}
    assert [target.bytes_resumed for target in result.targets] == [9000, 3000]
    assert [target.bytes_sent for target in result.targets] == [1500, 7500]


def test_a_ledger_never_promises_parts_that_have_not_arrived():
    class OutOfOrder(MemoryStore):
        """Part 3 arrives only after part 12 has been begun, when some of those in between are done with."""

        later = threading.Event()

        def put_part(self, path, upload, index, offset, data):
            if index == 12:
                self.later.set()
            if index == 3:
                assert self.later.wait(10)
            return super().put_part(path, upload, index, offset, data)

    store, source = OutOfOrder(), MemorySource({"big.bin": some_bytes(40_000)})
    claims = []

    def look(path):
        if path == LEDGER:
            (upload,) = store.bucket.open_uploads.values()
            claims.append((json.loads(store.everything[LEDGER])["hashed"], set(upload.parts)))

    store.bucket.after["put"] = look
    run(source, store, workers=6)
    assert store.files == source.files
    assert max(hashed for hashed, _arrived in claims) >= 2
    for hashed, arrived in claims:
        assert set(range(hashed)) <= arrived


def test_the_part_size_decides_the_ledger():
    store = MemoryStore()
    interrupted(store, source_of())
    target = finish(store, source_of(), part_size=1500)
    assert target.bytes_resumed == 0
    assert store.written("abort") == ["big.bin"]


# -- leftovers -------------------------------------------------------------------------------------------------


def test_dropping_ledgers_aborts_their_uploads():
    store = MemoryStore()
    interrupted(store, source_of())
    store.put(UPLOADS + "damaged.json", b"{")
    drop_ledgers(store, FakeControl(), [LEDGER, UPLOADS + "damaged.json"])
    assert store.bucket.open_uploads == {}
    assert store.control_objects == [PENDING]


def test_ledgers_of_different_files_do_not_meet():
    paths = ["a", "A", "a/b", "ab", "ü", "a ", "undecodable \udcff"]
    assert len({ledger_path(path) for path in paths}) == len(paths)
    assert all(ledger_path(path).startswith(UPLOADS) for path in paths)
