# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._mounts import SecretKey
from ansible_collections.modelops.serving.plugins.module_utils._serving import build
from ansible_collections.modelops.serving.plugins.module_utils._serving.instance import (
    Bucket,
    Claim,
    Device,
    Hub,
    Stream,
)
from ansible_collections.modelops.serving.plugins.module_utils._tpu import fit
from ansible_collections.modelops.serving.plugins.module_utils._tpu.errors import TpuError
from ansible_collections.modelops.serving.plugins.module_utils._tpu.slice import parallelism
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._serving.instances import (
    instance,
    of_kind,
    pod,
    server,
    tpu,
)

MAXTEXT = {"model_name": "google/gemma/maxtext/7b-it/2", "model_weights": Bucket("models", "")}
ITEMS = "gs://models/final/unscanned/gemma_7b-it/0/checkpoints/0/items"


def maxtext(**given):
    return instance(**{"engine": "jetstream", "hardware": tpu("v5e", "2x4"), **MAXTEXT, **given})


def pytorch(**given):
    model = {"model_name": "google/gemma-7b-it", "model_token": SecretKey("hub")}
    return instance(**{"engine": "jetstream_pytorch", "hardware": tpu("v5e", "2x4"), **model, **given})


EITHER = pytest.mark.parametrize("make", [maxtext, pytorch])


def configured(made):
    return dict(arg.split("=", 1) for arg in server(made)["args"])


# -- both --------------------------------------------------------------------------------------------------------------


@EITHER
def test_clients_ask_http_or_grpc(make):
    ports = {port["name"]: port["port"] for port in of_kind("Service", make())["spec"]["ports"]}
    assert ports == {"jetstream-http": 8000, "jetstream-grpc": 9000}


@EITHER
def test_the_engine_is_asked_through_the_other_container(make):
    engine, http = pod(make(startup_timeout=1234))["containers"]
    (port,) = http["ports"]
    for probe in (engine["startupProbe"], engine["livenessProbe"]):
        # A name would be looked for among the ports of the engine itself.
        assert probe["httpGet"] == {"path": "/healthcheck", "port": port["containerPort"]}
    startup = engine["startupProbe"]
    assert 1234 <= startup["failureThreshold"] * startup["periodSeconds"] < 1234 + startup["periodSeconds"]
    assert http["readinessProbe"]["httpGet"] == {"path": "/healthcheck", "port": port["name"]}


@EITHER
def test_replicas_and_an_account_of_its_own(make):
    made = make(replicas=3)
    assert of_kind("Deployment", made)["spec"]["replicas"] == 3
    assert pod(made)["serviceAccountName"] == of_kind("ServiceAccount", made)["metadata"]["name"] == "gemma"


@EITHER
def test_users_are_told_what_to_take_instead(make):
    (warning,) = (text for text in build.check(make()) if "archived" in text)
    assert "vllm" in warning


@EITHER
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"hardware": Device("gpu", 1), "image": "server:1"}, "runs on TPUs only"),
        ({"hardware": tpu("v5e", "4x4")}, "4x4 of v5e has 4 hosts"),
        (
            {"hardware": tpu("v5e", "2x4", parallelism=parallelism(tpu("v5e", "2x4").slice))},
            "does not take the parallel",
        ),
        ({"settings": {"http_image": "http"}}, "does not say which one it is"),
        ({"settings": {"max_model_len": 1}}, "no setting 'max_model_len'"),
    ],
)
def test_what_neither_can_do(make, given, message):
    with pytest.raises(InputError, match=message):
        build.check(make(**given))


@EITHER
def test_a_generation_that_jetstream_does_not_know(make):
    with pytest.raises(TpuError, match="jetstream does not know tpu7x"):
        build.check(make(hardware=tpu("tpu7x", "2x2x1")))


@EITHER
def test_a_model_that_is_too_large(make):
    with pytest.raises(TpuError, match=r"weights of 130\.4 GiB"):
        build.check(make(model_size=fit.Model(70 * 10**9)))


# -- with MaxText ------------------------------------------------------------------------------------------------------


def test_keys_of_maxtext_in_the_order_of_the_manifest():
    assert server(maxtext())["args"] == [
        "model_name=gemma-7b",
        "tokenizer_path=assets/tokenizer.gemma",
        "per_device_batch_size=4",
        "max_prefill_predict_length=1024",
        "max_target_length=2048",
        "async_checkpointing=false",
        "ici_fsdp_parallelism=1",
        "ici_autoregressive_parallelism=-1",
        "ici_tensor_parallelism=1",
        "scan_layers=false",
        "weight_dtype=bfloat16",
        f"load_parameters_path={ITEMS}",
        "prometheus_port=9090",
    ]


def test_settings_and_arguments_of_the_user():
    settings = {"quantization": "int8", "max_target_length": 4096, "quantize_kvcache": True, "http_image": "http:1"}
    made = maxtext(settings=settings, args=("attention=flash",))
    build.check(made)
    args = server(made)["args"]
    assert args[4] == "max_target_length=4096"
    assert args[-4:] == ["prometheus_port=9090", "quantization=int8", "quantize_kvcache=true", "attention=flash"]
    assert pod(made)["containers"][1]["image"] == "http:1"


@pytest.mark.parametrize(
    ("name", "tokenizer"), [("gemma-2b", "assets/tokenizer.gemma"), ("llama2-13b", "assets/tokenizer.llama2")]
)
def test_the_tokenizer_follows_from_the_model(name, tokenizer):
    found = configured(maxtext(settings={"model_name": name}))
    assert (found["model_name"], found["tokenizer_path"]) == (name, tokenizer)


