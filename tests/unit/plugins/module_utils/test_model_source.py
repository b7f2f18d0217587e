# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Secrets ask for."""

from __future__ import annotations

import json
import re

import pytest

from ansible_collections.modelops.serving.plugins.module_utils import _model_source as contract
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError

SECRET = "c4nary-5ecret"
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
INSTANCE = "crn:v1:bluemix:public:cloud-object-storage:global:a/0123abc:11112222-3333-4444-5555-666677778888"
S3 = {
    "S3_SYNC_TRANSFER_CONFIG__MAX_FILES": "5",
    "S3_SYNC_SRC__ENDPOINT": "https://s3.amazonaws.com",
    "S3_SYNC_SRC__PATH": "s3://bucket/folder/",
    "S3_SYNC_SRC__ACCESS_KEY": "AKIA" + SECRET,
    "S3_SYNC_SRC__SECRET_KEY": SECRET,
    "S3_SYNC_SRC__REGION": "us-east-1",
    "S3_SYNC_SRC__VALIDATE_TLS": "true",
}
COS = {
    "S3_SYNC_USE_IBMCLOUD_CLI": "true",
    "S3_SYNC_COS_INSTANCE_CRN": f"{INSTANCE}:bucket:models",
    "S3_SYNC_COS_INSTANCE_REGION": "us-geo",
    "S3_SYNC_COS_BUCKET": "models",
    "S3_SYNC_COS_MODEL_PREFIX": "granite/",
    "S3_SYNC_COS_TEMPORARY_PASSCODE": SECRET,
}
CONNECTION = {
    "AWS_ACCESS_KEY_ID": "AKIA" + SECRET,
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_DEFAULT_REGION": "local",
    "AWS_S3_BUCKET": "demo-1234",
    "AWS_S3_ENDPOINT": "http://s3.openshift-storage.svc",
}


def ref(key):
    return {"secret_key_ref": key}


def without(data, *keys):
    return {key: value for key, value in data.items() if key not in keys}


# -- the three ways --------------------------------------------------------------------------------------------


def test_the_example_of_s3():
    parsed = contract.parse(S3)
    assert parsed.source == {
        "type": "s3",
        "bucket": "bucket",
        "prefix": "folder",
        "endpoint_url": "https://s3.us-east-1.amazonaws.com",
        "region": "us-east-1",
        "access_key": ref("S3_SYNC_SRC__ACCESS_KEY"),
        "secret_key": ref("S3_SYNC_SRC__SECRET_KEY"),
    }
    assert parsed.options == {"workers": 5}
    assert (parsed.destination, parsed.passcode_key, parsed.warnings) == ({}, None, ())


def test_the_example_of_ibm_cos_with_a_passcode():
    parsed = contract.parse(COS)
    assert parsed.source == {
        "type": "ibm_cos",
        "bucket": "models",
        "prefix": "granite",
        "region": "us-geo",
        "instance_crn": f"{INSTANCE}::",
    }
    assert parsed.passcode_key == "S3_SYNC_COS_TEMPORARY_PASSCODE"
    assert parsed.warnings == ()


def test_the_example_of_an_upload_by_hand():
    assert contract.parse({"S3_SYNC_LOCAL_UPLOAD_COMPLETE": "true"}).source == {"type": "in_place"}


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ({**S3, **COS, "S3_SYNC_LOCAL_UPLOAD_COMPLETE": "true"}, "in_place"),
        ({**S3, **COS, "S3_SYNC_LOCAL_UPLOAD_COMPLETE": "false"}, "ibm_cos"),
        ({**S3, **COS, "S3_SYNC_USE_IBMCLOUD_CLI": "false"}, "s3"),
        ({**S3, **without(COS, "S3_SYNC_USE_IBMCLOUD_CLI")}, "s3"),
        (without(COS, "S3_SYNC_USE_IBMCLOUD_CLI"), "ibm_cos"),
    ],
)
def test_what_comes_first(data, kind):
    assert contract.parse(data).source["type"] == kind


