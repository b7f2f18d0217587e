# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError, NotFoundError
from ansible_collections.modelops.serving.plugins.module_utils._transfer.paths import (
    check_collisions,
    check_file_path,
    check_object_path,
    model_prefix,
    select,
)
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._transfer.fakes import entry, properties


def selected(paths, allow=(), ignore=()):
    return [item.path for item in select(map(entry, paths), allow=allow, ignore=ignore, where="org/model")]


# -- the canonical model path ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prefix", "name", "expected"),
    [
        ("", "model", "model/"),
        ("models", "model", "models/model/"),
        ("models/", "model", "models/model/"),
        ("/models//", "/model/", "models/model/"),
        ("/", "model", "model/"),
        ("Team A/Models", "Org/Model-7B", "Team A/Models/Org/Model-7B/"),
        ("", "a/b/c", "a/b/c/"),
        ("", "..a/b..", "..a/b../"),
        ("", ".hidden", ".hidden/"),
        ("", "ünïcode 模型", "ünïcode 模型/"),
        ("", "100%+x\\y", "100%+x\\y/"),
        ("", ".model-sync.old", ".model-sync.old/"),
    ],
)
def test_the_model_path_is_prefix_and_name_as_they_are(prefix, name, expected):
    assert model_prefix(prefix, name) == expected


@pytest.mark.parametrize(
    ("prefix", "name"),
    [
        ("", ""),
        ("models", ""),
        ("models", "/"),
        ("", "."),
        ("", ".."),
        ("models", "../other"),
        ("models", "a/../b"),
        ("models", "a/./b"),
        ("models", "a//b"),
        ("a//b", "model"),
        ("..", "model"),
        ("models/..", "model"),
        ("models", "a\0b"),
        ("models", "a\nb"),
        ("a\tb", "model"),
        ("models", ".model-sync"),
        ("models", "a/.model-sync/b"),
        (".model-sync", "model"),
    ],
)
def test_a_model_path_that_leaves_its_place_is_refused(prefix, name):
    with pytest.raises(InputError, match="not a path inside the destination"):
        model_prefix(prefix, name)


# -- paths of files --------------------------------------------------------------------------------------------

ODD_BUT_LEGAL = [
    "a",
    "dir/a.safetensors",
    "with space.txt",
    "plus+plus.txt",
    "100%25.txt",
    "back\\slash.txt",
    "ünï/模型.json",
    "emoji 🤗.md",
    "?query=1&x#y",
    "..a",
    "a..",
    "...",
    ".hidden",
    "-dash",
    "new\nline",
    "quote'\"",
    "undecodable \udcff",
]


@pytest.mark.parametrize("path", ODD_BUT_LEGAL)
def test_odd_but_legal_paths_pass(path):
    check_object_path(path)
    check_file_path(path)


@pytest.mark.parametrize(
    "path", ["", "/", "/etc/passwd", "..", ".", "../a", "a/../b", "a/..", "./a", "a/./b", "a/.", "a\0b"]
)
def test_paths_that_leave_their_prefix_are_refused(path):
    for check in (check_object_path, check_file_path):
        with pytest.raises(InputError, match="would leave its prefix"):
            check(path)


@pytest.mark.parametrize("path", ["a//b", "a/", "dir/" + "x" * 256, "ü" * 128])
def test_an_object_may_have_names_that_a_file_may_not(path):
    check_object_path(path)
    with pytest.raises(InputError, match="cannot be a file name"):
        check_file_path(path)


def test_the_limits_are_counted_in_bytes():
    check_object_path("x" * 1024)
    check_object_path("ü" * 512)
    for path in ("x" * 1025, "ü" * 512 + "x"):
        with pytest.raises(InputError, match="longer than 1024 bytes"):
            check_object_path(path)
    check_file_path("a/" + "x" * 255)


def test_the_message_about_a_long_name_is_short():
    with pytest.raises(InputError) as caught:
        check_object_path("x" * 100_000)
    assert len(str(caught.value)) < 200


# -- collisions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("files", [True, False])
def test_two_files_of_one_name_collide(files):
    with pytest.raises(InputError, match="two files named 'a/b'"):
        check_collisions(["a/b", "c", "a/b"], files=files)


