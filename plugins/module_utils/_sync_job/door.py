# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the module model_sync_job does with its options: look up, decide, apply, wait, tell."""

from __future__ import annotations

import functools
import re
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.parameters import remove_values

from ansible_collections.modelops.serving.plugins.module_utils._doors import ProgressFile
from ansible_collections.modelops.serving.plugins.module_utils._kube.apply import Change, remove
from ansible_collections.modelops.serving.plugins.module_utils._kube.auth import connect
from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Client
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import InputError, KubeError, WaitError
from ansible_collections.modelops.serving.plugins.module_utils._kube.render import render
from ansible_collections.modelops.serving.plugins.module_utils._kube.results import describe
from ansible_collections.modelops.serving.plugins.module_utils._kube.wait import Waiter
from ansible_collections.modelops.serving.plugins.module_utils._sync_job import run, storage_config
from ansible_collections.modelops.serving.plugins.module_utils._sync_job.assemble import Assembled, assemble
from ansible_collections.modelops.serving.plugins.module_utils._sync_job.passcode import redeem
from ansible_collections.modelops.serving.plugins.module_utils._sync_job.pin import pin
from ansible_collections.modelops.serving.plugins.module_utils._sync_job.preflight import check_token
from ansible_collections.modelops.serving.plugins.module_utils._sync_job.spec import Features, JobSpec, job_name
from ansible_collections.modelops.serving.plugins.module_utils._transfer.notify import notify
from ansible_collections.modelops.serving.plugins.module_utils._transfer.request import default_name

Result: t.TypeAlias = "dict[str, t.Any]"
_GONE_TIMEOUT = 120.0
# Of a Secret that describes a place, the rest are addresses and names. To hide those would make messages unreadable.
_SECRET_KEY = re.compile(r"KEY|SECRET|TOKEN|PASSCODE", re.IGNORECASE)
_ACCESS_KEY = re.compile(r"(?<!SECRET_)ACCESS_KEY(_ID)?$", re.IGNORECASE)  # a name, too, such as "minio"


class SyncFailedError(KubeError):
    """The Job has failed.

    :param story: what Kubernetes says of it, and the ends of logs.
    :param result: what the module returns all the same.
    """

    def __init__(self, message: str, *, hint: str, story: str = "", result: Result) -> None:
        super().__init__(message, hint=hint)
        self.story = story
        self.result = result

    def __str__(self) -> str:
        return "\n".join(filter(None, (super().__str__(), self.story)))


