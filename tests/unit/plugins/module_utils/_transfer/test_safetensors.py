# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import struct

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import IntegrityError
from ansible_collections.modelops.serving.plugins.module_utils._transfer.safetensors import (
    check_config,
    check_header,
    check_index,
    indexes,
)
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._transfer.fakes import (
    entry,
    safetensors,
    snapshot,
)


def with_header(raw, payload=b""):
    return struct.pack("<Q", len(raw)) + raw + payload


def check(data, *, path="model.safetensors", size=None, head=None):
    check_header(entry(path, len(data) if size is None else size), memoryview(data)[:head])


# -- headers ---------------------------------------------------------------------------------------------------

WHOLE = safetensors(b"0123456789")
LENGTH = struct.unpack("<Q", WHOLE[:8])[0]


@pytest.mark.parametrize(
    "data",
    [
        WHOLE,
        safetensors(b""),
        safetensors(b"0123", __metadata__={"format": "pt"}),
        safetensors(b"0123", other={"dtype": "U8", "shape": [2], "data_offsets": [1, 3]}),
        with_header(b"{}"),
        with_header(b'{"__metadata__": {"format": "pt"}}'),
        with_header(b'{"a":{"data_offsets":[0,4]}}      ', b"data"),
    ],
    ids=["plain", "empty tensor", "metadata", "two tensors", "no tensor", "only metadata", "padded with spaces"],
)
def test_a_whole_file_passes(data):
    check(data)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "it has 0 bytes"),
        (b"1234567", "it has 7 bytes"),
        (WHOLE[:-1], f"its tensors end at byte {len(WHOLE)}, the file at {len(WHOLE) - 1}"),
        (WHOLE + b"\0", f"its tensors end at byte {len(WHOLE)}, the file at {len(WHOLE) + 1}"),
        (WHOLE[:20], f"its header claims {LENGTH} bytes"),
        (struct.pack("<Q", 2**63) + WHOLE[8:], f"its header claims {2**63} bytes"),
        (b"<html><body>Not here</body></html>", "its header claims"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:", "its header claims"),
        (with_header(b"not JSON"), "its header cannot be read"),
        (with_header(b"\xff\xfe"), "its header cannot be read"),
        (with_header(b"[]"), "its header cannot be read"),
        (with_header(b"null"), "its header cannot be read"),
        (with_header(b"[" * 100_000), "its header cannot be read"),
        (with_header(b'{"a": 1}'), "its header cannot be read"),
        (with_header(b'{"a": {}}'), "its header cannot be read"),
        (with_header(b'{"a": {"data_offsets": [0]}}'), "its header cannot be read"),
        (with_header(b'{"a": {"data_offsets": [0, null]}}'), "its header cannot be read"),
        (with_header(b'{"a": {"data_offsets": [0, Infinity]}}'), "its header cannot be read"),
        (with_header(b'{"a": {"data_offsets": [0, NaN]}}'), "its header cannot be read"),
    ],
    ids=lambda value: repr(value[:24]),
)
def test_a_damaged_file_is_refused(data, problem):
    with pytest.raises(IntegrityError) as caught:
        check(data)
    assert caught.value.message.startswith(f"model.safetensors is not a whole safetensors file: {problem}")
    assert caught.value.hint == "The source holds a damaged file."


def test_the_size_of_the_file_counts_not_how_much_of_it_was_read():
    check(WHOLE, head=8 + LENGTH)
    with pytest.raises(IntegrityError, match="its tensors end"):
        check(WHOLE, head=8 + LENGTH, size=len(WHOLE) + 1)


@pytest.mark.parametrize("head", [8, 9, 8 + LENGTH - 1])
def test_a_header_that_is_larger_than_what_was_read_is_not_judged(head):
    check(WHOLE + b"padded", head=head)


@pytest.mark.parametrize("path", ["model.bin", "model.safetensors.index.json", "safetensors", "README.md"])
def test_other_files_are_not_looked_at(path):
    check(b"anything", path=path)


# -- indexes ---------------------------------------------------------------------------------------------------


def index(*shards):
    return json.dumps({"metadata": {}, "weight_map": {f"layer.{n}": name for n, name in enumerate(shards)}}).encode()


