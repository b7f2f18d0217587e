#!/usr/bin/python

# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: load an endpoint, measure it, and say whether it is good enough."""

from __future__ import annotations

DOCUMENTATION = r"""
module: inference_benchmark
short_description: Load an endpoint of a model, report latency and throughput, and stop a release that is too slow
version_added: 0.4.0
author:
  - modelops.serving contributors (@modelops)
description:
  - Sends requests to an endpoint in stages, by rate or by requests in flight, and times every token of every answer.
  - Asks first whether there is anything to measure - the endpoint answers, it serves the model, one completion has
    tokens - and fails with the reason when there is not.
  - Writes a folder per run with one record per request, the figures of each stage, a Benchmark Report of llm-d, JUnit
    XML, and a report as one HTML file that needs no network.
  - Figures that say more of the generator of the load than of the server are called invalid, and never pass. That is a
    stage in which less than 95 % of the asked rate was sent, half of the requests were more than 10 ms late, the
    generator used more than 80 % of its core, or O(max_in_flight) was reached.
  - With O(slo) each objective is V(passed), V(failed), or V(inconclusive) when there were too few requests to tell, by
    the 95 % interval of the share of requests within its limit.
  - The load comes from the host that the module runs on. Run it near the server, and leave that host a free core.
extends_documentation_fragment:
  - modelops.serving._attributes
  - modelops.serving._attributes.action
  - modelops.serving._attributes.actiongroup_serving
  - modelops.serving._benchmark
attributes:
  check_mode:
    support: full
    details:
      - Reads the dataset, looks for the baseline, and asks the endpoint whether it is there and which models it serves.
        Asks for no completion, and writes nothing.
  diff_mode:
    support: none
    details:
      - Nothing is there before that a run could differ from. O(baseline) compares runs.
  idempotent:
    support: none
    details:
      - Every run measures anew.
  async:
    support: full
  action:
    details:
      - The action plugin prints a line at each change of stage and one per O(interval), with a local connection, or with
        any connection when C(async) is used with a C(poll) greater than V(0). It prints nothing for tasks with C(no_log).
options:
  api_key:
    description:
      - Sent as bearer token. It is in no file of the results. Taken from E(OPENAI_API_KEY) when missing.
    type: str
  validate_certs:
    description:
      - Whether the certificate of the endpoint is verified.
    type: bool
    default: true
  engine:
    description:
      - What sends the load. V(builtin) is part of this collection and needs nothing but Python.
    type: str
    choices: [builtin]
    default: builtin
  name:
    description:
      - What people call the run. Several runs may have the same name.
    type: str
notes:
  - A run that is interrupted keeps what was measured until then, and its report says that it was cut off.
  - The host needs as many open files as there are requests in flight.
seealso:
  - module: modelops.serving.inference_benchmark_info
  - module: modelops.serving.tpu_serving
  - name: Benchmark Report of llm-d
    description: The format of report.json.
    link: https://github.com/llm-d/llm-d-benchmark
"""

EXAMPLES = r"""
- name: Find the load at which a server stops keeping up
  modelops.serving.inference_benchmark:
    endpoint: http://gemma.serving.svc:8000
    model: google/gemma-3-27b-it
    data:
      input_tokens: {mean: 512, stddev: 128, min: 32}
      output_tokens: {mean: 128}
    stages:
      - {rate: 5, duration: 60}
      - {rate: 10, duration: 60}
      - {rate: 20, duration: 60}
    arrival: poisson
    warmup: {requests: 20}
    about: {server: vLLM 0.27.0, accelerator: v6e, topology: 2x4, chips: 8}
    usd_per_hour: 21.6
    results: results
  register: measured

- name: Find the highest of six loads that meets the objectives, by running three of them at most
  modelops.serving.inference_benchmark:
    endpoint: http://gemma.serving.svc:8000
    model: google/gemma-3-27b-it
    data:
      input_tokens: {mean: 512}
      output_tokens: {mean: 128}
    search: true
    stages:
      - {rate: 2, duration: 120}
      - {rate: 4, duration: 120}
      - {rate: 8, duration: 120}
      - {rate: 16, duration: 120}
      - {rate: 32, duration: 120}
      - {rate: 64, duration: 120}
    slo: {ttft_p95_ms: 500, error_rate: 0.01}
    results: results
  register: found  # found.search.asked are requests per second

- name: Stop a release that is too slow or slower than the last good one, and let CI show why
  modelops.serving.inference_benchmark:
    endpoint: https://models.example.com
    api_key: "{{ vault_api_key }}"
    protocol: openai_chat
    model: google/gemma-3-27b-it
    data:
      type: jsonl
      path: prompts.jsonl
      output_tokens: {mean: 128}
    stages:
      - {concurrency: 32, requests: 2000}
    repeats: 3
    slo:
      ttft_p99_ms: 800
      tpot_p99_ms: 50
      error_rate: 0.01
    baseline: last_good
    fail_on: [slo, invalid, inconclusive, regression]
    results: results
    # CI keeps the folder for the next release, and collects junit.xml and index.html of this one.
    run_id: "{{ release }}"

- name: Measure a canary, and promote it or roll it back
  block:
    - name: Measure it
      modelops.serving.inference_benchmark:
        endpoint: http://gemma-canary.serving.svc:8000
        model: google/gemma-3-27b-it
        data:
          input_tokens: {mean: 512}
          output_tokens: {mean: 128}
        stages:
          - {rate: 5, duration: 120}
        slo: {ttft_p95_ms: 500, error_rate: 0.01}
        results: results
        # What becomes of it is up to the role.
        fail_on: []
      register: measured

    - name: Go on with it, or without it
      ansible.builtin.include_role:
        name: modelops.serving.serving
      vars:
        serving_instances:
          - "{{ gemma | combine({'canary': {'verdict': measured.canary_verdict}}, recursive=true) }}"
"""

