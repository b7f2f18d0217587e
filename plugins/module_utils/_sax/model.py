# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A published model as data, and what has to be done to make it another; pure.

Names are checked as ``saxml/common/naming.go`` and ``saxml/admin/validator.go`` of https://github.com/google/saxml check
them, so that nothing is unpublished for something that would be refused.
"""

from __future__ import annotations

import dataclasses
import json
import re
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import InputError

Step: t.TypeAlias = t.Literal["unpublish", "publish", "update"]

_NAME = re.compile(r"[a-z]+[a-z0-9-_]*")
_PATH = re.compile(r"[a-zA-Z]+[a-zA-Z0-9_.-]*")
_CHECKPOINT = re.compile(r"[/\w.%:=|+-]+", re.ASCII)
# An override replaces an attribute of a class in Python, and saxutil cuts key=value at the first "=".
_KEY = re.compile(r"[A-Za-z_]\w*", re.ASCII)


@dataclasses.dataclass(frozen=True)
class Model:
    """A model as it is published, or is to be.

    :param id: ``/sax/<cell>/<name>``.
    :param path: the class that describes it, in Python's words.
    :param overrides: attribute of that class -> JSON.
    """

    id: str
    path: str
    checkpoint: str
    replicas: int
    overrides: t.Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def data(self) -> dict[str, t.Any]:
        """As it is told, with overrides as values."""
        return {
            "name": self.id,
            "model_path": self.path,
            "checkpoint": self.checkpoint,
            "replicas": self.replicas,
            "overrides": {key: _value(text) for key, text in sorted(self.overrides.items())},
        }


def full_id(name: str, cell: str) -> str:
    """The id of a model of a cell from its name, or from its id.

    :raises InputError: it is no name, or one of another cell.
    """
    of, _slash, last = name.rpartition("/")
    if not _NAME.fullmatch(last):
        raise InputError(
            f"{name!r} is no name of a model of Saxml.",
            hint="Give small letters, digits, '-' and '_' that begin with a letter, or /sax/<cell>/ and such a name.",
        )
    if of and of != cell:
        raise InputError(
            f"The model {name} is not one of the cell {cell}.", hint=f"Give {last}, or the instance whose cell is {of}."
        )
    return f"{cell}/{last}"


def make(name: str, cell: str, *, path: str, checkpoint: str, replicas: int, overrides: t.Mapping[str, t.Any]) -> Model:
    """A model to be published.

    :param overrides: attribute -> value that JSON knows.
    :raises InputError: Saxml would refuse it, or no override of it could be what its name or value says.
    """
    for what, text, pattern in (("model path", path, _PATH), ("checkpoint", checkpoint, _CHECKPOINT)):
        if not pattern.fullmatch(text):
            raise InputError(f"{text!r} is no {what} that Saxml takes.", hint=f"It has to match {pattern.pattern}")
    if replicas < 0:
        raise InputError(f"{replicas} is no number of replicas.", hint="Give 0 or more.")
    return Model(full_id(name, cell), path, checkpoint, replicas, dict(_override(*item) for item in overrides.items()))


def plan(found: Model | None, wanted: Model | None) -> tuple[Step, ...]:
    """What makes what is published so. An update changes the number of replicas and nothing else (``UpdateCmd`` of saxutil)."""
    if found is None or wanted is None:
        return ("unpublish",) if found else ("publish",) if wanted else ()
    if dataclasses.replace(found, replicas=wanted.replicas) != wanted:
        return ("unpublish", "publish")
    return () if found.replicas == wanted.replicas else ("update",)


def canonical(text: str) -> str:
    """JSON as it is compared; what is none stays as it is."""
    try:
        return _json(json.loads(text))
    except ValueError:
        return text


def _override(key: str, value: t.Any) -> tuple[str, str]:
    if not _KEY.fullmatch(key):
        raise InputError(
            f"The override {key!r} is no attribute of a model.", hint="Give one of its class, such as BATCH_SIZE."
        )
    try:
        return key, _json(value)
    except (ValueError, TypeError) as error:
        raise InputError(f"The override {key} has no value in JSON: {error}.") from error


def _json(value: t.Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _value(text: str) -> t.Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
