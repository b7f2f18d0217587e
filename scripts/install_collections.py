# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Install the collections this one depends on into the running virtual environment.

They come out of the ``ansible`` wheel, so that a Python package index is enough and no Galaxy server is needed. The
wheel holds a hundred collections (260 MB unpacked); four are wanted (13 MB).

A link ``modelops/serving`` beside them points at this checkout, so that playbooks run against the working tree.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

WANTED = ("amazon.aws", "ansible.posix", "google.cloud", "kubernetes.core")
CHECKOUT = Path(__file__).resolve().parent.parent


def main() -> None:
    target = Path(sys.prefix) / "collections"
    shutil.rmtree(target, ignore_errors=True)

    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run(
            [*pip, "--dest", folder, "--requirement", "requirements/collections.txt"], cwd=CHECKOUT, check=True
        )
        (wheel,) = Path(folder).glob("ansible-*.whl")
        prefixes = {name: f"ansible_collections/{name.replace('.', '/')}/" for name in WANTED}
        with zipfile.ZipFile(wheel) as archive:
            members = [name for name in archive.namelist() if name.startswith(tuple(prefixes.values()))]
            archive.extractall(target, members)

    missing = [name for name, prefix in prefixes.items() if not (target / prefix).is_dir()]
    if missing:
        sys.exit(f"The wheel does not contain {', '.join(missing)}.")

    link = target / "ansible_collections" / "modelops" / "serving"
    link.parent.mkdir()
    link.symlink_to(os.path.relpath(CHECKOUT, link.parent), target_is_directory=True)


if __name__ == "__main__":
    main()
