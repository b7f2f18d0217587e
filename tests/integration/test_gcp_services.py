# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""gcp_services: the twelve steps in a real run of ansible-playbook, and what goes wrong in the code below it, with the
stand-in for Google Cloud.
"""

from __future__ import annotations

import pytest
from google_cloud import google

from ansible_collections.modelops.serving.plugins.module_utils._gcp.client import GoogleClient
from ansible_collections.modelops.serving.plugins.module_utils._gcp.operations import Operations
from ansible_collections.modelops.serving.plugins.module_utils._gcp.services import Services, full_names
from ansible_collections.modelops.serving.plugins.module_utils._transfer.control import Control
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    AccessError,
    DeadlineError,
    NotFoundError,
    StoreError,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.google import GoogleCredentials

__all__ = ["google"]

MODULE = "modelops.serving.gcp_services"
SERVICES = "serviceusage/v1/projects/demo-project/services"
MANY = [
    "artifactregistry",
    "bigquery",
    "bigquerystorage",
    "cloudasset",
    "cloudbilling",
    "cloudbuild",
    "cloudkms",
    "cloudresourcemanager",
    "container",
    "dns",
    "eventarc",
    "file",
    "gkebackup",
    "iamcredentials",
    "logging",
    "monitoring",
    "pubsub",
    "run",
    "secretmanager",
    "servicenetworking",
    "sts",
    "tpu",
]
MIDDLE, DEPLOYER, NOBODY = (f"{name}@demo-project.iam.gserviceaccount.com" for name in ("middle", "deployer", "nobody"))
DENIED = "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist)."
BATCH = "/v1/projects/demo-project/services:batchEnable"


@pytest.fixture
def client(google):
    credentials = GoogleCredentials(auth_kind="accesstoken", access_token=google.access_token)
    return GoogleClient(credentials, Control(attempts=2), endpoints={"serviceusage": google.endpoint("serviceusage")})


@pytest.fixture
def services(client):
    return Services(client, Operations(client, timeout=20), project="demo-project")


def enabled(google, name):
    found = google.get(f"{SERVICES}/{name}.googleapis.com")
    return bool(found) and found["state"] == "ENABLED"


def writes(google):
    return [(request.path, request.body) for request in google.requests if request.writes]


def test_twelve_steps(google, playbooks):
    """More services than one request takes are enabled with two."""
    google.slow_operations("batchEnable", looks=2)
    first = full_names(["compute", "storage", "iam"])
    many = [*first, *full_names(MANY)]
    steps = [{"services": ["storage", "compute.googleapis.com", "iam"]}] * 4 + [{"services": many}] * 4
    steps += [{"services": many, "state": "disabled"}] * 4
    tasks = [{MODULE: step, "check_mode": number % 2 == 0} for number, step in enumerate(steps)]
    google.fail(f"serviceAccounts/{NOBODY}", status=403, reason="PERMISSION_DENIED", message=DENIED)
    for accounts in (f"{MIDDLE}, {DEPLOYER}", NOBODY):
        options = {"services": first, "state": "disabled", "impersonate_service_account": accounts}
        tasks.append({MODULE: options, "ignore_errors": True})
    run = playbooks.tasks(tasks, "--diff", env=google.environment).ok()
    *results, impersonated, refused = run.results

    assert [result["changed"] for result in results] == [True, True, False, False] * 3
    for predicted, done in zip(results[::2], results[1::2], strict=True):
        for key in ("services", "changed_services", "diff"):
            assert predicted[key] == done[key]
    new = sorted(set(many) - set(first))
    assert len(new) == 22
    sent = writes(google)
    assert sent[:3] == [
        (BATCH, {"serviceIds": first}),
        (BATCH, {"serviceIds": new[:20]}),
        (BATCH, {"serviceIds": new[20:]}),
    ]
    # The cluster's service needs Compute Engine's, which is refused at first.
    disabled = [path.rpartition("/")[2] for path, _body in sent[3:]]
    again = "compute.googleapis.com:disable"
    assert sorted(disabled) == sorted([*(f"{name}:disable" for name in many), again]) and disabled[-1] == again
    assert results[1]["services"] == dict.fromkeys(first, True)
    assert results[5]["changed_services"] == new
    assert results[5]["diff"]["before"] == {**dict.fromkeys(new, False), **dict.fromkeys(first, True)}
    assert not any(results[9]["services"].values()) and '-    "compute.googleapis.com": true' in run.output

    assert not impersonated["changed"] and NOBODY in refused["msg"] and "serviceAccountTokenCreator" in refused["msg"]
    asked, used, last = google.requests[-3:]
    assert (asked.account, asked.path) == ("", f"/v1/projects/-/serviceAccounts/{DEPLOYER}:generateAccessToken")
    assert asked.body["delegates"] == [f"projects/-/serviceAccounts/{MIDDLE}"]
    assert (used.account, used.api, last.status) == (DEPLOYER, "serviceusage", 403)
    assert "ya29" not in run.output


def test_what_is_refused(google, services):
    with pytest.raises(NotFoundError, match=r"bogus\.googleapis\.com.*services list --available"):
        services.states(["bogus.googleapis.com"])
    google.deny("serviceusage.services.enable")
    for verb, act in (("enable", services.enable), ("get", services.states)):
        google.deny(f"serviceusage.services.{verb}")
        with pytest.raises(AccessError) as caught:
            act(["tpu.googleapis.com"])
        needed = f"serviceusage.services.{verb} on the project demo-project"
        assert needed in caught.value.hint and "roles/serviceusage.serviceUsageAdmin" in caught.value.hint
    assert not enabled(google, "tpu")


def test_what_needs_it_can_go_too(google, services):
    services.enable(["container.googleapis.com"])
    assert enabled(google, "compute")  # Google enables what is needed
    with pytest.raises(StoreError, match=r"container\.googleapis\.com.*disable_dependents"):
        services.disable(["compute.googleapis.com"], dependents=False)
    services.disable(["compute.googleapis.com"], dependents=True)
    assert not enabled(google, "compute") and not enabled(google, "container")


def test_operations_that_fail_and_that_take_too_long(google, client, services):
    tpu = ["tpu.googleapis.com"]
    google.fail_operations(
        "batchEnable", code="FAILED_PRECONDITION", message="Billing must be enabled.", looks=1, times=1
    )
    with pytest.raises(StoreError, match=r"Billing must be enabled \(FAILED_PRECONDITION\)"):
        services.enable(tpu)
    assert not enabled(google, "tpu")
    google.slow_operations("batchEnable", looks=10**6, times=1)
    with pytest.raises(DeadlineError, match="goes on"):
        Services(client, Operations(client, timeout=0.5), project="demo-project").enable(tpu)
    google.finish_operations()
    assert services.states(tpu) == {"tpu.googleapis.com": True}
    # An answer that got lost is asked for again: enabling twice does no harm.
    google.fail(r"POST .*batchEnable", lose_answer=True, times=1)
    services.enable(["iam.googleapis.com"])
    assert enabled(google, "iam")
