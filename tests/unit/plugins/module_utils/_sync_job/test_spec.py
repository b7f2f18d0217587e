# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names, identity, memory, and what versions of Kubernetes have."""

from __future__ import annotations

import dataclasses
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.modelops.serving.plugins.module_utils._mounts import SecretKey, token_mount
from ansible_collections.modelops.serving.plugins.module_utils._sync_job.spec import (
    MAX_NAME,
    Features,
    JobSpec,
    PodOptions,
    SecretMount,
    job_name,
)

RFC_1123_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
MIB = 1024**2


@settings(deadline=None)
@given(st.text(min_size=1))
def test_a_name_is_valid_for_a_cron_job_and_all_else(model):
    name = job_name(model)
    assert RFC_1123_LABEL.fullmatch(name)
    assert len(name) <= MAX_NAME


@pytest.mark.parametrize(
    "others",
    [
        ("a/b", "a-b", "a.b", "A/b", "a/B", "a//b", "a/b/", "a b"),
        ("x" * 60, "x" * 61, "x" * 60 + "y"),
        ("模型", "型模", "м", "!", "?", ""),
    ],
)
def test_models_that_look_alike_have_names_of_their_own(others):
    assert len({job_name(model) for model in others}) == len(others)


def test_a_name_tells_the_model():
    assert job_name("google/gemma-3-1b-it").startswith("model-sync-google-gemma-3-1b-it-")
    assert re.fullmatch(r"model-sync-[0-9a-f]{8}", job_name("模型"))


SPEC = JobSpec(
    name="n",
    namespace="ns",
    model="a/b",
    request={"source": {"revision": "1"}, "options": {}},
    files={"source-ca.pem": "A"},
    credentials={"source-token": "old"},
)
CHANGES = {
    "request": {"source": {"revision": "2"}, "options": {}},
    "files": {"source-ca.pem": "B"},
    "credentials": {"source-api_key": "old"},
    "mounts": (SecretMount("s", "/d", ("k",)),),
    "token": token_mount(SecretKey("t")),
    "parallelism": 2,
    "schedule": "@daily",
    "suspend": True,
    "service_account": "robot",
    "service_account_annotations": {"a": "b"},
    "backoff_limit": 1,
    "deadline": 5,
    "ttl": 5,
    "pod": PodOptions(image="other"),
    "name": "m",
    "namespace": "other",
    "model": "c/d",
}


def test_every_field_is_part_of_the_identity():
    assert {field.name for field in dataclasses.fields(JobSpec)} == CHANGES.keys()
    identities = {dataclasses.replace(SPEC, **{key: value}).identity for key, value in CHANGES.items()}
    assert len(identities | {SPEC.identity}) == len(CHANGES) + 1


def test_values_of_credentials_and_the_order_of_keys_are_not():
    assert dataclasses.replace(SPEC, credentials={"source-token": "new"}).identity == SPEC.identity
    turned = dict(reversed(SPEC.request.items()))
    assert dataclasses.replace(SPEC, request=turned).identity == SPEC.identity
    two = {"a": "1", "b": "2"}
    swapped = dict(reversed(two.items()))
    assert (
        dataclasses.replace(SPEC, credentials=two).identity == dataclasses.replace(SPEC, credentials=swapped).identity
    )


@pytest.mark.parametrize(
    ("options", "memory"),
    [
        ({}, "512Mi"),
        ({"workers": 1, "part_size": 5 * MIB}, "512Mi"),
        ({"workers": 16, "part_size": 16 * MIB}, "768Mi"),
        ({"workers": 4, "part_size": 64 * MIB}, "960Mi"),
    ],
)
def test_memory_follows_the_parts_in_flight(options, memory):
    assert dataclasses.replace(SPEC, request={"options": options}).memory == memory


def test_memory_that_is_given_counts():
    assert dataclasses.replace(SPEC, pod=PodOptions(memory="3Gi")).memory == "3Gi"


@pytest.mark.parametrize(
    ("version", "features"),
    [
        ((1, 20), Features(indexed_jobs=False, pod_failure_policy=False, cron_api="batch/v1beta1")),
        ((1, 21), Features(indexed_jobs=False, pod_failure_policy=False)),
        ((1, 22), Features(pod_failure_policy=False)),
        ((1, 25), Features(pod_failure_policy=False)),
        ((1, 26), Features()),
        ((1, 34), Features()),
    ],
)
def test_features_by_version(version, features):
    assert Features.of(version) == features
