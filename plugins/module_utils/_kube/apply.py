# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make objects of Kubernetes so, as one field manager, by server-side apply; and remove them.

First everything is planned: each live object is read once and compared, and what may differ is applied as a server-side
dry run. So the plan is what check mode reports, a refusal is met before anything was changed, and where nothing differs
nothing is sent.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from .client import Client, Object, Ref
from .errors import ApiError, InputError, KubeError
from .objects import CRD, custom_kinds, difference, hide, order, prepare, same
from .wait import Waiter

MANAGER = "modelops.serving"

Action = t.Literal["none", "create", "update", "replace", "delete"]


@dataclasses.dataclass(frozen=True)
class Prune:
    """Which objects are ours to remove: of these kinds (api version, kind), in this namespace, with these labels."""

    kinds: tuple[tuple[str, str], ...]
    namespace: str | None
    selector: str


@dataclasses.dataclass(frozen=True)
class ApplyOptions:
    """How to apply.

    ``replace``: kinds and references of objects that may be deleted and created anew when a field cannot be changed.
    ``timeout``: seconds to wait for an object that has to be gone, or a CustomResourceDefinition that has to be served.
    """

    force_conflicts: bool = False
    check: bool = False
    prune: Prune | None = None
    replace: frozenset[str | Ref] = frozenset()
    timeout: float = 120.0


@dataclasses.dataclass(frozen=True)
class Change:
    """What happened, or in check mode would happen, to one object.

    ``before`` and ``after`` are as the API server gave them, values of Secrets included: show them through
    :func:`diff`. In check mode ``after`` is what was asked for where the API server could not be asked for a dry run.
    """

    ref: Ref
    action: Action
    before: Object | None
    after: Object | None
    warnings: tuple[str, ...] = ()


def apply(client: Client, objects: t.Iterable[Object], options: ApplyOptions | None = None) -> list[Change]:
    """Make the objects so: in the order that they need each other, each at most one read, writes only where needed.

    :param objects: complete definitions; those of :func:`objects.prepare` fit.
    :raises InputError: a definition is wrong, its kind is not served or its namespace does not exist.
    :raises ApiError: the API server refused. Nothing was changed, unless it changed its mind since it was asked for a
        dry run. ``changes`` of the error tells what was.
    """
    options = options or ApplyOptions()
    wanted = [*objects]
    custom = custom_kinds(obj for obj in wanted if obj.get("kind") == CRD)
    for resource in custom:
        client.learn(resource)
    wanted = prepare(wanted, namespaced=lambda api_version, kind: client.resource(api_version, kind).namespaced)
    wanted.sort(key=order)
    run = _Run(client, options, {(resource.api_version, resource.kind) for resource in custom})
    planned = [run.plan(obj) for obj in wanted]
    changes = planned if options.check else _carry_out(run, wanted, planned)
    if options.prune:
        kept = {(ref.kind, ref.namespace, ref.name) for ref in (change.ref for change in changes)}
        ours = [ref for ref in owned(client, options.prune) if (ref.kind, ref.namespace, ref.name) not in kept]
        changes += remove(client, ours, check=options.check)
    return changes


def _carry_out(run: _Run, wanted: list[Object], planned: list[Change]) -> list[Change]:
    changes: list[Change] = []
    try:
        for obj, change in zip(wanted, planned, strict=True):
            changes.append(run.carry_out(obj, change))
    except KubeError as error:
        error.changes = [change for change in changes if change.action != "none"]
        raise
    return changes


def owned(client: Client, prune: Prune) -> list[Ref]:
    """The objects that :class:`Prune` selects.

    Those that a controller made are left to it, although they may carry the labels of what they were made for; so are
    those that are being deleted. Kinds that the cluster does not serve have no objects.
    """
    found = []
    for api_version, kind in prune.kinds:
        if not client.serves(api_version, kind):
            continue
        for obj in client.list(api_version, kind, prune.namespace, labels=prune.selector):
            metadata = obj["metadata"]
            controlled = any(owner.get("controller") for owner in metadata.get("ownerReferences") or ())
            if not controlled and "deletionTimestamp" not in metadata:
                found.append(Ref.of(obj))
    return found


def remove(client: Client, what: t.Iterable[Ref] | Prune, *, check: bool = False) -> list[Change]:
    """Ask for the deletion of objects, in the reverse order of their creation. Does not wait for them to be gone."""
    refs = owned(client, what) if isinstance(what, Prune) else [*what]
    changes = []
    for ref in sorted(refs, key=lambda ref: -order({"kind": ref.kind})):
        live = client.get(ref) if _served(client, ref) else None
        if live is None or "deletionTimestamp" in live["metadata"]:
            changes.append(Change(ref, "none", live, live))
            continue
        client.delete(ref, dry_run=check, propagation=_propagation(ref.kind), uid=live["metadata"]["uid"])
        changes.append(Change(ref, "delete", live, None, _taken(client)))
    return changes


def diff(changes: t.Iterable[Change]) -> list[dict[str, str]]:
    """The changes as Ansible shows them with ``--diff``. Values of Secrets are masked."""
    return [
        {
            "before_header": str(change.ref),
            "after_header": str(change.ref),
            "before": _text(hide(change.before)) if change.before else "",
            "after": _text(hide(change.after, change.before)) if change.after else "",
        }
        for change in changes
        if change.action != "none"
    ]


