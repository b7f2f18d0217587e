# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Histograms are right to 1 %, and what stages.json holds comes back."""

from __future__ import annotations

import json
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.modelops.serving.plugins.module_utils._bench import stages
from ansible_collections.modelops.serving.plugins.module_utils._bench.errors import InputError, StorageError
from ansible_collections.modelops.serving.plugins.module_utils._bench.stats import percentile
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._bench.runs import properties, some_facts

VALUES = st.lists(st.floats(min_value=0.0, max_value=1e6), min_size=1)


def filled(values):
    histogram = stages.Histogram()
    for value in values:
        histogram.add(value)
    return histogram


@properties
@given(VALUES, st.floats(min_value=0.0, max_value=1.0))
def test_percentiles_are_right_to_one_percent_and_the_rest_is_exact(values, share):
    histogram = filled(values)
    assert histogram.percentile(share) == pytest.approx(percentile(sorted(values), share), rel=0.0101, abs=0.001)
    assert histogram.mean == pytest.approx(statistics.fmean(values))
    assert histogram.stddev == pytest.approx(statistics.pstdev(values), rel=1e-6, abs=1e-5 * max(values) + 1e-9)
    assert (histogram.minimum, histogram.maximum) == (min(values), max(values))


@properties
@given(VALUES, st.floats(min_value=0.0, max_value=1e6))
def test_the_share_within_a_limit_lies_between_those_of_limits_one_percent_apart(values, limit):
    share = filled(values).share_within(limit)
    assert sum(value <= limit * 0.99 - 0.001 for value in values) <= share * len(values) + 1e-6
    assert share * len(values) - 1e-6 <= sum(value <= limit * 1.0101 + 0.001 for value in values)


@properties
@given(VALUES, VALUES)
def test_histograms_add_up_and_come_back_from_json(one, other):
    merged = filled(one)
    merged.merge(filled(other))
    back = stages.Histogram.from_data(json.loads(json.dumps(merged.as_data())))
    whole = filled(one + other)
    assert back.as_data()["counts"] == whole.as_data()["counts"]
    assert sum(back.as_data()["counts"]) == back.count == len(one) + len(other)
    assert back.percentile(0.99) == whole.percentile(0.99)
    assert len(back.as_data()["edges_ms"]) == len(back.as_data()["counts"]) + 1


def test_an_empty_histogram_knows_nothing_and_comes_back():
    empty = stages.Histogram.from_data(stages.Histogram().as_data())
    assert (empty.count, empty.mean, empty.stddev, empty.percentile(0.5), empty.share_within(1.0)) == (0, *[None] * 4)


def test_stages_come_back_as_they_were_written(tmp_path):
    path = tmp_path / stages.FILE
    assert stages.read(path) == []
    stages.write(path, [some_facts(itl=filled([1.0, 2.0])), some_facts(repeat=1)])
    first, second = stages.read(path)
    assert first.itl.as_data() == filled([1.0, 2.0]).as_data()
    assert second == some_facts(repeat=1)


@pytest.mark.parametrize("content", ["", "[]", '{"stages": [{"stage": 0}]}'])
def test_a_file_that_holds_no_stages_is_bad_input(tmp_path, content):
    path = tmp_path / stages.FILE
    path.write_text(content)
    with pytest.raises(InputError, match="does not hold the stages"):
        stages.read(path)


def test_a_folder_in_place_of_the_file_is_a_storage_error(tmp_path):
    (tmp_path / stages.FILE).mkdir()
    with pytest.raises(StorageError):
        stages.read(tmp_path / stages.FILE)
