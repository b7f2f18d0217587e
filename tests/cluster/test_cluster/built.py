# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster that is built from Debian's sources and runs as processes of this machine."""

from __future__ import annotations

import shutil
from pathlib import Path

from . import network
from .build import Programs, programs
from .common import progress, write_private
from .control_plane import ControlPlane
from .node import Node
from .node import unsupported as node_unsupported
from .processes import Processes
from .state import State

_ORDER = ("kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd")


def create(directory: Path) -> State:
    """:raises NoCluster: not on this machine. :raises ClusterError: a component died or was not ready in time."""
    tools = programs()
    delete(directory)  # what a killed run or a reboot left
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    (directory / "programs").write_text(str(tools.directory))
    reason = node_unsupported(tools)
    net = None if reason else network.choose(network.routes(tools.environment))
    processes = Processes(directory)
    control_plane = ControlPlane(directory, tools, processes, net)
    control_plane.start()
    kubeconfig = directory / "kubeconfig"
    write_private(kubeconfig, control_plane.certificates.kubeconfig("admin", control_plane.url))
    if net:
        Node(directory, tools, processes).start(control_plane)
    else:
        progress(f"no node: {reason}")
    control_plane.wait_until_ready()
    version = control_plane.api().get("/version")["gitVersion"]
    host = net.host if net else "127.0.0.1"
    return State("built", str(kubeconfig), version, not reason, reason, host, str(tools["kubectl"]))


def up(directory: Path) -> bool:
    """Whether all of its components run."""
    state = State.load(directory)
    wanted = {*ControlPlane.COMPONENTS, *(("node", "forward") if state and state.nodes else ())}
    return state is not None and wanted <= Processes(directory).running().keys()


def delete(directory: Path) -> None:
    """Stop everything and remove all of it, logs included, however much is there.

    Not even the folder is needed: all that belongs to the cluster is found by the folder's name.
    """
    processes = Processes(directory)
    _node(directory, processes).stop()
    for name in _ORDER:
        processes.stop(name)
    shutil.rmtree(directory, ignore_errors=True)


def import_image(directory: Path, archive: Path) -> None:
    """Give an image to the node. :raises ClusterError: there is none, or it refuses the archive."""
    _node(directory, Processes(directory)).import_image(archive)


def _node(directory: Path, processes: Processes) -> Node:
    noted = directory / "programs"
    return Node(directory, Programs(Path(noted.read_text())) if noted.is_file() else None, processes)
