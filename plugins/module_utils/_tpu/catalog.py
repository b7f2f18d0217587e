# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The catalog: every TPU that GKE offers, as tables. A new one is a new row; no rule of any other file names a TPU.

Sources, by the letters that stand beside the tables:

* CA: what GKE's autoscaler knows, https://github.com/GoogleCloudPlatform/cluster-autoscaler at 7d25050 (2026-08-21),
  the files ``machine_family.go``, ``deprecated_tpu_config.go``, ``machine_config_provider.go`` and ``labels.go``.
* TPU: https://docs.cloud.google.com/tpu/docs/v4, and beside it v5e, v5p, v6e, tpu7x and types-topologies.
* GKE: https://docs.cloud.google.com/kubernetes-engine/docs/concepts/plan-tpus and .../concepts/tpu-ironwood.
* XPK: https://github.com/AI-Hypercomputer/xpk at 367c838 (2026-06-25), ``system_characteristics.py``, ``nodepool.py``.
* CT: https://github.com/GoogleCloudPlatform/cluster-toolkit at v1.95.0, the preconditions of its GKE node pool.
"""

from __future__ import annotations

import typing as t

FlexStart: t.TypeAlias = t.Literal["yes", "no", "disputed"]
Placement: t.TypeAlias = t.Literal["compact", "workload_policy"]

ACCELERATOR_LABEL = "cloud.google.com/gke-tpu-accelerator"
TOPOLOGY_LABEL = "cloud.google.com/gke-tpu-topology"
#: The resource whose request and limit say how many chips of its node a Pod takes. GKE: it has to be all of them.
RESOURCE = "google.com/tpu"
#: Taint of every node with TPUs (CT). GKE tolerates it for Pods that request the resource, and only for those.
TAINT = {"key": RESOURCE, "value": "present", "effect": "NoSchedule"}

#: A cube is 4x4x4 chips, the unit of slices in three dimensions (TPU). No side is longer than this (XPK).
CUBE_SIDE = 4
LONGEST_SIDE = 256


class Chip(t.NamedTuple):
    """One chip.

    :param hbm_gib: memory in GiB.
    :param hbm_gbps: its bandwidth in GB/s.
    :param bf16_tflops: peak in bfloat16.
    :param eight_bit_tops: peak in the 8-bit format that the chip is rated in: int8 up to v5e, FP8 since v5p.
    :param cores: TensorCores, which the names of accelerator types count: v5p-8 has 4 chips.
    :param devices: what JAX and vLLM see, and tensor parallelism counts.
    """

    hbm_gib: int
    hbm_gbps: int
    bf16_tflops: int
    eight_bit_tops: int
    cores: int
    devices: int


class Machine(t.NamedTuple):
    """A machine type.

    :param chips: of one node, which is what a Pod on it has to request.
    :param topology: of the slice that one such node is.
    :param multi_host: whether several of them can be one slice.
    :param memory_gb: RAM of a node in GB.
    """

    generation: str
    name: str
    chips: int
    topology: str
    multi_host: bool
    vcpus: int
    memory_gb: int


class Generation(t.NamedTuple):
    """What all machine types under one accelerator label share.

    :param label: value of the node label ``cloud.google.com/gke-tpu-accelerator``.
    :param type_prefix: what names of accelerator types begin with; empty when there are none.
    :param topologies: those that are listed one by one, smallest first.
    :param max_cubes: up to how many cubes AxBxC with A <= B <= C, all multiples of 4, is valid as well.
    :param documented_cubes: how many of them the documentation knows of.
    :param disks: boot disks that its nodes take, the usual one first.
    :param placement: how a pool of several hosts is told its topology.
    :param flex_start: whether the Dynamic Workload Scheduler gives it.
    :param price: hint of USD per chip and hour on demand, see :data:`PRICE_DATE`. None where no price is public.
    """

    name: str
    label: str
    type_prefix: str
    topologies: tuple[str, ...]
    max_cubes: int
    documented_cubes: int
    disks: tuple[str, ...]
    placement: Placement
    flex_start: FlexStart
    price: float | None

    @property
    def chip(self) -> Chip:
        """Its chip."""
        return CHIPS[self.name]

    @property
    def machines(self) -> tuple[Machine, ...]:
        """Its machine types. Of several with as many chips the first is the one to take unless another is named."""
        return tuple(machine for machine in MACHINES if machine.generation == self.name)


# -- chips (TPU; GB/s of v5e is 819 in one edition of its page and 800 GiB/s in another) ------------------------------
#              HBM GiB, GB/s, bf16, 8-bit, TensorCores, devices
CHIPS = {
    "v4": Chip(32, 1200, 275, 275, 2, 1),  # both TensorCores are one device (megacore), as in v5p
    "ct5l": Chip(16, 819, 197, 393, 1, 1),
    "v5e": Chip(16, 819, 197, 393, 1, 1),
    "v5p": Chip(95, 2765, 459, 459, 2, 1),
    "v6e": Chip(32, 1638, 918, 918, 1, 1),
    "tpu7x": Chip(192, 7380, 2307, 4614, 2, 2),  # each TensorCore is a device of its own
}

# -- machine types (CA; GKE gives 960 GB for tpu7x-standard-4t) --------------------------------------------------------
#   generation, machine type, chips, alone, several hosts, vCPUs, GB
MACHINES = (
    Machine("v4", "ct4p-hightpu-4t", 4, "2x2x1", True, 240, 407),
    Machine("ct5l", "ct5l-hightpu-1t", 1, "1x1", False, 24, 48),
    Machine("ct5l", "ct5l-hightpu-4t", 4, "2x2", False, 112, 192),
    Machine("ct5l", "ct5l-hightpu-8t", 8, "2x4", False, 224, 384),
    Machine("v5e", "ct5lp-hightpu-1t", 1, "1x1", False, 24, 48),
    Machine("v5e", "ct5lp-hightpu-4t", 4, "2x2", True, 112, 192),
    Machine("v5e", "ct5lp-hightpu-8t", 8, "2x4", False, 224, 384),
    Machine("v5p", "ct5p-hightpu-4t", 4, "2x2x1", True, 208, 448),
    Machine("v6e", "ct6e-standard-1t", 1, "1x1", False, 44, 176),
    Machine("v6e", "ct6e-standard-4t", 4, "2x2", True, 180, 720),
    Machine("v6e", "ct6e-standard-8t", 8, "2x4", False, 180, 1440),
    Machine("tpu7x", "tpu7x-standard-1t", 1, "1x1x1", False, 56, 248),
    Machine("tpu7x", "tpu7x-standard-4t", 4, "2x2x1", True, 224, 992),
    Machine("tpu7x", "tpu7x-ultranet-4t", 4, "2x2x1", True, 224, 992),  # only ever on request (CA)
)

# -- generations --------------------------------------------------------------------------------------------------------
# Topologies and cubes: TPU, GKE, XPK. XPK takes the sides of v4 in any order; TPU asks for A <= B <= C there as well.
# v5p: its page stops at 16x16x24 (96 cubes) while XPK and CT go up to the 140 of a Pod. v4: 12x16x16 against 64.
_ONE_HOST = ("1x1", "2x2", "2x4")
_FLAT = (*_ONE_HOST, "4x4", "4x8", "8x8", "8x16", "16x16")
_DEEP = ("2x2x1", "2x2x2", "2x2x4", "2x4x4")
# Disks: CA. Placement: XPK, GKE. Flex-start: CA; for tpu7x CT ships a blueprint with it while vLLM's TPU documentation
# (https://github.com/vllm-project/tpu-inference) says that there is none.
_PD = ("pd-balanced", "pd-ssd")
_ANY = (*_PD, "pd-standard", "hyperdisk-balanced")
_HD = ("hyperdisk-balanced",)
# Prices: CA. Those of tpu7x are placeholders there.
#   name, label, accelerator types, listed, cubes, documented, disks, placement, flex-start, USD
GENERATIONS = (
    Generation("v4", "tpu-v4-podslice", "v4", _DEEP, 64, 48, _ANY, "compact", "no", 3.22),
    Generation("ct5l", "tpu-v5-lite-device", "", _ONE_HOST, 0, 0, _PD, "compact", "no", 1.2),
    Generation("v5e", "tpu-v5-lite-podslice", "v5litepod", _FLAT, 0, 0, _PD, "compact", "yes", 1.2),
    Generation("v5p", "tpu-v5p-slice", "v5p", _DEEP, 140, 96, _PD, "compact", "yes", 4.2),
    Generation("v6e", "tpu-v6e-slice", "v6e", _FLAT, 0, 0, _HD, "compact", "yes", 2.7),
    Generation("tpu7x", "tpu7x", "tpu7x", ("1x1x1", *_DEEP), 144, 144, _HD, "workload_policy", "disputed", None),
)
#: Day of the prices, which differ by region and change: a hint for comparing slices, not for a bill.
PRICE_DATE = "2026-08-21"

#: Other names people use for a generation.
ALIASES = {"v5litepod": "v5e", "v5lite": "v5e", "trillium": "v6e", "v7": "tpu7x", "v7x": "tpu7x", "ironwood": "tpu7x"}

#: What one is told about a generation each time.
NOTES = {
    "ct5l": "Its machines are legacy ones for single hosts, and not in GKE's documentation any more; "
    "v5e (ct5lp-hightpu) is the current one.",  # CA
}

# Names that exist somewhere and are not to be asked for: why, what instead, and which.
_REFUSED = (
    # CA
    ("is a legacy TPU", "Take v5e or a later one.", "v3 ct3-hightpu-4t tpu-v3-device ct3p-hightpu-4t tpu-v3-slice"),
    ("is a legacy TPU", "Take v5e or a later one.", "v4i ct4l-hightpu-4t tpu-v4-lite-device"),
    ("is not in GKE's documentation", "Take tpu7x.", "tpu7 tpu7-standard-1t tpu7-standard-4t"),
    ("is announced, but has no label and no machine type yet", "Take tpu7x.", "v8 v8t v8i tpu8 tpu8t tpu8i"),
    # https://github.com/gke-labs/tpu-operator and a table of CT have these; CA, XPK and GKE do not.
    ("is no label of GKE", "That of v5p is tpu-v5p-slice.", "tpu-v5-podslice tpu-v5-device"),
    ("is no label of GKE", "That of v5e is tpu-v5-lite-podslice.", "tpu-v5e-slice"),
)
NOT_OFFERED = {name: (why, instead) for why, instead, names in _REFUSED for name in names.split()}

#: Settings of node pools that only some generations need (XPK).
POOL_SETTINGS: dict[str, dict[str, t.Any]] = {
    "v6e": {
        "accelerator_network_profile": "auto",
        "node_labels": {"cloud.google.com/gke-networking-dra-driver": "true"},
    },
}

#: GKE versions from which on a generation can be had (GKE), for messages and documentation.
GKE_VERSIONS = {
    "v4": {"auto_provisioning": "1.27.6"},
    "v5e": {"auto_provisioning": "1.27.6"},
    "v5p": {"auto_provisioning": "1.28.7"},  # of 1.29 it is 1.29.2
    "v6e": {"auto_provisioning": "1.31.1"},
    "tpu7x": {
        "standard": "1.34.0-gke.2201000",
        "autopilot": "1.34.1-gke.3084001",
        "dynamic_slicing": "1.35.2-gke.1842000",
    },
}

#: Zones that some edition of the documentation names (GKE). They change: advice, never a reason to fail.
ZONES = {
    "v4": ("us-central2-b",),
    "v5e": ("europe-west4-b", "us-central1-a", "us-south1-a", "us-west1-c", "us-west4-a"),
    "v5p": ("europe-west4-b", "us-central1-a", "us-east5-a"),
    "v6e": (
        *("asia-northeast1-b", "europe-west4-a", "southamerica-west1-a", "us-central1-b", "us-east1-d", "us-east5-a"),
        *("us-east5-b", "us-south1-ai1b"),
    ),
    "tpu7x": ("us-central1-ai1a", "us-central1-c"),
}


class Engine(t.NamedTuple):
    """A server of models.

    :param generations: it runs on, the recommended ones first.
    :param experimental: those of them that it calls experimental.
    :param legacy: what has become of it, empty while it is developed.
    """

    name: str
    generations: tuple[str, ...]
    experimental: tuple[str, ...] = ()
    legacy: str = ""


#: vLLM: https://github.com/vllm-project/tpu-inference at b8692ff (2026-08-22). JetStream:
#: https://github.com/AI-Hypercomputer/JetStream. Saxml: https://github.com/google/saxml, whose ``proto_util.py`` maps no
#: chip after v5e and has no v5p: v6e becomes CHIP_TYPE_UNKNOWN without a word.
ENGINES = (
    Engine("vllm", ("tpu7x", "v6e", "v5e", "ct5l", "v5p", "v4"), ("v5p", "v4")),
    Engine("jetstream", ("v6e", "v5p", "v5e", "ct5l", "v4"), (), "archived on 2026-02-01 in favour of vLLM"),
    Engine("saxml", ("v5e", "ct5l", "v4"), (), "without a release since 2024"),
)
