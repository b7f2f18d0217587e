# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Strict checks of built objects without a cluster: no unknown field, nothing missing, no wrong type.

An API server of an old version drops unknown fields silently, so this is the place where a misspelt one shows.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

CRDS = Path(__file__).resolve().parents[1] / "cluster" / "crds"


def check(obj: dict[str, Any]) -> None:
    """Check one object: against our own schema if it is a custom resource, else against the newest Kubernetes.

    What schemas do not say is not checked: names, quantities, what goes together.

    :raises AssertionError: with the place and the cause, or because there is no schema for the kind.
    """
    kind = (obj.get("apiVersion", ""), obj.get("kind", ""))
    try:
        if kind in _custom():
            jsonschema.Draft202012Validator(_custom()[kind]).validate(obj)
            for embedded in _embedded(obj, _custom()[kind]):
                check(embedded)
        else:
            kubernetes_validate.validate(obj, kubernetes_validate.latest_version(), strict=True)
    except kubernetes_validate.SchemaNotFoundError:
        raise AssertionError(f"{'/'.join(kind)}: no such kind in Kubernetes, nor in {CRDS}") from None
    except (kubernetes_validate.ValidationError, jsonschema.ValidationError) as error:
        place = ".".join(map(str, error.path))
        raise AssertionError(f"{'/'.join(kind)} {place}: {error.message}") from None


def definitions() -> Iterator[dict[str, Any]]:
    """The CustomResourceDefinitions of tests/cluster/crds."""
    for path in sorted(CRDS.glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            yield from document["items"] if document["kind"] == "List" else [document]


@functools.cache
def _custom() -> dict[tuple[str, str], dict[str, Any]]:
    """The JSON schema of each custom resource by (apiVersion, kind)."""
    found = {}
    for definition in definitions():
        spec = definition["spec"]
        for version in spec["versions"]:
            schema = _closed(version["schema"]["openAPIV3Schema"])
            # The server adds these to every resource.
            schema["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {"type": "object"}}
            found[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema
    return found


def _pod(spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [], **spec}}


#: How to make a whole object of a part, by what the description says that the part is.
_WHOLE: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "PodTemplateSpec of v1": lambda part: {"apiVersion": "v1", "kind": "PodTemplate", "template": part},
    "JobSpec of batch/v1": lambda part: {"apiVersion": "batch/v1", "kind": "Job", "spec": part},
    "Container of v1": lambda part: _pod({"containers": [{"name": "main", **part}]}),
    "Script of v1": lambda part: _pod(
        {"containers": [{"name": "main"} | {key: value for key, value in part.items() if key != "source"}]}
    ),
    "PodSecurityContext of v1": lambda part: _pod({"securityContext": part}),
    "Toleration of v1": lambda part: _pod({"tolerations": [part]}),
    "Volume of v1": lambda part: _pod({"volumes": [part]}),
}


def _embedded(value: Any, schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The parts of a custom resource that Kubernetes itself defines, each as a whole object."""
    if whole := _WHOLE.get(schema.get("description", "")):
        yield whole(value)
    for name, below in schema.get("properties", {}).items():
        if isinstance(value, dict) and name in value:
            yield from _embedded(value[name], below)
    if isinstance(value, list):
        for item in value:
            yield from _embedded(item, schema.get("items", {}))


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """A structural schema as JSON schema that refuses what the server would drop."""
    result = {key: value for key, value in schema.items() if not key.startswith("x-") and key != "nullable"}
    if schema.get("x-kubernetes-int-or-string"):
        result["type"] = ["integer", "string"]
    if "items" in schema:
        result["items"] = _closed(schema["items"])
    if isinstance(schema.get("additionalProperties"), dict):
        result["additionalProperties"] = _closed(schema["additionalProperties"])
    if "properties" in schema:
        result["properties"] = {name: _closed(value) for name, value in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            result["additionalProperties"] = False
    if schema.get("nullable") and "type" in result:
        result["type"] = [result["type"], "null"]
    return result
