# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A stage is invalid when its figures are those of the generator."""

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._bench import honesty
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._bench.runs import (
    a_record,
    a_workload,
    results,
    some_facts,
)


def reasons(count=100, facts=None, **changes):
    records = [a_record(seq, **changes) for seq in range(count)]
    return honesty.reasons(results(records, [facts or some_facts()])[0])


def test_a_stage_that_was_sent_as_asked_is_valid():
    assert reasons() == []
    assert reasons(95) == []


def test_less_than_asked_is_invalid():
    assert reasons(90) == ["Sent 9.0 requests per second, less than 95% of the 10 asked for."]


def test_poisson_arrivals_scatter_of_their_own_accord():
    assert reasons(80, some_facts(arrival="poisson")) == []
    assert len(reasons(70, some_facts(arrival="poisson"))) == 1


def test_late_requests_are_invalid_for_an_open_loop():
    assert reasons(schedule_delay_ms=10.0) == []
    assert "10.1 ms or more after their time" in reasons(schedule_delay_ms=10.1)[0]
    closed = some_facts(kind="concurrency", asked=2.0, arrival="closed")
    assert reasons(20, closed, schedule_delay_ms=99.0) == []


@pytest.mark.parametrize(("in_flight", "sent", "count"), [(40, 100, 0), (37, 100, 1), (20, 20, 0), (18, 20, 1)])
def test_less_in_flight_than_asked_is_invalid_for_a_closed_loop(in_flight, sent, count):
    closed = some_facts(kind="concurrency", asked=40.0, arrival="closed", in_flight_max=in_flight)
    assert len(reasons(sent, closed)) == count


@pytest.mark.parametrize(("cpu", "count"), [(None, 0), (0.8, 0), (0.81, 1)])
def test_a_busy_generator_is_invalid(cpu, count):
    assert len(reasons(facts=some_facts(generator_cpu=cpu))) == count


def test_a_generator_that_held_back_is_invalid():
    assert reasons(facts=some_facts(held_back=3, in_flight_max=64)) == [
        "3 requests were held back because max_in_flight was reached (64 in flight)."
    ]


def test_a_stage_without_end_or_without_requests_is_invalid():
    (result,) = results([a_record()], [])
    assert honesty.reasons(result) == ["The stage was cut off before its end."]
    assert reasons(0) == ["No request was sent."]


def test_one_repeat_that_fell_behind_spoils_its_stage():
    load = a_workload(repeats=2)
    records = [a_record(seq, repeat=repeat) for repeat in (0, 1) for seq in range(100)]
    facts = [some_facts(), some_facts(repeat=1, generator_cpu=0.99)]
    assert [reason[:10] for reason in honesty.reasons(results(records, facts, load)[0])] == ["Repeat 1: "]
