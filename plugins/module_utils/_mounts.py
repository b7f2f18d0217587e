# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a Hugging Face token and a bucket of models come into a container: one table for everything that reads a model.

The profiles are data. Whoever builds a Pod asks for :func:`token_mount` or :func:`bucket_mount` and adds what it says,
so that the name of a volume and of its mount cannot differ.
"""

from __future__ import annotations

import dataclasses
import posixpath
import re
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError

Object: t.TypeAlias = "dict[str, t.Any]"

VOLUME = "huggingface-token"
BUCKET_VOLUME = "model-bucket"
KEY = "token"
#: The files of a SecretProviderClass: what huggingface_hub and what the JetStream PyTorch server look for.
PATHS = ("token", "HUGGINGFACE_TOKEN")
#: The CSI driver by where a SecretProviderClass takes its secrets from. The managed add-on of GKE has one of its own,
#: https://cloud.google.com/secret-manager/docs/secret-manager-managed-csi-component
DRIVERS = {"gke": "secrets-store-gke.csi.k8s.io", "aws": "secrets-store.csi.k8s.io"}
#: For models that are written once and read often: whole files are cached, in parallel ranges, and metadata is kept.
#: The set that Google's accelerated-platforms repository documents for its buckets of models.
MOUNT_OPTIONS = (
    "file-cache:cache-file-for-range-read:true",
    "file-cache:enable-parallel-downloads:true",
    "file-cache:max-size-mb:-1",
    "file-system:kernel-list-cache-ttl-secs:-1",
    "gcs-connection:client-protocol:grpc",
    "implicit-dirs",
    "metadata-cache:stat-cache-max-size-mb:-1",
    "metadata-cache:ttl-secs:-1",
    "metadata-cache:type-cache-max-size-mb:-1",
)

# https://cloud.google.com/storage/docs/buckets#naming
_BUCKET = re.compile(r"(?=.{3,222}$)[a-z0-9][a-z0-9._-]*[a-z0-9]")


@dataclasses.dataclass(frozen=True)
class Profile:
    """Where a program looks for its token: in a file, in a variable, or in a file that a variable names."""

    path: str | None = None
    path_variable: str | None = None
    value_variable: str | None = None


PROFILES: dict[str, Profile] = {
    # huggingface_hub reads HF_TOKEN_PATH, https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables
    "standard": Profile(path="/var/run/secrets/huggingface.co/token", path_variable="HF_TOKEN_PATH"),
    # The path is compiled into the JetStream PyTorch server.
    "jetstream_pytorch": Profile(path="/huggingface/HUGGINGFACE_TOKEN"),
    "env": Profile(value_variable="HF_TOKEN"),
}
CUSTOM = "custom"


@dataclasses.dataclass(frozen=True)
class SecretKey:
    """A token under a key of a Secret."""

    name: str
    key: str = KEY


@dataclasses.dataclass(frozen=True)
class ProviderClass:
    """A token in the files of a SecretProviderClass, which a CSI driver fetches when the Pod starts.

    ``provider`` is one of :data:`DRIVERS`.
    """

    name: str
    provider: str
    paths: tuple[str, ...] = PATHS


@dataclasses.dataclass(frozen=True)
class TokenMount:
    """What a Pod needs to see the token. ``file`` is where it lies in the container, None when it is in a variable."""

    volumes: tuple[Object, ...]
    mounts: tuple[Object, ...]
    env: tuple[Object, ...]
    file: str | None


@dataclasses.dataclass(frozen=True)
class BucketMount:
    """What a Pod needs to see a bucket; ``annotations`` belong to the Pod."""

    volume: Object
    mount: Object
    annotations: dict[str, str]


def find_profile(name: str, path: str | None = None) -> Profile:
    """A profile by its name; ``custom`` is the file ``path``.

    :raises InputError: there is none of that name, or the path is missing, superfluous or not usable.
    """
    if name in PROFILES:
        if path:
            raise InputError(
                f"The profile {name} says itself where the token lies, so {path} is not used.",
                hint=f"Use the profile {CUSTOM}, or leave out the path.",
            )
        return PROFILES[name]
    if name != CUSTOM:
        raise InputError(f"There is no profile {name!r}.", hint=f"Use one of {', '.join((*PROFILES, CUSTOM))}.")
    file = _absolute(path)
    if file is None or posixpath.dirname(file) == "/":
        raise InputError(
            f"The path of the token is {path!r}.", hint="Give an absolute path in a folder that holds nothing else."
        )
    return Profile(path=file)


def token_mount(source: SecretKey | ProviderClass, profile: Profile = PROFILES["standard"]) -> TokenMount:
    """The token, as the profile has it. Files of a Secret are readable by the Pod's group only.

    :raises InputError: a SecretProviderClass cannot give what the profile asks for.
    """
    env: list[Object] = []
    if profile.value_variable:
        if isinstance(source, ProviderClass):
            raise InputError(
                f"The variable {profile.value_variable} takes its value from a Secret, and"
                f" SecretProviderClass {source.name} gives files.",
                hint="Use a profile with a file, or a Secret.",
            )
        reference = {"secretKeyRef": {"name": source.name, "key": source.key}}
        env.append({"name": profile.value_variable, "valueFrom": reference})
    if profile.path is None:
        return TokenMount((), (), tuple(env), None)
    directory, name = posixpath.split(profile.path)
    if profile.path_variable:
        env.append({"name": profile.path_variable, "value": profile.path})
    return TokenMount(
        volumes=({"name": VOLUME, **_volume(source, name)},),
        mounts=({"name": VOLUME, "mountPath": directory, "readOnly": True},),
        env=tuple(env),
        file=profile.path,
    )


def _volume(source: SecretKey | ProviderClass, file: str) -> Object:
    if isinstance(source, SecretKey):
        items = [{"key": source.key, "path": file}]
        return {"secret": {"secretName": source.name, "items": items, "defaultMode": 0o440}}
    if file not in source.paths:
        raise InputError(
            f"The token is to be the file {file}, and SecretProviderClass {source.name} has"
            f" {', '.join(source.paths) or 'none'}.",
            hint=f"Add {file} to the paths of the class, or use another profile.",
        )
    attributes = {"secretProviderClass": source.name}
    return {"csi": {"driver": DRIVERS[source.provider], "readOnly": True, "volumeAttributes": attributes}}


def bucket_mount(
    bucket: str,
    path: str = "/models",
    *,
    only_dir: str | None = None,
    read_only: bool = True,
    mount_options: t.Sequence[str] = MOUNT_OPTIONS,
) -> BucketMount:
    """A bucket of Google Cloud Storage as a folder, by the Cloud Storage FUSE CSI driver of GKE.

    :param only_dir: the only folder of the bucket that is seen.
    :param read_only: for the volume, which makes the driver mount it so, and for the mount.
    :raises InputError: a name or path is not usable.
    """
    if not _BUCKET.fullmatch(bucket):
        raise InputError(f"{bucket!r} is not the name of a bucket.", hint="Give it without gs:// and without a path.")
    folder = _absolute(path)
    if folder in (None, "/"):
        raise InputError(f"The bucket cannot be mounted at {path!r}.", hint="Give an absolute path such as /models.")
    options = [*mount_options]
    if only_dir is not None:
        below = only_dir.strip("/")
        if not below or "," in below or {".", ".."} & set(below.split("/")):
            raise InputError(
                f"{only_dir!r} is not a folder of the bucket.", hint="Give one such as models/google/gemma-3-1b-it."
            )
        options.append(f"only-dir:{below}")
    attributes = {"bucketName": bucket, "mountOptions": ",".join(options)}
    csi = {"driver": "gcsfuse.csi.storage.gke.io", "readOnly": read_only, "volumeAttributes": attributes}
    return BucketMount(
        volume={"name": BUCKET_VOLUME, "csi": csi},
        mount={"name": BUCKET_VOLUME, "mountPath": folder, "readOnly": read_only},
        annotations={"gke-gcsfuse/volumes": "true"},  # lets GKE add the container that reads the bucket
    )


def _absolute(path: str | None) -> str | None:
    """The path in its shortest form, None if it is not absolute."""
    if not path or not posixpath.isabs(path):
        return None
    return "/" + posixpath.normpath(path).lstrip("/")
