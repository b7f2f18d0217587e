# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian packages, fetched and unpacked without touching the system."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from .common import ClusterError, run

RELEASE = "bookworm"
_SUITES = (RELEASE, f"{RELEASE}-updates", f"{RELEASE}-security")


def system(path: Path = Path("/etc/os-release")) -> dict[str, str]:
    """What the file says about this machine, for example {"ID": "debian", "VERSION_CODENAME": "bookworm"}."""
    if not path.is_file():
        return {}
    found = re.findall(r"^(\w+)=\"?(.*?)\"?$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return dict(found)


def unsupported(what: str, commands: Sequence[str]) -> str:
    """Why this cannot be done on this machine, or nothing.

    :param what: the beginning of the answer, for example "a cluster can be built".
    """
    found = system()
    if (found.get("ID"), found.get("VERSION_CODENAME")) != ("debian", RELEASE):
        return f"{what} on Debian 12 only, and this is {found.get('PRETTY_NAME', 'another system')}"
    missing = [name for name in commands if not shutil.which(name)]
    return f"{what} only with {', '.join(missing)}" if missing else ""


def architecture() -> str:
    """The machine's, as Debian and Go call it: "amd64"."""
    return run(["dpkg", "--print-architecture"]).strip()


def sources(directory: Path = Path("/etc/apt")) -> list[str]:
    """The machine's own Debian mirrors, as lines for a sources.list that knows binary and source packages.

    Other archives are left out: those of other suites, and those signed with another key than Debian's.
    """
    found: dict[str, None] = {}
    for uri, suite, keyring in _entries(directory):
        if suite in _SUITES and (not keyring or "debian-archive" in keyring):
            signed = f"[signed-by={keyring}] " if keyring else ""
            for kind in ("deb", "deb-src"):
                found[f"{kind} {signed}{uri} {suite} main"] = None
    return list(found)


def _entries(directory: Path) -> Iterator[tuple[str, str, str]]:
    """(address, suite, keyring or "") of each archive, in the one-line format and in deb822 (sources.list(5))."""
    for path in [directory / "sources.list", *sorted((directory / "sources.list.d").glob("*.list"))]:
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
            match = re.match(r"deb\s+(?:\[(.*?)\]\s+)?(\S+)\s+(\S+)\s", line + " ")
            if match:
                keyring = re.search(r"signed-by=(\S+)", match[1] or "")
                yield match[2], match[3], keyring[1] if keyring else ""
    for path in sorted((directory / "sources.list.d").glob("*.sources")):
        text = re.sub(r"^#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        for paragraph in re.split(r"\n\s*\n", text):
            fields = {name.lower(): value for name, value in re.findall(r"^([\w-]+):\s*(.*)$", paragraph, re.MULTILINE)}
            if "deb" in fields.get("types", "").split() and fields.get("enabled") != "no":
                for uri in fields.get("uris", "").split():
                    for suite in fields.get("suites", "").split():
                        yield uri, suite, fields.get("signed-by", "")


class Apt:
    """apt-get with lists and a cache below ``directory``; proxies and keyrings are those of the machine.

    :param without: packages that are never fetched as dependencies: the machine has them, or nobody uses them.
    """

    def __init__(self, directory: Path, *, without: Sequence[str] = ()) -> None:
        lines = sources()
        if not lines:
            raise ClusterError(f"no Debian archive of {RELEASE} found below /etc/apt")
        self.directory = directory
        for folder in ("lists/partial", "archives/partial"):
            (directory / folder).mkdir(parents=True, exist_ok=True)
        (directory / "sources.list").write_text("\n".join(lines) + "\n")
        # Of a machine with nothing installed but these. No dependency asks for a higher version.
        installed = f"Status: install ok installed\nArchitecture: {architecture()}\nVersion: 9999"
        (directory / "status").write_text("".join(f"Package: {name}\n{installed}\n\n" for name in without))
        self._options = [
            f"-oDir::State={directory}",
            f"-oDir::State::lists={directory}/lists",
            f"-oDir::State::status={directory}/status",
            f"-oDir::Cache={directory}",
            f"-oDir::Cache::archives={directory}/archives",
            f"-oDir::Etc::sourcelist={directory}/sources.list",
            "-oDir::Etc::sourceparts=-",
            # What others hooked into apt is for changes to the system, and there are none.
            "-oAPT::Update::Post-Invoke=",
            "-oAPT::Update::Post-Invoke-Success=",
            "-oAcquire::Languages=none",
            "-oAPT::Sandbox::User=root",
            "-oDebug::NoLocking=1",
            "-oAPT::Install-Recommends=0",
            "-qq",
        ]
        self._run("update")

    def _run(self, *arguments: str, cwd: Path | None = None) -> str:
        return run(["apt-get", *self._options, *arguments], cwd=cwd)

    def source(self, package: str, into: Path) -> Path:
        """Fetch a source package, checked against the signed index, and return its upstream tarball."""
        into.mkdir(parents=True, exist_ok=True)
        self._run("source", "--download-only", package, cwd=into)
        (found,) = into.glob("*.orig.tar.*")
        return found

    def unpack(self, packages: Sequence[str], into: Path) -> Path:
        """Unpack exactly these packages."""
        folder = self.directory / "downloads" / into.name
        folder.mkdir(parents=True, exist_ok=True)
        self._run("download", *packages, cwd=folder)
        return self._extract(folder, into)

    def unpack_with_dependencies(self, packages: Sequence[str], into: Path) -> Path:
        """Unpack these packages and all that they need on a machine with nothing installed but ``without``."""
        self._run("install", "--download-only", "--yes", *packages)
        return self._extract(self.directory / "archives", into)

    @staticmethod
    def _extract(folder: Path, into: Path) -> Path:
        into.mkdir(parents=True, exist_ok=True)
        for package in sorted(folder.glob("*.deb")):
            run(["dpkg-deb", "--extract", package, into])
        return into
