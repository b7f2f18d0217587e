# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages are those of kubelets, schedulers, controllers and registries from Kubernetes 1.20 to 1.36."""

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._kube import images, podspec, refusals, scheduling
from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Ref
from ansible_collections.modelops.serving.plugins.module_utils._kube.diagnose import (
    collect,
    explain,
    findings,
    warning_events,
)
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import ApiError
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._kube.scenes import (
    FakeClient,
    condition,
    ended,
    event,
    job,
    make,
    node,
    pod,
    ref,
    waiting,
    workload,
)

CREATING = waiting("ContainerCreating")


def look(obj, *others):
    """What is found about an object among others."""
    return findings(collect(FakeClient(obj, *others), ref(obj)))


def only(obj, *others):
    (found,) = look(obj, *others)
    return found


def secret(name, *keys, kind="Secret"):
    return make("v1", kind, name, data=dict.fromkeys(keys, "dmFsdWU="))


# --- configuration


def test_all_that_is_missing_is_named_at_once_with_its_keys():
    container = {
        "env": [
            {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}},
            {"name": "HF_USER", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "user"}}},
            {"name": "MAYBE", "valueFrom": {"secretKeyRef": {"name": "maybe", "key": "k", "optional": True}}},
            {"name": "MODE", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "mode"}}},
            {"name": "PLAIN", "value": "x"},
        ],
        "envFrom": [{"secretRef": {"name": "demo-models"}}, {"secretRef": {"name": "model-source"}}],
    }
    state = waiting("CreateContainerConfigError", 'secret "model-source" not found')
    stuck = pod("sync-abc", container=container, state=state)
    found = look(stuck, secret("demo-models", "AWS_REGION"), secret("settings", "other", kind="ConfigMap"))
    assert all(finding.reason == "CreateContainerConfigError" and finding.fatal for finding in found)
    told = {finding.message.split()[1]: finding for finding in found}
    assert set(told) == {"demo/hf", "demo/model-source", "demo/settings"}
    assert told["demo/hf"].hint == (
        "Create it: kubectl create secret generic hf --namespace demo --from-literal=token=... --from-literal=user=..."
    )
    assert (
        "Secret demo/model-source does not exist; needed by container main (envFrom)"
        in told["demo/model-source"].message
    )
    assert "secret generic model-source --namespace demo --from-literal=KEY=..." in told["demo/model-source"].hint
    assert "ConfigMap demo/settings has no key mode" in told["demo/settings"].message
    assert """--type merge --patch '{"data": {"mode": "..."}}'""" in told["demo/settings"].hint


@pytest.mark.parametrize(
    ("text", "hint", "fatal"),
    [
        ('secret "model-source" not found', "kubectl create secret generic model-source --namespace demo", True),
        ("couldn't find key B in Secret demo/model-source", '{"stringData": {"B": "..."}}', True),
        ("failed to sync secret cache: timed out waiting for the condition", "", False),
        ("container has runAsNonRoot and image will run as root", "runAsUser", True),
        ("container has runAsNonRoot and image has non-numeric user (app), cannot verify", "runAsUser", True),
    ],
)
def test_configuration_errors_where_secrets_may_not_be_read(text, hint, fatal):
    names = {"valueFrom": {"secretKeyRef": {"name": "model-source", "key": "B"}}}
    stuck = pod(container={"env": [{"name": "B", **names}]}, state=waiting("CreateContainerConfigError", text))
    client = FakeClient(stuck)
    client.forbidden.add("Secret")
    first, denied = explain(client, ref(stuck))
    assert first.message == f"container main: {text}" and hint in first.hint and first.fatal is fatal
    assert denied.reason == "Forbidden" and "get secrets in namespace demo" in denied.message


def test_a_secret_that_has_come_since_is_not_fatal():
    needs = {"envFrom": [{"secretRef": {"name": "late"}}]}
    stuck = pod(container=needs, state=waiting("CreateContainerConfigError", 'secret "late" not found'))
    found = only(stuck, secret("late", "A"))
    assert not found.fatal and "tries again" in found.hint


VOLUME = {"volumes": [{"name": "model", "secret": {"secretName": "keys", "items": [{"key": "id", "path": "id"}]}}]}


MOUNT = {"volumeMounts": [{"name": "model", "mountPath": "/model"}]}


