# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every store of a token answers. Nothing here ever holds the token."""

from __future__ import annotations

import dataclasses
import typing as t

Data: t.TypeAlias = "dict[str, t.Any]"

#: Stands for the token in ``before`` and ``after``; the second where another one takes its place.
KEPT = "(hidden)"
REPLACED = "(hidden, another one)"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What happened, or in check mode would happen, to a secret.

    ``before`` and ``after`` describe the secret without its value, None where it does not exist; they differ exactly
    when something is changed. ``name`` is the full name of the secret in its store. ``version`` is the id of the version
    that holds the token now, None where the store has no versions, and in check mode for one that would be made;
    ``previous_version`` the one before, when the token is replaced. ``reference`` names exactly that version.
    """

    name: str
    before: Data | None
    after: Data | None
    version: str | None = None
    previous_version: str | None = None
    reference: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything is other than before."""
        return self.before != self.after


class Store(t.Protocol):
    """A place for a token."""

    def present(self, token: str, *, check: bool) -> Outcome:
        """Make it hold the token, with the labels and settings that the store was made with.

        :raises TransferError, KubeError: nothing was changed, or the message says what was.
        """

    def absent(self, *, destroy: bool, check: bool) -> Outcome:
        """Remove the secret with all its versions.

        :raises InputError: it is there, and ``destroy`` is false.
        """
