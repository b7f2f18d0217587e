# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The access entries of a dataset of BigQuery, read and changed as grants. Pure.

https://cloud.google.com/bigquery/docs/reference/rest/v2/datasets#resource:-dataset
"""

from __future__ import annotations

import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._gcp.policy import Condition, Data, Grant

# BigQuery takes both names and answers with the first.
_LEGACY_ROLES = {
    "READER": "roles/bigquery.dataViewer",
    "WRITER": "roles/bigquery.dataEditor",
    "OWNER": "roles/bigquery.dataOwner",
}
_SPECIAL_GROUPS = {
    "projectOwners": "projectOwner",
    "projectWriters": "projectEditor",
    "projectReaders": "projectViewer",
}
_FIELDS = {"user": "userByEmail", "serviceAccount": "userByEmail", "group": "groupByEmail", "domain": "domain"}


def grants(dataset: t.Mapping[str, t.Any], project: str) -> list[Grant]:
    """All that the access entries grant to members. Entries for views, routines and datasets are none of them.

    :param project: the id of the dataset's project, whose owners, writers and readers the special groups are.
    """
    return [grant for entry in dataset.get("access") or [] if (grant := _grant(entry, project))]


def as_spelled(grant: Grant, project: str) -> Grant:
    """The grant as it is told when the dataset is read again: an entry does not say what kind of account it is for."""
    return _grant(_entry(grant, project), project) or grant


def with_grants(dataset: t.Mapping[str, t.Any], more: t.Iterable[Grant], project: str) -> Data:
    """The dataset with entries added."""
    return {**dataset, "access": [*(dataset.get("access") or []), *(_entry(grant, project) for grant in more)]}


def without_grants(dataset: t.Mapping[str, t.Any], fewer: t.Iterable[Grant], project: str) -> Data:
    """The dataset with entries removed."""
    gone = {grant.key for grant in fewer}
    kept = [
        entry
        for entry in dataset.get("access") or []
        if (grant := _grant(entry, project)) is None or grant.key not in gone
    ]
    return {**dataset, "access": kept}


def _grant(entry: t.Mapping[str, t.Any], project: str) -> Grant | None:
    member = _member(entry, project)
    if member is None or "role" not in entry:
        return None
    return Grant(_LEGACY_ROLES.get(entry["role"], entry["role"]), member, Condition.of(entry.get("condition")))


def _member(entry: t.Mapping[str, t.Any], project: str) -> str | None:
    account = entry.get("userByEmail")
    if account:
        of_google = account.lower().endswith("gserviceaccount.com") or ".svc.id.goog[" in account
        return f"{'serviceAccount' if of_google else 'user'}:{account}"
    if "groupByEmail" in entry:
        return f"group:{entry['groupByEmail']}"
    if "domain" in entry:
        return f"domain:{entry['domain']}"
    special = entry.get("specialGroup")
    if special:
        return f"{_SPECIAL_GROUPS[special]}:{project}" if special in _SPECIAL_GROUPS else str(special)
    return entry.get("iamMember")


def _entry(grant: Grant, project: str) -> Data:
    kind, _colon, name = grant.member.partition(":")
    special = {f"{member}:{project}": group for group, member in _SPECIAL_GROUPS.items()}
    entry: Data = {"role": grant.role}
    if kind in _FIELDS:
        entry[_FIELDS[kind]] = name
    elif grant.member in special:
        entry["specialGroup"] = special[grant.member]
    elif grant.member == "allAuthenticatedUsers":
        entry["specialGroup"] = grant.member
    else:
        entry["iamMember"] = grant.member
    if grant.condition:
        entry["condition"] = grant.condition.data()
    return entry
