# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A token in Google Secret Manager: one secret, its newest version, and what becomes of the older ones.

Who mounts or reads ``versions/latest`` gets the newest version and nothing where that one is not enabled, whatever older
versions hold (https://cloud.google.com/secret-manager/docs/reference/rest/v1/projects.secrets.versions/access). So the
token is in place only where the newest version is enabled and holds exactly these bytes.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import random
import re
import typing as t
import unicodedata

from ansible_collections.modelops.serving.plugins.module_utils._gcp.client import GoogleClient, RateLimitError
from ansible_collections.modelops.serving.plugins.module_utils._token_secret.store import (
    KEPT,
    REPLACED,
    Data,
    Outcome,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    AccessError,
    ConflictError,
    InputError,
    IntegrityError,
    NotFoundError,
    StoreError,
    TransferError,
    TransientError,
)

ENABLED, DISABLED, DESTROYED = "ENABLED", "DISABLED", "DESTROYED"
#: DISABLED to the API: the secret has a versionDestroyTtl, and the version is destroyed when that is over.
DESTROY_SCHEDULED = "DESTROY_SCHEDULED"
#: Stands for the place of a secret that is replicated automatically.
AUTOMATIC = "automatic"

# Somebody else writes to the secret, or an answer was lost: how often all is read again.
_TRIES = 4
_PAGE = "1000"
_NEW = "(new)"

_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:-]*")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
_KMS_KEY = re.compile(r"projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+")
_ANNOTATION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
# Ll are lowercase letters, Lo those of scripts without case.
_LETTERS = ("Ll", "Lo")


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What a secret is to be like.

    ``labels`` and ``annotations`` are the whole of them, None leaves alone what is there. Without ``locations`` a new
    secret is replicated automatically and one that is there stays as it is. ``kms_key`` None is Google's own key for a new
    secret. ``keep_versions`` enabled versions are kept, and ``old_versions``, ``disable`` or ``destroy``, says what becomes
    of the others; None leaves all of them alone.

    :raises InputError: Secret Manager would refuse it.
    """

    labels: t.Mapping[str, str] | None = None
    annotations: t.Mapping[str, str] | None = None
    locations: tuple[str, ...] = ()
    kms_key: str | None = None
    keep_versions: int | None = None
    old_versions: str = "disable"

    def __post_init__(self) -> None:
        _check_labels(self.labels or {})
        _check_annotations(self.annotations or {})
        if self.kms_key is not None and not _KMS_KEY.fullmatch(self.kms_key):
            raise InputError(
                f"{self.kms_key!r} is not the name of a key of Cloud KMS.",
                hint="It is projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY, without a version.",
            )
        if self.keep_versions is not None and self.keep_versions < 1:
            raise InputError("keep_versions must be at least 1: the version with the token is never removed.")


@dataclasses.dataclass(frozen=True)
class Version:
    """A version of a secret without its value."""

    id: str
    state: str


@dataclasses.dataclass(frozen=True)
class Found:
    """What is there: the secret as the API gives it, None without one, its versions, the newest first, and whether
    ``latest`` gives the token."""

    secret: Data | None = None
    versions: tuple[Version, ...] = ()
    holds: bool = False

    @property
    def current(self) -> Version | None:
        """The newest version that can be read by its id."""
        return next((version for version in self.versions if version.state == ENABLED), None)

    @property
    def unusable(self) -> Version | None:
        """The newest version, where it gives nothing to those who read ``latest``."""
        return self.versions[0] if self.versions and self.versions[0].state != ENABLED else None


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be done, in this order.

    ``create`` is the body of a new secret, ``patch`` the fields to set on one that is there, ``add`` says that a version
    is added, and ``retire`` names the older versions that are to be disabled or destroyed and their states afterwards.
    """

    create: Data | None
    patch: Data
    add: bool
    retire: t.Mapping[str, str]
    warnings: tuple[str, ...]


