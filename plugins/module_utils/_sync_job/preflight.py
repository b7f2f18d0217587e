# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""May the token read the model? Asked before there is a Job, which would find out much later and on a node of its own."""

from __future__ import annotations

from ansible_collections.modelops.serving.plugins.module_utils._hub.token import check_access
from ansible_collections.modelops.serving.plugins.module_utils._sync_job.assemble import Assembled
from ansible_collections.modelops.serving.plugins.module_utils._sync_job.pin import PATIENCE
from ansible_collections.modelops.serving.plugins.module_utils._transfer.hub import find_token


def check_token(found: Assembled) -> str | None:
    """Ask the Hub, if the source lies there and its token is known here. The answer is a warning.

    A Hub that gives no answer from here may well give one to the cluster.

    :raises AccessError: the token may not read the model. It says why, and what to do.
    """
    hub = found.hub or {}
    if not (hub.get("token") or hub.get("token_file")):
        return None
    token, _warning = find_token(hub.get("token"), hub.get("token_file"))
    return check_access(
        str(token),
        hub["repo"],
        PATIENCE,
        endpoint=hub.get("endpoint"),
        validate_certs=hub.get("validate_certs", True),
        ca_bundle=hub.get("ca_bundle"),
    )
