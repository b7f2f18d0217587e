# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The dataset, tables, schema, topic and subscription that hold rows of benchmarks: looked at, made, and removed.

All of it is looked at before any of it is changed, so that what cannot be is told before anything is half done. What a
failure leaves half done is found, and completed, by the next run.
"""

from __future__ import annotations

import abc
import dataclasses
import time
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._bench.sinks import schema
from ansible_collections.modelops.serving.plugins.module_utils._gcp.bindings import policy_of, project_number, update
from ansible_collections.modelops.serving.plugins.module_utils._gcp.client import GoogleClient
from ansible_collections.modelops.serving.plugins.module_utils._gcp.converge import converge
from ansible_collections.modelops.serving.plugins.module_utils._gcp.policy import Grant
from ansible_collections.modelops.serving.plugins.module_utils._gcp.resources import Resource, find_resource
from ansible_collections.modelops.serving.plugins.module_utils._sinks import declared
from ansible_collections.modelops.serving.plugins.module_utils._sinks.declared import Data
from ansible_collections.modelops.serving.plugins.module_utils._sinks.sink import needs
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    AccessError,
    InputError,
    NotFoundError,
)

State: t.TypeAlias = "Data | None"
Plan: t.TypeAlias = "t.Callable[[State], State]"

#: Seconds until a new grant counts, at most, and between two tries.
_GRANTED_WITHIN = 120
_POLL = 5.0


@dataclasses.dataclass(frozen=True)
class Options:
    """``topic`` is empty where rows are only loaded. ``subscription`` and ``schema`` are in its project."""

    dataset: str
    location: str | None
    table: str
    runs_table: str
    topic: str
    subscription: str
    schema: str
    project: str | None
    project_number: str | None
    grant_on: str
    delete_data: bool


@dataclasses.dataclass(frozen=True)
class Step:
    """What became of one of the parts, or in check mode would. ``before`` and ``after`` are what is set of it here."""

    kind: str
    name: str
    before: t.Any
    after: t.Any
    kept: bool = False

    @property
    def action(self) -> str:
        """``created``, ``updated``, ``deleted``, ``kept`` or ``none``."""
        if self.before == self.after:
            return "kept" if self.kept else "none"
        if self.before is None:
            return "created"
        return "deleted" if self.after is None else "updated"


class _Part(abc.ABC):
    """One resource. Names are full ones, without the host of the API."""

    kind: str
    api: str
    root: str
    permission: str
    role: str
    #: What is set of it here, for people.
    fields: tuple[str, ...]

    def __init__(self, client: GoogleClient, name: str, plan: Plan) -> None:
        self._client = client
        self.name = name
        self._plan = plan

    def present(self, *, check: bool) -> Step:
        """As it is to be.

        :raises InputError: what is there cannot become that. :raises AccessError: a role is missing, and named.
        :raises ConflictError, TransientError: as often as allowed, nothing else came out.
        """
        return self._converge(self._plan, check=check)

    def absent(self, *, check: bool) -> Step:
        """Not there."""
        return self._converge(lambda _found: None, check=check)

    def kept(self) -> Step:
        """There or not, as it is."""
        found = self.shown(self.read())
        return Step(self.kind, self.name, found, found, kept=found is not None)

    def _converge(self, plan: Plan, *, check: bool) -> Step:
        before, after = converge(self._client.control, read=self.read, plan=plan, write=self._write, check=check)
        return Step(self.kind, self.name, self.shown(before), self.shown(after))

    def read(self) -> State:
        """What is there."""
        try:
            return self._call("get", "GET", self.name)
        except NotFoundError:
            return None

    def shown(self, found: State) -> State:
        """What is set of it here."""
        return None if found is None else {name: found.get(name) for name in self.fields}

    def _write(self, before: State, after: State) -> State:
        if after is None:
            self._remove(before or {})
        elif before is None:
            return self._create(after)
        else:
            return self._change(before, after)
        return None

    @abc.abstractmethod
    def _create(self, wanted: Data) -> Data:
        """Make it. What there is then."""

    @abc.abstractmethod
    def _change(self, before: Data, after: Data) -> Data:
        """Make one of it that is there. What there is then."""

    def _remove(self, before: Data) -> None:
        del before
        try:
            self._call("delete", "DELETE", self.name)
        except NotFoundError:
            return

    def _call(self, verb: str, method: str, name: str, **request: t.Any) -> Data:
        # A role on what is not there yet can only be had on what is around it.
        whole, part = self.name.rsplit("/", 2)[0].split("/")[-2:], f"the {self.kind} {self.name}"
        place = f"the {whole[0].removesuffix('s')} {whole[1]}" if verb == "create" else part
        with needs(f"{self.permission}.{verb}", self.role, place):
            return self._client.call(
                self.api, method, f"{self.root}{name}", what=f"{verb} {part}", once=method != "GET", **request
            )


class _OfBigQuery(_Part):
    """https://cloud.google.com/bigquery/docs/reference/rest"""

    api, root, role = "bigquery", "/bigquery/v2/", "roles/bigquery.dataOwner"
    reference: str

    def _create(self, wanted: Data) -> Data:
        parts = self.name.split("/")
        named = {f"{kind.removesuffix('s')}Id": name for kind, name in zip(parts[::2], parts[1::2], strict=True)}
        body = {self.reference: named, **wanted}
        return self._call("create", "POST", self.name.rpartition("/")[0], body=body)

    def _change(self, before: Data, after: Data) -> Data:
        changed = {name: value for name, value in after.items() if before.get(name) != value}
        headers = {"if-match": before["etag"]} if before.get("etag") else {}
        return self._call("update", "PATCH", self.name, body=changed, headers=headers)


