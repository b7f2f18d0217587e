# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How IBM Cloud Object Storage is reached, beyond what it shares with S3."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  api_key:
    description:
      - API key of a user or service ID of IBM Cloud. IAM tokens are made of it, and renewed while a run goes on.
      - IBM Cloud Object Storage takes this, or HMAC credentials, or IAM tokens. When none of them is given,
        E(IBMCLOUD_API_KEY) and then E(IBM_API_KEY_ID) are used.
    type: str
    aliases: [ibmcloud_api_key]
  iam_token:
    description:
      - An IAM token, for instance from C(ibmcloud iam oauth-tokens). It lasts an hour at most, and is only renewed with
        a refresh token.
    type: str
  iam_refresh_token:
    description:
      - Refresh token of a login, for instance with a passcode, of which IAM tokens are made and renewed.
    type: str
  iam_endpoint:
    description:
      - Address of IBM Cloud IAM.
      - E(IBMCLOUD_IAM_API_ENDPOINT) is used when it is missing, and then V(https://iam.cloud.ibm.com).
    type: str
  instance_crn:
    description:
      - Cloud Resource Name of the instance of IBM Cloud Object Storage, or of the bucket.
      - It is only needed for refresh tokens of users with several accounts.
    type: str
"""
