# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._endpoint.options import extras_of, instance_of
from ansible_collections.modelops.serving.plugins.module_utils._mounts import PROFILES, ProviderClass, SecretKey
from ansible_collections.modelops.serving.plugins.module_utils._serving import presets
from ansible_collections.modelops.serving.plugins.module_utils._serving.extras import (
    Access,
    Autoscaling,
    Canary,
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
from ansible_collections.modelops.serving.plugins.module_utils._tpu import fit
from ansible_collections.modelops.serving.plugins.module_utils._tpu.capacity import Capacity
from ansible_collections.modelops.serving.plugins.module_utils._tpu.slice import make_slice, parallelism
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._endpoint.given import MODEL, SLICE, params

V6E = make_slice("v6e", topology="2x4")


def test_without_more_an_instance_has_the_defaults_of_its_class():
    usual = Instance("gemma", "serving", "vllm", Model(MODEL, Hub()), Tpu(V6E))
    assert instance_of(params()) == usual
    assert extras_of(params()) == Extras()


def test_what_is_given_is_taken_over():
    given = {
        "image": "vllm:1",
        "replicas": 2,
        "settings": {"seed": 1},
        "args": ["--x"],
        "env": {"A": 1},
        "labels": {"team": "a"},
        "compile_cache": {"name": "cache", "path": "xla"},
        "image_pull_secrets": ["registry"],
        "startup_timeout": 60,
    }
    made = instance_of(params(**given))
    expected = {**given, "args": ("--x",), "env": {"A": "1"}, "image_pull_secrets": ("registry",)}
    expected["compile_cache"] = Claim("cache", "xla")
    assert {name: getattr(made, name) for name in given} == expected


@pytest.mark.parametrize(
    ("given", "weights"),
    [
        ({}, Hub()),
        ({"revision": "abc"}, Hub("abc")),
        ({"bucket": {"name": "b", "prefix": "p/m", "warm_up": True}}, Bucket("b", "p/m", warm_up=True)),
        (
            {"stream": {"url": "s3://b/m", "endpoint_url": "http://s3", "credentials_secret": "s3"}},
            Stream("s3://b/m", "http://s3", None, "s3"),
        ),
        ({"claim": {"name": "models"}}, Claim("models")),
    ],
)
def test_weights(given, weights):
    assert instance_of(params(model={"name": MODEL, **given})).model.weights == weights


def test_size_of_the_model():
    made = instance_of(params(model={"name": MODEL, "parameters": "27B", "dtype": "fp8"}))
    assert made.model.size == fit.Model(27 * 10**9, "fp8")
    with pytest.raises(InputError, match="dtype of the model google/gemma-3-27b-it say nothing"):
        instance_of(params(model={"name": MODEL, "dtype": "fp8"}))


@pytest.mark.parametrize(
    ("given", "source", "profile"),
    [
        ({"token_secret": {"name": "hub"}}, SecretKey("hub"), PROFILES["standard"]),
        ({"token_secret": {"name": "hub", "key": "k", "mount": "env"}}, SecretKey("hub", "k"), PROFILES["env"]),
        (
            {"token_secret_provider_class": {"provider": "gke", "mount": "jetstream_pytorch"}},
            ProviderClass("huggingface-token-read", "gke"),
            PROFILES["jetstream_pytorch"],
        ),
    ],
)
def test_token(given, source, profile):
    model = instance_of(params(**given)).model
    assert (model.token, model.token_profile) == (source, profile)


# -- hardware ----------------------------------------------------------------------------------------------------------


def test_slices():
    made = instance_of(
        params(accelerator={**SLICE, "capacity": "reservation", "reservation": "r", "tensor_parallel": 4})
    )
    assert made.hardware == Tpu(V6E, Capacity("reservation", "r"), parallelism(V6E, tensor=4))
    assert instance_of(params(accelerator={"machine_type": "ct6e-standard-8t"})).hardware.slice.topology == "2x4"


def test_other_devices():
    given = {"type": "gpu", "count": 2, "node_selector": {"a": 1}, "tolerations": [{"key": "t"}]}
    assert instance_of(params(accelerator=given)).hardware == Device("gpu", 2, {"a": "1"}, ({"key": "t"},))
    assert instance_of(params(accelerator={"type": "cpu"})).hardware == Device()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"type": "cpu", "topology": "2x4"}, "topology of accelerator means nothing for cpu"),
        ({"type": "gpu", "capacity": "spot"}, "capacity of accelerator means nothing for gpu"),
        ({**SLICE, "count": 4}, "count of accelerator means nothing for tpu"),
        ({}, "Which TPU the server runs on is not said"),
    ],
)
def test_no_option_is_without_effect(given, message):
    with pytest.raises(InputError, match=message):
        instance_of(params(accelerator=given))


def test_presets_fill_in_and_what_is_given_counts_more():
    preset = presets.find(MODEL, "v6e")
    whole = instance_of(params(preset=True, accelerator={"generation": "tpu-v6e-slice"}))
    assert whole.hardware == Tpu(preset.slice, parallelism=preset.parallelism)
    assert (whole.settings, whole.model.size) == (preset.settings, preset.size)
    changed = instance_of(
        params(
            preset=True,
            model={"name": MODEL, "parameters": "1B"},
            accelerator={"generation": "v6e", "topology": "4x4"},
            settings={"max_model_len": 5},
        )
    )
    assert changed.hardware == Tpu(make_slice("v6e", topology="4x4"))
    assert changed.settings == {**preset.settings, "max_model_len": 5}
    assert changed.model.size.parameters == 10**9


@pytest.mark.parametrize(
    "given", [{"engine": "saxml"}, {"accelerator": {"type": "cpu"}}, {"model": {"name": "no/such-model"}}]
)
def test_presets_that_are_not_there(given):
    with pytest.raises(InputError, match="preset"):
        instance_of(params(preset=True, **given))


def test_extras():
    gateways, peers = [{"name": "g"}], [{"podSelector": {}}]
    wanted = extras_of(
        params(
            autoscaling={"max_replicas": 3},
            monitoring={"kind": "pod_monitor"},
            pool={"picker": "epp"},
            route={"gateways": gateways, "timeout": "60s", "canary": {"name": "gemma-canary", "weight": 0}},
            access={"sources": peers},
            ladder={"name": "l", "steps": [{"capacity": "spot"}, {}]},
        )
    )
    assert wanted == Extras(
        Autoscaling(3),
        Monitoring("pod_monitor"),
        Pool("epp"),
        Route(tuple(gateways), timeout="60s", canary=Canary("gemma-canary", 0)),
        Access(tuple(peers)),
        Ladder("l", (Capacity("spot"), Capacity())),
    )
    assert extras_of(params(access={})).access == Access()
