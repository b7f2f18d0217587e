# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plain data in, plain data out."""

from __future__ import annotations

import json
import signal
import threading

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._transfer import __main__ as program
from ansible_collections.modelops.serving.plugins.module_utils._transfer import run as run_module
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    AccessError,
    InputError,
    StoppedError,
    StoreError,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.run import (
    FIRST_NAMES,
    MAX_PROBLEMS,
    progress_data,
    run_inspect,
    run_job,
    run_remove,
    run_sync,
)
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._transfer.fakes import (
    MODEL,
    MemorySource,
    MemoryStore,
)

SECRET = "s3cr3t-t0ken"
REQUEST = {"name": "org/Model", "source": {"type": "memory"}, "destinations": [{"url": "one"}]}
MANY = {f"file-{number:03}": bytes([number]) for number in range(60)}


class World:
    """What the request's data stand for."""

    def __init__(self):
        self.source = MemorySource({**MODEL, **MANY}, revision="r1")
        self.warnings = []
        self.stores = {name: MemoryStore(name=name) for name in ("one", "two")}
        self.names = []

    def build_source(self, data, control, *, pool_size=16):
        return self.source, self.warnings

    def build_store(self, data, control, *, name, pool_size=16):
        self.names.append(name)
        return self.stores[data["url"]]


@pytest.fixture
def world(monkeypatch):
    world = World()
    monkeypatch.setattr(run_module, "build_source", world.build_source)
    monkeypatch.setattr(run_module, "build_store", world.build_store)
    return world


def request(**changes):
    return {**REQUEST, **changes}


BOTH = request(destinations=[{"url": "one"}, {"url": "two"}])


# -- bad requests ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prun": True}, "'prun'"),
        ({"workers": 0}, "workers is 0"),
        ({"workers": -1}, "workers is -1"),
        ({"workers": "4"}, "workers must be"),
        ({"workers": 4.0}, "workers must be"),
        ({"workers": True}, "workers must be"),
        ({"part_size": 5 * 1024**2 - 1}, "part_size 5242879"),
        ({"part_size": "16MiB"}, "part_size must be"),
        ({"prune": "yes"}, "prune must be"),
        ({"prune": 1}, "prune must be"),
        ({"timeout": 0}, "timeout must be"),
        ({"timeout": -1}, "timeout must be"),
        ({"timeout": "1h"}, "timeout must be"),
        ({"interval": 0}, "interval must be"),
        ({"attempts": "many"}, "attempts must be"),
        ({"group": 5}, "group must be a string"),
        ({"shards": 2}, "shards is 2, shard 0 and group ''"),
        ({"shards": 0, "group": "g"}, "shards is 0"),
        ({"shards": 2, "shard": 2, "group": "g"}, "shard 2"),
        ({"shards": 2, "shard": -1, "group": "g"}, "shard -1"),
        ([1], "not a mapping"),
        ("prune", "not a mapping"),
    ],
    ids=repr,
)
def test_bad_options_are_refused_before_anything_is_touched(world, options, message):
    for call in (run_sync, run_inspect, run_remove):
        with pytest.raises(InputError, match=message):
            call(request(options=options))
    assert world.names == []


@pytest.mark.parametrize(
    "options",
    [
        {},
        None,
        {"prune": None, "workers": None},
        {"workers": 1, "part_size": 5 * 1024**2, "timeout": 60, "stall_timeout": 1.5, "attempts": 1},
        {"interval": 1, "lease_seconds": 5},
    ],
)
def test_good_options_are_taken(world, options):
    assert run_sync(request(options=options))["changed"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"destinations": None}, "needs destinations"),
        ({"destinations": []}, "needs destinations"),
        ({"destinations": {"url": "one"}}, "must be a list"),
        ({"destinations": "one"}, "must be a list"),
        ({"name": 5}, "name must be a string"),
        ({"name": ["a"]}, "name must be a string"),
        ({"name": None, "source": None}, "needs source"),
        ({"name": "", "source": {}}, "needs source"),
    ],
    ids=repr,
)
def test_bad_requests_are_refused(world, changes, message):
    for call in (run_sync, run_inspect, run_remove):
        with pytest.raises(InputError, match=message):
            call(request(**changes))


def test_a_sync_needs_a_source_even_with_a_name(world):
    with pytest.raises(InputError, match="needs source"):
        run_sync(request(source=None))


@pytest.mark.parametrize("source", ["text", ["list"], 5])
@pytest.mark.parametrize("name", ["org/Model", None])
def test_a_source_is_a_mapping(source, name):
    with pytest.raises(InputError, match="not a mapping"):
        run_sync(request(source=source, name=name))


