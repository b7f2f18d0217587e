# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an engine is: it makes workloads of an instance. What all workloads have in common is added by ``build``.

An engine says what its containers run, mount and how they are probed. Where Pods are placed, which account they run as,
their labels and the objects around them are none of its business.
"""

from __future__ import annotations

import abc
import dataclasses
import difflib
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._serving.instance import (
    RESOURCES,
    Device,
    Instance,
    Object,
)
from ansible_collections.modelops.serving.plugins.module_utils._tpu.slice import check_engine
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError

Api: t.TypeAlias = t.Literal["openai", "jetstream", "saxml"]
Controller: t.TypeAlias = t.Literal["deployment", "leader_worker_set", "job_set"]

#: Seconds in which endpoints of a Pod that ends are taken out of load balancers.
DRAIN = 15
_PROBE_PERIOD = 10


class Port(t.NamedTuple):
    """A port of a container, under the same number and name in the Service."""

    name: str
    number: int


@dataclasses.dataclass(frozen=True)
class Workload:
    """Pods of one kind.

    :param component: what they are to the instance, such as server: the value of their component label.
    :param containers: of each Pod; that of the server comes first.
    :param annotations: of each Pod.
    :param ports: that a Service of the same name offers; without any there is none. Those of a group are its leader's.
    :param replicas: of the Pod, or of the group.
    :param hosts: Pods of a group.
    :param leader: containers of the first Pod of a group of a LeaderWorkerSet, where they differ from the others'.
    :param on_devices: whether the Pods go to nodes with the devices of the instance.
    :param placement: where they go otherwise, in the words of a Pod.
    :param controller: what makes the Pods.
    """

    name: str
    containers: tuple[Object, ...]
    component: str = "server"
    init_containers: tuple[Object, ...] = ()
    volumes: tuple[Object, ...] = ()
    annotations: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    ports: tuple[Port, ...] = ()
    replicas: int = 1
    hosts: int = 1
    leader: tuple[Object, ...] | None = None
    on_devices: bool = True
    placement: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    controller: Controller = "deployment"


NAME_LABEL = "app.kubernetes.io/name"
INSTANCE_LABEL = "app.kubernetes.io/instance"
COMPONENT_LABEL = "app.kubernetes.io/component"
# What a LeaderWorkerSet numbers the Pods of a group with. The leader is 0.
_INDEX_LABEL = "leaderworkerset.sigs.k8s.io/worker-index"


def selector(instance: Instance, workload: Workload) -> dict[str, str]:
    """Labels of all Pods of a workload, and of no others. The engine is not among them, so it can change."""
    return {INSTANCE_LABEL: instance.name, COMPONENT_LABEL: workload.component}


def entrance(instance: Instance, workload: Workload) -> dict[str, str]:
    """Labels of the Pods that are asked: all of them, or the leader of each group."""
    index = {_INDEX_LABEL: "0"} if workload.controller == "leader_worker_set" else {}
    return {**selector(instance, workload), **index}


_KINDS = {
    int: "an integer",
    float: "a number",
    bool: "true or false",
    str: "text",
    dict: "a dictionary",
    list: "a list",
}


class Setting(t.NamedTuple):
    """An option of an engine's own: its type, and its values if they are few."""

    type: type
    choices: tuple[t.Any, ...] = ()


class Engine(abc.ABC):
    """One way to serve a model.

    :cvar name: as users give it, and as the catalog of TPUs knows it unless ``catalog_name`` is another.
    :cvar api: how it is asked.
    :cvar port: where it is asked; its name is that of the port of the Service.
    :cvar metrics: port and path of its Prometheus metrics.
    :cvar queue: the metric of requests that wait, which scaling goes by; empty if there is none.
    :cvar settings: its own options.
    :cvar deprecated: what users are told each time; empty while it is current.
    """

    name: t.ClassVar[str]
    catalog_name: t.ClassVar[str] = ""
    api: t.ClassVar[Api]
    port: t.ClassVar[Port]
    metrics: t.ClassVar[tuple[Port, str] | None] = None
    queue: t.ClassVar[str] = ""
    settings: t.ClassVar[t.Mapping[str, Setting]] = {}
    deprecated: t.ClassVar[str] = ""

    @abc.abstractmethod
    def default_image(self, instance: Instance) -> str | None:
        """Image of the server on that hardware; None where it has to be given."""

    @abc.abstractmethod
    def workloads(self, instance: Instance) -> tuple[Workload, ...]:
        """The Pods of an instance that has been checked; those that clients ask come first."""

    def check(self, instance: Instance) -> tuple[str, ...]:
        """What is worth knowing about the instance. Engines with rules of their own extend this.

        :raises InputError: a setting, image or device is none of this engine.
        :raises TpuError: it does not run on that TPU.
        """
        check_settings(self.name, self.settings, instance.settings)
        if not (instance.image or self.default_image(instance)):
            raise InputError(
                f"{self.name} has no usual image for this hardware.", hint="Give image, with a tag or digest."
            )
        warnings = (self.deprecated,) if self.deprecated else ()
        if isinstance(instance.hardware, Device):
            return warnings
        generation = instance.hardware.slice.generation
        told = check_engine(generation, self.catalog_name or self.name)
        return warnings or told  # the catalog says in fewer words that an engine is legacy

    def image(self, instance: Instance) -> str:
        """The image of the server."""
        return instance.image or self.default_image(instance) or ""


