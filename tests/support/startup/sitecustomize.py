# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the compiled code of what is imported from zip files in the folder ``COMPILED``, as Python does for other files.

Ansible sends a module as a zip of sources, and to compile them is half of the processor time of a short task. Python
imports this file whenever it starts.
"""

from __future__ import annotations

import _imp
import importlib.util
import marshal
import os
import sys
import zipimport

_compile = zipimport._compile_source  # the same in Python 3.11 to 3.13


def _compile_once(path, source):
    key = importlib.util.source_hash(source).hex()
    kept = os.path.join(os.environ["COMPILED"], f"{os.path.basename(path)}-{key}.{sys.implementation.cache_tag}")
    try:
        with open(kept, "rb") as file:
            code = marshal.loads(file.read())
    except FileNotFoundError:
        code = _compile(path, source)
        written = f"{kept}.{os.getpid()}"
        with open(written, "wb") as file:
            file.write(marshal.dumps(code))
        os.replace(written, kept)  # other processes may do the same
    _imp._fix_co_filename(code, path)  # where the zip is this time
    return code


if "COMPILED" in os.environ:
    zipimport._compile_source = _compile_once
