# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the engine needs in a container is what the requirements pin."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._transfer.pins import DIRECT, REQUIREMENTS

PINS = Path(__file__).resolve().parents[5] / "requirements/runtime.txt"


def pinned():
    """Of each pin: name, ``name==version``, conditions, and what wants it."""
    if not PINS.exists():
        pytest.skip("the requirements are not part of the collection's archive")
    for line in PINS.read_text().splitlines():
        found = re.fullmatch(r"(([\w.-]+)==[\w.]+)(?: ; (.*?))?\s+# via (.*)", line)
        if found:
            yield found[2], found[1], found[3] or "", found[4].split(", ")


def test_the_pins_are_those_of_the_requirements_with_all_they_need():
    lines = list(pinned())
    names, before = set(DIRECT), set()
    while names != before:
        before = set(names)
        names |= {name for name, _pin, _conditions, wanted_by in lines if names.intersection(wanted_by)}
    # Containers run CPython on Linux.
    expected = [
        pin for name, pin, conditions, _wanted in lines if name in names and "sys_platform == " not in conditions
    ]
    assert [requirement.partition(" ; ")[0] for requirement in REQUIREMENTS] == expected
    assert len(expected) > 20


def test_only_what_depends_on_the_processor_has_a_condition():
    depends = {name for name, _pin, conditions, _wanted in pinned() if "platform_machine" in conditions}
    conditional = {requirement.partition("==")[0] for requirement in REQUIREMENTS if " ; " in requirement}
    assert conditional == depends & {requirement.partition("==")[0] for requirement in REQUIREMENTS}


def test_neither_ansible_nor_kubernetes_is_needed():
    assert not [requirement for requirement in REQUIREMENTS if re.match("ansible|kubernetes|boto3", requirement)]
