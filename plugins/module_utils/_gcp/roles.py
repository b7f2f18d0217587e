# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Custom roles of IAM in a project, and the two that servers and syncs need for a bucket mounted with Cloud Storage FUSE.

https://cloud.google.com/iam/docs/creating-custom-roles
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._gcp.client import GoogleClient
from ansible_collections.modelops.serving.plugins.module_utils._gcp.converge import converge, explained
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError, NotFoundError

#: A role as the API has it: ``name``, ``title``, ``includedPermissions`` and so on; None where there is none.
Role: t.TypeAlias = "dict[str, t.Any] | None"

STAGES = ("ALPHA", "BETA", "GA", "DEPRECATED", "DISABLED", "EAP")

PRESETS: t.Final[dict[str, dict[str, t.Any]]] = {
    "gcsfuse_user": {
        "title": "Cloud Storage FUSE user",
        "description": "Read and write the objects and folders of a bucket that is mounted with Cloud Storage FUSE.",
        "permissions": (
            "storage.buckets.get",
            "storage.folders.create",
            "storage.folders.delete",
            "storage.folders.get",
            "storage.folders.list",
            "storage.folders.rename",
            "storage.managedFolders.create",
            "storage.managedFolders.delete",
            "storage.managedFolders.get",
            "storage.managedFolders.list",
            "storage.multipartUploads.abort",
            "storage.multipartUploads.create",
            "storage.multipartUploads.list",
            "storage.multipartUploads.listParts",
            "storage.objects.create",
            "storage.objects.delete",
            "storage.objects.get",
            "storage.objects.list",
            "storage.objects.move",
            "storage.objects.restore",
            "storage.objects.update",
        ),
    },
    "gcsfuse_viewer": {
        "title": "Cloud Storage FUSE viewer",
        "description": "Read the objects and folders of a bucket that is mounted with Cloud Storage FUSE.",
        "permissions": (
            "storage.buckets.get",
            "storage.folders.get",
            "storage.folders.list",
            "storage.managedFolders.get",
            "storage.managedFolders.list",
            "storage.objects.get",
            "storage.objects.list",
        ),
    },
}

_FIELDS = ("title", "description", "includedPermissions", "stage")


def wanted_role(
    *,
    preset: str | None = None,
    permissions: t.Sequence[str] | None = None,
    title: str | None = None,
    description: str | None = None,
    stage: str = "GA",
) -> dict[str, t.Any]:
    """The fields of a role that are to be as the options say. Those that are None are left alone.

    :param preset: a key of :data:`PRESETS`, which ``title`` and ``description`` override.
    :raises InputError: a permission cannot be one.
    """
    given = PRESETS[preset] if preset else {"permissions": permissions or ()}
    for permission in given["permissions"]:
        if not re.fullmatch(r"[A-Za-z][\w-]*(\.[\w/-]+){2,}", permission):
            raise InputError(
                f"{permission!r} is not a permission of IAM.",
                hint="Give each as SERVICE.RESOURCE.VERB, such as storage.objects.get. There are no wildcards.",
            )
    fields = {
        "title": title if title is not None else given.get("title"),
        "description": description if description is not None else given.get("description"),
        "includedPermissions": sorted(set(given["permissions"])),
        "stage": stage,
    }
    return {key: value for key, value in fields.items() if value is not None}


def _check_names(project: str | None, name: str) -> None:
    """Refuse what cannot be the project and the id of a role.

    :raises InputError: it cannot.
    """
    if not project:
        raise InputError(f"The project of the role {name} is not known.", hint="Give project, or set GCP_PROJECT.")
    if not re.fullmatch(r"[a-z0-9.:-]+", project):
        raise InputError(f"{project!r} is not the id of a project.")
    if not re.fullmatch(r"[A-Za-z0-9_.]{3,64}", name):
        raise InputError(
            f"{name!r} is not the id of a role.",
            hint="It has 3 to 64 letters, digits, underscores and periods, and no project in front.",
        )


