# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible filter: do ranges of addresses fit beside each other?"""

from __future__ import annotations

import ipaddress
import itertools
import typing as t

from ansible.errors import AnsibleFilterError


def range_conflicts(ranges: t.Mapping[str, str]) -> list[str]:
    """What is wrong with named ranges, in sentences; empty where nothing is."""
    if not isinstance(ranges, dict):
        raise AnsibleFilterError("range_conflicts: a dictionary of names and ranges is needed.")
    found: list[str] = []
    networks: dict[str, ipaddress.IPv4Network | ipaddress.IPv6Network] = {}
    for name, text in ranges.items():
        try:
            networks[name] = ipaddress.ip_network(str(text))
        except ValueError as error:
            found.append(f"{name} is no range of addresses: {error}.")
    for (name, one), (other, another) in itertools.combinations(networks.items(), 2):
        if one.version == another.version and one.overlaps(another):
            found.append(f"{name} ({one}) and {other} ({another}) overlap.")
    return found


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Name -> filter."""
        return {"range_conflicts": range_conflicts}
