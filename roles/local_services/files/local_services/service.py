# SPDX-License-Identifier: GPL-3.0-or-later
"""What the services have in common: one daemon, one directory, settings of the last start."""

from __future__ import annotations

import abc
import json
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from .process import Daemon

_Self = TypeVar("_Self", bound="Service")


class Service(abc.ABC):
    """A daemon whose data, secrets, log and pid live in `directory`; runs for the length of a `with` block.

    :param start_timeout: seconds until it answers.
    :param stop_timeout: seconds between SIGTERM and SIGKILL.
    """

    def __init__(self, name: str, directory: Path, *, start_timeout: float, stop_timeout: float) -> None:
        self.directory = directory
        self._start_timeout = start_timeout
        self._stop_timeout = stop_timeout
        self._daemon = Daemon(name, directory)

    @property
    def pid(self) -> int | None:
        return self._daemon.pid()

    @abc.abstractmethod
    def present(self, *, check: bool = False) -> bool:
        """Make it run as wanted. Returns whether anything was or, with `check`, would be changed."""

    def absent(self, *, remove_data: bool = False, check: bool = False) -> bool:
        """Stop it and, with `remove_data`, delete its directory. Returns whether anything was or would be changed.

        Raises ServiceError.
        """
        running = self.pid is not None
        removable = remove_data and self.directory.exists()
        if not check:
            self._daemon.stop(self._stop_timeout)
            if removable:
                shutil.rmtree(self.directory)
        return running or removable

    def __enter__(self: _Self) -> _Self:
        self.present()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.absent()

    @property
    def _settings_file(self) -> Path:
        return self.directory / "settings.json"

    def _settings(self) -> dict[str, Any]:
        """Of the last start; empty before it."""
        try:
            settings: dict[str, Any] = json.loads(self._settings_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return settings
