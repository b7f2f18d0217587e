#!/usr/bin/python

# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: members of the IAM policy of one resource of Google Cloud."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gcp_iam_binding
short_description: Grant or revoke IAM roles on a resource of Google Cloud
version_added: 0.3.0
author:
  - modelops.serving contributors (@modelops)
description:
  - Adds members to the allow policy of a project, a bucket, a secret, a service account, a Pub/Sub topic or subscription,
    a BigQuery dataset or an Artifact Registry repository, or removes them.
  - Only the members named here are touched. Other members and roles, other conditions, audit configurations and all
    else that the policy holds stay as they are. A role under another condition is another binding.
  - Builds the principals of Workload Identity Federation for GKE from namespaces and service accounts of Kubernetes.
  - The policy is read, compared, and written only where something differs, on condition that nobody changed it
    meanwhile. If somebody did, or if the answer was lost, it is read and compared again.
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
      - Only reads. The resource has to exist.
  diff_mode:
    support: full
    details:
      - Shows the bindings of the roles named in O(bindings).
  idempotent:
    support: full
    details:
      - Google keeps e-mail addresses in lower case, which is no difference. It keeps the alias of a user under the
        user's main address, and a warning says so.
  async:
    support: full
requirements:
  - urllib3 >= 2
  - google-auth
