# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The store goes wrong, or somebody else is at work in it."""

from __future__ import annotations

import json
import threading
import time

import pytest

MANIFEST = ".model-sync/manifest.json"
SHARD = r"\.safetensors"


def error_of(result) -> dict:
    (target,) = result["destinations"]
    assert result["failed"] and target["error"]
    return target["error"]


@pytest.mark.parametrize(
    "rule",
    [
        {"match": "partNumber=", "status": 500, "times": 4},
        {"match": "partNumber=", "status": 503, "error": "SlowDown", "times": 3, "headers": {"Retry-After": "0"}},
        {"match": "", "method": "PUT", "status": 429, "error": "SlowDown", "times": 2, "headers": {"Retry-After": "0"}},
        {"match": "partNumber=", "reset": 1_000_000, "times": 3},
        {"match": "partNumber=", "flip": 100_000, "times": 2},
        {"match": "config.json", "method": "PUT", "flip": 5, "times": 1},
        {"match": r"\?uploads", "method": "POST", "status": 500, "times": 2},
        {"match": r"\?uploads", "method": "POST", "lose_answer": True, "times": 2},
        {"match": "uploadId=", "method": "POST", "status": 500, "times": 2},
        {"match": "uploadId=", "method": "POST", "lose_answer": True, "times": 2},
        {"match": MANIFEST, "method": "PUT", "lose_answer": True, "times": 1},
        {"match": "lease.json", "method": "PUT", "lose_answer": True, "times": 1},
        {"match": "list-type=2", "status": 500, "times": 2},
    ],
    ids=lambda rule: "-".join(str(value) for key, value in rule.items() if key != "headers"),
)
def test_passing_trouble_is_overcome(sync, rule):
    struck = sync.proxy.add(**rule)
    result = sync.run()
    assert not result["failed"], error_of(result)
    assert struck.struck == rule["times"]
    # A lost answer to a completion is not repeated: the store is asked what became of it.
    assert result["retries"] >= 1 or rule.get("lose_answer")
    sync.proxy.reset()
    sync.assert_complete()


def test_a_store_that_freezes_is_given_up_and_asked_again(sync):
    sync.options |= {"stall_timeout": 1.0}
    struck = sync.proxy.add("partNumber=", stall=5, times=2)
    result = sync.run()
    assert not result["failed"] and struck.struck == 2
    assert result["stalls"] == 2
    sync.assert_complete()


@pytest.mark.parametrize(
    ("match", "status", "code", "hint"),
    [
        ("partNumber=", 403, "AccessDenied", "permissions"),
        ("partNumber=", 400, "ExpiredToken", "expired"),
        ("", 403, "InvalidAccessKeyId", "permissions"),
    ],
)
def test_refusals_are_never_repeated(sync, match, status, code, hint):
    rule = sync.proxy.add(match, status=status, error=code, after=1 if match else 0)
    error = error_of(sync.run())
    assert error["kind"] == "AccessError" and code in error["message"] and hint in error["hint"]
    assert rule.struck <= 8  # those that were under way, no second try of any
    sync.proxy.reset()
    sync.assert_not_complete()
    assert not sync.run()["failed"]
    sync.assert_complete()


def test_a_store_that_stays_broken_ends_the_run(sync):
    sync.proxy.add("partNumber=", status=500)
    sync.options |= {"attempts": 2}
    error = error_of(sync.run())
    assert error["kind"] == "TransientError" and "upload a part" in error["message"]
    sync.proxy.reset()
    sync.assert_not_complete()


def test_a_bucket_that_does_not_exist(sync):
    sync.bucket = "no-such-bucket"
    error = error_of(sync.run())
    assert error["kind"] == "NotFoundError"
    assert "'no-such-bucket' does not exist" in error["message"]
    assert sync.proxy.writes() == []


def test_wrong_credentials(sync):
    request = sync.request()
    request["destinations"][0]["secret_key"] = "wrong-secret-0123456789"
    from ansible_collections.modelops.serving.plugins.module_utils._transfer.run import run_sync

    error = error_of(run_sync(request))
    assert error["kind"] == "AccessError"
    assert "wrong-secret" not in json.dumps(error)


