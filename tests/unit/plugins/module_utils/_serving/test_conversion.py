# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._serving import conversion
from ansible_collections.modelops.serving.plugins.module_utils._serving.conversion import (
    JetStreamLoader,
    LlamaConversion,
    Run,
)
from ansible_collections.modelops.serving.plugins.module_utils._serving.engines import jetstream
from ansible_collections.modelops.serving.plugins.module_utils._serving.instance import Bucket
from ansible_collections.modelops.serving.plugins.module_utils._tpu.capacity import Capacity
from ansible_collections.modelops.serving.plugins.module_utils._tpu.errors import TpuError
from ansible_collections.modelops.serving.plugins.module_utils._tpu.slice import make_slice
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._serving.instances import instance

RUN = Run("gemma-loader", "serving")
ITEMS = "gs://models/final/unscanned/gemma_7b-it/0/checkpoints/0/items"
PAX = "gs://models/pax/checkpoint_00000000"


def loader(**given):
    usual = {"run": RUN, "model": "google/gemma/maxtext/7b-it/2", "bucket": "models", "secret": "kaggle"}
    return JetStreamLoader(**{**usual, "on": make_slice("v5e", topology="2x4"), **given})


def llama(**given):
    usual = {
        "run": RUN,
        "image": "converter:1",
        "size": "7b",
        "source": "gs://models/llama",
        "destination": "gs://models/pax",
    }
    return LlamaConversion(**{**usual, **given})


def job_of(objects):
    (found,) = (obj for obj in objects if obj["kind"] == "Job")
    return found


def container_of(objects):
    (found,) = job_of(objects)["spec"]["template"]["spec"]["containers"]
    return found


@pytest.fixture
def bucket(tmp_path):
    """Runs a container's command where gcloud and the converters are stubs around a folder that is the bucket."""
    return Commands(tmp_path)


class Commands:
    """What a container finds in its image, as scripts that write to a log what they are called with.

    ``gcloud storage`` takes the folder ``store`` for all buckets, and both converters make a checkpoint. Any call fails
    whose line in the log contains ``failing``.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.store, self.log = root, root / "store", root / "log"
        self.failing = ""
        self.log.touch()
        self.script(
            "gcloud",
            """
            here() { echo "${1/gs:\\/\\//$STORE/}"; }
            case "$1 $2" in
              "storage ls") test -e "$(here "$3")";;
              "storage cp") to=$(here "$4"); mkdir -p "$(dirname "$to")"; cp $(here "$3") "$to";;
              "storage rsync") to=$(here "$6"); rm -rf "$to"; mkdir -p "$to"; cp -r "$5/." "$to/";;
              *) exit 64;;
            esac
            """,
        )
        self.script("python3", 'mkdir -p "$6/checkpoint_00000000/metadata" "$6/checkpoint_00000000/state"')
        self.script("maxtext", 'mkdir -p "$(dirname "$STORE/$WHOLE")"; touch "$STORE/$WHOLE"')
        # Like some versions of the real one it goes on after a failure.
        self.script("kaggle", "")
        self.script("checkpoint_converter.sh", 'kaggle; maxtext "$@"; echo done')

    def script(self, name: str, text: str) -> None:
        path = self.root / "bin" / name
        path.parent.mkdir(exist_ok=True)
        log = 'line="${0##*/} $*"; echo "$line" >> "$LOG"; case $line in $FAILING) exit 7;; esac'
        path.write_text(f"#!/bin/bash\n{log}\n{text}\n")
        path.chmod(0o755)

    def put(self, *urls: str) -> None:
        for url in urls:
            path = self.store / url.removeprefix("gs://")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

    def has(self, url: str) -> bool:
        return (self.store / url.removeprefix("gs://")).exists()

    def calls(self, *names: str) -> list[str]:
        return [line for line in self.log.read_text().splitlines() if line.startswith(names)]

    def run(self, container: dict) -> int:
        """The container's exit status."""
        env = {item["name"]: item["value"] for item in container["env"] if "value" in item}
        env |= {
            "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}",
            "LOG": str(self.log),
            "STORE": str(self.store),
            "STAGING": str(self.root / "staging"),
            "FAILING": f"*{self.failing}*" if self.failing else "",
            "WHOLE": f"{ITEMS}/commit_success.txt".removeprefix("gs://"),
        }
        command = [*container["command"], *container.get("args", [])]
        return subprocess.run(command, check=False, capture_output=True, text=True, env=env).returncode


