# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys and certificates of one cluster, made with openssl."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path

from .common import run, write_private

_DAYS = "365"


class Certificates:
    """A certificate authority and what it has signed, below ``directory`` (readable by the owner only)."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.ca = directory / "ca.crt"

    def key(self, name: str) -> Path:
        return self.directory / f"{name}.key"

    def certificate(self, name: str) -> Path:
        return self.directory / f"{name}.crt"

    def make_authority(self) -> None:
        self._make_key("ca")
        self._openssl(
            *("req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=test-cluster", "-days", _DAYS, "-out", "ca.crt"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        )

    def make_key_pair(self, name: str) -> None:
        """NAME.key and NAME.pub, to sign and check the tokens of service accounts."""
        self._make_key(name)
        self._openssl("pkey", "-in", f"{name}.key", "-pubout", "-out", f"{name}.pub")

    def sign(self, name: str, user: str, *, group: str = "", addresses: Sequence[str] = ()) -> None:
        """NAME.key and NAME.crt for a user of the API or, with host names and IP addresses, a server."""
        self._make_key(name)
        kinds = [f"{'IP' if _is_ip(address) else 'DNS'}:{address}" for address in addresses]
        extensions = [
            "extendedKeyUsage=clientAuth,serverAuth",
            *([f"subjectAltName={','.join(kinds)}"] if kinds else []),
        ]
        write_private(self.directory / f"{name}.ext", "\n".join(extensions) + "\n")
        subject = (f"/O={group}" if group else "") + f"/CN={user}"
        self._openssl("req", "-new", "-key", f"{name}.key", "-subj", subject, "-out", f"{name}.csr")
        self._openssl(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"),
            *("-days", _DAYS, "-extfile", f"{name}.ext", "-out", f"{name}.crt"),
        )

    def kubeconfig(self, name: str, server: str) -> str:
        """The content of a kubeconfig with which NAME talks to the API server."""

        def data(path: Path) -> str:
            return base64.b64encode(path.read_bytes()).decode()

        user = {"client-certificate-data": data(self.certificate(name)), "client-key-data": data(self.key(name))}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "test", "cluster": {"server": server, "certificate-authority-data": data(self.ca)}},
            ],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": name}}],
            "current-context": "test",
        }
        return json.dumps(content, indent=2)  # JSON is YAML

    def _make_key(self, name: str) -> None:
        # 2048 bits, which every client can read; elliptic curves would be faster to make but are not everywhere.
        self._openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", f"{name}.key")
        self.key(name).chmod(0o600)

    def _openssl(self, *arguments: str) -> None:
        run(["openssl", *arguments], cwd=self.directory)


def _is_ip(text: str) -> bool:
    return text.replace(".", "").isdigit()
