# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.modelops.serving.plugins.module_utils._gcp.permissions import TESTABLE, Need, find_missing
from ansible_collections.modelops.serving.plugins.module_utils._gcp.resources import find_resource
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import NotFoundError


class Api:
    """Allows some permissions, everywhere but on what is not there."""

    def __init__(self, *allowed, absent=""):
        self.allowed, self.absent, self.asked = allowed, absent, []

    def call(self, api, method, path, *, what, query=None, body=None):
        asked = (query or body)["permissions"]
        self.asked.append((method, api, path, len(asked)))
        if self.absent and self.absent in path:
            raise NotFoundError("nothing there.")
        held = [name for name in asked if name in self.allowed]
        return {"permissions": held} if held else {}


def need(kind, name, *permissions, role=None):
    return Need(find_resource(kind, name, project="p", location="us-central1"), permissions, role)


def test_each_resource_is_asked_once_and_each_need_answered():
    api = Api("a.b.get", "a.b.create")
    found = find_missing(
        api,
        [
            need("project", None, "a.b.get", "c.d.get", role="roles/one"),
            need("bucket", "models", "a.b.get"),
            need("project", None, "e.f.get", "a.b.create", "g.h.get"),
        ],
    )
    assert api.asked == [
        ("POST", "cloudresourcemanager", "/v3/projects/p:testIamPermissions", 5),
        ("GET", "storage", "/storage/v1/b/models/iam/testPermissions", 1),
    ]
    assert [one.missing for one in found] == [["c.d.get"], [], ["e.f.get", "g.h.get"]]
    assert [one.message for one in found] == [
        "On the project projects/p the account lacks the permission c.d.get. The role roles/one has what is missing.",
        "",
        "On the project projects/p the account lacks the permissions e.f.get, g.h.get.",
    ]


def test_many_permissions_take_several_requests():
    names = [f"a.b.c{number}" for number in range(250)]
    api = Api(*names[:240])
    (found,) = find_missing(api, [need("project", None, *names)])
    assert found.missing == names[240:]
    assert [size for *_rest, size in api.asked] == [100, 100, 50]


def test_what_is_not_there():
    (found,) = find_missing(Api("a.b.get", absent="sa@"), [need("service_account", "sa", "a.b.get")])
    assert (found.exists, found.missing) == (False, ["a.b.get"])
    assert (
        found.message == "The service account projects/-/serviceAccounts/sa@p.iam.gserviceaccount.com does not exist."
    )


def test_what_may_be_absent_counts_where_it_is_there():
    wanted = Need(find_resource("bucket", "models", project="p", location=None), ("a.b.get",), None, may_be_absent=True)
    (found,) = find_missing(Api(absent="models"), [wanted])
    assert (found.exists, found.missing, found.message) == (False, [], "")
    (found,) = find_missing(Api(), [wanted])
    assert found.missing == ["a.b.get"] and "bucket projects/_/buckets/models" in found.message


def test_only_what_has_the_method():
    assert "dataset" not in TESTABLE and {"project", "bucket", "service_account", "secret"} <= set(TESTABLE)
