#!/usr/bin/python

# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: networks, service accounts, buckets and repositories of Google Cloud."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gcp_resources
short_description: Create, adopt, change or delete networks, service accounts, buckets and repositories of Google Cloud
version_added: 0.5.0
author:
  - modelops.serving contributors (@modelops)
description:
  - Brings any number of resources to their state, in the order given, which is reversed for O(state=absent).
  - Only fields that are given count. What others set, and what Google chose by itself, stays as it is. What cannot be
    changed is refused, with both values.
  - A new resource carries a mark, which is the label C(managed-by=modelops-serving) or the description
    C(Made by modelops.serving.). Without it a resource is not deleted, unless O(force) is set.
  - A bucket that holds objects is only deleted with O(delete_objects).
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
      - Only reads.
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
      - V(present) makes the resources so. The first one that Google refuses ends it.
      - V(absent) deletes those that were made here. One that cannot be deleted does not keep the others from it.
    type: str
    choices: [present, absent]
    default: present
  resources:
    description:
      - The resources.
    type: list
    elements: dict
    required: true
    suboptions:
      type:
        description:
          - What it is. V(repository) is one of Artifact Registry.
        type: str
        choices: [network, subnetwork, router, service_account, bucket, repository]
        required: true
      name:
        description:
          - Its name. That of a service account is the part of its address before the C(@).
        type: str
        required: true
      location:
        description:
          - Region of a subnetwork or router, location of a bucket or repository. It cannot be changed.
        type: str
      fields:
        description:
          - Fields as Google's REST API has them, such as C(ipCidrRange) of a subnetwork or C(versioning) of a bucket.
          - Lists are replaced as a whole, but for the C(secondaryIpRanges) of a subnetwork, to which ranges are added.
        type: dict
        default: {}
      new_fields:
        description:
          - Fields that count only when the resource is created.
        type: dict
        default: {}
  force:
    description:
      - Whether O(state=absent) deletes also what was not made here.
    type: bool
    default: false
  delete_objects:
    description:
      - Whether O(state=absent) deletes all objects of a bucket, with all their versions, and then the bucket.
      - It takes C(storage.objects.delete).
    type: bool
    default: false
  wait_timeout:
    description:
      - Seconds that each operation may take.
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
  - Needs C(get), C(create), C(update) and C(delete) of C(compute.networks), C(compute.subnetworks) and C(compute.routers)
    with C(compute.networks.updatePolicy), C(compute.globalOperations.get) and C(compute.regionOperations.get)
    (C(roles/compute.networkAdmin)); of C(iam.serviceAccounts) (C(roles/iam.serviceAccountAdmin)); of C(storage.buckets) with
    C(storage.objects.list) (C(roles/storage.admin)); of C(artifactregistry.repositories)
    (C(roles/artifactregistry.admin)). Only of the types that are used.
seealso:
  - module: modelops.serving.gcp_iam_binding
  - module: modelops.serving.gke_cluster
"""

EXAMPLES = r"""
- name: What a cluster stands on
  modelops.serving.gcp_resources:
    project: demo-project
    resources:
      - type: network
        name: serving
        new_fields: {autoCreateSubnetworks: false}
      - type: subnetwork
        name: serving
        location: us-central1
        fields:
          network: projects/demo-project/global/networks/serving
          ipCidrRange: 10.129.0.0/20
          privateIpGoogleAccess: true
          secondaryIpRanges:
            - {rangeName: pods, ipCidrRange: 192.168.64.0/20}
            - {rangeName: services, ipCidrRange: 192.168.80.0/20}
      - type: service_account
        name: gke-node-pool-sa
      - type: bucket
        name: demo-models
        location: us-central1
        fields: {versioning: {enabled: true}}
        new_fields: {iamConfiguration: {uniformBucketLevelAccess: {enabled: true}, publicAccessPrevention: enforced}}

- name: Delete the service account again
  modelops.serving.gcp_resources:
    state: absent
    project: demo-project
    resources:
      - type: service_account
        name: gke-node-pool-sa
"""

RETURN = r"""
resources:
  description: What became of each resource, in the order in which they were brought to their state.
  type: list
  elements: dict
  returned: success
  contains:
    type:
      description: What it is.
      type: str
    name:
      description: Its name.
      type: str
    changed:
      description: Whether it was changed, or in check mode would be.
      type: bool
    created:
      description: Whether it was created, or in check mode would be.
      type: bool
left:
  description: What was to be deleted and is still there, and why.
  type: list
  elements: dict
  returned: O(state=absent), on failure too
  contains:
    type:
      description: What it is.
      type: str
    name:
      description: Its name.
      type: str
    reason:
      description: Why it is there.
      type: str
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
from ansible_collections.modelops.serving.plugins.module_utils._environment.kinds import KINDS, Wanted
from ansible_collections.modelops.serving.plugins.module_utils._environment.resources import Change, Resources
from ansible_collections.modelops.serving.plugins.module_utils._gcp.operations import Operations
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError, TransferError


def argument_spec() -> dict[str, t.Any]:
    """The options of the module."""
    return {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "resources": {
            "type": "list",
            "elements": "dict",
            "required": True,
            "options": {
                "type": {"type": "str", "choices": list(KINDS), "required": True},
                "name": {"type": "str", "required": True},
                "location": {"type": "str"},
                "fields": {"type": "dict", "default": {}},
                "new_fields": {"type": "dict", "default": {}},
            },
        },
        "force": {"type": "bool", "default": False},
        "delete_objects": {"type": "bool", "default": False},
        "wait_timeout": {"type": "float", "default": 600},
        **_auth.GCP,
        **_auth.TLS,
        **_auth.CONTROL,
    }


def run(module: AnsibleModule) -> list[Change]:
    """Do it.

    :raises TransferError: it cannot be done.
    """
    params = module.params
    if not params["project"]:
        raise InputError("Which project is meant is not said.", hint="Give project, or set GCP_PROJECT.")
    wanted = [Wanted(project=params["project"], **given) for given in params["resources"]]
    client = google_client(module)
    operations = Operations(client, timeout=params["wait_timeout"])
    resources = Resources(client, operations, check=module.check_mode)
    if params["state"] == "present":
        return [resources.present(one) for one in wanted]
    options = {name: params[name] for name in ("force", "delete_objects")}
    return [resources.absent(one, **options) for one in reversed(wanted)]


def told(changes: list[Change]) -> dict[str, t.Any]:
    """What the module returns of them."""
    return {
        "changed": any(change.changed for change in changes),
        "resources": [
            {**_named(change), "changed": change.changed, "created": change.changed and not change.before}
            for change in changes
        ],
        "left": [{**_named(change), "reason": change.left} for change in changes if change.left],
        "diff": [
            {
                **dict.fromkeys(("before_header", "after_header"), change.wanted.what),
                "before": change.before,
                "after": change.after,
            }
            for change in changes
        ],
    }


def _named(change: Change) -> dict[str, str]:
    return {"type": change.wanted.type, "name": change.wanted.name}


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec=argument_spec(),
        mutually_exclusive=[("service_account_file", "service_account_contents", "access_token")],
        supports_check_mode=True,
    )
    try:
        changes = run(module)
    except TransferError as error:
        fail(module, error)
    failed = next((change.error for change in changes if change.error), None)
    if failed:
        fail(module, failed, **told(changes))
    module.exit_json(**told(changes))


if __name__ == "__main__":
    main()
