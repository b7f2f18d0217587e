# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How S3-compatible stores are reached. Names follow amazon.aws."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  endpoint_url:
    description:
      - Address of the object store.
      - When it is missing, E(AWS_URL), E(AWS_ENDPOINT_URL_S3) and E(AWS_ENDPOINT_URL) are used for S3, and then AWS
        itself. For Google Cloud Storage they are E(GCP_STORAGE_ENDPOINT) and E(STORAGE_EMULATOR_HOST), and then Google.
        For IBM Cloud Object Storage it is the public endpoint of the region; give private and direct endpoints here, such
        as V(https://s3.private.us-south.cloud-object-storage.appdomain.cloud).
    type: str
    aliases: [aws_endpoint_url]
  region:
    description:
      - Region of the bucket.
      - E(AWS_REGION), E(AWS_DEFAULT_REGION) and the profile are used for S3 when it is missing, and then V(us-east-1).
      - For IBM Cloud Object Storage it is the location of the bucket, such as V(us-south), V(us-geo) or V(ams03).
    type: str
    aliases: [aws_region]
  access_key:
    description:
      - Access key id. For IBM Cloud Object Storage that of HMAC credentials.
      - When no key is given for S3, the AWS SDK looks for credentials in its usual places - E(AWS_ACCESS_KEY_ID) and
        E(AWS_SECRET_ACCESS_KEY) with E(AWS_SESSION_TOKEN) or E(AWS_SECURITY_TOKEN), the profile in E(AWS_PROFILE), web
        identity and pod identity, the instance.
    type: str
    aliases: [aws_access_key_id, aws_access_key]
  secret_key:
    description:
      - Secret access key.
    type: str
    aliases: [aws_secret_access_key, aws_secret_key]
  session_token:
    description:
      - Session token of temporary credentials.
    type: str
    aliases: [aws_session_token]
  profile:
    description:
      - Named profile of the AWS configuration files.
    type: str
    aliases: [aws_profile]
  anonymous:
    description:
      - Send no credentials at all, for public buckets of S3-compatible stores.
    type: bool
  validate_certs:
    description:
      - Whether TLS certificates are checked. They are unless this is V(false), which is for tests only.
    type: bool
  ca_bundle:
    description:
      - File with the certificates of the authorities to trust, for endpoints with certificates of a private authority.
      - For S3 E(AWS_CA_BUNDLE) is used when it is missing.
    type: path
    aliases: [aws_ca_bundle]
"""
