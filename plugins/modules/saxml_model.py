#!/usr/bin/python

# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: a model that is published to a cell of Saxml, and loaded."""

from __future__ import annotations

DOCUMENTATION = r"""
module: saxml_model
short_description: Publish a model to a cell of Saxml and see it loaded
version_added: 0.4.0
author:
  - modelops.serving contributors (@modelops)
description:
  - Publishes a model to the cell of an instance that M(modelops.serving.tpu_serving) has made with
    O(modelops.serving.tpu_serving#module:engine=saxml) and the setting C(util), updates it, or takes it out of the cell.
  - Waits until as many model servers as wanted have loaded the model. When they do not, the module says why, as the model
    servers, the cell and Kubernetes tell it.
  - What is published is read from the cell each time. Where nothing differs, the module only reads.
  - Saxml can change nothing but the number of replicas of a published model. For any other change, such as of
    O(overrides), the model is unpublished and published anew, and requests for it fail until it is loaded again. A model
    that has to be served without a break is published under a second name before the first one is removed.
  - The module runs C(saxutil) in the Pod that the setting C(util) makes, which needs the right to get and create
    C(pods/exec), and reads the logs of the model servers, which needs the right to get C(pods/log).
extends_documentation_fragment:
  - modelops.serving._attributes
  - modelops.serving._attributes.actiongroup_serving
  - kubernetes.core.k8s_auth_options
attributes:
  check_mode:
    support: full
    details:
      - The cell is only asked what it has.
  diff_mode:
    support: full
    details:
      - Shows the definition of the model, and whether it is replaced.
  idempotent:
    support: full
  async:
    support: full
options:
  state:
    description:
      - V(present) makes sure that the model is published as described.
      - V(absent) makes sure that it is not. An instance that is not there publishes nothing.
    type: str
    choices: [present, absent]
    default: present
  name:
    description:
      - Name of the model in its cell, such as V(llama7b), or its id such as V(/sax/test/llama7b).
      - Small letters, digits, V(-) and V(_). The first one is a letter.
    type: str
    required: true
  instance:
    description:
      - Name of the instance of M(modelops.serving.tpu_serving) whose cell it is.
    type: str
    required: true
  namespace:
    description:
      - Namespace of the instance.
    type: str
    required: true
  model_path:
    description:
      - The class of the model servers that describes the model, such as
        V(saxml.server.pax.lm.params.lm_cloud.LLaMA7BFP16TPUv5e).
      - Required if O(state=present).
    type: str
  checkpoint:
    description:
      - Where the checkpoint lies, such as V(gs://models/llama-2-7b/checkpoint_00000000). V(None) for one of random numbers, with
        classes that are made for tests.
      - Required if O(state=present).
    type: str
  replicas:
    description:
      - How many model servers are to serve it. Each serves one model at a time.
    type: int
    default: 1
  overrides:
    description:
      - Attributes of the class O(model_path) that are to have other values, such as C(BATCH_SIZE) and the list V([1, 2, 4]).
      - Types have to be those of the class. Values that templates make are text unless Ansible keeps their type.
    type: dict
    default: {}
  wait:
    description:
      - Whether to wait until the model is loaded by O(replicas) model servers.
      - A model server whose log does not go back to when it loaded the model counts as one that has, if this task did not change
        the model.
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds for that.
    type: int
    default: 900
requirements:
  - kubernetes >= 28.1
seealso:
  - module: modelops.serving.saxml_model_info
  - module: modelops.serving.tpu_serving
  - name: Saxml
    description: Models that come with Saxml and how they are published.
    link: https://github.com/google/saxml
"""

EXAMPLES = r"""
- name: Publish Llama 2 7B to the cell of the instance llama
  modelops.serving.saxml_model:
    name: llama7b
    instance: llama
    namespace: models
    model_path: saxml.server.pax.lm.params.lm_cloud.LLaMA7BFP16TPUv5e
    checkpoint: gs://models/llama-2-7b/checkpoint_00000000
    overrides:
      BATCH_SIZE: [1, 2, 4]

- name: Take it out of the cell
  modelops.serving.saxml_model:
    name: llama7b
    instance: llama
    namespace: models
    state: absent
"""

RETURN = r"""
cell:
  description: The cell of the instance.
  type: str
  returned: when the instance is there
  sample: /sax/llama
actions:
  description: What was done, or would be, in this order. Empty when nothing was.
  type: list
  elements: str
  returned: always
  sample: [unpublish, publish]
model:
  description: The model as it is published now, or would be. None with O(state=absent).
  type: dict
  returned: always
  contains:
    name:
      description: Its id.
      type: str
      sample: /sax/llama/llama7b
    model_path:
      description: The class that describes it.
      type: str
    checkpoint:
      description: Where its checkpoint lies.
      type: str
    replicas:
      description: How many model servers are to serve it.
      type: int
    overrides:
      description: Attributes of the class that have other values.
      type: dict
    assigned_replicas:
      description: How many model servers have got it, whether they have loaded it yet or not. Not in check mode.
      type: int
    loaded_replicas:
      description: How many of them say in their log that they have loaded it. Not in check mode.
      type: int
    address:
      description: One of them, chosen by Saxml at random. Empty when there is none. Not in check mode.
      type: str
      sample: 10.8.0.7:10001
error:
  description: What went wrong.
  type: dict
  returned: failure
  contains:
    kind:
      description: Class of the error, such as V(WaitError).
      type: str
    message:
      description: What happened.
      type: str
    hint:
      description: What to do next.
      type: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.modelops.serving.plugins.module_utils._doors import fail
from ansible_collections.modelops.serving.plugins.module_utils._kube import auth
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import KubeError
from ansible_collections.modelops.serving.plugins.module_utils._sax.door import Door


def argument_spec() -> dict[str, t.Any]:
    """The options of the module."""
    return {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "name": {"type": "str", "required": True},
        "instance": {"type": "str", "required": True},
        "namespace": {"type": "str", "required": True},
        "model_path": {"type": "str"},
        "checkpoint": {"type": "str"},
        "replicas": {"type": "int", "default": 1},
        "overrides": {"type": "dict", "default": {}},
        "wait": {"type": "bool", "default": True},
        "wait_timeout": {"type": "int", "default": 900},
        **auth.ARGUMENTS,
    }


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec=argument_spec(),
        required_if=[("state", "present", ("model_path", "checkpoint"))],
        supports_check_mode=True,
    )
    door = Door(module)
    try:
        result = door.absent() if module.params["state"] == "absent" else door.present()
    except KubeError as error:
        fail(module, error, **door.result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
