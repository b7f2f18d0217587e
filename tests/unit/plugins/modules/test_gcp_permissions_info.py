# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The door of gcp_permissions_info: options in, results out. Nothing asks the network."""

from __future__ import annotations

import contextlib
import json

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.modelops.serving.plugins.modules import gcp_permissions_info


class Client:
    def __init__(self, *held):
        self.held = held

    def call(self, *_arguments, **_options):
        return {"permissions": list(self.held)}


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the module where some permissions are held; its result."""

    def call(*held, **options):
        monkeypatch.setattr(gcp_permissions_info, "google_client", lambda _module: Client(*held))
        needs = [{"resource_type": "bucket", "resource": "models", "permissions": ["a.b.get"], "role": "roles/a"}]
        with patch_module_args({"needs": needs, **options}), contextlib.suppress(SystemExit):
            gcp_permissions_info.main()
        return json.loads(capsys.readouterr().out)

    return call


def test_what_is_told(run):
    told = run("a.b.get")
    assert (told["satisfied"], told["messages"], told["changed"]) == (True, [], False)
    told = run()
    assert not told["satisfied"] and len(told["messages"]) == 1
    assert told["needs"] == [
        {
            "resource": "projects/_/buckets/models",
            "exists": True,
            "permissions": ["a.b.get"],
            "missing": ["a.b.get"],
            "role": "roles/a",
        }
    ]


def test_failing_where_that_is_asked_for(run):
    assert "failed" not in run("a.b.get", fail_on_missing=True)
    told = run(fail_on_missing=True)
    assert told["failed"] and "projects/_/buckets/models the account lacks the permission a.b.get" in told["msg"]
    assert told["error"]["kind"] == "AccessError"
