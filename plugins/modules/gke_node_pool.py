#!/usr/bin/python

# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: a node pool of Google Kubernetes Engine."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gke_node_pool
short_description: Create, adopt, change, resize, upgrade or delete a node pool of Google Kubernetes Engine
version_added: 0.5.0
author:
  - modelops.serving contributors (@modelops)
description:
  - Makes a node pool of a Standard cluster as described, with TPUs or without. One that is there is adopted.
  - For TPUs the slice is enough. Machine type, number of nodes, placement, disk and the settings that such nodes want follow
    from it; what cannot be is refused before anything is asked.
  - Only the options that are given count. What others changed, and what GKE chose by itself, stays as it is.
  - Fields are changed by requests of their own, and each is waited for. What GKE cannot change takes O(recreate).
  - A run that was interrupted is resumed. The next one finds the operation that is under way and waits for it.
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
      - Only reads, and does not wait. The cluster need not exist yet.
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
      - V(present) makes the node pool so.
      - V(absent) deletes it with all that runs on it.
    type: str
    choices: [present, absent]
    default: present
  name:
    description:
      - Name of the node pool, which has at most 40 characters.
    type: str
    required: true
  cluster:
    description:
      - Name of its cluster.
    type: str
    required: true
  location:
    description:
      - Region or zone of the cluster.
    type: str
    required: true
  accelerator:
    description:
      - The TPU, by generation (V(v6e)), accelerator label (V(tpu-v6e-slice)) or accelerator type (V(v5p-128)).
      - Not needed with the O(machine_type) of a TPU. Without either the nodes have no TPU.
    type: str
  topology:
    description:
      - Topology of the slice, such as V(2x4) or V(4x4x8). One on several nodes is a node pool of its own.
    type: str
  chips:
    description:
      - Size of the slice instead of its topology.
    type: int
  machine_type:
    description:
      - Machine type of the nodes. For TPUs it follows from O(accelerator), and says how many nodes are meant where that is
        open; V(2x4) of V(v6e) is one V(ct6e-standard-8t) or two V(ct6e-standard-4t).
    type: str
  node_count:
    description:
      - Nodes in each zone. It counts as long as there is no autoscaling. A new node pool with TPUs gets the nodes of its
        slice when it is missing, others 1.
      - A slice on several nodes has all of them or none.
    type: int
  zones:
    description:
      - Zones of the nodes. A slice on several nodes lies in one of them.
    type: list
    elements: str
  capacity:
    description:
      - Where nodes come from. It cannot be changed. A new node pool is V(on_demand) when it is missing.
      - V(flex_start) and V(queued) are nodes of the Dynamic Workload Scheduler, which come when Pods ask for them.
    type: str
    choices: [on_demand, spot, reservation, flex_start, queued]
  reservation:
    description:
      - Name of the reservation, for V(reservation).
    type: str
  reservation_project:
    description:
      - Project of a shared reservation.
    type: str
  max_run_duration:
    description:
      - Seconds that nodes of V(flex_start) and V(queued) live at most, up to 604800.
    type: int
  autoscaling:
    description:
      - Bounds of autoscaling. V(flex_start) and V(queued) with TPUs have from none to all nodes of the slice when it is
        missing.
    type: dict
    suboptions:
      enabled:
        description:
          - Whether it is on.
        type: bool
        default: true
      min_nodes:
        description:
          - Least number of nodes in each zone.
        type: int
      max_nodes:
        description:
          - Greatest number of nodes in each zone.
        type: int
      total_min_nodes:
        description:
          - Least number of nodes in all zones together.
        type: int
      total_max_nodes:
        description:
          - Greatest number of nodes in all zones together.
        type: int
      location_policy:
        description:
          - V(ANY) prefers zones that have capacity, V(BALANCED) the same number in each.
        type: str
        choices: [ANY, BALANCED]
  disk_type:
    description:
      - Type of the boot disks, such as V(hyperdisk-balanced). A new node pool with TPUs gets one that they can boot from.
    type: str
  disk_size_gb:
    description:
      - Size of the boot disks in GB.
    type: int
  image_type:
    description:
      - Image of the nodes, such as V(COS_CONTAINERD).
    type: str
  max_pods_per_node:
    description:
      - Pods on a node at most. It cannot be changed. Nodes with TPUs get 15 when it is missing.
    type: int
  labels:
    description:
      - Labels of the nodes in Kubernetes. Others that they have stay. One with the value V(null) is removed.
    type: dict
  resource_labels:
    description:
      - Labels of the virtual machines. Others that they have stay. One with the value V(null) is removed.
    type: dict
  taints:
    description:
      - Taints of the nodes, all of them but those that GKE sets itself, such as C(google.com/tpu).
    type: list
    elements: dict
    suboptions:
      key:
        description:
          - Key of the taint.
        type: str
        required: true
      value:
        description:
          - Its value.
        type: str
      effect:
        description:
          - Its effect.
        type: str
        choices: [NoSchedule, PreferNoSchedule, NoExecute]
        default: NoSchedule
  tags:
    description:
      - Network tags of the nodes.
    type: list
    elements: str
  service_account:
    description:
      - E-mail address of the service account of the nodes. It cannot be changed.
    type: str
  oauth_scopes:
    description:
      - OAuth scopes of the nodes. They cannot be changed. New nodes get C(cloud-platform) when they are missing, and the roles
        of their service account decide.
    type: list
    elements: str
  workload_metadata:
    description:
      - What Pods see as metadata server. A new node pool has V(GKE_METADATA), which Workload Identity takes.
    type: str
    choices: [GKE_METADATA, GCE_METADATA]
  image_streaming:
    description:
      - Whether images are streamed.
    type: bool
  gvnic:
    description:
      - Whether nodes have the network interface gVNIC. New nodes with TPUs do.
    type: bool
  secure_boot:
    description:
      - Whether Secure Boot is on. It cannot be changed.
    type: bool
  private_nodes:
    description:
      - Whether nodes have internal addresses only.
    type: bool
  pods_ip_range_name:
    description:
      - Name of a secondary range of the subnetwork for the Pods of this node pool. It cannot be changed.
    type: str
  accelerator_network_profile:
    description:
      - Network profile for accelerators, such as V(auto). It cannot be changed. New nodes with v6e get V(auto).
    type: str
  placement_policy:
    description:
      - Name of a resource policy. A slice of tpu7x on several nodes needs a workload policy with its topology, which
        M(modelops.serving.gcp_workload_policy) makes. It cannot be changed.
    type: str
  version:
    description:
      - The least version of the nodes, such as V(1.34) or V(1.34.1-gke.3084001). Older nodes are upgraded. Those that GKE has
        upgraded beyond it are left alone.
    type: str
  auto_upgrade:
    description:
      - Whether GKE upgrades the nodes. In a release channel it has to.
    type: bool
  auto_repair:
    description:
      - Whether GKE repairs the nodes. Those of V(flex_start) and V(queued) cannot be.
    type: bool
  upgrade_strategy:
    description:
      - How nodes are upgraded.
    type: str
    choices: [SURGE, BLUE_GREEN, SHORT_LIVED]
  max_surge:
    description:
      - Nodes that an upgrade may add.
    type: int
  max_unavailable:
    description:
      - Nodes that may be away during an upgrade.
    type: int
  recreate:
    description:
      - Whether a node pool that GKE cannot make so is deleted, with all that runs on it, and made anew. Without it the module
        fails and says what differs.
    type: bool
    default: false
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
  - Needs the permissions C(container.clusters.get), C(container.clusters.update), C(container.operations.get) and
    C(container.operations.list), which C(roles/container.admin) has. With O(node_count) it takes
    C(compute.instanceGroupManagers.get) as well, which C(roles/compute.viewer) has.
  - To give nodes a service account it takes C(iam.serviceAccounts.actAs) on it, which C(roles/iam.serviceAccountUser) has.
  - The number of nodes is that of their managed instance groups, since GKE does not tell it.
  - TPUs need quota in the region, on demand and spot apart.
