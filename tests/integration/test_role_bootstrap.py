# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role bootstrap against the stand-in for Google Cloud: made, again, drifted, adopted, refused, interrupted, taken down."""

from __future__ import annotations

import json

import pytest
import yaml
from runner import ROOT

PLAYBOOK = ROOT / "playbooks" / "bootstrap.yml"
ACCOUNT = "automation@demo-project.iam.gserviceaccount.com"
MEMBER = f"serviceAccount:{ACCOUNT}"
ALICE = "user:alice@example.com"
PROJECT = "cloudresourcemanager/v3/projects/demo-project"
ACCOUNT_PATH = f"iam/v1/projects/demo-project/serviceAccounts/{ACCOUNT}"
BUCKET_PATH = "storage/storage/v1/b/demo-automation"
CHECK = ("--check", "--diff")


@pytest.fixture
def run(playbooks, google, tmp_path):
    """Runs the playbook, or ``in_turn`` the role several times in one play. What is given by name are variables."""
    google.require_services = True
    outputs = tmp_path / "outputs.yml"

    def variables(changes):
        return {
            "bootstrap_project_id": google.project,
            "bootstrap_automation_sa_name": "automation",
            "bootstrap_automation_bucket": {"name": "demo-automation", "location": "us-central1"},
            "bootstrap_impersonators": [ALICE],
            "bootstrap_outputs_file": str(outputs),
            **{f"bootstrap_{name}": value for name, value in changes.items()},
        }

    def play(playbook, given, *arguments):
        path = tmp_path / "variables.json"
        path.write_text(json.dumps(given))
        google.clear_requests()
        return playbooks.playbook(playbook, "-e", f"@{path}", *arguments, **google.environment)

    def run(*arguments, **changes):
        return play(PLAYBOOK, variables(changes), *arguments)

    def in_turn(*times):
        path = tmp_path / "in_turn.yml"
        role = {"ansible.builtin.include_role": {"name": "modelops.serving.bootstrap"}}
        forgive = [{"ansible.builtin.debug": {"msg": "It failed."}}]
        tasks = [{"block": [{**role, "vars": variables(changes)}], "rescue": forgive} for changes in times]
        path.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
        return play(path, {}).ok()

    run.outputs, run.in_turn = outputs, in_turn
    return run


def writes(google):
    """Requests that would change something. Policies and permissions are asked for with POST."""
    asking = (":testIamPermissions", ":getIamPolicy")
    return [f"{one.method} {one.path}" for one in google.requests if one.writes and not one.path.endswith(asking)]


def roles_of(google, path, member=MEMBER):
    return {one["role"] for one in google.policy(path)["bindings"] if member in one["members"]}


def enabled(google, name):
    found = google.get(f"serviceusage/v1/projects/demo-project/services/{name}.googleapis.com")
    return bool(found) and found["state"] == "ENABLED"


