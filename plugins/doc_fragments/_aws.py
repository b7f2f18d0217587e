# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the APIs of AWS are reached. Names follow amazon.aws."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  endpoint_url:
    description:
      - Address of the API of AWS, for endpoints of a VPC and tests.
      - When it is missing, E(AWS_URL) is used, then what the AWS SDK finds, such as E(AWS_ENDPOINT_URL), and then the
        public address of the region.
    type: str
    aliases: [aws_endpoint_url]
  region:
    description:
      - Region of AWS.
      - E(AWS_REGION), E(AWS_DEFAULT_REGION) and the profile are used when it is missing. There is no default.
    type: str
    aliases: [aws_region]
  access_key:
    description:
      - Access key id of AWS.
      - When no key is given, the AWS SDK looks for credentials in its usual places - E(AWS_ACCESS_KEY_ID) and
        E(AWS_SECRET_ACCESS_KEY) with E(AWS_SESSION_TOKEN) or E(AWS_SECURITY_TOKEN), the profile in E(AWS_PROFILE), web
        identity and pod identity, the instance.
    type: str
    aliases: [aws_access_key_id, aws_access_key]
  secret_key:
    description:
      - Secret access key of AWS.
    type: str
    aliases: [aws_secret_access_key, aws_secret_key]
  session_token:
    description:
      - Session token of temporary credentials of AWS.
    type: str
    aliases: [aws_session_token]
  profile:
    description:
      - Named profile of the AWS configuration files.
    type: str
    aliases: [aws_profile]
"""
