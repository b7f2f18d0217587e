# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ticks at round numbers, nothing outside of the axis."""

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._bench.html import numbers, scale


@pytest.mark.parametrize(
    ("high", "ticks"),
    [
        (4.1, (0, 1, 2, 3, 4, 5)),
        (97, (0, 20, 40, 60, 80, 100)),
        (1, (0, 0.2, 0.4, 0.6, 0.8, 1)),
        (0.0003, (0, 0.0001, 0.0002, 0.0003)),
        (0, (0, 0.2, 0.4, 0.6, 0.8, 1)),
    ],
)
def test_linear(high, ticks):
    found = scale.linear(high)
    assert found.ticks == pytest.approx(ticks)
    assert (found.low, found.high) == (ticks[0], ticks[-1])
    assert found.at(high) == pytest.approx(high / ticks[-1])


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (66, 240, (50, 100, 200, 500)),
        (12, 23_000, (10, 100, 1000, 10_000, 100_000)),
        (100, 100, (50, 100, 200)),
        (0.001, 1e9, (0.001, 0.1, 10, 1000, 1e5, 1e7, 1e9)),
    ],
)
def test_logarithmic(low, high, ticks):
    found = scale.logarithmic(low, high)
    assert found.ticks == pytest.approx(ticks)
    assert 0 <= found.at(low) <= found.at(high) <= 1


def test_what_lies_outside_is_put_on_the_edge():
    assert scale.linear(10).at(11) == scale.logarithmic(1, 10).at(11) == 1
    assert scale.linear(10).at(-1) == scale.logarithmic(1, 10).at(0) == 0


def test_a_wide_span_is_logarithmic_unless_it_holds_zero():
    assert scale.fitting([1, 50]).log
    assert not scale.fitting([10, 50]).log
    assert not scale.fitting([0, 50]).log


def test_an_exact_axis_ends_where_its_values_do():
    found = scale.exact(3, 61.5)
    assert (found.low, found.high) == (3, 61.5)
    assert found.ticks == (10, 20, 30, 40, 50, 60)


def test_numbers_as_people_read_them():
    assert [numbers.number(value) for value in (0, 0.01234, 1.2345, 12.0, 1234.5, None)] == [
        "0",
        "0.0123",
        "1.23",
        "12",
        "1,234",
        "\u2013",
    ]
    assert [numbers.percent(share) for share in (1, 0.999999999, 0.9996, 0.25)] == [
        "100 %",
        "99.999 %",
        "99.96 %",
        "25 %",
    ]
    assert [numbers.change(share) for share in (0.1, -0.1, 0.00001)] == ["+10.0 %", "\u221210.0 %", "\u00b10 %"]
    assert [numbers.seconds(value) for value in (12, 725, 3600, 7800)] == ["12 s", "12 min 5 s", "1 h", "2 h 10 min"]
    assert [numbers.short(value) for value in (2000, 20_000, 1_500_000)] == ["2,000", "20k", "1.5M"]
