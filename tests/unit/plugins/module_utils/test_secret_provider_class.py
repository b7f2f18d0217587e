# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the providers of the Secrets Store CSI driver are asked for."""

from __future__ import annotations

import pytest
import yaml

from ansible_collections.modelops.serving.plugins.module_utils._secret_provider_class import (
    aws_parameters,
    build,
    gke_parameters,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError

PATHS = ("token", "HUGGINGFACE_TOKEN")
ARN = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:huggingface/read-AbCdEf"
VERSION_ID = "0b9a9ab2-5c1f-4a0e-9a3e-3f1f0c9d2f11"


def gke(secret, paths=PATHS, **options):
    parameters = gke_parameters(secret, paths, **options)
    assert parameters.keys() == {"secrets"}
    return yaml.safe_load(parameters["secrets"])


def aws(secret="huggingface/read", paths=PATHS, **options):
    parameters = aws_parameters(secret, paths, **options)
    (wanted,) = yaml.safe_load(parameters.pop("objects"))
    return wanted, parameters


def test_the_object():
    made = build("n", "ns", "gke", {"secrets": "[]"}, labels={"a": "b"}, annotations={})
    assert made == {
        "apiVersion": "secrets-store.csi.x-k8s.io/v1",
        "kind": "SecretProviderClass",
        "metadata": {"name": "n", "namespace": "ns", "labels": {"a": "b"}, "annotations": {}},
        "spec": {"provider": "gke", "parameters": {"secrets": "[]"}},
    }


# -- Google Secret Manager -------------------------------------------------------------------------------------


def test_each_file_is_the_secret():
    resource = "projects/my-project/secrets/hf/versions/latest"
    assert gke_parameters("hf", PATHS, project="my-project")["secrets"] == (
        f"- resourceName: {resource}\n  path: token\n- resourceName: {resource}\n  path: HUGGINGFACE_TOKEN\n"
    )


@pytest.mark.parametrize(
    ("secret", "options", "resource"),
    [
        ("hf", {"project": "p", "version": "7"}, "projects/p/secrets/hf/versions/7"),
        ("projects/123/secrets/hf", {}, "projects/123/secrets/hf/versions/latest"),
        ("projects/p/secrets/hf/versions/7", {}, "projects/p/secrets/hf/versions/7"),
        ("projects/p/secrets/hf/versions/7", {"version": "7"}, "projects/p/secrets/hf/versions/7"),
        ("projects/p/locations/europe-west4/secrets/hf", {"version": "stable"},
         "projects/p/locations/europe-west4/secrets/hf/versions/stable"),
    ],
)  # fmt: skip
def test_the_name_of_a_version(secret, options, resource):
    assert [item["resourceName"] for item in gke(secret, **options)] == [resource, resource]


@pytest.mark.parametrize(
    ("secret", "options", "message"),
    [
        ("hf", {}, "The project of the secret hf is not known."),
        ("projects/p/secrets/hf", {"project": "p"}, "names its project already. Leave out project."),
        ("projects/p/secrets/hf/versions/7", {"version": "8"}, "names the version 7, and version is 8"),
        ("projects/p/secrets/", {}, "is not a secret of Secret Manager"),
        ("h f", {"project": "p"}, "is not a secret of Secret Manager"),
        ("hf", {"project": "p", "version": "0"}, "'0' is not a version of a secret"),
        ("projects/p/secrets/hf/versions/0", {}, "'0' is not a version of a secret"),
    ],
)
def test_no_secret_of_google(secret, options, message):
    with pytest.raises(InputError) as raised:
        gke(secret, **options)
    assert message in str(raised.value)


# -- AWS Secrets Manager ---------------------------------------------------------------------------------------


def test_each_file_is_a_key_of_the_one_secret():
    wanted, others = aws()
    assert wanted == {
        "objectName": "huggingface/read",
        "objectType": "secretsmanager",
        "jmesPath": [
            {"path": "token", "objectAlias": "token"},
            {"path": "HUGGINGFACE_TOKEN", "objectAlias": "HUGGINGFACE_TOKEN"},
        ],
    }
    assert others == {}


def test_region_and_rights():
    assert aws(region="us-east-1", use_pod_identity=True)[1] == {"region": "us-east-1", "usePodIdentity": "true"}
    assert aws(ARN)[1] == aws(ARN, region="eu-central-1")[1] == {"region": "eu-central-1"}


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (VERSION_ID, {"objectVersion": VERSION_ID}),
        ("AWSPREVIOUS", {"objectVersionLabel": "AWSPREVIOUS"}),
    ],
)
def test_a_version_by_its_id_or_label(version, expected):
    wanted, _others = aws(version=version)
    assert {key: value for key, value in wanted.items() if key.startswith("objectVersion")} == expected


def test_keys_that_are_no_identifiers_are_quoted():
    wanted, _others = aws(paths=["a-b", "hf.token", "7", "_x1"])
    assert [item["path"] for item in wanted["jmesPath"]] == ['"a-b"', '"hf.token"', '"7"', "_x1"]
    assert [item["objectAlias"] for item in wanted["jmesPath"]] == ["a-b", "hf.token", "7", "_x1"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"secret": "a b"}, "is not a secret of AWS Secrets Manager"),
        ({"secret": "arn:aws:s3:::bucket"}, "is not a secret of AWS Secrets Manager"),
        ({"secret": ARN, "region": "us-east-1"}, "is in eu-central-1, and region is us-east-1"),
        ({"secret": "token"}, "has the name of one of its paths"),
        ({"secret": "hf/token", "paths": ["hf_token"]}, "has the name of one of its paths"),
    ],
)
def test_no_secret_of_aws(options, message):
    with pytest.raises(InputError) as raised:
        aws(**options)
    assert message in str(raised.value)


# -- both ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([], "There are no paths."),
        (["token", "token"], "token is in paths more than once."),
        *(([name], "is not the name of a file") for name in ("", "a/b", ".", "..", "..data", "a b")),
    ],
)
def test_files_that_cannot_be(paths, message):
    for call in (lambda: gke("projects/p/secrets/hf", paths), lambda: aws(paths=paths)):
        with pytest.raises(InputError) as raised:
            call()
        assert message in str(raised.value)
