# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Converting checkpoints into what older engines load, each as a Job. Pure: the same input makes the same objects.

* JetStream loads what MaxText writes. The image ``inference-checkpoint`` downloads a model from Kaggle and converts it:
  https://cloud.google.com/kubernetes-engine/docs/tutorials/serve-gemma-tpu-jetstream. Some of its versions go on after a
  command has failed, and end with 0.
* Saxml loads Pax checkpoints. ``saxml/tools/convert_llama_ckpt.py`` of https://github.com/google/saxml makes one of Meta's
  ``*.pth`` files, in an image of one's own that has it, with paxml and gcloud.

Both end with 0 only if the checkpoint is whole, which ``commit_success.txt`` says, written last; a whole one is never
touched again.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._serving.instance import (
    Object,
    check_image,
    check_name,
)
from ansible_collections.modelops.serving.plugins.module_utils._tpu.capacity import Capacity, scheduling
from ansible_collections.modelops.serving.plugins.module_utils._tpu.slice import Slice, check_engine
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError

LOADER_IMAGE = "us-docker.pkg.dev/cloud-tpu-images/inference/inference-checkpoint:v0.2.4"
#: What a whole checkpoint ends with, in Cloud Storage: Orbax and Saxml look for it.
MARKER = "commit_success.txt"
_KAGGLE = "/kaggle"
_KAGGLE_KEYS = {"username": "KAGGLE_USERNAME", "key": "KAGGLE_KEY"}
_HANDLE = re.compile(r"(?P<owner>[\w.-]+)/(?P<model>[\w.-]+)/maxtext/(?P<variation>[\w.-]+)/(?P<version>\d+)")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
# Without what gcloud takes for a pattern.
_FOLDER = re.compile(rf"gs://{_BUCKET.pattern}(/[^/\s*?\[\]]+)+")


@dataclasses.dataclass(frozen=True)
class Run:
    """What is said of every conversion's Job.

    :param service_account: that may read and write the buckets; without it one of the Job's name is made.
    :param deadline: seconds after which the Job is ended.
    :param pod_failure_policy: whether the cluster knows it, from Kubernetes 1.26 on.
    """

    name: str
    namespace: str
    service_account: str | None = None
    service_account_annotations: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    deadline: int | None = None
    pod_failure_policy: bool = True


def check_bucket(name: str) -> None:
    """Raise unless it can be the name of a bucket of Cloud Storage.

    :raises InputError: it cannot.
    """
    if not _BUCKET.fullmatch(name):
        raise InputError(f"{name!r} is not the name of a bucket.", hint="Give it without gs:// and without a path.")


def _check_run(run: Run, image: str) -> None:
    check_name("name", run.name)
    check_image(image)
    if run.service_account == "default":
        raise InputError(
            "The service account default is shared by every Pod of the namespace that names none.",
            hint="Name another, or leave it out to have one made for this Job.",
        )
    if run.deadline is not None and run.deadline < 1:
        raise InputError(f"deadline of {run.name} is {run.deadline}.", hint="Give seconds, at least 1.")


# -- JetStream ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class KaggleModel:
    """A version of a MaxText model on Kaggle, such as ``google/gemma/maxtext/7b-it/2``."""

    handle: str
    model: str
    variation: str

    @property
    def maxtext_name(self) -> str:
        """What MaxText calls it: ``gemma-7b``."""
        return f"{self.model}-{self.variation.split('-')[0]}"

    @property
    def checkpoint(self) -> str:
        """Where in the bucket the converter leaves what JetStream loads."""
        return f"final/unscanned/{self.model}_{self.variation}/0/checkpoints/0/items"


def kaggle_model(handle: str) -> KaggleModel:
    """The model of a handle.

    :raises InputError: it is not one of MaxText, with a version.
    """
    found = _HANDLE.fullmatch(handle)
    if found is None:
        raise InputError(
            f"{handle!r} is no version of a MaxText model on Kaggle.",
            hint="Give owner/model/maxtext/variation/version, such as google/gemma/maxtext/7b-it/2.",
        )
    return KaggleModel(handle, found["model"], found["variation"])


def check_kaggle_secret(name: str, keys: t.Collection[str]) -> None:
    """Raise unless a Secret with these keys holds Kaggle's credentials.

    :raises InputError: neither the file nor the pair.
    """
    missing = [key for key in _KAGGLE_KEYS if key not in keys]
    if missing and "kaggle.json" not in keys:
        raise InputError(
            f"The Secret {name} has neither the key kaggle.json nor {' and '.join(missing)}.",
            hint="It needs kaggle.json as Kaggle gives it, or username and key out of it.",
        )


