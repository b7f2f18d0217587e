# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the options of the module inference_benchmark to the workload and what is told of its server. Pure."""

from __future__ import annotations

import contextlib
import typing as t
from urllib.parse import urlsplit

from ansible_collections.modelops.serving.plugins.module_utils._bench import workload
from ansible_collections.modelops.serving.plugins.module_utils._bench.compare import LEAST_REPEATS
from ansible_collections.modelops.serving.plugins.module_utils._bench.errors import InputError
from ansible_collections.modelops.serving.plugins.module_utils._bench.report_data import About
from ansible_collections.modelops.serving.plugins.module_utils._bench.workload import SECRET_HEADERS, Workload

Options: t.TypeAlias = "t.Mapping[str, t.Any]"

#: What can end the module with an error, beside a run that nobody answered or that was cut off.
GATES = ("slo", "invalid", "inconclusive", "regression")

# Options that are those of a workload, under the same names.
_WORKLOAD = (
    *("endpoint", "protocol", "model", "stream", "data", "stages", "arrival", "warmup", "seed", "repeats"),
    *("connect_timeout", "request_timeout", "stall_timeout", "max_in_flight", "keep_text", "keep_itl"),
)


def workload_of(params: Options) -> Workload:
    """The workload.

    :raises InputError: names every mistake.
    """
    given = {name: _given(params[name]) for name in _WORKLOAD}
    headers = {name: str(value) for name, value in params["headers"].items()}
    slo = {name: _number(value) for name, value in params["slo"].items()}
    return workload.parse({**given, "headers": headers, "slo": slo})


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
