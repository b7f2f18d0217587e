# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A NAT on a Cloud Router: what is wanted of it, and of the router that it is a part of. Pure.

https://cloud.google.com/compute/docs/reference/rest/v1/routers. The router has all its NATs in one list, which is changed
as a whole: those of others go back as they were read.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._gce.resource import (
    Kind,
    Live,
    Place,
    check_names,
    link,
    place_of,
)
from ansible_collections.modelops.serving.plugins.module_utils._gcp.outcome import Data
from ansible_collections.modelops.serving.plugins.module_utils._gke.fields import differences, merged, picked, pruned
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError

SOURCE_RANGES = ("ALL_SUBNETWORKS_ALL_IP_RANGES", "ALL_SUBNETWORKS_ALL_PRIMARY_IP_RANGES")
SUBNETWORK_RANGES = ("ALL_IP_RANGES", "PRIMARY_IP_RANGE", "LIST_OF_SECONDARY_IP_RANGES")
LOGGING = ("NONE", "ERRORS_ONLY", "TRANSLATIONS_ONLY", "ALL")

_KIND = Kind(
    "Cloud Router",
    "routers",
    "roles/compute.networkAdmin",
    "Check that the network, its subnetworks and the addresses exist.",
)
# Option -> field, where the value is the same in both.
_PLAIN = {
    "dynamic_port_allocation": "enableDynamicPortAllocation",
    "endpoint_independent_mapping": "enableEndpointIndependentMapping",
    "min_ports_per_vm": "minPortsPerVm",
    "max_ports_per_vm": "maxPortsPerVm",
}
_NEW = {"natIpAllocateOption": "AUTO_ONLY", "sourceSubnetworkIpRangesToNat": SOURCE_RANGES[0]}


@dataclasses.dataclass(frozen=True)
class DesiredNat:
    """What is wanted of a NAT.

    :param name: of its router. :param nat: its own name.
    :param network: link of the network of the router; None counts for a router that is there.
    :param wanted: fields that were given. A field that is None is taken away.
    :param absent: the NAT is to go, :param delete_router: and the router with it, where nothing else is on it.
    """

    place: Place
    name: str
    nat: str
    network: str | None
    wanted: Data
    absent: bool = False
    delete_router: bool = False

    kind: t.ClassVar[Kind] = _KIND

    def planned(self, live: Live) -> Live:
        """The router as it will be."""
        if self.absent:
            return self._without(live) if live else None
        if live is None:
            if not self.network:
                raise InputError(
                    f"There is no Cloud Router {self.name} in {self.place.region}.",
                    hint="Give network to have it created there, or the name of a router that there is.",
                )
            return {"name": self.name, "network": self.network, "nats": [self._changed({})]}
        self._check_network(live)
        nats = list(live.get("nats") or ())
        found = self.found(live)
        if found is None:
            return {**live, "nats": [*nats, self._changed({})]}
        if not differences(self.wanted, self._linked(found)):
            return live
        return {**live, "nats": [self._changed(one) if one is found else one for one in nats]}

    def shown(self, live: Live) -> Data:
        """The router, and what was given of the NAT."""
        if live is None:
            return {}
        found = self.found(live)
        if found is None:
            return {"router": self.name}
        return {"router": self.name, "nat": {"name": self.nat, **picked(self.wanted, self._linked(found))}}

    def found(self, router: Live) -> Data | None:
        """The NAT of a router."""
        return next((nat for nat in (router or {}).get("nats") or () if nat.get("name") == self.nat), None)

    def _without(self, live: Data) -> Live:
        others = [nat for nat in live.get("nats") or () if nat.get("name") != self.nat]
        if self.delete_router and not (others or live.get("interfaces") or live.get("bgpPeers")):
            return None
        return {**live, "nats": others} if self.found(live) else live

    def _changed(self, nat: Data) -> Data:
        changed = merged(nat or {"name": self.nat, **_NEW}, self.wanted)
        if changed.get("enableDynamicPortAllocation") and changed.get("enableEndpointIndependentMapping"):
            raise InputError(
                f"The NAT {self.nat} cannot have both dynamic_port_allocation and endpoint_independent_mapping.",
                hint="Set one of them to false.",
            )
        return changed if nat else pruned(changed)

    def _check_network(self, live: Data) -> None:
        there = link("", str(live.get("network")))
        if self.network and there != self.network:
            raise InputError(
                f"The Cloud Router {self.name} is in the network {_short(there)}, not in {_short(self.network)}.",
                hint="Take another name for a new router: one cannot move to another network.",
            )

    def _linked(self, nat: Data) -> Data:
        """A NAT with links as they are wanted."""
        return {
            **nat,
            "natIps": _addresses(self.place, nat.get("natIps") or ()),
            "subnetworks": [
                _ranges(self.place, one["name"], one.get("sourceIpRangesToNat"), one.get("secondaryIpRangeNames"))
                for one in nat.get("subnetworks") or ()
            ],
        }


