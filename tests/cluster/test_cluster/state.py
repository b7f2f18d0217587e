# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of the cluster, kept beside its kubeconfig while it is up."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from .common import write_private


@dataclasses.dataclass
class State:
    """The answer of ``create`` and ``status``.

    ``nodes``: whether pods run; if not, ``nodes_reason`` says why. ``host_address``: where pods reach services of
    this machine. ``kubectl``: the command that fits the cluster. ``image``: an image that pods can use,
    ``image_has_requirements`` whether the engine runs in it.
    """

    provider: str
    kubeconfig: str
    version: str
    nodes: bool
    nodes_reason: str
    host_address: str
    kubectl: str = "kubectl"
    image: str = ""
    image_has_requirements: bool = False

    @classmethod
    def load(cls, directory: Path) -> State | None:
        """None: there is no cluster, or the command that was creating it did not finish."""
        path = directory / "state.json"
        return cls(**json.loads(path.read_text())) if path.is_file() else None

    def save(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(directory / "state.json", json.dumps(dataclasses.asdict(self), indent=2) + "\n")
