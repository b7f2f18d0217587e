# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""inference_benchmark_job: real runs of ansible-playbook, real Pods that load the server of tokens."""

from __future__ import annotations

import json
import secrets
import threading
import urllib.parse
from pathlib import Path

import pytest
from ansible.module_utils.common.arg_spec import ModuleArgumentSpecValidator
from bench_runs import _token_server, bench
from schemas import check
from test_cluster.common import cache_directory, locked
from token_server import MODEL

from ansible_collections.modelops.serving.plugins.module_utils._bench import records
from ansible_collections.modelops.serving.plugins.module_utils._bench.engines import BUILTIN, ENGINES
from ansible_collections.modelops.serving.plugins.module_utils._bench_job.build import build
from ansible_collections.modelops.serving.plugins.module_utils._bench_job.options import spec_of
from ansible_collections.modelops.serving.plugins.module_utils._measure.options import workload_of
from ansible_collections.modelops.serving.plugins.modules.inference_benchmark_job import argument_spec

__all__ = ["_token_server", "bench"]

MODULE = "modelops.serving.inference_benchmark_job"
LENGTHS = {"input_tokens": {"mean": 12}, "output_tokens": {"mean": 8}}
#: A stage that is over soon, and one that nobody waits for.
LONG = [{"rate": 10, "requests": 10}, {"rate": 10, "duration": 60}]


@pytest.fixture
def plain_node():
    """Until the end, no other test makes the node one with TPUs, on which no benchmark runs."""
    with locked(cache_directory() / "tpu-node"):
        yield


@pytest.fixture
def options(bench, cluster, namespace, requires_nodes, plain_node):
    """Options of the module. The machine has few cores, so that figures need not be good."""
    address = cluster.expose(urllib.parse.urlsplit(bench.server.url).port)

    def make(**changes):
        return {
            "namespace": namespace,
            "name": "load",
            "engine": "builtin",
            "endpoint": address,
            "model": MODEL,
            "data": LENGTHS,
            "stages": [{"rate": 10, "requests": 20}, {"concurrency": 4, "requests": 24}],
            "image": cluster.image,
            "cpu": "500m",
            "fail_on": [],
            "results": str(bench.folder / "results"),
            "interval": 0.5,
            "wait_timeout": 120,
            **changes,
        }

    return make


def left(cluster, namespace: str) -> list[str]:
    """What is there of a benchmark, but for what is being removed."""
    found = json.loads(cluster.kubectl("get", "jobs,configmaps,secrets", "--namespace", namespace, "--output=json"))
    ours = [item for item in found["items"] if item["metadata"].get("labels", {}).get("app.kubernetes.io/instance")]
    return sorted(item["kind"] for item in ours if "deletionTimestamp" not in item["metadata"])


@pytest.mark.parametrize("engine", [BUILTIN, *ENGINES])
def test_objects_are_such_as_a_current_kubernetes_knows(engine):
    """Field by field: an old API server drops unknown ones silently."""
    given = {
        "name": "load",
        "namespace": "ns",
        "results": "results",
        "engine": engine,
        "parallelism": 2,
        "endpoint": "http://server",
        "model": "org/model",
        "data": LENGTHS,
        "stages": [{"rate": 4, "requests": 8}],
        "endpoint_api_key": secrets.token_hex(8),
        "token_secret": {"name": "hub"},
        "service_account": "robot",
        "image_pull_secrets": ["registry"],
        "node_selector": {"pool": "cpu"},
        "env": {"NUMBER": 1},
        "labels": {"team": "ml"},
        "annotations": {"note": True},
        "tolerations": [{"key": "a", "operator": "Exists"}],
    }
    found = ModuleArgumentSpecValidator(argument_spec()).validate(given)
    assert not found.error_messages
    params = found.validated_parameters
    made = build(spec_of(params, workload_of(params)), b"zip", "run")
    assert [item["kind"] for item in made] == ["ConfigMap", "Secret", "Job", "Job"]
    for item in made:
        check(item)


