# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run of the engine ``builtin`` against the server of tokens, as a call and as a program."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from token_server import MODEL, TokenServer

from ansible_collections.modelops.serving.plugins.module_utils._bench import records, results
from ansible_collections.modelops.serving.plugins.module_utils._bench.builtin.run import run
from ansible_collections.modelops.serving.plugins.module_utils._bench.records import Record
from ansible_collections.modelops.serving.plugins.module_utils._bench.stages import StageFacts
from ansible_collections.modelops.serving.plugins.module_utils._bench.workload import parse

_PACKAGE = "ansible_collections.modelops.serving.plugins.module_utils._bench"
_numbers = itertools.count()


@dataclasses.dataclass
class Done:
    """What a run has left, and what the server has seen of it, both by name of the request."""

    place: Path
    facts: list[StageFacts]
    records: dict[str, Record]
    log: dict[str, dict]

    @property
    def origin(self) -> float:
        """The reading of the clock at which the times of records begin."""
        return json.loads((self.place / "environment.json").read_text())["clock"]["origin"]

    def pairs(self) -> list[tuple[Record, dict]]:
        """Each record with the server's entry for it."""
        return [(record, self.log[name]) for name, record in self.records.items()]


class Bench:
    """Makes workloads for one server, and runs them."""

    def __init__(self, server: TokenServer, folder: Path) -> None:
        self.server, self.folder = server, folder

    def workload(self, **changes) -> dict:
        return {
            "endpoint": self.server.url,
            "protocol": "openai_completions",
            "model": MODEL,
            "data": {"type": "synthetic", "input_tokens": 12, "output_tokens": 8},
            "stages": [{"concurrency": 4, "requests": 8}],
            **changes,
        }

    def run(self, *, keywords=None, **changes) -> Done:
        return self.run_as(f"run{next(_numbers)}", keywords=keywords, **changes)

    def run_as(self, run_id: str, *, keywords=None, **changes) -> Done:
        facts = run(parse(self.workload(**changes)), self.folder / run_id, run_id=run_id, **(keywords or {}))
        return self.done(run_id, facts)

    def done(self, run_id: str, facts=()) -> Done:
        place = self.folder / run_id
        found = list(records.read(place / records.FILE))
        named = {f"{run_id}-{record.stage}-{record.repeat}-{record.seq}": record for record in found}
        assert len(named) == len(found)
        log = {entry["id"]: entry for entry in self.server.log()}
        return Done(place, list(facts), named, log)

    @staticmethod
    def report(place: Path) -> dict:
        return results.report(place)

    def start(self, *arguments, prefix=(), **changes) -> subprocess.Popen:
        """The program, with the workload on its standard input."""
        process = subprocess.Popen(
            [*prefix, sys.executable, "-m", _PACKAGE, "run", "-", "--out", str(self.folder), *arguments],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        process.stdin.write(json.dumps(self.workload(**changes)).encode())
        process.stdin.close()
        process.stdin = None
        return process

    @staticmethod
    def result(process: subprocess.Popen) -> tuple[int, dict]:
        """The exit status and what the last line says."""
        out, _none = process.communicate(timeout=120)
        return process.returncode, json.loads(out.splitlines()[-1])["result"]


@pytest.fixture(scope="session")
def _token_server():
    with TokenServer() as server:
        yield server


@pytest.fixture
def bench(_token_server, tmp_path):
    _token_server.play()
    return Bench(_token_server, tmp_path)
