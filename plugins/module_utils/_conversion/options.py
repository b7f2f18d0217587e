# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the options of the module checkpoint_conversion to the conversion that they describe, and its objects. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._kube.apply import Prune
from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Object
from ansible_collections.modelops.serving.plugins.module_utils._kube.kinds import assess
from ansible_collections.modelops.serving.plugins.module_utils._kube.objects import prepare, selector
from ansible_collections.modelops.serving.plugins.module_utils._serving.conversion import (
    JetStreamLoader,
    LlamaConversion,
    Run,
    check_llama,
    check_loader,
    llama_objects,
    loader_objects,
)
from ansible_collections.modelops.serving.plugins.module_utils._tpu.capacity import Capacity
from ansible_collections.modelops.serving.plugins.module_utils._tpu.slice import make_slice

Options: t.TypeAlias = "t.Mapping[str, t.Any]"
Conversion: t.TypeAlias = "JetStreamLoader | LlamaConversion"

PART_OF = "checkpoint-conversion"
CAPACITY = ("reservation", "reservation_project", "max_run_duration", "compute_class")
_SIZE = ("topology", "chips", "machine_type")
_SAXML = (
    *("image", "size", "source", "destination", "folder", "module", "memory", "node_memory"),
    *("node_selector", "tolerations"),
)
_REPLACES = "modelops.serving/replaces"


def conversion_of(params: Options, *, pod_failure_policy: bool = True) -> Conversion:
    """The conversion.

    :param pod_failure_policy: whether the cluster knows it.
    :raises TpuError: there is no such slice.
    """
    run = Run(
        params["name"],
        params["namespace"],
        params["service_account"],
        _text(params["service_account_annotations"]),
        params["image_pull_policy"],
        tuple(params["image_pull_secrets"]),
        params["deadline"],
        pod_failure_policy,
    )
    if params["jetstream"]:
        return _loader(run, params["jetstream"])
    given = {name: params["saxml"][name] for name in _SAXML}
    return LlamaConversion(
        run,
        **{
            **given,
            "node_selector": _text(given["node_selector"]),
            "tolerations": tuple(given["tolerations"]),
        },
    )


def _loader(run: Run, given: Options) -> JetStreamLoader:
    accelerator = given["accelerator"]
    return JetStreamLoader(
        run,
        given["model"],
        given["bucket"],
        given["secret"],
        make_slice(accelerator["generation"], **{name: accelerator[name] for name in _SIZE}),
        Capacity(accelerator["capacity"], **{name: accelerator[name] for name in CAPACITY}),
        given["image"],
    )


def _text(given: Options) -> dict[str, str]:
    """Values of annotations and labels are text, and YAML makes numbers of some."""
    return {name: str(value) for name, value in given.items()}


def check(conversion: Conversion) -> tuple[str, ...]:
    """What is worth knowing about a conversion.

    :raises InputError: it cannot be, or has too little memory.
    :raises TpuError: the slice is not to be had this way.
    """
    if isinstance(conversion, JetStreamLoader):
        return check_loader(conversion)
    check_llama(conversion)
    return ()


def definitions(conversion: Conversion, live: Object | None = None) -> list[Object]:
    """The objects of a conversion that has been checked, with labels of ownership; the Job comes last.

    :param live: the Job as it is. One that has failed does not run again, so what is wanted is another one. What that is
        marked with is in a field that cannot be changed, and so lets it be replaced.
    """
    made = loader_objects(conversion) if isinstance(conversion, JetStreamLoader) else llama_objects(conversion)
    objects = prepare(made, instance=conversion.run.name, part_of=PART_OF)
    mark = _mark(live) if live else None
    if mark:
        objects[-1]["spec"]["template"]["metadata"]["annotations"] = {_REPLACES: mark}
    return objects


def _mark(live: Object) -> str | None:
    """The Job that is replaced, or was replaced by the one that is there."""
    if assess(live).state == "failed":
        return str(live["metadata"]["uid"])
    annotations = live["spec"]["template"].get("metadata", {}).get("annotations") or {}
    return annotations.get(_REPLACES)


def everything(name: str, namespace: str) -> Prune:
    """What is removed with a conversion, or when it is not part of it any more."""
    return Prune((("v1", "ServiceAccount"), ("batch/v1", "Job")), namespace, selector(name, PART_OF))
