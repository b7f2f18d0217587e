# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What load to send to which endpoint, whatever engine sends it."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import itertools
import json
import math
import typing as t
from pathlib import Path
from urllib.parse import urlsplit

from .errors import InputError
from .slo import GROWING, Objective
from .slo import parse as parse_slo

PROTOCOLS = ("openai_completions", "openai_chat", "jetstream", "saxml")
ARRIVALS = ("constant", "poisson")

#: What each protocol appends to the endpoint, and what users paste along with it.
_PATHS = ("/v1/completions", "/v1/chat/completions", "/v1/models", "/v1", "/generate")
#: What a request says because the workload does, under any of its names.
_SAID = frozenset(
    {
        *("model", "prompt", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens"),
        *("model_id", "model_options"),
    }
)
#: Headers that carry credentials: those come by api_key and never stand in a workload.
SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key"})


@dataclasses.dataclass(frozen=True)
class Length:
    """A number of tokens: drawn from a normal distribution, cut off at ``min`` and ``max``."""

    mean: float
    stddev: float
    min: int
    max: int


@dataclasses.dataclass(frozen=True)
class Data:
    """Where prompts come from: made up (``synthetic``) or read from a file of JSON lines (``jsonl``)."""

    type: str
    #: The most tokens the server may answer with. Exact lengths are a matter of the server.
    output_tokens: Length
    #: Of synthetic prompts.
    input_tokens: Length | None = None
    #: Of a file: where it is, and which field of a line is the prompt.
    path: str = ""
    field: str = ""
    #: The file's SHA-256, once it has been read (Workload.pinned) or when the workload asks for this very content.
    sha256: str = ""


@dataclasses.dataclass(frozen=True)
class Stage:
    """Either requests per second (open loop) or requests in flight (closed loop), for a time or a number of requests."""

    rate: float | None = None
    concurrency: int | None = None
    #: Seconds.
    duration: float | None = None
    requests: int | None = None
    #: Of the part of a stage that is shared: by which share of their distance constant arrivals come later.
    phase: float | None = None

    @property
    def kind(self) -> str:
        return "rate" if self.rate is not None else "concurrency"

    @property
    def asked(self) -> float:
        return self.rate if self.rate is not None else float(self.concurrency or 0)


@dataclasses.dataclass(frozen=True)
class Workload:
    """One description for every engine. Times are seconds."""

    endpoint: str
    protocol: str
    data: Data
    stages: tuple[Stage, ...]
    model: str = ""
    stream: bool = True
    headers: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    #: More members of the JSON object of each request, such as ignore_eos or temperature.
    extra_body: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    #: Of stages with a rate; those with a concurrency send when an answer has ended.
    arrival: str = "constant"
    #: Requests before the first stage that are not recorded.
    warmup_requests: int = 0
    connect_timeout: float = 10.0
    #: The longest time for one request, and the longest time without a byte of its answer.
    request_timeout: float = 300.0
    stall_timeout: float = 60.0
    seed: int = 0
    repeats: int = 1
    #: Requests in flight at which an open loop holds back, which counts as schedule delay.
    max_in_flight: int = 4096
    keep_text: bool = False
    keep_itl: bool = False
    slo: t.Mapping[str, float] = dataclasses.field(default_factory=dict)
    #: Whether only the highest stage is looked for that meets the objectives. Stages then rise in load.
    search: bool = False

    def as_data(self) -> dict[str, t.Any]:
        """The workload as parse() takes it, as plain JSON data without what is not set."""
        data = _plain(self)
        data["warmup"] = {"requests": data.pop("warmup_requests")}
        for name in ("extra_body", "search"):
            if not data[name]:
                # Workloads of versions that did not know it are the same ones.
                del data[name]
        return t.cast("dict[str, t.Any]", data)

    @property
    def digest(self) -> str:
        """The SHA-256 of what makes two runs comparable.

        That is the load itself: not whom it is sent to, what is asked of the result, or what is kept of it. A file of
        prompts counts by its content, once that is known.
        """
        data = self.as_data()
        for name in ("endpoint", "model", "headers", "slo", "keep_text", "keep_itl", "repeats"):
            data.pop(name, None)
        if data["data"].get("sha256"):
            data["data"].pop("path")
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()

    @property
    def objectives(self) -> tuple[Objective, ...]:
        return parse_slo(self.slo)

    def pinned(self, dataset: Dataset) -> Workload:
        """The workload with the content of its file as part of it."""
        return dataclasses.replace(self, data=dataclasses.replace(self.data, sha256=dataset.sha256))


@dataclasses.dataclass(frozen=True)
class Dataset:
    """The prompts of a file in its order."""

    prompts: tuple[str, ...]
    sha256: str


def parse(data: t.Mapping[str, t.Any]) -> Workload:
    """The workload that plain data describe. Raises InputError that names all mistakes at once."""
    if not isinstance(data, t.Mapping):
        raise InputError(f"The workload must be a mapping, not {_kind(data)}.")
    reader = _Reader("", data)
    workload = Workload(
        endpoint=_endpoint(reader),
        protocol=reader.choice("protocol", PROTOCOLS),
        data=_data(reader.mapping("data", required=True)),
        stages=_stages(reader),
        model=reader.text("model"),
        stream=reader.flag("stream", default=True),
        headers=_headers(reader),
        extra_body=_extra_body(reader),
        arrival=reader.choice("arrival", ARRIVALS, default="constant"),
        warmup_requests=_warmup(reader.mapping("warmup")),
        connect_timeout=reader.number("connect_timeout", default=10.0),
        request_timeout=reader.number("request_timeout", default=300.0),
        stall_timeout=reader.number("stall_timeout", default=60.0),
        seed=reader.integer("seed", default=0, least=0),
        repeats=reader.integer("repeats", default=1, least=1),
        max_in_flight=reader.integer("max_in_flight", default=4096, least=1),
        keep_text=reader.flag("keep_text", default=False),
        keep_itl=reader.flag("keep_itl", default=False),
        slo=_slo(reader),
        search=reader.flag("search", default=False),
    )
    if workload.protocol != "jetstream" and not workload.model:
        reader.mistake(f"model is required for the protocol {workload.protocol or 'asked for'}")
    for index, stage in enumerate(workload.stages):
        if (stage.concurrency or 0) > workload.max_in_flight:
            reader.mistake(f"stages[{index}].concurrency is above max_in_flight, which is {workload.max_in_flight}")
    if workload.search:
        _check_search(workload, reader)
    reader.end()
    if reader.mistakes:
        raise InputError(
            f"The workload has {len(reader.mistakes)} mistake{'s' if len(reader.mistakes) > 1 else ''}: "
            + "; ".join(reader.mistakes)
            + ".",
            hint="Nothing was sent.",
        )
    return dataclasses.replace(workload, stream=workload.stream and workload.protocol != "saxml")


def read(path: Path) -> Workload:
    """The workload of a JSON file. Raises InputError."""
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"The workload {path} cannot be read: {error}.", hint="Give a file of JSON.") from error
    return parse(data)


