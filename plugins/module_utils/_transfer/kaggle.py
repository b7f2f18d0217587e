# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kaggle Models as a source.

The public API (https://github.com/Kaggle/kaggle-cli, https://github.com/Kaggle/kagglehub) says which version there is
and lists its files. Each file is downloaded for itself: the API redirects to a signed URL of Google Cloud Storage, which
answers ranges and says the MD5 of the whole file. The bundle of a version, a tar.gz, is never used: it cannot be resumed,
and its members have no hashes.
"""

from __future__ import annotations

import base64
import binascii
import concurrent.futures
import contextlib
import dataclasses
import json
import os
import re
import threading
import typing as t
import urllib.parse

from .control import Control
from .errors import AccessError, InputError, NotFoundError, StoreError, TransientError
from .google import require_package
from .model import FileEntry, Snapshot, parse_json
from .paths import select
from .stores.base import Source
from .web import RETRY_STATUS, Body, WebClient, check_range, raise_for_status, redact, retry_after

DEFAULT_ENDPOINT = "https://www.kaggle.com"
_REDIRECT = (301, 302, 303, 307, 308)
_PAGE_SIZE = 200  # the most that Kaggle's client allows, https://github.com/Kaggle/kaggle-cli/blob/main/docs/models.md
_THREADS = 8  # as many as kagglehub downloads files with at once
_HANDLE = re.compile(r"[\w.-]+(/[\w.-]+){3}")
_HANDLE_HINT = "Give owner/model/framework/variation, with /version to pin it, such as google/gemma/maxtext/7b-it/2."


@dataclasses.dataclass(frozen=True)
class KaggleCredentials:
    """A token, or a user name with a key; nothing at all for models that everybody may read."""

    token: str | None = dataclasses.field(default=None, repr=False)
    username: str | None = None
    key: str | None = dataclasses.field(default=None, repr=False)

    def __post_init__(self) -> None:
        """:raises InputError: half of a pair, both kinds, or what cannot stand in a header; values are not shown."""
        for name, value in dataclasses.asdict(self).items():
            if value is not None and not re.fullmatch(r"[\x21-\x7e]+", value):
                raise InputError(f"Kaggle's {name} is empty or has illegal characters inside.", hint="Copy it again.")
        if bool(self.username) != bool(self.key):
            raise InputError("Kaggle needs username and key together.")
        if self.token and self.key:
            raise InputError("Kaggle takes a token, or username and key.", hint="Give one of them.")

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values that nobody may see."""
        return tuple(value for value in (self.token, self.key) if value)

    @property
    def who(self) -> str:
        """Whose they are, for messages."""
        return self.username or "the account that the token belongs to" if self.secrets else "a Kaggle account"

    @property
    def authorization(self) -> str | None:
        """Value of the header, None without credentials."""
        if self.token:
            return f"Bearer {self.token}"
        if self.key:
            return "Basic " + base64.b64encode(f"{self.username}:{self.key}".encode()).decode()
        return None


def find_credentials(
    *,
    token: str | None = None,
    token_file: str | None = None,
    username: str | None = None,
    key: str | None = None,
    config: str | None = None,
) -> KaggleCredentials:
    """The credentials given, else those that Kaggle's own clients find, in their order.

    That is ``KAGGLE_API_TOKEN`` (a token, or the path of a file with one), ``~/.kaggle/access_token``,
    ``KAGGLE_USERNAME`` with ``KAGGLE_KEY``, and ``kaggle.json`` in ``KAGGLE_CONFIG_DIR`` or ``~/.kaggle``.
    White space around them is removed.

    :param config: path of a file like ``kaggle.json``.
    :raises InputError: several kinds were given, or a file cannot be read or holds no credentials.
    """
    if sum(map(bool, (token, token_file, username or key, config))) > 1:
        raise InputError(
            "Kaggle has several credentials.", hint="Give token, token_file, username and key, or kaggle_config."
        )
    if token is not None or username is not None or key is not None:
        return _stripped(token, username, key)
    if token_file is not None:
        return _stripped(token=_read(token_file))
    if config is not None:
        return _from_json(config)
    home, environment = os.path.expanduser("~/.kaggle"), os.environ
    if value := environment.get("KAGGLE_API_TOKEN"):
        return _stripped(token=_read(value) if os.path.exists(value) else value)
    if os.path.exists(path := f"{home}/access_token"):
        return _stripped(token=_read(path))
    if environment.get("KAGGLE_USERNAME") and environment.get("KAGGLE_KEY"):
        return _stripped(None, environment["KAGGLE_USERNAME"], environment["KAGGLE_KEY"])
    if os.path.exists(path := os.path.join(environment.get("KAGGLE_CONFIG_DIR") or home, "kaggle.json")):
        return _from_json(path)
    return KaggleCredentials()


def _stripped(token: str | None, username: str | None = None, key: str | None = None) -> KaggleCredentials:
    return KaggleCredentials(*(None if value is None else value.strip() for value in (token, username, key)))


def _read(path: str) -> str:
    text: str | None = None
    try:
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
    except OSError as error:
        raise InputError(f"Kaggle credentials cannot be read from {path!r}: {error.strerror}.") from error
    except ValueError:
        pass
    if text is None:  # not "from error", which quotes the content
        raise InputError(f"Kaggle credentials cannot be read from {path!r}: not text in UTF-8.")
    return text


def _from_json(path: str) -> KaggleCredentials:
    try:
        found = json.loads(_read(path))
    except ValueError:
        found = None
    pair = [found.get(name) for name in ("username", "key")] if isinstance(found, dict) else []
    if not pair or not all(isinstance(value, str) for value in pair):
        raise InputError(
            f"{path!r} is not a kaggle.json with username and key.",
            hint="Make a new one at https://www.kaggle.com/settings, or use an API token from there.",
        )
    return _stripped(None, *pair)


@dataclasses.dataclass(frozen=True)
class KaggleOptions:
    """Which model, and how to reach Kaggle. ``repo`` is ``owner/model/framework/variation``, ``version`` None for the newest."""

    repo: str
    version: str | None = None
    endpoint: str = DEFAULT_ENDPOINT
    credentials: KaggleCredentials = dataclasses.field(default_factory=KaggleCredentials)
    allow_patterns: tuple[str, ...] = ()
    ignore_patterns: tuple[str, ...] = ()
    validate_certs: bool = True
    ca_bundle: str | None = None
    pool_size: int = 16


def split_handle(handle: str) -> tuple[str, str | None]:
    """A model and its version from ``owner/model/framework/variation[/version]``.

    :raises InputError: it is something else.
    """
    repo, version = handle, None
    if handle.count("/") == 4:
        repo, _slash, version = handle.rpartition("/")
    if not _HANDLE.fullmatch(repo) or {".", ".."} & set(repo.split("/")):
        raise InputError(f"{handle!r} is not a handle of Kaggle Models.", hint=_HANDLE_HINT)
    if version is not None and not re.fullmatch(r"[1-9][0-9]*", version):
        raise InputError(f"{handle!r} ends with {version!r}, which is not the number of a version.", hint=_HANDLE_HINT)
    return repo, version


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where a file's bytes are now, and what is said of them there: size in bytes, hashes in hexadecimal."""

    url: str
    size: int
    md5: str | None
    crc32c: str | None


class KaggleSource(Source):
    """One variation of a model. A version never changes; the newest is looked up once, by :meth:`snapshot`."""

    def __init__(self, options: KaggleOptions, control: Control) -> None:
        self._options = options
        self._control = control
        self._endpoint = options.endpoint.rstrip("/")
        self._web = WebClient(
            control,
            pool_size=options.pool_size,
            validate_certs=options.validate_certs,
            ca_bundle=options.ca_bundle,
        )
        self._snapshot: Snapshot | None = None
        self._urls: dict[str, str] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    @property
    def where(self) -> str:
        return f"{self._handle} on {self._endpoint}"

    @property
    def page(self) -> str:
        """The page of the model, where its terms are accepted."""
        return f"{self._endpoint}/models/{self._handle}"

    @property
    def _handle(self) -> str:
        return "/".join(filter(None, (self._options.repo, self._options.version)))

    def describe(self) -> dict[str, t.Any]:
        options = self._options
        return {
            "type": "kaggle",
            "repo": options.repo,
            "endpoint": self._endpoint,
            "revision": options.version or "latest",
            "allow_patterns": list(options.allow_patterns),
            "ignore_patterns": list(options.ignore_patterns),
        }

    # -- what Kaggle says --------------------------------------------------------------------------------------

    def is_current(self, revision: str) -> bool:
        return (self._options.version or self._control.retry(self._newest)) == revision

    def snapshot(self) -> Snapshot:
        if self._snapshot is None:
            version = self._options.version or self._control.retry(self._newest)
            listed = {str(item["name"]): item.get("size") for item in self._list(version)}
            entries = [FileEntry(path=path, size=0, id="") for path in listed]
            chosen = select(
                entries, allow=self._options.allow_patterns, ignore=self._options.ignore_patterns, where=self.where
            )
            with concurrent.futures.ThreadPoolExecutor(min(_THREADS, len(chosen))) as pool:
                places = list(pool.map(lambda entry: self._control.retry(self._find, version, entry.path), chosen))
            files = []
            for entry, place in zip(chosen, places, strict=True):
                self._check_listed(entry.path, listed[entry.path], place)
                self._urls[entry.path] = place.url
                files.append(_entry(entry.path, version, place))
            self._snapshot = Snapshot(version, tuple(files))
        return self._snapshot

    def _newest(self) -> str:
        number = self._ask("get").get("versionNumber")
        if not isinstance(number, int) or number < 1:
            raise StoreError(f"{self.where} names no version.", hint=_HANDLE_HINT)
        return str(number)

    def _list(self, version: str) -> t.Iterator[t.Mapping[str, t.Any]]:
        """Every file of a version, as Kaggle lists it: ``name``, ``size`` in bytes."""
        token = ""
        while True:
            query = {"page_size": str(_PAGE_SIZE), **({"page_token": token} if token else {})}
            page = self._control.retry(self._ask, f"{version}/files?{urllib.parse.urlencode(query)}")
            files, following = page.get("files") or [], page.get("nextPageToken") or ""
            if not isinstance(files, list) or not all(isinstance(item, dict) and "name" in item for item in files):
                raise StoreError(f"{self.where} lists its files in a form that is not known.")
            yield from files
            if not following:
                return
            if following == token or not files:
                raise StoreError(f"{self.where} does not come to the end of its files.")
            token = following

    def _url(self, rest: str) -> str:
        return f"{self._endpoint}/api/v1/models/{self._options.repo}/{rest}"

    def _ask(self, rest: str) -> dict[str, t.Any]:
        url = self._url(rest)
        status, headers, data = self._web.fetch("GET", url, headers=self._headers(url))
        try:
            answer = parse_json(data)
        except ValueError:
            answer = None
        if status == 200 and isinstance(answer, dict) and isinstance(answer.get("code"), int):
            status = answer["code"]  # which Kaggle's own client takes for the status, too
        self._check(status, headers, answer)
        if status != 200 or not isinstance(answer, dict):
            raise StoreError(f"{self.where}: HTTP {status} without an answer in JSON.", hint="Check endpoint.")
        return answer

    def _check(self, status: int, headers: t.Mapping[str, str], answer: t.Any) -> None:
        """:raises TransferError: what a refusal means, with Kaggle's own words."""
        said = str(answer.get("message") or "") if isinstance(answer, dict) else ""
        for secret in self._options.credentials.secrets:
            said = said.replace(secret, "***")
        said = " ".join(said.split())[:200].rstrip(".") or f"HTTP {status}"
        who = self._options.credentials.who
        # https://github.com/keras-team/keras-hub/issues/2160
        if status == 403 and "consent" in said.lower():
            raise AccessError(
                f"{self.where}: the terms of the model have not been accepted: {said}.",
                hint=f"Visit {self.page}, accept them as {who}, and run again.",
            )
        if status in (401, 403) and not self._options.credentials.secrets:
            raise AccessError(
                f"{self.where} needs credentials, and none were given: {said}.",
                hint="Make an API token at https://www.kaggle.com/settings, and give it as token.",
            )
        if status == 401:
            raise AccessError(
                f"{self.where} refuses the credentials: {said}.",
                hint="They are wrong, expired or revoked: make new ones at https://www.kaggle.com/settings.",
            )
        if status == 403:
            # What does not exist is refused, too: https://github.com/Kaggle/kaggle-cli/issues/548
            raise AccessError(
                f"{self.where} does not exist, or {who} may not read it: {said}.", hint=f"Check {self.page}."
            )
        if status == 404:
            raise NotFoundError(f"{self.where} does not exist: {said}.", hint=_HANDLE_HINT)
        if status in RETRY_STATUS:
            raise TransientError(f"{self.where}: {said}.", retry_after=retry_after(headers))
        raise_for_status(status, headers, self.where)

    # -- the bytes ---------------------------------------------------------------------------------------------

    def _headers(self, url: str) -> dict[str, str]:
        """The credentials go to Kaggle and to nobody else, least of all to the storage it redirects to."""
        headers = {"Accept-Encoding": "identity", "User-Agent": "modelops.serving"}
        if self._is_kaggle(url) and self._options.credentials.authorization:
            headers["Authorization"] = self._options.credentials.authorization
        return headers

    def _is_kaggle(self, url: str) -> bool:
        here, there = urllib.parse.urlsplit(self._endpoint), urllib.parse.urlsplit(url)
        return (here.scheme, here.netloc) == (there.scheme, there.netloc)

    def _find(self, version: str, path: str) -> _Place:
        """Follow the redirects of one file to where its bytes are, and read what is said of them there."""
        # One byte: URLs are signed for GET, and the headers of a range are about the whole file.
        url, what = self._url(f"{version}/download/{urllib.parse.quote(path)}"), f"{path} of {self.where}"
        for _hop in range(5):
            response = self._web.open("GET", url, headers={**self._headers(url), "Range": "bytes=0-0"})
            status, headers = response.status, response.headers
            with Body(response, what) as chunks:
                if status in _REDIRECT:
                    url = urllib.parse.urljoin(url, headers["Location"])
                    continue
                data = b"" if status == 200 else b"".join(chunks)  # read to its end, so that the connection can be kept
                if self._is_kaggle(url) and status >= 400 and status != 416:
                    self._check_offered(status, headers, what, data)
            if status == 416 and headers.get("Content-Range") == "bytes */0":
                return _Place(url, 0, None, None)
            self._check_storage(status, headers, what)
            found = re.fullmatch(r"bytes 0-0/(\d+)", headers.get("Content-Range") or "")
            size = found[1] if status == 206 and found else headers.get("Content-Length") if status == 200 else None
            if size is None:
                raise TransientError(f"{what}: HTTP {status} to a request for its first byte.")
            if headers.get("x-goog-stored-content-encoding", "identity") != "identity":
                raise self._not_offered(what, "it is stored in a compressed form")
            return _Place(url, int(size), _hash(headers, "md5", 16), _hash(headers, "crc32c", 4))
        raise StoreError(f"{what}: more than five redirects.")

    def _check_offered(self, status: int, headers: t.Mapping[str, str], what: str, data: bytes) -> None:
        if status in (400, 404, 405):
            raise self._not_offered(what, f"HTTP {status}")
        try:
            answer = parse_json(data)
        except ValueError:
            answer = None
        self._check(status, headers, answer)

    def _check_storage(self, status: int, headers: t.Mapping[str, str], what: str) -> None:
        # Google Cloud Storage answers 400 where the signature has expired.
        if status in (400, 401, 403):
            raise TransientError(f"{what}: the signed URL was refused (HTTP {status}); asking anew.")
        raise_for_status(status, headers, what)

    def _check_listed(self, path: str, size: t.Any, place: _Place) -> None:
        if isinstance(size, int) and size > 0 and size != place.size:
            raise self._not_offered(
                f"{path} of {self.where}", f"it has {size} bytes by the list, and {place.size} in the storage"
            )

    def _not_offered(self, what: str, why: str) -> StoreError:
        return StoreError(
            f"{what} is listed, but not offered as a file of its own: {why}.",
            hint=f"See {self.page}. Leave the file out with ignore_patterns, or copy the model from another place.",
        )

    def _locate(self, entry: FileEntry) -> str:
        """Where the bytes are now; kept until the signed URL expires."""
        with self._guard:
            lock = self._locks.setdefault(entry.path, threading.Lock())
        with lock:
            if entry.path not in self._urls:
                self._urls[entry.path] = self._find(self.snapshot().revision, entry.path).url
            return self._urls[entry.path]

    @contextlib.contextmanager
    def open(self, entry: FileEntry, start: int, end: int) -> t.Iterator[t.Iterator[bytes]]:
        url, what = self._locate(entry), f"{entry.path} of {self.where}"
        headers = self._headers(url)
        if (start, end) != (0, entry.size):
            headers["Range"] = f"bytes={start}-{end - 1}"
        response = self._web.open("GET", url, headers=headers)
        with Body(response, f"{what} ({redact(url)})") as chunks:
            if response.status not in (200, 206):
                self._urls.pop(entry.path, None)
            self._check_storage(response.status, response.headers, what)
            check_range(response.status, response.headers, what, start=start, end=end, size=entry.size)
            yield chunks


def _entry(path: str, version: str, place: _Place) -> FileEntry:
    """The file as it is held against its source: by its MD5, or by its CRC32C where that is all there is."""
    if place.md5 is None and place.crc32c is not None:
        require_package("google_crc32c", "google-crc32c")
    return FileEntry(
        path=path,
        size=place.size,
        id=place.md5 or (f"crc32c:{place.crc32c}" if place.crc32c else f"version {version}"),
        md5=place.md5,
        crc32c=None if place.md5 else place.crc32c,
    )


def _hash(headers: t.Mapping[str, str], name: str, size: int) -> str | None:
    """A hash of the whole file in hexadecimal, https://cloud.google.com/storage/docs/xml-api/reference-headers#xgooghash."""
    found = re.search(rf"(?:^|[\s,]){name}=([A-Za-z0-9+/=]+)", headers.get("x-goog-hash") or "")
    try:
        value = base64.b64decode(found[1], validate=True) if found else b""
    except binascii.Error:
        return None
    return value.hex() if len(value) == size else None
