# SPDX-License-Identifier: GPL-3.0-or-later
"""llama.cpp's server as a background process."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import llama
from .process import LOOPBACK, ServiceError, choose_port, private_directory, write_private
from .service import Service

_PACKAGE = Path(__file__).parent
# https://github.com/ggml-org/ggml/blob/master/docs/gguf.md: the first bytes of every file.
_MAGIC = b"GGUF"


def find_model(path: Path) -> Path:
    """The .gguf file `path`, or the only one in the folder `path`.

    Raises ServiceError when it is missing, when the folder holds none or several, and when it is no GGUF.
    """
    if path.is_dir():
        found = sorted(file for file in path.glob("*.gguf") if file.is_file())
        if not found:
            raise ServiceError(f"No .gguf file is in {path}: llama.cpp serves no other format.")
        if len(found) > 1:
            names = ", ".join(file.name for file in found)
            raise ServiceError(f"{path} holds several .gguf files; name one, of a split model the first: {names}.")
        (path,) = found
    try:
        with path.open("rb") as stream:
            magic = stream.read(len(_MAGIC))
    except OSError as error:
        raise ServiceError(f"Cannot read the model {path}: {error.strerror}.") from error
    if magic != _MAGIC:
        raise ServiceError(f"{path} is not a GGUF file: it does not begin with {_MAGIC.decode()}.")
    return path


class LlamaService(Service):
    """llama.cpp's server whose log and pid live in `state_dir`/llama.

    As a context manager it runs for the length of the block; otherwise see `present` and `absent`.

    :param model: a .gguf file, or a folder with exactly one. Needed to start it.
    :param name: what it is called in the API; the name of the file without its suffix when not given.
    :param port: 0 keeps the one used before or takes a free one.
    :param context_size: most tokens of one request, prompt and answer; 0 is all that the model was made for.
    :param parallel: requests at a time, each with its own context; others wait.
    :param threads: of the processor; 0 leaves them to llama.cpp.
    :param start_timeout: seconds until the model is loaded.
    :param stop_timeout: seconds between SIGTERM and SIGKILL.
    """

    def __init__(
        self,
        state_dir: Path | str,
        *,
        model: Path | str | None = None,
        name: str = "",
        port: int = 0,
        context_size: int = 4096,
        parallel: int = 1,
        threads: int = 0,
        start_timeout: float = 60.0,
        stop_timeout: float = 30.0,
    ) -> None:
        super().__init__(
            "llama", Path(state_dir).absolute() / "llama", start_timeout=start_timeout, stop_timeout=stop_timeout
        )
        if context_size < 0 or threads < 0 or parallel < 1:
            raise ServiceError("llama.cpp needs parallel of 1 or more; context_size and threads are 0 or more.")
        self._model = Path(model).absolute() if model else None
        self._name = name
        self._wanted_port = port
        self._options = {"context_size": context_size, "parallel": parallel, "threads": threads}

    @property
    def endpoint(self) -> str:
        """The address of the server as of the last start. Raises ServiceError before the first one."""
        port = self._settings().get("port")
        if port is None:
            raise ServiceError("llama.cpp's server was never started.")
        return f"http://{LOOPBACK}:{port}"

    def status(self) -> dict[str, Any]:
        """What runs and where. `base_url` is what clients of OpenAI's API call so: the endpoint with /v1."""
        pid = self.pid
        running = pid is not None
        settings = self._settings() if running else {}
        return {
            "running": running,
            "pid": pid,
            "endpoint": self.endpoint if running else None,
            "base_url": f"{self.endpoint}/v1" if running else None,
            "model": settings.get("name"),
            "model_file": settings.get("model"),
            "log_file": str(self._daemon.log_file),
        }

    def present(self, *, check: bool = False) -> bool:
        """Make the server run with this model and these settings. Returns whether anything was or would be changed.

        It is restarted when it runs with others, when the file was written since, and when xllamacpp or the code here
        has changed. With `check` nothing is changed, and before the first start neither the package nor the model has
        to be there. Raises ServiceError.
        """
        if self._model is None:
            raise ServiceError("llama.cpp's server needs a model: a .gguf file, or a folder with exactly one.")
        if check and self.pid is None:
            return True
        desired = self._desired(find_model(self._model))
        if self.pid is not None and self._runs_as(desired):
            return False
        if not check:
            self._daemon.stop(self._stop_timeout)
            self._start(desired)
        return True

    # How ---------------------------------------------------------------------------------------------------------

    def _desired(self, model: Path) -> dict[str, Any]:
        """Everything but the port that calls for a restart when it changes."""
        try:
            version = importlib.metadata.version("xllamacpp")
        except importlib.metadata.PackageNotFoundError:
            raise ServiceError(
                "The Python package 'xllamacpp' is needed for llama.cpp's server: pip install xllamacpp"
            ) from None
        status = model.stat()
        return {
            "model": str(model),
            # A digest would take a second for each GB at every run.
            "written": [status.st_size, status.st_mtime_ns, status.st_ino],
            "name": self._name or model.stem,
            **self._options,
            "xllamacpp": version,
            "code": hashlib.sha256(Path(llama.__file__).read_bytes()).hexdigest(),
        }

    def _runs_as(self, desired: Mapping[str, Any]) -> bool:
        settings = self._settings()
        return {**desired, "port": settings.get("port")} == settings and self._wanted_port in (0, settings["port"])

    def _start(self, desired: Mapping[str, Any]) -> None:
        private_directory(self.directory)
        port = choose_port(self._wanted_port, self._settings().get("port"))
        write_private(self._settings_file, json.dumps({**desired, "port": port}))
        command = [sys.executable, "-m", "local_services.llama", "--port", str(port)]
        for option in ("model", "name", *self._options):
            command += [f"--{option.replace('_', '-')}={desired[option]}"]
        self._daemon.start(command, {"PYTHONPATH": str(_PACKAGE.parent), "PYTHONDONTWRITEBYTECODE": "1"})
        self._daemon.wait_ready(self._what_is_missing, self._start_timeout)

    def _what_is_missing(self) -> str | None:
        """None when the model is loaded; until then the server answers every request with 503."""
        # A proxy of the environment must not get between two processes of one machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{self.endpoint}/health", timeout=5):
                return None
        except (OSError, urllib.error.URLError) as error:
            return f"asking for its health: {error}"
