# SPDX-License-Identifier: GPL-3.0-or-later
"""Access tokens of the local hub: made at random, never fixed, kept in a file that only the owner can read."""

from __future__ import annotations

import fnmatch
import json
import secrets
import string
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from .process import write_private

TokenRole = Literal["read", "write", "fineGrained"]


class InvalidCredentials(Exception):
    """The Authorization header holds no valid token."""


@dataclass(frozen=True)
class Token:
    """One token and what it may do.

    `gated` and `private` are shell patterns of the repositories it can read although they are gated or private.
    `active` is false for a token that has expired or was revoked: the hub then knows nothing about it.
    """

    name: str
    value: str
    role: TokenRole = "read"
    gated: tuple[str, ...] = ()
    private: tuple[str, ...] = ()
    active: bool = True

    def may_read_gated(self, repository: str) -> bool:
        return any(fnmatch.fnmatchcase(repository, pattern) for pattern in self.gated)

    def may_read_private(self, repository: str) -> bool:
        return any(fnmatch.fnmatchcase(repository, pattern) for pattern in self.private)

    def whoami(self) -> dict[str, Any]:
        """The answer to whoami-v2."""
        access: dict[str, Any] = {"displayName": self.name, "role": self.role, "createdAt": "2026-01-01T00:00:00.000Z"}
        if self.role == "fineGrained":
            access["fineGrained"] = {
                "canReadGatedRepos": bool(self.gated),
                "global": [],
                "scoped": [
                    {
                        "entity": {"_id": "0" * 24, "type": "model", "name": name},
                        "permissions": ["repo.content.read"],
                    }
                    for name in sorted({*self.gated, *self.private})
                ],
            }
        return {
            "type": "user",
            "id": _user_id(self.name),
            "name": self.name,
            "fullname": self.name,
            "email": f"{self.name}@localhost",
            "emailVerified": True,
            "canPay": False,
            "isPro": False,
            "orgs": [],
            "auth": {"type": "access_token", "accessToken": access},
        }


def _user_id(name: str) -> str:
    """A 24 digit hexadecimal user id made from the name alone."""
    return name.encode().hex().ljust(24, "0")[:24]


def new_tokens() -> list[Token]:
    """The usual set, with new random values.

    - reader: reads everything, gated and private repositories included
    - writer: the same with role write
    - fine_grained: may read the one gated repository only
    - stranger: valid, but was given no access to gated or private repositories
    - revoked: was valid once
    """
    everything = ("*",)
    return [
        Token("reader", _random_value(), "read", everything, everything),
        Token("writer", _random_value(), "write", everything, everything),
        Token("fine_grained", _random_value(), "fineGrained", ("local/gated-llama",)),
        Token("stranger", _random_value()),
        Token("revoked", _random_value(), "read", everything, everything, active=False),
    ]


def _random_value() -> str:
    return "hf_" + "".join(secrets.choice(string.ascii_letters) for _number in range(34))


def load_or_create_tokens(path: Path) -> list[Token]:
    """The tokens kept in `path`; a new set is made and kept with mode 0600 when there is no such file."""
    if path.exists():
        known = json.loads(path.read_text(encoding="utf-8"))
        return [
            Token(**{**token, "gated": tuple(token["gated"]), "private": tuple(token["private"])}) for token in known
        ]
    tokens = new_tokens()
    write_private(path, json.dumps([asdict(token) for token in tokens], indent=1))
    return tokens


class TokenTable:
    """Finds the token of a request."""

    def __init__(self, tokens: Iterable[Token]) -> None:
        self._by_name = {token.name: token for token in tokens}

    @property
    def values(self) -> Mapping[str, str]:
        """The secret value of each token by its name."""
        return {name: token.value for name, token in self._by_name.items()}

    def identify(self, authorization: str | None) -> Token | None:
        """The token of an Authorization header, None for an anonymous request. Raises InvalidCredentials."""
        if authorization is None:
            return None
        scheme, _mark, value = authorization.partition(" ")
        if scheme.lower() == "bearer":
            for token in self._by_name.values():
                if token.active and secrets.compare_digest(token.value.encode(), value.strip().encode()):
                    return token
        raise InvalidCredentials
