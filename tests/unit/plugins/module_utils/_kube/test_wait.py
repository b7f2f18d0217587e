# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._kube import diagnose
from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Ref
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import (
    ApiError,
    InputError,
    UnavailableError,
    WaitError,
)
from ansible_collections.modelops.serving.plugins.module_utils._kube.wait import (
    Condition,
    JsonPath,
    Target,
    Waiter,
    assess,
    judge,
)
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._kube.scenes import (
    FakeClient,
    condition,
    ended,
    event,
    job,
    make,
    pod,
    ref,
    uid,
    waiting,
    workload,
)

LATE = condition("Progressing", "False", "ProgressDeadlineExceeded", "has timed out", lastUpdateTime="T1")
READY = {"replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2}


def deployment(status=None, **spec):
    return workload("Deployment", spec={"replicas": 2, **spec}, status=status)


def stateful_set(status, **spec):
    revisions = {"currentRevision": "a", "updateRevision": "a"}
    return workload("StatefulSet", spec={"replicas": 2, **spec}, status={**revisions, **status})


def daemon_set(*, desired, updated, available):
    numbers = {"desiredNumberScheduled": desired, "updatedNumberScheduled": updated, "numberAvailable": available}
    return workload("DaemonSet", status=numbers)


def custom(*conditions, group="example.com/v1", kind="Thing", spec=None, **status):
    return make(group, kind, "x", spec=spec or {}, status={"conditions": list(conditions), **status})


def route(*parents):
    parents = [{"parentRef": {"name": "gw"}, "conditions": list(parent)} for parent in parents]
    return make("gateway.networking.k8s.io/v1", "HTTPRoute", "r", status={"parents": parents})


def gateway(*conditions):
    return custom(*conditions, group="gateway.networking.k8s.io/v1", kind="Gateway")


def worker_set(*conditions, ready=2):
    kind = {"group": "leaderworkerset.x-k8s.io/v1", "kind": "LeaderWorkerSet"}
    return custom(*conditions, spec={"replicas": 2}, readyReplicas=ready, updatedReplicas=2, **kind)


def kro(state=None, *conditions):
    return custom(*conditions, group="kro.run/v1alpha1", kind="GemmaServer", **({"state": state} if state else {}))


def service(**more):
    return make("v1", "Service", "s", spec={"type": "LoadBalancer"}, status=more)


def crd(*conditions):
    return custom(*conditions, group="apiextensions.k8s.io/v1", kind="CustomResourceDefinition")


def job_set(*conditions):
    return custom(*conditions, group="jobset.x-k8s.io/v1alpha2", kind="JobSet")


def claim(phase):
    return make("v1", "PersistentVolumeClaim", "data", spec={}, status={"phase": phase})


def simple_pod(phase, *conditions, **status):
    return pod(status={"phase": phase, "conditions": list(conditions), **status})


@pytest.mark.parametrize(
    ("obj", "state", "word"),
    [
        (deployment(READY), "ready", "2/2"),
        (deployment(READY | {"availableReplicas": 1}), "waiting", "1/2"),
        (deployment(READY | {"updatedReplicas": 1}), "waiting", "1 of the old ones left"),
        (deployment(READY | {"replicas": 3}), "waiting", "1 of the old ones left"),
        (deployment(READY | {"observedGeneration": 0}), "waiting", "not yet seen"),
        (workload("Deployment", spec={"replicas": 0}), "ready", "0/0"),
        (make("apps/v1", "Deployment", "new", spec={"replicas": 0}), "waiting", "0/0"),
        (deployment({"conditions": [LATE]}), "failed", "ProgressDeadlineExceeded: has timed out"),
        (deployment(READY | {"conditions": [LATE]}), "ready", "2/2"),
        (
            deployment({"conditions": [condition("ReplicaFailure", "True", "FailedCreate", "quota")]}),
            "waiting",
            "quota",
        ),
        (deployment({}, paused=True), "waiting", "paused"),
        (workload("ReplicaSet", status={"availableReplicas": 1}), "ready", "1/1"),
        (workload("ReplicaSet", status={}), "waiting", "0/1"),
        (stateful_set({"readyReplicas": 2}), "ready", "2/2"),
        (stateful_set({"readyReplicas": 1}), "waiting", "1/2"),
        (stateful_set({"readyReplicas": 2, "updateRevision": "b", "updatedReplicas": 1}), "waiting", "1/2 updated"),
        (stateful_set({"readyReplicas": 2, "availableReplicas": 1}, minReadySeconds=9), "waiting", "1/2"),
        (
            stateful_set(
                {"readyReplicas": 2, "updateRevision": "b", "updatedReplicas": 1},
                updateStrategy={"rollingUpdate": {"partition": 1}},
            ),
            "ready",
            "1/1 updated",
        ),
        (
            stateful_set({"readyReplicas": 2, "updateRevision": "b"}, updateStrategy={"type": "OnDelete"}),
            "ready",
            "2/2",
        ),
        (daemon_set(desired=0, updated=0, available=0), "ready", "0/0"),
        (daemon_set(desired=2, updated=2, available=2), "ready", "2/2"),
        (daemon_set(desired=2, updated=1, available=2), "waiting", "1 updated"),
        (daemon_set(desired=2, updated=2, available=1), "waiting", "1/2"),
        (job(status={"conditions": [condition("Complete")], "succeeded": 3}), "ready", "3 succeeded"),
        (
            job(status={"conditions": [condition("Failed", "True", "BackoffLimitExceeded", "limit")], "failed": 7}),
            "failed",
            "BackoffLimitExceeded: limit",
        ),
        (job(status={"conditions": [condition("Failed", "True", "DeadlineExceeded")]}), "failed", "DeadlineExceeded"),
        (job(status={"conditions": [condition("FailureTarget", "True", "PodFailurePolicy")]}), "failed", "PodFailure"),
        (job(status={"conditions": [condition("SuccessCriteriaMet")]}), "waiting", "0/1"),
        (
            job(spec={"completions": 4}, status={"active": 2, "succeeded": 1, "failed": 1}),
            "waiting",
            "1/4 succeeded, 1 f",
        ),
        (job(status={"failedIndexes": "1,3-5"}), "waiting", "failed indexes 1,3-5"),
        (job(spec={"suspend": True}), "waiting", "suspended"),
        (make("batch/v1", "CronJob", "c", spec={}, status={}), "ready", "exists"),
        (simple_pod("Running", condition("Ready")), "ready", "Running"),
        (simple_pod("Running", condition("Ready", "False", "ContainersNotReady", "unready")), "waiting", "not Ready"),
        (simple_pod("Succeeded"), "ready", "Succeeded"),
        (simple_pod("Failed", reason="Evicted", message="low on ephemeral-storage"), "failed", "Evicted: low on"),
        (pod(status={"phase": "Failed"}, state=ended(3)), "failed", "main exited with 3"),
        (pod(state=waiting("ErrImagePull")), "waiting", "main: ErrImagePull"),
        (
            simple_pod("Pending", condition("PodScheduled", "False", "Unschedulable", "0/1 nodes")),
            "waiting",
            "0/1 nodes",
        ),
        (claim("Bound"), "ready", "Bound"),
        (claim("Pending"), "waiting", "Pending"),
        (claim("Lost"), "failed", "Lost"),
        (service(loadBalancer={"ingress": [{"ip": "192.0.2.7"}]}), "ready", "192.0.2.7"),
        (service(loadBalancer={"ingress": [{"hostname": "lb.example"}]}), "ready", "lb.example"),
        (service(loadBalancer={}), "waiting", "no load balancer"),
        (make("v1", "Service", "s", spec={"type": "ClusterIP"}), "ready", "exists"),
        (make("v1", "Namespace", "n", status={"phase": "Active"}), "ready", "Active"),
        (make("v1", "Namespace", "n", status={"phase": "Terminating"}), "failed", "Terminating"),
        (crd(condition("Established")), "ready", "Established"),
        (crd(condition("NamesAccepted", "False", "ListKindConflict", "taken")), "failed", "ListKindConflict: taken"),
        (crd(), "waiting", "not Established"),
        (worker_set(condition("Available")), "ready", "2/2"),
        (worker_set(condition("Available"), condition("UpdateInProgress")), "waiting", "2/2"),
        (worker_set(condition("Available"), ready=1), "waiting", "1/2"),
        (worker_set(condition("Progressing")), "waiting", "2/2"),
        (job_set(condition("Completed")), "ready", "Completed"),
        (job_set(condition("Failed", "True", "FailedJobs", "a job")), "failed", "FailedJobs: a job"),
        (job_set(), "waiting", "not Completed"),
        (kro("ACTIVE"), "ready", "ACTIVE"),
        (kro("ACTIVE", condition("Ready", "False", "NotReady", "soon")), "waiting", "soon"),
        (kro("IN_PROGRESS"), "waiting", "IN_PROGRESS"),
        (kro("ERROR", condition("Ready", "False", "ReconcileFailed", "no CRD")), "failed", "no CRD"),
        (kro(), "waiting", "not seen"),
        (gateway(condition("Accepted"), condition("Programmed")), "ready", "Programmed"),
        (gateway(condition("Accepted"), condition("Programmed", "False", "Pending")), "waiting", "Pending"),
        (gateway(condition("Accepted", "False", "Invalid", "bad")), "failed", "Invalid: bad"),
        (gateway(condition("Accepted", "False", "Pending")), "waiting", ""),
        (route(), "waiting", "not seen"),
        (route([condition("Accepted")]), "ready", "1 of 1"),
        (route([condition("Accepted")], []), "waiting", "1 of 2"),
        (
            route([condition("Accepted"), condition("ResolvedRefs", "False", "BackendNotFound", "x")]),
            "failed",
            "BackendN",
        ),
        (custom(condition("Ready")), "ready", "Ready"),
        (custom(condition("Ready", "False", "Why", "because")), "waiting", "Why: because"),
        (custom(condition("Ready"), condition("Stalled", "True", "Broken")), "failed", "Stalled: Broken"),
        (custom(condition("Ready", observedGeneration=0)), "ready", "Ready"),
        (custom(condition("Odd", "False")), "ready", "exists"),
        (make("v1", "ConfigMap", "c", data={}), "ready", "exists"),
    ],
    ids=lambda value: f"{value['kind']}" if isinstance(value, dict) else "",
)
def test_success_and_failure_of_every_kind(obj, state, word):
    verdict = assess(obj)
    assert verdict.state == state, verdict
    assert word in verdict.message


def test_a_condition_of_an_older_generation_says_nothing():
    obj = make("example.com/v1", "Thing", "x", generation=3)
    obj["status"] = {"conditions": [condition("Ready", observedGeneration=2)]}
    assert assess(obj).state == "waiting"
    assert not Condition("Ready").met(obj)
    obj["status"]["conditions"][0]["observedGeneration"] = 3
    assert assess(obj).state == "ready"
    assert Condition("Ready").met(obj)


def test_an_object_that_is_being_deleted_has_failed_and_names_what_holds_it():
    obj = deployment(READY)
    obj["metadata"] |= {"deletionTimestamp": "T9", "finalizers": ["example.com/hold"]}
    verdict = assess(obj)
    assert verdict.state == "failed" and "T9" in verdict.message and "example.com/hold" in verdict.message


def test_failures_that_may_be_taken_back_are_marked():
    assert not assess(kro("ERROR")).lasting
    assert not assess(custom(condition("Stalled"))).lasting
    assert assess(job(status={"conditions": [condition("Failed")]})).lasting
    assert assess(deployment({"conditions": [LATE]})).since == "T1"


# --- what the caller waits for

THING = {
    "metadata": {"annotations": {"a.b/c": "1"}, "generation": 1},
    "status": {
        "phase": "Running",
        "n": 3,
        "on": True,
        "nothing": None,
        "conditions": [{"type": "Ready", "status": "True"}, {"type": "Odd", "status": "False"}],
        "all": [{"s": "a"}, {"s": "a"}],
    },
}


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("{.status.phase}=Running", True),
        ("{.status.phase}=running", False),
        ("{.status.phase}", True),
        ("{status.phase}='Running'", True),
        ("{$.status.phase}=Running", True),
        ("{.status.n}=3", True),
        ("{.status.on}=true", True),
        ("{.status.on}=True", False),
        ("{.status.nothing}", False),
        ("{.status.none.at.all}", False),
        ("{.status['phase']}=Running", True),
        ('{.metadata.annotations["a.b/c"]}=1', True),
        (r"{.metadata.annotations.a\.b/c}=1", True),
        ("{.status.conditions[0].type}=Ready", True),
        ("{.status.conditions[-1].type}=Odd", True),
        ("{.status.conditions[2].type}", False),
        ('{.status.conditions[?(@.type=="Ready")].status}=True', True),
        ("{.status.conditions[?(@.type=='Odd')].status}=True", False),
        ("{.status.conditions[?(@.type=='Gone')].status}", False),
        ("{.status.all[*].s}=a", True),
        ("{.status.conditions[*].type}=Ready", False),
        ("{.status}=anything", False),
        ("{.status.phase[0]}", False),
    ],
)
def test_json_path(text, met):
    assert JsonPath.parse(text).met(THING) is met


