# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From plain data (module options, a JSON request) to sources and stores. The one list of what there is.

Only what a request names is imported: in a module or a zip every import is compiled anew, and a run with nothing to
do should cost next to nothing.
"""

from __future__ import annotations

import dataclasses
import os
import typing as t
import urllib.parse

from .control import Control
from .errors import InputError
from .hub import DEFAULT_ENDPOINT, HubOptions, HubSource, find_token
from .paths import model_prefix
from .stores.base import Source, Store
from .stores.s3 import S3Options, S3Store
from .stores.source import InPlaceSource, StoreSource

Data: t.TypeAlias = "t.Mapping[str, t.Any]"
IN_PLACE = "in_place"
_FLAGS = frozenset({"validate_certs", "anonymous"})
_LISTS = frozenset({"allow_patterns", "ignore_patterns", "paths"})


def read_files(data: Data, where: str) -> dict[str, t.Any]:
    """Options with the text of a file where one is given as ``{from_file: /path}``, without its last line break.

    :raises InputError: names option and file, never what is in it.
    """
    return {key: _read_file(value, f"{key} of {where}") for key, value in data.items()}


def _read_file(value: t.Any, what: str) -> t.Any:
    if not isinstance(value, t.Mapping):
        return value
    if "from_file" not in value:
        return read_files(value, what)
    path = value["from_file"]
    if len(value) > 1 or not isinstance(path, str):
        raise InputError(f"{what} must have from_file with a path and nothing else.")
    try:
        with open(path, encoding="utf-8") as stream:  # turns \r\n into \n
            text = stream.read().removesuffix("\n")
    except OSError as error:
        raise InputError(f"{what} cannot be read from {path!r}: {error.strerror}.") from error
    except ValueError:
        text = None
    if text is None:  # not "from error", which quotes the content
        raise InputError(f"{what} cannot be read from {path!r}: not text in UTF-8.")
    if not text:
        raise InputError(f"{what}: file {path!r} is empty.")
    return text


class Options:
    """Reads one mapping and refuses what it does not know.

    :raises InputError: not a mapping, or an option has another type than it should.
    """

    def __init__(self, data: Data, where: str) -> None:
        if not isinstance(data, t.Mapping):
            raise InputError(f"{where} is not a mapping.")
        self._left = {key: value for key, value in data.items() if value is not None and key != "type"}
        self.where = where
        for key, value in self._left.items():
            if key in _FLAGS:
                fits, wanted = isinstance(value, bool), "true or false"
            elif key in _LISTS:
                fits = isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value)
                wanted = "a list of strings"
            elif key == "service_account_contents":
                fits, wanted = isinstance(value, (str, t.Mapping)), "JSON"
            else:
                fits, wanted = isinstance(value, str), "a string"
            if not fits:
                raise InputError(f"{key} of {where.lower()} must be {wanted}.")
            if key in ("endpoint", "endpoint_url", "iam_endpoint"):
                _check_endpoint(value, f"{key} of {where.lower()}")

    def take(self, key: str, default: t.Any = None) -> t.Any:
        """An option's value, or ``default`` when it is missing or None."""
        return self._left.pop(key, default)

    def need(self, key: str) -> t.Any:
        """:raises InputError: the option is missing or empty."""
        value = self.take(key)
        if value in (None, "", [], ()):
            raise InputError(f"{self.where} needs {key}.")
        return value

    def done(self) -> None:
        """:raises InputError: an option was given that means nothing here."""
        if self._left:
            raise InputError(f"{self.where} does not know {', '.join(sorted(self._left))}.")


def build_source(data: Data, control: Control, *, pool_size: int = 16) -> tuple[Source, list[str]]:
    """A source from its options; the second item are warnings for the user.

    :raises InputError: unknown type, missing or unknown options.
    """
    kind = _kind(data, "huggingface", "The source")
    options = Options(data, f"Source {kind}")
    allow = tuple(options.take("allow_patterns", ()))
    ignore = tuple(options.take("ignore_patterns", ()))
    warnings: list[str] = []
    source: Source
    if kind == "huggingface":
        token, warning = find_token(options.take("token"), options.take("token_file"))
        warnings += [warning] if warning else []
        source = HubSource(
            HubOptions(
                repo=options.need("repo"),
                revision=options.take("revision", "main"),
                endpoint=options.take("endpoint") or _environment_endpoint("HF_ENDPOINT") or DEFAULT_ENDPOINT,
                token=token,
                allow_patterns=allow,
                ignore_patterns=ignore,
                validate_certs=options.take("validate_certs", True),
                ca_bundle=options.take("ca_bundle"),
                pool_size=pool_size,
            ),
            control,
        )
    elif kind == "kaggle":
        from .kaggle import DEFAULT_ENDPOINT as KAGGLE
        from .kaggle import KaggleOptions, KaggleSource, find_credentials, split_handle

        repo, version = split_handle(options.need("repo"))
        source = KaggleSource(
            KaggleOptions(
                repo=repo,
                version=version,
                endpoint=options.take("endpoint") or _environment_endpoint("KAGGLE_API_ENDPOINT") or KAGGLE,
                credentials=find_credentials(
                    token=options.take("token"),
                    token_file=options.take("token_file"),
                    username=options.take("username"),
                    key=options.take("key"),
                    config=options.take("kaggle_config"),
                ),
                allow_patterns=allow,
                ignore_patterns=ignore,
                validate_certs=options.take("validate_certs", True),
                ca_bundle=options.take("ca_bundle"),
                pool_size=pool_size,
            ),
            control,
        )
    elif kind == "local":
        from .stores.local import LocalSource

        source = LocalSource(options.need("paths"), allow=allow, ignore=ignore)
    elif kind in _OBJECT_STORES:
        prefix = str(options.take("prefix", "")).lstrip("/")
        # "models/a" must not mean "models/ab": a source prefix is a directory unless it is empty.
        prefix = prefix.rstrip("/") + "/" if prefix else ""
        store = _OBJECT_STORES[kind](options, control, prefix, pool_size)
        source = StoreSource(store, control, kind=kind, allow=allow, ignore=ignore)
    else:
        raise InputError(f"There is no source type {kind!r}.", hint=f"Use one of {', '.join(SOURCES)}.")
    options.done()
    return source, warnings