def read_dataset(data: Data) -> Dataset:
    """The prompts of a ``jsonl`` file, which has one JSON object with the prompt in ``data.field`` per line.

    Raises InputError when the file cannot be read, is empty, has a line without prompt, or is another than asked for.
    """
    hint = f'Give a file with one JSON object per line, such as {{"{data.field}": "..."}}.'
    try:
        content = Path(data.path).read_bytes()
    except OSError as error:
        raise InputError(f"The dataset {data.path} cannot be read: {error.strerror}.", hint=hint) from error
    prompts = []
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            prompt = json.loads(line)[data.field]
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise InputError(
                f"Line {number} of the dataset {data.path} has no field {data.field!r}.", hint=hint
            ) from error
        if not isinstance(prompt, str) or not prompt:
            raise InputError(f"The prompt in line {number} of the dataset {data.path} is not a text.", hint=hint)
        prompts.append(prompt)
    if not prompts:
        raise InputError(f"The dataset {data.path} is empty.", hint=hint)
    sha256 = hashlib.sha256(content).hexdigest()
    if data.sha256 and data.sha256 != sha256:
        raise InputError(
            f"The dataset {data.path} has the SHA-256 {sha256}, and not {data.sha256} as the workload asks.",
            hint="Take the file that the workload was made for, or leave out data.sha256.",
        )
    return Dataset(tuple(prompts), sha256)


