# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""BigQuery v2: datasets and who has access to them, tables, and load jobs of JSON lines, whose rows are kept as
``{"rows": [...]}`` at ``<table>/rows``. https://cloud.google.com/bigquery/docs/reference/rest

Jobs read their files from the emulator of Cloud Storage that ``STORAGE_EMULATOR_HOST`` names, and are through when they
are asked for. Rows are checked against the schema; nothing else of a table can be asked for.

The documents say that conditions need ``accessPolicyVersion`` 3, but not what comes of a request without: here a 400.
"""

from __future__ import annotations

import datetime
import gzip
import json
import os
import re
import time
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any

from .. import policies
from ..errors import ApiError, exists, invalid
from ..state import present
from . import carries_out

if TYPE_CHECKING:
    from ..state import Call, Resource

_DATASETS, _TABLES = "bigquery.datasets", "bigquery.tables"
#: What a role is called in an answer, whatever it was called in the request.
_LEGACY_ROLES = {
    "roles/bigquery.dataOwner": "OWNER",
    "roles/bigquery.dataEditor": "WRITER",
    "roles/bigquery.dataViewer": "READER",
}
#: And a type, likewise.
_LEGACY_TYPES = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN"}
_WHO = ("userByEmail", "groupByEmail", "domain", "specialGroup", "iamMember")
_WHAT = ("view", "routine", "dataset")  # resources that get access, and no role
_SPECIAL_GROUPS = ("projectOwners", "projectReaders", "projectWriters", "allAuthenticatedUsers")
_FIELD_OF = {"user": "userByEmail", "serviceAccount": "userByEmail", "group": "groupByEmail", "domain": "domain"}
_FIRST_ACCESS = [
    {"role": "WRITER", "specialGroup": "projectWriters"},
    {"role": "OWNER", "specialGroup": "projectOwners"},
    {"role": "READER", "specialGroup": "projectReaders"},
]


@carries_out(f"{_DATASETS}.insert")
def insert(call: Call) -> Resource:
    project, dataset_id = call.project(), call.body.get("datasetReference", {}).get("datasetId", "")
    if not re.fullmatch(r"\w{1,1024}", dataset_id, re.ASCII):
        raise invalid(f'Invalid dataset ID "{dataset_id}". Dataset IDs must be alphanumeric (plus underscores).')
    path, full_name = f"{call.path}/{dataset_id}", f"{project}:{dataset_id}"
    if call.state.find(path):
        raise exists(f"Already Exists: Dataset {full_name}")
    dataset = {
        "access": _FIRST_ACCESS,
        "location": "US",
        "type": "DEFAULT",
        **present(call.body),
        "kind": "bigquery#dataset",
        "id": full_name,
        "selfLink": f"https://bigquery.googleapis.com/{path.partition('/')[2]}",
        "datasetReference": {"projectId": project, "datasetId": dataset_id},
        "creationTime": _milliseconds(),
    }
    return _put(call, path, dataset)


@carries_out(f"{_DATASETS}.get")
def get(call: Call) -> Resource:
    dataset = _dataset(call)
    _check_version(call, dataset)
    return dataset


@carries_out(f"{_DATASETS}.list")
def list_(call: Call) -> Resource:
    call.project()
    shown = ("kind", "id", "datasetReference", "labels", "friendlyName", "location", "type")
    datasets = [
        {name: dataset[name] for name in shown if name in dataset} for _path, dataset in call.state.children(call.path)
    ]
    return {"kind": "bigquery#datasetList", **call.page(datasets, "datasets", 50)}


@carries_out(f"{_DATASETS}.patch", f"{_DATASETS}.update")
def patch(call: Call) -> Resource:
    """A patch replaces the fields that it names; an update all that can be set."""
    dataset = _dataset(call)
    _check_etag(call, dataset)
    _check_version(call, dataset)
    fixed = ("kind", "id", "selfLink", "datasetReference", "creationTime", "location", "type")
    kept = dataset if call.id.endswith(".patch") else {name: dataset[name] for name in fixed if name in dataset}
    if call.body.get("location", dataset.get("location")) != dataset.get("location"):
        raise invalid("The location of a dataset cannot be changed.")
    return _put(call, call.path, present({**kept, **call.body}) | {"datasetReference": dataset["datasetReference"]})


@carries_out(f"{_DATASETS}.delete")
def delete(call: Call) -> None:
    dataset = _dataset(call)
    _check_etag(call, dataset)
    if any(call.state.children(f"{call.path}/tables")) and call.query.get("deleteContents") != "true":
        raise ApiError(400, f"Dataset {dataset['id']} is still in use", "resourceInUse")
    call.state.remove(call.path)


def _dataset(call: Call) -> Resource:
    project, dataset_id = call.project(), call.parameters["datasetId"]
    return call.state.get(call.path, f"Not found: Dataset {project}:{dataset_id}")


def _check_etag(call: Call, dataset: Resource) -> None:
    wanted = call.headers.get("If-Match")
    if wanted and wanted != "*" and wanted.strip('"') != dataset.get("etag"):
        raise ApiError(412, "Precondition check failed.")


def _check_version(call: Call, dataset: Resource) -> None:
    entries = [*dataset.get("access", ()), *(call.body.get("access") or ())]
    if any("condition" in entry for entry in entries) and call.query.get("accessPolicyVersion") != "3":
        raise invalid("Access with conditions needs accessPolicyVersion 3.", "access_policy_version")


def _put(call: Call, path: str, dataset: Resource) -> Resource:
    _check_version(call, dataset)
    entries = [_entry(entry) for entry in dataset.get("access") or ()]
    distinct = {json.dumps(entry, sort_keys=True): entry for entry in entries}
    fresh = {"access": list(distinct.values()), "lastModifiedTime": _milliseconds(), "etag": call.state.etag()}
    return call.state.put(path, {**dataset, **fresh})


def _entry(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry of ``access`` as BigQuery keeps it.

    :raises ApiError: it is none.
    """
    named = [name for name in (*_WHO, *_WHAT) if name in entry]
    if len(named) != 1:
        raise invalid("An access entry must have exactly one of " + ", ".join((*_WHO, *_WHAT)), "access")
    (field,), value = named, entry[named[0]]
    if field in _WHAT:
        return entry
    role = entry.get("role", "")
    if role not in _LEGACY_ROLES.values() and not re.fullmatch(policies.ROLE, role):
        raise invalid(f"Invalid role '{role}' of an access entry.", "access.role")
    if field == "specialGroup" and value not in _SPECIAL_GROUPS:
        raise invalid(f"Invalid special group '{value}'.", "access.special_group")
    if field == "iamMember":
        kind, _colon, name = policies.member(value).partition(":")
        field, value = (_FIELD_OF[kind], name) if kind in _FIELD_OF else (field, value)
    elif field in ("userByEmail", "groupByEmail"):
        value = policies.member(f"user:{value}").partition(":")[2]
    condition = {"condition": entry["condition"]} if entry.get("condition") else {}
    return {"role": _LEGACY_ROLES.get(role, role), field: value, **condition}


