# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cluster DNS: A records of Services and of pods behind headless Services, asked of the API server for each query.

Follows https://github.com/kubernetes/dns/blob/master/docs/specification.md as far as programs in pods look names up:
no SRV and PTR records. All other names do not exist, since pods cannot reach the world outside anyway.
"""

from __future__ import annotations

import argparse
import contextlib
import socketserver
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from .api import Api

DOMAIN = "cluster.local"
_A = 1
_SECONDS_TO_LIVE = 1  # tests make and remove Services faster than people do
_NO_ERROR, _NO_SUCH_NAME = 0, 3
Lookup = Callable[[str, str, str], "list[str] | None"]


def parse(message: bytes) -> tuple[str, int, bytes]:
    """(name in lower case, type, the question as sent) of a query with one question (RFC 1035, section 4.1).

    :raises ValueError: it is no such query.
    """
    labels, position = [], 12
    try:
        while length := message[position]:
            labels.append(message[position + 1 : position + 1 + length].decode("ascii").lower())
            position += 1 + length
        (kind,) = struct.unpack_from("!H", message, position + 1)
    except (IndexError, UnicodeDecodeError, struct.error) as error:
        raise ValueError("not a DNS query") from error
    return ".".join(labels), kind, message[12 : position + 5]


def answer(message: bytes, lookup: Lookup) -> bytes:
    """The answer to a query.

    :param lookup: of (host name in the Service or "", Service, namespace) to IPv4 addresses, None: no such name.
    """
    name, kind, question = parse(message)
    addresses = _resolve(name, lookup)
    code = _NO_SUCH_NAME if addresses is None else _NO_ERROR
    records = addresses or [] if kind == _A else []  # the name exists, though not with the other types
    header = struct.pack("!2sHHHHH", message[:2], 0x8580 | code, 1, len(records), 0, 0)
    # 0xC00C: the name of the question
    return header + question + b"".join(_record(address) for address in records)


def _record(address: str) -> bytes:
    return struct.pack("!HHHIH4B", 0xC00C, _A, 1, _SECONDS_TO_LIVE, 4, *map(int, address.split(".")))


def _resolve(name: str, lookup: Lookup) -> list[str] | None:
    rest = name.removesuffix(f".svc.{DOMAIN}")
    labels = rest.split(".")
    if rest == name or len(labels) not in (2, 3):
        return None
    host = labels[0] if len(labels) == 3 else ""
    return lookup(host, labels[-2], labels[-1])


class Services:
    """Looks names up at the API server. Called as :data:`Lookup`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def _find(self, kind: str, name: str, namespace: str) -> Any:
        """The object, or None. The proxy's user may list such objects but not get them one by one."""
        query = f"/api/v1/namespaces/{namespace}/{kind}?fieldSelector=metadata.name%3D{name}"
        items = (self._api.get(query) or {}).get("items")
        return items[0] if items else None

    def __call__(self, host: str, name: str, namespace: str) -> list[str] | None:
        service = self._find("services", name, namespace)
        if service is None:
            return None
        spec = service["spec"]
        if spec.get("clusterIP", "None") != "None":
            return None if host else [spec["clusterIP"]]
        endpoints = self._find("endpoints", name, namespace) or {}
        found = list(_addresses(endpoints, host, spec.get("publishNotReadyAddresses", False)))
        return found if found or not host else None


def _addresses(endpoints: dict[str, Any], host: str, unready: bool) -> Iterator[str]:
    kinds: Sequence[str] = ("addresses", "notReadyAddresses") if unready else ("addresses",)
    for subset in endpoints.get("subsets", ()):
        for kind in kinds:
            for address in subset.get(kind, ()):
                if not host or address.get("hostname") == host:
                    yield address["ip"]


def serve(address: str, lookup: Lookup) -> None:
    """Answer queries at UDP port 53 for ever."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            message, udp = self.request
            with contextlib.suppress(ValueError):
                udp.sendto(answer(message, lookup), self.client_address)

    class Server(socketserver.ThreadingUDPServer):
        daemon_threads = True

    Server((address, 53), Handler).serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("server")
    parser.add_argument("ca", type=Path)
    parser.add_argument("certificate", type=Path)
    parser.add_argument("key", type=Path)
    given = parser.parse_args()
    serve(given.address, Services(Api(given.server, given.ca, given.certificate, given.key)))
