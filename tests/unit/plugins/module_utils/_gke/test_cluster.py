# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._gke.cluster import (
    ADDONS,
    FIXED,
    PROTECTION_LABEL,
    UPDATES,
    described,
    desired_cluster,
    elsewhere,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError

ACCOUNT = "gke-nodes@demo-project.iam.gserviceaccount.com"
EXCLUSIONS = {"holidays": {"startTime": "2026-12-20T00:00:00Z", "endTime": "2027-01-02T00:00:00Z"}}
LIVE = {
    "name": "serving",
    "location": "us-central1",
    "status": "RUNNING",
    "currentMasterVersion": "1.34.1-gke.100",
    "network": "vpc",
    "subnetwork": "subnet",
    "networkConfig": {
        "network": "projects/host/global/networks/vpc",
        "subnetwork": "projects/host/regions/us-central1/subnetworks/subnet",
        "datapathProvider": "ADVANCED_DATAPATH",
        "dnsConfig": {
            "clusterDns": "CLOUD_DNS",
            "clusterDnsScope": "CLUSTER_SCOPE",
            "clusterDnsDomain": "cluster.local",
        },
    },
    "ipAllocationPolicy": {"clusterSecondaryRangeName": "pods", "servicesSecondaryRangeName": "services"},
    "privateClusterConfig": {"enablePrivateNodes": True},
    "locations": ["us-central1-a", "us-central1-b"],
    "addonsConfig": {"gcsFuseCsiDriverConfig": {"enabled": True}, "httpLoadBalancing": {}},
    "autoscaling": {"autoscalingProfile": "BALANCED", "resourceLimits": [{"resourceType": "cpu", "maximum": "8"}]},
    "maintenancePolicy": {
        "resourceVersion": "abc",
        "window": {"maintenanceExclusions": EXCLUSIONS, "dailyMaintenanceWindow": {"startTime": "01:00"}},
    },
    "releaseChannel": {"channel": "REGULAR"},
    "resourceLabels": {"team": "a", "theirs": "x"},
    "labelFingerprint": "f00",
    "nodePools": [{"name": "default-pool"}, {"name": "tpu"}],
    "masterAuth": {"clusterCaCertificate": "Q0E=", "clientKey": "c2VjcmV0"},
}


def wanted(**options):
    return desired_cluster({"project": "demo-project", "name": "serving", "location": "us-central1", **options})


AS_IT_IS = {
    "network": "https://www.googleapis.com/compute/v1/projects/host/global/networks/vpc",
    "subnetwork": "projects/host/regions/us-central1/subnetworks/subnet",
    "pods_ip_range_name": "pods",
    "autopilot": False,
    "dataplane_v2": True,
    "private_nodes": True,
    "node_locations": ["us-central1-b", "us-central1-a"],
    "addons": {"gcs_fuse_csi": True, "http_load_balancing": True, "pd_csi": False, "dns_cache": None},
    "dns": {"provider": "CLOUD_DNS", "scope": None, "domain": "cluster.local"},
    "release_channel": "REGULAR",
    "version": "1.33",
    "maintenance_window": {"daily": "01:00"},
    "labels": {"team": "a", "gone": None},
    "secret_manager": False,
    "workload_identity": False,
}


def test_what_is_as_wanted_needs_no_request():
    desired = wanted(**AS_IT_IS)
    assert desired.calls(LIVE) == []
    before, after = desired.shown(LIVE), desired.shown(desired.planned(LIVE))
    assert before == after and before["network"] == AS_IT_IS["network"]
    assert wanted().calls(LIVE) == []


#: Options, and the one field of ClusterUpdate that they become.
CHANGES = [
    ({"release_channel": "RAPID"}, {"desiredReleaseChannel": {"channel": "RAPID"}}),
    ({"version": "1.35"}, {"desiredMasterVersion": "1.35"}),
    (
        {"workload_identity": True},
        {"desiredWorkloadIdentityConfig": {"workloadPool": "demo-project.svc.id.goog"}},
    ),
    ({"node_locations": ["us-central1-c"]}, {"desiredLocations": ["us-central1-c"]}),
    (
        {"addons": {"http_load_balancing": False, "ray_operator": True}},
        {
            "desiredAddonsConfig": {
                "httpLoadBalancing": {"disabled": True},
                "rayOperatorConfig": {"enabled": True},
            }
        },
    ),
    ({"secret_manager": True}, {"desiredSecretManagerConfig": {"enabled": True}}),
    (
        {"dns_endpoint": True, "authorized_networks": [{"cidr": "203.0.113.0/24"}]},
        {
            "desiredControlPlaneEndpointsConfig": {
                "dnsEndpointConfig": {"allowExternalTraffic": True},
                "ipEndpointsConfig": {
                    "authorizedNetworksConfig": {"enabled": True, "cidrBlocks": [{"cidrBlock": "203.0.113.0/24"}]}
                },
            }
        },
    ),
    ({"private_nodes": False}, {"desiredDefaultEnablePrivateNodes": False}),
    (
        # Replaced as a whole: what is not wanted otherwise is sent along.
        {"dns": {"domain": "example"}},
        {
            "desiredDnsConfig": {
                "clusterDns": "CLOUD_DNS",
                "clusterDnsScope": "CLUSTER_SCOPE",
                "clusterDnsDomain": "example",
            }
        },
    ),
    ({"gateway_api": "CHANNEL_STANDARD"}, {"desiredGatewayApiConfig": {"channel": "CHANNEL_STANDARD"}}),
    ({"managed_prometheus": True}, {"desiredMonitoringConfig": {"managedPrometheusConfig": {"enabled": True}}}),
    (
        {"logging_components": ["WORKLOADS"]},
        {"desiredLoggingConfig": {"componentConfig": {"enableComponents": ["WORKLOADS"]}}},
    ),
    ({"vertical_pod_autoscaling": True}, {"desiredVerticalPodAutoscaling": {"enabled": True}}),
    ({"cost_management": True}, {"desiredCostManagementConfig": {"enabled": True}}),
    ({"fleet_project": "fleet"}, {"desiredFleet": {"project": "fleet"}}),
    (
        {"autoscaling_profile": "OPTIMIZE_UTILIZATION"},
        {
            "desiredClusterAutoscaling": {
                "autoscalingProfile": "OPTIMIZE_UTILIZATION",
                "resourceLimits": [{"resourceType": "cpu", "maximum": "8"}],
            }
        },
    ),
]


