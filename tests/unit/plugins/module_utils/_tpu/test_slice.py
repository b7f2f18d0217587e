# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalog and the rules against lists that were published elsewhere, row by row."""

from __future__ import annotations

import itertools
import math

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.modelops.serving.plugins.module_utils._tpu.catalog import (
    CHIPS,
    GENERATIONS,
    GKE_VERSIONS,
    MACHINES,
    NOT_OFFERED,
    TAINT,
    ZONES,
    Machine,
)
from ansible_collections.modelops.serving.plugins.module_utils._tpu.errors import TpuError
from ansible_collections.modelops.serving.plugins.module_utils._tpu.slice import (
    can_make,
    check_engine,
    count_chips,
    default_topologies,
    default_topology,
    describe,
    find,
    make_slice,
    parallelism,
    parse_topology,
    topologies,
)

GENERATION = {generation.name: generation for generation in GENERATIONS}
# Examples are the same in every run, and may take as long as they do on a busy machine.
properties = hypothesis.settings(deadline=None, derandomize=True, database=None, max_examples=150)
generations = st.sampled_from(GENERATIONS)
slices = generations.flatmap(
    lambda one: st.sampled_from(topologies(one)).map(lambda topology: make_slice(one.name, topology=topology))
)
sides = st.sampled_from([1, 2, 3, 4, 6, 8, 12, 16, 64, 140, 256, 260])

# accelerator type, topology, nodes, machine type
FLAT_AND_V4 = """
v5litepod-1 1x1 1 ct5lp-hightpu-1t
v5litepod-4 2x2 1 ct5lp-hightpu-4t
v5litepod-8 2x4 1 ct5lp-hightpu-8t
v5litepod-16 4x4 4 ct5lp-hightpu-4t
v5litepod-32 4x8 8 ct5lp-hightpu-4t
v5litepod-64 8x8 16 ct5lp-hightpu-4t
v5litepod-128 8x16 32 ct5lp-hightpu-4t
v5litepod-256 16x16 64 ct5lp-hightpu-4t
v6e-1 1x1 1 ct6e-standard-1t
v6e-4 2x2 1 ct6e-standard-4t
v6e-8 2x4 1 ct6e-standard-8t
v6e-16 4x4 4 ct6e-standard-4t
v6e-256 16x16 64 ct6e-standard-4t
v4-8 2x2x1 1 ct4p-hightpu-4t
v4-16 2x2x2 2 ct4p-hightpu-4t
v4-32 2x2x4 4 ct4p-hightpu-4t
v4-64 2x4x4 8 ct4p-hightpu-4t
v4-128 4x4x4 16 ct4p-hightpu-4t
v4-256 4x4x8 32 ct4p-hightpu-4t
v4-512 4x8x8 64 ct4p-hightpu-4t
v4-1024 8x8x8 128 ct4p-hightpu-4t
v4-1536 8x8x12 192 ct4p-hightpu-4t
v4-2048 8x8x16 256 ct4p-hightpu-4t
v4-4096 8x16x16 512 ct4p-hightpu-4t
tpu7x-2 1x1x1 1 tpu7x-standard-1t
tpu7x-8 2x2x1 1 tpu7x-standard-4t
tpu7x-16 2x2x2 2 tpu7x-standard-4t
tpu7x-18432 16x24x24 2304 tpu7x-standard-4t
"""
# All accelerator types of v5p that Google's tools list. A list that goes around has 4x12x16 for 3072: 768 chips, not 1536.
V5P = """
8=2x2x1 16=2x2x2 32=2x2x4 64=2x4x4 128=4x4x4 256=4x4x8 384=4x4x12 512=4x8x8 640=4x4x20 768=4x8x12 896=4x4x28
1024=8x8x8 1152=4x12x12 1280=4x8x20 1408=4x4x44 1536=8x8x12 1664=4x4x52 1792=4x8x28 1920=4x12x20 2048=8x8x16
2176=4x4x68 2304=8x12x12 2432=4x4x76 2560=8x8x20 2688=4x12x28 2816=4x8x44 2944=4x4x92 3072=8x12x16 3200=4x20x20
3328=4x8x52 3456=12x12x12 3584=8x8x28 3712=4x4x116 3840=8x12x20 3968=4x4x124 4096=8x16x16 4224=4x12x44 4352=4x8x68
4480=4x20x28 4608=12x12x16 4736=4x4x148 4864=4x8x76 4992=4x12x52 5120=8x16x20 5248=4x4x164 5376=8x12x28 5504=4x4x172
5632=8x8x44 5760=12x12x20 5888=4x8x92 6016=4x4x188 6144=12x16x16 6272=4x28x28 6400=8x20x20 6528=4x12x68 6656=8x8x52
6784=4x4x212 6912=12x12x24 7040=4x20x44 7168=8x16x28 7296=4x12x76 7424=4x8x116 7552=4x4x236 7680=12x16x20
7808=4x4x244 7936=4x8x124 8064=12x12x28 8192=16x16x16 8320=4x20x52 8448=8x12x44 8704=8x8x68 8832=4x12x92 8960=8x20x28
9216=12x16x24 9472=4x8x148 9600=12x20x20 9728=8x8x76 9856=4x28x44 9984=8x12x52 10240=16x16x20 10368=12x12x36
10496=4x8x164 10752=12x16x28 10880=4x20x68 11008=4x8x172 11136=4x12x116 11264=8x16x44 11520=12x20x24 11648=4x28x52
11776=8x8x92 11904=4x12x124 12032=4x8x188 12160=4x20x76 12288=16x16x24 13824=12x24x24 17920=16x20x28
"""


