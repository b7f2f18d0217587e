# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The short form of a run's result, for those who only want to know how it ended."""

from __future__ import annotations

import json
import typing as t

Outcome: t.TypeAlias = "t.Mapping[str, t.Any]"
#: Kubernetes cuts a termination message here, https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/
MESSAGE_BYTES = 4096
_LENGTHS = (1000, 400, 200, 100)  # characters that are left of each text, tried one after the other
_COUNTS = ("added", "updated", "removed", "stale")
_COPIED = ("url", "status", "changed", "revision", "files", "bytes", "bytes_sent", "shard")


def summary(outcome: Outcome) -> dict[str, t.Any]:
    """``changed``, ``failed``, ``name``, ``revision``, ``error`` and, per destination, the same in numbers."""
    return {
        "changed": bool(outcome.get("changed")),
        "failed": bool(outcome.get("failed")),
        "name": outcome.get("name"),
        "revision": outcome.get("revision"),
        "destinations": [_destination(found) for found in outcome.get("destinations") or ()],
        "error": outcome.get("error"),
    }


def _destination(found: Outcome) -> dict[str, t.Any]:
    return {
        **{key: found[key] for key in _COPIED if key in found},
        **{key: found[key]["count"] for key in _COUNTS if key in found},
        "error": found.get("error"),
    }


def termination_message(outcome: Outcome) -> bytes:
    """The summary as JSON of at most 4096 bytes.

    Where it would be longer, texts are cut and end with ``...``; then destinations are left out, those that went well
    before those that failed, and ``destinations_omitted`` counts them.
    """
    short = summary(outcome)
    for length in _LENGTHS:
        body = _encode(_cut(short, length))
        if len(body) <= MESSAGE_BYTES:
            return body
    short = _cut(short, _LENGTHS[-1])
    destinations = sorted(short["destinations"], key=lambda found: found["error"] is None)
    short["destinations"], short["destinations_omitted"] = destinations, 0
    while len(_encode(short)) > MESSAGE_BYTES and destinations:
        destinations.pop()
        short["destinations_omitted"] += 1
    return _encode(short)


def _encode(data: t.Any) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode()


def _cut(data: t.Any, length: int) -> t.Any:
    if isinstance(data, str):
        return data if len(data) <= length else data[: length - 3] + "..."
    if isinstance(data, dict):
        return {key: _cut(value, length) for key, value in data.items()}
    return [_cut(item, length) for item in data] if isinstance(data, list) else data
