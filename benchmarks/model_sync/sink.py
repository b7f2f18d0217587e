# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An S3 endpoint that throws bytes away, to see how fast a client is when the store costs nothing.

It keeps sizes, ETags, metadata and the content of objects up to 256 KiB, for which it also verifies checksums, as
stores do and some clients probe. All other bytes are dropped inside the kernel, unseen. Signatures are not looked at.

It listens on 127.0.0.1. Its own addresses: GET /_sink/counters, DELETE /_sink/all.
"""

from __future__ import annotations

import argparse
import base64
import dataclasses
import datetime
import email.utils
import hashlib
import itertools
import json
import re
import socket
import threading
import urllib.parse
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from xml.sax.saxutils import escape

try:
    from awscrt import checksums as _crt
except ImportError:  # then no client of this environment can send this checksum either
    _crt = None

_KEPT = 256 << 10
_PIECE = 32 << 20
# Nothing is ever written here where the kernel knows MSG_TRUNC for TCP (Linux), so all threads share it.
_SCRATCH = bytearray(_PIECE)
_XML = {"Content-Type": "application/xml"}
_NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


def _crc32(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "big")


def _crc64nvme(data: bytes) -> bytes:
    return int(_crt.crc64nvme(data)).to_bytes(8, "big")


_CHECKSUMS: dict[str, Callable[[bytes], bytes]] = {
    "content-md5": lambda data: hashlib.md5(data, usedforsecurity=False).digest(),
    "x-amz-checksum-crc32": _crc32,
    **({"x-amz-checksum-crc64nvme": _crc64nvme} if _crt is not None else {}),
}


@dataclasses.dataclass(frozen=True)
class Request:
    """One request; `content` is None when the body was dropped. `bucket` and `key` may be empty."""

    method: str
    bucket: str
    key: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    size: int
    content: bytes | None


@dataclasses.dataclass(frozen=True)
class Answer:
    """`length` is what Content-Length says when the answer to a HEAD has no body."""

    status: int = 200
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    body: bytes = b""
    length: int | None = None


@dataclasses.dataclass(frozen=True)
class StoredObject:
    """What is remembered of an object."""

    size: int
    etag: str
    metadata: Mapping[str, str]
    content: bytes | None
    modified: datetime.datetime = dataclasses.field(
        default_factory=lambda: datetime.datetime.now(datetime.timezone.utc)
    )

    @property
    def headers(self) -> dict[str, str]:
        return {
            "ETag": f'"{self.etag}"',
            "Last-Modified": email.utils.format_datetime(self.modified, usegmt=True),
            **self.metadata,
        }


@dataclasses.dataclass
class Upload:
    """A multipart upload: sizes and ETags by part number."""

    bucket: str
    key: str
    metadata: Mapping[str, str]
    parts: dict[int, tuple[int, str]] = dataclasses.field(default_factory=dict)


class S3Error(Exception):
    """Answered as S3 answers errors."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