RETURN = r"""
run_id:
  description: Name of the run and of its folder.
  type: str
  returned: when requests were sent
  sample: 20261121T215822Z-3f9c1e
folder:
  description: Folder of the run.
  type: str
  returned: when requests were sent
  sample: /srv/results/20261121T215822Z-3f9c1e
report:
  description: The HTML report.
  type: str
  returned: when a request was answered or failed
  sample: /srv/results/20261121T215822Z-3f9c1e/index.html
junit:
  description: The verdicts as JUnit XML.
  type: str
  returned: when a request was answered or failed
  sample: /srv/results/20261121T215822Z-3f9c1e/junit.xml
verdict:
  description:
    - V(passed) or V(failed) of O(slo), and of O(baseline) when O(fail_on) has V(regression). V(inconclusive) when it
      cannot be told, as of an invalid stage. V(none) when nothing was asked.
  type: str
  returned: when the run came to its end
canary_verdict:
  description:
    - C(canary.verdict) of the role C(modelops.serving.serving) - V(promote) when the verdict is passed, V(roll_back) when
      it is failed, else V(none).
  type: str
  returned: when the run came to its end
stopped:
  description: Whether the run was cut off.
  type: bool
  returned: when there is a report
stages:
  description: The figures of each stage, all repeats together. C(summary.json) has those of each repeat as well.
  type: list
  elements: dict
  returned: when there is a report
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
      description: US dollars per million output tokens. None without O(usd_per_hour).
      type: float
    failures:
      description: Requests that failed, by kind and status.
      type: list
      elements: dict
    reasons:
      description: Why the figures are invalid. Empty when they are valid.
      type: list
      elements: str
slo:
  description: Each objective in each stage.
  type: list
  elements: dict
  returned: when there is a report
  contains:
    name:
      description: Its name.
      type: str
    stage:
      description: Number of the stage.
      type: int
    limit:
      description: Its limit.
      type: float
    observed:
      description: What was measured.
      type: float
    attainment:
      description: Share of the requests within the limit, of a percentile.
      type: float
    low:
      description: Lower end of the interval of that share.
      type: float
    high:
      description: Upper end of it.
      type: float
    verdict:
      description: V(passed), V(failed) or V(inconclusive).
      type: str
search:
  description: What was found. None without O(search).
  type: dict
  returned: when there is a report
  contains:
    highest:
      description: Number of the highest stage that is good. None when none is.
      type: int
    asked:
      description: Its load.
      type: float
    kind:
      description: V(rate) or V(concurrency).
      type: str
    candidates:
      description: How many stages there were to choose from.
      type: int
    probes:
      description:
        - The stages that were run, in their order, each with C(stage), C(asked) and C(verdict), which is V(passed),
          V(failed), V(inconclusive) or V(invalid).
      type: list
      elements: dict
comparison:
  description: The run and its baseline.
  type: dict
  returned: when O(baseline) was found, and the run came to its end
  contains:
    baseline:
      description: Id of the baseline.
      type: str
    deltas:
      description: Per stage and metric its value in both runs, the relative change, the band of noise, and the verdict.
      type: list
      elements: dict
preflight:
  description: What the endpoint said before.
  type: dict
  returned: when it could be asked
  contains:
    models:
      description: What it serves. None where the protocol has no such list.
      type: list
      elements: str
    round_trip_ms:
      description: Shortest time of a small question.
      type: float
    tokens:
      description: Tokens of one completion. None in check mode, which asks for none.
      type: int
    completion_ms:
      description: Time of that completion.
      type: float
error:
  description: What went wrong.
  type: dict
  returned: failure
  contains:
    kind:
      description:
        - Class of the error - V(InputError), V(EndpointError), V(StorageError), V(StoppedError), or V(GateError) when the
          run was made and did not pass.
      type: str
    message:
      description: What happened, and where.
      type: str
    hint:
      description: What to do next.
      type: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.modelops.serving.plugins.module_utils._bench.errors import BenchError
from ansible_collections.modelops.serving.plugins.module_utils._doors import fail
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import KubeError
from ansible_collections.modelops.serving.plugins.module_utils._measure.door import Door
from ansible_collections.modelops.serving.plugins.module_utils._measure.options import (
    API_KEY,
    benchmark_options,
    secrets_of,
)


def argument_spec() -> dict[str, t.Any]:
    """The options of the module."""
    return {
        **benchmark_options(),
        "api_key": API_KEY,
        "validate_certs": {"type": "bool", "default": True},
        "engine": {"type": "str", "choices": ["builtin"], "default": "builtin"},
        "name": {"type": "str"},
    }


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    module.no_log_values.update(secrets_of(module.params))
    door = Door(module)
    try:
        result = door.benchmark()
    except BenchError as error:
        fail(module, t.cast(KubeError, error), **door.result)  # both tell the same way
    module.exit_json(**result)


if __name__ == "__main__":
    main()
