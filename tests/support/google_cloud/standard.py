# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Standard methods of resources that no module of ``services`` knows: https://cloud.google.com/apis/design/standard_methods

Only what follows Google's own rules: names made of the parent, the collection and an id that a query parameter or the
body gives.
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any

from .errors import CODES, ApiError, exists, invalid
from .state import masked, now

if TYPE_CHECKING:
    from collections.abc import Callable

    from .operations import Failure
    from .state import Call, Resource


def carry_out(call: Call) -> Resource:
    """:raises ApiError: 501 for what is no standard method."""
    methods: dict[str, Callable[[Call], Resource]] = {
        "create": _create,
        "insert": _create,
        "get": _get,
        "list": _list,
        "patch": _patch,
        "delete": _delete,
    }
    method = methods.get(call.id.rpartition(".")[2])
    if method is None:
        raise not_implemented(call)
    return method(call)


def not_implemented(call: Call) -> ApiError:
    return ApiError(501, f"The stand-in for Google's APIs does not implement {call.id}.")


def operation(call: Call, kind: str, target: str, apply: Callable[[], Resource | None]) -> Resource:
    """A long-running operation; it can be got under its name. Unless tests want it slow, it is done at once.

    :param kind: name of the schema of its response. :param target: path of what it works on.
    :param apply: what it does, called when it is done; returns its response.
    """
    location = re.search(r"projects/[^/]+/locations/[^/]+", call.path)
    name = f"{location[0] + '/' if location else ''}operations/{uuid.uuid4().hex}"
    path = f"{call.api}/{call.version}/{name}"
    package = "protobuf" if kind == "Empty" else f"{call.api}.{call.version}"
    answer: Resource = call.state.put(path, {"name": name})

    def done(failure: Failure | None) -> None:
        answer["done"] = True
        if failure:
            answer["error"] = {"code": CODES.get(failure.code, 2), "message": failure.message}
        else:
            answer["response"] = {"@type": f"type.googleapis.com/google.{package}.{kind}", **(apply() or {})}

    verb = call.id.rpartition(".")[2]
    call.state.operations.start(path, f"{verb} {target}", done, looks=0, failure=None)
    return answer


def get_operation(call: Call) -> Resource:
    """One look at a long-running operation."""
    call.state.operations.look(call.path)
    return call.state.get(call.path)


def _form(call: Call, kind: str, target: str) -> Callable[[Callable[[], Resource | None]], Resource]:
    """How the method answers to what it does: with the resource itself, with nothing, or with an operation.

    :param kind: name of the resource's schema.
    :raises ApiError: 501, it has a form of its own.
    """
    schema = call.method.get("response", {}).get("$ref")
    fields = call.schemas[schema].get("properties", {}) if schema else {}
    if "done" in fields:
        return lambda apply: operation(call, kind, target, apply)
    if schema == kind or not fields:
        return lambda apply: apply() or {}
    raise not_implemented(call)


def _create(call: Call) -> Resource:
    kind, query = call.method["request"]["$ref"], call.method.get("parameters", {})
    given = next((name for name in query if re.fullmatch(r"[a-z]+[A-Za-z]*Id", name) and name != "requestId"), "")
    if not given and "name" not in call.schemas[kind].get("properties", {}):
        raise not_implemented(call)
    resource_id = call.query.get(given) or str(call.body.get("name", "")).rpartition("/")[2]
    if not re.fullmatch(r"[\w.~-]{1,255}", resource_id):
        raise invalid("The resource's id is missing, or is none.", given or "name")
    path = f"{call.path}/{resource_id}"
    answer = _form(call, kind, path)
    if call.state.find(path):
        raise exists(f"Resource '{call.name(path)}' already exists.")
    resource = {**call.body, **_made(call, kind, path)}
    return answer(lambda: call.state.put(path, resource))


def _made(call: Call, kind: str, path: str) -> dict[str, Any]:
    """The usual output-only fields, where the schema has them."""
    usual = {"name": call.name(path), "createTime": now(), "updateTime": now()}
    return {name: value for name, value in usual.items() if name in call.schemas[kind]["properties"]}


def _get(call: Call) -> Resource:
    return get_operation(call)  # of whatever it is


def _list(call: Call) -> Resource:
    fields = call.schemas[call.method["response"]["$ref"]]["properties"]
    (key, *_more) = [
        name for name, field in fields.items() if field.get("type") == "array" and "$ref" in field["items"]
    ]
    return call.page([resource for _path, resource in call.state.children(call.path)], key)


def _patch(call: Call) -> Resource:
    current, kind, mask = call.state.get(call.path), call.method["request"]["$ref"], call.query.get("updateMask")
    fields, answer = call.schemas[kind]["properties"], _form(call, kind, call.path)
    changed = masked(current, call.body, mask or ",".join(call.body), fields) if mask or call.body else current
    if "updateTime" in fields:
        changed = {**changed, "updateTime": now()}
    return answer(lambda: call.state.put(call.path, changed))


def _delete(call: Call) -> Resource:
    answer = _form(call, "Empty", call.path)
    call.state.get(call.path)
    return answer(lambda: call.state.remove(call.path))
