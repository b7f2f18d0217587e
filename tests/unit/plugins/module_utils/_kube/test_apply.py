# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import copy
import dataclasses

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._kube.apply import (
    ApplyOptions,
    Prune,
    apply,
    diff,
    remove,
)
from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Ref
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import (
    ApiError,
    ConflictError,
    InputError,
    KubeError,
)
from ansible_collections.modelops.serving.plugins.module_utils._kube.objects import prepare, selector
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._kube.fakes import (
    FakeApi,
    refuse,
    server_side_apply,
)

PATH = "/api/v1/namespaces/demo/configmaps/settings"
CHECK = ApplyOptions(check=True)


def thing(kind, name, namespace="demo", api_version="v1", **more):
    metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **more}


def settings(**data):
    return thing("ConfigMap", "settings", data=data)


NAMESPACE = thing("Namespace", "demo", None)
JOB = thing("Job", "warmup", api_version="batch/v1", spec={"template": {"image": "a"}})
SET = [
    thing("Deployment", "server", api_version="apps/v1", spec={"replicas": 1}),
    thing("Secret", "token", stringData={"token": "canary"}),
    thing("ServiceAccount", "server"),
    settings(a="1"),
    NAMESPACE,
]


@pytest.fixture
def api():
    return FakeApi()


@pytest.fixture
def client(api):
    return api.client()


def actions(changes):
    return [(change.ref.kind, change.action) for change in changes]


def test_created_in_the_order_of_need_and_left_alone_afterwards(api, client):
    wanted = [("Namespace", "create"), ("ServiceAccount", "create"), ("Secret", "create"), ("ConfigMap", "create")]
    wanted.append(("Deployment", "create"))
    assert actions(apply(client, SET, CHECK)) == wanted
    assert not api.writes
    assert actions(apply(client, SET)) == wanted
    assert [asked.path.split("/")[-2] for asked in api.writes] == [
        "namespaces",
        "serviceaccounts",
        "secrets",
        "configmaps",
        "deployments",
    ]
    for options in (CHECK, ApplyOptions()):
        api.asked.clear()
        assert actions(apply(client, SET, options)) == [(kind, "none") for kind, _action in wanted]
        # One read per object; the client knows the kinds already.
        assert [asked.method for asked in api.asked] == ["GET"] * 5


def test_nothing_is_asked_about_what_is_in_a_namespace_to_come(api, client):
    apply(client, SET, CHECK)
    assert [asked.path for asked in api.asked if "demo" in asked.path] == ["/api/v1/namespaces/demo"] * 2


def test_an_update_removes_what_was_dropped_and_leaves_what_others_own(api, client):
    apply(client, [settings(a="1", b="2")])
    api.objects[PATH] = server_side_apply(api.objects[PATH], settings(c="3"), "other")
    (predicted,) = apply(client, [settings(a="9")], CHECK)
    assert (predicted.action, predicted.after["data"]) == ("update", {"a": "9", "c": "3"})
    assert api.objects[PATH]["data"] == {"a": "1", "b": "2", "c": "3"}
    (done,) = apply(client, [settings(a="9")])
    assert (done.action, done.before["data"], done.after["data"]) == (
        "update",
        {"a": "1", "b": "2", "c": "3"},
        {"a": "9", "c": "3"},
    )


def test_what_looks_different_is_tried_before_it_is_written(api, client):
    """A webhook that writes every value in capitals."""

    def capitals(asked):
        if asked.method == "PATCH" and asked.body["kind"] == "ConfigMap":
            asked.body["data"] = {key: value.upper() for key, value in asked.body["data"].items()}

    api.rules.append(capitals)
    apply(client, [settings(a="x")])
    api.asked.clear()
    (change,) = apply(client, [settings(a="x")])
    assert change.action == "none"
    assert [asked.method for asked in api.asked] == ["GET", "PATCH"] and not api.writes
    assert apply(client, [settings(a="y")])[0].action == "update"


def test_nothing_is_written_when_one_object_is_refused(api, client):
    api.rules.append(
        lambda asked: refuse(422, "no", "Invalid") if asked.method == "PATCH" and "deployments" in asked.path else None
    )
    with pytest.raises(ApiError):
        apply(client, SET[:-1])
    assert not api.writes


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ([settings(), settings(a="1")], "ConfigMap demo/settings is defined twice"),
        ([thing("ConfigMap", "settings", None)], "ConfigMap settings has no namespace"),
        ([thing("Namespace", "x", "demo")], "are in no namespace"),
        ([thing("Thing", "x", api_version="example.com/v1")], "does not serve kind Thing"),
        ([{"kind": "ConfigMap"}], "has no apiVersion"),
    ],
)
def test_wrong_sets_change_nothing(api, client, objects, message):
    with pytest.raises(InputError, match=message):
        apply(client, [*SET, *objects])
    assert not api.writes


