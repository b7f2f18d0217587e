# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""model_sync_job when something is missing, refused, killed or away: what it says, what it leaves, how it goes on."""

from __future__ import annotations

import base64
import concurrent.futures
import json
import time

import pytest
from runner import Playbooks
from sync_jobs import jobs

__all__ = ["jobs"]

IGNORE = {"ignore_errors": True}


@pytest.fixture
def at_once(tmp_path, collections, jobs):
    """Runs each list of tasks in a process of its own, all at the same time; their runs in this order."""

    def start(number, tasks):
        directory = tmp_path / f"run-{number}"
        directory.mkdir()
        return Playbooks(directory, collections).tasks(tasks, env=jobs.cluster.environment)

    def run(*plays):
        with concurrent.futures.ThreadPoolExecutor() as pool:
            return list(pool.map(start, range(len(plays)), plays))

    return run


@pytest.fixture
def small(hub, jobs):
    """A small repository in place of the usual one."""
    jobs.sync.repo = f"test/{jobs.namespace}"
    hub.add_repository(jobs.sync.repo, {"config.json": b"{}", "weights.bin": bytes(70_000)})
    return jobs.sync.repo


def text(result):
    return f"{result['msg']} {result.get('error')}"


# Secrets -------------------------------------------------------------------------------------------------------------


def test_secrets_that_are_not_there(jobs, playbooks, small):
    jobs.secret("other", {"what": "ever"})
    place = {"source": None, "name": "n"}
    keys = [jobs.destination(credentials_secret="absent")]
    wrong = [jobs.destination(credentials_secret="other")]
    cases = [
        (jobs.task(**place, source_secret="absent"), ["S3_SYNC_SRC__PATH=", "S3_SYNC_COS_BUCKET=", "LOCAL_UPLOAD"]),
        (jobs.task(token_secret={"name": "absent"}), ["--from-file=token=FILE"]),
        (
            jobs.task(destinations=keys),
            ["--from-file=AWS_ACCESS_KEY_ID=FILE", "--from-file=AWS_SECRET_ACCESS_KEY=FILE"],
        ),
        (jobs.task(destinations=None, data_connection="absent"), ["data connection"]),
        (jobs.task(token_secret={"name": "other"}), ["has no token under token; it has what"]),
        (jobs.task(destinations=wrong), ["needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; it has what"]),
        (jobs.task(**place, source_secret="other"), ["S3_SYNC_SRC__PATH=", "S3_SYNC_COS_BUCKET=", "LOCAL_UPLOAD"]),
        (jobs.task(destinations=None, data_connection="other"), ["lacks", "AWS_S3_BUCKET"]),
    ]
    run = playbooks.tasks([{**task, **IGNORE} for task, _said in cases], env=jobs.cluster.environment).ok()
    for result, (task, said) in zip(run.results, cases, strict=True):
        assert result["failed"] and not result["changed"], task
        name = "absent" if "absent" in json.dumps(task) else "other"
        assert f"Secret {jobs.namespace}/{name}" in text(result)
        for part in said:
            assert part in text(result), task
        if name == "absent":
            assert f"Secret {jobs.namespace}/absent is not there." in result["msg"]
    for number in (0, 1, 2, 4, 5, 6):
        assert "kubectl create secret generic" in text(run.results[number])
        assert f"--namespace {jobs.namespace}" in text(run.results[number])
    assert jobs.ours() == []


def test_wrong_keys_a_retry_and_the_right_ones(jobs, playbooks, small, sync):
    wrong = {**jobs.keys, "secret_key": "canary-of-a-wrong-key"}
    task = jobs.task(destinations=[jobs.destination(**wrong)], backoff_limit=1)
    run = playbooks.tasks([{**task, **IGNORE}, jobs.task(backoff_limit=1)], env=jobs.cluster.environment).ok()
    failed, done = run.results
    assert failed["failed"]
    (place,) = failed["result"]["destinations"]
    assert place["error"]["kind"] == "AccessError"
    assert failed["msg"].startswith(f"Job {jobs.namespace}/{failed['job']} failed: {place['error']['message']}")
    assert failed["error"]["hint"] == place["error"]["hint"] != ""
    assert '"result":' in failed["msg"]  # the end of the log
    assert "canary-of-a-wrong-key" not in run.output
    # Nobody had to delete the Job that failed.
    assert {"kind": "Job", "action": "replace"}.items() <= done["objects"][-1].items()
    sync.assert_complete()