def make_plan(found: Found, wanted: Wanted, name: str) -> Plan:
    """How to come from what is found to what is wanted.

    :param name: of the secret, for messages.
    :raises InputError: that cannot be, or not any more.
    """
    have = replicas(found.secret) if found.secret else None
    places = tuple(have) if have else wanted.locations or (AUTOMATIC,)
    if have and wanted.locations and set(wanted.locations) != set(places):
        raise InputError(
            f"The secret {name} {_where(places)}, not in {_listed(wanted.locations)}, and that cannot be changed.",
            hint="Ask for what it has, use another name, or remove it with all its versions first.",
        )
    keys: t.Mapping[str, str | None] = have or dict.fromkeys(places)
    if wanted.kms_key:
        _check_key(wanted.kms_key, places, name)
        keys = dict.fromkeys(places, wanted.kms_key)
    fields: Data = {
        key: dict(value)
        for key, value in (("labels", wanted.labels), ("annotations", wanted.annotations))
        if value is not None
    }
    patch: Data = {}
    if found.secret is not None:
        patch = {key: value for key, value in fields.items() if value != found.secret.get(key, {})}
        if keys != have:
            patch["replication"] = _replication(keys)
    add = not found.holds
    warnings = []
    if "replication" in patch and not add:
        warnings.append(
            f"The versions of the secret {name} stay encrypted with the keys they were added with. The new key counts for "
            "the next one."
        )
    if found.unusable:
        warnings.append(
            f"Version {found.unusable.id} of the secret {name}, its newest, was {found.unusable.state}, so readers of "
            "the latest version got nothing. A new version takes its place."
        )
    return Plan(
        create={"replication": _replication(keys), **fields} if found.secret is None else None,
        patch=patch,
        add=add,
        retire=_retire(found, wanted, add=add),
        warnings=tuple(warnings),
    )


def _retire(found: Found, wanted: Wanted, *, add: bool) -> dict[str, str]:
    if wanted.keep_versions is None:
        return {}
    enabled = [version.id for version in found.versions if version.state == ENABLED]
    old = enabled[wanted.keep_versions - add :]
    if wanted.old_versions == "disable":
        return dict.fromkeys(old, DISABLED)
    old += [version.id for version in found.versions if version.state == DISABLED]
    delayed = bool(found.secret and found.secret.get("versionDestroyTtl"))
    return dict.fromkeys(old, DESTROY_SCHEDULED if delayed else DESTROYED)


def describe(found: Found, name: str) -> Data | None:
    """The secret without its value, for ``before`` and ``after``. Versions that were destroyed long ago are left out."""
    if found.secret is None:
        return None
    return {
        "name": name,
        "labels": found.secret.get("labels", {}),
        "annotations": found.secret.get("annotations", {}),
        "replication": {place: key or "Google-managed key" for place, key in replicas(found.secret).items()},
        "versions": {version.id: version.state for version in found.versions if version.state != DESTROYED},
        "token": KEPT if found.versions and not found.unusable else None,
    }


def described_after(found: Found, plan: Plan, name: str, new: str | None) -> Data:
    """What :func:`describe` gives once the plan is carried out, with the versions that it destroys.

    :param new: id of the version that was added, None for one that would be.
    """
    secret = plan.create or {**(found.secret or {}), **plan.patch}
    versions = (Version(new or _NEW, ENABLED),) * plan.add + found.versions
    after: Data = describe(Found(secret, versions, holds=True), name) or {}
    after["versions"].update(plan.retire)
    return after


def replicas(secret: Data) -> dict[str, str | None]:
    """Where a secret is -> the key that it is encrypted with there, None for Google's own."""
    replication = secret.get("replication", {})
    places = {place["location"]: place for place in replication.get("userManaged", {}).get("replicas", [])}
    return {
        place: settings.get("customerManagedEncryption", {}).get("kmsKeyName")
        for place, settings in (places or {AUTOMATIC: replication.get("automatic", {})}).items()
    }


def _replication(keys: t.Mapping[str, str | None]) -> Data:
    settings: dict[str, Data] = {
        place: {"customerManagedEncryption": {"kmsKeyName": key}} if key else {} for place, key in keys.items()
    }
    if AUTOMATIC in settings:
        return {"automatic": settings[AUTOMATIC]}
    return {"userManaged": {"replicas": [{"location": place, **more} for place, more in settings.items()]}}


