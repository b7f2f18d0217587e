# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The API server is one in memory; saxutil says what each test lets it say."""

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._endpoint.rollout import definitions
from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Executed
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import InputError, KubeError, WaitError
from ansible_collections.modelops.serving.plugins.module_utils._sax import door as door_module
from ansible_collections.modelops.serving.plugins.module_utils._sax.cell import Cell, NoInstanceError, SaxError
from ansible_collections.modelops.serving.plugins.module_utils._sax.door import Door
from ansible_collections.modelops.serving.plugins.module_utils._sax.model import Model as Published
from ansible_collections.modelops.serving.plugins.module_utils._serving.build import Features
from ansible_collections.modelops.serving.plugins.module_utils._serving.extras import Extras
from ansible_collections.modelops.serving.plugins.module_utils._serving.instance import Bucket, Instance, Model, Tpu
from ansible_collections.modelops.serving.plugins.module_utils._tpu.capacity import Capacity
from ansible_collections.modelops.serving.plugins.module_utils._tpu.slice import make_slice
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._kube.fakes import FakeApi

READY = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
PENDING = {
    "phase": "Pending",
    "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no node"}],
}
LLAMA = Published("/sax/test/llama", "saxml.lm.LLaMA7B", "None", 1, {"A": "1"})
ERROR = "E1121 21:20:26.950994    9081 saxutil_cmd_admin.go:199] Failed to list models: "


class World:
    """A namespace with an instance, the Pods of its Deployments, and what saxutil was asked."""

    def __init__(self, engine="saxml", statuses=(("util", READY),), **settings):
        self.api = FakeApi()
        self.client = self.api.client()
        self.client.execute = self._execute
        self.asked, self.says = [], {"ls": Executed("# #,Model ID\n", "", 0)}
        tpu = Tpu(make_slice("v5e", topology="1x1"), Capacity("on_demand"))
        model = Model("llama", Bucket("models", "llama"))
        instance = Instance(
            "sax", "demo", engine, model, tpu, settings={"cell": "/sax/test", **settings} if engine == "saxml" else {}
        )
        for obj in definitions(instance, Extras(), Features()):
            if obj["kind"] == "Deployment":
                self.client.apply(obj, manager="test")
        for component, status in statuses:
            deployment = next(
                obj for path, obj in self.api.objects.items() if path.endswith(f"deployments/sax-{component}")
            )
            labels = deployment["spec"]["template"]["metadata"]["labels"]
            replica_set = self._owned(
                "apps/v1", "ReplicaSet", deployment, labels, {"spec": {"selector": deployment["spec"]["selector"]}}
            )
            self._owned("v1", "Pod", replica_set, labels, {"spec": {"containers": []}})
            self.api.objects[f"/api/v1/namespaces/demo/pods/sax-{component}"]["status"] = status

    def _owned(self, api_version, kind, owner, labels, content):
        references = [
            {
                "uid": owner["metadata"]["uid"],
                "kind": owner["kind"],
                "name": owner["metadata"]["name"],
                "apiVersion": "apps/v1",
            }
        ]
        metadata = {
            "name": owner["metadata"]["name"],
            "namespace": "demo",
            "labels": labels,
            "ownerReferences": references,
        }
        return self.client.apply(
            {"apiVersion": api_version, "kind": kind, "metadata": metadata, **content}, manager="test"
        )

    def _execute(self, namespace, pod, container, command, *, timeout):
        assert (namespace, pod, container) == ("demo", "sax-util", "sax-util") and timeout > 0
        self.asked.append(command[3:])
        return self.says[command[3]]

    def cell(self):
        return Cell.find(self.client, "demo", "sax")


def test_a_cell_is_found_by_its_instance():
    world = World(util=True)
    cell = world.cell()
    assert (cell.name, cell.pod, sorted(cell.workloads)) == (
        "/sax/test",
        "sax-util",
        ["admin", "http", "model", "util"],
    )
    world.says["ls"] = Executed("# #,Model ID\n0,llama\n", "", 0)
    assert cell.names() == ["/sax/test/llama"]
    world.says["getacl"] = Executed("", ERROR + "rpc error: code = NotFound desc = model /sax/test/gemma not found", 1)
    assert cell.get("/sax/test/gemma") is None
    world.says["getacl"] = Executed("", ERROR + "storage: object doesn't exist", 1)
    with pytest.raises(SaxError):
        cell.get("/sax/test/gemma")
    world.says["publish"] = Executed("", "", 0)
    cell.publish(LLAMA)
    assert world.asked[-1] == ("publish", "/sax/test/llama", "saxml.lm.LLaMA7B", "None", "1", "A=1")


def test_what_is_no_cell():
    with pytest.raises(NoInstanceError) as raised:
        Cell.find(World(util=True).client, "demo", "other")
    assert "There is no instance other in namespace demo" in str(raised.value)
    with pytest.raises(InputError) as raised:
        World("vllm", statuses=()).cell()
    assert "is vllm, not saxml" in str(raised.value)
    with pytest.raises(InputError) as raised:
        World(statuses=()).cell()
    assert "util: true" in str(raised.value)


def test_a_pod_that_is_not_ready():
    with pytest.raises(KubeError) as raised:
        World(util=True, statuses=()).cell()
    assert "it has none yet" in str(raised.value)
    with pytest.raises(KubeError) as raised:
        World(util=True, statuses=[("util", PENDING)]).cell()
    assert "FailedScheduling: Pod demo/sax-util" in str(raised.value)


