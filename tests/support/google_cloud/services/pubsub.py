# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pub/Sub v1: topics, subscriptions, schemas, and messages that are published. Nobody gets messages: what a topic took
is kept as ``{"messages": [...]}`` at ``<topic>/messages``. https://cloud.google.com/pubsub/docs/reference/rest
"""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING

from ..errors import ApiError, exists, invalid
from ..state import masked
from . import carries_out

if TYPE_CHECKING:
    from ..state import Call, Resource

_TOPICS, _SUBSCRIPTIONS = "pubsub.projects.topics", "pubsub.projects.subscriptions"
_SCHEMAS = "pubsub.projects.schemas"
_DELETED_TOPIC = "_deleted-topic_"


@carries_out(f"{_TOPICS}.create")
def create_topic(call: Call) -> Resource:
    return _create(call, {"state": "ACTIVE"})


@carries_out(f"{_SUBSCRIPTIONS}.create")
def create_subscription(call: Call) -> Resource:
    topic = call.body.get("topic", "")
    call.state.get(f"pubsub/v1/{topic}", f"Resource not found (resource={topic.rpartition('/')[2]}).")
    usual = {
        "pushConfig": {},
        "ackDeadlineSeconds": 10,
        "messageRetentionDuration": "604800s",
        "expirationPolicy": {"ttl": "2678400s"},
        "state": "ACTIVE",
    }
    return _create(call, usual)


def _create(call: Call, usual: Resource) -> Resource:
    call.project()
    name = call.name()
    given = call.body.get("name", name)
    if given != name:
        raise invalid(f"Invalid resource name: {given}.", "name")
    if not re.fullmatch(r"(?!goog)[A-Za-z][\w.~+%-]{2,254}", name.rpartition("/")[2], re.ASCII):
        raise invalid(f"Invalid resource name given (name={name}).", "name")
    if call.state.find(call.path):
        raise exists(f"Resource already exists in the project (resource={name.rpartition('/')[2]}).")
    return call.state.put(call.path, {**usual, **call.body, "name": name})


@carries_out(f"{_TOPICS}.get", f"{_SUBSCRIPTIONS}.get", f"{_SCHEMAS}.get")
def get(call: Call) -> Resource:
    call.project()
    return call.state.get(call.path, f"Resource not found (resource={call.path.rpartition('/')[2]}).")


@carries_out(f"{_TOPICS}.list", f"{_SUBSCRIPTIONS}.list")
def list_(call: Call) -> Resource:
    call.project()
    return call.page([found for _path, found in call.state.children(call.path)], call.path.rpartition("/")[2])


@carries_out(f"{_TOPICS}.patch", f"{_SUBSCRIPTIONS}.patch")
def patch(call: Call) -> Resource:
    current, mask = get(call), call.body.get("updateMask", "")
    if not mask:
        raise invalid("The update_mask in the request must be set, and must contain a non-empty paths list.")
    kind = "topic" if call.id == f"{_TOPICS}.patch" else "subscription"
    changed = masked(current, call.body.get(kind) or {}, mask, call.schemas[kind.title()]["properties"])
    for fixed in ("name", "topic", "state"):
        if changed.get(fixed) != current.get(fixed):
            raise invalid(f"The field {fixed} cannot be changed.", "update_mask")
    return call.state.put(call.path, changed)


@carries_out(f"{_TOPICS}.delete", f"{_SUBSCRIPTIONS}.delete")
def delete(call: Call) -> Resource:
    name = get(call)["name"]
    call.state.remove(call.path)
    if call.id == f"{_TOPICS}.delete":
        for path, subscription in call.state.children(f"pubsub/v1/projects/{call.project()}/subscriptions"):
            if subscription["topic"] == name:
                call.state.put(path, {**subscription, "topic": _DELETED_TOPIC})
    return {}


@carries_out(f"{_SCHEMAS}.create")
def create_schema(call: Call) -> Resource:
    name = f"{call.name()}/{call.query['schemaId']}"
    return call.state.put(f"{call.path}/{call.query['schemaId']}", {**call.body, "name": name})


@carries_out(f"{_TOPICS}.publish")
def publish(call: Call) -> Resource:
    """https://cloud.google.com/pubsub/quotas#resource_limits: 1000 messages and 10 MB at once."""
    call.project()
    path = call.path.partition(":")[0]
    topic = call.state.get(path, f"Resource not found (resource={path.rpartition('/')[2]}).")
    messages = call.body.get("messages", [])
    if not 0 < len(messages) <= 1000:
        raise invalid("The value for message_count is out of range. It must be from 1 to 1000.", "message_count")
    if len(json.dumps(call.body)) > 10_000_000:
        raise invalid("Request payload size exceeds the limit: 10485760 bytes.")
    for message in messages:
        _check_message(call, topic, message)
    kept = call.state.find(f"{path}/messages") or {"messages": []}
    ids = [str(call.state.number()) for _message in messages]
    taken = [{**message, "messageId": number} for message, number in zip(messages, ids, strict=True)]
    call.state.put(f"{path}/messages", {"messages": [*kept["messages"], *taken]})
    return {"messageIds": ids}


def _check_message(call: Call, topic: Resource, message: Resource) -> None:
    """:raises ApiError: it is not what the schema of the topic says, as far as the names of its fields go."""
    schema = topic.get("schemaSettings", {}).get("schema")
    if schema:
        definition = call.state.get(f"pubsub/v1/{schema}")["definition"]
        fields = set(re.findall(r"(\w+) = \d+;", definition))
        unknown = json.loads(base64.b64decode(message["data"])).keys() - fields
        if unknown:
            raise ApiError(400, f"Invalid data in message: Message failed schema validation: {sorted(unknown)}.")