class _Dataset(_OfBigQuery):
    kind, permission, reference, fields = "dataset", "bigquery.datasets", "datasetReference", ("location", "labels")

    def tables(self) -> set[str]:
        """The names of all tables and views in it. It has to be there."""
        found: set[str] = set()
        query = {"maxResults": "1000"}
        while True:
            with needs("bigquery.tables.list", self.role, f"the dataset {self.name}"):
                page = self._client.call(
                    self.api,
                    "GET",
                    f"{self.root}{self.name}/tables",
                    what=f"list the tables of {self.name}",
                    query=query,
                )
            found.update(entry["tableReference"]["tableId"] for entry in page.get("tables", ()))
            if not page.get("nextPageToken"):
                return found
            query["pageToken"] = page["nextPageToken"]


class _Table(_OfBigQuery):
    kind, permission, reference, fields = (
        "table",
        "bigquery.tables",
        "tableReference",
        ("timePartitioning", "clustering"),
    )

    def shown(self, found: State) -> State:
        if found is None:
            return None
        columns = {field["name"]: declared.column_type(field) for field in found["schema"]["fields"]}
        return {"columns": columns, **(super().shown(found) or {})}


class _OfPubSub(_Part):
    """https://cloud.google.com/pubsub/docs/reference/rest"""

    api, root, role = "pubsub", "/v1/", "roles/pubsub.editor"

    def _create(self, wanted: Data) -> Data:
        return self._call("create", "PUT", self.name, body=wanted)

    def _change(self, before: Data, after: Data) -> Data:
        mask = ",".join(name for name in self.fields if before.get(name) != after.get(name))
        return self._call("update", "PATCH", self.name, body={self.kind: after, "updateMask": mask})


class _Schema(_OfPubSub):
    kind, permission, fields = "schema", "pubsub.schemas", ("type", "definition")

    def _create(self, wanted: Data) -> Data:
        place, _slash, short = self.name.rpartition("/")
        return self._call("create", "POST", place, query={"schemaId": short}, body=wanted)

    def _change(self, before: Data, after: Data) -> Data:
        del before
        revision = {"name": self.name, **{name: after[name] for name in self.fields}}
        return self._call("commit", "POST", f"{self.name}:commit", body={"schema": revision})


