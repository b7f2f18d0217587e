# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where copies of a model lie."""

from __future__ import annotations

import textwrap
import typing as t

from ansible_collections.modelops.serving.plugins.doc_fragments import _gcs, _ibm_cos, _s3


def suboptions(documentation: str) -> str:
    """The options of another fragment, to be put below an option."""
    return textwrap.indent(documentation.replace("\noptions:\n", "", 1), "    ")


#: One more suboption, of sources and destinations alike, where the sync runs in a cluster.
CREDENTIALS_OPTION = """
      credentials_secret:
        description:
          - Secret in the namespace with the credentials, in place of options for them.
          - Its keys are C(AWS_ACCESS_KEY_ID), C(AWS_SECRET_ACCESS_KEY) and, if there is one, C(AWS_SESSION_TOKEN) for S3,
            the same or C(IBMCLOUD_API_KEY) for IBM Cloud Object Storage, C(key.json) for Google Cloud Storage,
            C(token) for the Hub, and C(token), or C(username) with C(key), or C(kaggle.json) for Kaggle.
        type: str
"""


def _documentation(required: str, more: str = "") -> str:
    return (
        r"""
options:
  destinations:
    description:
      - Where the copies lie. Each is a directory or a prefix of a bucket.
      - The files of a model are below C(<prefix>/<name>/), the only place a run ever touches.
      - Options that mean nothing for the type of a destination are refused.
    type: list
    elements: dict
"""
        + required
        + r"""    suboptions:
      type:
        description:
          - What the destination is.
        type: str
        choices: [s3, gcs, ibm_cos, local]
        default: s3
      bucket:
        description:
          - Name of the bucket. It has to exist. Required for O(destinations[].type=s3), O(destinations[].type=gcs) and
            O(destinations[].type=ibm_cos).
        type: str
      prefix:
        description:
          - What comes before the name of the model. It is empty when missing.
        type: str
      path:
        description:
          - Absolute path of a directory on the host the module runs on, such as a mounted volume. Required for
            O(destinations[].type=local).
        type: path
"""
        + suboptions(_s3.ModuleDocFragment.DOCUMENTATION)
        + suboptions(_gcs.ModuleDocFragment.DOCUMENTATION)
        + suboptions(_ibm_cos.ModuleDocFragment.DOCUMENTATION)
        + more
        + r"""
requirements:
  - boto3, for O(destinations[].type=s3) and O(destinations[].type=ibm_cos)
  - awscrt, optional, makes checksums of large files faster for O(destinations[].type=s3)
  - google-auth and google-crc32c, for O(destinations[].type=gcs)
"""
    )


class ModuleDocFragment:
    # Annotated, because ansible-test reads plain assignments as text and these are sums of texts.
    DOCUMENTATION: t.ClassVar[str] = _documentation("    required: true\n")

    # For a sync that runs in a cluster.
    JOB: t.ClassVar[str] = _documentation("", CREDENTIALS_OPTION)
