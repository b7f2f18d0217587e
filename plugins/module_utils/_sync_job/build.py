# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a sync to its Kubernetes objects. Pure: the same input makes the same objects."""

from __future__ import annotations

import base64
import hashlib
import json
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._sync_job.spec import Features, JobSpec, Object

CONFIG = "/etc/model-sync"
SITE = "/opt/site-packages"
CREDENTIALS = "/var/run/secrets/modelops.serving/credentials"
IDENTITY = "modelops.serving/specification"
MODEL = "modelops.serving/model"
CONTAINER = "sync"
REQUIREMENTS_CONTAINER = "requirements"
HOPELESS = [2, 4]  # exit statuses of the engine after which another try changes nothing: bad input, refused
_ENGINE = "modelops_transfer.zip"
_REQUIREMENTS = "requirements.txt"
_REQUEST = "request.json"
_TEMPORARY = "/tmp"  # noqa: S108 - a volume of the container


def build(spec: JobSpec, engine: bytes, requirements: t.Sequence[str], features: Features) -> list[Object]:
    """ConfigMap, Secret, ServiceAccount and the Job or CronJob, in this order. Labels of ownership are added later.

    :param engine: the zip of the transfer engine.
    :param requirements: its pinned third-party packages, one requirement each.
    """
    config = _config(spec, engine, requirements)
    objects = [config]
    if spec.credentials:
        objects.append(
            _object(
                "v1", "Secret", credentials_name(spec), spec.namespace, type="Opaque", stringData=dict(spec.credentials)
            )
        )
    if spec.service_account is None:
        account = _object("v1", "ServiceAccount", spec.name, spec.namespace, automountServiceAccountToken=False)
        if spec.service_account_annotations:
            account["metadata"]["annotations"] = dict(spec.service_account_annotations)
        objects.append(account)
    job = _job_spec(spec, config["metadata"]["name"], features)
    if spec.schedule is None:
        objects.append(_object("batch/v1", "Job", spec.name, spec.namespace, spec=job))
    else:
        objects.append(_cron_job(spec, job, features))
    for item in objects:
        item["metadata"].setdefault("annotations", {})[MODEL] = spec.model
    objects[-1]["metadata"]["annotations"][IDENTITY] = spec.identity
    return objects


def credentials_name(spec: JobSpec) -> str:
    """Name of the Secret that is made for this sync."""
    return f"{spec.name}-credentials"


def _object(api_version: str, kind: str, name: str, namespace: str, **content: t.Any) -> Object:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": namespace}, **content}


def _config(spec: JobSpec, engine: bytes, requirements: t.Sequence[str]) -> Object:
    data = {_REQUEST: json.dumps(spec.request, indent=1, sort_keys=True) + "\n", **spec.files}
    if spec.pod.requirements:
        data[_REQUIREMENTS] = "".join(f"{line}\n" for line in requirements)
    # Named after its content, so that what a running Pod has mounted never changes under it.
    digest = hashlib.sha256(engine + json.dumps(data, sort_keys=True).encode()).hexdigest()[:8]
    return _object(
        "v1",
        "ConfigMap",
        f"{spec.name}-{digest}",
        spec.namespace,
        data=data,
        binaryData={_ENGINE: base64.b64encode(engine).decode()},
    )


def _cron_job(spec: JobSpec, job: Object, features: Features) -> Object:
    return _object(
        features.cron_api,
        "CronJob",
        spec.name,
        spec.namespace,
        spec={
            "schedule": spec.schedule,
            "suspend": spec.suspend,
            # Two runs would only wait for each other's lease.
            "concurrencyPolicy": "Forbid",
            "successfulJobsHistoryLimit": 1,
            "failedJobsHistoryLimit": 3,
            "jobTemplate": {"metadata": {"labels": _labels(spec)}, "spec": job},
        },
    )


def _labels(spec: JobSpec) -> dict[str, str]:
    """Of what Kubernetes makes from a template; that is not ours to prune, so it says nothing of who manages it."""
    return {
        "app.kubernetes.io/name": "model-sync",
        "app.kubernetes.io/instance": spec.name,
    }


def _job_spec(spec: JobSpec, config: str, features: Features) -> Object:
    job: Object = {"backoffLimit": spec.backoff_limit}
    if spec.deadline is not None:
        job["activeDeadlineSeconds"] = spec.deadline
    if spec.ttl is not None:
        job["ttlSecondsAfterFinished"] = spec.ttl
    if spec.parallelism > 1:
        job |= {"completionMode": "Indexed", "completions": spec.parallelism, "parallelism": spec.parallelism}
    if features.pod_failure_policy:
        job["podFailurePolicy"] = {
            "rules": [
                # A node that is drained is no fault of the sync.
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                {
                    "action": "FailJob",
                    "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": HOPELESS},
                },
            ]
        }
    metadata: Object = {"labels": {**spec.pod.labels, **_labels(spec)}}
    if spec.pod.annotations:
        metadata["annotations"] = dict(spec.pod.annotations)
    job["template"] = {"metadata": metadata, "spec": _pod(spec, config)}
    return job


