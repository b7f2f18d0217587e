# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Allow policies of IAM as data: what they grant, and the same policy with more or less granted. Pure.

A grant is one role for one member under at most one condition. Whatever a policy holds besides grants, and every grant
that is not asked for, stays as it was read. https://cloud.google.com/iam/docs/reference/rest/v1/Policy
"""

from __future__ import annotations

import copy
import dataclasses
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._gcp.members import (
    BASIC_ROLES,
    check_member,
    check_role,
    member_key,
    workload_identity_principal,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError

Data: t.TypeAlias = "dict[str, t.Any]"
Key: t.TypeAlias = "tuple[str, str, Condition | None]"


@dataclasses.dataclass(frozen=True)
class Condition:
    """When a grant counts. Two conditions are the same only if all three fields are."""

    title: str
    expression: str
    description: str = ""

    @classmethod
    def of(cls, data: t.Mapping[str, t.Any] | None) -> Condition | None:
        """The condition in an option or in a policy, without white space around its fields; None where there is none."""
        if not data:
            return None
        return cls(*((data.get(key) or "").strip() for key in ("title", "expression", "description")))

    def data(self) -> dict[str, str]:
        """As the API takes it."""
        return {key: value for key, value in dataclasses.asdict(self).items() if value}


@dataclasses.dataclass(frozen=True)
class Grant:
    """A role for a member."""

    role: str
    member: str
    condition: Condition | None = None

    @property
    def key(self) -> Key:
        """The same for two spellings of one grant."""
        return self.role, member_key(self.member), self.condition


def wanted_grants(
    bindings: t.Sequence[t.Mapping[str, t.Any]],
    *,
    project: str | None,
    number_of: t.Callable[[str], str],
    absent: bool = False,
) -> tuple[list[Grant], list[str]]:
    """The grants that the option ``bindings`` asks for, and the principals that were made of Workload Identities.

    :param bindings: with ``role``, ``members``, ``workload_identities``, ``condition``.
    :param project: of clusters for which none is given. :param number_of: number of a project by its id.
    :raises InputError: something in them cannot be right.
    """
    grants: list[Grant] = []
    principals: list[str] = []
    for binding in bindings:
        role, condition = binding["role"], Condition.of(binding.get("condition"))
        check_role(role)
        if condition and role in BASIC_ROLES:
            raise InputError(
                f"The basic role {role} cannot be granted under a condition.",
                hint="Use a predefined or custom role that grants less.",
            )
        if condition and not (condition.title and condition.expression):
            raise InputError(f"The condition for {role} needs a title and an expression.")
        members = list(binding.get("members") or [])
        for member in members:
            check_member(member, absent=absent)
        for identity in binding.get("workload_identities") or []:
            principal = _principal(identity, project, number_of)
            members.append(principal)
            principals.append(principal)
        if not members:
            raise InputError(f"Nobody is named for {role}.", hint="Give members, workload_identities or both.")
        grants += [Grant(role, member, condition) for member in members]
    return grants, list(dict.fromkeys(principals))


def _principal(identity: t.Mapping[str, t.Any], project: str | None, number_of: t.Callable[[str], str]) -> str:
    project = identity.get("project") or project
    if not project:
        raise InputError(
            f"The project of the cluster with the namespace {identity['namespace']} is not known.",
            hint="Give project, also inside of workload_identities.",
        )
    return workload_identity_principal(
        project=project,
        project_number=identity.get("project_number") or number_of(project),
        namespace=identity["namespace"],
        service_account=identity["service_account"],
    )


def missing(wanted: t.Iterable[Grant], found: t.Iterable[Grant]) -> list[Grant]:
    """The grants that are wanted and not found, each once."""
    there = {grant.key for grant in found}
    return _distinct(grant for grant in wanted if grant.key not in there)


def superfluous(unwanted: t.Iterable[Grant], found: t.Iterable[Grant]) -> list[Grant]:
    """The grants that are found and not wanted any more, each once, spelled as found."""
    keys = {grant.key for grant in unwanted}
    return _distinct(grant for grant in found if grant.key in keys)


def _distinct(several: t.Iterable[Grant]) -> list[Grant]:
    by_key: dict[Key, Grant] = {}
    for grant in several:
        by_key.setdefault(grant.key, grant)
    return list(by_key.values())


def as_bindings(grants: t.Iterable[Grant], roles: t.Collection[str]) -> list[Data]:
    """What is granted of some roles: ``role``, ``members`` (sorted) and ``condition`` (None without one)."""
    found: dict[tuple[str, Condition | None], set[str]] = {}
    for grant in grants:
        if grant.role in roles:
            found.setdefault((grant.role, grant.condition), set()).add(grant.member)
    return [
        {"role": role, "members": sorted(members), "condition": dataclasses.asdict(condition) if condition else None}
        for (role, condition), members in sorted(found.items(), key=lambda item: (item[0][0], str(item[0][1] or "")))
    ]


def grants(policy: t.Mapping[str, t.Any]) -> list[Grant]:
    """All that a policy grants."""
    return [
        Grant(binding["role"], member, Condition.of(binding.get("condition")))
        for binding in policy.get("bindings") or []
        for member in binding.get("members") or []
    ]


def with_grants(policy: t.Mapping[str, t.Any], more: t.Iterable[Grant]) -> Data:
    """A policy that grants more. Members join the binding of their role and condition where there is one."""
    result = copy.deepcopy(dict(policy))
    bindings: list[Data] = result.setdefault("bindings", [])
    for grant in more:
        for binding in bindings:
            if binding["role"] == grant.role and Condition.of(binding.get("condition")) == grant.condition:
                binding.setdefault("members", []).append(grant.member)
                break
        else:
            binding = {"role": grant.role, "members": [grant.member]}
            if grant.condition:
                binding["condition"] = grant.condition.data()
            bindings.append(binding)
    return _versioned(result)


def without_grants(policy: t.Mapping[str, t.Any], fewer: t.Iterable[Grant]) -> Data:
    """A policy that grants less. A binding that nobody is left in goes."""
    gone = {grant.key for grant in fewer}
    result = copy.deepcopy(dict(policy))
    kept = []
    for binding in result.get("bindings") or []:
        condition = Condition.of(binding.get("condition"))
        members = binding.get("members") or []
        left = [member for member in members if Grant(binding["role"], member, condition).key not in gone]
        if left or not members:
            kept.append({**binding, "members": left} if left != members else binding)
    result["bindings"] = kept
    return _versioned(result)


def _versioned(policy: Data) -> Data:
    # A policy with conditions is refused without it. One that was read with 3 keeps it.
    if any(binding.get("condition") for binding in policy["bindings"]):
        policy["version"] = 3
    return policy
