# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real runs of ansible-playbook, each test in a home of its own."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

_HERE = Path(__file__).resolve().parent
ROOT = _HERE.parents[1]
# Cheaper runs: a controller that does not look for results 1000 times a second, and for no other kinds of inventories.
_SETTINGS = "[defaults]\ninternal_poll_interval = 0.01\n[inventory]\nenable_plugins = yaml\n"
_RECAP = re.compile(r"^(\S+)\s*: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)


@dataclasses.dataclass
class Run:
    """What one run of ansible-playbook did. ``results`` holds the result of each task given to :meth:`Playbooks.tasks`."""

    status: int
    output: str
    results: list[dict]

    @property
    def recap(self) -> dict[str, int]:
        """``ok``, ``changed`` and ``failed`` of localhost."""
        (found,) = _RECAP.findall(self.output)
        return {"ok": int(found[1]), "changed": int(found[2]), "failed": int(found[4])}

    def ok(self) -> Run:
        """Itself, if the run succeeded."""
        assert self.status == 0, self.output[-6000:]
        return self


class Playbooks:
    """Runs plays on localhost with all that Ansible writes below ``home`` and ``temp``."""

    def __init__(self, directory: Path, collections: Path) -> None:
        self.directory = directory
        self.home, self.temp = directory / "home", directory / "temp"
        self.home.mkdir()
        self.temp.mkdir()
        self._inventory = self._write(
            "inventory.yml",
            {
                "all": {
                    "hosts": {
                        "localhost": {
                            "ansible_connection": "local",
                            "ansible_python_interpreter": "{{ ansible_playbook_python }}",
                        }
                    }
                }
            },
        )
        self._settings = directory / "ansible.cfg"
        self._settings.write_text(_SETTINGS)  # nobody else's
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "TMPDIR": str(self.temp),
            "LANG": "C.UTF-8",
            # Ansible finds the home of a user in the user database, whatever HOME says.
            "ANSIBLE_REMOTE_TMP": str(self.temp / "remote"),
            "ANSIBLE_LOCAL_TEMP": str(self.temp / "local"),
            "ANSIBLE_ASYNC_DIR": str(self.temp / "async"),
            "ANSIBLE_COLLECTIONS_PATH": str(collections),
            "ANSIBLE_ACTION_PLUGINS": str(_HERE / "actions"),
            # Modules are packed and compiled once, not in each run.
            "ANSIBLE_CALLBACK_PLUGINS": str(_HERE / "callbacks"),
            "PACKED_MODULES": str(collections / "packed"),
            "PYTHONPATH": str(_HERE / "startup"),
            "COMPILED": str(collections / "compiled"),
            "ANSIBLE_CONFIG": str(self._settings),
            "ANSIBLE_NOCOLOR": "1",
            "PYTHONUNBUFFERED": "1",  # lines come when they are written
            "ANSIBLE_LOCALHOST_WARNING": "false",
        }

    def _write(self, name: str, content: object) -> Path:
        path = self.directory / name
        path.write_text(json.dumps(content))  # JSON is YAML
        return path

    def command(self, playbook: str | Path, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "ansible", "playbook", "-i", str(self._inventory), str(playbook), *arguments]

    def playbook(self, playbook: str | Path, *arguments: str, **environment: str) -> Run:
        """Run a playbook by path or by full name."""
        done = subprocess.run(
            self.command(playbook, *arguments),
            env=self.environment | environment,
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return Run(done.returncode, done.stdout + done.stderr, [])

    def write_play(self, tasks: list[dict], **play: object) -> tuple[Path, Path]:
        """A playbook of these tasks, and the file that it writes their results to."""
        found = self.directory / "results.json"
        found.unlink(missing_ok=True)
        registered = [{"register": f"result_{number}", **task} for number, task in enumerate(tasks)]
        names = ", ".join(str(task["register"]) for task in registered)
        keep = {
            "name": "Keep the results",
            "results_file": {"path": str(found), "content": "{{ [" + names + "] | to_json }}"},
        }
        return (
            self._write(
                "play.yml",
                [{"name": "Test", "hosts": "localhost", "gather_facts": False, "tasks": [*registered, keep], **play}],
            ),
            found,
        )

    def tasks(self, tasks: list[dict], *arguments: str, env: dict[str, str] | None = None, **play: object) -> Run:
        """Run tasks in one play. A task that may fail needs ``ignore_errors``."""
        path, found = self.write_play(tasks, **play)
        run = self.playbook(path, *arguments, **(env or {}))
        if found.exists():
            run.results = json.loads(found.read_text())
        return run

    def leftovers(self, *, patience: float = 0) -> list[Path]:
        """Files that Ansible or the module left in their temporary folders, after waiting for them to go."""
        deadline = time.monotonic() + patience
        while True:
            found = [path for folder in (self.temp, self.home) for path in folder.rglob("*") if path.is_file()]
            if not found or time.monotonic() > deadline:
                return found
            time.sleep(0.2)


@pytest.fixture(scope="session")
def collections(tmp_path_factory):
    """A collections path on which this checkout is modelops.serving, with the one collection that it imports.

    Beside them is kept what runs share.
    """
    path = tmp_path_factory.mktemp("collections")
    for name in ("packed", "compiled"):
        (path / name).mkdir()
    (path / "ansible_collections" / "modelops").mkdir(parents=True)
    (path / "ansible_collections" / "modelops" / "serving").symlink_to(ROOT)
    kubernetes = ROOT / ".venv" / "collections" / "ansible_collections" / "kubernetes"
    (path / "ansible_collections" / "kubernetes").symlink_to(kubernetes)
    return path


@pytest.fixture
def playbooks(tmp_path, collections):
    return Playbooks(tmp_path, collections)
