# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From options to what each Pod is given."""

from __future__ import annotations

import json
import secrets

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._bench.engines import BUILTIN, ENGINES
from ansible_collections.modelops.serving.plugins.module_utils._bench.errors import InputError
from ansible_collections.modelops.serving.plugins.module_utils._bench.workload import parse
from ansible_collections.modelops.serving.plugins.module_utils._bench_job.options import shared_cores
from ansible_collections.modelops.serving.plugins.module_utils._mounts import SecretKey
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._bench_job.given import params, spec


def plan(files):
    return json.loads(files["plan.json"])


def test_each_pod_gets_its_part_and_one_of_them_asks_the_server():
    first, second = map(plan, spec(parallelism=2, server_metrics=["http://server:8000/metrics"]).shards)
    stage = {"rate": 5.0, "duration": 30.0}
    assert [part["workload"]["stages"] for part in (first, second)] == [[stage], [{**stage, "phase": 0.5}]]
    assert first["workload"]["seed"] != second["workload"]["seed"]
    assert (first["server_metrics"], second["server_metrics"]) == (["http://server:8000/metrics"], [])
    assert (first["engine"], first["engine_plan"], first["preflight"]) == (BUILTIN, None, True)
    parse(first["workload"])  # the Pod can read it


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_tools_get_their_plan_and_the_variable_of_the_key(engine):
    made = spec(engine=engine, endpoint_api_key=secrets.token_hex(8))
    assert plan(made.shards[0])["engine_plan"]["engine"] == engine
    assert plan(made.shards[0])["engine_plan"]["steps"]
    assert made.pod.image == ENGINES[engine].image and made.pod.memory == "4Gi"
    key = SecretKey("load-api-key", "api-key")
    assert made.secrets == {"OPENAI_API_KEY": key, ENGINES[engine].key: key}


def test_a_key_that_is_there_makes_no_secret_and_no_key_none():
    there = spec(endpoint_api_key="x" * 20, api_key_secret={"name": "mine"})
    assert (there.key, there.secrets) == (None, {"OPENAI_API_KEY": SecretKey("mine", "api-key")})
    assert (spec().key, spec().secrets) == (None, {})


def test_files_of_this_host_come_along(tmp_path):
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "hä"}\n' * 4, encoding="utf-8")
    (tmp_path / "ca.pem").write_text("certificates")
    data = {"type": "jsonl", "path": str(tmp_path / "prompts.jsonl"), "output_tokens": {"mean": 8}}
    made = spec(data=data, ca_bundle=str(tmp_path / "ca.pem"), engine="guidellm")
    (files,) = made.shards
    assert files["dataset.jsonl"] == '{"prompt": "hä"}\n' * 4 and files["ca.pem"] == "certificates"
    assert plan(files)["workload"]["data"]["path"] == "/bench/dataset.jsonl"
    assert made.environment["SSL_CERT_FILE"] == made.environment["REQUESTS_CA_BUNDLE"] == "/bench/ca.pem"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"name": "x" * 60}, "60 characters"),
        ({"parallelism": 0}, "parallelism is 0"),
        ({"parallelism": 400}, "too small for 400 Pods"),
        ({"cpu": "many"}, "no quantity of cores"),
        ({"engine": "locust", "endpoint_validate_certs": False}, "always verifies"),
        ({"engine": "vllm_bench", "protocol": "saxml"}, "cannot do this workload"),
        ({"ca_bundle": "/nowhere/ca.pem"}, "cannot be read: No such file"),
        ({"engine": "aiperf", "protocol": "jetstream", "model": None}, "needs a tokenizer|cannot do this workload"),
    ],
)
def test_mistakes(changes, told):
    with pytest.raises(InputError, match=told):
        spec(**changes)


def test_time_for_everything():
    plain = spec(request_timeout=10)
    assert plain.deadline == 900 + 120 + 30 + 10 + 3600
    assert spec(request_timeout=10, engine="locust").deadline == plain.deadline + 60
    closed = spec(request_timeout=10, stages=[{"concurrency": 5, "requests": 50}], repeats=2)
    assert closed.deadline == 900 + 120 + 2 * (10 * 10 + 10) + 3600
    assert spec(deadline=77).deadline == 77


def test_a_part_of_a_core_is_warned_of():
    assert shared_cores(params()) is None
    assert "no whole number" in shared_cores(params(cpu="1500m"))