def _where(places: t.Collection[str]) -> str:
    return "is replicated automatically" if AUTOMATIC in places else f"is in {_listed(places)}"


def _listed(places: t.Collection[str]) -> str:
    return ", ".join(sorted(places))


def _check_key(key: str, places: tuple[str, ...], name: str) -> None:
    """The rule of the API: a key is where its replica is, and in ``global`` for automatic replication."""
    if len(places) > 1:
        raise InputError(
            f"One kms_key cannot serve the secret {name}, which {_where(places)}: a key must be where its replica is.",
            hint="Use one location, or automatic replication with a key in the location global.",
        )
    found = key.split("/")[3]
    needed = "global" if places[0] == AUTOMATIC else places[0]
    if found != needed:
        raise InputError(
            f"The kms_key {key} is in {found}, but the secret {name} {_where(places)} and needs one in {needed}.",
            hint=f"Use a key in {needed}, or a secret with the location {found}.",
        )


def _check_labels(labels: t.Mapping[str, str]) -> None:
    """https://cloud.google.com/resource-manager/docs/labels-overview#requirements"""
    if len(labels) > 64:
        raise InputError(f"{len(labels)} labels are too many.", hint="Secret Manager takes at most 64.")
    for key, value in labels.items():
        good = 1 <= len(key) <= 63 and len(value) <= 63 and unicodedata.category(key[0]) in _LETTERS
        if not good or not all(_in_label(character) for character in key + value):
            raise InputError(
                f"The label {key!r}: {value!r} is not one that Google Cloud takes.",
                hint="Keys begin with a lowercase letter. Keys and values hold at most 63 lowercase letters, digits, "
                "underscores and dashes.",
            )


def _in_label(character: str) -> bool:
    return character in "_-" or unicodedata.category(character) in _LETTERS or unicodedata.category(character)[0] == "N"


def _check_annotations(annotations: t.Mapping[str, str]) -> None:
    for key in annotations:
        if not _ANNOTATION.fullmatch(key):
            raise InputError(
                f"The key {key!r} is not one for an annotation of Secret Manager.",
                hint="It has at most 63 letters, digits, dashes, underscores and dots, and begins and ends with a letter "
                "or digit.",
            )
    if sum(len(f"{key}{value}".encode()) for key, value in annotations.items()) >= 16 * 1024:
        raise InputError("The annotations are too large.", hint="Secret Manager takes less than 16 KiB of them.")


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli), bit by bit: tokens are short, and this needs no package."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _bit in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


