# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which combinations of a sweep are worth their chips, on summaries that our own code makes."""

from __future__ import annotations

import json

import hypothesis
import pytest
from hypothesis import strategies

from ansible_collections.modelops.serving.plugins.module_utils._bench import pareto
from ansible_collections.modelops.serving.plugins.module_utils._bench.errors import InputError
from ansible_collections.modelops.serving.plugins.module_utils._bench.html.pareto import render
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._bench.html.test_page import check, plots
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._bench.runs import a_judged_run, properties

PRICED = {"chips": 4, "usd_per_hour": 10.8}


def a_run(name, *, output=100.0, ttft=100.0, tpot=10.0, about=None, **changes):
    """A summary as it comes back from its file, with one stage of these figures."""
    told = {"name": name, **(about or {})}
    run = json.loads(json.dumps(a_judged_run(f"run-{name}", repeats=1, about=told)[0]))
    (stage,) = run["stages"]
    stage["output_tok_s"] = output
    stage["latency"]["ttft"]["p99"], stage["latency"]["tpot"]["p50"] = ttft, tpot
    price = run["usd_per_hour"]
    stage["usd_per_mtok"] = price and price / 3600 / output * 1e6
    return {**run, **changes}


def dominated(*runs):
    return {one["name"]: one["dominated_by"] for one in pareto.table(runs)["combinations"]}


def test_who_is_dominated_by_whom():
    both = (a_run("fast", output=100, ttft=50), a_run("much", output=200, ttft=90))
    found = pareto.table([*both, a_run("worse", output=90, ttft=90), a_run("same", output=200, ttft=90)])
    assert {one["name"]: (one["on_front"], one["dominated_by"]) for one in found["combinations"]} == {
        "fast": (True, []),
        "much": (True, []),
        "same": (True, []),  # equal points do not beat each other
        "worse": (False, ["fast", "much", "same"]),
    }
    assert found["objectives"] == ["output_tok_s", "ttft_p99_ms", "tok_s_user"]
    (front,) = (
        one for one in found["fronts"] if (one["throughput"], one["latency"]) == ("output_tok_s", "ttft_p99_ms")
    )
    assert [found["points"][index]["combination"] for index in front["points"]] == ["much", "same", "fast"]
    best = {
        name: index if index is None else found["points"][index]["combination"] for name, index in found["best"].items()
    }
    assert best == {
        "highest_throughput": "much",
        "highest_throughput_per_chip": None,
        "cheapest": None,
        "fastest_first_token": "fast",
        "fastest_for_one_user": "fast",
    }


def test_servers_of_different_sizes_are_compared_per_chip_and_per_dollar():
    large, small = {"chips": 8}, {"chips": 4}
    # As a server the larger one is better in everything, by its chips it is not.
    runs = [a_run("large", output=150, ttft=90, about=large), a_run("small", output=100, about=small)]
    assert dominated(*runs) == {"large": [], "small": []}
    assert dominated(a_run("large", output=150, ttft=90), a_run("small", output=100)) == {
        "large": [],
        "small": ["large"],
    }
    priced = [
        a_run("dear", output=200, about={"chips": 4, "usd_per_hour": 30.0}),
        a_run("cheap", output=100, about={"chips": 4, "usd_per_hour": 10.0}),
    ]
    found = pareto.table(priced)
    assert (found["objectives"][0], dominated(*priced)) == ("tokens_usd", {"cheap": [], "dear": ["cheap"]})
    assert found["points"][found["best"]["cheapest"]]["combination"] == "cheap"
    assert found["points"][found["best"]["highest_throughput_per_chip"]]["output_tok_s_chip"] == 50
    # One price that is missing is no price of nothing.
    assert pareto.table([*priced, a_run("unknown", about=small)])["objectives"][0] == "output_tok_s_chip"


def test_stages_that_do_not_count():
    runs = [a_run("good"), a_run("invalid", output=900), a_run("failed", output=900), a_run("not-streamed", output=300)]
    runs[1]["stages"][0]["reasons"] = ["Late."]
    runs[2]["slo"][0] |= {"verdict": "failed", "observed": 1234.5678, "limit": 200.0}
    runs[3]["stages"][0]["latency"]["ttft"] = None
    found = pareto.table(runs)
    assert {one["combination"]: one["reason"] for one in found["left_out"]} == {
        "invalid": "Late.",
        "failed": "SLO missed: ttft_p50_ms 1235 (200)",
    }
    assert {one["name"]: (one["on_front"], one["dominated_by"]) for one in found["combinations"]} == {
        "failed": (False, []),
        "good": (True, []),
        "invalid": (False, []),
        "not-streamed": (True, []),
    }
    # What was not measured is on no front, and no reason to be better.
    assert [one["points"] for one in found["fronts"] if one["latency"] == "ttft_p99_ms"] == [[0]]


def test_the_runs_of_a_sweep():
    runs = [
        a_run("one", started_at="2026-01-02", run_id="new"),
        a_run("one", started_at="2026-01-01", run_id="old"),
        a_run("two", started_at="2026-01-03", stopped=True),
        a_run("other"),
        {**a_run("x"), "name": None},
    ]
    unanswered = a_run("three")
    unanswered["stages"][0]["completed"] = 0
    names = ["two", "three", "other", "one", "one", "four"]
    assert [run["run_id"] for run in pareto.runs_of([*runs, unanswered], names)] == ["run-other", "new"]
    other = a_run("two")
    other["key"]["workload"] = "0123"
    with pytest.raises(InputError, match="not of one workload"):
        pareto.table([runs[0], other])


@properties
@hypothesis.given(strategies.lists(strategies.tuples(*[strategies.integers(1, 4)] * 3), min_size=1, max_size=6))
def test_a_front_is_what_nobody_beats(figures):
    base = pareto.table([a_run("0")])["points"][0]
    points = [base | {"output_tok_s": a, "ttft_p99_ms": b, "tok_s_user": c} for a, b, c in figures]
    objectives = ("output_tok_s", "ttft_p99_ms", "tok_s_user")
    better = [(point["output_tok_s"], -point["ttft_p99_ms"], point["tok_s_user"]) for point in points]
    for one, mine in zip(points, better, strict=True):
        for other, its in zip(points, better, strict=True):
            expected = mine != its and all(a >= b for a, b in zip(mine, its, strict=True))
            assert pareto._beats(one, other, objectives) == expected


def test_the_page():
    runs = [
        a_run("fast", ttft=50, about=PRICED),
        a_run("much<b>", output=200, about=PRICED),
        a_run("bad", about=PRICED),
    ]
    runs[2]["stages"][0]["reasons"] = ["Late."]
    others = [{"name": "large", "outcome": "skipped", "reason": "The model does not fit."}]
    page = render(pareto.table(runs), others)
    said = check(page)
    assert len(plots(page)) == 6
    for text in ("Sweep of org/model", "3 combinations measured \u00b7 1 not measured", "much<b>", "Late."):
        assert text in said
    assert "large skipped The model does not fit." in said
    empty = check(render(pareto.table([]), others))
    assert "nothing is best" in empty and "No point has both" in empty
