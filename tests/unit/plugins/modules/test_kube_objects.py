# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The door of the API: options in, results out, against an API server in memory."""

from __future__ import annotations

import base64
import contextlib
import json
import re

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

from ansible_collections.modelops.serving.plugins.module_utils._kube import auth
from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Ref
from ansible_collections.modelops.serving.plugins.module_utils._kube.conditions import Condition, JsonPath
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import InputError, KubeError
from ansible_collections.modelops.serving.plugins.modules import kube_objects
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._kube.fakes import FakeApi, refuse

CANARY = "canary-9f8e7d"
ENCODED = base64.b64encode(CANARY.encode()).decode()
SETTINGS = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "1"}}
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token"}, "stringData": {"token": CANARY}}


@pytest.fixture
def api(monkeypatch):
    api = FakeApi()
    monkeypatch.setattr(auth, "connect", lambda module: api.client())
    return api


@pytest.fixture
def printed():
    """All that modules have printed so far."""
    return []


@pytest.fixture
def run(capsys, printed):
    """Run the module with options; its result."""

    def call(options, *, check=False, diff=False):
        given = {"namespace": "demo", **options, "_ansible_check_mode": check, "_ansible_diff": diff}
        with patch_module_args(given), contextlib.suppress(SystemExit):
            kube_objects.main()
        printed.append(capsys.readouterr().out)
        return json.loads(printed[-1])

    return call


def actions(result):
    return [(entry["kind"], entry["action"]) for entry in result["objects"]]


def test_twelve_steps(run, api):
    results = []
    for number in range(12):
        data = {"a": "2"} if number >= 4 else {"a": "1"}
        state = "absent" if number >= 8 else "present"
        api.asked.clear()
        definitions = [{**SETTINGS, "data": data}, SECRET]
        results.append(run({"definitions": definitions, "state": state}, check=number % 2 == 0, diff=True))
        assert bool(api.writes) is (number in (1, 5, 9)), number
    assert [result["changed"] for result in results] == [True, True, False, False] * 3
    for predicted, actual in zip(results[::2], results[1::2], strict=True):
        assert predicted["objects"] == actual["objects"]
    assert (
        results[0]["objects"][0]
        == {
            "api_version": "v1",
            "kind": "Secret",
            "name": "token",
            "namespace": "demo",
            "action": "create",
        }
        or results[0]["objects"][0]["kind"] == "ConfigMap"
    )
    assert "a: '2'" in results[5]["diff"][0]["after"] and results[7]["diff"] == []


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize("failure", ["", "refused", "option", "yaml", "argument"])
def test_values_of_secrets_are_shown_nowhere(run, api, printed, as_text, failure):
    encoded = {**SECRET, "metadata": {"name": "second"}, "data": {"k": base64.b64encode(b"other-canary-1").decode()}}
    definitions = [{"apiVersion": "v1", "kind": "List", "items": [SECRET, encoded]}]
    options = {"definitions": yaml.safe_dump_all(definitions) if as_text else definitions}
    if failure == "refused":
        text = f"no {CANARY} {ENCODED} here, nor other-canary-1"
        api.rules.append(lambda asked: refuse(422, text, "Invalid") if asked.method == "PATCH" else None)
    elif failure == "option":
        options["wait_timeout"] = "soon"
    elif failure == "yaml":
        options["definitions"] = f"kind: Secret\nstringData:\n  token: '{CANARY}\n other-canary-1"
    elif failure == "argument":
        options["unknown"] = 1
    result = run(options, diff=True)
    assert bool(result.get("failed")) is bool(failure)
    assert "invocation" in result
    for hidden in ("canary", ENCODED, base64.b64encode(b"other-canary-1").decode()):
        assert hidden not in printed[-1]
    if not failure:
        assert actions(result) == [("Secret", "create")] * 2


def test_values_that_are_also_words_do_not_turn_results_into_asterisks(run, api):
    secret = {**SECRET, "stringData": {"a": "e", "b": "True", "c": "demo", "d": "1", "e": "none"}}
    first, second = (run({"definitions": [secret]}) for _number in range(2))
    assert (first["changed"], second["changed"]) == (True, False)
    assert first["objects"][0] == {
        "api_version": "v1",
        "kind": "Secret",
        "name": "token",
        "namespace": "demo",
        "action": "create",
    }


