# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Objects that are there on request: each is made of its options, the instance and the workload that clients ask. Pure.

Of custom resources the versions are those that their projects call stable: InferencePool is v1, and what of the Gateway
API Inference Extension has moved elsewhere is not made.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._serving.engine import (
    INSTANCE_LABEL,
    Engine,
    Workload,
    entrance,
)
from ansible_collections.modelops.serving.plugins.module_utils._serving.instance import Device, Instance, Object
from ansible_collections.modelops.serving.plugins.module_utils._tpu.capacity import Capacity
from ansible_collections.modelops.serving.plugins.module_utils._tpu.slice import Slice
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError

_TARGETS = {
    "deployment": ("apps/v1", "Deployment"),
    "leader_worker_set": ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet"),
}


@dataclasses.dataclass(frozen=True)
class Autoscaling:
    """Replicas by the number of requests that wait.

    :param kind: ``hpa`` needs an adapter for custom metrics, ``keda`` asks Prometheus itself and goes down to 0.
    :param target: waiting requests per replica; the samples of GKE have 10.
    :param metric: its name in the adapter. Without it, that of the adapter of Google Cloud Managed Service for Prometheus.
    :param prometheus: address of the server, for keda.
    """

    max_replicas: int
    min_replicas: int = 1
    kind: str = "hpa"
    target: int = 10
    metric: str | None = None
    prometheus: str | None = None


@dataclasses.dataclass(frozen=True)
class Monitoring:
    """Metrics of the Pods.

    :param kind: ``pod_monitoring`` of Google Cloud Managed Service for Prometheus, or ``pod_monitor`` of the Prometheus
        Operator, which often looks for ``labels``.
    """

    kind: str = "pod_monitoring"
    interval: str = "15s"
    labels: t.Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Pool:
    """An InferencePool: the Pods as a backend that an endpoint picker chooses among.

    :param picker: Service of the endpoint picker, which is there.
    :param failure_mode: what happens without it: ``FailOpen`` sends to any Pod, ``FailClose`` to none.
    """

    picker: str
    picker_port: int = 9002
    failure_mode: str = "FailClose"


@dataclasses.dataclass(frozen=True)
class Canary:
    """Another instance of the same engine in the namespace, and how many of 100 requests it gets."""

    name: str
    weight: int


@dataclasses.dataclass(frozen=True)
class Route:
    """An HTTPRoute from Gateways that are there, to the Service or the InferencePool.

    :param gateways: its ``parentRefs``.
    :param canary: gets its share of the requests, by its own Service or InferencePool.
    """

    gateways: tuple[Object, ...]
    hostnames: tuple[str, ...] = ()
    path: str = "/"
    timeout: str | None = None
    canary: Canary | None = None


@dataclasses.dataclass(frozen=True)
class Access:
    """A NetworkPolicy: who may ask. Pods of the instance may always ask each other.

    :param sources: peers as a NetworkPolicy has them, those that scrape metrics included. Without any: the namespace.
    """

    sources: tuple[Object, ...] = ()


@dataclasses.dataclass(frozen=True)
class Ladder:
    """A ComputeClass: nodes from the first of several capacities that has them. It belongs to the whole cluster."""

    name: str
    steps: tuple[Capacity, ...]


@dataclasses.dataclass(frozen=True)
class Extras:
    """All that can be had beside the objects that every instance has."""

    autoscaling: Autoscaling | None = None
    monitoring: Monitoring | None = None
    pool: Pool | None = None
    route: Route | None = None
    access: Access | None = None
    ladder: Ladder | None = None


def objects(instance: Instance, engine: Engine, workload: Workload, wanted: Extras) -> list[Object]:
    """Those that are wanted."""
    found = []
    if wanted.autoscaling:
        found.append(_autoscaler(instance, engine, workload, wanted.autoscaling))
    if wanted.monitoring and engine.metrics:
        found.append(_monitor(instance, engine, workload, wanted.monitoring))
    if wanted.pool:
        found.append(_pool(instance, engine, workload, wanted.pool))
    if wanted.route:
        found.append(_route(instance, engine, workload, wanted.route, pool=wanted.pool is not None))
    if wanted.access:
        found.append(_network_policy(instance, engine, workload, wanted.access))
    if wanted.ladder and not isinstance(instance.hardware, Device):
        found.append(compute_class(wanted.ladder, instance.hardware.slice))
    return found


# -- what is checked ---------------------------------------------------------------------------------------------------


