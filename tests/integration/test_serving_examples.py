# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples of docs/examples/serving are run, all in one run of ansible-playbook, and make the objects they speak of.

They write files, as for GitOps, so no cluster is asked. What happens only in one is not shown here: that a server answers,
that a conversion ends well, and that a model is published to the cell of Saxml.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from runner import ROOT
from schemas import check

from ansible_collections.modelops.serving.plugins.module_utils._sax.model import make
from ansible_collections.modelops.serving.plugins.module_utils._tpu.slice import make_slice

PAGE = ROOT / "docs" / "serving.md"
EXAMPLES = ROOT / "docs" / "examples" / "serving"
VARS, PLAYBOOKS = (
    {path.stem: yaml.safe_load(path.read_text()) for path in sorted((EXAMPLES / folder).glob("*.yml"))}
    for folder in ("vars", "playbooks")
)

Object = dict[str, Any]
Objects = dict[tuple[str, str], Object]  # by kind and name

_PINNED = re.compile(r"(?!.*:latest$)\S+/\S+:[\w.-]+")
_CHIPS = "google.com/tpu"


class Server(NamedTuple):
    """What has the chips of an example: nodes it goes to, chips of each Pod, and some arguments of what serves."""

    nodes: set[tuple[str, str]]
    chips: int
    args: set[str]


_V6E_2X4 = {("gke-tpu-accelerator", "tpu-v6e-slice"), ("gke-tpu-topology", "2x4")}
_V5E = ("gke-tpu-accelerator", "tpu-v5-lite-podslice")
_LLAMA = "meta-llama/Llama-3.3-70B-Instruct"
SERVERS = {
    "gemma-3-27b-v6e-2x4": Server(
        _V6E_2X4, 8, {"--tensor-parallel-size=8", "--max-model-len=16384", "--gpu-memory-utilization=0.95"}
    ),
    "llama-3.3-70b-v6e-2x4": Server(
        _V6E_2X4 | {("reservation-name", "tpu-v6e")},
        8,
        {
            *("--tensor-parallel-size=8", "--max-num-seqs=256", "--max-model-len=8192", "--load-format=runai_streamer"),
            *(f"--model=gs://example-models/models/{_LLAMA}", "--served-model-name=llama"),
        },
    ),
    "llama-3.3-70b-v5e-4x4": Server(
        {_V5E, ("gke-tpu-topology", "4x4"), ("gke-spot", "true")},
        4,
        {"--tensor-parallel-size=16", "--distributed-executor-backend=ray", f"--model={_LLAMA}"},
    ),
    # Which TPUs these are, the ComputeClass says.
    "qwen3-32b-tpu7x-1x1x1": Server(
        {("compute-class", "tpu7x-1x1x1")}, 1, {"--tensor-parallel-size=2", "--max-model-len=9216"}
    ),
    "gemma-7b-jetstream": Server(
        {_V5E, ("gke-tpu-topology", "2x4")},
        8,
        {"model_name=gemma-7b", "tokenizer_path=assets/tokenizer.gemma", "per_device_batch_size=4"},
    ),
    "llama-2-7b-saxml": Server(
        {_V5E, ("gke-tpu-topology", "2x2")},
        4,
        {"--sax_cell=/sax/test", "--platform_chip=tpuv5e", "--platform_topology=2x2"},
    ),
}


def plays(gitops: Path) -> list[Object]:
    """All examples as one playbook; what is made for each goes to folders of its own."""
    common = [{key: value for key, value in given.items() if key != "serving_instances"} for given in VARS.values()]
    assert all(given == common[0] for given in common)  # so that one run of the role does for all of them
    instances = [instance for given in VARS.values() for instance in given["serving_instances"]]
    variables = {**common[0], "serving_instances": instances, "serving_render_to": str(gitops)}
    found: list[Object] = [{"ansible.builtin.import_playbook": "modelops.serving.serving", "vars": variables}]
    for stem, (play,) in PLAYBOOKS.items():
        folders = {
            f"modelops.serving.{module}": {"render_to": str(gitops / stem / module)}
            for module in ("checkpoint_conversion", "tpu_serving")
        }
        found.append({**play, "module_defaults": folders})
    return found


