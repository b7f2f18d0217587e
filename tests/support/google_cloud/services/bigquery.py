# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""BigQuery v2: datasets and who has access to them. https://cloud.google.com/bigquery/docs/reference/rest/v2/datasets

The documents say that conditions need ``accessPolicyVersion`` 3, but not what comes of a request without: here a 400.
"""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

from .. import policies
from ..errors import ApiError, exists, invalid
from ..state import present
from . import carries_out

if TYPE_CHECKING:
    from ..state import Call, Resource

_DATASETS = "bigquery.datasets"
#: What a role is called in an answer, whatever it was called in the request.
_LEGACY_ROLES = {
    "roles/bigquery.dataOwner": "OWNER",
    "roles/bigquery.dataEditor": "WRITER",
    "roles/bigquery.dataViewer": "READER",
}
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


def _milliseconds() -> str:
    return str(int(time.time() * 1000))