def build_in_place(data: Data, stores: t.Sequence[Store], control: Control) -> Source:
    """The one destination as its own source.

    :raises InputError: there is more than one, or other options than patterns.
    """
    options = Options(data, "Source in_place")
    allow, ignore = tuple(options.take("allow_patterns", ())), tuple(options.take("ignore_patterns", ()))
    options.done()
    if len(stores) != 1:
        raise InputError(f"Source in_place needs exactly one destination, {len(stores)} were given.")
    return InPlaceSource(stores[0], control, allow=allow, ignore=ignore)


def build_store(data: Data, control: Control, *, name: str, pool_size: int = 16) -> Store:
    """A destination from its options, below the canonical path of the model ``name``.

    :raises InputError: unknown type, missing or unknown options, or a prefix that would escape.
    """
    kind = _kind(data, "s3", "A destination")
    options = Options(data, f"Destination {kind}")
    prefix = model_prefix(options.take("prefix", ""), name)
    store: Store
    if kind == "local":
        path = options.need("path")
        if not os.path.isabs(path):
            raise InputError(f"Destination path {path!r} is not absolute.")
        from .stores.local import LocalStore

        store = LocalStore(path, prefix=prefix)
    elif kind in _OBJECT_STORES:
        store = _OBJECT_STORES[kind](options, control, prefix, pool_size)
    else:
        raise InputError(f"There is no destination type {kind!r}.", hint=f"Use one of {', '.join(DESTINATIONS)}.")
    options.done()
    return store


def default_name(data: Data) -> str:
    """The model's name when none is given: repository id, handle without version, or last part of the source's path.

    :raises InputError: the source has no name of its own.
    """
    kind = _kind(data, "huggingface", "The source")
    if kind == "huggingface":
        name = data.get("repo") or ""
    elif kind == "kaggle":  # the versions of a model are in one place, as the commits of a repository are
        name = "/".join(str(data.get("repo") or "").split("/")[:4])
    elif kind == IN_PLACE:
        name = ""
    elif kind == "local":
        paths = data.get("paths") or [""]
        name = os.path.basename(paths[0].rstrip("/")) if len(paths) == 1 else ""
    else:
        name = (data.get("prefix") or "").strip("/").rpartition("/")[2]
    if not name:
        raise InputError("The model needs a name: its source does not have one of its own.", hint="Give name.")
    return str(name)


def _check_endpoint(value: str, where: str) -> None:
    try:
        place = urllib.parse.urlsplit(value).netloc
    except ValueError as error:
        raise InputError(f"{where} is not a URL: {error}.") from error
    if "@" in place:  # endpoints are shown in messages and kept in manifests
        raise InputError(f"{where} holds a user name or password.", hint="Give credentials by their own options.")


def _environment_endpoint(name: str) -> str | None:
    value = os.environ.get(name)
    if value:
        _check_endpoint(value, name)
    return value


def _kind(data: Data, default: str, where: str) -> str:
    if not isinstance(data, t.Mapping):
        raise InputError(f"{where} is not a mapping.")
    return str(data.get("type") or default)


def _s3(options: Options, control: Control, prefix: str, pool_size: int) -> Store:
    fields = {field.name for field in dataclasses.fields(S3Options)} - {"bucket", "pool_size"}
    given = {key: value for key in fields if (value := options.take(key)) is not None}
    if ("access_key" in given) != ("secret_key" in given):
        raise InputError(f"{options.where} needs access_key and secret_key together.")
    return S3Store(S3Options(bucket=options.need("bucket"), pool_size=pool_size, **given), control, prefix=prefix)


def _gcs(options: Options, control: Control, prefix: str, pool_size: int) -> Store:
    from .stores.gcs import GcsOptions, GcsStore

    fields = {field.name for field in dataclasses.fields(GcsOptions)} - {"bucket", "pool_size"}
    given = {key: value for key in fields if (value := options.take(key)) is not None}
    return GcsStore(GcsOptions(bucket=options.need("bucket"), pool_size=pool_size, **given), control, prefix=prefix)


def _ibm_cos(options: Options, control: Control, prefix: str, pool_size: int) -> Store:
    from .ibm import CosOptions, cos_store

    fields = {field.name for field in dataclasses.fields(CosOptions)} - {"bucket", "pool_size"}
    given = {key: value for key in fields if (value := options.take(key)) is not None}
    return cos_store(CosOptions(bucket=options.need("bucket"), pool_size=pool_size, **given), control, prefix=prefix)


_OBJECT_STORES: dict[str, t.Callable[[Options, Control, str, int], Store]] = {
    "s3": _s3,
    "gcs": _gcs,
    "ibm_cos": _ibm_cos,
}
SOURCES = ("huggingface", "kaggle", "local", IN_PLACE, *_OBJECT_STORES)
DESTINATIONS = ("local", *_OBJECT_STORES)
