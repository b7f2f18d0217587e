# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._gcp.policy import (
    Condition,
    Grant,
    as_bindings,
    grants,
    missing,
    superfluous,
    wanted_grants,
    with_grants,
    without_grants,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError

VIEWER, ADMIN = "roles/storage.objectViewer", "roles/storage.objectAdmin"
ALICE, BOB = "user:alice@example.com", "user:bob@example.com"
GONE = "deleted:user:carol@example.com?uid=1"
EXPIRY = {"title": "expiry", "expression": "request.time < x"}
UNTIL = Condition("expiry", "request.time < x")
POLICY = {
    "version": 1,
    "etag": "abc",
    "kind": "storage#policy",
    "auditConfigs": [{"service": "allServices"}],
    "bindings": [
        {"role": ADMIN, "members": [ALICE, GONE], "future": True},
        {"role": VIEWER, "members": [BOB], "condition": {**EXPIRY, "location": "here"}},
    ],
}


def with_change(change):
    """The policy changed in its bindings only."""
    policy = copy.deepcopy(POLICY)
    change(policy["bindings"])
    return policy


def wanted(*bindings, absent=False, project="demo-project"):
    return wanted_grants(bindings, project=project, number_of=lambda project: str(len(project)), absent=absent)


def test_all_grants_of_a_policy():
    assert grants(POLICY) == [Grant(ADMIN, ALICE), Grant(ADMIN, GONE), Grant(VIEWER, BOB, UNTIL)]
    assert grants({"etag": "ACAB"}) == []


def test_a_member_joins_its_binding():
    before = copy.deepcopy(POLICY)
    after = with_grants(POLICY, [Grant(ADMIN, BOB), Grant(VIEWER, ALICE, UNTIL)])
    assert before == POLICY

    def change(bindings):
        bindings[0]["members"].append(BOB)
        bindings[1]["members"].append(ALICE)

    assert after == {**with_change(change), "version": 3}


@pytest.mark.parametrize("field", ["title", "expression", "description"])
def test_another_condition_is_another_binding(field):
    other = {**EXPIRY, field: "other"}
    after = with_grants(POLICY, [Grant(VIEWER, ALICE, Condition.of(other)), Grant(VIEWER, ALICE)])
    assert after["bindings"][:2] == POLICY["bindings"]
    assert after["bindings"][2:] == [
        {"role": VIEWER, "members": [ALICE], "condition": other},
        {"role": VIEWER, "members": [ALICE]},
    ]
    assert after["version"] == 3


def test_the_version_stays_without_conditions():
    policy = {"version": 1, "etag": "ACAB"}
    assert with_grants(policy, [Grant(VIEWER, ALICE)]) == {
        **policy,
        "bindings": [{"role": VIEWER, "members": [ALICE]}],
    }
    assert with_grants(policy, [Grant(VIEWER, ALICE, UNTIL)])["version"] == 3


def test_members_leave():
    after = without_grants(POLICY, [Grant(ADMIN, "user:ALICE@example.com"), Grant(VIEWER, BOB)])
    assert after == {**with_change(lambda bindings: bindings[0]["members"].remove(ALICE)), "version": 3}


def test_an_empty_binding_goes():
    after = without_grants({**POLICY, "version": 3}, [Grant(VIEWER, BOB, UNTIL)])
    assert after == {**with_change(lambda bindings: bindings.pop()), "version": 3}
    # One that nobody was in before is not ours.
    odd = {"bindings": [{"role": VIEWER}]}
    assert without_grants(odd, [Grant(ADMIN, ALICE)]) == odd


def test_the_same_role_in_several_bindings():
    policy = {"bindings": [{"role": VIEWER, "members": [ALICE]}, {"role": VIEWER, "members": [ALICE, BOB]}]}
    assert without_grants(policy, [Grant(VIEWER, ALICE)]) == {"bindings": [{"role": VIEWER, "members": [BOB]}]}


def test_differences():
    found = [Grant(VIEWER, ALICE), Grant(VIEWER, BOB, UNTIL)]
    loud = Grant(VIEWER, "user:Alice@example.com")
    new = Grant(VIEWER, BOB)
    assert missing([loud, new, Grant(VIEWER, "user:BOB@example.com")], found) == [new]
    assert superfluous([loud, loud, new], found) == [found[0]]
    spaced = Condition.of({"title": " expiry", "expression": "request.time < x\n", "description": None})
    assert missing([Grant(VIEWER, BOB, spaced)], found) == []


def test_bindings_as_told():
    told = as_bindings(
        [Grant(VIEWER, BOB, UNTIL), Grant(VIEWER, BOB), Grant(VIEWER, ALICE), Grant(ADMIN, BOB)], {VIEWER}
    )
    assert told == [
        {"role": VIEWER, "members": [ALICE, BOB], "condition": None},
        {"role": VIEWER, "members": [BOB], "condition": {**EXPIRY, "description": ""}},
    ]


def test_what_is_asked_for():
    identities = [
        {"namespace": "models", "service_account": "a"},
        {"namespace": "models", "service_account": "b", "project": "other-project", "project_number": "77"},
    ]
    found, principals = wanted(
        {"role": VIEWER, "members": [ALICE], "workload_identities": identities, "condition": EXPIRY},
        {"role": ADMIN, "workload_identities": identities[:1]},
    )
    assert [principal.partition("/locations/")[0][-12:] for principal in principals] == ["/projects/12", "/projects/77"]
    assert [principal.rpartition("workloadIdentityPools/")[2] for principal in principals] == [
        "demo-project.svc.id.goog/subject/ns/models/sa/a",
        "other-project.svc.id.goog/subject/ns/models/sa/b",
    ]
    assert found == [
        *(Grant(VIEWER, member, UNTIL) for member in (ALICE, *principals)),
        Grant(ADMIN, principals[0]),
    ]


@pytest.mark.parametrize(
    ("binding", "message"),
    [
        ({"role": "viewer", "members": [ALICE]}, "'viewer' is not the name of a role"),
        ({"role": VIEWER, "members": ["alice"]}, "'alice' is not a member"),
        ({"role": VIEWER, "members": [GONE]}, "is not a member"),
        ({"role": VIEWER, "members": [], "workload_identities": None}, f"Nobody is named for {VIEWER}"),
        ({"role": "roles/owner", "members": [ALICE], "condition": EXPIRY}, "basic role roles/owner"),
        ({"role": VIEWER, "members": [ALICE], "condition": {**EXPIRY, "title": " "}}, "needs a title"),
        (
            {"role": VIEWER, "workload_identities": [{"namespace": "Models", "service_account": "a"}]},
            "'Models' is not the name of a namespace",
        ),
    ],
)
def test_what_cannot_be_asked_for(binding, message):
    with pytest.raises(InputError, match=message):
        wanted(binding)


def test_the_project_of_a_cluster_has_to_be_known():
    identity = {"namespace": "models", "service_account": "a"}
    with pytest.raises(InputError, match="namespace models is not known"):
        wanted({"role": VIEWER, "workload_identities": [identity]}, project=None)


def test_deleted_members_can_be_revoked():
    assert wanted({"role": ADMIN, "members": [GONE]}, absent=True)[0] == [Grant(ADMIN, GONE)]
