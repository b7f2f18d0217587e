# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._serving.engine import (
    Setting,
    check_settings,
    merge_env,
    resources,
)
from ansible_collections.modelops.serving.plugins.module_utils._serving.instance import Device
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._serving.instances import instance, tpu

SETTINGS = {
    "max_length": Setting(int),
    "share": Setting(float),
    "cache": Setting(bool),
    "dtype": Setting(str, ("auto", "float32")),
    "more": Setting(dict),
}


def test_settings_of_their_type():
    check_settings("e", SETTINGS, {"max_length": 1, "share": 1, "cache": False, "dtype": "auto", "more": {}})
    check_settings("e", SETTINGS, {"share": 0.5})


@pytest.mark.parametrize(
    ("given", "message", "hint"),
    [
        ({"max_lenght": 1}, "no setting 'max_lenght'", "Did you mean max_length"),
        ({"x": 1}, "no setting 'x'", "Known are cache, dtype, max_length, more, share"),
        ({"max_length": "1"}, "max_length of e is '1'", "Give an integer"),
        ({"max_length": True}, "max_length of e is True", "Give an integer"),
        ({"share": True}, "share of e is True", "Give a number"),
        ({"cache": 1}, "cache of e is 1", "Give true or false"),
        ({"dtype": "int8"}, "dtype of e is 'int8'", "Use one of auto, float32"),
        ({"more": None}, "more of e is None", "Give a dictionary"),
    ],
)
def test_settings_that_are_none(given, message, hint):
    with pytest.raises(InputError, match=message) as error:
        check_settings("e", SETTINGS, given)
    assert hint in error.value.hint


@pytest.mark.parametrize(
    ("hardware", "devices"),
    [
        (tpu("v6e", "2x4"), {"google.com/tpu": "8"}),
        (tpu("v6e", "4x4"), {"google.com/tpu": "4"}),
        (tpu("tpu7x", "1x1x1"), {"google.com/tpu": "1"}),
        (Device("gpu", 2), {"nvidia.com/gpu": "2"}),
        (Device("neuron", 1), {"aws.amazon.com/neuron": "1"}),
        (Device(), {}),
    ],
)
def test_devices_of_one_pod(hardware, devices):
    found = resources(instance(hardware=hardware, cpu="4", memory="8Gi"))
    assert found["requests"] == {"cpu": "4", "memory": "8Gi", **devices}
    assert found["limits"] == {"memory": "8Gi", **devices}


def test_nothing_is_asked_for_where_nothing_is_known():
    assert resources(instance(hardware=Device())) == {}


def test_variables_of_the_user_count():
    ours = [{"name": "A", "value": "ours"}, {"name": "B", "valueFrom": {}}]
    found = merge_env(instance(env={"C": "c", "A": "theirs"}), ours)
    assert found == [{"name": "B", "valueFrom": {}}, {"name": "A", "value": "theirs"}, {"name": "C", "value": "c"}]
