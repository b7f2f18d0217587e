# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import stat

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.modelops.serving.plugins.module_utils._kube.apply import apply
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import InputError, KubeError
from ansible_collections.modelops.serving.plugins.module_utils._kube.objects import prepare
from ansible_collections.modelops.serving.plugins.module_utils._kube.render import render, text
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._kube.fakes import FakeApi, properties


def thing(kind, name, namespace="demo", api_version="v1", **more):
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": namespace}, **more}


SETTINGS = thing("ConfigMap", "settings", data={"a": "1", "b": "line\nline\n", "c": "1e3", "d": "yes"})
JOB = thing("Job", "warmup", api_version="batch/v1", spec={"template": {}})
SET = prepare(
    [
        JOB,
        thing("Deployment", "server", api_version="apps/v1", spec={"replicas": 1}),
        SETTINGS,
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "demo"}},
    ],
    instance="gemma",
)


def actions(changes):
    return {f"{change.ref.kind}/{change.ref.name}": change.action for change in changes}


def files(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_the_very_same_objects_as_applied(tmp_path):
    render(SET, str(tmp_path))
    api = FakeApi()
    apply(api.client(), SET)
    sent = {(asked.body["kind"], asked.body["metadata"]["name"]): asked.body for asked in api.asked if asked.writes}
    found = [yaml.safe_load(content) for content in files(tmp_path).values()]
    assert {(obj["kind"], obj["metadata"]["name"]): obj for obj in found} == sent


def test_rendering_again(tmp_path):
    folder = tmp_path / "deep" / "folder"
    assert set(actions(render(SET, str(folder), check=True)).values()) == {"create"}
    assert not folder.exists()
    assert set(actions(render(SET, str(folder))).values()) == {"create"}
    before = files(folder)
    assert sorted(before) == [
        "00-namespace-demo.yaml",
        "06-configmap-settings.yaml",
        "08-deployment-server.yaml",
        "08-job-warmup.yaml",
    ]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o644}
    times = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert set(actions(render(reversed(SET), str(folder))).values()) == {"none"}
    assert files(folder) == before and times == {path: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_changes_removals_and_files_of_others(tmp_path):
    render(SET, str(tmp_path))
    (tmp_path / "kustomization.yaml").write_text("resources: []\n")
    (tmp_path / "note.txt").write_bytes(b"\xff")
    (tmp_path / "binary.yaml").write_bytes(b"\xff")
    changed = [copy.deepcopy(obj) for obj in SET if obj["kind"] != "Job"]
    changed[0]["spec"]["replicas"] = 2
    before = files_and_bytes(tmp_path)
    wanted = {
        "Job/warmup": "delete",
        "Deployment/server": "update",
        "ConfigMap/settings": "none",
        "Namespace/demo": "none",
    }
    assert actions(render(changed, str(tmp_path), check=True)) == wanted
    assert files_and_bytes(tmp_path) == before
    changes = render(changed, str(tmp_path))
    assert actions(changes) == wanted
    (update,) = (change for change in changes if change.action == "update")
    assert (update.before["spec"], update.after["spec"]) == ({"replicas": 1}, {"replicas": 2})
    left = files_and_bytes(tmp_path)
    assert set(before) - set(left) == {"08-job-warmup.yaml"}
    assert [name for name in left if left[name] != before[name]] == ["08-deployment-server.yaml"]
    assert set(actions(render([], str(tmp_path))).values()) == {"delete"}
    assert set(files_and_bytes(tmp_path)) == {"kustomization.yaml", "note.txt", "binary.yaml"}


def files_and_bytes(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_file_that_somebody_edited(tmp_path):
    render(SET, str(tmp_path))
    path = tmp_path / "06-configmap-settings.yaml"
    original = path.read_text()
    for edited in (original.replace("line", "other"), original.splitlines()[0] + "\n{not yaml"):
        path.write_text(edited)
        assert actions(render(SET, str(tmp_path)))["ConfigMap/settings"] == "update"
        assert path.read_text() == original


def test_files_in_the_way(tmp_path):
    (tmp_path / "06-configmap-settings.yaml").write_text("mine: true\n")
    with pytest.raises(InputError, match=r"06-configmap-settings.yaml was not written by this module"):
        render(SET, str(tmp_path))
    assert len(files(tmp_path)) == 1
    (tmp_path / "06-configmap-settings.yaml").unlink()
    (tmp_path / "06-configmap-settings.yaml").symlink_to("/nowhere")
    with pytest.raises(InputError, match="was not written by this module"):
        render(SET, str(tmp_path))


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(KubeError, match="Cannot write to"):
        render(SET, str(tmp_path / "file" / "below"))


def test_no_secrets_in_files(tmp_path):
    secret = prepare([thing("Secret", "token", stringData={"token": "canary"})])
    with pytest.raises(InputError, match="Secret demo/token holds data") as caught:
        render([*SET, *secret], str(tmp_path))
    assert not files(tmp_path) and "canary" not in str(caught.value)
    render([thing("Secret", "token", type="Opaque")], str(tmp_path))
    assert list(files(tmp_path)) == ["06-secret-token.yaml"]


def test_annotations_of_argo_cd(tmp_path):
    render(SET, str(tmp_path), argo=True)
    waves = {name: yaml.safe_load(content)["metadata"]["annotations"] for name, content in files(tmp_path).items()}
    assert waves["00-namespace-demo.yaml"] == {"argocd.argoproj.io/sync-wave": "0"}
    assert waves["08-job-warmup.yaml"] == {"argocd.argoproj.io/sync-wave": "8"}
    assert actions(render(SET, str(tmp_path), argo=True, job_hooks=True)) == {
        "Namespace/demo": "none",
        "ConfigMap/settings": "none",
        "Deployment/server": "none",
        "Job/warmup": "update",
    }
    assert yaml.safe_load((tmp_path / "08-job-warmup.yaml").read_text())["metadata"]["annotations"] == {
        "argocd.argoproj.io/sync-wave": "8",
        "argocd.argoproj.io/hook": "Sync",
        "argocd.argoproj.io/hook-delete-policy": "BeforeHookCreation",
    }
    assert "annotations" not in JOB["metadata"]


def test_names_that_would_meet(tmp_path):
    objects = [
        thing("ConfigMap", "a", "one"),
        thing("ConfigMap", "a", "two"),
        thing("ConfigMap", "b", "two"),
        thing("Service", "a", "one"),
        thing("Service", "a", "one", "serving.knative.dev/v1"),
    ]
    render(objects, str(tmp_path))
    assert sorted(files(tmp_path)) == [
        "06-configmap-b.yaml",
        "06-configmap-one-a.yaml",
        "06-configmap-two-a.yaml",
        "08-service-one-a.yaml",
        "08-service-serving.knative.dev-one-a.yaml",
    ]
    roles = [
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}}
        for name in ("a:b", "a/b")
    ]
    with pytest.raises(InputError, match="the same file name"):
        render(roles, str(tmp_path))


VALUES = st.recursive(
    st.text(max_size=12)
    | st.sampled_from(
        ["y", "n", "1e3", "0o7", "0x1f", "1_000", "12:30:45", "2026-01-01", ".inf", "~", "null", "a: b", "# a"]
    )
    | st.integers()
    | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@properties
@given(VALUES)
def test_text_reads_back(value):
    obj = {"spec": value}
    assert yaml.safe_load(text(obj)) == obj
    assert text(obj) == text(copy.deepcopy(obj))


def test_text_that_others_might_take_for_something_else_is_quoted():
    words = ["y", "n", "no", "1e3", "0o7", "1_000", "12:30:45", "2026-01-01", "0x1f", ".5", "null", "~", "=", "<<"]
    for word in words:
        assert text({"spec": word}).split(": ")[1].strip()[0] in "\"'", word
    assert text({"image": "registry/name"}) == "image: registry/name\n"
