#!/usr/bin/python

# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: a cluster of Google Kubernetes Engine."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gke_cluster
short_description: Create, adopt, change, upgrade or delete a cluster of Google Kubernetes Engine
version_added: 0.5.0
author:
  - modelops.serving contributors (@modelops)
description:
  - Makes a Standard or Autopilot cluster as described. One that is there is adopted.
  - Only the options that are given count. What others changed, and what GKE chose by itself, stays as it is.
  - Each field that differs is changed by one request of its own, as GKE wants it, and waited for. What GKE cannot change is
    refused before anything is sent, with both values.
  - A run that was interrupted is resumed. The next one finds the operation that is under way and waits for it.
  - A cluster is only deleted when that was allowed in so many words, see O(deletion_protection).
extends_documentation_fragment:
  - modelops.serving._attributes
  - modelops.serving._attributes.action
  - modelops.serving._attributes.actiongroup_serving
  - modelops.serving._gcp
  - modelops.serving._gcs
  - modelops.serving._control
attributes:
  check_mode:
    support: full
    details:
      - Only reads, and does not wait.
  diff_mode:
    support: full
    details:
      - Shows the fields that were given.
  idempotent:
    support: full
  async:
    support: full
requirements:
  - urllib3 >= 2
  - google-auth
options:
  state:
    description:
      - V(present) makes the cluster so.
      - V(absent) deletes it with all that runs on it.
    type: str
    choices: [present, absent]
    default: present
  name:
    description:
      - Name of the cluster, which has at most 40 characters.
    type: str
    required: true
  location:
    description:
      - Region of a regional cluster, such as V(us-central1), or zone of a zonal one, such as V(us-central1-a).
    type: str
    required: true
  autopilot:
    description:
      - Whether GKE manages the nodes. It cannot be changed. A new cluster is a Standard one when it is missing.
    type: bool
  network:
    description:
      - The VPC network, by its name or as C(projects/PROJECT/global/networks/NAME), with or without the host of the API in
        front. It cannot be changed. A new cluster gets C(default) when it is missing.
    type: str
  subnetwork:
    description:
      - The subnetwork, by its name or as C(projects/PROJECT/regions/REGION/subnetworks/NAME). That of a shared VPC needs the
        long form. It cannot be changed.
    type: str
  pods_ip_range_name:
    description:
      - Name of the secondary range of the subnetwork that Pods get their addresses from. It cannot be changed.
    type: str
  services_ip_range_name:
    description:
      - Name of the secondary range of the subnetwork for Services. It cannot be changed.
    type: str
  pods_cidr:
    description:
      - Addresses of Pods where there is no secondary range to name, such as V(192.168.64.0/20). It cannot be changed.
    type: str
  services_cidr:
    description:
      - Addresses of Services where there is no secondary range to name. It cannot be changed.
    type: str
  control_plane_cidr:
    description:
      - Addresses of a private control plane, a range with the length V(/28). It cannot be changed.
    type: str
  node_locations:
    description:
      - Zones of the nodes, all of the region of O(location).
    type: list
    elements: str
  private_nodes:
    description:
      - Whether nodes have internal addresses only. They need Cloud NAT to reach the internet then.
    type: bool
  dns_endpoint:
    description:
      - Whether the control plane is reached by its DNS endpoint from outside of the VPC. IAM decides who may.
    type: bool
  ip_endpoints:
    description:
      - Whether the control plane has IP endpoints at all.
    type: bool
  public_endpoint:
    description:
      - Whether one of them is public.
    type: bool
  authorized_networks:
    description:
      - Addresses that may reach the IP endpoints. An empty list lets every address in.
    type: list
    elements: dict
    suboptions:
      cidr:
        description:
          - The range, such as V(203.0.113.0/24).
        type: str
        required: true
      name:
        description:
          - What it is.
        type: str
  workload_identity:
    description:
      - Whether Workload Identity Federation for GKE is on. Its pool is C(PROJECT.svc.id.goog).
    type: bool
  addons:
    description:
      - Parts of GKE to switch on or off. Those that are missing here stay as they are.
    type: dict
    suboptions:
      gcs_fuse_csi:
        description: The CSI driver of Cloud Storage FUSE, which mounts buckets.
        type: bool
      pd_csi:
        description: The CSI driver of Compute Engine persistent disks.
        type: bool
      filestore_csi:
        description: The CSI driver of Filestore.
        type: bool
      lustre_csi:
        description: The CSI driver of Managed Lustre.
        type: bool
      parallelstore_csi:
        description: The CSI driver of Parallelstore.
        type: bool
      ray_operator:
        description: The operator of Ray.
        type: bool
      http_load_balancing:
        description: The controller of Ingress.
        type: bool
      horizontal_pod_autoscaling:
        description: The HorizontalPodAutoscaler.
        type: bool
      config_connector:
        description: Config Connector.
        type: bool
      dns_cache:
        description: NodeLocal DNSCache.
        type: bool
      backup_agent:
        description: The agent of Backup for GKE.
        type: bool
      high_scale_checkpointing:
        description: Multi-tier checkpointing.
        type: bool
      slice_controller:
        description: The controller of slices, for dynamic slicing of TPUs.
        type: bool
  secret_manager:
    description:
      - Whether the Secret Manager add-on is on, which mounts secrets.
    type: bool
  managed_prometheus:
    description:
      - Whether Google Cloud Managed Service for Prometheus collects metrics.
    type: bool
  monitoring_components:
    description:
      - What sends metrics to Cloud Monitoring, such as V(SYSTEM_COMPONENTS).
    type: list
    elements: str
  logging_components:
    description:
      - What sends logs to Cloud Logging, such as V(SYSTEM_COMPONENTS) and V(WORKLOADS).
    type: list
    elements: str
  dataplane_v2:
    description:
      - Whether the cluster uses GKE Dataplane V2. It cannot be changed.
    type: bool
  dns:
    description:
      - The DNS of the cluster.
    type: dict
    suboptions:
      provider:
        description:
          - Who answers.
        type: str
        choices: [CLOUD_DNS, KUBE_DNS, PLATFORM_DEFAULT]
      scope:
        description:
          - Who can ask Cloud DNS.
        type: str
        choices: [CLUSTER_SCOPE, VPC_SCOPE]
      domain:
        description:
          - Domain of the names of Services, such as V(cluster.local).
        type: str
  gateway_api:
    description:
      - Which channel of the Gateway API is installed.
    type: str
    choices: [CHANNEL_STANDARD, CHANNEL_EXPERIMENTAL, CHANNEL_DISABLED]
  release_channel:
    description:
      - Who chooses versions. V(UNSPECIFIED) takes the cluster out of all channels.
    type: str
    choices: [RAPID, REGULAR, STABLE, EXTENDED, UNSPECIFIED]
  version:
    description:
      - The least version of the control plane, such as V(1.34), V(1.34.1) or V(1.34.1-gke.3084001). One that is older is
        upgraded. One that GKE has upgraded beyond it is left alone.
    type: str
  autoprovisioning:
    description:
      - Node auto-provisioning, which makes node pools for Pods that wait. For Standard clusters.
    type: dict
    suboptions:
      enabled:
        description:
          - Whether it is on.
        type: bool
        default: true
      resource_limits:
        description:
          - How much it may provide in the whole cluster.
        type: list
        elements: dict
        suboptions:
          type:
            description:
              - V(cpu), V(memory) in GB, or an accelerator. A TPU may be given by any of its names, such as V(v6e) for
                V(tpu-v6e-slice); it is counted in chips.
            type: str
            required: true
          minimum:
            description:
              - The least amount.
            type: int
            default: 0
          maximum:
            description:
              - The greatest amount.
            type: int
            required: true
      locations:
        description:
          - Zones of the nodes it makes.
        type: list
        elements: str
      disk_type:
        description:
          - Type of their boot disks.
        type: str
      disk_size_gb:
        description:
          - Size of their boot disks in GB.
        type: int
      image_type:
        description:
          - Image of the nodes, such as V(COS_CONTAINERD).
        type: str
  autoscaling_profile:
    description:
      - How soon nodes without work are removed.
    type: str
    choices: [BALANCED, OPTIMIZE_UTILIZATION]
  node_service_account:
    description:
      - E-mail address of the service account of nodes that this module or node auto-provisioning makes. Of a cluster that is
        there, only that of node auto-provisioning is changed.
    type: str
  default_pool:
    description:
      - The node pool C(default-pool) of a new Standard cluster, which has 1 node in each zone when this is missing. For one
        that is there this has no effect; use M(modelops.serving.gke_node_pool).
    type: dict
    suboptions:
      node_count:
        description:
          - Nodes in each zone.
        type: int
      machine_type:
        description:
          - Machine type of the nodes.
        type: str
      disk_type:
        description:
          - Type of the boot disks.
        type: str
      disk_size_gb:
        description:
          - Size of the boot disks in GB.
        type: int
  remove_default_pool:
    description:
      - Whether the node pool C(default-pool) is deleted, also from a cluster that is adopted. GKE creates no Standard
        cluster without it.
    type: bool
  max_pods_per_node:
    description:
      - Pods on a node at most, unless its node pool says otherwise. It cannot be changed.
    type: int
  maintenance_window:
    description:
      - When GKE may do maintenance. Exclusions are left alone.
    type: dict
    suboptions:
      daily:
        description:
          - Begin of a window of 4 hours each day in UTC, such as V(03:00).
        type: str
      start_time:
        description:
          - Begin of the first window, such as V(2026-01-03T02:00:00Z).
        type: str
      end_time:
        description:
          - End of the first window.
        type: str
      recurrence:
        description:
          - How it recurs, in the form of RFC 5545, such as V(FREQ=WEEKLY;BYDAY=SA,SU). Each day when it is missing.
        type: str
  vertical_pod_autoscaling:
    description:
      - Whether the VerticalPodAutoscaler is on.
    type: bool
  cost_management:
    description:
      - Whether costs are allocated to namespaces and labels.
    type: bool
  fleet_project:
    description:
      - Project of the fleet that the cluster is a member of.
    type: str
  labels:
    description:
      - Labels of the resource. Others that it has stay. One with the value V(null) is removed.
    type: dict
  deletion_protection:
    description:
      - Whether O(state=absent) is refused. GKE has no such field, so the label C(deletion-protection) of the cluster keeps it.
      - A cluster without that label is protected. To delete it, give V(false) together with O(state=absent), or have given
        it before.
    type: bool
  wait:
    description:
      - Whether the module waits until GKE has done what it was asked for. Without it one operation is started at most, and
        the next run starts what is left.
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds that each operation may take. What is not done by then goes on, and the next run waits for it again.
    type: int
    default: 3600
  progress_file:
    description:
      - File on the host the module runs on to which what is waited for is appended, one JSON object per line. It is created
        with mode V(0600) and is not touched in check mode.
      - The action plugin of the same name reads it, and shows the lines while the module works.
    type: path
  validate_certs:
    description:
      - Whether TLS certificates are checked, which is so unless this is V(false). V(false) is for tests only.
    type: bool
  ca_bundle:
    description:
      - File with the certificates of the authorities to trust, for endpoints with certificates of a private authority.
      - E(REQUESTS_CA_BUNDLE) is used when it is missing.
    type: path
    aliases: [aws_ca_bundle]
