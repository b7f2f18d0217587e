# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One regional resource of Compute Engine: read, made, changed or deleted, each operation waited for.

Compute Engine has no etags for these. A change is planned on what was read just before it, and refused while another
one is under way; then it is read and planned again.
"""

from __future__ import annotations

import contextlib
import re
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._gcp.client import GoogleClient, RateLimitError
from ansible_collections.modelops.serving.plugins.module_utils._gcp.converge import converge, explained
from ansible_collections.modelops.serving.plugins.module_utils._gcp.operations import Operations
from ansible_collections.modelops.serving.plugins.module_utils._gcp.outcome import Data, Outcome
from ansible_collections.modelops.serving.plugins.module_utils._gke.names import check_name, check_project, region_of
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    ConflictError,
    InputError,
    NotFoundError,
    StoreError,
    TransientError,
)

#: What the API answers; None where there is none.
Live: t.TypeAlias = "Data | None"

LONGEST_NAME = 63
_API = "compute"
_ROOT = "https://www.googleapis.com/compute/v1"


class Place(t.NamedTuple):
    """Where a resource is."""

    project: str
    region: str

    @property
    def path(self) -> str:
        """``projects/P/regions/R``."""
        return f"projects/{self.project}/regions/{self.region}"


class Kind(t.NamedTuple):
    """A type of resource.

    :param collection: as in paths and permissions. :param role: that has the permissions.
    :param missing: what to do where something is not there that it needs.
    """

    noun: str
    collection: str
    role: str
    missing: str = "Check project and region."


class Desired(t.Protocol):
    """What is wanted of one resource. Pure."""

    @property
    def kind(self) -> Kind:
        """Its type."""

    @property
    def place(self) -> Place:
        """Where it is."""

    @property
    def name(self) -> str:
        """Its name."""

    def planned(self, live: Live) -> Live:
        """The resource as it will be: the same where nothing is to be done, None for one that is deleted.

        What has no ``selfLink`` is made anew, after the live one is deleted.

        :raises InputError: it cannot be so.
        """

    def shown(self, live: Live) -> Data:
        """What was given, as it is in a resource, for a diff."""


def place_of(options: t.Mapping[str, t.Any]) -> Place:
    """Where the options ``project`` and ``region`` say.

    :raises InputError: there is no such place.
    """
    project, region = check_project(options.get("project")), options["region"]
    if region_of(region) != region:
        raise InputError(f"{region!r} is a zone.", hint=f"Give its region, {region_of(region)}.")
    return Place(project, region)


def check_names(**names: str | None) -> None:
    """Refuse what cannot be a name in Compute Engine.

    :param names: what it names -> name. :raises InputError: it cannot.
    """
    for noun, name in names.items():
        if name is not None:
            check_name(noun.replace("_", " "), name, longest=LONGEST_NAME)


def link(parent: str, text: str) -> str:
    """The full link of a resource that is named or linked to, whatever host and version its link has.

    :param parent: where one is that only has its name: ``projects/P/global/networks``.
    """
    found = re.search(r"(^|/)(projects/.+)$", text)
    return f"{_ROOT}/{found[2] if found else f'{parent}/{text}'}"


def settle(client: GoogleClient, desired: Desired, *, timeout: float, check: bool = False) -> Outcome:
    """Make a resource as wanted.

    :param timeout: seconds for each operation. :param check: only read.
    :raises TransferError: it is not so.
    """
    resource = _Resource(client, desired, timeout)
    before, after = converge(
        client.control, read=resource.read, plan=desired.planned, write=resource.write, check=check
    )
    return Outcome(
        changed=before is not after if check else bool(resource.steps),
        live=before if check else after,
        shown=(desired.shown(before), desired.shown(after)),
        steps=resource.steps,
        header=resource.path[len("/compute/v1/") :],
    )


class _Resource:
    """The requests.

    :ivar steps: what was sent, in words.
    """

    def __init__(self, client: GoogleClient, desired: Desired, timeout: float) -> None:
        self._client = client
        self._operations = Operations(client, timeout=timeout)
        self._desired = desired
        self._collection = f"/compute/v1/{desired.place.path}/{desired.kind.collection}"
        self._what = f"the {desired.kind.noun} {desired.name} in {desired.place.region}"
        self.path = f"{self._collection}/{desired.name}"
        self.steps: list[str] = []

    def read(self) -> Live:
        """The resource as it is."""
        try:
            return self._ask("GET", self.path, "get", f"read {self._what}")
        except NotFoundError:
            return None

    def write(self, live: Live, after: Live) -> Live:
        """Make of one what is planned. Returns what is there then."""
        if live is not None and (after is None or "selfLink" not in after):
            with contextlib.suppress(NotFoundError):
                self._send("DELETE", self.path, "delete")
            live = None
        if after is None:
            return None
        if live is None:
            self._send("POST", self._collection, "create", after)
        else:
            changed = {field: value for field, value in after.items() if live.get(field) != value}
            self._send("PATCH", self.path, "update", changed)
        return self.read()

    def _send(self, method: str, path: str, verb: str, body: Data | None = None) -> None:
        what = f"{verb} {self._what}"
        try:
            operation = self._ask(method, path, verb, what, body, once=True)
        except (InputError, StoreError) as error:
            # Another change is under way; it is a 400 without a status of its own.
            if re.search(r"is not ready\b", error.message):
                raise ConflictError(error.message) from error
            raise
        except RateLimitError:
            raise
        except TransientError:
            self.steps.append(f"{what}, which was not answered")
            raise
        self.steps.append(what)
        self._operations.wait(_API, operation, what=what)

    def _ask(
        self, method: str, path: str, verb: str, what: str, body: Data | None = None, *, once: bool = False
    ) -> Data:
        kind, place = self._desired.kind, self._desired.place
        needs = f"compute.{kind.collection}.{verb} in the project {place.project}, which {kind.role} has"
        refused = (
            "Delete what uses it first." if verb == "delete" else "Check the region, and that all fits together there."
        )
        with explained(permission=needs, absent="" if method == "GET" else kind.missing, refused=refused):
            return self._client.call(_API, method, path, what=what, body=body, once=once)
