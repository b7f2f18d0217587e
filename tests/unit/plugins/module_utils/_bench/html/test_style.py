# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Colours that can be told from their background, and stages from each other, in light and dark."""

from __future__ import annotations

import re

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._bench.html import style

_LIGHT, _DARK = (
    dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))
    for block in re.findall(r":root \{(.+?)\n *\}", style.sheet(0), re.DOTALL)
)


def contrast(one, other):
    """https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio"""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def luminance(colour):
    channels = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("colours", [_LIGHT, _DARK], ids=["light", "dark"])
def test_text_and_lines_stand_out(colours):
    for name in ("ink", "muted", "good", "bad", "open", "c0"):  # c0 is the colour of links
        for ground in ("paper", "raised"):
            assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
    for name in ("c0", "c1", "c2", "c3"):
        assert contrast(colours[name], colours["paper"]) >= 3, name


@pytest.mark.parametrize(("place", "colours"), [(0, _LIGHT), (1, _DARK)], ids=["light", "dark"])
def test_stages_keep_their_order_without_colour(place, colours):
    sheet = style.sheet(8).split("@media print")[1].split("@media screen")[place]
    stages = re.findall(r"\.g(\d) \{ --c: (#[0-9a-f]{6}); \}", sheet)
    assert [int(index) for index, _colour in stages] == list(range(8))
    against = [contrast(colour, colours["paper"]) for _index, colour in stages]
    assert min(against) >= 3
    assert against == sorted(against, reverse=bool(place))


def test_one_stage_has_a_colour():
    assert style.sheet(1).count(".g0 {") == 2
