# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of the local hub: rules that decide which requests go wrong, and how."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

Role = Literal["hub", "cdn"]
Action = Literal[
    "status",
    "remove_file",
    "empty_body",
    "wrong_etag",
    "expire_url",
    "ignore_range",
    "gzip",
    "short",
    "flip",
    "throttle",
    "stall",
    "cut",
    "reset",
]
# Decided when a request arrives; the others change a body and are decided when one is about to be sent.
_REQUEST_ACTIONS = frozenset({"status", "remove_file", "empty_body", "wrong_etag", "expire_url"})
# Nothing else can happen to a request after one of these, so later rules are not used up by it.
_FINAL_ACTIONS = frozenset({"status", "remove_file", "empty_body", "cut", "reset"})

_REQUIRED: Mapping[str, tuple[str, ...]] = {
    "status": ("code",),
    "flip": ("offset",),
    "throttle": ("bytes_per_second",),
    "stall": ("seconds",),
}
_USED: Mapping[str, tuple[str, ...]] = {
    "status": ("code", "headers", "retry_after", "ratelimit", "message"),
    "wrong_etag": ("etag",),
    "gzip": ("force",),
    "short": ("missing_bytes",),
    "flip": ("offset",),
    "throttle": ("bytes_per_second",),
    "stall": ("seconds", "after_bytes"),
    "cut": ("after_bytes",),
    "reset": ("after_bytes",),
}
_COMMON = ("action", "match", "role", "method", "times", "after")


@dataclass(frozen=True)
class Fault:
    """One rule. It strikes requests whose decoded path (without query) is found by the regular expression `match`.

    Which requests: `role` (None is both), `method` (None is any); the first `after` matches are spared, then
    `times` matches are struck (None is all).

    What happens, by `action`:

    - status: answer `code` with `headers`; `retry_after` seconds; `ratelimit` {"resource", "r", "t", "q", "w"}
    - remove_file: the file is listed but 404 EntryNotFound
    - empty_body: 200 with nothing in it
    - wrong_etag: `etag` in ETag and X-Linked-Etag
    - expire_url: on the hub, redirect to an already expired address; on the cdn, refuse a good one as expired
    - ignore_range: answer a ranged request with 200 and the whole file
    - gzip: compress without a length if the client accepts it, or anyway with `force`
    - short: announce and send `missing_bytes` bytes less than asked; Content-Range still says all
    - flip: invert the byte at `offset` of the file; requests that do not include it are spared
    - throttle: at most `bytes_per_second`
    - stall: after `after_bytes` bytes of this body send nothing for `seconds`, then go on
    - cut: after `after_bytes` bytes of this body close the connection in an orderly way
    - reset: after `after_bytes` bytes of this body reset the connection
    """

    action: Action
    match: str = ""
    role: Role | None = None
    method: str | None = None
    times: int | None = None
    after: int = 0
    code: int = 500
    headers: Mapping[str, str] | None = None
    message: str = "Fault requested by a test"
    retry_after: float | None = None
    ratelimit: Mapping[str, Any] | None = None
    etag: str = "0" * 40
    force: bool = False
    missing_bytes: int = 1
    offset: int = 0
    bytes_per_second: float = 0
    seconds: float = 0
    after_bytes: int = 0

    @classmethod
    def from_dict(cls, rule: Mapping[str, Any]) -> Fault:
        """A checked rule. Raises ValueError for unknown actions and for options the action has no use for."""
        action = str(rule.get("action"))
        if action not in get_args(Action):
            raise ValueError(f"unknown action {action!r}; choose one of {', '.join(get_args(Action))}")
        unknown = set(rule) - {*_COMMON, *_USED.get(action, ())}
        if unknown:
            raise ValueError(f"action {action} does not take {', '.join(sorted(unknown))}")
        missing = [name for name in _REQUIRED.get(action, ()) if name not in rule]
        if missing:
            raise ValueError(f"action {action} needs {', '.join(missing)}")
        if rule.get("role") not in (None, *get_args(Role)):
            raise ValueError(f"unknown role {rule['role']!r}; choose hub or cdn")
        try:
            re.compile(str(rule.get("match", "")))
        except re.error as error:
            raise ValueError(f"match is not a regular expression: {error}") from error
        return cls(**rule)

    def as_dict(self) -> dict[str, Any]:
        used = {*_COMMON, *_USED.get(self.action, ())}
        return {name: value for name, value in asdict(self).items() if name in used}


@dataclass
class _Rule:
    fault: Fault
    seen: int = 0
    struck: int = 0

    def take(self) -> bool:
        self.seen += 1
        times = self.fault.times
        if self.seen <= self.fault.after or (times is not None and self.struck >= times):
            return False
        self.struck += 1
        return True


class Faults:
    """The rules in force, to be changed at any time from any thread."""

    def __init__(self) -> None:
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()

    def add(self, action: Action, **options: Any) -> None:
        """Add one rule, for the options see Fault. Raises ValueError."""
        self.extend([{"action": action, **options}])

    def extend(self, rules: Iterable[Mapping[str, Any]]) -> None:
        """Add rules; none is added when one is wrong. Raises ValueError."""
        added = [_Rule(Fault.from_dict(rule)) for rule in rules]
        with self._lock:
            self._rules += added

    def clear(self) -> None:
        with self._lock:
            self._rules.clear()

    def report(self) -> list[dict[str, Any]]:
        """Every rule with the number of requests it has `seen` and `struck`."""
        with self._lock:
            return [{**rule.fault.as_dict(), "seen": rule.seen, "struck": rule.struck} for rule in self._rules]

    def for_request(self, role: Role, method: str, path: str) -> list[Fault]:
        """The faults that decide on the answer to a request as it arrives."""
        return self._take(role, method, path, lambda fault: fault.action in _REQUEST_ACTIONS)

    def for_body(self, role: Role, method: str, path: str, window: range, ranged: bool) -> list[Fault]:
        """The faults for a body that holds the bytes `window` of its file; `ranged` when a range was asked for."""

        def applies(fault: Fault) -> bool:
            if fault.action in _REQUEST_ACTIONS:
                return False
            if fault.action == "flip":
                return fault.offset in window
            return fault.action != "ignore_range" or ranged

        return self._take(role, method, path, applies)

    def _take(self, role: Role, method: str, path: str, applies: Callable[[Fault], bool]) -> list[Fault]:
        taken: list[Fault] = []
        with self._lock:
            for rule in self._rules:
                fault = rule.fault
                matches = (
                    applies(fault)
                    and fault.role in (None, role)
                    and fault.method in (None, method)
                    and re.search(fault.match, path)
                )
                if matches and rule.take():
                    taken.append(fault)
                    if fault.action in _FINAL_ACTIONS:
                        break
        return taken