# -- JetStream ---------------------------------------------------------------------------------------------------------


def test_a_model_on_kaggle():
    found = conversion.kaggle_model("google/gemma/maxtext/2b-it/2")
    assert found.maxtext_name == "gemma-2b"
    assert found.checkpoint == "final/unscanned/gemma_2b-it/0/checkpoints/0/items"


@pytest.mark.parametrize(
    "handle", ["google/gemma", "google/gemma/pax/2b-it/2", "google/gemma/maxtext/7b-it", "a/b/maxtext/c/x"]
)
def test_what_is_no_model_of_maxtext(handle):
    with pytest.raises(InputError, match="is no version of a MaxText model"):
        conversion.kaggle_model(handle)


@pytest.mark.parametrize("keys", [["username", "key"], ["kaggle.json"], ["kaggle.json", "username"]])
def test_secrets_of_kaggle(keys):
    conversion.check_kaggle_secret("kaggle", keys)


@pytest.mark.parametrize(
    ("keys", "missing"), [([], "username and key"), (["username"], "key"), (["key", "token"], "username")]
)
def test_secrets_that_are_none_of_kaggle(keys, missing):
    with pytest.raises(InputError, match=f"The Secret kaggle has neither the key kaggle.json nor {missing}."):
        conversion.check_kaggle_secret("kaggle", keys)


def test_the_job_is_that_of_the_manifest():
    objects = conversion.loader_objects(loader(capacity=Capacity("spot")))
    container = container_of(objects)
    pod = job_of(objects)["spec"]["template"]["spec"]
    assert container["image"] == "us-docker.pkg.dev/cloud-tpu-images/inference/inference-checkpoint:v0.2.4"
    assert container["args"] == ["-b=models", "-m=google/gemma/maxtext/7b-it/2"]
    assert container["resources"] == {"requests": {"google.com/tpu": "8"}, "limits": {"google.com/tpu": "8"}}
    (mount,) = container["volumeMounts"]
    (volume,) = pod["volumes"]
    assert mount == {"name": volume["name"], "mountPath": "/kaggle", "readOnly": True}
    assert volume["secret"] == {"secretName": "kaggle", "defaultMode": 0o400}
    assert pod["nodeSelector"] == {
        "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
        "cloud.google.com/gke-tpu-topology": "2x4",
        "cloud.google.com/gke-spot": "true",
    }


def test_credentials_are_where_the_tool_looks():
    env = container_of(conversion.loader_objects(loader()))["env"]
    assert {item["name"]: item["valueFrom"]["secretKeyRef"] for item in env if "valueFrom" in item} == {
        "KAGGLE_USERNAME": {"name": "kaggle", "key": "username", "optional": True},
        "KAGGLE_KEY": {"name": "kaggle", "key": "key", "optional": True},
    }


def test_the_server_loads_what_the_converter_leaves():
    made = instance(engine="jetstream", model_name=loader().model, model_weights=Bucket("models", ""))
    (checkpoint,) = (item for item in container_of(conversion.loader_objects(loader()))["env"] if "value" in item)
    assert checkpoint["value"] == jetstream.checkpoint(made) == ITEMS


def test_the_converter_is_asked_and_its_marker_looked_for(bucket):
    assert bucket.run(container_of(conversion.loader_objects(loader()))) == 0
    assert bucket.calls("gcloud", "maxtext") == [
        f"gcloud storage ls {ITEMS}/commit_success.txt",
        "maxtext -b=models -m=google/gemma/maxtext/7b-it/2",
        f"gcloud storage ls {ITEMS}/commit_success.txt",
    ]


