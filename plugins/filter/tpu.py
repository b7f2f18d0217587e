# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible filters: slices of TPUs, for inventories and templates."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.modelops.serving.plugins.module_utils._tpu.capacity import Capacity, scheduling
from ansible_collections.modelops.serving.plugins.module_utils._tpu.errors import TpuError
from ansible_collections.modelops.serving.plugins.module_utils._tpu.slice import find, make_slice, topologies


def tpu_slice(
    accelerator: str,
    topology: str | None = None,
    *,
    chips: int | None = None,
    machine_type: str | None = None,
    capacity: str = "on_demand",
    reservation: str | None = None,
    reservation_project: str | None = None,
    max_run_duration: int | None = None,
    compute_class: str | None = None,
) -> dict[str, t.Any]:
    """A slice with everything that follows from it, and with the Pod's selector and tolerations for the capacity."""
    try:
        on = make_slice(accelerator, topology=topology, chips=_number(chips), machine_type=machine_type)
        found = Capacity(capacity, reservation, reservation_project, _number(max_run_duration), compute_class)
        pod = scheduling(on, found)
        return {
            **on.data(),
            "node_selector": pod["nodeSelector"],
            "tolerations": pod["tolerations"],
            "warnings": [*on.warnings, *found.check(on.generation)],
        }
    except (TpuError, TypeError, ValueError, AttributeError) as error:
        raise AnsibleFilterError(f"tpu_slice: {error}") from error


def _number(value: t.Any) -> int | None:
    """What a template may have made a string of."""
    return None if value is None else int(value)


def tpu_topologies(accelerator: str) -> list[str]:
    """All valid topologies of a generation, the smallest first."""
    try:
        return list(topologies(find(accelerator).generation))
    except (TpuError, AttributeError) as error:
        raise AnsibleFilterError(f"tpu_topologies: {error}") from error


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Names of the filters and what they call."""
        return {"tpu_slice": tpu_slice, "tpu_topologies": tpu_topologies}
