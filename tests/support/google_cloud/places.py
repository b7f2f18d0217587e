# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Some regions with their zones, and what machines there are in them.

https://cloud.google.com/compute/docs/regions-zones, https://cloud.google.com/tpu/docs/regions-zones
"""

from __future__ import annotations

import math
import re

#: Region -> letters of its zones.
REGIONS = {
    "us-central1": "abcf",
    "us-central2": "b",
    "us-east1": "bcd",
    "us-east5": "abc",
    "us-south1": "abc",
    "us-west1": "abc",
    "us-west4": "abc",
    "europe-west1": "bcd",
    "europe-west4": "abc",
    "asia-northeast1": "abc",
}
#: TPU machine family -> quota of chips per region, on demand and preemptible (Spot VMs and, at first, flex-start). After
#: a slash is what else it depends on. Not all are among the quotas that Compute Engine tells of a region.
TPU_QUOTAS = {
    "ct4p": ("TPU_PODSLICE_V4", "PREEMPTIBLE_TPU_PODSLICE_V4"),
    "ct5lp": ("TPU_LITE_PODSLICE_V5", "PREEMPTIBLE_TPU_LITE_PODSLICE_V5"),
    "ct5l": ("TPU_LITE_DEVICE_V5", "PREEMPTIBLE_TPU_LITE_DEVICE_V5"),
    "ct5p": ("TPU_V5P", "PREEMPTIBLE_TPU_V5P"),
    "ct6e": ("TPUS_PER_TPU_FAMILY/CT6E", "PREEMPTIBLE_TPU_V6E"),
    "tpu7x": ("", ""),
}
#: Quota -> how much of it a region has where tests do not say.
LIMITS = {"CPUS": 500.0, "SSD_TOTAL_GB": 10000.0, "IN_USE_ADDRESSES": 69.0} | {
    metric: 256.0 for pair in TPU_QUOTAS.values() for metric in pair if metric
}
_TPU = re.compile(rf"({'|'.join(TPU_QUOTAS)})-[a-z]+-(\d)t")
#: What us-central2 has, whose one zone is for TPUs: "Invalid machine type e2-standard-4 in zone us-central2-b" is what
#: others are answered there.
_CENTRAL2 = ("ct4p", "ct6e", "f1", "g1", "n1", "n2", "n2d", "n4", "t2d")
_FAMILIES = (*TPU_QUOTAS, "e2", "n1", "n2", "n2d", "n4", "c3", "c4", "t2d", "a2", "a3", "g2", "f1", "g1")


def zones_of(region: str) -> list[str]:
    return [f"{region}-{letter}" for letter in REGIONS.get(region, "")]


def region_of(location: str) -> str:
    """The region that a zone is in, or the region itself."""
    return re.sub(r"-[a-z]$", "", location)


def exists(location: str) -> bool:
    region = region_of(location)
    return region in REGIONS and (location == region or location in zones_of(region))


def has_machine(zone: str, machine: str) -> bool:
    family = machine.partition("-")[0]
    if region_of(zone) == "us-central2":
        return family in _CENTRAL2
    return family in _FAMILIES and family != "ct4p"


def chips(machine: str) -> int:
    """TPU chips of one VM; 0 for other machines."""
    found = _TPU.fullmatch(machine)
    return int(found[2]) if found else 0


def family(machine: str) -> str:
    return machine.partition("-")[0]


def slice_size(machine: str, topology: str) -> int:
    """VMs of a slice; 0 where the topology is none for the machine."""
    if not re.fullmatch(r"\d+(x\d+){1,2}", topology) or not chips(machine):
        return 0
    hosts, rest = divmod(math.prod(map(int, topology.split("x"))), chips(machine))
    dimensions = topology.count("x") + 1
    flat = family(machine) in ("ct5lp", "ct6e", "ct5l")
    return hosts if not rest and dimensions == (2 if flat else 3) else 0
