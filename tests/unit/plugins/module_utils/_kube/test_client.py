# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import types

import pytest
import urllib3
import websocket
from kubernetes.stream import ws_client

from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Ref, Resource
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import (
    ApiError,
    ConflictError,
    InputError,
    KubeError,
    UnavailableError,
    refusal,
)
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._kube.fakes import (
    Answer,
    FakeApi,
    refuse,
)

SETTINGS = Ref("v1", "ConfigMap", "settings", "demo")
CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "demo"}}


@pytest.fixture
def api():
    return FakeApi()


@pytest.fixture
def client(api):
    return api.client()


def failing(*answers):
    """A rule that gives these answers in turn to requests for objects, raising those that are exceptions."""
    left = list(answers)

    def rule(asked):
        if "/namespaces/" not in asked.path or not left:
            return None
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return rule


# --- requests


def test_apply_get_delete(api, client):
    assert client.get(SETTINGS) is None
    applied = client.apply({**CONFIG_MAP, "data": {"a": "b"}}, manager="me")
    assert client.get(SETTINGS) == applied
    assert client.delete(SETTINGS, dry_run=True) and client.get(SETTINGS)
    assert not client.delete(SETTINGS, uid="of another one") and client.get(SETTINGS)
    assert client.delete(SETTINGS, uid=applied["metadata"]["uid"], propagation="Foreground")
    assert client.get(SETTINGS) is None
    assert not client.delete(SETTINGS)
    patch, deletion = (next(asked for asked in api.asked[::-1] if asked.method == name) for name in ("PATCH", "DELETE"))
    assert patch.path == "/api/v1/namespaces/demo/configmaps/settings"
    assert patch.query == {"fieldManager": "me", "force": "false", "fieldValidation": "Strict"}
    assert patch.headers["authorization"] == "Bearer renewed"
    assert deletion.body == {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}


def test_values_of_a_secret(client):
    with pytest.raises(InputError) as raised:
        client.read_secret("demo", "mine", missing="Create it.")
    assert str(raised.value) == "Secret demo/mine is not there. Create it."
    metadata = {"name": "mine", "namespace": "demo"}
    client.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"a": "Yg=="}}, manager="me")
    assert client.read_secret("demo", "mine", missing="Create it.") == {"a": "b"}


def test_dry_run_is_marked_in_every_place(api, client):
    client.apply(CONFIG_MAP, manager="me", dry_run=True, force=True)
    assert api.asked[-1].query["dryRun"] == "All" and api.asked[-1].query["force"] == "true"
    assert client.get(SETTINGS) is None
    client.apply(CONFIG_MAP, manager="me")
    client.delete(SETTINGS, dry_run=True)
    assert api.asked[-1].query["dryRun"] == "All" and api.asked[-1].body["dryRun"] == ["All"]


def test_a_group_version_is_discovered_once(api, client):
    for _number in range(3):
        client.get(SETTINGS)
        client.get(Ref("v1", "Namespace", "demo"))
    paths = [asked.path for asked in api.asked]
    assert paths.count("/api/v1") == 1 and len(paths) == 7
    assert paths[2] == "/api/v1/namespaces/demo"


def test_subresources_are_no_kinds(client):
    assert client.resource("v1", "Pod").plural == "pods"


def test_kinds_that_are_not_served(api, client):
    api.kinds["apps/v1beta1"] = {"old": ("Old", True)}
    assert not client.serves("jobset.x-k8s.io/v1alpha2", "JobSet")
    for api_version, kind, message in (
        (
            "jobset.x-k8s.io/v1alpha2",
            "JobSet",
            "does not serve kind JobSet of jobset.x-k8s.io/v1alpha2. Install .*jobset.sigs",
        ),
        ("example.com/v1", "Thing", "Install what brings the API group example.com[.]$"),
        ("apps/v2", "Deployment", "It serves Deployment of apps/v1[.]"),
        ("apps/v1", "Deploymnt", "Check kind and apiVersion"),
        ("v1", "Thing", "Check kind and apiVersion"),
    ):
        with pytest.raises(InputError, match=message):
            client.resource(api_version, kind)


