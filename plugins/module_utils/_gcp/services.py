# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which services (APIs) are enabled in a project. https://cloud.google.com/service-usage/docs/reference/rest/v1/services"""

from __future__ import annotations

import contextlib
import re
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._gcp.client import GoogleClient
from ansible_collections.modelops.serving.plugins.module_utils._gcp.converge import explained
from ansible_collections.modelops.serving.plugins.module_utils._gcp.operations import Operations
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    AccessError,
    InputError,
    NotFoundError,
    StoreError,
)

#: Name of a service -> whether it is enabled.
States: t.TypeAlias = "dict[str, bool]"

_API = "serviceusage"
# The most that one request takes, as the reference says of batchGet and batchEnable.
_MOST_READ, _MOST_ENABLED = 30, 20
_ADMIN = "roles/serviceusage.serviceUsageAdmin"


def full_names(names: t.Iterable[str]) -> list[str]:
    """Services in full, each once, sorted: ``compute`` is ``compute.googleapis.com``.

    :raises InputError: one is no name of a service.
    """
    found = set()
    for name in names:
        full = name if "." in name else f"{name}.googleapis.com"
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+", full):
            raise InputError(f"{name!r} is not the name of a service.", hint="Give one such as compute.googleapis.com.")
        found.add(full)
    return sorted(found)


class Services:
    """Services of one project.

    :raises InputError: no project is named, or what is named can be none.
    """

    def __init__(self, client: GoogleClient, operations: Operations, *, project: str | None) -> None:
        if not project or not re.fullmatch(r"[a-z0-9][a-z0-9.:-]*", project):
            raise InputError(
                f"{project!r} is not the id of a project." if project else "Which project is meant is not said.",
                hint="Give project, or set GCP_PROJECT.",
            )
        self._client = client
        self._operations = operations
        self._project = project

    def states(self, names: t.Sequence[str]) -> States:
        """Whether services are enabled, in the order given.

        :param names: in full. :raises NotFoundError: one does not exist.
        """
        found: States = {}
        for some in _chunks(names, _MOST_READ):
            query = {"names": [f"projects/{self._project}/services/{name}" for name in some]}
            with self._errors("get"):
                answer = self._client.call(
                    _API,
                    "GET",
                    f"/v1/projects/{self._project}/services:batchGet",
                    query=query,
                    what=f"read which services of the project {self._project} are enabled",
                )
            for service in answer.get("services", ()):
                found[str(service["name"]).rpartition("/")[2]] = service.get("state") == "ENABLED"
        return {name: found.get(name, False) for name in names}

    def enable(self, names: t.Sequence[str]) -> None:
        """Enable services, and with them what they need; returns when that is done. Doing it twice does no harm.

        :param names: in full. :raises TransferError: some may not be enabled.
        """
        for some in _chunks(names, _MOST_ENABLED):
            what = f"enable {', '.join(some)} in the project {self._project}"
            with self._errors("enable"):
                started = self._client.call(
                    _API,
                    "POST",
                    f"/v1/projects/{self._project}/services:batchEnable",
                    body={"serviceIds": list(some)},
                    what=what,
                )
            with self._errors("enable"):
                done = self._operations.wait(_API, started, what=what)
            failures = done.get("response", {}).get("failures", ())
            if failures:
                told = "; ".join(f"{one.get('serviceId')}: {one.get('errorMessage')}" for one in failures)
                raise StoreError(f"Google failed to {what}: {told}", hint="The other services are enabled.")

    def disable(self, names: t.Sequence[str], *, dependents: bool) -> None:
        """Disable services; returns when that is done.

        :param names: in full, in any order: one that others of them need comes after these.
        :param dependents: disable also what needs them. :raises StoreError: something that is enabled needs one of them.
        """
        waiting = list(names)
        while waiting:
            refused: list[tuple[str, StoreError]] = []
            for name in waiting:
                try:
                    self._disable(name, dependents=dependents)
                except StoreError as error:
                    refused.append((name, error))
            if len(refused) == len(waiting):
                raise refused[0][1]
            waiting = [name for name, _error in refused]

    def _disable(self, name: str, *, dependents: bool) -> None:
        what = f"disable {name} in the project {self._project}"
        refused = "" if dependents else "Disable those first, or set disable_dependents."
        with self._errors("disable", refused=refused):
            started = self._client.call(
                _API,
                "POST",
                f"/v1/projects/{self._project}/services/{name}:disable",
                body={"disableDependentServices": dependents},
                what=what,
            )
            self._operations.wait(_API, started, what=what)

    @contextlib.contextmanager
    def _errors(self, verb: str, *, refused: str = "") -> t.Iterator[None]:
        """Say what a refusal means. Google answers 403 for services that do not exist."""
        needed = f"serviceusage.services.{verb} on the project {self._project}, which {_ADMIN} has"
        try:
            with explained(permission=needed, refused=refused):
                yield
        except AccessError as error:
            if "service(s)" not in error.message:
                raise
            raise NotFoundError(
                error.message, hint=f"See `gcloud services list --available --project {self._project}` for their names."
            ) from error


def _chunks(names: t.Sequence[str], size: int) -> t.Iterator[t.Sequence[str]]:
    for start in range(0, len(names), size):
        yield names[start : start + size]