def test_made_again_drifted_and_taken_down(google, run):
    # A project where nothing is enabled: what cannot be looked at yet is told.
    predicted = run(*CHECK).ok()
    assert writes(google) == [] and not run.outputs.exists()
    assert predicted.recap["changed"] == 3
    assert f"the service account {ACCOUNT}; the bucket demo-automation" in predicted.output

    # It ends after the bucket was made: the next time goes on from there, and the time after that only looks.
    google.fail(r"POST cloudresourcemanager/v3/projects/demo-project:setIamPolicy", times=1, status=400)
    made = run.in_turn({}, {}, {})
    assert made.output.count("It failed.") == 1 and made.recap["changed"] == 6
    assert writes(google) == [
        "POST /v1/projects/demo-project/services:batchEnable",
        "POST /v1/projects/demo-project/serviceAccounts",
        "POST /storage/v1/b",
        "POST /v3/projects/demo-project:setIamPolicy",
        "POST /v3/projects/demo-project:setIamPolicy",
        "PUT /storage/v1/b/demo-automation/iam",
        f"POST /v1/projects/-/serviceAccounts/{ACCOUNT}:setIamPolicy",
    ]
    last = max(number for number, one in enumerate(google.requests) if one.path.endswith(f"{ACCOUNT}:setIamPolicy"))
    assert len(google.requests[last + 1 :]) == 8  # what a run with nothing to do reads
    assert google.get(BUCKET_PATH)["versioning"] == {"enabled": True}
    access = google.get(BUCKET_PATH)["iamConfiguration"]
    assert access["uniformBucketLevelAccess"]["enabled"] and access["publicAccessPrevention"] == "enforced"
    assert len(roles_of(google, PROJECT)) == 12 and "roles/container.admin" in roles_of(google, PROJECT)
    assert roles_of(google, BUCKET_PATH) == {"roles/storage.admin"}
    assert roles_of(google, ACCOUNT_PATH, ALICE) == {"roles/iam.serviceAccountTokenCreator"}
    assert enabled(google, "container") and enabled(google, "artifactregistry") and not enabled(google, "sourcerepo")
    assert yaml.safe_load(run.outputs.read_text())["bootstrap_outputs"] == {
        "project_id": "demo-project",
        "automation_service_account": ACCOUNT,
        "automation_bucket": "demo-automation",
        "automation_bucket_location": "us-central1",
    }

    google.put(BUCKET_PATH, {**google.get(BUCKET_PATH), "versioning": {"enabled": False}})
    kept = [one for one in google.policy(PROJECT)["bindings"] if one["role"] != "roles/container.admin"]
    google.set_policy(PROJECT, {"bindings": [*kept, {"role": "roles/viewer", "members": [ALICE]}]})
    drifted = run(*CHECK).ok()
    assert writes(google) == [] and drifted.recap["changed"] == 2
    assert "roles/container.admin" in drifted.output and "enabled" in drifted.output

    # It is told in so many words that the data may go.
    google.put(f"{BUCKET_PATH}/o/state", {"name": "state", "size": "1", "generation": "1"})
    gone = {"state": "absent", "deletion_protection": False, "delete_data": True}
    taken = run.in_turn(gone, gone)
    assert "It failed." not in taken.output and taken.recap["changed"] == 5  # the file, grants, the resources
    assert writes(google) == [
        f"POST /v1/projects/-/serviceAccounts/{ACCOUNT}:setIamPolicy",
        "PUT /storage/v1/b/demo-automation/iam",
        "POST /v3/projects/demo-project:setIamPolicy",
        "DELETE /storage/v1/b/demo-automation/o/state",
        "DELETE /storage/v1/b/demo-automation",
        f"DELETE /v1/projects/demo-project/serviceAccounts/{ACCOUNT}",
    ]
    assert not google.get(BUCKET_PATH) and not google.get(ACCOUNT_PATH) and not run.outputs.exists()
    assert roles_of(google, PROJECT, ALICE) == {"roles/viewer"} and not roles_of(google, PROJECT)


def test_what_is_missing_is_told_before_any_change(google, run):
    google.deny("iam.serviceAccounts.create", "storage.buckets.create")
    refused = run(services=[])
    # What could be asked before the services were enabled was only whether they are.
    assert [one for one in writes(google) if "batchEnable" not in one] == [] and refused.status != 0
    for told in (
        "On the project projects/demo-project the account lacks the permission iam.serviceAccounts.create",
        "roles/iam.serviceAccountAdmin",
        "lacks the permission storage.buckets.create. The role roles/storage.admin has",
    ):
        assert told in refused.output
    # Of what is to be adopted it is asked whether it is there.
    adopted = {"create_automation_sa": False, "create_automation_bucket": False, "enable_apis": False}
    refused = run("-e", "bootstrap_entry_point=preflight", **adopted)
    assert writes(google) == []
    for told in (
        "not enabled in the project demo-project: accesscontextmanager.googleapis.com, ",
        f"The service account projects/-/serviceAccounts/{ACCOUNT} does not exist",
        "The bucket projects/_/buckets/demo-automation does not exist",
    ):
        assert told in refused.output


def test_adopted(google, run):
    """What others made is used as it is, and stays when all is taken down, as does what is protected."""
    account = {"name": ACCOUNT_PATH[len("iam/v1/") :], "projectId": "demo-project", "email": ACCOUNT, "uniqueId": "1"}
    bucket = {"name": "demo-automation", "location": "US-CENTRAL1", "storageClass": "STANDARD"}
    google.put(ACCOUNT_PATH, account)
    google.put(BUCKET_PATH, bucket)
    adopted = {"create_automation_sa": False, "create_automation_bucket": False, "services": [], "roles": []}
    away = {**adopted, "create_automation_bucket": True, "state": "absent", "delete_data": True}
    kept = run.in_turn(adopted, away)
    # Services of the role itself, two grants, the file; and the last three back.
    assert "It failed." not in kept.output and kept.recap["changed"] == 7
    assert (google.get(ACCOUNT_PATH), google.get(BUCKET_PATH)) == (account, bucket)
    assert "It was adopted." in kept.output and "bootstrap_deletion_protection is true." in kept.output
    assert roles_of(google, BUCKET_PATH) == set() and roles_of(google, ACCOUNT_PATH, ALICE) == set()


def test_report(google, run):
    told = run("-e", "bootstrap_entry_point=report").ok()
    assert google.requests == []
    for text in (
        "gcloud storage buckets create gs://demo-automation --location=us-central1",
        f"--member={MEMBER} --role=roles/container.admin",
        f"--member={ALICE} --role=roles/iam.serviceAccountTokenCreator",
        "roles/serviceusage.serviceUsageAdmin on the project demo-project (serviceusage.services.enable)",
    ):
        assert text in told.output
