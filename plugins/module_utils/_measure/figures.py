# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What modules tell of runs, out of their summaries. Pure."""

from __future__ import annotations

import typing as t
from pathlib import Path

from ansible_collections.modelops.serving.plugins.module_utils._bench.slo import STATISTICS

Data: t.TypeAlias = "t.Mapping[str, t.Any]"

_FIGURES = (
    *("stage", "kind", "asked", "sent", "completed", "failed", "cancelled", "error_rate", "failures", "reasons"),
    *("sent_s", "requests_s", "output_tok_s", "total_tok_s", "goodput", "in_flight_max", "generator_cpu"),
    "usd_per_mtok",
)


def figures(stage: Data) -> dict[str, t.Any]:
    """The figures of a stage that most people ask for; ``summary.json`` has all of them."""
    latency = {
        metric: found and {name: found[name] for name in STATISTICS} for metric, found in stage["latency"].items()
    }
    return {name: stage[name] for name in _FIGURES} | {"latency": latency}


def in_short(run: Data, folder: Path) -> dict[str, t.Any]:
    """One run of a folder of results."""
    key, place = run["key"], folder / run["run_id"]
    return {
        **{name: run[name] for name in ("run_id", "name", "started_at", "stopped")},
        **{name: key[name] for name in ("model", "server", "accelerator", "topology", "workload")},
        "verdict": run["verdict"] or "none",
        "report": str(place / "index.html"),
        "stages": [figures(stage) for stage in run["stages"]],
    }
