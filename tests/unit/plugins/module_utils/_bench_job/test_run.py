# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is a benchmark of that name under way, what takes the place of what, and are there nodes?"""

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._bench_job import run
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import InputError
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._bench_job.given import spec
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._kube.fakes import FakeApi

PROGRAM = b"zip"
FAILED = [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]


@pytest.fixture
def api():
    fake = FakeApi()
    fake.kinds["v1"]["nodes"] = ("Node", False)
    fake.immutable.append(("spec", "template"))
    return fake


def start(api, made, run_id, *, attach=False):
    changes = run.start(api.client(), made, PROGRAM, run_id, attach=attach, check=False, force=False)
    return {f"{change.ref.kind} {change.ref.name}": change.action for change in changes}


def ends(api):
    for path, job in api.objects.items():
        if "/jobs/" in path:
            job["status"] = {"conditions": FAILED}


def test_a_run_that_goes_on_is_found_by_its_id_and_left_as_it_is(api):
    made = spec(parallelism=2)
    assert run.under_way(api.client(), made, PROGRAM) is None
    assert set(start(api, made, "first").values()) == {"create"}
    assert run.under_way(api.client(), made, PROGRAM) == "first"
    assert set(start(api, made, "first", attach=True).values()) == {"none"}
    for other, program in ((spec(parallelism=2, seed=1), PROGRAM), (made, b"newer")):
        with pytest.raises(InputError, match="Another benchmark runs in ns under the name load"):
            run.under_way(api.client(), other, program)


def test_one_that_has_ended_is_replaced_with_all_that_belonged_to_it(api):
    start(api, spec(parallelism=2), "first")
    ends(api)
    made = spec(seed=1)
    assert run.under_way(api.client(), made, PROGRAM) is None
    found = start(api, made, "second")
    assert found["Job load"] == "create"
    assert [found[f"Job load-{number}"] for number in range(2)] == ["delete", "delete"]
    assert sorted(action for name, action in found.items() if name.startswith("ConfigMap")) == ["create", "delete"]
    ends(api)
    # Also the same again: a Job that has ended does not run anew.
    assert start(api, made, "third")["Job load"] == "replace"


@pytest.mark.parametrize(
    ("cpu", "labels", "told"),
    [
        ("2", {}, None),
        ("3", {}, "room for 1, and no autoscaler.* The largest of these nodes has 4 of cpu"),
        ("2", {"cloud.google.com/gke-tpu-accelerator": "tpu-v6e-slice"}, "No ready node has these labels"),
    ],
)
def test_nodes_need_the_cores_and_no_tpu(api, cpu, labels, told):
    ready = [{"type": "Ready", "status": "True"}]
    api.objects["/api/v1/nodes/node"] = {
        "metadata": {"name": "node", "labels": labels},
        "status": {"conditions": ready, "allocatable": {"cpu": "4"}},
    }
    made = spec(cpu=cpu, parallelism=2)
    if told is None:
        assert run.check_nodes(api.client(), made) is None
        return
    with pytest.raises(InputError, match=told):
        run.check_nodes(api.client(), made)
