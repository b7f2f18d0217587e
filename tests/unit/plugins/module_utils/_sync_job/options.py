# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the module as Ansible hands them over, and what lies in the namespace."""

from __future__ import annotations

import json

from ansible.module_utils.common.arg_spec import ModuleArgumentSpecValidator

from ansible_collections.modelops.serving.plugins.module_utils._sync_job.assemble import assemble
from ansible_collections.modelops.serving.plugins.modules.model_sync_job import argument_spec

ENGINE = {"workers": 4, "part_size": 16 * 1024**2, "timeout": None}
BUCKET = {"bucket": "models"}
HUB = {"repo": "google/gemma-3-1b-it"}


def params(**given):
    """All options of the module; aliases stay beside the names they stand for, as Ansible has it."""
    result = ModuleArgumentSpecValidator(argument_spec()).validate({"namespace": "ns", **json.loads(json.dumps(given))})
    assert not result.error_messages, result.error_messages
    return result.validated_parameters


class Namespace:
    """Secrets by name. ``None`` in place of them: they cannot be read."""

    def __init__(self, secrets=None):
        self.secrets = secrets
        self.asked = {}

    def __call__(self, name, *, missing):
        self.asked[name] = missing
        return None if self.secrets is None else self.secrets[name]


def assembled(secrets=None, *, engine=None, **given):
    given = {"source": HUB, "destinations": [BUCKET], **given}
    options = params(**{key: value for key, value in given.items() if value is not None})
    return assemble(options, ENGINE | (engine or {}), Namespace(secrets or {}))
