# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the module inference_benchmark_job does with its options: apply, start all at once, follow, collect, judge."""

from __future__ import annotations

import dataclasses
import shutil
import time
import typing as t
from pathlib import Path

from ansible_collections.modelops.serving.plugins.module_utils._bench import bundle, shards
from ansible_collections.modelops.serving.plugins.module_utils._bench.engines import BUILTIN
from ansible_collections.modelops.serving.plugins.module_utils._bench.errors import BenchError, InputError, StorageError
from ansible_collections.modelops.serving.plugins.module_utils._bench.workload import Workload
from ansible_collections.modelops.serving.plugins.module_utils._bench_job import follow, run
from ansible_collections.modelops.serving.plugins.module_utils._bench_job.options import shared_cores, spec_of
from ansible_collections.modelops.serving.plugins.module_utils._bench_job.pods import PROGRESS, SHARDS, Crew
from ansible_collections.modelops.serving.plugins.module_utils._bench_job.spec import BenchSpec, Object
from ansible_collections.modelops.serving.plugins.module_utils._bench_job.status import Status
from ansible_collections.modelops.serving.plugins.module_utils._cluster_door import ClusterDoor
from ansible_collections.modelops.serving.plugins.module_utils._doors import progress_lines
from ansible_collections.modelops.serving.plugins.module_utils._kube.apply import Prune, remove
from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Ref
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import KubeError, WaitError
from ansible_collections.modelops.serving.plugins.module_utils._kube.kinds import assess
from ansible_collections.modelops.serving.plugins.module_utils._measure.runs import (
    Result,
    Runs,
    check_place,
    new_run_id,
)


class Door(ClusterDoor):
    """One call of the module."""

    def absent(self) -> Result:
        """Remove the Jobs and what was made for them. Results stay.

        :raises KubeError: the API server refused, or something does not go away.
        """
        params, check = self._params, self._module.check_mode
        changes = remove(self._client, run.everything(params["name"], params["namespace"]), check=check)
        self._tell(changes)
        if not check:
            self._waiter().wait_gone([change.ref for change in changes])
        return self.result

    def present(self) -> Result:
        """Run the benchmark, or go on with one that runs; in check mode see that it could be run.

        :raises BenchError: options cannot be, a Pod says that it cannot do it, or the run did not pass.
        :raises KubeError: the API server refused, no node has the cores, or a Pod failed.
        """
        params, client, check = self._params, self._client, self._module.check_mode
        runs = Runs(self._module, self.result)
        workload = runs.workload()
        spec = spec_of(params, workload)
        self._warn(shared_cores(params))
        baseline = runs.baseline(workload)
        program = bundle.build()
        running = run.under_way(client, spec, program)
        place = runs.folder / (running or params["run_id"] or new_run_id())
        self._check(spec, place, running)
        force = params["force_conflicts"]
        self._tell(run.start(client, spec, program, place.name, attach=bool(running), check=check, force=force))
        self.result |= {"changed": True, "jobs": spec.jobs}
        if check:
            return self.result
        if running:
            # Whoever followed it before has left a part; the Pods still have all.
            shutil.rmtree(place, ignore_errors=True)
        self.result |= {"run_id": place.name, "folder": str(place)}
        self._run(spec, workload, place, runs)
        runs.judge(place, baseline)
        return self.result

    def _run(self, spec: BenchSpec, workload: Workload, place: Path, runs: Runs) -> None:
        """From the Pods' start until the whole run is here.

        :raises BenchError: a Pod says that it cannot do it, or was lost; what was measured is reported.
        :raises StorageError: the results cannot be written here; they are left with the Pods.
        :raises KubeError: a Pod does not start or was killed; what was measured is reported. Or the time is over.
        """
        show = progress_lines(self._module) or (lambda _text: None)
        crew = Crew(self._client, spec, place)
        status = Status(workload, show, self._params["interval"])
        waiter, refs, began = self._waiter(), run.refs(spec), time.monotonic()
        try:
            self.result["preflight"] = follow.gather(crew, refs, waiter, status)
            left = waiter.timeout - (time.monotonic() - began)
            follow.load(crew, refs, dataclasses.replace(waiter, timeout=left), status)
            _join(crew, spec, workload)
        except StorageError as error:
            keep = self._params["collect_timeout"]
            error.hint = f"{error.hint} Then run again: the Pods keep what they have measured for {keep} s.".strip()
            raise
        except WaitError as error:
            if error.timed_out:
                error.hint = "The Jobs go on. Run again to go on with them, or give a longer wait_timeout."
                raise
            self._failed(error, crew, spec, workload, runs)
            raise
        except (BenchError, KubeError) as error:
            self._failed(error, crew, spec, workload, runs)
            raise
        follow.release(crew)
        if self._params["cleanup"]:
            self._clean_up(run.everything(spec.name, spec.namespace))

    def _failed(
        self, error: BenchError | KubeError, crew: Crew, spec: BenchSpec, workload: Workload, runs: Runs
    ) -> None:
        """Report what was measured, and end the Pods that are left. One that has failed stays, with its log."""
        for warning in follow.salvage(crew):
            self._module.warn(warning)
        if any(member.has(PROGRESS) for member in crew.members):
            try:
                _join(crew, spec, workload)
                runs.report_cut_off(crew.place)
            except BenchError as trouble:
                self._module.warn(f"There is no report of what was measured: {trouble}")
            error.hint = f"{error.hint} What was measured until then is in {crew.place}.".strip()
        going_on = [ref for ref, member in zip(run.refs(spec), crew.members, strict=True) if not member.ended]
        self._clean_up([ref for ref in going_on if _runs(self._client.get(ref))])

    def _clean_up(self, what: t.Iterable[Ref] | Prune) -> None:
        """Remove objects. They would go by themselves, so that trouble with it must not hide the results."""
        try:
            remove(self._client, what)
        except KubeError as error:
            self._module.warn(f"What was made for the benchmark could not be removed: {error}")

    def _check(self, spec: BenchSpec, place: Path, running: str | None) -> None:
        asked = self._params["run_id"]
        if running and asked and asked != running:
            raise InputError(
                f"This benchmark runs already, as {running}.",
                hint=f"Leave out run_id or give {running} to go on with it, or remove it with state: absent.",
            )
        if not running:
            check_place(place)
            if self._params["check_nodes"]:
                self._warn(run.check_nodes(self._client, spec))


def _join(crew: Crew, spec: BenchSpec, workload: Workload) -> None:
    """Make one run of what the Pods have handed over. What other tools have left stays beside it, with their logs."""
    shards.merge([member.place for member in crew.members], crew.place, workload, crew.place.name)
    if spec.engine == BUILTIN:
        shutil.rmtree(crew.place / SHARDS, ignore_errors=True)


def _runs(job: Object | None) -> bool:
    return job is not None and assess(job).state == "waiting"
