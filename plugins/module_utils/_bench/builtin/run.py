# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run of a workload: its stages, again as often as it asks for, and the files of its results."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import gc
import json
import os
import platform
import re
import resource
import ssl
import threading
import time
import typing as t
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

from .. import records, report_data, search, stages
from ..errors import InputError, StoppedError
from ..records import Record, Writer, write_text
from ..stages import StageFacts
from ..workload import Dataset, Stage, Workload, read_dataset
from .http import Address, Client, Heads, clock, tls_context
from .plan import Plan
from .stage import ClosedLoop, OpenLoop, Run, Sender

#: How often time limits and the wish to stop are looked at, and how often progress is reported, in seconds.
_WATCH = 0.1
_REPORT = 1.0
_WARMUP_AT_ONCE = 16
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_SPARE_FILES = 64


@dataclasses.dataclass(frozen=True)
class Progress:
    """Where a run is. Rates are those of the last second; ``remaining`` is None where the server decides.

    What the tools of others do not tell until they have ended is None.
    """

    run_id: str
    repeat: int
    repeats: int
    stage: int
    stages: int
    #: "warmup", "sending", or "draining": nothing more is sent, answers are waited for.
    state: str
    kind: str
    asked: float
    elapsed: float
    remaining: float | None
    sent: int | None = None
    completed: int | None = None
    errors: int | None = None
    in_flight: int | None = None
    requests_s: float | None = None
    tokens_s: float | None = None
    #: What the server says of itself, where somebody asks it.
    server_running: float | None = None
    server_waiting: float | None = None


def run(
    workload: Workload,
    place: Path,
    *,
    run_id: str,
    api_key: str | None = None,
    ca_bundle: str | None = None,
    verify: bool = True,
    stop: threading.Event | None = None,
    report: Callable[[Progress], None] | None = None,
    origin: float | None = None,
    about: t.Mapping[str, t.Any] | None = None,
) -> list[StageFacts]:
    """Send the load, and write what comes of it to the folder ``place``, which has no records yet.

    Records are written as requests end, ``stages.json`` at the end of each stage, so that whatever ends the run leaves
    what was measured.

    :param origin: the reading of the clock at which the run began, as others count from there as well.
    :param about: more of the environment of the run.
    :raises InputError: the dataset, the key or the run_id cannot be used; nothing was sent.
    :raises EndpointError: the host of the endpoint has no address.
    :raises StorageError: the results cannot be written.
    :raises StoppedError: ``stop`` was set; what had ended until then is written.
    """
    if not _RUN_ID.fullmatch(run_id):
        raise InputError(
            f"The run_id {run_id!r} cannot be the name of a folder.",
            hint="Take letters, digits, dots, dashes and underscores, at most 128, and begin with a letter or digit.",
        )
    dataset = read_dataset(workload.data) if workload.data.type == "jsonl" else None
    if dataset is not None:
        workload = workload.pinned(dataset)
    address = Address.of(workload.endpoint)
    engine = Engine(
        workload,
        dataset,
        address,
        Heads(address, workload.headers, api_key),
        tls_context(address, ca_bundle, verify=verify),
        run_id=run_id,
        stop=stop or threading.Event(),
        report=report or (lambda _progress: None),
        origin=clock() if origin is None else origin,
    )
    with Writer(place / records.FILE) as writer, _quiet_collector(), _many_files(workload.max_in_flight):
        write_text(place / "workload.json", _json(workload.as_data()))
        write_text(place / "environment.json", _json({**environment("builtin", engine.origin), **(about or {})}))

        def is_good(stage: int) -> bool:
            found = records.read(place / records.FILE), stages.read(place / stages.FILE)
            return report_data.is_good(stage, *found, workload)

        return asyncio.run(engine.run(writer.write, lambda facts: stages.write(place / stages.FILE, facts), is_good))


def _json(data: t.Any) -> str:
    return json.dumps(data, indent=1) + "\n"


def environment(engine: str, origin: float) -> dict[str, t.Any]:
    """What the load is made with. ``clock.origin`` is the reading of the clock when the run began."""
    started = datetime.datetime.fromtimestamp(time.time() - (clock() - origin), datetime.timezone.utc)
    return {
        "engine": engine,
        "host": platform.node(),
        "started_at": started.isoformat(timespec="milliseconds"),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "openssl": ssl.OPENSSL_VERSION,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "clock": {
            "name": "time.monotonic",
            "implementation": time.get_clock_info("monotonic").implementation,
            "resolution": time.get_clock_info("monotonic").resolution,
            "origin": origin,
        },
    }


@contextmanager
def _quiet_collector() -> t.Iterator[None]:
    """A run makes hardly any cycles, and looking for them among a million records stops everything for a while."""
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 1000)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


