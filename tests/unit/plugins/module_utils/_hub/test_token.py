# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
import urllib3

from ansible_collections.modelops.serving.plugins.module_utils._hub import token as hub_token
from ansible_collections.modelops.serving.plugins.module_utils._hub.token import look_up
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    DeadlineError,
    InputError,
    StoreError,
    TransientError,
)
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._transfer.fakes import FakeControl

HUB, COMMIT, TOKEN = "https://hub.test", "c" * 40, "hf_secret"
WHOAMI = {
    "type": "user",
    "name": "alice",
    "auth": {"type": "access_token", "accessToken": {"displayName": "ci", "role": "read", "createdAt": "2026-01-01"}},
}
FINE = {
    "canReadGatedRepos": True,
    "global": [],
    "scoped": [{"entity": {"_id": "0", "type": "model", "name": "a/b"}, "permissions": ["repo.content.read"]}],
}
OK = (200, {"X-Repo-Commit": COMMIT})


def gate(message, status=403):
    return status, {"X-Error-Code": "GatedRepo", "X-Error-Message": message}


class Web:
    """Answers by path; a list is answered from in turn, an exception is raised. Notes what was asked, with what."""

    def __init__(self):
        self.answers = {"/api/whoami-v2": (200, {}, json.dumps(WHOAMI).encode())}
        self.asked = []
        self.tokens = set()

    def __call__(self, control, **settings):
        self.settings = settings
        return self

    def fetch(self, method, url, *, headers):
        self.asked.append(f"{method} {url}")
        self.tokens.add(headers.get("Authorization"))
        answer = self.answers[url.removeprefix(HUB)]
        if isinstance(answer, list):
            answer = answer.pop(0)
        if isinstance(answer, Exception):
            raise answer
        status, fields, data = (*answer, b"")[:3]
        return status, urllib3.HTTPHeaderDict(fields), data


@pytest.fixture
def web(monkeypatch):
    fake = Web()
    monkeypatch.setattr(hub_token, "WebClient", fake)
    return fake


def ask(*models, token=TOKEN, endpoint=HUB, **control):
    return look_up(endpoint=endpoint, token=token, models=models, control=FakeControl(**control))


def one(web, answer, *, token=TOKEN):
    web.answers["/a/b/resolve/main/config.json"] = answer
    (found,) = ask("a/b", token=token, attempts=2).models
    assert found.page == f"{HUB}/a/b"
    return found


# -- the token ---------------------------------------------------------------------------------------------------


def test_a_token_with_a_role(web):
    info = ask()
    assert info.identity == hub_token.Identity("ci", "alice", "user", "read", None, (), "2026-01-01")
    assert (info.valid, info.usable, web.tokens) == (True, True, {f"Bearer {TOKEN}"})
    assert info.summary == "The token 'ci' (read) of the account alice is valid."


def test_a_fine_grained_token(web):
    access = {"displayName": "ci", "role": "fineGrained", "fineGrained": FINE}
    web.answers["/api/whoami-v2"] = (200, {}, json.dumps(WHOAMI | {"auth": {"accessToken": access}}).encode())
    identity = ask().identity
    assert identity.can_read_gated_repos is True
    assert identity.scopes == (hub_token.Scope("a/b", "model", ("repo.content.read",)),)


def test_credentials_without_a_role(web):
    web.answers["/api/whoami-v2"] = (200, {}, b'{"type": "org", "name": "acme", "auth": {"type": "oauth"}}')
    info = ask()
    assert (info.identity.role, info.identity.type, info.valid) == (None, "org", True)
    assert info.summary == "The token of the account acme is valid."


def test_a_refused_token_is_refused_for_every_model_without_asking(web):
    web.answers["/api/whoami-v2"] = (401, {"X-Error-Message": "Invalid credentials in Authorization header"})
    info = ask("a/b", "c/d")
    assert (info.valid, info.usable, info.identity) == (False, False, None)
    assert [model.access for model in info.models] == ["revoked", "revoked"]
    assert web.asked == [f"GET {HUB}/api/whoami-v2"]
    error = info.error()
    assert "a/b on" in error.message and "c/d on" in error.message
    assert error.hint == f"Make a new token at {HUB}/settings/tokens."