@pytest.mark.parametrize(
    ("weights", "path"),
    [
        (Bucket("models", ""), ITEMS),
        (Bucket("models", "/mine/0/items/"), "gs://models/mine/0/items"),
        (Stream("gs://others/mine/0/items/"), "gs://others/mine/0/items"),
    ],
)
def test_weights_are_loaded_from_where_they_are(weights, path):
    made = maxtext(model_weights=weights)
    build.check(made)
    assert configured(made)["load_parameters_path"] == path
    assert pod(made)["initContainers"][0]["command"][-1] == path


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model_weights": Claim("models")}, "loads a checkpoint that was converted"),
        ({"model_weights": Bucket("gs://models", "")}, "'gs:' is not the name of a bucket"),
        ({"model_weights": Hub()}, "loads a checkpoint that was converted"),
        ({"model_weights": Stream("s3://models/gemma")}, "loads a checkpoint that was converted"),
        ({"model_name": "google/gemma-7b-it"}, "'google/gemma-7b-it' is no version of a MaxText model"),
        ({"settings": {"model_name": "mixtral-8x7b"}}, "Which tokenizer of MaxText mixtral-8x7b has"),
        ({"settings": {"max_target_length": 1024}}, "max_target_length 1024 leaves no room"),
        ({"settings": {"ici_tensor_parallelism": 3}}, "ici_tensor_parallelism 3 do not make the 8 devices of 2x4"),
        ({"settings": {"ici_tensor_parallelism": -1}}, "do not make the 8 devices"),
        ({"settings": {"ici_tensor_parallelism": 0}}, "do not make the 8 devices"),
        (
            {"settings": {"ici_tensor_parallelism": 4, "ici_autoregressive_parallelism": 1}},
            "ici_tensor_parallelism 4 do not make the 8 devices",
        ),
    ],
)
def test_what_maxtext_cannot_load(given, message):
    with pytest.raises(InputError, match=message):
        build.check(maxtext(**given))


@pytest.mark.parametrize("sizes", [(1, -1, 8), (8, 1, 1), (2, 2, 2), (1, 2, -1)])
def test_parallelism_that_uses_all_devices(sizes):
    names = ("ici_fsdp_parallelism", "ici_autoregressive_parallelism", "ici_tensor_parallelism")
    build.check(maxtext(settings=dict(zip(names, sizes, strict=True))))


@pytest.mark.parametrize(("name", "whole"), [("commit_success.txt", True), ("metadata", False)])
def test_the_server_waits_for_a_whole_checkpoint(tmp_path, name, whole):
    """Runs the container's program against the client of a bucket that has one object."""
    package = tmp_path / "google" / "cloud"
    package.mkdir(parents=True)
    (package / "storage.py").write_text(
        textwrap.dedent(f"""\
        class Client:
            def bucket(self, name):
                return Bucket(name)

        class Bucket:
            def __init__(self, name):
                self.name = name

            def blob(self, path):
                return Blob(f"gs://{{self.name}}/{{path}}")

        class Blob:
            def __init__(self, url):
                self.url = url

            def exists(self):
                return self.url == "{ITEMS}/{name}"
        """)
    )
    command = pod(maxtext())["initContainers"][0]["command"]
    assert command[0] == "python3"
    done = subprocess.run(
        [sys.executable, *command[1:]], check=False, capture_output=True, text=True, env={"PYTHONPATH": str(tmp_path)}
    )
    assert (done.returncode == 0) is whole
    assert (f"no whole checkpoint in {ITEMS}" in done.stderr) is not whole


def test_compiled_programs_are_kept_where_there_is_a_claim():
    made = maxtext(compile_cache=Claim("cache", "gemma"))
    (mount,) = server(made)["volumeMounts"]
    assert configured(made)["jax_cache_dir"] == mount["mountPath"]
    assert "jax_cache_dir" not in configured(maxtext())


# -- with PyTorch ------------------------------------------------------------------------------------------------------


def test_options_of_the_manifest():
    assert server(pytorch())["args"] == [
        "--model_id=google/gemma-7b-it",
        "--override_batch_size=30",
        "--enable_model_warmup=True",
    ]
    changed = pytorch(settings={"override_batch_size": 8, "max_input_length": 512, "http_image": "http:1"})
    build.check(changed)
    assert server(changed)["args"][1:] == [
        "--override_batch_size=8",
        "--enable_model_warmup=True",
        "--max_input_length=512",
    ]


def test_the_token_lies_where_the_server_looks():
    (mount,) = server(pytorch())["volumeMounts"]
    (volume,) = pod(pytorch())["volumes"]
    assert mount["mountPath"] == "/huggingface"
    assert volume["secret"]["items"] == [{"key": "token", "path": "HUGGINGFACE_TOKEN"}]


def test_compiled_programs_of_pytorch_are_kept_where_there_is_a_claim():
    made = pytorch(compile_cache=Claim("cache"))
    assert "--internal_jax_compilation_cache=/cache" in server(made)["args"]
    assert {mount["mountPath"] for mount in server(made)["volumeMounts"]} == {"/huggingface", "/cache"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model_token": None}, "logs in to the Hugging Face Hub"),
        ({"model_weights": Hub("main")}, "always the newest revision"),
        ({"model_weights": Bucket("models", "gemma")}, "downloads its model from the Hugging Face Hub"),
    ],
)
def test_what_pytorch_cannot_load(given, message):
    with pytest.raises(InputError, match=message):
        build.check(pytorch(**given))
