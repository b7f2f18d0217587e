# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The columns of both tables, as BigQuery and as Pub/Sub want them declared. Pure.

The first 19 columns of REQUESTS are those of ``metrics-tracking`` in github.com/GoogleCloudPlatform/
applied-ai-engineering-samples (ai-infrastructure/terraform-modules), in name, type and number of the field, so that its
tables, topics and queries go on working. Ours follow.
"""

from __future__ import annotations

import dataclasses
import typing as t


@dataclasses.dataclass(frozen=True)
class Column:
    """One column: its type in BigQuery, and its type in the message, empty where the message has no such field."""

    name: str
    type: str
    proto: str = ""
    #: Whether the field of the message is ``optional``, so that it can be told from its default.
    optional: bool = True


#: What a BigQuery subscription with ``write_metadata`` adds to a message.
_METADATA = (
    Column("subscription_name", "STRING"),
    Column("message_id", "STRING"),
    Column("publish_time", "TIMESTAMP"),
    Column("attributes", "JSON"),
)
_METRICS = (
    Column("test_id", "STRING", "string", optional=False),
    Column("request_type", "STRING", "string", optional=False),
    Column("request_name", "STRING", "string", optional=False),
    Column("response_length", "INT64", "int32", optional=False),
    #: Milliseconds.
    Column("response_time", "FLOAT64", "float", optional=False),
    #: UTC, to the second.
    Column("start_time", "DATETIME", "string", optional=False),
    #: Empty when there was none.
    Column("exception", "STRING", "string", optional=False),
    Column("request", "JSON", "string"),
    Column("response", "JSON", "string"),
    Column("model_name", "STRING", "string"),
    Column("model_method", "STRING", "string"),
    Column("tokenizer", "STRING", "string"),
    Column("num_output_tokens", "INT64", "int32"),
    Column("num_input_tokens", "INT64", "int32"),
    Column("model_response_time", "INT64", "int32"),
)
_ADDED = (
    Column("run_id", "STRING", "string"),
    Column("engine", "STRING", "string"),
    Column("stage", "INT64", "int32"),
    Column("requested_rate", "FLOAT64", "double"),
    Column("concurrency", "INT64", "int32"),
    Column("schedule_delay_ms", "FLOAT64", "double"),
    Column("ttft_ms", "FLOAT64", "double"),
    Column("tpot_ms", "FLOAT64", "double"),
    Column("itl_p50_ms", "FLOAT64", "double"),
    Column("itl_p99_ms", "FLOAT64", "double"),
    Column("e2e_ms", "FLOAT64", "double"),
    Column("http_status", "INT64", "int32"),
    Column("error_kind", "STRING", "string"),
    Column("finish_reason", "STRING", "string"),
    Column("slo_met", "BOOL", "bool"),
    Column("cluster", "STRING", "string"),
    Column("namespace", "STRING", "string"),
    Column("accelerator", "STRING", "string"),
    Column("topology", "STRING", "string"),
    Column("chips", "INT64", "int32"),
    Column("client_pod", "STRING", "string"),
)

#: One row per request.
REQUESTS = (*_METADATA, *_METRICS, *_ADDED)
#: Figures of a stage, under the names of compare.METRICS.
FIGURES = (
    *("ttft_p50_ms", "ttft_p99_ms", "itl_p50_ms", "itl_p99_ms", "tpot_p50_ms", "tpot_p99_ms"),
    *("e2e_p50_ms", "e2e_p99_ms", "error_rate", "requests_s", "output_tok_s", "total_tok_s", "goodput", "usd_per_mtok"),
)
#: One row per stage of a run, all its repeats together.
RUNS = (
    Column("run_id", "STRING"),
    Column("name", "STRING"),
    Column("started_at", "TIMESTAMP"),
    Column("stopped", "BOOL"),
    Column("verdict", "STRING"),
    *(Column(name, "STRING") for name in ("model", "server", "accelerator", "topology", "workload")),
    Column("chips", "INT64"),
    Column("stage", "INT64"),
    Column("kind", "STRING"),
    Column("asked", "FLOAT64"),
    Column("arrival", "STRING"),
    Column("repeats", "INT64"),
    Column("valid", "BOOL"),
    *(Column(name, "INT64") for name in ("sent", "completed", "failed", "cancelled")),
    *(Column(name, "FLOAT64") for name in FIGURES),
    #: The Benchmark Report of llm-d.
    Column("report", "JSON"),
)

#: The columns that the message has, in the order of their numbers, which begin with 1.
MESSAGE = tuple(column for column in REQUESTS if column.proto)


def bigquery(columns: t.Iterable[Column]) -> list[dict[str, str]]:
    """The ``fields`` of a schema of BigQuery."""
    return [{"name": column.name, "type": column.type, "mode": "NULLABLE"} for column in columns]


def proto() -> str:
    """The schema of the topic: type PROTOCOL_BUFFER, and messages in JSON."""
    fields = [
        f"  {'optional ' if column.optional else ''}{column.proto} {column.name} = {number};"
        for number, column in enumerate(MESSAGE, start=1)
    ]
    return "\n".join(['syntax = "proto3";', "", "message Metrics {", *fields, "}", ""])
