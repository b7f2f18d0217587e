# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The door of hf_token_secret: options in, results out. No store is asked."""

from __future__ import annotations

import contextlib
import json

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.modelops.serving.plugins.module_utils._token_secret.store import KEPT, Outcome
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import AccessError
from ansible_collections.modelops.serving.plugins.modules import hf_token_secret

TOKEN = "hf_canary"
AWS = {"backend": "aws_secrets_manager", "region": "eu-central-1"}
GCP = {"backend": "gcp_secret_manager", "project": "demo"}
CLUSTER = {"namespace": "models"}
ALL = {"kubernetes": CLUSTER, "gcp_secret_manager": GCP, "aws_secrets_manager": AWS}
CREATED = Outcome("arn", None, {"AWSCURRENT": KEPT}, version="v1", reference="arn:::v1", warnings=("Take care.",))


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "GCP_PROJECT", "GOOGLE_CLOUD_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "no-token-here"))


@pytest.fixture
def run(capsys):
    """Run the module with options; its result."""

    def call(check=False, **options):
        given = {**options, "_ansible_check_mode": check, "_ansible_diff": True}
        with patch_module_args(given), contextlib.suppress(SystemExit):
            hf_token_secret.main()
        return json.loads(capsys.readouterr().out)

    return call


class FakeStore:
    """Any of the stores. ``made`` is what it was made with, ``asked`` what it was asked to do."""

    def __init__(self):
        self.made, self.asked, self.answer, self.errors = None, None, CREATED, []

    def __call__(self, *_client, **arguments):
        self.made = arguments
        return self

    def present(self, token, **arguments):
        return self._answer(("present", token, arguments))

    def absent(self, **arguments):
        return self._answer(("absent", arguments))

    def _answer(self, asked):
        self.asked = asked
        for error in self.errors:
            raise error
        return self.answer


@pytest.fixture
def store(monkeypatch):
    fake = FakeStore()
    for name in ("KubernetesSecret", "GcpSecretManager", "SecretsManager"):
        monkeypatch.setattr(hf_token_secret, name, fake)
    monkeypatch.setattr(hf_token_secret.auth, "connect", lambda _module: None)
    monkeypatch.setattr(hf_token_secret, "google_client", lambda _module: None)
    return fake


def test_options_reach_a_cluster(run, store):
    result = run(token=TOKEN, labels={"a": 1, "b": True}, keys=["one"], **CLUSTER)
    assert store.made == {
        "name": "huggingface-token-read",
        "namespace": "models",
        "keys": ("one",),
        "labels": {"a": "1", "b": "true"},
        "annotations": None,
    }
    assert store.asked == ("present", TOKEN, {"check": False})
    assert result["keys"] == ["one"] and result["backend"] == "kubernetes"


def test_options_reach_google(run, store, monkeypatch):
    monkeypatch.setenv("GCP_PROJECT", "environment")
    result = run(check=True, backend="gcp_secret_manager", token=TOKEN, name="x", annotations={}, keep_versions=2)
    assert store.made == {
        "project": "environment",
        "name": "x",
        "labels": None,
        "annotations": {},
        "locations": (),
        "kms_key": None,
        "keep_versions": 2,
        "old_versions": "disable",
    }
    assert store.asked == ("present", TOKEN, {"check": True})
    assert result["keys"] is None


def test_options_reach_aws(run, store):
    run(state="absent", destroy=True, recovery_window=0, readers=[], kms_key="k", keep_versions=1, **AWS)
    assert store.asked == ("absent", {"destroy": True, "check": False})
    assert store.made["recovery_window"] == 0 and store.made["readers"] == []
    run(token=TOKEN, **AWS)
    assert store.made["recovery_window"] == 30 and store.made["readers"] is None
    assert store.made["keys"] == ("token", "HUGGINGFACE_TOKEN")


