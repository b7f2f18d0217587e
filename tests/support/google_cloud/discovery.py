# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One API as its discovery document describes it: routes, parameters, schemas. No state, no network.

https://developers.google.com/discovery/v1/reference/apis
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import json
import re
import urllib.parse
from pathlib import Path
from typing import Any

from .errors import ApiError, invalid

#: APIs that overlook fields they do not know (modules of google.cloud send them some), and for which null in a patch
#: takes a field away. Elsewhere null is as good as nothing.
_OLDER = frozenset({"bigquery", "storage"})
_VERSION = re.compile(r"v\d+((alpha|beta|p\d)\w*)?")
_PLACEHOLDER = re.compile(r"(\{[^}]+\})")


@dataclasses.dataclass(frozen=True)
class Route:
    """A method of an API and the paths that lead to it."""

    method: dict[str, Any]
    pattern: re.Pattern[str]
    #: Characters of the path that are no parameter: the longest path is meant, ``x:verb`` and not one named ``x:verb``.
    literal: int

    @property
    def id(self) -> str:
        return str(self.method["id"])


class Api:
    """The API of one discovery document.

    :param document: its parsed content.
    """

    def __init__(self, document: dict[str, Any]) -> None:
        self.name: str = document["name"]
        self.schemas: dict[str, Any] = document.get("schemas", {})
        self._common: dict[str, Any] = document.get("parameters", {})
        self._base = "/" + document["servicePath"].lstrip("/")
        self._routes: list[Route] = []
        self._add_methods(document)
        self._routes.sort(key=lambda route: -route.literal)

    def _add_methods(self, resource: dict[str, Any]) -> None:
        for method in resource.get("methods", {}).values():
            self._routes.append(self._route(method))
        for inner in resource.get("resources", {}).values():
            self._add_methods(inner)

    def _route(self, method: dict[str, Any]) -> Route:
        # Not flatPath: that is the same path with the patterns of its parameters written out, and without their names.
        pieces = _PLACEHOLDER.split(self._base + method["path"])
        parameters = method.get("parameters", {})
        pattern = "".join(
            _placeholder(piece[1:-1], parameters) if number % 2 else re.escape(piece)
            for number, piece in enumerate(pieces)
        )
        return Route(method, re.compile(pattern), sum(map(len, pieces[::2])))

    def find(self, verb: str, path: str) -> tuple[Route, dict[str, str]]:
        """The method that is meant, and its path parameters, decoded.

        :param path: as sent, percent-encoded.
        :raises ApiError: 404, 405.
        """
        matches = [(route, found) for route in self._routes if (found := route.pattern.fullmatch(path))]
        for route, found in matches:
            if route.method["httpMethod"] == verb:
                return route, {name: _decoded(value) for name, value in found.groupdict().items()}
        if matches:
            raise ApiError(405, f"The method {verb} is not allowed for {path}.")
        raise ApiError(404, f"The requested URL {path} was not found on this server.")

    def check_query(self, method: dict[str, Any], query: dict[str, list[str]]) -> None:
        """:raises ApiError: a parameter is unknown, missing, or of the wrong type."""
        known = self._common | {
            name: value for name, value in method.get("parameters", {}).items() if value["location"] == "query"
        }
        for name, values in query.items():
            if name not in known:
                raise invalid(
                    f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query parameter. '
                    f"Field '{name}' could not be found in request message."
                )
            if len(values) > 1 and not known[name].get("repeated"):
                raise invalid(f"Invalid value at '{name}': given more than once.", name)
            for value in values:
                self._value(known[name], _from_text(known[name], value), name)
        for name, parameter in known.items():
            if parameter.get("required") and name not in query:
                raise invalid(f"Required parameter: {name}", name)

    def check_path(self, method: dict[str, Any], parameters: dict[str, str]) -> None:
        """:raises ApiError: a path parameter does not have its form."""
        for name, value in parameters.items():
            pattern = method.get("parameters", {}).get(name, {}).get("pattern")
            if pattern and not re.search(pattern, value):
                raise invalid(f"Invalid value '{value}'. Values must match the following pattern: {pattern}", name)

    def check_body(self, method: dict[str, Any], body: Any) -> dict[str, Any]:
        """What the method takes of a body: without output-only fields.

        :raises ApiError: it does not fit the schema.
        """
        if "request" not in method:
            if body:
                raise invalid('Invalid JSON payload received. Unknown name "": Root element must be a message.')
            return {}
        schema = self.schemas[method["request"]["$ref"]]
        cleaned = self._object(schema, {} if body is None else body, "", method["id"])
        assert isinstance(cleaned, dict)
        return cleaned

    def misfit(self, method: dict[str, Any], answer: dict[str, Any]) -> str | None:
        """Why an answer is not what the method's schema says; None if it is."""
        schema = self.schemas[method["response"]["$ref"]] if "response" in method else {"type": "object"}
        try:
            self._object(schema, answer, "", None)
        except ApiError as error:
            return error.message
        return None

    def _object(self, schema: dict[str, Any], value: Any, path: str, request: str | None) -> Any:
        """:param request: id of the method whose request this is; None for an answer."""
        if not isinstance(value, dict):
            raise invalid(f"Invalid value at '{path or 'request'}' (type object), {_shown(value)}", path)
        properties, more = schema.get("properties", {}), schema.get("additionalProperties")
        cleaned = {}
        for name, item in value.items():
            inner = f"{path}.{name}" if path else name
            declared = properties.get(name, more)
            if declared is None:
                if request and self.name in _OLDER:
                    continue
                place = f" at '{path}'" if path else ""
                raise invalid(
                    f'Invalid JSON payload received. Unknown name "{name}"{place}: Cannot find field.', path or name
                )
            if not (request and (declared.get("readOnly") or (item is None and self.name not in _OLDER))):
                cleaned[name] = self._value(declared, item, inner, request)
        for name, declared in properties.items():
            if request in declared.get("annotations", {}).get("required", ()) and name not in value:
                raise invalid(f"Required field: {path}.{name}" if path else f"Required field: {name}", name)
        return cleaned

    def _value(self, schema: dict[str, Any], value: Any, path: str, request: str | None = None) -> Any:
        if "$ref" in schema:
            schema = self.schemas[schema["$ref"]]
        kind = schema.get("type", "any")
        if value is None or kind == "any":
            return value
        if kind == "object":
            return self._object(schema, value, path, request)
        if kind == "array":
            if not isinstance(value, list):
                raise invalid(f"Invalid value at '{path}' (type array), {_shown(value)}", path)
            return [
                self._value(schema["items"], item, f"{path}[{number}]", request) for number, item in enumerate(value)
            ]
        problem = _problem(kind, schema.get("format", ""), value)
        if not problem and value not in schema.get("enum", (value,)):
            problem = "TYPE_ENUM"
        if problem:
            raise invalid(f"Invalid value at '{path}' ({problem}), {_shown(value)}", path)
        return value


