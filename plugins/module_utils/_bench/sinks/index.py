# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``index.sqlite`` beside the runs: one row per run and one per stage, to compare runs by SQL. Needs only Python."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import typing as t
from pathlib import Path

from ..errors import InputError, StorageError
from . import rows, schema

FILE = "index.sqlite"

#: What is the same for all stages of a run.
_OF_RUNS = (
    *("run_id", "name", "started_at", "stopped", "verdict", "model", "server", "accelerator", "topology", "workload"),
    "chips",
)
_OF_STAGES = ("run_id", *(column.name for column in schema.RUNS if column.name not in _OF_RUNS))
_TYPES = {"STRING": "TEXT", "TIMESTAMP": "TEXT", "JSON": "TEXT", "BOOL": "INTEGER", "INT64": "INTEGER"}
_KEYS = {"runs": "run_id", "stages": "run_id, stage"}
_COLUMNS = {"runs": _OF_RUNS, "stages": _OF_STAGES}

_Table: t.TypeAlias = "list[tuple[t.Any, ...]]"


def write(results: Path, run: rows.Run, *, check: bool = False) -> int:
    """Brings the index of a folder of results up to date with one run, and returns how many stages that changes.

    With ``check`` nothing is written. Raises InputError when the run has no report, StorageError when the index cannot
    be read or written.
    """
    stages = rows.of_stages(run)
    if not stages:
        raise InputError(
            f"The run in {run.place} has no report.", hint="Report it, or index the runs that came to their end."
        )
    wanted = {"runs": _rows([stages[0]], _OF_RUNS), "stages": _rows(stages, _OF_STAGES)}
    path = results / FILE
    try:
        there = _read(path, run.run_id) if path.exists() else None
        if there == wanted:
            return 0
        if not check:
            with contextlib.closing(sqlite3.connect(path, timeout=30)) as base:
                _replace(base, run.run_id, wanted)
                base.commit()
    except (sqlite3.Error, OSError) as error:
        raise StorageError(
            f"The index {path} cannot be used: {error}.",
            hint="Let this user write there; it can be removed, and is made anew of the runs.",
        ) from error
    return len(stages)


def _rows(found: t.Iterable[rows.Row], columns: t.Sequence[str]) -> _Table:
    return [tuple(_value(row[name]) for name in columns) for row in found]


def _value(value: t.Any) -> t.Any:
    if isinstance(value, bool):
        return int(value)
    return json.dumps(value) if isinstance(value, (dict, list)) else value


def _read(path: Path, run_id: str) -> dict[str, _Table]:
    # Read-only, so that looking writes nothing.
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=30)) as base:
        return {
            table: base.execute(
                f"SELECT {', '.join(columns)} FROM {table} WHERE run_id = ? ORDER BY rowid",  # noqa: S608 - names of our own
                (run_id,),
            ).fetchall()
            for table, columns in _COLUMNS.items()
        }


def _replace(base: sqlite3.Connection, run_id: str, wanted: t.Mapping[str, _Table]) -> None:
    types = {column.name: _TYPES.get(column.type, "REAL") for column in schema.RUNS}
    for table, columns in _COLUMNS.items():
        declared = ", ".join(f"{name} {types[name]}" for name in columns)
        base.execute(f"CREATE TABLE IF NOT EXISTS {table} ({declared}, PRIMARY KEY ({_KEYS[table]}))")
        base.execute(f"DELETE FROM {table} WHERE run_id = ?", (run_id,))  # noqa: S608 - names of our own
        base.executemany(
            f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})",  # noqa: S608 - names of our own
            wanted[table],
        )