def test_definitions_of_every_form(run, api, tmp_path):
    path = tmp_path / "more.yaml"
    path.write_text("---\n" + yaml.safe_dump(SECRET) + "---\n# nothing\n")
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: dated, annotations: {day: 2026-01-01}}\n"
    assert actions(run({"definitions": SETTINGS})) == [("ConfigMap", "create")]
    assert actions(run({"definitions": json.dumps([SETTINGS])})) == [("ConfigMap", "none")]
    assert actions(run({"definitions": text, "src": [str(path)]})) == [("ConfigMap", "create"), ("Secret", "create")]
    dated = api.objects["/api/v1/namespaces/demo/configmaps/dated"]
    assert dated["metadata"]["annotations"] == {"day": "2026-01-01"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "There are no definitions"),
        ({"definitions": []}, "There are no definitions"),
        ({"state": "absent"}, "There are no definitions"),
        ({"definitions": "a: [b"}, "The option definitions cannot be read as YAML in line 1"),
        ({"definitions": ["text"]}, "Definition 1 is not a dictionary"),
        ({"src": ["/nowhere.yaml"]}, "/nowhere.yaml cannot be read: .*No such file"),
        ({"definitions": [SETTINGS], "prune": True}, "prune is True but all of the following are missing: instance"),
        (
            {"definitions": [SETTINGS], "prune": True, "instance": "i", "prune_kinds": ["Secret"]},
            "'Secret' in prune_kinds is not a kind",
        ),
        (
            {"definitions": [SETTINGS], "render_to": "x", "prune": True, "instance": "i"},
            "cannot be pruned or waited for",
        ),
        (
            {"definitions": [SETTINGS], "wait_conditions": [{"kind": "x"}]},
            "one of the following is required: type, json",
        ),
    ],
)
def test_wrong_options(run, api, options, message):
    result = run(options)
    assert result["failed"] and not api.writes
    assert re.search(message, result["msg"]), result["msg"]


def test_prune_and_removal_of_an_instance(run, api):
    labelled = {"instance": "gemma", "prune": True}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}}
    assert actions(run({"definitions": [SETTINGS, SECRET, claim], "instance": "gemma"}))
    assert actions(run({"definitions": [SETTINGS], **labelled})) == [("ConfigMap", "none"), ("Secret", "delete")]
    assert actions(run({"state": "absent", **labelled}, check=True)) == [("ConfigMap", "delete")]
    assert actions(run({"state": "absent", "definitions": [SETTINGS], **labelled})) == [("ConfigMap", "delete")]
    assert list(api.objects) == ["/api/v1/namespaces/demo/persistentvolumeclaims/data"]
    kinds = {"prune_kinds": ["v1/PersistentVolumeClaim"]}
    assert actions(run({"state": "absent", **labelled, **kinds})) == [("PersistentVolumeClaim", "delete")]


def test_what_is_never_replaced(run, api):
    api.immutable = [("spec", "size")]
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": {"size": 1}}
    run({"definitions": [claim]})
    result = run({"definitions": [{**claim, "spec": {"size": 2}}], "replace": True})
    assert result["failed"] and result["error"]["kind"] == "ApiError" and len(api.writes) == 1
    service = {**claim, "kind": "Service"}
    run({"definitions": [service]})
    assert actions(run({"definitions": [{**service, "spec": {"size": 2}}], "replace": True})) == [
        ("Service", "replace")
    ]


def test_render(run, api, tmp_path):
    options = {"definitions": [SETTINGS], "render_to": str(tmp_path / "out"), "instance": "gemma", "argo": True}
    assert actions(run(options, check=True)) == [("ConfigMap", "create")] and not (tmp_path / "out").exists()
    result = run(options, diff=True)
    assert result["changed"] and "sync-wave" in result["diff"][0]["after"]
    assert not run(options)["changed"]
    (path,) = (tmp_path / "out").iterdir()
    assert yaml.safe_load(path.read_text())["metadata"]["namespace"] == "demo"
    assert actions(run({**options, "state": "absent", "definitions": []})) == [("ConfigMap", "delete")]
    assert not api.asked


def deployment(ready):
    status = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": ready}
    conditions = [{"type": "Available", "status": "True" if ready else "False"}]
    return {**status, "availableReplicas": ready, "conditions": conditions}


def test_waiting_only_for_what_is_not_ready(run, api):
    path = "/apis/apps/v1/namespaces/demo/deployments/server"
    server = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "server"}, "spec": {"replicas": 1}}

    def controller(asked):
        if asked.method == "GET" and path in api.objects:
            api.objects[path]["metadata"]["generation"] = 1
            api.objects[path]["status"] = deployment(1)

    api.rules.append(controller)
    options = {"definitions": [server, SETTINGS], "wait": True, "wait_timeout": 5}
    assert run(options)["changed"]
    reads = [asked.path for asked in api.asked if asked.method == "GET"]
    assert reads.count(path) == 2  # once to compare, once to wait
    api.asked.clear()
    assert not run(options)["changed"]
    assert [asked.path for asked in api.asked].count(path) == 1


def test_waiting_that_fails_still_tells_what_was_changed(run, api):
    failed = {"status": "True", "type": "Failed", "reason": "BackoffLimitExceeded", "message": "no luck"}

    def controller(asked):
        for path, obj in api.objects.items():
            if asked.method == "GET" and asked.path == path and obj["kind"] == "Job":
                obj["status"] = {"conditions": [failed], "failed": 1}

    api.rules.append(controller)
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {}}
    result = run({"definitions": [job], "wait": True, "wait_timeout": 5})
    assert result["failed"] and result["changed"] and actions(result) == [("Job", "create")]
    assert result["error"]["kind"] == "WaitError"


