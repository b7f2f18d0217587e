# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a benchmark in the cluster is made of: what each Pod sends, where its secrets lie, how its Pods look."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._bench.workload import Stage, Workload
from ansible_collections.modelops.serving.plugins.module_utils._mounts import SecretKey, TokenMount

Object: t.TypeAlias = "dict[str, t.Any]"

#: The name of a Job is a label of its Pods, which has at most 63 characters; shards get up to 4 more.
MAX_NAME = 59
#: Seconds: for a node, an image and the preflight; for a tool to start; what comes on top.
_STARTUP, _TOOL, _MARGIN = 900, 60, 120


@dataclasses.dataclass(frozen=True)
class PodOptions:
    """How the Pods look, apart from what the benchmark itself asks for.

    :param cpu: as request and as limit, so that a node can give whole cores to the Pod alone.
    :param storage: for the results until they are collected, and for caches of the tools.
    :param user: numeric user and group id; None leaves them to the cluster, as OpenShift wants it.
    """

    image: str
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    cpu: str = "2"
    memory: str = "1Gi"
    storage: str = "2Gi"
    user: int | None = 65532
    env: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    node_selector: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    tolerations: tuple[Object, ...] = ()
    labels: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    annotations: t.Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class BenchSpec:
    """One benchmark in the cluster.

    :param name: of everything that belongs to it.
    :param engine: what sends the load.
    :param shards: the files of each Pod, content by name. Not secret.
    :param secrets: environment variables that come from keys of Secrets.
    :param key: the API key of the endpoint, for the Secret that is made for this benchmark.
    :param environment: more variables, which the engine asks for.
    :param service_account: one that is there already; None is the default one of the namespace.
    :param deadline: seconds a Job may take, with the time that its results wait to be collected.
    :param ttl: seconds after which a finished Job is removed by the cluster.
    """

    name: str
    namespace: str
    engine: str
    shards: tuple[t.Mapping[str, str], ...]
    pod: PodOptions
    secrets: t.Mapping[str, SecretKey] = dataclasses.field(default_factory=dict)
    key: str | None = dataclasses.field(default=None, repr=False)
    environment: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    token: TokenMount | None = None
    service_account: str | None = None
    deadline: int = 3600
    ttl: int = 3600

    @property
    def jobs(self) -> list[str]:
        """Names of the Jobs, one for each shard."""
        if len(self.shards) == 1:
            return [self.name]
        return [f"{self.name}-{number}" for number in range(len(self.shards))]

    @property
    def identity(self) -> str:
        """Digest of what is sent and how. The value of the API key does not count."""
        described = dataclasses.asdict(dataclasses.replace(self, key=self.key and ""))
        return hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode()).hexdigest()[:16]


def longest(workload: Workload, *, tools: bool) -> int:
    """Seconds that a run of the workload takes at most, from the creation of its Job on.

    :param tools: whether a program is started for every stage.
    """
    stages = [_longest(stage, workload) + (_TOOL if tools else 0) for stage in workload.stages]
    warmup = workload.request_timeout * workload.warmup_requests
    return round(_STARTUP + _MARGIN + warmup + workload.repeats * sum(stages))


def _longest(stage: Stage, workload: Workload) -> float:
    """A closed loop of slow answers takes long, and after the last request its answer is waited for."""
    if stage.duration is not None:
        sending = stage.duration
    elif stage.rate:
        sending = (stage.requests or 0) / stage.rate
    else:
        sending = workload.request_timeout * ((stage.requests or 0) // (stage.concurrency or 1))
    return sending + workload.request_timeout