notes:
  - Needs the permissions C(container.clusters.get), C(container.clusters.list), C(container.clusters.create),
    C(container.clusters.update), C(container.clusters.delete), C(container.operations.get) and
    C(container.operations.list), which C(roles/container.admin) has.
  - To give nodes a service account it takes C(iam.serviceAccounts.actAs) on it, which C(roles/iam.serviceAccountUser) has. A
    shared VPC wants C(roles/compute.networkUser) in the host project and C(roles/container.hostServiceAgentUser) for the
    service account of GKE.
  - The API C(container.googleapis.com) has to be enabled.
seealso:
  - module: modelops.serving.gke_node_pool
  - module: modelops.serving.gcp_iam_binding
  - name: Clusters in the API of GKE
    description: All fields.
    link: https://cloud.google.com/kubernetes-engine/docs/reference/rest/v1/projects.locations.clusters
"""

EXAMPLES = r"""
- name: A regional cluster for servers of models
  modelops.serving.gke_cluster:
    project: demo-project
    name: serving
    location: us-central1
    network: serving-vpc
    subnetwork: serving-us-central1
    pods_ip_range_name: pods
    services_ip_range_name: services
    release_channel: RAPID
    dataplane_v2: true
    private_nodes: true
    dns_endpoint: true
    workload_identity: true
    addons:
      gcs_fuse_csi: true
      pd_csi: true
      filestore_csi: true
    secret_manager: true
    managed_prometheus: true
    dns:
      provider: CLOUD_DNS
      scope: CLUSTER_SCOPE
      domain: cluster.local
    node_service_account: gke-nodes@demo-project.iam.gserviceaccount.com
    remove_default_pool: true
    labels:
      team: inference
  register: cluster

