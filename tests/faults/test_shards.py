# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that share one sync, as the pods of an Indexed Job do: at once, killed, in a race, and against others."""

from __future__ import annotations

import json
import threading
import time

import pytest
import s3_proxy

from ansible_collections.modelops.serving.plugins.module_utils._transfer.model import FileEntry
from ansible_collections.modelops.serving.plugins.module_utils._transfer.shards import split

COUNT = 3
WEIGHTS = r"\.safetensors"


@pytest.fixture
def member(sync):
    """Starts the process of one shard."""
    started = []

    def start(index, *, group="first"):
        options = sync.options | {"group": group, "shards": COUNT, "shard": index}
        started.append(sync.start(options=options))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


def end(process):
    """Exit status, and the result at the one destination."""
    out, err = process.communicate(timeout=120)
    result = json.loads(out)["result"]
    assert "destinations" in result, (result, err)
    (target,) = result["destinations"]
    return process.returncode, target


def done(processes):
    ends = [end(process) for process in processes]
    assert [status for status, _target in ends] == [0] * len(processes), ends
    return [target for _status, target in ends]


def shares(sync):
    entries = [FileEntry(path, len(data), "") for path, data in sync.expected().items()]
    return [{entry.path for entry in share} for share in split(entries, COUNT)]


def files_written(proxy):
    """Paths of data objects as they became visible."""
    return [
        request.path
        for request in proxy.passed
        if request.status == 200
        and "/.model-sync/" not in request.path
        and ((request.method == "PUT" and "partNumber=" not in request.query) or request.method == "POST")
        and request.query != "uploads"
    ]


def manifests_written(proxy):
    return [
        request
        for request in proxy.passed
        if request.method == "PUT" and request.path.endswith("/manifest.json") and request.status == 200
    ]


def test_three_at_once_move_each_file_once_and_publish_once(sync, member):
    targets = done([member(index) for index in range(COUNT)])
    assert sum(target["shard"]["published"] for target in targets) == 1
    assert [target["status"] for target in targets if target["shard"]["published"]] == ["complete"]
    sizes = {path: len(data) for path, data in sync.expected().items()}
    for target, share in zip(targets, shares(sync), strict=True):
        assert target["bytes_sent"] == sum(sizes[path] for path in share)
    assert len(manifests_written(sync.proxy)) == 1
    assert sorted(files_written(sync.proxy)) == sorted(f"/{sync.bucket}/{sync.key(path)}" for path in sizes)
    sync.assert_complete()
    assert not sync.run()["changed"]


def test_one_that_is_killed_and_started_again_goes_on_where_it_ended(sync, member):
    sync.hub.faults.add("throttle", match=WEIGHTS, role="cdn", bytes_per_second=6_000_000)
    (large,) = (path for path in shares(sync)[0] if path.endswith(".safetensors"))
    processes = [member(index) for index in range(COUNT)]

    def has_part(request):
        return request.path.endswith(large) and "partNumber=" in request.query and request.status == 200

    while not any(has_part(request) for request in sync.proxy.passed):
        assert processes[0].poll() is None
        time.sleep(0.01)
    processes[0].kill()
    processes[0].communicate()
    sync.hub.faults.clear()
    others = done(processes[1:])
    assert [target["status"] for target in others] == ["partial"] * 2
    sync.assert_not_complete()
    assert sync.inspect()["shards"] == {"done": 2, "count": COUNT}
    sent = sum(target["bytes_sent"] for target in others)

    (target,) = done([member(0)])
    assert (target["status"], target["shard"]["published"]) == ("complete", True)
    assert target["bytes_resumed"] >= sync.options["part_size"]
    assert sent + target["bytes_sent"] < target["bytes"]
    assert len(manifests_written(sync.proxy)) == 1
    sync.assert_complete()


def test_two_that_finish_in_the_same_instant_publish_once_and_both_end_well(sync, member, monkeypatch):
    done([member(0)])
    recorded, publishing = threading.Barrier(2), threading.Barrier(2)
    answer, pass_on = s3_proxy._Handler._answer, s3_proxy._Handler._pass

    def hold_records(handler, *args, **kwargs):
        if handler.command == "PUT" and "/shards/" in handler.path:
            recorded.wait(60)  # both records are there before either process looks who else is done
        answer(handler, *args, **kwargs)

    def hold_manifests(handler, *args, **kwargs):
        if handler.command == "PUT" and handler.path.partition("?")[0].endswith("/manifest.json"):
            publishing.wait(60)
        pass_on(handler, *args, **kwargs)

    monkeypatch.setattr(s3_proxy._Handler, "_answer", hold_records)
    monkeypatch.setattr(s3_proxy._Handler, "_pass", hold_manifests)
    targets = done([member(1), member(2)])
    assert [target["status"] for target in targets] == ["complete"] * 2
    assert sorted(target["shard"]["published"] for target in targets) == [False, True]
    assert len(manifests_written(sync.proxy)) == 1
    sync.assert_complete()


def test_another_group_is_refused_while_one_is_at_work(sync, member, monkeypatch):
    going, held = threading.Event(), threading.Event()
    pass_on = s3_proxy._Handler._pass

    def hold_files(handler, *args, **kwargs):
        if handler.command in ("PUT", "POST") and "/.model-sync/" not in handler.path:
            held.set()
            going.wait(60)
        pass_on(handler, *args, **kwargs)

    monkeypatch.setattr(s3_proxy._Handler, "_pass", hold_files)
    process = member(0)
    assert held.wait(60)
    status, target = end(member(1, group="second"))
    assert status == 3
    assert target["error"]["kind"] == "LockedError"
    assert "is being changed by process" in target["error"]["message"]
    going.set()
    targets = done([member(1), member(2), process])
    assert "complete" in {target["status"] for target in targets}
    sync.assert_complete()


def test_a_directory_that_all_of_them_mount(sync, tmp_path):
    local = {"type": "local", "path": str(tmp_path), "prefix": ""}
    shared = sync.options | {"group": "first", "shards": COUNT}
    processes = [sync.start(destinations=[local], options=shared | {"shard": index}) for index in range(COUNT)]
    targets = done(processes)
    assert sum(target["shard"]["published"] for target in targets) == 1
    expected = sync.expected()
    root = tmp_path / sync.name
    there = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert there == {*expected, ".model-sync/manifest.json"}
    for path, content in expected.items():
        assert (root / path).read_bytes() == content
    assert not sync.run(destinations=[local])["changed"]
