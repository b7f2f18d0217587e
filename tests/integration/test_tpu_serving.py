# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tpu_serving and tpu_serving_info: real runs of ansible-playbook, real Pods that load what the sync put into the store."""

from __future__ import annotations

import pytest
import yaml
from kube_proxy import parted
from kubernetes.client import CoreV1Api
from schemas import check
from servers import servers

__all__ = ["servers"]

TPU = {"generation": "v5e", "topology": "1x1"}


@pytest.fixture
def model(sync):
    """A complete copy, at the path that its name gives it."""
    sync.name = sync.repo
    assert sync.run()["destinations"][0]["status"] == "complete"
    return sync


def test_twelve_steps_beside_another_instance(servers, playbooks, model, api_proxy):
    api_proxy.add("^/mark/", status=200)
    create = servers.task(accelerator=TPU, manifest=model.destination)
    modify = servers.task(accelerator=TPU, manifest=model.destination, settings={"max_model_len": 2048})
    other = servers.task(name="other", wait=False)
    restart = servers.task(name="other", wait=False, state="restarted")

    def marked(mark, task, **keywords):
        # A condition is looked at right before its task, so the marks part the requests of the tasks.
        return {**task, **keywords, "when": f"lookup('ansible.builtin.url', '{api_proxy.url}/mark/{mark}') is truthy"}

    def four_times(task):
        return [marked(number, task, check_mode=number % 2 == 0) for number in range(4)]

    accounts = CoreV1Api(servers.cluster.client())
    # Two chips, so that the Pod of an update need not wait until its predecessor has given back the only one.
    with servers.tpu_node("tpu-v5-lite-podslice", "1x1", chips=2) as node:
        served = playbooks.tasks(
            [other, *four_times(create), *four_times(modify), servers.info()], "--diff", env=api_proxy.environment
        ).ok()
        beside, *steps, info = served.results
        (pod,), (pod_beside,) = servers.pods("llama"), servers.pods("other")
        args = pod["spec"]["containers"][0]["args"]
        assert pod["spec"]["nodeName"] == node and "--max-model-len=2048" in args
        assert servers.completion("llama") == servers.completion("other") == servers.weights()
        default = accounts.read_namespaced_service_account("default", servers.namespace)
        gone = playbooks.tasks(
            [marked("restart", restart), *four_times(servers.absent())], "--diff", env=api_proxy.environment
        ).ok()
    restarted, *absent = gone.results
    steps += absent
    requests = parted(api_proxy.passed)
    assert any(one.writes for one in requests.pop(8))

    assert beside["changed"] and "completion" not in beside
    assert [step["changed"] for step in steps] == [True, True, False, False] * 3
    for number, passed in enumerate(requests):
        assert any(one.writes for one in passed) == (number in (1, 5, 9)), number
    for predicted, actual in zip(steps[::2], steps[1::2], strict=True):
        assert predicted["objects"] == actual["objects"]
        assert len(predicted["diff"]) == len(actual["diff"])
    kinds = {"ServiceAccount", "Deployment", "Service", "PodDisruptionBudget"}
    assert {item["kind"] for item in steps[1]["objects"]} == {item["kind"] for item in steps[9]["objects"]} == kinds
    assert [item["kind"] for item in steps[5]["objects"] if item["action"] != "none"] == ["Deployment"]

    endpoint = f"http://llama.{servers.namespace}.svc:8000"
    for number in (1, 3, 5, 7):
        assert (steps[number]["replicas"], steps[number]["ready_replicas"]) == (1, 1)
        assert (steps[number]["endpoint"], steps[number]["models"]) == (endpoint, [model.repo])
        assert steps[number]["completion"] == servers.weights()
        assert ("time_to_ready" in steps[number]) == (number in (1, 5))
    assert len(requests[3]) <= 40  # one for each kind that the cluster serves
    assert f"tpu_serving [localhost] llama: waiting for Deployment {servers.namespace}/llama: " in served.output

    found = {item["name"]: item for item in info["instances"]}
    assert found.keys() == {"llama", "other"}
    for name, item in found.items():
        assert item == {
            "name": name,
            "namespace": servers.namespace,
            "engine": "vllm",
            "image": servers.cluster.image,
            "endpoint": f"http://{name}.{servers.namespace}.svc:8000",
            "replicas": 1,
            "ready_replicas": 1,
            "ready": True,
            "status": "",
            "problems": [],
        }

    # The other instance, the data and what belongs to nobody are as they were; only its Pod is another one.
    assert servers.ours() == sorted(f"{kind} other" for kind in kinds)
    assert [item["kind"] for item in restarted["objects"] if item["action"] != "none"] == ["Deployment"]
    new = servers.wait_for(lambda: servers.ready_pod("other"))
    assert new["metadata"]["uid"] != pod_beside["metadata"]["uid"]
    assert servers.completion("other") == servers.weights()
    after = accounts.read_namespaced_service_account("default", servers.namespace)
    assert after.metadata.resource_version == default.metadata.resource_version
    model.assert_complete()


def test_files_for_gitops(servers, playbooks, tmp_path, api_proxy):
    task = servers.task(accelerator=TPU, render_to=str(tmp_path / "gitops"), argo=True)
    written, again = playbooks.tasks([task, task], env=api_proxy.environment).ok().results
    assert (written["changed"], again["changed"]) == (True, False)
    assert api_proxy.passed == []
    rendered = [yaml.safe_load(path.read_text()) for path in sorted((tmp_path / "gitops").iterdir())]
    assert {obj["kind"] for obj in rendered} == {"ServiceAccount", "Deployment", "Service", "PodDisruptionBudget"}
    for obj in rendered:
        check(obj)
        assert obj["metadata"]["namespace"] == servers.namespace
        assert obj["metadata"]["labels"]["app.kubernetes.io/instance"] == "llama"
