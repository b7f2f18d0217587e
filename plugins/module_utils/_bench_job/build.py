# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a benchmark to its Kubernetes objects. Pure: the same input makes the same objects."""

from __future__ import annotations

import base64
import hashlib
import json
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._bench.engines.engine import FILES, PACKAGE, RESULTS
from ansible_collections.modelops.serving.plugins.module_utils._bench.errors import InputError
from ansible_collections.modelops.serving.plugins.module_utils._bench_job.spec import BenchSpec, Object

IDENTITY = "modelops.serving/specification"
RUN = "modelops.serving/run"
CONTAINER = "bench"
APP = "inference-benchmark"
#: Set on the nodes of TPUs, whose cores are busy enough, https://cloud.google.com/kubernetes-engine/docs/how-to/tpus
TPU_LABEL = "cloud.google.com/gke-tpu-accelerator"
KEY = "api-key"
#: How the Pod finds the package.
PROGRAM = "/opt/modelops"
_ZIP = f"{PACKAGE}.zip"
_TEMPORARY = "/tmp"  # noqa: S108 - a volume of the container
# https://kubernetes.io/docs/concepts/configuration/configmap/#motivation: 1 MiB for all values of a ConfigMap.
_MAX_CONFIG = 1024**2


def build(spec: BenchSpec, program: bytes, run_id: str) -> list[Object]:
    """ConfigMap, Secret and the Jobs, in this order. Labels of ownership are added later.

    :param program: the zip of the package ``_bench``.
    :raises InputError: the files are too large for a ConfigMap.
    """
    keys = [{name: _key(spec, number, name) for name in sorted(files)} for number, files in enumerate(spec.shards)]
    config = _config(spec, program, keys)
    objects = [config]
    if spec.key is not None:
        name = key_secret(spec.name)
        objects.append(_object("v1", "Secret", name, spec.namespace, type="Opaque", stringData={KEY: spec.key}))
    for name, names in zip(spec.jobs, keys, strict=True):
        job = _object("batch/v1", "Job", name, spec.namespace, spec=_job(spec, config["metadata"]["name"], names))
        job["metadata"]["annotations"] = {IDENTITY: identity(spec, program)}
        # A template cannot be changed, so that a Job of an earlier run is replaced also when nothing else differs.
        job["spec"]["template"]["metadata"]["annotations"] = {**spec.pod.annotations, RUN: run_id}
        objects.append(job)
    return objects


def identity(spec: BenchSpec, program: bytes) -> str:
    """What a run has to share with the one that is asked for, so that its results can be taken for those."""
    return f"{spec.identity}-{hashlib.sha256(program).hexdigest()[:8]}"


def key_secret(name: str) -> str:
    """Name of the Secret that is made for a benchmark with an API key."""
    return f"{name}-api-key"


def _object(api_version: str, kind: str, name: str, namespace: str, **content: t.Any) -> Object:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": namespace}, **content}


def _key(spec: BenchSpec, number: int, name: str) -> str:
    """Under which key a file lies. What is the same for all Pods, such as prompts, lies there once."""
    same = all(files.get(name) == spec.shards[number][name] for files in spec.shards)
    return name if same else f"{number}.{name}"


def _config(spec: BenchSpec, program: bytes, keys: t.Sequence[t.Mapping[str, str]]) -> Object:
    data = {key: files[name] for names, files in zip(keys, spec.shards, strict=True) for name, key in names.items()}
    size = len(program) + sum(len(content.encode()) for content in data.values())
    if size > _MAX_CONFIG:
        raise InputError(
            f"What the Pods need is {size / 1024:.0f} KiB, and a ConfigMap holds 1024.",
            hint="Take a smaller dataset, or synthetic prompts.",
        )
    # Named after its content, so that what a running Pod has mounted never changes under it.
    digest = hashlib.sha256(program + json.dumps(data, sort_keys=True).encode()).hexdigest()[:8]
    binary = {_ZIP: base64.b64encode(program).decode()}
    return _object("v1", "ConfigMap", f"{spec.name}-{digest}", spec.namespace, data=data, binaryData=binary)


