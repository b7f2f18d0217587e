# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node pool of GKE, with or without TPUs: what is wanted of it, how it is created, and the requests that change it. Pure.

https://cloud.google.com/kubernetes-engine/docs/reference/rest/v1/projects.locations.clusters.nodePools
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._gke.fields import (
    Call,
    Data,
    Difference,
    differences,
    merged,
    picked,
    pruned,
    put,
    texts,
    touches,
    value_at,
)
from ansible_collections.modelops.serving.plugins.module_utils._gke.names import (
    check_name,
    check_project,
    check_zones,
    is_at_least,
    is_zone,
    parse_version,
    region_of,
)
from ansible_collections.modelops.serving.plugins.module_utils._tpu.capacity import (
    KINDS,
    Capacity,
    check_disk,
    node_pool,
)
from ansible_collections.modelops.serving.plugins.module_utils._tpu.errors import TpuError
from ansible_collections.modelops.serving.plugins.module_utils._tpu.slice import Slice, find, make_slice
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError

#: Ways to capacity that node pools have.
CAPACITIES = tuple(kind for kind in KINDS if kind != "compute_class")
RESERVATION_KEY = "compute.googleapis.com/reservation-name"
#: Number of nodes in each zone. The API does not say it: it is counted, and kept here under a name of our own.
NODE_COUNT = "nodeCount"

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
# Taints that GKE sets by itself, by what a node has or how it was made. Those of others stay as they are wanted.
_TAINTS_OF_GKE = re.compile(
    r"google\.com/tpu|nvidia\.com/gpu|kubernetes\.io/arch|cloud\.google\.com/(gke-queued|gke-flex-start)|sandbox\.gke\.io/.*"
)
_EFFECTS = {"NoSchedule": "NO_SCHEDULE", "PreferNoSchedule": "PREFER_NO_SCHEDULE", "NoExecute": "NO_EXECUTE"}

# Option -> field, where the value is the same in both.
_PLAIN = {
    "machine_type": "config.machineType",
    "disk_type": "config.diskType",
    "disk_size_gb": "config.diskSizeGb",
    "image_type": "config.imageType",
    "service_account": "config.serviceAccount",
    "oauth_scopes": "config.oauthScopes",
    "tags": "config.tags",
    "workload_metadata": "config.workloadMetadataConfig.mode",
    "image_streaming": "config.gcfsConfig.enabled",
    "gvnic": "config.gvnic.enabled",
    "secure_boot": "config.shieldedInstanceConfig.enableSecureBoot",
    "zones": "locations",
    "max_pods_per_node": "maxPodsConstraint.maxPodsPerNode",
    "private_nodes": "networkConfig.enablePrivateNodes",
    "pods_ip_range_name": "networkConfig.podRange",
    "accelerator_network_profile": "networkConfig.acceleratorNetworkProfile",
    "placement_policy": "placementPolicy.policyName",
    "auto_repair": "management.autoRepair",
    "auto_upgrade": "management.autoUpgrade",
    "upgrade_strategy": "upgradeSettings.strategy",
    "max_surge": "upgradeSettings.maxSurge",
    "max_unavailable": "upgradeSettings.maxUnavailable",
}
_BOUNDS = {
    "min_nodes": "minNodeCount",
    "max_nodes": "maxNodeCount",
    "total_min_nodes": "totalMinNodeCount",
    "total_max_nodes": "totalMaxNodeCount",
}
#: Field -> option, for what takes another node pool.
FIXED = {
    "config.serviceAccount": "service_account",
    "config.oauthScopes": "oauth_scopes",
    "config.shieldedInstanceConfig": "secure_boot",
    "config.spot": "capacity",
    "config.flexStart": "capacity",
    "config.reservationAffinity": "reservation",
    "placementPolicy.policyName": "placement_policy",
    "placementPolicy.tpuTopology": "topology",
    "placementPolicy.type": "topology",
    "maxPodsConstraint": "max_pods_per_node",
    "networkConfig.podRange": "pods_ip_range_name",
    "networkConfig.acceleratorNetworkProfile": "accelerator_network_profile",
}
#: Fields that one ``nodePools.update`` changes together, in the order of the requests. Zones want one of their own: with
#: them other fields would count for new nodes only.
UPDATES = (
    ("version",),
    ("config.machineType", "config.diskType", "config.diskSizeGb"),
    ("config.imageType",),
    ("config.labels", "config.taints", "config.tags", "config.resourceLabels"),
    ("config.workloadMetadataConfig",),
    ("config.gcfsConfig",),
    ("config.gvnic",),
    ("config.maxRunDuration",),
    ("queuedProvisioning",),
    ("networkConfig",),
    ("upgradeSettings",),
    ("locations",),
)
# Field of the node pool -> field of the request, where it is not the last part.
_IN_UPDATE = {"version": "nodeVersion", "networkConfig": "nodeNetworkConfig"}
# Lists and maps that the request wraps: {"taints": {"taints": []}}.
_WRAPPED = {
    "config.labels": "labels",
    "config.taints": "taints",
    "config.tags": "tags",
    "config.resourceLabels": "labels",
}


