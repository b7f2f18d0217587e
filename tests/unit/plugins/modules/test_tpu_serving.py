# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The door of tpu_serving: options in, results out, against an API server in memory whose servers answer at once."""

from __future__ import annotations

import base64
import contextlib
import json

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

from ansible_collections.modelops.serving.plugins.module_utils import _cluster_door
from ansible_collections.modelops.serving.plugins.module_utils._hub import token as hub_token
from ansible_collections.modelops.serving.plugins.modules import tpu_serving
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._kube.fakes import Answer, FakeApi, refuse

MODEL = {"name": "google/gemma-3-1b-it"}
PLAIN = {"name": "gemma", "namespace": "ns", "model": MODEL, "accelerator": {"type": "cpu"}}
ABSENT = {"name": "gemma", "namespace": "ns", "state": "absent"}
DEPLOYMENT = "/apis/apps/v1/namespaces/ns/deployments/gemma"


class Cluster(FakeApi):
    """Pods are ready at once unless ``stuck``; servers answer with ``completion``."""

    def __init__(self):
        super().__init__()
        self.kinds["policy/v1"] = {"poddisruptionbudgets": ("PodDisruptionBudget", True)}
        self.kinds["networking.k8s.io/v1"] = {"networkpolicies": ("NetworkPolicy", True)}
        self.kinds["v1"].update(nodes=("Node", False), events=("Event", True))
        self.completion = {"choices": [{"text": "!"}]}
        self.stuck = set()
        self.rules.append(self._rule)

    def _rule(self, asked):
        if asked.path == "/version":
            return Answer(200, {"major": "1", "minor": "30"})
        if asked.path.endswith("/proxy/v1/models"):
            return Answer(200, {"data": [{"id": MODEL["name"]}]})
        if asked.path.endswith("/proxy/v1/completions"):
            return Answer(200, self.completion)
        if asked.method == "GET" and asked.path in self.objects and "/deployments/" in asked.path:
            self._start(self.objects[asked.path])
        return None

    def _start(self, deployment):
        spec = deployment["spec"]
        (server,) = spec["template"]["spec"]["containers"]
        ready = 0 if server["image"] in self.stuck else spec["replicas"]
        status = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), ready)
        deployment["status"] = {**status, "observedGeneration": 1}

    def deployment(self):
        return self.objects[DEPLOYMENT]

    @property
    def image(self):
        return self.deployment()["spec"]["template"]["spec"]["containers"][0]["image"]


@pytest.fixture
def api(monkeypatch):
    fake = Cluster()
    monkeypatch.setattr(_cluster_door, "connect", lambda _module: fake.client())
    return fake


@pytest.fixture
def run(api, capsys):
    def call(options, *, check=False, diff=False):
        given = {**options, "_ansible_check_mode": check, "_ansible_diff": diff}
        api.asked.clear()
        with patch_module_args(given), contextlib.suppress(SystemExit):
            tpu_serving.main()
        return json.loads(capsys.readouterr().out)

    return call


def actions(result):
    return {item["kind"]: item["action"] for item in result["objects"]}


def questions(api):
    return [asked.path.rpartition("/proxy")[2] for asked in api.asked if "/proxy" in asked.path]


def test_twelve_steps(run, api):
    changed = {**PLAIN, "args": ["--seed=2"]}
    steps = [(PLAIN, "create"), (PLAIN, "none"), (changed, "update"), (changed, "none")]
    steps += [(ABSENT, "delete"), (ABSENT, None)]
    for options, action in steps:
        for check in (True, False):
            result = run(options, check=check)
            assert result.get("failed") is None, result
            assert result["changed"] is (action not in ("none", None))
            assert actions(result).get("Deployment") == action
            assert bool(api.writes) is (result["changed"] and not check)
    assert not api.objects


def test_a_new_instance_is_asked_for_a_completion(run, api):
    result = run(PLAIN)
    assert actions(result) == dict.fromkeys(
        ("ServiceAccount", "Service", "Deployment", "PodDisruptionBudget"), "create"
    )
    assert result["endpoint"] == "http://gemma.ns.svc:8000"
    assert (result["replicas"], result["ready_replicas"]) == (1, 1)
    assert (result["models"], result["completion"]) == ([MODEL["name"]], "!")
    assert result["time_to_ready"] >= 0
    assert questions(api) == ["/v1/models", "/v1/completions"]


def test_an_unchanged_instance_is_asked_and_nothing_else(run, api):
    run(PLAIN)
    result = run(PLAIN)
    assert {asked.method for asked in api.asked if "/proxy/" not in asked.path} == {"GET"}
    assert questions(api) == ["/v1/models", "/v1/completions"]
    assert (result["changed"], result["ready_replicas"], result["completion"]) == (False, 1, "!")
    assert "time_to_ready" not in result
    run({**PLAIN, "wait": False})
    assert {asked.method for asked in api.asked} == {"GET"}