def test_no_job_for_a_token_that_may_not_read_the_model(jobs, playbooks, small, hub, api_proxy):
    gated, private = "local/gated-llama", "local/private-llama"
    jobs.secret("stranger", {"token": hub.tokens["stranger"]})
    jobs.secret("revoked", {"token": hub.tokens["revoked"]})
    review = {"X-Error-Code": "GatedRepo"}
    message = "Your request to access model local/gated-llama is awaiting a review from the repo authors."

    def task(repo, secret, **more):
        return {**jobs.task(source={"repo": repo}, token_secret={"name": secret}), **IGNORE, **more}

    by_value = {"repo": gated, "token": hub.tokens["stranger"]}
    cases = [
        (task(gated, "stranger"), "is gated and this token's account has no access", f"/{gated}"),
        (task(gated, "stranger", check_mode=True), "is gated and this token's account has no access", f"/{gated}"),
        ({**jobs.task(source=by_value), **IGNORE}, "is gated and this token's account has no access", f"/{gated}"),
        # These two the Hub refuses already when it is asked for the commit.
        (task(private, "stranger"), private, ""),
        (task(small, "revoked"), "token", ""),
    ]
    run = playbooks.tasks([case[0] for case in cases], env=api_proxy.environment).ok()
    hub.faults.add("status", match="gated-llama/resolve", code=403, headers=review, message=message, times=1)
    reader = {"repo": gated, "token": hub.tokens["reader"]}
    pending = playbooks.tasks([{**jobs.task(source=reader), **IGNORE}], env=api_proxy.environment).ok()

    for result, (_task, said, page) in zip(run.results, cases, strict=True):
        assert result["failed"] and not result["changed"]
        assert said in result["msg"] and page in result["msg"] and result["error"]["hint"]
    assert {result["error"]["kind"] for result in run.results[:3]} == {"AccessError"}
    assert "awaits a review by its authors" in pending.results[0]["msg"]
    # Not even an object beside the Job was made.
    assert api_proxy.writes() == [] and jobs.ours() == []
    assert not [token for token in hub.tokens.values() if token in run.output + pending.output]


def test_a_token_that_is_not_checked(jobs, playbooks, small, hub):
    """Because nobody wants it, because the Hub does not answer, or because nobody but the Pods sees the token."""
    jobs.secret("hub", {"token": hub.tokens["stranger"]})
    by_secret = {"token_secret": {"name": "hub"}}
    unwanted = {**jobs.task(source={"repo": "local/gated-llama"}, check_token=False, **by_secret), **IGNORE}
    (closed,) = playbooks.tasks([unwanted], env=jobs.cluster.environment).ok().results
    assert closed["failed"] and "gated" in closed["msg"] and closed["result"]["error"]["message"] in closed["msg"]
    assert closed["error"]["hint"] == closed["result"]["error"]["hint"] != ""
    assert hub.requests("whoami") == []
    hub.faults.add("status", match="whoami", code=503)
    by_class = {"token_secret_provider_class": {"provider": "gke"}}
    late, unseen = (
        playbooks.tasks([jobs.task(**by_secret), jobs.task(**by_class)], "--check", env=jobs.cluster.environment)
        .ok()
        .results
    )
    assert late["changed"] and "The token was not checked" in "".join(late["warnings"])
    assert unseen["changed"] and "warnings" not in unseen
    assert len(hub.requests("whoami")) == 2  # one more try


def test_a_token_of_a_secret(jobs, playbooks, hub, sync):
    jobs.sync.repo = "local/gated-llama"
    jobs.secret("hub", {"hf": hub.tokens["reader"] + "\n"})
    ways = [{"mount": "env"}, {"mount": "custom", "path": "/run/hub/the.token"}]
    first, second = (jobs.task(token_secret={"name": "hub", "key": "hf", **way}) for way in ways)
    run = playbooks.tasks([first, second, second], env=jobs.cluster.environment).ok()
    assert [result["changed"] for result in run.results] == [True, True, False]
    assert [result["result"]["changed"] for result in run.results] == [True, False, False]
    assert hub.tokens["reader"] not in run.output
    # The token is checked for a Job that is made, and only then.
    assert len(hub.requests("whoami")) == 2


