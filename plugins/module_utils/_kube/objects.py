# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kubernetes objects as data: what is wanted, who owns what, what differs. No I/O."""

from __future__ import annotations

import base64
import binascii
import copy
import dataclasses
import decimal
import json
import re
import typing as t

from .client import Object, Ref, Resource
from .errors import InputError
from .volumes import check_mounts

MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
INSTANCE_LABEL = "app.kubernetes.io/instance"
PART_OF_LABEL = "app.kubernetes.io/part-of"
MANAGED_BY = "modelops.serving"

CRD = "CustomResourceDefinition"

# Built-in kinds without a namespace, for when no API server is asked.
CLUSTER_KINDS = frozenset(
    {
        "APIService",
        "CSIDriver",
        "ClusterRole",
        "ClusterRoleBinding",
        CRD,
        "DeviceClass",
        "FlowSchema",
        "GatewayClass",
        "IngressClass",
        "MutatingWebhookConfiguration",
        "Namespace",
        "Node",
        "PersistentVolume",
        "PriorityClass",
        "PriorityLevelConfiguration",
        "RuntimeClass",
        "StorageClass",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
        "VolumeAttributesClass",
    }
)

_ORDER = (
    {"Namespace"},
    {CRD, "PriorityClass", "RuntimeClass", "StorageClass"},
    {"ResourceQuota", "LimitRange"},
    {"ServiceAccount"},
    {"Role", "ClusterRole"},
    {"RoleBinding", "ClusterRoleBinding"},
    {"Secret", "ConfigMap"},
    {"PersistentVolume", "PersistentVolumeClaim"},
)