@pytest.mark.parametrize(
    "text",
    [
        "status.phase=Running",
        "{}",
        "{.}",
        "{..phase}",
        "{.a[1:2]}",
        "{.a[0,1]}",
        "{.a[?(@.b>1)]}",
        "{.a[?(@.b)]}",
        "{range .items[*]}{.x}{end}",
        "{.a.length()}",
        "{__import__('os')}",
        "{.a[b]}",
    ],
)
def test_what_is_not_supported_of_json_path_is_refused(text):
    with pytest.raises(InputError):
        JsonPath.parse(text)


@pytest.mark.parametrize(
    ("wanted", "met"),
    [
        (Condition("Ready"), True),
        (Condition("ready", "true"), True),
        (Condition("Ready", "False"), False),
        (Condition("Odd", "False"), True),
        (Condition("Ready", reason="Because"), False),
        (Condition("Gone", "False"), False),
    ],
)
def test_condition(wanted, met):
    assert wanted.met(THING) is met


def test_the_callers_conditions_come_before_the_kinds_own_and_keep_its_failures():
    complete, failed = condition("Complete"), condition("Failed", "True", "BackoffLimitExceeded", "limit")
    target = Target(Ref("batch/v1", "Job", "x", "demo"), success=Condition("Failed"))
    assert judge(target, job(status={"conditions": [failed]})).state == "ready"
    assert judge(target, job(status={"conditions": [complete]})).state == "waiting"
    target = Target(target.ref, success=JsonPath("{.status.active}", "2"), failure=(JsonPath("{.status.failed}", "1"),))
    assert judge(target, job(status={"active": 2})).state == "ready"
    assert judge(target, job(status={"active": 1, "failed": 1})).state == "failed"
    assert judge(target, job(status={"conditions": [failed]})).state == "failed"


