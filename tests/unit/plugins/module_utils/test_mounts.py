# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a token comes into a container."""

from __future__ import annotations

import posixpath

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._mounts import PROFILES, Profile, token_mount


@pytest.mark.parametrize("profile", [*PROFILES.values(), Profile(path="/run/token/hf")])
@pytest.mark.parametrize("key", ["token", "HF"])
def test_where_the_token_is_said_to_be_it_is(profile, key):
    mount = token_mount("hf-token", key, profile)
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


def test_the_standard_is_the_file_that_huggingface_hub_looks_for():
    mount = token_mount("hf-token")
    assert mount.file == "/var/run/secrets/huggingface.co/token"
    assert mount.env == ({"name": "HF_TOKEN_PATH", "value": mount.file},)


def test_jetstream_reads_one_file():
    mount = token_mount("hf-token", profile=PROFILES["jetstream_pytorch"])
    assert (mount.file, mount.env) == ("/huggingface/HUGGINGFACE_TOKEN", ())


def test_a_variable_refers_to_the_secret():
    mount = token_mount("hf-token", "key", PROFILES["env"])
    reference = {"secretKeyRef": {"name": "hf-token", "key": "key"}}
    assert mount.env == ({"name": "HF_TOKEN", "valueFrom": reference},)
