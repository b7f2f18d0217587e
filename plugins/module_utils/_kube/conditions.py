# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a caller may wait for beside an object's own readiness: a status condition, or a value found by JSONPath.

The JSONPath is the part of it that ``kubectl wait`` users write: ``.name``, ``['name']``, ``[0]``, ``[*]`` and
``[?(@.type=="X")]``. Anything else is refused, nothing is ever evaluated as code.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from .client import Object
from .errors import InputError

# One step of a path: .name (with \. for a dot in the name), [0], [*], ['name'], [?(@.type=="X")]
_STEP = re.compile(
    r"""\.(?P<name>(?:\\.|[^.\[\]\\'"()=?*@\s])+)
      | \[(?P<index>-?\d+)\]
      | \[(?P<all>\*)\]
      | \[(?P<quote>['"])(?P<quoted>.*?)(?P=quote)\]
      | \[\?\(\s*@(?P<field>(?:\.[\w/-]+)+)\s*==\s*(?P<mark>['"])(?P<wanted>.*?)(?P=mark)\s*\)\]
    """,
    re.VERBOSE,
)


def conditions(obj: Object) -> dict[str, Object]:
    """``status.conditions`` by their type; empty where there are none or they have another shape."""
    found = (obj.get("status") or {}).get("conditions")
    if not isinstance(found, list):
        return {}
    return {item["type"]: item for item in found if isinstance(item, dict) and isinstance(item.get("type"), str)}


def unseen(obj: Object) -> bool:
    """Whether the object's controller has not yet seen its newest generation, so that its status is that of before.

    That of an InferenceService is of its Deployment, and so says nothing:
    https://github.com/kserve/kserve/blob/master/pkg/apis/serving/v1beta1/inference_service_status.go
    """
    if obj.get("kind") == "InferenceService":
        return False
    observed = (obj.get("status") or {}).get("observedGeneration")
    return isinstance(observed, int) and observed < _generation(obj)


def outdated(obj: Object, condition: Object) -> bool:
    """Whether one condition speaks of an older generation of the object."""
    observed = condition.get("observedGeneration")
    return isinstance(observed, int) and 0 < observed < _generation(obj)


def _generation(obj: Object) -> int:
    return int((obj.get("metadata") or {}).get("generation") or 0)


class Expectation(t.Protocol):
    """Anything that an object meets or does not meet."""

    def met(self, obj: Object) -> bool: ...


@dataclass(frozen=True)
class Condition:
    """A status condition, as ``kubectl wait --for=condition=TYPE=STATUS`` has it. Upper and lower case count alike."""

    type: str
    status: str = "True"
    reason: str | None = None

    def __str__(self) -> str:
        return f"condition {self.type}={self.status}" + (f" ({self.reason})" if self.reason else "")

    def met(self, obj: Object) -> bool:
        """Whether the object has the condition now, for its newest generation."""
        for name, found in conditions(obj).items():
            if name.lower() == self.type.lower() and not outdated(obj, found):
                same = str(found.get("status")).lower() == self.status.lower()
                return same and self.reason in (None, found.get("reason"))
        return False


@dataclass(frozen=True)
class JsonPath:
    """A value in the object: the path must find something, and all it finds must be ``value`` if one is given.

    Numbers and booleans are compared as JSON writes them: ``3``, ``true``.

    :raises InputError: the path is not of the supported part of JSONPath.
    """

    path: str
    value: str | None = None

    def __post_init__(self) -> None:
        self._steps()

    def __str__(self) -> str:
        return f"jsonpath {self.path}" + ("" if self.value is None else f"={self.value}")

    @classmethod
    def parse(cls, text: str) -> JsonPath:
        """Read ``{.status.phase}=Running``, or ``{.status.loadBalancer.ingress}`` where any value will do."""
        match = re.fullmatch(r"\s*(\{.*?\})\s*(?:=(.*))?", text, re.DOTALL)
        if match is None:
            raise InputError(
                f"{text!r} is not a JSONPath with an expected value.", hint="Write it as {.status.phase}=Running."
            )
        value = match[2]
        return cls(match[1], None if value is None else value.strip().strip("'\""))

    def met(self, obj: Object) -> bool:
        """Whether the object has the value now."""
        found = self.find(obj)
        return bool(found) and (self.value is None or all(_text(item) == self.value for item in found))

    def find(self, obj: Object) -> list[t.Any]:
        """All that the path finds in the object, null not counted."""
        values: list[t.Any] = [obj]
        for step in self._steps():
            values = [found for value in values for found in _take(value, step)]
        return [value for value in values if value is not None]

    def _steps(self) -> list[re.Match[str]]:
        path = self.path.strip()
        if path.startswith("{") and path.endswith("}"):
            path = path[1:-1].strip()
        path = path.removeprefix("$")
        if path and path[0] not in ".[":
            path = f".{path}"
        steps, position = [], 0
        while position < len(path):
            step = _STEP.match(path, position)
            if step is None:
                break
            steps.append(step)
            position = step.end()
        if not steps or position < len(path):
            raise InputError(
                f"The JSONPath {self.path!r} is not supported" + (f" from {path[position:]!r} on." if path else "."),
                hint="Supported are .name, ['name'], [0], [*] and [?(@.type==\"X\")], for example {.status.phase}.",
            )
        return steps


def _take(value: t.Any, step: re.Match[str]) -> list[t.Any]:
    """What one step finds in one value."""
    if step["name"] is not None or step["quoted"] is not None:
        name = step["quoted"] if step["name"] is None else re.sub(r"\\(.)", r"\1", step["name"])
        return [value[name]] if isinstance(value, dict) and name in value else []
    if not isinstance(value, list):
        return []
    if step["index"] is not None:
        index = int(step["index"])
        return [value[index]] if -len(value) <= index < len(value) else []
    if step["all"]:
        return value
    names = step["field"].split(".")[1:]
    return [item for item in value if _text(_at(item, names)) == step["wanted"]]


def _at(value: t.Any, names: list[str]) -> t.Any:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _text(value: t.Any) -> str | None:
    """A value as JSON writes it; None for what is not a single value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (str, int, float)) else None
