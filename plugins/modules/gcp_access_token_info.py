#!/usr/bin/python

# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: an access token of Google Cloud."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gcp_access_token_info
short_description: Get an access token of Google Cloud, as the API server of a cluster of GKE takes it
version_added: 0.5.0
author:
  - modelops.serving contributors (@modelops)
description:
  - Makes an access token from the credentials in use, whatever they are. It is good for up to an hour.
  - With it modules for Kubernetes reach a cluster of GKE without a kubeconfig, and without gcloud on the host.
  - The result is a credential. Set C(no_log) on the task.
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
seealso:
  - module: modelops.serving.gke_cluster
  - module: modelops.serving.kube_objects
"""

EXAMPLES = r"""
- name: Get a token
  modelops.serving.gcp_access_token_info:
  no_log: true
  register: token

- name: Make a namespace in a cluster that the module gke_cluster told of
  modelops.serving.kube_objects:
    host: "https://{{ gke.cluster.dns_endpoint }}"
    api_key: "{{ token.access_token }}"
    definitions: {apiVersion: v1, kind: Namespace, metadata: {name: models}}
"""

RETURN = r"""
access_token:
  description: The token.
  type: str
  returned: success
error:
  description: Why the module failed.
  type: dict
  returned: failure
  contains:
    kind:
      description: Class of the error, such as V(AccessError) or V(InputError).
      type: str
    message:
      description: What happened.
      type: str
    hint:
      description: What to do next.
      type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.modelops.serving.plugins.module_utils import _auth
from ansible_collections.modelops.serving.plugins.module_utils._doors import fail, google_client
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import TransferError


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec={**_auth.GCP, **_auth.TLS, **_auth.CONTROL},
        mutually_exclusive=[("service_account_file", "service_account_contents", "access_token")],
        supports_check_mode=True,
    )
    try:
        token = google_client(module).access_token()
    except TransferError as error:
        fail(module, error)
    # What Ansible hides of the options is the result here.
    module.no_log_values.discard(token)
    module.exit_json(changed=False, access_token=token)


if __name__ == "__main__":
    main()
