# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""model_status against a real store, a Hub and a cluster: every state that a step can be in, in few runs."""

from __future__ import annotations

import itertools
import json
import random
import time

import pytest

MODULE, SYNC = "modelops.serving.model_status", "modelops.serving.model_sync"
_numbers = itertools.count()


@pytest.fixture
def repository(hub):
    """Two small commits, main at the first."""
    name = f"test/status-{next(_numbers)}"
    hub.add_repository(name, {"config.json": b"{}", "weights.bin": random.Random(0).randbytes(50_000)})
    hub.commit(name, {"weights.bin": random.Random(1).randbytes(50_000)}, "second", move_main=False)
    return hub.repository(name)


@pytest.fixture
def model(sync, repository):
    sync.repo = repository.name
    return sync


def options(model, **changes):
    source = {"repo": model.repo, "endpoint": model.hub.endpoint, **changes.pop("source", {})}
    return {"name": model.name, "source": source, "destinations": [model.destination], **changes}


def status(model, *, keywords=None, **changes):
    return {MODULE: options(model, **changes), **(keywords or {})}


def states(result):
    return [(step["step"], step["state"]) for step in result["steps"]]


def at(model, prefix, **changes):
    """The usual destination with another prefix."""
    return {**model.destination, "prefix": f"{model.prefix}/{prefix}", **changes}


def interrupt(model, **destinations):
    """Begin runs and end each with its signal once it has said what it is about to write."""
    source = {**model.request()["source"], "repo": "local/sharded-llama"}
    runs = {prefix: model.start(source=source, destinations=[at(model, prefix)]) for prefix in destinations}
    try:
        deadline = time.monotonic() + 60
        for prefix, process in runs.items():
            key = f"{model.prefix}/{prefix}/{model.name}/.model-sync/pending.json"
            while not model.client.list_objects_v2(Bucket=model.bucket, Prefix=key).get("Contents"):
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
    finally:
        for prefix, process in runs.items():
            getattr(process, destinations[prefix])()
        for process in runs.values():
            process.communicate()


def test_every_state(model, repository, hub, playbooks, proxy):
    first, second = repository.commits
    model.run(destinations=[at(model, "complete"), at(model, "corrupt")])
    model.client.put_object(
        Bucket=model.bucket, Key=f"{model.prefix}/corrupt/{model.name}/config.json", Body=b"something else"
    )
    hub.faults.add("throttle", role="cdn", bytes_per_second=2_000_000)
    interrupt(model, stopped="terminate", killed="kill")
    prefixes = ("complete", "corrupt", "stopped", "killed", "absent")
    gated, token = {"repo": "local/gated-llama"}, hub.tokens["reader"]
    refused = at(model, "complete", secret_key="canary-of-a-test")
    complete = {"destinations": [at(model, "complete")]}
    fails = {"ignore_errors": True}
    proxy.passed.clear()

    run = playbooks.tasks(
        [
            status(model, destinations=[*(at(model, prefix) for prefix in prefixes), refused]),
            status(model, **complete, verify=True, keywords={"check_mode": True}),
            status(model, **complete, source={"revision": second}),
            status(model, source=gated),
            status(model, source={**gated, "token": token}),
            status(model, **complete, source={"endpoint": "http://127.0.0.1:1"}, attempts=1),
            status(model, destinations=[at(model, "absent"), refused], wait=True, keywords=fails),
            status(model, wait=True, wait_timeout=1, keywords=fails),
        ],
    ).ok()
    every, ready, outdated, closed, opened, offline, at_once, late = run.results

    assert states(every) == [
        ("source", "done"),
        ("copy", "done"),
        ("copy", "failed"),
        ("copy", "failed"),
        ("copy", "running"),
        ("copy", "missing"),
        ("copy", "failed"),
    ]
    _source, _complete, corrupt, stopped, killed, absent, forbidden = every["steps"]
    assert not every["ready"]
    assert every["next_action"] == corrupt["next"] == "Run modelops.serving.model_sync. What is damaged is sent again."
    assert corrupt["message"].startswith("Corrupt: config.json: ")
    assert " that began at 20" in stopped["message"]
    assert " has stopped: " in stopped["message"] and " of 12 files are there." in stopped["message"]
    assert stopped["next"].endswith("It goes on from there.")
    assert killed["message"].endswith(" holds the lease.")
    assert (absent["message"], absent["next"]) == ("There is no copy.", "Run modelops.serving.model_sync.")
    assert "SignatureDoesNotMatch" in forbidden["message"] and forbidden["next"]

    assert ready["ready"] and ready["revision"] == first
    assert (ready["next_action"], states(ready)) == ("", [("source", "done"), ("copy", "done")])
    assert ready["summary"] == f"model is ready: 1 complete copy at revision {first}."
    assert states(outdated) == [("source", "done"), ("copy", "outdated")]
    assert outdated["summary"].endswith(f"Complete at revision {first}; the source is at {second}.")

    assert states(closed) == [("source", "failed"), ("copy", "missing")]
    assert closed["next_action"].startswith(f"Ask for access at {hub.endpoint}/local/gated-llama")
    assert closed["steps"][0]["subject"] == "Hugging Face Hub local/gated-llama"
    assert states(opened) == [("source", "done"), ("copy", "missing")]
    assert states(offline) == [("source", "unknown"), ("copy", "done")]
    assert not offline["ready"]

    assert at_once["failed"] and "will not become ready by itself" in at_once["msg"]
    assert "is missing: There is no copy." in at_once["msg"] and "SignatureDoesNotMatch" in at_once["msg"]
    url = f"s3://{model.bucket}/{model.key('')}"
    assert late["failed"]
    assert late["msg"].startswith(f"model is not ready after 1 seconds. {url} is missing: There is no copy.")
    assert (late["ready"], states(late)) == (False, [("source", "done"), ("copy", "missing")])

    assert not any(result.get("changed") for result in run.results)
    assert proxy.passed and not proxy.writes()
    assert token not in run.output and "canary-of-a-test" not in run.output


