# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError
from ansible_collections.modelops.serving.plugins.module_utils._transfer.model import (
    FileEntry,
    Listed,
    Manifest,
    ManifestFile,
    Snapshot,
    digest_revision,
    make_plan,
)
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._transfer.fakes import (
    entry,
    proof,
    properties,
)

MANIFEST = Manifest(
    source={"type": "huggingface", "repo": "org/Model", "allow_patterns": ["*.json"]},
    revision="c0ffee",
    files=(
        proof("config.json", 12, sha256="aa"),
        proof("dir/mödel 1+2%\\.safetensors", 5_000_000_000, id="bb", etag="cc-2", sha256=None),
    ),
    stale=("old.bin",),
    started="2026-01-01T00:00:00Z",
    finished="2026-01-01T00:01:00Z",
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
manifest_files = st.builds(
    ManifestFile, texts, st.integers(0, 2**50), texts, texts, st.none() | st.text("0123456789abcdef", max_size=64)
)
manifests = st.builds(
    Manifest,
    source=st.dictionaries(texts, texts | st.lists(texts), max_size=3),
    revision=texts,
    files=st.lists(manifest_files, max_size=5).map(tuple),
    stale=st.lists(texts, max_size=3).map(tuple),
    started=texts,
    finished=texts,
    tool=texts,
)


# -- manifest --------------------------------------------------------------------------------------------------


@properties
@given(manifests)
def test_a_manifest_survives_being_stored(manifest):
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_a_manifest_has_one_file_per_line():
    lines = MANIFEST.to_json().decode().splitlines()
    assert len(lines) == 1 + len(MANIFEST.files) + 1
    for line, file in zip(lines[1:-1], MANIFEST.files, strict=True):
        assert json.loads(line.rstrip(",")) == dataclasses.asdict(file)


def test_a_manifest_is_json_with_the_documented_keys():
    raw = json.loads(MANIFEST.to_json())
    assert list(raw) == ["schema", "tool", "source", "revision", "bytes", "started", "finished", "stale", "files"]
    assert raw["schema"] == 1
    assert raw["bytes"] == MANIFEST.size == 5_000_000_012


def test_equal_manifests_are_equal_bytes():
    assert MANIFEST.to_json() == Manifest.from_json(MANIFEST.to_json()).to_json()


def altered(**changes):
    raw = json.loads(MANIFEST.to_json())
    raw.update(changes)
    return json.dumps({key: value for key, value in raw.items() if value != "left out"}).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'"text"',
        b"{}",
        MANIFEST.to_json()[:-10],
        altered(revision="left out"),
        altered(files="left out"),
        altered(files=None),
        altered(files=[1]),
        altered(files=[{"path": "a"}]),
        altered(files=[{**dataclasses.asdict(proof()), "more": 1}]),
        altered(files=[{**dataclasses.asdict(proof()), "size": "1"}]),
        altered(stale=None),
        b"[" * 100_000,
    ],
    ids=lambda data: repr(data[:20]),
)
def test_a_damaged_manifest_is_refused(data):
    with pytest.raises(InputError, match="Not a manifest"):
        Manifest.from_json(data)


@pytest.mark.parametrize("source", [None, "text", []])
def test_a_manifest_without_a_source_is_refused(source):
    with pytest.raises(InputError, match="names no source"):
        Manifest.from_json(altered(source=source))


def test_a_manifest_of_a_newer_schema_is_refused_with_what_to_do():
    with pytest.raises(InputError, match="schema 2, this version reads 1") as caught:
        Manifest.from_json(altered(schema=2))
    assert "newer" in caught.value.hint


@pytest.mark.parametrize("change", [{"bytes": 1}, {"files": [dataclasses.asdict(MANIFEST.files[0])]}, {"files": []}])
def test_a_manifest_whose_sizes_do_not_add_up_is_refused(change):
    with pytest.raises(InputError, match="does not add up"):
        Manifest.from_json(altered(**change))


# -- revision of a source without commits ----------------------------------------------------------------------


def test_the_digest_revision_does_not_depend_on_the_order():
    one, two = entry("a"), entry("b")
    assert digest_revision([one, two]) == digest_revision([two, one])


@pytest.mark.parametrize(
    "other", [[], [entry("b")], [entry("a", 2)], [entry("a", id="id-2")], [entry("a"), entry("b")]]
)
def test_the_digest_revision_changes_with_path_size_id_and_number(other):
    assert digest_revision([entry("a")]) != digest_revision(other)


def test_the_digest_revision_does_not_confuse_neighbours():
    assert digest_revision([entry("ab", id="c")]) != digest_revision([entry("a", id="bc")])


# -- plan ------------------------------------------------------------------------------------------------------

FILE = entry("a", 10, id="id-1", sha256="s1")
PROOF = proof("a", 10, id="id-1", etag="e1", sha256="s1")
THERE = Listed(10, "e1")


