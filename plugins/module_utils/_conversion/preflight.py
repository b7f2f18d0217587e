# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is looked at before a conversion is started: has it credentials, and a node that can hold it?

What cannot be found out from here is a warning.
"""

from __future__ import annotations

import json
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._conversion.options import Conversion
from ansible_collections.modelops.serving.plugins.module_utils._kube import nodes
from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Client, Object
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import ApiError
from ansible_collections.modelops.serving.plugins.module_utils._kube.nodes import Need
from ansible_collections.modelops.serving.plugins.module_utils._serving.conversion import (
    LLAMA_SIZES,
    JetStreamLoader,
    check_kaggle_secret,
)


def check_secret(client: Client, conversion: Conversion, hide: t.Callable[[str], None]) -> str | None:
    """Has the Secret Kaggle's credentials, if the conversion needs any?

    :param hide: told the keys in it.
    :raises KubeError: the Secret is not there.
    :raises TransferError: it holds something else.
    """
    if not isinstance(conversion, JetStreamLoader):
        return None
    missing = "Create it in the namespace, with kaggle.json or with username and key out of it."
    try:
        values = client.read_secret(conversion.run.namespace, conversion.secret, missing=missing)
    except ApiError as error:
        return f"Whether the Secret {conversion.secret} has Kaggle's credentials was not checked: {error}"
    check_kaggle_secret(conversion.secret, values)
    for key in (values.get("key"), _key_of(values.get("kaggle.json", ""))):
        if key and key.strip():
            hide(key.strip())
    return None


def _key_of(file: str) -> str | None:
    """The key in kaggle.json; what is no JSON is up to the tool."""
    try:
        found = json.loads(file)
    except ValueError:
        return None
    return str(found.get("key") or "") if isinstance(found, dict) else None


def check_nodes(client: Client, conversion: Conversion, job: Object) -> str | None:
    """Can a node hold the Job's Pod, or does something make one that can? That is a warning, too.

    Nothing is looked at where the user says what memory the nodes have.

    :raises KubeError: neither.
    """
    pod = job["spec"]["template"]["spec"]
    selector, (container,) = pod.get("nodeSelector") or {}, pod["containers"]
    limits = container["resources"]["limits"]
    if isinstance(conversion, JetStreamLoader):
        ((chips, each),) = limits.items()
        return nodes.check_nodes(client, Need(conversion.run.name, 1, chips, str(each), selector))
    if conversion.node_memory is not None:
        return None
    hint = f"Create larger nodes, such as {LLAMA_SIZES[conversion.size].machine}"
    return nodes.check_nodes(client, Need(conversion.run.name, 1, "memory", limits["memory"], selector, hint))
