# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import InputError
from ansible_collections.modelops.serving.plugins.module_utils._sax import model as models
from ansible_collections.modelops.serving.plugins.module_utils._sax.model import Model

GIVEN = {"path": "saxml.lm.LLaMA7B", "checkpoint": "gs://b/c=1|2:3+4%20/ckpt_00", "replicas": 1, "overrides": {}}


def make(name="llama", **changes):
    return models.make(name, "/sax/test", **{**GIVEN, **changes})


def test_a_model_by_its_name_or_its_id():
    assert make() == make("/sax/test/llama")
    assert make().id == "/sax/test/llama"
    assert make("a-b_1").id == "/sax/test/a-b_1"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "Llama"}, "'Llama' is no name"),
        ({"name": "7b"}, "'7b' is no name"),
        ({"name": "/sax/test/"}, "is no name"),
        ({"name": "/sax/other/llama"}, "not one of the cell /sax/test"),
        ({"path": "saxml.lm/LLaMA"}, "no model path"),
        ({"path": "-v"}, "no model path"),
        ({"checkpoint": "gs://b/a checkpoint"}, "no checkpoint"),
        ({"checkpoint": "gs://b/ä"}, "no checkpoint"),
        ({"checkpoint": ""}, "no checkpoint"),
        ({"replicas": -1}, "no number of replicas"),
        ({"overrides": {"A=B": 1}}, "'A=B' is no attribute"),
        ({"overrides": {"": 1}}, "'' is no attribute"),
        ({"overrides": {"A": float("nan")}}, "A has no value in JSON"),
        ({"overrides": {"A": {1, 2}}}, "A has no value in JSON"),
    ],
)
def test_what_saxml_would_refuse_is_not_sent(changes, said):
    with pytest.raises(InputError) as raised:
        make(**changes)
    assert said in str(raised.value)


def test_overrides_are_json_of_their_type():
    given = {"B": [1, 2], "A": "text", "C": {"y": 1.0, "x": None}, "D": True, "E": "1"}
    made = make(overrides=given)
    assert made.overrides == {"A": '"text"', "B": "[1,2]", "C": '{"x":null,"y":1.0}', "D": "true", "E": '"1"'}
    assert made.data["overrides"] == given
    assert list(made.data["overrides"]) == ["A", "B", "C", "D", "E"]


def test_the_same_json_is_the_same_override():
    assert models.canonical('{"b": 1,\n "a": [ 1 ]}') == '{"a":[1],"b":1}'
    assert models.canonical("not json") == "not json"
    assert Model("", "", "", 0, {"A": "not json"}).data["overrides"] == {"A": "not json"}


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({}, ()),
        ({"replicas": 2}, ("update",)),
        ({"path": "saxml.lm.Other"}, ("unpublish", "publish")),
        ({"checkpoint": "None", "replicas": 2}, ("unpublish", "publish")),
        ({"overrides": {"A": "1"}}, ("unpublish", "publish")),
        ({"overrides": {"B": "true"}}, ("unpublish", "publish")),
    ],
)
def test_only_what_an_update_cannot_do_replaces_a_model(changes, steps):
    found = make(overrides={"B": 1})
    assert models.plan(found, dataclasses.replace(found, **changes)) == steps


def test_publishing_and_unpublishing():
    assert models.plan(None, make()) == ("publish",)
    assert models.plan(make(), None) == ("unpublish",)
    assert models.plan(None, None) == ()
