# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.modelops.serving.plugins.module_utils._serving import build
from ansible_collections.modelops.serving.plugins.module_utils._serving.instance import Bucket, Claim, Device
from ansible_collections.modelops.serving.plugins.module_utils._tpu.errors import TpuError
from ansible_collections.modelops.serving.plugins.module_utils._tpu.slice import parallelism
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError
from ansible_collections.modelops.serving.tests.unit.plugins.module_utils._serving.instances import (
    instance,
    of_kind,
    tpu,
    variables,
)

ONE, FOUR = tpu("v5e", "2x2"), tpu("v5e", "4x4")


def saxml(**given):
    settings = {"bucket": "cells", **given.pop("settings", {})}
    return instance(**{"name": "llama", "engine": "saxml", "hardware": ONE, "settings": settings, **given})


def templates(made):
    """Template of the Pods of each workload, by its component."""
    found = {}
    for obj in build.objects(made):
        spec = obj.get("spec", {})
        if obj["kind"] == "JobSet":
            (job,) = spec["replicatedJobs"]
            spec = job["template"]["spec"]
        if "template" in spec:
            found[spec["template"]["metadata"]["labels"]["app.kubernetes.io/component"]] = spec["template"]
    return found


def containers(made):
    """The only container of each workload, by its component."""
    found = {}
    for component, template in templates(made).items():
        (found[component],) = template["spec"]["containers"]
    return found


@pytest.mark.parametrize("hardware", [ONE, FOUR])
def test_all_servers_of_a_cell_agree_on_its_place(hardware):
    found = containers(saxml(hardware=hardware, settings={"util": True, "cell": "/sax/test"}))
    assert set(found) == {"http", "admin", "model", "util"}
    for component in ("http", "model", "util"):
        assert variables(found[component])["SAX_ROOT"] == "gs://cells/sax-root"
    # Its image makes gs://BUCKET/sax-root of it.
    assert variables(found["admin"]) == {"GSBUCKET": "cells", "SAX_CELL": "/sax/test"}
    assert "--sax_cell=/sax/test" in found["model"]["args"]


def test_arguments_of_a_model_server():
    assert containers(saxml())["model"]["args"] == [
        "--port=10001",
        "--sax_cell=/sax/llama",
        "--platform_chip=tpuv5e",
        "--platform_topology=2x2",
        "--jax_platforms=tpu",
    ]
    v4 = containers(saxml(hardware=tpu("v4", "2x2x1"), args=("--models=a",), env={"A": "b"}))["model"]
    assert "--platform_chip=tpuv4" in v4["args"]
    assert v4["args"][-1] == "--models=a"
    assert variables(v4) == {"SAX_ROOT": "gs://cells/sax-root", "A": "b"}


@pytest.mark.parametrize("hardware", [ONE, FOUR])
def test_only_http_is_reached_and_only_from_within(hardware):
    spec = of_kind("Service", saxml(hardware=hardware))["spec"]
    assert spec["type"] == "ClusterIP"
    assert spec["ports"] == [{"name": "http", "port": 8888, "protocol": "TCP", "targetPort": "http"}]
    assert spec["selector"].items() <= templates(saxml(hardware=hardware))["http"]["metadata"]["labels"].items()


def test_the_program_of_the_http_server():
    found = containers(saxml())["http"]
    python, option, program = found["command"]
    assert (python, option, found["args"]) == ("python3", "-c", ["--port=8888"])
    compile(program, "program", "exec")
    # Nothing that Kubernetes would take for a variable, and nothing that only this collection has.
    assert "$(" not in program and "import ansible" not in program and "from ansible" not in program
    assert "volumeMounts" not in found


def test_a_key_is_a_file_of_the_http_server_alone():
    found = templates(saxml(settings={"api_key_secret": "keys"}))
    assert [component for component, template in found.items() if "volumes" in template["spec"]] == ["http"]
    spec = found["http"]["spec"]
    (container,) = spec["containers"]
    (mount,), (volume,) = container["volumeMounts"], spec["volumes"]
    assert volume["secret"]["secretName"] == "keys" and volume["secret"]["defaultMode"] == 0o440
    (item,) = volume["secret"]["items"]
    assert item["key"] == "api_key"
    assert container["args"][1:] == [f"--key-file={mount['mountPath']}/{item['path']}"]
    assert (mount["name"], mount["readOnly"]) == (volume["name"], True)


@pytest.mark.parametrize("hardware", [ONE, FOUR])
def test_only_model_servers_are_privileged_and_have_devices(hardware):
    made = saxml(hardware=hardware, settings={"util": True})
    for component, template in templates(made).items():
        (container,) = template["spec"]["containers"]
        model = component == "model"
        # The API server refuses a privileged container that is not allowed more privileges.
        assert container["securityContext"] == ({"privileged": True} if model else {"allowPrivilegeEscalation": False})
        assert ("nodeSelector" in template["spec"]) is model
        assert ("google.com/tpu" in container["resources"].get("limits", {})) is model
        assert template["spec"]["serviceAccountName"] == "llama"


