# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._gke.node_pool import (
    FIXED,
    NODE_COUNT,
    described,
    desired_node_pool,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError

OWN_TAINT = {"key": "google.com/tpu", "value": "present", "effect": "NO_SCHEDULE"}
LIVE = {
    "name": "pool",
    "status": "RUNNING",
    "version": "1.34.1-gke.100",
    "locations": ["us-central1-a"],
    "config": {
        "machineType": "n4-standard-4",
        "diskType": "hyperdisk-balanced",
        "diskSizeGb": 100,
        "imageType": "COS_CONTAINERD",
        "serviceAccount": "default",
        "labels": {"a": "1", "theirs": "x"},
        "taints": [{"key": "k", "value": "v", "effect": "NO_EXECUTE"}, OWN_TAINT],
        "resourceLabels": {"goog-gke-node-pool-provisioning-model": "on-demand"},
    },
    "management": {"autoRepair": True, "autoUpgrade": True},
    "maxPodsConstraint": {"maxPodsPerNode": "110"},
    "networkConfig": {"podRange": "pods"},
    "upgradeSettings": {"maxSurge": 1, "strategy": "SURGE"},
    NODE_COUNT: 2,
}
V6E = {"accelerator": "v6e", "zones": ["us-central1-b"]}
SLICE = {**V6E, "topology": "4x4"}
LIVE_SLICE = {
    **LIVE,
    "locations": ["us-central1-b"],
    "config": {**LIVE["config"], "machineType": "ct6e-standard-4t", "taints": [OWN_TAINT]},
    "placementPolicy": {"type": "COMPACT", "tpuTopology": "4x4"},
    NODE_COUNT: 4,
}


def wanted(**options):
    base = {"project": "demo-project", "cluster": "serving", "location": "us-central1", "name": "pool"}
    return desired_node_pool({**base, **options})


def test_what_is_as_wanted_needs_no_request():
    desired = wanted(
        machine_type="n4-standard-4",
        disk_size_gb=100,
        zones=["us-central1-a"],
        labels={"a": 1, "gone": None},
        taints=[{"key": "k", "value": "v", "effect": "NoExecute"}],
        auto_repair=True,
        image_streaming=False,
        max_pods_per_node=110,
        version="1.34",
        node_count=2,
        capacity="on_demand",
        max_surge=1,
        autoscaling={"enabled": False},
    )
    assert desired.calls(LIVE) == []
    assert desired.shown(LIVE) == desired.shown(desired.planned(LIVE))
    assert wanted().calls(LIVE) == [] and wanted(**SLICE).calls(LIVE_SLICE) == []


#: Options, and the request that they become.
CHANGES = [
    ({"version": "1.35"}, "PUT", "", {"nodeVersion": "1.35"}),
    (
        {"machine_type": "n4-standard-8", "disk_size_gb": 200, "disk_type": "hyperdisk-balanced"},
        *("PUT", "", {"machineType": "n4-standard-8", "diskSizeGb": "200"}),
    ),
    ({"image_type": "UBUNTU_CONTAINERD"}, "PUT", "", {"imageType": "UBUNTU_CONTAINERD"}),
    ({"labels": {"a": None, "b": 2}}, "PUT", "", {"labels": {"labels": {"b": "2", "theirs": "x"}}}),
    ({"taints": []}, "PUT", "", {"taints": {"taints": [OWN_TAINT]}}),
    (
        {"taints": [{"key": "google.com/tpu", "value": "mine", "effect": "NoSchedule"}]},
        *("PUT", "", {"taints": {"taints": [{**OWN_TAINT, "value": "mine"}]}}),
    ),
    ({"tags": ["web"]}, "PUT", "", {"tags": {"tags": ["web"]}}),
    (
        {"resource_labels": {"team": "a"}},
        *("PUT", ""),
        {"resourceLabels": {"labels": {"goog-gke-node-pool-provisioning-model": "on-demand", "team": "a"}}},
    ),
    ({"workload_metadata": "GKE_METADATA"}, "PUT", "", {"workloadMetadataConfig": {"mode": "GKE_METADATA"}}),
    ({"image_streaming": True}, "PUT", "", {"gcfsConfig": {"enabled": True}}),
    ({"gvnic": True}, "PUT", "", {"gvnic": {"enabled": True}}),
    ({"private_nodes": True}, "PUT", "", {"nodeNetworkConfig": {"enablePrivateNodes": True}}),
    ({"max_unavailable": 1}, "PUT", "", {"upgradeSettings": {"maxUnavailable": 1}}),
    ({"zones": ["us-central1-b"]}, "PUT", "", {"locations": ["us-central1-b"]}),
    ({"auto_repair": False}, "POST", ":setManagement", {"management": {"autoRepair": False, "autoUpgrade": True}}),
    (
        {"autoscaling": {"total_min_nodes": 1, "total_max_nodes": 6, "location_policy": "ANY"}},
        *("POST", ":setAutoscaling"),
        {"autoscaling": {"enabled": True, "totalMinNodeCount": 1, "totalMaxNodeCount": 6, "locationPolicy": "ANY"}},
    ),
    ({"node_count": 0}, "POST", ":setSize", {"nodeCount": 0}),
]


