# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Secrets that say where a model comes from and where it goes, as the transfer engine's options. Without I/O.

Three Secrets are understood: ``model-source`` with the keys ``S3_SYNC_...`` of the synchronize-model Job
(https://github.com/rh-aiservices-bu/genai-rhoai-poc-template), data connections of OpenShift AI, and KServe's
``storage-config``. Data is given decoded. What is secret never leaves it: in its place stands
``{"secret_key_ref": <key of the Secret>}``, for :func:`mounted` or :func:`secret_keys`.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import typing as t
import urllib.parse

from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError
from ansible_collections.modelops.serving.plugins.module_utils._transfer.ibm import (
    PASSCODE_PAGE,
    cos_endpoint,
    instance_crn,
)

Data: t.TypeAlias = "t.Mapping[str, str]"
Mapping: t.TypeAlias = "dict[str, t.Any]"

SECRET_KEY_REF = "secret_key_ref"  # noqa: S105 - not a secret
SOURCE_SECRET, CONNECTION_SECRET, NAMESPACE = "model-source", "demo-models", "demo"  # as that template names them
_PREFIX = "S3_SYNC_"
_SRC, _DEST, _COS, _TRANSFER = (f"{_PREFIX}{name}" for name in ("SRC__", "DEST__", "COS_", "TRANSFER_CONFIG__"))
MANUAL, USE_CLI, SKIP_FILES = (
    f"{_PREFIX}LOCAL_UPLOAD_COMPLETE",
    f"{_PREFIX}USE_IBMCLOUD_CLI",
    f"{_PREFIX}SKIP_LOAD_FILES",
)
PASSCODE = f"{_COS}TEMPORARY_PASSCODE"

_TRUE, _FALSE = frozenset({"true", "1", "yes", "on"}), frozenset({"false", "0", "no", "off", ""})
_S3_KEYS = (
    "ENDPOINT", "PATH", "ACCESS_KEY", "SECRET_KEY", "SESSION_TOKEN", "REGION", "VALIDATE_TLS", "CA_BUNDLE",
    "DEFAULT_DIRECTORY",
)  # fmt: skip
_COS_KEYS = (
    "INSTANCE_CRN", "INSTANCE_REGION", "BUCKET", "MODEL_PREFIX", "TEMPORARY_PASSCODE", "API_KEY", "ACCESS_KEY",
    "SECRET_KEY", "ENDPOINT", "IAM_ENDPOINT", "VALIDATE_TLS", "CA_BUNDLE",
)  # fmt: skip
_TRANSFER_KEYS = ("CHUNK_SIZE", "MAX_THREADS_PER_FILE", "MAX_FILES", "FORCE")
KNOWN_KEYS = frozenset(
    {
        MANUAL,
        USE_CLI,
        SKIP_FILES,
        *(side + key for side in (_SRC, _DEST) for key in _S3_KEYS),
        *(_COS + key for key in _COS_KEYS),
        *(_TRANSFER + key for key in _TRANSFER_KEYS),
    }
)
_UNITS = {
    "": 1, "B": 1, "KB": 10**3, "KIB": 2**10, "MB": 10**6, "MIB": 2**20, "GB": 10**9, "GIB": 2**30,
}  # fmt: skip
_SMALLEST_PART = 5 * 2**20  # of S3


@dataclasses.dataclass(frozen=True)
class Parsed:
    """What a ``model-source`` Secret asks for.

    :ivar source: the engine's source, of type s3, ibm_cos or in_place; secrets as references.
    :ivar destination: what the Secret says of the destination, the same way; empty when it says nothing.
    :ivar options: the engine's options ``workers`` and ``part_size``, where given.
    :ivar passcode_key: the key with a passcode that has to be exchanged first; its tokens belong into ``source``.
    :ivar warnings: for the user.
    """

    source: Mapping
    destination: Mapping
    options: dict[str, int]
    passcode_key: str | None
    warnings: tuple[str, ...]


def parse(data: Data, *, secret: str = SOURCE_SECRET, namespace: str = NAMESPACE) -> Parsed:
    """Where a model comes from, by the ``model-source`` Secret.

    A finished upload by hand comes first, then IBM Cloud Object Storage, then S3. COS is meant when the Secret says so,
    or when it says nothing but names a bucket of COS and no path of S3.

    :param secret, namespace: how the Secret is called in messages.
    :raises InputError: keys that are missing, all of them at once, or a value that means nothing.
    """
    reader = _Reader(data, f"Secret {namespace}/{secret}")
    if reader.flag(MANUAL):
        kind, source, passcode = "in_place", {"type": "in_place"}, None
    else:
        named_cos = bool(reader.value(f"{_COS}BUCKET")) and not reader.value(f"{_SRC}PATH")
        kind = "ibm_cos" if reader.flag(USE_CLI, named_cos) else "s3"
        source, passcode = _cos_source(reader) if kind == "ibm_cos" else (_s3_place(reader, _SRC), None)
        reader.check_missing(kind, secret, namespace)
    destination = _s3_place(reader, _DEST, optional=True)
    options = _engine_options(reader)
    reader.note_ignored()
    return Parsed(source, destination, options, passcode, tuple(reader.warnings))


class _Reader:
    """Reads the keys of one Secret; collects what is missing and what is worth a warning."""

    def __init__(self, data: Data, where: str) -> None:
        self._data = data
        self.where = where
        self.missing: list[str] = []
        self.warnings: list[str] = []

    def value(self, key: str) -> str:
        """Without white space around it; empty when it is missing."""
        return self._data.get(key, "").strip()

    def need(self, key: str, *, empty: bool = False) -> str:
        """As :meth:`value`, and noted as missing. ``empty``: it may be, but it has to be there."""
        value = self.value(key)
        if not value and not (empty and key in self._data):
            self.missing.append(key)
        return value

    def flag(self, key: str, default: bool = False) -> bool:
        """:raises InputError: neither yes nor no."""
        if key not in self._data:
            return default
        value = self.value(key)
        if value.lower() not in _TRUE | _FALSE:
            raise InputError(f"{key} of {self.where} is {value!r}.", hint="Write true or false.")
        return value.lower() in _TRUE

    def number(self, key: str) -> int | None:
        """:raises InputError: not a whole number above 0."""
        value = self.value(key)
        if value and not re.fullmatch(r"0*[1-9][0-9]{0,5}", value):
            raise InputError(f"{key} of {self.where} is {value!r}.", hint="Write a whole number above 0.")
        return int(value) if value else None

    def size(self, key: str) -> int | None:
        """Bytes. :raises InputError: not a size, or less than a part may have."""
        value = self.value(key)
        if not value:
            return None
        found = re.fullmatch(r"([0-9]{1,12})\s*([A-Za-z]*)", value)
        if not found or found[2].upper() not in _UNITS:
            raise InputError(f"{key} of {self.where} is {value!r}.", hint="Write a size such as 15MiB.")
        size = int(found[1]) * _UNITS[found[2].upper()]
        if size < _SMALLEST_PART:
            raise InputError(f"{key} of {self.where} is {value!r}.", hint="Parts have at least 5MiB.")
        return size

    def reference(self, key: str) -> dict[str, str] | None:
        """Stands for a secret value, if there is one.

        :raises InputError: white space around it, which a mounted file would have, too; a line break after it is fine.
        """
        value = self.value(key)
        if value and self._data[key].replace("\r\n", "\n").removesuffix("\n") != value:
            raise InputError(f"{key} of {self.where} has white space around it.", hint="Write the value alone.")
        return {SECRET_KEY_REF: key} if value else None

    def need_references(self, keys: t.Mapping[str, str]) -> Mapping:
        """Option by option, of the keys that are all needed."""
        for key in keys.values():
            self.need(key)
        return _given({option: self.reference(key) for option, key in keys.items()})

    def endpoint(self, key: str) -> str | None:
        """:raises InputError: not a URL of http or https, or one with credentials."""
        value = self.value(key)
        if not value:
            return None
        try:
            parts = urllib.parse.urlsplit(value)
            fits = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query
        except ValueError:
            fits, parts = False, None
        if parts is None or "@" in value:
            raise InputError(f"{key} of {self.where} is not a URL without credentials.")
        if not fits:
            raise InputError(f"{key} of {self.where} is {value!r}.", hint="Write a URL such as https://s3.example.com.")
        return value.rstrip("/")

    def tls(self, flag: str, bundle: str) -> Mapping:
        """``validate_certs`` and ``ca_bundle``."""
        options: Mapping = {}
        if not self.flag(flag, True):
            options["validate_certs"] = False
            self.warnings.append(
                f"{flag} of {self.where} turns the check of TLS certificates off: give {bundle} instead."
            )
        return options | self.bundle(bundle)

    def bundle(self, key: str) -> Mapping:
        """``ca_bundle``: a reference to certificates, or the path of a file.

        :raises InputError: neither of them.
        """
        value = self.value(key)
        if not value or value.startswith("/"):
            return {"ca_bundle": value} if value else {}
        if "-----BEGIN CERTIFICATE-----" not in value:
            raise InputError(f"{key} of {self.where} holds no certificate in PEM form and no absolute path.")
        return {"ca_bundle": {SECRET_KEY_REF: key}}

    def check_missing(self, kind: str, secret: str, namespace: str) -> None:
        """:raises InputError: something is missing; all of it is named."""
        if self.missing:
            hint = f"Delete it, and create it with\n{_command(_TEMPLATES[kind], secret, namespace)}"
            if not self._data.keys() & KNOWN_KEYS:
                hint = f"Delete it. {required_secret(None, secret, namespace)}"
            raise InputError(f"{self.where} lacks {', '.join(self.missing)}.", hint=hint)

    def note_ignored(self) -> None:
        """Warn of keys that nobody knows and of those that mean nothing any more."""
        for key in sorted(self._data):
            if key.startswith(_PREFIX) and key not in KNOWN_KEYS:
                close = difflib.get_close_matches(key, KNOWN_KEYS, 1, 0.8)
                meant = f" Did you mean {close[0]}?" if close else ""
                self.warnings.append(f"{key} of {self.where} is not known and does nothing.{meant}")
        for key, why in (
            (SKIP_FILES, "no configuration files are read"),
            (f"{_SRC}DEFAULT_DIRECTORY", f"the source is what {_SRC}PATH says"),
            (f"{_TRANSFER}FORCE", "files are compared by what they hold, and sent when they differ"),
        ):
            if key in self._data:
                self.warnings.append(f"{key} of {self.where} does nothing: {why}.")


def _given(options: t.Mapping[str, t.Any]) -> Mapping:
    return {key: value for key, value in options.items() if value is not None}


def _s3_place(reader: _Reader, side: str, *, optional: bool = False) -> Mapping:
    """A bucket and prefix of S3.

    ``optional``: only what the Secret names, for the rest comes from a data connection.
    """
    directory = reader.value(f"{side}DEFAULT_DIRECTORY").strip("/")
    if optional and not reader.value(f"{side}PATH"):
        lost = [side + key for key in _S3_KEYS if key not in ("PATH", "DEFAULT_DIRECTORY") and reader.value(side + key)]
        if lost:
            raise InputError(f"{reader.where} has {', '.join(lost)}, but no {side}PATH that they could be for.")
        return {"prefix": directory} if directory else {}
    bucket, prefix = _split(reader, f"{side}PATH")
    place = {"endpoint_url": reader.endpoint(f"{side}ENDPOINT"), "region": reader.value(f"{side}REGION") or None}
    return {
        "type": "s3",
        "bucket": bucket,
        "prefix": prefix,
        **(_given(place) if optional else complete(place)),
        **_keys(reader, side, optional=optional),
        **reader.tls(f"{side}VALIDATE_TLS", f"{side}CA_BUNDLE"),
    }


def _keys(reader: _Reader, side: str, *, optional: bool) -> Mapping:
    pair = {"access_key": f"{side}ACCESS_KEY", "secret_key": f"{side}SECRET_KEY"}
    if optional and not any(reader.value(key) for key in pair.values()):
        return {}  # those of the data connection
    options = reader.need_references(pair)
    if optional and len(options) != len(pair):
        raise InputError(f"{reader.where} needs {' and '.join(pair.values())} together.")
    return options | _given({"session_token": reader.reference(f"{side}SESSION_TOKEN")})


def _split(reader: _Reader, key: str) -> tuple[str, str]:
    """Bucket and prefix of ``s3://bucket/folder``, with or without a slash at its end."""
    path = reader.need(key)
    if not path:
        return "", ""
    found = re.fullmatch(r"s3://([A-Za-z0-9][A-Za-z0-9._-]{1,62})(?:/(.*))?", path, re.DOTALL)
    if not found:
        shown = "" if "@" in path else f" is {path!r}, which"
        raise InputError(f"{key} of {reader.where}{shown} is no path of S3.", hint="Write s3://BUCKET/FOLDER/.")
    return found[1], (found[2] or "").strip("/")


def complete(place: t.Mapping[str, t.Any]) -> Mapping:
    """A place of S3 with its region and endpoint: where there is none, AWS's own, never that of an environment."""
    region, endpoint = str(place.get("region") or "us-east-1"), place.get("endpoint_url")
    if endpoint in (None, "https://s3.amazonaws.com"):
        endpoint = f"https://s3.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"
    return {**place, "endpoint_url": endpoint, "region": region}


def _cos_source(reader: _Reader) -> tuple[Mapping, str | None]:
    """A source of type ibm_cos, and the key of a passcode if that is how it is reached."""
    bucket = reader.need(f"{_COS}BUCKET")
    prefix = reader.need(f"{_COS}MODEL_PREFIX", empty=True)
    endpoint = reader.endpoint(f"{_COS}ENDPOINT")
    region = reader.value(f"{_COS}INSTANCE_REGION") if endpoint else reader.need(f"{_COS}INSTANCE_REGION")
    if region and not endpoint:
        try:
            cos_endpoint(region)
        except InputError as error:
            raise InputError(f"{_COS}INSTANCE_REGION of {reader.where}: {error.message}", hint=error.hint) from error
    credentials, passcode = _cos_credentials(reader)
    crn = reader.need(f"{_COS}INSTANCE_CRN") if passcode else reader.value(f"{_COS}INSTANCE_CRN")
    if crn:
        try:
            crn = instance_crn(crn)
        except InputError as error:
            raise InputError(f"{_COS}INSTANCE_CRN of {reader.where}: {error.message}", hint=error.hint) from error
    source = {
        "type": "ibm_cos",
        "bucket": bucket,
        "prefix": prefix.strip("/"),
        "region": region or None,
        "endpoint_url": endpoint,
        "iam_endpoint": reader.endpoint(f"{_COS}IAM_ENDPOINT"),
        "instance_crn": crn or None,
        **credentials,
        **reader.tls(f"{_COS}VALIDATE_TLS", f"{_COS}CA_BUNDLE"),
    }
    return _given(source), passcode


def _cos_credentials(reader: _Reader) -> tuple[Mapping, str | None]:
    """What lasts is better than a passcode, which is as good as gone."""
    hmac = {"access_key": f"{_COS}ACCESS_KEY", "secret_key": f"{_COS}SECRET_KEY"}
    given = [
        (f"{_COS}API_KEY", bool(reader.value(f"{_COS}API_KEY"))),
        (hmac["access_key"], any(reader.value(key) for key in hmac.values())),
        (PASSCODE, bool(reader.value(PASSCODE))),
    ]
    there = [key for key, is_given in given if is_given]
    if not there:
        reader.missing.append(f"{_COS}API_KEY (or {hmac['access_key']} and {hmac['secret_key']}, or {PASSCODE})")
        return {}, None
    if len(there) > 1:
        reader.warnings.append(
            f"{reader.where} has several credentials: {there[0]} is used, {', '.join(there[1:])} not."
        )
    if there[0] == PASSCODE:
        return {}, PASSCODE
    if there[0] == hmac["access_key"]:
        return reader.need_references(hmac), None
    return _given({"api_key": reader.reference(there[0])}), None


def _engine_options(reader: _Reader) -> dict[str, int]:
    files, threads = reader.number(f"{_TRANSFER}MAX_FILES"), reader.number(f"{_TRANSFER}MAX_THREADS_PER_FILE")
    reader.flag(f"{_TRANSFER}FORCE")
    reader.flag(SKIP_FILES)
    # One pool of workers moves the parts of all files.
    workers = (files or 1) * (threads or 1) if files or threads else None
    return _given({"workers": workers, "part_size": reader.size(f"{_TRANSFER}CHUNK_SIZE")})


# -- what to create --------------------------------------------------------------------------------------------

_TEMPLATES: dict[str, tuple[tuple[str, str], ...]] = {
    "s3": (
        (f"{_SRC}PATH", "s3://BUCKET/FOLDER/"),
        (f"{_SRC}REGION", "us-east-1"),
        (f"{_SRC}ACCESS_KEY", "ACCESS_KEY_ID"),
        (f"{_SRC}SECRET_KEY", "SECRET_ACCESS_KEY"),
    ),
    "ibm_cos": (
        (USE_CLI, "true"),
        (f"{_COS}INSTANCE_CRN", "INSTANCE_OR_BUCKET_CRN"),
        (f"{_COS}INSTANCE_REGION", "us-geo"),
        (f"{_COS}BUCKET", "BUCKET"),
        (f"{_COS}MODEL_PREFIX", "FOLDER/"),
        (f"{_COS}API_KEY", "API_KEY"),
    ),
    "in_place": ((MANUAL, "true"),),
}
_WAYS = {
    "s3": f"From S3 ({_SRC}ENDPOINT for other stores than AWS):",
    "ibm_cos": f"From IBM Cloud Object Storage (in place of {_COS}API_KEY {_COS}ACCESS_KEY and {_COS}SECRET_KEY, or "
    f"{PASSCODE} from {PASSCODE_PAGE}, good for five minutes):",
    "in_place": "After the model was put into the destination by other means:",
}


def required_secret(kind: str | None, secret: str = SOURCE_SECRET, namespace: str = NAMESPACE) -> str:
    """What to tell somebody whose Secret is not there: its keys, and the commands that create it.

    :param kind: ``s3``, ``ibm_cos`` or ``in_place``; None for all three.
    """
    kinds = list(_TEMPLATES) if kind is None else [kind]
    ways = [f"{_WAYS[each]}\n{_command(_TEMPLATES[each], secret, namespace)}" for each in kinds]
    one = "one of these ways" if len(kinds) > 1 else "this way"
    return f"Secret {namespace}/{secret} says where the model comes from. Create it {one}.\n" + "\n".join(ways)


def _command(literals: t.Iterable[tuple[str, str]], secret: str, namespace: str) -> str:
    lines = [f"kubectl create secret generic {secret} --namespace {namespace}"]
    return " \\\n  ".join([*lines, *(f"--from-literal={key}={value}" for key, value in literals)])


# -- data connections ------------------------------------------------------------------------------------------

_CONNECTION = {"access_key": "AWS_ACCESS_KEY_ID", "secret_key": "AWS_SECRET_ACCESS_KEY"}


def required_connection(secret: str, namespace: str) -> str:
    """What to tell somebody whose data connection is not there, or lacks keys: the command that creates it."""
    names = [*_CONNECTION.values(), "AWS_S3_BUCKET", "AWS_S3_ENDPOINT"]
    command = _command([(name, name.removeprefix("AWS_")) for name in names], secret, namespace)
    return f"A data connection is created with\n{command}"


def data_connection(data: Data, *, secret: str = CONNECTION_SECRET, namespace: str = NAMESPACE) -> Mapping:
    """A destination of the engine from a data connection of OpenShift AI; secrets as references.

    :raises InputError: keys that are missing, all of them at once, or a value that means nothing.
    """
    reader = _Reader(data, f"Secret {namespace}/{secret}")
    bucket, endpoint = reader.need("AWS_S3_BUCKET"), reader.endpoint("AWS_S3_ENDPOINT")
    keys = reader.need_references(_CONNECTION)
    if reader.missing:
        raise InputError(
            f"{reader.where} lacks {', '.join(sorted(reader.missing))}.", hint=required_connection(secret, namespace)
        )
    return {
        "type": "s3",
        "bucket": bucket,
        **complete({"endpoint_url": endpoint, "region": reader.value("AWS_DEFAULT_REGION")}),
        **keys,
        **_given({"session_token": reader.reference("AWS_SESSION_TOKEN")}),
        **reader.bundle("AWS_CA_BUNDLE"),
    }


def storage_config_entry(
    destination: t.Mapping[str, t.Any], credentials: Data, *, cabundle_configmap: str | None = None
) -> dict[str, str]:
    """One entry of KServe's Secret ``storage-config``, to be written as JSON. Every value is a string there.

    The keys are those that KServe reads (``CreateStorageSpecSecretEnvs`` in pkg/credentials, and
    ``_update_with_storage_spec`` in its storage initializer), and ``default_bucket``, which ModelMesh reads in place of
    ``bucket``.

    :param destination: of type s3, as of :func:`data_connection`.
    :param credentials: ``access_key`` and ``secret_key`` themselves.
    :param cabundle_configmap: ConfigMap in the namespace of the server with the CA as ``cabundle.crt``.
    :raises InputError: something that KServe cannot use.
    """
    bucket = str(destination.get("bucket") or "")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,62}", bucket):
        raise InputError(f"storage-config needs the name of a bucket, not {bucket!r}.")
    if destination.get("session_token") or credentials.get("session_token"):
        raise InputError(
            "KServe's storage-config has no place for a session token.",
            hint="Use keys that last, or a service account.",
        )
    if destination.get("ca_bundle") and not cabundle_configmap:
        raise InputError(
            "KServe reads the CA of a store from a ConfigMap.",
            hint="Put it there as cabundle.crt, and name the ConfigMap.",
        )
    lacking = [key for key in _CONNECTION if not credentials.get(key)]
    if lacking:
        raise InputError(f"storage-config needs {' and '.join(lacking)}.")
    entry = {
        "type": "s3",
        "access_key_id": credentials["access_key"].strip(),
        "secret_access_key": credentials["secret_key"].strip(),
        "endpoint_url": str(destination["endpoint_url"]),
        "bucket": bucket,
        "default_bucket": bucket,
        "region": str(destination.get("region") or "us-east-1"),
    }
    if destination.get("validate_certs") is False:
        entry["verify_ssl"] = "0"
    return entry | ({"cabundle_configmap": cabundle_configmap} if cabundle_configmap else {})


# -- references ------------------------------------------------------------------------------------------------


def secret_keys(options: t.Mapping[str, t.Any]) -> dict[str, str]:
    """The key of the Secret of every option that stands for one."""
    return {option: value[SECRET_KEY_REF] for option, value in options.items() if _is_reference(value)}


def mounted(options: t.Mapping[str, t.Any], directory: str) -> Mapping:
    """The same options for an engine that has the Secret as files in ``directory``."""
    files = {option: f"{directory}/{key}" for option, key in secret_keys(options).items()}
    # The CA bundle is a file for the engine anyway.
    return {
        **options,
        **{option: path if option == "ca_bundle" else {"from_file": path} for option, path in files.items()},
    }


def _is_reference(value: t.Any) -> bool:
    return isinstance(value, t.Mapping) and set(value) == {SECRET_KEY_REF}
