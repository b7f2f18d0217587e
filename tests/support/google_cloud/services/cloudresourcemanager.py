# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resource Manager v1 and v3: projects. https://cloud.google.com/resource-manager/reference/rest

One project, two forms: it is kept in that of v3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ApiError
from . import carries_out

if TYPE_CHECKING:
    from ..state import Call, Resource


@carries_out("cloudresourcemanager.projects.get")
def get(call: Call) -> Resource:
    project = call.state.find(call.path)
    if project is None:
        # Google does not say whether there is one.
        raise ApiError(403, f"The caller does not have permission or the project '{call.name()}' does not exist.")
    if call.version == "v3":
        return project
    kind, _slash, parent = project["parent"].partition("/")
    return {
        "projectNumber": project["name"].removeprefix("projects/"),
        "projectId": project["projectId"],
        "lifecycleState": project["state"],
        "name": project["displayName"],
        "createTime": project["createTime"],
        "parent": {"type": kind.removesuffix("s"), "id": parent},
        **({"labels": project["labels"]} if "labels" in project else {}),
    }
