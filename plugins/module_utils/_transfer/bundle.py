# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine as one zip, for containers that have only its third-party requirements.

``PYTHONPATH=modelops_transfer.zip python -m modelops_transfer sync request.json``. This file alone is of no use there.
"""

from __future__ import annotations

import argparse

from ansible_collections.modelops.serving.plugins.module_utils import _zip

# Nothing else imports it, and a module on its way to another host consists of what is imported.
from . import __main__ as program

PACKAGE = "modelops_transfer"


def build() -> bytes:
    """The zip's bytes."""
    return _zip.build(str(program.__package__), PACKAGE)


def main() -> None:
    """Write the zip to the path given."""
    parser = argparse.ArgumentParser(description="Write the transfer engine as one zip.")
    parser.add_argument("path")
    with open(parser.parse_args().path, "wb") as stream:
        stream.write(build())


if __name__ == "__main__":
    main()