@pytest.mark.parametrize("step", ["kaggle", "maxtext"])
def test_a_failure_in_the_converter_is_one_of_the_job(bucket, step):
    bucket.failing = f"{step} "
    assert bucket.run(container_of(conversion.loader_objects(loader()))) == 7
    assert not bucket.has(f"{ITEMS}/commit_success.txt")


def test_a_converter_that_ends_well_without_a_checkpoint_has_failed(bucket):
    bucket.script("maxtext", "")
    assert bucket.run(container_of(conversion.loader_objects(loader()))) != 0


def test_a_whole_checkpoint_is_left_alone(bucket):
    bucket.put(f"{ITEMS}/commit_success.txt")
    assert bucket.run(container_of(conversion.loader_objects(loader()))) == 0
    assert bucket.calls("maxtext") == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": "google/gemma-7b"}, "is no version of a MaxText model"),
        ({"bucket": "gs://models"}, "is not the name of a bucket"),
        ({"image": "loader"}, "does not say which one it is"),
        ({"on": make_slice("v5e", topology="4x4")}, "4x4 has 4"),
        ({"run": Run("Loader", "serving")}, "is not a DNS label"),
        ({"run": Run("loader", "serving", service_account="default")}, "The service account default is shared"),
        ({"run": Run("loader", "serving", deadline=0)}, "deadline of loader is 0"),
    ],
)
def test_loaders_that_cannot_work(given, message):
    with pytest.raises(InputError, match=message):
        conversion.check_loader(loader(**given))


def test_a_slice_that_jetstream_does_not_know():
    with pytest.raises(TpuError, match="jetstream does not know tpu7x"):
        conversion.check_loader(loader(on=make_slice("tpu7x", topology="2x2x1")))
    with pytest.raises(TpuError, match="no flex-start"):
        conversion.check_loader(loader(on=make_slice("v4", topology="2x2x1"), capacity=Capacity("flex_start")))


def test_users_of_a_loader_are_told_that_jetstream_is_old():
    assert any("archived" in warning for warning in conversion.check_loader(loader()))


# -- Saxml -------------------------------------------------------------------------------------------------------------


def test_the_environment_of_the_conversion():
    container = container_of(conversion.llama_objects(llama(size="13b")))
    assert {item["name"]: item["value"] for item in container["env"]} == {
        "GCS_BASE_CHECKPOINT_PATH": "gs://models/llama",
        "GCS_PAX_CHECKPOINT_PATH": "gs://models/pax",
        "CONV_MODULE": "convert_llama_ckpt",
        "ARGS": "--model-size=13b",
        "CHECKPOINT_FOLDER_NAME": "checkpoint_00000000",
        "STAGING": "/staging",
    }
    assert container["resources"]["limits"] == {"memory": "120G", "ephemeral-storage": "60G"}
    assert container["resources"]["requests"] == container["resources"]["limits"]


def test_files_are_converted_and_markers_written_last(bucket):
    bucket.put("gs://models/llama/consolidated.00.pth")
    assert bucket.run(container_of(conversion.llama_objects(llama()))) == 0
    staging = bucket.root / "staging"
    calls = bucket.calls("gcloud", "python3")
    assert calls[:3] == [
        f"gcloud storage ls {PAX}/commit_success.txt",
        f"gcloud storage cp gs://models/llama/*.pth {staging}/base/",
        f"python3 -m convert_llama_ckpt --base {staging}/base --pax {staging}/pax --model-size=7b",
    ]
    assert [call.split()[2] for call in calls[3:]] == ["rsync", "cp", "cp", "cp"]
    assert [call.split()[-1].removeprefix(f"{PAX}/") for call in calls[4:]] == [
        "metadata/commit_success.txt",
        "state/commit_success.txt",
        "commit_success.txt",
    ]
    assert all(bucket.has(f"{PAX}/{part}commit_success.txt") for part in ("", "metadata/", "state/"))


