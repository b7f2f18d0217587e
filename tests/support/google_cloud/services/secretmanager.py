# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secret Manager v1, global secrets. https://cloud.google.com/secret-manager/docs/reference/rest

Facts: `latest` is the version that was added last, whatever its state; an etag that is not the current one is a 400
FAILED_PRECONDITION (https://cloud.google.com/secret-manager/docs/etags); names in answers have the project's number.
"""

from __future__ import annotations

import base64
import copy
import datetime
import re
from typing import TYPE_CHECKING, Any

import google_crc32c

from ..discovery import decode
from ..errors import ApiError, exists, invalid, not_found, precondition
from ..state import check_labels, masked, now
from . import carries_out

if TYPE_CHECKING:
    from ..state import Call, Resource

_API = "secretmanager.projects.secrets"
_MOST_BYTES = 64 * 1024
_ANNOTATION_KEY = re.compile(r"[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?")
_ALIAS = re.compile(r"[A-Za-z][\w-]{0,62}")
_KMS_KEY = re.compile(r"projects/[^/]+/locations/([^/]+)/keyRings/[^/]+/cryptoKeys/[^/]+")


@carries_out(f"{_API}.create")
def create(call: Call) -> Resource:
    project, secret_id = call.project(), call.query.get("secretId", "")
    if not re.fullmatch(r"[\w-]{1,255}", secret_id, re.ASCII):
        raise invalid("The provided Secret ID does not match the expected format [[a-zA-Z_0-9]+].", "secret_id")
    path = f"{call.path}/{secret_id}"
    name = f"projects/{call.state.projects[project]}/secrets/{secret_id}"
    if call.state.find(path):
        raise exists(f"Secret [{name}] already exists.")
    _check(call.body)
    secret = {**call.body, "name": name, "createTime": now(), "etag": _etag(call)}
    return call.state.put(path, _stored(secret))


@carries_out(f"{_API}.get")
def get(call: Call) -> Resource:
    return _secret(call, call.path)


@carries_out(f"{_API}.list")
def list_(call: Call) -> Resource:
    call.project()
    secrets = [secret for _path, secret in call.state.children(call.path) if _passes(call, secret)]
    return call.page(secrets, "secrets", 25000) | {"totalSize": len(secrets)}


@carries_out(f"{_API}.patch")
def patch(call: Call) -> Resource:
    current, mask = _secret(call, call.path), call.query.get("updateMask", "")
    if not mask:
        raise invalid("The update mask must be provided and have at least one path.", "update_mask")
    _check_etag(call.body.get("etag"), current)
    changed = masked(current, call.body, mask, call.schemas["Secret"]["properties"])
    if _places(changed) != _places(current):
        raise invalid("The replication of a secret is immutable.", "secret.replication")
    _check(changed)
    fixed: Resource = {name: current[name] for name in ("name", "createTime") if name in current}
    return call.state.put(call.path, _stored({**changed, **fixed, "etag": _etag(call)}))


@carries_out(f"{_API}.delete")
def delete(call: Call) -> Resource:
    _check_etag(call.query.get("etag"), _secret(call, call.path))
    call.state.remove(call.path)
    return {}


@carries_out(f"{_API}.addVersion")
def add_version(call: Call) -> Resource:
    secret, payload = _secret(call, call.parent), call.body.get("payload") or {}
    data = decode(payload.get("data", "")) or b""
    if not data:
        raise invalid("Secret Payload cannot be empty.", "payload")
    if len(data) > _MOST_BYTES:
        raise invalid(f"The size of the secret payload must be at most {_MOST_BYTES} bytes.", "payload.data")
    checksum = payload.get("dataCrc32c")
    if checksum is not None and int(checksum) != google_crc32c.value(data):
        raise invalid("The provided data_crc32c does not match the payload.", "payload.data_crc32c")
    number = 1 + max((_number(path) for path, _version in call.state.children(f"{call.parent}/versions")), default=0)
    path = f"{call.parent}/versions/{number}"
    call.state.contents[call.state.canonical(path)] = data
    version: Resource = {
        "name": f"{secret['name']}/versions/{number}",
        "createTime": now(),
        "state": "ENABLED",
        "replicationStatus": _replication_status(secret),
        "etag": _etag(call),
    }
    if checksum is not None:
        version["clientSpecifiedPayloadChecksum"] = True
    return call.state.put(path, version)


@carries_out(f"{_API}.versions.get")
def get_version(call: Call) -> Resource:
    return _version(call, call.path)[1]


@carries_out(f"{_API}.versions.list")
def list_versions(call: Call) -> Resource:
    _secret(call, call.parent)
    versions = [version for _path, version in call.state.children(call.path) if _passes(call, version)]
    versions.reverse()  # the newest first
    return call.page(versions, "versions", 25000) | {"totalSize": len(versions)}


@carries_out(f"{_API}.versions.access")
def access(call: Call) -> Resource:
    path, version = _version(call, call.parent)
    if version["state"] != "ENABLED":
        raise precondition(f"Secret Version [{version['name']}] is in {version['state']} state.")
    data = call.state.contents[call.state.canonical(path)]
    checksum = str(google_crc32c.value(data))
    return {"name": version["name"], "payload": {"data": base64.b64encode(data).decode(), "dataCrc32c": checksum}}


@carries_out(f"{_API}.versions.enable", f"{_API}.versions.disable", f"{_API}.versions.destroy")
def change_state(call: Call) -> Resource:
    if not call.parent.rpartition("/")[2].isdecimal():
        raise invalid("Only a version's number can be given here.", "name")
    path, version = _version(call, call.parent)
    _check_etag(call.body.get("etag"), version)
    state = {"enable": "ENABLED", "disable": "DISABLED", "destroy": "DESTROYED"}[call.id.rpartition(".")[2]]
    if version["state"] == "DESTROYED":
        raise precondition("SecretVersion.state is already DESTROYED.")
    changed = {**version, "state": state, "etag": _etag(call)}
    delay = _secret(call, call.parent.rpartition("/versions/")[0]).get("versionDestroyTtl")
    if state == "DESTROYED" and delay:
        changed |= {"state": "DISABLED", "scheduledDestroyTime": _after(delay)}
    elif state == "DESTROYED":
        changed["destroyTime"] = now()
        del call.state.contents[call.state.canonical(path)]
    return call.state.put(path, changed)


def _secret(call: Call, path: str) -> Resource:
    project = call.project()
    secret_id = path.rpartition("/")[2]
    return call.state.get(path, f"Secret [projects/{call.state.projects[project]}/secrets/{secret_id}] not found.")


def _version(call: Call, path: str) -> tuple[str, Resource]:
    """Path and content of the version that a number, an alias or ``latest`` names."""
    parent, _slash, wanted = path.rpartition("/")
    owner = parent.rpartition("/")[0]
    secret = call.state.find(owner)
    number = call.state.projects[call.project()]
    name = f"projects/{number}/secrets/{owner.rpartition('/')[2]}"
    versions = {_number(path): path for path, _version in call.state.children(parent)}
    if secret is None or (wanted == "latest" and not versions):
        raise not_found(f"Secret [{name}] not found or has no versions.")
    if wanted == "latest":
        wanted = str(max(versions))
    wanted = str(secret.get("versionAliases", {}).get(wanted, wanted))
    if not wanted.isdecimal() or int(wanted) not in versions:
        raise not_found(f"Secret Version [{name}/versions/{wanted}] not found.")
    found = versions[int(wanted)]
    return found, call.state.get(found)


def _number(path: str) -> int:
    return int(path.rpartition("/")[2])


def _etag(call: Call) -> str:
    return f'"{call.state.number():014x}"'


def _check_etag(given: str | None, current: Resource) -> None:
    if given and given != current.get("etag"):
        raise precondition("The etag in the request does not match the current one of the resource.")


def _stored(secret: Resource) -> Resource:
    """With what is computed of a secret's fields."""
    lifetime = secret.pop("ttl", None)
    if lifetime:
        secret["expireTime"] = _after(lifetime)
    return secret


def _after(duration: str) -> str:
    """The time that is so long (``3600s``) from now."""
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=float(duration[:-1]))
    return end.isoformat().replace("+00:00", "Z")


