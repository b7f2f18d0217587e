# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The images of the pods, made on this machine: no registry is asked for them."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

from . import archive
from .apt import Apt, architecture
from .build import Programs
from .common import CHECKOUT, cache_directory, digest, locked, progress, run

PAUSE = "modelops.serving/pause:1"
_REQUIREMENTS = CHECKOUT / "requirements"
# A Python as Debian 12 has it, and what scripts in a pod expect.
_PACKAGES = ("python3", "dash", "bash", "coreutils", "grep", "sed", "libstdc++6", "busybox-static")
PYTHON = "3.11"
#: The same Python, where a container engine builds the image.
BASE = f"docker.io/library/python:{PYTHON}-slim-bookworm"
_RECIPE = 3  # to be raised when the steps below change
# What stands for servers of models and their tools, by its place among Python's packages.
_FOLDER = Path(__file__).parents[1] / "stand_ins"
_STAND_INS = {
    "vllm/entrypoints/openai/api_server.py": _FOLDER / "vllm_server.py",
    "vllm_bench.py": _FOLDER / "vllm_bench.py",
    "saxutil.py": _FOLDER / "saxutil.py",
    "gcloud.sh": _FOLDER / "gcloud.sh",
    "checkpoint_converter.sh": _FOLDER / "checkpoint_converter.sh",
}
#: Stand-ins that are commands: name -> place among Python's packages.
COMMANDS = {
    "vllm": "vllm_bench.py",
    "saxutil": "saxutil.py",
    "gcloud": "gcloud.sh",
    "checkpoint_converter.sh": "checkpoint_converter.sh",
}


def name() -> str:
    """The name of the engine's image: other requirements or stand-ins, other name."""
    files = [_REQUIREMENTS / "runtime.in", _REQUIREMENTS / "runtime.txt", *_STAND_INS.values()]
    contents = [path.read_bytes() for path in files]
    return f"modelops.serving/test-engine:{digest(*contents, *_PACKAGES, *_STAND_INS, str(_RECIPE))}"


def build() -> Path:
    """The engine's image as an archive, from the cache or built now (half a minute).

    Debian, Python, what the engine imports and the stand-ins for servers. It runs as any user, with a root file system that is read only.

    :raises ClusterError: the Debian archive or the Python package index did not deliver.
    """
    finished = cache_directory() / f"{name().replace('/', '_').replace(':', '_')}.tar"
    with locked(finished.parent):
        if not finished.is_file():
            started = time.monotonic()
            progress("building the image of the engine")
            with tempfile.TemporaryDirectory(dir=finished.parent, prefix="image.") as work:
                root = _root(Path(work))
                archive.write(finished, name(), root, architecture(), command=["python3"])
            progress(f"image built in {time.monotonic() - started:.0f} s, kept in {finished}")
    return finished


def install_packages(target: Path) -> None:
    """What the engine imports, as pinned, for the Python of the image, and the stand-ins for servers of models.

    The settings of the user's pip apply.
    """
    wanted = re.findall(r"^[a-z][\w.-]*", (_REQUIREMENTS / "runtime.in").read_text(), re.MULTILINE)
    wanted.remove("kubernetes")  # the modules', not the engine's
    with tempfile.TemporaryDirectory() as folder:
        python = sys.executable
        if importlib.util.find_spec("pip") is None:
            run([python, "-m", "venv", folder])
            python = f"{folder}/bin/python"
        run(
            [
                *(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"),
                *("--target", target, "--constraint", _REQUIREMENTS / "runtime.txt"),
                *("--python-version", PYTHON, "--only-binary=:all:"),
                *("pip", *wanted),  # pip, as stock Python images have it
            ]
        )
    for place, source in _STAND_INS.items():
        (target / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target / place)


def write_pause_image(programs: Programs, path: Path) -> None:
    """The image that holds a pod's namespaces open: one static program that sleeps."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        shutil.copy2(programs["busybox"], root / "sleep")
        archive.write(path, PAUSE, root, architecture(), command=["/sleep", "infinity"])


def _root(work: Path) -> Path:
    root = Apt(work / "apt").unpack_with_dependencies(_PACKAGES, work / "root")
    packages = Path(f"usr/local/lib/python{PYTHON}/dist-packages")
    install_packages(root / packages)
    for folder in ("doc", "man", "locale", "info"):
        shutil.rmtree(root / "usr/share" / folder, ignore_errors=True)
    (root / "usr/local/bin").mkdir(parents=True, exist_ok=True)
    (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    for command, place in COMMANDS.items():
        (root / "usr/local/bin" / command).symlink_to("/" / packages / place)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")
    (root / "tmp").mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
    # Nothing can be compiled later into a file system that is read only. The time stamps are lost in the archive.
    compiled = [root / f"usr/lib/python{PYTHON}", root / "usr/local/lib"]
    python = root / f"usr/bin/python{PYTHON}"
    run([python, "-m", "compileall", "-qq", "-j2", "--invalidation-mode=unchecked-hash", "-s", root, "-p/", *compiled])
    return root
