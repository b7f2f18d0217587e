# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._gke.names import (
    check_name,
    check_ranges,
    check_zones,
    is_at_least,
    is_zone,
    region_of,
    same_resource,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError


@pytest.mark.parametrize("name", ["a", "a" * 40, "v6e-2x4", "gke-1"])
def test_names(name):
    check_name("cluster", name)


@pytest.mark.parametrize("name", ["", "a" * 41, "A", "1a", "a-", "a_b", "-a"])
def test_no_names(name):
    with pytest.raises(InputError):
        check_name("cluster", name)


def test_places():
    assert [region_of(place) for place in ("us-central1", "us-central1-a", "us-central1-ai1a")] == ["us-central1"] * 3
    assert [is_zone(place) for place in ("europe-west4", "europe-west4-b")] == [False, True]
    for place in ("", "us", "us-central", "us_central1", "US-CENTRAL1", "us-central1-a-b"):
        with pytest.raises(InputError, match="neither a region nor a zone"):
            region_of(place)
    check_zones("zones", ["us-east5-a"], "us-east5")
    for zone in ("us-east5", "us-east4-a"):
        with pytest.raises(InputError, match="no zone of us-east5"):
            check_zones("zones", [zone], "us-east5-a")


@pytest.mark.parametrize(
    ("live", "wanted", "enough"),
    [
        ("1.34.1-gke.3084001", "1.34", True),
        ("1.34.1-gke.3084001", "1.34.1-gke.3084001", True),
        ("1.34.1-gke.3084001", "1.34.1-gke.3084002", False),
        ("1.34.1-gke.3084001", "1.34.2", False),
        ("1.34.10-gke.1", "1.34.9", True),
        ("1.9.0-gke.1", "1.10", False),
        ("1.35.0-gke.1", "1.34.9-gke.5", True),
    ],
)
def test_versions(live, wanted, enough):
    assert is_at_least(live, wanted) is enough


def test_ranges():
    check_ranges({"a": "10.0.0.0/16", "b": "10.1.0.0/16", "c": None})
    with pytest.raises(InputError, match=r"a 10.0.0.0/16 and b 10.0.128.0/20 overlap"):
        check_ranges({"a": "10.0.0.0/16", "b": "10.0.128.0/20"})
    for text in ("10.0.0.1/16", "/14", "10.0.0.0/33"):
        with pytest.raises(InputError, match="pods_cidr"):
            check_ranges({"pods_cidr": text})


def test_networks():
    full = "projects/p/global/networks/vpc"
    for other in (
        "vpc",
        full,
        f"https://www.googleapis.com/compute/v1/{full}",
        f"//compute.googleapis.com/compute/v1/{full}",
    ):
        assert same_resource(full, other) and same_resource(other, full)
    for other in ("my-vpc", "projects/q/global/networks/vpc", None, "networks/other"):
        assert not same_resource(full, other)