@pytest.mark.parametrize(
    ("file", "there", "known", "expected"),
    [
        (FILE, None, None, "add"),
        (FILE, None, PROOF, "add"),
        (FILE, THERE, PROOF, "keep"),
        (FILE, THERE, None, "change"),
        (FILE, Listed(10, "e2"), PROOF, "change"),
        (FILE, Listed(11, "e1"), PROOF, "change"),
        (dataclasses.replace(FILE, size=11), THERE, PROOF, "change"),
        (dataclasses.replace(FILE, size=11), Listed(11, "e1"), PROOF, "change"),
        (dataclasses.replace(FILE, id="id-2"), THERE, PROOF, "change"),
        (dataclasses.replace(FILE, sha256="s2"), THERE, PROOF, "change"),
        (dataclasses.replace(FILE, sha256=None), THERE, PROOF, "keep"),
        (FILE, THERE, dataclasses.replace(PROOF, sha256=None), "change"),
        (dataclasses.replace(FILE, sha256=None), THERE, dataclasses.replace(PROOF, sha256=None), "keep"),
    ],
    ids=[
        "missing",
        "missing although the manifest names it",
        "proven",
        "there but unknown",
        "overwritten",
        "another size in the store",
        "another size at the source",
        "another size than proven",
        "another id at the source",
        "same id but another hash",
        "source without hashes",
        "source has a hash, the proof none",
        "no hashes anywhere",
    ],
)
def test_where_a_file_goes(file, there, known, expected):
    plan = make_plan(
        Snapshot("r", (file,)),
        {"a": there} if there else {},
        {"a": known} if known else {},
        managed=["a"],
        prune=True,
    )
    assert {name: len(getattr(plan, name)) for name in ("add", "change", "keep")} == {
        "add": 0,
        "change": 0,
        "keep": 0,
        expected: 1,
    }
    assert plan.transfer == (() if expected == "keep" else (file,))
    assert plan.remove == plan.stale == ()


@pytest.mark.parametrize(
    ("managed", "prune", "remove", "stale"),
    [
        ([], True, (), ()),
        ([], False, (), ()),
        (["old"], True, ("old",), ()),
        (["old"], False, (), ("old",)),
        (["a"], True, (), ()),
        (["gone"], True, (), ()),
        (["gone"], False, (), ()),
        (["z", "old", "a", "gone"], True, ("old", "z"), ()),
    ],
)
def test_only_what_was_written_here_and_is_still_there_is_removed_or_stale(managed, prune, remove, stale):
    listing = {path: Listed(1, "e") for path in ("a", "old", "z", "foreign")}
    plan = make_plan(Snapshot("r", (entry("a"),)), listing, {}, managed, prune=prune)
    assert (plan.remove, plan.stale) == (remove, stale)


paths = st.sampled_from(["a", "a/b", "b", "c", "ü", "z z"])
small = st.integers(0, 2)
ids = st.sampled_from(["i", "j"])
hashes = st.none() | ids
snapshots = st.dictionaries(paths, st.tuples(small, ids, hashes)).map(
    lambda found: Snapshot(
        "r", tuple(FileEntry(path, size, id_, sha256=sha) for path, (size, id_, sha) in sorted(found.items()))
    )
)
listings = st.dictionaries(paths, st.builds(Listed, small, ids))
knowns = st.dictionaries(paths, st.tuples(small, ids, ids, hashes)).map(
    lambda found: {path: ManifestFile(path, *rest) for path, rest in found.items()}
)


@properties
@given(snapshots, listings, knowns, st.sets(paths), st.booleans())
def test_any_plan_is_complete_ordered_and_harmless(snapshot, listing, known, managed, prune):
    plan = make_plan(snapshot, listing, known, managed, prune=prune)
    parts = [[item.path for item in part] for part in (plan.add, plan.change, plan.keep)]
    assert sorted(parts[0] + parts[1] + parts[2]) == [item.path for item in snapshot.files]
    assert all(part == sorted(part) for part in parts)
    assert all(path not in listing for path in parts[0])
    assert all(path in listing for path in parts[1] + parts[2])

    wanted = {item.path for item in snapshot.files}
    assert set(plan.remove) | set(plan.stale) == (managed & listing.keys()) - wanted
    assert not (plan.stale if prune else plan.remove)
    assert list(plan.remove + plan.stale) == sorted(plan.remove + plan.stale)


@properties
@given(snapshots, listings, knowns, st.sets(paths), st.booleans())
def test_a_plan_against_its_own_result_is_empty(snapshot, listing, known, managed, prune):
    plan = make_plan(snapshot, listing, known, managed, prune=prune)
    written = {file.path: file for file in plan.keep}
    for file in plan.transfer:
        written[file.path] = ManifestFile(file.path, file.size, file.id, "new", file.sha256 or "computed")
    after = {path: there for path, there in listing.items() if path not in plan.remove}
    after |= {file.path: Listed(file.size, file.etag) for file in written.values()}

    again = make_plan(snapshot, after, written, managed | written.keys(), prune=prune)
    assert again.transfer == again.remove == ()
    assert again.stale == plan.stale
    assert {file.path for file in again.keep} == {file.path for file in snapshot.files}
