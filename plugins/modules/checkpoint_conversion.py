#!/usr/bin/python

# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: a checkpoint converted by a Job into what JetStream or Saxml loads."""

from __future__ import annotations

DOCUMENTATION = r"""
module: checkpoint_conversion
short_description: Convert checkpoints for JetStream and Saxml with a Job in a Kubernetes cluster
version_added: 0.4.0
author:
  - modelops.serving contributors (@modelops)
description:
  - Runs a Job that makes of a model what JetStream or Saxml loads, and waits until it has ended.
  - Any command of the Job that fails makes the Job fail, and the module with it, with the end of the log and what to do next.
  - The Job ends well only if the checkpoint is whole, which C(commit_success.txt) in its folder says. That file is written
    last. A checkpoint that has it is never touched again, also by another Job.
  - A Job that has ended well is left alone as long as nothing about it changes. A Job that has failed is replaced, one that
    runs is waited for, and one that differs from what is asked for is replaced.
  - Before anything is written it is checked that the Secret holds credentials of Kaggle, that the memory is enough for the
    size of the model, and that there is a node for the Job, free or not, or an autoscaler that makes one.
extends_documentation_fragment:
  - modelops.serving._attributes
  - modelops.serving._attributes.action
  - modelops.serving._attributes.actiongroup_serving
  - kubernetes.core.k8s_auth_options
attributes:
  check_mode:
    support: full
    details:
      - Objects are sent to the API server as dry run, and everything is checked that can be. No Job runs.
  diff_mode:
    support: full
    details:
      - Shows the objects that are created, changed and deleted.
  idempotent:
    support: full
  async:
    support: full
  action:
    details:
      - The action plugin prints what the Job waits for, with a local connection, or with any connection when C(async) is used
        with a C(poll) greater than V(0).
options:
  state:
    description:
      - V(present) makes sure that the Job has run.
      - V(absent) removes the Job and what was made for it. Checkpoints stay.
    type: str
    choices: [present, absent]
    default: present
  name:
    description:
      - Name of the Job and of the service account that is made for it.
    type: str
    required: true
  namespace:
    description:
      - Namespace of the Job. It must be there.
    type: str
    required: true
  jetstream:
    description:
      - Downloads a MaxText model from Kaggle and converts it on a slice of TPUs for JetStream with MaxText.
    type: dict
    suboptions:
      model:
        description:
          - Handle of the model on Kaggle with its version, such as V(google/gemma/maxtext/7b-it/2).
        type: str
        required: true
      bucket:
        description:
          - Bucket of Cloud Storage that takes the checkpoint.
        type: str
        required: true
      secret:
        description:
          - Secret in the namespace with credentials of Kaggle, as C(kaggle.json) or as C(username) and C(key).
        type: str
        required: true
      accelerator:
        description:
          - The slice that the conversion runs on, which must be on one host.
        type: dict
        required: true
        suboptions:
          generation:
            description:
              - Of TPUs, such as V(v5e), or a value of the label C(cloud.google.com/gke-tpu-accelerator), a machine type or
                an accelerator type.
            type: str
            required: true
          topology:
            description:
              - Sides of the slice, such as V(2x4).
            type: str
          chips:
            description:
              - Chips of the slice, instead of O(jetstream.accelerator.topology).
            type: int
          machine_type:
            description:
              - Says whether a slice 2x4 of v5e or v6e is one host of 8 chips or two of 4.
            type: str
          capacity:
            description:
              - Where the node comes from. V(queued) is flex-start by a ProvisioningRequest.
            type: str
            choices: [on_demand, spot, reservation, flex_start, queued, compute_class]
            default: on_demand
          reservation:
            description:
              - Name of the reservation, with O(jetstream.accelerator.capacity=reservation) and only there.
            type: str
          reservation_project:
            description:
              - Project of a shared reservation.
            type: str
          max_run_duration:
            description:
              - Seconds that nodes may live with V(flex_start) and V(queued), at most 604800.
            type: int
          compute_class:
            description:
              - Name of the ComputeClass, with O(jetstream.accelerator.capacity=compute_class) and only there.
            type: str
      image:
        description:
          - Image with C(checkpoint_converter.sh), bash and gcloud.
        type: str
        default: us-docker.pkg.dev/cloud-tpu-images/inference/inference-checkpoint:v0.2.4
  saxml:
    description:
      - Makes a Pax checkpoint for Saxml of Llama 2 as Meta gives it, C(*.pth).
    type: dict
    suboptions:
      size:
        description:
          - Size of the model, which says what memory and disk its conversion takes, 60, 120 or 600 GB of memory.
        type: str
        choices: [7b, 13b, 70b]
        required: true
      source:
        description:
          - Folder with the C(*.pth) files, as C(gs://bucket/path).
        type: str
        required: true
      destination:
        description:
          - Folder in which the folder of the checkpoint is made, as C(gs://bucket/path).
        type: str
        required: true
      folder:
        description:
          - Name of the folder of the checkpoint.
        type: str
        default: checkpoint_00000000
      module:
        description:
          - Module of Python in the image that converts, as C(convert_llama_ckpt) of Saxml does.
        type: str
        default: convert_llama_ckpt
      memory:
        description:
          - Memory limit in GB, when it is to be more than what O(saxml.size) takes.
        type: int
      node_memory:
        description:
          - Memory in GB of the nodes that the Job runs on, when these are not there yet. When missing, the nodes of the
            cluster that O(saxml.node_selector) selects are looked at.
        type: int
      node_selector:
        description:
          - Labels of the nodes to run on.
        type: dict
        default: {}
      tolerations:
        description:
          - Taints that the Pod tolerates.
        type: list
        elements: dict
        default: []
      image:
        description:
          - Image of your own with O(saxml.module), paxml, bash and gcloud, with a tag that does not move, or a digest.
        type: str
        required: true
  service_account:
    description:
      - Service account of the Pod, which may read and write the buckets. When missing, one is made.
    type: str
  service_account_annotations:
    description:
      - Annotations of the service account that is made, such as C(iam.gke.io/gcp-service-account).
    type: dict
    default: {}
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
  deadline:
    description:
      - Seconds after which Kubernetes ends the Job, which has failed then.
    type: int
  check_nodes:
    description:
      - Whether it is checked before a Job is made that the cluster has a node that can hold it, free or not, or an autoscaler
        that can make one.
    type: bool
    default: true
  wait:
    description:
      - Whether to wait until the Job has ended, or is gone.
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds to wait. The Job goes on when they are over.
    type: int
    default: 7200
  progress_file:
    description:
      - File on the host the module runs on to which what is waited for is appended, one JSON object per line. It is created
        with mode V(0600) and is not touched in check mode.
    type: path
  force_conflicts:
    description:
      - Whether fields are taken over that others manage.
    type: bool
    default: false
  render_to:
    description:
      - Directory on the host the module runs on, one for each conversion. The objects are written there as files, for
        GitOps, and the cluster is left alone.
    type: path
  argo:
    description:
      - Whether rendered files carry annotations for waves and hooks of Argo CD, which then runs the Job at each sync.
    type: bool
    default: false
requirements:
  - kubernetes >= 28.1
seealso:
  - module: modelops.serving.tpu_serving
  - module: modelops.serving.model_sync_job
"""

