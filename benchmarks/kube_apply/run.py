# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An unchanged set of objects: one task of kube_objects beside tasks of kubernetes.core.k8s.

    .venv/bin/python benchmarks/kube_apply/run.py --kubeconfig ~/.kube/config

Makes one namespace per contender and removes them. Needs what `make dev` installs.
"""

from __future__ import annotations

import argparse
import json
import secrets
import statistics
import sys
import tempfile
import typing as t
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))

from playbooks import Object, Runner

LABELS = {"app": "server"}


def objects() -> list[Object]:
    """Twelve objects such as one served model has. No pod is started."""

    def thing(kind: str, name: str, api_version: str = "v1", **more: t.Any) -> Object:
        return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "labels": LABELS}, **more}

    rbac = "rbac.authorization.k8s.io"
    container = {
        "name": "server",
        "image": "registry.invalid/server:1",
        "env": [{"name": "MODEL", "value": "gemma"}],
        "ports": [{"name": "http", "containerPort": 8000, "protocol": "TCP"}],
        "resources": {"limits": {"cpu": "2", "memory": "4Gi"}, "requests": {"cpu": "1", "memory": "2Gi"}},
    }
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": [container]}}
    workload = {"replicas": 0, "selector": {"matchLabels": LABELS}, "template": template}
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]
    role = {"apiGroup": rbac, "kind": "Role", "name": "server"}
    subjects = [{"kind": "ServiceAccount", "name": "server", "namespace": "default"}]
    ports = [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}]
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": ""}
    once = {"parallelism": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}
    return [
        thing("ServiceAccount", "server"),
        thing("Role", "server", f"{rbac}/v1", rules=rules),
        thing("RoleBinding", "server", f"{rbac}/v1", roleRef=role, subjects=subjects),
        thing("Secret", "token", data={"token": "c2VjcmV0"}),
        thing("ConfigMap", "settings", data={"model": "gemma"}),
        thing("ConfigMap", "script", data={"start.sh": "#!/bin/sh\nexec server\n" * 50}),
        thing("PersistentVolumeClaim", "cache", spec=claim),
        thing("Service", "server", spec={"selector": LABELS, "ports": ports}),
        thing("Service", "metrics", spec={"selector": LABELS, "ports": ports, "clusterIP": "None"}),
        thing("Deployment", "server", "apps/v1", spec=workload),
        thing("Job", "warmup", "batch/v1", spec=once),
        thing("NetworkPolicy", "server", "networking.k8s.io/v1", spec={"podSelector": {}, "policyTypes": ["Ingress"]}),
    ]


def contenders(namespaces: t.Mapping[str, str]) -> dict[str, list[Object]]:
    """The tasks of each contender."""

    def placed(name: str) -> list[Object]:
        namespace = namespaces[name]
        return [{**obj, "metadata": {**obj["metadata"], "namespace": namespace}} for obj in objects()]

    return {
        "kube_objects": [{"modelops.serving.kube_objects": {"definitions": placed("kube_objects")}}],
        "k8s-tasks": [{"kubernetes.core.k8s": {"apply": True, "definition": obj}} for obj in placed("k8s-tasks")],
        "k8s-list": [{"kubernetes.core.k8s": {"apply": True, "definition": placed("k8s-list")}}],
    }


def requests(runner: Runner, name: str, kubeconfig: str) -> dict[str, int]:
    """What one unchanged run asks the API server for."""
    passed = runner.requests(name, kubeconfig)
    reads = sum(request.method == "GET" for request in passed)
    objects_read = sum(request.method == "GET" and "/namespaces/" in request.path for request in passed)
    writes = sum(request.writes for request in passed)
    return {"reads of objects": objects_read, "other reads": reads - objects_read, "writes": writes}


def measure(kubeconfig: str, rounds: int) -> dict[str, t.Any]:
    """Seconds and requests per contender."""
    from kubernetes import client, config

    core = client.CoreV1Api(config.new_client_from_config(kubeconfig))
    suffix = secrets.token_hex(3)
    namespaces = {
        name: f"bench-{suffix}-{name.replace('_', '-')}" for name in ("kube_objects", "k8s-tasks", "k8s-list")
    }
    tasks = contenders(namespaces)
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(Path(folder))
        try:
            for name, namespace in namespaces.items():
                core.create_namespace({"metadata": {"name": namespace}})
                runner.write(name, tasks[name])
                runner.run(name, kubeconfig)
            for number in range(rounds):
                names = list(tasks)
                for name in names[number % 3 :] + names[: number % 3]:
                    spent = runner.unchanged(name, kubeconfig)
                    seconds[name].append(spent)
                    print(f"round {number + 1}: {name} {spent:.2f} s", file=sys.stderr)
            counted = {name: requests(runner, name, kubeconfig) for name in tasks}
        finally:
            for namespace in namespaces.values():
                core.delete_namespace(namespace)
    return {"seconds": seconds, "requests": counted}


def report(found: t.Mapping[str, t.Any]) -> str:
    """A table of medians."""
    titles = {
        "kube_objects": "one task of kube_objects",
        "k8s-tasks": "12 tasks of kubernetes.core.k8s, apply: true",
        "k8s-list": "one task of kubernetes.core.k8s with a list, apply: true",
    }
    medians = {name: statistics.median(values) for name, values in found["seconds"].items()}
    lines = ["| | median | ratio | reads of objects | other reads | writes |", "| --- | --: | --: | --: | --: | --: |"]
    for name, title in titles.items():
        counts = " | ".join(str(count) for count in found["requests"][name].values())
        lines.append(f"| {title} | {medians[name]:.2f} s | {medians[name] / medians['kube_objects']:.2f} | {counts} |")
    return "\n".join(lines)


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
