# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Types of resources: where they are, how a new one is asked for, and which requests change one. Pure.

Fields are those of Google's REST APIs.

- https://cloud.google.com/compute/docs/reference/rest/v1/networks
- https://cloud.google.com/compute/docs/reference/rest/v1/subnetworks
- https://cloud.google.com/compute/docs/reference/rest/v1/routers
- https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts
- https://cloud.google.com/storage/docs/json_api/v1/buckets
- https://cloud.google.com/artifact-registry/docs/reference/rest/v1/projects.locations.repositories
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._gke.fields import (
    Call,
    Data,
    Difference,
    differences,
    merged,
    picked,
    pruned,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError

#: How a resource says that it was made here, so that it may be deleted here: a label, or else its description.
_LABEL, _OWNER = "managed-by", "modelops-serving"
_DESCRIPTION = "Made by modelops.serving."
_LINK = re.compile(r"https://(www|compute)\.googleapis\.com/compute/[^/]+/(?=projects/)")


@dataclasses.dataclass(frozen=True)
class Kind:
    """A type of resource.

    :param collection: path of the request that creates one. :param member: path of one.
    :param name: what a name has to match. :param permission: what its permissions begin with; a verb follows.
    :param role: that has these permissions. :param fixed: fields that cannot be changed.
    :param labelled: whether it has labels. :param located: whether it has a region or location.
    """

    noun: str
    api: str
    collection: str
    member: str
    name: str
    permission: str
    role: str
    fixed: tuple[str, ...] = ()
    labelled: bool = False
    located: bool = False


_COMPUTE = "/compute/v1/projects/{project}"
_COMPUTE_NAME = r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?"
KINDS: t.Final[dict[str, Kind]] = {
    "network": Kind(
        noun="network",
        api="compute",
        collection=f"{_COMPUTE}/global/networks",
        member=f"{_COMPUTE}/global/networks/{{name}}",
        name=_COMPUTE_NAME,
        permission="compute.networks",
        role="roles/compute.networkAdmin",
        fixed=("autoCreateSubnetworks", "mtu"),
    ),
    "subnetwork": Kind(
        noun="subnetwork",
        api="compute",
        collection=f"{_COMPUTE}/regions/{{location}}/subnetworks",
        member=f"{_COMPUTE}/regions/{{location}}/subnetworks/{{name}}",
        name=_COMPUTE_NAME,
        permission="compute.subnetworks",
        role="roles/compute.networkAdmin",
        fixed=("network", "ipCidrRange"),
        located=True,
    ),
    "router": Kind(
        noun="router",
        api="compute",
        collection=f"{_COMPUTE}/regions/{{location}}/routers",
        member=f"{_COMPUTE}/regions/{{location}}/routers/{{name}}",
        name=_COMPUTE_NAME,
        permission="compute.routers",
        role="roles/compute.networkAdmin",
        fixed=("network",),
        located=True,
    ),
    "service_account": Kind(
        noun="service account",
        api="iam",
        collection="/v1/projects/{project}/serviceAccounts",
        member="/v1/projects/{project}/serviceAccounts/{name}@{project}.iam.gserviceaccount.com",
        name=r"[a-z][-a-z0-9]{4,28}[a-z0-9]",
        permission="iam.serviceAccounts",
        role="roles/iam.serviceAccountAdmin",
    ),
    "bucket": Kind(
        noun="bucket",
        api="storage",
        collection="/storage/v1/b",
        member="/storage/v1/b/{name}",
        name=r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]",
        permission="storage.buckets",
        role="roles/storage.admin",
        fixed=("location", "hierarchicalNamespace"),
        labelled=True,
        located=True,
    ),
    "repository": Kind(
        noun="repository",
        api="artifactregistry",
        collection="/v1/projects/{project}/locations/{location}/repositories",
        member="/v1/projects/{project}/locations/{location}/repositories/{name}",
        name=r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?",
        permission="artifactregistry.repositories",
        role="roles/artifactregistry.admin",
        fixed=("format", "mode"),
        labelled=True,
        located=True,
    ),
}


