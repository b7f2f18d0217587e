# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A token in a secret of AWS Secrets Manager.

The secret is a JSON object in which each key holds the token: the AWS provider of the Secrets Store CSI driver mounts
several files from one secret through jmesPath only, and refuses the same objectName twice.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import re
import typing as t
import uuid

from ansible_collections.modelops.serving.plugins.module_utils._token_secret.store import KEPT, REPLACED, Outcome
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    ConflictError,
    InputError,
    NotFoundError,
    TransferError,
)

from .client import AwsClient, Data

_CURRENT, _PREVIOUS = "AWSCURRENT", "AWSPREVIOUS"
#: Marks the one statement of a resource policy that is ours.
SID = "ModelopsServingReaders"
# What the AWS provider of the Secrets Store CSI driver needs.
_READ = ("secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue")
_DEFAULT_KEY = "alias/aws/secretsmanager"

# https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html
_NAME = re.compile(r"[A-Za-z0-9/_+=.@-]{1,512}")
_PRINCIPAL = re.compile(r"arn:aws[\w-]*:(iam|sts)::\d{12}:(root|(user|role|assumed-role|federated-user)/[^\s*?]+)")


@dataclasses.dataclass(frozen=True)
class Secret:
    """What is there, or what is wanted of it.

    ``version`` is the id of the version that is AWSCURRENT, None where there is none or its id is not known yet;
    ``previous`` that of AWSPREVIOUS. ``value`` is a dictionary when the value is a JSON object, None when it is not
    known. ``policy`` is None where there is none or nobody asked. ``deleted`` is the date when it was asked to go.
    """

    name: str
    arn: str | None = None
    kms_key: str | None = None
    tags: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    version: str | None = None
    previous: str | None = None
    value: t.Any = dataclasses.field(default=None, repr=False)
    policy: Data | None = None
    deleted: str | None = None


@dataclasses.dataclass(frozen=True)
class Wish:
    """What a secret is to be; None leaves things as they are."""

    keys: tuple[str, ...]
    tags: t.Mapping[str, str] | None = None
    kms_key: str | None = None
    readers: tuple[str, ...] | None = None
    keep_versions: int | None = None

    def of(self, found: Secret, token: str) -> Secret:
        """The secret as it is to be. Values of other keys and other statements stay."""
        value = {**(found.value if isinstance(found.value, dict) else {}), **dict.fromkeys(self.keys, token)}
        renewed = value != found.value
        # Secrets Manager moves this label itself when there is a new current version.
        previous = found.version or found.previous if renewed else found.previous
        key = self.kms_key
        return dataclasses.replace(
            found,
            deleted=None,
            value=value,
            version=None if renewed else found.version,
            previous=None if self.keep_versions == 1 else previous,
            tags=found.tags if self.tags is None else {**_tags_of_aws(found.tags), **self.tags},
            kms_key=found.kms_key if key is None or same_key(key, found.kms_key) else key,
            policy=found.policy if self.readers is None else with_readers(found.policy, self.readers),
        )