@dataclasses.dataclass(frozen=True)
class DesiredNodePool:
    """What is wanted of a node pool.

    :param wanted: fields that were given, which count for one that is there.
    :param new: what a new one gets beside them.
    :param node_count: in each zone. None leaves it as it is; a new one gets ``new_nodes``.
    :param version: the least version of its nodes.
    :param warnings: what is worth knowing of its slice.
    """

    project: str
    location: str
    cluster: str
    name: str
    wanted: Data
    new: Data
    node_count: int | None = None
    new_nodes: int = 1
    version: str | None = None
    warnings: tuple[str, ...] = ()

    noun: t.ClassVar[str] = "node pool"

    @property
    def place(self) -> str:
        """``projects/P/locations/L``."""
        return f"projects/{self.project}/locations/{self.location}"

    @property
    def collection(self) -> str:
        """Where it is created."""
        return f"{self.place}/clusters/{self.cluster}/nodePools"

    @property
    def counts_nodes(self) -> bool:
        """Whether the number of nodes has to be known."""
        return self.node_count is not None

    def creation(self) -> Data:
        """The body of the request that creates it."""
        pool = pruned(merged(merged(self.new, self.wanted), {"name": self.name}))
        pool["initialNodeCount"] = self.new_nodes if self.node_count is None else self.node_count
        if self.version:
            pool["version"] = self.version
        return {"nodePool": pool}

    def planned(self, live: Data) -> Data:
        """A live node pool as it will be."""
        planned = merged(live, self.wanted)
        if self.version and not is_at_least(live["version"], self.version):
            planned["version"] = self.version
        if self.node_count is not None and not value_at(planned, "autoscaling.enabled"):
            planned[NODE_COUNT] = self.node_count
        return planned

    def shown(self, live: Data | None) -> Data:
        """What was given, as it is in a live node pool, for a diff."""
        if live is None:
            return {}
        shown = picked(self.wanted, self._without_own(live))
        if self.node_count is not None:
            shown[NODE_COUNT] = live.get(NODE_COUNT, self.node_count)
        if self.version:
            there = live.get("version") or self.version
            shown["version"] = self.version if is_at_least(there, self.version) else there
        return shown

    def differences(self, live: Data) -> list[Difference]:
        """What is not as wanted."""
        found = differences(self.wanted, self._without_own(live))
        if self.version and not is_at_least(live["version"], self.version):
            found.append(Difference("version", live["version"], self.version))
        scales = value_at(merged(live, self.wanted), "autoscaling.enabled")
        if self.node_count is not None and not scales and live.get(NODE_COUNT) != self.node_count:
            found.append(Difference(NODE_COUNT, live.get(NODE_COUNT), self.node_count))
        return found

    def why_not(self, live: Data) -> str | None:
        """Why a live one cannot be made as wanted, as a sentence with both values; None where it can."""
        if live.get("status") == "ERROR":
            return f"GKE did not manage to make it: {str(live.get('statusMessage') or 'no reason given').rstrip('.')}."
        for one in self.differences(live):
            option = next((FIXED[field] for field in FIXED if touches(one.path, field)), None)
            if one.path == "config.machineType" and (_is_tpu(one.before) or _is_tpu(one.after)):
                option = "machine_type"
            if option:
                return (
                    f"Its {option} ({one.path}) is {one.before or 'not set'}, {one.after or 'not set'} is wanted, "
                    "and GKE cannot change it."
                )
        return None

    def calls(self, live: Data) -> list[Call]:
        """The requests that make a live one as wanted, in their order.

        :raises InputError: that takes another node pool.
        """
        reason = self.why_not(live)
        if reason:
            raise InputError(
                f"The node pool {self.name} of the cluster {self.cluster} cannot be kept. {reason}",
                hint="Give recreate: true to delete it with all that runs on it and make it anew, or take another name.",
            )
        paths = [one.path for one in self.differences(live)]
        groups = [[field for field in group if any(touches(path, field) for path in paths)] for group in UPDATES]
        calls = [self._update(group, live) for group in groups if group]
        if any(touches(path, "management") for path in paths):
            # Both are set at once.
            management = {key: value_at(live, f"management.{key}") or False for key in ("autoRepair", "autoUpgrade")}
            body = {"management": {**management, **self.wanted["management"]}}
            calls.append(_post("set auto-repair and auto-upgrade of", ":setManagement", body))
        if any(touches(path, "autoscaling") for path in paths):
            policy = value_at(live, "autoscaling.locationPolicy")
            kept = {"locationPolicy": policy} if policy and self.wanted["autoscaling"]["enabled"] else {}
            body = {"autoscaling": {**kept, **self.wanted["autoscaling"]}}
            calls.append(_post("set the autoscaling of", ":setAutoscaling", body))
        if NODE_COUNT in paths:
            calls.append(_post("resize", ":setSize", {"nodeCount": self.node_count}))
        return calls

    def follow_up(self, live: Data) -> list[Call]:
        """What is left to do when it was created: nothing."""
        del live
        return []

    def _update(self, group: t.Sequence[str], live: Data) -> Call:
        body: Data = {}
        for field in group:
            wanted: t.Any = self.version if field == "version" else value_at(self.wanted, field)
            if field == "config.taints":
                wanted = wanted + self._own_taints(live)
            elif field in ("config.labels", "config.resourceLabels"):
                wanted = merged(value_at(live, field) or {}, wanted)
            elif field == "networkConfig":  # what is fixed is as wanted already
                wanted = {"enablePrivateNodes": wanted["enablePrivateNodes"]}
            last = field.rpartition(".")[2]
            body[_IN_UPDATE.get(field, last)] = {_WRAPPED[field]: wanted} if field in _WRAPPED else wanted
        if "diskSizeGb" in body:  # 64 bits
            body["diskSizeGb"] = str(body["diskSizeGb"])
        names = " and ".join(body)
        return Call(f"set {names} of", "PUT", "", body, "container.clusters.update")

    def _without_own(self, live: Data) -> Data:
        """A live pool without the taints that GKE set itself."""
        taints = value_at(live, "config.taints")
        if not taints:
            return live
        own = self._own_taints(live)
        return merged(live, {"config": {"taints": [one for one in taints if one not in own]}})

    def _own_taints(self, live: Data) -> list[Data]:
        """Taints that GKE set itself: those that nobody wants and it knows."""
        keys = {taint["key"] for taint in value_at(self.wanted, "config.taints") or ()}
        there = value_at(live, "config.taints") or ()
        return [one for one in there if one["key"] not in keys and _TAINTS_OF_GKE.fullmatch(one["key"])]


