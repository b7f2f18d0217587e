# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""gke_cluster and gke_node_pool: real runs of ansible-playbook against the stand-in for Google Cloud."""

from __future__ import annotations

import pytest

CLUSTER_MODULE, POOL_MODULE = "modelops.serving.gke_cluster", "modelops.serving.gke_node_pool"
IGNORE = {"ignore_errors": True}
PATTERN = [True, True, False, False] * 3
LOCATION = "us-central1"
PARENT = f"/v1/projects/demo-project/locations/{LOCATION}"
CLUSTERS = f"container{PARENT}/clusters"
NETWORK = "compute/compute/v1/projects/demo-project"
ACCOUNT = "gke-nodes@demo-project.iam.gserviceaccount.com"


@pytest.fixture
def cloud(google):
    """The stand-in with a network."""
    network, subnetwork = "global/networks/serving-vpc", f"regions/{LOCATION}/subnetworks/serving"
    links = "https://www.googleapis.com/compute/v1/projects/demo-project"
    google.put(f"{NETWORK}/{network}", {"name": "serving-vpc", "selfLink": f"{links}/{network}"})
    google.put(
        f"{NETWORK}/{subnetwork}",
        {
            "name": "serving",
            "selfLink": f"{links}/{subnetwork}",
            "network": f"{links}/{network}",
            "region": f"{links}/regions/{LOCATION}",
            "ipCidrRange": "10.129.0.0/20",
            "secondaryIpRanges": [
                {"rangeName": "pods", "ipCidrRange": "192.168.64.0/20"},
                {"rangeName": "services", "ipCidrRange": "192.168.80.0/20"},
            ],
        },
    )
    return google


def cluster(keywords=None, **options):
    return {CLUSTER_MODULE: {"name": "serving", "location": LOCATION, "attempts": 2, **options}, **(keywords or {})}


def pool(name, keywords=None, **options):
    given = {"name": name, "cluster": "serving", "location": LOCATION, "attempts": 2}
    return {POOL_MODULE: {**given, **options}, **(keywords or {})}


def twelve(steps):
    """Check, do, check, do of each step, twice."""
    return [{**step, "check_mode": number % 2 == 0} for step in steps for number in range(4)]


def writes(google):
    return [request for request in google.requests if request.writes]


def sent(google):
    """What was written: method and what follows the name of the location's clusters, and the fields of an update."""
    found = []
    for request in writes(google):
        path = request.path.removeprefix(f"{PARENT}/clusters").removeprefix("/serving")
        body = request.body or {}
        found.append((request.method, path, *sorted(body.get("update") or (body if request.method == "PUT" else ()))))
    return found


NEW = {
    "network": "projects/demo-project/global/networks/serving-vpc",
    "subnetwork": "serving",
    "pods_ip_range_name": "pods",
    "services_ip_range_name": "services",
    "release_channel": "REGULAR",
    "dataplane_v2": True,
    "private_nodes": True,
    "dns_endpoint": True,
    "workload_identity": True,
    "addons": {"gcs_fuse_csi": True, "http_load_balancing": True},
    "secret_manager": True,
    "managed_prometheus": True,
    "dns": {"provider": "CLOUD_DNS", "scope": "CLUSTER_SCOPE", "domain": "cluster.local"},
    "node_service_account": ACCOUNT,
    "remove_default_pool": True,
    "labels": {"team": "inference", "stage": "test"},
}
CHANGED = {
    "release_channel": "RAPID",
    "version": "1.35",
    "addons": {"filestore_csi": True, "http_load_balancing": False},
    "authorized_networks": [{"cidr": "203.0.113.0/24", "name": "office"}],
    "autoprovisioning": {"resource_limits": [{"type": "cpu", "maximum": 64}, {"type": "v6e", "maximum": 16}]},
    "maintenance_window": {"daily": "03:00"},
    "labels": {"team": "serving", "stage": None},
    "secret_manager": False,
    "managed_prometheus": False,
    "node_locations": ["us-central1-b", "us-central1-a"],
    "gateway_api": "CHANNEL_STANDARD",
    "vertical_pod_autoscaling": True,
    "cost_management": True,
}


