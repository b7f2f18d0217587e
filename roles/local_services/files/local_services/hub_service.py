# SPDX-License-Identifier: GPL-3.0-or-later
"""The local hub as a background process."""

from __future__ import annotations

import hashlib
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .catalog import directory_mark
from .process import (
    LOOPBACK,
    ServiceError,
    choose_port,
    free_ports,
    private_directory,
    write_private,
)
from .service import Service
from .tokens import load_or_create_tokens

_PACKAGE = Path(__file__).parent


class HubService(Service):
    """The hub process whose contents, tokens, log and pid live in `state_dir`/hub.

    As a context manager it runs for the length of the block; otherwise see `present` and `absent`.

    :param port, cdn_port: 0 keeps the one used before or takes a free one.
    :param directories: further repositories: name -> directory with its files.
    :param tree_page_size: most entries in one page of a tree.
    :param start_timeout: seconds until it answers; hashing directories for the first time takes about 1 s per GB.
    :param stop_timeout: seconds between SIGTERM and SIGKILL.
    """

    def __init__(
        self,
        state_dir: Path | str,
        *,
        port: int = 0,
        cdn_port: int = 0,
        directories: Mapping[str, Path | str] | None = None,
        tree_page_size: int = 100,
        start_timeout: float = 60.0,
        stop_timeout: float = 30.0,
    ) -> None:
        self._state_dir = Path(state_dir).absolute()
        super().__init__("hub", self._state_dir / "hub", start_timeout=start_timeout, stop_timeout=stop_timeout)
        self._wanted_ports = {"port": port, "cdn_port": cdn_port}
        self._directories = {name: Path(path).absolute() for name, path in (directories or {}).items()}
        self._tree_page_size = tree_page_size

    @property
    def tokens_file(self) -> Path:
        """JSON file of mode 0600: a list of tokens with `name`, `value`, `role` and what they may read."""
        return self.directory / "tokens.json"

    @property
    def tokens(self) -> Mapping[str, str]:
        """Secret token values by name. Raises FileNotFoundError before the first start."""
        return {token["name"]: token["value"] for token in json.loads(self.tokens_file.read_text(encoding="utf-8"))}

    @property
    def endpoint(self) -> str:
        """The address of the hub as of the last start. Raises ServiceError before the first one."""
        port = self._settings().get("port")
        if port is None:
            raise ServiceError("The hub was never started.")
        return f"http://{LOOPBACK}:{port}"

    def control(self, method: str, path: str, content: Any = None) -> Any:
        """Call the control address `path`, such as "faults"; see the README for what there is.

        Raises OSError when the hub cannot be reached and urllib.error.HTTPError when it refuses.
        """
        body = None if content is None else json.dumps(content).encode()
        address = f"{self.endpoint}/_control/{path}"
        request = urllib.request.Request(address, body, method=method)  # noqa: S310 - always http
        # A proxy of the environment must not get between two processes of one machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=5) as answer:
            return json.load(answer)

    def status(self) -> dict[str, Any]:
        """What runs and where, without any secret: the tokens are in `tokens_file`."""
        pid = self.pid
        about: dict[str, Any] = {"endpoint": None, "cdn": None, "repositories": []}
        if pid is not None:
            try:
                about = self.control("GET", "status")
            except OSError as error:
                raise ServiceError(f"The hub runs with pid {pid} but does not answer: {error}") from error
        return {
            "running": pid is not None,
            "pid": pid,
            **about,
            "tokens_file": str(self.tokens_file),
            "log_file": str(self._daemon.log_file),
        }

    def present(self, *, check: bool = False) -> bool:
        """Make the hub run with these settings. Returns whether anything was or would be changed.

        It is restarted when it runs with other settings, and when a directory it serves or its own code has changed.
        With `check` nothing is changed. Raises ServiceError.
        """
        desired = self._desired()
        if self.pid is not None and self._runs_as(desired):
            return False
        if not check:
            self._daemon.stop(self._stop_timeout)
            self._start(desired)
        return True

    # How ---------------------------------------------------------------------------------------------------------

    def _desired(self) -> dict[str, Any]:
        """Everything but the ports that calls for a restart when it changes."""
        try:
            marks = {name: [str(path), directory_mark(path)] for name, path in self._directories.items()}
        except NotADirectoryError as error:
            raise ServiceError(f"Cannot serve it as a repository: {error}.") from error
        code = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(_PACKAGE.glob("*.py"))))
        return {"directories": marks, "tree_page_size": self._tree_page_size, "code": code.hexdigest()}

    def _runs_as(self, desired: Mapping[str, Any]) -> bool:
        settings = self._settings()
        return all(settings.get(key) == value for key, value in desired.items()) and all(
            port in (0, settings.get(name)) for name, port in self._wanted_ports.items()
        )

    def _start(self, desired: Mapping[str, Any]) -> None:
        private_directory(self.directory)
        load_or_create_tokens(self.tokens_file)
        ports = self._choose_ports()
        write_private(self._settings_file, json.dumps({**desired, **ports}))
        command = [sys.executable, "-m", "local_services.hub", "--state-dir", str(self._state_dir)]
        command += ["--port", str(ports["port"]), "--cdn-port", str(ports["cdn_port"])]
        command += ["--tree-page-size", str(self._tree_page_size)]
        for name, path in self._directories.items():
            command += ["--repository", f"{name}={path}"]
        self._daemon.start(command, {"PYTHONPATH": str(_PACKAGE.parent), "PYTHONDONTWRITEBYTECODE": "1"})
        self._daemon.wait_ready(self._what_is_missing, self._start_timeout)

    def _choose_ports(self) -> dict[str, int]:
        settings = self._settings()
        port = choose_port(self._wanted_ports["port"], settings.get("port"))
        cdn_port = choose_port(self._wanted_ports["cdn_port"], settings.get("cdn_port"))
        if cdn_port == port:
            if self._wanted_ports["cdn_port"]:
                raise ServiceError(f"The hub and its CDN cannot both listen on port {port}.")
            cdn_port = next(other for other in free_ports(2) if other != port)
        return {"port": port, "cdn_port": cdn_port}

    def _what_is_missing(self) -> str | None:
        try:
            self.control("GET", "status")
        except (OSError, urllib.error.URLError) as error:
            return f"asking for its status: {error}"
        return None
