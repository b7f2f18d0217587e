# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Limits of one run, as every module takes them that moves or reads model files."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  timeout:
    description:
      - Seconds after which the whole run fails. There is no limit when it is missing.
      - What was done by then is kept, so that the next run goes on from there.
    type: float
  stall_timeout:
    description:
      - Seconds without a single byte after which a connection is given up and made anew.
    type: float
    default: 30
  attempts:
    description:
      - How often one operation is tried before the run fails. The count starts anew whenever bytes have moved.
    type: int
    default: 6
"""
