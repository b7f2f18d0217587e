# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can go wrong with the API server, by what the caller can do about it, and what its refusals mean."""

from __future__ import annotations

import dataclasses
import re
import typing as t


class KubeError(Exception):
    """Base of all errors raised here on purpose.

    ``message`` names the object and the cause, ``hint`` the next step. Neither ever holds a secret. ``changes`` are
    those (of ``apply``) that had been made before.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.changes: list[t.Any] = []

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message


class InputError(KubeError):
    """A definition or an option is wrong; nothing was changed."""


class UnavailableError(KubeError):
    """No answer, or one that is worth another try: 429, 500, 502, 503, 504.

    ``retry_after`` is the pause in seconds that the server asked for, if it did.
    """

    def __init__(self, message: str, *, hint: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


@dataclasses.dataclass(frozen=True)
class Cause:
    """One of the causes in the details of a Status: which field, and why."""

    field: str
    message: str
    reason: str


class ApiError(KubeError):
    """The API server refused. ``status`` is the HTTP status, ``reason`` Kubernetes' word for it, such as Forbidden."""

    def __init__(
        self, message: str, *, hint: str = "", status: int, reason: str = "", causes: t.Sequence[Cause] = ()
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.reason = reason
        self.causes = tuple(causes)

    @property
    def immutable(self) -> bool:
        """Whether it was refused because of a field that cannot be changed on an existing object."""
        return self.status == 422 and bool(_IMMUTABLE.search(self.message))


class ConflictError(ApiError):
    """Other managers own fields that were to be applied. ``owners``: field -> manager."""

    def __init__(self, message: str, *, hint: str = "", causes: t.Sequence[Cause] = (), owners: dict[str, str]) -> None:
        super().__init__(message, hint=hint, status=409, reason="Conflict", causes=causes)
        self.owners = owners


class WaitError(KubeError):
    """Waiting ended without success.

    ``findings`` (of ``diagnose``) say why, ``last`` is the object as it was seen last, ``timed_out`` tells a deadline
    from a failure for good.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        findings: t.Sequence[t.Any] = (),
        last: dict[str, t.Any] | None = None,
        timed_out: bool = False,
    ) -> None:
        super().__init__(message, hint=hint)
        self.findings = list(findings)
        self.last = last
        self.timed_out = timed_out


# How the API server and its controllers word it: apimachinery's FieldImmutableErrorMsg, Service.spec.clusterIPs,
# RoleBinding.roleRef, StatefulSet.spec, Pod.spec, StorageClass.parameters.
_IMMUTABLE = re.compile(
    r"immutable|may not (be )?change|cannot change|can not be changed|updates to .* (are|is) forbidden"
    r"|may not be (updated|modified)|cannot be (updated|modified|changed)"
)
_RBAC = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\w+) resource "(?P<resource>[^"]*)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]*)")?'
)
_QUOTA = re.compile(r"(?:exceeded|failed) quota: (?P<name>[^:,\s]+)")
_WEBHOOK = re.compile(r'(?:admission webhook|failed calling webhook) "(?P<name>[^"]+)"')
_MANAGER = re.compile(r'conflict with "(?P<manager>[^"]*)"')
# Servers before 1.25 call a definition that they cannot read an internal error.
_UNREADABLE = re.compile(
    r"failed to create typed patch object|field not declared in schema|failed to convert new object"
)
# Go values can be pages long: "Invalid value: core.PodTemplateSpec{...}: field is immutable".
_LONG_VALUE = re.compile(r"(Invalid value: .{60}).{100,}(: (?=[a-z])[^:]{5,300})$", re.DOTALL)


def shorten(text: str) -> str:
    """A cause of the API server without the pages of Go values that some of them quote."""
    text = _LONG_VALUE.sub(r"\1...\2", text.strip())
    return text if len(text) <= 1200 else f"{text[:1200]}..."


def _first_line(message: t.Any) -> str:
    """Of the message of a cause; what follows is a difference between Go values."""
    return shorten(str(message).strip().partition("\n")[0])


def refusal(status: int, body: t.Mapping[str, t.Any], *, what: str, retry_after: float | None = None) -> KubeError:
    """The error for an answer that is not a success.

    :param body: the Status object of the answer, or what a server behind the proxy answers; ``{"message": text}`` when the
        server sent something else.
    :param what: what was asked for, for example ``apply of Deployment demo/server``.
    """
    message = str(body.get("message") or _from_behind(body) or body.get("reason") or "no reason given")
    details = body.get("details") or {}
    causes = tuple(
        Cause(str(cause.get("field", "")), _first_line(cause.get("message", "")), str(cause.get("reason", "")))
        for cause in details.get("causes") or ()
    )
    reason = str(body.get("reason") or "")
    if status == 500 and _UNREADABLE.search(message):
        status, reason = 400, "BadRequest"
    if status in (429, 500, 502, 503, 504):
        return _unavailable(status, message, what, retry_after)
    if status == 409 and any(cause.reason == "FieldManagerConflict" for cause in causes):
        return _conflict(what, causes)
    told, hint = _explain(status, message, causes)
    return ApiError(
        f"The API server refused the {what}: {told.rstrip('.')}.",
        hint=hint,
        status=status,
        reason=reason,
        causes=causes,
    )


def _from_behind(body: t.Mapping[str, t.Any]) -> str:
    """What a server behind the API server's proxy says, as most servers of models do: ``error`` with a message, or alone."""
    error = body.get("error")
    return str(error.get("message") or "") if isinstance(error, dict) else str(error or "")


def _unavailable(status: int, message: str, what: str, retry_after: float | None) -> UnavailableError:
    hint = "Try again, and look at the API server when it goes on."
    webhook = _WEBHOOK.search(message)
    if webhook:
        hint = f"See to it that the service behind the webhook {webhook['name']} answers, or remove its configuration."
    elif status == 429:
        hint = "It is asked for too much at the moment. Try again later."
    return UnavailableError(
        f"The API server could not do the {what}: {shorten(message)} ({status}).", hint=hint, retry_after=retry_after
    )


def _conflict(what: str, causes: tuple[Cause, ...]) -> ConflictError:
    owners = {}
    for cause in causes:
        manager = _MANAGER.search(cause.message)
        owners[cause.field.lstrip(".")] = manager["manager"] if manager else cause.message
    told = ", ".join(f"{field} is owned by {manager!r}" for field, manager in owners.items())
    return ConflictError(
        f"The {what} conflicts with another field manager: {told}.",
        hint="Leave these fields out to let the other manager keep them, or take them over with force_conflicts: true.",
        causes=causes,
        owners=owners,
    )


def _explain(status: int, message: str, causes: tuple[Cause, ...]) -> tuple[str, str]:
    """What the API server says, made readable, and the next step."""
    rbac, quota, webhook = _RBAC.search(message), _QUOTA.search(message), _WEBHOOK.search(message)
    if status == 401:
        return (
            "the credentials are missing, wrong or expired (401 Unauthorized)",
            "Renew the token or certificate of the kubeconfig's user, or run its login command again.",
        )
    if webhook:
        hint = f"It was the admission webhook {webhook['name']}. Change the object to what it allows."
        if "does not support dry run" in message:
            hint = f"Let the webhook {webhook['name']} declare sideEffects: None or NoneOnDryRun."
        return shorten(message), hint
    if rbac:
        return _forbidden(rbac, shorten(message))
    if quota:
        return shorten(message), f"Raise the ResourceQuota {quota['name']}, or give back what it counts."
    immutable = [cause for cause in causes if _IMMUTABLE.search(cause.message)]
    if status == 422 and (immutable or _IMMUTABLE.search(message)):
        told = "; ".join(f"{cause.field}: {cause.message}" for cause in immutable) or shorten(message)
        return (
            f"a field cannot be changed on an existing object: {told}",
            "Allow the object to be deleted and created anew with replace: true, or keep the field as it is.",
        )
    if status == 422 and causes:
        told = "; ".join(f"{cause.field}: {cause.message}" if cause.field else cause.message for cause in causes)
        return told, "Correct the named fields of the definition."
    return shorten(message), ""


def _forbidden(rbac: re.Match[str], message: str) -> tuple[str, str]:
    resource, _slash, subresource = rbac["resource"].partition("/")
    role = f"Role in namespace {rbac['namespace']}" if rbac["namespace"] else "ClusterRole"
    names = f"{resource}/{subresource}" if subresource else resource
    rule = f'{{apiGroups: ["{rbac["group"]}"], resources: ["{names}"], verbs: ["{rbac["verb"]}"]}}'
    return message, f"Give {rbac['user']} a {role} with the rule {rule}."