def test_twelve_steps_of_a_cluster(cloud, playbooks):
    steps = [cluster(**NEW), cluster(**CHANGED), cluster(state="absent", deletion_protection=False)]
    run = playbooks.tasks(twelve(steps), "--diff", env=cloud.environment).ok()
    results = run.results
    assert [result["changed"] for result in results] == PATTERN
    # Check mode predicts what is done, and writes nothing.
    for predicted, done in zip(results[::2], results[1::2], strict=True):
        assert predicted["diff"] == done["diff"]
        assert predicted["steps"] == []
        assert not done.get("warnings")
    created, modified, deleted, last = (results[number] for number in (1, 5, 9, 11))
    assert sent(cloud) == [
        ("POST", ""),
        ("DELETE", "/nodePools/default-pool"),
        ("PUT", "", "desiredReleaseChannel"),
        ("PUT", "", "desiredMasterVersion"),
        ("PUT", "", "desiredLocations"),
        ("PUT", "", "desiredAddonsConfig"),
        ("PUT", "", "desiredSecretManagerConfig"),
        ("PUT", "", "desiredControlPlaneEndpointsConfig"),
        ("PUT", "", "desiredGatewayApiConfig"),
        ("PUT", "", "desiredMonitoringConfig"),
        ("PUT", "", "desiredVerticalPodAutoscaling"),
        ("PUT", "", "desiredCostManagementConfig"),
        ("PUT", "", "desiredClusterAutoscaling"),
        ("POST", ":setMaintenancePolicy"),
        ("POST", ":setResourceLabels"),
        ("DELETE", ""),
    ]
    body = writes(cloud)[0].body["cluster"]
    assert body["workloadIdentityConfig"] == {"workloadPool": "demo-project.svc.id.goog"}
    assert body["nodePools"][0]["config"]["serviceAccount"] == ACCOUNT
    assert created["cluster"]["status"] == "RUNNING" and created["cluster"]["node_pools"] == []
    assert created["cluster"]["ca_certificate"] and created["cluster"]["dns_endpoint"]
    assert created["diff"]["before"] == {} and created["diff"]["after"]["default_pool"] == "absent"
    assert modified["cluster"]["version"].startswith("1.35.")
    assert modified["cluster"]["labels"] == {"team": "serving"}
    assert modified["diff"]["before"]["resourceLabels"] == {"team": "inference", "stage": "test"}
    limits = modified["diff"]["after"]["autoscaling"]["resourceLimits"]
    assert [limit["resourceType"] for limit in limits] == ["cpu", "tpu-v6e-slice"]
    assert (deleted["cluster"], last["cluster"], cloud.get(f"{CLUSTERS}/serving")) == (None, None, None)


