#!/usr/bin/python

# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: verified, complete copies of a model."""

from __future__ import annotations

DOCUMENTATION = r"""
module: model_sync
short_description: Keep verified copies of a model in object stores and directories
version_added: 0.1.0
author:
  - modelops.serving contributors (@modelops)
description:
  - Copies a model from the Hugging Face Hub, Kaggle, a bucket or a directory to one or more buckets and directories, reading
    the source once.
  - Every file is checked against the hash that the source gives for it, and again against what the destination says it
    holds. Only then a completion manifest is written, as the last object. A destination without one is not complete.
  - Bytes flow from source to destination through bounded memory. Nothing is staged on disk.
  - A run that was interrupted is resumed by the next one, inside of large files too. Only one run at a time can change
    a destination.
extends_documentation_fragment:
  - modelops.serving._attributes
  - modelops.serving._attributes.action
  - modelops.serving._attributes.actiongroup_serving
  - modelops.serving._source
  - modelops.serving._destinations
  - modelops.serving._sync
  - modelops.serving._control
  - modelops.serving._notify
attributes:
  check_mode:
    support: full
    details:
      - Asks source and destinations what is there and predicts exactly. Sends no request that writes.
  diff_mode:
    support: full
    details:
      - Shows revisions, how many files are added, updated and removed at each destination, and the first of their names.
  idempotent:
    support: full
  async:
    support: full
  action:
    details:
      - The action plugin prints one line of progress per O(interval), with a local connection, or with any connection
        when C(async) is used with a C(poll) greater than V(0). It prints nothing for tasks with C(no_log).
      - Where the output of Ansible is a pipe and not a terminal, as in many CI systems, set E(PYTHONUNBUFFERED) to V(1)
        for C(ansible-playbook) to see the lines while they are news.
options:
  state:
    description:
      - V(present) makes every destination a complete copy.
      - V(absent) removes the model from every destination. Files that this module did not write stay.
    type: str
    choices: [present, absent]
    default: present
  name:
    description:
      - Name of the model, which is also its path below the prefix of each destination.
      - The repository id when missing, the handle on Kaggle without its version, or the last part of the path of another
        source.
      - Required for O(state=absent) when there is no O(source) to take it from.
    type: str
notes:
  - A task that is killed leaves a state that the next run goes on from. It stops in an orderly way on C(SIGTERM).
  - Values given with the task keyword C(environment) are shown by Ansible itself with C(-vvv). Give secrets as options,
    which are never shown, or in the environment of Ansible.
seealso:
  - module: modelops.serving.model_sync_info
"""

EXAMPLES = r"""
- name: Check what was uploaded with other tools, and mark it as complete
  modelops.serving.model_sync:
    name: our-team/tuned-gemma
    source:
      type: in_place
    destinations:
      - bucket: models
        prefix: hub

- name: Copy a gated model from the Hub to a bucket
  modelops.serving.model_sync:
    source:
      repo: google/gemma-3-1b-it
      token: "{{ vault_hf_token }}"
    destinations:
      - bucket: models
        prefix: hub

- name: Pin the commit, leave out other formats, keep two copies
  modelops.serving.model_sync:
    source:
      repo: google/gemma-3-1b-it
      revision: dcc83ea841ab6100d6b47a070329e1ba4cf78752
      token_file: /run/secrets/hf-token
      ignore_patterns: ["*.gguf", original/]
    destinations:
      - type: s3
        endpoint_url: https://s3.eu-de.cloud-object-storage.appdomain.cloud
        bucket: models
        access_key: "{{ vault_cos_access_key }}"
        secret_key: "{{ vault_cos_secret_key }}"
      - type: gcs
        bucket: models-tpu
    prune: true

- name: Copy a checkpoint from Kaggle, after its terms were accepted there
  modelops.serving.model_sync:
    source:
      type: kaggle
      repo: google/gemma/maxtext/7b-it/2
      kaggle_config: ~/.kaggle/kaggle.json
    destinations:
      - type: gcs
        bucket: models-tpu

- name: Promote a model from one bucket to another
  modelops.serving.model_sync:
    name: google/gemma-3-1b-it
    source:
      type: s3
      bucket: models-staging
      prefix: google/gemma-3-1b-it
    destinations:
      - bucket: models-production
    side_by_side: true

- name: Copy a large model with live progress, also over slow connections
  modelops.serving.model_sync:
    source:
      repo: meta-llama/Llama-3.1-405B-Instruct
    destinations:
      - type: local
        path: /mnt/models
    interval: 30
  async: 86400
  poll: 30

- name: Remove a model
  modelops.serving.model_sync:
    name: google/gemma-3-1b-it
    destinations:
      - bucket: models
        prefix: hub
    state: absent
"""

