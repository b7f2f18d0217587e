# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import botocore.exceptions
import pytest

from ansible_collections.modelops.serving.plugins.module_utils._aws.client import AwsClient, AwsOptions, refusal
from ansible_collections.modelops.serving.plugins.module_utils._transfer.control import Control
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    AccessError,
    ConflictError,
    InputError,
    NotFoundError,
    StoreError,
    TransferError,
    TransientError,
)

DENIED = "User: arn:aws:iam::1:user/x is not authorized to perform: secretsmanager:GetSecretValue on resource: y"
KEYS = {"access_key": "AKIA", "secret_key": "canary-key"}


def answer(code, message="Why.\nMore.", status=400, **headers):
    return {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers},
    }


@pytest.mark.parametrize(
    ("response", "kind", "hint"),
    [
        (answer("ExpiredTokenException"), AccessError, "renew"),
        (answer("UnrecognizedClientException"), AccessError, "secret key"),
        (answer("AccessDeniedException", DENIED), AccessError, "secretsmanager:GetSecretValue in"),
        (answer("AccessDeniedException", "No."), AccessError, "secretsmanager:DoIt in"),
        (answer("AccessDeniedException", "Access to KMS is not allowed"), AccessError, "kms:Decrypt"),
        (answer("EncryptionFailure"), AccessError, "kms:GenerateDataKey"),
        (answer("ResourceNotFoundException"), NotFoundError, ""),
        (answer("ResourceExistsException"), ConflictError, ""),
        (answer("InvalidRequestException", "It is scheduled for deletion."), ConflictError, "some minutes"),
        (answer("InvalidParameterException", "The KMS key is wrong."), InputError, ""),
        (answer("LimitExceededException"), StoreError, ""),
        (answer("ThrottlingException"), TransientError, "later"),
        (answer("", status=503), TransientError, "later"),
        ({}, StoreError, ""),
    ],
)
def test_refusals(response, kind, hint):
    error = refusal(response, "read the secret x", "secretsmanager:DoIt")
    assert error.__class__ is kind
    assert hint in error.hint and bool(hint) == bool(error.hint)
    assert error.message.startswith("AWS refused to read the secret x: ") and "More" not in error.message


def test_how_long_to_wait():
    error = refusal(answer("ThrottlingException", status=429, **{"retry-after": "7"}), "x", "y")
    assert error.retry_after == 7


class Sdk:
    """Stands for the client of botocore; raises what it is given, one after the other, then answers."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.meta = type("Meta", (), {"method_to_api_mapping": {"do_it": "DoIt"}})

    def do_it(self, **arguments):
        if self.errors:
            raise self.errors.pop(0)
        return arguments


@pytest.fixture
def client(monkeypatch):
    monkeypatch.delenv("AWS_URL", raising=False)

    def make(*errors, attempts=1):
        made = AwsClient("secretsmanager", AwsOptions(region="eu-central-1", **KEYS), Control(attempts=attempts))
        made._client = Sdk(*errors)
        return made

    return make


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (botocore.exceptions.NoCredentialsError(), AccessError),
        (botocore.exceptions.SSLError(endpoint_url="https://a", error="certificate"), AccessError),
        (botocore.exceptions.ParamValidationError(report="wrong"), InputError),
        (botocore.exceptions.EndpointConnectionError(endpoint_url="https://a"), TransientError),
        (botocore.exceptions.ReadTimeoutError(endpoint_url="https://a"), TransientError),
        (botocore.exceptions.BotoCoreError(), StoreError),
    ],
)
def test_trouble_on_the_way(client, error, kind):
    with pytest.raises(TransferError, match="Cannot do it: ") as caught:
        client(error).call("do_it", what="do it")
    assert caught.type is kind


def test_it_comes_again_after_what_passes(client):
    busy = botocore.exceptions.ClientError(answer("Throttling", **{"retry-after": "0"}), "DoIt")
    assert client(busy, attempts=2).call("do_it", what="do it", SecretId="x") == {"SecretId": "x"}
    with pytest.raises(TransientError):
        client(busy, attempts=1).call("do_it", what="do it")


def test_a_header_that_cannot_be_sent_is_not_quoted(client):
    with pytest.raises(InputError) as caught:
        client(ValueError("Invalid header value b'canary-key\\n'")).call("do_it", what="do it")
    assert "canary" not in str(caught.value) and caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "Give region"),
        ({"region": "eu-central-1", "endpoint_url": "nowhere"}, "Check endpoint_url"),
        ({"profile": "nobody"}, "nobody"),
    ],
)
def test_options_that_do_not_fit(monkeypatch, tmp_path, options, text):
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(InputError) as caught:
        AwsClient("secretsmanager", AwsOptions(**options), Control())
    assert text in str(caught.value)


def test_where_it_is(monkeypatch):
    monkeypatch.setenv("AWS_URL", "https://example.test")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    found = AwsClient("secretsmanager", AwsOptions(**KEYS), Control())._client.meta
    assert (found.endpoint_url, found.region_name) == ("https://example.test", "eu-west-1")
    given = AwsOptions(endpoint_url="https://given.test", region="us-east-2", **KEYS)
    found = AwsClient("secretsmanager", given, Control())._client.meta
    assert (found.endpoint_url, found.region_name) == ("https://given.test", "us-east-2")
    assert "canary" not in repr(given)
