# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From options and Secrets to one sync."""

from __future__ import annotations

import json

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._sync_job.assemble import assemble
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._sync_job import options

AWS = {"AWS_ACCESS_KEY_ID": "connection-id", "AWS_SECRET_ACCESS_KEY": "connection-secret"}
CONNECTION = {**AWS, "AWS_S3_BUCKET": "models", "AWS_S3_ENDPOINT": "https://s3.test", "AWS_DEFAULT_REGION": "eu-west-1"}
S3 = {
    "S3_SYNC_SRC__PATH": "s3://origin/granite/",
    "S3_SYNC_SRC__REGION": "us-east-2",
    "S3_SYNC_SRC__ACCESS_KEY": "source-id",
    "S3_SYNC_SRC__SECRET_KEY": "source-secret",
}
COS = {
    "S3_SYNC_USE_IBMCLOUD_CLI": "true",
    "S3_SYNC_COS_INSTANCE_REGION": "us-geo",
    "S3_SYNC_COS_BUCKET": "origin",
    "S3_SYNC_COS_MODEL_PREFIX": "granite/",
}
CRN = "crn:v1:bluemix:public:cloud-object-storage:global:a/abc:def::"
MOUNTED = "/var/run/secrets/modelops.serving"


def from_secret(data, **given):
    given = {"source": None, "source_secret": "model-source", "name": "granite", "destinations": None, **given}
    if given["destinations"] is None:
        given.setdefault("data_connection", "connection")
    return options.assembled({"model-source": data, "connection": CONNECTION}, **given)


def file(where, key):
    return {"from_file": f"{MOUNTED}/{where}/{key}"}


# -- a Secret describes the source -----------------------------------------------------------------------------


