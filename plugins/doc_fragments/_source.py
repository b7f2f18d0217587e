# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a model comes from."""

from __future__ import annotations

import typing as t

from ansible_collections.modelops.serving.plugins.doc_fragments import _gcs, _huggingface, _ibm_cos, _kaggle, _s3
from ansible_collections.modelops.serving.plugins.doc_fragments._destinations import CREDENTIALS_OPTION, suboptions


def _documentation(first: str, more: str = "") -> str:
    return (
        r"""
options:
  source:
    description:
"""
        + first
        + r"""      - Options that mean nothing for the type of the source are refused.
    type: dict
    suboptions:
      type:
        description:
          - What the source is.
          - V(kaggle) is Kaggle Models. Its files are copied one by one and held against the MD5 that its storage gives.
            O(source.token) and O(source.token_file) are then for an API token of Kaggle, and where O(source.endpoint) is
            missing, E(KAGGLE_API_ENDPOINT) is used, and then V(https://www.kaggle.com).
          - V(in_place) is what somebody has put into the one destination by other means. Nothing is copied; it is
            checked, hashed and, if it is whole, marked as complete.
        type: str
        choices: [huggingface, kaggle, s3, gcs, ibm_cos, local, in_place]
        default: huggingface
      repo:
        description:
          - Repository on the Hub, such as V(google/gemma-3-1b-it). Required for O(source.type=huggingface).
          - Handle of a model for O(source.type=kaggle), where it is required, too. This is owner, model, framework and
            variation, and the version to pin it, such as V(google/gemma/maxtext/7b-it/2). Without a version it is the
            newest one.
        type: str
      revision:
        description:
          - Branch, tag or full commit of the repository on the Hub. It is V(main) when missing.
          - A run is pinned to one commit, whatever happens to the branch meanwhile.
        type: str
      bucket:
        description:
          - Name of the bucket. Required for O(source.type=s3), O(source.type=gcs) and O(source.type=ibm_cos).
        type: str
      prefix:
        description:
          - Below which keys the model lies in the bucket. The whole bucket when it is missing.
        type: str
      paths:
        description:
          - Absolute paths of directories, or of single files, on the host the module runs on. Required for
            O(source.type=local).
          - As with rsync, V(/models/tiny/) means what is in the directory, and V(/models/tiny) the directory itself too.
        type: list
        elements: path
      allow_patterns:
        description:
          - Only files that match one of these patterns, such as V(*.safetensors). A pattern that ends with V(/) means
            everything below that directory.
        type: list
        elements: str
      ignore_patterns:
        description:
          - No files that match one of these patterns.
        type: list
        elements: str
"""
        + suboptions(_huggingface.ModuleDocFragment.DOCUMENTATION)
        + suboptions(_kaggle.ModuleDocFragment.DOCUMENTATION)
        + suboptions(_s3.ModuleDocFragment.DOCUMENTATION)
        + suboptions(_gcs.ModuleDocFragment.DOCUMENTATION)
        + suboptions(_ibm_cos.ModuleDocFragment.DOCUMENTATION)
        + more
        + r"""
requirements:
  - huggingface_hub >= 1.0, for O(source.type=huggingface)
"""
    )


class ModuleDocFragment:
    # Annotated, because ansible-test reads plain assignments as text and these are sums of texts.
    DOCUMENTATION: t.ClassVar[str] = _documentation(
        """      - Where the model comes from. Required for O(state=present).
"""
    )

    # For a sync that runs in a cluster.
    JOB: t.ClassVar[str] = _documentation(
        """      - Where the model comes from. Required for O(state=present), unless O(source_secret) is given.
      - Nothing is taken from the environment of Ansible. Credentials come into the cluster by these options, by Secrets
        that are there, or by the service account.
      - Of a model on Kaggle give the version, too. Only the Pods find out which one is the newest, so a newer version alone
        makes no new Job.
""",
        CREDENTIALS_OPTION,
    )
