# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every object of a server is one that a current Kubernetes and the projects behind custom resources know."""

from __future__ import annotations

import itertools

import pytest
from schemas import check

from ansible_collections.modelops.serving.plugins.module_utils._mounts import PROFILES, ProviderClass, SecretKey
from ansible_collections.modelops.serving.plugins.module_utils._serving import build
from ansible_collections.modelops.serving.plugins.module_utils._serving.extras import (
    Access,
    Autoscaling,
    Extras,
    Ladder,
    Monitoring,
    Pool,
    Route,
)
from ansible_collections.modelops.serving.plugins.module_utils._serving.instance import (
    Bucket,
    Claim,
    Device,
    Hub,
    Instance,
    Model,
    Stream,
    Tpu,
)
from ansible_collections.modelops.serving.plugins.module_utils._tpu.capacity import Capacity
from ansible_collections.modelops.serving.plugins.module_utils._tpu.slice import make_slice

LADDER = Ladder("tpu", (Capacity("reservation", reservation="r"), Capacity(), Capacity("flex_start"), Capacity("spot")))
HARDWARE = {
    "single": Tpu(make_slice("v6e", topology="2x4"), Capacity("spot")),
    "multi": Tpu(make_slice("v5e", topology="4x4"), Capacity("compute_class", compute_class="tpu")),
    "gpu": Device("gpu", 1, {"pool": "l4"}, ({"key": "nvidia.com/gpu", "operator": "Exists"},)),
    "cpu": Device(),
}
WEIGHTS = [
    Bucket("models", "models/google/gemma-3-27b-it", warm_up=True),
    Stream("s3://models/m", endpoint_url="https://s3.test", region="eu", credentials_secret="keys"),
    Claim("disk", "m"),
    Hub("abc"),
]
TOKENS = [
    {},
    {"token": SecretKey("hub"), "token_profile": PROFILES["env"]},
    {"token": ProviderClass("hub", "gke")},
]
OPTIONS = {
    "cpu": "8",
    "memory": "32Gi",
    "compile_cache": Claim("cache", "gemma"),
    "max_surge": 1,
    "service_account_annotations": {"eks.amazonaws.com/role-arn": "arn"},
    "image_pull_secrets": ("registry",),
    "labels": {"team": "ml"},
    "annotations": {"note": "a"},
    "env": {"A": "1"},
    "args": ("--own",),
    "restarted_at": "2026-11-21T18:00:00Z",
}
EXTRAS = [
    Extras(),
    Extras(
        Autoscaling(4),
        Monitoring(),
        Pool("picker"),
        Route(({"name": "gateway", "namespace": "infra"},), ("llm.test",), "/v1", "600s"),
        Access(({"namespaceSelector": {"matchLabels": {"team": "ml"}}},)),
    ),
    Extras(
        Autoscaling(4, 0, "keda", prometheus="http://p:9090"), Monitoring("pod_monitor"), route=Route(({"name": "g"},))
    ),
]


def objects(hardware, weights, token, options, wanted):
    model = Model("google/gemma-3-27b-it", weights, **token)
    made = Instance("gemma", "serving", "vllm", model, HARDWARE[hardware], **options)
    build.check(made, wanted)
    return build.objects(made, wanted)


@pytest.mark.parametrize("hardware", HARDWARE)
def test_objects_are_what_kubernetes_knows(hardware):
    for weights, token, options in zip(WEIGHTS, itertools.cycle(TOKENS), itertools.cycle(({}, OPTIONS))):
        for obj in objects(hardware, weights, token, options, Extras()):
            check(obj)


@pytest.mark.parametrize("wanted", EXTRAS)
@pytest.mark.parametrize("hardware", HARDWARE)
def test_extras_are_what_their_projects_know(hardware, wanted):
    for obj in objects(hardware, Hub(), {}, OPTIONS, wanted):
        check(obj)


GEMMA = Model("google/gemma/maxtext/7b-it/2", Bucket("models", ""))
LEGACY = {
    "jetstream": ("2x4", GEMMA),
    "jetstream_pytorch": ("2x4", Model("meta-llama/Llama-2-7b-chat-hf", Hub(), token=SecretKey("hub"))),
    "saxml": ("2x2", GEMMA),
    "saxml over hosts": ("4x8", GEMMA),
}


@pytest.mark.parametrize("options", [{}, {"compile_cache": Claim("cache"), "replicas": 2}])
@pytest.mark.parametrize("name", LEGACY)
def test_legacy_engines_are_what_kubernetes_knows(name, options):
    topology, model = LEGACY[name]
    hardware = Tpu(make_slice("v5e", topology=topology))
    made = Instance("gemma", "serving", name.split()[0], model, hardware, **options)
    assert "take the engine vllm" in " ".join(build.check(made))
    for obj in build.objects(made, Extras(access=Access())):
        check(obj)


def test_a_ladder_is_what_gke_knows():
    found = objects("multi", Hub(), {}, {}, Extras(ladder=LADDER))[-1]
    assert found["kind"] == "ComputeClass"
    check(found)


@pytest.mark.parametrize("hardware", ["single", "multi"])
def test_what_is_misspelt_shows(hardware):
    main = objects(hardware, Hub(), {}, {}, Extras())[1]
    spec = main["spec"].get("template") or main["spec"]["leaderWorkerTemplate"]["workerTemplate"]
    spec["spec"]["containers"][0]["volumeMount"] = []
    with pytest.raises(AssertionError, match="volumeMount"):
        check(main)
