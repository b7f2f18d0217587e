#!/usr/bin/python

# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: what follows from a slice of TPUs, and whether a model fits it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tpu_slice_info
short_description: Check a slice of TPUs on GKE, and whether a model fits it
version_added: 0.3.0
author:
  - modelops.serving contributors (@modelops)
description:
  - Says whether GKE can make a slice, and everything that follows from it. That is its nodes, what a Pod selects,
    tolerates and requests, the settings of its node pool, its devices and its memory.
  - With O(model) it says whether the model fits, and without a size it finds the smallest slice that holds it.
  - Without a size and a model it lists what is valid for a generation, and without O(accelerator) for all.
  - Computes only. Nobody is asked, and nothing is said of quota or of what a zone has.
extends_documentation_fragment:
  - modelops.serving._attributes
  - modelops.serving._attributes.info_module
  - modelops.serving._attributes.actiongroup_serving
attributes:
  async:
    support: full
options:
  accelerator:
    description:
      - A generation such as V(v6e), a value of the label C(cloud.google.com/gke-tpu-accelerator) such as
        V(tpu-v6e-slice), a machine type such as V(ct6e-standard-8t), or an accelerator type such as V(v5p-128).
    type: str
    aliases: [generation]
  topology:
    description:
      - Sides of the slice, such as V(2x4) or V(4x4x8).
    type: str
  chips:
    description:
      - Chips of the slice, instead of O(topology). The topology is the default one for so many.
    type: int
  machine_type:
    description:
      - Says whether a slice 2x4 of v5e or v6e is one host of 8 chips or two of 4. Without it, it is one, and a warning
        says so.
    type: str
  capacity:
    description:
      - Where the nodes come from.
      - V(queued) is flex-start by a ProvisioningRequest.
    type: str
    choices: [on_demand, spot, reservation, flex_start, queued, compute_class]
    default: on_demand
  reservation:
    description:
      - Name of the reservation, with O(capacity=reservation) and only there.
    type: str
  reservation_project:
    description:
      - Project of a shared reservation.
    type: str
  max_run_duration:
    description:
      - Seconds that nodes may live with O(capacity=flex_start) and O(capacity=queued), at most 604800.
    type: int
  compute_class:
    description:
      - Name of the ComputeClass, with O(capacity=compute_class) and only there.
    type: str
  boot_disk_type:
    description:
      - A disk that the nodes are to boot from, to be checked.
    type: str
  engine:
    description:
      - Server of models that is to run on the slice, to be checked.
    type: str
    choices: [vllm, jetstream, saxml]
  tensor_parallel:
    description:
      - Devices that each layer is spread over. A chip of tpu7x is two devices, and one of the others is one.
      - Without it, it is what makes use of all devices. Less is a warning, more a failure.
    type: int
  pipeline_parallel:
    description:
      - Stages that the layers are spread over.
    type: int
    default: 1
  data_parallel:
    description:
      - Copies of the model.
    type: int
    default: 1
  memory_utilization:
    description:
      - Share of the memory that the server takes for weights and KV cache.
    type: float
    default: 0.9
  model:
    description:
      - The model that is to fit.
    type: dict
    suboptions:
      parameters:
        description:
          - How many parameters it has, such as V(27B). Of a mixture of experts all of them count.
        type: str
        required: true
      dtype:
        description:
          - Format of its weights.
        type: str
        choices: [float32, bfloat16, float16, int8, fp8, int4, fp4]
        default: bfloat16
      num_hidden_layers:
        description:
          - Layers. With O(model.num_key_value_heads) and O(model.head_dim) it says how large the KV cache is, and all three
            are in the C(config.json) of the model. Without them 15 percent of the memory are kept for the cache.
        type: int
      num_key_value_heads:
        description:
          - Heads of keys and values in each layer.
        type: int
      head_dim:
        description:
          - Size of each head.
        type: int
      kv_cache_dtype:
        description:
          - Format of the KV cache. Without it, it is that of the weights, but at least 16 bits.
        type: str
        choices: [float32, bfloat16, float16, int8, fp8, int4, fp4]
      max_model_len:
        description:
          - Tokens of the longest request.
        type: int
        default: 8192
      concurrency:
        description:
          - How many requests of that length have to fit at once.
        type: int
        default: 1
  fail_on_unfit:
    description:
      - Fail when RV(fit.fits) is false, with the numbers and the smallest slice that would do.
    type: bool
    default: false
seealso:
  - plugin: modelops.serving.tpu_slice
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Everything about a slice
  modelops.serving.tpu_slice_info:
    accelerator: v6e
    topology: 4x4
    capacity: flex_start
  register: tpu

- name: Do not begin with a slice that is too small
  modelops.serving.tpu_slice_info:
    accelerator: ct5lp-hightpu-8t
    model:
      parameters: 27B
    fail_on_unfit: true

