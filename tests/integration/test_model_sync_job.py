# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""model_sync_job: real runs of ansible-playbook, real Jobs in a real cluster."""

from __future__ import annotations

import base64
import itertools
import json
import random
import re

import pytest
import yaml
from ibm import cos, iam
from sync_jobs import jobs, port
from wheels import Index

from ansible_collections.modelops.serving.plugins.module_utils._transfer.pins import REQUIREMENTS

__all__ = ["cos", "iam", "jobs"]

_numbers = itertools.count()
LINE = re.compile(
    r"^model_sync_job \[localhost\] model: move [\d.]+/[\d.]+ [kM]B \(\d+ %\), \d+/12 files", re.MULTILINE
)


@pytest.fixture
def tiny(hub, jobs):
    """A repository of two small commits, main at the first; the model of ``jobs``."""
    name = f"test/tiny-job-{next(_numbers)}"
    noise = random.Random(0).randbytes(50_000)
    hub.add_repository(name, {"config.json": b"{}", "weights.bin": noise, "old/notes.txt": b"old"})
    hub.commit(name, {"weights.bin": noise[::-1], "old/notes.txt": None}, "second", move_main=False)
    jobs.sync.repo = name
    return hub.repository(name)


def actions(result):
    return {item["kind"]: item["action"] for item in result["objects"]}


# Copying -------------------------------------------------------------------------------------------------------------


def test_a_job_copies_is_attached_to_and_left_alone(jobs, playbooks, sync, api_proxy):
    commit = sync.hub.repository(sync.repo).commits[-1]
    sync.hub.faults.add("throttle", role="cdn", bytes_per_second=2_000_000)  # to a few seconds
    run = playbooks.tasks([jobs.task(wait=False), jobs.task(), jobs.task()], env=api_proxy.environment).ok()
    started, attached, again = run.results
    sync.assert_complete()

    assert (started["changed"], started["result"], started["revision"]) == (True, None, commit)
    assert set(actions(started)) == {"ConfigMap", "Secret", "ServiceAccount", "Job"}
    assert (attached["changed"], attached["objects"]) == (False, [])
    assert attached["result"]["changed"] is True
    assert attached["revision"] == attached["result"]["revision"] == commit
    (place,) = attached["result"]["destinations"]
    assert (place["status"], place["files"], place["added"]) == ("complete", 12, 12)
    assert place["bytes_sent"] == place["bytes"] == sum(map(len, sync.expected().values()))
    assert (again["changed"], again["objects"], again["result"]) == (False, [], attached["result"])

    # Only the first one waited for nothing; the second one tells what goes on.
    second = run.output.split("TASK [modelops.serving.model_sync_job]")[2]
    assert "waiting for Job" in second and LINE.search(second)
    assert {request.method for request in api_proxy.writes()} == {"PATCH"}
    assert len(api_proxy.writes()) == 4

    # The largest model that is generated fits into the memory that any model gets.
    (pod,) = jobs.pods()
    (container,) = pod["spec"]["containers"]
    assert container["resources"]["limits"]["memory"] == "512Mi"
    (status,) = pod["status"]["containerStatuses"]
    assert (status["restartCount"], status["state"]["terminated"]["exitCode"]) == (0, 0)


def test_what_a_pod_may_do(jobs, playbooks, tiny):
    """The Job's Pod, with another command in it."""
    playbooks.tasks([jobs.task()], env=jobs.cluster.environment).ok()
    (job,) = jobs.list("Job")
    spec = job["spec"]["template"]["spec"]
    script = """if True:
        import json, os
        def writable(folder):
            try:
                open(os.path.join(folder, "probe"), "w").close()
                return True
            except OSError:
                return False
        places = ["/", "/usr/bin", "/etc", "/etc/model-sync", "/var/run/secrets/modelops.serving/credentials", "/tmp"]
        status = dict(line.split(":", 1) for line in open("/proc/self/status"))
        print(json.dumps({
            "ids": [os.getuid(), os.getgid()],
            "read_only": bool(os.statvfs("/").f_flag & os.ST_RDONLY),
            "writable": [place for place in places if writable(place)],
            "capabilities": int(status["CapEff"], 16),
            "no_new_privileges": int(status["NoNewPrivs"]),
            "token": os.path.exists("/var/run/secrets/kubernetes.io/serviceaccount/token"),
        }))
    """
    spec = {**spec, "initContainers": []}
    spec["containers"][0]["command"] = ["python3", "-c", script]
    jobs.create("Pod", "probe", spec=spec)
    jobs.wait_for(lambda: jobs.pod("probe")["status"]["phase"] in ("Succeeded", "Failed"))
    assert json.loads(jobs.logs(jobs.pod("probe"))) == {
        "ids": [65532, 65532],
        "read_only": True,
        "writable": ["/tmp"],
        "capabilities": 0,
        "no_new_privileges": 1,
        "token": False,
    }


