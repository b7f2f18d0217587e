# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.modelops.serving.plugins.filter.tpu import FilterModule

FILTERS = FilterModule().filters()
tpu_slice = FILTERS["tpu_slice"]


def test_a_slice():
    found = tpu_slice("v6e", topology="2x4")
    assert (found["machine_type"], found["hosts"], found["devices"]) == ("ct6e-standard-8t", 1, 8)
    assert found["node_selector"]["cloud.google.com/gke-tpu-topology"] == "2x4"
    assert "could be 2 hosts" in found["warnings"][0]
    assert tpu_slice("v6e", "4x4", capacity="queued", max_run_duration="3600")["node_selector"] == {
        "cloud.google.com/gke-tpu-accelerator": "tpu-v6e-slice",
        "cloud.google.com/gke-tpu-topology": "4x4",
        "cloud.google.com/gke-queued": "true",
        "cloud.google.com/gke-max-run-duration-seconds": "3600",
    }


def test_numbers_may_be_strings():
    assert tpu_slice("v5p", chips="1536")["topology"] == "8x12x16"


def test_warnings_of_the_capacity_are_told():
    assert "Sources differ" in tpu_slice("tpu7x-8", capacity="flex_start")["warnings"][0]


@pytest.mark.parametrize(
    ("accelerator", "options", "message"),
    [
        ("v6e", {"topology": "3x4"}, "v6e has no topology 3x4. Valid are"),
        ("v6e", {"topology": "4x4", "capacity": "flex_start", "reservation": "r"}, "exclude each other"),
        ("v6e", {"chips": "many"}, "invalid literal"),
        (6, {"chips": 1}, "tpu_slice"),
    ],
)
def test_what_cannot_be(accelerator, options, message):
    with pytest.raises(AnsibleFilterError, match=message):
        tpu_slice(accelerator, **options)


def test_topologies():
    assert FILTERS["tpu_topologies"]("tpu-v5-lite-podslice")[:3] == ["1x1", "2x2", "2x4"]
    with pytest.raises(AnsibleFilterError, match="legacy"):
        FILTERS["tpu_topologies"]("v3")
