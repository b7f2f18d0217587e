# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node: kubelet, containerd, kube-proxy and DNS in namespaces of their own (network, mounts, processes).

The bridge of the pods, the rules of kube-proxy, every mount and every container are inside. Ending the first process
removes them all, whatever state they are in, and nothing of this machine's own network or mounts is ever changed.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import cgroups, network
from .build import Programs
from .common import ClusterError, digest, progress, run, wait_until, write_private
from .control_plane import FEATURES, NODE, ControlPlane
from .dns import DOMAIN
from .image import PAUSE, write_pause_image
from .network import Network
from .processes import Processes

NAMESPACES = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
SECONDS = 180
# The kubelet sets these for the whole machine. The node shows it files that already say what it wants.
_SYSCTLS = {
    "kernel/keys/root_maxbytes": "25000000",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
}


def unsupported(programs: Programs) -> str:
    """Why this machine cannot run a node, in one line, or nothing."""
    if os.environ.get("TEST_CLUSTER_NODES", "").lower() in ("0", "no", "false"):
        return "TEST_CLUSTER_NODES says so"
    if os.geteuid():
        return "containers need root"
    trial = f"mo-trial-{os.getpid()}"
    try:
        cgroups.make(trial)
        cgroups.remove(trial)
    except OSError as error:
        return f"cgroups cannot be written: {error}"
    steps = "ip link add br0 type bridge && ip link add veth0 type veth peer name veth1 && iptables -t nat --list"
    try:
        run([*NAMESPACES, "sh", "-ec", steps], env=programs.environment, timeout=30)
    except ClusterError as error:
        return f"namespaces, bridges or iptables are not allowed here: {' '.join(str(error).split())[-200:]}"
    return ""


