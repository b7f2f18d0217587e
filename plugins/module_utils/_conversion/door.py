# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the module checkpoint_conversion does with its options: check, apply, wait, tell."""

from __future__ import annotations

import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._cluster_door import ClusterDoor, Result
from ansible_collections.modelops.serving.plugins.module_utils._conversion import options, preflight
from ansible_collections.modelops.serving.plugins.module_utils._conversion.options import Conversion
from ansible_collections.modelops.serving.plugins.module_utils._kube.apply import ApplyOptions, Change, apply, remove
from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Object, Ref
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import KubeError, WaitError
from ansible_collections.modelops.serving.plugins.module_utils._kube.kinds import assess
from ansible_collections.modelops.serving.plugins.module_utils._kube.render import render
from ansible_collections.modelops.serving.plugins.module_utils._sync_job.spec import Features

_RUNS = ("create", "replace")


class Door(ClusterDoor):
    """One call of the module."""

    def absent(self) -> Result:
        """Remove the Job and what was made for it, or its files. Checkpoints stay.

        :raises KubeError: the API server refused, or something does not go away.
        """
        params, check = self._params, self._module.check_mode
        if params["render_to"]:
            self._tell(render([], params["render_to"], check=check))
            return self.result
        changes = remove(self._client, options.everything(params["name"], params["namespace"]), check=check)
        self._tell(changes)
        if params["wait"] and not check:
            self._waiter().wait_gone([change.ref for change in changes])
        return self.result

    def present(self) -> Result:
        """Run the Job if there is reason to, and see it end; or write its objects to files.

        :raises KubeError: the API server refused, no node can hold the Job, or it failed.
        :raises TpuError: the slice is not to be had.
        :raises TransferError: options cannot be, or the Secret is not Kaggle's.
        """
        params = self._params
        rendered = bool(params["render_to"])
        policy = rendered or Features.of(self._client.version()).pod_failure_policy
        conversion = options.conversion_of(params, pod_failure_policy=policy)
        for warning in options.check(conversion):
            self._module.warn(warning)
        self.result |= {"checkpoint": conversion.checkpoint, "complete": False}
        if rendered:
            argo, check = params["argo"], self._module.check_mode
            objects = options.definitions(conversion)
            self._tell(render(objects, params["render_to"], argo=argo, job_hooks=argo, check=check))
        else:
            self._run(conversion)
        return self.result

    def _run(self, conversion: Conversion) -> None:
        ref = Ref("batch/v1", "Job", conversion.run.name, conversion.run.namespace)
        objects = options.definitions(conversion, self._client.get(ref))
        changes = self._apply(objects, ref, check=True)
        (job,) = (change for change in changes if change.ref == ref)
        done = job.action not in _RUNS and assess(t.cast(Object, job.after)).state == "ready"
        if not done:
            self._warn(preflight.check_secret(self._client, conversion, self._module.no_log_values.add))
        if job.action in _RUNS and self._params["check_nodes"]:
            self._warn(preflight.check_nodes(self._client, conversion, objects[-1]))
        if not self._module.check_mode and any(change.action != "none" for change in changes):
            changes = self._carry_out(objects, ref)
        self._tell(changes)
        self.result["complete"] = done
        if self._params["wait"] and not done and not self._module.check_mode:
            self._wait(ref)

    def _carry_out(self, objects: list[Object], ref: Ref) -> list[Change]:
        try:
            return self._apply(objects, ref, check=False)
        except KubeError as error:
            self._tell(error.changes)
            raise

    def _apply(self, objects: list[Object], ref: Ref, *, check: bool) -> list[Change]:
        how = ApplyOptions(
            force_conflicts=self._params["force_conflicts"],
            check=check,
            prune=options.everything(ref.name, str(ref.namespace)),
            replace=frozenset({ref}),
        )
        return apply(self._client, objects, how)

    def _wait(self, ref: Ref) -> None:
        """Wait until the Job has ended well.

        :raises WaitError: it failed, or did not end in time. It says why, with the end of the log.
        """
        try:
            self._waiter().wait([ref])
        except WaitError as error:
            if error.timed_out:
                error.hint = "The Job goes on. Run again to wait for it, or give a longer wait_timeout."
            else:
                error.hint = error.hint or "Repair what the log tells, and run this again: it replaces the Job."
            raise
        self.result["complete"] = True
