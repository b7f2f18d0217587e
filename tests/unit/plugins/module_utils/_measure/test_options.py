# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the module inference_benchmark: what becomes of them, and what is refused."""

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._bench.errors import InputError
from ansible_collections.modelops.serving.plugins.module_utils._bench.workload import Length, Stage
from ansible_collections.modelops.serving.plugins.module_utils._measure import options
from ansible_collections.modelops.serving.plugins.modules.inference_benchmark import argument_spec


def given(**changes):
    """Options as Ansible hands them over: all of them, None where nothing was given."""
    length = {"mean": 8.0, "stddev": None, "min": None, "max": None}
    data = {"type": "synthetic", "input_tokens": length, "output_tokens": length, "path": None, "field": None}
    stage = {"rate": 5.0, "concurrency": None, "duration": 2.0, "requests": None}
    return {
        **{name: option.get("default") for name, option in argument_spec().items()},
        "endpoint": "http://server:8000",
        "model": "org/model",
        "results": "results",
        "data": {**data, "sha256": None},
        "stages": [stage],
        **changes,
    }


def test_a_workload():
    one = {"rate": None, "concurrency": 3, "duration": None, "requests": 9}
    made = options.workload_of(given(stages=[one], headers={"X-Shard": 7}, slo={"ttft_p99_ms": "200"}, repeats=3))
    assert made.stages == (Stage(concurrency=3, requests=9),)
    assert made.data.input_tokens == Length(8.0, 0.0, 8, 8)
    # What templates have made of numbers.
    assert (made.headers, made.slo) == ({"X-Shard": "7"}, {"ttft_p99_ms": 200.0})
    assert made.repeats == 3
    extra = {"stop": None, "logit_bias": {"5": -1}}
    assert options.workload_of(given(extra_body=extra)).extra_body == extra
    assert options.workload_of(given(search=True, slo={"error_rate": 0})).search


def test_defaults_are_those_of_the_engine():
    plain = {"protocol": "openai_completions", "model": "org/model", "endpoint": "http://server:8000"}
    length = {"mean": 8}
    data = {"type": "synthetic", "input_tokens": length, "output_tokens": length}
    assert options.workload_of(given()) == options.workload.parse(
        {**plain, "data": data, "stages": [{"rate": 5, "duration": 2}]}
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"endpoint": ""}, "endpoint is required"),
        ({"model": None}, "model is required"),
        ({"slo": {"ttft_p99_s": 2}}, "SLO 'ttft_p99_s' is not known; did you mean ttft_p99_ms?"),
        ({"slo": {"ttft_p99_ms": "200ms"}}, "not '200ms'"),
        ({"stages": [{"rate": 0.0, "duration": 1.0}]}, r"stages\[0\].rate must be a number above 0"),
        ({"warmup": {"requests": -1}}, "warmup.requests"),
    ],
)
def test_mistakes(changes, told):
    with pytest.raises(InputError, match=told):
        options.workload_of(given(**changes))


@pytest.mark.parametrize(
    ("changes", "told"), [({}, "nothing to compare with"), ({"baseline": "good"}, "Set repeats to 3 or more")]
)
def test_a_regression_has_to_be_told_from_noise(changes, told):
    with pytest.raises(InputError, match=told):
        options.check_gates(given(fail_on=["regression"], **changes))
    options.check_gates(given(fail_on=["regression"], baseline="good", repeats=3))
    options.check_gates(given())


def test_what_is_known_of_the_server():
    told = {"server": "vLLM", "chips": 8, "topology": None}
    assert options.about_of(given(about=told, usd_per_hour=2.5)) == {"server": "vLLM", "chips": 8, "usd_per_hour": 2.5}


def test_credentials_in_the_wrong_place_are_known():
    found = options.secrets_of(given(endpoint="http://me:word@server", headers={"authorization": "Bearer x", "A": "b"}))
    assert found == {"word", "Bearer x"}
    assert options.secrets_of(given(endpoint="http://[")) == set()
