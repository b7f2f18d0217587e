# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster that the user has: KUBECONFIG names it, and it is only used, never created or deleted."""

from __future__ import annotations

import json
import os
import shutil
import socket
import urllib.parse
from collections.abc import Sequence

from .common import ClusterError, run
from .state import State

IMAGE = "docker.io/library/python:3.13.9-slim-bookworm"


def state(kubeconfig: str) -> State:
    """:raises ClusterError: it does not answer, or there is no kubectl to ask it with."""
    if not shutil.which("kubectl"):
        raise ClusterError("KUBECONFIG is set, and asking that cluster needs the command kubectl")
    version = json.loads(_kubectl("version", "--output=json"))["serverVersion"]["gitVersion"]
    nodes = json.loads(_kubectl("get", "nodes", "--output=json"))["items"]
    server = json.loads(_kubectl("config", "view", "--minify", "--output=json"))["clusters"][0]["cluster"]["server"]
    return State(
        "given",
        kubeconfig,
        version,
        bool(nodes),
        "" if nodes else f"the cluster of {kubeconfig} has no nodes",
        os.environ.get("TEST_CLUSTER_HOST_ADDRESS") or host_address(server),
        image=os.environ.get("TEST_CLUSTER_IMAGE") or IMAGE,
        image_has_requirements=os.environ.get("TEST_CLUSTER_IMAGE_HAS_REQUIREMENTS") == "yes",
    )


def host_address(server: str) -> str:
    """This machine's address as the cluster may see it: the one that leads to the API server, unless that is here."""
    parts = urllib.parse.urlsplit(server)
    # Where an address that is not this machine's would be reached: its network is for documentation (RFC 5737).
    for target in ((parts.hostname or "", parts.port or 443), ("192.0.2.1", 443)):
        address = _local_address(target)
        if address and not address.startswith("127."):
            return address
    return "127.0.0.1"


def _local_address(target: tuple[str, int]) -> str:
    """The address that connections to the target would come from. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        try:
            udp.connect(target)
        except OSError:
            return ""
        return str(udp.getsockname()[0])


def _kubectl(*arguments: str) -> str:
    command: Sequence[str] = ("kubectl", *arguments)
    return run(command, timeout=30)
