# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects of a sync."""

from __future__ import annotations

import base64
import dataclasses
import json
import posixpath
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ansible_collections.modelops.serving.plugins.module_utils._kube.render import text
from ansible_collections.modelops.serving.plugins.module_utils._sync_job.build import IDENTITY, build
from ansible_collections.modelops.serving.plugins.module_utils._sync_job.spec import Features
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._sync_job import options

GOLDEN = Path(__file__).with_name("golden_job.txt")
KEYS = {"access_key": "id", "secret_key": "secret"}
AWS = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"}
SECRETS = {
    "keys": AWS,
    "hub": {"token": "hf_x", "other": "hf_y"},
    "model-source": {
        "S3_SYNC_SRC__PATH": "s3://models/a/",
        "S3_SYNC_SRC__ACCESS_KEY": "id",
        "S3_SYNC_SRC__SECRET_KEY": "secret",
        "S3_SYNC_SRC__CA_BUNDLE": "-----BEGIN CERTIFICATE-----",
    },
    "connection": {**AWS, "AWS_S3_BUCKET": "models", "AWS_S3_ENDPOINT": "https://s3.test"},
}


def objects_of(features=None, **given):
    spec = options.assembled(SECRETS, **given).spec
    return build(spec, b"engine", ["six==1.17.0", "tqdm==4.70.1"], features or Features())


def pod_of(objects):
    spec = objects[-1]["spec"]
    return spec.get("jobTemplate", {"spec": spec})["spec"]["template"]["spec"]


def files_of(pod, container, objects):
    """Paths of all files that a container finds in its volumes."""
    here = {(obj["kind"], obj["metadata"]["name"]): obj for obj in objects}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert len(volumes) == len(pod["volumes"])
    found = set()
    for mount in container["volumeMounts"]:
        volume = volumes[mount["name"]]
        if "configMap" in volume:
            config = here["ConfigMap", volume["configMap"]["name"]]
            names = {*config["data"], *config["binaryData"]}
        elif "items" in volume.get("secret", {}):
            names = {item["path"] for item in volume["secret"]["items"]}
        elif "secret" in volume:
            names = set(here["Secret", volume["secret"]["secretName"]]["stringData"])
        elif "csi" in volume:
            names = {"token", "HUGGINGFACE_TOKEN"}
        else:
            names = set()
        found |= {posixpath.join(mount["mountPath"], name) for name in names}
    return found


def paths_in(value):
    """Files that a request names."""
    if isinstance(value, dict):
        return {path for item in value.values() for path in paths_in(item)}
    if isinstance(value, list):
        return {path for item in value for path in paths_in(item)}
    return {value} if isinstance(value, str) and value.startswith("/") else set()


def assert_fits(objects):
    """What a Pod mounts is there, what it is told to read is mounted, and nothing is there twice or in vain."""
    pod = pod_of(objects)
    containers = pod.get("initContainers", []) + pod["containers"]
    mounted = [mount["name"] for container in containers for mount in container["volumeMounts"]]
    assert set(mounted) == {volume["name"] for volume in pod["volumes"]}
    for container in containers:
        for items, key in ((container["env"], "name"), (container["volumeMounts"], "mountPath")):
            assert len({item[key] for item in items}) == len(items)
        for mount in container["volumeMounts"]:
            writable = mount["name"] in ("tmp", "site-packages") and not mount.get("readOnly")
            assert writable or mount["readOnly"]
    (sync,) = pod["containers"]
    files = files_of(pod, sync, objects)
    request = json.loads(objects[0]["data"]["request.json"])
    assert paths_in(request) <= files
    assert sync["command"][4] in files
    assert next(item["value"] for item in sync["env"] if item["name"] == "PYTHONPATH").split(":")[0] in files
    accounts = {obj["metadata"]["name"] for obj in objects if obj["kind"] == "ServiceAccount"}
    assert accounts in ({pod["serviceAccountName"]}, set())
    instance = objects[-1]["metadata"]["name"]
    assert all(obj["metadata"]["name"].startswith(instance) for obj in objects)


def test_the_usual_job_is_the_golden_one():
    objects = objects_of(
        token_secret={"name": "hub"},
        destinations=[{"bucket": "models", "prefix": "hub", "region": "eu-central-1", **KEYS}],
    )
    written = "---\n".join(map(text, objects))
    assert written == GOLDEN.read_text(), "look at the difference; when it is right, keep the new text"
    assert_fits(objects)


