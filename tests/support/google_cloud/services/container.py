# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubernetes Engine v1: clusters, node pools, operations. https://cloud.google.com/kubernetes-engine/docs/reference/rest

A cluster is kept without its node pools, which are kept below it. What Google sets by itself is set here too, so that
what is read has more fields than what was sent; fields that are false, 0 or empty are not shown, as Google does it.
"""

from __future__ import annotations

import copy
import ipaddress
import re
import zlib
from typing import TYPE_CHECKING, Any

from .. import places
from ..errors import CODES, ApiError, exists, invalid, precondition, stale
from ..operations import Failure
from ..state import now
from . import carries_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..state import Call, Resource

_LOCATIONS = "container.projects.locations"
_CLUSTERS = f"{_LOCATIONS}.clusters"
_POOLS = f"{_CLUSTERS}.nodePools"
_VERSIONS = ("1.33.5-gke.1201000", "1.34.1-gke.2037001", "1.35.0-gke.1403000")
_CHANNELS = {
    "RAPID": _VERSIONS[::-1],
    "REGULAR": _VERSIONS[1::-1],
    "STABLE": _VERSIONS[:1],
    "EXTENDED": _VERSIONS[1::-1],
}
_SCOPES = (
    "devstorage.read_only",
    "logging.write",
    "monitoring",
    "servicecontrol",
    "service.management.readonly",
    "trace.append",
)
#: Fields of ClusterUpdate that do not name a field of the cluster or of its networkConfig.
_PLACES = {
    "desiredDatapathProvider": ("networkConfig", "datapathProvider"),
    "desiredDefaultEnablePrivateNodes": ("networkConfig", "defaultEnablePrivateNodes"),
    "desiredEnablePrivateEndpoint": ("privateClusterConfig", "enablePrivateEndpoint"),
    "desiredClusterAutoscaling": ("autoscaling",),
    "desiredStackType": ("ipAllocationPolicy", "stackType"),
    "desiredEnableMultiNetworking": ("networkConfig", "enableMultiNetworking"),
    "desiredMasterVersion": ("currentMasterVersion",),
    "gkeAutoUpgradeConfig": ("gkeAutoUpgradeConfig",),
}
#: Fields of UpdateNodePoolRequest that are not in the pool's config under the same name.
_POOL_PLACES: dict[str, tuple[str, ...]] = {
    "nodeVersion": ("version",),
    "nodeNetworkConfig": ("networkConfig",),
    **{
        name: (name,)
        for name in ("locations", "upgradeSettings", "nodeDrainConfig", "queuedProvisioning", "maintenancePolicy")
    },
}
#: Messages of updates that wrap one field.
_WRAPPED = {"labels": "labels", "taints": "taints", "tags": "tags", "resourceLabels": "labels"}


# Clusters


@carries_out(f"{_LOCATIONS}.getServerConfig")
def server_config(call: Call) -> Resource:
    _check_location(call)
    channels = [
        {
            "channel": name,
            "defaultVersion": versions[0],
            "validVersions": list(versions),
            "upgradeTargetVersion": versions[0],
        }
        for name, versions in _CHANNELS.items()
    ]
    return {
        "defaultClusterVersion": _CHANNELS["REGULAR"][0],
        "validMasterVersions": list(_VERSIONS[::-1]),
        "validNodeVersions": list(_VERSIONS[::-1]),
        "defaultImageType": "COS_CONTAINERD",
        "validImageTypes": ["COS_CONTAINERD", "UBUNTU_CONTAINERD"],
        "channels": channels,
    }


@carries_out(f"{_CLUSTERS}.create")
def create_cluster(call: Call) -> Resource:
    _check_location(call)
    wanted = call.body.get("cluster") or {}
    name = wanted.get("name", "")
    if not re.fullmatch(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", name):
        raise invalid(
            f'Invalid value for field "cluster.name": "{name}". A cluster name has at most 40 characters, starts with '
            "a lower-case letter, and consists of lower-case letters, digits and hyphens.",
            "cluster.name",
        )
    path = f"{call.path}/{name}"
    if call.state.find(path):
        raise exists(f"Already exists: {call.name(path)}.")
    pools = _pools_of_new_cluster(wanted)
    network = _network(call, wanted)
    version = _version(wanted.get("initialClusterVersion", ""), wanted)
    cluster = _merged(
        _cluster_defaults(call, path, wanted, network, version),
        {
            key: value
            for key, value in wanted.items()
            if key
            not in (
                "nodePools",
                "nodeConfig",
                "initialNodeCount",
                "initialClusterVersion",
                "network",
                "subnetwork",
                "masterAuth",
            )
        },
    )
    prepared = [(f"{path}/nodePools/{pool.get('name', '')}", _new_pool(call, cluster, path, pool)) for pool in pools]
    call.state.put(path, _touched(call, {**cluster, "status": "PROVISIONING"}))
    for where, pool in prepared:
        call.state.put(where, pool)

    def done(failure: Failure | None) -> None:
        if failure:
            _set(call, path, status="ERROR", statusMessage=failure.message, conditions=_conditions(failure))
            return
        _set(call, path, status="RUNNING", **_control_plane(call, path))
        for where, _pool in prepared:
            _run_pool(call, where)

    return _start(
        call, "CREATE_CLUSTER", path, done, failure=_short_of_quota(call, [pool for _where, pool in prepared])
    )


@carries_out(f"{_CLUSTERS}.get")
def get_cluster(call: Call) -> Resource:
    return _shown_cluster(call, call.path)


@carries_out(f"{_CLUSTERS}.list")
def list_clusters(call: Call) -> Resource:
    found = [
        _shown_cluster(call, path)
        for collection in _everywhere(call)
        for path, _cluster in call.state.children(collection)
    ]
    return {"clusters": found} if found else {}


@carries_out(f"{_CLUSTERS}.update")
def update_cluster(call: Call) -> Resource:
    cluster = _cluster(call, call.path)
    update = call.body.get("update") or {}
    _check_etag(update.get("etag"), cluster)
    fields = [field for field in update if field not in ("etag", "desiredNodePoolId", "desiredImageType")]
    if len(fields) != 1:
        raise invalid(
            "Must specify exactly one field to update." if fields else "Must specify a field to update.", "update"
        )
    (field,) = fields
    if field == "desiredNodeVersion":
        return _upgrade_pools(call, update)
    place = _place_of(call, field)
    value = update[field]
    if field == "desiredMasterVersion":
        value = _version(value, cluster)
    if field == "desiredLocations":
        _check_zones(call, value)

    def apply(changed: Resource) -> None:
        target = changed
        for part in place[:-1]:
            target = target.setdefault(part, {})
        _put_field(target, place[-1], value, merge=field != "desiredMasterAuthorizedNetworksConfig")
        if field == "desiredDefaultEnablePrivateNodes":
            changed["privateClusterConfig"]["enablePrivateNodes"] = value

    return _change_cluster(
        call, call.path, "UPGRADE_MASTER" if field == "desiredMasterVersion" else "UPDATE_CLUSTER", apply
    )


@carries_out(f"{_CLUSTERS}.updateMaster")
def update_master(call: Call) -> Resource:
    version = _version(call.body.get("masterVersion", ""), _cluster(call, call.parent))
    return _change_cluster(
        call, call.parent, "UPGRADE_MASTER", lambda cluster: cluster.update(currentMasterVersion=version)
    )


@carries_out(f"{_CLUSTERS}.setResourceLabels")
def set_labels(call: Call) -> Resource:
    cluster = _cluster(call, call.parent)
    if call.body.get("labelFingerprint") != cluster["labelFingerprint"]:
        raise precondition("Labels could not be set due to fingerprint mismatch.")
    labels = call.body.get("resourceLabels") or {}
    fingerprint = call.state.etag()
    return _change_cluster(
        call,
        call.parent,
        "SET_LABELS",
        lambda changed: changed.update(resourceLabels=labels, labelFingerprint=fingerprint),
    )


@carries_out(f"{_CLUSTERS}.setAddons")
def set_addons(call: Call) -> Resource:
    wanted = call.body.get("addonsConfig") or {}

    def apply(cluster: Resource) -> None:
        cluster["addonsConfig"] = _merged(cluster["addonsConfig"], wanted)

    return _change_cluster(call, call.parent, "UPDATE_CLUSTER", apply)


@carries_out(f"{_CLUSTERS}.setLocations")
def set_locations(call: Call) -> Resource:
    zones = call.body.get("locations") or []
    _check_zones(call, zones)
    return _change_cluster(call, call.parent, "UPDATE_CLUSTER", lambda cluster: cluster.update(locations=zones))


@carries_out(f"{_CLUSTERS}.setMaintenancePolicy")
def set_maintenance(call: Call) -> Resource:
    policy = call.body.get("maintenancePolicy") or {}
    _check_etag(
        policy.get("resourceVersion"), {"etag": _cluster(call, call.parent)["maintenancePolicy"]["resourceVersion"]}
    )
    policy = {**policy, "resourceVersion": f"{call.state.number():08x}"}
    return _change_cluster(
        call, call.parent, "SET_MAINTENANCE_POLICY", lambda cluster: cluster.update(maintenancePolicy=policy)
    )


@carries_out(f"{_CLUSTERS}.setLogging", f"{_CLUSTERS}.setMonitoring")
def set_service(call: Call) -> Resource:
    field = "loggingService" if call.id.endswith("Logging") else "monitoringService"
    return _change_cluster(
        call, call.parent, "UPDATE_CLUSTER", lambda cluster: cluster.update({field: call.body.get(field, "none")})
    )


@carries_out(f"{_CLUSTERS}.delete")
def delete_cluster(call: Call) -> Resource:
    _check_idle(call, call.path, "")
    _set(call, call.path, status="STOPPING")

    def done(failure: Failure | None) -> None:
        if failure:
            _set(call, call.path, status="ERROR", statusMessage=failure.message)
            return
        for where, _pool in call.state.children(f"{call.path}/nodePools"):
            _remove_pool(call, where)
        call.state.remove(call.path)

    return _start(call, "DELETE_CLUSTER", call.path, done)


# Node pools


@carries_out(f"{_POOLS}.create")
def create_pool(call: Call) -> Resource:
    wanted = call.body.get("nodePool") or {}
    path = f"{call.path}/{wanted.get('name', '')}"
    if call.state.find(path):
        raise exists(f"Already exists: {call.name(path)}.")
    cluster = _check_idle(call, call.parent, path)
    if (cluster.get("autopilot") or {}).get("enabled"):
        raise invalid("Autopilot clusters do not support mutating node pools.")
    pool = call.state.put(path, _new_pool(call, cluster, call.parent, wanted))

    def done(failure: Failure | None) -> None:
        if failure:
            _set(call, path, status="ERROR", statusMessage=failure.message, conditions=_conditions(failure))
        else:
            _run_pool(call, path)

    return _start(
        call, "CREATE_NODE_POOL", path, done, failure=_refused_by_machines(pool) or _short_of_quota(call, [pool])
    )


@carries_out(f"{_POOLS}.get")
def get_pool(call: Call) -> Resource:
    return _shown(_pool(call, call.path))


@carries_out(f"{_POOLS}.list")
def list_pools(call: Call) -> Resource:
    _cluster(call, call.parent)
    found = [_shown(pool) for _path, pool in call.state.children(call.path)]
    return {"nodePools": found} if found else {}


@carries_out(f"{_POOLS}.update")
def update_pool(call: Call) -> Resource:
    pool = _pool(call, call.path)
    _check_etag(call.body.get("etag"), pool)
    fields = {
        field: value
        for field, value in call.body.items()
        if value not in ("", None) and field not in ("etag", "name", "projectId", "zone", "clusterId", "nodePoolId")
    }
    if not fields:
        raise invalid(
            "At least one of ['node_version', 'image_type', 'locations', 'workload_metadata_config', 'upgrade_settings', "
            "'labels', 'taints', ...] must be specified."
        )
    cluster = _cluster(call, _cluster_of(call.path))
    if "nodeVersion" in fields:
        fields["nodeVersion"] = _node_version(fields["nodeVersion"], cluster)
    if "diskSizeGb" in fields:
        fields["diskSizeGb"] = int(fields["diskSizeGb"])

    def apply(changed: Resource) -> None:
        for field, value in fields.items():
            *above, last = _POOL_PLACES.get(field, ("config", field))
            target = changed
            for part in above:
                target = target.setdefault(part, {})
            if field in _WRAPPED:
                target[last] = value.get(_WRAPPED[field])
            else:
                _put_field(target, last, value, merge=True)
        if "locations" in fields:
            changed["instanceGroupUrls"] = _groups(call, cluster["name"], changed["name"], changed["locations"])
        config = changed["config"]
        if "taints" in fields:
            config["taints"] = [*(config["taints"] or []), *_own_taints(config["machineType"])]
        config["resourceLabels"] = {**(config["resourceLabels"] or {}), **_own_labels(config)}
        config["bootDisk"] |= {"diskType": config["diskType"], "sizeGb": str(config["diskSizeGb"])}

    return _change_pool(call, call.path, "UPGRADE_NODES", apply)


@carries_out(f"{_POOLS}.setSize")
def set_size(call: Call) -> Resource:
    pool, size = _pool(call, call.parent), call.body.get("nodeCount", 0)
    hosts = _hosts(pool)
    failure = None
    if hosts > 1 and size not in (0, hosts):
        told = (
            f"Google Compute Engine: Invalid value for field 'resource.resizeBy': '{size}'. Requested invalid target size "
            f"'{size}' for a Managed Instance Group in the gang mode of size '{hosts}'. Should be equal to the gang size."
        )
        failure = Failure("INVALID_ARGUMENT", told)
    grown = {**pool, "initialNodeCount": size}
    failure = failure or _short_of_quota(call, [grown])
    return _change_pool(
        call, call.parent, "SET_NODE_POOL_SIZE", lambda changed: changed.update(initialNodeCount=size), failure
    )


@carries_out(f"{_POOLS}.setAutoscaling")
def set_autoscaling(call: Call) -> Resource:
    wanted = call.body.get("autoscaling") or {}
    pool = _pool(call, call.parent)
    _check_autoscaling({**pool, "autoscaling": wanted})
    return _change_pool(call, call.parent, "UPDATE_CLUSTER", lambda changed: changed.update(autoscaling=wanted))


@carries_out(f"{_POOLS}.setManagement")
def set_management(call: Call) -> Resource:
    wanted = call.body.get("management") or {}
    return _change_pool(
        call, call.parent, "SET_NODE_POOL_MANAGEMENT", lambda changed: changed.update(management=wanted)
    )


@carries_out(f"{_POOLS}.rollback")
def rollback(call: Call) -> Resource:
    """Nothing is left to roll back: an update is whole or has not begun."""
    return _change_pool(call, call.parent, "UPGRADE_NODES", lambda _changed: None)


@carries_out(f"{_POOLS}.completeUpgrade")
def complete_upgrade(call: Call) -> Resource:
    _pool(call, call.parent)
    return {}


@carries_out(f"{_POOLS}.delete")
def delete_pool(call: Call) -> Resource:
    _pool(call, call.path)
    _check_idle(call, _cluster_of(call.path), call.path)
    _set(call, call.path, status="STOPPING")

    def done(failure: Failure | None) -> None:
        if failure:
            _set(call, call.path, status="ERROR", statusMessage=failure.message)
        else:
            _remove_pool(call, call.path)

    return _start(call, "DELETE_NODE_POOL", call.path, done)


# Operations


@carries_out(f"{_LOCATIONS}.operations.get")
def get_operation(call: Call) -> Resource:
    call.state.operations.look(call.path)
    return call.state.get(call.path, f"Not found: {call.name()}.")


@carries_out("container.projects.zones.operations.get")
def get_zonal_operation(call: Call) -> Resource:
    """The older path, which links of operations in zones have."""
    path = call.path.replace("/zones/", "/locations/")
    call.state.operations.look(path)
    return call.state.get(path, f"Not found: {call.name()}.")


@carries_out(f"{_LOCATIONS}.operations.list")
def list_operations(call: Call) -> Resource:
    found = []
    for collection in _everywhere(call):
        for path, operation in call.state.children(collection):
            call.state.operations.look(path)
            found.append(operation)
    return {"operations": found} if found else {}


@carries_out(f"{_LOCATIONS}.operations.cancel")
def cancel_operation(call: Call) -> Resource:
    operation = call.state.get(call.parent, f"Not found: {call.name(call.parent)}.")
    if operation["operationType"] not in ("UPGRADE_NODES", "CREATE_NODE_POOL"):
        raise precondition(f"Operations of type {operation['operationType']} cannot be cancelled.")
    if not call.state.operations.cancel(call.parent, Failure("CANCELLED", "The operation was cancelled.")):
        raise precondition("The operation is done.")
    return {}


def _start(
    call: Call, kind: str, path: str, done: Callable[[Failure | None], None], *, failure: Failure | None = None
) -> Resource:
    """Begin an operation on a cluster or node pool."""
    number = call.state.number()
    name = f"operation-{1760000000000 + number}-{number:08x}"
    parent = path.partition("/clusters/")[0]
    location = parent.rpartition("/")[2]
    zonal = location != places.region_of(location)
    project = call.state.projects[call.project()]
    links = f"https://container.googleapis.com/v1/projects/{project}/{'zones' if zonal else 'locations'}/{location}"
    where = f"{parent}/operations/{name}"
    operation = call.state.put(
        where,
        {
            "name": name,
            "operationType": kind,
            "status": "RUNNING",
            "selfLink": f"{links}/operations/{name}",
            "targetLink": links + path.removeprefix(parent),
            "startTime": now(),
            **({"zone": location} if zonal else {"zone": location, "location": location}),
        },
    )

    def finish(reason: Failure | None) -> None:
        operation.update(status="DONE", endTime=now())
        if reason:
            code = CODES.get(reason.code, 2)
            operation.update(
                error={"code": code, "message": reason.message},
                statusMessage=reason.message,
                nodepoolConditions=_conditions(reason),
            )
        done(reason)

    call.state.operations.start(where, f"{kind} {path}", finish, looks=1, failure=failure)
    return operation


def _conditions(failure: Failure) -> list[Resource]:
    code = failure.code if failure.code in CODES else "UNKNOWN"
    return [{"canonicalCode": code, "message": failure.message, **({"code": failure.reason} if failure.reason else {})}]


def _check_idle(call: Call, cluster: str, pool: str) -> Resource:
    """The cluster, if nothing is under way that excludes an operation on it, or on one of its node pools.

    Operations on different node pools go side by side; everything else on a cluster excludes everything else.

    :raises ApiError: 404; 400 FAILED_PRECONDITION.
    """
    found = _cluster(call, cluster)
    for _path, operation in call.state.children(f"{cluster.partition('/clusters/')[0]}/operations"):
        target = operation["targetLink"].rpartition("/clusters/")[2]
        name, _slash, busy = target.partition("/nodePools/")
        if operation["status"] == "DONE" or name != cluster.rpartition("/")[2]:
            continue
        if not pool or not busy or busy == pool.rpartition("/")[2]:
            info = {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "CLUSTER_ALREADY_HAS_OPERATION",
                "domain": "container.googleapis.com",
            }
            told = f"Cluster is running incompatible operation {operation['name']}."
            raise ApiError(400, told, "FAILED_PRECONDITION", [info])
    if found["status"] == "ERROR" and pool:
        raise precondition(f"Cluster {found['name']} is in error state and cannot be changed.")
    return found


def _change_cluster(call: Call, path: str, kind: str, apply: Callable[[Resource], None]) -> Resource:
    _check_idle(call, path, "")
    _set(call, path, status="RECONCILING")

    def done(failure: Failure | None) -> None:
        changed = copy.deepcopy(_cluster(call, path))
        if not failure:
            apply(changed)
        call.state.put(path, _touched(call, {**changed, "status": "RUNNING"}))

    return _start(call, kind, path, done)


def _change_pool(
    call: Call, path: str, kind: str, apply: Callable[[Resource], None], failure: Failure | None = None
) -> Resource:
    pool = _pool(call, path)
    _check_idle(call, _cluster_of(path), path)
    before = pool["status"]
    _set(call, path, status="RECONCILING")

    def done(reason: Failure | None) -> None:
        changed = copy.deepcopy(_pool(call, path))
        changed["status"] = before
        if not reason:
            apply(changed)
        call.state.put(path, _touched(call, changed))
        _put_groups(call, path)

    return _start(call, kind, path, done, failure=failure)


def _put_field(target: Resource, name: str, value: Any, *, merge: bool) -> None:
    both = isinstance(value, dict) and isinstance(target.get(name), dict)
    target[name] = _merged(target[name], value) if merge and both else value


def _upgrade_pools(call: Call, update: Resource) -> Resource:
    """Bring one node pool, or all, to another version."""
    cluster = _cluster(call, call.path)
    version = _node_version(update["desiredNodeVersion"], cluster)
    chosen = update.get("desiredNodePoolId")
    paths = [path for path, pool in call.state.children(f"{call.path}/nodePools") if chosen in (None, pool["name"])]
    if not paths:
        raise ApiError(404, f"Not found: node pool {chosen}.")
    if len(paths) == 1:
        return _change_pool(call, paths[0], "UPGRADE_NODES", lambda pool: pool.update(version=version))

    def done(failure: Failure | None) -> None:
        for path in () if failure else paths:
            _set(call, path, version=version)

    _check_idle(call, call.path, "")
    return _start(call, "UPGRADE_NODES", call.path, done)


# What is there


def _cluster_of(path: str) -> str:
    return path.partition("/nodePools/")[0]


def _cluster(call: Call, path: str) -> Resource:
    _check_location(call)
    return call.state.get(path, f"Not found: {call.name(path)}.")


def _pool(call: Call, path: str) -> Resource:
    _cluster(call, _cluster_of(path))
    return call.state.get(path, f"Not found: {call.name(path)}.")


def _everywhere(call: Call) -> Iterator[str]:
    """Paths of a collection in the location that is meant, or in all (``-``)."""
    location = call.parameters["parent"].rpartition("/")[2] if "parent" in call.parameters else ""
    if location != "-":
        _check_location(call)
        yield call.path
        return
    for region in places.REGIONS:
        for known in (region, *places.zones_of(region)):
            yield call.path.replace("/locations/-/", f"/locations/{known}/")


def _set(call: Call, path: str, **fields: Any) -> None:
    call.state.put(path, _touched(call, {**call.state.get(path), **fields}))


def _touched(call: Call, resource: Resource) -> Resource:
    return {**resource, "etag": call.state.etag()}


def _shown_cluster(call: Call, path: str) -> Resource:
    pools = [pool for _where, pool in call.state.children(f"{path}/nodePools")]
    cluster = dict(_cluster(call, path))
    groups = [url for pool in pools for url in pool["instanceGroupUrls"]]
    cluster["currentNodeCount"] = sum(
        pool["initialNodeCount"] * len(pool["locations"]) for pool in pools if pool["status"] == "RUNNING"
    )
    if pools:
        cluster |= {
            "nodePools": pools,
            "nodeConfig": pools[0]["config"],
            "instanceGroupUrls": groups,
            "currentNodeVersion": pools[0]["version"],
        }
    return _shown(cluster)


_MAPS = ("labels", "metadata", "resourceLabels")
#: Where Google tells false from not set.
_TELLS_FALSE = ("controlPlaneEndpointsConfig", "insecureKubeletReadonlyPortEnabled")


def _shown(resource: Any, name: str = "") -> Any:
    """As JSON of proto3 has it: nothing that is false, 0 or empty, but messages without fields."""
    if name in _TELLS_FALSE:
        return resource
    if isinstance(resource, list):
        return [_shown(item) for item in resource]
    if not isinstance(resource, dict):
        return resource
    shown = {key: _shown(value, key) for key, value in resource.items()}
    return {
        key: value
        for key, value in shown.items()
        if (isinstance(value, dict) and (value or key not in _MAPS))
        or key in _TELLS_FALSE
        or value not in (False, 0, "", [], {}, None)
    }


def _merged(current: Resource, wanted: Resource) -> Resource:
    merged = dict(current)
    for name, value in wanted.items():
        if isinstance(value, dict) and isinstance(merged.get(name), dict):
            merged[name] = _merged(merged[name], value)
        elif value is not None:
            merged[name] = value
    return merged


# New ones


def _check_location(call: Call) -> None:
    location = re.search(r"/locations/([^/:]+)", call.path)
    call.project()
    if location and location[1] != "-" and not places.exists(location[1]):
        raise ApiError(403, f"Permission denied on 'locations/{location[1]}' (or it may not exist).")


def _check_zones(call: Call, zones: list[str]) -> None:
    location = re.search(r"/locations/([^/:]+)", call.path)
    region = places.region_of(location[1] if location else "")
    for zone in zones:
        if zone not in places.zones_of(region):
            raise invalid(f'Location "{zone}" is not a zone of region "{region}".', "locations")


def _check_etag(given: str | None, resource: Resource) -> None:
    if given and given != resource["etag"]:
        raise stale("The etag does not match the current one. Read the resource again, and repeat the change.")


def _place_of(call: Call, field: str) -> tuple[str, ...]:
    """Where a field of ClusterUpdate is in the cluster."""
    if field in _PLACES:
        return _PLACES[field]
    plain = re.sub(r"^desired(.)", lambda found: found[1].lower(), field)
    if plain in call.schemas["Cluster"]["properties"]:
        return (plain,)
    if plain in call.schemas["NetworkConfig"]["properties"]:
        return ("networkConfig", plain)
    raise ApiError(501, f"The stand-in for Google's APIs does not know what {field} changes.")


def _pools_of_new_cluster(wanted: Resource) -> list[Resource]:
    """The node pools that a cluster is created with.

    :raises ApiError: what is said about them contradicts itself.
    """
    pools, count = wanted.get("nodePools") or [], wanted.get("initialNodeCount", 0)
    if (wanted.get("autopilot") or {}).get("enabled"):
        if pools:
            raise invalid("Autopilot clusters do not support node pools of one's own.", "cluster.node_pools")
        return []
    if pools and (count or wanted.get("nodeConfig")):
        raise invalid(
            "Cluster.initial_node_count and Cluster.node_config must be unset when Cluster.node_pools is set.",
            "cluster",
        )
    if pools:
        return list(pools)
    if count < 1:
        raise invalid("Cluster.initial_node_count must be greater than zero.", "cluster.initial_node_count")
    return [{"name": "default-pool", "initialNodeCount": count, "config": wanted.get("nodeConfig") or {}}]


def _network(call: Call, wanted: Resource) -> dict[str, str]:
    """Names and ranges of a cluster's network.

    :raises ApiError: the project has no such network, subnetwork or range.
    """
    project = call.project()
    region = places.region_of(call.path.split("/locations/")[1].partition("/")[0])
    network, subnetwork = wanted.get("network") or "default", wanted.get("subnetwork") or "default"
    owner = re.search(r"projects/([^/]+)/", subnetwork) or re.search(r"projects/([^/]+)/", network)
    owner_id = owner[1] if owner else project
    network, subnetwork = network.rpartition("/")[2], subnetwork.rpartition("/")[2]
    facts = {
        "network": network,
        "subnetwork": subnetwork,
        "fullNetwork": f"projects/{owner_id}/global/networks/{network}",
        "fullSubnetwork": f"projects/{owner_id}/regions/{region}/subnetworks/{subnetwork}",
        "pods": "10.96.0.0/14",
        "services": "34.118.224.0/20",
    }
    if owner_id != project or network == "default":
        return facts
    if not call.state.find(f"compute/compute/v1/{facts['fullNetwork']}"):
        raise invalid(f'Network "{network}" does not exist in project "{project}".', "cluster.network")
    found = call.state.find(f"compute/compute/v1/{facts['fullSubnetwork']}")
    if not found:
        raise invalid(f'Subnetwork "{subnetwork}" does not exist in region "{region}".', "cluster.subnetwork")
    ranges = {entry["rangeName"]: entry["ipCidrRange"] for entry in found.get("secondaryIpRanges", ())}
    policy = wanted.get("ipAllocationPolicy") or {}
    for key, field, label in (
        ("pods", "clusterSecondaryRangeName", "Pod"),
        ("services", "servicesSecondaryRangeName", "Services"),
    ):
        name = policy.get(field)
        if name and name not in ranges:
            raise invalid(
                f'{label} secondary range "{name}" does not exist in network "{network}", subnetwork "{subnetwork}".',
                f"cluster.ip_allocation_policy.{field}",
            )
        facts[key] = ranges.get(name, facts[key])
    return facts


def _version(wanted: str, cluster: Resource) -> str:
    """The version that is meant: in full, ``1.34``, ``latest``, ``-``, or nothing."""
    channel = (cluster.get("releaseChannel") or {}).get("channel", "REGULAR")
    valid = _CHANNELS.get(channel, _VERSIONS[::-1])
    if wanted in ("", "-"):
        return valid[0]
    if wanted == "latest":
        return _VERSIONS[-1]
    found = [
        version for version in _VERSIONS[::-1] if version == wanted or version.startswith((f"{wanted}.", f"{wanted}-"))
    ]
    if not found:
        raise invalid(f'Master version "{wanted}" is unsupported.', "version")
    return found[0]


def _node_version(wanted: str, cluster: Resource) -> str:
    version = cluster["currentMasterVersion"] if wanted in ("", "-") else _version(wanted, cluster)
    if _VERSIONS.index(version) > _VERSIONS.index(cluster["currentMasterVersion"]):
        raise invalid(
            f'Node version "{version}" must not be newer than the control plane\'s "{cluster["currentMasterVersion"]}".',
            "version",
        )
    return version


def _cluster_defaults(call: Call, path: str, wanted: Resource, network: dict[str, str], version: str) -> Resource:
    location = path.split("/locations/")[1].partition("/")[0]
    autopilot = bool((wanted.get("autopilot") or {}).get("enabled"))
    zones = [location] if location != places.region_of(location) else places.zones_of(location)[:3]
    policy = wanted.get("ipAllocationPolicy") or {}
    components = ["SYSTEM_COMPONENTS"]
    project = call.project()
    return {
        "id": f"{call.state.number():064x}",
        "location": location,
        "zone": location,
        "locations": zones,
        "selfLink": f"https://container.googleapis.com/v1/{call.name(path)}",
        "createTime": now(),
        "currentMasterVersion": version,
        "currentNodeVersion": version,
        "initialClusterVersion": version,
        "network": network["network"],
        "subnetwork": network["subnetwork"],
        "labelFingerprint": call.state.etag(),
        "resourceLabels": {},
        "legacyAbac": {},
        "addonsConfig": {
            "dnsCacheConfig": {"enabled": True} if autopilot else {},
            "gcePersistentDiskCsiDriverConfig": {"enabled": True},
            "gcpFilestoreCsiDriverConfig": {"enabled": True} if autopilot else {},
            "gcsFuseCsiDriverConfig": {"enabled": True} if autopilot else {},
            "kubernetesDashboard": {"disabled": True},
            "networkPolicyConfig": {"disabled": True},
            "rayOperatorConfig": {},
        },
        "anonymousAuthenticationConfig": {"mode": "ENABLED"},
        "autopilot": {},
        "autoscaling": {"autoscalingProfile": "BALANCED"},
        "binaryAuthorization": {},
        "clusterIpv4Cidr": network["pods"],
        "servicesIpv4Cidr": network["services"],
        "databaseEncryption": {"currentState": "CURRENT_STATE_DECRYPTED", "state": "DECRYPTED"},
        "defaultMaxPodsConstraint": {"maxPodsPerNode": "110"},
        "enterpriseConfig": {"clusterTier": "STANDARD"},
        "ipAllocationPolicy": {
            "clusterIpv4Cidr": network["pods"],
            "clusterIpv4CidrBlock": network["pods"],
            "clusterSecondaryRangeName": policy.get("clusterSecondaryRangeName") or f"gke-{wanted['name']}-pods",
            "defaultPodIpv4RangeUtilization": 0.0006,
            "podCidrOverprovisionConfig": {},
            "servicesIpv4Cidr": network["services"],
            "servicesIpv4CidrBlock": network["services"],
            "stackType": "IPV4",
            "useIpAliases": True,
        },
        "loggingConfig": {"componentConfig": {"enableComponents": [*components, "WORKLOADS"]}},
        "loggingService": "logging.googleapis.com/kubernetes",
        "maintenancePolicy": {"resourceVersion": "e3b0c442"},
        "masterAuth": {"clientCertificateConfig": {}},
        "masterAuthorizedNetworksConfig": {"gcpPublicCidrsAccessEnabled": True},
        "monitoringConfig": {
            "advancedDatapathObservabilityConfig": {},
            "componentConfig": {
                "enableComponents": [
                    *components,
                    "STORAGE",
                    "HPA",
                    "POD",
                    "DAEMONSET",
                    "DEPLOYMENT",
                    "STATEFULSET",
                    "JOBSET",
                    "CADVISOR",
                    "KUBELET",
                    "DCGM",
                ]
            },
            "managedPrometheusConfig": {"enabled": True, "autoMonitoringConfig": {"scope": "NONE"}},
        },
        "monitoringService": "monitoring.googleapis.com/kubernetes",
        "networkConfig": {
            "defaultSnatStatus": {},
            "network": network["fullNetwork"],
            "subnetwork": network["fullSubnetwork"],
            "serviceExternalIpsConfig": {},
            **({"datapathProvider": "ADVANCED_DATAPATH"} if autopilot else {}),
        },
        "nodePoolAutoConfig": {},
        "nodePoolDefaults": {"nodeConfigDefaults": {"loggingConfig": {"variantConfig": {"variant": "DEFAULT"}}}},
        "notificationConfig": {"pubsub": {}},
        "podAutoscaling": {"hpaProfile": "PERFORMANCE"},
        "privateClusterConfig": {},
        "rbacBindingConfig": {
            "enableInsecureBindingSystemAuthenticated": True,
            "enableInsecureBindingSystemUnauthenticated": True,
        },
        "releaseChannel": {"channel": "REGULAR"},
        "securityPostureConfig": {"mode": "BASIC", "vulnerabilityMode": "VULNERABILITY_DISABLED"},
        "shieldedNodes": {"enabled": True},
        **(
            {
                "verticalPodAutoscaling": {"enabled": True},
                "workloadIdentityConfig": {"workloadPool": f"{project}.svc.id.goog"},
            }
            if autopilot
            else {}
        ),
    }


def _control_plane(call: Call, path: str) -> Resource:
    """What a cluster has once its control plane is there."""
    cluster = call.state.get(path)
    number = call.state.number()
    endpoint = str(ipaddress.ip_address("34.16.0.0") + number)
    private = str(ipaddress.ip_address("10.128.0.0") + number)
    name = f"gke-{cluster['id'][-12:]}-{call.state.projects[call.project()]}.{places.region_of(cluster['location'])}.gke.goog"
    endpoints = {
        "dnsEndpointConfig": {"allowExternalTraffic": False, "endpoint": name},
        "ipEndpointsConfig": {
            "authorizedNetworksConfig": cluster["masterAuthorizedNetworksConfig"],
            "enablePublicEndpoint": True,
            "enabled": True,
            "globalAccess": False,
            "privateEndpoint": private,
            "publicEndpoint": endpoint,
        },
    }
    return {
        "endpoint": endpoint,
        "controlPlaneEndpointsConfig": _merged(endpoints, cluster.get("controlPlaneEndpointsConfig") or {}),
        "privateClusterConfig": {
            **cluster["privateClusterConfig"],
            "privateEndpoint": private,
            "publicEndpoint": endpoint,
        },
        "masterAuth": {"clientCertificateConfig": {}, "clusterCaCertificate": "bm90IGEgY2VydGlmaWNhdGU="},
    }


def _new_pool(call: Call, cluster: Resource, path: str, wanted: Resource) -> Resource:
    """A node pool as it is when it has just been asked for.

    :raises ApiError: it cannot be as it is wanted.
    """
    name = wanted.get("name", "")
    if not re.fullmatch(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", name):
        raise invalid(f'Invalid value for field "node_pool.name": "{name}".', "node_pool.name")
    zones = wanted.get("locations") or cluster["locations"]
    _check_zones(call, zones)
    config = wanted.get("config") or {}
    machine = config.get("machineType") or "e2-medium"
    for zone in zones:
        if not places.has_machine(zone, machine):
            raise invalid(
                f'Invalid machine type "{machine}" in zone "{zone}": GCE_NOT_FOUND.', "node_pool.config.machine_type"
            )
    region = places.region_of(cluster["location"])
    disk = "hyperdisk-balanced" if places.family(machine) in ("ct6e", "tpu7x", "n4", "c4") else "pd-balanced"
    network = cluster["networkConfig"]
    pool = _merged(
        {
            "config": {
                "machineType": machine,
                "diskSizeGb": 100,
                "diskType": disk,
                "bootDisk": {"diskType": config.get("diskType", disk), "sizeGb": str(config.get("diskSizeGb", 100))},
                "effectiveCgroupMode": "EFFECTIVE_CGROUP_MODE_V2",
                "imageType": "COS_CONTAINERD",
                "kubeletConfig": {"insecureKubeletReadonlyPortEnabled": False, "maxParallelImagePulls": 3},
                "loggingConfig": {"variantConfig": {"variant": "DEFAULT"}},
                "metadata": {"disable-legacy-endpoints": "true"},
                "oauthScopes": [f"https://www.googleapis.com/auth/{scope}" for scope in _SCOPES],
                "serviceAccount": "default",
                "shieldedInstanceConfig": {"enableIntegrityMonitoring": True},
                "windowsNodeConfig": {},
                **(
                    {"workloadMetadataConfig": {"mode": "GKE_METADATA"}}
                    if cluster.get("workloadIdentityConfig")
                    else {}
                ),
            },
            "initialNodeCount": 0,
            "instanceGroupUrls": _groups(call, cluster["name"], name, zones),
            "locations": zones,
            "management": {"autoRepair": True, "autoUpgrade": True},
            "maxPodsConstraint": {"maxPodsPerNode": "110"},
            "networkConfig": {
                "network": network["network"],
                "subnetwork": network["subnetwork"],
                "podIpv4CidrBlock": cluster["clusterIpv4Cidr"],
                "podIpv4RangeUtilization": 0.0006,
                "podRange": cluster["ipAllocationPolicy"]["clusterSecondaryRangeName"],
            },
            "podIpv4CidrSize": 24,
            "queuedProvisioning": {},
            "selfLink": f"https://container.googleapis.com/v1/{call.name(path)}/nodePools/{name}",
            "upgradeSettings": {"maxSurge": 1, "strategy": "SURGE"},
            "version": cluster["currentMasterVersion"],
            "etag": call.state.etag(),
        },
        wanted,
    )
    pool["version"] = _node_version(wanted.get("version", ""), cluster)
    pool["status"] = "PROVISIONING"
    pool["config"]["taints"] = [*(config.get("taints") or []), *_own_taints(machine)]
    pool["config"]["resourceLabels"] = {**(config.get("resourceLabels") or {}), **_own_labels(pool["config"])}
    _check_pool(call, pool, region)
    return pool


def _groups(call: Call, cluster: str, pool: str, zones: list[str]) -> list[str]:
    """Links of a node pool's managed instance groups, one in each zone."""
    links = f"https://www.googleapis.com/compute/v1/projects/{call.project()}"
    return [
        f"{links}/zones/{zone}/instanceGroupManagers/gke-{cluster}-{pool}-{zlib.crc32(zone.encode()):08x}-grp"
        for zone in zones
    ]


