# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Locust: https://docs.locust.io. It knows nothing of tokens: its users here are our own (inside/locust.py).

They take what is due from a schedule, so that a stage with a rate is an open loop as long as a user is free.
"""

from __future__ import annotations

import dataclasses
import math
import typing as t
from pathlib import Path

from ..workload import Dataset, Stage, Workload
from .engine import PACKAGE, PROMPTS, Command, Engine, Job, Sent, encode, lines, load_lines, requests_of
from .inside.locust import FILE

_WORKLOAD = "workload.json"
#: Seconds an answer may take for all requests of a rate to find a free user.
_LONGEST = 20


class Locust(Engine):
    name = "locust"
    image = "locustio/locust:2.47.0"
    clock = "monotonic"
    tokenizes = False
    one_process = True

    def refusals(self, workload: Workload) -> list[str]:
        return []

    def prompts(self, dataset: Dataset, workload: Workload) -> str:
        return lines({"prompt": prompt} for prompt in dataset.prompts)

    def step(self, workload: Workload, command: Command, job: Job) -> tuple[dict[str, str], list[str]]:
        data = workload.data
        if data.input_tokens is None:
            # The content is another, so the digest is of no use.
            data = dataclasses.replace(data, path=f"{job.files}/{PROMPTS}", field="prompt", sha256="")
        stage = {name: value for name, value in dataclasses.asdict(command.stage).items() if value is not None}
        arguments = (f"{job.files}/{_WORKLOAD}", stage, command.index, command.repeat)
        file = f"{command.name}.py"
        files = {
            _WORKLOAD: encode(dataclasses.replace(workload, data=data).as_data()),
            file: _LOCUSTFILE.format(arguments=", ".join(map(repr, arguments))),
        }
        count = str(_users(workload, command.stage))
        options = ("--headless", "--only-summary", "--users", count, "--spawn-rate", count, "--exit-code-on-error", "0")
        return files, ["locust", "-f", f"{job.files}/{file}", *options]

    def read(self, place: Path) -> t.Iterator[Sent]:
        return load_lines(place / FILE, self.name, lambda data: Sent(**data))


_LOCUSTFILE = f"""from {PACKAGE}.engines.inside.locust import users

Users = users({{arguments}})
"""


def _users(workload: Workload, stage: Stage) -> int:
    if stage.concurrency:
        return stage.concurrency
    return min(workload.max_in_flight, requests_of(stage), max(1, math.ceil(stage.asked * _LONGEST)))