PLACES = st.sampled_from(
    [
        {"bucket": "a", **KEYS},
        {"bucket": "b", "credentials_secret": "keys"},
        {"bucket": "c", "type": "gcs", "service_account_contents": "{}"},
        {"bucket": "d", "type": "ibm_cos", "api_key": "k"},
        {"bucket": "e"},
    ]
)
SOURCES = st.sampled_from(
    [
        {"source": options.HUB},
        {"source": {**options.HUB, "token": "hf_x"}},
        {"source": {**options.HUB, "credentials_secret": "hub"}},
        *(
            {"source": options.HUB, "token_secret": {"name": "hub", "key": "other", "mount": mount}}
            for mount in ("standard", "jetstream_pytorch", "env")
        ),
        {"source": options.HUB, "token_secret": {"name": "hub", "mount": "custom", "path": "/run/hub/my.token"}},
        *(
            {"source": options.HUB, "token_secret_provider_class": {"provider": provider, "mount": mount}}
            for provider, mount in (("gke", "standard"), ("aws", "jetstream_pytorch"))
        ),
        {"source": {"type": "s3", "bucket": "x", "prefix": "y", "credentials_secret": "keys"}},
        {"source": {"type": "in_place"}, "name": "n"},
        {"source": None, "source_secret": "model-source", "name": "n"},
    ]
)
REST = st.fixed_dictionaries(
    {},
    optional={
        "parallelism": st.sampled_from([1, 4]),
        "schedule": st.just("@daily"),
        "install_requirements": st.booleans(),
        "service_account": st.just("robot"),
        "env": st.just({"HTTPS_PROXY": "http://proxy:3128", "HOME": "/elsewhere", "HF_TOKEN": "mine"}),
        "annotations": st.just({"a": "b"}),
        "labels": st.just({"c": "d", "app.kubernetes.io/name": "mine"}),
        "notify": st.just([{"type": "webhook", "url": "https://x.test"}]),
        "tolerations": st.just([{"key": "tpu", "operator": "Exists"}]),
        "node_selector": st.just({"pool": "cpu"}),
        "image_pull_secrets": st.just(["registry"]),
        "ttl_seconds_after_finished": st.just(0),
        "service_account_annotations": st.just({"e": "f"}),
        "platform": st.just("openshift"),
    },
)


@settings(max_examples=60, deadline=None)
@given(
    source=SOURCES,
    places=st.lists(PLACES, min_size=1, max_size=3) | st.none(),
    rest=REST,
    features=st.sampled_from([Features(), Features.of((1, 20))]),
)
def test_any_sync_fits(source, places, rest, features):
    where = {"destinations": places} if places else {"destinations": None, "data_connection": "connection"}
    assume(rest.get("parallelism", 1) == 1 or (source["source"] or {}).get("type") != "in_place")
    objects = objects_of(features, **source, **where, **rest)
    assert_fits(objects)
    assert objects == objects_of(features, **source, **where, **rest)


def test_the_engine_goes_along():
    (config, *_rest) = objects_of()
    assert base64.b64decode(config["binaryData"]["modelops_transfer.zip"]) == b"engine"
    assert config["data"]["requirements.txt"] == "six==1.17.0\ntqdm==4.70.1\n"


def test_another_content_is_another_config_map():
    one, other = objects_of(), objects_of(source={**options.HUB, "revision": "v2"})
    assert one[0]["metadata"]["name"] != other[0]["metadata"]["name"]
    spec = options.assembled(SECRETS).spec
    newer = build(spec, b"newer engine", ["six==1.17.0", "tqdm==4.70.1"], Features())
    assert newer[0]["metadata"]["name"] != one[0]["metadata"]["name"]
    # A newer engine alone is no reason to copy again.
    assert newer[-1]["metadata"]["annotations"][IDENTITY] == one[-1]["metadata"]["annotations"][IDENTITY]


def test_an_image_that_has_the_requirements():
    objects = objects_of(install_requirements=False)
    pod = pod_of(objects)
    assert "initContainers" not in pod
    assert "requirements.txt" not in objects[0]["data"]
    assert "site-packages" not in json.dumps(pod)


