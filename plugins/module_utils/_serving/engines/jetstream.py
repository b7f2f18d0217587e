# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""JetStream with MaxText: gRPC of the engine, and HTTP by a second container.

The manifest is that of https://cloud.google.com/kubernetes-engine/docs/tutorials/serve-gemma-tpu-jetstream, which had no
probes and started before there was a checkpoint. Metrics and further keys of MaxText are those of
https://github.com/GoogleCloudPlatform/ai-on-gke (``modules/jetstream-maxtext-deployment``).
"""

from __future__ import annotations

import dataclasses
import math
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._serving import parts
from ansible_collections.modelops.serving.plugins.module_utils._serving.conversion import (
    MARKER,
    check_bucket,
    kaggle_model,
)
from ansible_collections.modelops.serving.plugins.module_utils._serving.engine import (
    DRAIN,
    Port,
    Setting,
    Workload,
    container_ports,
    http_probe,
    server,
    startup_probe,
)
from ansible_collections.modelops.serving.plugins.module_utils._serving.engines.legacy import (
    Legacy,
    check_single_host,
    slice_of,
)
from ansible_collections.modelops.serving.plugins.module_utils._serving.instance import (
    Bucket,
    Instance,
    Object,
    Stream,
)
from ansible_collections.modelops.serving.plugins.module_utils._tpu import fit
from ansible_collections.modelops.serving.plugins.module_utils._tpu.slice import Slice
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError

HTTP = Port("jetstream-http", 8000)
GRPC = Port("jetstream-grpc", 9000)
METRICS = Port("metrics", 9090)
IMAGE = "us-docker.pkg.dev/cloud-tpu-images/inference/maxengine-server:v0.2.2"
#: The manifest has v0.2.2, which is from July 2024. /healthcheck came in October 2024; all public manifests that probe it
#: have v0.2.3. Both speak the protocol of JetStream v0.2.2.
HTTP_IMAGE = "us-docker.pkg.dev/cloud-tpu-images/inference/jetstream-http:v0.2.3"

# In the order of the manifest. None: follows from the model.
_USUAL: dict[str, t.Any] = {
    "model_name": None,
    "tokenizer_path": None,
    "per_device_batch_size": 4,
    "max_prefill_predict_length": 1024,
    "max_target_length": 2048,
    "async_checkpointing": False,
    "ici_fsdp_parallelism": 1,
    "ici_autoregressive_parallelism": -1,
    "ici_tensor_parallelism": 1,
    "scan_layers": False,  # the converter leaves each layer for itself
    "weight_dtype": "bfloat16",
}
_PARALLELISM = ("ici_fsdp_parallelism", "ici_autoregressive_parallelism", "ici_tensor_parallelism")

# Each is the key of MaxText's configuration of that name, http_image aside.
SETTINGS = {
    "attention": Setting(str),
    "checkpoint_is_quantized": Setting(bool),
    "enable_model_warmup": Setting(bool),
    "http_image": Setting(str),
    "ici_autoregressive_parallelism": Setting(int),
    "ici_fsdp_parallelism": Setting(int),
    "ici_tensor_parallelism": Setting(int),
    "max_prefill_predict_length": Setting(int),
    "max_target_length": Setting(int),
    "model_name": Setting(str),
    "per_device_batch_size": Setting(float),
    "quantization": Setting(str),
    "quantize_kvcache": Setting(bool),
    "tokenizer_path": Setting(str),
    "weight_dtype": Setting(str, ("bfloat16", "float32")),
}

#: Files of the image, by what names of models begin with.
_TOKENIZERS = {"gemma-": "assets/tokenizer.gemma", "llama2-": "assets/tokenizer.llama2"}

# In the image of the server, which has this package of MaxText's requirements. Until there is a checkpoint the container
# is started again and again, later and later, and the server is not.
_WHOLE = f"""\
import sys
from google.cloud import storage
bucket, path = sys.argv[1].removeprefix("gs://").split("/", 1)
if not storage.Client().bucket(bucket).blob(path + "/{MARKER}").exists():
    sys.exit("There is no whole checkpoint in " + sys.argv[1] + ". Convert the model first.")
