# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import json

import hypothesis
import pytest
from hypothesis import strategies as st

from ansible_collections.modelops.serving.plugins.module_utils._bench import records, shards, stages
from ansible_collections.modelops.serving.plugins.module_utils._bench.builtin import plan
from ansible_collections.modelops.serving.plugins.module_utils._bench.engines.engine import requests_of
from ansible_collections.modelops.serving.plugins.module_utils._bench.errors import InputError
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._bench.runs import (
    a_histogram,
    a_record,
    a_workload,
    properties,
    some_facts,
)

counts = st.integers(1, 7)
rates = st.builds(
    lambda rate, end: {"rate": rate, **end},
    st.floats(3, 500),
    st.one_of(
        st.builds(lambda seconds: {"duration": seconds}, st.floats(3, 100)),
        st.builds(lambda requests: {"requests": requests}, st.integers(7, 5000)),
    ),
)
loops = st.builds(
    lambda slots, end: {"concurrency": slots, **end},
    st.integers(7, 300),
    st.one_of(st.just({"duration": 5.0}), st.builds(lambda requests: {"requests": requests}, st.integers(7, 5000))),
)


@properties
@hypothesis.given(st.lists(st.one_of(rates, loops), min_size=1, max_size=3), counts, st.integers(0, 20), st.integers(0))
def test_the_parts_are_the_whole(load, count, warmup, seed):
    workload = a_workload(stages=load, warmup={"requests": warmup}, seed=seed, max_in_flight=400)
    parts = shards.split(workload, count)
    assert len(parts) == count
    assert len({part.seed for part in parts}) == count
    assert sum(part.warmup_requests for part in parts) == warmup
    assert sum(part.max_in_flight for part in parts) == 400
    for index, stage in enumerate(workload.stages):
        found = [part.stages[index] for part in parts]
        assert {(one.kind, one.duration) for one in found} == {(stage.kind, stage.duration)}
        assert sum(one.asked for one in found) == pytest.approx(stage.asked)
        if stage.requests:
            assert sum(one.requests for one in found) == stage.requests
        if stage.kind == "rate":
            assert sum(map(requests_of, found)) == requests_of(stage)
            for one in found:
                assert requests_of(one) / one.asked == pytest.approx(requests_of(stage) / stage.asked)
        else:
            assert all(one.concurrency <= part.max_in_flight for one, part in zip(found, parts, strict=True))
    # What one Pod sends is a workload like any other.
    assert [shards.workloads.parse(part.as_data()) for part in parts] == parts


def test_the_parts_of_constant_arrivals_take_turns():
    workload = a_workload(stages=[{"rate": 30, "duration": 2}])
    times = [
        time
        for part in shards.split(workload, 3)
        for time in plan.Plan(part, None, 0, 0).arrivals(part.stages[0], "constant")
    ]
    assert sorted(times) == pytest.approx(plan.Plan(workload, None, 0, 0).arrivals(workload.stages[0], "constant"))


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"stages": [{"concurrency": 8, "requests": 8}, {"concurrency": 3, "duration": 1}]}, "Stage 1 .* 3 requests"),
        ({"stages": [{"rate": 10, "duration": 0.3}]}, "Stage 0 .* 3 requests"),
        ({"stages": [{"concurrency": 8, "requests": 3}]}, "Stage 0 .* 3 requests"),
        ({"max_in_flight": 3}, "max_in_flight is 3"),
    ],
)
def test_a_stage_that_is_too_small_is_not_split(changes, cause):
    workload = a_workload(**changes)
    assert shards.split(workload, 1) == [workload]
    assert len(shards.split(workload, 3)) == 3
    with pytest.raises(InputError, match=cause):
        shards.split(workload, 4)


def test_a_search_is_not_split():
    workload = a_workload(search=True, slo={"ttft_p50_ms": 9})
    assert shards.split(workload, 1) == [workload]
    with pytest.raises(InputError, match="cannot be shared by 2 Pods") as caught:
        shards.split(workload, 2)
    assert "Set parallelism to 1" in caught.value.hint


START = datetime.datetime(2026, 11, 22, tzinfo=datetime.timezone.utc)


def leave(place, found, facts, *, late=0.0, **told):
    """What a Pod that has begun so many seconds late leaves behind."""
    with records.Writer(place / records.FILE) as writer:
        for record in found:
            writer.write(record)
    stages.write(place / stages.FILE, facts)
    started = (START + datetime.timedelta(seconds=late)).isoformat(timespec="milliseconds")
    (place / "environment.json").write_text(json.dumps({"engine": "builtin", "started_at": started, **told}))


