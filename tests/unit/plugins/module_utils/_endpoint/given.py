# Copyright (c) 2026, modelops.serving contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options as Ansible hands them over, completed with the defaults of the module."""

from __future__ import annotations

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.modelops.serving.plugins.modules.tpu_serving import argument_spec

MODEL = "google/gemma-3-27b-it"
SLICE = {"generation": "v6e", "topology": "2x4"}
PLAIN = {"name": "gemma", "namespace": "serving", "model": {"name": MODEL}, "accelerator": SLICE}


def params(**given):
    """The plain ones, changed as given."""
    result = ArgumentSpecValidator(argument_spec()).validate({**PLAIN, **given})
    assert not result.error_messages
    return result.validated_parameters
