# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the options of the module tpu_serving to the instance that they describe. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._mounts import ProviderClass, SecretKey, find_profile
from ansible_collections.modelops.serving.plugins.module_utils._serving import presets
from ansible_collections.modelops.serving.plugins.module_utils._serving.extras import (
    Access,
    Autoscaling,
    Canary,
    Extras,
    Ladder,
    Monitoring,
    Pool,
    Route,
)
from ansible_collections.modelops.serving.plugins.module_utils._serving.instance import (
    Bucket,
    Claim,
    Connection,
    Device,
    Hub,
    Instance,
    KServe,
    Model,
    Stream,
    Tpu,
    Weights,
)
from ansible_collections.modelops.serving.plugins.module_utils._serving.presets import Preset
from ansible_collections.modelops.serving.plugins.module_utils._tpu import fit
from ansible_collections.modelops.serving.plugins.module_utils._tpu.capacity import Capacity
from ansible_collections.modelops.serving.plugins.module_utils._tpu.slice import find, make_slice, parallelism
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError

Options: t.TypeAlias = "t.Mapping[str, t.Any]"
_Made = t.TypeVar("_Made")

_CAPACITY = ("reservation", "reservation_project", "max_run_duration", "compute_class")
_SIZE = ("topology", "chips", "machine_type")
_SPREAD = ("tensor_parallel", "pipeline_parallel", "data_parallel")
#: Options of ``accelerator`` that say something of slices, and those that say something of other devices.
_OF_SLICES = ("generation", *_SIZE, *_SPREAD, "capacity", *_CAPACITY)
_OF_DEVICES = ("count", "node_selector", "tolerations")
_SHAPE = ("num_hidden_layers", "num_key_value_heads", "head_dim")

# Options that an instance takes as they are; texts and lists of them are made so by _text and tuple.
_PLAIN = (
    *("name", "namespace", "engine", "image", "replicas", "cpu", "memory", "max_surge", "service_account"),
    *("image_pull_policy", "startup_timeout", "termination_grace_period"),
)
_LISTS = ("args", "image_pull_secrets")
_TEXTS = ("env", "labels", "annotations", "service_account_annotations")


def instance_of(params: Options) -> Instance:
    """The instance, filled in from its preset where that is asked for.

    :raises InputError: options contradict each other, or there is no preset.
    :raises TpuError: there is no such slice.
    """
    preset = _preset(params) if params["preset"] else None
    given: dict[str, t.Any] = {name: params[name] for name in _PLAIN}
    given.update({name: tuple(params[name]) for name in _LISTS})
    given.update({name: _text(params[name]) for name in _TEXTS})
    return Instance(
        model=_model(params, preset),
        hardware=_hardware(params["accelerator"], preset),
        settings={**(preset.settings if preset else {}), **params["settings"]},
        compile_cache=_claim(params["compile_cache"]) if params["compile_cache"] else None,
        kserve=_made(KServe, params["kserve"]),
        **given,
    )


def extras_of(params: Options) -> Extras:
    """What is wanted beside the objects that every instance has."""
    ladder = params["ladder"]
    return Extras(
        autoscaling=_made(Autoscaling, params["autoscaling"]),
        monitoring=_made(Monitoring, params["monitoring"]),
        pool=_made(Pool, params["pool"]),
        route=_route(params["route"]),
        access=_made(Access, params["access"]),
        ladder=Ladder(ladder["name"], tuple(_capacity(step) for step in ladder["steps"])) if ladder else None,
    )


def _made(kind: t.Callable[..., _Made], given: Options | None) -> _Made | None:
    """An object of the options that are given; the others have the defaults of its class."""
    if given is None:
        return None
    return kind(
        **{
            name: tuple(value) if isinstance(value, list) else value
            for name, value in given.items()
            if value is not None
        }
    )


def _route(given: Options | None) -> Route | None:
    return _made(Route, given and {**given, "canary": _made(Canary, given["canary"])})


def _text(given: Options) -> dict[str, str]:
    """Values of variables, labels and annotations are text, and YAML makes numbers of some."""
    return {name: str(value) for name, value in given.items()}