def _own_taints(machine: str) -> list[Resource]:
    """What GKE adds to nodes with TPUs. https://cloud.google.com/kubernetes-engine/docs/concepts/tpus"""
    return [{"key": "google.com/tpu", "value": "present", "effect": "NO_SCHEDULE"}] if places.chips(machine) else []


def _own_labels(config: Resource) -> dict[str, str]:
    model = "spot" if config.get("spot") else "flex-start" if config.get("flexStart") else "on-demand"
    if (config.get("reservationAffinity") or {}).get("consumeReservationType") == "SPECIFIC_RESERVATION":
        model = "reservation"
    return {"goog-gke-node-pool-provisioning-model": model}


def _hosts(pool: Resource) -> int:
    """VMs of the slice of a multi-host pool, 0 for other pools."""
    topology = (pool.get("placementPolicy") or {}).get("tpuTopology", "")
    return places.slice_size(pool["config"]["machineType"], topology) if topology else 0


def _check_pool(call: Call, pool: Resource, region: str) -> None:
    """:raises ApiError: fields contradict each other."""
    config, placement = pool["config"], pool.get("placementPolicy") or {}
    machine, topology = config["machineType"], placement.get("tpuTopology", "")
    reserved = (config.get("reservationAffinity") or {}).get("consumeReservationType", "NO_RESERVATION")
    if topology and not _hosts(pool):
        raise invalid(
            f'Invalid TPU topology "{topology}" for machine type "{machine}".',
            "node_pool.placement_policy.tpu_topology",
        )
    if config.get("flexStart") and reserved not in ("NO_RESERVATION", "UNSPECIFIED"):
        raise invalid("Flex start cannot be combined with a reservation.", "node_pool.config.flex_start")
    if config.get("flexStart") and config.get("spot"):
        raise invalid("Flex start cannot be combined with Spot VMs.", "node_pool.config.flex_start")
    if reserved == "SPECIFIC_RESERVATION" and not (
        config["reservationAffinity"].get("values") and config["reservationAffinity"].get("key")
    ):
        raise invalid("A specific reservation needs key and values.", "node_pool.config.reservation_affinity")
    policy = placement.get("policyName")
    if policy and not call.state.find(
        f"compute/compute/v1/projects/{call.project()}/regions/{region}/resourcePolicies/{policy}"
    ):
        raise invalid(
            f'Resource policy "{policy}" does not exist in region "{region}".', "node_pool.placement_policy.policy_name"
        )
    if (pool["queuedProvisioning"] or {}).get("enabled") and not (pool.get("autoscaling") or {}).get("enabled"):
        raise invalid("Queued provisioning needs autoscaling to be enabled.", "node_pool.queued_provisioning")
    hosts = _hosts(pool)
    if hosts > 1 and len(pool["locations"]) > 1:
        raise invalid("A multi-host TPU slice node pool must be in a single zone.", "node_pool.locations")
    if hosts > 1 and pool["initialNodeCount"] not in (0, hosts):
        raise invalid(
            f"Node count {pool['initialNodeCount']} is not a valid size of TPU pod slice with topology {topology}.",
            "node_pool.initial_node_count",
        )
    _check_autoscaling(pool)


