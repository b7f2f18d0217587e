# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The test cluster itself: that it is real, that it can be seen through and broken, and that it goes without a trace."""

from __future__ import annotations

import copy
import http.server
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import schemas
from cluster import ROOT, command
from kubernetes import client, watch
from kubernetes.client import ApiException
from kubernetes.dynamic import DynamicClient
from test_cluster import apt, browser, cgroups, common, network
from test_cluster.common import ClusterError
from test_cluster.network import Network
from test_cluster.node import Node
from test_cluster.processes import Processes

SECONDS = 120


def core(cluster) -> client.CoreV1Api:
    return client.CoreV1Api(cluster.client())


def run_job(cluster, namespace: str, script: str, *, patience: float = SECONDS, **container) -> tuple[bool, str]:
    """Whether a Job that runs Python code as a user without rights succeeded, and its log."""
    container = {
        "name": "main",
        "image": cluster.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", script],
        "resources": {"limits": {"memory": "96Mi", "cpu": "1"}},
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 12345,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **container,
    }
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "main"},
        "spec": {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
    }
    schemas.check(job)
    batch = client.BatchV1Api(cluster.client())
    batch.create_namespaced_job(namespace, job)
    deadline = time.monotonic() + patience
    while not (status := batch.read_namespaced_job("main", namespace).status).succeeded and not status.failed:
        assert time.monotonic() < deadline, core(cluster).list_namespaced_event(namespace)
        time.sleep(0.2)
    (pod,) = core(cluster).list_namespaced_pod(namespace, label_selector="job-name=main").items
    log = core(cluster).read_namespaced_pod_log(pod.metadata.name, namespace, _preload_content=False)
    return bool(status.succeeded), log.data.decode()


# -- the cluster -------------------------------------------------------------------------------------------------------


def test_the_cluster_is_what_its_state_says(cluster, namespace):
    found = client.VersionApi(cluster.client()).get_code()
    assert found.git_version == cluster.version
    ready = [
        node.metadata.name
        for node in core(cluster).list_node().items
        if any(item.type == "Ready" and item.status == "True" for item in node.status.conditions)
    ]
    assert bool(ready) == cluster.has_nodes, cluster.nodes_reason
    assert Path(cluster.kubeconfig).stat().st_mode & 0o077 == 0
    assert namespace in cluster.kubectl("get", "namespaces", "--output=name")


@pytest.mark.usefixtures("requires_nodes")
def test_a_job_runs_without_rights_within_its_memory(cluster, namespace):
    script = """
import errno, os, sys
print(os.getuid())
try:
    open("/written", "w")
except OSError as error:
    print(errno.errorcode[error.errno])
print(os.path.exists("/var/run/secrets/kubernetes.io/serviceaccount/token"), flush=True)
bytearray(300_000_000)
"""
    succeeded, log = run_job(cluster, namespace, script)
    assert log.split() == ["12345", "EROFS", "True"]
    assert not succeeded
    (pod,) = core(cluster).list_namespaced_pod(namespace).items
    assert pod.status.container_statuses[0].state.terminated.reason == "OOMKilled"


