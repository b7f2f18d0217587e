# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the module inference_benchmark does with its options: look, load, report, judge."""

from __future__ import annotations

import dataclasses
import datetime
import errno
import os
import secrets
import signal
import threading
import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.modelops.serving.plugins.module_utils._bench import compare, results
from ansible_collections.modelops.serving.plugins.module_utils._bench.builtin import preflight, run
from ansible_collections.modelops.serving.plugins.module_utils._bench.errors import (
    EndpointError,
    InputError,
    StoppedError,
    StorageError,
)
from ansible_collections.modelops.serving.plugins.module_utils._bench.records import storage_error
from ansible_collections.modelops.serving.plugins.module_utils._bench.report_data import key_of
from ansible_collections.modelops.serving.plugins.module_utils._bench.sinks import index, rows
from ansible_collections.modelops.serving.plugins.module_utils._bench.workload import Workload, read_dataset
from ansible_collections.modelops.serving.plugins.module_utils._doors import ProgressFile
from ansible_collections.modelops.serving.plugins.module_utils._measure import gate, options
from ansible_collections.modelops.serving.plugins.module_utils._measure.figures import figures
from ansible_collections.modelops.serving.plugins.module_utils._measure.status import Status

Result: t.TypeAlias = "dict[str, t.Any]"


class Door:
    """One call of the module. ``result`` is what is known so far, also when it fails."""

    def __init__(self, module: AnsibleModule) -> None:
        self._module = module
        self._params = module.params
        self.result: Result = {"changed": False}
        self._access: dict[str, t.Any] = {
            "api_key": self._params["api_key"],
            "ca_bundle": self._params["ca_bundle"],
            "verify": self._params["validate_certs"],
        }

    def benchmark(self) -> Result:
        """Run the benchmark, or in check mode see that it could be run.

        :raises InputError: options cannot be, or the dataset cannot be read; nothing was sent.
        :raises EndpointError: the endpoint is missing, refuses, or answers without tokens.
        :raises StorageError: the results cannot be written.
        :raises StoppedError: the module was told to end; what was measured is reported.
        :raises GateError: the run was made, and did not pass.
        """
        params, check = self._params, self._module.check_mode
        workload = options.workload_of(params)
        if workload.data.type == "jsonl":
            workload = workload.pinned(read_dataset(workload.data))
        options.check_gates(params)
        folder = Path(params["results"]).absolute()
        run_id = params["run_id"] or _new_run_id()
        _check_place(folder / run_id)
        baseline = self._baseline(folder, workload)

        show = self._show()
        looked = preflight.preflight(workload, **self._access, complete=not check)
        show(f"{workload.endpoint} answers, round trip {looked.round_trip_ms:.1f} ms")
        self.result["preflight"] = dataclasses.asdict(looked)
        self.result["changed"] = True
        if not check:
            self.result["run_id"] = run_id
            self._load(workload, folder, Status(workload, show, params["interval"]))
            self._judge(baseline)
        return self.result

    def _show(self) -> t.Callable[[str], None]:
        path = self._params["progress_file"]
        if not path or self._module.check_mode:
            return lambda _text: None
        write = ProgressFile(path, self._module.warn)
        return lambda text: write({"text": text})

    def _baseline(self, folder: Path, workload: Workload) -> Result | None:
        """The run to compare with, looked for before anything is sent.

        The first runs have no last good one, which must not keep them from being made.
        """
        wanted = self._params["baseline"]
        if not wanted:
            return None
        earlier = results.summaries(folder)
        this = {"run_id": "this one", "key": key_of(workload, options.about_of(self._params))}
        if wanted != "last_good":
            found = compare.find(earlier, wanted)
            compare.compare({**this, "stages": []}, found)  # refuses what cannot be compared
            return dict(found)
        good = [one for one in earlier if one["verdict"] == "passed" and not compare.differences(one, this)]
        if not good:
            self._module.warn(f"No run in {folder} that is like this one has passed yet: there is no last good one.")
            return None
        return dict(compare.find(good, wanted))

    def _load(self, workload: Workload, folder: Path, status: Status) -> None:
        run_id = self.result["run_id"]
        try:
            run.run(workload, folder, run_id=run_id, stop=_stop_on_signals(), report=status, **self._access)
        except StoppedError:
            self._cut_off(folder / run_id)
            raise
        finally:
            self.result["folder"] = str(folder / run_id)

    def _cut_off(self, place: Path) -> None:
        """A report of what was measured, if anything was."""
        try:
            self._report(place)
        except InputError:
            self._module.warn(f"The run in {place} ended before its first request.")

    def _report(self, place: Path, baseline: Result | None = None) -> Result:
        about = options.about_of(self._params)
        about["round_trip_ms"] = self.result["preflight"]["round_trip_ms"]
        summary = results.report(
            place,
            about=about,
            earlier=results.summaries(place.parent),
            baseline=baseline["run_id"] if baseline else "",
            warn=self._module.warn,
        )
        try:
            index.write(place.parent, rows.read(place))
        except StorageError as error:
            self._module.warn(f"The run is whole, but not in the index of its folder: {error}")
        self.result |= {
            "report": str(place / "index.html"),
            "junit": str(place / "junit.xml"),
            "stopped": summary["stopped"],
            "slo": summary["slo"],
            "stages": [figures(stage) for stage in summary["stages"]],
        }
        return summary

    def _judge(self, baseline: Result | None) -> None:
        summary = self._report(Path(self.result["folder"]), baseline)
        comparison = None
        if baseline:
            comparison = {"baseline": baseline["run_id"], "deltas": compare.compare(summary, baseline)}
            self.result["comparison"] = comparison
        outcome = gate.judge(summary, comparison, self._params["fail_on"], self._params["tolerance"])
        self.result |= {"verdict": outcome.verdict, "canary_verdict": outcome.canary}
        unanswered = gate.failures(summary)
        if unanswered:
            raise EndpointError(unanswered, hint=f"Look at the log of the server, and at {self.result['report']}.")
        if outcome.reasons:
            raise gate.GateError(
                f"The benchmark of {self._params['endpoint']} did not pass. {gate.in_short(outcome.reasons)}",
                hint=f"See {self.result['report']}.",
            )


def _new_run_id() -> str:
    now = datetime.datetime.now(datetime.timezone.utc)
    return f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def _check_place(place: Path) -> None:
    """Could the folder of the run be made? Asked before any load, without writing.

    :raises StorageError: it is there already, or cannot be made.
    """
    if os.path.lexists(place):
        raise storage_error(place, FileExistsError(errno.EEXIST, ""))
    # Path.exists() raises where a folder above must not be looked into.
    there = next(folder for folder in place.parents if os.path.exists(folder))
    if not os.path.isdir(there):
        raise storage_error(place, NotADirectoryError(errno.ENOTDIR, ""))
    if not os.access(there, os.W_OK | os.X_OK):
        raise storage_error(place, PermissionError(errno.EACCES, ""))


def _stop_on_signals() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_args: stop.set())
    return stop
