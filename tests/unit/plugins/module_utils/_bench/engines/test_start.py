# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import sys

from ansible_collections.modelops.serving.plugins.module_utils._bench.engines.inside import start

WRITE = (
    "import json; json.dump({'a': {'text': 1, 'b': [{'text': 2, 'c': 3}]}}, open('out.json', 'w')); open('all', 'w')"
)


def step(name, code):
    return {"name": name, "argv": [sys.executable, "-c", code]}


def test_commands_run_in_their_folders_until_one_fails(tmp_path):
    private = {"out.json": ["text"], "all": [], "missing": []}
    steps = [step("one", WRITE), step("two", "raise SystemExit(3)"), step("three", "")]
    assert start.run({"engine": "e", "cores": 2, "private": private, "steps": steps}, tmp_path) == 3
    told = json.loads((tmp_path / "steps.json").read_text())
    assert [(one["name"], one["status"]) for one in told["steps"]] == [("one", 0), ("two", 3)]
    assert told["origin"]["monotonic"] <= told["steps"][0]["cpu"][0][0]
    # What is private is gone, and nothing else.
    assert json.loads((tmp_path / "one" / "out.json").read_text()) == {"a": {"b": [{"c": 3}]}}
    assert not (tmp_path / "one" / "all").exists()
    assert not (tmp_path / "three").exists()


def test_a_file_that_was_not_written_to_its_end_is_removed(tmp_path):
    steps = [step("one", "open('out.json', 'w').write('{\"text\": ')")]
    assert start.run({"engine": "e", "cores": 1, "private": {"out.json": ["text"]}, "steps": steps}, tmp_path) == 0
    assert not (tmp_path / "one" / "out.json").exists()
