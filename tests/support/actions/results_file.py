# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An action for tests: writes ``content`` to ``path`` in the controller, where ansible.builtin.copy would run two modules."""

from __future__ import annotations

from pathlib import Path

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    def run(self, tmp: str | None = None, task_vars: dict | None = None) -> dict:
        path = Path(self._task.args["path"])
        path.touch(mode=0o600)
        path.write_text(self._task.args["content"])
        return {"changed": True}