@pytest.mark.parametrize(
    "answer", [(404, {}, b"{}"), (200, {}, b"<html>"), (200, {}, b"[]"), (403, {}, json.dumps(WHOAMI).encode())]
)
def test_no_hub_answers_for_the_token(web, answer):
    web.answers["/api/whoami-v2"] = answer
    with pytest.raises(StoreError, match=f"HTTP {answer[0]} to /api/whoami-v2"):
        ask("a/b")


def test_whoami_is_asked_again_and_then_given_up(web):
    ok = web.answers["/api/whoami-v2"]
    web.answers["/api/whoami-v2"] = [(429, {"Retry-After": "7"}), (503, {}), ok]
    control = FakeControl(attempts=3)
    assert look_up(endpoint=HUB, token=TOKEN, models=(), control=control).valid
    assert control.slept[0] >= 7
    web.answers["/api/whoami-v2"] = [(503, {}), (503, {})]
    with pytest.raises(TransientError, match="HTTP 503"):
        ask(attempts=2)


def test_the_deadline_of_whoami(web):
    web.answers["/api/whoami-v2"] = DeadlineError("The run did not finish.")
    with pytest.raises(DeadlineError, match="whom the token belongs to"):
        ask()


def test_without_a_token_public_models_are_usable(web):
    web.answers["/a/b/resolve/main/config.json"] = OK
    info = ask("a/b", token=None)
    assert (info.given, info.valid, info.usable, web.tokens) == (False, False, True, {None})
    assert info.summary == "Without a token one may read 1 of 1 models."
    nothing = ask(token=None)
    assert (nothing.usable, nothing.summary) == (False, "No token was given.")
    assert "HF_TOKEN" in nothing.error().hint


# -- a model -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (OK, COMMIT),
        ((302, {"X-Repo-Commit": COMMIT, "Location": "https://cdn.test/x?Signature=s"}), COMMIT),
        ((307, {"X-Repo-Commit": COMMIT, "Location": "/api/resolve-cache/models/a/b/x"}), COMMIT),
        ((404, {"X-Repo-Commit": COMMIT, "X-Error-Code": "EntryNotFound"}), COMMIT),
        ((404, {"X-Error-Code": "EntryNotFound"}), None),
    ],
)
def test_a_model_that_may_be_read(web, answer, expected):
    found = one(web, answer)
    assert (found.access, found.revision, found.message, found.hint) == ("yes", expected, "", "")
    assert web.asked == [f"GET {HUB}/api/whoami-v2", f"HEAD {HUB}/a/b/resolve/main/config.json"]


