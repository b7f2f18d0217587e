# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import http.server
import subprocess
import sys
import threading

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._mounts import PROFILES, ProviderClass, SecretKey
from ansible_collections.modelops.serving.plugins.module_utils._serving import build
from ansible_collections.modelops.serving.plugins.module_utils._serving.engines import vllm
from ansible_collections.modelops.serving.plugins.module_utils._serving.instance import (
    Bucket,
    Claim,
    Device,
    Hub,
    Stream,
)
from ansible_collections.modelops.serving.plugins.module_utils._tpu import fit
from ansible_collections.modelops.serving.plugins.module_utils._tpu.errors import TpuError
from ansible_collections.modelops.serving.plugins.module_utils._tpu.slice import make_slice, parallelism
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._serving.goldens import (
    GOLDENS,
    golden,
    written,
)
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._serving.instances import (
    cpu,
    instance,
    of_kind,
    pod,
    server,
    tpu,
    variables,
)

BUCKET = Bucket("models", "models/google/gemma-3-27b-it")


@pytest.mark.parametrize("name", GOLDENS)
def test_whole_sets_are_the_golden_ones(name):
    build.check(GOLDENS[name]())
    assert written(name) == golden(name).read_text(), "look at the difference; when it is right, keep the new text"


# -- weights -----------------------------------------------------------------------------------------------------------


def test_weights_of_a_bucket_are_mounted_read_only_where_the_server_looks():
    made = instance(model_weights=BUCKET)
    (mount,) = (item for item in server(made)["volumeMounts"] if item["name"] == "model-bucket")
    assert mount == {"name": "model-bucket", "mountPath": "/models/google/gemma-3-27b-it", "readOnly": True}
    assert server(made)["args"][0] == f"--model={mount['mountPath']}"
    volume = pod(made)["volumes"][0]["csi"]
    assert volume["readOnly"] is True
    assert volume["volumeAttributes"]["mountOptions"].endswith(",only-dir:models/google/gemma-3-27b-it")


