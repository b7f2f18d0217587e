# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import contextlib
import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import InputError
from ansible_collections.modelops.serving.plugins.module_utils._kube.objects import (
    difference,
    hide,
    normalise,
    order,
    own,
    prepare,
    quantity,
    same,
    secret_values,
)
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._kube.fakes import (
    Conflict,
    properties,
    server_side_apply,
)

ME = "me"


def config_map(name="settings", **more):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "demo"}, **more}


def secret(**more):
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token", "namespace": "demo"}, **more}


def encoded(text):
    return base64.b64encode(text.encode()).decode()


# --- definitions


def test_prepare_gives_namespace_labels_and_flat_lists():
    objects = prepare(
        [
            None,
            {
                "apiVersion": "v1",
                "kind": "List",
                "items": [{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}}],
            },
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "demo"}},
        ],
        namespace="demo",
        instance="gemma",
        part_of="models",
    )
    labels = {
        "app.kubernetes.io/managed-by": "modelops.serving",
        "app.kubernetes.io/instance": "gemma",
        "app.kubernetes.io/part-of": "models",
    }
    assert [obj["metadata"] for obj in objects] == [
        {"name": "s", "namespace": "demo", "labels": labels},
        {"name": "demo", "labels": labels},
    ]


def test_prepare_leaves_what_it_was_given_alone_and_is_idempotent():
    given_objects = [secret(stringData={"a": "b"}), config_map(data=None)]
    kept = copy.deepcopy(given_objects)
    once = prepare(given_objects, instance="i")
    assert given_objects == kept
    assert prepare(once, instance="i") == once


def test_scope_of_kinds_that_the_set_itself_defines():
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com",
            "names": {"kind": "Thing", "plural": "things"},
            "scope": "Cluster",
            "versions": [{"name": "v1"}],
        },
    }
    thing = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "one"}}
    assert "namespace" not in prepare([crd, thing], namespace="demo")[1]["metadata"]
    del crd["spec"]["names"]
    with pytest.raises(
        InputError, match=r"CustomResourceDefinition things.example.com is incomplete: there is no 'names'"
    ):
        prepare([crd, thing])


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ("text", "Definition 1 is not a dictionary but str"),
        ({"apiVersion": "v1", "metadata": {"name": "a"}}, "an object a has no kind"),
        ({"kind": "Pod", "metadata": {"name": "a"}}, "Pod a has no apiVersion"),
        (
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "a-"}},
            "Pod without a name has no metadata.name",
        ),
        ({"apiVersion": "v1", "kind": "Pod"}, "Pod without a name has no metadata.name"),
        ({"apiVersion": "apps", "kind": "Pod", "metadata": {"name": "a"}}, "has the apiVersion 'apps'"),
        ({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}, "Pod a has no namespace.*option namespace"),
        (config_map("Big"), "ConfigMap demo/Big: the name is not valid.*253 lower case"),
        (config_map("a_b"), "the name is not valid"),
        (config_map("a..b"), "the name is not valid"),
        (config_map("a" * 254), "the name is not valid"),
        (config_map("a\n"), "the name is not valid"),
        (
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a.b", "namespace": "c"}},
            "at most 63 lower case",
        ),
        (
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "B"}},
            "the namespace 'B' is not valid",
        ),
        ({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a", "namespace": "b"}}, "are in no namespace"),
        (
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "b", "labels": {"x": 1}}},
            "Pod b/a: metadata.labels x must be text",
        ),
        (secret(data={"k": "not base64!"}), "Secret demo/token: data.k is not base64"),
        (secret(data={"k": 5}), "Secret demo/token: data.k is not base64"),
        (secret(stringData={"k": 5}), "Secret demo/token: stringData.k must be text"),
    ],
)
def test_wrong_definitions(definition, message):
    with pytest.raises(InputError, match=message):
        prepare([definition])


def test_definitions_that_are_there_twice():
    with pytest.raises(InputError, match="ConfigMap demo/settings is defined twice"):
        prepare([config_map(), config_map(data={"a": "b"})])
    with pytest.raises(InputError, match="is defined twice"):
        prepare(
            [config_map(), {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}}],
            namespace="demo",
        )


def test_names_of_roles_may_hold_colons():
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "a:B"}}
    assert prepare([role])[0]["metadata"]["name"] == "a:B"


def test_no_value_of_a_secret_in_errors():
    for wrong in ({"data": {"k": "canary-value!"}}, {"stringData": {"k": ["canary-value"]}}):
        with pytest.raises(InputError) as caught:
            prepare([secret(**wrong)])
        assert "canary" not in str(caught.value)
        assert caught.value.__cause__ is None


