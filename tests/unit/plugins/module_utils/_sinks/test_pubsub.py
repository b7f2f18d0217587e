# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Batches of messages within the limits of Pub/Sub."""

from __future__ import annotations

import json

from ansible_collections.modelops.serving.plugins.module_utils._sinks.pubsub import batches


def messages(count, length):
    return [{"data": "x" * length, "attributes": {"run_id": "run-1", "row": str(number)}} for number in range(count)]


def test_a_batch_has_at_most_1000_messages_and_all_keep_their_order():
    given = messages(2500, 10)
    found = list(batches(iter(given)))
    assert [len(batch) for batch in found] == [1000, 1000, 500]
    assert [message for batch in found for message in batch] == given
    assert list(batches(iter(()))) == []


def test_a_batch_is_smaller_than_what_one_request_may_be():
    given = messages(40, 1_000_000)
    found = list(batches(iter(given)))
    assert [len(batch) for batch in found] == [8, 8, 8, 8, 8]
    assert max(len(json.dumps({"messages": batch})) for batch in found) < 10_000_000
    # One that is too large by itself is told by Pub/Sub, and is not lost here.
    assert [len(batch) for batch in batches(iter([*messages(1, 11_000_000), *messages(2, 1)]))] == [1, 2]
