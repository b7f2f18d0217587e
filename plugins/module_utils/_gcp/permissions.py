# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which permissions an account has on resources: ``testIamPermissions``, which everybody may ask for themselves."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._gcp.client import GoogleClient
from ansible_collections.modelops.serving.plugins.module_utils._gcp.resources import KINDS, Resource
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import NotFoundError

#: Types of resources that can be asked. The API of BigQuery has no such method for datasets.
TESTABLE: t.Final[tuple[str, ...]] = tuple(name for name in KINDS if name != "dataset")
# Bounded as URLs are: for buckets they are parameters of a query.
_MOST = 100


@dataclasses.dataclass(frozen=True)
class Need:
    """Permissions on one resource. ``role`` is one that has them, for the message.

    With ``may_be_absent`` nothing is missing where there is no such resource.
    """

    resource: Resource
    permissions: tuple[str, ...]
    role: str | None = None
    may_be_absent: bool = False


@dataclasses.dataclass(frozen=True)
class Finding:
    """What is missing of a need."""

    need: Need
    missing: list[str]
    exists: bool = True

    @property
    def message(self) -> str:
        """What is missing and where, and a role that has it; empty where nothing is missing."""
        if not self.exists and not self.need.may_be_absent:
            return f"The {self.need.resource} does not exist."
        if not self.missing:
            return ""
        word = "permission" if len(self.missing) == 1 else "permissions"
        role = f" The role {self.need.role} has what is missing." if self.need.role else ""
        return f"On the {self.need.resource} the account lacks the {word} {', '.join(self.missing)}.{role}"


def find_missing(client: GoogleClient, needs: t.Iterable[Need]) -> list[Finding]:
    """Ask for each need, in order; needs on the same resource are asked for together.

    :raises TransferError: no answer, or one that says nothing about permissions.
    """
    asked = list(needs)
    wanted: dict[str, tuple[Resource, dict[str, None]]] = {}
    for need in asked:
        _resource, permissions = wanted.setdefault(str(need.resource), (need.resource, {}))
        permissions.update(dict.fromkeys(need.permissions))
    held = {name: _held(client, resource, list(permissions)) for name, (resource, permissions) in wanted.items()}
    findings = []
    for need in asked:
        found = held[str(need.resource)]
        lacking = [name for name in need.permissions if name not in (found or ())]
        missing = [] if found is None and need.may_be_absent else lacking
        findings.append(Finding(need, missing, exists=found is not None))
    return findings


def _held(client: GoogleClient, resource: Resource, permissions: list[str]) -> set[str] | None:
    """Those of the permissions that the account has; None where there is no such resource."""
    held: set[str] = set()
    what = f"tell which permissions the account has on the {resource}"
    for start in range(0, len(permissions), _MOST):
        some = permissions[start : start + _MOST]
        try:
            if resource.kind is KINDS["bucket"]:
                path = f"{resource.path}/iam/testPermissions"
                found = client.call(resource.api, "GET", path, query={"permissions": some}, what=what)
            else:
                path = f"{resource.path}:testIamPermissions"
                found = client.call(resource.api, "POST", path, body={"permissions": some}, what=what)
        except NotFoundError:
            return None
        held.update(found.get("permissions", ()))
    return held
