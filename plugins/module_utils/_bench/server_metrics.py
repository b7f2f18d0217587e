# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What servers say of themselves while they are under load: requests that run and that wait, use of the KV cache.

Their metrics are Prometheus text, https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format.
Several servers, and several series of one (engines of vLLM, slots of JetStream), are told as one.
"""

from __future__ import annotations

import dataclasses
import http.client
import json
import math
import re
import ssl
import threading
import time
import typing as t
from pathlib import Path
from urllib.parse import urlsplit

from .builtin.http import Address, tls_context
from .builtin.run import Progress
from .errors import BenchError, EndpointError, InputError
from .records import storage_error

FILE = "server.jsonl"
#: Seconds: between two looks, and for one of them.
INTERVAL = 1.0
_TIMEOUT = 5.0
#: Servers of models have far less to tell.
_LARGEST = 1 << 23

#: By field, the names of its metric; of several that a server has, only the first counts.
#: vLLM, vllm/v1/metrics/loggers.py; gpu_cache_usage_perc is its older name.
#: JetStream, jetstream/core/metrics/prometheus.py. A slot holds the KV cache of one request.
#: llama.cpp, tools/server/README.md; newer versions do not tell of the cache.
_METRICS = {
    "running": ("vllm:num_requests_running", "llamacpp:requests_processing"),
    "waiting": ("vllm:num_requests_waiting", "jetstream_prefill_backlog_size", "llamacpp:requests_deferred"),
    "kv_used": (
        *("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
        *("jetstream_slots_used_percentage", "llamacpp:kv_cache_usage_ratio"),
    ),
}
_KNOWN = frozenset(name for names in _METRICS.values() for name in names)
#: Name, labels (whose values may hold braces), value; a time may follow.
_SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\})?[ \t]+(\S+)')


@dataclasses.dataclass(frozen=True)
class Sample:
    """What servers say at one time; None where none of them says it."""

    #: Requests.
    running: float | None = None
    waiting: float | None = None
    #: Share of the KV cache, from 0 to 1.
    kv_used: float | None = None

    def of(self, progress: Progress) -> Progress:
        """The progress of a run together with what its servers say."""
        return dataclasses.replace(progress, server_running=self.running, server_waiting=self.waiting)


def parse(*texts: str) -> Sample:
    """The metrics of all servers together: requests add up, of the caches it is the mean."""
    series = [_series(text) for text in texts]
    found = {field: [value for one in series for value in _first(one, names)] for field, names in _METRICS.items()}
    running, waiting, kv_used = found["running"], found["waiting"], found["kv_used"]
    return Sample(
        running=sum(running) if running else None,
        waiting=sum(waiting) if waiting else None,
        kv_used=round(sum(kv_used) / len(kv_used), 6) if kv_used else None,
    )


def _series(text: str) -> dict[str, list[float]]:
    """The values of the metrics that are known, one per series."""
    found: dict[str, list[float]] = {}
    for line in text.splitlines():
        match = _SAMPLE.match(line)
        if match and match[1] in _KNOWN:
            try:
                value = float(match[2])
            except ValueError:
                continue
            if math.isfinite(value):
                found.setdefault(match[1], []).append(value)
    return found


def _first(series: t.Mapping[str, list[float]], names: t.Iterable[str]) -> list[float]:
    return next((series[name] for name in names if name in series), [])


class Servers:
    """Where to look. Certificates are verified as those of the endpoint are; its API key is not sent.

    :raises InputError: a URL is none, or the CA bundle cannot be read.
    """

    def __init__(self, urls: t.Sequence[str], *, ca_bundle: str | None = None, verify: bool = True) -> None:
        self._places = [(url, _context(url, ca_bundle, verify=verify)) for url in urls]

    def __bool__(self) -> bool:
        return bool(self._places)

    def look(self) -> Sample:
        """One sample of all servers, which is empty without any.

        :raises EndpointError: one of them does not answer, or tells nothing that is known.
        """
        texts = []
        for url, context in self._places:
            texts.append(_get(url, context))
            if parse(texts[-1]) == Sample():
                raise EndpointError(
                    f"{url} has no metric of vLLM, JetStream or llama.cpp.",
                    hint="Give the URL of the metrics, such as http://server:8000/metrics.",
                )
        return parse(*texts)


def _context(url: str, ca_bundle: str | None, *, verify: bool) -> ssl.SSLContext | None:
    try:
        split = urlsplit(url)
        named = split.scheme in {"http", "https"} and split.hostname and split.username is None and split.port != 0
    except ValueError:
        named = False
    if not named:
        raise InputError(
            "One of server_metrics is no URL of http or https, or holds a user.",
            hint="Give such as http://server:8000/metrics.",
        )
    return tls_context(Address.of(url), ca_bundle, verify=verify)


def _get(url: str, context: ssl.SSLContext | None) -> str:
    split = urlsplit(url)
    host, port = split.hostname or "", split.port
    if context is None:
        connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT)
    else:
        connection = http.client.HTTPSConnection(host, port, timeout=_TIMEOUT, context=context)
    try:
        connection.request("GET", f"{split.path or '/'}{'?' if split.query else ''}{split.query}")
        response = connection.getresponse()
        body = response.read(_LARGEST)
    except (OSError, http.client.HTTPException) as error:
        cause = str(error) or type(error).__name__
        raise EndpointError(
            f"The metrics at {url} cannot be read: {cause}.", hint="Check the URL, or leave server_metrics empty."
        ) from error
    finally:
        connection.close()
    if response.status != 200:
        raise EndpointError(
            f"The metrics at {url} are answered with status {response.status}.",
            hint="Check the URL, or leave server_metrics empty.",
        )
    return body.decode(errors="replace")


def _created(path: Path) -> t.TextIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("x", encoding="utf-8", buffering=1)


class Sampler:
    """Looks at servers again and again, in a thread, and writes what they say to a file.

    A time at which one of them does not answer has no sample: the others alone would look like all of them.

    :param origin: the reading of the monotonic clock that the times of samples count from.
    :raises StorageError: the file cannot be written.
    """

    def __init__(self, servers: Servers, path: Path, origin: float, *, interval: float = INTERVAL) -> None:
        self.last = Sample()
        self._servers = servers
        self._origin = origin
        self._interval = interval
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        try:
            self._file = _created(path) if servers else None
        except OSError as error:
            raise storage_error(path, error) from error

    def __enter__(self) -> Sampler:
        if self._file:
            self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._file:
            self._over.set()
            self._thread.join(self._interval)
            # One that hangs in a look is left to itself.
            if not self._thread.is_alive():
                self._file.close()

    def _watch(self) -> None:
        due = time.monotonic()
        while not self._over.wait(max(0.0, due - time.monotonic())):
            due = max(due + self._interval, time.monotonic())
            at = time.monotonic() - self._origin
            try:
                self.last = self._servers.look()
                self._keep(at)
            except (BenchError, OSError):
                # Neither a server that is too busy nor a full disk, which the records will tell of, ends a run.
                self.last = Sample()

    def _keep(self, at: float) -> None:
        if self._file:
            self._file.write(json.dumps({"t": round(at, 3), **dataclasses.asdict(self.last)}) + "\n")
