# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Grants on one resource: read, compared, changed in its policy and nowhere else."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._gcp import dataset_access, policy
from ansible_collections.modelops.serving.plugins.module_utils._gcp.client import GoogleClient
from ansible_collections.modelops.serving.plugins.module_utils._gcp.converge import converge, explained
from ansible_collections.modelops.serving.plugins.module_utils._gcp.policy import Data, Grant
from ansible_collections.modelops.serving.plugins.module_utils._gcp.resources import KINDS, Resource
from ansible_collections.modelops.serving.plugins.module_utils._transfer.control import Control
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    AccessError,
    ConflictError,
    StoreError,
)

_REFUSED = "Check that the roles and members exist and may be used there. New accounts are known after some seconds."
_UNIFORM = "Conditions need a bucket with uniform bucket-level access: switch it on, or grant without a condition."


class Policy(t.Protocol):
    """Where the grants of one resource are kept. A document is what the API has of them, with all around it."""

    def read(self) -> Data:
        """The document as it is now."""

    def write(self, document: Data) -> Data:
        """Put a document in place of the one with its etag. Returns what is there then."""

    def spelled(self, grant: Grant) -> Grant:
        """A grant as it is told when it is read again."""

    def grants(self, document: Data) -> list[Grant]:
        """All that is granted."""

    def with_grants(self, document: Data, more: t.Iterable[Grant]) -> Data:
        """The document with more granted."""

    def without_grants(self, document: Data, fewer: t.Iterable[Grant]) -> Data:
        """The document with less granted."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What happened, or in check mode would happen. ``before`` and ``after`` are the bindings of the roles asked for.

    ``renamed`` are grants that Google accepted and keeps under another name, such as those for the alias of a user.
    """

    added: list[Grant]
    removed: list[Grant]
    renamed: list[Grant]
    before: list[Data]
    after: list[Data]
    etag: str | None


def policy_of(client: GoogleClient, resource: Resource) -> Policy:
    """The policy of a resource."""
    if resource.kind is KINDS["dataset"]:
        return _DatasetAccess(client, resource)
    return _IamPolicy(client, resource)


def update(
    target: Policy, control: Control, asked: t.Sequence[Grant], *, absent: bool = False, check: bool = False
) -> Outcome:
    """Grant what is asked for, or take it away.

    :raises NotFoundError: there is no such resource. :raises AccessError: a permission is missing, and named.
    :raises InputError, StoreError: the policy was refused. :raises ConflictError, TransientError: after all attempts.
    """
    wanted = [target.spelled(grant) for grant in asked]

    def plan(document: Data) -> Data:
        found = target.grants(document)
        if absent:
            gone = policy.superfluous(wanted, found)
            return target.without_grants(document, gone) if gone else document
        more = policy.missing(wanted, found)
        return target.with_grants(document, more) if more else document

    before, after = converge(
        control, read=target.read, plan=plan, write=lambda _old, new: target.write(new), check=check
    )
    old, new = target.grants(before), target.grants(after)
    roles = {grant.role for grant in wanted}
    return Outcome(
        added=[] if absent else policy.missing(wanted, old),
        removed=policy.superfluous(wanted, old) if absent else [],
        renamed=[] if absent else policy.missing(wanted, new),
        before=policy.as_bindings(old, roles),
        after=policy.as_bindings(new, roles),
        etag=after.get("etag"),
    )


def project_number(client: GoogleClient, project: str) -> str:
    """The number of a project by its id.

    :raises AccessError: it is not there, or may not be looked at.
    """
    with explained(
        permission="resourcemanager.projects.get, which project_number makes unnecessary",
        absent="Check the id of the project, or give project_number.",
    ):
        found = client.call(
            "cloudresourcemanager", "GET", f"/v3/projects/{project}", what=f"read the number of the project {project}"
        )
    return str(found.get("name", "")).removeprefix("projects/")


