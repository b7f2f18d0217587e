#!/usr/bin/python

# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: which models are published to a cell of Saxml, and how they are."""

from __future__ import annotations

DOCUMENTATION = r"""
module: saxml_model_info
short_description: Tell which models are published to a cell of Saxml
version_added: 0.4.0
author:
  - modelops.serving contributors (@modelops)
description:
  - Lists the models that are published to the cell of an instance of M(modelops.serving.tpu_serving), with all that defines
    them, how many model servers have got and loaded each, and what one says that could not.
  - Runs C(saxutil) in the Pod that the setting C(util) of the instance makes. Never changes anything.
extends_documentation_fragment:
  - modelops.serving._attributes
  - modelops.serving._attributes.info_module
  - modelops.serving._attributes.actiongroup_serving
  - kubernetes.core.k8s_auth_options
attributes:
  async:
    support: full
options:
  instance:
    description:
      - Name of the instance whose cell it is.
    type: str
    required: true
  namespace:
    description:
      - Namespace of the instance.
    type: str
    required: true
  name:
    description:
      - Name or id of a model. All of them when it is missing.
    type: str
requirements:
  - kubernetes >= 28.1
seealso:
  - module: modelops.serving.saxml_model
  - module: modelops.serving.tpu_serving_info
"""

EXAMPLES = r"""
- name: Look at all models of a cell
  modelops.serving.saxml_model_info:
    instance: llama
    namespace: models
  register: found

- name: Show those that are not loaded as often as they should be
  ansible.builtin.debug:
    msg: "{{ item.name }}: {{ item.failure }}"
  loop: "{{ found.models }}"
  loop_control:
    label: "{{ item.name }}"
  when: item.loaded_replicas < item.replicas
"""

RETURN = r"""
models:
  description: One item per published model, by name.
  type: list
  elements: dict
  returned: success
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
      description: How many model servers have got it, whether they have loaded it yet or not.
      type: int
    loaded_replicas:
      description: How many of them say that they have loaded it, as far as their logs go back.
      type: int
    address:
      description: One of them, chosen by Saxml at random. Empty when there is none.
      type: str
      sample: 10.8.0.7:10001
    failure:
      description: What a model server says that failed to load it. Empty when enough have loaded it, or none has failed.
      type: str
error:
  description: Why the cell could not be asked.
  type: dict
  returned: failure
  contains:
    kind:
      description: Class of the error, such as V(SaxError).
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
from ansible_collections.modelops.serving.plugins.module_utils._sax.door import look


def argument_spec() -> dict[str, t.Any]:
    """The options of the module."""
    return {
        "instance": {"type": "str", "required": True},
        "namespace": {"type": "str", "required": True},
        "name": {"type": "str"},
        **auth.ARGUMENTS,
    }


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    params = module.params
    try:
        models = look(auth.connect(module), params["namespace"], params["instance"], params["name"])
    except KubeError as error:
        fail(module, error)
    module.exit_json(models=models)


if __name__ == "__main__":
    main()
