# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a Pod asks for before it can run: Secrets and ConfigMaps, claims, resources, nodes. Pure reading of its spec."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from .client import Object, Ref
from .objects import quantity

_SIZES: t.Final = {"Ti": 2**40, "Gi": 2**30, "Mi": 2**20, "Ki": 2**10}
_QUANTITY = re.compile(r"([0-9.]+)([a-zA-Z]*)")


@dataclass
class Need:
    """A Secret or ConfigMap without which a Pod's containers do not start.

    :param keys: the keys that are named; there may be more when ``whole`` is set.
    :param whole: all keys are taken (envFrom, or a volume without items).
    :param users: who needs it: ``container sync (envFrom)``, ``volume model``.
    :param mounted: it comes in through a volume; otherwise through the environment.
    """

    ref: Ref
    keys: list[str] = field(default_factory=list)
    whole: bool = False
    users: list[str] = field(default_factory=list)
    mounted: bool = False

    def add(self, user: str, keys: t.Iterable[str], *, whole: bool, mounted: bool) -> None:
        """Note one more use."""
        self.keys += [key for key in keys if key not in self.keys]
        if user not in self.users:
            self.users.append(user)
        self.whole |= whole
        self.mounted |= mounted


def containers(pod: Object) -> list[Object]:
    """Containers in the order in which they start: init containers, then the others."""
    spec = pod.get("spec") or {}
    return [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]


def needs(pod: Object) -> list[Need]:
    """Every Secret and ConfigMap that the Pod cannot do without. What is optional is left out."""
    found: dict[Ref, Need] = {}
    namespace = pod["metadata"].get("namespace")

    def note(
        kind: str, name: t.Any, user: str, source: Object, *, keys: t.Iterable[str], whole: bool, mounted: bool
    ) -> None:
        if name and not source.get("optional"):
            ref = Ref("v1", kind, str(name), namespace)
            found.setdefault(ref, Need(ref)).add(user, keys, whole=whole, mounted=mounted)

    for container in containers(pod):
        name = container.get("name")
        for variable in container.get("env") or ():
            for kind, word in (("Secret", "secretKeyRef"), ("ConfigMap", "configMapKeyRef")):
                source = (variable.get("valueFrom") or {}).get(word)
                if source:
                    user = f"container {name} (env {variable['name']})"
                    note(kind, source.get("name"), user, source, keys=[source["key"]], whole=False, mounted=False)
        for entry in container.get("envFrom") or ():
            for kind, word in (("Secret", "secretRef"), ("ConfigMap", "configMapRef")):
                if source := entry.get(word):
                    user = f"container {name} (envFrom)"
                    note(kind, source.get("name"), user, source, keys=[], whole=True, mounted=False)
    # The kubelet does not wait for volumes that no container mounts.
    mounted = {mount.get("name") for container in containers(pod) for mount in container.get("volumeMounts") or ()}
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        for kind, source in _volume_sources(volume) if volume.get("name") in mounted else ():
            keys = [item["key"] for item in source.get("items") or ()]
            note(
                kind,
                source.get("secretName") or source.get("name"),
                f"volume {volume.get('name')}",
                source,
                keys=keys,
                whole=not keys,
                mounted=True,
            )
    return list(found.values())


def _volume_sources(volume: Object) -> list[tuple[str, Object]]:
    """The Secrets and ConfigMaps of a volume, also of a projected one."""
    sources = [volume, *((volume.get("projected") or {}).get("sources") or ())]
    return [
        (kind, source[word])
        for source in sources
        for kind, word in (("Secret", "secret"), ("ConfigMap", "configMap"))
        if source.get(word)
    ]


def claims(pod: Object) -> list[str]:
    """Names of the PersistentVolumeClaims that the Pod mounts, those of ephemeral volumes among them."""
    names = []
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            names.append(str(volume["persistentVolumeClaim"]["claimName"]))
        elif volume.get("ephemeral"):
            names.append(f"{pod['metadata']['name']}-{volume['name']}")
    return names


def requests(pod: Object) -> dict[str, float]:
    """What the scheduler reserves: the containers together, or the largest init container where that is more.

    https://kubernetes.io/docs/concepts/workloads/pods/init-containers/#resource-sharing-within-containers
    """
    spec = pod.get("spec") or {}
    total: dict[str, float] = {}
    for container in spec.get("containers") or ():
        for name, value in _requested(container).items():
            total[name] = total.get(name, 0.0) + value
    for container in spec.get("initContainers") or ():
        for name, value in _requested(container).items():
            total[name] = max(total.get(name, 0.0), value)
    return total


def _requested(container: Object) -> dict[str, float]:
    resources = container.get("resources") or {}
    wanted = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {name: amount(text) for name, text in wanted.items()}


def amount(text: t.Any) -> float:
    """A resource quantity as a number; 0 for what is none."""
    return float(quantity(text) or 0)


def show(value: float, resource: str) -> str:
    """An amount the way people write it: ``2``, ``500m``, ``16Gi``."""
    if resource in ("memory", "ephemeral-storage") or resource.startswith("hugepages-"):
        for suffix, size in _SIZES.items():
            if value >= size:
                return f"{value / size:.4g}{suffix}"
    return f"{value:g}" if value == int(value) else f"{value * 1000:g}m"


def double(text: t.Any) -> str:
    """Twice a quantity, in the same unit."""
    match = _QUANTITY.fullmatch(str(text))
    return f"{2 * float(match[1]):g}{match[2]}" if match else ""


def node_terms(pod: Object) -> list[tuple[str, str, list[str]]]:
    """Required node labels as (key, operator, values), of nodeSelector and of required node affinity."""
    spec = pod.get("spec") or {}
    terms = [(key, "In", [str(value)]) for key, value in (spec.get("nodeSelector") or {}).items()]
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    for term in required.get("nodeSelectorTerms") or ():
        terms += [
            (expression["key"], expression["operator"], list(expression.get("values") or ()))
            for expression in term.get("matchExpressions") or ()
        ]
    return terms


def tolerates(pod: Object, taint: Object) -> bool:
    """Whether one of the Pod's tolerations matches the taint."""
    for toleration in (pod.get("spec") or {}).get("tolerations") or ():
        if toleration.get("effect") not in (None, "", taint.get("effect")):
            continue
        if toleration.get("key") not in (None, "", taint.get("key")):
            continue
        exists = toleration.get("operator") == "Exists"
        if exists or (toleration.get("key") and toleration.get("value", "") == taint.get("value", "")):
            return True
    return False
