# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From facts to steps, and from steps to what is to be done first."""

from __future__ import annotations

import json

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Ref
from ansible_collections.modelops.serving.plugins.module_utils._kube.diagnose import Finding
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import KubeError
from ansible_collections.modelops.serving.plugins.module_utils._kube.podspec import Need
from ansible_collections.modelops.serving.plugins.module_utils._status import (
    GRACE,
    JobFacts,
    Patience,
    Step,
    conclude,
    copy_step,
    is_ready,
    job_step,
    progress,
    secret_step,
    source_step,
    unfinished,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import (
    AccessError,
    DeadlineError,
    TransientError,
)

REF = Ref("batch/v1", "Job", "model-sync-a", "demo")
URL = "s3://models/hub/a/b/"


def job(*conditions, deleted=None, suspend=False, **status):
    """A Job as the API server gives it."""
    metadata = {"name": REF.name, "namespace": REF.namespace, "uid": "1"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {**metadata, **({"deletionTimestamp": deleted} if deleted else {})},
        "spec": {"completions": 1, "backoffLimit": 3, "suspend": suspend},
        "status": {"conditions": [{"type": kind, "status": "True", **rest} for kind, rest in conditions], **status},
    }


RUNS = job(active=1)
COMPLETE = job(("Complete", {}), succeeded=1)
FAILED = job(("Failed", {"reason": "BackoffLimitExceeded", "message": "Job has reached the limit"}), failed=4)


def pod(phase, *, said=None):
    """A Pod of the Job; ``said`` is its termination message."""
    ended = {"terminated": {"exitCode": 1, "message": said}} if said is not None else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "demo"},
        "status": {"phase": phase, "containerStatuses": [{"name": "sync", "state": ended}]},
    }


def finding(*, fatal, hint="Create it."):
    ref = Ref("v1", "Pod", "p", "demo")
    return Finding("CreateContainerConfigError", ref, "Secret demo/token does not exist.", hint, fatal=fatal)


def cron(*, suspend=False):
    metadata = {"name": REF.name, "namespace": REF.namespace, "uid": "2"}
    return {"kind": "CronJob", "metadata": metadata, "spec": {"schedule": "0 3 * * *", "suspend": suspend}}


def copy(status, **changes):
    """What the engine says of a destination."""
    usual = {
        "revision": None if status == "absent" else "aaa",
        "started": "2026-11-21T09:30:00Z",
        "files": 12,
        "files_present": 3,
        "holder": None,
        "shards": None,
        "problems": {"count": 0, "first": []},
    }
    return {"status": status, **usual, **changes}


# Sources and Secrets -------------------------------------------------------------------------------------------------


def test_source():
    assert source_step("hub", "aaa").state == "done"
    gated = source_step("hub", AccessError("It is gated.", hint="Ask at https://hub/a/b."))
    assert (gated.state, gated.message, gated.next, gated.patience) == (
        "failed",
        "It is gated.",
        "Ask at https://hub/a/b.",
        0,
    )


@pytest.mark.parametrize("error", [TransientError("No answer."), DeadlineError("Too late.")])
def test_no_answer_is_no_failure(error):
    for step in (source_step("hub", error), copy_step(URL, error, revision=None, job=None)):
        assert (step.state, step.message, step.next, step.patience) == (
            "unknown",
            error.message,
            "Look again later.",
            None,
        )


def test_secrets():
    need = Need(Ref("v1", "Secret", "token", "demo"), keys=["token"], users=["volume token"], mounted=True)
    missing = secret_step(need, None)
    assert (missing.subject, missing.state, missing.patience) == ("Secret demo/token", "missing", GRACE)
    assert "volume token" in missing.message
    assert "kubectl create secret generic token --namespace demo --from-literal=token=..." in missing.next
    incomplete = secret_step(need, ["other"])
    assert (incomplete.state, incomplete.message) == ("missing", "It has no key token; needed by volume token.")
    assert "kubectl patch secret token" in incomplete.next
    assert secret_step(need, ["token", "other"]).state == "done"
    refused = secret_step(need, KubeError("Forbidden.", hint="Give a Role."))
    assert (refused.state, refused.next, refused.patience) == ("unknown", "Give a Role.", None)


