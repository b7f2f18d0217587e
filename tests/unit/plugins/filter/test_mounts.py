# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters for volumes and mounts: the parts, the documentation beside them, and what is refused."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleFilterError

from ansible_collections.modelops.serving.plugins.filter import mounts

FILTERS = mounts.FilterModule().filters()
token, bucket = FILTERS["hf_token_mount"], FILTERS["model_bucket_mount"]


@pytest.mark.parametrize("source", ["secret", "gke", "aws"])
def test_a_token(source):
    parts = token("hub", source=source)
    assert [item["name"] for item in parts["volumes"]] == [item["name"] for item in parts["volumeMounts"]]
    assert parts["env"] == [{"name": "HF_TOKEN_PATH", "value": "/var/run/secrets/huggingface.co/token"}]
    assert ("secret" in parts["volumes"][0], parts["annotations"]) == (source == "secret", {})


def test_a_token_in_a_file_or_a_variable_of_its_own():
    parts = token("hub", "custom", path="/run/hf/mine", source="aws", paths=["mine"])
    assert parts["volumeMounts"][0]["mountPath"] == "/run/hf"
    (variable,) = token("hub", "env", key="hf")["env"]
    assert variable["valueFrom"]["secretKeyRef"] == {"name": "hub", "key": "hf"}


def test_a_bucket():
    parts = bucket("my-bucket", only_dir="a/b", read_only="no")
    (volume,), (mount,) = parts["volumes"], parts["volumeMounts"]
    assert volume["name"] == mount["name"]
    assert volume["csi"]["volumeAttributes"]["mountOptions"].endswith(",only-dir:a/b")
    assert (mount["readOnly"], parts["env"], parts["annotations"]) == (False, [], {"gke-gcsfuse/volumes": "true"})
    assert bucket("my-bucket")["volumeMounts"] == [{"name": mount["name"], "mountPath": "/models", "readOnly": True}]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: token("c", "env", "gke"), "hf_token_mount: The variable HF_TOKEN takes its value from a Secret"),
        (lambda: token("c", "jet"), "hf_token_mount: There is no profile 'jet'. Use one of standard,"),
        (
            lambda: token("c", source="vault"),
            "hf_token_mount: There is no source 'vault'. Use one of secret, gke, aws.",
        ),
        (lambda: token({"name": "c"}), "hf_token_mount: The name has to be text, and is dict."),
        (lambda: bucket("gs://b"), "model_bucket_mount: 'gs://b' is not the name of a bucket. Give it without gs://"),
        (lambda: bucket(None), "model_bucket_mount: The name has to be text"),
        (
            lambda: bucket("my-bucket", read_only="maybe"),
            "model_bucket_mount: The value 'maybe' is not a valid boolean",
        ),
    ],
)
def test_refusals_say_what_to_do(call, message):
    with pytest.raises(AnsibleFilterError) as raised:
        call()
    assert message in str(raised.value)


@pytest.mark.parametrize("name", FILTERS)
def test_the_documentation_has_the_options_and_defaults_of_the_code(name):
    said = yaml.safe_load(Path(mounts.__file__).with_name(f"{name}.yml").read_text())["DOCUMENTATION"]
    first, *others = inspect.signature(FILTERS[name]).parameters.values()
    assert first.default is inspect.Parameter.empty
    positional = [item.name for item in others if item.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    assert said["positional"] == ", ".join(positional)
    options = {key: option.get("default") for key, option in said["options"].items() if key != "_input"}
    defaults = {item.name: [*item.default] if isinstance(item.default, tuple) else item.default for item in others}
    assert options == defaults