- name: Let node auto-provisioning make nodes with TPUs
  modelops.serving.gke_cluster:
    project: demo-project
    name: serving
    location: us-central1
    autoprovisioning:
      resource_limits:
        - type: cpu
          maximum: 1000
        - type: memory
          maximum: 4000
        - type: v5e
          maximum: 64
        - type: v6e
          maximum: 64
    autoscaling_profile: OPTIMIZE_UTILIZATION

- name: An Autopilot cluster in a shared VPC
  modelops.serving.gke_cluster:
    project: demo-project
    name: autopilot
    location: europe-west4
    autopilot: true
    network: projects/host-project/global/networks/shared
    subnetwork: projects/host-project/regions/europe-west4/subnetworks/serving
    pods_ip_range_name: pods
    services_ip_range_name: services

- name: Upgrade the control plane, and only on weekends from now on
  modelops.serving.gke_cluster:
    project: demo-project
    name: serving
    location: us-central1
    version: "1.35"
    maintenance_window:
      start_time: "2026-01-03T02:00:00Z"
      end_time: "2026-01-03T10:00:00Z"
      recurrence: FREQ=WEEKLY;BYDAY=SA,SU

- name: Delete it, protection or not
  modelops.serving.gke_cluster:
    state: absent
    project: demo-project
    name: serving
    location: us-central1
    deletion_protection: false
