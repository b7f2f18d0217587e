# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``requests.parquet`` in the folder of a run, and beside the runs ``results.duckdb``, whose view ``requests`` is all
of them: the columns of the table in BigQuery, for the same SQL. Needs the package duckdb.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import typing as t
from pathlib import Path

from ..errors import InputError, StorageError
from ..records import storage_error
from . import rows, schema

FILE = "requests.parquet"
VIEW = "results.duckdb"

_TYPES = {
    "STRING": "VARCHAR",
    "INT64": "BIGINT",
    "FLOAT64": "DOUBLE",
    "BOOL": "BOOLEAN",
    "DATETIME": "TIMESTAMP",
    "TIMESTAMP": "TIMESTAMP",
    "JSON": "JSON",
}


def write(run: rows.Run, *, text: bool = False, check: bool = False, warn: rows.Warn | None = None) -> int:
    """Writes the file of one run unless it has all its requests, and returns how many rows that changes.

    With ``check`` nothing is written. Raises InputError without duckdb, StorageError when files cannot be read or
    written.
    """
    duckdb = _duckdb()
    place = run.place / FILE
    part = run.place / f".{FILE}.jsonl.part"
    count = rows.count(run, warn=warn)
    try:
        with contextlib.closing(duckdb.connect()) as base:
            there = _count(base, place)
            if there == count or check:
                return 0 if there == count else count
            try:
                _write_lines(part, rows.of_requests(run, text=text))
                _write_parquet(base, part, place)
            finally:
                part.unlink(missing_ok=True)
        _make_view(duckdb, run.place.parent)
    except duckdb.Error as error:
        raise StorageError(
            f"{place} cannot be written: {str(error).splitlines()[0]}",
            hint=f"Free some space, close other programs that use {VIEW}, and let this user write there.",
        ) from error
    except OSError as error:
        raise storage_error(place, error) from error
    return count


def _duckdb() -> t.Any:
    try:
        return importlib.import_module("duckdb")
    except ImportError as error:
        raise InputError(
            "Parquet needs the Python package duckdb.", hint="Install duckdb, or use the index."
        ) from error


def _count(base: t.Any, place: Path) -> int | None:
    """The rows of a file, of which only the end is read; None where there is none."""
    if not place.exists():
        return None
    told = base.execute("SELECT sum(num_rows) FROM parquet_file_metadata(?)", [str(place)]).fetchone()
    return int(told[0])


def _write_lines(part: Path, found: t.Iterable[rows.Row]) -> None:
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(handle, "w", encoding="utf-8", errors="replace") as stream:
        stream.writelines(map(rows.line, found))


def _write_parquet(base: t.Any, lines: Path, place: Path) -> None:
    columns = ", ".join(f"{column.name}: '{_TYPES[column.type]}'" for column in schema.REQUESTS)
    made = place.with_name(f".{FILE}.part")
    try:
        base.execute(
            f"COPY (SELECT * FROM read_json({_quoted(lines)}, format = 'newline_delimited', columns = {{{columns}}})) "  # noqa: S608 - names of our own
            f"TO {_quoted(made)} (FORMAT parquet, COMPRESSION zstd)"
        )
        made.chmod(0o600)
        made.replace(place)
    finally:
        made.unlink(missing_ok=True)


def _make_view(duckdb: t.Any, results: Path) -> None:
    # Absolute, since a view is looked up from wherever somebody asks.
    found = _quoted(results.absolute() / "*" / FILE)
    with contextlib.closing(duckdb.connect(str(results / VIEW))) as base:
        base.execute(f"CREATE OR REPLACE VIEW requests AS SELECT * FROM read_parquet({found}, union_by_name = true)")  # noqa: S608 - names of our own


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
