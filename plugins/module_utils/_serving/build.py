# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From an instance to its Kubernetes objects. Pure: the same input makes the same objects.

An engine makes workloads (:mod:`engine`); here they get what all have in common and become objects: a Deployment on one
host, a LeaderWorkerSet or JobSet on several, with ServiceAccount, Services and PodDisruptionBudgets. What is there on
request only is made by :mod:`extras`.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._serving import extras
from ansible_collections.modelops.serving.plugins.module_utils._serving import instance as instances
from ansible_collections.modelops.serving.plugins.module_utils._serving.engine import (
    DRAIN,
    NAME_LABEL,
    Engine,
    Workload,
    entrance,
    selector,
)
from ansible_collections.modelops.serving.plugins.module_utils._serving.engines.jetstream import JetStream
from ansible_collections.modelops.serving.plugins.module_utils._serving.engines.jetstream_pytorch import (
    JetStreamPyTorch,
)
from ansible_collections.modelops.serving.plugins.module_utils._serving.engines.saxml import Saxml
from ansible_collections.modelops.serving.plugins.module_utils._serving.engines.vllm import Vllm
from ansible_collections.modelops.serving.plugins.module_utils._serving.extras import Extras
from ansible_collections.modelops.serving.plugins.module_utils._serving.instance import (
    Connection,
    Device,
    Instance,
    Object,
    Tpu,
)
from ansible_collections.modelops.serving.plugins.module_utils._tpu.capacity import scheduling
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError

_ENGINES: tuple[Engine, ...] = (Vllm(), JetStream(), JetStreamPyTorch(), Saxml())
#: By name, the one for anything new first.
ENGINES = {engine.name: engine for engine in _ENGINES}

#: Seconds for a node and the image, before the server starts: with them a Deployment is not called failed too early.
_ARRIVAL = 1800
# One group per node pool, which is one slice.
_EXCLUSIVE = "exclusive-topology"
_NODE_POOL = "cloud.google.com/gke-nodepool"


@dataclasses.dataclass(frozen=True)
class Features:
    """What differs between the versions of Kubernetes in use. The default is a current one.

    :param versions: by kind, the API version that stands for ours.
    """

    versions: t.Mapping[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, version: tuple[int, int]) -> Features:
        """Features of a server.

        https://kubernetes.io/docs/reference/using-api/deprecation-guide/ has PodDisruptionBudget in policy/v1 from 1.21,
        HorizontalPodAutoscaler in autoscaling/v2 from 1.23.
        """
        versions = {}
        if version < (1, 21):
            versions["PodDisruptionBudget"] = "policy/v1beta1"
        if version < (1, 23):
            versions["HorizontalPodAutoscaler"] = "autoscaling/v2beta2"
        return cls(versions)


def check(instance: Instance, wanted: Extras | None = None) -> tuple[str, ...]:
    """What is worth knowing about an instance before its objects are made.

    :raises InputError: it cannot be made into objects that work.
    :raises TpuError: it cannot be had on that slice.
    """
    engine = engine_of(instance)
    warnings = (*instances.check(instance), *engine.check(instance))
    extras.check(instance, engine, wanted or Extras())
    if instance.kserve:
        from ansible_collections.modelops.serving.plugins.module_utils._serving import kserve  # few need it

        kserve.check(instance, engine.workloads(instance)[0], wanted or Extras())
    elif isinstance(instance.model.weights, Connection):
        raise InputError(
            f"{instance.name} is not served by KServe, which is what fetches models of data connections.",
            hint="Give kserve, or the same place as stream.",
        )
    return warnings


def engine_of(instance: Instance) -> Engine:
    """The engine by its name.

    :raises InputError: there is none.
    """
    if instance.engine not in ENGINES:
        raise InputError(f"There is no engine {instance.engine!r}.", hint=f"Use one of {', '.join(ENGINES)}.")
    return ENGINES[instance.engine]


def objects(instance: Instance, wanted: Extras | None = None, features: Features | None = None) -> list[Object]:
    """All objects of an instance that has been checked. Labels of ownership are added later.

    :raises InputError: a bucket or the source of a token cannot be mounted.
    """
    wanted = wanted or Extras()
    engine = engine_of(instance)
    workloads = engine.workloads(instance)
    main = workloads[0]
    found = [_service_account(instance)] if instance.service_account is None else []
    for workload in workloads:
        if instance.kserve:
            found += _of_kserve(instance, workload)
            continue
        made = _CONTROLLERS[workload.controller](instance, workload)
        if workload is main and wanted.autoscaling:
            del made["spec"]["replicas"]  # is the autoscaler's
        found.append(made)
        if workload.ports:
            found.append(_service(instance, workload))
        if workload.controller != "job_set":  # Jobs have no scale that a budget could be a part of
            found.append(_budget(instance, workload))
    found += extras.objects(instance, engine, main, wanted)
    versions = (features or Features()).versions
    return [{**obj, "apiVersion": versions.get(obj["kind"], obj["apiVersion"])} for obj in found]


# -- objects -----------------------------------------------------------------------------------------------------------


def _of_kserve(instance: Instance, workload: Workload) -> list[Object]:
    """What KServe makes a Deployment and a Service of, and the budget that it does not make."""
    from ansible_collections.modelops.serving.plugins.module_utils._serving import kserve  # few need it

    template = _template(instance, workload, workload.containers)
    return [*kserve.objects(instance, template, _pace(instance)), _budget(instance, workload)]