def check(instance: Instance, engine: Engine, wanted: Extras) -> None:
    """Raise unless what is wanted can be made for this engine.

    :raises InputError: it cannot.
    :raises TpuError: a step of the ladder is not to be had on that TPU.
    """
    if wanted.autoscaling:
        _check_autoscaling(engine, wanted.autoscaling)
    if wanted.monitoring:
        _one_of("monitoring", wanted.monitoring.kind, ("pod_monitoring", "pod_monitor"))
        if not engine.metrics:
            raise InputError(f"{engine.name} has no metrics for Prometheus.", hint="Leave out monitoring.")
    if wanted.pool:
        _one_of("failure_mode", wanted.pool.failure_mode, ("FailOpen", "FailClose"))
        if engine.api != "openai":
            raise InputError(
                f"Endpoint pickers do not know the API of {engine.name}.",
                hint="Leave out the InferencePool, or take vllm.",
            )
    if wanted.route:
        _check_route(instance, wanted.route)
    if wanted.ladder:
        _check_ladder(instance, wanted.ladder)


def _one_of(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError(f"{what} {value!r} is not known.", hint=f"Use one of {', '.join(known)}.")


def _check_autoscaling(engine: Engine, scaling: Autoscaling) -> None:
    _one_of("autoscaling", scaling.kind, ("hpa", "keda"))
    if not engine.queue:
        raise InputError(
            f"{engine.name} has no metric of requests that wait.", hint="Leave out autoscaling, and give replicas."
        )
    if not 0 <= scaling.min_replicas <= scaling.max_replicas or scaling.max_replicas < 1 or scaling.target < 1:
        raise InputError(
            f"{scaling.min_replicas} to {scaling.max_replicas} replicas with a target of {scaling.target} is no range.",
            hint="Give min_replicas of at least 0, max_replicas not below it and at least 1, and a target of at least 1.",
        )
    if scaling.kind == "hpa" and scaling.min_replicas == 0:
        raise InputError("An HPA does not go down to 0 replicas.", hint="Give min_replicas of 1, or take keda.")
    if scaling.kind == "keda" and not scaling.prometheus:
        raise InputError("KEDA has to be told where Prometheus is.", hint="Give prometheus, such as http://host:9090.")


def _check_route(instance: Instance, route: Route) -> None:
    if not route.gateways:
        raise InputError("The HTTPRoute has no Gateway.", hint="Give at least one, with its name.")
    if not route.canary:
        return
    if route.canary.name == instance.name:
        raise InputError(
            f"{instance.name} cannot be its own canary.", hint=f"Give another instance, such as {instance.name}-canary."
        )
    if not 0 <= route.canary.weight <= 100:
        raise InputError(
            f"The canary {route.canary.name} cannot get {route.canary.weight} of 100 requests.",
            hint="Give a weight from 0 to 100.",
        )


def _check_ladder(instance: Instance, ladder: Ladder) -> None:
    hardware = instance.hardware
    if isinstance(hardware, Device):
        raise InputError("A ComputeClass is made for slices only.", hint="Leave out the ladder.")
    if hardware.capacity.compute_class != ladder.name:
        raise InputError(
            f"The ComputeClass {ladder.name} would be made, and {instance.name} does not ask for it.",
            hint=f"Give the instance the capacity compute_class {ladder.name}.",
        )
    if not ladder.steps:
        raise InputError(f"The ComputeClass {ladder.name} has no steps.", hint="Give at least one capacity.")
    for step in ladder.steps:
        if step.kind not in _STEPS:
            raise InputError(f"{step.kind} is no step of a ComputeClass.", hint=f"Use {', '.join(_STEPS)}.")
        step.check(hardware.slice.generation)


# -- objects -----------------------------------------------------------------------------------------------------------


def _object(
    api_version: str, kind: str, instance: Instance, spec: Object, labels: t.Mapping[str, str] | None = None
) -> Object:
    metadata: Object = {"name": instance.name, "namespace": instance.namespace}
    if labels:
        metadata["labels"] = dict(labels)
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}


def _autoscaler(instance: Instance, engine: Engine, workload: Workload, scaling: Autoscaling) -> Object:
    api_version, kind = _TARGETS[workload.controller]
    target = {"apiVersion": api_version, "kind": kind, "name": workload.name}
    if scaling.kind == "hpa":
        metric = scaling.metric or f"prometheus.googleapis.com|{engine.queue}|gauge"
        average = {"type": "AverageValue", "averageValue": str(scaling.target)}
        spec: Object = {
            "scaleTargetRef": target,
            "minReplicas": scaling.min_replicas,
            "maxReplicas": scaling.max_replicas,
            "metrics": [{"type": "Pods", "pods": {"metric": {"name": metric}, "target": average}}],
        }
        return _object("autoscaling/v2", "HorizontalPodAutoscaler", instance, spec)
    mine = f'namespace="{instance.namespace}",pod=~"{workload.name}-.*"'
    query = scaling.metric or f"sum({engine.queue}{{{mine}}})"
    trigger = {"serverAddress": scaling.prometheus, "query": query, "threshold": str(scaling.target)}
    spec = {
        "scaleTargetRef": target,
        "minReplicaCount": scaling.min_replicas,
        "maxReplicaCount": scaling.max_replicas,
        "triggers": [{"type": "prometheus", "metadata": trigger}],
    }
    return _object("keda.sh/v1alpha1", "ScaledObject", instance, spec)


