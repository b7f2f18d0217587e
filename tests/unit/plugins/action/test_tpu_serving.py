# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import types

import pytest

from ansible_collections.modelops.serving.plugins.action.tpu_serving import ActionModule

ARGS = {"name": "a", "model": {"name": "org/model"}, "manifest": {"type": "s3", "bucket": "b"}}
WHOLE = {"models": [{"status": "complete", "url": "s3://b/org/model/", "problems": {"first": []}}]}
ASKS = {"failed": True, "error": {"kind": "UncheckedError"}}


class Plugin(ActionModule):
    """Answers what is given, in this order, instead of running modules."""

    def __init__(self, *answers):
        self.answers, self.ran, self.warned = list(answers), [], []
        self._display = types.SimpleNamespace(warning=self.warned.append)

    def _execute_module(self, module_name=None, module_args=None, task_vars=None, wrap_async=False):
        self.ran.append((module_name, module_args, wrap_async))
        return self.answers.pop(0)


def info(found):
    return ("modelops.serving.model_sync_info", found, False)


LOOK = info({"names": ["org/model"], "destinations": [ARGS["manifest"]], "stall_timeout": 10, "attempts": 2})
REST = {"name": "a", "model": {"name": "org/model"}}


@pytest.mark.parametrize(
    "answer", [{"changed": False}, {"failed": True, "error": {"kind": "WaitError"}}, {"failed": True}]
)
def test_nothing_is_looked_at_where_nothing_is_written(answer):
    plugin = Plugin(answer)
    assert plugin._module(ARGS, {}, wrap_async=False) == answer
    assert plugin.ran == [(None, ARGS, False)]


def test_the_copy_is_looked_at_before_something_is_written():
    plugin = Plugin(ASKS, WHOLE, {"changed": True})
    assert plugin._module(ARGS, {}, wrap_async=False) == {"changed": True}
    assert plugin.ran == [(None, ARGS, False), LOOK, (None, REST, False)]


def test_nothing_is_written_without_a_whole_copy():
    plugin = Plugin(ASKS, {"failed": True, "msg": "no", "error": {"kind": "AccessError"}})
    assert plugin._module(ARGS, {}, wrap_async=False)["error"]["kind"] == "AccessError"
    assert plugin.ran == [(None, ARGS, False), LOOK]


def test_a_place_that_does_not_answer_is_a_warning():
    plugin = Plugin(ASKS, {"failed": True, "msg": "no answer.", "error": {"kind": "TransientError"}}, {"changed": True})
    assert plugin._module(ARGS, {}, wrap_async=False) == {"changed": True}
    assert plugin.warned == ["Whether the copy of org/model is complete was not checked: no answer."]


def test_a_job_is_begun_with_a_copy_that_has_been_looked_at():
    plugin = Plugin(WHOLE, {"ansible_job_id": "1"})
    assert plugin._module(ARGS, {}, wrap_async=True)["ansible_job_id"] == "1"
    assert plugin.ran == [LOOK, (None, REST, True)]
    for args in (REST, {**ARGS, "state": "absent"}):
        plugin = Plugin({"ansible_job_id": "1"})
        plugin._module(args, {}, wrap_async=True)
        assert plugin.ran == [(None, args, True)]


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        ("absent", "NotFoundError", "There is no copy of org/model at u: it has no manifest."),
        ("partial", "IntegrityError", "The copy of org/model at u is partial. a is missing."),
        ("corrupt", "IntegrityError", "The copy of org/model at u is corrupt. a is missing."),
    ],
)
def test_what_is_said_of_a_copy_that_is_not_whole(status, kind, message):
    plugin = Plugin(ASKS, {"models": [{"status": status, "url": "u", "problems": {"first": ["a is missing."]}}]})
    said = plugin._module(ARGS, {}, wrap_async=False)
    assert said["failed"] and said["error"].pop("hint") in said["msg"]
    assert said["error"] == {"kind": kind, "message": message} and said["msg"].startswith(message)
    assert "model_sync" in said["msg"]
