#!/usr/bin/python

# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: which benchmarks were run, how two of them compare, and what a sweep comes to."""

from __future__ import annotations

DOCUMENTATION = r"""
module: inference_benchmark_info
short_description: Tell which benchmarks were run, and compare them
version_added: 0.4.0
author:
  - modelops.serving contributors (@modelops)
description:
  - Reads the runs that M(modelops.serving.inference_benchmark) has left in a folder of results, and tells their verdicts
    and figures.
  - With O(baseline) it compares two runs. Differences are told from noise when both have three repeats or more.
  - With O(sweep) it says which of several combinations of options is worth its chips.
extends_documentation_fragment:
  - modelops.serving._attributes
  - modelops.serving._attributes.info_module
  - modelops.serving._attributes.actiongroup_serving
attributes:
  async:
    support: full
options:
  results:
    description:
      - Folder of all results.
    type: path
    required: true
  run:
    description:
      - Only this run, by its id or its name, of which the newest counts. V(last_good) is the newest that has met its
        objectives.
    type: str
  baseline:
    description:
      - The run that O(run) is compared with, given in the same way. Both have to be of the same model, server,
        accelerator, topology and workload.
    type: str
  sweep:
    description:
      - Names of runs, one for each combination of options. Of each the newest counts that came to its end, and RV(sweep) is
        what they come to. All have to be of the same model and workload.
    type: list
    elements: str
    version_added: 0.5.0
seealso:
  - module: modelops.serving.inference_benchmark
  - plugin: modelops.serving.sweep_combinations
    plugin_type: filter
  - plugin: modelops.serving.sweep_page
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Look at all runs
  modelops.serving.inference_benchmark_info:
    results: results
  register: found

- name: List the newest first
  ansible.builtin.debug:
    msg: "{{ item.started_at }} {{ item.run_id }} {{ item.verdict }}: {{ item.stages[-1].output_tok_s | round }} tokens/s"
  loop: "{{ found.runs }}"
  loop_control:
    label: "{{ item.run_id }}"

- name: What has a new version changed?
  modelops.serving.inference_benchmark_info:
    results: results
    run: v0.27
    baseline: v0.26
  register: found

- name: Show what is not the same
  ansible.builtin.debug:
    msg: "{{ found.comparison.deltas | rejectattr('verdict', 'in', ['same', 'unknown']) }}"

- name: Which combination of a sweep is worth its chips?
  modelops.serving.inference_benchmark_info:
    results: results
    sweep: [gemma-2x2, gemma-2x4]
  register: found

- name: Show those that no other one beats
  ansible.builtin.debug:
    msg: "{{ found.sweep.combinations | selectattr('on_front') | map(attribute='name') }}"
"""

