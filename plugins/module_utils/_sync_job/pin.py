# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A branch becomes a commit, so that all Pods copy the same and a branch that moved is a new sync."""

from __future__ import annotations

import dataclasses

from ansible_collections.modelops.serving.plugins.module_utils._sync_job.assemble import Assembled
from ansible_collections.modelops.serving.plugins.module_utils._transfer.control import Control
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import TransientError
from ansible_collections.modelops.serving.plugins.module_utils._transfer.request import build_source

#: For what the Job could find out as well.
PATIENCE = Control(stall_timeout=10, attempts=2)


def pin(found: Assembled) -> tuple[Assembled, str | None]:
    """The sync with its commit in place of a branch; the second item is a warning.

    A Hub that cannot be reached from here may well be reached from the cluster: then the branch stays. It stays with a
    schedule, too: each of its runs is to copy what is newest by then.

    :raises TransferError: the Hub says that there is nothing to copy, or that the token may not read it.
    """
    if found.hub is None or found.spec.schedule:
        return found, None
    source, _warnings = build_source(found.hub, PATIENCE)
    try:
        commit = source.snapshot().revision
    except TransientError as error:
        return found, f"The commit was not looked up, the Job does that: {error.message}"
    request = {**found.spec.request, "source": {**found.spec.request["source"], "revision": commit}}
    return dataclasses.replace(found, spec=dataclasses.replace(found.spec, request=request)), None