def test_weights_are_read_first_where_that_is_asked_for(tmp_path):
    assert "initContainers" not in pod(instance(model_weights=BUCKET))
    (first,) = pod(instance(model_weights=Bucket("models", "m", warm_up=True)))["initContainers"]
    assert first["volumeMounts"][0]["mountPath"] == first["command"][-1]
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "model 1.safetensors").write_text("x")
    done = subprocess.run([*first["command"][:-1], str(tmp_path / "a b")], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")
    assert first["image"] == vllm.IMAGES["tpu"]


@pytest.mark.parametrize(("path", "model"), [("", "/models"), ("/a/b/", "/models/a/b")])
def test_weights_of_a_claim(path, model):
    made = instance(model_weights=Claim("disk", path))
    assert server(made)["args"][0].rstrip("/") == f"--model={model}"
    assert pod(made)["volumes"][0] == {
        "name": "models",
        "persistentVolumeClaim": {"claimName": "disk", "readOnly": True},
    }


def test_weights_that_are_streamed():
    args = server(instance(model_weights=Stream("gs://models/m")))["args"]
    assert args[0] == "--model=gs://models/m"
    assert "--load-format=runai_streamer" in args
    store = Stream("s3://models/m", endpoint_url="https://s3.test", region="eu", credentials_secret="keys")
    found = {item["name"]: item for item in server(instance(model_weights=store))["env"]}
    assert found["AWS_ENDPOINT_URL"]["value"] == "https://s3.test"
    assert found["AWS_DEFAULT_REGION"]["value"] == "eu"
    reference = {"name": "keys", "key": "AWS_SECRET_ACCESS_KEY"}
    assert found["AWS_SECRET_ACCESS_KEY"] == {"name": "AWS_SECRET_ACCESS_KEY", "valueFrom": {"secretKeyRef": reference}}


def test_weights_from_the_hub():
    args = server(instance(model_weights=Hub("abc"), model_served_name="gemma"))["args"]
    assert args[:4] == [
        "--model=google/gemma-3-27b-it",
        "--served-model-name=gemma",
        "--revision=abc",
        "--tokenizer-revision=abc",
    ]
    assert not any("revision" in arg for arg in server(instance(model_weights=Hub()))["args"])


@pytest.mark.parametrize(
    ("token", "profile", "variable"),
    [
        (SecretKey("hub"), "standard", "HF_TOKEN_PATH"),
        (SecretKey("hub"), "env", "HF_TOKEN"),
        (ProviderClass("hub", "gke"), "standard", "HF_TOKEN_PATH"),
    ],
)
def test_the_token(token, profile, variable):
    made = instance(model_token=token, model_token_profile=PROFILES[profile])
    assert variable in variables(server(made))
    assert any(item["name"] == "huggingface-token" for item in pod(made)["volumes"]) == (profile != "env")


# -- options -----------------------------------------------------------------------------------------------------------


def test_settings_are_options():
    settings = {
        "max_model_len": 16384,
        "gpu_memory_utilization": 0.95,
        "enable_prefix_caching": False,
        "enable_chunked_prefill": True,
        "limit_mm_per_prompt": {"image": 1},
    }
    args = server(instance(settings=settings, args=("--own",)))["args"]
    assert args[-6:] == [
        "--enable-chunked-prefill",
        "--no-enable-prefix-caching",
        "--gpu-memory-utilization=0.95",
        '--limit-mm-per-prompt={"image": 1}',
        "--max-model-len=16384",
        "--own",
    ]


def test_code_of_a_model_is_run_on_request_only():
    assert not any("trust" in arg for arg in server(instance())["args"])
    assert "--trust-remote-code" in server(instance(settings={"trust_remote_code": True}))["args"]


@pytest.mark.parametrize(
    ("hardware", "sizes"),
    [
        (tpu("v6e", "2x4"), ["--tensor-parallel-size=8"]),
        (tpu("tpu7x", "1x1x1"), ["--tensor-parallel-size=2"]),
        (
            tpu("tpu7x", "2x2x1", parallelism=parallelism(make_slice("tpu7x", topology="2x2x1"), data=4)),
            ["--tensor-parallel-size=2", "--data-parallel-size=4"],
        ),
        (tpu("v5e", "4x4"), ["--tensor-parallel-size=16"]),
        (Device("gpu", 4), ["--tensor-parallel-size=4"]),
        (Device(), []),
    ],
)
def test_tensor_parallelism_counts_devices(hardware, sizes):
    (workload,) = vllm.Vllm().workloads(instance(hardware=hardware))
    args = (workload.leader or workload.containers)[0]["args"]
    assert [arg for arg in args if "parallel" in arg] == sizes


def test_tensor_parallelism_of_other_devices():
    made = instance(hardware=Device("gpu", 2), settings={"tensor_parallel_size": 2})
    build.check(made)
    assert server_args(made).count("--tensor-parallel-size=2") == 1
    neuron = instance(hardware=Device("neuron", 1), settings={"tensor_parallel_size": 8})
    build.check(neuron)
    assert "--tensor-parallel-size=8" in server_args(neuron)


def server_args(made):
    return vllm.Vllm().workloads(made)[0].containers[0]["args"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"settings": {"max_model_length": 1}}, "no setting 'max_model_length'"),
        ({"settings": {"tensor_parallel_size": 8}}, "for devices other than TPUs"),
        ({"hardware": Device("gpu", 4), "settings": {"tensor_parallel_size": 8}}, "is 8 and the server has 4 GPUs"),
        ({"hardware": Device("neuron", 1)}, "How many Neuron cores"),
        ({"args": ("--api-key=x",)}, "with --api-key"),
        ({"args": ("--own", "--api_key", "x")}, "with --api_key"),
        ({"args": ("--port", "80")}, "with --port"),
        ({"env": {"VLLM_API_KEY": "x"}}, "VLLM_API_KEY would be readable"),
        ({"engine": "vlm"}, "no engine 'vlm'"),
    ],
)
def test_what_cannot_be(given, message):
    with pytest.raises(InputError, match=message) as error:
        build.check(instance(**given))
    assert error.value.hint


def test_a_model_has_to_fit_with_its_numbers():
    size = fit.Model(70 * 10**9)
    build.check(instance(model_size=size))
    with pytest.raises(TpuError, match=r"does not fit v6e 2x2 \(4 x 32 GiB\): weights of 130.4 GiB") as error:
        build.check(instance(hardware=tpu("v6e", "2x2"), model_size=size))
    assert "2x4" in error.value.hint


def test_the_length_and_share_that_are_set_are_those_that_have_to_fit():
    shaped = fit.Model(27 * 10**9, num_hidden_layers=62, num_key_value_heads=16, head_dim=128)
    build.check(instance(model_size=shaped))
    with pytest.raises(TpuError, match="does not fit"):
        build.check(instance(model_size=shaped, settings={"max_model_len": 10**6}))
    with pytest.raises(TpuError, match="does not fit"):
        build.check(instance(model_size=shaped, settings={"gpu_memory_utilization": 0.2}))


