# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""May the token read the model? Asked before there is a Job, which would find out much later and on a node of its own."""

from __future__ import annotations

import os

from ansible_collections.modelops.serving.plugins.module_utils._hub.token import look_up
from ansible_collections.modelops.serving.plugins.module_utils._sync_job.assemble import Assembled
from ansible_collections.modelops.serving.plugins.module_utils._sync_job.pin import PATIENCE
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError, TransferError
from ansible_collections.modelops.serving.plugins.module_utils._transfer.hub import DEFAULT_ENDPOINT, find_token


def check_token(found: Assembled) -> str | None:
    """Ask the Hub, if the source lies there and its token is known here. The answer is a warning.

    A Hub that gives no answer from here may well give one to the cluster.

    :raises AccessError: the token may not read the model. It says why, and what to do.
    """
    hub = found.hub or {}
    if not (hub.get("token") or hub.get("token_file")):
        return None
    token, _warning = find_token(hub.get("token"), hub.get("token_file"))
    try:
        info = look_up(
            endpoint=hub.get("endpoint") or os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT,
            token=token,
            models=[hub["repo"]],
            control=PATIENCE,
            validate_certs=hub.get("validate_certs", True),
            ca_bundle=hub.get("ca_bundle"),
        )
    except InputError:
        raise
    except TransferError as error:
        return f"The token was not checked: {error}"
    (model,) = info.models
    if model.access == "unknown":
        return f"The token was not checked: {model.message}"
    if not info.usable:
        raise info.error()
    return None
