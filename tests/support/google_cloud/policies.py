# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IAM policies, alike for all resources that have one. https://cloud.google.com/iam/docs/reference/rest/v1/Policy"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from .errors import ApiError, invalid, stale

if TYPE_CHECKING:
    from collections.abc import Callable

    from .state import Call, Resource, State

#: What Google sends for a resource whose policy was never set.
_FIRST_ETAG = "ACAB"
_EMAIL = r"[^@\s:/]+@[^@\s:/]+\.[^@\s:/]+"
_POOL = r"(projects/\d+/)?locations/global/work(loadIdentity|force)Pools/[^/]+"
_MEMBER = re.compile(
    rf"allUsers|allAuthenticatedUsers|(user|group|serviceAccount):{_EMAIL}|domain:[\w-]+(\.[\w-]+)+"
    r"|serviceAccount:[\w.:-]+\.svc\.id\.goog\[[a-z0-9-]+/[a-z0-9.-]+\]"
    rf"|principal://iam\.googleapis\.com/{_POOL}/subject/.+"
    rf"|principalSet://iam\.googleapis\.com/{_POOL}/.+"
    r"|principalSet://cloudresourcemanager\.googleapis\.com/(projects|folders|organizations)/\d+(/.+)?"
    r"|project(Owner|Editor|Viewer):[\w.:-]+"
    rf"|deleted:(user|group|serviceAccount):{_EMAIL}\?uid=\d+|deleted:principal(Set)?://\S+"
)
ROLE = re.compile(r"roles/[\w.]+|(projects/([^/]+)|organizations/\d+)/roles/[\w.]+")
_MOST_MEMBERS = 1500


def read(call: Call, path: str, version: int) -> Resource:
    """The policy of a resource in the form of a version (0, 1, 3).

    Conditions need version 3. Before it, a binding with a condition has a role that nobody can grant, made of the
    role's name and a hash. https://cloud.google.com/iam/docs/policies#versions

    :raises ApiError: there is no such resource or version.
    """
    call.state.get(path)
    if version not in (0, 1, 3):
        raise invalid(f"Invalid policy version {version}: it must be 0, 1 or 3.", "options.requestedPolicyVersion")
    policy: Resource = {"version": 1, "etag": _FIRST_ETAG} | copy.deepcopy(call.state.policy(path))
    if not policy["bindings"]:
        del policy["bindings"]
    elif has_conditions(policy):
        policy["version"] = 3 if version == 3 else 1
        if version != 3:
            policy["bindings"] = [_without_condition(binding) for binding in policy["bindings"]]
    return policy


def write(call: Call, path: str, policy: Resource) -> Resource:
    """Set the policy of a resource; the bindings as Google keeps them.

    :raises ApiError: 404, 409 for an etag that is not the current one, 400 for what is no valid policy.
    """
    call.state.get(path)
    current = call.state.policy(path)
    etag = policy.get("etag")
    if etag and etag != current.get("etag", _FIRST_ETAG):
        raise stale(
            "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff. "
            f"The request's ETag '{etag}' did not match the current policy's ETag."
        )
    version = int(policy.get("version") or 0)
    if version not in (0, 1, 3):
        raise invalid(f"Invalid policy version {version}: it must be 0, 1 or 3.", "policy.version")
    bindings = normalized(call.state, policy.get("bindings") or [])
    if version != 3 and any("condition" in binding for binding in bindings):
        raise invalid("A binding with a condition needs policy.version 3.", "policy.version")
    if version != 3 and etag and has_conditions(current):
        # Without an etag Google overwrites it, and the conditions are lost.
        raise invalid("The policy has conditional role bindings: policy.version must be 3.", "policy.version")
    kept = {name: policy[name] for name in ("auditConfigs",) if name in policy}
    call.state.set_policy(path, {**kept, "bindings": bindings})
    return read(call, path, 3)


def has_conditions(policy: Resource) -> bool:
    return any("condition" in binding for binding in policy.get("bindings", ()))


