# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""etcd, API server, controller manager and scheduler of Kubernetes 1.20, all on 127.0.0.1."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Callable
from pathlib import Path

from .api import Api
from .build import Programs
from .certificates import Certificates
from .common import progress, wait_until, write_private
from .network import Network, free_ports
from .processes import Processes

NODE = "node-1"
# Alpha or beta in 1.20, always on in a current Kubernetes.
FEATURES = (
    "BoundServiceAccountTokenVolume=true,CronJobControllerV2=true,GenericEphemeralVolume=true,"
    "SizeMemoryBackedVolumes=true,TTLAfterFinished=true"
)
SECONDS = 120


@dataclasses.dataclass
class ControlPlane:
    """The control plane with its state in ``directory``. ``network`` is None without a node."""

    directory: Path
    programs: Programs
    processes: Processes
    network: Network | None
    port: int = 0

    COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")

    @property
    def certificates(self) -> Certificates:
        return Certificates(self.directory / "pki")

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def node_url(self) -> str:
        """Where the node and pods reach the API server: a forwarder listens there."""
        assert self.network is not None
        return f"https://{self.network.host}:{self.port}"

    def api(self) -> Api:
        signed = self.certificates
        return Api(self.url, signed.ca, signed.certificate("admin"), signed.key("admin"))

    def start(self) -> None:
        """Until the API server answers. :raises ClusterError: a component died or it does not answer in time."""
        progress("starting the control plane")
        self.port, etcd, etcd_peer, controllers, scheduler = free_ports(5)
        self._sign()
        self._start_etcd(etcd, etcd_peer)
        self._start_apiserver(f"https://127.0.0.1:{etcd}")
        api = self.api()
        self._wait("kube-apiserver", lambda: api.get("/readyz") == "ok", "etcd", "kube-apiserver")
        self._start_controllers(controllers, scheduler)

    def wait_until_ready(self) -> None:
        """:raises ClusterError: a component died or does not do its work in time."""
        api = self.api()
        # The first thing every test needs, and proof that the controllers work.
        self._wait(
            "the service account of the namespace default",
            lambda: (
                bool((api.get("/api/v1/namespaces/default/serviceaccounts/default") or {}).get("secrets"))
                and api.get("/api/v1/namespaces/default/configmaps/kube-root-ca.crt") is not None
            ),
            *self.COMPONENTS,
        )

    def _wait(self, what: str, done: Callable[[], bool], *components: str) -> None:
        def check() -> bool:
            self.processes.assert_running(components)
            return done()

        wait_until(check, what, SECONDS)

    def _sign(self) -> None:
        signed = self.certificates
        signed.make_authority()
        signed.make_key_pair("service-accounts")
        addresses = ["127.0.0.1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
        addresses.append("kubernetes.default.svc.cluster.local")
        addresses += [self.network.host, self.network.api_service] if self.network else ["10.0.0.1"]
        signed.sign("apiserver", "kube-apiserver", addresses=addresses)
        signed.sign("etcd", "etcd", addresses=["127.0.0.1"])
        signed.sign("admin", "admin", group="system:masters")
        for component in ("kube-controller-manager", "kube-scheduler"):
            signed.sign(component, f"system:{component}")
            write_private(self._kubeconfig(component), signed.kubeconfig(component, self.url))

    def _kubeconfig(self, component: str) -> Path:
        return self.directory / f"{component}.kubeconfig"

    def _start_etcd(self, port: int, peer_port: int) -> None:
        signed = self.certificates
        self.processes.start(
            "etcd",
            [
                self.programs["etcd"],
                f"--data-dir={self.directory}/etcd",
                f"--listen-client-urls=https://127.0.0.1:{port}",
                f"--advertise-client-urls=https://127.0.0.1:{port}",
                f"--listen-peer-urls=https://127.0.0.1:{peer_port}",
                f"--initial-advertise-peer-urls=https://127.0.0.1:{peer_port}",
                f"--initial-cluster=default=https://127.0.0.1:{peer_port}",
                *(f"--{kind}cert-file={signed.certificate('etcd')}" for kind in ("", "peer-")),
                *(f"--{kind}key-file={signed.key('etcd')}" for kind in ("", "peer-")),
                *(f"--{kind}trusted-ca-file={signed.ca}" for kind in ("", "peer-")),
                "--client-cert-auth",
                "--peer-client-cert-auth",
                "--logger=zap",
            ],
            # Without this etcd 3.4 refuses to start on arm64.
            {"ETCD_UNSUPPORTED_ARCH": "arm64"} if platform.machine() == "aarch64" else None,
        )

    def _start_apiserver(self, etcd: str) -> None:
        signed = self.certificates
        network = self.network
        self.processes.start(
            "kube-apiserver",
            [
                self.programs["kube-apiserver"],
                "--bind-address=127.0.0.1",
                f"--secure-port={self.port}",
                f"--advertise-address={network.host if network else '127.0.0.1'}",
                f"--service-cluster-ip-range={network.services if network else '10.0.0.0/24'}",
                f"--tls-cert-file={signed.certificate('apiserver')}",
                f"--tls-private-key-file={signed.key('apiserver')}",
                f"--client-ca-file={signed.ca}",
                f"--etcd-servers={etcd}",
                f"--etcd-cafile={signed.ca}",
                f"--etcd-certfile={signed.certificate('etcd')}",
                f"--etcd-keyfile={signed.key('etcd')}",
                "--authorization-mode=Node,RBAC",
                "--enable-admission-plugins=NodeRestriction",
                "--allow-privileged=true",
                "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
                f"--service-account-key-file={signed.directory}/service-accounts.pub",
                f"--service-account-signing-key-file={signed.key('service-accounts')}",
                f"--kubelet-client-certificate={signed.certificate('admin')}",
                f"--kubelet-client-key={signed.key('admin')}",
                "--kubelet-preferred-address-types=InternalIP",
                f"--feature-gates={FEATURES}",
                f"--cert-dir={self.directory}/apiserver",
            ],
        )

    def _start_controllers(self, controllers: int, scheduler: int) -> None:
        signed = self.certificates
        for name, port, options in (
            (
                "kube-controller-manager",
                controllers,
                [
                    "--use-service-account-credentials",
                    f"--service-account-private-key-file={signed.key('service-accounts')}",
                    f"--root-ca-file={signed.ca}",
                    f"--cluster-signing-cert-file={signed.ca}",
                    f"--cluster-signing-key-file={signed.key('ca')}",
                ],
            ),
            ("kube-scheduler", scheduler, []),
        ):
            self.processes.start(
                name,
                [
                    self.programs[name],
                    f"--kubeconfig={self._kubeconfig(name)}",
                    f"--authentication-kubeconfig={self._kubeconfig(name)}",
                    f"--authorization-kubeconfig={self._kubeconfig(name)}",
                    "--bind-address=127.0.0.1",
                    f"--secure-port={port}",
                    "--port=0",
                    f"--cert-dir={self.directory}/{name}",
                    "--leader-elect=false",
                    f"--feature-gates={FEATURES}",
                    *options,
                ],
            )
