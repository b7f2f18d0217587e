# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Google Cloud Storage through its JSON API; google-auth for credentials, our own client for the bytes.

A large file goes up as parts that are objects of their own and is then composed from them
(https://cloud.google.com/storage/docs/composite-objects). A resumable upload would take its bytes strictly one
after the other. CRC32C guards all of it: every request names the one it expects, every answer is compared with
it, and that of a composed object must be what its parts' combine to.
"""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import dataclasses
import functools
import json
import os
import re
import typing as t
import urllib.parse
import uuid

try:
    import urllib3
except ImportError:
    pass  # whoever calls the engine has said so before

from ..control import Control
from ..errors import (
    AccessError,
    ConflictError,
    InputError,
    NotFoundError,
    SourceChangedError,
    StoreError,
    TransferError,
    TransientError,
)
from ..google import GoogleAuth, GoogleCredentials, require_package
from ..model import FileEntry, Listed
from ..paths import CONTROL
from ..prefix import UPLOADS
from ..web import RETRY_STATUS, Body, Payload, WebClient, check_range, network_error, retry_after
from .base import Part, Store, Stored

DEFAULT_ENDPOINT = "https://storage.googleapis.com"
_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
_PROBE = CONTROL + "probe"
_PARTS = CONTROL + "parts/"
_ID, _SHA256, _CRC32C = "model-sync-id", "model-sync-sha256", "model-sync-crc32c"
_COMPONENTS = 32  # of one compose request
_THREADS = 8  # for the many small requests that end an upload
_PATIENCE = 120.0  # seconds in which the server may compose or copy without a word
_RATE = {"rateLimitExceeded", "userRateLimitExceeded", "backendError", "internalError"}

_Resource: t.TypeAlias = "dict[str, t.Any]"


@dataclasses.dataclass(frozen=True)
class GcsOptions:
    """How to reach a bucket, with the names of the google.cloud collection.

    Credentials are those of :class:`GoogleCredentials`. The endpoint is looked up in ``GCP_STORAGE_ENDPOINT`` and then
    ``STORAGE_EMULATOR_HOST`` when it is None.
    """

    bucket: str
    auth_kind: str | None = None
    service_account_file: str | None = None
    service_account_contents: str | None = dataclasses.field(default=None, repr=False)
    access_token: str | None = dataclasses.field(default=None, repr=False)
    endpoint_url: str | None = None
    validate_certs: bool = True
    ca_bundle: str | None = None
    pool_size: int = 16

    def resolved(self) -> GcsOptions:
        """The same with everything decided.

        :raises InputError: options that contradict each other or lack what they need.
        """
        emulator = None if self.endpoint_url else os.environ.get("STORAGE_EMULATOR_HOST")
        endpoint = self.endpoint_url or os.environ.get("GCP_STORAGE_ENDPOINT") or None
        if endpoint is None and emulator:
            endpoint = emulator if "://" in emulator else f"http://{emulator}"
        else:
            emulator = None
        endpoint = (endpoint or DEFAULT_ENDPOINT).rstrip("/")
        if not re.match(r"https?://[^/]", endpoint):
            raise InputError(f"GCS endpoint {endpoint!r} is not an http or https URL.")
        # Google's own clients ask emulators without credentials, too.
        credentials = self.credentials.resolved("anonymous" if emulator else "application")
        return dataclasses.replace(self, endpoint_url=endpoint, **dataclasses.asdict(credentials))

    @property
    def credentials(self) -> GoogleCredentials:
        """The part that is not about the bucket."""
        return GoogleCredentials(
            self.auth_kind, self.service_account_file, self.service_account_contents, self.access_token
        )


# -- CRC32C ----------------------------------------------------------------------------------------------------


def crc32c(data: memoryview, value: int = 0) -> int:
    """CRC32C of some bytes that follow on those with the CRC32C ``value``."""
    extend = require_package("google_crc32c", "google-crc32c").extend
    # The extension takes nothing but bytes; pieces that fit the processor's cache make the copy nearly free.
    for start in range(0, len(data), 1 << 16):
        value = extend(value, bytes(data[start : start + (1 << 16)]))
    return int(value)


def _multiply(a: int, b: int) -> int:
    """Product of two polynomials over GF(2) modulo CRC32C's, bits reflected (bit 31 is x^0)."""
    product = 0
    for bit in range(31, -1, -1):
        if a >> bit & 1:
            product ^= b
        b = b >> 1 ^ (0x82F63B78 if b & 1 else 0)
    return product


@functools.lru_cache(maxsize=256)
def _shift(length: int) -> int:
    """x^(8 * length): what ``length`` zero bytes do to a CRC."""
    result, power = 1 << 31, 1 << 23
    while length:
        if length & 1:
            result = _multiply(power, result)
        power = _multiply(power, power)
        length >>= 1
    return result


def crc32c_combine(first: int, second: int, second_length: int) -> int:
    """CRC32C of two byte strings after each other, from theirs and the length of the second; as zlib's crc32_combine."""
    return _multiply(_shift(second_length), first) ^ second


def _encode(crc: int) -> str:
    return base64.b64encode(crc.to_bytes(4, "big")).decode()


def _decode(text: str) -> int:
    try:
        return int.from_bytes(base64.b64decode(text, validate=True), "big")
    except ValueError as error:
        raise StoreError(f"{text!r} is not a CRC32C.") from error


# -- requests ----------------------------------------------------------------------------------------------------


class _Session:
    """Authorized requests to one endpoint; shared by all prefixes of a store."""

    def __init__(self, options: GcsOptions, control: Control) -> None:
        self._endpoint = options.endpoint_url or DEFAULT_ENDPOINT
        self._web = WebClient(
            control, pool_size=options.pool_size, validate_certs=options.validate_certs, ca_bundle=options.ca_bundle
        )
        self._auth = GoogleAuth(options.credentials, self._web, scope=_SCOPE)

    def open(
        self,
        method: str,
        path: str,
        query: t.Mapping[str, str],
        *,
        headers: t.Mapping[str, str] | None = None,
        body: Payload | None = None,
        timeout: float | None = None,
    ) -> urllib3.BaseHTTPResponse:
        """Send a request, once more with a new token if the old one is refused."""
        url = f"{self._endpoint}{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")

        def send(authorization: t.Mapping[str, str]) -> urllib3.BaseHTTPResponse:
            return self._web.open(method, url, headers={**(headers or {}), **authorization}, body=body, timeout=timeout)

        used = self._auth.headers()
        response = send(used)
        if response.status == 401 and self._auth.renew(used):
            response.close()
            response = send(self._auth.headers())
        return response


