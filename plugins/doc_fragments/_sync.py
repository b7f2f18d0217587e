# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a model is synced, as every module takes it that does so."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  prune:
    description:
      - Whether files of earlier revisions are removed that the source does not have any more. Never removes files that
        this module did not write.
    type: bool
    default: false
  prune_max:
    description:
      - Fail, before anything was changed, when more files than this would be pruned at one destination.
    type: int
    default: 100
  require_config:
    description:
      - Fail when weights are about to be copied without the C(config.json) that servers need.
    type: bool
    default: true
  side_by_side:
    description:
      - Give each revision a prefix of its own below C(revisions/), and switch the small object
        C(.model-sync/current.json) to the new one when it is complete, so that the old revision stays whole meanwhile.
    type: bool
    default: false
  server_side_copy:
    description:
      - Whether the store copies by itself where source and destination are the same store.
    type: bool
    default: true
  workers:
    description:
      - How many parts are in flight at most. Memory is about O(workers) plus two times O(part_size).
    type: int
    default: 4
  part_size:
    description:
      - Size of the parts of large files, at least V(5MiB). Raised by itself for files that would have too many parts.
    type: str
    default: 16MiB
  interval:
    description:
      - Seconds between two reports of progress.
    type: float
    default: 10
  progress_file:
    description:
      - File on the host the module runs on to which progress is appended, one JSON object per line. It is created with
        mode V(0600) and is not touched in check mode.
    type: path
"""