def test_requirements_of_a_mirror():
    pod = pod_of(objects_of(index_url="https://mirror.test/simple", trusted_host="mirror.test"))
    (init,) = pod["initContainers"]
    command = " ".join(init["command"])
    assert "--index-url https://mirror.test/simple --trusted-host mirror.test" in command
    assert "secret" not in json.dumps(init)
    # pip unpacks there first, and what it unpacks is more than the volume for temporary files may hold.
    target = command.partition("--target ")[2].split()[0]
    assert {"name": "TMPDIR", "value": target} in init["env"]


def test_nothing_runs_as_root_or_with_rights():
    pod = pod_of(objects_of())
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    for container in pod["initContainers"] + pod["containers"]:
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}


def test_openshift_chooses_the_user():
    assert "runAsUser" not in pod_of(objects_of(platform="openshift"))["securityContext"]
    assert pod_of(objects_of())["securityContext"]["runAsUser"] == 65532


def test_the_users_variables_count():
    pod = pod_of(objects_of(env={"HOME": "/elsewhere", "N": 1}))
    env = {item["name"]: item.get("value") for item in pod["containers"][0]["env"]}
    assert (env["HOME"], env["N"]) == ("/elsewhere", "1")


def test_several_pods_are_an_indexed_job():
    objects = objects_of(parallelism=4)
    job = objects[-1]["spec"]
    assert (job["completionMode"], job["completions"], job["parallelism"]) == ("Indexed", 4, 4)
    assert json.loads(objects[0]["data"]["request.json"])["options"]["shards"] == 4
    (sync,) = pod_of(objects)["containers"]
    assert sync["command"][-4:] == ["--group", "$(GROUP)", "--shard", "$(SHARD)"]
    fields = {item["name"]: item["valueFrom"]["fieldRef"]["fieldPath"] for item in sync["env"] if "valueFrom" in item}
    assert fields == {
        "SHARD": "metadata.annotations['batch.kubernetes.io/job-completion-index']",
        "GROUP": "metadata.labels['controller-uid']",
    }


def test_a_model_in_its_place_belongs_to_no_group():
    (sync,) = pod_of(objects_of(source={"type": "in_place"}, name="n"))["containers"]
    assert "--group" not in sync["command"]
    (sync,) = pod_of(objects_of())["containers"]
    assert sync["command"][-2:] == ["--group", "$(GROUP)"]


@pytest.mark.parametrize(("version", "api"), [((1, 20), "batch/v1beta1"), ((1, 30), "batch/v1")])
def test_a_schedule_is_a_cron_job(version, api):
    objects = objects_of(Features.of(version), schedule="17 3 * * *", suspend=True)
    cron = objects[-1]
    assert (cron["kind"], cron["apiVersion"]) == ("CronJob", api)
    spec = cron["spec"]
    assert (spec["schedule"], spec["suspend"], spec["concurrencyPolicy"]) == ("17 3 * * *", True, "Forbid")
    assert "schedule" not in spec["jobTemplate"]["spec"]


def test_an_older_cluster_has_no_pod_failure_policy():
    assert "podFailurePolicy" in objects_of()[-1]["spec"]
    assert "podFailurePolicy" not in objects_of(Features.of((1, 25)))[-1]["spec"]


def test_limits_of_time():
    job = objects_of(engine={"timeout": 60.5}, ttl_seconds_after_finished=0, backoff_limit=0)[-1]["spec"]
    assert (job["activeDeadlineSeconds"], job["ttlSecondsAfterFinished"], job["backoffLimit"]) == (660, 0, 0)
    assert not {"activeDeadlineSeconds", "ttlSecondsAfterFinished"} & objects_of()[-1]["spec"].keys()


def test_a_pods_labels_do_not_say_that_it_is_ours_to_remove():
    for objects in (objects_of(labels={"team": "ml"}), objects_of(schedule="@daily")):
        spec = objects[-1]["spec"]
        template = spec.get("jobTemplate", {"spec": spec})["spec"]["template"]
        assert "app.kubernetes.io/managed-by" not in template["metadata"]["labels"]
    assert objects_of(labels={"team": "ml"})[-1]["spec"]["template"]["metadata"]["labels"]["team"] == "ml"


def test_without_credentials_there_is_no_secret():
    spec = options.assembled(SECRETS).spec
    assert dataclasses.replace(spec, credentials={}) == spec
    assert [obj["kind"] for obj in build(spec, b"", [], Features())] == ["ConfigMap", "ServiceAccount", "Job"]