def _check_autoscaling(pool: Resource) -> None:
    """:raises ApiError: bounds that cannot be."""
    scaling, hosts = pool.get("autoscaling") or {}, _hosts(pool)
    if not scaling.get("enabled"):
        return
    each = {name for name in ("minNodeCount", "maxNodeCount") if scaling.get(name)}
    total = {name for name in ("totalMinNodeCount", "totalMaxNodeCount") if scaling.get(name)}
    if each and total:
        raise invalid("Limits per zone and total limits of autoscaling cannot be combined.", "node_pool.autoscaling")
    most = scaling.get("maxNodeCount") or scaling.get("totalMaxNodeCount") or 0
    if most < max(1, scaling.get("minNodeCount") or scaling.get("totalMinNodeCount") or 0):
        raise invalid(
            "The maximum of autoscaling must be at least 1 and not less than the minimum.", "node_pool.autoscaling"
        )
    if hosts > 1 and most != hosts:
        told = f"Maximum node count {most} is not a valid size of TPU pod slice with topology {pool['placementPolicy']['tpuTopology']}."
        raise invalid(told, "node_pool.autoscaling")
    if hosts > 1 and places.family(pool["config"]["machineType"]) == "tpu7x" and total:
        # Seen with tpu7x: the limit per zone counts, which is 0 where only a total one was given.
        told = f"Maximum node count 0 is not a valid size of TPU pod slice with topology {pool['placementPolicy']['tpuTopology']}."
        raise invalid(told, "node_pool.autoscaling")