def rendered(playbooks) -> dict[str, Objects]:
    """The objects of each example."""
    gitops, playbook = playbooks.directory / "gitops", playbooks.directory / "examples.yml"
    playbook.write_text(json.dumps(plays(gitops)))
    # Whether a copy in Google Cloud Storage is complete cannot be seen from here. That is a warning.
    nowhere = {"STORAGE_EMULATOR_HOST": "http://127.0.0.1:1"}
    # Publishing a model takes a cell that runs.
    playbooks.playbook(playbook, "--skip-tags", "publish", **nowhere).ok()
    folders = {stem: [gitops / one["name"] for one in given["serving_instances"]] for stem, given in VARS.items()}
    folders |= {stem: [gitops / stem] for stem in PLAYBOOKS}
    return {stem: _objects(places) for stem, places in folders.items()}


def _objects(folders: list[Path]) -> Objects:
    found = [yaml.safe_load(path.read_text()) for folder in folders for path in sorted(folder.rglob("*.yaml"))]
    return {(obj["kind"], obj["metadata"]["name"]): obj for obj in found}


def pods(obj: Object) -> list[Object]:
    """Specs of the Pods of an object; of what leads a group first."""
    group = obj["spec"].get("leaderWorkerTemplate", {}) if "spec" in obj else {}
    templates = [group.get("leaderTemplate"), group.get("workerTemplate"), obj.get("spec", {}).get("template")]
    return [template["spec"] for template in templates if template]


def containers(obj: Object) -> list[Object]:
    return [container for pod in pods(obj) for container in pod["containers"]]


def chips(obj: Object) -> list[int]:
    """Chips of each container that has some."""
    limits = [one["resources"]["limits"] for one in containers(obj) if "limits" in one.get("resources", {})]
    return [int(limit[_CHIPS]) for limit in limits if _CHIPS in limit]


def nodes(obj: Object) -> set[tuple[str, str]]:
    """Labels of nodes that all Pods of an object want."""
    wanted = [set(pod.get("nodeSelector", {}).items()) for pod in pods(obj)]
    return {(key.removeprefix("cloud.google.com/"), value) for key, value in set.intersection(*wanted)}


def test_examples_make_what_they_speak_of(playbooks):
    made = rendered(playbooks)
    assert made.keys() == SERVERS.keys()
    for stem, objects in made.items():
        for obj in objects.values():
            check(obj)
            assert all(_PINNED.fullmatch(container["image"]) for container in containers(obj))
        (server,) = (obj for obj in objects.values() if chips(obj) and obj["kind"] != "Job")
        wanted = SERVERS[stem]
        assert (nodes(server) >= wanted.nodes, set(chips(server))) == (True, {wanted.chips}), (stem, nodes(server))
        assert wanted.args <= set(containers(server)[0]["args"]), (stem, containers(server)[0]["args"])

    bucket, scaled, group, spare = (
        made[stem][kind]
        for stem, kind in (
            ("gemma-3-27b-v6e-2x4", ("Deployment", "gemma")),
            ("llama-3.3-70b-v6e-2x4", ("Deployment", "llama")),
            ("llama-3.3-70b-v5e-4x4", ("LeaderWorkerSet", "llama-v5e")),
            ("qwen3-32b-tpu7x-1x1x1", ("Deployment", "qwen")),
        )
    )
    volumes = {volume["name"]: volume for pod in pods(bucket) for volume in pod["volumes"]}
    (mounted,) = (volume["csi"] for volume in volumes.values() if "csi" in volume)
    assert (mounted["driver"], mounted["readOnly"]) == ("gcsfuse.csi.storage.gke.io", True)
    assert mounted["volumeAttributes"]["bucketName"] == "example-models"
    assert "gemma-compile-cache" in str(volumes)
    assert pods(bucket)[0]["initContainers"]  # reads the weights once
    assert made["gemma-3-27b-v6e-2x4"]["HTTPRoute", "gemma"]["spec"]["hostnames"] == ["gemma.example.com"]

    scaler = made["llama-3.3-70b-v6e-2x4"]["HorizontalPodAutoscaler", "llama"]["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"], "replicas" in scaled["spec"]) == (1, 4, False)
    assert ("PodMonitoring", "llama") in made["llama-3.3-70b-v6e-2x4"]

    assert group["spec"]["leaderWorkerTemplate"]["size"] == 4
    assert chips(group) == [4, 4]  # the leader has a host of its own
    assert [volume["secret"]["secretName"] for volume in pods(group)[0]["volumes"] if "secret" in volume] == [
        "huggingface-token-read"
    ]

    ladder = made["qwen3-32b-tpu7x-1x1x1"]["ComputeClass", "tpu7x-1x1x1"]["spec"]["priorities"]
    assert [step["tpu"] for step in ladder] == [{"type": "tpu7x", "count": 1, "topology": "1x1x1"}] * 3
    assert (spare["spec"]["replicas"], spare["spec"]["strategy"]["rollingUpdate"]["maxSurge"]) == (2, 1)
    assert len(made["qwen3-32b-tpu7x-1x1x1"]["NetworkPolicy", "qwen"]["spec"]["ingress"][0]["from"]) == 2

    check_what_tasks_hand_over(made)


