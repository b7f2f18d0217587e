# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the options of a benchmark to the workload and what is told of its server. Pure."""

from __future__ import annotations

import contextlib
import typing as t
from urllib.parse import urlsplit

from ansible.module_utils.common.parameters import env_fallback

from ansible_collections.modelops.serving.plugins.module_utils._bench import workload
from ansible_collections.modelops.serving.plugins.module_utils._bench.compare import LEAST_REPEATS
from ansible_collections.modelops.serving.plugins.module_utils._bench.errors import InputError
from ansible_collections.modelops.serving.plugins.module_utils._bench.report_data import About
from ansible_collections.modelops.serving.plugins.module_utils._bench.workload import (
    ARRIVALS,
    PROTOCOLS,
    SECRET_HEADERS,
    Workload,
)

Options: t.TypeAlias = "t.Mapping[str, t.Any]"

#: The option for the key of the endpoint.
API_KEY = {"type": "str", "no_log": True, "fallback": (env_fallback, ["OPENAI_API_KEY"])}

#: What can end the module with an error, beside a run that nobody answered or that was cut off.
GATES = ("slo", "invalid", "inconclusive", "regression")

# Options that are those of a workload, under the same names.
_WORKLOAD = (
    *("endpoint", "protocol", "model", "stream", "data", "stages", "arrival", "warmup", "seed", "repeats"),
    *("connect_timeout", "request_timeout", "stall_timeout", "max_in_flight", "keep_text", "keep_itl", "search"),
)


def benchmark_options(*, required: bool = True) -> dict[str, t.Any]:
    """The options of the documentation fragment ``_benchmark``, or without ``required`` of its variant ``job``."""
    length = {
        "type": "dict",
        "options": {
            "mean": {"type": "float", "required": True},
            "stddev": {"type": "float"},
            "min": {"type": "int"},
            "max": {"type": "int"},
        },
    }
    return {
        "endpoint": {"type": "str", "required": required},
        "protocol": {"type": "str", "choices": list(PROTOCOLS), "default": "openai_completions"},
        "model": {"type": "str"},
        "ca_bundle": {"type": "path"},
        "headers": {"type": "dict", "default": {}},
        "extra_body": {"type": "dict", "default": {}},
        "stream": {"type": "bool", "default": True},
        "data": {
            "type": "dict",
            "required": required,
            "options": {
                "type": {"type": "str", "choices": ["synthetic", "jsonl"], "default": "synthetic"},
                # Counts, although "token" stands in their names.
                "input_tokens": {**length, "no_log": False},
                "output_tokens": {**length, "required": True, "no_log": False},
                "path": {"type": "path"},
                "field": {"type": "str"},
                "sha256": {"type": "str"},
            },
        },
        "stages": {
            "type": "list",
            "elements": "dict",
            "required": required,
            "options": {
                "rate": {"type": "float"},
                "concurrency": {"type": "int"},
                "duration": {"type": "float"},
                "requests": {"type": "int"},
            },
        },
        "arrival": {"type": "str", "choices": list(ARRIVALS), "default": "constant"},
        "warmup": {"type": "dict", "options": {"requests": {"type": "int"}}},
        "repeats": {"type": "int", "default": 1},
        "seed": {"type": "int", "default": 0},
        "connect_timeout": {"type": "float", "default": 10},
        "request_timeout": {"type": "float", "default": 300},
        "stall_timeout": {"type": "float", "default": 60},
        "max_in_flight": {"type": "int", "default": 4096},
        "keep_text": {"type": "bool", "default": False},
        "keep_itl": {"type": "bool", "default": False},
        "server_metrics": {"type": "list", "elements": "str", "default": []},
        "slo": {"type": "dict", "default": {}},
        "search": {"type": "bool", "default": False},
        "results": {"type": "path", "required": required},
        "run_id": {"type": "str"},
        "about": {
            "type": "dict",
            "options": {
                "revision": {"type": "str"},
                "server": {"type": "str"},
                "image": {"type": "str"},
                "args": {"type": "list", "elements": "str"},
                "accelerator": {"type": "str"},
                "topology": {"type": "str"},
                "chips": {"type": "int"},
                "tensor_parallel": {"type": "int"},
                "kubernetes": {"type": "str"},
                "zone": {"type": "str"},
            },
        },
        "usd_per_hour": {"type": "float"},
        "baseline": {"type": "str"},
        "fail_on": {"type": "list", "elements": "str", "choices": list(GATES), "default": ["slo", "invalid"]},
        "tolerance": {"type": "float", "default": 0.05},
        "interval": {"type": "float", "default": 10},
        "progress_file": {"type": "path"},
    }


def workload_of(params: Options) -> Workload:
    """The workload.

    :raises InputError: names every mistake.
    """
    given = {name: _given(params[name]) for name in _WORKLOAD}
    headers = {name: str(value) for name, value in params["headers"].items()}
    slo = {name: _number(value) for name, value in params["slo"].items()}
    # As it is: a value that is null is one as well.
    return workload.parse({**given, "headers": headers, "extra_body": params["extra_body"], "slo": slo})


def about_of(params: Options) -> About:
    """What is known of the server."""
    told = {**(params["about"] or {}), "name": params["name"], "usd_per_hour": params["usd_per_hour"]}
    return t.cast("About", _given(told))


def check_gates(params: Options) -> None:
    """Can the gates that are asked for tell anything?

    :raises InputError: they cannot.
    """
    if "regression" not in params["fail_on"]:
        return
    if not params["baseline"]:
        raise InputError("fail_on: regression has nothing to compare with.", hint="Give a baseline, such as last_good.")
    if params["repeats"] < LEAST_REPEATS:
        raise InputError(
            f"fail_on: regression cannot tell a difference from noise with repeats: {params['repeats']}.",
            hint=f"Set repeats to {LEAST_REPEATS} or more.",
        )


def secrets_of(params: Options) -> set[str]:
    """Values that belong elsewhere: the workload refuses them, and the result must not show them all the same."""
    found = {str(value) for name, value in params["headers"].items() if name.lower() in SECRET_HEADERS}
    with contextlib.suppress(ValueError):  # no URL, which the workload says
        found.add(urlsplit(params["endpoint"]).password or "")
    return {value for value in found if value.strip()}


def _given(value: t.Any) -> t.Any:
    """Without the suboptions that are not given."""
    if isinstance(value, dict):
        return {name: _given(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_given(inner) for inner in value]
    return value


def _number(value: t.Any) -> t.Any:
    """Templates make text of numbers. What is none is for the workload to refuse."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return float(value)
    return value
