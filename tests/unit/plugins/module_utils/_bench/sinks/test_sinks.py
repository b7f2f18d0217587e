# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs as rows of BigQuery, messages of Pub/Sub, and an index."""

from __future__ import annotations

import contextlib
import json
import sqlite3

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._bench import records, results, stages
from ansible_collections.modelops.serving.plugins.module_utils._bench.errors import InputError, StorageError
from ansible_collections.modelops.serving.plugins.module_utils._bench.sinks import index, rows, schema
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._bench.runs import (
    a_failure,
    a_record,
    a_workload,
    some_facts,
)

ABOUT = {
    "name": "release",
    "server": "vLLM 0.27.0",
    "accelerator": "v6e",
    "topology": "2x4",
    "chips": 8,
    "usd_per_hour": 20.0,
}
#: The names and types that tables of applied-ai-engineering-samples have, in their order.
THEIRS = """
    subscription_name STRING, message_id STRING, publish_time TIMESTAMP, attributes JSON, test_id STRING,
    request_type STRING, request_name STRING, response_length INT64, response_time FLOAT64, start_time DATETIME,
    exception STRING, request JSON, response JSON, model_name STRING, model_method STRING, tokenizer STRING,
    num_output_tokens INT64, num_input_tokens INT64, model_response_time INT64
"""
OURS = """
    run_id STRING, engine STRING, stage INT64, requested_rate FLOAT64, concurrency INT64, schedule_delay_ms FLOAT64,
    ttft_ms FLOAT64, tpot_ms FLOAT64, itl_p50_ms FLOAT64, itl_p99_ms FLOAT64, e2e_ms FLOAT64, http_status INT64,
    error_kind STRING, finish_reason STRING, slo_met BOOL, cluster STRING, namespace STRING, accelerator STRING,
    topology STRING, chips INT64, client_pod STRING
"""
PROTO = """syntax = "proto3";

message Metrics {
  string test_id = 1;
  string request_type = 2;
  string request_name = 3;
  int32 response_length = 4;
  float response_time = 5;
  string start_time = 6;
  string exception = 7;
  optional string request = 8;
  optional string response = 9;
  optional string model_name = 10;
  optional string model_method = 11;
  optional string tokenizer = 12;
  optional int32 num_output_tokens = 13;
  optional int32 num_input_tokens = 14;
  optional int32 model_response_time = 15;
  optional string run_id = 16;
"""
PYTHON = {"STRING": str, "INT64": int, "FLOAT64": float, "BOOL": bool, "DATETIME": str, "TIMESTAMP": str, "JSON": dict}


def fits(value, column):
    wanted = PYTHON[column.type]
    # A bool is an int to Python, and none to BigQuery.
    return value is None or (isinstance(value, wanted) and isinstance(value, bool) == (wanted is bool))


def a_run(place, *found, reported=True, **workload):
    """A run whose stages were asked of at a rate of 10, and with 4 requests in flight."""
    asked = [{"rate": 10, "duration": 10}, {"concurrency": 4, "requests": 100}]
    load = a_workload(stages=asked, **{"slo": {"ttft_p50_ms": 150}, **workload})
    place.mkdir(parents=True)
    (place / "workload.json").write_text(json.dumps(load.as_data()))
    told = {"engine": "builtin", "host": "shard-0", "namespace": "bench", "started_at": "2026-11-21T10:00:00.250+00:00"}
    (place / "environment.json").write_text(json.dumps({**told, "cluster": "tpus"}))
    with records.Writer(place / records.FILE) as writer:
        for record in found or [a_record(seq, stage=stage) for stage in (0, 1) for seq in range(100)]:
            writer.write(record)
    if reported:
        stages.write(
            place / stages.FILE, [some_facts(), some_facts(stage=1, kind="concurrency", asked=4.0, in_flight_max=4)]
        )
        results.report(place, about=ABOUT)
    return rows.read(place)


def test_columns_are_those_of_tables_that_are_there_and_ours():
    wanted = [column.split() for column in f"{THEIRS}, {OURS}".split(",")]
    told = [{"name": name, "type": kind, "mode": "NULLABLE"} for name, kind in wanted]
    assert schema.bigquery(schema.REQUESTS) == told
    assert len({field["name"] for field in schema.bigquery(schema.RUNS)}) == len(schema.RUNS)