class Sink:
    """All state, and the answers. One lock is enough, for no answer takes longer than microseconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._objects: dict[tuple[str, str], StoredObject] = {}
        self._uploads: dict[str, Upload] = {}
        self._counters: Counter[str] = Counter()

    def answer(self, request: Request) -> Answer:
        """Carry out one request."""
        with self._lock:
            if request.bucket == "_sink":
                return self._control(request)
            self._counters[request.method] += 1
            try:
                if not request.bucket:
                    return _xml("ListAllMyBucketsResult", "<Buckets></Buckets>")
                return self._on_object(request) if request.key else self._on_bucket(request)
            except S3Error as error:
                body = f"<Error><Code>{error.code}</Code><Message>{error.code}</Message></Error>".encode()
                return Answer(error.status, _XML, body, length=0)

    def _control(self, request: Request) -> Answer:
        if (request.method, request.key) == ("DELETE", "all"):
            self._objects.clear()
            self._uploads.clear()
            self._counters.clear()
        return Answer(200, {"Content-Type": "application/json"}, json.dumps(self._counters).encode())

    # Buckets -----------------------------------------------------------------------------------------------------

    def _on_bucket(self, request: Request) -> Answer:
        if request.method in ("HEAD", "PUT"):
            return Answer()
        if request.method == "POST" and "delete" in request.query:
            for key in re.findall(r"<Key>([^<]*)</Key>", (request.content or b"").decode()):
                self._objects.pop((request.bucket, key), None)
            return _xml("DeleteResult", "")
        if request.method == "GET" and "location" in request.query:
            return _xml("LocationConstraint", "")
        if request.method == "GET" and "uploads" in request.query:
            found = "".join(
                f"<Upload><Key>{escape(upload.key)}</Key><UploadId>{number}</UploadId></Upload>"
                for number, upload in self._uploads.items()
                if upload.bucket == request.bucket and upload.key.startswith(request.query.get("prefix", ""))
            )
            return _xml("ListMultipartUploadsResult", f"<IsTruncated>false</IsTruncated>{found}")
        if request.method == "GET" and not request.query.keys() & {"versions", "versioning", "object-lock", "policy"}:
            return self._list(request)
        raise S3Error(501, "NotImplemented")

    def _list(self, request: Request) -> Answer:
        query = request.query
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        encode = urllib.parse.quote if query.get("encoding-type") == "url" else escape
        items, folders = [], set()
        for (bucket, key), stored in sorted(self._objects.items()):
            if bucket != request.bucket or not key.startswith(prefix):
                continue
            rest = key[len(prefix) :]
            if delimiter and delimiter in rest:
                folders.add(prefix + rest.partition(delimiter)[0] + delimiter)
                continue
            items.append(
                f"<Contents><Key>{encode(key)}</Key><Size>{stored.size}</Size><ETag>&quot;{stored.etag}&quot;</ETag>"
                f"<LastModified>{stored.modified:%Y-%m-%dT%H:%M:%S.000Z}</LastModified>"
                "<StorageClass>STANDARD</StorageClass></Contents>"
            )
        return _xml(
            "ListBucketResult",
            f"<Name>{escape(request.bucket)}</Name><Prefix>{encode(prefix)}</Prefix>"
            f"<KeyCount>{len(items) + len(folders)}</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>"
            + ("<EncodingType>url</EncodingType>" if encode is not escape else "")
            + "".join(items)
            + "".join(f"<CommonPrefixes><Prefix>{encode(name)}</Prefix></CommonPrefixes>" for name in sorted(folders)),
        )

    # Objects -----------------------------------------------------------------------------------------------------

    def _on_object(self, request: Request) -> Answer:
        match request.method:
            case "PUT" if "partNumber" in request.query:
                return self._put_part(request)
            case "PUT":
                return self._put(request)
            case "POST" if "uploads" in request.query:
                return self._begin(request)
            case "POST" if "uploadId" in request.query:
                return self._complete(request)
            case "GET" if "uploadId" in request.query:
                return self._parts(request)
            case "GET" | "HEAD":
                return self._read(request)
            case "DELETE" if "uploadId" in request.query:
                self._uploads.pop(request.query["uploadId"], None)
                return Answer(204)
            case "DELETE":
                self._objects.pop((request.bucket, request.key), None)
                return Answer(204)
        raise S3Error(501, "NotImplemented")

    def _new_etag(self) -> str:
        # With the dash of a multipart upload, so that nobody takes it for the MD5 of bytes that nobody has looked at.
        return f"{next(self._numbers):032x}-1"

    def _put(self, request: Request) -> Answer:
        there = self._objects.get((request.bucket, request.key))
        wanted = request.headers.get("if-match")
        if request.headers.get("if-none-match") == "*" and there is not None:
            raise S3Error(412, "PreconditionFailed")
        if wanted is not None and (there is None or there.etag != wanted.strip('"')):
            raise S3Error(412, "PreconditionFailed")
        for header, checksum in _CHECKSUMS.items():
            promised = request.headers.get(header)
            if promised is None or request.content is None:
                continue
            if base64.b64encode(checksum(request.content)).decode() != promised:
                raise S3Error(400, "BadDigest")
        stored = StoredObject(request.size, self._new_etag(), _metadata(request.headers), request.content)
        self._objects[request.bucket, request.key] = stored
        return Answer(200, {"ETag": f'"{stored.etag}"'})

    def _begin(self, request: Request) -> Answer:
        number = f"upload-{next(self._numbers)}"
        self._uploads[number] = Upload(request.bucket, request.key, _metadata(request.headers))
        return _xml("InitiateMultipartUploadResult", f"{_name(request)}<UploadId>{number}</UploadId>")

    def _upload(self, request: Request) -> Upload:
        try:
            return self._uploads[request.query["uploadId"]]
        except KeyError:
            raise S3Error(404, "NoSuchUpload") from None

    def _put_part(self, request: Request) -> Answer:
        etag = self._new_etag()
        self._upload(request).parts[int(request.query["partNumber"])] = (request.size, etag)
        return Answer(200, {"ETag": f'"{etag}"'})

    def _parts(self, request: Request) -> Answer:
        found = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>&quot;{etag}&quot;</ETag><Size>{size}</Size></Part>"
            for number, (size, etag) in sorted(self._upload(request).parts.items())
        )
        return _xml("ListPartsResult", f"{_name(request)}<IsTruncated>false</IsTruncated>{found}")

    def _complete(self, request: Request) -> Answer:
        upload = self._upload(request)
        size = sum(size for size, _etag in upload.parts.values())
        stored = StoredObject(size, self._new_etag(), upload.metadata, None)
        self._objects[request.bucket, request.key] = stored
        del self._uploads[request.query["uploadId"]]
        return _xml("CompleteMultipartUploadResult", f"{_name(request)}<ETag>&quot;{stored.etag}&quot;</ETag>")

    def _read(self, request: Request) -> Answer:
        stored = self._objects.get((request.bucket, request.key))
        if stored is None:
            raise S3Error(404, "NoSuchKey")
        if request.method == "HEAD":
            return Answer(200, stored.headers, length=stored.size)
        if stored.content is None:
            raise S3Error(501, "NotImplemented")
        return Answer(200, stored.headers, stored.content)


def _xml(name: str, content: str) -> Answer:
    return Answer(200, _XML, f'<?xml version="1.0" encoding="UTF-8"?><{name} {_NAMESPACE}>{content}</{name}>'.encode())


def _name(request: Request) -> str:
    return f"<Bucket>{escape(request.bucket)}</Bucket><Key>{escape(request.key)}</Key>"


def _metadata(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.startswith("x-amz-meta-")}


class Connection:
    """Reads requests from one connection and answers them until the client closes it."""

    def __init__(self, connection: socket.socket, sink: Sink) -> None:
        self._connection = connection
        self._sink = sink
        self._buffer = b""

    def serve(self) -> None:
        """Returns when the connection has ended."""
        with self._connection:
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                while self._serve_one():
                    pass
            except ConnectionError:
                return

    def _serve_one(self) -> bool:
        while b"\r\n\r\n" not in self._buffer:
            received = self._connection.recv(64 << 10)
            if not received:
                return False
            self._buffer += received
        head, _mark, self._buffer = self._buffer.partition(b"\r\n\r\n")
        start, *lines = head.decode("latin-1").split("\r\n")
        method, target, _version = start.split(" ")
        headers = {
            name.strip().lower(): value.strip() for name, _mark, value in (line.partition(":") for line in lines)
        }
        if "transfer-encoding" in headers:  # its end could only be found by reading it
            self._send(method, Answer(411, _XML, b"<Error><Code>MissingContentLength</Code></Error>"))
            return False
        if headers.get("expect", "").lower() == "100-continue":
            self._connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        length = int(headers.get("content-length") or 0)
        keep = length <= _KEPT and "x-amz-decoded-content-length" not in headers
        content = self._take(length) if keep else None
        if not keep:
            self._drop(length)
        address = urllib.parse.urlsplit(target)
        bucket, _mark, key = address.path[1:].partition("/")
        request = Request(
            method=method,
            bucket=urllib.parse.unquote(bucket),
            key=urllib.parse.unquote(key),
            query=dict(urllib.parse.parse_qsl(address.query, keep_blank_values=True)),
            headers=headers,
            size=int(headers.get("x-amz-decoded-content-length") or length),
            content=content,
        )
        self._send(method, self._sink.answer(request))
        return headers.get("connection", "").lower() != "close"

    def _take(self, length: int) -> bytes:
        while len(self._buffer) < length:
            received = self._connection.recv(length - len(self._buffer))
            if not received:
                raise ConnectionAbortedError
            self._buffer += received
        content, self._buffer = self._buffer[:length], self._buffer[length:]
        return content

    def _drop(self, length: int) -> None:
        left = length - len(self._buffer)
        self._buffer = self._buffer[length:]
        while left > 0:
            # One call for the whole body; the kernel frees the bytes instead of copying them.
            count = self._connection.recv_into(_SCRATCH, min(left, _PIECE), socket.MSG_TRUNC | socket.MSG_WAITALL)
            if not count:
                raise ConnectionAbortedError
            left -= count

    def _send(self, method: str, answer: Answer) -> None:
        body = b"" if method == "HEAD" else answer.body
        length = answer.length if method == "HEAD" and answer.length is not None else len(body)
        lines: Iterable[str] = (f"{name}: {value}\r\n" for name, value in answer.headers.items())
        head = f"HTTP/1.1 {answer.status} -\r\n{''.join(lines)}Content-Length: {length}\r\n\r\n"
        self._connection.sendall(head.encode("latin-1") + body)


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--port", type=int, required=True)
    sink = Sink()
    with socket.create_server(("127.0.0.1", parser.parse_args().port), backlog=256) as server:
        while True:
            connection, _address = server.accept()
            threading.Thread(target=Connection(connection, sink).serve, daemon=True).start()


if __name__ == "__main__":
    main()
