#!/usr/bin/python

# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: load an endpoint from Pods of a cluster, measure it, and say whether it is good enough."""

from __future__ import annotations

DOCUMENTATION = r"""
module: inference_benchmark_job
short_description: Load an endpoint of a model from a Kubernetes cluster, with the load tool of your choice
version_added: 0.5.0
author:
  - modelops.serving contributors (@modelops)
description:
  - Does what M(modelops.serving.inference_benchmark) does, but the load comes from Jobs near the server. Results,
    reports and verdicts are the same, and end in the same folder on the host that the module runs on.
  - The load is sent by O(engine), in the container image of that tool. With O(parallelism) several Pods share it. They
    begin together, once each has asked the endpoint for one completion. A Pod has whole cores for itself and never runs
    on a node with TPUs.
  - While it waits, the action plugin shows how far the Pods are. When a Pod does not start or is killed, the message
    says why, with the cause as Kubernetes reports it, the tail of the log, and what to do next.
  - Results are brought here between stages and at the end, so that a Pod that is killed takes at most the stage with it
    that was under way. What was measured is reported, and the module fails.
  - The Jobs go on when the module is interrupted. When it runs again with the same options, it goes on with them.
extends_documentation_fragment:
  - modelops.serving._attributes
  - modelops.serving._attributes.action
  - modelops.serving._attributes.actiongroup_serving
  - modelops.serving._benchmark.job
  - kubernetes.core.k8s_auth_options
attributes:
  check_mode:
    support: full
    details:
      - Objects are sent to the API server as dry run. No Job runs, and the endpoint is not asked.
  diff_mode:
    support: full
    details:
      - Shows the objects that are created, changed and deleted. Values of Secrets are hidden.
  idempotent:
    support: none
    details:
      - Every run measures anew, unless one with the same options is under way.
  async:
    support: full
  action:
    details:
      - The action plugin prints what the Jobs wait for, a line at each change of stage and one per O(interval), with a
        local connection, or with any connection when C(async) is used with a C(poll) greater than V(0). It prints nothing
        for tasks with C(no_log).
options:
  state:
    description:
      - V(present) makes a run. It needs O(endpoint), O(data), O(stages) and O(results).
      - V(absent) removes the Jobs of O(name) and what was made for them, and ends them when they run. Results stay.
    type: str
    choices: [present, absent]
    default: present
  name:
    description:
      - Name of the Jobs and of everything made for them, and of the run in O(results). With O(parallelism) the number of
        the Pod comes behind it.
    type: str
    required: true
  namespace:
    description:
      - Namespace of the Jobs. It must be there.
    type: str
    required: true
  engine:
    description:
      - What sends the load. V(builtin) is part of this collection and needs only Python, V(inference_perf) is that of the
        Kubernetes project, V(vllm_bench) C(vllm bench serve), V(aiperf) NVIDIA's, V(guidellm) that of the vLLM project,
        V(locust) Locust.
      - A tool that cannot do the workload is refused, with those that can.
    type: str
    choices: [builtin, inference_perf, vllm_bench, aiperf, guidellm, locust]
    default: inference_perf
  parallelism:
    description:
      - How many Pods share the load, for more than one can send. Rates, requests and requests in flight are divided.
        O(search) takes one.
    type: int
    default: 1
  tokenizer:
    description:
      - Tokenizer by which tools count, as name on the Hugging Face Hub or path in the image. That of O(model) when it is
        missing. V(builtin) needs none.
    type: str
  token_secret:
    description:
      - Secret in the namespace with an access token of the Hugging Face Hub, for tokenizers of gated models.
    type: dict
    suboptions:
      name:
        description:
          - Name of the Secret.
        type: str
        required: true
      key:
        description:
          - Key of the token.
        type: str
        default: token
      mount:
        description:
          - How the Pod gets it. V(standard) is the file that huggingface_hub looks for with C(HF_TOKEN_PATH), V(env) the
            variable C(HF_TOKEN), V(custom) the file O(token_secret.path).
        type: str
        choices: [standard, env, custom]
        default: standard
      path:
        description:
          - Absolute path of the file with O(token_secret.mount=custom).
        type: str
  endpoint_api_key:
    description:
      - Sent to the endpoint as bearer token. It is in a Secret that is made for the run, and in no file of the results.
        Taken from E(OPENAI_API_KEY) when missing.
    type: str
  endpoint_validate_certs:
    description:
      - Whether the certificate of the endpoint is verified. Only O(engine=builtin) can do without.
    type: bool
    default: true
  api_key_secret:
    description:
      - Secret in the namespace with the API key of the endpoint, in place of O(endpoint_api_key).
    type: dict
    suboptions:
      name:
        description:
          - Name of the Secret.
        type: str
        required: true
      key:
        description:
          - Key of the API key.
        type: str
        default: api-key
  image:
    description:
      - Image of the Pods, with the tool and C(python3) of version 3.10 or newer. A pinned one of the tool when it is
        missing, for V(builtin) a Python image. For O(engine=vllm_bench) the image of the server fits as well.
    type: str
  image_pull_policy:
    description:
      - When the image is pulled.
    type: str
    choices: [Always, IfNotPresent, Never]
    default: IfNotPresent
  image_pull_secrets:
    description:
      - Names of Secrets for the registry.
    type: list
    elements: str
    default: []
  cpu:
    description:
      - Cores of each Pod, which it has for itself. With less than whole ones, the module warns.
    type: str
    default: "2"
  memory:
    description:
      - Memory of each Pod. C(1Gi) for O(engine=builtin) and C(4Gi) for other tools when it is missing.
    type: str
  storage:
    description:
      - Ephemeral storage of each Pod, for its results until they are collected, and for caches of the tools.
    type: str
    default: 2Gi
  check_nodes:
    description:
      - Whether to look first if there are nodes without TPUs that have the cores, or an autoscaler that makes them.
    type: bool
    default: true
  platform:
    description:
      - On V(openshift) user and group ids are left to the namespace, elsewhere the Pod asks for 65532.
    type: str
    choices: [kubernetes, openshift]
    default: kubernetes
  env:
    description:
      - More environment variables of the Pods, such as C(HTTPS_PROXY). They are not secret.
    type: dict
    default: {}
  node_selector:
    description:
      - Labels of the nodes to run on.
    type: dict
    default: {}
  tolerations:
    description:
      - Taints that the Pods tolerate.
    type: list
    elements: dict
    default: []
  labels:
    description:
      - More labels of the Pods.
    type: dict
    default: {}
  annotations:
    description:
      - Annotations of the Pods.
    type: dict
    default: {}
  service_account:
    description:
      - Service account of the Pods. The default one of the namespace when it is missing. Its token is not mounted.
    type: str
  deadline:
    description:
      - Seconds after which the cluster ends a Job. Computed from the workload and its time limits when it is missing.
    type: int
  collect_timeout:
    description:
      - Seconds that a Pod keeps its results for a module that was interrupted.
    type: int
    default: 3600
  ttl_seconds_after_finished:
    description:
      - Seconds after which the cluster removes a Job that has ended and was not removed by O(cleanup).
    type: int
    default: 86400
  cleanup:
    description:
      - Whether Jobs, ConfigMap and Secret are removed once the results are here. A Job that has failed stays, with its
        log, until the next run, O(state=absent) or O(ttl_seconds_after_finished).
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds for the whole run, from the creation of the Jobs on. The Jobs go on when they are over.
    type: int
    default: 7200
  force_conflicts:
    description:
      - Whether fields are taken over that others manage.
    type: bool
    default: false
requirements:
  - kubernetes >= 28.1
notes:
  - O(endpoint) is the address by which the Pods reach the server, and O(data.path) and O(ca_bundle) are files of the host
    that the module runs on. A ConfigMap holds them, which is at most 1 MiB.
  - In the namespace it needs the verbs C(get), C(list), C(create), C(patch) and C(delete) for C(configmaps), C(secrets)
    and C(jobs) of C(batch); C(list) for C(pods), C(get) for C(pods/log), C(get) and C(create) for C(pods/exec).
    To say why a Pod does not start it reads C(pods), C(events), C(serviceaccounts), C(persistentvolumeclaims) and
    C(resourcequotas) of the namespace, and C(nodes), as far as it may.
  - The Pods need no rights in the cluster.
seealso:
  - module: modelops.serving.inference_benchmark
  - module: modelops.serving.inference_benchmark_info
  - module: modelops.serving.benchmark_results
  - module: modelops.serving.tpu_serving
"""

