# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""saxml_model and saxml_model_info: real runs of ansible-playbook, and a real Pod in which saxutil is run.

saxutil and the cell behind it are a stand-in (tests/cluster/stand_ins/saxutil.py) whose model server keeps a log as the real
one does. That Saxml itself takes these commands is not shown here.
"""

from __future__ import annotations

import itertools
import re
import time

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._endpoint.rollout import definitions
from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Client
from ansible_collections.modelops.serving.plugins.module_utils._kube.evidence import ready
from ansible_collections.modelops.serving.plugins.module_utils._serving.build import Features
from ansible_collections.modelops.serving.plugins.module_utils._serving.extras import Extras
from ansible_collections.modelops.serving.plugins.module_utils._serving.instance import Bucket, Instance, Model, Tpu
from ansible_collections.modelops.serving.plugins.module_utils._tpu.capacity import Capacity
from ansible_collections.modelops.serving.plugins.module_utils._tpu.slice import make_slice

PATH = "saxml.server.pax.lm.params.lm_cloud.LmCloudSpmd2BTest"
LLAMA = "/sax/test/llama"


class Cell:
    """The instance ``sax`` as tpu_serving builds it, of which the two Pods run that saxml_model deals with."""

    def __init__(self, cluster, namespace) -> None:
        self.namespace, self.client = namespace, Client(cluster.client())
        chip = Tpu(make_slice("v5e", topology="1x1"), Capacity("on_demand"))
        settings = {"util": True, "cell": "/sax/test", "util_image": cluster.image}
        model = Model("llama", Bucket("models", "llama"))
        instance = Instance("sax", namespace, "saxml", model, chip, image=cluster.image, settings=settings)
        objects = {(obj["kind"], obj["metadata"]["name"]): obj for obj in definitions(instance, Extras(), Features())}
        util, server = (objects["Deployment", f"sax-{name}"] for name in ("util", "model"))
        util["spec"]["template"]["spec"]["containers"][0]["env"].append(
            {"name": "STANDIN_CELL", "value": f"cell.{namespace}:10000"}
        )
        # The stand-in needs no chips, and listens elsewhere.
        pod = server["spec"]["template"]["spec"]
        environment = [{"name": "SAX_CELL", "value": "/sax/test"}]
        plain = {
            "name": "sax-model-server",
            "image": cluster.image,
            "command": ["saxutil", "serve"],
            "env": environment,
        }
        server["spec"]["template"]["spec"] = {"serviceAccountName": pod["serviceAccountName"], "containers": [plain]}
        door = {"selector": server["spec"]["selector"]["matchLabels"], "ports": [{"port": 10000, "protocol": "TCP"}]}
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "cell", "namespace": namespace},
            "spec": door,
        }
        for obj in (objects["ServiceAccount", "sax"], util, server, service):
            self.client.apply(obj, manager="test")
        deadline = time.monotonic() + 60
        while len(pods := self.pods()) < 2 or not all(map(ready, pods)):
            assert time.monotonic() < deadline, pods
            time.sleep(0.2)

    def pods(self) -> list[dict]:
        return self.client.list("v1", "Pod", self.namespace, labels="app.kubernetes.io/instance=sax")

    def done(self) -> list[str]:
        """What the cell was asked to change, in this order; what was tried again is one."""
        (server,) = (pod["metadata"]["name"] for pod in self.pods() if "model" in pod["metadata"]["name"])
        log = self.client.logs(self.namespace, server, "sax-model-server")
        return [key for key, _group in itertools.groupby(re.findall(r"asked to (\w+ \S+)", log))]

    def task(self, name="llama", **options) -> dict:
        given = {"model_path": PATH, "checkpoint": "None", "wait_timeout": 60, **options}
        given.update(name=name, instance="sax", namespace=self.namespace)
        return {"modelops.serving.saxml_model": given}


@pytest.fixture
def cell(cluster, requires_nodes, namespace):
    if not cluster.image.startswith("modelops.serving/"):
        pytest.skip(f"{cluster.image} has no saxutil")
    return Cell(cluster, namespace)


def test_twelve_steps_and_what_is_said_of_failures(cell, cluster, playbooks):
    def four_times(task):
        return [{**task, "check_mode": number % 2 == 0} for number in range(4)]

    create = cell.task(overrides={"BATCH_SIZE": [1], "MAX_DECODE_STEPS": 8})
    modify = cell.task(name=LLAMA, overrides={"BATCH_SIZE": [1, 2]})
    more = cell.task(overrides={"BATCH_SIZE": [1, 2]}, replicas=2, wait_timeout=0)
    broken = cell.task("broken", overrides={"BATCH": [1]})
    info = {"modelops.serving.saxml_model_info": {"instance": "sax", "namespace": cell.namespace}}
    run = playbooks.tasks(
        [
            *four_times(create),
            *four_times(modify),
            {**more, "ignore_errors": True},
            *four_times(cell.task(state="absent")),
            {**broken, "ignore_errors": True},
            info,
        ],
        "--diff",
        env=cluster.environment,
    ).ok()
    *steps, more = run.results[:9]
    steps += run.results[9:13]
    broken, listed = run.results[13:]

    assert [step["changed"] for step in steps] == [True, True, False, False] * 3
    assert [step["actions"] for step in steps[1::4]] == [["publish"], ["unpublish", "publish"], ["unpublish"]]
    for predicted, actual in zip(steps[::2], steps[1::2], strict=True):
        assert predicted["actions"] == actual["actions"] and predicted["diff"] == actual["diff"]
    changes = ("publish", "unpublish", "publish", "update", "unpublish")
    assert cell.done() == [*(f"{change} {LLAMA}" for change in changes), "publish /sax/test/broken"]

    definition = {"model_path": PATH, "checkpoint": "None", "replicas": 1}
    before, after = steps[5]["diff"]["before"], steps[5]["diff"]["after"]
    assert before == {"name": LLAMA, **definition, "overrides": {"BATCH_SIZE": [1], "MAX_DECODE_STEPS": 8}}
    assert after == {"name": LLAMA, **definition, "overrides": {"BATCH_SIZE": [1, 2]}}
    assert "nobody serves it until it is loaded" in steps[5]["diff"]["after_header"]
    loaded = {"assigned_replicas": 1, "loaded_replicas": 1, "address": "10.0.0.1:10001"}
    assert steps[5]["model"] == steps[7]["model"] == {**after, **loaded}

    assert more["failed"] and more["actions"] == ["update"]
    assert "1 of 2 model servers have got it and 1 have loaded it" in more["msg"]
    assert f"Deployment {cell.namespace}/sax-model is to have 1 model servers" in more["msg"]
    assert broken["failed"] and "Can't override BATCH" in broken["msg"] and "Correct model_path" in broken["msg"]
    (left,) = listed["models"]
    assert "Can't override BATCH" in left.pop("failure")
    assert left == {
        "name": "/sax/test/broken",
        **definition,
        "overrides": {"BATCH": [1]},
        **loaded,
        "loaded_replicas": 0,
    }