seealso:
  - module: modelops.serving.gke_cluster
  - module: modelops.serving.tpu_slice_info
  - name: Node pools in the API of GKE
    description: All fields.
    link: https://cloud.google.com/kubernetes-engine/docs/reference/rest/v1/projects.locations.clusters.nodePools
"""

EXAMPLES = r"""
- name: Nodes for all that needs no TPU
  modelops.serving.gke_node_pool:
    project: demo-project
    cluster: serving
    location: us-central1
    name: system
    machine_type: n4-standard-4
    autoscaling:
      total_min_nodes: 2
      total_max_nodes: 6
    image_streaming: true
    service_account: gke-nodes@demo-project.iam.gserviceaccount.com

- name: One node with 8 chips of v6e, on spot
  modelops.serving.gke_node_pool:
    project: demo-project
    cluster: serving
    location: us-central1
    name: v6e-2x4
    zones: [us-central1-b]
    machine_type: ct6e-standard-8t
    capacity: spot
    node_count: 1

- name: A slice of 4 nodes in a reservation
  modelops.serving.gke_node_pool:
    project: demo-project
    cluster: serving
    location: us-east5
    name: v6e-4x4
    zones: [us-east5-a]
    accelerator: v6e
    topology: 4x4
    capacity: reservation
    reservation: tpu-2026

