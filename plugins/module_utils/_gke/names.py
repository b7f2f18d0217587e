# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names, places, versions and address ranges: what GKE would refuse is found before anything is asked. Pure."""

from __future__ import annotations

import ipaddress
import itertools
import re
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError

LONGEST_NAME = 40
_NAME = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
_PLACE = re.compile(r"(?P<region>[a-z]+-[a-z]+\d+)(?P<zone>-[a-z0-9]+)?")
_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+)(?:-gke\.(\d+))?)?")


def check_project(project: str | None) -> str:
    """The id of the project.

    :raises InputError: there is none, or it cannot be one.
    """
    if not project:
        raise InputError("The project is not known.", hint="Give project, or set GCP_PROJECT.")
    if not re.fullmatch(r"[a-z0-9.:-]+", project):
        raise InputError(f"{project!r} is not the id of a project.")
    return project


def check_name(noun: str, name: str, *, longest: int = LONGEST_NAME) -> None:
    """Refuse what cannot be the name of a cluster or node pool, or with ``longest`` of another resource.

    :raises InputError: it cannot.
    """
    if len(name) > longest:
        raise InputError(
            f"{name!r} has {len(name)} characters, and the name of a {noun} at most {longest}.",
            hint="Take a shorter name or prefix.",
        )
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} is not the name of a {noun}.",
            hint="It has lower case letters, digits and hyphens, begins with a letter and does not end with a hyphen.",
        )


def region_of(place: str) -> str:
    """The region of a region or zone.

    :raises InputError: it is neither.
    """
    found = _PLACE.fullmatch(place)
    if not found:
        raise InputError(
            f"{place!r} is neither a region nor a zone.", hint="Give one such as us-central1 or us-central1-a."
        )
    return found["region"]


def is_zone(place: str) -> bool:
    """Whether a place, which is one, is a zone and not a region."""
    return place != region_of(place)


def check_zones(option: str, zones: t.Sequence[str], location: str) -> None:
    """Refuse zones outside the region of a cluster.

    :raises InputError: there is one.
    """
    region = region_of(location)
    for zone in zones:
        if region_of(zone) != region or not is_zone(zone):
            raise InputError(
                f"{zone} in {option} is no zone of {region}, where the cluster is.",
                hint=f"Give zones such as {region}-a.",
            )


def parse_version(text: str) -> tuple[int, ...]:
    """The numbers of a version.

    :raises InputError: it is none.
    """
    found = _VERSION.fullmatch(text)
    if not found:
        raise InputError(
            f"{text!r} is not a version of GKE.",
            hint="Give one such as 1.34, 1.34.1 or 1.34.1-gke.3084001, or leave it to the release channel.",
        )
    return tuple(int(number) for number in found.groups() if number is not None)


def is_at_least(live: str, wanted: str) -> bool:
    """Whether a version is the one wanted or a later one. ``1.34`` is every 1.34.x."""
    asked = parse_version(wanted)
    return parse_version(live)[: len(asked)] >= asked


def check_ranges(ranges: t.Mapping[str, str | None]) -> None:
    """Refuse ranges of addresses that are none or overlap.

    :param ranges: option -> range in CIDR notation.
    :raises InputError: as said.
    """
    networks = {option: parse_network(option, text) for option, text in ranges.items() if text}
    for (one, first), (other, second) in itertools.combinations(networks.items(), 2):
        if first.overlaps(second):
            raise InputError(
                f"{one} {first} and {other} {second} overlap.", hint="Give ranges that have no address in common."
            )


def parse_network(option: str, text: str) -> ipaddress.IPv4Network:
    """A range of addresses.

    :raises InputError: it is none.
    """
    try:
        return ipaddress.IPv4Network(text)
    except ValueError as error:
        raise InputError(f"{option}: {error}.", hint="Give a range such as 10.0.0.0/20.") from error


def same_resource(one: str | None, other: str | None) -> bool:
    """Whether two names mean the same network or subnetwork, one of which may be short or a link.

    A short name and ``projects/P/.../NAME`` are the same where the names are.
    """
    first, second = _plain_link(one), _plain_link(other)
    return first == second or first.endswith(f"/{second}") or second.endswith(f"/{first}")


def _plain_link(link: str | None) -> str:
    return re.sub(r"^(https?:)?//[^/]+/(compute/)?\w+/(?=projects/)", "", link or "")
