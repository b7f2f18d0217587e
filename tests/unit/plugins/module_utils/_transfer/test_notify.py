# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hooks are told how a run ended, and nothing that goes wrong with them is worse than a warning."""

from __future__ import annotations

import http.server
import json
import re
import threading
import urllib.parse

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._transfer import notify as notify_module
from ansible_collections.modelops.serving.plugins.module_utils._transfer.control import Control
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError
from ansible_collections.modelops.serving.plugins.module_utils._transfer.notify import check_hooks, notify
from ansible_collections.modelops.serving.plugins.module_utils._transfer.outcome import summary

SECRET = "T000-B000-s3cr3t"
ARN = "arn:aws:sns:eu-central-1:123456789012:models"
TARGET = {"url": "s3://models/org/M/", "status": "complete", "changed": True, "error": None}
GOOD = {"changed": True, "failed": False, "name": "org/M", "revision": "r1", "destinations": [TARGET]}
UNCHANGED = {**GOOD, "changed": False}
BAD = {
    "failed": True,
    "name": "org/M",
    "error": {"kind": "AccessError", "message": "Not <allowed> & gated.", "hint": "Ask."},
}


class Listener:
    """An HTTP server that keeps what it is sent and answers with the next of ``statuses``, then with 200."""

    def __init__(self):
        self.requests = []
        self.statuses = []
        self.headers = {}
        listener = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                listener.requests.append((self.path, self.headers, body))
                answer = b"<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>"
                self.send_response(listener.statuses.pop(0) if listener.statuses else 200)
                for name, value in listener.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    @property
    def documents(self):
        return [json.loads(body) for _path, _headers, body in self.requests]


