#!/usr/bin/python

# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: services (APIs) of a project of Google Cloud."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gcp_services
short_description: Enable or disable services (APIs) of a project of Google Cloud
version_added: 0.5.0
author:
  - modelops.serving contributors (@modelops)
description:
  - Enables any number of services at once, 20 with each request, or disables them, and waits until that is done.
  - The services are read first, 30 with each request, and nothing is written where all are as they should be. Services
    that are not named are left alone.
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
      - Only reads. What V(enabled) enables because a named service needs it, and what O(disable_dependents) disables, is
        not predicted.
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
      - V(enabled) enables the services, and Google with them those that they need.
      - V(disabled) disables them. Some services delete what they keep when they are disabled.
    type: str
    choices: [enabled, disabled]
    default: enabled
  services:
    description:
      - Names of the services, such as V(container.googleapis.com), or short V(container).
    type: list
    elements: str
    required: true
  disable_dependents:
    description:
      - Whether O(state=disabled) also disables services that need one of O(services). Otherwise it fails where there is
        such a service.
    type: bool
    default: false
  wait_timeout:
    description:
      - Seconds to wait for one request to be carried out. What is not done by then goes on at Google; run again to wait
        for the rest.
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
  - Needs the permission C(serviceusage.services.get), and to change something C(serviceusage.services.enable) or
    C(serviceusage.services.disable). The role C(roles/serviceusage.serviceUsageAdmin) has them.
  - The Service Usage API itself has to be enabled, as it is in new projects.
  - A service that was just enabled may be refused for some minutes more.
seealso:
  - module: modelops.serving.gcp_iam_binding
  - module: google.cloud.gcp_serviceusage_service
"""

EXAMPLES = r"""
- name: What GKE with models in Cloud Storage takes
  modelops.serving.gcp_services:
    project: demo-project
    services:
      - artifactregistry.googleapis.com
      - compute.googleapis.com
      - container.googleapis.com
      - iam.googleapis.com
      - storage.googleapis.com

- name: Disable what is no longer used
  modelops.serving.gcp_services:
    project: demo-project
    services: [tpu]
    state: disabled
"""

RETURN = r"""
services:
  description: The named services in full, and whether each is enabled, or in check mode would be.
  type: dict
  returned: success
  sample:
    compute.googleapis.com: true
    container.googleapis.com: true
changed_services:
  description: Those of the named services whose state was changed, or in check mode would be. Sorted.
  type: list
  elements: str
  returned: success
  sample: [container.googleapis.com]
error:
  description: Why the module failed.
  type: dict
  returned: failure
  contains:
    kind:
      description: Class of the error, such as V(AccessError), V(DeadlineError) or V(NotFoundError).
      type: str
    message:
      description: What happened, to which services of which project.
      type: str
    hint:
      description: What to do next.
      type: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.modelops.serving.plugins.module_utils import _auth
from ansible_collections.modelops.serving.plugins.module_utils._doors import fail, google_client
from ansible_collections.modelops.serving.plugins.module_utils._gcp.operations import Operations
from ansible_collections.modelops.serving.plugins.module_utils._gcp.services import Services, full_names
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import TransferError


def argument_spec() -> dict[str, t.Any]:
    """The options of the module."""
    return {
        "state": {"type": "str", "choices": ["enabled", "disabled"], "default": "enabled"},
        "services": {"type": "list", "elements": "str", "required": True},
        "disable_dependents": {"type": "bool", "default": False},
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
    enabled = params["state"] == "enabled"
    names = full_names(params["services"])
    client = google_client(module)
    services = Services(client, Operations(client, timeout=params["wait_timeout"]), project=params["project"])
    before = services.states(names)
    changed = [name for name in names if before[name] != enabled]
    if changed and not module.check_mode:
        if enabled:
            services.enable(changed)
        else:
            services.disable(changed, dependents=params["disable_dependents"])
    after = dict.fromkeys(names, enabled)
    header = f"services of the project {params['project']}"
    return {
        "changed": bool(changed),
        "services": after,
        "changed_services": changed,
        "diff": {"before_header": header, "after_header": header, "before": before, "after": after},
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