EXAMPLES = r"""
- name: Convert Gemma for JetStream
  modelops.serving.checkpoint_conversion:
    name: gemma-7b-it
    namespace: serving
    jetstream:
      model: google/gemma/maxtext/7b-it/2
      bucket: models-tpu
      secret: kaggle
      accelerator:
        generation: v5e
        topology: 2x4
        capacity: spot
    service_account_annotations:
      iam.gke.io/gcp-service-account: models@example.iam.gserviceaccount.com

- name: Convert Llama 2 for Saxml, on nodes that a node pool makes when they are asked for
  modelops.serving.checkpoint_conversion:
    name: llama-70b
    namespace: serving
    saxml:
      size: 70b
      source: gs://models-tpu/llama-2-70b
      destination: gs://models-tpu/pax/llama-2-70b
      node_memory: 768
      node_selector:
        node.kubernetes.io/instance-type: n2-highmem-96
      image: europe-docker.pkg.dev/example/images/saxml-converter:1
    service_account: models
    deadline: 21600
    wait_timeout: 21600

- name: Remove the Job
  modelops.serving.checkpoint_conversion:
    name: gemma-7b-it
    namespace: serving
    state: absent
"""

RETURN = r"""
checkpoint:
  description: Folder of the checkpoint.
  type: str
  returned: O(state=present)
  sample: gs://models-tpu/final/unscanned/gemma_7b-it/0/checkpoints/0/items
complete:
  description:
    - Whether the Job has ended well. V(false) with O(wait=false) while it runs, in check mode when a Job would run, and with
      O(render_to).
  type: bool
  returned: O(state=present)
objects:
  description: What happened, or in check mode would happen, to each object.
  type: list
  elements: dict
  returned: success, or when it failed after something was changed
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
error:
  description: Why the module failed.
  type: dict
  returned: failure
  contains:
    kind:
      description: Class of the error, such as V(InputError), V(ApiError) or V(WaitError).
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

from ansible_collections.modelops.serving.plugins.module_utils._conversion.door import Door
from ansible_collections.modelops.serving.plugins.module_utils._doors import fail
from ansible_collections.modelops.serving.plugins.module_utils._kube import auth
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import KubeError
from ansible_collections.modelops.serving.plugins.module_utils._serving.conversion import LLAMA_SIZES, LOADER_IMAGE
from ansible_collections.modelops.serving.plugins.module_utils._tpu.capacity import KINDS
from ansible_collections.modelops.serving.plugins.module_utils._tpu.errors import TpuError
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import TransferError


def argument_spec() -> dict[str, t.Any]:
    """The options of the module."""
    needed = {"type": "str", "required": True}
    mapping = {"type": "dict", "default": {}}
    return {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "name": needed,
        "namespace": needed,
        "jetstream": {
            "type": "dict",
            "options": {
                "model": needed,
                "bucket": needed,
                "secret": {**needed, "no_log": False},
                "accelerator": {
                    "type": "dict",
                    "required": True,
                    "options": {
                        "generation": needed,
                        "topology": {"type": "str"},
                        "chips": {"type": "int"},
                        "machine_type": {"type": "str"},
                        "capacity": {"type": "str", "choices": list(KINDS), "default": "on_demand"},
                        "reservation": {"type": "str"},
                        "reservation_project": {"type": "str"},
                        "max_run_duration": {"type": "int"},
                        "compute_class": {"type": "str"},
                    },
                    "mutually_exclusive": [("topology", "chips")],
                },
                "image": {"type": "str", "default": LOADER_IMAGE},
            },
        },
        "saxml": {
            "type": "dict",
            "options": {
                "size": {**needed, "choices": list(LLAMA_SIZES)},
                "source": needed,
                "destination": needed,
                "folder": {"type": "str", "default": "checkpoint_00000000"},
                "module": {"type": "str", "default": "convert_llama_ckpt"},
                "memory": {"type": "int"},
                "node_memory": {"type": "int"},
                "node_selector": mapping,
                "tolerations": {"type": "list", "elements": "dict", "default": []},
                "image": needed,
            },
        },
        "service_account": {"type": "str"},
        "service_account_annotations": mapping,
        "image_pull_policy": {"type": "str", "choices": ["Always", "IfNotPresent", "Never"], "default": "IfNotPresent"},
        "image_pull_secrets": {"type": "list", "elements": "str", "default": [], "no_log": False},
        "deadline": {"type": "int"},
        "check_nodes": {"type": "bool", "default": True},
        "wait": {"type": "bool", "default": True},
        "wait_timeout": {"type": "int", "default": 7200},
        "progress_file": {"type": "path"},
        "force_conflicts": {"type": "bool", "default": False},
        "render_to": {"type": "path"},
        "argo": {"type": "bool", "default": False},
        **auth.ARGUMENTS,
    }


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec=argument_spec(),
        mutually_exclusive=[("jetstream", "saxml")],
        required_if=[("state", "present", ("jetstream", "saxml"), True), ("argo", True, ("render_to",))],
        supports_check_mode=True,
    )
    door = Door(module)
    try:
        result = door.absent() if module.params["state"] == "absent" else door.present()
    except (KubeError, TpuError, TransferError) as error:
        fail(module, t.cast(KubeError, error), **door.result)  # all three tell the same way
    module.exit_json(**result)


if __name__ == "__main__":
    main()
