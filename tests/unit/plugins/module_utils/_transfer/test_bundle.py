# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine knows no Ansible, and travels as one zip."""

from __future__ import annotations

import ast
import io
import json
import os
import shutil
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._transfer import bundle

ENGINE = Path(bundle.__file__).resolve().parent
SOURCES = sorted(ENGINE.rglob("*.py"))
# All but the one that makes the zip, which nothing in the zip imports.
TRAVELLERS = [path for path in SOURCES if path != ENGINE / "bundle.py"]
THIRD_PARTIES = ("botocore", "urllib3", "huggingface_hub", "awscrt", "google.auth", "google.oauth2", "google_crc32c")
# Beside import statements, modules are named in calls of these.
IMPORTERS = ("import_module", "require_package")


def names(path):
    """Every module that a file imports, wherever in it; relative ones with their dots."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")
        elif isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
            if name in IMPORTERS and isinstance(node.args[0], ast.Constant):
                yield node.args[0].value


# -- imports ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", TRAVELLERS, ids=lambda path: str(path.relative_to(ENGINE)))
def test_the_engine_imports_itself_python_and_its_few_third_parties_only(path):
    depth = len(path.relative_to(ENGINE).parts)
    for name in names(path):
        if name.startswith("."):
            dots = len(name) - len(name.lstrip("."))
            assert dots <= depth, f"{name} leads out of the package"
            assert name != ".bundle"
        elif name.partition(".")[0] not in sys.stdlib_module_names:
            assert any(name == known or name.startswith(known + ".") for known in THIRD_PARTIES), name


def test_the_scan_of_imports_finds_them():
    found = {name for path in SOURCES for name in names(path)}
    assert {"json", "urllib3", "huggingface_hub", "google.auth", "google_crc32c", ".errors", "..errors"} <= found
    assert any(name.startswith("botocore") for name in found)


# -- the zip ---------------------------------------------------------------------------------------------------


def test_two_builds_are_the_same_bytes():
    assert bundle.build() == bundle.build()


def test_a_build_depends_on_nothing_but_the_sources(monkeypatch, tmp_path):
    copy = tmp_path / "elsewhere"
    shutil.copytree(ENGINE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "__pycache__").mkdir()
    (copy / "__pycache__" / "model.cpython-311.pyc").write_bytes(b"x")
    (copy / "notes.txt").write_text("not part of it")
    for path in copy.rglob("*"):
        os.utime(path, (1, 1))
    here = bundle.build()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(bundle, "program", types.SimpleNamespace(__package__="elsewhere"))
    assert bundle.build() == here
    (copy / "model.py").write_text("# changed")
    assert bundle.build() != here


def test_it_is_built_from_a_zip_as_well(monkeypatch, tmp_path):
    here = bundle.build()
    with zipfile.ZipFile(tmp_path / "payload.zip", "w") as archive:
        for path in reversed(SOURCES):
            archive.write(path, f"zipped/{path.relative_to(ENGINE)}")
    monkeypatch.syspath_prepend(tmp_path / "payload.zip")
    monkeypatch.setattr(bundle, "program", types.SimpleNamespace(__package__="zipped"))
    assert bundle.build() == here


def test_the_zip_holds_every_source_and_nothing_else():
    with zipfile.ZipFile(io.BytesIO(bundle.build())) as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == sorted(
            f"modelops_transfer/{path.relative_to(ENGINE).as_posix()}" for path in SOURCES
        )
        for path in SOURCES:
            assert archive.read(f"modelops_transfer/{path.relative_to(ENGINE).as_posix()}") == path.read_bytes()


def test_the_zip_fits_into_a_config_map():
    # 1 MiB is the limit of a ConfigMap, and base64 makes four bytes of three.
    assert len(bundle.build()) * 4 / 3 < 1024**2 / 2


# -- the zip at work -------------------------------------------------------------------------------------------

# As `python -m modelops_transfer`, where neither Ansible nor a collection can be imported.
PROGRAM = """
import runpy, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("ansible", "ansible_collections"):
            raise ImportError(f"{name} is not here")
sys.meta_path.insert(0, Refuse())
runpy.run_module("modelops_transfer", run_name="__main__", alter_sys=True)
"""


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "modelops_transfer.zip"
    path.write_bytes(bundle.build())

    def run(*arguments, stdin=""):
        return subprocess.run(
            [sys.executable, "-c", PROGRAM, *arguments],
            input=stdin,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(path)},
            cwd=tmp_path,
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
        )

    return run


def test_the_zip_explains_itself(program):
    done = program("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: modelops_transfer")
    assert "{sync,inspect,remove}" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "stdin"),
    [(["sync", "-"], "{"), (["sync", "-"], '{"name": "a", "destinations": []}'), (["inspect", "missing.json"], "")],
)
def test_the_zip_says_2_and_why_to_a_bad_request(program, arguments, stdin):
    done = program(*arguments, stdin=stdin)
    assert (done.returncode, done.stderr) == (2, "")
    result = json.loads(done.stdout)["result"]
    assert result["failed"]
    assert result["error"]["kind"] == "InputError"


def test_the_zip_syncs_a_directory_and_finds_nothing_to_do_then(program, tmp_path):
    source, models = tmp_path / "gemma", tmp_path / "models"
    source.mkdir()
    models.mkdir()
    (source / "config.json").write_text("{}")
    request = {
        "name": "org/Gemma",
        "source": {"type": "local", "paths": [f"{source}/"]},
        "destinations": [{"type": "local", "path": str(models)}],
    }
    for changed in (True, False):
        done = program("sync", "-", stdin=json.dumps(request))
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["result"]["changed"] is changed
        assert all(json.loads(line)["phase"] for line in done.stderr.splitlines())
    assert (models / "org/Gemma/config.json").read_text() == "{}"