@pytest.mark.parametrize(
    ("answer", "token", "access", "message", "hint"),
    [
        (gate("Access to model a/b is restricted. Please log in.", 401), None, "gated", "no token was given", "/a/b,"),
        (gate("... you are not in the authorized list. Visit"), TOKEN, "gated", "account has no access", f"{HUB}/a/b "),
        (gate("Your request ... is awaiting a review from the repo authors."), TOKEN, "pending", "awaits", "Wait"),
        (gate("... has been rejected by the repo's authors."), TOKEN, "gated", "rejected the request", "other account"),
        (
            (403, {"X-Error-Message": "Please enable access to public gated repositories in your fine-grained token"}),
            TOKEN,
            "gated",
            "this fine-grained token may not",
            f"{HUB}/settings/tokens",
        ),
        ((403, {"X-Error-Message": "SSO is needed."}), TOKEN, "gated", "to this token: SSO is needed.", f"{HUB}/a/b"),
        ((404, {"X-Error-Code": "RepoNotFound"}), TOKEN, "not_found", "the token may not read it", f"{HUB}/a/b"),
        ((401, {"X-Error-Message": "Invalid username or password."}), None, "not_found", "no token was", f"{HUB}/a/b"),
        ((401, {"X-Error-Code": "RepoNotFound"}), TOKEN, "not_found", "the token may not read it", f"{HUB}/a/b"),
        ((404, {"X-Error-Code": "RevisionNotFound"}), TOKEN, "not_found", "no branch main", f"{HUB}/a/b"),
        ((401, {"X-Error-Message": "Invalid credentials in Authorization header"}), TOKEN, "revoked", "refuses", "new"),
        ((503, {}), TOKEN, "unknown", "HTTP 503", "Run again"),
        ((418, {}), TOKEN, "unknown", "HTTP 418", "Run again"),
        ((200, {}), TOKEN, "unknown", "no commit", "X-Repo-Commit"),
        ((302, {"Location": "https://login.test/"}), TOKEN, "unknown", "HTTP 302", "redirects"),
        (TransientError("Refused.", hint="Check."), TOKEN, "unknown", "Refused.", "Check."),
        (DeadlineError("The run did not finish."), TOKEN, "unknown", "within the timeout", "timeout"),
    ],
)
def test_a_model_that_may_not_be_read(web, answer, token, access, message, hint):
    found = one(web, answer, token=token)
    assert (found.access, found.revision) == (access, None)
    assert message in found.message
    assert hint in found.hint
    assert HUB in found.message or isinstance(answer, Exception)


def test_a_busy_hub_is_asked_again(web):
    assert one(web, [(500, {}), OK]).access == "yes"


def test_a_renamed_repository_is_asked_under_its_new_name(web):
    web.answers["/new/b/resolve/main/config.json"] = gate("... is awaiting a review from the repo authors.")
    found = one(web, (307, {"Location": "/new/b/resolve/main/config.json"}))
    assert (found.name, found.access) == ("a/b", "pending")


def test_redirects_end(web):
    assert one(web, (307, {"Location": "/a/b/resolve/main/config.json"})).access == "unknown"


def test_many_models_keep_their_order_and_are_asked_once(web):
    names = [f"a/m{number}" for number in range(20)]
    for number, name in enumerate(names):
        web.answers[f"/{name}/resolve/main/config.json"] = OK if number else gate("... not in the authorized list.")
    info = ask(*names, names[3], endpoint=f"{HUB}/")
    assert [model.name for model in info.models] == names
    assert len(web.asked) == 21
    assert info.summary.endswith("of the account alice may read 19 of 20 models. a/m0: gated.")
    assert web.settings == {"pool_size": 8, "validate_certs": True, "ca_bundle": None}
    error = info.error()
    assert "alice may read 19 of 20 models. a/m0 on https://hub.test is gated" in error.message
    assert error.hint.startswith("Ask for access at https://hub.test/a/m0 ")


# -- nothing is sent ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["", "a/b/c", "../b", "a/..", "a/b..c", "a--b/c", "a b", "/a", "a/", "https://hub.test/a/b", "a/b?x", "é/b"]
)
def test_a_name_that_is_none(web, name):
    with pytest.raises(InputError, match="is not a repository id"):
        ask("a/b", name)
    assert web.asked == []


@pytest.mark.parametrize("name", ["gpt2", "google/gemma-3-1b-it", "01-ai/Yi_1.5"])
def test_names(web, name):
    web.answers[f"/{name}/resolve/main/config.json"] = OK
    assert ask(name).usable


@pytest.mark.parametrize(
    "endpoint", ["hub.test", "ftp://hub.test", "https://", "http://[::1", "https://a:secret@hub.test"]
)
def test_an_endpoint_that_is_none(web, endpoint):
    with pytest.raises(InputError, match="endpoint") as caught:
        ask(endpoint=endpoint)
    assert "secret" not in str(caught.value)
    assert web.asked == []
