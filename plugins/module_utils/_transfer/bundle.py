# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine as one zip, for containers that have only its third-party requirements.

``PYTHONPATH=modelops_transfer.zip python -m modelops_transfer sync request.json``. The same source always makes
the same bytes, so that a ConfigMap holding it only changes when the engine does.
"""

from __future__ import annotations

import argparse
import importlib.resources
import io
import typing as t
import zipfile

# Nothing else imports it, and a module on its way to another host consists of what is imported.
from . import __main__ as program

PACKAGE = "modelops_transfer"
_EPOCH = (1980, 1, 1, 0, 0, 0)


def build() -> bytes:
    """The zip's bytes. The engine may itself lie in a zip, as it does in a module that Ansible runs."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path, content in _sources(importlib.resources.files(str(program.__package__)), PACKAGE):
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


def main() -> None:
    """Write the zip to the path given."""
    parser = argparse.ArgumentParser(description="Write the transfer engine as one zip.")
    parser.add_argument("path")
    with open(parser.parse_args().path, "wb") as stream:
        stream.write(build())


if __name__ == "__main__":
    main()
