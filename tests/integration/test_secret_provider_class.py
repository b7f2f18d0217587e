# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""secret_provider_class, and the filters for mounts, against a real API server. No CSI driver runs in it."""

from __future__ import annotations

import json

import pytest
import yaml
from schemas import check

MODULE = "modelops.serving.secret_provider_class"
PLURAL = "secretproviderclasses"
GROUP = "secrets-store.csi.x-k8s.io"
GKE = {"provider": "gke", "project": "demo-project", "secret": "hf-read"}
AWS = {"provider": "aws", "secret": "huggingface/read", "region": "eu-central-1", "use_pod_identity": True}
IGNORE = {"ignore_errors": True}


@pytest.fixture
def task(namespace):
    def make(options, **keywords):
        return {MODULE: {"namespace": namespace, **options}, "diff": True, **keywords}

    return make


@pytest.fixture
def live(cluster, namespace):
    from kubernetes.client import CustomObjectsApi

    api = CustomObjectsApi(cluster.client())
    return lambda name: api.get_namespaced_custom_object(GROUP, "v1", namespace, PLURAL, name)


def requests_of(proxy, playbooks, tasks):
    """The results of the tasks and, for each, the requests that were sent."""
    mark = {"ansible.builtin.uri": {"url": f"{proxy.url}/livez"}, "check_mode": False}
    results = playbooks.tasks([step for task in tasks for step in (task, mark)], env=proxy.environment).ok().results
    sent: list[list] = [[]]
    for request in proxy.passed:
        if request.path == "/livez":
            sent.append([])
        else:
            sent[-1].append(request)
    return results[::2], sent[:-1]


@pytest.mark.usefixtures("custom_kinds")
def test_twelve_steps(playbooks, api_proxy, task):
    modified = {**GKE, "version": "7", "paths": ["token"], "labels": {"team": "ml"}}
    tasks = [
        task(options, check_mode=number % 2 == 0)
        for number, options in enumerate(
            options for options in (GKE, modified, {"state": "absent"}) for _time in range(4)
        )
    ]
    results, sent = requests_of(api_proxy, playbooks, tasks)
    assert [result["changed"] for result in results] == [True, True, False, False] * 3
    assert [number for number in range(12) if any(request.writes for request in sent[number])] == [1, 5, 9]
    # Nothing to do costs one look at the group and one at the object.
    assert {len(sent[number]) for number in (2, 3, 6, 7, 10, 11)} == {2}
    for predicted, actual in zip(results[::2], results[1::2], strict=True):
        assert len(predicted["diff"]) == len(actual["diff"]) == actual["changed"]
    assert results[1]["name"] == "huggingface-token-read"
    assert results[1]["paths"] == ["token", "HUGGINGFACE_TOKEN"]
    assert results[1]["driver"] == "secrets-store-gke.csi.k8s.io"
    assert "versions/7" in results[5]["diff"][0]["after"] and "versions/latest" in results[5]["diff"][0]["before"]


@pytest.mark.usefixtures("custom_kinds")
def test_what_the_providers_read(playbooks, cluster, task, live):
    other = {**AWS, "name": "huggingface-token-aws", "annotations": {"build": 7}, "version": "AWSPREVIOUS"}
    playbooks.tasks([task(GKE), task(other)], env=cluster.environment).ok()
    google, amazon = live("huggingface-token-read"), live("huggingface-token-aws")
    for found in (google, amazon):
        check({key: found[key] for key in ("apiVersion", "kind", "metadata", "spec")})
    resource = "projects/demo-project/secrets/hf-read/versions/latest"
    assert (google["spec"]["provider"], [*google["spec"]["parameters"]]) == ("gke", ["secrets"])
    assert yaml.safe_load(google["spec"]["parameters"]["secrets"]) == [
        {"resourceName": resource, "path": "token"},
        {"resourceName": resource, "path": "HUGGINGFACE_TOKEN"},
    ]
    objects = yaml.safe_load(amazon["spec"]["parameters"].pop("objects"))
    assert amazon["spec"] == {
        "provider": "aws",
        "parameters": {"region": "eu-central-1", "usePodIdentity": "true"},
    }
    assert [item["objectVersionLabel"] for item in objects] == ["AWSPREVIOUS"]
    assert amazon["metadata"]["annotations"] == {"build": "7"}