@pytest.mark.parametrize("paths", [["a", "a/b"], ["a/b", "a"], ["a", "a/b/c/d"], ["x", "a/b", "a/b/c"]])
def test_a_file_and_a_directory_of_one_name_collide_in_directories_only(paths):
    check_collisions(paths, files=False)
    with pytest.raises(InputError, match="cannot both exist in a directory"):
        check_collisions(paths, files=True)


@pytest.mark.parametrize("paths", [[], ["a"], ["a", "ab", "a.b"], ["a/b", "a/c", "ab/c"], ["A", "a"]])
def test_different_names_do_not_collide(paths):
    check_collisions(paths, files=True)
    check_collisions(paths, files=False)


# -- selection -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("allow", "ignore", "expected"),
    [
        ([], [], ["README.md", "a.json", "dir/b.json", "dir/sub/c.bin"]),
        (["*.json"], [], ["a.json", "dir/b.json"]),
        (["dir/"], [], ["dir/b.json", "dir/sub/c.bin"]),
        (["dir"], ["*.md"], None),
        ([], ["dir/"], ["README.md", "a.json"]),
        (["*.json", "*.bin"], ["dir/b*"], ["a.json", "dir/sub/c.bin"]),
        (["[Rr]*"], [], ["README.md"]),
        (["?.json"], [], ["a.json"]),
        (["readme.md"], [], None),
        ([], ["*"], None),
    ],
)
def test_patterns_select_files(allow, ignore, expected):
    paths = ["dir/sub/c.bin", "a.json", "dir/b.json", "README.md"]
    if expected is None:
        with pytest.raises(NotFoundError):
            selected(paths, allow, ignore)
    else:
        assert selected(paths, allow, ignore) == expected


# Backslashes are left out: the library takes them for separators of Windows, here they are part of a name.
names = st.text("abAB.*?[]!-_ü ", min_size=1, max_size=4)
some_paths = st.lists(names, min_size=1, max_size=3).map("/".join)
some_patterns = st.lists(
    st.tuples(
        st.sampled_from(["", "*", "*/", "a", "a/", "[ab]", "?"]), names, st.sampled_from(["", "*", "/", "/*"])
    ).map("".join),
    min_size=1,
    max_size=3,
)


@properties
@given(st.sets(some_paths, min_size=1, max_size=8), some_patterns | st.none(), some_patterns | st.none())
def test_patterns_mean_what_they_mean_to_huggingface_hub(paths, allow, ignore):
    # Imported here, for every test is run in a fork of its own, and small processes fork faster.
    from huggingface_hub.utils import filter_repo_objects

    paths = {path for path in paths if not {".", ".."} & set(path.split("/"))}
    expected = sorted(filter_repo_objects(paths, allow_patterns=allow, ignore_patterns=ignore))
    if expected:
        assert selected(paths, allow or (), ignore or ()) == expected
    else:
        with pytest.raises(NotFoundError):
            selected(paths, allow or (), ignore or ())


def test_the_control_files_of_an_earlier_run_are_never_part_of_a_model():
    paths = [".model-sync/manifest.json", ".model-sync/uploads/a.json", ".model-sync.txt", "a"]
    assert selected(paths) == [".model-sync.txt", "a"]


@pytest.mark.parametrize("paths", [[], [".model-sync/manifest.json"]])
def test_an_empty_source_is_an_error(paths):
    with pytest.raises(NotFoundError, match="org/model holds no files") as caught:
        selected(paths)
    assert "trailing slash" in caught.value.hint


def test_an_empty_selection_is_an_error_that_names_patterns_and_an_example():
    with pytest.raises(NotFoundError) as caught:
        selected(["b.bin", "a.bin"], allow=["*.safetensors"], ignore=["x"])
    assert caught.value.message == (
        "None of the 2 files of org/model is selected by allow_patterns ['*.safetensors'] and ignore_patterns ['x']."
    )
    assert caught.value.hint == "The first file is 'a.bin'."


def test_only_selected_files_have_to_be_safe():
    assert selected(["../evil", "a"], ignore=["../*"]) == ["a"]
    with pytest.raises(InputError, match="would leave its prefix"):
        selected(["../evil", "a"])
