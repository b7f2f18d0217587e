# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role base_environment against the stand-in for Google Cloud, and a real API server in place of the cluster's; with the
playbooks site and destroy around it."""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import os
import pathlib
import signal
import subprocess

import pytest
from kubernetes.client import ApiException, CoreV1Api
from runner import ROOT

PLAYBOOKS = ROOT / "playbooks"
US = "compute/compute/v1/projects/demo-project/regions/us-central1"
NETWORKS = "compute/compute/v1/projects/demo-project/global/networks"
CLUSTER = "container/v1/projects/demo-project/locations/us-central1/clusters/t-gke-ml-cluster"
ACCOUNTS = "iam/v1/projects/demo-project/serviceAccounts"
BUCKETS = "storage/storage/v1/b"
PROJECT = "cloudresourcemanager/v3/projects/demo-project"
REPOSITORY = "artifactregistry/v1/projects/demo-project/locations/us/repositories/t-serving-images"
WORKLOADS = "t-gke-wid-sa@demo-project.iam.gserviceaccount.com"
NODES = "t-gke-node-pool-sa@demo-project.iam.gserviceaccount.com"


class Environment:
    """Runs the playbook with these variables."""

    def __init__(self, google, playbooks, cluster, namespace) -> None:
        self.google, self.playbooks, self.core, self.space = (
            google,
            playbooks,
            CoreV1Api(cluster.client()),
            namespace,
        )
        self.variables = {
            "base_environment_project_id": google.project,
            "base_environment_region": "us-central1",
            "base_environment_prefix": "t",
            "base_environment_labels": {"team": "inference"},
            "base_environment_gcs_configs": {"models": {"versioning": True}, "results": {}},
            "base_environment_cpu_node_pools": {
                "system": {
                    "zones": ["us-central1-a"],
                    "min_node_count": 1,
                    "max_node_count": 3,
                    "machine_type": "n1-standard-8",
                    "taints": {"admin": {"value": True, "effect": "NO_SCHEDULE"}},
                    "labels": {"admin": "true"},
                }
            },
            "base_environment_tpu_node_pools": {
                "v5e": {"zones": ["us-central1-a"], "tpu_type": "v5litepod-16", "spot": True}
            },
            "base_environment_workloads_namespace": self.space,
            "base_environment_cluster": {"kubeconfig": str(cluster.kubeconfig)},
            "base_environment_poll": 1,
            "base_environment_namespace_timeout": 8,
            "bootstrap_project_id": google.project,
            "bootstrap_automation_sa_name": "automation",
            "bootstrap_automation_bucket": {"name": "t-automation", "location": "us-central1"},
        }

    def run_until(self, request) -> int:
        """A run that is killed at the first request that matches."""
        process = subprocess.Popen(
            self.playbooks.command(PLAYBOOKS / "site.yml", "-e", json.dumps(self.variables)),
            env=self.playbooks.environment | self.google.environment,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.google.fail(request, times=1, reset=True, before=functools.partial(os.killpg, process.pid, signal.SIGKILL))
        return process.wait(300)

    def run(self, *arguments, stage="site", **changed):
        """One run of a playbook; the requests of it alone are kept."""
        self.google.clear_requests()
        variables = json.dumps({**self.variables, **changed})
        return self.playbooks.playbook(
            PLAYBOOKS / f"{stage}.yml", "-e", variables, *arguments, **self.google.environment
        )

    @property
    def writes(self):
        return [(request.method, request.path) for request in self.google.requests if request.writes]


@pytest.fixture
def environment(google, playbooks, cluster, namespace):
    found = Environment(google, playbooks, cluster, namespace)
    yield found
    with contextlib.suppress(ApiException):  # not every test made them
        found.core.patch_namespaced_config_map("stuck", found.space, {"metadata": {"finalizers": None}})
        found.core.delete_namespace(found.space)


def test_made_again_changed_and_taken_down(environment, google):
    first = environment.run("--check").ok()
    assert environment.writes == [] and first.recap["changed"] > 0

    # Killed while the cluster is made and buckets are.
    google.slow_operations("CREATE_CLUSTER", looks=2)
    assert environment.run_until(r"GET storage/storage/v1/b/t-models$") == -signal.SIGKILL
    assert google.get(CLUSTER) and google.get(f"{CLUSTER}/nodePools/v5e") is None

    environment.run().ok()
    body = google.get(CLUSTER)
    assert body["resourceLabels"] == {
        "deletion-protection": "true",
        "managed-by": "modelops-serving",
        "team": "inference",
    }
    assert body["workloadIdentityConfig"] == {"workloadPool": "demo-project.svc.id.goog"}
    assert body["subnetwork"].rpartition("/")[2] == "t-gke-cluster-subnetwork"
    system, v5e = (google.get(f"{CLUSTER}/nodePools/{name}") for name in ("system", "v5e"))
    assert google.get(f"{CLUSTER}/nodePools/default-pool") is None
    assert system["config"]["serviceAccount"] == v5e["config"]["serviceAccount"] == NODES
    assert system["config"]["taints"] == [{"key": "admin", "value": "True", "effect": "NO_SCHEDULE"}]
    assert v5e["placementPolicy"]["tpuTopology"] == "4x4" and v5e["config"]["spot"]
    assert google.get(f"{US}/routers/t-nat-router")["nats"][0]["natIpAllocateOption"] == "AUTO_ONLY"
    bucket = google.get(f"{BUCKETS}/t-models")
    assert bucket["versioning"] == {"enabled": True} and bucket["location"] == "US-CENTRAL1"
    assert bucket["iamConfiguration"]["publicAccessPrevention"] == "enforced"
    roles = {entry["role"] for entry in google.policy(f"{BUCKETS}/t-models")["bindings"]}
    assert {"roles/storage.objectAdmin", "roles/storage.legacyBucketReader"} <= roles
    (bound,) = google.policy(f"{ACCOUNTS}/{WORKLOADS}")["bindings"]
    assert bound["members"] == [f"serviceAccount:demo-project.svc.id.goog[{environment.space}/wid-sa]"]
    account = environment.core.read_namespaced_service_account("wid-sa", environment.space)
    assert account.metadata.annotations == {"iam.gke.io/gcp-service-account": WORKLOADS}
    assert account.automount_service_account_token is False

    again = environment.run().ok()
    assert again.recap["changed"] == 0 and environment.writes == []
    assert len(google.requests) <= 60, [request.path for request in google.requests]

    # What others changed is shown, and set right by no check. Without other word the API server is asked under its address,
    # with its certificate and a token of Google, which this one does not know.
    google.put(f"{BUCKETS}/t-models", {**bucket, "versioning": {"enabled": False}})
    server = environment.core.api_client.configuration
    certificate = base64.b64encode(pathlib.Path(server.ssl_ca_cert).read_bytes()).decode()
    body = google.get(CLUSTER)
    body["controlPlaneEndpointsConfig"]["dnsEndpointConfig"].pop("endpoint")
    body |= {"endpoint": server.host.removeprefix("https://"), "releaseChannel": {"channel": "RAPID"}}
    google.put(CLUSTER, {**body, "masterAuth": {"clusterCaCertificate": certificate}})
    drift = environment.run("--check", "--diff", stage="base_environment", base_environment_cluster={})
    assert drift.recap["changed"] == 2 and environment.writes == []
    assert '"channel": "RAPID"' in drift.output and '"enabled": false' in drift.output
    assert drift.status != 0 and "Unauthorized" in drift.output and google.access_token not in drift.output
    assert not list(environment.playbooks.temp.rglob("*.pem"))

    assert "is protected. Nothing was deleted" in environment.run(stage="destroy").output
    assert environment.writes == []

    # A namespace that does not go, a bucket with objects, and something that Google refuses to delete.
    stuck = {"metadata": {"name": "stuck", "finalizers": ["example.com/hold"]}}
    environment.core.create_namespaced_config_map(environment.space, stuck)
    google.put(f"{BUCKETS}/t-models/o/config.json", {"name": "config.json", "size": "3"})
    google.fail("DELETE compute/.*/subnetworks/", status=400, message="Still in use.", times=1)
    gone = {
        "base_environment_deletion_protection": False,
        "base_environment_delete_data": ["buckets", "repository"],
    }
    failed = environment.run(stage="destroy", **gone)
    assert failed.status != 0 and "example.com/hold" in failed.output
    assert "It holds objects." in failed.output and "Still in use" in failed.output
    kept = [f"{BUCKETS}/t-models", f"{US}/subnetworks/t-gke-cluster-subnetwork", f"{NETWORKS}/t-gke-cluster-network"]
    lost = [CLUSTER, REPOSITORY, f"{BUCKETS}/t-results", f"{US}/routers/t-nat-router"]
    lost += [f"{ACCOUNTS}/{WORKLOADS}", f"{ACCOUNTS}/{NODES}"]
    assert all(map(google.get, kept)) and not any(map(google.get, lost))
    members = {who for one in google.policy(PROJECT)["bindings"] for who in one["members"]}
    assert members == {"serviceAccount:automation@demo-project.iam.gserviceaccount.com"}

    # Half of it is there.
    environment.run(stage="destroy", **gone).ok()
    assert google.get(kept[0]) and not any(map(google.get, kept[1:]))
    again = environment.run(stage="destroy", **gone).ok()
    assert again.recap["changed"] == 0 and environment.writes == []


BAD = {
    "us-central1-a is not the name of a region": {"base_environment_region": "us-central1-a"},
    "pods_ip_cidr_range (10.129.8.0/21) overlap": {
        "base_environment_vpc_config": {"pods_ip_cidr_range": "10.129.8.0/21"},
    },
    "has more than 40 characters": {"base_environment_cluster_config": {"name": "c" * 40}},
    "5x5": {"base_environment_tpu_node_pools": {"v6e": {"accelerator": "v6e", "topology": "5x5"}}},
    "has a reservation, and its capacity is flex_start": {
        "base_environment_tpu_node_pools": {
            "v5e": {"tpu_type": "v5litepod-8", "capacity": "flex_start", "reservation": "r"}
        },
    },
    "base_environment_vpc_ref has no subnet_self_link": {
        "base_environment_vpc_ref": {"network_self_link": "projects/host/global/networks/shared"},
    },
}


def test_what_cannot_be_is_refused_before_anything_is_asked(environment, google):
    """All of it in one run, one role after the other."""
    tasks = [
        {
            "block": [
                {
                    "name": "Refused",
                    "ansible.builtin.include_role": {"name": "modelops.serving.base_environment"},
                    "vars": {**environment.variables, **changed},
                }
            ],
            "rescue": [{"name": "Tell", "ansible.builtin.debug": {"msg": "{{ ansible_failed_result }}"}}],
        }
        for changed in BAD.values()
    ]
    path = environment.playbooks.directory / "bad.yml"
    path.write_text(json.dumps([{"name": "Test", "hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    output = environment.playbooks.playbook(path, **google.environment).ok().output
    assert [told for told in BAD if told not in output] == []
    assert google.requests == []


def test_preflight_names_what_is_missing(environment, google):
    google.deny("container.clusters.create")
    failed = environment.run("--tags", "preflight", stage="base_environment")
    assert failed.status != 0 and environment.writes == []
    assert "container.clusters.create" in failed.output and "roles/container.admin" in failed.output
    assert (
        "These services are not enabled in the project demo-project: artifactregistry.googleapis.com" in failed.output
    )