def test_a_server_that_failed_its_test_fails_it_again(run, api):
    api.completion = {"choices": []}
    run(PLAIN)
    result = run(PLAIN)
    assert (result["failed"], result["changed"], result["error"]["kind"]) == (True, False, "EndpointError")


def test_an_unchanged_instance_that_is_not_ready_is_waited_for(run, api):
    run({**PLAIN, "wait": False})
    (container,) = api.deployment()["spec"]["template"]["spec"]["containers"]
    api.stuck.add(container["image"])
    result = run({**PLAIN, "wait_timeout": 0})
    assert result["error"]["kind"] == "WaitError"
    assert (result["changed"], result["ready_replicas"]) == (False, 0)


def test_nobody_is_asked_who_was_not_waited_for(run, api):
    result = run({**PLAIN, "wait": False})
    assert result["changed"]
    assert not questions(api)
    run({**PLAIN, "args": ["--x"], "smoke_test": False})
    assert questions(api) == ["/v1/models"]


def test_without_servers_nobody_is_asked(run, api):
    for changed in (True, False):
        result = run({**PLAIN, "replicas": 0})
        assert (result["changed"], result["replicas"], questions(api)) == (changed, 0, [])


def test_success_without_a_completion_fails(run, api):
    api.completion = {"choices": []}
    result = run(PLAIN)
    assert (result["failed"], result["changed"], result["error"]["kind"]) == (True, True, "EndpointError")
    assert actions(result)["Deployment"] == "create"
    assert api.deployment()


def test_models_that_may_not_be_asked_for_are_a_warning(run, api):
    run(PLAIN)
    api.rules.insert(0, lambda asked: refuse(403, "no", "Forbidden") if "/proxy" in asked.path else None)
    result = run({**PLAIN, "smoke_test": False})
    assert "failed" not in result
    assert "Which models are served was not found out" in json.dumps(result["warnings"])


# -- rolling back ------------------------------------------------------------------------------------------------------


def test_a_rollout_that_fails_stays(run, api):
    run(PLAIN)
    api.stuck.add("bad:1")
    result = run({**PLAIN, "image": "bad:1", "wait_timeout": 0})
    assert (result["failed"], result["changed"], api.image) == (True, True, "bad:1")
    assert "rolled_back" not in result


@pytest.mark.parametrize("fault", ["never ready", "no completion"])
def test_a_rollout_that_fails_is_rolled_back_when_asked(run, api, fault):
    run({**PLAIN, "access": {}})
    before = api.image
    bad = {**PLAIN, "image": "bad:1", "rollback": True}
    if fault == "never ready":
        api.stuck.add("bad:1")
        bad["wait_timeout"] = 0
    else:
        api.completion = {}
    result = run(bad)
    assert (result["failed"], result["rolled_back"], api.image) == (True, True, before)
    assert "Rolled back: everything is as it was before." in result["msg"]
    assert result["error"]["kind"] == ("WaitError" if fault == "never ready" else "EndpointError")
    assert actions(result)["NetworkPolicy"] == "delete"
    assert run({**PLAIN, "access": {}})["changed"] is False


def test_going_back_from_the_first_rollout_leaves_nothing(run, api):
    api.completion = {}
    result = run({**PLAIN, "rollback": True})
    assert (result["failed"], result["rolled_back"], api.objects) == (True, True, {})


def test_going_back_that_fails_is_told(run, api):
    run(PLAIN)
    api.stuck |= {"bad:1", api.image}
    result = run({**PLAIN, "image": "bad:1", "rollback": True, "wait_timeout": 0})
    assert "Rolling back did not end well" in result["msg"]
    assert "rolled_back" not in result


def test_who_does_not_wait_does_not_go_back(run, api):
    result = run({**PLAIN, "rollback": True, "wait": False})
    assert "Whether a rollout fails is seen by waiting" in result["msg"]
    assert not api.asked


# -- restarts, neighbours ----------------------------------------------------------------------------------------------


def test_restarts_are_not_undone(run, api):
    run(PLAIN)
    assert run({**PLAIN, "state": "restarted"}, check=True)["changed"]
    result = run({**PLAIN, "state": "restarted"})
    assert actions(result)["Deployment"] == "update"
    annotations = api.deployment()["spec"]["template"]["metadata"]["annotations"]
    assert annotations["kubectl.kubernetes.io/restartedAt"].endswith("Z")
    assert run(PLAIN)["changed"] is False


