# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of progress."""

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._bench.builtin.run import Progress
from ansible_collections.modelops.serving.plugins.module_utils._measure.status import Status, line, remaining
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._bench.runs import a_workload

STAGES = [{"rate": 10, "duration": 30}, {"rate": 20, "requests": 100}]


def progress(**changes):
    fields = {
        "run_id": "a-run",
        "repeat": 0,
        "repeats": 1,
        "stage": 0,
        "stages": 2,
        "state": "sending",
        "kind": "rate",
        "asked": 10.0,
        "sent": 101,
        "completed": 90,
        "errors": 1,
        "in_flight": 10,
        "requests_s": 9.5,
        "tokens_s": 95.0,
        "elapsed": 10.0,
        "remaining": 20.0,
        **changes,
    }
    return Progress(**fields)


#: The tools of others tell nothing until they have ended.
SILENT = dict.fromkeys(("sent", "completed", "errors", "in_flight", "requests_s", "tokens_s"))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {},
            "stage 1 of 2, 10 requests/s asked, 9.5 answered/s, 95 tokens/s, 10 in flight, 1 error, 25 s left",
        ),
        (
            {"kind": "concurrency", "stage": 1, "repeats": 2, "errors": 0, "remaining": None},
            "stage 2 of 2, repeat 1 of 2, 10 in flight asked, 9.5 answered/s, 95 tokens/s, 10 in flight, 0 errors",
        ),
        ({"state": "draining"}, "stage 1 of 2, 90 of 101 requests answered, waiting for 10 more, 1 error"),
        ({"state": "draining", "in_flight": 0, "errors": 11}, "stage 1 of 2, 90 of 101 requests answered, 11 errors"),
        ({"state": "warmup", "stage": -1, "completed": 3}, "warm-up, 3 of 4 requests answered, 1 error"),
        (
            {"server_running": 8.0, "server_waiting": 2.0, "errors": 0},
            (
                "stage 1 of 2, 10 requests/s asked, 9.5 answered/s, 95 tokens/s, 10 in flight, 0 errors, "
                "server 8 running and 2 waiting, 25 s left"
            ),
        ),
        (
            {**SILENT, "server_waiting": 2.0},
            "stage 1 of 2, 10 requests/s asked, server 2 waiting, 25 s left",
        ),
        ({**SILENT, "state": "warmup", "stage": -1}, "warm-up, 4 requests"),
    ],
)
def test_lines(changes, told):
    assert line(progress(**changes), a_workload(stages=STAGES, warmup={"requests": 4})) == told


def test_what_remains_is_that_of_all_stages():
    workload = a_workload(stages=STAGES, repeats=3)
    assert remaining(progress(repeats=3), workload) == 20 + 5 + 2 * 35
    assert remaining(progress(repeats=3, repeat=2, stage=1, remaining=1.0), workload) == 1
    # How long it takes is up to the server.
    assert remaining(progress(), a_workload(stages=[STAGES[0], {"concurrency": 1, "requests": 9}])) is None


def test_of_a_search_only_the_stage_is_known():
    workload = a_workload(stages=STAGES, slo={"ttft_p50_ms": 9}, search=True, repeats=2)
    told = line(progress(**SILENT, repeats=2, remaining=20.0), workload)
    assert told == "search, stage 1 of 2, repeat 1 of 2, 10 requests/s asked, 50 s left of this stage"


def test_a_line_per_change_and_per_interval():
    workload, shown = a_workload(stages=STAGES), []
    status = Status(workload, shown.append, 3600)
    for changes in ({}, {"sent": 102}, {"state": "draining"}, {"stage": 1}, {"stage": 1, "sent": 103}):
        status(progress(**changes))
    assert len(shown) == 3
    status = Status(workload, shown.append, 0)
    status(progress())
    status(progress(sent=102))
    assert len(shown) == 5