def _placeholder(name: str, parameters: dict[str, Any]) -> str:
    """The part of a route's pattern for ``{name}``, or for ``{+name}`` that may take more than one segment."""
    bare = name.lstrip("+")
    pattern = parameters.get(bare, {}).get("pattern", "^.+$") if bare != name else "^[^/]+$"
    return f"(?P<{bare}>{pattern.removeprefix('^').removesuffix('$')})"


def _decoded(value: str) -> str:
    """A path parameter; in one of several segments a slash that belongs to a segment stays encoded."""
    return urllib.parse.unquote(re.sub("%2[Ff]", "%252F", value) if "/" in value else value)


def _shown(value: Any) -> str:
    return json.dumps(value)[:100]


def _from_text(schema: dict[str, Any], value: str) -> Any:
    """A query parameter as JSON would have it."""
    if schema["type"] == "boolean":
        return {"true": True, "false": False}.get(value.lower(), value)
    if schema["type"] == "number" and re.fullmatch(r"-?\d+(\.\d+)?", value):
        return float(value)
    return value


_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
_FORMS = {
    "date": re.compile(r"\d{4}-\d\d-\d\d"),
    "date-time": _TIMESTAMP,
    "google-datetime": _TIMESTAMP,
    "google-duration": re.compile(r"-?\d+(\.\d{1,9})?s"),
    "google-fieldmask": re.compile(r"[\w.*]*(,[\w.*]+)*"),
}
_WIDTHS = {"int32": (31, True), "uint32": (32, False), "int64": (63, True), "uint64": (64, False)}


def _problem(kind: str, form: str, value: Any) -> str | None:
    """Google's name of the type that a value should have and has not; None if all is well."""
    if kind == "boolean":
        return None if isinstance(value, bool) else "TYPE_BOOL"
    if kind == "number":
        return None if isinstance(value, (int, float)) and not isinstance(value, bool) else "TYPE_DOUBLE"
    if kind == "integer" or form in ("int64", "uint64"):  # numbers and their texts are both taken
        name = f"TYPE_{(form or 'int32').upper()}"
        if isinstance(value, bool) or not re.fullmatch(r"-?\d+", str(value)):
            return name
        bits, signed = _WIDTHS.get(form, (63, True))
        return None if -(2**bits) * signed <= int(value) < 2**bits else name
    if not isinstance(value, str):
        return "TYPE_STRING"
    if form == "byte":
        return None if decode(value) is not None else "TYPE_BYTES"
    return None if form not in _FORMS or _FORMS[form].fullmatch(value) else form


def decode(value: str) -> bytes | None:
    """The bytes of a field of format byte, in either base64 alphabet; None if it is neither."""
    try:
        return base64.b64decode(value.replace("-", "+").replace("_", "/"), validate=True)
    except ValueError:
        return None


@functools.cache
def load(name: str, version: str) -> Api | None:
    """The API of a name and version, if Google's client library comes with its document. Read when first asked for."""
    from googleapiclient import discovery_cache

    file = Path(discovery_cache.__file__).parent / "documents" / f"{name}.{version}.json"
    return Api(json.loads(file.read_bytes())) if re.fullmatch(r"\w+", name) and file.is_file() else None


def version_in(path: str) -> str:
    """The version that a path names (``/v1/...``, ``/storage/v1/...``); empty if none."""
    return next((part.partition(":")[0] for part in path.split("/")[1:3] if _VERSION.match(part)), "")


@functools.cache
def is_known(name: str) -> bool:
    """Whether there is an API of this name, in any version."""
    from googleapiclient import discovery_cache

    return any((Path(discovery_cache.__file__).parent / "documents").glob(f"{name}.v*.json"))