def desired_node_pool(options: t.Mapping[str, t.Any]) -> DesiredNodePool:
    """What the options of ``gke_node_pool`` ask for.

    :raises InputError: they contradict each other, or GKE would refuse them.
    """
    given = {key: value for key, value in options.items() if value is not None}
    project = check_project(given.get("project"))
    check_name("node pool", given["name"])
    check_name("cluster", given["cluster"])
    region_of(given["location"])
    check_zones("zones", given.get("zones") or (), given["location"])
    if given.get("version"):
        parse_version(given["version"])
    on = _slice(given)
    warnings = on.warnings if on else ()
    capacity = _capacity(given, on)
    wanted: Data = {}
    for option, field in _PLAIN.items():
        put(wanted, field, given.get(option))
    new = _common()
    if on:
        put(wanted, "config.machineType", on.machine.name)
        _put_slice(wanted, new, given, on, capacity)
    if "capacity" in given:
        _put_capacity(wanted, capacity)
    _put_autoscaling(wanted, given, on, capacity)
    for option, field in (("labels", "labels"), ("resource_labels", "resourceLabels")):
        if option in given:
            put(wanted, f"config.{field}", texts(given[option]))
    if "taints" in given:
        put(wanted, "config.taints", [_taint(one) for one in given["taints"]])
    _check_sizes(given, on)
    return DesiredNodePool(
        project=project,
        location=given["location"],
        cluster=given["cluster"],
        name=given["name"],
        wanted=wanted,
        new=new,
        node_count=given.get("node_count"),
        new_nodes=_new_nodes(merged(new, wanted), on),
        version=given.get("version"),
        warnings=warnings,
    )


