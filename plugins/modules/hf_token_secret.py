#!/usr/bin/python

# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: a Hugging Face token in a Secret of Kubernetes or the secret store of a cloud."""

from __future__ import annotations

DOCUMENTATION = r"""
module: hf_token_secret
short_description: Keep a Hugging Face token in Kubernetes, Google Secret Manager or AWS Secrets Manager
version_added: 0.3.0
author:
  - modelops.serving contributors (@modelops)
description:
  - Creates the secret that holds the token, or adopts one that is there. The token is written only where another one is
    stored, so that a run without a new token adds no version.
  - Rotation is the same task with another token. It tells the ids of the old and the new version, where the store has
    versions.
  - The token is shown nowhere, neither in results nor in differences, errors and logs, and is in no file.
  - Nothing is removed without an explicit word, see O(destroy).
  - Options that belong to other stores than O(backend) are refused, except those that say how a store is reached, which
    may come from C(module_defaults).
extends_documentation_fragment:
  - modelops.serving._attributes
  - modelops.serving._attributes.actiongroup_serving
  - modelops.serving._aws
  - modelops.serving._gcp
  - modelops.serving._gcs
  - kubernetes.core.k8s_auth_options
attributes:
  check_mode:
    support: full
    details:
      - A Secret of Kubernetes is tried as a server-side dry run. The stores of the clouds are only read.
  diff_mode:
    support: full
    details:
      - Shows the secret without values; those that change are marked.
  idempotent:
    support: full
  async:
    support: full
options:
  state:
    description:
      - V(present) makes the secret hold the token.
      - V(absent) removes the secret with everything in it, see O(destroy).
    type: str
    choices: [present, absent]
    default: present
  backend:
    description:
      - The store.
    type: str
    choices: [kubernetes, gcp_secret_manager, aws_secrets_manager]
    default: kubernetes
  name:
    description:
      - Name of the secret.
    type: str
    default: huggingface-token-read
  token:
    description:
      - The token. White space around it is removed with a warning, and what cannot be a token is refused.
      - A token that does not begin with V(hf_) is stored with a warning, because hubs other than huggingface.co have
        others.
      - When no token and no token file is given, it is looked for as C(huggingface_hub) does, in E(HF_TOKEN), in the
        file E(HF_TOKEN_PATH) and in E(HF_HOME).
    type: str
    aliases: [hf_token]
  token_file:
    description:
      - File on the host the module runs on that holds the token and nothing else.
    type: path
  destroy:
    description:
      - Allows O(state=absent) to destroy what is stored. Without it the module fails when there is something to remove.
    type: bool
    default: false
  labels:
    description:
      - Labels of the secret, which are tags in AWS. Those that are there are left alone when it is missing.
      - In a cloud these are the whole of them, apart from tags of AWS itself. In Kubernetes, those of other field
        managers stay.
    type: dict
  annotations:
    description:
      - Annotations of the secret, for Kubernetes and Google. Otherwise like O(labels).
    type: dict
  keys:
    description:
      - Names under which the secret holds the token, for Kubernetes and AWS, where the secret is a JSON object. They
        become the names of files where it is mounted.
      - Other keys of a secret that is there stay as they are. In Kubernetes, a key that is left out of O(keys) again is
        removed, if it was this module that wrote it.
      - V([token, HUGGINGFACE_TOKEN]) when it is missing.
    type: list
    elements: str
  namespace:
    description:
      - Namespace of the Secret. It must be there. Required for O(backend=kubernetes), and only for that.
    type: str
  keep_versions:
    description:
      - How many versions may be used, the newest among them, for Google and AWS. The others are dealt with as
        O(old_versions) says.
      - All of them are left alone when it is missing.
      - AWS itself keeps the current version and the one before, labelled C(AWSPREVIOUS). V(1) takes this label away, so
        that AWS deletes the version. V(2) is the same as no value, and more is refused.
    type: int
  old_versions:
    description:
      - What becomes of versions beyond O(keep_versions), for Google. V(disable) when it is missing, which can be undone.
    type: str
    choices: [disable, destroy]
  locations:
    description:
      - Locations to which Google replicates a new secret. It is replicated automatically when they are missing.
    type: list
    elements: str
  kms_key:
    description:
      - Key that encrypts the secret, for Google and AWS. The key that the cloud manages is used for a new secret when it is
        missing.
      - In Google the resource name of a key of Cloud KMS, in AWS an id, ARN or alias of a key of KMS.
    type: str
  recovery_window:
    description:
      - For how many days AWS can restore the secret after O(state=absent), V(7) to V(30), or V(0) for none. V(30) when it
        is missing.
      - A secret that is scheduled for deletion counts as absent, and is restored by O(state=present).
    type: int
  readers:
    description:
      - ARNs of the principals of AWS that may read the secret, by a statement of our own in its resource policy. Other
        statements stay.
      - The policy is left alone when it is missing. An empty list removes the statement.
    type: list
    elements: str
  validate_certs:
    description:
      - Whether TLS certificates of the store are checked. They are unless this is V(false), which is for tests only.
      - For Kubernetes E(K8S_AUTH_VERIFY_SSL) is used when it is missing.
    type: bool
    aliases: [verify_ssl]
  ca_bundle:
    description:
      - File with the certificates of the authorities to trust, for Google and AWS. For Kubernetes it is O(ca_cert).
      - For AWS E(AWS_CA_BUNDLE) is used when it is missing.
    type: path
    aliases: [aws_ca_bundle]
  timeout:
    description:
      - Seconds after which the requests to Google and AWS fail as a whole. There is no limit when it is missing.
    type: float
  stall_timeout:
    description:
      - Seconds without a single byte after which a connection to Google and AWS is given up and made anew.
    type: float
    default: 30
  attempts:
    description:
      - How often one request to Google and AWS is tried before the module fails.
    type: int
    default: 6
requirements:
  - urllib3 >= 2
  - kubernetes >= 28.1, for O(backend=kubernetes)
  - google-auth, for O(backend=gcp_secret_manager)
  - boto3, for O(backend=aws_secrets_manager)
notes:
  - In Kubernetes the module needs the verbs C(get), C(create), C(patch) and C(delete) for the Secret.
  - In AWS it needs C(secretsmanager:DescribeSecret), C(secretsmanager:GetSecretValue) and C(secretsmanager:CreateSecret);
    for a new token C(secretsmanager:PutSecretValue); for O(labels) C(secretsmanager:TagResource) and
    C(secretsmanager:UntagResource); for O(kms_key) C(secretsmanager:UpdateSecret), and C(kms:Decrypt) and
    C(kms:GenerateDataKey) for the key; for O(keep_versions) C(secretsmanager:UpdateSecretVersionStage); for O(readers)
    C(secretsmanager:GetResourcePolicy), C(secretsmanager:PutResourcePolicy) and C(secretsmanager:DeleteResourcePolicy);
    for O(state=absent) C(secretsmanager:DeleteSecret); and C(secretsmanager:RestoreSecret) to restore a secret.
seealso:
  - module: modelops.serving.hf_token_info
"""