def test_kinds_to_come_add_to_those_that_are_served(client):
    client.learn(Resource("apps/v1", "Thing", "things", namespaced=False))
    client.learn(Resource("example.com/v1", "Thing", "things", namespaced=True))
    assert client.serves("apps/v1", "Thing") and client.serves("apps/v1", "Deployment")
    assert (
        client.resource("example.com/v1", "Thing").path("demo", "a") == "/apis/example.com/v1/namespaces/demo/things/a"
    )


def test_lists_are_paged(api, client):
    for number in range(1203):
        obj = {
            **CONFIG_MAP,
            "metadata": {"name": f"n{number:04}", "namespace": "demo", "labels": {"a": str(number % 3)}},
        }
        api.objects[f"/api/v1/namespaces/demo/configmaps/n{number:04}"] = obj
    found = client.list("v1", "ConfigMap", "demo")
    assert [obj["metadata"]["name"] for obj in found] == [f"n{number:04}" for number in range(1203)]
    assert {(obj["apiVersion"], obj["kind"]) for obj in found} == {("v1", "ConfigMap")}
    assert len(client.list("v1", "ConfigMap", "demo", labels="a=1")) == 401
    # The token of the second page expires: everything is asked for at once.
    api.rules.append(lambda asked: refuse(410, "expired", "Expired") if asked.query.get("continue") == "500" else None)
    assert client.list("v1", "ConfigMap", "demo") == found
    assert "limit" not in api.asked[-1].query


def test_logs(api, client):
    answers = [Answer(200, b"line\n\xff"), refuse(400, "container is waiting to start", "BadRequest")]
    answers += [refuse(404, "not found", "NotFound"), refuse(403, "forbidden", "Forbidden")]
    api.rules.append(lambda asked: answers.pop(0) if asked.path.endswith("/log") else None)
    assert (
        client.logs("demo", "pod", "main", tail=5, previous=True, since_time="2026-01-01T00:00:00Z") == "line\n\ufffd"
    )
    assert api.asked[-1].query == {
        "container": "main",
        "tailLines": "5",
        "previous": "true",
        "sinceTime": "2026-01-01T00:00:00Z",
    }
    assert client.logs("demo", "pod", "main") == client.logs("demo", "pod", "main") == ""
    with pytest.raises(ApiError):
        client.logs("demo", "pod", "main")


def test_version(api, client):
    api.rules.append(lambda asked: Answer(200, {"major": "1", "minor": "27+"}) if asked.path == "/version" else None)
    assert client.version() == client.version() == (1, 27)
    assert len(api.asked) == 1


def test_warnings_are_kept_once(api, client):
    header = {"Warning": '299 - "is \\"deprecated\\", use b", 299 - "other"'}
    api.rules.append(lambda asked: Answer(200, CONFIG_MAP, header) if asked.path.endswith("settings") else None)
    client.get(SETTINGS)
    client.get(SETTINGS)
    assert client.warnings == ['is "deprecated", use b', "other"]


# --- trouble


def test_requests_are_repeated_as_long_as_it_helps(api, client):
    client.apply(CONFIG_MAP, manager="me")
    api.rules.append(
        failing(
            urllib3.exceptions.NewConnectionError(None, "refused"),
            refuse(503, "starting", headers={"Retry-After": "7"}),
            refuse(429, "too many", headers={"Retry-After": "soon"}),
            refuse(500, "etcdserver: leader changed"),
            urllib3.exceptions.ProtocolError("reset"),
        )
    )
    assert client.get(SETTINGS)
    assert len(api.slept) == 5
    assert 0.5 <= api.slept[0] <= 1 and api.slept[1] == 7 and 8 <= api.slept[4] * 2 <= 20


