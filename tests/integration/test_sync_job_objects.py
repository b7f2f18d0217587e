# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every object of a sync is one that a current Kubernetes knows, field by field."""

from __future__ import annotations

import copy
import itertools

import pytest
from ansible.module_utils.common.arg_spec import ModuleArgumentSpecValidator
from schemas import check

from ansible_collections.modelops.serving.plugins.module_utils._sync_job import run
from ansible_collections.modelops.serving.plugins.module_utils._sync_job.assemble import assemble
from ansible_collections.modelops.serving.plugins.module_utils._sync_job.spec import Features
from ansible_collections.modelops.serving.plugins.modules.model_sync_job import argument_spec

SECRETS = {"hub": {"token": "t"}, "keys": {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}}
KINDS = [
    {},
    {"schedule": "17 3 * * *", "suspend": True},
    {"parallelism": 4},
]
TOKENS = [
    {},
    *({"token_secret": {"name": "hub", "mount": mount}} for mount in ("standard", "jetstream_pytorch", "env")),
    {"token_secret": {"name": "hub", "mount": "custom", "path": "/run/hub/token"}},
    {"token_secret_provider_class": {"provider": "gke"}},
    {"token_secret_provider_class": {"provider": "aws", "mount": "jetstream_pytorch"}},
]
PODS = [
    {},
    {
        "install_requirements": False,
        "image_pull_secrets": ["registry"],
        "node_selector": {"pool": "cpu"},
        "tolerations": [{"key": "a", "operator": "Equal", "value": "b", "effect": "NoExecute", "tolerationSeconds": 5}],
        "env": {"NUMBER": 1},
        "labels": {"team": "ml"},
        "annotations": {"note": True},
        "service_account_annotations": {"eks.amazonaws.com/role-arn": "arn"},
        "platform": "openshift",
        "ttl_seconds_after_finished": 600,
        "memory": "2Gi",
    },
    {"service_account": "robot", "destinations": [{"bucket": "b", "credentials_secret": "keys"}]},
]


def objects(**given):
    options = {"namespace": "ns", "source": {"repo": "a/b"}, "destinations": [{"bucket": "b"}], **copy.deepcopy(given)}
    result = ModuleArgumentSpecValidator(argument_spec()).validate(options)
    assert not result.error_messages, result.error_messages
    engine = {"workers": 4, "part_size": 16 * 1024**2, "timeout": 60.0}
    found = assemble(result.validated_parameters, engine, lambda name, *, missing: SECRETS[name])
    return run.objects_of(found.spec, Features())


@pytest.mark.parametrize(("kind", "token", "pod"), [*itertools.product(KINDS, TOKENS, PODS)])
def test_objects_are_what_kubernetes_knows(kind, token, pod):
    built = objects(**kind, **token, **pod)
    assert {"ConfigMap", "CronJob" if kind.get("schedule") else "Job"} <= {obj["kind"] for obj in built}
    for obj in built:
        check(obj)


def test_a_secret_is_one_too():
    (secret,) = (obj for obj in objects(source={"repo": "a/b", "token": "t"}) if obj["kind"] == "Secret")
    check(secret)


def test_what_is_misspelt_shows():
    job = objects()[-1]
    job["spec"]["template"]["spec"]["containers"][0]["volumeMount"] = []
    with pytest.raises(AssertionError, match="volumeMount"):
        check(job)
