# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role model_sync where Jobs in a cluster do the copying, beside models that are copied from here."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from runner import ROOT
from sync_jobs import jobs

__all__ = ["jobs"]

ROLE = "modelops.serving.model_sync"
GATED = "local/gated-llama"
SMALL = {"repo": "local/many-files", "allow_patterns": ["config.json"]}
KEEP = {"ansible.builtin.set_fact": {"kept": "{{ model_sync_results }}"}}
WAIT = {"ansible.builtin.include_role": {"name": ROLE, "tasks_from": "wait"}, "vars": {"model_sync_wait_timeout": 30}}
ABSENT = {"model_sync_state": "absent"}


def role(**variables):
    return {"ansible.builtin.include_role": {"name": ROLE}, "vars": variables}


def kept(run):
    """What the role said, each time."""
    return [result["ansible_facts"]["kept"] for result in run.results if "ansible_facts" in result]


def changed(run):
    """Tasks of the role that changed something: one more writes the results down."""
    return run.recap["changed"] - 1


@pytest.fixture
def variables(jobs, sync):
    """Models are copied in the cluster unless they say otherwise."""
    return {
        "model_sync_where": "cluster",
        "model_sync_namespace": jobs.namespace,
        "model_sync_cluster": {"kubeconfig": jobs.cluster.kubeconfig},
        "model_sync_hub": {"endpoint": jobs.hub, "token": sync.hub.tokens["reader"]},
        "model_sync_destinations": [jobs.destination(**jobs.keys)],
        "model_sync_defaults": jobs.options(source=None, destinations=None, namespace=None, name=None),
    }


@pytest.fixture
def account(jobs):
    """How somebody reaches the cluster who may do what the README of the role asks for, and nothing else."""
    from kubernetes.client import CoreV1Api, RbacAuthorizationV1Api

    text = (ROOT / "roles" / "model_sync" / "README.md").read_text()
    (given,) = re.findall(r"```yaml\n(apiVersion: rbac\..+?)```", text, re.DOTALL)
    api, namespace = jobs.cluster.client(), jobs.namespace
    core, rbac = CoreV1Api(api), RbacAuthorizationV1Api(api)
    core.create_namespaced_service_account(namespace, {"metadata": {"name": "copier"}})
    rbac.create_namespaced_role(namespace, yaml.safe_load(given))
    binding = {
        "metadata": {"name": "copier"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "model-sync"},
        "subjects": [{"kind": "ServiceAccount", "name": "copier", "namespace": namespace}],
    }
    rbac.create_namespaced_role_binding(namespace, binding)
    request = {"spec": {"audiences": None, "expirationSeconds": 3600}}
    token = core.create_namespaced_service_account_token("copier", namespace, request).status.token
    return {"host": api.configuration.host, "ca_cert": api.configuration.ssl_ca_cert, "api_key": token}


@pytest.fixture
def new_namespace(jobs):
    """A name, of a namespace that is removed afterwards should it be there."""
    from kubernetes.client import ApiException, CoreV1Api

    name = f"{jobs.namespace}-new"
    yield name
    try:
        CoreV1Api(jobs.cluster.client()).delete_namespace(name)
    except ApiException as error:
        if error.status != 404:
            raise


