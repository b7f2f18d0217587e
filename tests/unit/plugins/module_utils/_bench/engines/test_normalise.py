# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tools have left in real runs (recorded/, see about.json in each) is held against the log of their server."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._bench import engines
from ansible_collections.modelops.serving.plugins.module_utils._bench.errors import InputError
from ansible_collections.modelops.serving.plugins.module_utils._bench.workload import parse

RECORDED = Path(__file__).parent / "recorded"
STAGE = "stage-0-repeat-0"
#: The results of each tool, and of which it tells when each token came.
FILES = {
    "inference_perf": "per_request_lifecycle_metrics.json",
    "aiperf": "profile_export.jsonl",
    "locust": "sent.jsonl",
    "guidellm": "benchmarks.json",
}
WITH_GAPS = ["inference_perf", "aiperf", "locust"]


def load(path):
    return json.loads(path.read_text())


def workload_of(folder, **changes):
    return parse({**load(folder / "workload.json"), **changes})


def normalised(name, folder=None, **changes):
    folder = folder or RECORDED / name
    return engines.normalise(name, folder, workload_of(folder, **changes), run_id="run-1")


def truth(name):
    """What the server has logged of the requests that count, as they arrived."""
    return load(RECORDED / name / "server.json")[workload_of(RECORDED / name).warmup_requests :]


def paired(name):
    """Records and what the server has logged of them. Two that were sent at once may have arrived in another order."""
    records, _facts = normalised(name)
    mine = sorted(records, key=lambda record: (record.error, record.t_start))
    outcomes = {None: "", "429": "http", "no_tokens": "no_tokens"}
    theirs = sorted(truth(name), key=lambda entry: (outcomes[entry["fault"]], entry["arrived"]))
    return zip(mine, theirs, strict=True)


@pytest.mark.parametrize("name", FILES)
def test_every_request_is_a_record_with_the_times_of_the_server(name):
    origin = load(RECORDED / name / "steps.json")["origin"]["monotonic"]
    for record, entry in paired(name):
        # The request was on its way for a moment, and the first one made a connection.
        assert 0 < entry["arrived"] - origin - record.t_start < 0.03
        assert (record.model, record.run_id, record.prompt, record.answer) == ("local/paced-llama", "run-1", None, None)
        if entry["fault"]:
            status, error = (429, "http") if entry["fault"] == "429" else (200, "no_tokens")
            assert (record.ok, record.status, record.error, record.ttft_ms) == (False, status, error, None)
            continue
        assert (record.ok, record.status, record.error) == (True, 200, "")
        assert record.osl == len(entry["written"]) == 6
        assert record.ttft_ms == pytest.approx((record.t_first - record.t_start) * 1000, abs=0.002)
        assert -0.5 < (record.t_first - (entry["written"][0] - origin)) * 1000 < 15
        assert record.tpot_ms == pytest.approx((record.e2e_ms - record.ttft_ms) / 5, abs=0.001)


@pytest.mark.parametrize("name", WITH_GAPS)
def test_gaps_between_tokens_are_those_of_the_server(name):
    records, facts = normalised(name, keep_itl=True)
    gaps = [b - a for entry in truth(name) for a, b in zip(entry["written"], entry["written"][1:], strict=False)]
    assert sum(stage.itl.count for stage in facts) == len(gaps) == 30
    assert sum(stage.itl.total for stage in facts) == pytest.approx(1000 * sum(gaps), rel=0.05)
    for record in records:
        if record.ok:
            assert len(record.itl_ms) == 5
            assert record.itl_mean_ms == pytest.approx(sum(record.itl_ms) / 5, abs=0.001)
            assert record.itl_max_ms == record.itl_p99_ms == max(record.itl_ms)


@pytest.mark.parametrize("name", WITH_GAPS)
def test_facts_of_the_stages(name):
    records, (paced, closed) = normalised(name)
    assert (paced.kind, paced.asked, paced.sent, paced.completed) == ("rate", 4.0, 4, 3)
    assert paced.arrival == ("poisson" if name == "inference_perf" else "constant")
    assert paced.t_end - paced.t_begin == pytest.approx(1.0, abs=0.02)
    mine = [record for record in records if record.stage == 0]
    assert paced.t_begin == mine[0].t_scheduled
    assert 0 < paced.schedule_delay_p50_ms < 10
    assert paced.schedule_delay_p99_ms == pytest.approx(max(record.schedule_delay_ms for record in mine), rel=0.02)
    assert (closed.kind, closed.arrival, closed.sent) == ("concurrency", "closed", 4)
    # It sends what there is over a second, and four requests are too few to fill its two places.
    assert closed.in_flight_max == (1 if name == "inference_perf" else 2)
    assert closed.schedule_delay_p99_ms == 0
    # Two samples of a second and a half: hardly anything was to do.
    assert 0 <= paced.generator_cpu < 0.5


def test_tokens_are_those_of_the_server_where_the_tool_tells():
    for name in WITH_GAPS:
        records, _facts = normalised(name)
        assert [record.osl_server for record in records if record.ok] == [6] * 6
        assert all(record.isl for record in records if record.ok)
    # guidellm counts itself where the server tells nothing, and does not say so.
    assert {record.osl_server for record in normalised("guidellm")[0]} == {None}


def test_the_count_of_the_server_goes_before_that_of_the_chunks(tmp_path):
    folder = shutil.copytree(RECORDED / "inference_perf", tmp_path / "inference_perf")
    path = folder / STAGE / FILES["inference_perf"]
    path.write_text(path.read_text().replace('"completion_tokens": 6', '"completion_tokens": 12'))
    record = normalised("inference_perf", folder)[0][0]
    assert (record.osl, record.osl_server) == (12, 12)
    assert record.tpot_ms == pytest.approx((record.e2e_ms - record.ttft_ms) / 11, abs=0.001)