def _job(spec: BenchSpec, config: str, keys: t.Mapping[str, str]) -> Object:
    labels = {**spec.pod.labels, "app.kubernetes.io/name": APP, "app.kubernetes.io/instance": spec.name}
    return {
        "backoffLimit": 0,  # half a run cannot be gone on with
        "activeDeadlineSeconds": spec.deadline,
        "ttlSecondsAfterFinished": spec.ttl,
        "template": {"metadata": {"labels": labels}, "spec": _pod(spec, config, keys)},
    }


def _pod(spec: BenchSpec, config: str, keys: t.Mapping[str, str]) -> Object:
    options = spec.pod
    security: Object = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    if options.user is not None:
        security |= {"runAsUser": options.user, "runAsGroup": options.user, "fsGroup": options.user}
    elsewhere = {"matchExpressions": [{"key": TPU_LABEL, "operator": "DoesNotExist"}]}
    pod: Object = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 60,  # time to collect what was measured
        "securityContext": security,
        "affinity": {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [elsewhere]}}
        },
        "volumes": _volumes(spec, config, keys),
        "containers": [_container(spec)],
    }
    if spec.service_account is not None:
        pod["serviceAccountName"] = spec.service_account
    if options.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in options.image_pull_secrets]
    if options.node_selector:
        pod["nodeSelector"] = dict(options.node_selector)
    if options.tolerations:
        pod["tolerations"] = list(options.tolerations)
    return pod


def _volumes(spec: BenchSpec, config: str, keys: t.Mapping[str, str]) -> list[Object]:
    files = [{"key": key, "path": name} for name, key in keys.items()]
    return [
        {"name": "files", "configMap": {"name": config, "items": files}},
        {"name": "program", "configMap": {"name": config, "items": [{"key": _ZIP, "path": _ZIP}]}},
        {"name": "results", "emptyDir": {}},
        {"name": "tmp", "emptyDir": {}},
        *(spec.token.volumes if spec.token else ()),
    ]


def _container(spec: BenchSpec) -> Object:
    resources = {"cpu": spec.pod.cpu, "memory": spec.pod.memory, "ephemeral-storage": spec.pod.storage}
    return {
        "name": CONTAINER,
        "image": spec.pod.image,
        "imagePullPolicy": spec.pod.image_pull_policy,
        "command": ["python3", "-m", f"{PACKAGE}.pod", FILES, RESULTS],
        "env": _env(spec),
        # With requests like the limits, and whole cores, a node can give the Pod cores of its own.
        "resources": {"requests": resources, "limits": dict(resources)},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "files", "mountPath": FILES, "readOnly": True},
            {"name": "program", "mountPath": PROGRAM, "readOnly": True},
            {"name": "results", "mountPath": RESULTS},
            {"name": "tmp", "mountPath": _TEMPORARY},
            *(spec.token.mounts if spec.token else ()),
        ],
    }


def _env(spec: BenchSpec) -> list[Object]:
    """Each variable once; what the user gives counts."""
    ours: list[Object] = [
        {"name": "PYTHONPATH", "value": f"{PROGRAM}/{_ZIP}"},
        {"name": "PYTHONUNBUFFERED", "value": "1"},
        {"name": "PYTHONDONTWRITEBYTECODE", "value": "1"},
        {"name": "HOME", "value": _TEMPORARY},
        _field("POD_NAME", "metadata.name"),
        _field("POD_NAMESPACE", "metadata.namespace"),
        _field("NODE_NAME", "spec.nodeName"),
        *({"name": name, "value": value} for name, value in sorted(spec.environment.items())),
        *(
            {"name": name, "valueFrom": {"secretKeyRef": {"name": source.name, "key": source.key}}}
            for name, source in sorted(spec.secrets.items())
        ),
        *(spec.token.env if spec.token else ()),
    ]
    given = spec.pod.env
    return [item for item in ours if item["name"] not in given] + [
        {"name": key, "value": given[key]} for key in sorted(given)
    ]


def _field(name: str, path: str) -> Object:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
