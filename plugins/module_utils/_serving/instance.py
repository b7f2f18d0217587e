# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked for: one instance of a server, as data, and what has to hold for it whatever the engine is."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._kube.objects import quantity
from ansible_collections.modelops.serving.plugins.module_utils._mounts import (
    PROFILES,
    Profile,
    ProviderClass,
    SecretKey,
)
from ansible_collections.modelops.serving.plugins.module_utils._tpu import fit
from ansible_collections.modelops.serving.plugins.module_utils._tpu.capacity import Capacity
from ansible_collections.modelops.serving.plugins.module_utils._tpu.slice import Parallelism, Slice, parallelism
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError

Object: t.TypeAlias = "dict[str, t.Any]"

#: Of 63 characters that a label may have, what is left of the name beside our suffixes and those of a StatefulSet's
#: Pods: group, worker and the hash of their revision.
LONGEST_NAME = 40

_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
# A digest, or a tag: what follows a colon behind the last slash, where a colon before it belongs to a port.
_PINNED = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}|[^@\s]*[^@\s/:]:(?P<tag>\w[\w.-]{0,127})", re.ASCII)
_MOVING = ("latest", "nightly")


@dataclasses.dataclass(frozen=True)
class Bucket:
    """Weights in a bucket of Google Cloud Storage, mounted with Cloud Storage FUSE, read-only.

    ``prefix`` is the model's path in it, as the sync made it: ``models/google/gemma-3-27b-it``. With ``warm_up`` all
    weights are read once, in parallel, before the server starts.
    """

    bucket: str
    prefix: str
    warm_up: bool = False


@dataclasses.dataclass(frozen=True)
class Stream:
    """Weights that the server reads from the object store itself: ``gs://...`` or ``s3://...``.

    ``endpoint_url`` and ``credentials_secret`` (keys ``AWS_ACCESS_KEY_ID`` and ``AWS_SECRET_ACCESS_KEY``) are for stores
    that are not reached by the service account.
    """

    url: str
    endpoint_url: str | None = None
    region: str | None = None
    credentials_secret: str | None = None


@dataclasses.dataclass(frozen=True)
class Claim:
    """A PersistentVolumeClaim, and the folder of it that is meant."""

    claim: str
    path: str = ""


@dataclasses.dataclass(frozen=True)
class Hub:
    """Weights that the server itself downloads from the Hugging Face Hub when it starts."""

    revision: str | None = None


@dataclasses.dataclass(frozen=True)
class Connection:
    """A data connection of OpenShift AI, by the name of its Secret, and the model's folder in its bucket.

    KServe copies the folder into the Pod before the server starts.
    """

    secret: str
    path: str


Weights: t.TypeAlias = "Bucket | Stream | Claim | Hub | Connection"


@dataclasses.dataclass(frozen=True)
class Model:
    """What is served.

    :param name: the repository id.
    :param served_name: what clients ask for (None: the name).
    :param token: of the Hugging Face Hub, and ``token_profile`` where the server looks for it.
    :param size: what has to fit the slice; None if nobody knows.
    """

    name: str
    weights: Weights
    served_name: str | None = None
    token: SecretKey | ProviderClass | None = None
    token_profile: Profile = PROFILES["standard"]
    size: fit.Model | None = None


@dataclasses.dataclass(frozen=True)
class Tpu:
    """Chips of a slice. Without ``parallelism`` tensor parallelism goes over all devices."""

    slice: Slice
    capacity: Capacity = dataclasses.field(default_factory=Capacity)
    parallelism: Parallelism | None = None

    @property
    def spread(self) -> Parallelism:
        """The parallelism that is meant."""
        return self.parallelism or parallelism(self.slice)


@dataclasses.dataclass(frozen=True)
class Device:
    """Anything else: GPUs, Neuron devices, or none at all.

    ``kind`` is one of :data:`RESOURCES` or ``cpu``; ``count`` is per Pod, and each Pod is a server of its own.
    """

    kind: str = "cpu"
    count: int = 0
    node_selector: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    tolerations: tuple[Object, ...] = ()


@dataclasses.dataclass(frozen=True)
class KServe:
    """What is particular to an instance that KServe makes the Pods of, as OpenShift AI has it.

    :param auth: ``proxy`` is the sidecar of OpenShift AI that asks for a token, ``authorino`` an AuthConfig for a Gateway
        that asks Authorino, and with ``none`` everybody is served.
    :param exposed: whether OpenShift AI makes a Route.
    :param token: whether there is a Secret with a token that may ask this instance. It does not expire.
    :param endpoint_secret: name of a Secret with address, model and token, for workbenches.
    :param connection_type: what the dashboard of OpenShift AI shows that Secret as.
    """

    auth: str = "proxy"
    exposed: bool = False
    token: bool = False
    endpoint_secret: str | None = None
    connection_type: str | None = None


#: Extended resource by kind of device, as the device plugins of NVIDIA and AWS name them.
RESOURCES = {"gpu": "nvidia.com/gpu", "neuron": "aws.amazon.com/neuron"}


