#!/usr/bin/python

# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: a model sync that runs as a Job in a cluster."""

from __future__ import annotations

DOCUMENTATION = r"""
module: model_sync_job
short_description: Keep verified copies of a model with a Job in a Kubernetes cluster
version_added: 0.2.0
author:
  - modelops.serving contributors (@modelops)
description:
  - Runs the engine of M(modelops.serving.model_sync) as a Job, or as a CronJob when O(schedule) is given, so that the
    bytes flow between source and destinations without passing this host.
  - The Pod runs from a stock Python image. The engine comes with a ConfigMap, its requirements are pinned and installed
    at start, unless the image has them. It runs as a user without rights, with a read-only root file system, streams
    through bounded memory and needs no volume.
  - A Job that has ended well is left alone as long as nothing about it changes. For a model of the Hub that includes the
    commit that the branch points to. A Job that has failed is replaced, one that runs is waited for.
  - While it waits, the action plugin shows the progress of the Pods. When something goes wrong it says what, with the
    cause as Kubernetes and the engine report it, the tail of the log, and what to do next.
extends_documentation_fragment:
  - modelops.serving._attributes
  - modelops.serving._attributes.action
  - modelops.serving._attributes.actiongroup_serving
  - modelops.serving._source.job
  - modelops.serving._destinations.job
  - modelops.serving._sync
  - modelops.serving._control
  - modelops.serving._notify
  - kubernetes.core.k8s_auth_options
attributes:
  check_mode:
    support: full
    details:
      - Objects are sent to the API server as dry run. No Job runs, and a passcode is not used up.
  diff_mode:
    support: full
    details:
      - Shows the objects that are created, changed and deleted. Values of Secrets are hidden.
  idempotent:
    support: partial
    details:
      - With O(run=always) a Job runs each time.
  async:
    support: full
  action:
    details:
      - The action plugin prints what the Job waits for and one line of progress per O(interval), with a local
        connection, or with any connection when C(async) is used with a C(poll) greater than V(0).
options:
  state:
    description:
      - V(present) makes sure that the Job has run, or that the CronJob is there.
      - V(absent) removes the Job or CronJob and everything made for it from the namespace. Copies of the model stay, and
        so does the entry in O(storage_config) by which they are read.
    type: str
    choices: [present, absent]
    default: present
  name:
    description:
      - Name of the model, which is also its path below the prefix of each destination.
      - The repository id when missing, the handle on Kaggle without its version, or the last part of the path of another
        source.
    type: str
  namespace:
    description:
      - Namespace of the Job. It must be there.
    type: str
    required: true
  job_name:
    description:
      - Name of the Job or CronJob and of everything made for it. Made from O(name) when it is missing.
    type: str
  source_secret:
    description:
      - Secret in the namespace that describes the source with keys such as C(S3_SYNC_SRC__PATH),
        C(S3_SYNC_COS_BUCKET) or C(S3_SYNC_LOCAL_UPLOAD_COMPLETE), as the C(model-source) Secret of the OpenShift AI
        examples does. See the README of the role P(modelops.serving.model_sync#role) for all of them.
      - A temporary passcode in it is exchanged once, on this host, before anything else happens.
    type: str
  data_connection:
    description:
      - Secret in the namespace that holds a data connection of OpenShift AI, with the keys C(AWS_S3_BUCKET),
        C(AWS_S3_ENDPOINT), C(AWS_ACCESS_KEY_ID), C(AWS_SECRET_ACCESS_KEY) and C(AWS_DEFAULT_REGION). It is the
        destination, in place of O(destinations).
    type: str
  data_connection_prefix:
    description:
      - Below which keys models lie in the bucket of O(data_connection).
    type: str
    default: models
  storage_config:
    description:
      - Secret that is made or completed with the credentials of O(data_connection), in the form that KServe reads.
        The entry has the name of the data connection. Other entries stay.
    type: str
  token_secret:
    description:
      - Secret in the namespace with the access token of the Hub.
    type: dict
    suboptions:
      name:
        description:
          - Name of the Secret.
        type: str
        required: true
      key:
        description:
          - Key of the token.
        type: str
        default: token
      mount:
        description:
          - How the Pod gets it. V(standard) is the file that huggingface_hub looks for with C(HF_TOKEN_PATH),
            V(jetstream_pytorch) the file that JetStream PyTorch reads, V(env) the variable C(HF_TOKEN), V(custom) the
            file O(token_secret.path).
        type: str
        choices: [standard, jetstream_pytorch, env, custom]
        default: standard
      path:
        description:
          - Absolute path of the file with O(token_secret.mount=custom).
        type: str
  token_secret_provider_class:
    description:
      - C(SecretProviderClass) in the namespace with the access token of the Hub, such as
        M(modelops.serving.secret_provider_class) makes, in place of O(token_secret). The token comes into the Pod when it
        starts, and is in no Secret of the cluster.
      - The service account of the Pods needs the right to read it. On GKE that is C(roles/secretmanager.secretAccessor) for
        the principal of O(service_account) in this namespace, which has to be one that is there already or the one that is
        made under the name of the Job.
      - Nobody but the Pods sees this token. So the commit of a branch is looked up by them, which means that a branch that
        moved is not noticed here, and O(check_token) checks nothing. Give the revision of the source, or O(run=always).
    type: dict
    version_added: 0.3.0
    suboptions:
      name:
        description:
          - Name of the class.
        type: str
        default: huggingface-token-read
      provider:
        description:
          - Provider of the class, which says what CSI driver mounts it. V(gke) is the managed add-on of GKE, V(aws) the AWS
            Secrets and Configuration Provider.
        type: str
        choices: [gke, aws]
        required: true
      paths:
        description:
          - The files of the class that hold the token. The one that O(token_secret_provider_class.mount) needs has to be
            among them.
        type: list
        elements: str
        default: [token, HUGGINGFACE_TOKEN]
      mount:
        description:
          - How the Pod gets it, as for O(token_secret.mount).
        type: str
        choices: [standard, jetstream_pytorch, custom]
        default: standard
      path:
        description:
          - Absolute path of the file with O(token_secret_provider_class.mount=custom).
        type: str
  check_token:
    description:
      - Whether the Hub is asked, before a Job is created or replaced, if the token may read the model. When it may not,
        because the model is gated or not there or the token was revoked, nothing is created, and the message says why and
        what to do. A Hub that cannot be reached from here is a warning.
      - Needs a token that is known here, from the source or from a Secret. With O(schedule) and O(render_to) nothing is
        checked.
    type: bool
    default: true
    version_added: 0.3.0
  parallelism:
    description:
      - How many Pods share the files of the model, in one Indexed Job. The copy is complete when the last of them has
        ended. Needs Kubernetes 1.22.
    type: int
    default: 1
  schedule:
    description:
      - When the sync runs, in the notation of cron. Makes a CronJob in place of the Job, which nobody waits for.
    type: str
  suspend:
    description:
      - Whether the CronJob pauses.
    type: bool
    default: false
  run:
    description:
      - V(changed) runs a Job when none has ended well for exactly what is asked for now.
      - V(always) runs one in any case, which finds little to do when the copies are complete.
    type: str
    choices: [changed, always]
    default: changed
  image:
    description:
      - Image of the Pods with Python 3.11 or newer as C(python3).
    type: str
    default: docker.io/library/python:3.13.9-slim-bookworm
  image_pull_policy:
    description:
      - When the image is pulled.
    type: str
    choices: [Always, IfNotPresent, Never]
    default: IfNotPresent
  image_pull_secrets:
    description:
      - Names of Secrets for the registry.
    type: list
    elements: str
    default: []
  install_requirements:
    description:
      - Whether the pinned requirements of the engine are installed when a Pod starts. Not needed where the image has them.
    type: bool
    default: true
  index_url:
    description:
      - Package index to install from, such as a mirror in an offline environment.
    type: str
  trusted_host:
    description:
      - Host of O(index_url) that is used without TLS or with a certificate that is not checked.
    type: str
  cpu:
    description:
      - CPU limit of a Pod.
    type: str
    default: "1"
  memory:
    description:
      - Memory limit of a Pod. When missing it is computed from O(workers) and O(part_size), C(512Mi) for their defaults,
        whatever the size of the model.
    type: str
  platform:
    description:
      - On V(openshift) user and group ids are left to the namespace, elsewhere the Pod asks for 65532.
    type: str
    choices: [kubernetes, openshift]
    default: kubernetes
  env:
    description:
      - More environment variables of the Pods, such as C(HTTPS_PROXY). They are not secret.
    type: dict
    default: {}
  node_selector:
    description:
      - Labels of the nodes to run on.
    type: dict
    default: {}
  tolerations:
    description:
      - Taints that the Pods tolerate.
    type: list
    elements: dict
    default: []
  labels:
    description:
      - More labels of the Pods.
    type: dict
    default: {}
  annotations:
    description:
      - Annotations of the Pods.
    type: dict
    default: {}
  service_account:
    description:
      - Service account of the Pods. When missing, one is made that has no rights.
    type: str
  service_account_annotations:
    description:
      - Annotations of the service account that is made, such as C(eks.amazonaws.com/role-arn) or
        C(iam.gke.io/gcp-service-account).
    type: dict
    default: {}
  backoff_limit:
    description:
      - How many Pods may fail. Each goes on where the one before ended.
    type: int
    default: 3
  ttl_seconds_after_finished:
    description:
      - Seconds after which the cluster removes a Job that has ended. The next run of this module then starts it again.
    type: int
  wait:
    description:
      - Whether to wait until the Job has ended.
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds to wait. The Job goes on when they are over.
    type: int
    default: 7200
  force_conflicts:
    description:
      - Whether fields are taken over that others manage.
    type: bool
    default: false
  render_to:
    description:
      - Directory on the host the module runs on, one for each model. The objects are written there as files, for GitOps,
        and the cluster is left alone. Credentials must be in Secrets then.
    type: path
  argo:
    description:
      - Whether rendered files carry annotations for waves and hooks of Argo CD, which then runs the Job at each sync.
    type: bool
    default: false
requirements:
  - kubernetes >= 28.1
seealso:
  - module: modelops.serving.model_sync
  - module: modelops.serving.model_sync_info
"""

