# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""hf_token_secret with Google Secret Manager: real runs of ansible-playbook against a stand-in for Google's APIs.

What it cannot show: that IAM lets an account do what its roles say, keys of Cloud KMS at work, and how long it takes
until every reader of ``latest`` sees a new version.
"""

from __future__ import annotations

import base64
import json
import secrets

import pytest
import urllib3
import yaml

MODULE = "modelops.serving.hf_token_secret"
OLD, NEW = (f"hf_canary{secrets.token_hex(13)}" for _number in range(2))
ENABLED, DISABLED, DESTROYED = "ENABLED", "DISABLED", "DESTROYED"
ACTIONS = {DISABLED: ":disable", DESTROYED: ":destroy"}


class Door:
    """The module through ansible-playbook, on secrets of one project."""

    def __init__(self, google, playbooks):
        self.google, self.playbooks = google, playbooks
        self.parent = f"projects/{google.project}/secrets"
        self._url = f"{google.endpoint('secretmanager')}/v1/{self.parent}"

    def task(self, name, token=None, *, keywords=None, **options):
        given = {"backend": "gcp_secret_manager", "name": name, **({"token": token} if token else {}), **options}
        return {MODULE: given, "ignore_errors": True, "diff": True, **(keywords or {})}

    def check(self, name, token=None, **options):
        return self.task(name, token, keywords={"check_mode": True}, **options)

    def run(self, *tasks, **settings):
        return self.playbooks.tasks(list(tasks), env=self.google.environment, **settings).ok().results

    def put(self, name, *versions, **fields):
        """A secret that somebody else made, with versions of these values or pairs of value and state."""
        self._post(f"?secretId={name}", {"replication": {"automatic": {}}, **fields})
        for number, version in enumerate(versions, 1):
            value, state = version if isinstance(version, tuple) else (version, ENABLED)
            self._post(f"/{name}:addVersion", {"payload": {"data": base64.b64encode(value.encode()).decode()}})
            if state != ENABLED:
                self._post(f"/{name}/versions/{number}{ACTIONS[state]}", {})
        self.google.clear_requests()

    def _post(self, path, body):
        headers = {"authorization": f"Bearer {self.google.access_token}"}
        answer = urllib3.request("POST", f"{self._url}{path}", json=body, headers=headers, retries=False)
        assert answer.status == 200, answer.data

    def versions(self, name):
        """Pairs of value and state, the oldest first; the value is None where it was destroyed."""
        found = sorted(self.google.secret_versions(name), key=lambda version: int(version["version"]))
        return [(version["value"] and version["value"].decode(), version["state"]) for version in found]

    def secret(self, name):
        return self.google.get(f"secretmanager/v1/{self.parent}/{name}")

    def writes(self, name):
        """Requests that change the secret, in short: ``POST``, ``POST :addVersion``, ``POST /versions/1:disable``."""
        requests = [request for request in self.google.requests if request.writes]
        own = [
            request for request in requests if request.path.split("/secrets/")[-1].split("/")[0].split(":")[0] == name
        ]
        made = [request for request in requests if dict(request.query).get("secretId") == name]
        return [f"{request.method} {request.path.partition(name)[2]}".strip() for request in [*made, *own]]


@pytest.fixture
def door(google, playbooks):
    return Door(google, playbooks)


def outline(results):
    return [(result["changed"], result["version"], result["previous_version"]) for result in results]


def shown(result, new=None):
    """Both sides of the diff, with the id of the new version."""
    diff = result.get("diff", {"before": "", "after": ""})
    return [yaml.safe_load(diff[side].replace("(new)", f"'{new}'")) for side in ("before", "after")]


def test_twelve_steps(door):
    first = {"labels": {"team": "a"}, "annotations": {"owner": "Team A"}, "keep_versions": 1}
    second = {"labels": {"team": "b"}, "keep_versions": 1}
    steps = [
        *[call("hf", OLD, **first) for call in (door.check, door.task) * 2],
        *[call("hf", NEW, **second) for call in (door.check, door.task) * 2],
        *[call("hf", state="absent", destroy=True) for call in (door.check, door.task) * 2],
    ]
    results = door.run(*steps)
    assert outline(results[:8]) == [
        *[(True, None, None), (True, "1", None), (False, "1", None), (False, "1", None)],
        *[(True, None, "1"), (True, "2", "1"), (False, "2", None), (False, "2", None)],
    ]
    assert [result["changed"] for result in results[8:]] == [True, True, False, False]
    assert door.writes("hf") == [
        *["POST", "POST :addVersion"],
        *["PATCH", "POST :addVersion", "POST /versions/1:disable"],
        *["DELETE"],
    ]
    assert results[1]["reference"] == f"{door.parent}/hf/versions/1"
    # Check mode foresees everything but the id of a version that is not there.
    for foreseen, done in zip(results[::2], results[1::2], strict=True):
        assert shown(foreseen, done["version"]) == shown(done)
    assert shown(results[5])[1]["annotations"] == {"owner": "Team A"}  # nothing was said about them
    created = next(request for request in door.google.requests if request.method == "POST").body
    assert created == {"replication": {"automatic": {}}, "labels": {"team": "a"}, "annotations": {"owner": "Team A"}}


def test_what_is_there_is_adopted(door):
    labels = {"managed-by": "terraform"}
    door.put("empty", labels=labels)
    door.put("newline", f"{NEW}\n")  # echo TOKEN | gcloud secrets versions add
    door.put("paused", NEW, (OLD, DISABLED))
    door.put("revoked", NEW, (NEW, DESTROYED))
    door.put("same", OLD, NEW, labels=labels)
    door.put("disable", OLD, (OLD, DISABLED), OLD, OLD)
    door.put("destroy", OLD, (OLD, DISABLED), OLD, OLD)
    door.put("tidy", OLD, NEW)
    door.put("all", OLD, (OLD, DISABLED), NEW)
    tasks = [
        *[door.task(name, NEW) for name in ("empty", "newline", "paused", "revoked", "same")],
        door.task("disable", NEW, keep_versions=2),
        door.task("destroy", NEW, keep_versions=2, old_versions="destroy"),
        door.task("tidy", NEW, keep_versions=1),
        door.task("all", NEW),
    ]
    again = [door.check("newline", NEW), *tasks[5:8]]
    results = door.run(*tasks, *again)
    assert outline(results[:9]) == [
        (True, "1", None),
        (True, "2", "1"),
        (True, "3", "1"),
        (True, "3", "1"),
        (False, "2", None),
        (True, "5", "4"),
        (True, "5", "4"),
        (True, "2", None),
        (False, "3", None),
    ]
    assert not any(result["changed"] for result in results[9:])
    assert door.secret("empty")["labels"] == door.secret("same")["labels"] == labels
    assert door.versions("newline") == [(f"{NEW}\n", ENABLED), (NEW, ENABLED)]
    assert DISABLED in results[2]["warnings"][0] and "latest" in results[2]["warnings"][0]
    assert DESTROYED in results[3]["warnings"][0]
    kept = [(OLD, ENABLED), (NEW, ENABLED)]
    assert door.versions("disable") == [(OLD, DISABLED)] * 3 + kept
    assert door.versions("destroy") == [(None, DESTROYED)] * 3 + kept
    assert door.versions("tidy") == [(OLD, DISABLED), (NEW, ENABLED)]
    assert door.writes("empty") == ["POST :addVersion"] and door.writes("same") == door.writes("all") == []
    # The new version comes before anything is taken away.
    assert door.writes("disable")[0] == door.writes("destroy")[0] == "POST :addVersion"


def test_where_it_lies_and_with_which_key(door):
    def key(location, name="one"):
        return f"projects/{door.google.project}/locations/{location}/keyRings/models/cryptoKeys/{name}"

    def encrypted(name):
        return {"customerManagedEncryption": {"kmsKeyName": name}}

    east, west = "us-east1", "us-west1"
    door.put("automatic", NEW)
    results = door.run(
        door.task("places", NEW, locations=[east, west]),
        door.task("places", NEW, locations=[west, east]),
        door.task("places", NEW),
        door.task("place", NEW, locations=[east], kms_key=key(east)),
        door.task("place", NEW, kms_key=key(east, "two")),
        door.check("place", NEW, locations=[east], kms_key=key(east, "two")),
        door.task("automatic", NEW, kms_key=key("global")),
        door.task("automatic", NEW, kms_key=key("global")),
        # From here on nothing is done.
        door.task("places", OLD, locations=[east], labels={"a": "b"}),
        door.task("more", OLD, locations=[east, west], kms_key=key(east)),
        door.task("more", OLD, kms_key=key(east)),
        door.task("odd", OLD, labels={"Team": "a"}),
        door.task("odd/name", OLD),
    )
    good, bad = results[:8], results[8:]
    assert [result["changed"] for result in good] == [True, False, False, True, True, False, True, False]
    assert all(result["failed"] and result["error"]["kind"] == "InputError" for result in bad), bad
    assert all(result["error"]["hint"] for result in bad)
    assert east in bad[0]["msg"] and west in bad[0]["msg"] and "cannot be changed" in bad[0]["msg"]
    assert f"{east}, {west}" in bad[1]["msg"] and "needs one in global" in bad[2]["msg"] and "'Team'" in bad[3]["msg"]
    replicas = [{"location": east}, {"location": west}]
    assert door.secret("places")["replication"] == {"userManaged": {"replicas": replicas}}
    replicas = [{"location": east, **encrypted(key(east, "two"))}]
    assert door.secret("place")["replication"] == {"userManaged": {"replicas": replicas}}
    assert door.secret("automatic")["replication"] == {"automatic": encrypted(key("global"))}
    assert "stay encrypted" in good[4]["warnings"][0]
    assert door.writes("places") == ["POST", "POST :addVersion"]
    assert door.writes("place") == ["POST", "POST :addVersion", "PATCH"]
    assert door.writes("automatic") == ["PATCH"]
    assert door.writes("more") == []
    assert not any("odd" in request.path for request in door.google.requests)


def test_trouble(door):
    google = door.google
    fault = google.fail
    for name in ("half", "broken", "lost", "unsent", "busy", "unreadable", "relabelled", "gone"):
        door.put(name, OLD)
    fault("half/versions/1:disable", times=1, status=403, message="Permission 'secretmanager.versions.disable' denied.")
    fault("broken/versions/1:destroy", times=2, status=500)
    fault("lost:addVersion", times=1, lose_answer=True)
    fault("unsent:addVersion", times=1, status=503)
    fault("busy:addVersion", times=1, status=429)
    denied = "Permission 'secretmanager.versions.access' denied for resource (or it may not exist)."
    fault("unreadable/versions/1:access", status=403, message=denied)
    path = f"secretmanager/v1/{door.parent}"

    def relabel():
        google.put(f"{path}/relabelled", {**google.get(f"{path}/relabelled"), "labels": {"by": "other"}, "etag": '"2"'})

    def create():
        google.put(f"{path}/raced", {"name": f"{door.parent}/raced", "replication": {"automatic": {}}, "etag": '"1"'})

    fault("PATCH .*relabelled", times=1, before=relabel)
    fault("POST .*/secrets$", times=1, before=create)
    fault("DELETE .*gone", times=1, lose_answer=True)
    tidy = {"keep_versions": 1, "attempts": 2}
    results = door.run(
        door.task("raced", NEW),
        door.task("half", NEW, **tidy),
        door.task("half", NEW, **tidy),
        door.task("broken", NEW, old_versions="destroy", **tidy),
        door.task("broken", NEW, old_versions="destroy", **tidy),
        door.task("lost", NEW, **tidy),
        door.task("unsent", NEW),
        door.task("busy", NEW),
        door.check("unreadable", NEW),
        door.task("relabelled", NEW, labels={"by": "us"}, annotations={"by": "us"}),
        door.task("gone", state="absent"),
        door.check("gone", state="absent"),
        door.task("gone", state="absent", destroy=True),
    )
    raced, half, rest, broken, mended, lost, unsent, busy, unreadable, relabelled, word, foreseen, gone = results
    assert (raced["version"], door.writes("raced")) == ("1", ["POST", "POST :addVersion"])
    for failed, done in ((half, rest), (broken, mended)):
        assert failed["failed"] and "version 2 was added" in failed["error"]["hint"]
        assert (done["changed"], done["version"], done["previous_version"]) == (True, "2", None)
    assert "secretmanager.versions.disable" in half["error"]["hint"] and half["error"]["kind"] == "AccessError"
    assert door.versions("half") == [(OLD, DISABLED), (NEW, ENABLED)]
    assert door.versions("broken") == [(None, DESTROYED), (NEW, ENABLED)]
    assert outline([lost, unsent, busy]) == [(True, "2", "1")] * 3
    assert door.versions("lost") == [(OLD, DISABLED), (NEW, ENABLED)]
    assert door.writes("lost") == ["POST :addVersion", "POST /versions/1:disable"]
    assert len(door.versions("unsent")) == len(door.versions("busy")) == 2
    assert unreadable["failed"] and "roles/secretmanager.secretAccessor" in unreadable["msg"]
    assert relabelled["changed"] and door.secret("relabelled")["labels"] == {"by": "us"}
    assert door.writes("relabelled") == ["PATCH", "PATCH", "POST :addVersion"]
    for result in (word, foreseen):
        assert result["failed"] and f"{door.parent}/gone" in result["msg"] and "destroy" in result["error"]["hint"]
    assert gone["changed"] and door.versions("gone") == []


def test_refused_from_the_start(door):
    disabled = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "SERVICE_DISABLED"}]
    door.google.fail("secrets/off", status=403, message="Secret Manager API is disabled.", details=disabled)
    denied = "Permission 'secretmanager.secrets.get' denied for resource."
    door.google.fail("secrets/denied", status=403, message=denied)
    door.google.fail("secrets/down", status=503)
    off, denied, down, expired, nowhere = door.run(
        door.task("off", NEW),
        door.task("denied", NEW),
        door.task("down", NEW, attempts=1),
        door.task("expired", NEW, access_token="no-longer-valid"),
        door.task("nowhere", NEW, keywords={"environment": {"GCP_PROJECT": "", "GOOGLE_CLOUD_PROJECT": ""}}),
    )
    assert "gcloud services enable secretmanager.googleapis.com" in off["error"]["hint"]
    assert "secretmanager.secrets.get" in denied["error"]["hint"]
    assert [result["error"]["kind"] for result in (off, denied, expired)] == ["AccessError"] * 3
    assert "Renew the access token" in expired["error"]["hint"]
    assert down["failed"] and "secrets/down" in down["msg"]
    assert nowhere["failed"] and "project" in nowhere["msg"]
    assert not any(request.writes for request in door.google.requests)


def test_the_token_is_nowhere_but_in_the_store(door, tmp_path):
    file = tmp_path / "token"
    file.write_text(f"{NEW}\n")
    door.put("failing", OLD)
    door.put("stuck", OLD)
    door.google.fail("failing:addVersion", status=500)
    door.google.fail("stuck/versions/1:disable", status=403, message="Permission denied.")
    tasks = [
        door.check("canary", NEW),
        door.task("canary", f" {NEW}\n"),
        door.task("canary", token_file=str(file)),
        door.task("canary", NEW, labels={"a": "b"}, keywords={"async": 60, "poll": 1}),
        door.task("failing", NEW, attempts=1),
        door.task("stuck", NEW, keep_versions=1),
        door.task("canary", NEW, labels={"Bad": "label"}),
        door.task("canary", state="absent"),
    ]
    run = door.playbooks.tasks(tasks, "-vvvv", "--diff", env=door.google.environment).ok()
    assert [bool(result.get("failed")) for result in run.results] == [False] * 4 + [True] * 4, run.results
    assert door.versions("canary") == [(NEW, ENABLED)] and door.versions("stuck")[1] == (NEW, ENABLED)
    left = "".join(path.read_text(errors="replace") for path in door.playbooks.leftovers(patience=5))
    asked = "".join(f"{request.path} {request.query}" for request in door.google.requests)
    for value in (OLD, NEW):
        for hidden in (value, base64.b64encode(value.encode()).decode()):
            for place in (run.output, json.dumps(run.results), left, asked):
                assert hidden not in place