def test_volumes_of_secrets_that_are_missing_or_lack_a_key():
    failed = 'MountVolume.SetUp failed for volume "model" : secret "keys" not found'
    stuck = pod(spec=VOLUME, container=MOUNT, state=CREATING)
    found = only(stuck, event(stuck, "FailedMount", failed))
    assert found.reason == "FailedMount" and found.fatal and "needed by volume model" in found.message
    assert found.hint.endswith("kubectl create secret generic keys --namespace demo --from-literal=id=...")
    lacking = 'MountVolume.SetUp failed for volume "model" : references non-existent secret key: id'
    found = only(stuck, event(stuck, "FailedMount", lacking), secret("keys", "other"))
    assert "has no key id" in found.message and found.fatal
    whole = event(stuck, "FailedMount", failed), secret("keys", "id")
    assert not only(stuck, *whole).fatal and "exists by now" in only(stuck, *whole).hint


def test_the_secrets_of_projected_volumes_count():
    sources = [{"secret": {"name": "a"}}, {"configMap": {"name": "b", "optional": True}}, {"serviceAccountToken": {}}]
    volumes = {"volumes": [{"name": "model", "projected": {"sources": sources}}]}
    stuck = pod(spec=volumes, container=MOUNT, state=CREATING)
    assert "Secret demo/a does not exist" in only(stuck).message


def test_volumes_that_no_container_mounts_are_not_needed():
    assert look(pod(spec=VOLUME, state=CREATING)) == []


def test_a_container_that_is_only_being_created_is_no_finding():
    assert look(pod(spec=VOLUME, container=MOUNT, state=CREATING), secret("keys", "id")) == []


@pytest.mark.parametrize(
    ("text", "hint", "fatal"),
    [
        (
            (
                'MountVolume.SetUp failed for volume "t" : rpc error: code = Unknown desc = failed to get secretproviderclass '
                'demo/hf-token, error: SecretProviderClass.secrets-store.csi.x-k8s.io "hf-token" not found'
            ),
            "Create the SecretProviderClass hf-token in namespace demo",
            True,
        ),
        (
            (
                'MountVolume.SetUp failed for volume "t" : rpc error: code = Unknown desc = failed to mount secrets store '
                "objects for pod demo/x, err: rpc error: code = Internal desc = failed to access secret: rpc error: code = "
                "PermissionDenied desc = Permission 'secretmanager.versions.access' denied"
            ),
            "service account (loader)",
            False,
        ),
        (
            (
                'MountVolume.MountDevice failed for volume "m" : driver name gcsfuse.csi.storage.gke.io not found in the list '
                "of registered CSI drivers"
            ),
            "Install the CSI driver",
            False,
        ),
    ],
)
def test_other_volume_trouble(text, hint, fatal):
    stuck = pod(spec={"serviceAccountName": "loader"}, state=CREATING)
    summary = "Unable to attach or mount volumes: unmounted volumes=[t]: timed out waiting for the condition"
    at = "2026-11-21T10:00:09Z"
    found = only(stuck, event(stuck, "FailedMount", text), event(stuck, "FailedMount", summary, at=at))
    assert found.message == text and hint in found.hint and found.fatal is fatal
    assert (
        look(stuck, event(stuck, "FailedMount", text), event(stuck, "Pulling", "Pulling", kind="Normal", at=at)) == []
    )


# --- images


@pytest.mark.parametrize(
    ("text", "meaning", "fatal"),
    [
        (
            'failed to resolve reference "reg.example/denied-401:1": reg.example/denied-401:1: not found',
            "no such image or tag",
            True,
        ),
        ("manifest for example/x:9 not found: manifest unknown: manifest unknown", "no such image or tag", True),
        (
            (
                "failed to authorize: failed to fetch anonymous token: unexpected status from GET request to "
                '"https://auth.docker.io/token": 401 Unauthorized'
            ),
            "credentials are missing",
            True,
        ),
        (
            (
                "pull access denied, repository does not exist or may require authorization: server message: "
                "insufficient_scope: authorization failed"
            ),
            "credentials are missing",
            True,
        ),
        ("unexpected status code 403 Forbidden", "credentials are missing", True),
        ("toomanyrequests: You have reached your pull rate limit.", "rate limit", False),
        ("unexpected status code: 429 Too Many Requests", "rate limit", False),
        ("dial tcp 127.0.0.1:1: connect: connection refused", "cannot reach", False),
        ("dial tcp: lookup reg.example on 10.0.0.10:53: no such host", "cannot reach", False),
        ("dial tcp 192.0.2.1:443: i/o timeout", "cannot reach", False),
        ("unexpected status code 503 Service Unavailable", "cannot reach", False),
        ("tls: failed to verify certificate: x509: certificate signed by unknown authority", "certificate", True),
        ("http: server gave HTTP response to HTTPS client", "no TLS", True),
        ("no match for platform in manifest: not found", "architecture", True),
        ("write /var/lib/containerd/x: no space left on device", "disk is full", False),
        ("something else", "", False),
    ],
)
def test_what_the_error_of_a_pull_means(text, meaning, fatal):
    pull = images.read(text)
    assert meaning in pull.meaning and pull.fatal is fatal and pull.hint


