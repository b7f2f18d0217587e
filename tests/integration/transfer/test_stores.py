# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sources and destinations of every kind, on a real S3 store and real directories."""

from __future__ import annotations

import contextlib
import json
import os
import random
import time

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    InputError,
    NotFoundError,
    SourceChangedError,
)

ODD_KEYS = [
    "a b.txt", "a+b.txt", "100%.txt", "50%25.txt", "q?x=1&y.txt", "#hash", "ünï/çødé.txt", "emoji-🙂.bin",
    "quote'\".txt", "<xml>&amp;.txt", "Case", "case", "dots..inside", "trailing.", "~tilde",
    "new\nline", "tab\there", "deep/" + "d/" * 40 + "file", "=eq", ";semi", ",comma", "star*", "[brackets]",
]  # fmt: skip


@pytest.fixture
def model(tmp_path):
    """A small model directory: config, a file of several parts, one empty file, what `hf download` leaves beside."""
    root = tmp_path / "model"
    (root / "sub").mkdir(parents=True)
    (root / "config.json").write_text('{"model_type": "llama"}')
    (root / "weights.bin").write_bytes(random.Random(1).randbytes(12 * 1024**2 + 17))
    (root / "sub/empty").write_bytes(b"")
    (root / ".cache/huggingface/download").mkdir(parents=True)
    (root / ".cache/huggingface/download/config.json.metadata").write_text("x")
    return root


def files_of(root) -> dict[str, bytes]:
    return {
        os.path.relpath(os.path.join(folder, name), root): open(os.path.join(folder, name), "rb").read()
        for folder, _folders, names in os.walk(root)
        for name in names
        if ".model-sync" not in folder and ".cache" not in folder
    }


def local(*paths, **more) -> dict:
    return {"type": "local", "paths": list(paths), **more}


# -- local files and directories -------------------------------------------------------------------------------------


def test_a_directory_with_a_trailing_slash_gives_its_contents(sync, model):
    sync.run(source=local(f"{model}/"))
    assert sync.paths() == {"config.json", "weights.bin", "sub/empty", ".model-sync/manifest.json"}
    assert sync.read("weights.bin") == (model / "weights.bin").read_bytes()
    assert sync.read("sub/empty") == b""
    assert not sync.run(source=local(f"{model}/"))["changed"]


def test_a_directory_without_one_gives_itself(sync, model):
    sync.options["require_config"] = False
    sync.run(source=local(str(model)))
    assert "model/config.json" in sync.paths()


def test_a_directory_without_one_and_without_a_name_is_where_rsync_puts_it(sync, model):
    result = sync.run(source=local(str(model)), name=None, options=sync.options | {"require_config": False})
    assert result["name"] == "model"
    assert result["destinations"][0]["url"] == f"s3://faults/{sync.prefix}/model/"


def test_forgetting_the_slash_is_explained(sync, model):
    with pytest.raises(Exception, match="End the source path with a slash"):
        sync.run(source=local(str(model)))
    assert sync.paths() == set()


def test_single_files_and_several_paths(sync, model, tmp_path):
    extra = tmp_path / "extra.txt"
    extra.write_text("extra")
    sync.run(source=local(f"{model}/", str(extra)))
    assert sync.read("extra.txt") == b"extra"


def test_two_paths_that_want_the_same_name_are_refused(sync, model, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match=r"would both become 'config\.json'"):
        sync.run(source=local(f"{model}/", str(tmp_path / "config.json")))
    assert sync.paths() == set()


def test_a_touched_file_is_hashed_and_not_sent(sync, model):
    sync.run(source=local(f"{model}/"))
    os.utime(model / "weights.bin")
    result = sync.run(source=local(f"{model}/"))
    assert result["changed"] and result["destinations"][0]["bytes_sent"] == 0


def test_a_file_of_the_same_size_and_time_but_other_content_is_sent(sync, model):
    sync.run(source=local(f"{model}/"))
    before = (model / "config.json").stat()
    (model / "config.json").write_text('{"model_type": "gemma"}'[: before.st_size].ljust(before.st_size))
    os.utime(model / "config.json", ns=(before.st_atime_ns, before.st_mtime_ns))
    sync.run(source=local(f"{model}/"))
    assert sync.read("config.json") == (model / "config.json").read_bytes()


def test_an_empty_directory_is_an_error(sync, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFoundError, match="holds no files"):
        sync.run(source=local(f"{tmp_path}/empty/"))


def test_a_missing_path_is_an_error(sync, tmp_path):
    with pytest.raises(NotFoundError, match="does not exist"):
        sync.run(source=local(f"{tmp_path}/nothing/"))


def test_a_loop_of_symbolic_links_is_an_error(sync, model):
    (model / "loop").symlink_to(model, target_is_directory=True)
    with pytest.raises(InputError, match="symbolic link"):
        sync.run(source=local(f"{model}/"))


