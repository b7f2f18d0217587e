# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Comparing what is wanted with what is there, where only fields that are wanted count. Pure.

Data are messages of the API as JSON. An absent field is as good as one that is empty, false or zero: that is how the API
leaves them out. Lists are sets: GKE gives zones, taints, scopes and networks back in an order of its own.
"""

from __future__ import annotations

import json
import typing as t

Data: t.TypeAlias = "dict[str, t.Any]"


class Difference(t.NamedTuple):
    """A field that is not as wanted. ``path`` is dotted, as in ``config.diskType``; None stands for nothing."""

    path: str
    before: t.Any
    after: t.Any


class Call(t.NamedTuple):
    """A request that changes a resource.

    :param what: in words that fit after "Google refused to": ``change the labels of``.
    :param path: what follows the name of the resource: ``:setSize``.
    :param permission: that it takes.
    """

    what: str
    method: str
    path: str
    body: Data | None
    permission: str


def merged(live: t.Mapping[str, t.Any], wanted: t.Mapping[str, t.Any]) -> Data:
    """``live`` with the fields of ``wanted``; lists are replaced, and what is None is taken away."""
    result = dict(live)
    for key, value in wanted.items():
        if isinstance(value, dict):
            result[key] = merged(live.get(key) or {}, value)
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = value
    return result


def differences(wanted: t.Mapping[str, t.Any], live: t.Mapping[str, t.Any], above: str = "") -> list[Difference]:
    """The fields of ``wanted`` that ``live`` has otherwise, in the order of ``wanted``."""
    found: list[Difference] = []
    for key, value in wanted.items():
        there = live.get(key)
        if isinstance(value, dict):
            found += differences(value, there or {}, f"{above}{key}.")
        elif not same(value, there):
            found.append(Difference(f"{above}{key}", there, value))
    return found


def same(wanted: t.Any, live: t.Any) -> bool:
    """Whether two values of a field mean the same."""
    if isinstance(wanted, list) or isinstance(live, list):
        return _as_set(wanted) == _as_set(live)
    return bool(_plain(wanted) == _plain(live))


def picked(wanted: t.Mapping[str, t.Any], live: t.Mapping[str, t.Any]) -> Data:
    """The fields of ``wanted`` as they are in ``live``, for a diff: in the words of ``wanted`` where they mean the same."""
    result: Data = {}
    for key, value in wanted.items():
        there = live.get(key)
        if isinstance(value, dict):
            result[key] = picked(value, there or {})
        else:
            result[key] = value if same(value, there) else there
    return result


def value_at(data: t.Mapping[str, t.Any], path: str) -> t.Any:
    """What a dotted path leads to, None where it leads nowhere."""
    found: t.Any = data
    for key in path.split("."):
        found = (found or {}).get(key)
    return found


def put(data: Data, path: str, value: t.Any) -> None:
    """Set a field by its dotted path, unless the value is None."""
    if value is None:
        return
    *above, last = path.split(".")
    for key in above:
        data = data.setdefault(key, {})
    data[last] = value


def pruned(data: t.Any) -> t.Any:
    """Without fields that are None or have nothing in them, as a new resource is sent."""
    if isinstance(data, dict):
        kept = {key: pruned(value) for key, value in data.items()}
        return {key: value for key, value in kept.items() if value is not None and value not in ("", {}, [])}
    if isinstance(data, list):
        return [pruned(item) for item in data]
    return data


def texts(labels: t.Mapping[str, t.Any] | None) -> Data:
    """Labels with texts as values. None stays, and takes a label away."""
    return {key: None if value is None else str(value) for key, value in (labels or {}).items()}


def touches(path: str, field: str) -> bool:
    """Whether a path is a field or lies in it."""
    return path == field or path.startswith(f"{field}.")


def _plain(value: t.Any) -> t.Any:
    if isinstance(value, str) and value.endswith("UNSPECIFIED"):
        return None
    if not value or value == "0":
        return None
    # Numbers of 64 bits are strings in JSON.
    return value if isinstance(value, (bool, dict)) else str(value)


def _as_set(items: t.Any) -> list[str]:
    return sorted(json.dumps(_bare(item), sort_keys=True) for item in items or ())


def _bare(item: t.Any) -> t.Any:
    if not isinstance(item, dict):
        return _plain(item)
    return {key: _plain(value) for key, value in item.items() if _plain(value) is not None}
