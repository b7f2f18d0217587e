# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Any S3-compatible store, through botocore (the core of boto3): credentials, signing, protocol.

Two settings matter more than any other choice. ``payload_signing_enabled=False`` saves a SHA-256 over all
bytes on http endpoints, and ``request_checksum_calculation='when_required'`` keeps stores working that
reject the newer checksum trailers (https://github.com/boto/boto3/issues/4392). Bytes are checked on arrival
all the same: :meth:`S3Store.prepare` sends a deliberately wrong checksum and sees which kind the store refuses.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import math
import typing as t
import zlib

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
    UnsupportedError,
)
from ..model import FileEntry, Listed
from ..paths import CONTROL
from ..web import CHUNK, RETRY_STATUS, redact, retry_after
from .base import Bytes, Part, Store, Stored

if t.TYPE_CHECKING:
    from ..ibm import IamTokens

_PROBE = CONTROL + "probe"
_ID, _SHA256 = "model-sync-id", "model-sync-sha256"
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
_EXPIRED = {"ExpiredToken", "RequestExpired", "TokenRefreshRequired", "ExpiredTokenException"}
_ACCESS = {
    "AccessDenied",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidToken",
    "AllAccessDisabled",
} | _EXPIRED
_RETRY = {"SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "Throttling", "ThrottlingException",
          "RequestTimeTooSkewed", "OperationAborted", "BadDigest", "XAmzContentChecksumMismatch", "IncompleteBody"}  # fmt: skip
_COPY_LIMIT = 5 * 1024**3  # largest CopyObject, and largest UploadPartCopy range
_MIB = 1024**2


@dataclasses.dataclass(frozen=True)
class S3Options:
    """How to reach a bucket; None means what the AWS SDK finds in its usual places.

    ``endpoint_url`` None is AWS itself; no other endpoint is ever put in its place.
    """

    bucket: str
    endpoint_url: str | None = None
    region: str | None = None
    access_key: str | None = dataclasses.field(default=None, repr=False)
    secret_key: str | None = dataclasses.field(default=None, repr=False)
    session_token: str | None = dataclasses.field(default=None, repr=False)
    profile: str | None = None
    anonymous: bool = False
    validate_certs: bool = True
    ca_bundle: str | None = None
    pool_size: int = 16


