# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An API server in memory, below the connection pool: what :class:`Client` sends is what it gets.

Server-side apply follows the documentation of Kubernetes: field sets per manager, conflicts, removal of fields that the
last apply of a manager had and this one has not. Lists of dictionaries with a ``name`` are merged by it, ``finalizers``
are a set, everything else in a list counts as a whole. What the real one does beyond that is for the functional tests.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import types
import urllib.parse

import hypothesis

from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Client

# Examples are the same in every run, and may take as long as they do on a busy machine.
properties = hypothesis.settings(deadline=None, derandomize=True, database=None, max_examples=200)

KINDS = {
    "v1": {
        "namespaces": ("Namespace", False),
        "pods": ("Pod", True),
        "pods/log": ("Pod", True),
        "services": ("Service", True),
        "secrets": ("Secret", True),
        "configmaps": ("ConfigMap", True),
        "serviceaccounts": ("ServiceAccount", True),
        "persistentvolumeclaims": ("PersistentVolumeClaim", True),
    },
    "apps/v1": {"deployments": ("Deployment", True), "replicasets": ("ReplicaSet", True)},
    "batch/v1": {"jobs": ("Job", True)},
    "apiextensions.k8s.io/v1": {"customresourcedefinitions": ("CustomResourceDefinition", False)},
}