def test_a_source_that_changes_while_it_is_read_is_never_published(sync, model):
    sync.proxy.add("partNumber=1", stall=0.7, times=1)
    process = sync.start(source=local(f"{model}/"))
    while not any("partNumber=" in request.query for request in sync.proxy.passed):
        assert process.poll() is None
    with (model / "config.json").open("a") as stream:
        stream.write(" ")
    out, _err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert json.loads(out)["result"]["error"]["kind"] == "SourceChangedError"
    sync.assert_not_complete()


def test_to_a_directory_and_back(sync, model, tmp_path):
    there = {"type": "local", "path": str(tmp_path), "prefix": "volume"}
    result = sync.run(source=local(f"{model}/"), destinations=[there])
    assert not result["failed"], result["destinations"][0]["error"]
    assert files_of(tmp_path / "volume/model") == files_of(model)
    assert not sync.run(source=local(f"{model}/"), destinations=[there])["changed"]
    sync.run(source=local(f"{tmp_path}/volume/model/"))
    assert sync.read("weights.bin") == (model / "weights.bin").read_bytes()


# -- S3 as source ------------------------------------------------------------------------------------------------


def s3_source(sync, prefix: str, **more) -> dict:
    return {**sync.destination, "prefix": prefix, **more}


def put_all(sync, prefix: str, files: dict[str, bytes]) -> None:
    for path, data in files.items():
        sync.client.put_object(Bucket=sync.bucket, Key=f"{prefix}/{path}", Body=data)


def streaming(sync) -> dict:
    return {**sync.options, "server_side_copy": False, "require_config": False}


@pytest.mark.parametrize("copy", [True, False], ids=["server-side", "streamed"])
def test_any_legal_key(sync, copy):
    files = {key: f"content of {key!r}".encode() for key in ODD_KEYS}
    put_all(sync, f"odd-{copy}", files)
    options = streaming(sync) | {"server_side_copy": copy}
    result = sync.run(source=s3_source(sync, f"odd-{copy}"), options=options)
    assert not result["failed"], result["destinations"][0]["error"]
    assert sync.paths() - {".model-sync/manifest.json"} == set(files)
    assert all(sync.read(path) == data for path, data in files.items())
    assert (result["bytes_read"] == 0) is copy
    assert not sync.run(source=s3_source(sync, f"odd-{copy}"), options=options)["changed"]


def test_more_than_a_thousand_keys(sync):
    files = {f"{number:04}.txt": str(number).encode() for number in range(1100)}
    put_all(sync, "many", files)
    result = sync.run(source=s3_source(sync, "many"), options=streaming(sync))
    assert result["destinations"][0]["files"] == 1100
    assert sync.paths() - {".model-sync/manifest.json"} == set(files)
    sync.proxy.reset()
    assert not sync.run(source=s3_source(sync, "many"), options=streaming(sync))["changed"]
    assert {request.method for request in sync.proxy.passed} == {"GET"}
    assert len(sync.proxy.passed) == 2 + 2 + 1  # pages of source and destination, and the manifest


def test_a_prefix_is_a_directory_and_not_the_beginning_of_a_name(sync):
    put_all(sync, "dir", {"config.json": b"{}"})
    put_all(sync, "dir2", {"other.json": b"{}"})
    sync.run(source=s3_source(sync, "dir"), options=streaming(sync))
    assert sync.paths() == {"config.json", ".model-sync/manifest.json"}


def test_folder_markers_are_not_files(sync):
    put_all(sync, "marked", {"": b"", "sub/": b"", "sub/config.json": b"{}"})
    sync.run(source=s3_source(sync, "marked"), options=streaming(sync))
    assert sync.paths() == {"sub/config.json", ".model-sync/manifest.json"}


def test_an_empty_prefix_is_an_error(sync):
    with pytest.raises(NotFoundError, match="holds no files"):
        sync.run(source=s3_source(sync, "nothing-here"))
    assert sync.paths() == set()


def test_a_missing_source_bucket_is_an_error(sync):
    with pytest.raises(NotFoundError, match="'not-there' does not exist"):
        sync.run(source=s3_source(sync, "x", bucket="not-there"))


def test_a_copy_of_a_copy_is_held_against_the_hashes_of_the_first(sync):
    sync.run()
    first, sync.prefix = sync.prefix, f"{sync.prefix}-second"
    source = s3_source(sync, f"{first}/{sync.name}")
    sync.run(source=source, options=streaming(sync))
    assert sync.inspect(verify=True)["status"] == "complete"
    for path, content in sync.expected().items():
        assert sync.read(path) == content


