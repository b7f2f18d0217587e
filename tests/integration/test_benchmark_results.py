# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module benchmark_results: object storage of SeaweedFS, and the stand-in for Google Cloud.

Folders of runs are written as an engine writes them, with reports made of them. What the stand-in cannot show: that
BigQuery reads a file of rows as it does, and how long a job takes. fake-gcs-server holds the files in between.
"""

from __future__ import annotations

import base64
import collections
import contextlib
import json
import os
import shutil
import subprocess
import time

import pytest
from ansible.module_utils.testing import patch_module_args
from bench_runs import _token_server, bench
from fake_gcs import ask, storage
from token_server import MODEL

from ansible_collections.modelops.serving.plugins.module_utils._bench import records, results, stages
from ansible_collections.modelops.serving.plugins.module_utils._bench import workload as workloads
from ansible_collections.modelops.serving.plugins.module_utils._bench.records import Record
from ansible_collections.modelops.serving.plugins.module_utils._bench.sinks import schema
from ansible_collections.modelops.serving.plugins.module_utils._bench.stages import StageFacts
from ansible_collections.modelops.serving.plugins.module_utils._sinks import bigquery, pubsub
from ansible_collections.modelops.serving.plugins.modules import benchmark_results

__all__ = ["_token_server", "bench", "storage"]

MODULE = "modelops.serving.benchmark_results"
TOPIC = "projects/demo-project/topics/metrics"
DATASET = "bigquery/bigquery/v2/projects/demo-project/datasets/benchmarks"


def make_run(folder, run_id, count, *, reported=True, minute=0):
    """A run of one stage whose requests carry their prompts."""
    place = folder / run_id
    place.mkdir(parents=True)
    load = {
        "endpoint": "http://server:8000",
        "protocol": "openai_completions",
        "model": MODEL,
        "data": {"type": "synthetic", "input_tokens": 12, "output_tokens": 8},
        "stages": [{"rate": 10, "duration": 10}],
        "slo": {"e2e_p50_ms": 1000},
    }
    (place / "workload.json").write_text(json.dumps(workloads.parse(load).as_data()))
    told = {"engine": "builtin", "host": "here", "started_at": f"2026-11-21T10:{minute:02}:00.000+00:00"}
    (place / "environment.json").write_text(json.dumps(told))
    with records.Writer(place / records.FILE) as writer:
        for seq in range(count):
            at = seq / 10
            writer.write(
                Record(
                    run_id, 0, 0, seq, at, at, at + 0.2, isl=12, osl=8, e2e_ms=200.0, ttft_ms=20.0, tpot_ms=5.0,
                    ok=True, status=200, model=MODEL, prompt="a secret of ours",
                )
            )  # fmt: skip
    if reported:
        facts = StageFacts(
            0, 0, "rate", 10.0, "constant", 0.0, count / 10, sent=count, completed=count, in_flight_max=2
        )
        stages.write(place / stages.FILE, [facts])
        results.report(place)
    return place


def sent(place):
    return json.loads((place / "sent.json").read_text())["sent"]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "results"


@pytest.fixture
def call(google, folder, capsys, monkeypatch):
    """Calls the module for these places, and returns its result."""
    for name, value in google.environment.items():
        if name.startswith("GCP_"):
            monkeypatch.setenv(name, value)

    def run(*to, check=False, **options):
        endpoints = {api: google.endpoint(api) for api in ("pubsub", "bigquery")}
        given = {"results": str(folder), "to": list(to), "attempts": 1, "endpoints": endpoints, **options}
        with patch_module_args({**given, "_ansible_check_mode": check}), contextlib.suppress(SystemExit):
            benchmark_results.main()
        return json.loads(capsys.readouterr().out)

    return run


def counts(result):
    return [place["counts"] for run in result["runs"] for place in run["sent"]]


# Object storage, and what all places have in common


@pytest.fixture
def s3(seaweedfs, proxy):
    return {
        "type": "s3",
        "bucket": "faults",
        "prefix": "benchmarks",
        "endpoint_url": proxy.url,
        "access_key": seaweedfs.access_key,
        "secret_key": seaweedfs.secret_key,
    }


def test_plays(playbooks, google, s3, folder, tmp_path):
    for run_id in ("one", "two"):
        make_run(folder, run_id, 30)
    make_run(folder, "cut", 7, reported=False)
    google.put(f"pubsub/v1/{TOPIC}", {"name": TOPIC})
    copies = tmp_path / "copies"
    copies.mkdir()
    places = [s3, {"type": "local", "path": str(copies)}, {"type": "index"}, {"type": "pubsub", "topic": "metrics"}]
    task = {MODULE: {"results": str(folder), "to": places}}
    environment = {**google.environment, "GCP_PUBSUB_ENDPOINT": google.endpoint("pubsub")}
    run = playbooks.tasks([{**task, "check_mode": True}, task] * 2, env=environment).ok()
    assert [result["changed"] for result in run.results] == [True, True, False, False]
    predicted, first, _again, second = run.results
    files = {"requests.jsonl", "stages.json", "workload.json", "environment.json"} | {
        "summary.json", "report.json", "junit.xml", "index.html"
    }  # fmt: skip
    assert counts(predicted) == counts(first) == [{"files": 8}, {"files": 8}, {"stages": 1}, {"rows": 30}] * 2
    assert counts(second) == [{"files": 0}, {"files": 0}, {"stages": 0}, {"rows": 0}] * 2
    assert first["left_out"] == ["cut"] and "left out, since they may go on: cut" in run.output
    assert len(messages(google)) == 60
    for run_id in ("one", "two"):
        there = {path.name: path.read_bytes() for path in (copies / run_id).iterdir()}
        assert there == {name: (folder / run_id / name).read_bytes() for name in files}
        assert set(sent(folder / run_id)) == {
            f"{s3['endpoint_url']} s3://faults/benchmarks/{run_id}/",
            f"file://{copies}/{run_id}/",
            TOPIC,
        }


def puts(proxy):
    """Names of the files that were written, in their order."""
    found = [
        request.path.rpartition("/")[2] for request in proxy.passed if (request.method, request.status) == ("PUT", 200)
    ]
    return [name for name in found if "probe" not in name]


def test_folder_in_a_bucket_is_whole_when_its_summary_is_there(call, s3, folder, proxy):
    place, s3["prefix"] = make_run(folder, "one", 30), "whole"
    files = sorted(path.name for path in place.iterdir() if path.name != "summary.json")
    refusal = proxy.add("/stages.json", method="PUT", times=1, status=403, error="AccessDenied")
    assert call(s3, check=True)["changed"] is True and proxy.writes() == []
    failed = call(s3)
    assert failed["failed"] and failed["error"]["kind"] == "AccessError" and "stages.json" in failed["msg"]
    assert refusal.struck == 1 and puts(proxy) == files[: files.index("stages.json")]
    # The next try goes on behind what is there.
    proxy.passed.clear()
    assert counts(call(s3)) == [{"files": 3}]
    assert puts(proxy) == ["stages.json", "workload.json", "summary.json"]
    # A report made anew: the summary goes before anything else changes, and comes back last.
    proxy.passed.clear()
    results.report(place, about={"name": "release"})
    told = counts(call(s3, check=True))
    assert proxy.writes() == [] and counts(call(s3)) == told
    changed = ["report.json", "summary.json"]
    written = [(request.method, request.path.rpartition("/")[2]) for request in proxy.writes()]
    whole = [pair for pair in written if pair[1] in files or pair[1] == "summary.json"]
    assert whole == [("DELETE", "summary.json"), *(("PUT", name) for name in changed)]


def test_note_of_what_was_sent_is_no_more_than_that(call, folder, tmp_path):
    place, copy = make_run(folder, "one", 3), tmp_path / "one"
    to = {"type": "local", "path": str(tmp_path)}
    assert [counts(call(to)), counts(call(to))] == [[{"files": 8}], [{"files": 0}]]
    # Removed there by somebody.
    (copy / "junit.xml").unlink()
    assert counts(call(to)) == [{"files": 2}] and (copy / "junit.xml").exists()
    (copy / "report.json").write_text("[]")
    assert counts(call(to)) == [{"files": 2}] and (copy / "report.json").read_text() != "[]"
    (place / "sent.json").write_text('{"sent": 1}')
    assert "does not tell what was sent" in call(to)["msg"]
    (place / "sent.json").unlink()
    assert counts(call(to)) == [{"files": 8}]


def test_parquet_has_every_request_and_goes_with_the_folder(call, folder, tmp_path):
    duckdb = pytest.importorskip("duckdb", reason="Parquet is only written where duckdb is installed")
    place = make_run(folder, "it's one", 50)
    make_run(folder, "two", 30)
    to = [{"type": "parquet"}, {"type": "local", "path": str(tmp_path)}]
    # What is not there yet cannot be among the files of a prediction.
    assert counts(call(*to, check=True)) == [{"rows": 50}, {"files": 8}, {"rows": 30}, {"files": 8}]
    assert not (place / "requests.parquet").exists() and not (folder / "results.duckdb").exists()
    assert counts(call(*to)) == [{"rows": 50}, {"files": 9}, {"rows": 30}, {"files": 9}]
    assert call(*to)["changed"] is call(*to, check=True)["changed"] is False
    assert not [path for path in place.iterdir() if path.name.startswith(".")]
    with duckdb.connect(str(folder / "results.duckdb"), read_only=True) as base:
        asked = "SELECT run_id, count(*), avg(ttft_ms), max(start_time)::VARCHAR, count(request) FROM requests"
        assert base.execute(f"{asked} GROUP BY 1 ORDER BY 1").fetchall() == [
            ("it's one", 50, 20.0, "2026-11-21 10:00:04", 0),
            ("two", 30, 20.0, "2026-11-21 10:00:02", 0),
        ]
        columns = [name for name, *_more in base.execute("DESCRIBE requests").fetchall()]
    assert columns == [column.name for column in schema.REQUESTS]


# Pub/Sub


@pytest.fixture
def topic(google):
    google.put(f"pubsub/v1/{TOPIC}", {"name": TOPIC})
    return {"type": "pubsub", "topic": TOPIC}


def messages(google):
    return (google.get(f"pubsub/v1/{TOPIC}/messages") or {"messages": []})["messages"]


def test_every_request_is_published_once_though_a_try_is_killed(call, google, topic, folder, monkeypatch):
    place = make_run(folder, "one", 50)
    cut = make_run(folder, "cut", 10, reported=False)
    with (cut / records.FILE).open("a") as stream:
        stream.write('{"run_id": "cu')  # what a kill leaves behind
    monkeypatch.setattr(pubsub, "_MESSAGES", 8)
    assert counts(call(topic, check=True)) == [{"rows": 50}]
    google.fail(r"POST .*:publish", after=3, times=1, status=503, message="The service is unavailable.")
    failed = call(topic)
    assert failed["failed"] and failed["error"]["kind"] == "TransientError" and counts(failed) == [{}]
    assert len(messages(google)) == sent(place)[TOPIC]["rows"] == 24
    assert counts(call(topic, check=True)) == [{"rows": 26}]
    assert counts(call(topic)) == [{"rows": 26}]
    assert call(topic)["changed"] is False
    # A run that was killed, when it is asked for by its name: what had ended by then.
    killed = call(topic, run_id="cut")
    assert counts(killed) == [{"rows": 10}] and "not whole" in json.dumps(killed["warnings"])
    found = collections.Counter(
        (message["attributes"]["run_id"], int(message["attributes"]["row"])) for message in messages(google)
    )
    assert found == {(run_id, row): 1 for run_id, count in (("one", 50), ("cut", 10)) for row in range(count)}
    text = b"".join(base64.b64decode(message["data"]) for message in messages(google))
    assert b"a secret of ours" not in text and text.count(b'"test_id":"one"') == 50


def test_benchmark_that_is_killed_gives_as_many_rows_as_it_left(call, google, topic, bench):
    process = bench.start("--run-id", "cut", "--no-preflight", stages=[{"concurrency": 8, "requests": 100_000}])
    left = bench.folder / "cut" / records.FILE
    while not left.exists() or left.read_bytes().count(b"\n") < 20:
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.communicate()
    requests = left.read_bytes().count(b"\n")
    options = {"results": str(bench.folder), "run_id": "cut"}
    assert counts(call(topic, check=True, **options)) == counts(call(topic, **options)) == [{"rows": requests}]
    assert len(messages(google)) == requests
    assert call(topic, **options)["changed"] is False


def test_topic_gets_the_fields_that_its_schema_knows(call, google, topic, folder):
    make_run(folder, "one", 3)
    definition = schema.proto()
    older = "".join(
        line for line in definition.splitlines(keepends=True) if "= 1;" in line or "= 9;" in line or "{" in line
    )
    name = "projects/demo-project/schemas/metrics"
    google.put(f"pubsub/v1/{name}", {"name": name, "type": "PROTOCOL_BUFFER", "definition": older + "}"})
    google.put(f"pubsub/v1/{TOPIC}", {"name": TOPIC, "schemaSettings": {"schema": name, "encoding": "JSON"}})
    assert call({**topic, "text": True})["changed"] is True
    assert [json.loads(base64.b64decode(message["data"])) for message in messages(google)] == [{"test_id": "one"}] * 3
    google.put(f"pubsub/v1/{name}", {"name": name, "type": "PROTOCOL_BUFFER", "definition": definition})
    make_run(folder, "two", 1)
    assert call({**topic, "text": True})["changed"] is True
    last = json.loads(base64.b64decode(messages(google)[-1]["data"]))
    assert json.loads(last["request"]) == {"prompt": "a secret of ours"} and last["run_id"] == "two"
    google.put(f"pubsub/v1/{TOPIC}", {"name": TOPIC, "schemaSettings": {"schema": name, "encoding": "BINARY"}})
    assert "wants binary messages" in call(topic)["msg"]


@pytest.mark.parametrize(
    ("match", "told"),
    [
        ("GET pubsub", f"roles/pubsub.viewer, which has pubsub.topics.get, on the topic {TOPIC}."),
        ("POST pubsub", f"roles/pubsub.publisher, which has pubsub.topics.publish, on the topic {TOPIC}."),
    ],
)
def test_refusal_of_pubsub_names_the_role(call, google, topic, folder, match, told):
    place = make_run(folder, "one", 3)
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    google.fail(match, status=403, message="User not authorized to perform this action.")
    failed = call({"type": "index"}, topic)
    assert failed["msg"].endswith(told) and failed["error"]["kind"] == "AccessError"
    # Other places got theirs, and the run is what it was.
    assert counts(failed) == [{"stages": 1}, {}] and messages(google) == []
    assert before.items() <= {path.name: path.read_bytes() for path in place.iterdir()}.items()


# BigQuery


@pytest.fixture
def tables(google, storage, monkeypatch):
    google.put(DATASET, {"id": "demo-project:benchmarks", "location": "EU"})
    monkeypatch.setattr(bigquery, "_POLL", 0.01)
    monkeypatch.setattr(bigquery, "_ROWS", 20)
    return {"type": "bigquery", "dataset": "benchmarks", "bucket": "staging", "prefix": "loads"}


def loaded(google, table):
    return (google.get(f"{DATASET}/tables/{table}/rows") or {"rows": []})["rows"]


def jobs(google):
    return [request for request in google.requests if request.method == "POST" and request.path.endswith("/jobs")]


def test_every_request_and_stage_is_loaded_once(call, google, tables, folder, storage):
    place = make_run(folder, "one", 50)
    # A table with the first 19 columns, as there are.
    older = schema.bigquery(schema.REQUESTS[:19])
    google.put(f"{DATASET}/tables/metrics", {"schema": {"fields": older}})
    tables["table"] = "metrics"
    assert counts(call(tables, check=True)) == [{"rows": 50, "stages": 1}] and not (place / "sent.json").exists()
    assert [request for request in google.requests if request.writes] == []
    google.fail(r"POST bigquery/.*/jobs$", times=1, lose_answer=True)
    assert call(tables)["error"]["kind"] == "TransientError"
    # It was carried out, which its id tells.
    assert counts(call(tables)) == [{"rows": 0, "stages": 1}]
    assert call(tables)["changed"] is False
    (place / "sent.json").unlink()
    assert counts(call(tables, check=True)) == counts(call(tables)) == [{"rows": 0, "stages": 0}]
    assert len(jobs(google)) == 2
    rows, (stage,) = loaded(google, "metrics"), loaded(google, "runs")
    assert [row["attributes"] for row in rows] == [{"run_id": "one", "row": str(number)} for number in range(50)]
    assert "request" not in rows[0] and rows[0]["slo_met"] is True
    assert (stage["run_id"], stage["verdict"], stage["report"]["version"]) == ("one", "passed", "0.2.1")
    assert google.get(f"{DATASET}/tables/metrics")["schema"]["fields"] == schema.bigquery(schema.REQUESTS)
    assert google.get(f"{DATASET}/tables/runs")["clustering"] == {"fields": ["run_id"]}
    configuration = jobs(google)[0].body["configuration"]["load"]
    assert [uri.rpartition("/")[2] for uri in configuration["sourceUris"]] == ["0.jsonl.gz", "1.jsonl.gz", "2.jsonl.gz"]
    assert jobs(google)[0].body["jobReference"]["location"] == "EU"
    assert ask(f"{storage}/storage/v1/b/staging/o").get("items", []) == []  # nothing is left over
    # Another run under the same id, as the next build of a release makes one.
    shutil.rmtree(place)
    make_run(folder, "one", 20, minute=30)
    google.fail(r"POST bigquery/.*/jobs$", times=1, lose_answer=True)
    assert counts(call(tables, attempts=2)) == [{"rows": 20, "stages": 1}]
    assert len(loaded(google, "metrics")) == 70


def test_job_that_fails_loads_nothing_and_can_be_tried_again(call, google, tables, folder):
    place = make_run(folder, "one", 5)
    wrong = [{"name": "run_id", "type": "INT64"}]
    google.put(f"{DATASET}/tables/requests", {"schema": {"fields": wrong}})
    failed = call(tables)
    assert "Provided Schema does not match Table. A field has changed type." in failed["msg"]
    assert "Nothing of it was loaded." in failed["msg"] and loaded(google, "requests") == []
    assert not (place / "sent.json").exists()
    google.put(f"{DATASET}/tables/requests", {"schema": {"fields": []}})
    assert counts(call(tables)) == [{"rows": 5, "stages": 1}]
    assert len(loaded(google, "requests")) == 5
    google.put(DATASET, {"id": "demo-project:benchmarks", "location": "EU"})
    make_run(folder, "two", 5)
    google.fail(r"POST bigquery/.*/jobs$", times=1, status=403, message="Access Denied: Project demo-project.")
    told = "roles/bigquery.jobUser, which has bigquery.jobs.create, on the project demo-project."
    assert call(tables)["msg"].endswith(told)
    google.fail("GET bigquery", times=2, status=403, message="Access Denied: Dataset demo-project:benchmarks")
    assert "roles/bigquery.dataEditor" in call(tables)["msg"]
    assert "Not found: Dataset" in call({**tables, "dataset": "other"}, run_id="two")["msg"]


# Bad input


@pytest.mark.parametrize(
    ("to", "options", "told"),
    [
        ({"type": "index", "topic": "metrics"}, {}, "A place of type index does not know topic."),
        ({"type": "pubsub", "topic": "metrics", "bucket": "b"}, {}, "A place of type pubsub does not know bucket."),
        ({"type": "parquet", "topic": "metrics"}, {}, "A place of type parquet does not know topic."),
        ({"type": "s3", "bucket": "b", "text": True}, {}, "A place of type s3 does not know text."),
        (
            {"type": "pubsub", "topic": "metrics", "requests": False},
            {},
            "A place of type pubsub does not know requests.",
        ),
        ({"type": "local", "path": "/tmp", "region": "r"}, {}, "Destination local does not know region."),
        ({"type": "pubsub", "topic": "a/b"}, {}, "is not the full name of a topic"),
        ({"type": "index"}, {"run_id": "none"}, "There is no run 'none'"),
        ({"type": "index"}, {"results": "/nowhere"}, "There is no folder of results /nowhere."),
        ({"type": "index"}, {"run_id": "cut"}, "has no report"),
    ],
)
def test_bad_input(call, folder, to, options, told):
    make_run(folder, "cut", 1, reported=False)
    result = call(to, **options)
    assert result["failed"] and told in result["msg"]


def test_a_run_is_not_sent_onto_itself_nor_by_two_at_once(call, google, topic, folder):
    place = make_run(folder, "one", 1)
    assert "cannot be copied onto itself" in call({"type": "local", "path": str(folder)})["msg"]
    seen = []
    google.fail("POST pubsub", times=1, status=503, before=lambda: seen.append(busy(place)))
    call(topic)
    assert seen == [True]


def busy(place):
    """Whether another process holds the run."""
    return subprocess.run(["flock", "--nonblock", os.fspath(place), "true"], check=False).returncode != 0
