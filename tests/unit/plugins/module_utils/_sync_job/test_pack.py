# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is secret goes into a Secret, and nothing secret anywhere else."""

from __future__ import annotations

import json

import pytest

from ansible_collections.modelops.serving.plugins.module_utils import _auth
from ansible_collections.modelops.serving.plugins.module_utils._sync_job.build import build
from ansible_collections.modelops.serving.plugins.module_utils._sync_job.pack import KEYS
from ansible_collections.modelops.serving.plugins.module_utils._sync_job.spec import Features
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError
from ansible_collections.modelops.serving.plugins.module_utils._transfer.request import DESTINATIONS
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._sync_job import options

CANARY = "canary-5bd7"
PLACES = {
    "huggingface": {"type": "huggingface", "repo": "a/b"},
    "kaggle": {"type": "kaggle", "repo": "a/b/c/d"},
    "s3": {"type": "s3", "bucket": "models", "prefix": "a"},
    "gcs": {"type": "gcs", "bucket": "models", "prefix": "a"},
    "ibm_cos": {"type": "ibm_cos", "bucket": "models", "prefix": "a"},
}
# Beside each other, as they have to be given.
CREDENTIALS = {
    "huggingface": [("token",), ("hf_token",), ("token_file",)],
    "kaggle": [("token",), ("token_file",), ("username", "key"), ("kaggle_config",)],
    "s3": [
        ("access_key", "secret_key", "session_token"),
        ("aws_access_key_id", "aws_secret_access_key", "aws_session_token"),
        ("aws_access_key", "aws_secret_key"),
    ],
    "gcs": [("access_token",), ("service_account_contents",), ("service_account_file",)],
    "ibm_cos": [
        ("access_key", "secret_key"),
        ("api_key",),
        ("ibmcloud_api_key",),
        ("iam_token", "iam_refresh_token"),
    ],
}
CASES = [(kind, keys) for kind, sets in CREDENTIALS.items() for keys in sets]


def objects_of(**given):
    return build(options.assembled(**given).spec, b"engine", ["six==1"], Features())


def assert_only_in_the_secret(objects, values):
    (secret,) = (obj for obj in objects if obj["kind"] == "Secret")
    kept = json.dumps(secret)
    rest = json.dumps([obj for obj in objects if obj["kind"] != "Secret"])
    for value in values:
        assert value in kept
        assert value not in rest


def values_for(keys, tmp_path):
    values = {}
    for key in keys:
        values[key] = f"{CANARY}-{key}"
        if key in ("token_file", "service_account_file", "kaggle_config"):
            path = tmp_path / key
            path.write_text(f"{CANARY}-{key}\n")
            values[key] = str(path)
    return values


def test_the_cases_are_all_that_is_secret():
    """A new option of a backend has to be thought of here and in pack."""
    spec = {**_auth.SOURCE, **_auth.DESTINATION}
    secret = {name for name, option in spec.items() if option.get("no_log")} | {"access_key", "service_account_file"}
    covered = {key for _kind, keys in CASES for key in keys}
    aliases = {alias for option in spec.values() for alias in option.get("aliases", ())}
    assert secret <= covered | {"token_file"}
    assert {alias for alias in aliases if any(word in alias for word in ("key", "token"))} <= covered


@pytest.mark.parametrize(("kind", "keys"), CASES)
def test_credentials_of_a_source(kind, keys, tmp_path):
    values = values_for(keys, tmp_path)
    objects = objects_of(name="a/b", source={**PLACES[kind], **values})
    assert_only_in_the_secret(objects, [f"{CANARY}-{key}" for key in keys])


@pytest.mark.parametrize(("kind", "keys"), [case for case in CASES if case[0] in DESTINATIONS])
def test_credentials_of_a_destination(kind, keys, tmp_path):
    values = values_for(keys, tmp_path)
    plain = {"bucket": "other", "access_key": "k2", "secret_key": f"{CANARY}-of-the-other"}
    objects = objects_of(destinations=[plain, {**PLACES[kind], **values}])
    assert_only_in_the_secret(objects, [f"{CANARY}-{key}" for key in keys] + [plain["secret_key"]])


