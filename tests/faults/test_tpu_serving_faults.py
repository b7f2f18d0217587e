# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tpu_serving when something is missing, wrong or broken: what it says, what it leaves, how it goes back.

Everything fails at the same time, so that the whole takes as long as the slowest.
"""

from __future__ import annotations

import re

import pytest
from servers import at_once, servers

__all__ = ["servers"]

V6E = ("tpu-v6e-slice", "2x2", 4)


def tpu(generation, topology):
    return {"generation": generation, "topology": topology}


@pytest.fixture
def model(sync, hub):
    """A small model with a complete copy, at the path that its name gives it."""
    weights = b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}'
    files = {"config.json": b"{}", "model.safetensors": len(weights).to_bytes(8, "little") + weights + b"abcd"}
    sync.repo = sync.name = f"test/small-{sync.prefix}"
    hub.add_repository(sync.repo, files)
    assert sync.run()["destinations"][0]["status"] == "complete"
    return sync


def text(result):
    return f"{result['msg']} {result['error']}"


def test_what_is_said_of_each_failure_and_a_rollback(servers, playbooks, model):
    nothing = {"stream": {**servers.options()["model"]["stream"], "url": f"s3://{model.bucket}/nothing/here"}}
    no_keys = {"stream": {**servers.options()["model"]["stream"], "credentials_secret": "absent"}}
    model.client.put_object(Bucket=model.bucket, Key=f"{model.prefix}/cut/off/.model-sync/pending.json", Body=b"{}")
    refused = {"keywords": {"ignore_errors": True}}
    copies = {  # not at once with the others: these fail before a job begins
        "no-manifest": servers.task(
            name="no-manifest", model={"name": "not/there"}, manifest=model.destination, **refused
        ),
        "partial": servers.task(name="partial", model={"name": "cut/off"}, manifest=model.destination, **refused),
    }
    tasks = {
        # Refused before anything is written.
        "no-node": servers.task(name="no-node", accelerator=tpu("v5p", "2x2x1")),
        "no-topology": servers.task(name="no-topology", accelerator=tpu("v6e", "2x4")),
        "no-token": servers.task(name="no-token", token_secret={"name": "absent"}),
        # Refused by the cluster, or by the server itself. After 28 seconds a server that crashes waits for its third start.
        "misplaced": servers.task(name="misplaced", accelerator=tpu("v6e", "2x4"), check_nodes=False, wait_timeout=10),
        "no-keys": servers.task(name="no-keys", model=no_keys),
        "no-model": servers.task(name="no-model", model=nothing, wait_timeout=28),
        "no-image": servers.task(name="no-image", image="127.0.0.1:1/none:1", wait_timeout=20),
        "unready": servers.task(name="unready", env={"STANDIN_NEVER_READY": "1"}, wait_timeout=20),
        "mute": servers.task(name="mute", env={"STANDIN_NO_COMPLETION": "1"}),
        # These do not fail.
        "placed": servers.task(name="placed", accelerator=tpu("v6e", "2x2"), wait=False),
        "llama": servers.task(max_surge=1),
    }
    broken = {"max_surge": 1, "args": ["--no-such-option"], "rollback": True, "wait_timeout": 15}
    rollback = servers.task(**broken, keywords={"ignore_errors": True})
    with servers.node_without_kubelet(*V6E) as node:
        run = playbooks.tasks(
            [*copies.values(), *at_once(list(tasks.values())), rollback, servers.task(max_surge=1), servers.info()],
            env=servers.cluster.environment,
        ).ok()
        (placed,) = servers.pods("placed")
    *_started, rolled_back, again, info = run.results
    results = dict(zip(copies, run.results, strict=False))
    results |= zip(tasks, run.results[len(copies) + len(tasks) :], strict=False)
    said = {name: text(result) for name, result in results.items() if result.get("failed")}
    assert said.keys() == (copies | tasks).keys() - {"placed", "llama"}, run.output[-6000:]

    assert "google.com/tpu" in said["no-node"] and "tpu-v5p-slice" in said["no-node"]
    assert "2x4" in said["no-topology"] and "1 tpu-v6e-slice 2x2" in said["no-topology"]
    assert f"Secret {servers.namespace}/absent is not there" in said["no-token"]
    assert "There is no copy of not/there" in said["no-manifest"] and "model_sync" in said["no-manifest"]
    assert "cut/off" in said["partial"] and "is partial" in said["partial"]
    for name in ("no-node", "no-topology", "no-token", "no-manifest", "partial"):
        assert servers.get("Deployment", name) is None and servers.get("ServiceAccount", name) is None

    assert "FailedScheduling" in said["misplaced"]
    assert re.search(r"cloud\.google\.com/gke-tpu-topology=2x4, nodes have [\dx, ]*2x2", said["misplaced"])
    assert "CreateContainerConfigError" in said["no-keys"]
    assert f"Secret {servers.namespace}/absent does not exist" in said["no-keys"]
    assert f"There is no config.json in s3://{model.bucket}/nothing/here" in said["no-model"]
    assert "127.0.0.1:1/none:1" in said["no-image"] and "Pull" in said["no-image"]
    assert "Startup probe failed" in said["unready"] and "503" in said["unready"]
    assert "without a completion" in said["mute"] and results["mute"]["ready_replicas"] == 1

    # The scheduler itself put it on the only node whose labels, chips and taint it stands.
    assert placed["spec"]["nodeName"] == node

    assert results["llama"]["completion"] == servers.weights()
    assert rolled_back["failed"] and rolled_back["rolled_back"]
    assert "unrecognized arguments: --no-such-option" in text(rolled_back)
    assert "as it was before" in rolled_back["msg"]
    assert not again["changed"] and again["ready_replicas"] == 1
    assert "--no-such-option" not in servers.container("llama")["args"]
    assert servers.completion("llama") == servers.weights()

    problems = {item["name"]: {one["reason"] for one in item["problems"]} for item in info["instances"]}
    assert not problems["llama"] and not problems["mute"]
    assert "CreateContainerConfigError" in problems["no-keys"]
    assert "FailedScheduling" in problems["misplaced"]
    assert "Unhealthy" in problems["unready"]
    # Neither keys of the store nor any other secret is told.
    assert model.destination["secret_key"] not in run.output
