# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Pod of a benchmark runs, as a process of this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ansible_collections.modelops.serving.plugins.module_utils._bench.pod import collect

#: One that finds nothing but the standard library.
BARE = (sys.executable, "-S")


class Pod:
    """The program as a process, and its controller. In ``folder`` is the zip of the package.

    :param files: content by name, beside the plan in ``folder / name``.
    :param python: what runs the program.
    :param variables: of its environment.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        plan: dict,
        *,
        files: Mapping[str, str] | None = None,
        python: Sequence[str] = BARE,
        **variables: str,
    ) -> None:
        self.name, self.here = name, folder / f"{name}-here"
        self._files, self._results = folder / name, folder / f"{name}-results"
        for place in (self.here, self._files, self._results):
            place.mkdir()
        for file, content in {**(files or {}), "plan.json": json.dumps(plan)}.items():
            (self._files / file).write_text(content)
        self._interpreter = python
        self._env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(folder / "modelops_bench.zip"),
            "POD_NAME": name,
            "NODE_NAME": "node-a",
            **variables,
        }
        self._process = subprocess.Popen(
            [*self._python("pod"), str(self._files), str(self._results)],
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _python(self, program):
        return [*self._interpreter, "-m", f"modelops_bench.{program}"]

    def until(self, event, **fields):
        """The next line of progress that tells this, or the next other event."""
        for line in self._process.stdout:
            said = json.loads(line)
            if said["event"] == "progress" and not (event == "progress" and fields.items() <= said.items()):
                continue
            assert said["event"] == event, said
            return said
        raise AssertionError(self._process.stderr.read())

    def ask(self, program, *arguments):
        """As exec does it."""
        command = [*self._python(f"pod.{program}"), str(self._results), *arguments]
        return subprocess.run(command, env=self._env, stdout=subprocess.PIPE, check=True, timeout=60).stdout

    def collect(self):
        while collect.unpack(self.ask("collect", json.dumps(collect.offsets(self.here))), self.here):
            pass

    def ended(self):
        """Collect what it has left once it has told its end; that end, its exit status and its standard error."""
        told = self.until("ended")
        self.collect()
        self.ask("signal", "collected")
        _out, err = self._process.communicate(timeout=60)
        return told, self._process.returncode, err

    def end(self):
        self._process.send_signal(signal.SIGTERM)

    def wait(self):
        """Its exit status."""
        return self._process.wait(60)

    def close(self):
        self._process.kill()
        self._process.communicate()
