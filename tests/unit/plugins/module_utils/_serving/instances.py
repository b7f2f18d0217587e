# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Instances to make objects of, and what is found in them."""

from __future__ import annotations

import dataclasses

from ansible_collections.modelops.serving.plugins.module_utils._serving import build
from ansible_collections.modelops.serving.plugins.module_utils._serving.engine import Engine, Port, Workload
from ansible_collections.modelops.serving.plugins.module_utils._serving.instance import (
    Device,
    Hub,
    Instance,
    Model,
    Tpu,
)
from ansible_collections.modelops.serving.plugins.module_utils._tpu.slice import make_slice

MODEL = Model("google/gemma-3-27b-it", Hub())


def tpu(generation="v6e", topology="2x4", **given):
    """A slice; ``given`` are the other fields of Tpu."""
    return Tpu(make_slice(generation, topology=topology), **given)


def instance(**given):
    """One on v6e, changed as given; fields of the model come as ``model_<field>``."""
    model = {name[6:]: given.pop(name) for name in [*given] if name.startswith("model_")}
    usual = {"name": "gemma", "namespace": "serving", "engine": "vllm", "hardware": tpu()}
    return Instance(**{**usual, "model": dataclasses.replace(MODEL, **model), **given})


def cpu(**given):
    """The same on CPUs."""
    return instance(hardware=Device(), **given)


def of_kind(kind, made, extras=None):
    """The only object of a kind."""
    (found,) = (obj for obj in build.objects(made, extras) if obj["kind"] == kind)
    return found


def pod(made):
    """Spec of the Pods that are asked."""
    kind = "Deployment" if made.hardware == Device() or made.hardware.slice.hosts == 1 else "LeaderWorkerSet"
    spec = of_kind(kind, made)["spec"]
    template = spec["template"] if kind == "Deployment" else spec["leaderWorkerTemplate"]["leaderTemplate"]
    return template["spec"]


def server(made):
    """The container of the server."""
    return pod(made)["containers"][0]


def variables(container):
    """Those with a value."""
    return {item["name"]: item.get("value") for item in container["env"]}


class Several(Engine):
    """Has Pods of two kinds, one of them over hosts as Jobs and one away from the devices."""

    name = "several"
    api = "saxml"
    port = Port("http", 8888)

    def default_image(self, instance):
        return "several:1"

    def workloads(self, instance):
        containers = ({"name": "main", "image": self.image(instance)},)
        return (
            Workload(instance.name, containers, "proxy", ports=(self.port,), on_devices=False),
            Workload(f"{instance.name}-model", containers, "model", replicas=2, hosts=4, controller="job_set"),
        )
