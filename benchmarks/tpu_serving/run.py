# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tpu_serving: objects of many instances, an instance that is as it should be, and instances that fail.

    .venv/bin/python benchmarks/tpu_serving/run.py --kubeconfig .local/cluster/kubeconfig

Makes namespaces and removes them. Needs what `make dev` installs.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import sys
import tempfile
import typing as t
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# After this folder, which has modules of the same names.
sys.path[1:1] = [str(ROOT / path) for path in ("benchmarks", ".venv/collections", "tests/support", "tests/cluster")]

import building  # noqa: E402 - the path is set above
import failures  # noqa: E402 - likewise
from places import CLAIM, Places  # noqa: E402 - likewise
from test_cluster import __main__ as test_cluster  # noqa: E402 - likewise
from test_cluster.common import locked, state_directory  # noqa: E402 - likewise

from ansible_collections.modelops.serving.plugins.module_utils._serving.build import Features  # noqa: E402 - likewise
from playbooks import Object, Runner  # noqa: E402 - likewise

_INSTANCES = 200
_TITLES = {
    "tpu_serving": "`tpu_serving`",
    "k8s": "`kubernetes.core.k8s` with `apply: true`, then `k8s_info` with `wait: true`",
    "ping": "`ansible.builtin.ping`: what any task takes",
}


def image_of(kubeconfig: str) -> str:
    """The image with the stand-in for vLLM, if this is the test cluster of the checkout and it runs Pods."""
    directory = state_directory()
    state = test_cluster.current(directory)
    if state is None or state.kubeconfig != kubeconfig or not state.nodes:
        return ""
    with locked(directory.parent):
        return test_cluster.load_image(directory).image


def contenders(places: Places) -> dict[str, list[Object]]:
    """The tasks of each contender, in a namespace of its own; an empty play is what both are compared with."""
    replicas = 1 if places.image else 0
    model: Object = {"name": "org/model"}
    if places.image:
        model["claim"] = {"name": CLAIM}
    namespaces = {name: places.namespace(name.replace("_", "-")) for name in ("tpu_serving", "k8s")}
    options = {
        name: {
            "name": "server",
            "namespace": namespace,
            "model": model,
            "accelerator": {"type": "cpu"},
            "image": places.image or "registry.invalid/server:1",
            "replicas": replicas,
            "termination_grace_period": 0,
            "wait_timeout": 120,
        }
        for name, namespace in namespaces.items()
    }
    if places.image:
        for namespace in namespaces.values():
            places.claim_model(namespace)
    definitions = building.objects(building.parameters(options["k8s"]), Features.of(places.version))
    deployment = {"api_version": "apps/v1", "kind": "Deployment", "name": "server", "namespace": namespaces["k8s"]}
    return {
        "empty": [],
        "tpu_serving": [{"modelops.serving.tpu_serving": options["tpu_serving"]}],
        "k8s": [
            {"kubernetes.core.k8s": {"apply": True, "definition": definitions}},
            {"kubernetes.core.k8s_info": {**deployment, "wait": True, "wait_timeout": 120}},
        ],
        "ping": [{"ansible.builtin.ping": {}}],
    }


def counted(runner: Runner, name: str, kubeconfig: str) -> dict[str, int]:
    """What one unchanged run asks the API server, and through it the server of the model."""
    passed = runner.requests(name, kubeconfig)
    asked = [request for request in passed if "/proxy/" in request.path]
    writes = sum(request.writes for request in passed)
    return {"reads": len(passed) - len(asked) - writes, "server": len(asked), "writes": writes}


def unchanged(places: Places, runner: Runner, kubeconfig: str, rounds: int) -> dict[str, t.Any]:
    """Seconds of whole runs where nothing is left to do, and requests of each."""
    tasks = contenders(places)
    for name, its_tasks in tasks.items():
        runner.write(name, its_tasks)
        runner.run(name, kubeconfig)
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    names = list(tasks)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            seconds[name].append(runner.unchanged(name, kubeconfig))
            print(f"round {number + 1}: {name} {seconds[name][-1]:.2f} s", file=sys.stderr)
    return {"seconds": seconds, "requests": {name: counted(runner, name, kubeconfig) for name in _TITLES}}


def measure(kubeconfig: str, rounds: int) -> dict[str, t.Any]:
    """Everything, as data."""
    found: dict[str, t.Any] = {"objects": [building.timed(_INSTANCES) for _round in range(rounds)]}
    image = image_of(kubeconfig)
    with tempfile.TemporaryDirectory() as folder, Places(kubeconfig, image) as places:
        runner = Runner(Path(folder))
        if image:
            places.write_model()
        found["cluster"] = {"version": places.version, "stand-in": bool(image)}
        found["unchanged"] = unchanged(places, runner, kubeconfig, rounds)
        found["failures"] = {
            name: {"title": failure.title, "cause": failure.cause, "gave_up": seen.gave_up, **dataclasses.asdict(seen)}
            for name, (failure, seen) in failures.provoke(places, runner, kubeconfig).items()
        }
    found["load"] = os.getloadavg()[1]
    return found


def report(found: t.Mapping[str, t.Any]) -> str:
    """Tables of medians."""
    major, minor = found["cluster"]["version"]
    servers = "one replica, the stand-in for vLLM" if found["cluster"]["stand-in"] else "no replicas"
    building_seconds = statistics.median(seconds for seconds, _count in found["objects"])
    lines = [
        f"Kubernetes {major}.{minor}, {os.cpu_count()} processors, load {found['load']:.1f} in the last five minutes.",
        "",
        f"{found['objects'][0][1]} objects of {_INSTANCES} instances: {building_seconds:.2f} s.",
        "",
        f"Unchanged instance ({servers}):",
        "",
        "| | task | whole run | reads | asked of the server | writes |",
        "| --- | --: | --: | --: | --: | --: |",
    ]
    seconds = found["unchanged"]["seconds"]
    for name, title in _TITLES.items():
        task = statistics.median(whole - empty for whole, empty in zip(seconds[name], seconds["empty"], strict=True))
        counts = " | ".join(str(count) for count in found["unchanged"]["requests"][name].values())
        lines.append(f"| {title} | {task:.2f} s | {statistics.median(seconds[name]):.2f} s | {counts} |")
    lines += [
        "",
        "Failures, in seconds from the first sign of them:",
        "",
        "| | cause in the progress | end of the module | ended by | cause in the error | requests |",
        "| --- | --: | --: | --- | --- | --: |",
    ]
    lines += [_failure_line(seen) for seen in found["failures"].values()]
    return "\n".join(lines)


def _failure_line(seen: Object) -> str:
    named = f"{seen['named'] - seen['first']:.0f} s" if seen["named"] else "-"
    ended = f"{seen['ended'] - seen['first']:.0f} s"
    by = "itself" if seen["gave_up"] else "`wait_timeout`"
    told = "yes" if seen["cause"] in seen["message"] else "**no**"
    return f"| {seen['title']} | {named} | {ended} | {by} | {told} | {seen['requests']} |"


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kubeconfig", required=True, help="of a cluster to make namespaces in")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write every single measurement to this file")
    options = parser.parse_args()
    found = measure(str(Path(options.kubeconfig).expanduser().resolve()), options.rounds)
    print(report(found))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