def test_a_status_of_before_the_change_meets_nothing():
    target = Target(Ref("apps/v1", "Deployment", "server", "demo"), success=Condition("Available"))
    obj = deployment({"conditions": [condition("Available")], "observedGeneration": 0})
    assert judge(target, obj).state == "waiting"
    obj["status"]["observedGeneration"] = 1
    assert judge(target, obj).state == "ready"


# --- the waiter


class Story:
    """A waiter on a clock that only moves when it sleeps; ``at`` changes the cluster at a time."""

    def __init__(self, *objects, timeout=60.0, **options):
        self.client = FakeClient(*objects)
        self.now = 0.0
        self.sleeps = []
        self.script = []
        self.lines = []
        self.waiter = Waiter(
            self.client,
            timeout=timeout,
            sleep=self.sleep,
            monotonic=lambda: self.now,
            on_progress=self.lines.append,
            **options,
        )

    def at(self, when, change):
        self.script.append((when, change))
        return self

    def sleep(self, seconds):
        self.sleeps.append(seconds)
        self.now += seconds
        for entry in [entry for entry in self.script if entry[0] <= self.now]:
            self.script.remove(entry)
            entry[1]()

    def wait(self, *targets):
        return self.waiter.wait([item if isinstance(item, (Ref, Target)) else ref(item) for item in targets])

    def fails(self, *targets):
        with pytest.raises(WaitError) as caught:
            self.wait(*targets)
        return caught.value


