# SPDX-License-Identifier: GPL-3.0-or-later
"""Small but real model repositories, generated: the same bytes and the same commit ids every time, everywhere.

- local/sharded-llama: four safetensors shards of 9 to 17 MB, two commits, tag v1 on the first
- local/many-files: about 300 small files in folders, with odd but legal names
- local/gated-llama: one small shard, gated
- local/private-llama: one small shard, private
- local/tiny-gguf: a GGUF that llama.cpp serves
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import catalog, formats, tokenizer
from .catalog import BlobStore, Gate, Repository, dump_repositories, load_repositories
from .formats import Tensor, ones, random_tensor
from .process import private_directory, write_private
from .tokenizer import VOCABULARY_SIZE, Tokenizer

SHARDED, MANY_FILES, GATED, PRIVATE, GGUF = (
    "local/sharded-llama",
    "local/many-files",
    "local/gated-llama",
    "local/private-llama",
    "local/tiny-gguf",
)


@dataclass(frozen=True)
class Shape:
    """The size of a Llama network."""

    hidden: int
    intermediate: int
    layers: int
    heads: int


# A layer is 8.4 MB, two layers are a little more than 16 MiB.
_SHARDED_SHAPE = Shape(hidden=512, intermediate=2048, layers=6, heads=8)
_SMALL_SHAPE = Shape(hidden=64, intermediate=128, layers=2, heads=4)


def generate(directory: Path) -> list[Repository]:
    """All generated repositories, with contents below `directory`; nothing is written when they are there already.

    What is there belongs to this version of the generators: their source is part of the name of the index.
    """
    private_directory(directory)
    index = directory / f"generated-{_version()}.json"
    with (directory / "generate.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            return load_repositories(index.read_text(encoding="utf-8"), directory / "blobs")
        except FileNotFoundError:
            pass
        store = BlobStore(directory / "blobs")
        repositories = [
            _sharded(store),
            _repository(store, MANY_FILES, dict(many_files())),
            _repository(store, GATED, llama(_SMALL_SHAPE, GATED), gated="manual"),
            _repository(store, PRIVATE, llama(_SMALL_SHAPE, PRIVATE), private=True),
            _repository(store, GGUF, tiny_gguf()),
        ]
        write_private(index, dump_repositories(repositories))
    return repositories


def _version() -> str:
    digest = hashlib.sha256()
    for module in (catalog.__file__, formats.__file__, tokenizer.__file__, __file__):
        digest.update(Path(module).read_bytes())
    return digest.hexdigest()[:16]


def _repository(
    store: BlobStore, name: str, files: Mapping[str, bytes], *, gated: Gate = False, private: bool = False
) -> Repository:
    repository = Repository(name, gated=gated, private=private)
    contents = {**files, ".gitattributes": _GIT_ATTRIBUTES, "README.md": _readme(name)}
    repository.commit({path: store.add(path, content) for path, content in contents.items()}, "Add model")
    return repository


_GIT_ATTRIBUTES = b"".join(
    b"%s filter=lfs diff=lfs merge=lfs -text\n" % pattern.encode() for pattern in catalog.LFS_PATTERNS
)


def _readme(name: str) -> bytes:
    return f"---\nlicense: gpl-3.0\ntags: [generated]\n---\n# {name}\n\nRandom weights for tests; generated.\n".encode()


# Llama ----------------------------------------------------------------------------------------------------------


def _sharded(store: BlobStore) -> Repository:
    """The second commit differs in config.json and in the last shard."""
    repository = _repository(store, SHARDED, llama(_SHARDED_SHAPE, SHARDED, shards=((0,), (1, 2), (3, 4), (5,))))
    first = repository.revision()
    last = max(path for path in first.files if path.endswith(".safetensors"))
    changed = {
        "config.json": _json({**_llama_config(_SHARDED_SHAPE), "rope_theta": 500000.0}),
        last: formats.safetensors(_shard(_SHARDED_SHAPE, f"{SHARDED}/2", (5,))),
    }
    added = {path: store.add(path, content) for path, content in changed.items()}
    repository.commit({**first.files, **added}, "Train further")
    repository.tags["v1"] = first.commit
    return repository


def llama(shape: Shape, seed: str, shards: tuple[tuple[int, ...], ...] = ()) -> dict[str, bytes]:
    """The files of a Llama model by path: one file of weights, or one per group of layers in `shards` and an index."""
    files = {
        "config.json": _json(_llama_config(shape)),
        "generation_config.json": _json({"bos_token_id": 0, "eos_token_id": 1, "max_new_tokens": 64}),
        **Tokenizer.build().files(),
    }
    groups = shards or (tuple(range(shape.layers)),)
    weight_map, total = {}, 0
    for number, layers in enumerate(groups, 1):
        name = f"model-{number:05d}-of-{len(groups):05d}.safetensors" if shards else "model.safetensors"
        tensors = _shard(shape, seed, layers)
        files[name] = formats.safetensors(tensors)
        weight_map.update({tensor.name: name for tensor in tensors})
        total += sum(len(tensor.data) for tensor in tensors)
    if shards:
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
        files["model.safetensors.index.json"] = _json(index)
    return files


def _shard(shape: Shape, seed: str, layers: tuple[int, ...]) -> list[Tensor]:
    """The layers, with the embedding before the first and the output after the last."""
    tensors = []
    if 0 in layers:
        tensors.append(random_tensor("model.embed_tokens.weight", "BF16", (VOCABULARY_SIZE, shape.hidden), seed))
    for layer in layers:
        tensors += _layer(shape, seed, layer)
    if shape.layers - 1 in layers:
        tensors.append(ones("model.norm.weight", "BF16", shape.hidden))
        tensors.append(random_tensor("lm_head.weight", "BF16", (VOCABULARY_SIZE, shape.hidden), seed))
    return tensors


def _layer(shape: Shape, seed: str, layer: int) -> Iterator[Tensor]:
    prefix = f"model.layers.{layer}"
    for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
        yield random_tensor(f"{prefix}.self_attn.{name}.weight", "BF16", (shape.hidden, shape.hidden), seed)
    for name in ("gate_proj", "up_proj"):
        yield random_tensor(f"{prefix}.mlp.{name}.weight", "BF16", (shape.intermediate, shape.hidden), seed)
    yield random_tensor(f"{prefix}.mlp.down_proj.weight", "BF16", (shape.hidden, shape.intermediate), seed)
    for name in ("input_layernorm", "post_attention_layernorm"):
        yield ones(f"{prefix}.{name}.weight", "BF16", shape.hidden)


def _llama_config(shape: Shape) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.heads,
        "head_dim": shape.hidden // shape.heads,
        "hidden_act": "silu",
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-05,
        "rope_theta": 10000.0,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": False,
        "vocab_size": VOCABULARY_SIZE,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "torch_dtype": "bfloat16",
    }


# GGUF -----------------------------------------------------------------------------------------------------------


def tiny_gguf() -> dict[str, bytes]:
    """A Llama of 200,000 weights in one GGUF file, with its tokenizer."""
    shape, seed = _SMALL_SHAPE, GGUF
    metadata: dict[str, Any] = {
        "general.architecture": "llama",
        "general.name": "tiny",
        "general.file_type": 0,
        "llama.context_length": 2048,
        "llama.embedding_length": shape.hidden,
        "llama.block_count": shape.layers,
        "llama.feed_forward_length": shape.intermediate,
        "llama.attention.head_count": shape.heads,
        "llama.attention.head_count_kv": shape.heads,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.dimension_count": shape.hidden // shape.heads,
        "llama.vocab_size": VOCABULARY_SIZE,
        **Tokenizer.build().gguf_metadata(),
    }
    tensors = [
        random_tensor("token_embd.weight", "F32", (VOCABULARY_SIZE, shape.hidden), seed),
        ones("output_norm.weight", "F32", shape.hidden),
        random_tensor("output.weight", "F32", (VOCABULARY_SIZE, shape.hidden), seed),
    ]
    for layer in range(shape.layers):
        prefix = f"blk.{layer}"
        matrices = {
            **dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_output"), (shape.hidden, shape.hidden)),
            **dict.fromkeys(("ffn_gate", "ffn_up"), (shape.intermediate, shape.hidden)),
            "ffn_down": (shape.hidden, shape.intermediate),
        }
        tensors += [random_tensor(f"{prefix}.{name}.weight", "F32", size, seed) for name, size in matrices.items()]
        tensors += [ones(f"{prefix}.{name}.weight", "F32", shape.hidden) for name in ("attn_norm", "ffn_norm")]
    return {"tiny-f32.gguf": formats.gguf(metadata, tensors)}


# Many files -----------------------------------------------------------------------------------------------------

_ODD_NAMES = (
    "with space.txt",
    "plus+sign.txt",
    "percent%20sign.txt",
    "hash#mark.txt",
    "question?mark.txt",
    "semi;colon&and=equals.txt",
    "quote's.txt",
    "brackets[1](2){3}.txt",
    "tilde~at@colon:.txt",
    "ümlaut-é-日本語-🤗.txt",
    "decomposed-e\u0301.txt",
    "composed-\u00e9.txt",
    "Case.txt",
    "case.txt",
    "CASE.txt",
    ".hidden",
    "no-extension",
    "two..dots...txt",
    "dash-",
    "-dash",
)


def many_files() -> Iterator[tuple[str, bytes]]:
    """(path, content) of about 300 small files; sizes from 0 to 20 kB, some contents equal, one tiny large-file."""
    yield "config.json", _json(_llama_config(_SMALL_SHAPE))
    for name in _ODD_NAMES:
        yield f"odd names/{name}", f"content of {name}\n".encode()
    yield "odd names/empty.txt", b""
    yield "odd names/resolve/main/tree.txt", b"a path that looks like an address\n"
    yield "adapters/adapter_model.bin", hashlib.shake_128(b"adapter").digest(5000)
    for number in range(275):
        seed = f"file {number}".encode()
        size = int.from_bytes(hashlib.sha256(seed).digest()[:2], "big") % 20_000
        yield f"part-{number % 7}/group-{number % 3}/file-{number:03d}.dat", hashlib.shake_128(seed).digest(size)


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()
