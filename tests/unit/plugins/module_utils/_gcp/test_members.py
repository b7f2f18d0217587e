# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._gcp.members import (
    check_member,
    check_role,
    member_key,
    workload_identity_principal,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError

PRINCIPAL = (
    "principal://iam.googleapis.com/projects/123/locations/global/workloadIdentityPools/demo-project.svc.id.goog"
)
IDENTITY = {
    "project": "demo-project",
    "project_number": "123",
    "namespace": "models",
    "service_account": "gemma.server",
}


@pytest.mark.parametrize(
    "member",
    [
        "allUsers",
        "allAuthenticatedUsers",
        "user:Alice@Example.com",
        "group:team@example.com",
        "serviceAccount:sync@demo-project.iam.gserviceaccount.com",
        "serviceAccount:demo-project.svc.id.goog[models/gemma.server]",
        "serviceAccount:example.com:demo-project.svc.id.goog[models/server]",
        "domain:example.com",
        "projectViewer:demo-project",
        f"{PRINCIPAL}/subject/ns/models/sa/server",
        "principalSet://iam.googleapis.com/locations/global/workforcePools/pool/group/Staff",
        "principalSet://cloudresourcemanager.googleapis.com/projects/123/type/ServiceAccount",
    ],
)
def test_members(member):
    check_member(member)


@pytest.mark.parametrize(
    ("member", "hint"),
    [
        ("alice@example.com", "user:alice@example.com or group:alice@example.com"),
        ("sync@demo-project.iam.gserviceaccount.com", "serviceAccount:sync@demo-project.iam.gserviceaccount.com"),
        ("serviceaccount:a@b.c", "serviceAccount:a@b.c"),
        ("ALLUSERS", "Write allUsers."),
        ("user:alice", "Give a type and a name"),
        ("user:alice@example.com ", "Give a type and a name"),
        ("robot:alice@example.com", "Give a type and a name"),
        ("serviceAccount:demo-project.svc.id.goog[models/Server]", "Give a type and a name"),
        ("domain:alice@example.com", "Give a type and a name"),
        ("principal:/iam.googleapis.com/projects/1", "Give a type and a name"),
        ("", "Give a type and a name"),
        ("deleted:user:alice@example.com?uid=1", "was deleted"),
    ],
)
def test_no_members(member, hint):
    with pytest.raises(InputError) as found:
        check_member(member)
    assert repr(member) in found.value.message and hint in found.value.hint


def test_a_deleted_member_can_be_removed():
    check_member("deleted:user:alice@example.com?uid=1", absent=True)


@pytest.mark.parametrize(
    "role",
    ["roles/owner", "roles/storage.objectViewer", "projects/demo-project/roles/a_b.C", "organizations/12/roles/reader"],
)
def test_roles(role):
    check_role(role)


@pytest.mark.parametrize(
    ("role", "hint"),
    [
        ("storage.objectViewer", "Write roles/storage.objectViewer"),
        ("OWNER", "Give roles/NAME"),
        ("roles/", "Give roles/NAME"),
        ("roles/a b", "Give roles/NAME"),
        ("organizations/example/roles/reader", "Give roles/NAME"),
        ("roles/viewer_withcond_1/x", "Give roles/NAME"),
    ],
)
def test_no_roles(role, hint):
    with pytest.raises(InputError) as found:
        check_role(role)
    assert hint in found.value.hint


def test_spellings_of_a_member():
    assert member_key("user:Alice@Example.COM") == member_key("user:alice@example.com")
    assert member_key("deleted:user:A@b.c?uid=1") == member_key("deleted:user:a@b.c?uid=1")
    assert member_key("user:a@b.c") != member_key("group:a@b.c")
    # Subjects of other identity providers tell upper and lower case apart.
    for kind in ("principal", "principalSet", "deleted:principal"):
        assert member_key(f"{kind}://iam.googleapis.com/x/Alice") != member_key(f"{kind}://iam.googleapis.com/x/alice")


def test_a_workload_identity():
    principal = workload_identity_principal(**IDENTITY)
    assert principal == f"{PRINCIPAL}/subject/ns/models/sa/gemma.server"
    check_member(principal)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("project", "123"),
        ("project", "Demo"),
        ("project_number", "demo-project"),
        ("project_number", ""),
        ("namespace", "Models"),
        ("namespace", "a.b"),
        ("namespace", "a" * 64),
        ("service_account", "server/x"),
        ("service_account", "-server"),
        ("service_account", ".".join(["a" * 60] * 5)),
    ],
)
def test_no_workload_identity(field, value):
    with pytest.raises(InputError, match=f"'{value}'"):
        workload_identity_principal(**{**IDENTITY, field: value})
