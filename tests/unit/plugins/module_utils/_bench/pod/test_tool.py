# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import sys
import threading
import time
import uuid

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._bench import engines
from ansible_collections.modelops.serving.plugins.module_utils._bench.engines.engine import Engine, Sent
from ansible_collections.modelops.serving.plugins.module_utils._bench.errors import StoppedError, ToolError
from ansible_collections.modelops.serving.plugins.module_utils._bench.pod.tool import Tool
from ansible_collections.modelops.serving.plugins.module_utils._bench.workload import parse
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._bench.runs import WORKLOAD

WRITE = (
    "import json; json.dump({'a': {'text': 1, 'b': [{'text': 2, 'c': 3}]}}, open('out.json', 'w')); open('all', 'w')"
)


@pytest.fixture
def tool(tmp_path):
    """A tool that runs Python code, one piece per repeat; its reports, and how to stop it."""

    def made(*codes, private=(), secrets=()):
        steps = [
            {"name": f"stage-0-repeat-{repeat}", "argv": [sys.executable, "-c", code]}
            for repeat, code in enumerate(codes)
        ]
        plan = {"engine": "e", "cores": 2, "private": dict(private), "secrets": list(secrets), "steps": steps}
        tool.stop, tool.reports = threading.Event(), []
        return Tool(
            plan,
            parse({**WORKLOAD, "repeats": len(codes)}),
            tmp_path,
            origin=time.monotonic(),
            stop=tool.stop,
            report=tool.reports.append,
            about={"client_pod": "one"},
        )

    tool = made
    return made


def test_commands_run_in_their_folders_until_one_fails(tool, tmp_path, monkeypatch, capsys):
    secret = uuid.uuid4().hex
    monkeypatch.setenv("KEY", secret)
    fail = (
        "import os; open('said', 'w').write(os.environ['KEY']); print('with', os.environ['KEY']); raise SystemExit(3)"
    )
    private = {"out.json": ["text"], "all": [], "missing": []}
    one = tool(WRITE, fail, "", private=private, secrets=["KEY", "MISSING"])
    with pytest.raises(ToolError, match="e ended with status 3 in stage-0-repeat-1"):
        one.run()
    told = json.loads((tmp_path / "steps.json").read_text())
    assert [(one["name"], one["status"]) for one in told["steps"]] == [("stage-0-repeat-0", 0), ("stage-0-repeat-1", 3)]
    assert told["origin"]["monotonic"] <= told["steps"][0]["cpu"][0][0]
    assert abs(told["origin"]["time"] - time.time()) < 60
    assert json.loads((tmp_path / "environment.json").read_text())["client_pod"] == "one"
    # What is private is gone, and nothing else.
    assert json.loads((tmp_path / "stage-0-repeat-0" / "out.json").read_text()) == {"a": {"b": [{"c": 3}]}}
    assert not (tmp_path / "stage-0-repeat-0" / "all").exists()
    assert not (tmp_path / "stage-0-repeat-2").exists()
    # The log is shown, and tells no secret.
    assert (tmp_path / "e.log").read_text() == "with ***\n" == capsys.readouterr().err
    assert (tmp_path / "stage-0-repeat-1" / "said").read_text() == "***"


class Paced(Engine):
    """A tool that writes how long each of its requests took."""

    name, image, clock = "e", "", "monotonic"

    def refusals(self, workload):
        return []

    def step(self, workload, command, job):
        return {}, []

    def read(self, place):
        begin, seconds = json.loads((place / "out.json").read_text())
        starts = [begin + at / 100 for at in range(9)]
        return [Sent(start, start + seconds, times=(start + seconds,)) for start in starts]


def test_a_search_runs_no_more_than_it_needs(tool, tmp_path, monkeypatch):
    monkeypatch.setitem(engines.ENGINES, "e", Paced())
    write = "import json, time; json.dump([time.monotonic(), {}], open('out.json', 'w'))"
    # The first four are fast.
    one = tool(*[write.format(0.1 if stage < 4 else 5.0) for stage in range(6)])
    one._plan["steps"] = [
        {"name": f"stage-{stage}-repeat-{repeat}", "argv": step["argv"]}
        for stage, step in enumerate(one._plan["steps"])
        for repeat in (0, 1)
    ]
    stages = [{"rate": 10 * (stage + 1), "requests": 9} for stage in range(6)]
    slo = {"e2e_p50_ms": 500}
    one._workload = parse({**WORKLOAD, "stages": stages, "slo": slo, "search": True, "repeats": 2})
    one.run()
    told = json.loads((tmp_path / "steps.json").read_text())["steps"]
    assert [step["name"] for step in told] == [
        f"stage-{stage}-repeat-{repeat}" for stage in (2, 4, 3) for repeat in (0, 1)
    ]


def test_a_file_that_was_not_written_to_its_end_is_removed(tool, tmp_path):
    tool("open('out.json', 'w').write('{\"text\": ')", private={"out.json": ["text"]}).run()
    assert not (tmp_path / "stage-0-repeat-0" / "out.json").exists()


def test_a_tool_that_is_not_there_says_so(tool, tmp_path):
    one = tool("")
    one._plan["steps"][0]["argv"] = [str(tmp_path / "none")]
    with pytest.raises(ToolError, match="none cannot be run"):
        one.run()


def test_a_tool_that_is_stopped_ends_with_all_it_has_started(tool, tmp_path):
    child = "import time; time.sleep(60)"
    one = tool(
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_args: sys.exit(0))\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}])\n"
        f"open({str(tmp_path / 'child')!r}, 'w').write(str(child.pid))\n"
        "time.sleep(60)",
        "",
    )
    threading.Thread(target=_stop_when, args=(tmp_path / "child", tool), daemon=True).start()
    with pytest.raises(StoppedError):
        one.run()
    pid = int((tmp_path / "child").read_text())
    for _look in range(100):
        if not _runs(pid):
            break
        time.sleep(0.02)
    assert not _runs(pid)
    assert not (tmp_path / "stage-0-repeat-1").exists()
    assert [step["status"] for step in json.loads((tmp_path / "steps.json").read_text())["steps"]] == [143]
    first = tool.reports[0]
    assert (first.stage, first.repeat, first.repeats, first.state, first.sent) == (0, 0, 2, "sending", None)
    assert 0 < first.remaining <= 10


def _stop_when(path, tool):
    while not path.exists() or not path.read_text():
        time.sleep(0.02)
    tool.stop.set()


def _runs(pid):
    """Whether a process is there, and is no zombie that nobody has asked after."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return os.path.exists(f"/proc/{pid}")
