# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that dies loses at most what was in flight, whenever it dies."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time

import pytest

ANY_PART = "partNumber="


def landed(proxy) -> set[tuple[str, str]]:
    """Data objects and parts that the store has acknowledged, as (path, part)."""
    found = set()
    for request in proxy.passed:
        if request.method == "PUT" and request.status == 200 and "/.model-sync/" not in request.path:
            part = request.query.partition("partNumber=")[2].partition("&")[0]
            found.add((request.path, part))
    return found


def sent_data(proxy) -> int:
    return sum(
        request.length for request in proxy.passed if request.method == "PUT" and "/.model-sync/" not in request.path
    )


def test_killed_at_twenty_random_points(sync):
    """Each time: no manifest over half a model, then a resume that sends nothing twice that had arrived."""
    size = sum(map(len, sync.expected().values()))
    in_flight = (4 + 2) * sync.options["part_size"] + 16 * 1024**2
    dice = random.Random(20)
    resent, killed_midway = [], 0
    for number in range(20):
        sync.prefix = f"{sync.prefix.split('-')[0]}-{number}"
        sync.proxy.reset()
        sync.hub.faults.clear()
        sync.hub.faults.add("throttle", match=r"\.safetensors", role="cdn", bytes_per_second=12_000_000)
        process = sync.start()
        time.sleep(dice.uniform(0.3, 2.2))
        process.kill()
        process.communicate()
        arrived, first = landed(sync.proxy), sent_data(sync.proxy)
        if sync.inspect()["status"] == "complete":  # killed on its way out, with some of our own objects left behind
            assert sync.inspect(verify=True)["status"] == "complete"
            sync.remove()
            continue
        if arrived:
            killed_midway += 1
            sync.assert_not_complete()
        sync.hub.faults.clear()
        sync.proxy.reset()
        result = sync.run()
        assert not result["failed"], result["destinations"][0]["error"]
        again = landed(sync.proxy) & arrived
        assert not again, f"kill {number}: sent again although it had arrived: {again}"
        resent.append(first + sent_data(sync.proxy) - size)
        assert resent[-1] <= in_flight
        sync.assert_complete()
        sync.remove()
    assert killed_midway >= 10
    print(f"bytes sent twice, per kill: {resent}")


def test_a_resumed_file_is_not_read_again_from_its_start(sync):
    """The hash goes on from its checkpoint: what lies before it is neither read nor sent."""
    sync.hub.faults.add("throttle", match="model-00001-of", role="cdn", bytes_per_second=3_000_000)
    sync.options |= {"workers": 1, "part_size": 5 * 1024**2}
    big = sync.hub.add_directory  # a file of many parts, so that several checkpoints are passed
    directory = sync_directory(sync, 120)
    sync.repo = "local/many-parts"
    big(sync.repo, directory)
    sync.options |= {"require_config": False}
    sync.hub.faults.clear()
    sync.hub.faults.add("throttle", match="big.bin", role="cdn", bytes_per_second=25_000_000)
    process = sync.start()
    while sum("partNumber=" in request.query for request in sync.proxy.passed) < 18:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate()
    sync.hub.faults.clear()
    result = sync.run()
    (target,) = result["destinations"]
    assert not result["failed"]
    # Checkpoints lie eight parts apart: of 24 parts at least eight are never read again.
    assert result["bytes_read"] <= target["bytes"] - 8 * sync.options["part_size"]
    assert target["bytes_resumed"] >= 15 * sync.options["part_size"]
    assert sync.inspect(verify=True)["status"] == "complete"
    shutil.rmtree(directory)


def sync_directory(sync, megabytes):
    directory = sync.hub.data_dir / "many-parts"
    directory.mkdir()
    (directory / "big.bin").write_bytes(random.Random(7).randbytes(megabytes * 1024**2))
    return directory


def test_a_stop_by_signal_leaves_a_run_that_can_be_resumed_at_once(sync):
    sync.hub.faults.add("throttle", match=r"\.safetensors", role="cdn", bytes_per_second=8_000_000)
    process = sync.start()
    while not any(ANY_PART in request.query and request.status == 200 for request in sync.proxy.passed):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    out, _err = process.communicate(timeout=30)
    assert process.returncode == 143
    assert json.loads(out)["result"]["error"]["kind"] == "StoppedError"
    assert ".model-sync/lease.json" not in sync.paths()
    sync.assert_not_complete()
    sync.hub.faults.clear()
    result = sync.run()
    assert result["destinations"][0]["bytes_resumed"] > 0
    sync.assert_complete()