EXAMPLES = r"""
- name: Measure a server from beside it, with the tool of the Kubernetes project
  modelops.serving.inference_benchmark_job:
    name: gemma-nightly
    namespace: serving
    endpoint: http://gemma:8000
    model: google/gemma-3-27b-it
    token_secret: {name: huggingface-token-read}
    data:
      input_tokens: {mean: 512, stddev: 128, min: 32}
      output_tokens: {mean: 128}
    stages:
      - {rate: 5, duration: 60}
      - {rate: 20, duration: 60}
    slo: {ttft_p99_ms: 800, error_rate: 0.01}
    server_metrics: [http://gemma:8000/metrics]
    node_selector: {cloud.google.com/gke-nodepool: clients}
    results: results

- name: Send more than one Pod can
  modelops.serving.inference_benchmark_job:
    name: gemma-peak
    namespace: serving
    endpoint: http://gemma:8000
    model: google/gemma-3-27b-it
    engine: builtin
    parallelism: 4
    data:
      input_tokens: {mean: 512}
      output_tokens: {mean: 128}
    stages:
      - {rate: 1600, duration: 120}
    results: results

- name: End it, whatever it does
  modelops.serving.inference_benchmark_job:
    name: gemma-peak
    namespace: serving
    state: absent
"""

RETURN = r"""
jobs:
  description: Names of the Jobs.
  type: list
  elements: str
  returned: O(state=present), when there is nothing wrong with the options
objects:
  description: What happened, or in check mode would happen, to each object.
  type: list
  elements: dict
  returned: when the API server was asked
  contains:
    api_version:
      description: Version of the API.
      type: str
    kind:
      description: Kind of the object.
      type: str
    name:
      description: Name of the object.
      type: str
    namespace:
      description: Namespace of the object.
      type: str
    action:
      description: V(none), V(create), V(update), V(replace) or V(delete).
      type: str
run_id:
  description: Name of the run and of its folder.
  type: str
  returned: when a run was made
  sample: 20261121T215822Z-3f9c1e
folder:
  description: Folder of the run.
  type: str
  returned: when a run was made
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
  description: What the endpoint said before, to the Pod that has the longest way to it.
  type: dict
  returned: when all Pods could ask it
  contains:
    models:
      description: What it serves. None where the protocol has no such list.
      type: list
      elements: str
    round_trip_ms:
      description: Shortest time of a small question.
      type: float
    tokens:
      description: Tokens of one completion.
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
        - Class of the error, such as V(InputError), V(EndpointError), V(ToolError) of an engine that has failed,
          V(WaitError) of a Pod that does not start or was killed, V(LostError) of one that was deleted, or V(GateError)
          when the run was made and did not pass.
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

from ansible_collections.modelops.serving.plugins.module_utils._bench.engines import BUILTIN, ENGINES
from ansible_collections.modelops.serving.plugins.module_utils._bench.errors import BenchError
from ansible_collections.modelops.serving.plugins.module_utils._bench_job.door import Door
from ansible_collections.modelops.serving.plugins.module_utils._bench_job.options import DEFAULT_ENGINE
from ansible_collections.modelops.serving.plugins.module_utils._doors import fail
from ansible_collections.modelops.serving.plugins.module_utils._kube import auth
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import KubeError
from ansible_collections.modelops.serving.plugins.module_utils._measure.options import (
    API_KEY,
    benchmark_options,
    secrets_of,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import TransferError


def argument_spec() -> dict[str, t.Any]:
    """The options of the module."""
    mapping = {"type": "dict", "default": {}}
    names = {"type": "list", "elements": "str", "default": []}
    return {
        **benchmark_options(required=False),
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "name": {"type": "str", "required": True},
        "namespace": {"type": "str", "required": True},
        "engine": {"type": "str", "choices": [BUILTIN, *ENGINES], "default": DEFAULT_ENGINE},
        "parallelism": {"type": "int", "default": 1},
        "tokenizer": {"type": "str", "no_log": False},
        "token_secret": {
            "type": "dict",
            "no_log": False,
            "options": {
                "name": {"type": "str", "required": True},
                "key": {"type": "str", "default": "token", "no_log": False},
                "mount": {"type": "str", "choices": ["standard", "env", "custom"], "default": "standard"},
                "path": {"type": "str"},
            },
            "required_if": [("mount", "custom", ("path",))],
        },
        "endpoint_api_key": API_KEY,
        "endpoint_validate_certs": {"type": "bool", "default": True},
        "api_key_secret": {
            "type": "dict",
            "no_log": False,
            "options": {
                "name": {"type": "str", "required": True},
                "key": {"type": "str", "default": "api-key", "no_log": False},
            },
        },
        "image": {"type": "str"},
        "image_pull_policy": {"type": "str", "choices": ["Always", "IfNotPresent", "Never"], "default": "IfNotPresent"},
        "image_pull_secrets": {**names, "no_log": False},
        "cpu": {"type": "str", "default": "2"},
        "memory": {"type": "str"},
        "storage": {"type": "str", "default": "2Gi"},
        "check_nodes": {"type": "bool", "default": True},
        "platform": {"type": "str", "choices": ["kubernetes", "openshift"], "default": "kubernetes"},
        "env": mapping,
        "node_selector": mapping,
        "tolerations": {"type": "list", "elements": "dict", "default": []},
        "labels": mapping,
        "annotations": mapping,
        "service_account": {"type": "str"},
        "deadline": {"type": "int"},
        "collect_timeout": {"type": "int", "default": 3600},
        "ttl_seconds_after_finished": {"type": "int", "default": 86400},
        "cleanup": {"type": "bool", "default": True},
        "wait_timeout": {"type": "int", "default": 7200},
        "force_conflicts": {"type": "bool", "default": False},
        **auth.ARGUMENTS,
    }


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec=argument_spec(),
        required_if=[("state", "present", ("endpoint", "data", "stages", "results"))],
        supports_check_mode=True,
    )
    module.no_log_values.update(secrets_of(module.params))
    door = Door(module)
    try:
        result = door.present() if module.params["state"] == "present" else door.absent()
    except (BenchError, KubeError, TransferError) as error:
        fail(module, t.cast(KubeError, error), **door.result)  # all tell the same way
    module.exit_json(**result)


if __name__ == "__main__":
    main()
