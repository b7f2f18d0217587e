# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A token in a Secret of Kubernetes, by server-side apply."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._kube.apply import (
    MANAGER,
    ApplyOptions,
    Change,
    apply,
    remove,
)
from ansible_collections.modelops.serving.plugins.module_utils._kube.client import Client, Object, Ref
from ansible_collections.modelops.serving.plugins.module_utils._kube.errors import ApiError, ConflictError, InputError
from ansible_collections.modelops.serving.plugins.module_utils._kube.objects import hide, normalise

from .store import KEPT, REPLACED, Data, Outcome

_LABEL_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?)?")


class KubernetesSecret:
    """One Secret of type Opaque, in which each of the keys holds the token.

    :param labels, annotations: what to set, None to leave them as they are. Those of other field managers stay.
    :raises InputError: a name, label or annotation is not valid.
    """

    def __init__(
        self,
        client: Client,
        *,
        name: str,
        namespace: str,
        keys: t.Sequence[str],
        labels: t.Mapping[str, str] | None,
        annotations: t.Mapping[str, str] | None,
    ) -> None:
        self._client = client
        self._keys = keys
        self._metadata = {"labels": labels, "annotations": annotations}
        check_labels(labels or {})
        metadata = {"name": name, "namespace": namespace}
        self._base: Object = normalise({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata})
        self._ref = Ref.of(self._base)

    @property
    def _name(self) -> str:
        return f"{self._ref.namespace}/{self._ref.name}"

    def present(self, token: str, *, check: bool) -> Outcome:
        """See :class:`store.Store`.

        :raises InputError: a controller makes the Secret, it is of another type or immutable, or there is no namespace.
        :raises KubeError: the API server refused or was not reached. Nothing was changed.
        """
        live = self._client.get(self._ref)
        _check_controller(self._ref, live)
        metadata = dict(self._base["metadata"])
        for what, given in self._metadata.items():
            # Not to name what is ours already would remove it.
            metadata[what] = dict(given) if given is not None else owned(live, what)
        wanted = {**self._base, "metadata": metadata, "stringData": dict.fromkeys(self._keys, token)}
        change, warnings = self._apply(wanted, check=check)
        before = describe(change.before) if change.before else None
        after = describe(change.after, change.before) if change.after and change.action != "none" else before
        return Outcome(self._name, before, after, warnings=(*warnings, *change.warnings))

    def absent(self, *, destroy: bool, check: bool) -> Outcome:
        """See :class:`store.Store`. The Secret goes with all its keys."""
        live = self._client.get(self._ref)
        if live is None or "deletionTimestamp" in live["metadata"]:
            return Outcome(self._name, None, None)
        if not destroy:
            raise InputError(
                f"{self._ref} is there, and its token would be lost for good.",
                hint="Say destroy: true with state: absent to delete it.",
            )
        (change,) = remove(self._client, [self._ref], check=check)
        return Outcome(self._name, describe(live), None, warnings=change.warnings)

    def _apply(self, wanted: Object, *, check: bool) -> tuple[Change, tuple[str, ...]]:
        """The change, and warnings. A key that somebody else wrote is taken over: that is what adopting means."""
        warnings: tuple[str, ...] = ()
        try:
            try:
                (change,) = apply(self._client, [wanted], ApplyOptions(check=check))
            except ConflictError as error:
                fields = ", ".join(f"{field} from {manager!r}" for field, manager in sorted(error.owners.items()))
                warnings = (f"{self._ref}: took over {fields}, which may write its own value again.",)
                (change,) = apply(self._client, [wanted], ApplyOptions(check=check, force_conflicts=True))
        except ApiError as error:
            if not error.immutable:
                raise
            hint = "Choose another name, or delete it first with state: absent and destroy: true."
            raise InputError(error.message, hint=hint) from error
        return change, warnings


def check_labels(labels: t.Mapping[str, str]) -> None:
    """Labels as the API server wants them (apimachinery's IsQualifiedName and IsValidLabelValue).

    :raises InputError: one is not valid.
    """
    for key, value in labels.items():
        if not (_LABEL_KEY.fullmatch(key) and _LABEL_VALUE.fullmatch(value)):
            raise InputError(
                f"The label {key}={value} is not valid.",
                hint="Key and value have letters, digits, '-', '_' and '.', at most 63, with a letter or digit at both "
                "ends; the key may have a prefix such as example.com/.",
            )


def owned(live: Object | None, what: str) -> dict[str, str]:
    """The labels or annotations of the live object that are ours, with their values."""
    metadata = live["metadata"] if live else {}
    names = _fields(metadata).get("f:metadata", {}).get(f"f:{what}", {})
    return {key: value for key, value in (metadata.get(what) or {}).items() if f"f:{key}" in names}


def describe(obj: Object, earlier: Object | None = None) -> Data:
    """The Secret without values and what changes by itself, and with the keys that are ours.

    :param earlier: the Secret before; values that differ from it are marked.
    """
    shown = hide(obj)
    before = (earlier or {}).get("data") or {}
    data = obj.get("data") or {}
    shown["data"] = {key: REPLACED if before.get(key, value) != value else KEPT for key, value in data.items()}
    # Without it, to become owner of a key that has the right value would not be seen.
    shown["metadata"]["managedFields"] = {MANAGER: sorted(_paths(_fields(obj["metadata"])))}
    return shown


def _fields(metadata: t.Mapping[str, t.Any]) -> Object:
    """What our manager has applied, as ``fieldsV1``."""
    for entry in metadata.get("managedFields") or ():
        if entry.get("manager") == MANAGER and entry.get("operation") == "Apply" and not entry.get("subresource"):
            return dict(entry.get("fieldsV1") or {})
    return {}


def _paths(fields: t.Mapping[str, t.Any], path: str = "") -> t.Iterator[str]:
    for name, below in fields.items():
        if name != ".":
            here = f"{path}.{name[2:]}" if path else name[2:]
            yield from _paths(below, here) if below else [here]


def _check_controller(ref: Ref, live: Object | None) -> None:
    for owner in (live or {"metadata": {}})["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            maker = f"{owner['kind']} {owner['name']}"
            raise InputError(
                f"{ref} is made by {maker}, which would put its own values back.",
                hint=f"Choose another name, or give the token to {maker}.",
            )
