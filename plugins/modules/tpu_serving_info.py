#!/usr/bin/python

# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: which servers of models there are, and how they are."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tpu_serving_info
short_description: Tell which servers of models there are in a cluster, and what is wrong with them
version_added: 0.3.0
author:
  - modelops.serving contributors (@modelops)
description:
  - Finds the instances that M(modelops.serving.tpu_serving) has made by their labels, and tells of each one what runs,
    where it is asked, how many of its replicas are ready and what keeps the others from being so.
  - Never changes anything, and asks no server for a completion.
extends_documentation_fragment:
  - modelops.serving._attributes
  - modelops.serving._attributes.info_module
  - modelops.serving._attributes.actiongroup_serving
  - kubernetes.core.k8s_auth_options
attributes:
  async:
    support: full
options:
  namespace:
    description:
      - Namespace of the instances. All namespaces when it is missing, which needs the right to list in all of them.
    type: str
  name:
    description:
      - Name of the instance. All of them when it is missing.
    type: str
requirements:
  - kubernetes >= 28.1
seealso:
  - module: modelops.serving.tpu_serving
"""

EXAMPLES = r"""
- name: Look at all servers of a namespace
  modelops.serving.tpu_serving_info:
    namespace: models
  register: found

- name: Fail with the reason when one of them is not ready
  ansible.builtin.assert:
    that: item.ready
    fail_msg: "{{ item.status }} {{ item.problems | map(attribute='message') | join(' ') }}"
  loop: "{{ found.instances }}"
  loop_control:
    label: "{{ item.name }}"
"""

RETURN = r"""
instances:
  description: One item per instance, by namespace and name.
  type: list
  elements: dict
  returned: success
  contains:
    name:
      description: Name of the instance.
      type: str
      sample: gemma
    namespace:
      description: Its namespace.
      type: str
      sample: models
    engine:
      description: Its engine.
      type: str
      sample: vllm
    image:
      description: Image of the server.
      type: str
      sample: docker.io/vllm/vllm-tpu:v0.27.0
    endpoint:
      description: Where it is asked from inside the cluster. None when its Service is not there.
      type: str
      sample: http://gemma.models.svc:8000
    replicas:
      description: How many replicas are wanted, of Pods or of groups of them.
      type: int
    ready_replicas:
      description: How many of them are ready.
      type: int
    ready:
      description: Whether all of them are ready and run what is wanted now.
      type: bool
    status:
      description: What is not ready yet and how far it is, in words. Empty when all of it is.
      type: str
      sample: "Deployment models/gemma: 0/1 replicas available, 1 updated"
    problems:
      description: What keeps it from being ready, what does not heal by itself first.
      type: list
      elements: dict
      contains:
        reason:
          description: The reason in the words of Kubernetes.
          type: str
          sample: ErrImagePull
        object:
          description: Where it shows.
          type: str
          sample: Pod models/gemma-6d5f8c9b7-x2x8p
        message:
          description: What is wrong.
          type: str
        hint:
          description: What to do next.
          type: str
        fatal:
          description: Whether it stays so until somebody changes something.
          type: bool
        log:
          description: The end of the log, where that tells more.
          type: str
error:
  description: Why the cluster could not be asked.
  type: dict
  returned: failure
  contains:
    kind:
      description: Class of the error, such as V(ApiError).
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
from ansible_collections.modelops.serving.plugins.module_utils._endpoint.look import look
from ansible_collections.modelops.serving.plugins.module_utils._kube import auth
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import KubeError


def argument_spec() -> dict[str, t.Any]:
    """The options of the module."""
    return {"namespace": {"type": "str"}, "name": {"type": "str"}, **auth.ARGUMENTS}


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    params = module.params
    try:
        instances = look(auth.connect(module), params["namespace"], params["name"])
    except KubeError as error:
        fail(module, error)
    module.exit_json(instances=instances)


if __name__ == "__main__":
    main()
