# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What modules tell of changes."""

from __future__ import annotations

import typing as t

from ansible.module_utils.basic import AnsibleModule

from .apply import Change, diff


def describe(module: AnsibleModule, changes: t.Sequence[Change]) -> dict[str, t.Any]:
    """``changed``, ``objects`` and with ``--diff`` also ``diff`` of a result. Warnings of the API server become the module's."""
    for warning in dict.fromkeys(warning for change in changes for warning in change.warnings):
        module.warn(warning)
    result: dict[str, t.Any] = {
        "changed": any(change.action != "none" for change in changes),
        "objects": [
            {
                "api_version": change.ref.api_version,
                "kind": change.ref.kind,
                "name": change.ref.name,
                "namespace": change.ref.namespace,
                "action": change.action,
            }
            for change in changes
        ],
    }
    if module._diff:
        result["diff"] = diff(changes)
    return result
