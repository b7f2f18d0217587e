# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Jobs of a benchmark at the API server: is one under way, apply, remove."""

from __future__ import annotations

from ansible_collections.modelops.serving.plugins.module_utils._bench_job.build import (
    APP,
    IDENTITY,
    RUN,
    TPU_LABEL,
    build,
    identity,
)
from ansible_collections.modelops.serving.plugins.module_utils._bench_job.spec import BenchSpec, Object
from ansible_collections.modelops.serving.plugins.module_utils._kube import nodes
from ansible_collections.modelops.serving.plugins.module_utils._kube.apply import ApplyOptions, Change, Prune, apply
from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Client, Ref
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import InputError
from ansible_collections.modelops.serving.plugins.module_utils._kube.kinds import assess
from ansible_collections.modelops.serving.plugins.module_utils._kube.objects import prepare, selector

_KINDS = (("v1", "ConfigMap"), ("v1", "Secret"), ("batch/v1", "Job"))


def refs(spec: BenchSpec) -> list[Ref]:
    """The Jobs."""
    return [Ref("batch/v1", "Job", name, spec.namespace) for name in spec.jobs]


def everything(name: str, namespace: str) -> Prune:
    """What belongs to the benchmark of a name."""
    return Prune(_KINDS, namespace, selector(name, APP))


def under_way(client: Client, spec: BenchSpec, program: bytes) -> str | None:
    """The id of the run that the Jobs of this name are at, if they are those of this benchmark; None when none runs.

    :raises InputError: they are those of another one.
    """
    live = client.list("batch/v1", "Job", spec.namespace, labels=everything(spec.name, spec.namespace).selector)
    live = [job for job in live if "deletionTimestamp" not in job["metadata"]]
    if not any(assess(job).state == "waiting" for job in live):
        return None
    wanted = identity(spec, program)
    if any(_notes(job["metadata"]).get(IDENTITY) != wanted for job in live):
        raise InputError(
            f"Another benchmark runs in {spec.namespace} under the name {spec.name}.",
            hint="Wait for its end, remove it with state: absent, or give this one another name.",
        )
    return _notes(live[0]["spec"]["template"]["metadata"]).get(RUN)


def _notes(metadata: Object) -> dict[str, str]:
    return metadata.get("annotations") or {}


def start(
    client: Client, spec: BenchSpec, program: bytes, run_id: str, *, attach: bool, check: bool, force: bool
) -> list[Change]:
    """Apply the objects, in place of what an earlier run has left.

    :param attach: to Jobs that run, which must stay as they are.
    :raises KubeError: the API server refused something. The message says what, and what to do.
    """
    objects = prepare(build(spec, program, run_id), instance=spec.name, part_of=APP)
    how = ApplyOptions(
        force_conflicts=force,
        check=check,
        prune=None if attach else everything(spec.name, spec.namespace),
        replace=frozenset() if attach else frozenset(refs(spec)),
    )
    return apply(client, objects, how)


def check_nodes(client: Client, spec: BenchSpec) -> str | None:
    """Have nodes without TPUs the cores, or does something make such nodes? That is a warning, too.

    :raises KubeError: neither.
    """
    need = nodes.Need(
        spec.name,
        len(spec.shards),
        "cpu",
        spec.pod.cpu,
        spec.pod.node_selector,
        "Create nodes without TPUs that have the cores",
        without=TPU_LABEL,
    )
    return nodes.check_nodes(client, need)
