#!/usr/bin/python

# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible module: the state of every step on the way of a model, and what to do next."""

from __future__ import annotations

DOCUMENTATION = r"""
module: model_status
short_description: Tell the state of every step for a model and what to do next
version_added: 0.2.0
author:
  - modelops.serving contributors (@modelops)
description:
  - Asks the source whether the model can be read, the cluster for the Job that copies it and for the Secrets which that
    Job needs, and the destinations for their copies. What is not given is not asked.
  - What cannot be asked, or is not as it should be, is the state of a step and does not fail the module.
  - With O(wait=true) it waits until the copies are complete, and fails as soon as a step has failed in a way that does
    not heal by itself, such as a Job that has failed, a Secret that is missing or a bucket that may not be read.
  - Never changes anything.
extends_documentation_fragment:
  - modelops.serving._attributes
  - modelops.serving._attributes.info_module
  - modelops.serving._attributes.actiongroup_serving
  - modelops.serving._source
  - modelops.serving._destinations
  - modelops.serving._control
  - kubernetes.core.k8s_auth_options
attributes:
  async:
    support: full
options:
  name:
    description:
      - Name of the model, as in M(modelops.serving.model_sync).
    type: str
    required: true
  source:
    description:
      - Where the model comes from. When it is given, it is asked, and copies of another revision are V(outdated).
      - Nothing is asked for O(source.type=in_place).
  destinations:
    required: false
  verify:
    description:
      - Read every file of the copies back and compare its SHA-256 with the manifest. With O(wait=true) this is done once,
        at the end.
    type: bool
    default: false
  side_by_side:
    description:
      - Look at the revision that C(.model-sync/current.json) names, for models that were synced with
        O(modelops.serving.model_sync#module:side_by_side).
    type: bool
    default: false
  namespace:
    description:
      - Namespace of the Job or CronJob. When it is given, the cluster is asked.
    type: str
  job_name:
    description:
      - Name of the Job or CronJob. When missing, the one that M(modelops.serving.model_sync_job) makes of O(name).
    type: str
  wait:
    description:
      - Whether to wait until there is a complete copy at each of the O(destinations), of the revision that the O(source)
        is at when the wait begins.
      - Without O(destinations), as where only the cluster reaches them, until the Job has ended well.
    type: bool
    default: false
  wait_timeout:
    description:
      - Seconds to wait.
    type: int
    default: 7200
  timeout:
    description:
      - Seconds that one look at source and destinations may take. What was not answered by then is V(unknown).
requirements:
  - kubernetes >= 28.1, for O(namespace)
seealso:
  - module: modelops.serving.model_sync
  - module: modelops.serving.model_sync_job
  - module: modelops.serving.model_sync_info
"""

EXAMPLES = r"""
- name: How far is the model?
  modelops.serving.model_status:
    name: google/gemma-3-1b-it
    source:
      repo: google/gemma-3-1b-it
    namespace: demo
    destinations:
      - bucket: models
        prefix: hub
  register: status

- name: Tell what to do
  ansible.builtin.debug:
    msg: "{{ status.summary }} {{ status.next_action }}"

- name: Start servers only from complete copies
  modelops.serving.model_status:
    name: google/gemma-3-1b-it
    namespace: demo
    destinations:
      - bucket: models
        prefix: hub
    wait: true
    wait_timeout: 3600
"""