def test_patience_ends(api, client):
    client.get(SETTINGS)
    api.rules.append(failing(*[refuse(503, "starting")] * 10))
    with pytest.raises(UnavailableError, match=r"could not do the GET of ConfigMap demo/settings: starting .503."):
        client.get(SETTINGS)
    assert len(api.slept) == 5


def test_less_patience_with_a_server_that_never_answered(api, client):
    def unreachable(asked):
        raise urllib3.exceptions.NewConnectionError(None, "Connection refused")

    api.rules.append(unreachable)
    with pytest.raises(UnavailableError, match=r"The API server https://fake cannot be reached .*refused.*kubeconfig"):
        client.get(SETTINGS)
    assert len(api.asked) == 3


def test_refusals_and_untrusted_certificates_are_not_repeated(api, client):
    client.get(SETTINGS)
    for answer in (refuse(403, "forbidden"), urllib3.exceptions.SSLError("self-signed certificate")):
        api.rules[:] = [failing(answer)]
        with pytest.raises(KubeError):
            client.get(SETTINGS)
    assert not api.slept


@pytest.mark.parametrize("body", [b"<html>", b"[]", b""])
def test_something_else_than_an_api_server(api, client, body):
    api.rules.append(lambda asked: Answer(200, body))
    with pytest.raises(KubeError, match="What answers at https://fake is not an API server"):
        client.get(SETTINGS)


# --- what refusals mean. The texts are those of a server of Kubernetes 1.20, where nothing else is said.


def status(code, message, reason="", *causes):
    return json.loads(refuse(code, message, reason, causes).data)


def explained(code, message, reason="", *causes):
    return refusal(code, status(code, message, reason, *causes), what="apply of X demo/x")


def test_conflict():
    cause = ("FieldManagerConflict", 'conflict with "kubectl"', ".data.a")
    error = explained(409, 'Apply failed with 1 conflict: conflict with "kubectl": .data.a', "Conflict", cause)
    assert isinstance(error, ConflictError)
    assert error.owners == {"data.a": "kubectl"}
    assert str(error) == (
        "The apply of X demo/x conflicts with another field manager: data.a is owned by 'kubectl'. Leave these fields "
        "out to let the other manager keep them, or take them over with force_conflicts: true."
    )


def test_conflict_with_version_and_time():  # Kubernetes 1.36
    message = 'conflict with "kubectl-client-side-apply" using apps/v1 at 2026-01-01T00:00:00Z'
    error = explained(409, "", "Conflict", ("FieldManagerConflict", message, ".spec.replicas"))
    assert error.owners == {"spec.replicas": "kubectl-client-side-apply"}


@pytest.mark.parametrize(
    ("message", "causes"),
    [
        (
            'Job.batch "j" is invalid: spec.template',
            (
                "FieldValueInvalid",
                f"Invalid value: core.PodTemplateSpec{{{'x' * 3000}}}: field is immutable",
                "spec.template",
            ),
        ),
        (
            'Service "s" is invalid: spec.clusterIPs[0]',
            ("FieldValueInvalid", 'Invalid value: []string{"None"}: may not change once set', "spec.clusterIPs[0]"),
        ),
        (
            'ConfigMap "imm" is invalid: data',
            ("FieldValueForbidden", "Forbidden: field is immutable when `immutable` is set", "data"),
        ),
        (
            'StatefulSet.apps "d" is invalid: spec',
            (
                "FieldValueForbidden",
                (
                    "Forbidden: updates to statefulset spec for fields other than 'replicas', 'template', and "
                    "'updateStrategy' are forbidden"
                ),
                "spec",
            ),
        ),
        (
            'RoleBinding "r" is invalid: roleRef',
            ("FieldValueInvalid", 'Invalid value: rbac.RoleRef{Name:"z"}: cannot change roleRef', "roleRef"),
        ),
        (
            'PersistentVolumeClaim "p" is invalid: spec',
            (
                "FieldValueForbidden",
                "Forbidden: spec is immutable after creation except resources.requests for bound claims\n  core.Persis",
                "spec",
            ),
        ),
    ],
)
def test_immutable_fields(message, causes):
    error = explained(422, message, "Invalid", causes)
    assert error.immutable
    assert f"cannot be changed on an existing object: {causes[2]}: " in error.message
    assert "replace: true" in error.hint
    assert "core.Persis" not in str(error) and len(str(error)) < 500