options:
  state:
    description:
      - V(present) grants.
      - V(absent) revokes. A binding that nobody is left in is removed. Where there is no such resource nothing is left
        to revoke, and a warning says so.
    type: str
    choices: [present, absent]
    default: present
  resource_type:
    description:
      - What the roles are granted on.
    type: str
    choices: [project, bucket, secret, service_account, topic, subscription, dataset, repository]
    required: true
  resource:
    description:
      - The short name of the resource, such as V(models), or its full name, such as
        V(projects/demo-project/secrets/hf-token), with or without C(//secretmanager.googleapis.com/) in front.
      - For a service account it is the e-mail address or the part before the C(@).
      - It may be missing for a project, which is then O(project).
    type: str
  location:
    description:
      - Region of a repository, or of a regional secret.
      - A regional secret is asked for at the API C(secretmanager.REGION.rep), which is also its name in O(endpoints).
    type: str
  bindings:
    description:
      - The roles and who has them. Any number of roles on one resource takes one request to read and at most one to
        write.
    type: list
    elements: dict
    required: true
    suboptions:
      role:
        description:
          - The full name of a role, such as V(roles/storage.objectViewer), V(projects/demo-project/roles/gcsfuse.viewer)
            or V(organizations/123456789012/roles/reader).
        type: str
        required: true
      members:
        description:
          - V(user:EMAIL), V(serviceAccount:EMAIL), V(group:EMAIL), V(domain:DOMAIN), V(allUsers),
            V(allAuthenticatedUsers), V(principal://...), V(principalSet://...), V(projectOwner:PROJECT),
            V(projectEditor:PROJECT), V(projectViewer:PROJECT), or V(serviceAccount:PROJECT.svc.id.goog[NAMESPACE/NAME]).
          - Those that Google marks with C(deleted:) can only be removed.
          - At least one of O(bindings[].members) and O(bindings[].workload_identities) has to name somebody.
        type: list
        elements: str
        default: []
      workload_identities:
        description:
          - Service accounts of Kubernetes that get the role themselves, without a service account of Google in between.
          - Each becomes the member
            C(principal://iam.googleapis.com/projects/NUMBER/locations/global/workloadIdentityPools/POOL/subject/ns/NAMESPACE/sa/NAME),
            where the pool is C(PROJECT.svc.id.goog). It stands for that service account in every cluster of the project.
        type: list
        elements: dict
        default: []
        suboptions:
          namespace:
            description:
              - Namespace of the service account.
            type: str
            required: true
          service_account:
            description:
              - Name of the service account.
            type: str
            required: true
          project:
            description:
              - Id of the project that the cluster is in. It is O(project) when it is missing.
            type: str
          project_number:
            description:
              - Number of that project. It is looked up when it is missing.
            type: str
      condition:
        description:
          - The role counts only while this is true. Not possible for V(roles/owner), V(roles/editor) and
            V(roles/viewer), on buckets without uniform bucket-level access, and on some types of resources.
          - A condition is the same only if all three of its fields are, apart from white space around them.
        type: dict
        suboptions:
          title:
            description:
              - Short name of the condition.
            type: str
            required: true
          expression:
            description:
              - The condition in Common Expression Language.
            type: str
            required: true
          description:
            description:
              - What it is for.
            type: str
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
  - "Permissions that are needed to read and to change the policy, and roles that have them:"
  - "project: C(resourcemanager.projects.getIamPolicy), C(resourcemanager.projects.setIamPolicy);
    C(roles/resourcemanager.projectIamAdmin)"
  - "bucket: C(storage.buckets.getIamPolicy), C(storage.buckets.setIamPolicy); C(roles/storage.admin)"
  - "secret: C(secretmanager.secrets.getIamPolicy), C(secretmanager.secrets.setIamPolicy); C(roles/secretmanager.admin)"
  - "service_account: C(iam.serviceAccounts.getIamPolicy), C(iam.serviceAccounts.setIamPolicy);
    C(roles/iam.serviceAccountAdmin)"
  - "topic: C(pubsub.topics.getIamPolicy), C(pubsub.topics.setIamPolicy); C(roles/pubsub.admin)"
  - "subscription: C(pubsub.subscriptions.getIamPolicy), C(pubsub.subscriptions.setIamPolicy); C(roles/pubsub.admin)"
  - "dataset: C(bigquery.datasets.get), C(bigquery.datasets.getIamPolicy), C(bigquery.datasets.update),
    C(bigquery.datasets.setIamPolicy); C(roles/bigquery.dataOwner)"
  - "repository: C(artifactregistry.repositories.getIamPolicy), C(artifactregistry.repositories.setIamPolicy);
    C(roles/artifactregistry.admin)"
  - Looking up the number of a project takes C(resourcemanager.projects.get) there.
  - The roles C(READER), C(WRITER) and C(OWNER) of datasets are told and given as C(roles/bigquery.dataViewer),
    C(roles/bigquery.dataEditor) and C(roles/bigquery.dataOwner).
  - What was granted takes up to some minutes until it counts everywhere.
seealso:
  - module: modelops.serving.gcp_iam_custom_role
  - name: Principal identifiers
    description: All forms of members.
    link: https://cloud.google.com/iam/docs/principal-identifiers
  - name: Overview of IAM Conditions
    description: What conditions can say, and on which resources.
    link: https://cloud.google.com/iam/docs/conditions-overview
"""

EXAMPLES = r"""
- name: Let the Pods of a server read a token, by Workload Identity
  modelops.serving.gcp_iam_binding:
    project: demo-project
    resource_type: secret
    resource: hf-token-read
    bindings:
      - role: roles/secretmanager.secretAccessor
        workload_identities:
          - namespace: models
            service_account: gemma-server

- name: Let servers read a bucket, those of a cluster in another project too
  modelops.serving.gcp_iam_binding:
    project: demo-project
    resource_type: bucket
    resource: demo-models
    bindings:
      - role: projects/demo-project/roles/gcsfuse.viewer
        workload_identities:
          - namespace: models
            service_account: gemma-server
          - namespace: models
            service_account: gemma-server
            project: other-project
            project_number: "123456789012"

- name: Give the nodes of a cluster what they need in the project
  modelops.serving.gcp_iam_binding:
    project: demo-project
    resource_type: project
    bindings:
      - role: "{{ item }}"
        members: [serviceAccount:tpu-nodes@demo-project.iam.gserviceaccount.com]
  loop:
    - roles/container.defaultNodeServiceAccount
    - roles/artifactregistry.reader

- name: The same in one request, which is faster
  modelops.serving.gcp_iam_binding:
    project: demo-project
    resource_type: project
    bindings:
      - role: roles/container.defaultNodeServiceAccount
        members: [serviceAccount:tpu-nodes@demo-project.iam.gserviceaccount.com]
      - role: roles/artifactregistry.reader
        members: [serviceAccount:tpu-nodes@demo-project.iam.gserviceaccount.com]

- name: Let a service account of Kubernetes act as one of Google
  modelops.serving.gcp_iam_binding:
    project: demo-project
    resource_type: service_account
    resource: model-sync@demo-project.iam.gserviceaccount.com
    bindings:
      - role: roles/iam.workloadIdentityUser
        members: ["serviceAccount:demo-project.svc.id.goog[models/model-sync]"]

- name: Grant access that expires
  modelops.serving.gcp_iam_binding:
    project: demo-project
    resource_type: project
    bindings:
      - role: roles/logging.viewer
        members: [group:on-call@example.com]
        condition:
          title: until-2027
          description: For the migration
          expression: request.time < timestamp("2027-01-01T00:00:00Z")

- name: Pull images from a repository
  modelops.serving.gcp_iam_binding:
    resource_type: repository
    resource: projects/demo-project/locations/europe-west4/repositories/images
    bindings:
      - role: roles/artifactregistry.reader
        members: [serviceAccount:tpu-nodes@demo-project.iam.gserviceaccount.com]

- name: Take a role away again
  modelops.serving.gcp_iam_binding:
    state: absent
    resource_type: bucket
    resource: demo-models
    bindings:
      - role: roles/storage.objectAdmin
        members: [user:alice@example.com]
"""

RETURN = r"""
resource:
  description: Full name of the resource, without the host of its API.
  type: str
  returned: success
  sample: projects/demo-project/secrets/hf-token-read
added:
  description: What was granted, or in check mode would be.
  type: list
  elements: dict
  returned: success
  contains: &grant
    role:
      description: The role.
      type: str
      sample: roles/secretmanager.secretAccessor
    member:
      description: The member.
      type: str
      sample: group:on-call@example.com
    condition:
      description: Title of the condition. None without one.
      type: str
removed:
  description: What was revoked, or in check mode would be.
  type: list
  elements: dict
  returned: success
  contains: *grant
bindings:
  description: The resulting bindings of the roles named in O(bindings), under whatever condition, with all their members.
  type: list
  elements: dict
  returned: success
  contains:
    role:
      description: The role.
      type: str
      sample: roles/secretmanager.secretAccessor
    members:
      description: All who have it, sorted.
      type: list
      elements: str
    condition:
      description: The C(title), C(expression) and C(description) of the condition. None without one.
      type: dict
etag:
  description: The etag of the policy. In check mode that of the policy as it is. None where there is no such resource.
  type: str
  returned: success
  sample: BwWWja0YfJA=
principals:
  description: The members that were made from O(bindings[].workload_identities), in the order given.
  type: list
  elements: str
  returned: success
  sample:
    - principal://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/demo-project.svc.id.goog/subject/ns/models/sa/gemma-server
error:
  description: Why the module failed.
  type: dict
  returned: failure
  contains:
    kind:
      description: Class of the error, such as V(AccessError), V(NotFoundError), V(ConflictError) or V(InputError).
      type: str
    message:
      description: What happened, and to which resource.
      type: str
    hint:
      description: What to do next.
      type: str
"""

import functools
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.modelops.serving.plugins.module_utils import _auth
from ansible_collections.modelops.serving.plugins.module_utils._doors import fail, google_client
from ansible_collections.modelops.serving.plugins.module_utils._gcp.bindings import (
    Outcome,
    policy_of,
    project_number,
    update,
)
from ansible_collections.modelops.serving.plugins.module_utils._gcp.policy import Grant, wanted_grants
from ansible_collections.modelops.serving.plugins.module_utils._gcp.resources import KINDS, Resource, find_resource
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import NotFoundError, TransferError


def argument_spec() -> dict[str, t.Any]:
    """The options of the module."""
    return {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "resource_type": {"type": "str", "choices": list(KINDS), "required": True},
        "resource": {"type": "str"},
        "location": {"type": "str"},
        "bindings": {
            "type": "list",
            "elements": "dict",
            "required": True,
            "options": {
                "role": {"type": "str", "required": True},
                "members": {"type": "list", "elements": "str", "default": []},
                "workload_identities": {
                    "type": "list",
                    "elements": "dict",
                    "default": [],
                    "options": {
                        "namespace": {"type": "str", "required": True},
                        "service_account": {"type": "str", "required": True},
                        "project": {"type": "str"},
                        "project_number": {"type": "str"},
                    },
                },
                "condition": {
                    "type": "dict",
                    "options": {
                        "title": {"type": "str", "required": True},
                        "expression": {"type": "str", "required": True},
                        "description": {"type": "str"},
                    },
                },
            },
        },
        **_auth.GCP,
        **_auth.TLS,
        **_auth.CONTROL,
    }


def result(resource: Resource, outcome: Outcome, principals: list[str]) -> dict[str, t.Any]:
    """The result of the module."""

    def told(grants: list[Grant]) -> list[dict[str, t.Any]]:
        return [
            {"role": grant.role, "member": grant.member, "condition": grant.condition and grant.condition.title}
            for grant in grants
        ]

    return {
        "changed": bool(outcome.added or outcome.removed),
        "resource": resource.full_name,
        "added": told(outcome.added),
        "removed": told(outcome.removed),
        "bindings": outcome.after,
        "etag": outcome.etag,
        "principals": principals,
        "diff": {
            "before_header": resource.full_name,
            "after_header": resource.full_name,
            "before": {"bindings": outcome.before},
            "after": {"bindings": outcome.after},
        },
    }


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Do it.

    :raises TransferError: it cannot be done.
    """
    params = module.params
    absent = params["state"] == "absent"
    resource = find_resource(
        params["resource_type"], params["resource"], project=params["project"], location=params["location"]
    )
    ask = functools.partial(wanted_grants, params["bindings"], project=params["project"], absent=absent)
    ask(number_of=lambda _project: "0")  # nothing is asked of Google for what cannot be right
    client = google_client(module)
    wanted, principals = ask(number_of=functools.cache(functools.partial(project_number, client)))
    try:
        outcome = update(policy_of(client, resource), client.control, wanted, absent=absent, check=module.check_mode)
    except NotFoundError as error:
        if not absent:
            raise
        module.warn(f"There is nothing to revoke: {error}")
        outcome = Outcome(added=[], removed=[], renamed=[], before=[], after=[], etag=None)
    if outcome.renamed:
        names = ", ".join(grant.member for grant in outcome.renamed)
        module.warn(f"Google keeps these members under other names, which are better given instead: {names}.")
    return result(resource, outcome, principals)


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