def test_killed_after_the_manifest_was_written_is_complete(sync):
    sync.proxy.add("pending.json", method="DELETE", stall=20)
    process = sync.start()
    while not any(r.path.endswith("pending.json") and r.method == "DELETE" for r in sync.proxy.passed):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate()
    sync.proxy.reset()
    assert sync.inspect(verify=True)["status"] == "complete"
    assert not sync.run()["changed"]


def test_killed_before_anything_changed_leaves_the_old_revision_complete(sync, request):
    before, after = list(sync.hub.repository(sync.repo).commits)[:2]
    sync.hub.move_main(sync.repo, before)
    request.addfinalizer(lambda: sync.hub.move_main(sync.repo, after))
    sync.run()
    sync.hub.move_main(sync.repo, after)
    sync.proxy.add("manifest.json", method="DELETE", stall=20)
    process = sync.start()
    while not any(r.path.endswith("manifest.json") and r.method == "DELETE" for r in sync.proxy.passed):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate()
    sync.proxy.reset()
    found = sync.inspect(verify=True)
    assert (found["status"], found["revision"]) == ("complete", before)
    result = sync.run()
    assert result["revision"] == after
    sync.assert_complete(after)


# -- a local directory as destination --------------------------------------------------------------------------------


@pytest.fixture
def local(sync, tmp_path):
    sync.options |= {"require_config": True}
    return {"type": "local", "path": str(tmp_path), "prefix": ""}


def assert_local_complete(sync, root):
    expected = sync.expected()
    there = {os.path.relpath(os.path.join(folder, name), root) for folder, _f, names in os.walk(root) for name in names}
    assert there == {*expected, ".model-sync/manifest.json"}
    for path, content in expected.items():
        assert (root / path).read_bytes() == content


def test_killed_while_writing_to_a_directory(sync, local, tmp_path):
    root = tmp_path / sync.name
    dice = random.Random(5)
    for number in range(5):
        shutil.rmtree(root, ignore_errors=True)
        sync.hub.faults.add("throttle", match=r"\.safetensors", role="cdn", bytes_per_second=12_000_000)
        process = sync.start(destinations=[local])
        time.sleep(dice.uniform(0.3, 1.6))
        process.kill()
        process.communicate()
        sync.hub.faults.clear()
        if (root / ".model-sync/manifest.json").exists():
            assert_local_complete(sync, root)  # it was killed on its way out
        result = sync.run(destinations=[local])
        assert not result["failed"], (number, result["destinations"][0]["error"])
        assert_local_complete(sync, root)
        assert not sync.run(destinations=[local])["changed"]


def test_a_full_disk_is_refused_early_with_numbers(sync, local, monkeypatch):
    usage = shutil._ntuple_diskusage(10**9, 10**9, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    result = sync.run(destinations=[local])
    message = result["destinations"][0]["error"]["message"]
    assert "has 1000 bytes free" in message and str(result["destinations"][0]["bytes_to_send"]) in message


def test_a_disk_that_runs_full_on_the_way(sync, engine_zip, tmp_path):
    """A real small file system, in a mount namespace of its own."""
    script = 'mount -t tmpfs -o size=30m none "$1" && shift && exec "$@"'
    enter = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", str(tmp_path)]
    if subprocess.run([*enter, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine allows no mount namespaces")
    local = {"type": "local", "path": str(tmp_path), "prefix": ""}
    # The check of free space before the run is told to look elsewhere, as when somebody else fills the disk.
    code = (
        "import shutil, sys; shutil.disk_usage = lambda _p: shutil._ntuple_diskusage(1, 1, 10**12);"
        "from modelops_transfer.__main__ import main; code = main(['sync', '-']); import os;"
        "print(sorted(os.listdir(sys.argv[1] + '/model')), file=sys.stderr); sys.exit(code)"
    )
    import sys

    done = subprocess.run(
        [*enter, sys.executable, "-c", code, str(tmp_path)],
        input=json.dumps(sync.request(destinations=[local])).encode(),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(engine_zip)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    error = json.loads(done.stdout)["result"]["destinations"][0]["error"]
    assert "No space left on device" in error["message"] and "make room" in error["hint"]


def test_a_symbolic_link_that_leads_out_is_refused(sync, local, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    root = tmp_path / "destination"
    root.mkdir()
    (root / sync.name).symlink_to(outside, target_is_directory=True)
    result = sync.run(destinations=[local | {"path": str(root)}])
    assert result["destinations"][0]["error"]["kind"] == "InputError"
    assert list(outside.iterdir()) == []