# Jobs ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "state", "message", "next_step", "patience"),
    [
        ({}, "missing", "There is no Job", "model_sync_job", None),
        ({"job": COMPLETE}, "done", "Complete, 1 succeeded.", "", None),
        ({"job": FAILED}, "failed", "BackoffLimitExceeded", "Remove the cause. Run", 0),
        ({"job": FAILED, "findings": [finding(fatal=True)]}, "failed", "Secret demo/token", "Create it.", 0),
        ({"job": RUNS, "findings": [finding(fatal=True)]}, "failed", "Secret demo/token", "Create it.", GRACE),
        ({"job": RUNS, "findings": [finding(fatal=False)]}, "waiting", "Secret demo/token", "Create it.", None),
        ({"job": RUNS, "findings": [finding(fatal=False, hint="")]}, "waiting", "Secret", "Wait until the Job", None),
        ({"job": RUNS}, "waiting", "1 active, 0/1 succeeded.", "Wait until the Job", None),
        ({"job": RUNS, "pods": [pod("Running")]}, "running", "1 active", "Wait until the Job", None),
        ({"job": RUNS, "pods": [pod("Pending")]}, "waiting", "1 active", "Wait until the Job", None),
        ({"job": job(deleted="2026-11-21T09:30:00Z")}, "waiting", "Being deleted since", "gone", None),
        ({"job": job(suspend=True)}, "waiting", "suspended", 'patch job model-sync-a --namespace demo', None),
    ],
)  # fmt: skip
def test_jobs(facts, state, message, next_step, patience):
    step = job_step(JobFacts(REF, **facts))
    assert (step.subject, step.state, step.patience) == ("Job demo/model-sync-a", state, patience)
    assert message in step.message
    assert next_step in step.next
    assert bool(step.next) == (state != "done")


def test_progress_of_a_running_job():
    lines = [
        json.dumps({"phase": "move", "bytes_done": 100, "bytes_total": 200}),
        json.dumps({"phase": "move", "bytes_done": 20, "bytes_total": 200}),
        "Traceback (most recent call last):",
        "[1]",
        "",
    ]
    step = job_step(JobFacts(REF, job=RUNS, pods=[pod("Running")], logs=lines))
    assert (step.state, step.message) == ("running", "Move, 30 %.")
    assert progress(lines[2:]) == ""
    assert "compares" in progress(['{"phase": "plan", "bytes_done": 0, "bytes_total": 0}'])


def test_the_engine_knows_better_than_kubernetes():
    error = {"kind": "AccessError", "message": "The bucket refuses.", "hint": "Give another key."}
    places = {"failed": True, "destinations": [{"error": None}, {"error": error}]}
    whole = {"failed": True, "error": {**error, "message": "The model is gated."}, "destinations": []}
    for said, message in ((places, "The bucket refuses."), (whole, "The model is gated.")):
        pods = [pod("Failed", said=json.dumps(said)), pod("Failed", said="Killed")]
        step = job_step(JobFacts(REF, job=FAILED, findings=[finding(fatal=True)], pods=pods))
        assert (step.state, step.message, step.next) == ("failed", message, "Give another key.")
    newest_first = [pod("Failed", said=json.dumps(whole)), pod("Failed", said=json.dumps(places))]
    assert job_step(JobFacts(REF, job=FAILED, pods=newest_first)).message == "The model is gated."
    # A Pod before this one may have failed: that is over when the Job goes on.
    assert job_step(JobFacts(REF, job=RUNS, pods=newest_first)).state == "waiting"


def test_cron_jobs():
    ref = Ref("batch/v1", "CronJob", REF.name, "demo")
    new = job_step(JobFacts(ref, cron=cron()))
    assert (new.subject, new.state) == ("CronJob demo/model-sync-a", "waiting")
    assert new.message == "Scheduled for '0 3 * * *'. It has not run yet."
    assert "--from=cronjob/model-sync-a" in new.next
    assert "suspended" in job_step(JobFacts(ref, cron=cron(suspend=True))).message
    assert job_step(JobFacts(ref, cron=cron(), job=COMPLETE)).state == "done"
    failed = job_step(JobFacts(ref, cron=cron(), job=FAILED))
    assert failed.message.startswith("Scheduled for '0 3 * * *'. Job model-sync-a: BackoffLimitExceeded")
    assert (failed.state, failed.patience) == ("failed", None)


# Copies --------------------------------------------------------------------------------------------------------------

CORRUPT = copy("corrupt", problems={"count": 2, "first": ["config.json: missing", "x: missing"]})
STOPPED = copy("partial")
HELD = copy("partial", holder="process 1 on worker-1", shards={"done": 1, "count": 2})


