# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The requests and the stages of a run as rows of two BigQuery tables, by load jobs, which load all or nothing.

A load costs nothing, and its job has an id made of what it loads: however often it is asked for, it is done once.
https://cloud.google.com/bigquery/docs/reference/rest/v2/Job
"""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import hashlib
import itertools
import time
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._bench.sinks import rows, schema
from ansible_collections.modelops.serving.plugins.module_utils._bench.sinks.rows import Run, Warn
from ansible_collections.modelops.serving.plugins.module_utils._gcp.client import Data, GoogleClient
from ansible_collections.modelops.serving.plugins.module_utils._gcp.resources import find_resource
from ansible_collections.modelops.serving.plugins.module_utils._sinks import declared
from ansible_collections.modelops.serving.plugins.module_utils._sinks.ledger import Ledger
from ansible_collections.modelops.serving.plugins.module_utils._sinks.sink import Counts, Sink, needs
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    ConflictError,
    NotFoundError,
    StoreError,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.request import build_store
from ansible_collections.modelops.serving.plugins.module_utils._transfer.stores.base import Store

#: Rows of one file, some ten megabytes as text.
_ROWS = 20_000
#: Seconds between two looks at a job, and until it is given up.
_POLL = 1.0
_LONGEST = 3600


class BigQuery(Sink):
    """:param tables: names of the tables of requests and of stages, in this order.
    :param staging: a destination of type gcs, as :func:`build_store` takes it, for files while they are loaded.
    :param text: with prompts and answers.
    :param requests: whether the requests are loaded, which may come by another way.
    """

    def __init__(
        self,
        client: GoogleClient,
        dataset: str,
        tables: tuple[str, str],
        staging: t.Mapping[str, t.Any],
        *,
        project: str | None,
        text: bool,
        requests: bool,
    ) -> None:
        self._client = client
        self._dataset = find_resource("dataset", dataset, project=project, location=None)
        # Jobs are made, and paid for, where the account works, which need not be where the data are.
        self._project = project or self._dataset.parts["project"]
        self._tables = tables
        self._staging = staging
        self._text = text
        self._requests = requests
        self._location = ""
        self._store("rows")  # refuses what it does not know before anything is sent

    def _store(self, name: str) -> Store:
        return build_store(self._staging, self._client.control, name=name, pool_size=2)

    def where(self, run: Run) -> str:
        del run
        return self._table(0 if self._requests else 1)

    def _table(self, number: int) -> str:
        return f"{self._dataset.full_name}/tables/{self._tables[number]}"

    def send(self, run: Run, ledger: Ledger, *, check: bool, warn: Warn) -> Counts:
        self._look()
        # One entry for both tables, whether requests are loaded or not: that may change.
        where = self._table(0)
        entry = {"rows": 0, "stages": 0} | ledger.sent(where)
        counts = {"rows": 0, "stages": 0}
        first = entry["rows"]
        last = first + (rows.count(run, skip=first, warn=warn) if self._requests else 0)
        if last > first:
            # No more than were counted, should the run go on: the job is named by what it loads.
            found = itertools.islice(rows.of_requests(run, skip=first, text=self._text), last - first)
            name = f"{run.run_id}/requests-{first}-{last}"
            counts["rows"] = self._load(
                _Load(run, name, self._tables[0], schema.REQUESTS, found, last - first), check=check
            )
            entry["rows"] = last
            if not check:
                ledger.note(where, entry)
        stages = rows.of_stages(run)
        if stages and not entry["stages"]:
            load = _Load(run, f"{run.run_id}/stages", self._tables[1], schema.RUNS, iter(stages), len(stages))
            counts["stages"] = self._load(load, check=check)
            entry["stages"] = len(stages)
            if not check:
                ledger.note(where, entry)
        return counts

    def _look(self) -> None:
        """:raises NotFoundError: there is no such dataset."""
        name = self._dataset.full_name
        if not self._location:
            with needs("bigquery.datasets.get", "roles/bigquery.dataEditor", f"the dataset {name}"):
                dataset = self._client.call("bigquery", "GET", self._dataset.path, what=f"read the dataset {name}")
            self._location = dataset["location"]

    def _load(self, load: _Load, *, check: bool) -> int:
        """How many rows had to be loaded: none where an earlier try did so without it being noted.

        The id of a job that failed is used up, and the next one is taken.
        """
        attempt = 0
        while (job := self._job(job_id := self._job_id(load, attempt))) and _failure(job):
            attempt += 1
        if not check:
            self._wait(job or self._insert(load, job_id), load)
        return 0 if job else load.count

    def _job_id(self, load: _Load, attempt: int) -> str:
        # Runs of different times may have the same id, as "release" in each build.
        told = f"{self._dataset.full_name}/tables/{load.table} {load.name} {load.run.started_at.isoformat()}"
        return f"benchmark_{hashlib.sha256(told.encode()).hexdigest()[:32]}_{attempt}"

    def _job(self, job_id: str) -> Data | None:
        with contextlib.suppress(NotFoundError), self._needs_jobs():
            return self._client.call(
                "bigquery",
                "GET",
                f"/bigquery/v2/projects/{self._project}/jobs/{job_id}",
                what=f"read the job {job_id} of the project {self._project}",
                query={"location": self._location},
            )
        return None

    def _insert(self, load: _Load, job_id: str) -> Data:
        store = self._store(load.name)
        self._client.control.retry(store.prepare, 0)
        uris = [f"{store.url}{self._put(store, number, part)}" for number, part in enumerate(_parts(load.rows))]
        job = {
            "jobReference": {"projectId": self._project, "jobId": job_id, "location": self._location},
            "configuration": {"load": self._configuration(load, uris)},
        }
        with self._needs_jobs():
            try:
                return self._client.call(
                    "bigquery",
                    "POST",
                    f"/bigquery/v2/projects/{self._project}/jobs",
                    what=f"load {load.name} into the table {load.table}",
                    body=job,
                )
            except ConflictError:  # it was made, and the answer was lost
                return self._job(job_id) or job

    def _needs_jobs(self) -> t.ContextManager[None]:
        return needs("bigquery.jobs.create", "roles/bigquery.jobUser", f"the project {self._project}")

    def _put(self, store: Store, number: int, part: bytes) -> str:
        name = f"{number}.jsonl.gz"
        self._client.control.retry(store.put, name, part)
        return name

    def _configuration(self, load: _Load, uris: t.Sequence[str]) -> Data:
        name = f"{self._dataset.full_name}/tables/{load.table}"
        path = f"{self._dataset.path}/tables/{load.table}"
        made: Data = {}
        try:
            with needs("bigquery.tables.get", "roles/bigquery.dataEditor", f"the dataset {self._dataset.full_name}"):
                self._client.call("bigquery", "GET", path, what=f"read the table {name}")
        except NotFoundError:
            made = declared.layout(load.columns)  # one that is there keeps what it has
        return {
            "sourceUris": list(uris),
            "sourceFormat": "NEWLINE_DELIMITED_JSON",
            "destinationTable": {
                "projectId": self._dataset.parts["project"],
                "datasetId": self._dataset.parts["name"],
                "tableId": load.table,
            },
            "schema": {"fields": schema.bigquery(load.columns)},
            "createDisposition": "CREATE_IF_NEEDED",
            "writeDisposition": "WRITE_APPEND",
            # A table with the first 19 columns alone gets the others.
            "schemaUpdateOptions": ["ALLOW_FIELD_ADDITION"],
            **made,
        }

    def _wait(self, job: Data, load: _Load) -> None:
        """Until the job has ended; the files it took are removed then.

        :raises StoreError: it failed, and nothing was loaded; or it takes too long, and goes on.
        """
        job_id = job["jobReference"]["jobId"]
        ends = time.monotonic() + _LONGEST
        while job.get("status", {}).get("state") != "DONE":
            if time.monotonic() > ends:
                raise StoreError(
                    f"BigQuery has not loaded {load.name} into the table {load.table} within {_LONGEST} seconds.",
                    hint=f"The job {job_id} of the project {self._project} goes on. Try again later, which waits for it.",
                )
            self._client.control.sleep(_POLL)
            job = self._job(job_id) or job
        store = self._store(load.name)
        for name in self._client.control.retry(store.list):
            self._client.control.retry(store.delete, name)
        failure = _failure(job)
        if failure:
            raise StoreError(
                f"BigQuery did not load {load.name} into the table {load.table}: {failure}",
                hint=f"Nothing of it was loaded. See the job {job_id} of the project {self._project}, and try again.",
            )


@dataclasses.dataclass(frozen=True)
class _Load:
    """Rows for one table. ``name`` tells which of the run they are."""

    run: Run
    name: str
    table: str
    columns: tuple[schema.Column, ...]
    rows: t.Iterator[rows.Row]
    count: int


def _failure(job: Data) -> str:
    """Why a job has failed, with the first errors; empty where it has not."""
    status = job.get("status", {})
    if "errorResult" not in status:
        return ""
    told = [error.get("message", "") for error in (status["errorResult"], *status.get("errors", ()))]
    return " ".join(list(dict.fromkeys(told))[:5])


def _parts(found: t.Iterator[rows.Row]) -> t.Iterator[bytes]:
    while part := "".join(map(rows.line, itertools.islice(found, _ROWS))):
        yield gzip.compress(part.encode(), mtime=0)