def _passes(call: Call, resource: Resource) -> bool:
    """Whether ``filter`` lets a resource through: of Google's language only one term for ``state`` or ``name``."""
    wanted = call.query.get("filter")
    if not wanted:
        return True
    term = re.fullmatch(r'(state|name)\s*[:=]\s*"?([\w./-]+)"?', wanted, re.IGNORECASE)
    if not term:
        raise ApiError(501, f"The stand-in does not know the filter {wanted!r}.")
    value = str(resource.get(term[1].lower(), ""))
    return value == term[2].upper() if term[1].lower() == "state" else term[2] in value


def _check(secret: Resource) -> None:
    """:raises ApiError: a field has no valid content."""
    labels, annotations = secret.get("labels") or {}, secret.get("annotations") or {}
    check_labels(labels, "secret.labels")
    for key in annotations:
        if not _ANNOTATION_KEY.fullmatch(key):
            raise invalid(f"Invalid annotation key '{key}'.", "secret.annotations")
    if sum(len(text.encode()) for item in annotations.items() for text in item) > 16 * 1024:
        raise invalid("The annotations are larger than 16KiB.", "secret.annotations")
    for alias in secret.get("versionAliases") or {}:
        if not _ALIAS.fullmatch(alias) or alias in ("latest", "NEW"):
            raise invalid(f"Invalid version alias '{alias}'.", "secret.version_aliases")
    _check_replication(secret.get("replication") or {})