def test_twelve_steps(jobs, playbooks, tiny, api_proxy, sync):
    first, second = tiny.commits
    absent = jobs.absent()
    create = jobs.task(source={"revision": first}, prune=True)
    modify = jobs.task(source={"revision": second}, prune=True)
    api_proxy.add("^/mark/", status=200)
    steps = [
        {
            **task,
            "check_mode": number % 2 == 0,
            # A condition is looked at right before its task, so the marks part the requests of the tasks.
            "when": f"lookup('ansible.builtin.url', '{api_proxy.url}/mark/{number}') is truthy",
        }
        for number, task in enumerate(task for task in (create, modify, absent) for _time in range(4))
    ]
    results = playbooks.tasks(steps, "--diff", env=api_proxy.environment).ok().results
    requests: list[list] = []
    for passed in api_proxy.passed:
        if passed.path.startswith("/mark/"):
            requests.append([])
        else:
            requests[-1].append(passed)

    assert [result["changed"] for result in results] == [True, True, False, False] * 3
    assert len(requests) == 12
    for number, passed in enumerate(requests):
        writes = [request for request in passed if request.writes]
        assert bool(writes) == (number in (1, 5, 9)), (number, writes)
    # Nothing to do costs the version, discovery, one look at the Job and, for its result, one at its Pods.
    assert len(requests[3]) <= 5
    for predicted, actual in zip(results[::2], results[1::2], strict=True):
        assert predicted["objects"] == actual["objects"]
        assert len(predicted["diff"]) == len(actual["diff"])
    assert actions(results[1]) == dict.fromkeys(("ConfigMap", "Secret", "ServiceAccount", "Job"), "create")
    changed = {(item["kind"], item["action"]) for item in results[5]["objects"] if item["action"] != "none"}
    assert changed == {("Job", "replace"), ("ConfigMap", "create"), ("ConfigMap", "delete")}
    assert results[1]["revision"] == first and results[5]["revision"] == second
    assert results[5]["result"]["destinations"][0]["removed"] == 1
    assert [item["kind"] for item in results[9]["objects"]] == ["Job", "ConfigMap", "Secret", "ServiceAccount"]
    assert jobs.ours() == []
    # What was copied stays.
    sync.assert_complete(second)


def test_a_branch_that_moved_is_a_new_job(jobs, playbooks, tiny, hub, sync):
    first, second = tiny.commits
    before = playbooks.tasks([jobs.task(prune=True)], env=jobs.cluster.environment).ok().results[0]
    hub.move_main(tiny.name, second)
    after, again = (
        playbooks.tasks([jobs.task(prune=True), jobs.task(prune=True)], env=jobs.cluster.environment).ok().results
    )
    assert (before["revision"], after["revision"], again["revision"]) == (first, second, second)
    assert (after["changed"], actions(after)["Job"], again["changed"]) == (True, "replace", False)
    sync.assert_complete()


def test_an_image_without_the_requirements(jobs, playbooks, tiny, sync, tmp_path):
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    names = [requirement.partition("=")[0] for requirement in REQUIREMENTS]
    with Index(wheels, names) as index:
        url = jobs.cluster.expose(index.port)
        host = url.partition("://")[2].partition(":")[0]
        task = jobs.task(install_requirements=True, index_url=f"{url}/simple", trusted_host=host)
        playbooks.tasks([task], env=jobs.cluster.environment).ok()
    assert len(set(index.served)) == len(REQUIREMENTS)
    (pod,) = jobs.pods()
    (init,) = pod["status"]["initContainerStatuses"]
    assert init["state"]["terminated"]["exitCode"] == 0
    sync.assert_complete()


# Schedules -----------------------------------------------------------------------------------------------------------


