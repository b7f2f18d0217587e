# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page as text: what it says first, what it leaves out, that nothing in a run can break out of it."""

from __future__ import annotations

import copy
import functools
import re
from xml.etree import ElementTree

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._bench.html import data
from ansible_collections.modelops.serving.plugins.module_utils._bench.html.knee import knee
from ansible_collections.modelops.serving.plugins.module_utils._bench.html.page import render
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._bench.html.sample import sample

_SAMPLE = sample(seconds=20, queue=10)
_METRICS = ("ttft_ms", "itl_ms", "tpot_ms", "ntpot_ms", "e2e_ms", "schedule_delay_ms")
#: Texts that are one of a few: metrics, kinds, verdicts.
_CHOSEN = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*_(ms|s)|rate|passed|failed|inconclusive|better|worse|same|unknown")
_EVIL = "</script></title><script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;"


@pytest.fixture
def run():
    return copy.deepcopy(_SAMPLE)


@functools.lru_cache(maxsize=1)
def parse(page):
    """The page as a tree. It is well-formed but for the elements of HTML that have no end."""
    return ElementTree.fromstring(re.sub(r"<(meta|link|br)([^>]*)>", r"<\1\2/>", page.removeprefix("<!DOCTYPE html>")))


def text(page):
    return " ".join(" ".join(parse(page).find("body").itertext()).split())


def plots(page):
    return [found for found in parse(page).iter("svg") if found.get("role") == "img"]


def check(page):
    """What holds for every report. Returns its text."""
    for plot in plots(page):
        marks = [
            *plot.iter("path"),
            *plot.iter("circle"),
            *(box for box in plot.iter("rect") if box.get("class") == "cell"),
        ]
        assert marks, f"{plot.find('title').text}: nothing but axes"
        assert plot.find("desc").text
    ids = [found.get("id") for found in parse(page).iter() if found.get("id")]
    assert len(ids) == len(set(ids))
    for found in parse(page).iter():
        assert all(name in ids for name in (found.get("aria-labelledby") or "").split())
    said = text(page)
    assert not re.search(r"\b(None|nan|inf)\b", said)
    return said


def test_a_whole_run(run):
    said = check(render(run))
    assert len(plots(render(run))) == 15
    assert "SLOs failed" in said
    assert "5 of 6 stages are valid" in said
    assert "10 req/s is not valid: The median schedule delay was 13.9 ms" in said
    assert "of 18 metrics " in said
    assert "left out" not in said


def test_nothing_is_fetched_and_nothing_runs(run):
    page = parse(render(run))
    tags = {found.tag for found in page.iter()}
    assert not tags & {"script", "img", "iframe", "object", "embed", "base", "form"}
    for found in page.iter():
        loads = [value for name, value in found.items() if name in ("href", "src", "srcset", "action", "data", "style")]
        assert all(value.startswith("#") or value == "data:," for value in loads)
        assert not any(name.startswith("on") for name in found.attrib)
    assert not re.search(r"url\(|@import|https?:", page.find("head/style").text)
    policy = page.find("head/meta[@http-equiv='Content-Security-Policy']").get("content")
    assert policy.startswith("default-src 'none';") and "unsafe" not in policy


def poisoned(value):
    """The same data with markup in every text that a user, a model or a server may have written."""
    if isinstance(value, str):
        return value if _CHOSEN.fullmatch(value) else value + _EVIL
    if isinstance(value, dict):
        return {key: poisoned(item) for key, item in value.items()}
    return [poisoned(item) for item in value] if isinstance(value, list) else value


def test_markup_in_any_text_stays_text(run):
    clean, page = render(run), render(poisoned(run))
    assert sorted(found.tag for found in parse(page).iter()) == sorted(found.tag for found in parse(clean).iter())
    assert f"Llama-3.3-70B-Instruct{_EVIL}" in text(page)
    assert f"queue is full{_EVIL}" in text(page)


def one_stage(run):
    run["stages"] = run["stages"][:1]
    for key in ("slo", "errors", "scatter"):
        run[key] = [item for item in run[key] if item["stage"] == 0]
    run["timeline"].update(bands=run["timeline"]["bands"][:1], errors=[0] * len(run["timeline"]["t"]))
    run["comparison"]["deltas"] = run["comparison"]["deltas"][:3]


def all_failed(run):
    for stage in run["stages"]:
        stage.update(dict.fromkeys(_METRICS), completed=0, error_rate=1.0, ttft_cdf=[], e2e_cdf=[], output_tok_s=0.0)
        stage.update(
            request_s=0.0, total_tok_s=0.0, goodput=0.0, goodput_s=0.0, usd_per_mtok=None, output_tok_s_chip=0.0
        )
        run["errors"].append({"stage": stage["stage"], "error": "connect", "status": None, "count": 3, "message": "no"})
    for result in run["slo"]:
        result.update(observed=None, attainment=0.0, verdict="failed")
    run["timeline"]["output_tok_s"] = [0.0] * len(run["timeline"]["t"])
    run["scatter"], run["heat"] = [], None


def no_tokens_timed(run):
    for stage in run["stages"]:
        stage.update(ttft_ms=None, itl_ms=None, tpot_ms=None, ttft_cdf=[])
    run["scatter"] = []


def nothing_ended(run):
    run.update(
        stopped=True, stages=[], slo=[], errors=[], scatter=[], heat=None, timeline=None, comparison=None, verdict=None
    )


def set_stages(**values):
    return lambda run: [stage.update(values) for stage in run["stages"]]


def set_timeline(**values):
    return lambda run: run["timeline"].update(values)


