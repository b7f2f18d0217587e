# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""hf_token_secret in a cluster and in AWS (as moto plays it): real runs of ansible-playbook."""

from __future__ import annotations

import base64
import json
import threading

import pytest
from kubernetes import client as api

MODULE = "modelops.serving.hf_token_secret"
NAME, KEYS = "huggingface-token-read", ["token", "HUGGINGFACE_TOKEN"]
ONE, TWO, THREE = "hf_canaryOne51c0d1", "hf_canaryTwo51c0d1", "hf_canaryThree51c0d1"
ROLE = "arn:aws:iam::123456789012:role/server"
GONE = {"state": "absent", "destroy": True}
TWELVE = [True, True, False, False] * 3


class Cluster:
    """The module with the test cluster, through a proxy."""

    def __init__(self, playbooks, proxy, cluster, namespace):
        self.playbooks, self.proxy, self.namespace = playbooks, proxy, namespace
        self.core = api.CoreV1Api(cluster.client())

    def task(self, *, check=False, keywords=None, **options):
        given = {"kubeconfig": str(self.proxy.kubeconfig), "namespace": self.namespace, **options}
        return {MODULE: given, "check_mode": check, "diff": True, "ignore_errors": True, **(keywords or {})}

    def run(self, *tasks):
        return self.playbooks.tasks(list(tasks)).ok().results

    def create(self, name, *, metadata=None, data=None, **more):
        body = {"metadata": {"name": name, **(metadata or {})}, "stringData": data, **more}
        self.core.create_namespaced_secret(self.namespace, body)

    def read(self, name=NAME):
        return self.core.read_namespaced_secret(name, self.namespace)

    def values(self, name=NAME):
        return {key: base64.b64decode(value).decode() for key, value in self.read(name).data.items()}


class Amazon:
    """The module with AWS, through a door."""

    def __init__(self, playbooks, aws):
        self.playbooks, self.aws = playbooks, aws
        self.store = aws.client("secretsmanager")

    def task(self, *, check=False, keywords=None, **options):
        given = {"backend": "aws_secrets_manager", **options}
        return {MODULE: given, "check_mode": check, "diff": True, "ignore_errors": True, **(keywords or {})}

    def run(self, *tasks, **environment):
        return self.playbooks.tasks(list(tasks), env=self.aws.environment | environment).ok().results

    def value(self, name=NAME):
        return self.store.get_secret_value(SecretId=name)["SecretString"]

    def versions(self, name=NAME):
        """Ids of versions -> labels, labelled ones only."""
        found = self.store.describe_secret(SecretId=name).get("VersionIdsToStages", {})
        return {version: labels for version, labels in found.items() if labels}

    def policy(self, name=NAME):
        return json.loads(self.store.get_resource_policy(SecretId=name).get("ResourcePolicy") or "null")


@pytest.fixture
def inside(playbooks, api_proxy, cluster, namespace):
    return Cluster(playbooks, api_proxy, cluster, namespace)


@pytest.fixture
def amazon(playbooks, aws):
    return Amazon(playbooks, aws)


def refused(result, *texts):
    """It failed, changed nothing, and says all this."""
    assert result["failed"] and not result.get("changed"), result
    for text in texts:
        assert text in result["msg"], result["msg"]


def same_prediction(predicted, actual, *ignored):
    for predictions, done in zip(predicted, actual, strict=True):
        assert predictions.get("diff") == done.get("diff")
        assert {**predictions, **dict.fromkeys(ignored)} == {**done, **dict.fromkeys(ignored)}


def test_twelve_steps_in_a_cluster(inside):
    steps = [
        {"token": ONE, "labels": {"team": "serving"}},
        {"token": TWO, "labels": {"team": "models"}, "annotations": {"why": "rotation"}},
        GONE,
    ]
    results = inside.run(*(inside.task(check=check, **step) for step in steps for check in (True, False) * 2))
    assert not [result["msg"] for result in results if result.get("failed")]
    assert [result["changed"] for result in results] == TWELVE
    same_prediction(results[::2], results[1::2])
    # Had a prediction written, the step after it would have changed nothing. A rotation changes one object, once.
    path = f"/api/v1/namespaces/{inside.namespace}/secrets/{NAME}"
    written = [(request.method, request.path) for request in inside.proxy.writes()]
    assert written == [("PATCH", path), ("PATCH", path), ("DELETE", path)]
    assert results[1]["name"] == f"{inside.namespace}/{NAME}"
    assert [results[1][key] for key in ("version", "previous_version", "reference", "keys")] == [None] * 3 + [KEYS]
    created, rotated, removed = (results[number]["diff"] for number in (1, 5, 9))
    assert created["before"] == "" and "token: (hidden)" in created["after"] and removed["after"] == ""
    assert "token: (hidden, another one)" in rotated["after"] and "team: models" in rotated["after"]
    assert "canary" not in json.dumps(results)


