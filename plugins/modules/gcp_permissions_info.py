#!/usr/bin/python

# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: which permissions the account has on resources of Google Cloud."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gcp_permissions_info
short_description: Tell which permissions the account lacks on resources of Google Cloud
version_added: 0.5.0
author:
  - modelops.serving contributors (@modelops)
description:
  - Asks Google which of the named permissions the account has that is used here, with one request per resource, so that
    what is missing is known before anything is changed.
  - A missing permission is a result and no failure, unless O(fail_on_missing=true).
extends_documentation_fragment:
  - modelops.serving._attributes
  - modelops.serving._attributes.info_module
  - modelops.serving._attributes.actiongroup_serving
  - modelops.serving._gcp
  - modelops.serving._gcs
  - modelops.serving._control
attributes:
  async:
    support: full
requirements:
  - urllib3 >= 2
  - google-auth
options:
  needs:
    description:
      - What is needed, and where. A resource may be named several times, with another role each time.
    type: list
    elements: dict
    required: true
    suboptions:
      resource_type:
        description:
          - What the permissions are needed on.
        type: str
        choices: [project, bucket, secret, service_account, topic, subscription, repository]
        required: true
      resource:
        description:
          - Its short name, such as V(models), or its full name, such as V(projects/demo-project/secrets/hf-token).
          - For a service account it is the e-mail address or the part before the C(@).
          - It may be missing for a project, which is then O(project).
        type: str
      location:
        description:
          - Region of a repository, or of a regional secret.
        type: str
      permissions:
        description:
          - The permissions, such as V(storage.buckets.create).
        type: list
        elements: str
        required: true
      role:
        description:
          - A role that has these permissions. It is named where one of them is missing, and not looked at otherwise.
        type: str
      may_be_absent:
        description:
          - Whether nothing is missing where there is no such resource, as where it is still to be made.
        type: bool
        default: false
  fail_on_missing:
    description:
      - Fail when RV(satisfied) is false, with one message that names every missing permission and its resource.
    type: bool
    default: false
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
  - Needs no permission. The API of the resources has to be enabled, that of projects is
    C(cloudresourcemanager.googleapis.com).
  - On a project count permissions that come from it, its folders and its organization. What is only granted on a bucket has
    to be asked for on the bucket, as what the owners of a project may do with its buckets.
seealso:
  - module: modelops.serving.gcp_iam_binding
  - name: Test permissions
    description: What the answer says, and what it does not.
    link: https://cloud.google.com/iam/docs/testing-permissions
"""

EXAMPLES = r"""
- name: Do not begin without the permissions that it takes
  modelops.serving.gcp_permissions_info:
    project: demo-project
    needs:
      - resource_type: project
        permissions: [serviceusage.services.enable]
        role: roles/serviceusage.serviceUsageAdmin
      - resource_type: bucket
        resource: demo-models
        permissions: [storage.objects.create, storage.objects.delete]
        role: roles/storage.objectUser
    fail_on_missing: true

- name: Look at what may be done in a project
  modelops.serving.gcp_permissions_info:
    project: demo-project
    needs:
      - resource_type: project
        permissions: [container.clusters.create, compute.networks.create]
  register: found
"""

RETURN = r"""
satisfied:
  description: Whether nothing is missing.
  type: bool
  returned: success
messages:
  description: One sentence or two for each of O(needs) that is not met, with the resource, the permissions and the role.
  type: list
  elements: str
  returned: success
  sample:
    - >-
      On the project projects/demo-project the account lacks the permission serviceusage.services.enable. The role
      roles/serviceusage.serviceUsageAdmin has what is missing.
needs:
  description: What was found out about each of O(needs), in order.
  type: list
  elements: dict
  returned: success
  contains:
    resource:
      description: Full name of the resource.
      type: str
      sample: projects/demo-project
    exists:
      description: Whether there is such a resource. Google does not always say that there is none.
      type: bool
    permissions:
      description: The permissions asked for.
      type: list
      elements: str
    missing:
      description: Those that the account lacks.
      type: list
      elements: str
    role:
      description: The role as given. None where there is none.
      type: str
error:
  description: Why the module failed.
  type: dict
  returned: failure
  contains:
    kind:
      description: Class of the error, such as V(AccessError) or V(InputError).
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
from ansible_collections.modelops.serving.plugins.module_utils._gcp.permissions import TESTABLE, Need, find_missing
from ansible_collections.modelops.serving.plugins.module_utils._gcp.resources import find_resource
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import AccessError, TransferError


def argument_spec() -> dict[str, t.Any]:
    """The options of the module."""
    return {
        "needs": {
            "type": "list",
            "elements": "dict",
            "required": True,
            "options": {
                "resource_type": {"type": "str", "choices": list(TESTABLE), "required": True},
                "resource": {"type": "str"},
                "location": {"type": "str"},
                "permissions": {"type": "list", "elements": "str", "required": True},
                "role": {"type": "str"},
                "may_be_absent": {"type": "bool", "default": False},
            },
        },
        "fail_on_missing": {"type": "bool", "default": False},
        **_auth.GCP,
        **_auth.TLS,
        **_auth.CONTROL,
    }


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Do it.

    :raises TransferError: it cannot be told, or something is missing and that is to fail.
    """
    params = module.params
    needs = [
        Need(
            find_resource(
                need["resource_type"], need["resource"], project=params["project"], location=need["location"]
            ),
            tuple(need["permissions"]),
            need["role"],
            need["may_be_absent"],
        )
        for need in params["needs"]
    ]
    findings = find_missing(google_client(module), needs)
    messages = [finding.message for finding in findings if finding.message]
    if messages and params["fail_on_missing"]:
        raise AccessError(" ".join(messages), hint="Have them granted, or use another account.")
    return {
        "changed": False,
        "satisfied": not messages,
        "messages": messages,
        "needs": [
            {
                "resource": finding.need.resource.full_name,
                "exists": finding.exists,
                "permissions": list(finding.need.permissions),
                "missing": finding.missing,
                "role": finding.need.role,
            }
            for finding in findings
        ],
    }


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
