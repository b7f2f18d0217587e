# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What exists: resources and IAM policies, by path."""

from __future__ import annotations

import base64
import contextlib
import copy
import dataclasses
import datetime
import itertools
import re
import threading
from typing import TYPE_CHECKING, Any

from .errors import ApiError, invalid, not_found
from .operations import Operations
from .tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

Resource = dict[str, Any]

# Letters without case are allowed, capital letters are not.
_LABEL_KEY = re.compile(r"(?=[^\W\d_])((?![A-Z])[\w-]){1,63}")
_LABEL_VALUE = re.compile(r"((?![A-Z])[\w-]){0,63}")

PROJECT = "demo-project"
PROJECT_NUMBER = "123456789012"


class State:
    """Everything the stand-in knows. Paths are ``<api><path of its URL>``: ``secretmanager/v1/projects/p/secrets/s``.

    Who uses it from outside holds ``lock``. A path may name a project by its number, a service account by its unique
    id and below ``projects/-``, and a project by either version of its API.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._resources: dict[str, Resource] = {}
        self._policies: dict[str, Resource] = {}
        #: Bytes that no answer may carry as part of a resource, such as the payload of a secret's version.
        self.contents: dict[str, bytes] = {}
        self.operations = Operations()
        self.tokens = Tokens()
        #: Permissions that nobody has, see :meth:`GoogleCloud.deny`.
        self.denied: set[str] = set()
        #: (region, metric) -> how much of it may be used.
        self.quotas: dict[tuple[str, str], float] = {}
        #: project id -> project number
        self.projects: dict[str, str] = {}
        self.add_project(PROJECT, PROJECT_NUMBER)

    def add_project(self, project: str, number: str) -> None:
        self.projects[project] = number
        self._resources[f"cloudresourcemanager/v3/projects/{project}"] = {
            "name": f"projects/{number}",
            "parent": "organizations/210987654321",
            "projectId": project,
            "state": "ACTIVE",
            "displayName": project,
            "createTime": now(),
            "etag": self.etag(),
        }

    def etag(self) -> str:
        """A new one; base64, as the schemas of policies and roles want it."""
        return base64.b64encode(b"%08d" % next(self._numbers)).decode()

    def number(self) -> int:
        """A number that was not used before."""
        return next(self._numbers)

    def canonical(self, path: str) -> str:
        """The one path of a resource that several lead to."""
        path = path.strip("/")
        ids = {number: project for project, number in self.projects.items()}
        path = re.sub(r"(?<=/projects/)\d+(?=[/:]|$)", lambda found: ids.get(found[0], found[0]), path)
        path = re.sub(r"^cloudresourcemanager/v1/projects/", "cloudresourcemanager/v3/projects/", path)
        account = re.fullmatch(r"(iam/v1/projects/)([^/]+)/serviceAccounts/([^/]+)(/.*)?", path)
        return self._account(path, *account.groups()) if account else path

    def _account(self, path: str, root: str, project: str, account: str, rest: str | None) -> str:
        for found, resource in self._resources.items():
            if not found.startswith(root) or account not in (resource.get("email"), resource.get("uniqueId")):
                continue
            if project in ("-", resource["projectId"]) and re.fullmatch(
                r"[^/]+/serviceAccounts/[^/]+", found[len(root) :]
            ):
                return found + (rest or "")
        return path

    def find(self, path: str) -> Resource | None:
        return self._resources.get(self.canonical(path))

    def get(self, path: str, message: str = "") -> Resource:
        """:raises ApiError: 404."""
        found = self.find(path)
        if found is None:
            raise not_found(message or f"Resource '{path.partition('/')[2]}' was not found.")
        return found

    def put(self, path: str, resource: Resource) -> Resource:
        self._resources[self.canonical(path)] = resource
        return resource

    def remove(self, path: str) -> None:
        """A resource with all below it and their policies."""
        path = self.canonical(path)
        for kept in (self._resources, self._policies, self.contents):
            for gone in [name for name in kept if name == path or name.startswith(f"{path}/")]:
                del kept[gone]

    def children(self, collection: str) -> Iterator[tuple[str, Resource]]:
        """Paths and resources that lie directly in a collection, in the order of their creation."""
        prefix = self.canonical(collection) + "/"
        for path, resource in list(self._resources.items()):
            if path.startswith(prefix) and "/" not in path[len(prefix) :]:
                yield path, resource

    @contextlib.contextmanager
    def as_it_was(self, then: dict[str, Resource]) -> Iterator[None]:
        """For as long as this lasts, resources are those of another time, see :meth:`copy`."""
        now, self._resources = self._resources, then
        try:
            yield
        finally:
            self._resources = now

    def copy(self) -> dict[str, Resource]:
        """All resources as they are now."""
        return copy.deepcopy(self._resources)

    def policy(self, path: str) -> Resource:
        """The policy of a resource; without an etag as long as none was set."""
        return self._policies.get(self.canonical(path), {"bindings": []})

    def set_policy(self, path: str, policy: Resource) -> Resource:
        self._policies[self.canonical(path)] = policy = {**policy, "etag": self.etag()}
        return policy


@dataclasses.dataclass
class Call:
    """One request that fits its method, for the code that carries it out.

    ``path`` is that of the URL below the API's name, in the canonical form of :class:`State`; ``parameters`` are those
    of the path, ``query`` holds the last value of each parameter.
    """

    api: str
    version: str
    method: dict[str, Any]
    path: str
    parameters: dict[str, str]
    query: dict[str, str]
    queries: dict[str, list[str]]
    body: Resource
    headers: Any
    schemas: dict[str, Any]
    state: State

    @property
    def id(self) -> str:
        return str(self.method["id"])

    @property
    def parent(self) -> str:
        """Path of the resource that a custom method (``x:verb``) or a collection (``x/things``) belongs to."""
        head, _slash, last = self.path.rpartition("/")
        return f"{head}/{last.partition(':')[0]}" if ":" in last else head

    def name(self, path: str = "") -> str:
        """The name of a resource: its path without API and version."""
        return re.sub(r"^.*?/v\d\w*/", "", path or self.path)

    def project_if_any(self) -> str:
        """Id of the project in the path, empty where there is none."""
        found = re.search(r"/projects/([^/:]+)", self.path)
        return found[1] if found else ""

    def project(self) -> str:
        """Id of the project in the path.

        :raises ApiError: 403, as Google answers for projects that do not exist.
        """
        project = self.project_if_any()
        if project not in self.state.projects:
            raise ApiError(403, f"Permission denied on resource project {project}.")
        return project

    def page(self, items: list[Any], key: str, limit: int | None = None) -> Resource:
        """One page of a list, as ``pageSize`` or ``maxResults`` and ``pageToken`` ask for it."""
        size = int(self.query.get("pageSize") or self.query.get("maxResults") or 0) or limit or 1000
        token = self.query.get("pageToken", "")
        if token and not re.fullmatch(r"at-\d+", token):
            raise ApiError(400, "Invalid page token.")
        start = int(token[3:]) if token else 0
        answer: Resource = {key: items[start : start + size]} if items else {}
        if start + size < len(items):
            answer["nextPageToken"] = f"at-{start + size}"
        return answer


def masked(current: Resource, wanted: Resource, mask: str, fields: dict[str, Any]) -> Resource:
    """``current`` with the fields of a mask as in ``wanted``; what is not there is cleared.

    :param fields: the properties of the schema.
    :raises ApiError: the mask names a field that there is not.
    """
    changed = copy.deepcopy(current)
    for path in mask.split(","):
        parts = [re.sub(r"_([a-z])", lambda found: found[1].upper(), part) for part in path.strip().split(".")]
        if parts[0] not in fields:
            raise ApiError(400, f"Invalid field mask: there is no field '{path}'.")
        *above, last = parts
        target, source = changed, wanted
        for part in above:
            target = target.setdefault(part, {})
            source = source.get(part) or {}
        if source.get(last) is None:
            target.pop(last, None)
        else:
            target[last] = source[last]
    return changed


def present(fields: Resource) -> Resource:
    """Without those that are null."""
    return {name: value for name, value in fields.items() if value is not None}


def check_labels(labels: dict[str, str | None], field: str) -> None:
    """:raises ApiError: not what Google takes as labels. None, in a patch, takes one away."""
    if len(labels) > 64:
        raise invalid("No more than 64 labels can be assigned to a resource.", field)
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value or ""):
            raise invalid(f"Invalid label '{key}': '{value}'.", field)


def now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat().replace("+00:00", "Z")
