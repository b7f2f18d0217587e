# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Google's answers mean, and what is sent again. The answers are a list; the requests are recorded."""

from __future__ import annotations

import json

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._gcp.client import GoogleClient
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
from ansible_collections.modelops.serving.plugins.module_utils._transfer.google import GoogleCredentials

TOKEN = "ya29.canary"
LOST = TransientError("secretmanager: no bytes arrived.")


def refusal(code, reason="", message="No.", **more):
    return code, {}, json.dumps({"error": {"code": code, "status": reason, "message": message, **more}}).encode()


class Patient(Control):
    """Does not really wait."""

    def sleep(self, seconds):
        self.slept = [*getattr(self, "slept", []), seconds]


class Web:
    def __init__(self, answers):
        self.answers, self.requests = list(answers), []

    def fetch(self, method, url, *, headers=None, body=None, timeout=None):
        self.requests.append((method, url, headers, body))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def nothing_of_the_environment(monkeypatch):
    for name in ("GCP_AUTH_KIND", "GCP_ACCESS_TOKEN", "GCP_SECRETMANAGER_ENDPOINT", "GOOGLE_CLOUD_QUOTA_PROJECT"):
        monkeypatch.delenv(name, raising=False)


def make(*answers, **options):
    client = GoogleClient(GoogleCredentials(access_token=TOKEN), Patient(attempts=3), **options)
    client._web = Web(answers)
    return client


def call(client, method="GET", **options):
    return client.call("secretmanager", method, "/v1/x", what="read the secret x", **options)


def test_a_request_carries_the_token_and_what_is_given():
    client = make((200, {}, b'{"name": "x"}'), (204, {}, b""))
    assert call(client, "POST", query={"secretId": "a b"}, body={"labels": {}}, headers={"if-match": "e"}) == {
        "name": "x"
    }
    assert call(client) == {}
    (method, url, headers, body), (_method, plain, fewer, nothing) = client._web.requests
    assert (method, url) == ("POST", "https://secretmanager.googleapis.com/v1/x?secretId=a+b")
    assert headers["authorization"] == f"Bearer {TOKEN}"
    assert (headers["if-match"], headers["content-type"], json.loads(body)) == ("e", "application/json", {"labels": {}})
    assert (plain, nothing) == ("https://secretmanager.googleapis.com/v1/x", None)
    assert "content-type" not in fewer


def test_endpoints_by_option_and_by_environment(monkeypatch):
    monkeypatch.setenv("GCP_SECRETMANAGER_ENDPOINT", "http://127.0.0.1:1/of-environment/")
    assert make().endpoint("secretmanager") == "http://127.0.0.1:1/of-environment"
    assert make(endpoints={"secretmanager": "https://p.example/"}).endpoint("secretmanager") == "https://p.example"
    assert make().endpoint("storage") == "https://storage.googleapis.com"
    with pytest.raises(InputError, match=r"'p\.example' of storage is not"):
        make(endpoints={"storage": "p.example"}).endpoint("storage")


@pytest.mark.parametrize(
    ("answer", "kind", "told"),
    [
        (
            refusal(400, "INVALID_ARGUMENT", "Bad label."),
            InputError,
            "read the secret x: Bad label (INVALID_ARGUMENT).",
        ),
        (refusal(400, "FAILED_PRECONDITION", "Disabled"), StoreError, "Disabled (FAILED_PRECONDITION)."),
        (refusal(401, "UNAUTHENTICATED"), AccessError, "Renew the access token"),
        (refusal(403, "PERMISSION_DENIED", "Denied"), AccessError, "Check which account is used"),
        (
            refusal(403, "PERMISSION_DENIED", "Permission 'secretmanager.secrets.get' denied"),
            AccessError,
            "a role with the permission secretmanager.secrets.get.",
        ),
        (
            refusal(403, "PERMISSION_DENIED", "Not used before", details=[{"reason": "SERVICE_DISABLED"}]),
            AccessError,
            "`gcloud services enable secretmanager.googleapis.com`",
        ),
        (refusal(404, "NOT_FOUND"), NotFoundError, "(NOT_FOUND)."),
        (refusal(409, "ABORTED"), ConflictError, "(ABORTED)."),
        (refusal(412, ""), ConflictError, "(412)."),
        ((502, {}, b"<html>bad gateway"), TransientError, "HTTP 502 (502). Try again later."),
        ((200, {}, b"<html>log in here"), StoreError, "was not answered with JSON"),
        ((200, {}, b"[1]"), StoreError, "was not answered with JSON"),
        ((418, {}, b'{"error": "text"}'), StoreError, "HTTP 418"),
    ],
)
def test_what_a_refusal_means(answer, kind, told):
    with pytest.raises(TransferError) as caught:
        call(make(*[answer] * 3))
    assert isinstance(caught.value, kind)
    assert told in str(caught.value)


def test_what_may_be_sent_again_is():
    client = make(refusal(503, "UNAVAILABLE"), LOST, (200, {}, b"{}"))
    assert call(client) == {}
    assert len(client._web.requests) == 3


def test_it_is_given_up_in_the_end():
    client = make(LOST, LOST, LOST)
    with pytest.raises(TransientError, match="no bytes arrived"):
        call(client)
    assert len(client._web.requests) == 3


@pytest.mark.parametrize("answer", [LOST, refusal(503, "UNAVAILABLE"), refusal(500, "INTERNAL")])
def test_what_would_do_harm_twice_is_sent_once(answer):
    client = make(answer, (200, {}, b"{}"))
    with pytest.raises(TransientError):
        call(client, "POST", once=True)
    assert len(client._web.requests) == 1


def test_too_many_requests_are_always_sent_again_after_the_pause_that_is_asked_for():
    client = make((429, {"Retry-After": "7"}, b""), (200, {}, b"{}"))
    assert call(client, "POST", once=True) == {}
    assert client._control.slept[0] >= 7


def test_no_secret_in_what_is_raised():
    with pytest.raises(AccessError) as caught:
        call(make(refusal(401, "UNAUTHENTICATED")))
    assert TOKEN not in str(caught.value) + repr(caught.value)
