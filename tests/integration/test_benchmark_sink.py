# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module benchmark_sink, and benchmark_results into what it has made, with the stand-in for Google Cloud.

What the stand-in cannot show: how long a grant takes to count, and that messages become rows.
"""

from __future__ import annotations

import base64
import contextlib
import json

import pytest
from ansible.module_utils.testing import patch_module_args
from bench_runs import _token_server, bench
from fake_gcs import storage

from ansible_collections.modelops.serving.plugins.module_utils._bench.sinks import schema
from ansible_collections.modelops.serving.plugins.module_utils._sinks import bigquery, infrastructure
from ansible_collections.modelops.serving.plugins.modules import benchmark_results, benchmark_sink

__all__ = ["_token_server", "bench", "storage"]

PROJECT = "projects/demo-project"
DATASET = f"bigquery/bigquery/v2/{PROJECT}/datasets/benchmarks"
TABLES = {"requests": schema.REQUESTS, "runs": schema.RUNS}
TOPIC, SCHEMA = f"{PROJECT}/topics/metrics", f"{PROJECT}/schemas/metrics-schema"
SUBSCRIPTION = f"{PROJECT}/subscriptions/metrics-bigquery"
AGENT = "service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"
#: As BigQuery tells of both roles.
GRANTS = [{"role": role, "userByEmail": AGENT} for role in ("WRITER", "roles/bigquery.metadataViewer")]
#: A dataset of others.
THERE = {
    "id": "demo-project:benchmarks",
    "datasetReference": {"projectId": "demo-project", "datasetId": "benchmarks"},
    "location": "EU",
    "access": [],
    "etag": "abc",
}
ONLY_TABLES = {"dataset": "benchmarks", "location": "EU"}
WHOLE = {**ONLY_TABLES, "topic": "metrics"}


@pytest.fixture
def call(google, capsys, monkeypatch):
    """Calls one of the modules, and returns its result."""
    for name, value in google.environment.items():
        if name.startswith("GCP_"):
            monkeypatch.setenv(name, value)
    monkeypatch.setattr(infrastructure, "_POLL", 0.01)

    def run(module=benchmark_sink, check=False, **options):
        endpoints = {api: google.endpoint(api) for api in ("pubsub", "bigquery", "cloudresourcemanager")}
        given = {"attempts": 2, "endpoints": endpoints, **options, "_ansible_check_mode": check}
        with patch_module_args(given), contextlib.suppress(SystemExit):
            module.main()
        return json.loads(capsys.readouterr().out)

    return run


def writes(google):
    return [f"{request.method} {request.path.rpartition('/v1/')[2]}" for request in google.requests if request.writes]


def actions(result):
    return [(part["kind"], part["action"]) for part in result["objects"]]


def in_place(google):
    """All that there is of a sink."""
    places = [DATASET, *(f"{DATASET}/tables/{name}" for name in TABLES)]
    places += [f"pubsub/v1/{name}" for name in (SCHEMA, TOPIC, SUBSCRIPTION)]
    return [place for place in places if google.get(place)]


def test_twelve_steps(call, google):
    steps = [ONLY_TABLES] * 4 + [WHOLE] * 4 + [{**WHOLE, "state": "absent", "delete_data": True}] * 4
    results, written, asked = [], [], []
    for number, step in enumerate(steps):
        google.clear_requests()
        results.append(call(check=number % 2 == 0, **step))
        written.append(writes(google))
        asked.append(len(google.requests))
    assert [result["changed"] for result in results] == [True, True, False, False] * 3, results
    assert [bool(done) for done in written] == [False, True, False, False] * 3
    # Where nothing is to be done, everything is looked at once.
    assert asked[2::4] == asked[3::4]
    # Check mode tells exactly what is done.
    for predicted, done in zip(results[::2], results[1::2], strict=True):
        assert {**predicted, "invocation": None} == {**done, "invocation": None}
    assert actions(results[1]) == [("dataset", "created"), ("table", "created"), ("table", "created")]
    assert actions(results[5]) == [
        ("dataset", "none"), ("grants", "created"), ("table", "none"), ("table", "none"),
        ("schema", "created"), ("topic", "created"), ("subscription", "created"),
    ]  # fmt: skip
    assert actions(results[9]) == [
        ("subscription", "deleted"), ("topic", "deleted"), ("schema", "deleted"),
        ("table", "deleted"), ("table", "deleted"), ("dataset", "deleted"),
    ]  # fmt: skip
    assert results[5]["diff"]["after"][f"topic {TOPIC}"]["messageRetentionDuration"] == "86600s"
    assert (results[5]["topic"], results[5]["dataset"]) == (TOPIC, f"{PROJECT}/datasets/benchmarks")
    assert in_place(google) == []


def test_what_is_made_is_what_google_s_samples_have_and_ours(call, google):
    assert call(**WHOLE)["changed"] is True
    assert google.get(DATASET)["location"] == "EU"
    for name, columns in TABLES.items():
        table = google.get(f"{DATASET}/tables/{name}")
        assert table["schema"]["fields"] == schema.bigquery(columns)
        assert table["clustering"] == {"fields": ["run_id"]}
    assert google.get(f"{DATASET}/tables/requests")["timePartitioning"] == {"type": "DAY", "field": "start_time"}
    kept = google.get(f"pubsub/v1/{SCHEMA}")
    assert (kept["type"], kept["definition"]) == ("PROTOCOL_BUFFER", schema.proto())
    topic = google.get(f"pubsub/v1/{TOPIC}")
    assert topic["schemaSettings"] == {"schema": SCHEMA, "encoding": "JSON"}
    assert topic["messageRetentionDuration"] == "86600s"
    subscription = google.get(f"pubsub/v1/{SUBSCRIPTION}")
    flags = dict.fromkeys(("useTopicSchema", "dropUnknownFields", "writeMetadata"), True)
    table = {"table": "demo-project.benchmarks.requests", "state": "ACTIVE"}
    assert (subscription["topic"], subscription["bigqueryConfig"]) == (TOPIC, {**table, **flags})
    assert subscription["expirationPolicy"] == {}
    assert [entry for entry in google.get(DATASET)["access"] if entry in GRANTS] == GRANTS
    # The agent has its roles before anybody looks whether it may write.
    order = writes(google)
    assert order.index(f"PATCH /bigquery/v2/{PROJECT}/datasets/benchmarks") < order.index(f"PUT {SUBSCRIPTION}")
    assert dict(actions(call(check=True, **WHOLE, state="absent")))["grants"] == "deleted"
    # Rows stay, and so does what others have.
    other = f"pubsub/v1/{PROJECT}/subscriptions/other"
    google.put(other, {**subscription, "name": f"{PROJECT}/subscriptions/other"})
    gone = call(**WHOLE, state="absent")
    assert ("dataset", "kept") in actions(gone) and "grants" not in dict(actions(gone))
    assert in_place(google) == [DATASET, f"{DATASET}/tables/requests", f"{DATASET}/tables/runs"]
    google.put(other, {**subscription, "name": other, "bigqueryConfig": {"table": "demo-project.another.requests"}})
    for check in (True, False):
        assert dict(actions(call(check=check, **WHOLE, state="absent")))["grants"] == "deleted"
    assert not [entry for entry in google.get(DATASET)["access"] if entry in GRANTS]
    # With its data, but for a dataset that others use.
    google.put(f"{DATASET}/tables/theirs", {"tableReference": {"tableId": "theirs"}})
    emptied = [call(check=check, **WHOLE, state="absent", delete_data=True) for check in (True, False)]
    assert actions(emptied[0]) == actions(emptied[1])
    assert dict(actions(emptied[1])) | {"dataset": "kept", "table": "deleted"} == dict(actions(emptied[1]))
    assert in_place(google) == [DATASET]


def test_older_tables_and_messages_get_what_they_lack(call, google):
    older = [*schema.bigquery(schema.REQUESTS[:19]), {"name": "team", "type": "STRING", "description": "Theirs"}]
    google.put(DATASET, {**THERE, "location": "US"})
    path = f"{DATASET}/tables/requests"
    google.put(path, {"type": "TABLE", "schema": {"fields": older}, "etag": "abc", "labels": {"a": "b"}})
    lines = schema.proto().splitlines()
    definition = "\n".join([*lines[:18], "  optional string team = 40; // theirs", "}"])
    google.put(f"pubsub/v1/{SCHEMA}", {"name": SCHEMA, "type": "PROTOCOL_BUFFER", "definition": definition})
    settings = {"schema": SCHEMA, "encoding": "JSON", "firstRevisionId": "1"}
    google.put(f"pubsub/v1/{TOPIC}", {"name": TOPIC, "schemaSettings": settings, "labels": {"a": "b"}})
    elsewhere = call(**WHOLE)
    assert "is in US, not in EU" in elsewhere["msg"] and writes(google) == []

    # Somebody else adds a column at the same time.
    def somebody_else():
        there = google.get(path)
        fields = [*there["schema"]["fields"], {"name": "more", "type": "STRING"}]
        google.put(path, {**there, "schema": {"fields": fields}, "etag": "def"})

    google.fail(r"^PATCH .*/tables/requests$", times=1, before=somebody_else)
    given = {"dataset": "benchmarks", "topic": "metrics"}
    adopted = call(**given)
    assert [action for _kind, action in actions(adopted)] == [
        "none", "created", "updated", "created", "updated", "updated", "created"
    ]  # fmt: skip
    table = google.get(path)
    assert [field["name"] for field in table["schema"]["fields"]] == [
        *(field["name"] for field in older), "more", *(column.name for column in schema.REQUESTS[19:])
    ]  # fmt: skip
    assert (table["schema"]["fields"][19], table["labels"]) == (older[19], {"a": "b"})
    revised = google.get(f"pubsub/v1/{SCHEMA}")["definition"].splitlines()
    assert revised == [*lines[:18], "  optional string team = 40; // theirs", *lines[18:]]
    topic = google.get(f"pubsub/v1/{TOPIC}")
    assert (topic["schemaSettings"], topic["labels"]) == (settings, {"a": "b"})
    assert call(**given)["changed"] is False
    # What others have made stays in any case.
    assert ("dataset", "kept") in actions(call(**given, state="absent", delete_data=True))


@pytest.mark.parametrize(
    ("path", "found", "told"),
    [
        (
            f"{DATASET}/tables/runs",
            {"schema": {"fields": [{"name": "Stage", "type": "STRING"}, {"name": "x", "type": "STRING", "mode": "REQUIRED"}]}},
            "datasets/benchmarks/tables/runs: Stage is STRING and has to be INT64, x is REQUIRED.",
        ),
        (f"{DATASET}/tables/requests", {"type": "VIEW", "schema": {"fields": []}}, "it is a view"),
        (f"pubsub/v1/{SCHEMA}", {"type": "AVRO", "definition": "{}"}, "is no Protocol Buffer"),
        (f"pubsub/v1/{SCHEMA}", {"type": "PROTOCOL_BUFFER", "definition": "string other = 1;"}, "test_id has to be string"),
        (f"pubsub/v1/{TOPIC}", {"schemaSettings": {"schema": "x", "encoding": "JSON"}}, "of the schema x as JSON"),
        (f"pubsub/v1/{SUBSCRIPTION}", {"topic": TOPIC, "pushConfig": {}}, "does not write to BigQuery"),
        (f"pubsub/v1/{SUBSCRIPTION}", {"topic": "_deleted-topic_"}, "gets messages of _deleted-topic_"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_before_anything_is_changed(call, google, path, found, told):
    google.put(DATASET, THERE)
    google.put(path, found)
    refused = call(**WHOLE)
    assert refused["error"]["kind"] == "InputError" and told in refused["msg"]
    assert writes(google) == [] and google.get(path) == found


@pytest.mark.parametrize(
    ("match", "told"),
    [
        ("GET bigquery", "roles/bigquery.dataOwner, which has bigquery.datasets.get, on the dataset projects/demo-project"),
        ("POST .*/datasets$", "roles/bigquery.dataOwner, which has bigquery.datasets.create, on the project demo-project."),
        ("PATCH .*/benchmarks$", "roles/bigquery.dataOwner, which has bigquery.datasets.setIamPolicy, on the dataset"),
        ("POST .*/tables$", "roles/bigquery.dataOwner, which has bigquery.tables.create, on the dataset benchmarks."),
        ("POST .*/schemas", "roles/pubsub.editor, which has pubsub.schemas.create, on the project demo-project."),
        ("PUT .*/topics/", "roles/pubsub.editor, which has pubsub.topics.create, on the project demo-project."),
    ],
)  # fmt: skip
def test_refusal_names_the_role_and_another_run_completes_it(call, google, match, told):
    google.fail(match, times=1, status=403, message="Access Denied.")
    refused = call(**WHOLE)
    assert refused["error"]["kind"] == "AccessError" and told in refused["msg"]
    half = in_place(google)
    # What is half there can be removed, and completed.
    removal = call(check=True, **WHOLE, state="absent", delete_data=True)
    assert [action for _kind, action in actions(removal)].count("deleted") == len(half)
    predicted = call(check=True, **WHOLE)
    assert in_place(google) == half
    assert predicted["objects"] == call(**WHOLE)["objects"] and len(in_place(google)) == 6
    google.put(f"pubsub/v1/{SUBSCRIPTION}", {"name": SUBSCRIPTION, "topic": "_deleted-topic_"})
    call(**WHOLE, state="absent", delete_data=True)
    assert in_place(google) == []


def test_answers_that_get_lost_and_grants_that_do_not_count_yet(call, google):
    for match in ("POST .*/datasets$", "POST .*/tables$", "PUT .*/topics/"):
        google.fail(match, times=1, lose_answer=True)
    early = google.fail("PUT .*/subscriptions/", times=2, status=403, message="The caller does not have permission")
    made = call(**WHOLE)
    assert {action for _kind, action in actions(made)} == {"created"} and early.struck == 2
    google.put(f"pubsub/v1/{SUBSCRIPTION}", {
        **google.get(f"pubsub/v1/{SUBSCRIPTION}"), "bigqueryConfig": {"table": "x.y.z", "state": "PERMISSION_DENIED"}
    })  # fmt: skip
    again = call(check=True, **WHOLE)
    assert actions(again)[-1] == ("subscription", "updated")
    assert f"{SUBSCRIPTION} does not write: PERMISSION_DENIED" in json.dumps(again["warnings"])
    # Nothing was granted now, so nothing is waited for.
    call(**WHOLE, state="absent")
    call(**ONLY_TABLES)
    google.put(DATASET, {**google.get(DATASET), "access": GRANTS})
    late = google.fail("PUT .*/subscriptions/", times=1, status=403, message="The caller does not have permission")
    assert "do not count yet: run again some minutes later." in call(**WHOLE)["msg"] and late.struck == 1


def test_grants_on_the_project(call, google):
    given = {**WHOLE, "grant_on": "project", "project_number": "123456789012"}
    where = f"cloudresourcemanager/v3/{PROJECT}"
    assert dict(actions(call(check=True, **given)))["grants"] == "created"
    call(**given)
    assert google.policy(where)["bindings"] == [
        {"role": role, "members": [f"serviceAccount:{AGENT}"]}
        for role in ("roles/bigquery.dataEditor", "roles/bigquery.metadataViewer")
    ]
    assert call(**given)["changed"] is False
    call(**given, state="absent", delete_data=True)
    assert google.policy(where)["bindings"] == [] and in_place(google) == []


def test_results_go_into_what_was_made(call, google, bench, storage, monkeypatch):
    monkeypatch.setattr(bigquery, "_POLL", 0.01)
    done = bench.run(slo={"e2e_p50_ms": 10_000})
    bench.report(done.place)
    made = call(**WHOLE)
    staging = {"bucket": "staging", "prefix": "loads"}
    tables = {"type": "bigquery", "dataset": made["dataset"], **staging}
    to = [{"type": "pubsub", "topic": made["topic"]}, {**tables, "requests": False}]
    endpoints = {api: google.endpoint(api) for api in ("pubsub", "bigquery")}
    sent = call(benchmark_results, results=str(bench.folder), to=to, endpoints=endpoints)
    (run,) = sent["runs"]
    # The subscription fills the table of requests, which nothing else is to do.
    assert [place["counts"] for place in run["sent"]] == [{"rows": 8}, {"rows": 0, "stages": 1}], sent
    assert run["sent"][1]["where"] == f"{made['dataset']}/tables/runs"
    assert not google.get(f"{DATASET}/tables/requests/rows")
    for check in (True, False):
        later = call(benchmark_results, check=check, results=str(bench.folder), to=[tables], endpoints=endpoints)
        assert later["runs"][0]["sent"][0]["counts"] == {"rows": 8, "stages": 0}, later
    # Each field of each message, and each value of each row, is one that was declared: the stand-in refuses others.
    messages = google.get(f"pubsub/v1/{TOPIC}/messages")["messages"]
    rows = google.get(f"{DATASET}/tables/requests/rows")["rows"]
    told = [json.loads(base64.b64decode(message["data"])) for message in messages]
    assert {message["test_id"] for message in told} == {row["run_id"] for row in rows} == {run["run_id"]}
    assert (len(told), len(rows), len(google.get(f"{DATASET}/tables/runs/rows")["rows"])) == (8, 8, 1)
    # The tables are as they were made: loading found nothing to add.
    assert call(**WHOLE)["changed"] is False
