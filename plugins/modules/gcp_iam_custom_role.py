#!/usr/bin/python

# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: a custom IAM role of a project of Google Cloud."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gcp_iam_custom_role
short_description: Create, change, bring back or delete a custom IAM role of a project of Google Cloud
version_added: 0.3.0
author:
  - modelops.serving contributors (@modelops)
description:
  - Makes a custom role grant exactly the permissions given. A role that was deleted and is still kept by Google is
    brought back.
  - Knows the permissions that mounting a bucket with Cloud Storage FUSE takes, for reading only and for writing.
  - The role is read, compared, and written only where something differs, on condition that nobody changed it meanwhile.
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
      - V(present) makes the role so. One that was deleted is brought back and then changed where it differs.
      - V(absent) deletes it. Its bindings stay without effect, and for seven days it can be brought back.
    type: str
    choices: [present, absent]
    default: present
  name:
    description:
      - The id of the role, which is 3 to 64 letters, digits, underscores and periods.
    type: str
    required: true
  preset:
    description:
      - A list of permissions with title and description that this module knows.
      - V(gcsfuse_user) reads and writes a bucket that is mounted with Cloud Storage FUSE.
      - V(gcsfuse_viewer) only reads it, which is enough for servers.
    type: str
    choices: [gcsfuse_user, gcsfuse_viewer]
  permissions:
    description:
      - All permissions of the role. Others are removed from it. Wildcards do not exist.
      - O(state=present) needs either this or O(preset).
    type: list
    elements: str
  title:
    description:
      - Title of the role. When it is missing, that of O(preset) is used, or else an existing one is left alone and a new
        role gets its O(name).
    type: str
  description:
    description:
      - Description of the role. When it is missing, that of O(preset) is used, or else an existing one is left alone.
    type: str
  stage:
    description:
      - Launch stage of the role. V(DISABLED) keeps it and its bindings without effect.
    type: str
    choices: [ALPHA, BETA, GA, DEPRECATED, DISABLED, EAP]
    default: GA
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
  - Needs the permissions C(iam.roles.get), C(iam.roles.create), C(iam.roles.update), and where roles are deleted or
    brought back C(iam.roles.delete) and C(iam.roles.undelete). The role C(roles/iam.roleAdmin) has them.
  - The id of a role that was deleted for good is free again 37 days after its deletion.
seealso:
  - module: modelops.serving.gcp_iam_binding
  - module: google.cloud.gcp_iam_role
"""

EXAMPLES = r"""
- name: The role of servers that mount the bucket of models
  modelops.serving.gcp_iam_custom_role:
    project: demo-project
    name: gcsfuse.viewer
    preset: gcsfuse_viewer
  register: viewer

- name: Grant it on the bucket
  modelops.serving.gcp_iam_binding:
    project: demo-project
    resource_type: bucket
    resource: demo-models
    bindings:
      - role: "{{ viewer.role.name }}"
        workload_identities:
          - namespace: models
            service_account: gemma-server

- name: A role of one's own
  modelops.serving.gcp_iam_custom_role:
    project: demo-project
    name: tokenRotator
    title: Token rotator
    description: Adds versions to secrets and looks at their metadata
    permissions:
      - secretmanager.secrets.get
      - secretmanager.versions.add
      - secretmanager.versions.list

- name: Delete it
  modelops.serving.gcp_iam_custom_role:
    state: absent
    project: demo-project
    name: tokenRotator
"""

RETURN = r"""
role:
  description: The role as it is, or in check mode would be. None where there is none and none is wanted.
  type: dict
  returned: success
  contains:
    name:
      description: Full name, as bindings take it.
      type: str
      sample: projects/demo-project/roles/gcsfuse.viewer
    title:
      description: Title.
      type: str
      sample: Cloud Storage FUSE viewer
    description:
      description: Description.
      type: str
    permissions:
      description: All permissions it grants, sorted.
      type: list
      elements: str
      sample: [storage.buckets.get, storage.objects.get]
    stage:
      description: Launch stage.
      type: str
      sample: GA
    deleted:
      description: Whether it is deleted and can be brought back.
      type: bool
error:
  description: Why the module failed.
  type: dict
  returned: failure
  contains:
    kind:
      description: Class of the error, such as V(AccessError), V(ConflictError) or V(InputError).
      type: str
    message:
      description: What happened, and to which role.
      type: str
    hint:
      description: What to do next.
      type: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.modelops.serving.plugins.module_utils import _auth
from ansible_collections.modelops.serving.plugins.module_utils._doors import fail, google_client
from ansible_collections.modelops.serving.plugins.module_utils._gcp.roles import (
    PRESETS,
    STAGES,
    CustomRole,
    shown,
    wanted_role,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import TransferError


def argument_spec() -> dict[str, t.Any]:
    """The options of the module."""
    return {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "name": {"type": "str", "required": True},
        "preset": {"type": "str", "choices": list(PRESETS)},
        "permissions": {"type": "list", "elements": "str"},
        "title": {"type": "str"},
        "description": {"type": "str"},
        "stage": {"type": "str", "choices": list(STAGES), "default": "GA"},
        **_auth.GCP,
        **_auth.TLS,
        **_auth.CONTROL,
    }


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Do it.

    :raises TransferError: it cannot be done.
    """
    params = module.params
    wanted = wanted_role(**{key: params[key] for key in ("preset", "permissions", "title", "description", "stage")})
    role = CustomRole(google_client(module), project=params["project"], name=params["name"])
    if params["state"] == "absent":
        before, after = role.absent(check=module.check_mode)
    else:
        before, after = role.present(wanted, check=module.check_mode)
    return {
        "changed": before != after,
        "role": shown(after),
        "diff": {
            "before_header": role.full_name,
            "after_header": role.full_name,
            "before": shown(before) or {},
            "after": shown(after) or {},
        },
    }


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec=argument_spec(),
        mutually_exclusive=[
            ("preset", "permissions"),
            ("service_account_file", "service_account_contents", "access_token"),
        ],
        required_if=[("state", "present", ("preset", "permissions"), True)],
        supports_check_mode=True,
    )
    try:
        done = run(module)
    except TransferError as error:
        fail(module, error)
    module.exit_json(**done)


if __name__ == "__main__":
    main()