class _Reader:
    """Takes the values of a mapping one by one and collects what is wrong with them."""

    def __init__(self, name: str, data: t.Mapping[str, t.Any], mistakes: list[str] | None = None) -> None:
        self._name = name
        self._data = data
        self._asked: list[str] = []
        self.mistakes: list[str] = [] if mistakes is None else mistakes

    def mistake(self, message: str) -> None:
        self.mistakes.append(message)

    def has(self, key: str) -> bool:
        return self._data.get(key) is not None

    def take(self, key: str) -> t.Any:
        self._asked.append(key)
        return self._data.get(key)

    def called(self, key: str) -> str:
        return f"{self._name}.{key}" if self._name else key

    def text(self, key: str, *, required: bool = False, default: str = "") -> str:
        value = self.take(key)
        if value is None and not required:
            return default
        if not isinstance(value, str) or (required and not value):
            self.mistake(f"{self.called(key)} {'is required' if not value else f'must be a text, not {_kind(value)}'}")
            return default
        return value

    def choice(self, key: str, choices: t.Sequence[str], *, default: str = "") -> str:
        value = self.take(key)
        if value is None and default:
            return default
        if value is None or value not in choices:
            given = "is required" if value is None else f"{value!r} is not known"
            self.mistake(f"{self.called(key)} {given}: choose {', '.join(choices[:-1])} or {choices[-1]}")
            return default
        return str(value)

    def flag(self, key: str, *, default: bool) -> bool:
        value = self.take(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.mistake(f"{self.called(key)} must be true or false, not {value!r}")
            return default
        return value

    def number(self, key: str, *, default: float = 0.0) -> float:
        """A number above zero."""
        value = self.take(key)
        if value is None:
            return default
        if not _is_number(value) or value <= 0:
            self.mistake(f"{self.called(key)} must be a number above 0, not {value!r}")
            return default
        return float(value)

    def integer(self, key: str, *, default: int, least: int) -> int:
        value = self.take(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            self.mistake(f"{self.called(key)} must be a whole number from {least}, not {value!r}")
            return default
        return value

    def mapping(self, key: str, *, required: bool = False) -> _Reader:
        value = self.take(key)
        if value is None and not required:
            value = {}
        if not isinstance(value, t.Mapping):
            self.mistake(
                f"{self.called(key)} {'is required' if value is None else f'must be a mapping, not {_kind(value)}'}"
            )
            # What it should have held is not missed one by one as well.
            return _Reader(self.called(key), {}, [])
        return _Reader(self.called(key), value, self.mistakes)

    def end(self) -> None:
        """Whatever was not asked for is a mistake."""
        for key in self._data:
            if key not in self._asked:
                near = difflib.get_close_matches(str(key), self._asked, n=1)
                guess = f"; did you mean {near[0]}?" if near else ""
                self.mistake(f"{self.called(str(key))} is not known{guess}")


def _endpoint(reader: _Reader) -> str:
    value = reader.text("endpoint", required=True)
    if not value:
        return ""
    try:
        url = urlsplit(value)
        url.port  # noqa: B018 - raises ValueError when it is no port
    except ValueError:
        reader.mistake("endpoint is not a URL")
        return ""
    path = url.path.rstrip("/")
    if url.scheme not in {"http", "https"} or not url.hostname:
        reader.mistake("endpoint must be a URL that begins with http:// or https:// and names a host")
    elif url.username is not None or url.password is not None:
        # Not repeated: it holds a password.
        reader.mistake("endpoint must not hold a user or password: give the key as api_key")
    elif url.query or url.fragment:
        reader.mistake("endpoint must not have a query or fragment")
    elif (pasted := next((end for end in _PATHS if path.endswith(end)), "")) and pasted:
        reader.mistake(f"endpoint must be without {pasted}, which the protocol adds")
    return f"{url.scheme}://{url.netloc}{path}"


def _headers(reader: _Reader) -> dict[str, str]:
    headers = reader.take("headers")
    if headers is None:
        return {}
    if not isinstance(headers, t.Mapping) or not all(
        isinstance(text, str) and text.isprintable() for pair in headers.items() for text in pair
    ):
        reader.mistake("headers must be a mapping of names to texts of one line")
        return {}
    for name in headers:
        if name.lower() in SECRET_HEADERS:
            reader.mistake(f"headers must not hold {name}: give the key as api_key")
    return dict(headers)


def _extra_body(reader: _Reader) -> dict[str, t.Any]:
    extra = reader.take("extra_body")
    if extra is None:
        return {}
    try:
        if not isinstance(extra, t.Mapping) or json.loads(json.dumps(extra, allow_nan=False)) != extra:
            raise TypeError
    except (TypeError, ValueError):
        reader.mistake("extra_body must be a mapping of names to values of JSON")
        return {}
    for name in sorted(_SAID & extra.keys()):
        reader.mistake(f"extra_body must not hold {name}, which the workload says elsewhere")
    return dict(extra)


def _data(reader: _Reader) -> Data:
    kind = reader.choice("type", ("synthetic", "jsonl"))
    if kind == "jsonl":
        data = Data(
            type=kind,
            output_tokens=_length(reader, "output_tokens"),
            path=reader.text("path", required=True),
            field=reader.text("field", default="prompt"),
            sha256=reader.text("sha256"),
        )
    else:
        data = Data(
            type=kind,
            output_tokens=_length(reader, "output_tokens"),
            input_tokens=_length(reader, "input_tokens"),
        )
    if kind:
        reader.end()
    return data


def _length(reader: _Reader, key: str) -> Length:
    called = reader.called(key)
    value = reader.take(key)
    if value is None:
        reader.mistake(f"{called} is required")
    elif isinstance(value, t.Mapping):
        return _distribution(_Reader(called, value, reader.mistakes))
    elif isinstance(value, bool) or not isinstance(value, int) or value < 1:
        reader.mistake(f"{called} must be a whole number from 1 or a mapping with mean, not {value!r}")
    else:
        return Length(float(value), 0.0, value, value)
    return Length(1.0, 0.0, 1, 1)


def _distribution(reader: _Reader) -> Length:
    if not reader.has("mean"):
        reader.mistake(f"{reader.called('mean')} is required")
    mean = reader.number("mean", default=1.0)
    stddev = reader.take("stddev") or 0.0
    if not _is_number(stddev) or stddev < 0:
        reader.mistake(f"{reader.called('stddev')} must be a number from 0, not {stddev!r}")
        stddev = 0.0
    least = reader.integer("min", default=max(1, math.floor(mean - 3 * stddev)), least=1)
    most = reader.integer("max", default=max(1, math.ceil(mean + 3 * stddev)), least=1)
    if not least <= mean <= most:
        reader.mistake(f"{reader.called('mean')} must not be below min or above max: {least} <= {mean:g} <= {most}")
    reader.end()
    return Length(mean, float(stddev), least, most)


def _stages(reader: _Reader) -> tuple[Stage, ...]:
    stages = reader.take("stages")
    if not isinstance(stages, (list, tuple)) or not stages:
        reader.mistake("stages must be a list with at least one stage")
        return ()
    found = []
    for index, stage in enumerate(stages):
        name = f"stages[{index}]"
        if isinstance(stage, t.Mapping):
            found.append(_stage(_Reader(name, stage, reader.mistakes)))
        else:
            reader.mistake(f"{name} must be a mapping, not {_kind(stage)}")
    return tuple(found)


def _stage(reader: _Reader) -> Stage:
    if reader.has("rate") == reader.has("concurrency"):
        reader.mistake(f"{reader.called('rate')} or {reader.called('concurrency')} is required, and not both")
    if reader.has("duration") == reader.has("requests"):
        reader.mistake(f"{reader.called('duration')} or {reader.called('requests')} is required, and not both")
    stage = Stage(
        rate=reader.number("rate") or None,
        concurrency=reader.integer("concurrency", default=0, least=1) or None,
        duration=reader.number("duration") or None,
        requests=reader.integer("requests", default=0, least=1) or None,
        phase=reader.number("phase") or None,
    )
    reader.end()
    return stage


def _warmup(reader: _Reader) -> int:
    requests = reader.integer("requests", default=0, least=0)
    reader.end()
    return requests


def _slo(reader: _Reader) -> dict[str, float]:
    objectives = reader.take("slo")
    if objectives is None:
        return {}
    if not isinstance(objectives, t.Mapping):
        reader.mistake(f"slo must be a mapping, not {_kind(objectives)}")
        return {}
    try:
        return {objective.name: objective.limit for objective in parse_slo(objectives)}
    except InputError as error:
        reader.mistake(str(error).rstrip("."))
        return {}


def _check_search(workload: Workload, reader: _Reader) -> None:
    """Can more load only make it worse?"""
    if not workload.slo:
        reader.mistake("search needs slo, which says what load is good")
    if backwards := [name for name in workload.slo if name in GROWING]:
        reader.mistake(f"search takes no slo that more load brings nearer, such as {backwards[0]}")
    loads = [stage.asked for stage in workload.stages]
    if len({stage.kind for stage in workload.stages}) > 1 or any(a >= b for a, b in itertools.pairwise(loads)):
        reader.mistake("search needs stages that rise in load, all by rate or all by concurrency")


def _is_number(value: t.Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _kind(value: t.Any) -> str:
    return {dict: "a mapping", list: "a list", str: "a text", type(None): "nothing"}.get(type(value), repr(value))


def _plain(value: t.Any) -> t.Any:
    """A dataclass as plain data, without what is None or an empty text."""
    if dataclasses.is_dataclass(value):
        named = ((field.name, _plain(getattr(value, field.name))) for field in dataclasses.fields(value))
        return {name: plain for name, plain in named if plain not in (None, "")}
    if isinstance(value, t.Mapping):
        return dict(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
