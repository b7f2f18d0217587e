# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Hub goes wrong: in none of these cases may a complete manifest appear over wrong content."""

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    AccessError,
    DeadlineError,
    InputError,
    IntegrityError,
    NotFoundError,
    TransientError,
)

SHARD = r"\.safetensors"


def test_a_clean_run_is_complete_and_a_second_one_moves_nothing(sync):
    first = sync.run()
    assert first["changed"] and not first["failed"]
    sync.assert_complete()
    sync.hub.clear_requests()
    sync.proxy.reset()
    second = sync.run()
    assert not second["changed"] and second["bytes_read"] == 0
    assert len(sync.hub.requests()) == 1
    assert [request.method for request in sync.proxy.passed] == ["GET", "GET"]


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "cut", "match": "", "role": "cdn", "after_bytes": 700_000, "times": 3},
        {"action": "reset", "match": "", "role": "cdn", "after_bytes": 1_000_000, "times": 3},
        {"action": "short", "match": "", "role": "cdn", "missing_bytes": 5, "times": 2},
        {"action": "ignore_range", "match": "", "role": "cdn", "times": 2},
        {"action": "empty_body", "match": "", "role": "cdn", "times": 2},
        {"action": "gzip", "match": "", "role": "cdn", "times": 2, "force": True},
        {"action": "status", "match": "", "code": 500, "times": 3},
        {"action": "status", "match": "", "code": 503, "times": 2, "role": "cdn"},
        {"action": "status", "match": "resolve", "code": 429, "times": 2, "retry_after": 0.2},
        {"action": "expire_url", "match": "", "role": "cdn", "times": 2},
        {"action": "expire_url", "match": SHARD, "role": "hub", "times": 1},
        {"action": "wrong_etag", "match": "", "role": "cdn"},
        {"action": "cut", "match": "config|tokenizer", "role": "hub", "after_bytes": 10, "times": 3},
    ],
    ids=lambda fault: "-".join(str(fault[key]) for key in ("action", "role", "code") if key in fault),
)
def test_passing_trouble_is_overcome(sync, fault):
    sync.hub.faults.add(**fault)
    result = sync.run()
    assert result["changed"] and not result["failed"]
    sync.hub.faults.clear()
    sync.assert_complete()


def test_a_retry_waits_as_long_as_the_hub_asks(sync):
    sync.hub.faults.add(
        "status", match="resolve", code=429, times=1, ratelimit={"resource": "resolvers", "r": 0, "t": 2}
    )
    result = sync.run()
    assert result["retries"] >= 1 and result["seconds"] >= 2


def test_a_server_that_freezes_is_given_up_and_asked_again(sync):
    sync.options |= {"stall_timeout": 1.0}
    sync.hub.faults.add("stall", match=SHARD, role="cdn", seconds=30, after_bytes=200_000, times=2)
    result = sync.run()
    assert result["stalls"] == 2 and result["retries"] >= 2
    assert result["seconds"] < 20
    sync.hub.faults.clear()
    sync.assert_complete()


def test_a_server_that_stays_frozen_ends_the_run(sync):
    sync.options |= {"stall_timeout": 0.5, "attempts": 2}
    sync.hub.faults.add("stall", match=SHARD, role="cdn", seconds=30)
    with pytest.raises(TransientError, match="stall timeout"):
        sync.run()
    sync.hub.faults.clear()
    sync.assert_not_complete()


def test_the_deadline_ends_a_slow_run_and_a_later_one_goes_on(sync):
    sync.options |= {"timeout": 3.0}
    sync.hub.faults.add("throttle", match=SHARD, role="cdn", bytes_per_second=2_000_000)
    with pytest.raises(DeadlineError, match="deadline of 3 seconds"):
        sync.run()
    sync.hub.faults.clear()
    sync.assert_not_complete()
    del sync.options["timeout"]
    result = sync.run()
    sync.assert_complete()
    (target,) = result["destinations"]
    assert target["bytes_sent"] < target["bytes"]


@pytest.mark.parametrize("offset", [0, 8_000_000])
def test_one_flipped_byte_is_found(sync, offset):
    sync.hub.faults.add("flip", match="model-00001-of", role="cdn", offset=offset)
    with pytest.raises(IntegrityError, match="model-00001-of"):
        sync.run()
    sync.hub.faults.clear()
    sync.assert_not_complete()
    assert "model-00001-of-00004.safetensors" not in sync.paths()
    sync.run()
    sync.assert_complete()


