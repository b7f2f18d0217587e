# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which project of Google Cloud, and where its APIs are. Names follow google.cloud. Goes with the fragment _gcs."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  project:
    description:
      - Id of the project of Google Cloud.
      - E(GCP_PROJECT) and then E(GOOGLE_CLOUD_PROJECT) are used when it is missing.
    type: str
  endpoints:
    description:
      - Addresses of single APIs of Google, for Private Service Connect and tests, such as
        C(secretmanager=https://secretmanager-example.p.googleapis.com).
      - Where an API is missing here, the environment is used, such as C(GCP_SECRETMANAGER_ENDPOINT), and then Google's
        public address.
    type: dict
    default: {}
  impersonate_service_account:
    description:
      - E-mail address of a service account to act as. The credentials get a token for it that is good for an hour, from the
        API C(iamcredentials.googleapis.com), and are used for nothing else.
      - Of several, the last one is acted as. Each of the others is impersonated by the one before it, the first one by the
        credentials.
      - Who impersonates an account needs the permission C(iam.serviceAccounts.getAccessToken) on it, which
        C(roles/iam.serviceAccountTokenCreator) has.
      - E(GOOGLE_IMPERSONATE_SERVICE_ACCOUNT) and then E(CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT) are used when it is
        missing, with commas between several.
    type: list
    elements: str
    version_added: 0.5.0
"""
