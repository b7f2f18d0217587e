# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role hf_token: checked, stored, given to workloads, rotated, taken away, in each of the three stores."""

from __future__ import annotations

import base64
import json

import pytest
import yaml
from runner import ROOT

PLAYBOOK = ROOT / "playbooks" / "hf_token.yml"
LOCAL = ROOT / "inventories" / "local"
PUBLIC, GATED = "local/many-files", "local/gated-llama"
CHECK = ("--check", "--diff")


@pytest.fixture
def run(playbooks, hub, tmp_path):
    """Runs the playbook on inventories/local, with the token in the environment."""
    said = []

    def run(token, *arguments, variables, **environment):
        path = tmp_path / "variables.json"
        path.write_text(json.dumps(variables))
        given = {"HF_TOKEN": hub.tokens[token], "HF_ENDPOINT": hub.endpoint, **environment}
        done = playbooks.playbook(PLAYBOOK, "-i", str(LOCAL), "-e", f"@{path}", "-vvvv", *arguments, **given)
        said.append(done.output)
        return done

    yield run
    for secret in hub.tokens.values():
        assert not any(secret in output for output in said), "a token was shown"
    assert playbooks.leftovers(patience=5) == []


@pytest.fixture
def api(cluster):
    from kubernetes.client import CoreV1Api

    return CoreV1Api(cluster.client())


@pytest.fixture
def provider_classes(cluster, custom_kinds):
    """The SecretProviderClasses of a namespace by name."""
    from kubernetes.client import CustomObjectsApi

    api = CustomObjectsApi(cluster.client())

    def look(namespace):
        found = api.list_namespaced_custom_object(
            "secrets-store.csi.x-k8s.io", "v1", namespace, "secretproviderclasses"
        )
        return {item["metadata"]["name"]: item["spec"] for item in found["items"]}

    return look


def secrets(api, namespace):
    """The Secrets of a namespace that hold a token: name -> key -> value."""
    return {
        item.metadata.name: {key: base64.b64decode(value).decode() for key, value in item.data.items()}
        for item in api.list_namespaced_secret(namespace).items
        if item.type == "Opaque"
    }


def test_a_token_in_a_namespace(run, hub, api, namespace, api_proxy):
    variables = {"hf_token_models": [PUBLIC], "hf_token_workloads": [{"namespace": namespace}]}
    reach = api_proxy.environment
    predicted = run("reader", *CHECK, variables=variables, **reach).ok()
    assert predicted.recap["changed"] == 1
    assert api_proxy.writes() == []
    assert secrets(api, namespace) == {}

    assert run("reader", variables=variables, **reach).ok().recap["changed"] == 1
    token = hub.tokens["reader"]
    assert secrets(api, namespace) == {"huggingface-token-read": {"token": token, "HUGGINGFACE_TOKEN": token}}
    api_proxy.clear()
    assert run("reader", variables=variables, **reach).ok().recap["changed"] == 0
    assert api_proxy.writes() == []

    # Another token of the same kind: exactly one thing changes.
    rotated = run("stranger", "--diff", variables=variables, **reach).ok()
    assert rotated.recap["changed"] == 1
    (write,) = api_proxy.writes()
    assert (write.method, write.path) == ("PATCH", f"/api/v1/namespaces/{namespace}/secrets/huggingface-token-read")
    assert set(secrets(api, namespace)["huggingface-token-read"].values()) == {hub.tokens["stranger"]}

    # The Secret is the access: it goes, but not without the word.
    variables["hf_token_state"] = "absent"
    refused = run("reader", variables=variables, **reach)
    assert refused.status != 0
    assert "destroy" in refused.output
    assert secrets(api, namespace) != {}
    variables["hf_token_destroy"] = True
    assert run("reader", variables=variables, **reach).ok().recap["changed"] == 1
    assert secrets(api, namespace) == {}


@pytest.mark.parametrize(
    ("token", "variables", "told"),
    [
        ("stranger", {"hf_token_models": [PUBLIC, GATED]}, "local/gated-llama"),
        ("writer", {}, "is to be stored as the read token"),
        ("reader", {"hf_token_access": "write"}, "is to be stored as the write token"),
        ("reader", {"hf_token_workloads": []}, "has to name the namespaces"),
    ],
)
def test_nothing_is_stored_of_a_token_that_does_not_fit(run, api, namespace, cluster, token, variables, told):
    given = {"hf_token_workloads": [{"namespace": namespace}], **variables}
    done = run(token, variables=given, **cluster.environment)
    assert done.status != 0
    assert told in done.output
    assert secrets(api, namespace) == {}


def test_a_first_run_in_check_mode_where_the_namespace_is_missing(run, api, namespace, cluster):
    variables = {
        "hf_token_workloads": [{"namespace": f"{namespace}-new"}],
        "hf_token_create_namespaces": True,
        "hf_token_access": "write",
    }
    assert run("writer", *CHECK, variables=variables, **cluster.environment).ok().recap["changed"] == 1
    run("writer", variables=variables, **cluster.environment).ok()
    assert list(secrets(api, f"{namespace}-new")) == ["huggingface-token-write"]
    api.delete_namespace(f"{namespace}-new")


