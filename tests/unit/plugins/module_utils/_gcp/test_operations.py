# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for operations of Google's APIs. The looks at an operation are a list; time is counted by the pauses."""

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._gcp.operations import Operations, failure, path_of
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    AccessError,
    ConflictError,
    DeadlineError,
    InputError,
    NotFoundError,
    StoreError,
)
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._transfer.fakes import FakeControl

PARENT = "projects/demo-project/locations/us-central1"
GKE = {
    "name": "operation-1",
    "operationType": "CREATE_NODE_POOL",
    "status": "RUNNING",
    "selfLink": f"https://container.googleapis.com/v1/{PARENT}/operations/operation-1",
}
COMPUTE = {
    "name": "operation-2",
    "status": "PENDING",
    "region": "https://www.googleapis.com/compute/v1/projects/demo-project/regions/us-central1",
    "selfLink": "https://www.googleapis.com/compute/v1/projects/demo-project/regions/us-central1/operations/operation-2",
}
LONG_RUNNING = {"name": "operations/acat.p2-3"}
STOCKOUT = {
    "error": {"code": 8, "message": "Try a different location."},
    "nodepoolConditions": [
        {"code": "GCE_STOCKOUT", "message": "Try a different location."},
        {"code": "GCE_STOCKOUT", "message": "The zone does not have enough resources available."},
    ],
}


class Client:
    """Answers each look with the next of ``answers``."""

    def __init__(self, *answers):
        self.answers, self.paths = list(answers), []
        self.control = FakeControl()

    def call(self, api, method, path, *, what):
        assert method == "GET"
        self.paths.append((api, path))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Clock:
    def __init__(self):
        self.now, self.pauses = 0.0, []

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds


def wait(client, operation, *, api="container", timeout=600.0, **options):
    clock = Clock()
    operations = Operations(client, timeout=timeout, sleep=clock.sleep, monotonic=lambda: clock.now, **options)
    try:
        return operations.wait(api, operation, what="create the node pool p"), clock.pauses
    finally:
        client.pauses = clock.pauses


@pytest.mark.parametrize(
    ("api", "first", "done", "path"),
    [
        ("container", GKE, {**GKE, "status": "DONE"}, f"/v1/{PARENT}/operations/operation-1"),
        (
            "compute",
            COMPUTE,
            {**COMPUTE, "status": "DONE"},
            "/compute/v1/projects/demo-project/regions/us-central1/operations/operation-2",
        ),
        ("serviceusage", LONG_RUNNING, {**LONG_RUNNING, "done": True, "response": {}}, "/v1/operations/acat.p2-3"),
    ],
)
def test_every_form_of_operation(api, first, done, path):
    client, seen = Client({**first, "progress": {}}, done), []
    found, pauses = wait(client, first, api=api, on_progress=seen.append)
    assert found == done and client.paths == [(api, path)] * 2 and len(pauses) == 2
    assert seen == [first, {**first, "progress": {}}, done]
    assert path_of(first) == path
    # One that is done is not looked at, and one that failed in the first answer fails.
    assert wait(client, done, api=api) == (done, [])
    with pytest.raises(StoreError):
        wait(client, {**done, "error": {"code": 13}}, api=api)


def test_pauses_grow_to_a_limit_and_end_at_the_timeout():
    client = Client(*[GKE] * 100)
    with pytest.raises(DeadlineError) as caught:
        wait(client, GKE, timeout=100.0)
    pauses = client.pauses
    assert sum(pauses) == pytest.approx(100.0)
    assert pauses[:-1] == sorted(pauses[:-1]) and pauses[0] < 1 and max(pauses) == 15
    assert caught.value.message == (
        "It was not done within 100 seconds to create the node pool p: the operation operation-1 is RUNNING and goes on."
    )
    assert "Run again" in caught.value.hint


def test_the_deadline_of_the_run_names_the_operation():
    client = Client(GKE, DeadlineError("The run did not finish."))
    with pytest.raises(DeadlineError, match=r"the deadline of the run.*operation-1 is RUNNING"):
        wait(client, GKE)


@pytest.mark.parametrize(
    ("error", "kind", "told", "hint"),
    [
        (
            {"error": {"code": 3, "message": "Bad size."}},
            InputError,
            "Bad size (INVALID_ARGUMENT)",
            "Correct the cause",
        ),
        ({"error": {"code": 5, "message": "Gone"}}, NotFoundError, "Gone (NOT_FOUND)", "Correct the cause"),
        ({"error": {"code": 10, "message": "Late"}}, ConflictError, "Late (ABORTED)", "run again"),
        (
            {"error": {"code": 7, "message": "Permission 'x' denied"}},
            AccessError,
            "Permission 'x' denied (PERMISSION_DENIED)",
            "the role it lacks",
        ),
        ({"error": {"code": 99, "message": "Odd"}}, StoreError, "Odd (UNKNOWN)", "operation-1"),
        ({"error": {"message": ""}}, StoreError, "no reason given (UNKNOWN)", "operation-1"),
        (
            {
                "error": {
                    "errors": [{"code": "QUOTA_EXCEEDED", "message": "Quota 'CPUS' exceeded."}, {"message": "More."}]
                }
            },
            StoreError,
            "Quota 'CPUS' exceeded; More (QUOTA_EXCEEDED)",
            "more of this quota",
        ),
        (
            STOCKOUT,
            StoreError,
            "Try a different location; The zone does not have enough resources available (RESOURCE_EXHAUSTED)",
            "no capacity",
        ),
    ],
)
def test_why_it_failed(error, kind, told, hint):
    found = failure({**GKE, "status": "DONE", **error}, "create the node pool p")
    assert found.__class__ is kind
    assert found.message == f"Google failed to create the node pool p: {told}."
    assert hint in found.hint and "operation-1" in found.hint


def test_nothing_failed():
    assert failure({**GKE, "status": "DONE", "nodepoolConditions": []}, "x") is None


def test_operations_under_way_on_a_cluster():
    def on(target, started, status="RUNNING"):
        link = f"https://container.googleapis.com/v1/projects/1/locations/us-central1/clusters/{target}"
        return {"name": target, "status": status, "startTime": started, "targetLink": link}

    listed = [on("c/nodePools/p", "2"), on("c", "1"), on("c", "0", "DONE"), on("cc", "0"), on("b/nodePools/c", "0")]
    client = Client({"operations": listed}, {})
    operations = Operations(client, timeout=1)
    assert [found["name"] for found in operations.running(PARENT, "c")] == ["c", "c/nodePools/p"]
    assert operations.running(PARENT, "c") == []
    assert client.paths == [("container", f"/v1/{PARENT}/operations")] * 2