def test_s3_to_a_data_connection():
    found = from_secret(S3)
    request = found.spec.request
    assert request["source"] == {
        "type": "s3",
        "bucket": "origin",
        "prefix": "granite",
        "endpoint_url": "https://s3.us-east-2.amazonaws.com",
        "region": "us-east-2",
        "access_key": file("source", "S3_SYNC_SRC__ACCESS_KEY"),
        "secret_key": file("source", "S3_SYNC_SRC__SECRET_KEY"),
    }
    assert request["destinations"] == [
        {
            "type": "s3",
            "bucket": "models",
            "prefix": "models",
            "endpoint_url": "https://s3.test",
            "region": "eu-west-1",
            "access_key": file("destination", "AWS_ACCESS_KEY_ID"),
            "secret_key": file("destination", "AWS_SECRET_ACCESS_KEY"),
        }
    ]
    assert {(mount.secret, mount.keys) for mount in found.spec.mounts} == {
        ("model-source", ("S3_SYNC_SRC__ACCESS_KEY", "S3_SYNC_SRC__SECRET_KEY")),
        ("connection", ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")),
    }
    assert (found.spec.credentials, found.hub, found.passcode) == ({}, None, None)
    assert "source-secret" not in repr(found) and "connection-secret" not in repr(found)


def test_cos_with_an_api_key():
    found = from_secret({**COS, "S3_SYNC_COS_API_KEY": "cos-secret"})
    assert found.spec.request["source"]["api_key"] == file("source", "S3_SYNC_COS_API_KEY")
    assert found.spec.request["source"]["type"] == "ibm_cos"
    assert found.passcode is None


def test_cos_with_a_passcode():
    found = from_secret(
        {**COS, "S3_SYNC_COS_TEMPORARY_PASSCODE": " passcode\n", "S3_SYNC_COS_INSTANCE_CRN": CRN},
    )
    assert (found.passcode.value, found.passcode.crn) == ("passcode", found.spec.request["source"]["instance_crn"])
    assert "'passcode'" not in repr(found)
    token = found.spec.request["source"]["iam_refresh_token"]
    assert token == {"from_file": f"{MOUNTED}/credentials/source-iam_refresh_token"}
    assert found.spec.credentials == {"source-iam_refresh_token": "", "source-passcode_digest": ""}
    assert not any("PASSCODE" in key for mount in found.spec.mounts for key in mount.keys)


def test_no_schedule_lives_on_a_passcode():
    data = {**COS, "S3_SYNC_COS_TEMPORARY_PASSCODE": "p", "S3_SYNC_COS_INSTANCE_CRN": CRN}
    with pytest.raises(InputError, match="temporary passcode, which no schedule can live on"):
        from_secret(data, schedule="@daily")


def test_an_upload_by_hand():
    found = from_secret({"S3_SYNC_LOCAL_UPLOAD_COMPLETE": "true"})
    assert found.spec.request["source"] == {"type": "in_place"}


def test_a_destination_in_the_secret():
    data = {
        **S3,
        "S3_SYNC_DEST__PATH": "s3://elsewhere/kept/",
        "S3_SYNC_DEST__ENDPOINT": "https://minio.test",
        "S3_SYNC_DEST__ACCESS_KEY": "d",
        "S3_SYNC_DEST__SECRET_KEY": "destination-secret",
    }
    (place,) = from_secret(data).spec.request["destinations"]
    assert (place["bucket"], place["prefix"], place["endpoint_url"]) == ("elsewhere", "kept", "https://minio.test")
    assert place["secret_key"] == file("described", "S3_SYNC_DEST__SECRET_KEY")
    only_path = {
        key: value for key, value in data.items() if not key.startswith("S3_SYNC_DEST__") or key.endswith("PATH")
    }
    (place,) = from_secret(only_path).spec.request["destinations"]
    assert (place["bucket"], place["endpoint_url"]) == ("elsewhere", "https://s3.test")
    alone = options.assembled(
        {"model-source": data}, source=None, source_secret="model-source", name="granite", destinations=None
    )
    assert alone.spec.request["destinations"][0]["bucket"] == "elsewhere"


def test_destinations_that_are_given_count():
    found = from_secret(S3, destinations=[options.BUCKET])
    assert found.spec.request["destinations"] == [{"type": "s3", "bucket": "models"}]


def test_options_of_the_engine_in_the_secret():
    data = {**S3, "S3_SYNC_TRANSFER_CONFIG__MAX_FILES": "2", "S3_SYNC_TRANSFER_CONFIG__CHUNK_SIZE": "32MiB"}
    request = from_secret(data).spec.request
    assert (request["options"]["workers"], request["options"]["part_size"]) == (2, 32 * 1024**2)


def test_warnings_are_passed_on():
    assert any(
        "S3_SYNC_SKIP_LOAD_FILES" in text for text in from_secret({**S3, "S3_SYNC_SKIP_LOAD_FILES": "1"}).warnings
    )


@pytest.mark.parametrize(
    ("data", "lacking"),
    [
        ({key: value for key, value in S3.items() if key != "S3_SYNC_SRC__SECRET_KEY"}, "S3_SYNC_SRC__SECRET_KEY"),
        (COS, "S3_SYNC_COS_API_KEY"),
        ({}, "S3_SYNC_SRC__PATH"),
    ],
)
def test_a_secret_that_lacks_keys(data, lacking):
    with pytest.raises(InputError) as raised:
        from_secret(data)
    assert "Secret ns/model-source lacks" in raised.value.message
    assert lacking in raised.value.message
    assert "kubectl create secret generic model-source --namespace ns" in raised.value.hint
    assert "source-id" not in str(raised.value)


def test_a_data_connection_that_lacks_keys():
    with pytest.raises(InputError, match="Secret ns/connection lacks AWS_S3_BUCKET"):
        options.assembled({"connection": AWS}, destinations=None, data_connection="connection")


def test_what_to_do_when_a_secret_is_not_there():
    asked = options.Namespace(
        {"model-source": S3, "connection": CONNECTION, "keys": AWS, "hub": {"token": "t"}},
    )
    common = {"name": "n", "destinations": [{"bucket": "b", "credentials_secret": "keys"}]}
    for given in ({"source": options.HUB, "token_secret": {"name": "hub"}}, {"source_secret": "model-source"}):
        assemble(options.params(**common, **given), options.ENGINE, asked)
    connected = {"source": options.HUB, "name": "n", "data_connection": "connection"}
    assemble(options.params(**connected), options.ENGINE, asked)
    assert "kubectl create secret generic connection --namespace ns" in asked.asked["connection"]
    assert "kubectl create secret generic hub --namespace ns --from-file=token=FILE" in asked.asked["hub"]
    assert "--from-file=AWS_ACCESS_KEY_ID=FILE --from-file=AWS_SECRET_ACCESS_KEY=FILE" in asked.asked["keys"]
    assert "S3_SYNC_COS_BUCKET" in asked.asked["model-source"]
    assert "S3_SYNC_LOCAL_UPLOAD_COMPLETE=true" in asked.asked["model-source"]


# -- KServe's storage-config -----------------------------------------------------------------------------------


def test_the_entry_of_storage_config():
    found = options.assembled(
        {"connection": CONNECTION}, destinations=None, data_connection="connection", storage_config="storage-config"
    )
    assert found.storage_config["access_key_id"] == "connection-id"
    assert found.storage_config["secret_access_key"] == "connection-secret"
    assert found.storage_config["bucket"] == "models"
    assert "connection-secret" not in repr(found)
    assert "connection-secret" not in json.dumps(found.spec.request)


# -- the token -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "file"),
    [
        ({}, "/var/run/secrets/huggingface.co/token"),
        ({"mount": "jetstream_pytorch"}, "/huggingface/HUGGINGFACE_TOKEN"),
        ({"mount": "custom", "path": "/run/hub/my.token"}, "/run/hub/my.token"),
        ({"mount": "env"}, None),
    ],
)
def test_the_token_of_a_secret(given, file):
    found = options.assembled({"hub": {"token": " hf_secret\n"}}, token_secret={"name": "hub", **given})
    assert found.spec.request["source"].get("token") == ({"from_file": file} if file else None)
    assert found.hub["token"] == "hf_secret"
    assert "hf_secret" not in repr(found)


