# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cluster of GKE: what is wanted of it, how it is created, and one request per field to change it. Pure.

https://cloud.google.com/kubernetes-engine/docs/reference/rest/v1/projects.locations.clusters
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
    check_ranges,
    check_zones,
    is_at_least,
    is_zone,
    parse_network,
    parse_version,
    region_of,
    same_resource,
)
from ansible_collections.modelops.serving.plugins.module_utils._tpu.errors import TpuError
from ansible_collections.modelops.serving.plugins.module_utils._tpu.slice import find
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError

#: The API has no deletion protection: this resource label of the cluster is it. Only "false" lets a cluster be deleted.
PROTECTION_LABEL = "deletion-protection"
DEFAULT_POOL = "default-pool"

#: Option of ``addons`` -> field of ``AddonsConfig``. The first two are switched off by a field, the rest on.
ADDONS = {
    "http_load_balancing": "httpLoadBalancing",
    "horizontal_pod_autoscaling": "horizontalPodAutoscaling",
    "gcs_fuse_csi": "gcsFuseCsiDriverConfig",
    "pd_csi": "gcePersistentDiskCsiDriverConfig",
    "filestore_csi": "gcpFilestoreCsiDriverConfig",
    "lustre_csi": "lustreCsiDriverConfig",
    "parallelstore_csi": "parallelstoreCsiDriverConfig",
    "ray_operator": "rayOperatorConfig",
    "config_connector": "configConnectorConfig",
    "dns_cache": "dnsCacheConfig",
    "backup_agent": "gkeBackupAgentConfig",
    "high_scale_checkpointing": "highScaleCheckpointingConfig",
    "slice_controller": "sliceControllerConfig",
}
_SWITCHED_OFF = ("http_load_balancing", "horizontal_pod_autoscaling")

# Option -> field, where the value is the same in both.
_PLAIN = {
    "network": "network",
    "subnetwork": "subnetwork",
    "pods_ip_range_name": "ipAllocationPolicy.clusterSecondaryRangeName",
    "services_ip_range_name": "ipAllocationPolicy.servicesSecondaryRangeName",
    "pods_cidr": "ipAllocationPolicy.clusterIpv4CidrBlock",
    "services_cidr": "ipAllocationPolicy.servicesIpv4CidrBlock",
    "control_plane_cidr": "privateClusterConfig.masterIpv4CidrBlock",
    "max_pods_per_node": "defaultMaxPodsConstraint.maxPodsPerNode",
    "node_locations": "locations",
    "private_nodes": "networkConfig.defaultEnablePrivateNodes",
    "dns_endpoint": "controlPlaneEndpointsConfig.dnsEndpointConfig.allowExternalTraffic",
    "ip_endpoints": "controlPlaneEndpointsConfig.ipEndpointsConfig.enabled",
    "public_endpoint": "controlPlaneEndpointsConfig.ipEndpointsConfig.enablePublicEndpoint",
    "gateway_api": "networkConfig.gatewayApiConfig.channel",
    "secret_manager": "secretManagerConfig.enabled",
    "managed_prometheus": "monitoringConfig.managedPrometheusConfig.enabled",
    "monitoring_components": "monitoringConfig.componentConfig.enableComponents",
    "logging_components": "loggingConfig.componentConfig.enableComponents",
    "release_channel": "releaseChannel.channel",
    "autoscaling_profile": "autoscaling.autoscalingProfile",
    "vertical_pod_autoscaling": "verticalPodAutoscaling.enabled",
    "cost_management": "costManagementConfig.enabled",
    "fleet_project": "fleet.project",
}
#: Field -> option, for what cannot be changed.
FIXED = {
    "autopilot.enabled": "autopilot",
    "networkConfig.datapathProvider": "dataplane_v2",
    **{
        _PLAIN[option]: option
        for option in (
            *("network", "subnetwork", "pods_ip_range_name", "services_ip_range_name"),
            *("pods_cidr", "services_cidr", "control_plane_cidr", "max_pods_per_node"),
        )
    },
}
#: Field -> field of ``ClusterUpdate``, of which a request may hold one. In the order of the requests.
UPDATES = {
    "releaseChannel": "desiredReleaseChannel",
    "currentMasterVersion": "desiredMasterVersion",
    "workloadIdentityConfig": "desiredWorkloadIdentityConfig",
    "locations": "desiredLocations",
    "addonsConfig": "desiredAddonsConfig",
    "secretManagerConfig": "desiredSecretManagerConfig",
    "controlPlaneEndpointsConfig": "desiredControlPlaneEndpointsConfig",
    "networkConfig.defaultEnablePrivateNodes": "desiredDefaultEnablePrivateNodes",
    "networkConfig.dnsConfig": "desiredDnsConfig",
    "networkConfig.gatewayApiConfig": "desiredGatewayApiConfig",
    "monitoringConfig": "desiredMonitoringConfig",
    "loggingConfig": "desiredLoggingConfig",
    "verticalPodAutoscaling": "desiredVerticalPodAutoscaling",
    "costManagementConfig": "desiredCostManagementConfig",
    "fleet": "desiredFleet",
    "autoscaling": "desiredClusterAutoscaling",
}
# A message that replaces the old one as a whole: what is live and not wanted otherwise has to be sent along.
_WHOLE = ("autoscaling", "networkConfig.dnsConfig")
# What a cluster without nodes of its own to manage cannot be given.
_STANDARD_ONLY = ("autoprovisioning", "autoscaling_profile", "default_pool", "remove_default_pool", "max_pods_per_node")


