# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.modelops.serving.plugins.filter.sweep import FilterModule

FILTERS = FilterModule().filters()
combinations = FILTERS["sweep_combinations"]

GEMMA = {
    "name": "gemma",
    "model": {"name": "google/gemma-3-27b-it", "parameters": "27B"},
    "accelerator": {"generation": "v6e", "topology": "2x4"},
}
MATRIX = {"accelerator.topology": ["2x2", "2x4"], "settings.max_num_seqs": [128, 256]}


def test_a_matrix():
    found = combinations(MATRIX, GEMMA, usd_per_chip_hour={"v6e": 2.5})
    assert [one["skipped"] for one in found] == [""] * 4
    assert [one["name"][:-7] for one in found] == [
        *("gemma-2x2-mns128", "gemma-2x2-mns256", "gemma-2x4-mns128", "gemma-2x4-mns256"),
    ]
    last = found[-1]
    assert last["values"] == {"accelerator.topology": "2x4", "settings.max_num_seqs": 256}
    assert last["instance"]["accelerator"] == {"generation": "v6e", "topology": "2x4"}
    assert last["instance"]["settings"] == {"max_num_seqs": 256}
    assert last["about"] == {
        "server": "vllm",
        "accelerator": "v6e",
        "topology": "2x4",
        "chips": 8,
        "tensor_parallel": 8,
    }
    assert (found[0]["usd_per_hour"], last["usd_per_hour"]) == (10.0, 20.0)
    assert GEMMA["accelerator"]["topology"] == "2x4" and "settings" not in GEMMA


def test_names_are_stable_and_tell_apart():
    wide = {"settings.max_num_seqs": [128, 256], "image": ["docker.io/vllm/vllm-tpu:v0.27.1", "other/vllm-tpu:v0.27.1"]}
    names = [one["name"] for one in combinations(wide, {**GEMMA, "name": "g" * 20})]
    assert len(set(names)) == 4
    assert all(re.fullmatch(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?", name) for name in names)
    # Neither other values nor how long it waits make another combination; what figures depend on does.
    once = combinations({"settings.max_num_seqs": [256]}, {**GEMMA, "wait_timeout": 60, "namespace": "a"})[0]["name"]
    again = combinations({"settings.max_num_seqs": [128, 256]}, {**GEMMA, "namespace": "b"})
    assert once in [one["name"] for one in again]
    assert combinations({"settings.max_num_seqs": [256]}, {**GEMMA, "replicas": 2})[0]["name"] != once
    with pytest.raises(AnsibleFilterError, match="more than 32 characters"):
        combinations(MATRIX, {**GEMMA, "name": "g" * 33})


def test_include_and_exclude():
    more = {"accelerator.topology": "4x4", "accelerator.tensor_parallel": 8}
    found = combinations(MATRIX, GEMMA, include=[more], exclude=[MATRIX | {"settings.max_num_seqs": 128}, {}])
    assert len(found) == 5  # a list is no value of the matrix, and nothing excludes nothing
    exclude = [{"accelerator.topology": "2x2", "settings.max_num_seqs": 256}]
    found = combinations(MATRIX, GEMMA, include=[more], exclude=exclude)
    assert [one["values"] for one in found][-1] == more
    assert (len(found), found[-1]["about"]["chips"], found[-1]["about"]["tensor_parallel"]) == (4, 16, 8)
    # The same by the matrix and by include is one.
    assert len(combinations({"replicas": [1]}, GEMMA, include=[{"replicas": 1}])) == 1


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"accelerator.topology": "3x4"}, "v6e has no topology 3x4"),
        ({"accelerator.topology": "1x1"}, "The model does not fit v6e 1x1"),
        ({"accelerator.tensor_parallel": 16}, "v6e 2x4 has 8 devices"),
        ({"settings.max_sequences": 1}, "max_sequences"),
        ({"colour": "red"}, "colour"),
        ({"replicas": "many"}, "replicas"),
        ({"accelerator": None}, "model and accelerator are needed"),
    ],
)
def test_what_cannot_be_is_told_before(values, reason):
    (found,) = combinations({key: [value] for key, value in values.items()}, GEMMA)
    assert reason in found["skipped"]
    assert "about" not in found


def test_other_devices_have_no_slice():
    (found,) = combinations({"accelerator": [{"type": "gpu", "count": 2}]}, {**GEMMA, "replicas": 2})
    assert (found["skipped"], found["about"]) == ("", {"server": "vllm", "accelerator": "gpu", "chips": 4})
    assert found["usd_per_hour"] is None


@pytest.mark.parametrize("matrix", [{"replicas": 1}, {"image": "a"}, {"image": []}, ["replicas"]])
def test_a_matrix_has_lists(matrix):
    with pytest.raises(AnsibleFilterError, match="sweep_combinations: "):
        combinations(matrix, GEMMA)


def test_a_page_of_something_else():
    with pytest.raises(AnsibleFilterError, match="sweep_page: not what inference_benchmark_info returns"):
        FILTERS["sweep_page"]({})
