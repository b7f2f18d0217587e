# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What locust runs: completions that are streamed, each user sending at a steady pace whatever comes back."""

from __future__ import annotations

import json
import os
import time

from locust import FastHttpUser, constant_throughput, task

_BODY = json.dumps(
    {
        "model": os.environ["BENCH_MODEL"],
        "prompt": "Say something. " * 16,
        "max_tokens": int(os.environ["BENCH_TOKENS"]),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
)
_HEADERS = {"Content-Type": "application/json"}


class User(FastHttpUser):
    """One of many. The first line of an answer is reported as a request of its own, called ttft."""

    wait_time = constant_throughput(float(os.environ["BENCH_RATE_PER_USER"]))

    @task
    def complete(self) -> None:
        begun, first = time.perf_counter(), None
        for line in self.client.iter_lines("/v1/completions", "POST", data=_BODY, headers=_HEADERS):
            if first is None and line:
                first = (time.perf_counter() - begun) * 1000
        if first is None:
            return  # counted as failed already
        self.environment.events.request.fire(
            request_type="SSE", name="ttft", response_time=first, response_length=0, exception=None, context={}
        )
