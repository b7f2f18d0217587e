# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One stage of load: when requests are sent, and what is known when they have ended."""

from __future__ import annotations

import abc
import asyncio
import itertools
import math
import time
import typing as t
from collections.abc import Callable

from ..errors import BenchError
from ..records import Record
from ..stages import Histogram, StageFacts
from ..workload import Stage, Workload
from .http import Client, Exchange, Heads, clock
from .plan import Plan, Question
from .protocols import Protocol

#: An open loop goes on for so long after its window when it is late: a second, or a part of the window.
_GRACE = 1.0
_GRACE_SHARE = 0.05
#: So many requests are sent before answers are looked at again.
_AT_ONCE = 32
#: A slot of a closed loop waits so long after an error, unless the server says how long.
_PAUSE = 0.1


class Sender:
    """Makes requests of questions, and records of what came of them."""

    def __init__(self, workload: Workload, client: Client, heads: Heads, *, run_id: str, origin: float) -> None:
        self._workload = workload
        self._client = client
        self._heads = heads
        self._protocol = Protocol(workload)
        self._run_id = run_id
        self._origin = origin

    def send(self, question: Question, name: str, scheduled: float, on_end: Callable[[Exchange], None]) -> None:
        """Ask now. ``name`` says which request of the run it is."""
        body = self._protocol.body(question.prompt, question.output_tokens)
        head = self._heads.post(self._protocol.path, len(body), f"{self._run_id}-{name}")
        self._client.send(Exchange(head, body, self._protocol.reader(), on_end, scheduled))

    def record(self, exchange: Exchange, question: Question, place: tuple[int, int, int], gaps: list[float]) -> Record:
        """What is kept of a request. ``place`` is stage, repeat and number, ``gaps`` are those between its tokens."""
        answer, workload = exchange.answer, self._workload
        stage, repeat, seq = place
        first = answer.times[0] if answer.times and workload.stream else None
        ordered = sorted(gaps)
        e2e = exchange.ended - exchange.begun
        ttft = first - exchange.begun if first is not None else None
        osl = answer.tokens
        return Record(
            run_id=self._run_id,
            stage=stage,
            repeat=repeat,
            seq=seq,
            t_scheduled=round(exchange.scheduled - self._origin, 6),
            t_start=round(exchange.begun - self._origin, 6),
            t_end=round(exchange.ended - self._origin, 6),
            t_first=None if first is None else round(first - self._origin, 6),
            isl=question.input_tokens if answer.prompt_tokens is None else answer.prompt_tokens,
            osl=osl,
            osl_server=answer.completion_tokens,
            ttft_ms=None if ttft is None else _ms(ttft),
            tpot_ms=_ms((e2e - ttft) / (osl - 1)) if ttft is not None and osl > 1 else None,
            itl_mean_ms=round(sum(gaps) / len(gaps), 3) if gaps else None,
            itl_p50_ms=_rank(ordered, 0.5),
            itl_p99_ms=_rank(ordered, 0.99),
            itl_max_ms=_rank(ordered, 1.0),
            itl_ms=[round(gap, 3) for gap in gaps] if workload.keep_itl else None,
            e2e_ms=_ms(e2e),
            ok=not exchange.error,
            status=exchange.status,
            error=exchange.error,
            message=self._heads.hide(exchange.message).replace(question.prompt, "...")[:200],
            model=answer.model or workload.model,
            finish_reason=answer.finish_reason,
            schedule_delay_ms=_ms(exchange.begun - exchange.scheduled),
            prompt=question.prompt if workload.keep_text else None,
            answer="".join(answer.texts) if workload.keep_text else None,
        )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _rank(ordered: list[float], share: float) -> float | None:
    """The value that this share of all does not exceed."""
    return round(ordered[math.ceil(share * len(ordered)) - 1], 3) if ordered else None


