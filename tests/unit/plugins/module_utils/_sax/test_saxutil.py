# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The texts are those that saxutil 1.1.0 prints: github.com/google/saxml, saxml/bin/saxutil_cmd_admin.go."""

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._sax import saxutil
from ansible_collections.modelops.serving.plugins.module_utils._sax.model import Model

LLAMA = "/sax/test/llama"
MODEL = Model(LLAMA, "saxml.lm.LLaMA7B", "gs://b/ckpt", 2, {"B": "[1,2]", "A": '"x=y z"'})
LOG = "I1121 21:20:25.724861    8873 saxutil_cmd_admin.go:651] "


def test_command_lines():
    common = ("saxutil", "-logtostderr", "-sax_timeout=40s")
    assert saxutil.list_models("/sax/test") == (*common, "ls", "-csv", "/sax/test")
    assert saxutil.show(LLAMA) == (*common, "ls", "-csv", "-acls=false", LLAMA)
    assert saxutil.describe(LLAMA) == (*common, "getacl", LLAMA, "all")
    assert saxutil.publish(MODEL) == (
        *common,
        *("publish", LLAMA, "saxml.lm.LLaMA7B", "gs://b/ckpt", "2", 'A="x=y z"', "B=[1,2]"),
    )
    assert saxutil.update(MODEL) == (*common, "update", "-replicas=2", LLAMA)
    assert saxutil.unpublish(LLAMA) == (*common, "unpublish", LLAMA)


def test_the_models_of_a_cell():
    assert saxutil.names("# #,Model ID\n0,gemma\n1,llama\n") == ["gemma", "llama"]
    assert saxutil.names("# #,Model ID\n") == []


def test_the_servers_of_a_model():
    header = "# Model,Model Path,Checkpoint Path,# of Replicas,(Selected) ReplicaAddress"
    assert saxutil.assigned(f"{header}\nllama,saxml.lm.LLaMA7B,None,2,10.8.0.7:10001\n") == (2, "10.8.0.7:10001")
    assert saxutil.assigned(f"{header}\nllama,saxml.lm.LLaMA7B,None,0,\n") == (0, "")
    row = "llama,saxml.lm.LLaMA7B,None,1,10.8.0.7:10001,lm.generate, lm.score"
    assert saxutil.assigned(f"{header},Methods\n{row}\n") == (1, "10.8.0.7:10001")


@pytest.mark.parametrize(
    "text", ["", "+---+\n| # |", "# #\n0", "# #,Model ID\n0\n", "flag provided but not defined: -csv"]
)
def test_what_is_no_table(text):
    with pytest.raises(ValueError, match=r"no table|too short"):
        saxutil.names(text)


@pytest.mark.parametrize(
    "overrides",
    [
        'overrides:{key:"A"  value:"\\"x=y z\\""} overrides:{key:"B" value:"[1, 2]"}',
        'overrides:<key:"A" value:"\\"x=y z\\"" > overrides:<key:"B" value:"[1,2]" > ',
        "overrides { key: 'A' value: '\"x' '=y z\"' } overrides: {\n key: \"B\"\n value: \"\\x5b1,2\\135\"\n}",
    ],
)
def test_the_definition_of_a_model(overrides):
    fields = (
        f'model_id:"{LLAMA}"  model_path:"saxml.lm.LLaMA7B" checkpoint_path:"gs://b/ckpt"  requested_num_replicas:2'
    )
    text = f'{fields} acls:{{items:{{key:"lm.score" value:"all {{}}"}}}} {overrides} admin_acl:"me" method_names:"lm.score"'
    log = f"{LOG}FetchAddr x\n{LOG}Info: Current model definition:\n{text}\n{LOG}done\n"
    assert saxutil.definition(log) == MODEL


def test_zero_and_nothing_are_left_out_of_a_definition():
    text = f'{LOG}Current model definition:\nmodel_id:"{LLAMA}" overrides:{{key:"A" value:"\\303\\244\\n\\\\"}} overrides:{{}}'
    assert saxutil.definition(text) == Model(LLAMA, "", "", 0, {"A": "ä\n\\", "": ""})


@pytest.mark.parametrize(
    "text", ["", "definition:\nmodel_id:1", 'model definition:\nmodel_id:"a', "model definition:\na:{b:1"]
)
def test_what_is_no_definition(text):
    with pytest.raises(ValueError, match=r"no model definition|no field"):
        saxutil.definition(text)


def test_why_it_failed():
    error = "E1121 21:20:26.950994    9081 saxutil_cmd_admin.go:199] Error: Failed to list models: context deadline exceeded"
    hint = "E1121 21:20:26.950999    9081 saxutil.go:77] Error: \nHint:\n* If the command failed"
    assert saxutil.reason(f"{LOG}FetchAddr\n{error}\n{hint}\n") == "Failed to list models: context deadline exceeded"
    assert saxutil.reason("flag provided but not defined: -csv") == "flag provided but not defined: -csv"
    assert saxutil.reason("") == "it does not say why"