def test_one_flipped_byte_in_a_small_file_is_found(sync):
    sync.hub.faults.add("flip", match="config.json", role="hub", offset=3)
    with pytest.raises(IntegrityError, match="git blob SHA-1"):
        sync.run()
    sync.hub.faults.clear()
    sync.assert_not_complete()
    assert "config.json" not in sync.paths()


def test_a_file_that_is_listed_but_gone_ends_the_run(sync):
    sync.hub.faults.add("remove_file", match="tokenizer.json")
    with pytest.raises(NotFoundError, match=r"tokenizer\.json"):
        sync.run()
    sync.assert_not_complete()


def test_a_shard_that_the_index_names_must_be_selected(sync):
    sync.source = {"ignore_patterns": ["model-00002-of-*"]}
    with pytest.raises(IntegrityError, match=r"model-00002-of-00004\.safetensors"):
        sync.run()
    assert sync.paths() == set()


def test_config_json_must_be_there_unless_switched_off(sync):
    sync.source = {"ignore_patterns": ["config.json"]}
    with pytest.raises(IntegrityError, match=r"no config\.json"):
        sync.run()
    assert sync.paths() == set()
    sync.options |= {"require_config": False}
    assert sync.run()["changed"]


def test_a_branch_that_moves_during_a_run_changes_nothing_of_it(sync, request):
    commits = sync.hub.repository(sync.repo)
    before, after = (commit for commit in list(commits.commits)[:2])
    sync.hub.move_main(sync.repo, before)
    request.addfinalizer(lambda: sync.hub.move_main(sync.repo, after))
    sync.hub.faults.add("throttle", match=SHARD, role="cdn", bytes_per_second=30_000_000)
    process = sync.start()
    while not any(call.role == "cdn" for call in sync.hub.requests()):
        assert process.poll() is None
    sync.hub.move_main(sync.repo, after)
    assert process.wait(60) == 0, process.stderr.read()
    sync.assert_complete(before)
    result = sync.run()
    assert result["revision"] == after
    sync.assert_complete(after)


# -- bad input -------------------------------------------------------------------------------------------------------


def test_an_unknown_repository(sync):
    sync.repo = "local/nothing"
    with pytest.raises(NotFoundError, match=r"local/nothing on http://.* does not exist, or is private"):
        sync.run()
    assert sync.paths() == set()


def test_an_unknown_revision(sync):
    sync.source = {"revision": "v99"}
    with pytest.raises(NotFoundError, match="no revision 'v99'"):
        sync.run()
    assert sync.paths() == set()


def test_patterns_that_match_nothing(sync):
    sync.source = {"allow_patterns": ["*.nothing"]}
    with pytest.raises(NotFoundError, match=r"\['\*\.nothing'\]"):
        sync.run()
    assert sync.paths() == set()


def test_a_gated_repository_without_a_token_names_its_page(sync):
    sync.repo = "local/gated-llama"
    with pytest.raises(AccessError, match=f"{sync.hub.endpoint}/local/gated-llama"):
        sync.run()
    assert sync.paths() == set()


@pytest.mark.parametrize("token", ["stranger", "revoked"])
def test_a_gated_repository_with_a_token_that_may_not(sync, token):
    sync.repo = "local/gated-llama"
    sync.source = {"token": sync.hub.tokens[token]}
    with pytest.raises(AccessError) as caught:
        sync.run()
    assert sync.hub.tokens[token] not in str(caught.value)
    assert sync.paths() == set()


def test_a_token_with_a_newline_works_and_is_warned_about(sync):
    sync.repo = "local/gated-llama"
    sync.source = {"token": sync.hub.tokens["reader"] + "\n"}
    result = sync.run()
    assert result["changed"]
    assert result["warnings"] == ["The token had white space around it, which was removed."]


def test_the_token_never_leaves_the_hub(sync):
    sync.repo = "local/gated-llama"
    sync.source = {"token": sync.hub.tokens["reader"]}
    sync.run()
    calls = sync.hub.requests()
    assert any(call.role == "cdn" for call in calls)
    assert not any(call.authorized for call in calls if call.role == "cdn")
    assert all(call.authorized for call in calls if call.role == "hub")


def test_a_hub_that_is_not_there(sync):
    sync.source = {"endpoint": "http://127.0.0.1:9"}
    sync.options |= {"attempts": 2}
    with pytest.raises(TransientError, match=r"127\.0\.0\.1:9"):
        sync.run()
    assert sync.paths() == set()


@pytest.mark.parametrize("name", ["../up", "a/../b", "/", "a//b", ".model-sync", "a\nb"])
def test_a_name_that_would_escape(sync, name):
    sync.name = name
    with pytest.raises(InputError):
        sync.run()
