# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From what an engine leaves in the folder of a run to the reports beside it."""

from __future__ import annotations

import json
import stat

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._bench import records, results, stages
from ansible_collections.modelops.serving.plugins.module_utils._bench.errors import InputError, StorageError
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._bench.runs import (
    a_record,
    a_workload,
    some_facts,
)


def a_folder(place, *, finished=True):
    load = a_workload(slo={"ttft_p50_ms": 150})
    place.mkdir(parents=True)
    (place / "workload.json").write_text(json.dumps(load.as_data()))
    environment = {
        "engine": "builtin",
        "started_at": "2026-11-21T10:00:00.000+00:00",
        "cores": 2,
        "clock": {"name": "c"},
    }
    (place / "environment.json").write_text(json.dumps(environment))
    with records.Writer(place / records.FILE) as writer:
        for seq in range(100):
            writer.write(a_record(seq))
    if finished:
        stages.write(place / stages.FILE, [some_facts()])
    return place


def test_a_run_gets_its_reports(tmp_path):
    place = a_folder(tmp_path / "run-1")
    (place / "server.jsonl").write_text('{"t": 1.0, "running": 2, "waiting": 1}\n{"t": 2')
    summary = results.report(place, about={"name": "release"})
    assert (summary["run_id"], summary["name"], summary["verdict"]) == ("run-1", "release", "passed")
    assert results.summaries(tmp_path) == [json.loads(json.dumps(summary))]
    assert [report["run"]["description"] for report in json.loads((place / "report.json").read_text())] == [
        "org/model [release]"
    ]
    assert 'name="ttft_p50_ms"' in (place / "junit.xml").read_text()
    html = (place / "index.html").read_text()
    assert html.startswith("<!") and "org/model" in html
    for name in ("summary.json", "report.json", "junit.xml", "index.html"):
        assert stat.S_IMODE((place / name).stat().st_mode) == 0o600
    assert not list(place.glob(".*"))


def test_the_report_names_the_pods_and_their_nodes(tmp_path):
    place = a_folder(tmp_path / "run-1")
    told = json.loads((place / "environment.json").read_text())
    pods = [{"client_pod": "bench-0-x", "client_node": "node-a"}, {"client_pod": "bench-1-y", "client_node": "node-a"}]
    more = {"shards": pods, "client_image": "image@sha256:1", "cluster": "east", "namespace": "load"}
    (place / "environment.json").write_text(json.dumps({**told, **more}))
    results.report(place)
    html = (place / "index.html").read_text()
    for label, value in (
        ("Host", "bench-0-x, bench-1-y"),
        ("Node", "node-a"),
        ("Image of the client", "image@sha256:1"),
        ("Namespace", "load"),
        ("Cluster", "east"),
    ):
        assert f"<dt>{label}</dt><dd>{value}</dd>" in html


def test_a_later_run_is_compared_with_an_earlier_one(tmp_path):
    results.report(a_folder(tmp_path / "run-1"))
    place = a_folder(tmp_path / "run-2")
    results.report(place, earlier=results.summaries(tmp_path))
    assert "run-1" in (place / "index.html").read_text()
    with pytest.raises(InputError, match="no run 'other' to compare with"):
        results.report(place, earlier=results.summaries(tmp_path), baseline="other")


def test_a_killed_run_is_reported_as_far_as_it_goes_and_passes_nothing(tmp_path):
    place = a_folder(tmp_path / "run-1", finished=False)
    path = place / records.FILE
    path.write_bytes(path.read_bytes()[:-10])
    told: list[str] = []
    summary = results.report(place, warn=told.append)
    assert summary["stages"][0]["sent"] == 99
    assert (summary["stopped"], summary["verdict"]) == (True, "inconclusive")
    assert summary["stages"][0]["reasons"] == ["The stage was cut off before its end."]
    assert len(told) == 1