EXAMPLES = r"""
- name: Keep the token of HF_TOKEN in a namespace
  modelops.serving.hf_token_secret:
    namespace: models

- name: Keep it in Google Secret Manager, with the version before
  modelops.serving.hf_token_secret:
    backend: gcp_secret_manager
    project: my-project
    token_file: /run/secrets/huggingface-token
    labels:
      team: serving
    keep_versions: 2
  register: stored

- name: Show which version a mount can be pinned to
  ansible.builtin.debug:
    var: stored.reference

- name: Keep it in AWS Secrets Manager, where one role may read it
  modelops.serving.hf_token_secret:
    backend: aws_secrets_manager
    region: eu-central-1
    kms_key: alias/models
    readers:
      - arn:aws:iam::123456789012:role/model-server

- name: Remove it from AWS so that it can be restored for a week
  modelops.serving.hf_token_secret:
    state: absent
    backend: aws_secrets_manager
    region: eu-central-1
    destroy: true
    recovery_window: 7
"""

RETURN = r"""
created:
  description: Whether there was no such secret before. In check mode, whether it would be made.
  type: bool
  returned: success
backend:
  description: The store.
  type: str
  returned: success
  sample: aws_secrets_manager
name:
  description:
    - Full name of the secret in its store, which is the namespace and the name in Kubernetes, the resource name in Google
      and the ARN in AWS. In check mode the ARN of a secret that AWS would create is not known, and the name stands for it.
  type: str
  returned: success
  sample: models/huggingface-token-read
version:
  description:
    - Id of the version that holds the token. None for Kubernetes, which has no versions of a Secret, for O(state=absent),
      and in check mode for one that would be made.
  type: str
  returned: success
  sample: "3"
previous_version:
  description: Id of the version that held the token before, when it is replaced. Otherwise None.
  type: str
  returned: success
  sample: "2"
reference:
  description:
    - The secret with exactly this version, for a mount that is pinned. None where RV(version) is.
    - In Google it is the resource name of the version. In AWS it is the ARN, three colons and the id of the version, as
      Amazon ECS takes it.
  type: str
  returned: success
  sample: projects/my-project/secrets/huggingface-token-read/versions/3
keys:
  description: The keys that hold the token. None for Google, where the token is the whole secret.
  type: list
  elements: str
  returned: success
  sample: [token, HUGGINGFACE_TOKEN]
error:
  description: Why the module failed.
  type: dict
  returned: failure
  contains:
    kind:
      description: Class of the error, such as V(AccessError), V(InputError) or V(ApiError).
      type: str
    message:
      description: What happened, and to which secret.
      type: str
    hint:
      description: What to do next.
      type: str
"""

