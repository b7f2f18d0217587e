# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Records come back as they were written, whatever ended the run."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import resource
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.modelops.serving.plugins.module_utils._bench import records
from ansible_collections.modelops.serving.plugins.module_utils._bench.errors import InputError, StorageError
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._bench.runs import (
    a_failure,
    a_record,
    properties,
)


def written(path, *given_records):
    with records.Writer(path) as writer:
        for record in given_records:
            writer.write(record)
    return path


def test_records_come_back_as_they_were_written(tmp_path):
    some = [a_record(0, itl_ms=[1.5, 2.25], prompt="ä\n\u2028", answer="\ud800"), a_failure(1), a_record(2, turn=3)]
    path = written(tmp_path / "run" / records.FILE, *some)
    back = list(records.read(path))
    assert back[1:] == some[1:]
    assert (back[0].prompt, back[0].itl_ms) == ("ä\n\u2028", [1.5, 2.25])
    assert list(json.loads(path.read_text().split("\n")[1])) == list(records.FIELDS)


def test_a_record_is_in_the_file_as_soon_as_it_was_written_and_for_its_owner_alone(tmp_path):
    path = tmp_path / records.FILE
    writer = records.Writer(path)
    writer.write(a_record())
    assert list(records.read(path)) == [a_record()]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    writer.close()
    writer.close()


@properties
@given(st.integers(min_value=1, max_value=10_000))
def test_of_a_torn_file_all_whole_records_are_read(tmp_path_factory, cut):
    path = written(tmp_path_factory.mktemp("torn") / records.FILE, *(a_record(seq) for seq in range(5)))
    content = path.read_bytes()
    kept = content[: max(0, len(content) - cut)]
    path.write_bytes(kept)
    told: list[str] = []
    found = list(records.read(path, warn=told.append))
    # A line that only lacks its end is whole.
    whole = kept.count(b"\n") + kept.endswith(b"}")
    assert found == [a_record(seq) for seq in range(whole)]
    assert bool(told) == (not kept.endswith((b"\n", b"}")) and bool(kept))


@pytest.mark.parametrize("line", ["no JSON", "[1]", '{"run_id": "x"}'])
def test_a_line_in_the_middle_that_is_no_record_is_an_error(tmp_path, line):
    path = written(tmp_path / records.FILE, a_record())
    path.write_text(line + "\n" + path.read_text())
    with pytest.raises(InputError, match=r"Line 1 of .*requests.jsonl is no record"):
        list(records.read(path))


def test_fields_of_another_version_do_no_harm(tmp_path):
    data = dataclasses.asdict(a_record()) | {"new": 1}
    del data["turn"]
    path = tmp_path / records.FILE
    path.write_text(json.dumps(data) + "\n")
    assert list(records.read(path)) == [a_record()]


def test_a_run_does_not_write_into_another(tmp_path):
    path = written(tmp_path / records.FILE, a_record())
    with pytest.raises(StorageError, match=r"File exists.*choose another run_id"):
        records.Writer(path)


def test_a_folder_that_cannot_be_made_is_named_with_the_cause(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=rf"results folder {tmp_path}/file/run cannot be used: Not a directory"):
        records.Writer(tmp_path / "file" / "run" / records.FILE)
    with pytest.raises(StorageError, match="Not a directory"):
        records.write_text(tmp_path / "file" / "run" / "summary.json", "")


def test_a_write_that_does_not_fit_is_an_error_and_what_was_there_stays_readable(tmp_path):
    path = tmp_path / records.FILE
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with records.Writer(path) as writer:
        writer.write(a_record(0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, hard))
        try:
            with pytest.raises(StorageError, match=f"results folder {tmp_path} cannot be used: File too large"):
                writer.write(a_record(1))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    told: list[str] = []
    assert list(records.read(path, warn=told.append)) == [a_record(0)]
    assert len(told) == 1


@pytest.mark.parametrize(
    ("number", "step"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "free some space"),
        (errno.EACCES, "Let this user write there"),
        (errno.EROFS, "choose another folder"),
        (errno.EIO, "Check the disk"),
    ],
)
def test_what_the_system_refuses_comes_with_the_next_step(tmp_path, number, step):
    error = records.storage_error(tmp_path / records.FILE, OSError(number, os.strerror(number)))
    assert os.strerror(number) in error.message
    assert step in error.hint


def test_a_file_that_is_missing_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match="No such file"):
        list(records.read(tmp_path / records.FILE))