def test_the_event_tells_what_older_kubelets_leave_out_of_the_status():
    stuck = pod(state=waiting("ImagePullBackOff", 'Back-off pulling image "registry.example/server:1"'))
    text = (
        'Failed to pull image "registry.example/server:1": rpc error: code = NotFound desc = failed to pull and unpack '
        'image "registry.example/server:1": registry.example/server:1: not found'
    )
    found = only(stuck, event(stuck, "Failed", text), event(stuck, "Failed", "Error: ImagePullBackOff"))
    assert found.reason == "ImagePullBackOff" and found.fatal and "rpc error" not in found.message
    assert "Image registry.example/server:1: The registry has no such image or tag. failed to pull" in found.message
    # 1.36 puts the container in front.
    prefixed = event(stuck, "Failed", "spec.containers{main}: " + text)
    assert "no such image or tag" in only(stuck, prefixed).message


def test_newer_kubelets_tell_it_in_the_status():
    text = 'Back-off pulling image "x": ErrImagePull: rpc error: code = Unknown desc = 401 Unauthorized'
    assert "docker-registry NAME --namespace demo" in only(pod(state=waiting("ImagePullBackOff", text))).hint


@pytest.mark.parametrize(("count", "fatal"), [(4, False), (5, True)])
def test_a_registry_that_was_out_of_reach_often_enough_is_a_wrong_address(count, fatal):
    stuck = pod(state=waiting("ErrImagePull", "dial tcp: lookup registry.example: no such host"))
    text = 'Failed to pull image "registry.example/server:1": dial tcp: lookup registry.example: no such host'
    assert only(stuck, event(stuck, "Failed", text, count=count)).fatal is fatal


@pytest.mark.parametrize("reason", ["InvalidImageName", "ErrImageNeverPull"])
def test_images_that_are_never_pulled(reason):
    found = only(pod(state=waiting(reason, "why")))
    assert found.reason == reason and found.fatal and "Image registry.example/server:1: why" in found.message


# --- containers


@pytest.mark.parametrize(
    ("code", "reason", "words"),
    [
        (1, "Error", "exit code 1"),
        (126, "Error", "cannot be executed"),
        (127, "Error", "does not exist in the image"),
        (137, "Error", "SIGKILL"),
        (139, "Error", "SIGSEGV"),
        (143, "Error", "SIGTERM"),
        (130, "Error", "signal 2"),
    ],
)
def test_exit_codes(code, reason, words):
    found = only(pod(state=ended(code, reason)))
    assert found.reason == reason and words in found.message


@pytest.mark.parametrize(
    ("restarts", "end", "fatal"),
    [
        (3, ended(1), False),
        (4, ended(1), True),
        (1, ended(137, "OOMKilled"), False),
        (2, ended(137, "OOMKilled"), True),
        (0, ended(127), True),
        (0, ended(128, "StartError", message="exec: not found"), True),
    ],
)
def test_a_crash_loop_is_fatal_once_it_is_clear_that_it_goes_on(restarts, end, fatal):
    crashing = pod(state=waiting("CrashLoopBackOff", "back-off"), lastState=end, restartCount=restarts)
    assert only(crashing).fatal is fatal
    owned = pod(state=waiting("CrashLoopBackOff"), lastState=end, restartCount=restarts, owner=job())
    assert not only(owned).fatal  # the Job counts itself


def test_the_log_of_the_run_that_failed_is_shown():
    crashing = pod(state=waiting("CrashLoopBackOff"), lastState=ended(1), restartCount=1)
    client = FakeClient(crashing)
    client.log["main", True] = "x" * 3000 + "\nno such bucket"
    (found,) = explain(client, ref(crashing))
    assert found.log.endswith("no such bucket") and len(found.log) == 2000
    client.log = {("main", False): "only this"}
    assert explain(client, ref(crashing))[0].log == "only this"
    over = pod(state=ended(1))
    client = FakeClient(over)
    explain(client, ref(over))
    assert client.read_logs == [("server-abc", "main", False)]


def test_logs_that_may_not_be_read_are_named():
    crashing = pod(state=ended(1))
    client = FakeClient(crashing)
    client.forbidden.add("log")
    assert explain(client, ref(crashing))[0].log == "(cannot be read: no log for you)"


