# SPDX-License-Identifier: GPL-3.0-or-later
"""Writers for the two model file formats, safetensors and GGUF, and deterministic weights to put into them.

Both formats are simple enough for the standard library, so that generating a model needs no other package.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_GGUF_ALIGNMENT = 32
_GGUF_F32 = 0
_UINT32, _FLOAT32, _STRING, _ARRAY, _INT32 = 4, 6, 8, 9, 5

# Sign and seven exponent bits of numbers between 2**-8 and 2**-5, as weights of a freshly made network are.
_SMALL = bytes(0x3C + (byte & 1) | (byte & 0x80) for byte in range(256))


@dataclass(frozen=True)
class Tensor:
    """A named tensor with its little-endian bytes; `dtype` is as in safetensors: BF16 or F32."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: bytes


def _count(shape: Sequence[int]) -> int:
    product = 1
    for length in shape:
        product *= length
    return product


def random_tensor(name: str, dtype: str, shape: tuple[int, ...], seed: str) -> Tensor:
    """Small finite weights that depend on `seed` and `name` alone, the same with every Python version."""
    count = _count(shape)
    width = 2 if dtype == "BF16" else 4
    noise = hashlib.shake_128(f"{seed}/{name}".encode()).digest(count * width)
    data = bytearray(noise)
    # In both types the last byte of each number holds the sign and most of the exponent.
    data[width - 1 :: width] = noise[width - 1 :: width].translate(_SMALL)
    return Tensor(name, dtype, shape, bytes(data))


def ones(name: str, dtype: str, length: int) -> Tensor:
    """A vector of ones."""
    return Tensor(name, dtype, (length,), (b"\x80\x3f" if dtype == "BF16" else b"\0\0\x80\x3f") * length)


def safetensors(tensors: Sequence[Tensor]) -> bytes:
    """The tensors as a safetensors file."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for tensor in tensors:
        end = offset + len(tensor.data)
        header[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(tensor.data for tensor in tensors)


def gguf(metadata: Mapping[str, Any], tensors: Sequence[Tensor]) -> bytes:
    """A GGUF file, version 3, from F32 tensors.

    Metadata values may be int (uint32), float, str, and lists of str or int (int32). Shapes are given outermost
    dimension first, as in safetensors; GGUF stores them the other way round. Raises ValueError for other types.
    """
    parts = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(metadata))]
    for key, value in metadata.items():
        parts += [_gguf_string(key), _gguf_value(value)]
    offset, data = 0, []
    for tensor in tensors:
        if tensor.dtype != "F32":
            raise ValueError(f"{tensor.name} is {tensor.dtype}; only F32 is written")
        dimensions = struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *reversed(tensor.shape))
        parts += [_gguf_string(tensor.name), dimensions, struct.pack("<IQ", _GGUF_F32, offset)]
        padded = tensor.data + b"\0" * (-len(tensor.data) % _GGUF_ALIGNMENT)
        data.append(padded)
        offset += len(padded)
    head = b"".join(parts)
    return head + b"\0" * (-len(head) % _GGUF_ALIGNMENT) + b"".join(data)


def _gguf_string(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def _gguf_value(value: Any) -> bytes:
    match value:
        case str():
            return struct.pack("<I", _STRING) + _gguf_string(value)
        case int():
            return struct.pack("<II", _UINT32, value)
        case float():
            return struct.pack("<If", _FLOAT32, value)
        case [str(), *_]:
            return struct.pack("<IIQ", _ARRAY, _STRING, len(value)) + b"".join(map(_gguf_string, value))
        case [int(), *_]:
            return struct.pack(f"<IIQ{len(value)}i", _ARRAY, _INT32, len(value), *value)
    raise ValueError(f"cannot write {type(value).__name__} to GGUF metadata")