def _text(obj: Object) -> str:
    import yaml

    return str(yaml.safe_dump(obj, default_flow_style=False, width=10_000))


def _taken(client: Client) -> tuple[str, ...]:
    warnings = tuple(client.warnings)
    client.warnings.clear()
    return warnings


def _served(client: Client, ref: Ref) -> bool:
    return client.serves(ref.api_version, ref.kind)


def _propagation(kind: str) -> str:
    """Owners of pods go after their pods, so that "gone" means that nothing runs any more."""
    return "Foreground" if kind in _POD_OWNERS else "Background"


_POD_OWNERS = {"CronJob", "DaemonSet", "Deployment", "Job", "JobSet", "LeaderWorkerSet", "ReplicaSet", "StatefulSet"}


class _Run:
    """One apply of a set."""

    def __init__(self, client: Client, options: ApplyOptions, custom: set[tuple[str, str]]) -> None:
        self._client = client
        self._options = options
        self._custom = custom
        #: What the set will have created before the object at hand; the API server does not know it during planning.
        self._created: set[Ref] = set()

    def plan(self, obj: Object) -> Change:
        """What is to be done to one object. Reads it at most once and changes nothing."""
        change = self._plan(obj, Ref.of(obj))
        if change.action == "create":
            self._created.add(change.ref)
        return change

    def _plan(self, obj: Object, ref: Ref) -> Change:
        if Ref("v1", "Namespace", ref.namespace or "") in self._created:
            return Change(ref, "create", None, obj)
        live = self._client.get(ref)
        if live is not None and "deletionTimestamp" in live["metadata"]:
            if ref.kind == "Namespace":
                raise _terminating(live)
            return Change(ref, "create", live, obj)
        if live is not None and not difference(live, obj, MANAGER):
            return Change(ref, "none", live, live)
        try:
            after = self._apply(obj, dry_run=True)
        except ApiError as error:
            if live is not None and error.immutable and (self._options.replace & {ref, ref.kind}):
                return Change(ref, "replace", live, obj)
            if "does not support dry run" in error.message:
                warning = f"{ref}: what would change is not known for certain. {error}"
                return Change(ref, "update" if live else "create", live, obj, (warning,))
            if live is None and self._comes_later(error, ref):
                return Change(ref, "create", None, obj)
            raise
        if live is None:
            return Change(ref, "create", None, after, _taken(self._client))
        return Change(ref, "none" if same(live, after) else "update", live, after, _taken(self._client))

    def _comes_later(self, error: ApiError, ref: Ref) -> bool:
        """Whether the API server misses just what the same set creates, such as the ServiceAccount of a Pod."""
        if error.status == 404 and (ref.api_version, ref.kind) in self._custom:
            return True
        missing = {name for found in _MISSING.finditer(error.message) for name in found.groups() if name}
        return bool(missing & {created.name for created in self._created})

    def carry_out(self, obj: Object, change: Change) -> Change:
        """Do what was planned."""
        if change.action == "none":
            return change
        if change.before is not None and change.action in ("create", "replace"):
            if change.action == "replace":
                uid = change.before["metadata"]["uid"]
                self._client.delete(change.ref, propagation=_propagation(change.ref.kind), uid=uid)
            self._waiter().wait_gone([change.ref])
        after = self._apply(obj)
        if change.ref.kind == CRD:
            self._waiter().wait([change.ref])
        unchanged = change.action == "update" and change.before is not None and same(change.before, after)
        warnings = tuple(dict.fromkeys(change.warnings + _taken(self._client)))
        return Change(change.ref, "none" if unchanged else change.action, change.before, after, warnings)

    def _waiter(self) -> Waiter:
        return Waiter(self._client, timeout=self._options.timeout, interval=0.5)

    def _apply(self, obj: Object, *, dry_run: bool = False) -> Object:
        try:
            return self._client.apply(obj, manager=MANAGER, dry_run=dry_run, force=self._options.force_conflicts)
        except ApiError as error:
            namespace = obj["metadata"].get("namespace")
            if namespace and "because it is being terminated" in error.message:
                live = self._client.get(Ref("v1", "Namespace", namespace))
                raise _terminating(live) if live else error from error
            if namespace and f'namespaces "{namespace}" not found' in error.message:
                raise InputError(
                    f"The namespace {namespace} of {Ref.of(obj)} does not exist.",
                    hint=f"Create it with `kubectl create namespace {namespace}`, or add it to the definitions.",
                ) from error
            raise


# How the API server and its admission plug-ins say that something is not there.
_MISSING = re.compile(r'"([^"]+)" not found|no \w+ with name (\S+) was found')


def _terminating(namespace: Object) -> KubeError:
    """Why a namespace that is being deleted is still there, from its conditions and finalizers."""
    name = namespace["metadata"]["name"]
    finalizers = [
        *(namespace["metadata"].get("finalizers") or ()),
        *((namespace.get("spec") or {}).get("finalizers") or ()),
    ]
    told = [
        condition["message"]
        for condition in (namespace.get("status") or {}).get("conditions") or ()
        if condition.get("status") == "True" and condition.get("message")
    ]
    message = f"The namespace {name} is being deleted, so nothing can be created in it."
    if finalizers:
        message += f" Its finalizers: {', '.join(finalizers)}."
    if told:
        message += f" {' '.join(told)}"
    return KubeError(message, hint="Wait until it is gone; remove by hand what holds it up when it stays.")
