# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._serving.instance import (
    LONGEST_NAME,
    Device,
    check,
    check_image,
)
from ansible_collections.modelops.serving.plugins.module_utils._tpu.capacity import Capacity
from ansible_collections.modelops.serving.plugins.module_utils._tpu.errors import TpuError
from ansible_collections.modelops.serving.plugins.module_utils._tpu.slice import Parallelism
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._serving.instances import cpu, instance, tpu

DIGEST = "sha256:" + "0" * 64


def test_the_usual_one_is_fine():
    assert check(instance()) == (
        "2x4 of v6e is 1 host ct6e-standard-8t here, and could be 2 hosts ct6e-standard-4t; machine_type says which.",
    )
    assert check(cpu(cpu="500m", memory="2Ti")) == ()
    check(instance(cpu="180", memory="1440Gi"))


@pytest.mark.parametrize("name", ["a", "a-1", "a" * LONGEST_NAME])
def test_names(name):
    check(cpu(name=name))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "a" * (LONGEST_NAME + 1)}, f"{LONGEST_NAME + 1} characters"),
        *(({"name": name}, "not a DNS label") for name in ("", "Gemma", "1b", "a_b", "a.b", "-a", "a-", "a\n")),
        ({"replicas": -1}, "replicas of gemma is -1"),
        ({"max_surge": -1}, "max_surge"),
        ({"startup_timeout": 0}, "startup_timeout"),
        ({"termination_grace_period": -1}, "termination_grace_period"),
        ({"service_account": "default"}, "service account default"),
        ({"image": "docker.io/vllm/vllm-tpu"}, "does not say which one"),
        ({"cpu": "many"}, "cpu of gemma is 'many'"),
        ({"memory": "0"}, "memory of gemma is '0'"),
        ({"cpu": "181"}, "asks for cpu 181, and ct6e-standard-8t has 180 vCPUs"),
        ({"memory": "1441Gi"}, "1441Gi, and ct6e-standard-8t has 180 vCPUs and 1440 GB"),
        ({"hardware": Device("cpu", 1)}, "no 1 devices"),
        ({"hardware": Device("gpu")}, "takes 0 of them"),
        ({"hardware": Device("xpu", 1)}, "no kind of device"),
    ],
)
def test_what_cannot_be(given, message):
    with pytest.raises(InputError, match=message) as error:
        check(instance(**given))
    assert error.value.hint


@pytest.mark.parametrize(
    "image", ["a:1", "host:5000/a:v0.27.0", f"a@{DIGEST}", f"host:5000/a/b:1@{DIGEST}", "a:latest-1"]
)
def test_images_that_say_which_one(image):
    check_image(image)


@pytest.mark.parametrize(
    "image",
    ["", "a", "host:5000/a", "a:", "a:latest", "a:nightly", "a@sha256:0", f"a@{DIGEST}0", "a b:1", ":1", "a:1 "],
)
def test_images_that_do_not(image):
    with pytest.raises(InputError):
        check_image(image)


def test_parallelism_is_that_of_the_slice():
    with pytest.raises(TpuError, match=r"8 devices.*= 16 needs more"):
        check(instance(hardware=tpu(parallelism=Parallelism(16))))
    assert "leaves 4 idle" in check(instance(hardware=tpu(parallelism=Parallelism(4))))[-1]


def test_capacity_is_that_of_the_slice():
    both = dataclasses.replace(Capacity("flex_start"), reservation="mine")
    with pytest.raises(TpuError, match="reservation mine and flex_start exclude each other"):
        check(instance(hardware=tpu(capacity=both)))
    with pytest.raises(TpuError, match="no flex-start for v4"):
        check(instance(hardware=tpu("v4", "2x2x1", capacity=Capacity("flex_start"))))