@hypothesis.settings(properties, max_examples=25)  # each makes files
@hypothesis.given(
    st.lists(
        st.tuples(
            st.lists(st.tuples(st.integers(0, 1), st.floats(0, 9)), max_size=12),
            st.integers(0, 3000),
            st.integers(0, 2),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_every_record_is_there_once_on_one_clock(tmp_path_factory, pods):
    folder = tmp_path_factory.mktemp("run")
    workload = a_workload(stages=[{"rate": 100, "duration": 10}, {"rate": 200, "duration": 10}])
    places = [folder / f"pod-{index}" for index in range(len(pods))]
    for place, (sent, late, ended) in zip(places, pods, strict=True):
        found = [a_record(seq, stage=stage, t_start=at) for seq, (stage, at) in enumerate(sent)]
        facts = [some_facts(stage=stage, sent=len(sent), itl=a_histogram(10.0)) for stage in range(ended)]
        leave(place, found, facts, late=late / 1000, cores=2, client_pod=place.name)
    target = folder / "target"
    shards.merge(places, target, workload, "whole", {"cluster": "east"})

    begin = min(late for _sent, late, _ended in pods)
    wanted = sorted(
        (index, seq, stage, round(at + (late - begin) / 1000, 6))
        for index, (sent, late, _ended) in enumerate(pods)
        for seq, (stage, at) in enumerate(sent)
    )
    merged = list(records.read(target / records.FILE))
    assert sorted((one.seq % len(pods), one.seq // len(pods), one.stage, one.t_start) for one in merged) == [
        (*names, pytest.approx(at, abs=2e-6)) for *names, at in wanted
    ]
    for one in merged:
        assert (one.run_id, one.t_scheduled) == ("whole", one.t_start)
        assert (one.t_first - one.t_start, one.t_end - one.t_start) == pytest.approx((0.1, 0.19), abs=1e-5)
    # A stage that not all have ended is cut off.
    facts = stages.read(target / stages.FILE)
    assert [fact.stage for fact in facts] == list(range(min(ended for _sent, _late, ended in pods)))
    for fact in facts:
        assert (fact.asked, fact.sent) == ((100, 200)[fact.stage], sum(len(sent) for sent, _late, _ended in pods))
        assert fact.itl.count == len(pods)
        assert fact.t_end == pytest.approx(10 + (max(late for _sent, late, _ended in pods) - begin) / 1000)
    told = json.loads((target / "environment.json").read_text())
    assert (told["cores"], told["cluster"], len(told["shards"])) == (2 * len(pods), "east", len(pods))
    assert [one["client_pod"] for one in told["shards"]] == [place.name for place in places]
    assert shards.workloads.read(target / "workload.json") == workload


def test_of_what_makes_a_stage_invalid_the_worst_counts():
    workload = a_workload(stages=[{"rate": 30, "duration": 10}])
    one = some_facts(
        asked=10.0, generator_cpu=0.9, schedule_delay_p50_ms=1.0, held_back=2, in_flight_max=3, cancelled=1
    )
    two = some_facts(asked=20.0, generator_cpu=0.2, schedule_delay_p50_ms=12.0, schedule_delay_p99_ms=20.0)
    (fact,) = shards.together([[one], [two]], workload)
    assert (fact.asked, fact.generator_cpu, fact.held_back, fact.cancelled) == (30, 0.9, 2, 1)
    assert (fact.schedule_delay_p50_ms, fact.schedule_delay_p99_ms, fact.itl) == (12.0, 20.0, None)
    assert (fact.sent, fact.completed, fact.in_flight_max) == (200, 200, 5)


def test_the_samples_of_one_pod_are_on_the_clock_of_all(tmp_path):
    for number, late in enumerate((2.0, 0.5)):
        leave(tmp_path / str(number), [a_record()], [], late=late)
    (tmp_path / "0" / "server.jsonl").write_text('{"t": 1.0, "running": 3}\n{"t": 2.0, "run')
    target = tmp_path / "target"
    shards.merge([tmp_path / "0", tmp_path / "1", tmp_path / "never"], target, a_workload(), "whole")
    assert (target / "server.jsonl").read_text() == '{"t": 2.5, "running": 3}\n'
    assert json.loads((target / "environment.json").read_text())["started_at"].startswith("2026-11-22T00:00:00.500")


def test_pods_that_have_left_nothing_are_no_run(tmp_path):
    with pytest.raises(InputError, match="No Pod has measured"):
        shards.merge([tmp_path / "none"], tmp_path / "target", a_workload(), "whole")
    leave(tmp_path / "strange", [], [])
    (tmp_path / "strange" / "environment.json").write_text('{"engine": "builtin"}')
    with pytest.raises(InputError, match="does not tell when"):
        shards.merge([tmp_path / "strange"], tmp_path / "target", a_workload(), "whole")
