# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A workload policy: how the nodes of a slice or of a managed instance group lie to each other. Pure.

https://cloud.google.com/compute/docs/reference/rest/v1/resourcePolicies
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._gce.resource import (
    Kind,
    Live,
    Place,
    check_names,
    place_of,
)
from ansible_collections.modelops.serving.plugins.module_utils._gcp.outcome import Data
from ansible_collections.modelops.serving.plugins.module_utils._gke.fields import differences, merged, picked
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError

TYPES = ("HIGH_THROUGHPUT", "HIGH_AVAILABILITY")
MODES = ("AUTO_CONNECT", "PROVISION_ONLY")
DISTANCES = ("CLUSTER", "BLOCK", "SUBBLOCK")

_FIELD = "workloadPolicy"
_OPTIONS = {
    "type": "type",
    "acceleratorTopology": "accelerator_topology",
    "acceleratorTopologyMode": "accelerator_topology_mode",
    "maxTopologyDistance": "max_topology_distance",
}


@dataclasses.dataclass(frozen=True)
class DesiredWorkloadPolicy:
    """What is wanted of a workload policy.

    :param wanted: the fields that were given. :param recreate: make one anew that is otherwise: none can be changed.
    """

    place: Place
    name: str
    wanted: Data
    absent: bool = False
    recreate: bool = False

    kind: t.ClassVar[Kind] = Kind("resource policy", "resourcePolicies", "roles/compute.instanceAdmin.v1")

    def planned(self, live: Live) -> Live:
        """The policy as it will be."""
        if live is not None and _FIELD not in live:
            raise InputError(
                f"The resource policy {self.name} in {self.place.region} is no workload policy.",
                hint="Take another name.",
            )
        if self.absent:
            return None
        new = {"name": self.name, _FIELD: self.wanted}
        found = differences(self.wanted, _policy(live)) if live else []
        if live is None or (found and self.recreate):
            return new
        if found:
            option, before, after = _OPTIONS[found[0].path], found[0].before, found[0].after
            raise InputError(
                f"The {option} of the workload policy {self.name} in {self.place.region} is {before or 'not set'}, "
                f"{after} is wanted, and Compute Engine cannot change it.",
                hint="Take another name, or give recreate: true to make it anew once no node pool uses it.",
            )
        return live

    def shown(self, live: Live) -> Data:
        """What was given, as it is."""
        return {"name": self.name, **picked(self.wanted, _policy(live))} if live else {}


def desired_workload_policy(options: t.Mapping[str, t.Any]) -> DesiredWorkloadPolicy:
    """What the options of ``gcp_workload_policy`` ask for.

    :raises InputError: they contradict each other, or Compute Engine would refuse them.
    """
    place = place_of(options)
    check_names(workload_policy=options["name"])
    topology = options.get("accelerator_topology")
    if topology and not re.fullmatch(r"\d+(x\d+){1,2}", topology):
        raise InputError(f"{topology!r} is not a topology.", hint="Give one such as 2x2x2.")
    return DesiredWorkloadPolicy(
        place=place,
        name=options["name"],
        wanted={field: options[name] for field, name in _OPTIONS.items() if options.get(name) is not None},
        absent=options["state"] == "absent",
        recreate=bool(options.get("recreate")),
    )


def _policy(live: Data) -> Data:
    """The policy in what the API answers, which leaves the mode out where it is the usual one."""
    found = live.get(_FIELD) or {}
    return merged({"acceleratorTopologyMode": MODES[0]}, found) if found.get("acceleratorTopology") else found
