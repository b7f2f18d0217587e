# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine as one zip, for containers that have only its third-party requirements.

``PYTHONPATH=modelops_transfer.zip python -m modelops_transfer sync request.json``. The same source always makes
the same bytes, so that a ConfigMap holding it only changes when the engine does.
"""

from __future__ import annotations

import argparse
import io
import os
import zipfile

PACKAGE = "modelops_transfer"
_EPOCH = (1980, 1, 1, 0, 0, 0)


def build() -> bytes:
    """The zip's bytes."""
    here = os.path.dirname(os.path.abspath(__file__))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for folder, folders, names in os.walk(here):
            folders[:] = sorted(name for name in folders if name != "__pycache__")
            for name in sorted(name for name in names if name.endswith(".py")):
                path = os.path.join(folder, name)
                entry = zipfile.ZipInfo(f"{PACKAGE}/{os.path.relpath(path, here)}", date_time=_EPOCH)
                entry.compress_type = zipfile.ZIP_DEFLATED
                with open(path, "rb") as stream:
                    archive.writestr(entry, stream.read())
    return out.getvalue()


def main() -> None:
    """Write the zip to the path given."""
    parser = argparse.ArgumentParser(description="Write the transfer engine as one zip.")
    parser.add_argument("path")
    with open(parser.parse_args().path, "wb") as stream:
        stream.write(build())


if __name__ == "__main__":
    main()