def test_adoption_in_a_cluster(inside):
    theirs = {"labels": {"theirs": "1"}}
    inside.create(NAME, metadata=theirs, data={"token": "old", "other": "theirs"})
    inside.create("same", data=dict.fromkeys(KEYS, ONE))
    inside.create("typed", data={"token": ONE}, type="example.com/other")
    inside.create("frozen", data={"token": "old"}, immutable=True)
    maker = inside.core.create_namespaced_config_map(inside.namespace, {"metadata": {"name": "maker"}})
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "maker", "uid": maker.metadata.uid, "controller": True}
    inside.create("made", metadata={"ownerReferences": [owner]}, data={"token": "old"})
    one = {"token": ONE}
    results = inside.run(
        inside.task(check=True, **one),
        inside.task(labels={"ours": "1"}, **one),
        inside.task(keys=["token"], **one),
        inside.task(name="same", **one),
        inside.task(name="same", **one),
        inside.task(name="typed", **one),
        inside.task(name="frozen", **one),
        inside.task(name="made", **one),
        inside.task(namespace="nowhere", **one),
        inside.task(state="absent"),
        inside.task(state="absent", check=True),
    )
    predicted, adopted, fewer, joined, again, typed, frozen, made, nowhere, *absent = results
    for result in (predicted, adopted):
        assert result["changed"] and "data.token from 'OpenAPI-Generator'" in result["warnings"][0]
    assert fewer["changed"] and "warnings" not in fewer
    assert inside.values() == {"token": ONE, "other": "theirs"}
    # Labels that are not given stay, whoever set them.
    assert inside.read().metadata.labels == {"theirs": "1", "ours": "1"}
    assert joined["changed"] and "data.token" in joined["diff"]["after"] and not again["changed"]
    refused(typed, "Secret", "typed", "type", "Choose another name")
    refused(frozen, "immutable", "state: absent")
    refused(made, "is made by ConfigMap maker")
    refused(nowhere, "namespace nowhere", "does not exist")
    for result in absent:
        refused(result, f"Secret {inside.namespace}/{NAME} is there", "destroy: true")
    assert len(inside.proxy.writes()) == 3


def test_twelve_steps_in_aws(amazon):
    steps = [
        {"token": ONE, "labels": {"team": "serving"}, "readers": [ROLE], "kms_key": "alias/models"},
        {"token": TWO, "labels": {"owner": "models"}, "readers": [f"{ROLE}-2"], "kms_key": "alias/other"},
        {**GONE, "recovery_window": 7},
    ]
    results = amazon.run(*(amazon.task(check=check, **step) for step in steps for check in (True, False) * 2))
    assert not [result["msg"] for result in results if result.get("failed")]
    assert [result["changed"] for result in results] == TWELVE
    # Nobody knows the ids of what is not there yet.
    same_prediction(results[2::2], results[3::2], "version", "reference")
    assert results[0]["diff"]["after"] == results[1]["diff"]["after"] and results[0]["name"] == NAME
    create = ["CreateSecret", "PutResourcePolicy"]
    modify = ["UpdateSecret", "TagResource", "UntagResource", "PutSecretValue", "PutResourcePolicy"]
    assert amazon.aws.writes() == [*create, *modify, "DeleteSecret"]
    (deletion,) = (request.body for request in amazon.aws.requests if request.operation == "DeleteSecret")
    assert deletion["RecoveryWindowInDays"] == 7

    created, rotated = results[1], results[5]
    arn = created["name"]
    assert arn.startswith("arn:aws:secretsmanager:") and created["previous_version"] is None
    assert created["reference"] == f"{arn}:::{created['version']}"
    assert (results[4]["version"], results[4]["previous_version"]) == (None, created["version"])
    assert rotated["previous_version"] == created["version"] != rotated["version"]
    assert results[7]["version"] == rotated["version"] and results[7]["previous_version"] is None
    assert "token: (hidden, another one)" in rotated["diff"]["after"] and "alias/other" in rotated["diff"]["after"]
    assert "canary" not in json.dumps(results)