@pytest.mark.usefixtures("requires_nodes")
def test_a_pod_reaches_services_of_this_machine_and_of_the_cluster(cluster, namespace):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response_only(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        url = cluster.expose(server.server_address[1])
        assert url == cluster.expose(server.server_address[1])
        script = f"""
import socket, ssl, urllib.request
print(urllib.request.urlopen("{url}", timeout=20).read().decode())
folder = "/var/run/secrets/kubernetes.io/serviceaccount/"
context = ssl.create_default_context(cafile=folder + "ca.crt")
headers = {{"Authorization": "Bearer " + open(folder + "token").read()}}
request = urllib.request.Request("https://kubernetes.default.svc/version", headers=headers)
print(urllib.request.urlopen(request, timeout=20, context=context).status)
"""
        succeeded, log = run_job(cluster, namespace, script)
        server.shutdown()
    assert succeeded, log
    assert log.split() == ["hello", "200"]


@pytest.mark.usefixtures("requires_nodes")
def test_the_engine_imports_what_it_needs_in_the_image(cluster, namespace):
    if not cluster.image_has_requirements:
        pytest.skip(f"{cluster.image} is not ours")
    script = "import awscrt, boto3, google.auth, google_crc32c, huggingface_hub, requests, urllib3; print('found')"
    succeeded, log = run_job(cluster, namespace, script, resources={})
    assert succeeded and log.split() == ["found"], log


POD = {"containers": [{"name": "main", "image": "x", "resources": {"limits": {"google.com/tpu": "4"}}}]}
CUSTOM = [
    {
        "apiVersion": "kro.run/v1alpha1",
        "kind": "ResourceGraphDefinition",
        "spec": {
            "schema": {"apiVersion": "v1alpha1", "kind": "Base", "group": "kro.run", "spec": {"name": "string"}},
            "resources": [{"id": "one", "template": {"kind": "ConfigMap"}, "readyWhen": ["${one.data != null}"]}],
        },
    },
    {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "CronWorkflow",
        "spec": {
            "schedules": ["0 3 * * *"],
            "workflowSpec": {
                "entrypoint": "main",
                "volumes": [{"name": "work", "emptyDir": {}}],
                "templates": [
                    {"name": "main", "steps": [[{"name": "one", "template": "run", "withItems": ["a", 1]}]]},
                    {"name": "run", "container": {"image": "x", "args": ["{{item}}"]}},
                ],
            },
        },
    },
    {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "spec": {
            "replicas": 1,
            "startupPolicy": "LeaderReady",
            "leaderWorkerTemplate": {"size": 2, "restartPolicy": "Default", "workerTemplate": {"spec": POD}},
        },
    },
    {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "spec": {
            "replicatedJobs": [
                {
                    "name": "slice",
                    "replicas": 2,
                    "template": {"spec": {"template": {"spec": {**POD, "restartPolicy": "Never"}}}},
                }
            ]
        },
    },
    {
        "apiVersion": "secrets-store.csi.x-k8s.io/v1",
        "kind": "SecretProviderClass",
        "spec": {"provider": "gke", "parameters": {"secrets": "- resourceName: x"}},
    },
    {
        "apiVersion": "cloud.google.com/v1",
        "kind": "ComputeClass",
        "spec": {"priorities": [{"tpu": {"type": "tpu-v6e-slice", "count": 4, "topology": "2x2"}, "spot": True}]},
    },
    {
        "apiVersion": "monitoring.googleapis.com/v1",
        "kind": "PodMonitoring",
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "endpoints": [{"port": "http", "interval": "15s"}]},
    },
    {
        "apiVersion": "iam.cnrm.cloud.google.com/v1beta1",
        "kind": "IAMPolicyMember",
        "spec": {"member": "x", "role": "roles/a", "resourceRef": {"kind": "Project", "external": "projects/p"}},
    },
    {
        "apiVersion": "storage.cnrm.cloud.google.com/v1beta1",
        "kind": "StorageBucket",
        "spec": {"location": "EU", "uniformBucketLevelAccess": True, "versioning": {"enabled": True}},
    },
    {
        "apiVersion": "iam.services.k8s.aws/v1alpha1",
        "kind": "Role",
        "spec": {"name": "r", "assumeRolePolicyDocument": "{}", "policyRefs": [{"from": {"name": "p"}}]},
    },
    {
        "apiVersion": "eks.services.k8s.aws/v1alpha1",
        "kind": "PodIdentityAssociation",
        "spec": {"clusterName": "c", "namespace": "n", "serviceAccount": "s", "roleRef": {"from": {"name": "r"}}},
    },
]


def test_custom_kinds_keep_what_is_commonly_sent(cluster, custom_kinds, namespace):
    dynamic = DynamicClient(cluster.client())
    for sent in CUSTOM:
        schemas.check(sent)
        kind = dynamic.resources.get(api_version=sent["apiVersion"], kind=sent["kind"])
        body = {**sent, "metadata": {"name": namespace}}  # a name that is unique in the cluster, too
        kept = kind.create(body, namespace=namespace, dry_run="All").to_dict()
        assert kept["spec"] == sent["spec"]


def test_schemas_name_the_place_of_a_mistake():
    workflow = copy.deepcopy(CUSTOM[1])
    workflow["spec"]["workflowSpec"]["templates"][1]["container"]["arg"] = []
    with pytest.raises(AssertionError, match=r"v1/Pod spec.containers.0: .*'arg'"):
        schemas.check(workflow)
    workflow = copy.deepcopy(CUSTOM[1])
    workflow["spec"]["workflowSpec"]["templates"][0]["steps"][0][0]["withItem"] = []
    with pytest.raises(AssertionError, match=r"CronWorkflow spec.workflowSpec.templates.0.steps.0.0: .*'withItem'"):
        schemas.check(workflow)
    with pytest.raises(AssertionError, match="no such kind"):
        schemas.check({"apiVersion": "example.com/v1", "kind": "Widget"})