def test_conflicts(api, client):
    api.objects[PATH] = server_side_apply(None, settings(a="theirs", b="theirs"), "kubectl")
    for options in (CHECK, ApplyOptions()):
        with pytest.raises(ConflictError) as caught:
            apply(client, [settings(a="ours")], options)
        assert caught.value.owners == {"data.a": "kubectl"}
    assert not api.writes
    (change,) = apply(client, [settings(a="ours")], ApplyOptions(force_conflicts=True))
    assert (change.action, change.after["data"]) == ("update", {"a": "ours", "b": "theirs"})
    assert apply(client, [settings(a="ours")])[0].action == "none"


def test_a_field_that_another_manager_took_over_is_seen(api, client):
    apply(client, [settings(a="ours")])
    api.objects[PATH] = server_side_apply(api.objects[PATH], settings(a="theirs"), "kubectl", force=True)
    with pytest.raises(ConflictError):
        apply(client, [settings(a="ours")], CHECK)


def changed_job():
    job = copy.deepcopy(JOB)
    job["spec"]["template"]["image"] = "b"
    return job


def test_replacement(api, client):
    api.immutable = [("spec", "template")]
    (created,) = apply(client, [JOB])
    for options in (
        CHECK,
        ApplyOptions(),
        ApplyOptions(replace=frozenset({"Pod", Ref("batch/v1", "Job", "x", "demo")})),
    ):
        with pytest.raises(ApiError, match=r"spec.template: .*field is immutable.*replace: true"):
            apply(client, [changed_job()], options)
    for allowed in ("Job", created.ref):
        (predicted,) = apply(client, [changed_job()], ApplyOptions(check=True, replace=frozenset({allowed})))
        assert predicted.action == "replace"
    assert len(api.writes) == 1
    (change,) = apply(client, [changed_job()], ApplyOptions(replace=frozenset({"Job"})))
    assert change.action == "replace"
    assert change.after["metadata"]["uid"] != created.after["metadata"]["uid"]
    deletion = api.writes[1]
    assert deletion.body["propagationPolicy"] == "Foreground"
    assert deletion.body["preconditions"] == {"uid": created.after["metadata"]["uid"]}
    assert apply(client, [changed_job()])[0].action == "none"


def test_namespace_that_is_not_there(api, client):
    api.missing_namespaces = {"demo"}
    with pytest.raises(
        InputError, match=r"The namespace demo of ConfigMap demo/settings does not exist. .*create namespace demo"
    ):
        apply(client, [settings()], CHECK)


def test_namespace_that_is_being_deleted(api, client):
    terminating = copy.deepcopy(NAMESPACE)
    terminating["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "uid": "u"}
    terminating["spec"] = {"finalizers": ["kubernetes"]}
    terminating["status"] = {
        "conditions": [
            {"type": "NamespaceContentRemaining", "status": "True", "message": "pods. has 1 resource instances"},
            {"type": "NamespaceDeletionContentFailure", "status": "False", "message": "All content deleted"},
        ]
    }
    api.objects["/api/v1/namespaces/demo"] = terminating
    text = 'configmaps "settings" is forbidden: unable to create new content in namespace demo because it is being terminated'
    api.rules.append(lambda asked: refuse(403, text, "Forbidden") if asked.method == "PATCH" else None)
    for objects in ([settings()], [NAMESPACE, settings()]):
        with pytest.raises(KubeError) as caught:
            apply(client, objects)
        assert caught.value.message == (
            "The namespace demo is being deleted, so nothing can be created in it. Its finalizers: kubernetes. pods. has "
            "1 resource instances"
        )
    assert not api.writes


def test_an_object_that_is_being_deleted_is_created_anew(api, client):
    apply(client, [settings(a="1")])
    api.objects[PATH]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert apply(client, [settings(a="1")], CHECK)[0].action == "create"
    looks = []

    def gone_at_the_second_look(asked):
        if asked.method == "GET" and asked.path == PATH:
            looks.append(asked)
            if len(looks) == 2:
                del api.objects[PATH]

    api.rules.append(gone_at_the_second_look)
    (change,) = apply(client, [settings(a="1")])
    assert change.action == "create" and "deletionTimestamp" not in api.objects[PATH]["metadata"]


def test_what_needs_another_object_of_the_set_is_predicted(api, client):
    text = 'pods "p" is forbidden: error looking up service account demo/server: serviceaccount "server" not found'

    def rule(asked):
        there = "/api/v1/namespaces/demo/serviceaccounts/server" in api.objects
        if asked.method == "PATCH" and asked.path.endswith("/pods/p") and not there:
            return refuse(403, text, "Forbidden")
        return None

    api.rules.append(rule)
    pod = thing("Pod", "p", spec={"serviceAccountName": "server"})
    with pytest.raises(ApiError, match="not found"):
        apply(client, [pod], CHECK)
    assert actions(apply(client, [pod, thing("ServiceAccount", "server")], CHECK))[1] == ("Pod", "create")
    assert actions(apply(client, [pod, thing("ServiceAccount", "server")]))[1] == ("Pod", "create")


def test_a_kind_that_the_set_itself_defines(api, client):
    crd = thing(
        "CustomResourceDefinition",
        "things.example.com",
        None,
        "apiextensions.k8s.io/v1",
        spec={
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"kind": "Thing", "plural": "things"},
            "versions": [{"name": "v1"}],
        },
    )
    one = thing("Thing", "one", api_version="example.com/v1")
    assert actions(apply(client, [one, crd], CHECK)) == [("CustomResourceDefinition", "create"), ("Thing", "create")]
    assert not api.writes

    def established(asked):
        found = api.objects.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.example.com")
        if found:
            found["status"] = {
                "conditions": [{"type": kind, "status": "True"} for kind in ("NamesAccepted", "Established")]
            }
            api.kinds["example.com/v1"] = {"things": ("Thing", True)}

    api.rules.append(established)
    assert actions(apply(api.client(), [one, crd])) == [("CustomResourceDefinition", "create"), ("Thing", "create")]
    assert "/apis/example.com/v1/namespaces/demo/things/one" in api.objects