# -- start and end -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "tries"), [(3600, 360), (601, 61), (10, 1)])
def test_the_start_may_take_as_long_as_it_is_given(seconds, tries):
    made = server(instance(startup_timeout=seconds))
    assert made["startupProbe"]["httpGet"]["path"] == "/v1/models"
    assert made["startupProbe"]["failureThreshold"] == tries
    assert made["startupProbe"]["periodSeconds"] == 10
    assert variables(made)["VLLM_ENGINE_READY_TIMEOUT_S"] == str(seconds)


def test_compiled_programs_are_kept_where_the_server_looks():
    for made in (instance(), instance(compile_cache=Claim("cache", "/gemma"))):
        place = variables(server(made))["VLLM_XLA_CACHE_PATH"]
        (mount,) = (item for item in server(made)["volumeMounts"] if item["name"] == "cache")
        assert place.startswith(f"{mount['mountPath']}/")
    assert mount["subPath"] == "gemma"
    volume = {"name": "cache", "persistentVolumeClaim": {"claimName": "cache"}}
    assert volume in pod(made)["volumes"]
    assert "VLLM_XLA_CACHE_PATH" not in variables(server(cpu()))


def test_one_claim_for_several_pods_is_worth_a_word():
    assert not build.check(cpu(compile_cache=Claim("cache")))
    for several in ({"replicas": 2}, {"max_surge": 1}):
        assert "ReadWriteMany" in build.check(cpu(compile_cache=Claim("cache"), **several))[-1]


@pytest.fixture
def metrics():
    """A server that says how many requests run: the next of a list each time that it is asked, then none."""
    running = []

    class Metrics(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            lines = (
                "# TYPE vllm:num_requests_running gauge",
                f'vllm:num_requests_running{{engine="0",model_name="a b"}} {running.pop(0)}',
                'vllm:num_requests_waiting{engine="0",model_name="a b"} 0.0',
                "vllm:num_requests_waiting_other 7.0",
            )
            self.send_response(200)
            self.end_headers()
            self.wfile.write("\n".join(lines).encode())

        def log_message(self, *args):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Metrics) as found:
        found.running = running
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found
        found.shutdown()


def test_a_server_ends_when_no_request_runs_any_more(metrics):
    """The command that runs before the end, against metrics as vLLM writes them."""
    script = server(instance())["lifecycle"]["preStop"]["exec"]["command"][-1]
    for usual, here in ((", 8000,", f", {metrics.server_port},"), ("sleep(15)", "sleep(0)"), ("sleep(1)", "sleep(0)")):
        assert usual in script
        script = script.replace(usual, here)
    metrics.running += ["12.0", "1.0", "0.0", "3.0"]
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60, env={"LWS_LEADER_ADDRESS": "127.0.0.1"})
    assert metrics.running == ["3.0"]


# -- several hosts -----------------------------------------------------------------------------------------------------


def test_a_group_has_a_leader_that_serves_and_workers_that_follow():
    made = instance(hardware=tpu("v5e", "4x4"), args=("--own",), env={"A": "1"})
    group = of_kind("LeaderWorkerSet", made)["spec"]["leaderWorkerTemplate"]
    (leader,) = group["leaderTemplate"]["spec"]["containers"]
    (worker,) = group["workerTemplate"]["spec"]["containers"]
    assert group["size"] == 4
    assert leader["args"][-2:] == ["--distributed-executor-backend=ray", "--own"]
    assert not {"args", "ports", "readinessProbe", "startupProbe", "livenessProbe"} & set(worker)
    for both in (leader, worker):
        assert both["resources"]["limits"] == {"google.com/tpu": "4"}
        assert variables(both)["TPU_MULTIHOST_BACKEND"] == "ray"
        assert variables(both)["A"] == "1"


@pytest.mark.parametrize("part", ["_LEAD", "_FOLLOW"])
def test_scripts_of_a_group_are_bash(part):
    subprocess.run(["bash", "-n", "-c", getattr(vllm, part)], check=True)


def test_a_leader_waits_for_all_and_then_serves(tmp_path):
    """With commands in place of Ray that write down how they are called."""
    made = instance(hardware=tpu("v5e", "4x4"), args=("--own=a b",))
    container = pod(made)["containers"][0]
    for name in ("ray", "python3"):
        (tmp_path / name).write_text(
            f'#!/bin/bash\nprintf "%s|" {name} "$@" >> {tmp_path}/calls; echo >> {tmp_path}/calls\n'
        )
        (tmp_path / name).chmod(0o755)
    command = [*container["command"], *container["args"]]
    subprocess.run(command, check=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin", "LWS_GROUP_SIZE": "4"})
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls[0].startswith("ray|start|--head|")
    assert calls[1].startswith("python3|-c|")
    assert calls[-1].startswith("python3|-m|vllm.entrypoints.openai.api_server|--model=")
    assert calls[-1].endswith("|--own=a b|")
