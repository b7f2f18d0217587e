# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._serving import build, kserve
from ansible_collections.modelops.serving.plugins.module_utils._serving.extras import Autoscaling, Extras, Route
from ansible_collections.modelops.serving.plugins.module_utils._serving.instance import (
    Connection,
    Device,
    KServe,
    Stream,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._serving.instances import (
    instance,
    of_kind,
    tpu,
)

PLACE = Connection("demo-models", "/models/m/")


def served(**given):
    usual = {"cpu": "4", "memory": "16Gi", "kserve": KServe(), "model_weights": PLACE}
    return instance(**{"hardware": Device(), **usual, **given})


def predictor(made):
    return of_kind("InferenceService", made)["spec"]["predictor"]


def test_runtime_and_service_take_the_place_of_deployment_and_service():
    kinds = sorted(obj["kind"] for obj in build.objects(served()))
    assert kinds == ["InferenceService", "PodDisruptionBudget", "ServiceAccount", "ServingRuntime"]
    (container,) = of_kind("ServingRuntime", served())["spec"]["containers"]
    assert container["name"] == "kserve-container" and "resources" not in container
    assert "--model=/mnt/models" in container["args"]
    model = predictor(served())["model"]
    assert model["storage"] == {"key": "demo-models", "path": "models/m"}
    assert model["resources"]["limits"] == {"memory": "16Gi", "cpu": "4"}


def test_slices_go_where_their_nodes_are():
    found = predictor(served(hardware=tpu(), model_weights=Stream("gs://models/m")))
    assert found["nodeSelector"]["cloud.google.com/gke-tpu-topology"] == "2x4"
    assert found["model"]["resources"]["limits"]["google.com/tpu"] == "8" and "storage" not in found["model"]


@pytest.mark.parametrize("auth", kserve.AUTH)
def test_who_asks_for_a_token(auth):
    made = served(kserve=KServe(auth))
    service = of_kind("InferenceService", made)
    assert service["metadata"]["annotations"]["security.opendatahub.io/enable-auth"] == str(auth == "proxy").lower()
    assert service["spec"]["predictor"]["automountServiceAccountToken"] is (auth == "proxy")
    configs = [obj for obj in build.objects(made) if obj["kind"] == "AuthConfig"]
    assert len(configs) == (auth == "authorino")


def test_a_route_is_asked_for_by_a_label():
    for exposed in (True, False):
        labels = of_kind("InferenceService", served(kserve=KServe(exposed=exposed)))["metadata"]["labels"]
        assert ("networking.kserve.io/visibility" in labels) is exposed


def test_every_change_of_the_pods_is_another_definition():
    changes = (
        {},
        {"args": ("--own",)},
        {"memory": "8Gi"},
        {"restarted_at": "now"},
        {"labels": {"a": "b"}},
        {"max_surge": 1},
    )
    found = {predictor(served(**change))["annotations"][kserve.DEFINITION] for change in changes}
    assert len(found) == len(changes)
    assert predictor(served())["annotations"] == predictor(served())["annotations"]


def test_a_token_may_ask_one_instance():
    made = served(kserve=KServe(token=True))
    (rule,) = of_kind("Role", made)["rules"]
    assert (rule["resourceNames"], rule["verbs"]) == (["gemma"], ["get"])
    (subject,) = of_kind("RoleBinding", made)["subjects"]
    secret = of_kind("Secret", made)
    assert secret["metadata"]["annotations"]["kubernetes.io/service-account.name"] == subject["name"] == "gemma-sa"
    assert predictor(made)["serviceAccountName"] == "gemma"


def test_what_workbenches_are_told():
    made = served(
        kserve=KServe(token=True, endpoint_secret="told", connection_type="any"), settings={"max_model_len": 64}
    )
    found = kserve.endpoint_secret(made, "https://gemma.test/", "t")
    assert found["metadata"]["annotations"]["opendatahub.io/connection-type-ref"] == "any"
    told = found["stringData"]
    assert (told["OPENAI_BASE_URL"], told["OPENAI_API_KEY"]) == ("https://gemma.test/v1", "t")
    assert told["GENERIC_OPEN_AI_MODEL_TOKEN_LIMIT"] == "64"
    assert "OPENAI_API_KEY" not in kserve.endpoint_secret(made, "http://gemma", "")["stringData"]
    assert kserve.endpoint_secret(made, "", "")["stringData"] == {}


WRONG = {
    "one vLLM on one host": {"hardware": tpu("v5e", "4x4")},
    "1 CPU and 2Gi": {"memory": None},
    "0 replicas": {"replicas": 0},
    "takes {{": {"args": ("--chat-template={{ bos }}",)},
    "auth 'any'": {"kserve": KServe("any")},
    "Nobody asks": {"kserve": KServe("none", token=True)},
    "would have no token": {"kserve": KServe(endpoint_secret="told")},
    "is not a DNS label": {"kserve": KServe("none", endpoint_secret="Told")},
    "not served by KServe": {"kserve": None},
}


@pytest.mark.parametrize("told", WRONG)
def test_what_cannot_be(told):
    build.check(served())
    with pytest.raises(InputError, match=told):
        build.check(served(**WRONG[told]))


@pytest.mark.parametrize("wanted", [Extras(Autoscaling(4)), Extras(route=Route(({"name": "g"},)))])
def test_objects_that_kserve_makes_itself(wanted):
    with pytest.raises(InputError, match="KServe makes itself"):
        build.check(served(), wanted)
    build.check(
        dataclasses.replace(served(), kserve=None, model=dataclasses.replace(served().model, weights=Stream("s3://m"))),
        wanted,
    )
