# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first process of a node's namespaces. When it ends, the kernel ends everything in them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from .common import run, tail
from .control_plane import NODE

_SECONDS = 30


def main(settings: Path, address: str, server: str) -> None:
    """Set up what is the node's alone, then run its daemons until one of them ends.

    :param settings: what node.Node has written.
    :param address: of the node; ``server`` is where it reaches the API server.
    """
    # The first process of a namespace ignores signals that it has no handler for.
    signal.signal(signal.SIGTERM, lambda *_arguments: os._exit(0))
    _mount(settings)
    _connect(address)
    toml = (settings / "containerd.toml").read_text().replace("@snapshotter@", _snapshotter(settings))
    Path("/run/containerd.toml").write_text(toml)
    daemons = {"containerd": _start(settings, "containerd", "--config=/run/containerd.toml")}
    _import(settings / "pause.tar")
    daemons["kubelet"] = _start(
        settings,
        "kubelet",
        f"--config={settings}/kubelet.json",
        f"--kubeconfig={settings}/kubelet.kubeconfig",
        f"--root-dir={settings}/kubelet",
        f"--cert-dir={settings}/kubelet/pki",
        f"--hostname-override={NODE}",
        f"--node-ip={address}",
        "--container-runtime=remote",
        "--container-runtime-endpoint=unix:///run/containerd/containerd.sock",
    )
    daemons["kube-proxy"] = _start(
        settings, "kube-proxy", f"--config={settings}/kube-proxy.json", f"--hostname-override={NODE}"
    )
    # Who may list Services and Endpoints for the proxy may do so for names.
    pki = settings.parent / "pki"
    user = [pki / "ca.crt", pki / "kube-proxy.crt", pki / "kube-proxy.key"]
    daemons["dns"] = _start(settings, sys.executable, "-m", "test_cluster.dns", address, server, *user, name="dns")
    _watch(daemons, settings.parent / "logs")


def _mount(settings: Path) -> None:
    """Let the paths that the daemons insist on be the node's own. unshare has made all mounts private."""
    run(["mount", "-t", "tmpfs", "-o", "mode=755", "node", "/run"])
    run(["mount", "--bind", settings / "log", "/var/log"])
    if Path("/etc/resolv.conf").exists():  # no longer, if it led to /run
        run(["mount", "--bind", settings / "resolv.conf", Path("/etc/resolv.conf").resolve()])
    for path in (settings / "sysctl").rglob("*"):
        target = Path("/proc/sys") / path.relative_to(settings / "sysctl")
        if path.is_file() and target.exists():
            run(["mount", "--bind", path, target])


def _connect(address: str) -> None:
    deadline = time.monotonic() + _SECONDS
    while "eth0" not in (name for _index, name in socket.if_nameindex()):
        if time.monotonic() > deadline:
            sys.exit("nobody has connected the node")
        time.sleep(0.02)
    for command in (
        "ip link set lo up",
        f"ip address add {address}/24 dev eth0",
        "ip link set eth0 up",
        # What is not here fails at once instead of after a time-out.
        "ip route add unreachable default",
    ):
        run(command.split())
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def _snapshotter(settings: Path) -> str:
    """overlayfs, unless it is refused: this folder may itself be on an overlay."""
    folders = [settings / "overlay" / name for name in ("lower", "upper", "work", "merged")]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    lower, upper, work, merged = folders
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    done = subprocess.run(["mount", "-t", "overlay", "-o", options, "overlay", str(merged)], check=False)
    if done.returncode:
        return "native"
    run(["umount", merged])
    return "overlayfs"


def _start(settings: Path, program: str, *options: str | Path, name: str = "") -> subprocess.Popen[bytes]:
    with (settings.parent / "logs" / f"{name or program}.log").open("ab") as log:
        return subprocess.Popen([program, *map(str, options)], stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _import(image: Path) -> None:
    """As soon as containerd answers."""
    deadline = time.monotonic() + _SECONDS
    while subprocess.run(["ctr", "version"], capture_output=True, check=False).returncode:
        if time.monotonic() > deadline:
            sys.exit("containerd does not answer")
        time.sleep(0.1)
    run(["ctr", "--namespace=k8s.io", "images", "import", image])


def _watch(daemons: dict[str, subprocess.Popen[bytes]], logs: Path) -> None:
    """Reap what the containers leave behind, until a daemon ends."""
    names = {process.pid: name for name, process in daemons.items()}
    while True:
        pid, status = os.wait()
        if pid in names:
            name, code = names[pid], os.waitstatus_to_exitcode(status)
            sys.exit(f"{name} died with {code}. The end of its log:\n{tail(logs / f'{name}.log', 10)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