@pytest.mark.parametrize("destination", ["text", ["list"], 5])
def test_a_destination_is_a_mapping(destination):
    with pytest.raises(InputError, match="not a mapping"):
        run_inspect(request(destinations=[destination]))


def test_what_lies_in_place_is_given_a_manifest(world):
    store = world.stores["one"]
    for path, data in MODEL.items():
        store.put(path, data)
    result = as_json(run_sync(request(source={"type": "in_place"})))
    assert (result["changed"], result["failed"]) == (True, False)
    assert store.files == MODEL
    assert store.manifest is not None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"destinations": [{"url": "one"}, {"url": "two"}]}, "exactly one destination"),
        ({"options": {"side_by_side": True}}, "side_by_side"),
        ({"name": None}, "needs a name"),
    ],
    ids=repr,
)
def test_what_lies_in_place_has_one_place(world, changes, message):
    with pytest.raises(InputError, match=message):
        run_sync(request(source={"type": "in_place"}, **changes))


def test_the_name_is_that_of_the_source_by_default(world):
    assert run_sync(request(name=None, source={"repo": "google/gemma"}))["name"] == "google/gemma"
    assert run_sync(request(source={"repo": "google/gemma"}))["name"] == "org/Model"
    assert world.names == ["google/gemma", "org/Model"]


# -- results ---------------------------------------------------------------------------------------------------


def as_json(result):
    """The result as it comes out on the other side of a pipe."""
    again = json.loads(json.dumps(result))
    assert again == result
    return again


def test_a_result_says_what_happened(world):
    result = as_json(run_sync(REQUEST))
    assert (result["changed"], result["failed"], result["name"], result["revision"]) == (True, False, "org/Model", "r1")
    assert result["warnings"] == []
    (target,) = result["destinations"]
    assert (target["url"], target["status"], target["files"], target["error"]) == ("one://m/", "complete", 63, None)
    assert target["bytes"] == target["bytes_sent"] == result["bytes_read"]
    assert result["seconds"] >= 0


def test_lists_of_names_are_bounded(world):
    target = run_sync(REQUEST)["destinations"][0]
    assert target["added"] == {"count": 63, "first": sorted({**MODEL, **MANY})[:FIRST_NAMES]}
    world.source = MemorySource(MODEL, revision="r2")
    target = run_sync(REQUEST)["destinations"][0]
    assert target["stale"] == {"count": 60, "first": sorted(MANY)[:FIRST_NAMES]}
    target = run_sync(request(options={"prune": True}), check=True)["destinations"][0]
    assert target["removed"] == {"count": 60, "first": sorted(MANY)[:FIRST_NAMES]}
    assert len(json.dumps(target)) < 2000


def test_check_mode_writes_nothing(world):
    assert run_sync(REQUEST, check=True)["changed"]
    assert world.stores["one"].writes == []


def test_a_failed_destination_is_in_the_result(world):
    world.stores["two"].broken("prepare", AccessError("Not allowed.", hint="Ask for it."))
    result = as_json(run_sync(BOTH))
    assert result["failed"]
    assert [target["error"] for target in result["destinations"]] == [
        None,
        {"kind": "AccessError", "message": "Not allowed.", "hint": "Ask for it."},
    ]


def test_warnings_come_along(world):
    world.warnings.append("The token had white space around it.")
    assert run_sync(REQUEST)["warnings"] == ["The token had white space around it."]


def test_a_stop_that_was_asked_for_ends_the_run(world):
    stop = threading.Event()
    held = threading.Event()

    def hold(entry, start, end):
        stop.set()
        held.wait(0.05)

    world.source.before_open = hold
    with pytest.raises(StoppedError, match="asked to stop") as caught:
        run_sync(REQUEST, stop=stop)
    assert "Run it again" in caught.value.hint
    assert world.stores["one"].manifest is None


def test_progress_is_plain_data(world):
    reports = []
    run_sync(REQUEST, on_progress=reports.append)
    data = as_json(progress_data(reports[-1]))
    assert (data["phase"], data["files_done"]) == ("publish", 63)
    assert data["time"] > 0


def test_inspecting_describes_each_destination(world):
    run_sync(REQUEST)
    one, two = as_json(run_inspect(BOTH))
    assert (one["status"], one["revision"], one["files"], one["files_present"]) == ("complete", "r1", 63, 63)
    assert one["source"] == world.source.describe()
    assert one["verified"] is False
    assert one["problems"] == {"count": 0, "first": []}
    assert (two["status"], two["source"], two["bytes"]) == ("absent", None, None)
    assert as_json(run_inspect(REQUEST, verify=True))[0]["verified"] is True


def test_problems_are_bounded(world):
    run_sync(REQUEST)
    for path in MANY:
        world.stores["one"].delete(path)
    (found,) = run_inspect(REQUEST)
    assert found["status"] == "corrupt"
    assert found["problems"]["count"] == 60
    assert len(found["problems"]["first"]) == MAX_PROBLEMS


