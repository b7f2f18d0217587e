# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How Google Cloud Storage is reached. Names follow google.cloud."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  auth_kind:
    description:
      - The kind of Google credentials.
      - When it is missing, a given key or token decides, then E(GCP_AUTH_KIND). Without all of these it is
        V(application), the Application Default Credentials.
      - V(anonymous) sends no credentials, for public buckets.
    type: str
    choices: [application, serviceaccount, accesstoken, anonymous]
  service_account_file:
    description:
      - File on the host the module runs on with the key of a service account.
      - E(GCP_SERVICE_ACCOUNT_FILE) is used when it is missing.
    type: path
  service_account_contents:
    description:
      - The key of a service account itself, as a dictionary or as JSON text.
      - E(GCP_SERVICE_ACCOUNT_CONTENTS) is used when it is missing.
    type: jsonarg
  access_token:
    description:
      - An OAuth access token.
      - E(GCP_ACCESS_TOKEN) is used when it is missing.
    type: str
"""
