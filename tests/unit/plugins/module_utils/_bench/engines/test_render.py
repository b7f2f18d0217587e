# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import ast
import hashlib
import json
from pathlib import Path

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._bench import engines
from ansible_collections.modelops.serving.plugins.module_utils._bench.engines.engine import Job, plan
from ansible_collections.modelops.serving.plugins.module_utils._bench.errors import InputError
from ansible_collections.modelops.serving.plugins.module_utils._bench.workload import parse

STAGE = "stage-0-repeat-0"


def workload(**changes):
    return parse(
        {
            "endpoint": "http://server:8000",
            "protocol": "openai_completions",
            "model": "org/model",
            "data": {"type": "synthetic", "input_tokens": 32, "output_tokens": 64},
            "stages": [{"rate": 5, "duration": 60}],
            **changes,
        }
    )


def rendered(name, job=None, **changes):
    found = engines.render(name, workload(**changes), job=job)
    json.dumps(found.plan)  # is part of a file of JSON
    assert found.plan["secrets"] == list(found.secrets)
    return found, found.plan["steps"]


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"q": "One?"}\n{"q": "Two?"}\n')
    return {"type": "jsonl", "path": str(path), "field": "q", "output_tokens": 8}


def config(found, ending="yaml", step=STAGE):
    return json.loads(found.files[f"{step}.{ending}"])


def test_inference_perf():
    found, steps = rendered("inference_perf", Job(tokenizer="org/tokenizer", cores=4), max_in_flight=10)
    assert found.image == "quay.io/inference-perf/inference-perf:v0.7.0"
    assert steps == [
        {
            "name": STAGE,
            "argv": [
                "python3",
                "-m",
                "modelops_bench.engines.inside.inference_perf",
                "--config_file",
                f"/bench/{STAGE}.yaml",
            ],
        }
    ]
    told = config(found)
    assert told["load"].pop("base_seed") >= 0
    assert told["load"] == {
        "type": "constant",
        "stages": [{"rate": 5.0, "duration": 60}],
        "num_workers": 4,
        "worker_max_concurrency": 3,
        "worker_max_tcp_connections": 10,
        "request_timeout": 300.0,
    }
    assert told["api"] == {"type": "completion", "streaming": True}
    assert told["server"]["base_url"] == "http://server:8000"
    assert told["tokenizer"] == {"pretrained_model_name_or_path": "org/tokenizer"}
    assert told["data"]["input_distribution"] == {"mean": 32.0, "std_dev": 0.0, "min": 32, "max": 32}
    assert told["report"]["request_lifecycle"]["per_request_fields"] == {
        "request": False,
        "response": False,
        "response_chunks": False,
    }
    assert told["storage"] == {"local_storage": {"path": f"/results/{STAGE}"}}


def test_inference_perf_with_requests_in_flight():
    found, _steps = rendered("inference_perf", stages=[{"concurrency": 8, "requests": 100}])
    load = config(found)["load"]
    assert (load["type"], load["stages"]) == ("concurrent", [{"concurrency_level": 8, "num_requests": 100}])


def test_aiperf():
    found, steps = rendered(
        "aiperf", Job(api_key=True), protocol="openai_chat", headers={"X-Team": "a"}, arrival="poisson"
    )
    assert steps == [{"name": STAGE, "argv": ["aiperf", "profile", "--config", f"/bench/{STAGE}.yaml"]}]
    told = config(found)["benchmark"]
    assert told["endpoint"] == {
        "urls": ["http://server:8000"],
        "streaming": True,
        "type": "chat",
        "useServerTokenCount": True,
        "useLegacyMaxTokens": True,
        "timeout": 300.0,
        "apiKey": "${OPENAI_API_KEY}",
        "headers": {"X-Team": "a"},
    }
    assert told["dataset"]["entries"] == 300
    assert told["dataset"]["osl"] == {"mean": 64.0, "stddev": 0.0, "min": 64, "max": 64}
    assert told["profiling"] == {"type": "poisson", "rate": 5.0, "requests": 300, "concurrency": 4096}
    assert told["artifacts"]["dir"] == f"/results/{STAGE}"
    assert found.secrets == {"OPENAI_API_KEY": "api_key", "HF_TOKEN": "hf_token"}


