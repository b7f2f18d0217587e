# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hashes of content while it streams by: SHA-256 that can be put down and taken up again, git blob SHA-1.

``hashlib`` cannot export its state. OpenSSL's low-level ``SHA256_*`` functions work on a plain struct
(``SHA256_CTX``, 112 bytes on every platform, https://docs.openssl.org/3.0/man3/SHA256_Init/), run as fast and
release the GIL through ctypes. They are deprecated, so they are proven against hashlib before use, and
where they are missing a resumed file is read again from its start instead.
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

_CTX_BYTES = 112


class _Hasher(t.Protocol):
    def update(self, data: memoryview, /) -> None: ...

    def hexdigest(self) -> str: ...


class ResumableSha256:
    """SHA-256 whose state is 112 bytes that may be stored and restored on the same platform.

    :raises OSError: no usable libcrypto; call :func:`can_resume_sha256` first.
    :raises ValueError: not a state of this class (it comes back from a store, so it is not trusted).
    """

    def __init__(self, state: bytes | None = None) -> None:
        self._lib = _libcrypto()
        if self._lib is None:
            raise OSError("libcrypto offers no SHA256_Init")
        if state is not None:
            # h[8], Nl, Nh, data[16], num, md_len: a wrong ``num`` would make OpenSSL write beyond the struct.
            pending, length = struct.unpack("=II", state[-8:]) if len(state) == _CTX_BYTES else (64, 0)
            if pending >= 64 or length != 32:
                raise ValueError("not a SHA256_CTX")
        self._ctx = ctypes.create_string_buffer(state or bytes(_CTX_BYTES), 128)
        if state is None:
            self._lib.SHA256_Init(self._ctx)

    def update(self, data: memoryview) -> None:
        """Add bytes; ``data`` must be writable (a view of a buffer), so that it need not be copied."""
        if len(data):
            pointer = (ctypes.c_char * len(data)).from_buffer(data)
            self._lib.SHA256_Update(self._ctx, pointer, ctypes.c_size_t(len(data)))

    @property
    def length(self) -> int:
        """Bytes hashed so far."""
        low, high = struct.unpack("=II", self._ctx.raw[32:40])
        return int(high << 32 | low) // 8

    def state(self) -> bytes:
        """What :class:`ResumableSha256` continues from."""
        return self._ctx.raw[:_CTX_BYTES]

    def hexdigest(self) -> str:
        """Digest of the bytes so far; more may follow."""
        copy = ctypes.create_string_buffer(self._ctx.raw, 128)
        out = ctypes.create_string_buffer(32)
        self._lib.SHA256_Final(out, copy)
        return out.raw.hex()


@functools.cache
def _libcrypto() -> t.Any:
    # The library that hashlib itself has loaded is preferred: no search, surely present.
    import _hashlib  # only to find the file

    for find in (lambda: getattr(_hashlib, "__file__", None), lambda: ctypes.util.find_library("crypto")):
        try:
            name = find()
            lib = ctypes.CDLL(name) if name else None
            if lib is not None and all(hasattr(lib, f"SHA256_{name}") for name in ("Init", "Update", "Final")):
                return lib
        except OSError:
            continue
    return None


@functools.cache
def can_resume_sha256() -> bool:
    """Whether a SHA-256 can be put down and taken up here: proven once against hashlib."""
    if _libcrypto() is None:
        return False
    sample = bytearray(range(256)) * 3
    first = ResumableSha256()
    first.update(memoryview(sample)[:333])
    second = ResumableSha256(first.state())
    second.update(memoryview(sample)[333:])
    return second.hexdigest() == hashlib.sha256(sample).hexdigest()


def sha256_hasher(state: bytes | None = None) -> _Hasher:
    """A SHA-256, resumable where the platform can."""
    return ResumableSha256(state) if can_resume_sha256() else hashlib.sha256()


def git_blob_hasher(size: int) -> _Hasher:
    """SHA-1 as git names a blob: over ``blob <size>\\0`` and the bytes."""
    return hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)


class HashLane:
    """Hashes the parts of one file in order, whichever thread brings them.

    :param start: index of the first part; ``state`` is the SHA-256 of everything before it.
    :param snapshot_every: keep the state after each multiple of so many parts, for checkpoints.
    """

    def __init__(
        self, entry: FileEntry, control: Control, *, start: int, state: bytes | None, snapshot_every: int
    ) -> None:
        self._entry = entry
        self._control = control
        self._next = start
        self._turn = threading.Condition()
        self._sha256 = sha256_hasher(state)
        self._git = git_blob_hasher(entry.size) if entry.git_sha1 is not None else None
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
        self._sha256.update(data)
        if self._git is not None:
            self._git.update(data)
        with self._turn:
            self._next += 1
            if self._next % self._every == 0 and self._git is None and isinstance(self._sha256, ResumableSha256):
                self._snapshots[self._next] = self._sha256.state()
            self._turn.notify_all()

    def snapshots(self) -> dict[int, bytes]:
        """States by number of parts hashed; a copy."""
        with self._turn:
            return dict(self._snapshots)

    def finish(self) -> str:
        """Compare with what the source promised and return the SHA-256.

        :raises IntegrityError: the content is not what the source says it is.
        """
        sha256 = self._sha256.hexdigest()
        checks = [("SHA-256", self._entry.sha256, sha256)]
        if self._git is not None:
            checks.append(("git blob SHA-1", self._entry.git_sha1, self._git.hexdigest()))
        for name, expected, actual in checks:
            if expected is not None and expected != actual:
                raise IntegrityError(
                    f"{self._entry.path}: {name} is {actual}, the source promised {expected}.",
                    hint="Nothing was published. Run again; if it repeats, the source or a proxy holds damaged bytes.",
                )
        return sha256