def test_a_damaged_copy_is_not_copied_on(sync, model, tmp_path):
    there = {"type": "local", "path": str(tmp_path), "prefix": "volume"}
    sync.run(source=local(f"{model}/"), destinations=[there])
    sync.run(source=local(f"{model}/"))
    first, sync.prefix = sync.prefix, f"{sync.prefix}-second"
    # The manifest keeps the ETag of the damaged object, as a disk error would leave it.
    manifest = json.loads(
        sync.client.get_object(Bucket="faults", Key=f"{first}/model/.model-sync/manifest.json")["Body"].read()
    )
    etag = sync.client.put_object(Bucket="faults", Key=f"{first}/model/config.json", Body=b'{"model_type": "xxxxx"}')[
        "ETag"
    ]
    for file in manifest["files"]:
        if file["path"] == "config.json":
            file["etag"] = etag.strip('"')
    sync.client.put_object(
        Bucket="faults", Key=f"{first}/model/.model-sync/manifest.json", Body=json.dumps(manifest).encode()
    )
    with pytest.raises(Exception, match=r"config\.json: SHA-256 is"):
        sync.run(source=s3_source(sync, f"{first}/model"), options=streaming(sync))
    sync.assert_not_complete()


def test_an_object_that_is_replaced_while_it_is_read_is_never_published(sync):
    put_all(sync, "moving", {"config.json": b"{}", "big.bin": random.Random(3).randbytes(16 * 1024**2)})
    sync.proxy.add("partNumber=", method="PUT", stall=0.5, times=2)
    process = sync.start(source=s3_source(sync, "moving"), options=streaming(sync) | {"workers": 1})
    while not any("partNumber=" in request.query for request in sync.proxy.passed):
        assert process.poll() is None
    put_all(sync, "moving", {"big.bin": random.Random(4).randbytes(16 * 1024**2)})
    out, _err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert json.loads(out)["result"]["error"]["kind"] == SourceChangedError.__name__
    sync.assert_not_complete()


def test_large_objects_are_copied_in_parts_by_the_store(sync, monkeypatch):
    from ansible_collections.modelops.serving.plugins.module_utils._transfer.stores import s3

    monkeypatch.setattr(s3, "_COPY_LIMIT", 6 * 1024**2)
    monkeypatch.setattr(s3, "_MIB", 10 * 1024)  # parts of 5 MiB instead of 512
    content = random.Random(8).randbytes(12 * 1024**2 + 5)
    put_all(sync, "large", {"big.bin": content})
    result = sync.run(source=s3_source(sync, "large"), options=streaming(sync) | {"server_side_copy": True})
    assert result["bytes_read"] == 0 and result["destinations"][0]["bytes_copied"] == len(content)
    assert sync.read("big.bin") == content
    assert sum("partNumber" in request.query for request in sync.proxy.passed) == 3


def test_anonymous_access_is_asked_for_without_a_signature(sync):
    options = {key: value for key, value in s3_source(sync, "x").items() if key not in ("access_key", "secret_key")}
    with pytest.raises(Exception, match=r"AccessDenied|InvalidAccessKeyId"):
        sync.run(source=options | {"anonymous": True})


# -- what stays and what goes ------------------------------------------------------------------------------------


def test_files_that_left_the_source_stay_unless_pruned(sync, model):
    sync.run(source=local(f"{model}/"))
    (model / "sub/empty").unlink()
    result = sync.run(source=local(f"{model}/"))
    assert result["destinations"][0]["stale"]["first"] == ["sub/empty"]
    assert "sub/empty" in sync.paths()
    sync.write("theirs.txt", b"not ours")
    result = sync.run(source=local(f"{model}/"), options=sync.options | {"prune": True})
    assert result["destinations"][0]["removed"]["first"] == ["sub/empty"]
    assert "sub/empty" not in sync.paths() and "theirs.txt" in sync.paths()
    assert not sync.run(source=local(f"{model}/"), options=sync.options | {"prune": True})["changed"]


def test_pruning_more_than_allowed_changes_nothing(sync, model):
    for number in range(5):
        (model / f"old-{number}").write_text("x")
    sync.run(source=local(f"{model}/"))
    for number in range(5):
        (model / f"old-{number}").unlink()
    result = sync.run(source=local(f"{model}/"), options=sync.options | {"prune": True, "prune_max": 4})
    assert "more than prune_max 4" in result["destinations"][0]["error"]["message"]
    assert sync.inspect()["status"] == "complete" and "old-0" in sync.paths()


