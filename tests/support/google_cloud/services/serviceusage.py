# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Service Usage v1: which APIs are enabled. https://cloud.google.com/service-usage/docs/reference/rest

No API here asks whether it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ApiError
from ..standard import operation
from . import carries_out

if TYPE_CHECKING:
    from ..state import Call, Resource

_SERVICES = "serviceusage.services"


@carries_out(f"{_SERVICES}.get")
def get(call: Call) -> Resource:
    return _service(call, call.path)


@carries_out(f"{_SERVICES}.list")
def list_(call: Call) -> Resource:
    """Only what was enabled or disabled before: there is no list of all."""
    services = [service for _path, service in call.state.children(call.path)]
    wanted = call.query.get("filter")
    if wanted not in (None, "state:ENABLED", "state:DISABLED"):
        raise ApiError(400, f"Invalid filter '{wanted}'.")
    if wanted:
        services = [service for service in services if service["state"] == wanted.partition(":")[2]]
    return call.page(services, "services", 50)


@carries_out(f"{_SERVICES}.enable", f"{_SERVICES}.disable")
def switch(call: Call) -> Resource:
    verb = call.id.rpartition(".")[2]
    service = _switched(call, call.parent, f"{verb.upper()}D")
    return operation(call, {"service": service}, f"{verb.title()}ServiceResponse")


@carries_out(f"{_SERVICES}.batchEnable")
def enable_many(call: Call) -> Resource:
    names = call.body.get("serviceIds", [])
    if not 0 < len(names) <= 20:
        raise ApiError(400, "1 to 20 services can be enabled at once.")
    services = [_switched(call, f"{call.parent}/{name}", "ENABLED") for name in names]
    return operation(call, {"services": services}, "BatchEnableServicesResponse")


@carries_out(f"{_SERVICES}.batchGet")
def get_many(call: Call) -> Resource:
    services = [_service(call, f"serviceusage/v1/{name}") for name in call.queries.get("names", [])]
    return {"services": services} if services else {}


@carries_out("serviceusage.operations.get")
def get_operation(call: Call) -> Resource:
    return call.state.get(call.path)


def _service(call: Call, path: str) -> Resource:
    """A service that was not spoken of is disabled."""
    number, name = call.state.projects[call.project()], path.rpartition("/")[2]
    if not name.endswith(".googleapis.com"):
        raise ApiError(403, f"Not found or permission denied for service(s): {name}.")
    parent = f"projects/{number}"
    service = {"name": f"{parent}/services/{name}", "parent": parent, "config": {"name": name}, "state": "DISABLED"}
    return call.state.find(path) or service


def _switched(call: Call, path: str, state: str) -> Resource:
    return call.state.put(path, {**_service(call, path), "state": state})
