# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tell others how a run ended: webhooks, Slack, Amazon SNS. Never fails the run.

A hook is a mapping::

    {type: webhook, url: https://..., headers: {Authorization: ...}}   # POST of the document below
    {type: slack, url: https://hooks.slack.com/services/...}           # an incoming webhook; its URL is a secret
    {type: sns, topic_arn: ..., region: ..., endpoint_url: ..., access_key: ..., secret_key: ..., session_token: ...}

and for each ``on`` (``success``, ``failure``; default both) and ``on_unchanged`` (default false: a run that changed
nothing is not worth a message). Strings may be given as ``{from_file: /path}``. The document is::

    {"event": "success", "time": "2026-11-21T09:34:12Z", "name": ..., "revision": ..., "changed": true,
     "destinations": [...], "error": null}
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import typing as t
import urllib.parse

from .control import Control
from .errors import AccessError, DeadlineError, InputError, StoreError, TransferError, TransientError
from .outcome import Outcome, summary
from .request import Data, Options, read_files
from .web import RETRY_STATUS, WebClient

EVENTS = ("success", "failure")
TYPES = ("webhook", "slack", "sns")
_SECONDS = 5.0  # without an answer
_TOTAL_SECONDS = 30.0  # for all attempts of one hook
_ATTEMPTS = 3
_SUBJECT = 100  # characters at most, https://docs.aws.amazon.com/sns/latest/api/API_Publish.html


@dataclasses.dataclass(frozen=True)
class _Hook:
    kind: str
    on: tuple[str, ...]
    on_unchanged: bool
    url: str = dataclasses.field(default="", repr=False)
    headers: t.Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    topic_arn: str = ""
    client: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def where(self) -> str:
        """The hook in messages; of a URL only the host, for the rest may be a secret."""
        return f"{self.kind} hook " + (urllib.parse.urlsplit(self.url).hostname or self.topic_arn)


def check_hooks(hooks: t.Any) -> None:
    """Before a run begins: can its hooks be understood?

    :raises InputError: names the hook by its number, and what is wrong with it.
    """
    _hooks(hooks)


def notify(hooks: t.Any, outcome: Outcome) -> list[str]:
    """Tell the hooks, which want to hear of it, how a run ended.

    :param hooks: list of mappings as above.
    :param outcome: what ``run_sync`` returned; or for a run that raised, ``failed``, ``name`` and ``error``.
    :returns: a warning for each hook that could not be told.
    """
    event = "failure" if outcome.get("failed") else "success"
    error = outcome.get("error") or {}
    if not _is_ours(outcome) or error.get("kind") == "StoppedError":  # who asked for a stop knows of it
        return []
    warnings = []
    try:
        wanted = [hook for hook in _hooks(hooks) if event in hook.on]
    except InputError as problem:
        return [str(problem)]
    short = summary(outcome)
    document = {"event": event, "time": _now(), **{key: value for key, value in short.items() if key != "failed"}}
    for hook in wanted:
        if event == "failure" or short["changed"] or hook.on_unchanged:
            try:
                _SENDERS[hook.kind](hook, document)
            except TransferError as problem:
                warnings.append(f"The {hook.where} was not told of the {event}: {problem.message}")
    return warnings


def _is_ours(outcome: Outcome) -> bool:
    """Of several processes that share a run, the one that published tells of it, and each one that failed."""
    shards = [found["shard"] for found in outcome.get("destinations") or () if found.get("shard")]
    if outcome.get("failed") or not shards or any(shard["published"] for shard in shards):
        return True
    return not outcome.get("changed") and shards[0]["index"] == 0


def _hooks(hooks: t.Any) -> list[_Hook]:
    if not isinstance(hooks, (list, tuple)):
        raise InputError("notify must be a list.")
    return [_hook(data, f"Notify hook {number}") for number, data in enumerate(hooks, 1)]


def _hook(data: Data, where: str) -> _Hook:
    if not isinstance(data, t.Mapping):
        raise InputError(f"{where} is not a mapping.")
    rest = {key: value for key, value in read_files(data, where.lower()).items() if value is not None}
    kind, on = rest.pop("type", "webhook"), rest.pop("on", EVENTS)
    headers, on_unchanged = rest.pop("headers", {}), rest.pop("on_unchanged", False)
    if kind not in TYPES:
        raise InputError(f"{where} has type {kind!r}.", hint=f"Use one of {', '.join(TYPES)}.")
    if not isinstance(on, (list, tuple)) or not on or any(event not in EVENTS for event in on):
        raise InputError(f"on of {where.lower()} must be a list of {' and '.join(EVENTS)}.")
    if not isinstance(on_unchanged, bool):
        raise InputError(f"on_unchanged of {where.lower()} must be true or false.")
    options = Options(rest, where)
    if kind == "sns":
        arn = options.need("topic_arn")
        parts = arn.split(":")
        if len(parts) < 6 or parts[2] != "sns":
            raise InputError(f"topic_arn of {where.lower()} is not the ARN of an SNS topic: {arn!r}.")
        client = {
            "region_name": options.take("region") or parts[3],
            "endpoint_url": options.take("endpoint_url"),
            "aws_access_key_id": options.take("access_key"),
            "aws_secret_access_key": options.take("secret_key"),
            "aws_session_token": options.take("session_token"),
        }
        hook = _Hook(kind, tuple(on), on_unchanged, topic_arn=arn, client=client)
        if headers:
            raise InputError(f"{where} does not know headers.")
    else:
        url = options.need("url")
        if not url.isascii() or not url.isprintable() or " " in url or not _has_host(url):
            raise InputError(f"url of {where.lower()} is not a URL.", hint="Give one that begins with https://.")
        if not isinstance(headers, t.Mapping) or not all(_is_header(*pair) for pair in headers.items()):
            raise InputError(f"headers of {where.lower()} must be a mapping of names to texts of one line.")
        hook = _Hook(kind, tuple(on), on_unchanged, url=url, headers=dict(headers))
    options.done()
    return hook


def _has_host(url: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False


def _is_header(name: t.Any, value: t.Any) -> bool:
    return all(isinstance(text, str) and text.isprintable() and text.isascii() for text in (name, value)) and name != ""


def _send_webhook(hook: _Hook, document: Outcome) -> None:
    _post(hook, document)


def _send_slack(hook: _Hook, document: Outcome) -> None:
    text = _sentence(document)
    for char, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):  # all that Slack wants escaped
        text = text.replace(char, entity)
    _post(hook, {"text": text})


def _sentence(document: Outcome) -> str:
    failed = document["event"] == "failure"
    what = f"Sync of {document['name'] or 'a model'}" + (f" at {document['revision']}" if document["revision"] else "")
    lines = [f"{what} {'failed' if failed else 'is complete' if document['changed'] else 'had nothing to do'}."]
    if document["error"]:
        lines.append(document["error"]["message"])
    for found in document["destinations"]:
        error = found["error"]
        lines.append(f"{found['url']}: {error['message'] if error else found['status']}")
    return "\n".join(lines)


def _post(hook: _Hook, document: Outcome) -> None:
    control = Control(timeout=_TOTAL_SECONDS, stall_timeout=_SECONDS, attempts=_ATTEMPTS)
    client = WebClient(control, pool_size=1)
    headers = {"Content-Type": "application/json", "User-Agent": "modelops.serving", **hook.headers}
    body = json.dumps(document).encode()

    def send() -> None:
        # What the client says may quote the URL.
        try:
            status, _headers, _data = client.fetch("POST", hook.url, headers=headers, body=body, timeout=_SECONDS)
        except TransientError as error:
            raise TransientError("no answer.") from error
        except AccessError as error:
            raise AccessError("TLS failed.") from error
        except StoreError as error:
            raise StoreError("it cannot be reached.") from error
        if status in RETRY_STATUS:
            raise TransientError(f"HTTP {status}.")
        if not 200 <= status < 300:
            raise StoreError(f"HTTP {status}.")

    try:
        control.retry(send)
    except DeadlineError as error:
        raise StoreError(f"no answer within {_TOTAL_SECONDS:g} seconds.") from error


def _send_sns(hook: _Hook, document: Outcome) -> None:
    try:
        import botocore.config  # 0.2 s that only those pay who use it
        import botocore.exceptions
        import botocore.session
    except ImportError as error:
        raise InputError("SNS needs the Python package boto3.") from error
    config = botocore.config.Config(
        connect_timeout=_SECONDS, read_timeout=_SECONDS, retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"}
    )
    subject = f"Model sync {document['event']}: {document['name'] or ''}".encode("ascii", "replace").decode()
    try:
        client: t.Any = botocore.session.Session().create_client("sns", config=config, **hook.client)
        client.publish(TopicArn=hook.topic_arn, Subject=subject[:_SUBJECT], Message=json.dumps(document))
    except botocore.exceptions.ClientError as error:
        raise StoreError(f"{error.response.get('Error', {}).get('Code', 'refused')}.") from error
    except (botocore.exceptions.BotoCoreError, ValueError) as error:
        raise StoreError(f"{type(error).__name__}.") from error


_SENDERS: dict[str, t.Callable[[_Hook, Outcome], None]] = {
    "webhook": _send_webhook,
    "slack": _send_slack,
    "sns": _send_sns,
}


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
