# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where more load begins to cost more than it gives."""

from __future__ import annotations

import typing as t

from .data import Stage


def knee(stages: t.Sequence[Stage]) -> Stage | None:
    """The stage with the greatest ratio of throughput to median latency, if one before and one after it are lower.

    That ratio is the *power* of L. Kleinrock, "Power and deterministic rules of thumb for probabilistic problems in
    computer communications" (ICC 1979): at the knee it has its maximum, and unlike a distance from a chord it does not
    depend on how far beyond it the stages go. Only valid stages count.
    """
    found = [
        (stage["output_tok_s"] / stage["e2e_ms"]["p50"], stage)
        for stage in stages
        if stage["valid"] and stage["e2e_ms"] is not None and stage["e2e_ms"]["p50"] > 0
    ]
    if len(found) < 3:
        return None
    found.sort(key=lambda item: item[1]["asked"])
    best = max(range(len(found)), key=lambda index: found[index][0])
    return found[best][1] if 0 < best < len(found) - 1 else None
