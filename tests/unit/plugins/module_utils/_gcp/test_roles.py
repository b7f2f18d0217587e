# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._gcp.roles import (
    PRESETS,
    CustomRole,
    differing,
    shown,
    wanted_role,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError

NAME = "projects/demo-project/roles/gcsfuse.viewer"


def test_presets():
    user, viewer = (set(PRESETS[name]["permissions"]) for name in ("gcsfuse_user", "gcsfuse_viewer"))
    assert (len(user), len(viewer)) == (21, 7)
    assert viewer < user
    assert {name.rpartition(".")[2] for name in viewer} == {"get", "list"}
    writes = {name.rpartition(".")[2] for name in user - viewer}
    assert writes == {
        *("create", "delete", "rename", "move", "restore", "update"),
        *("abort", "list", "listParts"),  # of uploads
    }
    assert not any("Iam" in name or name.startswith("storage.buckets") for name in user - viewer)


def test_wanted_fields():
    assert wanted_role(permissions=["b.c.e", "a.b.c", "a.b.c"]) == {
        "includedPermissions": ["a.b.c", "b.c.e"],
        "stage": "GA",
    }
    named = wanted_role(preset="gcsfuse_viewer", title="Mine", description="", stage="BETA")
    assert (named["title"], named["description"], named["stage"]) == ("Mine", "", "BETA")
    assert wanted_role(preset="gcsfuse_viewer")["title"] == PRESETS["gcsfuse_viewer"]["title"]


@pytest.mark.parametrize(
    "permission", ["storage.objects.*", "storage", "storage.objects", "roles/viewer", "a.b.c d", ""]
)
def test_no_permissions(permission):
    with pytest.raises(InputError, match="not a permission"):
        wanted_role(permissions=["storage.objects.get", permission])


def test_differences():
    role = {"name": NAME, "etag": "x", "title": "T", "includedPermissions": ["b.b.b", "a.a.a"]}
    assert (
        differing(role, {**role, "includedPermissions": ["a.a.a", "b.b.b"], "stage": "ALPHA", "description": ""}) == []
    )
    assert differing(role, {**role, "stage": "GA", "description": "d"}) == ["description", "stage"]
    assert differing(role, {**role, "title": "U", "includedPermissions": ["a.a.a"]}) == ["title", "includedPermissions"]


def test_as_shown():
    assert shown(None) is None
    assert shown({"name": NAME, "etag": "x", "deleted": True}) == {
        "name": NAME,
        "title": "",
        "description": "",
        "permissions": [],
        "stage": "ALPHA",
        "deleted": True,
    }


@pytest.mark.parametrize(
    ("project", "name", "message"),
    [
        (None, "viewer", "GCP_PROJECT"),
        ("a/b", "viewer", "'a/b' is not the id of a project"),
        ("demo-project", "my-role", "'my-role' is not the id of a role"),
        ("demo-project", "ab", "'ab' is not the id of a role"),
        ("demo-project", NAME, "is not the id of a role"),
    ],
)
def test_no_names(project, name, message):
    with pytest.raises(InputError) as found:
        CustomRole(None, project=project, name=name)
    assert message in str(found.value)
