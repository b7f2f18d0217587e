# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the module inference_benchmark_job as Ansible hands them over, and what becomes of them."""

from __future__ import annotations

from ansible.module_utils.common.arg_spec import ModuleArgumentSpecValidator

from ansible_collections.modelops.serving.plugins.module_utils._bench.workload import read_dataset
from ansible_collections.modelops.serving.plugins.module_utils._bench_job.options import spec_of
from ansible_collections.modelops.serving.plugins.module_utils._measure.options import workload_of
from ansible_collections.modelops.serving.plugins.modules.inference_benchmark_job import argument_spec

LENGTHS = {"input_tokens": {"mean": 12}, "output_tokens": {"mean": 8}}


def params(**given):
    options = {
        "name": "load",
        "namespace": "ns",
        "endpoint": "http://server:8000",
        "model": "org/model",
        "data": LENGTHS,
        "stages": [{"rate": 10, "duration": 30}],
        "results": "results",
        "engine": "builtin",
        **given,
    }
    result = ModuleArgumentSpecValidator(argument_spec()).validate(options)
    assert not result.error_messages, result.error_messages
    return result.validated_parameters


def spec(**given):
    options = params(**given)
    workload = workload_of(options)
    if workload.data.type == "jsonl":
        workload = workload.pinned(read_dataset(workload.data))
    return spec_of(options, workload)