def test_a_schedule(jobs, playbooks, tiny, hub, sync):
    task = jobs.task(schedule="17 3 * * *")
    made, again = playbooks.tasks([task, task], env=jobs.cluster.environment).ok().results
    assert actions(made) == dict.fromkeys(("ConfigMap", "Secret", "ServiceAccount", "CronJob"), "create")
    assert not again["changed"] and set(actions(again).values()) == {"none"}
    assert sync.paths() == set()
    hub.move_main(tiny.name, tiny.commits[-1])  # it copies what is newest when it runs
    (cron,) = jobs.list("CronJob")
    owner = {"apiVersion": f"batch/{jobs.cron_version}", "kind": "CronJob", "controller": True}
    owner |= {"name": cron["metadata"]["name"], "uid": cron["metadata"]["uid"]}
    template = cron["spec"]["jobTemplate"]
    metadata = {"name": "by-hand", "labels": template["metadata"]["labels"], "ownerReferences": [owner]}
    jobs.request("POST", jobs.path("Job"), {"metadata": metadata, "spec": template["spec"]})
    jobs.wait_for(lambda: jobs.request("GET", jobs.path("Job", "by-hand"))["status"].get("succeeded"))
    sync.assert_complete()

    (gone,) = playbooks.tasks([jobs.absent()], env=jobs.cluster.environment).ok().results
    assert gone["changed"] and "CronJob" in actions(gone)
    jobs.wait_for(lambda: not jobs.ours() and not jobs.list("Job"))


# Files for GitOps ----------------------------------------------------------------------------------------------------


def test_rendered_and_applied_objects_are_the_same(jobs, playbooks, tiny, tmp_path):
    jobs.secret(
        "keys", {"AWS_ACCESS_KEY_ID": jobs.keys["access_key"], "AWS_SECRET_ACCESS_KEY": jobs.keys["secret_key"]}
    )
    folder = tmp_path / "gitops"
    options = {"destinations": [jobs.destination(credentials_secret="keys")]}
    written, refused, applied = (
        playbooks.tasks(
            [
                jobs.task(**options, render_to=str(folder)),
                jobs.task(render_to=str(folder), keywords={"ignore_errors": True}),
                jobs.task(**options),
            ],
            env=jobs.cluster.environment,
        )
        .ok()
        .results
    )
    assert "no place for credentials" in refused["msg"]
    assert actions(written) == actions(applied) == dict.fromkeys(("ServiceAccount", "ConfigMap", "Job"), "create")
    rendered = [yaml.safe_load(path.read_text()) for path in sorted(folder.iterdir())]
    assert [obj["kind"] for obj in rendered] == ["ServiceAccount", "ConfigMap", "Job"]
    for obj in rendered:
        if obj["kind"] == "Job" and jobs.version < (1, 26):  # the files are for a current cluster
            del obj["spec"]["podFailurePolicy"]
    # To apply the files over what was applied changes nothing.
    look = {"modelops.serving.kube_objects": {"definitions": rendered}, "check_mode": True}
    (same,) = playbooks.tasks([look], env=jobs.cluster.environment).ok().results
    assert not same["changed"], same


# Secrets that describe places ----------------------------------------------------------------------------------------


def test_from_one_bucket_to_another_by_secrets(jobs, playbooks, sync):
    files = {"config.json": b'{"a": 1}', "weights.bin": bytes(range(256)) * 300}
    for path, content in files.items():
        sync.client.put_object(Bucket=sync.bucket, Key=f"{sync.prefix}/origin/{path}", Body=content)
        sync.client.put_object(Bucket=sync.bucket, Key=f"{sync.prefix}/kept/by-hand/{path}", Body=content)
    keys = list(jobs.keys.values())
    jobs.secret(
        "model-source",
        {
            "S3_SYNC_SRC__ENDPOINT": jobs.store,
            "S3_SYNC_SRC__PATH": f"s3://{sync.bucket}/{sync.prefix}/origin/",
            "S3_SYNC_SRC__ACCESS_KEY": keys[0],
            "S3_SYNC_SRC__SECRET_KEY": keys[1],
        },
    )
    jobs.secret("manual", {"S3_SYNC_LOCAL_UPLOAD_COMPLETE": "true"})
    connection = {"AWS_S3_BUCKET": sync.bucket, "AWS_S3_ENDPOINT": jobs.store, "AWS_DEFAULT_REGION": "us-east-1"}
    jobs.secret("demo-models", {**connection, "AWS_ACCESS_KEY_ID": keys[0], "AWS_SECRET_ACCESS_KEY": keys[1]})
    jobs.secret("storage-config", {"theirs": "{}"})

    def task(name, secret, **changes):
        place = {"source": None, "destinations": None, "source_secret": secret, "data_connection": "demo-models"}
        return jobs.task(**place, name=name, data_connection_prefix=f"{sync.prefix}/kept", **changes)

    copied, again, kept = (
        playbooks.tasks(
            [
                task("copied", "model-source", storage_config="storage-config"),
                task("copied", "model-source", storage_config="storage-config"),
                task("by-hand", "manual"),
            ],
            "--diff",
            env=jobs.cluster.environment,
        )
        .ok()
        .results
    )
    url = f"s3://{sync.bucket}/{sync.prefix}/kept"
    for result, name in ((copied, "copied"), (kept, "by-hand")):
        (place,) = result["result"]["destinations"]
        assert (place["url"], place["status"], place["files"]) == (f"{url}/{name}/", "complete", 2)
        for path, content in files.items():
            key = f"{sync.prefix}/kept/{name}/{path}"
            assert sync.client.get_object(Bucket=sync.bucket, Key=key)["Body"].read() == content
    assert not again["changed"]
    assert (copied["result"]["changed"], kept["result"]["destinations"][0]["bytes_sent"]) == (True, 0)

    entries = jobs.request("GET", jobs.path("Secret", "storage-config"))["data"]
    assert entries.keys() == {"theirs", "demo-models"}
    entry = json.loads(base64.b64decode(entries["demo-models"]))
    assert (entry["type"], entry["bucket"], entry["endpoint_url"]) == ("s3", sync.bucket, jobs.store)
    assert [entry["access_key_id"], entry["secret_access_key"]] == keys


