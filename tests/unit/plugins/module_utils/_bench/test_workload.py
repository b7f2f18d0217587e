# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A workload is read whole, and every mistake in it is named."""

from __future__ import annotations

import copy
import hashlib
import json
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.modelops.serving.plugins.module_utils._bench import workload
from ansible_collections.modelops.serving.plugins.module_utils._bench.errors import InputError
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._bench.runs import (
    WORKLOAD,
    a_workload,
    properties,
)

FILE = {"type": "jsonl", "path": "/data/prompts.jsonl", "output_tokens": 5}


def changed(path, value):
    """The workload with one value set at a path of keys."""
    data = copy.deepcopy(WORKLOAD)
    place = data
    for key in path[:-1]:
        place = place.setdefault(key, {}) if isinstance(place, dict) else place[key]
    place[path[-1]] = value
    return data


@properties
@given(
    stages=st.lists(
        st.fixed_dictionaries({"rate": st.floats(0.01, 1e4), "duration": st.floats(0.1, 1e4)})
        | st.fixed_dictionaries({"concurrency": st.integers(1, 1000), "requests": st.integers(1, 10**6)}),
        min_size=1,
    ),
    mean=st.integers(1, 1000),
    stddev=st.floats(0, 100),
    protocol=st.sampled_from(workload.PROTOCOLS),
    keep=st.booleans(),
)
def test_plain_data_come_back(stages, mean, stddev, protocol, keep):
    lengths = {"type": "synthetic", "input_tokens": {"mean": mean, "stddev": stddev}, "output_tokens": mean}
    load = a_workload(stages=stages, data=lengths, protocol=protocol, keep_itl=keep, warmup={"requests": 3})
    again = workload.parse(json.loads(json.dumps(load.as_data())))
    assert again == load
    assert again.digest == load.digest


def test_a_number_is_a_length_without_variation():
    assert a_workload().data.output_tokens == workload.Length(10.0, 0.0, 10, 10)


def test_saxml_never_streams():
    assert not a_workload(protocol="saxml").stream
    assert a_workload().stream


def test_jetstream_needs_no_model():
    data = {key: value for key, value in WORKLOAD.items() if key != "model"}
    assert workload.parse(data | {"protocol": "jetstream"}).model == ""


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (["endpoint"], None, "endpoint is required"),
        (["endpoint"], "server:8000", "endpoint must be a URL that begins with http"),
        (["endpoint"], "http://server:port", "endpoint is not a URL"),
        (["endpoint"], "http://server/v1/completions", "endpoint must be without /v1/completions"),
        (["endpoint"], "http://server/?a=b", "endpoint must not have a query"),
        (["protocol"], "grpc", "protocol 'grpc' is not known: choose openai_completions, openai_chat"),
        (["protocol"], None, "protocol is required"),
        (["protocol"], ["saxml"], "is not known: choose"),
        (["model"], None, "model is required for the protocol openai_chat"),
        (["modle"], "x", "modle is not known; did you mean model"),
        (["stages"], [], "stages must be a list with at least one stage"),
        (["stages", 0, "rate"], 0, r"stages\[0\].rate must be a number above 0, not 0"),
        (["stages", 0, "rate"], "5", r"stages\[0\].rate must be a number above 0, not '5'"),
        (["stages", 0, "rate"], float("nan"), r"stages\[0\].rate must be a number above 0"),
        (["stages", 0, "concurrency"], 4, r"stages\[0\].rate or stages\[0\].concurrency is required, and not both"),
        (["stages", 0, "requests"], 4, r"stages\[0\].duration or stages\[0\].requests is required, and not both"),
        (["stages", 0], {"concurrency": 5000, "duration": 1}, r"stages\[0\].concurrency is above max_in_flight"),
        (["stages", 0], 7, r"stages\[0\] must be a mapping, not 7"),
        (["data"], None, "data is required"),
        (["data", "type"], "parquet", "data.type 'parquet' is not known"),
        (["data", "path"], "/x", "data.path is not known"),
        (["data"], {"type": "jsonl", "output_tokens": 1}, "data.path is required"),
        (["data", "input_tokens"], 0, "data.input_tokens must be a whole number from 1"),
        (["data", "output_tokens"], {"stddev": 1}, "data.output_tokens.mean is required"),
        (["data", "output_tokens"], {"mean": 5, "stddev": -1}, "data.output_tokens.stddev must be a number from 0"),
        (["data", "output_tokens"], {"mean": 5, "min": 6, "max": 9}, "mean must not be below min or above max"),
        (["arrival"], "gamma", "arrival 'gamma' is not known: choose constant or poisson"),
        (["warmup"], 5, "warmup must be a mapping"),
        (["warmup", "request"], 5, "warmup.request is not known; did you mean requests"),
        (["request_timeout"], 0, "request_timeout must be a number above 0"),
        (["repeats"], 0, "repeats must be a whole number from 1, not 0"),
        (["repeats"], True, "repeats must be a whole number from 1, not True"),
        (["stream"], "yes", "stream must be true or false"),
        (["extra_body"], ["a"], "extra_body must be a mapping of names to values of JSON"),
        (["extra_body"], {"a": {1, 2}}, "extra_body must be a mapping of names to values of JSON"),
        (["extra_body"], {"a": float("nan")}, "extra_body must be a mapping of names to values of JSON"),
        (["extra_body"], {1: "a"}, "extra_body must be a mapping of names to values of JSON"),
        (["extra_body"], {"stream": False}, "extra_body must not hold stream, which the workload says elsewhere"),
        (["headers"], {"a": 1}, "headers must be a mapping of names to texts"),
        (["headers"], {"a": "b\r\nc: d"}, "headers must be a mapping of names to texts of one line"),
        (["slo"], {"ttft_p99_s": 1}, "SLO 'ttft_p99_s' is not known; did you mean ttft_p99_ms"),
        (["slo"], [], "slo must be a mapping"),
    ],
)
def test_each_mistake_is_named(path, value, told):
    with pytest.raises(InputError, match=told):
        workload.parse(changed(path, value))


