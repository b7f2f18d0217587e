# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""inference_benchmark_info on a folder of results, with summaries that our own code makes."""

from __future__ import annotations

import contextlib
import json

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.modelops.serving.plugins.modules import inference_benchmark_info
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._bench.runs import a_judged_run


@pytest.fixture
def look(tmp_path, capsys):
    """Calls the module on a folder with three runs, of which the last one is slower."""
    for number, (run_id, slower) in enumerate((("one", 0.0), ("two", 0.0), ("three", 50.0))):
        summary = a_judged_run(run_id, slower=slower)[0]
        (tmp_path / run_id).mkdir()
        told = {**summary, "name": f"v{number}", "started_at": f"2026-11-2{number}T00:00:00+00:00"}
        (tmp_path / run_id / "summary.json").write_text(
            json.dumps(told | {"verdict": "failed" if slower else "passed"})
        )

    def call(**options):
        with patch_module_args({"results": str(tmp_path), **options}), contextlib.suppress(SystemExit):
            inference_benchmark_info.main()
        return json.loads(capsys.readouterr().out)

    return call


def test_runs(look, tmp_path):
    found = look()
    assert [run["run_id"] for run in found["runs"]] == ["three", "two", "one"]
    run = found["runs"][0]
    assert (run["verdict"], run["model"], run["name"]) == ("failed", "org/model", "v2")
    assert run["report"] == str(tmp_path / "three" / "index.html")
    assert run["stages"][0]["latency"]["ttft"]["p50"] == 151
    assert "repeats" not in run["stages"][0]
    assert look(results=str(tmp_path / "none"))["runs"] == []


def test_two_runs(look):
    found = look(run="v2", baseline="last_good")
    assert [run["run_id"] for run in found["runs"]] == ["three"]
    assert found["comparison"]["baseline"] == "two"
    verdicts = {delta["metric"]: delta["verdict"] for delta in found["comparison"]["deltas"]}
    assert (verdicts["ttft_p50_ms"], verdicts["error_rate"]) == ("worse", "same")


def test_what_cannot_be(look, tmp_path):
    assert look(run="none")["error"]["kind"] == "InputError"
    assert "run" in look(baseline="one")["msg"]
    (tmp_path / "one" / "summary.json").write_text("{")
    assert "is no JSON" in look()["msg"]


def test_a_sweep(look):
    found = look(sweep=["v2", "v0", "none"])
    assert [run["run_id"] for run in found["runs"]] == ["three", "one"]
    assert [one["name"] for one in found["sweep"]["combinations"]] == ["v2", "v0"]
    assert look(sweep=["none"])["sweep"]["points"] == []
    assert "mutually exclusive" in look(sweep=["v0"], run="one")["msg"]
