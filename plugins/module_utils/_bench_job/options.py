# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the options of the module inference_benchmark_job to a benchmark in the cluster. Pure, but for files it is given."""

from __future__ import annotations

import dataclasses
import json
import typing as t
from pathlib import Path

from ansible_collections.modelops.serving.plugins.module_utils._bench import engines, shards
from ansible_collections.modelops.serving.plugins.module_utils._bench.engines import BUILTIN
from ansible_collections.modelops.serving.plugins.module_utils._bench.engines.engine import API_KEY, FILES, PLAN, Job
from ansible_collections.modelops.serving.plugins.module_utils._bench.errors import InputError
from ansible_collections.modelops.serving.plugins.module_utils._bench.workload import Workload
from ansible_collections.modelops.serving.plugins.module_utils._bench_job.build import KEY, key_secret
from ansible_collections.modelops.serving.plugins.module_utils._bench_job.spec import (
    MAX_NAME,
    BenchSpec,
    PodOptions,
    longest,
)
from ansible_collections.modelops.serving.plugins.module_utils._kube.objects import quantity
from ansible_collections.modelops.serving.plugins.module_utils._mounts import SecretKey, find_profile, token_mount
from ansible_collections.modelops.serving.plugins.module_utils._sync_job.spec import IMAGE

Options: t.TypeAlias = "t.Mapping[str, t.Any]"

DEFAULT_ENGINE = "inference_perf"
_DATASET = "dataset.jsonl"
_AUTHORITIES = "ca.pem"
#: What the libraries of the tools take their authorities from.
_TRUST = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
#: Seconds that a Pod which is ready waits for the others.
_START_TIMEOUT = 1800
_MEMORY = {BUILTIN: "1Gi"}
_MEMORY_OF_TOOLS = "4Gi"  # tokenizers and the libraries around them


def spec_of(params: Options, workload: Workload) -> BenchSpec:
    """The benchmark.

    :raises InputError: options cannot be, or the engine cannot do the workload.
    """
    _check(params)
    name, engine = params["name"], params["engine"]
    tool = None if engine == BUILTIN else engines.find(engine)
    image = params["image"] or (tool.image if tool else IMAGE)
    key = _key_of(params, name)
    parts = shards.split(workload, params["parallelism"])
    variables = {} if key is None else dict.fromkeys((API_KEY, tool.key if tool else API_KEY), key)
    environment = dict(tool.environment) if tool else {}
    if params["ca_bundle"]:
        environment |= dict.fromkeys(_TRUST, f"{FILES}/{_AUTHORITIES}")
    token = params["token_secret"]
    return BenchSpec(
        name=name,
        namespace=params["namespace"],
        engine=engine,
        shards=tuple(
            _files(params, part, number, image=image, key=key is not None) for number, part in enumerate(parts)
        ),
        pod=_pod(params, image),
        secrets=variables,
        key=None if params["api_key_secret"] else params["endpoint_api_key"] or None,
        environment=environment,
        token=token
        and token_mount(SecretKey(token["name"], token["key"]), find_profile(token["mount"], token["path"])),
        service_account=params["service_account"],
        deadline=params["deadline"] or longest(workload, tools=tool is not None) + params["collect_timeout"],
        ttl=params["ttl_seconds_after_finished"],
    )


def _check(params: Options) -> None:
    name, count, engine = params["name"], params["parallelism"], params["engine"]
    if len(name) > MAX_NAME:
        raise InputError(f"The name {name} has {len(name)} characters.", hint=f"Take one of at most {MAX_NAME}.")
    if count < 1:
        raise InputError(f"parallelism is {count}.", hint="Give the number of Pods, at least 1.")
    if not quantity(params["cpu"]):
        raise InputError(f"cpu {params['cpu']!r} is no quantity of cores.", hint="Give a whole number, such as 2.")
    if engine != BUILTIN and not params["endpoint_validate_certs"]:
        raise InputError(
            f"{engine} always verifies certificates.", hint=f"Give the ca_bundle of the endpoint, or take {BUILTIN}."
        )


def shared_cores(params: Options) -> str | None:
    """What is worth knowing about the cores that are asked for."""
    if (quantity(params["cpu"]) or 1) % 1:
        return f"cpu {params['cpu']} is no whole number of cores. Whoever has the rest of it makes requests late."
    return None


def _key_of(params: Options, name: str) -> SecretKey | None:
    """Where the Pods find the API key of the endpoint."""
    if given := params["api_key_secret"]:
        return SecretKey(given["name"], given["key"])
    return SecretKey(key_secret(name), KEY) if params["endpoint_api_key"] else None


def _files(params: Options, workload: Workload, number: int, *, image: str, key: bool) -> dict[str, str]:
    """The files of one Pod."""
    files: dict[str, str] = {}
    plan = None
    if params["engine"] != BUILTIN:
        cores = max(1, int(quantity(params["cpu"]) or 1))
        job = Job(tokenizer=params["tokenizer"] or "", cores=cores, api_key=key)
        rendered = engines.render(params["engine"], workload, job=job)
        files |= rendered.files
        plan = rendered.plan
    if workload.data.type == "jsonl":
        files[_DATASET] = _text(workload.data.path)
        workload = dataclasses.replace(workload, data=dataclasses.replace(workload.data, path=f"{FILES}/{_DATASET}"))
    if params["ca_bundle"]:
        files[_AUTHORITIES] = _text(params["ca_bundle"])
    told = {
        "engine": params["engine"],
        "workload": workload.as_data(),
        "engine_plan": plan,
        # One of the Pods asks the servers for all.
        "server_metrics": [] if number else list(params["server_metrics"]),
        "collect_timeout": params["collect_timeout"],
        "start_timeout": _START_TIMEOUT,
        "preflight": True,
        "verify": params["endpoint_validate_certs"],
        "image": image,
    }
    return {**files, PLAN: json.dumps(told, indent=1, sort_keys=True) + "\n"}


def _text(path: str) -> str:
    try:
        return Path(path).read_bytes().decode()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", hint="Check the file.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no UTF-8, byte {error.start}.", hint="Give it as UTF-8.") from error


def _pod(params: Options, image: str) -> PodOptions:
    return PodOptions(
        image=image,
        image_pull_policy=params["image_pull_policy"],
        image_pull_secrets=tuple(params["image_pull_secrets"]),
        cpu=params["cpu"],
        memory=params["memory"] or _MEMORY.get(params["engine"], _MEMORY_OF_TOOLS),
        storage=params["storage"],
        user=None if params["platform"] == "openshift" else PodOptions.user,
        env={key: str(value) for key, value in params["env"].items()},
        node_selector={key: str(value) for key, value in params["node_selector"].items()},
        tolerations=tuple(params["tolerations"]),
        labels={key: str(value) for key, value in params["labels"].items()},
        annotations={key: str(value) for key, value in params["annotations"].items()},
    )
