# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""gcp_cloud_nat and gcp_workload_policy: the twelve steps in a real run of ansible-playbook, and what goes wrong in the
code below them, with the stand-in for Google Cloud.
"""

from __future__ import annotations

import pytest
from google_cloud import google

from ansible_collections.modelops.serving.plugins.module_utils._gce.nat import desired_nat
from ansible_collections.modelops.serving.plugins.module_utils._gce.resource import settle
from ansible_collections.modelops.serving.plugins.module_utils._gce.workload_policy import desired_workload_policy
from ansible_collections.modelops.serving.plugins.module_utils._gcp.client import GoogleClient
from ansible_collections.modelops.serving.plugins.module_utils._transfer.control import Control
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    AccessError,
    InputError,
    NotFoundError,
    StoreError,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.google import GoogleCredentials

__all__ = ["google"]

NAT_MODULE, POLICY_MODULE = "modelops.serving.gcp_cloud_nat", "modelops.serving.gcp_workload_policy"
PROJECT = "compute/compute/v1/projects/demo-project"
REGION = f"{PROJECT}/regions/us-central1"
LINKS = "https://www.googleapis.com/compute/v1/projects/demo-project"
NETWORK = "global/networks/serving-vpc"
ROUTER, POLICY = f"{REGION}/routers/serving", f"{REGION}/resourcePolicies/slice"
#: Of somebody else, with fields that no option knows.
THEIRS = {
    "name": "theirs",
    "natIpAllocateOption": "AUTO_ONLY",
    "sourceSubnetworkIpRangesToNat": "LIST_OF_SUBNETWORKS",
    "subnetworks": [{"name": f"{LINKS}/regions/us-central1/subnetworks/theirs"}],
    "udpIdleTimeoutSec": 45,
}


@pytest.fixture
def cloud(google):
    """The stand-in with a network."""
    google.put(f"{PROJECT}/{NETWORK}", {"name": "serving-vpc", "selfLink": f"{LINKS}/{NETWORK}"})
    return google


@pytest.fixture
def run(cloud):
    """Make something so, without Ansible."""
    credentials = GoogleCredentials(auth_kind="accesstoken", access_token=cloud.access_token)
    endpoints = {"compute": cloud.endpoint("compute")}
    client = GoogleClient(credentials, Control(attempts=3), endpoints=endpoints)
    return lambda desired, **keywords: settle(client, desired, timeout=20, **keywords)


def nat(**options):
    given = {
        "project": "demo-project",
        "region": "us-central1",
        "router": "serving",
        "name": "ours",
        "state": "present",
    }
    return desired_nat({**given, **options})


def policy(**options):
    given = {"project": "demo-project", "region": "us-central1", "name": "slice", "state": "present"}
    return desired_workload_policy({**given, "type": "HIGH_THROUGHPUT", **options})


def sent(google):
    return [(request.method, request.path.rpartition("/")[2]) for request in google.requests if request.writes]


def test_twelve_steps(cloud, playbooks):
    """Of both, in one run. A policy that is otherwise is made anew."""
    base = {"region": "us-central1", "attempts": 2}
    first = {**base, "router": "serving", "name": "ours", "network": "serving-vpc"}
    second = {
        "addresses": ["nat-1", "nat-2"],
        "subnetworks": [
            {
                "name": "serving",
                "source_ranges": ["PRIMARY_IP_RANGE", "LIST_OF_SECONDARY_IP_RANGES"],
                "secondary_ip_range_names": ["pods"],
            }
        ],
        "dynamic_port_allocation": True,
        "min_ports_per_vm": 64,
        "max_ports_per_vm": 4096,
        "logging": "ERRORS_ONLY",
    }
    slices = {**base, "name": "slice", "accelerator_topology": "2x2x2", "accelerator_topology_mode": "AUTO_CONNECT"}
    steps = [
        {NAT_MODULE: first},
        {NAT_MODULE: {**first, **second}},
        {NAT_MODULE: {**first, "state": "absent", "delete_router": True}},
        {POLICY_MODULE: slices},
        {POLICY_MODULE: {**slices, "accelerator_topology": "2x2x4", "recreate": True}},
        {POLICY_MODULE: {**base, "name": "slice", "state": "absent"}},
    ]
    tasks = [{**step, "check_mode": number % 2 == 0} for step in steps for number in range(4)]
    results = playbooks.tasks(tasks, "--diff", env=cloud.environment).ok().results

    assert [result["changed"] for result in results] == [True, True, False, False] * 6
    for predicted, done in zip(results[::2], results[1::2], strict=True):
        assert predicted["diff"] == done["diff"] and predicted["steps"] == []
    assert sent(cloud) == [
        *[("POST", "routers"), ("PATCH", "serving"), ("DELETE", "serving")],
        *[("POST", "resourcePolicies"), ("DELETE", "slice"), ("POST", "resourcePolicies"), ("DELETE", "slice")],
    ]
    assert cloud.get(ROUTER) is None and cloud.get(POLICY) is None
    made, changed = results[1]["nat"], results[5]["nat"]
    assert (made["natIpAllocateOption"], made["sourceSubnetworkIpRangesToNat"]) == (
        "AUTO_ONLY",
        "ALL_SUBNETWORKS_ALL_IP_RANGES",
    )
    assert changed["natIps"] == [f"{LINKS}/regions/us-central1/addresses/nat-{number}" for number in (1, 2)]
    assert changed["subnetworks"][0]["secondaryIpRangeNames"] == ["pods"] and changed["minPortsPerVm"] == 64
    assert results[5]["diff"]["after"]["nat"]["logConfig"] == {"enable": True, "filter": "ERRORS_ONLY"}
    assert results[17]["policy"]["workloadPolicy"]["acceleratorTopology"] == "2x2x4"
    assert results[17]["steps"] == [f"{verb} the resource policy slice in us-central1" for verb in ("delete", "create")]


def test_nats_of_others_stay(cloud, run):
    router = {"name": "serving", "network": f"{LINKS}/{NETWORK}", "selfLink": f"{LINKS}/r", "nats": [THEIRS]}
    cloud.put(ROUTER, router)
    for desired, count in ((nat(), 2), (nat(min_ports_per_vm=128), 2), (nat(state="absent", delete_router=True), 1)):
        assert run(desired).changed and not run(desired).changed
        left = cloud.get(ROUTER)
        assert {**left["nats"][0], **THEIRS} == left["nats"][0] and len(left["nats"]) == count
    with pytest.raises(InputError, match="is in the network projects/demo-project/global/networks/serving-vpc, not in"):
        run(nat(network="other"), check=True)
    cloud.put(ROUTER, {**router, "nats": [], "bgpPeers": [{"name": "vpn"}]})
    run(nat(state="absent", delete_router=True))
    assert cloud.get(ROUTER)


def test_what_comes_between(cloud, run):
    network = {"network": "serving-vpc"}
    with pytest.raises(InputError, match="There is no Cloud Router serving"):
        run(nat())
    with pytest.raises(NotFoundError, match="Check that the network"):
        run(nat(network="bogus"))
    cloud.fail_operations("insert", code="QUOTA_EXCEEDED", message="Quota 'ROUTERS' exceeded.", times=1)
    with pytest.raises(StoreError, match=r"Quota 'ROUTERS' exceeded.*Ask for less"):
        run(nat(**network))
    # The answer gets lost: what was done is found when it is read again.
    cloud.slow_operations("insert", looks=0, times=1)
    cloud.fail("POST .*/routers$", lose_answer=True, times=1)
    cloud.clear_requests()
    done = run(nat(**network))
    assert done.changed and done.shown[0] == {} and sent(cloud) == [("POST", "routers")]
    # Compute Engine takes no change while another one is under way.
    busy = cloud.fail("PATCH ", status=400, message=f"The resource '{ROUTER}' is not ready", times=1)
    assert run(nat(logging="ALL")).changed and busy.struck == 1
    cloud.deny("compute.routers.update")
    with pytest.raises(AccessError) as caught:
        run(nat(logging="NONE"))
    assert "compute.routers.update in the project demo-project" in caught.value.hint
    assert "roles/compute.networkAdmin" in caught.value.hint


def test_a_policy_is_not_changed(cloud, run):
    run(policy(accelerator_topology="2x2x2"))
    with pytest.raises(InputError, match=r"is 2x2x2, 2x2x4 is wanted.*recreate: true"):
        run(policy(accelerator_topology="2x2x4"), check=True)
    pool = "container/v1/projects/demo-project/locations/us-central1/clusters/c"
    cloud.put(pool, {"name": "c"})
    cloud.put(f"{pool}/nodePools/x", {"name": "x", "placementPolicy": {"policyName": "slice"}})
    with pytest.raises(StoreError, match=r"already being used by.*nodePools/x.*Delete what uses it first"):
        run(policy(accelerator_topology="2x2x4", recreate=True))
    cloud.put(
        POLICY, {"name": "slice", "selfLink": f"{LINKS}/p", "groupPlacementPolicy": {"collocation": "COLLOCATED"}}
    )
    for state in ("present", "absent"):
        with pytest.raises(InputError, match="is no workload policy"):
            run(policy(state=state, recreate=True))
    with pytest.raises(InputError, match="Check the region"):
        run(policy(region="us-central9"))
