# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role serving: instances and their canaries, with Pods that serve, and HTTPRoutes as a Gateway would read them.

No Gateway sends requests along the routes: weights are seen on the objects, in the order in which they were written.
"""

from __future__ import annotations

import functools
import json
import re

import pytest
import yaml
from kubernetes.client import ApiException, AppsV1Api, CoreV1Api, CustomObjectsApi, RbacAuthorizationV1Api
from kubernetes.watch import Watch
from runner import ROOT
from schemas import check
from servers import servers

from ansible_collections.modelops.serving.plugins.module_utils._kube.auth import ARGUMENTS
from ansible_collections.modelops.serving.plugins.modules.tpu_serving import argument_spec

__all__ = ["servers"]

ROLE = ROOT / "roles" / "serving"
PLAYBOOK = ROOT / "playbooks" / "serving.yml"
ROUTE = {"gateways": [{"name": "inference"}]}


@pytest.fixture
def model(sync, hub):
    """A small model with a copy in the store."""
    weights = b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}'
    files = {"config.json": b"{}", "model.safetensors": len(weights).to_bytes(8, "little") + weights + b"abcd"}
    sync.repo = f"test/small-{sync.prefix}"
    hub.add_repository(sync.repo, files)
    assert sync.run()["destinations"][0]["status"] == "complete"
    return sync


@pytest.fixture
def account(servers):
    """How somebody reaches the cluster who may do what the README of the role asks for, and nothing else."""
    (given,) = re.findall(r"```yaml\n(apiVersion: rbac\..+?)```", (ROLE / "README.md").read_text(), re.DOTALL)
    api, namespace = servers.cluster.client(), servers.namespace
    core, rbac = CoreV1Api(api), RbacAuthorizationV1Api(api)
    core.create_namespaced_service_account(namespace, {"metadata": {"name": "server"}})
    rbac.create_namespaced_role(namespace, yaml.safe_load(given))
    binding = {
        "metadata": {"name": "server"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "serving"},
        "subjects": [{"kind": "ServiceAccount", "name": "server", "namespace": namespace}],
    }
    rbac.create_namespaced_role_binding(namespace, binding)
    request = {"spec": {"audiences": None, "expirationSeconds": 3600}}
    token = core.create_namespaced_service_account_token("server", namespace, request).status.token
    return {"host": api.configuration.host, "ca_cert": api.configuration.ssl_ca_cert, "api_key": token}


class Story:
    """What became of the routes and servers of a namespace, in order, since this was made."""

    def __init__(self, servers) -> None:
        api = servers.cluster.client()
        self._lists = {
            "route": functools.partial(
                CustomObjectsApi(api).list_namespaced_custom_object,
                *("gateway.networking.k8s.io", "v1", servers.namespace, "httproutes"),
            ),
            "server": functools.partial(AppsV1Api(api).list_namespaced_deployment, servers.namespace),
        }
        self._since = {kind: servers.wait_for(functools.partial(self._version, kind)) for kind in self._lists}

    def _version(self, kind: str) -> str | None:
        """The version of the list; None as long as the API server does not serve a kind that was added a moment ago."""
        try:
            found = self._lists[kind](_preload_content=False)
        except ApiException as error:
            if error.status == 404:
                return None
            raise
        return json.loads(found.data)["metadata"]["resourceVersion"]

    def tell(self, name: str) -> list[str]:
        """Of an instance and its canary: the shares of requests whenever they were written, who began to serve, who went."""
        events = []
        for kind, look in self._lists.items():
            for event in Watch().stream(look, resource_version=self._since[kind], timeout_seconds=1):
                obj = event["raw_object"]
                if obj["metadata"]["name"] in (name, f"{name}-canary"):
                    events.append((int(obj["metadata"]["resourceVersion"]), kind, event["type"] == "DELETED", obj))
        story, latest = [], {}
        for _version, kind, gone, obj in sorted(events, key=lambda event: event[0]):
            who = f"{kind} {obj['metadata']['name']}"
            said = "gone" if gone else self._shares(obj) if kind == "route" else self._serves(obj)
            if said != latest.get(who):
                story.append(f"{who}: {said}")
            latest[who] = said
        return [line for line in story if not line.endswith(": None")]

    @staticmethod
    def _shares(obj) -> str:
        (rule,) = obj["spec"]["rules"]
        return ", ".join(f"{one['name']} {one.get('weight', 'all')}" for one in rule["backendRefs"])

    @staticmethod
    def _serves(obj) -> str | None:
        return "serves" if obj.get("status", {}).get("readyReplicas") else None


def role(*instances, **variables):
    """The role, whether it fails or not."""
    included = {
        "ansible.builtin.include_role": {"name": "modelops.serving.serving"},
        "vars": {**variables, "serving_instances": list(instances)},
    }
    keep = {"ansible.builtin.set_fact": {"said": "{{ said | default([]) + [serving_results] }}"}}
    return [{"block": [included], "rescue": [{"ansible.builtin.meta": "noop"}]}, keep]


def told(*instances):
    """The role, which has to fail before anything is done, and what it said in place of results."""
    included = {
        "ansible.builtin.include_role": {"name": "modelops.serving.serving"},
        "vars": {"serving_instances": list(instances)},
    }
    keep = {"ansible.builtin.set_fact": {"said": "{{ said + [ansible_failed_result.msg] }}"}}
    return [{"block": [included], "rescue": [keep]}]


def run(playbooks, steps, *arguments, **variables):
    """The run of these lists of tasks, and what the role said each time."""
    path, said = playbooks.directory / "role.yml", playbooks.directory / "said.json"
    keep = {"results_file": {"path": str(said), "content": "{{ said | to_json }}"}}
    tasks = [task for step in steps for task in step]
    play = {"hosts": "localhost", "gather_facts": False, "vars": variables, "tasks": [*tasks, keep]}
    path.write_text(json.dumps([play]))
    done = playbooks.playbook(path, *arguments).ok()
    return done, json.loads(said.read_text())


@pytest.mark.usefixtures("custom_kinds")
def test_canaries_that_fail_are_promoted_and_are_rolled_back(servers, playbooks, model, account):
    llama = servers.options(route=ROUTE, namespace=None)
    alpaca = {**llama, "name": "alpaca"}
    tried = {"args": ["--seed=7"], "weight": 20}
    mute = {"env": {"STANDIN_NO_COMPLETION": "1"}, "weight": 20}
    variables = {"serving_namespace": servers.namespace, "serving_cluster": account}
    story = Story(servers)

    absent = {"serving_namespace": f"{servers.namespace}-new", "serving_create_namespace": True}
    cluster = {"serving_cluster": {"kubeconfig": servers.cluster.kubeconfig}}
    _done, ((predicted,),) = run(
        playbooks, [role({**llama, "canary": tried})], "--check", "--diff", **absent, **cluster
    )
    assert (predicted["skipped"], predicted["failed"]) == (True, False)
    spaces = CoreV1Api(servers.cluster.client()).list_namespace().items
    assert absent["serving_namespace"] not in [space.metadata.name for space in spaces]

    steps = [role({**llama, "canary": tried}, {**alpaca, "canary": mute}), role({**llama, "canary": tried}, alpaca)]
    started, results = run(playbooks, steps, "-vvvv", "--diff", **variables)
    first, again = ({item["name"]: item for item in result} for result in results)
    assert not first["llama"]["failed"], first
    assert first["llama"]["completion"] == first["llama"]["canary"]["completion"] == servers.weights()
    assert (first["alpaca"]["failed"], first["alpaca"]["completion"]) == (True, servers.weights())
    assert "alpaca-canary: " in first["alpaca"]["msg"] and "without a completion" in first["alpaca"]["msg"]
    assert first["alpaca"]["canary"]["rolled_back"]
    for name in ("llama", "alpaca"):
        assert (again[name]["changed"], again[name]["failed"]) == (False, False), again

    # A canary of alpaca as the role would have left it, had it not failed; without Pods.
    left = [
        {**servers.task(name="alpaca", route={**ROUTE, "canary": {"name": "alpaca-canary", "weight": 20}})},
        {**servers.task(name="alpaca-canary", replicas=0, wait=False)},
    ]
    left = [{**task, "environment": servers.cluster.environment} for task in left]
    promoted = {**llama, "canary": {**tried, "verdict": "promote"}}
    steps = [
        left,
        role(promoted, {**alpaca, "canary": {**mute, "verdict": "roll_back"}}),
        left[1:],
        role(promoted, alpaca),
        role({"name": "llama"}, {"name": "alpaca"}, serving_state="absent"),
    ]
    ended, results = run(playbooks, steps, "-vvvv", "--diff", **variables)
    judged, again, absent = ({item["name"]: item for item in result} for result in results)
    assert not any(item["failed"] for result in results for item in result), results
    assert judged["llama"]["completion"] == servers.weights()
    for name in ("llama", "alpaca"):
        assert (judged[name]["canary"]["changed"], absent[name]["changed"]) == (True, True)
    # The second time nothing is left to do, apart from a canary that nobody wants.
    assert (again["llama"]["changed"], again["alpaca"]["canary"]["changed"]) == (False, True)
    assert {item["action"] for item in again["alpaca"]["objects"]} == {"none"}
    assert servers.ours() == []

    assert story.tell("llama")[:7] == [
        "route llama: llama all",
        "server llama: serves",
        "server llama-canary: serves",
        "route llama: llama 80, llama-canary 20",
        "server llama: serves",
        "route llama: llama all",
        "server llama-canary: gone",
    ]
    assert story.tell("alpaca")[:8] == [
        "route alpaca: alpaca all",
        "server alpaca: serves",
        "server alpaca-canary: serves",
        "server alpaca-canary: gone",
        "route alpaca: alpaca 80, alpaca-canary 20",
        "route alpaca: alpaca all",
        "server alpaca-canary: gone",
        "server alpaca-canary: gone",
    ]
    for secret in (account["api_key"], model.destination["secret_key"]):
        assert secret not in started.output + ended.output


def test_files_for_gitops_and_what_is_refused(playbooks, tmp_path):
    folder = tmp_path / "gitops"
    cpu = {"accelerator": {"type": "cpu"}, "route": ROUTE}
    tried = {"image": "example.test/server:2", "settings": {"seed": 2}, "replicas": 2, "weight": 20}
    llama = {**cpu, "name": "llama", "model": {"name": "test/a"}, "settings": {"max_model_len": 64}, "replicas": 3}
    other = {**cpu, "name": "other", "model": {"name": "test/b"}, "canary": {"verdict": "roll_back"}}
    variables = {"serving_namespace": "models", "serving_render_to": str(folder)}

    def files():
        found = {}
        for path in sorted(folder.glob("*/*.yaml")):
            obj = yaml.safe_load(path.read_text())
            check(obj)
            found[path.parent.name, obj["kind"]] = obj.get("spec", {})
        return found

    def server(name):
        pods = files()[name, "Deployment"]
        container = pods["template"]["spec"]["containers"][0]
        return pods["replicas"], container["image"].rpartition("/")[2], sorted(set(container["args"]) & known)

    known = {"--max-model-len=64", "--seed=2"}
    # Two with errors of the module, and one that is told before anything is done.
    broken = {**cpu, "name": "broken", "model": {"name": "test/c"}, "image": "example.test/server"}
    trial = {**cpu, "name": "trial", "model": {"name": "test/d"}, "canary": {"settings": {"unheard_of": 1}}}
    refused = [
        {**llama, "route": None, "canary": tried},
        {**other, "canary": {"model": {"name": "test/a"}}},
        {"name": "other-canary", "state": "absent"},
        {"name": "homeless", "namespace": "", "state": "absent"},
    ]
    first, results = run(
        playbooks, [role({**llama, "canary": tried}, other, broken, trial), told(*refused)], **variables
    )
    served, removed, failed, unserved = results[0]
    assert [(item["name"], item["changed"], item["failed"]) for item in results[0]] == [
        ("llama", True, False),
        ("other", True, False),
        ("broken", False, True),
        ("trial", False, True),
    ]
    assert "does not say which one" in failed["msg"] and "trial-canary: " in unserved["msg"]
    assert failed["msg"] in first.output.rpartition("Check that nothing failed")[2]
    assert served["canary"]["changed"] and not removed["canary"]["changed"]
    for text in (
        "The canary of llama is to get requests",
        "Who asks other for test/b would get errors",
        "models/other-canary would be two instances",
        "homeless has no namespace",
    ):
        assert text in results[1]

    assert {name for name, _kind in files()} == {"llama", "llama-canary", "other"}
    assert server("llama") == (3, server("other")[1], ["--max-model-len=64"])
    assert server("llama-canary") == (2, "server:2", ["--max-model-len=64", "--seed=2"])
    backends = [{"name": "llama", "weight": 80}, {"name": "llama-canary", "weight": 20}]
    usual = {"kind": "Service", "port": 8000}
    assert files()["llama", "HTTPRoute"]["rules"][0]["backendRefs"] == [{**usual, **backend} for backend in backends]
    assert ("llama-canary", "HTTPRoute") not in files()

    _done, (promoted,) = run(playbooks, [role({**llama, "canary": {**tried, "verdict": "promote"}})], **variables)
    assert [promoted[0]["changed"], promoted[0]["canary"]["changed"]] == [True, True]
    assert {name for name, _kind in files()} == {"llama", "other"}
    assert server("llama") == (3, "server:2", ["--max-model-len=64", "--seed=2"])
    assert files()["llama", "HTTPRoute"]["rules"][0]["backendRefs"] == [{**usual, "name": "llama"}]


def test_options_are_those_of_the_module():
    spec = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    names = argument_spec().keys() - ARGUMENTS.keys() - {"render_to"}
    instance = spec["serving_instances"]["options"]
    assert instance.keys() == names | {"canary"}
    assert spec["serving_defaults"]["options"].keys() == names - {"name"}
    its_own = {"name", "namespace", "state", "engine", "route", "wait", "rollback", "kserve"}
    assert instance["canary"]["options"].keys() == names - its_own | {"weight", "verdict"}
    assert all(option["type"] == argument_spec()[name]["type"] for name, option in instance.items() if name != "canary")
