# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is planned of a Cloud NAT, by what is there."""

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._gce.nat import desired_nat
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError

ROOT = "https://www.googleapis.com/compute/v1"
PLACE = "projects/p/regions/us-central1"
THEIRS = {"name": "theirs", "natIpAllocateOption": "AUTO_ONLY"}
OURS = {
    "name": "ours",
    "natIpAllocateOption": "MANUAL_ONLY",
    "natIps": [f"https://compute.googleapis.com/compute/v1/{PLACE}/addresses/{name}" for name in ("b", "a")],
    "sourceSubnetworkIpRangesToNat": "LIST_OF_SUBNETWORKS",
    "subnetworks": [
        {
            "name": f"{ROOT}/{PLACE}/subnetworks/s",
            "sourceIpRangesToNat": ["PRIMARY_IP_RANGE", "LIST_OF_SECONDARY_IP_RANGES"],
            "secondaryIpRangeNames": ["services", "pods"],
        }
    ],
    "logConfig": {"enable": True, "filter": "ALL"},
    "udpIdleTimeoutSec": 45,
}
LIVE = {
    "name": "r",
    "network": "https://www.googleapis.com/compute/beta/projects/p/global/networks/n",
    "selfLink": "x",
    "nats": [THEIRS, OURS],
}
SUBNETWORK = {
    "name": "s",
    "source_ranges": ["LIST_OF_SECONDARY_IP_RANGES", "PRIMARY_IP_RANGE"],
    "secondary_ip_range_names": ["pods", "services"],
}


def nat(**options):
    given = {"project": "p", "region": "us-central1", "router": "r", "name": "ours", "state": "present"}
    return desired_nat({**given, **options})


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"addresses": ["a", f"{PLACE}/addresses/b"], "network": "n"},
        {"subnetworks": [SUBNETWORK], "network": "projects/p/global/networks/n"},
        {"logging": "ALL", "dynamic_port_allocation": False},
    ],
)
def test_what_means_the_same_is_left_alone(options):
    desired = nat(**options)
    assert desired.planned(LIVE) is LIVE
    assert desired.shown(LIVE)["nat"] == {"name": "ours", **desired.wanted}


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        ({"addresses": []}, {"natIpAllocateOption": "AUTO_ONLY", "natIps": None}),
        (
            {"source_ranges": "ALL_SUBNETWORKS_ALL_IP_RANGES"},
            {"sourceSubnetworkIpRangesToNat": "ALL_SUBNETWORKS_ALL_IP_RANGES", "subnetworks": None},
        ),
        ({"addresses": ["c"]}, {"natIps": [f"{ROOT}/{PLACE}/addresses/c"]}),
        ({"logging": "NONE"}, {"logConfig": {"enable": False, "filter": "ALL"}}),
        ({"min_ports_per_vm": 128}, {"minPortsPerVm": 128}),
    ],
)
def test_only_what_is_given_is_changed(options, changed):
    after = {key: value for key, value in {**OURS, **changed}.items() if value is not None}
    assert nat(**options).planned(LIVE) == {**LIVE, "nats": [THEIRS, after]}


def test_a_new_one():
    new = {
        "name": "ours",
        "natIpAllocateOption": "AUTO_ONLY",
        "sourceSubnetworkIpRangesToNat": "ALL_SUBNETWORKS_ALL_IP_RANGES",
    }
    network = f"{ROOT}/projects/p/global/networks/n"
    assert nat(network="n").planned(None) == {"name": "r", "network": network, "nats": [new]}
    router = {**LIVE, "nats": [THEIRS]}
    assert nat().planned(router)["nats"] == [THEIRS, new]
    assert nat().shown(router) == {"router": "r"} and nat().shown(None) == {}


def test_the_router_goes_only_with_its_last_use():
    gone = {"state": "absent", "delete_router": True}
    alone = {**LIVE, "nats": [OURS]}
    assert nat(**gone).planned(LIVE) == {**LIVE, "nats": [THEIRS]}
    assert nat(**gone).planned(alone) is None
    assert nat(state="absent").planned(alone) == {**LIVE, "nats": []}
    for use in ("interfaces", "bgpPeers"):
        assert nat(**gone).planned({**alone, use: [{"name": "vpn"}]})["nats"] == []
    without = {**LIVE, "nats": [THEIRS]}
    assert nat(**gone).planned(without) is without and nat(**gone).planned(None) is None


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"region": "us-central1-a"}, "is a zone"),
        ({"router": "Router"}, "'Router' is not the name of a Cloud Router"),
        ({"name": "n" * 64}, "at most 63"),
        ({"project": None}, "GCP_PROJECT"),
        ({"subnetworks": []}, "subnetworks is empty"),
        ({"subnetworks": [{"name": "s", "source_ranges": ["LIST_OF_SECONDARY_IP_RANGES"]}]}, "Give both or neither"),
        ({"network": "other"}, "not in projects/p/global/networks/other"),
        ({"dynamic_port_allocation": True, "endpoint_independent_mapping": True}, "cannot have both"),
    ],
)
def test_what_is_refused(options, told):
    with pytest.raises(InputError) as caught:
        nat(**options).planned(LIVE)
    assert told in str(caught.value)


def test_a_router_is_not_made_without_a_network():
    with pytest.raises(InputError, match="Give network"):
        nat().planned(None)
