# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The package as the containers of load tools get it."""

from __future__ import annotations

import ast
import io
import sys
import zipfile
from pathlib import Path

from ansible_collections.modelops.serving.plugins.module_utils._bench import bundle

PLACE = Path(bundle.__file__).resolve().parent
SOURCES = {path for path in PLACE.rglob("*.py") if path != PLACE / "bundle.py"}
#: What only the container of a tool has, by the one file that wants it.
TOOLS = {"inference_perf": {"inference_perf"}, "locust": {"gevent", "locust"}}


def test_the_zip_holds_every_source():
    with zipfile.ZipFile(io.BytesIO(bundle.build())) as archive:
        names = {f"modelops_bench/{path.relative_to(PLACE).as_posix()}" for path in SOURCES}
        assert names | {"modelops_bench/bundle.py"} == set(archive.namelist())
        assert archive.read("modelops_bench/pod/__main__.py") == (PLACE / "pod" / "__main__.py").read_bytes()


def test_it_leaves_room_in_a_config_map():
    # 1 MiB is the limit, and base64 makes four bytes of three. Prompts have to fit as well.
    assert len(bundle.build()) * 4 / 3 < 1024**2 / 3


def test_pods_need_python_and_nothing_else():
    """What a Pod runs, and all that it imports at once."""
    seen, waiting = set(), [*(PLACE / "pod").glob("*.py"), *(PLACE / "engines" / "inside").glob("*.py")]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        for name, level in _imports(path):
            if not level:
                top = name.partition(".")[0]
                assert top in sys.stdlib_module_names or top in TOOLS.get(path.stem, ()), f"{path.name}: {name}"
                continue
            base = path.parents[level - 1]
            assert base.is_relative_to(PLACE), f"{path.name}: {'.' * level}{name}"
            found = base.joinpath(*name.split("."))
            waiting += [file for file in (found.with_suffix(".py"), found / "__init__.py") if file.exists()]
    assert PLACE / "builtin" / "stage.py" in seen
    assert PLACE / "bundle.py" not in seen


def _imports(path):
    """Name and level of each module that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.module:
                yield node.module, node.level
            yield from (
                (f"{node.module or ''}.{alias.name}".strip("."), node.level) for alias in node.names if node.level
            )