# -- the proxy ---------------------------------------------------------------------------------------------------------


def proxied(api_proxy) -> client.CoreV1Api:
    from kubernetes import config

    configuration = client.Configuration()
    config.load_kube_config(str(api_proxy.kubeconfig), client_configuration=configuration)
    configuration.retries = False
    return client.CoreV1Api(client.ApiClient(configuration))


def config_map(name: str) -> dict:
    return {"metadata": {"name": name}, "data": {"a": "1"}}


def test_the_proxy_records_what_writes(api_proxy, namespace):
    api = proxied(api_proxy)
    api.create_namespaced_config_map(namespace, config_map("dry"), dry_run="All")
    api.create_namespaced_config_map(namespace, config_map("real"))
    api.list_namespaced_config_map(namespace)
    review = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
    client.AuthorizationV1Api(api.api_client).create_self_subject_access_review(review)
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    seen = [(item.method, item.path, item.query, item.status) for item in api_proxy.passed]
    assert seen[:3] == [("POST", path, "dryRun=All", 201), ("POST", path, "", 201), ("GET", path, "", 200)]
    assert [(item.path, item.content_type) for item in api_proxy.writes()] == [(path, "application/json")]


def test_the_proxy_fails_on_demand(api_proxy, namespace):
    api = proxied(api_proxy)
    api_proxy.add("/configmaps", method="POST", times=1, status=403, reason="Forbidden", message="not you")
    with pytest.raises(ApiException) as caught:
        api.create_namespaced_config_map(namespace, config_map("one"))
    assert caught.value.status == 403 and json.loads(caught.value.body)["message"] == "not you"
    api_proxy.add("/configmaps/broken", reset=0)
    with pytest.raises(Exception, match=r"reset|aborted|Broken"):
        api.read_namespaced_config_map("broken", namespace)
    api_proxy.add("/configmaps/cut", reset=20)
    api.create_namespaced_config_map(namespace, config_map("cut"))
    with pytest.raises(Exception, match=r"reset|aborted|broken|IncompleteRead"):
        api.read_namespaced_config_map("cut", namespace)
    api_proxy.add("/configmaps$", method="POST", lose_answer=True, times=1)
    with pytest.raises(Exception, match=r"reset|aborted|Broken"):
        api.create_namespaced_config_map(namespace, config_map("lost"))
    assert api.read_namespaced_config_map("lost", namespace).data == {"a": "1"}
    with api_proxy.away(), pytest.raises(Exception, match="refused"):
        api.list_namespaced_config_map(namespace)
    assert {item.metadata.name for item in api.list_namespaced_config_map(namespace).items} >= {"cut", "lost"}


def test_the_proxy_passes_watches_on_as_they_happen(api_proxy, namespace):
    api = proxied(api_proxy)
    version = api.list_namespaced_config_map(namespace).metadata.resource_version
    seen = []
    stream = watch.Watch()
    options = {"resource_version": version, "timeout_seconds": 60}
    for number, event in enumerate(_touching(api, namespace, stream, options)):
        seen.append((event["type"], event["object"].metadata.name))
        if number == 2:
            stream.stop()
    assert seen == [("ADDED", "w"), ("MODIFIED", "w"), ("DELETED", "w")]


def _touching(api, namespace, stream, options):
    """Each event of the watch, and after each the next change: so each has to come before the next one happens."""
    changes = iter(
        (
            lambda: api.patch_namespaced_config_map("w", namespace, {"data": {"b": "2"}}),
            lambda: api.delete_namespaced_config_map("w", namespace),
        )
    )
    threading.Timer(0.5, api.create_namespaced_config_map, (namespace, config_map("w"))).start()
    for event in stream.stream(api.list_namespaced_config_map, namespace, **options):
        yield event
        next(changes, lambda: None)()


# -- choice ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def machine(tmp_path):
    """A machine on which nothing is installed but what a test puts there: each program writes down how it was called."""
    return Machine(tmp_path)


