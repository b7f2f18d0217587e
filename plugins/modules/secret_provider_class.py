#!/usr/bin/python

# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: the SecretProviderClass by which Pods get a token from a cloud's store of secrets."""

from __future__ import annotations

DOCUMENTATION = r"""
module: secret_provider_class
short_description: Let Pods mount a token from Google Secret Manager or AWS Secrets Manager
version_added: 0.3.0
author:
  - modelops.serving contributors (@modelops)
description:
  - Manages a C(SecretProviderClass) of the Secrets Store CSI driver. Pods that mount it get one secret as files, fetched
    from the cloud with the rights of their service account when they start. The cluster stores no copy of the secret,
    and this module never sees its value.
  - By default the token is there as C(token), which huggingface_hub reads, and as C(HUGGINGFACE_TOKEN), which JetStream
    PyTorch reads. The filter P(modelops.serving.hf_token_mount#filter) and the option
    O(modelops.serving.model_sync_job#module:token_secret_provider_class) mount it.
  - Fails before anything is changed when the API server does not serve the kind.
extends_documentation_fragment:
  - modelops.serving._attributes
  - modelops.serving._attributes.actiongroup_serving
  - kubernetes.core.k8s_auth_options
attributes:
  check_mode:
    support: full
    details:
      - The object is sent to the API server as dry run.
  diff_mode:
    support: full
  idempotent:
    support: full
  async:
    support: full
options:
  state:
    description:
      - V(present) makes the class so.
      - V(absent) removes it. Pods that run keep what they have mounted, new ones do not start. Where the API server does
        not serve the kind there is nothing to remove. The secret itself is left alone.
    type: str
    choices: [present, absent]
    default: present
  name:
    description:
      - Name of the class. By convention V(huggingface-token-read) holds a token that may only read, and
        C(huggingface-token-write) one that may write, which nothing of this collection asks for.
    type: str
    default: huggingface-token-read
  namespace:
    description:
      - Namespace of the class and of the Pods that mount it. It must be there.
    type: str
    required: true
  provider:
    description:
      - Where the secret is. V(gke) is Google Secret Manager with the managed add-on of GKE, V(aws) is AWS Secrets Manager
        with the AWS Secrets and Configuration Provider.
      - Required with O(state=present).
    type: str
    choices: [gke, aws]
  secret:
    description:
      - The secret in its store. With O(provider=gke) its id, together with O(project), or its full name such as
        C(projects/my-project/secrets/hf-token), which may end with C(/versions/7), or be one of a region with
        C(/locations/REGION). With O(provider=aws) its name or ARN.
      - With O(provider=aws) the secret has to be a JSON object with one key for each of O(paths), as
        M(modelops.serving.hf_token_secret) writes it.
      - Required with O(state=present).
    type: str
  project:
    description:
      - Google Cloud project of the secret.
    type: str
  version:
    description:
      - Which version of the secret is mounted. With O(provider=gke) its number or an alias. With O(provider=aws) its id or
        a staging label.
      - When missing it is V(latest) with O(provider=gke) and V(AWSCURRENT) with O(provider=aws), so that Pods that start
        after a rotation get the new token.
    type: str
  paths:
    description:
      - Names of the files that hold the token.
    type: list
    elements: str
    default: [token, HUGGINGFACE_TOKEN]
  region:
    description:
      - AWS region of the secret. When missing it is that of the ARN, or else that of the node.
    type: str
  use_pod_identity:
    description:
      - Whether the provider of AWS takes the rights from EKS Pod Identity. Otherwise it takes them from the role that
        C(eks.amazonaws.com/role-arn) of the service account names.
    type: bool
    default: false
  labels:
    description:
      - Labels of the class.
    type: dict
    default: {}
  annotations:
    description:
      - Annotations of the class.
    type: dict
    default: {}
  force_conflicts:
    description:
      - Whether fields are taken over that others manage.
    type: bool
    default: false
requirements:
  - kubernetes >= 28.1
notes:
  - The service account of the Pods needs the right to read the secret. On Google Cloud that is
    C(roles/secretmanager.secretAccessor) on the secret, for the principal of the service account; see
    M(modelops.serving.gcp_iam_binding). On AWS it is C(secretsmanager:GetSecretValue) and
    C(secretsmanager:DescribeSecret).
  - On GKE the cluster needs Workload Identity Federation and the Secret Manager add-on
    (C(gcloud container clusters update CLUSTER --location=LOCATION --enable-secret-manager)).
seealso:
  - module: modelops.serving.hf_token_secret
  - module: modelops.serving.gcp_iam_binding
  - plugin: modelops.serving.hf_token_mount
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Let Pods on GKE mount the token
  modelops.serving.secret_provider_class:
    namespace: models
    provider: gke
    project: my-project
    secret: huggingface-hub-access-token-read

- name: Keep to one version of it
  modelops.serving.secret_provider_class:
    namespace: models
    provider: gke
    secret: projects/my-project/secrets/huggingface-hub-access-token-read/versions/7

- name: Let Pods on EKS mount the token, with EKS Pod Identity
  modelops.serving.secret_provider_class:
    namespace: models
    provider: aws
    secret: huggingface/read
    region: eu-central-1
    use_pod_identity: true

- name: Give a server the token in the file it looks for
  modelops.serving.secret_provider_class:
    name: huggingface-token-my-server
    namespace: models
    provider: gke
    project: my-project
    secret: huggingface-hub-access-token-read
    paths: [my.token]
"""