def check_what_tasks_hand_over(made: dict[str, Objects]) -> None:
    """Of those with several tasks: what one makes is what the next one takes."""
    jetstream, saxml = made["gemma-7b-jetstream"], made["llama-2-7b-saxml"]
    (convert,), (server, _http) = (
        containers(jetstream[kind]) for kind in (("Job", "gemma-convert"), ("Deployment", "gemma"))
    )
    assert (convert["args"], chips(jetstream["Job", "gemma-convert"])) == (
        ["-b=example-models", "-m=google/gemma/maxtext/7b-it/2"],
        [8],
    )
    (checkpoint,) = (item["value"] for item in convert["env"] if item["name"] == "CHECKPOINT")
    assert f"load_parameters_path={checkpoint}" in server["args"]

    (cell,) = (
        arg.partition("=")[2] for arg in containers(saxml["Deployment", "llama-model"])[0]["args"] if "cell" in arg
    )
    (convert,) = containers(saxml["Job", "llama-convert"])
    env = {item["name"]: item["value"] for item in convert["env"]}
    (task,) = (task for task in PLAYBOOKS["llama-2-7b-saxml"][0]["tasks"] if task.get("tags") == ["publish"])
    options = task["modelops.serving.saxml_model"]
    # As it is published: Saxml takes these words, and asks a Pod of the instance that is there.
    assert options["checkpoint"] == "{{ converted.checkpoint }}"
    checkpoint = f"{env['GCS_PAX_CHECKPOINT_PATH']}/{env['CHECKPOINT_FOLDER_NAME']}"
    make(options["name"], cell, path=options["model_path"], checkpoint=checkpoint, replicas=1, overrides={})
    assert ("Deployment", f"{options['instance']}-util") in saxml


def test_examples_name_the_machines_that_they_need():
    wanted = {stem: given["serving_instances"][0]["accelerator"] for stem, given in VARS.items()}
    for stem, (play,) in PLAYBOOKS.items():
        (task,) = (task for task in play["tasks"] if "modelops.serving.tpu_serving" in task)
        given = task["modelops.serving.tpu_serving"]["accelerator"]
        wanted[stem] = given if isinstance(given, dict) else play["vars"]["slice"]
    for path in EXAMPLES.glob("*/*.yml"):
        machine = make_slice(wanted[path.stem]["generation"], topology=wanted[path.stem]["topology"]).machine
        assert machine.name in path.read_text(), path


def test_the_page_names_what_there_is():
    page = PAGE.read_text()
    named = re.findall(r"`(tests/\S+\.py)::(\w+)`", page)
    assert len(named) > 50
    for path, name in named:
        assert re.search(rf"^def {name}\(", (ROOT / path).read_text(), re.MULTILINE), f"{path}::{name}"
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", page)]
    assert [link for link in links if not (PAGE.parent / link).is_file()] == []
    assert {f"{stem}.yml" for stem in (*VARS, *PLAYBOOKS)} <= {Path(link).name for link in links}
