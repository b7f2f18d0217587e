# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""JetStream with PyTorch/XLA: downloads from the Hugging Face Hub what it serves.

The manifest is that of https://cloud.google.com/kubernetes-engine/docs/tutorials/serve-llm-tpu-jetstream-pytorch.
"""

from __future__ import annotations

import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._mounts import PROFILES, token_mount
from ansible_collections.modelops.serving.plugins.module_utils._serving import parts
from ansible_collections.modelops.serving.plugins.module_utils._serving.engine import Setting, Workload, server
from ansible_collections.modelops.serving.plugins.module_utils._serving.engines.jetstream import (
    GRPC,
    HTTP,
    HTTP_IMAGE,
    check_size,
    http_server,
    probes,
)
from ansible_collections.modelops.serving.plugins.module_utils._serving.engines.legacy import Legacy, check_single_host
from ansible_collections.modelops.serving.plugins.module_utils._serving.instance import Hub, Instance
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError

IMAGE = "us-docker.pkg.dev/cloud-tpu-images/inference/jetstream-pytorch-server:v0.2.4"

_USUAL: dict[str, t.Any] = {"override_batch_size": 30, "enable_model_warmup": True}
#: Tokens of request and answer, where the settings do not say them.
_LENGTH = 1024

# Each is the option of the server of that name, http_image aside.
SETTINGS = {
    "enable_model_warmup": Setting(bool),
    "http_image": Setting(str),
    "max_input_length": Setting(int),
    "max_output_length": Setting(int),
    "override_batch_size": Setting(int),
    "quantize_weights": Setting(bool),
}


class JetStreamPyTorch(Legacy):
    """The server of PyTorch/XLA's engine."""

    name = "jetstream_pytorch"
    catalog_name = "jetstream"
    api = "jetstream"
    port = HTTP
    settings = SETTINGS
    images: t.ClassVar[t.Mapping[str, str]] = {"http_image": HTTP_IMAGE}
    deprecated = (
        "jetstream_pytorch was archived on 2026-02-01 in favour of vLLM: take the engine vllm for anything new."
    )

    def default_image(self, instance: Instance) -> str | None:
        """That of the manifest."""
        return IMAGE

    def check(self, instance: Instance) -> tuple[str, ...]:
        """Adds to the usual: one host, the Hub and its token, and room for the model."""
        warnings = super().check(instance)
        check_single_host(instance, "several need Ray, which is not supported here")
        if instance.model.weights != Hub():
            raise InputError(
                "jetstream_pytorch downloads its model from the Hugging Face Hub, and always the newest revision.",
                hint="Leave out the weights and the revision, or take vllm.",
            )
        if instance.model.token is None:
            raise InputError(
                "jetstream_pytorch logs in to the Hugging Face Hub before it does anything else.",
                hint="Give the Secret or SecretProviderClass with a token.",
            )
        lengths = [instance.settings.get(name, _LENGTH) for name in ("max_input_length", "max_output_length")]
        check_size(instance, sum(lengths))
        return warnings

    def workloads(self, instance: Instance) -> tuple[Workload, ...]:
        """One: the server, and HTTP before it."""
        model = instance.model
        options = {**_USUAL, **instance.settings}
        options.pop("http_image", None)
        found = parts.Part()
        if model.token:  # its path is compiled into the server
            mount = token_mount(model.token, PROFILES["jetstream_pytorch"])
            found += parts.Part(env=mount.env, mounts=mount.mounts, volumes=mount.volumes)
        if instance.compile_cache:
            found += parts.cache(instance)
            options["internal_jax_compilation_cache"] = parts.CACHE
        order = [*_USUAL, *sorted(set(options) - set(_USUAL))]
        container = server(
            self,
            instance,
            name="jetstream-pytorch-server",
            args=[f"--model_id={model.name}", *(f"--{name}={options[name]}" for name in order)],
            env=found.env,
            mounts=found.mounts,
            ports=(GRPC,),
            probes=probes(instance),
        )
        return (
            Workload(
                name=instance.name,
                containers=(container, http_server(instance, self.beside(instance, "http_image"))),
                volumes=found.volumes,
                ports=(HTTP, GRPC),
                replicas=instance.replicas,
            ),
        )
