# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the module tpu_serving does with its options: check, apply, wait, ask for a completion, go back, tell."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import time
import types
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._cluster_door import ClusterDoor, Result
from ansible_collections.modelops.serving.plugins.module_utils._endpoint import options, preflight, rollout, smoke
from ansible_collections.modelops.serving.plugins.module_utils._endpoint.smoke import Endpoint
from ansible_collections.modelops.serving.plugins.module_utils._kube.apply import Change, apply, remove
from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Object
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import InputError, KubeError
from ansible_collections.modelops.serving.plugins.module_utils._kube.render import render
from ansible_collections.modelops.serving.plugins.module_utils._kube.wait import Target, judge
from ansible_collections.modelops.serving.plugins.module_utils._serving import build
from ansible_collections.modelops.serving.plugins.module_utils._serving.build import Features
from ansible_collections.modelops.serving.plugins.module_utils._serving.extras import Extras
from ansible_collections.modelops.serving.plugins.module_utils._serving.instance import Instance


class UncheckedError(KubeError):
    """Something is to be written, and the manifest has to be looked at before: the action plugin knows it by this name."""


class Door(ClusterDoor):
    """One call of the module."""

    @functools.cached_property
    def _features(self) -> Features:
        return Features.of(self._client.version())

    def absent(self) -> Result:
        """Remove what belongs to the instance, or its files.

        :raises KubeError: the API server refused, or something does not go away.
        """
        params, check = self._params, self._module.check_mode
        if params["render_to"]:
            self._tell(render([], params["render_to"], check=check))
            return self.result
        kserve = self._kserve
        more = kserve.KINDS if kserve.is_there(self._client, params["name"], params["namespace"]) else ()
        ours = rollout.everything(params["name"], params["namespace"], self._features, more)
        changes = remove(self._client, ours, check=check)
        self._tell(changes)
        if params["wait"] and not check:
            self._waiter().wait_gone([change.ref for change in changes])
        return self.result

    def present(self) -> Result:
        """Make the instance so, and see that it serves; or write its objects to files.

        :raises KubeError: the API server refused, the cluster lacks something, or the instance does not serve.
        :raises TpuError: the slice is not to be had, or the model does not fit it.
        :raises TransferError: options contradict each other, or the model or its token is not usable.
        """
        params = self._params
        instance, extras = options.instance_of(params), options.extras_of(params)
        for warning in build.check(instance, extras):
            self._module.warn(warning)
        self._check_combination()
        if not instance.kserve:  # which itself says where
            self.result["endpoint"] = Endpoint.of(instance).url
        if params["render_to"]:
            self._check_manifest()
            objects = rollout.definitions(instance, extras, Features())
            self._tell(render(objects, params["render_to"], argo=params["argo"], check=self._module.check_mode))
            return self.result
        self._run(instance, extras)
        return self.result

    def _check_combination(self) -> None:
        params = self._params
        if params["rollback"] and not params["wait"]:
            raise InputError(
                "Whether a rollout fails is seen by waiting for it.", hint="Leave out rollback, or set wait: true."
            )
        if params["render_to"] and params["state"] == "restarted":
            raise InputError("Files cannot be restarted.", hint="Use state: present with render_to.")
        if params["render_to"] and (params["kserve"] or {}).get("endpoint_secret"):
            raise InputError(
                "What endpoint_secret holds is known only when the server is ready.",
                hint="Leave out endpoint_secret with render_to.",
            )

    @property
    def _kserve(self) -> types.ModuleType:
        """What only instances of KServe need, loaded when one is looked at."""
        from ansible_collections.modelops.serving.plugins.module_utils._endpoint import kserve

        return kserve

    # -- in the cluster ------------------------------------------------------------------------------------------------

    def _run(self, instance: Instance, extras: Extras) -> None:
        objects = self._objects(instance, extras)
        changes = self._apply(instance, objects, check=True)
        if any(change.action != "none" for change in changes):
            self._preflight(instance, extras)
            if self._module.check_mode:
                self._tell(changes)
            else:
                self._roll_out(instance, objects)
            return
        self._tell(changes)
        targets = rollout.targets(objects)
        live = {change.ref: t.cast(Object, change.after) for change in changes}
        servers = self._tell_state(live[targets[0].ref])
        if all(judge(target, live[target.ref]).state == "ready" for target in targets):
            if servers:
                self._ask(instance)
        elif self._params["wait"] and not self._module.check_mode:
            self._see_it_serve(instance, targets)

    def _objects(self, instance: Instance, extras: Extras) -> list[Object]:
        """The objects, with the time of the last restart or of this one."""
        return self._definitions(instance, extras) + self._endpoint_secret(instance)

    def _endpoint_secret(self, instance: Instance) -> list[Object]:
        if not instance.kserve:
            return []
        return t.cast(
            "list[Object]", self._kserve.endpoint_secret(self._client, instance, self._module.no_log_values.add)
        )

    def _definitions(self, instance: Instance, extras: Extras) -> list[Object]:
        objects = rollout.definitions(instance, extras, self._features)
        if self._params["state"] == "restarted":
            when: str | None = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        else:
            when = rollout.restarted_at(self._client, objects)
        if when is None:
            return objects
        return rollout.definitions(dataclasses.replace(instance, restarted_at=when), extras, self._features)

    def _apply(self, instance: Instance, objects: list[Object], *, check: bool) -> list[Change]:
        more = self._kserve.KINDS if instance.kserve else ()
        ours = rollout.everything(instance.name, instance.namespace, self._features, more)
        how = rollout.options(check=check, force=self._params["force_conflicts"], prune=ours)
        return apply(self._client, objects, how)

    def _preflight(self, instance: Instance, extras: Extras) -> None:
        self._check_manifest()
        client, params = self._client, self._params
        if instance.kserve:
            self._kserve.check_connection(client, instance)
        if params["check_token"]:
            self._warn(preflight.check_token(client, instance, self._module.no_log_values.add))
        if params["check_nodes"]:
            least = extras.autoscaling.min_replicas if extras.autoscaling else instance.replicas
            self._warn(preflight.check_nodes(client, dataclasses.replace(instance, replicas=least)))

    def _check_manifest(self) -> None:
        """The action plugin sees to that before it gives up the option.

        :raises UncheckedError: it has not yet.
        """
        if self._params["manifest"]:
            raise UncheckedError(
                "Whether the copy of the model is complete has not been checked.",
                hint="The action plugin modelops.serving.tpu_serving does that: call the module by this name.",
            )

    def _roll_out(self, instance: Instance, objects: list[Object]) -> None:
        changes: list[Change] = []
        try:
            changes = self._apply(instance, objects, check=False)
            self._tell(changes)
            if self._params["wait"]:
                rolled_out = [self._kserve.rolled_out(objects)] if instance.kserve else []
                self._see_it_serve(instance, [*rollout.targets(objects), *rolled_out])
                # What is told only when it serves.
                late = self._endpoint_secret(instance)
                apply(self._client, late, rollout.options(check=False, force=self._params["force_conflicts"]))
        except KubeError as error:
            changes = changes or error.changes
            self._tell(changes)
            if self._params["rollback"] and changes:
                error.message += f"\n{self._go_back(changes)}"
            raise

    def _see_it_serve(self, instance: Instance, targets: list[Target]) -> None:
        """Wait until the instance is ready, then ask it.

        :raises WaitError: it does not become ready. It says why.
        :raises EndpointError: it is ready and does not answer as it should.
        """
        began = time.monotonic()
        found = self._waiter().wait(targets)
        self.result["time_to_ready"] = round(time.monotonic() - began, 1)
        ready = self._tell_state(found[targets[0].ref])
        if ready:
            self._ask(instance)

    def _ask(self, instance: Instance) -> None:
        """Ask servers that are ready, also where nothing has changed: the last run may have ended with their failing it.

        :raises EndpointError: they do not answer as they should.
        """
        if self._module.check_mode or not (self._params["wait"] and self._params["smoke_test"]):
            self._list_models(instance)
            return
        endpoint, model = self._endpoint(instance), instance.model.served_name or instance.model.name
        self.result["models"] = smoke.list_models(self._client, endpoint)
        self.result["completion"] = smoke.complete(self._client, endpoint, model)

    def _endpoint(self, instance: Instance) -> Endpoint:
        if instance.kserve:
            return t.cast(Endpoint, self._kserve.endpoint(self._client, instance))
        return Endpoint.of(instance)

    def _go_back(self, changes: list[Change]) -> str:
        """Make everything as it was before the rollout, and say how that ended."""
        try:
            rollout.go_back(self._client, changes, self._waiter())
        except KubeError as error:
            return f"Rolling back did not end well: {error}"
        self.result["rolled_back"] = True
        return "Rolled back: everything is as it was before."

    def _list_models(self, instance: Instance) -> None:
        """The models that are served, where that is not what the result depends on."""
        try:
            self.result["models"] = smoke.list_models(self._client, self._endpoint(instance))
        except KubeError as error:
            self._warn(f"Which models are served was not found out: {error}")

    # -- what is told --------------------------------------------------------------------------------------------------

    def _tell_state(self, workload: Object) -> int:
        """The number of servers that are ready."""
        self.result["replicas"], self.result["ready_replicas"] = rollout.replicas(workload)
        if workload["kind"] == "InferenceService" and (url := self._kserve.url(workload)):
            self.result["endpoint"] = url
        return int(self.result["ready_replicas"])
