# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The servers that the contenders talk to: hub, object store, sink. All on 127.0.0.1, each a process of its own."""

from __future__ import annotations

import dataclasses
import json
import re
import secrets
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / "roles" / "local_services" / "files"))

# Found through the line above, so they cannot stand at the top (E402).
from local_services.hub_service import HubService  # noqa: E402
from local_services.process import Daemon, ServiceError, free_ports, private_directory  # noqa: E402
from local_services.seaweedfs import SeaweedFS, find_binary  # noqa: E402
from measure import BenchmarkError, peak_memory_of  # noqa: E402

REPOSITORY = "org/model"
BUCKET = "models"
REGION = "us-east-1"
# A proxy of the environment must not get between two processes of one machine.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """Where an S3 service is and who may use it."""

    url: str
    access_key: str
    secret_key: str = dataclasses.field(repr=False)

    def client(self) -> Any:
        """A boto3 client for it."""
        import boto3  # for the environment that has it
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=REGION,
            config=Config(s3={"addressing_style": "path"}, proxies={}),
        )


class Target(Protocol):
    """Something that takes objects."""

    name: str

    def reset(self) -> Endpoint:
        """Start it if need be, empty, with one bucket."""

    @property
    def pid(self) -> int:
        """Of its process."""

    def requests(self) -> int:
        """How many it has answered since the last reset."""

    def stop(self) -> None:
        """End its process, if there is one."""


class Hub:
    """The local hub with the generated model."""

    name = "hub"

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._service = HubService(directory)

    def serve(self, model: Path) -> None:
        """Serve this model and no other."""
        self._service = HubService(self._directory, directories={REPOSITORY: model}, start_timeout=600)
        self._service.present()

    @property
    def endpoint(self) -> str:
        return self._service.endpoint

    @property
    def pid(self) -> int:
        return _alive(self._service.pid, self.name)

    def requests(self) -> int:
        """How many hub and CDN have answered since the last call."""
        answered: Mapping[str, int] = self._service.control("GET", "requests")["counters"]
        self._service.control("DELETE", "requests")
        return sum(answered.values())

    def stop(self) -> None:
        self._service.absent()


class SeaweedStore:
    """SeaweedFS, started anew with nothing in it for every contender: neither its data nor its heap is inherited."""

    name = "store"

    def __init__(self, directory: Path) -> None:
        self._directory = private_directory(directory)
        self._access_key, self._secret_key = secrets.token_hex(10), secrets.token_hex(20)
        self._service = SeaweedFS(directory, stop_timeout=0)  # nothing in it is worth an orderly end
        self._metrics = ""
        self._before = 0

    def reset(self) -> Endpoint:
        self.stop()
        port = free_ports(1)[0]
        self._metrics = f"http://127.0.0.1:{port}/metrics"
        # The only way in for one more flag: a program that adds it.
        program = self._directory / "weed"
        program.write_text(f"#!/bin/sh\nexec '{find_binary()}' \"$@\" -metricsPort={port}\n", encoding="utf-8")
        program.chmod(0o700)
        self._service = SeaweedFS(
            self._directory,
            access_key=self._access_key,
            secret_key=self._secret_key,
            binary=program,
            stop_timeout=0,
        )
        self._service.present([BUCKET])
        endpoint = Endpoint(self._service.endpoint_url, self._access_key, self._secret_key)
        # The first write of all waits for a volume to be made.
        client = endpoint.client()
        client.put_object(Bucket=BUCKET, Key="first", Body=b"first")
        client.delete_object(Bucket=BUCKET, Key="first")
        self._before = self._count()
        return endpoint

    @property
    def pid(self) -> int:
        return _alive(self._service.pid, self.name)

    @property
    def peak_memory(self) -> int:
        """Bytes, since the last reset."""
        return peak_memory_of(self.pid)

    def requests(self) -> int:
        return self._count() - self._before

    def _count(self) -> int:
        with _OPENER.open(self._metrics, timeout=10) as answer:
            text: str = answer.read().decode()
        counts = re.findall(r"^SeaweedFS_s3_request_total\{.*\} (\d+)$", text, re.MULTILINE)
        return sum(int(count) for count in counts)

    def stop(self) -> None:
        self._service.absent(remove_data=True)


class SinkTarget:
    """The endpoint that throws bytes away."""

    name = "sink"

    def __init__(self, directory: Path) -> None:
        self._daemon = Daemon("sink", directory)
        self._url = ""

    def reset(self) -> Endpoint:
        if self._daemon.pid() is None:
            port = free_ports(1)[0]
            self._url = f"http://127.0.0.1:{port}"
            program = Path(__file__).with_name("sink.py")
            self._daemon.start([sys.executable, str(program), "--port", str(port)])
            self._daemon.wait_ready(self._what_is_missing, 30)
        self._call("DELETE", "all")
        return Endpoint(self._url, "anybody", "anything")

    @property
    def pid(self) -> int:
        return _alive(self._daemon.pid(), self.name)

    def requests(self) -> int:
        return sum(self._call("GET", "counters").values())

    def _call(self, method: str, name: str) -> dict[str, int]:
        request = urllib.request.Request(f"{self._url}/_sink/{name}", method=method)  # noqa: S310 - always http
        with _OPENER.open(request, timeout=10) as answer:
            counters: dict[str, int] = json.load(answer)
        return counters

    def _what_is_missing(self) -> str | None:
        try:
            self._call("GET", "counters")
        except urllib.error.URLError as error:
            return f"asking for its counters: {error}"
        return None

    def stop(self) -> None:
        self._daemon.stop()


def _alive(pid: int | None, name: str) -> int:
    if pid is None:
        raise BenchmarkError(f"The {name} has ended by itself.")
    return pid


def check_delivery(endpoint: Endpoint, prefix: str, files: Mapping[str, int], what: str) -> None:
    """Whoever has not delivered every file has won nothing.

    :raises BenchmarkError: a file is missing below the prefix or has another size.
    """
    client = endpoint.client()
    there = {
        item["Key"].removeprefix(f"{prefix}/"): item["Size"]
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{prefix}/")
        for item in page.get("Contents", ())
    }
    wrong = [path for path, size in files.items() if there.get(path) != size]
    if wrong:
        raise BenchmarkError(f"{what} ended well, but {len(wrong)} files are not there or not whole: {wrong[:5]}")


__all__ = [
    "BUCKET",
    "CHECKOUT",
    "REGION",
    "REPOSITORY",
    "Endpoint",
    "Hub",
    "SeaweedStore",
    "ServiceError",
    "SinkTarget",
    "Target",
    "check_delivery",
    "find_binary",
]