def test_google_cloud(run, hub, google, api_proxy, namespace, provider_classes):
    google.put(
        "storage/storage/v1/b/models",
        {"name": "models", "iamConfiguration": {"uniformBucketLevelAccess": {"enabled": True}}},
    )
    variables = {
        "hf_token_backend": "gcp_secret_manager",
        "hf_token_models": [PUBLIC],
        "hf_token_workloads": [
            {"namespace": namespace, "service_account": "sync", "bucket_access": "user"},
            {"namespace": namespace, "service_account": "server"},
        ],
        "hf_token_model_bucket": "models",
        "hf_token_version": "stored",
        "hf_token_store": {"keep_versions": 1, "labels": {"team": "serving"}},
    }
    reach = {**google.environment, **api_proxy.environment}
    pool = f"projects/{google.project_number}/locations/global/workloadIdentityPools/{google.project}.svc.id.goog"
    members = {
        name: f"principal://iam.googleapis.com/{pool}/subject/ns/{namespace}/sa/{name}" for name in ("sync", "server")
    }
    secret = f"secretmanager/v1/projects/{google.project}/secrets/huggingface-token-read"

    run("reader", *CHECK, variables=variables, **reach).ok()
    assert [request for request in google.requests if request.writes] == []
    assert api_proxy.writes() == []

    run("reader", variables=variables, **reach).ok()
    (version,) = google.secret_versions("huggingface-token-read")
    assert version["value"] == hub.tokens["reader"].encode()
    (binding,) = google.policy(secret)["bindings"]
    assert binding["role"] == "roles/secretmanager.secretAccessor"
    assert set(binding["members"]) == set(members.values())
    roles = {
        binding["role"]: binding["members"] for binding in google.policy("storage/storage/v1/b/models")["bindings"]
    }
    assert roles == {
        f"projects/{google.project}/roles/modelops.gcsfuse.viewer": [members["server"]],
        f"projects/{google.project}/roles/modelops.gcsfuse.user": [members["sync"]],
    }
    ((name, spec),) = provider_classes(namespace).items()
    assert (name, spec["provider"]) == ("huggingface-token-read", "gke")
    files = yaml.safe_load(spec["parameters"]["secrets"])
    assert [file["path"] for file in files] == ["token", "HUGGINGFACE_TOKEN"]
    assert {file["resourceName"].rpartition("/")[2] for file in files} == {"1"}

    google.clear_requests()
    api_proxy.clear()
    assert run("reader", variables=variables, **reach).ok().recap["changed"] == 0
    assert [request for request in google.requests if request.writes] == []
    assert api_proxy.writes() == []

    # A version is added, the one before is disabled, and the workloads are told: nothing else.
    assert run("stranger", variables=variables, **reach).ok().recap["changed"] == 2
    assert [version["state"] for version in google.secret_versions("huggingface-token-read")] == ["DISABLED", "ENABLED"]
    spec = provider_classes(namespace)["huggingface-token-read"]
    assert spec["parameters"]["secrets"].count("/versions/2") == 2
    assert len(api_proxy.writes()) == 1

    variables["hf_token_state"] = "absent"
    run("reader", variables=variables, **reach).ok()
    assert provider_classes(namespace) == {}
    assert google.policy(secret).get("bindings", []) == []
    assert google.policy("storage/storage/v1/b/models").get("bindings", []) == []
    assert len(google.secret_versions("huggingface-token-read")) == 2  # others may use it
    variables["hf_token_destroy"] = True
    assert run("reader", variables=variables, **reach).ok().recap["changed"] == 1


def test_aws(run, hub, aws, api_proxy, namespace, provider_classes):
    role = aws.client("iam").create_role(RoleName="models", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    variables = {
        "hf_token_backend": "aws_secrets_manager",
        "hf_token_aws": {"region": aws.region},
        "hf_token_store": {"readers": [role]},
        "hf_token_workloads": [{"namespace": namespace}],
        "hf_token_use_pod_identity": True,
    }
    reach = {**aws.environment, **api_proxy.environment}
    run("reader", variables=variables, **reach).ok()
    client = aws.client("secretsmanager")
    stored = client.get_secret_value(SecretId="huggingface-token-read")
    assert set(json.loads(stored["SecretString"]).values()) == {hub.tokens["reader"]}
    assert role in client.get_resource_policy(SecretId="huggingface-token-read")["ResourcePolicy"]
    parameters = provider_classes(namespace)["huggingface-token-read"]["parameters"]
    assert (parameters["region"], parameters["usePodIdentity"]) == (aws.region, "true")
    (item,) = yaml.safe_load(parameters["objects"])
    assert [path["objectAlias"] for path in item["jmesPath"]] == ["token", "HUGGINGFACE_TOKEN"]

    assert run("stranger", variables=variables, **reach).ok().recap["changed"] == 1

    variables |= {"hf_token_state": "absent", "hf_token_destroy": True}
    assert run("reader", variables=variables, **reach).ok().recap["changed"] == 2
    assert provider_classes(namespace) == {}
