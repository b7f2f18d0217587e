# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command line of saxutil and what it prints; pure.

As in ``saxml/bin/saxutil_cmd_admin.go`` of releases 1.1.0 and 1.2.0, and of 2026. Flags stand before what they belong to.
``ls`` shows neither how many replicas are wanted nor the overrides, but ``getacl``, which changes nothing either, logs the
whole definition first.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._sax.model import Model, canonical

#: Seconds that saxutil itself tries: until the admin server answers, or the name of a model is free again, which it is
#: within 10 s after it was unpublished.
TIMEOUT = 40
# Without the flag what it logs goes into files.
_COMMAND = ("saxutil", "-logtostderr", f"-sax_timeout={TIMEOUT}s")

_DEFINITION = "model definition:\n"
_LOG_LINE = re.compile(r"^[IWEF]\d{4} [\d:.]+ +\d+ \S+\] (?:Error: ?)?(.*)$", re.MULTILINE)
_ERROR_LINE = re.compile(r"^[EF]\d{4} [\d:.]+ +\d+ \S+\] (?:Error: ?)?(.*)$", re.MULTILINE)


def list_models(cell: str) -> tuple[str, ...]:
    """Which models the cell has."""
    return (*_COMMAND, "ls", "-csv", cell)


def show(model: str) -> tuple[str, ...]:
    """How many model servers have got a model."""
    return (*_COMMAND, "ls", "-csv", "-acls=false", model)


def describe(model: str) -> tuple[str, ...]:
    """The definition of a model."""
    return (*_COMMAND, "getacl", model, "all")


def publish(model: Model) -> tuple[str, ...]:
    """Publish a model."""
    overrides = (f"{key}={value}" for key, value in sorted(model.overrides.items()))
    return (*_COMMAND, "publish", model.id, model.path, model.checkpoint, str(model.replicas), *overrides)


def update(model: Model) -> tuple[str, ...]:
    """Change the number of replicas."""
    return (*_COMMAND, "update", f"-replicas={model.replicas}", model.id)


def unpublish(model: str) -> tuple[str, ...]:
    """Take a model out of the cell."""
    return (*_COMMAND, "unpublish", model)


def names(text: str) -> list[str]:
    """The models that :func:`list_models` printed, without their cell.

    :raises ValueError: it is not what saxutil prints.
    """
    return [row[1] for row in _rows(text, 2)]


def assigned(text: str) -> tuple[int, str]:
    """How many model servers have got the model that :func:`show` printed, whether loaded or not, and the address of one.

    :raises ValueError: it is not what saxutil prints.
    """
    (row,) = _rows(text, 5)
    return int(row[3]), row[4]


def definition(log: str) -> Model:
    """The definition that :func:`describe` logged.

    :raises ValueError: there is none in it.
    """
    _before, found, text = log.partition(_DEFINITION)
    if not found:
        raise ValueError("no model definition")
    end = _LOG_LINE.search(text)
    fields = _Message(text[: end.start()] if end else text).fields
    overrides = [_Message(str(item)).fields for item in fields.get("overrides", ())]
    return Model(
        _last(fields, "model_id"),
        _last(fields, "model_path"),
        _last(fields, "checkpoint_path"),
        int(_last(fields, "requested_num_replicas") or 0),  # zero is left out
        {_last(item, "key"): canonical(_last(item, "value")) for item in overrides},
    )


def reason(log: str) -> str:
    """Why saxutil failed: its errors in one line, or else the last line of all that it wrote."""
    errors = [line.strip() for line in _ERROR_LINE.findall(log) if line.strip()]
    return "; ".join(errors) or (log.strip().splitlines() or ["it does not say why"])[-1]


def _rows(text: str, columns: int) -> list[list[str]]:
    """The rows of a CSV, which quotes nothing. Of what we read only a last column that we do not has commas."""
    header, *lines = text.splitlines() or [""]
    if not header.startswith("# ") or header.count(",") < columns - 1:
        raise ValueError(f"no table of {columns} columns")
    rows = [line.split(",") for line in lines if line]
    if any(len(row) < columns for row in rows):
        raise ValueError("a row is too short")
    return rows


# -- a message of protobuf as text -------------------------------------------------------------------------------------

# https://protobuf.dev/reference/protobuf/textformat-spec/ - Go puts one or two spaces between fields, at random, so that
# nobody relies on it.
_FIELD = re.compile(r'\s*(?P<name>[A-Za-z_]\w*)\s*:?\s*(?:(?P<open>[{<])|(?P<plain>[^\s"\'{}<>]+)|(?=["\']))')
_STRING = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|\'((?:[^\'\\]|\\.)*)\')')
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|u[0-9a-fA-F]{4}|.)")
_PLAIN_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class _Message:
    """``fields``: name -> values in their order, strings without quotes, messages as their text.

    :raises ValueError: it is no message.
    """

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self.fields: dict[str, list[str]] = {}
        while self._text[self._at :].strip():
            name, value = self._field()
            self.fields.setdefault(name, []).append(value)

    def _field(self) -> tuple[str, str]:
        found = _FIELD.match(self._text, self._at)
        if not found:
            raise ValueError(f"no field at {self._text[self._at :][:40]!r}")
        self._at = found.end()
        if found["open"]:
            return found["name"], self._message()
        return found["name"], found["plain"] or self._string()

    def _message(self) -> str:
        """Up to the bracket that closes it."""
        begin = self._at
        while not (end := re.compile(r"\s*[}>]").match(self._text, self._at)):
            self._field()
        self._at = end.end()
        return self._text[begin : end.start()]

    def _string(self) -> str:
        parts = []
        while found := _STRING.match(self._text, self._at):
            self._at = found.end()
            parts.append(_unescaped(found[1] if found[1] is not None else found[2]))
        return "".join(parts)


def _unescaped(text: str) -> str:
    """Escapes in hexadecimal and octal are bytes of UTF-8."""

    def one(found: re.Match[str]) -> str:
        what = found[1]
        if what[0] == "u" and len(what) > 1:
            return chr(int(what[1:], 16))
        if what[0] == "x" or what[0].isdigit():
            byte = int(what[1:], 16) if what[0] == "x" else int(what, 8)
            return bytes([byte & 0xFF]).decode("utf-8", "surrogateescape")
        return _PLAIN_ESCAPES.get(what, what)

    return _ESCAPE.sub(one, text).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _last(fields: t.Mapping[str, list[str]], name: str) -> str:
    return fields.get(name, [""])[-1]