def test_twelve_steps_of_node_pools(cloud, playbooks):
    first = {
        "zones": ["us-central1-b"],
        "machine_type": "n4-standard-4",
        "node_count": 2,
        "disk_size_gb": 200,
        "labels": {"role": "system", "old": "yes"},
        "taints": [{"key": "dedicated", "value": "system"}],
        "service_account": ACCOUNT,
    }
    second = {
        **first,
        "zones": ["us-central1-b", "us-central1-a"],
        "machine_type": "n4-standard-8",
        "labels": {"role": "proxy", "old": None},
        "taints": [{"key": "dedicated", "value": "proxy", "effect": "NoExecute"}],
        "resource_labels": {"team": "serving"},
        "tags": ["proxy"],
        "image_streaming": True,
        "node_count": 3,
        "auto_repair": False,
        "max_surge": 2,
        "version": "1.35",
    }
    slices = {"zones": ["us-central1-b"], "accelerator": "v6e", "topology": "4x4", "taints": []}
    steps = twelve([pool("system", **first), pool("system", **second), pool("system", state="absent")])
    resized = pool("slice", **slices, node_count=0, labels={"a": 1})
    flex = {**slices, "accelerator": "v5e", "zones": ["us-central1-a"], "capacity": "queued", "max_run_duration": 86400}
    others = [
        pool("slice", **slices, capacity="spot"),
        pool("slice", **slices, capacity="spot"),
        {**resized, "check_mode": True},
        resized,
        pool("slice", accelerator="v6e", topology="4x4", zones=["us-central1-b"], node_count=0),
        pool("flex", **flex),
        pool("flex", **flex),
        pool("flex", autoscaling={"max_nodes": 4, "location_policy": "ANY"}, max_run_duration=None),
    ]
    begin = cluster(version="1.34", release_channel="RAPID", node_locations=["us-central1-b"])
    tasks = [*steps[:4], cluster(version="1.35"), *steps[4:], *others]
    run = playbooks.tasks([begin, *tasks], "--diff", env=cloud.environment).ok()
    upgraded, results = run.results[5], [*run.results[1:5], *run.results[6:]]
    assert upgraded["steps"] == ["set the master version of the cluster serving in us-central1"]
    assert [result["changed"] for result in results[:12]] == PATTERN
    for predicted, done in zip(results[:12:2], results[1:12:2], strict=True):
        assert predicted["diff"] == done["diff"]
        assert not done.get("warnings")
    slice_made, _same, would, resized, *_flex = results[12:]
    assert [result["changed"] for result in results[12:]] == [True, False, True, True, False, True, False, False]
    assert would["diff"] == resized["diff"] and would["diff"]["before"]["nodeCount"] == 4
    assert sent(cloud) == [
        ("POST", ""),
        ("POST", "/nodePools"),
        ("PUT", "", "desiredMasterVersion"),
        ("PUT", "/nodePools/system", "nodeVersion"),
        ("PUT", "/nodePools/system", "machineType"),
        ("PUT", "/nodePools/system", "labels", "resourceLabels", "tags", "taints"),
        ("PUT", "/nodePools/system", "gcfsConfig"),
        ("PUT", "/nodePools/system", "upgradeSettings"),
        ("PUT", "/nodePools/system", "locations"),
        ("POST", "/nodePools/system:setManagement"),
        ("POST", "/nodePools/system:setSize"),
        ("DELETE", "/nodePools/system"),
        ("POST", "/nodePools"),
        ("PUT", "/nodePools/slice", "labels"),
        ("POST", "/nodePools/slice:setSize"),
        ("POST", "/nodePools"),
    ]
    created = writes(cloud)[12].body["nodePool"]
    assert created["placementPolicy"] == {"type": "COMPACT", "tpuTopology": "4x4"}
    assert (created["initialNodeCount"], created["config"]["spot"]) == (4, True)
    assert created["config"]["diskType"] == "hyperdisk-balanced"
    modified = resized["node_pool"]
    assert (slice_made["node_pool"]["status"], modified["node_count"], modified["topology"]) == ("RUNNING", 0, "4x4")
    assert modified["labels"] == {"a": "1", "cloud.google.com/gke-networking-dra-driver": "true"}
    # The taint that GKE set stays, and is not ours.
    assert modified["taints"] == [{"key": "google.com/tpu", "value": "present", "effect": "NO_SCHEDULE"}]
    queued = cloud.get(f"{CLUSTERS}/serving/nodePools/flex")
    assert queued["queuedProvisioning"]["enabled"] and queued["config"]["maxRunDuration"] == "86400s"
    assert queued["autoscaling"] == {"enabled": True, "minNodeCount": 0, "maxNodeCount": 4, "locationPolicy": "ANY"}


def test_adoption(cloud, playbooks):
    """It changes what was given and nothing else, and refuses what cannot be changed."""
    slice_of = {"accelerator": "v6e", "zones": ["us-central1-b"]}
    run = playbooks.tasks(
        [
            cluster({**IGNORE, "check_mode": True}, location="middle-earth"),
            pool(
                "p", {**IGNORE, "check_mode": True}, accelerator="v6e", topology="4x4", capacity="spot", reservation="r"
            ),
            cluster(
                network="projects/demo-project/global/networks/serving-vpc", subnetwork="serving", labels={"a": "b"}
            ),
            cluster(network="serving-vpc", vertical_pod_autoscaling=True),
            cluster(IGNORE, network="default"),
            cluster(IGNORE, autopilot=True),
            cluster(IGNORE, location="us-central1-a"),
            cluster(IGNORE, state="absent"),
            pool("slice", **slice_of, topology="2x4", machine_type="ct6e-standard-4t"),
            pool("slice", IGNORE, **slice_of, topology="4x4"),
            pool("slice", {"check_mode": True}, **slice_of, topology="4x4", recreate=True),
            pool("slice", **slice_of, topology="4x4", recreate=True),
        ],
        env=cloud.environment,
    ).ok()
    place_name, capacity, _made, adopted, network, autopilot, place, protected, _slice, topology, would, anew = (
        run.results
    )
    assert "neither a region nor a zone" in place_name["msg"] and "exclude each other" in capacity["msg"]
    # Nothing was asked for a mistake: the first request looks for the cluster that is then made.
    assert [request.method for request in cloud.requests[:4]] == ["GET", "GET", "POST", "GET"]
    assert adopted["diff"]["after"] == {"network": "serving-vpc", "verticalPodAutoscaling": {"enabled": True}}
    assert adopted["cluster"]["labels"] == {"a": "b"}
    assert "network (network) is" in network["msg"] and "serving-vpc" in network["msg"] and "default" in network["msg"]
    assert "autopilot (autopilot.enabled) is not set, True is wanted" in autopilot["msg"]
    assert "us-central1, us-central1-a is wanted" in place["msg"]
    assert "deletion_protection: false" in protected["error"]["hint"]
    assert "is 2x4, 4x4 is wanted" in topology["msg"] and "recreate: true" in topology["error"]["hint"]
    assert would["changed"] and would["diff"] == anew["diff"]
    assert [step.partition(" ")[0] for step in anew["steps"]] == ["delete", "create"]
    assert cloud.get(f"{CLUSTERS}/serving/nodePools/slice")["placementPolicy"]["tpuTopology"] == "4x4"
    assert sent(cloud) == [
        ("POST", ""),
        ("PUT", "", "desiredVerticalPodAutoscaling"),
        ("POST", "/nodePools"),
        ("DELETE", "/nodePools/slice"),
        ("POST", "/nodePools"),
    ]