RETURN = r"""
name:
  description: Name of the model, as used in the paths of the destinations.
  type: str
  returned: success, or when a destination failed
  sample: google/gemma-3-1b-it
revision:
  description:
    - Commit of the repository, or a digest over the files of another source. None when the model was removed.
  type: str
  returned: success, or when a destination failed
  sample: dcc83ea841ab6100d6b47a070329e1ba4cf78752
destinations:
  description: What happened, or in check mode would happen, at each destination, in the order given.
  type: list
  elements: dict
  returned: success, or when a destination failed
  contains:
    url:
      description: Where the model lies.
      type: str
      sample: s3://models/hub/google/gemma-3-1b-it/
    changed:
      description: Whether anything was changed here.
      type: bool
    status:
      description:
        - V(complete), V(partial), V(absent) or V(corrupt) after the run. In check mode, what it is now.
      type: str
    revision:
      description: The revision that was asked for.
      type: str
    previous_revision:
      description: The revision that was complete here before.
      type: str
    files:
      description: Number of files of the model.
      type: int
    bytes:
      description: Size of the model.
      type: int
    added:
      description: Files that were not there.
      type: dict
      contains: &names
        count:
          description: How many.
          type: int
        first:
          description: The first of their names.
          type: list
          elements: str
    updated:
      description: Files that were there with other content.
      type: dict
      contains: *names
    removed:
      description: Files that were pruned, or removed with the model.
      type: dict
      contains: *names
    stale:
      description: Files that are there and do not belong to the model. They are left alone.
      type: dict
      contains: *names
    bytes_to_send:
      description: Size of the files that were added or updated.
      type: int
    bytes_sent:
      description: Bytes that were uploaded.
      type: int
    bytes_resumed:
      description: Bytes that an earlier, unfinished run had uploaded already.
      type: int
    bytes_copied:
      description: Bytes that the store copied by itself.
      type: int
    error:
      description: Why this destination failed. None when it did not.
      type: dict
      contains: &error
        kind:
          description: Class of the error, such as V(AccessError), V(NotFoundError), V(LockedError) or V(IntegrityError).
          type: str
        message:
          description: What happened, and where.
          type: str
        hint:
          description: What to do next.
          type: str
error:
  description: Why the run as a whole failed.
  type: dict
  returned: failure that is not that of single destinations
  contains: *error
bytes_read:
  description: Bytes read from the source.
  type: int
  returned: O(state=present)
retries:
  description: How many operations were tried again.
  type: int
  returned: O(state=present)
stalls:
  description: How many connections were given up because nothing came.
  type: int
  returned: O(state=present)
seconds:
  description: How long the run took.
  type: float
  returned: O(state=present)
"""

import signal
import threading
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.modelops.serving.plugins.module_utils import _auth
from ansible_collections.modelops.serving.plugins.module_utils._doors import (
    SYNC,
    ProgressFile,
    control_options,
    fail,
    sync_options,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import TransferError
from ansible_collections.modelops.serving.plugins.module_utils._transfer.meter import Progress, ProgressCallback
from ansible_collections.modelops.serving.plugins.module_utils._transfer.run import (
    progress_data,
    run_job,
    run_remove,
    run_sync,
)


def argument_spec() -> dict[str, t.Any]:
    """The options of the module."""
    return {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "name": {"type": "str"},
        "source": _auth.SOURCE_OPTION,
        "destinations": _auth.DESTINATIONS_OPTION,
        **SYNC,
        "notify": _auth.NOTIFY_OPTION,
        **_auth.CONTROL,
    }


def _stop_on_signals() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_args: stop.set())
    return stop


def _present(module: AnsibleModule) -> dict[str, t.Any]:
    params = module.params
    request = {
        "name": params["name"],
        "source": _auth.source_data(module, params["source"]),
        "destinations": _auth.destinations_data(module, params["destinations"]),
        "options": {**control_options(module), **sync_options(module)},
    }
    report: ProgressCallback | None = None
    if params["progress_file"] and not module.check_mode:
        write = ProgressFile(params["progress_file"], module.warn)

        def report(progress: Progress) -> None:
            write(progress_data(progress))

    stop = _stop_on_signals()
    if module.check_mode:
        return run_sync(request, check=True, on_progress=report, stop=stop)
    hooks = [{key: value for key, value in hook.items() if value is not None} for hook in params["notify"]]
    return run_job({**request, "notify": hooks}, on_progress=report, stop=stop)


def _absent(module: AnsibleModule) -> dict[str, t.Any]:
    params = module.params
    request = {
        "name": params["name"],
        "source": params["source"],  # only asked for its name
        "destinations": _auth.destinations_data(module, params["destinations"]),
        "options": {**control_options(module), "side_by_side": params["side_by_side"]},
    }
    return run_remove(request, check=module.check_mode)


def describe_change(destination: t.Mapping[str, t.Any], *, state: str) -> dict[str, str]:
    """One destination's change as Ansible shows it with --diff."""
    revision = destination["revision"] if state == "present" else None
    after = [f"revision: {revision or 'none'}"]
    for what in ("added", "updated", "removed"):
        names = destination[what]
        if names["count"]:
            after.append(f"{what}: {names['count']}")
            after += [f"  {name}" for name in names["first"]]
            if names["count"] > len(names["first"]):
                after.append(f"  and {names['count'] - len(names['first'])} more")
    before = [f"revision: {destination['previous_revision'] or 'none'}"]
    return {
        "before_header": destination["url"],
        "after_header": destination["url"],
        "before": "\n".join(before) + "\n",
        "after": "\n".join(after) + "\n",
    }


def _failures(destinations: t.Sequence[t.Mapping[str, t.Any]]) -> str:
    failed = [destination["error"] for destination in destinations if destination["error"]]
    told = " ".join(f"{error['message']} {error['hint']}".rstrip() for error in failed)
    if len(destinations) == 1:
        return told
    return f"{len(failed)} of {len(destinations)} destinations failed. {told}"


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec=argument_spec(),
        required_if=[("state", "present", ("source",))],
        required_one_of=[("name", "source")],
        supports_check_mode=True,
    )
    state = module.params["state"]
    try:
        result = _present(module) if state == "present" else _absent(module)
    except TransferError as error:
        fail(module, error)
    for warning in result.pop("warnings"):
        module.warn(warning)
    stopped = result.pop("error", None)
    if stopped:
        module.fail_json(msg=f"{stopped['message']} {stopped['hint']}".rstrip(), error=stopped)
    changed = [destination for destination in result["destinations"] if destination["changed"]]
    if module._diff and changed:
        result["diff"] = [describe_change(destination, state=state) for destination in changed]
    if result.pop("failed"):
        module.fail_json(msg=_failures(result["destinations"]), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