@carries_out(f"{_TABLES}.get")
def get_table(call: Call) -> Resource:
    return _told(_table(call))


@carries_out(f"{_TABLES}.list")
def list_tables(call: Call) -> Resource:
    _dataset_of(call)
    shown = ("kind", "id", "tableReference", "type")
    tables = [{name: table[name] for name in shown if name in table} for _path, table in call.state.children(call.path)]
    return {"kind": "bigquery#tableList", **call.page(tables, "tables", 50)}


@carries_out(f"{_TABLES}.insert")
def insert_table(call: Call) -> Resource:
    _dataset_of(call)
    reference = call.body["tableReference"]
    path, name = f"{call.path}/{reference['tableId']}", "{projectId}:{datasetId}.{tableId}".format(**reference)
    if call.state.find(path):
        raise exists(f"Already Exists: Table {name}")
    return _put_table(call, path, {**present(call.body), "kind": "bigquery#table", "id": name, "type": "TABLE"})


@carries_out(f"{_TABLES}.patch")
def patch_table(call: Call) -> Resource:
    table = _table(call)
    _check_etag(call, table)
    fields = _standard(call.body.get("schema", table["schema"])["fields"])
    if [field["name"] for field in fields[: len(table["schema"]["fields"])]] != [
        field["name"] for field in table["schema"]["fields"]
    ]:
        raise invalid("Provided Schema does not match Table. A column is missing.")
    return _put_table(call, call.path, present({**table, **call.body}))


@carries_out(f"{_TABLES}.delete")
def delete_table(call: Call) -> None:
    _table(call)
    call.state.remove(call.path)


def _dataset_of(call: Call) -> None:
    project, dataset_id = call.project(), call.parameters["datasetId"]
    call.state.get(call.path.partition("/tables")[0], f"Not found: Dataset {project}:{dataset_id}")


def _table(call: Call) -> Resource:
    project, dataset_id, table_id = call.project(), call.parameters["datasetId"], call.parameters["tableId"]
    return call.state.get(call.path, f"Not found: Table {project}:{dataset_id}.{table_id}")


def _put_table(call: Call, path: str, table: Resource) -> Resource:
    kept = {**table, "schema": {"fields": _standard(table["schema"]["fields"])}, "etag": call.state.etag()}
    return _told(call.state.put(path, kept))


def _standard(fields: list[Resource]) -> list[Resource]:
    names = {older: name for name, older in _LEGACY_TYPES.items()}
    return [{**field, "type": names.get(field["type"], field["type"])} for field in fields]


