# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Is a model whole? Checks on names and structure that no checksum makes.

Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import fnmatch
import posixpath
import struct
import typing as t

from .errors import IntegrityError
from .model import FileEntry, Snapshot, parse_json

INDEX = "*.safetensors.index.json"
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
# Repositories with weights at their root that are not loaded by transformers' config.json.
_OTHER_LAYOUTS = ("model_index.json", "adapter_config.json", "params.json")


def indexes(snapshot: Snapshot) -> list[FileEntry]:
    """The index files of a snapshot, whose shards must be there."""
    return [entry for entry in snapshot.files if fnmatch.fnmatchcase(entry.path, INDEX)]


def check_index(entry: FileEntry, content: bytes, snapshot: Snapshot) -> None:
    """Every shard that an index names must be among the files.

    :raises IntegrityError: names the first shard that is missing, or says that the index is none.
    """
    try:
        shards = {str(shard) for shard in parse_json(content)["weight_map"].values()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(f"{entry.path} is not a safetensors index: {error!r}.") from error
    folder = posixpath.dirname(entry.path)
    missing = sorted(shards - {posixpath.relpath(file.path, folder or ".") for file in snapshot.files})
    if missing:
        raise IntegrityError(
            f"{entry.path} names {len(shards)} shards and {len(missing)} of them are missing at the source, "
            f"first {missing[0]!r}.",
            hint="Repair the source, or widen allow_patterns and ignore_patterns to include all shards.",
        )


def check_config(snapshot: Snapshot) -> None:
    """A transformers repository (weights at its root) must hold ``config.json``.

    :raises IntegrityError: it does not.
    """
    names = {entry.path for entry in snapshot.files if "/" not in entry.path}
    weights = [name for name in sorted(names) for pattern in _WEIGHTS if fnmatch.fnmatchcase(name, pattern)]
    nested = any(posixpath.basename(entry.path) == "config.json" for entry in snapshot.files)
    if weights and "config.json" not in names and names.isdisjoint(_OTHER_LAYOUTS):
        raise IntegrityError(
            f"There is no config.json beside {weights[0]!r}, so no server can load the model.",
            hint="Repair the source or its patterns, or set require_config to false for such a repository.",
        )
    if not weights and nested and "config.json" not in names and not any(name in names for name in _OTHER_LAYOUTS):
        folder = next(entry.path for entry in snapshot.files if posixpath.basename(entry.path) == "config.json")
        tops = {entry.path.split("/", 1)[0] for entry in snapshot.files}
        if len(tops) == 1:
            raise IntegrityError(
                f"Everything lies in one directory ({folder!r}), so there is no config.json where servers look for it.",
                hint="End the source path with a slash to copy what is in the directory, not the directory.",
            )


def check_header(entry: FileEntry, head: memoryview) -> None:
    """The header of a safetensors file must add up to its size: 8 + header length + last data offset.

    :param head: the first bytes of the file; a header longer than that is not looked at.
    :raises IntegrityError: truncated, padded or not safetensors at all.
    """
    if not entry.path.endswith(".safetensors"):
        return
    problem: str | None = None
    if len(head) < 8:
        problem = f"it has {entry.size} bytes"
    else:
        (length,) = struct.unpack("<Q", head[:8])
        if 8 + length > entry.size:
            problem = f"its header claims {length} bytes"
        elif 8 + length <= len(head):
            problem = _check_offsets(bytes(head[8 : 8 + length]), 8 + length, entry.size)
    if problem:
        raise IntegrityError(
            f"{entry.path} is not a whole safetensors file: {problem}.", hint="The source holds a damaged file."
        )


def _check_offsets(header: bytes, start: int, size: int) -> str | None:
    try:
        tensors: dict[str, t.Any] = parse_json(header)
        ends = [int(tensor["data_offsets"][1]) for name, tensor in tensors.items() if name != "__metadata__"]
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        return f"its header cannot be read ({error!r})"
    expected = start + max(ends, default=0)
    return None if expected == size else f"its tensors end at byte {expected}, the file at {size}"
