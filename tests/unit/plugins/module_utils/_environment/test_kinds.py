# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resources that a cluster stands on: what is sent for a new one, what differs, what is sent then."""

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._environment.kinds import Wanted, made_here
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError

PODS = {"rangeName": "pods", "ipCidrRange": "10.0.0.0/20"}
OTHER = {"rangeName": "others", "ipCidrRange": "10.1.0.0/20"}
LINK = "https://www.googleapis.com/compute/v1/projects/p/global/networks/n"


def wanted(type_, **given):
    return Wanted(type=type_, name="name-1", project="p", location="us-east1", **given)


def subnetwork(*ranges, **fields):
    return wanted(
        "subnetwork", fields={"network": "projects/p/global/networks/n", "secondaryIpRanges": [*ranges], **fields}
    )


@pytest.mark.parametrize(
    ("resource", "path", "query", "body"),
    [
        (
            wanted("network", new_fields={"autoCreateSubnetworks": False}),
            "/compute/v1/projects/p/global/networks",
            {},
            {"name": "name-1", "autoCreateSubnetworks": False, "description": "Made by modelops.serving."},
        ),
        (
            wanted("service_account", new_fields={"displayName": "Nodes"}),
            "/v1/projects/p/serviceAccounts",
            {},
            {
                "accountId": "name-1",
                "serviceAccount": {"displayName": "Nodes", "description": "Made by modelops.serving."},
            },
        ),
        (
            wanted("bucket", fields={"labels": {"a": "b"}}),
            "/storage/v1/b",
            {"project": "p"},
            {"name": "name-1", "location": "US-EAST1", "labels": {"a": "b", "managed-by": "modelops-serving"}},
        ),
        (
            wanted("repository", fields={"format": "DOCKER"}),
            "/v1/projects/p/locations/us-east1/repositories",
            {"repositoryId": "name-1"},
            {"format": "DOCKER", "labels": {"managed-by": "modelops-serving"}},
        ),
    ],
)
def test_a_new_one_carries_the_mark(resource, path, query, body):
    assert resource.creation() == (path, query, body)
    assert made_here(body.get("serviceAccount", body)) and not made_here({"name": "name-1"})


def test_only_fields_that_are_given_are_changed():
    bucket = wanted("bucket", fields={"versioning": {"enabled": True}})
    live = {"location": "US-EAST1", "versioning": {"enabled": False}, "lifecycle": {"rule": []}, "labels": {"x": "y"}}
    (call,) = bucket.calls(live)
    assert (call.method, call.path, call.body) == ("PATCH", "", {"versioning": {"enabled": True}})
    assert bucket.planned(live) == {**live, "versioning": {"enabled": True}}
    same = {**live, "versioning": {"enabled": True}}
    assert bucket.calls(same) == [] and bucket.planned(same) is same


def test_ranges_of_others_stay_in_a_subnetwork():
    live = {"network": LINK, "secondaryIpRanges": [OTHER], "fingerprint": "f"}
    ranges, private = subnetwork(PODS, privateIpGoogleAccess=True).calls(live)
    assert (private.path, private.method) == ("/setPrivateIpGoogleAccess", "POST")
    assert ranges.body == {"secondaryIpRanges": [OTHER, PODS], "fingerprint": "f"}
    assert subnetwork(PODS).calls({**live, "secondaryIpRanges": [OTHER, PODS]}) == []
    with pytest.raises(InputError, match=r"10\.0\.0\.0/20 is wanted"):
        subnetwork(PODS).calls({**live, "secondaryIpRanges": [{**PODS, "ipCidrRange": "10.9.0.0/20"}]})


def test_what_google_cannot_change_is_refused_with_both_values():
    with pytest.raises(InputError, match="location of the bucket name-1 is 'EU', 'US-EAST1' is wanted"):
        wanted("bucket").calls({"location": "EU"})


def test_updates_of_accounts_and_repositories_have_a_mask():
    (account,) = wanted("service_account", fields={"displayName": "b"}).calls({"displayName": "a"})
    assert account.body == {"serviceAccount": {"displayName": "b"}, "updateMask": "displayName"}
    (repository,) = wanted("repository", fields={"labels": {"a": "b"}}).calls({"labels": {"c": "d"}})
    assert (repository.path, repository.body) == ("?updateMask=labels", {"labels": {"a": "b", "c": "d"}})


@pytest.mark.parametrize(
    "given",
    [
        {"type": "service_account", "name": "five5"},
        {"type": "bucket", "name": "Upper", "location": "us"},
        {"type": "subnetwork", "name": "s"},
    ],
)
def test_names_and_locations_are_checked(given):
    with pytest.raises(InputError):
        Wanted(project="p", **given)
