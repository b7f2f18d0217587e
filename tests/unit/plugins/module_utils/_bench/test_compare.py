# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A difference counts only when it is larger than the noise between repeats."""

from __future__ import annotations

import json

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._bench import compare
from ansible_collections.modelops.serving.plugins.module_utils._bench.errors import InputError
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._bench.runs import a_judged_run


def a_run(run_id="a-run", **changes):
    """The summary as it comes back from its file."""
    return json.loads(json.dumps(a_judged_run(run_id, **changes)[0]))


def verdicts(run, baseline):
    return {delta["metric"]: delta["verdict"] for delta in compare.compare(run, baseline)}


def test_a_run_is_the_same_as_itself():
    deltas = compare.compare(a_run(), a_run())
    assert {delta["verdict"] for delta in deltas} == {"same"}
    assert {delta["change"] for delta in deltas} <= {0.0, None}


def test_noise_is_the_same_and_more_is_better_or_worse():
    # The repeats have 100, 101 and 102 ms: a standard deviation of 1, four degrees of freedom, so the band is
    # 2.776 * sqrt(1/3 + 1/3) = 2.267 ms.
    assert verdicts(a_run(slower=2.2), a_run())["ttft_p50_ms"] == "same"
    assert verdicts(a_run(slower=2.3), a_run())["ttft_p50_ms"] == "worse"
    assert verdicts(a_run(), a_run(slower=2.3))["ttft_p50_ms"] == "better"
    (delta,) = (one for one in compare.compare(a_run(slower=5.0), a_run()) if one["metric"] == "ttft_p50_ms")
    assert (delta["stage"], delta["baseline"], delta["value"]) == (0, 101.0, 106.0)
    assert delta["change"] == pytest.approx(5 / 101)
    assert delta["band"] == pytest.approx(2.776 * (2 / 3) ** 0.5 / 101, rel=1e-3)


def test_more_throughput_is_better():
    slow, fast = a_run(), a_run()
    for one in (fast["stages"][0], *fast["stages"][0]["repeats"]):
        one["output_tok_s"] *= 2
    assert verdicts(fast, slow)["output_tok_s"] == "better"
    assert verdicts(slow, fast)["output_tok_s"] == "worse"


def test_a_baseline_of_nothing_has_no_relative_change():
    run, baseline = a_run(), a_run()
    for one in (baseline["stages"][0], *baseline["stages"][0]["repeats"]):
        one["error_rate"] = 0.0
    (delta,) = (one for one in compare.compare(run, baseline) if one["metric"] == "error_rate")
    assert (delta["change"], delta["band"]) == (None, None)


def test_without_three_repeats_or_with_an_invalid_stage_nothing_is_known():
    few = a_run(repeats=2)
    assert set(verdicts(few, few).values()) == {"unknown"}
    invalid = a_run(slower=50.0)
    invalid["stages"][0]["reasons"] = ["Too late."]
    assert set(verdicts(invalid, a_run()).values()) == {"unknown"}
    assert set(verdicts(a_run(), invalid).values()) == {"unknown"}


def test_runs_of_another_kind_are_not_compared():
    other = a_run("other", about={"accelerator": "tpu-v6e-slice"})
    with pytest.raises(InputError, match="accelerator is not known and tpu-v6e-slice"):
        compare.compare(other, a_run())


def test_a_baseline_is_found_by_id_name_or_as_the_last_good_one():
    runs = [
        a_run("run-1", about={"name": "release", "started_at": "2026-01-01"}),
        a_run("run-2", about={"name": "release", "started_at": "2026-01-03"}),
        a_run("run-3", about={"started_at": "2026-01-02"}),
        a_run("run-4", slower=100.0, about={"started_at": "2026-01-04"}),
    ]
    assert [run["verdict"] for run in runs] == ["passed"] * 3 + ["failed"]
    assert compare.find(runs, "run-1")["run_id"] == "run-1"
    assert compare.find(runs, "release")["run_id"] == "run-2"
    assert compare.find(runs, "last_good")["run_id"] == "run-2"
    with pytest.raises(InputError, match=r"no run 'none' .* run-4, run-2 \(release\), run-3"):
        compare.find(runs, "none")
    with pytest.raises(InputError, match="known: none"):
        compare.find([], "last_good")
