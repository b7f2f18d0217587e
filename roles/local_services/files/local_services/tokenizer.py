# SPDX-License-Identifier: GPL-3.0-or-later
"""A small byte-level BPE tokenizer, built by rule instead of trained, so that it never changes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

SPECIAL_TOKENS = ("<s>", "</s>", "<unk>")
VOCABULARY_SIZE = 512
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)

_WORDS = (
    "the of and to in is that for it as with on be at by this have from or one had not but what all were when we "
    "there can an your which their if do will each about how up out them then she many some so these would other "
    "into has more her two like him see time could no make than first been its who now people my made over did "
    "down only way find use may water long little very after words called just where most know model token large "
    "language server answer question because between example different number while world through before"
)


def _byte_characters() -> list[str]:
    """The printable character that byte-level BPE writes for each byte, as GPT-2 defined it."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) if byte in printable else chr(256 + others.index(byte)) for byte in range(256)]


@dataclass(frozen=True)
class Tokenizer:
    """The vocabulary, in order of id, and the merges, most important first."""

    tokens: list[str] = field(default_factory=list)
    merges: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def build(cls) -> Tokenizer:
        """Special tokens, all bytes, and the beginnings of common words after a space, up to the vocabulary size."""
        characters = _byte_characters()
        space = characters[ord(" ")]
        tokens, merges = [*SPECIAL_TOKENS, *characters], []
        for word in _WORDS.split():
            left = space
            for letter in word:
                if len(tokens) < VOCABULARY_SIZE and left + letter not in tokens:
                    tokens.append(left + letter)
                    merges.append((left, letter))
                left += letter
        return cls(tokens, merges)

    def files(self) -> dict[str, bytes]:
        """The files that Hugging Face libraries read, by name."""
        return {
            "tokenizer.json": _json(self._tokenizer_json()),
            "tokenizer_config.json": _json(
                {
                    "tokenizer_class": "PreTrainedTokenizerFast",
                    "bos_token": "<s>",
                    "eos_token": "</s>",
                    "unk_token": "<unk>",
                    "clean_up_tokenization_spaces": False,
                    "model_max_length": 2048,
                    "chat_template": CHAT_TEMPLATE,
                }
            ),
            "special_tokens_map.json": _json({"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}),
        }

    def gguf_metadata(self) -> dict[str, Any]:
        """The same tokenizer as GGUF keys; token type 3 is a control token, 1 a normal one."""
        special = len(SPECIAL_TOKENS)
        return {
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": "gpt-2",
            "tokenizer.ggml.tokens": self.tokens,
            "tokenizer.ggml.token_type": [3] * special + [1] * (len(self.tokens) - special),
            "tokenizer.ggml.merges": [" ".join(pair) for pair in self.merges],
            "tokenizer.ggml.bos_token_id": 0,
            "tokenizer.ggml.eos_token_id": 1,
            "tokenizer.ggml.unknown_token_id": 2,
            "tokenizer.chat_template": CHAT_TEMPLATE,
        }

    def _tokenizer_json(self) -> dict[str, Any]:
        byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
        return {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [
                {
                    "id": number,
                    "content": token,
                    "single_word": False,
                    "lstrip": False,
                    "rstrip": False,
                    "normalized": False,
                    "special": True,
                }
                for number, token in enumerate(SPECIAL_TOKENS)
            ],
            "normalizer": None,
            "pre_tokenizer": byte_level,
            "post_processor": None,
            "decoder": byte_level,
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "byte_fallback": False,
                "ignore_merges": False,
                "vocab": {token: number for number, token in enumerate(self.tokens)},
                "merges": [list(pair) for pair in self.merges],
            },
        }


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