"""

RETURN = r"""
cluster:
  description: The cluster as it is, in check mode before the change. None where there is none.
  type: dict
  returned: success
  contains:
    name:
      description: Name.
      type: str
      sample: serving
    location:
      description: Region or zone.
      type: str
      sample: us-central1
    status:
      description: Status, such as V(RUNNING) or V(RECONCILING).
      type: str
      sample: RUNNING
    version:
      description: Version of the control plane.
      type: str
      sample: 1.34.1-gke.3084001
    autopilot:
      description: Whether GKE manages the nodes.
      type: bool
    endpoint:
      description: Address of the control plane.
      type: str
      sample: 203.0.113.10
    dns_endpoint:
      description: Name of its DNS endpoint.
      type: str
    ca_certificate:
      description: Certificate of its authority in base64, as a kubeconfig takes it.
      type: str
    workload_pool:
      description: Pool of Workload Identity Federation.
      type: str
      sample: demo-project.svc.id.goog
    network:
      description: The VPC network.
      type: str
      sample: projects/demo-project/global/networks/serving-vpc
    subnetwork:
      description: The subnetwork.
      type: str
    node_locations:
      description: Zones of the nodes.
      type: list
      elements: str
    node_pools:
      description: Names of the node pools.
      type: list
      elements: str
    labels:
      description: Labels of the resource.
      type: dict
    self_link:
      description: Address in the API.
      type: str
steps:
  description: What GKE was asked to do, in words and in order. Empty in check mode.
  type: list
  elements: str
  returned: success
  sample: [create the cluster serving in us-central1]
error:
  description: Why the module failed.
  type: dict
  returned: failure
  contains:
    kind:
      description: Class of the error, such as V(AccessError), V(InputError), V(StoreError) or V(DeadlineError).
      type: str
    message:
      description: What happened, and to which cluster.
      type: str
    hint:
      description: What to do next.
      type: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.modelops.serving.plugins.module_utils import _auth
from ansible_collections.modelops.serving.plugins.module_utils._doors import fail, google_client, progress_lines
from ansible_collections.modelops.serving.plugins.module_utils._gke.cluster import ADDONS, described, desired_cluster
from ansible_collections.modelops.serving.plugins.module_utils._gke.resource import Resource
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import TransferError