@dataclasses.dataclass(frozen=True)
class DesiredCluster:
    """What is wanted of a cluster.

    :param wanted: fields that were given, which count for one that is there.
    :param new: what a new one gets beside them.
    :param version: the least version of its control plane.
    """

    project: str
    location: str
    name: str
    wanted: Data
    new: Data
    version: str | None = None
    remove_default_pool: bool = False

    noun: t.ClassVar[str] = "cluster"
    warnings: t.ClassVar[tuple[str, ...]] = ()

    @property
    def cluster(self) -> str:
        """Name of the cluster that operations are looked for on."""
        return self.name

    @property
    def place(self) -> str:
        """``projects/P/locations/L``."""
        return f"projects/{self.project}/locations/{self.location}"

    @property
    def collection(self) -> str:
        """Where it is created."""
        return f"{self.place}/clusters"

    def creation(self) -> Data:
        """The body of the request that creates it."""
        cluster = pruned(merged(merged(self.new, self.wanted), {"name": self.name}))
        if self.version:
            cluster["initialClusterVersion"] = self.version
        return {"cluster": cluster}

    def normalized(self, live: Data) -> Data:
        """A live cluster with what the API says in several ways said in the way of ``wanted``."""
        result = merged(live, {})
        for field in ("network", "subnetwork"):
            # The long name says which project, that of a shared VPC.
            link = value_at(live, f"networkConfig.{field}") or live.get(field)
            if link and same_resource(self.wanted.get(field), link):
                result[field] = self.wanted[field]
        if value_at(live, "networkConfig.defaultEnablePrivateNodes") is None:
            old = bool(value_at(live, "privateClusterConfig.enablePrivateNodes"))
            result = merged(result, {"networkConfig": {"defaultEnablePrivateNodes": old}})
        return result

    def planned(self, live: Data) -> Data:
        """A live cluster as it will be."""
        planned = merged(self.normalized(live), self.wanted)
        if self.version and not is_at_least(live["currentMasterVersion"], self.version):
            planned["currentMasterVersion"] = self.version
        if self.remove_default_pool:
            planned["nodePools"] = [pool for pool in live.get("nodePools") or () if pool["name"] != DEFAULT_POOL]
        return planned

    def shown(self, live: Data | None) -> Data:
        """What was given, as it is in a live cluster, for a diff."""
        if live is None:
            return {}
        shown = picked(self.wanted, self.normalized(live))
        if self.version:
            there = live.get("currentMasterVersion") or self.version
            shown["version"] = self.version if is_at_least(there, self.version) else there
        if self.remove_default_pool:
            shown["default_pool"] = "present" if "status" in live and _has_default_pool(live) else "absent"
        return shown

    def differences(self, live: Data) -> list[Difference]:
        """What is not as wanted.

        :raises InputError: a part of it cannot be changed.
        """
        found = differences(self.wanted, self.normalized(live))
        if self.version and not is_at_least(live["currentMasterVersion"], self.version):
            found.append(Difference("currentMasterVersion", live["currentMasterVersion"], self.version))
        if self.remove_default_pool and _has_default_pool(live):
            found.append(Difference(f"nodePools.{DEFAULT_POOL}", "present", "absent"))
        for one in found:
            if one.path in FIXED:
                raise InputError(
                    f"The cluster {self.name} cannot be adopted: its {FIXED[one.path]} ({one.path}) is "
                    f"{one.before or 'not set'}, {one.after or 'not set'} is wanted, and GKE cannot change it.",
                    hint=f"Give {FIXED[one.path]} as it is or leave it out, or take another name for a new cluster.",
                )
        return found

    def calls(self, live: Data) -> list[Call]:
        """The requests that make a live one as wanted, in their order."""
        found = self.differences(live)
        calls = [
            _update(update, self.version if field == "currentMasterVersion" else _message(field, self.wanted, live))
            for field, update in UPDATES.items()
            if any(touches(one.path, field) for one in found)
        ]
        if any(touches(one.path, "maintenancePolicy") for one in found):
            calls.append(self._set_maintenance(live))
        if any(touches(one.path, "resourceLabels") for one in found):
            labels = merged(live.get("resourceLabels") or {}, self.wanted["resourceLabels"])
            body = {"resourceLabels": labels, "labelFingerprint": live.get("labelFingerprint", "")}
            calls.append(Call("set the labels of", "POST", ":setResourceLabels", body, "container.clusters.update"))
        return calls + self.follow_up(live)

    def follow_up(self, live: Data) -> list[Call]:
        """What is left to do when it was created."""
        if not self.remove_default_pool or not _has_default_pool(live):
            return []
        path = f"/nodePools/{DEFAULT_POOL}"
        return [Call("delete the default node pool of", "DELETE", path, None, "container.clusters.update")]

    def _set_maintenance(self, live: Data) -> Call:
        old = live.get("maintenancePolicy") or {}
        # A window takes the place of one of another kind; exclusions and budget of others stay.
        exclusions = value_at(old, "window.maintenanceExclusions")
        kept = {"maintenanceExclusions": exclusions} if exclusions else {}
        policy = {**old, "window": {**kept, **self.wanted["maintenancePolicy"]["window"]}}
        return Call(
            *("set the maintenance window of", "POST", ":setMaintenancePolicy"),
            *({"maintenancePolicy": policy}, "container.clusters.update"),
        )

    def check_deletion(self, live: Data, protection: bool | None) -> None:
        """Refuse to delete a protected cluster.

        :param protection: the option deletion_protection.
        :raises InputError: it is protected.
        """
        label = (live.get("resourceLabels") or {}).get(PROTECTION_LABEL)
        if protection or (protection is None and label != "false"):
            raise InputError(
                f"The cluster {self.name} in {self.location} is protected against deletion.",
                hint="Give deletion_protection: false together with state: absent if it is to go with all that runs on it.",
            )


