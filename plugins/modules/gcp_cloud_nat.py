#!/usr/bin/python

# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: a Cloud NAT of Google Cloud, with the Cloud Router that it is on."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gcp_cloud_nat
short_description: Create, change or delete a Cloud NAT of Google Cloud
version_added: 0.5.0
author:
  - modelops.serving contributors (@modelops)
description:
  - Makes a Cloud NAT as described, through which private nodes reach the internet. The Cloud Router that it is a part of is
    created where it is missing; the module C(google.cloud.gcp_compute_router) makes routers, and no NAT on them.
  - Other NATs of the router, and all else of it, stay as they are.
  - Only the options that are given count for a NAT that is there.
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
      - Only reads. Network, subnetworks and addresses need not exist yet.
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
      - V(present) makes the NAT so.
      - V(absent) deletes it. Nodes without addresses of their own reach the internet no more.
    type: str
    choices: [present, absent]
    default: present
  name:
    description:
      - Name of the NAT, which has at most 63 characters.
    type: str
    required: true
  router:
    description:
      - Name of the Cloud Router.
    type: str
    required: true
  network:
    description:
      - Name or link of the network of the router. Required where the router does not exist; of one that does, it is
        compared.
    type: str
  region:
    description:
      - Region of the router.
    type: str
    required: true
  addresses:
    description:
      - Names or links of reserved external addresses that the NAT uses. Connections through addresses that are not among
        them any more break.
      - With an empty list Google reserves addresses, as it does for a new NAT without this option.
    type: list
    elements: str
  source_ranges:
    description:
      - Which ranges of all subnetworks of the region may use the NAT. A new one takes V(ALL_SUBNETWORKS_ALL_IP_RANGES), which
        includes those of Pods.
      - Mutually exclusive with O(subnetworks).
    type: str
    choices: [ALL_SUBNETWORKS_ALL_IP_RANGES, ALL_SUBNETWORKS_ALL_PRIMARY_IP_RANGES]
  subnetworks:
    description:
      - The only subnetworks that may use the NAT.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - Name or link of the subnetwork.
        type: str
        required: true
      source_ranges:
        description:
          - Which of its ranges may.
        type: list
        elements: str
        choices: [ALL_IP_RANGES, PRIMARY_IP_RANGE, LIST_OF_SECONDARY_IP_RANGES]
        default: [ALL_IP_RANGES]
      secondary_ip_range_names:
        description:
          - Names of the secondary ranges, for V(LIST_OF_SECONDARY_IP_RANGES).
        type: list
        elements: str
  dynamic_port_allocation:
    description:
      - Whether a node gets more ports when it needs them, between O(min_ports_per_vm) and O(max_ports_per_vm).
    type: bool
  endpoint_independent_mapping:
    description:
      - Whether a node's port has the same address and port towards all destinations. It cannot be combined with
        O(dynamic_port_allocation).
    type: bool
  min_ports_per_vm:
    description:
      - Ports that each node has at least. Many Pods on one node that download at once need more than the 64 that Google
        gives a node otherwise.
    type: int
  max_ports_per_vm:
    description:
      - Ports that a node has at most with O(dynamic_port_allocation).
    type: int
  logging:
    description:
      - Which connections are logged in Cloud Logging.
    type: str
    choices: [NONE, ERRORS_ONLY, TRANSLATIONS_ONLY, ALL]
  delete_router:
    description:
      - Whether O(state=absent) deletes the router too, where it has neither other NATs nor interfaces nor BGP peers.
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
  - Needs the permissions C(compute.routers.get), C(compute.routers.create), C(compute.routers.update),
    C(compute.routers.delete) and C(compute.regionOperations.get). The role C(roles/compute.networkAdmin) has them.
  - Compute Engine changes all NATs of a router together and has no way to do so on condition. Do not run two of these for one
    router at once.
seealso:
  - module: modelops.serving.gke_cluster
  - module: google.cloud.gcp_compute_router
  - name: Cloud NAT
    description: What it does, and how many ports are needed.
    link: https://cloud.google.com/nat/docs/overview
"""

EXAMPLES = r"""
- name: Private nodes of a region reach the internet
  modelops.serving.gcp_cloud_nat:
    project: demo-project
    region: us-central1
    network: serving-vpc
    router: serving
    name: serving
    logging: ERRORS_ONLY

- name: Only nodes and Pods of one subnetwork, from an address that others know
  modelops.serving.gcp_cloud_nat:
    project: demo-project
    region: us-central1
    network: serving-vpc
    router: serving
    name: serving
    addresses: [serving-nat]
    subnetworks:
      - name: serving
        source_ranges: [PRIMARY_IP_RANGE, LIST_OF_SECONDARY_IP_RANGES]
        secondary_ip_range_names: [pods]
    dynamic_port_allocation: true
    min_ports_per_vm: 64
    max_ports_per_vm: 4096

- name: Delete it, and the router
  modelops.serving.gcp_cloud_nat:
    state: absent
    project: demo-project
    region: us-central1
    router: serving
    name: serving
    delete_router: true
"""

RETURN = r"""
nat:
  description: The NAT as in the API, in check mode before the change. None where there is none.
  type: dict
  returned: success
  sample:
    name: serving
    natIpAllocateOption: AUTO_ONLY
    sourceSubnetworkIpRangesToNat: ALL_SUBNETWORKS_ALL_IP_RANGES
steps:
  description: What Compute Engine was asked to do, in words and in order. Empty in check mode.
  type: list
  elements: str
  returned: success
  sample: [create the Cloud Router serving in us-central1]
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
from ansible_collections.modelops.serving.plugins.module_utils._gce.nat import (
    LOGGING,
    SOURCE_RANGES,
    SUBNETWORK_RANGES,
    desired_nat,
)
from ansible_collections.modelops.serving.plugins.module_utils._gce.resource import settle
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import TransferError


def argument_spec() -> dict[str, t.Any]:
    """The options of the module."""
    return {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "name": {"type": "str", "required": True},
        "router": {"type": "str", "required": True},
        "network": {"type": "str"},
        "region": {"type": "str", "required": True},
        "addresses": {"type": "list", "elements": "str"},
        "source_ranges": {"type": "str", "choices": list(SOURCE_RANGES)},
        "subnetworks": {
            "type": "list",
            "elements": "dict",
            "options": {
                "name": {"type": "str", "required": True},
                "source_ranges": {
                    "type": "list",
                    "elements": "str",
                    "choices": list(SUBNETWORK_RANGES),
                    "default": ["ALL_IP_RANGES"],
                },
                "secondary_ip_range_names": {"type": "list", "elements": "str"},
            },
        },
        "dynamic_port_allocation": {"type": "bool"},
        "endpoint_independent_mapping": {"type": "bool"},
        "min_ports_per_vm": {"type": "int"},
        "max_ports_per_vm": {"type": "int"},
        "logging": {"type": "str", "choices": list(LOGGING)},
        "delete_router": {"type": "bool", "default": False},
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
    desired = desired_nat(params)
    outcome = settle(google_client(module), desired, timeout=params["wait_timeout"], check=module.check_mode)
    return {**outcome.result(), "nat": desired.found(outcome.live)}


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec=argument_spec(),
        mutually_exclusive=[
            ("service_account_file", "service_account_contents", "access_token"),
            ("source_ranges", "subnetworks"),
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
