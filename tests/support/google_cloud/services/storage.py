# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cloud Storage v1: buckets and their policies; objects only as far as they keep a bucket from being deleted.

https://cloud.google.com/storage/docs/json_api/v1
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .. import policies
from ..errors import ApiError, invalid
from ..state import check_labels, now, present
from . import carries_out

if TYPE_CHECKING:
    from ..state import Call, Resource

_BUCKETS = "storage.buckets"


@carries_out(f"{_BUCKETS}.insert")
def insert(call: Call) -> Resource:
    name, project = call.body.get("name", ""), call.query["project"]
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]", name):
        raise invalid(f"Invalid bucket name: '{name}'")
    number = call.state.projects.get(project, project if project in call.state.projects.values() else None)
    if number is None:
        raise ApiError(404, f"The requested project was not found: {project}.")
    path = f"{call.path}/{name}"
    found = call.state.find(path)
    if found and _is_foreign(call, found):
        raise ApiError(
            409,
            "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please "
            "select a different name and try again.",
        )
    if found:
        raise ApiError(409, "Your previous request to create the named bucket succeeded and you already own it.")
    _check(call.body)
    location = call.body.get("location", "US").upper()
    bucket = {
        "kind": "storage#bucket",
        "id": name,
        "selfLink": f"https://www.googleapis.com/storage/v1/b/{name}",
        "projectNumber": number,
        "timeCreated": now(),
        "storageClass": "STANDARD",
        "rpo": "DEFAULT",
        "softDeletePolicy": {"retentionDurationSeconds": "604800", "effectiveTime": now()},
        **present(call.body),
        "location": location,
        "locationType": "region" if re.search(r"\d$", location) else "multi-region",
    }
    call.state.put(path, _touched(bucket, 1))
    project_id = {number: project for project, number in call.state.projects.items()}[number]
    call.state.set_policy(path, {"bindings": _first_bindings(project_id)})
    return call.state.get(path)


@carries_out(f"{_BUCKETS}.get")
def get(call: Call) -> Resource:
    return _bucket(call, call.path)


@carries_out(f"{_BUCKETS}.list")
def list_(call: Call) -> Resource:
    number = call.state.projects.get(call.query["project"], call.query["project"])
    prefix = call.query.get("prefix", "")
    buckets = [
        bucket
        for _path, bucket in call.state.children(call.path)
        if bucket.get("projectNumber") == number and bucket["name"].startswith(prefix)
    ]
    return {"kind": "storage#buckets", **call.page(buckets, "items")}


@carries_out(f"{_BUCKETS}.patch", f"{_BUCKETS}.update")
def patch(call: Call) -> Resource:
    """A patch merges, and null removes a field; an update replaces what can be set."""
    bucket = _bucket(call, call.path)
    _check_metageneration(call, bucket)
    if call.id.endswith(".update"):
        fixed = ("kind", "id", "selfLink", "projectNumber", "timeCreated", "name", "location", "locationType")
        changed = present(call.body) | {name: bucket[name] for name in fixed if name in bucket}
    else:
        changed = _merged(bucket, call.body)
    _check(changed)
    for name in ("location", "hierarchicalNamespace"):
        if str(changed.get(name, "")).lower() != str(bucket.get(name, "")).lower():
            raise invalid(f"The {name} of a bucket cannot be changed.")
    changed["location"] = bucket.get("location", "US")
    return call.state.put(call.path, _touched(changed, int(bucket.get("metageneration", 1)) + 1))


@carries_out(f"{_BUCKETS}.delete")
def delete(call: Call) -> None:
    _check_metageneration(call, _bucket(call, call.path))
    if any(call.state.children(f"{call.path}/o")):
        raise ApiError(409, "The bucket you tried to delete is not empty.")
    call.state.remove(call.path)


@carries_out("storage.objects.list")
def list_objects(call: Call) -> Resource:
    """Those that tests put: nothing else makes objects here."""
    _bucket(call, call.path.removesuffix("/o"))
    objects = [found for _path, found in call.state.children(call.path)]
    return {"kind": "storage#objects", **call.page(objects, "items")}


@carries_out("storage.objects.delete")
def delete_object(call: Call) -> None:
    call.state.get(call.path, "No such object.")
    call.state.remove(call.path)


