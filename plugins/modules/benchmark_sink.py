#!/usr/bin/python

# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: what the results of benchmarks need on Google Cloud."""

from __future__ import annotations

DOCUMENTATION = r"""
module: benchmark_sink
short_description: Make the tables and the topic that results of benchmarks are sent to on Google Cloud
version_added: 0.5.0
author:
  - modelops.serving contributors (@modelops)
description:
  - Makes what M(modelops.serving.benchmark_results) writes to with its types V(bigquery) and V(pubsub) - a dataset of
    BigQuery with a table of requests and a table of stages, and with O(topic) a schema and a topic of Pub/Sub, and a
    subscription that writes its messages into the table of requests.
  - What is there already is used. A table gets the columns that it lacks, a schema the fields, as a new revision. No
    column is changed or taken away. What rows would not fit into is refused before anything is changed.
  - Names, flags and the first 19 columns are those of C(metrics-tracking) of Google's C(applied-ai-engineering-samples),
    so that what it has made can be used.
  - What a failure leaves half done is completed by the next run.
extends_documentation_fragment:
  - modelops.serving._attributes
  - modelops.serving._attributes.actiongroup_serving
  - modelops.serving._gcp
  - modelops.serving._gcs
  - modelops.serving._control
attributes:
  check_mode:
    support: full
    details:
      - Only reads.
  diff_mode:
    support: full
  idempotent:
    support: full
  async:
    support: full
requirements:
  - urllib3 >= 2
  - google-auth
options:
  state:
    description:
      - V(present) makes what is missing.
      - V(absent) removes subscription, topic and schema, whatever of them is there, and takes the grants back that no
        other subscription of the project uses. Tables and dataset stay unless O(delete_data=true).
    type: str
    choices: [present, absent]
    default: present
  dataset:
    description:
      - The dataset, as V(benchmarks) or V(projects/demo-project/datasets/benchmarks). Made when it is not there.
    type: str
    required: true
  location:
    description:
      - Where the dataset is, as V(EU) or V(europe-west4). One that is elsewhere is refused.
      - When it is missing, a dataset that is there may be anywhere, and a new one is where BigQuery puts it, V(US).
    type: str
  table:
    description:
      - The table of requests. A new one is parted by days of C(start_time) and clustered by C(run_id).
    type: str
    default: requests
  runs_table:
    description:
      - The table of stages with their Benchmark Reports.
    type: str
    default: runs
  topic:
    description:
      - The topic, as V(benchmark-metrics) or V(projects/demo-project/topics/benchmark-metrics). Its messages are JSON of
        the schema, and kept for 86600 seconds.
      - When it is missing, there are only dataset and tables, which is all that the type V(bigquery) of
        M(modelops.serving.benchmark_results) needs.
    type: str
  subscription:
    description:
      - Name of the subscription, in the project of the topic. C(<topic>-bigquery) when it is missing.
      - It never expires. Others would be removed after a month without a benchmark.
    type: str
  schema:
    description:
      - Name of the schema, in the project of the topic. C(<topic>-schema) when it is missing.
    type: str
  grant_on:
    description:
      - Where the service agent of Pub/Sub gets C(roles/bigquery.dataEditor) and C(roles/bigquery.metadataViewer), before
        the subscription is made. V(project) is that of the dataset.
    type: str
    choices: [dataset, project]
    default: dataset
  project_number:
    description:
      - Number of the project of the topic, which is in the name of that service agent. It is looked up when missing.
    type: str
  delete_data:
    description:
      - Whether O(state=absent) deletes both tables, with all rows in them; and the dataset, if this module has made it
        and nothing else is in it.
    type: bool
    default: false
  validate_certs:
    description:
      - Whether TLS certificates are checked, which is so unless this is V(false). V(false) is for tests only.
    type: bool
  ca_bundle:
    description:
      - File with the certificates of the authorities to trust, for endpoints with certificates of a private authority.
      - E(REQUESTS_CA_BUNDLE) is used when it is missing.
    type: path
    aliases: [aws_ca_bundle]
notes:
  - "Roles that are needed: C(roles/bigquery.dataOwner) on the project, or on the dataset when that is there;
    C(roles/pubsub.editor) on the project of the topic; C(roles/browser) there, unless O(project_number) is given; and
    with O(grant_on=project) C(roles/resourcemanager.projectIamAdmin)."
  - What was granted takes up to some minutes until it counts. The subscription is tried again for two of them.
  - Requests that are sent by both types, V(pubsub) and V(bigquery), into the same table are in it twice.
  - The APIs C(bigquery) and C(pubsub) have to be enabled, and without O(project_number) C(cloudresourcemanager).
seealso:
  - module: modelops.serving.benchmark_results
  - module: modelops.serving.gcp_iam_binding
"""