def test_a_source_prefix_with_nothing_in_it(jobs, playbooks):
    source = {
        "type": "s3",
        "bucket": jobs.sync.bucket,
        "prefix": "nothing/here",
        "endpoint_url": jobs.store,
        **jobs.keys,
    }
    task = {**jobs.task(), **IGNORE}
    task["modelops.serving.model_sync_job"]["source"] = source
    (result,) = playbooks.tasks([task], env=jobs.cluster.environment).ok().results
    assert result["failed"] and "nothing/here" in result["msg"]


# Pods that do not start ----------------------------------------------------------------------------------------------


def test_pods_that_cannot_start(jobs, at_once, small):
    jobs.create("ResourceQuota", "tight", spec={"hard": {"limits.memory": "600Mi"}})
    image = "modelops.invalid/nowhere:1"
    began = time.monotonic()
    pull, never, quota = at_once(
        # A registry that cannot be reached may come back: that ends with the time for it.
        [{**jobs.task(name="pull", image=image, memory="128Mi", wait_timeout=15), **IGNORE}],
        [
            {
                **jobs.task(name="never", image=image, image_pull_policy="Never", memory="128Mi", wait_timeout=300),
                **IGNORE,
            }
        ],
        [{**jobs.task(name="quota", memory="1Gi", wait_timeout=300), **IGNORE}],
    )
    assert time.monotonic() - began < 250
    (no_answer,), (no_image,), (no_memory,) = pull.ok().results, never.ok().results, quota.ok().results
    assert all(result["failed"] for result in (no_answer, no_image, no_memory))
    assert image in no_answer["msg"] and "is not ready after" in no_answer["msg"]
    assert any(reason in no_answer["msg"] for reason in ("ErrImagePull", "ImagePullBackOff"))
    assert image in no_image["msg"] and "ErrImageNeverPull" in no_image["msg"]
    assert "tight" in no_memory["msg"] and "limits.memory" in no_memory["msg"]


# The API server ------------------------------------------------------------------------------------------------------


def test_namespaces_and_kubeconfigs(jobs, playbooks, cluster, small, tmp_path):
    (tmp_path / "wrong").write_text("clusters: []\n")
    # Its finalizer lets a namespace stay in the state Terminating.
    with cluster.namespace() as going:
        held = {"metadata": {"name": "held", "finalizers": ["modelops.serving/test"]}}
        jobs.request("POST", f"api/v1/namespaces/{going}/configmaps", held)
    tasks = [
        jobs.task(namespace="test-is-not-there"),
        jobs.task(namespace=going),
        jobs.task(kubeconfig=str(tmp_path / "absent")),
        jobs.task(kubeconfig=str(tmp_path / "wrong")),
        jobs.task(kubeconfig=cluster.kubeconfig, context="elsewhere"),
        jobs.task(host="https://127.0.0.1:1"),
    ]
    try:
        run = playbooks.tasks([{**task, **IGNORE} for task in tasks], env=cluster.environment).ok()
    finally:
        held["metadata"]["finalizers"] = []
        jobs.request("PUT", f"api/v1/namespaces/{going}/configmaps/held", held)
    missing, terminating, absent, wrong, context, host = map(text, run.results)
    assert all(result["failed"] and not result["changed"] for result in run.results)
    assert "namespace test-is-not-there" in missing and "does not exist" in missing
    assert f"namespace {going} is being deleted" in terminating
    assert str(tmp_path / "absent") in absent
    assert str(tmp_path / "wrong") in wrong
    assert "elsewhere" in context
    assert "https://127.0.0.1:1" in host


def test_the_api_server_restarts_while_a_job_is_waited_for(jobs, playbooks, api_proxy, sync):
    sync.hub.faults.add("throttle", role="cdn", bytes_per_second=1_500_000)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        run = pool.submit(playbooks.tasks, [jobs.task()], env=api_proxy.environment)
        jobs.wait_for(lambda: any("/log" in request.path for request in api_proxy.passed))
        with api_proxy.away():
            time.sleep(3)
        (result,) = run.result().ok().results
    assert result["result"]["destinations"][0]["status"] == "complete"
    sync.assert_complete()


# Interrupted ---------------------------------------------------------------------------------------------------------


def sent(proxy):
    """Bytes of content that reached the store."""
    return sum(
        request.length for request in proxy.passed if request.method == "PUT" and request.path.endswith(".safetensors")
    )