def test_trouble(cloud, playbooks):
    cloud.slow_operations("CREATE_CLUSTER", looks=None, seconds=3600, times=1)
    cloud.slow_operations("UPGRADE_MASTER", looks=3, times=1)
    cloud.fail_operations(
        "CREATE_NODE_POOL .*nodePools/stockout",
        code="RESOURCE_EXHAUSTED",
        message="Instance 'x' creation failed: ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS.",
        reason="GCE_STOCKOUT",
        times=1,
    )
    cloud.set_quota(LOCATION, "TPU_LITE_PODSLICE_V5", 0)
    cloud.fail(
        "POST container.*nodePools$", times=1, status=403, message='Required "container.clusters.update" permission(s).'
    )
    cloud.fail("PUT container.*nodePools/cpu", times=1, lose_answer=True)
    cpu = {"machine_type": "n4-standard-4"}
    # The first time-out is the one of the option; what was started is found by the next run and not started again.
    first = playbooks.tasks(
        [cluster(IGNORE, version="1.34", release_channel="RAPID", wait_timeout=1)], env=cloud.environment
    ).ok()
    late = first.results[0]
    cloud.finish_operations()
    run = playbooks.tasks(
        [
            cluster(version="1.34"),
            cluster(version="1.35", wait=False),
            pool("forbidden", IGNORE, **cpu),
            pool("cpu", **cpu),
            pool("cpu", **cpu, labels={"a": "b"}),
            pool("stockout", IGNORE, **cpu),
            pool("stockout", IGNORE, **cpu),
            pool("stockout", **cpu, recreate=True),
            pool("quota", IGNORE, machine_type="ct5lp-hightpu-4t", zones=["us-central1-a"]),
            pool("nowhere", IGNORE, cluster="other", **cpu),
            cluster({**IGNORE, "check_mode": True}, location="us-central9"),
            cluster({**IGNORE, "check_mode": True}, project="somebody-elses"),
        ],
        env=cloud.environment,
    ).ok()
    resumed, started, forbidden, waited, lost, stockout, broken, anew, quota, nowhere, unknown, foreign = run.results
    assert late["error"]["kind"] == "DeadlineError" and "Run again to wait for it" in late["error"]["hint"]
    assert (resumed["changed"], resumed["cluster"]["status"]) == (False, "RUNNING")
    assert started["changed"] and started["cluster"]["version"].startswith("1.34.")
    assert "container.clusters.update in the project demo-project, which roles/container.admin has" in forbidden["msg"]
    # The upgrade that nobody waited for was waited for first.
    assert waited["changed"] and waited["node_pool"]["version"].startswith("1.35.")
    assert [result["changed"] for result in (waited, lost, anew)] == [True, True, True]
    assert "has no capacity for it now" in stockout["error"]["hint"] and "ZONE_RESOURCE_POOL" in stockout["msg"]
    assert "did not manage to make it" in broken["msg"] and "recreate: true" in broken["error"]["hint"]
    assert "Quota 'TPU_LITE_PODSLICE_V5' exceeded" in quota["msg"] and "more of this quota" in quota["error"]["hint"]
    assert "us-central9" in unknown["msg"] and "Check the location" in unknown["error"]["hint"]
    assert foreign["error"]["kind"] == "AccessError" and "roles/container.admin" in foreign["error"]["hint"]
    assert "Create the cluster first" in nowhere["error"]["hint"]
    creations = [request for request in writes(cloud) if request.path.endswith(("/clusters", "/clusters/serving"))]
    assert [request.status for request in creations] == [200, 200]
    assert "gke_node_pool [localhost] cpu: create node pool: done" in run.output