@pytest.mark.parametrize(
    ("value", "kind"),
    [(value, "in_place") for value in ("true", "True", "TRUE", "1", "yes", "Yes", "on", " true\n")]
    + [(value, "s3") for value in ("false", "False", "0", "no", "off", "", " ")],
)
def test_flags_are_booleans(value, kind):
    assert contract.parse({**S3, "S3_SYNC_LOCAL_UPLOAD_COMPLETE": value}).source["type"] == kind


@pytest.mark.parametrize(
    "key",
    [
        "S3_SYNC_LOCAL_UPLOAD_COMPLETE",
        "S3_SYNC_USE_IBMCLOUD_CLI",
        "S3_SYNC_SRC__VALIDATE_TLS",
        "S3_SYNC_TRANSFER_CONFIG__FORCE",
        "S3_SYNC_SKIP_LOAD_FILES",
    ],
)
@pytest.mark.parametrize("value", ["maybe", "tru", "2", "rm -rf /"])
def test_what_is_neither_true_nor_false_is_refused(key, value):
    with pytest.raises(InputError, match=re.escape(f"{key} of Secret demo/model-source is {value!r}")):
        contract.parse({**S3, key: value})


# -- paths, endpoints, keys ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "bucket", "prefix"),
    [
        ("s3://bucket/folder/", "bucket", "folder"),
        ("s3://bucket/folder", "bucket", "folder"),
        ("s3://bucket//a/b//", "bucket", "a/b"),
        ("s3://bucket", "bucket", ""),
        ("s3://bucket/", "bucket", ""),
        ("s3://my.bucket-1/ünï code/a+b%20/", "my.bucket-1", "ünï code/a+b%20"),
    ],
)
def test_paths(path, bucket, prefix):
    source = contract.parse({**S3, "S3_SYNC_SRC__PATH": path}).source
    assert (source["bucket"], source["prefix"]) == (bucket, prefix)


@pytest.mark.parametrize(
    "path", ["bucket/folder", "s3:/bucket", "s3://", "s3:///folder", "https://bucket/folder", "s3://a"]
)
def test_paths_that_are_none(path):
    with pytest.raises(InputError, match=r"S3_SYNC_SRC__PATH of .* is no path of S3") as caught:
        contract.parse({**S3, "S3_SYNC_SRC__PATH": path})
    assert path in caught.value.message


def test_credentials_in_a_path_or_endpoint_are_not_shown():
    for change in (
        {"S3_SYNC_SRC__PATH": f"s3://key:{SECRET}@bucket/folder"},
        {"S3_SYNC_SRC__ENDPOINT": f"https://key:{SECRET}@example.com"},
    ):
        with pytest.raises(InputError) as caught:
            contract.parse({**S3, **change})
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("endpoint", "region", "expected"),
    [
        (None, "us-west-2", "https://s3.us-west-2.amazonaws.com"),
        ("", None, "https://s3.us-east-1.amazonaws.com"),
        ("https://s3.amazonaws.com", "eu-central-1", "https://s3.eu-central-1.amazonaws.com"),
        ("https://s3.amazonaws.com/", "cn-north-1", "https://s3.cn-north-1.amazonaws.com.cn"),
        ("http://minio.example:9000/", "us-east-1", "http://minio.example:9000"),
    ],
)
def test_no_endpoint_is_that_of_aws_whatever_the_destination_has(endpoint, region, expected):
    data = {**S3, **CONNECTION, "S3_SYNC_SRC__ENDPOINT": endpoint, "S3_SYNC_SRC__REGION": region}
    source = contract.parse({key: value for key, value in data.items() if value is not None}).source
    assert source["endpoint_url"] == expected