def test_a_pod_is_killed_in_the_middle(jobs, playbooks, sync, proxy):
    sync.hub.faults.add("throttle", role="cdn", bytes_per_second=1_500_000)
    size = sum(map(len, sync.expected().values()))
    with concurrent.futures.ThreadPoolExecutor() as pool:
        task = jobs.task(part_size="5MiB", backoff_limit=2, wait_timeout=200)
        run = pool.submit(playbooks.tasks, [task], env=jobs.cluster.environment)
        jobs.wait_for(lambda: sent(proxy) > 20_000_000)
        (pod,) = jobs.pods()
        jobs.delete("Pod", pod["metadata"]["name"], gracePeriodSeconds=0)
        sync.hub.faults.clear()
        (result,) = run.result().ok().results
    sync.assert_complete()
    assert [found["metadata"]["name"] for found in jobs.pods()] != [pod["metadata"]["name"]]
    # What had arrived was not sent again, apart from parts that were on their way.
    assert sent(proxy) < size + 30_000_000 and result["result"]["destinations"][0]["bytes_sent"] < size - 10_000_000


def test_the_wait_ends_before_the_job(jobs, playbooks, sync):
    sync.hub.faults.add("throttle", role="cdn", bytes_per_second=2_500_000)
    tasks = [{**jobs.task(wait_timeout=1), **IGNORE}, jobs.task()]
    ended, done = playbooks.tasks(tasks, env=jobs.cluster.environment).ok().results
    assert ended["failed"] and "is not ready after" in ended["msg"]
    assert "The Job goes on" in ended["error"]["hint"]
    assert (done["changed"], done["result"]["destinations"][0]["status"]) == (False, "complete")
    assert len(jobs.pods()) == 1
    sync.assert_complete()


def test_two_at_once(jobs, at_once, sync, proxy):
    first, second = at_once([jobs.task()], [jobs.task()])
    for run in (first, second):
        (result,) = run.ok().results
        assert result["result"]["destinations"][0]["status"] == "complete"
    assert len(jobs.pods()) == 1
    assert sent(proxy) == sum(len(data) for path, data in sync.expected().items() if path.endswith(".safetensors"))
    sync.assert_complete()


# Nothing secret is seen ----------------------------------------------------------------------------------------------


def test_no_secret_is_seen(jobs, playbooks, hub, sync, proxy):
    jobs.sync.repo = "local/gated-llama"
    token, keys = hub.tokens["reader"], jobs.keys
    jobs.secret("hub", {"token": token})
    jobs.secret("keys", {"AWS_ACCESS_KEY_ID": keys["access_key"], "AWS_SECRET_ACCESS_KEY": keys["secret_key"]})
    wrong = {"access_key": keys["access_key"], "secret_key": "canary-of-a-wrong-key"}
    hook = "http://127.0.0.1:9/canary-of-a-hook"
    notify = [{"type": "webhook", "url": hook}]
    by_secret = {"token_secret": {"name": "hub"}, "destinations": [jobs.destination(credentials_secret="keys")]}
    tasks = [
        jobs.task(source={"token": token}, notify=notify),
        jobs.task(**by_secret, name="other"),
        {**jobs.task(source={"token": token}, name="third", destinations=[jobs.destination(**wrong)]), **IGNORE},
    ]
    run = playbooks.tasks(
        tasks, "-vvvv", "--diff", env=jobs.cluster.environment | {"ANSIBLE_KEEP_REMOTE_FILES": "0"}
    ).ok()
    assert run.results[2]["failed"]
    secrets = [token, keys["secret_key"], wrong["secret_key"], hook]
    secrets += [base64.b64encode(value.encode()).decode() for value in secrets]
    seen = {"output": run.output, "results": json.dumps(run.results)}
    seen |= {str(path): path.read_text(errors="replace") for path in playbooks.leftovers()}
    for kind in ("ConfigMap", "Job", "Pod", "ServiceAccount", "Event"):
        seen[kind] = json.dumps(jobs.list(kind))
    for pod in jobs.pods():
        seen[f"log of {pod['metadata']['name']}"] = jobs.logs(pod)
    assert len(jobs.pods()) == 3
    for where, content in seen.items():
        for value in secrets:
            assert value not in content, f"{value} in {where}"
    # They are where they belong, or this could not fail.
    kept = json.dumps(jobs.list("Secret"))
    assert all(value in kept for value in secrets[4:])
