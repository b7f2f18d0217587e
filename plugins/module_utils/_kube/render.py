# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The same objects as files, for those who let something else apply them (Argo CD, Flux, kubectl)."""

from __future__ import annotations

import collections
import os
import re
import tempfile
import typing as t
from pathlib import Path

from .apply import Change
from .client import Object, Ref
from .errors import InputError, KubeError
from .objects import order

_HEADER = "# Written by modelops.serving, which changes and removes this file.\n"
_WAVE = "argocd.argoproj.io/sync-wave"
_HOOK = {"argocd.argoproj.io/hook": "Sync", "argocd.argoproj.io/hook-delete-policy": "BeforeHookCreation"}
# What every YAML parser takes for text. Others read more words and numbers than PyYAML does, such as y, 1e3 and 0o7.
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z/._ -]*[A-Za-z][A-Za-z0-9/._-]*")


def render(
    objects: t.Iterable[Object], folder: str, *, argo: bool = False, job_hooks: bool = False, check: bool = False
) -> list[Change]:
    """Write each object to a file of its own, and remove the files of objects that are not among them any more.

    Files that were not written by this function are never touched. The folder holds one set only.

    :param objects: as :func:`objects.prepare` makes them, and as :func:`apply.apply` sends them.
    :param argo: add the sync waves of Argo CD, in the order of creation.
    :param job_hooks: let Argo CD run Jobs anew at each sync, instead of failing at their immutable fields.
    :raises InputError: a Secret holds data, or a file is in the way. Nothing was changed.
    """
    wanted = {}
    for name, obj in _names(sorted(objects, key=order)).items():
        if obj["kind"] == "Secret" and (obj.get("data") or obj.get("stringData")):
            raise InputError(
                f"{Ref.of(obj)} holds data, which has no place in files.",
                hint="Leave it out, and create it with an operator such as External Secrets, or by applying it.",
            )
        wanted[name] = _annotated(obj, argo=argo, job_hooks=job_hooks)
    there = _rendered(Path(folder))
    for name in wanted:
        if name not in there and os.path.lexists(os.path.join(folder, name)):
            raise InputError(
                f"{os.path.join(folder, name)} was not written by this module, and is in the way of {name}.",
                hint="Move it away, or render into another folder.",
            )
    changes = [_change(name, there.get(name), wanted.get(name)) for name in sorted({*wanted, *there})]
    if not check:
        try:
            _write(Path(folder), wanted, there)
        except OSError as error:
            raise KubeError(f"Cannot write to {folder}: {error.strerror}.", hint="Check owner and mode.") from error
    return changes


def text(obj: Object) -> str:
    """An object as YAML, always the same for the same object."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Quotes all text that some parser might not take for text."""

        def ignore_aliases(self, data: t.Any) -> bool:
            return True

    def represent(dumper: t.Any, value: str) -> t.Any:
        style = None if _PLAIN.fullmatch(value) else "|" if "\n" in value else '"'
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, represent)
    return str(yaml.dump(obj, Dumper=Dumper, default_flow_style=False, sort_keys=True, width=10_000))


def _names(objects: t.Sequence[Object]) -> dict[str, Object]:
    """File names: the class in the order of creation, kind and name, and as much else as it takes to tell them apart."""
    candidates = []
    for obj in objects:
        ref = Ref.of(obj)
        group = ref.api_version.rpartition("/")[0]
        parts = ((ref.kind, ref.name), (ref.kind, ref.namespace, ref.name), (ref.kind, group, ref.namespace, ref.name))
        candidates.append([f"{order(obj):02}-{_slug(part)}.yaml" for part in parts])
    names: dict[str, Object] = {}
    counts = [collections.Counter(names[level] for names in candidates) for level in range(3)]
    for obj, options in zip(objects, candidates, strict=True):
        level = next((level for level in range(3) if counts[level][options[level]] == 1), 2)
        if options[level] in names:
            raise InputError(f"{Ref.of(obj)} would have the same file name as another object.", hint="Rename one.")
        names[options[level]] = obj
    return names


def _slug(parts: t.Iterable[str | None]) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", "-".join(part for part in parts if part).lower())


def _annotated(obj: Object, *, argo: bool, job_hooks: bool) -> Object:
    annotations = {}
    if argo:
        annotations[_WAVE] = str(order(obj))
        if job_hooks and obj["kind"] == "Job":
            annotations |= _HOOK
    if not annotations:
        return obj
    metadata = obj["metadata"]
    return {**obj, "metadata": {**metadata, "annotations": {**metadata.get("annotations", {}), **annotations}}}


def _rendered(folder: Path) -> dict[str, str]:
    """The files in the folder that were written by :func:`render`: name -> content after the header."""
    found = {}
    for path in folder.glob("*.yaml"):
        try:
            content = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue  # not ours
        if content.startswith(_HEADER) and not path.is_symlink():
            found[path.name] = content.removeprefix(_HEADER)
    return found


def _change(name: str, before: str | None, after: Object | None) -> Change:
    import yaml

    earlier: Object | None = None
    ref = Ref("v1", "File", name)
    if before is not None:
        try:
            earlier = yaml.safe_load(before)
            ref = Ref.of(earlier or {})
        except (yaml.YAMLError, KeyError, TypeError):
            earlier = None  # somebody edited the file until it was no object any more
    if after is None:
        return Change(ref, "delete", earlier, None)
    action: t.Literal["create", "update", "none"] = "create" if before is None else "update"
    return Change(Ref.of(after), "none" if before == text(after) else action, earlier, after)


def _write(folder: Path, wanted: dict[str, Object], there: dict[str, str]) -> None:
    if wanted:
        folder.mkdir(parents=True, exist_ok=True)
    for name, obj in wanted.items():
        content = text(obj)
        if there.get(name) != content:
            _replace(folder / name, _HEADER + content)
    for name in there.keys() - wanted.keys():
        (folder / name).unlink()


def _replace(path: Path, content: str) -> None:
    """Write a file so that nobody ever sees half of it."""
    descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