class _IamPolicy:
    """``getIamPolicy`` and ``setIamPolicy``. Version 3 is asked for, since others hide conditions.

    https://cloud.google.com/iam/docs/policies#versions
    """

    def __init__(self, client: GoogleClient, resource: Resource) -> None:
        self._client = client
        self._resource = resource
        self._bucket = resource.kind is KINDS["bucket"]

    def read(self) -> Data:
        kind, path = self._resource.kind, self._resource.path
        query = {"options.requestedPolicyVersion": "3"}
        body = None
        if self._bucket:
            path, query = f"{path}/iam", {"optionsRequestedPolicyVersion": "3"}
        else:
            path = f"{path}:getIamPolicy"
        if kind is KINDS["project"]:
            query, body = {}, {"options": {"requestedPolicyVersion": 3}}
        with explained(permission=kind.permissions[0], absent=_where(self._resource)):
            found = self._client.call(
                self._resource.api,
                kind.read_method,
                path,
                what=f"read the IAM policy of the {self._resource}",
                query=query,
                body=body,
            )
        return _with_etag(found, self._resource)

    def write(self, document: Data) -> Data:
        path = self._resource.path
        request: dict[str, t.Any] = (
            {"method": "PUT", "path": f"{path}/iam", "body": document}
            if self._bucket
            else {"method": "POST", "path": f"{path}:setIamPolicy", "body": {"policy": document}}
        )
        with explained(permission=self._resource.kind.permissions[1], refused=_REFUSED):
            try:
                return self._client.call(
                    self._resource.api, what=f"change the IAM policy of the {self._resource}", once=True, **request
                )
            except (ConflictError, StoreError) as error:
                # Buckets answer as to another etag (412), so that trying again would be in vain.
                if self._bucket and re.search(r"uniform bucket-level access", error.message, re.IGNORECASE):
                    raise StoreError(error.message, hint=_UNIFORM) from error
                raise

    def spelled(self, grant: Grant) -> Grant:
        return grant

    def grants(self, document: Data) -> list[Grant]:
        return policy.grants(document)

    def with_grants(self, document: Data, more: t.Iterable[Grant]) -> Data:
        return policy.with_grants(document, more)

    def without_grants(self, document: Data, fewer: t.Iterable[Grant]) -> Data:
        return policy.without_grants(document, fewer)


class _DatasetAccess:
    """The access entries of a dataset, which have an etag together with all of the dataset."""

    def __init__(self, client: GoogleClient, resource: Resource) -> None:
        self._client = client
        self._resource = resource
        self._project = resource.parts["project"]

    def read(self) -> Data:
        permission = self._resource.kind.permissions[0]
        with explained(permission=f"bigquery.datasets.get and {permission}", absent=_where(self._resource)):
            found = self._client.call(
                "bigquery",
                "GET",
                self._resource.path,
                what=f"read the access entries of the {self._resource}",
                query={"accessPolicyVersion": "3"},
            )
        if "access" not in found:
            # Writing would remove the entries that are not shown.
            raise AccessError(
                f"The access entries of the {self._resource} are not shown.",
                hint=f"Give the account a role with the permission {permission}.",
            )
        return _with_etag({key: found[key] for key in ("access", "etag") if key in found}, self._resource)

    def write(self, document: Data) -> Data:
        permission = self._resource.kind.permissions[1]
        with explained(permission=f"bigquery.datasets.update and {permission}", refused=_REFUSED):
            return self._client.call(
                "bigquery",
                "PATCH",
                self._resource.path,
                what=f"change the access entries of the {self._resource}",
                query={"accessPolicyVersion": "3"},
                body={"access": document["access"]},
                headers={"if-match": document["etag"]},
                once=True,
            )

    def spelled(self, grant: Grant) -> Grant:
        return dataset_access.as_spelled(grant, self._project)

    def grants(self, document: Data) -> list[Grant]:
        return dataset_access.grants(document, self._project)

    def with_grants(self, document: Data, more: t.Iterable[Grant]) -> Data:
        return dataset_access.with_grants(document, more, self._project)

    def without_grants(self, document: Data, fewer: t.Iterable[Grant]) -> Data:
        return dataset_access.without_grants(document, fewer, self._project)


def _with_etag(document: Data, resource: Resource) -> Data:
    if not document.get("etag"):
        raise StoreError(
            f"The policy of the {resource} came without an etag, so that it cannot be changed safely.",
            hint="Check proxies and endpoints.",
        )
    return document


def _where(resource: Resource) -> str:
    lacks = " and location" if "location" in resource.parts else ""
    project = f", project{lacks}" if "project" in resource.parts else ""
    return f"Create the {resource.kind.label} first, or check its name{project} and the account."