def test_a_bucket_that_cannot_be_written(sync):
    sync.proxy.add("", method="PUT", status=403, error="AccessDenied")
    error = error_of(sync.run())
    assert error["kind"] == "AccessError" and "Cannot write" in error["message"]
    sync.proxy.reset()
    assert sync.paths() == set()


def test_a_wrong_endpoint(sync):
    from ansible_collections.modelops.serving.plugins.module_utils._transfer.run import run_sync

    request = sync.request()
    request["destinations"][0]["endpoint_url"] = "http://127.0.0.1:9"
    request["options"] = sync.options | {"attempts": 2}
    error = error_of(run_sync(request))
    assert "127.0.0.1:9" in error["message"] and "endpoint_url" in error["hint"]


def test_tls_to_a_server_that_has_none(sync):
    from ansible_collections.modelops.serving.plugins.module_utils._transfer.run import run_sync

    request = sync.request()
    request["destinations"][0]["endpoint_url"] = sync.proxy.url.replace("http:", "https:")
    request["options"] = sync.options | {"attempts": 2}
    assert "TLS" in error_of(run_sync(request))["message"]


# -- what somebody else did ------------------------------------------------------------------------------------------


def test_an_overwritten_object_is_found_and_repaired(sync):
    sync.run()
    sync.write("config.json", b"{}")
    assert sync.inspect()["status"] == "corrupt"
    result = sync.run()
    assert result["destinations"][0]["updated"]["first"] == ["config.json"]
    sync.assert_complete()


def test_a_deleted_object_is_found_and_repaired(sync):
    sync.run()
    sync.client.delete_object(Bucket=sync.bucket, Key=sync.key("tokenizer.json"))
    assert sync.inspect()["problems"]["first"] == ["tokenizer.json: missing"]
    result = sync.run()
    assert result["destinations"][0]["added"]["first"] == ["tokenizer.json"]
    sync.assert_complete()


@pytest.mark.parametrize("damage", [b"", b"{", b'{"schema": 99}', b"[]"])
def test_a_damaged_manifest_is_corrupt_and_repaired(sync, damage):
    sync.run()
    sync.write(MANIFEST, damage)
    assert sync.inspect()["status"] == "corrupt"
    assert not sync.run()["failed"]
    sync.assert_complete()


def test_what_others_put_there_is_left_alone(sync):
    sync.write("notes/mine.txt", b"mine")
    sync.run()
    assert sync.inspect()["unmanaged"] == 1
    result = sync.remove()
    assert result["destinations"][0]["stale"]["first"] == ["notes/mine.txt"]
    assert sync.paths() == {"notes/mine.txt"}


def test_something_written_into_the_prefix_during_a_run_prevents_publishing(sync):
    sync.run()
    sync.hub.faults.add("throttle", match=SHARD, role="cdn", bytes_per_second=10_000_000)
    sync.write("model-00001-of-00004.safetensors", b"old")
    sync.proxy.reset()
    process = sync.start()
    while not any("uploadId" in request.query for request in sync.proxy.passed):
        assert process.poll() is None
        time.sleep(0.01)
    sync.write("config.json", b"theirs")
    out, _err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "config.json" in out.decode() and "IntegrityError" in out.decode()
    sync.assert_not_complete()


# -- two runs at once ------------------------------------------------------------------------------------------------


def test_of_two_runs_at_once_one_wins_and_the_other_says_so(sync):
    sync.hub.faults.add("throttle", match=SHARD, role="cdn", bytes_per_second=10_000_000)
    processes = [sync.start() for _number in range(2)]
    outputs = [process.communicate(timeout=120)[0].decode() for process in processes]
    codes = [process.returncode for process in processes]
    assert sorted(codes) == [0, 3], outputs
    loser = json.loads(outputs[codes.index(3)])["result"]
    assert "is being changed by process" in loser["destinations"][0]["error"]["message"]
    sync.hub.faults.clear()
    sync.assert_complete()


def test_a_holder_on_another_machine_is_watched_before_it_is_believed_dead(sync):
    lease = {
        "id": "other", "seconds": 2, "renewed": 0, "host": "elsewhere", "boot": "b",
        "namespace": "n", "pid": 1, "started": "1",
    }  # fmt: skip
    sync.write(".model-sync/lease.json", json.dumps(lease).encode())
    result = sync.run()
    assert not result["failed"]
    assert result["seconds"] >= 2
    assert "process 1 on elsewhere" in result["warnings"][0]
    sync.assert_complete()