def test_out_of_memory_names_the_limit_and_a_larger_one():
    limits = {"resources": {"limits": {"memory": "1536Mi"}}}
    state = waiting("CrashLoopBackOff")
    found = only(pod(container=limits, state=state, lastState=ended(137, "OOMKilled"), restartCount=1))
    assert found.reason == "OOMKilled" and "above 1536Mi, for example to 3072Mi" in found.hint
    assert "no memory limit" in only(pod(state=ended(137, "OOMKilled"))).hint


def test_commands_that_cannot_be_run():
    text = 'exec: "vllm": executable file not found in $PATH: unknown'
    found = only(pod(state=waiting("RunContainerError", text)))
    assert found.fatal and "Correct command" in found.hint
    assert not only(pod(state=waiting("CreateContainerError", "context deadline exceeded"))).fatal


def test_init_containers_are_called_so():
    stuck = pod(state=waiting("PodInitializing"))
    one = {"name": "prepare", "image": "x", "ready": False, "restartCount": 1}
    one |= {"state": waiting("CrashLoopBackOff"), "lastState": ended(1)}
    stuck["status"]["initContainerStatuses"] = [one]
    found = only(stuck)
    assert found.message.startswith("init container prepare: ended with exit code 1") and found.container == "prepare"


def test_probes_that_fail():
    running = {"phase": "Running"}
    slow = pod(status=running, state={"running": {}})
    text = "Readiness probe failed: HTTP probe failed with statuscode: 503"
    about = event(slow, "Unhealthy", text, field="spec.containers{main}")
    other = event(slow, "Unhealthy", "sidecar", field="spec.containers{sidecar}", at="2026-11-21T10:01:00Z")
    found = only(slow, about, other)
    assert found.reason == "Unhealthy" and text in found.message and not found.fatal and found.container == "main"
    assert only(slow).reason == "ContainersNotReady"


@pytest.mark.parametrize(
    ("reason", "text", "hint"),
    [
        (
            "Evicted",
            "The node was low on resource: ephemeral-storage. Container main was using 9Gi, which exceeds its request of 0. ",
            "sizeLimit",
        ),
        ("Evicted", 'Usage of EmptyDir volume "workdir" exceeds the limit "1Gi". ', "PersistentVolumeClaim"),
        ("Evicted", "The node was low on resource: memory.", "request as much memory"),
        ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline", "activeDeadlineSeconds"),
        ("NodeLost", "Node node-1 which was running pod x is unresponsive", "describe node node-1"),
    ],
)
def test_pods_that_ended_as_a_whole(reason, text, hint):
    found = only(pod(status={"phase": "Failed", "reason": reason, "message": text}))
    assert found.reason == reason and found.message == text and hint in found.hint


# --- scheduling


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            (
                "0/3 nodes are available: 1 node(s) had taint {node-role.kubernetes.io/master: }, that the pod didn't "
                "tolerate, 2 Insufficient google.com/tpu."
            ),
            [
                (1, "node(s) had taint {node-role.kubernetes.io/master: }, that the pod didn't tolerate"),
                (2, "Insufficient google.com/tpu"),
            ],
        ),
        (
            (
                "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't match Pod's node affinity/selector. preemption: "
                "0/3 nodes are available: 3 Preemption is not helpful for scheduling.."
            ),
            [(1, "Insufficient cpu"), (2, "node(s) didn't match Pod's node affinity/selector")],
        ),
        (
            (
                "0/1 nodes are available: 1 node(s) had untolerated taint(s). no new claims to deallocate, preemption: 0/1 "
                "nodes are available: 1 Preemption is not helpful for scheduling."
            ),
            [(1, "node(s) had untolerated taint(s)")],
        ),
        (
            (
                "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: 0/2 nodes are "
                "available: 2 Preemption is not helpful for scheduling."
            ),
            [(0, "pod has unbound immediate PersistentVolumeClaims")],
        ),
        ('persistentvolumeclaim "data" not found', [(0, 'persistentvolumeclaim "data" not found')]),
    ],
)
def test_the_schedulers_sentence(text, expected):
    assert scheduling.reasons(text) == expected


TPU = {"containers": [{"name": "main", "image": "x", "resources": {"limits": {"google.com/tpu": "4", "cpu": "500m"}}}]}
TOPOLOGY = "cloud.google.com/gke-tpu-topology"


def unplaced(text, spec=None, **more):
    conditions = [condition("PodScheduled", "False", "Unschedulable", text)]
    return pod(spec={**TPU, **(spec or {}), "nodeName": None}, status={"conditions": conditions}, **more)


