# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who can be granted something, and what: members and roles of IAM as text. Pure.

https://cloud.google.com/iam/docs/principal-identifiers
"""

from __future__ import annotations

import re

from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError

#: Roles that Google does not grant under a condition.
BASIC_ROLES = frozenset({"roles/owner", "roles/editor", "roles/viewer"})

_EVERYBODY = ("allUsers", "allAuthenticatedUsers")
_ACCOUNTS = ("user", "serviceAccount", "group")
_OF_A_PROJECT = ("projectOwner", "projectEditor", "projectViewer")

_PROJECT_ID = r"(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]"
_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_MEMBER = re.compile(
    rf"{'|'.join(_EVERYBODY)}"
    rf"|(?:{'|'.join(_ACCOUNTS)}):[^\s@:/]+@[^\s@:/]+"
    # A service account of Kubernetes, which may act as a service account of Google.
    rf"|serviceAccount:{_PROJECT_ID}\.svc\.id\.goog\[{_LABEL}/{_LABEL}(?:\.{_LABEL})*\]"
    r"|domain:[^\s@:/]+\.[^\s@:/]+"
    rf"|(?:{'|'.join(_OF_A_PROJECT)}):[a-z0-9.:-]+"
    r"|principal(?:Set)?://[a-z0-9.-]+/\S+"
)
_DELETED = re.compile(r"deleted:\S+")
_ROLE = re.compile(r"(?:(?:projects/[a-z0-9.:-]+|organizations/[0-9]+)/)?roles/[A-Za-z0-9_.]+")


def check_role(role: str) -> None:
    """Refuse what is not the full name of a role.

    :raises InputError: it is not.
    """
    if _ROLE.fullmatch(role):
        return
    hint = "Give roles/NAME, projects/PROJECT/roles/NAME or organizations/NUMBER/roles/NAME."
    if re.fullmatch(r"[a-z]\w*\.[\w.]+", role):
        hint = f"Write roles/{role}, or the full name of a custom role, such as projects/PROJECT/roles/{role}."
    raise InputError(f"{role!r} is not the name of a role.", hint=hint)


def check_member(member: str, *, absent: bool = False) -> None:
    """Refuse what is not a member of an allow policy.

    :param absent: it is to be removed, which is the only thing that can be done with one that Google marks as deleted.
    :raises InputError: it is not.
    """
    if _MEMBER.fullmatch(member):
        return
    hint = "Give a type and a name, such as serviceAccount:NAME@PROJECT.iam.gserviceaccount.com."
    kind, _colon, name = member.partition(":")
    if _DELETED.fullmatch(member):
        if absent:
            return
        hint = "An account that was deleted can be granted nothing. Restore it, or make a new one."
    elif re.fullmatch(r"[^\s@:/]+@[^\s@:/]+", member):
        hint = "Write its type in front: " + (
            f"serviceAccount:{member}."
            if member.lower().endswith("gserviceaccount.com")
            else f"user:{member} or group:{member}."
        )
    else:
        known = {word.lower(): word for word in (*_EVERYBODY, *_ACCOUNTS, "domain", *_OF_A_PROJECT)}
        right = known.get(kind.lower(), kind)
        if right != kind:
            hint = f"Write {right}{':' if name else ''}{name}."
    raise InputError(f"{member!r} is not a member of an IAM policy.", hint=hint)


def member_key(member: str) -> str:
    """What is the same for two spellings of one member.

    Google keeps names of accounts and domains in lower case, whatever was sent. Principals are kept as they are: the
    subjects of other identity providers tell upper and lower case apart.
    """
    return member if re.match(r"(deleted:)?principal(Set)?:", member) else member.lower()


def workload_identity_principal(*, project: str, project_number: str, namespace: str, service_account: str) -> str:
    """The member for the Pods of a service account of Kubernetes, in any cluster of the project.

    https://cloud.google.com/kubernetes-engine/docs/concepts/workload-identity

    :param project: id of the project that the clusters are in. :param project_number: its number.
    :raises InputError: one of them cannot be what it should be.
    """
    for what, value, pattern in (
        ("id of a project", project, _PROJECT_ID),
        ("number of a project", project_number, r"[0-9]+"),
        ("name of a namespace", namespace, _LABEL),
        ("name of a service account of Kubernetes", service_account, rf"{_LABEL}(?:\.{_LABEL})*"),
    ):
        if not re.fullmatch(pattern, value) or len(value) > 253:
            raise InputError(
                f"{value!r} is not the {what}.",
                hint="A Workload Identity needs the id of the project, its number, and names as Kubernetes has them.",
            )
    pool = f"projects/{project_number}/locations/global/workloadIdentityPools/{project}.svc.id.goog"
    return f"principal://iam.googleapis.com/{pool}/subject/ns/{namespace}/sa/{service_account}"