@contextmanager
def _many_files(connections: int) -> t.Iterator[None]:
    """Every request in flight has a connection, and many systems allow 1024 open files if nobody asks for more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Engine:
    """The parts of one run."""

    def __init__(
        self,
        workload: Workload,
        dataset: Dataset | None,
        address: Address,
        heads: Heads,
        context: ssl.SSLContext | None,
        *,
        run_id: str,
        stop: threading.Event,
        report: Callable[[Progress], None],
        origin: float,
    ) -> None:
        self._workload = workload
        self._dataset = dataset
        self._address = address
        self._heads = heads
        self._context = context
        self._run_id = run_id
        self._stop = stop
        self._report = report
        self._broken: BaseException | None = None
        self.origin = origin

    async def run(
        self,
        keep: Callable[[Record], None],
        save: Callable[[list[StageFacts]], None],
        is_good: Callable[[int], bool],
    ) -> list[StageFacts]:
        """All stages, one after the other, or of a search those that it needs.

        :param save: is given the facts of all that have ended so far.
        :param is_good: whether a stage that was run met the objectives.
        """
        workload = self._workload
        client = Client(
            self._address,
            context=self._context,
            connect_timeout=workload.connect_timeout,
            request_timeout=workload.request_timeout,
            stall_timeout=workload.stall_timeout,
        )
        asyncio.get_running_loop().set_exception_handler(self._break)
        await client.resolve()
        sender = Sender(workload, client, self._heads, run_id=self._run_id, origin=self.origin)
        found: list[StageFacts] = []
        try:
            if workload.warmup_requests:
                await self._warm_up(client, sender)
                self._check_stop()
            for index, repeat in search.turns(workload, is_good):
                stage = workload.stages[index]
                current = self._begin(stage, (index, repeat), client, sender, keep)
                await self._follow(current, stage, (index, repeat), client)
                # Of a stage that was cut off there are records, but nothing is said of it as a whole.
                self._check_stop()
                found.append(current.facts(stage, workload.arrival, self.origin))
                save(found)
        finally:
            client.close()
            # Lets the connections end that have just been dropped.
            await asyncio.sleep(0)
        return found

    def _break(self, _loop: asyncio.AbstractEventLoop, context: dict[str, t.Any]) -> None:
        """An error in a callback, which asyncio would only log while the stage waits for it for ever."""
        error = context.get("exception")
        if error is not None and not isinstance(error, OSError):
            self._broken = self._broken or error

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise StoppedError("The run was stopped.", hint="What was measured until then is kept in its folder.")

    def _begin(
        self, stage: Stage, name: tuple[int, int], client: Client, sender: Sender, keep: Callable[[Record], None]
    ) -> Run:
        workload = self._workload
        plan = Plan(workload, self._dataset, *name)
        limit = workload.max_in_flight
        if stage.kind == "rate":
            return OpenLoop(stage, workload.arrival, plan, sender, client, name=name, limit=limit, keep=keep)
        return ClosedLoop(stage, plan, sender, client, name=name, limit=limit, keep=keep)

    async def _warm_up(self, client: Client, sender: Sender) -> None:
        """Requests that nobody keeps: connections are made, and servers compile for the first ones."""
        count = self._workload.warmup_requests
        first = self._workload.stages[0]
        stage = Stage(concurrency=min(count, first.concurrency or _WARMUP_AT_ONCE), requests=count)
        plan = Plan(self._workload, self._dataset, -1, 0)
        limit = self._workload.max_in_flight
        current = ClosedLoop(stage, plan, sender, client, name=(-1, 0), limit=limit, keep=lambda _record: None)
        await self._follow(current, stage, (-1, 0), client)

    async def _follow(self, current: Run, stage: Stage, name: tuple[int, int], client: Client) -> None:
        """Run a stage, and look every now and then whether a time limit has passed, or the run is to end."""
        task = asyncio.ensure_future(current.run())
        before = _Count.of(current)
        while not (await asyncio.wait({task}, timeout=_WATCH))[0]:
            if self._broken is not None:
                task.cancel()
                raise self._broken
            if self._stop.is_set():
                current.stop()
            client.check_limits()
            if clock() - before.at >= _REPORT:
                now = _Count.of(current)
                self._report(self._progress(current, stage, name, before, now))
                before = now
        self._report(self._progress(current, stage, name, before, _Count.of(current)))
        task.result()

    def _progress(self, current: Run, stage: Stage, name: tuple[int, int], before: _Count, now: _Count) -> Progress:
        index, repeat = name
        remaining = current.remaining()
        span = max(now.at - before.at, 1e-6)
        return Progress(
            run_id=self._run_id,
            repeat=repeat,
            repeats=self._workload.repeats,
            stage=index,
            stages=len(self._workload.stages),
            state="warmup" if index < 0 else "draining" if remaining == 0.0 else "sending",
            kind=stage.kind,
            asked=stage.asked,
            sent=current.sent,
            completed=current.completed,
            errors=current.errors,
            in_flight=current.in_flight,
            requests_s=round((now.ended - before.ended) / span, 1),
            tokens_s=round((now.tokens - before.tokens) / span, 1),
            elapsed=round(now.at - self.origin, 3),
            remaining=None if remaining is None else round(remaining, 1),
        )


class _Count(t.NamedTuple):
    """How far a stage was at a time."""

    at: float
    ended: int
    tokens: int

    @classmethod
    def of(cls, current: Run) -> _Count:
        return cls(clock(), current.completed + current.errors, current.tokens)