def _object(api_version: str, kind: str, name: str, instance: Instance, **content: t.Any) -> Object:
    metadata = {"name": name, "namespace": instance.namespace}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **content}


def _service_account(instance: Instance) -> Object:
    account = _object("v1", "ServiceAccount", instance.name, instance, automountServiceAccountToken=False)
    if instance.service_account_annotations:
        account["metadata"]["annotations"] = dict(instance.service_account_annotations)
    return account


def _service(instance: Instance, workload: Workload) -> Object:
    ports = [
        {"name": port.name, "port": port.number, "protocol": "TCP", "targetPort": port.name} for port in workload.ports
    ]
    spec = {"type": "ClusterIP", "selector": entrance(instance, workload), "ports": ports}
    return _object("v1", "Service", workload.name, instance, spec=spec)


def _budget(instance: Instance, workload: Workload) -> Object:
    """One Pod at a time: that drains of nodes never take all replicas at once, and never wait for ever either."""
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": selector(instance, workload)}}
    return _object("policy/v1", "PodDisruptionBudget", workload.name, instance, spec=spec)


def _deployment(instance: Instance, workload: Workload) -> Object:
    spec = {
        "replicas": workload.replicas,
        "selector": {"matchLabels": selector(instance, workload)},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": _pace(instance)},
        "progressDeadlineSeconds": _ARRIVAL + instance.startup_timeout,
        "template": _template(instance, workload, workload.containers),
    }
    return _object("apps/v1", "Deployment", workload.name, instance, spec=spec)


def _leader_worker_set(instance: Instance, workload: Workload) -> Object:
    group: Object = {
        "size": workload.hosts,
        "restartPolicy": "RecreateGroupOnPodRestart",
        "workerTemplate": _template(instance, workload, workload.containers),
    }
    if workload.leader:
        group["leaderTemplate"] = _template(instance, workload, workload.leader)
    spec = {
        "replicas": workload.replicas,
        # A leader is ready only when it has its workers.
        "startupPolicy": "LeaderCreated",
        "rolloutStrategy": {"type": "RollingUpdate", "rollingUpdateConfiguration": _pace(instance)},
        "leaderWorkerTemplate": group,
    }
    made = _object("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", workload.name, instance, spec=spec)
    made["metadata"]["annotations"] = {f"leaderworkerset.sigs.k8s.io/{_EXCLUSIVE}": _NODE_POOL}
    return made


def _job_set(instance: Instance, workload: Workload) -> Object:
    template = _template(instance, workload, workload.containers)
    template["spec"]["restartPolicy"] = "Never"
    job = {
        "completionMode": "Indexed",
        "completions": workload.hosts,
        "parallelism": workload.hosts,
        "backoffLimit": 0,
        "template": template,
    }
    spec = {
        # A server never ends by itself: whatever ends it, the whole set is made anew.
        "failurePolicy": {"maxRestarts": 1000},
        "network": {"enableDNSHostnames": True},  # GKE tells workers apart by their host names
        "replicatedJobs": [
            {"name": workload.component, "replicas": workload.replicas, "template": {"spec": job}},
        ],
    }
    made = _object("jobset.x-k8s.io/v1alpha2", "JobSet", workload.name, instance, spec=spec)
    made["metadata"]["annotations"] = {f"alpha.jobset.sigs.k8s.io/{_EXCLUSIVE}": _NODE_POOL}
    return made


_CONTROLLERS = {"deployment": _deployment, "leader_worker_set": _leader_worker_set, "job_set": _job_set}


def _pace(instance: Instance) -> Object:
    """Of an update: more at once where there is room for more, else one after the other in its place."""
    return {"maxSurge": instance.max_surge, "maxUnavailable": 0 if instance.max_surge else 1}


# -- Pods --------------------------------------------------------------------------------------------------------------


def _template(instance: Instance, workload: Workload, containers: t.Sequence[Object]) -> Object:
    metadata: Object = {
        "labels": {**instance.labels, NAME_LABEL: instance.engine, **selector(instance, workload)},
    }
    annotations = {**instance.annotations, **workload.annotations}
    if instance.restarted_at:
        annotations["kubectl.kubernetes.io/restartedAt"] = instance.restarted_at
    if annotations:
        metadata["annotations"] = annotations
    return {"metadata": metadata, "spec": _pod(instance, workload, containers)}


def _pod(instance: Instance, workload: Workload, containers: t.Sequence[Object]) -> Object:
    pod: Object = {
        "serviceAccountName": instance.service_account or instance.name,
        "automountServiceAccountToken": False,
        # A Service called vllm would set variables that vLLM takes for its own.
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": DRAIN + instance.termination_grace_period,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "containers": list(containers),
    }
    if workload.init_containers:
        pod["initContainers"] = list(workload.init_containers)
    if workload.volumes:
        pod["volumes"] = list(workload.volumes)
    if instance.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in instance.image_pull_secrets]
    pod.update(_placement(instance.hardware) if workload.on_devices else workload.placement)
    return pod


def _placement(hardware: Tpu | Device) -> Object:
    """Where the Pods go, in the words of a Pod."""
    if isinstance(hardware, Device):
        places = {"nodeSelector": dict(hardware.node_selector), "tolerations": list(hardware.tolerations)}
    else:
        places = scheduling(hardware.slice, hardware.capacity)
    return {field: value for field, value in places.items() if value}
