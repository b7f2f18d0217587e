# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Container images as archives of one layer, in the format of `docker save` that containerd, kind and Docker read."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path


def write(archive: Path, name: str, root: Path, architecture: str, *, command: Sequence[str] = ()) -> None:
    """Pack ``root`` as the image ``name``. Everything in it belongs to root, with one time stamp: same files, same image.

    :param architecture: as Debian and Go call it, "amd64".
    """
    layer = archive.with_name(f".{archive.name}.layer")
    with tarfile.open(layer, "w", format=tarfile.GNU_FORMAT) as tar:
        for folder, folders, files in os.walk(root):
            folders.sort()
            for entry in sorted([*folders, *files]):
                path = Path(folder, entry)
                tar.add(path, path.relative_to(root), recursive=False, filter=_anonymous)
    digest = _sha256(layer)
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {
            "Cmd": list(command),
            "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1"],
            "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        "history": [{"created_by": "modelops.serving test cluster"}],
    }
    text = json.dumps(config).encode()
    config_name = f"{hashlib.sha256(text).hexdigest()}.json"
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"]}]
    temporary = archive.with_name(f".{archive.name}.new")
    with tarfile.open(temporary, "w") as tar:
        for member, data in ((config_name, text), ("manifest.json", json.dumps(manifest).encode())):
            info = tarfile.TarInfo(member)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        tar.add(layer, "layer.tar", filter=_anonymous)
    layer.unlink()
    temporary.replace(archive)


def _sha256(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            found.update(block)
    return found.hexdigest()


def _anonymous(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = "root"
    return info