class SecretsManager:
    """One secret.

    :param labels: the tags, None to leave them. Those whose name begins with aws: are not ours to change.
    :param kms_key: id, ARN or alias of a key of KMS, None to leave it.
    :param keep_versions: 1 takes the label AWSPREVIOUS away, 2 and None leave it.
    :param recovery_window: days until a secret that is removed is gone, 0 for at once.
    :param readers: ARNs of principals that may read it by its resource policy, None to leave the policy.
    :raises InputError: one of these is not valid.
    """

    def __init__(
        self,
        client: AwsClient,
        *,
        name: str,
        keys: tuple[str, ...],
        labels: t.Mapping[str, str] | None,
        kms_key: str | None,
        keep_versions: int | None,
        recovery_window: int,
        readers: t.Sequence[str] | None,
    ) -> None:
        check_options(name, keep_versions=keep_versions, recovery_window=recovery_window, readers=readers or ())
        self._client = client
        self._name = name
        self._window = recovery_window
        self._wish = Wish(keys, labels, kms_key, None if readers is None else tuple(readers), keep_versions)
        self._done: list[str] = []

    def present(self, token: str, *, check: bool) -> Outcome:
        """See :class:`store.Store`."""
        try:
            return self._attempt(token, check=check)
        except TransferError as error:
            if self._done:
                error.message += f" Done before: {', '.join(self._done)}."
            raise

    def absent(self, *, destroy: bool, check: bool) -> Outcome:
        """See :class:`store.Store`. A secret that is scheduled for deletion counts as gone."""
        found = self._describe()
        if found is None or found.deleted:
            return Outcome(found.arn or self._name if found else self._name, None, None)
        if not destroy:
            raise InputError(
                f"The secret {self._name} is there, with its versions.",
                hint="Say destroy: true with state: absent to delete it; recovery_window tells for how long it can be "
                "restored.",
            )
        if not check:
            self._delete(found)
        return Outcome(found.arn or self._name, describe(found), None)

    # -- reading -----------------------------------------------------------------------------------------------

    def _call(self, operation: str, what: str, **arguments: t.Any) -> Data:
        return self._client.call(operation, what=f"{what} {self._name}", **arguments)

    def _describe(self) -> Secret | None:
        try:
            found = self._call("describe_secret", "look at the secret", SecretId=self._name)
        except NotFoundError:
            return None
        versions = found.get("VersionIdsToStages") or {}
        labels = {label: version for version, labels in versions.items() for label in labels}
        return Secret(
            name=found["Name"],
            arn=found["ARN"],
            kms_key=found.get("KmsKeyId"),
            tags={tag["Key"]: tag["Value"] for tag in found.get("Tags") or ()},
            version=labels.get(_CURRENT),
            previous=labels.get(_PREVIOUS),
            deleted=str(found["DeletedDate"]) if found.get("DeletedDate") else None,
        )

    def _read(self) -> Secret | None:
        """The secret with its value and, where readers were given, its policy. Neither is told of a deleted one."""
        found = self._describe()
        if found is None or found.deleted:
            return found
        value, policy = None, None
        if found.version:
            answer = self._call(
                "get_secret_value", "read the value of the secret", SecretId=found.arn, VersionId=found.version
            )
            value = parse(answer.get("SecretString", answer.get("SecretBinary")))
        if self._wish.readers is not None:
            answer = self._call("get_resource_policy", "read the policy of the secret", SecretId=found.arn)
            policy = json.loads(answer.get("ResourcePolicy") or "null")
        return dataclasses.replace(found, value=value, policy=policy)

    # -- writing -----------------------------------------------------------------------------------------------

    def _attempt(self, token: str, *, check: bool) -> Outcome:
        version = str(uuid.uuid4())  # of a new version; AWS makes no second one of the same id
        first = self._read()
        try:
            return self._present(first, first, token, version, check=check)
        except (ConflictError, InputError):
            if check:
                raise
        # Somebody else was at work, or the answer to a write was lost. What is there now may be what is wanted.
        found = self._read()
        ours = self._done or (found and found.version == version)
        return self._present(first if ours else found, found, token, version, check=check)

    def _present(self, first: Secret | None, found: Secret | None, token: str, version: str, *, check: bool) -> Outcome:
        warnings, earlier = [], first
        if found and found.deleted:
            if check:
                warnings.append(f"Whether the token differs is only known when the secret {self._name} is restored.")
                found = dataclasses.replace(found, value=dict.fromkeys(self._wish.keys, token))
            else:
                self._write("restore_secret", "restore the secret", "restored it", SecretId=found.arn)
                earlier = found = self._read() or found
        if found and found.version and not isinstance(found.value, dict):
            warnings.append(f"The secret {self._name} held no JSON object; what it held is in its previous version.")
        start = found or Secret(self._name)
        wanted = self._wish.of(start, token)
        if not check:
            wanted = self._make(found, start, wanted, version)
        replaced = first is not None and first.version != wanted.version
        return Outcome(
            wanted.arn or self._name,
            describe(first) if first else None,
            describe(wanted, earlier),
            version=wanted.version,
            previous_version=first.version if first and replaced else None,
            reference=f"{wanted.arn}:::{wanted.version}" if wanted.version else None,
            warnings=tuple(warnings),
        )

    def _make(self, found: Secret | None, start: Secret, wanted: Secret, version: str) -> Secret:
        """Carry out what differs between ``start`` and ``wanted``; the latter with its ids."""
        value = json.dumps(wanted.value)
        if found is None:
            made = {"KmsKeyId": wanted.kms_key} if wanted.kms_key else {}
            answer = self._write(
                "create_secret",
                "create the secret",
                "created it",
                Name=self._name,
                SecretString=value,
                ClientRequestToken=version,
                Tags=_tags(wanted.tags),
                **made,
            )
            wanted = dataclasses.replace(wanted, arn=answer["ARN"], version=answer["VersionId"])
        else:
            where = {"SecretId": found.arn}
            if wanted.kms_key != found.kms_key:
                self._write(
                    "update_secret", "change the key of the secret", "changed its key", KmsKeyId=wanted.kms_key, **where
                )
            tags = {key: text for key, text in wanted.tags.items() if found.tags.get(key) != text}
            if tags:
                self._write("tag_resource", "tag the secret", "set its tags", Tags=_tags(tags), **where)
            surplus = [key for key in found.tags if key not in wanted.tags]
            if surplus:
                self._write("untag_resource", "remove tags of the secret", "removed tags", TagKeys=surplus, **where)
            if wanted.value != found.value:
                answer = self._write(
                    "put_secret_value",
                    "add a version to the secret",
                    f"made version {version}",
                    SecretString=value,
                    ClientRequestToken=version,
                    **where,
                )
                wanted = dataclasses.replace(wanted, version=answer["VersionId"])
            former = found.previous if wanted.version == found.version else found.version or found.previous
            if former and not wanted.previous:
                self._write(
                    "update_secret_version_stage",
                    "take AWSPREVIOUS from a version of the secret",
                    "took AWSPREVIOUS away",
                    VersionStage=_PREVIOUS,
                    RemoveFromVersionId=former,
                    **where,
                )
        if wanted.policy != start.policy:
            self._set_policy(wanted)
        return wanted

    def _set_policy(self, wanted: Secret) -> None:
        where = {"SecretId": wanted.arn}
        if wanted.policy is None:
            self._write("delete_resource_policy", "remove the policy of the secret", "removed its policy", **where)
            return
        self._write(
            "put_resource_policy",
            "set the policy of the secret",
            "set its policy",
            ResourcePolicy=json.dumps(wanted.policy),
            BlockPublicPolicy=True,
            **where,
        )

    def _write(self, operation: str, what: str, done: str, **arguments: t.Any) -> Data:
        answer = self._call(operation, what, **arguments)
        self._done.append(done)
        return answer

    def _delete(self, found: Secret) -> None:
        how: Data = {"ForceDeleteWithoutRecovery": True}
        if self._window:
            how = {"RecoveryWindowInDays": self._window}
        try:
            self._call("delete_secret", "delete the secret", SecretId=found.arn, **how)
        except (ConflictError, NotFoundError):
            left = self._describe()
            if left and not left.deleted:
                raise


