# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers with a certificate of their own: refused by default, accepted with the right CA."""

from __future__ import annotations

import datetime
import ipaddress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from s3_proxy import S3Proxy

from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import AccessError
from ansible_collections.modelops.serving.plugins.module_utils._transfer.run import run_sync


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test store")])
    now = datetime.datetime.now(datetime.timezone.utc)
    built = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + built.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def tls_store(seaweedfs, certificate):
    with S3Proxy(seaweedfs.endpoint_url, certificate=certificate) as proxy:
        yield proxy


@pytest.fixture
def tls_hub(hub, certificate):
    with S3Proxy(hub.endpoint, certificate=certificate) as proxy:
        yield proxy


@pytest.mark.parametrize("trust", [{"ca_bundle": True}, {"validate_certs": False}])
def test_a_store_with_a_certificate_of_its_own(sync, tls_store, certificate, trust):
    trust = {key: str(certificate) if key == "ca_bundle" else value for key, value in trust.items()}
    result = sync.run(destinations=[sync.destination | {"endpoint_url": tls_store.url} | trust])
    assert not result["failed"], result["destinations"][0]["error"]
    assert any("partNumber=" in request.query for request in tls_store.passed)
    sync.assert_complete()


def test_a_store_that_is_not_trusted(sync, tls_store, monkeypatch):
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    result = sync.run(destinations=[sync.destination | {"endpoint_url": tls_store.url}])
    error = result["destinations"][0]["error"]
    assert error["kind"] == "AccessError" and "TLS" in error["message"] and "ca_bundle" in error["hint"]
    assert result["retries"] == 0 and tls_store.passed == []


@pytest.mark.parametrize("trust", [{"ca_bundle": True}, {"validate_certs": False}])
def test_a_hub_with_a_certificate_of_its_own(sync, tls_hub, certificate, trust):
    sync.source = {"endpoint": tls_hub.url} | {
        key: str(certificate) if key == "ca_bundle" else value for key, value in trust.items()
    }
    assert not sync.run()["failed"]
    assert not sync.run()["changed"]
    sync.source = {}
    sync.assert_complete()


def test_a_hub_that_is_not_trusted(sync, tls_hub, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    sync.source = {"endpoint": tls_hub.url}
    with pytest.raises(AccessError, match="TLS"):
        run_sync(sync.request())
    assert tls_hub.passed == []
    assert sync.paths() == set()