RETURN = r"""
ready:
  description:
    - Whether every one of O(destinations) has a complete copy. When O(source) was given, it has to be readable and the
      copies have to be of the revision that it is at. Without O(destinations), whether the Job has ended well.
  type: bool
  returned: always
steps:
  description: Every step that was asked for, in the order of the model's way.
  type: list
  elements: dict
  returned: always
  contains:
    step:
      description: V(source), V(secret), V(job) or V(copy).
      type: str
    subject:
      description: What it is about.
      type: str
      sample: Job demo/model-sync-google-gemma-3-1b-it-5a3f0c1e
    state:
      description:
        - V(done) when there is nothing to do.
        - V(running) when a Pod of the Job is at work.
        - V(waiting) when it depends on something that is expected to come, such as a node or the end of the Job.
        - V(failed) when it does not become V(done) without somebody changing something.
        - V(missing) when it is not there.
        - V(outdated) when a copy is complete, but of another revision than the source is at.
        - V(unknown) when it could not be asked.
      type: str
    message:
      description: What was found.
      type: str
    next:
      description: What to do about it. Empty when there is nothing to do.
      type: str
next_action:
  description: What to do first. Empty when the model is RV(ready).
  type: str
  returned: always
  sample: "Create it: kubectl create secret generic model-source --namespace demo --from-literal=token=..."
revision:
  description: The revision that the source is at, or of the copies when the source was not asked and they agree.
  type: str
  returned: always
  sample: dcc83ea841ab6100d6b47a070329e1ba4cf78752
summary:
  description: All of this in one line.
  type: str
  returned: always
  sample: "google/gemma-3-1b-it is not ready. Job demo/model-sync-google-gemma-3-1b-it-5a3f0c1e is running: Move, 45 %."
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.modelops.serving.plugins.module_utils import _auth
from ansible_collections.modelops.serving.plugins.module_utils._doors import control_options, fail
from ansible_collections.modelops.serving.plugins.module_utils._kube import auth
from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Client, Object, Ref
from ansible_collections.modelops.serving.plugins.module_utils._kube.diagnose import collect, findings
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import ApiError, KubeError
from ansible_collections.modelops.serving.plugins.module_utils._kube.podspec import needs
from ansible_collections.modelops.serving.plugins.module_utils._status import (
    JobFacts,
    Patience,
    Step,
    conclude,
    copy_step,
    is_ready,
    job_step,
    secret_step,
    source_step,
    unfinished,
    unknown,
)
from ansible_collections.modelops.serving.plugins.module_utils._sync_job.build import CONTAINER
from ansible_collections.modelops.serving.plugins.module_utils._sync_job.spec import job_name
from ansible_collections.modelops.serving.plugins.module_utils._transfer.control import Control
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError, TransferError
from ansible_collections.modelops.serving.plugins.module_utils._transfer.request import (
    IN_PLACE,
    build_source,
    build_store,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.run import run_inspect

# Seconds between two looks of a wait, at first and at most, and how fast they grow.
_PAUSE = 2.0
_LONGEST_PAUSE = 10.0
_GROWTH = 1.5
# Seconds that a look may take at least, also when the wait is about to end.
_LOOK = 5.0


def argument_spec() -> dict[str, t.Any]:
    """The options of the module."""
    return {
        "name": {"type": "str", "required": True},
        "source": _auth.SOURCE_OPTION,
        "destinations": {**_auth.DESTINATIONS_OPTION, "required": False},
        "verify": {"type": "bool", "default": False},
        "side_by_side": {"type": "bool", "default": False},
        "namespace": {"type": "str"},
        "job_name": {"type": "str"},
        "wait": {"type": "bool", "default": False},
        "wait_timeout": {"type": "int", "default": 7200},
        **_auth.CONTROL,
        **auth.ARGUMENTS,
    }


class Look:
    """Asks everything that there is to ask, as often as it is called.

    :raises TransferError: an option is wrong.
    """

    def __init__(self, module: AnsibleModule) -> None:
        params = module.params
        self._module = module
        self._name = params["name"]
        source = params["source"]
        asked = source is not None and source["type"] != IN_PLACE
        self._source = _auth.source_data(module, source) if asked else None
        self._revision: str | None = None
        self._destinations = _auth.destinations_data(module, params["destinations"] or [])
        self._client: Client | None = None
        self._ends: float | None = None

    def __call__(self, *, verify: bool = False, deadline: float | None = None) -> tuple[list[Step], str | None]:
        """All steps in order, and the revision.

        :param deadline: when a wait ends, as of :func:`time.monotonic`.
        """
        now, timeout = time.monotonic(), self._module.params["timeout"]
        ends = [now + timeout] if timeout is not None else []
        ends += [max(deadline, now + _LOOK)] if deadline is not None else []
        self._ends = min(ends, default=None)
        steps = []
        if self._source is not None:
            # Asked until it has answered once: its revision of then is the one to look for.
            if self._revision is None:
                self._source_step = self._ask_source(self._source)
            steps.append(self._source_step)
        job = None
        if self._module.params["namespace"] is not None:
            in_cluster, job = self._ask_cluster(self._module.params["namespace"])
            steps += in_cluster
        copies = []
        for data in self._destinations:
            step, revision = self._ask_destination(data, job, verify=verify)
            steps.append(step)
            copies.append(revision)
        agreed = copies[0] if len(set(copies)) == 1 else None
        return steps, self._revision or agreed

    def _limits(self) -> dict[str, t.Any]:
        limits = control_options(self._module)
        if self._ends is not None:
            limits["timeout"] = max(0.001, self._ends - time.monotonic())
        return {key: value for key, value in limits.items() if value is not None}

    # -- source ----------------------------------------------------------------------------------------------------

    def _ask_source(self, data: t.Mapping[str, t.Any]) -> Step:
        source, _warnings = build_source(data, Control(**self._limits()))
        subject = f"Hugging Face Hub {data['repo']}" if data["type"] == "huggingface" else source.where
        try:
            snapshot = source.snapshot()
            source.preflight(max(snapshot.files, key=lambda entry: entry.size))
        except InputError:
            raise
        except TransferError as error:
            return source_step(subject, error)
        self._revision = snapshot.revision
        return source_step(subject, self._revision)

    # -- destinations ----------------------------------------------------------------------------------------------

    def _ask_destination(
        self, data: t.Mapping[str, t.Any], job: JobFacts | None, *, verify: bool
    ) -> tuple[Step, str | None]:
        """The step, and the revision that is there."""
        limits = self._limits()
        url = build_store(data, Control(**limits), name=self._name).url
        options = {**limits, "side_by_side": self._module.params["side_by_side"]}
        request = {"name": self._name, "destinations": [data], "options": options}
        found: t.Mapping[str, t.Any] | TransferError
        try:
            (found,) = run_inspect(request, verify=verify)
        except InputError:
            raise
        except TransferError as error:
            found = error
        revision = None if isinstance(found, TransferError) else found["revision"]
        return copy_step(url, found, revision=self._revision, job=job), revision

    # -- cluster ---------------------------------------------------------------------------------------------------

    def _ask_cluster(self, namespace: str) -> tuple[list[Step], JobFacts]:
        """Steps of Secrets and Job. What is wrong with the cluster is told by the step of the Job."""
        facts = JobFacts(Ref("batch/v1", "Job", self._module.params["job_name"] or job_name(self._name), namespace))
        secrets: list[Step] = []
        try:
            self._client = self._client or auth.connect(self._module)
            facts = _job_facts(self._client, facts.ref)
            secrets = _secret_steps(self._client, facts)
        except KubeError as error:
            return [*secrets, unknown("job", str(facts.ref), error)], facts
        return [*secrets, job_step(facts)], facts


def _job_facts(client: Client, ref: Ref) -> JobFacts:
    job, cron = client.get(ref), None
    if job is None:
        api_version = "batch/v1" if client.serves("batch/v1", "CronJob") else "batch/v1beta1"  # until 1.20
        cron_ref = Ref(api_version, "CronJob", ref.name, ref.namespace)
        cron = client.get(cron_ref)
        if cron is None:
            return JobFacts(ref)
        ref, job = cron_ref, _newest_job(client, cron)
    if job is None:
        return JobFacts(ref, cron=cron)
    facts = JobFacts(ref, job={"apiVersion": "batch/v1", "kind": "Job", **job}, cron=cron)
    if not facts.at_work and job_step(facts).state == "done":
        return facts
    evidence = collect(client, Ref.of(facts.job or {}))
    running = [pod for pod in evidence.pods if (pod.get("status") or {}).get("phase") == "Running"]
    return JobFacts(
        ref,
        job=evidence.obj or facts.job,
        cron=cron,
        findings=findings(evidence),
        pods=evidence.pods,
        logs=[client.logs(str(ref.namespace), pod["metadata"]["name"], CONTAINER, tail=1) for pod in running],
    )


def _newest_job(client: Client, cron: Object) -> Object | None:
    uid = cron["metadata"]["uid"]
    jobs = [
        job
        for job in client.list("batch/v1", "Job", cron["metadata"]["namespace"])
        if any(owner["uid"] == uid for owner in job["metadata"].get("ownerReferences") or ())
    ]
    return max(jobs, key=lambda job: str(job["metadata"]["creationTimestamp"]), default=None)


def _secret_steps(client: Client, facts: JobFacts) -> list[Step]:
    """The Secrets that the Pods need."""
    if facts.cron is not None:
        job = facts.cron["spec"]["jobTemplate"]
    elif facts.job is not None:
        job = facts.job
    else:
        return []
    pod = {"metadata": {"namespace": facts.ref.namespace}, "spec": job["spec"]["template"]["spec"]}
    steps = []
    for need in needs(pod):
        if need.ref.kind != "Secret":
            continue
        try:
            found = client.get(need.ref)
            steps.append(secret_step(need, None if found is None else list(found.get("data") or {})))
        except ApiError as error:  # who may see Jobs need not see Secrets
            steps.append(secret_step(need, error))
    return steps


def wait_until_ready(module: AnsibleModule, look: Look) -> tuple[list[Step], str | None]:
    """Look until it is ready; fails the module when that has become impossible, or at the deadline."""
    name, seconds = module.params["name"], module.params["wait_timeout"]
    deadline, pause, patience = time.monotonic() + seconds, _PAUSE, Patience()
    while True:
        steps, revision = look(deadline=deadline)
        if is_ready(steps):
            return steps, revision
        now = time.monotonic()
        over = patience.is_over(steps, now)
        if over or now >= deadline:
            why = "will not become ready by itself" if over else f"is not ready after {seconds} seconds"
            module.fail_json(msg=f"{name} {why}. {unfinished(steps)}", **conclude(name, steps, revision))
        time.sleep(min(pause, deadline - now))
        pause = min(_LONGEST_PAUSE, pause * _GROWTH)


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(
        argument_spec=argument_spec(),
        required_one_of=[("source", "destinations", "namespace")],
        required_by={"job_name": ("namespace",)},
        supports_check_mode=True,
    )
    auth.hide_kubeconfig(module)  # also when no cluster is asked
    params = module.params
    name = params["name"]
    try:
        if params["wait"] and not (params["destinations"] or params["namespace"]):
            raise InputError("There is nothing to wait for without destinations and without a namespace.")
        look = Look(module)
        steps, revision = wait_until_ready(module, look) if params["wait"] else look(verify=params["verify"])
        if params["wait"] and params["verify"]:
            steps, revision = look(verify=True)
    except TransferError as error:
        fail(module, error)
    result = conclude(name, steps, revision)
    if params["wait"] and not result["ready"]:
        module.fail_json(msg=f"{name} did not stand up to the verification. {unfinished(steps)}", **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
