# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names: the canonical model path, what a safe relative path is, which files are selected."""

from __future__ import annotations

import fnmatch
import typing as t

from .errors import InputError, NotFoundError
from .model import FileEntry

CONTROL = ".model-sync/"
MANIFEST = CONTROL + "manifest.json"
MAX_KEY_BYTES = 1024  # S3 and GCS object names, https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
MAX_NAME_BYTES = 255  # NAME_MAX of the file systems in use


def model_prefix(prefix: str, name: str) -> str:
    """``<prefix>/<model name>/``: the one place where a model's path is made.

    Case is kept as the Hub has it. A ``name`` is a repository id or any relative path of one or more parts.

    :raises InputError: a part is empty, ``.`` or ``..``, or holds a control character.
    """
    base = prefix.strip("/")
    parts = (base.split("/") if base else []) + name.strip("/").split("/")
    for part in parts:
        if part in ("", ".", "..", CONTROL.rstrip("/")) or any(ord(char) < 32 for char in part):
            raise InputError(
                f"{prefix!r} with model name {name!r} is not a path inside the destination.",
                hint="Use relative names without empty parts, '.' or '..'.",
            )
    return "/".join(parts) + "/"


def check_object_path(path: str) -> None:
    """A path below a prefix: any legal key, but it must stay below.

    :raises InputError: absolute, escaping, over-long or with a NUL.
    """
    parts = path.split("/")
    if not path or path.startswith("/") or ".." in parts or "." in parts or "\0" in path:
        raise InputError(f"File {path!r} of the source would leave its prefix.", hint="Rename or ignore it.")
    if len(path.encode("utf-8", "surrogateescape")) > MAX_KEY_BYTES:
        raise InputError(f"File name {path[:80]!r}... is longer than {MAX_KEY_BYTES} bytes.")


def check_file_path(path: str) -> None:
    """As :func:`check_object_path`, and it can be a file name too.

    :raises InputError: also on empty parts and over-long names.
    """
    check_object_path(path)
    for part in path.split("/"):
        if not part or len(part.encode("utf-8", "surrogateescape")) > MAX_NAME_BYTES:
            raise InputError(f"File {path!r} of the source cannot be a file name.", hint="Rename or ignore it.")


def check_collisions(paths: t.Iterable[str], *, files: bool) -> None:
    """No two entries may want the same place.

    :param files: the destination is a file system, where ``a`` and ``a/b`` exclude each other.
    :raises InputError: names both.
    """
    seen: set[str] = set()
    for path in paths:
        if path in seen:
            raise InputError(f"The source has two files named {path!r}.", hint="Ignore or rename one of them.")
        seen.add(path)
    if files:
        for path in seen:
            parent = path
            while "/" in parent:
                parent = parent.rsplit("/", 1)[0]
                if parent in seen:
                    raise InputError(
                        f"{parent!r} and {path!r} cannot both exist in a directory.",
                        hint="Ignore one of them, or use an object store as destination.",
                    )


def _matches(path: str, patterns: t.Sequence[str]) -> bool:
    # The rules of huggingface_hub's filter_repo_objects: fnmatch over the whole path, "dir/" means all below it.
    return any(fnmatch.fnmatchcase(path, pattern + "*" if pattern.endswith("/") else pattern) for pattern in patterns)


def select(
    entries: t.Iterable[FileEntry],
    *,
    allow: t.Sequence[str],
    ignore: t.Sequence[str],
    where: str,
) -> tuple[FileEntry, ...]:
    """Apply allow and ignore patterns, drop control files of earlier runs, sort by path.

    :raises NotFoundError: nothing is left; an empty source is never a success.
    """
    all_entries = [entry for entry in entries if not entry.path.startswith(CONTROL)]
    chosen = [
        entry
        for entry in all_entries
        if (not allow or _matches(entry.path, allow)) and not _matches(entry.path, ignore)
    ]
    if not all_entries:
        raise NotFoundError(f"{where} holds no files.", hint="Check the name, the prefix and the trailing slash.")
    if not chosen:
        raise NotFoundError(
            f"None of the {len(all_entries)} files of {where} is selected by "
            f"allow_patterns {list(allow)!r} and ignore_patterns {list(ignore)!r}.",
            hint=f"The first file is {min(entry.path for entry in all_entries)!r}.",
        )
    for entry in chosen:
        check_object_path(entry.path)
    return tuple(sorted(chosen, key=lambda entry: entry.path))
