# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The index and the Parquet files beside the runs, as places that runs are sent to. They tell themselves what they have."""

from __future__ import annotations

from ansible_collections.modelops.serving.plugins.module_utils._bench.sinks import index, parquet
from ansible_collections.modelops.serving.plugins.module_utils._bench.sinks.rows import Run, Warn
from ansible_collections.modelops.serving.plugins.module_utils._sinks.ledger import Ledger
from ansible_collections.modelops.serving.plugins.module_utils._sinks.sink import Counts, Sink


class Index(Sink):
    """Needs nothing."""

    def where(self, run: Run) -> str:
        return str(run.place.parent / index.FILE)

    def send(self, run: Run, ledger: Ledger, *, check: bool, warn: Warn) -> Counts:
        del ledger, warn
        return {"stages": index.write(run.place.parent, run, check=check)}


class Parquet(Sink):
    """:param text: with prompts and answers."""

    def __init__(self, *, text: bool) -> None:
        self._text = text

    def where(self, run: Run) -> str:
        return str(run.place / parquet.FILE)

    def send(self, run: Run, ledger: Ledger, *, check: bool, warn: Warn) -> Counts:
        del ledger
        return {"rows": parquet.write(run, text=self._text, check=check, warn=warn)}
