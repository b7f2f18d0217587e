# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real S3 store behind a proxy that can go wrong, a Hub that can go wrong, and the engine in between."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys

import pytest
from s3_proxy import S3Proxy

from ansible_collections.modelops.serving.plugins.module_utils._transfer import bundle
from ansible_collections.modelops.serving.plugins.module_utils._transfer.run import (
    run_inspect,
    run_remove,
    run_sync,
)

_numbers = itertools.count()
SHARDED = "local/sharded-llama"


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory):
    from local_services.seaweedfs import SeaweedFS

    with SeaweedFS(tmp_path_factory.mktemp("seaweedfs"), stop_timeout=1) as service:
        service.present(["faults"])
        yield service


@pytest.fixture(scope="session")
def _hub(tmp_path_factory):
    from local_services.hub import LocalHub

    with LocalHub(tmp_path_factory.mktemp("hub")) as service:
        yield service


@pytest.fixture
def hub(_hub):
    yield _hub
    _hub.faults.clear()
    _hub.clear_requests()


@pytest.fixture(scope="session")
def _proxy(seaweedfs):
    with S3Proxy(seaweedfs.endpoint_url) as service:
        yield service


@pytest.fixture
def proxy(_proxy):
    _proxy.reset()
    yield _proxy
    _proxy.reset()


@pytest.fixture(scope="session")
def engine_zip(tmp_path_factory):
    path = tmp_path_factory.mktemp("engine") / "modelops_transfer.zip"
    path.write_bytes(bundle.build())
    return path


class Sync:
    """One model, one Hub, one prefix of its own in the store; requests made of them and what is there afterwards."""

    def __init__(self, hub, seaweedfs, proxy, engine_zip) -> None:
        self.hub, self.seaweedfs, self.proxy, self._zip = hub, seaweedfs, proxy, engine_zip
        self.prefix = f"t{next(_numbers)}"
        self.bucket = "faults"
        self.repo = SHARDED
        self.options: dict = {"part_size": 5 * 1024**2, "attempts": 4, "interval": 0.2, "lease_seconds": 6}
        self.source: dict = {}
        self.name = "model"

    @property
    def destination(self) -> dict:
        return {
            "type": "s3",
            "bucket": self.bucket,
            "prefix": self.prefix,
            "endpoint_url": self.proxy.url,
            "access_key": self.seaweedfs.access_key,
            "secret_key": self.seaweedfs.secret_key,
        }

    def request(self, **changes) -> dict:
        source = {"type": "huggingface", "repo": self.repo, "endpoint": self.hub.endpoint, **self.source}
        return {
            "name": self.name,
            "source": source,
            "destinations": [self.destination],
            "options": self.options,
            **changes,
        }

    def run(self, **changes):
        return run_sync(self.request(**changes))

    def start(self, **changes) -> subprocess.Popen:
        """The engine as a process of its own, from the zip, as a Job runs it."""
        process = subprocess.Popen(
            [sys.executable, "-m", "modelops_transfer", "sync", "-"],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(self._zip)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        process.stdin.write(json.dumps(self.request(**changes)).encode())
        process.stdin.close()
        process.stdin = None
        return process

    def inspect(self, *, verify=False):
        (found,) = run_inspect(self.request(), verify=verify)
        return found

    def remove(self):
        return run_remove(self.request())

    # -- what is really there ----------------------------------------------------------------------------------

    @property
    def client(self):
        return self.seaweedfs.client()

    def key(self, path: str) -> str:
        return f"{self.prefix}/{self.name}/{path}"

    def paths(self) -> set[str]:
        found, token = set(), {}
        while True:
            page = self.client.list_objects_v2(Bucket=self.bucket, Prefix=self.key(""), **token)
            found |= {item["Key"][len(self.key("")) :] for item in page.get("Contents", ())}
            if not page["IsTruncated"]:
                return found
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def read(self, path: str) -> bytes:
        return self.client.get_object(Bucket=self.bucket, Key=self.key(path))["Body"].read()

    def write(self, path: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=self.key(path), Body=data)

    def uploads(self) -> list[str]:
        found = self.client.list_multipart_uploads(Bucket=self.bucket, Prefix=self.key("")).get("Uploads", ())
        return [item["Key"] for item in found]

    def expected(self, revision: str = "main") -> dict[str, bytes]:
        from huggingface_hub import HfApi

        info = HfApi(endpoint=self.hub.endpoint, token=False).model_info(self.repo, revision=revision)
        names = [sibling.rfilename for sibling in info.siblings]
        return {name: self.hub.read(self.repo, name, revision) for name in names}

    def assert_complete(self, revision: str = "main") -> None:
        """Byte by byte what the Hub has, nothing left over, and a manifest that says so."""
        expected = self.expected(revision)
        assert self.paths() == {*expected, ".model-sync/manifest.json"}
        for path, content in expected.items():
            assert self.read(path) == content, path
        assert self.uploads() == []
        assert self.inspect(verify=True)["status"] == "complete"

    def assert_not_complete(self) -> None:
        assert ".model-sync/manifest.json" not in self.paths()
        assert self.inspect()["status"] in ("absent", "partial")


@pytest.fixture
def sync(hub, seaweedfs, proxy, engine_zip):
    return Sync(hub, seaweedfs, proxy, engine_zip)
