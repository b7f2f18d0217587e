# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names, endpoints and tokens of IBM Cloud."""

from __future__ import annotations

import base64
import json
import threading
import time
import urllib.parse

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._transfer import ibm
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    AccessError,
    InputError,
    StoreError,
    TransientError,
)
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._transfer.fakes import FakeControl

SECRET = "c4nary-5ecret"
INSTANCE = "crn:v1:bluemix:public:cloud-object-storage:global:a/0123abc:11112222-3333-4444-5555-666677778888"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    for name in ("IBMCLOUD_API_KEY", "IBM_API_KEY_ID", "IBMCLOUD_IAM_API_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


class Web:
    """Answers requests for tokens from a list; the last answer stays. An answer may be an error."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.forms = []

    def fetch(self, method, url, *, headers, body):
        assert method == "POST" and url == "https://iam.example/identity/token"
        self.forms.append(dict(urllib.parse.parse_qsl(body.decode())))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        status, data = answer
        return status, {}, data if isinstance(data, bytes) else json.dumps(data).encode()


def given(token, life=3600.0, **more):
    return 200, {"access_token": token, "expires_in": life, "refresh_token": f"{token}-refresh", **more}


def tokens_of(web, **credentials):
    return ibm.IamTokens(ibm.IamCredentials("https://iam.example", **credentials), web)


def jwt(**claims):
    text = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{text}.sig"


# -- names -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("region", "host"),
    [("us-geo", "us"), ("us", "us"), ("eu-geo", "eu"), ("ap-geo", "ap"), ("us-south", "us-south"), ("ams03", "ams03")],
)
def test_endpoints_of_regions(region, host):
    assert ibm.cos_endpoint(region) == f"https://s3.{host}.cloud-object-storage.appdomain.cloud"


def test_an_unknown_region_needs_an_endpoint():
    with pytest.raises(InputError, match="no region 'us-mars'") as caught:
        ibm.cos_endpoint("us-mars")
    assert "us-south" in caught.value.hint and "endpoint_url" in caught.value.hint


@pytest.mark.parametrize("end", ["::", ":bucket:models", ":bucket:models \n"])
def test_a_crn_is_trimmed_to_the_instance(end):
    assert ibm.instance_crn(INSTANCE + end) == f"{INSTANCE}::"


@pytest.mark.parametrize(
    "crn",
    [
        "",
        "mars",
        INSTANCE,
        INSTANCE.replace("cloud-object-storage", "kms") + "::",
        INSTANCE.replace("a/0123abc", "") + "::",
        INSTANCE.rpartition(":")[0] + ":::",
        INSTANCE + ":bucket:a\nX-Header: b",
    ],
)
def test_what_is_no_crn_is_refused(crn):
    with pytest.raises(InputError, match="is not the CRN"):
        ibm.instance_crn(crn)


# -- stores ----------------------------------------------------------------------------------------------------


def store_of(**options):
    return ibm.cos_store(ibm.CosOptions(bucket="b", **options), FakeControl(), prefix="p/")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "exactly one kind of credentials"),
        ({"api_key": SECRET, "iam_token": SECRET}, "exactly one kind of credentials"),
        ({"api_key": SECRET, "access_key": "a", "secret_key": SECRET}, "exactly one kind of credentials"),
        ({"secret_key": SECRET}, "access_key and secret_key together"),
        ({"api_key": SECRET, "region": None}, "needs region or endpoint_url"),
        ({"api_key": SECRET, "region": "us-mars"}, "no region 'us-mars'"),
        ({"api_key": SECRET, "instance_crn": "mars"}, "is not the CRN"),
        ({"iam_token": f"{SECRET} {SECRET}"}, "iam_token is not a token"),
        ({"api_key": SECRET, "endpoint_url": "http://cos.example"}, "without TLS"),
        ({"api_key": SECRET, "iam_endpoint": "http://iam.example"}, "without TLS"),
        ({"api_key": SECRET, "iam_endpoint": f"https://a:{SECRET}@iam.example"}, "without credentials"),
        ({"api_key": SECRET, "iam_endpoint": "https://["}, "is not a URL"),
    ],
)
def test_options_that_are_not_right_are_refused_without_their_secrets(options, message):
    with pytest.raises(InputError, match=message) as caught:
        store_of(**{"region": "us-south", **options})
    assert SECRET not in str(caught.value)


def test_options_and_tokens_do_not_show_their_secrets():
    names = ("access_key", "secret_key", "api_key", "iam_token", "iam_refresh_token")
    assert SECRET not in repr(ibm.CosOptions(bucket="b", **dict.fromkeys(names, SECRET)))
    assert SECRET not in repr(ibm.Tokens(SECRET, SECRET, 0.0))
    assert SECRET not in repr(ibm.IamCredentials("https://a", SECRET, SECRET, SECRET))


def test_hmac_keys_and_tokens_reach_the_store():
    hmac = store_of(region="us-geo", access_key="a", secret_key="s")
    assert (hmac.options.endpoint_url, hmac.options.region) == (ibm.cos_endpoint("us"), "us")
    assert hmac._iam is None
    store = store_of(region="eu-de", iam_token=" Bearer  abc\n", iam_refresh_token=" r\n", instance_crn=f"{INSTANCE}::")
    who = store._iam.credentials
    assert (who.token, who.refresh_token, who.instance) == ("abc", "r", f"{INSTANCE}::")
    assert store.at("q/")._iam is store._iam
    assert (store.options.access_key, store.options.secret_key) == (None, None)


def test_the_environment_gives_an_api_key_only_when_nothing_else_is_given(monkeypatch):
    monkeypatch.setenv("IBM_API_KEY_ID", "second")
    assert store_of(region="us-south")._iam.credentials.api_key == "second"
    monkeypatch.setenv("IBMCLOUD_API_KEY", "first")
    monkeypatch.setenv("IBMCLOUD_IAM_API_ENDPOINT", "iam.test.example/identity/token")
    who = store_of(region="us-south")._iam.credentials
    assert (who.api_key, who.endpoint) == ("first", "https://iam.test.example")
    assert store_of(region="us-south", iam_token="t")._iam.credentials.api_key is None


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"])
def test_this_machine_needs_no_tls(url):
    assert store_of(endpoint_url=url, iam_endpoint=url, api_key="k").options.endpoint_url == url


# -- tokens ----------------------------------------------------------------------------------------------------


def test_an_api_key_is_exchanged_once():
    web = Web(given("t1"))
    tokens = tokens_of(web, api_key="k&y=")
    assert [tokens.token() for _time in range(3)] == ["t1"] * 3
    assert web.forms == [{"grant_type": "urn:ibm:params:oauth:grant-type:apikey", "apikey": "k&y="}]


def test_a_refresh_token_is_replaced_by_the_one_that_comes_back(monkeypatch):
    web = Web(given("t1"), given("t2"))
    tokens = tokens_of(web, refresh_token="r0", instance=f"{INSTANCE}::")
    assert tokens.token() == "t1"
    assert tokens.renew("t1") and tokens.token() == "t2"
    assert [form["refresh_token"] for form in web.forms] == ["r0", "t1-refresh"]
    assert {form["bss_account"] for form in web.forms} == {"0123abc"}


@pytest.mark.parametrize(("life", "good"), [(3600.0, 3300), (100.0, 80)])
def test_a_token_is_renewed_before_it_ends(monkeypatch, life, good):
    web = Web(given("t1", life), given("t2", life))
    tokens = tokens_of(web, api_key="k")
    now = time.time()
    monkeypatch.setattr(ibm.time, "time", lambda: now)
    assert tokens.token() == "t1"
    now += good - 1
    assert tokens.token() == "t1"
    now += 2
    assert tokens.token() == "t2"


def test_a_token_that_is_good_survives_an_iam_that_is_not(monkeypatch):
    web = Web(given("t1", 100), (503, b""))
    tokens = tokens_of(web, api_key="k")
    now = time.time()
    monkeypatch.setattr(ibm.time, "time", lambda: now)
    assert tokens.token() == "t1"
    now += 85
    assert tokens.token() == tokens.token() == "t1"
    assert len(web.forms) == 2  # the next try is some seconds later
    now += 16
    with pytest.raises(TransientError, match="HTTP 503"):
        tokens.token()


def test_a_given_token_is_used_until_it_says_that_it_ends(monkeypatch):
    web = Web(given("t1"))
    now = time.time()
    monkeypatch.setattr(ibm.time, "time", lambda: now)
    token = jwt(exp=now + 1000)
    tokens = tokens_of(web, token=token, refresh_token="r")
    assert tokens.token() == token
    now += 900
    assert tokens.token() == "t1"
    opaque = tokens_of(web, token="opaque", refresh_token="r")
    now += 10**6
    assert opaque.token() == "opaque"  # the store will say


def test_a_given_token_alone_cannot_be_renewed():
    web = Web(given("t1"))
    token = jwt(exp=1)
    tokens = tokens_of(web, token=token)
    assert tokens.token() == token and not tokens.renew(token)
    assert web.forms == [] and "iam_refresh_token" in tokens.hint("read")


def test_threads_renew_a_token_once():
    web = Web(given("t1"), given("t2"))
    tokens = tokens_of(web, api_key="k")
    used = tokens.token()
    threads = [threading.Thread(target=tokens.renew, args=(used,)) for _number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(web.forms) == 2 and tokens.token() == "t2"


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        ((400, {"errorCode": "BXNIM0415E", "errorMessage": f"No {SECRET} here."}), AccessError, r"BXNIM0415E \(No \*"),
        ((401, b"<html>"), AccessError, "HTTP 401"),
        ((403, {"errorMessage": "a\r\nb"}), AccessError, r"HTTP 403 \(a b\)"),
        ((429, {}), TransientError, "HTTP 429"),
        ((500, {}), TransientError, "HTTP 500"),
        ((302, {}), StoreError, "HTTP 302 without a token"),
        ((200, b"<html>"), StoreError, "without a token"),
        ((200, []), StoreError, "without a token"),
        ((200, {"access_token": "a\r\nX: b", "expires_in": 1}), StoreError, "without a token"),
        ((200, {"access_token": "t"}), StoreError, "without a token"),
        ((200, {"access_token": "t", "expires_in": "soon"}), StoreError, "without a token"),
    ],
)
def test_answers_of_iam(answer, error, message):
    with pytest.raises(error, match=message) as caught:
        tokens_of(Web(answer), api_key=SECRET).token()
    assert SECRET not in str(caught.value)


# -- passcodes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("passcode", ["", " \n", f"ibmcloud login -p {SECRET}"])
def test_what_is_no_passcode_is_not_sent(passcode):
    with pytest.raises(InputError, match="passcode") as caught:
        ibm.exchange_passcode(passcode, "https://iam.invalid")
    assert SECRET not in str(caught.value) and "https://iam.cloud.ibm.com/identity/passcode" in caught.value.hint


def test_a_wrong_crn_does_not_cost_the_passcode(monkeypatch):
    web = Web(given("t1"))
    monkeypatch.setattr(ibm, "WebClient", lambda *_args, **_options: web)
    with pytest.raises(InputError):
        ibm.exchange_passcode(SECRET, "https://iam.example", crn="mars")
    assert web.forms == []
    assert ibm.exchange_passcode(SECRET, "https://iam.example", control=FakeControl()).access_token == "t1"


def test_tokens_of_an_account_keep_the_refresh_token_when_no_other_comes(monkeypatch):
    web = Web(given("t1"), given("t2", refresh_token=None))
    monkeypatch.setattr(ibm, "WebClient", lambda *_args, **_options: web)
    tokens = ibm.exchange_passcode(SECRET, "https://iam.example", crn=f"{INSTANCE}::", control=FakeControl())
    assert (tokens.access_token, tokens.refresh_token) == ("t2", "t1-refresh")
    assert [form.get("bss_account") for form in web.forms] == [None, "0123abc"]
