# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One record per request, kept as one JSON object per line in ``requests.jsonl``.

Times called ``t_*`` are seconds since the run began, on a monotonic clock; ``*_ms`` are milliseconds. TTFT is the time
from sending to the first token that is not empty, ITL the gap between two tokens, TPOT is (E2E - TTFT) / (osl - 1).
Requests of the warm-up have no record.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import typing as t
from pathlib import Path

from .errors import InputError, StorageError

FILE = "requests.jsonl"

#: What can be wrong with one request. Of "http", the record's ``status`` tells more.
ERRORS = ("", "connect", "timeout", "reset", "http", "malformed", "no_tokens", "stalled", "cancelled")


@dataclasses.dataclass(slots=True)
class Record:
    """One request and its answer."""

    run_id: str
    stage: int
    repeat: int
    seq: int
    t_scheduled: float
    t_start: float
    t_end: float
    t_first: float | None = None
    #: Tokens of the prompt, as the server reports them, else as asked for.
    isl: int | None = None
    #: Tokens received: chunks with text, unless the server told their number.
    osl: int = 0
    #: Tokens of the answer as ``usage`` tells them.
    osl_server: int | None = None
    #: None without a token.
    ttft_ms: float | None = None
    #: None with less than two tokens.
    tpot_ms: float | None = None
    #: The gaps between chunks; None with less than two chunks.
    itl_mean_ms: float | None = None
    itl_p50_ms: float | None = None
    itl_p99_ms: float | None = None
    itl_max_ms: float | None = None
    #: Every gap, only when the workload asks to keep them.
    itl_ms: list[float] | None = None
    e2e_ms: float = 0.0
    ok: bool = False
    #: The HTTP status, if there was an answer.
    status: int | None = None
    #: One of ERRORS.
    error: str = ""
    #: The cause in short, without text of the prompt or the answer.
    message: str = ""
    model: str = ""
    finish_reason: str | None = None
    schedule_delay_ms: float = 0.0
    #: None unless the workload asks to keep the text.
    prompt: str | None = None
    answer: str | None = None
    lora: str | None = None
    conversation_id: str | None = None
    turn: int | None = None


FIELDS = tuple(field.name for field in dataclasses.fields(Record))
_REQUIRED = frozenset(field.name for field in dataclasses.fields(Record) if field.default is dataclasses.MISSING)


class Writer:
    """Appends records to the file of one run, which must not exist yet.

    Every record is handed to the operating system at once, so that a killed process loses none that had ended.
    Raises StorageError when the folder cannot be written to.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._encode = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Not wider than the owner: prompts and answers can be in it.
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise storage_error(path, error) from error

    def write(self, record: Record) -> None:
        line = (self._encode({name: getattr(record, name) for name in FIELDS}) + "\n").encode(errors="replace")
        try:
            while line:
                line = line[os.write(self._file, line) :]
        except OSError as error:
            raise storage_error(self._path, error) from error

    def close(self) -> None:
        """Also waits until the disk has the records. Does nothing the second time."""
        if self._file < 0:
            return
        try:
            os.fsync(self._file)
        except OSError as error:
            # A pipe or a special file, as in tests and containers, has nothing to wait for.
            if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
                raise storage_error(self._path, error) from error
        finally:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def read(path: Path, *, warn: t.Callable[[str], None] | None = None) -> t.Iterator[Record]:
    """The records of a file in the order of their ends.

    A last line that is not whole is left out, as a killed run leaves one behind, and ``warn`` is told. Fields that are
    not known are ignored. Raises InputError for any other line that is no record, StorageError when the file cannot be
    read.
    """
    # A million lines pass here: raw_decode() is json.loads() without what that does around it, and 33 arguments are
    # taken by position six times as fast as by name.
    decode = json.JSONDecoder().raw_decode
    try:
        with path.open(encoding="utf-8", errors="replace", newline="\n") as stream:
            for number, line in enumerate(stream, start=1):
                try:
                    data, _end = decode(line)
                    record = Record(*data.values()) if tuple(data) == FIELDS else Record(**_completed(data))
                except (ValueError, TypeError) as error:
                    if not line.endswith("\n"):
                        if warn:
                            warn(f"Line {number} of {path} is not whole and was left out: its run was killed.")
                        return
                    raise InputError(
                        f"Line {number} of {path} is no record of a request: {error}.",
                        hint="Take the file as the run has written it.",
                    ) from error
                yield record
    except OSError as error:
        raise storage_error(path, error) from error


def _completed(data: t.Any) -> dict[str, t.Any]:
    """The fields of a record that another version has written. Raises TypeError or ValueError when it is none."""
    if not isinstance(data, dict):
        raise TypeError("it is no JSON object")
    missing = _REQUIRED - data.keys()
    if missing:
        raise ValueError(f"it lacks {', '.join(sorted(missing))}")
    return {name: value for name, value in data.items() if name in FIELDS}


def write_text(path: Path, text: str) -> None:
    """Replaces a file of the results as a whole, readable by its owner alone.

    Raises StorageError.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise storage_error(path, error) from error


_HINTS = {
    errno.ENOSPC: "The disk is full: free some space or choose another folder.",
    errno.EDQUOT: "The quota of the disk is used up: free some space or choose another folder.",
    errno.EACCES: "Let this user write there or choose another folder.",
    errno.EPERM: "Let this user write there or choose another folder.",
    errno.EROFS: "The file system is read-only: choose another folder.",
    errno.EEXIST: "Every run has a folder of its own: choose another run_id or folder.",
    errno.ENOTDIR: "A part of the path is a file: choose another folder.",
    errno.ENOENT: "Check the path.",
}


def storage_error(path: Path, error: OSError) -> StorageError:
    """What an OSError about a file of the results means."""
    cause = os.strerror(error.errno) if error.errno else str(error)
    return StorageError(
        f"{path.name} in the results folder {path.parent} cannot be used: {cause}.",
        hint=_HINTS.get(error.errno or 0, "Check the disk or choose another folder."),
    )