SEARCH = {
    "search": True,
    "slo": {"ttft_p99_ms": 200},
    "stages": [{"rate": 1, "duration": 1}, {"rate": 2, "duration": 1}],
}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"search": "yes"}, "search must be true or false"),
        ({"slo": {}}, "search needs slo"),
        ({"slo": {"error_rate": 0.1, "output_tok_s_min": 9}}, "no slo that more load brings nearer.* output_tok_s_min"),
        ({"stages": SEARCH["stages"][::-1]}, "search needs stages that rise in load"),
        ({"stages": SEARCH["stages"][:1] * 2}, "search needs stages that rise in load"),
        ({"stages": [SEARCH["stages"][0], {"concurrency": 4, "requests": 4}]}, "all by rate or all by concurrency"),
    ],
)
def test_a_search_needs_loads_that_can_be_told_apart(changes, told):
    with pytest.raises(InputError, match="has 1 mistake: .*" + told):
        a_workload(**{**SEARCH, **changes})


def test_a_search_is_another_workload():
    one = a_workload(**SEARCH)
    other = a_workload(**{**SEARCH, "search": False})
    assert workload.parse(one.as_data()) == one != other
    # Those that know of no search are what they were before there was one.
    assert "search" not in other.as_data() and other.digest != one.digest


def test_all_mistakes_are_named_at_once():
    with pytest.raises(InputError) as caught:
        workload.parse(WORKLOAD | {"protocol": "grpc", "stages": [{"rate": 0, "duration": 0}], "seed": -1})
    assert caught.value.message.startswith("The workload has 4 mistakes: ")


def test_what_is_no_mapping_is_bad_input():
    with pytest.raises(InputError, match="must be a mapping, not a list"):
        workload.parse([])


@pytest.mark.parametrize("where", ["endpoint", "headers"])
def test_credentials_have_no_place_and_are_not_repeated(where):
    word = secrets.token_hex(8)
    places = {"endpoint": f"http://user:{word}@server", "headers": {"Authorization": word}}
    with pytest.raises(InputError) as caught:
        workload.parse(WORKLOAD | {where: places[where]})
    assert "api_key" in str(caught.value)
    assert word not in str(caught.value)


def test_the_digest_is_that_of_the_load_and_not_of_where_it_goes():
    load = a_workload()
    alike = a_workload(endpoint="https://other", model="x", slo={"ttft_p99_ms": 1}, keep_itl=True, repeats=3)
    assert alike.digest == load.digest
    others = [
        a_workload(seed=1),
        a_workload(stages=[{"rate": 11, "duration": 10}]),
        a_workload(protocol="openai_completions"),
        a_workload(data=FILE),
        a_workload(extra_body={"ignore_eos": True}),
        a_workload(extra_body={"ignore_eos": False}),
    ]
    assert len({load.digest, *(other.digest for other in others)}) == 7
    # That of versions that knew no extra_body, so that runs from then are still compared.
    assert load.digest == "b7d52bfa89715e79e00f065b0a6a57f1308116b2186293863f7bd3b087bfa127"


def test_a_dataset_counts_by_its_content(tmp_path):
    loads = []
    for name, text in (("a", "one"), ("b", "one"), ("c", "two")):
        path = tmp_path / name
        path.write_text(json.dumps({"prompt": text}) + "\n")
        load = a_workload(data=FILE | {"path": str(path)})
        dataset = workload.read_dataset(load.data)
        assert dataset == workload.Dataset((text,), hashlib.sha256(path.read_bytes()).hexdigest())
        loads.append(load.pinned(dataset))
    assert loads[0].digest == loads[1].digest != loads[2].digest
    assert workload.parse(loads[0].as_data()) == loads[0]
    with pytest.raises(InputError, match="has the SHA-256"):
        workload.read_dataset(workload.parse(changed(["data"], FILE | {"path": str(path), "sha256": "0"})).data)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("text\n", "Line 1 of the dataset .* has no field 'prompt'"),
        ('{"prompt": "x"}\n{"text": "y"}\n', "Line 2 of the dataset .* has no field 'prompt'"),
        ('{"prompt": ""}\n', "The prompt in line 1 .* is not a text"),
        ('{"prompt": 5}\n', "The prompt in line 1 .* is not a text"),
    ],
)
def test_a_dataset_without_prompts_is_bad_input(tmp_path, content, told):
    path = tmp_path / "data.jsonl"
    path.write_text(content)
    with pytest.raises(InputError, match=told):
        workload.read_dataset(a_workload(data=FILE | {"path": str(path)}).data)


def test_a_dataset_that_cannot_be_read_is_bad_input(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        workload.read_dataset(a_workload(data=FILE | {"path": str(tmp_path / "none")}).data)


def test_a_workload_is_read_from_a_file(tmp_path):
    path = tmp_path / "workload.json"
    path.write_text(json.dumps(WORKLOAD))
    assert workload.read(path) == a_workload()
    path.write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        workload.read(path)
