# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The arithmetic of slices: which there are, and what follows from one. Pure."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import itertools
import math
import re
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._tpu.catalog import (
    ACCELERATOR_LABEL,
    ALIASES,
    CUBE_SIDE,
    ENGINES,
    GENERATIONS,
    GKE_VERSIONS,
    LONGEST_SIDE,
    MACHINES,
    NOT_OFFERED,
    NOTES,
    PRICE_DATE,
    RESOURCE,
    TAINT,
    TOPOLOGY_LABEL,
    ZONES,
    Generation,
    Machine,
)
from ansible_collections.modelops.serving.plugins.module_utils._tpu.errors import TpuError

Object: t.TypeAlias = dict[str, t.Any]

_TOPOLOGY = re.compile(r"[1-9][0-9]*(x[1-9][0-9]*)+")
_BY_NAME = {generation.name: generation for generation in GENERATIONS}
_GENERATION = {
    **{alias: _BY_NAME[name] for alias, name in ALIASES.items()},
    **{generation.label: generation for generation in GENERATIONS},
    **_BY_NAME,
}
_MACHINE = {machine.name: machine for machine in MACHINES}
_TYPE = re.compile(
    f"({'|'.join(generation.type_prefix for generation in GENERATIONS if generation.type_prefix)})-(\\d+)"
)


@dataclasses.dataclass(frozen=True)
class Slice:
    """A slice that GKE can make: chips that are wired to each other, on one node or several.

    :param alternatives: machine types that would make the same topology with another number of hosts.
    :param warnings: what is allowed and worth knowing, as sentences.
    """

    generation: Generation
    topology: str
    machine: Machine
    alternatives: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def chips(self) -> int:
        """Chips of the whole slice."""
        return count_chips(self.topology)

    @property
    def hosts(self) -> int:
        """Nodes of the slice. The pages of Cloud TPU count hosts of another size; GKE counts these."""
        return self.chips // self.machine.chips

    @property
    def multi_host(self) -> bool:
        """Whether it needs several nodes, which GKE makes and resizes as a whole."""
        return self.hosts > 1

    @property
    def devices(self) -> int:
        """What JAX and vLLM see: the product of tensor, pipeline and data parallelism."""
        return self.chips * self.generation.chip.devices

    @property
    def hbm_bytes(self) -> int:
        """Memory of all chips."""
        return self.chips * self.generation.chip.hbm_gib * 2**30

    @property
    def accelerator_type(self) -> str | None:
        """Its name in Cloud TPU, such as v5p-128. Only the default topology of a number of chips has one."""
        prefix = self.generation.type_prefix
        if not prefix or self.topology != default_topology(self.generation, self.chips):
            return None
        return f"{prefix}-{self.chips * self.generation.chip.cores}"

    @property
    def node_selector(self) -> dict[str, str]:
        """Node labels that a Pod has to select, both of them."""
        return {ACCELERATOR_LABEL: self.generation.label, TOPOLOGY_LABEL: self.topology}

    @property
    def tolerations(self) -> list[Object]:
        """Of its taint. Pods that request no TPU, such as a leader that only forwards, do not get it from GKE."""
        return [{**TAINT, "operator": "Equal"}]

    @property
    def resources(self) -> dict[str, dict[str, str]]:
        """Of the container in each Pod: all chips of a node, since one Pod takes a node."""
        chips = {RESOURCE: str(self.machine.chips)}
        return {"requests": chips, "limits": dict(chips)}

    @property
    def placement(self) -> Object | None:
        """How a node pool is told the topology; None for a single host, whose pool must not be told.

        ``kind`` is compact (``--placement-type=COMPACT --tpu-topology=T``) or workload_policy (a resource policy of this
        type and accelerator topology, whose name goes into ``--placement-policy``, and no ``--tpu-topology``).
        """
        if not self.multi_host:
            return None
        kind = self.generation.placement
        return {
            "kind": kind,
            "type": "COMPACT" if kind == "compact" else "HIGH_THROUGHPUT",
            "topology": self.topology,
        }

    @property
    def compute_class(self) -> Object:
        """The field ``tpu`` of a priority of a ComputeClass."""
        return {"type": self.generation.label, "count": self.machine.chips, "topology": self.topology}

    @property
    def price(self) -> Object | None:
        """Hint of what an hour costs on demand, with the day it is of. None where no price is public."""
        if self.generation.price is None:
            return None
        return {"usd_per_hour": round(self.generation.price * self.chips, 2), "date": PRICE_DATE}

    def data(self) -> Object:
        """Everything that follows from it, as plain data."""
        chip, machine = self.generation.chip, self.machine
        return {
            "generation": self.generation.name,
            "topology": self.topology,
            "accelerator_type": self.accelerator_type,
            "accelerator_label": self.generation.label,
            "machine_type": machine.name,
            "chips": self.chips,
            "hosts": self.hosts,
            "chips_per_host": machine.chips,
            "multi_host": self.multi_host,
            "devices": self.devices,
            "hbm_gib": self.chips * chip.hbm_gib,
            "hbm_gbps": self.chips * chip.hbm_gbps,
            "bf16_tflops": self.chips * chip.bf16_tflops,
            "eight_bit_tops": self.chips * chip.eight_bit_tops,
            "vcpus_per_host": machine.vcpus,
            "memory_gb_per_host": machine.memory_gb,
            "boot_disk_types": list(self.generation.disks),
            "node_selector": self.node_selector,
            "tolerations": self.tolerations,
            "resources": self.resources,
            "placement": self.placement,
            "compute_class": self.compute_class,
            "price": self.price,
            "alternatives": list(self.alternatives),
            "warnings": list(self.warnings),
        }