class _Topic(_OfPubSub):
    kind, permission, fields = "topic", "pubsub.topics", ("schemaSettings", "messageRetentionDuration")


class _Subscription(_OfPubSub):
    kind, permission, fields = "subscription", "pubsub.subscriptions", ("topic", "bigqueryConfig", "expirationPolicy")
    #: Whether the service agent was granted its roles just now.
    fresh = False

    def shown(self, found: State) -> State:
        told = super().shown(found)
        if told and told["bigqueryConfig"]:  # not how it goes, which Pub/Sub tells there as well
            config = {name: value for name, value in told["bigqueryConfig"].items() if name != "state"}
            return {**told, "bigqueryConfig": config}
        return told

    def _create(self, wanted: Data) -> Data:
        # Pub/Sub looks whether its service agent may write, and says "The caller does not have permission" of it:
        # https://github.com/hashicorp/terraform-provider-google/issues/17397
        ends = time.monotonic() + (_GRANTED_WITHIN if self.fresh else 0)
        while True:
            try:
                return super()._create(wanted)
            except AccessError as error:
                if time.monotonic() >= ends:
                    later = "If it has, the roles of the service agent do not count yet: run again some minutes later."
                    raise AccessError(error.message, hint=f"{error.hint} {later}") from error
            self._client.control.sleep(_POLL)


