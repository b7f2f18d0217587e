# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the modules around the transfer engine share."""

from __future__ import annotations

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import TransferError
from ansible_collections.modelops.serving.plugins.module_utils._transfer.run import describe_error


def control_options(module: AnsibleModule) -> dict[str, t.Any]:
    """The engine's limits of one run from the module's options."""
    return {key: module.params[key] for key in ("timeout", "stall_timeout", "attempts")}


def fail(module: AnsibleModule, error: TransferError, **result: t.Any) -> t.NoReturn:
    """End the module with what went wrong, where, and what to do about it."""
    module.fail_json(msg=str(error), error=describe_error(error), **result)
