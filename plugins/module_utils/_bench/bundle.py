# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""This package as one zip, for the containers of load tools: they have Python, and nothing of the collection.

``PYTHONPATH=modelops_bench.zip python3 -m modelops_bench.pod FILES RESULTS``. This file alone is of no use there.
"""

from __future__ import annotations

from ansible_collections.modelops.serving.plugins.module_utils import _zip

# What only runs there is imported by nothing else, and a module on its way to another host consists of what is imported.
from .engines.engine import PACKAGE
from .engines.inside import inference_perf, locust
from .pod import __main__ as pod
from .pod import collect, signal

PROGRAMS = (inference_perf, locust, pod, collect, signal)


def build() -> bytes:
    """The zip's bytes."""
    return _zip.build(str(__package__), PACKAGE)
