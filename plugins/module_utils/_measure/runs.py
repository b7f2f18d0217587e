# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The folder of all results, for a module that makes a run in it: is there room, what is it compared with, does it pass?"""

from __future__ import annotations

import datetime
import errno
import os
import secrets
import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.modelops.serving.plugins.module_utils._bench import compare, results
from ansible_collections.modelops.serving.plugins.module_utils._bench.errors import (
    EndpointError,
    InputError,
    StorageError,
)
from ansible_collections.modelops.serving.plugins.module_utils._bench.records import storage_error
from ansible_collections.modelops.serving.plugins.module_utils._bench.report_data import key_of
from ansible_collections.modelops.serving.plugins.module_utils._bench.sinks import index, rows
from ansible_collections.modelops.serving.plugins.module_utils._bench.workload import Workload, read_dataset
from ansible_collections.modelops.serving.plugins.module_utils._measure import gate, options
from ansible_collections.modelops.serving.plugins.module_utils._measure.figures import figures

Result: t.TypeAlias = "dict[str, t.Any]"


class Runs:
    """The runs in the folder of the option ``results``.

    :param result: of the module, which gets what is known of the run.
    """

    def __init__(self, module: AnsibleModule, result: Result) -> None:
        self._module = module
        self._params = module.params
        self._result = result
        self.folder = Path(module.params["results"]).absolute()

    def workload(self) -> Workload:
        """What is asked for, with the content of its dataset as part of it.

        :raises InputError: options cannot be, or the dataset cannot be read.
        """
        workload = options.workload_of(self._params)
        if workload.data.type == "jsonl":
            workload = workload.pinned(read_dataset(workload.data))
        options.check_gates(self._params)
        return workload

    def baseline(self, workload: Workload) -> Result | None:
        """The run to compare with, looked for before anything is sent.

        The first runs have no last good one, which must not keep them from being made.
        """
        wanted = self._params["baseline"]
        if not wanted:
            return None
        earlier = results.summaries(self.folder)
        this = {"run_id": "this one", "key": key_of(workload, options.about_of(self._params))}
        if wanted != "last_good":
            found = compare.find(earlier, wanted)
            compare.compare({**this, "stages": []}, found)  # refuses what cannot be compared
            return dict(found)
        good = [one for one in earlier if one["verdict"] == "passed" and not compare.differences(one, this)]
        if not good:
            self._module.warn(
                f"No run in {self.folder} that is like this one has passed yet: there is no last good one."
            )
            return None
        return dict(compare.find(good, wanted))

    def report_cut_off(self, place: Path) -> None:
        """A report of what was measured, if anything was."""
        try:
            self._report(place)
        except InputError:
            self._module.warn(f"The run in {place} ended before its first request.")

    def judge(self, place: Path, baseline: Result | None) -> None:
        """Report the run, and see whether it passes.

        :raises EndpointError: nothing was answered.
        :raises GateError: the run was made, and did not pass.
        """
        summary = self._report(place, baseline)
        comparison = None
        if baseline:
            comparison = {"baseline": baseline["run_id"], "deltas": compare.compare(summary, baseline)}
            self._result["comparison"] = comparison
        outcome = gate.judge(summary, comparison, self._params["fail_on"], self._params["tolerance"])
        self._result |= {"verdict": outcome.verdict, "canary_verdict": outcome.canary}
        unanswered = gate.failures(summary)
        if unanswered:
            raise EndpointError(unanswered, hint=f"Look at the log of the server, and at {self._result['report']}.")
        if outcome.reasons:
            raise gate.GateError(
                f"The benchmark of {self._params['endpoint']} did not pass. {gate.in_short(outcome.reasons)}",
                hint=f"See {self._result['report']}.",
            )

    def _report(self, place: Path, baseline: Result | None = None) -> Result:
        about = options.about_of(self._params)
        if "preflight" in self._result:
            about["round_trip_ms"] = self._result["preflight"]["round_trip_ms"]
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
        self._result |= {
            "report": str(place / "index.html"),
            "junit": str(place / "junit.xml"),
            "stopped": summary["stopped"],
            "slo": summary["slo"],
            "search": summary["search"],
            "stages": [figures(stage) for stage in summary["stages"]],
        }
        return summary


def new_run_id() -> str:
    """A name for a run, made of the time."""
    now = datetime.datetime.now(datetime.timezone.utc)
    return f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def check_place(place: Path) -> None:
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