@pytest.mark.parametrize(
    ("code", "reason", "message", "causes", "told", "hint"),
    [
        (401, "Unauthorized", "Unauthorized", (), "the credentials are missing, wrong or expired", "Renew the token"),
        (
            403,
            "Forbidden",
            (
                'configmaps "rec" is forbidden: User "jane" cannot patch resource "configmaps" in API group "" in the '
                'namespace "demo"'
            ),
            (),
            'User "jane" cannot patch resource',
            'Give jane a Role in namespace demo with the rule {apiGroups: [""], resources: ["configmaps"], verbs: ["patch"]}.',
        ),
        (
            403,
            "Forbidden",
            (
                'clusterroles.rbac.authorization.k8s.io "x" is forbidden: User "jane" cannot get resource "clusterroles" in '
                'API group "rbac.authorization.k8s.io" at the cluster scope'
            ),
            (),
            "is forbidden",
            'a ClusterRole with the rule {apiGroups: ["rbac.authorization.k8s.io"], resources: ["clusterroles"], verbs: ["get"]}',
        ),
        (
            403,
            "Forbidden",
            (
                'configmaps "x" is forbidden: exceeded quota: q, requested: configmaps=1, used: configmaps=4, limited: '
                "configmaps=0"
            ),
            (),
            "exceeded quota: q, requested: configmaps=1, used: configmaps=4, limited: configmaps=0",
            "Raise the ResourceQuota q",
        ),
        (
            400,
            "BadRequest",
            'admission webhook "policy.example.com" denied the request: no latest tags',
            (),
            "no latest tags",
            "It was the admission webhook policy.example.com.",
        ),
        (
            400,
            "BadRequest",
            'admission webhook "policy.example.com" does not support dry run',
            (),
            "does not support dry run",
            "sideEffects: None",
        ),
        (
            422,
            "Invalid",
            'Deployment.apps "new" is invalid: ...',
            (("FieldValueInvalid", "Invalid value: 5: `selector` does not match", "spec.template.metadata.labels"),),
            "spec.template.metadata.labels: Invalid value: 5: `selector` does not match.",
            "Correct the named fields",
        ),
        (
            500,
            "",
            "failed to create typed patch object: .spec.templat: field not declared in schema",
            (),
            ".spec.templat: field not declared in schema.",
            "",
        ),
        (  # Kubernetes 1.25 and newer
            400,
            "BadRequest",
            'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: unknown field "spec.templat"',
            (),
            'unknown field "spec.templat".',
            "",
        ),
        (409, "AlreadyExists", "object is being deleted", (), "object is being deleted.", ""),
    ],
)
def test_refusals(code, reason, message, causes, told, hint):
    error = explained(code, message, reason, *causes)
    assert isinstance(error, ApiError) and not error.immutable
    assert error.message.startswith("The API server refused the apply of X demo/x: ")
    assert told in error.message
    assert hint in error.hint


def test_a_webhook_that_does_not_answer():
    message = 'Internal error occurred: failed calling webhook "x.example.com": Post "https://x.demo.svc:443/": refused'
    error = explained(500, message, "InternalError")
    assert isinstance(error, UnavailableError)
    assert "x.example.com" in error.hint


def test_what_a_proxy_says(api, client):
    api.rules.append(lambda asked: Answer(502, b"<h1>Bad Gateway</h1>"))
    with pytest.raises(UnavailableError, match="Bad Gateway"):
        client.get(SETTINGS)