@pytest.mark.parametrize(
    ("protocol", "field", "wanted"),
    [("jetstream", "response", '"stream": false'), ("saxml", "completions[0][0]", '"per_example_max_decode_steps"')],
)
def test_aiperf_asks_other_protocols_by_a_template(protocol, field, wanted):
    found, _steps = rendered("aiperf", protocol=protocol, stream=False, stages=[{"concurrency": 2, "duration": 9}])
    told = config(found)["benchmark"]
    assert (told["endpoint"]["type"], told["endpoint"]["path"]) == ("template", "/generate")
    assert told["endpoint"]["template"]["responseField"] == field
    assert wanted in told["endpoint"]["template"]["body"]
    assert told["profiling"] == {"type": "concurrency", "concurrency": 2, "duration": 9.0}


def test_locust(prompts):
    digest = hashlib.sha256(Path(prompts["path"]).read_bytes()).hexdigest()
    found, steps = rendered("locust", data={**prompts, "sha256": digest}, warmup={"requests": 2})
    assert [step["name"] for step in steps] == ["warmup", STAGE]
    options = ["--headless", "--only-summary", "--users", "100", "--spawn-rate", "100", "--exit-code-on-error", "0"]
    assert steps[1]["argv"] == ["locust", "-f", f"/bench/{STAGE}.py", *options]
    call = ast.parse(found.files["warmup.py"]).body[-1].value
    assert [ast.literal_eval(argument) for argument in call.args] == [
        "/bench/workload.json",
        {"concurrency": 2, "requests": 2},
        -1,
        0,
    ]
    told = json.loads(found.files["workload.json"])
    # Another file with the same prompts, so that the SHA-256 of the first one is of no use.
    assert (told["data"]["path"], told["data"]["field"], told["data"].get("sha256")) == (
        "/bench/prompts.jsonl",
        "prompt",
        None,
    )
    assert found.files["prompts.jsonl"] == '{"prompt": "One?"}\n{"prompt": "Two?"}\n'
    assert found.secrets == {"OPENAI_API_KEY": "api_key"}


def test_vllm_bench(prompts):
    _found, steps = rendered("vllm_bench", protocol="openai_chat", data=prompts, headers={"X-Team": "a"})
    argv = steps[0]["argv"]
    assert argv[:3] == ["vllm", "bench", "serve"]
    options = dict(zip(argv[8::2], argv[9::2], strict=False))
    assert (
        options.items()
        >= {
            "--backend": "openai-chat",
            "--endpoint": "/v1/chat/completions",
            "--dataset-name": "custom",
            "--custom-output-len": "8",
            "--request-rate": "5.0",
            "--burstiness": "inf",
            "--num-prompts": "300",
            "--percentile-metrics": "ttft,tpot,itl,e2el",
            "--result-dir": f"/results/{STAGE}",
        }.items()
    )
    assert argv[-2:] == ["--header", "X-Team=a"]


def test_guidellm(prompts):
    found, steps = rendered("guidellm", data=prompts, stages=[{"concurrency": 2, "requests": 3}])
    assert steps[0]["argv"] == ["guidellm", "run", "--config", f"/bench/{STAGE}.json", "--disable-console"]
    spec = config(found, "json")["spec"]
    assert spec["profile"] == {"kind": "concurrent", "streams": [2]}
    assert spec["constraints"] == [{"kind": "max_requests", "count": 3}]
    assert spec["backend"]["verify"] is True
    assert spec["data"] == [{"kind": "json_file", "path": "/bench/prompts.jsonl"}]
    # It would end when each has been asked once.
    lines = [json.loads(line) for line in found.files["prompts.jsonl"].splitlines()]
    assert [line["prompt"] for line in lines] == ["One?", "Two?", "One?"]
    assert found.secrets == {
        "OPENAI_API_KEY": "api_key",
        "GUIDELLM__SPEC__BACKEND__API_KEY": "api_key",
        "HF_TOKEN": "hf_token",
    }


