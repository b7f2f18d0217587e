# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who is told how a sync ended."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  notify:
    description:
      - Who is told how a sync ended. Trouble with telling is a warning and never fails the sync.
      - In a cluster each Pod that fails tells so, before the Job tries again.
    type: list
    elements: dict
    default: []
    suboptions:
      type:
        description:
          - V(webhook) sends a JSON document, V(slack) a message to an incoming webhook, V(sns) publishes to a topic.
        type: str
        choices: [webhook, slack, sns]
        required: true
      url:
        description:
          - Address for V(webhook) and V(slack). It is kept secret. Required for them.
        type: str
      topic_arn:
        description:
          - Topic for V(sns). Required for it. The AWS SDK finds credentials in its usual places.
        type: str
      region:
        description:
          - Region of the topic.
        type: str
      endpoint_url:
        description:
          - Address of another service with the interface of SNS.
        type: str
      "on":
        description:
          - Which ends are told.
        type: list
        elements: str
        choices: [success, failure]
        default: [success, failure]
      on_unchanged:
        description:
          - Whether to tell of a run that had nothing to do.
        type: bool
        default: false
"""