@pytest.mark.parametrize(
    ("why", "said"),
    [
        ('"/gs/b/sax-root/sax/test" is not a directory: rpc error', "There is no cell /sax/test yet"),
        ("context deadline exceeded", "The admin server of the cell does not answer"),
        ("no admin server has ever run: rpc error", "The admin server of the cell does not answer"),
    ],
)
def test_a_cell_that_does_not_answer(why, said):
    world = World(util=True, statuses=[("util", READY), ("admin", PENDING)])
    world.says["ls"] = Executed("", ERROR + why + "\n", 1)
    with pytest.raises(SaxError) as raised:
        world.cell().names()
    assert f"failed (1): Failed to list models: {why}" in str(raised.value)
    assert said in str(raised.value) and "FailedScheduling: Pod demo/sax-admin" in str(raised.value)


def test_a_refusal_and_nonsense():
    world = World(util=True)
    world.says["ls"] = Executed("", "flag provided but not defined: -csv", 2)
    with pytest.raises(SaxError) as raised:
        world.cell().names()
    assert "failed (2): flag provided but not defined: -csv." in raised.value.message and not raised.value.hint
    world.says["ls"] = Executed("+---+", "", 0)
    with pytest.raises(SaxError, match=r"printed something unknown \(no table of 2 columns\): \+---\+"):
        world.cell().names()


class Module:
    """Of AnsibleModule what a door takes."""

    check_mode, _diff, no_log_values = False, True, frozenset()

    def __init__(self, **params):
        self.params, self.warnings = params, []
        self.warn = self.warnings.append


def test_what_is_refused_after_unpublishing_leaves_the_model_as_it_was():
    world = World(util=True)
    refused = Executed("", ERROR + "rpc error: code = InvalidArgument", 1)
    answers = [refused, Executed("", "", 0)]
    world.says.update(unpublish=Executed("", "", 0))
    world.client.execute = lambda *where, timeout: (
        world.asked.append(where[3][3:]),
        answers.pop(0) if where[3][3] == "publish" else world.says[where[3][3]],
    )[1]
    wanted = Published(LLAMA.id, LLAMA.path, "None", 1, {"A": "2"})
    door = Door(Module())
    with pytest.raises(SaxError) as raised:
        door._carry_out(world.cell(), LLAMA.id, LLAMA, wanted)
    assert raised.value.message.endswith("/sax/test/llama is published again as it was before.")
    assert [(asked[0], asked[-1]) for asked in world.asked] == [
        ("unpublish", LLAMA.id), ("publish", "A=2"), ("publish", "A=1"),
    ]  # fmt: skip
    assert door.result["actions"] == ["unpublish", "publish"]
    assert door.result["diff"]["after_header"].startswith("/sax/test/llama (unpublished, then published")


def test_an_instance_that_is_not_there_publishes_nothing(monkeypatch):
    monkeypatch.setattr(door_module, "connect", lambda _module: World(util=True).client)
    module = Module(namespace="demo", instance="other", name="llama")
    assert Door(module).absent() == {"changed": False, "actions": [], "model": None}
    assert "There is no instance other" in module.warnings[0]


def test_before_there_is_an_instance_publishing_is_predicted(monkeypatch):
    monkeypatch.setattr(door_module, "connect", lambda _module: World(util=True).client)
    options = {"model_path": LLAMA.path, "checkpoint": "None", "replicas": 1, "overrides": {}}
    module = Module(namespace="demo", instance="other", name="llama", **options)
    with pytest.raises(KubeError, match="There is no instance other"):
        Door(module).present()
    module.check_mode = True
    result = Door(module).present()
    assert (result["changed"], result["actions"], result["model"]["name"]) == (True, ["publish"], "/sax/other/llama")
    assert result["diff"]["before"] == {}
    assert "There is no instance other" in module.warnings[0]


class Clock:
    """Of the module time what a door takes."""

    now = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def test_what_cannot_become_better_is_not_waited_for(monkeypatch):
    world, clock = World(util=True), Clock()
    shown = "# Model,Model Path,Checkpoint Path,# of Replicas,(Selected) ReplicaAddress\nllama,a.B,None,0,\n"
    says = {
        "getacl": lambda _command: Executed("", ERROR + "rpc error: code = NotFound desc = not found", 1),
        "publish": lambda _command: Executed("", "", 0),
        "ls": lambda command: Executed(shown if command[-1] == LLAMA.id else "# #,Model ID\n0,llama\n", "", 0),
    }
    world.client.execute = lambda *where, timeout: says[where[3][3]](where[3])
    monkeypatch.setattr(door_module, "connect", lambda _module: world.client)
    monkeypatch.setattr(door_module, "time", clock)
    options = {"model_path": LLAMA.path, "checkpoint": "None", "replicas": 2, "overrides": {}}
    door = Door(Module(namespace="demo", instance="sax", name="llama", wait=True, wait_timeout=900, **options))
    with pytest.raises(WaitError) as raised:
        door.present()
    assert 15 < clock.now < 20
    assert "after 16 s 0 of 2 model servers have got it and 0 have loaded it" in raised.value.message
    assert "Deployment demo/sax-model is to have 1 model servers" in raised.value.message
    assert door.result["changed"] and door.result["model"]["assigned_replicas"] == 0