@dataclasses.dataclass(frozen=True)
class Instance:
    """One server, whatever its engine. Names of options are those of the module ``tpu_serving``.

    :param settings: the engine's own options, checked by it.
    :param args: more arguments of the server, after its own.
    :param env: more variables of the server; of the same name, these count.
    :param compile_cache: where compiled programs are kept; without it they go with the Pod.
    :param max_surge: replicas, of Pods or groups, that an update may make beside those that serve. With 0 it needs no
        spare slice, and takes each one away before its successor.
    :param startup_timeout: seconds from the start of the container until it serves: loading, compiling.
    :param termination_grace_period: seconds that running requests are given.
    :param restarted_at: a time; another one replaces all Pods.
    :param kserve: given when an InferenceService takes the place of Deployment and Service.
    """

    name: str
    namespace: str
    engine: str
    model: Model
    hardware: Tpu | Device
    image: str | None = None
    replicas: int = 1
    settings: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    args: tuple[str, ...] = ()
    env: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    cpu: str | None = None
    memory: str | None = None
    compile_cache: Claim | None = None
    max_surge: int = 0
    service_account: str | None = None
    service_account_annotations: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    labels: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    annotations: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    startup_timeout: int = 3600
    termination_grace_period: int = 120
    restarted_at: str | None = None
    kserve: KServe | None = None


def check(instance: Instance) -> tuple[str, ...]:
    """What is worth knowing about an instance, whatever its engine.

    :raises InputError: a name, number or image cannot be.
    :raises TpuError: the slice is not to be had this way.
    """
    check_name("name", instance.name, LONGEST_NAME)
    if instance.service_account == "default":
        raise InputError(
            "The service account default is shared by every Pod of the namespace that names none.",
            hint="Name another, or leave it out to have one made for this instance.",
        )
    for option, least in (("replicas", 0), ("max_surge", 0), ("startup_timeout", 10), ("termination_grace_period", 0)):
        value = getattr(instance, option)
        if value < least:
            raise InputError(f"{option} of {instance.name} is {value}.", hint=f"Give at least {least}.")
    if instance.image:
        check_image(instance.image)
    _check_resources(instance)
    if isinstance(instance.hardware, Device):
        _check_device(instance.hardware)
        return ()
    return _check_slice(instance.hardware)


def check_name(what: str, name: str, longest: int = 63) -> None:
    """Raise unless a name can be that of a Service, which has the strictest rule (DNS label of RFC 1035).

    :raises InputError: it cannot.
    """
    if len(name) > longest:
        raise InputError(
            f"The {what} {name} has {len(name)} characters.",
            hint=f"Give at most {longest}: Kubernetes and this collection add to it.",
        )
    if not _NAME.fullmatch(name):
        raise InputError(
            f"The {what} {name!r} is not a DNS label.",
            hint="Use lower-case letters, digits and '-'; begin with a letter, and end with a letter or digit.",
        )


def check_image(image: str) -> None:
    """Raise unless an image says which one it is: by a digest, or by a tag that does not move.

    :raises InputError: it does not.
    """
    pinned = _PINNED.fullmatch(image)
    if pinned is None or pinned["tag"] in _MOVING:
        raise InputError(
            f"The image {image!r} does not say which one it is.",
            hint="Give it with a version as tag, or with a digest.",
        )


def _check_slice(tpu: Tpu) -> tuple[str, ...]:
    on, spread = tpu.slice, tpu.spread
    again = parallelism(on, tensor=spread.tensor, pipeline=spread.pipeline, data=spread.data)
    return (*on.warnings, *tpu.capacity.check(on.generation), *again.warnings)


def _check_resources(instance: Instance) -> None:
    """A Pod that asks for more than its node has waits for ever."""
    for option, value in (("cpu", instance.cpu), ("memory", instance.memory)):
        if value is None:
            continue
        amount = quantity(value)
        if amount is None or amount <= 0:
            raise InputError(
                f"{option} of {instance.name} is {value!r}.", hint="Give a quantity such as 8, 500m or 32Gi."
            )
        if isinstance(instance.hardware, Device):
            continue
        machine = instance.hardware.slice.machine
        if amount > (machine.vcpus if option == "cpu" else machine.memory_gb * 2**30):
            raise InputError(
                f"{instance.name} asks for {option} {value}, and {machine.name} has {machine.vcpus} vCPUs and "
                f"{machine.memory_gb} GB.",
                hint="Ask for less, so that what runs on every node finds room too, or take another machine type.",
            )


def _check_device(device: Device) -> None:
    if device.kind == "cpu":
        if device.count:
            raise InputError(f"There are no {device.count} devices of the kind cpu.", hint="Leave out the count.")
        return
    if device.kind not in RESOURCES:
        raise InputError(
            f"{device.kind!r} is no kind of device.", hint=f"Known are {', '.join((*RESOURCES, 'cpu'))}, beside slices."
        )
    if device.count < 1:
        raise InputError(f"A server on {device.kind} takes {device.count} of them.", hint="Give a count of at least 1.")