def _refused_by_machines(pool: Resource) -> Failure | None:
    """What GKE takes, and Compute Engine refuses afterwards."""
    config, placement = pool["config"], pool.get("placementPolicy") or {}
    machine = config["machineType"]
    if places.family(machine) == "tpu7x" and placement.get("type") == "COMPACT":
        told = f"Creation of a managed instance group with {machine} machine type with placement policy is not supported. Use workload policy instead."
        return Failure("INVALID_ARGUMENT", f"Google Compute Engine: {told}")
    if places.family(machine) in ("ct6e", "tpu7x") and config["diskType"].startswith("pd-"):
        return Failure(
            "INVALID_ARGUMENT",
            f"Google Compute Engine: [{config['diskType']}] features are not compatible for creating instance.",
        )
    return None


def _short_of_quota(call: Call, pools: list[Resource]) -> Failure | None:
    """Whether node pools, with those that there are, take more of a region's quota than it has."""
    for (region, metric), amount in chips_in_use(call, pools).items():
        limit = call.state.quotas.get((region, metric), places.LIMITS.get(metric))
        if limit is not None and amount > limit:
            name = metric.partition("/")[0]
            told = f"Google Compute Engine: Quota '{name}' exceeded.  Limit: {limit:.1f} in region {region}."
            return Failure("RESOURCE_EXHAUSTED", told, "GCE_QUOTA_EXCEEDED")
    return None


