# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the module saxml_model does with its options: compare, publish, wait until model servers have loaded it, tell."""

from __future__ import annotations

import dataclasses
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.modelops.serving.plugins.module_utils._kube.auth import connect
from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Client, Object
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import KubeError, WaitError
from ansible_collections.modelops.serving.plugins.module_utils._sax import model as models
from ansible_collections.modelops.serving.plugins.module_utils._sax.cell import Cell, NoInstanceError
from ansible_collections.modelops.serving.plugins.module_utils._sax.model import Model, Step
from ansible_collections.modelops.serving.plugins.module_utils._sax.servers import (
    LOADED,
    Load,
    Reason,
    Servers,
    reasons,
    troubles,
)

Result: t.TypeAlias = "dict[str, t.Any]"

# Seconds: between two looks; after so long, and then every so often, it is asked what is wrong.
_INTERVAL, _FIRST_REASONS, _REASONS_EVERY = 2.0, 5.0, 10.0


@dataclasses.dataclass(frozen=True)
class Status:
    """How far a published model is.

    :param assigned: how many model servers have got it. :param address: of one of them.
    :param loads: what each model server says of it.
    """

    assigned: int
    address: str
    servers: Servers
    loads: t.Mapping[str, Load]

    @classmethod
    def look(cls, cell: Cell, model: str, ignored: t.Collection[str] = ()) -> Status:
        """Ask the cell, then the servers: what has got a model has begun to write of it.

        :raises KubeError: saxutil failed, or the API server refuses.
        """
        assigned, address = cell.assigned(model)
        servers = _servers(cell)
        return cls(assigned, address, servers, servers.loads(model, ignored))

    @property
    def loaded(self) -> int:
        """How many of them say that they have loaded it."""
        return min(self.assigned, self._count("loaded"))

    @property
    def failure(self) -> str:
        """What one says that failed to."""
        return next((load.text for load in self.loads.values() if load.state == "failed"), "")

    def enough(self, replicas: int, *, certain: bool) -> bool:
        """Whether so many have loaded it.

        :param certain: a server that says nothing has not. Otherwise it may have said so before its log was rotated.
        """
        if self.assigned < replicas:
            return False
        silent = 0 if certain or self._count("loading") else self._count("unknown")
        return self._count("loaded") + silent >= replicas

    @property
    def data(self) -> Result:
        """As it is told."""
        return {"assigned_replicas": self.assigned, "loaded_replicas": self.loaded, "address": self.address}

    def _count(self, state: str) -> int:
        return sum(load.state == state for load in self.loads.values())


def look(client: Client, namespace: str, instance: str, name: str | None) -> list[Result]:
    """Describe the published models of an instance, or the one of that name.

    :raises KubeError: there is no such cell, or it cannot be asked.
    """
    cell = Cell.find(client, namespace, instance)
    only = models.full_id(name, cell.name) if name else None
    found = []
    for model_id in cell.names():
        model = cell.get(model_id) if only in (None, model_id) else None
        if model:
            status = Status.look(cell, model_id)
            short = status.loaded < model.replicas
            found.append({**model.data, **status.data, "failure": status.failure if short else ""})
    return found


