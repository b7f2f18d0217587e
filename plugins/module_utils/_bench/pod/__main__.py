# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a Pod of a benchmark runs: ``python3 -m modelops_bench.pod FILES RESULTS``.

``FILES/plan.json`` is ``{engine, workload, engine_plan, server_metrics, preflight, start_timeout, collect_timeout}``
and may have ``verify`` and ``image``. The Pod asks whether the endpoint answers, waits until it is told when the load
begins, sends the load, and waits until its results were collected. The API key comes from the environment.

Standard output is one JSON object per line: ``{"event": "ready", "preflight"}`` or ``{"event": "failed", "error"}``,
then ``{"event": "progress", ...}`` with the fields of Progress, and ``{"event": "ended", "status", "error"}``. What a
load tool prints is in ``RESULTS/<engine>.log``; when it fails, the end of it comes on standard error.

Exit status: as that of ``python3 -m modelops_bench``, without its verdicts; 1 when a load tool has failed.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import threading
import time
import traceback
import typing as t
from pathlib import Path

from .. import server_metrics
from .. import workload as workloads
from ..builtin import run as builtin
from ..builtin.http import clock
from ..builtin.preflight import preflight
from ..builtin.run import Progress
from ..engines.engine import API_KEY, PLAN
from ..errors import BenchError, InputError, StartError, StoppedError
from ..server_metrics import Sampler, Servers
from . import signal as signals
from .tool import Tool

_POLL = 0.05
#: Seconds between two lines of progress, beside those that tell of another stage.
_INTERVAL = 5.0
#: Variables that the Downward API of Kubernetes sets, and what environment.json calls them.
_VARIABLES = {"client_pod": "POD_NAME", "client_node": "NODE_NAME", "namespace": "POD_NAMESPACE"}


def tell(event: str, **more: t.Any) -> None:
    """One line for the controller."""
    sys.stdout.write(json.dumps({"event": event, **more}) + "\n")
    sys.stdout.flush()


class Pod:
    """One Pod with its part of the load.

    :raises InputError: the plan cannot be.
    """

    def __init__(self, plan: t.Mapping[str, t.Any], results: Path, stop: threading.Event) -> None:
        self._results = results
        self._stop = stop
        self._about: dict[str, t.Any] = {
            name: os.environ[key] for name, key in _VARIABLES.items() if os.environ.get(key)
        }
        try:
            self._tool_plan = plan["engine_plan"]
            self._start_timeout = float(plan["start_timeout"])
            self._collect_timeout = float(plan["collect_timeout"])
            self._asks_first = plan["preflight"]
            self._verify = plan.get("verify", True)
            self._servers = Servers(plan["server_metrics"], verify=self._verify)
            self._workload = workloads.parse(plan["workload"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{PLAN} is no plan of a Pod: {error!r}.", hint="Take it as it was made.") from error
        if plan.get("image"):
            self._about["client_image"] = plan["image"]
        self._told: tuple[int, int, str] | None = None
        self._due = 0.0

    def look(self) -> dict[str, t.Any] | None:
        """What the endpoint says before it is loaded.

        :raises EndpointError: it is missing, refuses, or answers without tokens, or the metrics cannot be read.
        """
        self._servers.look()
        if not self._asks_first:
            return None
        looked = preflight(self._workload, verify=self._verify, api_key=os.environ.get(API_KEY) or None)
        self._about["round_trip_ms"] = looked.round_trip_ms
        return dataclasses.asdict(looked)

    def wait_for_go(self) -> None:
        """Until the load begins.

        :raises StartError: nobody has said when.
        :raises StoppedError: it is not to begin any more.
        """
        last, path = clock() + self._start_timeout, signals.place(self._results, signals.GO)
        while not path.exists():
            if clock() >= last:
                raise StartError(
                    f"Nobody said within {self._start_timeout:g} s when the load begins.",
                    hint="Look whether the other Pods of the benchmark are ready, and whether its controller runs.",
                )
            self._wait(_POLL)
        try:
            begin = float(path.read_text("utf-8"))
        except ValueError as error:
            raise StartError(f"{path} holds no time.", hint="Write seconds since 1970 into it.") from error
        self._wait(max(0.0, begin - time.time()))

    def _wait(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise StoppedError("The run was stopped before its first request.")

    def load(self) -> None:
        """Send the load.

        :raises BenchError: as the engine does; what was measured is there.
        """
        origin = clock()
        with Sampler(self._servers, self._results / server_metrics.FILE, origin) as sampler:

            def report(progress: Progress) -> None:
                self._tell(progress, sampler.last)

            shared: dict[str, t.Any] = {
                "stop": self._stop,
                "report": report,
                "origin": origin,
                "about": self._about,
            }
            if self._tool_plan is not None:
                Tool(self._tool_plan, self._workload, self._results, **shared).run()
            else:
                builtin.run(
                    self._workload,
                    self._results,
                    run_id=self._about.get("client_pod", "pod"),
                    verify=self._verify,
                    api_key=os.environ.get(API_KEY) or None,
                    **shared,
                )

    def _tell(self, progress: Progress, sample: server_metrics.Sample) -> None:
        here = (progress.repeat, progress.stage, progress.state)
        if here != self._told or clock() >= self._due:
            self._told, self._due = here, clock() + _INTERVAL
            tell("progress", **dataclasses.asdict(sample.of(progress)))

    def wait_for_collection(self) -> None:
        """Until nobody needs this Pod any more. Whoever is to end is not asked to wait less: it may still be collected."""
        last, path = clock() + self._collect_timeout, signals.place(self._results, signals.COLLECTED)
        while not path.exists() and clock() < last:
            time.sleep(_POLL)


def _read(path: Path) -> t.Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}.", hint="Take it as it was made.") from error


def main() -> int:
    """One run, and its exit status."""
    files, results = map(Path, sys.argv[1:])
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_args: stop.set())
    try:
        pod = Pod(_read(files / PLAN), results, stop)
        tell("ready", preflight=pod.look())
        pod.wait_for_go()
    except BenchError as error:
        tell("failed", error=error.as_data())
        return error.status
    try:
        pod.load()
        status, more = 0, {}
    except BenchError as error:
        status, more = error.status, {"error": error.as_data()}
    except Exception as error:  # noqa: BLE001 - what was measured until then is still to be collected
        traceback.print_exc()
        status, more = 1, {"error": {"kind": type(error).__name__, "message": str(error), "hint": ""}}
    tell("ended", status=status, **more)
    pod.wait_for_collection()
    return status


if __name__ == "__main__":
    raise SystemExit(main())
