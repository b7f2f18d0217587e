# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The door of hf_token_info: options in, results out. Nothing asks the network."""

from __future__ import annotations

import contextlib
import dataclasses
import json

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.modelops.serving.plugins.module_utils._hub.token import Identity, ModelAccess, TokenInfo
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import TransientError
from ansible_collections.modelops.serving.plugins.modules import hf_token_info

IDENTITY = Identity("ci", "alice", "user", "read", None, (), "2026-01-01")
GATED = ModelAccess("a/b", "https://h/a/b", "gated", "a/b is gated.", "Ask for access.")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "no-token-here"))


@pytest.fixture
def run(capsys):
    """Run the module with options; its result."""

    def call(**options):
        with patch_module_args({**options, "_ansible_check_mode": True}), contextlib.suppress(SystemExit):
            hf_token_info.main()
        return json.loads(capsys.readouterr().out)

    return call


@pytest.fixture
def asked(monkeypatch):
    """What look_up was called with; it answers with ``asked["answer"]``, or raises ``asked["error"]``."""
    asked = {"answer": TokenInfo("https://h", True, IDENTITY, (GATED,))}

    def look_up(**arguments):
        asked.update(arguments)
        if "error" in asked:
            raise asked["error"]
        return asked["answer"]

    monkeypatch.setattr(hf_token_info, "look_up", look_up)
    return asked


def test_options_reach_the_hub(run, asked):
    result = run(
        token=" hf_given\n", endpoint="https://h", models=["a/b"], ca_bundle="/ca", validate_certs=False, attempts=2
    )
    assert (asked["token"], asked["endpoint"], asked["models"]) == ("hf_given", "https://h", ["a/b"])
    assert (asked["ca_bundle"], asked["validate_certs"], asked["control"].attempts) == ("/ca", False, 2)
    assert "white space" in str(result["warnings"])
    assert "hf_given" not in json.dumps(result)


def test_defaults(run, asked, monkeypatch):
    run()
    assert (asked["token"], asked["endpoint"], asked["models"]) == (None, "https://huggingface.co", [])
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror")
    monkeypatch.setenv("HF_TOKEN", "hf_environment")
    run()
    assert (asked["token"], asked["endpoint"]) == ("hf_environment", "https://mirror")


def test_a_token_that_the_hub_repeats_is_not_shown(run, asked, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_environment\n")
    asked["answer"] = TokenInfo(
        "https://h", True, IDENTITY, (dataclasses.replace(GATED, message="No: hf_environment."),)
    )
    result = run()
    assert result["models"][0]["message"].startswith("No: ")
    assert "hf_environment" not in json.dumps(result)


def test_what_may_not_be_read_is_a_result(run, asked):
    result = run()
    assert "failed" not in result
    assert result["token"] == {
        "name": "ci",
        "account": "alice",
        "type": "user",
        "role": "read",
        "can_read_gated_repos": None,
        "scopes": [],
        "created": "2026-01-01",
    }
    assert (result["valid"], result["usable"]) == (True, False)
    assert result["models"] == [
        {
            "name": "a/b",
            "page": "https://h/a/b",
            "access": "gated",
            "message": "a/b is gated.",
            "hint": "Ask for access.",
            "revision": None,
        }
    ]


def test_failing_on_what_may_not_be_read(run, asked):
    result = run(fail_on_unusable=True)
    assert result["failed"] and result["models"][0]["access"] == "gated"
    assert result["msg"].endswith("may read 0 of 1 models. a/b is gated. Ask for access.")
    assert result["error"]["kind"] == "AccessError"
    asked["answer"] = TokenInfo("https://h", True, IDENTITY, ())
    assert not run(fail_on_unusable=True).get("failed")


def test_a_hub_that_does_not_answer(run, asked):
    asked["error"] = TransientError("No answer.", hint="Check the network.")
    result = run()
    assert result["failed"] and result["msg"] == "No answer. Check the network."
    assert result["error"]["kind"] == "TransientError"


@pytest.mark.parametrize("token", ["hf_two words", "hf_gläser", " "])
def test_what_is_no_token_is_not_sent(run, asked, token):
    result = run(token=token)
    assert result["failed"] and result["error"]["kind"] == "InputError"
    assert "endpoint" not in asked
    assert token.strip() == "" or token not in json.dumps(result)
    assert result["msg"].startswith("The token ")