# -- model -------------------------------------------------------------------------------------------------------------


def _model(params: Options, preset: Preset | None) -> Model:
    given = params["model"]
    token = params["token_secret"] or params["token_secret_provider_class"]
    profile = {"token_profile": find_profile(token["mount"], token["path"])} if token else {}
    return Model(
        name=given["name"],
        served_name=given["served_name"],
        weights=_weights(given),
        token=_token(params),
        size=_size(given) or (preset.size if preset else None),
        **profile,
    )


def _weights(given: Options) -> Weights:
    """Where the weights are: at most one place is given, and without any it is the Hub."""
    if given["bucket"]:
        bucket = given["bucket"]
        return Bucket(bucket["name"], bucket["prefix"], bucket["warm_up"])
    if given["stream"]:
        return Stream(**given["stream"])
    if given["claim"]:
        return _claim(given["claim"])
    if given["connection"]:
        return Connection(**given["connection"])
    return Hub(given["revision"])


def _claim(given: Options) -> Claim:
    return Claim(given["name"], given["path"])


def _token(params: Options) -> SecretKey | ProviderClass | None:
    secret, provider = params["token_secret"], params["token_secret_provider_class"]
    if secret:
        return SecretKey(secret["name"], secret["key"])
    if provider:
        return ProviderClass(provider["name"], provider["provider"], tuple(provider["paths"]))
    return None


def _size(given: Options) -> fit.Model | None:
    more = {name: given[name] for name in ("dtype", *_SHAPE) if given[name] is not None}
    if given["parameters"]:
        return fit.Model(fit.parse_parameters(given["parameters"]), **more)
    if more:
        raise InputError(
            f"{', '.join(more)} of the model {given['name']} say nothing without its parameters.",
            hint="Give parameters, such as 27B, or leave them out.",
        )
    return None


def _preset(params: Options) -> Preset:
    """The preset of the model on the generation.

    :raises InputError: there is none.
    """
    accelerator = params["accelerator"]
    if params["engine"] != "vllm" or accelerator["type"] != "tpu":
        raise InputError(
            "Presets are for vllm on slices of TPUs.", hint="Leave out preset, or take engine vllm and type tpu."
        )
    generation = accelerator["generation"]
    return presets.find(params["model"]["name"], find(generation).generation.name if generation else None)


# -- hardware ----------------------------------------------------------------------------------------------------------


def _hardware(given: Options, preset: Preset | None) -> Tpu | Device:
    """What the server runs on.

    :raises InputError: an option means nothing for this type.
    """
    kind = given["type"]
    for name in _OF_DEVICES if kind == "tpu" else _OF_SLICES:
        if given[name] is not None:
            raise InputError(f"The option {name} of accelerator means nothing for {kind}.", hint="Leave it out.")
    if kind != "tpu":
        return Device(
            kind=kind,
            count=given["count"] or 0,
            node_selector=_text(given["node_selector"] or {}),
            tolerations=tuple(given["tolerations"] or ()),
        )
    return _slice(given, preset)


def _slice(given: Options, preset: Preset | None) -> Tpu:
    size = {name: given[name] for name in _SIZE}
    capacity = _capacity(given)
    spread = {name.removesuffix("_parallel"): given[name] for name in _SPREAD if given[name] is not None}
    named = given["generation"] and find(given["generation"])
    if preset and not any(size.values()) and not (named and (named.chips or named.machine)):
        chosen = preset.slice
    elif given["generation"] or given["machine_type"]:
        chosen = make_slice(given["generation"] or given["machine_type"], **size)
    else:
        raise InputError(
            "Which TPU the server runs on is not said.",
            hint="Give generation and topology, or preset if there is one for the model.",
        )
    if spread:
        return Tpu(chosen, capacity, parallelism(chosen, **spread))
    same = preset is not None and preset.slice == chosen
    return Tpu(chosen, capacity, preset.parallelism if preset and same else None)


def _capacity(given: Options) -> Capacity:
    return Capacity(kind=given["capacity"] or "on_demand", **{name: given[name] for name in _CAPACITY})