def test_a_holder_on_another_machine_that_renews_is_believed(sync):
    stop = threading.Event()

    def renew() -> None:
        while not stop.wait(0.3):
            lease = {
                "id": "other", "seconds": 30, "renewed": time.time(), "host": "elsewhere", "boot": "b",
                "namespace": "n", "pid": 1, "started": "1",
            }  # fmt: skip
            sync.write(".model-sync/lease.json", json.dumps(lease).encode())

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        while ".model-sync/lease.json" not in sync.paths():
            time.sleep(0.05)
        error = error_of(sync.run())
    finally:
        stop.set()
        thread.join()
    assert error["kind"] == "LockedError" and "process 1 on elsewhere" in error["message"]
    assert sync.paths() == {".model-sync/lease.json"}


def test_a_run_whose_lease_was_taken_stops_and_publishes_nothing(sync):
    sync.hub.faults.add("throttle", match=SHARD, role="cdn", bytes_per_second=4_000_000)
    process = sync.start()
    while not any("uploadId" in request.query for request in sync.proxy.passed):
        assert process.poll() is None
        time.sleep(0.01)
    sync.write(".model-sync/lease.json", b'{"id": "thief"}')
    out, _err = process.communicate(timeout=60)
    assert process.returncode == 3, out
    assert "taken over" in out.decode()
    sync.assert_not_complete()


# -- several destinations ----------------------------------------------------------------------------------------


def test_one_bad_destination_does_not_harm_the_other(sync):
    good, bad = sync.destination, sync.destination | {"bucket": "no-such-bucket"}
    sync.hub.clear_requests()
    result = sync.run(destinations=[good, bad])
    assert result["failed"]
    assert [target["error"] is None for target in result["destinations"]] == [True, False]
    sync.assert_complete()


def test_two_destinations_take_one_pass_over_the_source(sync, tmp_path):
    local = {"type": "local", "path": str(tmp_path), "prefix": "models"}
    result = sync.run(destinations=[sync.destination, local])
    assert not result["failed"]
    sizes = [target["bytes"] for target in result["destinations"]]
    assert sizes[0] == sizes[1]
    assert result["bytes_read"] < sizes[0] * 1.01  # the index is read once more, to check the shards
    sync.assert_complete()
    for path, content in sync.expected().items():
        assert (tmp_path / "models/model" / path).read_bytes() == content


def test_a_destination_that_fails_halfway_does_not_harm_the_other(sync, tmp_path):
    local = {"type": "local", "path": str(tmp_path), "prefix": "models"}
    sync.proxy.add("partNumber=", status=403, error="AccessDenied", after=3)
    result = sync.run(destinations=[sync.destination, local])
    assert [target["status"] for target in result["destinations"]] == ["partial", "complete"]
    assert result["destinations"][0]["error"]["kind"] == "AccessError"
    sync.proxy.reset()
    sync.assert_not_complete()
    for path, content in sync.expected().items():
        assert (tmp_path / "models/model" / path).read_bytes() == content


# -- checksums ---------------------------------------------------------------------------------------------------


def test_a_store_that_knows_no_new_checksums_is_written_with_md5(sync):
    sync.proxy.refuse_header = "x-amz-checksum-"
    result = sync.run()
    assert not result["failed"], error_of(result)
    sync.assert_complete()


def test_a_store_without_conditional_writes(sync):
    sync.proxy.refuse_header = "if-"
    result = sync.run()
    assert not result["failed"], error_of(result)
    sync.assert_complete()
    sync.write(".model-sync/lease.json", json.dumps(lease_of_this_process()).encode())
    sync.write("config.json", b"{}")
    assert error_of(sync.run())["kind"] == "LockedError"


def lease_of_this_process() -> dict:
    from ansible_collections.modelops.serving.plugins.module_utils._transfer import prefix

    return {"id": "other", "seconds": 30, "renewed": 0, **prefix._this_process()}


def test_a_store_that_looks_at_no_checksum_gets_signed_bodies(sync):
    sync.proxy.accept_probes = True
    result = sync.run()
    assert not result["failed"], error_of(result)
    parts = [request for request in sync.proxy.passed if "partNumber=" in request.query]
    assert parts and all(len(request.payload) == 64 for request in parts)
    sync.proxy.reset()
    sync.assert_complete()
