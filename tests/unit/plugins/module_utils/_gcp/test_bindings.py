# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._gcp.bindings import policy_of, project_number, update
from ansible_collections.modelops.serving.plugins.module_utils._gcp.policy import Grant
from ansible_collections.modelops.serving.plugins.module_utils._gcp.resources import find_resource
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import AccessError, StoreError
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._transfer.fakes import FakeControl

VIEWER, ALIAS, MAIN = "roles/viewer", "user:al@example.com", "user:alice@example.com"


class Client:
    """Answers every call with the next of its answers."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.paths = []

    def call(self, api, method, path, **request):
        self.paths.append(path)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def topic(client):
    return policy_of(client, find_resource("topic", "t", project="demo-project", location=None))


def test_google_keeps_the_alias_of_a_user_under_another_name():
    kept = {"etag": "b", "bindings": [{"role": VIEWER, "members": [MAIN]}]}
    outcome = update(topic(Client({"etag": "a"}, kept)), FakeControl(), [Grant(VIEWER, ALIAS)])
    assert outcome.added == outcome.renamed == [Grant(VIEWER, ALIAS)]
    assert (outcome.before, outcome.after) == ([], [{"role": VIEWER, "members": [MAIN], "condition": None}])


def test_no_policy_is_written_without_an_etag():
    client = Client({"bindings": []})
    with pytest.raises(StoreError, match="without an etag"):
        update(topic(client), FakeControl(), [Grant(VIEWER, MAIN)])
    assert len(client.paths) == 1


def test_the_number_of_a_project():
    assert project_number(Client({"name": "projects/123", "projectId": "demo-project"}), "demo-project") == "123"
    refused = AccessError("Google refused to read it: no (PERMISSION_DENIED).", hint="Look.")
    with pytest.raises(AccessError, match=r"resourcemanager.projects.get, which project_number makes unnecessary"):
        project_number(Client(refused), "demo-project")