@pytest.mark.parametrize("endpoint", ["s3.example.com", "ftp://example.com", "https://", "https://[", "https://a/?x=y"])
def test_endpoints_that_are_none(endpoint):
    with pytest.raises(InputError, match="S3_SYNC_SRC__ENDPOINT"):
        contract.parse({**S3, "S3_SYNC_SRC__ENDPOINT": endpoint})


def test_what_else_a_source_of_s3_may_have():
    more = {
        "S3_SYNC_SRC__SESSION_TOKEN": SECRET,
        "S3_SYNC_SRC__CA_BUNDLE": PEM,
        "S3_SYNC_SRC__VALIDATE_TLS": "no",
        "S3_SYNC_TRANSFER_CONFIG__CHUNK_SIZE": "15MiB",
        "S3_SYNC_TRANSFER_CONFIG__MAX_THREADS_PER_FILE": "3",
    }
    parsed = contract.parse(S3 | more)
    assert parsed.source["session_token"] == ref("S3_SYNC_SRC__SESSION_TOKEN")
    assert parsed.source["ca_bundle"] == ref("S3_SYNC_SRC__CA_BUNDLE")
    assert parsed.source["validate_certs"] is False
    assert parsed.options == {"workers": 15, "part_size": 15 * 1024**2}
    (warning,) = parsed.warnings
    assert "S3_SYNC_SRC__VALIDATE_TLS" in warning and "TLS" in warning


@pytest.mark.parametrize(
    ("size", "expected"), [("15MiB", 15728640), ("16 mb", 16000000), ("1GiB", 2**30), ("5242880", 5242880)]
)
def test_sizes(size, expected):
    parsed = contract.parse({**S3, "S3_SYNC_TRANSFER_CONFIG__CHUNK_SIZE": size})
    assert parsed.options["part_size"] == expected


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("CHUNK_SIZE", "15 megs"),
        ("CHUNK_SIZE", "-15MiB"),
        ("CHUNK_SIZE", "1MiB"),
        ("MAX_FILES", "0"),
        ("MAX_FILES", "five"),
        ("MAX_THREADS_PER_FILE", "-1"),
    ],
)
def test_numbers_that_are_none(key, value):
    with pytest.raises(InputError, match=f"TRANSFER_CONFIG__{key} of .* is '{value}'"):
        contract.parse({**S3, f"S3_SYNC_TRANSFER_CONFIG__{key}": value})


def test_a_ca_bundle_is_a_certificate():
    with pytest.raises(InputError, match=r"CA_BUNDLE .* no certificate") as caught:
        contract.parse({**S3, "S3_SYNC_SRC__CA_BUNDLE": SECRET})
    assert SECRET not in str(caught.value)


def test_a_destination_of_its_own():
    dest = {key.replace("SRC", "DEST"): value for key, value in S3.items() if "SRC" in key}
    parsed = contract.parse(S3 | dest | {"S3_SYNC_DEST__ENDPOINT": "https://store.example"})
    assert parsed.destination["endpoint_url"] == "https://store.example"
    assert parsed.destination["secret_key"] == ref("S3_SYNC_DEST__SECRET_KEY")
    assert contract.parse({**S3, "S3_SYNC_DEST__DEFAULT_DIRECTORY": "/models/"}).destination == {"prefix": "models"}
    bare = contract.parse({**S3, "S3_SYNC_DEST__PATH": "s3://abc/d"}).destination
    assert bare == {"type": "s3", "bucket": "abc", "prefix": "d"}
    keyless = without(S3 | dest, "S3_SYNC_DEST__ACCESS_KEY", "S3_SYNC_DEST__SECRET_KEY")
    assert "access_key" not in contract.parse(keyless).destination


def test_a_destination_that_is_not_whole():
    with pytest.raises(InputError, match="S3_SYNC_DEST__ENDPOINT, but no S3_SYNC_DEST__PATH"):
        contract.parse({**S3, "S3_SYNC_DEST__ENDPOINT": "https://store.example"})
    with pytest.raises(InputError, match="together"):
        contract.parse({**S3, "S3_SYNC_DEST__PATH": "s3://abc/d", "S3_SYNC_DEST__ACCESS_KEY": "a"})


