# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the runs of benchmarks are sent."""

from __future__ import annotations

import typing as t

from ansible_collections.modelops.serving.plugins.doc_fragments import _gcs, _ibm_cos, _s3
from ansible_collections.modelops.serving.plugins.doc_fragments._destinations import suboptions


class ModuleDocFragment:
    # Annotated, because ansible-test reads plain assignments as text and this is a sum of texts.
    DOCUMENTATION: t.ClassVar[str] = (
        r"""
options:
  to:
    description:
      - Where the runs are sent. Options that mean nothing for the type of a place are refused.
    type: list
    elements: dict
    required: true
    suboptions:
      type:
        description:
          - V(s3), V(gcs), V(ibm_cos) and V(local) get the folder of each run as C(<prefix>/<run id>/), its
            C(summary.json) last.
          - V(pubsub) gets a message per request, V(bigquery) a row per request and a row per stage.
          - V(index) is C(index.sqlite) in O(results), with a row per run and a row per stage, to compare runs by SQL.
          - V(parquet) is C(requests.parquet) in the folder of each run, and in O(results) C(results.duckdb), whose view
            C(requests) is all of them, with the columns of V(bigquery). Before a place that gets the folder, it is sent
            with it.
        type: str
        choices: [s3, gcs, ibm_cos, local, pubsub, bigquery, index, parquet]
        required: true
      bucket:
        description:
          - Name of the bucket. It has to exist. Required for O(to[].type=s3), O(to[].type=gcs), O(to[].type=ibm_cos)
            and O(to[].type=bigquery).
          - For O(to[].type=bigquery) it is one of Cloud Storage, and holds the rows while they are loaded.
        type: str
      prefix:
        description:
          - What comes before the id of the run. It is empty when missing.
        type: str
      path:
        description:
          - Absolute path of a directory on the host the module runs on, such as a mounted volume. Required for
            O(to[].type=local).
        type: path
      project:
        description:
          - Id of the project of Google Cloud, for O(to[].type=pubsub) and O(to[].type=bigquery). For the latter it is
            also where the jobs are made.
          - E(GCP_PROJECT) and then E(GOOGLE_CLOUD_PROJECT) are used when it is missing.
        type: str
      topic:
        description:
          - The topic, as V(metrics) or V(projects/demo-project/topics/metrics). Required for O(to[].type=pubsub).
          - Of the fields of a message, its schema gets those that it knows. Without a schema it gets them all.
        type: str
      dataset:
        description:
          - The dataset, as V(benchmarks) or V(projects/demo-project/datasets/benchmarks). It has to exist. Required for
            O(to[].type=bigquery).
        type: str
      table:
        description:
          - The table of the requests. It is made when it is not there, and gets the columns that it lacks. V(requests)
            when it is missing.
        type: str
      runs_table:
        description:
          - The table of the stages with their Benchmark Reports, made in the same way. V(runs) when it is missing.
        type: str
      text:
        description:
          - Whether prompts and answers are sent with the rows, where the run has kept them. They may be confidential,
            and are not sent when this is missing. The folder of a run is always sent as it is.
        type: bool
      requests:
        description:
          - Whether O(to[].type=bigquery) loads the requests, too, and not the stages alone. V(true) when it is missing.
          - V(false) is for requests that come by O(to[].type=pubsub) and a subscription. They would be in the table twice.
        type: bool
        version_added: 0.5.0
"""
        + suboptions(_s3.ModuleDocFragment.DOCUMENTATION)
        + suboptions(_gcs.ModuleDocFragment.DOCUMENTATION)
        + suboptions(_ibm_cos.ModuleDocFragment.DOCUMENTATION)
        + r"""
requirements:
  - boto3, for O(to[].type=s3) and O(to[].type=ibm_cos)
  - google-auth, for O(to[].type=gcs), O(to[].type=pubsub) and O(to[].type=bigquery)
  - duckdb, for O(to[].type=parquet)
  - google-crc32c, for O(to[].type=gcs) and O(to[].type=bigquery)
"""
    )
