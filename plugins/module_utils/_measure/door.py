# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the module inference_benchmark does with its options: look, load, report, judge."""

from __future__ import annotations

import dataclasses
import signal
import threading
import time
import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.modelops.serving.plugins.module_utils._bench import server_metrics
from ansible_collections.modelops.serving.plugins.module_utils._bench.builtin import preflight, run
from ansible_collections.modelops.serving.plugins.module_utils._bench.errors import StoppedError
from ansible_collections.modelops.serving.plugins.module_utils._bench.workload import Workload
from ansible_collections.modelops.serving.plugins.module_utils._doors import progress_lines
from ansible_collections.modelops.serving.plugins.module_utils._measure.runs import (
    Result,
    Runs,
    check_place,
    new_run_id,
)
from ansible_collections.modelops.serving.plugins.module_utils._measure.status import Status


class Door:
    """One call of the module. ``result`` is what is known so far, also when it fails."""

    def __init__(self, module: AnsibleModule) -> None:
        self._module = module
        self._params = module.params
        self.result: Result = {"changed": False}
        self._runs = Runs(module, self.result)
        self._access: dict[str, t.Any] = {
            "api_key": self._params["api_key"],
            "ca_bundle": self._params["ca_bundle"],
            "verify": self._params["validate_certs"],
        }

    def benchmark(self) -> Result:
        """Run the benchmark, or in check mode see that it could be run.

        :raises InputError: options cannot be, or the dataset cannot be read; nothing was sent.
        :raises EndpointError: the endpoint is missing, refuses, or answers without tokens; the metrics cannot be read.
        :raises StorageError: the results cannot be written.
        :raises StoppedError: the module was told to end; what was measured is reported.
        :raises GateError: the run was made, and did not pass.
        """
        params, check = self._params, self._module.check_mode
        workload = self._runs.workload()
        place = self._runs.folder / (params["run_id"] or new_run_id())
        check_place(place)
        baseline = self._runs.baseline(workload)
        servers = server_metrics.Servers(
            params["server_metrics"], ca_bundle=params["ca_bundle"], verify=params["validate_certs"]
        )

        show = progress_lines(self._module) or (lambda _text: None)
        servers.look()
        looked = preflight.preflight(workload, **self._access, complete=not check)
        show(f"{workload.endpoint} answers, round trip {looked.round_trip_ms:.1f} ms")
        self.result["preflight"] = dataclasses.asdict(looked)
        self.result["changed"] = True
        if not check:
            self.result["run_id"] = place.name
            self._load(workload, place, servers, Status(workload, show, params["interval"]))
            self._runs.judge(place, baseline)
        return self.result

    def _load(self, workload: Workload, place: Path, servers: server_metrics.Servers, status: Status) -> None:
        shared: dict[str, t.Any] = {"run_id": place.name, "stop": _stop_on_signals(), "origin": time.monotonic()}
        try:
            with server_metrics.Sampler(servers, place / server_metrics.FILE, shared["origin"]) as sampler:
                run.run(
                    workload,
                    place,
                    report=lambda progress: status(sampler.last.of(progress)),
                    **shared,
                    **self._access,
                )
        except StoppedError:
            self._runs.report_cut_off(place)
            raise
        finally:
            self.result["folder"] = str(place)


def _stop_on_signals() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_args: stop.set())
    return stop
