# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting, resuming and losing answers, with a client whose answers are scripted."""

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._gke.cluster import desired_cluster
from ansible_collections.modelops.serving.plugins.module_utils._gke.node_pool import desired_node_pool
from ansible_collections.modelops.serving.plugins.module_utils._gke.resource import Resource
from ansible_collections.modelops.serving.plugins.module_utils._transfer.control import Control
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    AccessError,
    ConflictError,
    InputError,
    LockedError,
    NotFoundError,
    StoreError,
    TransientError,
)

PLACE = "/v1/projects/p/locations/us-central1"
POOL = f"{PLACE}/clusters/c/nodePools/x"
ABSENT = NotFoundError("There is no such thing.")
BUSY = StoreError("Google refused: Cluster is running incompatible operation operation-1 (FAILED_PRECONDITION).")


class Impatient(Control):
    def sleep(self, seconds):
        del seconds
        self.check()


class Client:
    """Answers the requests in the order of a script: (request, answer or error)."""

    def __init__(self, *script):
        self.control = Impatient(attempts=3)
        self.script = list(script)
        self.bodies = []

    def call(self, api, method, path, *, what, body=None, once=False, **_rest):
        assert what and once is (method != "GET")
        expected, answer = self.script.pop(0)
        assert f"{method} {path}" == expected
        self.bodies.append(body)
        if isinstance(answer, Exception):
            raise answer
        return answer


def operation(name="operation-1", target=POOL, status="RUNNING", **fields):
    link = f"https://container.googleapis.com{target.replace('/p/', '/123456789012/')}"
    path = f"https://container.googleapis.com{PLACE}/operations/{name}"
    return {"name": name, "operationType": "X", "status": status, "targetLink": link, "selfLink": path, **fields}


def live(status="RUNNING", **fields):
    return {
        "name": "x",
        "status": status,
        "version": "1.34.1-gke.1",
        "config": {"machineType": "n4-standard-4"},
        **fields,
    }


def pool(client, **options):
    given = {"project": "p", "location": "us-central1", "cluster": "c", "name": "x"}
    keywords = {key: options.pop(key) for key in ("wait", "progress") if key in options}
    return Resource(client, desired_node_pool({**given, **options}), **keywords)


DONE = operation(status="DONE")
LIST = f"GET {PLACE}/operations"
LOOK = f"GET {PLACE}/operations/operation-1"
STREAMING = live(config={"machineType": "n4-standard-4", "gcfsConfig": {"enabled": True}})


def test_what_an_earlier_run_started_is_waited_for():
    lines = []
    other = operation("operation-2", POOL + "2")
    client = Client(
        (f"GET {POOL}", live("PROVISIONING")),
        (LIST, {"operations": [other, operation()]}),
        (LOOK, DONE),
        (f"GET {POOL}", live()),
    )
    outcome = pool(client, progress=lines.append).present()
    assert (outcome.changed, outcome.live["status"], client.script) == (False, "RUNNING", [])
    assert lines == ["x: running", "x: done"]


def test_it_fails_as_that_operation_does():
    failed = operation(status="DONE", error={"code": 8, "message": "GCE_STOCKOUT"})
    client = Client((f"GET {POOL}", live("PROVISIONING")), (LIST, {"operations": [operation()]}), (LOOK, failed))
    with pytest.raises(StoreError, match=r"failed to finish x of the node pool x in us-central1: .*no capacity"):
        pool(client).present()


def test_check_mode_does_not_wait():
    client = Client((f"GET {POOL}", live("PROVISIONING")))
    assert pool(client, image_streaming=True).present(check=True).changed
    client = Client((f"GET {POOL}", live("STOPPING")))
    assert not pool(client).absent(check=True).changed


def test_the_cluster_is_busy_with_something_else():
    """Whose failure is not ours."""
    failed = operation(status="DONE", error={"code": 13, "message": "theirs"})
    client = Client(
        (f"GET {POOL}", live()),
        (f"PUT {POOL}", BUSY),
        (LIST, {"operations": [operation(target=f"{PLACE}/clusters/c")]}),
        (LOOK, failed),
        (f"GET {POOL}", live()),
        (f"PUT {POOL}", DONE),
        (f"GET {POOL}", STREAMING),
    )
    outcome = pool(client, image_streaming=True).present()
    assert outcome.changed and outcome.warnings == [] and client.script == []
    assert outcome.steps == ["set gcfsConfig of the node pool x in us-central1"]