class GcpSecretManager:
    """A secret of a project that holds a token. Implements ``Store``.

    Permissions: secretmanager.secrets.get, .create and .update, secretmanager.versions.list, .access and .add, with
    ``keep_versions`` secretmanager.versions.disable or .destroy, and to remove it secretmanager.secrets.delete.

    The parameters that :class:`Wanted` has are described there.

    :raises InputError: project, name or any other parameter is not what Secret Manager takes.
    """

    def __init__(
        self,
        client: GoogleClient,
        *,
        project: str,
        name: str,
        labels: t.Mapping[str, str] | None = None,
        annotations: t.Mapping[str, str] | None = None,
        locations: t.Sequence[str] = (),
        kms_key: str | None = None,
        keep_versions: int | None = None,
        old_versions: str = "disable",
    ) -> None:
        if not _PROJECT.fullmatch(project):
            raise InputError(
                f"{project!r} is not the id of a project of Google Cloud.", hint="Set project, such as my-project."
            )
        if not _NAME.fullmatch(name):
            raise InputError(
                f"{name!r} is not a name for a secret of Secret Manager.",
                hint="It has at most 255 letters, digits, dashes and underscores. The project is an option of its own.",
            )
        self._client = client
        self._parent = f"projects/{project}"
        self._id = name
        self._name = f"{self._parent}/secrets/{name}"
        places = tuple(dict.fromkeys(locations))
        self._wanted = Wanted(labels, annotations, places, kms_key, keep_versions, old_versions)

    def present(self, token: str, *, check: bool) -> Outcome:
        """Make the newest version hold the token, then see to the older ones.

        The new version comes first, so whatever fails leaves a secret that works, and another run does the rest.

        :raises TransferError: its hint says what was done before it.
        """
        value = token.encode()
        found = first = self._read(value)
        plan = first_plan = make_plan(found, self._wanted, self._name)
        version = found.versions[0].id if found.holds else None
        if not check:
            done: list[str] = []
            with _telling(done):
                found, plan, version = self._settle(value, found, plan, done)
                self._retire(plan.retire)
        added = first_plan.add or plan.add
        before, after = describe(first, self._name), described_after(found, plan, self._name, version)
        if added and before and before["token"]:
            after["token"] = REPLACED
        return Outcome(
            name=self._name,
            before=before,
            after=after,
            version=version,
            previous_version=first.current.id if first.current and added else None,
            reference=f"{self._name}/versions/{version}" if version else None,
            warnings=first_plan.warnings,
        )

    def absent(self, *, destroy: bool, check: bool) -> Outcome:
        """Delete the secret with all its versions.

        :raises InputError: it is there, and ``destroy`` is false.
        """
        found = self._read(None)
        if found.secret is not None and not destroy:
            enabled = sum(version.state == ENABLED for version in found.versions)
            raise InputError(
                f"The secret {self._name} is there. To remove it would destroy its versions for good: "
                f"{len(found.versions)} in all, {enabled} enabled.",
                hint="Set destroy to true if that is wanted.",
            )
        if found.secret is not None and not check:
            # Without it already: an answer was lost, or somebody was faster.
            with contextlib.suppress(NotFoundError):
                self._call("DELETE", self._name, f"delete the secret {self._name}")
        return Outcome(name=self._name, before=describe(found, self._name), after=None)

    def _read(self, value: bytes | None) -> Found:
        try:
            secret = self._call("GET", self._name, f"read the secret {self._name}")
        except NotFoundError:
            return Found()
        versions = self._versions()
        holds = bool(value is not None and versions and versions[0].state == ENABLED) and (
            self._access(versions[0].id) == value
        )
        return Found(secret, versions, holds)

    def _versions(self) -> tuple[Version, ...]:
        versions: list[Version] = []
        query = {"pageSize": _PAGE}
        while True:
            path = f"{self._name}/versions"
            answer = self._call("GET", path, f"list the versions of the secret {self._name}", query=query)
            versions += [_version(item) for item in answer.get("versions", [])]
            if not answer.get("nextPageToken"):
                return tuple(sorted(versions, key=lambda version: int(version.id), reverse=True))
            query["pageToken"] = answer["nextPageToken"]

    def _access(self, version: str) -> bytes:
        what = f"version {version} of the secret {self._name}"
        try:
            payload = self._call("GET", f"{self._name}/versions/{version}:access", f"read {what}").get("payload", {})
        except AccessError as error:
            if "secretmanager.versions.access" in error.message:
                error.hint = (
                    "To see whether the token is another one, the account needs the permission "
                    "secretmanager.versions.access, which roles/secretmanager.secretVersionManager and "
                    "roles/secretmanager.secretVersionAdder lack. Give it roles/secretmanager.secretAccessor on the "
                    "secret as well, or roles/secretmanager.admin."
                )
            raise
        value = base64.b64decode(payload.get("data", ""))
        checksum = payload.get("dataCrc32c")
        if checksum is not None and int(checksum) != crc32c(value):
            raise IntegrityError(f"The answer with {what} was damaged on its way.", hint="Try again.")
        return value

    def _settle(self, value: bytes, found: Found, plan: Plan, done: list[str]) -> tuple[Found, Plan, str]:
        """Bring secret and token in place.

        :param done: is told what was done.
        :returns: what was found at last, the plan for that, and the id of the version with the token.
        """
        tries = 0
        while True:
            try:
                self._prepare(plan, found, done)
                if found.holds:
                    return found, plan, found.versions[0].id
                added = self._add(value)
                done.append(f"version {added} was added, and holds the token")
                return found, plan, added
            except (ConflictError, UnclearError):
                # Somebody was faster, or an answer was lost: only what is there now says what is left to do.
                tries += 1
                if tries == _TRIES:
                    raise
                self._client.control.sleep(random.uniform(0, 2**tries / 4))  # noqa: S311 - jitter, not cryptography
                found = self._read(value)
                plan = make_plan(found, self._wanted, self._name)

    def _prepare(self, plan: Plan, found: Found, done: list[str]) -> None:
        if plan.create is not None:
            path, what = f"{self._parent}/secrets", f"create the secret {self._name}"
            self._call("POST", path, what, query={"secretId": self._id}, body=plan.create)
            done.append("the secret was created")
        elif plan.patch:
            what = f"change {', '.join(plan.patch)} of the secret {self._name}"
            body = {**plan.patch, "etag": (found.secret or {}).get("etag")}
            try:
                self._call("PATCH", self._name, what, query={"updateMask": ",".join(plan.patch)}, body=body)
            except StoreError as error:
                # https://cloud.google.com/secret-manager/docs/etags: that is how it refuses a stale etag.
                if "FAILED_PRECONDITION" in error.message:
                    raise ConflictError(error.message, hint=error.hint) from error
                raise
            done.append(f"{', '.join(plan.patch)} were changed")

    def _add(self, value: bytes) -> str:
        """:returns: the id of the new version. :raises UnclearError: it may have been added or not."""
        payload = {"data": base64.b64encode(value).decode(), "dataCrc32c": str(crc32c(value))}
        what = f"add a version to the secret {self._name}"
        try:
            answer = self._call("POST", f"{self._name}:addVersion", what, body={"payload": payload}, once=True)
        except RateLimitError:
            raise  # for certain not added
        except TransientError as error:
            raise UnclearError(
                error.message, hint="It may have been added all the same. The next run sees it."
            ) from error
        return _version(answer).id

    def _retire(self, states: t.Mapping[str, str]) -> None:
        verb = self._wanted.old_versions
        for version, state in states.items():
            path = f"{self._name}/versions/{version}"
            try:
                self._call("POST", f"{path}:{verb}", f"{verb} version {version} of the secret {self._name}", body={})
            except StoreError:
                # After a lost answer it is done already, and cannot be done again.
                now = _version(self._call("GET", path, f"look at version {version} of the secret {self._name}"))
                if now.state != state:
                    raise

    def _call(
        self,
        method: str,
        path: str,
        what: str,
        *,
        query: t.Mapping[str, str] | None = None,
        body: t.Mapping[str, t.Any] | None = None,
        once: bool = False,
    ) -> Data:
        try:
            return self._client.call(
                "secretmanager", method, f"/v1/{path}", what=what, query=query, body=body, once=once
            )
        except TransferError as error:
            if "cloudkms." in error.message:  # it is not this account that lacks the permission
                error.hint = (
                    "Give the service agent of Secret Manager, "
                    "service-PROJECT_NUMBER@gcp-sa-secretmanager.iam.gserviceaccount.com, the role "
                    "roles/cloudkms.cryptoKeyEncrypterDecrypter on the key."
                )
            raise


class UnclearError(TransientError):
    """Whether a version was added is not known."""


def _version(answer: Data) -> Version:
    # The name has the number of the project where it was asked for by its id.
    scheduled = answer.get("state") == DISABLED and answer.get("scheduledDestroyTime")
    return Version(answer["name"].rpartition("/")[2], DESTROY_SCHEDULED if scheduled else answer["state"])


@contextlib.contextmanager
def _telling(done: t.Sequence[str]) -> t.Iterator[None]:
    try:
        yield
    except TransferError as error:
        if done:
            told = f"Before that {' and '.join(done)}. The next run does the rest."
            error.hint = f"{error.hint} {told}".strip()
        raise