@dataclasses.dataclass(frozen=True)
class Wanted:
    """One resource as somebody wants it.

    :param fields: that count always. :param new_fields: those of a new one beside them.
    :raises InputError: no resource can be so.
    """

    type: str
    name: str
    project: str
    location: str | None = None
    fields: Data = dataclasses.field(default_factory=dict)
    new_fields: Data = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(self.kind.name, self.name):
            raise InputError(
                f"{self.name!r} cannot be the name of a {self.kind.noun}.", hint=f"It has to match {self.kind.name}."
            )
        if self.kind.located and not self.location:
            raise InputError(f"The {self.kind.noun} {self.name} has no location.", hint="Give location.")

    @property
    def kind(self) -> Kind:
        return KINDS[self.type]

    @property
    def what(self) -> str:
        return f"the {self.kind.noun} {self.name}"

    @property
    def member(self) -> str:
        return self._filled(self.kind.member)

    @property
    def counting(self) -> Data:
        """The fields that count, as the API writes them."""
        fields: Data = plain(self.fields)
        if self.type == "bucket":
            fields["location"] = str(self.location).upper()
        return fields

    def creation(self) -> tuple[str, dict[str, str], Data]:
        """Path, query and body of the request for a new one, marked as made here."""
        mark: Data = {"labels": {_LABEL: _OWNER}} if self.kind.labelled else {"description": _DESCRIPTION}
        fields = pruned(merged(merged(plain(self.new_fields), mark), self.counting))
        path = self._filled(self.kind.collection)
        if self.type == "service_account":
            return path, {}, {"accountId": self.name, "serviceAccount": fields}
        if self.type == "repository":
            return path, {"repositoryId": self.name}, fields
        return path, {"project": self.project} if self.type == "bucket" else {}, {"name": self.name, **fields}

    def planned(self, live: Data | None) -> Data:
        """The resource as it will be, as far as that is known."""
        if live is None:
            _path, _query, body = self.creation()
            return t.cast("Data", body.get("serviceAccount", body))
        return merged(plain(live), self._reachable(live)) if self.differences(live) else live

    def differences(self, live: Data) -> list[Difference]:
        """What is not as wanted."""
        return differences(self._reachable(live), plain(live))

    def shown(self, live: Data | None) -> Data:
        """The fields that count, for a diff; empty where there is nothing."""
        return {} if live is None else {"name": self.name, **picked(self.counting, plain(live))}

    def calls(self, live: Data) -> list[Call]:
        """The requests that make it as wanted.

        :raises InputError: it cannot be made so.
        """
        found = self.differences(live)
        changed = {one.path.partition(".")[0] for one in found}
        for one in found:
            if one.path.partition(".")[0] in self.kind.fixed:
                raise InputError(
                    f"{one.path} of {self.what} is {one.before!r}, {one.after!r} is wanted, and Google cannot change it.",
                    hint="Take the value that it has, or another name for a new one.",
                )
        body = {key: value for key, value in self._reachable(live).items() if key in changed}
        return [self._call(path, method, fields) for path, method, fields in self._requests(body, live)]

    def _requests(self, body: Data, live: Data) -> t.Iterator[tuple[str, str, Data]]:
        private = body.pop("privateIpGoogleAccess", None)
        if body:
            mask = ",".join(sorted(body))
            if self.type == "subnetwork":
                body["fingerprint"] = live.get("fingerprint")
            if self.type == "service_account":
                body = {"serviceAccount": body, "updateMask": mask}
            yield f"?updateMask={mask}" if self.type == "repository" else "", "PATCH", body
        # After what takes the fingerprint: it is another one then.
        if private is not None:
            yield "/setPrivateIpGoogleAccess", "POST", {"privateIpGoogleAccess": private}

    def _call(self, path: str, method: str, body: Data) -> Call:
        return Call("change", method, path, body, f"{self.kind.permission}.update")

    def _reachable(self, live: Data) -> Data:
        """The fields that count. Labels of others stay, and so do ranges that others added to a subnetwork.

        :raises InputError: a range of that name has other addresses.
        """
        fields = self.counting
        if "labels" in fields:
            fields["labels"] = {**(live.get("labels") or {}), **fields["labels"]}
        if "secondaryIpRanges" not in fields:
            return fields
        there = {one["rangeName"]: one for one in live.get("secondaryIpRanges") or ()}
        for one in fields["secondaryIpRanges"]:
            before = there.setdefault(one["rangeName"], one)["ipCidrRange"]
            if before != one["ipCidrRange"]:
                raise InputError(
                    f"The range {one['rangeName']} of {self.what} is {before}, {one['ipCidrRange']} is wanted, and Google "
                    "cannot change it.",
                    hint="Take the addresses that it has, or another name for the range.",
                )
        return {**fields, "secondaryIpRanges": list(there.values())}

    def _filled(self, path: str) -> str:
        return path.format(project=self.project, location=self.location, name=self.name)


def made_here(live: Data) -> bool:
    """Whether a resource carries the mark of :meth:`Wanted.creation`."""
    return (live.get("labels") or {}).get(_LABEL) == _OWNER or live.get("description") == _DESCRIPTION


def plain(data: t.Any) -> t.Any:
    """Data in which links to resources of Compute Engine have no host, so that they can be compared."""
    if isinstance(data, dict):
        return {key: plain(value) for key, value in data.items()}
    if isinstance(data, list):
        return [plain(item) for item in data]
    return _LINK.sub("", data) if isinstance(data, str) else data
