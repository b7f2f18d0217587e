# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The model servers of a cell: which of them have loaded a model, and why others have not.

saxutil tells how many model servers have got a model, and counts those that load it or failed to. Whether it is loaded, only
the log of a model server says (``saxml/server/model_service_base.py`` of https://github.com/google/saxml).
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._endpoint.rollout import replicas
from ansible_collections.modelops.serving.plugins.module_utils._kube import diagnose
from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Client, Object, Ref
from ansible_collections.modelops.serving.plugins.module_utils._sax.model import Model
from ansible_collections.modelops.serving.plugins.module_utils._serving.engine import COMPONENT_LABEL, INSTANCE_LABEL

State: t.TypeAlias = t.Literal["failed", "loading", "unknown", "loaded"]

# Lines: more than a model server writes between two looks, less than fills the memory.
_TAIL = 10000
_SHOWN = 12
#: What a model server says once it has loaded a model.
LOADED = "Successfully loaded model for key:"
_MARKS: t.Final[tuple[tuple[str, State], ...]] = (
    (LOADED, "loaded"),
    ("Loading model for key:", "loading"),
    ("Invalid load request.", "failed"),
    ("Internal error during loading.", "failed"),
    ("Error occurred during loading:", "failed"),
)
# Of a server that is several Pods the worst counts.
_ORDER: t.Final[tuple[State, ...]] = ("failed", "loading", "unknown", "loaded")
_SERVABLE = re.compile(r"Servable model (?:alias )?(\S+)")
_SKIPPED = re.compile(r"Skipping unsupported model ([^\s,]+), (.*)")
_JOB = "job-name"

Lines: t.TypeAlias = "tuple[str, ...]"


@dataclasses.dataclass(frozen=True)
class Load:
    """What a log says of one model. ``text`` are the lines from the failure on."""

    state: State = "unknown"
    text: str = ""


def read(lines: Lines, model: str, ignored: t.Collection[str] = ()) -> Load:
    """What a log says of a model at last.

    :param ignored: lines that were there before what is asked about. All have a time of their own.
    """
    key = re.compile(rf"{re.escape(model)}(?![\w-])")
    for number in range(len(lines) - 1, -1, -1):
        line = lines[number]
        if line in ignored or not key.search(line):
            continue
        for mark, state in _MARKS:
            if mark in line:
                return Load(state, "\n".join(lines[number : number + _SHOWN]) if state == "failed" else "")
    return Load()


@dataclasses.dataclass(frozen=True)
class Servers:
    """The model servers of one instance, as they are at one moment.

    :param workload: that makes their Pods.
    :param logs: server -> logs of its Pods. On several hosts a server is a Job.
    """

    workload: Object | None
    logs: t.Mapping[str, tuple[Lines, ...]]

    @classmethod
    def look(cls, client: Client, namespace: str, instance: str, workload: Object | None) -> Servers:
        """Read the logs of all model servers.

        :raises KubeError: the API server refuses or does not answer.
        """
        labels = f"{INSTANCE_LABEL}={instance},{COMPONENT_LABEL}=model"
        logs: dict[str, tuple[Lines, ...]] = {}
        for pod in client.list("v1", "Pod", namespace, labels=labels):
            metadata = pod["metadata"]
            if "deletionTimestamp" in metadata:
                continue
            server = (metadata.get("labels") or {}).get(_JOB) or metadata["name"]
            container = pod["spec"]["containers"][0]["name"]
            text = client.logs(namespace, metadata["name"], container, tail=_TAIL)
            logs[server] = (*logs.get(server, ()), tuple(text.splitlines()))
        return cls(workload, logs)

    @property
    def lines(self) -> frozenset[str]:
        """All lines of all logs."""
        return frozenset(line for logs in self.logs.values() for log in logs for line in log)

    def loads(self, model: str, ignored: t.Collection[str] = ()) -> dict[str, Load]:
        """What each server says of a model."""
        return {
            server: min((read(log, model, ignored) for log in logs), key=lambda load: _ORDER.index(load.state))
            for server, logs in self.logs.items()
        }


@dataclasses.dataclass(frozen=True)
class Reason:
    """Why a model has too few replicas. ``fatal``: it stays so until somebody changes something."""

    message: str
    hint: str = ""
    fatal: bool = False


def reasons(servers: Servers, model: Model, others: t.Mapping[str, int]) -> list[Reason]:
    """What keeps a published model from having its replicas, as far as the servers say.

    :param others: other models of the cell that have servers -> how many. A server has one model at a time.
    """
    if servers.workload is None:
        return [
            Reason("The instance has no model servers.", "Run its task of modelops.serving.tpu_serving.", fatal=True)
        ]
    ref = Ref.of(servers.workload)
    there, _ready = replicas(servers.workload)
    if there < model.replicas:
        return [
            Reason(
                f"{ref} is to have {there} model servers, and {model.id} is to have {model.replicas} replicas.",
                "A model server has one model at a time: raise replicas of the instance, or lower those of the model.",
                fatal=True,
            )
        ]
    return [*_unknown_model(servers.lines, model), *_taken(others, there - model.replicas), *_not_joined(servers)]


def _taken(others: t.Mapping[str, int], left: int) -> list[Reason]:
    """Whether other models have so many servers that too few are left."""
    if sum(others.values()) <= left:
        return []
    told = ", ".join(f"{name} ({number})" for name, number in others.items())
    hint = "A model server has one model at a time: raise replicas of the instance, or unpublish one of them."
    return [Reason(f"Other models of the cell have model servers: {told}.", hint)]


def _unknown_model(lines: t.Iterable[str], model: Model) -> list[Reason]:
    """Whether the model servers said, as they do when they start, that they do not serve a class."""
    skipped = {found[1]: found[2] for line in lines if (found := _SKIPPED.search(line))}
    if model.path in skipped:
        return [Reason(f"The model servers do not serve {model.path}: {skipped[model.path]}", fatal=True)]
    servable = sorted({found[1] for line in lines if (found := _SERVABLE.search(line))})
    if not servable or model.path in servable:
        return []
    near = difflib.get_close_matches(model.path, servable, n=3, cutoff=0.5)
    return [Reason(f"No model server knows {model.path}.", f"Near are {', '.join(near)}." if near else "", fatal=True)]


def _not_joined(servers: Servers) -> list[Reason]:
    if not servers.logs:
        return [Reason("There is no Pod of a model server yet.")]
    missing = [
        server
        for server, logs in servers.logs.items()
        if not any("Started joining SAX cell" in line for log in logs for line in log)
    ]
    told = f"The log of {', '.join(missing)} does not say that it has joined the cell."
    return [Reason(told, "It joins once it runs.")] if missing else []


def troubles(client: Client, servers: Servers) -> list[Reason]:
    """What keeps Pods of model servers from being ready.

    :raises KubeError: the API server refuses or does not answer.
    """
    found = diagnose.explain(client, Ref.of(servers.workload)) if servers.workload else []
    return [
        Reason(
            f"{finding.reason}: {finding.ref}: {finding.message}"
            + (f"\nIts log: {finding.log}" if finding.log else ""),
            finding.hint,
            finding.fatal,
        )
        for finding in found
    ]
