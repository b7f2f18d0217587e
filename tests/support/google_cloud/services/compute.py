# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compute Engine v1: networks, subnetworks, routers, resource policies, reservations, and what places offer.

https://cloud.google.com/compute/docs/reference/rest/v1
"""

from __future__ import annotations

import copy
import ipaddress
import re
import zlib
from typing import TYPE_CHECKING, Any

from .. import places
from ..errors import ApiError, invalid
from ..state import now
from . import carries_out, container

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..operations import Failure
    from ..state import Call, Resource

_ROOT = "https://www.googleapis.com/compute/v1"
#: Collection -> kind.
_KINDS = {
    "networks": "compute#network",
    "subnetworks": "compute#subnetwork",
    "routers": "compute#router",
    "resourcePolicies": "compute#resourcePolicy",
    "reservations": "compute#reservation",
    "instanceGroupManagers": "compute#instanceGroupManager",
}
_KEPT = ("networks", "subnetworks", "routers", "resourcePolicies", "reservations")
#: Fields that a patch of a subnetwork may have.
_SUBNETWORK_FIELDS = (
    "secondaryIpRanges",
    "logConfig",
    "privateIpGoogleAccess",
    "privateIpv6GoogleAccess",
    "role",
    "stackType",
    "ipv6AccessType",
    "purpose",
)


def _each(verb: str, *collections: str) -> tuple[str, ...]:
    return tuple(f"compute.{collection}.{verb}" for collection in collections)


# What is alike


@carries_out(*_each("get", *_KEPT, "instanceGroupManagers"))
def get(call: Call) -> Resource:
    return _found(call, call.path)


@carries_out(*_each("list", *_KEPT, "instanceGroupManagers"))
def list_(call: Call) -> Resource:
    _check_place(call)
    return _listed(call, [resource for _path, resource in call.state.children(call.path)])


@carries_out(*_each("insert", *_KEPT))
def insert(call: Call) -> Resource:
    _check_place(call)
    collection, name = call.id.split(".")[1], call.body.get("name", "")
    if not re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", name):
        raise invalid(
            f"Invalid value for field 'resource.name': '{name}'. Must be a match of regex "
            "'(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)'",
            "resource.name",
        )
    path = f"{call.path}/{name}"
    if call.state.find(path):
        raise ApiError(409, f"The resource '{call.name(path)}' already exists", "ALREADY_EXISTS")
    resource = {
        "kind": _KINDS[collection],
        "id": str(7000000000000000000 + call.state.number()),
        "creationTimestamp": now(),
        "selfLink": f"{_ROOT}/{call.name(path)}",
        **_place(call),
        **_NEW[collection](call, copy.deepcopy(call.body)),
    }
    return _start(call, path, lambda: call.state.put(path, resource))


@carries_out(*_each("delete", *_KEPT))
def delete(call: Call) -> Resource:
    _found(call, call.path)
    user = _user_of(call, call.path)
    if user:
        told = f"The {call.id.split('.')[1][:-1]} resource '{call.name()}' is already being used by '{user}'"
        raise ApiError(400, told, "FAILED_PRECONDITION")
    return _start(call, call.path, lambda: call.state.remove(call.path))


def _found(call: Call, path: str) -> Resource:
    _check_place(call)
    return call.state.get(path, f"The resource '{call.name(path)}' was not found")


def _listed(call: Call, items: list[Resource]) -> Resource:
    filtered = call.query.get("filter", "")
    wanted = re.fullmatch(r"\(?name\s*(?:=|eq)\s*\"?([^\")]+)\"?\)?", filtered)
    if filtered and not wanted:
        raise ApiError(501, f"The stand-in for Google's APIs does not know the filter {filtered}.")
    if wanted:
        items = [item for item in items if re.fullmatch(wanted[1], item["name"])]
    kind = call.schemas[call.method["response"]["$ref"]]["properties"]["kind"]["default"]
    return {"kind": kind, "id": call.name(), "selfLink": f"{_ROOT}/{call.name()}", **call.page(items, "items", 500)}


def _check_place(call: Call) -> None:
    """:raises ApiError: there is no such region or zone."""
    call.project()
    for name in ("region", "zone"):
        value = call.parameters.get(name)
        if value and (not places.exists(value) or (name == "region") != (value in places.REGIONS)):
            raise invalid(f"Invalid value for field '{name}': '{value}'. Unknown {name}.", name)


def _place(call: Call) -> Resource:
    """The link of the region or zone that something is in."""
    for name in ("region", "zone"):
        if name in call.parameters:
            return {name: f"{_ROOT}/projects/{call.project()}/{name}s/{call.parameters[name]}"}
    return {}


def _start(call: Call, path: str, apply: Callable[[], object]) -> Resource:
    """Begin an operation; what it does is there when it is done."""
    number = call.state.number()
    name = f"operation-{1760000000000 + number}-{number:08x}"
    scope = re.search(r"/(global|regions/[^/]+|zones/[^/]+)/", path)
    where = f"compute/compute/v1/projects/{call.project()}/{scope[1] if scope else 'global'}/operations/{name}"
    verb = call.id.rpartition(".")[2]
    operation: Resource = call.state.put(
        where,
        {
            "kind": "compute#operation",
            "id": str(5000000000000000000 + number),
            "name": name,
            "operationType": verb,
            "targetLink": f"{_ROOT}/{call.name(path)}",
            "status": "RUNNING",
            "user": "tester@demo-project.iam.gserviceaccount.com",
            "progress": 0,
            "insertTime": now(),
            "startTime": now(),
            "selfLink": f"{_ROOT}/{call.name(where)}",
            **_place(call),
        },
    )

    def done(failure: Failure | None) -> None:
        operation.update(status="DONE", progress=100, endTime=now())
        if failure:
            error = {"errors": [{"code": failure.code, "message": failure.message}]}
            operation.update(error=error, httpErrorStatusCode=400, httpErrorMessage="BAD REQUEST")
        else:
            apply()

    call.state.operations.start(where, f"{verb} {path}", done, looks=1, failure=None)
    return operation


@carries_out(*_each("get", "globalOperations", "regionOperations", "zoneOperations"))
def get_operation(call: Call) -> Resource:
    call.state.operations.look(call.path)
    return call.state.get(call.path, f"The resource '{call.name()}' was not found")


@carries_out(*_each("wait", "globalOperations", "regionOperations", "zoneOperations"))
def wait_for_operation(call: Call) -> Resource:
    """Google answers when it is done, or after two minutes; this is one look at it."""
    path = call.path.removesuffix("/wait")
    call.state.operations.look(path)
    return call.state.get(path, f"The resource '{call.name(path)}' was not found")


@carries_out(*_each("list", "globalOperations", "regionOperations", "zoneOperations"))
def list_operations(call: Call) -> Resource:
    found = list(call.state.children(call.path))
    for path, _operation in found:
        call.state.operations.look(path)
    return _listed(call, [operation for _path, operation in found])


# Networks


def _new_network(call: Call, wanted: Resource) -> Resource:
    if wanted.get("autoCreateSubnetworks") and wanted.get("IPv4Range"):
        raise invalid("A legacy network has no subnetworks.", "resource.IPv4Range")
    mtu = wanted.get("mtu", 1460)
    if not 1300 <= int(mtu) <= 8896:
        raise invalid(f"Invalid value for field 'resource.mtu': '{mtu}'.", "resource.mtu")
    return {
        "networkFirewallPolicyEnforcementOrder": "AFTER_CLASSIC_FIREWALL",
        **wanted,
        "autoCreateSubnetworks": wanted.get("autoCreateSubnetworks", True),
        "mtu": mtu,
        "routingConfig": {"routingMode": "REGIONAL", "bgpBestPathSelectionMode": "LEGACY"}
        | (wanted.get("routingConfig") or {}),
    }


@carries_out("compute.networks.patch")
def patch_network(call: Call) -> Resource:
    network = _found(call, call.path)
    changed = {**network, **call.body}
    if "routingConfig" in call.body:
        changed["routingConfig"] = {**network["routingConfig"], **call.body["routingConfig"]}
    return _start(call, call.path, lambda: call.state.put(call.path, changed))


# Subnetworks


def _new_subnetwork(call: Call, wanted: Resource) -> Resource:
    network = _path_of(call, wanted.get("network", ""))
    if not call.state.find(network):
        raise ApiError(404, f"The resource '{call.name(network)}' was not found")
    _check_ranges(call, wanted, network, "")
    first = ipaddress.ip_network(wanted["ipCidrRange"])[1]
    return {
        "enableFlowLogs": False,
        "privateIpGoogleAccess": False,
        "privateIpv6GoogleAccess": "DISABLE_GOOGLE_ACCESS",
        "purpose": "PRIVATE",
        "stackType": "IPV4_ONLY",
        **wanted,
        "network": f"{_ROOT}/{call.name(network)}",
        "gatewayAddress": str(first),
        "fingerprint": _fingerprint(wanted),
    }


@carries_out("compute.subnetworks.patch")
def patch_subnetwork(call: Call) -> Resource:
    """A field is replaced as a whole. The ranges cannot lose one that a cluster uses."""
    subnetwork = _found(call, call.path)
    if not call.body.get("fingerprint"):
        raise invalid("Required field 'resource.fingerprint' not specified", "resource.fingerprint")
    if call.body["fingerprint"] != subnetwork["fingerprint"]:
        raise ApiError(412, "Invalid fingerprint.", "CONDITION_NOT_MET")
    wanted = {name: value for name, value in call.body.items() if name != "fingerprint"}
    if not wanted.keys() <= set(_SUBNETWORK_FIELDS):
        raise invalid(f"These fields cannot be changed: {', '.join(sorted(wanted.keys() - set(_SUBNETWORK_FIELDS)))}.")
    changed = {**subnetwork, **wanted}
    _check_ranges(call, changed, _path_of(call, subnetwork["network"]), subnetwork["selfLink"])
    kept = {entry["rangeName"]: entry["ipCidrRange"] for entry in changed.get("secondaryIpRanges") or ()}
    for entry in subnetwork.get("secondaryIpRanges") or ():
        if kept.get(entry["rangeName"]) != entry["ipCidrRange"] and _cluster_with_range(
            call, subnetwork, entry["rangeName"]
        ):
            told = f"Cannot remove or change the secondary range '{entry['rangeName']}', which is in use."
            raise ApiError(400, told, "FAILED_PRECONDITION")
    changed["fingerprint"] = _fingerprint(changed)
    return _start(call, call.path, lambda: call.state.put(call.path, changed))


@carries_out("compute.subnetworks.expandIpCidrRange")
def expand(call: Call) -> Resource:
    subnetwork = _found(call, call.parent)
    wanted, current = _range(call.body.get("ipCidrRange", "")), _range(subnetwork["ipCidrRange"])
    if not (current.subnet_of(wanted) and current != wanted):
        raise invalid(f"Invalid value for field 'ipCidrRange': '{wanted}'. It must contain '{current}'.", "ipCidrRange")
    changed = {**subnetwork, "ipCidrRange": str(wanted)}
    _check_ranges(call, changed, _path_of(call, subnetwork["network"]), subnetwork["selfLink"])
    changed["gatewayAddress"], changed["fingerprint"] = str(wanted[1]), _fingerprint(changed)
    return _start(call, call.parent, lambda: call.state.put(call.parent, changed))


@carries_out("compute.subnetworks.setPrivateIpGoogleAccess")
def set_private_access(call: Call) -> Resource:
    changed = {**_found(call, call.parent), "privateIpGoogleAccess": call.body.get("privateIpGoogleAccess", False)}
    changed["fingerprint"] = _fingerprint(changed)
    return _start(call, call.parent, lambda: call.state.put(call.parent, changed))


def _check_ranges(call: Call, wanted: Resource, network: str, own: str) -> None:
    """:raises ApiError: a range is none, or overlaps another one of the network."""
    entries = [("ipCidrRange", wanted.get("ipCidrRange", ""))]
    entries += [
        (entry.get("rangeName", ""), entry.get("ipCidrRange", "")) for entry in wanted.get("secondaryIpRanges") or ()
    ]
    taken = [
        (subnetwork["selfLink"], _range(cidr))
        for subnetwork in _subnetworks_of(call, network)
        if subnetwork["selfLink"] != own
        for cidr in _cidrs(subnetwork)
    ]
    for name, cidr in entries:
        if not name:
            raise invalid("Required field 'resource.secondaryIpRanges.rangeName' not specified")
        found = _range(cidr)
        for other, range_ in taken:
            if found.overlaps(range_):
                raise invalid(
                    f"Invalid IPCidrRange: {found} conflicts with existing range {range_} of {other.partition('/v1/')[2] or other}.",
                    "resource.ipCidrRange",
                )
        taken.append((f"this subnetwork ({name})", found))


def _range(cidr: str) -> ipaddress.IPv4Network:
    """:raises ApiError: it is none."""
    try:
        return ipaddress.IPv4Network(cidr)
    except ValueError:
        raise invalid(
            f"Invalid value for field 'resource.ipCidrRange': '{cidr}'. Must be a CIDR address range.",
            "resource.ipCidrRange",
        ) from None


def _cidrs(subnetwork: Resource) -> list[str]:
    return [subnetwork["ipCidrRange"], *(entry["ipCidrRange"] for entry in subnetwork.get("secondaryIpRanges") or ())]


def _subnetworks_of(call: Call, network: str) -> list[Resource]:
    return [
        subnetwork
        for region in places.REGIONS
        for _path, subnetwork in call.state.children(
            f"compute/compute/v1/projects/{call.project()}/regions/{region}/subnetworks"
        )
        if _path_of(call, subnetwork["network"]) == network
    ]


def _path_of(call: Call, link: str) -> str:
    """The path of what a link, full or partial, names."""
    found = re.search(r"(?:projects/([^/]+)/)?(global|regions/[^/]+)/(networks|subnetworks)/([^/]+)$", link)
    if not found:
        raise invalid(
            f"Invalid value for field 'resource.network': '{link}'. The URL is malformed.", "resource.network"
        )
    project, scope, collection, name = found.groups()
    return call.state.canonical(f"compute/compute/v1/projects/{project or call.project()}/{scope}/{collection}/{name}")


def _fingerprint(resource: Resource) -> str:
    fields = {name: value for name, value in sorted(resource.items()) if name != "fingerprint"}
    return f"{zlib.crc32(repr(fields).encode()):08x}AAA="


def _cluster_with_range(call: Call, subnetwork: Resource, name: str) -> str:
    """A cluster that uses a secondary range; with an empty name any cluster in the subnetwork."""
    project, path = call.project(), subnetwork["selfLink"].partition("/v1/")[2]
    region = subnetwork["region"].rpartition("/")[2]
    for location in (region, *places.zones_of(region)):
        for _path, cluster in call.state.children(f"container/v1/projects/{project}/locations/{location}/clusters"):
            policy = cluster["ipAllocationPolicy"]
            ranges = (policy.get("clusterSecondaryRangeName"), policy.get("servicesSecondaryRangeName"))
            if cluster["networkConfig"]["subnetwork"] == path and (not name or name in ranges):
                return f"projects/{project}/locations/{location}/clusters/{cluster['name']}"
    return ""


def _user_of(call: Call, path: str) -> str:
    """What keeps a resource from being deleted; empty where nothing does."""
    collection = call.id.split(".")[1]
    if collection == "subnetworks":
        return _cluster_with_range(call, call.state.get(path), "")
    if collection == "networks":
        users = _subnetworks_of(call, path) + [
            router
            for region in places.REGIONS
            for _path, router in call.state.children(
                f"compute/compute/v1/projects/{call.project()}/regions/{region}/routers"
            )
            if _path_of(call, router["network"]) == path
        ]
        return str(users[0]["selfLink"].partition("/v1/")[2]) if users else ""
    if collection == "resourcePolicies":
        return _pool_with_policy(call, call.parameters["region"], call.parameters["resourcePolicy"])
    return ""


def _pool_with_policy(call: Call, region: str, policy: str) -> str:
    """A node pool that uses a resource policy; empty where there is none."""
    for location in (region, *places.zones_of(region)):
        for path, _cluster in call.state.children(
            f"container/v1/projects/{call.project()}/locations/{location}/clusters"
        ):
            for pool, found in call.state.children(f"{path}/nodePools"):
                if (found.get("placementPolicy") or {}).get("policyName") == policy:
                    return call.name(pool)
    return ""


# Routers


def _new_router(call: Call, wanted: Resource) -> Resource:
    network = _path_of(call, wanted.get("network", ""))
    if not call.state.find(network):
        raise ApiError(404, f"The resource '{call.name(network)}' was not found")
    nats = {"nats": [_nat(nat) for nat in wanted["nats"]]} if wanted.get("nats") else {}
    return {"encryptedInterconnectRouter": False, **wanted, "network": f"{_ROOT}/{call.name(network)}", **nats}


@carries_out("compute.routers.patch", "compute.routers.update")
def patch_router(call: Call) -> Resource:
    """Lists are replaced as a whole: a NAT that is not in the new one is gone."""
    router = _found(call, call.path)
    wanted = {name: value for name, value in call.body.items() if name not in ("name", "network")}
    if "nats" in wanted:
        names = [nat.get("name") for nat in wanted["nats"]]
        if len(names) != len(set(names)):
            raise invalid("The names of the NATs of a router must be unique.", "resource.nats")
        wanted["nats"] = [_nat(nat) for nat in wanted["nats"]]
    base = (
        router
        if call.id.endswith(".patch")
        else {name: value for name, value in router.items() if name not in ("nats", "bgp", "description")}
    )
    return _start(call, call.path, lambda: call.state.put(call.path, {**base, **wanted}))


def _nat(nat: Resource) -> Resource:
    """:raises ApiError: what it needs is missing."""
    for field in ("name", "natIpAllocateOption", "sourceSubnetworkIpRangesToNat"):
        if not nat.get(field):
            raise invalid(f"Required field 'resource.nats.{field}' not specified", f"resource.nats.{field}")
    listed = nat["sourceSubnetworkIpRangesToNat"] == "LIST_OF_SUBNETWORKS"
    if listed != bool(nat.get("subnetworks")):
        raise invalid("Subnetworks are given with LIST_OF_SUBNETWORKS, and only then.", "resource.nats.subnetworks")
    return {
        "enableEndpointIndependentMapping": False,
        "enableDynamicPortAllocation": False,
        "endpointTypes": ["ENDPOINT_TYPE_VM"],
        "autoNetworkTier": "PREMIUM",
        "type": "PUBLIC",
        **nat,
    }


# Policies and reservations


def _new_policy(_call: Call, wanted: Resource) -> Resource:
    kinds = [
        name
        for name in (
            "groupPlacementPolicy",
            "workloadPolicy",
            "snapshotSchedulePolicy",
            "instanceSchedulePolicy",
            "diskConsistencyGroupPolicy",
        )
        if name in wanted
    ]
    if len(kinds) != 1:
        raise invalid("Exactly one kind of policy must be given.", "resource")
    workload = wanted.get("workloadPolicy")
    if workload is not None and not workload.get("type"):
        raise invalid("Required field 'resource.workloadPolicy.type' not specified", "resource.workloadPolicy.type")
    return {**wanted, "status": "READY"}


def _new_reservation(_call: Call, wanted: Resource) -> Resource:
    specific = wanted.get("specificReservation") or {}
    if not specific.get("count"):
        raise invalid("Required field 'resource.specificReservation.count' not specified")
    return {
        "specificReservationRequired": False,
        **wanted,
        "specificReservation": {"inUseCount": "0", "assuredCount": specific["count"], **specific},
        "status": "READY",
    }


_NEW: dict[str, Callable[[Call, Resource], Resource]] = {
    "networks": _new_network,
    "subnetworks": _new_subnetwork,
    "routers": _new_router,
    "resourcePolicies": _new_policy,
    "reservations": _new_reservation,
}


# Places


@carries_out("compute.regions.get")
def get_region(call: Call) -> Resource:
    name = call.parameters["region"]
    if name not in places.REGIONS:
        call.project()
        raise ApiError(404, f"The resource '{call.name()}' was not found")
    return _region(call, name)


@carries_out("compute.regions.list")
def list_regions(call: Call) -> Resource:
    return _listed(call, [_region(call, name) for name in places.REGIONS])


@carries_out("compute.zones.get")
def get_zone(call: Call) -> Resource:
    name = call.parameters["zone"]
    if name not in places.zones_of(places.region_of(name)):
        call.project()
        raise ApiError(404, f"The resource '{call.name()}' was not found")
    return _zone(call, name)


@carries_out("compute.zones.list")
def list_zones(call: Call) -> Resource:
    return _listed(call, [_zone(call, zone) for region in places.REGIONS for zone in places.zones_of(region)])


@carries_out("compute.machineTypes.get")
def get_machine_type(call: Call) -> Resource:
    _check_place(call)
    name = call.parameters["machineType"]
    if not re.fullmatch(r"[a-z0-9]+-[a-z]+(-\d+t?)?", name) or not places.has_machine(call.parameters["zone"], name):
        raise ApiError(404, f"The resource '{call.name()}' was not found")
    chips = places.chips(name)
    accelerators = {"accelerators": [{"guestAcceleratorType": places.family(name), "guestAcceleratorCount": chips}]}
    return {
        "kind": "compute#machineType",
        "name": name,
        "zone": call.parameters["zone"],
        "selfLink": f"{_ROOT}/{call.name()}",
        **(accelerators if chips else {}),
    }


def _region(call: Call, name: str) -> Resource:
    links = f"{_ROOT}/projects/{call.project()}"
    limits = dict(places.LIMITS)
    limits |= {metric: limit for (region, metric), limit in call.state.quotas.items() if region == name}
    used, told = container.chips_in_use(call, []), call.schemas["Quota"]["properties"]["metric"]["enum"]
    quotas: list[dict[str, Any]] = [
        {"metric": metric, "limit": limit, "usage": used.get((name, metric), 0.0)}
        for metric, limit in limits.items()
        if metric in told
    ]
    return {
        "kind": "compute#region",
        "name": name,
        "status": "UP",
        "description": name,
        "selfLink": f"{links}/regions/{name}",
        "zones": [f"{links}/zones/{zone}" for zone in places.zones_of(name)],
        "quotas": quotas,
    }


def _zone(call: Call, name: str) -> Resource:
    links = f"{_ROOT}/projects/{call.project()}"
    region = f"{links}/regions/{places.region_of(name)}"
    return {"kind": "compute#zone", "name": name, "status": "UP", "region": region, "selfLink": f"{links}/zones/{name}"}