def test_what_was_left_half_done_is_replaced(bucket):
    bucket.put("gs://models/llama/consolidated.00.pth", f"{PAX}/state/old", f"{PAX}/state/commit_success.txt")
    assert bucket.run(container_of(conversion.llama_objects(llama()))) == 0
    assert not bucket.has(f"{PAX}/state/old")


def test_a_whole_pax_checkpoint_is_left_alone(bucket):
    bucket.put(f"{PAX}/commit_success.txt")
    assert bucket.run(container_of(conversion.llama_objects(llama()))) == 0
    assert bucket.calls("python3") == []


@pytest.mark.parametrize("step", ["*.pth", "python3", "rsync", "metadata/commit", "state/commit"])
def test_any_failure_is_one_of_the_job_and_leaves_no_marker(bucket, step):
    bucket.put("gs://models/llama/consolidated.00.pth")
    bucket.failing = step.replace("*", "[*]")
    assert bucket.run(container_of(conversion.llama_objects(llama()))) == 7
    assert not bucket.has(f"{PAX}/commit_success.txt")


def test_a_source_without_weights_fails(bucket):
    assert bucket.run(container_of(conversion.llama_objects(llama()))) != 0
    assert bucket.calls("python3") == []


@pytest.mark.parametrize(("size", "node"), [("7b", 128), ("13b", 256), ("70b", 768)])
def test_nodes_that_are_large_enough(size, node):
    conversion.check_llama(llama(size=size, node_memory=node))


@pytest.mark.parametrize(
    ("given", "message", "hint"),
    [
        (
            {"size": "70b", "node_memory": 256},
            "70b takes about 600 GB .* 600 GB, and the nodes have 256 GB",
            "n2-highmem-96",
        ),
        ({"size": "70b", "memory": 400}, "70b takes about 600 GB .* limit is 400 GB", "raise it"),
        (
            {"size": "7b", "memory": 112, "node_memory": 64},
            "limit is 112 GB, and the nodes have 64 GB",
            "n2-highmem-16",
        ),
        ({"size": "8b"}, "no conversion of the size '8b'", "7b, 13b, 70b"),
        ({"image": "converter"}, "does not say which one it is", "version"),
        ({"source": "models/llama"}, "source 'models/llama' is not a folder", "gs://bucket/path"),
        ({"destination": "gs://models"}, "destination 'gs://models' is not a folder", "gs://bucket/path"),
        ({"source": "gs://models/*"}, "is not a folder", "gs://bucket/path"),
        ({"destination": "gs://models/llama/pax"}, "lies in the source", "beside"),
        ({"destination": "gs://models/llama"}, "lies in the source", "beside"),
    ],
)
def test_conversions_that_cannot_work(given, message, hint):
    with pytest.raises(InputError, match=message) as error:
        conversion.check_llama(llama(**given))
    assert hint in error.value.hint


# -- Jobs --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "made",
    [lambda run: conversion.loader_objects(loader(run=run)), lambda run: conversion.llama_objects(llama(run=run))],
)
def test_jobs_have_an_account_of_their_own_and_one_try(made):
    account, job = made(Run("convert", "serving", service_account_annotations={"a": "b"}, deadline=60))
    assert account["metadata"] == {"name": "convert", "namespace": "serving", "annotations": {"a": "b"}}
    spec = job["spec"]
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"]) == (0, 60)
    assert [rule["action"] for rule in spec["podFailurePolicy"]["rules"]] == ["Ignore"]
    assert spec["template"]["spec"]["serviceAccountName"] == "convert"
    (job,) = made(Run("convert", "serving", service_account="robot", pod_failure_policy=False))
    assert "podFailurePolicy" not in job["spec"]
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == "robot"