def test_wait_while_the_model_is_synced(model, repository, hub, playbooks):
    hub.faults.add("throttle", role="cdn", bytes_per_second=10_000)
    run = playbooks.tasks(
        [{SYNC: options(model), "async": 60, "poll": 0}, status(model, wait=True, wait_timeout=60)]
    ).ok()
    waited = run.results[1]
    assert waited["ready"] and waited["revision"] == repository.main
    model.assert_complete()


# The cluster ---------------------------------------------------------------------------------------------------------

MOVING = {"phase": "move", "bytes_done": 30, "bytes_total": 120}
REFUSED = {
    "failed": True,
    "error": {"kind": "AccessError", "message": "The model is gated.", "hint": "Ask for access."},
}
SCRIPTS = {
    "complete": "pass",
    "running": f"import time; print({json.dumps(MOVING)!r}, flush=True); time.sleep(600)",
    "failed": f"open('/dev/termination-log', 'w').write({json.dumps(REFUSED)!r}); raise SystemExit(2)",
    "secret": "pass",
}


def job(image, script, **container):
    one = {"name": "sync", "image": image, "imagePullPolicy": "IfNotPresent", "command": ["python3", "-c", script]}
    pod = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [{**one, **container}]}
    return {"backoffLimit": 0, "template": {"spec": pod}}


@pytest.fixture
def jobs(cluster, namespace):
    """One Job in each state, and a CronJob that has not run; the Secret that one of them needs is not there."""
    from kubernetes.dynamic import DynamicClient

    client = DynamicClient(cluster.client())
    missing = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "model-source", "key": "token"}}}
    specs = {name: job(cluster.image, script) for name, script in SCRIPTS.items()}
    specs["secret"] = job(cluster.image, "pass", env=[missing])
    kind = client.resources.get(api_version="batch/v1", kind="Job")
    for name, spec in specs.items():
        kind.create({"metadata": {"name": name}, "spec": spec}, namespace=namespace)
    cron = client.resources.get(kind="CronJob", group="batch")
    yearly = {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": job(cluster.image, "pass")}}
    cron.create({"metadata": {"name": "yearly"}, "spec": yearly}, namespace=namespace)
    return namespace


def settle(cluster, namespace):
    """Wait until the Pods are where they end up, as their containers say."""
    from kubernetes.client import CoreV1Api

    api = CoreV1Api(cluster.client())
    deadline = time.monotonic() + 120
    while True:
        pods = api.list_namespaced_pod(namespace).items
        now = {pod.metadata.labels["job-name"]: pod for pod in pods}
        waiting = [one.state.waiting for pod in pods for one in pod.status.container_statuses or ()]
        if (
            len(now) == len(SCRIPTS)
            and {now[name].status.phase for name in ("complete", "failed", "running")}
            == {"Succeeded", "Failed", "Running"}
            and any(one and one.reason == "CreateContainerConfigError" for one in waiting)
            and api.read_namespaced_pod_log(now["running"].metadata.name, namespace)
        ):
            return
        assert time.monotonic() < deadline, now
        time.sleep(0.2)


@pytest.mark.usefixtures("requires_nodes")
def test_jobs_in_every_state(cluster, jobs, api_proxy, playbooks, tmp_path):
    settle(cluster, jobs)
    api_proxy.passed.clear()
    names = ["gone", *SCRIPTS, "yearly"]
    place = {"destinations": [{"type": "local", "path": str(tmp_path)}]}
    usual = {"name": "a/b", "namespace": jobs, **place}
    # A wait that fails has the same result, and that of a failed Job takes no time.
    waits = {"failed": {"wait": True}}
    given = [{MODULE: {**usual, "job_name": name, **waits.get(name, {})}, "ignore_errors": True} for name in names]
    run = playbooks.tasks(given, env=api_proxy.environment).ok()
    found = dict(zip(names, run.results, strict=True))

    assert {name: result["steps"][-2]["state"] for name, result in found.items()} == {
        "gone": "missing",
        "complete": "done",
        "running": "running",
        "failed": "failed",
        "secret": "failed",
        "yearly": "waiting",
    }
    assert {name: states(result)[-1] for name, result in found.items()} == {
        **dict.fromkeys(names, ("copy", "missing")),
        "running": ("copy", "waiting"),
        "secret": ("copy", "waiting"),
    }
    assert found["running"]["steps"][0]["message"] == "Move, 25 %."
    failed = found["failed"]["steps"][0]
    assert (failed["subject"], failed["message"], failed["next"]) == (
        f"Job {jobs}/failed",
        "The model is gated.",
        "Ask for access.",
    )
    command = f"kubectl create secret generic model-source --namespace {jobs} --from-literal=token=..."
    secret, job_step, _copy = found["secret"]["steps"]
    assert (secret["subject"], secret["state"]) == (f"Secret {jobs}/model-source", "missing")
    assert command in secret["next"] and command in job_step["next"]
    assert f"--namespace {jobs} --from=cronjob/yearly" in found["yearly"]["next_action"]

    assert {name for name, result in found.items() if result.get("failed")} == {"failed"}
    assert "will not become ready by itself" in found["failed"]["msg"]
    assert "The model is gated. Ask for access." in found["failed"]["msg"]
    assert api_proxy.passed and not api_proxy.writes()