def test_an_internal_server_error_is_no_exception_of_aiperf(tmp_path):
    folder = shutil.copytree(RECORDED / "aiperf", tmp_path / "aiperf")
    path = folder / STAGE / FILES["aiperf"]
    path.write_text(path.read_text().replace('429,"type":"Too Many Requests"', '500,"type":"Internal Server Error"'))
    (record,) = [record for record in normalised("aiperf", folder)[0] if record.stage == 0 and record.status == 500]
    assert (record.error, record.message) == ("http", "Slow down.")


def test_guidellm_tells_no_gaps_but_that_it_was_late():
    _records, (facts,) = normalised("guidellm")
    assert facts.itl.count == 0
    assert 29 < facts.schedule_delay_p50_ms < 38


@pytest.mark.parametrize("name", FILES)
def test_no_text_is_in_the_recordings(name):
    texts = "".join(path.read_text() for path in (RECORDED / name).rglob("*") if path.is_file())
    assert " token token" not in texts
    assert '"prompt":' not in texts


# Made by hand after vllm/benchmarks/serve.py (the dict ``result`` of benchmark()) and the errors that
# lib/endpoint_request_func.py puts into RequestFuncOutput: the tool is several gigabytes large.
VLLM = {
    "start_times": [100.25, 100.0, 100.5, 100.75],
    "latencies": [0.08, 0.1, 0.0, 0.0],
    "queue_times": [0.02, 0.0, 0.0, 0.0],
    "ttfts": [0.05, 0.05, 0.0, 0.0],
    "itls": [[0.01, 0.02], [0.02, 0.03], [], []],
    "input_lens": [16, 16, 16, 16],
    "output_lens": [3, 3, 0, 0],
    "errors": [
        "",
        "",
        "Too Many Requests",
        'Traceback (most recent call last):\n  File "a.py", line 1, in f\n    g()\nasyncio.TimeoutError: of it\n',
    ],
}


@pytest.fixture
def vllm(tmp_path):
    shutil.copy(RECORDED / "locust" / "workload.json", tmp_path)
    cpu = [[100.0, 1.0], [100.5, 1.25], [101.0, 1.5]]
    steps = {
        "origin": {"monotonic": 90.0, "time": 5.0},
        "cores": 2,
        "steps": [{"name": STAGE, "status": 0, "cpu": cpu}],
    }
    (tmp_path / "steps.json").write_text(json.dumps(steps))
    (tmp_path / STAGE).mkdir()
    (tmp_path / STAGE / "result.json").write_text(json.dumps(VLLM))
    return tmp_path


def test_vllm_bench(vllm):
    (first, second, third, fourth), (facts,) = normalised("vllm_bench", vllm)
    assert (first.t_start, first.t_first, first.t_end, first.ttft_ms) == (10.0, 10.05, 10.1, 50.0)
    assert (first.tpot_ms, first.itl_mean_ms, first.itl_max_ms, first.e2e_ms) == (25.0, 25.0, 30.0, 100.0)
    assert (second.t_scheduled, second.schedule_delay_ms) == (10.23, 20.0)
    assert (third.status, third.error, third.message, third.ttft_ms) == (429, "http", "Too Many Requests", None)
    assert (fourth.status, fourth.error, fourth.message) == (None, "timeout", "TimeoutError")
    assert (facts.sent, facts.completed, facts.itl.count) == (4, 2, 4)
    # One process sends everything, whatever the number of cores.
    assert facts.generator_cpu == 0.5


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_names_the_next_step(name, tmp_path):
    folder = shutil.copytree(RECORDED / name, tmp_path / name)
    (folder / STAGE / FILES[name]).unlink()
    with pytest.raises(InputError, match=rf"{name} has left no {FILES[name]} in .*look at its log"):
        normalised(name, folder)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", ["{", '[{"a": 1}]', '{"a": 1}\n', '"text"', "5"])
def test_what_another_version_writes_is_one_clear_error(name, content, tmp_path):
    folder = shutil.copytree(RECORDED / name, tmp_path / name)
    (folder / STAGE / FILES[name]).write_text(content)
    with pytest.raises(InputError, match=r"is not what .* leaves behind|is no JSON"):
        normalised(name, folder)


def test_what_a_run_that_was_cut_off_has_left(tmp_path):
    folder = shutil.copytree(RECORDED / "locust", tmp_path / "locust")
    told = load(folder / "steps.json")
    told["steps"] = [step for step in told["steps"] if step["name"] in {"warmup", STAGE}]
    (folder / "steps.json").write_text(json.dumps(told))
    records, facts = normalised("locust", folder)
    assert ({record.stage for record in records}, len(facts)) == ({0}, 1)
    told["steps"][-1]["status"] = 137
    (folder / "steps.json").write_text(json.dumps(told))
    with pytest.raises(InputError, match=f"has measured nothing: {STAGE} ended with status 137"):
        normalised("locust", folder)
    (folder / "steps.json").write_text('{"steps": []}')
    with pytest.raises(InputError, match="it has no 'origin'"):
        normalised("locust", folder)


def test_a_tool_that_has_sent_nothing(tmp_path):
    folder = shutil.copytree(RECORDED / "locust", tmp_path / "locust")
    (folder / STAGE / "sent.jsonl").write_text("")
    with pytest.raises(InputError, match="has sent nothing in stage-0-repeat-0"):
        normalised("locust", folder)