def test_webhooks_without_dry_run_are_told(api, client):
    def rule(asked):
        if asked.query.get("dryRun") == "All":
            return refuse(400, 'admission webhook "w.example.com" does not support dry run', "BadRequest")
        return None

    api.rules.append(rule)
    (change,) = apply(client, [settings(a="1")], CHECK)
    assert change.action == "create" and "w.example.com" in change.warnings[0]
    assert apply(client, [settings(a="1")])[0].action == "create"
    assert apply(client, [settings(a="1")])[0].action == "none"


def test_prune(api, client):
    kinds = (("v1", "ConfigMap"), ("v1", "Secret"), ("example.com/v1", "Thing"))
    options = ApplyOptions(prune=Prune(kinds, "demo", selector("gemma")))
    ours = prepare(
        [settings(a="1"), thing("ConfigMap", "old"), thing("PersistentVolumeClaim", "data")], instance="gemma"
    )
    strangers = [
        *prepare([thing("ConfigMap", "elsewhere", "other")], instance="gemma"),
        *prepare([thing("ConfigMap", "other-instance")], instance="llama"),
        thing("ConfigMap", "not-ours"),
    ]
    (copied,) = prepare([thing("Secret", "of-a-controller")], instance="gemma")
    copied["metadata"]["ownerReferences"] = [{"kind": "X", "name": "x", "controller": True}]
    apply(client, [*ours, *strangers, copied])
    kept = set(api.objects)
    api.asked.clear()
    checked = dataclasses.replace(options, check=True)
    assert actions(apply(client, ours[:1], checked)) == [("ConfigMap", "none"), ("ConfigMap", "delete")]
    assert not api.writes and set(api.objects) == kept
    changes = apply(client, ours[:1], options)
    assert [(change.ref.name, change.action) for change in changes] == [("settings", "none"), ("old", "delete")]
    assert kept - set(api.objects) == {"/api/v1/namespaces/demo/configmaps/old"}
    assert actions(apply(client, ours[:1], options)) == [("ConfigMap", "none")]


def test_remove(api, client):
    apply(client, SET)
    refs = [Ref.of(obj) for obj in SET] + [Ref("example.com/v1", "Thing", "never-there", "demo")]
    api.asked.clear()
    wanted = ["Deployment", "Thing", "ConfigMap", "Secret", "ServiceAccount", "Namespace"]
    for check in (True, False):
        changes = remove(client, refs, check=check)
        assert sorted(change.ref.kind for change in changes if change.action == "delete") == sorted(
            set(wanted) - {"Thing"}
        )
        assert changes[-1].ref.kind == "Namespace"
        assert bool(api.writes) is not check
    assert not api.objects
    assert {change.action for change in remove(client, refs)} == {"none"}


def test_an_object_on_its_way_out_is_not_deleted_again(api, client):
    apply(client, [settings()])
    api.objects[PATH]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    api.asked.clear()
    assert remove(client, [Ref.of(settings())])[0].action == "none"
    assert not api.writes


def test_differences_hide_secrets(client):
    secret = thing("Secret", "token", stringData={"token": "canary-1", "user": "canary-user"})
    apply(client, [secret])
    secret["stringData"]["token"] = "canary-2"
    (shown,) = diff(apply(client, [secret], CHECK))
    assert shown["before_header"] == shown["after_header"] == "Secret demo/token"
    assert "token: '****** (8 bytes)'" in shown["before"]
    assert "token: '****** (changed, 8 bytes)'" in shown["after"]
    assert "user: '****** (11 bytes)'" in shown["after"]
    for hidden in ("canary", base64.b64encode(b"canary-2").decode(), "managedFields"):
        assert hidden not in str(shown)
    assert diff(apply(client, [settings()]))[0]["before"] == ""
    assert diff(remove(client, [Ref.of(settings())]))[0]["after"] == ""
    assert diff(remove(client, [Ref.of(settings())])) == []


def test_warnings_belong_to_their_object(api, client):
    def rule(asked):
        if asked.method == "PATCH" and "configmaps" in asked.path:
            client.warnings.append("old version")

    api.rules.append(rule)
    changes = apply(client, [settings(), thing("Secret", "s")])
    assert {change.ref.kind: change.warnings for change in changes} == {"ConfigMap": ("old version",), "Secret": ()}