def describe(generation: Generation) -> Object:
    """What is valid for a generation, as plain data."""
    chip = generation.chip
    return {
        "name": generation.name,
        "accelerator_label": generation.label,
        "accelerator_types": generation.type_prefix or None,
        "topologies": list(topologies(generation)),
        "machine_types": [
            {
                "name": machine.name,
                "chips": machine.chips,
                "single_host_topology": machine.topology,
                "multi_host": machine.multi_host,
                "vcpus": machine.vcpus,
                "memory_gb": machine.memory_gb,
            }
            for machine in generation.machines
        ],
        "chip": {**chip._asdict(), "usd_per_hour": generation.price},
        "boot_disk_types": list(generation.disks),
        "flex_start": generation.flex_start,
        "engines": [engine.name for engine in ENGINES if generation.name in engine.generations],
        "gke_versions": GKE_VERSIONS.get(generation.name, {}),
        "zones": list(ZONES.get(generation.name, ())),
    }


# -- names -------------------------------------------------------------------------------------------------------------


class Found(t.NamedTuple):
    """What a name stands for: a generation, and with a machine type or an accelerator type a bit more."""

    generation: Generation
    machine: Machine | None = None
    chips: int | None = None


def find(name: str) -> Found:
    """What a generation, a label, a machine type or an accelerator type stands for.

    :raises TpuError: it stands for nothing, or for what GKE does not offer.
    """
    text = name.strip().lower()
    if text in _GENERATION:
        return Found(_GENERATION[text])
    if text in _MACHINE:
        machine = _MACHINE[text]
        return Found(_BY_NAME[machine.generation], machine)
    if match := _TYPE.fullmatch(text):
        generation = next(one for one in GENERATIONS if one.type_prefix == match[1])
        return Found(generation, chips=_chips_of_type(generation, text, int(match[2])))
    if text in NOT_OFFERED:
        why, instead = NOT_OFFERED[text]
        raise TpuError(f"{name} {why}.", hint=instead)
    close = difflib.get_close_matches(text, [*_GENERATION, *_MACHINE], n=3)
    meant = f"Did you mean {' or '.join(close)}? " if close else ""
    raise TpuError(
        f"{name!r} is no TPU that GKE offers.",
        hint=f"{meant}Give a generation ({', '.join(_BY_NAME)}), its label, a machine type such as ct6e-standard-8t or an "
        "accelerator type such as v5p-128.",
    )


def _chips_of_type(generation: Generation, name: str, cores: int) -> int:
    """The chips of an accelerator type, whose number counts TensorCores."""
    chips, rest = divmod(cores, generation.chip.cores)
    if rest:
        raise TpuError(
            f"{name} cannot be: the number counts TensorCores, and a chip of {generation.name} has "
            f"{generation.chip.cores} of them.",
            hint=f"Give {generation.type_prefix}-{cores + rest}, or chips.",
        )
    return chips


# -- topologies --------------------------------------------------------------------------------------------------------


def parse_topology(text: str) -> tuple[int, ...]:
    """The sides of a topology.

    :raises TpuError: it is not written as one.
    """
    if not _TOPOLOGY.fullmatch(text):
        raise TpuError(f"{text!r} is no topology.", hint="Write one as 2x4 or 4x4x8, with a small x and no spaces.")
    return tuple(map(int, text.split("x")))


def count_chips(topology: str) -> int:
    """The chips of a topology, which are the product of its sides."""
    return math.prod(parse_topology(topology))