@pytest.mark.parametrize("path", ["token", "/token", "/", "//token", "/../token"])
def test_a_token_needs_a_folder_of_its_own(path):
    with pytest.raises(InputError, match="The path of the token is"):
        options.assembled({"hub": {"token": "t"}}, token_secret={"name": "hub", "mount": "custom", "path": path})


@pytest.mark.parametrize(
    ("given", "driver", "file"),
    [
        ({"provider": "gke"}, "secrets-store-gke.csi.k8s.io", "/var/run/secrets/huggingface.co/token"),
        (
            {"provider": "aws", "mount": "jetstream_pytorch"},
            "secrets-store.csi.k8s.io",
            "/huggingface/HUGGINGFACE_TOKEN",
        ),
        (
            {"provider": "gke", "mount": "custom", "path": "/run/hub/mine", "paths": ["mine"]},
            "secrets-store-gke.csi.k8s.io",
            "/run/hub/mine",
        ),
    ],
)
def test_the_token_of_a_class(given, driver, file):
    found = options.assembled(token_secret_provider_class=given)
    (volume,) = found.spec.token.volumes
    assert volume["csi"]["driver"] == driver
    assert volume["csi"]["volumeAttributes"] == {"secretProviderClass": "huggingface-token-read"}
    assert found.spec.request["source"]["token"] == {"from_file": file}
    assert found.hub is None  # nobody but the Pods sees the token
    assert found.spec.credentials == {}


def test_a_class_without_the_file():
    given = {"provider": "gke", "mount": "custom", "path": "/run/hub/mine"}
    with pytest.raises(InputError, match="is to be the file mine, and SecretProviderClass huggingface-token-read has"):
        options.assembled(token_secret_provider_class=given)


def test_a_secret_without_the_key():
    with pytest.raises(InputError) as raised:
        options.assembled({"hub": {"hf": "canary", "token": ""}}, token_secret={"name": "hub"})
    assert raised.value.message == "Secret ns/hub has no token under token; it has hf, token."
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize(
    "given",
    [
        {"source": {**options.HUB, "token": "t"}},
        {"source": {**options.HUB, "credentials_secret": "hub"}},
        {"source": {"type": "s3", "bucket": "b"}, "name": "n"},
        {"source": None, "source_secret": "model-source", "name": "n"},
    ],
)
def test_a_token_secret_for_nothing(given):
    with pytest.raises(InputError, match="token_secret is for a source on the Hub"):
        options.assembled({"hub": {"token": "t"}, "model-source": S3}, token_secret={"name": "hub"}, **given)
    with pytest.raises(InputError, match="token_secret_provider_class is for a source on the Hub"):
        options.assembled(
            {"hub": {"token": "t"}, "model-source": S3}, token_secret_provider_class={"provider": "gke"}, **given
        )


# -- what the Hub is asked with from here -----------------------------------------------------------------------


def test_a_token_that_is_given(tmp_path):
    assert options.assembled(source={**options.HUB, "hf_token": "t"}).hub == {
        "type": "huggingface",
        **options.HUB,
        "token": "t",
    }
    path = tmp_path / "token"
    path.write_text("t")
    assert options.assembled(source={**options.HUB, "token_file": str(path)}).hub["token_file"] == str(path)


def test_a_token_in_credentials_secret():
    source = {**options.HUB, "credentials_secret": "hub"}
    found = options.assembled({"hub": {"token": "t"}}, source=source)
    assert found.hub == {"type": "huggingface", **options.HUB, "token": "t"}


@pytest.mark.parametrize(
    "given", [{"token_secret": {"name": "hub"}}, {"source": {**options.HUB, "credentials_secret": "hub"}}]
)
def test_with_a_token_that_cannot_be_read_the_hub_is_not_asked(given):
    params = options.params(**{"source": options.HUB, "destinations": [options.BUCKET], **given})
    assert assemble(params, options.ENGINE, options.Namespace(None)).hub is None


def test_secrets_that_describe_places_have_to_be_read():
    for given in (
        {"source_secret": "model-source", "destinations": [options.BUCKET]},
        {"source": options.HUB, "data_connection": "connection"},
    ):
        with pytest.raises(InputError, match="has to be read, and there is no cluster to ask"):
            assemble(options.params(name="n", **given), options.ENGINE, options.Namespace(None))