def test_plays(playbooks, bench, options, cluster, api_proxy, namespace):
    if not cluster.image.startswith("modelops.serving/"):
        pytest.skip(f"{cluster.image} has no stand-in for a load tool")
    key, folder = secrets.token_hex(16), bench.folder / "results"
    shared = options(parallelism=2, endpoint_api_key=key, slo={"error_rate": 0.5}, warmup={"requests": 2})
    tool = options(engine="vllm_bench", endpoint_api_key=key, run_id="tool", stages=[{"rate": 10, "requests": 12}])
    run = playbooks.tasks(
        [
            {MODULE: shared, "check_mode": True, "environment": api_proxy.environment},
            {MODULE: shared},
            {MODULE: options(model="other/model"), "ignore_errors": True},
            {MODULE: tool},
            {MODULE: {**tool, "run_id": "broken", "tokenizer": "no/tokenizer"}, "ignore_errors": True},
            {MODULE: {"namespace": namespace, "name": "load", "state": "absent"}},
        ],
        "-vvvv",
        env=cluster.environment,
    ).ok()
    checked, done, unknown, measured, broken, gone = run.results

    # Check mode sends nothing, and nothing that would stay.
    assert all("dryRun=All" in request.target for request in api_proxy.writes())
    assert [item["kind"] for item in checked["objects"]] == ["ConfigMap", "Secret", "Job", "Job"]
    assert checked["jobs"] == ["load-0", "load-1"] and "run_id" not in checked

    # Two Pods as one run: all of it, at its own rate, each request once.
    assert (done["verdict"], done["canary_verdict"], done["stopped"]) == ("passed", "promote", False)
    assert [(stage["asked"], stage["sent"], stage["completed"]) for stage in done["stages"]] == [
        (10, 20, 20),
        (4, 24, 24),
    ]
    place = Path(done["folder"])
    assert {record.run_id for record in records.read(place / records.FILE)} == {place.name}
    environment = json.loads((place / "environment.json").read_text())
    pods = {shard["client_pod"] for shard in environment["shards"]}
    assert len(pods) == 2 and environment["engine"] == "builtin" and not (place / "shards").exists()
    assert done["preflight"]["tokens"] == 4 and Path(done["report"]).stat().st_size > 10_000
    assert "inference_benchmark_job [localhost] load: 2 Pods are ready, round trip" in run.output

    assert unknown["error"]["kind"] == "EndpointError" and unknown["error"]["hint"] == f"It serves: {MODEL}."
    assert "Pod " in unknown["msg"] and "does not serve the model 'other/model'" in unknown["msg"]

    # The tool's own command has run, and what it has left is the same kind of run.
    (stage,) = measured["stages"]
    assert (stage["sent"], stage["completed"], measured["run_id"]) == (12, 12, "tool")
    assert stage["latency"]["ttft"]["p50"] >= 20
    assert json.loads((folder / "tool" / "environment.json").read_text())["engine"] == "vllm_bench"
    assert (folder / "tool" / "shards" / "0" / "vllm_bench.log").read_text() == "Sending with the key ***\n"

    # One that fails tells why in its own words, and its Job stays until it is removed.
    assert broken["error"]["kind"] == "ToolError" and "ended with status 1 in stage-0-repeat-0" in broken["msg"]
    assert "no/tokenizer is not a local folder" in (folder / "broken" / "shards" / "0" / "vllm_bench.log").read_text()
    assert {item["kind"] for item in gone["objects"]} == {"ConfigMap", "Secret", "Job"}
    assert left(cluster, namespace) == []

    texts = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert len(texts) > 20 and not any(key.encode() in text for text in [*texts, run.output.encode()])


def test_a_run_is_gone_on_with_and_loses_a_pod(playbooks, bench, options, cluster, namespace):
    long = options(stages=LONG, parallelism=2)
    flag, over = bench.folder / "attached", threading.Event()
    killer = threading.Thread(target=_kill, args=(cluster, namespace, flag, over))
    killer.start()
    run = playbooks.tasks(
        [
            {MODULE: {**long, "wait_timeout": 8}, "ignore_errors": True},
            {MODULE: {**long, "seed": 1}, "ignore_errors": True},
            {"ansible.builtin.copy": {"dest": str(flag), "content": "now"}},
            {MODULE: long, "ignore_errors": True},
        ],
        env=cluster.environment,
    )
    over.set()
    killer.join()
    late, refused, _flag, cut = run.ok().results
    assert late["error"]["kind"] == "WaitError" and "Run again to go on with them" in late["msg"]
    assert refused["error"]["kind"] == "InputError" and "state: absent" in refused["error"]["hint"]
    assert cut["run_id"] == late["run_id"] and {item["action"] for item in cut["objects"]} == {"none"}

    # A Pod that is killed takes with it what came after the first stage, and no more. The others are not left alone.
    assert cut["error"]["kind"] == "LostError" and "is gone: it was deleted" in cut["msg"]
    assert cut["folder"] in cut["error"]["hint"] and cut["stopped"] is True
    assert cut["stages"][0]["completed"] == 10
    assert "Job" not in left(cluster, namespace)


def _kill(cluster, namespace: str, flag: Path, over: threading.Event) -> None:
    """Kill a Pod once the one who goes on with the run has its results of the first stage."""
    while not over.wait(0.2):
        parts = [path for path in flag.parent.glob("results/*/shards/*/stages.json") if flag.exists()]
        if len([path for path in parts if path.stat().st_mtime > flag.stat().st_mtime]) == 2:
            pod = json.loads((parts[0].parent / "environment.json").read_text())["client_pod"]
            cluster.kubectl("delete", "pod", pod, "--namespace", namespace, "--grace-period=0", "--force")
            return