def test_revisions_side_by_side_switch_at_once(sync, request):
    before, after = list(sync.hub.repository(sync.repo).commits)[:2]
    sync.hub.move_main(sync.repo, before)
    request.addfinalizer(lambda: sync.hub.move_main(sync.repo, after))
    sync.options["side_by_side"] = True
    sync.run()
    assert json.loads(sync.read(".model-sync/current.json"))["revision"] == before
    sync.hub.move_main(sync.repo, after)
    sync.hub.faults.add("status", match=r"\.safetensors", role="cdn", code=404)
    with pytest.raises(NotFoundError):
        sync.run()
    assert json.loads(sync.read(".model-sync/current.json"))["revision"] == before
    sync.hub.faults.clear()
    sync.run()
    assert json.loads(sync.read(".model-sync/current.json"))["revision"] == after
    assert not sync.run()["changed"]
    for revision in (before, after):
        for path, content in sync.expected(revision).items():
            assert sync.read(f"revisions/{revision}/{path}") == content
    found = sync.inspect(verify=True)
    assert (found["status"], found["current_revision"]) == ("complete", after)
    assert found["revisions"] == sorted([before, after])
    sync.remove()
    assert sync.paths() == set()


def test_removing_takes_the_model_and_nothing_else(sync):
    sync.run()
    sync.proxy.reset()
    result = sync.remove()
    assert result["changed"] and sync.paths() == set() and sync.uploads() == []
    deletes = [request.path for request in sync.proxy.passed if request.method == "DELETE"]
    assert deletes[0].endswith("/.model-sync/manifest.json")
    assert not sync.remove()["changed"]


def test_removing_an_unfinished_copy_aborts_its_uploads(sync):
    sync.proxy.add("uploadId=", method="POST", status=403, error="AccessDenied")
    assert sync.run()["failed"]
    sync.proxy.reset()
    assert sync.uploads()
    sync.remove()
    assert sync.uploads() == [] and sync.paths() == set()


def test_many_small_files(sync):
    sync.repo = "local/many-files"
    sync.options["require_config"] = False
    result = sync.run()
    assert result["destinations"][0]["files"] > 250
    sync.assert_complete()


def test_a_verifying_look_finds_a_flipped_byte_that_size_and_etag_do_not_show(sync, model, tmp_path):
    there = {"type": "local", "path": str(tmp_path), "prefix": "volume"}
    sync.run(source=local(f"{model}/"), destinations=[there])
    path = tmp_path / "volume/model/weights.bin"
    before = path.stat()
    with path.open("r+b") as stream:
        stream.seek(1000)
        byte = stream.read(1)
        stream.seek(1000)
        stream.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    from ansible_collections.modelops.serving.plugins.module_utils._transfer.run import run_inspect

    request = {"name": "model", "destinations": [there]}
    assert run_inspect(request)[0]["status"] == "complete"
    found = run_inspect(request, verify=True)[0]
    assert found["status"] == "corrupt" and "weights.bin: SHA-256 is" in found["problems"]["first"][0]


def test_memory_does_not_grow_with_the_model(sync, tmp_path):
    """200 MiB for the whole process, whatever the size of the model; here 600 MB."""
    big = tmp_path / "big"
    big.mkdir()
    with (big / "weights.bin").open("wb") as stream:
        stream.truncate(600_000_000)
    sync.options = {"require_config": False}
    process = sync.start(source=local(f"{big}/"), destinations=[sync.destination])
    peak = 0
    while process.poll() is None:
        # The kernel's own high-water mark; that of wait4() would start at the size of this process.
        with contextlib.suppress(OSError, StopIteration), open(f"/proc/{process.pid}/status") as status:
            peak = int(next(line for line in status if line.startswith("VmHWM")).split()[1])
        time.sleep(0.01)
    assert process.returncode == 0
    assert 0 < peak < 200 * 1024
    sync.remove()


# -- uploaded by hand ------------------------------------------------------------------------------------------------


def test_what_was_uploaded_by_hand_is_checked_and_marked_complete(sync):
    for path, content in sync.expected().items():
        sync.write(path, content)
    sync.proxy.reset()
    result = sync.run(source={"type": "in_place"})
    assert result["changed"] and result["destinations"][0]["bytes_sent"] == 0
    assert all("/.model-sync/" in request.path for request in sync.proxy.writes())
    sync.assert_complete()
    assert not sync.run(source={"type": "in_place"})["changed"]


def test_an_upload_by_hand_that_is_not_whole_is_refused(sync):
    with pytest.raises(NotFoundError, match="holds no files"):
        sync.run(source={"type": "in_place"})
    files = sync.expected()
    shard = files.pop("model-00002-of-00004.safetensors")
    for path, content in files.items():
        sync.write(path, content)
    with pytest.raises(Exception, match=r"missing at the source, first 'model-00002-of-00004\.safetensors'"):
        sync.run(source={"type": "in_place"})
    sync.write("model-00002-of-00004.safetensors", shard[:-1])
    result = sync.run(source={"type": "in_place"})
    assert "is not a whole safetensors file" in result["destinations"][0]["error"]["message"]
    assert not any(path.startswith(".model-sync") for path in sync.paths())
