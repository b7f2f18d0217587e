# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From figures to a verdict, and to what the module fails with."""

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._measure import gate

ALL = ("slo", "invalid", "inconclusive", "regression")


def summary(verdict=None, *, slo=(), reasons=()):
    return {"verdict": verdict, "slo": list(slo), "stages": [{"stage": 0, "reasons": list(reasons)}]}


def delta(metric="ttft_p50_ms", verdict="worse", change=0.2):
    return {"stage": 0, "metric": metric, "baseline": 10.0, "value": 12.0, "change": change, "verdict": verdict}


def against(*deltas):
    return {"baseline": "good", "deltas": list(deltas)}


MISSED = {"name": "ttft_p99_ms", "stage": 1, "limit": 200.0, "observed": 312.5, "verdict": "failed"}


@pytest.mark.parametrize(
    ("verdict", "canary"),
    [("passed", "promote"), ("failed", "roll_back"), ("inconclusive", "none"), (None, "none")],
)
def test_what_becomes_of_a_canary(verdict, canary):
    outcome = gate.judge(summary(verdict), None, (), 0.05)
    assert (outcome.verdict, outcome.canary, outcome.reasons) == (verdict or "none", canary, [])


def test_gates_hold_only_when_they_are_asked_for():
    run = summary("failed", slo=[MISSED, {**MISSED, "verdict": "passed"}], reasons=["Too slow."])
    said = {
        "slo": "Stage 1 missed ttft_p99_ms: 312.5, limit 200.",
        "invalid": "Stage 0 is invalid. Too slow.",
    }
    for gates in ([], ["slo"], ["invalid"], ["slo", "invalid"]):
        assert gate.judge(run, None, gates, 0.05).reasons == [said[name] for name in gates]
    unclear = gate.judge(summary("inconclusive", slo=[{**MISSED, "verdict": "inconclusive"}]), None, ALL, 0.05)
    assert unclear.reasons == ["Stage 1 leaves ttft_p99_ms open, limit 200."]
    noise = gate.judge(summary("passed"), against(delta(verdict="unknown")), ALL, 0.05)
    assert noise.reasons == ["The comparison with the baseline cannot tell differences from noise."]


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (delta(), "failed"),
        (delta(change=None), "failed"),
        (delta(verdict="same"), "passed"),
        (delta(verdict="better"), "passed"),
        (delta(verdict="unknown"), "inconclusive"),
        # More than noise, less than what is tolerated.
        (delta(change=0.04), "passed"),
        # Tails are left to objectives.
        (delta("ttft_p99_ms"), "passed"),
    ],
)
def test_a_baseline_counts_when_regressions_are_asked_for(found, verdict):
    same = delta("output_tok_s", "same", 0.0)
    for of_slo in ("passed", None):
        outcome = gate.judge(summary(of_slo), against(found, same), ["regression"], 0.05)
        assert outcome.verdict == verdict
        assert bool(outcome.reasons) == (verdict == "failed")
        assert gate.judge(summary(of_slo), against(found), ["slo"], 0.05).verdict == (of_slo or "none")
    assert gate.judge(summary("failed"), against(found), ["regression"], 0.05).verdict == "failed"


@pytest.mark.parametrize(("highest", "verdict", "reasons"), [(1, "passed", 0), (None, "failed", 2)])
def test_of_a_search_only_one_stage_counts(highest, verdict, reasons):
    probes = [{"stage": stage} for stage in (1, 2)]
    run = {
        "verdict": verdict,
        "search": {"highest": highest, "probes": probes},
        "slo": [{**MISSED, "stage": 2}, {**MISSED, "verdict": "passed" if reasons == 0 else "failed"}],
        "stages": [{"stage": 1, "reasons": ["Too slow."] * (reasons // 2)}, {"stage": 2, "reasons": ["Too slow."]}],
    }
    outcome = gate.judge(run, None, ("slo", "invalid"), 0.05)
    assert (outcome.verdict, len(outcome.reasons)) == (verdict, reasons)
    assert all(reason.startswith("Stage 1 ") for reason in outcome.reasons)
    # Beyond what was found, more latency than before is no regression.
    deltas = [{**delta(), "stage": 2}, {**delta(verdict="same"), "stage": 1}]
    assert gate.judge(run, against(*deltas), ["regression"], 0.05).verdict == verdict


def test_a_regression_is_told_with_its_figures():
    (said,) = gate.judge(summary("passed"), against(delta()), ["regression"], 0.05).reasons
    assert said == "Stage 0 is worse than run good in ttft_p50_ms: 12 instead of 10 (+20.0%)."


def test_many_reasons_are_cut_short():
    assert gate.in_short(["A.", "B."]) == "A. B."
    assert gate.in_short(["A."] * 12).endswith("A. And 2 more.")


def test_a_run_that_nobody_answered():
    failure = {"error": "http", "status": 503, "count": 3, "message": ""}
    silent = {"completed": 0, "sent": 3, "failures": [failure]}
    dead = {"stages": [silent, {**silent, "failures": [{**failure, "error": "connect", "status": None}]}]}
    assert gate.failures(dead) == "None of 6 requests was answered (connect, http 503)."
    assert not gate.failures({"stages": [silent, {**silent, "completed": 1}]})