def test_message_has_the_fields_of_schemas_that_are_there_and_ours():
    assert schema.proto().startswith(PROTO)
    assert schema.proto().endswith("  optional string client_pod = 36;\n}\n")
    metadata = ("subscription_name", "message_id", "publish_time", "attributes")
    assert [column.name for column in schema.MESSAGE] == [
        field["name"] for field in schema.bigquery(schema.REQUESTS) if field["name"] not in metadata
    ]


def test_the_number_of_a_request_tells_which_pod_has_sent_it(tmp_path):
    run = a_run(tmp_path / "run-1", a_record(seq=4), a_record(seq=5))
    told = json.loads((run.place / "environment.json").read_text())
    shards = [{"client_pod": "bench-0-x", "host": "x"}, {"host": "y"}]
    (run.place / "environment.json").write_text(json.dumps({**told, "shards": shards}))
    assert [row["client_pod"] for row in rows.of_requests(rows.read(run.place))] == ["bench-0-x", "y"]


def test_every_request_is_a_row_of_every_column(tmp_path):
    run = a_run(
        tmp_path / "run-1",
        a_record(seq=20, t_start=65.0, t_scheduled=64.99, schedule_delay_ms=10.0, prompt="What?", answer="Töne"),
        a_record(1, stage=1, ttft_ms=200.0, osl_server=None, osl=7),
        a_failure(2, stage=1),
        a_failure(3, "cancelled", None, stage=1),
    )
    first, late, failed, cancelled = rows.of_requests(run, text=True)
    assert first == {
        "subscription_name": None,
        "message_id": None,
        "publish_time": None,
        "attributes": {"run_id": "run-1", "row": "0"},
        "test_id": "run-1",
        "request_type": "POST",
        "request_name": "/v1/chat/completions",
        "response_length": 5,
        "response_time": 190.0,
        "start_time": "2026-11-21 10:01:05",
        "exception": "",
        "request": {"prompt": "What?"},
        "response": {"text": "Töne"},
        "model_name": "org/model",
        "model_method": "openai_chat",
        "tokenizer": None,
        "num_output_tokens": 10,
        "num_input_tokens": 100,
        "model_response_time": None,
        "run_id": "run-1",
        "engine": "builtin",
        "stage": 0,
        "requested_rate": 10.0,
        "concurrency": None,
        "schedule_delay_ms": 10.0,
        "ttft_ms": 100.0,
        "tpot_ms": 10.0,
        "itl_p50_ms": 10.0,
        "itl_p99_ms": 10.0,
        "e2e_ms": 190.0,
        "http_status": 200,
        "error_kind": None,
        "finish_reason": "length",
        "slo_met": True,
        "cluster": "tpus",
        "namespace": "bench",
        "accelerator": "v6e",
        "topology": "2x4",
        "chips": 8,
        "client_pod": "shard-0",
    }
    for row in (first, late, failed, cancelled):
        assert list(row) == [column.name for column in schema.REQUESTS]
        wrong = {column.name: row[column.name] for column in schema.REQUESTS if not fits(row[column.name], column)}
        assert wrong == {}
    assert (late["concurrency"], late["requested_rate"], late["num_output_tokens"]) == (4, None, 7)
    assert [row["slo_met"] for row in (first, late, failed, cancelled)] == [True, False, False, None]
    assert (failed["exception"], failed["error_kind"], failed["http_status"]) == ("refused", "http", 503)


def test_text_stays_here_unless_it_is_asked_for(tmp_path):
    run = a_run(tmp_path / "run-1", a_record(prompt="What?", answer="Nothing"))
    (row,) = rows.of_requests(run)
    assert (row["request"], row["response"]) == (None, None)
    assert "What?" not in rows.message(row) + rows.line(row) and "Nothing" not in rows.message(row) + rows.line(row)


def test_rows_of_a_killed_run_go_on_where_they_were_left(tmp_path):
    run = a_run(tmp_path / "run-1", *(a_record(seq) for seq in range(5)), reported=False, slo={})
    with (run.place / records.FILE).open("a") as stream:
        stream.write('{"run_id": "run-1", "sta')
    told = []
    found = list(rows.of_requests(run, skip=3, warn=told.append))
    assert [row["attributes"]["row"] for row in found] == ["3", "4"]
    assert {row["slo_met"] for row in found} == {None}  # nothing was asked for
    assert {row["chips"] for row in found} == {None}  # nobody told
    assert len(told) == 1 and "not whole" in told[0]
    assert rows.of_stages(run) == []


