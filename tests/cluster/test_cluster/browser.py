# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chromium, for tests that look at pages: the one on PATH, else Debian's, unpacked privately with its libraries."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path

from .apt import RELEASE, Apt, architecture, unsupported
from .common import ClusterError, digest, kept, progress

_NAMES = ("chromium-headless-shell", "chromium", "google-chrome")
_PACKAGES = ("chromium-headless-shell", "fonts-dejavu-core")
# The C library is the machine's, as it goes with its dynamic loader. The others are for desktops, and bring 220 MB.
_WITHOUT = ("libc6", "x11-utils", "xdg-utils")
_RECIPE = 1  # to be raised when the steps below change
# Debian's own names folders of the system, and links that only an installation makes.
_FONTS = """<?xml version="1.0"?>
<fontconfig>
<dir prefix="relative">root/usr/share/fonts</dir>
<cachedir prefix="xdg">fontconfig</cachedir>
</fontconfig>
"""


@dataclasses.dataclass(frozen=True)
class Browser:
    """A command, and what has to be added to its environment."""

    command: str
    environment: Mapping[str, str]


def chromium() -> Browser:
    """The one on PATH, else the one in the cache, else fetched now (half a minute, 130 MB, unpacked 340 MB).

    :raises ClusterError: this machine has none and cannot fetch it, or the Debian archive did not deliver.
    """
    for path in filter(None, map(shutil.which, _NAMES)):
        return Browser(path, {})
    if reason := unsupported("Chromium can be taken from Debian's packages", ("apt-get", "dpkg")):
        raise ClusterError(f"none of {', '.join(_NAMES)} is on PATH, and {reason}")
    name = f"chromium-{RELEASE}-{architecture()}-{digest(*_PACKAGES, *_WITHOUT, _FONTS, str(_RECIPE))}"
    return unpacked(kept(name, _fetch))


def unpacked(folder: Path) -> Browser:
    """The browser that ``_fetch`` has left in a folder, which may have been moved since."""
    root = folder / "root"
    folders = ("usr/lib/*-linux-gnu", "usr/lib/*-linux-gnu/pulseaudio", "lib/*-linux-gnu")
    libraries = [str(found) for folder in folders for found in root.glob(folder)]
    environment = {
        "LD_LIBRARY_PATH": ":".join(libraries),
        "FONTCONFIG_FILE": str(folder / "fonts.conf"),
    }
    return Browser(str(root / "usr/lib/chromium/chromium-headless-shell"), environment)


def _fetch(work: Path) -> Path:
    progress("fetching Chromium from the Debian archive")
    out = work / "out"
    Apt(work / "apt", without=_WITHOUT).unpack_with_dependencies(_PACKAGES, out / "root")
    (out / "fonts.conf").write_text(_FONTS)
    return out
