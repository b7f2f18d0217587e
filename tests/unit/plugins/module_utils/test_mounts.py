# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes and mounts that belong together."""

from __future__ import annotations

import posixpath

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._mounts import (
    DRIVERS,
    PROFILES,
    Profile,
    ProviderClass,
    SecretKey,
    bucket_mount,
    find_profile,
    token_mount,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError


@pytest.mark.parametrize("profile", [*PROFILES.values(), Profile(path="/run/token/hf")])
@pytest.mark.parametrize("key", ["token", "HF"])
def test_where_the_token_of_a_secret_is_said_to_be_it_is(profile, key):
    mount = token_mount(SecretKey("hf-token", key), profile)
    if mount.file is None:
        assert not mount.volumes and not mount.mounts
        return
    (volume,), (place,) = mount.volumes, mount.mounts
    (item,) = volume["secret"]["items"]
    assert volume["name"] == place["name"]
    assert volume["secret"]["secretName"] == "hf-token"
    assert item["key"] == key
    assert posixpath.join(place["mountPath"], item["path"]) == mount.file
    assert place["readOnly"] is True
    assert volume["secret"]["defaultMode"] & 0o007 == 0


@pytest.mark.parametrize("profile", [PROFILES["standard"], PROFILES["jetstream_pytorch"], Profile(path="/run/hf/mine")])
@pytest.mark.parametrize("provider", DRIVERS)
def test_where_the_token_of_a_class_is_said_to_be_it_is(profile, provider):
    paths = ("token", "HUGGINGFACE_TOKEN", "mine")
    mount = token_mount(ProviderClass("hf-class", provider, paths), profile)
    (volume,), (place,) = mount.volumes, mount.mounts
    assert volume["name"] == place["name"]
    assert volume["csi"] == {
        "driver": DRIVERS[provider],
        "readOnly": True,
        "volumeAttributes": {"secretProviderClass": "hf-class"},
    }
    assert mount.file in [posixpath.join(place["mountPath"], path) for path in paths]
    assert place["readOnly"] is True
    # The rest is as with a Secret.
    assert (mount.file, mount.env) == (
        token_mount(SecretKey("s"), profile).file,
        token_mount(SecretKey("s"), profile).env,
    )


@pytest.mark.parametrize(
    ("source", "profile", "message"),
    [
        (ProviderClass("c", "gke"), PROFILES["env"], "The variable HF_TOKEN takes its value from a Secret"),
        (ProviderClass("c", "gke"), Profile(path="/run/hf/mine"), "to be the file mine, and SecretProviderClass c has"),
        (ProviderClass("c", "aws", ("token",)), PROFILES["jetstream_pytorch"], "Add HUGGINGFACE_TOKEN to the paths"),
    ],
)
def test_what_a_class_cannot_give(source, profile, message):
    with pytest.raises(InputError) as raised:
        token_mount(source, profile)
    assert message in str(raised.value)


def test_the_standard_is_the_file_that_huggingface_hub_looks_for():
    mount = token_mount(SecretKey("hf-token"))
    assert mount.file == "/var/run/secrets/huggingface.co/token"
    assert mount.env == ({"name": "HF_TOKEN_PATH", "value": mount.file},)


def test_jetstream_reads_one_file():
    mount = token_mount(SecretKey("hf-token"), PROFILES["jetstream_pytorch"])
    assert (mount.file, mount.env) == ("/huggingface/HUGGINGFACE_TOKEN", ())


def test_a_variable_refers_to_the_secret():
    mount = token_mount(SecretKey("hf-token", "key"), PROFILES["env"])
    reference = {"secretKeyRef": {"name": "hf-token", "key": "key"}}
    assert mount.env == ({"name": "HF_TOKEN", "valueFrom": reference},)


def test_profiles_by_name():
    for name, profile in PROFILES.items():
        assert find_profile(name) is profile
    assert find_profile("custom", "/run//hf/./mine") == Profile(path="/run/hf/mine")


@pytest.mark.parametrize(
    ("name", "path", "message"),
    [
        ("jetstream", None, "Use one of standard, jetstream_pytorch, env, custom."),
        ("standard", "/run/hf/mine", "says itself where the token lies, so /run/hf/mine is not used"),
        *(
            ("custom", path, "Give an absolute path in a folder")
            for path in (None, "", "a/b", "/a", "/", "//a", "/../a")
        ),
    ],
)
def test_no_such_profile(name, path, message):
    with pytest.raises(InputError) as raised:
        find_profile(name, path)
    assert message in str(raised.value)


# -- the bucket ------------------------------------------------------------------------------------------------


def test_a_bucket_is_mounted_read_only_with_the_documented_options():
    mount = bucket_mount("my-models")
    assert mount.volume == {
        "name": "model-bucket",
        "csi": {
            "driver": "gcsfuse.csi.storage.gke.io",
            "readOnly": True,
            "volumeAttributes": {
                "bucketName": "my-models",
                "mountOptions": "file-cache:cache-file-for-range-read:true,file-cache:enable-parallel-downloads:true,"
                "file-cache:max-size-mb:-1,file-system:kernel-list-cache-ttl-secs:-1,"
                "gcs-connection:client-protocol:grpc,implicit-dirs,metadata-cache:stat-cache-max-size-mb:-1,"
                "metadata-cache:ttl-secs:-1,metadata-cache:type-cache-max-size-mb:-1",
            },
        },
    }
    assert mount.mount == {"name": "model-bucket", "mountPath": "/models", "readOnly": True}
    assert mount.annotations == {"gke-gcsfuse/volumes": "true"}


def test_a_folder_of_a_bucket_for_writing():
    mount = bucket_mount(
        "my-models", "/data/", only_dir="/models/a/B/", read_only=False, mount_options=["implicit-dirs"]
    )
    assert mount.volume["csi"]["volumeAttributes"]["mountOptions"] == "implicit-dirs,only-dir:models/a/B"
    assert (mount.volume["csi"]["readOnly"], mount.mount["readOnly"]) == (False, False)
    assert mount.mount["mountPath"] == "/data"


@pytest.mark.parametrize("bucket", ["", "_", "gs://my-models", "my-models/", "My-Models", "my-models-", "a" * 223])
def test_no_such_bucket(bucket):
    with pytest.raises(InputError, match="is not the name of a bucket"):
        bucket_mount(bucket)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *(({"path": path}, "cannot be mounted at") for path in ("", "models", "/", "//")),
        *(({"only_dir": name}, "is not a folder of the bucket") for name in ("", "/", "a,rw", "../b", "a/./b")),
    ],
)
def test_no_such_folder(options, message):
    with pytest.raises(InputError, match=message):
        bucket_mount("my-models", **options)