def _pod(spec: JobSpec, config: str) -> Object:
    options = spec.pod
    security: Object = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    if options.user is not None:
        security |= {"runAsUser": options.user, "runAsGroup": options.user, "fsGroup": options.user}
    pod: Object = {
        "restartPolicy": "Never",  # each try keeps its log, and its exit status counts
        "serviceAccountName": spec.service_account or spec.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 60,  # time to store how far the uploads have come
        "securityContext": security,
        "volumes": _volumes(spec, config),
        "containers": [_sync_container(spec)],
    }
    if options.requirements:
        pod["initContainers"] = [_requirements_container(spec)]
    if options.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in options.image_pull_secrets]
    if options.node_selector:
        pod["nodeSelector"] = dict(options.node_selector)
    if options.tolerations:
        pod["tolerations"] = list(options.tolerations)
    return pod


def _volumes(spec: JobSpec, config: str) -> list[Object]:
    volumes: list[Object] = [
        {"name": "config", "configMap": {"name": config}},
        {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
    ]
    if spec.pod.requirements:
        volumes.append({"name": "site-packages", "emptyDir": {"sizeLimit": "512Mi"}})
    if spec.credentials:
        secret = {"secretName": credentials_name(spec), "defaultMode": 0o440}
        volumes.append({"name": "credentials", "secret": secret})
    for number, mount in enumerate(spec.mounts):
        items = [{"key": key, "path": key} for key in mount.keys]
        secret = {"secretName": mount.secret, "items": items, "defaultMode": 0o440}
        volumes.append({"name": f"secret-{number}", "secret": secret})
    return volumes + list(spec.token.volumes if spec.token else ())


def _mounts(spec: JobSpec) -> list[Object]:
    mounts: list[Object] = [
        {"name": "config", "mountPath": CONFIG, "readOnly": True},
        {"name": "tmp", "mountPath": _TEMPORARY},
    ]
    if spec.pod.requirements:
        mounts.append({"name": "site-packages", "mountPath": SITE, "readOnly": True})
    if spec.credentials:
        mounts.append({"name": "credentials", "mountPath": CREDENTIALS, "readOnly": True})
    mounts += [
        {"name": f"secret-{number}", "mountPath": mount.directory, "readOnly": True}
        for number, mount in enumerate(spec.mounts)
    ]
    return mounts + list(spec.token.mounts if spec.token else ())


def _container(spec: JobSpec, name: str, command: list[str], env: list[Object]) -> Object:
    return {
        "name": name,
        "image": spec.pod.image,
        "imagePullPolicy": spec.pod.image_pull_policy,
        "command": command,
        "env": _env(spec, [{"name": "HOME", "value": _TEMPORARY}, *env]),
        "resources": {
            "requests": {"cpu": "250m", "memory": spec.memory, "ephemeral-storage": _storage(spec)},
            "limits": {"cpu": spec.pod.cpu, "memory": spec.memory, "ephemeral-storage": _storage(spec)},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _env(spec: JobSpec, ours: t.Iterable[Object]) -> list[Object]:
    """Each variable once; what the user gives counts."""
    given = spec.pod.env
    return [item for item in ours if item["name"] not in given] + [
        {"name": key, "value": given[key]} for key in sorted(given)
    ]


def _storage(spec: JobSpec) -> str:
    """Of the bytes of the model nothing is staged: only packages, temporary files and logs take space."""
    return "768Mi" if spec.pod.requirements else "256Mi"


def _sync_container(spec: JobSpec) -> Object:
    env: list[Object] = [
        {"name": "PYTHONPATH", "value": f"{CONFIG}/{_ENGINE}" + (f":{SITE}" if spec.pod.requirements else "")},
        {"name": "PYTHONUNBUFFERED", "value": "1"},
        {"name": "PYTHONDONTWRITEBYTECODE", "value": "1"},
    ]
    command = ["python3", "-m", "modelops_transfer", "sync", f"{CONFIG}/{_REQUEST}"]
    command += ["--termination-log", "/dev/termination-log"]
    if spec.request["source"]["type"] != "in_place":
        # One Job is one group: a Pod that takes the place of another goes on at once, without waiting for its lease to
        # end. What only looks at what is there belongs to no group.
        env.append(_field("GROUP", "metadata.labels['controller-uid']"))
        command += ["--group", "$(GROUP)"]
    if spec.parallelism > 1:
        env.append(_field("SHARD", "metadata.annotations['batch.kubernetes.io/job-completion-index']"))
        command += ["--shard", "$(SHARD)"]
    env += spec.token.env if spec.token else ()
    return {**_container(spec, CONTAINER, command, env), "volumeMounts": _mounts(spec)}


def _field(name: str, path: str) -> Object:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def _requirements_container(spec: JobSpec) -> Object:
    """Installs what the engine imports. It sees the list and nothing secret."""
    command = ["python3", "-m", "pip", "install", "--no-deps", "--no-cache-dir", "--disable-pip-version-check"]
    command += ["--only-binary=:all:", "--target", SITE, "--requirement", f"{CONFIG}/{_REQUIREMENTS}"]
    if spec.pod.index_url:
        command += ["--index-url", spec.pod.index_url]
    if spec.pod.trusted_host:
        command += ["--trusted-host", spec.pod.trusted_host]
    # pip unpacks to its temporary folder first: from there to the volume it is one move.
    env = [{"name": "TMPDIR", "value": SITE}]
    return {
        **_container(spec, REQUIREMENTS_CONTAINER, command, env),
        "volumeMounts": [
            {"name": "config", "mountPath": CONFIG, "readOnly": True},
            {"name": "tmp", "mountPath": _TEMPORARY},
            {"name": "site-packages", "mountPath": SITE},
        ],
    }
