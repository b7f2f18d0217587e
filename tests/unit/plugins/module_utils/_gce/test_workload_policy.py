# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is planned of a workload policy, by what is there."""

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._gce.workload_policy import desired_workload_policy
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError

SLICE = {"type": "HIGH_THROUGHPUT", "acceleratorTopology": "2x2x2"}
LIVE = {"name": "w", "selfLink": "x", "status": "READY", "workloadPolicy": SLICE}


def policy(**options):
    given = {"project": "p", "region": "us-central1", "name": "w", "state": "present", "type": "HIGH_THROUGHPUT"}
    return desired_workload_policy({**given, **options})


@pytest.mark.parametrize(
    "options", [{}, {"accelerator_topology": "2x2x2"}, {"accelerator_topology_mode": "AUTO_CONNECT", "recreate": True}]
)
def test_what_is_so_is_left_alone(options):
    desired = policy(**options)
    assert desired.planned(LIVE) is LIVE
    assert desired.shown(LIVE) == {"name": "w", **desired.wanted}


def test_a_new_one():
    made = policy(max_topology_distance="BLOCK").planned(None)
    assert made == {"name": "w", "workloadPolicy": {"type": "HIGH_THROUGHPUT", "maxTopologyDistance": "BLOCK"}}
    assert policy(state="absent").planned(LIVE) is None and policy().shown(None) == {}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"accelerator_topology": "2x2x4"},
            "The accelerator_topology of the workload policy w in us-central1 is 2x2x2, 2x2x4",
        ),
        ({"type": "HIGH_AVAILABILITY"}, "The type of"),
        ({"accelerator_topology_mode": "PROVISION_ONLY"}, "is AUTO_CONNECT, PROVISION_ONLY is wanted"),
        ({"max_topology_distance": "BLOCK"}, "is not set, BLOCK is wanted"),
    ],
)
def test_a_difference_is_refused_or_made_anew(options, told):
    with pytest.raises(InputError) as caught:
        policy(**options).planned(LIVE)
    assert told in caught.value.message and "recreate: true" in caught.value.hint
    desired = policy(**options, recreate=True)
    assert desired.planned(LIVE) == {"name": "w", "workloadPolicy": desired.wanted}


@pytest.mark.parametrize("state", ["present", "absent"])
def test_other_kinds_are_not_touched(state):
    with pytest.raises(InputError, match="no workload policy"):
        policy(state=state, recreate=True).planned({"name": "w", "selfLink": "x", "groupPlacementPolicy": {}})


@pytest.mark.parametrize("topology", ["2", "2x", "axb", "2x2x2x2"])
def test_what_is_no_topology(topology):
    with pytest.raises(InputError, match="is not a topology"):
        policy(accelerator_topology=topology)