def desired_cluster(options: t.Mapping[str, t.Any]) -> DesiredCluster:
    """What the options of ``gke_cluster`` ask for.

    :raises InputError: they contradict each other, or GKE would refuse them.
    """
    given = {key: value for key, value in options.items() if value is not None}
    project = check_project(given.get("project"))
    check_name("cluster", given["name"])
    region_of(given["location"])
    _check(given)
    wanted: Data = {}
    for option, field in _PLAIN.items():
        put(wanted, field, given.get(option))
    put(wanted, "autopilot.enabled", given.get("autopilot"))
    if "dataplane_v2" in given:
        put(wanted, "networkConfig.datapathProvider", "ADVANCED_DATAPATH" if given["dataplane_v2"] else "")
    if "workload_identity" in given:
        pool = f"{project}.svc.id.goog" if given["workload_identity"] else ""
        put(wanted, "workloadIdentityConfig.workloadPool", pool)
    for addon, on in (given.get("addons") or {}).items():
        _put_addon(wanted, addon, on)
    _put_authorized_networks(wanted, given.get("authorized_networks"))
    for key, field in (("provider", "clusterDns"), ("scope", "clusterDnsScope"), ("domain", "clusterDnsDomain")):
        put(wanted, f"networkConfig.dnsConfig.{field}", (given.get("dns") or {}).get(key))
    _put_autoprovisioning(wanted, given)
    _put_maintenance(wanted, given.get("maintenance_window"))
    labels = texts(given.get("labels"))
    if "deletion_protection" in given:
        labels[PROTECTION_LABEL] = str(given["deletion_protection"]).lower()
    if labels:
        wanted["resourceLabels"] = labels
    return DesiredCluster(
        project=project,
        location=given["location"],
        name=given["name"],
        wanted=wanted,
        new=_new(given),
        version=given.get("version"),
        remove_default_pool=bool(given.get("remove_default_pool")),
    )