def check_options(name: str, *, keep_versions: int | None, recovery_window: int, readers: t.Sequence[str]) -> None:
    """:raises InputError: one of the options cannot be."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} cannot be the name of a secret in AWS Secrets Manager.",
            hint="Use letters, digits and /_+=.@-, at most 512.",
        )
    if keep_versions is not None and keep_versions not in (1, 2):
        raise InputError(
            f"AWS Secrets Manager cannot keep {keep_versions} versions: it keeps the one labelled AWSCURRENT and the one "
            "labelled AWSPREVIOUS, and deletes others by and by.",
            hint="Give 1 or 2 for keep_versions, or leave it out.",
        )
    if recovery_window != 0 and not 7 <= recovery_window <= 30:
        raise InputError(
            f"The recovery_window cannot be {recovery_window} days.", hint="Give 7 to 30, or 0 for deletion at once."
        )
    for reader in readers:
        if not _PRINCIPAL.fullmatch(reader):
            raise InputError(
                f"{reader!r} in readers is not the ARN of a principal.",
                hint="Give one such as arn:aws:iam::123456789012:role/server.",
            )


def parse(raw: t.Any) -> t.Any:
    """A value of a secret: a dictionary if it is a JSON object, else as it is."""
    if isinstance(raw, str):
        try:
            found = json.loads(raw)
        except ValueError:
            return raw
        if isinstance(found, dict):
            return found
    return raw


def same_key(given: str, found: str | None) -> bool:
    """Whether two spellings (id, alias, ARN) mean the same key of KMS. None is the key that AWS manages."""
    one, other = sorted((given, found or _DEFAULT_KEY), key=len)
    return one == other or other.endswith((f":{one}", f"/{one}"))


def with_readers(policy: Data | None, readers: t.Sequence[str]) -> Data | None:
    """The policy with our statement for these readers, or without it when there are none; None when nothing is left."""
    document = copy.deepcopy(policy) or {"Version": "2012-10-17", "Statement": []}
    given = document["Statement"]
    statements = [given] if isinstance(given, dict) else given
    wanted = {
        "Sid": SID,
        "Effect": "Allow",
        "Principal": {"AWS": list(dict.fromkeys(readers))},
        "Action": list(_READ),
        "Resource": "*",
    }
    ours = [statement for statement in statements if statement.get("Sid") == SID]
    if readers and [_normal(statement) for statement in ours] == [_normal(wanted)]:
        return policy
    others = [statement for statement in statements if statement.get("Sid") != SID]
    document["Statement"] = [*others, wanted] if readers else others
    if not ours and not readers:
        return policy
    return document if document["Statement"] else None


def _normal(statement: Data) -> Data:
    """A statement for comparison: AWS writes a list of one as text, and keeps no order."""
    principal = statement.get("Principal")
    normal = {**statement, "Action": _listed(statement.get("Action"))}
    if isinstance(principal, dict):
        normal["Principal"] = {kind: _listed(names) for kind, names in principal.items()}
    return normal


def _listed(value: t.Any) -> list[str]:
    return sorted([value] if isinstance(value, str) else value or ())


def describe(secret: Secret, earlier: Secret | None = None) -> Data:
    """A secret without its value and without ids that nobody can foresee.

    :param earlier: the secret before; what differs from its value is marked.
    """
    shown: Data = {"Name": secret.name, "Tags": dict(secret.tags)}
    if secret.deleted:
        shown["DeletedDate"] = secret.deleted
    if secret.kms_key:
        shown["KmsKeyId"] = secret.kms_key
    if secret.policy:
        shown["ResourcePolicy"] = secret.policy
    if secret.previous:
        shown[_PREVIOUS] = secret.previous
    if isinstance(secret.value, dict):
        before = earlier.value if earlier and isinstance(earlier.value, dict) else {}
        same = {key: before.get(key, text) == text for key, text in secret.value.items()}
        shown[_CURRENT] = {key: KEPT if same[key] else REPLACED for key in sorted(secret.value)}
    elif secret.version:
        shown[_CURRENT] = KEPT
    return shown


def _tags_of_aws(tags: t.Mapping[str, str]) -> dict[str, str]:
    return {key: text for key, text in tags.items() if key.startswith("aws:")}


def _tags(tags: t.Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": text} for key, text in tags.items()]
