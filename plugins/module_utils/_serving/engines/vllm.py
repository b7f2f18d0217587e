# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""vLLM: the engine for everything that is not legacy, on TPUs and, to try the whole way anywhere, on other devices.

Sources: https://docs.vllm.ai (options, metrics, loading with the streamer), https://github.com/vllm-project/tpu-inference
(variables and groups on TPUs), https://github.com/kubernetes-sigs/lws (groups with Ray), the recipes of
https://github.com/AI-Hypercomputer/tpu-recipes, and https://github.com/vllm-project/vllm/issues/15313: a server that still
compiles answers /health, so what counts at the start is /v1/models.
"""

from __future__ import annotations

import dataclasses
import json
import posixpath
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._serving import parts
from ansible_collections.modelops.serving.plugins.module_utils._serving.engine import (
    DRAIN,
    Engine,
    Port,
    Setting,
    Workload,
    http_probe,
    server,
    startup_probe,
)
from ansible_collections.modelops.serving.plugins.module_utils._serving.instance import (
    Bucket,
    Claim,
    Connection,
    Device,
    Hub,
    Instance,
    Object,
    Stream,
    Tpu,
)
from ansible_collections.modelops.serving.plugins.module_utils._serving.parts import Part
from ansible_collections.modelops.serving.plugins.module_utils._tpu import fit
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError

HTTP = Port("http", 8000)
_RAY = 6379

#: By kind of hardware. Tags are those of public manifests; neuron is what AWS publishes for Inferentia and Trainium.
IMAGES = {
    "tpu": "docker.io/vllm/vllm-tpu:v0.27.0",
    "gpu": "docker.io/vllm/vllm-openai:v0.28.0",
    "cpu": "docker.io/vllm/vllm-openai-cpu:v0.28.0",
    "neuron": "public.ecr.aws/neuron/pytorch-inference-vllm-neuronx:0.21.0.1.0.0-neuronx-py313-sdk2.31.0-ubuntu24.04",
}

# Each is the option of vllm serve of that name.
SETTINGS = {
    "async_scheduling": Setting(bool),
    "block_size": Setting(int),
    "chat_template": Setting(str),
    "dtype": Setting(str, ("auto", "half", "float16", "bfloat16", "float", "float32")),
    "enable_auto_tool_choice": Setting(bool),
    "enable_chunked_prefill": Setting(bool),
    "enable_expert_parallel": Setting(bool),
    "enable_log_requests": Setting(bool),
    "enable_lora": Setting(bool),
    "enable_prefix_caching": Setting(bool),
    "gpu_memory_utilization": Setting(float),
    "hf_overrides": Setting(dict),
    "kv_cache_dtype": Setting(str),
    "limit_mm_per_prompt": Setting(dict),
    "max_lora_rank": Setting(int),
    "max_loras": Setting(int),
    "max_model_len": Setting(int),
    "max_num_batched_tokens": Setting(int),
    "max_num_seqs": Setting(int),
    "model_loader_extra_config": Setting(dict),
    "quantization": Setting(str),
    "reasoning_parser": Setting(str),
    "seed": Setting(int),
    "tensor_parallel_size": Setting(int),  # of devices other than TPUs
    "tokenizer": Setting(str),
    "tool_call_parser": Setting(str),
    "trust_remote_code": Setting(bool),
}

#: Options after which probes and Service would not find the server any more. A key guards /v1/models too, and would lie
#: open in the Pod; whoever needs one puts a gateway in front.
_FIXED = ("--api-key", "--port", "--ssl-certfile", "--ssl-keyfile", "--uds")

_SERVE = ("python3", "-m", "vllm.entrypoints.openai.api_server")

# The leader waits for the others and then serves; they wait for it, since a container that ends would have the whole
# group made anew. Images keep vLLM's own script for this in different places. Ray's dashboard runs whatever it is sent.
_LEAD = f"""\
ray start --head --port={_RAY} --include-dashboard=false || exit
python3 -c '
import os, time, ray
ray.init(address="auto")
while sum(node["Alive"] for node in ray.nodes()) < int(os.environ["LWS_GROUP_SIZE"]):
    time.sleep(5)
' || exit
exec "$@"
"""
_FOLLOW = f"""\
until ray health-check --address "$LWS_LEADER_ADDRESS:{_RAY}"; do sleep 5; done
exec ray start --address="$LWS_LEADER_ADDRESS:{_RAY}" --block
"""

# vLLM drops running requests when it is told to end, so it is told only when there are none left. What follows a leader
# asks the leader. When the grace period is over, Kubernetes waits no longer.
_DRAIN = f"""\
import http.client, os, re, time
def metrics():
    server = http.client.HTTPConnection(os.environ.get("LWS_LEADER_ADDRESS", "localhost"), {HTTP.number}, timeout=10)
    server.request("GET", "/metrics")
    return server.getresponse().read().decode()
