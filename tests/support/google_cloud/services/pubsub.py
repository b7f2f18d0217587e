# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pub/Sub v1: topics, subscriptions, schemas, messages that are published, and those that are pulled. What a topic took
is kept as ``{"messages": [...]}`` at ``<topic>/messages``, and how far a subscription is at ``<subscription>/leases``.
https://cloud.google.com/pubsub/docs/reference/rest

Messages are not pushed, nor kept for a limited time only.

A subscription of BigQuery is only made where its table is and the service agent may write it.
"""

from __future__ import annotations

import base64
import json
import re
import time
from typing import TYPE_CHECKING

from ..errors import ApiError, exists, invalid
from ..state import masked, now
from . import carries_out

if TYPE_CHECKING:
    from ..state import Call, Resource

_TOPICS, _SUBSCRIPTIONS = "pubsub.projects.topics", "pubsub.projects.subscriptions"
_SCHEMAS = "pubsub.projects.schemas"
_DELETED_TOPIC, _DELETED_SCHEMA = "_deleted-topic_", "_deleted-schema_"
_WRITER = "roles/bigquery.dataEditor"


@carries_out(f"{_TOPICS}.create")
def create_topic(call: Call) -> Resource:
    schema = call.body.get("schemaSettings", {}).get("schema")
    if schema:
        call.state.get(f"pubsub/v1/{schema}", f"Resource not found (resource={schema.rpartition('/')[2]}).")
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
    config = call.body.get("bigqueryConfig")
    if config:
        _check_table(call, config["table"])
        call.body["bigqueryConfig"] = {**config, "state": "ACTIVE"}
    made = _create(call, usual)
    # What was published before is not delivered.
    call.state.put(f"{call.path}/leases", {"begin": len(_messages(call, topic)), "acknowledged": [], "taken": {}})
    return made


def _check_table(call: Call, table: str) -> None:
    """https://cloud.google.com/pubsub/docs/create-bigquery-subscription#assign_bigquery_service_account"""
    project, dataset_id, table_id = table.split(".")
    path = f"bigquery/bigquery/v2/projects/{project}/datasets/{dataset_id}"
    agent = f"service-{call.state.projects[call.project()]}@gcp-sa-pubsub.iam.gserviceaccount.com"
    entries = (call.state.find(path) or {}).get("access", ())
    bindings = call.state.policy(f"cloudresourcemanager/v3/projects/{project}")["bindings"]
    if not (
        any((entry.get("role"), entry.get("userByEmail")) == ("WRITER", agent) for entry in entries)
        or any(binding["role"] == _WRITER and f"serviceAccount:{agent}" in binding["members"] for binding in bindings)
    ):
        raise ApiError(403, "The caller does not have permission", "PERMISSION_DENIED")
    call.state.get(f"{path}/tables/{table_id}", f"The BigQuery table {table} does not exist.")


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


@carries_out(f"{_TOPICS}.delete", f"{_SUBSCRIPTIONS}.delete", f"{_SCHEMAS}.delete")
def delete(call: Call) -> Resource:
    name = get(call)["name"]
    call.state.remove(call.path)
    if call.id == f"{_TOPICS}.delete":
        for path, subscription in call.state.children(f"pubsub/v1/projects/{call.project()}/subscriptions"):
            if subscription["topic"] == name:
                call.state.put(path, {**subscription, "topic": _DELETED_TOPIC})
    if call.id == f"{_SCHEMAS}.delete":
        for path, topic in call.state.children(f"pubsub/v1/projects/{call.project()}/topics"):
            settings = topic.get("schemaSettings", {})
            if settings.get("schema") == name:
                call.state.put(path, {**topic, "schemaSettings": {**settings, "schema": _DELETED_SCHEMA}})
    return {}


@carries_out(f"{_SCHEMAS}.create")
def create_schema(call: Call) -> Resource:
    path = f"{call.path}/{call.query['schemaId']}"
    if call.state.find(path):
        raise exists(f"Resource already exists in the project (resource={call.query['schemaId']}).")
    return _put_schema(call, path, f"{call.name()}/{call.query['schemaId']}", call.body)


@carries_out(f"{_SCHEMAS}.commit")
def commit_schema(call: Call) -> Resource:
    path, name = call.path.partition(":")[0], call.name().partition(":")[0]
    call.state.get(path, f"Resource not found (resource={name.rpartition('/')[2]}).")
    return _put_schema(call, path, name, call.body["schema"])