def set_status(obj, **status):
    return lambda: obj["status"].update(status)


def test_what_is_ready_needs_one_look_and_no_sleep():
    one, two = deployment(READY), make("v1", "ConfigMap", "c")
    story = Story(one, two)
    assert story.wait(one, two) == {ref(one): one, ref(two): two}
    assert story.client.gets == [ref(one), ref(two)] and story.sleeps == []


def test_one_get_per_object_and_look_until_each_is_ready():
    fast, slow = deployment(READY), job()
    story = Story(fast, slow).at(3, set_status(slow, conditions=[condition("Complete")]))
    story.wait(fast, slow)
    assert story.client.gets == [ref(fast)] + [ref(slow)] * (len(story.sleeps) + 1)
    assert all(1.6 <= pause <= 2.4 for pause in story.sleeps)


def test_pods_that_became_ready_must_be_so_twice():
    """Without a readinessProbe a container is ready until it crashes."""
    one = deployment({})
    story = Story(one, interval=2)
    story.at(3, set_status(one, **READY)).at(5, set_status(one, availableReplicas=1))
    story.at(20, set_status(one, availableReplicas=2)).wait(one)
    assert 21.5 < story.now < 26


def test_pods_that_are_ready_when_they_appear_must_be_so_twice_too():
    late = deployment(READY)
    story = Story().at(3, lambda: story.client.objects.append(late))
    story.wait(late)
    assert story.now - story.sleeps[-1] >= 3  # the look before the last one has seen them, too


