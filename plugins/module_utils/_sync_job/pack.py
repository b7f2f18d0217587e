# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parts the options of a sync: what may lie in a ConfigMap, what belongs into a Secret, what is in one already."""

from __future__ import annotations

import dataclasses
import json
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._auth import DESTINATION, SOURCE
from ansible_collections.modelops.serving.plugins.module_utils._sync_job.build import CONFIG, CREDENTIALS
from ansible_collections.modelops.serving.plugins.module_utils._sync_job.spec import SecretMount
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError
from ansible_collections.modelops.serving.plugins.module_utils._transfer.request import Options

SECRETS_DIRECTORY = "/var/run/secrets/modelops.serving"
# Access keys and user names are no secrets, but they go with one.
_CREDENTIALS = (
    "access_key",
    "secret_key",
    "session_token",
    "access_token",
    "token",
    "api_key",
    "iam_token",
    "iam_refresh_token",
    "username",
    "key",
)
_ACCOUNT, _KAGGLE = "service_account_file", "kaggle_config"
_FILES = (_ACCOUNT, _KAGGLE)  # stay files: the request has their paths
# Ansible keeps aliases among the options, beside the names they stand for.
_OPTIONS = {*SOURCE, *DESTINATION}


@dataclasses.dataclass(frozen=True)
class Key:
    """A key of a Secret and the option it is for."""

    name: str
    option: str
    optional: bool = False


_AWS_KEYS = (
    Key("AWS_ACCESS_KEY_ID", "access_key"),
    Key("AWS_SECRET_ACCESS_KEY", "secret_key"),
    Key("AWS_SESSION_TOKEN", "session_token", optional=True),
)
#: What a Secret holds that an option ``credentials_secret`` names, by type of source or destination. The first set
#: of which all keys are there is taken.
KEYS: dict[str, tuple[tuple[Key, ...], ...]] = {
    "s3": (_AWS_KEYS,),
    "ibm_cos": ((Key("IBMCLOUD_API_KEY", "api_key"),), _AWS_KEYS),
    "gcs": ((Key("key.json", _ACCOUNT),),),
    "huggingface": ((Key("token", "token"),),),
    "kaggle": (
        (Key("token", "token"),),
        (Key("username", "username"), Key("key", "key")),
        (Key("kaggle.json", _KAGGLE),),
    ),
}


@dataclasses.dataclass
class Parcel:
    """Filled while options are packed: what goes along with the request."""

    files: dict[str, str] = dataclasses.field(default_factory=dict)
    credentials: dict[str, str] = dataclasses.field(default_factory=dict)
    mounts: list[SecretMount] = dataclasses.field(default_factory=list)

    def keep(self, name: str, value: str) -> dict[str, str]:
        """Put a secret value aside; what the request has in its place.

        :raises InputError: it is empty.
        """
        if not value.strip():
            raise InputError(f"{name.replace('-', ' ')} is empty.")
        self.credentials[name] = value.strip()
        return {"from_file": f"{CREDENTIALS}/{name}"}

    def reserve(self, name: str) -> dict[str, str]:
        """A place for a value that is only known later."""
        self.credentials[name] = ""
        return {"from_file": f"{CREDENTIALS}/{name}"}

    def mount(self, secret: str, where: str, keys: t.Sequence[str]) -> str:
        """Mount keys of a Secret for ``where``; the directory that they are in."""
        directory = f"{SECRETS_DIRECTORY}/{where}"
        self.mounts.append(SecretMount(secret, directory, tuple(keys)))
        return directory