def _check_replication(replication: dict[str, Any]) -> None:
    if len(replication) != 1:
        raise invalid("The replication must be either automatic or user-managed.", "secret.replication")
    if "automatic" in replication:
        _check_key(replication["automatic"] or {}, "global")
        return
    replicas = replication["userManaged"].get("replicas") or []
    locations = [replica.get("location", "") for replica in replicas]
    if not all(re.fullmatch(r"[a-z]+-[a-z]+\d+", location) for location in locations) or not locations:
        raise invalid("Each replica needs a location.", "secret.replication.user_managed.replicas")
    if len(set(locations)) < len(locations):
        raise invalid("A location can be given once.", "secret.replication.user_managed.replicas")
    for replica in replicas:
        _check_key(replica, replica["location"])
    if len({"customerManagedEncryption" in replica for replica in replicas}) > 1:
        raise invalid("Either all replicas have a key or none.", "secret.replication.user_managed.replicas")


def _check_key(holder: dict[str, Any], location: str) -> None:
    """A key for encryption has to lie where the data is."""
    if "customerManagedEncryption" not in holder:
        return
    found = _KMS_KEY.fullmatch(holder["customerManagedEncryption"].get("kmsKeyName", ""))
    if not found or found[1] != location:
        raise invalid(f"The key must be a key in {location}.", "customer_managed_encryption.kms_key_name")


def _places(secret: Resource) -> Any:
    """The replication without its keys, which may change."""
    replication = copy.deepcopy(secret.get("replication") or {})
    for holder in (replication.get("automatic") or {}, *(replication.get("userManaged") or {}).get("replicas", ())):
        holder.pop("customerManagedEncryption", None)
    return replication


def _replication_status(secret: Resource) -> dict[str, Any]:
    def status(holder: dict[str, Any]) -> dict[str, Any]:
        key = holder.get("customerManagedEncryption", {}).get("kmsKeyName")
        return {"customerManagedEncryption": {"kmsKeyVersionName": f"{key}/cryptoKeyVersions/1"}} if key else {}

    replication = secret["replication"]
    if "automatic" in replication:
        return {"automatic": status(replication["automatic"] or {})}
    replicas = replication["userManaged"]["replicas"]
    return {"userManaged": {"replicas": [{"location": one["location"], **status(one)} for one in replicas]}}