def test_pods_that_became_ready_just_before_the_deadline_are_ready():
    one = deployment({})
    Story(one, timeout=20).at(20, set_status(one, **READY)).wait(one)


def test_the_poll_is_never_faster_than_half_a_second():
    slow = job()
    story = Story(slow, interval=0.01).at(2, set_status(slow, conditions=[condition("Complete")]))
    story.wait(slow)
    assert all(pause >= 0.4 for pause in story.sleeps)


def test_the_first_terminal_failure_ends_the_wait():
    fine, broken = job("fine"), job("broken")
    failed = condition("Failed", "True", "BackoffLimitExceeded", "limit")
    story = Story(fine, broken).at(10, set_status(broken, conditions=[failed]))
    error = story.fails(fine, broken)
    assert "Job demo/broken failed after" in error.message and "BackoffLimitExceeded: limit" in error.message
    assert not error.timed_out and error.last["metadata"]["name"] == "broken" and story.now < 14


def test_the_deadline_tells_all_that_is_not_ready():
    one, two = deployment({}), job()
    story = Story(one, two, timeout=30)
    error = story.fails(one, two)
    assert error.timed_out and 30 <= story.now <= 30.5
    assert "Deployment demo/server is not ready after 30 seconds: 0/2 replicas available" in error.message
    assert "Also not ready: Job demo/sync" in error.message and "kubectl describe deployment.apps server" in error.hint


def test_an_object_may_appear_late_or_never():
    late = deployment(READY)
    story = Story().at(7, lambda: story.client.objects.append(late))
    assert story.wait(late) == {ref(late): late}
    error = Story().fails(late)
    assert "Deployment demo/server never appeared in 60 seconds" in error.message and error.timed_out


def test_deletion_during_the_wait_is_a_failure():
    gone = job()
    story = Story(gone).at(5, lambda: story.client.objects.remove(gone))
    error = story.fails(gone)
    assert "was deleted while it was waited for" in error.message and "ttlSecondsAfterFinished" in error.hint


def test_an_api_server_that_is_away_for_a_while_is_waited_for():
    one = deployment({})
    story = Story(one)

    def away():
        raise UnavailableError("connection refused")

    def back():
        story.client.hook = lambda: None

    story.at(4, lambda: setattr(story.client, "hook", away)).at(40, back).at(50, set_status(one, **READY))
    story.wait(one)
    assert any("does not answer: connection refused" in line for line in story.lines)


def test_an_api_server_that_stays_away_is_named_at_the_deadline():
    one = deployment({})
    story = Story(one)

    def away():
        raise UnavailableError("connection refused")

    error = story.at(4, lambda: setattr(story.client, "hook", away)).fails(one)
    assert error.timed_out and "did not answer at the end: connection refused" in error.message
    assert "0/2 replicas available" in error.message


def test_a_failure_right_after_the_api_server_came_back_is_explained():
    one = job(status={"active": 1})
    broken = pod(owner=one, state=ended(3))
    story = Story(one, broken)

    def away():
        raise UnavailableError("connection refused")

    def back():
        story.client.hook = lambda: None
        one["status"]["conditions"] = [condition("Failed", "True", "BackoffLimitExceeded")]

    error = story.at(2, lambda: setattr(story.client, "hook", away)).at(20, back).fails(one)
    assert "did not answer" not in error.message and "exit code 3" in error.message


def test_an_explanation_that_goes_wrong_does_not_end_the_wait():
    one = job(status={"active": 1})
    story = Story(one)

    def refuse(*_args, **_options):
        raise ApiError("no such thing", status=400)

    story.client.list = refuse
    story.at(30, set_status(one, conditions=[condition("Complete")])).wait(one)
    one["status"]["conditions"] = [condition("Failed", "True", "BackoffLimitExceeded")]
    assert "BackoffLimitExceeded" in story.fails(one).message