@pytest.mark.parametrize(
    ("text", "spec", "nodes", "words"),
    [
        (
            "0/1 nodes are available: 1 Insufficient google.com/tpu.",
            {},
            [node("a", allocatable={"cpu": "4"})],
            ["the Pod requests 4, no node has any", "node pool that offers google.com/tpu"],
        ),
        (
            "0/2 nodes are available: 2 Insufficient google.com/tpu.",
            {},
            [node("a", allocatable={"google.com/tpu": "1"}), node("b", allocatable={"google.com/tpu": "2"})],
            ["the Pod requests 4, the largest node has 2", "Request at most 2 of google.com/tpu"],
        ),
        (
            "0/1 nodes are available: 1 Insufficient cpu.",
            {},
            [node("a", allocatable={"cpu": "4"})],
            ["requests 500m, the largest node has 4, taken by other Pods"],
        ),
        (
            "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.",
            {"nodeSelector": {TOPOLOGY: "2x4", "none": "x"}},
            [node("a", labels={TOPOLOGY: "2x2"}), node("b", labels={TOPOLOGY: "4x4"})],
            [
                f"wants {TOPOLOGY}=2x4, nodes have 2x2, 4x4; wants none=x, no node has this label",
                f"columns {TOPOLOGY},none",
            ],
        ),
        (
            "0/1 nodes are available: 1 node(s) had untolerated taint(s).",
            {"tolerations": [{"key": "mine", "operator": "Exists"}]},
            [
                node(
                    "a",
                    taints=[
                        {"key": "google.com/tpu", "value": "present", "effect": "NoSchedule"},
                        {"key": "mine", "effect": "NoSchedule"},
                        {"key": "soft", "effect": "PreferNoSchedule"},
                    ],
                )
            ],
            ["untolerated taint(s) (google.com/tpu=present:NoSchedule on 1)", "toleration"],
        ),
        (
            "0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }.",
            {},
            [node("a")],
            ["Nodes are not ready"],
        ),
        ("no nodes available to schedule pods", {}, [], ["There is no node in the cluster"]),
        ("0/1 nodes are available: 1 node(s) were unschedulable.", {}, [node("a")], ["kubectl uncordon"]),
        (
            "0/1 nodes are available: 1 node(s) had volume node affinity conflict.",
            {},
            [node("a")],
            ["its own zone"],
        ),
        ("0/1 nodes are available: 1 something new.", {}, [node("a")], ["1 of 1 nodes: something new"]),
    ],
)
def test_what_stands_behind_the_schedulers_reasons(text, spec, nodes, words):
    found = only(unplaced(text, spec), *nodes)
    assert found.reason == "FailedScheduling" and not found.fatal
    for word in words:
        assert word in f"{found.message} | {found.hint}"


def test_without_the_right_to_list_nodes_the_schedulers_words_have_to_do():
    one = unplaced("0/1 nodes are available: 1 Insufficient google.com/tpu.")
    client = FakeClient(one)
    client.forbidden.add("Node")
    first, denied = explain(client, ref(one))
    assert "the Pod requests 4" in first.message and denied.message.endswith("permission to list nodes.")


def test_required_node_affinity_counts_like_a_selector():
    terms = [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a", "b"]}]}]
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
    assert podspec.node_terms(pod(spec={"affinity": affinity})) == [("zone", "In", ["a", "b"])]


def test_a_request_is_the_sum_of_the_containers_or_the_largest_init_container():
    sizes = [{"resources": {"requests": {"cpu": cpu, "memory": "1Gi"}}} for cpu in ("250m", "1")]
    init = [{"resources": {"limits": {"cpu": "3"}}}, {"resources": {"limits": {"cpu": "2"}}}]
    found = podspec.requests(pod(spec={"containers": sizes, "initContainers": init}))
    assert found == {"cpu": 3.0, "memory": 2 * 2**30}
    assert [podspec.show(value, name) for name, value in found.items()] == ["3", "2Gi"]


@pytest.mark.parametrize(
    ("toleration", "tolerated"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "k", "operator": "Exists"}, True),
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "operator": "Equal", "value": "other"}, False),
        ({"key": "k", "value": "v", "effect": "NoExecute"}, False),
        ({"key": "other", "operator": "Exists"}, False),
    ],
)
def test_tolerations(toleration, tolerated):
    taint = {"key": "k", "value": "v", "effect": "NoSchedule"}
    assert podspec.tolerates(pod(spec={"tolerations": [toleration]}), taint) is tolerated


# --- claims

CLAIM = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}
UNBOUND = "0/1 nodes are available: 1 pod has unbound immediate PersistentVolumeClaims."


def claim(**spec):
    return make("v1", "PersistentVolumeClaim", "data", spec=spec, status={"phase": "Pending"})


