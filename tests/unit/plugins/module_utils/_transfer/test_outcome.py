# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run's result in short, and within what Kubernetes keeps of it."""

from __future__ import annotations

import json

import hypothesis
from hypothesis import strategies

from ansible_collections.modelops.serving.plugins.module_utils._transfer.outcome import (
    MESSAGE_BYTES,
    summary,
    termination_message,
)
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._transfer.fakes import properties


def error(message="m", hint=""):
    return {"kind": "StoreError", "message": message, "hint": hint}


def destination(url="s3://b/m/", **fields):
    names = {"count": 2, "first": ["secret-name", "b"]}
    return {
        "url": url, "status": "complete", "changed": True, "revision": "r1", "previous_revision": "r0", "files": 3,
        "bytes": 10, "added": names, "updated": names, "removed": names, "stale": names, "bytes_to_send": 5,
        "bytes_sent": 5, "bytes_resumed": 0, "bytes_copied": 0, "error": None, **fields,
    }  # fmt: skip


def result(*destinations, **fields):
    return {
        "changed": True, "failed": False, "name": "org/M", "revision": "r1", "destinations": list(destinations),
        "bytes_read": 5, "warnings": ["w"], **fields,
    }  # fmt: skip


def test_a_summary_holds_numbers_instead_of_names():
    shard = {"index": 0, "count": 2, "done": 1, "published": False}
    assert summary(result(destination(shard=shard))) == {
        "changed": True, "failed": False, "name": "org/M", "revision": "r1", "error": None,
        "destinations": [{
            "url": "s3://b/m/", "status": "complete", "changed": True, "revision": "r1", "files": 3, "bytes": 10,
            "bytes_sent": 5, "shard": shard, "added": 2, "updated": 2, "removed": 2, "stale": 2, "error": None,
        }],
    }  # fmt: skip


def test_a_run_that_did_not_begin_has_a_summary_too():
    short = summary({"failed": True, "error": error()})
    assert short == {
        "changed": False, "failed": True, "name": None, "revision": None, "destinations": [], "error": error(),
    }  # fmt: skip


def test_what_fits_is_not_cut():
    outcome = result(destination(), error=error("m" * 900, "h" * 900))
    assert json.loads(termination_message(outcome)) == summary(outcome)


def test_long_texts_are_cut_first():
    outcome = result(destination(error=error("m" * 5000)), destination("s3://other/"), failed=True)
    message = termination_message(outcome)
    assert len(message) <= MESSAGE_BYTES
    short = json.loads(message)
    assert [found["url"] for found in short["destinations"]] == ["s3://b/m/", "s3://other/"]
    assert short["destinations"][0]["error"]["message"] == "m" * 997 + "..."


def test_then_destinations_that_went_well_are_left_out():
    good = [destination(f"s3://bucket-{number}/") for number in range(40)]
    outcome = result(*good, destination("s3://bad/", error=error("why")), failed=True)
    message = termination_message(outcome)
    assert MESSAGE_BYTES - 400 < len(message) <= MESSAGE_BYTES
    short = json.loads(message)
    assert short["destinations"][0]["url"] == "s3://bad/"
    assert short["destinations"][0]["error"]["message"] == "why"
    assert len(short["destinations"]) + short["destinations_omitted"] == 41


TEXT = strategies.text(max_size=3000)


@properties
@hypothesis.given(TEXT, TEXT, strategies.lists(strategies.tuples(TEXT, TEXT), max_size=30))
def test_it_always_fits_and_always_is_json(name, message, destinations):
    found = [destination(url, error=error(text) if text else None) for url, text in destinations]
    body = termination_message(result(*found, name=name, error=error(message, message)))
    assert len(body) <= MESSAGE_BYTES
    assert json.loads(body)["changed"] is True