RETURN = r"""
runs:
  description: The runs, the newest first.
  type: list
  elements: dict
  returned: success
  contains:
    run_id:
      description: Name of the run and of its folder.
      type: str
    name:
      description: What people call it.
      type: str
    started_at:
      description: When it began.
      type: str
      sample: "2026-11-21T21:58:22.123+00:00"
    verdict:
      description: V(passed), V(failed) or V(inconclusive) by its objectives, V(none) without any.
      type: str
    stopped:
      description: Whether it was cut off.
      type: bool
    model:
      description: The model.
      type: str
    server:
      description: The engine that served it.
      type: str
    accelerator:
      description: What it ran on.
      type: str
    topology:
      description: Its topology.
      type: str
    workload:
      description: SHA-256 of the workload. Runs are comparable when they have the same.
      type: str
    report:
      description: The HTML report.
      type: str
    stages:
      description: The figures of each stage, all repeats together.
      type: list
      elements: dict
      contains:
        stage:
          description: Its number, from 0.
          type: int
        kind:
          description: V(rate) or V(concurrency).
          type: str
        asked:
          description: Requests per second, or requests in flight.
          type: float
        sent:
          description: Requests that were sent.
          type: int
        completed:
          description: Requests that were answered.
          type: int
        failed:
          description: Requests that failed.
          type: int
        cancelled:
          description: Requests that were under way when the run was stopped.
          type: int
        error_rate:
          description: Share of the requests that failed.
          type: float
        sent_s:
          description: Requests per second that were sent.
          type: float
        requests_s:
          description: Requests per second that were answered.
          type: float
        output_tok_s:
          description: Tokens per second of answers.
          type: float
        total_tok_s:
          description: Tokens per second of prompts and answers.
          type: float
        in_flight_max:
          description: Most requests in flight.
          type: int
        generator_cpu:
          description: Share of a core that the generator of the load used.
          type: float
        latency:
          description:
            - C(ttft), C(itl), C(tpot), C(ntpot), C(e2e) and C(schedule_delay) in milliseconds, each with C(p50), C(p90),
              C(p95), C(p99), C(p99_9), C(mean) and C(max), or None where no request gave it.
          type: dict
        goodput:
          description: Share of the requests that kept all limits of latency. None without such limits.
          type: float
        usd_per_mtok:
          description: US dollars per million output tokens. None without a price.
          type: float
        failures:
          description: Requests that failed, by kind and status.
          type: list
          elements: dict
        reasons:
          description: Why the figures are invalid. Empty when they are valid.
          type: list
          elements: str
comparison:
  description: What has changed from the baseline.
  type: dict
  returned: when O(baseline) is given
  contains:
    baseline:
      description: Id of the baseline.
      type: str
    deltas:
      description: What was compared.
      type: list
      elements: dict
      contains:
        stage:
          description: Number of the stage.
          type: int
        metric:
          description: What was measured.
          type: str
          sample: ttft_p50_ms
        baseline:
          description: Its value in the baseline.
          type: float
        value:
          description: Its value in the run.
          type: float
        change:
          description: The difference as a share of the baseline's value. None where that is 0.
          type: float
        band:
          description: Up to which change it may be noise. None without three repeats on either side.
          type: float
        verdict:
          description: V(better), V(worse), V(same), or V(unknown) when there are too few repeats or invalid figures.
          type: str
sweep:
  description: Which combinations of a sweep are worth their chips.
  type: dict
  returned: when O(sweep) is given
  contains:
    model:
      description: The model. None without runs.
      type: str
    workload:
      description: SHA-256 of the workload. None without runs.
      type: str
    objectives:
      description:
        - By what points dominate each other. That are TTFT p99, tokens per second of one user, and throughput - per dollar
          where all runs have a price, else per chip where all have a number of chips, else of the whole server.
      type: list
      elements: str
      sample: [output_tok_s_chip, ttft_p99_ms, tok_s_user]
    combinations:
      description:
        - Each with its run, slice, chips, tensor parallelism and price, whether one of its points is dominated by nobody
          (C(on_front)), and else by which combinations they are (C(dominated_by)).
      type: list
      elements: dict
    points:
      description:
        - The stages that are valid and have missed no objective, with C(combination), C(stage), the load (C(kind),
          C(asked)), C(output_tok_s), C(output_tok_s_chip), C(usd_per_mtok), C(tokens_usd), C(ttft_p99_ms), C(tpot_p50_ms),
          C(tpot_p99_ms), C(tok_s_user) and C(dominated_by).
      type: list
      elements: dict
    fronts:
      description: The Pareto front of each pair of C(throughput) and C(latency), as indices into RV(sweep.points).
      type: list
      elements: dict
    best:
      description:
        - Index of the best point for C(highest_throughput), C(highest_throughput_per_chip), C(cheapest),
          C(fastest_first_token) and C(fastest_for_one_user). None where it is not known.
      type: dict
    left_out:
      description: The other stages, with C(combination), C(stage) and C(reason).
      type: list
      elements: dict
error:
  description: What went wrong.
  type: dict
  returned: failure
  contains:
    kind:
      description: Class of the error, such as V(InputError) or V(StorageError).
      type: str
    message:
      description: What happened, and where.
      type: str
    hint:
      description: What to do next.
      type: str
"""

import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.modelops.serving.plugins.module_utils._bench import compare, pareto, results
from ansible_collections.modelops.serving.plugins.module_utils._bench.errors import BenchError
from ansible_collections.modelops.serving.plugins.module_utils._doors import fail
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import KubeError
from ansible_collections.modelops.serving.plugins.module_utils._measure.figures import in_short


def argument_spec() -> dict[str, t.Any]:
    """The options of the module."""
    return {
        "results": {"type": "path", "required": True},
        "run": {"type": "str"},
        "baseline": {"type": "str"},
        "sweep": {"type": "list", "elements": "str"},
    }


def _look(folder: Path, run: str | None, baseline: str | None, sweep: list[str] | None) -> dict[str, t.Any]:
    """The runs, and the comparison or the sweep. Raises BenchError."""
    runs = results.summaries(folder)
    if sweep is not None:
        measured = pareto.runs_of(runs, sweep)
        return {"runs": [in_short(one, folder) for one in measured], "sweep": pareto.table(measured)}
    if not run:
        newest = sorted(runs, key=lambda one: str(one["started_at"]), reverse=True)
        return {"runs": [in_short(one, folder) for one in newest]}
    found = compare.find(runs, run)
    told: dict[str, t.Any] = {"runs": [in_short(found, folder)]}
    if baseline:
        against = compare.find(runs, baseline)
        told["comparison"] = {"baseline": against["run_id"], "deltas": compare.compare(found, against)}
    return told


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec=argument_spec(),
        required_by={"baseline": ["run"]},
        mutually_exclusive=[("run", "sweep")],
        supports_check_mode=True,
    )
    params = module.params
    try:
        found = _look(Path(params["results"]).absolute(), params["run"], params["baseline"], params["sweep"])
    except BenchError as error:
        fail(module, t.cast(KubeError, error))  # both tell the same way
    module.exit_json(**found)


if __name__ == "__main__":
    main()