- name: Find the smallest slice for a model
  modelops.serving.tpu_slice_info:
    accelerator: v6e
    model:
      parameters: 32.8B
      num_hidden_layers: 64
      num_key_value_heads: 8
      head_dim: 128
      max_model_len: 32768

- name: List what is valid for v5p
  modelops.serving.tpu_slice_info:
    accelerator: v5p
"""

RETURN = r"""
generations:
  description: What is valid, for the generation of O(accelerator), or for all of them.
  type: list
  elements: dict
  returned: success
  contains:
    name:
      description: The generation.
      type: str
      sample: v6e
    accelerator_label:
      description: Value of the node label C(cloud.google.com/gke-tpu-accelerator).
      type: str
      sample: tpu-v6e-slice
    accelerator_types:
      description: What names of its accelerator types begin with. None where there are none.
      type: str
      sample: v6e
    topologies:
      description: All that are valid, the smallest first, and of several with as many chips the default one first.
      type: list
      elements: str
      sample: [1x1, 2x2, 2x4]
    machine_types:
      description: Machine types with their chips, the topology that one of them is, and whether several make a slice.
      type: list
      elements: dict
    chip:
      description: Memory, bandwidth, peaks, TensorCores, devices and a hint of its price on demand, for one chip.
      type: dict
    boot_disk_types:
      description: Boot disks that its nodes take.
      type: list
      elements: str
    flex_start:
      description: Whether there is flex-start for it, V(yes), V(no), or V(disputed) where sources differ.
      type: str
    engines:
      description: Servers of models that run on it.
      type: list
      elements: str
    gke_versions:
      description: Versions of GKE from which on it can be had.
      type: dict
    zones:
      description: Zones that the documentation has named. They change.
      type: list
      elements: str
