#!/usr/bin/python

# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: a workload policy of Compute Engine."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gcp_workload_policy
short_description: Create or delete a workload policy of Compute Engine
version_added: 0.5.0
author:
  - modelops.serving contributors (@modelops)
description:
  - Makes a resource policy that says how machines lie to each other, such as the hosts of a slice of Ironwood (C(tpu7x)),
    whose node pools on several hosts take its name in O(modelops.serving.gke_node_pool#module:placement_policy).
  - Older TPUs need no such policy. Their node pools say the topology themselves.
  - Compute Engine cannot change a workload policy. One that is otherwise is refused, or made anew with O(recreate).
  - Policies for group placement, snapshots and schedules are those of C(google.cloud.gcp_compute_resource_policy).
extends_documentation_fragment:
  - modelops.serving._attributes
  - modelops.serving._attributes.actiongroup_serving
  - modelops.serving._gcp
  - modelops.serving._gcs
  - modelops.serving._control
attributes:
  check_mode:
    support: full
    details:
      - Only reads. Whether something uses the policy, so that it cannot be deleted, is not predicted.
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
      - V(present) makes the policy.
      - V(absent) deletes it, which Compute Engine refuses as long as a node pool uses it.
    type: str
    choices: [present, absent]
    default: present
  name:
    description:
      - Name of the policy, which has at most 63 characters.
    type: str
    required: true
  region:
    description:
      - Region of the policy, which is that of the node pools.
    type: str
    required: true
  type:
    description:
      - V(HIGH_THROUGHPUT) puts machines close together, as slices need it. V(HIGH_AVAILABILITY) spreads them.
    type: str
    choices: [HIGH_THROUGHPUT, HIGH_AVAILABILITY]
    default: HIGH_THROUGHPUT
  accelerator_topology:
    description:
      - Topology of the slice, such as V(2x2x2).
    type: str
  accelerator_topology_mode:
    description:
      - V(AUTO_CONNECT), which is so otherwise, connects the accelerators of the slice when it is made. V(PROVISION_ONLY) leaves
        that to whoever puts slices together.
    type: str
    choices: [AUTO_CONNECT, PROVISION_ONLY]
  max_topology_distance:
    description:
      - How far machines may be from each other, for accelerators without O(accelerator_topology).
    type: str
    choices: [CLUSTER, BLOCK, SUBBLOCK]
  recreate:
    description:
      - Whether to delete a policy that is otherwise, and make it anew.
    type: bool
    default: false
  wait_timeout:
    description:
      - Seconds to wait for one request to be carried out. What is not done by then goes on at Google; run again to go on
        from there.
    type: float
    default: 600
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
  - Needs the permissions C(compute.resourcePolicies.get), C(compute.resourcePolicies.create),
    C(compute.resourcePolicies.delete) and C(compute.regionOperations.get). The role C(roles/compute.instanceAdmin.v1) has
    them.
seealso:
  - module: modelops.serving.gke_node_pool
  - module: google.cloud.gcp_compute_resource_policy
  - name: Resource policies in the API of Compute Engine
    description: All fields.
    link: https://cloud.google.com/compute/docs/reference/rest/v1/resourcePolicies
"""

EXAMPLES = r"""
- name: For slices of Ironwood with 8 chips on 2 hosts
  modelops.serving.gcp_workload_policy:
    project: demo-project
    region: us-central1
    name: workload-2x2x2
    accelerator_topology: 2x2x2

- name: Delete it
  modelops.serving.gcp_workload_policy:
    state: absent
    project: demo-project
    region: us-central1
    name: workload-2x2x2
"""

RETURN = r"""
policy:
  description: The resource policy as in the API, in check mode before the change. None where there is none.
  type: dict
  returned: success
  sample:
    name: workload-2x2x2
    status: READY
    workloadPolicy: {type: HIGH_THROUGHPUT, acceleratorTopology: 2x2x2}
steps:
  description: What Compute Engine was asked to do, in words and in order. Empty in check mode.
  type: list
  elements: str
  returned: success
  sample: [create the resource policy workload-2x2x2 in us-central1]
error:
  description: Why the module failed.
  type: dict
  returned: failure
  contains:
    kind:
      description: Class of the error, such as V(AccessError), V(InputError), V(StoreError) or V(DeadlineError).
      type: str
    message:
      description: What happened, and to which resource.
      type: str
    hint:
      description: What to do next.
      type: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.modelops.serving.plugins.module_utils import _auth
from ansible_collections.modelops.serving.plugins.module_utils._doors import fail, google_client
from ansible_collections.modelops.serving.plugins.module_utils._gce.resource import settle
from ansible_collections.modelops.serving.plugins.module_utils._gce.workload_policy import (
    DISTANCES,
    MODES,
    TYPES,
    desired_workload_policy,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import TransferError


def argument_spec() -> dict[str, t.Any]:
    """The options of the module."""
    return {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "name": {"type": "str", "required": True},
        "region": {"type": "str", "required": True},
        "type": {"type": "str", "choices": list(TYPES), "default": "HIGH_THROUGHPUT"},
        "accelerator_topology": {"type": "str"},
        "accelerator_topology_mode": {"type": "str", "choices": list(MODES)},
        "max_topology_distance": {"type": "str", "choices": list(DISTANCES)},
        "recreate": {"type": "bool", "default": False},
        "wait_timeout": {"type": "float", "default": 600},
        **_auth.GCP,
        **_auth.TLS,
        **_auth.CONTROL,
    }


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Do it.

    :raises TransferError: it cannot be done.
    """
    params = module.params
    desired = desired_workload_policy(params)
    outcome = settle(google_client(module), desired, timeout=params["wait_timeout"], check=module.check_mode)
    return {**outcome.result(), "policy": outcome.live}


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec=argument_spec(),
        mutually_exclusive=[
            ("service_account_file", "service_account_contents", "access_token"),
            ("accelerator_topology", "max_topology_distance"),
        ],
        supports_check_mode=True,
    )
    try:
        done = run(module)
    except TransferError as error:
        fail(module, error)
    module.exit_json(**done)


if __name__ == "__main__":
    main()
