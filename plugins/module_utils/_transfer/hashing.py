# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hashes of content while it streams by: SHA-256 and MD5 that can be put down and taken up again, git blob SHA-1, CRC32C.

``hashlib`` cannot export its state. OpenSSL's low-level ``SHA256_*`` and ``MD5_*`` functions work on plain structs
(``SHA256_CTX``, 112 bytes on every platform, https://docs.openssl.org/3.0/man3/SHA256_Init/, and ``MD5_CTX``, 92 bytes,
https://docs.openssl.org/3.0/man3/MD5/), run as fast and release the GIL through ctypes. They are deprecated, so they are
proven against hashlib before use, and where they are missing a resumed file is read again from its start instead.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import hashlib
import struct
import threading
import typing as t

from .control import Control
from .errors import IntegrityError
from .model import FileEntry


class _Hasher(t.Protocol):
    def update(self, data: memoryview, /) -> None: ...

    def hexdigest(self) -> str: ...


class _Resumable:
    """A hash whose state is some bytes that may be stored and restored on the same platform.

    The struct is the words of the hash, Nl and Nh (the length in bits), data[16], num, and what may follow.

    :raises OSError: no usable libcrypto; call :func:`can_resume` first.
    :raises ValueError: not a state of this class (it comes back from a store, so it is not trusted).
    """

    _name: t.ClassVar[str]
    _words: t.ClassVar[int]
    _tail: t.ClassVar[bytes] = b""

    def __init__(self, state: bytes | None = None) -> None:
        self._lib = _libcrypto()
        if self._lib is None:
            raise OSError(f"libcrypto offers no {self._name}_Init")
        if state is not None:
            # A wrong ``num`` would make OpenSSL write beyond the struct.
            num = self.state_bytes() - len(self._tail) - 4
            whole = len(state) == self.state_bytes() and state.endswith(self._tail)
            if not whole or struct.unpack_from("=I", state, num)[0] >= 64:
                raise ValueError(f"not a {self._name}_CTX")
        self._ctx = ctypes.create_string_buffer(state or bytes(self.state_bytes()), 128)
        if state is None:
            self._call("Init", self._ctx)

    @classmethod
    def state_bytes(cls) -> int:
        """Size of the struct."""
        return 4 * cls._words + 8 + 64 + 4 + len(cls._tail)

    def _call(self, function: str, *arguments: t.Any) -> None:
        getattr(self._lib, f"{self._name}_{function}")(*arguments)

    def update(self, data: memoryview) -> None:
        """Add bytes; ``data`` must be writable (a view of a buffer), so that it need not be copied."""
        if len(data):
            pointer = (ctypes.c_char * len(data)).from_buffer(data)
            self._call("Update", self._ctx, pointer, ctypes.c_size_t(len(data)))

    @property
    def length(self) -> int:
        """Bytes hashed so far."""
        low, high = struct.unpack_from("=II", self._ctx.raw, 4 * self._words)
        return int(high << 32 | low) // 8

    def state(self) -> bytes:
        """What another of this class continues from."""
        return self._ctx.raw[: self.state_bytes()]

    def hexdigest(self) -> str:
        """Digest of the bytes so far; more may follow."""
        copy = ctypes.create_string_buffer(self._ctx.raw, 128)
        out = ctypes.create_string_buffer(4 * self._words)
        self._call("Final", out, copy)
        return out.raw.hex()


class ResumableSha256(_Resumable):
    """SHA-256, see :class:`_Resumable`."""

    _name = "SHA256"
    _words = 8
    _tail = struct.pack("=I", 32)  # md_len


class ResumableMd5(_Resumable):
    """MD5, see :class:`_Resumable`."""

    _name = "MD5"
    _words = 4


@functools.cache
def _libcrypto() -> t.Any:
    # The library that hashlib itself has loaded is preferred: no search, surely present.
    import _hashlib  # only to find the file

    wanted = [f"{name}_{function}" for name in ("SHA256", "MD5") for function in ("Init", "Update", "Final")]
    for find in (lambda: getattr(_hashlib, "__file__", None), lambda: ctypes.util.find_library("crypto")):
        try:
            name = find()
            lib = ctypes.CDLL(name) if name else None
            if lib is not None and all(hasattr(lib, function) for function in wanted):
                return lib
        except OSError:
            continue
    return None


@functools.cache
def can_resume() -> bool:
    """Whether hashes can be put down and taken up here: proven once against hashlib."""
    if _libcrypto() is None:
        return False
    sample = bytearray(range(256)) * 3
    for kind, known in ((ResumableSha256, hashlib.sha256), (ResumableMd5, _md5)):
        first = kind()
        first.update(memoryview(sample)[:333])
        second = kind(first.state())
        second.update(memoryview(sample)[333:])
        if second.hexdigest() != known(sample).hexdigest():
            return False
    return True


def _md5(data: bytearray | bytes = b"") -> _Hasher:
    return hashlib.md5(data, usedforsecurity=False)


def sha256_hasher(state: bytes | None = None) -> _Hasher:
    """A SHA-256, resumable where the platform can."""
    return ResumableSha256(state) if can_resume() else hashlib.sha256()


def git_blob_hasher(size: int) -> _Hasher:
    """SHA-1 as git names a blob: over ``blob <size>\\0`` and the bytes."""
    return hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)