def described(live: t.Mapping[str, t.Any] | None) -> Data | None:
    """A cluster as the module returns it. Nothing of it is secret."""
    if live is None:
        return None
    return {
        "name": live.get("name"),
        "location": live.get("location"),
        "status": live.get("status"),
        "version": live.get("currentMasterVersion"),
        "autopilot": bool(value_at(live, "autopilot.enabled")),
        "endpoint": live.get("endpoint"),
        "dns_endpoint": value_at(live, "controlPlaneEndpointsConfig.dnsEndpointConfig.endpoint"),
        "ca_certificate": value_at(live, "masterAuth.clusterCaCertificate"),
        "workload_pool": value_at(live, "workloadIdentityConfig.workloadPool"),
        "network": value_at(live, "networkConfig.network") or live.get("network"),
        "subnetwork": value_at(live, "networkConfig.subnetwork") or live.get("subnetwork"),
        "node_locations": sorted(live.get("locations") or ()),
        "node_pools": [pool["name"] for pool in live.get("nodePools") or ()],
        "labels": dict(live.get("resourceLabels") or {}),
        "self_link": live.get("selfLink"),
    }


def elsewhere(clusters: t.Iterable[t.Mapping[str, t.Any]], name: str, location: str) -> str | None:
    """Another location of the same region that has a cluster of that name: the region for a zone, or the other way."""
    for cluster in clusters:
        place = str(cluster.get("location") or "")
        if cluster.get("name") == name and place != location and region_of(place) == region_of(location):
            return place
    return None


def _check(given: t.Mapping[str, t.Any]) -> None:
    if given.get("version"):
        parse_version(given["version"])
    check_zones("node_locations", given.get("node_locations") or (), given["location"])
    check_ranges({option: given.get(option) for option in ("pods_cidr", "services_cidr", "control_plane_cidr")})
    if given.get("release_channel") == "UNSPECIFIED" and given.get("autopilot"):
        raise InputError("A cluster with autopilot has a release channel.", hint="Leave release_channel out.")
    if given.get("autopilot"):
        wrong = [option for option in _STANDARD_ONLY if given.get(option)]
        wrong += [option for option in ("dataplane_v2", "workload_identity") if given.get(option) is False]
        if wrong:
            raise InputError(f"A cluster with autopilot takes no {', '.join(wrong)}.", hint="Leave it out.")
        if is_zone(given["location"]):
            raise InputError(
                f"A cluster with autopilot is regional, and {given['location']} is a zone.",
                hint=f"Give location: {region_of(given['location'])}.",
            )
    if given.get("remove_default_pool") and given.get("default_pool"):
        raise InputError("default_pool and remove_default_pool exclude each other.", hint="Give only one of them.")
    if given.get("public_endpoint") and given.get("ip_endpoints") is False:
        raise InputError("public_endpoint needs ip_endpoints.", hint="Leave ip_endpoints out, or public_endpoint.")
    if given.get("ip_endpoints") is False and given.get("dns_endpoint") is False:
        raise InputError("Without dns_endpoint and ip_endpoints nobody reaches the control plane.", hint="Keep one.")


def _new(given: t.Mapping[str, t.Any]) -> Data:
    """Fields of a new cluster that one that is there need not have."""
    account = given.get("node_service_account")
    new: Data = {"ipAllocationPolicy": {"useIpAliases": True}}
    if given.get("autopilot"):
        if account:
            put(new, "autoscaling.autoprovisioningNodePoolDefaults.serviceAccount", account)
        return new
    pool = given.get("default_pool") or {}
    config: Data = {"oauthScopes": ["https://www.googleapis.com/auth/cloud-platform"]}
    for option, field in (("machine_type", "machineType"), ("disk_type", "diskType"), ("disk_size_gb", "diskSizeGb")):
        put(config, field, pool.get(option))
    put(config, "serviceAccount", account)
    if given.get("workload_identity"):
        put(config, "workloadMetadataConfig.mode", "GKE_METADATA")
    count = pool.get("node_count")
    # GKE creates no cluster without a node.
    new["nodePools"] = [{"name": DEFAULT_POOL, "initialNodeCount": 1 if count is None else count, "config": config}]
    return new


