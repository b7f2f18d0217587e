# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible filters: the combinations of a sweep, and the page that shows what became of them."""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import re
import typing as t

from ansible.errors import AnsibleFilterError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.modelops.serving.plugins.module_utils._bench.html.pareto import render
from ansible_collections.modelops.serving.plugins.module_utils._endpoint.options import extras_of, instance_of
from ansible_collections.modelops.serving.plugins.module_utils._serving import build
from ansible_collections.modelops.serving.plugins.module_utils._serving.instance import LONGEST_NAME, Instance, Tpu
from ansible_collections.modelops.serving.plugins.module_utils._tpu.errors import TpuError
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import TransferError
from ansible_collections.modelops.serving.plugins.modules.tpu_serving import argument_spec

Data: t.TypeAlias = "dict[str, t.Any]"

#: Options that the figures of a server depend on. Another value of one of them is another combination.
_MEASURED = (
    *("engine", "model", "accelerator", "preset", "image", "replicas", "settings", "args", "env", "cpu", "memory"),
)
_DIGITS = 6


def sweep_combinations(
    matrix: t.Mapping[str, t.Sequence[t.Any]],
    instance: t.Mapping[str, t.Any],
    *,
    include: t.Sequence[t.Mapping[str, t.Any]] = (),
    exclude: t.Sequence[t.Mapping[str, t.Any]] = (),
    usd_per_chip_hour: t.Mapping[str, float] | None = None,
) -> list[Data]:
    """All combinations of a matrix, each with its server, or with the reason why there can be none."""
    try:
        values = [*_product(matrix, exclude), *map(dict, include)]
        # As plain data: what Ansible hands over may have templates and tags in it.
        found = [_combination(each, copy.deepcopy(dict(instance)), usd_per_chip_hour or {}) for each in values]
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise AnsibleFilterError(f"sweep_combinations: {error}") from error
    return list({one["name"]: one for one in found}.values())


def _product(matrix: t.Mapping[str, t.Sequence[t.Any]], exclude: t.Sequence[t.Mapping[str, t.Any]]) -> t.Iterator[Data]:
    for key, values in matrix.items():
        if isinstance(values, str) or not isinstance(values, (list, tuple)) or not values:
            raise ValueError(f"{key} is not a list with values")
    if not matrix:
        return
    for values in itertools.product(*matrix.values()):
        each = dict(zip(matrix, values, strict=True))
        if not any(without.items() <= each.items() for without in exclude if without):
            yield each


def _combination(values: Data, instance: Data, prices: t.Mapping[str, float]) -> Data:
    for key, value in values.items():
        _set(instance, key, value)
    instance["name"] = name = _name(values, instance)
    found: Data = {"name": name, "values": values, "instance": instance, "skipped": ""}
    try:
        made = _checked(instance)
    except (TpuError, TransferError, ValueError) as error:
        return found | {"skipped": str(error)}
    about = _about(made)
    price = prices.get(str(about.get("accelerator")))
    known = price is not None and about.get("chips")
    return found | {"about": about, "usd_per_hour": float(price or 0) * about["chips"] if known else None}


def _set(options: Data, key: str, value: t.Any) -> None:
    """``accelerator.topology`` is the option ``topology`` of ``accelerator``."""
    *above, last = key.split(".")
    for part in above:
        inner = options.get(part)
        options[part] = dict(inner) if inner else {}
        options = options[part]
    options[last] = value


def _name(values: Data, instance: Data) -> str:
    """The base's name, what can be read of the values, and a digest of all that figures depend on: stable and unique.

    It is that of a Service, so a DNS label of RFC 1035.
    """
    base = instance["name"]
    measured = {name: instance[name] for name in _MEASURED if instance.get(name) is not None}
    digest = hashlib.sha256(json.dumps(measured, sort_keys=True, default=str).encode()).hexdigest()[:_DIGITS]
    room = LONGEST_NAME - len(base) - len(digest) - 2
    if room < 0:
        raise ValueError(f"the name {base} has more than {len(base) + room} characters")
    words = "-".join(_word(key, value) for key, value in values.items())[:room].strip("-")
    return "-".join(part for part in (base, words, digest) if part)


def _word(key: str, value: t.Any) -> str:
    """``tp8`` for a number, 8 of ``tensor_parallel``; text stands for itself."""
    initials = "".join(part[:1] for part in key.rpartition(".")[2].split("_"))
    text = value.rpartition("/")[2] if isinstance(value, str) else f"{initials}{value}"
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _checked(instance: Data) -> Instance:
    """The server that the module tpu_serving would make; it is checked as the module does before it asks anybody.

    :raises ValueError, TpuError, TransferError: there can be none.
    """
    given = {"namespace": "unknown", **instance}
    validated = ArgumentSpecValidator(argument_spec()).validate(given)
    if validated.error_messages:
        raise ValueError(" ".join(validated.error_messages))
    params = validated.validated_parameters
    if not params["model"] or not params["accelerator"]:
        raise ValueError("model and accelerator are needed.")
    made = instance_of(params)
    build.check(made, extras_of(params))
    return made


def _about(made: Instance) -> Data:
    """What a benchmark is to know of the server, as its option ``about`` takes it."""
    about: Data = {"server": made.engine, "image": made.image}
    hardware = made.hardware
    if isinstance(hardware, Tpu):
        about |= {
            "accelerator": hardware.slice.generation.name,
            "topology": hardware.slice.topology,
            "chips": hardware.slice.chips * made.replicas,
            "tensor_parallel": hardware.spread.tensor,
        }
    else:
        about |= {"accelerator": hardware.kind, "chips": hardware.count * made.replicas or None}
    return {name: value for name, value in about.items() if value is not None}


def sweep_page(table: t.Mapping[str, t.Any], others: t.Sequence[t.Mapping[str, t.Any]] = ()) -> str:
    """The HTML page of a sweep."""
    try:
        return render(table, others)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise AnsibleFilterError(
            f"sweep_page: not what inference_benchmark_info returns as sweep: {type(error).__name__} {error}"
        ) from error


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Names of the filters and what they call."""
        return {"sweep_combinations": sweep_combinations, "sweep_page": sweep_page}
