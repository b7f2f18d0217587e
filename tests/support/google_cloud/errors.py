# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How Google says no: https://cloud.google.com/apis/design/errors, and the older form of storage and bigquery."""

from __future__ import annotations

from typing import Any

#: HTTP status -> (google.rpc.Code, reason of the older form), for what is refused without naming them.
_NAMES = {
    400: ("INVALID_ARGUMENT", "badRequest"),
    401: ("UNAUTHENTICATED", "authError"),
    403: ("PERMISSION_DENIED", "forbidden"),
    404: ("NOT_FOUND", "notFound"),
    405: ("UNIMPLEMENTED", "methodNotAllowed"),
    409: ("ABORTED", "conflict"),
    412: ("FAILED_PRECONDITION", "conditionNotMet"),
    429: ("RESOURCE_EXHAUSTED", "rateLimitExceeded"),
    500: ("INTERNAL", "internalError"),
    501: ("UNIMPLEMENTED", "notImplemented"),
    503: ("UNAVAILABLE", "backendError"),
    504: ("DEADLINE_EXCEEDED", "backendError"),
}
#: google.rpc.Code -> its number, which operations have.
CODES = {
    "CANCELLED": 1,
    "INVALID_ARGUMENT": 3,
    "NOT_FOUND": 5,
    "ALREADY_EXISTS": 6,
    "PERMISSION_DENIED": 7,
    "RESOURCE_EXHAUSTED": 8,
    "FAILED_PRECONDITION": 9,
    "ABORTED": 10,
    "INTERNAL": 13,
    "UNAVAILABLE": 14,
}
#: google.rpc.Code -> reason of the older form, where the HTTP status does not decide.
_REASONS = {"FAILED_PRECONDITION": "failedPrecondition", "ALREADY_EXISTS": "duplicate"}


class ApiError(Exception):
    """A refusal.

    :param reason: google.rpc.Code, such as ``FAILED_PRECONDITION``; by default what goes with the HTTP status.
    """

    def __init__(
        self, status: int, message: str, reason: str = "", details: list[dict[str, Any]] | None = None
    ) -> None:
        super().__init__(message)
        name, older = _NAMES.get(status, ("UNKNOWN", "unknown"))
        self.status, self.message = status, message
        self.reason, self.details = reason or name, details
        self.older = older if self.reason == name else _REASONS.get(self.reason, self.reason)

    def body(self, api: str) -> dict[str, Any]:
        """The answer in the form that the API uses."""
        error: dict[str, Any] = {"code": self.status, "message": self.message}
        if api in ("storage", "bigquery"):
            error["errors"] = [{"message": self.message, "domain": "global", "reason": self.older}]
        if api != "storage":
            error["status"] = self.reason
        if self.details:
            error["details"] = self.details
        return {"error": error}


def invalid(message: str, field: str = "") -> ApiError:
    """400 INVALID_ARGUMENT, with the field at fault where there is one."""
    violation = {"description": message} | ({"field": field} if field else {})
    return ApiError(
        400, message, details=[{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}]
    )


def not_found(message: str) -> ApiError:
    return ApiError(404, message)


def exists(message: str) -> ApiError:
    return ApiError(409, message, "ALREADY_EXISTS")


def precondition(message: str) -> ApiError:
    """400 FAILED_PRECONDITION: the resource is not in a state for this."""
    return ApiError(400, message, "FAILED_PRECONDITION")


def stale(message: str) -> ApiError:
    """409 ABORTED: somebody else was faster."""
    return ApiError(409, message, "ABORTED")


def disabled(api: str, project: str) -> ApiError:
    """403: the API is not enabled in the project. https://cloud.google.com/apis/design/errors#error_details"""
    url = f"https://console.developers.google.com/apis/api/{api}.googleapis.com/overview?project={project}"
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "SERVICE_DISABLED",
        "domain": "googleapis.com",
        "metadata": {"service": f"{api}.googleapis.com", "consumer": f"projects/{project}"},
    }
    told = f"{api} API has not been used in project {project} before or it is disabled. Enable it by visiting {url}"
    return ApiError(403, f"{told} then retry.", details=[info])
