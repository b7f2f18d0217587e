# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Does a model fit a slice: its weights, and room for the KV cache. An estimate that is made before a node is. Pure."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._tpu.catalog import Generation
from ansible_collections.modelops.serving.plugins.module_utils._tpu.errors import TpuError
from ansible_collections.modelops.serving.plugins.module_utils._tpu.slice import (
    Parallelism,
    Slice,
    default_topologies,
    make_slice,
    parallelism,
)

#: Bytes of a number. 4-bit formats have scales beside the numbers, which cost a few per cent and are left out.
BYTES = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0, "int8": 1.0, "fp8": 1.0, "int4": 0.5, "fp4": 0.5}
#: Share of the memory that vLLM takes (``--gpu-memory-utilization``).
UTILIZATION = 0.9
#: Share kept for the KV cache while the model's shape is not known, so that weights take at most 75 %. The fullest
#: published example is Llama 3.1 405B in int8 on a v6e 4x4 with 74 %:
#: https://github.com/GoogleCloudPlatform/kubernetes-engine-samples.
_KV_SHARE = 0.15
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
_PARAMETERS = re.compile(r"(\d+(?:\.\d+)?)\s*([KMBT]?)", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Model:
    """What has to fit. Names are those of a model's ``config.json`` and of vLLM's options.

    :param parameters: how many numbers its weights are; all of them, also in a mixture of experts.
    :param dtype: of the weights, one of :data:`BYTES`.
    :param num_hidden_layers: with the next two, the shape of the KV cache. All three or none.
    :param num_key_value_heads: of each layer.
    :param head_dim: numbers of each head.
    :param kv_cache_dtype: of the cache; None for that of the weights, though not for less than 16 bits.
    :param max_model_len: tokens of the longest request.
    :param concurrency: how many of those have to fit at once.
    """

    parameters: int
    dtype: str = "bfloat16"
    num_hidden_layers: int | None = None
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    kv_cache_dtype: str | None = None
    max_model_len: int = 8192
    concurrency: int = 1

    def __post_init__(self) -> None:
        for name in ("dtype", "kv_cache_dtype"):
            value = getattr(self, name)
            if value is not None and value not in BYTES:
                raise TpuError(f"{name} {value!r} is not known.", hint=f"Known are {', '.join(BYTES)}.")
        for name, value in dataclasses.asdict(self).items():
            if isinstance(value, int) and value < 1:
                raise TpuError(f"{name} is {value}.", hint="Give a number of at least 1.")
        if None in self._shape and set(self._shape) != {None}:
            raise TpuError(
                "Of num_hidden_layers, num_key_value_heads and head_dim only some are given.",
                hint="The size of the KV cache follows from all three; they are in the model's config.json.",
            )

    @property
    def _shape(self) -> tuple[int | None, ...]:
        return self.num_hidden_layers, self.num_key_value_heads, self.head_dim

    @property
    def weight_bytes(self) -> int:
        """Of one copy."""
        return int(self.parameters * BYTES[self.dtype])

    def token_bytes(self, tensor: int) -> int | None:
        """Of one token in the KV cache, over all devices of one copy; None while the shape is not known.

        Heads are spread over devices, and where there are fewer of them than devices each is kept several times, as vLLM
        does.
        """
        if self.num_hidden_layers is None or self.num_key_value_heads is None or self.head_dim is None:
            return None
        width = BYTES[self.kv_cache_dtype] if self.kv_cache_dtype else max(2.0, BYTES[self.dtype])
        heads = max(self.num_key_value_heads, tensor)
        return int(2 * self.num_hidden_layers * heads * self.head_dim * width)


@dataclasses.dataclass(frozen=True)
class Fit:
    """Whether one copy of a model fits the devices that it has, in bytes.

    :param copies: data parallelism.
    :param hbm: memory of the devices of one copy.
    :param usable: what of it the server takes.
    :param kv_needed: cache for what the model has to be able to do at once.
    :param kv_tokens: tokens that the cache will hold; None while the shape is not known.
    :param hint: the smallest slice that would do, when this one does not.
    """

    copies: int
    hbm: int
    usable: int
    weights: int
    kv_needed: int
    kv_tokens: int | None
    where: str
    hint: str = ""

    @property
    def fits(self) -> bool:
        """Whether weights and cache have room."""
        return self.weights + self.kv_needed <= self.usable

    @property
    def message(self) -> str:
        """The numbers, as a sentence."""
        verdict = "fits" if self.fits else "does not fit"
        share = f"{self.usable / self.hbm:.0%} of {_gib(self.hbm)}"
        return (
            f"The model {verdict} {self.where}: weights of {_gib(self.weights)} and a KV cache of "
            f"{_gib(self.kv_needed)}{'' if self.kv_tokens is not None else ' (assumed)'}, where {_gib(self.usable)} "
            f"({share}) can be used."
        )

    def error(self) -> TpuError:
        """The refusal, for who has to have it fit."""
        return TpuError(self.message, hint=self.hint)

    def data(self) -> dict[str, t.Any]:
        """As plain data."""
        return {
            "fits": self.fits,
            "copies": self.copies,
            "hbm_bytes": self.hbm,
            "usable_bytes": self.usable,
            "weight_bytes": self.weights,
            "weight_share": round(self.weights / self.hbm, 3),
            "kv_needed_bytes": self.kv_needed,
            "kv_tokens": self.kv_tokens,
            "message": self.message,
            "hint": self.hint,
        }


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"


def parse_parameters(text: str) -> int:
    """A number of parameters such as 27B, 0.6B, 671b or 27000000000.

    :raises TpuError: it is none.
    """
    match = _PARAMETERS.fullmatch(text.strip())
    if match is None:
        raise TpuError(f"{text!r} is no number of parameters.", hint="Give one such as 27B or 500M.")
    return round(float(match[1]) * _UNITS[match[2].upper()])


def fit(on: Slice, model: Model, spread: Parallelism | None = None, utilization: float = UTILIZATION) -> Fit:
    """Whether the model fits the slice.

    :param spread: from :func:`parallelism`; without it one copy has all devices.
    :param utilization: share of the memory that the server takes.
    :raises TpuError: utilization is no share.
    """
    if not 0 < utilization <= 1:
        raise TpuError(f"A share of {utilization} of the memory cannot be taken.", hint="Give one above 0 and up to 1.")
    found = _measure(on, model, spread or parallelism(on), utilization)
    return found if found.fits else dataclasses.replace(found, hint=_instead(on.generation, model, spread, utilization))


def _measure(on: Slice, model: Model, spread: Parallelism, utilization: float) -> Fit:
    devices = spread.tensor * spread.pipeline
    hbm = on.hbm_bytes * devices // on.devices
    usable = int(hbm * utilization)
    token = model.token_bytes(spread.tensor)
    where = f"{devices} of {on.devices} devices of" if devices != on.devices else ""
    return Fit(
        copies=spread.data,
        hbm=hbm,
        usable=usable,
        weights=model.weight_bytes,
        kv_needed=int(hbm * _KV_SHARE) if token is None else token * model.max_model_len * model.concurrency,
        kv_tokens=None if token is None else max(0, usable - model.weight_bytes) // token,
        where=f"{where} {on.generation.name} {on.topology} ({on.chips} x {on.generation.chip.hbm_gib} GiB)".strip(),
    )


def smallest(generation: Generation, model: Model, utilization: float = UTILIZATION) -> Slice | None:
    """The smallest slice that the model fits with one copy over all devices; None if there is none."""
    for topology in default_topologies(generation).values():
        on = make_slice(generation.name, topology=topology)
        if _measure(on, model, parallelism(on), utilization).fits:
            return on
    return None


def _instead(generation: Generation, model: Model, spread: Parallelism | None, utilization: float) -> str:
    enough = smallest(generation, model, utilization)
    if enough is None:
        return f"No slice of {generation.name} holds it: take another generation, or a smaller dtype."
    copies = f" for each of {spread.data} copies" if spread and spread.data > 1 else ""
    return (
        f"The smallest slice of {generation.name} that holds it is {enough.topology} ({enough.chips} chips){copies}; a "
        "smaller dtype, max_model_len or concurrency needs less."
    )
