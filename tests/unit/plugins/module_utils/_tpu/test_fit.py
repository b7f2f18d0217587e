# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.modelops.serving.plugins.module_utils._tpu.catalog import GENERATIONS
from ansible_collections.modelops.serving.plugins.module_utils._tpu.errors import TpuError
from ansible_collections.modelops.serving.plugins.module_utils._tpu.fit import (
    BYTES,
    Model,
    fit,
    parse_parameters,
    smallest,
)
from ansible_collections.modelops.serving.plugins.module_utils._tpu.slice import (
    default_topologies,
    find,
    make_slice,
    parallelism,
)

properties = hypothesis.settings(deadline=None, derandomize=True, database=None, max_examples=100)
SHAPE = {"num_hidden_layers": 80, "num_key_value_heads": 8, "head_dim": 128}
LLAMA_70B = Model(70_600_000_000, **SHAPE, max_model_len=2048)

# What Google's, vLLM's and Kubernetes SIGs' published recipes serve: parameters, format, generation, topology, tensor
SERVED = """
1B bfloat16 v5e 1x1 1
4.3B bfloat16 v5e 2x2 4
27.4B bfloat16 v5e 2x4 8
27.4B bfloat16 v6e 2x4 8
26B bfloat16 v6e 2x2 4
31B bfloat16 v6e 2x2 4
31B fp8 tpu7x 2x2x1 2
8.5B bfloat16 v5e 2x2 4
8B bfloat16 v6e 1x1 1
8B bfloat16 v5e 2x2 4
70.6B bfloat16 v6e 2x4 8
70.6B bfloat16 v5e 4x4 16
69B bfloat16 v5e 4x8 32
405B int8 v6e 4x4 16
4B bfloat16 v6e 1x1 1
32.8B bfloat16 v5e 2x4 8
32.8B bfloat16 v6e 2x2 4
32.8B bfloat16 tpu7x 1x1x1 2
480B fp8 tpu7x 2x2x1 8
397B fp8 tpu7x 2x2x1 8
671B fp4 tpu7x 2x2x1 8
117B fp4 tpu7x 2x2x1 2
"""


@pytest.mark.parametrize("row", SERVED.strip().splitlines())
def test_what_is_served_somewhere_fits(row):
    parameters, dtype, generation, topology, tensor = row.split()
    on = make_slice(generation, topology=topology)
    spread = parallelism(on, tensor=int(tensor), data=on.devices // int(tensor))
    assert fit(on, Model(parse_parameters(parameters), dtype), spread).fits


def test_too_large_says_the_numbers_and_what_would_do():
    verdict = fit(make_slice("v5e", topology="2x2"), Model(27_000_000_000))
    assert not verdict.fits
    error = verdict.error()
    for number in ("4 x 16 GiB", "weights of 50.3 GiB", "9.6 GiB (assumed)", "57.6 GiB (90% of 64.0 GiB)"):
        assert number in error.message
    assert "smallest slice of v5e that holds it is 2x4 (8 chips)" in error.hint
    assert fit(make_slice("v5e", topology="2x4"), Model(27_000_000_000)).hint == ""


def test_too_large_for_every_slice():
    huge = Model(10**13)
    assert smallest(find("v5e").generation, huge) is None
    assert "take another generation" in fit(make_slice("v5e", topology="16x16"), huge).hint


def test_the_kv_cache_in_tokens():
    verdict = fit(make_slice("v6e", topology="2x4"), LLAMA_70B)
    token = 2 * 80 * 8 * 128 * 2
    usable = int(8 * 32 * 2**30 * 0.9)
    assert (verdict.weights, verdict.usable, verdict.kv_needed) == (141_200_000_000, usable, 2048 * token)
    assert verdict.kv_tokens == (usable - 141_200_000_000) // token
    assert verdict.fits
    many = verdict.kv_tokens // 2048
    assert fit(make_slice("v6e", topology="2x4"), dataclasses.replace(LLAMA_70B, concurrency=many)).fits
    more = fit(make_slice("v6e", topology="2x4"), dataclasses.replace(LLAMA_70B, concurrency=many + 1))
    assert not more.fits and "4x4" in more.hint


def test_heads_that_are_fewer_than_devices_are_kept_several_times():
    assert LLAMA_70B.token_bytes(8) == LLAMA_70B.token_bytes(4) == 2 * 80 * 8 * 128 * 2
    assert LLAMA_70B.token_bytes(16) == 2 * LLAMA_70B.token_bytes(8)


def test_the_format_of_the_cache():
    quantized = dataclasses.replace(LLAMA_70B, dtype="int8")
    assert quantized.weight_bytes == LLAMA_70B.weight_bytes // 2
    assert quantized.token_bytes(8) == LLAMA_70B.token_bytes(8)
    assert dataclasses.replace(quantized, kv_cache_dtype="fp8").token_bytes(8) == LLAMA_70B.token_bytes(8) // 2


def test_each_copy_needs_its_own_devices():
    on = make_slice("tpu7x-standard-4t")
    model = Model(120_000_000_000)
    assert fit(on, model).fits
    verdict = fit(on, model, parallelism(on, tensor=2, data=4))
    assert not verdict.fits and verdict.copies == 4
    assert "2 of 8 devices of tpu7x 2x2x1" in verdict.message and "192.0 GiB" in verdict.message
    assert "for each of 4 copies" in verdict.hint


@given(
    st.sampled_from(GENERATIONS),
    st.integers(10**8, 2 * 10**12),
    st.sampled_from(sorted(BYTES)),
    st.floats(0.5, 1.0),
)
@properties
def test_the_smallest_slice_is_the_smallest(generation, parameters, dtype, utilization):
    model = Model(parameters, dtype)
    found = smallest(generation, model, utilization)
    sizes = list(default_topologies(generation))
    if found is None:
        found = make_slice(generation.name, chips=sizes[-1])
        assert not fit(found, model, utilization=utilization).fits
        return
    assert fit(found, model, utilization=utilization).fits
    for size in sizes[: sizes.index(found.chips)][-3:]:
        assert not fit(make_slice(generation.name, chips=size), model, utilization=utilization).fits


@pytest.mark.parametrize(
    ("text", "number"),
    [("27B", 27 * 10**9), ("0.6b", 6 * 10**8), ("500 M", 5 * 10**8), ("1T", 10**12), ("27432406640", 27432406640)],
)
def test_numbers_of_parameters(text, number):
    assert parse_parameters(text) == number


@pytest.mark.parametrize("text", ["", "B", "27GB", "-1B", "1e9", "27,4B"])
def test_what_is_no_number_of_parameters(text):
    with pytest.raises(TpuError, match="no number of parameters"):
        parse_parameters(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"parameters": 0}, "parameters is 0"),
        ({"parameters": 1, "dtype": "bf16"}, "dtype 'bf16' is not known"),
        ({"parameters": 1, "kv_cache_dtype": "auto"}, "kv_cache_dtype 'auto' is not known"),
        ({"parameters": 1, "concurrency": 0}, "concurrency is 0"),
        ({"parameters": 1, "num_hidden_layers": 80}, "only some are given"),
        ({"parameters": 1, **SHAPE, "head_dim": -1}, "head_dim is -1"),
    ],
)
def test_models_that_are_described_wrongly(arguments, message):
    with pytest.raises(TpuError, match=message):
        Model(**arguments)


@pytest.mark.parametrize("share", [0, -0.1, 1.1])
def test_a_share_of_the_memory_is_a_share(share):
    with pytest.raises(TpuError, match="cannot be taken"):
        fit(make_slice("v6e-1"), Model(1), utilization=share)