class Sink:
    """All of it.

    :raises InputError: something is not named as it has to be.
    """

    def __init__(self, client: GoogleClient, options: Options) -> None:
        self._client = client
        self._options = options
        self._place = find_resource("dataset", options.dataset, project=options.project, location=None)
        self.dataset = _Dataset(
            client,
            self._place.full_name,
            lambda found: declared.dataset(found, name=self.dataset.name, location=options.location),
        )
        self.tables = [
            self._table(options.table, schema.REQUESTS),
            self._table(options.runs_table, schema.RUNS),
        ]
        if options.table == options.runs_table:
            raise InputError("table and runs_table are the same.", hint="Give them different names.")
        self.messages = self._messages() if options.topic else []

    def _table(self, name: str, columns: tuple[schema.Column, ...]) -> _Table:
        full = f"{self.dataset.name}/tables/{name}"
        return _Table(self._client, full, lambda found: declared.table(found, columns, name=full))

    def _messages(self) -> list[_OfPubSub]:
        options = self._options
        topic = find_resource("topic", options.topic, project=options.project, location=None)
        project = f"projects/{topic.parts['project']}"
        short = topic.parts["name"]
        called = f"{project}/schemas/{options.schema or f'{short}-schema'}"
        subscribed = f"{project}/subscriptions/{options.subscription or f'{short}-bigquery'}"
        rows = ".".join((self._place.parts["project"], self._place.parts["name"], options.table))
        self.subscription = _Subscription(
            self._client,
            subscribed,
            lambda found: declared.subscription(found, name=subscribed, topic_name=topic.full_name, table_name=rows),
        )
        return [
            _Schema(self._client, called, lambda found: declared.topic_schema(found, name=called)),
            _Topic(
                self._client,
                topic.full_name,
                lambda found: declared.topic(found, name=topic.full_name, schema_name=called),
            ),
            self.subscription,
        ]

    def present(self, *, check: bool) -> list[Step]:
        """All of it as it is to be, from the inside out: Pub/Sub wants to see where it writes, and that it may.

        :raises TransferError: something cannot be as it is to be; nothing was changed then. Or something was refused.
        """
        agent = self.agent() if self.messages else ""
        steps = self._present(agent, check=True)
        if check or all(step.action == "none" for step in steps):
            return steps
        return self._present(agent, check=False)

    def _present(self, agent: str, *, check: bool) -> list[Step]:
        steps = [self.dataset.present(check=check)]
        if agent:
            steps.append(self._granted(agent, absent=False, check=check))
            self.subscription.fresh = steps[-1].action != "none"
        return steps + [part.present(check=check) for part in (*self.tables, *self.messages)]

    def absent(self, *, check: bool) -> list[Step]:
        """What brings rows removed, and with ``delete_data`` what holds them.

        :raises TransferError: something was refused. What was removed before that is gone.
        """
        steps = [part.absent(check=check) for part in reversed(self.messages)]
        if self._options.delete_data:
            ours = {part.name.rpartition("/")[2] for part in self.tables}
            found = self.dataset.read() or {}
            marked = declared.MARK.items() <= (found.get("labels") or {}).items()
            empty = marked and not self.dataset.tables() - ours
            steps += [part.absent(check=check) for part in self.tables]
            steps.append(self.dataset.absent(check=check) if empty else self.dataset.kept())
        else:
            steps += [part.kept() for part in (*self.tables, self.dataset)]
        with_dataset = steps[-1].action == "deleted" and self._options.grant_on == "dataset"
        if self.messages and not with_dataset and not self._shared():
            steps.append(self._granted(self.agent(), absent=True, check=check))
        return steps

    def agent(self) -> str:
        """The service agent that writes what the subscription gets, as a member of policies.

        https://cloud.google.com/iam/docs/service-agents
        """
        project = self.subscription.name.split("/")[1]
        number = self._options.project_number or project_number(self._client, project)
        return f"serviceAccount:service-{number}@gcp-sa-pubsub.iam.gserviceaccount.com"

    def _granted(self, agent: str, *, absent: bool, check: bool) -> Step:
        where, role, permission = self._grant_on()
        before: list[str] = []
        after = [] if absent else sorted(declared.ROLES)
        try:
            with needs(permission, role, f"the {where}"):
                done = update(
                    policy_of(self._client, where),
                    self._client.control,
                    [Grant(role, agent) for role in declared.ROLES],
                    absent=absent,
                    check=check,
                )
        except InputError as error:
            made = "gcloud beta services identity create --service=pubsub.googleapis.com"
            raise InputError(error.message, hint=f"Where Pub/Sub was never used, run `{made}` first.") from error
        except NotFoundError:
            # Nothing to take away; or, in check mode, the dataset is not made yet.
            if not (absent or check):
                raise
        else:
            changed = {grant.role for grant in (done.removed if absent else done.added)}
            before = sorted(changed if absent else set(declared.ROLES) - changed)
        return Step("grants", f"{agent} on the {where}", before or None, after or None)

    def _grant_on(self) -> tuple[Resource, str, str]:
        """What the roles are granted on; the role that takes, and its permission."""
        if self._options.grant_on == "dataset":
            return self._place, "roles/bigquery.dataOwner", "bigquery.datasets.setIamPolicy"
        project = find_resource("project", self._place.parts["project"], project=None, location=None)
        return project, "roles/resourcemanager.projectIamAdmin", "resourcemanager.projects.setIamPolicy"

    def _shared(self) -> bool:
        """Whether other subscriptions of the project write by the same grants."""
        inside = f"{self._place.parts['project']}."
        if self._options.grant_on == "dataset":
            inside += f"{self._place.parts['name']}."
        project = self.subscription.name.rpartition("/subscriptions/")[0]
        query = {"pageSize": "1000"}
        while True:
            with needs("pubsub.subscriptions.list", "roles/pubsub.editor", f"the project {project}"):
                page = self._client.call(
                    "pubsub",
                    "GET",
                    f"/v1/{project}/subscriptions",
                    what=f"list the subscriptions of {project}",
                    query=query,
                )
            for found in page.get("subscriptions", ()):
                table = (found.get("bigqueryConfig") or {}).get("table", "")
                if found["name"] != self.subscription.name and table.startswith(inside):
                    return True
            if not page.get("nextPageToken"):
                return False
            query["pageToken"] = page["nextPageToken"]

    def trouble(self) -> str:
        """Why messages do not become rows, by Pub/Sub's word; empty where they do."""
        if not self.messages:
            return ""
        state = ((self.subscription.read() or {}).get("bigqueryConfig") or {}).get("state", "ACTIVE")
        return "" if state == "ACTIVE" else f"The subscription {self.subscription.name} does not write: {state}."