def test_removing_says_what_went(world):
    run_sync(BOTH)
    predicted = as_json(run_remove(BOTH, check=True))
    assert predicted["changed"]
    assert world.stores["one"].manifest is not None
    assert as_json(run_remove(BOTH)) == predicted
    assert predicted["destinations"][0]["removed"]["count"] == 63
    assert world.stores["one"].everything == world.stores["two"].everything == {}
    assert run_remove(BOTH)["changed"] is False


def test_a_destination_that_cannot_be_removed_does_not_keep_others(world):
    run_sync(BOTH)
    world.stores["one"].broken("list", StoreError("The store is away."))
    result = as_json(run_remove(BOTH))
    assert (result["changed"], result["failed"]) == (True, True)
    assert result["destinations"][0]["error"]["message"] == "The store is away."
    assert world.stores["two"].everything == {}


# -- several processes, options from files, hooks --------------------------------------------------------------


def test_the_result_of_a_member_says_how_far_the_group_is(world):
    assert "shard" not in run_sync(REQUEST, check=True)["destinations"][0]
    for index in range(2):
        result = as_json(run_sync(request(options={"group": "g", "shards": 2, "shard": index})))
        last = index == 1
        assert result["failed"] is False
        assert result["destinations"][0]["status"] == ("complete" if last else "partial")
        assert result["destinations"][0]["shard"] == {
            "index": index,
            "count": 2,
            "done": index + 1,
            "published": last,
        }
        found = as_json(run_inspect(REQUEST))[0]["shards"]
        assert found == (None if last else {"done": 1, "count": 2})


def test_options_of_source_and_destinations_may_lie_in_files(world, tmp_path):
    (tmp_path / "url").write_text("two\n")
    (tmp_path / "repo").write_text("org/FromFile\n")

    def named(path):
        return {"from_file": str(tmp_path / path)}

    destinations = [{"url": "one"}, {"url": named("url")}]
    asked = request(name=None, source={"repo": named("repo")}, destinations=destinations)
    assert run_sync(asked)["name"] == "org/FromFile"
    assert world.stores["two"].files == world.stores["one"].files
    assert [found["status"] for found in run_inspect(asked)] == ["complete"] * 2
    assert run_remove(asked)["changed"]
    with pytest.raises(InputError, match="url of destination 1"):
        run_sync(request(destinations=[{"url": named("missing")}]))
    with pytest.raises(InputError, match="repo of the source"):
        run_sync(request(source={"repo": named("missing")}))


@pytest.fixture
def told(monkeypatch):
    told = []

    def notify(hooks, outcome):
        told.append((hooks, json.loads(json.dumps(outcome))))
        return ["not told"]

    monkeypatch.setattr(run_module, "notify", notify)
    return told


HOOKS = [{"type": "webhook", "url": "https://example.com/hook"}]


def test_hooks_are_told_how_a_job_ended_and_what_goes_wrong_is_a_warning(world, told):
    result = run_job(request(notify=HOOKS))
    ((hooks, outcome),) = told
    assert (hooks, outcome["changed"], outcome["name"]) == (HOOKS, True, "org/Model")
    assert result == {**outcome, "warnings": ["not told"]}
    run_job(request(notify=HOOKS), check=True)
    run_sync(request(notify=HOOKS))
    assert len(told) == 1


def test_what_ends_a_job_is_in_its_result(world, told):
    def gated(entry):
        raise AccessError("gated", hint="Ask.")

    world.source.preflight = gated
    result = as_json(run_job(request(notify=HOOKS)))
    assert (result["failed"], result["name"], result["destinations"]) == (True, "org/Model", [])
    assert result["error"] == {"kind": "AccessError", "message": "gated", "hint": "Ask."}
    assert told[0][1]["error"]["kind"] == "AccessError"


def test_hooks_that_cannot_be_understood_are_refused_before_anything_is_touched(world, told):
    result = run_job(request(notify=[{"type": "carrier pigeon"}]))
    assert result["failed"]
    assert result["error"]["kind"] == "InputError"
    assert "Notify hook 1" in result["error"]["message"]
    assert world.names == told == []


# -- the program -----------------------------------------------------------------------------------------------


@pytest.fixture
def call(capsys, tmp_path, monkeypatch):
    """Runs the program with a request and returns its status, result and progress lines."""
    monkeypatch.setattr(signal, "signal", lambda *args: None)

    def call(action, request, *arguments):
        file = tmp_path / "request.json"
        file.write_text(request if isinstance(request, str) else json.dumps(request))
        status = program.main([action, str(file), *arguments])
        captured = capsys.readouterr()
        return status, json.loads(captured.out)["result"], [json.loads(line) for line in captured.err.splitlines()]

    return call