def desired_nat(options: t.Mapping[str, t.Any]) -> DesiredNat:
    """What the options of ``gcp_cloud_nat`` ask for.

    :raises InputError: they contradict each other, or cannot be names.
    """
    place = place_of(options)
    check_names(NAT=options["name"], Cloud_Router=options["router"])
    wanted: Data = {field: options[name] for name, field in _PLAIN.items() if options.get(name) is not None}
    addresses, subnetworks = options.get("addresses"), options.get("subnetworks")
    if addresses is not None:
        wanted["natIpAllocateOption"] = "MANUAL_ONLY" if addresses else "AUTO_ONLY"
        wanted["natIps"] = _addresses(place, addresses) or None
    if options.get("source_ranges"):
        wanted |= {"sourceSubnetworkIpRangesToNat": options["source_ranges"], "subnetworks": None}
    if subnetworks is not None:
        if not subnetworks:
            raise InputError("subnetworks is empty.", hint="Give source_ranges for all subnetworks.")
        wanted["sourceSubnetworkIpRangesToNat"] = "LIST_OF_SUBNETWORKS"
        wanted["subnetworks"] = [_wanted_ranges(place, one) for one in subnetworks]
    logging = options.get("logging")
    if logging:
        wanted["logConfig"] = {"enable": False} if logging == "NONE" else {"enable": True, "filter": logging}
    network = options.get("network")
    return DesiredNat(
        place=place,
        name=options["router"],
        nat=options["name"],
        network=link(f"projects/{place.project}/global/networks", network) if network else None,
        wanted=wanted,
        absent=options["state"] == "absent",
        delete_router=bool(options.get("delete_router")),
    )


def _wanted_ranges(place: Place, subnetwork: t.Mapping[str, t.Any]) -> Data:
    kinds, names = subnetwork["source_ranges"], subnetwork.get("secondary_ip_range_names")
    if bool(names) != ("LIST_OF_SECONDARY_IP_RANGES" in kinds):
        raise InputError(
            f"secondary_ip_range_names of the subnetwork {subnetwork['name']} goes with LIST_OF_SECONDARY_IP_RANGES.",
            hint="Give both or neither.",
        )
    return _ranges(place, subnetwork["name"], kinds, names)


def _ranges(place: Place, name: str, kinds: t.Iterable[str] | None, names: t.Iterable[str] | None) -> Data:
    """A subnetwork of a NAT in one order of its lists."""
    found: Data = pruned(
        {
            "name": link(f"{place.path}/subnetworks", name),
            "sourceIpRangesToNat": sorted(kinds or ()),
            "secondaryIpRangeNames": sorted(names or ()),
        }
    )
    return found


def _addresses(place: Place, names: t.Iterable[str]) -> list[str]:
    return [link(f"{place.path}/addresses", name) for name in names]


def _short(network: str) -> str:
    return network.partition("/v1/")[2]
