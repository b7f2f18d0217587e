#!/usr/bin/python

# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: what a token of the Hugging Face Hub may read."""

from __future__ import annotations

DOCUMENTATION = r"""
module: hf_token_info
short_description: Tell who a Hugging Face token belongs to and which models it may read
version_added: 0.2.0
author:
  - modelops.serving contributors (@modelops)
description:
  - Asks the Hub who a token belongs to and which role it has, and for each model whether its files may be read now.
    That costs some small requests and spares a Job or a node that would find out much later.
  - A gated model shows its page and its list of files to everybody, so the head of a file is really asked for.
  - A token that is refused, or that may not read a model, is a result and no failure, unless O(fail_on_unusable=true).
  - The token itself is never shown.
extends_documentation_fragment:
  - modelops.serving._attributes
  - modelops.serving._attributes.info_module
  - modelops.serving._attributes.actiongroup_serving
  - modelops.serving._huggingface
  - modelops.serving._control
attributes:
  async:
    support: full
requirements:
  - urllib3 >= 2
options:
  models:
    description:
      - Repositories on the Hub that are to be read, at their branch C(main).
    type: list
    elements: str
    default: []
  fail_on_unusable:
    description:
      - Fail when RV(usable) is false, with one message that names every model that may not be read and what to do.
    type: bool
    default: false
  validate_certs:
    description:
      - Whether TLS certificates are checked. V(false) is for tests only.
    type: bool
    default: true
  ca_bundle:
    description:
      - File with the certificates of the authorities to trust, for endpoints with certificates of a private authority.
    type: path
seealso:
  - module: modelops.serving.model_sync
"""

EXAMPLES = r"""
- name: Do not begin with a token that may not read the models
  modelops.serving.hf_token_info:
    token_file: /var/run/secrets/huggingface.co/token
    models:
      - google/gemma-3-1b-it
      - Qwen/Qwen3-8B
    fail_on_unusable: true

- name: Look at the token that is set as HF_TOKEN
  modelops.serving.hf_token_info:
  register: found

- name: A token that only downloads needs no right to write
  ansible.builtin.assert:
    that: found.token.role != 'write'
"""

RETURN = r"""
token:
  description: What the Hub says of the token. None without a token, and when the Hub refuses it.
  type: dict
  returned: when the Hub was asked
  contains:
    name:
      description: Name that its owner gave the token.
      type: str
      sample: downloader
    account:
      description: User or organization the token belongs to.
      type: str
      sample: alice
    type:
      description: Kind of the account, such as V(user) or V(org).
      type: str
    role:
      description: V(read), V(write) or V(fineGrained). None when the Hub does not tell one.
      type: str
    can_read_gated_repos:
      description: Whether a fine-grained token may read gated models its account has access to. None for other roles.
      type: bool
    scopes:
      description: What a fine-grained token may do with single users, organizations and repositories.
      type: list
      elements: dict
      contains:
        entity:
          description: Name of the user, organization or repository.
          type: str
        type:
          description: What it is, such as V(user), V(org) or V(model).
          type: str
        permissions:
          description: The permissions, in the words of the Hub.
          type: list
          elements: str
          sample: [repo.content.read]
    created:
      description: When the token was made.
      type: str
      sample: "2026-01-01T00:00:00.000Z"
valid:
  description: Whether there is a token that the Hub accepts.
  type: bool
  returned: when the Hub was asked
models:
  description: One item for each of O(models), in the order given.
  type: list
  elements: dict
  returned: when the Hub was asked
  contains:
    name:
      description: The repository.
      type: str
      sample: google/gemma-3-1b-it
    access:
      description:
        - V(yes) when its files may be read now.
        - V(gated) when it is there and its files are refused, because its account has not asked for access or was
          rejected, because the token itself may not read gated models, or because there is no token.
        - V(pending) when access was asked for and its authors have not decided.
        - V(not_found) when it does not exist, or is private and not for this token.
        - V(revoked) when the Hub refuses the token, which is wrong, expired or revoked.
        - V(unknown) when the Hub did not answer. RV(models[].message) says why.
      type: str
    page:
      description: The page of the model, where access is asked for.
      type: str
      sample: https://huggingface.co/google/gemma-3-1b-it
    message:
      description: What is in the way. Empty for V(yes).
      type: str
    hint:
      description: What to do next. Empty for V(yes).
      type: str
    revision:
      description: The commit of its branch C(main), for V(yes).
      type: str
usable:
  description:
    - Whether every one of O(models) may be read. Public models need no token, but a token that is refused is refused
      for them as well.
    - Without O(models) it is the same as RV(valid).
  type: bool
  returned: when the Hub was asked
summary:
  description: All of it in a few words.
  type: str
  returned: when the Hub was asked
  sample: "The token 'downloader' (read) of the account alice may read 1 of 2 models. google/gemma-3-1b-it: pending."
error:
  description: Why the module failed.
  type: dict
  returned: failure
  contains:
    kind:
      description: Class of the error, such as V(AccessError) or V(InputError).
      type: str
    message:
      description: What happened, and where.
      type: str
    hint:
      description: What to do next.
      type: str
"""

import dataclasses
import importlib.util
import os
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.modelops.serving.plugins.module_utils import _auth
from ansible_collections.modelops.serving.plugins.module_utils._doors import control_options, fail, hub_token
from ansible_collections.modelops.serving.plugins.module_utils._hub.token import TokenInfo, look_up
from ansible_collections.modelops.serving.plugins.module_utils._transfer.control import Control
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import TransferError
from ansible_collections.modelops.serving.plugins.module_utils._transfer.hub import DEFAULT_ENDPOINT


def argument_spec() -> dict[str, t.Any]:
    """The options of the module."""
    return {
        "models": {"type": "list", "elements": "str", "default": []},
        "fail_on_unusable": {"type": "bool", "default": False},
        "validate_certs": {"type": "bool", "default": True},
        "ca_bundle": {"type": "path"},
        **_auth.HUGGINGFACE,
        **_auth.CONTROL,
    }


def report(info: TokenInfo) -> dict[str, t.Any]:
    """The result of the module."""
    return {
        "token": dataclasses.asdict(info.identity) if info.identity else None,
        "valid": info.valid,
        "models": [dataclasses.asdict(model) for model in info.models],
        "usable": info.usable,
        "summary": info.summary,
    }


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec=argument_spec(), mutually_exclusive=[("token", "token_file")], supports_check_mode=True
    )
    params = module.params
    if importlib.util.find_spec("urllib3") is None:
        module.fail_json(msg=missing_required_lib("urllib3 >= 2"))
    try:
        info = look_up(
            endpoint=params["endpoint"] or os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT,
            token=hub_token(module),
            models=params["models"],
            control=Control(**control_options(module)),
            validate_certs=params["validate_certs"],
            ca_bundle=params["ca_bundle"],
        )
    except TransferError as error:
        fail(module, error)
    if params["fail_on_unusable"] and not info.usable:
        fail(module, info.error(), **report(info))
    module.exit_json(**report(info))


if __name__ == "__main__":
    main()