class _Payload:
    """A file-like view for botocore, so that a part is sent without being copied."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._position = 0

    def __len__(self) -> int:
        return len(self._data)

    def read(self, size: int = -1) -> memoryview:
        end = len(self._data) if size < 0 else self._position + size
        piece = self._data[self._position : end]
        self._position += len(piece)
        return piece

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = {0: 0, 1: self._position, 2: len(self._data)}[whence] + offset
        return self._position

    def tell(self) -> int:
        return self._position


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _crc64nvme(data: memoryview) -> str:
    from awscrt import checksums  # optional

    return _b64(checksums.crc64nvme(data).to_bytes(8, "big"))


def _crc32(data: memoryview) -> str:
    return _b64(zlib.crc32(data).to_bytes(4, "big"))


def _md5(data: memoryview) -> str:
    return _b64(hashlib.md5(data, usedforsecurity=False).digest())


@dataclasses.dataclass(frozen=True)
class _Checksum:
    """A way to have bytes checked on arrival: the request parameter and how its value is made."""

    parameter: str
    make: t.Callable[[memoryview], str]
    algorithm: str | None = None

    def arguments(self, data: memoryview) -> dict[str, str]:
        return {self.parameter: self.make(data)}


def _checksums() -> t.Iterator[_Checksum]:
    """Best first: CRC64NVME is nearly free with awscrt, CRC32 comes with Python, MD5 is understood everywhere."""
    with contextlib.suppress(ImportError):
        _crc64nvme(memoryview(b""))
        yield _Checksum("ChecksumCRC64NVME", _crc64nvme, "CRC64NVME")
    yield _Checksum("ChecksumCRC32", _crc32, "CRC32")
    yield _Checksum("ContentMD5", _md5)


class S3Store(Store):
    """A prefix of a bucket.

    :param prefix: empty, or ends with ``/``.
    :param client: shared between prefixes of one bucket; made from the options when None.
    :param iam: tokens that are sent in place of signatures.
    """

    def __init__(
        self,
        options: S3Options,
        control: Control,
        *,
        prefix: str,
        client: t.Any = None,
        iam: IamTokens | None = None,
    ) -> None:
        self._options = options
        self._control = control
        self._prefix = prefix
        self._iam = iam
        self._client = client if client is not None else self._make_client(signed_payload=False)
        self._checksum: _Checksum | None = None
        self._full_object = True

    @property
    def url(self) -> str:
        return f"s3://{self._options.bucket}/{self._prefix}"

    @property
    def place(self) -> str:
        return f"{self._options.endpoint_url or 'AWS'} {self.url}"

    @property
    def prefix(self) -> str:
        return self._prefix

    @property
    def options(self) -> S3Options:
        """How this store is reached."""
        return self._options

    def at(self, prefix: str) -> S3Store:
        return S3Store(self._options, self._control, prefix=prefix, client=self._client, iam=self._iam)

    def _make_client(self, *, signed_payload: bool) -> t.Any:
        try:
            import botocore.config  # 0.2 s that only S3 users pay
            import botocore.session
        except ImportError as error:
            raise InputError("S3 needs the Python package boto3.", hint="Install boto3.") from error
        options = self._options
        config = botocore.config.Config(
            signature_version=botocore.UNSIGNED if options.anonymous or self._iam else None,
            s3={
                "addressing_style": "path" if options.endpoint_url else "auto",
                "payload_signing_enabled": signed_payload,
            },
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            # Retries are the engine's own, so that they are counted, jittered and end at the deadline.
            retries={"total_max_attempts": 1},
            connect_timeout=min(20.0, self._control.stall_timeout),
            read_timeout=self._control.stall_timeout,
            max_pool_connections=options.pool_size,
            user_agent_extra="modelops.serving",
        )
        verify: bool | str | None = None
        if not options.validate_certs:
            verify = False
        elif options.ca_bundle:
            verify = options.ca_bundle
        with self._errors("connect to the store"):
            session = botocore.session.Session(profile=options.profile)
            region = options.region or session.get_config_variable("region") or "us-east-1"
            client = session.create_client(
                "s3",
                region_name=region,
                endpoint_url=options.endpoint_url or None,
                aws_access_key_id=options.access_key,
                aws_secret_access_key=options.secret_key,
                aws_session_token=options.session_token,
                verify=verify,
                config=config,
            )
            if self._iam:
                client.meta.events.register("before-sign.s3", self._iam.sign)
            return client

    # -- errors ------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _errors(self, action: str, path: str | None = None) -> t.Iterator[None]:
        import botocore.exceptions as bc
        from urllib3.exceptions import HTTPError

        target = f"{self.url}{path or ''}"
        try:
            yield
        except bc.ClientError as error:
            raise self._client_error(error, action, target) from error
        except (bc.NoCredentialsError, bc.PartialCredentialsError, bc.CredentialRetrievalError) as error:
            raise AccessError(
                f"Cannot {action} at {target}: {error}.",
                hint="Give access_key and secret_key, a profile, or run where the AWS SDK finds credentials.",
            ) from error
        except bc.ProfileNotFound as error:
            raise InputError(f"{error}.") from error
        except bc.SSLError as error:
            raise AccessError(
                f"Cannot {action} at {target}: TLS failed: {_first_line(error)}.",
                hint="Give the CA with ca_bundle; validate_certs=false only for tests.",
            ) from error
        except (bc.ParamValidationError, bc.InvalidEndpointConfigurationError) as error:
            raise InputError(f"Cannot {action} at {target}: {_first_line(error)}.") from error
        except (
            bc.ConnectionError,
            bc.HTTPClientError,
            bc.ResponseStreamingError,
            bc.IncompleteReadError,
            HTTPError,
            OSError,
        ) as error:
            stalled = isinstance(error, bc.ReadTimeoutError) or "ead timed out" in str(error)
            raise TransientError(
                f"Cannot {action} at {target} ({self._options.endpoint_url or 'AWS'}): {_first_line(error)}.",
                hint="Check endpoint_url and the network.",
                stalled=stalled,
            ) from error
        except bc.BotoCoreError as error:
            raise StoreError(f"Cannot {action} at {target}: {_first_line(error)}.") from error
        except ValueError as error:  # botocore's answer to an endpoint that is no URL
            raise InputError(f"Cannot {action} at {target}: {error}.", hint="Check endpoint_url.") from error

    def _client_error(self, error: t.Any, action: str, target: str) -> TransferError:
        code = str(error.response.get("Error", {}).get("Code", ""))
        said = error.response.get("Error", {}).get("Message") or ""
        meta = error.response.get("ResponseMetadata", {})
        status = int(meta.get("HTTPStatusCode") or 0)
        what = f"Cannot {action} at {target}: {code}{f' ({said})' if said else ''}."
        if code == "NoSuchBucket" or (status == 404 and action.startswith("list")):
            return NotFoundError(
                f"Bucket {self._options.bucket!r} does not exist at {self._options.endpoint_url or 'AWS'}.",
                hint="Create it first, or check its name and endpoint_url.",
            )
        if self._iam and (code in _ACCESS or status in (401, 403)):
            return AccessError(what, hint=self._iam.hint(action))
        if code in _EXPIRED:
            return AccessError(what, hint="The credentials have expired: renew them and run again; nothing is lost.")
        if code in _RETRY or status in RETRY_STATUS:
            headers = {key.title(): value for key, value in meta.get("HTTPHeaders", {}).items()}
            return TransientError(what, retry_after=retry_after(headers))
        if code in _ACCESS or status in (401, 403):
            return AccessError(
                what, hint=f"The credentials may not {action} here; see the permissions in the role's README."
            )
        if code in ("PreconditionFailed", "ConditionalRequestConflict") or status in (409, 412):
            return ConflictError(what)
        if code == "NotImplemented" or status == 501:
            return UnsupportedError(what)
        if code in ("NoSuchKey", "NoSuchUpload") or status == 404:
            return NotFoundError(what)
        if code == "InvalidRange" or status == 416:
            return SourceChangedError(what)
        return StoreError(what)

    def _call(self, operation: str, action: str, path: str | None = None, **arguments: t.Any) -> t.Any:
        if path is not None:
            arguments["Key"] = self._prefix + path
        if self._iam is None:
            return self._send(operation, action, path, arguments)
        used = self._iam.token()
        try:
            return self._send(operation, action, path, arguments)
        except AccessError as error:
            # Refused by the store itself: the token may have ended early. Once more, if there is another one.
            if not hasattr(error.__cause__, "response") or not self._iam.renew(used):
                raise
        if "Body" in arguments:
            arguments["Body"].seek(0)
        return self._send(operation, action, path, arguments)

    def _send(self, operation: str, action: str, path: str | None, arguments: t.Mapping[str, t.Any]) -> t.Any:
        with self._errors(action, path):
            return getattr(self._client, operation)(Bucket=self._options.bucket, **arguments)

    # -- reading -----------------------------------------------------------------------------------------------

    def list(self) -> dict[str, Listed]:
        found: dict[str, Listed] = {}
        token: dict[str, str] = {}
        while True:
            page = self._call("list_objects_v2", "list objects", Prefix=self._prefix, **token)
            for item in page.get("Contents", ()):
                path = item["Key"][len(self._prefix) :]
                if path:
                    found[path] = Listed(size=item["Size"], etag=item["ETag"].strip('"'))
            if not page.get("IsTruncated"):
                return found
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def get(self, path: str) -> tuple[bytes, str] | None:
        try:
            answer = self._call("get_object", "read", path)
        except NotFoundError:
            return None
        with self._errors("read", path):
            return answer["Body"].read(), answer["ETag"].strip('"')

    @contextlib.contextmanager
    def open(self, path: str, start: int, end: int, *, size: int, etag: str) -> t.Iterator[t.Iterator[bytes]]:
        try:
            answer = self._call("get_object", "read", path, Range=f"bytes={start}-{end - 1}", IfMatch=etag)
        except ConflictError as error:
            raise SourceChangedError(f"{self.url}{path} is not the object that was listed any more.") from error
        if answer.get("ContentRange") != f"bytes {start}-{end - 1}/{size}" or answer["ETag"].strip('"') != etag:
            answer["Body"].close()
            raise SourceChangedError(
                f"{self.url}{path}: asked for bytes {start}-{end - 1} of {size}, got {answer.get('ContentRange')!r}."
            )
        body = answer["Body"]
        try:
            yield self._chunks(body, path)
        finally:
            body.close()

    def _chunks(self, body: t.Any, path: str) -> t.Iterator[bytes]:
        with self._errors("read", path):
            yield from body.iter_chunks(CHUNK)

    def identify(self, path: str) -> Stored | None:
        try:
            answer = self._call("head_object", "read the metadata of", path)
        except NotFoundError:
            return None
        metadata = answer.get("Metadata", {})
        return Stored(metadata[_ID], metadata.get(_SHA256)) if _ID in metadata else None

    # -- writing -----------------------------------------------------------------------------------------------

    def prepare(self, need: int) -> None:
        del need  # object stores do not run full
        probe = memoryview(b"model-sync checks which checksums this store verifies")
        for checksum in _checksums():
            try:
                self._put(_PROBE, probe, {checksum.parameter: checksum.make(memoryview(b"other bytes"))})
                continue  # wrong bytes accepted: this kind is not looked at
            except (StoreError, ConflictError, TransientError) as error:
                if isinstance(error, TransientError) and not _is_digest_refusal(error):
                    raise
            try:
                self._put(_PROBE, probe, checksum.arguments(probe))
            except StoreError:
                continue  # the right one is refused too: this kind is not known
            self._checksum = checksum
            break
        else:
            # Last resort: the signature covers the bytes.
            self._client = self._make_client(signed_payload=True)
            self._put(_PROBE, probe, {})
        self._control.retry(self.delete, _PROBE)

    def _put(self, path: str, data: memoryview, arguments: t.Mapping[str, t.Any]) -> str:
        return str(self._call("put_object", "write", path, Body=_Payload(data), **arguments)["ETag"]).strip('"')

    def _check(self, data: memoryview) -> dict[str, str]:
        return self._checksum.arguments(data) if self._checksum else {}

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
        arguments: dict[str, t.Any] = self._check(view)
        if stored is not None:
            arguments["Metadata"] = _metadata(stored)
        condition = {"IfNoneMatch": "*"} if if_absent else {"IfMatch": if_match} if if_match is not None else {}
        try:
            return self._put(path, view, arguments | condition)
        except UnsupportedError:
            if not condition:
                raise
        # A store without conditional writes: look first. What comes in between is found by the lease's own checks.
        there = self.get(path)
        if (there is not None) if if_absent else (there is None or there[1] != if_match):
            raise ConflictError(f"{self.url}{path} is not as expected: somebody else wrote it.")
        return self._put(path, view, arguments)

    def delete(self, path: str) -> None:
        with contextlib.suppress(NotFoundError):
            self._call("delete_object", "delete", path)

    def begin(self, entry: FileEntry) -> str:
        arguments: dict[str, t.Any] = {"Metadata": _metadata(Stored(entry.id, entry.sha256))}
        algorithm = self._checksum.algorithm if self._checksum else None
        if algorithm and self._full_object:
            try:
                return str(
                    self._call(
                        "create_multipart_upload", "start a multipart upload", entry.path,
                        ChecksumAlgorithm=algorithm, ChecksumType="FULL_OBJECT", **arguments,
                    )["UploadId"]
                )  # fmt: skip
            except StoreError:
                # Checks single objects but not uploads: MD5 per part is what is left.
                self._full_object = False
        return str(
            self._call("create_multipart_upload", "start a multipart upload", entry.path, **arguments)["UploadId"]
        )

    def put_part(self, path: str, upload: str, index: int, offset: int, data: memoryview) -> Part:
        del offset  # S3 orders parts by number
        arguments = self._check(data)
        if arguments and not self._full_object:
            arguments = {"ContentMD5": _md5(data)}
        answer = self._call(
            "upload_part", "upload a part", path,
            UploadId=upload, PartNumber=index + 1, Body=_Payload(data), **arguments,
        )  # fmt: skip
        return Part(etag=answer["ETag"].strip('"'), size=len(data))

    def parts(self, path: str, upload: str) -> dict[int, Part] | None:
        found: dict[int, Part] = {}
        marker = 0
        while True:
            try:
                page = self._call("list_parts", "list parts", path, UploadId=upload, PartNumberMarker=marker)
            except NotFoundError:
                return None
            for part in page.get("Parts", ()):
                found[part["PartNumber"] - 1] = Part(etag=part["ETag"].strip('"'), size=part["Size"])
            if not page.get("IsTruncated"):
                return found
            marker = page["NextPartNumberMarker"]

    def uploads(self, path: str) -> t.Sequence[str]:
        key = self._prefix + path
        page = self._call("list_multipart_uploads", "list multipart uploads", Prefix=key)
        return [item["UploadId"] for item in page.get("Uploads", ()) if item["Key"] == key]

    def part_matches(self, part: Part, data: memoryview) -> bool:
        # A part's ETag is its MD5 unless the store encrypts with its own keys; then it simply does not match.
        return part.size == len(data) and part.etag == hashlib.md5(data, usedforsecurity=False).hexdigest()

    def complete(self, entry: FileEntry, upload: str, parts: t.Mapping[int, Part], stored: Stored) -> str:
        ordered = [{"PartNumber": index + 1, "ETag": parts[index].etag} for index in sorted(parts)]
        try:
            answer = self._call(
                "complete_multipart_upload", "complete the upload", entry.path,
                UploadId=upload, MultipartUpload={"Parts": ordered},
            )  # fmt: skip
            return str(answer["ETag"]).strip('"')
        except (TransientError, NotFoundError):
            # The answer may be lost while the upload was completed: ask before trying again.
            there = self._head(entry.path)
            if (
                there is not None
                and there[0].size == entry.size
                and there[1] == _metadata(Stored(entry.id, entry.sha256))
            ):
                return there[0].etag
            raise

    def _head(self, path: str) -> tuple[Listed, dict[str, str]] | None:
        try:
            answer = self._control.retry(self._call, "head_object", "read the metadata of", path)
        except NotFoundError:
            return None
        return Listed(answer["ContentLength"], answer["ETag"].strip('"')), answer.get("Metadata", {})

    def abort(self, path: str, upload: str) -> None:
        # An abort after a completion that we did not hear of has deleted live data on some stores
        # (https://github.com/seaweedfs/seaweedfs/issues/10663): ask for the upload first.
        if self.parts(path, upload) is not None:
            with contextlib.suppress(NotFoundError):
                self._call("abort_multipart_upload", "abort the upload", path, UploadId=upload)

    # -- server-side copy --------------------------------------------------------------------------------------

    def copy(self, source: Store, entry: FileEntry) -> str | None:
        if not isinstance(source, S3Store) or not self._same_store(source):
            return None
        origin = {"Bucket": source.options.bucket, "Key": source.prefix + entry.path}
        metadata = _metadata(Stored(entry.id, entry.sha256))
        try:
            if entry.size <= _COPY_LIMIT:
                answer = self._call(
                    "copy_object", "copy", entry.path, CopySource=origin, CopySourceIfMatch=entry.version,
                    Metadata=metadata, MetadataDirective="REPLACE",
                )  # fmt: skip
                return str(answer["CopyObjectResult"]["ETag"]).strip('"')
            return self._copy_large(entry, origin, metadata)
        except ConflictError as error:
            raise SourceChangedError(f"{source.url}{entry.path} is not the object that was listed.") from error

    def _copy_large(self, entry: FileEntry, origin: dict[str, str], metadata: dict[str, str]) -> str:
        path = entry.path
        step = max(512 * _MIB, math.ceil(entry.size / self.max_parts))
        upload = self._call("create_multipart_upload", "start a multipart upload", path, Metadata=metadata)["UploadId"]
        parts = {}
        try:
            for index, start in enumerate(range(0, entry.size, step)):
                end = min(start + step, entry.size)
                answer = self._control.retry(
                    self._call, "upload_part_copy", "copy a part", path, UploadId=upload, PartNumber=index + 1,
                    CopySource=origin, CopySourceIfMatch=entry.version, CopySourceRange=f"bytes={start}-{end - 1}",
                )  # fmt: skip
                parts[index] = Part(answer["CopyPartResult"]["ETag"].strip('"'), end - start)
            return self._control.retry(self.complete, entry, upload, parts, Stored(entry.id, entry.sha256))
        except TransferError:
            self.abort(path, upload)
            raise

    def _same_store(self, other: S3Store) -> bool:
        mine, theirs = self._options, other.options
        fields = ("endpoint_url", "region", "access_key", "profile", "anonymous")
        same_user = (self._iam and self._iam.credentials) == (other._iam and other._iam.credentials)
        return same_user and all(getattr(mine, field) == getattr(theirs, field) for field in fields)


def _metadata(stored: Stored) -> dict[str, str]:
    return {_ID: stored.id} | ({_SHA256: stored.sha256} if stored.sha256 else {})


def _is_digest_refusal(error: TransientError) -> bool:
    return any(code in error.message for code in ("BadDigest", "ChecksumMismatch"))


def _first_line(error: BaseException) -> str:
    text = (str(error).strip().splitlines() or [repr(error)])[0].rstrip(".")
    # botocore puts whole signed URLs into some of its messages
    return " ".join(redact(word) if "://" in word and "?" in word else word for word in text.split(" "))


__all__ = ["Bytes", "S3Options", "S3Store"]