@carries_out(f"{_BUCKETS}.getIamPolicy")
def get_policy(call: Call) -> Resource:
    path = call.path.removesuffix("/iam")
    _bucket(call, path)
    version = int(call.query.get("optionsRequestedPolicyVersion", 1))
    if version < 3 and policies.has_conditions(call.state.policy(path)):
        raise invalid("The policy has conditions: optionsRequestedPolicyVersion must be 3.")
    return _policy(path, policies.read(call, path, version))


@carries_out(f"{_BUCKETS}.setIamPolicy")
def set_policy(call: Call) -> Resource:
    path = call.path.removesuffix("/iam")
    bucket = _bucket(call, path)
    uniform = bucket.get("iamConfiguration", {}).get("uniformBucketLevelAccess", {}).get("enabled")
    if policies.has_conditions(call.body) and not uniform:
        raise invalid("Uniform bucket-level access must be enabled for conditions.")
    try:
        return _policy(path, policies.write(call, path, call.body))
    except ApiError as error:
        raise policies.conflict_of_storage(error) from None


@carries_out(f"{_BUCKETS}.testIamPermissions")
def test_permissions(call: Call) -> Resource:
    _bucket(call, call.path.removesuffix("/iam/testPermissions"))
    held = [name for name in call.queries["permissions"] if name not in call.state.denied]
    return {"kind": "storage#testIamPermissionsResponse", **({"permissions": held} if held else {})}


def _bucket(call: Call, path: str) -> Resource:
    bucket = call.state.get(path, "The specified bucket does not exist.")
    if _is_foreign(call, bucket):
        raise ApiError(
            403,
            "The caller does not have storage.buckets.get access to the Google Cloud Storage bucket. Permission "
            "'storage.buckets.get' denied on resource (or it may not exist).",
        )
    return bucket


def _is_foreign(call: Call, bucket: Resource) -> bool:
    """Whether it belongs to a project that is not known here."""
    return bucket.get("projectNumber", "") not in ("", *call.state.projects.values())


def _policy(path: str, policy: Resource) -> Resource:
    return {"kind": "storage#policy", "resourceId": f"projects/_/buckets/{path.rpartition('/')[2]}", **policy}


def _first_bindings(project: str) -> list[dict[str, Any]]:
    """What a bucket gives to those who work in its project."""
    return [
        {
            "role": "roles/storage.legacyBucketOwner",
            "members": [f"projectEditor:{project}", f"projectOwner:{project}"],
        },
        {"role": "roles/storage.legacyBucketReader", "members": [f"projectViewer:{project}"]},
    ]


def _check(bucket: Resource) -> None:
    """:raises ApiError: a field has no valid content."""
    check_labels(bucket.get("labels") or {}, "labels")
    access = bucket.get("iamConfiguration") or {}
    if access.get("publicAccessPrevention", "inherited") not in ("inherited", "enforced", "unspecified"):
        raise invalid("Invalid argument: publicAccessPrevention.")
    uniform = (access.get("uniformBucketLevelAccess") or {}).get("enabled")
    if (bucket.get("hierarchicalNamespace") or {}).get("enabled") and not uniform:
        raise invalid("Hierarchical namespace requires uniform bucket-level access to be enabled.")


def _touched(bucket: Resource, metageneration: int) -> Resource:
    """A bucket as it is after a change."""
    access = bucket.get("iamConfiguration") or {}
    uniform = {"enabled": False} | (access.get("uniformBucketLevelAccess") or access.get("bucketPolicyOnly") or {})
    return {
        **bucket,
        "iamConfiguration": {
            "publicAccessPrevention": access.get("publicAccessPrevention", "inherited"),
            "uniformBucketLevelAccess": uniform,
            "bucketPolicyOnly": dict(uniform),
        },
        "metageneration": str(metageneration),
        "updated": now(),
        "etag": f"CA{metageneration}=",
    }


def _check_metageneration(call: Call, bucket: Resource) -> None:
    wanted, refused = call.query.get("ifMetagenerationMatch"), call.query.get("ifMetagenerationNotMatch")
    current = bucket.get("metageneration", "1")
    if wanted not in (None, current) or refused == current:
        raise ApiError(412, "At least one of the pre-conditions you specified did not hold.")


def _merged(current: Resource, patch: Resource) -> Resource:
    """JSON merge patch. https://cloud.google.com/storage/docs/json_api#patch"""
    merged = dict(current)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict):
            merged[name] = _merged(merged.get(name) or {}, value)
        else:
            merged[name] = value
    return merged
