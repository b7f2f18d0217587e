# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A package index of this machine (PEP 503): the installed distributions, packed as the wheels that they came from."""

from __future__ import annotations

import email
import http.server
import importlib.metadata
import re
import threading
import zipfile
from pathlib import Path


def pack(name: str, folder: Path) -> Path:
    """The wheel of an installed distribution, without its scripts."""
    distribution = importlib.metadata.distribution(name)
    tags = email.message_from_string(distribution.read_text("WHEEL") or "").get_all("Tag", [])
    # cp311-cp311-manylinux_2_17_x86_64 and cp311-cp311-manylinux2014_x86_64 are one file name.
    python, abi, _platform = tags[0].split("-")
    platforms = ".".join(dict.fromkeys(tag.split("-")[2] for tag in tags))
    pythons = ".".join(dict.fromkeys(tag.split("-")[0] for tag in tags)) or python
    stem = re.sub(r"[-_.]+", "_", distribution.metadata["Name"]).lower()
    path = folder / f"{stem}-{distribution.version}-{pythons}-{abi}-{platforms}.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for file in distribution.files or ():
            if ".." not in file.parts and "__pycache__" not in file.parts:
                wheel.write(distribution.locate_file(file), str(file))
    return path


class Index:
    """``with Index(folder, names) as index:`` serves at ``index.url``; ``index.served`` are the names of files sent."""

    def __init__(self, folder: Path, names: list[str]) -> None:
        wheels = {re.sub(r"[-_.]+", "-", name).lower(): pack(name, folder) for name in names}
        self.served: list[str] = []
        served = self.served

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                parts = self.path.strip("/").split("/")
                if parts[0] == "simple" and parts[-1] in wheels:
                    name = wheels[parts[-1]].name
                    self._send(f'<a href="/files/{name}">{name}</a>'.encode(), "text/html")
                elif parts[0] == "files" and (folder / parts[-1]).is_file():
                    served.append(parts[-1])
                    self._send((folder / parts[-1]).read_bytes(), "application/octet-stream")
                else:
                    self.send_error(404)

            def _send(self, data: bytes, kind: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> Index:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
