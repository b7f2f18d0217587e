# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tokens cost. The price is the user's: list prices change, and few pay them."""

from __future__ import annotations


def usd_per_mtok(usd_per_hour: float | None, output_tok_s: float) -> float | None:
    """US dollars for a million output tokens, at the price of all accelerators together.

    As inference-perf reckons it (docs/metrics.md). None without a price, or when nothing was answered.
    """
    if usd_per_hour is None or output_tok_s <= 0:
        return None
    return usd_per_hour / 3600 / output_tok_s * 1_000_000