def test_what_was_changed_before_a_failure_is_told(run, api):
    def rule(asked):
        if asked.writes and "secrets" in asked.path:
            return refuse(403, "too late", "Forbidden")
        return None

    api.rules.append(rule)
    result = run({"definitions": [SETTINGS, SECRET]}, diff=True)
    assert result["failed"] and result["changed"] and "too late" in result["msg"]
    assert actions(result) == [("ConfigMap", "create")] and len(result["diff"]) == 1


def test_targets():
    ref = Ref("v1", "Thing", "a", "demo")
    option = dict.fromkeys(("name", "type", "reason", "jsonpath", "value")) | {"status": "True", "failure": False}
    one = {**option, "kind": "Thing", "type": "Ready"}
    two = {**option, "kind": "Thing", "jsonpath": "{.status.phase}", "value": "Up"}
    bad = {**option, "kind": "Thing", "type": "Broken", "failure": True}
    other = {**option, "kind": "Thing", "name": "b", "type": "Other"}
    assert kube_objects.target(ref, [one, other]).success == Condition("Ready")
    found = kube_objects.target(ref, [one, two, bad])
    assert found.failure == (Condition("Broken"),)
    assert found.success.parts == (Condition("Ready"), JsonPath("{.status.phase}", "Up"))
    ready = {"status": {"phase": "Up", "conditions": [{"type": "Ready", "status": "True"}]}}
    assert found.success.met(ready) and not found.success.met({"status": {"phase": "Up"}})
    assert kube_objects.target(Ref("v1", "Pod", "a", "demo"), [one]).success is None
    with pytest.raises(InputError, match="JSONPath"):
        kube_objects.target(ref, [{**two, "jsonpath": "{range .items[*]}"}])


# --- credentials


class Options:
    """A module, as far as credentials need one."""

    def __init__(self, **params):
        self.params = dict.fromkeys(auth.ARGUMENTS) | params
        self.no_log_values = set()


KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "c",
    "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
    "clusters": [{"name": "k", "cluster": {"server": "https://k.example.com:6443"}}],
    "users": [{"name": "u", "user": {"token": CANARY}}, {"name": "p", "user": {"password": "other-canary"}}],
}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "K8S_AUTH_KUBECONFIG", "K8S_AUTH_HOST", "K8S_AUTH_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def token_of(client):
    headers = {}
    client._api.update_params_for_auth(headers, [], ["BearerToken"])
    return headers.get("authorization")


def test_kubeconfig_as_a_dictionary_is_used_and_hidden():
    module = Options(kubeconfig=KUBECONFIG)
    client = auth.connect(module)
    assert client.host == "https://k.example.com:6443"
    assert token_of(client) == f"Bearer {CANARY}"
    assert module.no_log_values == {CANARY, "other-canary"}


def test_variables_of_exec_plug_ins_are_hidden():
    exec_plugin = {"command": "login", "env": [{"name": "PASSWORD", "value": CANARY}], "args": ["get-token"]}
    module = Options(kubeconfig={"users": [{"name": "u", "user": {"exec": exec_plugin}}]})
    auth.hide_kubeconfig(module)
    assert module.no_log_values == {CANARY}


def test_what_awx_sets(monkeypatch):
    monkeypatch.setenv("K8S_AUTH_HOST", "https://awx.example.com:6443/")
    monkeypatch.setenv("K8S_AUTH_API_KEY", CANARY)
    monkeypatch.setenv("K8S_AUTH_VERIFY_SSL", "False")
    client = auth.connect(Options(impersonate_user="jane", impersonate_groups=["a", "b"]))
    assert client.host == "https://awx.example.com:6443"
    assert token_of(client) == f"Bearer {CANARY}"
    assert client._api.configuration.verify_ssl is False
    assert [(str(name), value) for name, value in client._api.default_headers.items()] == [
        ("User-Agent", "modelops.serving"),
        ("Impersonate-User", "jane"),
        ("Impersonate-Group", "a"),
        ("Impersonate-Group", "b"),
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kubeconfig": "/nowhere"}, "the kubeconfig /nowhere: "),
        ({}, "the kubeconfig ~/.kube/config: "),
        ({"kubeconfig": KUBECONFIG, "context": "other"}, "given as a dictionary, context other: "),
        ({"kubeconfig": {"kind": "Config"}}, "the kubeconfig given as a dictionary: "),
        ({"kubeconfig": KUBECONFIG, "ca_cert": "/nowhere.pem"}, "No such file or directory: '/nowhere.pem'"),
    ],
)
def test_wrong_credentials(options, message):
    with pytest.raises(KubeError) as caught:
        auth.connect(Options(**options))
    assert message in caught.value.message and caught.value.hint
    assert CANARY not in str(caught.value)