def test_nobody_waits_for_something_else_without_wait():
    client = Client(*[(f"GET {POOL}", live()), (f"PUT {POOL}", BUSY)] * 3)
    with pytest.raises(ConflictError, match="incompatible operation"):
        pool(client, image_streaming=True, wait=False).present()


def test_one_operation_is_started_without_wait():
    client = Client((f"GET {POOL}", live()), (f"PUT {POOL}", operation()))
    outcome = pool(client, image_streaming=True, gvnic=True, wait=False).present()
    assert outcome.changed and client.bodies[-1] == {"gcfsConfig": {"enabled": True}}
    assert outcome.live["config"] == {"machineType": "n4-standard-4"}


def test_a_lost_answer_counts_as_a_change():
    client = Client(
        (f"GET {POOL}", ABSENT),
        (f"POST {POOL.rpartition('/')[0]}", TransientError("Connection reset.")),
        (f"GET {POOL}", live("PROVISIONING")),
        (LIST, {"operations": [operation()]}),
        (LOOK, DONE),
        (f"GET {POOL}", live()),
    )
    outcome = pool(client).present()
    assert outcome.changed and outcome.shown[0] == {} and client.script == []
    assert outcome.steps == ["create the node pool x in us-central1, which was not answered"]


def test_a_change_that_has_no_effect_is_told():
    client = Client((f"GET {POOL}", live()), (f"PUT {POOL}", DONE), (f"GET {POOL}", live("RUNNING_WITH_ERROR")))
    outcome = pool(client, image_streaming=True).present()
    assert "The node pool x in us-central1 is RUNNING_WITH_ERROR: GKE gives no reason" in outcome.warnings
    assert any("still shows config.gcfsConfig.enabled" in warning for warning in outcome.warnings)


def test_deleting():
    client = Client((f"GET {POOL}", live()), (f"DELETE {POOL}", ABSENT))
    assert pool(client).absent().live is None
    client = Client((f"GET {POOL}", ABSENT))
    assert not pool(client).absent().changed
    client = Client((f"GET {POOL}", live("STOPPING")), (LIST, {}))
    with pytest.raises(LockedError, match=r"^The node pool x in us-central1 is being deleted"):
        pool(client).absent()


def test_recreation_needs_waiting():
    client = Client((f"GET {POOL}", live("ERROR")))
    with pytest.raises(InputError, match="recreate needs wait"):
        pool(client, wait=False).present(recreate=True)


def test_nodes_are_counted_in_their_groups():
    groups = "/compute/v1/projects/p/zones/us-central1-a/instanceGroupManagers"
    links = [f"https://www.googleapis.com{groups.replace('Managers', 's')}/{name}" for name in ("a", "gone")]
    found = live(instanceGroupUrls=links, initialNodeCount=9)
    client = Client((f"GET {POOL}", found), (f"GET {groups}/a", {"targetSize": 3}), (f"GET {groups}/gone", ABSENT))
    outcome = pool(client, node_count=3).present()
    assert not outcome.changed and outcome.live["nodeCount"] == 3
    client = Client((f"GET {POOL}", live(initialNodeCount=2)))
    assert not pool(client, node_count=2).present().changed
    denied = AccessError("Google refused to count (PERMISSION_DENIED).", hint="Check which account is used.")
    client = Client((f"GET {POOL}", found), (f"GET {groups}/a", denied))
    with pytest.raises(AccessError, match=r"compute.instanceGroupManagers.get .* which roles/compute.viewer has"):
        pool(client, node_count=3).present()


def test_a_broken_cluster():
    broken = {"status": "ERROR", "statusMessage": "No IP space.", "currentMasterVersion": "1.34.1-gke.1"}
    client = Client((f"GET {PLACE}/clusters/c", broken))
    desired = desired_cluster({"project": "p", "location": "us-central1", "name": "c"})
    with pytest.raises(StoreError, match=r"The cluster c in us-central1 is broken: No IP space. Delete it"):
        Resource(client, desired).present()