def chips_in_use(call: Call, more: list[Resource]) -> dict[tuple[str, str], float]:
    """(region, metric) -> TPU chips of all node pools.

    :param more: node pools to count as they are here, beside or instead of those that are kept.
    """
    used: dict[tuple[str, str], float] = {}
    known = [
        pool
        for cluster in _clusters_of_project(call)
        for _path, pool in call.state.children(f"{cluster}/nodePools")
        if pool["status"] != "ERROR"
    ]
    for pool in {pool["selfLink"]: pool for pool in [*known, *more]}.values():
        machine = pool["config"]["machineType"]
        preemptible = bool(pool["config"].get("spot") or pool["config"].get("flexStart"))
        metric = places.TPU_QUOTAS.get(places.family(machine), ("", ""))[preemptible]
        key = (places.region_of(pool["locations"][0]), metric)
        used[key] = used.get(key, 0) + places.chips(machine) * pool["initialNodeCount"] * len(pool["locations"])
    return used


def _clusters_of_project(call: Call) -> Iterator[str]:
    for region in places.REGIONS:
        for location in (region, *places.zones_of(region)):
            for path, _cluster_found in call.state.children(
                f"container/v1/projects/{call.project()}/locations/{location}/clusters"
            ):
                yield path


def _run_pool(call: Call, path: str) -> None:
    _set(call, path, status="RUNNING")
    _put_groups(call, path)


def _put_groups(call: Call, path: str) -> None:
    """The managed instance groups of a node pool: only they say how many nodes there are."""
    pool = call.state.get(path)
    for url in pool["instanceGroupUrls"]:
        name, zone = url.rpartition("/")[2], url.split("/zones/")[1].partition("/")[0]
        call.state.put(
            f"compute/compute/v1/{url.partition('/v1/')[2]}",
            {
                "kind": "compute#instanceGroupManager",
                "name": name,
                "zone": f"https://www.googleapis.com/compute/v1/projects/{call.project()}/zones/{zone}",
                "selfLink": url,
                "targetSize": pool["initialNodeCount"],
            },
        )


def _remove_pool(call: Call, path: str) -> None:
    for url in call.state.get(path)["instanceGroupUrls"]:
        call.state.remove(f"compute/compute/v1/{url.partition('/v1/')[2]}")
    call.state.remove(path)
