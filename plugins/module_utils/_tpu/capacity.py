# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the nodes of a slice come from: on demand, spot, a reservation, flex-start or a ComputeClass. Pure.

Sources: the labels of GKE's autoscaler, https://github.com/GoogleCloudPlatform/cluster-autoscaler (``labels.go``), flags
of https://github.com/AI-Hypercomputer/xpk (``capacity.py``, ``nodepool.py``), and the preconditions of the node pool of
https://github.com/GoogleCloudPlatform/cluster-toolkit.
"""

from __future__ import annotations

import copy
import dataclasses
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._tpu.catalog import POOL_SETTINGS, Generation
from ansible_collections.modelops.serving.plugins.module_utils._tpu.errors import TpuError
from ansible_collections.modelops.serving.plugins.module_utils._tpu.slice import Object, Slice

_LABEL = "cloud.google.com/"
#: Seconds that a node of flex-start lives at most: 7 days.
LONGEST_RUN = 604800
# One Pod takes all chips of a node, and the rest are DaemonSets: fewer than GKE's 110 save addresses (XPK).
_PODS_PER_NODE = 15
_FLEX_POOL: Object = {
    "flex_start": True,
    "reservation_affinity": "none",
    "auto_repair": False,
    "autoscaling": {"min_nodes": 0, "location_policy": "ANY"},
}


class Kind(t.NamedTuple):
    """A way to capacity.

    :param selector: node labels of its nodes, without ``cloud.google.com/``.
    :param taint: key of the taint of its nodes.
    :param pool: settings of a node pool.
    :param flex: whether the Dynamic Workload Scheduler gives it.
    """

    selector: dict[str, str]
    taint: str | None
    pool: Object
    flex: bool = False


KINDS = {
    "on_demand": Kind({}, None, {}),
    "spot": Kind({"gke-spot": "true"}, "gke-spot", {"spot": True}),
    "reservation": Kind({"reservation-affinity": "specific"}, None, {"reservation_affinity": "specific"}),
    "flex_start": Kind({"gke-flex-start": "true"}, "gke-flex-start", _FLEX_POOL, True),
    "queued": Kind({"gke-queued": "true"}, "gke-queued", {**_FLEX_POOL, "queued_provisioning": True}, True),
    "compute_class": Kind({}, None, {}),
}


@dataclasses.dataclass(frozen=True)
class Capacity:
    """Where nodes come from.

    :param kind: one of :data:`KINDS`; queued is flex-start by a ProvisioningRequest.
    :param reservation: its name, for reservation.
    :param reservation_project: of a shared reservation.
    :param max_run_duration: seconds that a node of flex-start or queued may live.
    :param compute_class: its name, for compute_class.
    """

    kind: str = "on_demand"
    reservation: str | None = None
    reservation_project: str | None = None
    max_run_duration: int | None = None
    compute_class: str | None = None

    def check(self, generation: Generation) -> tuple[str, ...]:
        """What is worth knowing about it.

        :raises TpuError: it contradicts itself, or that TPU is not to be had this way.
        """
        if self.kind not in KINDS:
            raise TpuError(f"{self.kind!r} is no kind of capacity.", hint=f"Known are {', '.join(KINDS)}.")
        _belongs(self.kind, "reservation", self.reservation)
        _belongs(self.kind, "compute_class", self.compute_class)
        if self.reservation_project and not self.reservation:
            raise TpuError("reservation_project is given without a reservation.", hint="Give its name as well.")
        self._check_duration()
        return self._check_flex_start(generation)

    def _check_duration(self) -> None:
        if self.max_run_duration is None:
            return
        if not KINDS[self.kind].flex:
            raise TpuError(
                f"max_run_duration has no meaning for {self.kind}.", hint="Leave it out, or take flex_start or queued."
            )
        if not 0 < self.max_run_duration <= LONGEST_RUN:
            raise TpuError(
                f"max_run_duration is {self.max_run_duration} seconds; flex-start gives nodes for at most {LONGEST_RUN}.",
                hint="For longer runs take a reservation, or on_demand.",
            )

    def _check_flex_start(self, generation: Generation) -> tuple[str, ...]:
        if not KINDS[self.kind].flex or generation.flex_start == "yes":
            return ()
        if generation.flex_start == "no":
            raise TpuError(
                f"There is no flex-start for {generation.name}.", hint="Take a reservation, on_demand or spot."
            )
        return (f"Sources differ on whether there is flex-start for {generation.name}: try it before you rely on it.",)

    @property
    def node_selector(self) -> dict[str, str]:
        """Node labels to select beside those of the slice."""
        labels = dict(KINDS[self.kind].selector)
        if self.reservation:
            labels["reservation-name"] = self.reservation
        if self.reservation_project:
            labels["reservation-project"] = self.reservation_project
        if self.max_run_duration:
            labels["gke-max-run-duration-seconds"] = str(self.max_run_duration)
        if self.compute_class:
            labels["compute-class"] = self.compute_class
        return {_LABEL + name: value for name, value in labels.items()}

    @property
    def tolerations(self) -> list[Object]:
        """Of the taint of its nodes."""
        taint = KINDS[self.kind].taint
        if taint is None:
            return []
        return [{"key": _LABEL + taint, "operator": "Equal", "value": "true", "effect": "NoSchedule"}]


def _belongs(kind: str, option: str, value: str | None) -> None:
    """Raise unless the option is given for the kind of its name, and for no other."""
    if value and kind != option:
        raise TpuError(
            f"{option} {value} and {kind} exclude each other.",
            hint=f"Leave {option} out, or take the capacity {option} instead of {kind}.",
        )
    if not value and kind == option:
        raise TpuError(f"The capacity {kind} needs a name.", hint=f"Give {option}.")


def scheduling(on: Slice, capacity: Capacity) -> Object:
    """``nodeSelector`` and ``tolerations`` of a Pod on the slice.

    A ComputeClass that states the TPU stands for the two labels of the slice.

    :raises TpuError: the slice is not to be had this way.
    """
    capacity.check(on.generation)
    selector = {} if capacity.kind == "compute_class" else on.node_selector
    return {
        "nodeSelector": {**selector, **capacity.node_selector},
        "tolerations": [*on.tolerations, *capacity.tolerations],
    }


def node_pool(on: Slice, capacity: Capacity) -> Object:
    """Settings of a node pool that holds the slice once, in the words of gcloud.

    ``node_count`` is there unless nodes come and go by themselves; then ``autoscaling`` is. A pool of several hosts is
    resized as a whole: from none to all.

    :raises TpuError: the slice is not to be had this way, or not from a node pool of one's own.
    """
    capacity.check(on.generation)
    if capacity.compute_class:
        raise TpuError(
            f"GKE makes the node pools of the ComputeClass {capacity.compute_class} itself.",
            hint="Create the ComputeClass and no node pool, or take another capacity.",
        )
    pool: Object = {
        "machine_type": on.machine.name,
        "disk_type": on.generation.disks[0],
        "placement": on.placement,
        "max_pods_per_node": _PODS_PER_NODE,
        "gvnic": True,
        "workload_metadata": "GKE_METADATA",
        **copy.deepcopy(POOL_SETTINGS.get(on.generation.name, {})),
        **copy.deepcopy(KINDS[capacity.kind].pool),
    }
    if capacity.reservation:
        pool["reservation"] = capacity.reservation
    if "autoscaling" in pool:
        pool["autoscaling"]["max_nodes"] = on.hosts
    else:
        pool["node_count"] = on.hosts
    return pool


def check_disk(generation: Generation, disk_type: str) -> None:
    """Raise unless nodes with that TPU can boot from the disk.

    :raises TpuError: they cannot.
    """
    if disk_type not in generation.disks:
        raise TpuError(
            f"Nodes with {generation.name} cannot boot from {disk_type}.",
            hint=f"Take {' or '.join(generation.disks)}.",
        )
