# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""KServe's Secret ``storage-config``: one entry of ours beside those of others."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._kube.apply import MANAGER, ApplyOptions, Change, apply
from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Client, Object, Ref


def write(
    client: Client, namespace: str, name: str, entry: tuple[str, t.Mapping[str, str]], *, check: bool, force: bool
) -> list[Change]:
    """Make one entry so. Entries of other managers stay because of server-side apply, earlier ones of ours by being sent.

    :param entry: name of the data connection and its content, credentials included.
    """
    live = client.get(Ref("v1", "Secret", name, namespace))
    key, content = entry
    text = json.dumps(dict(content), indent=2, sort_keys=True)
    secret: Object = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": "Opaque",
        "data": _ours(live),
        "stringData": {key: text},
    }
    secret["data"].pop(key, None)
    return apply(client, [secret], ApplyOptions(check=check, force_conflicts=force))


def _ours(live: Object | None) -> dict[str, str]:
    """What we have applied to this Secret before."""
    if live is None:
        return {}
    owned: set[str] = set()
    for entry in live["metadata"].get("managedFields") or ():
        if entry.get("manager") == MANAGER and entry.get("operation") == "Apply":
            fields = (entry.get("fieldsV1") or {}).get("f:data") or {}
            owned |= {field[2:] for field in fields if field.startswith("f:")}
    return {key: value for key, value in (live.get("data") or {}).items() if key in owned}
