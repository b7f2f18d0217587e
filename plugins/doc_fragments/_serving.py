# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where to see that the model of a server is complete."""

from __future__ import annotations

import typing as t

from ansible_collections.modelops.serving.plugins.doc_fragments import _gcs, _ibm_cos, _s3
from ansible_collections.modelops.serving.plugins.doc_fragments._destinations import suboptions


class ModuleDocFragment:
    # Annotated, because ansible-test reads plain assignments as text and this is a sum of texts.
    DOCUMENTATION: t.ClassVar[str] = (
        r"""
options:
  manifest:
    description:
      - The destination that M(modelops.serving.model_sync) copied the model to, as it is reached from the host that the
        module runs on. Its completion manifest must say that the copy of O(model.name) is complete.
      - Looked at before anything is written. A place that cannot be reached from here is a warning, since the cluster may
        well reach it.
      - Options that mean nothing for the type of the destination are refused.
    type: dict
    suboptions:
      type:
        description:
          - What the destination is.
        type: str
        choices: [s3, gcs, ibm_cos, local]
        default: s3
      bucket:
        description:
          - Name of the bucket. Required for O(manifest.type=s3), O(manifest.type=gcs) and O(manifest.type=ibm_cos).
        type: str
      prefix:
        description:
          - What comes before the name of the model. It is empty when missing.
        type: str
      path:
        description:
          - Absolute path of a directory on the host the module runs on. Required for O(manifest.type=local).
        type: path
"""
        + suboptions(_s3.ModuleDocFragment.DOCUMENTATION)
        + suboptions(_gcs.ModuleDocFragment.DOCUMENTATION)
        + suboptions(_ibm_cos.ModuleDocFragment.DOCUMENTATION)
        + r"""
requirements:
  - boto3, for O(manifest.type=s3) and O(manifest.type=ibm_cos)
  - google-auth and google-crc32c, for O(manifest.type=gcs)
"""
    )