# -- IBM Cloud Object Storage ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "credentials"),
    [
        ({"S3_SYNC_COS_API_KEY": SECRET}, {"api_key": ref("S3_SYNC_COS_API_KEY")}),
        (
            {"S3_SYNC_COS_ACCESS_KEY": SECRET, "S3_SYNC_COS_SECRET_KEY": SECRET},
            {"access_key": ref("S3_SYNC_COS_ACCESS_KEY"), "secret_key": ref("S3_SYNC_COS_SECRET_KEY")},
        ),
    ],
)
def test_lasting_credentials_of_cos(more, credentials):
    keyless = without(COS, "S3_SYNC_COS_TEMPORARY_PASSCODE", "S3_SYNC_COS_INSTANCE_CRN")
    parsed = contract.parse(keyless | more)
    assert contract.secret_keys(parsed.source) == {key: value["secret_key_ref"] for key, value in credentials.items()}
    assert parsed.passcode_key is None and parsed.warnings == ()
    # A passcode beside them is not spent, and that is said.
    both = contract.parse(COS | more)
    assert both.passcode_key is None
    assert "S3_SYNC_COS_TEMPORARY_PASSCODE not" in both.warnings[0]


def test_the_other_options_of_cos():
    more = {
        "S3_SYNC_COS_ENDPOINT": "https://s3.private.us-south.cloud-object-storage.appdomain.cloud",
        "S3_SYNC_COS_IAM_ENDPOINT": "https://private.iam.cloud.ibm.com/",
        "S3_SYNC_COS_CA_BUNDLE": PEM,
    }
    source = contract.parse(without(COS, "S3_SYNC_COS_INSTANCE_REGION") | more).source
    assert source["endpoint_url"] == more["S3_SYNC_COS_ENDPOINT"]
    assert source["iam_endpoint"] == "https://private.iam.cloud.ibm.com"
    assert source["ca_bundle"] == ref("S3_SYNC_COS_CA_BUNDLE")
    assert "region" not in source


@pytest.mark.parametrize("prefix", ["granite", "granite/", "/granite/"])
def test_the_prefix_of_cos_is_a_folder(prefix):
    assert contract.parse({**COS, "S3_SYNC_COS_MODEL_PREFIX": prefix}).source["prefix"] == "granite"


def test_the_whole_bucket_has_to_be_asked_for():
    assert contract.parse({**COS, "S3_SYNC_COS_MODEL_PREFIX": ""}).source["prefix"] == ""
    with pytest.raises(InputError, match="lacks S3_SYNC_COS_MODEL_PREFIX"):
        contract.parse(without(COS, "S3_SYNC_COS_MODEL_PREFIX"))


@pytest.mark.parametrize("key", ["S3_SYNC_COS_INSTANCE_CRN", "S3_SYNC_COS_INSTANCE_REGION"])
def test_names_of_ibm_cloud_are_checked(key):
    with pytest.raises(InputError, match=f"{key} of Secret demo/model-source: .*'mars'"):
        contract.parse({**COS, key: "mars"})