def test_adoption_in_aws(amazon):
    others = [{"Sid": "Theirs", "Effect": "Deny", "Principal": "*", "Action": "secretsmanager:*", "Resource": "*"}]
    for name, value in {"plain": ONE, "object": json.dumps({"token": ONE, "other": 1}), NAME: "{}"}.items():
        amazon.store.create_secret(Name=name, SecretString=value, Tags=[{"Key": "theirs", "Value": "1"}])
    document = json.dumps({"Version": "2012-10-17", "Statement": others})
    amazon.store.put_resource_policy(SecretId="object", ResourcePolicy=document)
    amazon.store.create_secret(Name="empty")
    amazon.store.create_secret(Name="going", SecretString=json.dumps(dict.fromkeys(KEYS, ONE)))
    amazon.store.delete_secret(SecretId="going")
    one, two = {"token": ONE}, {"token": TWO}
    plain, obj, joined, former, *rest = amazon.run(
        amazon.task(name="plain", **one),
        amazon.task(name="object", readers=[ROLE], **one),
        amazon.task(name="object", readers=[], keys=["token"], keep_versions=2, **one),
        amazon.task(name="object", keep_versions=1, **two),
        amazon.task(name="empty", **one),
        amazon.task(name="going", **GONE),
        amazon.task(name="going", check=True, **one),
        amazon.task(name="going", **one),
        amazon.task(name="going", **one),
        amazon.task(name="going", state="absent"),
        amazon.task(name="going", **GONE, recovery_window=0),
    )
    empty, gone, predicted, restored, again, kept, removed = rest
    assert plain["changed"] and "held no JSON object" in plain["warnings"][0]
    assert json.loads(amazon.value("plain")) == dict.fromkeys(KEYS, ONE)
    tags = amazon.store.describe_secret(SecretId="plain")["Tags"]
    assert tags == [{"Key": "theirs", "Value": "1"}]

    assert obj["changed"] and "HUGGINGFACE_TOKEN: (hidden)" in obj["diff"]["after"]
    assert joined["changed"] and joined["version"] == obj["version"] and amazon.policy("object")["Statement"] == others
    assert former["previous_version"] == obj["version"]
    assert amazon.versions("object") == {former["version"]: ["AWSCURRENT"]}
    # Other keys stay, also one that had the token.
    assert json.loads(amazon.value("object")) == {"token": TWO, "other": 1, "HUGGINGFACE_TOKEN": TWO}

    assert empty["changed"] and empty["previous_version"] is None and empty["version"] in amazon.versions("empty")
    assert not gone["changed"] and not gone.get("failed")
    assert predicted["changed"] and "only known when" in predicted["warnings"][0]
    assert restored["changed"] and restored["version"] == predicted["version"] and not again["changed"]
    refused(kept, "going is there", "destroy: true")
    assert removed["changed"]
    assert "going" not in [secret["Name"] for secret in amazon.store.list_secrets()["SecretList"]]


def test_where_the_token_comes_from(amazon, tmp_path):
    file = tmp_path / "token"
    file.write_text(f"  {TWO}\n")
    environment, by_file, by_option, malformed, foreign, missing = amazon.run(
        amazon.task(),
        amazon.task(token_file=str(file)),
        amazon.task(hf_token=f"{THREE}\r\n", keys=["one"]),
        amazon.task(token="hf_two words"),
        amazon.task(token=ONE, namespace="models"),
        {**amazon.task(), "environment": {"HF_TOKEN": ""}},
        HF_TOKEN=ONE,
    )
    assert [result["changed"] for result in (environment, by_file, by_option)] == [True] * 3
    assert by_file["previous_version"] == environment["version"]
    assert "white space around it" in by_file["warnings"][0] and "white space around it" in by_option["warnings"][0]
    assert json.loads(amazon.value()) == {"token": TWO, "HUGGINGFACE_TOKEN": TWO, "one": THREE}
    refused(malformed, "illegal characters inside")
    refused(foreign, "The option namespace is not for backend=aws_secrets_manager")
    refused(missing, "There is no token to store. Give token or token_file, or set HF_TOKEN")
    assert len(amazon.aws.writes()) == 3


