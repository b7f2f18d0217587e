# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is declared to Google Cloud: each field of a message has its column, and what is there is completed."""

from __future__ import annotations

import re

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._bench.sinks import schema
from ansible_collections.modelops.serving.plugins.module_utils._sinks import declared
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError

#: Types of Protocol Buffers -> types of columns that Pub/Sub writes them to.
#: https://cloud.google.com/pubsub/docs/bigquery#protocol-buffer-types
WRITTEN = {
    "string": {"STRING", "JSON", "DATETIME"},
    "int32": {"INT64"},
    "float": {"FLOAT64"},
    "double": {"FLOAT64"},
    "bool": {"BOOL"},
}
#: What ``write_metadata`` writes. https://cloud.google.com/pubsub/docs/bigquery#write-metadata
METADATA = {"subscription_name": "STRING", "message_id": "STRING", "publish_time": "TIMESTAMP", "attributes": "JSON"}


def test_each_field_of_a_message_has_a_column_and_the_other_way_round():
    made = declared.table(None, schema.REQUESTS, name="t")
    columns = {field["name"]: field["type"] for field in made["schema"]["fields"]}
    definition = declared.topic_schema(None, name="s")["definition"]
    found = re.findall(r"^  (?:optional )?(\w+) (\w+) = (\d+);$", definition, re.MULTILINE)
    assert [int(number) for _kind, _name, number in found] == list(range(1, len(found) + 1))
    assert {name for _kind, name, _number in found} | METADATA.keys() == columns.keys()
    assert all(columns[name] in WRITTEN[kind] for kind, name, _number in found)
    assert METADATA.items() <= columns.items()
    assert columns[made["timePartitioning"]["field"]] == "DATETIME"
    assert set(made["clustering"]["fields"]) <= columns.keys()
    assert all(field["mode"] == "NULLABLE" for field in made["schema"]["fields"])


def test_schema_that_lacks_fields_is_completed_once():
    lines = schema.proto().splitlines()
    older = {"type": "PROTOCOL_BUFFER", "definition": "\n".join([*lines[:18], "}\n"])}
    newer = declared.topic_schema(older, name="s")
    assert newer["definition"] == schema.proto()
    assert declared.topic_schema(newer, name="s") is newer
    # Theirs may be called otherwise, and stay where they are.
    other = {**older, "definition": newer["definition"].replace("Metrics", "Requests").replace("}", "bool x = 99;}")}
    assert declared.topic_schema(other, name="s") is other


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            ("int32 response_length = 4", "int64 response_length = 4"),
            "response_length has to be int32 with the number 4",
        ),
        (("run_id = 16", "run_id = 61"), "run_id has to be string with the number 16"),
        (("run_id = 16", "build = 16"), "run_id has to be string with the number 16"),
        (("  string test_id = 1;\n", ""), "test_id is missing"),
    ],
)
def test_schema_of_other_messages_is_refused(change, told):
    other = {"type": "PROTOCOL_BUFFER", "definition": schema.proto().replace(*change)}
    with pytest.raises(InputError, match=told):
        declared.topic_schema(other, name="s")