def test_indexes_are_found_at_any_depth():
    found = indexes(
        snapshot(
            "model.safetensors.index.json",
            "unet/x.fp16.safetensors.index.json",
            "index.json",
            "pytorch_model.bin.index.json",
        )
    )
    assert [item.path for item in found] == ["model.safetensors.index.json", "unet/x.fp16.safetensors.index.json"]


@pytest.mark.parametrize("folder", ["", "unet/", "a/b/"])
def test_an_index_whose_shards_are_there_passes(folder):
    name = f"{folder}model.safetensors.index.json"
    files = snapshot(name, f"{folder}one.safetensors", f"{folder}sub/two.safetensors")
    check_index(entry(name), index("one.safetensors", "sub/two.safetensors", "one.safetensors"), files)


@pytest.mark.parametrize(
    ("folder", "there"),
    [("", ["one.safetensors", "sub/two.safetensors"]), ("unet/", ["one.safetensors", "two.safetensors"])],
)
def test_a_missing_shard_is_named(folder, there):
    name = f"{folder}model.safetensors.index.json"
    with pytest.raises(IntegrityError) as caught:
        check_index(entry(name), index("one.safetensors", "two.safetensors", "two.safetensors"), snapshot(*there))
    missing = 1 if not folder else 2
    first = "two.safetensors" if not folder else "one.safetensors"
    assert caught.value.message == (
        f"{name} names 2 shards and {missing} of them are missing at the source, first {first!r}."
    )
    assert "allow_patterns" in caught.value.hint


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"weight_map": null}',
        b'{"weight_map": []}',
        b"\xff",
        b"[" * 100_000,
    ],
    ids=lambda content: repr(content[:24]),
)
def test_what_is_no_index_is_refused(content):
    with pytest.raises(IntegrityError, match="is not a safetensors index"):
        check_index(entry("model.safetensors.index.json"), content, snapshot("a"))


def test_an_index_of_things_that_are_no_names_is_refused():
    content = b'{"weight_map": {"a": 1, "b": "x", "c": []}}'
    with pytest.raises(IntegrityError, match="3 of them are missing"):
        check_index(entry("model.safetensors.index.json"), content, snapshot("a"))


# -- config.json -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "paths",
    [
        ["config.json", "model.safetensors"],
        ["config.json", "pytorch_model-00001-of-00002.bin", "sub/config.json"],
        ["model-q4.gguf", "README.md"],
        ["model_index.json", "unet/config.json", "unet/x.safetensors", "vae/config.json"],
        ["model_index.json", "merged.safetensors"],
        ["adapter_config.json", "adapter_model.safetensors"],
        ["params.json", "consolidated.safetensors", "tokenizer.json"],
        ["onnx/model.onnx", "tokenizer/vocab.txt"],
        ["a/config.json", "b/config.json"],
        ["one/config.json", "README.md"],
        ["README.md"],
        ["training_args.bin"],
    ],
    ids=[
        "transformers",
        "old transformers",
        "GGUF only",
        "diffusers",
        "diffusers in one file",
        "PEFT",
        "params.json",
        "ONNX in folders",
        "several models in folders",
        "a model in a folder and a file beside it",
        "no weights at all",
        "another .bin",
    ],
)
def test_repositories_that_a_server_can_load_pass(paths):
    check_config(snapshot(*paths))


@pytest.mark.parametrize(
    ("paths", "named"),
    [
        (["model.safetensors"], "model.safetensors"),
        (["b.safetensors", "a.safetensors", "tokenizer.json"], "a.safetensors"),
        (["pytorch_model.bin"], "pytorch_model.bin"),
        (["model.safetensors", "sub/config.json"], "model.safetensors"),
        (["model.safetensors", "sub/params.json"], "model.safetensors"),
    ],
)
def test_weights_without_their_config_are_refused(paths, named):
    with pytest.raises(IntegrityError, match=f"no config.json beside '{named}'") as caught:
        check_config(snapshot(*paths))
    assert "require_config" in caught.value.hint


@pytest.mark.parametrize(
    "paths",
    [["gemma/config.json", "gemma/model.safetensors"], ["a/b/config.json", "a/x"], ["config.json/config.json"]],
)
def test_a_model_that_was_copied_with_its_directory_is_refused_with_what_to_do(paths):
    with pytest.raises(IntegrityError, match="Everything lies in one directory") as caught:
        check_config(snapshot(*paths))
    assert "slash" in caught.value.hint
