# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Is there anything to measure? Asked before a run, with one real completion."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import typing as t
from urllib.parse import quote

from ..errors import EndpointError
from ..workload import Workload, read_dataset
from .http import Address, Client, Exchange, Heads, clock, tls_context
from .plan import Plan
from .protocols import Answer, Protocol

_LOOKS = 3
_TOKENS = 4
_TRIES = 3
_WATCH = 0.1


@dataclasses.dataclass(frozen=True)
class Preflight:
    """What the endpoint has said. Times are milliseconds."""

    #: Names of the models that are served; None where the protocol has no such list.
    models: tuple[str, ...] | None
    #: The shortest time from a small question to the end of its answer, on a connection that is there.
    round_trip_ms: float
    #: Of one completion: its tokens, and the time until all were there. None when none was asked for.
    tokens: int | None = None
    completion_ms: float | None = None


class _Body:
    """Keeps the body of an answer."""

    def __init__(self) -> None:
        self.answer = Answer(completion_tokens=1)  # it is no completion, so that it needs no tokens
        self.data = b""

    def feed(self, data: bytes, now: float) -> None:
        self.data += data

    def finish(self) -> None:
        """Whoever asked looks at it."""


def preflight(
    workload: Workload,
    *,
    api_key: str | None = None,
    ca_bundle: str | None = None,
    verify: bool = True,
    complete: bool = True,
) -> Preflight:
    """Ask the endpoint for its models where it can tell, and with ``complete`` for one completion of a few tokens.

    :raises InputError: the dataset, the key or the CA bundle cannot be used.
    :raises EndpointError: the endpoint does not answer, refuses, does not serve the model, or answers without tokens.
    """
    address = Address.of(workload.endpoint)
    heads = Heads(address, workload.headers, api_key)
    client = Client(
        address,
        context=tls_context(address, ca_bundle, verify=verify),
        connect_timeout=workload.connect_timeout,
        request_timeout=workload.request_timeout,
        stall_timeout=workload.stall_timeout,
    )
    dataset = read_dataset(workload.data) if workload.data.type == "jsonl" else None
    prompt = Plan(workload, dataset, 0, -1).question().prompt
    return asyncio.run(_Check(workload, client, heads).all(prompt if complete else None))


class _Check:
    """The questions, one after the other."""

    def __init__(self, workload: Workload, client: Client, heads: Heads) -> None:
        self._workload = workload
        self._client = client
        self._heads = heads

    async def all(self, prompt: str | None) -> Preflight:
        await self._client.resolve()
        try:
            models, round_trip = await self._look()
            self._check_model(models)
            exchange = None if prompt is None else await self._complete(prompt)
        finally:
            self._client.close()
            await asyncio.sleep(0)  # lets the connections end that have just been dropped
        looked = Preflight(models, round(round_trip * 1000, 3))
        if exchange is None:
            return looked
        took = (exchange.ended - exchange.begun) * 1000
        return dataclasses.replace(looked, tokens=exchange.answer.tokens, completion_ms=round(took, 3))

    async def _look(self) -> tuple[tuple[str, ...] | None, float]:
        """Small questions, whose answers need no accelerator."""
        path = {"jetstream": "/healthcheck", "saxml": f"/listcell?model_id={quote(self._workload.model, safe='')}"}.get(
            self._workload.protocol, "/v1/models"
        )
        times, body = [], b""
        for _number in range(_LOOKS):
            reader = _Body()
            exchange = await self._ask(Exchange(self._heads.get(path), b"", reader, lambda _exchange: None))
            # Some proxies pass on completions and nothing else.
            if exchange.error and exchange.status not in {403, 404, 405}:
                raise self._refused(exchange, path)
            times.append(exchange.ended - exchange.begun)
            body = reader.data
        return (_models(body) if path == "/v1/models" else None), min(times)

    def _check_model(self, models: tuple[str, ...] | None) -> None:
        if models and self._workload.model not in models:
            raise EndpointError(
                f"{self._workload.endpoint} does not serve the model {self._workload.model!r}.",
                hint=f"It serves: {', '.join(models[:20])}.",
            )

    async def _complete(self, prompt: str) -> Exchange:
        protocol = Protocol(self._workload)
        body = protocol.body(prompt, _TOKENS)
        head = self._heads.post(protocol.path, len(body), "preflight")
        for _number in range(_TRIES):
            exchange = await self._ask(Exchange(head, body, protocol.reader(), lambda _exchange: None))
            # A model may end its answer at once by chance.
            if exchange.error != "no_tokens":
                break
        if exchange.error:
            exchange.message = exchange.message.replace(prompt, "...")
            raise self._refused(exchange, protocol.path)
        return exchange

    async def _ask(self, exchange: Exchange) -> Exchange:
        done = asyncio.Event()
        exchange.on_end = lambda _exchange: done.set()
        exchange.scheduled = clock()
        self._client.send(exchange)
        while not done.is_set():
            try:
                await asyncio.wait_for(done.wait(), _WATCH)
            except asyncio.TimeoutError:
                self._client.check_limits()
        return exchange

    def _refused(self, exchange: Exchange, path: str) -> EndpointError:
        url, status = f"{self._workload.endpoint}{path}", exchange.status
        said = self._heads.hide(exchange.message).rstrip(".")
        if exchange.error == "http" and status in {401, 403}:
            return EndpointError(f"{url} refuses with status {status}: {said}.", hint="Check the API key.")
        if exchange.error == "http":
            hint = (
                "Check the model, the protocol and the URL of the endpoint."
                if status in {400, 404, 405, 422}
                else ("Look at the log of the server.")
            )
            return EndpointError(f"{url} answers with status {status}: {said}.", hint=hint)
        if exchange.error == "connect":
            return EndpointError(
                f"Nothing can be reached at {self._workload.endpoint}: {said}.",
                hint="Check the URL, that the server is up, and the way to it from here.",
            )
        if exchange.error == "no_tokens":
            return EndpointError(
                f"{url} answers with status {status}, but without tokens.",
                hint="Check that the model generates text, and that the protocol is the server's.",
            )
        return EndpointError(f"{url} does not answer as it should: {said}.", hint="Check the protocol, and the server.")


def _models(body: bytes) -> tuple[str, ...] | None:
    """From OpenAI's list of models; None when it is something else."""
    try:
        said: t.Any = json.loads(body)
        return tuple(str(model["id"]) for model in said["data"])
    except (ValueError, TypeError, KeyError):
        return None
