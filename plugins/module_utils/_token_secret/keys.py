# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The keys under which a store with several values per secret holds the one token."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._mounts import PATHS
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError

# apimachinery's IsConfigMapKey. Keys become names of files when the secret is mounted.
_KEY = re.compile(r"(?!\.\.)(?!\.$)[-._a-zA-Z0-9]{1,253}")


def check_keys(keys: t.Sequence[str] | None) -> tuple[str, ...]:
    """The keys to use; the usual ones for None.

    :raises InputError: there is none, one is no key, or one is there twice.
    """
    if keys is None:
        return PATHS
    if not keys:
        raise InputError("There are no keys to hold the token.", hint="Leave keys out for the usual ones.")
    for key in keys:
        if not _KEY.fullmatch(key):
            raise InputError(
                f"{key!r} cannot be a key of a secret.",
                hint="Use letters, digits, '-', '_' and '.', at most 253, and not '..' at the start.",
            )
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise InputError(f"The key {', '.join(twice)} is there twice.", hint="Name each of keys once.")
    return tuple(keys)