# Several pods --------------------------------------------------------------------------------------------------------


def test_a_passcode_is_spent_once_and_tells_when_it_is_late(jobs, playbooks, sync, iam, cos):
    for path in ("config.json", "weights.bin"):
        cos.put(sync.bucket, f"{sync.prefix}/origin/{path}", path.encode())
    common = {
        "S3_SYNC_USE_IBMCLOUD_CLI": "true",
        "S3_SYNC_COS_INSTANCE_CRN": cos.instance,
        "S3_SYNC_COS_INSTANCE_REGION": "us-geo",
        "S3_SYNC_COS_BUCKET": sync.bucket,
        "S3_SYNC_COS_MODEL_PREFIX": f"{sync.prefix}/origin",
        "S3_SYNC_COS_ENDPOINT": jobs.cluster.expose(port(cos.url)),
        "S3_SYNC_COS_IAM_ENDPOINT": jobs.cluster.expose(port(iam.url)),
        "S3_SYNC_COS_VALIDATE_TLS": "false",
    }
    code, late = iam.passcode(), iam.passcode(life=-1)
    jobs.secret("model-source", {**common, "S3_SYNC_COS_TEMPORARY_PASSCODE": code})
    jobs.secret("late", {**common, "S3_SYNC_COS_TEMPORARY_PASSCODE": late})
    task = jobs.task(source=None, source_secret="model-source")
    refused = jobs.task(source=None, source_secret="late", name="late", keywords={"ignore_errors": True})
    predicted = playbooks.tasks([task], "--check", env=jobs.cluster.environment).ok()
    assert predicted.results[0]["changed"] and iam.grants == []

    run = playbooks.tasks([task, task, refused], "-vvv", "--diff", env=jobs.cluster.environment).ok()
    copied, again, failed = run.results
    assert (copied["changed"], again["changed"]) == (True, False)
    assert copied["result"]["destinations"][0]["status"] == "complete"
    assert sync.read("weights.bin") == b"weights.bin"
    assert failed["failed"] and "does not accept the passcode" in failed["msg"] and "expired" in failed["msg"]
    assert "identity/passcode" in failed["msg"]
    assert iam.grants.count("passcode") == 2
    assert [job["metadata"]["name"] for job in jobs.list("Job")] == [copied["job"]]
    assert not [word for word in (code, late, *iam.issued) if word in run.output + predicted.output]


def test_two_pods_share_a_model(jobs, playbooks, sync):
    (result,) = (
        playbooks.tasks([jobs.task(parallelism=2, keywords={"ignore_errors": True})], env=jobs.cluster.environment)
        .ok()
        .results
    )
    if jobs.version < (1, 22):
        assert "parallelism is 2, and the cluster has no Indexed Jobs" in result["msg"]
        assert "Kubernetes 1.22" in result["error"]["hint"]
        assert jobs.ours() == []
        return
    assert not result.get("failed"), result["msg"]
    sync.assert_complete()
    said = [json.loads(pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"]) for pod in jobs.pods()]
    shards = sorted(found["destinations"][0]["shard"]["index"] for found in said)
    assert shards == [0, 1]
    assert sum(found["destinations"][0]["bytes_sent"] for found in said) == sum(map(len, sync.expected().values()))
    assert result["result"]["destinations"][0]["status"] == "complete"