def test_message_and_line_hold_the_row(tmp_path):
    run = a_run(tmp_path / "run-1", a_record(prompt='"ü"', answer="yes"))
    (row,) = rows.of_requests(run, text=True)
    message, line = json.loads(rows.message(row)), rows.line(row)
    assert json.loads(message.pop("request")) == {"prompt": '"ü"'}
    assert json.loads(message.pop("response")) == {"text": "yes"}
    assert message == {
        column.name: row[column.name]
        for column in schema.MESSAGE
        if row[column.name] is not None and column.type != "JSON"
    }
    assert line.count("\n") == 1 and json.loads(line) == {
        name: value for name, value in row.items() if value is not None
    }
    # A topic whose schema is an older one gets what it knows.
    assert json.loads(rows.message(row, {"test_id", "tokenizer"})) == {"test_id": "run-1"}


def test_every_stage_is_a_row_with_its_report(tmp_path):
    run = a_run(tmp_path / "run-1")
    first, second = rows.of_stages(run)
    for row in (first, second):
        assert list(dict.fromkeys(column.name for column in schema.RUNS)) == sorted(
            row, key=[column.name for column in schema.RUNS].index
        )
        for column in schema.RUNS:
            assert fits(row[column.name], column), column.name
    assert (first["kind"], first["asked"], second["kind"], second["asked"]) == ("rate", 10.0, "concurrency", 4.0)
    assert (first["run_id"], first["name"], first["started_at"]) == (
        "run-1",
        "release",
        "2026-11-21T10:00:00.250+00:00",
    )
    assert (first["server"], first["accelerator"], first["chips"], first["verdict"]) == (
        "vLLM 0.27.0",
        "v6e",
        8,
        "passed",
    )
    assert (first["sent"], first["ttft_p50_ms"], first["goodput"], first["valid"]) == (100, 100.0, 1.0, True)
    assert first["workload"] == run.workload.digest
    assert first["report"] == run.reports[0] and first["report"]["version"] == "0.2.1"


def test_a_run_that_cannot_be_read(tmp_path):
    run = a_run(tmp_path / "run-1")
    (run.place / "report.json").write_text("[]")
    with pytest.raises(InputError, match="do not tell the same stages"):
        rows.of_stages(rows.read(run.place))
    (run.place / "report.json").write_text("[")
    with pytest.raises(InputError, match="is no JSON"):
        rows.read(run.place)
    (run.place / "environment.json").write_text("{}")
    with pytest.raises(InputError, match="does not tell when its run began"):
        rows.read(run.place)


def test_index_holds_each_run_once_as_it_is_now(tmp_path):
    first, second = a_run(tmp_path / "run-1"), a_run(tmp_path / "run-2")
    assert index.write(tmp_path, first, check=True) == 2
    assert not (tmp_path / index.FILE).exists()
    assert [index.write(tmp_path, run) for run in (first, second, first)] == [2, 2, 0]
    before = (tmp_path / index.FILE).read_bytes()
    results.report(second.place, about={**ABOUT, "name": "other"})
    changed = rows.read(second.place)
    assert index.write(tmp_path, changed, check=True) == 2
    assert (tmp_path / index.FILE).read_bytes() == before
    assert [index.write(tmp_path, changed), index.write(tmp_path, changed, check=True)] == [2, 0]
    with contextlib.closing(sqlite3.connect(tmp_path / index.FILE)) as base:
        joined = "SELECT name, stage, ttft_p50_ms, valid FROM runs JOIN stages USING (run_id) ORDER BY run_id, stage"
        assert base.execute(joined).fetchall() == [
            (name, stage, 100.0, 1) for name in ("release", "other") for stage in (0, 1)
        ]
        (report,) = base.execute("SELECT report FROM stages WHERE run_id = 'run-2' AND stage = 1").fetchone()
    assert json.loads(report) == changed.reports[1]


def test_index_tells_what_is_wrong(tmp_path):
    with pytest.raises(InputError, match="has no report"):
        index.write(tmp_path, a_run(tmp_path / "run-1", reported=False))
    (tmp_path / index.FILE).write_text("no database, and long enough to be looked at" * 20)
    with pytest.raises(StorageError, match="not a database"):
        index.write(tmp_path, a_run(tmp_path / "run-2"))
