# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is looked at before an instance is written: would a Pod of it find its nodes, its model and its token?

What cannot be found out from here is a warning. The copy of the model is looked at by the action plugin. Whether the slice
is valid and the model fits is checked without I/O, by ``_serving.build.check``; whether the kinds are served, by the apply.
"""

from __future__ import annotations

import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._hub.token import check_access
from ansible_collections.modelops.serving.plugins.module_utils._kube import nodes
from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Client
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import InputError as KubeInputError
from ansible_collections.modelops.serving.plugins.module_utils._mounts import SecretKey
from ansible_collections.modelops.serving.plugins.module_utils._serving.build import engine_of
from ansible_collections.modelops.serving.plugins.module_utils._serving.instance import RESOURCES, Device, Instance
from ansible_collections.modelops.serving.plugins.module_utils._tpu.capacity import scheduling
from ansible_collections.modelops.serving.plugins.module_utils._transfer.control import Control

#: Seconds and tries that a place may take to answer; the cluster asks it again.
_PATIENCE: dict[str, t.Any] = {"stall_timeout": 10, "attempts": 2}


def check_token(client: Client, instance: Instance, hide: t.Callable[[str], None]) -> str | None:
    """May the token of the instance read the model? A Hub that does not answer from here is a warning.

    Of a SecretProviderClass only a Pod gets to know the token.

    :param hide: told the token before anything is done with it.
    :raises KubeError: the Secret, or its key, is not there.
    :raises AccessError: the token may not read the model. It says why, and what to do.
    """
    source, model = instance.model.token, instance.model.name
    if not isinstance(source, SecretKey):
        return None
    missing = "Create it with modelops.serving.hf_token_secret."
    token = client.read_secret(instance.namespace, source.name, missing=missing).get(source.key, "").strip()
    if not token:
        raise KubeInputError(f"Secret {instance.namespace}/{source.name} has no key {source.key}.", hint=missing)
    hide(token)
    return check_access(token, model, Control(**_PATIENCE), endpoint=instance.env.get("HF_ENDPOINT"))


# -- nodes -------------------------------------------------------------------------------------------------------------


def check_nodes(client: Client, instance: Instance) -> str | None:
    """Has the cluster the nodes, whether they are in use or not, or something that makes them? That is a warning, too.

    :raises KubeError: it has neither.
    """
    selector, resource, each = _asked(instance)
    if not resource:
        return None
    on_devices = [work for work in engine_of(instance).workloads(instance) if work.on_devices]
    pods = sum(work.replicas * work.hosts for work in on_devices)
    together = max(work.hosts for work in on_devices)
    return nodes.check_nodes(client, nodes.Need(instance.name, pods, resource, each, selector, together=together))


def _asked(instance: Instance) -> tuple[dict[str, str], str, str]:
    """Node labels, extended resource and how many of it each Pod asks for."""
    hardware = instance.hardware
    if isinstance(hardware, Device):
        return dict(hardware.node_selector), RESOURCES.get(hardware.kind, ""), str(hardware.count)
    ((resource, each),) = hardware.slice.resources["limits"].items()
    return scheduling(hardware.slice, hardware.capacity)["nodeSelector"], resource, each