@pytest.mark.parametrize("row", FLAT_AND_V4.strip().splitlines())
def test_accelerator_types(row):
    name, topology, nodes, machine = row.split()
    on = make_slice(name)
    assert (on.topology, on.hosts, on.machine.name) == (topology, int(nodes), machine)
    assert on.accelerator_type == name
    assert on.multi_host is (int(nodes) > 1)


def test_every_accelerator_type_of_v5p():
    rows = [row.split("=") for row in V5P.split()]
    assert len(rows) == 96
    for suffix, topology in rows:
        on = make_slice(f"v5p-{suffix}")
        assert (on.topology, on.chips, on.hosts) == (topology, int(suffix) // 2, int(suffix) // 8)
        assert on.accelerator_type == f"v5p-{suffix}"
        assert on.multi_host is (suffix != "8")
    listed = {int(row[0]) for row in rows}
    documented = [2 * chips for chips in default_topologies(GENERATION["v5p"]) if chips <= 96 * 64]
    assert sorted(documented) == [suffix for suffix in sorted(listed) if suffix <= 12288]


def test_v5p_3072_is_not_what_the_list_says():
    assert count_chips("4x12x16") == 768
    assert default_topology(GENERATION["v5p"], 768) == "8x8x12"
    assert make_slice("v5p-3072").topology == "8x12x16"
    assert count_chips("8x12x16") == 1536


def test_as_many_topologies_as_the_tools_of_google_make():
    # https://github.com/AI-Hypercomputer/xpk, system_characteristics_test.py: 414 of v5p, 432 of tpu7x, and 800 of v4,
    # where it also takes the sides of cubes in any order. Neither knows the single chip of tpu7x there.
    assert len(topologies(GENERATION["v5p"])) == 414
    assert len(topologies(GENERATION["tpu7x"])) == 432 + 1
    cubes = [sides for text in topologies(GENERATION["v4"]) if min(sides := parse_topology(text)) >= 4]
    assert 4 + sum(len(set(itertools.permutations(sides))) for sides in cubes) == 800


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 16))
@properties
def test_nodes_have_to_divide_the_chips(a, b, per_node):
    machine = Machine("new", f"new-{per_node}t", per_node, f"1x{per_node}", True, 1, 1)
    assert can_make(machine, f"{a}x{b}") is ((a, b) == (1, per_node) or (a * b > per_node and (a * b) % per_node == 0))