busy = re.compile(r"^vllm:num_requests_(?:running|waiting)(?:{{.*}})? (?!0(?:\\.0)?$)", re.MULTILINE)
time.sleep({DRAIN})
while busy.search(metrics()):
    time.sleep(1)
"""


class Vllm(Engine):
    """The OpenAI-compatible server of vLLM."""

    name = "vllm"
    api = "openai"
    port = HTTP
    metrics = (HTTP, "/metrics")
    queue = "vllm:num_requests_waiting"
    settings = SETTINGS

    def default_image(self, instance: Instance) -> str | None:
        """The image of the hardware."""
        hardware = instance.hardware
        return IMAGES.get(hardware.kind if isinstance(hardware, Device) else "tpu")

    def check(self, instance: Instance) -> tuple[str, ...]:
        """Adds to the usual: devices are what tensor parallelism counts, the model fits, the cache can be mounted."""
        warnings = super().check(instance)
        _check_own(instance)
        hardware = instance.hardware
        if isinstance(hardware, Device):
            _check_tensor(hardware, instance.settings.get("tensor_parallel_size"))
        else:
            _check_slice(instance, hardware)
        cache = instance.compile_cache
        if cache and (instance.replicas > 1 or _hosts(instance) > 1 or instance.max_surge):
            told = (
                f"Several Pods mount the claim {cache.claim}: it needs ReadWriteMany, or all of them are on one node."
            )
            warnings += (told,)
        return warnings

    def workloads(self, instance: Instance) -> tuple[Workload, ...]:
        """One: the server, on one host or on each host of a group."""
        whole = parts.joined(
            (
                _weights(instance, self.image(instance)),
                _parallelism(instance),
                _settings(instance),
                _cache(instance),
                parts.token(instance),
                parts.shared_memory(),
                Part(env=parts.env(VLLM_ENGINE_READY_TIMEOUT_S=str(instance.startup_timeout))),
            )
        )
        container = server(
            self,
            instance,
            command=_SERVE,
            args=whole.args,
            env=whole.env,
            mounts=whole.mounts,
            ports=(HTTP,),
            probes=_probes(instance),
            pre_stop=("python3", "-c", _DRAIN),
        )
        workload = Workload(
            name=instance.name,
            containers=(container,),
            init_containers=whole.init_containers,
            volumes=whole.volumes,
            annotations=whole.annotations,
            ports=(HTTP,),
            replicas=instance.replicas,
        )
        return (workload if _hosts(instance) == 1 else _grouped(workload, _hosts(instance)),)


def _grouped(workload: Workload, hosts: int) -> Workload:
    """The same server over several hosts: one leads and is asked, the others lend it their devices through Ray."""
    (container,) = workload.containers
    served = {"args", "ports", "startupProbe", "readinessProbe", "livenessProbe"}
    worker = {field: value for field, value in container.items() if field not in served}
    return dataclasses.replace(
        workload,
        leader=({**container, "command": ["bash", "-c", _LEAD, "lead", *_SERVE]},),
        containers=({**worker, "name": "worker", "command": ["bash", "-c", _FOLLOW]},),
        hosts=hosts,
        controller="leader_worker_set",
    )


def _hosts(instance: Instance) -> int:
    return 1 if isinstance(instance.hardware, Device) else instance.hardware.slice.hosts


def _probes(instance: Instance) -> dict[str, Object]:
    return {
        "startupProbe": startup_probe("/v1/models", HTTP, instance),
        "readinessProbe": http_probe("/health", HTTP, period=5, failures=3),
        # A server under load may answer late, and starting it again takes long.
        "livenessProbe": http_probe("/health", HTTP, period=10, failures=6),
    }


# -- what is checked ---------------------------------------------------------------------------------------------------


def _check_own(instance: Instance) -> None:
    for arg in instance.args:
        if arg.partition("=")[0].replace("_", "-") in _FIXED:
            raise InputError(
                f"Probes and Service would not find a server with {arg.partition('=')[0]}.", hint="Leave it out."
            )
    if "VLLM_API_KEY" in instance.env:
        raise InputError(
            "VLLM_API_KEY would be readable in the Pod, and fail the probes.",
            hint="Put a gateway in front that asks for it.",
        )


def _check_tensor(device: Device, tensor: int | None) -> None:
    """GPUs are what tensor parallelism counts. A Neuron device has several cores, which are counted there."""
    if device.kind == "gpu" and tensor not in (None, device.count):
        raise InputError(
            f"tensor_parallel_size is {tensor} and the server has {device.count} GPUs.",
            hint=f"Leave it out, or give {device.count}.",
        )
    if device.kind == "neuron" and tensor is None:
        raise InputError(
            "How many Neuron cores the server uses is not said.", hint="Give the setting tensor_parallel_size."
        )


def _check_slice(instance: Instance, tpu: Tpu) -> None:
    """A slice says itself how many devices there are, and the model has to fit them.

    :raises TpuError: it does not, with the numbers.
    """
    if "tensor_parallel_size" in instance.settings:
        raise InputError(
            "The setting tensor_parallel_size is for devices other than TPUs.",
            hint="Parallelism of a slice has an option of its own.",
        )
    size = instance.model.size
    if size is None:
        return
    size = dataclasses.replace(size, max_model_len=instance.settings.get("max_model_len", size.max_model_len))
    share = instance.settings.get("gpu_memory_utilization", fit.UTILIZATION)
    found = fit.fit(tpu.slice, size, tpu.spread, share)
    if not found.fits:
        raise found.error()


# -- what the Pod is put together from ---------------------------------------------------------------------------------


def _weights(instance: Instance, image: str) -> Part:
    """Where the model is, and what makes it be there."""
    model, weights = instance.model, instance.model.weights
    served = (f"--served-model-name={model.served_name or model.name}",)
    if isinstance(weights, Bucket):
        path = posixpath.join(parts.MODELS, model.name)
        return Part(args=(f"--model={path}", *served)) + parts.bucket(weights, path, image)
    if isinstance(weights, Claim):
        path = posixpath.join(parts.MODELS, weights.path.strip("/"))
        return Part(args=(f"--model={path}", *served)) + parts.claim(weights)
    if isinstance(weights, Connection):
        return Part(args=(f"--model={parts.CONNECTED}", *served))
    if isinstance(weights, Stream):
        return Part(args=(f"--model={weights.url}", *served, "--load-format=runai_streamer"), env=_store(weights))
    return Part(args=(f"--model={model.name}", *served, *_revision(weights)))


def _revision(hub: Hub) -> tuple[str, ...]:
    return (f"--revision={hub.revision}", f"--tokenizer-revision={hub.revision}") if hub.revision else ()


def _store(stream: Stream) -> tuple[Object, ...]:
    """Variables for a store that the service account does not open by itself."""
    found: tuple[Object, ...] = ()
    if stream.endpoint_url:
        found += parts.env(AWS_ENDPOINT_URL=stream.endpoint_url, RUNAI_STREAMER_S3_USE_VIRTUAL_ADDRESSING="0")
    if stream.region:
        found += parts.env(AWS_DEFAULT_REGION=stream.region)
    if stream.credentials_secret:
        found += parts.env(AWS_EC2_METADATA_DISABLED="true")
        found += tuple(
            {"name": key, "valueFrom": {"secretKeyRef": {"name": stream.credentials_secret, "key": key}}}
            for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        )
    return found


def _parallelism(instance: Instance) -> Part:
    """Over what the server spreads; on several hosts through Ray."""
    hardware = instance.hardware
    if isinstance(hardware, Device):
        # Others give the setting, or have nothing to spread over.
        return Part(args=(f"--tensor-parallel-size={hardware.count}",)) if hardware.kind == "gpu" else Part()
    spread = hardware.spread
    sizes = {"tensor": spread.tensor, "pipeline": spread.pipeline, "data": spread.data}
    args = tuple(f"--{name}-parallel-size={size}" for name, size in sizes.items() if size != 1 or name == "tensor")
    if _hosts(instance) == 1:
        return Part(args=args)
    return Part(args=(*args, "--distributed-executor-backend=ray"), env=parts.env(TPU_MULTIHOST_BACKEND="ray"))


def _settings(instance: Instance) -> Part:
    gpu = isinstance(instance.hardware, Device) and instance.hardware.kind == "gpu"
    given = {name: value for name, value in instance.settings.items() if not (gpu and name == "tensor_parallel_size")}
    return Part(args=tuple(_option(name, given[name]) for name in sorted(given)))


def _option(name: str, value: t.Any) -> str:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{flag}" if value else f"--no-{flag}"
    return f"--{flag}={json.dumps(value, sort_keys=True) if isinstance(value, dict) else value}"


def _cache(instance: Instance) -> Part:
    """Compiled programs, and what comes from the Hub."""
    places = {"HF_HOME": "huggingface", "VLLM_CACHE_ROOT": "vllm"}
    if isinstance(instance.hardware, Tpu):
        places["VLLM_XLA_CACHE_PATH"] = "xla"
    return Part(env=parts.env(**{name: f"{parts.CACHE}/{place}" for name, place in places.items()})) + parts.cache(
        instance
    )
