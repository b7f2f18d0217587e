# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A sweep of the role perf_testing. Servers are files as for GitOps, and what is measured is the server of tokens.

What happens only in a cluster is not shown here: the role serving has tests of its own.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal

from ansible.module_utils.testing import patch_module_args
from bench_runs import _token_server, bench
from runner import ROOT
from token_server import MODEL

from ansible_collections.modelops.serving.plugins.modules import inference_benchmark

__all__ = ["_token_server", "bench"]

PLAYBOOK = ROOT / "playbooks" / "sweep.yml"


LOAD = {
    "data": {"input_tokens": {"mean": 12}, "output_tokens": {"mean": 8}},
    "stages": [{"concurrency": 4, "requests": 16}],
}


def measure(capsys, **options) -> None:
    """A run as the module makes it, without a play."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    with patch_module_args({**LOAD, "model": MODEL, **options}), contextlib.suppress(SystemExit):
        inference_benchmark.main()
    for number, handler in handlers.items():
        signal.signal(number, handler)
    assert "failed" not in json.loads(capsys.readouterr().out)


def test_a_sweep_goes_on_where_it_ended(playbooks, bench, capsys):
    results, gitops = playbooks.directory / "results", playbooks.directory / "gitops"
    sweep = {
        "instance": {
            "name": "tiny",
            "namespace": "serving",
            "model": {"name": MODEL, "parameters": "27B"},
            "accelerator": {"generation": "v6e"},
        },
        "matrix": {"accelerator.topology": ["1x1", "2x2", "2x4", "4x4"]},
        "usd_per_chip_hour": {"v6e": 2.5},
    }
    # In a play: to import a filter makes Ansible take this process for a controller, whose modules do not tell warnings.
    combine = "{{ matrix | modelops.serving.sweep_combinations(instance) }}"
    (told,) = playbooks.tasks([{"ansible.builtin.debug": {"msg": combine}, "vars": sweep}]).ok().results
    combinations = told["msg"]
    small, before, good, bad = (one["name"] for one in combinations)
    about = combinations[1]["about"]
    measure(capsys, endpoint=bench.server.url, results=str(results), name=before, about=about)
    # A file where a folder is to be made.
    gitops.mkdir()
    (gitops / bad).touch()
    variables = playbooks.directory / "sweep.json"
    given = {
        "perf_testing_sweep": sweep,
        "perf_testing_defaults": {"endpoint": bench.server.url, **LOAD},
        "perf_testing_folder": str(results),
        "serving_render_to": str(gitops),
    }
    variables.write_text(json.dumps(given))

    run = playbooks.playbook(PLAYBOOK, "-e", f"@{variables}")
    assert run.status != 0
    found = json.loads((results / "pareto-tiny.json").read_text())
    assert [one["name"] for one in found["combinations"]] == [before, good]
    others = {one["name"]: one for one in found["others"]}
    assert {name: one["outcome"] for name, one in others.items()} == {small: "skipped", bad: "failed"}
    assert "does not fit v6e 1x1" in others[small]["reason"]
    assert str(gitops / bad) in others[bad]["reason"]
    assert bad in run.output[run.output.rindex("Check that nothing failed") :]
    assert {small, before, good, bad} <= set(re.findall(r"tiny-[\w-]+", (results / "pareto-tiny.html").read_text()))
    summaries = [json.loads(path.read_text()) for path in results.glob("*/summary.json")]
    assert {one["name"]: (one["chips"], one["usd_per_hour"], one["key"]["topology"]) for one in summaries} == {
        before: (4, None, "2x2"),
        good: (8, 20.0, "2x4"),
    }
    assert list(gitops.rglob("*.yaml")) == []  # what was measured is removed
