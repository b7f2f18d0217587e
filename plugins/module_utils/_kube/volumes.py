# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Do the containers of a definition mount volumes that are there? Pure.

The API server says so of its own kinds, in terms of indexes. Of custom kinds nobody does before their Pods are refused.
"""

from __future__ import annotations

import typing as t

from .client import Object, Ref
from .errors import InputError

_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
# API groups whose kinds hold Pods as they will be. Others may complete them, and volumes with them.
_GROUPS = {"", "apps", "batch", "jobset.x-k8s.io", "leaderworkerset.x-k8s.io"}


def check_mounts(obj: Object) -> None:
    """Check the Pod, or each Pod template, of one definition.

    :raises InputError: a mount names a volume that is not declared, or a path is mounted twice.
    """
    if obj["apiVersion"].rpartition("/")[0] not in _GROUPS:
        return
    for pod, claims in _pods(obj, frozenset()):
        volumes = _names(pod.get("volumes")) | claims
        for key in _CONTAINERS:
            for container in _items(pod.get(key)):
                _check(f"{Ref.of(obj)}: container {container.get('name')}", container, volumes)


def _check(where: str, container: Object, volumes: frozenset[str]) -> None:
    seen: dict[str, t.Any] = {}
    for mount in _items(container.get("volumeMounts")):
        name, path = mount.get("name"), str(mount.get("mountPath"))
        if name not in volumes:
            raise InputError(
                f"{where} mounts the volume {name} at {path}, and there is none of that name.",
                hint=f"The volumes of its Pod are: {', '.join(sorted(volumes)) or 'none'}.",
            )
        place = path.rstrip("/")
        if place in seen:
            raise InputError(
                f"{where} mounts two volumes at {path}: {seen[place]} and {name}.",
                hint="Give each a path of its own.",
            )
        seen[place] = name


def _pods(value: t.Any, claims: frozenset[str]) -> t.Iterator[tuple[Object, frozenset[str]]]:
    """Every spec of a Pod in a definition, with the claims that its controller makes volumes of."""
    if isinstance(value, list):
        for item in value:
            yield from _pods(item, claims)
    elif isinstance(value, dict):
        claims |= frozenset(
            str(claim["metadata"].get("name"))
            for claim in _items(value.get("volumeClaimTemplates"))
            if isinstance(claim.get("metadata"), dict)
        )
        spec = value.get("spec")
        if isinstance(spec, dict) and isinstance(spec.get("containers"), list):
            yield spec, claims
        else:
            for item in value.values():
                yield from _pods(item, claims)


def _items(value: t.Any) -> list[Object]:
    """The items of a list that can be looked at; what is wrong otherwise is for the API server to say."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _names(value: t.Any) -> frozenset[str]:
    return frozenset(str(item.get("name")) for item in _items(value))