@pytest.mark.parametrize(
    ("change", "sentences", "left_out"),
    [
        (set_stages(output_tok_s_chip=None), ["the number of chips is not known"], ["plot-output"]),
        (set_stages(usd_per_mtok=None), ["no price was given"], ["plot-million"]),
        (
            set_timeline(server_running=None, server_waiting=None, server_kv_used=None),
            ["The server's queue is left out: its metrics were not read."],
            ["plot-time-kv"],
        ),
        (
            one_stage,
            [
                "No curve: it needs two stages with answers, and this run has one.",
                "No request failed.",
                "Errors are left out: no request failed.",
            ],
            [
                "plot-ttft",
                "plot-tpot",
                "plot-achieved",
                "plot-output",
                "plot-million",
                "plot-goodput",
                "plot-time-errors",
            ],
        ),
        (
            all_failed,
            [
                "No request was completed. The errors below say why.",
                "No curve: it needs two stages with answers, and this run has none.",
                "No request was answered, so there is no latency to show.",
                "no connection",
            ],
            [
                "plot-ttft",
                "plot-tpot",
                "plot-cdf-ttft",
                "plot-cdf-e2e",
                "plot-output",
                "plot-time-tokens",
                "plot-isl",
                "plot-heat",
            ],
        ),
        (
            no_tokens_timed,
            [
                "tokens were not timed one by one",
                "TTFT is left out: no request gave it.",
                "there is no interactivity to show",
            ],
            ["plot-ttft", "plot-tpot", "plot-cdf-ttft", "plot-output", "plot-million", "plot-isl"],
        ),
        (
            nothing_ended,
            [
                "The run was stopped before",
                "No stage came to its end",
                "No SLO was set",
                "The run was too short for a timeline.",
            ],
            ["plot-"],
        ),
        (lambda run: run.update(comparison=None), ["No earlier run of the same model"], []),
        (lambda run: run.update(slo=[], verdict=None), ["No SLO was set, so there is no verdict on one."], []),
        (set_stages(goodput=None, goodput_s=None), ["so there is no goodput"], ["plot-goodput"]),
        (set_stages(kind="concurrency"), ["No stage asked for a rate", "10 in flight"], ["plot-achieved"]),
        (lambda run: run.update(timeline=None), ["The run was too short for a timeline."], ["plot-time"]),
    ],
)
def test_what_is_not_known_is_left_out_with_a_sentence(run, change, sentences, left_out):
    change(run)
    page = render(run)
    said = check(page)
    for sentence in sentences:
        assert sentence in said
    names = [plot.find("title").get("id") for plot in plots(page)]
    assert not [name for name in names if name.startswith(tuple(left_out))]


@pytest.mark.parametrize(
    ("kind", "head"),
    [
        ("passed", "SLOs passed"),
        ("failed", "SLOs failed"),
        ("inconclusive", "SLOs inconclusive"),
        (None, "No SLO was set"),
    ],
)
def test_the_verdict_comes_first(run, kind, head):
    run["verdict"] = kind
    first = parse(render(run)).find("body/main/section")
    assert first.find("div/h2").text == head
    assert first.get("class") == f"verdict {kind or 'none'}"


def test_the_headline_is_the_highest_load_that_met_every_slo(run):
    for result in run["slo"]:
        result["verdict"] = "passed" if result["stage"] in {0, 1, 2, 5} else "inconclusive"
    said = check(render(run))
    # The last stage met them as well, but is not valid.
    assert "At 4 req/s The highest load that met every SLO." in said
    # A search has found another one.
    probes = [{"stage": 1, "asked": 2.0, "verdict": "passed"}, {"stage": 2, "asked": 4.0, "verdict": "invalid"}]
    run["search"] = {"highest": 1, "asked": 2.0, "kind": "rate", "candidates": 9, "probes": probes}
    said = check(render(run))
    assert "At 2 req/s The highest load that met every SLO." in said
    assert "9 loads were searched through. The highest that met every SLO is 2 req/s. Tried: 2 req/s passed, " in said
    run["search"] = None
    for result in run["slo"]:
        result["verdict"] = "failed"
    assert "At 1 req/s The lowest load; no valid stage met every SLO." in check(render(run))


def test_the_knee_lies_between_stages_that_do_worse(run):
    stages = run["stages"]
    for stage, (tokens, latency) in zip(
        stages, [(100, 1), (200, 1.1), (400, 1.3), (500, 3), (510, 9), (9000, 1)], strict=True
    ):
        stage["output_tok_s"], stage["e2e_ms"]["p50"] = tokens, latency
    assert knee(stages) is stages[2]  # the last one would be better, but is not valid
    assert knee(stages[:3]) is None  # it may lie beyond
    assert knee(stages[2:]) is None  # or before
    assert knee(stages[1:3]) is None


def test_the_size_is_bounded_by_the_stages(run):
    """Twenty stages with all the points that the limits allow."""
    line = [(12345.678901 + index, index / data.CDF_POINTS) for index in range(data.CDF_POINTS)]
    run["stages"] = [run["stages"][0] | {"stage": stage, "ttft_cdf": line, "e2e_cdf": line} for stage in range(20)]
    run["scatter"] = [{"stage": 0, "isl": 1, "osl": 2, "ttft_ms": 3.3}] * data.SCATTER_POINTS
    run["heat"] = {
        "t_edges": [float(edge) for edge in range(data.HEAT_COLUMNS + 1)],
        "e2e_ms_edges": [2.0**edge for edge in range(data.HEAT_ROWS + 1)],
        "counts": [[9] * data.HEAT_COLUMNS] * data.HEAT_ROWS,
    }
    assert len(render(run).encode()) < 1_000_000