@pytest.mark.parametrize(
    ("found", "revision", "state", "message", "patience"),
    [
        (copy("complete"), None, "done", "Complete at revision aaa, 12 files.", None),
        (copy("complete"), "aaa", "done", "Complete at revision aaa, 12 files.", None),
        (copy("complete"), "bbb", "outdated", "Complete at revision aaa; the source is at bbb.", None),
        (copy("absent"), "bbb", "missing", "There is no copy.", None),
        (CORRUPT, "aaa", "failed", "Corrupt: config.json: missing (and 1 more).", GRACE),
        (STOPPED, "aaa", "failed", "began at 2026-11-21T09:30:00Z has stopped: 3 of 12 files are there.", GRACE),
        (HELD, "aaa", "running", "1 of 2 processes are done. Process 1 on worker-1 holds the lease.", None),
    ],
)
def test_copies(found, revision, state, message, patience):
    step = copy_step(URL, found, revision=revision, job=None)
    assert (step.subject, step.state, step.patience) == (URL, state, patience)
    assert message in step.message
    assert ("modelops.serving.model_sync." in step.next) == (state != "done")
    # While a Job is at work everything that is not complete waits for it; a CronJob repairs it next time.
    waits = copy_step(URL, found, revision=revision, job=JobFacts(REF, job=RUNS))
    scheduled = copy_step(URL, found, revision=revision, job=JobFacts(REF, cron=cron(), job=COMPLETE))
    if state == "done":
        assert waits == scheduled == step
    else:
        assert (waits.state, waits.message, waits.patience) == ("waiting", step.message, None)
        assert (scheduled.state, scheduled.patience) == (state, None)
        assert "--from=cronjob/" in scheduled.next
        again = copy_step(URL, found, revision=revision, job=JobFacts(REF, job=COMPLETE))
        assert "model_sync_job with run: always." in again.next


def test_refused_destination_fails_at_once_even_while_a_job_runs():
    step = copy_step(URL, AccessError("403.", hint="Ask."), revision=None, job=JobFacts(REF, job=RUNS))
    assert (step.state, step.next, step.patience) == ("failed", "Ask.", 0)


# The whole -----------------------------------------------------------------------------------------------------------


def a(step, state, patience=None):
    return Step(
        step, f"{step} {state}", state, f"Message of {step}.", "" if state == "done" else f"Do {step}.", patience
    )


def test_ready():
    assert not is_ready([])
    assert not is_ready([a("source", "done")])
    assert not is_ready([a("source", "unknown"), a("job", "done")])
    assert not is_ready([a("job", "running")])
    assert is_ready([a("source", "done"), a("job", "done")])
    assert not is_ready([a("copy", "done"), a("copy", "outdated")])
    assert not is_ready([a("source", "unknown"), a("copy", "done")])
    assert is_ready([a("source", "done"), a("job", "failed"), a("copy", "done"), a("copy", "done")])
    assert is_ready([a("copy", "done")])


def test_conclusion_of_a_ready_model():
    result = conclude("a/b", [a("job", "missing"), a("copy", "done")], "aaa")
    assert result["ready"] is True
    assert result["summary"] == "a/b is ready: 1 complete copy at revision aaa."
    assert (result["next_action"], [step["next"] for step in result["steps"]]) == ("", ["", ""])
    assert set(result["steps"][0]) == {"step", "subject", "state", "message", "next"}
    assert "2 complete copies" in conclude("a/b", [a("copy", "done"), a("copy", "done")], "aaa")["summary"]


@pytest.mark.parametrize(
    ("states", "first"),
    [
        (("done", "missing", "failed", "waiting"), "secret"),
        (("failed", "missing", "failed", "waiting"), "source"),
        (("done", "done", "running", "waiting"), "job"),
        (("done", "done", "running", "failed"), "copy"),
        (("unknown", "done", "waiting", "outdated"), "copy"),
        (("unknown", "done", "waiting", "waiting"), "source"),
        (("done", "unknown", "done", "missing"), "copy"),
    ],
)
def test_what_to_do_first(states, first):
    steps = [a(step, state) for step, state in zip(("source", "secret", "job", "copy"), states, strict=True)]
    result = conclude("a/b", steps, None)
    assert (result["ready"], result["next_action"]) == (False, f"Do {first}.")
    state = dict(zip(("source", "secret", "job", "copy"), states, strict=True))[first]
    assert result["summary"] == f"a/b is not ready. {first} {state} is {state}: Message of {first}."


def test_conclusion_without_destinations():
    result = conclude("a/b", [a("source", "done")], "aaa")
    assert (result["ready"], result["revision"]) == (False, "aaa")
    assert "destinations" in result["next_action"]


def test_message_of_a_failed_wait_names_what_is_not_done():
    told = unfinished([a("source", "done"), a("job", "running"), a("copy", "waiting")])
    assert told == "job running is running: Message of job. Do job. copy waiting is waiting: Message of copy. Do copy."


def test_patience():
    patience, bad, worse = Patience(), a("secret", "missing", GRACE), a("job", "failed", 0)
    assert not patience.is_over([a("job", "waiting")], 0)
    assert not patience.is_over([bad], 100)
    assert not patience.is_over([bad], 100 + GRACE - 1)
    assert patience.is_over([bad], 100 + GRACE)
    assert not patience.is_over([a("secret", "done")], 120)  # it has come meanwhile
    assert not patience.is_over([bad], 121)  # and is gone again: from here on
    assert patience.is_over([bad, worse], 122)
