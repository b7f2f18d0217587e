# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes a model that looks real to every tool: sharded safetensors with valid headers and the usual small files."""

from __future__ import annotations

import json
import os
import random
import struct
from pathlib import Path

SMALLEST = 50_000_000
_PROPORTIONS = (8, 6, 5, 4, 3)
_BLOCK = 16 << 20
_PAGE = 64 << 10
# Sizes as they are in repositories of large models. Above 10 MB the hub keeps a file as LFS.
_SMALL_FILES = {
    ".gitattributes": 1_500,
    "LICENSE": 11_400,
    "README.md": 24_000,
    "USE_POLICY.md": 4_700,
    "added_tokens.json": 1_200,
    "chat_template.jinja": 5_200,
    "config.json": 900,
    "configuration.json": 300,
    "figures/overview.svg": 180_000,
    "figures/scores.svg": 75_000,
    "generation_config.json": 300,
    "merges.txt": 800_000,
    "notes/evaluation.md": 60_000,
    "original/params.json": 700,
    "preprocessor_config.json": 500,
    "special_tokens_map.json": 600,
    "tokenizer.json": 11_000_000,
    "tokenizer_config.json": 55_000,
    "vocab.json": 1_500_000,
}


def generate(directory: Path, size: int) -> dict[str, int]:
    """Write a model of about `size` bytes into the new `directory`; returns the sizes of its files by path."""
    directory.mkdir(parents=True)
    chance = random.Random(1)  # noqa: S311 - the same small files every time
    for name, length in _SMALL_FILES.items():
        path = directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(_small_text(name, length, chance), encoding="utf-8")
    shards = size - sum(_SMALL_FILES.values())
    weight_map = {}
    block = bytearray(os.urandom(_BLOCK))
    for number, proportion in enumerate(_PROPORTIONS, 1):
        name = f"model-{number:05d}-of-{len(_PROPORTIONS):05d}.safetensors"
        tensor = f"layers.{number}.weight"
        weight_map[tensor] = name
        _write_shard(directory / name, tensor, shards * proportion // sum(_PROPORTIONS), block)
    index = {"metadata": {"total_size": shards}, "weight_map": weight_map}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index, indent=2), encoding="utf-8")
    return {
        path.relative_to(directory).as_posix(): path.stat().st_size for path in directory.rglob("*") if path.is_file()
    }


def _small_text(name: str, length: int, chance: random.Random) -> str:
    if name == "config.json":
        config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16"}
        return json.dumps(config | {"hidden_size": 4096, "num_hidden_layers": len(_PROPORTIONS)}, indent=2)
    words = [f"{chance.getrandbits(64):016x}" for _number in range(length // 20)]
    return json.dumps({"name": name, "words": words}) if name.endswith(".json") else "\n".join([name, *words])


def _write_shard(path: Path, tensor: str, size: int, block: bytearray) -> None:
    """One tensor of random bytes. Random bytes are slow to make, so one block is used again and again, with another
    number at the beginning of each of its pages."""
    header = {
        "__metadata__": {"format": "pt"},
        tensor: {"dtype": "U8", "shape": [size], "data_offsets": [0, size]},
    }
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    with path.open("wb") as stream:
        stream.write(struct.pack("<Q", len(encoded)) + encoded)
        for start in range(0, size, _BLOCK):
            for page in range(0, _BLOCK, _PAGE):
                struct.pack_into("<Q", block, page, start + page)
            stream.write(memoryview(block)[: min(_BLOCK, size - start)])
