# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine as a Job runs it: the zip, nothing but the pinned distributions, credentials in files, one mixed log."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._transfer.pins import REQUIREMENTS


@pytest.fixture(scope="module")
def pinned(tmp_path_factory):
    """A directory that holds the pinned distributions and no others."""
    folder = tmp_path_factory.mktemp("pinned")
    for requirement in REQUIREMENTS:
        name, version = re.match(r"([\w.-]+)==([\w.]+)", requirement).groups()
        distribution = importlib.metadata.distribution(name)
        assert distribution.version == version
        for top in {path.parts[0] for path in distribution.files} - {"..", "__pycache__"}:
            place = folder / top
            source = distribution.locate_file(top)
            if top == "google":  # several distributions share this one
                place.mkdir(exist_ok=True)
                for part in {path.parts[1] for path in distribution.files if path.parts[0] == top}:
                    (place / part).symlink_to(source / part)
            elif not place.exists():
                place.symlink_to(source)
    return folder


@pytest.fixture
def job(sync, engine_zip, pinned, tmp_path):
    """Runs the engine as one container of a Job; its exit status, result, progress and termination message."""

    def run(*arguments, request):
        (tmp_path / "request.json").write_text(json.dumps(request))
        log = tmp_path / "termination-log"
        command = [
            "-S",
            "-m",
            "modelops_transfer",
            "sync",
            str(tmp_path / "request.json"),
            "--termination-log",
            str(log),
        ]
        done = subprocess.run(
            [sys.executable, *command, *arguments],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{engine_zip}:{pinned}", "HOME": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
            check=False,
        )
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        (result,) = (line["result"] for line in lines if "result" in line)
        progress = [line for line in lines if "phase" in line]
        assert len(progress) + 1 == len(lines)
        return done.returncode, result, progress, json.loads(log.read_bytes())

    return run


@pytest.fixture
def request_without_secrets(sync, tmp_path):
    for key in ("access_key", "secret_key"):
        (tmp_path / key).write_text(sync.destination[key] + "\n")
    from_files = {key: {"from_file": str(tmp_path / key)} for key in ("access_key", "secret_key")}
    request = sync.request(destinations=[sync.destination | from_files], options=sync.options | {"shards": 2})
    assert sync.destination["secret_key"] not in json.dumps(request)
    return request


def test_a_job_of_two_needs_no_more_than_the_pins_and_the_request(sync, job, request_without_secrets):
    for index in range(2):
        status, result, progress, message = job(
            "--shard", str(index), "--group", "uid", request=request_without_secrets
        )
        assert status == 0, result
        last = index == 1
        (target,), (short,) = result["destinations"], message["destinations"]
        assert target["status"] == short["status"] == ("complete" if last else "partial")
        assert short["shard"] == {"index": index, "count": 2, "done": index + 1, "published": last}
        assert short["bytes_sent"] == target["bytes_sent"] > 0
        assert (message["changed"], message["name"], message["revision"]) == (True, sync.name, result["revision"])
        assert progress[0]["phase"] == "plan"
    sync.assert_complete()


def test_a_missing_credential_names_its_file(sync, job, request_without_secrets, tmp_path):
    (tmp_path / "secret_key").unlink()
    status, result, _progress, message = job("--shard", "0", "--group", "uid", request=request_without_secrets)
    assert status == 2
    assert message["error"] == result["error"]
    assert "secret_key of destination 1" in result["error"]["message"]
    assert sync.paths() == set()


def test_the_pins_are_complete(pinned):
    modules = (
        *("awscrt.checksums", "botocore.session", "google_crc32c", "huggingface_hub", "urllib3", "google.auth"),
        *("google.oauth2.service_account", "google.oauth2.credentials", "google.auth.compute_engine"),
        *("google.auth.identity_pool", "google.auth.impersonated_credentials", "google.auth.aws"),
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import {', '.join(modules)}"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(pinned)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