def a_search(place, *ttfts, repeats=1):
    """Stages of 5, 10, 20, ... requests per second that were tried with this TTFT, in the order of a search."""
    candidates = [{"rate": 5 * 2**stage, "requests": 100} for stage in range(7)]
    load = a_workload(slo={"ttft_p50_ms": 150}, stages=candidates, search=True, repeats=repeats)
    place.mkdir(parents=True)
    (place / "workload.json").write_text(json.dumps(load.as_data()))
    facts = []
    with records.Writer(place / records.FILE) as writer:
        for turn, (stage, ttft) in enumerate(ttfts):
            rate, begin = 5.0 * 2**stage, 100.0 * turn
            for seq in range(100):
                writer.write(a_record(seq, stage=stage, ttft_ms=ttft, t_start=begin + seq / rate))
            facts.append(some_facts(stage=stage, asked=rate, t_begin=begin, t_end=begin + 100 / rate))
    stages.write(place / stages.FILE, facts)
    return place


def test_a_search_is_judged_by_what_it_has_found(tmp_path):
    place = a_search(tmp_path / "run-1", (3, 100.0), (5, 900.0), (4, 100.0))
    summary = results.report(place)
    found = summary["search"]
    assert (found["highest"], found["asked"], found["kind"], found["candidates"]) == (4, 80.0, "rate", 7)
    verdicts = [(probe["stage"], probe["asked"], probe["verdict"]) for probe in found["probes"]]
    assert verdicts == [(3, 40.0, "passed"), (5, 160.0, "failed"), (4, 80.0, "passed")]
    assert (summary["verdict"], summary["stopped"], len(summary["stages"])) == ("passed", False, 3)
    junit = (place / "junit.xml").read_text()
    assert 'tests="2" failures="0" errors="0"' in junit and 'classname="stage 4"' in junit
    html = (place / "index.html").read_text()
    assert (
        "7 loads were searched through. The highest that met every SLO is 80 req/s. "
        "Tried: 40 req/s passed, 160 req/s failed, 80 req/s passed."
    ) in html
    assert "80 req/s (highest good)" in html and "40 req/s (highest good)" not in html
    assert "At 80 req/s" in html


def test_a_search_that_finds_nothing_has_failed(tmp_path):
    place = a_search(tmp_path / "run-1", (3, 900.0), (1, 900.0), (0, 900.0))
    summary = results.report(place)
    assert (summary["search"]["highest"], summary["verdict"], summary["stopped"]) == (None, "failed", False)
    junit = (place / "junit.xml").read_text()
    assert 'tests="2" failures="1"' in junit and 'classname="stage 0"' in junit
    assert (
        "None met every SLO. Tried: 40 req/s failed, 10 req/s failed, 5 req/s failed."
        in (place / "index.html").read_text()
    )


def test_a_search_that_was_cut_off_has_decided_nothing(tmp_path):
    place = a_search(tmp_path / "run-1", (3, 100.0), (5, 900.0))
    summary = results.report(place)
    assert (summary["search"]["highest"], summary["verdict"], summary["stopped"]) == (3, None, True)
    # In its last stage.
    stages.write(place / stages.FILE, stages.read(place / stages.FILE)[:1])
    summary = results.report(place)
    assert [probe["stage"] for probe in summary["search"]["probes"]] == [3]
    assert (summary["verdict"], summary["stopped"]) == ("inconclusive", True)
    # A stage without all its repeats is not through either.
    summary = results.report(a_search(tmp_path / "run-2", (3, 100.0), repeats=2))
    assert (summary["search"]["highest"], summary["search"]["probes"], summary["stopped"]) == (None, [], True)


def test_what_is_no_folder_of_a_run_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"workload\.json cannot be read"):
        results.report(tmp_path)
    place = a_folder(tmp_path / "empty", finished=False)
    (place / records.FILE).write_text("")
    with pytest.raises(InputError, match="has no requests"):
        results.report(place)


@pytest.mark.parametrize(
    ("name", "content"), [("environment.json", "{"), ("environment.json", "[]"), ("server.jsonl", "x\n")]
)
def test_a_file_that_is_not_what_it_should_be_is_named(tmp_path, name, content):
    place = a_folder(tmp_path / "run-1")
    (place / name).write_text(content)
    with pytest.raises(InputError, match=name):
        results.report(place)


def test_a_report_that_cannot_be_written_is_a_storage_error(tmp_path):
    place = a_folder(tmp_path / "run-1")
    (place / "summary.json").mkdir()
    with pytest.raises(StorageError, match=r"summary.json in the results folder .*: Is a directory"):
        results.report(place)
    assert not list(place.glob(".*"))
