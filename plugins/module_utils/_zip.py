# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A package of the collection as one zip, for containers that have nothing of it.

The same sources always make the same bytes, so that a ConfigMap holding them only changes when they do.
"""

from __future__ import annotations

import importlib.resources
import io
import typing as t
import zipfile

_EPOCH = (1980, 1, 1, 0, 0, 0)


def build(package: str, name: str) -> bytes:
    """The zip's bytes, in which the package is called ``name``.

    The package may itself lie in a zip, as it does in a module that Ansible runs.
    """
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path, content in _sources(importlib.resources.files(package), name):
            entry = zipfile.ZipInfo(path, date_time=_EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return out.getvalue()


def _sources(folder: t.Any, path: str) -> t.Iterator[tuple[str, bytes]]:
    """Path and content of each source file, those of a folder before what is in folders below it."""
    for item in sorted(folder.iterdir(), key=lambda item: (item.is_dir(), item.name)):
        if item.is_dir():
            yield from _sources(item, f"{path}/{item.name}")
        elif item.name.endswith(".py"):
            yield f"{path}/{item.name}", item.read_bytes()
