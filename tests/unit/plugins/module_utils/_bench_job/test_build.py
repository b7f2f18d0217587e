# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects of a benchmark."""

from __future__ import annotations

import json
import secrets

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._bench.errors import InputError
from ansible_collections.modelops.serving.plugins.module_utils._bench_job.build import IDENTITY, RUN, build
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._bench_job.given import spec

PROGRAM = b"zip"


def objects(**given):
    return build(spec(**given), PROGRAM, "run-1")


def pod_of(job):
    return job["spec"]["template"]["spec"]


def test_one_job_for_each_pod_with_its_own_files():
    config, first, second = objects(parallelism=2)
    assert [job["metadata"]["name"] for job in (first, second)] == ["load-0", "load-1"]
    assert [job["metadata"]["name"] for job in objects()[1:]] == ["load"]
    for number, job in enumerate((first, second)):
        files, program, *_rest = pod_of(job)["volumes"]
        assert files["configMap"]["items"] == [{"key": f"{number}.plan.json", "path": "plan.json"}]
        assert program["configMap"]["name"] == files["configMap"]["name"] == config["metadata"]["name"]
        assert f"{number}.plan.json" in config["data"]
    assert first["metadata"]["annotations"] == second["metadata"]["annotations"]
    assert first["spec"]["template"]["metadata"]["annotations"] == {RUN: "run-1"}


def test_what_all_pods_have_alike_is_there_once(tmp_path):
    (tmp_path / "prompts").write_text('{"prompt": "a"}\n' * 9)
    data = {"type": "jsonl", "path": str(tmp_path / "prompts"), "output_tokens": {"mean": 8}}
    config, first, _second = objects(parallelism=2, data=data)
    assert sorted(config["data"]) == ["0.plan.json", "1.plan.json", "dataset.jsonl"]
    assert {"key": "dataset.jsonl", "path": "dataset.jsonl"} in pod_of(first)["volumes"][0]["configMap"]["items"]
    (tmp_path / "prompts").write_text(json.dumps({"prompt": "a" * 1024**2}) + "\n")
    with pytest.raises(InputError, match="a ConfigMap holds 1024"):
        objects(data=data)


def test_a_pod_has_whole_cores_for_itself_and_never_those_of_a_tpu_node():
    pod = pod_of(objects(cpu="3", memory="2Gi")[-1])
    (container,) = pod["containers"]
    assert container["resources"]["requests"] == container["resources"]["limits"]
    assert container["resources"]["limits"] == {"cpu": "3", "memory": "2Gi", "ephemeral-storage": "2Gi"}
    terms = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert terms == [
        {"matchExpressions": [{"key": "cloud.google.com/gke-tpu-accelerator", "operator": "DoesNotExist"}]}
    ]
    assert (pod["restartPolicy"], pod["automountServiceAccountToken"]) == ("Never", False)
    assert pod["securityContext"]["runAsUser"] == 65532
    assert "runAsUser" not in pod_of(objects(platform="openshift")[-1])["securityContext"]


def test_the_key_is_in_the_secret_alone():
    key = secrets.token_hex(16)
    config, secret, job = objects(endpoint_api_key=key)
    assert secret["stringData"] == {"api-key": key}
    assert key not in json.dumps([config, job]) and key not in repr(spec(endpoint_api_key=key))
    (found,) = (item for item in pod_of(job)["containers"][0]["env"] if item["name"] == "OPENAI_API_KEY")
    assert found["valueFrom"] == {"secretKeyRef": {"name": "load-api-key", "key": "api-key"}}


def test_what_is_sent_makes_the_identity_and_the_value_of_the_key_does_not():
    def identity(**given):
        return objects(**given)[-1]["metadata"]["annotations"][IDENTITY]

    keys = [secrets.token_hex(16) for _number in range(2)]
    assert identity(endpoint_api_key=keys[0]) == identity(endpoint_api_key=keys[1])
    different = [{}, {"seed": 1}, {"image": "other"}, {"endpoint_api_key": keys[0]}, {"parallelism": 2}]
    assert len({identity(**given) for given in different}) == len(different)
    assert build(spec(), b"other", "run-1")[-1]["metadata"]["annotations"][IDENTITY] != identity()


def test_variables_of_the_user_count():
    (container,) = pod_of(objects(env={"HOME": "/elsewhere", "NUMBER": 1})[-1])["containers"]
    env = {item["name"]: item.get("value") for item in container["env"]}
    assert (env["HOME"], env["NUMBER"]) == ("/elsewhere", "1") and len(env) == len(container["env"])
