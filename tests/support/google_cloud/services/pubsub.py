# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pub/Sub v1: topics and subscriptions, no messages. https://cloud.google.com/pubsub/docs/reference/rest"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..errors import exists, invalid
from ..state import masked
from . import carries_out

if TYPE_CHECKING:
    from ..state import Call, Resource

_TOPICS, _SUBSCRIPTIONS = "pubsub.projects.topics", "pubsub.projects.subscriptions"
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


@carries_out(f"{_TOPICS}.get", f"{_SUBSCRIPTIONS}.get")
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