@pytest.fixture
def listener(monkeypatch):
    monkeypatch.setattr(Control, "sleep", lambda self, seconds: self.check())
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    listener = Listener()
    thread = threading.Thread(target=listener.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield listener
    listener.server.shutdown()
    listener.server.server_close()


def webhook(listener, **options):
    return {"type": "webhook", "url": f"{listener.url}/{SECRET}", **options}


# -- what is sent ----------------------------------------------------------------------------------------------


def test_a_webhook_is_posted_the_outcome(listener):
    assert notify([webhook(listener, headers={"Authorization": "Bearer x"})], GOOD) == []
    ((path, headers, _body),) = listener.requests
    assert path == f"/{SECRET}"
    assert (headers["Content-Type"], headers["Authorization"]) == ("application/json", "Bearer x")
    (document,) = listener.documents
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", document.pop("time"))
    assert document.pop("event") == "success"
    assert {**document, "failed": False} == summary(GOOD)
    notify([webhook(listener)], BAD)
    document = listener.documents[1]
    assert (document["event"], document["error"], document["changed"]) == ("failure", BAD["error"], False)


def test_slack_is_posted_a_text(listener):
    hook = {"type": "slack", "url": f"{listener.url}/services/{SECRET}"}
    assert notify([hook], GOOD) + notify([hook], BAD) == []
    good, bad = listener.documents
    assert good == {"text": "Sync of org/M at r1 is complete.\ns3://models/org/M/: complete"}
    assert bad == {"text": "Sync of org/M failed.\nNot &lt;allowed&gt; &amp; gated."}


def test_sns_is_published_to(listener):
    hook = {
        "type": "sns", "topic_arn": ARN, "endpoint_url": listener.url, "access_key": "AKIA", "secret_key": SECRET,
    }  # fmt: skip
    assert notify([hook], {**GOOD, "name": "org/M" + "x" * 200}) == []
    ((_path, headers, body),) = listener.requests
    form = urllib.parse.parse_qs(body.decode())
    assert (form["Action"], form["TopicArn"]) == (["Publish"], [ARN])
    assert form["Subject"] == [("Model sync success: org/M" + "x" * 200)[:100]]
    assert json.loads(form["Message"][0])["event"] == "success"
    assert "/eu-central-1/sns/" in headers["Authorization"]


def test_values_may_lie_in_files(listener, tmp_path):
    (tmp_path / "url").write_text(f"{listener.url}/{SECRET}\n")
    (tmp_path / "header").write_text("Bearer y\n")
    hook = {
        "url": {"from_file": str(tmp_path / "url")},
        "headers": {"Authorization": {"from_file": str(tmp_path / "header")}},
    }
    assert notify([hook], GOOD) == []
    ((path, headers, _body),) = listener.requests
    assert (path, headers["Authorization"]) == (f"/{SECRET}", "Bearer y")


# -- who is told of what ---------------------------------------------------------------------------------------


def shared(index=0, *, published, changed=True):
    shard = {"index": index, "count": 2, "done": 2 if published else 1, "published": published}
    return {**GOOD, "changed": changed, "destinations": [{**TARGET, "shard": shard}]}


@pytest.mark.parametrize(
    ("outcome", "options", "told"),
    [
        (GOOD, {}, True),
        (GOOD, {"on": ["failure"]}, False),
        (GOOD, {"on": ["success"]}, True),
        (BAD, {"on": ["success"]}, False),
        (BAD, {"on": ["failure"]}, True),
        (UNCHANGED, {}, False),
        (UNCHANGED, {"on_unchanged": True}, True),
        (UNCHANGED, {"on_unchanged": True, "on": ["failure"]}, False),
        ({**BAD, "error": {"kind": "StoppedError", "message": "m", "hint": ""}}, {}, False),
        (shared(published=False), {}, False),
        (shared(1, published=True), {}, True),
        ({**shared(1, published=False), "failed": True}, {}, True),
        (shared(0, published=False, changed=False), {"on_unchanged": True}, True),
        (shared(1, published=False, changed=False), {"on_unchanged": True}, False),
    ],
)
def test_each_hook_is_told_once_of_what_it_wants_to_hear(listener, outcome, options, told):
    assert notify([webhook(listener, **options)], outcome) == []
    assert len(listener.requests) == told


# -- what goes wrong -------------------------------------------------------------------------------------------


def test_a_hook_is_tried_three_times(listener):
    listener.statuses = [503, 429]
    assert notify([webhook(listener)], GOOD) == []
    assert len(listener.requests) == 3
    listener.statuses = [503, 500, 502, 200]
    (warning,) = notify([webhook(listener)], GOOD)
    assert len(listener.requests) == 6
    assert warning == "The webhook hook 127.0.0.1 was not told of the success: HTTP 502."


@pytest.mark.parametrize("status", [403, 404, 302])
def test_what_is_refused_is_not_tried_again_and_no_redirect_is_followed(listener, status):
    listener.statuses = [status]
    listener.headers = {"Location": f"{listener.url}/elsewhere"}
    (warning,) = notify([webhook(listener)], GOOD)
    assert len(listener.requests) == 1
    assert warning.endswith(f"HTTP {status}.")
    assert SECRET not in warning


def test_one_that_cannot_be_reached_does_not_keep_others(listener):
    gone = {"type": "slack", "url": f"http://127.0.0.1:1/services/{SECRET}"}
    strange = {"url": f"http://%41:80/{SECRET}"}
    sns = {"type": "sns", "topic_arn": ARN, "endpoint_url": "http://127.0.0.1:1", "access_key": "A", "secret_key": "s"}
    warnings = notify([gone, strange, sns, webhook(listener)], GOOD)
    assert len(listener.requests) == 1
    assert len(warnings) == 3
    assert warnings[0] == "The slack hook 127.0.0.1 was not told of the success: no answer."
    assert ARN in warnings[2]
    assert not [warning for warning in warnings if SECRET in warning]


def test_a_server_that_asks_to_wait_for_long_is_not_waited_for(listener, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(notify_module, "_TOTAL_SECONDS", 0.3)
    listener.statuses = [429, 429, 429]
    listener.headers = {"Retry-After": "3600"}
    (warning,) = notify([webhook(listener)], GOOD)
    assert SECRET not in warning


def test_sns_that_refuses_is_a_warning(listener):
    listener.statuses = [403]
    hook = {"type": "sns", "topic_arn": ARN, "endpoint_url": listener.url, "access_key": "A", "secret_key": SECRET}
    (warning,) = notify([hook], GOOD)
    assert warning.startswith(f"The sns hook {ARN} was not told of the success: ")
    assert SECRET not in warning


@pytest.mark.parametrize(
    ("hook", "message"),
    [
        ("text", "Notify hook 1 is not a mapping"),
        ({"type": "pigeon"}, "type 'pigeon'"),
        ({"type": ["slack"]}, "type"),
        ({"url": ""}, "needs url"),
        ({"type": "slack"}, "needs url"),
        ({"url": f"ftp://example.com/{SECRET}"}, "is not a URL"),
        ({"url": f"https:///{SECRET}"}, "is not a URL"),
        ({"url": f"https://[::1/{SECRET}"}, "is not a URL"),
        ({"url": f"https://example.com:port/{SECRET}"}, "is not a URL"),
        ({"url": f"https://example.com/{SECRET}\n"}, "is not a URL"),
        ({"url": 5}, "url of notify hook 1 must be a string"),
        ({"url": "https://example.com", "ulr": "x"}, "does not know ulr"),
        ({"url": "https://example.com", "topic_arn": ARN}, "does not know topic_arn"),
        ({"url": "https://example.com", "headers": ["x"]}, "headers of notify hook 1"),
        ({"url": "https://example.com", "headers": {"X": f"{SECRET}\n"}}, "headers of notify hook 1"),
        ({"url": "https://example.com", "on": ["always"]}, "on of notify hook 1"),
        ({"url": "https://example.com", "on": []}, "on of notify hook 1"),
        ({"url": "https://example.com", "on": "success"}, "on of notify hook 1"),
        ({"url": "https://example.com", "on_unchanged": "yes"}, "on_unchanged of notify hook 1"),
        ({"type": "sns"}, "needs topic_arn"),
        ({"type": "sns", "topic_arn": "models"}, "not the ARN"),
        ({"type": "sns", "topic_arn": ARN, "url": "https://example.com"}, "does not know url"),
        ({"type": "sns", "topic_arn": ARN, "headers": {"X": "y"}}, "does not know headers"),
    ],
    ids=repr,
)
def test_hooks_that_make_no_sense_are_refused_before_without_their_secrets(hook, message):
    with pytest.raises(InputError, match=message) as caught:
        check_hooks([hook])
    assert SECRET not in str(caught.value)
    assert notify([hook], GOOD) == [str(caught.value)]


def test_hooks_are_a_list():
    with pytest.raises(InputError, match="must be a list"):
        check_hooks({"url": "https://example.com"})
    check_hooks([])
