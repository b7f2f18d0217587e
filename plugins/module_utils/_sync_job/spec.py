# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a sync in the cluster is made of: the request without secrets, where its secrets lie, how its Pods look."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._mounts import TokenMount

Object: t.TypeAlias = "dict[str, t.Any]"

IMAGE = "docker.io/library/python:3.13.9-slim-bookworm"
MAX_NAME = 52  # a CronJob's name; its Jobs get 11 characters more
_MIB = 1024**2


@dataclasses.dataclass(frozen=True)
class SecretMount:
    """Keys of a Secret that is in the namespace already, as files below ``directory``, each under its own name."""

    secret: str
    directory: str
    keys: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Features:
    """What differs between the versions of Kubernetes in use. The default is a current one."""

    indexed_jobs: bool = True
    pod_failure_policy: bool = True
    cron_api: str = "batch/v1"

    @classmethod
    def of(cls, version: tuple[int, int]) -> Features:
        """Features that a server has on by default.

        https://kubernetes.io/docs/reference/command-line-tools-reference/feature-gates-removed/ has IndexedJob from
        1.22, https://kubernetes.io/docs/reference/command-line-tools-reference/feature-gates/ JobPodFailurePolicy from
        1.26; CronJob is in batch/v1 from 1.21.
        """
        return cls(
            indexed_jobs=version >= (1, 22),
            pod_failure_policy=version >= (1, 26),
            cron_api="batch/v1" if version >= (1, 21) else "batch/v1beta1",
        )


@dataclasses.dataclass(frozen=True)
class PodOptions:
    """How the Pods look, apart from what the sync itself asks for.

    :param requirements: install the engine's pinned requirements at start; False where the image has them.
    :param user: numeric user and group id; None leaves them to the cluster, as OpenShift wants it.
    """

    image: str = IMAGE
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    requirements: bool = True
    index_url: str | None = None
    trusted_host: str | None = None
    cpu: str = "1"
    memory: str | None = None
    user: int | None = 65532
    env: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    node_selector: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    tolerations: tuple[Object, ...] = ()
    labels: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    annotations: t.Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class JobSpec:
    """One sync in the cluster.

    :param name: of the Job or CronJob and of everything that belongs to it.
    :param request: for the engine; credentials in it are ``{"from_file": path}``.
    :param files: names and contents that lie beside the request, such as CA bundles. Not secret.
    :param credentials: names and values of the Secret that is made for this sync.
    :param service_account: one that is there already; None makes one that may do nothing.
    :param deadline: seconds all tries together may take.
    :param ttl: seconds after which a finished Job is removed by the cluster.
    """

    name: str
    namespace: str
    model: str
    request: t.Mapping[str, t.Any]
    files: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    credentials: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    mounts: tuple[SecretMount, ...] = ()
    token: TokenMount | None = None
    parallelism: int = 1
    schedule: str | None = None
    suspend: bool = False
    service_account: str | None = None
    service_account_annotations: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    backoff_limit: int = 3
    deadline: int | None = None
    ttl: int | None = None
    pod: PodOptions = dataclasses.field(default_factory=PodOptions)

    @property
    def identity(self) -> str:
        """Digest of what is synced and how. Values of credentials do not count: a new key is not a new sync."""
        described = dataclasses.asdict(
            dataclasses.replace(self, credentials=dict.fromkeys(sorted(self.credentials), ""))
        )
        text = json.dumps(described, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def memory(self) -> str:
        """Memory limit of a Pod. It depends on how many parts are in flight and on nothing else.

        The engine keeps ``workers`` + 2 buffers of ``part_size``, and what it sends of each is copied once at most;
        Python with its libraries takes 120 MiB.
        """
        if self.pod.memory:
            return self.pod.memory
        options = self.request.get("options", {})
        parts = (options.get("workers", 4) + 2) * options.get("part_size", 16 * _MIB)
        return f"{max(512, -(-(160 * _MIB + 2 * parts) // (64 * _MIB)) * 64)}Mi"


def job_name(model: str) -> str:
    """A name for the objects of a model: readable, valid, and different for different models.

    Names of models have upper case, dots and slashes that names of objects cannot have (RFC 1123); a part of their
    digest keeps apart what would become the same.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-")
    digest = hashlib.sha256(model.encode()).hexdigest()[:8]
    return "-".join(filter(None, ("model-sync", slug[: MAX_NAME - 20].rstrip("-"), digest)))
