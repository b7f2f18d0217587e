# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import itertools
import statistics

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._bench.builtin.plan import Plan
from ansible_collections.modelops.serving.plugins.module_utils._bench.workload import Dataset, Stage, parse

BASE = {
    "endpoint": "http://server:8000",
    "protocol": "jetstream",
    "stages": [{"rate": 1, "requests": 1}],
    "seed": 3,
}
PROMPTS = {**BASE, "data": {"type": "jsonl", "path": "prompts.jsonl", "output_tokens": 4}}


def workload(**data):
    return parse({**BASE, "data": {"type": "synthetic", "input_tokens": 40, "output_tokens": 4, **data}})


def test_the_seed_decides_everything():
    stage = Stage(rate=50, duration=4)

    def drawn(index=0, repeat=0):
        plan = Plan(workload(output_tokens={"mean": 90, "stddev": 30}), None, index, repeat)
        return [plan.question() for _number in range(20)], plan.arrivals(stage, "poisson")

    assert drawn() == drawn()
    others = [drawn(), drawn(index=1), drawn(repeat=1)]
    assert all(one != other for one, other in itertools.combinations(others, 2))


def test_lengths_stay_within_their_limits_and_do_not_pile_up_there():
    plan = Plan(workload(input_tokens={"mean": 30, "stddev": 20, "min": 10, "max": 60}), None, 0, 0)
    questions = [plan.question() for _number in range(2000)]
    lengths = [question.input_tokens for question in questions]
    assert lengths == [len(question.prompt.split()) for question in questions]
    assert 10 <= min(lengths) <= max(lengths) <= 60
    assert max(lengths.count(10), lengths.count(60)) < 3 * lengths.count(35)
    assert {question.output_tokens for question in questions} == {4}


def test_no_two_prompts_begin_alike():
    plan = Plan(workload(), None, 0, 0)
    heads = {tuple(plan.question().prompt.split()[:8]) for _number in range(2000)}
    assert len(heads) == 2000


def test_prompts_of_a_file_come_in_its_order_again_and_again():
    plan = Plan(parse(PROMPTS), Dataset(("a", "b", "c"), "0"), 0, 0)
    questions = [plan.question() for _number in range(7)]
    assert "".join(question.prompt for question in questions) in "abcabcabcabc"
    assert questions[0].input_tokens is None


def test_constant_arrivals():
    plan = Plan(workload(), None, 0, 0)
    assert plan.arrivals(Stage(rate=4, duration=1), "constant") == [0, 0.25, 0.5, 0.75]
    assert plan.arrivals(Stage(rate=4, requests=3), "constant") == [0, 0.25, 0.5]
    assert plan.arrivals(Stage(rate=0.1, duration=1), "constant") == [0]


@pytest.mark.parametrize("stage", [Stage(rate=100, duration=50), Stage(rate=100, requests=5000)])
def test_poisson_arrivals_keep_the_rate_and_have_exponential_gaps(stage):
    found = Plan(workload(), None, 0, 0).arrivals(stage, "poisson")
    assert len(found) == 5000
    assert found == sorted(found)
    assert 0 <= found[0] <= found[-1] < 50
    gaps = [after - before for before, after in itertools.pairwise(found)]
    # Of an exponential distribution the standard deviation is the mean, and a share of 1/e lies above it.
    mean = statistics.fmean(gaps)
    assert statistics.pstdev(gaps) == pytest.approx(mean, rel=0.1)
    assert sum(gap > mean for gap in gaps) / len(gaps) == pytest.approx(0.368, abs=0.03)
