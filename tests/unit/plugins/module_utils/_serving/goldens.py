# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whole sets of objects as text, one file each. To write them anew, in ``.build`` and with a look at the difference:

``python -m ansible_collections.modelops.serving.tests.unit.plugins.module_utils._serving.goldens FOLDER``
"""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path

from ansible_collections.modelops.serving.plugins.module_utils._kube.render import text
from ansible_collections.modelops.serving.plugins.module_utils._mounts import SecretKey
from ansible_collections.modelops.serving.plugins.module_utils._serving import build, presets
from ansible_collections.modelops.serving.plugins.module_utils._serving.engines import saxml_proxy
from ansible_collections.modelops.serving.plugins.module_utils._serving.instance import (
    Bucket,
    Connection,
    Device,
    Hub,
    KServe,
    Stream,
    Tpu,
)
from ansible_collections.modelops.serving.plugins.module_utils._tpu.capacity import Capacity
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._serving.instances import cpu, instance, tpu

HERE = Path(__file__).parent


def preset(model, generation, weights, **given):
    """An instance as the preset has it."""
    found = presets.find(model, generation)
    hardware = Tpu(found.slice, given.pop("capacity", Capacity()), found.parallelism)
    model = {"model_name": found.model, "model_weights": weights, "model_size": found.size}
    return instance(hardware=hardware, settings=found.settings, **model, **given)


GOLDENS = {
    "vllm_single_host": lambda: preset(
        "google/gemma-3-27b-it", "v6e", Bucket("models", "models/google/gemma-3-27b-it"), capacity=Capacity("spot")
    ),
    "vllm_multi_host": lambda: preset(
        "meta-llama/Llama-3.3-70B-Instruct", "v5e", Stream("gs://models/models/llama"), name="llama", replicas=2
    ),
    "vllm_cpu": lambda: cpu(
        model_name="Qwen/Qwen3-0.6B", model_weights=Hub("c1899de"), model_token=SecretKey("hub"), memory="8Gi"
    ),
    "vllm_kserve": lambda: instance(
        name="granite",
        hardware=Device("gpu", 1, tolerations=({"key": "nvidia.com/gpu", "operator": "Exists"},)),
        model_name="ibm-granite/granite-3.3-8b-instruct",
        model_weights=Connection("demo-models", "models/ibm-granite/granite-3.3-8b-instruct/"),
        cpu="4",
        memory="16Gi",
        kserve=KServe(exposed=True, token=True),
    ),
    "jetstream": lambda: instance(
        engine="jetstream",
        hardware=tpu("v5e", "2x4"),
        model_name="google/gemma/maxtext/7b-it/2",
        model_weights=Bucket("models", ""),
    ),
    "jetstream_pytorch": lambda: instance(
        engine="jetstream_pytorch",
        hardware=tpu("v5e", "2x4"),
        model_name="google/gemma-7b-it",
        model_token=SecretKey("hub"),
    ),
    "saxml_multi_host": lambda: instance(
        name="llama", engine="saxml", hardware=tpu("v5e", "4x4"), settings={"bucket": "saxml-admin"}, replicas=2
    ),
}


def golden(name):
    """The file of a set."""
    return HERE / f"golden_{name}.txt"


def written(name):
    """What belongs into it. Of the program of Saxml's proxy it has the name only."""
    objects = json.dumps(build.objects(GOLDENS[name]()))
    named = objects.replace(json.dumps(inspect.getsource(saxml_proxy)), json.dumps(saxml_proxy.__name__))
    return "---\n".join(map(text, json.loads(named)))


if __name__ == "__main__":
    for name in GOLDENS:
        (Path(sys.argv[1]) / golden(name).name).write_text(written(name))
