# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of ansible-playbook, as the benchmarks of modules for Kubernetes measure them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import typing as t
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(1, str(ROOT / "tests" / "support"))  # after the benchmark's own folder

from kube_proxy import ApiProxy, Passed  # noqa: E402 - the path is set above

Object: t.TypeAlias = "dict[str, t.Any]"


class Runner:
    """Runs ansible-playbook with nothing of the user's own settings."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        collections = folder / "collections" / "ansible_collections"
        (collections / "modelops").mkdir(parents=True)
        (collections / "modelops" / "serving").symlink_to(ROOT)
        (collections / "kubernetes").symlink_to(ROOT / ".venv" / "collections" / "ansible_collections" / "kubernetes")
        (folder / "ansible.cfg").write_text("[defaults]\n")
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",  # else a pipe gets lines of progress in blocks
            "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(folder / "collections"),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
        }

    def write(self, name: str, tasks: list[Object]) -> None:
        """The playbook of a contender."""
        play = {"name": name, "hosts": "localhost", "gather_facts": False, "tasks": tasks}
        (self.folder / f"{name}.yml").write_text(json.dumps([play]))  # JSON is YAML

    def start(self, name: str, kubeconfig: str) -> subprocess.Popen[str]:
        """A run whose output, errors included, can be read while it goes on."""
        return subprocess.Popen(
            [sys.executable, "-m", "ansible", "playbook", str(self.folder / f"{name}.yml")],
            env={**self._environment, "K8S_AUTH_KUBECONFIG": kubeconfig},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, name: str, kubeconfig: str) -> tuple[float, int]:
        """Seconds of one run, and how many tasks changed something."""
        start = time.perf_counter()
        process = self.start(name, kubeconfig)
        output, _none = process.communicate()
        seconds = time.perf_counter() - start
        if process.returncode:
            raise SystemExit(f"{name} failed:\n{output[-6000:]}")
        return seconds, sum(map(int, re.findall(r"changed=(\d+)", output)))

    def unchanged(self, name: str, kubeconfig: str) -> float:
        """Seconds of a run that finds everything as it should be."""
        seconds, changed = self.run(name, kubeconfig)
        if changed:
            raise SystemExit(f"{name} changed something that was as it should be.")
        return seconds

    def requests(self, name: str, kubeconfig: str) -> list[Passed]:
        """What one run asks the API server for."""
        with ApiProxy(kubeconfig, self.folder) as proxy:
            self.run(name, str(proxy.kubeconfig))
            return list(proxy.passed)