def test_pods_without_chips_go_where_they_are_sent():
    pool, taint = {"pool": "admin"}, {"key": "saxml-admin-node-pool", "operator": "Exists"}
    made = saxml(settings={"util": True, "cpu_node_selector": pool, "cpu_tolerations": [taint]})
    for component, template in templates(made).items():
        sent = (template["spec"]["nodeSelector"], template["spec"].get("tolerations"))
        assert (sent == (pool, [taint])) is (component != "model")


def test_model_servers_without_privileges():
    found = containers(saxml(settings={"privileged": False}))["model"]
    assert found["securityContext"] == {"allowPrivilegeEscalation": False}


def test_one_admin_server_and_as_many_model_servers_as_asked_for():
    deployments = {
        obj["metadata"]["name"]: obj for obj in build.objects(saxml(replicas=3)) if obj["kind"] == "Deployment"
    }
    assert {name: obj["spec"]["replicas"] for name, obj in deployments.items()} == {
        "llama": 1,
        "llama-admin": 1,
        "llama-model": 3,
    }


def test_a_slice_of_several_hosts_is_one_job_of_a_set():
    made = saxml(hardware=FOUR, replicas=2)
    build.check(made)
    found = of_kind("JobSet", made)
    (job,) = found["spec"]["replicatedJobs"]
    assert job["replicas"] == 2
    spec = job["template"]["spec"]
    # What GKE sets TPU_WORKER_ID and TPU_WORKER_HOSTNAMES for; the set adds the subdomain.
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 4, 4)
    assert found["spec"].get("network", {}).get("enableDNSHostnames", True)
    assert "cloud.google.com/gke-nodepool" in found["metadata"]["annotations"].values()
    # Each slice is a server of its own.
    assert variables(containers(made)["model"])["MEGASCALE_NUM_SLICES"] == ""
    assert "MEGASCALE_NUM_SLICES" not in variables(containers(saxml())["model"])


def test_a_model_server_has_its_time_to_start():
    probe = containers(saxml(startup_timeout=95))["model"]["startupProbe"]
    assert (probe["tcpSocket"], probe["failureThreshold"] * probe["periodSeconds"]) == ({"port": "model"}, 100)


def test_compiled_programs_are_kept_where_there_is_a_claim():
    model = containers(saxml(compile_cache=Claim("cache")))["model"]
    assert f"--jax_cache_dir={model['volumeMounts'][0]['mountPath']}" in model["args"]


def test_the_bucket_of_the_weights_will_do():
    made = instance(engine="saxml", hardware=ONE, model_weights=Bucket("models", "llama"))
    build.check(made)
    assert variables(containers(made)["http"]) == {"SAX_ROOT": "gs://models/sax-root"}


def test_a_root_that_matches():
    build.check(saxml(settings={"sax_root": "gs://cells/sax-root", "cell": "/sax/a-b_1"}))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"settings": {"sax_root": "gs://other/sax-root"}}, "gs://other/sax-root is not where .*: gs://cells/sax-root"),
        ({"settings": {"bucket": ""}}, "keeps its state is not said"),
        ({"settings": {"bucket": "gs://cells"}}, "'gs://cells' is not the name of a bucket"),
        ({"settings": {"cell": "/sax/Test"}}, "'/sax/Test' is no cell"),
        ({"settings": {"cell": "/sax/1"}}, "'/sax/1' is no cell"),
        ({"settings": {"cell": "test"}}, "'test' is no cell"),
        ({"settings": {"cell": "/sax/a/b"}}, "'/sax/a/b' is no cell"),
        ({"settings": {"admin_image": "admin:latest"}}, "does not say which one it is"),
        ({"hardware": tpu("v4", "4x4x12")}, "does not know the topology 4x4x12"),
        ({"hardware": Device(), "image": "server:1"}, "saxml runs on TPUs only"),
        ({"hardware": tpu("v5e", "2x2", parallelism=parallelism(ONE.slice))}, "saxml does not take the parallelism"),
        ({"hardware": FOUR, "name": "a" * 40, "replicas": 101}, "names of Pods end at 63"),
    ],
)
def test_what_is_no_cell(given, message):
    with pytest.raises(InputError, match=message):
        build.check(saxml(**given))


def test_the_longest_name_of_a_pod():
    made = saxml(hardware=FOUR, name="a" * 40, replicas=100)
    build.check(made)
    assert len(f"{of_kind('JobSet', made)['metadata']['name']}-model-99-3-xxxxx") == 63


@pytest.mark.parametrize(("generation", "topology"), [("v5p", "2x2x1"), ("v6e", "2x4"), ("tpu7x", "2x2x1")])
def test_generations_that_saxml_does_not_know(generation, topology):
    with pytest.raises(TpuError, match=f"saxml does not know {generation}"):
        build.check(saxml(hardware=tpu(generation, topology)))


def test_users_are_told_what_to_take_instead():
    (warning,) = (text for text in build.check(saxml()) if "release" in text)
    assert "vllm" in warning
