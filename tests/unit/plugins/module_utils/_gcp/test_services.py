# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._gcp.services import Services, full_names
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError, StoreError


def test_names_of_services():
    assert full_names(["compute", "tpu.googleapis.com", "compute.googleapis.com", "a.example.com"]) == [
        "a.example.com",
        "compute.googleapis.com",
        "tpu.googleapis.com",
    ]
    for name in ("", "Compute", "compute/x", "compute googleapis", ".com", "a..b"):
        with pytest.raises(InputError):
            full_names([name])


@pytest.mark.parametrize("project", [None, "", "a/b", "a?b"])
def test_names_of_projects(project):
    with pytest.raises(InputError):
        Services(None, None, project=project)


class Api:
    """Client and operations in one: refuses to disable what an enabled service needs."""

    def __init__(self, **needs):
        self.needs, self.gone, self.sizes = needs, [], []

    def call(self, _api, method, path, *, what, query=None, body=None):
        if method == "GET":
            self.sizes.append(len(query["names"]))
            return {"services": [{"name": name, "state": "ENABLED"} for name in query["names"][::-1]]}
        if path.endswith(":batchEnable"):
            self.sizes.append(len(body["serviceIds"]))
            return {
                "response": {"failures": [{"serviceId": "a", "errorMessage": "terms"}] if len(self.sizes) > 1 else []}
            }
        name = path.rpartition("/")[2].partition(":")[0]
        if set(self.needs.get(name, ())) - set(self.gone):
            raise StoreError(f"{name} is needed.")
        self.gone.append(name)
        return {}

    def wait(self, _api, operation, *, what):
        return operation


def test_what_others_need_is_disabled_after_them():
    api = Api(a=["b"], b=["c"])
    Services(api, api, project="p").disable(["a", "b", "c"], dependents=False)
    assert api.gone == ["c", "b", "a"]
    api = Api(a=["x"])
    with pytest.raises(StoreError, match="a is needed") as caught:
        Services(api, api, project="p").disable(["a", "b"], dependents=False)
    assert api.gone == ["b"] and "disable_dependents" in caught.value.hint


def test_requests_are_as_large_as_they_may_be():
    api = Api()
    names = full_names(f"s{number}" for number in range(45))
    assert list(Services(api, api, project="p").states(names)) == names
    assert api.sizes == [30, 15]
    api.sizes.clear()
    with pytest.raises(StoreError, match="a: terms"):
        Services(api, api, project="p").enable(names)
    assert api.sizes == [20, 20]  # the second one had a failure