def described(live: t.Mapping[str, t.Any] | None) -> Data | None:
    """A node pool as the module returns it."""
    if live is None:
        return None
    config = live.get("config") or {}
    return {
        "name": live.get("name"),
        "status": live.get("status"),
        "version": live.get("version"),
        "machine_type": config.get("machineType"),
        "disk_type": config.get("diskType"),
        "topology": value_at(live, "placementPolicy.tpuTopology"),
        "node_count": live.get(NODE_COUNT),
        "zones": sorted(live.get("locations") or ()),
        "autoscaling": dict(live.get("autoscaling") or {}),
        "labels": dict(config.get("labels") or {}),
        "taints": list(config.get("taints") or ()),
        "service_account": config.get("serviceAccount"),
        "self_link": live.get("selfLink"),
    }


def _slice(given: t.Mapping[str, t.Any]) -> Slice | None:
    """The slice that the pool is made of; None without TPUs."""
    machine = given.get("machine_type")
    accelerator = given.get("accelerator") or (machine if _is_tpu(machine) else None)
    if accelerator is None:
        if "topology" in given or "chips" in given:
            raise InputError("topology and chips need an accelerator.", hint="Give one such as v6e, or leave them out.")
        return None
    try:
        return make_slice(
            accelerator,
            topology=given.get("topology"),
            chips=given.get("chips"),
            machine_type=machine,
        )
    except TpuError as error:
        raise InputError(error.message, hint=error.hint) from error


def _capacity(given: t.Mapping[str, t.Any], on: Slice | None) -> Capacity:
    capacity = Capacity(
        kind=given.get("capacity", "on_demand"),
        reservation=given.get("reservation"),
        reservation_project=given.get("reservation_project"),
        max_run_duration=given.get("max_run_duration"),
    )
    try:
        # Which TPU matters for flex-start only, and nodes without TPUs have it.
        capacity.check(on.generation if on else find("v6e").generation)
        if on and "disk_type" in given:
            check_disk(on.generation, given["disk_type"])
    except TpuError as error:
        raise InputError(error.message, hint=error.hint) from error
    flex = KINDS[capacity.kind].flex
    if flex and given.get("auto_repair"):
        raise InputError(f"Nodes of {capacity.kind} cannot be repaired.", hint="Leave auto_repair out.")
    if flex and given.get("node_count"):
        raise InputError(
            f"Nodes of {capacity.kind} come when Pods ask for them, and node_count is {given['node_count']}.",
            hint="Leave node_count out, and give autoscaling.max_nodes.",
        )
    if flex and "autoscaling" in given:
        bounds = given["autoscaling"]
        if bounds.get("enabled") is False or any(bounds.get(key) for key in ("min_nodes", "total_min_nodes")):
            raise InputError(f"{capacity.kind} needs autoscaling from 0 nodes.", hint="Give only the greatest number.")
    return capacity


def _common() -> Data:
    """What every new node pool gets unless it is said otherwise."""
    return {
        "config": {
            "oauthScopes": [_SCOPE],
            "workloadMetadataConfig": {"mode": "GKE_METADATA"},
            "shieldedInstanceConfig": {"enableIntegrityMonitoring": True},
        },
        "management": {"autoRepair": True, "autoUpgrade": True},
    }


def _put_slice(wanted: Data, new: Data, given: t.Mapping[str, t.Any], on: Slice, capacity: Capacity) -> None:
    """The fields of a slice. What is not to be chosen is wanted, the rest only for new pools."""
    usual = node_pool(on, capacity)
    for option in ("disk_type", "max_pods_per_node", "gvnic", "workload_metadata", "accelerator_network_profile"):
        put(new, _PLAIN[option], usual.get(option))
    for label, value in usual.get("node_labels", {}).items():
        new["config"].setdefault("labels", {})[label] = value
    placement = usual["placement"]
    if placement and placement["kind"] == "workload_policy":
        if "placement_policy" not in given:
            raise InputError(
                f"A node pool of several hosts with {on.generation.name} needs placement_policy, a workload policy that "
                f"has the topology {on.topology}.",
                hint=f"Create it in {region_of(given['location'])} with the module gcp_workload_policy and "
                f"accelerator_topology: {on.topology}.",
            )
        return
    put(wanted, "placementPolicy.type", "COMPACT" if placement else None)
    # Empty where there is one host: a pool that was made for several is another one.
    put(wanted, "placementPolicy.tpuTopology", on.topology if placement else "")


