# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What engines have in common that are not developed any more: they know slices only, and say so each time."""

from __future__ import annotations

import typing as t

from ansible_collections.modelops.serving.plugins.module_utils._serving.engine import Engine
from ansible_collections.modelops.serving.plugins.module_utils._serving.instance import Device, Instance, check_image
from ansible_collections.modelops.serving.plugins.module_utils._tpu.slice import Slice
from ansible_collections.modelops.serving.plugins.module_utils._transfer.errors import InputError


class Legacy(Engine):
    """An engine for TPUs that is not developed any more.

    :cvar images: of containers beside the server, by the setting that is another one.
    """

    images: t.ClassVar[t.Mapping[str, str]] = {}

    def check(self, instance: Instance) -> tuple[str, ...]:
        """Adds to the usual: there is a slice, how it is shared is not said twice, images are pinned."""
        slice_of(instance)
        if getattr(instance.hardware, "parallelism", None) is not None:
            raise InputError(
                f"{self.name} does not take the parallelism of the slice.",
                hint=f"Leave it out: {self.name} has settings of its own, or takes all devices.",
            )
        warnings = super().check(instance)
        for setting in self.images:
            check_image(self.beside(instance, setting))
        return warnings

    def beside(self, instance: Instance, setting: str) -> str:
        """The image of a container beside the server."""
        image: str = instance.settings.get(setting, self.images[setting])
        return image


def slice_of(instance: Instance) -> Slice:
    """The slice of an instance.

    :raises InputError: it has other devices.
    """
    if isinstance(instance.hardware, Device):
        raise InputError(f"{instance.engine} runs on TPUs only.", hint="Give a slice, or take vllm.")
    return instance.hardware.slice


def check_single_host(instance: Instance, why: str) -> None:
    """Raise unless the slice is one host.

    :param why: several do not work.
    :raises InputError: it is several.
    """
    on = slice_of(instance)
    if on.multi_host:
        raise InputError(
            f"{on.topology} of {on.generation.name} has {on.hosts} hosts, and {instance.engine} runs on one: {why}.",
            hint="Take a slice on one host, or vllm.",
        )
