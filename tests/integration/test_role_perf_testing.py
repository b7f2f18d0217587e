# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role perf_testing: workloads from the controller against the server of tokens, results to a folder and to Pub/Sub."""

from __future__ import annotations

import json
import secrets

import pytest
from bench_runs import _token_server, bench
from runner import ROOT
from token_server import MODEL

__all__ = ["_token_server", "bench"]

ROLE = "modelops.serving.perf_testing"
PLAYBOOK = ROOT / "playbooks" / "perf_testing.yml"
TOPIC = "pubsub/v1/projects/demo-project/topics/metrics"
SUBSCRIPTION = "pubsub/v1/projects/demo-project/subscriptions/metrics-bigquery"
EASY = {"name": "easy", "slo": {"ttft_p50_ms": 10_000, "error_rate": 0.5}}
HARD = {"name": "hard", "slo": {"ttft_p50_ms": 0.01}}


@pytest.fixture
def variables(bench, tmp_path):
    copies = tmp_path / "copies"
    copies.mkdir()
    return {
        "perf_testing_folder": str(tmp_path / "results"),
        "perf_testing_workloads": [EASY],
        "perf_testing_defaults": {
            "endpoint": bench.server.url,
            "model": MODEL,
            "data": {"input_tokens": {"mean": 12}, "output_tokens": {"mean": 8}},
            "stages": [{"concurrency": 4, "requests": 24}],
        },
        "perf_testing_sinks": [{"type": "local", "path": str(copies)}, {"type": "pubsub", "topic": "metrics"}],
        "perf_testing_infrastructure": {"dataset": "benchmarks", "topic": "metrics"},
    }


@pytest.fixture
def environment(google):
    apis = ("pubsub", "bigquery", "cloudresourcemanager")
    return {**google.environment, **{f"GCP_{api.upper()}_ENDPOINT": google.endpoint(api) for api in apis}}


def role(tasks_from="main", **variables):
    """The role, whether it fails or not, and what the caller sees of it."""
    included = {"ansible.builtin.include_role": {"name": ROLE, "tasks_from": tasks_from}, "vars": variables}
    failed = {"ansible.builtin.set_fact": {"failure": "{{ ansible_failed_result.msg }}"}}
    names = ("perf_testing_results", "perf_testing_verdicts", "perf_testing_canary_verdict", "failure")
    facts = ", ".join(f"'{name}': {name} | default(none)" for name in names)
    keep = {"ansible.builtin.set_fact": {"said": "{{ said | default([]) + [{" + facts + "}] }}", "failure": ""}}
    return [{"block": [included], "rescue": [failed]}, keep]


def run(playbooks, steps, *arguments, env, **variables):
    """What the caller of the role has seen after each of these lists of tasks, and the output."""
    path, said = playbooks.directory / "role.yml", playbooks.directory / "said.json"
    keep = {"results_file": {"path": str(said), "content": "{{ said | to_json }}"}}
    tasks = [task for step in steps for task in step]
    path.write_text(
        json.dumps([{"hosts": "localhost", "gather_facts": False, "vars": variables, "tasks": [*tasks, keep]}])
    )
    done = playbooks.playbook(path, *arguments, **env).ok()
    return json.loads(said.read_text()), done.output


def test_measured_sent_later_and_removed(playbooks, bench, google, variables, environment, tmp_path):
    file = tmp_path / "variables.json"
    file.write_text(json.dumps(variables))
    predicted = playbooks.playbook(PLAYBOOK, "-e", f"@{file}", "--check", "--diff", **environment).ok()
    assert [request for request in google.requests if request.writes] == []
    assert not (tmp_path / "results").exists() and predicted.recap["changed"] == 2

    key = secrets.token_hex(16)
    away = {"name": "away", "endpoint": "http://127.0.0.1:9"}
    google.fail("POST .*:publish", times=2, status=403, message="Not now.")
    steps = [
        role(perf_testing_workloads=[{**EASY, "api_key": key}, HARD, away]),
        role("results"),
        role(perf_testing_baseline="last_good"),
        role("infrastructure", perf_testing_infrastructure_state="absent"),
        role(perf_testing_workloads=[EASY, EASY, {"where": "cluster", "name": "far"}, {}]),
    ]
    said, output = run(playbooks, steps, "-vvvv", env=environment, **variables)
    first, sent, again, removed, wrong = said
    assert key not in output

    # One that fails keeps neither the others from being measured, nor results from being sent elsewhere.
    assert first["perf_testing_verdicts"] == {"easy": "passed", "hard": "failed", "away": "none"}
    assert first["perf_testing_canary_verdict"] == "roll_back"
    easy, hard, gone = first["perf_testing_results"]
    assert (easy["failed"], hard["failed"], gone["failed"]) == (False, True, True)
    assert "hard: " in first["failure"] and "away: " in first["failure"]
    assert "Not all results were sent: " in first["failure"] and "roles/pubsub.publisher" in first["failure"]
    assert str(tmp_path / "results") in first["failure"]
    runs = {easy["run_id"], hard["run_id"]}
    assert runs < {path.name for path in (tmp_path / "copies").iterdir()}

    # Later they are sent, each request once; what is there is not sent again.
    assert sent["failure"] in (None, "")
    assert (again["failure"], again["perf_testing_canary_verdict"]) == ("", "promote")
    (compared,) = again["perf_testing_results"]
    assert compared["comparison"]["baseline"] == easy["run_id"]
    assert removed["failure"] == "" and google.get(TOPIC) is google.get(SUBSCRIPTION) is None
    for text in (
        "easy would be two workloads",
        "far has no namespace. Set perf_testing_namespace.",
        "Workload 4 has no name.",
    ):
        assert text in wrong["failure"]
    published = [request for request in google.requests if request.path.endswith(":publish") and request.status == 200]
    assert sum(len(request.body["messages"]) for request in published) == 3 * 24


def test_in_a_cluster(playbooks, cluster, namespace, variables, tmp_path):
    """What the Pods do is shown by the tests of the module."""
    token = secrets.token_hex(16)
    given = {
        **variables,
        "perf_testing_where": "cluster",
        "perf_testing_cluster": {"kubeconfig": cluster.kubeconfig},
        "perf_testing_job_defaults": {"check_nodes": False, "engine": "builtin"},
        "perf_testing_namespace": namespace,
        "perf_testing_create_namespace": True,
        "perf_testing_workloads": [
            {**EASY, "api_key": token, "validate_certs": False},
            {**HARD, "namespace": f"{namespace}-new"},
        ],
        "perf_testing_infrastructure": {},
    }
    steps = [role(), role(perf_testing_state="absent")]
    (there, absent), output = run(playbooks, steps, "--check", "-vvvv", "--diff", env={}, **given)
    assert token not in output and not (tmp_path / "results").exists()
    found, new = there["perf_testing_results"]
    assert (there["failure"], found["where"], found["jobs"], found["changed"]) == (None, "cluster", ["easy"], True)
    assert new["skipped"] is True and "jobs" not in new
    assert absent["failure"] == ""
    assert [(gone["changed"], gone["failed"]) for gone in absent["perf_testing_results"]] == [(False, False)] * 2