def _put_capacity(wanted: Data, capacity: Capacity) -> None:
    kind = KINDS[capacity.kind]
    put(wanted, "config.spot", capacity.kind == "spot")
    put(wanted, "config.flexStart", kind.flex)
    put(wanted, "queuedProvisioning.enabled", capacity.kind == "queued")
    put(wanted, "config.reservationAffinity.values", [])
    if kind.flex:
        put(wanted, "management.autoRepair", False)
        put(wanted, "config.reservationAffinity.consumeReservationType", "NO_RESERVATION")
    if capacity.max_run_duration:
        put(wanted, "config.maxRunDuration", f"{capacity.max_run_duration}s")
    if capacity.reservation:
        name = capacity.reservation
        if capacity.reservation_project:
            name = f"projects/{capacity.reservation_project}/reservations/{name}"
        affinity = {"consumeReservationType": "SPECIFIC_RESERVATION", "key": RESERVATION_KEY, "values": [name]}
        put(wanted, "config.reservationAffinity", affinity)


def _put_autoscaling(wanted: Data, given: t.Mapping[str, t.Any], on: Slice | None, capacity: Capacity) -> None:
    asked = given.get("autoscaling")
    flex = KINDS[capacity.kind].flex
    if asked is None and flex:
        if not on:
            raise InputError(f"{capacity.kind} needs autoscaling.", hint="Give autoscaling.max_nodes.")
        asked = {"min_nodes": 0, "max_nodes": on.hosts, "location_policy": "ANY"}
    if asked is None:
        return
    if asked.get("enabled") is False:
        wanted["autoscaling"] = {"enabled": False}
        return
    bounds = {field: asked[option] for option, field in _BOUNDS.items() if asked.get(option) is not None}
    _check_bounds(bounds)
    policy = asked.get("location_policy") or ("ANY" if flex else None)
    wanted["autoscaling"] = {"enabled": True, **bounds, **({"locationPolicy": policy} if policy else {})}


def _check_bounds(bounds: t.Mapping[str, int]) -> None:
    if any(field.startswith("total") for field in bounds) and not all(field.startswith("total") for field in bounds):
        raise InputError(
            "Bounds of autoscaling are either those of each zone or those of all zones together.",
            hint="Give min_nodes and max_nodes, or total_min_nodes and total_max_nodes.",
        )
    for low, high in (("minNodeCount", "maxNodeCount"), ("totalMinNodeCount", "totalMaxNodeCount")):
        if bounds.get(low, 0) > bounds.get(high, bounds.get(low, 0)):
            raise InputError(
                f"Autoscaling from {bounds[low]} to {bounds[high]} nodes cannot be.", hint="Give a smaller minimum."
            )
    if not any(bounds.get(high) for high in ("maxNodeCount", "totalMaxNodeCount")):
        raise InputError("Autoscaling needs a greatest number of nodes.", hint="Give max_nodes or total_max_nodes.")


def _check_sizes(given: t.Mapping[str, t.Any], on: Slice | None) -> None:
    """A pool of several hosts has none of them or all, in one zone."""
    count = given.get("node_count")
    if count is not None and count < 0:
        raise InputError(f"node_count is {count}.", hint="Give 0 or more.")
    if not on or not on.multi_host:
        return
    asked = given.get("autoscaling") or {}
    sizes = {"node_count": count, **{f"autoscaling.{option}": asked.get(option) for option in _BOUNDS}}
    for option, size in sizes.items():
        if size not in (None, 0, on.hosts):
            raise InputError(
                f"{option} is {size}, and {on.generation.name} {on.topology} is one slice of {on.hosts} nodes "
                f"{on.machine.name} that is there as a whole or not at all.",
                hint=f"Give 0 or {on.hosts}; for more slices make more node pools.",
            )
    zones = given.get("zones")
    if not is_zone(given["location"]) and len(zones or ()) != 1:
        raise InputError(
            f"A slice of {on.hosts} nodes lies in one zone, and zones "
            + (f"names {len(zones)}." if zones else "is missing."),
            hint=f"Give zones: [{region_of(given['location'])}-a], or another one that has {on.generation.name}.",
        )


def _new_nodes(pool: Data, on: Slice | None) -> int:
    """Nodes of a new pool in each zone."""
    scaling = pool.get("autoscaling") or {}
    if scaling.get("enabled"):
        return int(scaling.get("minNodeCount") or scaling.get("totalMinNodeCount") or 0)
    return on.hosts if on else 1


def _taint(asked: t.Mapping[str, t.Any]) -> Data:
    effect = _EFFECTS.get(asked["effect"], asked["effect"])
    return {"key": asked["key"], "value": asked.get("value") or "", "effect": effect}


def _is_tpu(machine: str | None) -> bool:
    return bool(machine and re.match(r"ct\d|tpu", machine))


def _post(what: str, path: str, body: Data) -> Call:
    return Call(what, "POST", path, body, "container.clusters.update")