@given(slices)
@properties
def test_the_numbers_of_a_slice_belong_together(on):
    sides = parse_topology(on.topology)
    assert math.prod(sides) == on.chips == on.hosts * on.machine.chips
    assert on.devices == on.chips * (2 if on.generation.name == "tpu7x" else 1)
    assert on.resources["limits"] == on.resources["requests"] == {"google.com/tpu": str(on.machine.chips)}
    assert on.multi_host is (on.chips != on.machine.chips)
    assert on.multi_host is (on.placement is not None)
    assert on.multi_host <= on.machine.multi_host
    assert len(sides) == (3 if on.generation.name in ("v4", "v5p", "tpu7x") else 2)
    assert on.node_selector == {
        "cloud.google.com/gke-tpu-accelerator": on.generation.label,
        "cloud.google.com/gke-tpu-topology": on.topology,
    }
    assert make_slice(on.generation.label, topology=on.topology) == on
    if on.accelerator_type:
        assert make_slice(on.accelerator_type).topology == on.topology


@given(generations, st.lists(sides, min_size=2, max_size=4).map(lambda sides: "x".join(map(str, sides))))
@properties
def test_any_other_topology_is_refused_with_a_way_out(generation, topology):
    if topology in topologies(generation):
        assert make_slice(generation.name, topology=topology).topology == topology
        return
    with pytest.raises(TpuError, match=f"{generation.name} has no topology {topology}") as error:
        make_slice(generation.name, topology=topology)
    assert error.value.hint


@given(generations, st.integers(-1, 10_000))
@properties
def test_any_other_number_of_chips_is_refused_with_the_nearest(generation, chips):
    valid = {count_chips(topology) for topology in topologies(generation)}
    if chips in valid:
        assert make_slice(generation.name, chips=chips).chips == chips
        return
    with pytest.raises(TpuError, match=f"no slice of {chips} chips") as error:
        make_slice(generation.name, chips=chips)
    nearest = min(valid, key=lambda size: abs(size - chips))
    assert f"{nearest} ({default_topology(generation, nearest)})" in error.value.hint


def test_the_tables_fit_each_other():
    names = set(GENERATION)
    assert set(CHIPS) == names == {machine.generation for machine in MACHINES}
    assert set(GKE_VERSIONS) <= names and set(ZONES) <= names
    assert all(machine.topology in topologies(GENERATION[machine.generation]) for machine in MACHINES)
    assert all(count_chips(machine.topology) == machine.chips for machine in MACHINES)
    assert all(machine.name.endswith(f"-{machine.chips}t") for machine in MACHINES)
    assert all(find(machine.name).machine is machine for machine in MACHINES)
    assert not set(NOT_OFFERED) & {*names, *(one.label for one in GENERATIONS), *(one.name for one in MACHINES)}
    assert len({one.label for one in GENERATIONS}) == len(GENERATIONS)


def test_what_is_valid_for_a_generation():
    found = describe(GENERATION["v6e"])
    assert found["topologies"] == ["1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16"]
    assert [machine["chips"] for machine in found["machine_types"]] == [1, 4, 8]
    assert (found["chip"]["hbm_gib"], found["chip"]["usd_per_hour"]) == (32, 2.7)
    assert found["boot_disk_types"] == ["hyperdisk-balanced"]
    assert found["engines"] == ["vllm", "jetstream"]


# -- one slice ---------------------------------------------------------------------------------------------------------


def test_everything_about_one_slice():
    data = make_slice("v6e", topology="4x4").data()
    assert data | {"warnings": None} == {
        "generation": "v6e",
        "topology": "4x4",
        "accelerator_type": "v6e-16",
        "accelerator_label": "tpu-v6e-slice",
        "machine_type": "ct6e-standard-4t",
        "chips": 16,
        "hosts": 4,
        "chips_per_host": 4,
        "multi_host": True,
        "devices": 16,
        "hbm_gib": 512,
        "hbm_gbps": 26208,
        "bf16_tflops": 14688,
        "eight_bit_tops": 14688,
        "vcpus_per_host": 180,
        "memory_gb_per_host": 720,
        "boot_disk_types": ["hyperdisk-balanced"],
        "node_selector": {
            "cloud.google.com/gke-tpu-accelerator": "tpu-v6e-slice",
            "cloud.google.com/gke-tpu-topology": "4x4",
        },
        "tolerations": [{"key": "google.com/tpu", "operator": "Equal", "value": "present", "effect": "NoSchedule"}],
        "resources": {"requests": {"google.com/tpu": "4"}, "limits": {"google.com/tpu": "4"}},
        "placement": {"kind": "compact", "type": "COMPACT", "topology": "4x4"},
        "compute_class": {"type": "tpu-v6e-slice", "count": 4, "topology": "4x4"},
        "price": {"usd_per_hour": 43.2, "date": "2026-08-21"},
        "alternatives": [],
        "warnings": None,
    }
    assert data["warnings"] == []