def test_a_copy_from_the_cluster_is_a_definition():
    copied = config_map(data={"a": "b", "nothing": None}, status={"x": 1})
    copied["metadata"] |= {
        "uid": "u",
        "resourceVersion": "7",
        "creationTimestamp": None,
        "managedFields": [{}],
        "generation": 2,
    }
    assert normalise(copied) == config_map(data={"a": "b"})


def test_string_data_becomes_data():
    result = normalise(
        secret(data={"a": f"{encoded('one')[:2]}\n{encoded('one')[2:]}", "b": encoded("old")}, stringData={"b": "new"})
    )
    assert result == secret(data={"a": encoded("one"), "b": encoded("new")})


def test_quantities_become_text_in_built_in_kinds_only():
    spec = {
        "containers": [{"resources": {"limits": {"cpu": 1, "memory": "1Gi"}, "requests": {"cpu": 0.5}}, "port": 80}]
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec}
    texts = {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "0.5"}}
    assert normalise(pod)["spec"] == {"containers": [{"resources": texts, "port": 80}]}
    assert normalise({**pod, "apiVersion": "example.com/v1"})["spec"] == spec


def test_labels_of_ownership_win_and_templates_are_left():
    obj = config_map(spec={"template": {"metadata": {}}})
    obj["metadata"]["labels"] = {"app.kubernetes.io/instance": "other", "mine": "x"}
    (owned,) = own([obj], "gemma")
    assert owned["metadata"]["labels"] == {
        "mine": "x",
        "app.kubernetes.io/managed-by": "modelops.serving",
        "app.kubernetes.io/instance": "gemma",
    }
    assert owned["spec"] == {"template": {"metadata": {}}}
    with pytest.raises(InputError, match="not a valid label value"):
        own([obj], "a/b")


def test_order_of_creation():
    kinds = ["Deployment", "Secret", "RoleBinding", "ServiceAccount", "CustomResourceDefinition", "Namespace"]
    assert sorted(kinds, key=lambda kind: order({"kind": kind})) == kinds[::-1]


# --- Secrets


def test_hidden_secrets_still_show_what_changed():
    before = secret(data={"same": encoded("canary1"), "other": encoded("canary2"), "gone": encoded("canary3")})
    after = secret(data={"same": encoded("canary1"), "other": encoded("canary4"), "new": encoded("canary5")})
    for obj in (before, after):
        obj["metadata"] |= {
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "canary"},
            "managedFields": [{}],
            "resourceVersion": "1",
        }
    assert hide(before) == secret(
        data={"same": "****** (7 bytes)", "other": "****** (7 bytes)", "gone": "****** (7 bytes)"}
    )
    assert hide(after, before) == secret(
        data={"same": "****** (7 bytes)", "other": "****** (changed, 7 bytes)", "new": "****** (7 bytes)"}
    )
    assert after["data"]["other"] == encoded("canary4")


def test_what_is_binary_is_not_shown():
    config = {"kind": "ConfigMap", "metadata": {}, "data": {"a": "text"}, "binaryData": {"zip": encoded("0123456789")}}
    assert hide(config)["data"] == {"a": "text"}
    assert hide(config)["binaryData"] == {"zip": "****** (10 bytes)"}


def test_values_to_hide():
    listed = {"kind": "SecretList", "items": [secret(stringData={"k": "first line\n second line\n"})]}
    values = secret_values(listed)
    assert {"first line\n second line\n", "first line", "second line", encoded("first line\n second line\n")} <= values
    assert {"plain", encoded("plain")} <= secret_values(secret(data={"k": encoded("plain")}))
    assert secret_values(config_map(data={"k": "v"})) == set()
    assert "" not in secret_values(secret(stringData={"empty": "", "lines": "a\n\nb"}))
    assert "whole" in secret_values(secret(data="whole"))


# --- quantities


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("1000m", "1"),
        (2, "2"),
        ("1Gi", "1024Mi"),
        ("0.5", "500m"),
        ("1e3", "1k"),
        ("1E", "1000P"),
        (0.1, "100m"),
        ("1.50", "1.5"),
    ],
)
def test_quantities_that_are_equal(left, right):
    assert quantity(left) is not None and quantity(left) == quantity(right)


def test_what_is_no_quantity():
    assert [quantity(value) for value in ("", "1Kb", "x", None, [], "1 Gi", "--1")] == [None] * 7


# --- difference: recorded structure