@pytest.mark.parametrize(("options", "method", "path", "body"), CHANGES, ids=lambda value: str(value)[:30])
def test_requests(options, method, path, body):
    desired = wanted(**options)
    (call,) = desired.calls(LIVE)
    assert (call.method, call.path, call.body) == (method, path, body)
    planned = desired.planned(LIVE)
    assert desired.calls(planned) == [] and desired.shown(planned) != desired.shown(LIVE)


def test_the_number_of_nodes_is_left_to_autoscaling():
    scaled = {**LIVE, "autoscaling": {"enabled": True, "maxNodeCount": 9, "locationPolicy": "ANY"}}
    assert wanted(node_count=5).calls(scaled) == []
    off, resize = wanted(node_count=5, autoscaling={"enabled": False}).calls(scaled)
    assert (off.body, resize.body) == ({"autoscaling": {"enabled": False}}, {"nodeCount": 5})
    # Other bounds take the place of those of the other kind; the policy stays.
    (bounds,) = wanted(autoscaling={"total_max_nodes": 4}).calls(scaled)
    assert bounds.body == {"autoscaling": {"enabled": True, "totalMaxNodeCount": 4, "locationPolicy": "ANY"}}


@pytest.mark.parametrize(
    ("options", "live"),
    [
        ({"service_account": "a@p.iam.gserviceaccount.com"}, LIVE),
        ({"oauth_scopes": ["x"]}, LIVE),
        ({"secure_boot": True}, LIVE),
        ({"max_pods_per_node": 32}, LIVE),
        ({"pods_ip_range_name": "other"}, LIVE),
        ({"accelerator_network_profile": "auto"}, LIVE),
        ({"placement_policy": "p"}, LIVE),
        ({"capacity": "spot"}, LIVE),
        ({"capacity": "reservation", "reservation": "r"}, LIVE),
        ({"capacity": "on_demand"}, {"config": {"reservationAffinity": {"values": ["r"]}}}),
        ({"machine_type": "ct6e-standard-1t"}, LIVE),
        ({**V6E, "topology": "4x8"}, LIVE_SLICE),
        ({**V6E, "topology": "2x2"}, LIVE_SLICE),
        ({"accelerator": "v5e", "topology": "4x4", "zones": ["us-central1-b"]}, LIVE_SLICE),
    ],
    ids=str,
)
def test_what_takes_another_pool(options, live):
    desired = wanted(**options)
    reason = desired.why_not(live)
    assert reason and "is wanted, and GKE cannot change it" in reason
    with pytest.raises(InputError, match="recreate: true"):
        desired.calls(live)


def test_options_that_are_fixed_exist():
    options = {*FIXED.values()}
    assert options <= {
        *("service_account", "oauth_scopes", "secure_boot", "capacity", "reservation", "placement_policy"),
        *("topology", "max_pods_per_node", "pods_ip_range_name", "accelerator_network_profile"),
    }


def test_a_broken_pool_is_made_anew():
    broken = {**LIVE, "status": "ERROR", "statusMessage": "No capacity."}
    assert "did not manage to make it: No capacity." in wanted().why_not(broken)


def test_a_new_pool():
    pool = wanted(machine_type="n4-standard-4", autoscaling={"total_min_nodes": 2, "total_max_nodes": 6}).creation()[
        "nodePool"
    ]
    assert (pool["name"], pool["initialNodeCount"]) == ("pool", 2)
    assert pool["config"]["workloadMetadataConfig"] == {"mode": "GKE_METADATA"}
    assert wanted(machine_type="n4-standard-4").creation()["nodePool"]["initialNodeCount"] == 1
    assert wanted(node_count=3, version="1.34").creation()["nodePool"]["version"] == "1.34"


def test_a_new_slice_of_several_hosts():
    pool = wanted(**SLICE, capacity="spot").creation()["nodePool"]
    assert pool["placementPolicy"] == {"type": "COMPACT", "tpuTopology": "4x4"}
    assert (pool["initialNodeCount"], pool["locations"]) == (4, ["us-central1-b"])
    assert pool["maxPodsConstraint"] == {"maxPodsPerNode": 15}
    assert pool["networkConfig"] == {"acceleratorNetworkProfile": "auto"}
    config = pool["config"]
    assert (config["machineType"], config["diskType"]) == ("ct6e-standard-4t", "hyperdisk-balanced")
    assert config["gvnic"] == {"enabled": True} and config["spot"] is True
    assert config["labels"] == {"cloud.google.com/gke-networking-dra-driver": "true"}