import importlib.util
import re
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible.module_utils.common.yaml import HAS_YAML, yaml_dump

from ansible_collections.modelops.serving.plugins.module_utils import _auth
from ansible_collections.modelops.serving.plugins.module_utils._aws.client import AwsClient, AwsOptions
from ansible_collections.modelops.serving.plugins.module_utils._aws.secrets_manager import SecretsManager
from ansible_collections.modelops.serving.plugins.module_utils._doors import (
    control_options,
    fail,
    google_client,
    hub_token,
)
from ansible_collections.modelops.serving.plugins.module_utils._gcp.secret_manager import GcpSecretManager
from ansible_collections.modelops.serving.plugins.module_utils._kube import auth
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import KubeError
from ansible_collections.modelops.serving.plugins.module_utils._token_secret.keys import check_keys
from ansible_collections.modelops.serving.plugins.module_utils._token_secret.kubernetes import KubernetesSecret
from ansible_collections.modelops.serving.plugins.module_utils._token_secret.store import Outcome, Store
from ansible_collections.modelops.serving.plugins.module_utils._transfer.control import Control
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError, TransferError

AWS = {name: option for name, option in _auth.S3.items() if name not in ("anonymous", *_auth.TLS)}

# Option -> the stores that know it.
_ONLY = {
    "annotations": ("kubernetes", "gcp_secret_manager"),
    "keys": ("kubernetes", "aws_secrets_manager"),
    "namespace": ("kubernetes",),
    "keep_versions": ("gcp_secret_manager", "aws_secrets_manager"),
    "old_versions": ("gcp_secret_manager",),
    "locations": ("gcp_secret_manager",),
    "kms_key": ("gcp_secret_manager", "aws_secrets_manager"),
    "recovery_window": ("aws_secrets_manager",),
    "readers": ("aws_secrets_manager",),
}
_RECOVERY_WINDOW = 30
# What can be sent as a bearer token: b64token of RFC 6750.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")


def argument_spec() -> dict[str, t.Any]:
    """The options of the module."""
    return {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "backend": {
            "type": "str",
            "choices": ["kubernetes", "gcp_secret_manager", "aws_secrets_manager"],
            "default": "kubernetes",
        },
        "name": {"type": "str", "default": "huggingface-token-read"},
        "token": {"type": "str", "no_log": True, "aliases": ["hf_token"]},
        "token_file": {"type": "path", "no_log": False},
        "destroy": {"type": "bool", "default": False},
        "labels": {"type": "dict"},
        "annotations": {"type": "dict"},
        "keys": {"type": "list", "elements": "str", "no_log": False},
        "namespace": {"type": "str"},
        "keep_versions": {"type": "int"},
        "old_versions": {"type": "str", "choices": ["disable", "destroy"]},
        "locations": {"type": "list", "elements": "str"},
        "kms_key": {"type": "str", "no_log": False},
        "recovery_window": {"type": "int"},
        "readers": {"type": "list", "elements": "str"},
        **AWS,
        **_auth.GCP,
        **auth.ARGUMENTS,
        **_auth.CONTROL,
        # Those of Kubernetes and of the clouds have the same name.
        "validate_certs": auth.ARGUMENTS["validate_certs"],
        "ca_bundle": _auth.TLS["ca_bundle"],
    }


def check_backend(params: t.Mapping[str, t.Any]) -> None:
    """:raises InputError: an option is given that the chosen store does not know."""
    backend = params["backend"]
    for option, backends in _ONLY.items():
        if params[option] is not None and backend not in backends:
            raise InputError(
                f"The option {option} is not for backend={backend}.",
                hint=f"Leave it out, or use it with backend={' or '.join(backends)}.",
            )


def find(module: AnsibleModule) -> str:
    """The token, which from here on is kept out of everything the module says.

    :raises InputError: there is none, it cannot be read or is not one.
    """
    token = hub_token(module)
    if token is None:
        raise InputError("There is no token to store.", hint="Give token or token_file, or set HF_TOKEN.")
    if not _TOKEN.fullmatch(token):
        raise InputError(
            "The token has characters that no token has, such as quotes.", hint="Copy it again, and nothing around it."
        )
    if not token.startswith("hf_"):
        module.warn("The token does not begin with hf_, as those of huggingface.co do. It is stored all the same.")
    return token


