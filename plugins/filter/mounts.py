# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters: what a Pod needs to see a token of the Hub or a bucket of models, for manifests of one's own."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.modelops.serving.plugins.module_utils._mounts import (
    DRIVERS,
    KEY,
    MOUNT_OPTIONS,
    PATHS,
    ProviderClass,
    SecretKey,
    bucket_mount,
    find_profile,
    token_mount,
)
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError

Parts: t.TypeAlias = "dict[str, t.Any]"
_SECRET = "secret"  # noqa: S105 - a choice


def hf_token_mount(
    name: t.Any,
    profile: str = "standard",
    source: str = _SECRET,
    *,
    path: str | None = None,
    key: str = KEY,
    paths: t.Sequence[str] = PATHS,
) -> Parts:
    """The parts of a Pod that sees the token of a Secret or SecretProviderClass.

    :raises AnsibleFilterError: the options do not fit together.
    """
    try:
        if source not in (_SECRET, *DRIVERS):
            raise InputError(f"There is no source {source!r}.", hint=f"Use one of {', '.join((_SECRET, *DRIVERS))}.")
        given = SecretKey(_text(name), key) if source == _SECRET else ProviderClass(_text(name), source, tuple(paths))
        mount = token_mount(given, find_profile(profile, path))
    except InputError as error:
        raise AnsibleFilterError(f"hf_token_mount: {error}") from error
    return _parts(mount.volumes, mount.mounts, mount.env, {})


def model_bucket_mount(
    bucket: t.Any,
    path: str = "/models",
    *,
    only_dir: str | None = None,
    read_only: t.Any = True,
    mount_options: t.Sequence[str] = MOUNT_OPTIONS,
) -> Parts:
    """The parts of a Pod that sees a bucket of Google Cloud Storage.

    :raises AnsibleFilterError: a name or path is not usable.
    """
    try:
        mount = bucket_mount(
            _text(bucket), path, only_dir=only_dir, read_only=boolean(read_only), mount_options=mount_options
        )
    except (InputError, TypeError) as error:
        raise AnsibleFilterError(f"model_bucket_mount: {error}") from error
    return _parts([mount.volume], [mount.mount], [], mount.annotations)


def _text(value: t.Any) -> str:
    if not isinstance(value, str):
        raise InputError(f"The name has to be text, and is {type(value).__name__}.")
    return value


def _parts(volumes: t.Iterable[Parts], mounts: t.Iterable[Parts], env: t.Iterable[Parts], annotations: Parts) -> Parts:
    """All keys are always there, so that parts of several filters can be put together."""
    return {"volumes": [*volumes], "volumeMounts": [*mounts], "env": [*env], "annotations": annotations}


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., Parts]]:
        """By name."""
        return {"hf_token_mount": hf_token_mount, "model_bucket_mount": model_bucket_mount}