@dataclasses.dataclass
class Asked:
    """One request. ``query`` holds the last value of each name."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: dict | None

    @property
    def writes(self) -> bool:
        return self.method != "GET" and self.query.get("dryRun") != "All" and "/proxy/" not in self.path


class Answer:
    """What a pool gives back."""

    def __init__(self, status, body, headers=None):
        self.status = status
        self.data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.headers = headers or {}


def refuse(status, message, reason="", causes=(), headers=None):
    """A Status as the API server answers it."""
    body = {"kind": "Status", "status": "Failure", "message": message, "reason": reason, "code": status}
    body["details"] = {"causes": [dict(zip(("reason", "message", "field"), cause, strict=True)) for cause in causes]}
    return Answer(status, body, headers)


class FakeApi:
    """Stands for ``kubernetes.client.ApiClient``.

    ``asked`` are the requests so far. ``rules`` are called with each one first, and answer it, raise, or return None.
    ``immutable`` are paths such as ``("data", "k")`` that no update may change.
    """

    def __init__(self):
        self.configuration = types.SimpleNamespace(host="https://fake")
        self.default_headers = {"User-Agent": "test"}
        self.rest_client = types.SimpleNamespace(pool_manager=self)
        self.kinds = copy.deepcopy(KINDS)
        self.objects: dict[str, dict] = {}
        self.asked: list[Asked] = []
        self.rules = []
        self.immutable: list[tuple[str, ...]] = []
        self.missing_namespaces: set[str] = set()
        self._counter = 0

    def client(self, **options) -> Client:
        self.slept: list[float] = []
        return Client(self, sleep=self.slept.append, **options)

    def update_params_for_auth(self, headers, queries, auth_settings):
        assert auth_settings == ["BearerToken"]
        headers["authorization"] = "Bearer renewed"

    @property
    def writes(self):
        return [asked for asked in self.asked if asked.writes]

    def request(self, method, url, *, body, headers, timeout, retries):
        assert retries is False
        parts = urllib.parse.urlsplit(url)
        query = dict(urllib.parse.parse_qsl(parts.query))
        asked = Asked(method, parts.path, query, headers, None if body is None else json.loads(body))
        self.asked.append(asked)
        for rule in self.rules:
            answer = rule(asked)
            if answer is not None:
                return answer
        return self._answer(asked)

    def _answer(self, asked):
        parts = asked.path.strip("/").split("/")
        group_version = parts[1] if parts[0] == "api" else "/".join(parts[1:3])
        rest = parts[2:] if parts[0] == "api" else parts[3:]
        if group_version not in self.kinds:
            return self._group(parts)
        if not rest:
            resources = [
                {"name": plural, "kind": kind, "namespaced": namespaced}
                for plural, (kind, namespaced) in self.kinds[group_version].items()
            ]
            return Answer(200, {"kind": "APIResourceList", "groupVersion": group_version, "resources": resources})
        namespace = None
        if rest[0] == "namespaces" and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        if rest[0] not in self.kinds[group_version]:
            return refuse(404, "the server could not find the requested resource", "NotFound")
        if len(rest) == 1:
            return self._list(asked)
        return getattr(self, f"_{asked.method.lower()}")(asked, f'{rest[0]} "{rest[1]}" not found', namespace)

    def _group(self, parts):
        versions = [version for version in self.kinds if version.startswith(f"{parts[1]}/")] if len(parts) == 2 else []
        if versions:
            return Answer(200, {"kind": "APIGroup", "versions": [{"groupVersion": version} for version in versions]})
        return refuse(404, "the server could not find the requested resource", "NotFound")

    def _list(self, asked):
        wanted = dict(pair.split("=") for pair in asked.query.get("labelSelector", "").split(",") if pair)
        found = [
            {key: value for key, value in obj.items() if key not in ("apiVersion", "kind")}
            for path, obj in sorted(self.objects.items())
            if path.startswith(f"{asked.path}/") and wanted.items() <= obj["metadata"].get("labels", {}).items()
        ]
        start, limit = int(asked.query.get("continue", 0)), int(asked.query.get("limit", 0)) or len(found)
        metadata = {"continue": str(start + limit)} if start + limit < len(found) else {}
        return Answer(200, {"kind": "List", "metadata": metadata, "items": found[start : start + limit]})

    def _get(self, asked, missing, namespace):
        found = self.objects.get(asked.path)
        return Answer(200, found) if found else refuse(404, missing, "NotFound")

    def _delete(self, asked, missing, namespace):
        found = self.objects.get(asked.path)
        if not found:
            return refuse(404, missing, "NotFound")
        if asked.body.get("preconditions", {}).get("uid", found["metadata"]["uid"]) != found["metadata"]["uid"]:
            return refuse(409, "the UID in the precondition does not match", "Conflict")
        if not asked.body.get("dryRun"):
            del self.objects[asked.path]
        return Answer(200, {"kind": "Status", "status": "Success"})

    def _patch(self, asked, missing, namespace):
        assert asked.headers["Content-Type"] == "application/apply-patch+yaml"
        assert asked.query["fieldValidation"] == "Strict"
        if namespace in self.missing_namespaces:
            return refuse(404, f'namespaces "{namespace}" not found', "NotFound")
        live = self.objects.get(asked.path)
        try:
            result = server_side_apply(
                live, asked.body, asked.query["fieldManager"], force=asked.query["force"] == "true"
            )
        except Conflict as conflict:
            causes = [("FieldManagerConflict", f'conflict with "{who}"', field) for field, who in conflict.args[0]]
            return refuse(409, f"Apply failed with {len(causes)} conflict", "Conflict", causes)
        for path in self.immutable if live else ():
            if _at(live, path) != _at(result, path):
                cause = ("FieldValueInvalid", 'Invalid value: "x": field is immutable', ".".join(path))
                return refuse(422, "is invalid: field is immutable", "Invalid", [cause])
        if live is None or result != live:
            self._counter += 1
            result["metadata"].setdefault("uid", f"uid-{self._counter}")
            result["metadata"]["resourceVersion"] = str(self._counter)
        if asked.query.get("dryRun") != "All":
            self.objects[asked.path] = result
        return Answer(200 if live else 201, result)


def _at(obj, path):
    for name in path:
        obj = obj.get(name) if isinstance(obj, dict) else None
    return obj


class Conflict(Exception):
    """Fields and the managers that own them."""


def _key(item):
    return "k:" + json.dumps({"name": item["name"]}, separators=(",", ":"))


def _merged(value, name):
    """Whether a list is merged item by item."""
    return bool(value) and (name == "finalizers" or all(isinstance(item, dict) and "name" in item for item in value))


def leaves(value, path=()):
    """Field set of a configuration: path -> value. Paths are tuples of names as in fieldsV1."""
    if isinstance(value, dict) and value:
        found = {}
        for name, item in value.items():
            found |= leaves(item, (*path, f"f:{name}"))
        return found
    if isinstance(value, list) and path and _merged(value, path[-1][2:]):
        found = {}
        for item in value:
            if isinstance(item, dict):
                found |= {(*path, _key(item)): None} | leaves(item, (*path, _key(item)))
            else:
                found[(*path, f"v:{json.dumps(item)}")] = item
        return found
    return {path: value}


def fields_v1(paths):
    """Field set -> fieldsV1."""
    tree: dict = {}
    for path in paths:
        node = tree
        for name in path:
            node = node.setdefault(name, {})
        if path[-1].startswith("k:"):
            node["."] = {}
    return tree


def paths_of(tree, path=()):
    """fieldsV1 -> paths."""
    below = {name: item for name, item in tree.items() if name != "."}
    found = {path} if path and (not below or "." in tree) else set()
    for name, item in below.items():
        found |= paths_of(item, (*path, name))
    return found


def _put(obj, path, value):
    """Set a leaf, making items of merged lists as needed."""
    for number, name in enumerate(path):
        last = number == len(path) - 1
        if name.startswith("f:"):
            key = name[2:]
            if last:
                there = obj.get(key)
                # Nothing merged into a map or a merged list.
                if not (value == {} and isinstance(there, dict)) and not (
                    value == [] and there and _merged(there, key)
                ):
                    obj[key] = copy.deepcopy(value)
                return
            inner = [] if path[number + 1][0] in "kv" else {}
            if not isinstance(obj.get(key), type(inner)):
                obj[key] = inner
            obj = obj[key]
        elif name.startswith("v:"):
            if value not in obj:
                obj.append(value)
        else:
            wanted = json.loads(name[2:])
            found = next((item for item in obj if item["name"] == wanted["name"]), None)
            if found is None:
                found = dict(wanted)
                obj.append(found)
            obj = found


def _drop(obj, path):
    """Remove a leaf, and what is empty then."""
    name, rest = path[0], path[1:]
    if name.startswith("f:"):
        key = name[2:]
        if key not in obj:
            return
        if rest and isinstance(obj[key], (dict, list)):
            _drop(obj[key], rest)
        if not rest or obj[key] in ({}, []):
            del obj[key]
    elif name.startswith("v:"):
        value = json.loads(name[2:])
        if value in obj:
            obj.remove(value)
    else:
        wanted = json.loads(name[2:])
        for item in [item for item in obj if isinstance(item, dict) and item.get("name") == wanted["name"]]:
            if rest:
                _drop(item, rest)
            else:
                obj.remove(item)


def server_side_apply(live, config, manager, *, force=False):
    """What ``live`` (None: nothing) becomes when ``manager`` applies ``config``. Raises Conflict."""
    result = copy.deepcopy(live) or {
        "apiVersion": config["apiVersion"],
        "kind": config["kind"],
        "metadata": {key: config["metadata"][key] for key in ("name", "namespace") if key in config["metadata"]},
    }
    entries = result["metadata"].pop("managedFields", [])
    others = [entry for entry in entries if (entry["manager"], entry["operation"]) != (manager, "Apply")]
    mine = next((entry for entry in entries if (entry["manager"], entry["operation"]) == (manager, "Apply")), None)
    owned = paths_of(mine["fieldsV1"]) if mine else set()
    metadata = {key: value for key, value in config["metadata"].items() if key not in ("name", "namespace")}
    applied = {key: value for key, value in config.items() if key not in ("apiVersion", "kind", "metadata")}
    wanted = leaves({**applied, "metadata": metadata} if metadata else applied)
    if not (applied or metadata):
        wanted = {}
    before = leaves({key: value for key, value in result.items() if key not in ("apiVersion", "kind")})
    held = {id(entry): paths_of(entry["fieldsV1"]) for entry in others}
    changed = [path for path, value in wanted.items() if path in before and before[path] != value]
    conflicts = [
        (".".join(name[2:] for name in path), entry["manager"])
        for path in changed
        for entry in others
        if path in held[id(entry)]
    ]
    if conflicts and not force:
        raise Conflict(conflicts)
    for entry in others:
        entry["fieldsV1"] = fields_v1(held[id(entry)] - set(changed))
    kept = set().union(*(paths_of(entry["fieldsV1"]) for entry in others)) if others else set()
    # Items before what is in them.
    for path in sorted(owned - set(wanted) - kept, key=len):
        item = path if path[-1].startswith("k:") else path[:-1] if path[-1] == "f:name" else None
        if item is None or not any(other[: len(item)] == item for other in kept | set(wanted)):
            _drop(result, path)
    for path, value in wanted.items():
        if value is not None or not path[-1].startswith("k:"):
            _put(result, path, value)
    entry = {"manager": manager, "operation": "Apply", "apiVersion": config["apiVersion"], "fieldsType": "FieldsV1"}
    entry["fieldsV1"] = fields_v1(wanted)
    result["metadata"]["managedFields"] = [entry for entry in others if entry["fieldsV1"]] + [entry]
    return result