@pytest.mark.parametrize(
    ("spec", "reason", "text", "fatal"),
    [
        ({}, "FailedBinding", "no persistent volumes available for this claim and no storage class is set", True),
        ({"storageClassName": "x"}, "ProvisioningFailed", 'storageclass.storage.k8s.io "x" not found', True),
        ({"storageClassName": "x"}, "ProvisioningFailed", "rpc error: quota 'SSD_TOTAL_GB' exceeded", False),
        ({"storageClassName": "x"}, "ExternalProvisioning", "waiting for a volume to be created", False),
        ({"storageClassName": "x"}, "WaitForFirstConsumer", "waiting for first consumer to be created", False),
    ],
)
def test_claims_that_are_not_bound(spec, reason, text, fatal):
    one, using = claim(**spec), unplaced(UNBOUND, CLAIM)
    found = look(
        using, one, event(one, "Older", "x", at="2026-11-21T09:00:00Z", kind="Normal"), event(one, reason, text)
    )
    by_reason = {finding.reason: finding for finding in found}
    assert by_reason[reason].message == text and by_reason[reason].fatal is fatal and by_reason[reason].ref == ref(one)
    assert "(data)" in by_reason["FailedScheduling"].message


def test_each_claim_has_its_own_events():
    one, other = claim(storageClassName="x"), claim(storageClassName="y")
    other["metadata"]["name"] = "more"
    more = {"name": "w", "persistentVolumeClaim": {"claimName": "more"}}
    using = unplaced(UNBOUND, {"volumes": [*CLAIM["volumes"], more]})
    found = look(using, one, other, event(one, "ProvisioningFailed", "no more disks"))
    told = {finding.ref.name: finding.message for finding in found}
    assert told["data"] == "no more disks" and told["more"] == "It is not bound (StorageClass y)"


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({}, "It has no StorageClass."),
        ({"storageClassName": "", "volumeName": "disk"}, "It waits for PersistentVolume disk."),
    ],
)
def test_a_claim_that_nobody_has_looked_at_may_yet_be_bound(spec, told):
    one = claim(**spec)
    found = {finding.ref.name: finding for finding in look(unplaced(UNBOUND, CLAIM), one)}
    assert found["data"].message == told and not found["data"].fatal


def test_a_claim_that_does_not_exist():
    found = only(unplaced('0/1 nodes are available: persistentvolumeclaim "data" not found.', CLAIM))
    assert found.fatal and "Create the PersistentVolumeClaim data in namespace demo" in found.hint


# --- refusals


@pytest.mark.parametrize(
    ("text", "hint", "fatal"),
    [
        (
            'Error creating: pods "x-abc" is forbidden: exceeded quota: small, requested: pods=1, used: pods=2, limited: pods=2',
            "kubectl describe resourcequota small --namespace demo",
            True,
        ),
        (
            'Error creating: pods "x" is forbidden: failed quota: small: must specify limits.cpu,limits.memory',
            "wants limits.cpu,limits.memory",
            True,
        ),
        (
            (
                'create Pod x-0 in StatefulSet x failed error: pods "x-0" is forbidden: error looking up service account '
                'demo/loader: serviceaccount "loader" not found'
            ),
            "kubectl create serviceaccount loader --namespace demo",
            True,
        ),
        (
            (
                'Error creating: pods "x" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != '
                'false (container "main" must set securityContext.allowPrivilegeEscalation=false)'
            ),
            "kubectl label namespace demo pod-security.kubernetes.io/enforce=LEVEL",
            True,
        ),
        (
            'Error creating: pods "x" is forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi',
            "kubectl describe limitrange --namespace demo",
            True,
        ),
        (
            'Error creating: admission webhook "validate.kyverno.svc-fail" denied the request: no latest',
            "webhook validate.kyverno.svc-fail",
            True,
        ),
        (
            (
                'Error creating: Internal error occurred: failed calling webhook "mpod.kb.io": failed to call webhook: Post '
                '"https://kueue.svc:443/mutate": dial tcp 10.0.0.1:443: connect: connection refused'
            ),
            "service behind the admission webhook mpod.kb.io",
            False,
        ),
        (
            "Error creating: pods \"x\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no",
            "ValidatingAdmissionPolicy p",
            True,
        ),
        (
            'Error creating: pods "x" is forbidden: unable to validate against any security context constraint: [...]',
            "add-scc-to-user",
            True,
        ),
        (
            'Error creating: pods "x" is forbidden: no PriorityClass with name high was found',
            "PriorityClass high",
            True,
        ),
        (
            (
                'Error creating: pods "x" is forbidden: unable to create new content in namespace demo because it is being '
                "terminated"
            ),
            "until namespace demo is gone",
            True,
        ),
        ("Error creating: Timeout: request did not complete within requested timeout", "", False),
    ],
)
def test_refusals_of_the_api_server(text, hint, fatal):
    found = refusals.read(text, "demo")
    assert hint in found.hint and bool(hint) is bool(found.hint) and found.fatal is fatal
    assert text.endswith(found.message) and not found.message.startswith(("Error creating", "create Pod", "pods"))