def _put_schema(call: Call, path: str, name: str, schema: Resource) -> Resource:
    return call.state.put(path, {**schema, "name": name, "revisionId": f"{call.state.number():08x}"})


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
    return {"messageIds": _take(call, topic["name"], messages)}


def _messages(call: Call, topic: str) -> list[Resource]:
    return (call.state.find(f"pubsub/v1/{topic}/messages") or {"messages": []})["messages"]


def _take(call: Call, topic: str, messages: list[Resource]) -> list[str]:
    ids = [str(call.state.number()) for _message in messages]
    taken = [
        {**message, "messageId": number, "publishTime": now()} for message, number in zip(messages, ids, strict=True)
    ]
    call.state.put(f"pubsub/v1/{topic}/messages", {"messages": [*_messages(call, topic), *taken]})
    return ids


@carries_out(f"{_SUBSCRIPTIONS}.pull")
def pull(call: Call) -> Resource:
    """Answers at once, also when there is nothing. A message comes again when its lease has ended.

    https://cloud.google.com/pubsub/docs/handling-failures: after as many deliveries as the policy allows, a message goes to
    the dead-letter topic.
    """
    subscription, leases = _leases(call)
    most = call.body.get("maxMessages", 0)
    if most < 1:
        raise invalid("The value for max_messages is out of range. It must be greater than 0.", "max_messages")
    policy = subscription.get("deadLetterPolicy", {})
    received: list[Resource] = []
    for message in _messages(call, subscription["topic"])[leases["begin"] :]:
        number = message["messageId"]
        lease = leases["taken"].setdefault(number, {"attempts": 0, "until": 0.0})
        if len(received) == most or number in leases["acknowledged"] or lease["until"] > time.monotonic():
            continue
        if policy and lease["attempts"] >= policy.get("maxDeliveryAttempts", 5):
            _take(call, policy["deadLetterTopic"], [{"data": message["data"]}])
            leases["acknowledged"].append(number)
            continue
        lease["attempts"] += 1
        lease["until"] = time.monotonic() + subscription["ackDeadlineSeconds"]
        lease["ackId"] = f"{number}-{lease['attempts']}"
        attempt = {"deliveryAttempt": lease["attempts"]} if policy else {}
        received.append({"ackId": lease["ackId"], "message": message, **attempt})
    return {"receivedMessages": received} if received else {}


@carries_out(f"{_SUBSCRIPTIONS}.acknowledge")
def acknowledge(call: Call) -> Resource:
    """An old id is no error, and acknowledges nothing."""
    _subscription, leases = _leases(call)
    leases["acknowledged"] += [number for number, _lease in _held(call, leases)]
    return {}


@carries_out(f"{_SUBSCRIPTIONS}.modifyAckDeadline")
def modify_ack_deadline(call: Call) -> Resource:
    """With 0 a message comes again, not before the least backoff of the subscription."""
    subscription, leases = _leases(call)
    seconds = call.body.get("ackDeadlineSeconds", 0)
    if not 0 <= seconds <= 600:
        raise invalid("The value for ack_deadline_seconds is out of range.", "ack_deadline_seconds")
    backoff = float(subscription.get("retryPolicy", {}).get("minimumBackoff", "0s").rstrip("s"))
    for _number, lease in _held(call, leases):
        lease["until"] = time.monotonic() + (seconds or backoff)
    return {}


def _leases(call: Call) -> tuple[Resource, Resource]:
    call.project()
    path = call.path.partition(":")[0]
    message = f"Resource not found (resource={path.rpartition('/')[2]})."
    return call.state.get(path, message), call.state.get(f"{path}/leases", message)


def _held(call: Call, leases: Resource) -> list[tuple[str, Resource]]:
    asked = set(call.body.get("ackIds", ()))
    return [(number, lease) for number, lease in leases["taken"].items() if lease.get("ackId") in asked]


def _check_message(call: Call, topic: Resource, message: Resource) -> None:
    """:raises ApiError: it is not what the schema of the topic says, as far as the names of its fields go."""
    schema = topic.get("schemaSettings", {}).get("schema")
    if schema:
        definition = call.state.get(f"pubsub/v1/{schema}")["definition"]
        fields = set(re.findall(r"(\w+) = \d+;", definition))
        unknown = json.loads(base64.b64decode(message["data"])).keys() - fields
        if unknown:
            raise ApiError(400, f"Invalid data in message: Message failed schema validation: {sorted(unknown)}.")