def test_tolerations_cannot_change_the_catalog():
    make_slice("v6e-1").tolerations[0]["key"] = "other"
    assert TAINT["key"] == "google.com/tpu"


@pytest.mark.parametrize("generation", ["v5e", "v6e"])
def test_2x4_is_one_host_or_two_and_that_is_said(generation):
    names = {chips: machine.name for machine in GENERATION[generation].machines if (chips := machine.chips) > 1}
    one = make_slice(generation, topology="2x4")
    assert (one.machine.name, one.hosts, one.alternatives, one.placement) == (names[8], 1, (names[4],), None)
    assert f"1 host {names[8]}" in one.warnings[0] and f"2 hosts {names[4]}" in one.warnings[0]
    assert make_slice(generation, chips=8) == one

    two = make_slice(generation, topology="2x4", machine_type=names[4])
    assert (two.machine.name, two.hosts, two.alternatives) == (names[4], 2, (names[8],))
    assert two.placement == {"kind": "compact", "type": "COMPACT", "topology": "2x4"}
    assert two.resources["limits"] == {"google.com/tpu": "4"}
    assert make_slice(names[4], topology="2x4") == two
    # Who names the machine type has answered the question.
    assert two.warnings == make_slice(names[8]).warnings == ()


def test_tpu7x_is_placed_by_a_workload_policy_and_only_with_several_hosts():
    assert make_slice("tpu7x", topology="2x2x1").placement is None
    assert make_slice("ironwood", topology="2x2x2").placement == {
        "kind": "workload_policy",
        "type": "HIGH_THROUGHPUT",
        "topology": "2x2x2",
    }


def test_a_machine_type_that_only_comes_on_request():
    assert make_slice("tpu7x-8").machine.name == "tpu7x-standard-4t"
    assert make_slice("tpu7x-8").warnings == ()
    assert make_slice("tpu7x-ultranet-4t", topology="4x4x4").hosts == 16