# -- the store -------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Piece:
    """An object that becomes part of another one."""

    name: str
    size: int
    crc: int


def _joined(pieces: t.Iterable[_Piece], name: str) -> _Piece:
    """What composing the pieces must make."""
    size, crc = 0, 0
    for piece in pieces:
        size, crc = size + piece.size, crc32c_combine(crc, piece.crc, piece.size)
    return _Piece(name, size, crc)


class _DamagedError(StoreError):
    """An object is not what it was composed of."""


class GcsStore(Store):
    """A prefix of a bucket. The ETag of an object is its generation.

    :param prefix: empty, or ends with ``/``.
    :param session: shared between prefixes of one bucket; made from the options when None.
    """

    # Parts survive on their own here, so a checkpoint only saves reading; and one object, the ledger, may not be
    # written more than about once a second.
    checkpoint_every: t.ClassVar[int] = 32

    def __init__(self, options: GcsOptions, control: Control, *, prefix: str, session: _Session | None = None) -> None:
        require_package("google_crc32c", "google-crc32c")
        self._options = options if session else options.resolved()
        self._control = control
        self._prefix = prefix
        self._session = session or _Session(self._options, control)

    @property
    def url(self) -> str:
        return f"gs://{self._options.bucket}/{self._prefix}"

    @property
    def prefix(self) -> str:
        return self._prefix

    @property
    def options(self) -> GcsOptions:
        """How this store is reached."""
        return self._options

    def at(self, prefix: str) -> GcsStore:
        return GcsStore(self._options, self._control, prefix=prefix, session=self._session)

    # -- requests ----------------------------------------------------------------------------------------------

    def _name(self, path: str) -> str:
        name = self._prefix + path
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"File {path!r} cannot be an object of GCS: its name is not UTF-8.", hint="Rename or ignore it."
            ) from error
        return name

    @property
    def _bucket(self) -> str:
        return "/storage/v1/b/" + urllib.parse.quote(self._options.bucket, safe="")

    def _object(self, path: str) -> str:
        return self._bucket + "/o/" + urllib.parse.quote(self._name(path), safe="")

    def _send(
        self,
        method: str,
        where: str,
        query: t.Mapping[str, str],
        action: str,
        *,
        headers: t.Mapping[str, str] | None = None,
        body: Payload | None = None,
        timeout: float | None = None,
    ) -> bytes:
        """The answer to a request that went well; ``action`` completes "Cannot ..."."""
        response = self._session.open(method, where, query, headers=headers, body=body, timeout=timeout)
        try:
            data = response.read(decode_content=True)
        except urllib3.exceptions.HTTPError as error:
            raise network_error(error, f"Cannot {action}") from error
        finally:
            response.release_conn()
        if response.status >= 300:
            raise self._error(response.status, response.headers, data, action)
        return data

    def _call(self, method: str, where: str, query: t.Mapping[str, str], action: str, **more: t.Any) -> _Resource:
        """As :meth:`_send`, and the answer is JSON."""
        try:
            answer = json.loads(self._send(method, where, query, action, **more))
            if isinstance(answer, dict):
                return answer
        except ValueError:
            pass
        raise TransientError(
            f"Cannot {action}: the answer is not JSON.", hint="Check that endpoint_url is the JSON API of GCS."
        )

    def _post(self, where: str, query: t.Mapping[str, str], action: str, body: _Resource) -> _Resource:
        headers = {"Content-Type": "application/json"}
        patience = max(_PATIENCE, self._control.stall_timeout)
        data = json.dumps(body).encode()
        return self._call("POST", where, query, action, headers=headers, body=data, timeout=patience)

    def _error(self, status: int, headers: t.Mapping[str, str], data: bytes, action: str) -> TransferError:
        reason, said = _google_error(data)
        what = f"Cannot {action}: HTTP {status}{f' ({reason})' if reason else ''}{f': {said}' if said else ''}."
        if status in RETRY_STATUS or status > 504 or (status == 403 and reason in _RATE):
            return TransientError(what, retry_after=retry_after(headers))
        if status == 400 and re.search(r"crc32c|md5", said, re.IGNORECASE):
            return TransientError(what)  # damaged on the way; another try sends them again
        if reason.startswith("userProject"):
            return AccessError(what, hint="Name the project to bill in GOOGLE_CLOUD_QUOTA_PROJECT.")
        if status == 401:
            return AccessError(
                what, hint="The credentials are missing, wrong or expired: renew them; what has arrived stays."
            )
        if status == 403:
            return AccessError(what, hint=self._advice(said))
        if status in (409, 412):
            return ConflictError(what)
        if status in (404, 410):
            return NotFoundError(what)
        if status == 416:
            return SourceChangedError(what)
        return StoreError(what)

    def _advice(self, said: str) -> str:
        permission = re.search(r"storage\.\w+(\.\w+)+", said)
        if not permission:
            return f"Check what the credentials may do in bucket {self._options.bucket!r}."
        reading = permission[0] in ("storage.objects.get", "storage.objects.list")
        role = "roles/storage.objectViewer" if reading else "roles/storage.objectUser"
        return f"Grant {permission[0]} on bucket {self._options.bucket!r}; {role} has it."

    def _no_bucket(self) -> NotFoundError:
        return NotFoundError(
            f"Bucket {self._options.bucket!r} does not exist at {self._options.endpoint_url}.",
            hint="Create it first, or check its name and endpoint_url.",
        )

    def _items(self, below: str, fields: str) -> t.Iterator[_Resource]:
        """Objects whose names start with ``below`` the prefix, in order."""
        query = {"prefix": self._name(below), "fields": f"items({fields}),nextPageToken"}
        while True:
            try:
                page = self._call("GET", f"{self._bucket}/o", query, f"list {self.url}{below}")
            except NotFoundError:
                raise self._no_bucket() from None
            yield from page.get("items", ())
            if not page.get("nextPageToken"):
                return
            query["pageToken"] = page["nextPageToken"]

    def _resource(self, path: str, *, generation: str | None = None) -> _Resource | None:
        query = {"fields": "size,generation,crc32c,metadata"}
        if generation is not None:
            query["ifGenerationMatch"] = generation
        try:
            return self._call("GET", self._object(path), query, f"read the metadata of {self.url}{path}")
        except NotFoundError:
            return None

    # -- reading -----------------------------------------------------------------------------------------------

    def list(self) -> dict[str, Listed]:
        start = len(self._prefix)
        items = self._items("", "name,size,generation")
        return {
            item["name"][start:]: Listed(size=int(item["size"]), etag=str(item["generation"]))
            for item in items
            if len(item["name"]) > start
        }

    def get(self, path: str) -> tuple[bytes, str] | None:
        response = self._session.open("GET", self._object(path), {"alt": "media"})
        try:
            data = response.read(decode_content=False)
        except urllib3.exceptions.HTTPError as error:
            raise network_error(error, f"Cannot read {self.url}{path}") from error
        finally:
            response.release_conn()
        if response.status == 404:
            return None
        if response.status != 200:
            raise self._error(response.status, response.headers, data, f"read {self.url}{path}")
        generation = response.headers.get("X-Goog-Generation")
        if not generation:
            raise StoreError(
                f"{self.url}{path} came without its generation.", hint="Check that endpoint_url is the JSON API of GCS."
            )
        expected = re.search(r"crc32c=([\w+/=]+)", response.headers.get("X-Goog-Hash", ""))
        if expected and _decode(expected[1]) != crc32c(memoryview(data)):
            raise TransientError(f"{self.url}{path} arrived with another CRC32C than it has in the store.")
        return data, generation

    @contextlib.contextmanager
    def open(self, path: str, start: int, end: int, *, size: int, etag: str) -> t.Iterator[t.Iterator[bytes]]:
        what = f"{self.url}{path}"
        response = self._session.open(
            "GET",
            self._object(path),
            {"alt": "media", "ifGenerationMatch": etag},
            headers={"Range": f"bytes={start}-{end - 1}"},
        )
        with Body(response, what) as chunks:
            headers = response.headers
            if response.status in (404, 412) or headers.get("X-Goog-Generation", etag) != etag:
                raise SourceChangedError(f"{what} is not the object that was listed any more.")
            if response.status >= 400:
                raise self._error(response.status, headers, b"".join(chunks), f"read {what}")
            encoding = headers.get("X-Goog-Stored-Content-Encoding", "identity")
            if encoding != "identity":
                # Its size is that of the encoded bytes, its readers get the decoded ones: it cannot be copied exactly.
                raise StoreError(
                    f"{what} is stored with Content-Encoding {encoding!r}.", hint="Store it without an encoding."
                )
            check_range(response.status, headers, what, start=start, end=end, size=size)
            yield chunks

    def identify(self, path: str) -> Stored | None:
        found = self._resource(path)
        metadata = (found or {}).get("metadata", {})
        # An object may carry our name and yet be damaged, when a run ended between seeing that and deleting it.
        if found is None or _ID not in metadata or metadata.get(_CRC32C) != found.get("crc32c"):
            return None
        return Stored(metadata[_ID], metadata.get(_SHA256))

    # -- writing -----------------------------------------------------------------------------------------------

    def prepare(self, need: int) -> None:
        del need  # object stores do not run full
        self.put(_PROBE, b"model-sync checks that it may write here")
        self.delete(_PROBE)

    def _insert(self, path: str, data: memoryview, crc: int, resource: _Resource, query: t.Mapping[str, str]) -> str:
        """Write an object in one request and compare checksums; its generation."""
        expected = _encode(crc)
        if path.startswith(CONTROL):
            # Caches hold public objects for an hour if they may, and would show an old lease or manifest.
            resource = resource | {"cacheControl": "no-store"}
        resource = resource | {"name": self._name(path), "crc32c": expected, "contentType": "application/octet-stream"}
        boundary = uuid.uuid4().hex
        head = (
            f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{json.dumps(resource)}\r\n"
            f"--{boundary}\r\nContent-Type: application/octet-stream\r\n\r\n"
        ).encode()
        try:
            answer = self._call(
                "POST",
                f"/upload{self._bucket}/o",
                {"uploadType": "multipart", "fields": "generation,crc32c", **query},
                f"write {self.url}{path}",
                headers={"Content-Type": f"multipart/related; boundary={boundary}"},
                body=(head, data, f"\r\n--{boundary}--\r\n".encode()),
            )
        except NotFoundError:
            raise self._no_bucket() from None
        # GCS refuses other bytes than those of the CRC32C it was told. Not everything that speaks its API does.
        if answer.get("crc32c") != expected:
            self._discard(path, answer)
            raise TransientError(
                f"{self.url}{path} arrived with CRC32C {answer.get('crc32c')} instead of {expected}; it was deleted.",
                hint="Something between here and the store changes bytes.",
            )
        return str(answer["generation"])

    def _discard(self, path: str, answer: _Resource) -> None:
        with contextlib.suppress(ConflictError):  # somebody else has replaced it already
            self._control.retry(self._delete, path, answer.get("generation"))

    def put(
        self,
        path: str,
        data: memoryview | bytes,
        *,
        stored: Stored | None = None,
        if_absent: bool = False,
        if_match: str | None = None,
    ) -> str:
        view = memoryview(data)
        crc = crc32c(view)
        query = {}
        if if_absent:
            query["ifGenerationMatch"] = "0"
        if if_match is not None:
            query["ifGenerationMatch"] = if_match
        return self._insert(path, view, crc, {"metadata": _metadata(stored, crc)} if stored else {}, query)

    def delete(self, path: str) -> None:
        self._delete(path, None)

    def _delete(self, path: str, generation: str | None) -> None:
        query = {"ifGenerationMatch": str(generation)} if generation else {}
        with contextlib.suppress(NotFoundError):
            self._send("DELETE", self._object(path), query, f"delete {self.url}{path}")

    def _delete_all(self, paths: t.Iterable[str]) -> None:
        with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
            for _done in pool.map(lambda path: self._control.retry(self.delete, path), paths):
                pass

    # -- large files -------------------------------------------------------------------------------------------

    def begin(self, entry: FileEntry) -> str:
        self._name(entry.path)
        return uuid.uuid4().hex

    def put_part(self, path: str, upload: str, index: int, offset: int, data: memoryview) -> Part:
        del path, offset  # parts are found by upload and index
        crc = crc32c(data)
        # Parts live for minutes; classes for cold data would bill them for months.
        self._insert(f"{_PARTS}{upload}/{index:05d}", data, crc, {"storageClass": "STANDARD"}, {})
        return Part(etag=_encode(crc), size=len(data))

    def parts(self, path: str, upload: str) -> dict[int, Part] | None:
        # An upload begins with its first part, so none at all is the beginning of one.
        return {
            int(item["name"].rpartition("/")[2]): Part(etag=item["crc32c"], size=int(item["size"]))
            for item in self._items(f"{_PARTS}{upload}/", "name,size,crc32c")
            if re.search(r"/[0-9]{5}$", item["name"])
        }

    def part_matches(self, part: Part, data: memoryview) -> bool:
        return part.size == len(data) and part.etag == _encode(crc32c(data))

    def complete(self, entry: FileEntry, upload: str, parts: t.Mapping[int, Part], stored: Stored) -> str:
        pieces: t.Sequence[_Piece] = [
            _Piece(f"{_PARTS}{upload}/{index:05d}", parts[index].size, _decode(parts[index].etag))
            for index in range(len(parts))
        ]
        whole = _joined(pieces, entry.path)
        if whole.size != entry.size:
            raise StoreError(f"The parts of {self.url}{entry.path} have {whole.size} bytes instead of {entry.size}.")
        metadata = _metadata(stored, whole.crc)
        try:
            level = 0
            while len(pieces) > _COMPONENTS:
                pieces = self._compose_level(f"{_PARTS}{upload}/level{level}-", pieces)
                level += 1
            generation = self._compose(whole, pieces, {"metadata": metadata})
        except _DamagedError:
            # Some part is not what it was: the next run must not build on them.
            self.abort(entry.path, upload)
            raise
        except (NotFoundError, TransientError):
            # An earlier try may have done it, and its answer was lost or its parts are being deleted already.
            found = self._resource(entry.path)
            if found is None or not _is(found, whole, metadata):
                raise
            generation = str(found["generation"])
        self.abort(entry.path, upload)
        return generation

    def _compose_level(self, prefix: str, pieces: t.Sequence[_Piece]) -> t.Sequence[_Piece]:
        groups = [pieces[start : start + _COMPONENTS] for start in range(0, len(pieces), _COMPONENTS)]
        wholes = [_joined(group, f"{prefix}{number:05d}") for number, group in enumerate(groups)]
        resource = {"storageClass": "STANDARD"}

        def compose(whole: _Piece, group: t.Sequence[_Piece]) -> None:
            self._control.retry(self._compose, whole, group, resource)

        with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
            for _done in pool.map(compose, wholes, groups):
                pass
        return wholes

    def _compose(self, whole: _Piece, pieces: t.Sequence[_Piece], resource: _Resource) -> str:
        """Make one object of at most 32; its generation.

        :raises _DamagedError: it is not what its parts were. It was deleted.
        """
        answer = self._post(
            f"{self._object(whole.name)}/compose",
            {"fields": "generation,crc32c,size"},
            f"compose {self.url}{whole.name}",
            {
                "sourceObjects": [{"name": self._name(piece.name)} for piece in pieces],
                "destination": resource | {"contentType": "application/octet-stream"},
            },
        )
        if answer.get("crc32c") != _encode(whole.crc) or int(answer.get("size", -1)) != whole.size:
            self._discard(whole.name, answer)
            raise _DamagedError(
                f"{self.url}{whole.name} was composed to {answer.get('size')} bytes with CRC32C "
                f"{answer.get('crc32c')} instead of {whole.size} with {_encode(whole.crc)}; it was deleted.",
                hint="Run again, which sends this file anew.",
            )
        return str(answer["generation"])

    def abort(self, path: str, upload: str) -> None:
        del path  # the object itself is not touched
        self._delete_all(self._control.retry(self._below, f"{_PARTS}{upload}/"))

    def _below(self, path: str) -> t.Sequence[str]:
        return [item["name"][len(self._prefix) :] for item in self._items(path, "name")]

    def settle(self) -> None:
        # Parts that were still on their way when their upload was given up. A run that began after this one let go
        # of its lease has parts as well, but those have a ledger, which is older than they are and listed after them.
        found = self._control.retry(self._below, CONTROL)
        parts = [path for path in found if path.startswith(_PARTS)]
        if not parts:
            return
        alive = set()
        for ledger in (path for path in found if path.startswith(UPLOADS)):
            note = self._control.retry(self.get, ledger)
            with contextlib.suppress(ValueError, KeyError, TypeError):
                alive.add(json.loads(note[0] if note else b"")["upload"])
        self._delete_all(path for path in parts if path[len(_PARTS) :].partition("/")[0] not in alive)

    # -- server-side copy --------------------------------------------------------------------------------------

    def copy(self, source: Store, entry: FileEntry) -> str | None:
        if not isinstance(source, GcsStore) or not self._same_access(source):
            return None
        changed = SourceChangedError(f"{source.url}{entry.path} is not the object that was listed.")
        try:
            origin = source._resource(entry.path, generation=entry.version)
        except ConflictError as error:
            raise changed from error
        if origin is None or str(origin["generation"]) != entry.version:
            raise changed
        # The body replaces all metadata, so that nothing of another sync comes along.
        resource = {
            "contentType": "application/octet-stream",
            "metadata": _metadata(Stored(entry.id, entry.sha256), _decode(origin["crc32c"])),
        }
        where = f"{source._object(entry.path)}/rewriteTo{self._rewrite_target(entry.path)}"
        query = {"ifSourceGenerationMatch": entry.version, "sourceGeneration": entry.version}
        while True:
            try:
                answer = self._control.retry(self._post, where, query, f"copy {source.url}{entry.path}", resource)
            except (ConflictError, NotFoundError) as error:
                raise changed from error
            if answer.get("done"):
                break
            query["rewriteToken"] = answer["rewriteToken"]
        made = answer["resource"]
        if made.get("crc32c") != origin["crc32c"] or int(made["size"]) != entry.size:
            self._discard(entry.path, made)
            raise TransientError(
                f"{self.url}{entry.path} was copied with CRC32C {made.get('crc32c')} instead of {origin['crc32c']}; "
                "it was deleted."
            )
        return str(made["generation"])

    def _rewrite_target(self, path: str) -> str:
        return self._object(path).removeprefix("/storage/v1")

    def _same_access(self, other: GcsStore) -> bool:
        fields = ("endpoint_url", "auth_kind", "service_account_file", "service_account_contents", "access_token")
        return all(getattr(self._options, field) == getattr(other.options, field) for field in fields)


def _metadata(stored: Stored, crc: int) -> dict[str, str]:
    return {_ID: stored.id, _CRC32C: _encode(crc)} | ({_SHA256: stored.sha256} if stored.sha256 else {})


def _is(found: _Resource, whole: _Piece, metadata: t.Mapping[str, str]) -> bool:
    theirs = found.get("metadata", {})
    return (
        int(found["size"]) == whole.size
        and found.get("crc32c") == _encode(whole.crc)
        and all(theirs.get(key) == value for key, value in metadata.items())
    )


def _google_error(data: bytes) -> tuple[str, str]:
    """Reason and message of an error body; empty where a proxy answered instead of Google."""
    try:
        error = json.loads(data)["error"]
        reasons = [item.get("reason") for item in error.get("errors", ())]
        return next((str(reason) for reason in reasons if reason), ""), str(error.get("message", "")).strip(" .")
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", ""


__all__ = ["GcsOptions", "GcsStore", "crc32c", "crc32c_combine"]