def test_urls_of_hooks_are_secret():
    url = f"https://hooks.slack.com/services/{CANARY}"
    hooks = [{"type": "slack", "url": url, "on": ["failure"]}, {"type": "webhook", "url": f"{url}2"}]
    objects = objects_of(notify=hooks)
    assert_only_in_the_secret(objects, [url, f"{url}2"])
    request = json.loads(objects[0]["data"]["request.json"])
    assert [hook["url"]["from_file"].rpartition("/")[2] for hook in request["notify"]] == [
        "notify-1-url",
        "notify-2-url",
    ]
    assert request["notify"][0]["on"] == ["failure"]


def test_the_request_names_the_files_that_the_secret_has(tmp_path):
    source = {"type": "gcs", "bucket": "b", "prefix": "p", "service_account_contents": {"private_key": CANARY}}
    keys = {"access_key": "id", "secret_key": CANARY}
    objects = objects_of(source=source, destinations=[{"bucket": "models", **keys}])
    request = json.loads(objects[0]["data"]["request.json"])
    files = "/var/run/secrets/modelops.serving/credentials"
    assert request["source"]["service_account_file"] == f"{files}/source-service_account_file"
    assert "service_account_contents" not in request["source"]
    assert request["destinations"][0]["secret_key"] == {"from_file": f"{files}/destination-1-secret_key"}
    secret = objects[1]["stringData"]
    assert json.loads(secret["source-service_account_file"]) == {"private_key": CANARY}
    assert secret.keys() == {"source-service_account_file", "destination-1-access_key", "destination-1-secret_key"}


def test_aliases_are_not_part_of_the_request():
    objects = objects_of(
        destinations=[{"bucket": "b", "aws_region": "eu-west-1", "aws_endpoint_url": "https://s3.test"}]
    )
    request = json.loads(objects[0]["data"]["request.json"])
    assert request["destinations"] == [
        {"type": "s3", "bucket": "b", "region": "eu-west-1", "endpoint_url": "https://s3.test"}
    ]


def test_white_space_around_a_secret_is_dropped():
    spec = options.assembled(source={"repo": "a/b", "token": " hf_x\n"}).spec
    assert spec.credentials == {"source-token": "hf_x"}


def test_certificates_go_along(tmp_path):
    bundle = tmp_path / "ca.pem"
    bundle.write_text("-----BEGIN CERTIFICATE-----\n")
    objects = objects_of(destinations=[{"bucket": "b", "ca_bundle": str(bundle)}])
    request = json.loads(objects[0]["data"]["request.json"])
    assert request["destinations"][0]["ca_bundle"] == "/etc/model-sync/destination-1-ca.pem"
    assert objects[0]["data"]["destination-1-ca.pem"] == bundle.read_text()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"source": {"type": "local", "paths": ["/x"]}, "name": "n"}, "source is of type local"),
        ({"destinations": [{"type": "local", "path": "/x"}]}, "destination 1 is of type local"),
        ({"destinations": [{"bucket": "b", "profile": "p"}]}, "destination 1 has a profile"),
        ({"destinations": [{"bucket": "b", "ca_bundle": "/nowhere.pem"}]}, "ca_bundle of the destination 1 cannot"),
        ({"source": {"repo": "a/b", "token_file": "/nowhere"}}, "token_file of the source cannot be read"),
        ({"source": {"repo": "a/b", "token": "  "}}, "source token is empty"),
        ({"destinations": [{"bucket": "b", "endpoint_url": "https://u:canary@s3.test"}]}, "user name or password"),
        ({"index_url": "https://u:canary@pypi.test/simple"}, "user name or password"),
        ({"parallelism": 0}, "parallelism is 0"),
        ({"parallelism": 2, "source": {"type": "in_place"}, "name": "n"}, "Use parallelism 1"),
        ({"destinations": None}, "There is no destination"),
    ],
)
def test_what_means_nothing_in_a_cluster_is_refused(given, message):
    with pytest.raises(InputError) as raised:
        options.assembled(**given)
    assert message in str(raised.value)
    assert "canary" not in str(raised.value)


