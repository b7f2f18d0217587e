# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Results on their way out of a Pod while they grow: ``python3 -m modelops_bench.pod.collect RESULTS OFFSETS``.

``OFFSETS`` is a JSON object with the size that each file has at the controller. The program writes base64 of a tar.gz
of what is new. The controller asks between stages and at the end, so that a Pod that is killed takes with it what it
has measured since, and no more.
"""

from __future__ import annotations

import base64
import io
import json
import os
import sys
import tarfile
import typing as t
from pathlib import Path, PurePosixPath

from ..errors import InputError
from ..records import storage_error, write_text
from . import STEPS

#: Bytes that one call takes of files that grow.
LIMIT = 1 << 25
#: Where a part of a file begins. Files without it are whole.
_OFFSET = "MODELOPS.offset"
#: A member of this name says that there is more than the call has taken.
_MORE = ".more"


def pack(results: Path, offsets: t.Mapping[str, int], *, limit: int = LIMIT) -> str:
    """What is new in the results, as text.

    Files of JSON in the folder itself are replaced when they change, and come whole. Everything else only grows, and
    comes from its offset on. The folder of a command comes when the command has ended: until then it may hold text
    that is to be taken out.
    """
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=5) as archive:
        for path in _files(results):
            name = path.relative_to(results).as_posix()
            info = tarfile.TarInfo(name)
            with path.open("rb") as stream:
                if path.parent == results and path.suffix == ".json":
                    content = stream.read()
                else:
                    offset = min(offsets.get(name, 0), path.stat().st_size)
                    stream.seek(offset)
                    content = stream.read(limit)
                    limit -= len(content)
                    info.pax_headers = {_OFFSET: str(offset)}
                    if not content:
                        continue
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        if not limit:
            archive.addfile(tarfile.TarInfo(_MORE))
    return base64.b64encode(out.getvalue()).decode()


def _files(results: Path) -> t.Iterator[Path]:
    """Without the signals, and what is being written."""
    ended: set[str] = set()
    try:
        ended = {step["name"] for step in json.loads((results / STEPS).read_bytes())["steps"]}
    except FileNotFoundError:
        pass
    for path in sorted(results.iterdir()):
        if path.is_file() and not path.name.startswith("."):
            yield path
        elif path.name in ended:
            yield from (inner for inner in sorted(path.rglob("*")) if inner.is_file())


def unpack(text: str, folder: Path) -> bool:
    """Adds what pack() has made to what is there already, and tells whether there was more than one call takes.

    The same text twice does no harm.

    :raises InputError: it is nothing that pack() has made.
    :raises StorageError: the folder cannot be written to.
    """
    more = False
    try:
        with tarfile.open(fileobj=io.BytesIO(base64.b64decode(text, validate=False)), mode="r:gz") as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                if member.name == _MORE:
                    more = True
                    continue
                stream = archive.extractfile(member) if member.isreg() else None
                if stream is None or name.is_absolute() or ".." in name.parts:
                    raise ValueError(f"{name} is no file of a run")
                path, content = folder / name, stream.read()
                if (offset := member.pax_headers.get(_OFFSET)) is None:
                    write_text(path, content.decode())
                else:
                    _write(path, int(offset), content)
    except (ValueError, EOFError, tarfile.TarError) as error:
        raise InputError(
            f"What the Pod has returned are no results: {error}.", hint="Look at the log of the Pod."
        ) from error
    return more


def _write(path: Path, offset: int, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b") as stream:
            stream.seek(offset)
            stream.write(content)
    except OSError as error:
        raise storage_error(path, error) from error


def offsets(folder: Path) -> dict[str, int]:
    """What pack() has to know of the results that are here."""
    return {
        path.relative_to(folder).as_posix(): path.stat().st_size for path in sorted(folder.rglob("*")) if path.is_file()
    }


def main() -> int:
    """Write what is new to standard output."""
    results, known = sys.argv[1:]
    sys.stdout.write(pack(Path(results), json.loads(known)) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