QUOTA = 'Error creating: pods "x" is forbidden: exceeded quota: small, requested: pods=1, used: pods=0, limited: pods=0'


@pytest.mark.parametrize(
    "owner",
    [
        workload("ReplicaSet", status={"replicas": 0}),
        workload("StatefulSet", status={"replicas": 0}),
        workload("DaemonSet", status={"desiredNumberScheduled": 2, "currentNumberScheduled": 1}),
        job(),
        job(spec={"completions": 3, "parallelism": 2}, status={"active": 1, "succeeded": 1}),
    ],
    ids=lambda owner: owner["kind"],
)
def test_controllers_that_may_not_create_pods(owner):
    found = only(owner, event(owner, "FailedCreate", QUOTA))
    assert found.reason == "FailedCreate" and found.fatal and found.ref == ref(owner)
    assert found.message == "exceeded quota: small, requested: pods=1, used: pods=0, limited: pods=0"
    later = event(owner, "SuccessfulCreate", "Created pod", kind="Normal", at="2026-11-21T10:00:06Z")
    assert look(owner, event(owner, "FailedCreate", QUOTA), later) == []


@pytest.mark.parametrize(
    "owner",
    [
        workload("ReplicaSet", status={"replicas": 1}),
        workload("DaemonSet", status={"desiredNumberScheduled": 2, "currentNumberScheduled": 2}),
        job(status={"active": 1}),
        job(spec={"completions": 3, "parallelism": 2}, status={"active": 1, "succeeded": 2}),
    ],
    ids=lambda owner: owner["kind"],
)
def test_a_refusal_that_has_been_overcome_is_no_finding(owner):
    assert look(owner, event(owner, "FailedCreate", QUOTA)) == []


def test_without_events_the_replica_set_itself_tells_the_refusal():
    refused = condition("ReplicaFailure", "True", "FailedCreate", QUOTA.removeprefix("Error creating: "))
    owner = workload("ReplicaSet", status={"replicas": 0, "conditions": [refused]})
    client = FakeClient(owner)
    client.forbidden |= {"Event", "Pod"}
    first, *denied = explain(client, ref(owner))
    assert first.reason == "FailedCreate" and first.fatal
    assert [finding.message.split("permission to ")[1] for finding in denied] == [
        "list pods in namespace demo.",
        "list events in namespace demo.",
    ]


# --- the rest of the evidence


def test_only_the_newest_rollout_of_a_deployment_counts():
    deployment = workload("Deployment")
    sets = [
        workload("ReplicaSet", f"server-{number}", owner=deployment, labels={"app": "server"}) for number in ("9", "10")
    ]
    for replica_set in sets:
        number = replica_set["metadata"]["name"].split("-")[1]
        replica_set["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": number}
        replica_set["spec"]["selector"] = {"matchLabels": {"set": number}}
    pods = [pod(f"of-{one['metadata']['name']}", owner=one, state=waiting("InvalidImageName")) for one in sets]
    for one, number in zip(pods, ("9", "10"), strict=True):
        one["metadata"]["labels"] = {"set": number}
    stranger = pod("stranger", state=waiting("InvalidImageName"))
    stranger["metadata"]["labels"] = {"set": "10"}
    evidence = collect(FakeClient(deployment, *sets, *pods, stranger), ref(deployment))
    assert [one["metadata"]["name"] for one in evidence.pods] == ["of-server-10"]


@pytest.mark.parametrize(
    ("api_version", "kind", "label"),
    [
        ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", "leaderworkerset.sigs.k8s.io/name"),
        ("kro.run/v1alpha1", "GemmaServer", "kro.run/instance-id"),
        ("kro.run/v1alpha1", "GemmaServer", "internal.kro.run/instance-id"),
    ],
)
def test_pods_of_kinds_that_build_on_others_are_found_by_label(api_version, kind, label):
    top = make(api_version, kind, "top", spec={})
    value = top["metadata"]["uid"] if "kro" in label else "top"
    below = workload("StatefulSet", "server", labels={label: value})
    broken = pod(owner=below, state=waiting("InvalidImageName"))
    found = look(top, below, broken)
    assert [finding.reason for finding in found] == ["InvalidImageName"]


