# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._endpoint import preflight
from ansible_collections.modelops.serving.plugins.module_utils._hub import token as hub_token
from ansible_collections.modelops.serving.plugins.module_utils._hub.token import Identity, ModelAccess, TokenInfo
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import InputError as KubeInputError
from ansible_collections.modelops.serving.plugins.module_utils._mounts import ProviderClass, SecretKey
from ansible_collections.modelops.serving.plugins.module_utils._serving.instance import Device
from ansible_collections.modelops.serving.plugins.module_utils._tpu.capacity import Capacity
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    AccessError,
    TransientError,
)
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._kube.fakes import FakeApi, refuse
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._serving.instances import cpu, instance, tpu

GPU = Device("gpu", 2, {"pool": "a"})
TPU_LABELS = {"cloud.google.com/gke-tpu-accelerator": "tpu-v6e-slice", "cloud.google.com/gke-tpu-topology": "2x4"}


@pytest.fixture
def api():
    fake = FakeApi()
    fake.kinds["v1"]["nodes"] = ("Node", False)
    return fake


def away(*_args, **_named):
    raise TransientError("no answer.")


def node(api, name, resources, labels, *, ready="True", **spec):
    status = {"conditions": [{"type": "Ready", "status": ready}], "allocatable": resources}
    api.objects[f"/api/v1/nodes/{name}"] = {
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
        "status": status,
    }


# -- nodes -------------------------------------------------------------------------------------------------------------


def test_servers_without_devices_need_no_special_nodes(api):
    assert preflight.check_nodes(api.client(), cpu(replicas=9)) is None
    assert not api.asked


def test_enough_nodes(api):
    for name in ("a", "b"):
        node(api, name, {"google.com/tpu": "8"}, TPU_LABELS)
    assert preflight.check_nodes(api.client(), instance(replicas=2)) is None
    node(api, "c", {"nvidia.com/gpu": "4"}, {"pool": "a"})
    assert preflight.check_nodes(api.client(), instance(hardware=GPU, replicas=2)) is None
    with pytest.raises(KubeInputError, match="3 Pods"):
        preflight.check_nodes(api.client(), instance(replicas=3))


def test_a_slice_of_several_hosts_needs_a_whole_node_pool(api):
    labels = {**TPU_LABELS, "cloud.google.com/gke-tpu-topology": "4x4"}

    def add(name, pool):
        node(api, name, {"google.com/tpu": "4"}, {**labels, "cloud.google.com/gke-nodepool": pool})

    made = instance(hardware=tpu("v6e", "4x4"))
    for name in ("a1", "a2", "a3", "b1"):
        add(name, name[0])
    told = r"4 Pods with 4 of google\.com/tpu each, .*there is room for 0 in node pools of 4"
    with pytest.raises(KubeInputError, match=told):
        preflight.check_nodes(api.client(), made)
    add("a4", "a")
    assert preflight.check_nodes(api.client(), made) is None


@pytest.mark.parametrize(
    ("given", "more", "others"),
    [
        ({"labels": {**TPU_LABELS, "cloud.google.com/gke-tpu-topology": "1x1"}}, {}, "1 tpu-v6e-slice 1x1."),
        ({"labels": {}}, {}, "1 without labels of a TPU."),
        ({"labels": TPU_LABELS}, {"ready": "False"}, "No ready node has google.com/tpu."),
        ({"labels": TPU_LABELS}, {"unschedulable": True}, "No ready node has google.com/tpu."),
        ({"labels": TPU_LABELS, "resources": {"google.com/tpu": "4"}}, {}, "1 tpu-v6e-slice 2x4."),
        ({"labels": TPU_LABELS, "resources": {"cpu": "4"}}, {}, "No ready node has google.com/tpu."),
    ],
)
def test_nodes_that_do_not_do(api, given, more, others):
    node(api, "a", **{"resources": {"google.com/tpu": "8"}, **given}, **more)
    with pytest.raises(KubeInputError, match="there is room for 0, and no autoscaler was found") as error:
        preflight.check_nodes(api.client(), instance())
    assert error.value.message.endswith(others)
    assert "check_nodes: false" in error.value.hint


def test_an_autoscaler_makes_nodes(api):
    missing = "The cluster's autoscaler has to make the others."
    classed = instance(hardware=tpu(capacity=Capacity("compute_class", compute_class="spot-first")))
    assert missing in preflight.check_nodes(api.client(), classed)
    path = "/api/v1/namespaces/kube-system/configmaps/cluster-autoscaler-status"
    api.objects[path] = {"metadata": {"name": "cluster-autoscaler-status"}}
    assert missing in preflight.check_nodes(api.client(), instance())
    api.objects.clear()
    api.kinds["karpenter.sh/v1"] = {"nodepools": ("NodePool", False)}
    assert missing in preflight.check_nodes(api.client(), instance(hardware=GPU))


def test_who_may_not_see_nodes_is_warned(api):
    api.rules.append(lambda asked: refuse(403, "no", "Forbidden") if asked.path == "/api/v1/nodes" else None)
    assert "Whether there are nodes was not checked" in preflight.check_nodes(api.client(), instance())


# -- token -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(monkeypatch):
    """Calls of the Hub, and the ``answer`` that it gives next."""

    class Hub:
        def __init__(self):
            self.answer, self.asked = "yes", []

        def look_up(self, **asked):
            self.asked.append(asked)
            who = Identity("reader", "alice", "user", "read", None, (), None)
            return TokenInfo("https://hub.test", True, who, (ModelAccess("m", "page", self.answer, "why.", "Do."),))

    found = Hub()
    monkeypatch.setattr(hub_token, "look_up", found.look_up)
    return found


def secret(api, **data):
    data = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    api.objects["/api/v1/namespaces/serving/secrets/hub"] = {"metadata": {"name": "hub"}, "data": data}


def check(api, hidden=None, **given):
    made = instance(model_token=SecretKey("hub"), **given)
    return preflight.check_token(api.client(), made, ([] if hidden is None else hidden).append)


def test_the_hub_is_asked_about_the_token(api, hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "https://usual.test")
    secret(api, token="t-value\n")
    hidden = []
    assert check(api, hidden) is None
    assert hidden == ["t-value"]
    check(api, env={"HF_ENDPOINT": "https://mirror.test"})
    expected = [("https://usual.test", "t-value"), ("https://mirror.test", "t-value")]
    assert [(asked["endpoint"], asked["token"]) for asked in hub.asked] == expected
    assert hub.asked[0]["models"] == ["google/gemma-3-27b-it"]


@pytest.mark.parametrize("token", [None, ProviderClass("c", "gke")])
def test_a_token_that_is_not_known_here_is_not_asked_about(api, hub, token):
    assert preflight.check_token(api.client(), instance(model_token=token), print) is None
    assert not hub.asked


def test_a_token_that_is_missing(api, hub):
    with pytest.raises(KubeInputError, match="Secret serving/hub is not there"):
        check(api)
    secret(api, other="x")
    with pytest.raises(KubeInputError, match="Secret serving/hub has no key token"):
        check(api)
    assert not hub.asked


def test_what_the_hub_says(api, hub, monkeypatch):
    secret(api, token="t-value")
    hub.answer = "gated"
    with pytest.raises(AccessError, match="why"):
        check(api)
    hub.answer = "unknown"
    assert check(api) == "The token was not checked: why."
    monkeypatch.setattr(hub_token, "look_up", away)
    assert check(api) == "The token was not checked: no answer."
