# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the controller tells a Pod something: ``python3 -m modelops_bench.pod.signal RESULTS NAME [TEXT]``.

``go`` says when the load begins, in seconds since 1970: the controller says it to all Pods once all are ready, so that
they begin together. ``collected`` says that nobody wants the results any more.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ..records import write_text

GO = "go"
COLLECTED = "collected"


def place(results: Path, name: str) -> Path:
    """The file that is there once the signal was given, and holds its text."""
    return results / f".{name}"


def main() -> int:
    """Give the signal that the arguments name."""
    results, name, *text = sys.argv[1:]
    write_text(place(Path(results), name), " ".join(text))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
