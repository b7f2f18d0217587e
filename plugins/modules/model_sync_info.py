#!/usr/bin/python

# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: what lies where models should be."""

from __future__ import annotations

DOCUMENTATION = r"""
module: model_sync_info
short_description: Tell whether copies of models are complete, partial, absent or corrupt
version_added: 0.1.0
author:
  - modelops.serving contributors (@modelops)
description:
  - Looks at the places that M(modelops.serving.model_sync) writes to and compares what is there with the completion
    manifest.
  - Never changes anything, and does not ask the source of a model.
extends_documentation_fragment:
  - modelops.serving._attributes
  - modelops.serving._attributes.info_module
  - modelops.serving._attributes.actiongroup_serving
  - modelops.serving._destinations
  - modelops.serving._control
attributes:
  async:
    support: full
options:
  names:
    description:
      - Names of the models. Each is looked for at each of the O(destinations).
    type: list
    elements: str
    required: true
    aliases: [name]
  verify:
    description:
      - Read every file back and compare its SHA-256 with the manifest. Otherwise sizes and ETags are compared, which
        takes two requests per model.
    type: bool
    default: false
  side_by_side:
    description:
      - Look at the revision that C(.model-sync/current.json) names, for models that were synced with
        O(modelops.serving.model_sync#module:side_by_side).
    type: bool
    default: false
seealso:
  - module: modelops.serving.model_sync
"""

EXAMPLES = r"""
- name: Look at two models in two places
  modelops.serving.model_sync_info:
    names:
      - google/gemma-3-1b-it
      - Qwen/Qwen3-8B
    destinations:
      - bucket: models
        prefix: hub
      - type: local
        path: /mnt/models
  register: found

- name: Do not go on without complete copies
  ansible.builtin.assert:
    that: found.tally.complete == found.models | length

- name: Read everything back, as a nightly check
  modelops.serving.model_sync_info:
    names: [google/gemma-3-1b-it]
    destinations:
      - bucket: models
        prefix: hub
    verify: true
"""

RETURN = r"""
models:
  description: One item per model and destination, in the order given.
  type: list
  elements: dict
  returned: always
  contains:
    name:
      description: Name of the model.
      type: str
      sample: google/gemma-3-1b-it
    url:
      description: Where it lies.
      type: str
      sample: s3://models/hub/google/gemma-3-1b-it/
    status:
      description:
        - V(complete) when the manifest is there and everything is as it says.
        - V(partial) when a run began and did not finish.
        - V(absent) when no model was ever synced there, or it was removed.
        - V(corrupt) when files are missing or are not what the manifest says, or when the manifest cannot be read.
      type: str
    revision:
      description: The revision that is there, or for V(partial) the one that the unfinished run was to bring.
      type: str
    current_revision:
      description: The revision that the pointer names, with O(side_by_side=true).
      type: str
    revisions:
      description: All revisions that are there, with O(side_by_side=true).
      type: list
      elements: str
    source:
      description: Where the copy came from, without credentials.
      type: dict
    started:
      description: When the run began that made the copy.
      type: str
      sample: "2026-11-21T09:30:00Z"
    finished:
      description: When it was complete.
      type: str
      sample: "2026-11-21T09:34:12Z"
    tool:
      description: What made the copy.
      type: str
    files:
      description: Number of files that belong to the model.
      type: int
    files_present:
      description: How many of them are there.
      type: int
    bytes:
      description: Size of the model. None when that is not known.
      type: int
    bytes_present:
      description: Size of those of its files that are there.
      type: int
    unmanaged:
      description: Number of other files there, which nobody touches.
      type: int
    verified:
      description: Whether every file was read back.
      type: bool
    holder:
      description:
        - Process and host that hold the lease of a run that has not finished. It is at work, or was killed. None when
          nobody is at work there.
      type: str
      sample: process 4711 on worker-1
    shards:
      description:
        - Of a run that several processes share, and that has not published yet, how far it has come. None otherwise.
      type: dict
      contains:
        done:
          description: How many of the processes have moved and verified their share.
          type: int
        count:
          description: How many processes share the run.
          type: int
    problems:
      description: What makes it V(corrupt).
      type: dict
      contains:
        count:
          description: How many.
          type: int
        first:
          description: The first of them, in words.
          type: list
          elements: str
tally:
  description: How many of RV(models) are V(complete), V(partial), V(absent) and V(corrupt).
  type: dict
  returned: success
  sample: {complete: 2, partial: 0, absent: 1, corrupt: 0}
error:
  description: Why a destination could not be looked at.
  type: dict
  returned: failure
  contains:
    kind:
      description: Class of the error, such as V(AccessError) or V(NotFoundError).
      type: str
    message:
      description: What happened, and where.
      type: str
    hint:
      description: What to do next.
      type: str
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.modelops.serving.plugins.module_utils import _auth
from ansible_collections.modelops.serving.plugins.module_utils._doors import control_options, fail
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import TransferError
from ansible_collections.modelops.serving.plugins.module_utils._transfer.run import run_inspect

STATUSES = ("complete", "partial", "absent", "corrupt")


def argument_spec() -> dict[str, t.Any]:
    """The options of the module."""
    return {
        "names": {"type": "list", "elements": "str", "required": True, "aliases": ["name"]},
        "destinations": _auth.DESTINATIONS_OPTION,
        "verify": {"type": "bool", "default": False},
        "side_by_side": {"type": "bool", "default": False},
        **_auth.CONTROL,
    }


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    params = module.params
    models: list[dict[str, t.Any]] = []
    try:
        destinations = _auth.destinations_data(module, params["destinations"])
        options = {**control_options(module), "side_by_side": params["side_by_side"]}
        begun = time.monotonic()
        for name in params["names"]:
            if params["timeout"] is not None:
                options["timeout"] = max(0.001, params["timeout"] - (time.monotonic() - begun))
            request = {"name": name, "destinations": destinations, "options": options}
            models += run_inspect(request, verify=params["verify"])
    except TransferError as error:
        fail(module, error, models=models)
    statuses = [model["status"] for model in models]
    module.exit_json(models=models, tally={status: statuses.count(status) for status in STATUSES})


if __name__ == "__main__":
    main()