def _told(table: Resource) -> Resource:
    fields = table.get("schema", {}).get("fields", [])
    told = [{**field, "type": _LEGACY_TYPES.get(field["type"], field["type"])} for field in fields]
    return {**table, "schema": {"fields": told}}


@carries_out("bigquery.jobs.insert")
def insert_job(call: Call) -> Resource:
    """https://cloud.google.com/bigquery/docs/reference/rest/v2/Job: an id can be used once, also by a job that fails."""
    project, reference = call.project(), call.body["jobReference"]
    path = f"{call.path}/{reference['jobId']}"
    if call.state.find(path):
        raise exists(f"Already Exists: Job {project}:{reference['location']}.{reference['jobId']}")
    try:
        count = _load(call, call.body["configuration"]["load"])
        ended: Resource = {"state": "DONE"}
    except _LoadError as error:
        count, problem = 0, {"reason": "invalid", "message": str(error)}
        ended = {"state": "DONE", "errorResult": problem, "errors": [problem]}
    job = {
        "kind": "bigquery#job",
        "id": f"{project}:{reference['location']}.{reference['jobId']}",
        "jobReference": reference,
        "configuration": call.body["configuration"],
    }
    call.state.put(path, {**job, "status": ended, "statistics": {"load": {"outputRows": str(count)}}})
    return {**job, "status": {"state": "RUNNING"}}


@carries_out("bigquery.jobs.get")
def get_job(call: Call) -> Resource:
    project, job_id = call.project(), call.parameters["jobId"]
    return call.state.get(call.path, f"Not found: Job {project}:{job_id}")


class _LoadError(Exception):
    """Why a job fails; nothing is loaded then."""


def _load(call: Call, load: Resource) -> int:
    target = load["destinationTable"]
    dataset = f"bigquery/bigquery/v2/projects/{target['projectId']}/datasets/{target['datasetId']}"
    call.state.get(dataset, f"Not found: Dataset {target['projectId']}:{target['datasetId']}")
    path, fields = f"{dataset}/tables/{target['tableId']}", load["schema"]["fields"]
    table = call.state.find(path)
    if table:
        if "timePartitioning" in load and load["timePartitioning"] != table.get("timePartitioning"):
            raise _LoadError("Incompatible table partitioning specification.")
        known = {field["name"]: field["type"] for field in table["schema"]["fields"]}
        if any(known.get(field["name"], field["type"]) != field["type"] for field in fields):
            raise _LoadError("Provided Schema does not match Table. A field has changed type.")
        added = [field for field in fields if field["name"] not in known]
        if added and "ALLOW_FIELD_ADDITION" not in load.get("schemaUpdateOptions", ()):
            raise _LoadError(f"Provided Schema does not match Table. Cannot add fields (field: {added[0]['name']}).")
        fields = [*table["schema"]["fields"], *added]
    found = [json.loads(line) for uri in load["sourceUris"] for line in _object(uri).splitlines()]
    types = {field["name"]: field["type"] for field in fields}
    for number, row in enumerate(found, start=1):
        for name, value in row.items():
            if name not in types or not _FITS[types[name]](value):
                raise _LoadError(f"Error while reading data, row {number}: {name} has {json.dumps(value)[:50]}.")
    made = {name: load[name] for name in ("timePartitioning", "clustering") if name in load}
    kept = call.state.find(f"{path}/rows") or {"rows": []}
    call.state.put(path, {"tableReference": target, **made, **(table or {}), "schema": {"fields": fields}})
    call.state.put(f"{path}/rows", {"rows": [*kept["rows"], *found]})
    return len(found)


def _object(uri: str) -> bytes:
    bucket, _slash, name = uri.removeprefix("gs://").partition("/")
    place = (
        f"{os.environ['STORAGE_EMULATOR_HOST']}/storage/v1/b/{bucket}/o/{urllib.parse.quote(name, safe='')}?alt=media"
    )
    with urllib.request.urlopen(place) as answer:
        content: bytes = answer.read()
    return gzip.decompress(content) if name.endswith(".gz") else content


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def _is_timestamp(value: Any) -> bool:
    try:
        return datetime.datetime.fromisoformat(value).tzinfo is not None
    except (ValueError, TypeError):
        return False


_FITS = {
    "STRING": lambda value: isinstance(value, str),
    "INT64": _is_integer,
    "FLOAT64": lambda value: isinstance(value, float) or _is_integer(value),
    "BOOL": lambda value: isinstance(value, bool),
    "JSON": lambda value: isinstance(value, (dict, list)),
    "DATETIME": lambda value: bool(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", str(value))),
    "TIMESTAMP": _is_timestamp,
}


def _milliseconds() -> str:
    return str(int(time.time() * 1000))
