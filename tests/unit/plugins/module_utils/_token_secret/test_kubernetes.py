# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import InputError
from ansible_collections.modelops.serving.plugins.module_utils._token_secret.kubernetes import (
    KubernetesSecret,
    check_labels,
    describe,
    owned,
)
from ansible_collections.modelops.serving.plugins.module_utils._token_secret.store import KEPT, REPLACED
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._kube.fakes import FakeApi

PATH = "/api/v1/namespaces/demo/secrets/hf"
CANARY = "hf_canary"


@pytest.fixture
def api():
    return FakeApi()


def secret(api, **changes):
    given = {"name": "hf", "namespace": "demo", "keys": ("token",), "labels": None, "annotations": None}
    return KubernetesSecret(api.client(), **(given | changes))


def held(api):
    return {key: base64.b64decode(value).decode() for key, value in api.objects[PATH]["data"].items()}


def test_a_life(api):
    predicted = secret(api).present(CANARY, check=True)
    assert not api.writes
    made = secret(api, labels={"a": "1"}, annotations={"b": "2"}).present(CANARY, check=False)
    again = secret(api, labels={"a": "1"}, annotations={"b": "2"}).present(CANARY, check=False)
    assert predicted.changed and made.changed and not again.changed and again.after == again.before == made.after
    assert (made.name, made.version, made.previous_version, made.reference) == ("demo/hf", None, None, None)
    assert made.before is None and made.after["data"] == {"token": KEPT}
    rotated = secret(api, keys=("token", "more")).present("hf_new", check=False)
    assert rotated.after["data"] == {"token": REPLACED, "more": KEPT}
    # What is not given stays.
    assert rotated.after["metadata"]["labels"] == {"a": "1"} and rotated.after["metadata"]["annotations"] == {"b": "2"}
    fewer = secret(api, labels={}).present("hf_new", check=False)
    assert held(api) == {"token": "hf_new"} and "labels" not in fewer.after["metadata"]
    with pytest.raises(InputError, match="destroy: true"):
        secret(api).absent(destroy=False, check=True)
    assert len(api.writes) == 3
    assert secret(api).absent(destroy=True, check=True).changed
    removed = secret(api).absent(destroy=True, check=False)
    assert removed.after is None and removed.before == {**fewer.after, "data": {"token": KEPT}}
    assert not secret(api).absent(destroy=False, check=False).changed
    assert len(api.writes) == 4
    assert CANARY not in str([predicted, made, again, rotated, fewer, removed])


def test_a_secret_of_a_controller_is_left_alone(api):
    secret(api).present(CANARY, check=False)
    owner = {"kind": "ExternalSecret", "name": "hf", "controller": True}
    api.objects[PATH]["metadata"]["ownerReferences"] = [owner]
    with pytest.raises(InputError, match="is made by ExternalSecret hf"):
        secret(api).present("hf_new", check=False)
    del owner["controller"]
    assert secret(api).present("hf_new", check=False).changed


@pytest.mark.parametrize("changes", [{"name": "Not_Valid"}, {"namespace": "a.b"}, {"labels": {"a": "b c"}}])
def test_names_are_checked_before_anything_is_asked(api, changes):
    with pytest.raises(InputError):
        secret(api, **changes)
    assert not api.asked


@pytest.mark.parametrize("labels", [{"a": ""}, {"example.com/a_b.c": "A-1"}, {"x" * 63: "y" * 63}])
def test_labels(labels):
    check_labels(labels)


@pytest.mark.parametrize(
    "labels", [{"": "a"}, {"a/b/c": ""}, {"a": "-b"}, {"x" * 64: ""}, {"a": "y" * 64}, {"A/b": ""}]
)
def test_no_labels(labels):
    with pytest.raises(InputError, match="is not valid"):
        check_labels(labels)


def entry(manager, fields, **more):
    return {"manager": manager, "operation": "Apply", "apiVersion": "v1", "fieldsV1": fields, **more}


def test_what_is_ours():
    ours = {"f:metadata": {"f:labels": {".": {}, "f:a": {}}}, "f:data": {"f:token": {}}}
    theirs = {"f:metadata": {"f:labels": {"f:b": {}}}}
    live = {
        "metadata": {
            "name": "hf",
            "labels": {"a": "1", "b": "2"},
            "managedFields": [
                entry("other", theirs),
                entry("modelops.serving", theirs, operation="Update"),
                entry("modelops.serving", ours),
            ],
        },
        "data": {"token": "YQ=="},
    }
    assert owned(live, "labels") == {"a": "1"}
    assert owned(live, "annotations") == owned(None, "labels") == {}
    shown = describe(live)
    assert shown["metadata"]["managedFields"] == {"modelops.serving": ["data.token", "metadata.labels.a"]}
    assert shown["data"] == {"token": KEPT}
    assert describe(live, {"data": {"token": "Yg=="}})["data"] == {"token": REPLACED}
