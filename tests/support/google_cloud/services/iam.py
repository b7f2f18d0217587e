# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IAM v1: custom roles of projects, and service accounts. https://cloud.google.com/iam/docs/reference/rest"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..errors import exists, invalid, precondition, stale
from ..state import masked
from . import carries_out

if TYPE_CHECKING:
    from ..state import Call, Resource

_ROLES = "iam.projects.roles"
_ACCOUNTS = "iam.projects.serviceAccounts"
_PERMISSION = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+){2}")


@carries_out(f"{_ROLES}.create")
def create_role(call: Call) -> Resource:
    project, role_id = call.project(), call.body.get("roleId", "")
    if not re.fullmatch(r"[\w.]{3,64}", role_id, re.ASCII):
        raise invalid(f"The role_id ({role_id}) must be 3 to 64 letters, digits, underscores and periods.", "role_id")
    path, name = f"{call.path}/{role_id}", f"projects/{project}/roles/{role_id}"
    found = call.state.find(path)
    if found and found.get("deleted"):
        raise precondition(
            f"You can't create a role with role_id ({role_id}) where there is an existing role with that role_id in a "
            "deleted state."
        )
    if found:
        raise exists(f"A role named {role_id} in projects/{project} already exists.")
    role = call.body.get("role") or {}
    return _put(call, path, {**_checked(role), "name": name})


@carries_out(f"{_ROLES}.get")
def get_role(call: Call) -> Resource:
    return _role(call)


@carries_out(f"{_ROLES}.list")
def list_roles(call: Call) -> Resource:
    call.project()
    deleted = call.query.get("showDeleted") == "true"
    roles = [role for _path, role in call.state.children(call.path) if deleted or not role.get("deleted")]
    if call.query.get("view") != "FULL":
        roles = [{name: value for name, value in role.items() if name != "includedPermissions"} for role in roles]
    return call.page(roles, "roles", 300)


@carries_out(f"{_ROLES}.patch")
def patch_role(call: Call) -> Resource:
    role = _role(call)
    _check_etag(call.body.get("etag"), role)
    if role.get("deleted"):
        raise precondition(f"You can't update the role {role['name']} because it is marked for deletion.")
    settable = ("title", "description", "includedPermissions", "stage")
    mask = call.query.get("updateMask") or ",".join(name for name in call.body if name in settable)
    changed = masked(role, _checked(call.body), mask, dict.fromkeys((*settable, "etag"))) if mask else role
    return _put(call, call.path, {**changed, "name": role["name"]})


@carries_out(f"{_ROLES}.delete")
def delete_role(call: Call) -> Resource:
    """It stays, marked as deleted, and its id stays taken."""
    role = _role(call)
    _check_etag(call.query.get("etag"), role)
    if role.get("deleted"):
        raise precondition(f"You can't delete role {role['name']} because it is already marked for deletion.")
    return _put(call, call.path, {**role, "deleted": True})


@carries_out(f"{_ROLES}.undelete")
def undelete_role(call: Call) -> Resource:
    role = call.state.get(call.parent, _no_role(call.name(call.parent)))
    _check_etag(call.body.get("etag"), role)
    if not role.get("deleted"):
        raise precondition(f"The role {role['name']} is not marked for deletion.")
    return _put(call, call.parent, {name: value for name, value in role.items() if name != "deleted"})


def _role(call: Call) -> Resource:
    call.project()
    return call.state.get(call.path, _no_role(call.name()))


def _no_role(name: str) -> str:
    return f"The role named {name} was not found."


def _check_etag(given: str | None, role: Resource) -> None:
    if given and given != role.get("etag"):
        raise stale("There were concurrent changes of the role. Read it again, and repeat the change.")


def _checked(role: Resource) -> Resource:
    """The settable fields of a role. A stage of ALPHA, the default, is not shown."""
    for permission in role.get("includedPermissions") or ():
        if not _PERMISSION.fullmatch(permission):
            raise invalid(f"Permission {permission} is not valid.", "role.included_permissions")
    if len(role.get("title", "").encode()) > 100:
        raise invalid("The title is longer than 100 bytes.", "role.title")
    if len(role.get("description", "").encode()) > 300:
        raise invalid("The description is longer than 300 bytes.", "role.description")
    kept = {name: role[name] for name in ("title", "description", "includedPermissions") if role.get(name)}
    return kept | ({"stage": role["stage"]} if role.get("stage", "ALPHA") != "ALPHA" else {})


def _put(call: Call, path: str, role: Resource) -> Resource:
    if "includedPermissions" in role:
        role["includedPermissions"] = sorted(set(role["includedPermissions"]))
    return call.state.put(path, {**role, "etag": call.state.etag()})


@carries_out(f"{_ACCOUNTS}.create")
def create_account(call: Call) -> Resource:
    project, account_id = call.project(), call.body.get("accountId", "")
    if not re.fullmatch(r"[a-z]([-a-z0-9]{4,28}[a-z0-9])", account_id):
        raise invalid(f'The account ID "{account_id}" must be 6 to 30 lower-case letters, digits and hyphens.')
    email = f"{account_id}@{project}.iam.gserviceaccount.com"
    path = f"{call.path}/{email}"
    if call.state.find(path):
        raise exists(f"Service account {account_id} already exists within project projects/{project}.")
    unique = f"1{call.state.number():020d}"
    given = call.body.get("serviceAccount") or {}
    account = {
        "name": f"projects/{project}/serviceAccounts/{email}",
        "projectId": project,
        "uniqueId": unique,
        "email": email,
        "etag": call.state.etag(),
        "oauth2ClientId": unique,
        **{name: given[name] for name in ("displayName", "description") if given.get(name)},
    }
    return call.state.put(path, account)


@carries_out(f"{_ACCOUNTS}.get")
def get_account(call: Call) -> Resource:
    return _account(call, call.path)


@carries_out(f"{_ACCOUNTS}.list")
def list_accounts(call: Call) -> Resource:
    call.project()
    return call.page([account for _path, account in call.state.children(call.path)], "accounts", 20)


@carries_out(f"{_ACCOUNTS}.patch", f"{_ACCOUNTS}.update")
def patch_account(call: Call) -> Resource:
    account = _account(call, call.path)
    wanted = call.body if call.id.endswith(".update") else call.body.get("serviceAccount") or {}
    mask = "displayName,description" if call.id.endswith(".update") else call.body.get("updateMask", "")
    if not mask:
        raise invalid("The update mask is required.", "update_mask")
    changed = masked(account, wanted, mask, dict.fromkeys(("displayName", "description")))
    return call.state.put(call.path, {**changed, "etag": call.state.etag()})


@carries_out(f"{_ACCOUNTS}.delete")
def delete_account(call: Call) -> Resource:
    _account(call, call.path)
    call.state.remove(call.path)
    return {}


@carries_out(f"{_ACCOUNTS}.enable", f"{_ACCOUNTS}.disable")
def switch_account(call: Call) -> Resource:
    account = dict(_account(call, call.parent))
    account.pop("disabled", None)
    call.state.put(call.parent, account | ({"disabled": True} if call.id.endswith(".disable") else {}))
    return {}


def _account(call: Call, path: str) -> Resource:
    return call.state.get(path, f"Unknown service account: {path.rpartition('/')[2]}")