def test_a_new_slice_of_one_host():
    pool = wanted(accelerator="v5e", topology="2x4", node_count=3).creation()["nodePool"]
    assert "placementPolicy" not in pool
    assert (pool["initialNodeCount"], pool["config"]["machineType"]) == (3, "ct5lp-hightpu-8t")
    # A machine type is enough where it is a slice by itself.
    assert wanted(machine_type="ct5lp-hightpu-8t").creation()["nodePool"]["config"]["diskType"] == "pd-balanced"


def test_ironwood_takes_a_workload_policy():
    iron = {"accelerator": "tpu7x", "topology": "2x2x2", "zones": ["us-central1-c"]}
    pool = wanted(**iron, placement_policy="workload-2x2x2").creation()["nodePool"]
    assert pool["placementPolicy"] == {"policyName": "workload-2x2x2"} and pool["initialNodeCount"] == 2
    with pytest.raises(InputError, match="needs placement_policy") as caught:
        wanted(**iron)
    assert "in us-central1 with the module gcp_workload_policy and accelerator_topology: 2x2x2" in caught.value.hint


def test_capacity():
    flex = wanted(**SLICE, capacity="flex_start", max_run_duration=600).creation()["nodePool"]
    assert flex["config"]["flexStart"] is True and flex["config"]["maxRunDuration"] == "600s"
    assert flex["config"]["reservationAffinity"] == {"consumeReservationType": "NO_RESERVATION"}
    assert flex["management"] == {"autoRepair": False, "autoUpgrade": True}
    assert flex["autoscaling"] == {"enabled": True, "minNodeCount": 0, "maxNodeCount": 4, "locationPolicy": "ANY"}
    assert (flex["initialNodeCount"], flex["queuedProvisioning"]) == (0, {"enabled": False})
    assert wanted(**SLICE, capacity="queued").creation()["nodePool"]["queuedProvisioning"] == {"enabled": True}
    shared = wanted(**SLICE, capacity="reservation", reservation="r", reservation_project="host")
    assert shared.creation()["nodePool"]["config"]["reservationAffinity"] == {
        "consumeReservationType": "SPECIFIC_RESERVATION",
        "key": "compute.googleapis.com/reservation-name",
        "values": ["projects/host/reservations/r"],
    }


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "Pool"}, "not the name of a node pool"),
        ({"cluster": "a" * 41}, "at most 40"),
        ({"zones": ["us-east5-a"]}, "no zone of us-central1"),
        ({"machine_type": "ct6e-standard-8t", "topology": "4x4"}, "cannot make 4x4"),
        ({"accelerator": "v6e", "topology": "3x3"}, "no topology 3x3"),
        ({"accelerator": "v9", "topology": "2x2"}, "no TPU that GKE offers"),
        ({"topology": "2x2"}, "need an accelerator"),
        ({**SLICE, "capacity": "flex_start", "reservation": "r"}, "exclude each other"),
        ({**SLICE, "capacity": "spot", "reservation": "r"}, "exclude each other"),
        ({**SLICE, "capacity": "reservation"}, "needs a name"),
        ({"accelerator": "v4", "topology": "2x2x1", "capacity": "queued"}, "no flex-start for v4"),
        ({**SLICE, "capacity": "spot", "max_run_duration": 60}, "no meaning"),
        ({**SLICE, "capacity": "flex_start", "max_run_duration": 604801}, "at most 604800"),
        ({**SLICE, "capacity": "flex_start", "node_count": 4}, "come when Pods ask"),
        ({**SLICE, "capacity": "flex_start", "auto_repair": True}, "cannot be repaired"),
        ({**SLICE, "capacity": "flex_start", "autoscaling": {"min_nodes": 4, "max_nodes": 4}}, "from 0 nodes"),
        ({"capacity": "flex_start", "machine_type": "n4-standard-4"}, "needs autoscaling"),
        ({**SLICE, "node_count": 3}, "as a whole or not at all"),
        ({**SLICE, "autoscaling": {"max_nodes": 8}}, "as a whole or not at all"),
        ({"accelerator": "v6e", "topology": "4x4"}, "lies in one zone"),
        ({**SLICE, "disk_type": "pd-balanced"}, "cannot boot from pd-balanced"),
        ({"autoscaling": {"min_nodes": 1, "total_max_nodes": 4}}, "either those of each zone"),
        ({"autoscaling": {"min_nodes": 5, "max_nodes": 4}}, "from 5 to 4"),
        ({"autoscaling": {"min_nodes": 1}}, "greatest number"),
        ({"node_count": -1}, "node_count is -1"),
        ({"version": "-"}, "not a version"),
    ],
    ids=str,
)
def test_mistakes(options, words):
    with pytest.raises(InputError, match=words) as caught:
        wanted(**options)
    assert caught.value.hint


def test_what_is_told():
    assert described(None) is None
    told = described(LIVE_SLICE)
    assert (told["topology"], told["node_count"], told["taints"]) == ("4x4", 4, [OWN_TAINT])