EXAMPLES = r"""
- name: Copy a gated model from the Hub to a bucket, from inside the cluster
  modelops.serving.model_sync_job:
    namespace: models
    source:
      repo: google/gemma-3-1b-it
    token_secret:
      name: huggingface-token-read
    destinations:
      - bucket: models
        prefix: hub
        region: eu-central-1
    service_account_annotations:
      eks.amazonaws.com/role-arn: arn:aws:iam::111122223333:role/model-sync

- name: Share a large model between four Pods
  modelops.serving.model_sync_job:
    namespace: models
    source:
      repo: meta-llama/Llama-3.1-405B-Instruct
      revision: be673f326cab4cd22ccfef76109faf68e41aa5f1
    destinations:
      - type: gcs
        bucket: models-tpu
    parallelism: 4
    wait_timeout: 14400

- name: Fill the data connection of an OpenShift AI project from what the Secret model-source says
  modelops.serving.model_sync_job:
    name: aligned-granite
    namespace: demo
    platform: openshift
    source_secret: model-source
    data_connection: demo-models
    storage_config: storage-config

- name: Take the token from Google Secret Manager, for Pods on GKE
  modelops.serving.model_sync_job:
    namespace: models
    source:
      repo: google/gemma-3-1b-it
      revision: dcc83ea841ab6100d6b47a070329e1ba4cf78752
    token_secret_provider_class:
      name: huggingface-token-read
      provider: gke
    service_account: model-sync
    destinations:
      - type: gcs
        bucket: models-tpu

- name: Keep a copy current, and tell Slack when that fails
  modelops.serving.model_sync_job:
    namespace: models
    schedule: "17 3 * * *"
    source:
      repo: google/gemma-3-1b-it
    token_secret:
      name: huggingface-token-read
    destinations:
      - bucket: models
        endpoint_url: https://minio.example.com
        credentials_secret: minio-models
    notify:
      - type: slack
        url: "{{ vault_slack_webhook }}"
        "on": [failure]

- name: Write the objects as files for Argo CD
  modelops.serving.model_sync_job:
    namespace: models
    source:
      repo: google/gemma-3-1b-it
    token_secret:
      name: huggingface-token-read
    destinations:
      - bucket: models
    render_to: gitops/models
    argo: true

- name: Remove the Job and what was made for it
  modelops.serving.model_sync_job:
    name: google/gemma-3-1b-it
    namespace: models
    state: absent
"""