def test_the_result(run, store):
    result = run(token=TOKEN, **AWS)
    shown = {key: result[key] for key in ("changed", "name", "version", "previous_version", "reference")}
    assert shown == {
        "changed": True,
        "name": "arn",
        "version": "v1",
        "previous_version": None,
        "reference": "arn:::v1",
    }
    assert result["diff"]["before"] == "" and result["diff"]["after"] == "AWSCURRENT: (hidden)\n"
    assert "Take care." in str(result["warnings"])
    assert TOKEN not in json.dumps(result)
    store.answer = Outcome("arn", {"a": "b"}, {"a": "b"}, version="v1")
    result = run(token=TOKEN, **AWS)
    assert not result["changed"] and "diff" not in result


def test_a_failure(run, store):
    store.errors = [AccessError(f"Refused, {TOKEN}.", hint="Ask.")]
    result = run(token=f"{TOKEN}\n", **AWS)
    assert result["failed"] and result["msg"].endswith("Ask.")
    assert result["error"]["kind"] == "AccessError" and result["error"]["hint"] == "Ask."
    assert TOKEN not in json.dumps(result)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "There is no token to store"),
        ({"token": '"hf_x"'}, "such as quotes"),
        ({"token": "hf_x=y"}, "such as quotes"),
        ({"token": " \n"}, "is empty"),
        ({"token": "hf_two words"}, "illegal characters inside"),
        ({"token_file": "/nowhere/token"}, "cannot be read"),
        ({"token": TOKEN, "token_file": "/nowhere/token"}, "mutually exclusive"),
        ({"token": TOKEN, "keys": ["a", "a"]}, "a is there twice"),
        ({"token": TOKEN, "old_versions": "destroy"}, "keep_versions"),
        ({"token": TOKEN, "backend": "kubernetes"}, "namespace"),
        ({"token": TOKEN, "backend": "gcp_secret_manager"}, "GCP_PROJECT"),
    ],
)
def test_refusals_before_anything_is_asked(run, store, options, text):
    result = run(**{**AWS, **options})
    assert result["failed"] and text in result["msg"], result
    assert store.asked is None and "canary" not in json.dumps(result)


GIVEN = {
    "annotations": {},
    "keys": ["token"],
    "namespace": "models",
    "keep_versions": 1,
    "old_versions": "destroy",
    "locations": [],
    "kms_key": "k",
    "recovery_window": 30,
    "readers": [],
}


@pytest.mark.parametrize("backend", ALL)
@pytest.mark.parametrize("option", GIVEN)
def test_options_of_other_stores_are_refused(backend, option):
    params = {**dict.fromkeys(GIVEN), "backend": backend, option: GIVEN[option]}
    known = backend in hf_token_secret._ONLY[option]
    with contextlib.nullcontext() if known else pytest.raises(Exception, match=f"option {option} is not for"):
        hf_token_secret.check_backend(params)


def test_connections_of_all_stores_may_have_defaults(run, store):
    connections = {"context": "kind", "project": "demo", "region": "eu-central-1", "attempts": 2, "ca_bundle": "/ca"}
    for options in ALL.values():
        assert not run(token=TOKEN, **{**connections, **options}).get("failed")


def test_a_token_of_another_hub_is_stored_with_a_warning(run, store):
    result = run(token="other-hub~1/2+3==", **AWS)
    assert store.asked[1] == "other-hub~1/2+3==" and "does not begin with hf_" in str(result["warnings"])


def test_credentials_of_aws_lose_white_space(run, store, monkeypatch):
    seen = {}
    monkeypatch.setattr(hf_token_secret, "AwsClient", lambda _service, options, _control: seen.update(vars(options)))
    run(token=TOKEN, access_key=" AKIA\n", secret_key="canary-1\n", session_token="\tcanary-2", **AWS)
    assert [seen[key] for key in ("access_key", "secret_key", "session_token")] == ["AKIA", "canary-1", "canary-2"]
    assert seen["validate_certs"] is True
    store.errors = [AccessError("Refused canary-1 and canary-2.")]
    result = run(token=TOKEN, access_key="AKIA", secret_key="canary-1\n", session_token="canary-2 ", **AWS)
    assert "canary" not in json.dumps(result)