def test_a_cluster_that_does_not_serve_the_kind(playbooks, api_proxy, task):
    api_proxy.add(f"^/apis/{GROUP}", status=404, reason="NotFound", message="404 page not found")
    run = playbooks.tasks(
        [
            task(GKE, **IGNORE),
            task(AWS, **IGNORE),
            task(GKE, check_mode=True, **IGNORE),
            task({"state": "absent"}),
            task({**GKE, "region": "eu-central-1"}, **IGNORE),
            task({"provider": "gke"}, **IGNORE),
        ],
        env=api_proxy.environment,
    )
    google, amazon, predicted, gone, wrong, incomplete = run.ok().results
    for result, what in (
        (google, "gcloud container clusters update CLUSTER --location=LOCATION --enable-secret-manager"),
        (amazon, "--addon-name aws-secrets-store-csi-driver-provider"),
        (predicted, "--enable-secret-manager"),
    ):
        assert result["failed"] and result["error"]["kind"] == "InputError"
        assert "does not serve SecretProviderClass (secrets-store.csi.x-k8s.io/v1)" in result["msg"]
        assert what in result["error"]["hint"]
    assert not gone["changed"]
    assert wrong["msg"] == "region is for the provider aws, and provider is gke."
    assert "missing: secret" in incomplete["msg"]
    assert api_proxy.writes() == []


def test_manifests_with_filters(playbooks, cluster, namespace):
    """Parts of the filters make a Deployment that the API server accepts; parts that do not belong together do not."""
    container = {
        "name": "server",
        "image": "registry.invalid/none:1",
        "env": "{{ token.env }}",
        "volumeMounts": "{{ token.volumeMounts + model.volumeMounts }}",
    }
    template = {
        "metadata": {
            "labels": {"app": "server"},
            "annotations": "{{ token.annotations | combine(model.annotations) }}",
        },
        "spec": {"containers": [container], "volumes": "{{ token.volumes + model.volumes }}"},
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "server", "namespace": namespace},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "server"}}, "template": template},
    }
    wrong = json.loads(json.dumps(deployment))
    wrong["spec"]["template"]["spec"]["volumes"] = "{{ model.volumes }}"
    tokens = [
        "{{ 'huggingface-token-read' | modelops.serving.hf_token_mount(profile='jetstream_pytorch', source='gke') }}",
        "{{ 'hub' | modelops.serving.hf_token_mount('custom', path='/run/hf/mine', key='hf') }}",
    ]
    model = "{{ 'my-bucket' | modelops.serving.model_bucket_mount(only_dir='models/google/gemma-3-1b-it') }}"
    tasks = [
        {
            "modelops.serving.kube_objects": {"definitions": [definition]},
            "vars": {"token": token, "model": model},
            "check_mode": True,
            "diff": True,
            **IGNORE,
        }
        for definition, token in [*((deployment, token) for token in tokens), (wrong, tokens[0])]
    ]
    by_class, by_secret, refused = playbooks.tasks(tasks, env=cluster.environment).ok().results
    for result, file, volume in ((by_class, "/huggingface", "csi"), (by_secret, "/run/hf", "secret")):
        assert result["changed"], result["msg"]
        made = yaml.safe_load(result["diff"][0]["after"])["spec"]["template"]
        check({"apiVersion": "v1", "kind": "Pod", **made})
        (server,) = made["spec"]["containers"]
        assert [mount["mountPath"] for mount in server["volumeMounts"]] == [file, "/models"]
        assert volume in made["spec"]["volumes"][0] and made["spec"]["volumes"][1]["csi"]["readOnly"] is True
        assert made["metadata"]["annotations"] == {"gke-gcsfuse/volumes": "true"}
    said = f"Deployment {namespace}/server: container server mounts the volume huggingface-token at /huggingface, and"
    assert refused["msg"].startswith(said) and refused["msg"].endswith("The volumes of its Pod are: model-bucket.")
