# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which resources have a policy, how they are named, and where their policy is. Pure."""

from __future__ import annotations

import dataclasses
import re
import typing as t
import urllib.parse

from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError

_PART = r"[^/\s?#\[\]]+"


@dataclasses.dataclass(frozen=True)
class Kind:
    """A type of resource.

    ``names`` are the forms of its full name; the first one whose parts are all given is used for a short name.
    ``permissions`` are those to read and to change the policy.
    """

    label: str
    api: str
    version: str
    names: tuple[str, ...]
    permissions: tuple[str, str]
    read_method: str = "GET"


def _permissions(prefix: str) -> tuple[str, str]:
    return f"{prefix}.getIamPolicy", f"{prefix}.setIamPolicy"


KINDS: t.Final[dict[str, Kind]] = {
    "project": Kind(
        "project",
        "cloudresourcemanager",
        "/v3",
        ("projects/{name}",),
        _permissions("resourcemanager.projects"),
        read_method="POST",
    ),
    "bucket": Kind("bucket", "storage", "/storage/v1", ("projects/_/buckets/{name}",), _permissions("storage.buckets")),
    "secret": Kind(
        "secret",
        "secretmanager",
        "/v1",
        ("projects/{project}/locations/{location}/secrets/{name}", "projects/{project}/secrets/{name}"),
        _permissions("secretmanager.secrets"),
    ),
    "service_account": Kind(
        "service account",
        "iam",
        "/v1",
        ("projects/{project}/serviceAccounts/{name}",),
        _permissions("iam.serviceAccounts"),
        read_method="POST",
    ),
    "topic": Kind("topic", "pubsub", "/v1", ("projects/{project}/topics/{name}",), _permissions("pubsub.topics")),
    "subscription": Kind(
        "subscription",
        "pubsub",
        "/v1",
        ("projects/{project}/subscriptions/{name}",),
        _permissions("pubsub.subscriptions"),
    ),
    "dataset": Kind(
        "dataset",
        "bigquery",
        "/bigquery/v2",
        ("projects/{project}/datasets/{name}",),
        ("bigquery.datasets.getIamPolicy", "bigquery.datasets.setIamPolicy"),
    ),
    "repository": Kind(
        "repository",
        "artifactregistry",
        "/v1",
        ("projects/{project}/locations/{location}/repositories/{name}",),
        _permissions("artifactregistry.repositories"),
    ),
}


@dataclasses.dataclass(frozen=True)
class Resource:
    """One resource with a policy. ``full_name`` is that of Google, without the host of its API."""

    kind: Kind
    full_name: str
    parts: t.Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.kind.label} {self.full_name}"

    @property
    def api(self) -> str:
        """The API that its policy is asked of. Regional secrets are only known to the API of their region."""
        if self.kind.api == "secretmanager" and "location" in self.parts:
            return f"secretmanager.{self.parts['location']}.rep"
        return self.kind.api

    @property
    def path(self) -> str:
        """The path of the resource in its API."""
        name = f"b/{self.parts['name']}" if self.kind is KINDS["bucket"] else self.full_name
        return f"{self.kind.version}/{urllib.parse.quote(name, safe='/@')}"


def find_resource(kind: str, name: str | None, *, project: str | None, location: str | None) -> Resource:
    """The resource that the options name.

    :param kind: a key of :data:`KINDS`.
    :param name: its short or full name, the latter with or without ``//HOST/`` in front. None for the project itself.
    :raises InputError: it is not named completely, or not as resources of that kind are.
    """
    found = KINDS[kind]
    if name is None and kind == "project":
        name = project
    if not name:
        raise InputError(
            f"Which {found.label} is meant is not said.",
            hint="Give project, or set GCP_PROJECT." if kind == "project" else "Give resource.",
        )
    short = name.removeprefix(f"//{found.api}.googleapis.com/")
    if "/" in short:
        return _by_full_name(found, short)
    if not re.fullmatch(_PART, short):
        raise InputError(f"{name!r} is not the name of a {found.label}.")
    return _by_short_name(kind, short, project, location)


def _by_full_name(kind: Kind, name: str) -> Resource:
    for form in kind.names:
        match = re.fullmatch(re.sub(r"\{(\w+)\}", lambda part: f"(?P<{part[1]}>{_PART})", form), name)
        if match:
            return Resource(kind, name, match.groupdict())
    forms = " or ".join(kind.names).replace("{", "<").replace("}", ">")
    raise InputError(f"{name!r} is not the full name of a {kind.label}.", hint=f"Give its short name, or {forms}.")


def _by_short_name(kind: str, name: str, project: str | None, location: str | None) -> Resource:
    found = KINDS[kind]
    if kind == "service_account":
        if project and "@" not in name and not name.isdigit():
            name = f"{name}@{project}.iam.gserviceaccount.com"
        if "@" in name or name.isdigit():
            project = "-"  # the account says which project it is of
    given = {"name": name, "project": project, "location": location}
    for form in found.names:
        parts = {key: given[key] for key in re.findall(r"\{(\w+)\}", form)}
        known = {key: value for key, value in parts.items() if value}
        if known == parts:
            return Resource(found, form.format(**known), known)
    lacking = [key for key in re.findall(r"\{(\w+)\}", found.names[-1]) if not given[key]]
    raise InputError(
        f"For the {found.label} {name}, {' and '.join(lacking)} {'are' if len(lacking) > 1 else 'is'} missing.",
        hint=f"Give {' and '.join(lacking)}, or the full name of the {found.label}.",
    )
