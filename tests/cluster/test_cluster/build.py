# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs of a cluster, built once from Debian 12's source package ``kubernetes`` with Debian's own Go.

The binary packages of Debian hold kubectl only. Everything is unpacked privately: no package is installed.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from .apt import RELEASE, Apt, architecture, unsupported
from .common import NoCluster, digest, kept, progress, run

COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
_GO = "1.19"
_COMMANDS = ("apt-get", "dpkg", "make", "openssl", "tar", "unshare")
_BUILD_PACKAGES = (
    f"golang-{_GO}-go",
    f"golang-{_GO}-src",
    "golang-github-modern-go-reflect2-dev",
    "rsync",
    "libpopt0",
    "libxxhash0",
)
# Each with those of its libraries that a minimal Debian lacks.
_RUNTIME_PACKAGES = (
    *("etcd-server", "containerd", "containernetworking-plugins", "runc", "libseccomp2"),
    *("iptables", "libxtables12", "libip4tc2", "libip6tc2", "libnftnl11", "libmnl0"),
    *("conntrack", "libnetfilter-conntrack3", "libnfnetlink0"),
    *("iproute2", "libbpf1", "libelf1", "libbsd0", "libmd0", "libcap2"),
    "busybox-static",
    "kubernetes-client",
)
_PROGRAMS = (
    *("usr/bin/etcd", "usr/bin/containerd", "usr/bin/containerd-shim-runc-v2", "usr/bin/ctr", "usr/sbin/runc"),
    *("usr/sbin/xtables-nft-multi", "usr/sbin/conntrack", "bin/ip", "bin/busybox", "usr/bin/kubectl"),
)
_IPTABLES = tuple(f"{family}{end}" for family in ("iptables", "ip6tables") for end in ("", "-save", "-restore"))
# No cloud providers and no Docker: a current Kubernetes has neither, and the build is shorter by a third.
_GOFLAGS = "-p=2 -tags=dockerless,providerless"
_RECIPE = 1  # to be raised when the steps below change


class Programs:
    """A finished build: ``bin``, ``lib`` and ``cni`` below ``directory``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def environment(self) -> dict[str, str]:
        """What the programs need to find each other and their libraries."""
        return {
            "PATH": f"{self.directory}/bin:{os.environ['PATH']}",
            "LD_LIBRARY_PATH": f"{self.directory}/lib",
            "XTABLES_LIBDIR": f"{self.directory}/lib/xtables",
        }

    def __getitem__(self, name: str) -> Path:
        return self.directory / "bin" / name


def programs() -> Programs:
    """The programs, from the cache or built now (about five minutes on two cores, 3 GB while it lasts).

    :raises NoCluster: this machine cannot build them.
    """
    if reason := unsupported("a cluster can be built from Debian 12's sources", _COMMANDS):
        raise NoCluster(reason)
    recipe = digest(*_BUILD_PACKAGES, *_RUNTIME_PACKAGES, *_PROGRAMS, _GOFLAGS, str(_RECIPE))
    return Programs(kept(f"kubernetes-{RELEASE}-{architecture()}-{recipe}", _build))


def _build(work: Path) -> Path:
    progress("fetching sources and tools from the Debian archive")
    apt = Apt(work / "apt")
    tarball = apt.source("kubernetes", work / "source")
    tools = apt.unpack(_BUILD_PACKAGES, work / "tools")
    runtime = apt.unpack(_RUNTIME_PACKAGES, work / "runtime")
    tree = work / "tree"
    tree.mkdir()
    # Debian's patches change kubectl only, which is not built.
    run(["tar", "--extract", "--file", tarball, "--directory", tree, "--strip-components=1"])
    _renew_reflect2(tree, tools)
    # The Makefile finds its own packages by this name before it sets up a GOPATH.
    (tree / ".go/src/k8s.io").mkdir(parents=True)
    (tree / ".go/src/k8s.io/kubernetes").symlink_to(tree)
    progress(f"building {', '.join(COMPONENTS)} (about five minutes)")
    goroot = tools / f"usr/lib/go-{_GO}"
    libraries = ":".join(map(str, (tools / "usr/lib").glob("*-linux-gnu")))
    environment = {
        "PATH": f"{goroot}/bin:{tools}/usr/bin:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": libraries,
        "HOME": str(work),
        "GOROOT": str(goroot),
        "GOPATH": str(tree / ".go"),
        "GO111MODULE": "off",
        "CGO_ENABLED": "0",
        "GOFLAGS": _GOFLAGS,
        "GOLDFLAGS": "-s -w",
        # `make` of this checkout may have started this.
        "MAKEFLAGS": "",
        "MAKELEVEL": "",
    }
    what = " ".join(f"cmd/{name}" for name in COMPONENTS)
    run(["nice", "make", f"WHAT={what}"], cwd=tree, env=environment, log=work / "build.log")
    return _collect(work / "out", tree, runtime)


def _renew_reflect2(tree: Path, tools: Path) -> None:
    """Replace a library whose vendored version 1.0.1 reads maps in a way that crashes with Go 1.18 and later."""
    vendored = tree / "vendor/github.com/modern-go/reflect2"
    shutil.rmtree(vendored)
    shutil.copytree(tools / "usr/share/gocode/src/github.com/modern-go/reflect2", vendored)


def _collect(out: Path, tree: Path, runtime: Path) -> Path:
    programs = out / "bin"
    programs.mkdir(parents=True)
    for name in COMPONENTS:
        shutil.copy2(tree / "_output/bin" / name, programs)
    for path in _PROGRAMS:
        shutil.copy2(runtime / path, programs)
    for name in _IPTABLES:
        (programs / name).symlink_to("xtables-nft-multi")
    shutil.copytree(runtime / "usr/lib/cni", out / "cni")
    for folder in [*runtime.glob("usr/lib/*-linux-gnu"), *runtime.glob("lib/*-linux-gnu")]:
        shutil.copytree(folder, out / "lib", symlinks=True, dirs_exist_ok=True)
    return out
