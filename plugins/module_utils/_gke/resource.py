# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One cluster or node pool of GKE, asked and changed: waits for what is under way, sends what is missing, one by one.

GKE works on a cluster for minutes and answers at once with an operation. A run that was interrupted leaves one behind;
the next one finds it by what it works on, and goes on from there.
"""

from __future__ import annotations

import contextlib
import functools
import typing as t
import urllib.parse

from ansible_collections.modelops.serving.plugins.module_utils._gcp.client import GoogleClient, RateLimitError
from ansible_collections.modelops.serving.plugins.module_utils._gcp.converge import converge, explained
from ansible_collections.modelops.serving.plugins.module_utils._gcp.operations import Operation, Operations
from ansible_collections.modelops.serving.plugins.module_utils._gcp.outcome import Outcome
from ansible_collections.modelops.serving.plugins.module_utils._gke.cluster import DesiredCluster, elsewhere
from ansible_collections.modelops.serving.plugins.module_utils._gke.fields import Call, Data
from ansible_collections.modelops.serving.plugins.module_utils._gke.node_pool import NODE_COUNT, DesiredNodePool
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    AccessError,
    ConflictError,
    DeadlineError,
    InputError,
    LockedError,
    NotFoundError,
    StoreError,
    TransferError,
    TransientError,
)

Desired: t.TypeAlias = "DesiredCluster | DesiredNodePool"
#: What the API answers; None where there is none.
Live: t.TypeAlias = "Data | None"

_UNDER_WAY = ("PROVISIONING", "RECONCILING", "STOPPING")
_REFUSED = (
    "Check the location, and versions, machine types and quotas there: "
    "`gcloud container get-server-config --location LOCATION` lists versions."
)
_ABSENT = {
    "cluster": "Check project and location.",
    "node pool": "Create the cluster first, with the module gke_cluster.",
}


class Resource:
    """A cluster or node pool.

    :param wait: whether to wait for operations. Without it at most one is started.
    :param wait_timeout: seconds for each.
    :param progress: told what is waited for.
    """

    def __init__(
        self,
        client: GoogleClient,
        desired: Desired,
        *,
        wait: bool = True,
        wait_timeout: float = 3600,
        progress: t.Callable[[str], None] | None = None,
    ) -> None:
        self._client = client
        self._desired = desired
        self._wait = wait
        self._progress = progress
        self._operations = Operations(client, timeout=wait_timeout, on_progress=self._told)
        self._path = f"/v1/{desired.collection}/{desired.name}"
        self._what = f"the {desired.noun} {desired.name} in {desired.location}"
        self._steps: list[str] = []
        self._first: list[Live] = []

    def present(self, *, check: bool = False, recreate: bool = False) -> Outcome:
        """Make it as wanted.

        :param recreate: delete and make anew what cannot be changed.
        :raises TransferError: it is not so.
        """
        plan = functools.partial(self._plan, recreate=recreate)
        write = functools.partial(self._make, recreate=recreate)
        read = functools.partial(self._read, settle=not check)
        _before, after = converge(self._client.control, read=read, plan=plan, write=write, check=check)
        before = self._first[0]
        return Outcome(
            changed=bool(self._steps) if not check else before is not after,
            live=before if check or not self._wait else after,
            header=self._path[len("/v1/") :],
            shown=(self._desired.shown(before), self._desired.shown(after)),
            steps=self._steps,
            warnings=self._warnings(after, check=check),
        )

    def absent(self, *, check: bool = False, protection: bool | None = None) -> Outcome:
        """Delete it, with all that runs on it.

        :param protection: the option deletion_protection, for a cluster.
        :raises TransferError: it is not deleted.
        """

        def plan(live: Live) -> Live:
            if live is not None and isinstance(self._desired, DesiredCluster):
                self._desired.check_deletion(live, protection)
            return None

        def write(_live: Live, after: Live) -> Live:
            self._delete()
            return after

        read = functools.partial(self._read, settle=not check)
        converge(self._client.control, read=read, plan=plan, write=write, check=check)
        before = self._first[0]
        return Outcome(
            changed=before is not None if check else bool(self._steps),
            live=before if check else None,
            header=self._path[len("/v1/") :],
            shown=({"name": self._desired.name} if before else {}, {}),
            steps=self._steps,
            warnings=[],
        )

    # -- what is there -------------------------------------------------------------------------------------------------

    def _read(self, *, settle: bool) -> Live:
        live = self._get()
        if settle and live is not None and live.get("status") in _UNDER_WAY and self._finish_own():
            live = self._get()
        if live is not None and live.get("status") == "STOPPING":
            if settle and self._wait:
                raise LockedError(f"{_capital(self._what)} is being deleted.", hint="Run again when it is gone.")
            live = None
        if live is not None and isinstance(self._desired, DesiredNodePool) and self._desired.counts_nodes:
            live = {**live, NODE_COUNT: self._count_nodes(live)}
        if not self._first:
            self._first.append(live)
        return live

    def _get(self) -> Live:
        try:
            return self._ask("GET", self._path, what=f"read {self._what}", permission="container.clusters.get")
        except NotFoundError:
            return None

    def _count_nodes(self, live: Data) -> int:
        """Nodes in each zone. GKE says only how many there were at first; their managed instance groups say it."""
        sizes = []
        for link in live.get("instanceGroupUrls") or ():
            path = urllib.parse.urlsplit(link).path.replace("/instanceGroups/", "/instanceGroupManagers/")
            with contextlib.suppress(NotFoundError):
                group = self._ask(
                    *("GET", path),
                    api="compute",
                    what=f"count the nodes of {self._what}",
                    permission="compute.instanceGroupManagers.get",
                )
                sizes.append(int(group.get("targetSize", 0)))
        return max(sizes) if sizes else int(live.get("initialNodeCount", 0))

    def _plan(self, live: Live, *, recreate: bool) -> Live:
        if live is None:
            self._check_place()
            return self._new()
        self._check_status(live)
        if recreate and self._why_recreate(live):
            return self._new()
        if not self._desired.calls(live):
            return live
        return self._desired.planned(live)

    def _new(self) -> Data:
        """The resource that is created."""
        (created,) = self._desired.creation().values()
        return dict(created)

    def _check_place(self) -> None:
        """Refuse a new cluster beside one of the same name in the same region."""
        if not isinstance(self._desired, DesiredCluster):
            return
        wanted = self._desired
        path = f"/v1/projects/{wanted.project}/locations/-/clusters"
        found = self._ask("GET", path, what="list the clusters of the project", permission="container.clusters.list")
        place = elsewhere(found.get("clusters") or (), wanted.name, wanted.location)
        if place:
            raise InputError(
                f"There is a cluster {wanted.name} in {place}, {wanted.location} is wanted, and GKE cannot move it.",
                hint=f"Give location: {place} to adopt it, or take another name for a new cluster.",
            )

    def _check_status(self, live: Data) -> None:
        if live.get("status") == "ERROR" and isinstance(self._desired, DesiredCluster):
            raise StoreError(
                f"{_capital(self._what)} is broken: {live.get('statusMessage') or 'GKE gives no reason'}",
                hint="Delete it with state: absent, correct the cause, and run again.",
            )

    def _why_recreate(self, live: Data) -> str | None:
        return self._desired.why_not(live) if isinstance(self._desired, DesiredNodePool) else None

    # -- what is done --------------------------------------------------------------------------------------------------

    def _make(self, live: Live, after: Live, *, recreate: bool) -> Live:
        if live is not None and recreate and self._why_recreate(live):
            if not self._wait:
                raise InputError("recreate needs wait.", hint="Leave wait out.")
            self._delete()
            live = None
        if live is None:
            body = self._desired.creation()
            create = Call("create", "POST", "", body, _permission(self._desired, "create"))
            self._send(create, path=f"/v1/{self._desired.collection}")
            live = self._get() if self._wait else None
            calls = self._desired.follow_up(live) if live else []
        else:
            calls = self._desired.calls(live)
        for call in calls if self._wait else calls[:1]:
            self._send(call)
        return self._read(settle=False) if self._wait else after

    def _delete(self) -> None:
        with contextlib.suppress(NotFoundError):
            self._send(Call("delete", "DELETE", "", None, _permission(self._desired, "delete")))

    def _send(self, call: Call, *, path: str = "") -> None:
        """Send one request and wait for its operation.

        :raises ConflictError: GKE was at work on the cluster; it is not any more.
        """
        what = f"{call.what} {self._what}"
        try:
            operation = self._ask(
                *(call.method, path or f"{self._path}{call.path}"),
                what=what,
                permission=call.permission,
                body=call.body,
                once=True,
            )
        except RateLimitError:
            raise
        except TransientError:
            self._steps.append(f"{what}, which was not answered")
            raise
        except (ConflictError, StoreError) as error:
            if "incompatible operation" not in error.message.lower():
                raise
            self._wait_for_others(error)
            raise ConflictError(error.message) from error
        self._steps.append(what)
        if self._wait:
            self._operations.wait("container", operation, what=what)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        what: str,
        permission: str,
        api: str = "container",
        body: Data | None = None,
        once: bool = False,
    ) -> Data:
        role = "roles/compute.viewer" if api == "compute" else "roles/container.admin"
        needs = f"{permission} in the project {self._desired.project}, which {role} has"
        try:
            with explained(permission=needs, absent=_ABSENT[self._desired.noun], refused=_REFUSED):
                return self._client.call(api, method, path, what=what, body=body, once=once)
        except AccessError as error:
            if "may not exist" not in error.message:
                raise
            # What Google says of a location that there is not.
            hint = "Check the location first: `gcloud compute regions list` lists those that exist."
            raise AccessError(error.message, hint=f"{hint} {error.hint}") from error

    # -- what is under way ---------------------------------------------------------------------------------------------

    def _finish_own(self) -> bool:
        """Wait for operations on this very resource, which an earlier run started. Whether there were any.

        :raises TransferError: one failed.
        """
        if not self._wait:
            return False
        own = [
            operation
            for operation in self._operations.running(self._desired.place, self._desired.cluster)
            if str(operation["targetLink"]).rpartition("/clusters/")[2] == self._path.rpartition("/clusters/")[2]
        ]
        for operation in own:
            self._operations.wait("container", operation, what=f"finish {_kind(operation)} of {self._what}")
        return bool(own)

    def _wait_for_others(self, refusal: TransferError) -> None:
        """Wait for what GKE works on instead, whatever becomes of it.

        :raises ConflictError: waiting is not wished for. :raises DeadlineError: it takes too long.
        """
        if not self._wait:
            raise ConflictError(refusal.message, hint="Run again when that is done, or with wait: true.") from refusal
        for operation in self._operations.running(self._desired.place, self._desired.cluster):
            try:
                what = f"finish {_kind(operation)} on the cluster {self._desired.cluster}"
                self._operations.wait("container", operation, what=what)
            except DeadlineError:
                raise
            except TransferError:
                continue

    def _told(self, operation: Operation) -> None:
        if self._progress:
            detail = f", {operation['detail']}" if operation.get("detail") else ""
            self._progress(f"{_kind(operation)}: {str(operation.get('status', '')).lower()}{detail}")

    # -- what is told --------------------------------------------------------------------------------------------------

    def _warnings(self, live: Live, *, check: bool) -> list[str]:
        found = list(self._desired.warnings)
        if live is None or check or not self._wait:
            return found
        if live.get("status") in ("DEGRADED", "RUNNING_WITH_ERROR"):
            found.append(
                f"{_capital(self._what)} is {live['status']}: {live.get('statusMessage') or 'GKE gives no reason'}"
            )
        if self._steps and live.get("status") != "ERROR":
            found += [
                f"GKE took the change and still shows {one.path} of {self._what} as {one.before}, not {one.after}."
                for one in self._desired.differences(live)
            ]
        return found


def _permission(desired: Desired, verb: str) -> str:
    """Node pools are made and deleted by who may update their cluster."""
    return f"container.clusters.{verb if isinstance(desired, DesiredCluster) else 'update'}"


def _kind(operation: Operation) -> str:
    return str(operation.get("operationType", "operation")).lower().replace("_", " ")


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
