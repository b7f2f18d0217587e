# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Pods of servers are put together from: each part is what one concern adds to a container and its Pod."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._mounts import bucket_mount, token_mount
from ansible_collections.modelops.serving.plugins.module_utils._serving.instance import Bucket, Claim, Instance, Object

MODELS = "/models"
CACHE = "/cache"
#: Where KServe puts a model. https://github.com/kserve/kserve/blob/master/pkg/constants/constants.go
CONNECTED = "/mnt/models"
#: How many files are read at once before the server starts, as Google's accelerated-platforms repository does.
_READERS = 15
#: Where the driver of Cloud Storage FUSE keeps files; in memory, since nodes with TPUs have more of it than disk.
#: https://cloud.google.com/kubernetes-engine/docs/how-to/cloud-storage-fuse-csi-driver-sidecar
_BUCKET_CACHES = ("gke-gcsfuse-cache", "gke-gcsfuse-tmp", "gke-gcsfuse-buffer")
_BUCKET_LIMITS = ("cpu-limit", "memory-limit", "ephemeral-storage-limit")


@dataclasses.dataclass(frozen=True)
class Part:
    """What one concern adds. Volumes, annotations and init containers are the Pod's, the rest is the container's."""

    args: tuple[str, ...] = ()
    env: tuple[Object, ...] = ()
    mounts: tuple[Object, ...] = ()
    volumes: tuple[Object, ...] = ()
    annotations: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    init_containers: tuple[Object, ...] = ()

    def __add__(self, other: Part) -> Part:
        return Part(
            self.args + other.args,
            self.env + other.env,
            self.mounts + other.mounts,
            self.volumes + other.volumes,
            {**self.annotations, **other.annotations},
            self.init_containers + other.init_containers,
        )


def joined(parts: t.Iterable[Part]) -> Part:
    """All of them, in their order."""
    return sum(parts, Part())


def env(**variables: str) -> tuple[Object, ...]:
    """Variables of a container."""
    return tuple({"name": name, "value": value} for name, value in variables.items())


def token(instance: Instance) -> Part:
    """The Hugging Face token, where the instance has one."""
    if instance.model.token is None:
        return Part()
    mount = token_mount(instance.model.token, instance.model.token_profile)
    return Part(env=mount.env, mounts=mount.mounts, volumes=mount.volumes)


def shared_memory() -> Part:
    """Memory that processes of the server share; what Kubernetes gives by itself is 64 MiB."""
    return Part(
        mounts=({"name": "shared-memory", "mountPath": "/dev/shm"},),  # noqa: S108 - a volume of the container
        volumes=({"name": "shared-memory", "emptyDir": {"medium": "Memory"}},),
    )


def cache(instance: Instance) -> Part:
    """A folder for compiled programs and downloads: of the Pod, or of a claim, where it outlives the Pod.

    Never in a bucket: programs that are compiled there were not found again.
    """
    kept = instance.compile_cache
    if kept is None:
        return Part(
            mounts=({"name": "cache", "mountPath": CACHE},),
            volumes=({"name": "cache", "emptyDir": {}},),
        )
    below = {"subPath": kept.path.strip("/")} if kept.path.strip("/") else {}
    return Part(
        mounts=({"name": "cache", "mountPath": CACHE, **below},),
        volumes=({"name": "cache", "persistentVolumeClaim": {"claimName": kept.claim}},),
    )


def bucket(weights: Bucket, path: str, image: str) -> Part:
    """The model's folder of a bucket at ``path``, read-only.

    :param image: of the container that reads all weights before the server starts, if that is asked for.
    """
    mount = bucket_mount(weights.bucket, path, only_dir=weights.prefix)
    volume = mount.volume
    # Saves a request that needs a role on the bucket beside that on its objects.
    volume["csi"]["volumeAttributes"]["skipCSIBucketAccessCheck"] = "true"
    found = Part(
        mounts=(mount.mount,),
        volumes=(volume, *({"name": name, "emptyDir": {"medium": "Memory"}} for name in _BUCKET_CACHES)),
        annotations={**mount.annotations, **{f"gke-gcsfuse/{name}": "0" for name in _BUCKET_LIMITS}},  # 0: no limit
    )
    return found + _warm_up(image, mount.mount) if weights.warm_up else found


def _warm_up(image: str, mount: Object) -> Part:
    """Fills the caches of the bucket with many files at once, where the server would read them one after the other."""
    read_all = f'find "$0" -name "*.safetensors" -print0 | xargs -0 -n 1 -P {_READERS} cat > /dev/null'
    return Part(
        init_containers=(
            {
                "name": "warm-up",
                "image": image,
                "command": ["sh", "-c", read_all, mount["mountPath"]],
                "volumeMounts": [mount],
                "securityContext": {"allowPrivilegeEscalation": False},
                "terminationMessagePolicy": "FallbackToLogsOnError",
            },
        )
    )


def claim(weights: Claim) -> Part:
    """A claim with models, read-only."""
    return Part(
        mounts=({"name": "models", "mountPath": MODELS, "readOnly": True},),
        volumes=({"name": "models", "persistentVolumeClaim": {"claimName": weights.claim, "readOnly": True}},),
    )
