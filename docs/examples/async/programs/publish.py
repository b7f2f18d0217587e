# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Publish TOTAL_MESSAGES requests to TOPIC. A Job that is started again publishes all of them again."""

from __future__ import annotations

import os

from pubsub import PubSub, say

AT_ONCE = 1000  # https://cloud.google.com/pubsub/quotas#resource_limits


def main() -> None:
    service, topic = PubSub(os.environ["PROJECT"]), os.environ["TOPIC"]
    total, prompt = int(os.environ["TOTAL_MESSAGES"]), os.environ["PROMPT"]
    question = {"max_tokens": int(os.environ["MAX_TOKENS"])}
    for first in range(0, total, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, total))
        service.publish(
            topic, [({**question, "prompt": f"{prompt} ({number})"}, {"number": str(number)}) for number in numbers]
        )
        say("published", messages=numbers.stop, of=total)


if __name__ == "__main__":
    main()