def aws_options(module: AnsibleModule) -> AwsOptions:
    """How AWS is reached. White space around credentials is removed, because a header cannot have it."""
    params = module.params
    given = {name: params[name] for name in AWS}
    for name in ("access_key", "secret_key", "session_token"):
        given[name] = given[name].strip() if given[name] else None
    module.no_log_values.update(given[name] for name in ("secret_key", "session_token") if given[name])
    return AwsOptions(**given, validate_certs=params["validate_certs"] is not False, ca_bundle=params["ca_bundle"])


def store(module: AnsibleModule) -> Store:
    """The store that the options describe.

    :raises InputError, KubeError: they do not fit.
    """
    params = module.params
    name, labels, annotations = params["name"], _texts(params["labels"]), _texts(params["annotations"])
    if params["backend"] == "kubernetes":
        return KubernetesSecret(
            auth.connect(module),
            name=name,
            namespace=params["namespace"],
            keys=check_keys(params["keys"]),
            labels=labels,
            annotations=annotations,
        )
    if params["backend"] == "gcp_secret_manager":
        if not params["project"]:
            raise InputError("No project of Google Cloud is given.", hint="Give project, or set GCP_PROJECT.")
        return GcpSecretManager(
            google_client(module),
            project=params["project"],
            name=name,
            labels=labels,
            annotations=annotations,
            locations=params["locations"] or (),
            kms_key=params["kms_key"],
            keep_versions=params["keep_versions"],
            old_versions=params["old_versions"] or "disable",
        )
    window = params["recovery_window"]
    return SecretsManager(
        AwsClient("secretsmanager", aws_options(module), Control(**control_options(module))),
        name=name,
        keys=check_keys(params["keys"]),
        labels=labels,
        kms_key=params["kms_key"],
        keep_versions=params["keep_versions"],
        recovery_window=_RECOVERY_WINDOW if window is None else window,
        readers=params["readers"],
    )


def _texts(given: t.Mapping[str, t.Any] | None) -> dict[str, str] | None:
    """Labels as text: ``true`` and ``1`` in YAML are not."""
    if given is None:
        return None
    return {str(key): str(value).lower() if isinstance(value, bool) else str(value) for key, value in given.items()}


def run(module: AnsibleModule) -> Outcome:
    """Do what was asked for.

    :raises TransferError, KubeError: it could not be done.
    """
    check_backend(module.params)
    if module.params["state"] == "absent":
        return store(module).absent(destroy=module.params["destroy"], check=module.check_mode)
    token = find(module)
    return store(module).present(token, check=module.check_mode)


def report(module: AnsibleModule, outcome: Outcome) -> dict[str, t.Any]:
    """The result of the module."""
    backend, present = module.params["backend"], module.params["state"] == "present"
    result: dict[str, t.Any] = {
        "changed": outcome.changed,
        "created": outcome.before is None and outcome.after is not None,
        "backend": backend,
        "name": outcome.name,
        "version": outcome.version,
        "previous_version": outcome.previous_version,
        "reference": outcome.reference,
        "keys": list(check_keys(module.params["keys"])) if backend in _ONLY["keys"] and present else None,
    }
    if module._diff and outcome.changed:
        header = f"{backend} {outcome.name}"
        before, after = (_text(side) for side in (outcome.before, outcome.after))
        result["diff"] = {"before_header": header, "after_header": header, "before": before, "after": after}
    return result


def _text(description: t.Mapping[str, t.Any] | None) -> t.Any:
    if description is None:
        return ""
    return yaml_dump(description, default_flow_style=False, width=10_000) if HAS_YAML else description


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec=argument_spec(),
        mutually_exclusive=[
            ("token", "token_file"),
            ("profile", "access_key"),
            ("service_account_file", "service_account_contents", "access_token"),
        ],
        required_together=[("access_key", "secret_key")],
        required_by={"session_token": ("access_key",), "old_versions": ("keep_versions",)},
        required_if=[("backend", "kubernetes", ("namespace",))],
        supports_check_mode=True,
    )
    if importlib.util.find_spec("urllib3") is None:
        module.fail_json(msg=missing_required_lib("urllib3 >= 2"))
    # Nothing but white space is no secret, and would make every message unreadable.
    module.no_log_values.difference_update([value for value in module.no_log_values if not value.strip()])
    try:
        outcome = run(module)
    except (TransferError, KubeError) as error:
        fail(module, error)
    for warning in outcome.warnings:
        module.warn(warning)
    module.exit_json(**report(module, outcome))


if __name__ == "__main__":
    main()