def test_from_nothing_to_copies_and_back(jobs, sync, playbooks, variables, account, tmp_path):
    sync.repo = GATED
    jobs.secret("hub", {"token": sync.hub.tokens["writer"]})
    copies = tmp_path / "copies"
    variables["model_sync_cluster"] = account
    variables["model_sync_models"] = [
        {"name": sync.name, "source": {"repo": GATED}, "token_secret": {"name": "hub"}},
        {
            "name": "here",
            "where": "controller",
            "source": SMALL,
            "destinations": [{"type": "local", "path": str(copies)}],
        },
    ]

    check = playbooks.tasks([role(), KEEP], "--check", "--diff", vars=variables).ok()
    (predicted,) = kept(check)
    assert [result["changed"] for result in predicted] == [True, True]
    assert jobs.ours() == []
    assert sync.paths() == set()

    steps = [role(), KEEP, role(), KEEP, WAIT, role(**ABSENT), KEEP]
    run = playbooks.tasks(steps, "-vvvv", "--diff", vars=variables).ok()
    first, again, removed = kept(run)
    assert [result["name"] for result in first] == [sync.name, "here"]
    assert [result["changed"] for result in first] == [True, True]
    assert [result["destinations"][0]["status"] for result in first] == ["complete", "complete"]
    assert first[0]["revision"] == first[0]["destinations"][0]["revision"]
    assert first[0]["destinations"][0]["files"] == len(sync.expected())
    assert set(first[0]) & {"invocation", "result", "diff", "__model_sync_index"} == set()
    assert [result["changed"] for result in again] == [False, False]
    assert [result["changed"] for result in removed] == [True, True]
    assert [result["destinations"][0]["status"] for result in removed] == ["absent", "absent"]
    assert removed[0]["job"] == first[0]["job"]
    assert sync.paths() == set()
    assert jobs.ours() == []
    assert list(copies.iterdir()) == []
    tokens = (sync.hub.tokens["reader"], sync.hub.tokens["writer"])
    for secret in (*tokens, sync.seaweedfs.secret_key, account["api_key"]):
        assert secret not in run.output


def test_schedule_in_a_new_namespace(jobs, sync, playbooks, variables, new_namespace):
    sync.repo, sync.source = GATED, {"token": sync.hub.tokens["reader"]}
    sync.run()
    variables["model_sync_namespace"] = jobs.namespace = new_namespace
    variables["model_sync_create_namespace"] = True
    variables["model_sync_models"] = [{"name": sync.name, "source": {"repo": GATED}, "schedule": "17 3 * * *"}]

    check = playbooks.tasks([role(), KEEP], "--check", vars=variables).ok()
    assert changed(check) == 1
    ((predicted,),) = kept(check)
    assert (predicted["skipped"], predicted["failed"]) == (True, False)

    stay = role(**ABSENT, model_sync_remove_copies=False)
    run = playbooks.tasks([role(), KEEP, role(), KEEP, stay, KEEP], vars=variables).ok()
    ((created,), (again,), (removed,)) = kept(run)
    assert changed(run) == 3  # namespace and CronJob, nothing, and the CronJob again
    assert [result["changed"] for result in (created, again, removed)] == [True, False, True]
    assert {item["kind"]: item["action"] for item in created["objects"]}["CronJob"] == "create"
    assert jobs.ours() == []
    sync.assert_complete()


def test_one_that_fails_does_not_stop_the_others(playbooks, variables, tmp_path):
    copies = {"type": "local", "path": str(tmp_path / "copies")}
    variables["model_sync_models"] = [
        {"name": "broken", "source": {**SMALL, "revision": "nowhere"}},
        {"name": "here", "where": "controller", "source": SMALL, "destinations": [copies]},
    ]
    results, path = playbooks.directory / "found.json", playbooks.directory / "role.yml"
    keep = {
        "ansible.builtin.copy": {"content": "{{ model_sync_results | to_json }}", "dest": str(results), "mode": "0600"}
    }
    tasks = [{"block": [role()], "rescue": [keep]}]
    path.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "vars": variables, "tasks": tasks}]))
    playbooks.playbook(path).ok()
    broken, here = json.loads(results.read_text())
    assert broken["failed"]
    assert "has no revision 'nowhere'" in broken["msg"]
    assert (here["failed"], here["destinations"][0]["status"]) == (False, "complete")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model_sync_namespace": ""}, "Set model_sync_namespace"),
        # a data connection is a destination, and not one that can be emptied from here
        (ABSENT, "Set destinations, or set remove_copies"),
    ],
)
def test_what_is_missing_is_told_first(playbooks, changes, told):
    variables = {
        "model_sync_where": "cluster",
        "model_sync_namespace": "demo",
        "model_sync_destinations": [{"bucket": "models"}],
        "model_sync_models": [{"name": "granite", "data_connection": "demo-models", "source_secret": "model-source"}],
        **changes,
    }
    run = playbooks.tasks([role()], vars=variables)
    assert run.status != 0
    assert told in run.output
    assert "granite" in run.output
