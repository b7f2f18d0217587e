# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What doors to a set of objects in a cluster have in common: one client, one way to wait, to warn and to tell."""

from __future__ import annotations

import functools
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.parameters import remove_values

from ansible_collections.modelops.serving.plugins.module_utils._doors import progress_lines
from ansible_collections.modelops.serving.plugins.module_utils._kube.apply import Change
from ansible_collections.modelops.serving.plugins.module_utils._kube.auth import connect
from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Client
from ansible_collections.modelops.serving.plugins.module_utils._kube.results import describe
from ansible_collections.modelops.serving.plugins.module_utils._kube.wait import Waiter

Result: t.TypeAlias = "dict[str, t.Any]"


class ClusterDoor:
    """One call of a module with ``wait_timeout`` and ``progress_file``.

    ``result`` is what is known so far, also when it fails.
    """

    def __init__(self, module: AnsibleModule) -> None:
        self._module = module
        self._params = module.params
        self.result: Result = {"changed": False}

    @functools.cached_property
    def _client(self) -> Client:
        return connect(self._module)

    def _waiter(self) -> Waiter:
        return Waiter(
            self._client,
            timeout=self._params["wait_timeout"],
            redact=self._redact,
            on_progress=progress_lines(self._module),
        )

    def _redact(self, text: str) -> str:
        return str(remove_values(text, self._module.no_log_values))

    def _warn(self, text: str | None) -> None:
        if text:
            self._module.warn(text)

    def _tell(self, changes: t.Sequence[Change]) -> None:
        self.result |= describe(self._module, changes)
