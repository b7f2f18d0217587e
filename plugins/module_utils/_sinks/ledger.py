# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``sent.json`` in the folder of a run: by place, what of the run is there. It stays with the run and is not sent."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

from ansible_collections.modelops.serving.plugins.module_utils._bench.errors import InputError
from ansible_collections.modelops.serving.plugins.module_utils._bench.records import storage_error, write_text

FILE = "sent.json"

Entry: t.TypeAlias = "dict[str, t.Any]"


class Ledger:
    """Written after each step that cannot be taken back, so that the next try goes on behind it.

    :raises InputError: the file is none. :raises StorageError: it cannot be read.
    """

    def __init__(self, run: Path) -> None:
        self._path = run / FILE
        self._sent: dict[str, Entry] = {}
        try:
            self._sent = {where: dict(entry) for where, entry in json.loads(self._path.read_bytes())["sent"].items()}
        except FileNotFoundError:
            pass
        except OSError as error:
            raise storage_error(self._path, error) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{self._path} does not tell what was sent: {error!r}.",
                hint="Remove it only if nothing was sent: what it told would be sent again.",
            ) from error

    def sent(self, where: str) -> Entry:
        """What was noted of a place; nothing when nothing was sent there."""
        return dict(self._sent.get(where, {}))

    def note(self, where: str, entry: Entry) -> None:
        """:raises StorageError: it cannot be written, so that no more may be sent."""
        self._sent[where] = entry
        write_text(self._path, json.dumps({"sent": self._sent}, indent=1) + "\n")