@pytest.mark.parametrize(("options", "update"), CHANGES, ids=[next(iter(update)) for _options, update in CHANGES])
def test_one_request_per_field(options, update):
    desired = wanted(**options)
    (call,) = desired.calls(LIVE)
    assert (call.method, call.path, call.body) == ("PUT", "", {"update": update})
    assert desired.shown(LIVE) != desired.shown(desired.planned(LIVE))
    assert desired.calls(desired.planned(LIVE)) == []


def test_every_update_is_covered():
    assert {next(iter(update)) for _options, update in CHANGES} == set(UPDATES.values())


def test_order_of_requests():
    everything = {key: value for options, _update in CHANGES for key, value in options.items()}
    calls = wanted(**everything).calls(LIVE)
    assert [next(iter(call.body["update"])) for call in calls] == list(UPDATES.values())


def test_labels():
    (call,) = wanted(labels={"team": "b", "theirs": None, "number": 1}).calls(LIVE)
    assert call.path == ":setResourceLabels"
    assert call.body == {"resourceLabels": {"team": "b", "number": "1"}, "labelFingerprint": "f00"}


def test_maintenance_keeps_what_others_excluded():
    window = {
        "start_time": "2026-01-03T02:00:00Z",
        "end_time": "2026-01-03T10:00:00Z",
        "recurrence": "FREQ=WEEKLY;BYDAY=SA",
    }
    (call,) = wanted(maintenance_window=window).calls(LIVE)
    policy = call.body["maintenancePolicy"]
    assert (call.path, policy["resourceVersion"]) == (":setMaintenancePolicy", "abc")
    assert policy["window"] == {
        "maintenanceExclusions": EXCLUSIONS,
        "recurringWindow": {
            "window": {"startTime": window["start_time"], "endTime": window["end_time"]},
            "recurrence": "FREQ=WEEKLY;BYDAY=SA",
        },
    }


def test_the_default_pool():
    desired = wanted(remove_default_pool=True)
    (call,) = desired.calls(LIVE)
    assert (call.method, call.path) == ("DELETE", "/nodePools/default-pool")
    assert desired.follow_up(LIVE) == [call]
    gone = desired.planned(LIVE)
    assert [pool["name"] for pool in gone["nodePools"]] == ["tpu"] and desired.calls(gone) == []
    assert wanted().follow_up(LIVE) == []


@pytest.mark.parametrize(
    "options",
    [
        {"network": "other"},
        {"subnetwork": "projects/demo-project/regions/us-central1/subnetworks/subnet"},
        {"autopilot": True},
        {"pods_ip_range_name": "other"},
        {"services_ip_range_name": "other"},
        {"pods_cidr": "10.0.0.0/16"},
        {"services_cidr": "10.0.0.0/16"},
        {"control_plane_cidr": "10.0.0.0/28"},
        {"max_pods_per_node": 32},
        {"dataplane_v2": False},
    ],
    ids=str,
)
def test_what_cannot_be_changed(options):
    ((option, value),) = options.items()
    assert option in FIXED.values()
    with pytest.raises(InputError, match=rf"cannot be adopted: its {option} ") as caught:
        wanted(**options).calls(LIVE)
    assert str(value) in str(caught.value) or option == "dataplane_v2"