def test_removing_one_instance_leaves_the_other_and_what_is_not_ours(run, api):
    run(PLAIN)
    theirs = {"app.kubernetes.io/managed-by": "modelops.serving", "app.kubernetes.io/instance": "gemma"}
    for name, labels in (("default", {}), ("sync", theirs)):
        account = {"apiVersion": "v1", "kind": "ServiceAccount"}
        metadata = {"name": name, "namespace": "ns", "labels": labels}
        api.client().apply({**account, "metadata": metadata}, manager="somebody")
    others = {path for path in api.objects if path.endswith(("/default", "/sync"))}
    run({**PLAIN, "name": "qwen"})
    second = {path for path in api.objects if path.endswith("/qwen")}
    run(ABSENT)
    assert len(second) == 4
    assert set(api.objects) == second | others


# -- before anything is written ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "Gemma"}, "is not a DNS label"),
        ({"accelerator": {"generation": "v6e", "topology": "3x3"}}, "3x3"),
        ({"accelerator": {"generation": "v9"}}, "no TPU that GKE offers"),
        ({"settings": {"max_model_length": 1}}, "Did you mean max_model_len"),
        ({"image": "vllm:latest"}, "does not say which one it is"),
        ({"state": "restarted", "render_to": "/nowhere"}, "Files cannot be restarted"),
        (
            {"model": {**MODEL, "parameters": "405B"}, "accelerator": {"generation": "v6e", "topology": "2x4"}},
            "does not fit",
        ),
    ],
)
def test_bad_input_reaches_nobody(run, api, given, message):
    result = run({**PLAIN, **given})
    assert message in result["msg"]
    assert (result["changed"], api.asked) == (False, [])


def test_kinds_that_are_not_served(run, api):
    slice_of_many = {"generation": "v6e", "topology": "4x4"}
    result = run({**PLAIN, "accelerator": slice_of_many, "check_nodes": False})
    assert "does not serve kind LeaderWorkerSet" in result["msg"]
    assert "lws.sigs.k8s.io" in result["msg"]
    assert not api.writes


def test_nodes_are_counted_before_anything_is_written(run, api):
    given = {**PLAIN, "accelerator": {"type": "gpu", "count": 1}}
    result = run({**given, "replicas": 2}, check=True)
    assert "needs nodes for 2 Pods" in result["msg"]
    result = run({**given, "replicas": 2})
    assert "needs nodes for 2 Pods" in result["msg"]
    assert (result["changed"], api.writes) == (False, [])
    assert run({**given, "check_nodes": False})["changed"]
    api.asked.clear()
    assert run(given)["changed"] is False  # nothing to write, nothing to check


def test_the_model_and_its_token_are_checked_before_anything_is_written(run, api, monkeypatch):
    def fails(*_args, **_named):
        raise hub_token.InputError("The Hub quotes canary-token.")

    monkeypatch.setattr(hub_token, "look_up", fails)
    # Which tells the action plugin to look at the manifest.
    result = run({**PLAIN, "manifest": {"type": "local", "path": "/models"}})
    assert (result["error"]["kind"], api.writes) == ("UncheckedError", [])
    path = "/api/v1/namespaces/ns/secrets/hub"
    data = {"token": base64.b64encode(b"canary-token").decode()}
    api.objects[path] = {"metadata": {"name": "hub"}, "data": data}
    result = run({**PLAIN, "token_secret": {"name": "hub"}})
    assert (result["error"]["kind"], api.writes) == ("InputError", [])
    assert "canary" not in json.dumps(result)
    assert run({**PLAIN, "token_secret": {"name": "hub"}, "check_token": False})["changed"]


# -- files -------------------------------------------------------------------------------------------------------------


def test_files_are_what_would_be_applied_and_nobody_is_asked(run, api, tmp_path):
    given = {**PLAIN, "render_to": str(tmp_path), "argo": True}
    assert run(given, check=True)["changed"]
    assert not list(tmp_path.iterdir())
    result = run(given)
    assert result["changed"]
    assert not api.asked
    found = [yaml.safe_load(path.read_text()) for path in tmp_path.iterdir()]
    run(PLAIN)
    kinds = {item["kind"] for item in found}
    assert kinds == {"ServiceAccount", "Service", "Deployment", "PodDisruptionBudget"}
    assert {item["metadata"]["name"] for item in found} == {"gemma"}
    assert run(given)["changed"] is False
    assert run({**ABSENT, "render_to": str(tmp_path)})["changed"]
    assert not list(tmp_path.iterdir())


def test_differences_are_shown(run):
    run(PLAIN)
    result = run({**PLAIN, "args": ["--seed=2"]}, check=True, diff=True)
    (shown,) = result["diff"]
    assert "--seed=2" in shown["after"]
    assert "--seed=2" not in shown["before"]
