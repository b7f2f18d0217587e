# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kube_objects against a real API server, through a proxy that writes down every request."""

from __future__ import annotations

import base64
import copy
import json
import threading
import time

import pytest
import yaml
from kubernetes import client as api

LABELS = {"app": "server"}
CANARY = "canary-51c0d1"
IMAGE = "registry.invalid/none:1"  # replicas are 0


def thing(kind, name, api_version="v1", **more):
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **more}


def settings(**data):
    return thing("ConfigMap", "settings", data=data)


# What serving needs, with values that the API server stores differently, fills up or counts as a whole.
SERVICE = thing(
    "Service",
    "server",
    spec={
        "selector": LABELS,
        "ports": [
            {"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"},
            {"name": "udp", "port": 80, "protocol": "UDP"},
        ],
    },
)
DEPLOYMENT = thing(
    "Deployment",
    "server",
    "apps/v1",
    spec={
        "replicas": 0,
        "selector": {"matchLabels": LABELS},
        "template": {
            "metadata": {"labels": LABELS},
            "spec": {
                "nodeSelector": {"kubernetes.io/os": "linux"},
                "tolerations": [{"key": "google.com/tpu", "operator": "Exists"}],
                "containers": [
                    {
                        "name": "server",
                        "image": IMAGE,
                        "args": [],
                        "tty": False,
                        "workingDir": "",
                        "resources": {"limits": {"cpu": "1000m", "memory": "0.5Gi"}, "requests": {"cpu": 1}},
                        "ports": [{"name": "http", "containerPort": 8000, "protocol": "TCP"}],
                        "env": [
                            {"name": "EMPTY", "value": ""},
                            {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                        ],
                        "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}},
                        "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}],
                    }
                ],
                "volumes": [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1024Mi"}}],
            },
        },
    },
)
JOB = thing(
    "Job",
    "warmup",
    "batch/v1",
    spec={
        "parallelism": 0,
        "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": IMAGE}]}},
    },
)
SECRET = thing("Secret", "token", stringData={"token": CANARY}, data={"more": base64.b64encode(b"x").decode()})
SET = [
    DEPLOYMENT,
    SERVICE,
    SECRET,
    settings(model="gemma", empty=""),
    thing("ServiceAccount", "server"),
    thing(
        "Role",
        "server",
        "rbac.authorization.k8s.io/v1",
        rules=[{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
    ),
    thing(
        "RoleBinding",
        "server",
        "rbac.authorization.k8s.io/v1",
        roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "server"},
        subjects=[{"kind": "ServiceAccount", "name": "server", "namespace": "default"}],
    ),
    thing(
        "NetworkPolicy",
        "server",
        "networking.k8s.io/v1",
        spec={"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"ports": [{"port": 8000}]}]},
    ),
    thing(
        "PersistentVolumeClaim",
        "cache",
        spec={
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1024Mi"}},
            "storageClassName": "",
        },
    ),
    JOB,
]


class Door:
    """kube_objects through ansible-playbook, against the proxy, in one namespace."""

    def __init__(self, playbooks, proxy, namespace):
        self.playbooks, self.proxy, self.namespace = playbooks, proxy, namespace

    def task(self, definitions=None, *, check=False, **options):
        given = {"kubeconfig": str(self.proxy.kubeconfig), "namespace": self.namespace, **options}
        if definitions is not None:
            given["definitions"] = definitions
        return {"modelops.serving.kube_objects": given, "ignore_errors": True, "check_mode": check, "diff": True}

    def steps(self, *tasks):
        """Run the tasks in one play; for each its result and the requests that were sent for it."""
        mark = {"ansible.builtin.uri": {"url": f"{self.proxy.url}/livez"}, "check_mode": False}
        start = len(self.proxy.passed)
        results = self.playbooks.tasks([step for task in tasks for step in (task, mark)]).ok().results[::2]
        sent: list[list] = [[]]
        for request in self.proxy.passed[start:]:
            if request.path == "/livez":
                sent.append([])
            else:
                sent[-1].append(request)
        return list(zip(results, sent[:-1], strict=True))

    def run(self, definitions=None, **options):
        """One step."""
        return self.steps(self.task(definitions, **options))[0]


@pytest.fixture
def door(playbooks, api_proxy, namespace):
    return Door(playbooks, api_proxy, namespace)


@pytest.fixture
def core(cluster):
    return api.CoreV1Api(cluster.client())


def until(condition, *, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def actions(result):
    assert "objects" in result, result.get("msg", result)
    return {f"{entry['kind']}/{entry['name']}": entry["action"] for entry in result["objects"]}


def changes(result):
    return {name: action for name, action in actions(result).items() if action != "none"}


def wrote(requests):
    return any(request.writes for request in requests)


def test_twelve_steps(door):
    modified = copy.deepcopy(SET)
    modified[0]["spec"]["template"]["spec"]["containers"][0]["env"].pop(0)
    modified[3] = settings(model="llama")
    tasks = [
        door.task(definitions, check=check, state=state, wait=state == "absent")
        for definitions, state in ((SET, "present"), (modified, "present"), (modified, "absent"))
        for check in (True, False, True, False)
    ]
    steps = door.steps(*tasks)
    results, sent = [result for result, _sent in steps], [requests for _result, requests in steps]
    assert not [result["msg"] for result in results if result.get("failed")]
    assert [result["changed"] for result in results] == [True, True, False, False] * 3
    assert [number for number in range(12) if wrote(sent[number])] == [1, 5, 9]
    assert sum(request.writes for request in sent[5]) == 2
    for predicted, actual in zip(results[::2], results[1::2], strict=True):
        assert predicted["objects"] == actual["objects"]
    assert changes(results[5]) == {"Deployment/server": "update", "ConfigMap/settings": "update"}
    # An unchanged run: one discovery per group version, one read per object, nothing else. Not even a dry run.
    groups = {obj["apiVersion"] for obj in SET}
    for requests in (sent[2], sent[3], sent[6], sent[7]):
        assert {request.method for request in requests} == {"GET"}
        assert len(requests) == len(groups) + len(SET)
    assert CANARY not in json.dumps(results)
    (shown,) = (entry for entry in results[5]["diff"] if entry["after_header"].startswith("ConfigMap"))
    assert "model: gemma" in shown["before"] and "model: llama" in shown["after"] and "empty" not in shown["after"]


def test_first_run_into_a_namespace_of_the_set(door, cluster):
    """In check mode the namespace, its objects and a new kind do not exist yet; nothing may be asked about them."""
    name = f"{door.namespace}-new"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    crd = thing(
        "CustomResourceDefinition",
        f"things.{name}.example.com",
        "apiextensions.k8s.io/v1",
        spec={
            "group": f"{name}.example.com",
            "scope": "Namespaced",
            "names": {"kind": "Thing", "plural": "things", "singular": "thing", "listKind": "ThingList"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    )
    custom = thing("Thing", "one", f"{name}.example.com/v1", spec={"a": {}, "b": [], "c": "", "d": "1000m"})
    definitions = [custom, settings(a="1"), crd, thing("Namespace", name)]
    tasks = [door.task(definitions, namespace=name, check=check) for check in (True, False, True, False)]
    try:
        steps = door.steps(*tasks, door.task(definitions, namespace=name, state="absent", wait=True))
        expected = ["create", "create", "none", "none", "delete"]
        assert [set(actions(result).values()) for result, _sent in steps] == [{action} for action in expected]
        assert [wrote(requests) for _result, requests in steps] == [False, True, False, False, True]
        assert {request.method for request in steps[3][1]} == {"GET"}
    finally:
        cluster.kubectl("delete", "--ignore-not-found", "--wait=false", "crd", crd["metadata"]["name"])
        cluster.kubectl("delete", "--ignore-not-found", "--wait=false", "namespace", name)


def test_fields_of_other_managers(door, cluster, core):
    """kubectl takes one field over and adds another; somebody edits a third by hand."""
    door.run([settings(a="ours"), DEPLOYMENT])
    theirs = json.dumps(settings(a="theirs", b="theirs"))
    cluster.kubectl("apply", "-n", door.namespace, "--server-side", "--force-conflicts", "-f", "-", input=theirs)
    patch = '{"spec":{"template":{"spec":{"containers":[{"name":"server","image":"other"}]}}}}'
    cluster.kubectl("patch", "-n", door.namespace, "deployment/server", "-p", patch)
    cluster.kubectl("label", "-n", door.namespace, "deployment/server", "theirs=1")
    checked, refused, edited, forced, again = door.steps(
        door.task([settings(a="ours")], check=True),
        door.task([settings(a="ours")]),
        door.task([DEPLOYMENT], check=True),
        door.task([settings(a="ours"), DEPLOYMENT], force_conflicts=True),
        door.task([settings(a="ours"), DEPLOYMENT]),
    )
    for result, requests in (checked, refused):
        assert result["failed"] and result["error"]["kind"] == "ConflictError"
        assert "data.a is owned by 'kubectl'" in result["msg"] and "force_conflicts: true" in result["msg"]
        assert not wrote(requests)
    assert "spec.template.spec.containers" in edited[0]["msg"] and "kubectl" in edited[0]["msg"]
    assert changes(forced[0]) == {"ConfigMap/settings": "update", "Deployment/server": "update"}
    assert core.read_namespaced_config_map("settings", door.namespace).data == {"a": "ours", "b": "theirs"}
    assert not changes(again[0])
    assert "theirs=1" in cluster.kubectl("get", "-n", door.namespace, "deployment/server", "--show-labels")


def test_immutable_fields(door, core):
    frozen = thing("ConfigMap", "frozen", immutable=True, data={"a": "1"})
    job, service, thawed = copy.deepcopy(JOB), copy.deepcopy(SERVICE), {**frozen, "data": {"a": "2"}}
    job["spec"]["template"]["spec"]["containers"][0]["args"] = ["new"]
    service["spec"]["clusterIP"] = "None"
    wanted = [service, job, thawed]
    first, *refused, predicted, done, again = door.steps(
        door.task([SERVICE, JOB, frozen]),
        door.task([job]),
        door.task([service]),
        door.task([thawed]),
        door.task(wanted, replace=True, check=True),
        door.task(wanted, replace=True),
        door.task(wanted, replace=True),
    )
    assert first[0]["changed"]
    for (result, requests), field in zip(refused, ("spec.template", "spec.clusterIP", "data"), strict=True):
        assert f"on an existing object: {field}" in result["msg"] and "replace: true" in result["msg"]
        assert len(result["msg"]) < 600 and not wrote(requests)
    assert actions(predicted[0]) == actions(done[0]) and set(actions(done[0]).values()) == {"replace"}
    assert not wrote(predicted[1])
    assert core.read_namespaced_config_map("frozen", door.namespace).data == {"a": "2"}
    assert not again[0]["changed"]


def test_pruning(door, cluster):
    labelled = {"instance": "gemma", "prune": True}
    for name in ("strange", "labelled"):
        cluster.kubectl("create", "-n", door.namespace, "configmap", name)
    cluster.kubectl("label", "-n", door.namespace, "configmap/labelled", "app.kubernetes.io/instance=gemma")
    _first, predicted, done, again, gone = door.steps(
        door.task([*SET, thing("ConfigMap", "old")], instance="gemma"),
        door.task(SET, check=True, **labelled),
        door.task(SET, **labelled),
        door.task(SET, **labelled),
        door.task(state="absent", wait=True, **labelled),
    )
    assert not wrote(predicted[1]) and actions(predicted[0]) == actions(done[0])
    assert changes(done[0]) == {"ConfigMap/old": "delete"}
    assert not again[0]["changed"]
    # The claim holds data, and its kind was not named.
    names = {f"{obj['kind']}/{obj['metadata']['name']}" for obj in SET} - {"PersistentVolumeClaim/cache"}
    assert actions(gone[0]) == dict.fromkeys(names, "delete")
    left = cluster.kubectl("get", "-n", door.namespace, "configmap,secret,pvc,service,job,deployment", "-o", "name")
    assert {"configmap/strange", "configmap/labelled", "persistentvolumeclaim/cache"} <= set(left.split())
    assert not {"configmap/settings", "secret/token", "deployment.apps/server"} & set(left.split())


def test_refusals_name_what_to_do(door, core):
    quota = {"metadata": {"name": "small"}, "spec": {"hard": {"configmaps": "1"}}}
    core.create_namespaced_resource_quota(door.namespace, quota)
    until(lambda: core.read_namespaced_resource_quota("small", door.namespace).status.used)
    typo, wrong = copy.deepcopy(DEPLOYMENT), copy.deepcopy(DEPLOYMENT)
    typo["spec"]["replicsa"] = 1
    wrong["spec"]["selector"] = {"matchLabels": {"app": "other"}}
    one = [settings(a="1")]
    expected = {
        "exceeded quota: small, requested: configmaps=1, used: configmaps=1, limited": door.task(one),
        "Create it with `kubectl create namespace nowhere`": door.task(one, namespace="nowhere"),
        "replicsa": door.task([typo]),
        "`selector` does not match template `labels`": door.task([SECRET, wrong]),
        "Install what brings the API group things.example.com": door.task([thing("X", "x", "things.example.com/v1")]),
        'rule {apiGroups: [""], resources: ["configmaps"], verbs: ["get"]}': door.task(one, impersonate_user="jane"),
        f"ConfigMap {door.namespace}/settings is defined twice": door.task(one * 2),
        "the kubeconfig /nowhere/kubeconfig": door.task(one, kubeconfig="/nowhere/kubeconfig"),
        "context elsewhere": door.task(one, context="elsewhere"),
        "The API server http://127.0.0.1:1 cannot be reached": door.task(one, host="http://127.0.0.1:1"),
    }
    for text, (result, requests) in zip(expected, door.steps(*expected.values()), strict=True):
        assert result["failed"] and text in result["msg"], result["msg"]
        assert not wrote(requests)


def test_namespace_that_is_being_deleted(door, core):
    name = f"{door.namespace}-going"
    core.create_namespace({"metadata": {"name": name}})
    stuck = {"metadata": {"name": "stuck", "finalizers": ["example.com/stuck"]}}
    core.create_namespaced_config_map(name, stuck)
    core.delete_namespace(name)

    def remaining():
        conditions = core.read_namespace(name).status.conditions or ()
        return any(one.type == "NamespaceFinalizersRemaining" and one.status == "True" for one in conditions)

    try:
        until(remaining)
        for result, requests in door.steps(
            door.task([settings(a="1")], namespace=name),
            door.task([thing("Namespace", name), settings(a="1")], namespace=name),
        ):
            assert f"The namespace {name} is being deleted" in result["msg"]
            assert "example.com/stuck" in result["msg"] and "kubernetes" in result["msg"]
            assert not wrote(requests)
    finally:
        core.patch_namespaced_config_map("stuck", name, {"metadata": {"finalizers": None}})


def test_the_api_server_restarts_meanwhile(door):
    """An answer is lost, and then nobody listens for a while, in the middle of the writes."""
    lost = door.proxy.add(r"/configmaps/settings\?(?!.*dryRun)", method="PATCH", times=1, lose_answer=True)
    over = threading.Event()

    def restart():
        until(lambda: lost.struck or over.is_set())
        with door.proxy.away():
            over.wait(2)

    thread = threading.Thread(target=restart)
    thread.start()
    first = door.playbooks.tasks([door.task(SET)]).ok().results[0]
    over.set()
    thread.join()
    assert not first.get("failed"), first["msg"]
    assert set(actions(first).values()) == {"create"} and lost.struck == 1
    assert not door.run(SET)[0]["changed"]


def test_values_of_secrets_are_seen_nowhere(door, tmp_path):
    changed = copy.deepcopy(SECRET)
    changed["stringData"]["token"] = f"{CANARY}-2"
    path = tmp_path / "secret.yaml"
    path.write_text(yaml.safe_dump(changed))
    broken = thing("Secret", "docker", type="kubernetes.io/dockerconfigjson", stringData={".dockerconfigjson": CANARY})
    encoded = [base64.b64encode(text.encode()).decode() for text in (CANARY, f"{CANARY}-2")]
    # The play holds them itself, of course: they come from a file that Ansible reads and never shows.
    (tmp_path / "vars.json").write_text(json.dumps({"secret": SECRET, "broken": broken, "text": json.dumps(SECRET)}))
    run = door.playbooks.tasks(
        [
            door.task(["{{ secret }}"]),
            door.task("{{ text }}"),
            door.task(src=[str(path)]),
            door.task(["{{ broken }}"]),
            door.task(["{{ secret }}"], wait_timeout="soon"),
        ],
        "-vvvv",
        "--diff",
        vars_files=[str(tmp_path / "vars.json")],
    )
    assert [result["changed"] for result in run.results[:3]] == [True, False, True]
    assert "data[.dockerconfigjson]" in run.results[3]["msg"] and "wait_timeout" in run.results[4]["msg"]
    assert "(changed, 15 bytes)" in run.output
    left = "".join(item.read_text(errors="replace") for item in door.playbooks.leftovers(patience=5))
    for hidden in (CANARY, *encoded):
        assert hidden not in run.output
        assert hidden not in json.dumps(run.results)
        assert hidden not in left


def test_rendered_equals_applied(door, tmp_path):
    objects = [obj for obj in SET if obj["kind"] != "Secret"]
    folder = tmp_path / "rendered"
    rendered, again, applied = door.steps(
        door.task(objects, instance="gemma", render_to=str(folder)),
        door.task(objects, instance="gemma", render_to=str(folder)),
        door.task(objects, instance="gemma"),
    )
    assert rendered[0]["changed"] and not again[0]["changed"] and applied[0]["changed"]
    assert not rendered[1] and not again[1]
    result, requests = door.run(src=sorted(str(path) for path in folder.iterdir()))
    assert not result["changed"] and {request.method for request in requests} == {"GET"}


@pytest.mark.usefixtures("requires_nodes")
def test_waiting(door, cluster):
    def job(name, script):
        main = {"name": "main", "image": cluster.image, "command": ["sh", "-c", script]}
        template = {"spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [main]}}
        return thing("Job", name, "batch/v1", spec={"backoffLimit": 0, "template": template})

    active = {"kind": "Job", "jsonpath": "{.status.active}", "value": "1"}
    good, bad, conditional, gone = door.steps(
        door.task([job("good", "true"), settings(a="1")], wait=True),
        door.task([job("bad", "echo out of luck; false")], wait=True),
        door.task([job("slow", "sleep 600")], wait=True, wait_conditions=[active]),
        door.task([job("slow", "")], state="absent", wait=True),
    )
    assert good[0]["changed"] and not good[0].get("failed")
    result = bad[0]
    assert result["failed"] and result["changed"] and result["error"]["kind"] == "WaitError"
    assert "out of luck" in result["msg"]
    assert actions(conditional[0]) == {"Job/slow": "create"}
    assert actions(gone[0]) == {"Job/slow": "delete"}
    assert "slow" not in cluster.kubectl("get", "jobs,pods", "-n", door.namespace, "-o", "name")