@pytest.mark.parametrize("error", ["There is no model m", {"message": "There is no model m", "code": 404}])
def test_what_a_server_behind_the_api_server_says(api, client, error):
    api.rules.append(lambda asked: Answer(404, {"error": error}))
    with pytest.raises(ApiError, match="There is no model m"):
        client.ask("ns", "gemma", 8000, "/v1/completions", {})


# --- commands in containers


class Socket:
    """A WebSocket: the frames that come, and then an exception."""

    def __init__(self, *frames, end=None):
        self.frames, self.end, self.closed = list(frames), end, False

    def settimeout(self, seconds):
        assert seconds > 0

    def recv_data_frame(self, *, control_frame):
        assert control_frame
        if not self.frames:
            raise self.end
        opcode, data = self.frames.pop(0)
        return opcode, types.SimpleNamespace(data=data)

    def shutdown(self):
        self.closed = True


def ended(**status):
    return websocket.ABNF.OPCODE_BINARY, b"\x03" + json.dumps(status).encode()


def failed(reason, message):
    return ended(status="Failure", message="it failed", details={"causes": [{"reason": reason, "message": message}]})


CLOSE, OUT = (websocket.ABNF.OPCODE_CLOSE, b""), websocket.ABNF.OPCODE_BINARY


@pytest.fixture
def execute(client, monkeypatch):
    """Run a command at a socket, and tell what was asked."""

    def run(socket, timeout=5):
        asked = []

        def create(configuration, url, headers):
            asked.append((url, headers))
            if isinstance(socket, Exception):
                raise socket
            return socket

        monkeypatch.setattr(ws_client, "create_websocket", create)
        done = client.execute("demo", "a", "main", ["say", "a b", "$HOME"], timeout=timeout)
        return done, asked

    return run


def test_a_command_in_a_container(execute):
    split = "ä".encode()
    socket = Socket(
        (OUT, b"\x01a" + split[:1]), (OUT, b"\x01"), (websocket.ABNF.OPCODE_PING, b"x"), (OUT, b"\x02no"),
        (OUT, b"\x01" + split[1:]), failed("ExitCode", "3"), CLOSE,
    )  # fmt: skip
    done, ((url, headers),) = execute(socket)
    assert done == ("aä", "no", 3) and socket.closed
    query = "container=main&stdout=true&stderr=true&command=say&command=a+b&command=%24HOME"
    assert url == f"wss://fake/api/v1/namespaces/demo/pods/a/exec?{query}"
    assert headers == {"sec-websocket-protocol": "v4.channel.k8s.io", "authorization": "Bearer renewed"}
    assert execute(Socket(ended(status="Success"), CLOSE))[0].status == 0


@pytest.mark.parametrize(
    ("socket", "said"),
    [
        (Socket(failed("", "no such file"), CLOSE), "failed: it failed"),
        (Socket(CLOSE), "failed: its end was not told"),
        (Socket(end=websocket.WebSocketConnectionClosedException("gone")), "broke off: gone"),
        (Socket(end=ConnectionResetError("reset")), "broke off: reset"),
        (Socket((OUT, b"\x01a"), end=AssertionError), "broke off: no end after 0 s"),
    ],
)
def test_a_command_whose_end_is_not_seen(execute, socket, said):
    timeout = 0 if "no end" in said else 5
    with pytest.raises(KubeError) as raised:
        execute(socket, timeout=timeout)
    assert f"The execution of say in container main of Pod demo/a {said}" in str(raised.value)


def test_a_command_that_cannot_be_started(execute, client):
    body = json.dumps(
        {"message": 'User "x" cannot create resource "pods/exec" in API group "" in the namespace "demo"'}
    )
    with pytest.raises(ApiError) as raised:
        execute(websocket.WebSocketBadStatusException("%s %s", 403, "Forbidden", {}, body.encode()))
    assert raised.value.status == 403 and 'resources: ["pods/exec"]' in raised.value.hint
    with pytest.raises(UnavailableError):
        execute(ConnectionRefusedError("refused"))