# -- what is missing -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "missing"),
    [
        (
            {"S3_SYNC_SRC__REGION": "us-east-1"},
            ["S3_SYNC_SRC__PATH", "S3_SYNC_SRC__ACCESS_KEY", "S3_SYNC_SRC__SECRET_KEY"],
        ),
        (without(S3, "S3_SYNC_SRC__PATH") | CONNECTION, ["S3_SYNC_SRC__PATH"]),
        ({**S3, "S3_SYNC_SRC__PATH": " \n"}, ["S3_SYNC_SRC__PATH"]),
        (
            {"S3_SYNC_USE_IBMCLOUD_CLI": "1", "S3_SYNC_COS_TEMPORARY_PASSCODE": SECRET},
            [f"S3_SYNC_COS_{key}" for key in ("BUCKET", "MODEL_PREFIX", "INSTANCE_REGION", "INSTANCE_CRN")],
        ),
        (without(COS, "S3_SYNC_COS_TEMPORARY_PASSCODE"), ["S3_SYNC_COS_API_KEY (or "]),
        ({**COS, "S3_SYNC_COS_ACCESS_KEY": "a"}, ["S3_SYNC_COS_SECRET_KEY"]),
    ],
)
def test_all_that_is_missing_is_said_at_once(data, missing):
    with pytest.raises(InputError, match="Secret prod/source lacks") as caught:
        contract.parse(data, secret="source", namespace="prod")
    assert all(key in caught.value.message for key in missing)
    assert caught.value.message.count("S3_SYNC") >= len(missing)
    assert "kubectl create secret generic source --namespace prod" in caught.value.hint
    assert all(f"--from-literal={key}=" in caught.value.hint for key in missing if "SRC" in key)
    assert SECRET not in str(caught.value)


def test_a_secret_of_something_else_is_told_all_ways():
    with pytest.raises(InputError) as caught:
        contract.parse({"password": SECRET})
    assert caught.value.hint.count("kubectl create secret") == 3


@pytest.mark.parametrize("kind", ["s3", "ibm_cos", "in_place"])
def test_what_is_told_is_understood(kind):
    """The commands in the messages create Secrets that parse without a warning."""
    text = contract.required_secret(kind, "source", "prod")
    assert "Secret prod/source" in text and text.count("kubectl") == 1
    data = dict(re.findall(r"--from-literal=(\w+)=(\S+)", text))
    data = {key: f"{INSTANCE}::" if key.endswith("CRN") else value for key, value in data.items()}
    parsed = contract.parse(data)
    assert parsed.source["type"] == kind and parsed.warnings == ()
    assert text.split("\n", 1)[1] in contract.required_secret(None, "source", "prod")


# -- warnings and references -----------------------------------------------------------------------------------


def test_what_does_nothing_is_said():
    parsed = contract.parse(
        {
            **S3,
            "S3_SYNC_SRC__PAHT": "x",
            "S3_SYNC_WHATEVER": SECRET,
            "S3_SYNC_SKIP_LOAD_FILES": "true",
            "S3_SYNC_TRANSFER_CONFIG__FORCE": "false",
            "S3_SYNC_SRC__DEFAULT_DIRECTORY": "models",
            "HOME": "/tmp",
        }
    )
    text = "\n".join(parsed.warnings)
    assert "S3_SYNC_SRC__PAHT" in text and "Did you mean S3_SYNC_SRC__PATH?" in text
    assert len(parsed.warnings) == 5 and "HOME" not in text and SECRET not in text


def test_nothing_secret_leaves_the_secret():
    for data in (S3, COS, S3 | {"S3_SYNC_SRC__SESSION_TOKEN": SECRET}):
        assert SECRET not in repr(contract.parse(data))
    assert SECRET not in repr(contract.data_connection(CONNECTION))


@pytest.mark.parametrize("value", [f" {SECRET}", f"{SECRET} ", f"{SECRET}\n\n", f"\t{SECRET}\n"])
def test_white_space_around_a_secret_is_refused(value):
    with pytest.raises(InputError, match=r"S3_SYNC_SRC__SECRET_KEY .* white space") as caught:
        contract.parse({**S3, "S3_SYNC_SRC__SECRET_KEY": value})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_line_break_after_a_secret_is_none_of_it(end):
    parsed = contract.parse({**S3, "S3_SYNC_SRC__SECRET_KEY": SECRET + end, "S3_SYNC_SRC__REGION": "us-east-1" + end})
    assert parsed.source == contract.parse(S3).source