RETURN = r"""
name:
  description: Name of the model.
  type: str
  returned: success
job:
  description: Name of the Job or CronJob.
  type: str
  returned: success
  sample: model-sync-google-gemma-3-1b-it-0b0e7c2a
objects:
  description: What happened, or in check mode would happen, to each object.
  type: list
  elements: dict
  returned: success
  contains:
    api_version:
      description: Version of the API.
      type: str
    kind:
      description: Kind of the object.
      type: str
    name:
      description: Name of the object.
      type: str
    namespace:
      description: Namespace of the object.
      type: str
    action:
      description: V(none), V(create), V(update), V(replace) or V(delete).
      type: str
revision:
  description: The commit that was asked for, or the revision that the engine found.
  type: str
  returned: O(state=present)
result:
  description:
    - What the engine says of the last run in the Pods, with the counts of M(modelops.serving.model_sync). None when
      nobody waited, or when the Pods are gone.
  type: dict
  returned: O(state=present)
  contains:
    changed:
      description: Whether anything was written.
      type: bool
    failed:
      description: Whether a destination failed.
      type: bool
    revision:
      description: The revision.
      type: str
    destinations:
      description: The destinations with their C(url), C(status) and counts.
      type: list
      elements: dict
    error:
      description: Why the run as a whole failed.
      type: dict
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.modelops.serving.plugins.module_utils import _auth
from ansible_collections.modelops.serving.plugins.module_utils._doors import SYNC, control_options, fail, sync_options
from ansible_collections.modelops.serving.plugins.module_utils._kube import auth
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import KubeError
from ansible_collections.modelops.serving.plugins.module_utils._mounts import PATHS
from ansible_collections.modelops.serving.plugins.module_utils._sync_job.door import Door
from ansible_collections.modelops.serving.plugins.module_utils._sync_job.spec import IMAGE
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import TransferError


def argument_spec() -> dict[str, t.Any]:
    """The options of the module."""
    mapping = {"type": "dict", "default": {}}
    names = {"type": "list", "elements": "str", "default": []}
    return {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "name": {"type": "str"},
        "namespace": {"type": "str", "required": True},
        "job_name": {"type": "str"},
        "source": _auth.JOB_SOURCE_OPTION,
        "source_secret": {"type": "str", "no_log": False},
        "destinations": _auth.JOB_DESTINATIONS_OPTION,
        "data_connection": {"type": "str"},
        "data_connection_prefix": {"type": "str", "default": "models"},
        "storage_config": {"type": "str"},
        "token_secret": {
            "type": "dict",
            "no_log": False,
            "options": {
                "name": {"type": "str", "required": True},
                "key": {"type": "str", "default": "token", "no_log": False},
                "mount": {
                    "type": "str",
                    "choices": ["standard", "jetstream_pytorch", "env", "custom"],
                    "default": "standard",
                },
                "path": {"type": "str"},
            },
            "required_if": [("mount", "custom", ("path",))],
        },
        "token_secret_provider_class": {
            "type": "dict",
            "no_log": False,
            "options": {
                "name": {"type": "str", "default": "huggingface-token-read"},
                "provider": {"type": "str", "choices": ["gke", "aws"], "required": True},
                "paths": {"type": "list", "elements": "str", "default": [*PATHS]},
                "mount": {
                    "type": "str",
                    "choices": ["standard", "jetstream_pytorch", "custom"],
                    "default": "standard",
                },
                "path": {"type": "str"},
            },
            "required_if": [("mount", "custom", ("path",))],
        },
        "check_token": {"type": "bool", "default": True, "no_log": False},
        "parallelism": {"type": "int", "default": 1},
        "schedule": {"type": "str"},
        "suspend": {"type": "bool", "default": False},
        "run": {"type": "str", "choices": ["changed", "always"], "default": "changed"},
        "image": {"type": "str", "default": IMAGE},
        "image_pull_policy": {"type": "str", "choices": ["Always", "IfNotPresent", "Never"], "default": "IfNotPresent"},
        "image_pull_secrets": {**names, "no_log": False},
        "install_requirements": {"type": "bool", "default": True},
        "index_url": {"type": "str"},
        "trusted_host": {"type": "str"},
        "cpu": {"type": "str", "default": "1"},
        "memory": {"type": "str"},
        "platform": {"type": "str", "choices": ["kubernetes", "openshift"], "default": "kubernetes"},
        "env": mapping,
        "node_selector": mapping,
        "tolerations": {"type": "list", "elements": "dict", "default": []},
        "labels": mapping,
        "annotations": mapping,
        "service_account": {"type": "str"},
        "service_account_annotations": mapping,
        "backoff_limit": {"type": "int", "default": 3},
        "ttl_seconds_after_finished": {"type": "int"},
        "notify": _auth.NOTIFY_OPTION,
        "wait": {"type": "bool", "default": True},
        "wait_timeout": {"type": "int", "default": 7200},
        "force_conflicts": {"type": "bool", "default": False},
        "render_to": {"type": "path"},
        "argo": {"type": "bool", "default": False},
        **SYNC,
        **_auth.CONTROL,
        **auth.ARGUMENTS,
    }


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec=argument_spec(),
        mutually_exclusive=[
            ("source", "source_secret"),
            ("destinations", "data_connection"),
            ("token_secret", "token_secret_provider_class"),
        ],
        required_one_of=[("name", "source", "job_name")],
        required_if=[("state", "present", ("source", "source_secret"), True), ("argo", True, ("render_to",))],
        required_by={"storage_config": ("data_connection",)},
        supports_check_mode=True,
    )
    try:
        door = Door(module, {**control_options(module), **sync_options(module)})
        result = door.present() if module.params["state"] == "present" else door.absent()
    except (KubeError, TransferError) as error:
        fail(module, error, **getattr(error, "result", None) or {})
    module.exit_json(**result)


if __name__ == "__main__":
    main()
