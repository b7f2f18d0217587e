# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong in a real cluster, and whether the end of the wait says what, where and what to do.

Everything is created at once and waited for at the same time, so that the whole takes as long as its slowest part.
"""

from __future__ import annotations

import concurrent.futures
import secrets
import threading
import time

import pytest
from kubernetes import config

from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Client, Ref
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import WaitError
from ansible_collections.modelops.serving.plugins.module_utils._kube.wait import JsonPath, Target, Waiter

MANAGER = "test"
NOTHING_THERE = "127.0.0.1:1/none:1"
# Unique in the cluster, as it is not in a namespace.
LATE_BINDING = f"test-late-{secrets.token_hex(4)}"


def template(name, image, *, command=None, spec=None, **container):
    command = command or ["python3", "-c", "import time; time.sleep(3600)"]
    one = {"name": "main", "image": image, "imagePullPolicy": "IfNotPresent", "command": command, **container}
    return {
        "metadata": {"labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [one], **(spec or {})},
    }


def deployment(name, image, **more):
    selector = {"matchLabels": {"app": name}}
    spec = {"selector": selector, "template": template(name, image, **more)}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def job(name, image, *, backoff=0, spec=None, **more):
    pod = template(name, image, spec={"restartPolicy": "Never", **(spec or {})}, **more)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": backoff, "template": pod},
    }


def claim(name, storage_class):
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": storage_class,
    }
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def secret(name, **data):
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def of_secret(name, key):
    return [{"name": key, "valueFrom": {"secretKeyRef": {"name": name, "key": key}}}]


def python(text):
    return ["python3", "-c", text]


def scenes(image):
    """The objects that are waited for, by their names."""
    never_ready = {"readinessProbe": {"httpGet": {"port": 1, "path": "/"}, "periodSeconds": 1}}
    mount = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "homeless"}}]}
    found = [
        job(
            "secret-absent",
            image,
            envFrom=[{"secretRef": {"name": "present"}}, {"secretRef": {"name": "model-source"}}],
            env=of_secret("hf", "HF_TOKEN"),
        ),
        deployment("key-absent", image, env=of_secret("present", "B")),
        deployment(
            "volume-absent",
            image,
            spec={"volumes": [{"name": "v", "secret": {"secretName": "mounted"}}]},
            volumeMounts=[{"name": "v", "mountPath": "/v"}],
        ),
        deployment("secret-late", image, env=of_secret("late", "A")),
        deployment("image-refused", NOTHING_THERE),
        deployment("image-misspelt", "Not//An:Image:Name"),
        deployment("crashing", image, command=python("raise SystemExit('no such bucket: models')"), **never_ready),
        deployment(
            "out-of-memory",
            image,
            command=python("import time; x = bytearray(1 << 30); time.sleep(60)"),
            resources={"limits": {"memory": "64Mi"}},
            **never_ready,
        ),
        job("failing", image, command=python("raise SystemExit('cannot go on')")),
        deployment("unready", image, **never_ready),
        deployment("misplaced", image, spec={"nodeSelector": {"kubernetes.io/os": "plan9"}}),
        deployment("no-tpu", image, resources={"limits": {"google.com/tpu": "64"}}),
        claim("homeless", "there-is-none"),
        claim("patient", LATE_BINDING),
        deployment("unbound", image, spec=mount),
        deployment("no-account", image, spec={"serviceAccountName": "nobody"}),
    ]
    return {obj["metadata"]["name"]: obj for obj in found}


# What does not end the wait is seen at its deadline: when nothing is seen by then, the cluster is slow.
SEEN = {
    "image-refused": {"ErrImagePull", "ImagePullBackOff"},
    "crashing": {"CrashLoopBackOff"},
    "out-of-memory": {"OOMKilled"},
    "unready": {"Unhealthy"},
    "misplaced": {"FailedScheduling"},
    "no-tpu": {"FailedScheduling"},
}
NEED_NO_NODE = ("homeless", "patient", "no-account")
QUOTA = {
    "apiVersion": "v1",
    "kind": "ResourceQuota",
    "metadata": {"name": "small"},
    "spec": {"hard": {"pods": "0"}},
}
STORAGE_CLASS = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": LATE_BINDING},
    "provisioner": "kubernetes.io/no-provisioner",
    "volumeBindingMode": "WaitForFirstConsumer",
}


def apply(client, obj, namespace=None):
    metadata = {**obj["metadata"], **({"namespace": namespace} if namespace else {})}
    return Ref.of(client.apply({**obj, "metadata": metadata}, manager=MANAGER))


class Outcome:
    """What a wait came to: ``ready`` objects or the ``error``, and the lines of progress.

    :param then: a text, and what to do once when a line with it was told.
    """

    def __init__(self, cluster, ref, *, seen=frozenset(), timeout=90.0, patience=2.0, then=None):
        self.ready, self.error, self.lines = {}, None, []
        text, act = then or ("", None)

        def tell(line):
            nonlocal act
            self.lines.append(line)
            if act and text in line:
                act, once = None, act  # what it does may take longer than the next line
                once()

        client, deadline = Client(cluster.client()), time.monotonic() + 90
        done = False
        while not done and time.monotonic() < deadline:
            waiter = Waiter(
                client,
                timeout=8.0 if seen else timeout,
                interval=1.0,
                patience=patience,
                on_progress=tell,
            )
            try:
                self.ready, done = waiter.wait([ref]), True
            except WaitError as error:
                self.error = error
                done = not seen or not error.timed_out or any(finding.reason in seen for finding in error.findings)

    def finding(self, reason):
        """The one finding with this reason."""
        assert not self.ready, "became ready"
        found = [finding for finding in self.error.findings if finding.reason == reason]
        assert len(found) == 1, str(self.error)
        # What was found is told, too.
        assert found[0].message in self.error.message and found[0].hint in self.error.message
        return found[0]


def hold(*finalizers):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held", "finalizers": [*finalizers]}}


@pytest.fixture(scope="module")
def held(cluster):
    """A namespace that is being deleted, but holds an object with a finalizer."""
    client = Client(cluster.client())
    name = f"test-{secrets.token_hex(4)}"
    ref = apply(client, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    apply(client, hold("example.com/hold"), name)
    client.delete(ref)
    yield ref
    if client.get(Ref("v1", "ConfigMap", "held", name)):
        apply(client, hold(), name)


@pytest.fixture(scope="module")
def outcomes(cluster, held):
    """Name of the scene -> its outcome."""
    client = Client(cluster.client())
    with cluster.namespace() as namespace, cluster.namespace() as full:
        image = cluster.image if cluster.has_nodes else "none"
        wanted = {name: obj for name, obj in scenes(image).items() if cluster.has_nodes or name in NEED_NO_NODE}
        apply(client, QUOTA, full)
        apply(client, STORAGE_CLASS)
        apply(client, secret("present", A="1"), namespace)
        refs = {name: apply(client, obj, namespace) for name, obj in wanted.items()}
        refs["over-quota"] = apply(client, job("over-quota", image), full)
        options = {name: {"seen": reasons} for name, reasons in SEEN.items()}
        # The Secret comes when its absence was told, but before the patience is over.
        options["secret-late"] = {
            "patience": 60.0,
            "then": ("/late does not exist", lambda: apply(client, secret("late", A="1"), namespace)),
        }
        try:
            with concurrent.futures.ThreadPoolExecutor(len(refs)) as pool:
                waits = {
                    name: pool.submit(Outcome, cluster, ref, **options.get(name, {})) for name, ref in refs.items()
                }
                yield {name: wait.result() for name, wait in waits.items()}
        finally:
            client.delete(Ref.of(STORAGE_CLASS))


@pytest.fixture
def outcome(outcomes, cluster):
    """Look up one outcome; skips what needs a node where there is none."""

    def find(name):
        if name not in outcomes:
            pytest.skip(f"no test cluster: it runs no pods: {cluster.nodes_reason}")
        return outcomes[name]

    return find


def test_absent_secrets_are_named_all_at_once_with_their_keys(outcome):
    one = outcome("secret-absent")
    assert not one.error.timed_out
    assert {finding.reason for finding in one.error.findings if finding.fatal} == {"CreateContainerConfigError"}
    assert "/model-source does not exist; needed by container main (envFrom)" in one.error.message
    assert "kubectl create secret generic hf --namespace" in one.error.message
    assert "--from-literal=HF_TOKEN=..." in one.error.message
    assert "/present " not in one.error.message  # that one is there
    assert "CreateContainerConfigError" in one.lines[-1]


def test_an_absent_key_is_named(outcome):
    found = outcome("key-absent").finding("CreateContainerConfigError")
    assert "/present has no key B" in found.message and "kubectl patch secret present" in found.hint and found.fatal


def test_an_absent_secret_of_a_volume_is_named(outcome):
    found = outcome("volume-absent").finding("FailedMount")
    assert "/mounted does not exist; needed by volume v" in found.message and found.fatal


def test_a_secret_that_comes_late_is_in_time(outcome):
    one = outcome("secret-late")
    assert one.ready, str(one.error)
    assert any("/late does not exist" in line for line in one.lines[:-1])


def test_a_registry_out_of_reach_is_told_but_may_come_back(outcome):
    one = outcome("image-refused")
    (found,) = (item for item in one.error.findings if item.reason in ("ErrImagePull", "ImagePullBackOff"))
    assert NOTHING_THERE in found.message and "cannot reach the registry" in found.message
    assert "connection refused" in found.message and not found.fatal and one.error.timed_out


def test_an_image_that_has_no_proper_name_ends_the_wait(outcome):
    one = outcome("image-misspelt")
    assert one.finding("InvalidImageName").fatal and not one.error.timed_out


def test_a_crash_shows_exit_code_and_log(outcome):
    one = outcome("crashing")
    found = one.finding("CrashLoopBackOff")
    assert "exit code 1" in found.message
    assert found.log == "no such bucket: models" and found.log in one.error.message
    assert "Recent Warning Events:" in one.error.message and "BackOff" in one.error.message


def test_out_of_memory_names_the_limit(outcome):
    found = outcome("out-of-memory").finding("OOMKilled")
    assert "exit code 137" in found.message and "above 64Mi, for example to 128Mi" in found.hint


def test_a_failed_job_shows_its_reason_and_log(outcome):
    one = outcome("failing")
    assert not one.error.timed_out and one.finding("BackoffLimitExceeded").ref.kind == "Job"
    assert one.finding("Error").log == "cannot go on"


def test_a_probe_that_fails_is_quoted(outcome):
    found = outcome("unready").finding("Unhealthy")
    assert "Readiness probe failed" in found.message and "connection refused" in found.message and not found.fatal


def test_labels_that_no_node_has_are_compared(outcome):
    one = outcome("misplaced")
    found = one.finding("FailedScheduling")
    assert "wants kubernetes.io/os=plan9, nodes have linux" in found.message and one.error.timed_out
    assert "--label-columns kubernetes.io/os" in found.hint


def test_a_resource_that_no_node_has_is_named(outcome):
    found = outcome("no-tpu").finding("FailedScheduling")
    assert "Insufficient google.com/tpu" in found.message and "the Pod requests 64" in found.message


def test_a_claim_without_a_storage_class_is_named_also_at_the_pod(outcome):
    found = outcome("homeless").finding("ProvisioningFailed")
    assert '"there-is-none" not found' in found.message and found.fatal


def test_a_pod_waiting_for_its_claim_names_claim_and_cause(outcome):
    one = outcome("unbound")
    assert one.finding("ProvisioningFailed").ref.name == "homeless" and not one.error.timed_out
    assert "(homeless)" in one.finding("FailedScheduling").message


def test_a_claim_that_waits_for_its_first_consumer_is_not_waited_for(outcome):
    assert outcome("patient").ready


def test_an_absent_service_account_is_named(outcome):
    found = outcome("no-account").finding("FailedCreate")
    assert 'serviceaccount "nobody" not found' in found.message and found.fatal
    assert "kubectl create serviceaccount nobody --namespace" in found.hint


def test_a_quota_that_is_used_up_is_named_with_its_numbers(outcome):
    found = outcome("over-quota").finding("FailedCreate")
    assert "exceeded quota: small, requested: pods=1, used: pods=0, limited: pods=0" in found.message
    assert "kubectl describe resourcequota small" in found.hint and found.fatal


def test_an_api_server_that_restarts_is_waited_for(cluster, namespace, api_proxy):
    client = Client(cluster.client())
    ref = apply(client, secret("slow"), namespace)
    lines = []
    api = config.new_client_from_config(str(api_proxy.kubeconfig))
    through = Client(api, attempts=1)
    came_back = threading.Event()

    def restart():
        with api_proxy.away():
            came_back.wait(30)
        apply(client, secret("slow", done="1"), namespace)

    def progress(line):
        lines.append(line)
        if len(lines) == 1:
            thread.start()
        elif "does not answer" in line:
            came_back.set()

    thread = threading.Thread(target=restart)
    waiter = Waiter(through, timeout=60, interval=0.5, on_progress=progress)
    waiter.wait([Target(ref, success=JsonPath("{.data.done}"))])
    thread.join()
    assert any("the API server does not answer" in line for line in lines)
    with api_proxy.away(), pytest.raises(WaitError, match="did not answer at the end") as caught:
        Waiter(through, timeout=2, interval=0.5).wait([ref])
    assert caught.value.timed_out


def test_what_may_not_be_read_is_named(cluster, namespace):
    """A user who may only read Jobs learns which right would tell more."""
    admin, user = Client(cluster.client()), cluster.client()
    user.set_default_header("Impersonate-User", "somebody")
    group = "rbac.authorization.k8s.io"
    role = {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get"]}
    meta = {"name": "reader"}
    apply(admin, {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": meta, "rules": [role]}, namespace)
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": meta,
        "roleRef": {"apiGroup": group, "kind": "Role", "name": "reader"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "somebody"}],
    }
    apply(admin, binding, namespace)
    ref = apply(admin, job("unseen", NOTHING_THERE, spec={"serviceAccountName": "nobody"}), namespace)
    with pytest.raises(WaitError) as caught:
        Waiter(Client(user), timeout=2, interval=0.5).wait([ref])
    assert f"permission to list pods in namespace {namespace}" in caught.value.message
    assert f"permission to list events in namespace {namespace}" in caught.value.message


def test_a_namespace_that_is_held_names_the_finalizer(cluster, held):
    client = Client(cluster.client())
    said = JsonPath('{.status.conditions[?(@.type=="NamespaceFinalizersRemaining")].status}', "True")
    deadline = time.monotonic() + 60
    while not said.met(client.get(held)):  # the controller takes its time
        assert time.monotonic() < deadline
        time.sleep(0.2)
    with pytest.raises(WaitError) as caught:
        Waiter(client, timeout=1, interval=0.5).wait_gone([held])
    assert caught.value.findings[0].reason == "NamespaceFinalizersRemaining"
    assert "example.com/hold in 1 resource instances" in caught.value.message
    with pytest.raises(WaitError, match="being deleted since"):  # nothing in it becomes ready any more
        Waiter(client, timeout=60).wait([held])
    apply(client, hold(), held.name)
    Waiter(client, timeout=60, interval=0.5).wait_gone([held])
