# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an engine is: it makes the commands of an external load tool, and reads what the tool has left behind.

Every stage of every repeat is a command of its own, with a folder of its own: no tool has to be asked which of its
requests belonged to which stage, and what one has left is read when the next has failed.
"""

from __future__ import annotations

import abc
import dataclasses
import hashlib
import json
import typing as t
from collections.abc import Callable
from pathlib import Path

from .. import search
from ..builtin.protocols import message_of
from ..errors import InputError
from ..workload import Dataset, Length, Stage, Workload

#: What the zip of the package ``_bench`` is called where a tool runs.
PACKAGE = "modelops_bench"
#: Where the files of a run and its results are in a container.
FILES = "/bench"
RESULTS = "/results"
#: In FILES: what the Pod is to do, and the prompts in the form of the tool.
PLAN = "plan.json"
PROMPTS = "prompts.jsonl"
API_KEY = "OPENAI_API_KEY"
WARMUP = "warmup"
WARMUP_INDEX = -1
_WARMUP_AT_ONCE = 16


@dataclasses.dataclass(frozen=True)
class Job:
    """What an engine has to know beside the workload.

    :param tokenizer: name on the Hugging Face Hub or path in the container; the model of the workload without it.
    :param cores: whole cores that the container has, for tools with a process per core.
    :param files: folder of the files of Rendered, in the container.
    :param results: folder of the results, in the container.
    :param api_key: whether the endpoint asks for one, which is then in the environment.
    """

    tokenizer: str = ""
    cores: int = 2
    files: str = FILES
    results: str = RESULTS
    api_key: bool = False


@dataclasses.dataclass(frozen=True)
class Command:
    """One run of a tool, for one repeat of a stage. Its name is that of the folder of its results."""

    name: str
    stage: Stage
    #: Of the stage; WARMUP_INDEX for the warm-up, of which nothing is kept.
    index: int
    repeat: int
    #: Of the workload.
    _seed: int

    @property
    def seed(self) -> int:
        """Every command asks something else, and the same when the workload is run again. 31 bits."""
        said = f"{self._seed}/{self.repeat}/{self.index}".encode()
        return int.from_bytes(hashlib.sha256(said).digest()[:4], "big") >> 1


@dataclasses.dataclass(frozen=True)
class Rendered:
    """What a container of one engine needs to run the program of ``_bench/pod``: nothing in it is secret.

    :param files: content by name, for the folder ``files`` of the Job.
    :param plan: the commands: {engine, cores, private, secrets, steps: [{name, argv}]}.
    :param secrets: environment variables that come from a Secret, and what each holds: api_key (of the endpoint) or
        hf_token (of the Hugging Face Hub, for the tokenizer). None has to be there.
    """

    image: str
    files: t.Mapping[str, str]
    plan: t.Mapping[str, t.Any]
    secrets: t.Mapping[str, str]
    environment: t.Mapping[str, str]


@dataclasses.dataclass(slots=True)
class Sent:
    """One request as a tool tells of it. Times are seconds on the clock of the engine."""

    start: float
    end: float
    scheduled: float | None = None
    #: When the chunks with text arrived; only the first one where the tool tells no more.
    times: t.Sequence[float] = ()
    isl: int | None = None
    #: As the server counts them, and as the tool does.
    osl_server: int | None = None
    osl: int | None = None
    status: int | None = None
    error: str = ""
    message: str = ""
    finish_reason: str | None = None


class Engine(abc.ABC):
    """One load tool.

    :cvar name: as users give it.
    :cvar image: pinned, with the version whose options and results this knows.
    :cvar clock: "monotonic" or "time": the clock of the times in Sent.
    """

    name: t.ClassVar[str]
    image: t.ClassVar[str]
    clock: t.ClassVar[t.Literal["monotonic", "time"]]
    #: Whether the tool counts tokens with the tokenizer of the model, which it then has to get from somewhere.
    tokenizes: t.ClassVar[bool] = True
    #: Whether one process sends everything, which one core is the limit of.
    one_process: t.ClassVar[bool] = False
    #: The environment variable that the tool takes the key of the endpoint from. It is in no file and no argument.
    key: t.ClassVar[str] = API_KEY
    #: Files in the folder of a command that hold prompts or answers, and by which names; without any all of the file.
    private: t.ClassVar[t.Mapping[str, tuple[str, ...]]] = {}
    environment: t.ClassVar[t.Mapping[str, str]] = {}

    @abc.abstractmethod
    def refusals(self, workload: Workload) -> list[str]:
        """Why the tool cannot do the workload, each as the end of a sentence that begins with its name."""

    @abc.abstractmethod
    def step(self, workload: Workload, command: Command, job: Job) -> tuple[dict[str, str], list[str]]:
        """Files and arguments of one command, whose results go to the folder of its name."""

    @abc.abstractmethod
    def read(self, place: Path) -> t.Iterable[Sent]:
        """The requests of one command, in any order.

        :raises InputError: what is there is not what this version of the tool leaves behind.
        """

    def arrival(self, workload: Workload) -> str:
        """How requests arrive in stages with a rate, whatever the tool calls it."""
        return workload.arrival

    def prompts(self, dataset: Dataset, workload: Workload) -> str:
        """A file of prompts in the form of the tool. Tools that refuse such workloads have none, and are never asked."""
        raise NotImplementedError(self.name)  # no default: refusals() keeps such a tool from being asked

    def render(self, workload: Workload, *, dataset: Dataset | None, job: Job, image: str) -> Rendered:
        """The files and the command of a container that does the workload, which is none that is refused.

        :param dataset: the prompts of the workload's file, if it has one.
        :param image: instead of that of the engine, if not empty.
        :raises InputError: the tool needs a tokenizer, and none is known.
        """
        if self.tokenizes and not (job.tokenizer or workload.model):
            raise InputError(
                f"{self.name} counts tokens itself and needs a tokenizer.",
                hint="Give the name of the model on the Hugging Face Hub, or a folder that the container has.",
            )
        files: dict[str, str] = {}
        if dataset is not None:
            files[PROMPTS] = self.prompts(dataset, workload)
        steps = []
        for command in plan(workload):
            more, argv = self.step(workload, command, job)
            files |= more
            steps.append({"name": command.name, "argv": argv})
        # The endpoint is asked first, with the key where the engine builtin has it.
        secrets = {API_KEY: "api_key", self.key: "api_key"} | ({"HF_TOKEN": "hf_token"} if self.tokenizes else {})
        return Rendered(
            image=image or self.image,
            files=files,
            plan={
                "engine": self.name,
                "cores": job.cores,
                "private": dict(self.private),
                "secrets": list(secrets),
                "steps": steps,
            },
            secrets=secrets,
            environment=self.environment,
        )


def plan(workload: Workload, is_good: Callable[[int], bool] | None = None) -> t.Iterator[Command]:
    """Every command in its turn; with ``is_good``, of a search only those that it needs (search.turns())."""
    if count := workload.warmup_requests:
        at_once = min(count, workload.stages[0].concurrency or _WARMUP_AT_ONCE)
        yield Command(WARMUP, Stage(concurrency=at_once, requests=count), WARMUP_INDEX, 0, workload.seed)
    for index, repeat in search.turns(workload, is_good):
        yield Command(f"stage-{index}-repeat-{repeat}", workload.stages[index], index, repeat, workload.seed)


def requests_of(stage: Stage) -> int:
    """How many requests a stage with a rate sends."""
    return stage.requests or max(1, round(stage.asked * (stage.duration or 0)))


def is_fixed(length: Length) -> bool:
    return not length.stddev or length.min == length.max


def encode(data: t.Any) -> str:
    """JSON, which is YAML as well."""
    return json.dumps(data, indent=1) + "\n"


def lines(items: t.Iterable[t.Any]) -> str:
    """JSON lines."""
    return "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)


def load(path: Path, tool: str) -> t.Any:
    """:raises InputError: there is no such file, or it is no JSON."""
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise missing(path, tool, error) from error
    except ValueError as error:
        raise InputError(f"{path} is no JSON: {error}.", hint="Take the file as the tool has written it.") from error


def load_lines(path: Path, tool: str, make: t.Callable[[t.Any], Sent]) -> t.Iterator[Sent]:
    """Requests from JSON lines.

    :raises InputError: there is no such file, or ``make`` can make nothing of a line.
    """
    try:
        with path.open(encoding="utf-8") as stream:
            for line in stream:
                yield make(json.loads(line))
    except OSError as error:
        raise missing(path, tool, error) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise strange(path, tool, error) from error


def missing(path: Path, tool: str, error: OSError) -> InputError:
    """What a file means that is not there."""
    return InputError(
        f"{tool} has left no {path.name} in {path.parent}: {error.strerror}.",
        hint="It ended before its report: look at its log.",
    )


def strange(path: Path, tool: str, error: Exception) -> InputError:
    """What a file means that lacks what it should have."""
    cause = f"it has no {error}" if isinstance(error, KeyError) else str(error)
    return InputError(
        f"{path} is not what {tool} leaves behind: {cause}.",
        hint="Another version may write something else: take the image that the engine has by default.",
    )


#: What is wrong with a request, by words in the names of exceptions of Python and its HTTP clients, in this order.
_KINDS = {
    "cancel": "cancelled",
    "timeout": "timeout",
    "timedout": "timeout",
    "connector": "connect",
    "connecterror": "connect",
    "refused": "connect",
    "gaierror": "connect",
    "json": "malformed",
    "contenttype": "malformed",
    "decode": "malformed",
}


def kind_of(exception: str) -> str:
    """One of records.ERRORS for the name of an exception. What is not known has broken a connection."""
    name = exception.lower().replace(" ", "")
    return next((kind for word, kind in _KINDS.items() if word in name), "reset")


def server_message(body: str) -> str:
    """The message in the body of an answer that is an error; nothing of a body that has none."""
    try:
        return message_of(json.loads(body))
    except ValueError:
        return ""