EXAMPLES = r"""
- name: Make tables, and a topic whose messages become rows
  modelops.serving.benchmark_sink:
    project: demo-project
    dataset: benchmarks
    location: EU
    topic: benchmark-metrics

- name: Make tables only, for load jobs
  modelops.serving.benchmark_sink:
    project: demo-project
    dataset: benchmarks

- name: Go on with what Terraform has made for Google's samples, which lacks columns and fields
  modelops.serving.benchmark_sink:
    project: demo-project
    dataset: metrics_dataset
    table: performance_metrics
    topic: metrics_pubsub_sink
    subscription: metrics_pubsub_bq_sub
    schema: metrics_schema
    grant_on: project

- name: Remove topic, subscription and schema, and keep all rows
  modelops.serving.benchmark_sink:
    state: absent
    project: demo-project
    dataset: benchmarks
    topic: benchmark-metrics

- name: Remove all of it, and all rows
  modelops.serving.benchmark_sink:
    state: absent
    project: demo-project
    dataset: benchmarks
    topic: benchmark-metrics
    delete_data: true
"""

RETURN = r"""
objects:
  description: What became of each part, in the order it was done, or in check mode would be.
  type: list
  elements: dict
  returned: success
  contains:
    kind:
      description: V(dataset), V(grants), V(table), V(schema), V(topic) or V(subscription).
      type: str
    name:
      description: Its full name; of grants, who has them on what.
      type: str
      sample: projects/demo-project/topics/benchmark-metrics
    action:
      description: V(created), V(updated), V(deleted), V(none), or V(kept) of data that are not deleted.
      type: str
dataset:
  description: Full name of the dataset, as the type V(bigquery) of M(modelops.serving.benchmark_results) takes it.
  type: str
  returned: success
  sample: projects/demo-project/datasets/benchmarks
topic:
  description: Full name of the topic, as the type V(pubsub) takes it. None without one.
  type: str
  returned: success
  sample: projects/demo-project/topics/benchmark-metrics
error:
  description: Why the module failed.
  type: dict
  returned: failure
  contains:
    kind:
      description: Class of the error, such as V(AccessError), V(NotFoundError), V(ConflictError) or V(InputError).
      type: str
    message:
      description: What happened, and to which resource.
      type: str
    hint:
      description: What to do next.
      type: str
"""

import dataclasses
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.modelops.serving.plugins.module_utils import _auth
from ansible_collections.modelops.serving.plugins.module_utils._doors import fail, google_client
from ansible_collections.modelops.serving.plugins.module_utils._sinks.infrastructure import Options, Sink, Step
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import TransferError


def argument_spec() -> dict[str, t.Any]:
    """The options of the module."""
    return {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "dataset": {"type": "str", "required": True},
        "location": {"type": "str"},
        "table": {"type": "str", "default": "requests"},
        "runs_table": {"type": "str", "default": "runs"},
        "topic": {"type": "str"},
        "subscription": {"type": "str"},
        "schema": {"type": "str"},
        "grant_on": {"type": "str", "choices": ["dataset", "project"], "default": "dataset"},
        "project_number": {"type": "str"},
        "delete_data": {"type": "bool", "default": False},
        **_auth.GCP,
        **_auth.TLS,
        **_auth.CONTROL,
    }


def options_of(params: t.Mapping[str, t.Any]) -> Options:
    """What the sink is to be, from the module's options."""
    given = {field.name: params[field.name] for field in dataclasses.fields(Options)}
    return Options(**given | {name: given[name] or "" for name in ("topic", "subscription", "schema")})


def result(sink: Sink, steps: list[Step]) -> dict[str, t.Any]:
    """The result of the module."""
    return {
        "changed": any(step.before != step.after for step in steps),
        "objects": [{"kind": step.kind, "name": step.name, "action": step.action} for step in steps],
        "dataset": sink.dataset.name,
        "topic": next((part.name for part in sink.messages if part.kind == "topic"), None),
        "diff": {
            "before": {f"{step.kind} {step.name}": step.before for step in steps},
            "after": {f"{step.kind} {step.name}": step.after for step in steps},
        },
    }


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec=argument_spec(),
        mutually_exclusive=[("service_account_file", "service_account_contents", "access_token")],
        required_by={"subscription": "topic", "schema": "topic"},
        supports_check_mode=True,
    )
    absent = module.params["state"] == "absent"
    try:
        sink = Sink(google_client(module), options_of(module.params))
        steps = (sink.absent if absent else sink.present)(check=module.check_mode)
        trouble = "" if absent else sink.trouble()
    except TransferError as error:
        fail(module, error)
    if trouble:
        module.warn(trouble)
    module.exit_json(**result(sink, steps))


if __name__ == "__main__":
    main()