EXTRA = {"ignore_eos": True, "stop": ["a"]}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("aiperf", lambda found: config(found)["benchmark"]["endpoint"]["extra"]),
        ("guidellm", lambda found: config(found, "json")["spec"]["backend"]["extras"]["body"]),
        ("locust", lambda found: json.loads(found.files["workload.json"])["extra_body"]),
        ("vllm_bench", lambda found: json.loads(_after(found.plan["steps"][0]["argv"], "--extra-body"))),
    ],
)
def test_what_a_request_has_beside_the_workload_is_passed_on(name, told):
    assert told(rendered(name, extra_body=EXTRA)[0]) == EXTRA


def _after(argv, option):
    return argv[argv.index(option) + 1]


def test_inference_perf_adds_one_thing_to_a_request():
    for value in (True, False):
        assert config(rendered("inference_perf", extra_body={"ignore_eos": value})[0])["server"]["ignore_eos"] is value
    with pytest.raises(InputError, match="adds nothing but ignore_eos"):
        rendered("inference_perf", extra_body=EXTRA)


def test_every_stage_of_every_repeat_is_a_command_with_a_seed_of_its_own():
    commands = list(plan(workload(stages=[{"rate": 1, "requests": 5}, {"rate": 2, "requests": 5}], repeats=2)))
    names = ["stage-0-repeat-0", "stage-1-repeat-0", "stage-0-repeat-1", "stage-1-repeat-1"]
    assert [command.name for command in commands] == names
    assert len({command.seed for command in commands}) == 4
    assert [command.seed for command in commands] != [c.seed for c in plan(workload(seed=1, repeats=2))]


@pytest.mark.parametrize(
    ("name", "changes", "cause", "able"),
    [
        ("inference_perf", {"protocol": "openai_chat"}, "random prompts for chat", "aiperf or locust or vllm_bench"),
        ("inference_perf", {"protocol": "saxml"}, "does not speak saxml", "Take aiperf or locust or builtin"),
        ("inference_perf", {"stages": [{"concurrency": 2, "duration": 9}]}, "not by a duration", "aiperf"),
        ("inference_perf", {"stages": [{"rate": 2, "requests": 5}]}, "for whole seconds only", "aiperf"),
        ("aiperf", {"protocol": "jetstream"}, "does not read the stream of jetstream", "Take locust or builtin"),
        ("vllm_bench", {"protocol": "jetstream"}, "does not speak jetstream", "Take locust or builtin"),
        ("vllm_bench", {"stream": False}, "always streams", "guidellm"),
        (
            "vllm_bench",
            {"data": {"type": "synthetic", "input_tokens": {"mean": 9, "stddev": 2}, "output_tokens": 4}},
            "no normal distribution",
            "inference_perf",
        ),
        ("guidellm", {"protocol": "saxml"}, "does not speak saxml", "Take aiperf or locust or builtin"),
        ("locust", {"keep_text": True}, "does not keep prompts and answers", "Take builtin, or"),
    ],
)
def test_what_an_engine_cannot_do_names_those_that_can(name, changes, cause, able):
    with pytest.raises(InputError) as error:
        rendered(name, **changes)
    assert error.value.message.startswith(f"{name} cannot do this workload: it ")
    assert cause in error.value.message
    assert able in error.value.hint


def test_engines_without_prompts_for_a_duration_say_so(prompts):
    with pytest.raises(InputError, match="sends prompts of a file once"):
        rendered("guidellm", data=prompts, stages=[{"concurrency": 2, "duration": 9}])
    with pytest.raises(InputError, match="reads no file of prompts"):
        rendered("inference_perf", data=prompts)


def test_a_tokenizer_is_needed_where_no_model_is_named():
    with pytest.raises(InputError, match="needs a tokenizer"):
        rendered("aiperf", protocol="jetstream", model="", stream=False)


def test_an_engine_that_there_is_not():
    with pytest.raises(InputError, match=r"no load tool 'wrk'.*inference_perf"):
        rendered("wrk")