def test_aws_in_trouble(amazon):
    """What is lost, refused or meets somebody else's write, once each."""
    aws, later = amazon.aws, {"headers": {"Retry-After": "0"}}
    for name in ("throttled", "answer", "denied", "expired", "half"):
        amazon.store.create_secret(Name=name, SecretString=json.dumps({"token": ONE}))
    aws.fail("CreateSecret.*lost-create", times=1, lose_answer=True)
    aws.fail("PutSecretValue.*throttled", times=1, status=429, reason="ThrottlingException", **later)
    aws.fail("GetSecretValue.*throttled", times=1, status=500, **later)
    aws.fail("PutSecretValue.*answer", times=1, lose_answer=True)
    said = "User: arn:aws:iam::123456789012:user/x is not authorized to perform: secretsmanager:PutSecretValue on it"
    aws.fail("PutSecretValue.*(denied|half)", status=400, reason="AccessDeniedException", message=said)
    aws.fail("DescribeSecret.*expired", status=400, reason="ExpiredTokenException")
    theirs = {"Name": "race", "SecretString": json.dumps({"token": "theirs"})}
    aws.fail("CreateSecret.*race", times=1, before=lambda: amazon.store.create_secret(**theirs))
    aws.fail("DeleteSecret.*answer", times=1, lose_answer=True)
    aws.fail("DescribeSecret.*silent", reset=True)
    two = {"token": TWO}
    results = amazon.run(
        amazon.task(name="lost-create", **two),
        amazon.task(name="throttled", **two),
        amazon.task(name="answer", **two),
        amazon.task(name="race", **two),
        amazon.task(name="denied", **two),
        amazon.task(name="expired", **two),
        amazon.task(name="half", labels={"team": "serving"}, **two),
        amazon.task(name="silent", attempts=1, **two),
        amazon.task(name="answer", **GONE),
    )
    created, throttled, answer, race, denied, expired, half, silent, removed = results
    for result in (created, throttled, answer, race, removed):
        assert not result.get("failed") and result["changed"], result
    # A request that was carried out and came again made no second version.
    for name, result in {"lost-create": created, "throttled": throttled, "race": race}.items():
        assert [request.status for request in aws.requests if name in str(request)][-1] == 200
        assert json.loads(amazon.value(name))["token"] == TWO
        former = {result["previous_version"]: ["AWSPREVIOUS"]} if result["previous_version"] else {}
        assert amazon.versions(name) == {result["version"]: ["AWSCURRENT"], **former}
    assert created["previous_version"] is None and "theirs" not in amazon.value("race")
    assert len(amazon.versions("answer")) == 2 and answer["previous_version"] in amazon.versions("answer")
    refused(denied, "Allow the action secretsmanager:PutSecretValue")
    refused(expired, "The credentials have expired")
    refused(half, "Allow the action", "Done before: set its tags.")
    refused(silent, "look at the secret silent", "endpoint_url")
    assert json.loads(amazon.value("denied")) == {"token": ONE}


def test_two_runs_at_once(amazon, inside):
    both = threading.Barrier(2, timeout=120)
    amazon.aws.fail("CreateSecret", times=2, before=both.wait)
    background = {"async": 120, "poll": 0, "diff": False}
    started = [run.task(token=ONE, keywords=background) for run in (amazon, amazon, inside, inside)]
    ended = [
        {
            "ansible.builtin.async_status": {"jid": f"{{{{ result_{number}.ansible_job_id }}}}"},
            "register": f"ended_{number}",
            "until": f"ended_{number} is finished",
            "retries": 300,
            "delay": 0.2,
        }
        for number in range(4)
    ]
    results = amazon.run(*started, *ended)[4:]
    assert not [result["msg"] for result in results if result.get("failed")]
    one, other = results[:2]
    assert sorted([one["changed"], other["changed"]]) == [False, True] and one["version"] == other["version"]
    assert amazon.versions() == {one["version"]: ["AWSCURRENT"]}
    assert inside.values() == dict.fromkeys(KEYS, ONE)


def test_the_token_is_nowhere(amazon, inside, tmp_path):
    file = tmp_path / "token"
    file.write_text(f"{THREE}\n")
    amazon.aws.fail("PutSecretValue.*broken", status=400, reason="InvalidParameterException", message=f"not {TWO}")
    amazon.store.create_secret(Name="broken", SecretString="{}")
    background = {"async": 60, "poll": 1}
    one = {"token": f" {ONE}\n"}
    steps = [{**one, "check": True}, one, {"token": TWO, "keywords": background}, {"token_file": str(file)}, {}, GONE]
    tasks = [run.task(**step) for run in (inside, amazon) for step in steps]
    failing = [
        amazon.task(name="broken", token=TWO),
        inside.task(token=TWO, host="http://127.0.0.1:9"),
        amazon.task(token=f"{THREE} {THREE}"),
        amazon.task(token=ONE, recovery_window="soon"),
    ]
    four = "hf_canaryFour51c0d1"
    environment = amazon.aws.environment | {"HF_TOKEN": four}
    run = amazon.playbooks.tasks([*tasks, *failing], "-vvvv", "--diff", env=environment).ok()
    assert [result["failed"] for result in run.results] == [False] * len(tasks) + [True] * len(failing)
    assert all(result["changed"] for result in run.results[: len(tasks)])
    assert "(hidden, another one)" in run.output
    results = (tmp_path / "results.json").read_text()
    left = "".join(path.read_text(errors="replace") for path in amazon.playbooks.leftovers(patience=5))
    for token in (ONE, TWO, THREE, four):
        for hidden in (token, base64.b64encode(token.encode()).decode()):
            assert hidden not in run.output
            assert hidden not in results
            assert hidden not in left