LIVE_SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {
        "name": "server",
        "namespace": "demo",
        "labels": {"app": "x", "theirs": "y"},
        "managedFields": [
            {
                "manager": ME,
                "operation": "Apply",
                "apiVersion": "v1",
                "fieldsV1": {
                    "f:metadata": {"f:labels": {"f:app": {}}},
                    "f:spec": {
                        "f:ports": {
                            'k:{"port":53,"protocol":"TCP"}': {".": {}, "f:name": {}, "f:port": {}},
                            'k:{"port":53,"protocol":"UDP"}': {".": {}, "f:name": {}, "f:port": {}, "f:protocol": {}},
                        },
                        "f:selector": {"f:app": {}},
                    },
                },
            },
            {"manager": "other", "operation": "Update", "apiVersion": "v1", "fieldsV1": {"f:spec": {"f:type": {}}}},
        ],
    },
    "spec": {
        "clusterIP": "10.0.0.1",
        "ports": [
            {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
            {"name": "dns-udp", "port": 53, "protocol": "UDP", "targetPort": 53},
        ],
        "selector": {"app": "x"},
        "type": "ClusterIP",
    },
}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "server", "namespace": "demo", "labels": {"app": "x"}},
    "spec": {
        "ports": [{"name": "dns-tcp", "port": 53}, {"name": "dns-udp", "port": 53, "protocol": "UDP"}],
        "selector": {"app": "x"},
    },
}


def changed(obj, path, value):
    """A copy with one value set, or removed when it is None."""
    result = copy.deepcopy(obj)
    inner = result
    for name in path[:-1]:
        inner = inner[name]
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return result


def test_nothing_differs():
    assert not difference(LIVE_SERVICE, SERVICE, ME)


@pytest.mark.parametrize(
    ("path", "value", "field", "expected"),
    [
        (("metadata", "labels", "app"), "z", "values", "metadata.labels.app"),
        (("spec", "selector"), None, "surplus", "spec.selector"),
        (("spec", "selector", "tier"), "z", "missing", "spec.selector.tier"),
        (("spec", "type"), "ClusterIP", "missing", "spec.type"),
        (("spec", "ports", 0), None, "surplus", 'spec.ports[{"port":53,"protocol":"TCP"}]'),
        (("spec", "ports", 0, "port"), "53", "missing", "spec.ports[name=dns-tcp]"),
        (("spec", "ports", 1, "name"), "other", "values", 'spec.ports[{"port":53,"protocol":"UDP"}].name'),
        (("spec", "ports", 1, "protocol"), None, "missing", "spec.ports[name=dns-udp]"),
        (("metadata", "labels"), {}, "surplus", "metadata.labels.app"),
    ],
)
def test_what_differs(path, value, field, expected):
    assert expected in getattr(difference(LIVE_SERVICE, changed(SERVICE, path, value), ME), field)


def test_a_live_value_that_somebody_changed_without_taking_it_over():
    live = changed(LIVE_SERVICE, ("spec", "selector", "app"), "z")
    assert difference(live, SERVICE, ME).values == ("spec.selector.app",)


def test_another_manager_and_another_version_own_nothing_for_us():
    assert difference(LIVE_SERVICE, SERVICE, "somebody").missing == (".",)
    live = changed(LIVE_SERVICE, ("metadata", "managedFields", 0, "apiVersion"), "v2")
    assert difference(live, SERVICE, ME).missing == (".",)
    live = changed(LIVE_SERVICE, ("metadata", "managedFields", 0, "operation"), "Update")
    assert difference(live, SERVICE, ME).missing == (".",)


def one_leaf(desired, live, *, path=("spec", "value")):
    """Whether a leaf of ours counts as equal."""
    fields, wanted, found = {}, desired, live
    for name in reversed(path):
        fields, wanted, found = {f"f:{name}": fields}, {name: wanted}, {} if found is None else {name: found}
    live_object = config_map(**found)
    live_object["metadata"]["managedFields"] = [
        {"manager": ME, "operation": "Apply", "apiVersion": "v1", "fieldsV1": fields}
    ]
    return not difference(live_object, config_map(**wanted), ME)


RESOURCES = ("spec", "resources", "limits", "cpu")


@pytest.mark.parametrize(
    ("desired", "live", "path", "equal"),
    [
        (80, "80", ("spec", "port"), False),
        ("80", 80, ("spec", "port"), False),
        (1, True, ("spec", "x"), False),
        (1.0, 1, ("spec", "x"), True),
        ("1000m", "1", RESOURCES, True),
        (1, "1", RESOURCES, True),
        ("2", "1", RESOURCES, False),
        ("1000m", "1", ("spec", "env", "value"), False),
        ("1Gi", "1024Mi", ("spec", "volumes", "emptyDir", "sizeLimit"), True),
        ("", None, ("spec", "x"), True),
        (False, None, ("spec", "x"), True),
        ([], None, ("spec", "x"), True),
        ("x", None, ("spec", "x"), False),
        ({}, {"sizeLimit": "1Gi"}, ("spec", "emptyDir"), False),
        (["a", "b"], ["b", "a"], ("spec", "args"), False),
        (["a"], ["a", "b"], ("spec", "args"), False),
        ({"a": "1"}, {"a": "1", "b": "2"}, ("spec", "nodeSelector"), False),
        ({"fieldPath": "x"}, {"fieldPath": "x", "apiVersion": "v1"}, ("spec", "fieldRef"), True),
        ({"fieldPath": "x"}, {"fieldPath": "x", "apiVersion": "v2"}, ("spec", "fieldRef"), False),
        ([{"port": 1}], [{"port": 1, "protocol": "TCP"}], ("spec", "ports"), True),
        ([{"ports": [{"port": 1}]}], [{"ports": [{"port": 1, "protocol": "TCP"}]}], ("spec", "ingress"), True),
        ([{"x": {"name": "v"}}], [{"x": {"name": "v", "creationTimestamp": None}}], ("spec", "templates"), True),
    ],
)
def test_leaves(desired, live, path, equal):
    assert one_leaf(desired, live, path=path) is equal