class Machine:
    def __init__(self, folder: Path) -> None:
        self.bin, self.calls, self.directory = folder / "bin", folder / "calls", folder / "local" / "cluster"
        self.bin.mkdir()
        self._folder = folder

    def program(self, name: str, script: str = "") -> None:
        path = self.bin / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> {self.calls}\n{script}\n')
        path.chmod(0o755)

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "test_cluster", *arguments],
            env={
                "PATH": f"{self.bin}:/bin" if (self.bin / "kind").exists() else str(self.bin),
                "PYTHONPATH": str(ROOT / "tests" / "cluster"),
                "TEST_CLUSTER_DIR": str(self.directory),
                "XDG_CACHE_HOME": str(self._folder / "cache"),
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def called(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []


def with_kind(machine: Machine) -> None:
    name = rf"""case "$*" in
"get clusters") [ -f {machine.bin}/made ] && cat {machine.bin}/made ;;
"create cluster"*) echo "$4" > {machine.bin}/made; : > "$8" ;;
"delete cluster"*) rm -f {machine.bin}/made ;;
esac
exit 0"""
    machine.program("kind", name)
    machine.program(
        "docker",
        """case "$*" in
"network inspect kind") echo '[{"IPAM": {"Config": [{"Gateway": "fc00::1"}, {"Gateway": "172.18.0.1"}]}}]' ;;
esac""",
    )


def test_kind_is_used_where_it_is(machine):
    with_kind(machine)
    done = machine.run("create", TEST_CLUSTER_KIND_IMAGE="kindest/node:v1.35.0")
    assert done.returncode == 0, done.stderr
    state = json.loads(done.stdout)
    assert (state["provider"], state["version"], state["host_address"]) == ("kind", "v1.35.0", "172.18.0.1")
    (created,) = [call for call in machine.called() if call.startswith("kind create")]
    assert re.fullmatch(
        rf"kind create cluster --name modelops-\w{{8}} --image kindest/node:v1\.35\.0"
        rf" --kubeconfig {machine.directory}/kubeconfig --wait 180s",
        created,
    )
    assert machine.run("create").stdout == done.stdout
    assert len([call for call in machine.called() if call.startswith("kind create")]) == 1
    assert machine.run("delete").returncode == 0
    assert machine.run("status").returncode == 3
    assert not machine.directory.exists()


def test_no_cluster_is_said_in_one_line(machine):
    machine.program("kind")
    machine.program("docker", "exit 1")
    done = machine.run("create", PATH=str(machine.bin))
    assert done.returncode == 3, done.stderr
    assert re.fullmatch(r"no test cluster: .+\n", done.stderr)
    assert not any(call.startswith("kind") for call in machine.called())


def test_the_cluster_of_kubeconfig_is_used_and_left(machine):
    machine.program(
        "kubectl",
        """case "$*" in
version*) echo '{"serverVersion": {"gitVersion": "v1.36.2"}}' ;;
"get nodes"*) echo '{"items": [{}]}' ;;
config*) echo '{"clusters": [{"cluster": {"server": "https://127.0.0.1:6443"}}]}' ;;
esac""",
    )
    with_kind(machine)
    given = {"KUBECONFIG": "/some/file", "TEST_CLUSTER_HOST_ADDRESS": "198.51.100.7", "TEST_CLUSTER_IMAGE": "mine:1"}
    state = json.loads(machine.run("create", **given).stdout)
    expected = {"kubeconfig": "/some/file", "host_address": "198.51.100.7", "image": "mine:1", "provider": "given"}
    assert state.items() >= expected.items()
    assert machine.run("delete", **given).returncode == 0
    assert all(call.startswith("kubectl") for call in machine.called())


def test_skipped_tests_are_counted_in_the_last_line(machine, tmp_path):
    folder = tmp_path / "suite"
    folder.mkdir()
    (folder / "conftest.py").write_text("from cluster import cluster, pytest_terminal_summary\n")
    (folder / "test_it.py").write_text("def test_one(cluster): pass\ndef test_two(cluster): pass\n")
    support = ":".join(str(ROOT / "tests" / name) for name in ("support", "cluster"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", folder, folder],
        env={"PATH": str(machine.bin), "PYTHONPATH": support, "TEST_CLUSTER_DIR": str(machine.directory)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(
        r"^2 cluster tests skipped: a cluster can be built .+$|^2 cluster tests skipped: building .+$",
        done.stdout,
        re.MULTILINE,
    )


# -- parts -------------------------------------------------------------------------------------------------------------


def test_only_debians_own_archives_are_taken_from_the_machine(tmp_path):
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(
        "# deb http://commented bookworm main\n"
        "deb http://mirror/debian bookworm main contrib\n"
        "deb [arch=amd64 signed-by=/other.gpg] https://other bookworm main\n"
    )
    (tmp_path / "sources.list.d" / "debian.sources").write_text(
        "Types: deb\n# a comment\nURIs: http://a/debian\nSuites: bookworm bookworm-backports\nComponents: main\n"
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n"
        "Types: deb\nURIs: http://b/security\nSuites: bookworm-security\nEnabled: no\n"
    )
    signed = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] "
    assert apt.sources(tmp_path) == [
        "deb http://mirror/debian bookworm main",
        "deb-src http://mirror/debian bookworm main",
        f"deb {signed}http://a/debian bookworm main",
        f"deb-src {signed}http://a/debian bookworm main",
    ]


def test_what_is_kept_is_whole_and_made_once(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = []

    def broken(work):
        (work / "out").mkdir()
        raise ClusterError("the mirror went away")

    def whole(work):
        found.append(list(work.iterdir()))
        (work / "out").mkdir()
        time.sleep(0.2)  # long enough for the other one to arrive
        return work / "out"

    with pytest.raises(ClusterError, match="mirror"):
        common.kept("thing", broken)
    with ThreadPoolExecutor() as threads:
        folders = list(threads.map(common.kept, ["thing"] * 2, [whole] * 2))
    assert found == [[]]
    assert folders == [common.cache_directory() / "thing"] * 2
    assert list(folders[0].parent.iterdir()) == folders[:1]


def test_a_browser_that_is_installed_is_used(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match=r"google-chrome is on PATH, and Chromium can be taken from .+ only "):
        browser.chromium()
    path = tmp_path / "google-chrome"
    path.touch(0o755)
    assert browser.chromium() == browser.Browser(str(path), {})


def test_pods_get_a_network_that_nobody_uses():
    assert network.choose(
        ["10.0.0.0/8", "172.16.0.0/13", "172.24.0.0/14", "172.28.0.0/15", "172.30.0.0/16", "default"]
    ) == Network("172.31")


def test_both_versions_of_cgroups_are_found(tmp_path):
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "cgroup /sys/fs/cgroup/memory cgroup rw 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\nproc /proc proc rw 0 0\n"
    )
    assert cgroups.hierarchies(mounts) == [Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup/unified")]


def test_only_our_own_processes_are_stopped(tmp_path):
    ours, other = Processes(tmp_path / "a"), Processes(tmp_path / "b")
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    ours.start("one", [sys.executable, "-c", stubborn])
    other.start("one", ["sleep", "60"])
    try:
        ours.stop("one", 0.5)
        assert (ours.running(), list(other.running())) == ({}, ["one"])
    finally:
        other.stop("one")


def test_the_log_of_what_died_is_in_the_error(tmp_path):
    processes = Processes(tmp_path)
    processes.start("etcd", ["sh", "-c", "echo no space left"])
    deadline = time.monotonic() + SECONDS
    while processes.running():
        assert time.monotonic() < deadline
    with pytest.raises(ClusterError, match=r"etcd died[^$]*no space left"):
        processes.assert_running(["etcd"])


# -- what is left behind -----------------------------------------------------------------------------------------------


def traces(directory: Path) -> dict[str, object]:
    """All that the cluster of this folder could leave on this machine."""
    node = Node(directory, None, Processes(directory))
    return {
        "link": Path("/sys/class/net", node.link).exists(),
        "mounts": [line for line in Path("/proc/mounts").read_text().splitlines() if str(directory) in line],
        "cgroups": [each for each in cgroups.hierarchies() if (each / node.cgroup).exists()],
        "settings": [Path("/proc/sys", name).read_text() for name in ("net/ipv4/ip_forward", "kernel/panic")],
        "processes": Processes(directory).running(),
        "folder": directory.exists(),
    }


@pytest.mark.skipif("os.environ.get('KUBECONFIG')", reason="the cluster is the user's")
def test_nothing_is_left_of_a_cluster_even_if_create_was_killed(cluster, tmp_path):
    if "built" not in command("status").stdout:
        pytest.skip("no test cluster: this one is not built here")
    directory = tmp_path / "c"
    before = traces(directory)
    environment = {"TEST_CLUSTER_DIR": str(directory), "PYTHONPATH": str(ROOT / "tests" / "cluster")}
    process = subprocess.Popen([sys.executable, "-m", "test_cluster", "create"], env=os.environ | environment)
    try:
        log = directory / "logs" / ("kubelet.log" if cluster.has_nodes else "kube-apiserver.log")
        while not log.exists():
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        process.wait()
        found = traces(directory)
        assert found["processes"] and ((found["link"] and found["cgroups"]) or not cluster.has_nodes)
        assert command("status", **environment).returncode == 3
    finally:
        deleted = command("delete", **environment)
    assert deleted.returncode == 0, deleted.stderr
    assert traces(directory) == before