def test_a_new_cluster():
    body = wanted(
        version="1.34",
        workload_identity=True,
        node_service_account=ACCOUNT,
        default_pool={"node_count": 2, "machine_type": "n4-standard-4"},
        deletion_protection=False,
    ).creation()
    cluster = body["cluster"]
    assert cluster["initialClusterVersion"] == "1.34"
    assert cluster["ipAllocationPolicy"] == {"useIpAliases": True}
    assert cluster["resourceLabels"] == {PROTECTION_LABEL: "false"}
    (pool,) = cluster["nodePools"]
    assert (pool["name"], pool["initialNodeCount"], pool["config"]["machineType"]) == (
        "default-pool",
        2,
        "n4-standard-4",
    )
    assert pool["config"]["serviceAccount"] == ACCOUNT
    assert pool["config"]["workloadMetadataConfig"] == {"mode": "GKE_METADATA"}
    auto = wanted(autopilot=True, node_service_account=ACCOUNT).creation()["cluster"]
    assert "nodePools" not in auto
    assert auto["autoscaling"]["autoprovisioningNodePoolDefaults"] == {"serviceAccount": ACCOUNT}


def test_limits_of_auto_provisioning():
    limits = [
        {"type": "cpu", "maximum": 64, "minimum": 4},
        {"type": "v5e", "maximum": 16},
        {"type": "nvidia-l4", "maximum": 2},
    ]
    desired = wanted(
        autoprovisioning={"resource_limits": limits, "locations": ["us-central1-a"], "disk_type": "pd-ssd"},
        node_service_account=ACCOUNT,
    )
    assert desired.wanted["autoscaling"] == {
        "enableNodeAutoprovisioning": True,
        "resourceLimits": [
            {"resourceType": "cpu", "minimum": "4", "maximum": "64"},
            {"resourceType": "tpu-v5-lite-podslice", "minimum": "0", "maximum": "16"},
            {"resourceType": "nvidia-l4", "minimum": "0", "maximum": "2"},
        ],
        "autoprovisioningLocations": ["us-central1-a"],
        "autoprovisioningNodePoolDefaults": {"serviceAccount": ACCOUNT, "diskType": "pd-ssd"},
    }
    off = wanted(autoprovisioning={"enabled": False, "resource_limits": limits})
    assert off.wanted["autoscaling"] == {"enableNodeAutoprovisioning": False}


def test_deletion_takes_so_many_words():
    free = {**LIVE, "resourceLabels": {PROTECTION_LABEL: "false"}}
    for live, protection in ((LIVE, None), (LIVE, True), (free, True)):
        with pytest.raises(InputError, match="protected against deletion"):
            wanted().check_deletion(live, protection)
    wanted().check_deletion(LIVE, False)
    wanted().check_deletion(free, None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "a" * 41}, "at most 40"),
        ({"location": "middle-earth"}, "neither a region nor a zone"),
        ({"project": None}, "project is not known"),
        ({"pods_cidr": "10.0.0.0/16", "services_cidr": "10.0.128.0/20"}, "overlap"),
        ({"autopilot": True, "max_pods_per_node": 32}, "takes no max_pods_per_node"),
        ({"autopilot": True, "dataplane_v2": False}, "takes no dataplane_v2"),
        ({"autopilot": True, "release_channel": "UNSPECIFIED"}, "has a release channel"),
        ({"autopilot": True, "location": "us-central1-a"}, "is regional"),
        ({"version": "latest"}, "not a version"),
        ({"node_locations": ["us-east1-b"]}, "no zone of us-central1"),
        ({"autoprovisioning": {"resource_limits": [{"type": "tpu9", "maximum": 4}]}}, "no TPU that GKE offers"),
        ({"autoprovisioning": {"resource_limits": [{"type": "cpu", "minimum": 5, "maximum": 4}]}}, "from 5 to 4"),
        ({"authorized_networks": [{"cidr": "everybody"}]}, "authorized_networks"),
        ({"maintenance_window": {"daily": "25:00"}}, "is no time"),
        ({"maintenance_window": {"start_time": "2026-01-03", "end_time": "2026-01-04"}}, "start_time '2026-01-03'"),
        ({"default_pool": {"node_count": 1}, "remove_default_pool": True}, "exclude each other"),
        ({"public_endpoint": True, "ip_endpoints": False}, "needs ip_endpoints"),
        ({"dns_endpoint": False, "ip_endpoints": False}, "nobody reaches"),
    ],
    ids=str,
)
def test_mistakes(options, words):
    with pytest.raises(InputError, match=words) as caught:
        wanted(**options)
    assert caught.value.hint


def test_no_secret_is_told():
    told = described(LIVE)
    assert told["ca_certificate"] == "Q0E=" and "c2VjcmV0" not in str(told)
    assert told["node_pools"] == ["default-pool", "tpu"]
    assert described(None) is None


def test_a_cluster_does_not_move():
    clusters = [{"name": "serving", "location": "us-central1-a"}, {"name": "serving", "location": "europe-west4"}]
    assert elsewhere(clusters, "serving", "us-central1") == "us-central1-a"
    assert elsewhere(clusters, "serving", "europe-west4") is None
    assert elsewhere(clusters, "serving", "us-east5") is None
    assert elsewhere(clusters, "other", "us-central1") is None


def test_every_addon():
    for addon in ADDONS:
        on, off = (wanted(addons={addon: state}).wanted["addonsConfig"] for state in (True, False))
        assert on != off and len(on) == 1
