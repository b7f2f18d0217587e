# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From options to objects, in one process, without asking anybody."""

from __future__ import annotations

import time
import typing as t

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.modelops.serving.plugins.module_utils._endpoint import options, rollout
from ansible_collections.modelops.serving.plugins.module_utils._serving import build
from ansible_collections.modelops.serving.plugins.module_utils._serving.build import Features
from ansible_collections.modelops.serving.plugins.modules.tpu_serving import argument_spec

Object: t.TypeAlias = "dict[str, t.Any]"

_SIZE = {"num_hidden_layers": 62, "num_key_value_heads": 16, "head_dim": 128}
_GEMMA = {
    "name": "google/gemma-3-27b-it",
    "bucket": {"name": "models", "prefix": "models/google/gemma-3-27b-it", "warm_up": True},
    "parameters": "27B",
    **_SIZE,
}
_TOKEN = {"token_secret": {"name": "huggingface"}}
_ROUTE = {"gateways": [{"name": "models"}], "hostnames": ["models.example.com"]}
#: One host, several hosts, a preset with all that can be around it, and a server without TPUs.
_SHAPES: tuple[Object, ...] = (
    {"model": _GEMMA, "accelerator": {"generation": "v6e", "topology": "2x4"}, "cpu": "8", "memory": "64Gi", **_TOKEN},
    {"model": _GEMMA, "accelerator": {"generation": "v6e", "topology": "4x4"}, "settings": {"max_model_len": 8192}},
    {
        "model": {"name": "Qwen/Qwen3-32B"},
        "accelerator": {"generation": "v6e"},
        "preset": True,
        "autoscaling": {"max_replicas": 4},
        "monitoring": {},
        "route": _ROUTE,
        "access": {},
    },
    {"model": {"name": "org/model", "stream": {"url": "s3://models/org/model"}}, "accelerator": {"type": "cpu"}},
)


def parameters(given: Object) -> Object:
    """The options as the module gets them: checked, with all defaults."""
    checked = ArgumentSpecValidator(argument_spec()).validate(given)
    if checked.error_messages:
        raise SystemExit(f"Options of {given['name']}: {' '.join(checked.error_messages)}")
    return t.cast(Object, checked.validated_parameters)


def instances(count: int) -> list[Object]:
    """Options of so many instances, of each shape as many."""
    return [
        parameters({"name": f"server-{number}", "namespace": "models", **_SHAPES[number % len(_SHAPES)]})
        for number in range(count)
    ]


def objects(params: Object, features: Features | None = None) -> list[Object]:
    """All objects of an instance, as they are applied."""
    instance, extras = options.instance_of(params), options.extras_of(params)
    build.check(instance, extras)
    return rollout.definitions(instance, extras, features or Features())


def timed(count: int) -> tuple[float, int]:
    """Seconds for the objects of so many instances, and how many objects these are."""
    given = instances(count)
    start = time.perf_counter()
    made = [objects(params) for params in given]
    return time.perf_counter() - start, sum(map(len, made))