@dataclasses.dataclass
class Node:
    """The node of the cluster in ``directory``. All that it needs on this machine is named after that path."""

    directory: Path
    programs: Programs | None
    processes: Processes

    @property
    def _id(self) -> str:
        return digest(str(self.directory))[:8]

    @property
    def link(self) -> str:
        return f"mo-{self._id}"

    @property
    def cgroup(self) -> str:
        return f"modelops-{self._id}"

    @property
    def settings(self) -> Path:
        return self.directory / "node"

    def start(self, control_plane: ControlPlane) -> None:
        """:raises ClusterError: a component died or the node is not Ready in time."""
        progress("starting the node")
        assert control_plane.network is not None and self.programs is not None
        net = control_plane.network
        environment = self.programs.environment
        for folder in ("kubelet", "containerd", "log", "cni"):
            (self.settings / folder).mkdir(parents=True, exist_ok=True)
        self._write_settings(control_plane, net, self.programs.directory / "cni")
        write_pause_image(self.programs, self.settings / "pause.tar")
        cgroups.make(self.cgroup)
        init = [sys.executable, "-m", "test_cluster.node_init", str(self.settings), net.node, control_plane.node_url]
        here = {"PYTHONPATH": str(Path(__file__).resolve().parents[1]), **environment}
        outer = self.processes.start("node", [*NAMESPACES, *init], here)
        wait_until(lambda: _network_of(outer) != _network_of(os.getpid()), "the node's namespaces", 10, interval=0.02)
        network.connect(self.link, outer, net, environment)
        port = control_plane.port
        forward = [sys.executable, "-m", "test_cluster.forward", net.host, str(port), str(port)]
        self.processes.start("forward", forward, here)
        api = control_plane.api()

        def ready() -> bool:
            self.processes.assert_running(["node", "forward", *ControlPlane.COMPONENTS])
            return api.node_ready(NODE)

        wait_until(ready, f"node {NODE} Ready (see {self.processes.log('node')})", SECONDS)

    def import_image(self, archive: Path) -> None:
        """:raises ClusterError: the node does not run, or containerd refuses the archive."""
        assert self.programs is not None
        running = self.processes.running().get("node")
        if not running:
            raise ClusterError("the node does not run")
        enter = ["nsenter", f"--target={running[0]}", "--root", "--mount", "--net"]
        run([*enter, "ctr", "--namespace=k8s.io", "images", "import", archive], env=self.programs.environment)

    def stop(self) -> None:
        """Remove the node and everything that it made on this machine, however much of it there is."""
        self.processes.stop("forward", 2)
        self.processes.stop("node", 5)
        network.disconnect(self.link, self.programs.environment if self.programs else {})
        cgroups.remove(self.cgroup)

    def _write_settings(self, control_plane: ControlPlane, net: Network, plugins: Path) -> None:
        signed = control_plane.certificates
        for name, user, group in (
            ("kubelet", f"system:node:{NODE}", "system:nodes"),
            ("kube-proxy", "system:kube-proxy", ""),
        ):
            signed.sign(name, user, group=group)
            write_private(self.settings / f"{name}.kubeconfig", signed.kubeconfig(name, control_plane.node_url))
        for name, content in (
            ("kubelet.json", self._kubelet(signed.ca, net)),
            ("kube-proxy.json", self._kube_proxy(net)),
            ("cni/10-bridge.conflist", _pod_network(net)),
        ):
            (self.settings / name).write_text(json.dumps(content, indent=2))
        (self.settings / "resolv.conf").write_text("")
        containerd = _containerd(self.settings / "containerd", self.settings / "cni", plugins)
        (self.settings / "containerd.toml").write_text(containerd)
        for name, value in _SYSCTLS.items():
            path = self.settings / "sysctl" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(value + "\n")

    def _kubelet(self, ca: Path, net: Network) -> dict[str, Any]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {"anonymous": {"enabled": False}, "x509": {"clientCAFile": str(ca)}},
            "authorization": {"mode": "AlwaysAllow"},
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self.cgroup}",
            "clusterDNS": [net.node],
            "clusterDomain": DOMAIN,
            "enforceNodeAllocatable": [],
            "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "failSwapOn": False,
            # Device plug-ins would have their socket below /var/lib, which belongs to the machine.
            "featureGates": {**{key: value == "true" for key, value in _features()}, "DevicePlugins": False},
            "imageGCHighThresholdPercent": 100,  # images come from archives and could not be fetched again
            "makeIPTablesUtilChains": False,
            "nodeStatusUpdateFrequency": "2s",  # and so Ready is reported sooner than in 10 s
            "oomScoreAdj": 0,  # lowering it is not allowed everywhere
            "resolvConf": str(self.settings / "resolv.conf"),
            "serializeImagePulls": False,
            "volumePluginDir": str(self.settings / "volume-plugins"),
        }

    def _kube_proxy(self, net: Network) -> dict[str, Any]:
        return {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": str(self.settings / "kube-proxy.kubeconfig")},
            "clusterCIDR": net.pods,
            # The limits of connection tracking belong to the whole machine.
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpCloseWaitTimeout": "0s", "tcpEstablishedTimeout": "0s"},
            # A pod reaches another one on the same bridge through a Service.
            "iptables": {"masqueradeAll": True},
            "mode": "iptables",
        }


def _features() -> Iterator[tuple[str, str]]:
    for item in FEATURES.split(","):
        name, _equals, value = item.partition("=")
        yield name, value


def _network_of(pid: int) -> str:
    """The network namespace of a process. :raises ClusterError: the process is gone."""
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError as error:
        raise ClusterError(f"the node ended at once: {error}") from error


def _pod_network(net: Network) -> dict[str, Any]:
    """A network configuration list (https://www.cni.dev/docs/spec/#network-configuration-format)."""
    return {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "pods",
                "isGateway": True,
                "ipam": {
                    "type": "host-local",
                    "dataDir": "/run/cni",
                    "ranges": [[{"subnet": net.pods}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def _containerd(root: Path, networks: Path, plugins: Path) -> str:
    return f"""\
version = 2
root = "{root}"
state = "/run/containerd"
[grpc]
address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
# Without this no sandbox starts where a process may not lower its oom_score_adj.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "@snapshotter@"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
conf_dir = "{networks}"
"""
