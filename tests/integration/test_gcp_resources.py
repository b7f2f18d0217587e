# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""gcp_resources: real runs of ansible-playbook against the stand-in for Google Cloud."""

from __future__ import annotations

MODULE = "modelops.serving.gcp_resources"
NETWORK = "projects/demo-project/global/networks/serving"
BUCKET = "storage/storage/v1/b/demo-models"
ACCOUNT = "iam/v1/projects/demo-project/serviceAccounts/nodes-1@demo-project.iam.gserviceaccount.com"
RANGES = [{"rangeName": "pods", "ipCidrRange": "192.168.64.0/20"}]


def resources(ranges, name, versioning, labels):
    return [
        {"type": "network", "name": "serving", "new_fields": {"autoCreateSubnetworks": False}},
        {
            "type": "subnetwork",
            "name": "serving",
            "location": "us-central1",
            "fields": {
                "network": NETWORK,
                "ipCidrRange": "10.129.0.0/20",
                "privateIpGoogleAccess": versioning,
                "secondaryIpRanges": ranges,
            },
        },
        {"type": "service_account", "name": "nodes-1", "fields": {"displayName": name}},
        {
            "type": "bucket",
            "name": "demo-models",
            "location": "us-central1",
            "fields": {"versioning": {"enabled": versioning}},
        },
        {
            "type": "repository",
            "name": "images",
            "location": "us",
            "fields": {"format": "DOCKER", "labels": labels},
            "new_fields": {"mode": "STANDARD_REPOSITORY"},
        },
    ]


def steps(options):
    """Check, do, check, do."""
    return [{MODULE: {"attempts": 2, **options}, "check_mode": number % 2 == 0} for number in range(4)]


def test_made_changed_and_deleted(google, playbooks):
    first = resources(RANGES, "Nodes", False, {"team": "a"})
    second = resources([{"rangeName": "services", "ipCidrRange": "192.168.80.0/20"}], "Others", True, {"team": "b"})
    wanted = [{"resources": first}, {"resources": second}, {"state": "absent", "resources": second}]
    tasks = [step for options in wanted for step in steps(options)]
    results = playbooks.tasks(tasks, "--diff", env=google.environment).ok().results
    assert [result["changed"] for result in results] == [True, True, False, False] * 3
    for predicted, done in zip(results[::2], results[1::2], strict=True):
        assert predicted["diff"] == done["diff"] and predicted["resources"] == done["resources"]
    written = [(request.method, request.api) for request in google.requests if request.writes]
    changes = [("PATCH", "compute"), ("POST", "compute"), ("PATCH", "iam"), ("PATCH", "storage")]
    created = [("POST", api) for api in ("compute", "compute", "iam", "storage", "artifactregistry")]
    deleted = [("DELETE", api) for _method, api in reversed(created)]
    assert written == [*created, *changes, ("PATCH", "artifactregistry"), *deleted]
    ranges = next(
        change["after"]["secondaryIpRanges"] for change in results[5]["diff"] if "secondaryIpRanges" in change["after"]
    )
    assert [one["rangeName"] for one in ranges] == ["pods", "services"]  # that of others stays


def test_what_others_have_and_made(google, playbooks):
    google.put("storage/storage/v1/b/taken", {"name": "taken", "projectNumber": "1"})
    google.put(BUCKET, {"name": "demo-models", "location": "EU", "projectNumber": google.project_number})
    email = ACCOUNT.rpartition("/")[2]
    google.put(
        ACCOUNT, {"name": ACCOUNT.removeprefix("iam/v1/"), "email": email, "projectId": google.project, "uniqueId": "1"}
    )
    google.deny("compute.networks.create")
    elsewhere = {"type": "bucket", "name": "demo-models", "location": "us-central1"}
    account = {"type": "service_account", "name": "nodes-1"}
    tried = [
        {"resources": [{"type": "bucket", "name": "taken", "location": "us"}]},
        {"resources": [elsewhere]},
        {"resources": [{"type": "network", "name": "serving"}]},
        {"state": "absent", "resources": [account]},
        {"state": "absent", "resources": [account], "force": True},
    ]
    tasks = [{MODULE: {"attempts": 1, **options}, "ignore_errors": True} for options in tried]
    taken, moved, denied, kept, forced = playbooks.tasks(tasks, env=google.environment).ok().results
    assert taken["failed"] and "take another name" in taken["error"]["hint"]
    assert "location of the bucket demo-models is 'EU', 'US-CENTRAL1' is wanted" in moved["msg"]
    assert "compute.networks.create" in denied["msg"] and "roles/compute.networkAdmin" in denied["msg"]
    assert not kept["changed"] and kept["left"][0]["reason"] == "It was not made by this collection."
    assert forced["changed"] and google.get(ACCOUNT) is None
