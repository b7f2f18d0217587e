#!/usr/bin/python

# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: send the runs of benchmarks to object storage, Pub/Sub, BigQuery, or an index."""

from __future__ import annotations

DOCUMENTATION = r"""
module: benchmark_results
short_description: Send the results of benchmarks to object storage, Pub/Sub, BigQuery, or an index
version_added: 0.4.0
author:
  - modelops.serving contributors (@modelops)
description:
  - Sends runs of M(modelops.serving.inference_benchmark) from its folder of results to other places, each run once.
  - What went where is noted in C(sent.json) in the folder of the run, after each step. What could not be sent stays
    there, and the next try goes on behind what was sent. Nothing else of a run is ever changed.
  - A request is one row or message, also of a run that was killed, with the requests that had ended by then.
extends_documentation_fragment:
  - modelops.serving._attributes
  - modelops.serving._attributes.actiongroup_serving
  - modelops.serving._sinks
  - modelops.serving._control
attributes:
  check_mode:
    support: full
    details:
      - Only reads, and tells how many files and rows would be sent. Topics and datasets have to exist.
      - Files that O(to[].type=parquet) would write are not among those of a folder yet.
  diff_mode:
    support: none
    details:
      - Results are only added. The counts tell how many.
  idempotent:
    support: full
  async:
    support: full
options:
  results:
    description:
      - Folder of all results.
    type: path
    required: true
  run_id:
    description:
      - The run to send, whether it has a report or was killed before.
      - When it is missing, all runs with a report are sent. Those without may still go on, and are left out with a
        warning.
    type: str
  endpoints:
    description:
      - Addresses of single APIs of Google, C(pubsub) and C(bigquery), for Private Service Connect and tests.
      - Where an API is missing here, the environment is used, such as C(GCP_PUBSUB_ENDPOINT), and then Google's public
        address. O(to[].endpoint_url) is the address of a bucket.
    type: dict
    default: {}
requirements:
  - urllib3 >= 2
notes:
  - "Roles that are needed for V(pubsub): C(roles/pubsub.publisher) and C(roles/pubsub.viewer) on the topic, and the
    latter on its schema. For V(bigquery): C(roles/bigquery.dataEditor) on the dataset, C(roles/bigquery.jobUser) on the
    project, and C(roles/storage.objectUser) on the bucket."
  - Pub/Sub delivers a message at least once. Its attributes C(run_id) and C(row) are the same whenever it comes, also as
    the column C(attributes), and tell twins apart from two requests that look the same.
  - BigQuery loads a batch of rows as a whole or not at all, under a job id that is made of what it loads, so that none
    comes twice, even when C(sent.json) is lost. A table that was emptied is not filled again with runs that are noted
    as sent.
  - The first 19 columns of the table of requests, and the first 15 fields of a message, are those of the metrics of
    Google's C(applied-ai-engineering-samples), so that its tables, topics and queries can be used.
seealso:
  - module: modelops.serving.inference_benchmark
  - module: modelops.serving.gcp_iam_binding
"""

EXAMPLES = r"""
- name: Keep all results in a bucket, and compare them by SQL here
  modelops.serving.benchmark_results:
    results: results
    to:
      - type: s3
        bucket: benchmarks
        prefix: gemma
      - type: index

- name: Send one run to BigQuery
  modelops.serving.benchmark_results:
    results: results
    run_id: "{{ measured.run_id }}"
    to:
      - type: bigquery
        project: demo-project
        dataset: benchmarks
        bucket: demo-staging

- name: Publish the requests to a topic whose subscription writes to BigQuery, and load the stages
  modelops.serving.benchmark_results:
    results: results
    to:
      - type: pubsub
        topic: projects/demo-project/topics/locust_pubsub_sink
      - type: bigquery
        project: demo-project
        dataset: benchmarks
        bucket: demo-staging
        requests: false
"""

RETURN = r"""
runs:
  description: What was sent of each run, or in check mode would be.
  type: list
  elements: dict
  returned: when runs were looked for
  contains:
    run_id:
      description: Name of the run.
      type: str
      sample: 20261121T215822Z-3f9c1e
    sent:
      description: One entry per place, in the order of O(to).
      type: list
      elements: dict
      contains:
        type:
          description: Type of the place.
          type: str
          sample: pubsub
        where:
          description: The place.
          type: str
          sample: projects/demo-project/topics/metrics
        counts:
          description:
            - How many C(files), C(rows) of requests, or C(stages) were sent now. What was there before does not count.
            - Empty where it failed; what was sent before that is in C(sent.json).
          type: dict
          sample: {"rows": 12000}
        error:
          description: Why it failed. None where it did not.
          type: str
left_out:
  description: Runs without a report, which were not sent since O(run_id) was not given.
  type: list
  elements: str
  returned: when runs were looked for
error:
  description: What went wrong first.
  type: dict
  returned: failure
  contains:
    kind:
      description: Class of the error, such as V(AccessError), V(NotFoundError), V(StorageError) or V(InputError).
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

from ansible_collections.modelops.serving.plugins.module_utils import _auth
from ansible_collections.modelops.serving.plugins.module_utils._bench.errors import BenchError
from ansible_collections.modelops.serving.plugins.module_utils._doors import fail
from ansible_collections.modelops.serving.plugins.module_utils._sinks.door import Door
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import TransferError, describe_error


def argument_spec() -> dict[str, t.Any]:
    """The options of the module."""
    stores = _auth.DESTINATIONS_OPTION
    return {
        "results": {"type": "path", "required": True},
        "run_id": {"type": "str"},
        "to": {
            **stores,
            "options": {
                **_auth.DESTINATION,
                "type": {
                    "type": "str",
                    "choices": ["s3", "gcs", "ibm_cos", "local", "pubsub", "bigquery", "index", "parquet"],
                    "required": True,
                },
                "project": {"type": "str"},
                "topic": {"type": "str"},
                "dataset": {"type": "str"},
                "table": {"type": "str"},
                "runs_table": {"type": "str"},
                "text": {"type": "bool"},
                "requests": {"type": "bool"},
            },
            "required_if": [
                *stores["required_if"],
                ("type", "pubsub", ("topic",)),
                ("type", "bigquery", ("dataset", "bucket")),
            ],
        },
        "endpoints": {"type": "dict", "default": {}},
        **_auth.CONTROL,
    }


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        door = Door(module)
        result = door.send()
    except (BenchError, TransferError) as error:
        fail(module, t.cast(TransferError, error))  # both tell the same way
    if door.errors:
        told = " ".join(dict.fromkeys(str(error) for error in door.errors))
        module.fail_json(msg=told, error=describe_error(t.cast(TransferError, door.errors[0])), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
