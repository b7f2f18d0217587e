# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Service Usage v1: which APIs are enabled. https://cloud.google.com/service-usage/docs/reference/rest

APIs ask whether they are only where tests want it. Of v1beta1 the one quota of Compute Engine that its regions do not
tell: TPUs per TPU family.
"""

from __future__ import annotations

import urllib.parse
from typing import TYPE_CHECKING

from .. import discovery, places
from ..errors import ApiError, not_found, precondition
from ..standard import get_operation, operation
from . import carries_out

if TYPE_CHECKING:
    from ..state import Call, Resource

_SERVICES = "serviceusage.services"
#: Services that are none of the APIs that Google's client library knows.
_OTHERS = frozenset(
    [
        "bigquerystorage",
        "containerfilesystem",
        "gkeconnect",
        "oslogin",
        "servicecontrol",
        "sourcerepo",
        "stackdriver",
        "storage-api",
        "storage-component",
    ]
)
#: Service -> what it needs and what is enabled with it.
_NEEDS = {"container": ("compute",), "gkehub": ("container",)}


@carries_out(f"{_SERVICES}.get")
def get(call: Call) -> Resource:
    return _service(call, call.path)


@carries_out(f"{_SERVICES}.list")
def list_(call: Call) -> Resource:
    """Only what was enabled or disabled before: there is no list of all."""
    call.project()
    services = [service for _path, service in call.state.children(call.path)]
    wanted = call.query.get("filter")
    if wanted not in (None, "state:ENABLED", "state:DISABLED"):
        raise ApiError(400, f"Invalid filter '{wanted}'.")
    if wanted:
        services = [service for service in services if service["state"] == wanted.partition(":")[2]]
    return call.page(services, "services", 50)


@carries_out(f"{_SERVICES}.enable")
def enable(call: Call) -> Resource:
    _service(call, call.parent)

    def apply() -> Resource:
        return {"service": _enabled(call, call.parent)}

    return operation(call, "EnableServiceResponse", call.parent, apply)


@carries_out(f"{_SERVICES}.disable")
def disable(call: Call) -> Resource:
    _service(call, call.parent)
    users = _users(call, call.parent)
    if users and not call.body.get("disableDependentServices"):
        name = call.parent.rpartition("/")[2]
        told = ", ".join(path.rpartition("/")[2] for path in users)
        raise precondition(
            f"The service {name} is depended on by the following active service{'s' * (len(users) > 1)}: {told}; Please "
            "specify disable_dependent_services=true if you want to proceed with disabling all services."
        )

    def apply() -> Resource:
        for path in users:
            _put(call, path, "DISABLED")
        return {"service": _put(call, call.parent, "DISABLED")}

    return operation(call, "DisableServiceResponse", call.parent, apply)


@carries_out(f"{_SERVICES}.batchEnable")
def enable_many(call: Call) -> Resource:
    names = call.body.get("serviceIds", [])
    if not 0 < len(names) <= 20:
        raise ApiError(400, "1 to 20 services can be enabled at once.")
    paths = [f"{call.parent}/{name}" for name in names]
    for path in paths:
        _service(call, path)

    def apply() -> Resource:
        return {"services": [_enabled(call, path) for path in paths]}

    return operation(call, "BatchEnableServicesResponse", call.parent.removesuffix("/services"), apply)


@carries_out(f"{_SERVICES}.batchGet")
def get_many(call: Call) -> Resource:
    names = call.queries.get("names", [])
    if not 0 < len(names) <= 30:
        raise ApiError(400, "1 to 30 services can be asked for at once.")
    return {"services": [_service(call, f"serviceusage/v1/{name}") for name in names]}


@carries_out("serviceusage.operations.get")
def get_one_operation(call: Call) -> Resource:
    return get_operation(call)


_FAMILIES = "compute.googleapis.com/tpus_per_tpu_family"


@carries_out(f"{_SERVICES}.consumerQuotaMetrics.list")
def list_quotas(call: Call) -> Resource:
    return (
        {"metrics": [_quota(call, call.path)]}
        if call.path.endswith("compute.googleapis.com/consumerQuotaMetrics")
        else {}
    )


@carries_out(f"{_SERVICES}.consumerQuotaMetrics.get")
def get_quota(call: Call) -> Resource:
    collection, _slash, metric = call.path.partition("/consumerQuotaMetrics/")
    if metric != _FAMILIES:
        raise not_found(f"Quota metric {metric} was not found.")
    return _quota(call, f"{collection}/consumerQuotaMetrics")


def _quota(call: Call, collection: str) -> Resource:
    """Chips per region and family; the dimensions are those that ``gcloud quotas info describe`` shows."""
    quota = places.TPU_QUOTAS["ct6e"][0]
    family = quota.partition("/")[2]
    buckets = [
        {
            "effectiveLimit": str(int(call.state.quotas.get((region, quota), places.LIMITS[quota]))),
            "defaultLimit": "0",
            "dimensions": {"region": region, "tpu_family": family},
        }
        for region in places.REGIONS
    ]
    number = call.state.projects[call.project()]
    name = f"{call.name(collection).replace(call.project(), number)}/{urllib.parse.quote(_FAMILIES, safe='')}"
    unit = "1/{project}/{region}/{tpu_family}"
    limit = {
        "name": f"{name}/limits/%2Fproject%2Fregion%2Ftpu_family",
        "metric": _FAMILIES,
        "unit": unit,
        "quotaBuckets": [{"effectiveLimit": "0", "defaultLimit": "0"}, *buckets],
    }
    return {
        "name": name,
        "metric": _FAMILIES,
        "displayName": "TPUs per TPU family",
        "unit": "1",
        "consumerQuotaLimits": [limit],
    }


def _service(call: Call, path: str) -> Resource:
    """A service that was not spoken of is disabled.

    :raises ApiError: 403, there is none of that name.
    """
    number, name = call.state.projects[call.project()], path.rpartition("/")[2]
    short = name.removesuffix(".googleapis.com")
    if short == name or not (short in _OTHERS or discovery.is_known(short)):
        raise ApiError(403, f"Not found or permission denied for service(s): {name}.")
    parent = f"projects/{number}"
    service = {"name": f"{parent}/services/{name}", "parent": parent, "config": {"name": name}, "state": "DISABLED"}
    return call.state.find(path) or service


def _enabled(call: Call, path: str) -> Resource:
    """Enable a service and what it needs."""
    for needed in _NEEDS.get(_short(path), ()):
        _enabled(call, f"{path.rpartition('/')[0]}/{needed}.googleapis.com")
    return _put(call, path, "ENABLED")


def _users(call: Call, path: str) -> list[str]:
    """Paths of enabled services that need one, directly or not."""
    found: list[str] = []
    for user, needs in _NEEDS.items():
        where = f"{path.rpartition('/')[0]}/{user}.googleapis.com"
        if _short(path) in needs and _service(call, where)["state"] == "ENABLED":
            found += [*_users(call, where), where]
    return found


def _short(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(".googleapis.com")


def _put(call: Call, path: str, state: str) -> Resource:
    return call.state.put(path, {**_service(call, path), "state": state})