def argument_spec() -> dict[str, t.Any]:
    """The options of the module."""
    return {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "name": {"type": "str", "required": True},
        "location": {"type": "str", "required": True},
        "autopilot": {"type": "bool"},
        "network": {"type": "str"},
        "subnetwork": {"type": "str"},
        "pods_ip_range_name": {"type": "str"},
        "services_ip_range_name": {"type": "str"},
        "pods_cidr": {"type": "str"},
        "services_cidr": {"type": "str"},
        "control_plane_cidr": {"type": "str"},
        "node_locations": {"type": "list", "elements": "str"},
        "private_nodes": {"type": "bool"},
        "dns_endpoint": {"type": "bool"},
        "ip_endpoints": {"type": "bool"},
        "public_endpoint": {"type": "bool"},
        "authorized_networks": {
            "type": "list",
            "elements": "dict",
            "options": {"cidr": {"type": "str", "required": True}, "name": {"type": "str"}},
        },
        "workload_identity": {"type": "bool"},
        "addons": {"type": "dict", "options": {addon: {"type": "bool"} for addon in ADDONS}},
        "secret_manager": {"type": "bool"},
        "managed_prometheus": {"type": "bool"},
        "monitoring_components": {"type": "list", "elements": "str"},
        "logging_components": {"type": "list", "elements": "str"},
        "dataplane_v2": {"type": "bool"},
        "dns": {
            "type": "dict",
            "options": {
                "provider": {"type": "str", "choices": ["CLOUD_DNS", "KUBE_DNS", "PLATFORM_DEFAULT"]},
                "scope": {"type": "str", "choices": ["CLUSTER_SCOPE", "VPC_SCOPE"]},
                "domain": {"type": "str"},
            },
        },
        "gateway_api": {
            "type": "str",
            "choices": ["CHANNEL_STANDARD", "CHANNEL_EXPERIMENTAL", "CHANNEL_DISABLED"],
        },
        "release_channel": {
            "type": "str",
            "choices": ["RAPID", "REGULAR", "STABLE", "EXTENDED", "UNSPECIFIED"],
        },
        "version": {"type": "str"},
        "autoprovisioning": {
            "type": "dict",
            "options": {
                "enabled": {"type": "bool", "default": True},
                "resource_limits": {
                    "type": "list",
                    "elements": "dict",
                    "options": {
                        "type": {"type": "str", "required": True},
                        "minimum": {"type": "int", "default": 0},
                        "maximum": {"type": "int", "required": True},
                    },
                },
                "locations": {"type": "list", "elements": "str"},
                "disk_type": {"type": "str"},
                "disk_size_gb": {"type": "int"},
                "image_type": {"type": "str"},
            },
        },
        "autoscaling_profile": {"type": "str", "choices": ["BALANCED", "OPTIMIZE_UTILIZATION"]},
        "node_service_account": {"type": "str"},
        "default_pool": {
            "type": "dict",
            "options": {
                "node_count": {"type": "int"},
                "machine_type": {"type": "str"},
                "disk_type": {"type": "str"},
                "disk_size_gb": {"type": "int"},
            },
        },
        "remove_default_pool": {"type": "bool"},
        "max_pods_per_node": {"type": "int"},
        "maintenance_window": {
            "type": "dict",
            "options": {
                "daily": {"type": "str"},
                "start_time": {"type": "str"},
                "end_time": {"type": "str"},
                "recurrence": {"type": "str"},
            },
            "mutually_exclusive": [("daily", "start_time"), ("daily", "end_time"), ("daily", "recurrence")],
            "required_together": [("start_time", "end_time")],
            "required_one_of": [("daily", "start_time")],
        },
        "vertical_pod_autoscaling": {"type": "bool"},
        "cost_management": {"type": "bool"},
        "fleet_project": {"type": "str"},
        "labels": {"type": "dict"},
        "deletion_protection": {"type": "bool"},
        "wait": {"type": "bool", "default": True},
        "wait_timeout": {"type": "int", "default": 3600},
        "progress_file": {"type": "path"},
        **_auth.GCP,
        **_auth.TLS,
        **_auth.CONTROL,
    }


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Do it.

    :raises TransferError: it cannot be done.
    """
    params = module.params
    resource = Resource(
        google_client(module),
        desired_cluster(params),
        wait=params["wait"],
        wait_timeout=params["wait_timeout"],
        progress=progress_lines(module),
    )
    if params["state"] == "absent":
        outcome = resource.absent(check=module.check_mode, protection=params["deletion_protection"])
    else:
        outcome = resource.present(check=module.check_mode)
    for warning in outcome.warnings:
        module.warn(warning)
    return {**outcome.result(), "cluster": described(outcome.live)}


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec=argument_spec(),
        mutually_exclusive=[("service_account_file", "service_account_contents", "access_token")],
        supports_check_mode=True,
    )
    try:
        done = run(module)
    except TransferError as error:
        fail(module, error)
    module.exit_json(**done)


if __name__ == "__main__":
    main()
