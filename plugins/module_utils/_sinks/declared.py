# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What rows and messages of benchmarks need on Google Cloud, as the APIs take it, made of what is there already. Pure.

Names, flags and times are those of ``metrics-tracking`` in github.com/GoogleCloudPlatform/applied-ai-engineering-samples
(ai-infrastructure/terraform-modules), so that what it has made goes on working. Whatever else there is stays.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._bench.sinks import schema
from ansible_collections.modelops.serving.plugins.module_utils._bench.sinks.schema import Column
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError

Data: t.TypeAlias = "dict[str, t.Any]"

#: What the service agent of Pub/Sub needs to write rows.
#: https://cloud.google.com/pubsub/docs/create-bigquery-subscription#assign_bigquery_service_account
ROLES: t.Final = ("roles/bigquery.dataEditor", "roles/bigquery.metadataViewer")

#: A dataset with it was made here, and may be removed here.
MARK: t.Final = {"modelops-serving": "benchmark-sink"}

_RETENTION = "86600s"
_FLAGS = {"useTopicSchema": True, "dropUnknownFields": True, "writeMetadata": True}
#: BigQuery takes both names, and tells the first.
_OLDER = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}
_FIELD = re.compile(r"^\s*(?:(optional|required|repeated)\s+)?(\w+)\s+(\w+)\s*=\s*(\d+)\s*[;\[]", re.MULTILINE)
_OTHER = "Give another name, or remove what is there."


def layout(columns: t.Sequence[Column]) -> Data:
    """How a new table is parted and ordered."""
    made: Data = {"clustering": {"fields": ["run_id"]}}
    if columns is schema.REQUESTS:
        made["timePartitioning"] = {"type": "DAY", "field": "start_time"}
    return made


def dataset(found: Data | None, *, name: str, location: str | None) -> Data:
    """:param location: None for any that is there, and for that which BigQuery takes for a new one.

    :raises InputError: it is elsewhere.
    """
    if found is None:
        return {"labels": MARK, **({"location": location} if location else {})}
    there = found.get("location", "")
    if location and there.upper() != location.upper():
        raise InputError(
            f"The dataset {name} is in {there}, not in {location}.",
            hint="Datasets cannot be moved. Leave location out, or give the dataset another name.",
        )
    return found


def table(found: Data | None, columns: t.Sequence[Column], *, name: str) -> Data:
    """With the columns that it lacks. None is changed or taken away.

    :raises InputError: rows would not fit into it; every reason is told.
    """
    if found is None:
        return {"schema": {"fields": schema.bigquery(columns)}, **layout(columns)}
    told = found.get("schema") or {}
    fields = told.get("fields") or []
    wrong = list(_misfits(fields, columns))
    if found.get("type", "TABLE") != "TABLE":
        wrong = [f"it is a {found['type'].lower().replace('_', ' ')}"]
    if wrong:
        raise InputError(f"Rows of benchmarks do not fit into the table {name}: {', '.join(wrong)}.", hint=_OTHER)
    names = {field["name"].lower() for field in fields}
    missing = schema.bigquery(column for column in columns if column.name not in names)
    return {**found, "schema": {**told, "fields": [*fields, *missing]}} if missing else found


def _misfits(fields: t.Sequence[Data], columns: t.Sequence[Column]) -> t.Iterator[str]:
    types = {column.name: column.type for column in columns}
    for field in fields:
        name, mode = field["name"], field.get("mode") or "NULLABLE"
        wanted = types.get(name.lower())  # names of columns are the same in upper and lower case
        kind = column_type(field)
        if wanted and kind != wanted:
            yield f"{name} is {kind} and has to be {wanted}"
        elif mode == "REQUIRED" or (wanted and mode == "REPEATED"):
            yield f"{name} is {mode}"


def column_type(field: t.Mapping[str, t.Any]) -> str:
    """The type of a column under its present name."""
    told = str(field["type"])
    return _OLDER.get(told, told)


def topic_schema(found: Data | None, *, name: str) -> Data:
    """With the fields that its message lacks, as a revision that older messages fit as well.

    :raises InputError: it declares other messages.
    """
    if found is None:
        return {"type": "PROTOCOL_BUFFER", "definition": schema.proto()}
    if found.get("type") != "PROTOCOL_BUFFER":
        raise InputError(f"The schema {name} is no Protocol Buffer.", hint=_OTHER)
    definition = found.get("definition", "")
    ours, theirs = _fields(schema.proto()), _fields(definition)
    numbers = {number: field for field, (_kind, number) in theirs.items()}
    wrong = [
        f"{field} has to be {kind} with the number {number}"
        for field, (kind, number) in ours.items()
        if theirs.get(field, (kind, number)) != (kind, number) or numbers.get(number, field) != field
    ]
    # A revision may only add fields that are optional.
    wrong += [
        f"{column.name} is missing" for column in schema.MESSAGE if not column.optional and column.name not in theirs
    ]
    if wrong:
        raise InputError(f"The schema {name} declares other messages: {', '.join(wrong)}.", hint=_OTHER)
    lines = [line for line in schema.proto().splitlines() if set(_fields(line)) - set(theirs)]
    if not lines:
        return found
    head, brace, tail = definition.rpartition("}")
    return {**found, "definition": f"{head.rstrip()}\n" + "\n".join(lines) + f"\n{brace}{tail}"}


def _fields(definition: str) -> dict[str, tuple[str, str]]:
    """Name of each field -> its type and number."""
    return {name: (kind, number) for _label, kind, name, number in _FIELD.findall(definition)}


def topic(found: Data | None, *, name: str, schema_name: str) -> Data:
    """:raises InputError: it takes other messages."""
    wanted = {"schema": schema_name, "encoding": "JSON"}
    settings = (found or {}).get("schemaSettings") or {}
    if settings and {**settings, **wanted} != settings:
        raise InputError(
            f"The topic {name} takes messages of the schema {settings.get('schema')} as {settings.get('encoding')}, "
            f"not of {schema_name} as JSON.",
            hint="Give the schema that it has, or another topic.",
        )
    return {**(found or {}), "schemaSettings": settings or wanted, "messageRetentionDuration": _RETENTION}


def subscription(found: Data | None, *, name: str, topic_name: str, table_name: str) -> Data:
    """:param table_name: ``PROJECT.DATASET.TABLE``.

    It never expires: Pub/Sub would remove it after a month without a benchmark.

    :raises InputError: it is another topic's, or not one that writes to BigQuery.
    """
    config = {"table": table_name, **_FLAGS}
    if found is None:
        return {"topic": topic_name, "bigqueryConfig": config, "expirationPolicy": {}}
    if found["topic"] != topic_name:
        raise InputError(
            f"The subscription {name} gets messages of {found['topic']}, not of {topic_name}.",
            hint="Run with state: absent first, or give another subscription.",
        )
    if "bigqueryConfig" not in found:
        raise InputError(f"The subscription {name} does not write to BigQuery: others may read it.", hint=_OTHER)
    return {**found, "bigqueryConfig": {**found["bigqueryConfig"], **config}, "expirationPolicy": {}}
