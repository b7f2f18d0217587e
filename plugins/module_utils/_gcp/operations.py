# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Long-running operations of Google's APIs: wait for one, and say why it failed.

Three forms are known:

- that of GKE: https://cloud.google.com/kubernetes-engine/docs/reference/rest/v1/projects.locations.operations
- that of Compute Engine: https://cloud.google.com/compute/docs/reference/rest/v1/globalOperations
- ``google.longrunning`` of all others: https://google.aip.dev/151
"""

from __future__ import annotations

import re
import time
import typing as t
import urllib.parse

from ansible_collections.modelops.serving.plugins.module_utils._gcp.client import Data, GoogleClient
from ansible_collections.modelops.serving.plugins.module_utils._gcp.converge import explained
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    AccessError,
    ConflictError,
    DeadlineError,
    InputError,
    NotFoundError,
    StoreError,
    TransferError,
)

Operation: t.TypeAlias = "t.Mapping[str, t.Any]"

# google.rpc.Code, by number. https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto
_CODES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
_KINDS: dict[str, type[TransferError]] = {
    "INVALID_ARGUMENT": InputError,
    "NOT_FOUND": NotFoundError,
    "RESOURCE_NOT_FOUND": NotFoundError,
    "ALREADY_EXISTS": ConflictError,
    "ABORTED": ConflictError,
    "PERMISSION_DENIED": AccessError,
    "PERMISSIONS_ERROR": AccessError,
    "UNAUTHENTICATED": AccessError,
}
# What to do, by what the code or the message speaks of. The first match counts: a stockout may mention quotas too.
_HINTS = (
    (
        r"stock_?out|resource_pool_exhausted|enough resources|resources? .*unavailable",
        "The location has no capacity for it now. Try again later, or use another zone or a reservation.",
    ),
    (r"quota", "Ask for less, or for more of this quota in the project, and run again."),
    (r"permission|service account", "Give the account named there the role it lacks, and run again."),
)
_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.2, 15.0, 1.5


class Operations:
    """Waits for operations; safe to use from many threads.

    :param timeout: seconds that one operation may take from when it is first waited for.
    :param on_progress: called with the operation each time it was looked at.
    :param sleep: pauses for so many seconds; by default that of the run, which ends at its deadline.
    """

    def __init__(
        self,
        client: GoogleClient,
        *,
        timeout: float,
        on_progress: t.Callable[[Operation], None] | None = None,
        sleep: t.Callable[[float], None] | None = None,
        monotonic: t.Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._timeout = timeout
        self._on_progress = on_progress
        self._sleep = sleep or client.control.sleep
        self._monotonic = monotonic

    def wait(self, api: str, operation: Operation, *, what: str) -> Data:
        """The operation when it is done. Looks at it at growing intervals.

        :param operation: as the API answered the request that started it, or as :meth:`running` found it.
        :param what: what it does, in words that fit after "Google failed to": ``create the cluster X``.
        :raises DeadlineError: it goes on and is not done yet. Waiting for it again is safe.
        :raises TransferError: it failed; the class goes by Google's code, :class:`StoreError` where none fits better.
        """
        ends = self._monotonic() + self._timeout
        pause = _FIRST_PAUSE
        while True:
            if self._on_progress:
                self._on_progress(operation)
            if is_done(operation):
                error = failure(operation, what)
                if error:
                    raise error
                return dict(operation)
            left = ends - self._monotonic()
            if left <= 0:
                raise _unfinished(operation, what, f"{self._timeout:g} seconds")
            try:
                self._sleep(min(pause, left))
                operation = self._look(api, operation, what)
            except DeadlineError as error:
                raise _unfinished(operation, what, "the deadline of the run") from error
            pause = min(pause * _GROWTH, _LONGEST_PAUSE)

    def running(self, parent: str, cluster: str) -> list[Data]:
        """Operations of GKE on a cluster and its node pools that are not done, the oldest first.

        GKE takes no second operation meanwhile; a run that was interrupted finds its own here.

        :param parent: ``projects/P/locations/L``. :param cluster: its name.
        """
        with explained(permission="container.operations.list"):
            found = self._client.call(
                "container", "GET", f"/v1/{parent}/operations", what=f"list the operations in {parent}"
            )
        target = re.compile(rf"/clusters/{re.escape(cluster)}(/|$)")
        running = [
            operation
            for operation in found.get("operations", ())
            if not is_done(operation) and target.search(operation.get("targetLink", ""))
        ]
        return sorted(running, key=lambda operation: str(operation.get("startTime", "")))

    def _look(self, api: str, operation: Operation, what: str) -> Data:
        with explained(permission=_permission(api, operation)):
            return self._client.call(api, "GET", path_of(operation), what=f"look at the operation to {what}")


def is_done(operation: Operation) -> bool:
    """Whether it has ended, well or not."""
    return bool(operation.get("done")) or operation.get("status") == "DONE"


def path_of(operation: Operation) -> str:
    """Where an operation is asked for, below the endpoint of its API.

    GKE and Compute Engine say it in ``selfLink``; its host may be another one than the endpoint in use.
    """
    link = operation.get("selfLink")
    return urllib.parse.urlsplit(link).path if link else f"/v1/{operation['name']}"


def failure(operation: Operation, what: str) -> TransferError | None:
    """The error of an operation that is done; None where it went well."""
    code, message = _error(operation)
    if not code:
        return None
    told = f"Google failed to {what}: {message} ({code})."
    hint = next(
        (hint for pattern, hint in _HINTS if re.search(pattern, f"{code} {message}", re.IGNORECASE)),
        "Correct the cause and run again.",
    )
    return _KINDS.get(code, StoreError)(told, hint=f"{hint} The operation is {operation.get('name')}.")


def _error(operation: Operation) -> tuple[str, str]:
    """Code and message; empty where there is no error."""
    error = operation.get("error") or {}
    several = error.get("errors")  # Compute Engine
    if several:
        return str(several[0].get("code") or "UNKNOWN"), _joined(several)
    if not error:
        return "", ""
    number = error.get("code") or 0
    code = _CODES[number] if 0 < number < len(_CODES) else "UNKNOWN"
    # GKE adds the reason of a failed node pool, such as GCE_STOCKOUT, and repeats itself.
    conditions = [*operation.get("nodepoolConditions", ()), *operation.get("clusterConditions", ())]
    return code, _joined([error, *conditions])


def _joined(errors: t.Iterable[t.Mapping[str, t.Any]]) -> str:
    messages = (str(error.get("message") or "").strip().rstrip(".") for error in errors)
    return "; ".join(dict.fromkeys(filter(None, messages))) or "no reason given"


def _unfinished(operation: Operation, what: str, limit: str) -> DeadlineError:
    state = operation.get("status") or "not done"
    return DeadlineError(
        f"It was not done within {limit} to {what}: the operation {operation.get('name')} is {state} and goes on.",
        hint="Run again to wait for it: nothing is started twice. Raise the timeout where it needs longer.",
    )


def _permission(api: str, operation: Operation) -> str:
    if api == "compute":
        scope = next((scope for scope in ("zone", "region") if operation.get(scope)), "global")
        return f"compute.{scope}Operations.get"
    return f"{api}.operations.get"
