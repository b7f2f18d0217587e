# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a Secret with a Hugging Face token comes into a container: one table for everything that reads a model.

The profiles are data. Whoever builds a Pod asks for :func:`token_mount` and adds what it says, so that the name of a
volume and of its mount cannot differ.
"""

from __future__ import annotations

import dataclasses
import posixpath
import typing as t

Object: t.TypeAlias = "dict[str, t.Any]"

VOLUME = "huggingface-token"


@dataclasses.dataclass(frozen=True)
class Profile:
    """Where a program looks for its token: in a file, in a variable, or in a file that a variable names."""

    path: str | None = None
    path_variable: str | None = None
    value_variable: str | None = None


PROFILES: dict[str, Profile] = {
    # huggingface_hub reads HF_TOKEN_PATH, https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables
    "standard": Profile(path="/var/run/secrets/huggingface.co/token", path_variable="HF_TOKEN_PATH"),
    # The path is compiled into the JetStream PyTorch server.
    "jetstream_pytorch": Profile(path="/huggingface/HUGGINGFACE_TOKEN"),
    "env": Profile(value_variable="HF_TOKEN"),
}


@dataclasses.dataclass(frozen=True)
class TokenMount:
    """What a Pod needs to see the token. ``file`` is where it lies in the container, None when it is in a variable."""

    volumes: tuple[Object, ...]
    mounts: tuple[Object, ...]
    env: tuple[Object, ...]
    file: str | None


def token_mount(secret: str, key: str = "token", profile: Profile = PROFILES["standard"]) -> TokenMount:
    """The token of ``secret`` under ``key``, as the profile has it. Files are readable by the Pod's group only."""
    env: list[Object] = []
    if profile.value_variable:
        reference = {"secretKeyRef": {"name": secret, "key": key}}
        env.append({"name": profile.value_variable, "valueFrom": reference})
    if profile.path is None:
        return TokenMount((), (), tuple(env), None)
    directory, name = posixpath.split(profile.path)
    if profile.path_variable:
        env.append({"name": profile.path_variable, "value": profile.path})
    source = {"secretName": secret, "items": [{"key": key, "path": name}], "defaultMode": 0o440}
    return TokenMount(
        volumes=({"name": VOLUME, "secret": source},),
        mounts=({"name": VOLUME, "mountPath": directory, "readOnly": True},),
        env=tuple(env),
        file=profile.path,
    )
