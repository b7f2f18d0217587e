# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import random
import struct
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.modelops.serving.plugins.module_utils._transfer import hashing
from ansible_collections.modelops.serving.plugins.module_utils._transfer.control import Control
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    IntegrityError,
    StoppedError,
    StoreError,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.hashing import (
    HashLane,
    ResumableMd5,
    ResumableSha256,
    can_resume,
    git_blob_hasher,
    hashed_bytes,
    sha256_hasher,
)
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._transfer.fakes import (
    entry,
    git_sha1,
    md5,
    properties,
    sha256,
    some_bytes,
)

needs_libcrypto = pytest.mark.skipif(not can_resume(), reason="no libcrypto with SHA256_Init")


def view(data):
    return memoryview(bytearray(data))


def in_parts(data, size):
    return [view(data[at : at + size]) for at in range(0, len(data), size)] or [view(b"")]


def state_after(data):
    hasher = ResumableSha256()
    hasher.update(view(data))
    return hasher.state()


# -- SHA-256 that can be put down ------------------------------------------------------------------------------


@needs_libcrypto
@properties
@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=4))
def test_a_resumed_hash_equals_hashlib_wherever_it_was_put_down(data, cuts):
    cuts = sorted(min(cut, len(data)) for cut in cuts)
    for kind, known in ((ResumableSha256, sha256), (ResumableMd5, md5)):
        hasher = kind()
        for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
            hasher = kind(hasher.state())
            hasher.update(view(data[start:end]))
            assert hasher.length == end
            assert hasher.hexdigest() == known(data[:end])


@needs_libcrypto
def test_a_state_of_md5_that_would_write_beyond_its_memory_is_refused():
    state = ResumableMd5().state()
    assert len(state) == 92
    for wrong in (state[:-4] + struct.pack("=I", 64), state + b"\0", state[1:], state_after(b"")):
        with pytest.raises(ValueError, match="MD5_CTX"):
            ResumableMd5(wrong)


@needs_libcrypto
def test_a_digest_may_be_asked_for_in_between():
    hasher = ResumableSha256()
    for number in range(1, 200):
        hasher.update(view(b"x"))
        assert hasher.hexdigest() == sha256(b"x" * number)


@needs_libcrypto
def test_the_length_goes_beyond_32_bits_of_bits():
    # h and data do not matter for the length: Nl and Nh hold it in bits.
    state = bytearray(state_after(b""))
    struct.pack_into("=II", state, 32, 0, 3)
    assert ResumableSha256(bytes(state)).length == 3 * 2**32 // 8


@needs_libcrypto
def test_a_state_is_a_copy():
    hasher = ResumableSha256()
    hasher.update(view(b"one"))
    state = hasher.state()
    hasher.update(view(b"two"))
    assert len(state) == 112
    assert ResumableSha256(state).hexdigest() == sha256(b"one")


@needs_libcrypto
@pytest.mark.parametrize("pending", [64, 65, 255, 2**31, 2**32 - 1])
def test_a_state_that_would_write_beyond_its_memory_is_refused(pending):
    state = state_after(b"abc")[:-8] + struct.pack("=II", pending, 32)
    with pytest.raises(ValueError, match="SHA256_CTX"):
        ResumableSha256(state)


@needs_libcrypto
@pytest.mark.parametrize("length", [0, 28, 31, 33, 64])
def test_a_state_of_another_hash_is_refused(length):
    state = state_after(b"abc")[:-4] + struct.pack("=I", length)
    with pytest.raises(ValueError, match="SHA256_CTX"):
        ResumableSha256(state)


@needs_libcrypto
@pytest.mark.parametrize("size", [8, 111, 113, 128, 1000])
def test_a_state_of_another_size_is_refused(size):
    state = state_after(b"abc")
    with pytest.raises(ValueError, match="SHA256_CTX"):
        ResumableSha256((b"\0" * size + state)[-size:])


@needs_libcrypto
@pytest.mark.parametrize("state", [b"", b"abc", b"1234567"])
def test_a_state_of_a_few_bytes_is_refused(state):
    with pytest.raises(ValueError, match="SHA256_CTX"):
        ResumableSha256(state)


def test_without_libcrypto_hashlib_takes_over_and_nothing_can_be_resumed(monkeypatch):
    monkeypatch.setattr(hashing, "_libcrypto", lambda: None)
    can_resume.cache_clear()
    try:
        assert not can_resume()
        with pytest.raises(OSError, match="SHA256_Init"):
            ResumableSha256()
        hasher = sha256_hasher()
        hasher.update(view(b"abc"))
        assert hasher.hexdigest() == sha256(b"abc")
        lane = HashLane(entry(size=3), Control(), start=0, state=None, snapshot_every=1)
        lane.add(0, view(b"abc"))
        assert lane.snapshots() == {}
        assert lane.finish() == sha256(b"abc")
    finally:
        can_resume.cache_clear()


# -- git -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"),
        (b"hello\n", "ce013625030ba8dba906f756967f9e9ca394464a"),
        (b"test content\n", "d670460b4b4aece5915caf5c68d12f560a9fe3e4"),
        (b"what is up, doc?", "bd9dbf5aae1a3862dd1526723246b20206e5fc37"),
    ],
)
def test_a_blob_is_named_as_git_hash_object_names_it(content, expected):
    hasher = git_blob_hasher(len(content))
    hasher.update(view(content))
    assert hasher.hexdigest() == expected


