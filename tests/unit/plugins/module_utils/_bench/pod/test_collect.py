# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import io
import json
import tarfile

import hypothesis
import pytest
from hypothesis import strategies as st

from ansible_collections.modelops.serving.plugins.module_utils._bench.errors import InputError
from ansible_collections.modelops.serving.plugins.module_utils._bench.pod import collect, signal
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._bench.runs import properties


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fetch(there, here, **limit):
    """As the controller does; how often it has to ask again."""
    here.mkdir(exist_ok=True)
    again = 0
    while collect.unpack(collect.pack(there, collect.offsets(here), **limit), here):
        again += 1
    return again


@pytest.fixture
def there(tmp_path):
    place = tmp_path / "there"
    place.mkdir()
    return place


def test_what_is_new_comes_and_nothing_twice(there, tmp_path):
    here = tmp_path / "here"
    (there / "requests.jsonl").write_bytes(b"one\ntw")
    (there / "stages.json").write_text('{"stages": []}')
    signal.write_text(signal.place(there, signal.GO), "1.5")
    assert fetch(there, here, limit=4) == 1
    assert files(here) == {"requests.jsonl": b"one\ntw", "stages.json": b'{"stages": []}'}
    with (there / "requests.jsonl").open("ab") as stream:
        stream.write(b"o\n")
    (there / "stages.json").write_text("{}")
    assert fetch(there, here) == 0
    assert files(here) == {"requests.jsonl": b"one\ntwo\n", "stages.json": b"{}"}
    assert (here / "requests.jsonl").stat().st_mode & 0o777 == 0o600


def test_the_folder_of_a_command_comes_when_it_has_ended(there, tmp_path):
    here = tmp_path / "here"
    (there / "stage-0-repeat-0" / "deep").mkdir(parents=True)
    (there / "stage-0-repeat-0" / "deep" / "out.json").write_text('{"text": "private"}')
    assert fetch(there, here) == 0
    assert files(here) == {}
    (there / "stage-0-repeat-0" / "deep" / "out.json").write_text("{}")
    (there / "steps.json").write_text(json.dumps({"steps": [{"name": "stage-0-repeat-0"}]}))
    fetch(there, here)
    assert files(here) == files(there)


@hypothesis.settings(properties, max_examples=25)  # each makes files
@hypothesis.given(st.lists(st.binary(max_size=30), max_size=6), st.integers(1, 40))
def test_pieces_of_any_size_make_the_file(tmp_path_factory, parts, limit):
    folder = tmp_path_factory.mktemp("run")
    there, here = folder / "there", folder / "here"
    there.mkdir()
    for part in parts:
        with (there / "server.jsonl").open("ab") as stream:
            stream.write(part)
        text = collect.pack(there, collect.offsets(here), limit=limit)
        collect.unpack(text, here)
        collect.unpack(text, here)
    fetch(there, here, limit=limit)
    assert files(here).get("server.jsonl", b"") == b"".join(parts)


def archive(name, kind=tarfile.REGTYPE):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        info = tarfile.TarInfo(name)
        info.type = kind
        tar.addfile(info, io.BytesIO())
    return base64.b64encode(out.getvalue()).decode()


@pytest.mark.parametrize(
    "text", ["not base64!", "bm90aGluZw==", archive("../out"), archive("/out"), archive("out", tarfile.SYMTYPE)]
)
def test_what_is_no_result_is_refused(tmp_path, text):
    here = tmp_path / "here"
    here.mkdir()
    with pytest.raises(InputError, match="no results"):
        collect.unpack(text, here)
    assert list(tmp_path.rglob("out")) == []