class Run(abc.ABC):
    """What the two kinds of a stage have in common. ``keep`` is given each record, in the order of their ends."""

    def __init__(
        self,
        plan: Plan,
        sender: Sender,
        client: Client,
        *,
        name: tuple[int, int],
        limit: int,
        keep: Callable[[Record], None],
    ) -> None:
        self._plan = plan
        self._sender = sender
        self._client = client
        self._name = name
        self._limit = limit
        self._keep = keep
        self._loop = asyncio.get_running_loop()
        self._done = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._failure: BenchError | None = None
        self._sending = True
        self._delays = Histogram()
        self._itl = Histogram()
        self._begun = self._ended = clock()
        self._cpu = time.process_time()
        self.sent = 0
        self.completed = 0
        self.errors = 0
        self.cancelled = 0
        self.tokens = 0
        self._held_back = 0
        self._in_flight_max = 0

    @property
    def in_flight(self) -> int:
        return len(self._client.active)

    @abc.abstractmethod
    def remaining(self) -> float | None:
        """Seconds until the last request is to be sent; None when that depends on the server."""

    @abc.abstractmethod
    def _begin(self) -> None:
        """Send the first requests, or see to it that they are."""

    @abc.abstractmethod
    def _go_on(self, exchange: Exchange) -> None:
        """A request has ended."""

    async def run(self) -> None:
        """From the first request to the last answer.

        :raises BenchError: a record cannot be kept.
        """
        self._begun, self._cpu = clock(), time.process_time()
        self._begin()
        await self._done.wait()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Send no more, and give up what is under way."""
        self._stop_sending()
        self._client.cancel_all("the run was stopped")
        self._done.set()

    def facts(self, stage: Stage, arrival: str, origin: float) -> StageFacts:
        """What is known of the stage now that it has ended."""
        window = self._ended - self._begun
        index, repeat = self._name
        return StageFacts(
            stage=index,
            repeat=repeat,
            kind=stage.kind,
            asked=stage.asked,
            arrival=arrival if stage.kind == "rate" else "closed",
            t_begin=round(self._begun - origin, 6),
            t_end=round(self._ended - origin, 6),
            sent=self.sent,
            completed=self.completed,
            in_flight_max=self._in_flight_max,
            held_back=self._held_back,
            cancelled=self.cancelled,
            generator_cpu=round(self._cpu / window, 4) if window > 0 else None,
            schedule_delay_p50_ms=self._delays.percentile(0.5),
            schedule_delay_p99_ms=self._delays.percentile(0.99),
            itl=self._itl,
        )

    def _send(self, scheduled: float) -> None:
        question, seq = self._plan.question(), self.sent
        index, repeat = self._name
        self.sent += 1

        def ended(exchange: Exchange) -> None:
            self._ended_one(exchange, question, seq)

        self._sender.send(question, f"{index}-{repeat}-{seq}", scheduled, ended)
        self._in_flight_max = max(self._in_flight_max, self.in_flight)

    def _ended_one(self, exchange: Exchange, question: Question, seq: int) -> None:
        times = exchange.answer.times
        gaps = [(after - before) * 1000 for before, after in itertools.pairwise(times)]
        record = self._sender.record(exchange, question, (*self._name, seq), gaps)
        for gap in gaps:
            self._itl.add(gap)
        self._delays.add(record.schedule_delay_ms)
        self.tokens += record.osl
        self.completed += record.ok
        self.cancelled += record.error == "cancelled"
        self.errors += not record.ok
        try:
            self._keep(record)
        except BenchError as error:
            self._failure = self._failure or error
            self._stop_sending()
            self._done.set()
            return
        self._go_on(exchange)
        if not self._sending and not self.in_flight:
            self._done.set()

    def _stop_sending(self, at: float | None = None) -> None:
        if not self._sending:
            return
        self._sending = False
        self._ended = clock() if at is None else at
        self._cpu = time.process_time() - self._cpu
        if self._timer is not None:
            self._timer.cancel()
        if not self.in_flight:
            self._done.set()


class OpenLoop(Run):
    """Sends by the clock, whatever comes back: a slow server does not slow the load down."""

    def __init__(self, stage: Stage, arrival: str, plan: Plan, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(plan, *args, **kwargs)
        self._offsets = plan.arrivals(stage, arrival)
        self._window = len(self._offsets) / stage.asked
        self._waiting = False

    def remaining(self) -> float | None:
        return max(0.0, self._begun + self._window - clock()) if self._sending else 0.0

    def _begin(self) -> None:
        self._tick()

    def _tick(self) -> None:
        """Send what is due, and come back when the next one is."""
        self._timer = None
        if not self._sending:
            return
        now, total = clock(), len(self._offsets)
        if now > self._begun + self._window + max(_GRACE, _GRACE_SHARE * self._window):
            self._stop_sending()  # too late for what is left
            return
        for _number in range(_AT_ONCE):
            if self.sent == total:
                end = self._begun + self._window
                if clock() >= end:
                    self._stop_sending(max(end, self._begun + self._offsets[-1]))
                else:
                    self._timer = self._loop.call_at(end, self._tick)
                return
            due = self._begun + self._offsets[self.sent]
            if due > now:
                self._timer = self._loop.call_at(due, self._tick)
                return
            if self.in_flight >= self._limit:
                self._held_back += not self._waiting
                self._waiting = True
                return
            self._waiting = False
            self._send(due)
        self._timer = self._loop.call_at(now, self._tick)

    def _go_on(self, exchange: Exchange) -> None:
        if self._waiting and self._timer is None:
            self._tick()


class ClosedLoop(Run):
    """Keeps a number of requests in flight: the next one is sent when an answer has ended."""

    def __init__(self, stage: Stage, plan: Plan, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(plan, *args, **kwargs)
        self._slots = int(stage.asked)
        self._duration = stage.duration
        self._requests = stage.requests

    def remaining(self) -> float | None:
        if not self._sending:
            return 0.0
        return None if self._duration is None else max(0.0, self._begun + self._duration - clock())

    def _begin(self) -> None:
        if self._duration is not None:
            self._timer = self._loop.call_at(self._begun + self._duration, self._stop_sending)
        for _slot in range(min(self._slots, self._limit)):
            self._next(clock())

    def _go_on(self, exchange: Exchange) -> None:
        if not exchange.error:
            # Not at once: this is called while the data of other connections wait to be timed.
            self._loop.call_soon(self._next, exchange.ended)
            return
        # An endpoint that refuses at once would be asked again without end.
        pause = _PAUSE if exchange.retry_after is None else exchange.retry_after
        at = clock() + pause
        self._loop.call_at(at, self._next, at)

    def _next(self, scheduled: float) -> None:
        if self._sending and (self._requests is None or self.sent < self._requests):
            self._send(scheduled)
        if self._sending and self._requests is not None and self.sent >= self._requests:
            self._stop_sending()