def normalized(state: State, bindings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One binding per role and condition, members once, sorted, e-mail addresses in lower case; none without members.

    :raises ApiError: a role, member or condition that is none.
    """
    merged: dict[str, dict[str, Any]] = {}
    for binding in bindings:
        role, condition = _role(state, binding.get("role", "")), _condition(binding)
        entry = merged.setdefault(json.dumps([role, condition], sort_keys=True), {"role": role, "members": []})
        entry["members"] += [member(name) for name in binding.get("members", ())]
        if condition:
            entry["condition"] = condition
    if sum(len(entry["members"]) for entry in merged.values()) > _MOST_MEMBERS:
        raise invalid(f"The number of members in the policy is larger than the maximum allowed size {_MOST_MEMBERS}.")
    return [
        {**merged[key], "members": sorted(set(merged[key]["members"]))}
        for key in sorted(merged)
        if merged[key]["members"]
    ]


def _role(state: State, role: str) -> str:
    found = ROLE.fullmatch(role)
    if not found or "_withcond_" in role:
        raise invalid(f"Role {role} is not supported for this resource.", "policy.bindings.role")
    if found[2] in state.projects:
        custom = state.find(f"iam/v1/{role}")
        if custom is None or custom.get("deleted"):
            raise invalid(f"Role ({role}) does not exist in the resource's hierarchy.", "policy.bindings.role")
    return role


def member(text: str) -> str:
    """A member as Google keeps it: e-mail addresses and domains in lower case.

    :raises ApiError: it is none.
    """
    if not _MEMBER.fullmatch(text):
        raise invalid(
            f"Invalid member '{text}': the domain or type of an identity is unknown.", "policy.bindings.members"
        )
    kind, _colon, name = text.partition(":")
    return f"{kind}:{name.lower()}" if kind in ("user", "group", "serviceAccount", "domain") else text


def _condition(binding: dict[str, Any]) -> dict[str, Any] | None:
    condition: dict[str, Any] | None = binding.get("condition")
    if condition and not (condition.get("expression") and condition.get("title")):
        raise invalid("A condition needs a title and an expression.", "policy.bindings.condition")
    return condition or None


def _without_condition(binding: dict[str, Any]) -> dict[str, Any]:
    condition = binding.get("condition")
    if not condition:
        return binding
    digest = hashlib.sha256(json.dumps(condition, sort_keys=True).encode()).hexdigest()[:20]
    return {"role": f"{binding['role']}_withcond_{digest}", "members": binding["members"]}


def _get(call: Call) -> Resource:
    options = call.body.get("options") or {}
    version = options.get("requestedPolicyVersion") or call.query.get("options.requestedPolicyVersion") or 0
    return read(call, call.parent, int(version))


def _set(call: Call) -> Resource:
    policy = call.body.get("policy")
    if policy is None:
        raise invalid("The policy is required.", "policy")
    mask = (call.body.get("updateMask") or "bindings,etag").split(",")
    wanted = {name: value for name, value in policy.items() if name in ("version", "etag", *mask)}
    return write(call, call.parent, call.state.policy(call.parent) | {"etag": None} | wanted)


def _test(call: Call) -> Resource:
    """Everything is allowed that is not denied."""
    call.state.get(call.parent)
    held = [name for name in call.body.get("permissions", []) if name not in call.state.denied]
    return {"permissions": held} if held else {}


#: Last part of a method's id -> that of the permission it needs, where they differ.
_VERBS = {"insert": "create", "patch": "update", "batchEnable": "enable", "batchGet": "get"}


def permission_of(method: str) -> str:
    """The permission that a method needs, by the usual rule: API, collection, verb.

    GKE has none for node pools: they are part of their cluster. https://cloud.google.com/iam/docs/permissions-reference
    """
    api, *_above, collection, verb = method.split(".")
    if collection == "nodePools":
        return "container.clusters.update"
    if api in ("container", "compute") and re.match(r"set[A-Z]|expand", verb):
        verb = "update"
    prefix = "resourcemanager" if api == "cloudresourcemanager" else api
    return f"{prefix}.{collection}.{_VERBS.get(verb, verb)}"


def handler_of(method: str) -> Callable[[Call], Resource] | None:
    """What carries out a method that has to do with policies, of any API."""
    verbs = {"getIamPolicy": _get, "setIamPolicy": _set, "testIamPermissions": _test}
    return verbs.get(method.rpartition(".")[2])


def conflict_of_storage(error: ApiError) -> ApiError:
    """Storage has a code of its own for an etag that is not the current one."""
    if error.reason != "ABORTED":
        return error
    return ApiError(412, "At least one of the pre-conditions you specified did not hold.")