def pack(given: t.Mapping[str, t.Any], where: str, parcel: Parcel, keys: t.Sequence[Key] = ()) -> dict[str, t.Any]:
    """One source or destination as it stands in the request.

    :param given: options of the module, among them ``credentials_secret``.
    :param where: ``source`` or ``destination-1``, for names of files.
    :param keys: what is used of the Secret that ``credentials_secret`` names, see :func:`choose_keys`.
    :raises InputError: an option that means nothing in a cluster, or a file that cannot be read.
    """
    data = {key: value for key, value in given.items() if key in _OPTIONS and value is not None}
    secret, what = given.get("credentials_secret"), f"the {where.replace('-', ' ')}"
    Options(data, what)  # whether an endpoint holds a password, above all
    _refuse(data, what, secret)
    for key in _CREDENTIALS:
        if key in data:
            data[key] = parcel.keep(f"{where}-{key}", str(data[key]))
    if "token_file" in data:
        data["token"] = parcel.keep(f"{where}-token", _read(data.pop("token_file"), f"token_file of {what}"))
    contents = data.pop("service_account_contents", None)
    if _ACCOUNT in data:
        contents = _read(data[_ACCOUNT], f"{_ACCOUNT} of {what}")
    if contents is not None:
        text = contents if isinstance(contents, str) else json.dumps(contents)
        data[_ACCOUNT] = parcel.keep(f"{where}-{_ACCOUNT}", text)["from_file"]
    if _KAGGLE in data:
        text = _read(data[_KAGGLE], f"{_KAGGLE} of {what}")
        data[_KAGGLE] = parcel.keep(f"{where}-{_KAGGLE}", text)["from_file"]
    if "ca_bundle" in data:
        parcel.files[f"{where}-ca.pem"] = _read(data["ca_bundle"], f"ca_bundle of {what}")
        data["ca_bundle"] = f"{CONFIG}/{where}-ca.pem"
    if secret is not None:
        directory = parcel.mount(secret, where, [key.name for key in keys])
        for used in keys:
            path = f"{directory}/{used.name}"
            data[used.option] = path if used.option in _FILES else {"from_file": path}
    return data


def choose_keys(kind: str, secret: str, namespace: str, values: t.Mapping[str, str] | None) -> tuple[Key, ...]:
    """Which keys of a Secret are used for a source or destination of type ``kind``.

    :param values: what it holds, None when that is not known.
    :raises InputError: it has none of the sets that would do.
    """
    sets = KEYS.get(kind)
    if not sets:
        raise InputError(f"credentials_secret means nothing for type {kind}.")
    if values is None:
        return tuple(key for key in sets[0] if not key.optional)
    there = {key for key, value in values.items() if value.strip()}
    for keys in sets:
        if all(key.optional or key.name in there for key in keys):
            return tuple(key for key in keys if key.name in there)
    wanted = " or ".join(" and ".join(_names(keys)) for keys in sets)
    raise InputError(
        f"Secret {namespace}/{secret} needs {wanted}; it has {', '.join(sorted(there)) or 'nothing'}.",
        hint=f"Delete it, then: {how_to_create(kind, secret, namespace)}",
    )


def how_to_create(kind: str, secret: str, namespace: str) -> str:
    """What to do when a Secret that ``credentials_secret`` names is not there."""
    ways = [" ".join(f"--from-file={name}=FILE" for name in _names(keys)) for keys in KEYS.get(kind, ())]
    return " or ".join(
        f"create it with `kubectl create secret generic {secret} --namespace {namespace} {way}`" for way in ways
    )


def _names(keys: t.Iterable[Key]) -> list[str]:
    return [key.name for key in keys if not key.optional]


def _refuse(data: t.Mapping[str, t.Any], what: str, secret: str | None) -> None:
    if data.get("type") == "local":
        raise InputError(
            f"{what.capitalize()} is of type local: a Pod does not see the files of this host.",
            hint="Upload local files with modelops.serving.model_sync, which runs here.",
        )
    if "profile" in data:
        raise InputError(
            f"{what.capitalize()} has a profile, which a Pod does not have.",
            hint="Give access_key and secret_key, a credentials_secret, or a service account with a role of its own.",
        )
    inline = [key for key in (*_CREDENTIALS, "token_file", "service_account_contents", *_FILES) if key in data]
    if secret is not None and inline:
        raise InputError(f"{what.capitalize()} has both {inline[0]} and credentials_secret.", hint="Give one of them.")


def _read(path: str, what: str) -> str:
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{what} cannot be read: {error}.") from error
