# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._gcp.dataset_access import (
    as_spelled,
    grants,
    with_grants,
    without_grants,
)
from ansible_collections.modelops.serving.plugins.module_utils._gcp.policy import Condition, Grant

PROJECT = "demo-project"
READER, OWNER, USER = "roles/bigquery.dataViewer", "roles/bigquery.dataOwner", "roles/bigquery.user"
ACCOUNT = "sync@demo-project.iam.gserviceaccount.com"
UNTIL = Condition("expiry", "request.time < x", "why")
DATASET = {
    "etag": "abc",
    "access": [
        {"role": "READER", "userByEmail": ACCOUNT},
        {"role": "OWNER", "specialGroup": "projectOwners"},
        {"view": {"projectId": "other", "datasetId": "d", "tableId": "v"}},
        {"role": "READER", "groupByEmail": "team@example.com", "condition": {**vars(UNTIL)}},
        {"role": "roles/bigquery.user", "iamMember": "principal://iam.googleapis.com/x"},
        {"dataset": {"dataset": {"datasetId": "d"}, "targetTypes": ["VIEWS"]}},
        {"role": "READER", "domain": "example.com"},
        {"role": "READER", "specialGroup": "allAuthenticatedUsers"},
    ],
}


def test_entries_as_grants():
    assert grants(DATASET, PROJECT) == [
        Grant(READER, f"serviceAccount:{ACCOUNT}"),
        Grant(OWNER, f"projectOwner:{PROJECT}"),
        Grant(READER, "group:team@example.com", UNTIL),
        Grant(USER, "principal://iam.googleapis.com/x"),
        Grant(READER, "domain:example.com"),
        Grant(READER, "allAuthenticatedUsers"),
    ]


@pytest.mark.parametrize(
    ("member", "entry"),
    [
        ("user:alice@example.com", {"userByEmail": "alice@example.com"}),
        (f"serviceAccount:{ACCOUNT}", {"userByEmail": ACCOUNT}),
        ("serviceAccount:p.svc.id.goog[n/s]", {"userByEmail": "p.svc.id.goog[n/s]"}),
        ("group:team@example.com", {"groupByEmail": "team@example.com"}),
        ("domain:example.com", {"domain": "example.com"}),
        ("allAuthenticatedUsers", {"specialGroup": "allAuthenticatedUsers"}),
        ("allUsers", {"iamMember": "allUsers"}),
        ("projectViewer:demo-project", {"specialGroup": "projectReaders"}),
        ("projectEditor:demo-project", {"specialGroup": "projectWriters"}),
        ("projectViewer:other-project", {"iamMember": "projectViewer:other-project"}),
        ("principalSet://iam.googleapis.com/x", {"iamMember": "principalSet://iam.googleapis.com/x"}),
    ],
)
def test_grants_as_entries(member, entry):
    before = copy.deepcopy(DATASET)
    for condition in (None, UNTIL):
        grant = Grant(READER, member, condition)
        after = with_grants(DATASET, [grant], PROJECT)
        condition_data = {"condition": vars(condition)} if condition else {}
        assert after == {**before, "access": [*before["access"], {"role": READER, **entry, **condition_data}]}
        assert grants(after, PROJECT)[-1] == grant == as_spelled(grant, PROJECT)
    assert before == DATASET


def test_the_kind_of_an_account_is_not_kept():
    assert as_spelled(Grant(READER, f"user:{ACCOUNT}"), PROJECT) == Grant(READER, f"serviceAccount:{ACCOUNT}")


def test_entries_go():
    gone = [Grant(READER, f"serviceAccount:{ACCOUNT.upper()}"), Grant(READER, "group:team@example.com")]
    assert without_grants(DATASET, gone, PROJECT) == {**DATASET, "access": DATASET["access"][1:]}
    conditional = [Grant(READER, "group:team@example.com", UNTIL)]
    assert without_grants(DATASET, conditional, PROJECT)["access"] == DATASET["access"][:3] + DATASET["access"][4:]
