# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every object of an older engine with all its options, and of the conversions before it, is what Kubernetes knows."""

from __future__ import annotations

import pytest
from schemas import check

from ansible_collections.modelops.serving.plugins.module_utils._mounts import ProviderClass
from ansible_collections.modelops.serving.plugins.module_utils._serving import build, conversion
from ansible_collections.modelops.serving.plugins.module_utils._serving.extras import Autoscaling, Extras, Monitoring
from ansible_collections.modelops.serving.plugins.module_utils._serving.instance import (
    Bucket,
    Claim,
    Hub,
    Instance,
    Model,
    Tpu,
)
from ansible_collections.modelops.serving.plugins.module_utils._tpu.capacity import Capacity
from ansible_collections.modelops.serving.plugins.module_utils._tpu.slice import make_slice

GEMMA = "google/gemma/maxtext/7b-it/2"
OPTIONS = {
    "replicas": 2,
    "memory": "64Gi",
    "max_surge": 1,
    "compile_cache": Claim("cache", "gemma"),
    "image_pull_secrets": ("registry",),
    "env": {"A": "1"},
    "args": ("--own",),
}
SCALED = Extras(Autoscaling(4), Monitoring())
FULL = {
    "jetstream": (
        "2x4",
        Model(GEMMA, Bucket("models", "")),
        {"quantization": "int8", "per_device_batch_size": 11},
        SCALED,
    ),
    "jetstream_pytorch": (
        "2x4",
        Model("google/gemma-7b-it", Hub(), token=ProviderClass("hub", "gke")),
        {"quantize_weights": True},
        Extras(),
    ),
    "saxml": (
        "4x4",
        Model("llama", Bucket("models", "llama")),
        {"util": True, "cell": "/sax/test", "api_key_secret": "keys"},
        Extras(),
    ),
}


@pytest.mark.parametrize("engine", FULL)
def test_servers_with_all_options(engine):
    topology, model, settings, wanted = FULL[engine]
    hardware = Tpu(make_slice("v5e", topology=topology), Capacity("spot"))
    made = Instance("gemma", "serving", engine, model, hardware, settings=settings, **OPTIONS)
    build.check(made, wanted)
    for obj in build.objects(made, wanted):
        check(obj)


RUN = conversion.Run(
    "convert",
    "serving",
    service_account_annotations={"iam.gke.io/gcp-service-account": "a@b"},
    image_pull_secrets=("registry",),
    deadline=7200,
)


def test_the_conversion_for_jetstream():
    loader = conversion.JetStreamLoader(
        RUN, GEMMA, "models", "kaggle", make_slice("v5e", topology="2x4"), Capacity("spot")
    )
    conversion.check_loader(loader)
    for obj in conversion.loader_objects(loader):
        check(obj)


@pytest.mark.parametrize("size", conversion.LLAMA_SIZES)
def test_the_conversion_for_saxml(size):
    made = conversion.LlamaConversion(
        RUN,
        "converter:1",
        size,
        "gs://models/llama",
        "gs://models/pax",
        node_selector={"pool": "large"},
        tolerations=({"key": "large", "operator": "Exists"},),
    )
    conversion.check_llama(made)
    for obj in conversion.llama_objects(made):
        check(obj)