slice:
  description:
    - The slice. Its fields are those of P(modelops.serving.tpu_slice#filter).
  type: dict
  returned: with a size or O(model)
  contains:
    generation:
      description: Its generation.
      type: str
      sample: v6e
    topology:
      description: Its sides.
      type: str
      sample: 4x4
    machine_type:
      description: Of its nodes.
      type: str
      sample: ct6e-standard-4t
    chips:
      description: Chips of the whole slice.
      type: int
      sample: 16
    hosts:
      description: Nodes of the slice.
      type: int
      sample: 4
    chips_per_host:
      description: Chips of each node.
      type: int
      sample: 4
    multi_host:
      description: Whether it has several nodes.
      type: bool
      sample: true
    devices:
      description: What tensor parallelism counts.
      type: int
      sample: 16
    resources:
      description: Requests and limits of the container in each Pod.
      type: dict
    placement:
      description: How its node pool is told the topology. None for a single host.
      type: dict
    alternatives:
      description: Machine types that make the same topology with another number of hosts.
      type: list
      elements: str
scheduling:
  description: C(nodeSelector) and C(tolerations) of a Pod, with those of O(capacity).
  type: dict
  returned: with a slice
node_pool:
  description: Settings of a node pool that holds the slice once. None with O(capacity=compute_class), where GKE makes it.
  type: dict
  returned: with a slice
parallelism:
  description: How a server spreads over the devices, with the keys C(tensor), C(pipeline) and C(data).
  type: dict
  returned: with a slice
fit:
  description: Whether each copy of the model fits its devices.
  type: dict
  returned: with O(model)
  contains:
    fits:
      description: Whether it does.
      type: bool
    copies:
      description: Copies of the model.
      type: int
    hbm_bytes:
      description: Memory of the devices of one copy.
      type: int
    usable_bytes:
      description: What of it the server takes.
      type: int
    weight_bytes:
      description: Weights of one copy.
      type: int
    weight_share:
      description: Share of the weights in the memory.
      type: float
    kv_needed_bytes:
      description: KV cache that one copy needs.
      type: int
    kv_tokens:
      description: Tokens that the KV cache holds. None without the shape of the model.
      type: int
    message:
      description: All of it as a sentence.
      type: str
    hint:
      description: The smallest slice that would do. Empty when this one does.
      type: str
error:
  description: Why the module failed.
  type: dict
  returned: failure
  contains:
    kind:
      description: Class of the error.
      type: str
      sample: TpuError
    message:
      description: What cannot be, and why.
      type: str
    hint:
      description: What to ask for instead.
      type: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.modelops.serving.plugins.module_utils._tpu.capacity import (
    KINDS,
    Capacity,
    check_disk,
    node_pool,
    scheduling,
)
from ansible_collections.modelops.serving.plugins.module_utils._tpu.catalog import ENGINES, GENERATIONS
from ansible_collections.modelops.serving.plugins.module_utils._tpu.errors import TpuError
from ansible_collections.modelops.serving.plugins.module_utils._tpu.fit import (
    BYTES,
    UTILIZATION,
    Model,
    fit,
    parse_parameters,
    smallest,
)
from ansible_collections.modelops.serving.plugins.module_utils._tpu.slice import (
    Slice,
    check_engine,
    describe,
    find,
    make_slice,
    parallelism,
    topologies,
)

_CAPACITY = ("reservation", "reservation_project", "max_run_duration", "compute_class")


def argument_spec() -> dict[str, t.Any]:
    """The options of the module."""
    return {
        "accelerator": {"type": "str", "aliases": ["generation"]},
        "topology": {"type": "str"},
        "chips": {"type": "int"},
        "machine_type": {"type": "str"},
        "capacity": {"type": "str", "choices": list(KINDS), "default": "on_demand"},
        "reservation": {"type": "str"},
        "reservation_project": {"type": "str"},
        "max_run_duration": {"type": "int"},
        "compute_class": {"type": "str"},
        "boot_disk_type": {"type": "str"},
        "engine": {"type": "str", "choices": [engine.name for engine in ENGINES]},
        "tensor_parallel": {"type": "int"},
        "pipeline_parallel": {"type": "int", "default": 1},
        "data_parallel": {"type": "int", "default": 1},
        "memory_utilization": {"type": "float", "default": UTILIZATION},
        "model": {
            "type": "dict",
            "options": {
                "parameters": {"type": "str", "required": True},
                "dtype": {"type": "str", "choices": list(BYTES), "default": "bfloat16"},
                "num_hidden_layers": {"type": "int"},
                # A count, although "key" stands in its name.
                "num_key_value_heads": {"type": "int", "no_log": False},
                "head_dim": {"type": "int"},
                "kv_cache_dtype": {"type": "str", "choices": list(BYTES)},
                "max_model_len": {"type": "int", "default": 8192},
                "concurrency": {"type": "int", "default": 1},
            },
        },
        "fail_on_unfit": {"type": "bool", "default": False},
    }


def look_up(params: dict[str, t.Any], warn: t.Callable[[str], None]) -> dict[str, t.Any]:
    """The result of the module.

    :raises TpuError: what is asked for cannot be.
    """
    if params["accelerator"] is None:
        return {"generations": [describe(generation) for generation in GENERATIONS]}
    found = find(params["accelerator"])
    result: dict[str, t.Any] = {"generations": [describe(found.generation)]}
    capacity = Capacity(kind=params["capacity"], **{name: params[name] for name in _CAPACITY})
    warnings = list(capacity.check(found.generation))
    if params["engine"]:
        warnings += check_engine(found.generation, params["engine"])
    if params["boot_disk_type"]:
        check_disk(found.generation, params["boot_disk_type"])
    model = model_of(params["model"])
    on = choose(params, model)
    if on is not None:
        warnings += on.warnings
        spread = parallelism(
            on,
            tensor=params["tensor_parallel"],
            pipeline=params["pipeline_parallel"],
            data=params["data_parallel"],
        )
        warnings += spread.warnings
        result.update(
            slice=on.data(),
            scheduling=scheduling(on, capacity),
            node_pool=None if capacity.compute_class else node_pool(on, capacity),
            parallelism={"tensor": spread.tensor, "pipeline": spread.pipeline, "data": spread.data},
        )
        if model is not None:
            verdict = fit(on, model, spread, params["memory_utilization"])
            if params["fail_on_unfit"] and not verdict.fits:
                raise verdict.error()
            result["fit"] = verdict.data()
    for warning in warnings:
        warn(warning)
    return result


def model_of(options: dict[str, t.Any] | None) -> Model | None:
    """The model, from the option of that name.

    :raises TpuError: it is described wrongly.
    """
    if options is None:
        return None
    return Model(**{**options, "parameters": parse_parameters(options["parameters"])})


def choose(params: dict[str, t.Any], model: Model | None) -> Slice | None:
    """The slice that is asked for, or the smallest that holds the model; None when neither is said.

    :raises TpuError: there is none.
    """
    found = find(params["accelerator"])
    size = {name: params[name] for name in ("topology", "chips", "machine_type")}
    if found.machine or found.chips or any(value is not None for value in size.values()):
        return make_slice(params["accelerator"], **size)
    if model is None:
        return None
    on = smallest(found.generation, model, params["memory_utilization"])
    if on is None:
        largest = make_slice(found.generation.name, topology=topologies(found.generation)[-1])
        raise fit(largest, model, utilization=params["memory_utilization"]).error()
    return on


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec=argument_spec(),
        mutually_exclusive=[("topology", "chips")],
        required_by=dict.fromkeys(("topology", "chips", "machine_type", "model"), "accelerator"),
        supports_check_mode=True,
    )
    try:
        result = look_up(module.params, module.warn)
    except TpuError as error:
        details = {"kind": type(error).__name__, "message": error.message, "hint": error.hint}
        module.fail_json(msg=str(error), error=details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
