# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Directories: a mounted volume as destination, files and directories as source.

A file appears under its name only when it is whole: written beside, synced, renamed, directory synced.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import stat
import typing as t
import uuid

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
from ..model import FileEntry, Listed, Snapshot, digest_revision
from ..paths import CONTROL, check_file_path, select
from ..web import CHUNK
from .base import Bytes, Part, Source, Store, Stored

_PARTS, _DONE = CONTROL + "parts/", CONTROL + "done/"
# What `hf download --local-dir` and git leave beside a model; never part of it.
DEFAULT_IGNORE = (".cache/huggingface/", "*/.cache/huggingface/*", ".git/", "*/.git/*")


def _os_error(error: OSError, action: str, path: str) -> TransferError:
    what = f"Cannot {action} {path!r}: {error.strerror or error}."
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(what, hint="The disk or quota is full: make room and run again; what has arrived is kept.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return AccessError(what, hint="Check the owner and mode of the directory, and that it is mounted writable.")
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return NotFoundError(what)
    if error.errno in (errno.EIO, errno.ESTALE, errno.ETIMEDOUT):
        return TransientError(what)
    return StoreError(what)


@contextlib.contextmanager
def _os_errors(action: str, path: str) -> t.Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _os_error(error, action, path) from error


def _etag(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns:x}"


def _version(status: os.stat_result) -> str:
    # The change time moves with every write and cannot be set back, unlike the modification time.
    return f"{status.st_size:x}-{status.st_mtime_ns:x}-{status.st_ctime_ns:x}"


def _sync_directory(path: str) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _reading(
    path: str, start: int, end: int, unchanged: t.Callable[[os.stat_result], bool]
) -> t.Iterator[t.Iterator[bytes]]:
    with _os_errors("open", path):
        handle = os.open(path, os.O_RDONLY)
    try:

        def check() -> None:
            if not unchanged(os.fstat(handle)):
                raise SourceChangedError(f"{path!r} changed while it was read.", hint="Run again when it is at rest.")

        def chunks() -> t.Iterator[bytes]:
            check()
            position = start
            with _os_errors("read", path):
                while position < end:
                    chunk = os.pread(handle, min(CHUNK, end - position), position)
                    if not chunk:
                        break
                    position += len(chunk)
                    yield chunk
            check()

        yield chunks()
    finally:
        os.close(handle)


class LocalStore(Store):
    """A directory. ``root`` is absolute and must exist when something is written; ``prefix`` is empty or ends with ``/``."""

    is_files: t.ClassVar[bool] = True
    checkpoint_every: t.ClassVar[int] = 1

    def __init__(self, root: str, *, prefix: str) -> None:
        self._root = os.path.abspath(root)
        self._prefix = prefix
        self._base = os.path.join(self._root, prefix)

    @property
    def url(self) -> str:
        return f"file://{self._base}"

    @property
    def base(self) -> str:
        """The directory that paths are relative to."""
        return self._base

    @property
    def prefix(self) -> str:
        return self._prefix

    def at(self, prefix: str) -> LocalStore:
        return LocalStore(self._root, prefix=prefix)

    def _file(self, path: str) -> str:
        return os.path.join(self._base, path)

    def _place(self, path: str) -> str:
        """Where to write: its directory exists and, symbolic links followed, lies below the root."""
        check_file_path(path)
        target = self._file(path)
        parent = os.path.dirname(target)
        real, root = os.path.realpath(parent), os.path.realpath(self._root)
        if os.path.commonpath((real, root)) != root:
            raise InputError(
                f"{parent!r} leads out of {self._root!r} through a symbolic link.", hint="Remove the link."
            )
        with _os_errors("create directory", parent):
            os.makedirs(parent, exist_ok=True)
        return target

    def _temporary(self, path: str) -> str:
        name = hashlib.sha1(path.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()
        return self._place(_PARTS + name)

    # -- reading -----------------------------------------------------------------------------------------------

    def list(self) -> dict[str, Listed]:
        found: dict[str, Listed] = {}
        with _os_errors("list", self._base):
            for folder, _folders, names in os.walk(self._base, onerror=self._missing_base_is_empty):
                for name in names:
                    path = os.path.relpath(os.path.join(folder, name), self._base)
                    if not path.startswith((_PARTS, _DONE)):
                        status = os.lstat(os.path.join(folder, name))
                        found[path] = Listed(size=status.st_size, etag=_etag(status))
        return found

    def _missing_base_is_empty(self, error: OSError) -> None:
        if not (error.errno == errno.ENOENT and error.filename == self._base):
            raise error

    def get(self, path: str) -> tuple[bytes, str] | None:
        try:
            with _os_errors("read", self._file(path)), open(self._file(path), "rb") as stream:
                return stream.read(), _etag(os.fstat(stream.fileno()))
        except NotFoundError:
            return None

    def open(self, path: str, start: int, end: int, *, size: int, etag: str) -> Bytes:
        return _reading(self._file(path), start, end, lambda status: status.st_size == size and _etag(status) == etag)

    def identify(self, path: str) -> Stored | None:
        note = self.get(self._note(path))
        try:
            status = os.lstat(self._file(path))
            raw = json.loads(note[0]) if note else {}
            return Stored(raw["id"], raw["sha256"]) if raw.get("etag") == _etag(status) else None
        except (OSError, ValueError, KeyError):
            return None

    # -- writing -----------------------------------------------------------------------------------------------

    def prepare(self, need: int) -> None:
        if not os.path.isdir(self._root):
            raise NotFoundError(
                f"Directory {self._root!r} does not exist.", hint="Create it, or mount the volume that belongs there."
            )
        free = shutil.disk_usage(self._root).free
        if free < need:
            raise StoreError(
                f"{self._root!r} has {free} bytes free, {need} are needed.", hint="Make room or use a larger volume."
            )
        probe = self._write(CONTROL + "probe", b"")  # a name of its own: others may share this run
        with _os_errors("delete", probe):
            os.unlink(probe)

    @staticmethod
    def _note(path: str) -> str:
        name = hashlib.sha1(path.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()
        return f"{_DONE}{name}.json"

    def _write(self, path: str, data: memoryview | bytes) -> str:
        # A name of its own: two threads may note the progress of one file at the same time.
        temporary = f"{self._temporary(path)}.{uuid.uuid4().hex}"
        with _os_errors("write", temporary), open(temporary, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        return temporary

    def put(
        self,
        path: str,
        data: memoryview | bytes,
        *,
        stored: Stored | None = None,
        if_absent: bool = False,
        if_match: str | None = None,
    ) -> str:
        target = self._place(path)
        temporary = self._write(path, data)
        with self._exclusive() if if_absent or if_match is not None else contextlib.nullcontext():
            there = self.get(path) if if_absent or if_match is not None else None
            if (if_absent and there is not None) or (if_match is not None and (there is None or there[1] != if_match)):
                os.unlink(temporary)
                raise ConflictError(f"{target!r} is not as expected: somebody else wrote it.")
            return self._publish(path, temporary, target, stored)

    @contextlib.contextmanager
    def _exclusive(self) -> t.Iterator[None]:
        folder = os.path.dirname(self._place(CONTROL + "lease.json"))
        with _os_errors("lock", folder):
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with _os_errors("lock", folder):
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _publish(self, path: str, temporary: str, target: str, stored: Stored | None) -> str:
        with _os_errors("write", target):
            os.rename(temporary, target)
            _sync_directory(os.path.dirname(target))
            etag = _etag(os.lstat(target))
        if stored is not None:
            note = json.dumps({"id": stored.id, "sha256": stored.sha256, "etag": etag}).encode()
            place = self._place(self._note(path))
            with _os_errors("write", place):
                os.rename(self._write(self._note(path), note), place)
        return etag

    def delete(self, path: str) -> None:
        with contextlib.suppress(NotFoundError), _os_errors("delete", self._file(path)):
            os.unlink(self._file(path))

    def begin(self, entry: FileEntry) -> str:
        temporary = self._temporary(entry.path)
        with _os_errors("create", temporary):
            with open(temporary, "wb") as stream:
                stream.truncate(entry.size)
            with open(temporary + ".log", "wb"):
                pass
        return os.path.basename(temporary)

    def put_part(self, path: str, upload: str, index: int, offset: int, data: memoryview) -> Part:
        temporary = self._temporary(path)
        with _os_errors("write", temporary):
            handle = os.open(temporary, os.O_WRONLY)
            try:
                position = 0
                while position < len(data):
                    position += os.pwrite(handle, data[position:], offset + position)
                os.fdatasync(handle)
            finally:
                os.close(handle)
            # One short append is atomic; it follows the data to the disk, so a line never promises too much.
            with open(temporary + ".log", "ab", buffering=0) as log:
                log.write(f"{index} {offset} {len(data)}\n".encode())
        return Part(etag=f"{upload}:{offset}", size=len(data))

    def parts(self, path: str, upload: str) -> dict[int, Part] | None:
        temporary = self._temporary(path)
        log = self.get(_PARTS + os.path.basename(temporary) + ".log")
        if log is None or os.path.basename(temporary) != upload or not os.path.exists(temporary):
            return None
        found = {}
        for line in log[0].decode().splitlines(keepends=True):
            if line.endswith("\n"):
                index, offset, size = map(int, line.split())
                found[index] = Part(etag=f"{upload}:{offset}", size=size)
        return found

    def part_matches(self, part: Part, data: memoryview) -> bool:
        upload, _colon, offset = part.etag.partition(":")
        with _os_errors("read", upload), open(self._file(_PARTS + upload), "rb") as stream:
            return part.size == len(data) and os.pread(stream.fileno(), part.size, int(offset)) == data

    def complete(self, entry: FileEntry, upload: str, parts: t.Mapping[int, Part], stored: Stored) -> str:
        temporary, target = self._temporary(entry.path), self._place(entry.path)
        with _os_errors("complete", temporary):
            with open(temporary, "rb") as stream:
                os.fsync(stream.fileno())
                size = os.fstat(stream.fileno()).st_size
            if size != entry.size or sum(part.size for part in parts.values()) != size:
                raise StoreError(f"{temporary!r} has {size} bytes instead of {entry.size}.")
        etag = self._publish(entry.path, temporary, target, stored)
        self.delete(_PARTS + upload + ".log")
        return etag

    def abort(self, path: str, upload: str) -> None:
        del path
        self.delete(_PARTS + upload)
        self.delete(_PARTS + upload + ".log")

    def settle(self) -> None:
        for folder in (_PARTS, _DONE):
            shutil.rmtree(self._file(folder), ignore_errors=True)
        self.forget()

    def forget(self) -> None:
        for folder, _folders, _names in os.walk(self._base, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)


class LocalSource(Source):
    """Files and directories of this machine, by rsync's rule: ``dir/`` means what is in it, ``dir`` means itself too.

    Symbolic links are followed (the cache of huggingface_hub is made of them); a loop ends the run with an error.
    """

    def __init__(self, paths: t.Sequence[str], *, allow: t.Sequence[str], ignore: t.Sequence[str]) -> None:
        self._paths = [os.path.abspath(path) + ("/" if path.endswith("/") else "") for path in paths]
        self._allow = allow
        self._ignore = tuple(ignore) + DEFAULT_IGNORE
        self._files: dict[str, str] = {}
        self._snapshot: Snapshot | None = None

    @property
    def where(self) -> str:
        return ", ".join(repr(path) for path in self._paths)

    def describe(self) -> dict[str, t.Any]:
        return {
            "type": "local",
            "paths": list(self._paths),
            "allow_patterns": list(self._allow),
            "ignore_patterns": list(self._ignore),
        }

    def snapshot(self) -> Snapshot:
        if self._snapshot is None:
            files = self._scan()
            self._snapshot = Snapshot(digest_revision(files), files)
        return self._snapshot

    def _scan(self) -> tuple[FileEntry, ...]:
        found: dict[str, str] = {}
        for path in self._paths:
            for relative, absolute in self._walk(path):
                if relative in found:
                    raise InputError(
                        f"{found[relative]!r} and {absolute!r} would both become {relative!r}.",
                        hint="Rename one, or leave out the trailing slash of its directory.",
                    )
                found[relative] = absolute
        entries = []
        for relative, absolute in found.items():
            with _os_errors("read", absolute):
                status = os.stat(absolute)
            if not stat.S_ISREG(status.st_mode):
                raise InputError(f"{absolute!r} is neither a file nor a directory.", hint="Remove or ignore it.")
            version = _version(status)
            entries.append(FileEntry(path=relative, size=status.st_size, id=version, version=version))
        self._files = found
        return select(entries, allow=self._allow, ignore=self._ignore, where=self.where)

    @staticmethod
    def _walk(path: str) -> t.Iterator[tuple[str, str]]:
        if not os.path.exists(path):
            raise NotFoundError(
                f"{path!r} does not exist.", hint="Give a file or directory of the machine that runs this."
            )
        if not os.path.isdir(path):
            yield os.path.basename(path), path
            return
        base = path if path.endswith("/") else os.path.dirname(path)
        seen: dict[tuple[int, int], str] = {}
        for folder, folders, names in os.walk(path.rstrip("/") or "/", followlinks=True, onerror=_raise):
            status = os.stat(folder)
            above = seen.setdefault((status.st_dev, status.st_ino), folder)
            if above != folder:
                raise InputError(f"{folder!r} is {above!r} again through a symbolic link.", hint="Remove the link.")
            folders.sort()
            for name in sorted(names):
                absolute = os.path.join(folder, name)
                yield os.path.relpath(absolute, base), absolute

    def open(self, entry: FileEntry, start: int, end: int) -> Bytes:
        return _reading(self._files[entry.path], start, end, lambda status: _version(status) == entry.version)

    def sha256(self, entry: FileEntry) -> str | None:
        digest = hashlib.sha256()
        with self.open(entry, 0, entry.size) as chunks:
            for chunk in chunks:
                digest.update(chunk)
        return digest.hexdigest()

    def overlaps(self, store: Store) -> bool:
        if not isinstance(store, LocalStore):
            return False
        base = os.path.realpath(store.base) + "/"
        mine = [os.path.realpath(path) + "/" for path in self._paths]
        return any(base.startswith(path) or path.startswith(base) for path in mine)

    def check_unchanged(self) -> None:
        then = {entry.path: entry for entry in self.snapshot().files}
        now = {entry.path: entry for entry in self._scan()}
        for path in sorted(then.keys() | now.keys()):
            if then.get(path) != now.get(path):
                raise SourceChangedError(
                    f"{path!r} of {self.where} changed while it was copied.", hint="Run again when it is at rest."
                )


def _raise(error: OSError) -> t.NoReturn:
    raise _os_error(error, "list", str(error.filename)) from error