class _Crc32c:
    """CRC32C; its value is eight hexadecimal digits."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: memoryview, /) -> None:
        from .stores.gcs import crc32c  # needs a package that most sources do without

        self._value = crc32c(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


class _Check(t.NamedTuple):
    """One hash of a file, and what the source says that it must be."""

    name: str
    promised: str | None
    hasher: _Hasher


def _checks(entry: FileEntry, state: bytes | None) -> list[_Check]:
    """What a file is hashed with, SHA-256 first.

    :param state: of all of them, one after the other.
    :raises ValueError: it is not the state of such hashes.
    """
    if entry.md5 is None:
        checks = [_Check("SHA-256", entry.sha256, sha256_hasher(state))]
    else:
        size = ResumableSha256.state_bytes()
        first, second = (None, None) if state is None else (state[:size], state[size:])
        checks = [
            _Check("SHA-256", entry.sha256, sha256_hasher(first)),
            _Check("MD5", entry.md5, ResumableMd5(second) if can_resume() else _md5()),
        ]
    if entry.git_sha1 is not None:
        checks.append(_Check("git blob SHA-1", entry.git_sha1, git_blob_hasher(entry.size)))
    if entry.crc32c is not None:
        checks.append(_Check("CRC32C", entry.crc32c, _Crc32c()))
    return checks


def hashed_bytes(entry: FileEntry, state: bytes) -> int:
    """How many bytes of a file are in a state of its :class:`HashLane`.

    :raises ValueError: it is no such state, or cannot be continued here.
    """
    hashers = [check.hasher for check in _checks(entry, state)]
    lengths = {hasher.length if isinstance(hasher, _Resumable) else -1 for hasher in hashers}
    if len(lengths) != 1 or -1 in lengths:
        raise ValueError("not a state to go on from")
    return lengths.pop()


class HashLane:
    """Hashes the parts of one file in order, whichever thread brings them.

    :param start: index of the first part; ``state`` is what :meth:`snapshots` had for everything before it.
    :param snapshot_every: keep the state after each multiple of so many parts, for checkpoints.
    """

    def __init__(
        self, entry: FileEntry, control: Control, *, start: int, state: bytes | None, snapshot_every: int
    ) -> None:
        self._entry = entry
        self._control = control
        self._next = start
        self._turn = threading.Condition()
        self._checks = _checks(entry, state)
        self._every = snapshot_every
        self._snapshots: dict[int, bytes] = {}

    def add(self, index: int, data: memoryview) -> None:
        """Wait for the turn of part ``index`` and hash it.

        Parts are handed out in order to threads that own a buffer already, so the part that is due is
        always being read by somebody: the wait ends.
        """
        with self._turn:
            while self._next != index:
                self._turn.wait(0.5)
                self._control.check()
        # Only the thread whose turn it is gets here, so hashing needs no lock.
        for check in self._checks:
            check.hasher.update(data)
        with self._turn:
            self._next += 1
            hashers = [check.hasher for check in self._checks]
            if self._next % self._every == 0 and all(isinstance(hasher, _Resumable) for hasher in hashers):
                self._snapshots[self._next] = b"".join(t.cast("_Resumable", hasher).state() for hasher in hashers)
            self._turn.notify_all()

    def snapshots(self) -> dict[int, bytes]:
        """States by number of parts hashed; a copy."""
        with self._turn:
            return dict(self._snapshots)

    def finish(self) -> str:
        """Compare with what the source promised and return the SHA-256.

        :raises IntegrityError: the content is not what the source says it is.
        """
        digests = [check.hasher.hexdigest() for check in self._checks]
        for check, actual in zip(self._checks, digests, strict=True):
            if check.promised is not None and check.promised != actual:
                raise IntegrityError(
                    f"{self._entry.path}: {check.name} is {actual}, the source promised {check.promised}.",
                    hint="Nothing was published. Run again; if it repeats, the source or a proxy holds damaged bytes.",
                )
        return digests[0]