- name: A slice that comes when a Job asks for it, for a day at most
  modelops.serving.gke_node_pool:
    project: demo-project
    cluster: serving
    location: us-central1
    name: v5e-flex
    zones: [us-central1-a]
    accelerator: v5e
    topology: 4x4
    capacity: queued
    max_run_duration: 86400

- name: Ironwood on several nodes, whose topology is in a workload policy
  modelops.serving.gke_node_pool:
    project: demo-project
    cluster: serving
    location: us-central1
    name: tpu7x-2x2x2
    zones: [us-central1-c]
    accelerator: tpu7x
    topology: 2x2x2
    placement_policy: workload-2x2x2

- name: Give the slice back for the night
  modelops.serving.gke_node_pool:
    project: demo-project
    cluster: serving
    location: us-east5
    name: v6e-4x4
    node_count: 0

- name: Delete it
  modelops.serving.gke_node_pool:
    state: absent
    project: demo-project
    cluster: serving
    location: us-east5
    name: v6e-4x4
"""

RETURN = r"""
node_pool:
  description: The node pool as it is, in check mode before the change. None where there is none.
  type: dict
  returned: success
  contains:
    name:
      description: Name.
      type: str
      sample: v6e-4x4
    status:
      description: Status, such as V(RUNNING) or V(PROVISIONING).
      type: str
      sample: RUNNING
    version:
      description: Version of the nodes.
      type: str
      sample: 1.34.1-gke.3084001
    machine_type:
      description: Machine type.
      type: str
      sample: ct6e-standard-4t
    disk_type:
      description: Type of the boot disks.
      type: str
      sample: hyperdisk-balanced
    topology:
      description: Topology of a slice on several nodes.
      type: str
      sample: 4x4
    node_count:
      description: Nodes in each zone, where O(node_count) was given.
      type: int
    zones:
      description: Zones of the nodes.
      type: list
      elements: str
    autoscaling:
      description: Autoscaling as in the API.
      type: dict
    labels:
      description: Labels of the nodes.
      type: dict
    taints:
      description: Taints of the nodes, those of GKE too.
      type: list
      elements: dict
    service_account:
      description: Service account of the nodes.
      type: str
    self_link:
      description: Address in the API.
      type: str
steps:
  description: What GKE was asked to do, in words and in order. Empty in check mode.
  type: list
  elements: str
  returned: success
  sample: [resize the node pool v6e-4x4 in us-east5]