def test_references_become_files_where_the_secret_is_mounted():
    source = contract.parse({**S3, "S3_SYNC_SRC__CA_BUNDLE": PEM}).source
    keys = {option: f"S3_SYNC_SRC__{option.upper()}" for option in ("access_key", "secret_key", "ca_bundle")}
    assert contract.secret_keys(source) == keys
    mounted = contract.mounted(source, "/secrets")
    assert mounted["secret_key"] == {"from_file": "/secrets/S3_SYNC_SRC__SECRET_KEY"}
    assert mounted["ca_bundle"] == "/secrets/S3_SYNC_SRC__CA_BUNDLE"
    assert without(mounted, *keys) == without(source, *keys)


# -- data connections ------------------------------------------------------------------------------------------


def test_a_data_connection():
    assert contract.data_connection(CONNECTION) == {
        "type": "s3",
        "bucket": "demo-1234",
        "endpoint_url": "http://s3.openshift-storage.svc",
        "region": "local",
        "access_key": ref("AWS_ACCESS_KEY_ID"),
        "secret_key": ref("AWS_SECRET_ACCESS_KEY"),
    }


def test_a_data_connection_with_more_or_less():
    few = without(CONNECTION, "AWS_DEFAULT_REGION", "AWS_S3_ENDPOINT")
    found = contract.data_connection(few | {"AWS_SESSION_TOKEN": SECRET, "AWS_CA_BUNDLE": PEM})
    assert (found["region"], found["endpoint_url"]) == ("us-east-1", "https://s3.us-east-1.amazonaws.com")
    assert found["session_token"] == ref("AWS_SESSION_TOKEN") and found["ca_bundle"] == ref("AWS_CA_BUNDLE")
    path = contract.data_connection(few | {"AWS_CA_BUNDLE": "/etc/pki/tls/ca.crt"})
    assert path["ca_bundle"] == "/etc/pki/tls/ca.crt"


def test_a_data_connection_that_is_not_whole():
    with pytest.raises(InputError, match="lacks AWS_ACCESS_KEY_ID, AWS_S3_BUCKET, AWS_SECRET_ACCESS_KEY") as caught:
        contract.data_connection({"AWS_S3_ENDPOINT": "http://a"}, secret="models", namespace="prod")
    assert "Secret prod/models" in caught.value.message
    assert "kubectl create secret generic models --namespace prod" in caught.value.hint


def test_storage_config_has_the_bucket_and_only_strings():
    destination = contract.data_connection(CONNECTION)
    keys = {"access_key": "id", "secret_key": SECRET + "\n"}
    entry = contract.storage_config_entry({**destination, "validate_certs": False}, keys, cabundle_configmap="ca")
    assert json.loads(json.dumps(entry)) == {
        "type": "s3",
        "access_key_id": "id",
        "secret_access_key": SECRET,
        "endpoint_url": "http://s3.openshift-storage.svc",
        "bucket": "demo-1234",
        "default_bucket": "demo-1234",
        "region": "local",
        "verify_ssl": "0",
        "cabundle_configmap": "ca",
    }
    assert "verify_ssl" not in contract.storage_config_entry(destination, keys)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bucket": "${AWS_S3_BUCKET}"}, "the name of a bucket"),
        ({"bucket": ""}, "the name of a bucket"),
        ({"session_token": ref("AWS_SESSION_TOKEN")}, "session token"),
        ({"ca_bundle": ref("AWS_CA_BUNDLE")}, "ConfigMap"),
    ],
)
def test_what_kserve_cannot_use_is_refused(change, message):
    keys = {"access_key": "id", "secret_key": SECRET}
    with pytest.raises(InputError, match=message) as caught:
        contract.storage_config_entry({**contract.data_connection(CONNECTION), **change}, keys)
    assert SECRET not in str(caught.value)


def test_storage_config_needs_both_keys():
    with pytest.raises(InputError, match="needs access_key and secret_key"):
        contract.storage_config_entry(contract.data_connection(CONNECTION), {})
