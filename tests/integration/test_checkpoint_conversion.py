# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""checkpoint_conversion: real Jobs, in whose image stand-ins of gcloud and the converter are (tests/cluster/stand_ins)."""

from __future__ import annotations

import base64
import secrets

import pytest
from kube_proxy import parted
from servers import Servers

MODULE = "modelops.serving.checkpoint_conversion"


@pytest.mark.usefixtures("requires_nodes")
def test_a_conversion_that_fails_and_then_ends_well(cluster, namespace, playbooks, api_proxy):
    if not cluster.image.startswith("modelops.serving/"):
        pytest.skip(f"{cluster.image} has no converter")
    api_proxy.add("^/mark/", status=200)
    revoked, key = f"revoked-{secrets.token_hex(8)}", secrets.token_hex(8)
    usual = {"name": "gemma", "namespace": namespace, "wait_timeout": 90}
    loader = {
        "model": "google/gemma/maxtext/7b-it/2",
        "bucket": "models",
        "secret": "kaggle",
        "accelerator": {"generation": "v5e", "topology": "2x4"},
        "image": cluster.image,
    }
    convert = {MODULE: {**usual, "jetstream": loader}}
    large = {"size": "70b", "source": "gs://models/llama", "destination": "gs://models/pax", "image": cluster.image}
    refused = {MODULE: {**usual, "name": "llama", "saxml": large}}
    absent = {MODULE: {**usual, "state": "absent"}}

    def kaggle(key):
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "kaggle", "namespace": namespace}}
        data = {name: base64.b64encode(value.encode()).decode() for name, value in (("username", "a"), ("key", key))}
        return {**secret, "data": data}

    def marked(task, **keywords):
        # A condition is looked at right before its task, so the marks part the requests of the tasks.
        mark = f"lookup('ansible.builtin.url', '{api_proxy.url}/mark/') is truthy"
        return {**task, **keywords, "when": mark, "ignore_errors": True}

    tasks = [
        *(marked(convert, check_mode=True), marked(convert)),
        *({"modelops.serving.kube_objects": {"definitions": kaggle(key)}}, marked(convert), marked(convert)),
        *(marked(refused), marked(absent), marked(absent)),
    ]
    servers = Servers(cluster, namespace, None)
    servers.client.apply(kaggle(revoked), manager="modelops.serving")
    with servers.tpu_node("tpu-v5-lite-podslice", "2x4", chips=8):
        run = playbooks.tasks(tasks, "--diff", env=api_proxy.environment).ok()
    predicted, failed, _secret, repaired, again, refused, removed, gone = run.results

    def actions(result):
        return {item["kind"]: item["action"] for item in result["objects"]}

    # Before anything is made, check mode says what that will be.
    assert predicted["changed"] and not predicted["complete"]
    assert actions(predicted) == actions(failed) == {"ServiceAccount": "create", "Job": "create"}
    # One command that fails makes the Job fail, and the module with it: the program itself goes on, and would end with 0.
    assert failed["failed"] and f"Job {namespace}/gemma failed" in failed["msg"]
    assert "401 Client Error: Unauthorized for google/gemma/maxtext/7b-it/2" in failed["msg"]
    assert "Completed" not in failed["msg"] and "exit" in failed["msg"] and failed["error"]["hint"]
    # What has failed is replaced, and what has ended well is left alone.
    assert actions(repaired) == {"ServiceAccount": "none", "Job": "replace"} and repaired["complete"]
    assert not again["changed"] and again["complete"] and again["diff"] == []
    assert again["checkpoint"] == "gs://models/final/unscanned/gemma_7b-it/0/checkpoints/0/items"
    assert "llama needs nodes for 1 Pods with 600G of memory each; there is room for 0" in refused["msg"]
    assert "n2-highmem-96" in refused["error"]["hint"]
    assert actions(removed) == {"ServiceAccount": "delete", "Job": "delete"}
    assert not gone["changed"] and gone["objects"] == []

    requests = parted(api_proxy.passed)
    wrote = [any(one.writes for one in part) for part in requests]
    # The Secret was written before the Job that replaces the failed one.
    assert wrote == [False, True, True, False, False, True, False]
    assert not [one for one in requests[3] if one.method != "GET"]
    shown = run.output + str(run.results)
    assert revoked not in shown and key not in shown
