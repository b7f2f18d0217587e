# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._tpu.capacity import (
    KINDS,
    Capacity,
    check_disk,
    node_pool,
    scheduling,
)
from ansible_collections.modelops.serving.plugins.module_utils._tpu.errors import TpuError
from ansible_collections.modelops.serving.plugins.module_utils._tpu.slice import find, make_slice

V6E = find("v6e").generation
OF_SLICE = {"cloud.google.com/gke-tpu-accelerator": "tpu-v6e-slice", "cloud.google.com/gke-tpu-topology": "4x4"}


@pytest.fixture
def on():
    return make_slice("v6e", topology="4x4")


@pytest.mark.parametrize(
    ("capacity", "selector", "taint"),
    [
        (Capacity(), {}, None),
        (Capacity("spot"), {"gke-spot": "true"}, "gke-spot"),
        (
            Capacity("reservation", reservation="r", reservation_project="p"),
            {"reservation-affinity": "specific", "reservation-name": "r", "reservation-project": "p"},
            None,
        ),
        (
            Capacity("flex_start", max_run_duration=604800),
            {"gke-flex-start": "true", "gke-max-run-duration-seconds": "604800"},
            "gke-flex-start",
        ),
        (Capacity("queued"), {"gke-queued": "true"}, "gke-queued"),
    ],
)
def test_what_pods_select_and_tolerate(on, capacity, selector, taint):
    pod = scheduling(on, capacity)
    assert pod["nodeSelector"] == OF_SLICE | {f"cloud.google.com/{name}": value for name, value in selector.items()}
    assert pod["tolerations"][0] == on.tolerations[0]
    assert pod["tolerations"][1:] == (
        [{"key": f"cloud.google.com/{taint}", "operator": "Equal", "value": "true", "effect": "NoSchedule"}]
        if taint
        else []
    )


def test_a_compute_class_stands_for_the_labels_of_the_slice(on):
    capacity = Capacity("compute_class", compute_class="tpu-v6e-4x4")
    assert scheduling(on, capacity) == {
        "nodeSelector": {"cloud.google.com/compute-class": "tpu-v6e-4x4"},
        "tolerations": on.tolerations,
    }
    with pytest.raises(TpuError, match="tpu-v6e-4x4 itself"):
        node_pool(on, capacity)


def test_settings_of_node_pools(on):
    common = {
        "machine_type": "ct6e-standard-4t",
        "disk_type": "hyperdisk-balanced",
        "placement": {"kind": "compact", "type": "COMPACT", "topology": "4x4"},
        "max_pods_per_node": 15,
        "gvnic": True,
        "workload_metadata": "GKE_METADATA",
        "accelerator_network_profile": "auto",
        "node_labels": {"cloud.google.com/gke-networking-dra-driver": "true"},
    }
    assert node_pool(on, Capacity()) == {**common, "node_count": 4}
    assert node_pool(on, Capacity("spot")) == {**common, "node_count": 4, "spot": True}
    assert node_pool(on, Capacity("reservation", reservation="r")) == {
        **common,
        "node_count": 4,
        "reservation_affinity": "specific",
        "reservation": "r",
    }
    flex = {
        **common,
        "flex_start": True,
        "reservation_affinity": "none",
        "auto_repair": False,
        "autoscaling": {"min_nodes": 0, "max_nodes": 4, "location_policy": "ANY"},
    }
    node_pool(on, Capacity("flex_start"))["autoscaling"]["max_nodes"] = None  # is the caller's, not the table's
    assert node_pool(on, Capacity("flex_start")) == flex
    assert node_pool(on, Capacity("queued")) == {**flex, "queued_provisioning": True}
    single = node_pool(make_slice("ct5lp-hightpu-8t"), Capacity())
    assert (single["placement"], single["disk_type"], single["node_count"]) == (None, "pd-balanced", 1)
    assert "node_labels" not in single


@pytest.mark.parametrize(
    ("capacity", "message", "hint"),
    [
        (Capacity("flex_start", reservation="r"), "reservation r and flex_start exclude each other", "reservation"),
        (Capacity("queued", reservation="r"), "reservation r and queued exclude", "reservation"),
        (Capacity("spot", reservation="r"), "reservation r and spot exclude", "reservation"),
        (Capacity("reservation"), "needs a name", "Give reservation"),
        (Capacity("compute_class"), "needs a name", "Give compute_class"),
        (Capacity("spot", compute_class="c"), "compute_class c and spot exclude", "compute_class"),
        (Capacity(reservation_project="p"), "without a reservation", "name"),
        (Capacity("spot", max_run_duration=60), "no meaning for spot", "flex_start"),
        (Capacity("flex_start", max_run_duration=604801), "at most 604800", "reservation"),
        (Capacity("flex_start", max_run_duration=0), "is 0 seconds", "reservation"),
        (Capacity("preemptible"), "'preemptible' is no kind of capacity", ", ".join(KINDS)),
    ],
)
def test_capacity_that_contradicts_itself(capacity, message, hint):
    with pytest.raises(TpuError) as error:
        capacity.check(V6E)
    assert message in error.value.message and hint in error.value.hint


@pytest.mark.parametrize("kind", ["flex_start", "queued"])
def test_flex_start_is_not_for_every_generation(kind):
    for name in ("v4", "ct5l-hightpu-4t"):
        with pytest.raises(TpuError, match="There is no flex-start for"):
            Capacity(kind).check(find(name).generation)
    (warning,) = Capacity(kind).check(find("tpu7x").generation)
    assert "Sources differ" in warning
    assert Capacity(kind).check(V6E) == ()
    with pytest.raises(TpuError, match="no flex-start for v4"):
        node_pool(make_slice("v4-8"), Capacity(kind))


def test_boot_disks():
    for name in ("v6e", "tpu7x"):
        check_disk(find(name).generation, "hyperdisk-balanced")
        with pytest.raises(TpuError, match=r"cannot boot from pd-ssd\. Take hyperdisk-balanced"):
            check_disk(find(name).generation, "pd-ssd")
    check_disk(find("v5p").generation, "pd-ssd")
    with pytest.raises(TpuError, match="Take pd-balanced or pd-ssd"):
        check_disk(find("v5e").generation, "hyperdisk-balanced")