# -- the lane --------------------------------------------------------------------------------------------------


def lane_of(data, *, start=0, state=None, every=1, **promise):
    return HashLane(entry(size=len(data), **promise), Control(), start=start, state=state, snapshot_every=every)


@pytest.mark.parametrize("part_size", [1, 7, 64, 1000])
def test_parts_in_order_give_the_digest(part_size):
    data = some_bytes(500)
    lane = lane_of(data, sha256=sha256(data))
    for index, part in enumerate(in_parts(data, part_size)):
        lane.add(index, part)
    assert lane.finish() == sha256(data)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("promise", ["sha256", "git_sha1", None])
def test_parts_that_threads_bring_in_any_order_give_the_digest(seed, promise):
    data = some_bytes(10_000, seed)
    promises = {"sha256": sha256(data), "git_sha1": git_sha1(data)}
    lane = lane_of(data, **({promise: promises[promise]} if promise else {}))
    parts = list(enumerate(in_parts(data, 700)))
    random.Random(seed).shuffle(parts)
    threads = [threading.Thread(target=lane.add, args=part, daemon=True) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
    assert lane.finish() == sha256(data)


@needs_libcrypto
@pytest.mark.parametrize("promise", [{}, {"md5": md5(some_bytes(1050))}], ids=["SHA-256", "and MD5"])
@pytest.mark.parametrize("every", [1, 2, 3, 8])
def test_a_lane_goes_on_from_every_snapshot_to_the_same_digest(every, promise):
    data = some_bytes(1050)
    parts = in_parts(data, 100)
    first = lane_of(data, every=every, **promise)
    for index, part in enumerate(parts):
        first.add(index, part)
    snapshots = first.snapshots()
    assert list(snapshots) == list(range(every, len(parts) + 1, every))
    for count, state in snapshots.items():
        assert hashed_bytes(entry(size=len(data), **promise), state) == min(count * 100, len(data))
        again = lane_of(data, start=count, state=state, sha256=sha256(data), **promise)
        for index in range(count, len(parts)):
            again.add(index, parts[index])
        assert again.finish() == sha256(data)


@needs_libcrypto
def test_a_state_is_only_good_for_the_hashes_of_its_file():
    one, both = state_after(b"abc"), state_after(b"abc") + ResumableMd5().state()
    assert hashed_bytes(entry(), one) == 3
    promises = [{"md5": "0"}, {"git_sha1": "0"}, {"crc32c": "0"}]
    for state, promise in [(both, {}), (both, promises[0]), *((one, promise) for promise in promises)]:
        with pytest.raises(ValueError, match=r"CTX|not a state to go on from"):
            hashed_bytes(entry(**promise), state)


def test_a_file_named_by_git_is_not_snapshotted_for_its_sha1_cannot_be_resumed():
    data = some_bytes(50)
    lane = lane_of(data, git_sha1=git_sha1(data))
    for index, part in enumerate(in_parts(data, 10)):
        lane.add(index, part)
    assert lane.snapshots() == {}
    lane.finish()


@pytest.mark.parametrize(
    ("promise", "name", "make"),
    [("sha256", "SHA-256", sha256), ("git_sha1", "git blob SHA-1", git_sha1), ("md5", "MD5", md5)],
)
def test_other_content_than_promised_names_what_was_expected_and_what_came(promise, name, make):
    lane = HashLane(entry("dir/a.bin", 3, **{promise: make(b"abc")}), Control(), start=0, state=None, snapshot_every=1)
    lane.add(0, view(b"abX"))
    with pytest.raises(IntegrityError) as caught:
        lane.finish()
    assert caught.value.message == f"dir/a.bin: {name} is {make(b'abX')}, the source promised {make(b'abc')}."
    assert "Nothing was published" in caught.value.hint


def test_crc32c_is_checked_over_all_parts():
    pytest.importorskip("google_crc32c")
    for promised, data in (
        ("e3069283", b"123456789"),
        ("00000000", b""),
    ):  # https://reveng.sourceforge.io/crc-catalogue/
        lane = lane_of(data, crc32c=promised)
        for index, part in enumerate(in_parts(data, 4)):
            lane.add(index, part)
        assert lane.finish() == sha256(data)
        assert lane.snapshots() == {}
    lane = lane_of(b"123456780", crc32c="e3069283")
    lane.add(0, view(b"123456780"))
    with pytest.raises(IntegrityError, match=r"CRC32C is .*, the source promised e3069283"):
        lane.finish()


def test_both_promises_are_checked():
    lane = lane_of(b"abc", sha256=sha256(b"abc"), git_sha1="0" * 40)
    lane.add(0, view(b"abc"))
    with pytest.raises(IntegrityError, match="git blob SHA-1"):
        lane.finish()


def test_a_stop_ends_threads_that_wait_for_their_turn():
    control = Control()
    lane = HashLane(entry(size=2), control, start=0, state=None, snapshot_every=1)
    caught = []

    def wait():
        try:
            lane.add(1, view(b"b"))
        except StoppedError as error:
            caught.append(error)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    control.stop(StoreError("The disk is full."))
    thread.join(5)
    assert not thread.is_alive()
    assert "The disk is full." in str(caught[0])


def test_hashlib_and_the_library_agree_on_the_empty_file():
    lane = lane_of(b"", sha256=hashlib.sha256().hexdigest())
    lane.add(0, view(b""))
    assert lane.finish() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