error:
  description: Why the module failed.
  type: dict
  returned: failure
  contains:
    kind:
      description: Class of the error, such as V(AccessError), V(InputError), V(StoreError) or V(DeadlineError).
      type: str
    message:
      description: What happened, and to which node pool.
      type: str
    hint:
      description: What to do next.
      type: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.modelops.serving.plugins.module_utils import _auth
from ansible_collections.modelops.serving.plugins.module_utils._doors import fail, google_client, progress_lines
from ansible_collections.modelops.serving.plugins.module_utils._gke.node_pool import (
    CAPACITIES,
    described,
    desired_node_pool,
)
from ansible_collections.modelops.serving.plugins.module_utils._gke.resource import Resource
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import TransferError


def argument_spec() -> dict[str, t.Any]:
    """The options of the module."""
    return {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "name": {"type": "str", "required": True},
        "cluster": {"type": "str", "required": True},
        "location": {"type": "str", "required": True},
        "accelerator": {"type": "str"},
        "topology": {"type": "str"},
        "chips": {"type": "int"},
        "machine_type": {"type": "str"},
        "node_count": {"type": "int"},
        "zones": {"type": "list", "elements": "str"},
        "capacity": {"type": "str", "choices": list(CAPACITIES)},
        "reservation": {"type": "str"},
        "reservation_project": {"type": "str"},
        "max_run_duration": {"type": "int"},
        "autoscaling": {
            "type": "dict",
            "options": {
                "enabled": {"type": "bool", "default": True},
                "min_nodes": {"type": "int"},
                "max_nodes": {"type": "int"},
                "total_min_nodes": {"type": "int"},
                "total_max_nodes": {"type": "int"},
                "location_policy": {"type": "str", "choices": ["ANY", "BALANCED"]},
            },
        },
        "disk_type": {"type": "str"},
        "disk_size_gb": {"type": "int"},
        "image_type": {"type": "str"},
        "max_pods_per_node": {"type": "int"},
        "labels": {"type": "dict"},
        "resource_labels": {"type": "dict"},
        "taints": {
            "type": "list",
            "elements": "dict",
            "options": {
                "key": {"type": "str", "required": True, "no_log": False},
                "value": {"type": "str"},
                "effect": {
                    "type": "str",
                    "choices": ["NoSchedule", "PreferNoSchedule", "NoExecute"],
                    "default": "NoSchedule",
                },
            },
        },
        "tags": {"type": "list", "elements": "str"},
        "service_account": {"type": "str"},
        "oauth_scopes": {"type": "list", "elements": "str"},
        "workload_metadata": {"type": "str", "choices": ["GKE_METADATA", "GCE_METADATA"]},
        "image_streaming": {"type": "bool"},
        "gvnic": {"type": "bool"},
        "secure_boot": {"type": "bool"},
        "private_nodes": {"type": "bool"},
        "pods_ip_range_name": {"type": "str"},
        "accelerator_network_profile": {"type": "str"},
        "placement_policy": {"type": "str"},
        "version": {"type": "str"},
        "auto_upgrade": {"type": "bool"},
        "auto_repair": {"type": "bool"},
        "upgrade_strategy": {"type": "str", "choices": ["SURGE", "BLUE_GREEN", "SHORT_LIVED"]},
        "max_surge": {"type": "int"},
        "max_unavailable": {"type": "int"},
        "recreate": {"type": "bool", "default": False},
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
        desired_node_pool(params),
        wait=params["wait"],
        wait_timeout=params["wait_timeout"],
        progress=progress_lines(module),
    )
    if params["state"] == "absent":
        outcome = resource.absent(check=module.check_mode)
    else:
        outcome = resource.present(check=module.check_mode, recreate=params["recreate"])
    for warning in outcome.warnings:
        module.warn(warning)
    return {**outcome.result(), "node_pool": described(outcome.live)}


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
