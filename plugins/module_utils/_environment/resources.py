# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Resources asked, made, changed and deleted, one after the other: later ones may need earlier ones."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import typing as t
import urllib.parse

from ansible_collections.modelops.serving.plugins.module_utils._environment.kinds import Wanted, made_here
from ansible_collections.modelops.serving.plugins.module_utils._gcp.client import GoogleClient
from ansible_collections.modelops.serving.plugins.module_utils._gcp.converge import converge, explained
from ansible_collections.modelops.serving.plugins.module_utils._gcp.operations import Operations
from ansible_collections.modelops.serving.plugins.module_utils._gke.fields import Data
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    AccessError,
    NotFoundError,
    TransferError,
)


@dataclasses.dataclass
class Change:
    """What became of one resource. ``left`` says why one stays that was to be deleted."""

    wanted: Wanted
    changed: bool
    before: Data
    after: Data
    left: str = ""
    error: TransferError | None = None


class Resources:
    """Resources of one project, or several.

    :param check: only read.
    """

    def __init__(self, client: GoogleClient, operations: Operations, *, check: bool) -> None:
        self._client = client
        self._operations = operations
        self._check = check

    def present(self, wanted: Wanted) -> Change:
        """Make one as wanted.

        :raises TransferError: it is not so.
        """

        def plan(live: Data | None) -> Data | None:
            if live is not None:
                wanted.calls(live)  # refuses what cannot be changed, in check mode too
            return wanted.planned(live)

        read = functools.partial(self._read, wanted)
        write = functools.partial(self._write, wanted)
        before, after = converge(self._client.control, read=read, plan=plan, write=write, check=self._check)
        return Change(wanted, before != after, wanted.shown(before), wanted.shown(after))

    def absent(self, wanted: Wanted, *, force: bool, delete_objects: bool = False) -> Change:
        """Delete one that was made here. Never raises what Google says of this one: the others are to go nevertheless.

        :param force: delete also what was made by others. :param delete_objects: and the objects of a bucket with it.
        """
        try:
            live = self._read(wanted)
            if live is None:
                return Change(wanted, False, {}, {})
            shown = wanted.shown(live)
            if not force and not made_here(live):
                return Change(wanted, False, shown, shown, left="It was not made by this collection.")
            if wanted.type == "bucket" and not delete_objects and self._holds_objects(wanted):
                told = (
                    f"It holds objects. `gcloud storage rm --recursive gs://{wanted.name}` deletes it with all of them."
                )
                return Change(wanted, False, shown, shown, left=told)
            if not self._check:
                if wanted.type == "bucket" and delete_objects:
                    self._delete_objects(wanted)
                self._send(wanted, "DELETE", wanted.member, verb="delete")
        except NotFoundError:
            return Change(wanted, False, {}, {})
        except TransferError as error:
            return Change(wanted, False, {}, {}, left=error.message, error=error)
        return Change(wanted, True, shown, {})

    def _read(self, wanted: Wanted) -> Data | None:
        try:
            return self._ask(wanted, "GET", wanted.member, verb="get", what=f"read {wanted.what}")
        except NotFoundError:
            return None
        except AccessError as error:
            if wanted.type != "bucket":
                raise
            hint = "If the bucket is not yours, take another name: a name is taken for all of Google Cloud."
            raise AccessError(error.message, hint=f"{hint} {error.hint}") from error

    def _write(self, wanted: Wanted, live: Data | None, after: Data | None) -> Data | None:
        if live is None:
            path, query, body = wanted.creation()
            self._send(wanted, "POST", path, verb="create", body=body, query=query)
        else:
            for call in wanted.calls(live):
                self._send(wanted, call.method, f"{wanted.member}{call.path}", verb="update", body=call.body)
        return after

    def _holds_objects(self, wanted: Wanted) -> bool:
        return next(iter(self._objects(wanted, most=1)), None) is not None

    def _objects(self, wanted: Wanted, *, most: int) -> t.Iterator[Data]:
        """All versions of all objects of a bucket, ``most`` with each request."""
        query = {"maxResults": str(most), "versions": "true"}
        path, what = f"{wanted.member}/o", f"look for objects in {wanted.what}"
        needs = f"storage.objects.list on the bucket {wanted.name}, which {wanted.kind.role} has"
        while True:
            with explained(permission=needs):
                found = self._client.call(wanted.kind.api, "GET", path, what=what, query=query)
            yield from found.get("items", ())
            if not found.get("nextPageToken"):
                return
            query["pageToken"] = found["nextPageToken"]

    def _delete_objects(self, wanted: Wanted) -> None:
        needs = f"storage.objects.delete on the bucket {wanted.name}, which {wanted.kind.role} has"
        for item in list(self._objects(wanted, most=1000)):
            path = f"{wanted.member}/o/{urllib.parse.quote(item['name'], safe='')}"
            what, query = f"delete the object {item['name']} in {wanted.what}", {"generation": str(item["generation"])}
            with explained(permission=needs), contextlib.suppress(NotFoundError):
                self._client.call(wanted.kind.api, "DELETE", path, what=what, query=query)

    def _send(
        self,
        wanted: Wanted,
        method: str,
        path: str,
        *,
        verb: str,
        body: Data | None = None,
        query: t.Mapping[str, str] | None = None,
    ) -> None:
        """Send one request, once, and wait for its operation if it has one."""
        what = f"{verb} {wanted.what}"
        answer = self._ask(wanted, method, path, verb=verb, what=what, body=body, query=query, once=True)
        if answer.get("kind") == "compute#operation" or "/operations/" in str(answer.get("name", "")):
            self._operations.wait(wanted.kind.api, answer, what=what)

    def _ask(
        self,
        wanted: Wanted,
        method: str,
        path: str,
        *,
        verb: str,
        what: str,
        body: Data | None = None,
        query: t.Mapping[str, str] | None = None,
        once: bool = False,
    ) -> Data:
        kind = wanted.kind
        needs = f"{kind.permission}.{verb} in the project {wanted.project}, which {kind.role} has"
        absent = "" if method == "GET" else "Check the project and the location."
        with explained(permission=needs, absent=absent):
            return self._client.call(kind.api, method, path, what=what, body=body, query=query, once=once)