# Set by the API server. Definitions that were copied from a cluster carry them, and apply refuses some of them.
_SERVER_SIDE = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid")
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LABEL_VALUE = re.compile(r"(?=.{1,63}$)[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_SUBDOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_PATH_SEGMENT = re.compile(r"(?!\.\.?$)[^/%]+")
_API_VERSION = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?v[0-9][a-z0-9]*")


def order(obj: t.Mapping[str, t.Any]) -> int:
    """Position of an object's class in the order of creation; others may need it."""
    return next((number for number, kinds in enumerate(_ORDER) if obj["kind"] in kinds), len(_ORDER))


def flatten(definitions: t.Iterable[t.Any]) -> list[Object]:
    """Definitions with the items of a List in its place. Empty documents are left out.

    :raises InputError: a definition is not a dictionary.
    """
    objects: list[Object] = []
    for number, definition in enumerate(definitions, 1):
        if definition is None:
            continue
        if not isinstance(definition, dict):
            raise InputError(f"Definition {number} is not a dictionary but {type(definition).__name__}.")
        if str(definition.get("kind", "")).endswith("List") and isinstance(definition.get("items"), list):
            objects += flatten(definition["items"])
        else:
            objects.append(definition)
    return objects


def prepare(
    definitions: t.Iterable[t.Any],
    *,
    namespace: str | None = None,
    instance: str | None = None,
    part_of: str | None = None,
    namespaced: t.Callable[[str, str], bool] = lambda _api_version, kind: kind not in CLUSTER_KINDS,
) -> list[Object]:
    """Definitions as they are applied and rendered: checked, normal, with namespace and labels of ownership.

    :param namespace: for objects of namespaced kinds that name none.
    :param namespaced: whether a kind (api version, kind) is namespaced.
    :raises InputError: a definition is incomplete, wrong or there twice.
    """
    objects = [normalise(definition) for definition in flatten(definitions)]
    # The API server may not know yet what the set itself defines.
    custom = {(resource.api_version, resource.kind): resource.namespaced for resource in custom_kinds(objects)}
    seen: set[Ref] = set()
    for obj in objects:
        kind = (obj["apiVersion"], obj["kind"])
        _place(obj, namespace, namespaced=custom[kind] if kind in custom else namespaced(*kind))
        ref = Ref.of(obj)
        if ref in seen:
            raise InputError(f"{ref} is defined twice.", hint="Keep one of the definitions.")
        seen.add(ref)
        check_mounts(obj)
    return own(objects, instance, part_of) if instance else objects


def custom_kinds(objects: t.Iterable[Object]) -> list[Resource]:
    """The kinds that CustomResourceDefinitions among the objects define.

    :raises InputError: one of them is incomplete.
    """
    kinds = []
    for obj in objects:
        if obj["kind"] == CRD:
            try:
                spec = obj["spec"]
                names, namespaced = spec["names"], spec["scope"] == "Namespaced"
                kinds += [
                    Resource(f"{spec['group']}/{version['name']}", names["kind"], names["plural"], namespaced)
                    for version in spec["versions"]
                ]
            except (KeyError, TypeError) as error:
                raise InputError(f"{Ref.of(obj)} is incomplete: there is no {error}.") from error
    return kinds


def own(objects: t.Iterable[Object], instance: str, part_of: str | None = None) -> list[Object]:
    """Copies of the objects with the labels that say to whom they belong. Pod templates are left as they are."""
    if not _LABEL_VALUE.fullmatch(instance):
        raise InputError(
            f"The instance {instance!r} is not a valid label value.",
            hint="Use letters, digits, '-', '_' and '.', at most 63, with a letter or digit at both ends.",
        )
    labels = {MANAGED_BY_LABEL: MANAGED_BY, INSTANCE_LABEL: instance}
    if part_of:
        labels[PART_OF_LABEL] = part_of
    owned = []
    for obj in objects:
        metadata = obj["metadata"]
        owned.append({**obj, "metadata": {**metadata, "labels": {**metadata.get("labels", {}), **labels}}})
    return owned


def selector(instance: str, part_of: str | None = None) -> str:
    """Label selector of what :func:`own` has labelled."""
    ours = f"{MANAGED_BY_LABEL}={MANAGED_BY},{INSTANCE_LABEL}={instance}"
    return f"{ours},{PART_OF_LABEL}={part_of}" if part_of else ours


def normalise(definition: t.Mapping[str, t.Any]) -> Object:
    """A checked copy of one definition, without what only the API server sets.

    Fields with the value null are left out, which is what null means to Kubernetes. ``stringData`` of a Secret becomes
    ``data``: the API server does the same, but would not remove keys again that are dropped from ``stringData``.

    :raises InputError: it is incomplete or wrong.
    """
    obj: Object = _without_null(definition)
    obj.pop("status", None)
    _check(obj)
    for key in _SERVER_SIDE:
        obj["metadata"].pop(key, None)
    for key in ("labels", "annotations"):
        if not obj["metadata"].get(key, True):
            del obj["metadata"][key]
    if obj["kind"] == "Secret" and obj["apiVersion"] == "v1":
        _normalise_secret(obj)
    if obj["apiVersion"].rpartition("/")[0] in ("", "apps", "batch"):
        obj = _quantities_as_text(obj, "")
    return obj


def _quantities_as_text(value: t.Any, path: str) -> t.Any:
    """``cpu: 1`` as ``cpu: "1"``, which older servers insist on in server-side apply."""
    if isinstance(value, dict):
        return {key: _quantities_as_text(item, f"{path}.{key}" if path else key) for key, item in value.items()}
    if isinstance(value, list):
        return [_quantities_as_text(item, f"{path}[]") for item in value]
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return str(value) if number and _QUANTITY_PATH.search(path) else value


def _without_null(value: t.Any) -> t.Any:
    if isinstance(value, dict):
        return {key: _without_null(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_null(item) for item in value]
    return value


def _check(obj: Object) -> None:
    kind, api_version, metadata = obj.get("kind"), obj.get("apiVersion"), obj.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    what = f"The definition of {kind or 'an object'} {name or 'without a name'}"
    for key, value in (("kind", kind), ("apiVersion", api_version), ("metadata.name", name)):
        if not isinstance(value, str) or not value:
            hint = "Objects that are applied need a name; generateName would make a new one each time."
            raise InputError(f"{what} has no {key}.", hint=hint if key == "metadata.name" else "")
    if not _API_VERSION.fullmatch(str(api_version)):
        raise InputError(f"{what} has the apiVersion {api_version!r}.", hint="It is like v1 or apps/v1.")
    _check_name(obj)
    for key in ("labels", "annotations"):
        values = obj["metadata"].get(key, {})
        wrong = [name for name, value in values.items() if not isinstance(value, str)]
        if wrong:
            raise InputError(
                f"{Ref.of(obj)}: metadata.{key} {', '.join(wrong)} must be text.", hint="Put quotes around the value."
            )


def _check_name(obj: Object) -> None:
    """Names as the API server wants them (apimachinery's ValidatePathSegmentName and IsDNS1123*)."""
    metadata, ref = obj["metadata"], Ref.of(obj)
    pattern, meaning = _SUBDOMAIN, "at most 253 lower case letters, digits, '-' and '.'"
    if ref.api_version.startswith("rbac.authorization.k8s.io/"):
        pattern, meaning = _PATH_SEGMENT, "without '/' and '%'"
    elif ref.api_version == "v1" and ref.kind in ("Namespace", "Service"):
        pattern, meaning = _LABEL, "at most 63 lower case letters, digits and '-'"
    if not pattern.fullmatch(ref.name):
        raise InputError(
            f"{ref}: the name is not valid.", hint=f"It has to be {meaning}, with a letter or digit at both ends."
        )
    namespace = metadata.get("namespace")
    if namespace is not None and not (isinstance(namespace, str) and _LABEL.fullmatch(namespace)):
        raise InputError(
            f"{ref}: the namespace {namespace!r} is not valid.",
            hint="It has to be at most 63 lower case letters, digits and '-'.",
        )


def _place(obj: Object, namespace: str | None, *, namespaced: bool) -> None:
    metadata = obj["metadata"]
    if not namespaced:
        if "namespace" in metadata:
            raise InputError(
                f"{Ref.of(obj)}: objects of this kind are in no namespace.", hint="Remove metadata.namespace."
            )
    elif "namespace" not in metadata:
        if not namespace:
            raise InputError(
                f"{Ref.of(obj)} has no namespace.", hint="Give metadata.namespace, or the option namespace for all."
            )
        metadata["namespace"] = namespace


def _normalise_secret(obj: Object) -> None:
    data = {key: _canonical(obj, key, value) for key, value in obj.pop("data", {}).items()}
    for key, value in obj.pop("stringData", {}).items():
        if not isinstance(value, str):
            raise InputError(f"{Ref.of(obj)}: stringData.{key} must be text.", hint="Put quotes around the value.")
        data[key] = base64.b64encode(value.encode()).decode()
    if data:
        obj["data"] = data


def _canonical(obj: Object, key: str, value: t.Any) -> str:
    try:
        return base64.b64encode(base64.b64decode("".join(value.split()), validate=True)).decode()
    except (AttributeError, ValueError, binascii.Error):
        # Without its cause, which quotes from the value.
        raise InputError(
            f"{Ref.of(obj)}: data.{key} is not base64.", hint="Put plain text into stringData instead."
        ) from None


def secret_values(definition: t.Any) -> set[str]:
    """What must not be seen anywhere: the values of Secrets, plain, encoded and line by line, and of Lists of them."""
    if not isinstance(definition, dict):
        return set()
    values: set[str] = set()
    for item in definition.get("items") or () if str(definition.get("kind")).endswith("List") else ():
        values |= secret_values(item)
    if definition.get("kind") != "Secret":
        return values
    for key in ("data", "stringData"):
        given = definition.get(key)
        for value in given.values() if isinstance(given, dict) else [given] if given else ():
            values |= _spellings(str(value), encoded=key == "data")
    annotations = (definition.get("metadata") or {}).get("annotations") or {}
    values.add(str(annotations.get(_LAST_APPLIED, "")))
    return {value for value in values if value}


def _spellings(value: str, *, encoded: bool) -> set[str]:
    plain = value
    if encoded:
        try:
            plain = base64.b64decode(value).decode()
        except ValueError:
            plain = ""
    found = {value, plain, plain.strip(), base64.b64encode(plain.encode()).decode()}
    return found | {line.strip() for line in plain.splitlines()}


def masked(definition: t.Any) -> t.Any:
    """A definition as given, right or wrong, without values of Secrets."""
    if not isinstance(definition, dict):
        return definition
    shown = dict(definition)
    if isinstance(shown.get("items"), list):
        shown["items"] = [masked(item) for item in shown["items"]]
    if shown.get("kind") == "Secret":
        for key in ("data", "stringData"):
            given = shown.get(key)
            shown |= {key: dict.fromkeys(given, "******") if isinstance(given, dict) else "******"} if given else {}
        metadata = shown.get("metadata")
        if isinstance(metadata, dict) and _LAST_APPLIED in (metadata.get("annotations") or {}):
            shown["metadata"] = {**metadata, "annotations": {**metadata["annotations"], _LAST_APPLIED: "******"}}
    return shown


def hide(obj: t.Mapping[str, t.Any], before: t.Mapping[str, t.Any] | None = None) -> Object:
    """A copy that may be shown: without values of Secrets, what is binary, and what only the API server cares for.

    :param before: an earlier state of the object. Values that differ from it are marked.
    """
    shown: Object = copy.deepcopy(dict(obj))
    shown.pop("status", None)
    metadata = shown.get("metadata", {})
    for key in _SERVER_SIDE:
        metadata.pop(key, None)
    annotations = metadata.get("annotations", {})
    if annotations.pop(_LAST_APPLIED, None) is not None and not annotations:
        del metadata["annotations"]
    for key in _MASKED.get(shown.get("kind", ""), ()):
        if key in shown:
            earlier = (before or {}).get(key) or {}
            shown[key] = {name: _mask(name, value, earlier) for name, value in (shown[key] or {}).items()}
    return shown


_MASKED = {"Secret": ("data", "stringData"), "ConfigMap": ("binaryData",)}


def _mask(name: str, value: t.Any, earlier: t.Mapping[str, t.Any]) -> str:
    try:
        size = len(base64.b64decode(value))
    except (TypeError, ValueError):
        size = len(str(value))
    changed = "changed, " if name in earlier and earlier[name] != value else ""
    return f"****** ({changed}{size} bytes)"


def same(live: t.Mapping[str, t.Any], result: t.Mapping[str, t.Any]) -> bool:
    """Whether an apply that gave ``result`` left, or would leave, the ``live`` object as it is."""
    return _essence(live) == _essence(result)


def _essence(obj: t.Mapping[str, t.Any]) -> Object:
    metadata = {key: value for key, value in obj["metadata"].items() if key not in ("resourceVersion", "generation")}
    metadata["managedFields"] = sorted(
        (
            {key: value for key, value in entry.items() if key != "time"}
            for entry in metadata.get("managedFields") or ()
        ),
        key=lambda entry: json.dumps(entry, sort_keys=True),
    )
    return {**obj, "metadata": metadata}


@dataclasses.dataclass(frozen=True)
class Difference:
    """What speaks against "nothing to do". All are paths such as ``spec.template.spec.containers[name=server].image``.

    Without any, an apply would change nothing. With some, it probably would: only the API server knows which values
    are the same to it.
    """

    #: The live value is another, or looks different.
    values: tuple[str, ...] = ()
    #: Wanted, and not owned by the manager.
    missing: tuple[str, ...] = ()
    #: Owned by the manager, and not wanted any more.
    surplus: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.values or self.missing or self.surplus)


def difference(live: t.Mapping[str, t.Any], desired: t.Mapping[str, t.Any], manager: str) -> Difference:
    """Compare a live object with what ``manager`` wants of it, and with what it owns according to ``managedFields``.

    The structure of ``fieldsV1`` says what a schema would: which lists are merged by which keys, and which values count
    as a whole.

    :param desired: as :func:`prepare` makes it.
    """
    walk = _Walk()
    walk.compare(_applied(desired), live, _owned(live, desired, manager), "")
    return Difference(tuple(walk.values), tuple(walk.missing), tuple(walk.surplus))


def _owned(live: t.Mapping[str, t.Any], desired: t.Mapping[str, t.Any], manager: str) -> Object | None:
    """The field set of the manager's last apply, None when there is none in this version of the kind."""
    for entry in live["metadata"].get("managedFields") or ():
        if (
            entry.get("manager") == manager
            and entry.get("operation") == "Apply"
            and entry.get("apiVersion") == desired["apiVersion"]
            and not entry.get("subresource")
        ):
            return t.cast(Object, entry.get("fieldsV1") or {})
    return None


def _applied(desired: t.Mapping[str, t.Any]) -> Object:
    """The part of a definition that can be owned (stripMeta of the API server's field manager)."""
    metadata = {key: value for key, value in desired["metadata"].items() if key not in ("name", "namespace")}
    applied = {key: value for key, value in desired.items() if key not in ("apiVersion", "kind", "metadata")}
    return {**applied, "metadata": metadata} if metadata else applied


class _Walk:
    """Walks through what is wanted, what there is and what is owned at once."""

    def __init__(self) -> None:
        self.values: list[str] = []
        self.missing: list[str] = []
        self.surplus: list[str] = []

    def compare(self, desired: t.Any, live: t.Any, owned: Object | None, path: str) -> None:
        if owned is None:
            # Nothing to merge into a map or list leaves no trace in fieldsV1 (older servers, merged lists), and an
            # object without any fields has no entry at all.
            if (path or desired) and not (desired in ({}, []) and live == desired):
                self.missing.append(path or ".")
            return
        # "." says that the item itself is owned, which is implied here.
        parts = {name: below for name, below in owned.items() if name != "."}
        if not parts and path:
            # A leaf: a scalar, an empty value, or a list or map that counts as a whole.
            # Built-in kinds are stored without zero values.
            if not _equal(desired, live, path) and not (live is None and desired in ("", 0, [], {})):
                self.values.append(path)
        elif isinstance(desired, dict):
            self._compare_map(desired, live, parts, path)
        elif isinstance(desired, list):
            self._compare_list(desired, live, parts, path)
        else:
            self.values.append(path)

    def _compare_map(self, desired: Object, live: t.Any, parts: Object, path: str) -> None:
        live = live if isinstance(live, dict) else {}
        for name, value in desired.items():
            self.compare(value, live.get(name), parts.pop(f"f:{name}", None), f"{path}.{name}" if path else name)
        self.surplus += [f"{path}.{name[2:]}" if path else name[2:] for name in parts]

    def _compare_list(self, desired: list[t.Any], live: t.Any, parts: Object, path: str) -> None:
        live = live if isinstance(live, list) else []
        # Items that give more of their keys choose first: {port: 53} means TCP beside {port: 53, protocol: UDP}.
        for item in sorted(desired, key=lambda item: -len(item) if isinstance(item, dict) else 0):
            name = next((name for name in parts if _matches(name, item)), None)
            if name is None:
                self.missing.append(f"{path}[{_short(item)}]")
                continue
            below = parts.pop(name)
            found = next((other for other in live if _matches(name, other)), None)
            if found is None:
                self.values.append(f"{path}[{name[2:]}]")
            elif isinstance(item, dict):
                self.compare(item, found, below, f"{path}[{name[2:]}]")
        self.surplus += [f"{path}[{name[2:]}]" for name in parts]


# Keys of merged lists that may be left out. The API server fills in the default, in the key too.
_KEY_DEFAULTS = {"protocol": "TCP"}


def _matches(name: str, item: t.Any) -> bool:
    """Whether an item of a list is the one with this name in fieldsV1: ``k:{"name":"server"}`` or ``v:"value"``."""
    what, _colon, text = name.partition(":")
    try:
        key = json.loads(text)
    except ValueError:
        return False
    if what == "k" and isinstance(item, dict):
        return all(_equal(item.get(part, _KEY_DEFAULTS.get(part)), value, part) for part, value in key.items())
    return what == "v" and _equal(item, key, "")


def _short(item: t.Any) -> str:
    if isinstance(item, dict):
        return f"name={item['name']}" if "name" in item else "..."
    return str(item)


# Defaults inside of values that count as a whole: the parent, the field, its default.
_DEFAULTS = {
    ("fieldRef", "apiVersion"): "v1",
    ("ports", "protocol"): "TCP",
    ("volumeClaimTemplates", "apiVersion"): "v1",
    ("volumeClaimTemplates", "kind"): "PersistentVolumeClaim",
    ("volumeClaimTemplates", "status"): {"phase": "Pending"},
    ("spec", "volumeMode"): "Filesystem",
}


def _equal(desired: t.Any, live: t.Any, path: str) -> bool:
    """Whether two values mean the same. False also when only the API server could tell."""
    if isinstance(desired, dict) and isinstance(live, dict):
        parent = re.sub(r"\[[^]]*\]$", "", path).rpartition(".")[2]
        # null in a live object, as in creationTimestamp of templates, is no value, and no default either.
        extra = [name for name in live if name not in desired and _DEFAULTS.get((parent, name)) != live[name]]
        return not extra and all(_equal(value, live.get(name), f"{path}.{name}") for name, value in desired.items())
    if isinstance(desired, list) and isinstance(live, list):
        return len(desired) == len(live) and all(
            _equal(mine, other, f"{path}[]") for mine, other in zip(desired, live, strict=True)
        )
    if isinstance(desired, bool) or isinstance(live, bool):
        return desired is live
    if isinstance(desired, (int, float)) and isinstance(live, (int, float)):
        return desired == live
    if isinstance(desired, str) and desired == live:
        return True
    number = quantity(desired) if _QUANTITY_PATH.search(path) else None
    return number is not None and number == quantity(live)


_QUANTITY_PATH = re.compile(r"resources\.(limits|requests)\.|^spec\.(hard|capacity)\.|\.(sizeLimit|divisor)$")
_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([numkMGTPE]|[KMGTPE]i)?)")
_SUFFIXES = {
    **{suffix: decimal.Decimal(1000) ** power for power, suffix in enumerate("num", -3)},
    **{suffix: decimal.Decimal(1000) ** power for power, suffix in enumerate("kMGTPE", 1)},
    **{f"{suffix}i": decimal.Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", 1)},
}


def quantity(value: t.Any) -> decimal.Decimal | None:
    """The number that a Kubernetes quantity such as ``500m``, ``1.5Gi`` or ``2`` stands for, None if it is none."""
    found = _QUANTITY.fullmatch(str(value)) if isinstance(value, (str, int, float)) else None
    if found is None:
        return None
    number, exponent, suffix = found.groups()
    return decimal.Decimal(number + (exponent or "")) * _SUFFIXES.get(suffix, decimal.Decimal(1))
