# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A temporary passcode of IBM Cloud is good for five minutes and once. What it was exchanged for stays in the cluster."""

from __future__ import annotations

import base64
import dataclasses
import hashlib

from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Client, Ref
from ansible_collections.modelops.serving.plugins.module_utils._sync_job.assemble import (
    PASSCODE_DIGEST,
    REFRESH_TOKEN,
    Passcode,
)
from ansible_collections.modelops.serving.plugins.module_utils._sync_job.build import credentials_name
from ansible_collections.modelops.serving.plugins.module_utils._sync_job.spec import JobSpec
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import AccessError
from ansible_collections.modelops.serving.plugins.module_utils._transfer.ibm import exchange_passcode


def redeem(client: Client, spec: JobSpec, passcode: Passcode) -> JobSpec:
    """The sync with a refresh token: of the Secret that an earlier run with this passcode left, else by exchange.

    :raises TransferError: the passcode has expired, was used elsewhere, or IAM cannot be reached.
    """
    digest = hashlib.sha256(passcode.value.encode()).hexdigest()[:16]
    earlier = _stored(client, spec)
    token = earlier.get(REFRESH_TOKEN) if earlier.get(PASSCODE_DIGEST) == digest else None
    if not token:
        tokens = exchange_passcode(
            passcode.value, passcode.iam_endpoint, crn=passcode.crn, validate_certs=passcode.validate_certs
        )
        token = tokens.refresh_token
    if not token:
        raise AccessError("IBM Cloud IAM gave no refresh token for the passcode.", hint="Use an API key.")
    return dataclasses.replace(spec, credentials={**spec.credentials, REFRESH_TOKEN: token, PASSCODE_DIGEST: digest})


def _stored(client: Client, spec: JobSpec) -> dict[str, str]:
    found = client.get(Ref("v1", "Secret", credentials_name(spec), spec.namespace))
    data = (found or {}).get("data") or {}
    return {key: base64.b64decode(value).decode() for key, value in data.items()}