# -- Secrets that are there ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "there", "used"),
    [
        ("s3", ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "other"), ("access_key", "secret_key")),
        (
            "s3",
            ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
            ("access_key", "secret_key", "session_token"),
        ),
        ("ibm_cos", ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), ("access_key", "secret_key")),
        ("ibm_cos", ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "IBMCLOUD_API_KEY"), ("api_key",)),
        ("gcs", ("key.json",), ("service_account_file",)),
    ],
)
def test_the_keys_of_a_secret_are_files(kind, there, used):
    secrets = {"mine": dict.fromkeys(there, CANARY)}
    place = {**PLACES[kind], "credentials_secret": "mine"}
    spec = options.assembled(secrets, destinations=[place]).spec
    (mount,) = spec.mounts
    (destination,) = spec.request["destinations"]
    names = {key.option: key.name for keys in KEYS[kind] for key in keys}
    assert {key for key in names if key in destination} == set(used)
    for option in used:
        value = destination[option]
        path = value if isinstance(value, str) else value["from_file"]
        assert path == f"{mount.directory}/{names[option]}"
    assert (mount.secret, mount.keys) == ("mine", tuple(names[option] for option in used))
    assert "credentials_secret" not in destination
    assert CANARY not in json.dumps(build(spec, b"", [], Features()))


@pytest.mark.parametrize("kind", sorted(KEYS))
def test_a_secret_that_lacks_keys(kind):
    given = {**PLACES[kind], "credentials_secret": "mine"}
    with pytest.raises(InputError) as raised:
        options.assembled({"mine": {"what": CANARY, KEYS[kind][0][0].name: " "}}, name="n", source=given)
    assert f"Secret ns/mine needs {KEYS[kind][0][0].name}" in raised.value.message
    assert "it has what" in raised.value.message
    assert (
        f"kubectl create secret generic mine --namespace ns --from-file={KEYS[kind][0][0].name}=FILE"
        in raised.value.hint
    )
    assert CANARY not in str(raised.value)


@pytest.mark.parametrize(("kind", "keys"), CASES)
def test_both_a_secret_and_credentials_are_too_much(kind, keys, tmp_path):
    secrets = {"mine": {key.name: "x" for keys in KEYS[kind] for key in keys}}
    source = {**PLACES[kind], **values_for(keys, tmp_path), "credentials_secret": "mine"}
    with pytest.raises(InputError, match=r"The source has both .* and credentials_secret"):
        options.assembled(secrets, name="n", source=source)


@pytest.mark.parametrize(
    ("there", "used"),
    [
        (("username", "key", "other"), ("username", "key")),
        (("username", "key", "token"), ("token",)),
        (("kaggle.json",), ("kaggle_config",)),
    ],
)
def test_the_keys_of_a_secret_for_kaggle(there, used):
    given = {**PLACES["kaggle"], "credentials_secret": "mine"}
    spec = options.assembled({"mine": dict.fromkeys(there, CANARY)}, source=given).spec
    (mount,) = spec.mounts
    files = {"username": "username", "key": "key", "token": "token", "kaggle_config": "kaggle.json"}
    values = {name: f"{mount.directory}/{files[name]}" for name in used}
    assert spec.request["source"] == {
        **PLACES["kaggle"],
        **{name: path if name == "kaggle_config" else {"from_file": path} for name, path in values.items()},
    }
    assert CANARY not in json.dumps(build(spec, b"", [], Features()))


def test_a_type_without_credentials():
    with pytest.raises(InputError, match="means nothing for type in_place"):
        options.assembled({"mine": {}}, name="n", source={"type": "in_place", "credentials_secret": "mine"})