def _monitor(instance: Instance, engine: Engine, workload: Workload, monitoring: Monitoring) -> Object:
    port, path = engine.metrics or (engine.port, "/metrics")
    where = [{"port": port.name, "path": path, "interval": monitoring.interval}]
    chosen = {"selector": {"matchLabels": entrance(instance, workload)}}
    if monitoring.kind == "pod_monitoring":
        spec = {**chosen, "endpoints": where}
        return _object("monitoring.googleapis.com/v1", "PodMonitoring", instance, spec, monitoring.labels)
    spec = {**chosen, "podMetricsEndpoints": where}
    return _object("monitoring.coreos.com/v1", "PodMonitor", instance, spec, monitoring.labels)


def _pool(instance: Instance, engine: Engine, workload: Workload, pool: Pool) -> Object:
    spec = {
        "selector": {"matchLabels": entrance(instance, workload)},
        "targetPorts": [{"number": engine.port.number}],
        "endpointPickerRef": {
            "kind": "Service",
            "name": pool.picker,
            "port": {"number": pool.picker_port},
            "failureMode": pool.failure_mode,
        },
    }
    return _object("inference.networking.k8s.io/v1", "InferencePool", instance, spec)


def _route(instance: Instance, engine: Engine, workload: Workload, route: Route, *, pool: bool) -> Object:
    if pool:
        backend: Object = {"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": instance.name}
    else:
        backend = {"kind": "Service", "name": workload.name, "port": engine.port.number}
    backends = [backend]
    if route.canary:
        weight = route.canary.weight
        backends = [{**backend, "weight": 100 - weight}, {**backend, "name": route.canary.name, "weight": weight}]
    rule: Object = {
        "matches": [{"path": {"type": "PathPrefix", "value": route.path}}],
        "backendRefs": backends,
    }
    if route.timeout:
        rule["timeouts"] = {"request": route.timeout}
    spec: Object = {"parentRefs": list(route.gateways), "rules": [rule]}
    if route.hostnames:
        spec["hostnames"] = list(route.hostnames)
    return _object("gateway.networking.k8s.io/v1", "HTTPRoute", instance, spec)


def _network_policy(instance: Instance, engine: Engine, workload: Workload, access: Access) -> Object:
    ours = {"podSelector": {"matchLabels": {INSTANCE_LABEL: instance.name}}}
    asked = {*workload.ports, *(engine.metrics or ())[:1]}
    ports = [{"protocol": "TCP", "port": port.name} for port in sorted(asked)]
    spec = {
        **ours,
        "policyTypes": ["Ingress"],
        "ingress": [
            {"from": list(access.sources) or [{"podSelector": {}}], "ports": ports},
            {"from": [ours]},
        ],
    }
    return _object("networking.k8s.io/v1", "NetworkPolicy", instance, spec)


#: What a priority of a ComputeClass says of a kind of capacity, beside names and times.
_STEPS: dict[str, Object] = {
    "reservation": {},
    "on_demand": {},
    "flex_start": {"flexStart": {"enabled": True}},
    "spot": {"spot": True},
}


def compute_class(ladder: Ladder, on: Slice) -> Object:
    """GKE takes the first step that has nodes, and moves to an earlier one when it can.

    https://cloud.google.com/kubernetes-engine/docs/reference/crds/computeclass
    """
    priorities = []
    for step in ladder.steps:
        priority = {"machineType": on.machine.name, "tpu": on.compute_class, **_STEPS[step.kind]}
        if step.reservation:
            project = {"project": step.reservation_project} if step.reservation_project else {}
            priority["reservations"] = {"affinity": "Specific", "specific": [{"name": step.reservation, **project}]}
        if step.max_run_duration:
            priority["maxRunDurationSeconds"] = step.max_run_duration
        priorities.append(priority)
    spec = {
        "priorities": priorities,
        "nodePoolAutoCreation": {"enabled": True},
        "activeMigration": {"optimizeRulePriority": True},
        "whenUnsatisfiable": "DoNotScaleUp",
    }
    return {
        "apiVersion": "cloud.google.com/v1",
        "kind": "ComputeClass",
        "metadata": {"name": ladder.name},
        "spec": spec,
    }