"""


class JetStream(Legacy):
    """The server of MaxText's engine."""

    name = "jetstream"
    api = "jetstream"
    port = HTTP
    metrics = (METRICS, "/")
    queue = "jetstream_prefill_backlog_size"
    settings = SETTINGS
    images: t.ClassVar[t.Mapping[str, str]] = {"http_image": HTTP_IMAGE}
    deprecated = "jetstream was archived on 2026-02-01 in favour of vLLM: take the engine vllm for anything new."

    def default_image(self, instance: Instance) -> str | None:
        """That of the manifest."""
        return IMAGE

    def check(self, instance: Instance) -> tuple[str, ...]:
        """Adds to the usual: one host, weights that MaxText can load, devices that are all used, and room for the model."""
        warnings = super().check(instance)
        check_single_host(instance, "several need Pathways")
        check_bucket(checkpoint(instance).removeprefix("gs://").split("/")[0])
        configured = _configuration(instance)
        on = slice_of(instance)
        _check_parallelism(on, configured)
        check_size(instance, configured["max_target_length"])
        if configured["max_target_length"] <= configured["max_prefill_predict_length"]:
            raise InputError(
                f"max_target_length {configured['max_target_length']} leaves no room for an answer after "
                f"max_prefill_predict_length {configured['max_prefill_predict_length']}.",
                hint="It counts the tokens of request and answer.",
            )
        return warnings

    def workloads(self, instance: Instance) -> tuple[Workload, ...]:
        """One: the server, and HTTP before it."""
        path = checkpoint(instance)
        configured = _configuration(instance)
        first = (*_USUAL, "load_parameters_path", "prometheus_port")
        configured |= {"load_parameters_path": path, "prometheus_port": METRICS.number}
        cache = parts.Part()
        if instance.compile_cache:
            cache = parts.cache(instance)
            configured["jax_cache_dir"] = parts.CACHE
        order = [*first, *sorted(set(configured) - set(first))]
        container = server(
            self,
            instance,
            name="maxengine-server",
            args=[f"{key}={_value(configured[key])}" for key in order],
            mounts=cache.mounts,
            ports=(GRPC, METRICS),
            probes=probes(instance),
        )
        whole = {
            "name": "checkpoint",
            "image": self.image(instance),
            "imagePullPolicy": instance.image_pull_policy,
            "command": ["python3", "-c", _WHOLE, path],
            "securityContext": {"allowPrivilegeEscalation": False},
            "terminationMessagePolicy": "FallbackToLogsOnError",
        }
        return (
            Workload(
                name=instance.name,
                containers=(container, http_server(instance, self.beside(instance, "http_image"))),
                init_containers=(whole,),
                volumes=cache.volumes,
                ports=(HTTP, GRPC),
                replicas=instance.replicas,
            ),
        )


# -- what JetStream with PyTorch shares --------------------------------------------------------------------------------


def http_server(instance: Instance, image: str) -> Object:
    """The container that makes gRPC of HTTP. Its /healthcheck asks the engine, and / only says that it runs."""
    return {
        "name": "jetstream-http",
        "image": image,
        "imagePullPolicy": instance.image_pull_policy,
        "ports": container_ports((HTTP,)),
        "readinessProbe": http_probe("/healthcheck", HTTP, period=5, failures=3),
        "livenessProbe": http_probe("/", HTTP, period=10, failures=6),
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", str(DRAIN)]}}},
        "securityContext": {"allowPrivilegeEscalation": False},
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def probes(instance: Instance) -> dict[str, Object]:
    """Of the engine, which is asked through the other container: by number, since names are those of a container's own."""
    found = {
        "startupProbe": startup_probe("/healthcheck", HTTP, instance),
        "livenessProbe": http_probe("/healthcheck", HTTP, period=10, failures=12),
    }
    for probe in found.values():
        probe["httpGet"]["port"] = HTTP.number
    return found


def check_size(instance: Instance, max_model_len: int) -> None:
    """Raise unless the model fits the slice, as far as its size is known.

    :raises TpuError: it does not, with the numbers.
    """
    size = instance.model.size
    if size is None:
        return
    found = fit.fit(slice_of(instance), dataclasses.replace(size, max_model_len=max_model_len))
    if not found.fits:
        raise found.error()


# -- what follows from the instance ------------------------------------------------------------------------------------


def checkpoint(instance: Instance) -> str:
    """Where the weights are, as MaxText wrote them: the bucket's prefix, or where the converter leaves them.

    :raises InputError: JetStream cannot load them from there.
    """
    weights = instance.model.weights
    if isinstance(weights, Bucket):
        return f"gs://{weights.bucket}/{weights.prefix.strip('/') or kaggle_model(instance.model.name).checkpoint}"
    if isinstance(weights, Stream) and weights.url.startswith("gs://") and not weights.endpoint_url:
        return weights.url.rstrip("/")
    raise InputError(
        "JetStream loads a checkpoint that was converted for it, from Cloud Storage.",
        hint="Give weights in a bucket, or a URL that begins with gs://.",
    )


def _configuration(instance: Instance) -> dict[str, t.Any]:
    """Keys of MaxText's configuration with their values, where the weights are aside.

    :raises InputError: the name of the model does not say what is missing.
    """
    given = {name: value for name, value in instance.settings.items() if name != "http_image"}
    found = {**_USUAL, **given}
    if found["model_name"] is None:
        found["model_name"] = kaggle_model(instance.model.name).maxtext_name
    if found["tokenizer_path"] is None:
        name = found["model_name"]
        tokenizers = [path for prefix, path in _TOKENIZERS.items() if name.startswith(prefix)]
        if not tokenizers:
            raise InputError(
                f"Which tokenizer of MaxText {name} has is not known.", hint="Give the setting tokenizer_path."
            )
        found["tokenizer_path"] = tokenizers[0]
    return found


def _check_parallelism(on: Slice, configured: t.Mapping[str, t.Any]) -> None:
    sizes = [configured[name] for name in _PARALLELISM]
    fixed = math.prod(size for size in sizes if size != -1)
    rest = sizes.count(-1)
    if rest > 1 or fixed < 1 or on.devices % fixed or (not rest and fixed != on.devices):
        raise InputError(
            f"{', '.join(f'{name} {configured[name]}' for name in _PARALLELISM)} do not make the {on.devices} devices of "
            f"{on.topology}.",
            hint="Their product has to; one of them may be -1, which is what remains.",
        )


def _value(value: t.Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