def test_job_sets_are_looked_through_too():
    top = make("jobset.x-k8s.io/v1alpha2", "JobSet", "top", spec={})
    below = job("top-workers-0", labels={"jobset.sigs.k8s.io/jobset-name": "top"})
    assert only(top, below, event(below, "FailedCreate", QUOTA)).reason == "FailedCreate"


def test_events_of_an_object_of_the_same_name_before_this_one_do_not_count():
    now, before = job(), job()
    assert look(now, event(before, "FailedCreate", QUOTA)) == []


def test_identical_findings_of_many_pods_are_told_once():
    owner = job(spec={"parallelism": 9, "completions": 9}, status={"active": 9})
    pods = [pod(f"p-{number}", owner=owner, state=waiting("InvalidImageName", "why")) for number in range(9)]
    assert len(look(owner, *pods)) == 1


def test_what_is_fatal_comes_first():
    owner = job(spec={"parallelism": 2, "completions": 2}, status={"active": 2})
    may_heal = pod("a", owner=owner, state=waiting("ErrImagePull", "connection refused"))
    stays = pod("b", owner=owner, state=waiting("InvalidImageName", "why"))
    for pods in ((may_heal, stays), (stays, may_heal)):
        assert [finding.fatal for finding in look(owner, *pods)] == [True, False]


def test_evidence_is_bounded():
    owner = job()
    pods = [pod(f"p-{number:02}", owner=owner, state=waiting("InvalidImageName")) for number in range(30)]
    for number, one in enumerate(pods):
        one["metadata"]["creationTimestamp"] = f"2026-11-21T10:00:{number:02}Z"
    events = [event(owner, f"Reason{number}", "x", at=f"2026-11-21T10:00:{number:02}Z") for number in range(30)]
    evidence = collect(FakeClient(owner, *pods, *events), ref(owner))
    assert [one["metadata"]["name"] for one in evidence.pods] == [f"p-{number:02}" for number in range(29, 9, -1)]
    assert [one["reason"] for one in evidence.events] == [f"Reason{number}" for number in range(10, 30)]
    lines = warning_events(evidence)
    assert len(lines) == 8 and "Reason29" in lines[-1]


def test_an_unknown_warning_is_passed_on_where_nothing_better_is_known():
    service = make("v1", "Service", "s", spec={}, status={})
    about = event(service, "SyncLoadBalancerFailed", "Error syncing load balancer: quota")
    found = only(service, about, event(service, "EnsuringLoadBalancer", "x", kind="Normal"))
    assert (found.reason, found.message, found.fatal) == (
        "SyncLoadBalancerFailed",
        "Error syncing load balancer: quota",
        False,
    )
    broken = pod(state=waiting("InvalidImageName"))
    assert only(broken, event(broken, "MissingClusterDNS", "x")).reason == "InvalidImageName"


def test_events_of_newer_components_have_their_times_elsewhere():
    one = job()
    newer = {"lastTimestamp": None, "count": None, "eventTime": "2026-11-21T10:00:01.000000Z"}
    series = {"count": 7, "lastObservedTime": "2026-11-21T10:09:00.000000Z"}
    events = [event(one, "B", "b", **newer, series=series), event(one, "A", "a", at="2026-11-21T10:05:00Z")]
    first, second = warning_events(collect(FakeClient(one, *events), ref(one)))
    assert "A: a" in first and second == "2026-11-21T10:09:00.000000Z Job sync: B: b (x7)"


@pytest.mark.parametrize(
    ("reason", "spec", "words"),
    [
        ("BackoffLimitExceeded", {}, "(backoffLimit 6)"),
        ("DeadlineExceeded", {"activeDeadlineSeconds": 30}, "(activeDeadlineSeconds 30)"),
        ("MaxFailedIndexesExceeded", {}, "too many"),
    ],
)
def test_failed_jobs(reason, spec, words):
    failed = {"conditions": [condition("Failed", "True", reason, "too many")]}
    template = {"template": {"spec": {"restartPolicy": "OnFailure"}}}
    found = only(job(spec={**spec, **template}, status=failed))
    assert found.reason == reason and words in found.message and "restartPolicy: Never keeps them" in found.hint


def test_an_object_that_does_not_exist_and_a_pod_that_is_ready_have_no_findings():
    assert explain(FakeClient(), Ref("v1", "Pod", "none", "demo")) == []
    fine = pod(
        status={"phase": "Running", "conditions": [condition("Ready")]}, state={"running": {}}, lastState=ended(1)
    )
    assert look(fine) == []


def test_other_refusals_are_not_swallowed():
    client = FakeClient(job())

    def refuse(*_args, **_options):
        raise ApiError("expired", status=401)

    client.list = refuse
    with pytest.raises(ApiError, match="expired"):
        collect(client, ref(client.objects[0]))
