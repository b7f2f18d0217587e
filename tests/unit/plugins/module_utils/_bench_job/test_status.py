# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far several Pods are, as if they were one."""

from __future__ import annotations

from ansible_collections.modelops.serving.plugins.module_utils._bench.workload import parse
from ansible_collections.modelops.serving.plugins.module_utils._bench_job.status import Status, total


def told(**changes):
    return {
        "event": "progress",
        "run_id": "",
        "repeat": 0,
        "repeats": 1,
        "stage": 0,
        "stages": 2,
        "state": "sending",
        "kind": "rate",
        "asked": 5.0,
        "sent": 9,
        "completed": 8,
        "errors": 1,
        "in_flight": 2,
        "requests_s": 4.5,
        "tokens_s": 36.0,
        "elapsed": 2.0,
        "remaining": 3.0,
        "server_running": None,
        "server_waiting": None,
        **changes,
    }


def test_sums_of_those_that_are_furthest_behind():
    found = total([told(remaining=4.0, server_waiting=7.0), told(state="draining", remaining=0.0), told(stage=1)])
    assert (found.stage, found.state, found.asked, found.completed, found.errors) == (0, "sending", 10.0, 16, 2)
    assert (found.remaining, found.server_waiting) == (4.0, 7.0)
    assert total([told(), told(remaining=None)]).remaining is None


def test_what_a_tool_does_not_tell_stays_unknown():
    unknown = dict.fromkeys(("sent", "completed", "errors", "in_flight", "requests_s", "tokens_s"))
    found = total([told(**unknown), told(**unknown)])
    assert (found.asked, found.sent, found.tokens_s) == (10.0, None, None)


def test_a_line():
    workload = {
        "endpoint": "http://server",
        "protocol": "openai_completions",
        "model": "m",
        "data": {"type": "synthetic", "input_tokens": 4, "output_tokens": 4},
        "stages": [{"rate": 10, "duration": 5}] * 2,
    }
    lines = []
    Status(parse(workload), lines.append, 10)([told(), told()])
    (line,) = lines
    assert "stage 1 of 2, 10 requests/s asked" in line and "8 s left" in line