def check_settings(engine: str, known: t.Mapping[str, Setting], given: t.Mapping[str, t.Any]) -> None:
    """Raise unless all settings are known, and of their type.

    :raises InputError: one is not; a similar name is proposed.
    """
    for name, value in given.items():
        if name not in known:
            similar = difflib.get_close_matches(name, known, 1)
            hint = f"Did you mean {similar[0]}?" if similar else f"Known are {', '.join(sorted(known))}."
            raise InputError(f"{engine} has no setting {name!r}.", hint=hint)
        setting = known[name]
        # A bool is an int to Python, and an int is a fine float.
        kinds = (int, float) if setting.type is float else (setting.type,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and setting.type is not bool):
            raise InputError(f"The setting {name} of {engine} is {value!r}.", hint=f"Give {_KINDS[setting.type]}.")
        if setting.choices and value not in setting.choices:
            raise InputError(
                f"The setting {name} of {engine} is {value!r}.",
                hint=f"Use one of {', '.join(map(str, setting.choices))}.",
            )


# -- parts of containers -----------------------------------------------------------------------------------------------


def server(
    engine: Engine,
    instance: Instance,
    *,
    name: str = "server",
    command: t.Sequence[str] = (),
    args: t.Sequence[str] = (),
    env: t.Iterable[Object] = (),
    ports: t.Iterable[Port] = (),
    mounts: t.Iterable[Object] = (),
    probes: t.Mapping[str, Object] | None = None,
    pre_stop: t.Sequence[str] = ("sleep", str(DRAIN)),
) -> Object:
    """The container that holds the devices: the engine's arguments and variables first, then those of the instance.

    :param env: items of ``env``; those that the instance gives itself are left out.
    :param probes: by name of the field: startupProbe, readinessProbe, livenessProbe.
    :param pre_stop: command that keeps the server up until no load balancer sends to it any more, and until what runs
        has ended where the server drops it.
    """
    return {
        "name": name,
        "image": engine.image(instance),
        "imagePullPolicy": instance.image_pull_policy,
        **({"command": list(command)} if command else {}),
        "args": [*args, *instance.args],
        "env": merge_env(instance, env),
        "ports": container_ports(ports),
        "resources": resources(instance),
        "volumeMounts": list(mounts),
        **(probes or {}),
        "lifecycle": {"preStop": {"exec": {"command": list(pre_stop)}}},
        "securityContext": {"allowPrivilegeEscalation": False},
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def merge_env(instance: Instance, ours: t.Iterable[Object]) -> list[Object]:
    """Each variable once; what the user gives counts."""
    given = instance.env
    return [item for item in ours if item["name"] not in given] + [
        {"name": name, "value": given[name]} for name in sorted(given)
    ]


def container_ports(ports: t.Iterable[Port]) -> list[Object]:
    """Of a container. Servers before 1.21 want the protocol in server-side apply."""
    return [{"name": port.name, "containerPort": port.number, "protocol": "TCP"} for port in ports]


def resources(instance: Instance) -> Object:
    """Of the container with the devices: those of one Pod, and CPU and memory where they are given.

    Requests and limits of memory are equal. CPU is not limited: a server that is throttled answers late.
    """
    hardware = instance.hardware
    if not isinstance(hardware, Device):
        devices = hardware.slice.resources["limits"]
    elif hardware.kind in RESOURCES:
        devices = {RESOURCES[hardware.kind]: str(hardware.count)}
    else:
        devices = {}
    memory = {"memory": instance.memory} if instance.memory else {}
    cpu = {"cpu": instance.cpu} if instance.cpu else {}
    wanted = {"requests": {**cpu, **memory, **devices}, "limits": {**memory, **devices}}
    return {name: values for name, values in wanted.items() if values}


def http_probe(path: str, port: Port, *, period: int, failures: int, timeout: int = 5) -> Object:
    """A GET; ``failures`` of them, ``period`` seconds apart, make the probe fail."""
    return {
        "httpGet": {"path": path, "port": port.name},
        "periodSeconds": period,
        "failureThreshold": failures,
        "timeoutSeconds": timeout,
    }


def startup_probe(path: str, port: Port, instance: Instance) -> Object:
    """A GET that may fail for as long as the instance may take to start; the other probes wait for it."""
    return http_probe(path, port, period=_PROBE_PERIOD, failures=-(-instance.startup_timeout // _PROBE_PERIOD))


def field_env(name: str, path: str) -> Object:
    """A variable with a field of the Pod, such as ``metadata.name``."""
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
