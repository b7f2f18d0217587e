# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A benchmark: its load, where its results go, and what has to be true of them."""

from __future__ import annotations

import typing as t


class ModuleDocFragment:
    # Annotated, because ansible-test reads plain assignments as text and the second is none.
    DOCUMENTATION: t.ClassVar[str] = r"""
options:
  endpoint:
    description:
      - URL of the server without the path of the protocol, such as V(http://gemma.serving.svc:8000).
    type: str
    required: true
  protocol:
    description:
      - How the server is asked. V(openai_completions) and V(openai_chat) are OpenAI's, which vLLM and llama.cpp speak;
        V(jetstream) is C(/generate) of jetstream-http; V(saxml) is the HTTP proxy of Saxml, which does not stream.
    type: str
    choices: [openai_completions, openai_chat, jetstream, saxml]
    default: openai_completions
  model:
    description:
      - Name by which the server knows the model. Required unless O(protocol=jetstream).
    type: str
  ca_bundle:
    description:
      - PEM file of the authorities to trust, instead of those of the system.
    type: path
  headers:
    description:
      - More headers of each request. Credentials do not belong here, but into O(api_key).
    type: dict
    default: {}
  extra_body:
    description:
      - More members of the JSON object of each request, such as C(ignore_eos), C(temperature) or C(top_p). Model, prompt,
        streaming and lengths are said by other options. Runs that differ in it are not compared.
    type: dict
    default: {}
    version_added: 0.5.0
  stream:
    description:
      - Whether answers are streamed. Without it there is no time of the first token.
    type: bool
    default: true
  data:
    description:
      - What is asked.
    type: dict
    required: true
    suboptions:
      type:
        description:
          - V(synthetic) makes prompts of common words, V(jsonl) reads them from O(data.path).
        type: str
        choices: [synthetic, jsonl]
        default: synthetic
      input_tokens:
        description:
          - Length of synthetic prompts in tokens. Required for O(data.type=synthetic).
        type: dict
        suboptions: &length
          mean:
            description:
              - The length, or the mean of a normal distribution.
            type: float
            required: true
          stddev:
            description:
              - Standard deviation. All have the same length when it is missing.
            type: float
          min:
            description:
              - The least. Three standard deviations below the mean when it is missing.
            type: int
          max:
            description:
              - The most. Three standard deviations above the mean when it is missing.
            type: int
      output_tokens:
        description:
          - How many tokens an answer may have at most. Servers may end earlier.
        type: dict
        required: true
        suboptions: *length
      path:
        description:
          - File with one JSON object per line. Required for O(data.type=jsonl).
        type: path
      field:
        description:
          - The field of an object that holds the prompt. V(prompt) when it is missing.
        type: str
      sha256:
        description:
          - The file has to have this SHA-256.
        type: str
  stages:
    description:
      - The load, one stage after the other. Each has O(stages[].rate) or O(stages[].concurrency), and
        O(stages[].duration) or O(stages[].requests).
    type: list
    elements: dict
    required: true
    suboptions:
      rate:
        description:
          - Requests per second, sent by the clock whether earlier ones were answered or not.
        type: float
      concurrency:
        description:
          - Requests in flight. The next one is sent when an answer has ended.
        type: int
      duration:
        description:
          - How long requests are sent, in seconds.
        type: float
      requests:
        description:
          - How many requests are sent.
        type: int
  arrival:
    description:
      - When the requests of a stage with a rate are sent - V(constant) at even distances, V(poisson) as independent
        users do.
    type: str
    choices: [constant, poisson]
    default: constant
  warmup:
    description:
      - What comes before the first stage and is not recorded.
    type: dict
    suboptions:
      requests:
        description:
          - How many requests.
        type: int
  repeats:
    description:
      - How often all stages are run. With three or more, differences between runs can be told from noise.
    type: int
    default: 1
  seed:
    description:
      - The same seed gives the same prompts, lengths and times.
    type: int
    default: 0
  connect_timeout:
    description:
      - Seconds until a connection has to be there.
    type: float
    default: 10
  request_timeout:
    description:
      - Seconds until an answer has to be complete.
    type: float
    default: 300
  stall_timeout:
    description:
      - Seconds without a byte of an answer after which it is given up.
    type: float
    default: 60
  max_in_flight:
    description:
      - Requests in flight at which a stage with a rate holds back, which makes it invalid.
    type: int
    default: 4096
  keep_text:
    description:
      - Whether prompts and answers are kept in the records. They may be confidential.
    type: bool
    default: false
  keep_itl:
    description:
      - Whether every gap between tokens is kept in the records. The figures do not need it.
    type: bool
    default: false
  server_metrics:
    description:
      - URLs of the metrics of all servers behind the endpoint, such as V(http://gemma.serving.svc:8000/metrics), asked
        every second. The report then shows how many requests run and wait in the servers, and how full their KV cache is.
      - Those of vLLM, JetStream and llama.cpp are understood. They are asked without O(api_key).
    type: list
    elements: str
    default: []
    version_added: 0.5.0
  slo:
    description:
      - Objectives that every stage has to meet. Latencies are called C(<metric>_<statistic>_ms) with one of the metrics
        C(ttft), C(itl), C(tpot), C(ntpot), C(e2e), C(schedule_delay) and one of the statistics C(p50), C(p90), C(p95),
        C(p99), C(p99_9), C(mean), C(max), in milliseconds.
      - The others are C(error_rate) and C(goodput_min), shares from 0 to 1; C(requests_s_min), C(output_tok_s_min),
        C(total_tok_s_min), per second; C(usd_per_mtok_max), US dollars per million output tokens, which needs
        O(usd_per_hour). Goodput is the share of requests that keep all limits of latency.
    type: dict
    default: {}
  search:
    description:
      - Whether only the highest load is looked for that meets O(slo). O(stages) are then the candidates, in ascending order,
        all with O(stages[].rate) or all with O(stages[].concurrency). A binary search decides which of them are run, each
        with all O(repeats), so that of 15 candidates at most 4 are.
      - A stage counts as good when its figures are valid and its verdict is passed. One that is inconclusive or invalid
        counts as not met, so give each enough requests. The search takes for granted that a load above one that is not
        good is not good either.
      - The verdict is that of the stage that was found, so V(passed); of the lowest one when none was found. What loads
        above it miss makes nothing fail.
      - Objectives that more load brings nearer are refused - C(requests_s_min), C(output_tok_s_min), C(total_tok_s_min)
        and C(usd_per_mtok_max).
    type: bool
    default: false
    version_added: 0.5.0
  results:
    description:
      - Folder of all results. Each run has a folder of its own in it, and a row in C(index.sqlite) beside them.
    type: path
    required: true
  run_id:
    description:
      - Name of the folder of this run, which must not exist yet. Made of the time when it is missing.
    type: str
  about:
    description:
      - What is known of the server, for the report. Runs are compared only when they agree in model, workload,
        O(about.server), O(about.accelerator) and O(about.topology).
    type: dict
    suboptions:
      revision:
        description: Commit of the model.
        type: str
      server:
        description: The engine that serves, and its version.
        type: str
      image:
        description: Its image.
        type: str
      args:
        description: Its arguments.
        type: list
        elements: str
      accelerator:
        description: Such as V(v6e).
        type: str
      topology:
        description: Such as V(2x4).
        type: str
      chips:
        description: How many chips serve.
        type: int
      tensor_parallel:
        description: How many chips share a layer.
        type: int
      kubernetes:
        description: Version of the cluster.
        type: str
      zone:
        description: Where it is.
        type: str
  usd_per_hour:
    description:
      - Price of all accelerators of the server in US dollars per hour, for the price of a million tokens.
    type: float
  baseline:
    description:
      - The run in O(results) to compare with, by its id or its name, of which the newest counts. V(last_good) is the
        newest that is comparable and has met its objectives; without one yet, the module warns and does not compare.
      - When it is missing, the report compares with the newest comparable run.
    type: str
  fail_on:
    description:
      - What makes the module fail. The reports are written all the same.
      - V(slo), an objective was missed; V(invalid), the figures of a stage are invalid; V(inconclusive), the verdict is;
        V(regression), median TTFT, TPOT or E2E, tokens per second or the error rate of a stage are worse than those of
        O(baseline), by more than noise and O(tolerance). That needs O(repeats) of 3 or more in both runs.
      - With V([]) the module only fails when nothing was answered at all, or when it was stopped.
    type: list
    elements: str
    choices: [slo, invalid, inconclusive, regression]
    default: [slo, invalid]
  tolerance:
    description:
      - By which share of the baseline's value a figure may be worse.
    type: float
    default: 0.05
  interval:
    description:
      - Seconds between two lines of progress.
    type: float
    default: 10
  progress_file:
    description:
      - File that progress is appended to, one JSON object per line.
    type: path
"""

    # Of a module that can also remove what it has made, which needs none of them; api_key is that of its API server.
    JOB: t.ClassVar[str] = DOCUMENTATION.replace("\n    required: true\n", "\n").replace(
        "O(api_key)", "O(endpoint_api_key)"
    )
