# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The example docs/examples/async: its playbook against the stand-in for Google's APIs, and its programs as processes with
the environment that its Pods have, against that stand-in and the server of tokens.

Its objects are checked against schemas and not run: Workload Identity and the metric of the autoscaler need GKE.
"""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import os
import subprocess
import sys
import threading
import time

import pytest
import yaml
from bench_runs import _token_server, bench
from runner import ROOT
from schemas import check
from token_server import MODEL

__all__ = ["_token_server", "bench"]

EXAMPLE = ROOT / "docs" / "examples" / "async"
PUBSUB = "pubsub/v1/projects/demo-project"
REQUESTS, ANSWERS, DEAD_LETTERS = (f"inference-{name}" for name in ("requests", "answers", "dead-letters"))
TOTAL = 40


@pytest.fixture
def metadata(google):
    """The metadata server of a node, for the one path that the programs ask for."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            known = self.path == "/computeMetadata/v1/instance/service-accounts/default/token"
            self.send_response(200 if known and self.headers["Metadata-Flavor"] == "Google" else 403)
            self.end_headers()
            token = {"access_token": google.access_token, "expires_in": 3599, "token_type": "Bearer"}
            self.wfile.write(json.dumps(token).encode())

        def log_message(self, *_arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


class Programs:
    """Starts the programs as their Pods would."""

    def __init__(self, google, metadata, bench, objects, folder) -> None:
        self._google, self._folder, self._started = google, folder, []
        (folder / "programs").mkdir(parents=True)
        for name, text in objects["ConfigMap", "async-programs"]["data"].items():
            (folder / "programs" / name).write_text(text)
        self._objects = objects
        self._there = {
            "PATH": os.environ["PATH"],
            "PUBSUB_ENDPOINT": google.endpoint("pubsub"),
            "GCE_METADATA_HOST": metadata,
        }
        self.endpoint = bench.server.url

    def start(self, kind: str, name: str, **changes: str) -> subprocess.Popen:
        (container,) = self._objects[kind, name]["spec"]["template"]["spec"]["containers"]
        given = {item["name"]: item["value"] for item in container["env"]}
        command = [
            sys.executable,
            *container["command"][1:-1],
            str(self._folder / container["command"][-1].lstrip("/")),
        ]
        log = self._folder / f"{len(self._started)}.log"
        with log.open("wb") as stream:
            process = subprocess.Popen(command, env={**given, **self._there, **changes}, stderr=stream)
        process.log = log
        self._started.append(process)
        return process

    def subscribe(self) -> subprocess.Popen:
        # Messages of whoever is killed are to come again soon.
        changes = {"ENDPOINT": self.endpoint, "MODEL": MODEL, "ACK_DEADLINE": "2", "MAX_CONCURRENT": "4"}
        return self.start("Deployment", "async-subscriber", **changes)

    def kill(self) -> None:
        for process in self._started:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()


def log_of(process) -> list[dict]:
    return [json.loads(line) for line in process.log.read_text().splitlines()]


@pytest.fixture
def made(playbooks, google):
    """The objects of the example, by kind and name, after its playbook was run."""
    (play,) = yaml.safe_load((EXAMPLE / "async.yml").read_text())
    gitops, playbook = playbooks.directory / "gitops", playbooks.directory / "async.yml"
    for number, task in enumerate(play["tasks"]):
        if "modelops.serving.kube_objects" in task:
            options = task["modelops.serving.kube_objects"]
            options.pop("wait", None)  # nobody waits for files
            options["render_to"] = str(gitops / str(number))
    playbook.write_text(json.dumps([play]))
    (playbooks.directory / "programs").symlink_to(EXAMPLE / "programs")
    path = [playbooks.environment["ANSIBLE_COLLECTIONS_PATH"], str(ROOT / ".venv" / "collections")]
    environment = {**google.environment, "ANSIBLE_COLLECTIONS_PATH": os.pathsep.join(path)}
    variables = {"project": google.project, "project_number": google.project_number, "messages": TOTAL}
    variables["auth_kind"] = "accesstoken"
    playbooks.playbook(playbook, "--tags", "all,load", "-e", json.dumps(variables), **environment).ok()
    found = [yaml.safe_load(file.read_text()) for file in sorted(gitops.rglob("*.yaml"))]
    return {(obj["kind"], obj["metadata"]["name"]): obj for obj in found}


@pytest.fixture
def programs(google, metadata, bench, made, tmp_path):
    found = Programs(google, metadata, bench, made, tmp_path / "pods")
    yield found
    found.kill()


def messages(google, topic: str) -> list[dict]:
    return (google.get(f"{PUBSUB}/topics/{topic}/messages") or {"messages": []})["messages"]


def settled(google) -> list[str]:
    """Of each answer and dead letter, the message that it is of."""
    found = messages(google, ANSWERS) + messages(google, DEAD_LETTERS)
    return [message["attributes"]["original_message_id"] for message in found]


def unsettled(google) -> set[str]:
    """Messages that somebody took and did not acknowledge."""
    leases = google.get(f"{PUBSUB}/subscriptions/{REQUESTS}/leases")
    return {number for number, lease in leases["taken"].items() if lease["attempts"]} - set(leases["acknowledged"])


def wait_for(what, process) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert process.poll() is None and time.monotonic() < deadline, process.log.read_text()
        time.sleep(0.05)


def check_what_was_made(google, made) -> None:
    subscription = google.get(f"{PUBSUB}/subscriptions/{REQUESTS}")
    assert {
        name: value for name, value in subscription.items() if name not in ("name", "topic", "state", "pushConfig")
    } == {
        "messageRetentionDuration": "1200s",
        "retainAckedMessages": True,
        "ackDeadlineSeconds": 600,
        "expirationPolicy": {"ttl": "300000.500s"},
        "retryPolicy": {"minimumBackoff": "10s", "maximumBackoff": "600s"},
        "deadLetterPolicy": {
            "deadLetterTopic": f"projects/demo-project/topics/{DEAD_LETTERS}",
            "maxDeliveryAttempts": 10,
        },
    }
    pool = "principal://iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools"
    subscriber = f"{pool}/demo-project.svc.id.goog/subject/ns/async/sa/async-subscriber"
    agent = "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"
    policy = google.policy(f"{PUBSUB}/topics/{DEAD_LETTERS}")["bindings"]
    assert [(one["role"], set(one["members"])) for one in policy] == [("roles/pubsub.publisher", {subscriber, agent})]

    for obj in made.values():
        check(obj)
    assert len(made) == 6
    for kind, name in (("Deployment", "async-subscriber"), ("Job", "async-load")):
        pod = made[kind, name]["spec"]["template"]["spec"]
        assert ("ServiceAccount", pod["serviceAccountName"]) in made
        assert pod["volumes"][0]["configMap"]["name"] == "async-programs"
    scaler = made["HorizontalPodAutoscaler", "async-subscriber"]["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (1, 16)
    external = scaler["metrics"][0]["external"]
    assert external["metric"]["selector"]["matchLabels"] == {"resource.labels.subscription_id": REQUESTS}
    assert external["target"] == {"type": "AverageValue", "averageValue": "100"}


def test_every_message_is_answered_or_explained(google, made, programs, bench):
    check_what_was_made(google, made)
    place = f"{PUBSUB}/subscriptions/{REQUESTS}"
    subscription = google.get(place)
    google.put(place, {**subscription, "ackDeadlineSeconds": 2, "retryPolicy": {"minimumBackoff": "0.1s"}})

    assert programs.start("Job", "async-load").wait(60) == 0
    asked = messages(google, REQUESTS)
    assert [message["attributes"] for message in asked] == [{"number": str(number)} for number in range(TOTAL)]
    # What the model refuses, and what is no question.
    refused = {"prompt": "a", "max_tokens": 2, "model": "none"}
    for data in (json.dumps(refused).encode(), b"no JSON"):
        taken = [
            *messages(google, REQUESTS),
            {"data": base64.b64encode(data).decode(), "messageId": f"bad-{len(data)}"},
        ]
        google.put(f"{PUBSUB}/topics/{REQUESTS}/messages", {"messages": taken})
    wanted = {message["messageId"] for message in messages(google, REQUESTS)}

    bench.server.play(ttft=0.1)
    killed = programs.subscribe()
    wait_for(lambda: len(settled(google)) >= 6, killed)
    killed.kill()
    killed.wait()
    # Whether its last request counts is known when it has been answered.
    time.sleep(0.2)
    abandoned = unsettled(google)
    assert len(abandoned) <= 4

    ended, before = programs.subscribe(), len(settled(google))
    wait_for(lambda: len(settled(google)) >= before + 6, ended)
    ended.terminate()
    assert ended.wait(60) == 0, ended.log.read_text()
    assert unsettled(google) <= abandoned
    assert log_of(ended)[-1]["event"] == "ended"
    assert set(settled(google)) < wanted

    bench.server.play(ttft=0.01, faults=(None, None, None, None, None, None, "429", "reset", "500"))
    google.fail(r":publish", times=1, after=3, status=503)
    last = programs.subscribe()
    wait_for(lambda: set(settled(google)) == wanted and not unsettled(google), last)
    last.terminate()
    assert last.wait(60) == 0, last.log.read_text()

    answered = [message["attributes"]["original_message_id"] for message in messages(google, ANSWERS)]
    assert {number for number in answered if answered.count(number) > 1} <= abandoned
    answer = json.loads(base64.b64decode(messages(google, ANSWERS)[0]["data"]))
    assert (answer["model"], answer["usage"]["completion_tokens"]) == (MODEL, 64)
    letters = {message["attributes"]["original_message_id"]: message for message in messages(google, DEAD_LETTERS)}
    assert len(messages(google, DEAD_LETTERS)) == 2
    reasons = [letters[f"bad-{len(data)}"]["attributes"]["failure_reason"] for data in (json.dumps(refused), "no JSON")]
    assert "404" in reasons[0] and "The model `none` does not exist." in reasons[0]
    assert reasons[1].startswith("JSONDecodeError")
    assert json.loads(base64.b64decode(letters["bad-7"]["data"])) == {"data": "no JSON"}
