# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A source, a store and a clock in memory. The store behaves as S3 does: conditional puts, uploads in parts, ETags."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import json
import random
import struct
import threading
import time
import types
from unittest import mock

import hypothesis

from ansible_collections.modelops.serving.plugins.module_utils._transfer import mover
from ansible_collections.modelops.serving.plugins.module_utils._transfer.control import Control
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    ConflictError,
    NotFoundError,
    SourceChangedError,
    StoreError,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.model import (
    FileEntry,
    Listed,
    Manifest,
    ManifestFile,
    Snapshot,
    digest_revision,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.paths import CONTROL, MANIFEST
from ansible_collections.modelops.serving.plugins.module_utils._transfer.stores.base import Part, Source, Store, Stored
from ansible_collections.modelops.serving.plugins.module_utils._transfer.sync import SyncOptions, sync

#: Property tests: the same examples on every machine, nothing kept on disk, no blame for a slow machine.
properties = hypothesis.settings(deadline=None, derandomize=True, database=None, max_examples=100)
few_properties = hypothesis.settings(properties, max_examples=25)


class FakeControl(Control):
    """A Control whose pauses are noted in ``slept`` and take no time."""

    def __init__(self, **options):
        super().__init__(**options)
        self.slept = []

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.check()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def git_sha1(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def md5(data):
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def wait_for(condition):
    """Wait until other threads have made it true; fail after some seconds."""
    end = time.monotonic() + 10
    while not condition() and time.monotonic() < end:
        time.sleep(0.002)
    assert condition()


def works_for(count):
    """A fault for a store: nothing happens so many times, then everything fails."""
    numbers = itertools.count()

    def fault(path):
        if next(numbers) >= count:
            raise StoreError("The store went away.")

    return fault


def some_bytes(size, seed=0):
    return random.Random(seed).randbytes(size)


def safetensors(payload=b"", **header):
    """A safetensors file with one tensor of bytes."""
    tensors = {"w": {"dtype": "U8", "shape": [len(payload)], "data_offsets": [0, len(payload)]}, **header}
    raw = json.dumps(tensors).encode()
    return struct.pack("<Q", len(raw)) + raw + payload


def entry(path="a.bin", size=1, *, id="id-1", **fields):  # noqa: A002 - the field's name
    return FileEntry(path, size, id, **fields)


def snapshot(*paths, revision="r1"):
    return Snapshot(revision, tuple(entry(path) for path in sorted(paths)))


def proof(path="a.bin", size=1, *, id="id-1", etag="e1", sha256=None):  # noqa: A002 - the field's name
    return ManifestFile(path, size, id, etag, sha256)


class MemorySource(Source):
    """Files in a dictionary.

    ``serve`` may alter the bytes of a file; ``cuts`` holds, by first byte, where a body ends early, once.

    :param promise: which hash the source knows beforehand: ``sha256``, ``git_sha1``, ``md5`` or None.
    """

    def __init__(self, files, *, revision=None, promise="sha256", chunk=1 << 16):
        self.files = dict(files)
        self.promise = promise
        self.chunk = chunk
        self.opened = []
        self.snapshots = 0
        self.preflights = []
        self.before_open = lambda entry, start, end: None
        self.serve = lambda path, data: data
        self.cuts = {}
        self._revision = revision
        self._snapshot = None

    @property
    def where(self):
        return "memory"

    def describe(self):
        return {"type": "memory", "revision": "main"}

    def _take(self):
        def one(path, data):
            return FileEntry(
                path,
                len(data),
                md5(data),
                sha256=sha256(data) if self.promise == "sha256" else None,
                git_sha1=git_sha1(data) if self.promise == "git_sha1" else None,
                md5=md5(data) if self.promise == "md5" else None,
            )

        files = tuple(one(path, data) for path, data in sorted(self.files.items()))
        return Snapshot(self._revision or digest_revision(files), files)

    def snapshot(self):
        if self._snapshot is None:
            self.snapshots += 1
            self._snapshot = self._take()
        return self._snapshot

    def preflight(self, entry):
        self.preflights.append(entry.path)

    @contextlib.contextmanager
    def open(self, entry, start, end):
        self.opened.append((entry.path, start, end))
        self.before_open(entry, start, end)
        end = self.cuts.pop(start, end)
        data = self.serve(entry.path, self.files[entry.path])[start:end]
        yield (data[at : at + self.chunk] for at in range(0, len(data), self.chunk))

    def check_unchanged(self):
        if self._take() != self.snapshot():
            raise SourceChangedError("The source changed while it was copied.")


@dataclasses.dataclass
class _Object:
    data: bytes
    etag: str
    stored: Stored | None = None


@dataclasses.dataclass
class _Uploading:
    key: str
    parts: dict = dataclasses.field(default_factory=dict)


class Bucket:
    """What the stores below several prefixes share: objects, uploads, a log of requests, and faults."""

    def __init__(self):
        self.objects = {}
        self.open_uploads = {}
        self.log = []
        self.buffers = []
        self.before = {}
        self.after = {}
        self.lock = threading.RLock()
        self.numbers = itertools.count(1)


READS = frozenset({"list", "get", "open", "identify", "parts", "part_matches", "uploads"})


class MemoryStore(Store):
    """A prefix of a :class:`Bucket`.

    ``before[operation]`` and ``after[operation]`` are called with the path before and after an operation has taken
    effect; raising in ``after`` is an answer that was lost.
    """

    checkpoint_every = 2

    def __init__(self, bucket=None, *, prefix="m/", name="memory", is_files=False):
        self.bucket = bucket or Bucket()
        self._prefix = prefix
        self._name = name
        self.is_files = is_files

    @property
    def url(self):
        return f"{self._name}://{self._prefix}"

    @property
    def prefix(self):
        return self._prefix

    def at(self, prefix):
        return MemoryStore(self.bucket, prefix=prefix, name=self._name, is_files=self.is_files)

    # -- for tests ---------------------------------------------------------------------------------------------

    @property
    def log(self):
        return self.bucket.log

    @property
    def writes(self):
        return [(operation, path) for operation, path in self.bucket.log if operation not in READS]

    def written(self, operation):
        return [path for done, path in self.bucket.log if done == operation]

    @property
    def everything(self):
        """All objects below the prefix: path to bytes."""
        return {
            key[len(self._prefix) :]: item.data
            for key, item in self.bucket.objects.items()
            if key.startswith(self._prefix)
        }

    @property
    def files(self):
        """The model's files: path to bytes."""
        return {path: data for path, data in self.everything.items() if not path.startswith(CONTROL)}

    @property
    def control_objects(self):
        return sorted(path for path in self.everything if path.startswith(CONTROL))

    @property
    def manifest(self):
        data = self.everything.get(MANIFEST)
        return None if data is None else Manifest.from_json(data)

    def fail(self, operation, *errors, when="before", path=None):
        """Raise these errors one after the other, then work again."""
        left = list(errors)

        def fault(where):
            if (path is None or path == where) and left:
                raise left.pop(0)

        getattr(self.bucket, when)[operation] = fault

    def broken(self, operation, error, *, path=None, when="before"):
        """Raise this error each time."""

        def fault(where):
            if path is None or path == where:
                raise error

        getattr(self.bucket, when)[operation] = fault

    @contextlib.contextmanager
    def _does(self, operation, path=""):
        self.bucket.before.get(operation, lambda path: None)(path)
        with self.bucket.lock:
            self.bucket.log.append((operation, path))
            yield
        self.bucket.after.get(operation, lambda path: None)(path)

    # -- what the engine asks ----------------------------------------------------------------------------------

    def list(self):
        with self._does("list"):
            return {
                key[len(self._prefix) :]: Listed(len(item.data), item.etag)
                for key, item in sorted(self.bucket.objects.items())
                if key.startswith(self._prefix)
            }

    def get(self, path):
        with self._does("get", path):
            item = self.bucket.objects.get(self._prefix + path)
            return None if item is None else (item.data, item.etag)

    def put(self, path, data, *, stored=None, if_absent=False, if_match=None):
        with self._does("put", path):
            there = self.bucket.objects.get(self._prefix + path)
            if if_absent and there is not None:
                raise ConflictError(f"{path} exists.")
            if if_match is not None and (there is None or there.etag != if_match):
                raise ConflictError(f"{path} is not {if_match}.")
            data = bytes(data)
            etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
            self.bucket.objects[self._prefix + path] = _Object(data, etag, stored)
        return etag

    def delete(self, path):
        with self._does("delete", path):
            self.bucket.objects.pop(self._prefix + path, None)

    @contextlib.contextmanager
    def open(self, path, start, end, *, size, etag):
        with self._does("open", path):
            item = self.bucket.objects.get(self._prefix + path)
            if item is None:
                raise NotFoundError(f"{path} is gone.")
            if (len(item.data), item.etag) != (size, etag):
                raise SourceChangedError(f"{path} is another object by now.")
        yield iter([item.data[start:end]])

    def identify(self, path):
        with self._does("identify", path):
            item = self.bucket.objects.get(self._prefix + path)
            return None if item is None else item.stored

    def prepare(self, need):
        with self._does("prepare"):
            return

    def begin(self, entry):
        with self._does("begin", entry.path):
            upload = f"upload-{next(self.bucket.numbers)}"
            self.bucket.open_uploads[upload] = _Uploading(self._prefix + entry.path)
            return upload

    def _upload(self, path, upload):
        there = self.bucket.open_uploads.get(upload)
        if there is None or there.key != self._prefix + path:
            raise NotFoundError(f"There is no upload {upload} of {path}.")
        return there

    def put_part(self, path, upload, index, offset, data):
        with self._does("put_part", path):
            if isinstance(data, memoryview) and not any(data.obj is known for known in self.bucket.buffers):
                self.bucket.buffers.append(data.obj)
            content = bytes(data)
            self._upload(path, upload).parts[index] = (offset, content)
        return Part(hashlib.md5(content, usedforsecurity=False).hexdigest(), len(content))

    def parts(self, path, upload):
        with self._does("parts", path):
            try:
                parts = self._upload(path, upload).parts
            except NotFoundError:
                return None
            return {
                index: Part(hashlib.md5(data, usedforsecurity=False).hexdigest(), len(data))
                for index, (_offset, data) in parts.items()
            }

    def part_matches(self, part, data):
        with self._does("part_matches"):
            return part.etag == hashlib.md5(data, usedforsecurity=False).hexdigest()

    def complete(self, entry, upload, parts, stored):
        with self._does("complete", entry.path):
            there = self.bucket.objects.get(self._prefix + entry.path)
            if upload not in self.bucket.open_uploads and there is not None and there.stored == stored:
                return there.etag
            arrived = self._upload(entry.path, upload).parts
            content, digest = b"", hashlib.md5(usedforsecurity=False)
            for index in sorted(parts):
                offset, data = arrived[index]
                etag = hashlib.md5(data, usedforsecurity=False)
                if offset != len(content) or etag.hexdigest() != parts[index].etag:
                    raise StoreError(f"Part {index} of {entry.path} is not what was sent.")
                content += data
                digest.update(etag.digest())
            if len(content) != entry.size:
                raise StoreError(f"{entry.path} would have {len(content)} bytes instead of {entry.size}.")
            etag = f"{digest.hexdigest()}-{len(parts)}"
            self.bucket.objects[self._prefix + entry.path] = _Object(content, etag, stored)
            del self.bucket.open_uploads[upload]
        return etag

    def uploads(self, path):
        with self._does("uploads", path):
            return [upload for upload, there in self.bucket.open_uploads.items() if there.key == self._prefix + path]

    def abort(self, path, upload):
        with self._does("abort", path):
            self.bucket.open_uploads.pop(upload, None)


class CopyingStore(MemoryStore):
    """A store that copies inside its bucket."""

    def at(self, prefix):
        return CopyingStore(self.bucket, prefix=prefix, name=self._name)

    def copy(self, source, entry):
        with self._does("copy", entry.path):
            item = self.bucket.objects[source.prefix + entry.path]
            if item.etag != entry.version:
                raise SourceChangedError(f"{entry.path} is another object by now.")
            self.bucket.objects[self._prefix + entry.path] = dataclasses.replace(
                item, stored=Stored(entry.id, entry.sha256)
            )
            return item.etag


MODEL = types.MappingProxyType(
    {
        "config.json": b'{"architectures": ["LlamaForCausalLM"]}',
        "model.safetensors": safetensors(some_bytes(3210)),
        "tokenizer.json": b"{}",
    }
)


def run(source, *stores, check=False, control=None, on_progress=None, **options):
    """Sync with parts of bytes instead of MiB."""
    options = SyncOptions(**{"part_size": 1000, "interval": 0.0, **options})
    with mock.patch.object(mover, "_MIB", 1):
        return sync(source, stores, control or FakeControl(), options, check=check, on_progress=on_progress)
