# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Pods say, what they are told, and what they hand over."""

from __future__ import annotations

import json

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._bench.errors import BenchError, EndpointError, ToolError
from ansible_collections.modelops.serving.plugins.module_utils._bench.pod import collect
from ansible_collections.modelops.serving.plugins.module_utils._bench_job import follow
from ansible_collections.modelops.serving.plugins.module_utils._bench_job.pods import (
    ENDED,
    PROGRESS,
    READY,
    Crew,
    LostError,
    Said,
)
from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Executed
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import KubeError
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._bench_job.given import spec

JOB = {"metadata": {"name": "load"}}
READY_EVENT = {"event": "ready", "preflight": {"round_trip_ms": 1.5}}


class Cluster:
    """Stands for the client. Commands in Pods run here, in the folder of their results."""

    def __init__(self, results):
        self.results = results
        self.pods = []
        self.log = []
        self.told = []
        self.away = False

    def pod(self, uid="1", **content):
        return {"metadata": {"name": f"load-{uid}", "uid": uid}, **content}

    def list(self, *_arguments, **_options):
        return self.pods

    def logs(self, *_arguments, tail):
        lines = [line if isinstance(line, str) else json.dumps(line) for line in self.log]
        return "\n".join(lines if tail is None else lines[-tail:])

    def execute(self, _namespace, pod, _container, command, *, timeout):
        if self.away:
            raise KubeError(f"Pod {pod} cannot be reached.")
        if "collect" in command[2]:
            return Executed(collect.pack(self.results, json.loads(command[-1])), "", 0)
        if command[1] == "-c":
            return Executed("1000.0\n", "", 0)
        self.told.append((pod, *command[-2:]))
        return Executed("", "no space" if command[-2] == "full" else "", int(command[-2] == "full"))


@pytest.fixture
def cluster(tmp_path):
    (tmp_path / "results").mkdir()
    return Cluster(tmp_path / "results")


@pytest.fixture
def crew(cluster, tmp_path):
    return Crew(cluster, spec(), tmp_path / "run")


def test_events_among_other_lines(cluster, crew):
    crew.look(JOB)  # there is no Pod yet
    assert not Said(crew, READY).met(JOB)
    cluster.pods = [cluster.pod()]
    cluster.log = ["Warning: something", "[1]", READY_EVENT]
    crew.look(JOB)
    assert Said(crew, READY).met(JOB) and not Said(crew, PROGRESS).met(JOB)
    cluster.log.append({"event": "progress", "stage": 0})
    crew.look(JOB)
    assert Said(crew, READY).met(JOB) and Said(crew, PROGRESS).met(JOB) and not Said(crew, ENDED).met(JOB)


def test_whoever_comes_later_hears_all_of_the_log(cluster, crew):
    cluster.pods = [cluster.pod()]
    cluster.log = [READY_EVENT, *[{"event": "progress", "stage": 0}] * 500]
    crew.look(JOB)
    assert crew.members[0].said[READY] == READY_EVENT


@pytest.mark.parametrize(
    ("event", "kind", "told"),
    [
        (
            {"event": "failed", "error": {"kind": "EndpointError", "message": "Away.", "hint": "Look."}},
            EndpointError,
            "Away. Look.",
        ),
        ({"event": "ended", "status": 1, "error": {"kind": "ToolError", "message": "Bad."}}, ToolError, "Bad."),
        ({"event": "ended", "status": 1, "error": {"kind": "KeyError", "message": "'x'"}}, BenchError, "'x'"),
        ({"event": "ended", "status": 3}, BenchError, "It ended with status 3."),
    ],
)
def test_what_goes_wrong_in_a_pod_is_an_error_here(cluster, crew, event, kind, told):
    cluster.pods, cluster.log = [cluster.pod()], [READY_EVENT, event]
    with pytest.raises(kind) as caught:
        crew.look(JOB)
    assert caught.value.__class__ is kind
    assert str(caught.value) == f"Pod ns/load-1: {told}"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            {"status": {"reason": "Evicted", "message": "The node was low on memory."}},
            "Evicted: The node was low on memory.",
        ),
        (
            {
                "status": {
                    "conditions": [
                        {
                            "type": "DisruptionTarget",
                            "status": "True",
                            "reason": "PreemptionByScheduler",
                            "message": "More important.",
                        }
                    ]
                }
            },
            "PreemptionByScheduler: More important.",
        ),
    ],
)
def test_who_ended_it(cluster, crew, content, told):
    stopped = {"event": "ended", "status": 143, "error": {"kind": "StoppedError", "message": "The run was stopped."}}
    cluster.pods, cluster.log = [cluster.pod(**content)], [READY_EVENT, stopped]
    with pytest.raises(BenchError, match=told):
        crew.look(JOB)


def test_another_pod_of_the_job_knows_nothing_of_the_run(cluster, crew):
    cluster.pods, cluster.log = [cluster.pod()], [READY_EVENT]
    crew.look(JOB)
    cluster.pods = [cluster.pod("2")]
    with pytest.raises(LostError, match="Pod ns/load-1 is gone"):
        crew.look(JOB)


def test_results_come_as_they_grow(cluster, crew, monkeypatch):
    monkeypatch.setitem(collect.pack.__kwdefaults__, "limit", 8)
    cluster.pods, cluster.log = [cluster.pod()], [READY_EVENT]
    crew.look(JOB)
    (member,) = crew.members
    file = cluster.results / "requests.jsonl"
    for content in ("0123456789" * 3, "0123456789" * 5):
        file.write_text(content)
        crew.collect(member)
        assert (member.place / file.name).read_text() == content


def test_a_signal_that_cannot_be_given(cluster, crew):
    with pytest.raises(KubeError, match="no space"):
        crew.tell(crew.members[0], "full")


def test_only_pods_that_wait_are_told_to_begin(cluster, tmp_path):
    crew = Crew(cluster, spec(parallelism=3), tmp_path)
    first, second, third = crew.members
    for member in crew.members:
        member.live = cluster.pod(str(member.number))
        member.said[READY] = READY_EVENT
    second.said[PROGRESS] = {}
    follow._begin(crew)
    assert [(pod, name) for pod, name, _text in cluster.told] == [("load-0", "go"), ("load-2", "go")]
    (begin,) = {text for _pod, _name, text in cluster.told}
    assert 1000 < float(begin) < 1010  # by the clock of the Pods
    assert first is not third


def test_results_come_whenever_another_stage_begins(cluster, crew, monkeypatch):
    collected = []
    monkeypatch.setattr(crew, "collect", lambda _member: collected.append(len(cluster.log)))
    watch = follow._Watch(crew, lambda _told: None)
    cluster.pods = [cluster.pod()]
    # A search also goes to lower ones.
    for stage, repeat in ((0, 0), (2, 0), (2, 0), (2, 1), (1, 0)):
        cluster.log.append({"event": "progress", "stage": stage, "repeat": repeat})
        watch(JOB)
    assert collected == [2, 4, 5]


def test_what_can_still_be_had(cluster, crew):
    (member,) = crew.members
    member.live = cluster.pod()
    assert follow.salvage(crew) == []  # it has sent nothing
    member.said[PROGRESS] = {}
    (cluster.results / "requests.jsonl").write_text("{}\n")
    assert follow.salvage(crew) == [] and (member.place / "requests.jsonl").exists()
    cluster.away = True
    (warning,) = follow.salvage(crew)
    assert "load-1" in warning and "cannot be reached" in warning