class Door:
    """One call of the module. ``result`` is what is known so far, also when it fails."""

    def __init__(self, module: AnsibleModule) -> None:
        self._module = module
        self._params = module.params
        self.result: Result = {"changed": False, "actions": [], "model": None}

    def absent(self) -> Result:
        """See to it that the model is not published.

        :raises KubeError: the cell cannot be asked, or refuses.
        """
        try:
            cell = self._cell()
        except NoInstanceError as error:
            self._module.warn(f"{error.message} Nobody serves the model, and nothing was done.")
            return self.result
        name = models.full_id(self._params["name"], cell.name)
        self._carry_out(cell, name, cell.get(name), None)
        return self.result

    def present(self) -> Result:
        """Publish the model so, and wait until it is loaded.

        :raises KubeError: the cell cannot be asked, refuses, or does not load the model.
        """
        try:
            cell = self._cell()
        except NoInstanceError as error:
            if not self._module.check_mode:
                raise
            self._predict_first(error)
            return self.result
        wanted = self._wanted(cell.name)
        found = cell.get(wanted.id)
        steps = models.plan(found, wanted)
        old = frozenset() if self._module.check_mode else _old_lines(cell, steps)
        self._carry_out(cell, wanted.id, found, wanted)
        self.result["model"] = wanted.data
        if not self._module.check_mode:
            self._see_it_loaded(cell, wanted, old, certain=bool(steps))
        return self.result

    def _predict_first(self, error: NoInstanceError) -> None:
        """A whole play is tried before there is a cell, which then has the name that tpu_serving gives it."""
        self._module.warn(f"{error.message} The model is published when there is one.")
        wanted = self._wanted(f"/sax/{self._params['instance']}")
        self.result.update(changed=True, actions=["publish"], model=wanted.data)
        if self._module._diff:
            self.result["diff"] = _diff(wanted.id, None, wanted, ["publish"])

    def _wanted(self, cell: str) -> Model:
        params = self._params
        return models.make(
            params["name"],
            cell,
            path=params["model_path"],
            checkpoint=params["checkpoint"],
            replicas=params["replicas"],
            overrides=params["overrides"],
        )

    def _cell(self) -> Cell:
        cell = Cell.find(connect(self._module), self._params["namespace"], self._params["instance"])
        self.result["cell"] = cell.name
        return cell

    def _carry_out(self, cell: Cell, name: str, found: Model | None, wanted: Model | None) -> None:
        steps = models.plan(found, wanted)
        self.result.update(changed=bool(steps), actions=list(steps))
        if self._module._diff:
            self.result["diff"] = _diff(name, found, wanted, steps)
        if not self._module.check_mode:
            for step in steps:
                self._step(cell, step, found, wanted)

    def _step(self, cell: Cell, step: Step, found: Model | None, wanted: Model | None) -> None:
        if step == "unpublish" and found:
            cell.unpublish(found.id)
        elif step == "update" and wanted:
            cell.update(wanted)
        elif wanted:
            try:
                cell.publish(wanted)
            except KubeError as error:
                if found:
                    error.message += f"\n{_publish_again(cell, found)}"
                raise

    # -- waiting -------------------------------------------------------------------------------------------------------

    def _see_it_loaded(self, cell: Cell, wanted: Model, old: t.Collection[str], *, certain: bool) -> None:
        """With ``wait`` until enough model servers have loaded it, else only tell how far it is.

        :raises WaitError: they do not. It says why.
        """
        began = time.monotonic()
        next_reasons, hopeless = began + _FIRST_REASONS, False
        while True:
            status = Status.look(cell, wanted.id, old)
            self.result["model"] = {**wanted.data, **status.data}
            if not self._params["wait"] or status.enough(wanted.replicas, certain=certain):
                return
            if status.failure:
                raise _failed(wanted, status)
            now = time.monotonic()
            over = now - began >= self._params["wait_timeout"]
            if over or now >= next_reasons:
                known = self._reasons(cell, wanted, status)
                fatal = any(reason.fatal for reason in known)
                # Seen twice: a Pod that is just being replaced looks as bad for a moment.
                if over or (fatal and hopeless):
                    raise _late(wanted, status, known, now - began)
                next_reasons, hopeless = now + _REASONS_EVERY, fatal
            time.sleep(_INTERVAL)

    def _reasons(self, cell: Cell, wanted: Model, status: Status) -> list[Reason]:
        found = troubles(cell.client, status.servers)
        if status.assigned < wanted.replicas:
            others = {name: cell.assigned(name)[0] for name in cell.names() if name != wanted.id}
            found += reasons(status.servers, wanted, {name: number for name, number in others.items() if number})
        return found


def _failed(wanted: Model, status: Status) -> WaitError:
    server = next(name for name, load in status.loads.items() if load.state == "failed")
    return WaitError(
        f"{wanted.id} is published, and the model server {server} failed to load it. Its log:\n{status.failure}",
        hint="Correct model_path, checkpoint or overrides, and the model is published anew. Saxml does not try again by itself: "
        "where they are right, publish it anew with state: absent and then state: present.",
    )


def _late(wanted: Model, status: Status, known: list[Reason], took: float) -> WaitError:
    head = (
        f"{wanted.id} is published, and after {took:.0f} s {status.assigned} of {wanted.replicas} model servers have got it "
        f"and {status.loaded} have loaded it."
    )
    lines = [f"{reason.message} {reason.hint}".strip() for reason in known]
    hint = (
        "" if lines else "Wait longer: large models take many minutes. The logs of the model servers say how far it is."
    )
    return WaitError("\n".join([head, *lines]), hint=hint, timed_out=True)


def _servers(cell: Cell) -> Servers:
    return Servers.look(cell.client, cell.namespace, cell.instance, cell.workloads.get("model"))


def _old_lines(cell: Cell, steps: t.Sequence[Step]) -> frozenset[str]:
    """Lines of the logs that say nothing of what is about to be done, because they are from before.

    After an update those servers go on that have loaded the model.
    """
    if not steps:
        return frozenset()
    return frozenset(line for line in _servers(cell).lines if "publish" in steps or LOADED not in line)


def _publish_again(cell: Cell, model: Model) -> str:
    """Publish what was unpublished for a model that was then refused, and say how that ended."""
    try:
        cell.publish(model)
    except KubeError as error:
        return f"{model.id} is not published any more, since publishing it as it was before failed too: {error}"
    return f"{model.id} is published again as it was before."


def _diff(name: str, found: Model | None, wanted: Model | None, steps: t.Sequence[Step]) -> Object:
    replaced = len(steps) > 1
    return {
        "before": found.data if found else {},
        "after": wanted.data if wanted else {},
        "before_header": name,
        "after_header": f"{name} (unpublished, then published: nobody serves it until it is loaded)"
        if replaced
        else name,
    }