def test_warnings_about_what_is_allowed():
    assert make_slice("v5p", topology="4x8x8").warnings == ()
    (usual,) = make_slice("v5p", topology="4x4x16").warnings
    assert "default of 256 chips, which is 4x8x8" in usual
    (large,) = make_slice("v5p", topology="16x20x28").warnings
    assert "8960 chips" in large and "6144" in large
    assert make_slice("tpu7x", chips=9216).warnings == ()
    assert "legacy" in make_slice("ct5l-hightpu-4t").warnings[0]
    assert make_slice("tpu7x", topology="2x2x2").price is None


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        ({"accelerator": "v6e", "topology": "3x4"}, "v6e has no topology 3x4", "1x1, 2x2, 2x4, 4x4"),
        ({"accelerator": "v6e", "topology": "2x2x1"}, "no topology 2x2x1", "1x1, 2x2"),
        ({"accelerator": "v5p", "topology": "8x4x4"}, "no topology 8x4x4", "ascending order: 4x4x8"),
        ({"accelerator": "v5p", "topology": "4x4x6"}, "no topology 4x4x6", "140 cubes"),
        ({"accelerator": "v5p", "topology": "16x24x24"}, "no topology 16x24x24", "at most 8960 chips"),
        ({"accelerator": "v5p", "topology": "4x4x268"}, "no topology 4x4x268", "up to 256"),
        ({"accelerator": "ct5l-hightpu-4t", "topology": "4x4"}, "no topology 4x4", "1x1, 2x2, 2x4"),
        ({"accelerator": "v6e", "topology": "2X4"}, "'2X4' is no topology", "2x4"),
        ({"accelerator": "v6e", "topology": "02x4"}, "is no topology", "2x4"),
        ({"accelerator": "v6e", "chips": 12}, "no slice of 12 chips", "8 (2x4) or 16 (4x4)"),
        ({"accelerator": "v6e", "chips": 0}, "no slice of 0 chips", "1 (1x1)"),
        ({"accelerator": "v6e"}, "How large", "topology"),
        ({"accelerator": "ct6e-standard-8t", "topology": "4x4"}, "several are no slice", "ct6e-standard-4t"),
        ({"accelerator": "ct6e-standard-8t", "topology": "2x2"}, "cannot be divided into nodes of 8", "-4t"),
        ({"accelerator": "tpu7x-standard-1t", "topology": "2x2x1"}, "cannot make 2x2x1", "tpu7x-standard-4t"),
        ({"accelerator": "v6e", "topology": "4x4", "chips": 8}, "v6e, 4x4, 8 chips", "only one"),
        ({"accelerator": "v5p-128", "topology": "2x2x1"}, "slices of 4 and 64 chips", "only one"),
        ({"accelerator": "v5p-9"}, "counts TensorCores", "v5p-10"),
        ({"accelerator": "v6e", "machine_type": "ct5p-hightpu-4t"}, "ct5p-hightpu-4t is not v6e", "ct6e-standard-8t"),
        ({"accelerator": "ct6e-standard-8t", "machine_type": "ct6e-standard-4t"}, "is not ct6e-standard-8t", "-4t"),
        ({"accelerator": "v6e", "machine_type": "v6e"}, "v6e is no machine type", "ct6e-standard-1t"),
        ({"accelerator": "v6", "chips": 1}, "'v6' is no TPU", "v6e"),
        ({"accelerator": "ct6e-standard-2t"}, "is no TPU", "Did you mean ct6e-standard"),
        ({"accelerator": "tpu-v5-podslice"}, "no label of GKE", "tpu-v5p-slice"),
        ({"accelerator": "tpu-v5e-slice"}, "no label of GKE", "tpu-v5-lite-podslice"),
        ({"accelerator": "ct3-hightpu-4t"}, "legacy", "v5e"),
        ({"accelerator": "tpu7"}, "not in GKE's documentation", "tpu7x"),
        ({"accelerator": "v8t"}, "announced", "tpu7x"),
    ],
)
def test_what_cannot_be_is_refused_with_a_way_out(arguments, message, hint):
    with pytest.raises(TpuError) as error:
        make_slice(**arguments)
    assert message in error.value.message
    assert hint in error.value.hint
    assert str(error.value) == f"{error.value.message} {error.value.hint}"


def test_parallelism_counts_devices_and_not_chips():
    seven, six = make_slice("tpu7x-standard-4t"), make_slice("v6e", topology="2x4")
    assert (parallelism(seven).tensor, parallelism(six).tensor) == (8, 8)
    assert parallelism(make_slice("tpu7x-standard-1t"), tensor=2).warnings == ()
    assert parallelism(seven, data=4) == parallelism(seven, tensor=2, data=4)
    (idle,) = parallelism(seven, tensor=4).warnings
    assert "8 devices (2 for each of 4 chips)" in idle and "leaves 4 idle" in idle
    with pytest.raises(TpuError, match="8 devices, and tensor 8 x pipeline 1 x data 2 = 16 needs more"):
        parallelism(six, tensor=8, data=2)
    with pytest.raises(TpuError, match="at least 1"):
        parallelism(six, tensor=0)


def test_servers_of_models():
    with pytest.raises(TpuError, match=r"saxml does not know v6e.*vllm runs on v6e"):
        check_engine(GENERATION["v6e"], "saxml")
    for name in ("v5p", "tpu7x"):
        with pytest.raises(TpuError, match=f"saxml does not know {name}"):
            check_engine(GENERATION[name], "saxml")
    assert check_engine(GENERATION["v6e"], "vllm") == ()
    assert check_engine(GENERATION["v5p"], "vllm") == ("vllm calls its support of v5p experimental.",)
    assert "archived on 2026-02-01" in check_engine(GENERATION["v5e"], "jetstream")[0]
    with pytest.raises(TpuError, match="Known are vllm, jetstream, saxml"):
        check_engine(GENERATION["v6e"], "triton")