class Door:
    """One call of the module.

    :param options: of the engine.
    """

    def __init__(self, module: AnsibleModule, options: t.Mapping[str, t.Any]) -> None:
        self._module = module
        self._params = module.params
        self._options = options

    @functools.cached_property
    def _client(self) -> Client:
        return connect(self._module)

    def absent(self) -> Result:
        """Remove what was made for the sync.

        :raises KubeError: the API server refused, or something does not go away.
        """
        params = self._params
        name = params["name"] or (default_name(params["source"]) if params["source"] else None)
        spec = JobSpec(params["job_name"] or job_name(str(name)), params["namespace"], str(name), {})
        ours = run.everything(spec, Features.of(self._client.version()))
        changes = remove(self._client, ours, check=self._module.check_mode)
        if params["wait"] and not self._module.check_mode:
            Waiter(self._client, timeout=_GONE_TIMEOUT).wait_gone([change.ref for change in changes])
        return {"name": name, **self._applied(spec, changes)}

    def present(self) -> Result:
        """Run the Job if there is reason to, or make the CronJob so; or write both to files.

        :raises KubeError: the API server refused, or the Job failed.
        :raises TransferError: options that do not fit together.
        """
        assembled = assemble(self._params, self._options, self._read)
        self._hide(assembled.spec.credentials)
        found, warning = pin(assembled)
        for text in (*found.warnings, warning):
            if text:
                self._module.warn(text)
        if self._params["render_to"]:
            return self._render(found)
        # A Hub that did not answer just now would only do so again.
        return self._run(found, check_token=self._params["check_token"] and not warning)

    def _read(self, name: str, *, missing: str) -> dict[str, str] | None:
        described = (self._params["source_secret"], self._params["data_connection"])
        if self._params["render_to"] and name not in described:
            return None  # files are written for a cluster that need not be there
        values = self._client.read_secret(self._params["namespace"], name, missing=missing)
        token = (self._params["token_secret"] or {}).get("key")
        self._hide({key: value for key, value in values.items() if key == token or _SECRET_KEY.search(key)})
        return values

    def _hide(self, secrets: t.Mapping[str, str]) -> None:
        """Keep values out of results and messages."""
        for name, value in secrets.items():
            if not _ACCESS_KEY.search(name):
                self._module.no_log_values.update(filter(None, (value, value.strip())))

    def _redact(self, text: str) -> str:
        return str(remove_values(text, self._module.no_log_values))

    # -- in the cluster ----------------------------------------------------------------------------------------

    def _run(self, found: Assembled, *, check_token: bool) -> Result:
        client, params, check = self._client, self._params, self._module.check_mode
        spec, force = found.spec, params["force_conflicts"]
        features = Features.of(client.version())
        decision = run.Decision("create", None)
        if not spec.schedule:
            decision = run.decide(client, spec, always=params["run"] == "always")
        changes: list[Change] = []
        if decision.action in ("create", "replace"):
            if check_token and not spec.schedule:
                self._check_token(found)
            if found.passcode and not check:
                # It is good once: first see whether all that comes after it would be accepted.
                run.start(client, spec, features, decision, check=True, force=force)
                spec = redeem(client, spec, found.passcode)
                self._hide(spec.credentials)
            changes = run.start(client, spec, features, decision, check=check, force=force)
        if found.storage_config:
            entry = (params["data_connection"], found.storage_config)
            name = params["storage_config"]
            changes += storage_config.write(client, spec.namespace, name, entry, check=check, force=force)
        result = self._applied(spec, changes) | self._described(spec)
        if decision.action == "none":
            self._ended(spec, result)
        elif params["wait"] and not spec.schedule and not check:
            self._wait(spec, result)
        return result

    def _check_token(self, found: Assembled) -> None:
        warning = check_token(found)
        if warning:
            self._module.warn(warning)

    def _described(self, spec: JobSpec) -> Result:
        return {"name": spec.model, "revision": spec.request["source"].get("revision"), "result": None}

    def _ended(self, spec: JobSpec, result: Result) -> Result | None:
        """Complete the result with what the Pods said at their end."""
        said = run.result_of(run.pods_of(self._client, spec))
        result["result"] = said
        result["revision"] = (said or {}).get("revision") or result["revision"]
        return said

    def _wait(self, spec: JobSpec, result: Result) -> None:
        """Wait for the Job; completes the result.

        :raises SyncFailedError: it failed, or did not end in time.
        """
        report = self._report()
        waiter = Waiter(
            self._client,
            timeout=self._params["wait_timeout"],
            on_tick=run.Watch(self._client, spec, report),
            on_progress=lambda line: report({"text": line}),
            redact=self._redact,
        )
        try:
            waiter.wait([run.job_ref(spec)])
        except WaitError as error:
            raise self._failed(spec, error, self._ended(spec, result), result) from error
        self._ended(spec, result)

    def _failed(self, spec: JobSpec, error: WaitError, said: Result | None, result: Result) -> SyncFailedError:
        if error.timed_out:
            hint = "The Job goes on. Run again to wait for it, or give a longer wait_timeout."
            return SyncFailedError(error.message, hint=hint, result=result)
        own = run.errors_of(said)
        if not own:
            # The engine never came to tell anybody: the Pods did not start, or were killed.
            self._notify(spec, error.message)
            return SyncFailedError(error.message, hint=error.hint, result=result)
        message = f"Job {spec.namespace}/{spec.name} failed: " + " ".join(found["message"] for found in own)
        return SyncFailedError(message, hint=str(own[-1].get("hint") or ""), story=error.message, result=result)

    def _notify(self, spec: JobSpec, message: str) -> None:
        hooks = [{key: value for key, value in hook.items() if value is not None} for hook in self._params["notify"]]
        error = {"kind": "WaitError", "message": message, "hint": ""}
        outcome = {"changed": False, "failed": True, "name": spec.model, "destinations": [], "error": error}
        for warning in notify(hooks, outcome):
            self._module.warn(warning)

    def _report(self) -> t.Callable[[t.Mapping[str, t.Any]], None]:
        path = self._params["progress_file"]
        return ProgressFile(path, self._module.warn) if path else lambda _progress: None

    def _applied(self, spec: JobSpec, changes: list[Change]) -> Result:
        return {"job": spec.name, **describe(self._module, changes)}

    # -- as files ----------------------------------------------------------------------------------------------

    def _render(self, found: Assembled) -> Result:
        spec, params = found.spec, self._params
        if spec.credentials or found.storage_config:
            raise InputError(
                "Files in a repository are no place for credentials.",
                hint="Keep them in Secrets of the namespace: credentials_secret, token_secret, source_secret.",
            )
        objects = run.objects_of(spec, Features())
        argo, check = params["argo"], self._module.check_mode
        changes = render(objects, params["render_to"], argo=argo, job_hooks=argo, check=check)
        return self._applied(spec, changes) | self._described(spec)