@dataclasses.dataclass(frozen=True)
class JetStreamLoader:
    """Downloads a model from Kaggle and converts it, on a slice, into a bucket.

    :param model: its handle on Kaggle.
    :param secret: name of a Secret with Kaggle's credentials: the keys ``username`` and ``key``, or ``kaggle.json``.
    :param on: the slice, on one host: the conversion runs on its chips.
    """

    run: Run
    model: str
    bucket: str
    secret: str
    on: Slice
    capacity: Capacity = dataclasses.field(default_factory=Capacity)
    image: str = LOADER_IMAGE

    @property
    def checkpoint(self) -> str:
        """The folder with what JetStream loads."""
        return f"gs://{self.bucket}/{kaggle_model(self.model).checkpoint}"


# Arguments are those of the image's own script, which getopts takes with the '='.
_LOAD = f"""\
set -euo pipefail
if gcloud storage ls "$CHECKPOINT/{MARKER}" > /dev/null 2>&1; then
  echo "$CHECKPOINT is whole already."
  exit
fi
bash -e -o pipefail "$(command -v checkpoint_converter.sh)" "$@"
gcloud storage ls "$CHECKPOINT/{MARKER}"
"""


def check_loader(loader: JetStreamLoader) -> tuple[str, ...]:
    """What is worth knowing about a conversion for JetStream.

    :raises InputError: a name, the image or the slice cannot be.
    :raises TpuError: the slice is not to be had this way, or JetStream does not know it.
    """
    _check_run(loader.run, loader.image)
    kaggle_model(loader.model)
    check_bucket(loader.bucket)
    if loader.on.multi_host:
        raise InputError(
            f"The conversion runs on one host, and {loader.on.topology} has {loader.on.hosts}.",
            hint="Give a slice on one host, such as 2x4 of v5e.",
        )
    return (
        *loader.on.warnings,
        *loader.capacity.check(loader.on.generation),
        *check_engine(loader.on.generation, "jetstream"),
    )


def loader_objects(loader: JetStreamLoader) -> list[Object]:
    """ServiceAccount and Job of a conversion for JetStream that has been checked."""
    # The tool looks into these variables, then in its folder for kaggle.json; the Secret has one of both.
    env: list[Object] = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": loader.secret, "key": key, "optional": True}}}
        for key, name in _KAGGLE_KEYS.items()
    ]
    container = _container(
        loader.run,
        "inference-checkpoint",
        loader.image,
        command=["bash", "-c", _LOAD, "load"],
        args=[f"-b={loader.bucket}", f"-m={loader.model}"],
        env=[{"name": "CHECKPOINT", "value": loader.checkpoint}, *env],
        resources=loader.on.resources,
        volumeMounts=[{"name": "kaggle-credentials", "mountPath": _KAGGLE, "readOnly": True}],
    )
    pod = {
        "containers": [container],
        "volumes": [
            {"name": "kaggle-credentials", "secret": {"secretName": loader.secret, "defaultMode": 0o400}},
        ],
        **scheduling(loader.on, loader.capacity),
    }
    return _objects(loader.run, pod)


# -- Saxml -------------------------------------------------------------------------------------------------------------


class LlamaSize(t.NamedTuple):
    """What the conversion of a size of Llama 2 takes.

    :param memory: GB; the script loads all weights and then copies them.
    :param storage: GB of disk, for the weights before and after.
    :param machine: type of a node that has them.
    """

    memory: int
    storage: int
    machine: str


#: Memory of 7b and 70b as measured by the public example for Saxml on GKE (50 to 60 GB, 500 to 600 GB); of 13b in
#: proportion to its weights.
LLAMA_SIZES = {
    "7b": LlamaSize(60, 30, "n2-highmem-16"),
    "13b": LlamaSize(120, 60, "n2-highmem-32"),
    "70b": LlamaSize(600, 300, "n2-highmem-96"),
}
_STAGING = "/staging"


@dataclasses.dataclass(frozen=True)
class LlamaConversion:
    """Makes a Pax checkpoint of Meta's ``*.pth`` files.

    :param image: with the script, paxml and gcloud.
    :param size: one of :data:`LLAMA_SIZES`.
    :param source: folder with the files, ``gs://bucket/path``.
    :param destination: where ``folder``, the checkpoint, is made.
    :param memory: limit in GB (None: what the size takes).
    :param node_memory: GB of the nodes that ``node_selector`` selects, if known.
    """

    run: Run
    image: str
    size: str
    source: str
    destination: str
    folder: str = "checkpoint_00000000"
    module: str = "convert_llama_ckpt"
    memory: int | None = None
    node_memory: int | None = None
    node_selector: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    tolerations: tuple[Object, ...] = ()

    @property
    def limit(self) -> int:
        """GB that the container may have."""
        return self.memory or LLAMA_SIZES[self.size].memory

    @property
    def checkpoint(self) -> str:
        """The folder with what Saxml loads."""
        return f"{self.destination}/{self.folder}"