def _put_addon(wanted: Data, addon: str, on: bool | None) -> None:
    if on is None:
        return
    switched_off = addon in _SWITCHED_OFF
    put(wanted, f"addonsConfig.{ADDONS[addon]}.{'disabled' if switched_off else 'enabled'}", on ^ switched_off)


def _put_authorized_networks(wanted: Data, networks: list[Data] | None) -> None:
    """None leaves them as they are, an empty list lets every address in."""
    if networks is None:
        return
    blocks = []
    for network in networks:
        cidr = str(parse_network("authorized_networks", network["cidr"]))
        blocks.append({"cidrBlock": cidr, **({"displayName": network["name"]} if network.get("name") else {})})
    config = {"enabled": bool(blocks), "cidrBlocks": blocks}
    put(wanted, "controlPlaneEndpointsConfig.ipEndpointsConfig.authorizedNetworksConfig", config)


def _put_autoprovisioning(wanted: Data, given: t.Mapping[str, t.Any]) -> None:
    asked = given.get("autoprovisioning")
    if not asked:
        return
    on = asked.get("enabled") is not False
    put(wanted, "autoscaling.enableNodeAutoprovisioning", on)
    if not on:
        return
    limits = asked.get("resource_limits")
    if limits is not None:
        put(wanted, "autoscaling.resourceLimits", [_limit(one) for one in limits])
    put(wanted, "autoscaling.autoprovisioningLocations", asked.get("locations"))
    check_zones("autoprovisioning.locations", asked.get("locations") or (), given["location"])
    defaults = "autoscaling.autoprovisioningNodePoolDefaults"
    put(wanted, f"{defaults}.serviceAccount", given.get("node_service_account"))
    for option, field in (("disk_type", "diskType"), ("disk_size_gb", "diskSizeGb"), ("image_type", "imageType")):
        put(wanted, f"{defaults}.{field}", asked.get(option))


def _limit(asked: t.Mapping[str, t.Any]) -> Data:
    """A limit of node auto-provisioning. A TPU may be given by any of its names; GKE counts its label."""
    name = asked["type"]
    if re.match(r"tpu|ct\d|v\d", name):
        try:
            name = find(name).generation.label
        except TpuError as error:
            raise InputError(f"autoprovisioning.resource_limits: {error.message}", hint=error.hint) from error
    low, high = asked.get("minimum") or 0, asked["maximum"]
    if low > high:
        raise InputError(f"The limits of {asked['type']} are from {low} to {high}.", hint="Give minimum <= maximum.")
    return {"resourceType": name, "minimum": str(low), "maximum": str(high)}


def _put_maintenance(wanted: Data, asked: t.Mapping[str, t.Any] | None) -> None:
    if not asked:
        return
    if asked.get("daily"):
        if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", asked["daily"]):
            raise InputError(
                f"maintenance_window.daily {asked['daily']!r} is no time.", hint="Give one as 03:00, in UTC."
            )
        put(wanted, "maintenancePolicy.window.dailyMaintenanceWindow.startTime", asked["daily"])
        return
    for end in ("start_time", "end_time"):
        if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)", asked.get(end) or ""):
            raise InputError(
                f"maintenance_window.{end} {asked.get(end)!r} is no time.",
                hint="Give daily, or start_time, end_time such as 2026-01-03T02:00:00Z, and recurrence.",
            )
    window = {"startTime": asked["start_time"], "endTime": asked["end_time"]}
    recurring = {"window": window, "recurrence": asked.get("recurrence") or "FREQ=DAILY"}
    put(wanted, "maintenancePolicy.window.recurringWindow", recurring)


def _has_default_pool(live: t.Mapping[str, t.Any]) -> bool:
    return any(pool.get("name") == DEFAULT_POOL for pool in live.get("nodePools") or ())


def _message(field: str, wanted: Data, live: Data) -> t.Any:
    value = value_at(wanted, field)
    if isinstance(value, dict) and field in _WHOLE:
        value = merged(value_at(live, field) or {}, value)
    return value


def _update(field: str, value: t.Any) -> Call:
    what = re.sub(r"(?<=[a-z])[A-Z]", lambda found: f" {found[0].lower()}", field.removeprefix("desired"))
    what = what[0].lower() + what[1:]
    return Call(f"set the {what} of", "PUT", "", {"update": {field: value}}, "container.clusters.update")
