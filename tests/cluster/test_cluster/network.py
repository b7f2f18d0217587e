# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses for a node in a network namespace of its own, and the one link between it and this machine."""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import json
import random
import socket
from collections.abc import Mapping

from .common import ClusterError, run


@dataclasses.dataclass(frozen=True)
class Network:
    """A /16: this machine is .0.1 in it and the node .0.2; pods live in .1.0/24, Services in .128.0/17."""

    prefix: str  # the first two bytes, "10.200"

    @property
    def all(self) -> str:
        return f"{self.prefix}.0.0/16"

    @property
    def host(self) -> str:
        return f"{self.prefix}.0.1"

    @property
    def node(self) -> str:
        return f"{self.prefix}.0.2"

    @property
    def pods(self) -> str:
        return f"{self.prefix}.1.0/24"

    @property
    def services(self) -> str:
        return f"{self.prefix}.128.0/17"

    @property
    def api_service(self) -> str:
        """The cluster IP that the API server takes for itself: the first one."""
        return f"{self.prefix}.128.1"


def choose(routes: list[str]) -> Network:
    """A network that no route of this machine (destinations such as "10.0.0.0/8", "default") overlaps.

    :raises ClusterError: there is none.
    """
    taken = [ipaddress.ip_network(route, strict=False) for route in routes if route[:1].isdigit()]
    prefixes = [f"10.{number}" for number in range(64, 256)] + [f"172.{number}" for number in range(16, 32)]
    random.shuffle(prefixes)  # two clusters that start at once should not want the same one
    for prefix in prefixes:
        network = Network(prefix)
        if not any(ipaddress.ip_network(network.all).overlaps(other) for other in taken):
            return network
    raise ClusterError("every private network that pods could live in is routed elsewhere by this machine")


def routes(environment: Mapping[str, str]) -> list[str]:
    found = json.loads(run(["ip", "-json", "-4", "route", "show", "table", "all"], env=environment) or "[]")
    return [route["dst"] for route in found]


def connect(link: str, pid: int, network: Network, environment: Mapping[str, str]) -> None:
    """Join this machine and the network namespace of a process by a pair of links: ``link`` here, eth0 there."""
    for command in (
        f"ip link add {link} type veth peer name eth0 netns {pid}",
        f"ip address add {network.host}/24 dev {link}",
        f"ip link set {link} up",
        f"ip route add {network.all} via {network.node} dev {link}",
    ):
        run(command.split(), env=environment)


def disconnect(link: str, environment: Mapping[str, str]) -> None:
    """Remove the pair, if it is there; addresses and routes go with it."""
    if link in (name for _index, name in socket.if_nameindex()):
        # It also goes when the last process of the other namespace ends, which may be right now.
        with contextlib.suppress(ClusterError):
            run(["ip", "link", "delete", link], env=environment)


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _number in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
