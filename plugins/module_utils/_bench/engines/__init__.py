# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Load tools of others: what each runs for a workload, and what it has measured, as records of this package.

The tools run in containers of their own; nothing here needs one of them. ``render()`` makes what the container of a tool
is given, ``normalise()`` reads what it has left.
"""

from __future__ import annotations

import typing as t
from pathlib import Path

from ..errors import InputError
from ..records import Record
from ..stages import StageFacts
from ..workload import Workload, read_dataset
from . import normalise as _normalise
from .aiperf import AIPerf
from .engine import Engine, Job, Rendered
from .guidellm import GuideLLM
from .inference_perf import InferencePerf
from .locust import Locust
from .vllm_bench import VllmBench

ENGINES: t.Mapping[str, Engine] = {
    engine.name: engine for engine in (InferencePerf(), AIPerf(), Locust(), VllmBench(), GuideLLM())
}
#: The engine of this package, which does every workload.
BUILTIN = "builtin"


def render(name: str, workload: Workload, *, job: Job | None = None, image: str = "") -> Rendered:
    """What the container of an engine runs for a workload, whose file of prompts is read if it has one.

    :param image: instead of the one that is known to work.
    :raises InputError: there is no such engine, it cannot do the workload (which names those that can), it needs a
        tokenizer, or the file of prompts cannot be read.
    """
    engine = find(name)
    if found := refusals(engine, workload):
        raise InputError(
            f"{name} cannot do this workload: it {'; it '.join(found)}.",
            hint=f"Take {' or '.join(able(workload))}, or change the workload.",
        )
    dataset = read_dataset(workload.data) if workload.data.type == "jsonl" else None
    return engine.render(workload, dataset=dataset, job=job or Job(), image=image)


def normalise(name: str, folder: Path, workload: Workload, *, run_id: str) -> tuple[list[Record], list[StageFacts]]:
    """Records and facts of the stages, from what the container of an engine has left in ``folder``.

    Of a run that was cut off there are the commands that had ended.

    :raises InputError: what is there is not what this version of the tool leaves behind.
    """
    return _normalise.normalise(find(name), folder, workload, run_id=run_id)


def able(workload: Workload) -> list[str]:
    """The names of all engines that can do the workload."""
    return [name for name, engine in ENGINES.items() if not refusals(engine, workload)] + [BUILTIN]


def refusals(engine: Engine, workload: Workload) -> list[str]:
    """Why an engine cannot do the workload, each as the end of a sentence that begins with its name."""
    text = ["does not keep prompts and answers"] if workload.keep_text else []
    return engine.refusals(workload) + text


def find(name: str) -> Engine:
    """:raises InputError: there is no such engine."""
    try:
        return ENGINES[name]
    except KeyError:
        raise InputError(f"There is no load tool {name!r}.", hint=f"Choose {', '.join([*ENGINES, BUILTIN])}.") from None