@pytest.mark.parametrize(
    ("desired", "live", "equal"),
    [
        ({}, {}, True),
        ({}, None, False),
        ({}, {"sizeLimit": "1Gi"}, False),
        ([], None, False),
        ([], [], True),
        ([], ["a"], False),
    ],
)
def test_empty_values_that_left_no_trace(desired, live, equal):
    live_object = config_map(spec={"x": "1"} if live is None else {"x": "1", "empty": live})
    live_object["metadata"]["managedFields"] = [
        {"manager": ME, "operation": "Apply", "apiVersion": "v1", "fieldsV1": {"f:spec": {"f:x": {}}}}
    ]
    assert bool(difference(live_object, config_map(spec={"x": "1", "empty": desired}), ME)) is not equal


def test_an_object_without_fields_has_no_entry():
    live = config_map(secrets=[{"name": "added-by-a-controller"}])
    assert not difference(live, config_map(), ME)
    assert difference(live, config_map(data={"a": "b"}), ME)


def test_same_ignores_times_and_counters_only():
    other = changed(LIVE_SERVICE, ("metadata", "managedFields", 0, "time"), "2026-01-01T00:00:00Z")
    other["metadata"] |= {"resourceVersion": "9", "generation": 3}
    other["metadata"]["managedFields"].reverse()
    assert same(LIVE_SERVICE, other)
    assert not same(LIVE_SERVICE, changed(other, ("spec", "type"), "NodePort"))
    assert not same(LIVE_SERVICE, changed(other, ("metadata", "managedFields", 0, "manager"), "third"))


# --- difference: against a model of server-side apply


SCALARS = st.sampled_from(["a", "b", "", 0, 1, True, False])
ITEMS = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from("xyz")}, optional={"value": SCALARS}),
    max_size=3,
    unique_by=lambda item: item["name"],
)
MAPS = st.dictionaries(st.sampled_from("pqr"), SCALARS, max_size=3)
# Each field has one type, as a schema would have it.
FIELDS = {"scalar": SCALARS, "atoms": st.lists(st.sampled_from("ab"), max_size=2), "items": ITEMS, "map": MAPS}
SPECS = st.fixed_dictionaries({}, optional={**FIELDS, "deep": st.fixed_dictionaries({}, optional=FIELDS)})


@st.composite
def configurations(draw):
    obj = config_map(spec=draw(SPECS))
    metadata = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "labels": st.dictionaries(st.sampled_from("lm"), st.sampled_from("ab"), max_size=2),
                "finalizers": st.lists(st.sampled_from("fg"), max_size=2, unique=True),
            },
        )
    )
    obj["metadata"] |= metadata
    return obj


def attempt(live, config, manager):
    try:
        return server_side_apply(live, config, manager)
    except Conflict:
        return live


def played(history):
    live = None
    for manager, config in history:
        with contextlib.suppress(Conflict):
            live = server_side_apply(live, config, manager)
    return live


def empty_at(config, path):
    """Whether the configuration holds {} or [] there, which leave alone what others have put into it."""
    for name in path.split("."):
        config = config[name]
    return config in ({}, [])


HISTORIES = st.lists(st.tuples(st.sampled_from([ME, "other"]), configurations()), max_size=3)


@properties
@given(HISTORIES, configurations())
def test_nothing_differs_after_an_apply(history, config):
    found = difference(server_side_apply(played(history), config, ME, force=True), config, ME)
    assert not found.missing and not found.surplus
    assert all(empty_at(config, path) for path in found.values)


@properties
@given(HISTORIES, configurations())
def test_where_nothing_differs_an_apply_changes_no_value(history, config):
    live = played(history)
    if live and not difference(live, config, ME):
        result = server_side_apply(live, config, ME)
        del live["metadata"]["managedFields"], result["metadata"]["managedFields"]
        assert live == result


@properties
@given(configurations(), configurations())
def test_where_nothing_differs_an_apply_changes_no_owner(first, second):
    live = server_side_apply(None, first, ME)
    if not difference(live, second, ME):
        assert same(live, server_side_apply(live, second, ME))
