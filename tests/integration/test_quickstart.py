# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook of `make quickstart`, with a cluster, as it stands in the checkout."""

from __future__ import annotations

import json
import secrets

import yaml
from kubernetes.client import CoreV1Api
from local_services.hub_service import HubService
from local_services.llama_service import LlamaService
from local_services.seaweedfs import SeaweedFS
from runner import ROOT


def test_quickstart(playbooks, cluster, tmp_path):
    state, space = tmp_path / "state", f"quickstart-{secrets.token_hex(4)}"
    settings = {
        "local_services_state_dir": str(state),
        "quickstart_namespace": space,
        # Without the one of many files.
        "model_sync_models": [{"source": {"repo": repo}} for repo in ("local/sharded-llama", "local/tiny-gguf")],
    }
    run = playbooks.playbook(
        ROOT / "playbooks" / "quickstart.yml", "-e", json.dumps(settings), KUBECONFIG=cluster.kubeconfig
    ).ok()

    assert run.output.count("complete and verified at") == 2
    assert f"The cluster accepted them, too, in namespace {space}" in " ".join(run.output.split())
    # What was measured, in words and as files.
    (report,) = (state / "quickstart" / "benchmarks").glob("*/index.html")
    assert f"The report of that is {report}" in run.output
    summary = json.loads((report.parent / "summary.json").read_text())
    assert [stage["sent"] for stage in summary["stages"]] == [15, 60]
    # A model of random weights may end an answer before it has begun.
    assert all(stage["completed"] > 0.8 * stage["sent"] for stage in summary["stages"])
    rendered = [yaml.safe_load(file.read_text()) for file in (state / "quickstart" / "objects").iterdir()]
    (server,) = (obj for obj in rendered if obj["kind"] == "Deployment")
    (container,) = server["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == {"google.com/tpu": "1"}
    # What it leaves are files.
    assert not any(service(state).status()["running"] for service in (SeaweedFS, HubService, LlamaService))
    assert space not in [found.metadata.name for found in CoreV1Api(cluster.client()).list_namespace().items]
