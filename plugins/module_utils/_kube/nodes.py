# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Are there nodes that can hold Pods, or something that makes them? Asked before the Pods are made."""

from __future__ import annotations

import collections
import dataclasses
import decimal
import typing as t

from .client import Client, Object, Ref
from .errors import ApiError, InputError
from .objects import quantity

_TPU_LABELS = ("cloud.google.com/gke-tpu-accelerator", "cloud.google.com/gke-tpu-topology")
# https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md: where it writes its status.
_AUTOSCALER = Ref("v1", "ConfigMap", "cluster-autoscaler-status", "kube-system")
_KARPENTER = ("karpenter.sh/v1", "NodePool")
_POOL = "cloud.google.com/gke-nodepool"
_COMPUTE_CLASS = "cloud.google.com/compute-class"  # GKE makes nodes for it


@dataclasses.dataclass(frozen=True)
class Need:
    """What Pods need of nodes.

    :param name: whose Pods they are.
    :param resource: ``memory``, or an extended resource such as ``google.com/tpu``.
    :param each: quantity of it that each Pod asks for, such as ``8`` or ``60G``.
    :param selector: labels of the nodes.
    :param hint: where nodes come from.
    :param together: how many of the Pods share a slice, whose nodes are those of one node pool.
    :param without: a label that the nodes must not have.
    """

    name: str
    pods: int
    resource: str
    each: str
    selector: t.Mapping[str, str]
    hint: str = "Create a node pool (modelops.serving.tpu_slice_info has its settings)"
    together: int = 1
    without: str = ""

    @property
    def labels(self) -> str:
        """The selector, as text to go on with."""
        told = [f"{name}={value}" for name, value in sorted(self.selector.items())]
        return "".join(f", {text}" for text in [*told, *([f"without {self.without}"] if self.without else [])])

    def fits(self, node: Object) -> bool:
        """Whether the Pods may run there, be there room or not."""
        labels = _labels(node)
        return self.selector.items() <= labels.items() and (not self.without or self.without not in labels)


def check_nodes(client: Client, need: Need) -> str | None:
    """Has the cluster the nodes, whether they are in use or not, or something that makes them? That is a warning, too.

    :raises KubeError: it has neither.
    """
    try:
        nodes = client.list("v1", "Node")
    except ApiError as error:
        return f"Whether there are nodes was not checked: {error}"
    each = quantity(need.each) or decimal.Decimal(1)
    selected = [node for node in nodes if need.fits(node)]
    has = [_has(node, need.resource) for node in selected]
    pools: collections.Counter[str] = collections.Counter()
    for node, amount in zip(selected, has, strict=True):
        pools[_labels(node).get(_POOL, "")] += int(amount // each)
    room = sum(pods - pods % need.together for pods in pools.values())
    if room >= need.pods:
        return None
    told = (
        f"{need.name} needs nodes for {need.pods} Pods with {need.each} of {need.resource} each{need.labels}; "
        f"there is room for {room}{f' in node pools of {need.together}' if need.together > 1 else ''}"
    )
    if _COMPUTE_CLASS in need.selector or _more_come(client):
        return f"{told}. The cluster's autoscaler has to make the others."
    # An extended resource is on few nodes, and has a name with a domain; of the others each node has some.
    there = _where(nodes, need.resource) if "/" in need.resource else _most(has, need.resource)
    raise InputError(
        f"{told}, and no autoscaler was found that could make more. {there}",
        hint=f"{need.hint}, take what is there, or set check_nodes: false if nodes will come.",
    )


def _labels(node: Object) -> dict[str, str]:
    return node["metadata"].get("labels") or {}


def _has(node: Object, resource: str) -> decimal.Decimal:
    """How much of a resource Pods can have there; nothing on a node that takes no Pods."""
    status = node.get("status") or {}
    ready = any(item["type"] == "Ready" and item["status"] == "True" for item in status.get("conditions") or ())
    if not ready or (node.get("spec") or {}).get("unschedulable"):
        return decimal.Decimal(0)
    return quantity((status.get("allocatable") or {}).get(resource, "0")) or decimal.Decimal(0)


def _more_come(client: Client) -> bool:
    if client.serves(*_KARPENTER):
        return True
    try:
        return client.get(_AUTOSCALER) is not None
    except ApiError:
        return True  # may not be asked: then nobody is told that there is none


def _where(nodes: list[Object], resource: str) -> str:
    """What nodes there are, for who asked for the wrong ones."""
    found = collections.Counter(
        " ".join(filter(None, (_labels(node).get(name) for name in _TPU_LABELS))) or "without labels of a TPU"
        for node in nodes
        if _has(node, resource)
    )
    if not found:
        return f"No ready node has {resource}."
    return (
        f"Ready nodes with {resource}: " + ", ".join(f"{number} {kind}" for kind, number in sorted(found.items())) + "."
    )


def _most(has: t.Collection[decimal.Decimal], resource: str) -> str:
    most = max(has, default=decimal.Decimal(0))
    if not most:
        return "No ready node has these labels."
    amount = f"{most / 10**9:.1f}G" if resource == "memory" else f"{most:f}"
    return f"The largest of these nodes has {amount} of {resource} for Pods."
