# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._serving import build
from ansible_collections.modelops.serving.plugins.module_utils._serving.instance import Hub
from ansible_collections.modelops.serving.plugins.module_utils._serving.presets import PRESETS, find
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._serving.goldens import preset


@pytest.mark.parametrize("row", PRESETS, ids=lambda row: f"{row.model}-{row.generation}")
def test_every_row_can_be_served_as_it_is(row):
    build.check(preset(row.model, row.generation, Hub()))
    spread = row.parallelism
    assert spread.tensor * spread.data == row.slice.devices
    assert find(row.model, row.generation) is row, "another row hides this one"


def test_devices_are_what_is_counted():
    assert find("qwen/qwen3-32b", "tpu7x").parallelism.tensor == 2  # one chip
    assert find("openai/gpt-oss-120b").parallelism.data == 4


def test_any_case_and_any_generation():
    assert find("GOOGLE/gemma-3-27B-it").generation == "v5e"
    assert find("google/gemma-3-27b-it", "v6e").settings == {"max_model_len": 16384, "gpu_memory_utilization": 0.95}


@pytest.mark.parametrize(
    ("model", "generation", "hint"),
    [
        ("google/gemma-3-27b", None, "Did you mean google/gemma-3-27b-it?"),
        ("x", None, "There are Qwen/Qwen2.5-32B-Instruct,"),
        ("google/gemma-3-27b-it", "v4", "for v5e and v6e"),
    ],
)
def test_what_there_is_none_for(model, generation, hint):
    with pytest.raises(InputError, match="no preset") as error:
        find(model, generation)
    assert hint in error.value.hint