RETURN = r"""
name:
  description: Name of the class.
  type: str
  returned: success
namespace:
  description: Its namespace.
  type: str
  returned: success
paths:
  description: The files that hold the token.
  type: list
  elements: str
  returned: success and O(state=present)
driver:
  description: The CSI driver that Pods mount the class with.
  type: str
  returned: success and O(state=present)
  sample: secrets-store-gke.csi.k8s.io
error:
  description: Why the module failed.
  type: dict
  returned: failure
  contains:
    kind:
      description: Class of the error, such as V(InputError) or V(ConflictError).
      type: str
    message:
      description: What happened, and to which object.
      type: str
    hint:
      description: What to do next.
      type: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.modelops.serving.plugins.module_utils import _secret_provider_class as spc
from ansible_collections.modelops.serving.plugins.module_utils._doors import fail
from ansible_collections.modelops.serving.plugins.module_utils._kube import auth
from ansible_collections.modelops.serving.plugins.module_utils._kube.apply import (
    ApplyOptions,
    Change,
    apply,
    diff,
    remove,
)
from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Client, Ref
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import KubeError
from ansible_collections.modelops.serving.plugins.module_utils._mounts import DRIVERS, PATHS
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError, TransferError

# Options that mean something with one provider only.
_OWN = {"gke": ("project",), "aws": ("region", "use_pod_identity")}


def argument_spec() -> dict[str, t.Any]:
    """The options of the module."""
    return {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "name": {"type": "str", "default": "huggingface-token-read"},
        "namespace": {"type": "str", "required": True},
        "provider": {"type": "str", "choices": ["gke", "aws"]},
        "secret": {"type": "str", "no_log": False},
        "project": {"type": "str"},
        "version": {"type": "str"},
        "paths": {"type": "list", "elements": "str", "default": [*PATHS]},
        "region": {"type": "str"},
        "use_pod_identity": {"type": "bool", "default": False},
        "labels": {"type": "dict", "default": {}},
        "annotations": {"type": "dict", "default": {}},
        "force_conflicts": {"type": "bool", "default": False},
        **auth.ARGUMENTS,
    }


def build(params: t.Mapping[str, t.Any]) -> spc.Object:
    """The object that the options describe.

    :raises InputError: they do not fit together.
    """
    provider, secret, paths = params["provider"], params["secret"], params["paths"]
    for other, names in _OWN.items():
        for name in names:
            if other != provider and params[name]:
                raise InputError(f"{name} is for the provider {other}, and provider is {provider}.")
    if provider == "gke":
        parameters = spc.gke_parameters(secret, paths, project=params["project"], version=params["version"])
    else:
        parameters = spc.aws_parameters(
            secret,
            paths,
            version=params["version"],
            region=params["region"],
            use_pod_identity=params["use_pod_identity"],
        )
    texts = {key: {name: str(value) for name, value in params[key].items()} for key in ("labels", "annotations")}
    return spc.build(params["name"], params["namespace"], provider, parameters, **texts)


def present(module: AnsibleModule, client: Client) -> list[Change]:
    """Make the class so.

    :raises InputError: an option is wrong, or the API server does not serve the kind.
    :raises KubeError: the API server refused.
    """
    params = module.params
    wanted = build(params)
    if not client.serves(spc.API_VERSION, spc.KIND):
        raise InputError(
            f"The API server at {client.host} does not serve {spc.KIND} ({spc.API_VERSION}), so"
            f" {params['namespace']}/{params['name']} cannot be made.",
            hint=spc.INSTALL[params["provider"]],
        )
    return apply(client, [wanted], ApplyOptions(force_conflicts=params["force_conflicts"], check=module.check_mode))


def absent(module: AnsibleModule, client: Client) -> list[Change]:
    """Remove the class.

    :raises KubeError: the API server refused.
    """
    ref = Ref(spc.API_VERSION, spc.KIND, module.params["name"], module.params["namespace"])
    return remove(client, [ref], check=module.check_mode)


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec=argument_spec(),
        required_if=[("state", "present", ("provider", "secret"))],
        supports_check_mode=True,
    )
    params = module.params
    result: dict[str, t.Any] = {"name": params["name"], "namespace": params["namespace"]}
    try:
        client = auth.connect(module)
        changes = (present if params["state"] == "present" else absent)(module, client)
    except (KubeError, TransferError) as error:
        fail(module, error)
    if params["state"] == "present":
        result |= {"paths": params["paths"], "driver": DRIVERS[params["provider"]]}
    for warning in dict.fromkeys(warning for change in changes for warning in change.warnings):
        module.warn(warning)
    if module._diff:
        result["diff"] = diff(changes)
    module.exit_json(changed=any(change.action != "none" for change in changes), **result)


if __name__ == "__main__":
    main()