@functools.cache
def topologies(generation: Generation) -> tuple[str, ...]:
    """All that are valid, by chips, and among as many chips the ones most like a cube first."""
    found = [parse_topology(text) for text in generation.topologies]
    for a, b in itertools.combinations_with_replacement(range(1, generation.max_cubes + 1), 2):
        found += [
            (a * CUBE_SIDE, b * CUBE_SIDE, c * CUBE_SIDE)
            for c in range(b, min(generation.max_cubes // (a * b), LONGEST_SIDE // CUBE_SIDE) + 1)
        ]
    found.sort(key=lambda sides: (math.prod(sides), sum(sides), sides))
    return tuple("x".join(map(str, sides)) for sides in found)


@functools.cache
def default_topologies(generation: Generation) -> dict[int, str]:
    """The one to take for a number of chips, in ascending order.

    "The default topology is the one most similar to a cube": https://cloud.google.com/tpu/docs/types-topologies. That is
    the smallest sum of sides, and it gives all accelerator types that GKE's tools list one by one. One list that goes
    around has 4x12x16 for v5p-3072, which are 768 chips and not 1536; by the rule, and in XPK, it is 8x12x16.
    """
    found: dict[int, str] = {}
    for topology in topologies(generation):
        found.setdefault(count_chips(topology), topology)
    return found


def default_topology(generation: Generation, chips: int) -> str:
    """The topology of a number of chips.

    :raises TpuError: there is no slice of that size.
    """
    valid = default_topologies(generation)
    if chips in valid:
        return valid[chips]
    smaller = max((size for size in valid if size < chips), default=None)
    larger = min((size for size in valid if size > chips), default=None)
    near = " or ".join(f"{size} ({valid[size]})" for size in (smaller, larger) if size)
    raise TpuError(f"{generation.name} has no slice of {chips} chips.", hint=f"The nearest are {near}.")


def _check_topology(generation: Generation, topology: str) -> None:
    """Raise unless the generation has it.

    :raises TpuError: it has not.
    """
    sides = parse_topology(topology)
    valid = topologies(generation)
    if topology in valid:
        return
    message = f"{generation.name} has no topology {topology}."
    ordered = "x".join(map(str, sorted(sides)))
    if ordered in valid:
        raise TpuError(message, hint=f"Sides are in ascending order: {ordered}.")
    hint = f"Valid are {', '.join(generation.topologies)}"
    if generation.max_cubes:
        hint += (
            f", and AxBxC with A <= B <= C, all multiples of {CUBE_SIDE} up to {LONGEST_SIDE}, with at most "
            f"{generation.max_cubes * CUBE_SIDE**3} chips ({generation.max_cubes} cubes); {topology} has {math.prod(sides)}"
        )
    raise TpuError(message, hint=f"{hint}.")


# -- slices ------------------------------------------------------------------------------------------------------------


def make_slice(
    accelerator: str, *, topology: str | None = None, chips: int | None = None, machine_type: str | None = None
) -> Slice:
    """The slice that is meant.

    :param accelerator: a generation, a label, a machine type or an accelerator type.
    :param chips: its size; the topology is then the default one.
    :param machine_type: for 2x4 of v5e and v6e, which is one host of 8 chips or two of 4. Without it the one with the
        fewest hosts is taken, and the others are named in ``alternatives``.
    :raises TpuError: there is no such slice, or the arguments contradict each other.
    """
    found = find(accelerator)
    generation, machine = found.generation, _same(found, machine_type)
    sizes = {size for size in (found.chips, chips) if size is not None}
    if topology is not None:
        _check_topology(generation, topology)
        sizes.add(count_chips(topology))
    if len(sizes) > 1:
        given = [accelerator, *([topology] if topology else []), *([f"{chips} chips"] if chips is not None else [])]
        raise TpuError(
            f"{', '.join(given)} do not belong together: they are slices of "
            f"{' and '.join(map(str, sorted(sizes)))} chips.",
            hint="Give only one of them.",
        )
    if topology is None:
        topology = _topology_of(generation, machine, sizes)
    return _build(generation, topology, machine)


def _same(found: Found, machine_type: str | None) -> Machine | None:
    """The machine type, from either of its two places."""
    if machine_type is None:
        return found.machine
    machine = find(machine_type).machine
    if machine is None:
        raise TpuError(f"{machine_type} is no machine type.", hint=_machine_hint(found.generation))
    if machine.generation != found.generation.name or found.machine not in (None, machine):
        wish = found.machine.name if found.machine else found.generation.name
        raise TpuError(f"{machine_type} is not {wish}.", hint=_machine_hint(found.generation))
    return machine


def _machine_hint(generation: Generation) -> str:
    names = ", ".join(machine.name for machine in generation.machines)
    return f"Machine types of {generation.name} are {names}."


def _topology_of(generation: Generation, machine: Machine | None, sizes: t.Collection[int]) -> str:
    if sizes:
        return default_topology(generation, next(iter(sizes)))
    if machine is not None:
        return machine.topology
    raise TpuError(
        f"How large a slice of {generation.name} is meant is not said.", hint="Give a topology, or a number of chips."
    )


def can_make(machine: Machine, topology: str) -> bool:
    """Whether the machine type can make a slice of that topology, alone or several together (GKE's own rule).

    https://github.com/GoogleCloudPlatform/cluster-autoscaler, ``machine_config_provider.go``.
    """
    chips = count_chips(topology)
    return topology == machine.topology or (machine.multi_host and chips > machine.chips and chips % machine.chips == 0)


def _build(generation: Generation, topology: str, wanted: Machine | None) -> Slice:
    able = [machine for machine in generation.machines if can_make(machine, topology)]
    if wanted is not None and wanted not in able:
        raise TpuError(_why_not(wanted, topology), hint=f"Take {able[0].name}.")
    machine = wanted or max(able, key=lambda one: one.chips)
    others = tuple(one.name for one in able if one.chips != machine.chips)
    return Slice(generation, topology, machine, others, tuple(_warnings(generation, topology, machine, wanted, others)))


def _why_not(machine: Machine, topology: str) -> str:
    chips = count_chips(topology)
    if chips % machine.chips:
        why = f"{chips} chips cannot be divided into nodes of {machine.chips}"
    else:
        why = f"a node of it is a slice {machine.topology} of its own, and several are no slice"
    return f"{machine.name} cannot make {topology}: {why}."


def _warnings(
    generation: Generation, topology: str, machine: Machine, wanted: Machine | None, others: tuple[str, ...]
) -> t.Iterator[str]:
    chips = count_chips(topology)
    if generation.name in NOTES:
        yield NOTES[generation.name]
    if wanted is None and others:
        yield (
            f"{topology} of {generation.name} is {_hosts(chips, machine.chips, machine.name)} here, and could be "
            f"{' or '.join(_hosts(chips, _MACHINE[name].chips, name) for name in others)}; machine_type says which."
        )
    usual = default_topology(generation, chips)
    if topology != usual:
        yield f"{topology} is not the default of {chips} chips, which is {usual}: the one most like a cube."
    largest = generation.documented_cubes * CUBE_SIDE**3
    if generation.max_cubes and chips > largest:
        yield f"{topology} has {chips} chips; the documentation of {generation.name} knows slices of up to {largest}."


def _hosts(chips: int, per_host: int, machine_type: str) -> str:
    hosts = chips // per_host
    return f"{hosts} {'host' if hosts == 1 else 'hosts'} {machine_type}"


# -- what runs on it ---------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Parallelism:
    """How a server spreads over the devices of a slice: ``data`` copies of the model, each over tensor x pipeline."""

    tensor: int
    pipeline: int = 1
    data: int = 1
    warnings: tuple[str, ...] = ()


def parallelism(on: Slice, *, tensor: int | None = None, pipeline: int = 1, data: int = 1) -> Parallelism:
    """The parallelism of a server. Without ``tensor`` it is what makes use of all devices.

    :raises TpuError: it needs more devices than there are. Fewer are a warning.
    """
    described = f"{on.generation.name} {on.topology} has {on.devices} devices"
    if on.devices != on.chips:
        described += f" ({on.generation.chip.devices} for each of {on.chips} chips)"
    if tensor == 0 or min(tensor or 1, pipeline, data) < 1:
        raise TpuError("Parallelism counts devices, and is at least 1.", hint=f"{described}.")
    chosen = tensor or max(1, on.devices // (pipeline * data))
    used = chosen * pipeline * data
    product = f"tensor {chosen} x pipeline {pipeline} x data {data} = {used}"
    if used > on.devices:
        usual = f"Without pipeline and data parallelism, tensor parallelism is {on.devices}."
        raise TpuError(f"{described}, and {product} needs more.", hint=usual)
    warnings = () if used == on.devices else (f"{described}, and {product} leaves {on.devices - used} idle.",)
    return Parallelism(chosen, pipeline, data, warnings)


def check_engine(generation: Generation, name: str) -> tuple[str, ...]:
    """What is worth knowing about a server of models on that TPU.

    :raises TpuError: there is no such server, or it does not run there.
    """
    engine = next((one for one in ENGINES if one.name == name), None)
    if engine is None:
        raise TpuError(f"{name!r} is no server of models.", hint=f"Known are {', '.join(one.name for one in ENGINES)}.")
    if generation.name not in engine.generations:
        raise TpuError(
            f"{name} does not know {generation.name}.",
            hint=f"It runs on {', '.join(engine.generations)}; {ENGINES[0].name} runs on {generation.name}.",
        )
    warnings = []
    if engine.legacy:
        warnings.append(f"{name} is {engine.legacy}.")
    if generation.name in engine.experimental:
        warnings.append(f"{name} calls its support of {generation.name} experimental.")
    return tuple(warnings)
