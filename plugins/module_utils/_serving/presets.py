# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Models that someone is known to serve with vLLM on TPUs, and how: a row per model and generation, each with its source.

Sources, by the letters that stand beside the rows:

* AP: https://github.com/GoogleCloudPlatform/accelerated-platforms at 9320f3b (2026-08-20), its overlays of online serving.
* TR: https://github.com/AI-Hypercomputer/tpu-recipes at c8cfe2f (2026-08-07).
* LWS: https://github.com/kubernetes-sigs/lws at 060ab4d (2026-08-21), its example of vLLM on TPUs.
* KA: https://github.com/kubeai-project/kubeai at 2f32ef4 (2025-07-06), its resource profiles.
"""

from __future__ import annotations

import dataclasses
import difflib
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._tpu import fit
from ansible_collections.modelops.serving.plugins.module_utils._tpu.slice import (
    Parallelism,
    Slice,
    make_slice,
    parallelism,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError


class Preset(t.NamedTuple):
    """How a model is served on a generation.

    :param model: repository id on the Hugging Face Hub.
    :param parameters: as its name has them.
    :param topology: of the slice.
    :param max_model_len: tokens of the longest request; None for as many as vLLM finds room for.
    :param more: other settings of vLLM.
    :param dtype: of the weights, one of :data:`fit.BYTES`.
    :param copies: of the model in the slice; tensor parallelism takes the devices of one.
    """

    model: str
    parameters: str
    generation: str
    topology: str
    max_model_len: int | None = None
    more: t.Mapping[str, t.Any] = {}
    dtype: str = "bfloat16"
    copies: int = 1

    @property
    def settings(self) -> dict[str, t.Any]:
        """Settings of vLLM."""
        length = {"max_model_len": self.max_model_len} if self.max_model_len else {}
        return {**length, **self.more}

    @property
    def slice(self) -> Slice:
        """The slice."""
        return make_slice(self.generation, topology=self.topology)

    @property
    def parallelism(self) -> Parallelism:
        """Over all devices of the slice."""
        return parallelism(self.slice, data=self.copies)

    @property
    def size(self) -> fit.Model:
        """What has to fit."""
        size = fit.Model(fit.parse_parameters(self.parameters), self.dtype)
        return dataclasses.replace(size, max_model_len=self.max_model_len or size.max_model_len)


_FULL = {"gpu_memory_utilization": 0.95}
_EXPERTS = {"enable_expert_parallel": True}
_QWEN_397B = {**_EXPERTS, "kv_cache_dtype": "fp8"}
_LLAMA_8B = {"max_num_batched_tokens": 1024, "max_num_seqs": 128}
_LLAMA_70B = {"gpu_memory_utilization": 0.98, "max_num_batched_tokens": 2048, "max_num_seqs": 256}

#   model, parameters, generation, topology, max_model_len, more
PRESETS = (
    Preset("google/gemma-3-1b-it", "1B", "v5e", "1x1", 1024),  # AP
    Preset("google/gemma-3-1b-it", "1B", "v6e", "1x1"),  # AP
    Preset("google/gemma-3-4b-it", "4B", "v5e", "2x2", 1024),  # AP
    Preset("google/gemma-3-27b-it", "27B", "v5e", "2x4", 1024),  # AP
    Preset("google/gemma-3-27b-it", "27B", "v6e", "2x4", 16384, _FULL),  # AP
    Preset("google/gemma-4-26b-a4b-it", "26B", "v6e", "2x2", 16384, _FULL),  # AP
    Preset("google/gemma-4-31b-it", "31B", "v6e", "2x2", 16384, _FULL),  # AP; TR has 2x4 as the faster one
    Preset("google/gemma-4-31b-it", "31B", "tpu7x", "2x2x1", dtype="fp8", copies=4),  # TR
    Preset("meta-llama/Llama-3.1-8B-Instruct", "8B", "v5e", "2x2"),  # KA
    Preset("meta-llama/Llama-3.1-8B-Instruct", "8B", "v6e", "1x1", None, _LLAMA_8B),  # TR
    Preset("meta-llama/Llama-3.3-70B-Instruct", "70B", "v5e", "4x4"),  # LWS
    Preset("meta-llama/Llama-3.3-70B-Instruct", "70B", "v6e", "2x4", 2048, _LLAMA_70B),  # TR
    Preset("Qwen/Qwen2.5-32B-Instruct", "32B", "v6e", "2x2"),  # TR
    Preset("Qwen/Qwen3-4B", "4B", "v6e", "1x1"),  # TR
    Preset("Qwen/Qwen3-32B", "32B", "v5e", "2x4", 32768, _FULL),  # AP
    Preset("Qwen/Qwen3-32B", "32B", "v6e", "2x2", 32768, _FULL),  # AP
    Preset("Qwen/Qwen3-32B", "32B", "tpu7x", "1x1x1", 9216),  # TR
    Preset("Qwen/Qwen3-Coder-480B-A35B-Instruct-FP8", "480B", "tpu7x", "2x2x1", None, _EXPERTS, "fp8"),  # TR
    Preset("Qwen/Qwen3.5-397B-A17B-FP8", "397B", "tpu7x", "2x2x1", None, _QWEN_397B, "fp8"),  # TR
    Preset("openai/gpt-oss-120b", "120B", "tpu7x", "2x2x1", dtype="fp4", copies=4),  # TR: a server on each chip there
)


def find(model: str, generation: str | None = None) -> Preset:
    """The preset of a model, by its repository id in any case; without ``generation`` its first one.

    :raises InputError: there is none, with those there are.
    """
    rows = [preset for preset in PRESETS if preset.model.lower() == model.lower()]
    if not rows:
        names = {preset.model.lower(): preset.model for preset in PRESETS}
        similar = difflib.get_close_matches(model.lower(), names, 1)
        hint = f"Did you mean {names[similar[0]]}?" if similar else f"There are {', '.join(sorted(names.values()))}."
        raise InputError(f"There is no preset for {model}.", hint=f"{hint} Otherwise give topology and settings.")
    for preset in rows:
        if generation in (None, preset.generation):
            return preset
    known = " and ".join(preset.generation for preset in rows)
    raise InputError(f"There is no preset for {model} on {generation}.", hint=f"There is one for {known}.")