def test_what_is_refused_is_not_waited_for():
    story = Story(deployment({}))
    story.client.forbidden.add("Deployment")
    with pytest.raises(ApiError):
        story.wait(*story.client.objects)
    assert story.sleeps == []


def stuck(reason="InvalidImageName"):
    owner = job(status={"active": 1})
    return owner, pod(owner=owner, state=waiting(reason, "invalid reference format"))


def test_something_fatal_ends_the_wait_after_the_patience():
    owner, broken = stuck()
    story = Story(owner, broken, timeout=600, patience=10)
    error = story.fails(owner)
    assert not error.timed_out and 12 <= story.now < 17
    assert "does not become ready by itself" in error.message and "InvalidImageName" in error.message
    assert [finding.reason for finding in error.findings] == ["InvalidImageName"]
    assert "Correct the image's name" in error.message


def test_something_fatal_that_is_put_right_in_time_does_not_end_the_wait():
    owner, broken = stuck()
    story = Story(owner, broken, timeout=600, patience=10)
    story.at(12, lambda: story.client.objects.remove(broken))
    story.at(60, set_status(owner, conditions=[condition("Complete")]))
    story.wait(owner)


def test_patience_counts_from_when_it_was_last_well():
    owner, broken = stuck()
    story = Story(owner, broken, timeout=600, patience=10)
    story.at(12, lambda: story.client.objects.remove(broken)).at(40, lambda: story.client.objects.append(broken))
    story.fails(owner)
    assert story.now >= 50


def test_a_changing_name_of_one_trouble_does_not_start_the_patience_anew():
    """A crashing container is Error, then CrashLoopBackOff, then Error again."""
    owner = deployment({})
    replica_set = workload("ReplicaSet", owner=owner, status={"replicas": 1}, labels={"app": "server"})
    crashing = pod(owner=replica_set, state=ended(1), restartCount=9, status={"phase": "Running"})
    story = Story(owner, replica_set, crashing, timeout=600, patience=12)
    one = crashing["status"]["containerStatuses"][0]
    story.at(10, lambda: one.update(state=waiting("CrashLoopBackOff"), lastState=ended(1)))
    story.fails(owner)
    assert story.now < 25


def test_what_may_heal_is_told_but_does_not_end_the_wait():
    owner = job(status={"active": 1})
    unplaced = pod(
        owner=owner,
        status={
            "conditions": [
                condition("PodScheduled", "False", "Unschedulable", "0/1 nodes are available: 1 Insufficient cpu.")
            ]
        },
    )
    story = Story(owner, unplaced, timeout=100)
    error = story.fails(owner)
    assert error.timed_out and "FailedScheduling: Pod demo/server-abc: 1 of 1 nodes: Insufficient cpu" in error.message
    assert story.lines[0] == "waiting for Job demo/sync: 1 active, 0/1 succeeded"
    assert "FailedScheduling" in story.lines[1] and len(story.lines) == 2


def test_a_failure_older_than_the_wait_counts_only_when_it_comes_again():
    old = deployment({"conditions": [dict(LATE)]})
    story = Story(old, timeout=100).at(50, set_status(old, **READY))
    story.wait(old)
    new = deployment({"conditions": [dict(LATE)]})
    story = Story(new, timeout=100).at(50, set_status(new, conditions=[LATE | {"lastUpdateTime": "T2"}]))
    error = story.fails(new)
    assert not error.timed_out and "ProgressDeadlineExceeded" in error.message and 50 <= story.now < 55


def test_a_failure_that_is_taken_back_within_the_patience_does_not_count():
    one = kro("ERROR")
    story = Story(one, patience=10).at(8, set_status(one, state="ACTIVE"))
    story.wait(one)
    one = kro("ERROR")
    assert not Story(one, patience=10).fails(one).timed_out


def test_a_claim_that_waits_for_its_first_consumer_is_not_waited_for():
    one = claim("Pending")
    about = event(one, "WaitForFirstConsumer", "waiting for first consumer to be created before binding", kind="Normal")
    story = Story(one, about)
    assert story.wait(one) == {ref(one): one} and story.now < 10
    error = Story(one, about).fails(Target(ref(one), success=JsonPath("{.status.phase}", "Bound")))
    assert error.timed_out and "WaitForFirstConsumer" in error.message