def differing(before: t.Mapping[str, t.Any], after: t.Mapping[str, t.Any]) -> list[str]:
    """The fields that a role has to be changed in."""
    return [field for field in _FIELDS if _value(before, field) != _value(after, field)]


def shown(role: Role) -> dict[str, t.Any] | None:
    """A role as modules return it: ``name``, ``title``, ``description``, ``permissions``, ``stage``, ``deleted``."""
    if role is None:
        return None
    return {
        "name": role["name"],
        "title": role.get("title", ""),
        "description": role.get("description", ""),
        "permissions": sorted(role.get("includedPermissions", [])),
        "stage": _value(role, "stage"),
        "deleted": bool(role.get("deleted")),
    }


def _value(role: t.Mapping[str, t.Any], field: str) -> t.Any:
    if field == "includedPermissions":
        return set(role.get(field, []))
    # The API leaves the stage ALPHA out.
    return role.get(field, "ALPHA" if field == "stage" else "")


class CustomRole:
    """One custom role of a project."""

    def __init__(self, client: GoogleClient, *, project: str | None, name: str) -> None:
        """:raises InputError: the names cannot be right."""
        _check_names(project, name)
        self._client = client
        self._parent = f"projects/{project}"
        self._id = name
        self.full_name = f"{self._parent}/roles/{name}"

    def present(self, wanted: t.Mapping[str, t.Any], *, check: bool) -> tuple[Role, Role]:
        """Make it as wanted, see :func:`wanted_role`. One that was deleted is brought back. Returns before and after.

        :raises TransferError: it is not so. The message says what was refused.
        """

        def plan(role: Role) -> Role:
            if role is None:
                return {"name": self.full_name, "title": self._id, **wanted}
            if not role.get("deleted") and not differing(role, {**role, **wanted}):
                return role
            return {**{key: value for key, value in role.items() if key != "deleted"}, **wanted}

        return converge(self._client.control, read=self._read, plan=plan, write=self._make, check=check)

    def absent(self, *, check: bool) -> tuple[Role, Role]:
        """Delete it. Google keeps it for seven days, in which it can be brought back. Returns before and after.

        :raises TransferError: it is not deleted.
        """

        def plan(role: Role) -> Role:
            return role if role is None else {**role, "deleted": True}

        def delete(before: Role, after: Role) -> Role:
            return {**(after or {}), **self._call("delete", "DELETE", query=_etag(before))}

        return converge(self._client.control, read=self._read, plan=plan, write=delete, check=check)

    def _read(self) -> Role:
        try:
            with explained(permission="iam.roles.get"):
                return self._client.call("iam", "GET", f"/v1/{self.full_name}", what=f"read the role {self.full_name}")
        except NotFoundError:
            return None

    def _make(self, before: Role, after: Role) -> Role:
        wanted = {key: value for key, value in (after or {}).items() if key in _FIELDS}
        if before is None:
            return self._call(
                "create", "POST", path=f"/v1/{self._parent}/roles", body={"roleId": self._id, "role": wanted}
            )
        note = ""
        if before.get("deleted"):
            self._call("undelete", "POST", path=f"/v1/{self.full_name}:undelete", body=_etag(before))
            before = self._read() or before
            note = ", which was deleted and is brought back"
        mask = differing(before, {**before, **wanted})
        if not mask:
            return before
        body = {key: wanted[key] for key in mask} | _etag(before)
        return self._call("update", "PATCH", note=note, query={"updateMask": ",".join(mask)}, body=body)

    def _call(self, verb: str, method: str, *, path: str = "", note: str = "", **request: t.Any) -> dict[str, t.Any]:
        refused = "Check that each permission exists and is supported in custom roles of projects."
        if verb == "create":
            refused += " The id of a deleted role is free again 37 days after its deletion."
        with explained(permission=f"iam.roles.{verb}", refused=refused):
            return self._client.call(
                "iam",
                method,
                path or f"/v1/{self.full_name}",
                what=f"{verb} the role {self.full_name}{note}",
                once=True,
                **request,
            )


def _etag(role: Role) -> dict[str, str]:
    return {"etag": role["etag"]} if role and role.get("etag") else {}