def test_the_program_syncs_inspects_and_removes(world, call):
    status, result, progress = call("sync", REQUEST)
    assert (status, result["changed"]) == (0, True)
    assert progress[0]["phase"] == "plan"
    assert call("sync", REQUEST, "--check")[1]["changed"] is False
    status, result, _progress = call("inspect", REQUEST, "--verify")
    assert (status, result["models"][0]["verified"]) == (0, True)
    status, result, _progress = call("remove", REQUEST)
    assert (status, result["changed"]) == (0, True)
    assert world.stores["one"].everything == {}


@pytest.mark.parametrize(
    "bad", ["", "{", "[]", "null", '"text"', "{}", '{"name": "a"}', '{"name": "a", "source": {"type": "ftp"}}', "\0"]
)
def test_the_program_says_2_to_a_bad_request(call, bad):
    status, result, _progress = call("sync", bad)
    assert status == 2
    assert result["failed"]
    assert result["error"]["kind"] == "InputError"


def test_the_program_says_2_to_a_missing_file(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(signal, "signal", lambda *args: None)
    assert program.main(["sync", str(tmp_path / "missing.json")]) == 2
    assert "cannot be read" in json.loads(capsys.readouterr().out)["result"]["error"]["message"]


def test_the_program_says_1_when_a_destination_failed(world, call):
    world.stores["one"].broken("prepare", StoreError("The disk is full."))
    status, result, _progress = call("sync", REQUEST)
    assert (status, result["failed"]) == (1, True)


def test_the_program_says_4_when_it_is_refused(world, call):
    def gated(entry):
        raise AccessError("gated")

    world.source.preflight = gated
    status, result, _progress = call("sync", REQUEST)
    assert (status, result["error"]["kind"]) == (4, "AccessError")


def test_the_program_says_4_when_every_destination_refuses_it(world, call):
    world.stores["one"].broken("list", AccessError("refused"))
    assert call("sync", REQUEST)[0] == 4
    world.stores["two"].broken("list", StoreError("away"))
    assert call("sync", BOTH)[0] == 1


def test_the_program_says_3_when_others_are_at_work_everywhere(world, call):
    from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import LockedError

    world.stores["one"].broken("put", LockedError("Another run is at work."))
    assert call("sync", REQUEST)[0] == 3
    assert call("sync", BOTH)[0] == 3
    world.stores["two"].broken("list", StoreError("away"))
    assert call("sync", BOTH)[0] == 1


def test_the_program_says_143_when_it_was_stopped(world, call):
    def stop(entry):
        raise StoppedError("The run was asked to stop.")

    world.source.preflight = stop
    assert call("sync", REQUEST)[0] == 143


def test_the_result_can_be_told_from_progress_in_one_log(world, call, capsys, tmp_path):
    file = tmp_path / "request.json"
    file.write_text(json.dumps(REQUEST))
    program.main(["sync", str(file)])
    captured = capsys.readouterr()
    (line,) = captured.out.splitlines()
    assert json.loads(line).keys() == {"result"}
    assert not any("result" in json.loads(line) for line in captured.err.splitlines())


def test_members_of_a_group_share_one_request(world, call):
    asked = request(options={"shards": 2})
    assert call("sync", asked, "--shard", "1", "--group", "g")[1]["destinations"][0]["status"] == "partial"
    status, result, _progress = call("sync", asked, "--shard", "0", "--group", "g")
    assert (status, result["destinations"][0]["status"]) == (0, "complete")
    assert call("sync", asked, "--shard", "2", "--group", "g")[0] == 2
    assert call("sync", request(options=[]), "--shard", "0", "--group", "g")[0] == 0
    assert call("sync", request(options=["x"]), "--shard", "0")[0] == 2


@pytest.mark.parametrize("bad", [False, True])
def test_the_termination_log_holds_the_result_in_short(world, call, tmp_path, bad):
    path = tmp_path / "termination-log"
    path.write_text("of before" * 1000)
    status, result, _progress = call("sync", "{" if bad else REQUEST, "--termination-log", str(path))
    short = json.loads(path.read_bytes())
    assert (status, short["failed"]) == ((2, True) if bad else (0, False))
    assert short["error"] == result.get("error")
    if not bad:
        assert short["destinations"][0]["added"] == 63


def test_a_termination_log_that_cannot_be_written_changes_nothing(world, call, tmp_path):
    status, result, progress = call("sync", REQUEST, "--termination-log", str(tmp_path / "no" / "file"))
    assert (status, result["failed"]) == (0, False)
    assert "No such file" in progress[-1]["warning"]
