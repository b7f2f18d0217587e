# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the module tpu_serving, prints its progress, and sees before anything is written that the model is complete.

What is needed to read a manifest, from four kinds of stores, is larger than all the rest of the module, and would be sent
and compiled each time. So the module ends where it would write something and is given a manifest, ``model_sync_info`` looks
at that, and the module runs once more without it.
"""

from __future__ import annotations

import typing as t

from ansible.module_utils.common.validation import check_type_dict

from ansible_collections.modelops.serving.plugins.plugin_utils._progress import ProgressAction

#: Seconds and tries that a place may take to answer; the cluster asks it again.
_PATIENCE = {"stall_timeout": 10, "attempts": 2}
#: Errors of a place that does not answer from here, though it may answer the cluster.
_AWAY = ("TransientError", "DeadlineError")
_AGAIN = "Run modelops.serving.model_sync or modelops.serving.model_sync_job for it first."


class ActionModule(ProgressAction):
    """See the module's documentation."""

    def _module(self, args: dict[str, t.Any], task_vars: dict[str, t.Any], *, wrap_async: bool) -> dict[str, t.Any]:
        # Nobody could answer the module in a job, so that the manifest is looked at before in any case.
        at_once = wrap_async and args.get("manifest") and args.get("model") and args.get("state") != "absent"
        if not at_once:
            result = super()._module(args, task_vars, wrap_async=wrap_async)
            if (result.get("error") or {}).get("kind") != "UncheckedError":
                return result
        failure = self._look(args, task_vars)
        if failure:
            return failure
        rest = {option: value for option, value in args.items() if option != "manifest"}
        return super()._module(rest, task_vars, wrap_async=wrap_async)

    def _look(self, args: t.Mapping[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any] | None:
        """Is the copy of the model complete? If not, the result of the task; a place that is not reached is a warning."""
        name = check_type_dict(args["model"]).get("name")
        found = self._execute_module(
            module_name="modelops.serving.model_sync_info",
            module_args={"names": [name], "destinations": [args["manifest"]], **_PATIENCE},
            task_vars=task_vars,
        )
        if found.get("failed"):
            if (found.get("error") or {}).get("kind") not in _AWAY:
                return dict(found)
            self._display.warning(f"Whether the copy of {name} is complete was not checked: {found['msg']}")
            return None
        (copy,) = found["models"]
        if copy["status"] == "complete":
            return None
        if copy["status"] == "absent":
            return _failed("NotFoundError", f"There is no copy of {name} at {copy['url']}: it has no manifest.")
        problems = " ".join(copy["problems"]["first"])
        return _failed("IntegrityError", f"The copy of {name} at {copy['url']} is {copy['status']}. {problems}".strip())


def _failed(kind: str, message: str) -> dict[str, t.Any]:
    error = {"kind": kind, "message": message, "hint": _AGAIN}
    return {"failed": True, "changed": False, "msg": f"{message} {_AGAIN}", "error": error}
