# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why the scheduler finds no node for a Pod: its sentence, compared with what Pod and nodes really say."""

from __future__ import annotations

import re

from . import podspec
from .client import Object

# Such as: 0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint {a: b}. preemption: 0/3 ...
# Since 1.34 without the taints' names, and with "no new claims to deallocate" before "preemption".
_SENTENCE = re.compile(r"^\d+/(?P<nodes>\d+) nodes are available: (?P<reasons>.*)$", re.DOTALL)
_PREEMPTION = re.compile(r"\.? *(no new claims to deallocate,? *)?\.*preemption: .*$", re.DOTALL)
_REASON = re.compile(r"(?:^|, )(\d+) (.+?)(?=, \d+ |$)", re.DOTALL)


def reasons(message: str) -> list[tuple[int, str]]:
    """The scheduler's reasons with the number of nodes each; 0 for a sentence that is not about nodes one by one."""
    sentence = _SENTENCE.match(message.strip())
    if sentence is None:
        return [(0, message.strip())]
    text = _PREEMPTION.sub("", sentence["reasons"]).rstrip(". ")
    return [(int(number), reason) for number, reason in _REASON.findall(text)] or [(0, text)]


def explain(pod: Object, message: str, nodes: list[Object]) -> tuple[str, list[str]]:
    """The scheduler's message with what stands behind each reason, and the next steps.

    :param nodes: all nodes, or none when they may not be listed; then the scheduler's words have to do.
    """
    if "no nodes available to schedule pods" in message:
        return "There is no node in the cluster.", ["Add a node pool, or wait for the cluster's autoscaler."]
    told, hints = [], []
    sentence = _SENTENCE.match(message.strip())
    for number, reason in reasons(message):
        detail, hint = _detail(pod, reason, nodes)
        where = f"{number} of {sentence['nodes']} nodes: " if sentence and number else ""
        told.append(f"{where}{reason} ({detail})" if detail else f"{where}{reason}")
        if hint and hint not in hints:
            hints.append(hint)
    return "; ".join(told), hints


def _detail(pod: Object, reason: str, nodes: list[Object]) -> tuple[str, str]:
    """What stands behind one reason: detail for the message, and next step."""
    if reason.startswith("Insufficient "):
        return _insufficient(pod, reason.removeprefix("Insufficient ").strip(), nodes)
    if "node affinity" in reason or "node selector" in reason:
        if "volume" in reason:
            return (
                "",
                "The volume can only be used in its own zone: let the Pod run there, or use another StorageClass.",
            )
        return _labels(pod, nodes)
    if "taint" in reason:
        return _taints(pod, reason, nodes)
    if "PersistentVolumeClaim" in reason or "persistentvolumeclaim" in reason:
        names = ", ".join(podspec.claims(pod))
        namespace = pod["metadata"].get("namespace", "")
        missing = re.search(r'persistentvolumeclaim "([^"]+)" not found', reason)
        hint = f"Create the PersistentVolumeClaim {missing[1]} in namespace {namespace}." if missing else ""
        return names, hint or f"See why it is not bound: kubectl describe pvc --namespace {namespace} {names}"
    if "were unschedulable" in reason:
        return "cordoned", "Allow Pods on them again: kubectl uncordon NODE"
    if "Too many pods" in reason:
        return "", "Add nodes, or raise the nodes' maxPods."
    if "free ports" in reason:
        return "", "A hostPort can be used once per node: free it, or do without."
    return "", ""


def _insufficient(pod: Object, resource: str, nodes: list[Object]) -> tuple[str, str]:
    wanted = podspec.requests(pod).get(resource, 0.0)
    text = f"the Pod requests {podspec.show(wanted, resource)}" if wanted else ""
    if not nodes:
        return text, f"Add nodes with enough {resource}, or request less."
    having = [podspec.amount(((node.get("status") or {}).get("allocatable") or {}).get(resource)) for node in nodes]
    largest = max(having)
    if not largest:
        return f"{text}, no node has any", f"Add a node pool that offers {resource}, or correct the request."
    text += f", the largest node has {podspec.show(largest, resource)}"
    if largest < wanted:
        return text, f"Request at most {podspec.show(largest, resource)} of {resource} per Pod, or add larger nodes."
    return f"{text}, taken by other Pods", f"Free {resource} on the nodes, add nodes, or request less."


def _labels(pod: Object, nodes: list[Object]) -> tuple[str, str]:
    """Compare required labels with those that nodes have."""
    parts, keys = [], []
    for key, operator, values in podspec.node_terms(pod):
        wanted = f"{key} {operator} {','.join(values)}".strip() if operator != "In" else f"{key}={','.join(values)}"
        keys.append(key)
        if not nodes:
            parts.append(f"wants {wanted}")
            continue
        present = {((node["metadata"].get("labels") or {}).get(key)) for node in nodes} - {None}
        shown = ", ".join(sorted(map(str, present))[:10])
        parts.append(f"wants {wanted}, " + (f"nodes have {shown}" if present else "no node has this label"))
    hint = "Correct nodeSelector or affinity, or add nodes with these labels"
    columns = ",".join(dict.fromkeys(keys))
    return "; ".join(parts), f"{hint}: kubectl get nodes --label-columns {columns}" if columns else f"{hint}."


def _taints(pod: Object, reason: str, nodes: list[Object]) -> tuple[str, str]:
    """Name the taints, which newer schedulers leave out of their sentence."""
    named = "{" in reason
    counts: dict[str, int] = {}
    for node in nodes:
        for taint in (node.get("spec") or {}).get("taints") or ():
            if taint.get("effect") != "PreferNoSchedule" and not podspec.tolerates(pod, taint):
                value = f"={taint['value']}" if taint.get("value") else ""
                text = f"{taint.get('key')}{value}:{taint.get('effect')}"
                counts[text] = counts.get(text, 0) + 1
    detail = "" if named else ", ".join(f"{text} on {number}" for text, number in sorted(counts.items()))
    if "node.kubernetes.io/not-ready" in reason + detail or "node.kubernetes.io/unreachable" in reason + detail:
        return detail, "Nodes are not ready: kubectl get nodes; kubectl describe node NODE"
    return detail, "Give the Pod a toleration for the taint, or use nodes without it."