def test_the_error_holds_events_and_logs_through_the_redaction():
    owner = job(status={"active": 1})
    crashing = pod(owner=owner, state=waiting("CrashLoopBackOff"), lastState=ended(1), restartCount=2)
    about = event(crashing, "BackOff", "Back-off restarting s3cret container", count=5)
    story = Story(owner, crashing, about, timeout=20, redact=lambda text: text.replace("s3cret", "****"))
    story.client.log["main", True] = "starting\nkey is s3cret"
    error = story.fails(owner)
    assert "(x5)" in error.message and "Back-off restarting **** container" in error.message
    assert "End of the log of container main of Pod demo/server-abc:\n  starting\n  key is ****" in error.message
    assert "s3cret" not in str(error) and "s3cret" not in str(error.findings)


def test_progress_is_one_line():
    owner, broken = stuck()
    broken["status"]["containerStatuses"][0]["state"] = waiting("InvalidImageName", "one\n  two\n" + "x" * 2000)
    story = Story(owner, broken)
    story.fails(owner)
    assert "Image registry.example/server:1: one two xxx" in story.lines[-1]
    assert all("\n" not in line and len(line) <= 600 for line in story.lines)


def test_logs_of_pods_that_are_gone_with_their_job_are_kept():
    owner = job(status={"active": 1}, spec={"template": {"spec": {"restartPolicy": "OnFailure"}}})
    crashing = pod(owner=owner, state=waiting("CrashLoopBackOff"), lastState=ended(1), restartCount=2)
    story = Story(owner, crashing)
    story.client.log["main", True] = "no such bucket"
    story.at(20, lambda: story.client.objects.remove(crashing))
    story.at(20, set_status(owner, conditions=[condition("Failed", "True", "BackoffLimitExceeded", "limit")]))
    error = story.fails(owner)
    assert "no such bucket" in error.message and "restartPolicy: Never" in error.message


def test_every_object_read_is_handed_on():
    seen = []
    one = job()
    story = Story(one, on_tick=lambda obj: seen.append(obj["metadata"]["name"]))
    story.at(5, set_status(one, conditions=[condition("Complete")])).wait(one)
    assert seen == ["sync"] * len(story.client.gets[: len(seen)]) and len(seen) >= 3


# --- deletion


def test_gone_is_gone_also_when_another_of_the_same_name_is_there():
    one, two = deployment(READY), deployment(READY)
    story = Story(one)
    story.waiter.wait_gone([Ref("v1", "Pod", "none", "demo")])
    story.at(5, lambda: story.client.objects.remove(one)).waiter.wait_gone([ref(one)])
    assert uid(one) != uid(two)
    story = Story(one).at(5, lambda: story.client.objects.__setitem__(0, two))
    story.waiter.wait_gone([ref(one)])


def test_a_namespace_that_does_not_go_names_what_is_left():
    left = "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"
    one = make("v1", "Namespace", "demo", spec={"finalizers": ["kubernetes"]})
    one["metadata"]["deletionTimestamp"] = "T9"
    one["status"] = {"phase": "Terminating", "conditions": [condition("NamespaceFinalizersRemaining", message=left)]}
    with pytest.raises(WaitError) as caught:
        Story(one, timeout=20).waiter.wait_gone([ref(one)])
    assert "is still there after 20 seconds: being deleted since T9" in caught.value.message
    assert left in caught.value.message and caught.value.timed_out
    assert caught.value.findings[0].reason == "NamespaceFinalizersRemaining"


def test_an_object_that_nobody_deletes_is_told_so():
    one = deployment(READY)
    with pytest.raises(WaitError, match="nobody has asked to delete it"):
        Story(one, timeout=5).waiter.wait_gone([ref(one)])


def test_it_is_asked_often_at_first_and_then_now_and_then(monkeypatch):
    story, asked = Story(job(), timeout=120), []
    collect = diagnose.collect
    monkeypatch.setattr(diagnose, "collect", lambda *given: (asked.append(story.now), collect(*given))[1])
    story.fails(job())
    early = [when for when in asked if when <= 30]
    late = [when for when in asked if 40 <= when < 120]
    assert early[0] < 5 and 6 <= len(early) <= 10 and 6 <= len(late) <= 8