# Names of variables are those of the public example. The root's marker is the one that counts, so it comes last.
_CONVERT = f"""\
set -euo pipefail
to="$GCS_PAX_CHECKPOINT_PATH/$CHECKPOINT_FOLDER_NAME"
if gcloud storage ls "$to/{MARKER}" > /dev/null 2>&1; then
  echo "$to is whole already."
  exit
fi
base="$STAGING/base" pax="$STAGING/pax"
mkdir -p "$base" "$pax"
gcloud storage cp "$GCS_BASE_CHECKPOINT_PATH/*.pth" "$base/"
python3 -m "$CONV_MODULE" --base "$base" --pax "$pax" "$ARGS"
gcloud storage rsync --recursive --delete-unmatched-destination-objects "$pax/$CHECKPOINT_FOLDER_NAME" "$to"
touch "$STAGING/{MARKER}"
for part in metadata/ state/ ""; do
  gcloud storage cp "$STAGING/{MARKER}" "$to/${{part}}{MARKER}"
done
"""


def check_llama(conversion: LlamaConversion) -> None:
    """Raise unless a conversion for Saxml can end well.

    :raises InputError: a name, the image or a folder cannot be, or there is too little memory.
    """
    _check_run(conversion.run, conversion.image)
    if conversion.size not in LLAMA_SIZES:
        raise InputError(
            f"There is no conversion of the size {conversion.size!r}.", hint=f"Known are {', '.join(LLAMA_SIZES)}."
        )
    for option in ("source", "destination"):
        folder = getattr(conversion, option)
        if not _FOLDER.fullmatch(folder):
            raise InputError(
                f"{option} {folder!r} is not a folder of a bucket.",
                hint="Give gs://bucket/path, without a slash at the end.",
            )
    if conversion.destination.startswith(f"{conversion.source}/") or conversion.destination == conversion.source:
        raise InputError(
            f"The destination {conversion.destination} lies in the source.", hint="Give a folder beside the source."
        )
    _check_memory(conversion)


def _check_memory(conversion: LlamaConversion) -> None:
    size = LLAMA_SIZES[conversion.size]
    message = f"To convert {conversion.size} takes about {size.memory} GB of memory"
    if conversion.limit < size.memory:
        raise InputError(
            f"{message}, and the limit is {conversion.limit} GB.", hint="Leave out the limit, or raise it."
        )
    if conversion.node_memory is not None and conversion.node_memory <= conversion.limit:
        raise InputError(
            f"{message}; the limit is {conversion.limit} GB, and the nodes have {conversion.node_memory} GB, not all of it "
            "for Pods.",
            hint=f"Take larger nodes, such as {size.machine}.",
        )


def llama_objects(conversion: LlamaConversion) -> list[Object]:
    """ServiceAccount and Job of a conversion for Saxml that has been checked."""
    storage = f"{LLAMA_SIZES[conversion.size].storage}G"
    resources = {"memory": f"{conversion.limit}G", "ephemeral-storage": storage}
    env = {
        "GCS_BASE_CHECKPOINT_PATH": conversion.source,
        "GCS_PAX_CHECKPOINT_PATH": conversion.destination,
        "CONV_MODULE": conversion.module,
        "ARGS": f"--model-size={conversion.size}",
        "CHECKPOINT_FOLDER_NAME": conversion.folder,
        "STAGING": _STAGING,
    }
    container = _container(
        conversion.run,
        "convert",
        conversion.image,
        command=["bash", "-c", _CONVERT],
        env=[{"name": name, "value": value} for name, value in env.items()],
        resources={"requests": resources, "limits": dict(resources)},
        volumeMounts=[{"name": "staging", "mountPath": _STAGING}],
    )
    pod: Object = {
        "containers": [container],
        "volumes": [{"name": "staging", "emptyDir": {"sizeLimit": storage}}],
    }
    if conversion.node_selector:
        pod["nodeSelector"] = dict(conversion.node_selector)
    if conversion.tolerations:
        pod["tolerations"] = list(conversion.tolerations)
    return _objects(conversion.run, pod)


# -- Jobs --------------------------------------------------------------------------------------------------------------


def _container(run: Run, name: str, image: str, **more: t.Any) -> Object:
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": run.image_pull_policy,
        **more,
        "securityContext": {"allowPrivilegeEscalation": False},
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _objects(run: Run, pod: Object) -> list[Object]:
    metadata = {"name": run.name, "namespace": run.namespace}
    found: list[Object] = []
    if run.service_account is None:
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": dict(metadata)}
        if run.service_account_annotations:
            account["metadata"] = {**metadata, "annotations": dict(run.service_account_annotations)}
        found.append({**account, "automountServiceAccountToken": False})
    pod = {
        "restartPolicy": "Never",
        "serviceAccountName": run.service_account or run.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        **pod,
    }
    if run.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in run.image_pull_secrets]
    labels = {"app.kubernetes.io/name": "checkpoint-conversion", "app.kubernetes.io/instance": run.name}
    spec: Object = {
        "backoffLimit": 0,  # what failed once fails again, and takes as long
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    if run.pod_failure_policy:  # a node that is drained is no fault of the conversion
        drained = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
        spec["podFailurePolicy"] = {"rules": [drained]}
    if run.deadline is not None:
        spec["activeDeadlineSeconds"] = run.deadline
    found.append({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec})
    return found
